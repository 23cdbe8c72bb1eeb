#include "config.h"

#include "lcip-infer.h"

/* Inputs [1, n) hold one f32 per channel. */
static gboolean check_channels(const LcipStep *step, guint n, GError **error) {
  const LcipShape *x = &step->inputs[0].shape;
  if (!lcip_infer_expect(step, 0, LCIP_TYPE_F32, -1, error))
    return FALSE;
  if (x->rank < 2)
    return lcip_infer_fail(error, "input 0: expected rank 2 or more, found %d", x->rank);
  for (guint i = 1; i < n; i++) {
    if (!lcip_infer_expect(step, i, LCIP_TYPE_F32, 1, error))
      return FALSE;
    if (step->inputs[i].shape.dims[0] != x->dims[1])
      return lcip_infer_fail(error,
                             "input %s: expected %" G_GINT64_FORMAT
                             " values, one per channel, found %" G_GINT64_FORMAT,
                             step->op->inputs[i].name, x->dims[1], step->inputs[i].shape.dims[0]);
  }
  return TRUE;
}

static gboolean batch_norm_infer(LcipStep *step, GError **error) {
  if (lcip_attrs_get_int(step->attrs, "training_mode") != 0) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
                "attribute training_mode: expected 0, found 1");
    return FALSE;
  }
  return check_channels(step, 5, error) && lcip_infer_like_f32(step, error);
}

static gboolean instance_norm_infer(LcipStep *step, GError **error) {
  return check_channels(step, 3, error) && lcip_infer_like_f32(step, error);
}

static gboolean lrn_infer(LcipStep *step, GError **error) {
  return check_channels(step, 1, error) && lcip_infer_like_f32(step, error);
}

static void lrn_cost(const LcipStep *step, LcipCost *cost) {
  const double size = (double)lcip_attrs_get_int(step->attrs, "size");
  const double channels = (double)step->inputs[0].shape.dims[1];
  cost->flops = 2 * MIN(size, channels) * (double)lcip_shape_count(&step->outputs[0].shape);
}

static gboolean softmax_infer(LcipStep *step, GError **error) {
  int axis;
  return lcip_infer_expect(step, 0, LCIP_TYPE_F32, -1, error) &&
         lcip_infer_axis(step, lcip_attrs_get_int(step->attrs, "axis"), step->inputs[0].shape.rank,
                         &axis, error) &&
         lcip_infer_like_f32(step, error);
}

static const LcipPortDef batch_norm_inputs[] = {
    {"X", LCIP_PORT_PLAIN, "Input: n, c, then any dimensions"},
    {"scale", LCIP_PORT_PLAIN, "Factor per channel"},
    {"B", LCIP_PORT_PLAIN, "What is added per channel"},
    {"input_mean", LCIP_PORT_PLAIN, "Mean per channel"},
    {"input_var", LCIP_PORT_PLAIN, "Variance per channel"}};
static const LcipPortDef instance_norm_inputs[] = {
    {"input", LCIP_PORT_PLAIN, "Input: n, c, then any dimensions"},
    {"scale", LCIP_PORT_PLAIN, "Factor per channel"},
    {"B", LCIP_PORT_PLAIN, "What is added per channel"}};
static const LcipPortDef x_inputs[] = {{"X", LCIP_PORT_PLAIN, "Input: n, c, then any dimensions"}};
static const LcipPortDef y_outputs[] = {{"Y", LCIP_PORT_PLAIN, "Result, of the input's shape"}};
static const LcipPortDef input_inputs[] = {{"input", LCIP_PORT_PLAIN, "Input"}};
static const LcipPortDef output_outputs[] = {
    {"output", LCIP_PORT_PLAIN, "Result, of the input's shape"}};

static const LcipAttrDef batch_norm_attrs[] = {
    {"epsilon", LCIP_ATTR_FLOAT, FALSE, "1e-05", 0, 0, NULL, NULL,
     "Added to the variance, so that nothing is divided by 0"},
    {"momentum", LCIP_ATTR_FLOAT, FALSE, "0.9", 0, 0, NULL, NULL, "Concerns training only"},
    {"training_mode", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL, "Must be 0"}};
static const LcipAttrDef instance_norm_attrs[] = {
    {"epsilon", LCIP_ATTR_FLOAT, FALSE, "1e-05", 0, 0, NULL, NULL,
     "Added to the variance, so that nothing is divided by 0"}};
static const LcipAttrDef lrn_attrs[] = {
    {"alpha", LCIP_ATTR_FLOAT, FALSE, "0.0001", 0, 0, NULL, NULL, "Factor of the sum of squares"},
    {"beta", LCIP_ATTR_FLOAT, FALSE, "0.75", 0, 0, NULL, NULL, "Exponent"},
    {"bias", LCIP_ATTR_FLOAT, FALSE, "1", 0, 0, NULL, NULL, "Added to the sum"},
    {"size", LCIP_ATTR_INT, TRUE, NULL, 1, G_MAXINT32, NULL, "channels",
     "Channels that are summed"}};
static const LcipAttrDef softmax_attrs[] = {{"axis", LCIP_ATTR_INT, FALSE, "-1", -LCIP_MAX_RANK,
                                             LCIP_MAX_RANK - 1, NULL, NULL,
                                             "Dimension whose elements add up to 1"}};

#define PORTS(in, out)                                                                             \
  .inputs = in, .n_inputs = G_N_ELEMENTS(in), .outputs = out, .n_outputs = G_N_ELEMENTS(out)
#define ATTRS(table) .attrs = table, .n_attrs = G_N_ELEMENTS(table)
#define OPERATOR(id, NAME, SUMMARY, INFER, ...)                                                    \
  static const LcipOperator id = {                                                                 \
      .domain = "", .name = NAME, .summary = SUMMARY, .infer = INFER, __VA_ARGS__}

OPERATOR(batch_norm, "BatchNormalization", "Normalizes each channel with known mean and variance",
         batch_norm_infer, PORTS(batch_norm_inputs, y_outputs), ATTRS(batch_norm_attrs));
OPERATOR(instance_norm, "InstanceNormalization",
         "Normalizes each channel of each image with its own mean and variance",
         instance_norm_infer, PORTS(instance_norm_inputs, output_outputs),
         ATTRS(instance_norm_attrs));
OPERATOR(lrn, "LRN", "Divides by the strength of neighbouring channels", lrn_infer,
         PORTS(x_inputs, y_outputs), ATTRS(lrn_attrs), .cost = lrn_cost);
OPERATOR(softmax, "Softmax", "Exponentials that add up to 1 along an axis", softmax_infer,
         PORTS(input_inputs, output_outputs), ATTRS(softmax_attrs));
OPERATOR(log_softmax, "LogSoftmax", "Logarithm of Softmax", softmax_infer,
         PORTS(input_inputs, output_outputs), ATTRS(softmax_attrs));

const LcipOperator *const lcip_operators_norm[] = {&batch_norm, &instance_norm, &lrn,
                                                   &softmax,    &log_softmax,   NULL};
