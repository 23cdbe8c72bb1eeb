#include "config.h"
#include "lcip-conv-micro.h"
#include "lcip-expand-depthwise.h"

#include <math.h>

/* lcip.ExpandDepthwise over blocked tensors. What the 1x1 convolution gives is the largest tensor
 * of a mobile network's block; it is never written. A tile of its channels is made row by row into
 * a ring of as many rows as the depthwise window has, which stays in the first or second level
 * cache, and each row of results is computed as soon as its rows are there. Where tiles are few the
 * rows of the output are split too: then the rows that two parts need are computed twice. */

enum { MAX_KERNEL = 7, MIN_CHUNKS = 8, MOST_FETCHING_RUNS = 32, LINE_ELEMS = 16 };

/* @blocks_in: of the input; @c channels between and after, in @tiles of GROUP. A row of the ring
 * has
 * @cols pixels, @left of them before the first of the image. */
typedef struct {
  LcipWindow win;
  gint64 n, cin, blocks_in, h, w, c, blocks, tiles, oh, ow;
  gint64 parts, part_rows, cols, left;
} Shape;

/* @raw: the epilogues need more than a clamp between @lo and @hi. */
typedef struct {
  Shape s;
  LcipTail tail;
  LcipTailOp activation;
  gboolean active, raw;
  float lo, hi;
  gint64 workers;
  const LcipCall *call;
  const float *w, *bias, *depthwise, *depthwise_bias;
} Expand;

/* A tile of one image and part, from channel @first on: @ring is [block][row][column][channel];
 * rows before @next are in it as far as they are still needed. @weights: those of the tile that
 * this worker should come to next, from what is not yet fetched on; each run of pixels fetches
 * @fetch of them for each input channel (0: none). */
typedef struct {
  const float *in, *weights;
  float *ring;
  gsize block_elems, row_elems;
  gint64 image, tile, first, next, fetch;
  int vecs;
} Tile;

static gint64 divide_up(gint64 a, gint64 b) {
  return (a + b - 1) / b;
}

static gint64 kernel_rows(const Shape *s) {
  return s->win.kernel[1];
}

static gboolean shape_init(Shape *s, const LcipStep *step, const LcipShape *in, GError **error) {
  *s = (Shape){.n = in->dims[0], .cin = in->dims[1], .h = in->dims[2], .w = in->dims[3]};
  if (!lcip_expand_window_init(&s->win, step, in, error))
    return FALSE;
  s->c = step->inputs[LCIP_EXPAND_W].shape.dims[0];
  s->blocks_in = lcip_blocks(s->cin, LCIP_BLOCK);
  s->blocks = lcip_blocks(s->c, LCIP_BLOCK);
  s->tiles = divide_up(s->blocks * LCIP_BLOCK, GROUP);
  s->oh = s->win.out[1];
  s->ow = s->win.out[2];
  s->parts = CLAMP(divide_up(MIN_CHUNKS, MAX(1, s->n * s->tiles)), 1, MAX(1, s->oh / 8));
  s->part_rows = divide_up(s->oh, s->parts);
  s->parts = divide_up(s->oh, s->part_rows);
  s->left = s->win.pad_begin[2];
  s->cols = MAX(s->left + s->w, (s->ow - 1) * s->win.stride[2] + s->win.kernel[2]);
  return TRUE;
}

/* ---- support and preparation ---- */

static gboolean is_constant(const LcipStep *step, guint i) {
  return !lcip_step_has_input(step, i) || (step->constants && step->constants[i]);
}

static gboolean window_fits(const LcipWindow *w) {
  return w->dilation[1] == 1 && w->dilation[2] == 1 && w->kernel[1] <= MAX_KERNEL &&
         w->kernel[2] <= MAX_KERNEL;
}

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  LcipTail tail;
  LcipWindow window;
  if (!lcip_step_all_f32(step, 0) || !lcip_is_image(&step->inputs[0]) ||
      !lcip_is_image(&step->outputs[0])) {
    *reason = "it takes f32 tensors of 4 dimensions";
    return FALSE;
  }
  for (guint i = 1; i < LCIP_EXPAND_INPUTS; i++)
    if (!is_constant(step, i)) {
      *reason = "its weights must be constants";
      return FALSE;
    }
  if (!lcip_expand_window_init(&window, step, &step->inputs[0].shape, NULL) ||
      !window_fits(&window)) {
    *reason = "it takes windows of at most 7x7 without gaps";
    return FALSE;
  }
  if (!lcip_tail_init(&tail, step, reason))
    return FALSE;
  lcip_formats_dense(step, formats);
  formats->inputs[0] = formats->outputs[0] = LCIP_BLOCK_FORMAT;
  lcip_tail_formats(step, formats);
  return TRUE;
}

