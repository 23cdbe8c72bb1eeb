#include "config.h"
#include "lcip-conv-micro.h"

/* For each input value a micro-kernel multiplies a broadcast of that value with two vectors of
 * weights: as many independent sums as registers allow, so that the multiply-add units never wait
 * for a result. */

/* Columns of a window that multiply_narrow() takes at once. */
enum { NARROW_TAPS = 3 };
/* Vectors that sums have room for, though not all instruction sets have tiles of as many. */
enum { MOST_VECS = 3 };

/* Adds the products of @channels channels, at @x of pixels @step apart. */
LCIP_INLINE void multiply(vf sum[PIXELS][MOST_VECS], const float *x, const float *w,
                          const int pixels, const int vecs, const int step, const int channels) {
  vf read[PIXELS];
  LCIP_UNROLL
  for (int i = 0; i < pixels && channels > 1; i++)
    read[i] = v_load(x + i * step);
  LCIP_UNROLL
  for (int k = 0; k < channels; k++, w += vecs * LCIP_LANES) {
    const vf w0 = v_load(w), w1 = vecs > 1 ? v_load(w + LCIP_LANES) : w0;
    const vf w2 = vecs > 2 ? v_load(w + 2 * LCIP_LANES) : w0;
    LCIP_UNROLL
    for (int i = 0; i < pixels; i++) {
      const vf value = channels > 1 ? read[i] : v_set1(x[i * step]);
      sum[i][0] = v_multiply_channel(sum[i][0], value, channels, k, w0);
      if (vecs > 1)
        sum[i][1] = v_multiply_channel(sum[i][1], value, channels, k, w1);
      if (vecs > 2)
        sum[i][2] = v_multiply_channel(sum[i][2], value, channels, k, w2);
    }
  }
}

/* What of the weights comes next, and of those that are fetched. */
typedef struct {
  const float *w, *next;
} Weights;

/* @depth channels of the pixels at @x. */
LCIP_INLINE void multiply_depth(vf sum[PIXELS][MOST_VECS], const Micro *m, const float *x,
                                Weights *at, gint64 depth, const int pixels, const int vecs,
                                const MicroInput input) {
  const gboolean fetch = input == MICRO_FETCH || input == MICRO_POINT_FETCH;
  const int step = input == MICRO_DENSE ? 1 : LCIP_BLOCK;
  const int channels = input == MICRO_DENSE ? 1 : V_CHANNELS;
  for (gint64 k = 0; k < depth; k += channels, x += channels) {
    multiply(sum, x, at->w, pixels, vecs, step, channels);
    at->w += channels * vecs * LCIP_LANES;
    if (fetch) {
      __builtin_prefetch(at->next, 0, 2);
      at->next += m->next_step * channels;
    }
  }
}

/* Block @b of the input, @depth channels, under the used rows of the window. */
LCIP_INLINE void multiply_window(vf sum[PIXELS][MOST_VECS], const Micro *m, gint64 b, Weights *at,
                                 gint64 depth, const int pixels, const int vecs,
                                 const MicroInput input) {
  const gint64 row = m->kw * vecs * LCIP_LANES * depth;
  at->w += m->ky * row;
  for (gint64 ky = m->ky; ky < m->ky_end; ky++)
    for (gint64 kx = 0; kx < m->kw; kx++) {
      const float *x = m->x + (gsize)b * m->x_block + (gsize)ky * m->x_row + m->taps[kx];
      multiply_depth(sum, m, x, at, depth, pixels, vecs, input);
    }
  at->w += (m->kh - m->ky_end) * row;
}

/* Lane l of a vector from lane l % half + @first: the lower half twice, or the upper one below. */
LCIP_INLINE vf take_half(vf x, const int first) {
  vi lanes;
  for (int l = 0; l < LCIP_LANES; l++)
    lanes[l] = l % (LCIP_LANES / 2) + first;
  return v_permute(x, lanes);
}

/* All channels; the second vectors of pixels 2 i and 2 i + 1 are the halves of one, so that a pixel
 * takes one and a half products. @sum is whole at the end. */
