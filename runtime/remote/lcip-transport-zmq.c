#include "config.h"
#include "lcip-codec.h"
#include "lcip-keys.h"
#include "lcip-resolve.h"
#include "lcip-transport.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

/* ZeroMQ with CURVE. A worker's end is a ROUTER, a client's a DEALER that never reconnects by
 * itself: whoever loses a connection starts anew with another socket, so that nothing of the old
 * one can arrive late. Each end has a context of its own and with it an I/O thread that encrypts.
 */

/* CLIENT_QUEUE, WORKER_QUEUE: messages that wait to be sent to one peer. A worker's is never full:
 * credits bound what it sends (LCIP_WORKER_MAX_QUEUED of lcip-worker-private.h). */
enum {
  CLIENT_QUEUE = 16,
  WORKER_QUEUE = 16384,
  RECEIVE_QUEUE = 64,
  MAX_LOG = 64,
  MAX_UNDECIDED = 1024
};
enum { HANDSHAKE_MS = 3000 };
#define ZAP_ENDPOINT "inproc://zeromq.zap.01"
#define ZAP_DOMAIN "lcip"
#define MONITOR_ENDPOINT "inproc://monitor"
/* ROUTER's own names for peers: a zero byte and 32 bits that count up. Peers that choose a name are
 * not ours. */
#define ROUTING_ID_BYTES 5

typedef struct {
  LcipTransport base;
  gboolean is_worker;
  void *context, *socket, *monitor, *zap;
  zmq_msg_t message;
  char *address;
  char *lost; /* why the connection is gone */
  gboolean connected;
  /* a worker's */
  LcipKeyAllowed allowed;
  gpointer allowed_data;
  GQueue log;       /* char * */
  GQueue undecided; /* descriptors of connections that are being authenticated */
} Zmq;

static void fail_zmq(GError **error, const char *what, const char *address) {
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST, "%s: %s: %s", address, what,
              zmq_strerror(zmq_errno()));
}

static void add_log(Zmq *zmq, char *line) {
  g_queue_push_tail(&zmq->log, line);
  if (g_queue_get_length(&zmq->log) > MAX_LOG)
    g_free(g_queue_pop_head(&zmq->log));
}

/* ---- what happens to connections ---- */

static const char *why_protocol(guint32 value) {
  if (value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
    return "no CURVE key";
  return "it does not speak ZeroMQ's protocol with CURVE";
}

static void client_event(Zmq *zmq, guint16 event, guint32 value) {
  const char *why = NULL;
  if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
    zmq->connected = TRUE;
  else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
    why = "it does not know this client's key: pair with it";
  else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ||
           event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
    why = "no LCIP worker, or its key is another than when it was paired";
  else if (event == ZMQ_EVENT_DISCONNECTED)
    why = zmq->connected ? "it closed the connection"
                         : "it refused the connection: its key is another than when it was paired, "
                           "or it does not know this client's";
  else if (event == ZMQ_EVENT_CLOSED)
    why = "nothing answers there";
  if (why && !zmq->lost)
    zmq->lost = g_strdup_printf("%s: %s", zmq->address, why);
}

/* libzmq says of a peer that speaks no ZeroMQ at all only that it was accepted and is gone. What
 * succeeds or fails in between does not say which connection it was; the oldest, in all likelihood,
 * and only a line of the log depends on it. */
static void worker_event(Zmq *zmq, guint16 event, guint32 value) {
  const gboolean is_decided =
      event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED || event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH ||
      event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL || event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
  if (event == ZMQ_EVENT_ACCEPTED && g_queue_get_length(&zmq->undecided) < MAX_UNDECIDED)
    g_queue_push_tail(&zmq->undecided, GUINT_TO_POINTER(value));
  if (is_decided)
    g_queue_pop_head(&zmq->undecided);
  if (event == ZMQ_EVENT_DISCONNECTED && g_queue_remove(&zmq->undecided, GUINT_TO_POINTER(value)))
    add_log(zmq, g_strdup("refused a connection: it ended before it was authenticated"));
  if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
    add_log(zmq, g_strdup_printf("refused a connection: %s", why_protocol(value)));
  else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
    add_log(zmq, g_strdup("refused a connection: it ended before it was authenticated"));
}

static void skip_parts(void *socket) {
  int more = 1;
  size_t size = sizeof more;
  while (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) == 0 && more)
    if (zmq_recv(socket, NULL, 0, ZMQ_DONTWAIT) < 0)
      return;
}

