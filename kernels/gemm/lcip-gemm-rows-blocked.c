#include "config.h"
#include "lcip-vec.h"

#include "lcip-matmul.h"

/* Gemm and MatMul of a few rows, as a network's last layers have them at batch 1. Every element of
 * B is used once a row, so the time is that of reading B: it is read once, in its order, where it
 * is. B stored n x k (transB) gives dot products, ROWS of them side by side; B stored k x n gives
 * sums of its rows, over SUMS vectors of columns. Each result is the same sum in the same order,
 * whatever the split. */

enum {
  MAX_M = 4,
  ROWS = 4,  /* dot products at a time */
  PARTS = 2, /* independent sums of each, so that additions need not wait */
  SUMS = 8,  /* vectors of columns at a time */
};
/* Elements of B in a chunk: 10 us and more. */
static const gsize CHUNK_ELEMS = 256 * 1024;

typedef struct {
  LcipGemm gemm;
  LcipTail tail;
  const LcipCall *call;
  const float *a, *b, *c;
  gsize unit, units_in_chunk; /* columns that are computed together; how many of these in a chunk */
} Job;

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

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
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

LCIP_INLINE float sum_lanes(vf x) {
  float sum = 0.0f;
  for (int i = 0; i < LCIP_LANES; i++)
    sum += x[i];
  return sum;
}

/* alpha * sum + beta C and the epilogues on @n sums of row @i from column @j on. */
static void finish(const Job *job, gsize i, gsize j, vf sums, int n) {
  const LcipGemm *g = &job->gemm;
  const gsize at = i * g->n + j;
  float added[LCIP_LANES] = {0};
  for (int k = 0; job->c && k < n; k++)
    added[k] = g->beta * job->c[i * g->c_row + (j + (gsize)k) * g->c_column];
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

/* ---- B stored n x k ---- */

/* Dot products of @a with @rows rows of B from @b on. */
LCIP_INLINE void dot_rows(const float *a, const float *b, gsize k, const int rows, float *sums) {
  vf sum[ROWS][PARTS] = {0};
  gsize p = 0;
  for (; p + PARTS * LCIP_LANES <= k; p += PARTS * LCIP_LANES)
    LCIP_UNROLL
  for (int part = 0; part < PARTS; part++) {
    const vf x = v_load(a + p + part * LCIP_LANES);
    LCIP_UNROLL
    for (int row = 0; row < rows; row++)
      sum[row][part] += x * v_load(b + (gsize)row * k + p + part * LCIP_LANES);
  }
  for (; p < k; p += LCIP_LANES) {
    const int left = (int)MIN(LCIP_LANES, k - p);
    const vf x = v_load_some(a + p, left);
    for (int row = 0; row < rows; row++)
      sum[row][0] += x * v_load_some(b + (gsize)row * k + p, left);
  }
  for (int row = 0; row < rows; row++)
    sums[row] = sum_lanes(sum[row][0] + sum[row][1]);
}

/* Columns [j, j + n), n <= LANES. */
static void run_dots(const Job *job, gsize j, int n) {
  const LcipGemm *g = &job->gemm;
  float sums[MAX_M][LCIP_LANES] = {{0}};
  for (int first = 0; first < n; first += ROWS) {
    const float *b = job->b + (j + (gsize)first) * g->k;
    for (gsize i = 0; i < g->m; i++)
      if (first + ROWS <= n)
        dot_rows(job->a + i * g->k, b, g->k, ROWS, sums[i] + first);
      else
        for (int row = 0; first + row < n; row++)
          dot_rows(job->a + i * g->k, b + (gsize)row * g->k, g->k, 1, sums[i] + first + row);
  }
  for (gsize i = 0; i < g->m; i++)
    finish(job, i, j, v_load(sums[i]), n);
}

/* ---- B stored k x n ---- */

/* @whole: SUMS vectors of columns; else one of @n. */
LCIP_INLINE void add_rows(const Job *job, gsize i, gsize j, int n, const gboolean whole) {
  const LcipGemm *g = &job->gemm;
  const int vecs = whole ? SUMS : 1;
  const float *a = job->a + i * g->k, *b = job->b + j;
  vf sum[SUMS] = {0};
  for (gsize p = 0; p < g->k; p++, b += g->n) {
    const vf x = v_set1(a[p]);
    LCIP_UNROLL
    for (int v = 0; v < vecs; v++)
      sum[v] += x * (whole ? v_load(b + v * LCIP_LANES) : v_load_some(b, n));
  }
  for (int v = 0; v < vecs; v++)
    finish(job, i, j + (gsize)(v * LCIP_LANES), sum[v], n);
}

static void run_sums(const Job *job, gsize j, gsize n) {
  for (gsize i = 0; i < job->gemm.m; i++)
    if (n == SUMS * LCIP_LANES)
      add_rows(job, i, j, LCIP_LANES, TRUE);
    else
      for (gsize k = 0; k < n; k += LCIP_LANES)
        add_rows(job, i, j + k, (int)MIN(LCIP_LANES, n - k), FALSE);
}

/* ---- running ---- */

static void run_chunk(gpointer data, guint chunk, guint worker) {
  const Job *job = data;
  const gsize first = (gsize)chunk * job->units_in_chunk * job->unit;
  const gsize end = MIN(first + job->units_in_chunk * job->unit, job->gemm.n);
  for (gsize j = first; j < end; j += job->unit) {
    const gsize n = MIN(job->unit, end - j);
    if (job->gemm.trans_b)
      run_dots(job, j, (int)n);
    else
      run_sums(job, j, n);
  }
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const gboolean bias = is_gemm(call->step) && lcip_step_has_input(call->step, 2);
  Job job = {.call = call,
             .a = call->inputs[0].data,
             .b = call->inputs[1].data,
             .c = bias ? call->inputs[2].data : NULL};
  const char *reason = NULL;
  if (!job_shape(&job.gemm, call->step, &call->inputs[0].shape, &call->inputs[1].shape,
                 bias ? &call->inputs[2].shape : NULL, error))
    return FALSE;
  if (!lcip_tail_init(&job.tail, call->step, &reason)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "%s cannot be computed: %s",
                call->step->op->name, reason);
    return FALSE;
  }
  job.unit = job.gemm.trans_b ? LCIP_LANES : SUMS * LCIP_LANES;
  job.units_in_chunk = MAX(1, CHUNK_ELEMS / MAX(1, job.unit * job.gemm.k));
  const gsize columns = job.unit * job.units_in_chunk;
  lcip_team_run(team, (guint)((job.gemm.n + columns - 1) / columns), run_chunk, &job);
  return TRUE;
}

const LcipKernel LCIP_ISA_KERNEL(gemm_rows_blocked) = {
    .name = LCIP_ISA_NAME("gemm-rows"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"Gemm", "MatMul", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .supports = supports,
    .run = run,
};
