#include "config.h"
#include "lcip-cpu.h"
#include "lcip-keys.h"
#include "lcip-worker-private.h"

#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* One thread owns the transport and all clients. Planning, and ending a run, take long: jobs on
 * other threads do them. What jobs and runs have to say comes as events. */

#define DEFAULT_SESSIONS 32
#define DEFAULT_ACTORS 20000
#define DEFAULT_DOCUMENT_BYTES (16u << 20)
#define DEFAULT_CACHE_BYTES (G_GUINT64_CONSTANT(4) << 30)
#define DEFAULT_CREDITS 16
#define JOB_THREADS 2

/** Client: one connection. @greeted: it has said hello. @refused: it broke the protocol; what else
 * it sends is dropped. @sent_something: since the last tick. */
typedef struct {
  LcipPeer peer;
  char *name;
  gboolean greeted, refused;
  gboolean sent_something;
  gint64 heard_ns;
  GHashTable *sessions; /* id -> LcipWorkerSession */
} Client;

typedef enum { JOB_PLAN, JOB_RETIRE } JobKind;
typedef struct {
  JobKind kind;
  LcipWorkerSession *session; /* owned */
} Job;

struct _LcipWorkerServer {
  LcipTransport *transport;
  LcipWorkerLimits limits;
  LcipLogFunc log;
  gpointer log_data;
  guint64 instance;
  GHashTable *clients; /* peer -> Client */
  guint n_sessions;
  GByteArray *scratch;
  gint64 next_tick_ns;
  GThreadPool *jobs;
  GAsyncQueue *events; /* LcipWorkerEvent */
  int fd;              /* readable when there are events */
  GMutex memory_mutex;
  guint64 used_bytes; /* under memory_mutex */
};

/* ---- what sessions use ---- */

void lcip_worker_server_post(LcipWorkerServer *server, LcipWorkerEvent *event) {
  g_async_queue_push(server->events, event);
  eventfd_write(server->fd, 1);
}

void lcip_worker_server_log(LcipWorkerServer *server, LcipLogLevel level, const char *format, ...) {
  va_list ap;
  if (!server->log)
    return;
  va_start(ap, format);
  g_autofree char *line = g_strdup_vprintf(format, ap);
  va_end(ap);
  server->log(level, line, server->log_data);
}

const LcipWorkerLimits *lcip_worker_server_limits(const LcipWorkerServer *server) {
  return &server->limits;
}

gboolean lcip_worker_server_reserve(LcipWorkerServer *server, guint64 bytes, GError **error) {
  g_mutex_lock(&server->memory_mutex);
  const guint64 used = server->used_bytes, limit = server->limits.memory_bytes;
  const gboolean ok = bytes <= limit && used <= limit - bytes;
  if (ok)
    server->used_bytes += bytes;
  g_mutex_unlock(&server->memory_mutex);
  if (!ok)
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_MEMORY,
                "the worker's memory would not do: expected at most %.1f MiB more (%.1f MiB of its "
                "limit of %.1f MiB are in use), found %.1f MiB",
                (double)(limit - MIN(used, limit)) / 1048576, (double)used / 1048576,
                (double)limit / 1048576, (double)bytes / 1048576);
  return ok;
}

void lcip_worker_server_release(LcipWorkerServer *server, guint64 bytes) {
  g_mutex_lock(&server->memory_mutex);
  server->used_bytes -= bytes;
  g_mutex_unlock(&server->memory_mutex);
}

static void push_job(LcipWorkerServer *server, JobKind kind, LcipWorkerSession *session) {
  Job *job = g_new0(Job, 1);
  job->kind = kind;
  job->session = session;
  g_thread_pool_push(server->jobs, job, NULL);
}

void lcip_worker_server_run_job(LcipWorkerServer *server, LcipWorkerSession *session) {
  push_job(server, JOB_PLAN, lcip_worker_session_ref(session));
}

static void do_job(gpointer data, gpointer user_data) {
  Job *job = data;
  if (job->kind == JOB_PLAN) {
    lcip_worker_session_plan(job->session);
    lcip_worker_session_unref(job->session);
  } else {
    lcip_worker_session_retire(job->session);
  }
  g_free(job);
}

