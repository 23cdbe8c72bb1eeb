#include "config.h"
#include "lcip-reduce.h"

#include <math.h>

/* The input is walked as kept x reduced elements, each with its own list of dimensions. */
typedef struct {
  gint64 dims[LCIP_MAX_RANK], strides[LCIP_MAX_RANK];
  int rank;
  gsize count;
} Walk;

typedef enum { REDUCE_MEAN, REDUCE_SUM, REDUCE_MAX } ReduceKind;

typedef struct {
  ReduceKind kind;
  LcipType type;
  Walk kept, reduced;
  const void *in;
  void *out;
} ReduceJob;

static void walk_add(Walk *walk, gint64 dim, gint64 stride) {
  walk->dims[walk->rank] = dim;
  walk->strides[walk->rank++] = stride;
  walk->count *= (gsize)dim;
}

static gsize walk_offset(const Walk *walk, gsize at) {
  gsize offset = 0;
  for (int i = walk->rank - 1; i >= 0; i--) {
    offset += at % (gsize)walk->dims[i] * (gsize)walk->strides[i];
    at /= (gsize)walk->dims[i];
  }
  return offset;
}

static float reduce_float(const ReduceJob *job, const float *x) {
  double sum = 0;
  float best = -INFINITY;
  for (gsize i = 0; i < job->reduced.count; i++) {
    const float value = x[walk_offset(&job->reduced, i)];
    sum += (double)value;
    if (value > best || isnan(value))
      best = value;
  }
  if (job->kind == REDUCE_MAX)
    return best;
  return (float)(job->kind == REDUCE_MEAN ? sum / (double)job->reduced.count : sum);
}

/* Sums wrap around. */
static gint64 reduce_int(const ReduceJob *job, gsize first) {
  guint64 sum = 0;
  gint64 best = G_MININT64;
  for (gsize i = 0; i < job->reduced.count; i++) {
    const gsize at = first + walk_offset(&job->reduced, i);
    const gint64 value =
        job->type == LCIP_TYPE_I32 ? ((const gint32 *)job->in)[at] : ((const gint64 *)job->in)[at];
    sum += (guint64)value;
    best = MAX(best, value);
  }
  if (job->kind == REDUCE_MAX)
    return best;
  return job->kind == REDUCE_MEAN ? (gint64)sum / (gint64)job->reduced.count : (gint64)sum;
}

static void reduce_range(gpointer data, gsize begin, gsize end) {
  const ReduceJob *job = data;
  for (gsize i = begin; i < end; i++) {
    const gsize first = walk_offset(&job->kept, i);
    if (job->type == LCIP_TYPE_F32)
      ((float *)job->out)[i] = reduce_float(job, (const float *)job->in + first);
    else if (job->type == LCIP_TYPE_I32)
      ((gint32 *)job->out)[i] = (gint32)reduce_int(job, first);
    else
      ((gint64 *)job->out)[i] = reduce_int(job, first);
  }
}

static gboolean reduce_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *in = &call->inputs[0].shape;
  gboolean reduced[LCIP_MAX_RANK];
  ReduceJob job = {.kind = lcip_step_is(call->step, "ReduceMean")  ? REDUCE_MEAN
                           : lcip_step_is(call->step, "ReduceSum") ? REDUCE_SUM
                                                                   : REDUCE_MAX,
                   .type = call->inputs[0].spec.type,
                   .kept = {.count = 1},
                   .reduced = {.count = 1},
                   .in = call->inputs[0].data,
                   .out = call->outputs[0].data};
  if (!lcip_reduce_axes(call->step, in->rank, reduced, error))
    return FALSE;
  for (int i = 0; i < in->rank; i++)
    walk_add(reduced[i] ? &job.reduced : &job.kept, in->dims[i],
             (gint64)lcip_shape_product(in, i + 1, in->rank));
  lcip_team_ranges(team, job.kept.count, 64, reduce_range, &job);
  return TRUE;
}

static const char *const reduce_ref_operators[] = {"ReduceMean", "ReduceSum", "ReduceMax", NULL};

const LcipKernel lcip_kernel_reduce_ref = {
    .name = "reduce-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = reduce_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = reduce_ref_run,
};
