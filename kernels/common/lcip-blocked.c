#include "config.h"
#include "lcip-blocked.h"

#include <math.h>

gboolean lcip_plane_window_init(LcipPlaneWindow *plane, LcipWindowKind kind, const LcipStep *step,
                                const LcipShape *in, GError **error) {
  const gboolean pool = kind == LCIP_WINDOW_POOL;
  LcipWindow window;
  if (!lcip_window_init(&window, kind, step, in, pool ? NULL : &step->inputs[1].shape, error))
    return FALSE;
  for (guint i = 0; i < 2; i++) {
    plane->kernel[i] = window.kernel[i + 1];
    plane->stride[i] = window.stride[i + 1];
    plane->dilation[i] = window.dilation[i + 1];
    plane->pad_begin[i] = window.pad_begin[i + 1];
    plane->pad_end[i] = window.pad_end[i + 1];
  }
  return TRUE;
}

static const struct {
  const char *name;
  LcipTailKind kind;
} functions[] = {
    {"Relu", LCIP_TAIL_CLAMP},
    {"Clip", LCIP_TAIL_CLAMP},
    {"LeakyRelu", LCIP_TAIL_LEAKY},
    {"Sigmoid", LCIP_TAIL_SIGMOID},
    {"HardSwish", LCIP_TAIL_HARD_SWISH},
    {"ScaledHardSwish", LCIP_TAIL_HARD_SWISH},
    {"Swish", LCIP_TAIL_SWISH},
    {"Mish", LCIP_TAIL_MISH},
    {"HardSigmoid", LCIP_TAIL_HARD_SIGMOID},
    {"Tanh", LCIP_TAIL_TANH},
    {"Exp", LCIP_TAIL_EXP},
    {"Abs", LCIP_TAIL_ABS},
    {"Neg", LCIP_TAIL_NEG},
};

static void set_parameters(LcipTailOp *op, const char *name, const LcipAttrs *attrs) {
  if (op->kind == LCIP_TAIL_CLAMP) {
    op->a = g_str_equal(name, "Relu") ? 0.0f : -INFINITY;
    op->b = INFINITY;
  }
  if (op->kind == LCIP_TAIL_HARD_SWISH)
    op->a = 1.0f / 6;
  if (op->kind == LCIP_TAIL_LEAKY || op->kind == LCIP_TAIL_HARD_SIGMOID ||
      op->kind == LCIP_TAIL_SWISH || g_str_equal(name, "ScaledHardSwish"))
    op->a = lcip_attrs_get_float(attrs, "alpha");
  if (op->kind == LCIP_TAIL_HARD_SIGMOID)
    op->b = lcip_attrs_get_float(attrs, "beta");
}

gboolean lcip_tail_function(LcipTailOp *op, const char *name, const LcipAttrs *attrs) {
  for (guint i = 0; i < G_N_ELEMENTS(functions); i++)
    if (g_str_equal(functions[i].name, name)) {
      *op = (LcipTailOp){.kind = functions[i].kind, .side_input = -1};
      set_parameters(op, name, attrs);
      return TRUE;
    }
  return FALSE;
}

static LcipTailOp tail_op(const LcipEpilogue *epilogue) {
  LcipTailOp op = {.kind = LCIP_TAIL_ADD, .side_input = epilogue->side_input};
  lcip_tail_function(&op, epilogue->op->name, epilogue->attrs);
  if (g_str_equal(epilogue->op->name, "Clip")) {
    op.a = epilogue->clip_min;
    op.b = epilogue->clip_max;
  }
  return op;
}

static gboolean keeps_zero(const LcipTailOp *op) {
  if (op->kind == LCIP_TAIL_CLAMP)
    return op->a <= 0 && op->b >= 0;
  return op->kind != LCIP_TAIL_SIGMOID && op->kind != LCIP_TAIL_HARD_SIGMOID &&
         op->kind != LCIP_TAIL_EXP;
}

static void find_simple(LcipTail *tail) {
  guint i = 0;
  tail->side_input = -1;
  tail->lo = -INFINITY;
  tail->hi = INFINITY;
  if (i < tail->n && tail->ops[i].kind == LCIP_TAIL_ADD)
    tail->side_input = tail->ops[i++].side_input;
  if (i < tail->n && tail->ops[i].kind == LCIP_TAIL_CLAMP) {
    tail->lo = tail->ops[i].a;
    tail->hi = tail->ops[i++].b;
  }
  tail->simple = i == tail->n;
}

gboolean lcip_tail_init(LcipTail *tail, const LcipStep *step, const char **reason) {
  if (!lcip_epilogues_common(step, reason))
    return FALSE;
  *tail = (LcipTail){.n = step->n_epilogues};
  for (guint i = 0; i < tail->n; i++) {
    tail->ops[i] = tail_op(&step->epilogues[i]);
    tail->dirty |= !keeps_zero(&tail->ops[i]);
    if (tail->ops[i].kind == LCIP_TAIL_ADD && tail->ops[i].side_input < 0) {
      *reason = "it fuses an addition only with a side input";
      return FALSE;
    }
  }
  find_simple(tail);
  return TRUE;
}

void lcip_tail_formats(const LcipStep *step, LcipPortFormats *formats) {
  for (guint i = 0; i < step->n_epilogues; i++)
    if (step->epilogues[i].side_input >= 0)
      formats->inputs[step->epilogues[i].side_input] = formats->outputs[0];
}

gboolean lcip_is_image(const LcipTensorSpec *spec) {
  return spec->type == LCIP_TYPE_F32 && spec->shape.rank == 4 && lcip_shape_count(&spec->shape) > 0;
}

gint64 lcip_blocks(gint64 channels, gint64 block) {
  return (channels + block - 1) / block;
}
