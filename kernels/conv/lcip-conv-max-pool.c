#include "config.h"

#include "lcip-conv-max-pool.h"

static const LcipOperator *conv_operator(void) {
  return lcip_operator_find("", "Conv");
}

gboolean lcip_conv_max_pool_between(const LcipStep *step, const LcipShape *x, LcipShape *between,
                                    GError **error) {
  const LcipShape *w = &step->inputs[1].shape;
  LcipWindow window;
  if (!lcip_window_init(&window, LCIP_WINDOW_CONV, step, x, w, error))
    return FALSE;
  const gint64 dims[] = {x->dims[0], w->dims[0], window.out[1], window.out[2]};
  *between = lcip_shape_from_dims(4, dims);
  return TRUE;
}

LcipStep lcip_conv_max_pool_conv(const LcipStep *step, LcipTensorSpec *between) {
  LcipStep conv = *step;
  conv.op = conv_operator();
  conv.n_inputs = step->n_anchor_inputs;
  conv.n_outputs = 1;
  conv.outputs = between;
  conv.n_epilogues = 0;
  return conv;
}

static gboolean conv_max_pool_infer(LcipStep *step, GError **error) {
  LcipTensorSpec between = {0};
  LcipStep conv = lcip_conv_max_pool_conv(step, &between);
  if (!lcip_infer_expect(step, 0, LCIP_TYPE_F32, 4, error) || !conv.op->infer(&conv, error))
    return FALSE;
  LcipShape shape = between.shape;
  if (MIN(shape.dims[2], shape.dims[3]) < LCIP_CONV_MAX_POOL_SIZE)
    return lcip_infer_fail(error,
                           "input X: expected a convolution's result of at least 2x2, found "
                           "%" G_GINT64_FORMAT "x%" G_GINT64_FORMAT,
                           shape.dims[2], shape.dims[3]);
  shape.dims[2] /= LCIP_CONV_MAX_POOL_SIZE;
  shape.dims[3] /= LCIP_CONV_MAX_POOL_SIZE;
  return lcip_infer_set(step, 0, LCIP_TYPE_F32, &shape, error);
}

/* One FLOP for each value that is pooled. */
static void conv_max_pool_cost(const LcipStep *step, LcipCost *cost) {
  LcipTensorSpec between = step->outputs[0];
  const LcipStep conv = lcip_conv_max_pool_conv(step, &between);
  if (!lcip_conv_max_pool_between(step, &step->inputs[0].shape, &between.shape, NULL))
    return;
  conv.op->cost(&conv, cost);
  const double values = (double)lcip_shape_count(&between.shape);
  cost->flops += values;
  cost->bytes += 4.0 * ((double)lcip_shape_count(&step->outputs[0].shape) - values);
}

static const LcipPortDef conv_max_pool_inputs[] = {
    {"X", LCIP_PORT_PLAIN, "Input: n, c, h, w"},
    {"W", LCIP_PORT_PLAIN, "Weights of the convolution"},
    {"B", LCIP_PORT_OPTIONAL, "Its bias"},
};
static const LcipPortDef conv_max_pool_outputs[] = {{"Y", LCIP_PORT_PLAIN, "What is pooled"}};
static const LcipAttrDef conv_max_pool_attrs[] = {
    {"auto_pad", LCIP_ATTR_STRING, FALSE, "NOTSET", 0, 0, lcip_window_auto_pads, NULL,
     "As of Conv"},
    {"dilations", LCIP_ATTR_INTS, FALSE, NULL, 1, G_MAXINT32, NULL, "elements", "As of Conv"},
    {"group", LCIP_ATTR_INT, FALSE, "1", 1, G_MAXINT32, NULL, NULL, "As of Conv"},
    {"kernel_shape", LCIP_ATTR_INTS, FALSE, NULL, 1, G_MAXINT32, NULL, "elements", "As of Conv"},
    {"pads", LCIP_ATTR_INTS, FALSE, NULL, 0, G_MAXINT32, NULL, "elements", "As of Conv"},
    {"strides", LCIP_ATTR_INTS, FALSE, NULL, 1, G_MAXINT32, NULL, "elements", "As of Conv"},
};

static const LcipOperator conv_max_pool = {
    .domain = "lcip",
    .name = "ConvMaxPool",
    .summary = "Convolution and the largest of each 2x2 of its results; made by the plan",
    .inputs = conv_max_pool_inputs,
    .n_inputs = G_N_ELEMENTS(conv_max_pool_inputs),
    .outputs = conv_max_pool_outputs,
    .n_outputs = G_N_ELEMENTS(conv_max_pool_outputs),
    .attrs = conv_max_pool_attrs,
    .n_attrs = G_N_ELEMENTS(conv_max_pool_attrs),
    .infer = conv_max_pool_infer,
    .cost = conv_max_pool_cost,
};

const LcipOperator *const lcip_operators_conv_max_pool[] = {&conv_max_pool, NULL};
