#pragma once

#include "lcip-kernel.h"

G_BEGIN_DECLS

/** LcipCalibration: measured times of kernels for steps on this machine, kept in a file of the
 * user's cache folder that is for one CPU and one build of LCIP's kernels. A step is known by what
 * it computes: operator, attributes, shapes, epilogues and the lane's threads. Immutable while
 * plans read it; any thread. */
typedef struct _LcipCalibration LcipCalibration;

/** lcip_calibration_load: what the file holds; nothing where there is none, or one of another CPU
 * or of other kernels, or a damaged one. The environment variable LCIP_CALIBRATION names another
 * file; "none" is none. */
LcipCalibration *lcip_calibration_load(void);
/** lcip_calibration_ref_current: the file's content as it was when this process first asked or last
 * saved; a reference. */
LcipCalibration *lcip_calibration_ref_current(void);
void lcip_calibration_unref(LcipCalibration *calibration);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipCalibration, lcip_calibration_unref)
/** lcip_calibration_path: the file, or NULL for none. Transfer full. */
char *lcip_calibration_path(void);

/** lcip_calibration_key: what @step is known by on a lane of @threads. Transfer full. */
char *lcip_calibration_key(const LcipStep *step, guint threads);
/** lcip_calibration_get: milliseconds, or 0 where not measured. */
double lcip_calibration_get(const LcipCalibration *calibration, const char *key,
                            const char *kernel);
/** lcip_calibration_set: only before others have references. */
void lcip_calibration_set(LcipCalibration *calibration, const char *key, const char *kernel,
                          double ms);
guint lcip_calibration_n_steps(const LcipCalibration *calibration);
/** lcip_calibration_save: writes the file and makes @calibration the current one. */
gboolean lcip_calibration_save(LcipCalibration *calibration, GError **error);

G_END_DECLS
