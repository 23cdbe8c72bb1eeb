#include "config.h"
#include "lcip-ir.h"

/* Common subexpressions: actors that compute the same from the same inputs. The first stays. */

static gboolean same_input(const LcipIr *ir, int a, int b) {
  if (a == b)
    return TRUE;
  const LcipTensor *x = a >= 0 ? lcip_ir_value(ir, a)->constant : NULL;
  const LcipTensor *y = b >= 0 ? lcip_ir_value(ir, b)->constant : NULL;
  /* The same constant of the document, not an equal one: weights are not compared. */
  return x && y && lcip_tensor_get_stored(x) == lcip_tensor_get_stored(y) &&
         lcip_tensor_spec_equal(lcip_tensor_get_spec(x), lcip_tensor_get_spec(y));
}

static gboolean is_candidate(const LcipIr *ir, const LcipIrNode *node) {
  if (node->removed || node->kind != LCIP_IR_OPERATOR || node->pin || node->n_epilogues > 0 ||
      (node->op->flags & LCIP_OP_DYNAMIC) || *node->op->domain)
    return FALSE;
  for (guint o = 0; o < node->outputs->len; o++)
    if (lcip_ir_value(ir, lcip_ir_output(node, o))->keep)
      return FALSE;
  return TRUE;
}

static gboolean computes_the_same(const LcipIr *ir, const LcipIrNode *a, const LcipIrNode *b) {
  if (a->op != b->op || a->lane != b->lane || a->direct != b->direct ||
      a->inputs->len != b->inputs->len || a->outputs->len != b->outputs->len ||
      a->n_anchor_inputs != b->n_anchor_inputs)
    return FALSE;
  for (guint i = 0; i < a->inputs->len; i++)
    if (!same_input(ir, lcip_ir_input(a, i), lcip_ir_input(b, i)))
      return FALSE;
  return lcip_attrs_equal(a->attrs, b->attrs);
}

static int earlier(const LcipIr *ir, guint index) {
  const LcipIrNode *node = lcip_ir_node(ir, (int)index);
  for (guint i = 0; i < index; i++) {
    const LcipIrNode *other = lcip_ir_node(ir, (int)i);
    if (computes_the_same(ir, other, node) && is_candidate(ir, other))
      return (int)i;
  }
  return -1;
}

guint lcip_transform_common(LcipIr *ir) {
  guint fired = 0;
  for (guint i = 0; i < ir->nodes->len; i++) {
    const LcipIrNode *node = lcip_ir_node(ir, (int)i);
    const int first = is_candidate(ir, node) ? earlier(ir, i) : -1;
    if (first < 0)
      continue;
    for (guint o = 0; o < node->outputs->len; o++)
      lcip_ir_replace_value(ir, lcip_ir_output(node, o),
                            lcip_ir_output(lcip_ir_node(ir, first), o));
    lcip_ir_remove_folded(ir, (int)i);
    fired++;
  }
  return fired;
}