static void read_monitor(Zmq *zmq) {
  guint8 data[6];
  while (zmq_recv(zmq->monitor, data, sizeof data, ZMQ_DONTWAIT) == (int)sizeof data) {
    guint16 event;
    guint32 value;
    memcpy(&event, data, sizeof event);
    memcpy(&value, data + 2, sizeof value);
    skip_parts(zmq->monitor);
    if (zmq->is_worker)
      worker_event(zmq, event, value);
    else
      client_event(zmq, event, value);
  }
}

/* ---- who may connect: ZeroMQ RFC 27 ---- */

enum { ZAP_VERSION, ZAP_REQUEST, ZAP_DOMAIN_FRAME, ZAP_ADDRESS, ZAP_NAME, ZAP_MECHANISM, ZAP_KEY };
#define ZAP_FRAMES 7

typedef struct {
  guint8 data[256];
  int size;
} ZapFrame;

static gboolean read_zap(Zmq *zmq, ZapFrame *frames) {
  int more = 1, n = 0;
  size_t size = sizeof more;
  for (; more; n++) {
    ZapFrame rest, *frame = n < ZAP_FRAMES ? &frames[n] : &rest;
    frame->size = zmq_recv(zmq->zap, frame->data, sizeof frame->data - 1, ZMQ_DONTWAIT);
    if (frame->size < 0)
      return FALSE;
    frame->size = MIN(frame->size, (int)sizeof frame->data - 1);
    frame->data[frame->size] = 0;
    zmq_getsockopt(zmq->zap, ZMQ_RCVMORE, &more, &size);
  }
  return n >= ZAP_MECHANISM + 1;
}

static void answer_zap(Zmq *zmq, const ZapFrame *frames, gboolean yes, const char *user) {
  const ZapFrame *id = &frames[ZAP_REQUEST];
  zmq_send(zmq->zap, "1.0", 3, ZMQ_SNDMORE);
  zmq_send(zmq->zap, id->data, (size_t)id->size, ZMQ_SNDMORE);
  zmq_send(zmq->zap, yes ? "200" : "400", 3, ZMQ_SNDMORE);
  zmq_send(zmq->zap, "", 0, ZMQ_SNDMORE);
  zmq_send(zmq->zap, user, strlen(user), ZMQ_SNDMORE);
  zmq_send(zmq->zap, "", 0, 0);
}

static void decide_zap(Zmq *zmq, const ZapFrame *frames) {
  const ZapFrame *key = &frames[ZAP_KEY];
  const gboolean is_curve =
      g_str_equal((const char *)frames[ZAP_MECHANISM].data, "CURVE") && key->size == LCIP_KEY_BYTES;
  g_autofree char *user = is_curve ? lcip_key_fingerprint(key->data) : g_strdup("");
  const gboolean yes = is_curve && zmq->allowed(key->data, zmq->allowed_data);
  answer_zap(zmq, frames, yes, user);
  if (!yes)
    add_log(zmq, g_strdup_printf("refused a connection from %s: unknown key %s",
                                 (const char *)frames[ZAP_ADDRESS].data, user));
}

static void serve_zap(Zmq *zmq) {
  ZapFrame frames[ZAP_FRAMES];
  for (;;) {
    memset(frames, 0, sizeof frames);
    if (!read_zap(zmq, frames))
      return;
    decide_zap(zmq, frames);
  }
}

static void serve_connections(Zmq *zmq) {
  if (zmq->zap)
    serve_zap(zmq);
  read_monitor(zmq);
}

/* ---- messages ---- */

static LcipTransportResult report_lost(Zmq *zmq, GError **error) {
  g_set_error_literal(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST, zmq->lost);
  return LCIP_TRANSPORT_LOST;
}

static LcipTransportResult send_failed(Zmq *zmq, GError **error) {
  if (zmq_errno() == EAGAIN || zmq_errno() == EINTR)
    return LCIP_TRANSPORT_AGAIN;
  fail_zmq(error, "sending", zmq->address);
  return LCIP_TRANSPORT_LOST;
}