LCIP_INLINE void multiply_halves(vf sum[PIXELS][MOST_VECS], const Micro *m, const int pixels) {
  const float *w = m->w;
  vf half[PIXELS];
  LCIP_UNROLL
  for (int i = 0; i < pixels; i += 2)
    half[i] = take_half(sum[0][1], 0);
  for (gint64 b = 0; b < m->n_blocks; b++) {
    const float *x = m->x + (gsize)b * m->x_block;
    const gint64 depth = b + 1 < m->n_blocks ? LCIP_BLOCK : m->last_depth;
    for (gint64 k = 0; k < depth; k++, x++, w += 2 * LCIP_LANES) {
      const vf w0 = v_load(w), w1 = v_load(w + LCIP_LANES);
      LCIP_UNROLL
      for (int i = 0; i < pixels; i += 2) {
        const vf even = v_set1(x[i * LCIP_BLOCK]);
        const vf odd = i + 1 < pixels ? v_set1(x[(i + 1) * LCIP_BLOCK]) : even;
        sum[i][0] += even * w0;
        if (i + 1 < pixels)
          sum[i + 1][0] += odd * w0;
        half[i] += v_select(v_lanes_below(LCIP_LANES / 2), even, odd) * w1;
      }
    }
  }
  LCIP_UNROLL
  for (int i = 0; i < pixels; i++)
    sum[i][1] = i % 2 ? take_half(half[i - 1], LCIP_LANES / 2) : half[i];
}

/* One tile: @pixels x @vecs vectors. */
LCIP_INLINE void micro_body(const Micro *m, const int pixels, const int vecs,
                            const MicroInput input) {
  const gboolean point = input == MICRO_POINT || input == MICRO_POINT_FETCH;
  const gboolean dense = input == MICRO_DENSE;
  Weights at_weights = {m->w, m->next};
  vf sum[PIXELS][MOST_VECS];
  LCIP_UNROLL
  for (int i = 0; i < pixels; i++) {
    sum[i][0] = v_load(m->bias);
    if (vecs > 1)
      sum[i][1] = v_load(m->bias + LCIP_LANES);
    if (vecs > 2)
      sum[i][2] = v_load(m->bias + 2 * LCIP_LANES);
  }
  if (input == MICRO_POINT_HALF)
    multiply_halves(sum, m, pixels);
  for (gint64 b = 0; b < m->n_blocks && input != MICRO_POINT_HALF; b++) {
    const gint64 depth = dense ? 1 : b + 1 < m->n_blocks ? LCIP_BLOCK : m->last_depth;
    if (point)
      multiply_depth(sum, m, m->x + (gsize)b * m->x_block, &at_weights, depth, pixels, vecs, input);
    else
      multiply_window(sum, m, b, &at_weights, depth, pixels, vecs, input);
  }
  const float *side = m->side;
  float *out = m->out;
  const gsize second = m->vec_stride;
  const vm mask0 = v_first_lanes(m->channels),
           mask1 = v_first_lanes(MAX(0, m->channels - LCIP_LANES)),
           mask2 = v_first_lanes(MAX(0, m->channels - 2 * LCIP_LANES));
  const vf lo = v_set1(m->lo), hi = v_set1(m->hi);
  LCIP_UNROLL
  for (int i = 0; i < pixels; i++) {
    const gsize at = (gsize)i * m->out_step;
    const vf y0 = side ? sum[i][0] + v_load(side + at) : sum[i][0];
    v_store(out + at, v_clamp_lanes(y0, lo, hi, mask0));
    if (vecs > 1) {
      const vf y1 = side ? sum[i][1] + v_load(side + at + second) : sum[i][1];
      v_store(out + at + second, v_clamp_lanes(y1, lo, hi, mask1));
    }
    if (vecs > 2) {
      const gsize third = at + 2 * second;
      const vf y2 = side ? sum[i][2] + v_load(side + third) : sum[i][2];
      v_store(out + third, v_clamp_lanes(y2, lo, hi, mask2));
    }
  }
}

/* Adds what @taps columns of a row of the window give, which read pixels next to each other: a
 * pixel is permuted once for all of them. @w: their weights, @step apart. */
