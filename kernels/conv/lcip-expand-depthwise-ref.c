#include "config.h"

#include "lcip-expand-depthwise.h"

/* The two convolutions by the reference of Conv, one after the other. */

static void copy_window(const LcipAttrs *from, LcipAttrs *to) {
  static const char *const names[] = {"dilations", "kernel_shape", "pads", "strides"};
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    guint n;
    const gint64 *values = lcip_attrs_get_ints(from, names[i], &n);
    if (values)
      lcip_attrs_set_ints(to, names[i], LCIP_ATTR_INTS, n, values, NULL);
  }
  const char *auto_pad = lcip_attrs_get_string(from, "auto_pad");
  lcip_attrs_set_strings(to, "auto_pad", LCIP_ATTR_STRING, 1, &auto_pad, NULL);
}

/* Conv of inputs @first (the view @x in place of its first) with @attrs into @y. */
static gboolean convolve(const LcipCall *call, LcipTensorView x, guint weights, LcipAttrs *attrs,
                         const LcipEpilogue *activation, LcipTensorView *y, GError **error) {
  LcipTensorView views[] = {x, call->inputs[weights], call->inputs[weights + 1]};
  LcipTensorSpec specs[] = {x.spec, views[1].spec, views[2].spec};
  LcipTensor *constants[3] = {NULL};
  LcipStep step = {.op = lcip_operator_find("", "Conv"),
                   .attrs = attrs,
                   .n_inputs = lcip_step_has_input(call->step, weights + 1) ? 3 : 2,
                   .inputs = specs,
                   .constants = constants,
                   .n_outputs = 1,
                   .outputs = &y->spec};
  step.n_anchor_inputs = step.n_inputs;
  if (activation)
    step.epilogues[step.n_epilogues++] = *activation;
  return lcip_kernel_run_reference(&step, views, y, error);
}

/* FALSE where there is none. @attrs: to be freed. */
static gboolean find_activation(const LcipStep *step, LcipEpilogue *activation, LcipAttrs **attrs) {
  const LcipOperator *op = lcip_expand_activation(step);
  const float alpha = lcip_attrs_get_float(step->attrs, "alpha");
  if (!op)
    return FALSE;
  *attrs = lcip_attrs_new(op);
  if (lcip_operator_find_attr(op, "alpha"))
    lcip_attrs_set_floats(*attrs, "alpha", LCIP_ATTR_FLOAT, 1, &alpha, NULL);
  *activation = (LcipEpilogue){.op = op,
                               .attrs = *attrs,
                               .side_input = -1,
                               .clip_min = alpha,
                               .clip_max = lcip_attrs_get_float(step->attrs, "beta")};
  return TRUE;
}

static gboolean expand_depthwise_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape shape = lcip_expand_shape(call->step, &call->inputs[0].shape);
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, shape);
  const LcipOperator *conv = lcip_operator_find("", "Conv");
  g_autoptr(LcipTensor) expanded = lcip_tensor_new(&spec);
  g_autoptr(LcipAttrs) first = lcip_attrs_new(conv);
  g_autoptr(LcipAttrs) second = lcip_attrs_new(conv);
  g_autoptr(LcipAttrs) parameters = NULL;
  LcipEpilogue activation;
  if (!expanded) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "no memory for what is between");
    return FALSE;
  }
  copy_window(call->step->attrs, second);
  lcip_attrs_set_ints(second, "group", LCIP_ATTR_INT, 1, &shape.dims[1], NULL);
  const gboolean active = find_activation(call->step, &activation, &parameters);
  LcipTensorView between = lcip_tensor_view(expanded);
  return convolve(call, call->inputs[0], LCIP_EXPAND_W, first, active ? &activation : NULL,
                  &between, error) &&
         convolve(call, between, LCIP_EXPAND_DEPTHWISE_W, second, NULL, &call->outputs[0], error);
}

static const char *const expand_depthwise_ref_operators[] = {"lcip.ExpandDepthwise", NULL};

const LcipKernel lcip_kernel_expand_depthwise_ref = {
    .name = "expand-depthwise-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = expand_depthwise_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = expand_depthwise_ref_run,
};
