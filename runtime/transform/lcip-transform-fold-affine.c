#include "config.h"
#include "lcip-ir.h"

#include <math.h>
#include <string.h>

/* y = conv(x, W) + B followed by y * s + t per output channel is conv(x, W * s) + (B * s + t). */

typedef struct {
  gint64 channels;
  float *scale; /* owned; NULL: all 1 */
  float *shift; /* owned; NULL: all 0 */
} Affine;

static void affine_clear(Affine *affine) {
  g_clear_pointer(&affine->scale, g_free);
  g_clear_pointer(&affine->shift, g_free);
}

/* A constant that has one value, or one per channel of an (n, c, h, w) tensor, as an array of @c.
 * NULL when it is neither. */
static float *per_channel(const LcipTensor *tensor, gint64 c) {
  const LcipTensorSpec *spec = lcip_tensor_get_spec(tensor);
  const gint64 count = lcip_shape_count(&spec->shape);
  if (spec->type != LCIP_TYPE_F32 || (count != 1 && count != c) || spec->shape.rank > 4)
    return NULL;
  const int channel_dim = spec->shape.rank - 3;
  if (count > 1 && (channel_dim < 0 || spec->shape.dims[channel_dim] != c))
    return NULL;
  const float *data = lcip_tensor_get_data(tensor);
  float *values = g_new(float, c);
  for (gint64 i = 0; i < c; i++)
    values[i] = data[count == 1 ? 0 : i];
  return values;
}

static gboolean affine_from_binary(Affine *affine, const LcipIrNode *node,
                                   const LcipTensor *constant, gboolean constant_first) {
  g_autofree float *values = per_channel(constant, affine->channels);
  const char *name = node->op->name;
  if (!values)
    return FALSE;
  if (g_str_equal(name, "Add")) {
    affine->shift = g_steal_pointer(&values);
  } else if (g_str_equal(name, "Mul")) {
    affine->scale = g_steal_pointer(&values);
  } else if (g_str_equal(name, "Sub") && !constant_first) {
    for (gint64 i = 0; i < affine->channels; i++)
      values[i] = -values[i];
    affine->shift = g_steal_pointer(&values);
  } else {
    return FALSE;
  }
  return TRUE;
}

static gboolean affine_from_batchnorm(Affine *affine, const LcipIr *ir, const LcipIrNode *node) {
  const float *data[5] = {NULL};
  for (guint i = 1; i < 5; i++) {
    const LcipTensor *tensor = lcip_ir_constant(ir, node, i);
    if (!tensor || lcip_tensor_get_spec(tensor)->type != LCIP_TYPE_F32 ||
        lcip_shape_count(lcip_tensor_get_shape(tensor)) != affine->channels)
      return FALSE;
    data[i] = lcip_tensor_get_data(tensor);
  }
  const double epsilon = lcip_attrs_get_float(node->attrs, "epsilon");
  affine->scale = g_new(float, affine->channels);
  affine->shift = g_new(float, affine->channels);
  for (gint64 c = 0; c < affine->channels; c++) {
    const double scale = data[1][c] / sqrt((double)data[4][c] + epsilon);
    affine->scale[c] = (float)scale;
    affine->shift[c] = (float)(data[2][c] - data[3][c] * scale);
  }
  return TRUE;
}

static gboolean affine_of(Affine *affine, const LcipIr *ir, const LcipIrNode *node, int value) {
  if (*node->op->domain || node->n_epilogues > 0 || node->outputs->len != 1)
    return FALSE;
  if (g_str_equal(node->op->name, "BatchNormalization"))
    return lcip_ir_input(node, 0) == value && affine_from_batchnorm(affine, ir, node);
  if (node->inputs->len != 2)
    return FALSE;
  const guint other = lcip_ir_input(node, 0) == value ? 1 : 0;
  const LcipTensor *constant = lcip_ir_constant(ir, node, other);
  return constant && affine_from_binary(affine, node, constant, other == 0);
}

static LcipTensor *scaled_weights(const LcipTensor *weights, const Affine *affine) {
  const LcipTensorSpec *spec = lcip_tensor_get_spec(weights);
  LcipTensor *scaled = lcip_tensor_new_from_data(spec, lcip_tensor_get_stored(weights));
  if (!scaled)
    return NULL;
  float *data = lcip_tensor_get_mutable(scaled);
  const gint64 per = lcip_shape_count(&spec->shape) / MAX(affine->channels, 1);
  for (gint64 c = 0; c < affine->channels; c++)
    for (gint64 i = 0; i < per; i++)
      data[c * per + i] *= affine->scale[c];
  return scaled;
}

