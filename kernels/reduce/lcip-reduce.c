#include "config.h"
#include "lcip-reduce.h"

gboolean lcip_reduce_axes(const LcipStep *step, int rank, gboolean *reduced, GError **error) {
  gint64 axes[LCIP_MAX_RANK];
  guint n = 0;
  for (int i = 0; i < LCIP_MAX_RANK; i++)
    reduced[i] = FALSE;
  if (lcip_step_has_input(step, 1) && (!lcip_infer_ints(step, 1, LCIP_MAX_RANK, axes, &n, error) ||
                                       !lcip_infer_axes(step, axes, n, rank, reduced, error)))
    return FALSE;
  if (n == 0 && lcip_attrs_get_int(step->attrs, "noop_with_empty_axes") == 0)
    for (int i = 0; i < rank; i++)
      reduced[i] = TRUE;
  return TRUE;
}

/* Nothing has a sum and a product, and as floats limits; it has no mean. */
static gboolean can_be_empty(const LcipStep *step) {
  static const char *const sums[] = {"ReduceSum", "ReduceProd", "ReduceL1", "ReduceSumSquare",
                                     NULL};
  if (lcip_step_is(step, "ReduceMean"))
    return FALSE;
  return step->inputs[0].type == LCIP_TYPE_F32 || g_strv_contains(sums, step->op->name);
}

