#include "config.h"
#include "lcip-keys-private.h"
#include "lcip-transport.h"

/* A build without ZeroMQ. */

static void no_zmq(GError **error) {
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_KEYS,
              "this build has no ZeroMQ (meson feature zmq): no workers at tcp:// addresses");
}

LcipTransport *lcip_transport_zmq_connect(const char *address, const guint8 *worker_key,
                                          const guint8 *public_key, const guint8 *secret_key,
                                          GCancellable *cancellable, GError **error) {
  no_zmq(error);
  return NULL;
}

LcipTransport *lcip_transport_zmq_listen(const char *address, const guint8 *secret_key,
                                         LcipKeyAllowed allowed, gpointer data, GError **error) {
  no_zmq(error);
  return NULL;
}

gboolean lcip_keys_make(guint8 *public_key, guint8 *secret_key, GError **error) {
  no_zmq(error);
  return FALSE;
}

gboolean lcip_keys_public(const guint8 *secret_key, guint8 *public_key, GError **error) {
  no_zmq(error);
  return FALSE;
}
