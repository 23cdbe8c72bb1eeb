#include "config.h"

#include "lcip-expand-depthwise.h"

static const char *const activations[] = {
    "none", "Relu",  "Clip", "LeakyRelu", "Sigmoid", "HardSwish", "ScaledHardSwish",
    "Tanh", "Swish", "Mish", NULL};

const LcipOperator *lcip_expand_activation(const LcipStep *step) {
  const char *name = lcip_attrs_get_string(step->attrs, "activation");
  const LcipOperator *op = lcip_operator_find("", name);
  return op ? op : lcip_operator_find("lcip", name);
}

LcipShape lcip_expand_shape(const LcipStep *step, const LcipShape *x) {
  LcipShape shape = *x;
  shape.dims[1] = step->inputs[LCIP_EXPAND_W].shape.dims[0];
  return shape;
}

gboolean lcip_expand_window_init(LcipWindow *window, const LcipStep *step, const LcipShape *x,
                                 GError **error) {
  const LcipShape expanded = lcip_expand_shape(step, x);
  return lcip_window_init(window, LCIP_WINDOW_CONV, step, &expanded,
                          &step->inputs[LCIP_EXPAND_DEPTHWISE_W].shape, error);
}

static gboolean expand_infer(LcipStep *step, GError **error) {
  for (guint i = 0; i < LCIP_EXPAND_INPUTS; i++)
    if (lcip_step_has_input(step, i) &&
        !lcip_infer_expect(step, i, LCIP_TYPE_F32,
                           i == LCIP_EXPAND_B || i == LCIP_EXPAND_DEPTHWISE_B ? 1 : 4, error))
      return FALSE;
  const LcipShape *x = &step->inputs[LCIP_EXPAND_X].shape;
  const LcipShape *w = &step->inputs[LCIP_EXPAND_W].shape;
  const LcipShape *depthwise = &step->inputs[LCIP_EXPAND_DEPTHWISE_W].shape;
  if (x->dims[1] != w->dims[1] || w->dims[2] != 1 || w->dims[3] != 1 ||
      depthwise->dims[0] != w->dims[0] || depthwise->dims[1] != 1)
    return lcip_infer_fail(error, "expected the weights of a 1x1 convolution of the input and of a "
                                  "depthwise one of its result");
  LcipWindow window;
  if (!lcip_expand_window_init(&window, step, x, error))
    return FALSE;
  LcipShape shape = lcip_expand_shape(step, x);
  shape.dims[2] = window.out[1];
  shape.dims[3] = window.out[2];
  return lcip_infer_set(step, 0, LCIP_TYPE_F32, &shape, error);
}

static double count(const LcipTensorSpec *spec) {
  return (double)lcip_shape_count(&spec->shape);
}

static void expand_cost(const LcipStep *step, LcipCost *cost) {
  const LcipTensorSpec *in = &step->inputs[LCIP_EXPAND_X];
  const double outs = (double)step->inputs[LCIP_EXPAND_W].shape.dims[0];
  const double taps = count(&step->inputs[LCIP_EXPAND_DEPTHWISE_W]) / outs;
  cost->flops = 2.0 * (count(in) * outs + taps * count(&step->outputs[0]));
  cost->bytes = 4.0 * (count(in) + count(&step->inputs[LCIP_EXPAND_W]) + outs * taps +
                       count(&step->outputs[0]));
}

static const LcipPortDef expand_inputs[] = {
    {"X", LCIP_PORT_PLAIN, "Input: n, c, h, w"},
    {"W", LCIP_PORT_PLAIN, "Weights of the 1x1 convolution"},
    {"B", LCIP_PORT_OPTIONAL, "Its bias"},
    {"depthwise_W", LCIP_PORT_PLAIN, "Weights of the depthwise convolution"},
    {"depthwise_B", LCIP_PORT_OPTIONAL, "Its bias"},
};
static const LcipPortDef expand_outputs[] = {{"Y", LCIP_PORT_PLAIN, "The second one's result"}};
static const LcipAttrDef expand_attrs[] = {
    {"activation", LCIP_ATTR_STRING, FALSE, "none", 0, 0, activations, NULL,
     "Operator between the two"},
    {"alpha", LCIP_ATTR_FLOAT, FALSE, "0", 0, 0, NULL, NULL, "Its alpha, or min of Clip"},
    {"beta", LCIP_ATTR_FLOAT, FALSE, "0", 0, 0, NULL, NULL, "Max of Clip"},
    {"auto_pad", LCIP_ATTR_STRING, FALSE, "NOTSET", 0, 0, lcip_window_auto_pads, NULL,
     "As of Conv"},
    {"dilations", LCIP_ATTR_INTS, FALSE, NULL, 1, G_MAXINT32, NULL, "elements", "As of Conv"},
    {"kernel_shape", LCIP_ATTR_INTS, FALSE, NULL, 1, G_MAXINT32, NULL, "elements", "As of Conv"},
    {"pads", LCIP_ATTR_INTS, FALSE, NULL, 0, G_MAXINT32, NULL, "elements", "As of Conv"},
    {"strides", LCIP_ATTR_INTS, FALSE, NULL, 1, G_MAXINT32, NULL, "elements", "As of Conv"},
};

static const LcipOperator expand_depthwise = {
    .domain = "lcip",
    .name = "ExpandDepthwise",
    .summary = "1x1 convolution, activation and depthwise convolution; made by the plan",
    .inputs = expand_inputs,
    .n_inputs = G_N_ELEMENTS(expand_inputs),
    .outputs = expand_outputs,
    .n_outputs = G_N_ELEMENTS(expand_outputs),
    .attrs = expand_attrs,
    .n_attrs = G_N_ELEMENTS(expand_attrs),
    .infer = expand_infer,
    .cost = expand_cost,
};

const LcipOperator *const lcip_operators_expand_depthwise[] = {&expand_depthwise, NULL};
