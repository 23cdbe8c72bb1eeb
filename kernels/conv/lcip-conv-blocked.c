#include "config.h"
#include "lcip-conv-micro.h"
#include "lcip-vec-transpose.h"
#include "lcip-winograd.h"

#include <math.h>

/* Direct convolution over channel-blocked tensors. A micro-kernel computes a tile of up to PIXELS
 * neighbouring output pixels times two vectors of output channels in registers; for each input
 * value it multiplies a broadcast of that value with two vectors of weights: as many independent
 * sums as registers allow, so that the multiply-add units never wait for a result. Where a single
 * vector of channels would remain, the last tile may have it as a third. Weights are packed in the
 * order of use.
 *
 * Padding at the sides and strides never reach the micro-kernel: the part of the input that a chunk
 * of output rows needs is first copied to scratch, with zeros around it and columns sorted by their
 * remainder modulo the stride, so that neighbouring output pixels are neighbours in memory. Rows of
 * the window outside of the image are left out; a window of one row is transposed for this, and
 * then columns are left out. A 1x1 convolution with stride 1 reads the input where it is, as one
 * long row. A first layer with few channels reads a dense input; its copy is planar. Narrow groups,
 * several of which share a block of channels, are computed block by block: instead of a broadcast
 * each lane gets the value of its own group. */

enum {
  MAX_KERNEL_WIDTH = 32, /* and stride */
  MAX_DENSE_CHANNELS = 4,
  FLAT_BUDGET_ELEMS = 64 * 1024,  /* input of a chunk: a quarter of a usual L2 cache */
  COPY_BUDGET_ELEMS = 128 * 1024, /* copied input of a chunk */
  CACHE_ELEMS = 192 * 1024,       /* copied rows and weights in use: most of an L2 cache */
  FETCH_ELEMS = 8 * 1024,         /* weights of a tile: what a usual L1 cache does not keep */
  MIN_CHUNKS = 32,
  SMALL_IMAGE = 16 * PIXELS, /* pixels */
};
/* 20 us on one core: well above what handing out a chunk costs. */
static const double CHUNK_FLOPS = 2e6;

/* Estimated costs in multiply-adds of one vector: of copying one; of a float of the weights from a
 * cache that all cores share, and of one that was fetched ahead; of handing out a chunk. The last
 * is the part of a chunk that others are done before the last worker is. */
static const double COPY_COST = 4, WEIGHT_COST = 0.5, FETCHED_COST = 0.25, CHUNK_COST = 2000,
                    TAIL_COST = 0.25;

/* ---- the convolution's shape ---- */

/* Shapes and splits of one call. @c, @oc, @blocks, @out_blocks and @tiles are those of one of
 * @groups; @tiles counts register tiles of GROUP channels, @depth the channels of an input block,
 * @packed_c those of the packed weights: whole reads of channels, with zeros. Groups of less than a
 * block, @width channels each, count as groups of a whole block, the last of which may be cut:
 * there are @all_oc channels. @triple: the last tile has a third vector. The copy of the input has
 * @copy_cols pixels per remainder.
 * @transposed: rows are the images' columns; rows and columns of the input are @in_row and @in_col
 * elements apart, those of the output @out_row and @out_col. */
typedef struct {
  LcipPlaneWindow win;
  gint64 n, groups, c, h, w, oc, oh, ow, all_oc;
  int width; /* 0: the groups are not narrow */
  gint64 blocks, depth, packed_c, out_blocks, tiles, taps_per_output;
  gboolean dense, flat, transposed, triple;
  gint64 chunk_rows, chunk_cols, row_chunks, col_chunks, tile_chunks, tiles_in_chunk;
  gint64 copy_cols, copy_rows, copy_phases, in_row, in_col, out_row, out_col;
  gsize taps[MAX_KERNEL_WIDTH];
  gint64 copy_begin[MAX_KERNEL_WIDTH], copy_end[MAX_KERNEL_WIDTH];
} Shape;

/* The first channel of @tile, or where the last one ends. */
static gint64 tile_first(const Shape *s, gint64 tile) {
  if (s->triple)
    return tile < s->tiles ? tile * GROUP : s->out_blocks * LCIP_BLOCK;
  return micro_tile_first(s->oc, tile);
}

static int tile_vecs(const Shape *s, gint64 tile) {
  return s->triple ? (int)(tile_first(s, tile + 1) - tile_first(s, tile)) / LCIP_LANES
                   : micro_tile_vecs(s->oc, tile);
}

static gboolean is_flat(const Shape *s) {
  const LcipPlaneWindow *w = &s->win;
  for (guint i = 0; i < 2; i++)
    if (w->kernel[i] != 1 || w->stride[i] != 1 || w->pad_begin[i] || w->pad_end[i])
      return FALSE;
  return !s->dense;
}

