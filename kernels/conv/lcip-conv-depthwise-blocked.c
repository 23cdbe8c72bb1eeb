#include "config.h"
#include "lcip-depthwise-run.h"

#include <math.h>

/* Depthwise convolution over channel-blocked tensors. */

enum { RAW_PIXELS = 4 * DEPTHWISE_RUN };
static const double CHUNK_FLOPS = 5e5; /* these are bound by memory: about 20 us */

/* Chunks are @chunk_rows rows of one block. @raw: the epilogues need more than a clamp, so sums go
 * through a buffer. */
typedef struct {
  Depthwise depthwise;
  gint64 c, blocks, oh;
  gint64 chunk_rows, row_chunks;
  LcipTail tail;
  gboolean raw;
  const LcipCall *call;
  const float *weights, *biases;
} Conv;

static gboolean is_constant(const LcipStep *step, guint i) {
  return step->constants && step->constants[i] && step->inputs[i].type == LCIP_TYPE_F32;
}

static gboolean has_bias(const LcipStep *step) {
  return step->n_anchor_inputs > 2 && lcip_step_has_input(step, 2);
}

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  LcipTail tail;
  if (!lcip_is_image(&step->inputs[0]) || !lcip_is_image(&step->outputs[0]) ||
      !lcip_is_image(&step->inputs[1])) {
    *reason = "it takes f32 tensors of 4 dimensions";
    return FALSE;
  }
  const gint64 c = step->inputs[0].shape.dims[1];
  if (step->inputs[1].shape.dims[1] != 1 || step->inputs[1].shape.dims[0] != c) {
    *reason = "it convolves each channel with one window of its own";
    return FALSE;
  }
  if (!is_constant(step, 1) || (has_bias(step) && !is_constant(step, 2))) {
    *reason = "its weights must be constants";
    return FALSE;
  }
  if (!lcip_tail_init(&tail, step, reason))
    return FALSE;
  lcip_formats_dense(step, formats);
  formats->inputs[0] = formats->outputs[0] = LCIP_BLOCK_FORMAT;
  lcip_tail_formats(step, formats);
  return TRUE;
}

/* [block][ky][kx][channel in block], then the biases. */
static gboolean prepare(const LcipStep *step, const LcipPortFormats *formats, LcipBlob **blob,
                        GError **error) {
  const LcipShape *shape = &step->inputs[1].shape;
  const gint64 c = shape->dims[0], taps = shape->dims[2] * shape->dims[3];
  const gint64 padded = lcip_blocks(c, LCIP_BLOCK) * LCIP_BLOCK;
  const gsize bytes = (gsize)(padded * (taps + 1)) * sizeof(float);
  *blob = lcip_blob_new(bytes);
  if (!*blob) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY,
                "packed weights need %" G_GSIZE_FORMAT " bytes", bytes);
    return FALSE;
  }
  float *packed = lcip_blob_data(*blob);
  const float *w = lcip_tensor_get_data(step->constants[1]);
  for (gint64 i = 0; i < c; i++)
    for (gint64 tap = 0; tap < taps; tap++)
      packed[(i / LCIP_BLOCK * taps + tap) * LCIP_BLOCK + i % LCIP_BLOCK] = w[i * taps + tap];
  if (has_bias(step))
    memcpy(packed + padded * taps, lcip_tensor_get_data(step->constants[2]),
           (gsize)c * sizeof(float));
  return TRUE;
}

/* Row @oy of the vector at @lane of a block: @plane is the block's input, @at the row's place in
 * the output. */
