#include "config.h"
#include "lcip-winograd.h"

#include <math.h>

enum { CACHE_LINE_ELEMS = 16 };

/* Transformed input of a chunk: what a usual L2 cache holds beside the weights in use. */
#define INPUT_BUDGET_ELEMS (192 * 1024)

/* Estimated time in multiply-adds of one vector (which a core starts once a cycle, or twice).
 * Transforming as many vectors along one axis, measured. */
static const struct {
  int side;
  double input, output;
} axis_costs[] = {{1, 2, 2},      {4, 6.25, 7.5}, {6, 11.7, 13}, {7, 18, 21},
                  {8, 23.75, 30}, {9, 32, 40},    {10, 42, 50}};
/* Below this many multiply-adds for a pair of weight vectors the loads of these take longer. */
static const double MIN_PAIR_COST = 8;
/* A pair's own loads and loop. */
static const double PAIR_COST = 3;
static const double CHUNK_COST = 2000;
/* Bytes that come meanwhile: weights from memory; what lies in a cache that all cores share. */
static const double MEMORY_BYTES_PER_COST = 6, SHARED_BYTES_PER_COST = 15;
/* Frames together run beside so many streams, or more. */
static const double STREAMS = 2;
/* Share of the shorter that computing and reading do not overlap. */
static const double NO_OVERLAP = 0.3;

/* 12 MiB: what a network leaves of a usual last-level cache. */
static const double SHARED_CACHE_ELEMS = 3 << 20;

/* A larger tile has larger errors and weights; two products more must gain this much. */
static const double LEAST_GAIN = 0.95;

static gint64 divide_up(gint64 a, gint64 b) {
  return (a + b - 1) / b;
}

/* One tile for each window that there are kernels for. */
static const LcipWinogradTile windows[] = {{2, 2, 3, 3}, {7, 7, 4, 4}, {6, 6, 5, 5}, {1, 4, 1, 3},
                                           {4, 1, 3, 1}, {1, 4, 1, 7}, {4, 1, 7, 1}};
/* With a stride each becomes stride * stride of them. */
enum { MOST_STRIDED_CHANNELS = 4 };

static int side_rows(LcipWinogradTile tile) {
  return tile.rows + tile.kernel_rows - 1;
}

static int side_cols(LcipWinogradTile tile) {
  return tile.cols + tile.kernel_cols - 1;
}

/* Taps before the window's first, for its padding to be whole strides. */
static gint64 shift_of(const LcipPlaneWindow *win, int axis) {
  const gint64 stride = win->stride[axis];
  return (stride - win->pad_begin[axis] % stride) % stride;
}

static gint64 window_of(const LcipPlaneWindow *win, int axis) {
  return divide_up(win->kernel[axis] + shift_of(win, axis), win->stride[axis]);
}

gboolean lcip_winograd_fits(const LcipStep *step, LcipWinogradTile tile, const char **reason) {
  LcipPlaneWindow win;
  const LcipShape *in = &step->inputs[0].shape, *weights = &step->inputs[1].shape;
  /* Strides make windows smaller alone: most convolutions are refused before theirs are known. */
  if (weights->dims[2] < tile.kernel_rows || weights->dims[3] < tile.kernel_cols ||
      !lcip_plane_window_init(&win, LCIP_WINDOW_CONV, step, in, NULL) ||
      window_of(&win, 0) != tile.kernel_rows || window_of(&win, 1) != tile.kernel_cols) {
    *reason = "it is for windows of another size";
    return FALSE;
  }
  const gint64 stride = win.stride[0];
  if (stride != win.stride[1] || win.dilation[0] != 1 || win.dilation[1] != 1 ||
      (stride != 1 && stride != 2 && stride != 4) ||
      (stride > 1 && in->dims[1] > MOST_STRIDED_CHANNELS)) {
    *reason = "it takes dilation 1 and stride 1 only, or strides 2 and 4 for at most 4 channels";
    return FALSE;
  }
  if (in->dims[1] != weights->dims[1])
    *reason = "it takes one group only";
  return in->dims[1] == weights->dims[1];
}