GByteArray *lcip_worker_server_scratch(LcipWorkerServer *server) {
  return server->scratch;
}

LcipTransport *lcip_worker_server_transport(LcipWorkerServer *server) {
  return server->transport;
}

/* Whoever does not take what it is sent is forgotten by its silence, or by send_result(). */
void lcip_worker_server_send(LcipWorkerServer *server, LcipPeer peer, const LcipWire *wire) {
  g_autoptr(GError) error = NULL;
  if (lcip_wire_send(server->transport, peer, wire, server->scratch, &error) ==
          LCIP_TRANSPORT_LOST &&
      g_error_matches(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LIMIT))
    lcip_worker_server_log(server, LCIP_LOG_WARNING, "not sent: %s", error->message);
}

static void send_error(LcipWorkerServer *server, LcipPeer peer, guint32 session,
                       const GError *error) {
  const guint32 code =
      error->domain == LCIP_REMOTE_ERROR ? (guint32)error->code : LCIP_REMOTE_ERROR_GRAPH;
  lcip_worker_server_send(server, peer,
                          &(LcipWire){.type = LCIP_WIRE_ERROR,
                                      .session = session,
                                      .error = {.code = code,
                                                .frame = LCIP_WIRE_NO_FRAME,
                                                .message = lcip_wire_text(error->message)}});
}

/* ---- clients and their sessions ---- */

static void drop_session(gpointer data) {
  LcipWorkerSession *session = data;
  atomic_store(&session->dropped, TRUE);
  session->server->n_sessions--;
  push_job(session->server, JOB_RETIRE, session);
}

static void client_free(gpointer data) {
  Client *client = data;
  g_hash_table_unref(client->sessions);
  g_free(client->name);
  g_free(client);
}

static Client *find_client(LcipWorkerServer *server, LcipPeer peer) {
  return g_hash_table_lookup(server->clients, &peer);
}

static Client *client_new(LcipWorkerServer *server, LcipPeer peer) {
  Client *client = g_new0(Client, 1);
  client->peer = peer;
  client->name = lcip_transport_peer_name(server->transport);
  client->sessions = g_hash_table_new_full(NULL, NULL, NULL, drop_session);
  g_hash_table_insert(server->clients, &client->peer, client);
  return client;
}

static void forget_client(LcipWorkerServer *server, Client *client, const char *why) {
  lcip_worker_server_log(server, LCIP_LOG_INFO, "client %s: %s", client->name, why);
  g_hash_table_remove(server->clients, &client->peer);
}

static LcipWorkerSession *find_session(Client *client, guint32 id) {
  return g_hash_table_lookup(client->sessions, GUINT_TO_POINTER(id));
}

static void fail_session(LcipWorkerServer *server, Client *client, guint32 id,
                         const GError *error) {
  lcip_worker_server_log(server, LCIP_LOG_WARNING, "client %s: session %u: %s", client->name, id,
                         error->message);
  send_error(server, client->peer, id, error);
  client->sent_something = TRUE;
  g_hash_table_remove(client->sessions, GUINT_TO_POINTER(id));
}

/* ---- messages ---- */

static void add_device(LcipWireWelcome *welcome, const LcipDevice *device) {
  if (welcome->n_devices == LCIP_WIRE_MAX_DEVICES)
    return;
  LcipWireDevice *entry = &welcome->devices[welcome->n_devices++];
  entry->id = lcip_wire_text(device->id);
  entry->name = lcip_wire_text(device->name);
  entry->name.length = MIN(entry->name.length, 128);
  entry->kind = device->kind;
  entry->units = device->units;
  entry->memory_bytes = device->memory_bytes;
}

static const char *cpu_features(void) {
  const LcipCpuFeatures features = lcip_cpu_features();
  return features & LCIP_CPU_AVX512     ? "avx512"
         : features & LCIP_CPU_AVX2_FMA ? "avx2"
         : features & LCIP_CPU_NEON     ? "neon"
                                        : "generic";
}

