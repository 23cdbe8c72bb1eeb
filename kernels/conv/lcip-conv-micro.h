#pragma once

#include "lcip-vec.h"

/* The micro-kernel of convolutions over blocked tensors, which kernels of one instruction set
 * share: lcip-conv-blocked.c has it. */

#define PIXELS LCIP_ROWS
#define GROUP (2 * LCIP_LANES) /* output channels of one tile */

/* Where a block is one vector a tile may have a third one, with fewer pixels, as the registers hold
 * the sums: a vector alone would take a load for each product. */
#if LCIP_LANES == 8
#define MICRO_TRIPLE_PIXELS (LCIP_ROWS == 14 ? 8 : 4)
#define MICRO_VECS 3
#else
#define MICRO_TRIPLE_PIXELS 0
#define MICRO_VECS 2
#endif

/* What a micro-kernel reads and writes. @x: the first pixel's first value; blocks are @x_block
 * apart, rows of the window @x_row, its columns at @taps. Rows [ky, ky_end) of its @kh are used.
 * From the first to the second vector of a pixel in @out and @side it is @vec_stride, to the next
 * pixel @out_step. For each channel of the input one float of @next is fetched, @next_step apart.
 * All in elements. Of the tile's channels there are @channels or more; results of others are 0 even
 * where inputs are NaN. @width, @lanes, @neighbour: of narrow groups; the k-th vector of
 * @lanes says which lane's value goes where, columns of the window that are @neighbour apart read
 * pixels next to each other. */
typedef struct {
  const float *x, *w, *bias, *side, *next;
  float *out;
  int width, channels;
  const gint32 *lanes;
  gsize x_block, x_row, vec_stride, out_step;
  const gsize *taps;
  gint64 neighbour, next_step, n_blocks, last_depth, kh, kw, ky, ky_end;
  float lo, hi;
} Micro;

/* A block of the input is a block of channels, also with a window of 1x1 (POINT), which reads @x
 * alone; one channel; a block of channels of narrow groups. POINT_HALF: of the second vector the
 * upper half is no channels; its weights are there twice. */
typedef enum {
  MICRO_BLOCKED,
  MICRO_FETCH,
  MICRO_POINT,
  MICRO_POINT_FETCH,
  MICRO_POINT_HALF,
  MICRO_DENSE,
  MICRO_NARROW,
  MICRO_INPUTS
} MicroInput;

/* The first of @channels that tile @tile is for. Tiles are GROUP channels, but where a last one of
 * half a vector would remain it takes a vector of the one before it: half a vector is cheap beside
 * a whole one alone. */
LCIP_INLINE gint64 micro_tile_first(gint64 channels, gint64 tile) {
  const gint64 last = (channels - 1) / GROUP;
  const gboolean early = LCIP_LANES == 16 && channels - last * GROUP <= LCIP_LANES / 2;
  return tile * GROUP - (early && tile > 0 && tile == last ? LCIP_LANES : 0);
}

/* Its vectors. */
LCIP_INLINE int micro_tile_vecs(gint64 channels, gint64 tile) {
  const gint64 first = micro_tile_first(channels, tile);
  const gint64 whole = (channels + LCIP_BLOCK - 1) / LCIP_BLOCK * LCIP_BLOCK;
  return (int)((MIN(whole, micro_tile_first(channels, tile + 1)) - first) / LCIP_LANES);
}

/* Whether a tile of @channels is one for POINT_HALF: where vectors are
 * long and a pixel's second one would be half empty, one vector has the halves of two pixels. */
LCIP_INLINE gboolean micro_is_half(gint64 channels) {
  return LCIP_LANES == 16 && channels > LCIP_LANES && channels <= LCIP_LANES * 3 / 2;
}

/* The channel of a tile of @channels that @lane of its weights is for. */
LCIP_INLINE gint64 micro_lane_channel(gint64 channels, gint64 lane) {
  return micro_is_half(channels) && lane >= LCIP_LANES * 3 / 2 ? lane - LCIP_LANES / 2 : lane;
}

/* lcip_conv_micro: @pixels (at most PIXELS) x @vecs (1 or 2) vectors; of narrow groups a block.
 * Three vectors for at most MICRO_TRIPLE_PIXELS; they fetch nothing. */
#define lcip_conv_micro LCIP_ISA_SYMBOL(lcip_conv_micro)
void lcip_conv_micro(const Micro *m, MicroInput input, int pixels, int vecs);
