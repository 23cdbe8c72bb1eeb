#include "config.h"
#include "test-remote.h"

#include "lcip-keys.h"
#include "lcip-remote-device.h"
#include "lcip-resolve.h"
#include "lcip-stream.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

/* ---- the worker refuses, and lives ---- */

static void test_memory_limit(void) {
  const LcipWorkerLimits limits = {.memory_bytes = 600 * 1024};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) large = make_graph(120), small = make_graph(2);
  run_refused(large, worker->address, "memory would not do");
  run_frames(small, worker->address, 5);
}

static void test_session_limit(void) {
  const LcipWorkerLimits limits = {.actors = 3};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) large = make_graph(6), small = make_graph(2);
  run_refused(large, worker->address, "at most 3 actors");
  run_frames(small, worker->address, 5);
}

static void test_unknown_client(void) {
  const LcipWorkerLimits limits = {0};
  g_auto(LcipIdentity) identity = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(4);
  g_assert_true(lcip_identity_load(&identity, NULL));
  g_assert_true(lcip_allowed_clients_remove(identity.public_key, NULL));
  g_autofree char *fingerprint = lcip_key_fingerprint(identity.public_key);
  g_autofree char *line = g_strdup_printf("unknown key %s", fingerprint);
  run_refused(graph, worker->address, "key");
  wait_for_line(worker, line);
  g_assert_true(lcip_allowed_clients_add(identity.public_key, "me", NULL));
  run_frames(graph, worker->address, 5);
}

static void test_wrong_worker_key(void) {
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(4);
  guint8 wrong[LCIP_KEY_BYTES] = {1, 2, 3};
  g_autoptr(LcipKnownWorker) known = lcip_known_worker_new(worker->address, "w", wrong);
  g_assert_true(lcip_known_workers_add(known, NULL));
  run_refused(graph, worker->address, "key");
  lcip_test_pair(worker->address);
  run_frames(graph, worker->address, 5);
}

/* Names are looked up; what is numeric already is left alone. */
static void test_names(void) {
  g_autoptr(GError) error = NULL;
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(2);
  g_autofree char *numeric = lcip_resolve("tcp://127.0.0.1:5577", NULL, NULL);
  g_assert_cmpstr(numeric, ==, "tcp://127.0.0.1:5577");
  g_autofree char *six = lcip_resolve("tcp://[::1]:5577", NULL, NULL);
  g_assert_cmpstr(six, ==, "tcp://[::1]:5577");
  g_assert_null(lcip_resolve("tcp://no-such-host.invalid:5577", NULL, &error));
  g_assert_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST);
  g_autofree char *named = g_strconcat("tcp://localhost", strrchr(worker->address, ':'), NULL);
  g_autofree char *found = lcip_resolve(named, NULL, NULL);
  if (g_strcmp0(found, worker->address) != 0) {
    g_test_skip("localhost is not 127.0.0.1 here");
    return;
  }
  lcip_test_pair(named);
  run_frames(graph, named, 3);
}

static void test_not_paired(void) {
  g_autoptr(GError) error = NULL;
  g_assert_null(lcip_remote_device_find("tcp://127.0.0.1:9/cpu", &error));
  g_assert_nonnull(strstr(error->message, "lcip pair"));
}

static void send_garbage(const char *address) {
  const char garbage[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n and more, and more, and more";
  const guint port = (guint)g_ascii_strtoull(strrchr(address, ':') + 1, NULL, 10);
  const struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_port = htons((guint16)port),
                                 .sin_addr = {htonl(INADDR_LOOPBACK)}};
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint(connect(fd, (const struct sockaddr *)&to, sizeof to), ==, 0);
  g_assert_cmpint(send(fd, garbage, sizeof garbage, 0), ==, sizeof garbage);
  close(fd);
}

/* One that speaks no ZeroMQ, and a ZeroMQ client without a key: which of the two ends sees first
 * that they do not agree is chance. */
static void test_no_key(void) {
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(4);
  send_garbage(worker->address);
  wait_for_lines(worker, "refused a connection", 1);
  void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
  const int zero = 0;
  zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
  zmq_connect(socket, worker->address);
  zmq_send(socket, "hello", 5, 0);
  wait_for_lines(worker, "refused a connection", 2);
  zmq_close(socket);
  zmq_ctx_term(context);
  run_frames(graph, worker->address, 5);
}

/* ---- a paired client that breaks the protocol ---- */

typedef struct {
  LcipTransport *transport;
  GByteArray *scratch;
} Hostile;

static void hostile_open(Hostile *hostile, const char *address) {
  hostile->transport = lcip_transport_connect(address, NULL, NULL);
  hostile->scratch = g_byte_array_new();
  g_assert_nonnull(hostile->transport);
}

static void hostile_send(Hostile *hostile, const void *data, gsize size) {
  const LcipBuffer buffer = {data, size};
  while (lcip_transport_send(hostile->transport, 0, &buffer, 1, NULL) == LCIP_TRANSPORT_AGAIN)
    lcip_transport_wait(hostile->transport, LCIP_WAIT_READ_WRITE, -1, 100000000);
}