static void set_tile(LcipWinograd *p, const LcipWinogradIsa *isa, LcipWinogradTile tile) {
  p->tile = tile;
  p->freqs = side_rows(tile) * side_cols(tile);
  p->tile_rows = divide_up(p->oh, tile.rows);
  p->tile_cols = divide_up(p->ow, tile.cols);
  p->tiles = p->n * p->tile_rows * p->tile_cols;
  const gint64 fit = INPUT_BUDGET_ELEMS / (p->freqs * p->blocks * isa->block);
  p->max_tiles = CLAMP(fit, isa->rows, 4 * isa->rows);
}

static gint64 outputs_of(const LcipPlaneWindow *win, int axis, gint64 size) {
  const gint64 rest = size + win->pad_begin[axis] + win->pad_end[axis] - win->kernel[axis];
  return rest / win->stride[axis] + 1;
}

gboolean lcip_winograd_init(LcipWinograd *p, const LcipStep *step, const LcipShape *in,
                            const LcipWinogradIsa *isa, LcipWinogradTile tile, GError **error) {
  const gint64 oc = step->inputs[1].shape.dims[0];
  LcipPlaneWindow win;
  if (!lcip_plane_window_init(&win, LCIP_WINDOW_CONV, step, in, error))
    return FALSE;
  const gint64 stride = win.stride[0], c = in->dims[1] * stride * stride;
  *p = (LcipWinograd){.stride = (int)stride,
                      .shift_y = (int)shift_of(&win, 0),
                      .shift_x = (int)shift_of(&win, 1),
                      .n = in->dims[0],
                      .c = c,
                      .h = divide_up(in->dims[2], stride),
                      .w = divide_up(in->dims[3], stride),
                      .oc = oc,
                      .oh = outputs_of(&win, 0, in->dims[2]),
                      .ow = outputs_of(&win, 1, in->dims[3]),
                      .pad_y = divide_up(win.pad_begin[0], stride),
                      .pad_x = divide_up(win.pad_begin[1], stride),
                      .blocks = divide_up(c, isa->block)};
  p->vecs = divide_up(oc, isa->block) * (isa->block / isa->lanes);
  p->groups = divide_up(p->vecs, 2);
  p->packed_c = divide_up(p->c, isa->channels) * isa->channels;
  set_tile(p, isa, tile);
  return TRUE;
}

/* ---- estimates ---- */

static guint axis_at(int side) {
  guint i = 0;
  while (axis_costs[i].side < side)
    i++;
  return i;
}

/* One vector of a tile: down all columns of inputs, then across all rows. */
static double input_cost(LcipWinogradTile tile) {
  const int rows = side_rows(tile), cols = side_cols(tile);
  return cols * axis_costs[axis_at(rows)].input + rows * axis_costs[axis_at(cols)].input;
}

/* Across all rows of products, then down the columns of outputs. */
static double output_cost(LcipWinogradTile tile) {
  const int rows = side_rows(tile), cols = side_cols(tile);
  return rows * axis_costs[axis_at(cols)].output + tile.cols * axis_costs[axis_at(rows)].output;
}

/* Multiplying @tiles with one group of output vectors, all frequencies; and back. */
static double group_cost(const LcipWinograd *p, const LcipWinogradIsa *isa, gint64 tiles) {
  const double parts = (double)divide_up(tiles, isa->rows);
  const double pair = MAX(2.0 * (double)tiles, MIN_PAIR_COST * parts) + PAIR_COST * parts;
  return (double)(p->freqs * p->c) * pair + 2.0 * output_cost(p->tile) * (double)tiles;
}

