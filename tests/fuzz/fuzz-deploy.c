#include "config.h"
#include "fuzz.h"
#include "lcip-codec.h"
#include "lcip-runtime.h"
#include "lcip-worker-server.h"

#include <poll.h>

/* What a client that knows its key can say to a worker: a whole session, from a transport of our
 * own. The input is a list of records, each a head of 4 bytes (type of message, session, 16 bits of
 * length) and the message's fields and payload. Type 0 waits until the worker has said something. A
 * DEPLOY says the sizes of the document and manifest that really follow, unless bit 7 of its
 * session is set; else hardly any would be complete. */

enum { WAIT = 0, SESSION_MASK = 0x0f, AS_IT_IS = 0x80 };
/* Polls of 2 ms that one wait and all waits of a script may take: most mutants wait for nothing. */
enum { MAX_RECORDS = 64, MAX_POLLS = 10, MAX_POLLS_IN_ALL = 40 };

typedef struct {
  guint8 type, flags;
  const guint8 *body;
  gsize size;
} Record;

typedef struct {
  LcipTransport base;
  Record records[MAX_RECORDS];
  guint n, next, n_polls, n_polls_in_all;
  guint n_sent, n_seen; /* by the worker */
  GByteArray *message;
} Script;

static void quiet(LcipLogLevel level, const char *line, gpointer data) {
  if (!g_utf8_validate(line, -1, NULL))
    g_error("a line of the log that cannot be shown");
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  fuzz_begin();
  g_autofree char *cache = fuzz_path("cache");
  g_setenv("XDG_CACHE_HOME", cache, TRUE);
  /* No thread of GLib's pool may end: LeakSanitizer takes what one still owns then for lost. */
  g_thread_pool_set_max_unused_threads(-1);
  g_thread_pool_set_max_idle_time(0);
  return 0;
}

/* ---- the script ---- */

static void parse(Script *script, const guint8 *data, gsize size) {
  while (size >= 4 && script->n < MAX_RECORDS) {
    const gsize length = MIN((gsize)(data[2] | data[3] << 8), size - 4);
    script->records[script->n++] = (Record){data[0], data[1], data + 4, length};
    data += 4 + length;
    size -= 4 + length;
  }
}

/* Bytes of BULK payloads of one item that follow in the session. */
static guint64 bulk_bytes(const Script *script, guint from, guint8 session, guint32 item) {
  guint64 total = 0;
  for (guint i = from; i < script->n; i++) {
    const Record *record = &script->records[i];
    guint32 found = G_MAXUINT32;
    if (record->type == LCIP_WIRE_DEPLOY && (record->flags & SESSION_MASK) == session)
      break;
    if (record->type != LCIP_WIRE_BULK || (record->flags & SESSION_MASK) != session ||
        record->size < 12)
      continue;
    memcpy(&found, record->body, sizeof found);
    if (GUINT32_FROM_LE(found) == item)
      total += record->size - 12;
  }
  return total;
}

static void put_u64(GByteArray *message, gsize at, guint64 value) {
  value = GUINT64_TO_LE(value);
  if (at + sizeof value <= message->len)
    memcpy(message->data + at, &value, sizeof value);
}

/* The last fields of a DEPLOY are the two sizes. */
static void mend_deploy(Script *script, const Record *record) {
  const guint8 session = record->flags & SESSION_MASK;
  GByteArray *message = script->message;
  if (record->size < 16 || (record->flags & AS_IT_IS))
    return;
  put_u64(message, message->len - 16,
          bulk_bytes(script, script->next, session, LCIP_BULK_DOCUMENT));
  put_u64(message, message->len - 8, bulk_bytes(script, script->next, session, LCIP_BULK_MANIFEST));
}