LCIP_INLINE void multiply_narrow(vf sum[PIXELS], const Micro *m, const float *x, const float *w,
                                 gint64 step, const int pixels, const int taps) {
  for (int k = 0; k < m->width; k++, w += LCIP_BLOCK) {
    const vi lanes = v_load_lanes(m->lanes + k * LCIP_LANES);
    vf weights[NARROW_TAPS];
    LCIP_UNROLL
    for (int t = 0; t < taps; t++)
      weights[t] = v_load(w + t * step);
    LCIP_UNROLL
    for (int i = 0; i < pixels + taps - 1; i++) {
      const vf value = v_permute(v_load(x + i * LCIP_BLOCK), lanes);
      LCIP_UNROLL
      for (int t = 0; t < taps; t++)
        if (i >= t && i - t < pixels)
          sum[i - t] += value * weights[t];
    }
  }
}

/* Row @ky of the window for vector @v of a block. */
LCIP_INLINE void narrow_row(vf sum[PIXELS], const Micro *m, gint64 ky, int v, const int pixels) {
  const gint64 column = m->width * LCIP_BLOCK, next = m->neighbour;
  const float *row = m->x + (gsize)ky * m->x_row + v * LCIP_LANES;
  const float *w = m->w + ky * m->kw * column + v * LCIP_LANES;
  for (gint64 first = 0; first < MIN(next, m->kw); first++)
    for (gint64 kx = first; kx < m->kw; kx += NARROW_TAPS * next) {
      const float *x = row + m->taps[kx];
      if (kx + 2 * next < m->kw)
        multiply_narrow(sum, m, x, w + kx * column, next * column, pixels, 3);
      else if (kx + next < m->kw)
        multiply_narrow(sum, m, x, w + kx * column, next * column, pixels, 2);
      else
        multiply_narrow(sum, m, x, w + kx * column, next * column, pixels, 1);
    }
}

/* One tile of narrow groups, @m->width channels each: lane l of a vector is summed over the
 * channels l / width * width + k of the same vector. */
LCIP_INLINE void micro_narrow_body(const Micro *m, const int pixels) {
  for (int v = 0; v < LCIP_BLOCK_VECS; v++) {
    vf sum[PIXELS];
    LCIP_UNROLL
    for (int i = 0; i < pixels; i++)
      sum[i] = v_load(m->bias + v * LCIP_LANES);
    for (gint64 ky = m->ky; ky < m->ky_end; ky++)
      narrow_row(sum, m, ky, v, pixels);
    const vf lo = v_set1(m->lo), hi = v_set1(m->hi);
    const vm mask = v_first_lanes(MAX(0, m->channels - v * LCIP_LANES));
    const gsize at = (gsize)v * m->vec_stride;
    LCIP_UNROLL
    for (int i = 0; i < pixels; i++) {
      const gsize here = at + (gsize)i * m->out_step;
      const vf y = m->side ? sum[i] + v_load(m->side + here) : sum[i];
      v_store(m->out + here, v_clamp_lanes(y, lo, hi, mask));
    }
  }
}

