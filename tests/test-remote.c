#include "config.h"
#include "lcip-keys.h"
#include "lcip-link-figures.h"
#include "lcip-plan-private.h"
#include "lcip-remote-device.h"
#include "lcip-resolve.h"
#include "lcip-run.h"
#include "lcip-stream.h"
#include "lcip-test-home.h"
#include "lcip-worker-server.h"

#include <gio/gio.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

/* Lanes on workers over loopback: workers in this process where that is enough, as processes of
 * their own where they are to be killed. Nothing sleeps for a time: what is expected is waited for.
 */

#define CHANNELS 8
#define SIZE 24
#define LONG_TIME_US (30 * G_USEC_PER_SEC)

/* ---- a graph: convolutions in a row; the second half is on the lane "Desk" ---- */

static LcipTensor *random_tensor(LcipShape shape, guint32 seed, float scale) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, shape);
  LcipTensor *tensor = lcip_tensor_new(&spec);
  GRand *random = g_rand_new_with_seed(seed);
  float *data = lcip_tensor_get_mutable(tensor);
  for (gint64 i = 0; i < lcip_shape_count(&shape); i++)
    data[i] = (float)g_rand_double_range(random, -scale, scale);
  g_rand_free(random);
  return tensor;
}

static int add_actor(LcipGraph *graph, const char *op_name, const char *id, guint n_inputs) {
  LcipActor *actor = lcip_actor_new(id, id, "", op_name, n_inputs, 1);
  return lcip_graph_add_actor(graph, actor);
}

static int add_conv(LcipGraph *graph, guint i) {
  g_autofree char *id = g_strdup_printf("conv_%u", i);
  LcipActor *actor = lcip_actor_new(id, id, "", "Conv", 2, 1);
  const gint64 pads[] = {1, 1, 1, 1};
  g_autoptr(LcipTensor) weights =
      random_tensor(lcip_shape(4, CHANNELS, CHANNELS, 3, 3), i + 1, 0.2f);
  lcip_actor_set_constant(actor, 1, weights, NULL);
  lcip_attrs_set_ints(actor->attrs, "pads", LCIP_ATTR_INTS, 4, pads, NULL);
  return lcip_graph_add_actor(graph, actor);
}

static void connect_actors(LcipGraph *graph, int from, int to) {
  lcip_graph_add_edge(graph, (LcipEdge){.src_actor = from, .dst_actor = to});
}

static LcipGraph *make_graph(guint n_convs) {
  LcipGraph *graph = lcip_graph_new();
  const LcipTensorSpec spec =
      lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, 1, CHANNELS, SIZE, SIZE));
  int last = LCIP_NO_ACTOR;
  graph->opset = graph->source_opset = 21;
  lcip_graph_add_input(graph, "x", "x", spec);
  lcip_graph_add_output(graph, "y", "y", spec);
  lcip_graph_ensure_defaults(graph);
  lcip_graph_add_lane(graph, "Desk", LCIP_LANE_REMOTE, 0, NULL);
  LcipMapping *mapping = lcip_graph_add_mapping(graph, "split");
  for (guint i = 0; i < n_convs; i++) {
    g_autofree char *relu_id = g_strdup_printf("relu_%u", i);
    const int conv = add_conv(graph, i), relu = add_actor(graph, "Relu", relu_id, 1);
    connect_actors(graph, last, conv);
    connect_actors(graph, conv, relu);
    last = relu;
    if (i < n_convs / 2)
      continue;
    lcip_mapping_assign(mapping, lcip_graph_actor(graph, conv)->id, "Desk");
    lcip_mapping_assign(mapping, relu_id, "Desk");
  }
  lcip_graph_add_edge(graph, (LcipEdge){.src_actor = last, .dst_actor = LCIP_NO_ACTOR});
  return graph;
}

static LcipPlan *make_plan(LcipGraph *graph, const char *mapping, const char *device) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GHashTable) bindings = g_hash_table_new(g_str_hash, g_str_equal);
  if (device)
    g_hash_table_insert(bindings, (gpointer) "Desk", (gpointer)device);
  const LcipPlanOptions options = {
      .mapping = mapping, .bindings = bindings, .pinned = TRUE, .threads = 1};
  LcipPlan *plan = lcip_plan_new(graph, &options, NULL, NULL, &error);
  g_assert_no_error(error);
  return plan;
}

