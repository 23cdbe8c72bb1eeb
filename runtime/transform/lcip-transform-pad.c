#include "config.h"
#include "lcip-ir.h"

#include <math.h>

/* Constant padding of an image before a convolution or a pool becomes padding of its window. A
 * convolution and an average need zeros there, and an average then counts them; a maximum needs
 * what is smaller than all. */

/* The pads of the two spatial dimensions: begin y, begin x, end y, end x. FALSE when @node pads
 * anything else. */
static gboolean spatial_pads(const LcipIr *ir, const LcipIrNode *node, gint64 pads[4]) {
  const LcipTensor *values = lcip_ir_constant(ir, node, 1);
  if (!values || lcip_ir_input(node, 3) >= 0 ||
      lcip_shape_count(lcip_tensor_get_shape(values)) != 8)
    return FALSE;
  for (gsize i = 0; i < 8; i++) {
    const gint64 value = lcip_tensor_get_i64(values, i);
    if (value < 0 || (i % 4 < 2 && value != 0))
      return FALSE;
    if (i % 4 >= 2)
      pads[i / 4 * 2 + i % 4 - 2] = value;
  }
  return TRUE;
}

static gboolean pad_value(const LcipIr *ir, const LcipIrNode *node, float *value) {
  const int input = lcip_ir_input(node, 2);
  const LcipTensor *constant = lcip_ir_constant(ir, node, 2);
  *value = 0;
  if (input < 0)
    return TRUE;
  if (!constant || lcip_tensor_get_spec(constant)->type != LCIP_TYPE_F32)
    return FALSE;
  *value = *(const float *)lcip_tensor_get_data(constant);
  return TRUE;
}

/* Is padding of @value what the window of @node pads with? */
static gboolean pads_alike(const LcipIrNode *node, float value) {
  if (g_str_equal(node->op->name, "Conv"))
    return value == 0;
  const gboolean floor = lcip_attrs_get_int(node->attrs, "ceil_mode") == 0;
  if (g_str_equal(node->op->name, "MaxPool"))
    return floor && value == -INFINITY && node->outputs->len == 1;
  return floor && g_str_equal(node->op->name, "AveragePool") && value == 0;
}

/* The attributes of @node with @pads added to its own; NULL where it finds its padding itself, or
 * where an average counts the one and not the other. */
static LcipAttrs *with_pads(const LcipIrNode *node, const gint64 pads[4]) {
  guint n = 0;
  const gint64 *own = lcip_attrs_get_ints(node->attrs, "pads", &n);
  const char *auto_pad = lcip_attrs_get_string(node->attrs, "auto_pad");
  const gboolean average = g_str_equal(node->op->name, "AveragePool");
  const gboolean counts = average && lcip_attrs_get_int(node->attrs, "count_include_pad") != 0;
  gint64 sum[4];
  if (auto_pad && !g_str_equal(auto_pad, "NOTSET") && !g_str_equal(auto_pad, "VALID"))
    return NULL;
  const gboolean none = n != 4 || g_strcmp0(auto_pad, "VALID") == 0;
  for (guint i = 0; i < 4; i++) {
    if (average && !counts && !none && own[i] != 0)
      return NULL;
    sum[i] = pads[i] + (none ? 0 : own[i]);
  }
  const gint64 one = 1;
  g_autoptr(LcipAttrs) attrs = lcip_attrs_copy(node->attrs);
  lcip_attrs_unset(attrs, "auto_pad");
  if (!lcip_attrs_set_ints(attrs, "pads", LCIP_ATTR_INTS, 4, sum, NULL) ||
      (average && !lcip_attrs_set_ints(attrs, "count_include_pad", LCIP_ATTR_INT, 1, &one, NULL)))
    return NULL;
  return g_steal_pointer(&attrs);
}

static gboolean is_constant_pad(const LcipIrNode *node) {
  return !node->removed && node->kind == LCIP_IR_OPERATOR && !*node->op->domain && !node->pin &&
         node->n_epilogues == 0 && g_str_equal(node->op->name, "Pad") &&
         g_str_equal(lcip_attrs_get_string(node->attrs, "mode"), "constant");
}

static gboolean absorb(LcipIr *ir, int index) {
  const LcipIrNode *pad = lcip_ir_node(ir, index);
  gint64 pads[4];
  float value;
  if (!is_constant_pad(pad) || !spatial_pads(ir, pad, pads) || !pad_value(ir, pad, &value))
    return FALSE;
  const int reader = lcip_ir_sole_reader(ir, lcip_ir_output(pad, 0));
  LcipIrNode *node = reader >= 0 ? lcip_ir_node(ir, reader) : NULL;
  if (!node || node->kind != LCIP_IR_OPERATOR || *node->op->domain || node->pin ||
      node->lane != pad->lane || lcip_ir_input(node, 0) != lcip_ir_output(pad, 0) ||
      !pads_alike(node, value))
    return FALSE;
  LcipAttrs *attrs = with_pads(node, pads);
  if (!attrs)
    return FALSE;
  lcip_attrs_unref(node->attrs);
  node->attrs = attrs;
  lcip_ir_absorb_input(ir, reader, index);
  return TRUE;
}

guint lcip_transform_pad(LcipIr *ir) {
  guint fired = 0;
  for (guint i = 0; i < ir->nodes->len; i++)
    fired += absorb(ir, (int)i) ? 1 : 0;
  return fired;
}
