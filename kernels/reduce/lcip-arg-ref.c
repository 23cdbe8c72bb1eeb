#include "config.h"
#include "lcip-element.h"

#include <math.h>

/* ArgMax and ArgMin along lines of the axis. */
typedef struct {
  LcipType type;
  const void *in;
  gint64 *out;
  gsize length, stride;
  gboolean greatest, last;
} ArgJob;

static gboolean beats(const ArgJob *job, gsize a, gsize b) {
  gboolean equal, better;
  if (lcip_type_is_float(job->type)) {
    const double x = lcip_element_float(job->type, job->in, a);
    const double y = lcip_element_float(job->type, job->in, b);
    better = job->greatest ? x > y : x < y;
    equal = x == y;
    if (isnan(x) && !isnan(y))
      return TRUE;
  } else {
    const gint64 x = lcip_element_int(job->type, job->in, a);
    const gint64 y = lcip_element_int(job->type, job->in, b);
    better = job->greatest ? x > y : x < y;
    equal = x == y;
  }
  return better || (equal && job->last);
}

static void arg_range(gpointer data, gsize begin, gsize end) {
  const ArgJob *job = data;
  for (gsize line = begin; line < end; line++) {
    const gsize first = line / job->stride * job->stride * job->length + line % job->stride;
    gsize best = 0;
    for (gsize i = 1; i < job->length; i++)
      if (beats(job, first + i * job->stride, first + best * job->stride))
        best = i;
    job->out[line] = (gint64)best;
  }
}

static gboolean arg_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipAttrs *attrs = call->step->attrs;
  const LcipShape *shape = &call->inputs[0].shape;
  int axis;
  if (!lcip_infer_axis(call->step, lcip_attrs_get_int(attrs, "axis"), shape->rank, &axis, error))
    return FALSE;
  ArgJob job = {.type = call->inputs[0].spec.type,
                .in = call->inputs[0].data,
                .out = call->outputs[0].data,
                .length = (gsize)shape->dims[axis],
                .stride = lcip_shape_product(shape, axis + 1, shape->rank),
                .greatest = lcip_step_is(call->step, "ArgMax"),
                .last = lcip_attrs_get_int(attrs, "select_last_index") != 0};
  lcip_team_ranges(team, lcip_shape_product(shape, 0, axis) * job.stride, 256, arg_range, &job);
  return TRUE;
}

static const char *const arg_ref_operators[] = {"ArgMax", "ArgMin", NULL};

const LcipKernel lcip_kernel_arg_ref = {
    .name = "arg-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = arg_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = arg_ref_run,
};
