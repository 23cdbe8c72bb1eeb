#include "config.h"
#include "lcip-ir.h"

/* Exporters from before HardSwish was an operator write it as a product: x, Clip(x + 3, 0, 6) and
 * 1 / 6, in any order, the factor often rounded (then the result must be too). As one operator it
 * is read and written once, and can become the epilogue of a convolution. */

enum { MAX_NODES = 6 };

/* A tree of products: what it multiplies that is no constant, and the @nodes, of which nobody else
 * reads a result. */
typedef struct {
  int nodes[MAX_NODES], leaves[2];
  guint n_nodes, n_leaves;
  double scale;
} Product;

static gboolean is_free(const LcipIrNode *node, const char *name) {
  return !node->removed && node->kind == LCIP_IR_OPERATOR && !node->pin && node->n_epilogues == 0 &&
         node->outputs->len == 1 && !*node->op->domain && g_str_equal(node->op->name, name);
}

/* The node that computes @value, of which nothing else is read and by one node alone, if it is a
 * @name on @lane; else -1. */
static int own_node(const LcipIr *ir, int value, int lane, const char *name) {
  if (value < 0 || lcip_ir_value(ir, value)->producer < 0 ||
      lcip_ir_value(ir, value)->n_uses != 1 || lcip_ir_value(ir, value)->keep)
    return -1;
  const int index = lcip_ir_value(ir, value)->producer;
  const LcipIrNode *node = lcip_ir_node(ir, index);
  return node->lane == lane && is_free(node, name) ? index : -1;
}

static gboolean scalar(const LcipIr *ir, int value, float *number) {
  const LcipTensor *tensor = value >= 0 ? lcip_ir_value(ir, value)->constant : NULL;
  if (!tensor || lcip_tensor_get_spec(tensor)->type != LCIP_TYPE_F32 ||
      lcip_shape_count(lcip_tensor_get_shape(tensor)) != 1)
    return FALSE;
  *number = *(const float *)lcip_tensor_get_data(tensor);
  return TRUE;
}

static gboolean is_number(const LcipIr *ir, int value, float expected) {
  float number;
  return scalar(ir, value, &number) && number == expected;
}

static gboolean multiply(const LcipIr *ir, int value, int lane, Product *p);

static gboolean multiply_operands(const LcipIr *ir, const LcipIrNode *node, Product *p) {
  float divisor;
  if (g_str_equal(node->op->name, "Mul"))
    return multiply(ir, lcip_ir_input(node, 0), node->lane, p) &&
           multiply(ir, lcip_ir_input(node, 1), node->lane, p);
  if (!scalar(ir, lcip_ir_input(node, 1), &divisor) || divisor == 0)
    return FALSE;
  p->scale /= (double)divisor;
  return multiply(ir, lcip_ir_input(node, 0), node->lane, p);
}

/* FALSE where it is a product of too much. */
static gboolean multiply(const LcipIr *ir, int value, int lane, Product *p) {
  float factor;
  if (scalar(ir, value, &factor)) {
    p->scale *= (double)factor;
    return TRUE;
  }
  int index = own_node(ir, value, lane, "Mul");
  if (index < 0)
    index = own_node(ir, value, lane, "Div");
  if (index >= 0 && p->n_nodes < MAX_NODES) {
    p->nodes[p->n_nodes++] = index;
    return multiply_operands(ir, lcip_ir_node(ir, index), p);
  }
  if (value < 0 || p->n_leaves == 2)
    return FALSE;
  p->leaves[p->n_leaves++] = value;
  return TRUE;
}

