#include "config.h"
#include "lcip-vec.h"

#include <math.h>

/* BatchNormalization that no convolution could take in, over channel-blocked tensors: x * scale +
 * shift with both found once. Chunks are parts of the pixels of one block of one image. */

enum { CHUNK_ELEMS = 32 * 1024 };

typedef struct {
  LcipTail tail;
  const LcipCall *call;
  const float *scale, *shift;
  gint64 c, blocks, pixels, chunk_pixels, parts;
} Job;

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  LcipTail tail;
  if (!lcip_is_image(&step->inputs[0]) || !lcip_step_all_f32(step, 0) || step->n_outputs != 1) {
    *reason = "it takes f32 tensors of 4 dimensions and gives no statistics";
    return FALSE;
  }
  for (guint i = 1; i < 5; i++)
    if (!step->constants || !step->constants[i]) {
      *reason = "scale, shift and statistics must be constants";
      return FALSE;
    }
  if (formats->inputs[0] == LCIP_FORMAT_DENSE && step->inputs[0].shape.dims[1] < LCIP_BLOCK / 2) {
    *reason = "a block would be mostly padding";
    return FALSE;
  }
  if (!lcip_tail_init(&tail, step, reason))
    return FALSE;
  lcip_formats_dense(step, formats);
  formats->inputs[0] = formats->outputs[0] = LCIP_BLOCK_FORMAT;
  lcip_tail_formats(step, formats);
  return TRUE;
}

/* The blob: scales, then shifts, of whole blocks. */
static gboolean prepare(const LcipStep *step, const LcipPortFormats *formats, LcipBlob **blob,
                        GError **error) {
  (void)formats;
  const gint64 c = step->inputs[0].shape.dims[1], whole = lcip_blocks(c, LCIP_BLOCK) * LCIP_BLOCK;
  const double epsilon = lcip_attrs_get_float(step->attrs, "epsilon");
  const float *in[5] = {NULL};
  for (guint i = 1; i < 5; i++)
    in[i] = lcip_tensor_get_data(step->constants[i]);
  *blob = lcip_blob_new((gsize)(2 * whole) * sizeof(float));
  if (!*blob) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "no memory for scales and shifts");
    return FALSE;
  }
  float *scale = lcip_blob_data(*blob), *shift = scale + whole;
  for (gint64 i = 0; i < c; i++) {
    const double factor = (double)in[1][i] / sqrt((double)in[4][i] + epsilon);
    scale[i] = (float)factor;
    shift[i] = (float)((double)in[2][i] - (double)in[3][i] * factor);
  }
  return TRUE;
}

LCIP_INLINE void run_pixels(const Job *job, gsize at, gint64 pixels, int lane, gint64 block,
                            const gboolean simple) {
  const vf scale = v_load(job->scale + block * LCIP_BLOCK + lane);
  const vf shift = v_load(job->shift + block * LCIP_BLOCK + lane);
  const vf lo = v_set1(job->tail.lo), hi = v_set1(job->tail.hi);
  const vi mask = v_lanes_below((int)CLAMP(job->c - block * LCIP_BLOCK - lane, 0, LCIP_LANES));
  const float *in = job->call->inputs[0].data;
  float *out = job->call->outputs[0].data;
  for (gint64 p = 0; p < pixels; p++, at += LCIP_BLOCK) {
    vf x = v_load(in + at) * scale + shift;
    x = simple ? v_min(hi, v_max(lo, x)) : v_tail(&job->tail, job->call, x, at);
    v_store(out + at, (vf)((vi)x & mask));
  }
}

static void run_chunk(gpointer data, guint chunk, guint worker) {
  const Job *job = data;
  const gint64 row = chunk / job->parts, first = chunk % job->parts * job->chunk_pixels;
  const gint64 pixels = MIN(job->chunk_pixels, job->pixels - first);
  const gboolean simple = job->tail.simple && job->tail.side_input < 0;
  for (int lane = 0; lane < LCIP_BLOCK; lane += LCIP_LANES) {
    const gsize at = (gsize)((row * job->pixels + first) * LCIP_BLOCK + lane);
    if (simple)
      run_pixels(job, at, pixels, lane, row % job->blocks, TRUE);
    else
      run_pixels(job, at, pixels, lane, row % job->blocks, FALSE);
  }
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *in = &call->inputs[0].shape;
  Job job = {.call = call, .c = in->dims[1], .pixels = in->dims[2] * in->dims[3]};
  const char *reason = NULL;
  if (!lcip_tail_init(&job.tail, call->step, &reason)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
                "BatchNormalization cannot be computed: %s", reason);
    return FALSE;
  }
  job.blocks = lcip_blocks(job.c, LCIP_BLOCK);
  job.scale = lcip_blob_data(call->prepared);
  job.shift = job.scale + job.blocks * LCIP_BLOCK;
  job.chunk_pixels = MAX(1, MIN(job.pixels, CHUNK_ELEMS / LCIP_BLOCK));
  job.parts = lcip_blocks(job.pixels, job.chunk_pixels);
  lcip_team_run(team, (guint)(in->dims[0] * job.blocks * job.parts), run_chunk, &job);
  return TRUE;
}

const LcipKernel LCIP_ISA_KERNEL(batchnorm_blocked) = {
    .name = LCIP_ISA_NAME("batchnorm-blocked"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"BatchNormalization", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-5f,
    .inplace = TRUE,
    .prepared_inputs = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4,
    .supports = supports,
    .prepare = prepare,
    .run = run,
};
