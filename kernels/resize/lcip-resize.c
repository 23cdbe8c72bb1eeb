#include "config.h"
#include "lcip-resize.h"

#include <math.h>

/* In the order of the enumerations. */
static const char *const coordinate_modes[] = {
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",   "align_corners",
    "asymmetric", "tf_crop_and_resize",   "tf_half_pixel_for_nn", NULL};
static const char *const policies[] = {"stretch", "not_larger", "not_smaller", NULL};
static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
static const char *const nearest_modes[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                            "ceil", NULL};

/* Which of @names attribute @attr is. */
static int choice(const LcipStep *step, const char *attr, const char *const *names) {
  const char *value = lcip_attrs_get_string(step->attrs, attr);
  int i = 0;
  while (names[i] && g_strcmp0(names[i], value) != 0)
    i++;
  return names[i] ? i : 0;
}

static gboolean is_mode(const LcipStep *step, const char *attr, const char *value) {
  return g_strcmp0(lcip_attrs_get_string(step->attrs, attr), value) == 0;
}

/* Input @i's constant floats: @n of them. */
static const float *read_floats(const LcipStep *step, guint i, guint n, GError **error) {
  g_autofree char *name = lcip_operator_input_name(step->op, i);
  LcipTensor *tensor = lcip_step_constant(step, i);
  if (!tensor || lcip_tensor_get_spec(tensor)->type != LCIP_TYPE_F32) {
    lcip_infer_fail(error, "input %s: expected constant f32 values, found others", name);
    return NULL;
  }
  const gint64 found = lcip_shape_count(&lcip_tensor_get_spec(tensor)->shape);
  if (found != (gint64)n) {
    lcip_infer_fail(error, "input %s: expected %u values, found %" G_GINT64_FORMAT, name, n, found);
    return NULL;
  }
  return lcip_tensor_get_data(tensor);
}

/* Exporters leave unused inputs as empty tensors. */
static gboolean is_given(const LcipStep *step, guint i) {
  return lcip_step_has_input(step, i) && lcip_shape_count(&step->inputs[i].shape) != 0;
}

static gboolean read_axes(const LcipStep *step, int rank, int *axes, guint *n, GError **error) {
  gboolean marked[LCIP_MAX_RANK] = {FALSE};
  guint found = 0;
  const gint64 *ints = lcip_attrs_get_ints(step->attrs, "axes", &found);
  *n = ints && found > 0 ? found : (guint)rank;
  if (ints && found > 0 && !lcip_infer_axes(step, ints, found, rank, marked, error))
    return FALSE;
  for (guint i = 0; i < *n; i++)
    axes[i] = !ints || found == 0 ? (int)i : (int)(ints[i] < 0 ? ints[i] + rank : ints[i]);
  return TRUE;
}

static gboolean apply_scales(const LcipStep *step, LcipResize *resize, const int *axes, guint n,
                             GError **error) {
  const float *scales = read_floats(step, 2, n, error);
  for (guint i = 0; scales && i < n; i++) {
    LcipResizeAxis *axis = &resize->axes[axes[i]];
    const double range = resize->coordinates == LCIP_RESIZE_TF_CROP_AND_RESIZE
                             ? (double)axis->roi_end - (double)axis->roi_begin
                             : 1.0;
    const double size = floor((double)axis->in * range * (double)scales[i]);
    if (!(scales[i] > 0) || !(size >= 1 && size <= G_MAXINT32))
      return lcip_infer_fail(
          error, "input scales: expected factors that give sizes from 1 to %d, found %g",
          G_MAXINT32, (double)scales[i]);
    axis->scale = scales[i];
    axis->out = (gint64)size;
  }
  return scales != NULL;
}

/* not_larger and not_smaller take one scale for all axes. */
static void keep_aspect(LcipResize *resize, const int *axes, guint n, gboolean larger) {
  float scale = resize->axes[axes[0]].scale;
  for (guint i = 1; i < n; i++)
    scale =
        larger ? MAX(scale, resize->axes[axes[i]].scale) : MIN(scale, resize->axes[axes[i]].scale);
  for (guint i = 0; i < n; i++) {
    LcipResizeAxis *axis = &resize->axes[axes[i]];
    axis->scale = scale;
    axis->out = (gint64)CLAMP(round((double)scale * (double)axis->in), 1.0, (double)G_MAXINT32);
  }
}

