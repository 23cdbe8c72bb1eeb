#pragma once

#include <gio/gio.h>

#include "lcip-codec.h"

G_BEGIN_DECLS

/* Weight tensors on a worker's disk, below g_get_user_cache_dir()/lcip/weights, named by their
 * SHA-256. Any thread. */

/** lcip_weights_cache_has: a file of that name and size is there. */
gboolean lcip_weights_cache_has(const LcipManifestEntry *entry);
/** lcip_weights_cache_put: checks the hash of @data, which holds the entry's bytes. */
gboolean lcip_weights_cache_put(const LcipManifestEntry *entry, const guint8 *data, GError **error);
/** lcip_weights_cache_get: mapped, its hash checked where that is not remembered. A file that is
 * not what its name says is removed. */
LcipTensor *lcip_weights_cache_get(const LcipManifestEntry *entry, GError **error);
/** lcip_weights_cache_trim: removes what was not used for longest until at most @limit_bytes are
 * left. What is mapped stays usable. */
void lcip_weights_cache_trim(guint64 limit_bytes);

G_END_DECLS
