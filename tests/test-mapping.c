#include "config.h"
#include "lcip-critical.h"
#include "lcip-plan-private.h"
#include "lcip-predict.h"

#include <math.h>

/* Predictions, from profiles made by hand: what is expected can then be computed by hand too. */

/* ---- graphs: x -> conv_0 -> conv_1 -> ... -> y on lanes First and Second, both the CPU ---- */

static void constant(LcipGraph *graph, int actor, int channels) {
  const LcipTensorSpec spec =
      lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, channels, channels, 1, 1));
  LcipTensor *tensor = lcip_tensor_new(&spec);
  float *data = lcip_tensor_get_mutable(tensor);
  for (int i = 0; i < channels * channels; i++)
    data[i] = 0.01f;
  lcip_actor_set_constant(lcip_graph_actor(graph, actor), 1, tensor, "k");
  lcip_tensor_unref(tensor);
}

static int add_conv(LcipGraph *graph, const char *id, int from, guint port) {
  const int conv = lcip_graph_add_actor(graph, lcip_actor_new(id, "", "", "Conv", 2, 1));
  lcip_graph_add_edge(graph, (LcipEdge){from, port, conv, 0, 0});
  constant(graph, conv, 16);
  return conv;
}

static LcipGraph *new_graph(int size) {
  LcipGraph *graph = lcip_graph_new();
  lcip_graph_add_input(graph, "x", "x",
                       lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, 1, 16, size, size)));
  lcip_graph_add_output(graph, "y", "y", (LcipTensorSpec){0});
  lcip_graph_add_lane(graph, "First", LCIP_LANE_CPU, 1, NULL);
  lcip_graph_add_lane(graph, "Second", LCIP_LANE_CPU, 1, NULL);
  lcip_graph_ensure_defaults(graph);
  return graph;
}

static LcipGraph *chain(int n, int size) {
  LcipGraph *graph = new_graph(size);
  int last = LCIP_NO_ACTOR;
  for (int i = 0; i < n; i++) {
    g_autofree char *id = g_strdup_printf("conv_%d", i);
    last = add_conv(graph, id, last, 0);
  }
  lcip_graph_add_edge(graph, (LcipEdge){last, 0, LCIP_NO_ACTOR, 0, 0});
  return graph;
}

static void assign(LcipGraph *graph, const char *id, const char *lane) {
  lcip_mapping_assign(lcip_graph_find_mapping(graph, NULL), id, lane);
}

static LcipPlan *compile(LcipGraph *graph, gboolean sketch) {
  g_autoptr(GError) error = NULL;
  LcipPlan *plan = lcip_plan_new(graph, &(LcipPlanOptions){.sketch = sketch}, NULL, NULL, &error);
  g_assert_no_error(error);
  return plan;
}

/* ---- profiles ---- */

/* Every step of an actor takes @ms, those without one (reorders) take none; lanes are busy for
 * @beside times what their steps take. */
static LcipProfile *profile_of(LcipPlan *plan, double ms, double beside) {
  LcipProfile *profile = g_new0(LcipProfile, 1);
  profile->plan = lcip_plan_ref(plan);
  profile->steps = g_new0(LcipTimes, lcip_plan_n_steps(plan) + 1);
  profile->transfers = g_new0(LcipTimes, lcip_plan_n_lanes(plan) + 1);
  profile->lanes = g_new0(LcipLaneProfile, lcip_plan_n_lanes(plan) + 1);
  double busiest = 0;
  for (guint i = 0; i < lcip_plan_n_steps(plan); i++) {
    const LcipPlanStep *step = lcip_plan_step(plan, i);
    if (step->is_io)
      continue;
    profile->steps[i] = (LcipTimes){.n = 9, .median_ms = step->n_actors ? ms : 0};
    LcipLaneProfile *lane = &profile->lanes[step->lane];
    lane->compute_ms += profile->steps[i].median_ms * beside;
    busiest = MAX(busiest, lane->compute_ms);
  }
  profile->capacity_fps = 1000 / busiest;
  profile->delivered_fps = profile->capacity_fps / 4;
  profile->latency.median_ms = 1 + ms * lcip_plan_n_steps(plan);
  return profile;
}

