#include "config.h"

#include "lcip-broadcast.h"
#include "lcip-infer.h"

#include <math.h>

/* (x - mean) / sqrt(variance + epsilon) of @n neighbouring elements. */
static void normalize(const float *x, float *y, gsize n, double epsilon, double *mean,
                      double *factor) {
  double sum = 0, squares = 0;
  for (gsize i = 0; i < n; i++)
    sum += (double)x[i];
  *mean = sum / (double)n;
  for (gsize i = 0; i < n; i++)
    squares += ((double)x[i] - *mean) * ((double)x[i] - *mean);
  *factor = 1 / sqrt(squares / (double)n + epsilon);
  for (gsize i = 0; i < n; i++)
    y[i] = (float)(((double)x[i] - *mean) * *factor);
}

static void scale_inner(const LcipCall *call, guint i, const LcipShape *inner, gsize groups) {
  const gsize n = lcip_shape_product(inner, 0, inner->rank);
  const LcipShape *shape = &call->inputs[i].shape;
  const float *values = call->inputs[i].data;
  float *y = call->outputs[0].data;
  LcipBroadcast broadcast;
  gsize from;
  lcip_broadcast_init(&broadcast, inner, 1, &shape);
  for (gsize k = 0; k < n; k++) {
    lcip_broadcast_element(&broadcast, k, &from);
    for (gsize g = 0; g < groups; g++)
      y[g * n + k] = i == 1 ? y[g * n + k] * values[from] : y[g * n + k] + values[from];
  }
}

static gboolean run_layer(const LcipCall *call, GError **error) {
  const LcipShape *shape = &call->inputs[0].shape;
  const double epsilon = (double)lcip_attrs_get_float(call->step->attrs, "epsilon");
  const float *x = call->inputs[0].data;
  LcipShape inner = {0};
  int axis;
  if (!lcip_infer_axis(call->step, lcip_attrs_get_int(call->step->attrs, "axis"), shape->rank,
                       &axis, error))
    return FALSE;
  for (int i = axis; i < shape->rank; i++)
    inner.dims[inner.rank++] = shape->dims[i];
  const gsize groups = lcip_shape_product(shape, 0, axis);
  const gsize n = lcip_shape_product(shape, axis, shape->rank);
  for (gsize g = 0; g < groups; g++) {
    double mean, factor;
    normalize(x + g * n, (float *)call->outputs[0].data + g * n, n, epsilon, &mean, &factor);
    if (call->step->n_outputs > 1 && call->outputs[1].data)
      ((float *)call->outputs[1].data)[g] = (float)mean;
    if (call->step->n_outputs > 2 && call->outputs[2].data)
      ((float *)call->outputs[2].data)[g] = (float)factor;
  }
  scale_inner(call, 1, &inner, groups);
  if (lcip_step_has_input(call->step, 2))
    scale_inner(call, 2, &inner, groups);
  return TRUE;
}

static void run_group(const LcipCall *call) {
  const LcipShape *shape = &call->inputs[0].shape;
  const double epsilon = (double)lcip_attrs_get_float(call->step->attrs, "epsilon");
  const gsize groups = (gsize)lcip_attrs_get_int(call->step->attrs, "num_groups");
  const gsize channels = (gsize)shape->dims[1];
  const gsize plane = lcip_shape_product(shape, 2, shape->rank), n = channels / groups * plane;
  const gsize n_scale = lcip_view_count(&call->inputs[1]);
  const gsize n_bias = lcip_view_count(&call->inputs[2]);
  const float *x = call->inputs[0].data, *scale = call->inputs[1].data;
  const float *bias = call->inputs[2].data;
  float *y = call->outputs[0].data;
  for (gsize g = 0; g < (gsize)shape->dims[0] * groups; g++) {
    double mean, factor;
    normalize(x + g * n, y + g * n, n, epsilon, &mean, &factor);
    for (gsize i = g * n; i < (g + 1) * n; i++) {
      const gsize c = i / plane % channels;
      y[i] = y[i] * scale[c * n_scale / channels] + bias[c * n_bias / channels];
    }
  }
}

static void lp_line(const float *x, float *y, gsize n, gsize stride, gboolean squares) {
  double sum = 0;
  for (gsize i = 0; i < n; i++)
    sum += squares ? (double)x[i * stride] * (double)x[i * stride] : fabs((double)x[i * stride]);
  const double length = squares ? sqrt(sum) : sum;
  for (gsize i = 0; i < n; i++)
    y[i * stride] = length > 0 ? (float)((double)x[i * stride] / length) : 0.0f;
}

