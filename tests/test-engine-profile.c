#include "config.h"
#include "test-engine.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>

static const int lanes_one[] = {0};
static const int lanes_two[] = {0, 1};
static const int lanes_back[] = {0, 1, 0};

/* ---- profile ---- */

void check_lane_sum(const LcipProfile *profile, guint lane) {
  const LcipLaneProfile *p = &profile->lanes[lane];
  const double sum = p->compute_ms + p->copy_ms + p->wait_ms + p->idle_ms;
  g_test_message("lane %u: compute %.4f copy %.4f wait %.4f idle %.4f of %.4f ms", lane,
                 p->compute_ms, p->copy_ms, p->wait_ms, p->idle_ms, profile->frame_ms);
  g_assert_cmpfloat(fabs(sum - profile->frame_ms), <=, 0.02 * profile->frame_ms);
}

static void test_profile_sums(gconstpointer data) {
  const guint streams = GPOINTER_TO_UINT(data);
  const LcipKernel *kernels[] = {&kernel_busy, &kernel_add_one, &kernel_busy};
  g_autoptr(TestPlan) test = chain_plan(2, 3, lanes_back, kernels);
  Counter counter = {0};
  Collector collector = {.offset = 3};
  g_autoptr(LcipRun) run =
      start(test, &counter, &collector, (LcipRunOptions){.profile = TRUE, .streams = streams});
  wait_for_frames(&collector, 300);
  for (guint i = 0; i < 20; i++) {
    wait_for_frames(&collector, atomic_load(&collector.n) + 10);
    g_autoptr(LcipProfile) profile = lcip_run_profile(run);
    check_lane_sum(profile, 0);
    check_lane_sum(profile, 1);
    g_assert_cmpint(profile->bottleneck_lane, ==, 0);
    g_assert_cmpuint(profile->steps[1].n, >, 0);
    g_assert_cmpfloat(profile->steps[1].median_ms, <=, profile->steps[1].p95_ms);
    g_assert_cmpfloat(profile->steps[1].min_ms, <=, profile->steps[1].median_ms);
    g_assert_cmpfloat(profile->latency.min_ms, >, profile->steps[1].min_ms);
    g_assert_cmpfloat(profile->capacity_fps, ==, profile->lanes[0].capacity_fps);
  }
  atomic_store(&counter.end, TRUE);
  g_assert_true(lcip_run_wait(run, NULL));
  check_collected(&collector, counter.n);
}

static void test_profile_drops(void) {
  g_autoptr(TestPlan) test = uniform_chain(1, 1, lanes_one, &kernel_add_one);
  Counter counter = {.n_end = 40, .drops_per_frame = 2};
  Collector collector = {.offset = 1};
  const LcipFeed feed = {
      .next = counter_next, .drops = counter_drops, .is_live = TRUE, .data = &counter};
  lcip_doorbell_init(&collector.bell);
  const LcipRunOptions options = {.frame_func = collect, .frame_data = &collector, .profile = TRUE};
  g_autoptr(LcipRun) run = lcip_run_start_with_feed(&test->plan, &options, &feed, NULL);
  g_assert_true(lcip_run_wait(run, NULL));
  check_collected(&collector, 40);
  g_autoptr(LcipProfile) profile = lcip_run_profile(run);
  g_assert_cmpuint(profile->source_drops, ==, 80);
  g_assert_cmpuint(profile->frames, ==, 40);
  g_assert_cmpuint(profile->latency.n, ==, 39);
}

