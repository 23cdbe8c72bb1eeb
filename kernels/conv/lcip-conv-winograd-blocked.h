#pragma once

/* Tiles of TILE_Y x TILE_X outputs of windows of TAPS_Y x TAPS_X; whoever includes this has defined
 * these, WINOGRAD_NAME and WINOGRAD_KERNEL; WINOGRAD_POOLS for lcip.ConvMaxPool too,
 * WINOGRAD_SWEEPS where several firings may share a sweep over the weights. */
enum {
  SIDE_Y = TILE_Y + TAPS_Y - 1,
  SIDE_X = TILE_X + TAPS_X - 1,
  WINOGRAD_MAX_SIDE = 10,
  WINOGRAD_MAX_TAPS = 7
};

#include "lcip-winograd-micro.h"
#include "lcip-winograd-pack.h"
#include "lcip-winograd-transform.h"
#include "lcip-winograd-vec.h"
#include "lcip-winograd.h"

#include <math.h>

/*
 * Winograd convolution over channel-blocked tensors, in one of two ways with the same results.
 *
 * Fused: a chunk is a number of tiles small enough that their transformed input stays in the L2
 * cache. For each pair of output vectors it multiplies all frequencies and transforms the products
 * back at once, so these never leave the cache either, and the weights are read once, in order. No
 * chunk waits for another.
 *
 * Staged, where chunks would read large weights again and again: all input is transformed, then
 * each frequency multiplied for all tiles, then all is transformed back; so each weight is read
 * once. What passes between stages leaves the L2 cache and is fetched before it is needed.
 *
 * ConvMaxPool stores the largest of each 2x2 outputs alone: tiles have even sides, so that no 2x2
 * lies in two of them. */

#define GROUP (2 * LCIP_LANES) /* output channels of a micro-kernel */

/* Staged: parts of the tiles that are chunks of their own, for each block or group. */
enum { STAGE_PARTS = 2 };
/* Fewer channels than this make transforms dearer than the products they save. */
enum { MIN_CHANNELS = 16, MIN_PHASES = 12 };

/* For sums of some thousand products that are up to 1 each. */
#define TOLERANCE (SIDE_Y < 9 || SIDE_X < 2 ? 1e-3f : SIDE_X < 9 ? 3e-3f : 8e-3f)

static const LcipWinogradIsa isa = {LCIP_BLOCK, LCIP_LANES, ROWS, V_CHANNELS};
static const LcipWinogradTile tile_shape = {TILE_Y, TILE_X, TAPS_Y, TAPS_X};

/* ---- support and preparation ---- */

static gsize divide_up(gsize a, gsize b) {
  return (a + b - 1) / b;
}

static gboolean is_constant(const LcipStep *step, guint i) {
  return step->constants && step->constants[i] && step->inputs[i].type == LCIP_TYPE_F32;
}

static gboolean has_bias(const LcipStep *step) {
  return step->n_anchor_inputs > 2 && lcip_step_has_input(step, 2);
}

static gboolean pays(const LcipWinograd *p, const char **reason) {
  const gboolean enough = p->c >= (p->stride > 1 ? MIN_PHASES : MIN_CHANNELS);
  if (!enough || p->oc < MIN_CHANNELS)
    *reason = "with fewer than 16 channels direct convolution is faster";
  return enough && p->oc >= MIN_CHANNELS;
}

static double estimate(const LcipStep *step) {
#ifdef WINOGRAD_SWEEPS
  return lcip_winograd_estimate(step, &isa, tile_shape, TRUE);
#else
  return lcip_winograd_estimate(step, &isa, tile_shape, FALSE);
#endif
}

