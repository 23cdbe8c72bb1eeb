#include "config.h"
#include "lcip-ir.h"

#include <math.h>

/* Exporters write activations of newer networks as a product: x * Sigmoid(x), x * HardSigmoid(x),
 * x * Tanh(Softplus(x)). As one operator they are read and written once, and can become the
 * epilogue of a convolution. */

/* The node that computes @value and that @reader alone reads; NULL when it is none that may go. */
static LcipIrNode *gate_before(const LcipIr *ir, int value, const LcipIrNode *reader) {
  if (value < 0 || lcip_ir_value(ir, value)->producer < 0 ||
      lcip_ir_value(ir, value)->n_uses != 1 || lcip_ir_value(ir, value)->keep)
    return NULL;
  LcipIrNode *node = lcip_ir_node(ir, lcip_ir_value(ir, value)->producer);
  if (node->removed || node->kind != LCIP_IR_OPERATOR || node->lane != reader->lane || node->pin ||
      node->n_epilogues > 0 || *node->op->domain || node->outputs->len != 1)
    return NULL;
  return node;
}

static gboolean is_hard_swish_gate(const LcipIrNode *node) {
  return g_str_equal(node->op->name, "HardSigmoid") &&
         fabsf(lcip_attrs_get_float(node->attrs, "alpha") - 1.0f / 6) < 1e-6f &&
         lcip_attrs_get_float(node->attrs, "beta") == 0.5f;
}

/* What x times @gate is called, where it is a function of x; @first: the node that reads x. */
static const char *gated_name(const LcipIr *ir, LcipIrNode *gate, LcipIrNode **first) {
  *first = gate;
  if (g_str_equal(gate->op->name, "Sigmoid"))
    return "Swish";
  if (is_hard_swish_gate(gate))
    return "HardSwish";
  if (!g_str_equal(gate->op->name, "Tanh"))
    return NULL;
  *first = gate_before(ir, lcip_ir_input(gate, 0), gate);
  return *first && g_str_equal((*first)->op->name, "Softplus") ? "Mish" : NULL;
}

static int index_of(const LcipIr *ir, const LcipIrNode *node) {
  return lcip_ir_value(ir, lcip_ir_output(node, 0))->producer;
}

/* @first becomes the operator @name, if the lane has a kernel for it. */
static gboolean rename_node(const LcipIr *ir, LcipIrNode *first, const char *name,
                            const char *const *families) {
  const LcipLane *lane = ir->graph->lanes->pdata[first->lane];
  const LcipOperator *op = first->op;
  LcipAttrs *attrs = first->attrs;
  first->op = lcip_operator_find("", name);
  first->attrs = lcip_attrs_new(first->op);
  const LcipKernel *kernel = lcip_ir_best_kernel(ir, first, lane->kind, families);
  if (kernel && !g_str_equal(kernel->family, "reference")) {
    if (attrs)
      lcip_attrs_unref(attrs);
    return TRUE;
  }
  lcip_attrs_unref(first->attrs);
  first->op = op;
  first->attrs = attrs;
  return FALSE;
}

static gboolean gate_product(LcipIr *ir, int index, const char *const *families) {
  const LcipIrNode *product = lcip_ir_node(ir, index);
  if (product->removed || product->kind != LCIP_IR_OPERATOR || product->pin ||
      product->inputs->len != 2 || *product->op->domain || !g_str_equal(product->op->name, "Mul"))
    return FALSE;
  for (guint i = 0; i < 2; i++) {
    LcipIrNode *first, *gate = gate_before(ir, lcip_ir_input(product, i), product);
    const char *name = gate ? gated_name(ir, gate, &first) : NULL;
    if (!name || lcip_ir_input(first, 0) != lcip_ir_input(product, 1 - i) ||
        !rename_node(ir, first, name, families))
      continue;
    if (first != gate)
      lcip_ir_absorb(ir, index_of(ir, first), index_of(ir, gate), TRUE);
    lcip_ir_absorb(ir, index_of(ir, first), index, TRUE);
    return TRUE;
  }
  return FALSE;
}

guint lcip_transform_gate(LcipIr *ir, const char *const *families) {
  guint fired = 0;
  for (guint i = 0; i < ir->nodes->len; i++)
    if (gate_product(ir, (int)i, families))
      fired++;
  return fired;
}
