#include "config.h"

#include "lcip-broadcast.h"
#include "lcip-infer.h"

/* Normalisation with statistics of the input itself. */

/* Optional input @i is f32 and broadcasts to @shape. */
static gboolean broadcasts(const LcipStep *step, guint i, const LcipShape *shape, GError **error) {
  LcipShape wide = *shape;
  if (!lcip_step_has_input(step, i))
    return TRUE;
  if (!lcip_infer_expect(step, i, LCIP_TYPE_F32, -1, error))
    return FALSE;
  if (lcip_broadcast_shape(&wide, &step->inputs[i].shape) && lcip_shape_equal(&wide, shape))
    return TRUE;
  g_autofree char *expected = lcip_shape_to_string(shape);
  g_autofree char *found = lcip_shape_to_string(&step->inputs[i].shape);
  return lcip_infer_fail(error, "input %s: expected a shape that broadcasts to %s, found %s",
                         step->op->inputs[i].name, expected, found);
}

static gboolean layer_norm_infer(LcipStep *step, GError **error) {
  LcipShape shape = step->inputs[0].shape, inner = {0};
  int axis;
  if (!lcip_infer_axis(step, lcip_attrs_get_int(step->attrs, "axis"), shape.rank, &axis, error))
    return FALSE;
  for (int i = axis; i < shape.rank; i++)
    inner.dims[inner.rank++] = shape.dims[i];
  if (!broadcasts(step, 1, &inner, error) || !broadcasts(step, 2, &inner, error) ||
      !lcip_infer_like_f32(step, error))
    return FALSE;
  for (int i = axis; i < shape.rank; i++)
    shape.dims[i] = 1;
  for (guint i = 1; i < step->n_outputs; i++)
    if (!lcip_infer_set(step, i, LCIP_TYPE_F32, &shape, error))
      return FALSE;
  return TRUE;
}

static gboolean group_norm_infer(LcipStep *step, GError **error) {
  const LcipShape *x = &step->inputs[0].shape;
  const gint64 groups = lcip_attrs_get_int(step->attrs, "num_groups");
  if (x->rank < 3 || x->dims[1] % groups != 0)
    return lcip_infer_fail(error,
                           "input X: expected rank 3 or more and a multiple of %" G_GINT64_FORMAT
                           " channels, found another",
                           groups);
  for (guint i = 1; i < 3; i++) {
    if (!lcip_infer_expect(step, i, LCIP_TYPE_F32, 1, error))
      return FALSE;
    const gint64 n = step->inputs[i].shape.dims[0];
    if (n != x->dims[1] && n != groups)
      return lcip_infer_fail(error,
                             "input %s: expected %" G_GINT64_FORMAT
                             " values, one per channel, or %" G_GINT64_FORMAT
                             ", one per group, found %" G_GINT64_FORMAT,
                             step->op->inputs[i].name, x->dims[1], groups, n);
  }
  return lcip_infer_like_f32(step, error);
}

static gboolean axis_infer(LcipStep *step, GError **error) {
  int axis;
  return lcip_infer_axis(step, lcip_attrs_get_int(step->attrs, "axis"), step->inputs[0].shape.rank,
                         &axis, error) &&
         lcip_infer_like_f32(step, error);
}

static gboolean mvn_infer(LcipStep *step, GError **error) {
  gboolean marked[LCIP_MAX_RANK] = {FALSE};
  guint n;
  const gint64 *axes = lcip_attrs_get_ints(step->attrs, "axes", &n);
  return lcip_infer_axes(step, axes, n, step->inputs[0].shape.rank, marked, error) &&
         lcip_infer_like_f32(step, error);
}

static const LcipPortDef layer_inputs[] = {
    {"X", LCIP_PORT_PLAIN, "Input"},
    {"Scale", LCIP_PORT_PLAIN, "Factor, broadcast to the dimensions from the axis on"},
    {"B", LCIP_PORT_OPTIONAL, "What is added, broadcast likewise"}};
static const LcipPortDef layer_outputs[] = {
    {"Y", LCIP_PORT_PLAIN, "Result, of the input's shape"},
    {"Mean", LCIP_PORT_OPTIONAL, "Means that were taken out"},
    {"InvStdDev", LCIP_PORT_OPTIONAL, "Factors that were applied"}};
