#pragma once

#include "lcip-winograd-vec.h"
#include "lcip-winograd.h"

/* Transforming the weights, in double precision: G g G' of each window, of TAPS_Y x TAPS_X to
 * SIDE_Y x SIDE_X values. Loops over the output channels of a group are the inner ones, for the
 * compiler to make vectors of them. */

enum { WINOGRAD_WIDTH = 2 * LCIP_LANES };

/* The finite points of @side products, as lcip-winograd-vec.h orders them. */
static void winograd_points(int side, double points[WINOGRAD_MAX_SIDE]) {
  static const float few[] = {1, 2, 0.5f}, of_7[] = WINOGRAD_PAIRS_7, of_9[] = WINOGRAD_PAIRS_9,
                     of_10[] = WINOGRAD_PAIRS_10;
  const float *pairs = side == 7 ? of_7 : side == 9 ? of_9 : side == 10 ? of_10 : few;
  points[0] = 0;
  for (int i = 0; i < side / 2 - 1; i++) {
    points[1 + 2 * i] = (double)pairs[i];
    points[2 + 2 * i] = -(double)pairs[i];
  }
  if (side == 7 || side == 9)
    points[side - 2] = side == 7 ? WINOGRAD_SINGLE_7 : WINOGRAD_SINGLE_9;
}

/* @matrix: G for @side products of windows of @taps: each point's powers, divided by its distances
 * to all others; the last row is infinity's. */
static void winograd_matrix(int side, int taps,
                            double matrix[WINOGRAD_MAX_SIDE][WINOGRAD_MAX_TAPS]) {
  double points[WINOGRAD_MAX_SIDE];
  winograd_points(side, points);
  for (int i = 0; i + 1 < side; i++) {
    double power = 1;
    for (int k = 0; k + 1 < side; k++)
      power /= k == i ? 1 : points[i] - points[k];
    for (int k = 0; k < taps; k++, power *= points[i])
      matrix[i][k] = power;
  }
  for (int k = 0; k < taps; k++)
    matrix[side - 1][k] = k + 1 == taps;
}

/* G of both axes. */
typedef struct {
  double y[WINOGRAD_MAX_SIDE][WINOGRAD_MAX_TAPS], x[WINOGRAD_MAX_SIDE][WINOGRAD_MAX_TAPS];
} WinogradMatrices;

/* @g: windows of a group's output channels; @out: their frequencies. */
static void winograd_transform(const WinogradMatrices *matrices,
                               const float g[TAPS_Y * TAPS_X][WINOGRAD_WIDTH],
                               float (*out)[WINOGRAD_WIDTH]) {
  double half[SIDE_Y][TAPS_X][WINOGRAD_WIDTH] = {0};
  for (int r = 0; r < SIDE_Y; r++)
    for (int c = 0; c < TAPS_X; c++)
      for (int k = 0; k < TAPS_Y; k++)
        for (int lane = 0; lane < WINOGRAD_WIDTH; lane++)
          half[r][c][lane] += matrices->y[r][k] * (double)g[k * TAPS_X + c][lane];
  for (int r = 0; r < SIDE_Y; r++)
    for (int c = 0; c < SIDE_X; c++) {
      double sum[WINOGRAD_WIDTH] = {0};
      for (int k = 0; k < TAPS_X; k++)
        for (int lane = 0; lane < WINOGRAD_WIDTH; lane++)
          sum[lane] += matrices->x[c][k] * half[r][k][lane];
      for (int lane = 0; lane < WINOGRAD_WIDTH; lane++)
        out[r * SIDE_X + c][lane] = (float)sum[lane];
    }
}

enum { PACK_CHANNELS = 8 };

/* Windows of a group's output channels from @first on and @n input channels from @c on: each output
 * channel's lie one behind the other, far from the next one's. */
static void winograd_gather(const LcipWinograd *p, const float *weights, gint64 first, gint64 c,
                            gint64 n, float windows[][TAPS_Y * TAPS_X][WINOGRAD_WIDTH]) {
  if (p->oc - first < WINOGRAD_WIDTH)
    memset(windows, 0, (gsize)n * sizeof *windows);
  for (gint64 lane = 0; lane < MIN(WINOGRAD_WIDTH, p->oc - first); lane++) {
    const float *from = weights + ((first + lane) * p->c + c) * TAPS_Y * TAPS_X;
    for (gint64 k = 0; k < n; k++)
      for (int i = 0; i < TAPS_Y * TAPS_X; i++)
        windows[k][i][lane] = *from++;
  }
}

/* OIHW @weights -> [group][freq][input channel][output channel in group]. By way of small buffers:
 * frequencies lie so far apart, often by a power of two, that writing to all of them in turn would
 * miss the caches each time. */
static void winograd_pack(const LcipWinograd *p, const float *weights, float *packed) {
  float windows[PACK_CHANNELS][TAPS_Y * TAPS_X][WINOGRAD_WIDTH];
  float freqs[SIDE_Y * SIDE_X][WINOGRAD_WIDTH];
  WinogradMatrices matrices;
  winograd_matrix(SIDE_Y, TAPS_Y, matrices.y);
  winograd_matrix(SIDE_X, TAPS_X, matrices.x);
  for (gint64 group = 0; group < p->groups; group++) {
    const gint64 width = MIN(2, p->vecs - 2 * group) * LCIP_LANES;
    for (gint64 c = 0; c < p->c; c++) {
      if (c % PACK_CHANNELS == 0)
        winograd_gather(p, weights, group * WINOGRAD_WIDTH, c, MIN(PACK_CHANNELS, p->c - c),
                        windows);
      winograd_transform(&matrices, windows[c % PACK_CHANNELS], freqs);
      for (int freq = 0; freq < p->freqs; freq++)
        memcpy(packed + (freq * p->packed_c + c) * width, freqs[freq],
               (gsize)width * sizeof(float));
    }
    packed += p->freqs * p->packed_c * width;
  }
}