void lcip_worker_fill_welcome(LcipWireWelcome *welcome, const LcipWorkerLimits *limits,
                              const char *name) {
  const GPtrArray *devices = lcip_runtime_devices(lcip_runtime_get());
  *welcome = (LcipWireWelcome){.software = lcip_wire_text("lcip " LCIP_VERSION),
                               .name = lcip_wire_text(name),
                               .features = lcip_wire_text(cpu_features()),
                               .max_memory_bytes = limits->memory_bytes,
                               .max_document_bytes = limits->document_bytes,
                               .max_sessions = limits->sessions,
                               .max_credits = limits->credits};
  for (guint i = 0; i < devices->len; i++)
    add_device(welcome, devices->pdata[i]);
}

static void on_hello(LcipWorkerServer *server, Client *client, const LcipWire *wire) {
  LcipWire answer = {.type = LCIP_WIRE_WELCOME};
  g_autofree char *own = lcip_own_name();
  g_autofree char *name = lcip_wire_text_dup(&wire->hello.name);
  g_autofree char *software = lcip_wire_text_dup(&wire->hello.software);
  lcip_worker_fill_welcome(&answer.welcome, &server->limits, own);
  answer.welcome.instance = server->instance;
  client->greeted = TRUE;
  lcip_worker_server_log(server, LCIP_LOG_INFO, "client %s: %s with %s", client->name, name,
                         software);
  lcip_worker_server_send(server, client->peer, &answer);
}

static gboolean check_session_limits(LcipWorkerServer *server, Client *client, guint32 id,
                                     GError **error) {
  if (find_session(client, id)) {
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_PROTOCOL, "session %u is in use", id);
    return FALSE;
  }
  if (server->n_sessions < server->limits.sessions)
    return TRUE;
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LIMIT,
              "expected at most %u sessions of all clients, found one more",
              server->limits.sessions);
  return FALSE;
}

static gboolean on_deploy(LcipWorkerServer *server, Client *client, const LcipWire *wire,
                          GError **error) {
  if (!check_session_limits(server, client, wire->session, error))
    return FALSE;
  LcipWorkerSession *session =
      lcip_worker_session_new(server, client->peer, wire->session, &wire->deploy, error);
  if (!session)
    return FALSE;
  server->n_sessions++;
  g_hash_table_insert(client->sessions, GUINT_TO_POINTER(wire->session), session);
  return TRUE;
}

static void on_ping(LcipWorkerServer *server, Client *client, const LcipWire *wire,
                    gint64 received_ns) {
  lcip_worker_server_send(server, client->peer,
                          &(LcipWire){.type = LCIP_WIRE_PONG,
                                      .ping = {.ping_ns = wire->ping.ping_ns,
                                               .received_ns = received_ns,
                                               .pong_ns = lcip_now_ns(),
                                               .padding_bytes = wire->ping.padding_bytes}});
}

static gboolean on_session_message(Client *client, const LcipWire *wire, GError **error) {
  LcipWorkerSession *session = find_session(client, wire->session);
  /* What was under way when a session failed. */
  if (!session)
    return TRUE;
  switch (wire->type) {
  case LCIP_WIRE_BULK:
    return lcip_worker_session_bulk(session, wire, error);
  case LCIP_WIRE_FRAME:
    return lcip_worker_session_frame(session, wire, error);
  case LCIP_WIRE_PART:
    return lcip_worker_session_part(session, wire, error);
  default:
    return TRUE;
  }
}

static void on_bye(LcipWorkerServer *server, Client *client, const LcipWire *wire) {
  if (wire->session)
    g_hash_table_remove(client->sessions, GUINT_TO_POINTER(wire->session));
  else
    forget_client(server, client, "goodbye");
}

static gboolean check_greeted(const Client *client, const LcipWire *wire, GError **error) {
  const gboolean fits =
      client->greeted ? wire->type != LCIP_WIRE_HELLO : wire->type == LCIP_WIRE_HELLO;
  if (!fits)
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_PROTOCOL, "%s: expected %s",
                lcip_wire_type_name(wire->type),
                client->greeted ? "no second HELLO" : "HELLO first");
  return fits;
}