static gint64 divide_up(gint64 a, gint64 b) {
  return (a + b - 1) / b;
}

/* One copied row of all channels of a group, in elements. */
static gint64 copy_row_elems(const Shape *s) {
  return s->blocks * s->depth * s->copy_phases * s->copy_cols;
}

static gint64 copied_rows(const Shape *s, gint64 out_rows) {
  return (out_rows - 1) * s->win.stride[0] + (s->win.kernel[0] - 1) * s->win.dilation[0] + 1;
}

/* Column kx of the window starts in the run of columns with its remainder. */
static void plan_copy(Shape *s) {
  const LcipPlaneWindow *w = &s->win;
  const gint64 stride = w->stride[1];
  s->copy_phases = MIN(stride, (w->kernel[1] - 1) * w->dilation[1] + 1);
  s->copy_cols = s->ow + (w->kernel[1] - 1) * w->dilation[1] / stride;
  for (gint64 kx = 0; kx < w->kernel[1]; kx++) {
    const gint64 column = kx * w->dilation[1];
    s->taps[kx] = (gsize)((column % stride * s->copy_cols + column / stride) * s->depth);
  }
  for (gint64 phase = 0; phase < s->copy_phases; phase++) {
    const gint64 first = phase - w->pad_begin[1];
    const gint64 begin = first >= 0 ? 0 : divide_up(-first, stride);
    const gint64 end = first < s->w ? divide_up(s->w - first, stride) : 0;
    s->copy_end[phase] = MIN(end, s->copy_cols);
    s->copy_begin[phase] = MIN(begin, s->copy_end[phase]);
  }
}

/* Pixels of a chunk of a flat convolution: worth a worker's while, small enough for its L2 cache.
 */
static gint64 flat_length(const Shape *s, double flops) {
  const gint64 size = MAX((gint64)(CHUNK_FLOPS / flops) + 1, divide_up(s->ow * s->n, MIN_CHUNKS));
  const gint64 most = MAX(1, FLAT_BUDGET_ELEMS / (s->c * PIXELS));
  return MIN(divide_up(size, PIXELS), most) * PIXELS;
}

/* Where pixels give few chunks, output channels are split too. */
static void plan_large_image(Shape *s) {
  const double flops = 2.0 * (double)(s->taps_per_output * s->oc);
  s->chunk_cols = MIN(flat_length(s, flops), s->ow);
  const gint64 so_far = s->n * s->groups * divide_up(s->ow, s->chunk_cols);
  const gint64 want =
      MIN((gint64)(flops * (double)s->chunk_cols / CHUNK_FLOPS), MIN_CHUNKS / so_far);
  s->tiles_in_chunk = divide_up(s->tiles, CLAMP(want, 1, s->tiles));
}

/* Estimated time of all chunks of @cols pixels and @tiles. */
static double small_image_cost(const Shape *s, gint64 cols, gint64 tiles, guint workers) {
  const gint64 splits = divide_up(s->ow, cols) * divide_up(s->tiles, tiles);
  const gint64 chunks = s->n * s->groups * splits;
  const double one = CHUNK_COST + (double)(s->taps_per_output * tiles) *
                                      (2.0 * (double)cols + FETCHED_COST * GROUP);
  return one * (workers > 1 ? (double)divide_up(chunks, workers) + TAIL_COST : (double)chunks);
}

/* Small images use a tile's weights but a few times, so their pixels are split only where output
 * channels alone do not keep all workers busy. */
static void plan_small_image(Shape *s, guint workers) {
  double least = G_MAXDOUBLE;
  for (gint64 parts = 1; parts <= divide_up(s->ow, PIXELS); parts++) {
    const gint64 cols = divide_up(s->ow, parts);
    if (cols * s->c > 2 * FLAT_BUDGET_ELEMS && cols > PIXELS)
      continue;
    for (gint64 tiles = s->tiles;; tiles = divide_up(tiles, 2)) {
      const double cost = small_image_cost(s, cols, tiles, workers);
      if (cost < least) {
        least = cost;
        s->chunk_cols = cols;
        s->tiles_in_chunk = tiles;
      }
      if (tiles == 1)
        break;
    }
  }
}

static void plan_flat_chunks(Shape *s, guint workers) {
  if (s->ow <= SMALL_IMAGE)
    plan_small_image(s, workers);
  else
    plan_large_image(s);
  s->chunk_rows = s->row_chunks = 1;
  s->col_chunks = divide_up(s->ow, s->chunk_cols);
}

