#include "config.h"

#include "lcip-infer.h"

#include <math.h>

/* Each operator works on an item of its own: BatchNormalization and InstanceNormalization on a
 * plane (n, c), LRN on a spatial position of an image, Softmax on a line along its axis. */
typedef struct {
  const float *x, *scale, *shift, *mean, *variance;
  float *y;
  gsize channels;
  gsize length; /* elements of a plane or a line */
  gsize stride; /* between elements of a line */
  float alpha, beta, bias, epsilon;
  gsize size;
  gboolean logarithm;
} NormJob;

static void batch_norm_range(gpointer data, gsize begin, gsize end) {
  const NormJob *job = data;
  for (gsize plane = begin; plane < end; plane++) {
    const gsize c = plane % job->channels;
    const double deviation = sqrt((double)job->variance[c] + (double)job->epsilon);
    const double factor = (double)job->scale[c] / deviation;
    for (gsize i = plane * job->length; i < (plane + 1) * job->length; i++)
      job->y[i] =
          (float)(((double)job->x[i] - (double)job->mean[c]) * factor + (double)job->shift[c]);
  }
}

static void instance_norm_range(gpointer data, gsize begin, gsize end) {
  const NormJob *job = data;
  for (gsize plane = begin; plane < end; plane++) {
    const gsize c = plane % job->channels;
    const float *x = job->x + plane * job->length;
    double mean = 0, variance = 0;
    for (gsize i = 0; i < job->length; i++)
      mean += (double)x[i] / (double)job->length;
    for (gsize i = 0; i < job->length; i++)
      variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)job->length;
    const double factor = (double)job->scale[c] / sqrt(variance + (double)job->epsilon);
    for (gsize i = 0; i < job->length; i++)
      job->y[plane * job->length + i] =
          (float)(((double)x[i] - mean) * factor + (double)job->shift[c]);
  }
}

/* y = x / (bias + alpha / size * sum of squares of the channels around)^beta */
static void lrn_range(gpointer data, gsize begin, gsize end) {
  const NormJob *job = data;
  const gsize before = (job->size - 1) / 2, after = job->size - 1 - before;
  for (gsize at = begin; at < end; at++) {
    const gsize first = at / job->length * job->channels * job->length + at % job->length;
    for (gsize c = 0; c < job->channels; c++) {
      const gsize low = c > before ? c - before : 0, high = MIN(c + after, job->channels - 1);
      double sum = 0;
      for (gsize k = low; k <= high; k++)
        sum += (double)job->x[first + k * job->length] * (double)job->x[first + k * job->length];
      const double base = (double)job->bias + (double)job->alpha / (double)job->size * sum;
      job->y[first + c * job->length] =
          (float)((double)job->x[first + c * job->length] / pow(base, (double)job->beta));
    }
  }
}

static void softmax_line(const NormJob *job, const float *x, float *y) {
  float greatest = -INFINITY;
  double sum = 0;
  for (gsize i = 0; i < job->length; i++)
    greatest = x[i * job->stride] > greatest ? x[i * job->stride] : greatest;
  for (gsize i = 0; i < job->length; i++)
    sum += exp((double)x[i * job->stride] - (double)greatest);
  for (gsize i = 0; i < job->length; i++) {
    const double shifted = (double)x[i * job->stride] - (double)greatest;
    y[i * job->stride] = (float)(job->logarithm ? shifted - log(sum) : exp(shifted) / sum);
  }
}

static void softmax_range(gpointer data, gsize begin, gsize end) {
  const NormJob *job = data;
  for (gsize line = begin; line < end; line++) {
    const gsize first = line / job->stride * job->stride * job->length + line % job->stride;
    softmax_line(job, job->x + first, job->y + first);
  }
}

static gboolean run_softmax(NormJob *job, const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *shape = &call->inputs[0].shape;
  int axis;
  if (!lcip_infer_axis(call->step, lcip_attrs_get_int(call->step->attrs, "axis"), shape->rank,
                       &axis, error))
    return FALSE;
  job->length = (gsize)shape->dims[axis];
  job->stride = lcip_shape_product(shape, axis + 1, shape->rank);
  job->logarithm = lcip_step_is(call->step, "LogSoftmax");
  lcip_team_ranges(team, lcip_shape_product(shape, 0, axis) * job->stride, 64, softmax_range, job);
  return TRUE;
}

static void run_lrn(NormJob *job, const LcipCall *call, LcipTeam *team) {
  const LcipAttrs *attrs = call->step->attrs;
  job->alpha = lcip_attrs_get_float(attrs, "alpha");
  job->beta = lcip_attrs_get_float(attrs, "beta");
  job->bias = lcip_attrs_get_float(attrs, "bias");
  job->size = (gsize)lcip_attrs_get_int(attrs, "size");
  if (job->channels > 0)
    lcip_team_ranges(team, (gsize)call->inputs[0].shape.dims[0] * job->length, 64, lrn_range, job);
}

static gboolean norm_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipStep *step = call->step;
  const LcipShape *shape = &call->inputs[0].shape;
  NormJob job = {.x = call->inputs[0].data, .y = call->outputs[0].data};
  if (lcip_step_is(step, "Softmax") || lcip_step_is(step, "LogSoftmax"))
    return run_softmax(&job, call, team, error);
  job.channels = (gsize)shape->dims[1];
  job.length = lcip_shape_product(shape, 2, shape->rank);
  if (lcip_step_is(step, "LRN")) {
    run_lrn(&job, call, team);
    return TRUE;
  }
  const gboolean batch = lcip_step_is(step, "BatchNormalization");
  job.scale = call->inputs[1].data;
  job.shift = call->inputs[2].data;
  job.mean = batch ? call->inputs[3].data : NULL;
  job.variance = batch ? call->inputs[4].data : NULL;
  job.epsilon = lcip_attrs_get_float(step->attrs, "epsilon");
  lcip_team_ranges(team, lcip_shape_product(shape, 0, 2), 1,
                   batch ? batch_norm_range : instance_norm_range, &job);
  return TRUE;
}

static const char *const norm_ref_operators[] = {
    "BatchNormalization", "InstanceNormalization", "LRN", "Softmax", "LogSoftmax", NULL};

const LcipKernel lcip_kernel_norm_ref = {
    .name = "norm-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = norm_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = norm_ref_run,
};
