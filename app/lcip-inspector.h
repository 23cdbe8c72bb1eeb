#pragma once

#include <gtk/gtk.h>

#include "lcip-session.h"

G_BEGIN_DECLS

/** LcipInspector: what is selected: attributes to edit, ports with shapes, lane, kernel and why it
 * was chosen, time. Nothing selected: the graph. */
#define LCIP_TYPE_INSPECTOR (lcip_inspector_get_type())
G_DECLARE_FINAL_TYPE(LcipInspector, lcip_inspector, LCIP, INSPECTOR, GtkWidget)

void lcip_inspector_set_session(LcipInspector *inspector, LcipSession *session);
void lcip_inspector_set_selection(LcipInspector *inspector, const char *const *ids);

G_END_DECLS
