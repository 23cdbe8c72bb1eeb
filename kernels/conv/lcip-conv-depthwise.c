#include "config.h"

#include "lcip-epilogue.h"
#include "lcip-window.h"

/* Depthwise convolution of two spatial dimensions, without unrolling: each output row is the sum of
 * input rows times one weight each, in loops over whole rows that compilers vectorize. */
typedef struct {
  LcipWindow window;
  LcipEpilogueList epilogues;
  const float *x, *w, *b;
  float *y;
  gsize in_channels, out_channels;
} DepthwiseJob;

/* Output columns [*begin, *end) whose input column for kernel column @kw exists. */
static void valid_columns(const LcipWindow *win, gint64 kw, gint64 *begin, gint64 *end) {
  const gint64 stride = win->stride[2];
  const gint64 shift = kw * win->dilation[2] - win->pad_begin[2];
  const gint64 room = win->in[2] - shift;
  *begin = shift < 0 ? MIN((-shift + stride - 1) / stride, win->out[2]) : 0;
  *end = room <= 0 ? *begin : CLAMP((room + stride - 1) / stride, *begin, win->out[2]);
}

static void add_row(const LcipWindow *win, const float *line, gint64 kw, float weight, float *y) {
  const gint64 stride = win->stride[2];
  gint64 begin, end;
  valid_columns(win, kw, &begin, &end);
  const float *x = line + begin * stride + kw * win->dilation[2] - win->pad_begin[2];
  if (stride == 1)
    for (gint64 i = begin; i < end; i++)
      y[i] += weight * x[i - begin];
  else
    for (gint64 i = begin; i < end; i++)
      y[i] += weight * x[(i - begin) * stride];
}

static void depthwise_row(const DepthwiseJob *job, const float *x, const float *w, float bias,
                          gint64 oh, float *y) {
  const LcipWindow *win = &job->window;
  for (gint64 i = 0; i < win->out[2]; i++)
    y[i] = bias;
  for (gint64 kh = 0; kh < win->kernel[1]; kh++) {
    const gint64 ih = oh * win->stride[1] + kh * win->dilation[1] - win->pad_begin[1];
    if (ih < 0 || ih >= win->in[1])
      continue;
    for (gint64 kw = 0; kw < win->kernel[2]; kw++)
      add_row(win, x + ih * win->in[2], kw, w[kh * win->kernel[2] + kw], y);
  }
}

static void depthwise_range(gpointer data, gsize begin, gsize end) {
  const DepthwiseJob *job = data;
  const LcipWindow *win = &job->window;
  const gsize multiplier = job->out_channels / job->in_channels;
  const gsize in_size = (gsize)(win->in[1] * win->in[2]);
  const gsize width = (gsize)win->out[2], out_size = (gsize)win->out[1] * width;
  for (gsize plane = begin; plane < end; plane++) {
    const gsize m = plane % job->out_channels, n = plane / job->out_channels;
    const float *x = job->x + (n * job->in_channels + m / multiplier) * in_size;
    const float *w = job->w + m * (gsize)(win->kernel[1] * win->kernel[2]);
    for (gint64 oh = 0; oh < win->out[1]; oh++) {
      const gsize offset = plane * out_size + (gsize)oh * width;
      depthwise_row(job, x, w, job->b ? job->b[m] : 0.0f, oh, job->y + offset);
      lcip_epilogue_list_apply(&job->epilogues, job->y + offset, offset, width);
    }
  }
}

static gboolean conv_depthwise_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const gboolean bias = call->step->n_anchor_inputs > 2 && lcip_step_has_input(call->step, 2);
  DepthwiseJob job = {.x = call->inputs[0].data,
                      .w = call->inputs[1].data,
                      .b = bias ? call->inputs[2].data : NULL,
                      .y = call->outputs[0].data,
                      .in_channels = (gsize)call->inputs[0].shape.dims[1],
                      .out_channels = (gsize)call->outputs[0].shape.dims[1]};
  if (!lcip_window_init(&job.window, LCIP_WINDOW_CONV, call->step, &call->inputs[0].shape,
                        &call->inputs[1].shape, error) ||
      !lcip_epilogue_list_init(&job.epilogues, call, error))
    return FALSE;
  lcip_team_ranges(team, (gsize)call->inputs[0].shape.dims[0] * job.out_channels, 1,
                   depthwise_range, &job);
  return TRUE;
}

static gboolean conv_depthwise_supports(const LcipStep *step, LcipPortFormats *formats,
                                        const char **reason) {
  if (step->inputs[0].shape.rank > 4 || step->inputs[1].shape.dims[1] != 1) {
    *reason = "it computes depthwise convolutions of one or two spatial dimensions";
    return FALSE;
  }
  return lcip_supports_epilogues(step, formats, reason);
}

static const char *const conv_depthwise_operators[] = {"Conv", NULL};

const LcipKernel lcip_kernel_conv_depthwise = {
    .name = "conv-depthwise",
    .family = "direct",
    .device = LCIP_DEVICE_CPU,
    .operators = conv_depthwise_operators,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .supports = conv_depthwise_supports,
    .run = conv_depthwise_run,
};
