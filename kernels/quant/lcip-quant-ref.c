#include "config.h"

#include "lcip-broadcast.h"
#include "lcip-element.h"
#include "lcip-quant.h"

#include <math.h>

/* Halves to the even integer, limited to the type. */
static void store_rounded(LcipType type, void *data, gsize i, double value) {
  gint64 least, greatest;
  lcip_element_limits(type, &least, &greatest);
  const double rounded = isnan(value) ? 0 : rint(value);
  lcip_element_set_int(type, data, i, (gint64)CLAMP(rounded, (double)least, (double)greatest));
}

static gint64 zero_at(const LcipCall *call, int port, gsize i) {
  if (port < 0 || !lcip_step_has_input(call->step, (guint)port))
    return 0;
  const LcipTensorView *view = &call->inputs[port];
  return lcip_element_int(view->spec.type, view->data, lcip_view_count(view) == 1 ? 0 : i);
}

static double scale_at(const LcipCall *call, int port, gsize i) {
  const LcipTensorView *view = &call->inputs[port];
  return (double)((const float *)view->data)[lcip_view_count(view) == 1 ? 0 : i];
}

/* ---- one element at a time ---- */

static gboolean run_linear(const LcipCall *call, gboolean quantize, GError **error) {
  const LcipTensorView *x = &call->inputs[0], *y = &call->outputs[0];
  gsize inner = 1, dim = 1;
  int axis = 0;
  if (lcip_view_count(&call->inputs[1]) != 1) {
    if (!lcip_infer_axis(call->step, lcip_attrs_get_int(call->step->attrs, "axis"), x->shape.rank,
                         &axis, error))
      return FALSE;
    dim = (gsize)x->shape.dims[axis];
    inner = lcip_shape_product(&x->shape, axis + 1, x->shape.rank);
  }
  const gsize n = lcip_view_count(x);
  for (gsize i = 0; i < n; i++) {
    const gsize k = i / inner % dim;
    const double value = lcip_element_float(x->spec.type, x->data, i);
    const double zero = (double)zero_at(call, 2, k), scale = scale_at(call, 1, k);
    if (quantize)
      /* the division is rounded to f32 first, as where it is computed in f32 */
      store_rounded(y->spec.type, y->data, i, rint((double)(float)(value / scale)) + zero);
    else
      ((float *)y->data)[i] = (float)((value - zero) * scale);
  }
  return TRUE;
}

/* The range includes 0, so that 0 has an exact value. */
static void run_dynamic(const LcipCall *call) {
  const float *x = call->inputs[0].data;
  const gsize n = lcip_view_count(&call->inputs[0]);
  float least = 0, greatest = 0;
  for (gsize i = 0; i < n; i++) {
    least = x[i] < least ? x[i] : least;
    greatest = x[i] > greatest ? x[i] : greatest;
  }
  const float scale = greatest > least ? (greatest - least) / 255.0f : 1.0f;
  const double zero = CLAMP(rint(-(double)least / (double)scale), 0.0, 255.0);
  for (gsize i = 0; i < n; i++)
    store_rounded(LCIP_TYPE_U8, call->outputs[0].data, i, rint((double)(x[i] / scale)) + zero);
  if (call->step->n_outputs > 1 && call->outputs[1].data)
    *(float *)call->outputs[1].data = scale;
  if (call->step->n_outputs > 2 && call->outputs[2].data)
    *(guint8 *)call->outputs[2].data = (guint8)zero;
}

/* ---- products ---- */

/* @sum in steps of a_scale * b_scale becomes element @at; @channel: the entry of b's scales. */
static void store_product(const LcipCall *call, const LcipQuantPorts *ports, gint64 sum, gsize at,
                          gsize channel) {
  const LcipTensorView *y = &call->outputs[0];
  if (ports->y_zero < 0) {
    lcip_element_set_int(LCIP_TYPE_I32, y->data, at, sum);
    return;
  }
  const double factor = scale_at(call, ports->a_scale, 0) *
                        scale_at(call, ports->b_scale, channel) / scale_at(call, ports->y_scale, 0);
  store_rounded(y->spec.type, y->data, at,
                rint((double)sum * factor) + (double)zero_at(call, ports->y_zero, 0));
}

typedef struct {
  const LcipCall *call;
  LcipQuantPorts ports;
  LcipWindow window;
  gsize group;
} ConvJob;

static gboolean inside(gint64 position, gint64 size) {
  return position >= 0 && position < size;
}

