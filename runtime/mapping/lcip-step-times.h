#pragma once

#include "lcip-run.h"

G_BEGIN_DECLS

/** LcipSureness: where a time comes from: MEASURED: this very step on this device. SCALED: the same
 * operator on this device at another size. GUESS: from another device, or from the size alone. */
typedef enum { LCIP_SURE_MEASURED, LCIP_SURE_SCALED, LCIP_SURE_GUESS } LcipSureness;
const char *lcip_sureness_name(LcipSureness sureness); /* "measured", "scaled", "guess" */

/** LcipStepTimes: what steps took on the devices that they ran on, gathered from profiles. A step
 * is known by what it computes, not by its actor: layers that repeat in a network share a time.
 * Atomically reference-counted; any thread. */
typedef struct _LcipStepTimes LcipStepTimes;

LcipStepTimes *lcip_step_times_new(void);
LcipStepTimes *lcip_step_times_ref(LcipStepTimes *times);
void lcip_step_times_unref(LcipStepTimes *times);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipStepTimes, lcip_step_times_unref)
/** lcip_step_times_add: takes over the medians of @profile; newer ones replace older ones. */
void lcip_step_times_add(LcipStepTimes *times, const LcipProfile *profile);
/** lcip_step_times_get: milliseconds that step @step of @plan takes; 0 for sources and sinks. */
double lcip_step_times_get(LcipStepTimes *times, const LcipPlan *plan, guint step,
                           LcipSureness *sureness);

G_END_DECLS
