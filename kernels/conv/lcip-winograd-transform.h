#pragma once

#include "lcip-winograd-vec.h"

/* One vector of channels of one tile: from what it reads to frequencies, and from their products to
 * what it writes. */

/* In stages, what is transformed goes past the caches where that, with the weights that sweep
 * through them, is more than they keep until it is read: from PAST_ELEMS of values on. Smaller ones
 * lose by it. */
typedef enum { WAY_FUSED, WAY_STAGED, WAY_STAGED_PAST } Way;
enum { PAST_ELEMS = 768 << 10 };

/* Staged: from the tile that is transformed to the one that is fetched meanwhile. */
enum { TILES_AHEAD = 2 };

/* What a tile reads: its columns [@first, @end) are in the image, and each of @rows begins with the
 * first of these; rows outside the image are zeros. */
typedef struct {
  const float *rows[SIDE_Y];
  int first, end;
} Patch;

/* The vector of channels from @lane on -> frequencies @stride apart. What the next tile of the row
 * reads anew is fetched meanwhile, and what lies ahead of each result in stages. */
LCIP_INLINE void input_body(const Patch *patch, int lane, float *out, gsize stride, const Way way) {
  vf half[SIDE_Y][SIDE_X];
  LCIP_UNROLL
  for (int c = 0; c < SIDE_X; c++) {
    vf column[SIDE_Y];
    const gboolean inside = c >= patch->first && c < patch->end;
    LCIP_UNROLL
    for (int r = 0; r < SIDE_Y && inside; r++) {
      const float *from = patch->rows[r] + (c - patch->first) * LCIP_BLOCK + lane;
      column[r] = v_load(from);
      if (c >= SIDE_X - TILE_X)
        __builtin_prefetch(from + TILE_X * LCIP_BLOCK, 0, 3);
    }
    if (inside)
      winograd_input(SIDE_Y, column);
    LCIP_UNROLL
    for (int r = 0; r < SIDE_Y; r++)
      half[r][c] = inside ? column[r] : v_set1(0.0f);
  }
  LCIP_UNROLL
  for (int r = 0; r < SIDE_Y; r++) {
    winograd_input(SIDE_X, half[r]);
    LCIP_UNROLL
    for (int c = 0; c < SIDE_X; c++, out += stride) {
      if (way == WAY_STAGED_PAST)
        v_stream(out, half[r][c]);
      else
        v_store(out, half[r][c]);
      if (way == WAY_STAGED)
        __builtin_prefetch(out + TILES_AHEAD * LCIP_BLOCK, 1, 3);
    }
  }
}

/* Not inlined: the compiler would compute the addresses of all frequencies before the loop over
 * tiles, and keep them on the stack. */
#define TRANSFORM_INPUT(name, way)                                                                 \
  static G_NO_INLINE void name(const Patch *patch, int lane, float *out, gsize stride) {           \
    input_body(patch, lane, out, stride, way);                                                     \
  }
TRANSFORM_INPUT(transform_input, WAY_FUSED)
TRANSFORM_INPUT(transform_input_staged, WAY_STAGED)
TRANSFORM_INPUT(transform_input_past, WAY_STAGED_PAST)

/* [way] */
static void (*const transform_input_ways[])(const Patch *, int, float *, gsize) = {
    transform_input, transform_input_staged, transform_input_past};

/* The largest of each 2x2 of two columns of outputs, in MaxPool's order; all are finite. */
LCIP_INLINE void pool_columns(const vf left[TILE_Y], const vf right[TILE_Y], vf y[TILE_Y][TILE_X],
                              const int column) {
  LCIP_UNROLL
  for (int r = 0; r < TILE_Y / 2; r++) {
    const vf above = v_max(right[2 * r], left[2 * r]);
    y[r][column] = v_max(right[2 * r + 1], v_max(left[2 * r + 1], above));
  }
}

/* Results of one vector of one tile from products @stride apart, those @ahead fetched; with @pool
 * the largest of each 2x2 alone. Returns the sum of all results, columns apart so that additions
 * need not wait. */
LCIP_INLINE vf output_body(const float *products, gsize stride, vf bias, vf y[TILE_Y][TILE_X],
                           const gsize ahead, const gboolean pool) {
  vf half[SIDE_Y][TILE_X], out[2][TILE_Y], sum = v_set1(0.0f);
  LCIP_UNROLL
  for (int r = 0; r < SIDE_Y; r++) {
    vf row[SIDE_X];
    LCIP_UNROLL
    for (int c = 0; c < SIDE_X; c++, products += stride) {
      row[c] = v_load(products);
      if (ahead > 0)
        __builtin_prefetch(products + ahead, 0, 3);
    }
    winograd_output(SIDE_X, TILE_X, row, half[r]);
  }
  LCIP_UNROLL
  for (int c = 0; c < TILE_X; c++) {
    vf column[SIDE_Y], column_sum = v_set1(0.0f);
    LCIP_UNROLL
    for (int r = 0; r < SIDE_Y; r++)
      column[r] = half[r][c];
    winograd_output(SIDE_Y, TILE_Y, column, out[c % 2]);
    LCIP_UNROLL
    for (int r = 0; r < TILE_Y; r++) {
      out[c % 2][r] += bias;
      column_sum += out[c % 2][r];
      if (!pool)
        y[r][c] = out[c % 2][r];
    }
    sum += column_sum;
    if (pool && c % 2)
      pool_columns(out[0], out[1], y, c / 2);
  }
  return sum;
}

/* Not inlined as transform_input(). */
#define TRANSFORM_OUTPUT(name, ahead, pool)                                                        \
  static G_NO_INLINE vf name(const float *products, gsize stride, vf bias, vf y[TILE_Y][TILE_X]) { \
    return output_body(products, stride, bias, y, ahead, pool);                                    \
  }
TRANSFORM_OUTPUT(transform_output, 0, FALSE)
TRANSFORM_OUTPUT(transform_output_staged, (TILES_AHEAD * LCIP_LANES), FALSE)
#ifdef WINOGRAD_POOLS
TRANSFORM_OUTPUT(transform_output_pooled, 0, TRUE)
TRANSFORM_OUTPUT(transform_output_staged_pooled, (TILES_AHEAD * LCIP_LANES), TRUE)
#define POOLED(name) name##_pooled
#else
#define POOLED(name) name
#endif

/* [staged][pooled] */
static vf (*const transform_outputs[2][2])(const float *, gsize, vf, vf[TILE_Y][TILE_X]) = {
    {transform_output, POOLED(transform_output)},
    {transform_output_staged, POOLED(transform_output_staged)}};
