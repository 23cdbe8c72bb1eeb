#pragma once

#include <adwaita.h>

#include "lcip-canvas.h"
#include "lcip-session.h"

G_BEGIN_DECLS

/** LcipWindow: one document: header bar, lanes, picture, inspector, problems. */
#define LCIP_TYPE_WINDOW (lcip_window_get_type())
G_DECLARE_FINAL_TYPE(LcipWindow, lcip_window, LCIP, WINDOW, AdwApplicationWindow)

LcipWindow *lcip_window_new(AdwApplication *application);
LcipSession *lcip_window_get_session(LcipWindow *window);
LcipCanvas *lcip_window_get_canvas(LcipWindow *window);
/** lcip_window_open: asks about unsaved changes first. @run: start as soon as it is open. */
void lcip_window_open(LcipWindow *window, GFile *file, gboolean as_copy, gboolean run);

G_END_DECLS