static gboolean plan_init(LcipWinograd *plan, const LcipStep *step, GError **error) {
  return lcip_winograd_init(plan, step, &step->inputs[0].shape, &isa, tile_shape, error);
}

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  LcipTail tail;
  LcipWinograd plan;
  if (!lcip_is_image(&step->inputs[0]) || !lcip_is_image(&step->outputs[0]) ||
      !lcip_is_image(&step->inputs[1])) {
    *reason = "it takes f32 tensors of 4 dimensions";
    return FALSE;
  }
  if (!is_constant(step, 1) || (has_bias(step) && !is_constant(step, 2))) {
    *reason = "its weights must be constants";
    return FALSE;
  }
  if (!lcip_winograd_fits(step, tile_shape, reason) || !plan_init(&plan, step, NULL) ||
      !pays(&plan, reason) || !lcip_tail_init(&tail, step, reason))
    return FALSE;
  if (plan.stride > 1 && formats->inputs[0] != LCIP_FORMAT_DENSE) {
    *reason = "with a stride it takes dense inputs only";
    return FALSE;
  }
  lcip_formats_dense(step, formats);
  formats->inputs[0] = plan.stride > 1 ? LCIP_FORMAT_DENSE : LCIP_BLOCK_FORMAT;
  formats->outputs[0] = LCIP_BLOCK_FORMAT;
  lcip_tail_formats(step, formats);
  return TRUE;
}

/* The input's phases as channels, in blocks; they come first in the scratch. */
static gsize phase_elems(const LcipWinograd *p) {
  return p->stride > 1 ? (gsize)(p->n * p->blocks * p->h * p->w * LCIP_BLOCK) : 0;
}

static gsize scratch_bytes(const LcipStep *step, const LcipPortFormats *formats, guint workers) {
  (void)formats;
  LcipWinograd plan;
  if (!plan_init(&plan, step, NULL))
    return 0;
  const gsize elems = lcip_winograd_staged(&plan, &isa)
                          ? lcip_winograd_stage_elems(&plan, &isa)
                          : lcip_winograd_scratch_elems(&plan, &isa) * workers;
  const gsize lines = divide_up(phase_elems(&plan), CACHE_LINE_ELEMS);
  return (lines * CACHE_LINE_ELEMS + elems) * sizeof(float);
}

/* OIHW weights of the convolution of stride 1. */
static float *phase_weights(const LcipWinograd *p, const LcipStep *step, const float *w) {
  float *all = g_new(float, (gsize)(p->oc * p->c * TAPS_Y * TAPS_X)), *to = all;
  for (gint64 oc = 0; oc < p->oc; oc++)
    for (gint64 c = 0; c < p->c; c++)
      for (int k = 0; k < TAPS_Y * TAPS_X; k++) {
        const float *from = lcip_winograd_weight_at(p, step, w, oc, c, k / TAPS_X, k % TAPS_X);
        *to++ = from ? *from : 0.0f;
      }
  return all;
}

/* The blob: weights, then biases of whole vectors. */
static gsize blob_bytes(const LcipStep *step) {
  LcipWinograd plan;
  if (!plan_init(&plan, step, NULL))
    return 0;
  return (lcip_winograd_weight_elems(&plan, &isa) + (gsize)(plan.vecs * LCIP_LANES)) *
         sizeof(float);
}

static gboolean prepare(const LcipStep *step, const LcipPortFormats *formats, LcipBlob **blob,
                        GError **error) {
  (void)formats;
  LcipWinograd plan;
  if (!plan_init(&plan, step, error))
    return FALSE;
  const gsize weights = lcip_winograd_weight_elems(&plan, &isa);
  const gsize bytes = blob_bytes(step);
  *blob = lcip_blob_new(bytes);
  if (!*blob) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY,
                "transformed weights need %" G_GSIZE_FORMAT " bytes", bytes);
    return FALSE;
  }
  float *packed = lcip_blob_data(*blob);
  const float *w = lcip_tensor_get_data(step->constants[1]);
  g_autofree float *phases = plan.stride > 1 ? phase_weights(&plan, step, w) : NULL;
  winograd_pack(&plan, phases ? phases : w, packed);
  if (has_bias(step))
    memcpy(packed + weights, lcip_tensor_get_data(step->constants[2]),
           (gsize)plan.oc * sizeof(float));
  return TRUE;
}

/* ---- running ---- */

/* @pool: outputs along one side of what becomes one pixel; @oh, @ow: pixels of the result.
 * @next_freq: from a frequency that a worker multiplies to its next. @input: blocks of channels,
 * the call's or @phases. */