/* ---- running it ---- */

/** Frames: what a run delivered, and the state of its lane. */
typedef struct {
  GMutex mutex;
  GCond cond;
  GPtrArray *outputs; /* LcipTensor, by frame number */
  GPtrArray *reasons; /* why the lane went offline, each time */
  guint n_ready;
} Frames;

static void frames_init(Frames *frames) {
  memset(frames, 0, sizeof *frames);
  frames->outputs = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_tensor_unref);
  frames->reasons = g_ptr_array_new_with_free_func(g_free);
}

static void frames_clear(Frames *frames) {
  g_ptr_array_unref(frames->outputs);
  g_ptr_array_unref(frames->reasons);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Frames, frames_clear)

static void on_frame(const LcipFrame *frame, gpointer data) {
  Frames *frames = data;
  g_mutex_lock(&frames->mutex);
  /* In order, each once. */
  g_assert_cmpuint(frame->number, ==, frames->outputs->len);
  g_ptr_array_add(frames->outputs, lcip_tensor_ref(frame->values[0].tensor));
  g_cond_broadcast(&frames->cond);
  g_mutex_unlock(&frames->mutex);
}

static void on_lane(LcipPlan *plan, guint lane, const LcipLinkStatus *status, gpointer data) {
  Frames *frames = data;
  g_mutex_lock(&frames->mutex);
  if (status->state == LCIP_LINK_READY)
    frames->n_ready++;
  else
    g_ptr_array_add(frames->reasons, g_strdup(status->reason));
  g_cond_broadcast(&frames->cond);
  g_mutex_unlock(&frames->mutex);
}

static LcipRun *start_run(LcipPlan *plan, Frames *frames) {
  g_autoptr(GError) error = NULL;
  const LcipRunOptions options = {.pushed = TRUE,
                                  .profile = TRUE,
                                  .frames_in_flight = 4,
                                  .frame_func = on_frame,
                                  .lane_func = on_lane,
                                  .frame_data = frames};
  LcipRun *run = lcip_run_start(plan, &options, &error);
  g_assert_no_error(error);
  return run;
}

static void push(LcipRun *run, guint32 seed) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipTensor) input =
      random_tensor(lcip_shape(4, 1, CHANNELS, SIZE, SIZE), 1000 + seed, 1);
  lcip_run_push(run, &input, 0, &error);
  g_assert_no_error(error);
}

static void finish(LcipRun *run) {
  g_autoptr(GError) error = NULL;
  lcip_run_push_end(run);
  lcip_run_wait(run, &error);
  g_assert_no_error(error);
}

/* Until @n_ready times ready and @n_lost times lost. */
static void wait_for_lane(Frames *frames, guint n_ready, guint n_lost) {
  const gint64 end_us = g_get_monotonic_time() + LONG_TIME_US;
  g_mutex_lock(&frames->mutex);
  while (frames->n_ready < n_ready || frames->reasons->len < n_lost)
    g_assert_true(g_cond_wait_until(&frames->cond, &frames->mutex, end_us));
  g_mutex_unlock(&frames->mutex);
}

/* All frames as the CPU alone computes them, bit for bit. */
static void check_frames(LcipGraph *graph, const Frames *frames, guint n) {
  g_auto(Frames) expected;
  frames_init(&expected);
  g_autoptr(LcipPlan) plan = make_plan(graph, "default", NULL);
  g_autoptr(LcipRun) run = start_run(plan, &expected);
  for (guint i = 0; i < n; i++)
    push(run, i);
  finish(run);
  g_assert_cmpuint(frames->outputs->len, ==, n);
  for (guint i = 0; i < n; i++) {
    LcipTensor *a = frames->outputs->pdata[i], *b = expected.outputs->pdata[i];
    g_assert_cmpmem(lcip_tensor_get_data(a), lcip_tensor_get_bytes(a), lcip_tensor_get_data(b),
                    lcip_tensor_get_bytes(b));
  }
}

static guint64 frames_by_worker(LcipRun *run) {
  g_auto(LcipLinkStatus) status = {0};
  return lcip_run_lane_status(run, 1, &status) ? status.results : 0;
}

static void wait_for_results(LcipRun *run, guint n) {
  const gint64 end_us = g_get_monotonic_time() + LONG_TIME_US;
  while (frames_by_worker(run) < n) {
    g_assert_cmpint(g_get_monotonic_time(), <, end_us);
    g_thread_yield();
  }
}

