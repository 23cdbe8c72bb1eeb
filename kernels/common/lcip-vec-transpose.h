#pragma once

#include "lcip-vec.h"

/* v_zip_low, v_zip_high: a0 b0 a1 b1 ... of the operands' lower and upper halves. */
#if LCIP_LANES == 16
#define V_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define V_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LCIP_LANES == 8
#define V_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define V_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define V_LOW 0, 4, 1, 5
#define V_HIGH 2, 6, 3, 7
#endif

LCIP_INLINE vf v_zip_low(vf a, vf b) {
  return __builtin_shufflevector(a, b, V_LOW);
}

LCIP_INLINE vf v_zip_high(vf a, vf b) {
  return __builtin_shufflevector(a, b, V_HIGH);
}

/* Lane k of row i becomes lane i of row k. Each pass shuffles all values as one shuffles cards, by
 * which a value's place, in binary, rotates by one bit. */
LCIP_INLINE void v_transpose(vf rows[LCIP_LANES]) {
  LCIP_UNROLL
  for (int pass = 1; pass < LCIP_LANES; pass *= 2) {
    vf next[LCIP_LANES];
    LCIP_UNROLL
    for (int i = 0; i < LCIP_LANES / 2; i++) {
      next[2 * i] = v_zip_low(rows[i], rows[i + LCIP_LANES / 2]);
      next[2 * i + 1] = v_zip_high(rows[i], rows[i + LCIP_LANES / 2]);
    }
    LCIP_UNROLL
    for (int i = 0; i < LCIP_LANES; i++)
      rows[i] = next[i];
  }
}

/* The first @n lanes. */
LCIP_INLINE vf v_load_part(const float *p, gint64 n) {
  vf x = {0};
  memcpy(&x, p, (gsize)n * sizeof(float));
  return x;
}

/* Weights of @n channels x @pixels of each of LCIP_LANES output channels, in this order in its row,
 * to vectors of a weight of all of them. Rows that are NULL count as zeros. */
LCIP_INLINE void v_pack_rows(const float *const rows[LCIP_LANES], gint64 n, gint64 pixels,
                             float *out, gint64 channel_stride, gint64 pixel_stride) {
  gint64 pixel = 0;
  for (gint64 i = 0; i < n * pixels; i += LCIP_LANES) {
    const gint64 count = MIN(LCIP_LANES, n * pixels - i);
    vf values[LCIP_LANES];
    for (int lane = 0; lane < LCIP_LANES; lane++)
      values[lane] = !rows[lane]           ? v_set1(0.0f)
                     : count == LCIP_LANES ? v_load(rows[lane] + i)
                                           : v_load_part(rows[lane] + i, count);
    v_transpose(values);
    for (gint64 k = 0; k < count; k++) {
      v_store(out + pixel * pixel_stride, values[k]);
      if (++pixel == pixels) {
        pixel = 0;
        out += channel_stride;
      }
    }
  }
}