typedef struct {
  LcipWinograd plan;
  LcipWinogradSplit split;
  LcipTail tail;
  int pool;
  Way way;
  guint next_freq;
  gint64 oh, ow;
  const LcipCall *call;
  const float *weights, *biases, *input;
  float *phases, *scratch;
  gsize input_stride, product_stride, scratch_elems;
} Conv;

/* Tiles [tile, tile + n_tiles), groups [group, group_end) and input blocks likewise; @inputs and
 * @products of the first tile: the worker's scratch where fused. @next_freq: whose inputs are
 * fetched while another frequency is multiplied, or 0. */
typedef struct {
  gint64 tile, n_tiles, group, group_end, block, block_end, next_freq;
  float *inputs, *products;
} Chunk;

/* Where tile @index begins in the output. */
typedef struct {
  gint64 n, y, x;
} Place;

static Place place_of(const LcipWinograd *p, gint64 index) {
  const gint64 per_image = p->tile_rows * p->tile_cols;
  const gint64 rest = index % per_image;
  return (Place){index / per_image, rest / p->tile_cols * TILE_Y, rest % p->tile_cols * TILE_X};
}

static Patch patch_of(const LcipWinograd *p, Place at, const float *plane) {
  static const float zeros[SIDE_X * LCIP_BLOCK];
  const gint64 y = at.y - p->pad_y, x = at.x - p->pad_x;
  Patch patch;
  patch.first = (int)CLAMP(-x, 0, SIDE_X);
  patch.end = (int)CLAMP(p->w - x, patch.first, SIDE_X);
  for (int r = 0; r < SIDE_Y; r++)
    patch.rows[r] = y + r >= 0 && y + r < p->h
                        ? plane + ((y + r) * p->w + x + patch.first) * LCIP_BLOCK
                        : zeros;
  return patch;
}

static void transform_block(const Conv *conv, Place at, const float *plane, float *out) {
  const Patch patch = patch_of(&conv->plan, at, plane);
  for (int lane = 0; lane < LCIP_BLOCK; lane += LCIP_LANES, out += LCIP_LANES)
    transform_input_ways[conv->way](&patch, lane, out, conv->input_stride);
}

static void transform_inputs(const Conv *conv, const Chunk *chunk) {
  const LcipWinograd *p = &conv->plan;
  const gint64 plane = p->h * p->w * LCIP_BLOCK;
  for (gint64 block = chunk->block; block < chunk->block_end; block++)
    for (gint64 t = 0; t < chunk->n_tiles; t++) {
      const Place at = place_of(p, chunk->tile + t);
      transform_block(conv, at, conv->input + (at.n * p->blocks + block) * plane,
                      chunk->inputs + (block * p->max_tiles + t) * LCIP_BLOCK);
    }
}

/* Vectors of output channels in @group: 2, or 1 in the last. */
static int group_vecs(const LcipWinograd *p, gint64 group) {
  return (int)MIN(2, p->vecs - 2 * group);
}

static const float *group_weights(const Conv *conv, gint64 group, gint64 freq) {
  const LcipWinograd *p = &conv->plan;
  return conv->weights + group * GROUP * p->packed_c * p->freqs +
         freq * p->packed_c * group_vecs(p, group) * LCIP_LANES;
}

/* Part @part of @n_parts of the inputs of the chunk's next frequency. */
static void fetch_inputs(const Conv *conv, const Chunk *chunk, gint64 part, gint64 n_parts) {
  const gint64 n = conv->plan.blocks * conv->plan.max_tiles;
  const float *x = chunk->inputs + (gsize)chunk->next_freq * conv->input_stride;
  for (gint64 i = n * part / n_parts; i < n * (part + 1) / n_parts; i++)
    __builtin_prefetch(x + i * LCIP_BLOCK, 0, 2);
}

/* For one frequency of @parts parts of the tiles; @next: the weights that will be used next, of
 * which these fetch share @share of @n_shares. All parts fetch some of them: fetched during one
 * part alone, they would come too late. */
