#pragma once

#include <gtk/gtk.h>

#include "lcip-session.h"

G_BEGIN_DECLS

/** LcipChangeChip: what the last move did while running: applying, measuring, then capacity and
 * latency before and after, gains and losses in the same style, with Revert. */
#define LCIP_TYPE_CHANGE_CHIP (lcip_change_chip_get_type())
G_DECLARE_FINAL_TYPE(LcipChangeChip, lcip_change_chip, LCIP, CHANGE_CHIP, GtkWidget)

void lcip_change_chip_set_session(LcipChangeChip *chip, LcipSession *session);
const char *lcip_change_chip_get_text(LcipChangeChip *chip);

G_END_DECLS
