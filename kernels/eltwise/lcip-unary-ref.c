#include "config.h"

#include "lcip-element.h"
#include "lcip-unary.h"

typedef struct {
  LcipUnary unary;
  const void *in;
  void *out;
} UnaryJob;

static void unary_range(gpointer data, gsize begin, gsize end) {
  const UnaryJob *job = data;
  lcip_unary_apply(&job->unary, (const float *)job->in + begin, (float *)job->out + begin,
                   end - begin);
}

/* Abs and Neg of integers; the least integer wraps around to itself. */
static void integer_range_i64(gpointer data, gsize begin, gsize end) {
  const UnaryJob *job = data;
  for (gsize i = begin; i < end; i++) {
    const gint64 x = ((const gint64 *)job->in)[i];
    const gboolean negate = job->unary.kind == LCIP_UNARY_NEG || x < 0;
    ((gint64 *)job->out)[i] = negate ? (gint64)(0 - (guint64)x) : x;
  }
}

static void integer_range_i32(gpointer data, gsize begin, gsize end) {
  const UnaryJob *job = data;
  for (gsize i = begin; i < end; i++) {
    const gint32 x = ((const gint32 *)job->in)[i];
    const gboolean negate = job->unary.kind == LCIP_UNARY_NEG || x < 0;
    ((gint32 *)job->out)[i] = negate ? (gint32)(0 - (guint32)x) : x;
  }
}

static void read_bounds(const LcipCall *call, LcipUnary *unary) {
  if (lcip_step_has_input(call->step, 1))
    unary->alpha = *(const float *)call->inputs[1].data;
  if (lcip_step_has_input(call->step, 2))
    unary->beta = *(const float *)call->inputs[2].data;
}

/* Clip of integers: bounds of the same type, u64 by its own order. */
static gint64 clip_bound(const LcipCall *call, guint i, gint64 x, gboolean upper) {
  const LcipType type = call->inputs[0].spec.type;
  if (!lcip_step_has_input(call->step, i))
    return x;
  const gint64 bound = lcip_element_int(type, call->inputs[i].data, 0);
  const gboolean less = type == LCIP_TYPE_U64 ? (guint64)x < (guint64)bound : x < bound;
  return less == upper ? x : bound;
}

static void clip_range(gpointer data, gsize begin, gsize end) {
  const LcipCall *call = data;
  const LcipType type = call->inputs[0].spec.type;
  for (gsize i = begin; i < end; i++) {
    const gint64 x = clip_bound(call, 1, lcip_element_int(type, call->inputs[0].data, i), FALSE);
    lcip_element_set_int(type, call->outputs[0].data, i, clip_bound(call, 2, x, TRUE));
  }
}

static gboolean unary_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  UnaryJob job = {.in = call->inputs[0].data, .out = call->outputs[0].data};
  if (!lcip_unary_init(&job.unary, call->step->op, call->step->attrs)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
                "expected an element-wise operator, found %s", call->step->op->name);
    return FALSE;
  }
  const LcipType type = call->inputs[0].spec.type;
  if (job.unary.kind == LCIP_UNARY_CLIP && type != LCIP_TYPE_F32) {
    lcip_team_ranges(team, lcip_view_count(&call->inputs[0]), 16384, clip_range, (gpointer)call);
    return TRUE;
  }
  if (job.unary.kind == LCIP_UNARY_CLIP)
    read_bounds(call, &job.unary);
  lcip_team_ranges(team, lcip_view_count(&call->inputs[0]), 16384,
                   type == LCIP_TYPE_I64   ? integer_range_i64
                   : type == LCIP_TYPE_I32 ? integer_range_i32
                                           : unary_range,
                   &job);
  return TRUE;
}

static const char *const unary_ref_operators[] = {"Relu",
                                                  "LeakyRelu",
                                                  "Elu",
                                                  "Sigmoid",
                                                  "HardSigmoid",
                                                  "HardSwish",
                                                  "Tanh",
                                                  "Clip",
                                                  "Softplus",
                                                  "Exp",
                                                  "Log",
                                                  "Sqrt",
                                                  "Abs",
                                                  "Neg",
                                                  "Floor",
                                                  "Ceil",
                                                  "Erf",
                                                  "Swish",
                                                  "lcip.ScaledHardSwish",
                                                  NULL};

const LcipKernel lcip_kernel_unary_ref = {
    .name = "unary-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = unary_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .inplace = TRUE,
    .supports = lcip_supports_reference,
    .run = unary_ref_run,
};
