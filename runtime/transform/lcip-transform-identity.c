#include "config.h"
#include "lcip-ir.h"

/* Actors that give their first input on unchanged: their readers read that input. */

/* Pads of zero elements: some exporters write them before each pool. */
static gboolean pads_nothing(const LcipIr *ir, const LcipIrNode *node) {
  const LcipTensor *pads = lcip_ir_constant(ir, node, 1);
  if (!g_str_equal(node->op->name, "Pad") || !pads)
    return FALSE;
  const gint64 n = lcip_shape_count(lcip_tensor_get_shape(pads));
  for (gint64 i = 0; i < n; i++)
    if (lcip_tensor_get_i64(pads, (gsize)i) != 0)
      return FALSE;
  return TRUE;
}

static gboolean gives_input_on(const LcipIr *ir, const LcipIrNode *node) {
  const char *name = node->op->name;
  if (*node->op->domain)
    return FALSE;
  if (g_str_equal(name, "Identity") || g_str_equal(name, "Dropout") || pads_nothing(ir, node))
    return TRUE;
  return g_str_equal(name, "Concat") && node->inputs->len == 1;
}

/* No reader on another lane: what a person put between lanes stays there. */
static gboolean read_on_lane(const LcipIr *ir, int value, int lane) {
  for (guint i = 0; i < ir->nodes->len; i++) {
    const LcipIrNode *node = lcip_ir_node(ir, (int)i);
    for (guint p = 0; !node->removed && p < node->inputs->len; p++)
      if (lcip_ir_input(node, p) == value && node->kind == LCIP_IR_OPERATOR && node->lane != lane)
        return FALSE;
  }
  return TRUE;
}

static gboolean can_go(const LcipIr *ir, const LcipIrNode *node) {
  if (node->removed || node->kind != LCIP_IR_OPERATOR || node->pin || node->n_epilogues > 0 ||
      !gives_input_on(ir, node))
    return FALSE;
  const int in = lcip_ir_input(node, 0), out = lcip_ir_output(node, 0);
  for (guint o = 1; o < node->outputs->len; o++)
    if (lcip_ir_value(ir, lcip_ir_output(node, o))->n_uses > 0)
      return FALSE;
  return in >= 0 && !lcip_ir_value(ir, out)->keep &&
         lcip_tensor_spec_equal(&lcip_ir_value(ir, in)->spec, &lcip_ir_value(ir, out)->spec) &&
         read_on_lane(ir, out, node->lane);
}

guint lcip_transform_identity(LcipIr *ir) {
  guint fired = 0;
  for (guint i = 0; i < ir->nodes->len; i++) {
    const LcipIrNode *node = lcip_ir_node(ir, (int)i);
    if (!can_go(ir, node))
      continue;
    lcip_ir_replace_value(ir, lcip_ir_output(node, 0), lcip_ir_input(node, 0));
    lcip_ir_remove_folded(ir, (int)i);
    fired++;
  }
  return fired;
}
