#pragma once

#include "lcip-plan.h"

G_BEGIN_DECLS

/** lcip_critical_path: the chain of steps, each needing what the one before gives, that takes
 * longest: no lane that is added makes a frame faster than it. @step_ms: per step of @plan. Returns
 * the steps in order, a GArray of guint; transfer full. @total_ms may be NULL. */
GArray *lcip_critical_path(const LcipPlan *plan, const double *step_ms, double *total_ms);
/** lcip_frame_time: how long one frame alone takes: every lane does its segments one after the
 * other, each as soon as what it needs is there. */
double lcip_frame_time(const LcipPlan *plan, const double *step_ms);

G_END_DECLS
