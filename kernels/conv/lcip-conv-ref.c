#include "config.h"

#include "lcip-window.h"

/* Convolution as ONNX defines it, summed in double, one output channel plane after the other. */
typedef struct {
  LcipWindow window;
  const float *x, *w, *b;
  float *y;
  gsize in_channels, out_channels, group;
  gsize in_size, out_size, kernel_size;
} ConvJob;

static gsize volume(const gint64 *size) {
  return (gsize)(size[0] * size[1] * size[2]);
}

static gboolean inside(gint64 position, gint64 size) {
  return position >= 0 && position < size;
}

static double conv_taps(const LcipWindow *win, const float *x, const float *w, const gint64 *out) {
  double sum = 0;
  gint64 in[3], k[3];
  for (k[0] = 0; k[0] < win->kernel[0]; k[0]++) {
    in[0] = out[0] * win->stride[0] + k[0] * win->dilation[0] - win->pad_begin[0];
    for (k[1] = 0; inside(in[0], win->in[0]) && k[1] < win->kernel[1]; k[1]++) {
      in[1] = out[1] * win->stride[1] + k[1] * win->dilation[1] - win->pad_begin[1];
      for (k[2] = 0; inside(in[1], win->in[1]) && k[2] < win->kernel[2]; k[2]++) {
        in[2] = out[2] * win->stride[2] + k[2] * win->dilation[2] - win->pad_begin[2];
        if (inside(in[2], win->in[2]))
          sum += (double)x[(in[0] * win->in[1] + in[1]) * win->in[2] + in[2]] *
                 (double)w[(k[0] * win->kernel[1] + k[1]) * win->kernel[2] + k[2]];
      }
    }
  }
  return sum;
}

/* Of a transposed convolution: the inputs whose kernels reach output element @out. */
static double transposed_taps(const LcipWindow *win, const float *x, const float *w,
                              const gint64 *out) {
  double sum = 0;
  gint64 k[3], in[3];
  for (k[0] = 0; k[0] < win->kernel[0]; k[0]++)
    for (k[1] = 0; k[1] < win->kernel[1]; k[1]++)
      for (k[2] = 0; k[2] < win->kernel[2]; k[2]++) {
        gboolean meets = TRUE;
        for (int i = 0; i < 3; i++) {
          const gint64 from = out[i] + win->pad_begin[i] - k[i] * win->dilation[i];
          in[i] = from / win->stride[i];
          meets = meets && from % win->stride[i] == 0 && inside(in[i], win->in[i]) && from >= 0;
        }
        if (meets)
          sum += (double)x[(in[0] * win->in[1] + in[1]) * win->in[2] + in[2]] *
                 (double)w[(k[0] * win->kernel[1] + k[1]) * win->kernel[2] + k[2]];
      }
  return sum;
}

static void conv_plane(const ConvJob *job, gsize n, gsize m) {
  const LcipWindow *win = &job->window;
  const gsize group_in = job->in_channels / job->group, group_out = job->out_channels / job->group;
  const float *x = job->x + (n * job->in_channels + m / group_out * group_in) * job->in_size;
  const float *w = job->w + m * group_in * job->kernel_size;
  float *y = job->y + (n * job->out_channels + m) * job->out_size;
  gint64 out[3];
  for (out[0] = 0; out[0] < win->out[0]; out[0]++)
    for (out[1] = 0; out[1] < win->out[1]; out[1]++)
      for (out[2] = 0; out[2] < win->out[2]; out[2]++) {
        double sum = job->b ? (double)job->b[m] : 0.0;
        for (gsize c = 0; c < group_in; c++)
          sum += conv_taps(win, x + c * job->in_size, w + c * job->kernel_size, out);
        *y++ = (float)sum;
      }
}

static void transposed_plane(const ConvJob *job, gsize n, gsize m) {
  const LcipWindow *win = &job->window;
  const gsize group_in = job->in_channels / job->group, group_out = job->out_channels / job->group;
  const gsize first = m / group_out * group_in;
  const float *x = job->x + (n * job->in_channels + first) * job->in_size;
  const float *w = job->w + (first * group_out + m % group_out) * job->kernel_size;
  float *y = job->y + (n * job->out_channels + m) * job->out_size;
  gint64 out[3];
  for (out[0] = 0; out[0] < win->out[0]; out[0]++)
    for (out[1] = 0; out[1] < win->out[1]; out[1]++)
      for (out[2] = 0; out[2] < win->out[2]; out[2]++) {
        double sum = job->b ? (double)job->b[m] : 0.0;
        for (gsize c = 0; c < group_in; c++)
          sum +=
              transposed_taps(win, x + c * job->in_size, w + c * group_out * job->kernel_size, out);
        *y++ = (float)sum;
      }
}

static void conv_range(gpointer data, gsize begin, gsize end) {
  const ConvJob *job = data;
  for (gsize i = begin; i < end; i++)
    conv_plane(job, i / job->out_channels, i % job->out_channels);
}

static void transposed_range(gpointer data, gsize begin, gsize end) {
  const ConvJob *job = data;
  for (gsize i = begin; i < end; i++)
    transposed_plane(job, i / job->out_channels, i % job->out_channels);
}

static gboolean conv_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const gboolean transposed = lcip_step_is(call->step, "ConvTranspose");
  ConvJob job = {.x = call->inputs[0].data,
                 .w = call->inputs[1].data,
                 .b = lcip_step_has_input(call->step, 2) ? call->inputs[2].data : NULL,
                 .y = call->outputs[0].data,
                 .in_channels = (gsize)call->inputs[0].shape.dims[1],
                 .out_channels = (gsize)call->outputs[0].shape.dims[1],
                 .group = (gsize)lcip_attrs_get_int(call->step->attrs, "group")};
  if (!lcip_window_init(&job.window, transposed ? LCIP_WINDOW_TRANSPOSED : LCIP_WINDOW_CONV,
                        call->step, &call->inputs[0].shape, &call->inputs[1].shape, error))
    return FALSE;
  job.in_size = volume(job.window.in);
  job.out_size = volume(job.window.out);
  job.kernel_size = volume(job.window.kernel);
  lcip_team_ranges(team, (gsize)call->inputs[0].shape.dims[0] * job.out_channels, 1,
                   transposed ? transposed_range : conv_range, &job);
  return TRUE;
}

static const char *const conv_ref_operators[] = {"Conv", "ConvTranspose", NULL};

const LcipKernel lcip_kernel_conv_ref = {
    .name = "conv-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = conv_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = conv_ref_run,
};