static gboolean apply_sizes(const LcipStep *step, LcipResize *resize, const int *axes, guint n,
                            GError **error) {
  gint64 sizes[LCIP_MAX_RANK];
  guint found;
  if (!lcip_infer_ints(step, 3, LCIP_MAX_RANK, sizes, &found, error))
    return FALSE;
  if (found != n)
    return lcip_infer_fail(error, "input sizes: expected %u values, found %u", n, found);
  for (guint i = 0; i < n; i++) {
    LcipResizeAxis *axis = &resize->axes[axes[i]];
    if (sizes[i] < 1 || sizes[i] > G_MAXINT32)
      return lcip_infer_fail(error,
                             "input sizes: expected values from 1 to %d, found %" G_GINT64_FORMAT,
                             G_MAXINT32, sizes[i]);
    axis->out = sizes[i];
    axis->scale = (float)sizes[i] / (float)axis->in;
  }
  if (n > 0 && !is_mode(step, "keep_aspect_ratio_policy", "stretch"))
    keep_aspect(resize, axes, n, is_mode(step, "keep_aspect_ratio_policy", "not_smaller"));
  return TRUE;
}

static gboolean read_roi(const LcipStep *step, LcipResize *resize, const int *axes, guint n,
                         GError **error) {
  if (resize->coordinates != LCIP_RESIZE_TF_CROP_AND_RESIZE)
    return TRUE;
  const float *roi = read_floats(step, 1, 2 * n, error);
  for (guint i = 0; roi && i < n; i++) {
    if (!isfinite(roi[i]) || !isfinite(roi[n + i]) || fabsf(roi[i]) > 1e6f ||
        fabsf(roi[n + i]) > 1e6f)
      return lcip_infer_fail(error, "input roi: expected finite bounds, found %g and %g",
                             (double)roi[i], (double)roi[n + i]);
    resize->axes[axes[i]].roi_begin = roi[i];
    resize->axes[axes[i]].roi_end = roi[n + i];
  }
  return roi != NULL;
}

static gboolean init_axes(LcipResize *resize, const LcipShape *shape, GError **error) {
  resize->rank = shape->rank;
  for (int i = 0; i < shape->rank; i++) {
    if (shape->dims[i] < 1 || shape->dims[i] > G_MAXINT32)
      return lcip_infer_fail(error, "input X: expected sizes from 1 to %d, found %" G_GINT64_FORMAT,
                             G_MAXINT32, shape->dims[i]);
    resize->axes[i] = (LcipResizeAxis){shape->dims[i], shape->dims[i], 1.0f, 0.0f, 1.0f};
  }
  return TRUE;
}

gboolean lcip_resize_init(LcipResize *resize, const LcipStep *step, const LcipShape *shape,
                          GError **error) {
  int axes[LCIP_MAX_RANK];
  guint n;
  *resize = (LcipResize){
      .mode = choice(step, "mode", modes),
      .coordinates = choice(step, "coordinate_transformation_mode", coordinate_modes),
      .nearest = choice(step, "nearest_mode", nearest_modes),
      .cubic_a = lcip_attrs_get_float(step->attrs, "cubic_coeff_a"),
      .exclude_outside = lcip_attrs_get_int(step->attrs, "exclude_outside") != 0,
  };
  if (!init_axes(resize, shape, error) || !read_axes(step, shape->rank, axes, &n, error) ||
      !read_roi(step, resize, axes, n, error))
    return FALSE;
  if (is_given(step, 3))
    return apply_sizes(step, resize, axes, n, error);
  if (is_given(step, 2))
    return apply_scales(step, resize, axes, n, error);
  return lcip_infer_fail(error, "inputs scales and sizes: expected one of them, found none");
}

