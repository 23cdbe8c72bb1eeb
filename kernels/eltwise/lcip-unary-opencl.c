#include "config.h"

#include "lcip-cl-step.h"
#include "lcip-infer.h"

static gboolean unary_opencl_supports(const LcipStep *step, LcipPortFormats *formats,
                                      const char **reason) {
  return lcip_cl_unary_supported(step, reason) && lcip_cl_supports_fused(step, 0, formats, reason);
}

static gboolean unary_opencl_enqueue(const LcipCall *call, LcipClQueue *queue, GError **error) {
  static const gsize local[] = {32};
  const gsize count = lcip_view_count(&call->inputs[0]), global[] = {(count + 15) / 16};
  LcipClArgs args = lcip_cl_args_begin(queue, "eltwise_unary", error);
  lcip_cl_args_view(&args, &call->inputs[0]);
  lcip_cl_args_view(&args, &call->outputs[0]);
  lcip_cl_args_unary(&args, call);
  lcip_cl_args_int(&args, (gint64)count);
  return lcip_cl_args_launch(&args, 1, global, local);
}

static const char *const unary_opencl_operators[] = {
    "Relu",  "LeakyRelu", "Elu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh",
    "Clip",  "Softplus",  "Exp", "Log",     "Sqrt",        "Abs",       "Neg",
    "Floor", "Ceil",      "Erf", "Swish",   "Mish",        NULL};

const LcipKernel lcip_kernel_unary_opencl = {
    .name = "unary-opencl",
    .family = "opencl",
    .device = LCIP_DEVICE_OPENCL,
    .operators = unary_opencl_operators,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-5f,
    .inplace = TRUE,
    .supports = unary_opencl_supports,
    .enqueue = unary_opencl_enqueue,
};