static LcipStepTimes *times_of(const LcipProfile *profile) {
  LcipStepTimes *times = lcip_step_times_new();
  lcip_step_times_add(times, profile);
  return times;
}

static guint step_of(const LcipPlan *plan, const char *id) {
  const int actor = lcip_graph_find_actor(lcip_plan_graph(plan), id);
  return (guint)lcip_plan_actor(plan, (guint)actor)->step;
}

/* ---- tests ---- */

/* Layers that do the same share a time, on every lane of the device: two of four moved to the other
 * lane leave half. */
static void test_measured(void) {
  g_autoptr(LcipGraph) graph = chain(4, 8);
  g_autoptr(LcipPlan) plan = compile(graph, FALSE);
  g_autoptr(LcipProfile) now = profile_of(plan, 2, 1);
  g_autoptr(LcipStepTimes) times = times_of(now);
  g_autoptr(LcipPrediction) same = lcip_predict(plan, times, now);
  g_assert_cmpfloat_with_epsilon(same->capacity_fps, now->capacity_fps, 1e-6);
  g_assert_cmpint(same->sureness, ==, LCIP_SURE_MEASURED);
  g_autoptr(LcipGraph) moved = lcip_graph_copy(graph);
  assign(moved, "conv_2", "Second");
  assign(moved, "conv_3", "Second");
  g_autoptr(LcipPlan) candidate = compile(moved, TRUE);
  g_autoptr(LcipPrediction) half = lcip_predict(candidate, times, now);
  g_assert_cmpfloat_with_epsilon(half->capacity_fps, 1000 / 4., 1);
  g_assert_cmpuint(half->n_copies, ==, 0);
  g_assert_cmpint(half->sureness, ==, LCIP_SURE_MEASURED);
  g_assert_cmpfloat_with_epsilon(half->latency_ms, same->latency_ms, 0.1);
}

/* What a lane spends beside its steps stays with it. */
static void test_overhead(void) {
  g_autoptr(LcipGraph) graph = chain(4, 8);
  g_autoptr(LcipPlan) plan = compile(graph, FALSE);
  g_autoptr(LcipProfile) now = profile_of(plan, 2, 1.5);
  g_autoptr(LcipStepTimes) times = times_of(now);
  assign(graph, "conv_3", "Second");
  g_autoptr(LcipPlan) candidate = compile(graph, TRUE);
  g_autoptr(LcipPrediction) moved = lcip_predict(candidate, times, now);
  g_assert_cmpint(moved->bottleneck_lane, ==, 0);
  g_assert_cmpfloat_with_epsilon(moved->lane_ms[0], 3 * 2 * 1.5, 1e-6);
  g_assert_cmpfloat_with_epsilon(moved->lane_ms[1], 2, 0.1);
}

/* A size that was never measured, by its work; an operator that never was, by nothing but its size.
 */
static void test_scaled(void) {
  g_autoptr(LcipGraph) graph = chain(2, 8), larger = chain(2, 16);
  g_autoptr(LcipPlan) plan = compile(graph, FALSE), candidate = compile(larger, TRUE);
  g_autoptr(LcipProfile) now = profile_of(plan, 3, 1);
  g_autoptr(LcipStepTimes) times = times_of(now), nothing = lcip_step_times_new();
  LcipSureness sureness;
  const guint step = step_of(candidate, "conv_1");
  const double ratio = lcip_plan_step(candidate, step)->cost.flops /
                       lcip_plan_step(plan, step_of(plan, "conv_1"))->cost.flops;
  g_assert_cmpfloat(ratio, >, 3);
  g_assert_cmpfloat_with_epsilon(lcip_step_times_get(times, candidate, step, &sureness), 3 * ratio,
                                 1e-3);
  g_assert_cmpint(sureness, ==, LCIP_SURE_SCALED);
  g_assert_cmpfloat(lcip_step_times_get(nothing, candidate, step, &sureness), >, 0);
  g_assert_cmpint(sureness, ==, LCIP_SURE_GUESS);
}