/* Estimated time of a chunk of @rows and @tiles. Weights of a tile are used once for each row. */
static double chunk_cost(const Shape *s, gint64 rows, gint64 tiles) {
  const gint64 weights = s->taps_per_output * GROUP;
  const gint64 copied = copied_rows(s, 1) * copy_row_elems(s);
  const gint64 reads = weights + copied > CACHE_ELEMS ? rows : 1;
  return CHUNK_COST + 2.0 * (double)(s->taps_per_output * s->ow * rows * tiles) +
         COPY_COST * (double)(copied_rows(s, rows) * copy_row_elems(s) / LCIP_LANES) +
         WEIGHT_COST * (double)(weights * reads * tiles);
}

/* The split that should end first: the workers take chunks in turn, and one of them comes last. */
static void plan_row_chunks(Shape *s, guint workers) {
  double least = G_MAXDOUBLE;
  for (gint64 rows = s->oh;; rows = divide_up(rows, 2)) {
    for (gint64 tiles = s->tiles;; tiles = divide_up(tiles, 2)) {
      const gint64 splits = divide_up(s->oh, rows) * divide_up(s->tiles, tiles);
      const double chunks = (double)(s->n * s->groups * splits), one = chunk_cost(s, rows, tiles);
      const double cost = one * (workers > 1 ? chunks / workers + 1 : chunks);
      const gboolean fits = copied_rows(s, rows) * copy_row_elems(s) <= COPY_BUDGET_ELEMS;
      if (cost < least && (fits || rows == 1)) {
        least = cost;
        s->chunk_rows = rows;
        s->tiles_in_chunk = tiles;
      }
      if (tiles == 1)
        break;
    }
    if (rows == 1)
      break;
  }
  s->chunk_cols = s->ow;
  s->col_chunks = 1;
  s->row_chunks = divide_up(s->oh, s->chunk_rows);
}

/* Each result is computed in one chunk by the same additions in the same order, whatever the split.
 */
static void plan_chunks(Shape *s, guint workers) {
  if (s->flat)
    plan_flat_chunks(s, workers);
  else
    plan_row_chunks(s, workers);
  s->tile_chunks = divide_up(s->tiles, s->tiles_in_chunk);
  s->copy_rows = copied_rows(s, s->chunk_rows);
}

/* The channels of a group where groups are several to a block, as many in as out; else 0. */
static int narrow_width(const LcipShape *in, const LcipShape *weights) {
  const gint64 width = weights->dims[1], groups = in->dims[1] / width;
  return groups > 1 && width > 1 && width < LCIP_BLOCK && LCIP_BLOCK % width == 0 &&
                 weights->dims[0] == in->dims[1] && width <= LCIP_LANES
             ? (int)width
             : 0;
}

static void swap(gint64 *a, gint64 *b) {
  const gint64 old = *a;
  *a = *b;
  *b = old;
}

static void transpose(Shape *s) {
  LcipPlaneWindow *w = &s->win;
  gint64 *const pairs[] = {w->kernel, w->stride, w->dilation, w->pad_begin, w->pad_end};
  for (guint i = 0; i < G_N_ELEMENTS(pairs); i++)
    swap(&pairs[i][0], &pairs[i][1]);
  swap(&s->h, &s->w);
  swap(&s->oh, &s->ow);
  swap(&s->in_row, &s->in_col);
  swap(&s->out_row, &s->out_col);
}

static void set_strides(Shape *s) {
  s->in_col = s->depth;
  s->in_row = s->w * s->depth;
  s->out_col = LCIP_BLOCK;
  s->out_row = s->ow * LCIP_BLOCK;
  s->transposed = !s->dense && s->win.kernel[0] == 1 && s->win.kernel[1] > 1;
  if (s->transposed)
    transpose(s);
}

