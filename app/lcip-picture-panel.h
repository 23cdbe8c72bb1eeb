#pragma once

#include <gtk/gtk.h>

#include "lcip-session.h"

G_BEGIN_DECLS

/** LcipPicturePanel: the live picture with what it comes from; why there is none, with the demo
 * picture as a way out; below, what arrives at outputs that are no pictures. */
#define LCIP_TYPE_PICTURE_PANEL (lcip_picture_panel_get_type())
G_DECLARE_FINAL_TYPE(LcipPicturePanel, lcip_picture_panel, LCIP, PICTURE_PANEL, GtkWidget)

void lcip_picture_panel_set_session(LcipPicturePanel *panel, LcipSession *session);

G_END_DECLS