/* A saturated lane makes frames wait: latency follows from frames in flight and throughput. */
static void test_saturated(void) {
  g_autoptr(LcipGraph) graph = chain(4, 8);
  g_autoptr(LcipPlan) plan = compile(graph, FALSE);
  g_autoptr(LcipProfile) now = profile_of(plan, 2, 1);
  g_autoptr(LcipStepTimes) times = times_of(now);
  now->delivered_fps = now->capacity_fps;
  g_autoptr(LcipPrediction) same = lcip_predict(plan, times, now);
  g_assert_cmpfloat_with_epsilon(same->latency_ms, 2 * 8, 1e-6);
}

/* A device that nothing ran on yet: a guess, and the copies there and back are counted. */
static void test_device(void) {
  g_autoptr(LcipGraph) graph = chain(3, 8);
  if (!lcip_runtime_find_device(lcip_runtime_get(), "opencl:0")) {
    g_test_skip("no OpenCL device");
    return;
  }
  g_autoptr(LcipPlan) plan = compile(graph, FALSE);
  g_autoptr(LcipProfile) now = profile_of(plan, 2, 1);
  g_autoptr(LcipStepTimes) times = times_of(now);
  lcip_graph_add_lane(graph, "GPU", LCIP_LANE_OPENCL, 0, NULL);
  assign(graph, "conv_1", "GPU");
  g_autoptr(LcipPlan) candidate = compile(graph, TRUE);
  g_autoptr(LcipPrediction) moved = lcip_predict(candidate, times, now);
  g_assert_cmpuint(moved->n_copies, ==, 2);
  g_assert_cmpuint(moved->copy_bytes, ==, 2 * 16 * 8 * 8 * sizeof(float));
  g_assert_cmpint(moved->sureness, ==, LCIP_SURE_GUESS);
  /* what is known of another device is taken over: 2 ms of the CPU's */
  LcipSureness sureness;
  g_assert_cmpfloat_with_epsilon(
      lcip_step_times_get(times, candidate, step_of(candidate, "conv_1"), &sureness), 2, 1e-6);
  /* and once it has run, it is measured */
  g_autoptr(LcipPlan) real = compile(graph, FALSE);
  g_autoptr(LcipProfile) then = profile_of(real, 5, 1);
  lcip_step_times_add(times, then);
  g_assert_cmpfloat_with_epsilon(
      lcip_step_times_get(times, candidate, step_of(candidate, "conv_1"), &sureness), 5, 1e-6);
  g_assert_cmpint(sureness, ==, LCIP_SURE_MEASURED);
}

/* first -> (a | b -> c) -> sum: the way through b and c is longer, unless a takes more than both.
 */
static LcipGraph *forked(void) {
  LcipGraph *graph = new_graph(8);
  const int first = add_conv(graph, "first", LCIP_NO_ACTOR, 0);
  const int a = add_conv(graph, "a", first, 0), b = add_conv(graph, "b", first, 0);
  const int c = add_conv(graph, "c", b, 0);
  const int sum = lcip_graph_add_actor(graph, lcip_actor_new("sum", "", "", "Add", 2, 1));
  lcip_graph_add_edge(graph, (LcipEdge){a, 0, sum, 0, 0});
  lcip_graph_add_edge(graph, (LcipEdge){c, 0, sum, 1, 0});
  lcip_graph_add_edge(graph, (LcipEdge){sum, 0, LCIP_NO_ACTOR, 0, 0});
  return graph;
}

static gboolean contains(const GArray *path, guint step) {
  for (guint i = 0; i < path->len; i++)
    if (g_array_index(path, guint, i) == step)
      return TRUE;
  return FALSE;
}

