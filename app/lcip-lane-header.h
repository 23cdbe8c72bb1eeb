#pragma once

#include <gtk/gtk.h>

#include "lcip-session.h"

G_BEGIN_DECLS

/** LcipLaneHeader: what a lane is and how busy: name, device, utilisation, memory, queue. Its menu
 * activates win.assign-lane, win.empty-lane and win.remove-lane with the lane's name. */
#define LCIP_TYPE_LANE_HEADER (lcip_lane_header_get_type())
G_DECLARE_FINAL_TYPE(LcipLaneHeader, lcip_lane_header, LCIP, LANE_HEADER, GtkWidget)

/** LcipLaneExtra: steps of a lane that belong to no actor: changes of format, and copies from and
 * to the device. @bottleneck: of several lanes it is the one that limits the capacity. */
typedef struct {
  guint n_reorders, n_copies;
  double reorder_ms, copy_ms;
  gboolean bottleneck;
} LcipLaneExtra;

GtkWidget *lcip_lane_header_new(void);
/** lcip_lane_header_set_lane: @index of @n lanes, for colour and menu. */
void lcip_lane_header_set_lane(LcipLaneHeader *header, const LcipLane *lane, guint index, guint n);
/** lcip_lane_header_set_plan: @device NULL: nothing to run the lane on; @planned may be NULL. */
void lcip_lane_header_set_plan(LcipLaneHeader *header, const LcipDevice *device,
                               const LcipPlanLane *planned);
/** lcip_lane_header_set_profile: NULL while nothing runs. */
void lcip_lane_header_set_profile(LcipLaneHeader *header, const LcipLaneProfile *profile,
                                  const LcipLaneExtra *extra);
/** lcip_lane_header_set_link: of a remote lane while it runs; NULL for none. */
void lcip_lane_header_set_link(LcipLaneHeader *header, const LcipLaneLink *link);
/** lcip_lane_header_get_link_text: what is shown of the link, NULL for nothing. */
const char *lcip_lane_header_get_link_text(LcipLaneHeader *header);
/** lcip_lane_header_find_device: the device that a lane would run on here, or NULL. */
const LcipDevice *lcip_lane_header_find_device(const LcipLane *lane);

G_END_DECLS