/* @in, @out: actual n, c, h, w. Weights are oc, c / groups, kh, kw. */
static gboolean shape_init(Shape *s, const LcipStep *step, const LcipShape *in,
                           const LcipShape *out, gboolean dense, guint workers, GError **error) {
  const LcipShape *weights = &step->inputs[1].shape;
  *s = (Shape){.n = in->dims[0], .h = in->dims[2], .w = in->dims[3], .dense = dense};
  if (!lcip_plane_window_init(&s->win, LCIP_WINDOW_CONV, step, in, error))
    return FALSE;
  s->all_oc = out->dims[1];
  s->width = narrow_width(in, weights);
  s->groups = s->width ? lcip_blocks(s->all_oc, LCIP_BLOCK) : in->dims[1] / weights->dims[1];
  s->c = s->width ? LCIP_BLOCK : weights->dims[1];
  s->oc = s->width ? LCIP_BLOCK : out->dims[1] / s->groups;
  s->oh = out->dims[2];
  s->ow = out->dims[3];
  s->depth = dense ? 1 : LCIP_BLOCK;
  s->blocks = divide_up(s->c, s->depth);
  s->out_blocks = divide_up(s->oc, LCIP_BLOCK);
  s->triple = MICRO_TRIPLE_PIXELS > 0 && !s->width && s->out_blocks > 1 && s->out_blocks % 2 == 1;
  s->tiles = s->triple ? s->out_blocks / 2 : divide_up(s->out_blocks * LCIP_BLOCK, GROUP);
  s->packed_c = dense ? s->c : divide_up(s->c, V_CHANNELS) * V_CHANNELS;
  s->taps_per_output = (s->width ? s->width : s->packed_c) * s->win.kernel[0] * s->win.kernel[1];
  s->flat = is_flat(s);
  if (s->flat) {
    s->ow *= s->oh;
    s->oh = 1;
  }
  set_strides(s);
  plan_copy(s);
  plan_chunks(s, workers);
  return TRUE;
}

/* ---- support and preparation ---- */

static gboolean sizes_fit(const LcipStep *step, const char **reason) {
  const LcipShape *in = &step->inputs[0].shape, *weights = &step->inputs[1].shape;
  const gint64 groups = in->dims[1] / weights->dims[1];
  LcipPlaneWindow win;
  if (!lcip_plane_window_init(&win, LCIP_WINDOW_CONV, step, in, NULL) ||
      MAX(weights->dims[3], MAX(win.stride[0], win.stride[1])) > MAX_KERNEL_WIDTH) {
    *reason = "it takes windows of at most 32 columns and strides of at most 32";
    return FALSE;
  }
  const gboolean whole =
      weights->dims[1] % LCIP_BLOCK == 0 && weights->dims[0] / groups % LCIP_BLOCK == 0;
  if (groups == 1 || whole || narrow_width(in, weights))
    return TRUE;
  *reason = "its groups must be blocks of channels or divide them";
  return FALSE;
}

static gboolean is_constant(const LcipStep *step, guint i) {
  return step->constants && step->constants[i] && step->inputs[i].type == LCIP_TYPE_F32;
}

static gboolean has_bias(const LcipStep *step) {
  return step->n_anchor_inputs > 2 && lcip_step_has_input(step, 2);
}

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  LcipTail tail;
  if (!lcip_is_image(&step->inputs[0]) || !lcip_is_image(&step->outputs[0]) ||
      !lcip_is_image(&step->inputs[1])) {
    *reason = "it takes f32 tensors of 4 dimensions";
    return FALSE;
  }
  if (!is_constant(step, 1) || (has_bias(step) && !is_constant(step, 2))) {
    *reason = "its weights must be constants";
    return FALSE;
  }
  if (!sizes_fit(step, reason) || !lcip_tail_init(&tail, step, reason))
    return FALSE;
  const gint64 c = step->inputs[0].shape.dims[1];
  const gboolean dense = c <= MAX_DENSE_CHANNELS && c == step->inputs[1].shape.dims[1] &&
                         formats->inputs[0] == LCIP_FORMAT_DENSE;
  lcip_formats_dense(step, formats);
  formats->inputs[0] = dense ? LCIP_FORMAT_DENSE : LCIP_BLOCK_FORMAT;
  formats->outputs[0] = LCIP_BLOCK_FORMAT;
  lcip_tail_formats(step, formats);
  return TRUE;
}

static gboolean plan_shape(Shape *s, const LcipStep *step, const LcipPortFormats *formats,
                           GError **error) {
  return shape_init(s, step, &step->inputs[0].shape, &step->outputs[0].shape,
                    formats->inputs[0] == LCIP_FORMAT_DENSE, 1, error);
}

/* Elements of the copy that one worker needs, for any actual shape up to the planned one: a chunk
 * keeps the budget unless a single row of output breaks it. */
static gsize copy_elems(const Shape *s) {
  if (s->flat)
    return 0;
  const gint64 row = copy_row_elems(s);
  const gint64 all = copied_rows(s, s->oh) * row;
  return (gsize)MAX(copied_rows(s, 1) * row, MIN(all, COPY_BUDGET_ELEMS)) + LCIP_BLOCK;
}

static gsize scratch_bytes(const LcipStep *step, const LcipPortFormats *formats, guint workers) {
  Shape s;
  return plan_shape(&s, step, formats, NULL) ? copy_elems(&s) * sizeof(float) * workers : 0;
}

/* Packed weights of one group of channels. In the blob the biases follow those of all groups. */
static gsize group_weights(const Shape *s) {
  return (gsize)(s->out_blocks * LCIP_BLOCK * s->taps_per_output);
}