static void hardmax_line(const float *x, float *y, gsize n, gsize stride) {
  gsize best = 0;
  for (gsize i = 1; i < n; i++)
    if (x[i * stride] > x[best * stride])
      best = i;
  for (gsize i = 0; i < n; i++)
    y[i * stride] = i == best ? 1 : 0;
}

static gboolean run_lines(const LcipCall *call, GError **error) {
  const LcipShape *shape = &call->inputs[0].shape;
  const gboolean hardmax = lcip_step_is(call->step, "Hardmax");
  const gboolean squares = !hardmax && lcip_attrs_get_int(call->step->attrs, "p") == 2;
  const float *x = call->inputs[0].data;
  float *y = call->outputs[0].data;
  int axis;
  if (!lcip_infer_axis(call->step, lcip_attrs_get_int(call->step->attrs, "axis"), shape->rank,
                       &axis, error))
    return FALSE;
  const gsize n = (gsize)shape->dims[axis];
  const gsize stride = lcip_shape_product(shape, axis + 1, shape->rank);
  const gsize lines = n > 0 ? lcip_shape_product(shape, 0, axis) * stride : 0;
  for (gsize l = 0; l < lines; l++) {
    const gsize first = l / stride * stride * n + l % stride;
    if (hardmax)
      hardmax_line(x + first, y + first, n, stride);
    else
      lp_line(x + first, y + first, n, stride, squares);
  }
  return TRUE;
}

/* ---- MeanVarianceNormalization: the axes may lie anywhere ---- */

typedef struct {
  gint64 dims[LCIP_MAX_RANK], strides[LCIP_MAX_RANK];
  int rank;
  gsize count;
} Walk;

static gsize walk_offset(const Walk *walk, gsize at) {
  gsize offset = 0;
  for (int i = walk->rank - 1; i >= 0; i--) {
    offset += at % (gsize)walk->dims[i] * (gsize)walk->strides[i];
    at /= (gsize)walk->dims[i];
  }
  return offset;
}

static void mvn_set(const float *x, float *y, const Walk *walk) {
  double mean = 0, variance = 0;
  for (gsize i = 0; i < walk->count; i++)
    mean += (double)x[walk_offset(walk, i)] / (double)walk->count;
  for (gsize i = 0; i < walk->count; i++) {
    const double d = (double)x[walk_offset(walk, i)] - mean;
    variance += d * d / (double)walk->count;
  }
  for (gsize i = 0; i < walk->count; i++) {
    const gsize at = walk_offset(walk, i);
    y[at] = (float)(((double)x[at] - mean) / (sqrt(variance) + 1e-9)); /* as ONNX defines it */
  }
}

static gboolean run_mvn(const LcipCall *call, GError **error) {
  const LcipShape *shape = &call->inputs[0].shape;
  gboolean marked[LCIP_MAX_RANK] = {FALSE};
  Walk kept = {.count = 1}, inner = {.count = 1};
  guint n;
  const gint64 *axes = lcip_attrs_get_ints(call->step->attrs, "axes", &n);
  if (!lcip_infer_axes(call->step, axes, n, shape->rank, marked, error))
    return FALSE;
  for (int i = 0; i < shape->rank; i++) {
    Walk *walk = marked[i] ? &inner : &kept;
    walk->dims[walk->rank] = shape->dims[i];
    walk->strides[walk->rank++] = (gint64)lcip_shape_product(shape, i + 1, shape->rank);
    walk->count *= (gsize)shape->dims[i];
  }
  for (gsize i = 0; i < kept.count; i++) {
    const gsize first = walk_offset(&kept, i);
    mvn_set((const float *)call->inputs[0].data + first, (float *)call->outputs[0].data + first,
            &inner);
  }
  return TRUE;
}

static gboolean layer_norm_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  if (lcip_step_is(call->step, "LayerNormalization"))
    return run_layer(call, error);
  if (lcip_step_is(call->step, "MeanVarianceNormalization"))
    return run_mvn(call, error);
  if (!lcip_step_is(call->step, "GroupNormalization"))
    return run_lines(call, error);
  run_group(call);
  return TRUE;
}

static const char *const layer_norm_ref_operators[] = {
    "LayerNormalization",        "GroupNormalization",
    "LpNormalization",           "Hardmax",
    "MeanVarianceNormalization", NULL};

const LcipKernel lcip_kernel_layer_norm_ref = {
    .name = "layer-norm-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = layer_norm_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = layer_norm_ref_run,
};
