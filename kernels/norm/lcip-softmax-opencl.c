#include "config.h"

#include "lcip-cl-step.h"
#include "lcip-infer.h"

static gboolean softmax_opencl_supports(const LcipStep *step, LcipPortFormats *formats,
                                        const char **reason) {
  return lcip_cl_supports_plain(step, 0, formats, reason);
}

static gboolean softmax_opencl_enqueue(const LcipCall *call, LcipClQueue *queue, GError **error) {
  static const gsize local[] = {8, 4};
  const LcipShape *shape = &call->inputs[0].shape;
  int axis;
  if (!lcip_infer_axis(call->step, lcip_attrs_get_int(call->step->attrs, "axis"), shape->rank,
                       &axis, error))
    return FALSE;
  const gsize outer = lcip_shape_product(shape, 0, axis);
  const gsize inner = lcip_shape_product(shape, axis + 1, shape->rank);
  const gsize global[] = {inner, outer};
  LcipClArgs args = lcip_cl_args_begin(queue, "norm_softmax", error);
  lcip_cl_args_view(&args, &call->inputs[0]);
  lcip_cl_args_view(&args, &call->outputs[0]);
  lcip_cl_args_int(&args, (gint64)outer);
  lcip_cl_args_int(&args, shape->dims[axis]);
  lcip_cl_args_int(&args, (gint64)inner);
  return lcip_cl_args_launch(&args, 2, global, local);
}

static const char *const softmax_opencl_operators[] = {"Softmax", NULL};

const LcipKernel lcip_kernel_softmax_opencl = {
    .name = "softmax-opencl",
    .family = "opencl",
    .device = LCIP_DEVICE_OPENCL,
    .operators = softmax_opencl_operators,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-5f,
    .supports = softmax_opencl_supports,
    .enqueue = softmax_opencl_enqueue,
};
