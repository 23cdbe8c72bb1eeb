#include "config.h"
#include "lcip-ir.h"

#include <math.h>

static gboolean scalar_or_none(const LcipIr *ir, const LcipIrNode *node, guint i, float *value) {
  const int input = lcip_ir_input(node, i);
  if (input < 0)
    return TRUE;
  const LcipTensor *tensor = lcip_ir_value(ir, input)->constant;
  if (!tensor || lcip_tensor_get_spec(tensor)->type != LCIP_TYPE_F32 ||
      lcip_shape_count(lcip_tensor_get_shape(tensor)) != 1)
    return FALSE;
  *value = *(const float *)lcip_tensor_get_data(tensor);
  return TRUE;
}

/* What @node would be as an epilogue behind @value. FALSE when it can be none. @side: value of the
 * second operand or -1. */
static gboolean as_epilogue(const LcipIr *ir, const LcipIrNode *node, int value,
                            LcipEpilogue *epilogue, int *side) {
  static const char *const unary[] = {"Relu", "LeakyRelu", "Sigmoid", "HardSwish", "HardSigmoid",
                                      "Tanh", "Swish",     "Mish",    NULL};
  *epilogue = (LcipEpilogue){.op = node->op,
                             .attrs = node->attrs,
                             .side_input = -1,
                             .clip_min = -INFINITY,
                             .clip_max = INFINITY};
  *side = -1;
  if (node->n_epilogues > 0)
    return FALSE;
  if (*node->op->domain)
    return g_str_equal(node->op->name, "ScaledHardSwish");
  if (g_str_equal(node->op->name, "Clip"))
    return lcip_ir_input(node, 0) == value && scalar_or_none(ir, node, 1, &epilogue->clip_min) &&
           scalar_or_none(ir, node, 2, &epilogue->clip_max);
  if (g_str_equal(node->op->name, "Add")) {
    *side = lcip_ir_input(node, lcip_ir_input(node, 0) == value ? 1 : 0);
    return *side >= 0 && *side != value &&
           lcip_tensor_spec_equal(&lcip_ir_value(ir, *side)->spec, &lcip_ir_value(ir, value)->spec);
  }
  return g_strv_contains(unary, node->op->name);
}

static gboolean can_anchor(const LcipIrNode *node) {
  return !node->removed && node->kind == LCIP_IR_OPERATOR && node->outputs->len == 1 &&
         node->n_epilogues < LCIP_MAX_EPILOGUES &&
         !(node->op->flags & (LCIP_OP_VIEW | LCIP_OP_DYNAMIC));
}

static void add_epilogue(LcipIr *ir, LcipIrNode *anchor, LcipEpilogue epilogue, int side) {
  if (side >= 0) {
    epilogue.side_input = (int)anchor->inputs->len;
    lcip_ir_value(ir, side)->n_uses++;
    g_array_append_val(anchor->inputs, side);
  }
  g_ptr_array_add(ir->attrs, lcip_attrs_ref((LcipAttrs *)epilogue.attrs));
  anchor->epilogues[anchor->n_epilogues++] = epilogue;
}

static void remove_epilogue(LcipIr *ir, LcipIrNode *anchor) {
  const LcipEpilogue *last = &anchor->epilogues[--anchor->n_epilogues];
  if (last->side_input < 0)
    return;
  lcip_ir_value(ir, lcip_ir_input(anchor, (guint)last->side_input))->n_uses--;
  g_array_set_size(anchor->inputs, (guint)last->side_input);
}

static gboolean fuse_next(LcipIr *ir, int *index, const char *const *families) {
  LcipIrNode *anchor = lcip_ir_node(ir, *index);
  const int value = lcip_ir_output(anchor, 0);
  const int next = lcip_ir_sole_reader(ir, value);
  LcipEpilogue epilogue;
  int side;
  if (next < 0)
    return FALSE;
  const LcipIrNode *node = lcip_ir_node(ir, next);
  if (node->kind != LCIP_IR_OPERATOR || node->lane != anchor->lane || node->pin ||
      !as_epilogue(ir, node, value, &epilogue, &side) ||
      !lcip_shape_equal(&lcip_ir_value(ir, value)->spec.shape,
                        &lcip_ir_value(ir, lcip_ir_output(node, 0))->spec.shape))
    return FALSE;
  const LcipLane *lane = ir->graph->lanes->pdata[anchor->lane];
  const LcipKernel *before = lcip_ir_best_kernel(ir, anchor, lane->kind, families);
  add_epilogue(ir, anchor, epilogue, side);
  if (!before || lcip_ir_best_kernel(ir, anchor, lane->kind, families) != before) {
    remove_epilogue(ir, anchor);
    return FALSE;
  }
  lcip_ir_absorb(ir, *index, next, TRUE);
  *index = next;
  return TRUE;
}

guint lcip_transform_fuse(LcipIr *ir, const char *const *families) {
  guint fired = 0;
  for (guint i = 0; i < ir->nodes->len; i++) {
    int index = (int)i;
    while (can_anchor(lcip_ir_node(ir, index)) && fuse_next(ir, &index, families))
      fired++;
  }
  return fired;
}