static Micro micro_of(const Conv *conv, gint64 group, gint64 freq, gint64 parts, const float *next,
                      gint64 share, gint64 n_shares) {
  const LcipWinograd *p = &conv->plan;
  const gint64 width = group_vecs(p, group) * LCIP_LANES;
  const gint64 next_step = divide_up(width, parts * n_shares);
  return (Micro){.w = group_weights(conv, group, freq),
                 .next = next + share * parts * next_step * p->packed_c,
                 .x_block = (gsize)(p->max_tiles * LCIP_BLOCK),
                 .out_vec = (gsize)(p->max_tiles * LCIP_LANES),
                 .next_step = (gsize)next_step,
                 .c = p->packed_c};
}

/* One frequency of the chunk's tiles; the rest as for micro_of(). */
static void multiply(const Conv *conv, const Chunk *chunk, gint64 group, gint64 freq,
                     const float *next, gint64 share, gint64 n_shares) {
  const LcipWinograd *p = &conv->plan;
  const gint64 parts = divide_up(chunk->n_tiles, ROWS);
  Micro m = micro_of(conv, group, freq, parts, next, share, n_shares);
  for (gint64 part = 0; part < parts; part++, m.next += m.next_step * (gsize)m.c) {
    const gint64 begin = chunk->n_tiles * part / parts;
    const gint64 end = chunk->n_tiles * (part + 1) / parts;
    m.x[0] = chunk->inputs + (gsize)freq * conv->input_stride + begin * LCIP_BLOCK;
    m.out[0] = chunk->products + (gsize)freq * conv->product_stride + begin * LCIP_LANES;
    if (chunk->next_freq)
      fetch_inputs(conv, chunk, group * parts + part, p->groups * parts);
    micros[end - begin - 1][group_vecs(p, group) - 1](&m);
  }
}

/* One output by the definition of convolution. */
static float convolve_one(const Conv *conv, gint64 n, gint64 oc, gint64 y, gint64 x) {
  const LcipWinograd *p = &conv->plan;
  const LcipStep *step = conv->call->step;
  const float *weights = lcip_tensor_get_data(step->constants[1]);
  float sum = conv->biases[oc];
  for (gint64 c = 0; c < p->c; c++) {
    const float *plane = conv->input + (n * p->blocks + c / LCIP_BLOCK) * p->h * p->w * LCIP_BLOCK;
    for (int k = 0; k < TAPS_Y * TAPS_X; k++) {
      const gint64 iy = y - p->pad_y + k / TAPS_X, ix = x - p->pad_x + k % TAPS_X;
      const float *w = lcip_winograd_weight_at(p, step, weights, oc, c, k / TAPS_X, k % TAPS_X);
      if (w && iy >= 0 && iy < p->h && ix >= 0 && ix < p->w)
        sum += *w * plane[(iy * p->w + ix) * LCIP_BLOCK + c % LCIP_BLOCK];
    }
  }
  return sum;
}

/* NaN and infinities would spread over the tile that they are in: it is computed by the definition,
 * from the weights as the model has them. */
static void convolve_tile(const Conv *conv, Place at, gint64 vec, int rows, int cols,
                          vf y[TILE_Y][TILE_X]) {
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < cols; c++)
      for (int lane = 0; lane < LCIP_LANES && vec * LCIP_LANES + lane < conv->plan.oc; lane++)
        y[r][c][lane] = convolve_one(conv, at.n, vec * LCIP_LANES + lane, at.y + r, at.x + c);
}

/* The largest of each 2x2 outputs, in place, in MaxPool's order. */
LCIP_INLINE void pool_tile(vf y[TILE_Y][TILE_X]) {
  LCIP_UNROLL
  for (int r = 0; r < TILE_Y / 2; r++)
    LCIP_UNROLL
  for (int c = 0; c < TILE_X / 2; c++) {
    vf value = v_larger(y[2 * r][2 * c + 1], y[2 * r][2 * c]);
    value = v_larger(y[2 * r + 1][2 * c], value);
    y[r][c] = v_larger(y[2 * r + 1][2 * c + 1], value);
  }
}

/* Stores @rows x @cols of a tile, the first pixel at element @first, with its epilogues: in
 * registers where they are @simple, else one by one. The next tile's pixels are fetched meanwhile.
 * @mask: channels that there are. */
