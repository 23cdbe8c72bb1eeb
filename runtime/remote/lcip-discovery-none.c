#include "config.h"
#include "lcip-discovery.h"

/* A build without Avahi. */

static gpointer no_avahi(GError **error) {
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST,
              "this build has no Avahi (meson feature avahi): workers are neither announced nor "
              "found on the network");
  return NULL;
}

GPtrArray *lcip_discover(GCancellable *cancellable, GError **error) {
  return no_avahi(error);
}

LcipAnnouncement *lcip_announce(const char *address, GError **error) {
  return no_avahi(error);
}

void lcip_announcement_free(LcipAnnouncement *announcement) {
}