/* Pushes frames from number @n on until the worker has answered @more. */
static void push_until_answered(LcipRun *run, guint *n, guint more) {
  const gint64 end_us = g_get_monotonic_time() + LONG_TIME_US;
  for (const guint64 before = frames_by_worker(run); frames_by_worker(run) < before + more;) {
    g_assert_cmpint(g_get_monotonic_time(), <, end_us);
    push(run, (*n)++);
  }
}

/* ---- workers in this process ---- */

typedef struct {
  char *address;
  GThread *thread;
  GCancellable *cancellable;
  LcipWorkerServer *server;
  GMutex mutex;
  GCond cond;
  GPtrArray *lines;
} Worker;

static void on_log(LcipLogLevel level, const char *line, gpointer data) {
  Worker *worker = data;
  g_mutex_lock(&worker->mutex);
  g_ptr_array_add(worker->lines, g_strdup(line));
  g_cond_broadcast(&worker->cond);
  g_mutex_unlock(&worker->mutex);
}

static gpointer worker_main(gpointer data) {
  Worker *worker = data;
  g_autoptr(GError) error = NULL;
  lcip_worker_server_run(worker->server, worker->cancellable, &error);
  g_assert_no_error(error);
  return NULL;
}

static void pair(const char *address) {
  g_auto(LcipIdentity) identity = {0};
  g_assert_true(lcip_identity_load(&identity, NULL));
  g_autoptr(LcipKnownWorker) known = lcip_known_worker_new(address, "w", identity.public_key);
  lcip_known_worker_add_device(known, "cpu", "cpu", "", 1, 0);
  g_assert_true(lcip_known_workers_add(known, NULL));
  g_assert_true(lcip_allowed_clients_add(identity.public_key, "me", NULL));
}

static Worker *worker_start(const LcipWorkerLimits *limits) {
  g_autoptr(GError) error = NULL;
  Worker *worker = g_new0(Worker, 1);
  LcipTransport *listener = lcip_transport_listen("tcp://127.0.0.1:*", &error);
  g_assert_no_error(error);
  const LcipWorkerOptions options = {.limits = *limits, .log = on_log, .log_data = worker};
  worker->lines = g_ptr_array_new_with_free_func(g_free);
  worker->address = g_strdup(lcip_transport_address(listener));
  worker->cancellable = g_cancellable_new();
  worker->server = lcip_worker_server_new(&options, listener);
  worker->thread = g_thread_new("worker", worker_main, worker);
  pair(worker->address);
  return worker;
}

static void worker_stop(Worker *worker) {
  g_cancellable_cancel(worker->cancellable);
  g_thread_join(worker->thread);
  lcip_worker_server_free(worker->server);
  g_object_unref(worker->cancellable);
  g_ptr_array_unref(worker->lines);
  g_free(worker->address);
  g_free(worker);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Worker, worker_stop)

static guint count_lines(const Worker *worker, const char *part) {
  guint n = 0;
  for (guint i = 0; i < worker->lines->len; i++)
    n += strstr(worker->lines->pdata[i], part) != NULL;
  return n;
}

static void wait_for_lines(Worker *worker, const char *part, guint n) {
  const gint64 end_us = g_get_monotonic_time() + LONG_TIME_US;
  g_mutex_lock(&worker->mutex);
  while (count_lines(worker, part) < n)
    if (!g_cond_wait_until(&worker->cond, &worker->mutex, end_us)) {
      for (guint i = 0; i < worker->lines->len; i++)
        g_test_message("%s", (char *)worker->lines->pdata[i]);
      g_error("expected a line of the log with '%s', found none", part);
    }
  g_mutex_unlock(&worker->mutex);
}

static void wait_for_line(Worker *worker, const char *part) {
  wait_for_lines(worker, part, 1);
}

/* ---- what works ---- */

static void run_frames(LcipGraph *graph, const char *address, guint n) {
  g_auto(Frames) frames;
  frames_init(&frames);
  g_autoptr(LcipPlan) plan = make_plan(graph, "split", address);
  g_autoptr(LcipRun) run = start_run(plan, &frames);
  for (guint i = 0; i < n; i++)
    push(run, i);
  wait_for_results(run, n);
  finish(run);
  g_assert_cmpuint(frames.reasons->len, ==, 0);
  check_frames(graph, &frames, n);
}

