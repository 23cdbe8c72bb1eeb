#include "config.h"

#include "lcip-element.h"

/* Functions of one element that no fast kernel and no fusion knows. */

static gboolean same_infer(LcipStep *step, GError **error) {
  return lcip_infer_set(step, 0, step->inputs[0].type, &step->inputs[0].shape, error);
}

static gboolean test_infer(LcipStep *step, GError **error) {
  return lcip_infer_expect(step, 0, LCIP_TYPE_F32, -1, error) &&
         lcip_infer_set(step, 0, LCIP_TYPE_BOOL, &step->inputs[0].shape, error);
}

static gboolean not_infer(LcipStep *step, GError **error) {
  return lcip_infer_expect(step, 0, LCIP_TYPE_BOOL, -1, error) && same_infer(step, error);
}

static const LcipPortDef x_inputs[] = {{"X", LCIP_PORT_PLAIN, "Input"}};
static const LcipPortDef y_outputs[] = {{"Y", LCIP_PORT_PLAIN, "Result, of the input's shape"}};
static const LcipPortDef input_inputs[] = {{"input", LCIP_PORT_PLAIN, "Input"}};
static const LcipPortDef output_outputs[] = {
    {"output", LCIP_PORT_PLAIN, "Result, of the input's shape"}};

static const LcipAttrDef selu_attrs[] = {
    {"alpha", LCIP_ATTR_FLOAT, FALSE, "1.67326319217681884765625", 0, 0, NULL, NULL,
     "Factor of the exponential part"},
    {"gamma", LCIP_ATTR_FLOAT, FALSE, "1.05070102214813232421875", 0, 0, NULL, NULL,
     "Factor of the whole"}};
static const LcipAttrDef celu_attrs[] = {{"alpha", LCIP_ATTR_FLOAT, FALSE, "1", 0, 0, NULL, NULL,
                                          "Scale of the exponential part; not 0"}};
static const LcipAttrDef threshold_attrs[] = {
    {"alpha", LCIP_ATTR_FLOAT, FALSE, "1", 0, 0, NULL, NULL, "What elements must exceed"}};
static const LcipAttrDef shrink_attrs[] = {
    {"bias", LCIP_ATTR_FLOAT, FALSE, "0", 0, 0, NULL, NULL, "What elements move towards 0 by"},
    {"lambd", LCIP_ATTR_FLOAT, FALSE, "0.5", 0, 0, NULL, NULL, "Elements within become 0"}};
static const char *const approximations[] = {"none", "tanh", NULL};
static const LcipAttrDef gelu_attrs[] = {{"approximate", LCIP_ATTR_STRING, FALSE, "none", 0, 0,
                                          approximations, NULL, "How the error function is found"}};
static const LcipAttrDef is_inf_attrs[] = {
    {"detect_negative", LCIP_ATTR_INT, FALSE, "1", 0, 1, NULL, NULL, "1: -infinity counts"},
    {"detect_positive", LCIP_ATTR_INT, FALSE, "1", 0, 1, NULL, NULL, "1: infinity counts"}};

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
#define FUNCTION(id, NAME, SUMMARY)                                                                \
  OPERATOR(id, NAME, SUMMARY, lcip_infer_like_f32, PORTS(input_inputs, output_outputs))

FUNCTION(sine, "Sin", "Sine");
FUNCTION(cosine, "Cos", "Cosine");
FUNCTION(tangent, "Tan", "Tangent");
FUNCTION(arc_sine, "Asin", "Arc sine");
FUNCTION(arc_cosine, "Acos", "Arc cosine");
FUNCTION(arc_tangent, "Atan", "Arc tangent");
FUNCTION(hyperbolic_sine, "Sinh", "Hyperbolic sine");
FUNCTION(hyperbolic_cosine, "Cosh", "Hyperbolic cosine");
FUNCTION(area_sine, "Asinh", "Inverse hyperbolic sine");
FUNCTION(area_cosine, "Acosh", "Inverse hyperbolic cosine");
FUNCTION(area_tangent, "Atanh", "Inverse hyperbolic tangent");
FUNCTION(softsign, "Softsign", "x / (1 + |x|)");
OPERATOR(reciprocal, "Reciprocal", "1 / x", lcip_infer_like_f32, PORTS(x_inputs, y_outputs));
OPERATOR(rounded, "Round", "Rounds to the nearest integer, halves to the even one",
         lcip_infer_like_f32, PORTS(x_inputs, y_outputs));
OPERATOR(sign, "Sign", "-1, 0 or 1", same_infer, PORTS(input_inputs, output_outputs));
OPERATOR(selu, "Selu", "gamma (x, or alpha (e^x - 1) below 0)", lcip_infer_like_f32,
         PORTS(x_inputs, y_outputs), ATTRS(selu_attrs));
OPERATOR(celu, "Celu", "x, or alpha (e^(x / alpha) - 1) below 0", lcip_infer_like_f32,
         PORTS(x_inputs, y_outputs), ATTRS(celu_attrs));
OPERATOR(thresholded_relu, "ThresholdedRelu", "x where it exceeds alpha, else 0",
         lcip_infer_like_f32, PORTS(x_inputs, y_outputs), ATTRS(threshold_attrs));
OPERATOR(shrink, "Shrink", "Moves elements towards 0; small ones become 0", same_infer,
         PORTS(input_inputs, output_outputs), ATTRS(shrink_attrs));
OPERATOR(mish, "Mish", "x tanh(ln(1 + e^x))", lcip_infer_like_f32, PORTS(x_inputs, y_outputs));
OPERATOR(gelu, "Gelu", "x times the normal distribution's share below x", lcip_infer_like_f32,
         PORTS(x_inputs, y_outputs), ATTRS(gelu_attrs));
OPERATOR(not_op, "Not", "True where the input is false", not_infer, PORTS(x_inputs, y_outputs));
OPERATOR(is_nan, "IsNaN", "True where the input is no number", test_infer,
         PORTS(x_inputs, y_outputs));
OPERATOR(is_inf, "IsInf", "True where the input is infinite", test_infer,
         PORTS(x_inputs, y_outputs), ATTRS(is_inf_attrs));

const LcipOperator *const lcip_operators_math[] = {&sine,
                                                   &cosine,
                                                   &tangent,
                                                   &arc_sine,
                                                   &arc_cosine,
                                                   &arc_tangent,
                                                   &hyperbolic_sine,
                                                   &hyperbolic_cosine,
                                                   &area_sine,
                                                   &area_cosine,
                                                   &area_tangent,
                                                   &softsign,
                                                   &reciprocal,
                                                   &rounded,
                                                   &sign,
                                                   &selu,
                                                   &celu,
                                                   &thresholded_relu,
                                                   &shrink,
                                                   &mish,
                                                   &gelu,
                                                   &not_op,
                                                   &is_nan,
                                                   &is_inf,
                                                   NULL};
