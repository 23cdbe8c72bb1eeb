#pragma once

#include <adwaita.h>

#include "lcip-session.h"

G_BEGIN_DECLS

/** LcipFinder: one entry for commands (Ctrl+K) and actors (Ctrl+F), over the canvas. Commands are
 * activated; for actors there is the signal "found" (GStrv ids): the one that was chosen, or all
 * that fit. Hides itself before that and on Esc, with the signal "closed". */
#define LCIP_TYPE_FINDER (lcip_finder_get_type())
G_DECLARE_FINAL_TYPE(LcipFinder, lcip_finder, LCIP, FINDER, GtkWidget)

void lcip_finder_set_session(LcipFinder *finder, LcipSession *session);
/** lcip_finder_show: @actors_only: without commands. */
void lcip_finder_show(LcipFinder *finder, gboolean actors_only);
/** lcip_finder_get_list, lcip_finder_get_entry: for tests. */
GtkListBox *lcip_finder_get_list(LcipFinder *finder);
GtkEditable *lcip_finder_get_entry(LcipFinder *finder);

G_END_DECLS
