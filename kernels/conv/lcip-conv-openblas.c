#include "config.h"

#include "lcip-blas.h"
#include "lcip-epilogue.h"
#include "lcip-window.h"

/* Convolution of one or two spatial dimensions as a matrix product: the input is unrolled so that
 * each output position is a column of all the elements that its window covers (im2col), tile by
 * tile of columns so that a tile stays in the cache. A 1x1 kernel of stride 1 needs no unrolling.
 * Chunks depend on sizes alone, and so do results. */

/* Most floats of one unrolled tile: half a megabyte, of a second-level cache. */
#define TILE_FLOATS (128 * 1024)
#define TILE_MIN 32
#define TILE_MAX 1024
/* Output channels of one chunk where columns alone give too few chunks. */
#define CHANNELS_PER_CHUNK 32
#define ENOUGH_CHUNKS 8

typedef struct {
  LcipWindow window;
  LcipEpilogueList epilogues;
  const float *x, *w, *b;
  float *y, *scratch;
  gsize images, group, in_channels, out_channels; /* channels of one group */
  gsize in_size, out_size, depth;                 /* depth: elements of one column */
  gsize tile, n_tiles, channels, n_channel_tiles;
  gboolean pointwise;
} ConvJob;

static gboolean is_pointwise(const LcipWindow *window) {
  for (int i = 0; i < 3; i++)
    if (window->kernel[i] != 1 || window->stride[i] != 1 || window->in[i] != window->out[i] ||
        window->pad_begin[i] != 0)
      return FALSE;
  return TRUE;
}

static gsize tile_size(gsize depth, gsize positions) {
  const gsize fitting = CLAMP(TILE_FLOATS / MAX(depth, 1), TILE_MIN, TILE_MAX);
  return MIN(fitting, MAX(positions, 1));
}

/* One row of the unrolled tile: input element (kh, kw) of one channel for positions [begin, end).
 */
static void unroll_row(const LcipWindow *win, const float *x, gint64 kh, gint64 kw, gint64 begin,
                       gint64 end, float *row) {
  gint64 oh = begin / win->out[2], ow = begin % win->out[2];
  for (gint64 at = begin; at < end;) {
    const gint64 stop = MIN(win->out[2], ow + end - at);
    const gint64 ih = oh * win->stride[1] + kh * win->dilation[1] - win->pad_begin[1];
    const float *line = ih >= 0 && ih < win->in[1] ? x + ih * win->in[2] : NULL;
    for (gint64 iw = ow * win->stride[2] + kw * win->dilation[2] - win->pad_begin[2]; ow < stop;
         ow++, iw += win->stride[2], at++)
      *row++ = line && iw >= 0 && iw < win->in[2] ? line[iw] : 0.0f;
    oh++;
    ow = 0;
  }
}

static void unroll(const ConvJob *job, const float *x, gsize begin, gsize end, float *columns) {
  const LcipWindow *win = &job->window;
  for (gsize c = 0; c < job->in_channels; c++)
    for (gint64 kh = 0; kh < win->kernel[1]; kh++)
      for (gint64 kw = 0; kw < win->kernel[2]; kw++, columns += end - begin)
        unroll_row(win, x + c * job->in_size, kh, kw, (gint64)begin, (gint64)end, columns);
}

static void fill_bias(const ConvJob *job, gsize channel, float *y, gsize n) {
  const float bias = job->b ? job->b[channel] : 0.0f;
  for (gsize i = 0; i < n; i++)
    y[i] = bias;
}

static void conv_chunk(gpointer data, guint chunk, guint worker) {
  const ConvJob *job = data;
  const gsize channel_tile = chunk % job->n_channel_tiles, rest = chunk / job->n_channel_tiles;
  const gsize begin = rest % job->n_tiles * job->tile, end = MIN(begin + job->tile, job->out_size);
  const gsize plane = rest / job->n_tiles, group = plane % job->group;
  const gsize first = channel_tile * job->channels;
  const gsize channels = MIN(job->channels, job->out_channels - first);
  const gsize offset = (plane * job->out_channels + first) * job->out_size + begin;
  const float *x = job->x + plane * job->in_channels * job->in_size;
  float *columns = job->scratch + worker * job->depth * job->tile;
  const LcipBlasProduct product = {
      .m = channels,
      .n = end - begin,
      .k = job->depth,
      .alpha = 1.0f,
      .a = job->w + (group * job->out_channels + first) * job->depth,
      .a_stride = job->depth,
      .b = job->pointwise ? x + begin : columns,
      .b_stride = job->pointwise ? job->in_size : end - begin,
      .c = job->y + offset,
      .c_stride = job->out_size,
  };
  if (!job->pointwise)
    unroll(job, x, begin, end, columns);
  for (gsize m = 0; m < channels; m++)
    fill_bias(job, group * job->out_channels + first + m, product.c + m * job->out_size,
              end - begin);
  lcip_blas_product(&product);
  for (gsize m = 0; m < channels; m++)
    lcip_epilogue_list_apply(&job->epilogues, product.c + m * job->out_size,
                             offset + m * job->out_size, end - begin);
}

