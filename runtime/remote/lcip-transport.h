#pragma once

#include <gio/gio.h>

#include "lcip-codec.h"

G_BEGIN_DECLS

/** LcipTransport: one end of a connection that carries whole messages of at most
 * LCIP_WIRE_MAX_MESSAGE_BYTES in order, authenticated and (between machines) encrypted. A client's
 * end has one peer; a worker's end has many. Used by one thread at a time. Nothing here blocks but
 * wait(), which has a limit. */
typedef struct _LcipTransport LcipTransport;

/** LcipPeer: a number that the worker's end gives each connection and never uses again; 0 is a
 * client's only peer. */
typedef guint64 LcipPeer;

/** OK; AGAIN: nothing there, or no room: wait() first; LOST: the connection is gone (of a worker's
 * end: that peer's, or with receive() the whole end). */
typedef enum { LCIP_TRANSPORT_OK, LCIP_TRANSPORT_AGAIN, LCIP_TRANSPORT_LOST } LcipTransportResult;

typedef enum { LCIP_WAIT_READ, LCIP_WAIT_READ_WRITE } LcipTransportWait;

/** LcipTransportClass: an implementation. All functions but @take_log must be there.
 * @send: the @n buffers, one after another, are one message; they are copied.
 * @receive: @data stays valid until the next call.
 * @wait: until a message may be there, room may be there (READ_WRITE), @fd is readable (-1: none)
 *   or @timeout_ns is over. May return early.
 * @peer_name: who sent the message that was received last, for people: key fingerprint or rank;
 *   transfer full.
 * @address: where a worker's end listens, with the real port.
 * @take_log: the oldest line about connections that were refused or damaged, or NULL; transfer
 *   full. */
typedef struct {
  const char *scheme;
  LcipTransportResult (*send)(LcipTransport *transport, LcipPeer peer, const LcipBuffer *buffers,
                              guint n, GError **error);
  LcipTransportResult (*receive)(LcipTransport *transport, LcipPeer *peer, const guint8 **data,
                                 gsize *size_bytes, GError **error);
  void (*wait)(LcipTransport *transport, LcipTransportWait what, int fd, gint64 timeout_ns);
  char *(*peer_name)(LcipTransport *transport);
  const char *(*address)(LcipTransport *transport);
  char *(*take_log)(LcipTransport *transport);
  void (*free)(LcipTransport *transport);
} LcipTransportClass;

/** LcipTransport: implementations begin with this. */
struct _LcipTransport {
  const LcipTransportClass *klass;
};

LcipTransportResult lcip_transport_send(LcipTransport *transport, LcipPeer peer,
                                        const LcipBuffer *buffers, guint n, GError **error);
LcipTransportResult lcip_transport_receive(LcipTransport *transport, LcipPeer *peer,
                                           const guint8 **data, gsize *size_bytes, GError **error);
void lcip_transport_wait(LcipTransport *transport, LcipTransportWait what, int fd,
                         gint64 timeout_ns);
char *lcip_transport_peer_name(LcipTransport *transport);
const char *lcip_transport_address(LcipTransport *transport);
char *lcip_transport_take_log(LcipTransport *transport);
void lcip_transport_free(LcipTransport *transport);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipTransport, lcip_transport_free)

/** lcip_transport_connect: a client's end for a worker's address: "tcp://HOST:PORT" (its key must
 * be known, see lcip-keys.h). Messages wait until the connection stands; what this
 * itself waits for is the look-up of HOST (see lcip_resolve()), which @cancellable ends. Another
 * implementation adds its scheme to the table in lcip-transport.c. */
LcipTransport *lcip_transport_connect(const char *address, GCancellable *cancellable,
                                      GError **error);
/** lcip_transport_listen: a worker's end. */
LcipTransport *lcip_transport_listen(const char *address, GError **error);

/** lcip_transport_zmq_connect: with given CURVE keys (32 bytes each). */
LcipTransport *lcip_transport_zmq_connect(const char *address, const guint8 *worker_key,
                                          const guint8 *public_key, const guint8 *secret_key,
                                          GCancellable *cancellable, GError **error);
/** LcipKeyAllowed: may a client with this key connect? Called by the thread that uses the
 * transport. */
typedef gboolean (*LcipKeyAllowed)(const guint8 *key, gpointer data);
LcipTransport *lcip_transport_zmq_listen(const char *address, const guint8 *secret_key,
                                         LcipKeyAllowed allowed, gpointer data, GError **error);

G_END_DECLS
