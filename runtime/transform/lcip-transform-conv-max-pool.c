#include "config.h"
#include "lcip-ir.h"

/* A convolution whose result a MaxPool of 2x2 pixels alone reads becomes one step with it, which
 * does not store that result. Runs after activations have been fused: those that never decrease
 * give the same after the pool, of a fourth of the values. */

static gboolean is_operator(const LcipIrNode *node, const char *name) {
  return !node->removed && node->kind == LCIP_IR_OPERATOR && !node->pin &&
         *node->op->domain == '\0' && g_str_equal(node->op->name, name) &&
         node->inputs->len == node->n_anchor_inputs;
}

static gboolean never_decreases(const LcipEpilogue *epilogue) {
  const char *name = epilogue->op->name;
  if (*epilogue->op->domain)
    return FALSE;
  if (g_str_equal(name, "LeakyRelu"))
    return lcip_attrs_get_float(epilogue->attrs, "alpha") >= 0;
  return g_str_equal(name, "Relu") || g_str_equal(name, "Clip");
}

/* One that Winograd's kernels take, with such activations only. */
static gboolean is_conv(const LcipIr *ir, const LcipIrNode *node, const char *const *families) {
  if (!is_operator(node, "Conv") || node->outputs->len != 1)
    return FALSE;
  for (guint i = 0; i < node->n_epilogues; i++)
    if (!never_decreases(&node->epilogues[i]))
      return FALSE;
  const LcipLane *lane = ir->graph->lanes->pdata[node->lane];
  const LcipKernel *kernel = lcip_ir_best_kernel(ir, node, lane->kind, families);
  return kernel && kernel->numerics == LCIP_NUMERICS_WINOGRAD;
}

/* What storing the convolution's result and reading it for the pool adds to it, about. */
#define POOL_APART 1.03

/* Tiles of odd sides, into which no pool can be fused, may gain more. */
static gboolean pays(const LcipIr *ir, const LcipIrNode *conv, const LcipOperator *op,
                     const char *const *families) {
  const LcipLane *lane = ir->graph->lanes->pdata[conv->lane];
  const double joined = lcip_ir_least_estimate(ir, conv, op, lane->kind, families);
  const double apart = lcip_ir_least_estimate(ir, conv, conv->op, lane->kind, families);
  return joined <= apart * POOL_APART;
}

/* Two numbers @value, or none where @none is that too. */
static gboolean all_are(const LcipAttrs *attrs, const char *name, gint64 value, gint64 none) {
  guint n;
  const gint64 *values = lcip_attrs_get_ints(attrs, name, &n);
  if (!values)
    return none == value;
  for (guint i = 0; i < n; i++)
    if (values[i] != value)
      return FALSE;
  return TRUE;
}

static gboolean is_pool(const LcipIrNode *node) {
  if (!is_operator(node, "MaxPool") || node->outputs->len != 1)
    return FALSE;
  const LcipAttrs *attrs = node->attrs;
  const char *auto_pad = lcip_attrs_get_string(attrs, "auto_pad");
  return !g_str_has_prefix(auto_pad, "SAME") && lcip_attrs_get_int(attrs, "ceil_mode") == 0 &&
         all_are(attrs, "kernel_shape", 2, 1) && all_are(attrs, "strides", 2, 1) &&
         all_are(attrs, "dilations", 1, 1) && all_are(attrs, "pads", 0, 0);
}

static void join(LcipIr *ir, int index, int next, const LcipOperator *op) {
  LcipIrNode *conv = lcip_ir_node(ir, index);
  const LcipIrNode *pool = lcip_ir_node(ir, next);
  conv->op = op;
  for (guint i = 0; i < pool->n_epilogues; i++)
    conv->epilogues[conv->n_epilogues++] = pool->epilogues[i];
  lcip_ir_absorb(ir, index, next, TRUE);
}

guint lcip_transform_conv_max_pool(LcipIr *ir, const char *const *families) {
  const LcipOperator *op = lcip_operator_find("lcip", "ConvMaxPool");
  guint fired = 0;
  for (guint i = 0; i < ir->nodes->len; i++) {
    const LcipIrNode *conv = lcip_ir_node(ir, (int)i);
    if (!is_conv(ir, conv, families))
      continue;
    const int next = lcip_ir_sole_reader(ir, lcip_ir_output(conv, 0));
    const LcipIrNode *pool = next >= 0 ? lcip_ir_node(ir, next) : NULL;
    if (!pool || !is_pool(pool) || pool->lane != conv->lane ||
        conv->n_epilogues + pool->n_epilogues > LCIP_MAX_EPILOGUES || !pays(ir, conv, op, families))
      continue;
    join(ir, (int)i, next, op);
    fired++;
  }
  return fired;
}
