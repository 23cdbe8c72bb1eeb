#include "config.h"

#include "lcip-cl-step.h"
#include "lcip-resize.h"

/* In the order of resize.cl's numbers. */
static const char *const coordinate_modes[] = {"half_pixel", "pytorch_half_pixel", "align_corners",
                                               "asymmetric", NULL};
static const char *const nearest_modes[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                            "ceil", NULL};

/* Index of a string attribute in @names, or -1. */
static int attr_index(const LcipStep *step, const char *attr, const char *const *names) {
  const char *value = lcip_attrs_get_string(step->attrs, attr);
  for (int i = 0; names[i]; i++)
    if (g_strcmp0(value, names[i]) == 0)
      return i;
  return -1;
}

static gboolean only_planes(const LcipResize *resize) {
  for (int i = 0; i < resize->rank - 2; i++)
    if (resize->axes[i].in != resize->axes[i].out)
      return FALSE;
  return resize->rank >= 2;
}

static gboolean resize_opencl_supports(const LcipStep *step, LcipPortFormats *formats,
                                       const char **reason) {
  LcipResize resize;
  if (!lcip_resize_init(&resize, step, &step->inputs[0].shape, NULL))
    *reason = "its sizes must be constants";
  else if (resize.mode == LCIP_RESIZE_CUBIC)
    *reason = "OpenCL resizes by nearest and linear interpolation, not cubic";
  else if (!only_planes(&resize))
    *reason = "OpenCL resizes the last two dimensions only";
  else if (attr_index(step, "coordinate_transformation_mode", coordinate_modes) < 0)
    *reason = "OpenCL has no such coordinate transformation";
  else
    return lcip_cl_supports_plain(step, ~(guint64)1, formats, reason);
  return FALSE;
}

static gboolean resize_opencl_enqueue(const LcipCall *call, LcipClQueue *queue, GError **error) {
  static const gsize local[] = {1, 8, 4};
  const LcipShape *x = &call->inputs[0].shape;
  LcipResize resize;
  if (!lcip_resize_init(&resize, call->step, x, error))
    return FALSE;
  const LcipResizeAxis *h = &resize.axes[x->rank - 2], *w = &resize.axes[x->rank - 1];
  const gsize planes = lcip_shape_product(x, 0, x->rank - 2);
  const gsize global[] = {(gsize)(w->out + 15) / 16, (gsize)h->out, planes};
  const gint64 sizes[] = {(gint64)planes, h->in, w->in, h->out, w->out};
  const gboolean nearest = resize.mode == LCIP_RESIZE_NEAREST;
  LcipClArgs args = lcip_cl_args_begin(queue, nearest ? "resize_nearest" : "resize_linear", error);
  lcip_cl_args_view(&args, &call->inputs[0]);
  lcip_cl_args_view(&args, &call->outputs[0]);
  lcip_cl_args_ints(&args, G_N_ELEMENTS(sizes), sizes);
  lcip_cl_args_float(&args, h->scale);
  lcip_cl_args_float(&args, w->scale);
  lcip_cl_args_int(&args,
                   attr_index(call->step, "coordinate_transformation_mode", coordinate_modes));
  if (nearest)
    lcip_cl_args_int(&args, attr_index(call->step, "nearest_mode", nearest_modes));
  return lcip_cl_args_launch(&args, 3, global, local);
}

static const char *const resize_opencl_operators[] = {"Resize", NULL};

const LcipKernel lcip_kernel_resize_opencl = {
    .name = "resize-opencl",
    .family = "opencl",
    .device = LCIP_DEVICE_OPENCL,
    .operators = resize_opencl_operators,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-5f,
    .supports = resize_opencl_supports,
    .enqueue = resize_opencl_enqueue,
};
