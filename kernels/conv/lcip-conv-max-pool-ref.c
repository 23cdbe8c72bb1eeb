#include "config.h"

#include "lcip-conv-max-pool.h"

/* The references of Conv and MaxPool, one after the other. */

static gboolean pool(LcipTensorView *x, LcipTensorView *y, GError **error) {
  static const gint64 size[] = {LCIP_CONV_MAX_POOL_SIZE, LCIP_CONV_MAX_POOL_SIZE};
  const LcipOperator *op = lcip_operator_find("", "MaxPool");
  g_autoptr(LcipAttrs) attrs = lcip_attrs_new(op);
  LcipTensor *constant = NULL;
  lcip_attrs_set_ints(attrs, "kernel_shape", LCIP_ATTR_INTS, 2, size, NULL);
  lcip_attrs_set_ints(attrs, "strides", LCIP_ATTR_INTS, 2, size, NULL);
  const LcipStep step = {.op = op,
                         .attrs = attrs,
                         .n_inputs = 1,
                         .n_anchor_inputs = 1,
                         .inputs = &x->spec,
                         .constants = &constant,
                         .n_outputs = 1,
                         .outputs = &y->spec};
  return lcip_kernel_run_reference(&step, x, y, error);
}

static gboolean conv_max_pool_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(0));
  if (!lcip_conv_max_pool_between(call->step, &call->inputs[0].shape, &spec.shape, error))
    return FALSE;
  g_autoptr(LcipTensor) between = lcip_tensor_new(&spec);
  if (!between) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "no memory for what is between");
    return FALSE;
  }
  const LcipStep conv = lcip_conv_max_pool_conv(call->step, &spec);
  LcipTensorView view = lcip_tensor_view(between);
  return lcip_kernel_run_reference(&conv, call->inputs, &view, error) &&
         pool(&view, &call->outputs[0], error);
}

static const char *const conv_max_pool_ref_operators[] = {"lcip.ConvMaxPool", NULL};

const LcipKernel lcip_kernel_conv_max_pool_ref = {
    .name = "conv-max-pool-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = conv_max_pool_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = conv_max_pool_ref_run,
};
