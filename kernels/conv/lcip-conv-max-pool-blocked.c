#include "config.h"
#include "lcip-conv-max-pool.h"
#include "lcip-vec.h"

/* ConvMaxPool where Winograd's kernels are no choice: the direct convolution into scratch, then the
 * largest of each 2x2 pixels. */

extern const LcipKernel LCIP_ISA_KERNEL(conv_blocked);
static const LcipKernel *const direct = &LCIP_ISA_KERNEL(conv_blocked);

enum { SIZE = LCIP_CONV_MAX_POOL_SIZE };

/* Chunks are rows of one block of one image. */
typedef struct {
  const LcipCall *call;
  LcipTail tail;
  gint64 c, blocks, h, w, oh, ow;
  const float *between;
} Pool;

/* The convolution as a step; @between: its output, for the input @x. */
static gboolean conv_init(LcipStep *conv, LcipTensorSpec *between, const LcipStep *step,
                          const LcipShape *x, GError **error) {
  LcipShape shape;
  if (!lcip_conv_max_pool_between(step, x, &shape, error))
    return FALSE;
  *between = lcip_tensor_spec(LCIP_TYPE_F32, shape);
  between->format = LCIP_BLOCK_FORMAT;
  *conv = lcip_conv_max_pool_conv(step, between);
  return TRUE;
}

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  LcipStep conv;
  LcipTensorSpec between;
  LcipTail tail;
  if (!lcip_is_image(&step->inputs[0]) || !lcip_is_image(&step->outputs[0])) {
    *reason = "it takes f32 tensors of 4 dimensions";
    return FALSE;
  }
  if (!conv_init(&conv, &between, step, &step->inputs[0].shape, NULL)) {
    *reason = "its window does not fit";
    return FALSE;
  }
  LcipPortFormats own = *formats;
  if (!lcip_tail_init(&tail, step, reason) || !direct->supports(&conv, &own, reason))
    return FALSE;
  lcip_formats_dense(step, formats);
  formats->inputs[0] = own.inputs[0];
  formats->outputs[0] = own.outputs[0];
  lcip_tail_formats(step, formats);
  return TRUE;
}

static double estimate(const LcipStep *step) {
  LcipStep conv;
  LcipTensorSpec between;
  return conv_init(&conv, &between, step, &step->inputs[0].shape, NULL) ? direct->estimate(&conv)
                                                                        : 0;
}

/* Of what is between, in whole units of alignment. */
static gsize between_bytes(const LcipTensorSpec *between) {
  gsize bytes = 0;
  lcip_tensor_spec_bytes(between, &bytes);
  return (bytes + LCIP_TENSOR_ALIGN - 1) / LCIP_TENSOR_ALIGN * LCIP_TENSOR_ALIGN;
}

static gsize scratch_bytes(const LcipStep *step, const LcipPortFormats *formats, guint workers) {
  LcipStep conv;
  LcipTensorSpec between;
  if (!conv_init(&conv, &between, step, &step->inputs[0].shape, NULL))
    return 0;
  return between_bytes(&between) + direct->scratch_bytes(&conv, formats, workers);
}

static gboolean prepare(const LcipStep *step, const LcipPortFormats *formats, LcipBlob **blob,
                        GError **error) {
  LcipStep conv;
  LcipTensorSpec between;
  return conv_init(&conv, &between, step, &step->inputs[0].shape, error) &&
         direct->prepare(&conv, formats, blob, error);
}

static void pool_row(gpointer data, guint index, guint worker) {
  const Pool *p = data;
  const gint64 plane = index / p->oh, y = index % p->oh;
  const gint64 channels = p->c - plane % p->blocks * LCIP_BLOCK;
  const gsize row = (gsize)(p->w * LCIP_BLOCK);
  const float *from = p->between + (plane * p->h + y * SIZE) * (gint64)row;
  gsize at = (gsize)index * (gsize)(p->ow * LCIP_BLOCK);
  for (gint64 x = 0; x < p->ow; x++, from += SIZE * LCIP_BLOCK, at += LCIP_BLOCK)
    for (int v = 0; v < LCIP_BLOCK; v += LCIP_LANES) {
      const float *pixel = from + v;
      vf value = v_larger(v_load(pixel + LCIP_BLOCK), v_load(pixel));
      value = v_larger(v_load(pixel + row), value);
      value = v_larger(v_load(pixel + row + LCIP_BLOCK), value);
      value = v_tail(&p->tail, p->call, value, at + (gsize)v);
      v_store((float *)p->call->outputs[0].data + at + v,
              v_mask(value, v_lanes_below((int)CLAMP(channels - v, 0, LCIP_LANES))));
    }
}

static gboolean run_conv(const LcipCall *call, const LcipStep *planned, const LcipShape *between,
                         LcipTeam *team, GError **error) {
  LcipTensorView output = {.spec = planned->outputs[0], .shape = *between, .data = call->scratch};
  LcipCall conv = *call;
  conv.step = planned;
  conv.outputs = &output;
  conv.scratch = (guint8 *)call->scratch + between_bytes(&planned->outputs[0]);
  return direct->run(&conv, team, error);
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  LcipStep conv;
  LcipTensorSpec planned;
  LcipShape between;
  Pool pool = {.call = call, .between = call->scratch};
  const char *reason = NULL;
  if (!conv_init(&conv, &planned, call->step, &call->step->inputs[0].shape, error) ||
      !lcip_conv_max_pool_between(call->step, &call->inputs[0].shape, &between, error) ||
      !run_conv(call, &conv, &between, team, error))
    return FALSE;
  if (!lcip_tail_init(&pool.tail, call->step, &reason)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "ConvMaxPool cannot be computed: %s",
                reason);
    return FALSE;
  }
  const LcipShape *out = &call->outputs[0].shape;
  pool.c = out->dims[1];
  pool.blocks = lcip_blocks(pool.c, LCIP_BLOCK);
  pool.h = between.dims[2];
  pool.w = between.dims[3];
  pool.oh = out->dims[2];
  pool.ow = out->dims[3];
  lcip_team_run(team, (guint)(out->dims[0] * pool.blocks * pool.oh), pool_row, &pool);
  return TRUE;
}

const LcipKernel LCIP_ISA_KERNEL(conv_max_pool_blocked) = {
    .name = LCIP_ISA_NAME("conv-max-pool-blocked"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"lcip.ConvMaxPool", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .inplace = TRUE,
    .prepared_inputs = 1 << 1 | 1 << 2,
    .supports = supports,
    .estimate = estimate,
    .scratch_bytes = scratch_bytes,
    .prepare = prepare,
    .run = run,
};
