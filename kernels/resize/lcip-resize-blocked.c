#include "config.h"
#include "lcip-resize.h"
#include "lcip-vec.h"

/* Resize of height and width in blocked tensors, any mode that is a sum of a few taps along each of
 * them. The taps of rows and columns are worked out once per call, in the scratch. A row of output
 * is summed over the input's rows first, into a row of the scratch, and over its columns then. */

typedef struct {
  const LcipCall *call;
  const LcipResizeTaps *rows, *columns;
  float *sums; /* a row of the input for each worker */
  gint64 c, blocks, h, w, oh, ow, chunk_rows, parts;
} Job;

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  const LcipShape *in = &step->inputs[0].shape, *out = &step->outputs[0].shape;
  const char *mode = lcip_attrs_get_string(step->attrs, "coordinate_transformation_mode");
  if (!lcip_is_image(&step->inputs[0]) || !lcip_is_image(&step->outputs[0]) ||
      in->dims[0] != out->dims[0] || in->dims[1] != out->dims[1] || step->n_epilogues > 0) {
    *reason = "it resizes height and width of f32 tensors of 4 dimensions";
    return FALSE;
  }
  if (g_strcmp0(mode, "tf_crop_and_resize") == 0) {
    *reason = "it does not crop";
    return FALSE;
  }
  if (formats->inputs[0] == LCIP_FORMAT_DENSE && in->dims[1] < LCIP_BLOCK / 2) {
    *reason = "a block would be mostly padding";
    return FALSE;
  }
  lcip_formats_dense(step, formats);
  formats->inputs[0] = formats->outputs[0] = LCIP_BLOCK_FORMAT;
  return TRUE;
}

static gsize taps_bytes(const LcipShape *out) {
  return (gsize)(out->dims[2] + out->dims[3]) * sizeof(LcipResizeTaps);
}

static gsize scratch_bytes(const LcipStep *step, const LcipPortFormats *formats, guint workers) {
  const gsize row = (gsize)(step->inputs[0].shape.dims[3] * LCIP_BLOCK);
  return taps_bytes(&step->outputs[0].shape) + row * sizeof(float) * workers;
}

/* Taps without weight are left out, so that NaN and infinity there do not matter. */
static LcipResizeTaps without_zeros(const LcipResizeTaps *taps) {
  LcipResizeTaps kept = {.n = 0};
  for (int i = 0; i < taps->n; i++)
    if (taps->weight[i] != 0.0f) {
      kept.index[kept.n] = taps->index[i];
      kept.weight[kept.n++] = taps->weight[i];
    }
  if (kept.n == 0)
    kept.n = 1;
  return kept;
}

/* @n vectors of @taps->n rows, the first at @plane, into one. */
LCIP_INLINE void add_rows(const float *plane, gint64 row_elems, const LcipResizeTaps *taps,
                          gint64 n, float *sums, const int n_taps) {
  const float *rows[LCIP_RESIZE_MAX_TAPS] = {plane};
  for (int i = 0; i < n_taps; i++)
    rows[i] = plane + taps->index[i] * row_elems;
  for (gint64 k = 0; k < n * LCIP_LANES; k += LCIP_LANES) {
    vf sum = v_load(rows[0] + k) * taps->weight[0];
    LCIP_UNROLL
    for (int i = 1; i < n_taps; i++)
      sum += v_load(rows[i] + k) * taps->weight[i];
    v_store(sums + k, sum);
  }
}

/* The input's rows as @y says: one of them itself, or their sum in @sums. */
static const float *sum_rows(const Job *job, const float *plane, const LcipResizeTaps *y,
                             float *sums) {
  const gint64 row = job->w * LCIP_BLOCK, n = job->w * LCIP_BLOCK_VECS;
  if (y->n == 1 && y->weight[0] == 1.0f)
    return plane + y->index[0] * row;
  if (y->n == 2)
    add_rows(plane, row, y, n, sums, 2);
  else
    add_rows(plane, row, y, n, sums, y->n);
  return sums;
}

LCIP_INLINE vf sum_columns(const float *row, const LcipResizeTaps *x) {
  vf sum = v_load(row + x->index[0] * LCIP_BLOCK) * x->weight[0];
  if (x->n == 2)
    return sum + v_load(row + x->index[1] * LCIP_BLOCK) * x->weight[1];
  for (int i = 1; i < x->n; i++)
    sum += v_load(row + x->index[i] * LCIP_BLOCK) * x->weight[i];
  return sum;
}

static void run_chunk(gpointer data, guint chunk, guint worker) {
  const Job *job = data;
  const gint64 part = chunk % job->parts, block = chunk / job->parts;
  const float *plane =
      (const float *)job->call->inputs[0].data + block * job->h * job->w * LCIP_BLOCK;
  float *out = (float *)job->call->outputs[0].data + block * job->oh * job->ow * LCIP_BLOCK;
  float *sums = job->sums + (gsize)worker * (gsize)(job->w * LCIP_BLOCK);
  const gint64 end = MIN((part + 1) * job->chunk_rows, job->oh);
  for (gint64 oy = part * job->chunk_rows; oy < end; oy++) {
    const float *row = sum_rows(job, plane, &job->rows[oy], sums);
    for (gint64 ox = 0; ox < job->ow; ox++)
      for (int lane = 0; lane < LCIP_BLOCK; lane += LCIP_LANES)
        v_store(out + (oy * job->ow + ox) * LCIP_BLOCK + lane,
                sum_columns(row + lane, &job->columns[ox]));
  }
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  enum { CHUNK_PIXELS = 2048 };
  const LcipShape *in = &call->inputs[0].shape, *out = &call->outputs[0].shape;
  LcipResizeTaps *taps = call->scratch;
  LcipResize resize;
  if (!lcip_resize_init(&resize, call->step, in, error))
    return FALSE;
  Job job = {.call = call,
             .rows = taps,
             .columns = taps + out->dims[2],
             .sums = (float *)(taps + out->dims[2] + out->dims[3]),
             .blocks = lcip_blocks(in->dims[1], LCIP_BLOCK),
             .h = in->dims[2],
             .w = in->dims[3],
             .oh = out->dims[2],
             .ow = out->dims[3]};
  for (int axis = 2; axis < 4; axis++)
    for (gint64 i = 0; i < out->dims[axis]; i++, taps++) {
      LcipResizeTaps all;
      lcip_resize_taps(&resize, axis, i, &all);
      *taps = without_zeros(&all);
    }
  job.chunk_rows = MAX(1, CHUNK_PIXELS / job.ow);
  job.parts = lcip_blocks(job.oh, job.chunk_rows);
  lcip_team_run(team, (guint)(in->dims[0] * job.blocks * job.parts), run_chunk, &job);
  return TRUE;
}

const LcipKernel LCIP_ISA_KERNEL(resize_blocked) = {
    .name = LCIP_ISA_NAME("resize-blocked"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"Resize", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-5f,
    .supports = supports,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