static double chunk_cost(const LcipWinograd *p, const LcipWinogradIsa *isa, gint64 tiles,
                         gint64 groups) {
  const double vecs = (double)(p->blocks * (isa->block / isa->lanes));
  return CHUNK_COST + vecs * input_cost(p->tile) * (double)tiles +
         (double)groups * group_cost(p, isa, tiles);
}

LcipWinogradSplit lcip_winograd_split(const LcipWinograd *p, const LcipWinogradIsa *isa,
                                      guint workers) {
  LcipWinogradSplit best = {0};
  double least = G_MAXDOUBLE;
  if (p->tiles == 0)
    return (LcipWinogradSplit){1, 0, p->groups, 1};
  const gint64 fewest = divide_up(p->tiles, p->max_tiles);
  for (gint64 k = fewest; k <= MIN(p->tiles, fewest + 4 * workers); k++)
    for (gint64 g = 1; g <= MIN(p->groups, 4 * workers); g++) {
      const LcipWinogradSplit split = {divide_up(p->tiles, k), k, divide_up(p->groups, g), g};
      const double rounds = (double)divide_up(k * g, workers);
      const double cost = rounds * chunk_cost(p, isa, split.tiles, split.groups);
      if (cost < least) {
        least = cost;
        best = split;
      }
    }
  best.tile_chunks = divide_up(p->tiles, best.tiles);
  best.group_chunks = divide_up(p->groups, best.groups);
  return best;
}

static double overlapped(double compute, double read) {
  return MAX(compute, read) + NO_OVERLAP * MIN(compute, read);
}

/* All transformed values are written and read. Weights are read once for @n_together frames, while
 * other streams use the memory, and few tiles are multiplied in pairs of frames then. */
static double staged_cost(const LcipWinograd *p, const LcipWinogradIsa *isa, double bytes,
                          guint n_together) {
  const gint64 at_once = n_together > 1 && lcip_winograd_pairs(p, isa) ? 2 : 1;
  const double compute = chunk_cost(p, isa, at_once * p->tiles, p->groups) / (double)at_once;
  const double read = bytes / MEMORY_BYTES_PER_COST / MAX(1, n_together / STREAMS);
  return overlapped(compute, read) +
         8.0 * (double)lcip_winograd_stage_elems(p, isa) / SHARED_BYTES_PER_COST;
}

/* Fused, each chunk of tiles but the first reads the weights again. */
static double winograd_cost(const LcipWinograd *p, const LcipWinogradIsa *isa, guint n_together) {
  const double bytes = 4.0 * (double)(p->freqs * p->c * p->oc);
  if (lcip_winograd_staged(p, isa))
    return staged_cost(p, isa, bytes, bytes < LCIP_WINOGRAD_SWEPT_BYTES ? 1 : n_together);
  const LcipWinogradSplit split = lcip_winograd_split(p, isa, 1);
  const double chunks = (double)(split.tile_chunks * split.group_chunks);
  const double read = bytes / MEMORY_BYTES_PER_COST +
                      (double)(split.tile_chunks - 1) * bytes / SHARED_BYTES_PER_COST;
  return overlapped(chunks * chunk_cost(p, isa, split.tiles, split.groups), read);
}

static double direct_cost(const LcipWinograd *p, const LcipStep *step, const LcipWinogradIsa *isa) {
  const gint64 *w = step->inputs[1].shape.dims;
  const double taps = (double)(w[1] * w[2] * w[3]);
  const double products = taps * (double)(p->vecs * p->n * p->oh * p->ow);
  return overlapped(products * (1 + PAIR_COST / (2.0 * isa->rows)),
                    4.0 * taps * (double)p->oc / MEMORY_BYTES_PER_COST);
}

double lcip_winograd_estimate(const LcipStep *step, const LcipWinogradIsa *isa,
                              LcipWinogradTile tile, gboolean sweeps) {
  LcipWinograd p;
  if (!lcip_winograd_init(&p, step, &step->inputs[0].shape, isa, tile, NULL))
    return G_MAXDOUBLE;
  return winograd_cost(&p, isa, sweeps ? step->n_together : 1) /
         pow(LEAST_GAIN, MAX(side_rows(tile), side_cols(tile)) / 2.0 - 1);
}