/* Input channels as the micro-kernel reads them. */
static gint64 padded_cin(const Shape *s) {
  return divide_up(s->cin, V_CHANNELS) * V_CHANNELS;
}

static gsize tile_row_elems(const Shape *s) {
  return (gsize)(s->cols * LCIP_BLOCK);
}

static gsize ring_elems(const Shape *s) {
  return (gsize)(MAX(GROUP, LCIP_BLOCK) / LCIP_BLOCK * kernel_rows(s)) * tile_row_elems(s);
}

static gsize scratch_bytes(const LcipStep *step, const LcipPortFormats *formats, guint workers) {
  Shape s;
  return shape_init(&s, step, &step->inputs[0].shape, NULL)
             ? ring_elems(&s) * sizeof(float) * workers
             : 0;
}

/* OI -> [tile][input channel][output channel in tile]. */
static float *pack_expand(const Shape *s, const float *w, float *packed) {
  for (gint64 tile = 0; tile < s->tiles; tile++) {
    const gint64 first = micro_tile_first(s->c, tile);
    for (gint64 c = 0; c < padded_cin(s); c++)
      for (gint64 lane = 0; lane < micro_tile_vecs(s->c, tile) * LCIP_LANES; lane++) {
        const gint64 oc = first + micro_lane_channel(s->c - first, lane);
        *packed++ = oc < s->c && c < s->cin ? w[oc * s->cin + c] : 0.0f;
      }
  }
  return packed;
}

/* [block][tap][channel in block] */
static float *pack_depthwise(const Shape *s, const float *w, float *packed) {
  const gint64 taps = s->win.kernel[1] * s->win.kernel[2];
  for (gint64 block = 0; block < s->blocks; block++)
    for (gint64 tap = 0; tap < taps; tap++)
      for (gint64 c = block * LCIP_BLOCK; c < (block + 1) * LCIP_BLOCK; c++)
        *packed++ = c < s->c ? w[c * taps + tap] : 0.0f;
  return packed;
}

static float *pack_bias(const Shape *s, const LcipStep *step, guint i, float *packed) {
  if (lcip_step_has_input(step, i))
    memcpy(packed, lcip_tensor_get_data(step->constants[i]), (gsize)s->c * sizeof(float));
  return packed + s->blocks * LCIP_BLOCK;
}

static gboolean prepare(const LcipStep *step, const LcipPortFormats *formats, LcipBlob **blob,
                        GError **error) {
  Shape s;
  if (!shape_init(&s, step, &step->inputs[0].shape, error))
    return FALSE;
  const gint64 taps = s.win.kernel[1] * s.win.kernel[2];
  const gsize bytes = (gsize)(s.blocks * LCIP_BLOCK * (padded_cin(&s) + taps + 2)) * sizeof(float);
  *blob = lcip_blob_new(bytes);
  if (!*blob) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY,
                "packed weights need %" G_GSIZE_FORMAT " bytes", bytes);
    return FALSE;
  }
  float *packed = lcip_blob_data(*blob);
  packed = pack_expand(&s, lcip_tensor_get_data(step->constants[LCIP_EXPAND_W]), packed);
  packed = pack_bias(&s, step, LCIP_EXPAND_B, packed);
  packed =
      pack_depthwise(&s, lcip_tensor_get_data(step->constants[LCIP_EXPAND_DEPTHWISE_W]), packed);
  pack_bias(&s, step, LCIP_EXPAND_DEPTHWISE_B, packed);
  return TRUE;
}

/* ---- the 1x1 convolution ---- */

static float *ring_row(const Shape *s, const Tile *t, gint64 y) {
  return t->ring + (gsize)(y % kernel_rows(s)) * t->row_elems;
}

