#include "config.h"
#include "lcip-resize.h"
#include "lcip-vec.h"

/* Resize of height and width in blocked tensors, any mode that is a sum of a few taps along each of
 * them. The taps of rows and columns are worked out once per call, in the scratch. */

typedef struct {
  const LcipCall *call;
  const LcipResizeTaps *rows, *columns;
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

static gsize scratch_bytes(const LcipStep *step, const LcipPortFormats *formats, guint workers) {
  const LcipShape *out = &step->outputs[0].shape;
  return (gsize)(out->dims[2] + out->dims[3]) * sizeof(LcipResizeTaps);
}

LCIP_INLINE vf sum_columns(const float *row, const LcipResizeTaps *x) {
  vf sum = v_load(row + x->index[0] * LCIP_BLOCK) * x->weight[0];
  for (int i = 1; i < x->n; i++)
    sum += v_load(row + x->index[i] * LCIP_BLOCK) * x->weight[i];
  return sum;
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

static void run_row(const Job *job, const float *plane, float *out, gint64 oy) {
  const LcipResizeTaps *y = &job->rows[oy];
  for (gint64 ox = 0; ox < job->ow; ox++)
    for (int lane = 0; lane < LCIP_BLOCK; lane += LCIP_LANES) {
      vf sum = {0};
      for (int i = 0; i < y->n; i++)
        sum += sum_columns(plane + y->index[i] * job->w * LCIP_BLOCK + lane, &job->columns[ox]) *
               y->weight[i];
      v_store(out + (oy * job->ow + ox) * LCIP_BLOCK + lane, sum);
    }
}

static void run_chunk(gpointer data, guint chunk, guint worker) {
  const Job *job = data;
  const gint64 part = chunk % job->parts, block = chunk / job->parts;
  const float *plane =
      (const float *)job->call->inputs[0].data + block * job->h * job->w * LCIP_BLOCK;
  float *out = (float *)job->call->outputs[0].data + block * job->oh * job->ow * LCIP_BLOCK;
  const gint64 end = MIN((part + 1) * job->chunk_rows, job->oh);
  for (gint64 oy = part * job->chunk_rows; oy < end; oy++)
    run_row(job, plane, out, oy);
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
             .blocks = lcip_blocks(in->dims[1], LCIP_BLOCK),
             .h = in->dims[2],
             .w = in->dims[3],
             .oh = out->dims[2],
             .ow = out->dims[3]};
  for (int axis = 2; axis < 4; axis++)
    for (gint64 i = 0; i < out->dims[axis]; i++, taps++) {
      LcipResizeTaps all;
      lcip_resize_taps(call->step, &resize, axis, i, &all);
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
