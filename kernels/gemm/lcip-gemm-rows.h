#pragma once

#include "lcip-vec.h"

#include "lcip-matmul.h"

#include <math.h>
#include <string.h>

/* What the kernels for Gemm and MatMul of a few rows share, as a network's last layers have them at
 * batch 1. Whoever includes this defines sweep_begin() and run_unit(). Each result is the same sum
 * in the same order, whatever the split and whatever the other rows, which may be those of several
 * calls. */

enum {
  MAX_M = 4,     /* rows of a call */
  MAX_ROWS = 16, /* rows of A at a time, taken a few together from what is in the cache */
};
/* Elements of B in a chunk: 10 us and more. */
static const gsize CHUNK_ELEMS = 256 * 1024;
/* Weights of this size do not stay in the caches from frame to frame. */
#define ROWS_SWEPT_BYTES ((gsize)3 << 20)

typedef struct {
  LcipGemm gemm;
  LcipTail tail;
  const LcipCall *call;
  const float *a, *b, *c;     /* b at any address */
  gsize unit, units_in_chunk; /* columns that are computed together; how many of these in a chunk */
} Job;

/* Row @i of a job's A, and of its output. */
typedef struct {
  const Job *job;
  const float *a;
  gsize i;
} Row;

static gboolean sweep_begin(const LcipCall *call, gpointer data, LcipTeam *team, guint *n_parts,
                            GError **error);
/* Columns [j, j + n) of all rows: a unit, or what is left of B. */
static void run_unit(const Row *rows, guint n_rows, gsize j, gsize n);

static gboolean is_gemm(const LcipStep *step) {
  return lcip_step_is(step, "Gemm");
}

static gboolean job_shape(LcipGemm *gemm, const LcipStep *step, const LcipShape *a,
                          const LcipShape *b, const LcipShape *c, GError **error) {
  LcipMatmul matmul;
  if (is_gemm(step))
    return lcip_gemm_init(gemm, step, a, b, c, error);
  if (!lcip_matmul_init(&matmul, a, b, NULL, error))
    return FALSE;
  *gemm = (LcipGemm){.m = matmul.m, .n = matmul.n, .k = matmul.k, .alpha = 1};
  return TRUE;
}

static gboolean rows_support(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  LcipTail tail;
  LcipGemm gemm;
  const gboolean bias = is_gemm(step) && lcip_step_has_input(step, 2);
  if (!lcip_step_all_f32(step, 0) || step->inputs[0].shape.rank != 2 ||
      step->inputs[1].shape.rank != 2) {
    *reason = "it takes f32 matrices";
    return FALSE;
  }
  if (!job_shape(&gemm, step, &step->inputs[0].shape, &step->inputs[1].shape,
                 bias ? &step->inputs[2].shape : NULL, NULL) ||
      gemm.m > MAX_M || gemm.m * gemm.n * gemm.k == 0 || (gemm.trans_a && gemm.m > 1)) {
    *reason = "it multiplies at most 4 rows";
    return FALSE;
  }
  if (!lcip_tail_init(&tail, step, reason))
    return FALSE;
  lcip_formats_dense(step, formats);
  return TRUE;
}

/* Of B, of a step that is supported. */
static double rows_elems(const LcipStep *step) {
  return (double)lcip_shape_count(&step->inputs[1].shape);
}

/* alpha * sum + beta C and the epilogues on @n sums of @row from column @j on. Which sign a NaN has
 * depends on the order of a product's factors, which the compiler chooses for each number of rows:
 * here all become the same. */
static void finish(const Row *row, gsize j, vf sums, int n) {
  const Job *job = row->job;
  const LcipGemm *g = &job->gemm;
  const gsize at = row->i * g->n + j;
  float added[LCIP_LANES] = {0};
  sums = v_select(sums == sums, sums, v_set1(NAN));
  for (int k = 0; job->c && k < n; k++)
    added[k] = g->beta * job->c[row->i * g->c_row + (j + (gsize)k) * g->c_column];
  vf x = g->alpha * sums + v_load(added);
  for (guint e = 0; e < job->tail.n; e++) {
    const LcipTailOp *op = &job->tail.ops[e];
    if (op->kind == LCIP_TAIL_ADD)
      x += v_load_some((const float *)job->call->inputs[op->side_input].data + at, n);
    else
      x = v_tail_op(op, x);
  }
  v_store_some((float *)job->call->outputs[0].data + at, x, n);
}

/* ---- running ---- */

static gboolean job_init(Job *job, const LcipCall *call, const float *b, GError **error) {
  const gboolean bias = is_gemm(call->step) && lcip_step_has_input(call->step, 2);
  const char *reason = NULL;
  *job = (Job){
      .call = call, .a = call->inputs[0].data, .b = b, .c = bias ? call->inputs[2].data : NULL};
  if (!job_shape(&job->gemm, call->step, &call->inputs[0].shape, &call->inputs[1].shape,
                 bias ? &call->inputs[2].shape : NULL, error))
    return FALSE;
  if (!lcip_tail_init(&job->tail, call->step, &reason)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "%s cannot be computed: %s",
                call->step->op->name, reason);
    return FALSE;
  }
  return TRUE;
}

/* Into units of @unit columns. */
static gboolean job_split(Job *job, gsize unit, guint *n_parts) {
  job->unit = unit;
  job->units_in_chunk = MAX(1, CHUNK_ELEMS / MAX(1, unit * job->gemm.k));
  const gsize columns = unit * job->units_in_chunk;
  *n_parts = (guint)((job->gemm.n + columns - 1) / columns);
  return TRUE;
}

static void run_rows(const Row *rows, guint n_rows, guint chunk) {
  const Job *job = rows->job;
  const gsize first = (gsize)chunk * job->units_in_chunk * job->unit;
  const gsize end = MIN(first + job->units_in_chunk * job->unit, job->gemm.n);
  for (gsize j = first; j < end; j += job->unit)
    run_unit(rows, n_rows, j, MIN(job->unit, end - j));
}

static void sweep_run(const gconstpointer *jobs, guint n_jobs, guint part) {
  Row rows[MAX_ROWS];
  guint n_rows = 0;
  for (guint k = 0; k < n_jobs; k++) {
    const Job *job = jobs[k];
    for (gsize i = 0; i < job->gemm.m; i++)
      rows[n_rows++] = (Row){job, job->a + i * job->gemm.k, i};
    if (n_rows > MAX_ROWS - MAX_M || k + 1 == n_jobs) {
      run_rows(rows, n_rows, part);
      n_rows = 0;
    }
  }
}

static void run_chunk(gpointer job, guint chunk, guint worker) {
  const gconstpointer jobs[] = {job};
  sweep_run(jobs, 1, chunk);
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  Job job;
  guint n_chunks;
  if (!sweep_begin(call, &job, team, &n_chunks, error))
    return FALSE;
  lcip_team_run(team, n_chunks, run_chunk, &job);
  return TRUE;
}

static const LcipKernelSweep sweep = {
    .weights = 1,
    .least_bytes = ROWS_SWEPT_BYTES,
    .job_bytes = sizeof(Job),
    .begin = sweep_begin,
    .run = sweep_run,
};
