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

static gboolean reduce_infer(LcipStep *step, GError **error) {
  static const LcipType types[] = {LCIP_TYPE_F32, LCIP_TYPE_I64, LCIP_TYPE_I32, LCIP_TYPE_NONE};
  const LcipShape *in = &step->inputs[0].shape;
  const gboolean keep = lcip_attrs_get_int(step->attrs, "keepdims") != 0;
  gboolean reduced[LCIP_MAX_RANK];
  LcipShape shape = {0};
  if (!lcip_infer_one_of(step, 0, types, error) ||
      !lcip_reduce_axes(step, in->rank, reduced, error))
    return FALSE;
  for (int i = 0; i < in->rank; i++) {
    if (reduced[i] && in->dims[i] < 1 && !lcip_step_is(step, "ReduceSum"))
      return lcip_infer_fail(error, "input data: expected elements along axis %d, found none", i);
    if (keep || !reduced[i])
      shape.dims[shape.rank++] = reduced[i] ? 1 : in->dims[i];
  }
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
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

const LcipOperator *const lcip_operators_reduce[] = {&reduce_mean, &reduce_sum, &reduce_max, NULL};
