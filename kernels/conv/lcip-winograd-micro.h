#pragma once

#include "lcip-vec.h"

/* The products of one frequency: up to ROWS tiles times one or two vectors of output channels, over
 * all input channels. */

#define ROWS LCIP_ROWS

enum { CACHE_LINE_ELEMS = 16 };

/* What a micro-kernel reads and writes: @x: its first tile's values, blocks @x_block apart; @w:
 * weights; @next: what it fetches into the L2 cache meanwhile, @next_step for each channel: of the
 * weights after these; @out: the two vectors of a tile are @out_vec apart. @x[1], @out[1]: likewise
 * of the tiles of another image, where both are multiplied at once. In elements. */
typedef struct {
  const float *x[2], *w, *next;
  float *out[2];
  gsize x_block, out_vec, next_step;
  gint64 c;
} Micro;

/* Tile @i where each image has @tiles. */
LCIP_INLINE const float *tile_of(const float *const x[2], const int i, const int tiles) {
  return x[i / tiles] + i % tiles * LCIP_BLOCK;
}

/* Adds the products of V_CHANNELS channels, of @tiles in each of @images. @next: weights to fetch
 * meanwhile. */
LCIP_INLINE void multiply_channels(vf sum[ROWS][2], const float *const x[2], const float *w,
                                   const float *next, gsize next_step, const int tiles,
                                   const int images, const int vecs) {
  vf read[ROWS];
  LCIP_UNROLL
  for (int i = 0; i < tiles * images && V_CHANNELS > 1; i++)
    read[i] = v_load(tile_of(x, i, tiles));
  LCIP_UNROLL
  for (int k = 0; k < V_CHANNELS; k++, w += vecs * LCIP_LANES, next += next_step) {
    const vf w0 = v_load(w), w1 = vecs > 1 ? v_load(w + LCIP_LANES) : w0;
    __builtin_prefetch(next, 0, 2);
    if (vecs * LCIP_LANES > CACHE_LINE_ELEMS)
      __builtin_prefetch(next + CACHE_LINE_ELEMS, 0, 2);
    LCIP_UNROLL
    for (int i = 0; i < tiles * images; i++) {
      const vf value = V_CHANNELS > 1 ? read[i] : v_set1(*tile_of(x, i, tiles));
      sum[i][0] = v_multiply_channel(sum[i][0], value, V_CHANNELS, k, w0);
      if (vecs > 1)
        sum[i][1] = v_multiply_channel(sum[i][1], value, V_CHANNELS, k, w1);
    }
  }
}

/* @tiles of each of @images x @vecs sums over all input channels. */
LCIP_INLINE void micro_body(const Micro *m, const int tiles, const int images, const int vecs) {
  vf sum[ROWS][2];
  const float *w = m->w, *next = m->next;
  LCIP_UNROLL
  for (int i = 0; i < tiles * images; i++)
    sum[i][0] = sum[i][1] = v_set1(0.0f);
  for (gint64 done = 0; done < m->c; done += LCIP_BLOCK) {
    const gsize block = (gsize)(done / LCIP_BLOCK) * m->x_block;
    const float *x[2] = {m->x[0] + block, images > 1 ? m->x[1] + block : NULL};
    const gint64 depth = MIN(LCIP_BLOCK, m->c - done);
    for (gint64 k = 0; k < depth; k += V_CHANNELS) {
      multiply_channels(sum, x, w, next, m->next_step, tiles, images, vecs);
      w += V_CHANNELS * vecs * LCIP_LANES;
      next += V_CHANNELS * m->next_step;
      x[0] += V_CHANNELS;
      x[1] += images > 1 ? V_CHANNELS : 0;
    }
  }
  const Micro to = *m; /* which is not read again after each store */
  LCIP_UNROLL
  for (int i = 0; i < tiles * images; i++) {
    float *out = to.out[i / tiles] + i % tiles * LCIP_LANES;
    v_store(out, sum[i][0]);
    if (vecs > 1)
      v_store(out + to.out_vec, sum[i][1]);
  }
}

#define MICRO(r)                                                                                   \
  static void micro_1_##r(const Micro *m) {                                                        \
    micro_body(m, r, 1, 1);                                                                        \
  }                                                                                                \
  static void micro_2_##r(const Micro *m) {                                                        \
    micro_body(m, r, 1, 2);                                                                        \
  }
#define MICRO_ENTRY(r) {micro_1_##r, micro_2_##r},

#if ROWS == 14
#define MICRO_EACH(M) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14)
#elif ROWS == 8
#define MICRO_EACH(M) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8)
#else
#define MICRO_EACH(M) M(1) M(2) M(3) M(4) M(5) M(6)
#endif

MICRO_EACH(MICRO)

/* [tiles - 1][vectors - 1] */
static void (*const micros[ROWS][2])(const Micro *) = {MICRO_EACH(MICRO_ENTRY)};

/* As many tiles in each of two images, two vectors. */
#define MICRO_TWO(r)                                                                               \
  static void micro_two_##r(const Micro *m) {                                                      \
    micro_body(m, r, 2, 2);                                                                        \
  }
#define MICRO_TWO_ENTRY(r) micro_two_##r,

#if ROWS == 14
#define MICRO_TWO_EACH(M) M(1) M(2) M(3) M(4) M(5) M(6) M(7)
#elif ROWS == 8
#define MICRO_TWO_EACH(M) M(1) M(2) M(3) M(4)
#else
#define MICRO_TWO_EACH(M) M(1) M(2) M(3)
#endif

MICRO_TWO_EACH(MICRO_TWO)

/* [tiles of an image - 1] */
static void (*const micros_two[ROWS / 2])(const Micro *) = {MICRO_TWO_EACH(MICRO_TWO_ENTRY)};