static gboolean reduce_infer(LcipStep *step, GError **error) {
  static const LcipType types[] = {LCIP_TYPE_F32, LCIP_TYPE_I64, LCIP_TYPE_I32,
                                   LCIP_TYPE_U8,  LCIP_TYPE_I8,  LCIP_TYPE_NONE};
  static const LcipType order_types[] = {LCIP_TYPE_F32, LCIP_TYPE_I64,  LCIP_TYPE_I32, LCIP_TYPE_U8,
                                         LCIP_TYPE_I8,  LCIP_TYPE_BOOL, LCIP_TYPE_NONE};
  const gboolean order = lcip_step_is(step, "ReduceMax") || lcip_step_is(step, "ReduceMin");
  const LcipShape *in = &step->inputs[0].shape;
  const gboolean keep = lcip_attrs_get_int(step->attrs, "keepdims") != 0;
  gboolean reduced[LCIP_MAX_RANK];
  LcipShape shape = {0};
  if (!lcip_infer_one_of(step, 0, order ? order_types : types, error) ||
      !lcip_reduce_axes(step, in->rank, reduced, error))
    return FALSE;
  for (int i = 0; i < in->rank; i++) {
    if (reduced[i] && in->dims[i] < 1 && !can_be_empty(step))
      return lcip_infer_fail(error, "input data: expected elements along axis %d, found none", i);
    if (keep || !reduced[i])
      shape.dims[shape.rank++] = reduced[i] ? 1 : in->dims[i];
  }
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

static gboolean arg_infer(LcipStep *step, GError **error) {
  static const LcipType types[] = {LCIP_TYPE_F32, LCIP_TYPE_I64, LCIP_TYPE_I32, LCIP_TYPE_U8,
                                   LCIP_TYPE_I8,  LCIP_TYPE_I16, LCIP_TYPE_U16, LCIP_TYPE_NONE};
  const LcipShape *in = &step->inputs[0].shape;
  const gboolean keep = lcip_attrs_get_int(step->attrs, "keepdims") != 0;
  LcipShape shape = {0};
  int axis;
  if (!lcip_infer_one_of(step, 0, types, error) ||
      !lcip_infer_axis(step, lcip_attrs_get_int(step->attrs, "axis"), in->rank, &axis, error))
    return FALSE;
  if (in->dims[axis] < 1)
    return lcip_infer_fail(error, "input data: expected elements along axis %d, found none", axis);
  for (int i = 0; i < in->rank; i++)
    if (keep || i != axis)
      shape.dims[shape.rank++] = i == axis ? 1 : in->dims[i];
  return lcip_infer_set(step, 0, LCIP_TYPE_I64, &shape, error);
}

static void reduce_cost(const LcipStep *step, LcipCost *cost) {
  const double in = (double)lcip_shape_count(&step->inputs[0].shape);
  const double out = (double)lcip_shape_count(&step->outputs[0].shape);
  cost->flops = in;
  cost->bytes = (double)lcip_type_size(step->inputs[0].type) * (in + out);
}

static const LcipPortDef inputs[] = {
    {"data", LCIP_PORT_PLAIN, "Input"},
    {"axes", LCIP_PORT_OPTIONAL | LCIP_PORT_SHAPE, "Axes that are reduced; all when absent"}};
static const LcipPortDef outputs[] = {{"reduced", LCIP_PORT_PLAIN, "Result"}};
static const LcipAttrDef attrs[] = {
    {"keepdims", LCIP_ATTR_INT, FALSE, "1", 0, 1, NULL, NULL, "1: reduced axes stay, with size 1"},
    {"noop_with_empty_axes", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL,
     "1: without axes nothing is reduced"}};

#define OPERATOR(id, NAME, SUMMARY)                                                                \
  static const LcipOperator id = {.domain = "",                                                    \
                                  .name = NAME,                                                    \
                                  .summary = SUMMARY,                                              \
                                  .inputs = inputs,                                                \
                                  .n_inputs = G_N_ELEMENTS(inputs),                                \
                                  .outputs = outputs,                                              \
                                  .n_outputs = G_N_ELEMENTS(outputs),                              \
                                  .attrs = attrs,                                                  \
                                  .n_attrs = G_N_ELEMENTS(attrs),                                  \
                                  .infer = reduce_infer,                                           \
                                  .cost = reduce_cost}

OPERATOR(reduce_mean, "ReduceMean", "Mean along axes");
OPERATOR(reduce_sum, "ReduceSum", "Sum along axes");
OPERATOR(reduce_max, "ReduceMax", "Greatest element along axes");
OPERATOR(reduce_min, "ReduceMin", "Least element along axes");
OPERATOR(reduce_prod, "ReduceProd", "Product along axes");
OPERATOR(reduce_l1, "ReduceL1", "Sum of absolute values along axes");
OPERATOR(reduce_l2, "ReduceL2", "Root of the sum of squares along axes");
OPERATOR(reduce_log_sum, "ReduceLogSum", "Logarithm of the sum along axes");
OPERATOR(reduce_log_sum_exp, "ReduceLogSumExp", "Logarithm of the sum of exponentials along axes");
OPERATOR(reduce_sum_square, "ReduceSumSquare", "Sum of squares along axes");

static const LcipPortDef arg_inputs[] = {{"data", LCIP_PORT_PLAIN, "Input"}};
static const LcipAttrDef arg_attrs[] = {
    {"axis", LCIP_ATTR_INT, FALSE, "0", -LCIP_MAX_RANK, LCIP_MAX_RANK - 1, NULL, NULL,
     "Dimension that is searched"},
    {"keepdims", LCIP_ATTR_INT, FALSE, "1", 0, 1, NULL, NULL, "1: the axis stays, with size 1"},
    {"select_last_index", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL,
     "Of equal elements 0 takes the first, 1 the last"}};

#define ARG_OPERATOR(id, NAME, SUMMARY)                                                            \
  static const LcipOperator id = {.domain = "",                                                    \
                                  .name = NAME,                                                    \
                                  .summary = SUMMARY,                                              \
                                  .inputs = arg_inputs,                                            \
                                  .n_inputs = G_N_ELEMENTS(arg_inputs),                            \
                                  .outputs = outputs,                                              \
                                  .n_outputs = G_N_ELEMENTS(outputs),                              \
                                  .attrs = arg_attrs,                                              \
                                  .n_attrs = G_N_ELEMENTS(arg_attrs),                              \
                                  .infer = arg_infer,                                              \
                                  .cost = reduce_cost}

ARG_OPERATOR(arg_max, "ArgMax", "Index of the greatest element along an axis");
ARG_OPERATOR(arg_min, "ArgMin", "Index of the least element along an axis");

const LcipOperator *const lcip_operators_reduce[] = {&reduce_mean,
                                                     &reduce_sum,
                                                     &reduce_max,
                                                     &reduce_min,
                                                     &reduce_prod,
                                                     &reduce_l1,
                                                     &reduce_l2,
                                                     &reduce_log_sum,
                                                     &reduce_log_sum_exp,
                                                     &reduce_sum_square,
                                                     &arg_max,
                                                     &arg_min,
                                                     NULL};
