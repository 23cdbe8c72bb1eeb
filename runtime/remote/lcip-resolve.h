#pragma once

#include <gio/gio.h>

#include "lcip-remote-error.h"

G_BEGIN_DECLS

/** LCIP_RESOLVE_WAIT_NS: how long a name that was never known is waited for. */
#define LCIP_RESOLVE_WAIT_NS G_GINT64_CONSTANT(500000000)

/** lcip_resolve: "tcp://NAME:PORT" with NAME's numeric address. The system's look-ups have no limit
 * that is short enough for a lane whose network is cut; so they are made on a thread of their own,
 * and what the last one found is used until a newer one is there. @cancellable (may be NULL) ends
 * the waiting. Transfer full. Any thread. */
char *lcip_resolve(const char *address, GCancellable *cancellable, GError **error);

G_END_DECLS
