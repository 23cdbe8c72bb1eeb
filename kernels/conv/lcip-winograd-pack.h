#pragma once

#include "lcip-vec.h"
#include "lcip-winograd.h"

/* Transforming the weights, in double precision: G g G' of each window. Loops over the output
 * channels of a group are the inner ones, for the compiler to make vectors of them. */

enum { WINOGRAD_WIDTH = 2 * LCIP_LANES };

static const double winograd_weights_2[4][3] = {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}};
static const double winograd_weights_4[6][3] = {{1 / 4., 0, 0},
                                                {-1 / 6., -1 / 6., -1 / 6.},
                                                {-1 / 6., 1 / 6., -1 / 6.},
                                                {1 / 24., 1 / 12., 1 / 6.},
                                                {1 / 24., -1 / 12., 1 / 6.},
                                                {0, 0, 1}};
static const double winograd_weights_6[8][3] = {{1, 0, 0},
                                                {-2 / 9., -2 / 9., -2 / 9.},
                                                {-2 / 9., 2 / 9., -2 / 9.},
                                                {1 / 90., 1 / 45., 2 / 45.},
                                                {1 / 90., -1 / 45., 2 / 45.},
                                                {32 / 45., 16 / 45., 8 / 45.},
                                                {32 / 45., -16 / 45., 8 / 45.},
                                                {0, 0, 1}};

/* @g: windows of a group's output channels; @out: their frequencies. */
LCIP_INLINE void winograd_transform(const int m, const double (*matrix)[3],
                                    const double g[9][WINOGRAD_WIDTH],
                                    float (*out)[WINOGRAD_WIDTH]) {
  const int side = m + 2;
  double half[LCIP_WINOGRAD_MAX_SIDE][3][WINOGRAD_WIDTH];
  for (int r = 0; r < side; r++)
    for (int c = 0; c < 3; c++)
      for (int lane = 0; lane < WINOGRAD_WIDTH; lane++)
        half[r][c][lane] = matrix[r][0] * g[c][lane] + matrix[r][1] * g[3 + c][lane] +
                           matrix[r][2] * g[6 + c][lane];
  for (int r = 0; r < side; r++)
    for (int c = 0; c < side; c++)
      for (int lane = 0; lane < WINOGRAD_WIDTH; lane++)
        out[r * side + c][lane] =
            (float)(half[r][0][lane] * matrix[c][0] + half[r][1][lane] * matrix[c][1] +
                    half[r][2][lane] * matrix[c][2]);
}

static void winograd_transform_any(int m, const double g[9][WINOGRAD_WIDTH],
                                   float (*out)[WINOGRAD_WIDTH]) {
  if (m == 2)
    winograd_transform(2, winograd_weights_2, g, out);
  else if (m == 4)
    winograd_transform(4, winograd_weights_4, g, out);
  else
    winograd_transform(6, winograd_weights_6, g, out);
}

/* By way of small buffers: frequencies lie so far apart, often by a power of two, that writing to
 * all of them in turn would miss the caches each time. */
static void winograd_pack_channel(const LcipWinograd *p, const float *weights, gint64 first,
                                  gint64 c, gint64 width, float *packed) {
  double windows[9][WINOGRAD_WIDTH] = {0};
  float freqs[LCIP_WINOGRAD_MAX_SIDE * LCIP_WINOGRAD_MAX_SIDE][WINOGRAD_WIDTH];
  for (gint64 lane = 0; lane < MIN(width, p->oc - first); lane++)
    for (int i = 0; i < 9; i++)
      windows[i][lane] = (double)weights[((first + lane) * p->c + c) * 9 + i];
  winograd_transform_any(p->m, windows, freqs);
  for (int freq = 0; freq < p->freqs; freq++)
    memcpy(packed + (freq * p->packed_c + c) * width, freqs[freq], (gsize)width * sizeof(float));
}

/* OIHW @weights -> [group][freq][input channel][output channel in group]. */
static void winograd_pack(const LcipWinograd *p, const float *weights, float *packed) {
  for (gint64 group = 0; group < p->groups; group++) {
    const gint64 width = MIN(2, p->vecs - 2 * group) * LCIP_LANES;
    for (gint64 c = 0; c < p->c; c++)
      winograd_pack_channel(p, weights, group * WINOGRAD_WIDTH, c, width, packed);
    packed += p->freqs * p->packed_c * width;
  }
}
