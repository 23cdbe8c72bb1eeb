#include "config.h"
#include "lcip-critical.h"
#include "lcip-plan-private.h"

static const LcipPlanWork *work_at(const LcipPlan *plan, guint step) {
  return plan->works->pdata[step];
}

/* Per root tensor the step that gives it, or -1: constants. */
static int *writers(const LcipPlan *plan) {
  int *writer = g_new(int, plan->tensors->len + 1);
  for (guint t = 0; t < plan->tensors->len; t++)
    writer[t] = -1;
  for (guint s = 0; s < plan->steps->len; s++)
    for (guint o = 0; o < work_at(plan, s)->step.n_outputs; o++) {
      const int tensor = work_at(plan, s)->outputs[o];
      if (tensor >= 0 && writer[lcip_plan_root(plan, tensor)] < 0)
        writer[lcip_plan_root(plan, tensor)] = (int)s;
    }
  return writer;
}

/* Of the steps that @step reads from, the one that is done last, or -1. Steps stand in an order in
 * which they can be done. */
static int latest_before(const LcipPlan *plan, guint step, const int *writer, const double *done) {
  const LcipPlanWork *work = work_at(plan, step);
  int latest = -1;
  for (guint i = 0; i < work->step.n_inputs; i++) {
    if (work->inputs[i] < 0)
      continue;
    const int from = writer[lcip_plan_root(plan, work->inputs[i])];
    if (from >= 0 && from < (int)step && (latest < 0 || done[from] > done[latest]))
      latest = from;
  }
  return latest;
}

GArray *lcip_critical_path(const LcipPlan *plan, const double *step_ms, double *total_ms) {
  g_autofree int *writer = writers(plan), *before = g_new(int, plan->steps->len + 1);
  g_autofree double *done = g_new0(double, plan->steps->len + 1);
  GArray *path = g_array_new(FALSE, FALSE, sizeof(guint));
  int last = -1;
  for (guint s = 0; s < plan->steps->len; s++) {
    before[s] = latest_before(plan, s, writer, done);
    done[s] = (before[s] >= 0 ? done[before[s]] : 0) + step_ms[s];
    if (last < 0 || done[s] >= done[last])
      last = (int)s;
  }
  if (total_ms)
    *total_ms = last >= 0 ? done[last] : 0;
  for (; last >= 0; last = before[last]) {
    const guint step = (guint)last;
    g_array_prepend_val(path, step);
  }
  return path;
}

/* ---- one frame through the segments ---- */

static double segment_ms(const LcipPlanSegment *segment, const double *step_ms) {
  double ms = 0;
  for (guint i = 0; i < segment->n_steps; i++)
    ms += step_ms[segment->steps[i]];
  return ms;
}

/* Segments stand by lane changes from the source on, so those that one needs come before it. */
double lcip_frame_time(const LcipPlan *plan, const double *step_ms) {
  g_autofree double *done = g_new0(double, plan->segments->len + 1);
  g_autofree double *lane_free = g_new0(double, plan->lanes->len + 1);
  double end = 0;
  for (guint s = 0; s < plan->segments->len; s++) {
    const LcipPlanSegment *segment = &g_array_index(plan->segments, LcipPlanSegment, s);
    double start = segment->lane >= 0 ? lane_free[segment->lane] : 0;
    for (guint c = 0; c < plan->channels->len; c++) {
      const LcipPlanChannel *channel = &g_array_index(plan->channels, LcipPlanChannel, c);
      if (channel->dst_segment == (int)s && channel->delay == 0)
        start = MAX(start, done[channel->src_segment]);
    }
    done[s] = start + segment_ms(segment, step_ms);
    if (segment->lane >= 0)
      lane_free[segment->lane] = done[s];
    end = MAX(end, done[s]);
  }
  return end;
}
