#pragma once

#include "lcip-remote-error.h"

G_BEGIN_DECLS

/** lcip_remote_probe: asks a paired worker for its name and devices and keeps them with its key.
 * Blocks, for LCIP_LINK_CONNECT_NS at most. */
gboolean lcip_remote_probe(const char *address, GError **error);

G_END_DECLS
