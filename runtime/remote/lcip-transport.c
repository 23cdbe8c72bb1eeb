#include "config.h"
#include "lcip-keys.h"
#include "lcip-mpi.h"
#include "lcip-transport.h"

#include <string.h>

LcipTransportResult lcip_transport_send(LcipTransport *transport, LcipPeer peer,
                                        const LcipBuffer *buffers, guint n, GError **error) {
  return transport->klass->send(transport, peer, buffers, n, error);
}

LcipTransportResult lcip_transport_receive(LcipTransport *transport, LcipPeer *peer,
                                           const guint8 **data, gsize *size_bytes, GError **error) {
  return transport->klass->receive(transport, peer, data, size_bytes, error);
}

void lcip_transport_wait(LcipTransport *transport, LcipTransportWait what, int fd,
                         gint64 timeout_ns) {
  transport->klass->wait(transport, what, fd, timeout_ns);
}

char *lcip_transport_peer_name(LcipTransport *transport) {
  return transport->klass->peer_name(transport);
}

const char *lcip_transport_address(LcipTransport *transport) {
  return transport->klass->address(transport);
}

char *lcip_transport_take_log(LcipTransport *transport) {
  return transport->klass->take_log ? transport->klass->take_log(transport) : NULL;
}

void lcip_transport_free(LcipTransport *transport) {
  if (transport)
    transport->klass->free(transport);
}

/* ---- by scheme ---- */

static LcipTransport *connect_tcp(const char *address, GCancellable *cancellable, GError **error) {
  g_auto(LcipIdentity) identity = {0};
  g_autoptr(LcipKnownWorker) worker = lcip_known_workers_find(address, error);
  if (!worker || !lcip_identity_load(&identity, error))
    return NULL;
  return lcip_transport_zmq_connect(address, worker->key, identity.public_key, identity.secret_key,
                                    cancellable, error);
}

static gboolean is_allowed(const guint8 *key, gpointer data) {
  return lcip_allowed_client(key, NULL);
}

static LcipTransport *listen_tcp(const char *address, GError **error) {
  g_auto(LcipIdentity) identity = {0};
  if (!lcip_identity_load(&identity, error))
    return NULL;
  return lcip_transport_zmq_listen(address, identity.secret_key, is_allowed, NULL, error);
}

static const struct {
  const char *prefix;
  LcipTransport *(*connect)(const char *address, GCancellable *cancellable, GError **error);
  LcipTransport *(*listen)(const char *address, GError **error);
} schemes[] = {
    {"tcp://", connect_tcp, listen_tcp},
    {"mpi:", lcip_transport_mpi_connect, lcip_transport_mpi_listen},
};

static int scheme_of(const char *address, GError **error) {
  for (guint i = 0; i < G_N_ELEMENTS(schemes); i++)
    if (g_str_has_prefix(address, schemes[i].prefix))
      return (int)i;
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_PROTOCOL,
              "expected an address tcp://HOST:PORT or mpi:RANK, found '%s'", address);
  return -1;
}

LcipTransport *lcip_transport_connect(const char *address, GCancellable *cancellable,
                                      GError **error) {
  const int scheme = scheme_of(address, error);
  return scheme < 0 ? NULL : schemes[scheme].connect(address, cancellable, error);
}

LcipTransport *lcip_transport_listen(const char *address, GError **error) {
  const int scheme = scheme_of(address, error);
  return scheme < 0 ? NULL : schemes[scheme].listen(address, error);
}