static JsonArray *load_trace(JsonParser *parser, LcipRun *run) {
  g_autoptr(GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp("lcip-XXXXXX", NULL);
  g_autofree char *path = g_build_filename(folder, "trace.json", NULL);
  g_assert_true(lcip_run_write_trace(run, path, &error));
  g_assert_no_error(error);
  g_assert_true(json_parser_load_from_file(parser, path, &error));
  g_assert_no_error(error);
  g_unlink(path);
  g_rmdir(folder);
  return json_object_get_array_member(json_node_get_object(json_parser_get_root(parser)),
                                      "traceEvents");
}

/* Every firing of both plans is there, under its lane's name. */
static void test_trace(void) {
  g_autoptr(TestPlan) test = uniform_chain(2, 2, lanes_two, &kernel_add_one);
  LcipPlanStep *step = g_ptr_array_index(test->plan.steps, 1);
  step->title = keep(test, g_strdup("quote \" back \\ tab \t"));
  Counter counter = {.n_end = 1500};
  Collector collector = {.offset = 2};
  g_autoptr(LcipRun) run = start(test, &counter, &collector, (LcipRunOptions){.trace = TRUE});
  g_assert_true(lcip_run_wait(run, NULL));
  g_autoptr(JsonParser) parser = json_parser_new();
  JsonArray *events = load_trace(parser, run);
  guint n_step = 0, n_names = 0;
  for (guint i = 0; i < json_array_get_length(events); i++) {
    JsonObject *event = json_array_get_object_element(events, i);
    const char *name = json_object_get_string_member(event, "name");
    n_step += strcmp(name, step->title) == 0;
    n_names += strcmp(name, "thread_name") == 0;
    if (strcmp(name, step->title) == 0)
      g_assert_true(json_object_has_member(json_object_get_object_member(event, "args"), "frame"));
  }
  g_assert_cmpuint(n_step, ==, 1500);
  g_assert_cmpuint(n_names, ==, 5);
}
/* ---- plans of the real planner, on real devices ---- */

static int add_relu(LcipGraph *graph, const char *id, int from) {
  const int actor = lcip_graph_add_actor(graph, lcip_actor_new(id, "", "", "Relu", 1, 1));
  lcip_graph_add_edge(graph, (LcipEdge){from, 0, actor, 0, 0});
  return actor;
}

/* x -> four times Relu -> y, with the middle two on lane @middle. */
static LcipGraph *relu_graph(const char *middle) {
  LcipGraph *graph = lcip_graph_new();
  lcip_graph_add_input(graph, "x", "x",
                       lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, 1, 8, 64, 64)));
  lcip_graph_add_output(graph, "y", "y", (LcipTensorSpec){0});
  lcip_graph_ensure_defaults(graph);
  lcip_graph_add_lane(graph, "GPU", LCIP_LANE_OPENCL, 0, NULL);
  int from = LCIP_NO_ACTOR;
  const char *const ids[] = {"a", "b", "c", "d"};
  for (guint i = 0; i < G_N_ELEMENTS(ids); i++)
    from = add_relu(graph, ids[i], from);
  lcip_graph_add_edge(graph, (LcipEdge){from, 0, LCIP_NO_ACTOR, 0, 0});
  LcipMapping *mapping = lcip_graph_find_mapping(graph, NULL);
  lcip_mapping_assign(mapping, "b", middle);
  lcip_mapping_assign(mapping, "c", middle);
  return graph;
}

static LcipPlan *relu_plan(const char *middle) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipGraph) graph = relu_graph(middle);
  LcipPlan *plan = lcip_plan_new(graph, &(LcipPlanOptions){.pinned = TRUE}, NULL, NULL, &error);
  g_assert_no_error(error);
  return plan;
}

static gboolean have_opencl(void) {
  if (lcip_runtime_devices(lcip_runtime_get())->len > 1)
    return TRUE;
  g_test_skip(lcip_runtime_opencl_problem(lcip_runtime_get()));
  return FALSE;
}

/* -2, -1.75, ..: half of the values are negative. */
static LcipTensor *relu_input(void) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, 1, 8, 64, 64));
  LcipTensor *tensor = lcip_tensor_new(&spec);
  float *data = lcip_tensor_get_mutable(tensor);
  for (gint64 i = 0; i < lcip_shape_count(&spec.shape); i++)
    data[i] = (float)(i % 16 - 8) / 4;
  return tensor;
}

static void check_relu(const LcipFrame *frame, gpointer data) {
  Collector *c = data;
  const LcipTensor *tensor = frame->values[0].tensor;
  const float *values = lcip_tensor_get_data(tensor);
  gboolean same = strcmp(frame->values[0].name, "y") == 0;
  for (gint64 i = 0; same && i < lcip_shape_count(lcip_tensor_get_shape(tensor)); i++)
    same = values[i] == MAX((float)(i % 16 - 8) / 4, 0);
  c->wrong_values += !same;
  c->wrong_order += frame->number != atomic_load(&c->n);
  atomic_fetch_add(&c->n, 1);
  lcip_doorbell_ring(&c->bell);
}