static void hostile_wire(Hostile *hostile, const LcipWire *wire) {
  const LcipBuffer payload = {wire->payload, wire->payload_bytes};
  g_assert_true(
      lcip_wire_encode(wire, &payload, wire->payload_bytes ? 1 : 0, hostile->scratch, NULL));
  if (wire->payload_bytes)
    g_byte_array_append(hostile->scratch, wire->payload, (guint)wire->payload_bytes);
  hostile_send(hostile, hostile->scratch->data, hostile->scratch->len);
}

/* The next ERROR. */
static char *hostile_error(Hostile *hostile) {
  const gint64 end_us = g_get_monotonic_time() + LONG_TIME_US;
  while (g_get_monotonic_time() < end_us) {
    LcipPeer peer;
    const guint8 *data;
    gsize size;
    LcipWire wire;
    if (lcip_transport_receive(hostile->transport, &peer, &data, &size, NULL) !=
        LCIP_TRANSPORT_OK) {
      lcip_transport_wait(hostile->transport, LCIP_WAIT_READ, -1, 100000000);
      continue;
    }
    g_assert_true(lcip_wire_decode(data, size, &wire, NULL));
    if (wire.type == LCIP_WIRE_ERROR)
      return lcip_wire_text_dup(&wire.error.message);
  }
  return NULL;
}

static void hostile_close(Hostile *hostile) {
  lcip_transport_free(hostile->transport);
  g_byte_array_unref(hostile->scratch);
}

static const LcipWire hello = {.type = LCIP_WIRE_HELLO};

static void expect_error(Hostile *hostile, Worker *worker, const char *part) {
  g_autofree char *message = hostile_error(hostile);
  g_assert_nonnull(message);
  g_test_message("%s", message);
  g_assert_nonnull(strstr(message, part));
  wait_for_line(worker, part);
  hostile_close(hostile);
}

static void test_hostile(void) {
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(4);
  Hostile hostile;

  hostile_open(&hostile, worker->address);
  hostile_send(&hostile, "garbage", 7);
  expect_error(&hostile, worker, "that are none");

  hostile_open(&hostile, worker->address);
  hostile_wire(&hostile, &(LcipWire){.type = LCIP_WIRE_PING});
  expect_error(&hostile, worker, "HELLO first");

  hostile_open(&hostile, worker->address);
  g_assert_true(lcip_wire_encode(&hello, NULL, 0, hostile.scratch, NULL));
  hostile.scratch->data[4] = 0;
  hostile_send(&hostile, hostile.scratch->data, hostile.scratch->len);
  expect_error(&hostile, worker, "version");

  hostile_open(&hostile, worker->address);
  hostile_wire(&hostile, &hello);
  g_assert_true(lcip_wire_encode(&hello, NULL, 0, hostile.scratch, NULL));
  memset(hostile.scratch->data + 12, 255, 4);
  hostile_send(&hostile, hostile.scratch->data, hostile.scratch->len);
  expect_error(&hostile, worker, "after the header");

  hostile_open(&hostile, worker->address);
  hostile_wire(&hostile, &hello);
  hostile_wire(&hostile, &(LcipWire){.type = LCIP_WIRE_DEPLOY,
                                     .session = 1,
                                     .deploy = {.device = lcip_wire_text("cpu"),
                                                .document_bytes = G_GUINT64_CONSTANT(1) << 32}});
  expect_error(&hostile, worker, "expected a document");
  run_frames(graph, worker->address, 5);
}

/* Frames of another client's session, and of none, do nothing; a message twice ends the session. */
static void test_replay(void) {
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(4);
  Hostile hostile;
  const LcipWire deploy = {.type = LCIP_WIRE_DEPLOY,
                           .session = 1,
                           .deploy = {.device = lcip_wire_text("cpu"), .document_bytes = 16}};
  const LcipWire bulk = {.type = LCIP_WIRE_BULK,
                         .session = 1,
                         .payload = (const guint8 *)"01234567",
                         .payload_bytes = 8};
  hostile_open(&hostile, worker->address);
  hostile_wire(&hostile, &hello);
  hostile_wire(&hostile, &(LcipWire){.type = LCIP_WIRE_BULK, .session = 99});
  hostile_wire(&hostile, &deploy);
  hostile_wire(&hostile, &bulk);
  hostile_wire(&hostile, &bulk);
  expect_error(&hostile, worker, "expected offset 8");

  hostile_open(&hostile, worker->address);
  hostile_wire(&hostile, &hello);
  hostile_wire(&hostile, &hello);
  expect_error(&hostile, worker, "no second HELLO");
  run_frames(graph, worker->address, 5);
}

void add_refused_tests(void) {
  g_test_add_func("/remote/memory-limit", test_memory_limit);
  g_test_add_func("/remote/actor-limit", test_session_limit);
  g_test_add_func("/remote/unknown-client", test_unknown_client);
  g_test_add_func("/remote/wrong-worker-key", test_wrong_worker_key);
  g_test_add_func("/remote/names", test_names);
  g_test_add_func("/remote/not-paired", test_not_paired);
  g_test_add_func("/remote/no-key", test_no_key);
  g_test_add_func("/remote/hostile", test_hostile);
  g_test_add_func("/remote/replay", test_replay);
}
