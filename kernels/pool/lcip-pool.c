#include "config.h"

#include "lcip-window.h"

static const LcipPortDef pool_inputs[] = {
    {"X", LCIP_PORT_PLAIN, "Input: n, c, then the spatial dimensions"},
};

static const LcipPortDef pool_outputs[] = {
    {"Y", LCIP_PORT_PLAIN, "Output: n, c, then the spatial dimensions"},
};

static const LcipPortDef max_pool_outputs[] = {
    {"Y", LCIP_PORT_PLAIN, "Output: n, c, then the spatial dimensions"},
    {"Indices", LCIP_PORT_OPTIONAL, "Index of each maximum in the whole flattened input"},
};

#define POOL_ATTRS                                                                                 \
  {"auto_pad",                                                                                     \
   LCIP_ATTR_STRING,                                                                               \
   FALSE,                                                                                          \
   "NOTSET",                                                                                       \
   0,                                                                                              \
   0,                                                                                              \
   lcip_window_auto_pads,                                                                          \
   NULL,                                                                                           \
   "How padding is found: from pads, so that the output is the input's size divided by the "       \
   "stride, or none"},                                                                             \
      {"ceil_mode",                                                                                \
       LCIP_ATTR_INT,                                                                              \
       FALSE,                                                                                      \
       "0",                                                                                        \
       0,                                                                                          \
       1,                                                                                          \
       NULL,                                                                                       \
       NULL,                                                                                       \
       "1: the output's size is rounded up, a last window may reach beyond the input"},            \
      {"dilations",                                                                                \
       LCIP_ATTR_INTS,                                                                             \
       FALSE,                                                                                      \
       NULL,                                                                                       \
       1,                                                                                          \
       G_MAXINT32,                                                                                 \
       NULL,                                                                                       \
       "elements",                                                                                 \
       "Distance between window elements per spatial dimension; 1 when not given"},                \
      {"kernel_shape", LCIP_ATTR_INTS,      TRUE, NULL, 1, G_MAXINT32, NULL,                       \
       "elements",     "Size of the window"},                                                      \
      {"pads",                                                                                     \
       LCIP_ATTR_INTS,                                                                             \
       FALSE,                                                                                      \
       NULL,                                                                                       \
       0,                                                                                          \
       G_MAXINT32,                                                                                 \
       NULL,                                                                                       \
       "elements",                                                                                 \
       "Padding at the begin of each spatial dimension, then at the end of each; 0 when not "      \
       "given"},                                                                                   \
  {                                                                                                \
    "strides", LCIP_ATTR_INTS, FALSE, NULL, 1, G_MAXINT32, NULL, "elements",                       \
        "Distance between windows per spatial dimension; 1 when not given"                         \
  }

static const LcipAttrDef average_attrs[] = {
    POOL_ATTRS,
    {"count_include_pad", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL,
     "1: padding counts as elements of value 0"},
};

static const LcipAttrDef max_attrs[] = {
    POOL_ATTRS,
    {"storage_order", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL,
     "Order in which Indices count: 0 row by row, 1 column by column"},
};

#define P_ATTR                                                                                     \
  { "p", LCIP_ATTR_INT, FALSE, "2", 1, G_MAXINT32, NULL, NULL, "Exponent of the norm" }

static const LcipAttrDef lp_attrs[] = {POOL_ATTRS, P_ATTR};
static const LcipAttrDef global_lp_attrs[] = {P_ATTR};