/* Padding counts as the zero point: it adds nothing. */
static gint64 conv_sum(const ConvJob *job, gsize x0, gsize w0, gsize m, const gint64 *out) {
  const LcipWindow *win = &job->window;
  const LcipTensorView *x = &job->call->inputs[job->ports.a], *w = &job->call->inputs[job->ports.b];
  const gint64 x_zero = zero_at(job->call, job->ports.a_zero, 0);
  const gint64 w_zero = zero_at(job->call, job->ports.b_zero, m);
  gint64 sum = 0, k[3], in[3];
  for (k[0] = 0; k[0] < win->kernel[0]; k[0]++)
    for (k[1] = 0; k[1] < win->kernel[1]; k[1]++)
      for (k[2] = 0; k[2] < win->kernel[2]; k[2]++) {
        gboolean meets = TRUE;
        for (int i = 0; i < 3; i++) {
          in[i] = out[i] * win->stride[i] + k[i] * win->dilation[i] - win->pad_begin[i];
          meets = meets && inside(in[i], win->in[i]);
        }
        if (!meets)
          continue;
        const gsize at = (gsize)((in[0] * win->in[1] + in[1]) * win->in[2] + in[2]);
        const gsize tap = (gsize)((k[0] * win->kernel[1] + k[1]) * win->kernel[2] + k[2]);
        sum += (lcip_element_int(x->spec.type, x->data, x0 + at) - x_zero) *
               (lcip_element_int(w->spec.type, w->data, w0 + tap) - w_zero);
      }
  return sum;
}

static void conv_plane(const ConvJob *job, gsize n, gsize m) {
  const LcipCall *call = job->call;
  const LcipWindow *win = &job->window;
  const LcipShape *x = &call->inputs[job->ports.a].shape, *y = &call->outputs[0].shape;
  const gsize channels = (gsize)x->dims[1], out_channels = (gsize)y->dims[1];
  const gsize group_in = channels / job->group, group_out = out_channels / job->group;
  const gsize in_size = lcip_shape_product(x, 2, x->rank);
  const gsize taps = (gsize)(win->kernel[0] * win->kernel[1] * win->kernel[2]);
  gsize at = (n * out_channels + m) * lcip_shape_product(y, 2, y->rank);
  gint64 out[3];
  for (out[0] = 0; out[0] < win->out[0]; out[0]++)
    for (out[1] = 0; out[1] < win->out[1]; out[1]++)
      for (out[2] = 0; out[2] < win->out[2]; out[2]++) {
        gint64 sum = zero_at(call, job->ports.bias, m);
        for (gsize c = 0; c < group_in; c++)
          sum += conv_sum(job, (n * channels + m / group_out * group_in + c) * in_size,
                          (m * group_in + c) * taps, m, out);
        store_product(call, &job->ports, sum, at++, m);
      }
}

static void conv_range(gpointer data, gsize begin, gsize end) {
  const ConvJob *job = data;
  const gsize channels = (gsize)job->call->outputs[0].shape.dims[1];
  for (gsize i = begin; i < end; i++)
    conv_plane(job, i / channels, i % channels);
}

static gboolean run_conv(const LcipCall *call, LcipTeam *team, GError **error) {
  ConvJob job = {.call = call, .group = (gsize)lcip_attrs_get_int(call->step->attrs, "group")};
  lcip_quant_ports(call->step, &job.ports);
  if (!lcip_window_init(&job.window, LCIP_WINDOW_CONV, call->step, &call->inputs[job.ports.a].shape,
                        &call->inputs[job.ports.b].shape, error))
    return FALSE;
  lcip_team_ranges(team, lcip_shape_product(&call->outputs[0].shape, 0, 2), 1, conv_range, &job);
  return TRUE;
}

static gboolean run_matmul(const LcipCall *call, GError **error) {
  LcipQuantPorts ports;
  LcipMatmul mm;
  LcipBroadcast batches;
  lcip_quant_ports(call->step, &ports);
  const LcipTensorView *a = &call->inputs[ports.a], *b = &call->inputs[ports.b];
  if (!lcip_matmul_init(&mm, &a->shape, &b->shape, NULL, error))
    return FALSE;
  const LcipShape *shapes[2] = {&mm.a_batch, &mm.b_batch};
  lcip_broadcast_init(&batches, &mm.batch, 2, shapes);
  for (gsize at = 0; at < mm.n_batches * mm.m * mm.n; at++) {
    const gsize row = at / mm.n % mm.m, column = at % mm.n;
    gsize from[2];
    gint64 sum = 0;
    lcip_broadcast_element(&batches, at / (mm.m * mm.n), from);
    for (gsize k = 0; k < mm.k; k++)
      sum += (lcip_element_int(a->spec.type, a->data, (from[0] * mm.m + row) * mm.k + k) -
              zero_at(call, ports.a_zero, 0)) *
             (lcip_element_int(b->spec.type, b->data, (from[1] * mm.k + k) * mm.n + column) -
              zero_at(call, ports.b_zero, column));
    store_product(call, &ports, sum, at, column);
  }
  return TRUE;
}

static gboolean quant_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipStep *step = call->step;
  if (lcip_step_is(step, "QuantizeLinear") || lcip_step_is(step, "DequantizeLinear"))
    return run_linear(call, lcip_step_is(step, "QuantizeLinear"), error);
  if (lcip_step_is(step, "QLinearConv") || lcip_step_is(step, "ConvInteger"))
    return run_conv(call, team, error);
  if (!lcip_step_is(step, "DynamicQuantizeLinear"))
    return run_matmul(call, error);
  run_dynamic(call);
  return TRUE;
}

static const char *const quant_ref_operators[] = {
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv",
    "QLinearMatMul",  "ConvInteger",      "MatMulInteger",         NULL};

const LcipKernel lcip_kernel_quant_ref = {
    .name = "quant-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = quant_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = quant_ref_run,
};
