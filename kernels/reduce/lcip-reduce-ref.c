#include "config.h"
#include "lcip-element.h"
#include "lcip-reduce.h"

#include <math.h>

/* The input is walked as kept x reduced elements, each with its own list of dimensions. */
typedef struct {
  gint64 dims[LCIP_MAX_RANK], strides[LCIP_MAX_RANK];
  int rank;
  gsize count;
} Walk;

typedef enum {
  REDUCE_MEAN,
  REDUCE_SUM,
  REDUCE_MAX,
  REDUCE_MIN,
  REDUCE_PROD,
  REDUCE_L1,
  REDUCE_L2,
  REDUCE_LOG_SUM,
  REDUCE_LOG_SUM_EXP,
  REDUCE_SUM_SQUARE,
  N_REDUCE
} ReduceKind;

static const char *const reduce_ref_operators[] = {
    "ReduceMean", "ReduceSum",    "ReduceMax",       "ReduceMin",       "ReduceProd", "ReduceL1",
    "ReduceL2",   "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", NULL};

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

/* What one element adds to a sum. */
static double term(ReduceKind kind, double x) {
  switch (kind) {
  case REDUCE_L1:
    return fabs(x);
  case REDUCE_L2:
  case REDUCE_SUM_SQUARE:
    return x * x;
  default:
    return x;
  }
}

static double value_at(const ReduceJob *job, gsize first, gsize i) {
  return lcip_element_float(job->type, job->in, first + walk_offset(&job->reduced, i));
}

static double greatest(const ReduceJob *job, gsize first) {
  double best = -INFINITY;
  for (gsize i = 0; i < job->reduced.count; i++) {
    const double value = value_at(job, first, i);
    if (value > best || isnan(value))
      best = value;
  }
  return best;
}

static double least(const ReduceJob *job, gsize first) {
  double best = INFINITY;
  for (gsize i = 0; i < job->reduced.count; i++) {
    const double value = value_at(job, first, i);
    if (value < best || isnan(value))
      best = value;
  }
  return best;
}

/* The greatest element is taken out first, so that nothing overflows. */
static double log_sum_exp(const ReduceJob *job, gsize first) {
  const double best = greatest(job, first);
  double sum = 0;
  if (isinf(best))
    return best;
  for (gsize i = 0; i < job->reduced.count; i++)
    sum += exp(value_at(job, first, i) - best);
  return best + log(sum);
}

static double reduce_float(const ReduceJob *job, gsize first) {
  double sum = 0, product = 1;
  if (job->kind == REDUCE_MAX)
    return greatest(job, first);
  if (job->kind == REDUCE_MIN)
    return least(job, first);
  if (job->kind == REDUCE_LOG_SUM_EXP)
    return log_sum_exp(job, first);
  for (gsize i = 0; i < job->reduced.count; i++) {
    const double value = value_at(job, first, i);
    sum += term(job->kind, value);
    product *= value;
  }
  switch (job->kind) {
  case REDUCE_MEAN:
    return sum / (double)job->reduced.count;
  case REDUCE_PROD:
    return product;
  case REDUCE_L2:
    return sqrt(sum);
  case REDUCE_LOG_SUM:
    return log(sum);
  default:
    return sum;
  }
}

/* Sums and products wrap around. */
static gint64 reduce_int(const ReduceJob *job, gsize first) {
  guint64 sum = 0, product = 1;
  gint64 best = 0;
  for (gsize i = 0; i < job->reduced.count; i++) {
    const gint64 value =
        lcip_element_int(job->type, job->in, first + walk_offset(&job->reduced, i));
    const guint64 bits = (guint64)value;
    if (job->kind == REDUCE_L1)
      sum += value < 0 ? 0 - bits : bits;
    else if (job->kind == REDUCE_SUM_SQUARE)
      sum += bits * bits;
    else
      sum += bits;
    product *= bits;
    if (i == 0 || (job->kind == REDUCE_MIN ? value < best : value > best))
      best = value;
  }
  if (job->kind == REDUCE_MAX || job->kind == REDUCE_MIN)
    return best;
  if (job->kind == REDUCE_MEAN)
    return job->reduced.count > 0 ? (gint64)sum / (gint64)job->reduced.count : 0;
  return job->kind == REDUCE_PROD ? (gint64)product : (gint64)sum;
}

/* Roots and logarithms of integers go through double and are rounded towards zero. */
static gboolean in_double(const ReduceJob *job) {
  return lcip_type_is_float(job->type) || job->kind == REDUCE_L2 || job->kind == REDUCE_LOG_SUM ||
         job->kind == REDUCE_LOG_SUM_EXP;
}

static void reduce_range(gpointer data, gsize begin, gsize end) {
  const ReduceJob *job = data;
  for (gsize i = begin; i < end; i++) {
    const gsize first = walk_offset(&job->kept, i);
    if (in_double(job))
      lcip_element_set_float(job->type, job->out, i, reduce_float(job, first));
    else
      lcip_element_set_int(job->type, job->out, i, reduce_int(job, first));
  }
}

static gboolean reduce_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *in = &call->inputs[0].shape;
  gboolean reduced[LCIP_MAX_RANK];
  ReduceJob job = {.type = call->inputs[0].spec.type,
                   .kept = {.count = 1},
                   .reduced = {.count = 1},
                   .in = call->inputs[0].data,
                   .out = call->outputs[0].data};
  while (job.kind + 1 < N_REDUCE && !lcip_step_is(call->step, reduce_ref_operators[job.kind]))
    job.kind++;
  if (!lcip_reduce_axes(call->step, in->rank, reduced, error))
    return FALSE;
  for (int i = 0; i < in->rank; i++)
    walk_add(reduced[i] ? &job.reduced : &job.kept, in->dims[i],
             (gint64)lcip_shape_product(in, i + 1, in->rank));
  lcip_team_ranges(team, job.kept.count, 64, reduce_range, &job);
  return TRUE;
}

const LcipKernel lcip_kernel_reduce_ref = {
    .name = "reduce-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = reduce_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = reduce_ref_run,
};