/* Of 1x1 weights, so that whole lines of memory are read in a row. */
enum { RUN_CHANNELS = 128 };

/* Channels [@c, @c + @depth) for the @width lanes of the tile at output channel @first. @packed is
 * zeroed. */
static void pack_block(const Shape *s, const float *w, gint64 first, gint64 width, gint64 c,
                       gint64 depth, float *packed) {
  const gint64 pixels = s->win.kernel[0] * s->win.kernel[1], n = MIN(depth, s->c - c);
  for (gint64 vec = 0; vec < width; vec += LCIP_LANES) {
    const float *rows[LCIP_LANES];
    for (gint64 lane = 0; lane < LCIP_LANES; lane++) {
      const gint64 oc = first + micro_lane_channel(s->oc - first, vec + lane);
      rows[lane] = oc < s->oc ? w + (oc * s->c + c) * pixels : NULL;
    }
    v_pack_rows(rows, n, pixels, packed + vec, width, depth * width);
  }
}

/* @w: OIHW of one group -> [tile][block][ky][kx][channel in block][output channel in tile]. */
static void pack_group(const Shape *s, const float *w, float *packed) {
  const gint64 pixels = s->win.kernel[0] * s->win.kernel[1];
  for (gint64 tile = 0; tile < s->tiles; tile++) {
    const gint64 width = tile_vecs(s, tile) * LCIP_LANES;
    /* Of one pixel, blocks follow each other as their channels do. */
    const gint64 step = pixels == 1 ? RUN_CHANNELS : s->depth;
    for (gint64 c = 0; c < s->packed_c; c += step) {
      const gint64 depth = MIN(step, s->packed_c - c);
      pack_block(s, w, tile_first(s, tile), width, c, depth, packed);
      packed += pixels * depth * width;
    }
  }
}

/* @w: OIHW -> [ky][kx][channel in group][output channel in block] of block @block. */
static void pack_narrow(const Shape *s, gint64 block, const float *w, float *packed) {
  const gint64 pixels = s->win.kernel[0] * s->win.kernel[1];
  for (gint64 vec = 0; vec < LCIP_BLOCK; vec += LCIP_LANES) {
    const float *rows[LCIP_LANES];
    for (gint64 lane = 0; lane < LCIP_LANES; lane++) {
      const gint64 oc = block * LCIP_BLOCK + vec + lane;
      rows[lane] = oc < s->all_oc ? w + oc * s->width * pixels : NULL;
    }
    v_pack_rows(rows, s->width, pixels, packed + vec, LCIP_BLOCK, s->width * LCIP_BLOCK);
  }
}

static gboolean prepare(const LcipStep *step, const LcipPortFormats *formats, LcipBlob **blob,
                        GError **error) {
  Shape s;
  if (!plan_shape(&s, step, formats, error))
    return FALSE;
  const gsize weights = group_weights(&s), groups = (gsize)s.groups;
  const gsize biases = (gsize)(s.out_blocks * LCIP_BLOCK);
  const gsize bytes = (weights + biases) * groups * sizeof(float);
  *blob = lcip_blob_new(bytes);
  if (!*blob) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY,
                "packed weights need %" G_GSIZE_FORMAT " bytes", bytes);
    return FALSE;
  }
  float *packed = lcip_blob_data(*blob);
  const float *w = lcip_tensor_get_data(step->constants[1]);
  const float *bias = has_bias(step) ? lcip_tensor_get_data(step->constants[2]) : NULL;
  for (gsize g = 0; g < groups; g++) {
    if (s.width)
      pack_narrow(&s, (gint64)g, w, packed + g * weights);
    else
      pack_group(&s, w + g * (gsize)(s.oc * s.c * s.win.kernel[0] * s.win.kernel[1]),
                 packed + g * weights);
    if (bias)
      memcpy(packed + weights * groups + biases * g, bias + g * (gsize)s.oc,
             (gsize)MIN(s.oc, s.all_oc - (gint64)g * s.oc) * sizeof(float));
  }
  return TRUE;
}

static double estimate(const LcipStep *step) {
  static const LcipWinogradIsa isa = {LCIP_BLOCK, LCIP_LANES, PIXELS, V_CHANNELS};
  return lcip_winograd_direct_estimate(step, &isa);
}

/* ---- running ---- */

typedef struct {
  Shape s;
  LcipTail tail;
  const LcipCall *call;
  const float *weights, *biases;
  gsize scratch_elems;
  gint64 workers;
  MicroInput input;
  gint32 lanes[LCIP_BLOCK * LCIP_LANES]; /* of narrow groups: see Micro */
} Conv;

