#include "config.h"
#include "test-engine.h"

#include <malloc.h>

static const int lanes_one[] = {0};
static const int lanes_two[] = {0, 1};
static const int lanes_three[] = {0, 1, 2};

/* ---- errors and the end ---- */

static void add_actor(TestPlan *test, int step, const char *id) {
  LcipPlanStep *info = g_ptr_array_index(test->plan.steps, step);
  LcipActor *actor = lcip_actor_new(id, "", "test", "Plain", 1, 1);
  info->actors = keep(test, g_new0(int, 1));
  info->actors[0] = lcip_graph_add_actor(test->plan.graph, actor);
  info->n_actors = 1;
}

static void test_failing_kernel(void) {
  g_autoptr(GError) error = NULL;
  const LcipKernel *kernels[] = {&kernel_add_one, &kernel_failing, &kernel_add_one};
  g_autoptr(TestPlan) test = chain_plan(3, 3, lanes_three, kernels);
  add_actor(test, 2, "conv_7");
  Counter counter = {.n_end = 1000};
  Collector collector = {.offset = 3};
  atomic_store(&fail_frame, 51); /* the value in frame 50 */
  g_autoptr(LcipRun) run = start(test, &counter, &collector, (LcipRunOptions){0});
  g_assert_false(lcip_run_wait(run, &error));
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_DEVICE);
  g_assert_nonnull(strstr(error->message, "conv_7"));
  g_assert_nonnull(strstr(error->message, "frame 50"));
  g_assert_nonnull(strstr(error->message, "broken"));
  check_collected(&collector, 50);
  atomic_store(&fail_frame, -1);
}

static void test_failing_source(void) {
  g_autoptr(GError) error = NULL;
  g_autoptr(TestPlan) test = uniform_chain(1, 1, lanes_one, &kernel_add_one);
  Counter counter = {.fail_at = 12};
  Collector collector = {.offset = 1};
  g_autoptr(LcipRun) run = start(test, &counter, &collector, (LcipRunOptions){0});
  g_assert_false(lcip_run_wait(run, &error));
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_DEVICE);
  check_collected(&collector, 12);
  g_autoptr(GError) again = NULL;
  g_assert_true(lcip_run_is_done(run, &again));
  g_assert_error(again, LCIP_ERROR, LCIP_ERROR_DEVICE);
}

static void test_cancel(void) {
  const LcipKernel *kernels[] = {&kernel_add_one, &kernel_gate, &kernel_add_one};
  g_autoptr(TestPlan) test = chain_plan(3, 3, lanes_three, kernels);
  Counter counter = {0};
  Collector collector = {.offset = 3};
  LcipRun *run = start(test, &counter, &collector, (LcipRunOptions){0});
  wait_for_frames(&collector, 20);
  set_gate(TRUE);
  wait_for_gate();
  lcip_run_cancel(run);
  set_gate(FALSE);
  g_assert_true(lcip_run_wait(run, NULL));
  g_assert_cmpuint(collector.wrong_order + collector.wrong_values, ==, 0);
  lcip_run_unref(run);
}

static gpointer cancel_at_gate(gpointer cancellable) {
  wait_for_gate();
  g_cancellable_cancel(cancellable);
  set_gate(FALSE);
  return NULL;
}

/* A start that is cancelled ends after the kernel that runs. */
static void test_cancel_start(void) {
  const LcipKernel *kernels[] = {&kernel_gate, &kernel_failing};
  g_autoptr(TestPlan) test = chain_plan(1, 2, (const int[]){0, 0}, kernels);
  g_autoptr(GCancellable) cancellable = g_cancellable_new();
  g_autoptr(GError) error = NULL;
  Counter counter = {0};
  const LcipFeed feed = counter_feed(&counter);
  const LcipRunOptions options = {.cancellable = cancellable};
  pthread_t thread;
  set_gate(TRUE);
  pthread_create(&thread, NULL, cancel_at_gate, cancellable);
  g_assert_null(lcip_run_start_with_feed(&test->plan, &options, &feed, &error));
  pthread_join(thread, NULL);
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_CANCELLED);
  g_assert_cmpuint(counter.n, ==, 0);
}

/* At most as many frames are taken from the source as may be in flight. */
static void test_bounded(void) {
  g_autoptr(TestPlan) test = uniform_chain(1, 1, lanes_one, &kernel_gate);
  Counter counter = {0};
  Collector collector = {.offset = 1};
  LcipRun *run = start(test, &counter, &collector, (LcipRunOptions){.frames_in_flight = 3});
  set_gate(TRUE);
  wait_for_gate();
  lcip_run_cancel(run);
  set_gate(FALSE);
  g_assert_true(lcip_run_wait(run, NULL));
  g_assert_cmpuint(counter.n, <=, atomic_load(&collector.n) + 4);
  lcip_run_unref(run);
}

static void test_unref_stops(void) {
  g_autoptr(TestPlan) test = uniform_chain(2, 2, lanes_two, &kernel_add_one);
  Counter counter = {0};
  Collector collector = {.offset = 2};
  LcipRun *run = start(test, &counter, &collector, (LcipRunOptions){0});
  wait_for_frames(&collector, 5);
  lcip_run_unref(run);
  g_assert_cmpuint(collector.wrong_order, ==, 0);
}

static void test_missing_input(void) {
  g_autoptr(GError) error = NULL;
  g_autoptr(TestPlan) test = uniform_chain(1, 1, lanes_one, &kernel_add_one);
  g_assert_null(lcip_run_start(&test->plan, &(LcipRunOptions){0}, &error));
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_INVALID);
}