static void test_critical_path(void) {
  g_autoptr(LcipGraph) graph = forked();
  g_autoptr(LcipPlan) plan = compile(graph, FALSE);
  g_autoptr(LcipProfile) now = profile_of(plan, 1, 1);
  g_autofree double *ms = g_new0(double, lcip_plan_n_steps(plan) + 1);
  double total;
  for (guint i = 0; i < lcip_plan_n_steps(plan); i++)
    ms[i] = now->steps[i].median_ms;
  ms[step_of(plan, "c")] = ms[step_of(plan, "b")] = 4;
  ms[step_of(plan, "a")] = 3;
  g_autoptr(GArray) long_way = lcip_critical_path(plan, ms, &total);
  g_assert_true(contains(long_way, step_of(plan, "first")));
  g_assert_true(contains(long_way, step_of(plan, "b")));
  g_assert_true(contains(long_way, step_of(plan, "c")));
  /* sum may be fused with one of the two */
  g_assert_cmpint(contains(long_way, step_of(plan, "a")), ==,
                  step_of(plan, "a") == step_of(plan, "sum"));
  ms[step_of(plan, "a")] = 30;
  g_autoptr(GArray) short_way = lcip_critical_path(plan, ms, &total);
  g_assert_true(contains(short_way, step_of(plan, "a")));
  g_assert_cmpfloat(total, >=, 31);
}

static double frame_time(const LcipPlan *plan) {
  g_autofree double *ms = g_new0(double, lcip_plan_n_steps(plan) + 1);
  for (guint i = 0; i < lcip_plan_n_steps(plan); i++)
    ms[i] = lcip_plan_step(plan, i)->n_actors > 0 && !lcip_plan_step(plan, i)->is_io ? 1 : 0;
  return lcip_frame_time(plan, ms);
}

/* Lanes work beside each other: with (x -> a | z -> b -> c) -> max, one frame takes the longer
 * branch and not both. Max is fused with nothing. */
static void test_frame_time(void) {
  g_autoptr(LcipGraph) graph = new_graph(8);
  lcip_graph_add_input(graph, "z", "z",
                       lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, 1, 16, 8, 8)));
  const int a = add_conv(graph, "a", LCIP_NO_ACTOR, 0);
  const int b = add_conv(graph, "b", LCIP_NO_ACTOR, 1), c = add_conv(graph, "c", b, 0);
  const int max = lcip_graph_add_actor(graph, lcip_actor_new("max", "", "", "Max", 2, 1));
  lcip_graph_add_edge(graph, (LcipEdge){a, 0, max, 0, 0});
  lcip_graph_add_edge(graph, (LcipEdge){c, 0, max, 1, 0});
  lcip_graph_add_edge(graph, (LcipEdge){max, 0, LCIP_NO_ACTOR, 0, 0});
  g_autoptr(LcipPlan) one = compile(graph, TRUE);
  g_assert_cmpfloat(frame_time(one), ==, 4);
  assign(graph, "b", "Second");
  assign(graph, "c", "Second");
  g_autoptr(LcipPlan) two = compile(graph, TRUE);
  g_assert_cmpfloat(frame_time(two), ==, 3);
}

static void test_sketch(void) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipGraph) graph = chain(1, 8);
  g_autoptr(LcipPlan) sketch = compile(graph, TRUE);
  g_autoptr(LcipPlan) plan = compile(graph, FALSE);
  g_assert_true(lcip_plan_is_sketch(sketch));
  g_assert_false(lcip_plan_is_sketch(plan));
  g_assert_cmpuint(lcip_plan_n_steps(sketch), ==, lcip_plan_n_steps(plan));
  g_assert_null(lcip_run_start(sketch, &(LcipRunOptions){.random_inputs = TRUE}, &error));
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_INVALID);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/mapping/predict/measured", test_measured);
  g_test_add_func("/mapping/predict/overhead", test_overhead);
  g_test_add_func("/mapping/predict/scaled", test_scaled);
  g_test_add_func("/mapping/predict/saturated", test_saturated);
  g_test_add_func("/mapping/predict/device", test_device);
  g_test_add_func("/mapping/critical-path", test_critical_path);
  g_test_add_func("/mapping/frame-time", test_frame_time);
  g_test_add_func("/mapping/sketch", test_sketch);
  return g_test_run();
}