/* A part of the output: image, group, tiles [tile, tile_end) and pixels. */
typedef struct {
  gint64 n, group, tile, tile_end, y, y_end, x, x_end;
} Chunk;

static Chunk chunk_find(const Shape *s, guint index) {
  gint64 i = index;
  Chunk c;
  c.tile = i % s->tile_chunks * s->tiles_in_chunk;
  c.tile_end = MIN(c.tile + s->tiles_in_chunk, s->tiles);
  i /= s->tile_chunks;
  c.x = i % s->col_chunks * s->chunk_cols;
  c.x_end = MIN(c.x + s->chunk_cols, s->ow);
  i /= s->col_chunks;
  c.y = i % s->row_chunks * s->chunk_rows;
  c.y_end = MIN(c.y + s->chunk_rows, s->oh);
  i /= s->row_chunks;
  c.group = i % s->groups;
  c.n = i / s->groups;
  return c;
}

/* @n pixels of @depth elements, @stride elements apart in @from. */
LCIP_INLINE void copy_pixels(const float *from, gint64 n, const gint64 stride, float *to,
                             const int depth) {
  for (gint64 i = 0; i < n; i++)
    for (int k = 0; k < depth; k++)
      to[i * depth + k] = from[i * stride + k];
}

/* The strides of first layers get loops of their own, for the compiler to make vectors of. */
LCIP_INLINE void copy_columns(const float *from, gint64 n, gint64 stride, float *to,
                              const int depth) {
  if (stride == depth)
    memcpy(to, from, (gsize)(n * depth) * sizeof(float));
  else if (depth == 1 && stride == 2)
    copy_pixels(from, n, 2, to, 1);
  else if (depth == 1 && stride == 4)
    copy_pixels(from, n, 4, to, 1);
  else
    copy_pixels(from, n, stride, to, depth);
}

static void zero_columns(float *to, gint64 n, int depth) {
  if (n > 0)
    memset(to, 0, (gsize)(n * depth) * sizeof(float));
}

/* Copies of row @from (NULL: outside) the columns with remainder @phase; outside are zeros. */
LCIP_INLINE void copy_phase(const Shape *s, const float *from, gint64 phase, float *to,
                            const int depth) {
  const gint64 begin = from ? s->copy_begin[phase] : s->copy_cols;
  const gint64 end = from ? s->copy_end[phase] : s->copy_cols;
  const gint64 stride = s->win.stride[1], first = phase - s->win.pad_begin[1];
  zero_columns(to, begin, depth);
  if (end > begin)
    copy_columns(from + (begin * stride + first) * s->in_col, end - begin, stride * s->in_col,
                 to + begin * depth, depth);
  zero_columns(to + end * depth, s->copy_cols - end, depth);
}

/* Does a row of the copy meet any row of a window? */
static gboolean row_is_used(const Shape *s, gint64 row) {
  if (s->win.dilation[0] == 1 && s->win.stride[0] <= s->win.kernel[0])
    return TRUE;
  for (gint64 ky = 0; ky < s->win.kernel[0]; ky++) {
    const gint64 rest = row - ky * s->win.dilation[0];
    if (rest >= 0 && rest % s->win.stride[0] == 0)
      return TRUE;
  }
  return FALSE;
}

/* [block][row][phase][column][channel in block] */
static void copy_input(const Conv *conv, const Chunk *chunk, float *copy) {
  const Shape *s = &conv->s;
  const gsize plane = (gsize)(s->h * s->w * s->depth), run = (gsize)(s->copy_cols * s->depth);
  const gint64 rows = copied_rows(s, chunk->y_end - chunk->y);
  const float *in = (const float *)conv->call->inputs[0].data +
                    (gsize)((chunk->n * s->groups + chunk->group) * s->blocks) * plane;
  for (gint64 b = 0; b < s->blocks; b++)
    for (gint64 row = 0; row < rows; row++) {
      if (!row_is_used(s, row))
        continue;
      const gint64 y = chunk->y * s->win.stride[0] - s->win.pad_begin[0] + row;
      const gboolean inside = y >= 0 && y < s->h;
      const float *from = inside ? in + (gsize)b * plane + (gsize)(y * s->in_row) : NULL;
      for (gint64 phase = 0; phase < s->copy_phases; phase++) {
        float *to = copy + (gsize)((b * s->copy_rows + row) * s->copy_phases + phase) * run;
        if (s->dense)
          copy_phase(s, from, phase, to, 1);
        else
          copy_phase(s, from, phase, to, LCIP_BLOCK);
      }
    }
}

