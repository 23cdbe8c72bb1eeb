#include "config.h"
#include "lcip-vec.h"

#include <math.h>

/* Pooling over channel-blocked tensors: each lane pools its own channel. Windows of 2x2 and 3x3
 * that lie inside of the input are unrolled. The mean over height and width is a global pool, whose
 * output may be a matrix. */

enum { SUMS = 4 }; /* independent sums along a row, so that additions need not wait */

/* Chunks are @chunk_rows rows of one block of one image. */
typedef struct {
  LcipPlaneWindow win;
  gint64 c, blocks, h, w, oh, ow, chunk_rows, row_chunks;
  gboolean average, count_padding, matrix;
  LcipTail tail;
  const LcipCall *call;
} Pool;

static gboolean is_mean(const LcipStep *step) {
  return lcip_step_is(step, "ReduceMean");
}

/* ReduceMean over the last two of four dimensions. */
static gboolean is_plane_mean(const LcipStep *step) {
  const LcipTensor *axes = is_mean(step) && step->n_anchor_inputs > 1 ? step->constants[1] : NULL;
  if (!axes || lcip_tensor_get_spec(axes)->type != LCIP_TYPE_I64 ||
      lcip_shape_count(lcip_tensor_get_shape(axes)) != 2)
    return FALSE;
  const gint64 *axis = lcip_tensor_get_data(axes);
  const gint64 a = (axis[0] + 4) % 4, b = (axis[1] + 4) % 4;
  return (a == 2 && b == 3) || (a == 3 && b == 2);
}

static gboolean is_matrix(const LcipTensorSpec *spec) {
  return spec->type == LCIP_TYPE_F32 && spec->shape.rank == 2 && lcip_shape_count(&spec->shape) > 0;
}

static gboolean is_global(const LcipStep *step) {
  return is_mean(step) || lcip_step_is(step, "GlobalAveragePool") ||
         lcip_step_is(step, "GlobalMaxPool");
}

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  LcipTail tail;
  const gboolean matrix = is_mean(step) && is_matrix(&step->outputs[0]) && step->n_epilogues == 0;
  if (!lcip_is_image(&step->inputs[0]) || !(matrix || lcip_is_image(&step->outputs[0]))) {
    *reason = "it takes f32 tensors of 4 dimensions";
    return FALSE;
  }
  if (is_mean(step) && !is_plane_mean(step)) {
    *reason = "it takes means over height and width";
    return FALSE;
  }
  if (step->n_outputs > 1 && step->outputs[1].type != LCIP_TYPE_NONE) {
    *reason = "it does not give indices";
    return FALSE;
  }
  if (formats->inputs[0] == LCIP_FORMAT_DENSE && step->inputs[0].shape.dims[1] < LCIP_BLOCK / 2) {
    *reason = "a block would be mostly padding";
    return FALSE;
  }
  if (!lcip_tail_init(&tail, step, reason))
    return FALSE;
  lcip_formats_dense(step, formats);
  formats->inputs[0] = LCIP_BLOCK_FORMAT;
  formats->outputs[0] = matrix ? LCIP_FORMAT_DENSE : LCIP_BLOCK_FORMAT;
  lcip_tail_formats(step, formats);
  return TRUE;
}

/* Taps of a window along one dimension that are inside of the input, and how many an average counts
 * there: with padding, up to its end, which may cut the last window (ceil_mode). */
typedef struct {
  gint64 begin, end, count;
} Taps;

static gint64 taps_below(gint64 first, gint64 limit, gint64 kernel, gint64 dilation) {
  if (first + (kernel - 1) * dilation < limit)
    return kernel;
  return first < limit ? (limit - first + dilation - 1) / dilation : 0;
}

static Taps find_taps(const Pool *pool, int i, gint64 first, gint64 size) {
  const gint64 kernel = pool->win.kernel[i], dilation = pool->win.dilation[i];
  Taps t = {.begin = first < 0 ? MIN((dilation - 1 - first) / dilation, kernel) : 0};
  t.end = MAX(t.begin, taps_below(first, size, kernel, dilation));
  t.count = pool->count_padding ? taps_below(first, size + pool->win.pad_end[i], kernel, dilation)
                                : t.end - t.begin;
  return t;
}