static void test_same_bits(void) {
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(6);
  run_frames(graph, worker->address, 40);
  /* And from the cache. */
  run_frames(graph, worker->address, 5);
}

/* On the lane "Desk" an actor that does nothing and one that another repeats; on the CPU a reshape
 * between two actors of the worker, which is no step there. */
static void test_removed_actors(void) {
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(2);
  g_autoptr(LcipTensor) shape = lcip_tensor_new_i64(4, (const gint64[]){1, CHANNELS, SIZE, SIZE});
  LcipMapping *mapping = lcip_graph_find_mapping(graph, "split");
  /* The output's edge is the last. */
  const LcipEdge out = g_array_index(graph->edges, LcipEdge, graph->edges->len - 1);
  g_array_set_size(graph->edges, graph->edges->len - 1);
  const int identity = add_actor(graph, "Identity", "identity", 1);
  const int left = add_actor(graph, "Sigmoid", "left", 1);
  const int right = add_actor(graph, "Sigmoid", "right", 1);
  const int reshape = add_actor(graph, "Reshape", "reshape", 2);
  const int sum = add_actor(graph, "Add", "sum", 2);
  lcip_actor_set_constant(lcip_graph_actor(graph, reshape), 1, shape, NULL);
  connect_actors(graph, out.src_actor, identity);
  connect_actors(graph, identity, left);
  connect_actors(graph, identity, right);
  connect_actors(graph, left, reshape);
  connect_actors(graph, reshape, sum);
  lcip_graph_add_edge(graph, (LcipEdge){.src_actor = right, .dst_actor = sum, .dst_port = 1});
  lcip_graph_add_edge(graph, (LcipEdge){.src_actor = sum, .dst_actor = LCIP_NO_ACTOR});
  const char *const there[] = {"identity", "left", "right", "sum"};
  for (guint i = 0; i < G_N_ELEMENTS(there); i++)
    lcip_mapping_assign(mapping, there[i], "Desk");
  run_frames(graph, worker->address, 5);
}

/* Half the bytes: close, and not the same. */
static void test_f16(void) {
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(4);
  g_autofree char *device = g_strconcat(worker->address, "/cpu?f16", NULL);
  const char *const devices[] = {device, worker->address};
  Frames frames[2];
  for (guint k = 0; k < 2; k++) {
    frames_init(&frames[k]);
    g_autoptr(LcipPlan) plan = make_plan(graph, "split", devices[k]);
    g_autoptr(LcipRun) run = start_run(plan, &frames[k]);
    push(run, 0);
    wait_for_results(run, 1);
    finish(run);
  }
  LcipTensor *half = frames[0].outputs->pdata[0], *full = frames[1].outputs->pdata[0];
  const float *a = lcip_tensor_get_data(half), *b = lcip_tensor_get_data(full);
  const gint64 n = lcip_shape_count(lcip_tensor_get_shape(full));
  float most = 0, difference = 0;
  for (gint64 i = 0; i < n; i++) {
    most = MAX(most, ABS(b[i]));
    difference = MAX(difference, ABS(a[i] - b[i]));
  }
  g_assert_cmpfloat(difference, >, 0);
  g_assert_cmpfloat(difference, <, 4e-3 * most);
  LcipLinkFigures figures;
  g_assert_true(lcip_link_figures_get(worker->address, &figures));
  g_assert_cmpfloat(figures.bytes_per_second, >, 0);
  frames_clear(&frames[0]);
  frames_clear(&frames[1]);
}

/* CPU, worker, CPU, worker: two sessions of one lane. */
static void test_two_parts(void) {
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(6);
  lcip_mapping_assign(lcip_graph_find_mapping(graph, "split"), "relu_1", "Desk");
  lcip_mapping_assign(lcip_graph_find_mapping(graph, "split"), "conv_1", "Desk");
  run_frames(graph, worker->address, 0);
  g_auto(Frames) frames;
  frames_init(&frames);
  g_autoptr(LcipPlan) plan = make_plan(graph, "split", worker->address);
  g_autoptr(LcipRun) run = start_run(plan, &frames);
  for (guint i = 0; i < 20; i++)
    push(run, i);
  finish(run);
  check_frames(graph, &frames, 20);
}