static gboolean resize_infer(LcipStep *step, GError **error) {
  LcipShape shape = step->inputs[0].shape;
  LcipResize resize;
  if (!lcip_infer_expect(step, 0, LCIP_TYPE_F32, -1, error) ||
      !lcip_resize_init(&resize, step, &shape, error))
    return FALSE;
  if (lcip_attrs_get_int(step->attrs, "antialias") != 0 && resize.mode != LCIP_RESIZE_NEAREST) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
                "attribute antialias: expected 0, found 1");
    return FALSE;
  }
  for (int i = 0; i < shape.rank; i++)
    shape.dims[i] = resize.axes[i].out;
  return lcip_infer_set(step, 0, LCIP_TYPE_F32, &shape, error);
}

/* ---- taps: the formulas of ONNX's Resize ---- */

static void resize_cost(const LcipStep *step, LcipCost *cost) {
  const char *mode = lcip_attrs_get_string(step->attrs, "mode");
  const double taps = g_str_equal(mode, "cubic") ? 4 : g_str_equal(mode, "linear") ? 2 : 1;
  const LcipShape *x = &step->inputs[0].shape, *y = &step->outputs[0].shape;
  cost->flops = (double)lcip_shape_count(y);
  for (int i = 0; taps > 1 && i < x->rank; i++)
    cost->flops *= x->dims[i] != y->dims[i] ? 2 * taps : 1;
}

static float source_coordinate(const LcipResize *resize, const LcipResizeAxis *axis, gint64 at) {
  const float x = (float)at, scale = axis->scale;
  const float in = (float)axis->in, out = (float)axis->out;
  switch (resize->coordinates) {
  case LCIP_RESIZE_ALIGN_CORNERS:
    return out == 1 ? 0 : x * (in - 1) / (out - 1);
  case LCIP_RESIZE_ASYMMETRIC:
    return x / scale;
  case LCIP_RESIZE_PYTORCH_HALF_PIXEL:
    return out > 1 ? (x + 0.5f) / scale - 0.5f : 0;
  case LCIP_RESIZE_TF_HALF_PIXEL_FOR_NN:
    return (x + 0.5f) / scale;
  case LCIP_RESIZE_TF_CROP_AND_RESIZE:
    return out > 1 ? axis->roi_begin * (in - 1) +
                         x * (axis->roi_end - axis->roi_begin) * (in - 1) / (out - 1)
                   : 0.5f * (axis->roi_begin + axis->roi_end) * (in - 1);
  case LCIP_RESIZE_HALF_PIXEL_SYMMETRIC:
    return in / 2 * (1 - out / (scale * in)) + (x + 0.5f) / scale - 0.5f;
  case LCIP_RESIZE_HALF_PIXEL:
    break;
  }
  return (x + 0.5f) / scale - 0.5f;
}

static float rounded(LcipResizeNearest how, float x) {
  switch (how) {
  case LCIP_RESIZE_FLOOR:
    return floorf(x);
  case LCIP_RESIZE_CEIL:
    return ceilf(x);
  case LCIP_RESIZE_ROUND_PREFER_CEIL:
    return floorf(x + 0.5f);
  case LCIP_RESIZE_ROUND_PREFER_FLOOR:
    break;
  }
  return ceilf(x - 0.5f);
}

static void nearest_tap(LcipResizeNearest how, float x, gint64 size, LcipResizeTaps *taps) {
  taps->n = 1;
  taps->index[0] = CLAMP((gint64)rounded(how, x), 0, size - 1);
  taps->weight[0] = 1;
}

static void linear_taps(float x, gint64 size, LcipResizeTaps *taps) {
  const float inside = CLAMP(x, 0.0f, (float)(size - 1));
  const gint64 first = MIN((gint64)inside, size - 1);
  taps->n = 2;
  taps->index[0] = first;
  taps->index[1] = MIN(first + 1, size - 1);
  taps->weight[1] = inside - (float)first;
  taps->weight[0] = 1 - taps->weight[1];
}

