#pragma once

#include "lcip-vec.h"

/* The transforms along one axis, on vectors of channels: of 4, 6, 8 or 10 inputs, and from as many
 * products to fewer outputs (the second number). Points: 0, 1, -1, then 2, -2, then 1/2, -1/2, then
 * 3/4, -3/4 (of nine usual pairs the one with the least error), and infinity. */

LCIP_INLINE void winograd_input_4(vf d[4]) {
  const vf d1 = d[1], d2 = d[2];
  d[0] = d[0] - d2;
  d[1] = d1 + d2;
  d[2] = d2 - d1;
  d[3] = d1 - d[3];
}

LCIP_INLINE void winograd_input_6(vf d[6]) {
  const vf a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1];
  const vf c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
  const vf first = 4.0f * d[0] + (d[4] - 5.0f * d[2]);
  const vf last = 4.0f * d[1] + (d[5] - 5.0f * d[3]);
  d[0] = first;
  d[1] = a + b;
  d[2] = a - b;
  d[3] = c + e;
  d[4] = c - e;
  d[5] = last;
}

LCIP_INLINE void winograd_input_8(vf d[8]) {
  const vf first = (d[0] - d[6]) + 5.25f * (d[4] - d[2]);
  const vf last = (d[7] - d[1]) + 5.25f * (d[3] - d[5]);
  const vf a = (d[2] - 4.25f * d[4]) + d[6], b = (d[1] - 4.25f * d[3]) + d[5];
  const vf c = 0.25f * d[2] + (d[6] - 1.25f * d[4]);
  const vf e = 0.5f * d[1] + (2.0f * d[5] - 2.5f * d[3]);
  const vf f = 4.0f * d[2] + (d[6] - 5.0f * d[4]);
  const vf g = 2.0f * d[1] + (0.5f * d[5] - 2.5f * d[3]);
  d[0] = first;
  d[1] = a + b;
  d[2] = a - b;
  d[3] = c + e;
  d[4] = c - e;
  d[5] = f + g;
  d[6] = f - g;
  d[7] = last;
}

/* One pair of points +-p: of the product of x^2 - q^2 for the other pairs, x^6 - s x^4 + t x^2 - u,
 * times x (x + p) and x (x - p). */
LCIP_INLINE void winograd_pair_10(const vf d[10], float p, float s, float t, float u, vf *plus,
                                  vf *minus) {
  const vf even = (d[8] - s * d[6]) + (t * d[4] - u * d[2]);
  const vf odd = p * d[7] - (p * s) * d[5] + ((p * t) * d[3] - (p * u) * d[1]);
  *plus = even + odd;
  *minus = even - odd;
}

LCIP_INLINE void winograd_input_10(vf d[10]) {
  vf f[10];
  f[0] = (d[8] - 5.8125f * d[6]) + 8.203125f * d[4] + (0.5625f * d[0] - 3.953125f * d[2]);
  winograd_pair_10(d, 1.0f, 4.8125f, 3.390625f, 0.5625f, &f[1], &f[2]);
  winograd_pair_10(d, 2.0f, 1.8125f, 0.953125f, 0.140625f, &f[3], &f[4]);
  winograd_pair_10(d, 0.5f, 5.5625f, 6.8125f, 2.25f, &f[5], &f[6]);
  winograd_pair_10(d, 0.75f, 5.25f, 5.25f, 1.0f, &f[7], &f[8]);
  f[9] = (d[9] - 5.8125f * d[7]) + 8.203125f * d[5] + (0.5625f * d[1] - 3.953125f * d[3]);
  LCIP_UNROLL
  for (int i = 0; i < 10; i++)
    d[i] = f[i];
}

LCIP_INLINE void winograd_output_4_2(const vf q[4], vf y[2]) {
  y[0] = q[0] + (q[1] + q[2]);
  y[1] = (q[1] - q[2]) - q[3];
}

LCIP_INLINE void winograd_output_6_4(const vf q[6], vf y[4]) {
  const vf a = q[1] + q[2], b = q[1] - q[2], c = q[3] + q[4], d = q[3] - q[4];
  y[0] = q[0] + (a + c);
  y[1] = b + 2.0f * d;
  y[2] = a + 4.0f * c;
  y[3] = q[5] + (b + 8.0f * d);
}

/* To 4, 5 or 6 outputs: the last one has infinity's product. */
LCIP_INLINE void winograd_output_8(const int m, const vf q[8], vf *y) {
  const vf a = q[1] + q[2], b = q[1] - q[2], c = q[3] + q[4], d = q[3] - q[4];
  const vf e = q[5] + q[6], f = q[5] - q[6];
  y[0] = (q[0] + a) + (c + e);
  y[1] = (b + 2.0f * d) + 0.5f * f;
  y[2] = (a + 4.0f * c) + 0.25f * e;
  y[3] = (b + 8.0f * d) + 0.125f * f;
  if (m > 4)
    y[4] = (a + 16.0f * c) + 0.0625f * e;
  if (m > 5)
    y[5] = (b + 32.0f * d) + 0.03125f * f;
  y[m - 1] = q[7] + y[m - 1];
}

LCIP_INLINE void winograd_output_10_4(const vf q[10], vf y[4]) {
  const vf a = q[1] + q[2], b = q[1] - q[2], c = q[3] + q[4], d = q[3] - q[4];
  const vf e = q[5] + q[6], f = q[5] - q[6], g = q[7] + q[8], h = q[7] - q[8];
  y[0] = (q[0] + a) + ((c + e) + g);
  y[1] = (b + 2.0f * d) + (0.5f * f + 0.75f * h);
  y[2] = (a + 4.0f * c) + (0.25f * e + 0.5625f * g);
  y[3] = (q[9] + (b + 8.0f * d)) + (0.125f * f + 0.421875f * h);
}

/* @side inputs, constants after inlining; one is left as it is. */
LCIP_INLINE void winograd_input(const int side, vf *d) {
  if (side == 4)
    winograd_input_4(d);
  else if (side == 6)
    winograd_input_6(d);
  else if (side == 8)
    winograd_input_8(d);
  else if (side == 10)
    winograd_input_10(d);
}

/* @m outputs from @side products. */
LCIP_INLINE void winograd_output(const int side, const int m, const vf *q, vf *y) {
  if (side == 1)
    y[0] = q[0];
  else if (side == 4)
    winograd_output_4_2(q, y);
  else if (side == 6)
    winograd_output_6_4(q, y);
  else if (side == 8)
    winograd_output_8(m, q, y);
  else
    winograd_output_10_4(q, y);
}