static LcipTensor *new_bias(const LcipTensor *bias, const Affine *affine) {
  const LcipTensorSpec spec =
      lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape_from_dims(1, &affine->channels));
  LcipTensor *result = lcip_tensor_new(&spec);
  if (!result)
    return NULL;
  const float *old = bias ? lcip_tensor_get_data(bias) : NULL;
  float *data = lcip_tensor_get_mutable(result);
  for (gint64 c = 0; c < affine->channels; c++)
    data[c] = (old ? old[c] : 0) * (affine->scale ? affine->scale[c] : 1) +
              (affine->shift ? affine->shift[c] : 0);
  return result;
}

static gboolean same_shape(const LcipIr *ir, int a, int b) {
  return lcip_shape_equal(&lcip_ir_value(ir, a)->spec.shape, &lcip_ir_value(ir, b)->spec.shape);
}

static gboolean is_foldable_conv(const LcipIr *ir, const LcipIrNode *node) {
  if (node->removed || node->kind != LCIP_IR_OPERATOR || *node->op->domain || node->pin ||
      node->n_epilogues > 0)
    return FALSE;
  const LcipTensor *weights = lcip_ir_constant(ir, node, 1);
  const gboolean has_bias = lcip_ir_input(node, 2) >= 0;
  return weights && lcip_tensor_get_spec(weights)->type == LCIP_TYPE_F32 &&
         (!has_bias || lcip_ir_constant(ir, node, 2)) &&
         (g_str_equal(node->op->name, "Conv") || g_str_equal(node->op->name, "ConvTranspose"));
}

static gboolean apply(LcipIr *ir, int index, const Affine *affine) {
  LcipIrNode *node = lcip_ir_node(ir, index);
  /* The weights of ConvTranspose have their output channels in the second dimension. */
  if (affine->scale && !g_str_equal(node->op->name, "Conv"))
    return FALSE;
  g_autoptr(LcipTensor) weights =
      affine->scale ? scaled_weights(lcip_ir_constant(ir, node, 1), affine) : NULL;
  LcipTensor *bias = new_bias(lcip_ir_constant(ir, node, 2), affine);
  if (!bias || (affine->scale && !weights)) {
    g_clear_pointer(&bias, lcip_tensor_unref);
    return FALSE;
  }
  if (weights)
    lcip_ir_set_input(ir, index, 1, lcip_ir_add_constant(ir, g_steal_pointer(&weights)));
  lcip_ir_set_input(ir, index, 2, lcip_ir_add_constant(ir, bias));
  node->n_anchor_inputs = MAX(node->n_anchor_inputs, 3);
  return TRUE;
}

/* What a worker computes cannot be looked at. */
static gboolean would_hide(const LcipIr *ir, const LcipIrNode *conv, const LcipIrNode *next) {
  return lcip_ir_value(ir, lcip_ir_output(next, 0))->keep &&
         ((LcipLane *)ir->graph->lanes->pdata[conv->lane])->kind == LCIP_LANE_REMOTE;
}

static gboolean fold_next(LcipIr *ir, int index) {
  LcipIrNode *node = lcip_ir_node(ir, index);
  const int value = lcip_ir_output(node, 0);
  const int next = lcip_ir_sole_reader(ir, value);
  if (next < 0 || lcip_ir_node(ir, next)->pin || lcip_ir_node(ir, next)->kind != LCIP_IR_OPERATOR ||
      !same_shape(ir, value, lcip_ir_output(lcip_ir_node(ir, next), 0)) ||
      lcip_ir_value(ir, value)->spec.shape.rank != 4 ||
      would_hide(ir, node, lcip_ir_node(ir, next)))
    return FALSE;
  Affine affine = {.channels = lcip_ir_value(ir, value)->spec.shape.dims[1]};
  const gboolean done =
      affine_of(&affine, ir, lcip_ir_node(ir, next), value) && apply(ir, index, &affine);
  affine_clear(&affine);
  if (!done)
    return FALSE;
  const LcipIrNode *folded = lcip_ir_node(ir, next);
  for (guint i = 0; i < folded->actors->len; i++)
    ir->actor_folded[g_array_index(folded->actors, int, i)] = TRUE;
  lcip_ir_absorb(ir, index, next, FALSE);
  return TRUE;
}

guint lcip_transform_fold_affine(LcipIr *ir) {
  guint fired = 0;
  for (guint i = 0; i < ir->nodes->len; i++)
    while (is_foldable_conv(ir, lcip_ir_node(ir, (int)i)) && fold_next(ir, (int)i))
      fired++;
  return fired;
}