LCIP_INLINE void store_pixels(const Conv *conv, vf y[TILE_Y][TILE_X], const int rows,
                              const int cols, gsize first, vi mask, const gboolean simple,
                              const gboolean add) {
  const LcipTail *tail = &conv->tail;
  const gsize row = (gsize)(conv->ow * LCIP_BLOCK);
  float *out = conv->call->outputs[0].data;
  const float *side = add ? conv->call->inputs[tail->side_input].data : NULL;
  const gboolean past = conv->way == WAY_STAGED_PAST;
  const vf lo = v_set1(tail->lo), hi = v_set1(tail->hi);
  for (int r = 0; r < rows; r++, first += row)
    for (int c = 0; c < cols; c++) {
      const gsize at = first + (gsize)(c * LCIP_BLOCK);
      if (!past)
        __builtin_prefetch(out + at + cols * LCIP_BLOCK, 1, 3);
      vf value = add ? y[r][c] + v_load(side + at) : y[r][c];
      value = simple ? v_min(hi, v_max(lo, value)) : v_tail(tail, conv->call, value, at);
      if (past)
        v_stream(out + at, v_mask(value, mask));
      else
        v_store(out + at, v_mask(value, mask));
    }
}

/* A sum with NaN or an infinity is none of the numbers whose product with 0 is 0, nor is one that
 * overflows; the latter costs time only. */
static void compute_tile(const Conv *conv, Place at, gint64 vec, const float *products,
                         vf y[TILE_Y][TILE_X]) {
  const LcipWinograd *p = &conv->plan;
  const vf bias = v_load(conv->biases + vec * LCIP_LANES);
  const gboolean pools = conv->pool > 1;
  const vf sum =
      transform_outputs[conv->way != WAY_FUSED][pools](products, conv->product_stride, bias, y);
  if (!v_any_nan(sum * 0.0f))
    return;
  transform_outputs[conv->way != WAY_FUSED][FALSE](products, conv->product_stride, bias, y);
  convolve_tile(conv, at, vec, (int)MIN(TILE_Y, p->oh - at.y), (int)MIN(TILE_X, p->ow - at.x), y);
  if (pools)
    pool_tile(y);
}

static void store_tile(const Conv *conv, Place at, gint64 vec, const float *products) {
  const LcipWinograd *p = &conv->plan;
  const gint64 block = at.n * (p->vecs / LCIP_BLOCK_VECS) + vec / LCIP_BLOCK_VECS;
  const gint64 pixel = (block * conv->oh + at.y / conv->pool) * conv->ow + at.x / conv->pool;
  const gsize first = (gsize)(pixel * LCIP_BLOCK + vec % LCIP_BLOCK_VECS * LCIP_LANES);
  const vi mask = v_lanes_below((int)CLAMP(p->oc - vec * LCIP_LANES, 0, LCIP_LANES));
  const int rows = (int)MIN(TILE_Y, p->oh - at.y) / conv->pool;
  const int cols = (int)MIN(TILE_X, p->ow - at.x) / conv->pool;
  vf y[TILE_Y][TILE_X];
  compute_tile(conv, at, vec, products, y);
  if (!conv->tail.simple)
    store_pixels(conv, y, rows, cols, first, mask, FALSE, FALSE);
  else if (conv->tail.side_input >= 0)
    store_pixels(conv, y, rows, cols, first, mask, TRUE, TRUE);
  else if (cols == TILE_X)
    store_pixels(conv, y, rows, TILE_X, first, mask, TRUE, FALSE);
  else if (cols == TILE_X / 2)
    store_pixels(conv, y, rows, TILE_X / 2, first, mask, TRUE, FALSE);
  else
    store_pixels(conv, y, rows, cols, first, mask, TRUE, FALSE);
}

/* @products: of the group. */
static void store_tiles(const Conv *conv, const Chunk *chunk, gint64 group, const float *products) {
  const LcipWinograd *p = &conv->plan;
  for (int v = 0; v < group_vecs(p, group); v++)
    for (gint64 t = 0; t < chunk->n_tiles; t++)
      store_tile(conv, place_of(p, chunk->tile + t), 2 * group + v,
                 products + (v * p->max_tiles + t) * LCIP_LANES);
}

/* ---- fused ---- */

