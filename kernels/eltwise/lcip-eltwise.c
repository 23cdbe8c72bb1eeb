#include "config.h"

#include "lcip-broadcast.h"
#include "lcip-infer.h"

static const LcipType arithmetic_types[] = {
    LCIP_TYPE_F32, LCIP_TYPE_I64, LCIP_TYPE_I32, LCIP_TYPE_U8,  LCIP_TYPE_I8,
    LCIP_TYPE_I16, LCIP_TYPE_U16, LCIP_TYPE_U32, LCIP_TYPE_U64, LCIP_TYPE_NONE};

static const LcipPortDef binary_inputs[] = {
    {"A", LCIP_PORT_PLAIN, "First operand"},
    {"B", LCIP_PORT_PLAIN, "Second operand, broadcast against the first"},
};
static const LcipPortDef binary_outputs[] = {{"C", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef pow_inputs[] = {
    {"X", LCIP_PORT_PLAIN, "Base"},
    {"Y", LCIP_PORT_PLAIN, "Exponent, broadcast against the base"},
};
static const LcipPortDef pow_outputs[] = {{"Z", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef variadic_inputs[] = {
    {"data_0", LCIP_PORT_VARIADIC, "Operands, broadcast against each other"},
};
static const LcipPortDef min_outputs[] = {{"min", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef max_outputs[] = {{"max", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef x_inputs[] = {{"X", LCIP_PORT_PLAIN, "Input"}};
static const LcipPortDef y_outputs[] = {{"Y", LCIP_PORT_PLAIN, "Result, of the input's shape"}};
static const LcipPortDef input_inputs[] = {{"input", LCIP_PORT_PLAIN, "Input"}};
static const LcipPortDef output_outputs[] = {
    {"output", LCIP_PORT_PLAIN, "Result, of the input's shape"}};
static const LcipPortDef prelu_inputs[] = {
    {"X", LCIP_PORT_PLAIN, "Input"},
    {"slope", LCIP_PORT_PLAIN, "Factor for negative elements, broadcast to the input's shape"},
};
static const LcipPortDef clip_inputs[] = {
    {"input", LCIP_PORT_PLAIN, "Input"},
    {"min", LCIP_PORT_OPTIONAL, "Least result, one value; no limit when absent"},
    {"max", LCIP_PORT_OPTIONAL, "Greatest result, one value; no limit when absent"},
};

static const LcipAttrDef leaky_attrs[] = {
    {"alpha", LCIP_ATTR_FLOAT, FALSE, "0.01", 0, 0, NULL, NULL, "Factor for negative elements"},
};
static const LcipAttrDef elu_attrs[] = {
    {"alpha", LCIP_ATTR_FLOAT, FALSE, "1", 0, 0, NULL, NULL, "Factor for negative elements"},
};
static const LcipAttrDef hard_sigmoid_attrs[] = {
    {"alpha", LCIP_ATTR_FLOAT, FALSE, "0.2", 0, 0, NULL, NULL, "Slope of the middle part"},
    {"beta", LCIP_ATTR_FLOAT, FALSE, "0.5", 0, 0, NULL, NULL, "Value at 0"},
};
static const LcipAttrDef swish_attrs[] = {
    {"alpha", LCIP_ATTR_FLOAT, FALSE, "1", 0, 0, NULL, NULL, "Factor within the sigmoid"},
};

static const LcipAttrDef scaled_hard_swish_attrs[] = {
    {"alpha", LCIP_ATTR_FLOAT, FALSE, "0.16666667", 0, 0, NULL, NULL, "Factor of the product"},
};

static gboolean check_types(const LcipStep *step, GError **error) {
  if (!lcip_infer_one_of(step, 0, arithmetic_types, error))
    return FALSE;
  for (guint i = 1; i < step->n_inputs; i++)
    if (!lcip_infer_expect(step, i, step->inputs[0].type, -1, error))
      return FALSE;
  return TRUE;
}

static gboolean infer_broadcast(LcipStep *step, GError **error) {
  LcipShape shape = step->inputs[0].shape;
  for (guint i = 1; i < step->n_inputs; i++) {
    g_autofree char *before = lcip_shape_to_string(&shape);
    if (lcip_broadcast_shape(&shape, &step->inputs[i].shape))
      continue;
    g_autofree char *name = lcip_operator_input_name(step->op, i);
    g_autofree char *found = lcip_shape_to_string(&step->inputs[i].shape);
    return lcip_infer_fail(error, "input %s: expected a shape that broadcasts to %s, found %s",
                           name, before, found);
  }
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

static gboolean arithmetic_infer(LcipStep *step, GError **error) {
  return check_types(step, error) && infer_broadcast(step, error);
}

static gboolean pow_infer(LcipStep *step, GError **error) {
  static const LcipType base_types[] = {LCIP_TYPE_F32, LCIP_TYPE_I64, LCIP_TYPE_I32,
                                        LCIP_TYPE_NONE};
  return lcip_infer_one_of(step, 0, base_types, error) &&
         lcip_infer_one_of(step, 1, arithmetic_types, error) && infer_broadcast(step, error);
}

static gboolean prelu_infer(LcipStep *step, GError **error) {
  if (!lcip_infer_expect(step, 0, LCIP_TYPE_F32, -1, error) ||
      !lcip_infer_expect(step, 1, LCIP_TYPE_F32, -1, error) || !infer_broadcast(step, error))
    return FALSE;
  if (lcip_shape_equal(&step->outputs[0].shape, &step->inputs[0].shape))
    return TRUE;
  g_autofree char *slope = lcip_shape_to_string(&step->inputs[1].shape);
  g_autofree char *input = lcip_shape_to_string(&step->inputs[0].shape);
  return lcip_infer_fail(error, "input slope: expected a shape that broadcasts to %s, found %s",
                         input, slope);
}

static gboolean clip_infer(LcipStep *step, GError **error) {
  for (guint i = 1; i < 3; i++) {
    if (!lcip_step_has_input(step, i))
      continue;
    if (!lcip_infer_expect(step, i, step->inputs[0].type, -1, error))
      return FALSE;
    if (lcip_shape_count(&step->inputs[i].shape) != 1)
      return lcip_infer_fail(error, "input %s: expected one value, found %" G_GINT64_FORMAT,
                             clip_inputs[i].name, lcip_shape_count(&step->inputs[i].shape));
  }
  return lcip_infer_one_of(step, 0, arithmetic_types, error) &&
         lcip_infer_set(step, 0, step->inputs[0].type, &step->inputs[0].shape, error);
}

static const LcipType negatable_types[] = {LCIP_TYPE_F32, LCIP_TYPE_I64, LCIP_TYPE_I32,
                                           LCIP_TYPE_NONE};

/* Abs and Neg occur in shape arithmetic too. */
static gboolean signed_infer(LcipStep *step, GError **error) {
  return lcip_infer_one_of(step, 0, negatable_types, error) &&
         lcip_infer_set(step, 0, step->inputs[0].type, &step->inputs[0].shape, error);
}

#define PORTS(in, out)                                                                             \
  .inputs = in, .n_inputs = G_N_ELEMENTS(in), .outputs = out, .n_outputs = G_N_ELEMENTS(out)
#define ATTRS(table) .attrs = table, .n_attrs = G_N_ELEMENTS(table)

#define OPERATOR(id, NAME, SUMMARY, INFER, ...)                                                    \
  static const LcipOperator id = {.domain = "",                                                    \
                                  .name = NAME,                                                    \
                                  .summary = SUMMARY,                                              \
                                  .flags = LCIP_OP_ELEMENTWISE,                                    \
                                  .infer = INFER,                                                  \
                                  __VA_ARGS__}

OPERATOR(add, "Add", "A + B", arithmetic_infer, PORTS(binary_inputs, binary_outputs));
OPERATOR(sub, "Sub", "A - B", arithmetic_infer, PORTS(binary_inputs, binary_outputs));
OPERATOR(mul, "Mul", "A * B", arithmetic_infer, PORTS(binary_inputs, binary_outputs));
OPERATOR(divide, "Div", "A / B; integers are rounded towards zero", arithmetic_infer,
         PORTS(binary_inputs, binary_outputs));
OPERATOR(least, "Min", "Least of the operands", arithmetic_infer,
         PORTS(variadic_inputs, min_outputs));
OPERATOR(greatest, "Max", "Greatest of the operands", arithmetic_infer,
         PORTS(variadic_inputs, max_outputs));
OPERATOR(power, "Pow", "X to the power of Y", pow_infer, PORTS(pow_inputs, pow_outputs));
OPERATOR(relu, "Relu", "Negative elements become 0", lcip_infer_like_f32,
         PORTS(x_inputs, y_outputs));
OPERATOR(leaky_relu, "LeakyRelu", "Negative elements times alpha", lcip_infer_like_f32,
         PORTS(x_inputs, y_outputs), ATTRS(leaky_attrs));
OPERATOR(prelu, "PRelu", "Negative elements times slope", prelu_infer,
         PORTS(prelu_inputs, y_outputs));
OPERATOR(elu, "Elu", "Negative elements become alpha (e^x - 1)", lcip_infer_like_f32,
         PORTS(x_inputs, y_outputs), ATTRS(elu_attrs));
OPERATOR(sigmoid, "Sigmoid", "1 / (1 + e^-x)", lcip_infer_like_f32, PORTS(x_inputs, y_outputs));
OPERATOR(hard_sigmoid, "HardSigmoid", "alpha x + beta, between 0 and 1", lcip_infer_like_f32,
         PORTS(x_inputs, y_outputs), ATTRS(hard_sigmoid_attrs));
OPERATOR(hard_swish, "HardSwish", "x times (x / 6 + 0.5, between 0 and 1)", lcip_infer_like_f32,
         PORTS(x_inputs, y_outputs));
OPERATOR(swish, "Swish", "x / (1 + e^(-alpha x)); SiLU where alpha is 1", lcip_infer_like_f32,
         PORTS(x_inputs, y_outputs), ATTRS(swish_attrs));
OPERATOR(hyperbolic_tangent, "Tanh", "Hyperbolic tangent", lcip_infer_like_f32,
         PORTS(input_inputs, output_outputs));
OPERATOR(clip, "Clip", "Limits elements to [min, max]", clip_infer,
         PORTS(clip_inputs, output_outputs));
OPERATOR(softplus, "Softplus", "ln(1 + e^x)", lcip_infer_like_f32, PORTS(x_inputs, y_outputs));
OPERATOR(exponential, "Exp", "e^x", lcip_infer_like_f32, PORTS(input_inputs, output_outputs));
OPERATOR(logarithm, "Log", "Natural logarithm", lcip_infer_like_f32,
         PORTS(input_inputs, output_outputs));
OPERATOR(square_root, "Sqrt", "Square root", lcip_infer_like_f32, PORTS(x_inputs, y_outputs));
OPERATOR(absolute, "Abs", "Absolute value", signed_infer, PORTS(x_inputs, y_outputs));
OPERATOR(negative, "Neg", "-x", signed_infer, PORTS(x_inputs, y_outputs));
OPERATOR(rounded_down, "Floor", "Rounds down", lcip_infer_like_f32, PORTS(x_inputs, y_outputs));
OPERATOR(rounded_up, "Ceil", "Rounds up", lcip_infer_like_f32, PORTS(x_inputs, y_outputs));
OPERATOR(error_function, "Erf", "Error function", lcip_infer_like_f32,
         PORTS(input_inputs, output_outputs));

static const LcipOperator scaled_hard_swish = {
    .domain = "lcip",
    .name = "ScaledHardSwish",
    .summary = "alpha times x times (x + 3, between 0 and 6); made by the plan",
    .flags = LCIP_OP_ELEMENTWISE,
    .infer = lcip_infer_like_f32,
    PORTS(x_inputs, y_outputs),
    ATTRS(scaled_hard_swish_attrs)};

const LcipOperator *const lcip_operators_eltwise[] = {&add,
                                                      &sub,
                                                      &mul,
                                                      &divide,
                                                      &least,
                                                      &greatest,
                                                      &power,
                                                      &relu,
                                                      &leaky_relu,
                                                      &prelu,
                                                      &elu,
                                                      &sigmoid,
                                                      &hard_sigmoid,
                                                      &hard_swish,
                                                      &clip,
                                                      &softplus,
                                                      &exponential,
                                                      &logarithm,
                                                      &square_root,
                                                      &absolute,
                                                      &negative,
                                                      &rounded_down,
                                                      &rounded_up,
                                                      &error_function,
                                                      &hyperbolic_tangent,
                                                      &swish,
                                                      &scaled_hard_swish,
                                                      NULL};
