#pragma once

#include <adwaita.h>

#include "lcip-session.h"

G_BEGIN_DECLS

/* The rows of the inspector's groups; each edits through the session. */

/** lcip_inspector_info_row: a title and a value that can be selected; @label (may be NULL) gets the
 * value's label, for updates. */
GtkWidget *lcip_inspector_info_row(const char *title, const char *value, GtkLabel **label);
/** lcip_inspector_attr_row: an editor for one attribute, by its type and choices. */
GtkWidget *lcip_inspector_problem_row(const LcipProblem *problem);
GtkWidget *lcip_inspector_attr_row(LcipSession *session, const LcipActor *actor,
                                   const LcipAttrDef *attr);
/** lcip_inspector_lane_row: the lane of actors, to choose. @ids: NULL-terminated. */
GtkWidget *lcip_inspector_lane_row(LcipSession *session, const char *const *ids);
/** lcip_inspector_pin_row: the kernels of an actor's operator on its lane, to pin one. */
GtkWidget *lcip_inspector_pin_row(LcipSession *session, int actor);

G_END_DECLS