static void test_profile(void) {
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(4);
  g_auto(Frames) frames;
  frames_init(&frames);
  g_autoptr(LcipPlan) plan = make_plan(graph, "split", worker->address);
  g_autoptr(LcipRun) run = start_run(plan, &frames);
  for (guint i = 0; i < 60; i++)
    push(run, i);
  wait_for_results(run, 60);
  finish(run);
  g_autoptr(LcipProfile) profile = lcip_run_profile(run);
  const LcipLaneProfile *lane = &profile->lanes[1];
  const double sum_ms = lane->compute_ms + lane->copy_ms + lane->wait_ms + lane->idle_ms;
  g_assert_cmpfloat_with_epsilon(sum_ms, profile->frame_ms, 0.1 * profile->frame_ms);
  guint n_remote = 0;
  for (guint i = 0; i < lcip_plan_n_steps(plan); i++) {
    const LcipRemoteTimes *times = &profile->remotes[i];
    n_remote += times->compute.n > 0;
    if (times->compute.n == 0)
      continue;
    g_assert_cmpuint(times->send.n, >, 0);
    g_assert_cmpuint(times->reply.n, >, 0);
    g_assert_cmpfloat(times->compute.median_ms, >, 0);
  }
  g_assert_cmpuint(n_remote, ==, 1);
}

static gpointer client_main(gpointer data) {
  g_autoptr(LcipGraph) graph = make_graph(6);
  run_frames(graph, data, 60);
  return NULL;
}

static void test_two_clients(void) {
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  GThread *other = g_thread_new("client", client_main, worker->address);
  g_autoptr(LcipGraph) graph = make_graph(4);
  run_frames(graph, worker->address, 60);
  g_thread_join(other);
}

/* ---- the worker refuses, and lives ---- */

/* Runs with the fallback alone, because the lane's reason is @reason. */
static void run_refused(LcipGraph *graph, const char *address, const char *reason) {
  g_auto(Frames) frames;
  frames_init(&frames);
  g_autoptr(LcipPlan) plan = make_plan(graph, "split", address);
  g_autoptr(LcipRun) run = start_run(plan, &frames);
  wait_for_lane(&frames, 0, 1);
  for (guint i = 0; i < 10; i++)
    push(run, i);
  finish(run);
  g_test_message("%s", (char *)frames.reasons->pdata[0]);
  g_assert_nonnull(strstr(frames.reasons->pdata[0], reason));
  check_frames(graph, &frames, 10);
}

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
  pair(worker->address);
  run_frames(graph, worker->address, 5);
}

/* Names are looked up; what is numeric already is left alone. */
static void test_names(void) {
  g_autoptr(GError) error = NULL;
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(2);
  g_autofree char *numeric = lcip_resolve("tcp://127.0.0.1:5577", NULL);
  g_assert_cmpstr(numeric, ==, "tcp://127.0.0.1:5577");
  g_autofree char *six = lcip_resolve("tcp://[::1]:5577", NULL);
  g_assert_cmpstr(six, ==, "tcp://[::1]:5577");
  g_assert_null(lcip_resolve("tcp://no-such-host.invalid:5577", &error));
  g_assert_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST);
  g_autofree char *named = g_strconcat("tcp://localhost", strrchr(worker->address, ':'), NULL);
  g_autofree char *found = lcip_resolve(named, NULL);
  if (g_strcmp0(found, worker->address) != 0) {
    g_test_skip("localhost is not 127.0.0.1 here");
    return;
  }
  pair(named);
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
  hostile->transport = lcip_transport_connect(address, NULL);
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

/* ---- workers as processes ---- */

typedef struct {
  GSubprocess *process;
  char *address;
} Process;

static Process process_start(const char *listen) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GSubprocessLauncher) launcher =
      g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDERR_PIPE | G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
  Process process = {0};
  g_subprocess_launcher_setenv(launcher, "XDG_CONFIG_HOME", g_get_user_config_dir(), TRUE);
  g_subprocess_launcher_setenv(launcher, "XDG_CACHE_HOME", g_get_user_cache_dir(), TRUE);
  process.process = g_subprocess_launcher_spawn(launcher, &error, g_getenv("LCIP_CLI"), "worker",
                                                "--listen", listen, NULL);
  g_assert_no_error(error);
  g_autoptr(GDataInputStream) lines =
      g_data_input_stream_new(g_subprocess_get_stderr_pipe(process.process));
  g_filter_input_stream_set_close_base_stream(G_FILTER_INPUT_STREAM(lines), FALSE);
  g_autofree char *line = g_data_input_stream_read_line(lines, NULL, NULL, NULL);
  g_assert_nonnull(line);
  const char *address = strstr(line, "tcp://");
  g_assert_nonnull(address);
  process.address = g_strndup(address, strcspn(address, ", "));
  return process;
}