/* Row @y of the tile into the ring. */
static void expand_row(const Expand *e, Tile *t, gint64 y) {
  const Shape *s = &e->s;
  const gint64 runs = divide_up(s->w, PIXELS), last = (s->blocks_in - 1) * LCIP_BLOCK;
  const gboolean clamp = e->active && e->activation.kind == LCIP_TAIL_CLAMP;
  Micro m = {.w = e->w + t->first * padded_cin(s),
             .bias = e->bias + t->first,
             .x_block = (gsize)(s->h * s->w * LCIP_BLOCK),
             .vec_stride = LCIP_BLOCK_VECS > 1 ? LCIP_LANES : t->block_elems,
             .out_step = LCIP_BLOCK,
             .channels = (int)MIN(t->vecs * LCIP_LANES, s->c - t->first),
             .next_step = t->fetch,
             .n_blocks = s->blocks_in,
             .last_depth = padded_cin(s) - last,
             .lo = clamp ? e->activation.a : -INFINITY,
             .hi = clamp ? e->activation.b : INFINITY};
  for (gint64 run = 0; run < runs; run++) {
    const gint64 begin = s->w * run / runs, end = s->w * (run + 1) / runs;
    m.x = t->in + (y * s->w + begin) * LCIP_BLOCK;
    m.out = ring_row(s, t, y) + (s->left + begin) * LCIP_BLOCK;
    m.next = t->weights;
    lcip_conv_micro(&m, t->fetch ? MICRO_POINT_FETCH : MICRO_POINT, (int)(end - begin), t->vecs);
    t->weights += t->fetch * padded_cin(s);
    for (int v = 0; e->active && !clamp && v < t->vecs; v++) {
      float *out = m.out + (gsize)v * m.vec_stride;
      v_tail_each(&e->activation, NULL, out, out, (int)(end - begin), v_lanes_below(LCIP_LANES));
    }
  }
}

/* ---- the depthwise convolution ---- */

/* A run of results of one vector: rows [ky, ky_end) of the window, the first column at @rows. */
typedef struct {
  const float *rows[MAX_KERNEL], *w, *bias;
  gint64 ky, ky_end;
  float lo, hi;
} Run;

LCIP_INLINE void sum_run(const Run *r, float *out, const int pixels, const int width,
                         const int stride) {
  vf sum[PIXELS];
  LCIP_UNROLL
  for (int i = 0; i < pixels; i++)
    sum[i] = v_load(r->bias);
  for (gint64 ky = r->ky; ky < r->ky_end; ky++) {
    const float *x = r->rows[ky], *w = r->w + ky * width * LCIP_BLOCK;
    LCIP_UNROLL
    for (int kx = 0; kx < width; kx++) {
      const vf weight = v_load(w + kx * LCIP_BLOCK);
      LCIP_UNROLL
      for (int i = 0; i < pixels; i++)
        sum[i] += v_load(x + (i * stride + kx) * LCIP_BLOCK) * weight;
    }
  }
  const vf lo = v_set1(r->lo), hi = v_set1(r->hi);
  LCIP_UNROLL
  for (int i = 0; i < pixels; i++)
    v_store(out + i * LCIP_BLOCK, v_min(hi, v_max(lo, sum[i])));
}

enum { LONG_RUN = PIXELS, MIDDLE_RUN = LONG_RUN / 2, SHORT_RUN = 2 };

LCIP_INLINE void sum_pixels(const Run *r, float *out, int pixels, const int width,
                            const int stride) {
  if (pixels == LONG_RUN)
    sum_run(r, out, LONG_RUN, width, stride);
  else if (pixels == MIDDLE_RUN)
    sum_run(r, out, MIDDLE_RUN, width, stride);
  else if (pixels == SHORT_RUN)
    sum_run(r, out, SHORT_RUN, width, stride);
  else
    sum_run(r, out, 1, width, stride);
}

