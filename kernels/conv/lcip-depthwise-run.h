#pragma once

#include "lcip-vec.h"

/* Rows of depthwise convolutions over blocked tensors, for the kernels that have such: each lane
 * has its own channel and weights, so a row of output pixels is a sum of input rows times vectors.
 * Pixels whose window leaves the input are done one by one with the part of the window that is
 * inside; the others in runs. */

enum { DEPTHWISE_RUN = LCIP_ROWS == 14 ? 14 : 8 };

/* Sizes of the input and of the output's rows; results are kept between @lo and @hi. */
typedef struct {
  LcipPlaneWindow win;
  gint64 h, w, ow;
  float lo, hi;
} Depthwise;

/* The part of the window that lies inside for one output pixel or a run of them: rows [y, y_end),
 * columns [x, x_end). @in: where tap (0, 0) of the first pixel reads the block's plane; it may lie
 * outside. */
typedef struct {
  const float *in, *w, *bias;
  gint64 y, y_end, x, x_end;
} DepthwisePart;

/* @width, @stride: the window's, if they are constants; else @width is 0. */
LCIP_INLINE void depthwise_sum(const Depthwise *d, const DepthwisePart *p, float *out,
                               const int pixels, const int width, const int stride) {
  const LcipPlaneWindow *win = &d->win;
  vf sum[DEPTHWISE_RUN];
  LCIP_UNROLL
  for (int i = 0; i < pixels; i++)
    sum[i] = v_load(p->bias);
  for (gint64 ky = p->y; ky < p->y_end; ky++) {
    const float *x = p->in + ky * win->dilation[0] * d->w * LCIP_BLOCK;
    const float *w = p->w + ky * win->kernel[1] * LCIP_BLOCK;
    LCIP_UNROLL
    for (int kx = 0; kx < width; kx++) {
      const vf weight = v_load(w + kx * LCIP_BLOCK);
      LCIP_UNROLL
      for (int i = 0; i < pixels; i++)
        sum[i] += v_load(x + (i * stride + kx) * LCIP_BLOCK) * weight;
    }
    for (gint64 kx = p->x; width == 0 && kx < p->x_end; kx++) {
      const vf weight = v_load(w + kx * LCIP_BLOCK);
      LCIP_UNROLL
      for (int i = 0; i < pixels; i++)
        sum[i] += v_load(x + (i * stride + kx * win->dilation[1]) * LCIP_BLOCK) * weight;
    }
  }
  const vf lo = v_set1(d->lo), hi = v_set1(d->hi);
  LCIP_UNROLL
  for (int i = 0; i < pixels; i++)
    v_store(out + i * LCIP_BLOCK, v_min(hi, v_max(lo, sum[i])));
}

/* Windows that lie inside, the usual ones unrolled. */
LCIP_INLINE void depthwise_inside(const Depthwise *d, const DepthwisePart *p, float *out,
                                  const int pixels) {
  const LcipPlaneWindow *win = &d->win;
  const int width = win->dilation[1] == 1 ? (int)win->kernel[1] : 0, stride = (int)win->stride[1];
  if (width == 3 && stride == 1)
    depthwise_sum(d, p, out, pixels, 3, 1);
  else if (width == 3 && stride == 2)
    depthwise_sum(d, p, out, pixels, 3, 2);
  else if (width == 5 && stride == 1)
    depthwise_sum(d, p, out, pixels, 5, 1);
  else if (width == 5 && stride == 2)
    depthwise_sum(d, p, out, pixels, 5, 2);
  else
    depthwise_sum(d, p, out, pixels, 0, stride);
}

/* Window taps [*begin, *end) that fall into 0 .. size - 1 when tap 0 falls on @first. */
static inline void depthwise_taps(gint64 first, gint64 size, gint64 kernel, gint64 dilation,
                                  gint64 *begin, gint64 *end) {
  *begin = first < 0 ? MIN((dilation - 1 - first) / dilation, kernel) : 0;
  *end = first + (kernel - 1) * dilation < size ? kernel
         : first < size                         ? (size - first + dilation - 1) / dilation
                                                : 0;
  *end = MAX(*end, *begin);
}

/* How many of @n pixels can be done together whose first window begins at column @x. */
static inline int depthwise_length(const Depthwise *d, gint64 n, gint64 x) {
  const LcipPlaneWindow *win = &d->win;
  const gint64 room = d->w - 1 - (win->kernel[1] - 1) * win->dilation[1] - x;
  if (x < 0 || room < 0)
    return 1;
  const gint64 most = n == 1 ? 1 : MIN(room / win->stride[1] + 1, n);
  return most >= DEPTHWISE_RUN       ? DEPTHWISE_RUN
         : most >= DEPTHWISE_RUN / 2 ? DEPTHWISE_RUN / 2
         : most >= 2                 ? 2
                                     : 1;
}

/* Vectors of pixels [@ox, @ox_end) of output row @oy to @out, from vectors of @plane: both, @w and
 * @bias begin at the same lane of a block. */
LCIP_INLINE void depthwise_pixels(const Depthwise *d, const float *plane, const float *w,
                                  const float *bias, gint64 oy, gint64 ox, gint64 ox_end,
                                  float *out) {
  const LcipPlaneWindow *win = &d->win;
  const gint64 y = oy * win->stride[0] - win->pad_begin[0];
  DepthwisePart p = {.w = w, .bias = bias};
  depthwise_taps(y, d->h, win->kernel[0], win->dilation[0], &p.y, &p.y_end);
  while (ox < ox_end) {
    const gint64 x = ox * win->stride[1] - win->pad_begin[1];
    const int pixels = depthwise_length(d, ox_end - ox, x);
    p.in = plane + (y * d->w + x) * LCIP_BLOCK;
    depthwise_taps(x, d->w, win->kernel[1], win->dilation[1], &p.x, &p.x_end);
    if (pixels == DEPTHWISE_RUN)
      depthwise_inside(d, &p, out, DEPTHWISE_RUN);
    else if (pixels == DEPTHWISE_RUN / 2)
      depthwise_inside(d, &p, out, DEPTHWISE_RUN / 2);
    else if (pixels == 2)
      depthwise_inside(d, &p, out, 2);
    else
      depthwise_sum(d, &p, out, 1, 0, 1);
    ox += pixels;
    out += pixels * LCIP_BLOCK;
  }
}
