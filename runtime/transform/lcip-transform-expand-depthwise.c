#include "config.h"
#include "lcip-ir.h"

/* A 1x1 convolution whose result a depthwise convolution alone reads becomes one step with it,
 * which makes the tensor between them row by row and never writes it. Runs after activations have
 * been fused; each convolution keeps what it has. */

static const LcipTensor *weights_of(const LcipIr *ir, const LcipIrNode *node) {
  const LcipTensor *weights = lcip_ir_constant(ir, node, 1);
  const gboolean f32 = weights && lcip_tensor_get_spec(weights)->type == LCIP_TYPE_F32 &&
                       lcip_tensor_get_shape(weights)->rank == 4;
  return f32 && (lcip_ir_input(node, 2) < 0 || lcip_ir_constant(ir, node, 2)) ? weights : NULL;
}

static gboolean is_free_conv(const LcipIrNode *node) {
  return !node->removed && node->kind == LCIP_IR_OPERATOR && !node->pin &&
         *node->op->domain == '\0' && g_str_equal(node->op->name, "Conv") &&
         node->outputs->len == 1 && node->inputs->len == node->n_anchor_inputs;
}

static gboolean all_are(const LcipAttrs *attrs, const char *name, gint64 value) {
  guint n;
  const gint64 *values = lcip_attrs_get_ints(attrs, name, &n);
  for (guint i = 0; values && i < n; i++)
    if (values[i] != value)
      return FALSE;
  return TRUE;
}

/* A 1x1 convolution of one group and stride with one activation at most. */
static gboolean is_expansion(const LcipIr *ir, const LcipIrNode *node) {
  const LcipTensor *weights = is_free_conv(node) ? weights_of(ir, node) : NULL;
  if (!weights || node->n_epilogues > 1)
    return FALSE;
  const LcipShape *w = lcip_tensor_get_shape(weights);
  return w->dims[2] == 1 && w->dims[3] == 1 && lcip_attrs_get_int(node->attrs, "group") == 1 &&
         all_are(node->attrs, "strides", 1) && all_are(node->attrs, "pads", 0);
}

static gboolean is_depthwise(const LcipIr *ir, const LcipIrNode *node) {
  const LcipTensor *weights = is_free_conv(node) ? weights_of(ir, node) : NULL;
  return weights && lcip_tensor_get_shape(weights)->dims[1] == 1 &&
         lcip_tensor_get_shape(weights)->dims[0] == lcip_attrs_get_int(node->attrs, "group") &&
         lcip_tensor_get_shape(weights)->dims[2] * lcip_tensor_get_shape(weights)->dims[3] > 1;
}

static gboolean is_blocked(const LcipIr *ir, const LcipIrNode *node, const char *const *families) {
  const LcipLane *lane = ir->graph->lanes->pdata[node->lane];
  const LcipKernel *kernel = lcip_ir_best_kernel(ir, node, lane->kind, families);
  return kernel && g_str_equal(kernel->family, "blocked");
}

static void set_activation(LcipAttrs *attrs, const LcipEpilogue *epilogue) {
  const char *name = epilogue->op->name;
  const gboolean clip = g_str_equal(name, "Clip");
  float alpha = epilogue->clip_min;
  if (!clip && lcip_operator_find_attr(epilogue->op, "alpha"))
    alpha = lcip_attrs_get_float(epilogue->attrs, "alpha");
  lcip_attrs_set_strings(attrs, "activation", LCIP_ATTR_STRING, 1, &name, NULL);
  if (clip || lcip_operator_find_attr(epilogue->op, "alpha"))
    lcip_attrs_set_floats(attrs, "alpha", LCIP_ATTR_FLOAT, 1, &alpha, NULL);
  if (clip)
    lcip_attrs_set_floats(attrs, "beta", LCIP_ATTR_FLOAT, 1, &epilogue->clip_max, NULL);
}

static LcipAttrs *joined_attrs(const LcipOperator *op, const LcipIrNode *expand,
                               const LcipIrNode *depthwise) {
  static const char *const names[] = {"dilations", "kernel_shape", "pads", "strides"};
  LcipAttrs *attrs = lcip_attrs_new(op);
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    guint n;
    const gint64 *values = lcip_attrs_get_ints(depthwise->attrs, names[i], &n);
    if (values)
      lcip_attrs_set_ints(attrs, names[i], LCIP_ATTR_INTS, n, values, NULL);
  }
  const char *auto_pad = lcip_attrs_get_string(depthwise->attrs, "auto_pad");
  lcip_attrs_set_strings(attrs, "auto_pad", LCIP_ATTR_STRING, 1, &auto_pad, NULL);
  if (expand->n_epilogues)
    set_activation(attrs, &expand->epilogues[0]);
  return attrs;
}

/* The activations that the joined step knows are those of its attribute. */
static gboolean knows_activation(const LcipOperator *op, const LcipIrNode *expand) {
  const LcipAttrDef *def = lcip_operator_find_attr(op, "activation");
  return expand->n_epilogues == 0 || g_strv_contains(def->choices, expand->epilogues[0].op->name);
}

static void join(LcipIr *ir, int index, int next, const LcipOperator *op) {
  LcipIrNode *expand = lcip_ir_node(ir, index), *depthwise = lcip_ir_node(ir, next);
  LcipAttrs *attrs = joined_attrs(op, expand, depthwise);
  if (expand->inputs->len < 3)
    lcip_ir_set_input(ir, index, 2, -1);
  lcip_ir_set_input(ir, index, 3, lcip_ir_input(depthwise, 1));
  lcip_ir_set_input(ir, index, 4, lcip_ir_input(depthwise, 2));
  lcip_attrs_unref(expand->attrs);
  expand->attrs = attrs;
  expand->op = op;
  expand->n_anchor_inputs = 5;
  expand->n_epilogues = depthwise->n_epilogues;
  for (guint i = 0; i < depthwise->n_epilogues; i++)
    expand->epilogues[i] = depthwise->epilogues[i];
  lcip_ir_absorb(ir, index, next, TRUE);
}

guint lcip_transform_expand_depthwise(LcipIr *ir, const char *const *families) {
  const LcipOperator *op = lcip_operator_find("lcip", "ExpandDepthwise");
  guint fired = 0;
  for (guint i = 0; i < ir->nodes->len; i++) {
    const LcipIrNode *expand = lcip_ir_node(ir, (int)i);
    if (!is_expansion(ir, expand) || !knows_activation(op, expand))
      continue;
    const int next = lcip_ir_sole_reader(ir, lcip_ir_output(expand, 0));
    const LcipIrNode *depthwise = next >= 0 ? lcip_ir_node(ir, next) : NULL;
    if (!depthwise || !is_depthwise(ir, depthwise) || depthwise->lane != expand->lane ||
        lcip_ir_input(depthwise, 0) != lcip_ir_output(expand, 0) ||
        !is_blocked(ir, expand, families) || !is_blocked(ir, depthwise, families))
      continue;
    join(ir, (int)i, next, op);
    fired++;
  }
  return fired;
}
