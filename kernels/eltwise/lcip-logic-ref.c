#include "config.h"

#include "lcip-broadcast.h"
#include "lcip-element.h"

#include <math.h>
#include <string.h>

typedef enum {
  LOGIC_EQUAL,
  LOGIC_GREATER,
  LOGIC_GREATER_EQUAL,
  LOGIC_LESS,
  LOGIC_LESS_EQUAL,
  LOGIC_AND,
  LOGIC_OR,
  LOGIC_XOR,
  LOGIC_MOD,
  LOGIC_SHIFT,
  LOGIC_WHERE,
  N_LOGIC
} LogicKind;

static const char *const logic_ref_operators[] = {
    "Equal", "Greater", "GreaterOrEqual", "Less",  "LessOrEqual", "And",  "Or",
    "Xor",   "Mod",     "BitShift",       "Where", "Sum",         "Mean", NULL};

typedef struct {
  LogicKind kind;
  LcipType type; /* of the operands */
  gboolean c_sign, left;
  LcipBroadcast broadcast;
  const void *inputs[LCIP_BROADCAST_MAX];
  void *out;
} LogicJob;

/* -1, 0, 1, or 2 where one is NaN */
static int compare(LcipType type, const void *a, gsize ia, const void *b, gsize ib) {
  if (lcip_type_is_float(type)) {
    const double x = lcip_element_float(type, a, ia), y = lcip_element_float(type, b, ib);
    return isnan(x) || isnan(y) ? 2 : (x > y) - (x < y);
  }
  const gint64 x = lcip_element_int(type, a, ia), y = lcip_element_int(type, b, ib);
  if (type == LCIP_TYPE_U64)
    return ((guint64)x > (guint64)y) - ((guint64)x < (guint64)y);
  return (x > y) - (x < y);
}

static gboolean comparison_holds(LogicKind kind, int order) {
  switch (kind) {
  case LOGIC_EQUAL:
    return order == 0;
  case LOGIC_GREATER:
    return order == 1;
  case LOGIC_GREATER_EQUAL:
    return order == 0 || order == 1;
  case LOGIC_LESS:
    return order == -1;
  default:
    return order == 0 || order == -1;
  }
}

/* A remainder by 0 is 0: graphs from files must not end the process. */
static gint64 int_remainder(const LogicJob *job, gint64 x, gint64 y) {
  if (y == 0)
    return 0;
  if (job->type == LCIP_TYPE_U64)
    return (gint64)((guint64)x % (guint64)y);
  const gint64 r = y == -1 ? 0 : x % y;
  return !job->c_sign && r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

static gint64 shifted(const LogicJob *job, guint64 x, guint64 by) {
  if (by >= lcip_type_size(job->type) * 8)
    return 0;
  return (gint64)(job->left ? x << by : x >> by);
}

static void logic_element(const LogicJob *job, gsize at, const gsize *from) {
  const LcipType type = job->type;
  const void *a = job->inputs[0], *b = job->inputs[1];
  if (job->kind <= LOGIC_LESS_EQUAL) {
    ((guint8 *)job->out)[at] =
        comparison_holds(job->kind, compare(type, a, from[0], b, from[1])) ? 1 : 0;
    return;
  }
  if (job->kind == LOGIC_MOD && lcip_type_is_float(type)) {
    lcip_element_set_float(
        type, job->out, at,
        fmod(lcip_element_float(type, a, from[0]), lcip_element_float(type, b, from[1])));
    return;
  }
  const gint64 x = lcip_element_int(type, a, from[0]), y = lcip_element_int(type, b, from[1]);
  gint64 result = 0;
  if (job->kind == LOGIC_AND)
    result = x && y;
  else if (job->kind == LOGIC_OR)
    result = x || y;
  else if (job->kind == LOGIC_XOR)
    result = !x != !y;
  else if (job->kind == LOGIC_MOD)
    result = int_remainder(job, x, y);
  else
    result = shifted(job, (guint64)x, (guint64)y);
  lcip_element_set_int(type, job->out, at, result);
}

static void logic_range(gpointer data, gsize begin, gsize end) {
  const LogicJob *job = data;
  const gsize size = lcip_type_size(job->type);
  gsize from[LCIP_BROADCAST_MAX];
  for (gsize at = begin; at < end; at++) {
    lcip_broadcast_element(&job->broadcast, at, from);
    if (job->kind != LOGIC_WHERE) {
      logic_element(job, at, from);
      continue;
    }
    const guint k = ((const guint8 *)job->inputs[0])[from[0]] ? 1 : 2;
    memcpy((char *)job->out + at * size, (const char *)job->inputs[k] + from[k] * size, size);
  }
}

/* Sum and Mean: in double, all operands of one element together. */
static void run_sum(const LcipCall *call) {
  const guint n = call->step->n_anchor_inputs;
  const double divisor = lcip_step_is(call->step, "Mean") ? n : 1;
  float *out = call->outputs[0].data;
  const gsize count = lcip_view_count(&call->outputs[0]);
  double *sums = call->scratch;
  if (count > 0)
    memset(sums, 0, count * sizeof(double));
  for (guint i = 0; i < n; i++) {
    const LcipShape *shape = &call->inputs[i].shape;
    LcipBroadcast broadcast;
    gsize from;
    lcip_broadcast_init(&broadcast, &call->outputs[0].shape, 1, &shape);
    for (gsize at = 0; at < count; at++) {
      lcip_broadcast_element(&broadcast, at, &from);
      sums[at] += (double)((const float *)call->inputs[i].data)[from];
    }
  }
  for (gsize at = 0; at < count; at++)
    out[at] = (float)(sums[at] / divisor);
}

static gsize logic_ref_scratch(const LcipStep *step, const LcipPortFormats *formats,
                               guint workers) {
  const gboolean sums = lcip_step_is(step, "Sum") || lcip_step_is(step, "Mean");
  return sums ? (gsize)lcip_shape_count(&step->outputs[0].shape) * sizeof(double) : 0;
}

static gboolean logic_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipStep *step = call->step;
  const LcipShape *shapes[LCIP_BROADCAST_MAX];
  LogicJob job = {.out = call->outputs[0].data};
  while (job.kind < N_LOGIC && !lcip_step_is(step, logic_ref_operators[job.kind]))
    job.kind++;
  if (job.kind == N_LOGIC) {
    run_sum(call);
    return TRUE;
  }
  job.type = call->inputs[job.kind == LOGIC_WHERE ? 1 : 0].spec.type;
  if (job.kind == LOGIC_MOD)
    job.c_sign = lcip_attrs_get_int(step->attrs, "fmod") != 0;
  if (job.kind == LOGIC_SHIFT)
    job.left = g_strcmp0(lcip_attrs_get_string(step->attrs, "direction"), "LEFT") == 0;
  const guint n = job.kind == LOGIC_WHERE ? 3 : 2;
  for (guint i = 0; i < n; i++) {
    shapes[i] = &call->inputs[i].shape;
    job.inputs[i] = call->inputs[i].data;
  }
  lcip_broadcast_init(&job.broadcast, &call->outputs[0].shape, n, shapes);
  lcip_team_ranges(team, lcip_view_count(&call->outputs[0]), 4096, logic_range, &job);
  return TRUE;
}

const LcipKernel lcip_kernel_logic_ref = {
    .name = "logic-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = logic_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .scratch_bytes = logic_ref_scratch,
    .run = logic_ref_run,
};