/* Epilogues on a tile that lies raw in @raw, from there to @at in the output. */
static void finish_tile(const Conv *conv, float *raw, gint64 pixels, int vecs, gsize at,
                        const Micro *m) {
  const int run = conv->s.transposed ? 1 : (int)pixels;
  for (int v = 0; v < vecs; v++) {
    const vi mask = v_lanes_below(m->channels - v * LCIP_LANES);
    for (gint64 i = 0; i < pixels; i += run)
      v_tail_store(&conv->tail, conv->call, raw + (v * PIXELS + i) * LCIP_BLOCK, run,
                   at + (gsize)(i * conv->s.out_col) + (gsize)v * m->vec_stride, mask);
  }
}

/* Runs @m on one tile: epilogues in registers where they are simple, else from a raw copy. */
static void run_tile(const Conv *conv, Micro *m, gint64 pixels, int vecs, gsize at) {
  const LcipTail *tail = &conv->tail;
  if (tail->simple) {
    const gboolean add = tail->side_input >= 0;
    m->out = (float *)conv->call->outputs[0].data + at;
    m->side = add ? (const float *)conv->call->inputs[tail->side_input].data + at : NULL;
    m->lo = tail->lo;
    m->hi = tail->hi;
    lcip_conv_micro(m, conv->input, (int)pixels, vecs);
    return;
  }
  float raw[MICRO_VECS * PIXELS * LCIP_BLOCK];
  Micro to_raw = *m;
  to_raw.out = raw;
  to_raw.vec_stride = PIXELS * LCIP_BLOCK;
  to_raw.out_step = LCIP_BLOCK;
  lcip_conv_micro(&to_raw, conv->input, (int)pixels, vecs);
  finish_tile(conv, raw, pixels, vecs, at, m);
}

/* Where pixel (y, x) of tile @tile lies in output 0, in elements. */
static gsize out_offset(const Shape *s, const Chunk *chunk, gint64 tile, gint64 y, gint64 x) {
  const gint64 first = (chunk->n * s->groups + chunk->group) * s->out_blocks;
  const gint64 block = first + tile_first(s, tile) / LCIP_BLOCK;
  return (gsize)(block * s->oh * s->ow * LCIP_BLOCK + y * s->out_row + x * s->out_col);
}

/* Leaves out the rows of the window that lie above or below the image for output row @y. */
static void set_window_rows(const Shape *s, gint64 y, Micro *m) {
  const gint64 top = y * s->win.stride[0] - s->win.pad_begin[0], dilation = s->win.dilation[0];
  m->ky = top < 0 ? MIN(divide_up(-top, dilation), m->kh) : 0;
  m->ky_end = m->kh;
  if (top + (m->kh - 1) * dilation >= s->h)
    m->ky_end = CLAMP(divide_up(s->h - top, dilation), m->ky, m->kh);
}

/* How many columns of the window apart those are that read pixels next to each other. */
static gint64 neighbour_columns(const LcipPlaneWindow *w) {
  return w->stride[1] % w->dilation[1] ? w->kernel[1] : w->stride[1] / w->dilation[1];
}

/* How far ahead the tile is that this worker should come to next: workers take chunks in turn. */
static gint64 tiles_ahead(const Conv *conv, const Chunk *chunk, gint64 tile) {
  const gboolean last = tile + 1 == chunk->tile_end;
  return last ? 1 + (conv->workers - 1) * conv->s.tiles_in_chunk : 1;
}

/* All pixels of @chunk for one tile of channels; rows of output read @row_elems apart. */
static void run_rows(const Conv *conv, const Chunk *chunk, gint64 tile, Micro *m,
                     const float *source, gsize row_elems) {
  const Shape *s = &conv->s;
  const int vecs = tile_vecs(s, tile);
  const gint64 cols = chunk->x_end - chunk->x;
  const gint64 parts = divide_up(cols, vecs == 3 ? MICRO_TRIPLE_PIXELS : PIXELS);
  const gint64 size = cols / parts, larger = cols % parts;
  const gint64 first = tile_first(s, tile), ahead = tiles_ahead(conv, chunk, tile);
  const gint64 width = vecs * LCIP_LANES;
  m->channels = (int)MIN(width, MIN(s->oc, s->all_oc - chunk->group * s->oc) - first);
  m->next = m->w + (tile_first(s, tile + ahead) - first) * s->taps_per_output;
  m->next_step = divide_up(width, parts * (chunk->y_end - chunk->y));
  for (gint64 y = chunk->y; y < chunk->y_end; y++) {
    set_window_rows(s, y, m);
    for (gint64 part = 0, x = 0; part < parts; part++) {
      const gint64 pixels = part < larger ? size + 1 : size;
      m->x = source + (gsize)(y - chunk->y) * row_elems + x * s->depth;
      run_tile(conv, m, pixels, vecs, out_offset(s, chunk, tile, y, chunk->x + x));
      x += pixels;
      m->next += m->next_step * s->taps_per_output;
    }
  }
}