#define MICRO(r)                                                                                   \
  static void micro_blocked_1_##r(const Micro *m) {                                                \
    micro_body(m, r, 1, MICRO_BLOCKED);                                                            \
  }                                                                                                \
  static void micro_blocked_2_##r(const Micro *m) {                                                \
    micro_body(m, r, 2, MICRO_BLOCKED);                                                            \
  }                                                                                                \
  static void micro_fetch_1_##r(const Micro *m) {                                                  \
    micro_body(m, r, 1, MICRO_FETCH);                                                              \
  }                                                                                                \
  static void micro_fetch_2_##r(const Micro *m) {                                                  \
    micro_body(m, r, 2, MICRO_FETCH);                                                              \
  }                                                                                                \
  static void micro_point_1_##r(const Micro *m) {                                                  \
    micro_body(m, r, 1, MICRO_POINT);                                                              \
  }                                                                                                \
  static void micro_point_2_##r(const Micro *m) {                                                  \
    micro_body(m, r, 2, MICRO_POINT);                                                              \
  }                                                                                                \
  static void micro_point_fetch_1_##r(const Micro *m) {                                            \
    micro_body(m, r, 1, MICRO_POINT_FETCH);                                                        \
  }                                                                                                \
  static void micro_point_fetch_2_##r(const Micro *m) {                                            \
    micro_body(m, r, 2, MICRO_POINT_FETCH);                                                        \
  }                                                                                                \
  static void micro_point_half_##r(const Micro *m) {                                               \
    micro_body(m, r, 2, MICRO_POINT_HALF);                                                         \
  }                                                                                                \
  static void micro_dense_1_##r(const Micro *m) {                                                  \
    micro_body(m, r, 1, MICRO_DENSE);                                                              \
  }                                                                                                \
  static void micro_dense_2_##r(const Micro *m) {                                                  \
    micro_body(m, r, 2, MICRO_DENSE);                                                              \
  }                                                                                                \
  static void micro_narrow_##r(const Micro *m) {                                                   \
    micro_narrow_body(m, r);                                                                       \
  }
#if PIXELS == 14
#define MICRO_EACH(M) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14)
#elif PIXELS == 8
#define MICRO_EACH(M) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8)
#else
#define MICRO_EACH(M) M(1) M(2) M(3) M(4) M(5) M(6)
#endif

MICRO_EACH(MICRO)

#if MICRO_VECS == 3
#define TRIPLE(r)                                                                                  \
  static void micro_blocked_3_##r(const Micro *m) {                                                \
    micro_body(m, r, 3, MICRO_BLOCKED);                                                            \
  }                                                                                                \
  static void micro_point_3_##r(const Micro *m) {                                                  \
    micro_body(m, r, 3, MICRO_POINT);                                                              \
  }                                                                                                \
  static void micro_dense_3_##r(const Micro *m) {                                                  \
    micro_body(m, r, 3, MICRO_DENSE);                                                              \
  }
#if MICRO_TRIPLE_PIXELS == 8
#define TRIPLE_EACH(M) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8)
#else
#define TRIPLE_EACH(M) M(1) M(2) M(3) M(4)
#endif
TRIPLE_EACH(TRIPLE)

#define TRIPLE_ENTRY(r)                                                                            \
  {[MICRO_BLOCKED] = micro_blocked_3_##r,                                                          \
   [MICRO_FETCH] = micro_blocked_3_##r,                                                            \
   [MICRO_POINT] = micro_point_3_##r,                                                              \
   [MICRO_POINT_FETCH] = micro_point_3_##r,                                                        \
   [MICRO_DENSE] = micro_dense_3_##r},
static void (*const triples[MICRO_TRIPLE_PIXELS][MICRO_INPUTS])(const Micro *) = {
    TRIPLE_EACH(TRIPLE_ENTRY)};
#endif

#define ENTRY(r)                                                                                   \
  {                                                                                                \
      {micro_blocked_1_##r, micro_blocked_2_##r},                                                  \
      {micro_fetch_1_##r, micro_fetch_2_##r},                                                      \
      {micro_point_1_##r, micro_point_2_##r},                                                      \
      {micro_point_fetch_1_##r, micro_point_fetch_2_##r},                                          \
      {micro_point_half_##r, micro_point_half_##r},                                                \
      {micro_dense_1_##r, micro_dense_2_##r},                                                      \
      {micro_narrow_##r, micro_narrow_##r}},

/* [pixels - 1][input][vectors - 1] */
static void (*const micros[PIXELS][MICRO_INPUTS][2])(const Micro *) = {MICRO_EACH(ENTRY)};

void lcip_conv_micro(const Micro *m, MicroInput input, int pixels, int vecs) {
  const gboolean point = input == MICRO_POINT || input == MICRO_POINT_FETCH;
#if MICRO_VECS == 3
  if (vecs == 3) {
    triples[pixels - 1][input](m);
    return;
  }
#endif
  if (point && vecs == 2 && micro_is_half(m->channels))
    input = MICRO_POINT_HALF;
  micros[pixels - 1][input][vecs - 1](m);
}
