#pragma once

#include "lcip-calibration.h"
#include "lcip-plan.h"

G_BEGIN_DECLS

/** LcipCandidate: a kernel that can do a step, and the median of its times. */
typedef struct {
  const LcipKernel *kernel;
  double ms;
} LcipCandidate;

/** LcipCalibratedStep: one distinct step that several kernels can do. @n_uses: how often the graph
 * has it. @estimated: the candidate that a plan without measurements takes; @fastest: the fastest.
 */
typedef struct {
  char *key;
  char *title;
  char *actor_id;
  guint threads;
  guint n_uses;
  guint n_candidates;
  LcipCandidate *candidates;
  guint estimated, fastest;
} LcipCalibratedStep;

/** LcipCalibrateFunc: called after each step; the calling thread's. */
typedef void (*LcipCalibrateFunc)(const LcipCalibratedStep *step, guint n_done, guint n_steps,
                                  gpointer data);

/** lcip_calibrate: times every kernel that can do a step of the CPU lanes of @graph, planned by
 * @options, and puts the times into @calibration. Weights come from memory and inputs from the
 * cache, as when the whole graph runs. Takes @rounds times all kernels, alternately. Gives an array
 * of LcipCalibratedStep, transfer full. Call off the main thread, on a quiet machine. */
GPtrArray *lcip_calibrate(LcipGraph *graph, const LcipPlanOptions *options,
                          LcipCalibration *calibration, guint rounds, LcipCalibrateFunc func,
                          gpointer data, GCancellable *cancellable, GError **error);

G_END_DECLS
