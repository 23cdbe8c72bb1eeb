#include "config.h"
#include "lcip-vec.h"

#include <math.h>

/* Depthwise convolution over channel-blocked tensors: each lane has its own channel and weights, so
 * a row of output pixels is a sum of input rows times vectors. Pixels whose window leaves the input
 * are done one by one with the part of the window that is inside; the others in runs of RUN or a
 * half or a quarter of that. */

enum { RUN = 8 };
static const double CHUNK_FLOPS = 5e5; /* these are bound by memory: about 20 us */

/* Chunks are @chunk_rows rows of one block. @raw: the epilogues need more than a clamp between @lo
 * and @hi, so sums go through a buffer. */
typedef struct {
  LcipPlaneWindow win;
  gint64 c, blocks, h, w, oh, ow;
  gint64 chunk_rows, row_chunks;
  LcipTail tail;
  gboolean raw;
  float lo, hi;
  const LcipCall *call;
  const float *weights, *biases;
} Conv;

static gint64 divide_up(gint64 a, gint64 b) {
  return (a + b - 1) / b;
}

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

/* The part of the window that lies inside for one output pixel or a run of them: rows [y, y_end),
 * columns [x, x_end). @in: where tap (0, 0) of the first pixel reads the block's plane; it may lie
 * outside. @at: place in the output. @channels: of the block that are no padding. */
typedef struct {
  const float *in, *w, *bias;
  gint64 y, y_end, x, x_end;
  gsize at;
  int channels;
} Part;

LCIP_INLINE void sum_part(const Conv *conv, const Part *p, float *out, const int pixels,
                          const int stride, const int lane) {
  const LcipPlaneWindow *win = &conv->win;
  vf sum[RUN];
  LCIP_UNROLL
  for (int i = 0; i < pixels; i++)
    sum[i] = v_load(p->bias + lane);
  for (gint64 ky = p->y; ky < p->y_end; ky++) {
    const gint64 row = ky * win->dilation[0] * conv->w;
    for (gint64 kx = p->x; kx < p->x_end; kx++) {
      const float *x = p->in + (row + kx * win->dilation[1]) * LCIP_BLOCK + lane;
      const vf w = v_load(p->w + (ky * win->kernel[1] + kx) * LCIP_BLOCK + lane);
      LCIP_UNROLL
      for (int i = 0; i < pixels; i++)
        sum[i] += v_load(x + i * stride * LCIP_BLOCK) * w;
    }
  }
  const vf lo = v_set1(conv->lo), hi = v_set1(conv->hi);
  LCIP_UNROLL
  for (int i = 0; i < pixels; i++)
    v_store(out + i * LCIP_BLOCK + lane, v_min(hi, v_max(lo, sum[i])));
}

LCIP_INLINE void sum_pixels(const Conv *conv, const Part *p, float *out, const int pixels) {
  const int stride = (int)conv->win.stride[1];
  for (int lane = 0; lane < LCIP_BLOCK; lane += LCIP_LANES)
    if (stride == 1)
      sum_part(conv, p, out, pixels, 1, lane);
    else if (stride == 2)
      sum_part(conv, p, out, pixels, 2, lane);
    else
      sum_part(conv, p, out, pixels, stride, lane);
}

/* Epilogues on the sums in @raw, from there to the output, which may be a side input too. */
static void finish_part(const Conv *conv, const Part *p, float *raw, int pixels) {
  for (int lane = 0; lane < LCIP_BLOCK; lane += LCIP_LANES)
    v_tail_store(&conv->tail, conv->call, raw + lane, pixels, p->at + (gsize)lane,
                 v_lanes_below(p->channels - lane));
}

static void run_part(const Conv *conv, const Part *p, int pixels) {
  float raw[RUN * LCIP_BLOCK];
  float *out = conv->raw ? raw : (float *)conv->call->outputs[0].data + p->at;
  if (pixels == RUN)
    sum_pixels(conv, p, out, RUN);
  else if (pixels == RUN / 2)
    sum_pixels(conv, p, out, RUN / 2);
  else if (pixels == RUN / 4)
    sum_pixels(conv, p, out, RUN / 4);
  else
    sum_pixels(conv, p, out, 1);
  if (conv->raw)
    finish_part(conv, p, raw, pixels);
}