static void split_work(ConvJob *job) {
  job->pointwise = is_pointwise(&job->window);
  job->tile = tile_size(job->depth, job->out_size);
  job->n_tiles = (job->out_size + job->tile - 1) / job->tile;
  const gsize chunks = job->images * job->group * job->n_tiles;
  job->channels = chunks >= ENOUGH_CHUNKS ? job->out_channels
                                          : MIN(job->out_channels, (gsize)CHANNELS_PER_CHUNK);
  job->n_channel_tiles = (job->out_channels + job->channels - 1) / job->channels;
}

static gsize product3(const gint64 *size) {
  return (gsize)(size[0] * size[1] * size[2]);
}

static gboolean conv_openblas_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const gsize group = (gsize)lcip_attrs_get_int(call->step->attrs, "group");
  ConvJob job = {.x = call->inputs[0].data,
                 .w = call->inputs[1].data,
                 .b = lcip_step_has_input(call->step, 2) && call->step->n_anchor_inputs > 2
                          ? call->inputs[2].data
                          : NULL,
                 .y = call->outputs[0].data,
                 .scratch = call->scratch,
                 .images = (gsize)call->inputs[0].shape.dims[0],
                 .group = group,
                 .in_channels = (gsize)call->inputs[0].shape.dims[1] / group,
                 .out_channels = (gsize)call->outputs[0].shape.dims[1] / group};
  if (!lcip_window_init(&job.window, LCIP_WINDOW_CONV, call->step, &call->inputs[0].shape,
                        &call->inputs[1].shape, error) ||
      !lcip_epilogue_list_init(&job.epilogues, call, error))
    return FALSE;
  job.in_size = product3(job.window.in);
  job.out_size = product3(job.window.out);
  job.depth = job.in_channels * product3(job.window.kernel);
  split_work(&job);
  lcip_team_run(team, (guint)(job.images * group * job.n_tiles * job.n_channel_tiles), conv_chunk,
                &job);
  return TRUE;
}

static gsize conv_openblas_scratch(const LcipStep *step, const LcipPortFormats *formats,
                                   guint workers) {
  const LcipShape *w = &step->inputs[1].shape, *y = &step->outputs[0].shape;
  const gsize depth = lcip_shape_product(w, 1, w->rank);
  return depth * tile_size(depth, lcip_shape_product(y, 2, y->rank)) * sizeof(float) * workers;
}

static gboolean conv_openblas_supports(const LcipStep *step, LcipPortFormats *formats,
                                       const char **reason) {
  const LcipShape *x = &step->inputs[0].shape, *w = &step->inputs[1].shape;
  const LcipShape *y = &step->outputs[0].shape;
  if (x->rank > 4) {
    *reason = "it computes one or two spatial dimensions";
    return FALSE;
  }
  /* The product's sizes, its strides and the number of chunks are ints. */
  if (lcip_shape_count(x) > LCIP_BLAS_MAX_SIZE || lcip_shape_count(w) > LCIP_BLAS_MAX_SIZE ||
      lcip_shape_count(y) > LCIP_BLAS_MAX_SIZE) {
    *reason = "a tensor has more elements than OpenBLAS counts";
    return FALSE;
  }
  return lcip_supports_epilogues(step, formats, reason);
}

static const char *const conv_openblas_operators[] = {"Conv", NULL};

const LcipKernel lcip_kernel_conv_openblas = {
    .name = "conv-openblas",
    .family = "openblas",
    .device = LCIP_DEVICE_CPU,
    .operators = conv_openblas_operators,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .supports = conv_openblas_supports,
    .scratch_bytes = conv_openblas_scratch,
    .run = conv_openblas_run,
};