static void compose(Script *script, const Record *record) {
  GByteArray *message = script->message;
  guint8 head[LCIP_WIRE_HEADER_BYTES] = {0};
  g_byte_array_set_size(message, 0);
  g_byte_array_append(message, head, sizeof head);
  g_byte_array_append(message, record->body, (guint)record->size);
  if (record->type == LCIP_WIRE_DEPLOY)
    mend_deploy(script, record);
  const guint32 words[] = {GUINT32_TO_LE(LCIP_WIRE_MAGIC),
                           GUINT32_TO_LE(LCIP_WIRE_VERSION | (guint32)record->type << 16),
                           GUINT32_TO_LE((guint32)(record->flags & SESSION_MASK)),
                           GUINT32_TO_LE((guint32)record->size)};
  memcpy(message->data, words, sizeof words);
  const guint32 crc = lcip_crc32c(lcip_crc32c(0, message->data, sizeof words),
                                  message->data + LCIP_WIRE_HEADER_BYTES, record->size);
  memcpy(message->data + sizeof words, &(guint32){GUINT32_TO_LE(crc)}, sizeof crc);
}

/* ---- as a transport ---- */

static LcipTransportResult script_send(LcipTransport *transport, LcipPeer peer,
                                       const LcipBuffer *buffers, guint n, GError **error) {
  Script *script = (Script *)transport;
  LcipWire wire;
  g_autoptr(GByteArray) message = g_byte_array_new();
  g_autoptr(GError) own = NULL;
  for (guint i = 0; i < n; i++)
    if (buffers[i].size_bytes)
      g_byte_array_append(message, buffers[i].data, (guint)buffers[i].size_bytes);
  if (!lcip_wire_decode(message->data, message->len, &wire, &own))
    g_error("the worker sends what cannot be decoded: %s", own->message);
  script->n_sent++;
  return LCIP_TRANSPORT_OK;
}

/* A wait ends with the worker's next message, or without: there need not be one. */
static gboolean must_wait(Script *script) {
  if (script->n_sent != script->n_seen || script->n_polls >= MAX_POLLS ||
      script->n_polls_in_all >= MAX_POLLS_IN_ALL) {
    script->n_seen = script->n_sent;
    script->n_polls = 0;
    return FALSE;
  }
  return TRUE;
}

static LcipTransportResult script_receive(LcipTransport *transport, LcipPeer *peer,
                                          const guint8 **data, gsize *size_bytes, GError **error) {
  Script *script = (Script *)transport;
  while (script->next < script->n) {
    const Record *record = &script->records[script->next];
    if (record->type == WAIT && must_wait(script))
      return LCIP_TRANSPORT_AGAIN;
    script->next++;
    if (record->type == WAIT)
      continue;
    compose(script, record);
    *peer = 1;
    *data = script->message->data;
    *size_bytes = script->message->len;
    return LCIP_TRANSPORT_OK;
  }
  g_set_error_literal(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST, "the script is over");
  return LCIP_TRANSPORT_LOST;
}

static void script_wait(LcipTransport *transport, LcipTransportWait what, int fd,
                        gint64 timeout_ns) {
  struct pollfd item = {.fd = fd, .events = POLLIN};
  ((Script *)transport)->n_polls++;
  ((Script *)transport)->n_polls_in_all++;
  poll(&item, 1, 2);
}

static char *script_peer_name(LcipTransport *transport) {
  return g_strdup("the script");
}

static const char *script_address(LcipTransport *transport) {
  return "script";
}

static void script_free(LcipTransport *transport) {
  Script *script = (Script *)transport;
  g_byte_array_unref(script->message);
  g_free(script);
}

static const LcipTransportClass script_class = {
    .scheme = "script",
    .send = script_send,
    .receive = script_receive,
    .wait = script_wait,
    .peer_name = script_peer_name,
    .address = script_address,
    .free = script_free,
};

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size) {
  const LcipWorkerOptions options = {.limits = {.memory_bytes = 32 << 20,
                                                .sessions = 4,
                                                .document_bytes = 1 << 16,
                                                .credits = 4,
                                                .cache_bytes = 1 << 20},
                                     .log = quiet};
  g_autoptr(GError) error = NULL;
  Script *script = g_new0(Script, 1);
  fuzz_start_clock();
  script->base.klass = &script_class;
  script->message = g_byte_array_new();
  parse(script, data, size);
  LcipWorkerServer *server = lcip_worker_server_new(&options, &script->base);
  if (lcip_worker_server_run(server, NULL, &error))
    g_error("the worker ended without the script's end");
  lcip_worker_server_free(server);
  lcip_runtime_trim();
  return 0;
}