LCIP_INLINE vf sum_row(const float *x, gint64 count, gint64 step) {
  vf sum[SUMS] = {0};
  gint64 i = 0;
  for (; i + SUMS <= count; i += SUMS)
    for (int k = 0; k < SUMS; k++)
      sum[k] += v_load(x + (i + k) * step);
  for (; i < count; i++)
    sum[0] += v_load(x + i * step);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

LCIP_INLINE vf largest_in_row(vf best, const float *x, gint64 count, gint64 step) {
  for (gint64 i = 0; i < count; i++)
    best = v_larger(v_load(x + i * step), best);
  return best;
}

/* The window whose rows @ys begin at row @y of @plane, and columns @xs at @x. */
LCIP_INLINE vf pool_window(const Pool *pool, const float *plane, Taps ys, gint64 y, Taps xs,
                           gint64 x, const gboolean average) {
  const LcipPlaneWindow *w = &pool->win;
  const gint64 step = w->dilation[1] * LCIP_BLOCK, count = xs.end - xs.begin;
  const float *first = plane + (x + xs.begin * w->dilation[1]) * LCIP_BLOCK;
  vf value = v_set1(average ? 0.0f : -INFINITY);
  for (gint64 ky = ys.begin; ky < ys.end; ky++) {
    const float *row = first + (y + ky * w->dilation[0]) * pool->w * LCIP_BLOCK;
    value = average ? value + sum_row(row, count, step) : largest_in_row(value, row, count, step);
  }
  if (!average)
    return value;
  const gint64 counted = ys.count * xs.count;
  return counted > 0 ? value / (float)counted : v_set1(0.0f);
}

/* A window of @size x @size whose first value is at @x. */
LCIP_INLINE vf pool_square(const float *x, gsize row, const int size, const gboolean average) {
  vf value = v_load(x);
  LCIP_UNROLL
  for (int ky = 0; ky < size; ky++)
    LCIP_UNROLL
  for (int kx = 0; kx < size; kx++) {
    if (ky + kx == 0)
      continue;
    const vf next = v_load(x + (gsize)ky * row + kx * LCIP_BLOCK);
    value = average ? value + next : v_larger(next, value);
  }
  return average ? value / (float)(size * size) : value;
}

/* Outputs of one row whose windows lie inside: columns [begin, end). */
typedef struct {
  gint64 begin, end;
} Inside;

static Inside find_inside(const Pool *pool, Taps ys) {
  const LcipPlaneWindow *w = &pool->win;
  const gint64 k = w->kernel[1], stride = w->stride[1];
  Inside in = {0, 0};
  const gboolean square =
      k == w->kernel[0] && (k == 2 || k == 3) && w->dilation[0] == 1 && w->dilation[1] == 1;
  if (!square || ys.begin > 0 || ys.end < k || pool->w < k)
    return in;
  in.begin = MIN(lcip_blocks(w->pad_begin[1], stride), pool->ow);
  in.end = MAX(in.begin, MIN((pool->w - k + w->pad_begin[1]) / stride + 1, pool->ow));
  return in;
}

LCIP_INLINE void pool_inside(const Pool *pool, const float *plane, Inside in, gint64 y, gsize at,
                             vi mask, const int size, const gboolean average) {
  const LcipPlaneWindow *w = &pool->win;
  const gsize row = (gsize)(pool->w * LCIP_BLOCK);
  float *out = pool->call->outputs[0].data;
  for (gint64 ox = in.begin; ox < in.end; ox++) {
    const gint64 x = ox * w->stride[1] - w->pad_begin[1];
    const gsize here = at + (gsize)(ox * LCIP_BLOCK);
    const vf value = pool_square(plane + (y * pool->w + x) * LCIP_BLOCK, row, size, average);
    v_store(out + here, (vf)((vi)v_tail(&pool->tail, pool->call, value, here) & mask));
  }
}

/* The mean of a plane into a matrix. */
static void pool_matrix(const Pool *pool, const float *plane, gsize at, int channels) {
  const Taps ys = find_taps(pool, 0, 0, pool->h), xs = find_taps(pool, 1, 0, pool->w);
  float *out = (float *)pool->call->outputs[0].data + at;
  for (int lane = 0; lane < channels; lane += LCIP_LANES)
    v_store_some(out + lane, pool_window(pool, plane + lane, ys, 0, xs, 0, TRUE), channels - lane);
}

/* A row of outputs, the first at @at in output 0. */
LCIP_INLINE void pool_row(const Pool *pool, const float *plane, gint64 oy, gsize at, int channels,
                          const gboolean average) {
  const LcipPlaneWindow *w = &pool->win;
  const gint64 y = oy * w->stride[0] - w->pad_begin[0];
  const Taps ys = find_taps(pool, 0, y, pool->h);
  const Inside in = find_inside(pool, ys);
  float *out = pool->call->outputs[0].data;
  for (int lane = 0; lane < LCIP_BLOCK; lane += LCIP_LANES) {
    const vi mask = v_lanes_below(CLAMP(channels - lane, 0, LCIP_LANES));
    if (w->kernel[1] == 2)
      pool_inside(pool, plane + lane, in, y, at + (gsize)lane, mask, 2, average);
    else
      pool_inside(pool, plane + lane, in, y, at + (gsize)lane, mask, 3, average);
    for (gint64 ox = 0; ox < pool->ow; ox++) {
      if (ox == in.begin && in.end > in.begin) {
        ox = in.end - 1;
        continue;
      }
      const gint64 x = ox * w->stride[1] - w->pad_begin[1];
      const gsize here = at + (gsize)(ox * LCIP_BLOCK + lane);
      const vf value =
          pool_window(pool, plane + lane, ys, y, find_taps(pool, 1, x, pool->w), x, average);
      v_store(out + here, (vf)((vi)v_tail(&pool->tail, pool->call, value, here) & mask));
    }
  }
}

/* All channels of some rows, then the next rows: as convolutions go, so that a thread reads what it
 * wrote. */
static void run_chunk(gpointer data, guint chunk, guint worker) {
  const Pool *pool = data;
  const gint64 planes = pool->call->inputs[0].shape.dims[0] * pool->blocks;
  const gint64 part = chunk / planes, row = chunk % planes;
  const int channels = (int)MIN(LCIP_BLOCK, pool->c - row % pool->blocks * LCIP_BLOCK);
  const float *plane =
      (const float *)pool->call->inputs[0].data + row * pool->h * pool->w * LCIP_BLOCK;
  const gint64 end = MIN((part + 1) * pool->chunk_rows, pool->oh);
  if (pool->matrix) {
    const gint64 block = row % pool->blocks;
    pool_matrix(pool, plane, (gsize)(row / pool->blocks * pool->c + block * LCIP_BLOCK), channels);
    return;
  }
  for (gint64 oy = part * pool->chunk_rows; oy < end; oy++)
    if (pool->average)
      pool_row(pool, plane, oy, (gsize)((row * pool->oh + oy) * pool->ow * LCIP_BLOCK), channels,
               TRUE);
    else
      pool_row(pool, plane, oy, (gsize)((row * pool->oh + oy) * pool->ow * LCIP_BLOCK), channels,
               FALSE);
}

static gboolean set_window(Pool *pool, const LcipStep *step, const LcipShape *in, GError **error) {
  if (is_global(step)) {
    pool->win = (LcipPlaneWindow){
        .kernel = {in->dims[2], in->dims[3]}, .stride = {1, 1}, .dilation = {1, 1}};
    return TRUE;
  }
  pool->count_padding = pool->average && lcip_attrs_get_int(step->attrs, "count_include_pad") != 0;
  return lcip_plane_window_init(&pool->win, LCIP_WINDOW_POOL, step, in, error);
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  enum { CHUNK_LOADS = 16 * 1024 };
  const LcipShape *in = &call->inputs[0].shape, *out = &call->outputs[0].shape;
  Pool pool = {.c = in->dims[1], .h = in->dims[2], .w = in->dims[3], .call = call};
  const char *reason = NULL;
  if (!lcip_tail_init(&pool.tail, call->step, &reason)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "%s cannot be computed: %s",
                call->step->op->name, reason);
    return FALSE;
  }
  pool.average = is_mean(call->step) || lcip_step_is(call->step, "AveragePool") ||
                 lcip_step_is(call->step, "GlobalAveragePool");
  pool.matrix = out->rank == 2;
  if (!set_window(&pool, call->step, in, error))
    return FALSE;
  pool.blocks = lcip_blocks(pool.c, LCIP_BLOCK);
  pool.oh = pool.matrix ? 1 : out->dims[2];
  pool.ow = pool.matrix ? 1 : out->dims[3];
  const gint64 loads = pool.ow * pool.win.kernel[0] * pool.win.kernel[1];
  pool.chunk_rows = CLAMP(CHUNK_LOADS / MAX(loads, 1), 1, MAX(pool.oh, 1));
  pool.row_chunks = lcip_blocks(pool.oh, pool.chunk_rows);
  lcip_team_run(team, (guint)(in->dims[0] * pool.blocks * pool.row_chunks), run_chunk, &pool);
  return TRUE;
}

const LcipKernel LCIP_ISA_KERNEL(pool_blocked) = {
    .name = LCIP_ISA_NAME("pool-blocked"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"MaxPool", "AveragePool", "GlobalMaxPool",
                                       "GlobalAveragePool", "ReduceMean", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-5f,
    .inplace = TRUE,
    .supports = supports,
    .run = run,
};
