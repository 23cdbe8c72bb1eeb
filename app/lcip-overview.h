#pragma once

#include "lcip-canvas.h"

G_BEGIN_DECLS

/** LcipOverview: the whole net as a strip: a row for each lane, a bar for each actor as high as its
 * time, and what the canvas shows as a window that is dragged to scroll. */
#define LCIP_TYPE_OVERVIEW (lcip_overview_get_type())
G_DECLARE_FINAL_TYPE(LcipOverview, lcip_overview, LCIP, OVERVIEW, GtkWidget)

GtkWidget *lcip_overview_new(void);
void lcip_overview_set_canvas(LcipOverview *overview, LcipCanvas *canvas);

G_END_DECLS