static void sum_any(const Shape *s, const Run *r, float *out, int pixels) {
  const int width = (int)s->win.kernel[2], stride = (int)s->win.stride[2];
  if (width == 3 && stride == 1)
    sum_pixels(r, out, pixels, 3, 1);
  else if (width == 3 && stride == 2)
    sum_pixels(r, out, pixels, 3, 2);
  else if (width == 5 && stride == 1)
    sum_pixels(r, out, pixels, 5, 1);
  else if (width == 5 && stride == 2)
    sum_pixels(r, out, pixels, 5, 2);
  else
    for (int i = 0; i < pixels; i++) {
      Run one = *r;
      for (gint64 ky = r->ky; ky < r->ky_end; ky++)
        one.rows[ky] += i * stride * LCIP_BLOCK;
      sum_run(&one, out + i * LCIP_BLOCK, 1, width, stride);
    }
}

static int run_length(gint64 left) {
  return left >= LONG_RUN     ? LONG_RUN
         : left >= MIDDLE_RUN ? MIDDLE_RUN
         : left >= SHORT_RUN  ? SHORT_RUN
                              : 1;
}

/* Row @oy of vector @v of the tile. */
static void depthwise_row(const Expand *e, const Tile *t, gint64 oy, int v) {
  const Shape *s = &e->s;
  const gint64 taps = s->win.kernel[1] * s->win.kernel[2];
  const gint64 vec = t->first / LCIP_LANES + v, block = vec / LCIP_BLOCK_VECS;
  const gint64 lane = vec % LCIP_BLOCK_VECS * LCIP_LANES;
  const gint64 y = oy * s->win.stride[1] - s->win.pad_begin[1];
  const vi mask = v_lanes_below((int)CLAMP(s->c - block * LCIP_BLOCK - lane, 0, LCIP_LANES));
  float raw[PIXELS * LCIP_BLOCK];
  Run r = {.w = e->depthwise + block * taps * LCIP_BLOCK + lane,
           .bias = e->depthwise_bias + block * LCIP_BLOCK + lane,
           .ky = MAX(0, -y),
           .ky_end = CLAMP(s->h - y, 0, kernel_rows(s)),
           .lo = e->lo,
           .hi = e->hi};
  const gsize place = LCIP_BLOCK_VECS > 1 ? (gsize)lane : (gsize)v * t->block_elems;
  gsize at = (gsize)(((t->image * s->blocks + block) * s->oh + oy) * s->ow * LCIP_BLOCK + lane);
  for (gint64 ox = 0; ox < s->ow;) {
    const int pixels = run_length(s->ow - ox);
    for (gint64 ky = r.ky; ky < r.ky_end; ky++)
      r.rows[ky] = ring_row(s, t, y + ky) + place + ox * s->win.stride[2] * LCIP_BLOCK;
    sum_any(s, &r, e->raw ? raw : (float *)e->call->outputs[0].data + at, pixels);
    if (e->raw)
      v_tail_store(&e->tail, e->call, raw, pixels, at, mask);
    ox += pixels;
    at += (gsize)(pixels * LCIP_BLOCK);
  }
}

/* ---- running ---- */

/* Zeros beside the image in all rows of the ring. */
static void clear_sides(const Shape *s, const Tile *t) {
  const gint64 right = s->cols - s->left - s->w;
  const gint64 rows = kernel_rows(s) * (LCIP_BLOCK_VECS > 1 ? 1 : t->vecs);
  for (gint64 row = 0; row < rows; row++) {
    float *first = t->ring + (gsize)row * t->row_elems;
    memset(first, 0, (gsize)(s->left * LCIP_BLOCK) * sizeof(float));
    memset(first + (s->left + s->w) * LCIP_BLOCK, 0, (gsize)(right * LCIP_BLOCK) * sizeof(float));
  }
}

/* Weights that few pixels use come from far: those of the next tile are fetched meanwhile, the
 * depthwise convolution's at once. */
static void plan_fetch(const Expand *e, Tile *t) {
  const Shape *s = &e->s;
  const gint64 runs = s->h * divide_up(s->w, PIXELS), tile = t->tile + e->workers;
  if (s->parts > 1 || runs > MOST_FETCHING_RUNS || tile >= s->tiles)
    return;
  const gint64 first = micro_tile_first(s->c, tile);
  const gint64 depthwise = s->win.kernel[1] * s->win.kernel[2] * LCIP_BLOCK;
  const float *w = e->depthwise + first / LCIP_BLOCK * depthwise;
  for (gint64 i = 0; i < depthwise * GROUP / LCIP_BLOCK; i += LINE_ELEMS)
    __builtin_prefetch(w + i, 0, 2);
  t->weights = e->w + first * padded_cin(s);
  t->fetch = divide_up(GROUP, runs);
}

