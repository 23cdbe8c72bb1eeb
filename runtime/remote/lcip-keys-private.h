#pragma once

#include "lcip-keys.h"

G_BEGIN_DECLS

/* Curve25519 by the transport's library (lcip-keys-zmq.c; without it both fail by name). */

/** lcip_keys_make: a new key pair from the system's random numbers. */
gboolean lcip_keys_make(guint8 *public_key, guint8 *secret_key, GError **error);
/** lcip_keys_public: the public key that belongs to a secret one. */
gboolean lcip_keys_public(const guint8 *secret_key, guint8 *public_key, GError **error);

G_END_DECLS