static gboolean has_room(Zmq *zmq) {
  int events = 0;
  size_t size = sizeof events;
  return zmq_getsockopt(zmq->socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLOUT);
}

static gboolean gather(zmq_msg_t *message, const LcipBuffer *buffers, guint n) {
  gsize total = 0;
  for (guint i = 0; i < n; i++)
    total += buffers[i].size_bytes;
  if (zmq_msg_init_size(message, total) != 0)
    return FALSE;
  guint8 *at = zmq_msg_data(message);
  for (guint i = 0; i < n; i++) {
    if (buffers[i].size_bytes)
      memcpy(at, buffers[i].data, buffers[i].size_bytes);
    at += buffers[i].size_bytes;
  }
  return TRUE;
}

static gboolean send_routing_id(Zmq *zmq, LcipPeer peer) {
  guint8 id[ROUTING_ID_BYTES] = {0};
  const guint32 number = (guint32)peer;
  memcpy(id + 1, &number, sizeof number);
  return zmq_send(zmq->socket, id, sizeof id, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0;
}

static LcipTransportResult zmq_transport_send(LcipTransport *transport, LcipPeer peer,
                                              const LcipBuffer *buffers, guint n, GError **error) {
  Zmq *zmq = (Zmq *)transport;
  zmq_msg_t message;
  if (zmq->lost)
    return report_lost(zmq, error);
  if (!zmq->is_worker && !has_room(zmq))
    return LCIP_TRANSPORT_AGAIN;
  if (zmq->is_worker && !send_routing_id(zmq, peer))
    return send_failed(zmq, error);
  if (!gather(&message, buffers, n))
    return send_failed(zmq, error);
  if (zmq_msg_send(&message, zmq->socket, ZMQ_DONTWAIT) >= 0)
    return LCIP_TRANSPORT_OK;
  const LcipTransportResult result = send_failed(zmq, error);
  zmq_msg_close(&message);
  return result;
}

static gboolean receive_part(Zmq *zmq) {
  zmq_msg_close(&zmq->message);
  zmq_msg_init(&zmq->message);
  return zmq_msg_recv(&zmq->message, zmq->socket, ZMQ_DONTWAIT) >= 0;
}

/* FALSE where the message is to be skipped. */
static gboolean take_routing_id(Zmq *zmq, LcipPeer *peer) {
  const guint8 *id = zmq_msg_data(&zmq->message);
  guint32 number;
  if (zmq_msg_size(&zmq->message) != ROUTING_ID_BYTES || id[0] != 0 || !zmq_msg_more(&zmq->message))
    return FALSE;
  memcpy(&number, id + 1, sizeof number);
  *peer = G_GUINT64_CONSTANT(1) << 32 | number;
  return receive_part(zmq);
}

/* A message of several ZeroMQ parts is none of ours. */
static gboolean receive_one(Zmq *zmq, LcipPeer *peer, gboolean *is_ours) {
  *peer = 0;
  if (!receive_part(zmq))
    return FALSE;
  *is_ours = (!zmq->is_worker || take_routing_id(zmq, peer)) && !zmq_msg_more(&zmq->message);
  if (zmq_msg_more(&zmq->message))
    skip_parts(zmq->socket);
  return TRUE;
}

static LcipTransportResult zmq_transport_receive(LcipTransport *transport, LcipPeer *peer,
                                                 const guint8 **data, gsize *size_bytes,
                                                 GError **error) {
  Zmq *zmq = (Zmq *)transport;
  gboolean is_ours = FALSE;
  while (!is_ours) {
    if (!receive_one(zmq, peer, &is_ours)) {
      serve_connections(zmq);
      return zmq->lost ? report_lost(zmq, error) : LCIP_TRANSPORT_AGAIN;
    }
    if (!is_ours)
      add_log(zmq, g_strdup("skipped a message that no LCIP client sends"));
  }
  *data = zmq_msg_data(&zmq->message);
  *size_bytes = zmq_msg_size(&zmq->message);
  return LCIP_TRANSPORT_OK;
}

static void zmq_transport_wait(LcipTransport *transport, LcipTransportWait what, int fd,
                               gint64 timeout_ns) {
  Zmq *zmq = (Zmq *)transport;
  const short events = what == LCIP_WAIT_READ_WRITE ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN;
  zmq_pollitem_t items[4] = {{.socket = zmq->socket, .events = events},
                             {.socket = zmq->monitor, .events = ZMQ_POLLIN}};
  int n = 2;
  if (zmq->zap)
    items[n++] = (zmq_pollitem_t){.socket = zmq->zap, .events = ZMQ_POLLIN};
  if (fd >= 0)
    items[n++] = (zmq_pollitem_t){.fd = fd, .events = ZMQ_POLLIN};
  /* Rounded up: a thread that wakes too early would only poll again. */
  const gint64 ms = (MAX(timeout_ns, 0) + 999999) / 1000000;
  zmq_poll(items, n, (long)MIN(ms, G_MAXINT));
  serve_connections(zmq);
}

static char *zmq_transport_peer_name(LcipTransport *transport) {
  Zmq *zmq = (Zmq *)transport;
  const char *user = zmq->is_worker ? zmq_msg_gets(&zmq->message, "User-Id") : NULL;
  const char *address = zmq->is_worker ? zmq_msg_gets(&zmq->message, "Peer-Address") : NULL;
  return g_strdup_printf("%s at %s", user ? user : "?", address ? address : zmq->address);
}

static const char *zmq_transport_address(LcipTransport *transport) {
  return ((Zmq *)transport)->address;
}

static char *zmq_transport_take_log(LcipTransport *transport) {
  return g_queue_pop_head(&((Zmq *)transport)->log);
}

static void zmq_transport_free(LcipTransport *transport) {
  Zmq *zmq = (Zmq *)transport;
  void *sockets[] = {zmq->monitor, zmq->zap, zmq->socket};
  zmq_msg_close(&zmq->message);
  if (zmq->socket)
    zmq_socket_monitor(zmq->socket, NULL, 0);
  for (guint i = 0; i < G_N_ELEMENTS(sockets); i++)
    if (sockets[i])
      zmq_close(sockets[i]);
  if (zmq->context)
    zmq_ctx_term(zmq->context);
  g_queue_clear_full(&zmq->log, g_free);
  g_queue_clear(&zmq->undecided);
  g_free(zmq->address);
  g_free(zmq->lost);
  g_free(zmq);
}

static const LcipTransportClass zmq_class = {
    .scheme = "tcp",
    .send = zmq_transport_send,
    .receive = zmq_transport_receive,
    .wait = zmq_transport_wait,
    .peer_name = zmq_transport_peer_name,
    .address = zmq_transport_address,
    .take_log = zmq_transport_take_log,
    .free = zmq_transport_free,
};

/* ---- making ---- */

static void set_int(void *socket, int option, int value) {
  zmq_setsockopt(socket, option, &value, sizeof value);
}

static gboolean open_monitor(Zmq *zmq) {
  if (zmq_socket_monitor(zmq->socket, MONITOR_ENDPOINT, ZMQ_EVENT_ALL) != 0)
    return FALSE;
  zmq->monitor = zmq_socket(zmq->context, ZMQ_PAIR);
  if (!zmq->monitor)
    return FALSE;
  set_int(zmq->monitor, ZMQ_LINGER, 0);
  return zmq_connect(zmq->monitor, MONITOR_ENDPOINT) == 0;
}

static Zmq *zmq_new(const char *address, int type, GError **error) {
  const gint64 max_bytes = LCIP_WIRE_MAX_MESSAGE_BYTES;
  Zmq *zmq = g_new0(Zmq, 1);
  zmq->base.klass = &zmq_class;
  zmq->is_worker = type == ZMQ_ROUTER;
  zmq->address = g_strdup(address);
  zmq_msg_init(&zmq->message);
  g_queue_init(&zmq->log);
  g_queue_init(&zmq->undecided);
  zmq->context = zmq_ctx_new();
  zmq->socket = zmq->context ? zmq_socket(zmq->context, type) : NULL;
  if (!zmq->socket || !open_monitor(zmq)) {
    fail_zmq(error, "no socket", address);
    zmq_transport_free(&zmq->base);
    return NULL;
  }
  set_int(zmq->socket, ZMQ_LINGER, 0);
  set_int(zmq->socket, ZMQ_IPV6, 1);
  set_int(zmq->socket, ZMQ_RCVHWM, RECEIVE_QUEUE);
  set_int(zmq->socket, ZMQ_SNDHWM, zmq->is_worker ? WORKER_QUEUE : CLIENT_QUEUE);
  set_int(zmq->socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
  zmq_setsockopt(zmq->socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof max_bytes);
  return zmq;
}

static gboolean check_address(const char *address, GError **error) {
  const char *colon = strrchr(address, ':');
  guint64 port = 0;
  if (g_str_has_prefix(address, "tcp://") && colon > address + 6 &&
      (g_str_equal(colon, ":*") ||
       g_ascii_string_to_unsigned(colon + 1, 10, 1, 65535, &port, NULL)))
    return TRUE;
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_PROTOCOL,
              "expected an address tcp://HOST:PORT, found '%s'", address);
  return FALSE;
}

LcipTransport *lcip_transport_zmq_connect(const char *address, const guint8 *worker_key,
                                          const guint8 *public_key, const guint8 *secret_key,
                                          GCancellable *cancellable, GError **error) {
  if (!check_address(address, error))
    return NULL;
  g_autofree char *numeric = lcip_resolve(address, cancellable, error);
  Zmq *zmq = numeric ? zmq_new(address, ZMQ_DEALER, error) : NULL;
  if (!zmq)
    return NULL;
  set_int(zmq->socket, ZMQ_IMMEDIATE, 1);
  set_int(zmq->socket, ZMQ_RECONNECT_IVL, -1);
  if (zmq_setsockopt(zmq->socket, ZMQ_CURVE_SERVERKEY, worker_key, LCIP_KEY_BYTES) == 0 &&
      zmq_setsockopt(zmq->socket, ZMQ_CURVE_PUBLICKEY, public_key, LCIP_KEY_BYTES) == 0 &&
      zmq_setsockopt(zmq->socket, ZMQ_CURVE_SECRETKEY, secret_key, LCIP_KEY_BYTES) == 0 &&
      zmq_connect(zmq->socket, numeric) == 0)
    return &zmq->base;
  fail_zmq(error, "connecting", address);
  zmq_transport_free(&zmq->base);
  return NULL;
}

static gboolean listen_at(Zmq *zmq, const char *address) {
  char bound[256];
  size_t size = sizeof bound;
  if (zmq_bind(zmq->socket, address) != 0 ||
      zmq_getsockopt(zmq->socket, ZMQ_LAST_ENDPOINT, bound, &size) != 0)
    return FALSE;
  if (g_str_has_suffix(address, ":*")) {
    g_free(zmq->address);
    zmq->address =
        g_strdup_printf("%.*s%s", (int)strlen(address) - 2, address, strrchr(bound, ':'));
  }
  return TRUE;
}

/* The handler stands before anybody can connect; with it there libzmq asks about each connection.
 */
static gboolean open_zap(Zmq *zmq) {
  zmq->zap = zmq_socket(zmq->context, ZMQ_REP);
  if (!zmq->zap)
    return FALSE;
  set_int(zmq->zap, ZMQ_LINGER, 0);
  return zmq_bind(zmq->zap, ZAP_ENDPOINT) == 0 &&
         zmq_setsockopt(zmq->socket, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN)) == 0;
}

LcipTransport *lcip_transport_zmq_listen(const char *address, const guint8 *secret_key,
                                         LcipKeyAllowed allowed, gpointer data, GError **error) {
  if (!check_address(address, error))
    return NULL;
  Zmq *zmq = zmq_new(address, ZMQ_ROUTER, error);
  if (!zmq)
    return NULL;
  zmq->allowed = allowed;
  zmq->allowed_data = data;
  set_int(zmq->socket, ZMQ_ROUTER_MANDATORY, 1);
  set_int(zmq->socket, ZMQ_CURVE_SERVER, 1);
  if (zmq_setsockopt(zmq->socket, ZMQ_CURVE_SECRETKEY, secret_key, LCIP_KEY_BYTES) == 0 &&
      open_zap(zmq) && listen_at(zmq, address))
    return &zmq->base;
  fail_zmq(error, "listening", address);
  zmq_transport_free(&zmq->base);
  return NULL;
}
