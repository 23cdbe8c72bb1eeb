#pragma once

#include <gio/gio.h>

#include "lcip-remote-error.h"

G_BEGIN_DECLS

/* Workers on the local network, by DNS-SD over multicast DNS (RFC 6762, 6763), which the system's
 * Avahi daemon speaks. Anybody on the network can announce anything: what is found is an address
 * to begin with, as unknown as one that was typed, until its key and fingerprint were compared. */

#define LCIP_DISCOVERY_TYPE "_lcip._tcp"
/** LCIP_DISCOVERY_WAIT_NS: how long lcip_discover() waits for answers at most. */
#define LCIP_DISCOVERY_WAIT_NS G_GINT64_CONSTANT(3000000000)
/** LCIP_DISCOVERY_MAX: more are not listed. */
#define LCIP_DISCOVERY_MAX 64

/** LcipFoundWorker: @name: what it calls itself, printable. @address: "tcp://ADDRESS:PORT",
 * numeric.
 */
typedef struct {
  char *name;
  char *address;
} LcipFoundWorker;

/** lcip_discover: those that announce themselves now; array of LcipFoundWorker with its free
 * function, empty where there are none. NULL with an error where this build or this machine has no
 * Avahi, or @cancellable (may be NULL) ended it. Waits; any thread. */
GPtrArray *lcip_discover(GCancellable *cancellable, GError **error);

/** LcipAnnouncement: a worker that can be found as long as this lives. */
typedef struct _LcipAnnouncement LcipAnnouncement;
/** lcip_announce: @address: where it listens, with its port. Where the daemon is not there yet, or
 * comes back, it is announced then. */
LcipAnnouncement *lcip_announce(const char *address, GError **error);
void lcip_announcement_free(LcipAnnouncement *announcement);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipAnnouncement, lcip_announcement_free)

G_END_DECLS