double lcip_winograd_direct_estimate(const LcipStep *step, const LcipWinogradIsa *isa) {
  const char *reason;
  LcipWinograd p;
  for (guint i = 0; i < G_N_ELEMENTS(windows); i++)
    if (lcip_winograd_fits(step, windows[i], &reason) &&
        lcip_winograd_init(&p, step, &step->inputs[0].shape, isa, windows[i], NULL))
      return direct_cost(&p, step, isa);
  return 0;
}

/* ---- weights ---- */

const float *lcip_winograd_weight_at(const LcipWinograd *p, const LcipStep *step, const float *w,
                                     gint64 oc, gint64 c, int ky, int kx) {
  const gint64 *dims = step->inputs[1].shape.dims, s = p->stride;
  const gint64 y = s * ky + c / s % s - p->shift_y, x = s * kx + c % s - p->shift_x;
  return y >= 0 && y < dims[2] && x >= 0 && x < dims[3]
             ? w + ((oc * dims[1] + c / (s * s)) * dims[2] + y) * dims[3] + x
             : NULL;
}

/* ---- memory ---- */

gsize lcip_winograd_input_stride(const LcipWinograd *p, const LcipWinogradIsa *isa) {
  return (gsize)(p->blocks * p->max_tiles * isa->block) + CACHE_LINE_ELEMS;
}

gsize lcip_winograd_product_stride(const LcipWinograd *p, const LcipWinogradIsa *isa) {
  return (gsize)(2 * p->max_tiles * isa->lanes) + CACHE_LINE_ELEMS;
}

gsize lcip_winograd_scratch_elems(const LcipWinograd *p, const LcipWinogradIsa *isa) {
  const gsize elems =
      (lcip_winograd_input_stride(p, isa) + lcip_winograd_product_stride(p, isa)) * (gsize)p->freqs;
  return (elems + CACHE_LINE_ELEMS - 1) / CACHE_LINE_ELEMS * CACHE_LINE_ELEMS;
}

gsize lcip_winograd_weight_elems(const LcipWinograd *p, const LcipWinogradIsa *isa) {
  return (gsize)(p->vecs * isa->lanes * p->packed_c * p->freqs);
}

gsize lcip_winograd_stage_stride(const LcipWinograd *p, const LcipWinogradIsa *isa) {
  return (gsize)(p->vecs * p->tiles * isa->lanes) + CACHE_LINE_ELEMS;
}

gsize lcip_winograd_stage_elems(const LcipWinograd *p, const LcipWinogradIsa *isa) {
  LcipWinograd all = *p;
  all.max_tiles = p->tiles;
  return (lcip_winograd_input_stride(&all, isa) + lcip_winograd_stage_stride(&all, isa)) *
         (gsize)p->freqs;
}

/* Time to read @elems, in arbitrary units: from a cache that all cores share, or from memory. */
static double read_cost(double elems) {
  return elems > SHARED_CACHE_ELEMS ? 3 * elems : elems;
}

/* Weights read for each chunk, or once, and then all transformed values written and read. Where
 * weights come from memory even once, that takes no longer, and streams can share them. */
gboolean lcip_winograd_staged(const LcipWinograd *p, const LcipWinogradIsa *isa) {
  const double weights = (double)lcip_winograd_weight_elems(p, isa);
  const double values = (double)lcip_winograd_stage_elems(p, isa);
  const double chunks = (double)divide_up(p->tiles, p->max_tiles);
  return weights > SHARED_CACHE_ELEMS ||
         read_cost(weights) + 2 * read_cost(values) < chunks * read_cost(weights);
}

gboolean lcip_winograd_pairs(const LcipWinograd *p, const LcipWinogradIsa *isa) {
  return 2 * p->tiles <= isa->rows;
}