static void run_row(const Conv *conv, gint64 block, int lane, const float *plane, gint64 oy,
                    gsize at) {
  const Depthwise *d = &conv->depthwise;
  const float *w = conv->weights + block * d->win.kernel[0] * d->win.kernel[1] * LCIP_BLOCK + lane;
  const float *bias = conv->biases + block * LCIP_BLOCK + lane;
  if (!conv->raw) {
    depthwise_pixels(d, plane + lane, w, bias, oy, 0, d->ow,
                     (float *)conv->call->outputs[0].data + at + lane);
    return;
  }
  float raw[RAW_PIXELS * LCIP_BLOCK];
  const vi mask = v_lanes_below((int)CLAMP(conv->c - block * LCIP_BLOCK - lane, 0, LCIP_LANES));
  for (gint64 ox = 0; ox < d->ow; ox += RAW_PIXELS) {
    const gint64 end = MIN(ox + RAW_PIXELS, d->ow);
    depthwise_pixels(d, plane + lane, w, bias, oy, ox, end, raw);
    v_tail_store(&conv->tail, conv->call, raw, (int)(end - ox),
                 at + (gsize)(ox * LCIP_BLOCK + lane), mask);
  }
}

/* All channels of some rows, then the next rows: as convolutions go, so that a thread reads what it
 * wrote. */
static void run_chunk(gpointer data, guint chunk, guint worker) {
  const Conv *conv = data;
  const Depthwise *d = &conv->depthwise;
  const gint64 planes = conv->call->inputs[0].shape.dims[0] * conv->blocks;
  const gint64 part = chunk / planes, image_block = chunk % planes;
  const float *plane =
      (const float *)conv->call->inputs[0].data + image_block * d->h * d->w * LCIP_BLOCK;
  const gint64 end = MIN((part + 1) * conv->chunk_rows, conv->oh);
  for (gint64 oy = part * conv->chunk_rows; oy < end; oy++)
    for (int lane = 0; lane < LCIP_BLOCK; lane += LCIP_LANES)
      run_row(conv, image_block % conv->blocks, lane, plane, oy,
              (gsize)((image_block * conv->oh + oy) * d->ow * LCIP_BLOCK));
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *in = &call->inputs[0].shape, *out = &call->outputs[0].shape;
  Conv conv = {.c = in->dims[1], .oh = out->dims[2], .call = call};
  Depthwise *d = &conv.depthwise;
  const char *reason = NULL;
  if (!lcip_tail_init(&conv.tail, call->step, &reason)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "Conv cannot be computed: %s", reason);
    return FALSE;
  }
  if (!lcip_plane_window_init(&d->win, LCIP_WINDOW_CONV, call->step, in, error))
    return FALSE;
  conv.blocks = lcip_blocks(conv.c, LCIP_BLOCK);
  d->h = in->dims[2];
  d->w = in->dims[3];
  d->ow = out->dims[3];
  const gint64 taps = d->win.kernel[0] * d->win.kernel[1];
  conv.weights = lcip_blob_data(call->prepared);
  conv.biases = conv.weights + conv.blocks * taps * LCIP_BLOCK;
  conv.raw = !conv.tail.simple || conv.tail.side_input >= 0 ||
             (conv.tail.dirty && conv.c % LCIP_BLOCK != 0);
  d->lo = conv.raw ? -INFINITY : conv.tail.lo;
  d->hi = conv.raw ? INFINITY : conv.tail.hi;
  const double row_flops = 2.0 * (double)(d->ow * LCIP_BLOCK * taps);
  conv.chunk_rows = CLAMP((gint64)(CHUNK_FLOPS / row_flops), 1, conv.oh);
  conv.row_chunks = lcip_blocks(conv.oh, conv.chunk_rows);
  lcip_team_run(team, (guint)(in->dims[0] * conv.blocks * conv.row_chunks), run_chunk, &conv);
  return TRUE;
}

const LcipKernel LCIP_ISA_KERNEL(conv_depthwise_blocked) = {
    .name = LCIP_ISA_NAME("conv-depthwise-blocked"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"Conv", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .inplace = TRUE,
    .prepared_inputs = 1 << 1 | 1 << 2,
    .supports = supports,
    .prepare = prepare,
    .run = run,
};
