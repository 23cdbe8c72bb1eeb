#include "config.h"
#include "lcip-ir.h"

static gboolean is_needed(const LcipIr *ir, const LcipIrNode *node) {
  if (node->kind == LCIP_IR_SINK)
    return TRUE;
  for (guint o = 0; o < node->outputs->len; o++) {
    const LcipIrValue *value = lcip_ir_value(ir, lcip_ir_output(node, o));
    if (value->n_uses > 0 || value->keep)
      return TRUE;
  }
  return FALSE;
}

static void mark_dead(LcipIr *ir, const LcipIrNode *node) {
  for (guint i = 0; i < node->actors->len; i++)
    ir->actor_dead[g_array_index(node->actors, int, i)] = TRUE;
}

guint lcip_transform_dead(LcipIr *ir) {
  guint removed = 0;
  /* Backwards, so that a chain goes in one pass. */
  for (guint i = ir->nodes->len; i-- > 0;) {
    LcipIrNode *node = lcip_ir_node(ir, (int)i);
    if (node->removed || is_needed(ir, node))
      continue;
    for (guint p = 0; p < node->inputs->len; p++)
      lcip_ir_set_input(ir, (int)i, p, -1);
    node->removed = TRUE;
    mark_dead(ir, node);
    removed++;
  }
  return removed;
}
