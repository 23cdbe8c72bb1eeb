#pragma once

#include "lcip-vec.h"

/* The transforms along one axis, on vectors of channels: of 4, 6, 7, 8, 9 or 10 inputs, and from as
 * many products to fewer outputs (the second number).
 *
 * Points: 0, infinity, and pairs p and -p: 1, then 2, then 1/2; 7, 9 and 10 products have pairs of
 * their own, and 7 and 9 one point alone. Of hundreds of choices with coefficients exact in single
 * precision, those with about the least error. The input's rows are the products of x - q for all
 * other points q, the highest power's coefficient being 1; what divides them is with the weights.
 */
#define WINOGRAD_PAIRS_7                                                                           \
  { 1.0f, 1.75f }
#define WINOGRAD_SINGLE_7 0.5f
#define WINOGRAD_PAIRS_9                                                                           \
  { 0.5f, 0.875f, 1.375f }
#define WINOGRAD_SINGLE_9 3.5f
#define WINOGRAD_PAIRS_10                                                                          \
  { 0.375f, 0.8125f, 1.25f, 2.25f }

LCIP_INLINE void winograd_input_4(vf d[4]) {
  const vf d1 = d[1], d2 = d[2];
  d[0] = d2 - d[0];
  d[1] = d1 + d2;
  d[2] = d2 - d1;
  d[3] = d[3] - d1;
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
  const vf first = (d[6] - d[0]) + 5.25f * (d[2] - d[4]);
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

/* The product of x^2 - p^2 for all @n pairs but one, on every second value. */
LCIP_INLINE vf winograd_product(const vf *d, const float *pairs, const int n, const int but) {
  float c[5] = {1.0f};
  int degree = 0;
  LCIP_UNROLL
  for (int i = 0; i < n; i++)
    if (i != but) {
      c[++degree] = 0.0f;
      LCIP_UNROLL
      for (int k = degree; k > 0; k--)
        c[k] -= pairs[i] * pairs[i] * c[k - 1];
    }
  vf sum = d[2 * degree];
  LCIP_UNROLL
  for (int k = 1; k <= degree; k++)
    sum = sum + c[k] * d[2 * (degree - k)];
  return sum;
}

/* @n pairs: 2 n + 2 inputs. */
LCIP_INLINE void winograd_input_pairs(const vf *d, const float *pairs, const int n, vf *out) {
  out[0] = winograd_product(d, pairs, n, n);
  LCIP_UNROLL
  for (int i = 0; i < n; i++) {
    const vf even = winograd_product(d + 2, pairs, n, i);
    const vf odd = winograd_product(d + 1, pairs, n, i);
    out[1 + 2 * i] = even + pairs[i] * odd;
    out[2 + 2 * i] = even - pairs[i] * odd;
  }
  out[1 + 2 * n] = winograd_product(d + 1, pairs, n, n);
}

/* @n pairs and a single point: 2 n + 3 inputs. All points but that have the factor x minus it. */
LCIP_INLINE void winograd_input_single(const float *pairs, const int n, const float single, vf *d) {
  vf e[8], f[8];
  LCIP_UNROLL
  for (int i = 0; i < 2 * n + 2; i++)
    e[i] = d[i + 1] - single * d[i];
  winograd_input_pairs(e, pairs, n, f);
  d[2 * n + 1] = winograd_product(d + 1, pairs, n, n);
  d[2 * n + 2] = f[2 * n + 1];
  LCIP_UNROLL
  for (int i = 0; i < 2 * n + 1; i++)
    d[i] = f[i];
}

LCIP_INLINE void winograd_input_7(vf d[7]) {
  const float pairs[] = WINOGRAD_PAIRS_7;
  winograd_input_single(pairs, 2, WINOGRAD_SINGLE_7, d);
}

LCIP_INLINE void winograd_input_9(vf d[9]) {
  const float pairs[] = WINOGRAD_PAIRS_9;
  winograd_input_single(pairs, 3, WINOGRAD_SINGLE_9, d);
}

/* Two factors x^2 - p^2, of @pairs from @first on, applied to three values that are two apart. */
LCIP_INLINE vf winograd_two_factors(const vf *d, const float *pairs, const int first) {
  const float p = pairs[first] * pairs[first], q = pairs[first + 1] * pairs[first + 1];
  return d[4] - (p + q) * d[2] + (p * q) * d[0];
}

/* Products of pairs 2 and 3, and of 0 and 1, come first and are shared: so there are fewer
 * coefficients than registers. Odd parts have their pair's factor in them, because additions are
 * done beside multiplications. */
LCIP_INLINE void winograd_input_10(vf d[10]) {
  const float pairs[] = WINOGRAD_PAIRS_10;
  vf low[6], high[6], all[2];
  LCIP_UNROLL
  for (int i = 0; i < 6; i++) {
    low[i] = winograd_two_factors(d + i, pairs, 0);
    high[i] = winograd_two_factors(d + i, pairs, 2);
  }
  all[0] = winograd_two_factors(low, pairs, 2);
  all[1] = winograd_two_factors(low + 1, pairs, 2);
  LCIP_UNROLL
  for (int i = 0; i < 4; i++) {
    const vf *half = i < 2 ? high : low; /* of the two other pairs; the third is @other */
    const float p = pairs[i], other = pairs[i ^ 1] * pairs[i ^ 1];
    const vf even = half[4] - other * half[2];
    const vf odd = p * half[3] - (p * other) * half[1];
    d[1 + 2 * i] = even + odd;
    d[2 + 2 * i] = even - odd;
  }
  d[0] = all[0];
  d[9] = all[1];
}

LCIP_INLINE void winograd_output_4_2(const vf q[4], vf y[2]) {
  y[0] = q[0] + (q[1] + q[2]);
  y[1] = (q[1] - q[2]) + q[3];
}

LCIP_INLINE void winograd_output_6_4(const vf q[6], vf y[4]) {
  const vf a = q[1] + q[2], b = q[1] - q[2], c = q[3] + q[4], d = q[3] - q[4];
  y[0] = q[0] + (a + c);
  y[1] = b + 2.0f * d;
  y[2] = a + 4.0f * c;
  y[3] = q[5] + (b + 8.0f * d);
}

LCIP_INLINE void winograd_output_8_6(const vf q[8], vf y[6]) {
  const vf a = q[1] + q[2], b = q[1] - q[2], c = q[3] + q[4], d = q[3] - q[4];
  const vf e = q[5] + q[6], f = q[5] - q[6];
  y[0] = (q[0] + a) + (c + e);
  y[1] = (b + 2.0f * d) + 0.5f * f;
  y[2] = (a + 4.0f * c) + 0.25f * e;
  y[3] = (b + 8.0f * d) + 0.125f * f;
  y[4] = (a + 16.0f * c) + 0.0625f * e;
  y[5] = q[7] + ((b + 32.0f * d) + 0.03125f * f);
}

/* @m outputs of @n pairs and of point 0, whose product is @y[0] before. */
LCIP_INLINE void winograd_output_pairs(const vf *q, const float *pairs, const int n, const int m,
                                       vf *y) {
  LCIP_UNROLL
  for (int k = 1; k < m; k++)
    y[k] = v_set1(0.0f);
  LCIP_UNROLL
  for (int i = 0; i < n; i++) {
    const vf sum = q[1 + 2 * i] + q[2 + 2 * i], difference = q[1 + 2 * i] - q[2 + 2 * i];
    float power = 1.0f;
    LCIP_UNROLL
    for (int k = 0; k < m; k++, power *= pairs[i])
      y[k] = y[k] + power * (k % 2 ? difference : sum);
  }
}

/* 2 n + 1 outputs of @n pairs, of point 0, of a single one and of infinity. */
LCIP_INLINE void winograd_output_single(const vf *q, const float *pairs, const int n,
                                        const float single, vf *y) {
  const int m = 2 * n + 1;
  float power = 1.0f;
  y[0] = q[0];
  winograd_output_pairs(q, pairs, n, m, y);
  LCIP_UNROLL
  for (int k = 0; k < m; k++, power *= single)
    y[k] = y[k] + power * q[m];
  y[m - 1] = y[m - 1] + q[m + 1];
}

LCIP_INLINE void winograd_output_7_5(const vf q[7], vf y[5]) {
  const float pairs[] = WINOGRAD_PAIRS_7;
  winograd_output_single(q, pairs, 2, WINOGRAD_SINGLE_7, y);
}

LCIP_INLINE void winograd_output_9_7(const vf q[9], vf y[7]) {
  const float pairs[] = WINOGRAD_PAIRS_9;
  winograd_output_single(q, pairs, 3, WINOGRAD_SINGLE_9, y);
}

/* To 4, 6, 7 or 8 outputs. */
LCIP_INLINE void winograd_output_10(const int m, const vf q[10], vf *y) {
  const float pairs[] = WINOGRAD_PAIRS_10;
  y[0] = q[0];
  winograd_output_pairs(q, pairs, 4, m, y);
  y[m - 1] = y[m - 1] + q[9];
}

/* @side inputs, constants after inlining; one is left as it is. */
LCIP_INLINE void winograd_input(const int side, vf *d) {
  if (side == 4)
    winograd_input_4(d);
  else if (side == 6)
    winograd_input_6(d);
  else if (side == 7)
    winograd_input_7(d);
  else if (side == 8)
    winograd_input_8(d);
  else if (side == 9)
    winograd_input_9(d);
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
  else if (side == 7)
    winograd_output_7_5(q, y);
  else if (side == 8)
    winograd_output_8_6(q, y);
  else if (side == 9)
    winograd_output_9_7(q, y);
  else
    winograd_output_10(m, q, y);
}