static void run_chunk(gpointer data, guint index, guint worker) {
  const Conv *conv = data;
  const Shape *s = &conv->s;
  const Chunk chunk = chunk_find(s, index);
  const gint64 group = chunk.n * s->groups + chunk.group;
  const gsize row = (gsize)(s->copy_phases * s->copy_cols * s->depth);
  const gsize plane = (gsize)(s->h * s->w * s->depth);
  float *copy = (float *)conv->call->scratch + (gsize)worker * conv->scratch_elems;
  const float *source = copy;
  if (s->flat)
    source = (const float *)conv->call->inputs[0].data + (gsize)(group * s->blocks) * plane +
             chunk.x * s->depth;
  else
    copy_input(conv, &chunk, copy);
  Micro m = {.x_block = s->flat ? plane : (gsize)s->copy_rows * row,
             .x_row = row * (gsize)s->win.dilation[0],
             .vec_stride = LCIP_BLOCK_VECS > 1 ? LCIP_LANES : (gsize)(s->oh * s->ow * LCIP_BLOCK),
             .out_step = (gsize)s->out_col,
             .taps = s->taps,
             .n_blocks = s->blocks,
             .last_depth = s->packed_c - (s->blocks - 1) * s->depth,
             .kh = s->win.kernel[0],
             .kw = s->win.kernel[1],
             .width = s->width,
             .lanes = conv->lanes,
             .neighbour = neighbour_columns(&s->win),
             .lo = -INFINITY,
             .hi = INFINITY};
  for (gint64 tile = chunk.tile; tile < chunk.tile_end; tile++) {
    const gint64 first = tile_first(s, tile);
    m.w =
        conv->weights + (gsize)chunk.group * group_weights(s) + (gsize)(first * s->taps_per_output);
    m.bias = conv->biases + chunk.group * s->out_blocks * LCIP_BLOCK + first;
    run_rows(conv, &chunk, tile, &m, source, row * (gsize)s->win.stride[0]);
  }
}

/* Where a tile's weights are many for the few pixels that use them, those of the next tile are
 * fetched meanwhile. Other shapes lose more by that than they gain. */
static MicroInput micro_input(const Shape *s) {
  if (s->width)
    return MICRO_NARROW;
  if (s->dense)
    return MICRO_DENSE;
  if (s->flat) {
    const gboolean few = s->ow > PIXELS && s->ow <= SMALL_IMAGE;
    return s->tiles > 1 && few ? MICRO_POINT_FETCH : MICRO_POINT;
  }
  return s->tiles > 1 && s->taps_per_output * GROUP > FETCH_ELEMS ? MICRO_FETCH : MICRO_BLOCKED;
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  Conv conv = {.call = call};
  const gboolean dense = call->inputs[0].spec.format == LCIP_FORMAT_DENSE;
  LcipPortFormats formats = {.inputs = {call->inputs[0].spec.format}};
  Shape planned;
  if (!plan_shape(&planned, call->step, &formats, error) ||
      !shape_init(&conv.s, call->step, &call->inputs[0].shape, &call->outputs[0].shape, dense,
                  lcip_team_size(team), error))
    return FALSE;
  const char *reason = NULL;
  if (!lcip_tail_init(&conv.tail, call->step, &reason)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "Conv cannot be computed: %s", reason);
    return FALSE;
  }
  const Shape *s = &conv.s;
  conv.scratch_elems = copy_elems(&planned);
  conv.weights = lcip_blob_data(call->prepared);
  conv.biases = conv.weights + group_weights(s) * (gsize)s->groups;
  conv.input = micro_input(s);
  conv.workers = lcip_team_size(team);
  for (int i = 0; i < s->width * LCIP_LANES; i++)
    conv.lanes[i] = i % LCIP_LANES / s->width * s->width + i / LCIP_LANES;
  lcip_team_run(team, (guint)(s->n * s->groups * s->row_chunks * s->col_chunks * s->tile_chunks),
                run_chunk, &conv);
  return TRUE;
}

const LcipKernel LCIP_ISA_KERNEL(conv_blocked) = {
    .name = LCIP_ISA_NAME("conv-blocked"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"Conv", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .inplace = TRUE,
    .prepared_inputs = 1 << 1 | 1 << 2,
    .supports = supports,
    .estimate = estimate,
    .scratch_bytes = scratch_bytes,
    .prepare = prepare,
    .run = run,
};
