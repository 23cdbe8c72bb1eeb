#include "config.h"
#include "test-remote.h"

#include "lcip-plan-private.h"

#include <string.h>

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

int add_actor(LcipGraph *graph, const char *op_name, const char *id, guint n_inputs) {
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

void connect_actors(LcipGraph *graph, int from, int to) {
  lcip_graph_add_edge(graph, (LcipEdge){.src_actor = from, .dst_actor = to});
}

LcipGraph *make_graph(guint n_convs) {
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

LcipPlan *make_plan(LcipGraph *graph, const char *mapping, const char *device) {
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

void frames_init(Frames *frames) {
  memset(frames, 0, sizeof *frames);
  frames->outputs = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_tensor_unref);
  frames->reasons = g_ptr_array_new_with_free_func(g_free);
}

void frames_clear(Frames *frames) {
  g_ptr_array_unref(frames->outputs);
  g_ptr_array_unref(frames->reasons);
}

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

LcipRun *start_run(LcipPlan *plan, Frames *frames) {
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

void push(LcipRun *run, guint32 seed) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipTensor) input =
      random_tensor(lcip_shape(4, 1, CHANNELS, SIZE, SIZE), 1000 + seed, 1);
  lcip_run_push(run, &input, 0, &error);
  g_assert_no_error(error);
}

void finish(LcipRun *run) {
  g_autoptr(GError) error = NULL;
  lcip_run_push_end(run);
  lcip_run_wait(run, &error);
  g_assert_no_error(error);
}

/* Until @n_ready times ready and @n_lost times lost. */
void wait_for_lane(Frames *frames, guint n_ready, guint n_lost) {
  const gint64 end_us = g_get_monotonic_time() + LONG_TIME_US;
  g_mutex_lock(&frames->mutex);
  while (frames->n_ready < n_ready || frames->reasons->len < n_lost)
    g_assert_true(g_cond_wait_until(&frames->cond, &frames->mutex, end_us));
  g_mutex_unlock(&frames->mutex);
}

/* All frames as the CPU alone computes them, bit for bit. */
void check_frames(LcipGraph *graph, const Frames *frames, guint n) {
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

void wait_for_results(LcipRun *run, guint n) {
  const gint64 end_us = g_get_monotonic_time() + LONG_TIME_US;
  while (frames_by_worker(run) < n) {
    g_assert_cmpint(g_get_monotonic_time(), <, end_us);
    g_thread_yield();
  }
}

/* Pushes frames from number @n on until the worker has answered @more. */
void push_until_answered(LcipRun *run, guint *n, guint more) {
  const gint64 end_us = g_get_monotonic_time() + LONG_TIME_US;
  for (const guint64 before = frames_by_worker(run); frames_by_worker(run) < before + more;) {
    g_assert_cmpint(g_get_monotonic_time(), <, end_us);
    push(run, (*n)++);
  }
}

/* ---- workers in this process ---- */

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

Worker *worker_start(const LcipWorkerLimits *limits) {
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
  lcip_test_pair(worker->address);
  return worker;
}

void worker_stop(Worker *worker) {
  g_cancellable_cancel(worker->cancellable);
  g_thread_join(worker->thread);
  lcip_worker_server_free(worker->server);
  g_object_unref(worker->cancellable);
  g_ptr_array_unref(worker->lines);
  g_free(worker->address);
  g_free(worker);
}

static guint count_lines(const Worker *worker, const char *part) {
  guint n = 0;
  for (guint i = 0; i < worker->lines->len; i++)
    n += strstr(worker->lines->pdata[i], part) != NULL;
  return n;
}

void wait_for_lines(Worker *worker, const char *part, guint n) {
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

void wait_for_line(Worker *worker, const char *part) {
  wait_for_lines(worker, part, 1);
}

void run_frames(LcipGraph *graph, const char *address, guint n) {
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

void run_refused(LcipGraph *graph, const char *address, const char *reason) {
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