static void run_chunk(gpointer data, guint chunk, guint worker) {
  const Expand *e = data;
  const Shape *s = &e->s;
  const gint64 part = chunk % s->parts, rest = chunk / s->parts;
  const gint64 begin = part * s->part_rows, end = MIN(begin + s->part_rows, s->oh);
  Tile t = {.image = rest / s->tiles,
            .tile = rest % s->tiles,
            .row_elems = tile_row_elems(s),
            .block_elems = (gsize)kernel_rows(s) * tile_row_elems(s),
            .next = MAX(0, begin * s->win.stride[1] - s->win.pad_begin[1])};
  t.first = micro_tile_first(s->c, t.tile);
  t.vecs = micro_tile_vecs(s->c, t.tile);
  t.ring = (float *)e->call->scratch + (gsize)worker * ring_elems(s);
  t.in = (const float *)e->call->inputs[0].data + t.image * s->blocks_in * s->h * s->w * LCIP_BLOCK;
  clear_sides(s, &t);
  plan_fetch(e, &t);
  for (gint64 oy = begin; oy < end; oy++) {
    const gint64 y = oy * s->win.stride[1] - s->win.pad_begin[1];
    for (t.next = MAX(t.next, y); t.next < MIN(s->h, y + kernel_rows(s)); t.next++)
      expand_row(e, &t, t.next);
    for (int v = 0; v < t.vecs; v++)
      depthwise_row(e, &t, oy, v);
  }
}

static void find_activation(Expand *e, const LcipStep *step) {
  const LcipAttrs *attrs = step->attrs;
  const LcipOperator *op = lcip_expand_activation(step);
  if (!op)
    return;
  g_autoptr(LcipAttrs) parameters = lcip_attrs_new(op);
  e->active = lcip_tail_function(&e->activation, op->name, parameters);
  if (!lcip_operator_find_attr(op, "alpha") && !g_str_equal(op->name, "Clip"))
    return;
  e->activation.a = lcip_attrs_get_float(attrs, "alpha");
  e->activation.b = lcip_attrs_get_float(attrs, "beta");
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  Expand e = {.call = call};
  const char *reason = NULL;
  if (!lcip_tail_init(&e.tail, call->step, &reason)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "%s cannot be computed: %s",
                call->step->op->name, reason);
    return FALSE;
  }
  if (!shape_init(&e.s, call->step, &call->inputs[0].shape, error))
    return FALSE;
  const Shape *s = &e.s;
  const gint64 padded = s->blocks * LCIP_BLOCK;
  find_activation(&e, call->step);
  e.raw = !e.tail.simple || e.tail.side_input >= 0 || (e.tail.dirty && s->c % LCIP_BLOCK != 0);
  e.lo = e.raw ? -INFINITY : e.tail.lo;
  e.hi = e.raw ? INFINITY : e.tail.hi;
  e.w = lcip_blob_data(call->prepared);
  e.bias = e.w + padded * padded_cin(s);
  e.depthwise = e.bias + padded;
  e.depthwise_bias = e.depthwise + padded * s->win.kernel[1] * s->win.kernel[2];
  lcip_team_run(team, (guint)(s->n * s->tiles * s->parts), run_chunk, &e);
  return TRUE;
}

const LcipKernel LCIP_ISA_KERNEL(expand_depthwise_blocked) = {
    .name = LCIP_ISA_NAME("expand-depthwise-blocked"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"lcip.ExpandDepthwise", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .inplace = TRUE,
    .prepared_inputs = 1 << LCIP_EXPAND_W | 1 << LCIP_EXPAND_B | 1 << LCIP_EXPAND_DEPTHWISE_W |
                       1 << LCIP_EXPAND_DEPTHWISE_B,
    .supports = supports,
    .scratch_bytes = scratch_bytes,
    .prepare = prepare,
    .run = run,
};
