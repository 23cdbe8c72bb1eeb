#include "config.h"
#include "lcip-vision-private.h"

#include <math.h>

/* The k best of n scores, equal ones in the order of their classes; NaN counts as the worst. */

static gboolean better(const float *scores, gint64 a, gint64 b) {
  return scores[a] > scores[b] || (isnan(scores[b]) && !isnan(scores[a]));
}

/* Insertion into a list of at most k indices, best first; row i of @classes holds {index, -}. */
static void select_best(const float *scores, gint64 n, gint64 k, float *classes, gint64 *best) {
  gint64 count = 0;
  for (gint64 i = 0; i < n; i++) {
    gint64 at = count;
    while (at > 0 && better(scores, i, best[at - 1]))
      at--;
    if (at == k)
      continue;
    count = MIN(count + 1, k);
    for (gint64 j = count - 1; j > at; j--)
      best[j] = best[j - 1];
    best[at] = i;
  }
  for (gint64 i = 0; i < k; i++)
    classes[2 * i] = (float)best[i];
}

/* softmax(x)_i = exp(x_i - max) / sum_j exp(x_j - max): the sum, in double as n may be large. */
static double exp_sum(const float *scores, gint64 n, float max) {
  double sum = 0;
  for (gint64 i = 0; i < n; i++)
    if (!isnan(scores[i]))
      sum += exp((double)scores[i] - (double)max);
  return sum;
}

static gsize scratch_bytes(const LcipStep *step, const LcipPortFormats *formats, guint workers) {
  return (gsize)step->outputs[0].shape.dims[0] * sizeof(gint64);
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const float *scores = call->inputs[0].data;
  const gint64 n = lcip_shape_count(&call->inputs[0].shape);
  const gint64 k = call->outputs[0].shape.dims[0];
  const gboolean softmax = lcip_attrs_get_int(call->step->attrs, "softmax") != 0;
  float *classes = call->outputs[0].data;
  gint64 *best = call->scratch;
  select_best(scores, n, k, classes, best);
  const float max = scores[best[0]];
  const double sum = softmax ? exp_sum(scores, n, max) : 1;
  for (gint64 i = 0; i < k; i++) {
    const double score = (double)scores[best[i]];
    classes[2 * i + 1] = (float)(softmax ? exp(score - (double)max) / sum : score);
  }
  return TRUE;
}

const LcipKernel lcip_kernel_top_classes_ref = {
    .name = "top-classes-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"lcip.TopClasses", NULL},
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_vision_supports,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
