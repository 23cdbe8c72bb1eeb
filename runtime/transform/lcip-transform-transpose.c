#include "config.h"
#include "lcip-ir.h"

/* A Transpose that moves nothing but axes of size 1 leaves all elements where they are: it becomes
 * a Reshape, which is no step. Decoders end so, with one channel from first to last. */

/* Does @perm keep the order of the axes larger than 1? */
static gboolean keeps_order(const gint64 *perm, const LcipShape *shape) {
  gint64 last = -1;
  for (int i = 0; i < shape->rank; i++) {
    if (shape->dims[perm[i]] == 1)
      continue;
    if (perm[i] < last)
      return FALSE;
    last = perm[i];
  }
  return TRUE;
}

static gboolean moves_nothing(const LcipIr *ir, const LcipIrNode *node) {
  const LcipShape *shape = &lcip_ir_value(ir, lcip_ir_input(node, 0))->spec.shape;
  gint64 perm[LCIP_MAX_RANK];
  guint n = 0;
  const gint64 *given = lcip_attrs_get_ints(node->attrs, "perm", &n);
  for (int i = 0; i < shape->rank; i++)
    perm[i] = n > 0 ? given[i] : shape->rank - 1 - i;
  return keeps_order(perm, shape);
}

static gboolean is_transpose(const LcipIrNode *node) {
  return !node->removed && node->kind == LCIP_IR_OPERATOR && !node->pin && node->n_epilogues == 0 &&
         !*node->op->domain && g_str_equal(node->op->name, "Transpose");
}

/* A worker's share, and its fallback here, are planned from the document's operators, of which this
 * one is no view. */
static gboolean has_remote_lane(const LcipIr *ir) {
  for (guint i = 0; i < ir->graph->lanes->len; i++)
    if (((const LcipLane *)ir->graph->lanes->pdata[i])->kind == LCIP_LANE_REMOTE)
      return TRUE;
  return FALSE;
}

guint lcip_transform_transpose(LcipIr *ir) {
  guint fired = 0;
  if (has_remote_lane(ir))
    return 0;
  for (guint i = 0; i < ir->nodes->len; i++) {
    LcipIrNode *node = lcip_ir_node(ir, (int)i);
    if (!is_transpose(node) || !moves_nothing(ir, node))
      continue;
    node->op = lcip_operator_find("", "Reshape");
    g_clear_pointer(&node->attrs, lcip_attrs_unref);
    node->attrs = lcip_attrs_new(node->op);
    fired++;
  }
  return fired;
}
