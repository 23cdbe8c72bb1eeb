#include "config.h"
#include "lcip-critical.h"
#include "lcip-predict.h"

#include <string.h>

/* A prediction rests on what makes up at least this share of its time. */
#define TELLING_SHARE 0.1
/* A lane that is this busy has frames waiting for it. */
#define SATURATED 0.95
/* Frames that a run lets in at once for each lane, as LcipRunOptions has it. */
#define FRAMES_PER_LANE 2

/* ---- what steps take ---- */

static double *step_times(const LcipPlan *plan, LcipStepTimes *times, double by_sureness[3]) {
  double *ms = g_new0(double, lcip_plan_n_steps(plan) + 1);
  for (guint i = 0; i < lcip_plan_n_steps(plan); i++) {
    LcipSureness sureness;
    ms[i] = lcip_step_times_get(times, plan, i, &sureness);
    by_sureness[sureness] += ms[i];
  }
  return ms;
}

static double *measured_times(const LcipProfile *profile) {
  double *ms = g_new0(double, lcip_plan_n_steps(profile->plan) + 1);
  for (guint i = 0; i < lcip_plan_n_steps(profile->plan); i++)
    if (!lcip_plan_step(profile->plan, i)->is_io && profile->steps[i].n > 0)
      ms[i] = profile->steps[i].median_ms;
  return ms;
}

static LcipSureness worst(const double by_sureness[3]) {
  const double all = by_sureness[0] + by_sureness[1] + by_sureness[2];
  for (int s = LCIP_SURE_GUESS; s > LCIP_SURE_MEASURED; s--)
    if (by_sureness[s] > TELLING_SHARE * all)
      return (LcipSureness)s;
  return LCIP_SURE_MEASURED;
}

static double *lane_times(const LcipPlan *plan, const double *step_ms) {
  double *ms = g_new0(double, lcip_plan_n_lanes(plan) + 1);
  for (guint i = 0; i < lcip_plan_n_steps(plan); i++)
    if (lcip_plan_step(plan, i)->lane >= 0)
      ms[lcip_plan_step(plan, i)->lane] += step_ms[i];
  return ms;
}

/* ---- what the present run says beside its steps ---- */

/* How much longer a lane is busy than its steps say: 1 for one that does nothing yet. */
static double overhead(const LcipProfile *now, const double *now_ms, const LcipPlanLane *lane) {
  for (guint i = 0; now && i < lcip_plan_n_lanes(now->plan); i++) {
    const LcipPlanLane *before = lcip_plan_lane(now->plan, i);
    const double busy = now->lanes[i].compute_ms + now->lanes[i].copy_ms;
    if (before->device == lane->device && g_str_equal(before->name, lane->name) && now_ms[i] > 0)
      return CLAMP(busy / now_ms[i], 0.5, 3);
  }
  return 1;
}

static guint lanes_in_use(const LcipPlan *plan) {
  guint n = 0;
  for (guint i = 0; i < lcip_plan_n_lanes(plan); i++)
    n += lcip_plan_lane(plan, i)->n_steps > 0;
  return MAX(n, 1);
}

static gboolean is_saturated(const LcipProfile *profile) {
  return profile->delivered_fps > SATURATED * profile->capacity_fps;
}

/* Where a lane is saturated, frames wait for it: by Little's law latency is frames in flight
 * through throughput. Else it is the time of one frame and what the run spends beside. */
static double latency(const LcipPlan *plan, const double *step_ms, const LcipProfile *now,
                      const double *now_step_ms, double capacity_fps) {
  const double frame_ms = lcip_frame_time(plan, step_ms);
  if (!now)
    return frame_ms;
  const gboolean was_saturated = is_saturated(now);
  if (capacity_fps > 0 && (was_saturated || capacity_fps < SATURATED * now->delivered_fps))
    return MAX(frame_ms, FRAMES_PER_LANE * lanes_in_use(plan) * 1000 / capacity_fps);
  const double beside = now->latency.median_ms - lcip_frame_time(now->plan, now_step_ms);
  return frame_ms + MAX(beside, 0);
}

/* ---- the whole ---- */

static void count_copies(LcipPrediction *prediction, const LcipPlan *plan, const double *step_ms) {
  for (guint i = 0; i < lcip_plan_n_steps(plan); i++) {
    const LcipPlanStep *step = lcip_plan_step(plan, i);
    if (step->n_actors > 0 || step->kernel || step->is_io)
      continue;
    prediction->n_copies++;
    prediction->copy_bytes += (gsize)step->cost.bytes;
    prediction->copy_ms += step_ms[i];
  }
}

static void find_bottleneck(LcipPrediction *prediction) {
  prediction->bottleneck_lane = -1;
  double busiest = 0;
  for (guint i = 0; i < prediction->n_lanes; i++)
    if (prediction->lane_ms[i] > busiest) {
      busiest = prediction->lane_ms[i];
      prediction->bottleneck_lane = (int)i;
    }
  prediction->capacity_fps = busiest > 0 ? 1000 / busiest : 0;
}

LcipPrediction *lcip_predict(const LcipPlan *plan, LcipStepTimes *times, const LcipProfile *now) {
  double by_sureness[3] = {0};
  g_autofree double *step_ms = step_times(plan, times, by_sureness);
  g_autofree double *now_step_ms = now ? measured_times(now) : NULL;
  g_autofree double *now_lane_ms = now ? lane_times(now->plan, now_step_ms) : NULL;
  LcipPrediction *prediction = g_new0(LcipPrediction, 1);
  prediction->n_lanes = lcip_plan_n_lanes(plan);
  prediction->lane_ms = lane_times(plan, step_ms);
  for (guint i = 0; i < prediction->n_lanes; i++)
    prediction->lane_ms[i] *= overhead(now, now_lane_ms, lcip_plan_lane(plan, i));
  find_bottleneck(prediction);
  prediction->latency_ms = latency(plan, step_ms, now, now_step_ms, prediction->capacity_fps);
  prediction->sureness = worst(by_sureness);
  count_copies(prediction, plan, step_ms);
  return prediction;
}

void lcip_prediction_free(LcipPrediction *prediction) {
  g_free(prediction->lane_ms);
  g_free(prediction);
}