static LcipRun *start_relu(LcipPlan *plan, Collector *collector, guint64 n_frames) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipTensor) input = relu_input();
  g_autoptr(GHashTable) inputs = g_hash_table_new(g_str_hash, g_str_equal);
  g_hash_table_insert(inputs, (gpointer) "x", input);
  lcip_doorbell_init(&collector->bell);
  const LcipRunOptions options = {.inputs = inputs,
                                  .n_frames = n_frames,
                                  .profile = TRUE,
                                  .frame_func = check_relu,
                                  .frame_data = collector};
  LcipRun *run = lcip_run_start(plan, &options, &error);
  g_assert_no_error(error);
  return run;
}

static void test_opencl_lane(void) {
  if (!have_opencl())
    return;
  g_autoptr(LcipPlan) plan = relu_plan("GPU");
  Collector collector = {0};
  g_autoptr(LcipRun) run = start_relu(plan, &collector, 200);
  g_assert_true(lcip_run_wait(run, NULL));
  check_collected(&collector, 200);
  g_autoptr(LcipProfile) profile = lcip_run_profile(run);
  check_lane_sum(profile, 0);
  check_lane_sum(profile, 1);
  g_assert_cmpfloat(profile->lanes[1].copy_ms, >, 0);
  g_assert_cmpuint(profile->transfers[1].n, >, 0);
  g_assert_cmpfloat(profile->lanes[1].compute_ms, >, 0);
}

/* Lanes change while frames go through; every frame has the same bits. */
static void test_opencl_remap(void) {
  if (!have_opencl())
    return;
  g_autoptr(LcipPlan) cpu = relu_plan("CPU");
  g_autoptr(LcipPlan) mixed = relu_plan("GPU");
  Collector collector = {0};
  g_autoptr(LcipRun) run = start_relu(cpu, &collector, 0);
  for (guint i = 1; i <= 20; i++) {
    g_autoptr(GError) error = NULL;
    wait_for_frames(&collector, atomic_load(&collector.n) + 20);
    g_assert_true(lcip_run_set_plan(run, i % 2 ? mixed : cpu, &error));
    g_assert_no_error(error);
  }
  wait_for_frames(&collector, atomic_load(&collector.n) + 20);
  lcip_run_cancel(run);
  g_assert_true(lcip_run_wait(run, NULL));
  g_assert_cmpuint(collector.wrong_values + collector.wrong_order, ==, 0);
}

static gboolean run_with_input(LcipTensor *tensor, LcipPlan *plan, GError **error) {
  g_autoptr(GHashTable) inputs = g_hash_table_new(g_str_hash, g_str_equal);
  g_hash_table_insert(inputs, (gpointer) "x", tensor);
  g_autoptr(LcipRun) run =
      lcip_run_start(plan, &(LcipRunOptions){.inputs = inputs, .n_frames = 1}, error);
  return run && lcip_run_wait(run, error);
}

/* An input of another size or type is refused by name, with both. */
static void test_wrong_input(void) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipPlan) plan = relu_plan("CPU");
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, 1, 8, 65, 64));
  g_autoptr(LcipTensor) tensor = lcip_tensor_new(&spec);
  g_assert_false(run_with_input(tensor, plan, &error));
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_INVALID);
  g_assert_nonnull(strstr(error->message, "input x: expected f32 1x8x64x64, found f32 1x8x65x64"));
}

void add_profile_tests(void) {
  g_test_add_data_func("/engine/profile/sums", GUINT_TO_POINTER(1), test_profile_sums);
  g_test_add_data_func("/engine/profile/sums-streams", GUINT_TO_POINTER(2), test_profile_sums);
  g_test_add_func("/engine/profile/drops", test_profile_drops);
  g_test_add_func("/engine/profile/trace", test_trace);
  g_test_add_func("/engine/plan/opencl", test_opencl_lane);
  g_test_add_func("/engine/plan/opencl-remap", test_opencl_remap);
  g_test_add_func("/engine/plan/wrong-input", test_wrong_input);
}