static void run_chunk(gpointer data, guint index, guint worker) {
  const Conv *conv = data;
  const LcipWinograd *p = &conv->plan;
  const LcipWinogradSplit *split = &conv->split;
  Chunk chunk = {.tile = index / split->group_chunks * split->tiles,
                 .group = index % split->group_chunks * split->groups,
                 .block_end = p->blocks};
  chunk.n_tiles = MIN(split->tiles, p->tiles - chunk.tile);
  chunk.group_end = MIN(chunk.group + split->groups, p->groups);
  chunk.inputs = conv->scratch + worker * conv->scratch_elems;
  chunk.products = chunk.inputs + (gsize)p->freqs * conv->input_stride;
  transform_inputs(conv, &chunk);
  for (gint64 group = chunk.group; group < chunk.group_end; group++) {
    for (gint64 freq = 0; freq < p->freqs; freq++)
      multiply(conv, &chunk, group, freq, group_weights(conv, group, freq + 1), 0, 1);
    store_tiles(conv, &chunk, group, chunk.products);
  }
}

/* ---- staged ---- */

/* Products of all tiles with @group. */
static float *stage_products(const Conv *conv, gint64 group) {
  const LcipWinograd *p = &conv->plan;
  return conv->scratch + (gsize)p->freqs * conv->input_stride +
         group * 2 * p->max_tiles * LCIP_LANES;
}

/* Part @index of @n of the tiles. */
static Chunk stage_chunk(const Conv *conv, gint64 index, gint64 n) {
  const LcipWinograd *p = &conv->plan;
  Chunk chunk = {.tile = p->tiles * index / n};
  chunk.n_tiles = p->tiles * (index + 1) / n - chunk.tile;
  chunk.inputs = conv->scratch + chunk.tile * LCIP_BLOCK;
  return chunk;
}

static void stage_in(gpointer data, guint index, guint worker) {
  const Conv *conv = data;
  Chunk chunk = stage_chunk(conv, index % STAGE_PARTS, STAGE_PARTS);
  chunk.block = index / STAGE_PARTS;
  chunk.block_end = chunk.block + 1;
  transform_inputs(conv, &chunk);
  v_stream_end();
}

/* All tiles of @conv with @group, while @freq is multiplied. */
static Chunk stage_group(const Conv *conv, gint64 group, gint64 freq) {
  const gint64 next = freq + conv->next_freq;
  Chunk chunk = stage_chunk(conv, 0, 1);
  chunk.next_freq = next < conv->plan.freqs ? next : 0;
  chunk.products = stage_products(conv, group);
  return chunk;
}

static const float *stage_next_weights(const Conv *conv, gint64 group, gint64 freq) {
  const gint64 next = freq + conv->next_freq;
  return group + 1 < conv->plan.groups ? group_weights(conv, group + 1, freq)
                                       : group_weights(conv, 0, next < conv->plan.freqs ? next : 0);
}

/* Convolutions that are multiplied at once. */
static guint convs_at_once(const gconstpointer *convs, guint n, gint64 group) {
  const LcipWinograd *p = &((const Conv *)convs[0])->plan;
  for (guint i = 1; i < n; i++)
    if (((const Conv *)convs[i])->plan.tiles != p->tiles)
      return 1;
  return n > 1 && group_vecs(p, group) == 2 && lcip_winograd_pairs(p, &isa) ? 2 : 1;
}

static void multiply_two(const gconstpointer *convs, gint64 group, gint64 freq, const float *next,
                         gint64 share, gint64 n_shares) {
  const Conv *first = convs[0];
  const LcipWinograd *p = &first->plan;
  Micro m = micro_of(first, group, freq, 1, next, share, n_shares);
  for (guint i = 0; i < 2; i++) {
    const Conv *conv = convs[i];
    const Chunk chunk = stage_group(conv, group, freq);
    m.x[i] = chunk.inputs + (gsize)freq * conv->input_stride;
    m.out[i] = chunk.products + (gsize)freq * conv->product_stride;
    if (chunk.next_freq)
      fetch_inputs(conv, &chunk, group, p->groups);
  }
  micros_two[p->tiles - 1](&m);
}

