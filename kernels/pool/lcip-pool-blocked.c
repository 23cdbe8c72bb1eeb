#include "config.h"
#include "lcip-vec.h"

#include <math.h>

/* Pooling over channel-blocked tensors: each lane pools its own channel. */

enum { SUMS = 4 }; /* independent sums along a row, so that additions need not wait */

/* Chunks are @chunk_rows rows of one block of one image. */
typedef struct {
  LcipPlaneWindow win;
  gint64 c, blocks, h, w, oh, ow, chunk_rows, row_chunks;
  gboolean average, count_padding;
  LcipTail tail;
  const LcipCall *call;
} Pool;

static gboolean is_global(const LcipStep *step) {
  return lcip_step_is(step, "GlobalAveragePool") || lcip_step_is(step, "GlobalMaxPool");
}

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  LcipTail tail;
  if (!lcip_is_image(&step->inputs[0]) || !lcip_is_image(&step->outputs[0])) {
    *reason = "it takes f32 tensors of 4 dimensions";
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
  formats->inputs[0] = formats->outputs[0] = LCIP_BLOCK_FORMAT;
  lcip_tail_formats(step, formats);
  return TRUE;
}

/* Taps [*begin, *end) of a window of @kernel taps that fall into 0 .. @limit - 1. */
static void taps_inside(gint64 first, gint64 limit, gint64 kernel, gint64 dilation, gint64 *begin,
                        gint64 *end) {
  *begin = first < 0 ? MIN(lcip_blocks(-first, dilation), kernel) : 0;
  *end = first < limit ? MIN(lcip_blocks(limit - first, dilation), kernel) : 0;
  *end = MAX(*end, *begin);
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

/* The window's taps at (@y, @x) along both dimensions; with padding: up to its end, which may cut
 * the last window (ceil_mode). */
typedef struct {
  gint64 begin[2], end[2];
  float count;
} Taps;

static Taps find_taps(const Pool *pool, gint64 y, gint64 x) {
  const LcipPlaneWindow *w = &pool->win;
  const gint64 first[2] = {y, x}, size[2] = {pool->h, pool->w};
  gint64 count = 1;
  Taps t;
  for (guint i = 0; i < 2; i++) {
    gint64 from = 0, to;
    taps_inside(first[i], size[i], w->kernel[i], w->dilation[i], &t.begin[i], &t.end[i]);
    taps_inside(first[i], size[i] + w->pad_end[i], w->kernel[i], w->dilation[i], &from, &to);
    count *= pool->count_padding ? to : t.end[i] - t.begin[i];
  }
  t.count = (float)count;
  return t;
}

static void pool_pixel(const Pool *pool, const float *plane, gint64 y, gint64 x, gsize at,
                       int channels) {
  const LcipPlaneWindow *w = &pool->win;
  const Taps t = find_taps(pool, y, x);
  const gint64 step = w->dilation[1] * LCIP_BLOCK, count = t.end[1] - t.begin[1];
  float *out = pool->call->outputs[0].data;
  for (int lane = 0; lane < LCIP_BLOCK; lane += LCIP_LANES) {
    vf value = v_set1(pool->average ? 0.0f : -INFINITY);
    for (gint64 ky = t.begin[0]; ky < t.end[0]; ky++) {
      const float *row =
          plane +
          ((y + ky * w->dilation[0]) * pool->w + x + t.begin[1] * w->dilation[1]) * LCIP_BLOCK +
          lane;
      value = pool->average ? value + sum_row(row, count, step)
                            : largest_in_row(value, row, count, step);
    }
    if (pool->average)
      value = t.count > 0 ? value / t.count : v_set1(0.0f);
    const gsize here = at + (gsize)lane;
    const vi mask = v_lanes_below(CLAMP(channels - lane, 0, LCIP_LANES));
    v_store(out + here, (vf)((vi)v_tail(&pool->tail, pool->call, value, here) & mask));
  }
}

static void run_chunk(gpointer data, guint chunk, guint worker) {
  const Pool *pool = data;
  const gint64 part = chunk % pool->row_chunks, row = chunk / pool->row_chunks;
  const int channels = (int)MIN(LCIP_BLOCK, pool->c - row % pool->blocks * LCIP_BLOCK);
  const float *plane =
      (const float *)pool->call->inputs[0].data + row * pool->h * pool->w * LCIP_BLOCK;
  const gint64 end = MIN((part + 1) * pool->chunk_rows, pool->oh);
  for (gint64 oy = part * pool->chunk_rows; oy < end; oy++)
    for (gint64 ox = 0; ox < pool->ow; ox++)
      pool_pixel(pool, plane, oy * pool->win.stride[0] - pool->win.pad_begin[0],
                 ox * pool->win.stride[1] - pool->win.pad_begin[1],
                 (gsize)(((row * pool->oh + oy) * pool->ow + ox) * LCIP_BLOCK), channels);
}

static void set_window(Pool *pool, const LcipStep *step, const LcipShape *in) {
  if (is_global(step)) {
    pool->win = (LcipPlaneWindow){
        .kernel = {in->dims[2], in->dims[3]}, .stride = {1, 1}, .dilation = {1, 1}};
    return;
  }
  lcip_plane_window_init(&pool->win, step, NULL, in);
  pool->count_padding = pool->average && lcip_attrs_get_int(step->attrs, "count_include_pad") != 0;
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
  pool.average =
      lcip_step_is(call->step, "AveragePool") || lcip_step_is(call->step, "GlobalAveragePool");
  set_window(&pool, call->step, in);
  pool.blocks = lcip_blocks(pool.c, LCIP_BLOCK);
  pool.oh = out->dims[2];
  pool.ow = out->dims[3];
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
                                       "GlobalAveragePool", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-5f,
    .inplace = TRUE,
    .supports = supports,
    .run = run,
};