/* Is @value Clip(@x + 3, 0, 6)? Its nodes become some of @p. */
static gboolean is_gate(const LcipIr *ir, int value, int x, int lane, Product *p) {
  const int clip = own_node(ir, value, lane, "Clip");
  if (clip < 0 || p->n_nodes + 2 > MAX_NODES)
    return FALSE;
  const LcipIrNode *node = lcip_ir_node(ir, clip);
  const int add = own_node(ir, lcip_ir_input(node, 0), lane, "Add");
  if (add < 0 || !is_number(ir, lcip_ir_input(node, 1), 0) ||
      !is_number(ir, lcip_ir_input(node, 2), 6))
    return FALSE;
  const LcipIrNode *sum = lcip_ir_node(ir, add);
  const int side = lcip_ir_input(sum, 0) == x ? 1 : 0;
  if (lcip_ir_input(sum, 1 - side) != x || !is_number(ir, lcip_ir_input(sum, side), 3))
    return FALSE;
  p->nodes[p->n_nodes++] = clip;
  p->nodes[p->n_nodes++] = add;
  return TRUE;
}

/* Has the lane a kernel for @root as @op of @x that is more than a reference? */
static gboolean has_kernel(const LcipIr *ir, const LcipIrNode *root, const LcipOperator *op,
                           LcipAttrs *attrs, int x, const char *const *families) {
  const LcipLane *lane = ir->graph->lanes->pdata[root->lane];
  g_autoptr(GArray) inputs = g_array_new(FALSE, FALSE, sizeof(int));
  LcipIrNode trial = *root;
  g_array_append_val(inputs, x);
  trial.op = op;
  trial.attrs = attrs;
  trial.inputs = inputs;
  trial.n_anchor_inputs = 1;
  const LcipKernel *kernel = lcip_ir_best_kernel(ir, &trial, lane->kind, families);
  return kernel && !g_str_equal(kernel->family, "reference");
}

/* The addition, the last of the nodes, takes over the others, in the end @index, whose result is
 * theirs. */
static gboolean replace(LcipIr *ir, int index, const Product *p, int x,
                        const char *const *families) {
  const int add = p->nodes[p->n_nodes - 1];
  LcipIrNode *node = lcip_ir_node(ir, add);
  const LcipOperator *op = lcip_operator_find("lcip", "ScaledHardSwish");
  g_autoptr(LcipAttrs) attrs = lcip_attrs_new(op);
  const float alpha = (float)p->scale;
  if (!lcip_attrs_set_floats(attrs, "alpha", LCIP_ATTR_FLOAT, 1, &alpha, NULL) ||
      !has_kernel(ir, lcip_ir_node(ir, index), op, attrs, x, families))
    return FALSE;
  lcip_ir_set_input(ir, add, 1, -1);
  lcip_ir_set_input(ir, add, 0, x);
  g_array_set_size(node->inputs, 1);
  for (guint i = p->n_nodes - 1; i-- > 0;)
    lcip_ir_absorb(ir, add, p->nodes[i], FALSE);
  lcip_ir_absorb(ir, add, index, TRUE);
  node->n_anchor_inputs = 1;
  node->op = op;
  g_clear_pointer(&node->attrs, lcip_attrs_unref);
  node->attrs = g_steal_pointer(&attrs);
  return TRUE;
}

static gboolean find_hard_swish(LcipIr *ir, int index, const char *const *families) {
  const LcipIrNode *root = lcip_ir_node(ir, index);
  if ((!is_free(root, "Mul") && !is_free(root, "Div")) || root->inputs->len != 2)
    return FALSE;
  Product p = {.scale = 1};
  if (!multiply_operands(ir, root, &p) || p.n_leaves != 2 || p.scale <= 0)
    return FALSE;
  const LcipTensorSpec *spec = &lcip_ir_value(ir, lcip_ir_output(root, 0))->spec;
  for (guint i = 0; i < 2; i++) {
    const int x = p.leaves[i];
    if (lcip_tensor_spec_equal(&lcip_ir_value(ir, x)->spec, spec) &&
        is_gate(ir, p.leaves[1 - i], x, root->lane, &p))
      return replace(ir, index, &p, x, families);
  }
  return FALSE;
}

/* From the end, so that a product is seen before its factors. */
guint lcip_transform_hard_swish(LcipIr *ir, const char *const *families) {
  guint fired = 0;
  for (guint i = ir->nodes->len; i-- > 0;)
    if (find_hard_swish(ir, (int)i, families))
      fired++;
  return fired;
}
