#pragma once

#include "lcip-step-times.h"

G_BEGIN_DECLS

/** LcipPrediction: what a plan would do. @lane_ms: per lane of the plan what it is busy with a
 * frame,
 * @bottleneck_lane the busiest. @latency_ms: from source to sink. Copies are those between host and
 * devices. @sureness: the worst that at least a tenth of the time rests on. */
typedef struct {
  double capacity_fps;
  double latency_ms;
  int bottleneck_lane;
  guint n_lanes;
  double *lane_ms;
  guint n_copies;
  gsize copy_bytes;
  double copy_ms;
  LcipSureness sureness;
} LcipPrediction;

/** lcip_predict: of @plan, which may be a sketch, from step times and from what the present run
 * measured, @now (NULL for none): what it spends beside its steps and its rate of frames are taken
 * over. Any thread. */
LcipPrediction *lcip_predict(const LcipPlan *plan, LcipStepTimes *times, const LcipProfile *now);
void lcip_prediction_free(LcipPrediction *prediction);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipPrediction, lcip_prediction_free)

G_END_DECLS