/* One frequency, for all images of @n convolutions with the same weights. */
static void multiply_stage(const gconstpointer *convs, guint n, guint freq) {
  const Conv *first = convs[0];
  for (gint64 group = 0; group < first->plan.groups; group++) {
    const float *next = stage_next_weights(first, group, freq);
    const guint at_once = convs_at_once(convs, n, group);
    const guint n_shares = (n + at_once - 1) / at_once;
    for (guint share = 0, i = 0; i < n; share++, i += at_once) {
      const Chunk chunk = stage_group(convs[i], group, freq);
      if (at_once == 2 && i + 1 < n)
        multiply_two(convs + i, group, freq, next, share, n_shares);
      else
        multiply(convs[i], &chunk, group, freq, next, share, n_shares);
    }
  }
}

static void stage_multiply(gpointer conv, guint index, guint worker) {
  const gconstpointer convs[] = {conv};
  multiply_stage(convs, 1, index);
}

static void stage_out(gpointer data, guint index, guint worker) {
  const Conv *conv = data;
  const gint64 group = index / STAGE_PARTS;
  const Chunk chunk = stage_chunk(conv, index % STAGE_PARTS, STAGE_PARTS);
  store_tiles(conv, &chunk, group, stage_products(conv, group) + chunk.tile * LCIP_LANES);
  v_stream_end();
}

static void begin_staged(Conv *conv, LcipTeam *team, guint next_freq) {
  LcipWinograd *p = &conv->plan;
  p->max_tiles = p->tiles;
  conv->way = lcip_winograd_stage_elems(p, &isa) < PAST_ELEMS ? WAY_STAGED : WAY_STAGED_PAST;
  conv->next_freq = next_freq;
  conv->input_stride = lcip_winograd_input_stride(p, &isa);
  conv->product_stride = lcip_winograd_stage_stride(p, &isa);
  lcip_team_run(team, (guint)(p->blocks * STAGE_PARTS), stage_in, conv);
}

static void end_staged(gpointer conv, LcipTeam *team) {
  lcip_team_run(team, (guint)(((const Conv *)conv)->plan.groups * STAGE_PARTS), stage_out, conv);
}

/* ---- strides ---- */

/* @s values for each of @n pixels: they lie in a row in both. */
LCIP_INLINE void copy_phases(const float *from, gint64 n, const int s, float *to) {
  for (gint64 i = 0; i < n; i++)
    memcpy(to + i * LCIP_BLOCK, from + i * s, (gsize)s * sizeof(float));
}

/* Row @index of the phases: of all images and blocks, which hold whole runs of @stride channels. */
static void split_row(gpointer data, guint index, guint worker) {
  const Conv *conv = data;
  const LcipWinograd *p = &conv->plan;
  const LcipShape *in = &conv->call->inputs[0].shape;
  const gint64 s = p->stride, h = in->dims[2], w = in->dims[3];
  const gint64 row = index % p->h, block = index / p->h % p->blocks, n = index / p->h / p->blocks;
  float *to = conv->phases + (gsize)index * (gsize)(p->w * LCIP_BLOCK);
  memset(to, 0, (gsize)(p->w * LCIP_BLOCK) * sizeof(float));
  for (gint64 c = block * LCIP_BLOCK; c < MIN(p->c, (block + 1) * LCIP_BLOCK); c += s) {
    const gint64 y = row * s + c / s % s;
    const float *from =
        (const float *)conv->call->inputs[0].data + ((n * in->dims[1] + c / (s * s)) * h + y) * w;
    if (y >= h)
      continue;
    if (s == 2)
      copy_phases(from, w / 2, 2, to + c % LCIP_BLOCK);
    else
      copy_phases(from, w / 4, 4, to + c % LCIP_BLOCK);
    memcpy(to + w / s * LCIP_BLOCK + c % LCIP_BLOCK, from + w / s * s,
           (gsize)(w % s) * sizeof(float));
  }
}

/* Finds the input, and the scratch behind what @planned needs for phases. */
static void place_scratch(Conv *conv, const LcipWinograd *planned, LcipTeam *team) {
  const LcipWinograd *p = &conv->plan;
  const gsize lines = divide_up(phase_elems(planned), CACHE_LINE_ELEMS);
  conv->phases = conv->call->scratch;
  conv->scratch = conv->phases + lines * CACHE_LINE_ELEMS;
  conv->input = p->stride > 1 ? conv->phases : conv->call->inputs[0].data;
  if (p->stride > 1)
    lcip_team_run(team, (guint)(p->n * p->blocks * p->h), split_row, conv);
}