/* Window taps [*begin, *end) that fall into 0 .. size - 1 when tap 0 falls on @first. */
static void taps_inside(gint64 first, gint64 size, gint64 kernel, gint64 dilation, gint64 *begin,
                        gint64 *end) {
  *begin = first < 0 ? MIN(divide_up(-first, dilation), kernel) : 0;
  *end = first < size ? MIN(divide_up(size - first, dilation), kernel) : 0;
  *end = MAX(*end, *begin);
}

/* Pixels from @ox on that can be done together: their windows, the first at @x, are inside. */
static int run_length(const Conv *conv, gint64 ox, gint64 x) {
  const LcipPlaneWindow *win = &conv->win;
  const gint64 room = conv->w - 1 - (win->kernel[1] - 1) * win->dilation[1] - x;
  if (x < 0 || room < 0)
    return 1;
  const gint64 most = MIN(room / win->stride[1] + 1, conv->ow - ox);
  return most >= RUN ? RUN : most >= RUN / 2 ? RUN / 2 : most >= RUN / 4 ? RUN / 4 : 1;
}

static void run_row(const Conv *conv, Part *p, const float *plane, gsize out_plane, gint64 oy) {
  const LcipPlaneWindow *win = &conv->win;
  const gint64 y = oy * win->stride[0] - win->pad_begin[0];
  taps_inside(y, conv->h, win->kernel[0], win->dilation[0], &p->y, &p->y_end);
  for (gint64 ox = 0; ox < conv->ow;) {
    const gint64 x = ox * win->stride[1] - win->pad_begin[1];
    const int pixels = run_length(conv, ox, x);
    taps_inside(x, conv->w, win->kernel[1], win->dilation[1], &p->x, &p->x_end);
    p->in = plane + (y * conv->w + x) * LCIP_BLOCK;
    p->at = out_plane + (gsize)((oy * conv->ow + ox) * LCIP_BLOCK);
    run_part(conv, p, pixels);
    ox += pixels;
  }
}

static void run_chunk(gpointer data, guint chunk, guint worker) {
  const Conv *conv = data;
  const gint64 part = chunk % conv->row_chunks, image_block = chunk / conv->row_chunks;
  const gint64 block = image_block % conv->blocks;
  const gint64 taps = conv->win.kernel[0] * conv->win.kernel[1];
  Part p = {.w = conv->weights + block * taps * LCIP_BLOCK,
            .bias = conv->biases + block * LCIP_BLOCK,
            .channels = (int)MIN(LCIP_BLOCK, conv->c - block * LCIP_BLOCK)};
  const float *plane =
      (const float *)conv->call->inputs[0].data + image_block * conv->h * conv->w * LCIP_BLOCK;
  const gsize out_plane = (gsize)(image_block * conv->oh * conv->ow * LCIP_BLOCK);
  const gint64 end = MIN((part + 1) * conv->chunk_rows, conv->oh);
  for (gint64 oy = part * conv->chunk_rows; oy < end; oy++)
    run_row(conv, &p, plane, out_plane, oy);
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *in = &call->inputs[0].shape, *out = &call->outputs[0].shape;
  Conv conv = {.c = in->dims[1], .h = in->dims[2], .w = in->dims[3], .call = call};
  const char *reason = NULL;
  if (!lcip_tail_init(&conv.tail, call->step, &reason)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "Conv cannot be computed: %s", reason);
    return FALSE;
  }
  if (!lcip_plane_window_init(&conv.win, LCIP_WINDOW_CONV, call->step, in, error))
    return FALSE;
  conv.blocks = lcip_blocks(conv.c, LCIP_BLOCK);
  conv.oh = out->dims[2];
  conv.ow = out->dims[3];
  const gint64 taps = conv.win.kernel[0] * conv.win.kernel[1];
  conv.weights = lcip_blob_data(call->prepared);
  conv.biases = conv.weights + conv.blocks * taps * LCIP_BLOCK;
  conv.raw = !conv.tail.simple || conv.tail.side_input >= 0 ||
             (conv.tail.dirty && conv.c % LCIP_BLOCK != 0);
  conv.lo = conv.raw ? -INFINITY : conv.tail.lo;
  conv.hi = conv.raw ? INFINITY : conv.tail.hi;
  const double row_flops = 2.0 * (double)(conv.ow * LCIP_BLOCK * taps);
  conv.chunk_rows = CLAMP((gint64)(CHUNK_FLOPS / row_flops), 1, conv.oh);
  conv.row_chunks = divide_up(conv.oh, conv.chunk_rows);
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
