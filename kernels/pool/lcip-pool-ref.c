#include "config.h"

#include "lcip-element.h"
#include "lcip-window.h"

#include <math.h>

typedef struct {
  LcipWindow window;
  LcipType type; /* of x and y */
  const void *x;
  void *y;
  double p; /* of LpPool, else 0 */
  gint64 *indices;
  gsize in_size, out_size;
  gboolean average, include_pad, column_major;
} PoolJob;

/* Range [*begin, *end) of window elements along dimension @i that lie between 0 and @limit. */
static void valid_taps(const LcipWindow *win, int i, gint64 start, gint64 limit, gint64 *begin,
                       gint64 *end) {
  const gint64 dilation = win->dilation[i];
  *begin = start < 0 ? (-start + dilation - 1) / dilation : 0;
  *end = limit <= start ? 0 : MIN(win->kernel[i], (limit - start + dilation - 1) / dilation);
}

/* What an average divides by: the window's elements, without those beyond the padding (ceil_mode)
 * and, unless padding counts, without those in it. */
static double average_count(const PoolJob *job, const gint64 *start) {
  const LcipWindow *win = &job->window;
  double count = 1;
  for (int i = 0; i < 3; i++) {
    gint64 begin, end;
    valid_taps(win, i, start[i], win->in[i] + (job->include_pad ? win->pad_end[i] : 0), &begin,
               &end);
    count *= (double)(job->include_pad ? end : end - begin);
  }
  return count;
}

static gint64 flat_index(const PoolJob *job, const gint64 *at) {
  const LcipWindow *win = &job->window;
  if (!job->column_major)
    return (at[0] * win->in[1] + at[1]) * win->in[2] + at[2];
  return at[0] + win->in[0] * (at[1] + win->in[1] * at[2]);
}

/* One window; NaN wins a maximum, as it does a sum. */
static float pool_window(const PoolJob *job, gsize plane, const gint64 *start, gint64 *index) {
  const LcipWindow *win = &job->window;
  gint64 begin[3], end[3], k[3];
  double sum = 0;
  float best = -INFINITY;
  gboolean any = FALSE;
  for (int i = 0; i < 3; i++)
    valid_taps(win, i, start[i], win->in[i], &begin[i], &end[i]);
  for (k[0] = begin[0]; k[0] < end[0]; k[0]++)
    for (k[1] = begin[1]; k[1] < end[1]; k[1]++)
      for (k[2] = begin[2]; k[2] < end[2]; k[2]++) {
        gint64 at[3];
        for (int i = 0; i < 3; i++)
          at[i] = start[i] + k[i] * win->dilation[i];
        const gsize in_plane = (gsize)((at[0] * win->in[1] + at[1]) * win->in[2] + at[2]);
        /* 8-bit integers are exact in f32 */
        const float value =
            (float)lcip_element_float(job->type, job->x, plane * job->in_size + in_plane);
        sum += job->p > 0 ? pow(fabs((double)value), job->p) : (double)value;
        if (!any || value > best || (isnan(value) && !isnan(best))) {
          best = value;
          *index = flat_index(job, at);
        }
        any = TRUE;
      }
  if (job->p > 0)
    return (float)pow(sum, 1 / job->p);
  if (!job->average)
    return any || lcip_type_is_float(job->type) ? best : 0;
  const double n = average_count(job, start);
  return n > 0 ? (float)(sum / n) : 0.0f;
}

static void pool_range(gpointer data, gsize begin, gsize end) {
  const PoolJob *job = data;
  const LcipWindow *win = &job->window;
  for (gsize plane = begin; plane < end; plane++) {
    gsize at = plane * job->out_size;
    gint64 out[3], start[3];
    for (out[0] = 0; out[0] < win->out[0]; out[0]++)
      for (out[1] = 0; out[1] < win->out[1]; out[1]++)
        for (out[2] = 0; out[2] < win->out[2]; out[2]++, at++) {
          gint64 index = 0;
          for (int i = 0; i < 3; i++)
            start[i] = out[i] * win->stride[i] - win->pad_begin[i];
          lcip_element_set_float(job->type, job->y, at,
                                 (double)pool_window(job, plane, start, &index));
          if (job->indices)
            job->indices[at] = (gint64)(plane * job->in_size) + index;
        }
  }
}

static void global_range(gpointer data, gsize begin, gsize end) {
  const PoolJob *job = data;
  for (gsize plane = begin; plane < end; plane++) {
    const float *x = (const float *)job->x + plane * job->in_size;
    double sum = 0;
    float best = x[0];
    for (gsize i = 0; i < job->in_size; i++) {
      sum += job->p > 0 ? pow(fabs((double)x[i]), job->p) : (double)x[i];
      if (x[i] > best || isnan(x[i]))
        best = x[i];
    }
    const double mean = sum / (double)job->in_size;
    ((float *)job->y)[plane] = job->p > 0     ? (float)pow(sum, 1 / job->p)
                               : job->average ? (float)mean
                                              : best;
  }
}

static gboolean pool_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipStep *step = call->step;
  const LcipShape *shape = &call->inputs[0].shape;
  const gboolean indices = step->n_outputs > 1 && step->outputs[1].type != LCIP_TYPE_NONE;
  PoolJob job = {.type = call->inputs[0].spec.type,
                 .x = call->inputs[0].data,
                 .y = call->outputs[0].data,
                 .indices = indices ? call->outputs[1].data : NULL,
                 .in_size = lcip_shape_product(shape, 2, shape->rank),
                 .out_size = lcip_shape_product(&call->outputs[0].shape, 2, shape->rank)};
  const gsize planes = lcip_shape_product(shape, 0, 2);
  job.average = lcip_step_is(step, "AveragePool") || lcip_step_is(step, "GlobalAveragePool");
  if (lcip_step_is(step, "LpPool") || lcip_step_is(step, "GlobalLpPool"))
    job.p = (double)lcip_attrs_get_int(step->attrs, "p");
  if (g_str_has_prefix(step->op->name, "Global")) {
    lcip_team_ranges(team, planes, 1, global_range, &job);
    return TRUE;
  }
  if (!lcip_window_init(&job.window, LCIP_WINDOW_POOL, step, shape, NULL, error))
    return FALSE;
  if (job.average)
    job.include_pad = lcip_attrs_get_int(step->attrs, "count_include_pad") != 0;
  else if (job.p == 0)
    job.column_major = lcip_attrs_get_int(step->attrs, "storage_order") != 0;
  lcip_team_ranges(team, planes, 1, pool_range, &job);
  return TRUE;
}

static const char *const pool_ref_operators[] = {
    "MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool", NULL};

const LcipKernel lcip_kernel_pool_ref = {
    .name = "pool-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = pool_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = pool_ref_run,
};
