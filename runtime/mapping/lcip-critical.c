#include "config.h"
#include "lcip-critical.h"
#include "lcip-plan-private.h"

static const LcipPlanWork *work_at(const LcipPlan *plan, guint step) {
  return plan->works->pdata[step];
}

/* Per root tensor what is done of it: the latest end of the steps that wrote into it so far (in
 * place, or parts of a concatenation) and which step that was, or -1. */
typedef struct {
  double *done;
  int *writer;
} Written;

static void note_write(const LcipPlan *plan, Written *written, guint step, double done) {
  for (guint o = 0; o < work_at(plan, step)->step.n_outputs; o++) {
    const int tensor = work_at(plan, step)->outputs[o];
    const int root = tensor >= 0 ? lcip_plan_root(plan, tensor) : -1;
    if (root < 0 || (written->writer[root] >= 0 && written->done[root] > done))
      continue;
    written->done[root] = done;
    written->writer[root] = (int)step;
  }
}

/* Of the steps that @step reads from, the one that is done last, or -1. Steps stand in an order in
 * which they can be done. */
static int latest_before(const LcipPlan *plan, guint step, const Written *written) {
  const LcipPlanWork *work = work_at(plan, step);
  int latest = -1;
  for (guint i = 0; i < work->step.n_inputs; i++) {
    const int root = work->inputs[i] >= 0 ? lcip_plan_root(plan, work->inputs[i]) : -1;
    if (root >= 0 && written->writer[root] >= 0 &&
        (latest < 0 || written->done[root] > written->done[latest]))
      latest = root;
  }
  return latest < 0 ? -1 : written->writer[latest];
}

GArray *lcip_critical_path(const LcipPlan *plan, const double *step_ms, double *total_ms) {
  g_autofree int *writer = g_new(int, plan->tensors->len + 1);
  g_autofree int *before = g_new(int, plan->steps->len + 1);
  g_autofree double *written_at = g_new0(double, plan->tensors->len + 1);
  g_autofree double *done = g_new0(double, plan->steps->len + 1);
  GArray *path = g_array_new(FALSE, FALSE, sizeof(guint));
  Written written = {written_at, writer};
  int last = -1;
  for (guint t = 0; t < plan->tensors->len; t++)
    writer[t] = -1;
  for (guint s = 0; s < plan->steps->len; s++) {
    before[s] = latest_before(plan, s, &written);
    done[s] = (before[s] >= 0 ? done[before[s]] : 0) + step_ms[s];
    note_write(plan, &written, s, done[s]);
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