/* FALSE with an error about the connection; one about a session is dealt with. */
static gboolean on_message(LcipWorkerServer *server, Client *client, const LcipWire *wire,
                           gint64 now_ns, GError **error) {
  g_autoptr(GError) own = NULL;
  if (!check_greeted(client, wire, error))
    return FALSE;
  switch (wire->type) {
  case LCIP_WIRE_HELLO:
    on_hello(server, client, wire);
    return TRUE;
  case LCIP_WIRE_PING:
    on_ping(server, client, wire, now_ns);
    return TRUE;
  case LCIP_WIRE_BYE:
    on_bye(server, client, wire);
    return TRUE;
  case LCIP_WIRE_DEPLOY:
    if (!on_deploy(server, client, wire, &own))
      fail_session(server, client, wire->session, own);
    return TRUE;
  case LCIP_WIRE_BULK:
  case LCIP_WIRE_FRAME:
  case LCIP_WIRE_PART:
    if (!on_session_message(client, wire, &own))
      fail_session(server, client, wire->session, own);
    return TRUE;
  default:
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_PROTOCOL,
                "%s: a client does not send this", lcip_wire_type_name(wire->type));
    return FALSE;
  }
}

/* A message that cannot be decoded ends all that its sender has here: where one is damaged, the
 * order of the others means nothing. */
static void on_bytes(LcipWorkerServer *server, LcipPeer peer, const guint8 *data, gsize size) {
  g_autoptr(GError) error = NULL;
  LcipWire wire;
  Client *client = find_client(server, peer);
  if (!client)
    client = client_new(server, peer);
  client->heard_ns = lcip_now_ns();
  if (client->refused)
    return;
  if (lcip_wire_decode(data, size, &wire, &error) &&
      on_message(server, client, &wire, client->heard_ns, &error))
    return;
  lcip_worker_server_log(server, LCIP_LOG_WARNING, "client %s: refused: %s", client->name,
                         error->message);
  send_error(server, peer, 0, error);
  client->refused = TRUE;
  client->greeted = FALSE;
  g_hash_table_remove_all(client->sessions);
}

/* ---- events ---- */

static void on_event(LcipWorkerServer *server, LcipWorkerEvent *event) {
  LcipWorkerSession *session = event->session;
  if (atomic_load(&session->dropped))
    return;
  Client *client = find_client(server, session->peer);
  client->sent_something = TRUE;
  if (event->kind == LCIP_EVENT_READY) {
    lcip_worker_session_send_ready(session);
    lcip_worker_server_log(server, LCIP_LOG_INFO,
                           "client %s: session %u: %u actors on %s, %.1f MiB", client->name,
                           session->id, session->graph->actors->len, session->device,
                           (double)session->reserved_bytes / 1048576);
  } else if (event->kind == LCIP_EVENT_RESULT) {
    if (!lcip_worker_session_send_result(session, event))
      forget_client(server, client, "it does not take its results");
  } else {
    g_autoptr(GError) error =
        event->error ? g_error_copy(event->error)
                     : g_error_new(LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_RUN, "the run ended");
    fail_session(server, client, session->id, error);
  }
}

static void event_free(LcipWorkerEvent *event) {
  lcip_worker_session_unref(event->session);
  g_clear_error(&event->error);
  g_clear_pointer(&event->tensors, g_ptr_array_unref);
  g_free(event);
}

static void take_events(LcipWorkerServer *server) {
  eventfd_t rings;
  eventfd_read(server->fd, &rings);
  for (LcipWorkerEvent *event; (event = g_async_queue_try_pop(server->events));) {
    on_event(server, event);
    event_free(event);
  }
}

/* ---- the loop ---- */

static gboolean tick_client(gpointer key, gpointer value, gpointer data) {
  LcipWorkerServer *server = data;
  Client *client = value;
  if (lcip_now_ns() - client->heard_ns > LCIP_WORKER_CLIENT_SILENCE_NS) {
    lcip_worker_server_log(server, LCIP_LOG_INFO, "client %s: nothing heard, forgotten",
                           client->name);
    return TRUE;
  }
  /* A sign of life, also while the client's own pings wait behind what it uploads. */
  if (client->greeted && !client->sent_something)
    lcip_worker_server_send(server, client->peer, &(LcipWire){.type = LCIP_WIRE_PONG});
  client->sent_something = FALSE;
  return FALSE;
}

static void tick(LcipWorkerServer *server) {
  const gint64 now_ns = lcip_now_ns();
  for (char *line; (line = lcip_transport_take_log(server->transport)); g_free(line))
    lcip_worker_server_log(server, LCIP_LOG_WARNING, "%s", line);
  if (now_ns < server->next_tick_ns)
    return;
  server->next_tick_ns = now_ns + LCIP_WORKER_TICK_NS;
  g_hash_table_foreach_remove(server->clients, tick_client, server);
}