static const LcipPortDef group_inputs[] = {
    {"X", LCIP_PORT_PLAIN, "Input: n, c, then any dimensions"},
    {"scale", LCIP_PORT_PLAIN, "Factor per channel, or per group as up to opset 20"},
    {"bias", LCIP_PORT_PLAIN, "What is added, likewise"}};
static const LcipPortDef input_inputs[] = {{"input", LCIP_PORT_PLAIN, "Input"}};
static const LcipPortDef output_outputs[] = {
    {"output", LCIP_PORT_PLAIN, "Result, of the input's shape"}};

#define EPSILON_ATTR                                                                               \
  {                                                                                                \
    "epsilon", LCIP_ATTR_FLOAT, FALSE, "1e-05", 0, 0, NULL, NULL,                                  \
        "Added to the variance, so that nothing is divided by 0"                                   \
  }
#define AXIS_ATTR(help)                                                                            \
  { "axis", LCIP_ATTR_INT, FALSE, "-1", -LCIP_MAX_RANK, LCIP_MAX_RANK - 1, NULL, NULL, help }
static const LcipAttrDef layer_attrs[] = {
    AXIS_ATTR("First of the dimensions that are normalized together"),
    EPSILON_ATTR,
    {"stash_type", LCIP_ATTR_INT, FALSE, "1", 0, 23, NULL, NULL,
     "Type of the statistics; LCIP computes in f64"}};
static const LcipAttrDef group_attrs[] = {EPSILON_ATTR,
                                          {"num_groups", LCIP_ATTR_INT, TRUE, NULL, 1, G_MAXINT32,
                                           NULL, NULL,
                                           "Groups of channels that are normalized together"},
                                          {"stash_type", LCIP_ATTR_INT, FALSE, "1", 0, 23, NULL,
                                           NULL, "Type of the statistics; LCIP computes in f64"}};
static const LcipAttrDef lp_attrs[] = {
    AXIS_ATTR("Dimension whose lines get length 1"),
    {"p", LCIP_ATTR_INT, FALSE, "2", 1, 2, NULL, NULL, "1: absolute values, 2: squares"}};
static const LcipAttrDef hardmax_attrs[] = {AXIS_ATTR("Dimension along which one element is 1")};
static const LcipAttrDef mvn_attrs[] = {{"axes", LCIP_ATTR_INTS, FALSE, "0 2 3", -LCIP_MAX_RANK,
                                         LCIP_MAX_RANK - 1, NULL, NULL,
                                         "Dimensions that are normalized together"}};

#define PORTS(in, out)                                                                             \
  .inputs = in, .n_inputs = G_N_ELEMENTS(in), .outputs = out, .n_outputs = G_N_ELEMENTS(out)
#define ATTRS(table) .attrs = table, .n_attrs = G_N_ELEMENTS(table)
#define OPERATOR(id, NAME, SUMMARY, INFER, ...)                                                    \
  static const LcipOperator id = {                                                                 \
      .domain = "", .name = NAME, .summary = SUMMARY, .infer = INFER, __VA_ARGS__}

OPERATOR(layer_norm, "LayerNormalization", "Normalizes the last dimensions together",
         layer_norm_infer, PORTS(layer_inputs, layer_outputs), ATTRS(layer_attrs));
OPERATOR(group_norm, "GroupNormalization", "Normalizes groups of channels together",
         group_norm_infer, PORTS(group_inputs, output_outputs), ATTRS(group_attrs));
OPERATOR(lp_norm, "LpNormalization", "Divides lines by their length", axis_infer,
         PORTS(input_inputs, output_outputs), ATTRS(lp_attrs));
OPERATOR(hardmax, "Hardmax", "1 for the first greatest element of a line, else 0", axis_infer,
         PORTS(input_inputs, output_outputs), ATTRS(hardmax_attrs));
OPERATOR(mvn, "MeanVarianceNormalization", "Mean 0 and variance 1 over dimensions", mvn_infer,
         PORTS(input_inputs, output_outputs), ATTRS(mvn_attrs));

const LcipOperator *const lcip_operators_layer_norm[] = {&layer_norm, &group_norm, &lp_norm,
                                                         &hardmax,    &mvn,        NULL};