/* Keys, "Cubic convolution interpolation for digital image processing", 1981. */
static float cubic_weight(float distance, float a) {
  const float d = fabsf(distance);
  if (d <= 1)
    return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

static void cubic_taps(const LcipResize *resize, float x, gint64 size, LcipResizeTaps *taps) {
  const gboolean exclude = resize->exclude_outside;
  const float first = floorf(x);
  float sum = 0;
  taps->n = 4;
  for (int i = 0; i < 4; i++) {
    const gint64 at = (gint64)first - 1 + i;
    taps->index[i] = CLAMP(at, 0, size - 1);
    taps->weight[i] = exclude && at != taps->index[i]
                          ? 0
                          : cubic_weight(x - (first - 1 + (float)i), resize->cubic_a);
    sum += taps->weight[i];
  }
  for (int i = 0; exclude && i < 4; i++)
    taps->weight[i] /= sum;
}

void lcip_resize_taps(const LcipResize *resize, int axis, gint64 at, LcipResizeTaps *taps) {
  const LcipResizeAxis *a = &resize->axes[axis];
  *taps = (LcipResizeTaps){.n = 1, .index = {at}, .weight = {1}};
  const gboolean crop = resize->coordinates == LCIP_RESIZE_TF_CROP_AND_RESIZE;
  if (a->in == a->out && a->scale == 1.0f && !crop)
    return;
  /* Far beyond any size, so that conversion to an integer stays defined. */
  const float x = CLAMP(source_coordinate(resize, a, at), -1e15f, 1e15f);
  taps->outside = crop && (x < 0 || x > (float)(a->in - 1));
  if (resize->mode == LCIP_RESIZE_NEAREST)
    nearest_tap(resize->nearest, x, a->in, taps);
  else if (resize->mode == LCIP_RESIZE_LINEAR)
    linear_taps(x, a->in, taps);
  else
    cubic_taps(resize, x, a->in, taps);
}

static const LcipPortDef resize_inputs[] = {
    {"X", LCIP_PORT_PLAIN, "Input"},
    {"roi", LCIP_PORT_OPTIONAL | LCIP_PORT_SHAPE,
     "Begins, then ends of the region as fractions, for tf_crop_and_resize"},
    {"scales", LCIP_PORT_OPTIONAL | LCIP_PORT_SHAPE, "Factor of each axis"},
    {"sizes", LCIP_PORT_OPTIONAL | LCIP_PORT_SHAPE, "Size of each axis of the output"}};
static const LcipPortDef resize_outputs[] = {{"Y", LCIP_PORT_PLAIN, "Result"}};

static const LcipAttrDef resize_attrs[] = {
    {"antialias", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL,
     "1: widens the filter when making smaller"},
    {"axes", LCIP_ATTR_INTS, FALSE, NULL, -LCIP_MAX_RANK, LCIP_MAX_RANK - 1, NULL, NULL,
     "The axes that roi, scales and sizes speak of; all when not given"},
    {"coordinate_transformation_mode", LCIP_ATTR_STRING, FALSE, "half_pixel", 0, 0,
     coordinate_modes, NULL, "How coordinates of the output become those of the input"},
    {"cubic_coeff_a", LCIP_ATTR_FLOAT, FALSE, "-0.75", 0, 0, NULL, NULL,
     "Coefficient of cubic interpolation"},
    {"exclude_outside", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL,
     "1: elements outside the input have no weight"},
    {"extrapolation_value", LCIP_ATTR_FLOAT, FALSE, "0", 0, 0, NULL, NULL,
     "Value outside the input, for tf_crop_and_resize"},
    {"keep_aspect_ratio_policy", LCIP_ATTR_STRING, FALSE, "stretch", 0, 0, policies, NULL,
     "How sizes are read: as they are, or as bounds at one scale for all axes"},
    {"mode", LCIP_ATTR_STRING, FALSE, "nearest", 0, 0, modes, NULL, "Interpolation"},
    {"nearest_mode", LCIP_ATTR_STRING, FALSE, "round_prefer_floor", 0, 0, nearest_modes, NULL,
     "How nearest rounds"}};

static const LcipOperator resize_op = {
    .domain = "",
    .name = "Resize",
    .summary = "Interpolates to another size",
    .inputs = resize_inputs,
    .n_inputs = G_N_ELEMENTS(resize_inputs),
    .outputs = resize_outputs,
    .n_outputs = G_N_ELEMENTS(resize_outputs),
    .attrs = resize_attrs,
    .n_attrs = G_N_ELEMENTS(resize_attrs),
    .infer = resize_infer,
    .cost = resize_cost,
};

const LcipOperator *const lcip_operators_resize[] = {&resize_op, NULL};
