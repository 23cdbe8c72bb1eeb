#pragma once

#include "lcip-vec.h"

/* The products of one frequency: up to ROWS tiles times one or two vectors of output channels, over
 * all input channels. */

#define ROWS LCIP_ROWS

enum { CACHE_LINE_ELEMS = 16 };

/* What a micro-kernel reads and writes: @x: its first tile's values, blocks @x_block apart; @w:
 * weights; @next: what it fetches into the L2 cache meanwhile, @next_step for each channel: of the
 * weights after these; @out: the two vectors of a tile are @out_vec apart. In elements. */
typedef struct {
  const float *x, *w, *next;
  float *out;
  gsize x_block, out_vec, next_step;
  gint64 c;
} Micro;

/* Adds the products of V_CHANNELS channels. @next: weights to fetch meanwhile. */
LCIP_INLINE void multiply_channels(vf sum[ROWS][2], const float *x, const float *w,
                                   const float *next, gsize next_step, const int tiles,
                                   const int vecs) {
  vf read[ROWS];
  LCIP_UNROLL
  for (int i = 0; i < tiles && V_CHANNELS > 1; i++)
    read[i] = v_load(x + i * LCIP_BLOCK);
  LCIP_UNROLL
  for (int k = 0; k < V_CHANNELS; k++, w += vecs * LCIP_LANES, next += next_step) {
    const vf w0 = v_load(w), w1 = vecs > 1 ? v_load(w + LCIP_LANES) : w0;
    __builtin_prefetch(next, 0, 2);
    if (vecs * LCIP_LANES > CACHE_LINE_ELEMS)
      __builtin_prefetch(next + CACHE_LINE_ELEMS, 0, 2);
    LCIP_UNROLL
    for (int i = 0; i < tiles; i++) {
      const vf value = V_CHANNELS > 1 ? read[i] : v_set1(x[i * LCIP_BLOCK]);
      sum[i][0] = v_multiply_channel(sum[i][0], value, V_CHANNELS, k, w0);
      if (vecs > 1)
        sum[i][1] = v_multiply_channel(sum[i][1], value, V_CHANNELS, k, w1);
    }
  }
}

/* @tiles x @vecs sums over all input channels. */
LCIP_INLINE void micro_body(const Micro *m, const int tiles, const int vecs) {
  vf sum[ROWS][2];
  const float *w = m->w, *next = m->next;
  LCIP_UNROLL
  for (int i = 0; i < tiles; i++)
    sum[i][0] = sum[i][1] = v_set1(0.0f);
  for (gint64 done = 0; done < m->c; done += LCIP_BLOCK) {
    const float *x = m->x + (gsize)(done / LCIP_BLOCK) * m->x_block;
    const gint64 depth = MIN(LCIP_BLOCK, m->c - done);
    for (gint64 k = 0; k < depth; k += V_CHANNELS, x += V_CHANNELS) {
      multiply_channels(sum, x, w, next, m->next_step, tiles, vecs);
      w += V_CHANNELS * vecs * LCIP_LANES;
      next += V_CHANNELS * m->next_step;
    }
  }
  LCIP_UNROLL
  for (int i = 0; i < tiles; i++) {
    v_store(m->out + i * LCIP_LANES, sum[i][0]);
    if (vecs > 1)
      v_store(m->out + m->out_vec + i * LCIP_LANES, sum[i][1]);
  }
}

#define MICRO(r)                                                                                   \
  static void micro_1_##r(const Micro *m) {                                                        \
    micro_body(m, r, 1);                                                                           \
  }                                                                                                \
  static void micro_2_##r(const Micro *m) {                                                        \
    micro_body(m, r, 2);                                                                           \
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