static void process_kill(Process *process, int signal_number) {
  g_subprocess_send_signal(process->process, signal_number);
  g_subprocess_wait(process->process, NULL, NULL);
  g_clear_object(&process->process);
}

/* No frame is lost, none comes twice, all are right, and the actors return. */
static void test_killed(void) {
  g_auto(LcipIdentity) identity = {0};
  g_assert_true(lcip_identity_load(&identity, NULL));
  Process process = process_start("tcp://127.0.0.1:*");
  pair(process.address);
  g_autoptr(LcipGraph) graph = make_graph(6);
  g_auto(Frames) frames;
  frames_init(&frames);
  g_autoptr(LcipPlan) plan = make_plan(graph, "split", process.address);
  g_autoptr(LcipRun) run = start_run(plan, &frames);
  guint n = 0;
  for (guint round = 1; round <= 3; round++) {
    wait_for_lane(&frames, round, round - 1);
    push_until_answered(run, &n, 10);
    process_kill(&process, round % 2 ? SIGKILL : SIGTERM);
    for (guint i = 0; i < 10; i++)
      push(run, n++);
    wait_for_lane(&frames, round, round);
    g_autofree char *address = process.address;
    process = process_start(address);
  }
  wait_for_lane(&frames, 4, 3);
  push_until_answered(run, &n, 5);
  finish(run);
  check_frames(graph, &frames, n);
  process_kill(&process, SIGTERM);
  g_free(process.address);
}

/* A worker that is stopped does not answer: the deadline passes, or nothing is heard. */
static void test_stopped(void) {
  g_auto(LcipIdentity) identity = {0};
  g_assert_true(lcip_identity_load(&identity, NULL));
  Process process = process_start("tcp://127.0.0.1:*");
  pair(process.address);
  g_autoptr(LcipGraph) graph = make_graph(6);
  g_auto(Frames) frames;
  frames_init(&frames);
  g_autoptr(LcipPlan) plan = make_plan(graph, "split", process.address);
  g_autoptr(LcipRun) run = start_run(plan, &frames);
  wait_for_lane(&frames, 1, 0);
  guint n = 0;
  for (; n < 5; n++)
    push(run, n);
  g_subprocess_send_signal(process.process, SIGSTOP);
  for (; n < 20; n++)
    push(run, n);
  wait_for_lane(&frames, 1, 1);
  g_subprocess_send_signal(process.process, SIGCONT);
  wait_for_lane(&frames, 2, 1);
  push_until_answered(run, &n, 5);
  finish(run);
  check_frames(graph, &frames, n);
  process_kill(&process, SIGTERM);
  g_free(process.address);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_autofree char *home = lcip_test_make_home();
  g_test_add_func("/remote/same-bits", test_same_bits);
  g_test_add_func("/remote/removed-actors", test_removed_actors);
  g_test_add_func("/remote/f16", test_f16);
  g_test_add_func("/remote/two-parts", test_two_parts);
  g_test_add_func("/remote/profile", test_profile);
  g_test_add_func("/remote/two-clients", test_two_clients);
  g_test_add_func("/remote/memory-limit", test_memory_limit);
  g_test_add_func("/remote/actor-limit", test_session_limit);
  g_test_add_func("/remote/unknown-client", test_unknown_client);
  g_test_add_func("/remote/wrong-worker-key", test_wrong_worker_key);
  g_test_add_func("/remote/names", test_names);
  g_test_add_func("/remote/not-paired", test_not_paired);
  g_test_add_func("/remote/no-key", test_no_key);
  g_test_add_func("/remote/hostile", test_hostile);
  g_test_add_func("/remote/replay", test_replay);
  g_test_add_func("/remote/killed", test_killed);
  g_test_add_func("/remote/stopped", test_stopped);
  const int failed = g_test_run();
  lcip_test_remove_home(home);
  return failed;
}