/* Events in between: many messages of one client must not hold up the results of another. */
static gboolean take_messages(LcipWorkerServer *server, GError **error) {
  for (int i = 0; i < 16; i++) {
    LcipPeer peer;
    const guint8 *data;
    gsize size;
    const LcipTransportResult result =
        lcip_transport_receive(server->transport, &peer, &data, &size, error);
    if (result == LCIP_TRANSPORT_AGAIN) {
      if (i == 0)
        lcip_transport_wait(server->transport, LCIP_WAIT_READ, server->fd,
                            server->next_tick_ns - lcip_now_ns());
      return TRUE;
    }
    if (result == LCIP_TRANSPORT_LOST)
      return FALSE;
    on_bytes(server, peer, data, size);
  }
  return TRUE;
}

static void say_goodbye(LcipWorkerServer *server) {
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init(&iter, server->clients);
  while (g_hash_table_iter_next(&iter, NULL, &value))
    lcip_worker_server_send(
        server, ((Client *)value)->peer,
        &(LcipWire){.type = LCIP_WIRE_BYE, .bye = lcip_wire_text("the worker ends")});
  g_hash_table_remove_all(server->clients);
}

static void on_cancelled(GCancellable *cancellable, gpointer data) {
  eventfd_write(((LcipWorkerServer *)data)->fd, 1);
}

gboolean lcip_worker_server_run(LcipWorkerServer *server, GCancellable *cancellable,
                                GError **error) {
  gboolean ok = TRUE;
  const gulong handler =
      cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(on_cancelled), server, NULL) : 0;
  while (ok && !g_cancellable_is_cancelled(cancellable)) {
    take_events(server);
    tick(server);
    ok = take_messages(server, error);
  }
  if (cancellable)
    g_cancellable_disconnect(cancellable, handler);
  say_goodbye(server);
  return ok;
}

/* ---- life ---- */

static void fill_limits(LcipWorkerLimits *limits) {
  const guint64 memory = (guint64)sysconf(_SC_PHYS_PAGES) * (guint64)sysconf(_SC_PAGESIZE) / 2;
  limits->memory_bytes = limits->memory_bytes ? limits->memory_bytes : memory;
  limits->sessions = limits->sessions ? limits->sessions : DEFAULT_SESSIONS;
  limits->actors = limits->actors ? limits->actors : DEFAULT_ACTORS;
  limits->document_bytes = limits->document_bytes ? limits->document_bytes : DEFAULT_DOCUMENT_BYTES;
  limits->cache_bytes = limits->cache_bytes ? limits->cache_bytes : DEFAULT_CACHE_BYTES;
  limits->credits = limits->credits ? limits->credits : DEFAULT_CREDITS;
}

LcipWorkerServer *lcip_worker_server_new(const LcipWorkerOptions *options,
                                         LcipTransport *listener) {
  LcipWorkerServer *server = g_new0(LcipWorkerServer, 1);
  server->transport = listener;
  server->limits = options->limits;
  fill_limits(&server->limits);
  server->log = options->log;
  server->log_data = options->log_data;
  server->instance = (guint64)g_random_int() << 32 | g_random_int();
  server->clients = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, client_free);
  server->scratch = g_byte_array_new();
  server->jobs = g_thread_pool_new(do_job, server, JOB_THREADS, FALSE, NULL);
  server->events = g_async_queue_new();
  server->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  g_mutex_init(&server->memory_mutex);
  return server;
}

/* Jobs that still run post events; so the queue goes last. */
void lcip_worker_server_free(LcipWorkerServer *server) {
  g_hash_table_unref(server->clients);
  g_thread_pool_free(server->jobs, FALSE, TRUE);
  for (LcipWorkerEvent *event; (event = g_async_queue_try_pop(server->events));)
    event_free(event);
  g_async_queue_unref(server->events);
  lcip_transport_free(server->transport);
  g_byte_array_unref(server->scratch);
  close(server->fd);
  g_mutex_clear(&server->memory_mutex);
  g_free(server);
}