static gboolean pool_infer(LcipStep *step, GError **error) {
  static const LcipType max_types[] = {LCIP_TYPE_F32, LCIP_TYPE_U8, LCIP_TYPE_I8, LCIP_TYPE_NONE};
  static const LcipType other_types[] = {LCIP_TYPE_F32, LCIP_TYPE_NONE};
  LcipWindow window;
  if (!lcip_infer_one_of(step, 0, lcip_step_is(step, "MaxPool") ? max_types : other_types, error) ||
      !lcip_window_init(&window, LCIP_WINDOW_POOL, step, &step->inputs[0].shape, NULL, error))
    return FALSE;
  LcipShape shape = step->inputs[0].shape;
  for (int i = 0; i < window.rank; i++)
    shape.dims[2 + i] = window.out[3 - window.rank + i];
  for (guint i = 1; i < step->n_outputs; i++)
    if (!lcip_infer_set(step, i, LCIP_TYPE_I64, &shape, error))
      return FALSE;
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

static void pool_cost(const LcipStep *step, LcipCost *cost) {
  guint n;
  const gint64 *kernel = lcip_attrs_get_ints(step->attrs, "kernel_shape", &n);
  double taps = 1;
  for (guint i = 0; i < n; i++)
    taps *= (double)kernel[i];
  const double in = (double)lcip_shape_count(&step->inputs[0].shape);
  const double out = (double)lcip_shape_count(&step->outputs[0].shape);
  cost->flops = taps * out;
  cost->bytes = 4.0 * (in + out);
}

static gboolean global_infer(LcipStep *step, GError **error) {
  LcipShape shape = step->inputs[0].shape;
  if (!lcip_infer_expect(step, 0, LCIP_TYPE_F32, -1, error))
    return FALSE;
  if (shape.rank < 3)
    return lcip_infer_fail(error, "input X: expected rank 3 or more, found rank %d", shape.rank);
  for (int i = 2; i < shape.rank; i++) {
    if (shape.dims[i] < 1)
      return lcip_infer_fail(
          error, "input X: expected spatial sizes of at least 1, found %" G_GINT64_FORMAT,
          shape.dims[i]);
    shape.dims[i] = 1;
  }
  return lcip_infer_set(step, 0, LCIP_TYPE_F32, &shape, error);
}

static void global_cost(const LcipStep *step, LcipCost *cost) {
  const double in = (double)lcip_shape_count(&step->inputs[0].shape);
  cost->flops = in;
  cost->bytes = 4.0 * (in + (double)lcip_shape_count(&step->outputs[0].shape));
}

static const LcipOperator max_pool = {
    .domain = "",
    .name = "MaxPool",
    .summary = "Largest element of each window",
    .inputs = pool_inputs,
    .n_inputs = G_N_ELEMENTS(pool_inputs),
    .outputs = max_pool_outputs,
    .n_outputs = G_N_ELEMENTS(max_pool_outputs),
    .attrs = max_attrs,
    .n_attrs = G_N_ELEMENTS(max_attrs),
    .infer = pool_infer,
    .cost = pool_cost,
};

static const LcipOperator average_pool = {
    .domain = "",
    .name = "AveragePool",
    .summary = "Mean of each window",
    .inputs = pool_inputs,
    .n_inputs = G_N_ELEMENTS(pool_inputs),
    .outputs = pool_outputs,
    .n_outputs = G_N_ELEMENTS(pool_outputs),
    .attrs = average_attrs,
    .n_attrs = G_N_ELEMENTS(average_attrs),
    .infer = pool_infer,
    .cost = pool_cost,
};

static const LcipOperator global_max_pool = {
    .domain = "",
    .name = "GlobalMaxPool",
    .summary = "Largest element of each channel",
    .inputs = pool_inputs,
    .n_inputs = G_N_ELEMENTS(pool_inputs),
    .outputs = pool_outputs,
    .n_outputs = G_N_ELEMENTS(pool_outputs),
    .infer = global_infer,
    .cost = global_cost,
};

static const LcipOperator global_average_pool = {
    .domain = "",
    .name = "GlobalAveragePool",
    .summary = "Mean of each channel",
    .inputs = pool_inputs,
    .n_inputs = G_N_ELEMENTS(pool_inputs),
    .outputs = pool_outputs,
    .n_outputs = G_N_ELEMENTS(pool_outputs),
    .infer = global_infer,
    .cost = global_cost,
};

static const LcipOperator lp_pool = {
    .domain = "",
    .name = "LpPool",
    .summary = "p-norm of each window",
    .inputs = pool_inputs,
    .n_inputs = G_N_ELEMENTS(pool_inputs),
    .outputs = pool_outputs,
    .n_outputs = G_N_ELEMENTS(pool_outputs),
    .attrs = lp_attrs,
    .n_attrs = G_N_ELEMENTS(lp_attrs),
    .infer = pool_infer,
    .cost = pool_cost,
};

static const LcipOperator global_lp_pool = {
    .domain = "",
    .name = "GlobalLpPool",
    .summary = "p-norm of each channel",
    .inputs = pool_inputs,
    .n_inputs = G_N_ELEMENTS(pool_inputs),
    .outputs = pool_outputs,
    .n_outputs = G_N_ELEMENTS(pool_outputs),
    .attrs = global_lp_attrs,
    .n_attrs = G_N_ELEMENTS(global_lp_attrs),
    .infer = global_infer,
    .cost = global_cost,
};

const LcipOperator *const lcip_operators_pool[] = {
    &max_pool,       &average_pool, &lp_pool, &global_max_pool, &global_average_pool,
    &global_lp_pool, NULL};
