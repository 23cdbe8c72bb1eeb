#include "config.h"
#include "lcip-probe.h"
#include "lcip-graph.h"
#include "lcip-keys.h"
#include "lcip-link-private.h"

static LcipTransportResult say_hello(LcipTransport *transport, GByteArray *scratch,
                                     GError **error) {
  g_autofree char *name = lcip_own_name();
  const LcipWire wire = {
      .type = LCIP_WIRE_HELLO,
      .hello = {.software = lcip_wire_text("lcip " LCIP_VERSION), .name = lcip_wire_text(name)}};
  return lcip_wire_send(transport, 0, &wire, scratch, error);
}

static gboolean keep(const char *address, const LcipWireWelcome *welcome, GError **error) {
  g_autoptr(LcipKnownWorker) known = lcip_known_workers_find(address, error);
  if (!known)
    return FALSE;
  g_autofree char *name = lcip_wire_text_dup(&welcome->name);
  g_autoptr(LcipKnownWorker) worker = lcip_known_worker_new(address, name, known->key);
  for (guint32 i = 0; i < welcome->n_devices; i++) {
    const LcipWireDevice *device = &welcome->devices[i];
    g_autofree char *id = lcip_wire_text_dup(&device->id);
    g_autofree char *device_name = lcip_wire_text_dup(&device->name);
    lcip_known_worker_add_device(worker, id, lcip_lane_kind_name((LcipLaneKind)device->kind),
                                 device_name, device->units, device->memory_bytes);
  }
  return lcip_known_workers_add(worker, error);
}

/* OK when the worker has answered. */
static LcipTransportResult hear(LcipTransport *transport, const char *address, GError **error) {
  LcipPeer peer;
  const guint8 *data;
  gsize size;
  LcipWire wire;
  const LcipTransportResult result = lcip_transport_receive(transport, &peer, &data, &size, error);
  if (result != LCIP_TRANSPORT_OK)
    return result;
  if (!lcip_wire_decode(data, size, &wire, error))
    return LCIP_TRANSPORT_LOST;
  if (wire.type == LCIP_WIRE_WELCOME)
    return keep(address, &wire.welcome, error) ? LCIP_TRANSPORT_OK : LCIP_TRANSPORT_LOST;
  g_autofree char *message =
      wire.type == LCIP_WIRE_ERROR ? lcip_wire_text_dup(&wire.error.message) : NULL;
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_PROTOCOL,
              "%s: expected WELCOME, found %s", address,
              message ? message : lcip_wire_type_name(wire.type));
  return LCIP_TRANSPORT_LOST;
}

gboolean lcip_remote_probe(const char *address, GError **error) {
  const gint64 until_ns = lcip_now_ns() + LCIP_LINK_CONNECT_NS;
  g_autoptr(LcipTransport) transport = lcip_transport_connect(address, NULL, error);
  g_autoptr(GByteArray) scratch = g_byte_array_new();
  gboolean greeted = FALSE;
  while (transport && lcip_now_ns() < until_ns) {
    const LcipTransportResult result =
        greeted ? hear(transport, address, error) : say_hello(transport, scratch, error);
    if (result == LCIP_TRANSPORT_LOST || (result == LCIP_TRANSPORT_OK && greeted))
      return result == LCIP_TRANSPORT_OK;
    greeted = greeted || result == LCIP_TRANSPORT_OK;
    lcip_transport_wait(transport, greeted ? LCIP_WAIT_READ : LCIP_WAIT_READ_WRITE, -1,
                        until_ns - lcip_now_ns());
  }
  if (transport)
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST, "%s: no answer in %.1f s",
                address, (double)LCIP_LINK_CONNECT_NS / 1e9);
  return FALSE;
}