static void test_random_input_repeats(void) {
  g_autoptr(TestPlan) test = uniform_chain(1, 1, lanes_one, &kernel_add_one);
  g_autoptr(LcipRun) run =
      lcip_run_start(&test->plan, &(LcipRunOptions){.random_inputs = TRUE, .n_frames = 3}, NULL);
  g_assert_true(lcip_run_wait(run, NULL));
  g_autoptr(LcipProfile) profile = lcip_run_profile(run);
  g_assert_cmpuint(profile->frames, ==, 3);
}
/* ---- another plan while running ---- */

static void remap_many(LcipRunOptions options) {
  g_autoptr(TestPlan) a = uniform_chain(2, 2, lanes_two, &kernel_add_one);
  const int swapped[] = {1, 0};
  g_autoptr(TestPlan) b = uniform_chain(2, 2, swapped, &kernel_add_one);
  Counter counter = {0};
  Collector collector = {.offset = 2};
  g_autoptr(LcipRun) run = start(a, &counter, &collector, options);
  gsize after_ten = 0;
  for (guint i = 1; i <= 50; i++) {
    g_autoptr(GError) error = NULL;
    if (i % 3) /* every third follows the one before at once */
      wait_for_frames(&collector, atomic_load(&collector.n) + 20);
    g_assert_true(lcip_run_set_plan(run, i % 2 ? &b->plan : &a->plan, &error));
    g_assert_no_error(error);
    if (i == 10)
      after_ten = mallinfo2().uordblks;
  }
  const gsize after_fifty = mallinfo2().uordblks;
  wait_for_frames(&collector, 2000);
  atomic_store(&counter.end, TRUE);
  g_assert_true(lcip_run_wait(run, NULL));
  check_collected(&collector, counter.n);
  g_assert_cmpuint(collector.n_epochs, >=, 30);
  g_test_message("heap after 10 plans %zu, after 50 %zu bytes", after_ten, after_fifty);
  /* Two plans may be alive at either moment, never ten. */
  g_assert_cmpuint(after_fifty, <, after_ten + 256 * 1024);
}

static void test_remap(void) {
  remap_many((LcipRunOptions){0});
}

static void test_remap_streams(void) {
  remap_many((LcipRunOptions){.streams = 2});
}

static void test_remap_bad_plan(void) {
  g_autoptr(TestPlan) good = uniform_chain(1, 1, lanes_one, &kernel_add_one);
  g_autoptr(TestPlan) bad = uniform_chain(1, 1, lanes_one, &kernel_add_one);
  ((LcipPlanLane *)g_ptr_array_index(bad->plan.lanes, 0))->kind = LCIP_LANE_REMOTE;
  g_autoptr(GError) error = NULL;
  Counter counter = {0};
  Collector collector = {.offset = 1};
  g_autoptr(LcipRun) run = start(good, &counter, &collector, (LcipRunOptions){0});
  g_assert_false(lcip_run_set_plan(run, &bad->plan, &error));
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED);
  g_autoptr(LcipPlan) plan = lcip_run_plan(run);
  g_assert_true(plan == &good->plan);
  wait_for_frames(&collector, atomic_load(&collector.n) + 50);
  atomic_store(&counter.end, TRUE);
  g_assert_true(lcip_run_wait(run, NULL));
  check_collected(&collector, counter.n);
}

/* Nothing is allocated in steady state beside what the source makes and the sink frees. */
static void test_memory_flat(void) {
  g_autoptr(TestPlan) test = fan_out_plan();
  Counter counter = {0};
  Collector collector = {.expected = expected_doubled};
  g_autoptr(LcipRun) run = start(test, &counter, &collector, (LcipRunOptions){.profile = TRUE});
  wait_for_frames(&collector, 200);
  const gsize early = mallinfo2().uordblks;
  wait_for_frames(&collector, 2200);
  const gsize late = mallinfo2().uordblks;
  atomic_store(&counter.end, TRUE);
  g_assert_true(lcip_run_wait(run, NULL));
  g_test_message("heap at frame 200 %zu, at frame 2200 %zu bytes", early, late);
  g_assert_cmpuint(late, <, early + 16 * 1024);
}

/* glibc raises its threshold as large blocks are freed; then they come from a heap that fragments.
 */
static void test_compact_memory(void) {
  lcip_runtime_compact_memory();
  void *large = g_malloc((gsize)24 << 20);
  const gboolean is_glibc = mallinfo2().uordblks + mallinfo2().hblkhd >= (gsize)24 << 20;
  g_free(large);
  if (!is_glibc) {
    g_test_skip("for glibc's heap alone; this one is a sanitizer's");
    return;
  }
  malloc_trim(0); /* what earlier tests left would be used first */
  const gsize before = mallinfo2().hblks;
  void *block = g_malloc((gsize)8 << 20);
  g_assert_cmpuint(mallinfo2().hblks, ==, before + 1);
  g_free(block);
}

void add_end_tests(void) {
  g_test_add_func("/engine/end/failing-kernel", test_failing_kernel);
  g_test_add_func("/engine/end/failing-source", test_failing_source);
  g_test_add_func("/engine/end/cancel", test_cancel);
  g_test_add_func("/engine/end/cancel-start", test_cancel_start);
  g_test_add_func("/engine/end/bounded", test_bounded);
  g_test_add_func("/engine/end/unref", test_unref_stops);
  g_test_add_func("/engine/end/missing-input", test_missing_input);
  g_test_add_func("/engine/end/random-input", test_random_input_repeats);
  g_test_add_func("/engine/remap/fifty", test_remap);
  g_test_add_func("/engine/remap/streams", test_remap_streams);
  g_test_add_func("/engine/remap/bad-plan", test_remap_bad_plan);
  g_test_add_func("/engine/memory/compact", test_compact_memory);
  g_test_add_func("/engine/memory/flat", test_memory_flat);
}
