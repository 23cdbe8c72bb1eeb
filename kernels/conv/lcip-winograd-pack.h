#pragma once

#include "lcip-vec-transpose.h"
#include "lcip-winograd-vec.h"
#include "lcip-winograd.h"

/* Transforming the weights, in double precision: G g G' of each window, of TAPS_Y x TAPS_X to
 * SIDE_Y x SIDE_X values, for vectors of output channels. */

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

/* Half a vector of floats, and a vector of as many doubles. */
typedef float WinogradHalf __attribute__((vector_size(LCIP_LANES * 2), aligned(1), may_alias));
typedef double WinogradDoubles __attribute__((vector_size(LCIP_LANES * 4)));

/* @g: windows of half a vector of output channels, taps WINOGRAD_WIDTH apart; @out: their
 * frequencies, @stride apart. */
static void winograd_transform(const WinogradMatrices *matrices, const float *g, float *out,
                               gsize stride) {
  WinogradDoubles half[SIDE_Y][TAPS_X];
  for (int c = 0; c < TAPS_X; c++)
    for (int r = 0; r < SIDE_Y; r++) {
      WinogradDoubles sum = {0};
      for (int k = 0; k < TAPS_Y; k++)
        sum += matrices->y[r][k] *
               __builtin_convertvector(
                   *(const WinogradHalf *)(g + (k * TAPS_X + c) * WINOGRAD_WIDTH), WinogradDoubles);
      half[r][c] = sum;
    }
  for (int r = 0; r < SIDE_Y; r++)
    for (int c = 0; c < SIDE_X; c++, out += stride) {
      WinogradDoubles sum = {0};
      for (int k = 0; k < TAPS_X; k++)
        sum += matrices->x[c][k] * half[r][k];
      *(WinogradHalf *)out = __builtin_convertvector(sum, WinogradHalf);
    }
}

/* Input channels that are read, and whose frequencies are written, at a time. */
enum { PACK_CHANNELS = 8, PACK_AT_ONCE = 4 };

/* Windows of a group's output channels from @first on and @n input channels from @c on. */
static void winograd_gather(const LcipWinograd *p, const float *weights, gint64 first, gint64 c,
                            gint64 n, float windows[][TAPS_Y * TAPS_X][WINOGRAD_WIDTH]) {
  for (gint64 vec = 0; vec < WINOGRAD_WIDTH; vec += LCIP_LANES) {
    const float *rows[LCIP_LANES];
    for (gint64 lane = 0; lane < LCIP_LANES; lane++) {
      const gint64 oc = first + vec + lane;
      rows[lane] = oc < p->oc ? weights + (oc * p->c + c) * TAPS_Y * TAPS_X : NULL;
    }
    v_pack_rows(rows, n * TAPS_Y * TAPS_X, 1, &windows[0][0][vec], WINOGRAD_WIDTH, 0);
  }
}

/* OIHW @weights -> [group][freq][input channel][output channel in group]. By way of small buffers:
 * frequencies lie so far apart, often by a power of two, that writing to all of them in turn would
 * miss the caches each time. */
static void winograd_pack(const LcipWinograd *p, const float *weights, float *packed) {
  float windows[PACK_CHANNELS][TAPS_Y * TAPS_X][WINOGRAD_WIDTH];
  float freqs[SIDE_Y * SIDE_X][PACK_AT_ONCE][WINOGRAD_WIDTH];
  WinogradMatrices matrices;
  winograd_matrix(SIDE_Y, TAPS_Y, matrices.y);
  winograd_matrix(SIDE_X, TAPS_X, matrices.x);
  for (gint64 group = 0; group < p->groups; group++) {
    const gint64 width = MIN(2, p->vecs - 2 * group) * LCIP_LANES;
    for (gint64 c = 0; c < p->c; c += PACK_AT_ONCE) {
      const gint64 n = MIN(PACK_AT_ONCE, p->c - c);
      if (c % PACK_CHANNELS == 0)
        winograd_gather(p, weights, group * WINOGRAD_WIDTH, c, MIN(PACK_CHANNELS, p->c - c),
                        windows);
      for (gint64 k = 0; k < n; k++)
        for (gint64 lane = 0; lane < width; lane += LCIP_LANES / 2)
          winograd_transform(&matrices, &windows[c % PACK_CHANNELS + k][0][lane],
                             &freqs[0][k][lane], PACK_AT_ONCE * WINOGRAD_WIDTH);
      for (int freq = 0; freq < p->freqs; freq++)
        for (gint64 k = 0; k < n; k++)
          for (gint64 lane = 0; lane < width; lane += LCIP_LANES)
            v_stream(packed + (freq * p->packed_c + c + k) * width + lane,
                     v_load(&freqs[freq][k][lane]));
    }
    packed += p->freqs * p->packed_c * width;
  }
  v_stream_end();
}
