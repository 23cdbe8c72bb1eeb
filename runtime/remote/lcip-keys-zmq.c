#include "config.h"
#include "lcip-keys-private.h"

#include <string.h>
#include <zmq.h>

/* libzmq gives keys as text in Z85, 40 characters. */
#define Z85_BYTES 41

static gboolean decoded(guint8 *key, const char *text) {
  return zmq_z85_decode(key, text) != NULL;
}

gboolean lcip_keys_make(guint8 *public_key, guint8 *secret_key, GError **error) {
  char public_text[Z85_BYTES], secret_text[Z85_BYTES];
  const gboolean ok = zmq_curve_keypair(public_text, secret_text) == 0 &&
                      decoded(public_key, public_text) && decoded(secret_key, secret_text);
  explicit_bzero(secret_text, sizeof secret_text);
  if (!ok)
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_KEYS, "making a key pair: %s",
                zmq_strerror(zmq_errno()));
  return ok;
}

gboolean lcip_keys_public(const guint8 *secret_key, guint8 *public_key, GError **error) {
  char public_text[Z85_BYTES], secret_text[Z85_BYTES];
  const gboolean ok = zmq_z85_encode(secret_text, secret_key, LCIP_KEY_BYTES) &&
                      zmq_curve_public(public_text, secret_text) == 0 &&
                      decoded(public_key, public_text);
  explicit_bzero(secret_text, sizeof secret_text);
  if (!ok)
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_KEYS, "deriving a public key: %s",
                zmq_strerror(zmq_errno()));
  return ok;
}
