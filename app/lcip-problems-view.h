#pragma once

#include <gtk/gtk.h>

#include "lcip-graph.h"

G_BEGIN_DECLS

/** LcipProblemsView: the Problems list. Signal "activated" (const char *actor_id) when a line is
 * chosen that leads somewhere: to an actor, or, with "", to the sizes of the inputs. */
#define LCIP_TYPE_PROBLEMS_VIEW (lcip_problems_view_get_type())
G_DECLARE_FINAL_TYPE(LcipProblemsView, lcip_problems_view, LCIP, PROBLEMS_VIEW, GtkWidget)

/** lcip_problems_view_set: array of LcipProblem; copied. @sizes_open: lines without an actor lead
 * to the sizes of the inputs. */
void lcip_problems_view_set(LcipProblemsView *view, const GPtrArray *problems, gboolean sizes_open);

G_END_DECLS
