#pragma once

#include "lcip-vec.h"

/* The transforms of F(2,3), F(4,3) and F(6,3) along one axis, on vectors of channels. Points: 0, 1,
 * -1, then 2, -2, then 1/2, -1/2, and infinity. */

LCIP_INLINE void winograd_input_2(vf d[4]) {
  const vf d1 = d[1], d2 = d[2];
  d[0] = d[0] - d2;
  d[1] = d1 + d2;
  d[2] = d2 - d1;
  d[3] = d1 - d[3];
}

LCIP_INLINE void winograd_input_4(vf d[6]) {
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

LCIP_INLINE void winograd_input_6(vf d[8]) {
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

LCIP_INLINE void winograd_output_2(const vf q[4], vf y[2]) {
  y[0] = q[0] + (q[1] + q[2]);
  y[1] = (q[1] - q[2]) - q[3];
}

LCIP_INLINE void winograd_output_4(const vf q[6], vf y[4]) {
  const vf a = q[1] + q[2], b = q[1] - q[2], c = q[3] + q[4], d = q[3] - q[4];
  y[0] = q[0] + (a + c);
  y[1] = b + 2.0f * d;
  y[2] = a + 4.0f * c;
  y[3] = q[5] + (b + 8.0f * d);
}

LCIP_INLINE void winograd_output_6(const vf q[8], vf y[6]) {
  const vf a = q[1] + q[2], b = q[1] - q[2], c = q[3] + q[4], d = q[3] - q[4];
  const vf e = q[5] + q[6], f = q[5] - q[6];
  y[0] = (q[0] + a) + (c + e);
  y[1] = (b + 2.0f * d) + 0.5f * f;
  y[2] = (a + 4.0f * c) + 0.25f * e;
  y[3] = (b + 8.0f * d) + 0.125f * f;
  y[4] = (a + 16.0f * c) + 0.0625f * e;
  y[5] = q[7] + ((b + 32.0f * d) + 0.03125f * f);
}

/* @m: a constant after inlining. */
LCIP_INLINE void winograd_input(const int m, vf *d) {
  if (m == 2)
    winograd_input_2(d);
  else if (m == 4)
    winograd_input_4(d);
  else
    winograd_input_6(d);
}

LCIP_INLINE void winograd_output(const int m, const vf *q, vf *y) {
  if (m == 2)
    winograd_output_2(q, y);
  else if (m == 4)
    winograd_output_4(q, y);
  else
    winograd_output_6(q, y);
}