/* @planned: of the planned shapes. */
static gboolean conv_init(Conv *conv, const LcipCall *call, LcipWinograd *planned, LcipTeam *team,
                          GError **error) {
  LcipWinograd *p = &conv->plan;
  const char *reason = NULL;
  *conv = (Conv){.call = call};
  if (!plan_init(planned, call->step, error) ||
      !lcip_winograd_init(p, call->step, &call->inputs[0].shape, &isa, tile_shape, error))
    return FALSE;
  if (!lcip_tail_init(&conv->tail, call->step, &reason)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "Conv cannot be computed: %s", reason);
    return FALSE;
  }
  conv->pool = lcip_step_is(call->step, "ConvMaxPool") ? 2 : 1;
  conv->oh = call->outputs[0].shape.dims[2];
  conv->ow = call->outputs[0].shape.dims[3];
  conv->weights = lcip_blob_data(call->prepared);
  conv->biases = conv->weights + lcip_winograd_weight_elems(p, &isa);
  place_scratch(conv, planned, team);
  return TRUE;
}

static void run_fused(Conv *conv, LcipTeam *team) {
  LcipWinograd *p = &conv->plan;
  conv->split = lcip_winograd_split(p, &isa, lcip_team_size(team));
  conv->input_stride = lcip_winograd_input_stride(p, &isa);
  conv->product_stride = lcip_winograd_product_stride(p, &isa);
  conv->scratch_elems = lcip_winograd_scratch_elems(p, &isa);
  lcip_team_run(team, (guint)(conv->split.tile_chunks * conv->split.group_chunks), run_chunk, conv);
}

/* The way is that for which there is scratch, whatever the actual shapes. */
static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  LcipWinograd planned;
  Conv conv;
  if (!conv_init(&conv, call, &planned, team, error))
    return FALSE;
  if (lcip_winograd_staged(&planned, &isa)) {
    begin_staged(&conv, team, 1);
    lcip_team_run(team, (guint)conv.plan.freqs, stage_multiply, &conv);
    end_staged(&conv, team);
  } else {
    run_fused(&conv, team);
  }
  return TRUE;
}

#ifdef WINOGRAD_SWEEPS
/* ---- several firings in one sweep over the weights: those in stages ---- */

static gboolean sweep_supports(const LcipStep *step) {
  LcipWinograd plan;
  return plan_init(&plan, step, NULL) && lcip_winograd_staged(&plan, &isa);
}

static gboolean sweep_begin(const LcipCall *call, gpointer data, LcipTeam *team, guint *n_parts,
                            GError **error) {
  Conv *conv = data;
  LcipWinograd planned;
  if (!conv_init(conv, call, &planned, team, error))
    return FALSE;
  begin_staged(conv, team, lcip_team_size(team));
  *n_parts = (guint)conv->plan.freqs;
  return TRUE;
}

static const LcipKernelSweep sweep = {
    .weights = 1,
    .least_bytes = LCIP_WINOGRAD_SWEPT_BYTES,
    .job_bytes = sizeof(Conv),
    .supports = sweep_supports,
    .begin = sweep_begin,
    .run = multiply_stage,
    .end = end_staged,
};
#endif

#ifdef WINOGRAD_POOLS
#define WINOGRAD_OPERATORS "Conv", "lcip.ConvMaxPool", NULL
#else
#define WINOGRAD_OPERATORS "Conv", NULL
#endif

const LcipKernel WINOGRAD_KERNEL = {
    .name = LCIP_ISA_NAME(WINOGRAD_NAME),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){WINOGRAD_OPERATORS},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_WINOGRAD,
    .tolerance = TOLERANCE,
    .inplace = TRUE,
    .prepared_inputs = 1 << 1 | 1 << 2,
    .supports = supports,
    .estimate = estimate,
    .blob_bytes = blob_bytes,
    .scratch_bytes = scratch_bytes,
    .prepare = prepare,
    .run = run,
#ifdef WINOGRAD_SWEEPS
    .sweep = &sweep,
#endif
};
