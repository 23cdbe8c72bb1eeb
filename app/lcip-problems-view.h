#pragma once

#include <gtk/gtk.h>

#include "lcip-graph.h"

G_BEGIN_DECLS

/** LcipProblemsView: the Problems list. Signal "activated" (const char *actor_id) when a line with
 * an actor is chosen. */
#define LCIP_TYPE_PROBLEMS_VIEW (lcip_problems_view_get_type())
G_DECLARE_FINAL_TYPE(LcipProblemsView, lcip_problems_view, LCIP, PROBLEMS_VIEW, GtkWidget)

/** lcip_problems_view_set: array of LcipProblem; copied. */
void lcip_problems_view_set(LcipProblemsView *view, const GPtrArray *problems);

G_END_DECLS
