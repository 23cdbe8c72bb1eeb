#include "config.h"
#include "test-remote.h"

#include "lcip-link-figures.h"
#include "lcip-test-home.h"

/* Lanes on workers over loopback: what works. */

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

/* @kept: an actor that somebody looks at. @pinned: without fusions. */
static LcipPlan *make_plan_keeping(LcipGraph *graph, const char *address, const char *kept,
                                   gboolean pinned) {
  g_autoptr(GHashTable) bindings = g_hash_table_new(g_str_hash, g_str_equal);
  g_autoptr(GPtrArray) keep = g_ptr_array_new();
  g_autoptr(GError) error = NULL;
  g_hash_table_insert(bindings, (gpointer) "Desk", (gpointer)address);
  g_ptr_array_add(keep, (gpointer)kept);
  const LcipPlanOptions options = {
      .mapping = "split", .bindings = bindings, .keep = keep, .pinned = pinned, .threads = 1};
  LcipPlan *plan = lcip_plan_new(graph, &options, NULL, NULL, &error);
  g_assert_no_error(error);
  return plan;
}

/* Somebody looks at a scaling here of what a worker convolves: there it could not be seen. */
static void test_kept_scaling(void) {
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(2);
  const float two = 2;
  const LcipTensorSpec scalar = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(0));
  g_autoptr(LcipTensor) factor = lcip_tensor_new_from_data(&scalar, &two);
  const LcipActor *conv = lcip_graph_actor(graph, lcip_graph_find_actor(graph, "conv_1"));
  const int other = add_actor(graph, "Conv", "other", 2);
  const int scaled = add_actor(graph, "Mul", "scaled", 2);
  lcip_actor_set_constant(lcip_graph_actor(graph, other), 1, conv->constants[1], NULL);
  lcip_actor_set_constant(lcip_graph_actor(graph, scaled), 1, factor, NULL);
  connect_actors(graph, lcip_graph_find_actor(graph, "relu_0"), other);
  connect_actors(graph, other, scaled);
  lcip_mapping_assign(lcip_graph_find_mapping(graph, "split"), "other", "Desk");
  g_autoptr(LcipPlan) plan = make_plan_keeping(graph, worker->address, "scaled", FALSE);
  g_assert_cmpint(lcip_plan_actor(plan, (guint)scaled)->step, >=, 0);
  g_assert_cmpint(lcip_plan_actor(plan, (guint)scaled)->step, !=,
                  lcip_plan_actor(plan, (guint)other)->step);
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

static void assert_close(LcipTensor *a, LcipTensor *b) {
  const float *x = lcip_tensor_get_data(a), *y = lcip_tensor_get_data(b);
  float most = 0;
  g_assert_cmpuint(lcip_tensor_get_bytes(a), ==, lcip_tensor_get_bytes(b));
  for (gint64 i = 0; i < lcip_shape_count(lcip_tensor_get_shape(a)); i++)
    most = MAX(most, ABS(y[i]));
  for (gint64 i = 0; i < lcip_shape_count(lcip_tensor_get_shape(a)); i++)
    g_assert_cmpfloat(ABS(x[i] - y[i]), <=, 1e-4f * most);
}

/* Not bit for bit the CPU's: it has kernels of its own. */
static void test_opencl(void) {
  const LcipDevice *device = lcip_runtime_first_device(lcip_runtime_get(), LCIP_LANE_OPENCL);
  const LcipWorkerLimits limits = {0};
  if (!device) {
    g_test_skip(lcip_runtime_opencl_problem(lcip_runtime_get()));
    return;
  }
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(6);
  g_autofree char *id = g_strdup_printf("%s/%s", worker->address, device->id);
  g_autofree char *line = g_strdup_printf("on %s", device->id);
  const char *const devices[] = {id, worker->address};
  const guint n = 20;
  Frames frames[2];
  for (guint k = 0; k < 2; k++) {
    frames_init(&frames[k]);
    g_autoptr(LcipPlan) plan = make_plan(graph, "split", devices[k]);
    g_autoptr(LcipRun) run = start_run(plan, &frames[k]);
    for (guint i = 0; i < n; i++)
      push(run, i);
    wait_for_results(run, n);
    finish(run);
    g_assert_cmpuint(frames[k].reasons->len, ==, 0);
    g_assert_cmpuint(frames[k].outputs->len, ==, n);
  }
  wait_for_line(worker, line);
  for (guint i = 0; i < n; i++)
    assert_close(frames[0].outputs->pdata[i], frames[1].outputs->pdata[i]);
  frames_clear(&frames[0]);
  frames_clear(&frames[1]);
}

/* One that the worker does not have: said, and computed here. */
static void test_no_such_device(void) {
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(4);
  g_autofree char *id = g_strconcat(worker->address, "/opencl:77", NULL);
  run_refused(graph, id, "opencl:77");
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

/* On a third lane, an actor that is kept though no output needs it: the sink does not wait for it,
 * so the worker's lane has to. */
static void test_slow_reader(void) {
  enum { N_FRAMES = 40, IN_FLIGHT = 4, WIDE = 256, KERNEL = 11 };
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipGraph) graph = make_graph(2);
  const LcipTensorSpec spec =
      lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, WIDE, CHANNELS, KERNEL, KERNEL));
  g_autoptr(LcipTensor) weights = lcip_tensor_new(&spec);
  const int slow = add_actor(graph, "Conv", "slow", 2);
  lcip_actor_set_constant(lcip_graph_actor(graph, slow), 1, weights, NULL);
  connect_actors(graph, lcip_graph_find_actor(graph, "relu_1"), slow);
  lcip_graph_add_lane(graph, "CPU 2", LCIP_LANE_CPU, 1, NULL);
  lcip_mapping_assign(lcip_graph_find_mapping(graph, "split"), "slow", "CPU 2");
  g_autoptr(LcipPlan) plan = make_plan_keeping(graph, worker->address, "slow", TRUE);
  g_auto(Frames) frames;
  frames_init(&frames);
  g_autoptr(LcipRun) run = start_run(plan, &frames);
  for (guint i = 0; i < N_FRAMES; i++)
    push(run, i);
  finish(run);
  check_frames(graph, &frames, N_FRAMES);
  /* What it has not computed waits in its channel or is being computed. */
  g_autoptr(LcipProfile) profile = lcip_run_profile(run);
  const int step = lcip_plan_actor(plan, (guint)slow)->step;
  g_assert_cmpuint(profile->steps[step].n, >=, N_FRAMES - IN_FLIGHT - 1);
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

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_autofree char *home = lcip_test_make_home();
  g_test_add_func("/remote/same-bits", test_same_bits);
  g_test_add_func("/remote/removed-actors", test_removed_actors);
  g_test_add_func("/remote/kept-scaling", test_kept_scaling);
  g_test_add_func("/remote/f16", test_f16);
  g_test_add_func("/remote/opencl", test_opencl);
  g_test_add_func("/remote/no-such-device", test_no_such_device);
  g_test_add_func("/remote/two-parts", test_two_parts);
  g_test_add_func("/remote/profile", test_profile);
  g_test_add_func("/remote/slow-reader", test_slow_reader);
  g_test_add_func("/remote/two-clients", test_two_clients);
  add_refused_tests();
  add_lost_tests();
  const int failed = g_test_run();
  lcip_test_remove_home(home);
  return failed;
}
