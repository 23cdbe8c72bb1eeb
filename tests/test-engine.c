#include "config.h"
#include "test-engine.h"
#include "lcip-fifo-private.h"

static const int lanes_one[] = {0};
static const int lanes_two[] = {0, 1};
static const int lanes_three[] = {0, 1, 2};
static const int lanes_back[] = {0, 1, 0};

/* ---- parts ---- */

#define N_ITEMS 200000

static gpointer push_items(gpointer data) {
  for (gsize i = 1; i <= N_ITEMS;)
    if (lcip_fifo_push(data, GSIZE_TO_POINTER(i)) == LCIP_FIFO_OK)
      i++;
    else
      sched_yield();
  lcip_fifo_close(data);
  return NULL;
}

static void test_fifo_two_threads(void) {
  g_autoptr(LcipFifo) fifo = lcip_fifo_new(7);
  pthread_t thread;
  gsize expected = 1;
  gpointer item;
  LcipFifoResult result;
  pthread_create(&thread, NULL, push_items, fifo);
  while ((result = lcip_fifo_pop(fifo, &item)) != LCIP_FIFO_CLOSED) {
    if (result == LCIP_FIFO_EMPTY) {
      sched_yield();
      continue;
    }
    g_assert_cmpuint(GPOINTER_TO_SIZE(item), ==, expected);
    expected++;
  }
  pthread_join(thread, NULL);
  g_assert_cmpuint(expected, ==, N_ITEMS + 1);
}

static void test_fifo_states(void) {
  g_autoptr(LcipFifo) fifo = lcip_fifo_new(2);
  int a, b;
  gpointer item = NULL;
  g_assert_cmpint(lcip_fifo_pop(fifo, &item), ==, LCIP_FIFO_EMPTY);
  g_assert_cmpint(lcip_fifo_push(fifo, &a), ==, LCIP_FIFO_OK);
  g_assert_cmpint(lcip_fifo_push(fifo, &b), ==, LCIP_FIFO_OK);
  g_assert_cmpint(lcip_fifo_push(fifo, &b), ==, LCIP_FIFO_FULL);
  g_assert_true(lcip_fifo_is_full(fifo));
  g_assert_true(lcip_fifo_peek(fifo, 1) == &b);
  g_assert_null(lcip_fifo_peek(fifo, 2));
  lcip_fifo_close(fifo);
  g_assert_cmpint(lcip_fifo_push(fifo, &a), ==, LCIP_FIFO_CLOSED);
  g_assert_cmpint(lcip_fifo_pop(fifo, &item), ==, LCIP_FIFO_OK);
  g_assert_true(item == &a);
  g_assert_cmpint(lcip_fifo_pop(fifo, &item), ==, LCIP_FIFO_OK);
  g_assert_cmpint(lcip_fifo_pop(fifo, &item), ==, LCIP_FIFO_CLOSED);
}

static gpointer release_tokens(gpointer data) {
  gpointer token;
  LcipFifoResult result;
  while ((result = lcip_fifo_pop(data, &token)) != LCIP_FIFO_CLOSED)
    if (result == LCIP_FIFO_OK)
      lcip_token_unref(token);
    else
      sched_yield();
  return NULL;
}

/* However many go through, only as many exist as are out at once. */
static void test_token_pool(void) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(1, 16));
  LcipTokenPool *pool = lcip_token_pool_new(&spec);
  g_autoptr(LcipFifo) fifo = lcip_fifo_new(4);
  pthread_t thread;
  pthread_create(&thread, NULL, release_tokens, fifo);
  for (guint64 i = 0; i < 20000; i++) {
    LcipToken *token = lcip_token_pool_acquire(pool, NULL);
    *(float *)token->data = (float)i;
    while (lcip_fifo_push(fifo, token) != LCIP_FIFO_OK)
      sched_yield();
  }
  lcip_fifo_close(fifo);
  pthread_join(thread, NULL);
  g_assert_cmpuint(lcip_token_pool_size(pool), <=, 6);
  lcip_token_pool_free(pool);
}

/* A tensor that somebody keeps is never written again. */
static void test_token_kept(void) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(1, 16));
  LcipTokenPool *pool = lcip_token_pool_new(&spec);
  LcipToken *token = lcip_token_pool_acquire(pool, NULL);
  void *data = token->data;
  lcip_token_unref(token);
  token = lcip_token_pool_acquire(pool, NULL);
  g_assert_true(token->data == data);
  LcipTensor *kept = lcip_tensor_ref(token->tensor);
  lcip_token_unref(token);
  token = lcip_token_pool_acquire(pool, NULL);
  g_assert_true(token->data != data);
  g_assert_true(lcip_tensor_get_data(kept) == data);
  lcip_tensor_unref(kept);
  lcip_token_unref(token);
  g_assert_cmpuint(lcip_token_pool_size(pool), ==, 1);
  lcip_token_pool_free(pool);
}

/* ---- order ---- */

static void test_order(gconstpointer data) {
  const guint n_lanes = GPOINTER_TO_UINT(data);
  const int *lanes[] = {NULL, lanes_one, lanes_two, lanes_three};
  g_autoptr(TestPlan) test = uniform_chain(n_lanes, n_lanes, lanes[n_lanes], &kernel_add_one);
  Collector collector = {.offset = (float)n_lanes};
  run_all(test, &collector, 500, (LcipRunOptions){0});
}

/* CPU -> other -> CPU: two segments of one lane. */
static void test_order_back(void) {
  g_autoptr(TestPlan) test = uniform_chain(2, 3, lanes_back, &kernel_add_one);
  Collector collector = {.offset = 3};
  run_all(test, &collector, 500, (LcipRunOptions){0});
}

static void test_frames_in_flight_one(void) {
  g_autoptr(TestPlan) test = uniform_chain(3, 3, lanes_three, &kernel_add_one);
  Collector collector = {.offset = 3};
  run_all(test, &collector, 200, (LcipRunOptions){.frames_in_flight = 1});
}

static void test_order_streams(void) {
  g_autoptr(TestPlan) test = uniform_chain(2, 2, lanes_two, &kernel_busy);
  Collector collector = {.offset = 2};
  run_all(test, &collector, 300, (LcipRunOptions){.streams = 3, .profile = TRUE});
}

static void test_n_frames(void) {
  g_autoptr(TestPlan) test = uniform_chain(1, 1, lanes_one, &kernel_add_one);
  Collector collector = {.offset = 1};
  Counter counter = {0};
  g_autoptr(LcipRun) run = start(test, &counter, &collector, (LcipRunOptions){.n_frames = 7});
  g_assert_true(lcip_run_wait(run, NULL));
  check_collected(&collector, 7);
  g_assert_cmpuint(counter.n, ==, 7);
}

/* The source's token goes to three places; 2 (n + 1) + n + n. */
static float expected_fan_out(guint64 frame) {
  return 3 * (float)frame + 2;
}

TestPlan *fan_out_plan(void) {
  TestPlan *test = test_plan_new(3);
  const int x = add_source(test);
  const int s1 = add_segment(test, LCIP_SEGMENT_WORK, 0), a = add_token(test, s1);
  const int s2 = add_segment(test, LCIP_SEGMENT_WORK, 1), b = add_token(test, s2);
  const int s3 = add_segment(test, LCIP_SEGMENT_WORK, 2),
            c = add_tensor(test, LCIP_STORE_ARENA, s3);
  const int d = add_token(test, s3);
  add_kernel(test, s1, &kernel_add_one, x, -1, a);
  add_kernel(test, s2, &kernel_sum, x, a, b);
  add_kernel(test, s3, &kernel_sum, a, b, c);
  add_kernel(test, s3, &kernel_sum, c, c, d);
  add_channel(test, x, 0, s1, 0);
  add_channel(test, x, 0, s2, 0);
  add_channel(test, a, s1, s2, 0);
  add_channel(test, a, s1, s3, 0);
  add_channel(test, b, s2, s3, 0);
  add_sink(test, d);
  return test;
}

float expected_doubled(guint64 frame) {
  return 2 * expected_fan_out(frame);
}

static void test_fan_out(void) {
  g_autoptr(TestPlan) test = fan_out_plan();
  Collector collector = {.expected = expected_doubled};
  run_all(test, &collector, 500, (LcipRunOptions){0});
}
/* ---- shapes ---- */

typedef struct {
  guint64 n, wrong;
} ShapeCheck;

static void check_dynamic(const LcipFrame *frame, gpointer data) {
  ShapeCheck *check = data;
  const LcipShape *shape = lcip_tensor_get_shape(frame->values[0].tensor);
  const float *values = lcip_tensor_get_data(frame->values[0].tensor);
  check->wrong += shape->dims[0] != (gint64)(frame->number % N_ELEMS + 1);
  check->wrong += values[shape->dims[0] - 1] != (float)frame->number + 2;
  check->n++;
}

/* A data-dependent size goes on through a plain step on another lane, by inference. */
/* A segment that nobody waits for (its result is kept for a preview) holds up the others by its
 * full channel alone, and must wake them when there is room again. */
static void test_dead_end(void) {
  g_autoptr(TestPlan) test = test_plan_new(3);
  const int x = add_source(test);
  const int s1 = add_segment(test, LCIP_SEGMENT_WORK, 0), a = add_token(test, s1);
  const int s2 = add_segment(test, LCIP_SEGMENT_WORK, 1);
  const int s3 = add_segment(test, LCIP_SEGMENT_WORK, 2);
  add_kernel(test, s1, &kernel_add_one, x, -1, a);
  add_kernel(test, s2, &kernel_add_one, a, -1, add_tensor(test, LCIP_STORE_ARENA, s2));
  add_kernel(test, s3, &kernel_add_one, x, -1, add_tensor(test, LCIP_STORE_ARENA, s3));
  add_channel(test, x, 0, s1, 0);
  add_channel(test, x, 0, s3, 0);
  add_channel(test, a, s1, s2, 0);
  add_sink(test, a);
  Collector collector = {.offset = 1};
  run_all(test, &collector, 10000, (LcipRunOptions){.frames_in_flight = 2});
}

static void test_dynamic_shapes(void) {
  const LcipKernel *kernels[] = {&kernel_dynamic, &kernel_add_one};
  g_autoptr(TestPlan) test = chain_plan(2, 2, lanes_two, kernels);
  ((LcipPlanWork *)g_ptr_array_index(test->plan.works, 1))->step.op = &dynamic_operator;
  Counter counter = {.n_end = 100};
  ShapeCheck check = {0};
  const LcipFeed feed = counter_feed(&counter);
  const LcipRunOptions options = {.frame_func = check_dynamic, .frame_data = &check};
  g_autoptr(LcipRun) run = lcip_run_start_with_feed(&test->plan, &options, &feed, NULL);
  g_assert_true(lcip_run_wait(run, NULL));
  g_assert_cmpuint(check.n, ==, 100);
  g_assert_cmpuint(check.wrong, ==, 0);
}

static void test_dynamic_too_large(void) {
  g_autoptr(GError) error = NULL;
  g_autoptr(TestPlan) test = uniform_chain(1, 1, lanes_one, &kernel_too_large);
  ((LcipPlanWork *)g_ptr_array_index(test->plan.works, 1))->step.op = &dynamic_operator;
  Counter counter = {.n_end = 10};
  Collector collector = {0};
  g_autoptr(LcipRun) run = start(test, &counter, &collector, (LcipRunOptions){0});
  g_assert_false(lcip_run_wait(run, &error));
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_INVALID);
  g_assert_cmpuint(atomic_load(&collector.n), ==, 3);
}

static void check_view(const LcipFrame *frame, gpointer data) {
  ShapeCheck *check = data;
  const LcipShape expected = lcip_shape(2, 2, 2);
  const LcipTensor *tensor = frame->values[0].tensor;
  check->wrong += !lcip_shape_equal(lcip_tensor_get_shape(tensor), &expected);
  check->wrong += ((const float *)lcip_tensor_get_data(tensor))[3] != (float)frame->number + 1;
  check->n++;
}

/* A sink that reads another view of a token. */
static void test_view_at_sink(void) {
  g_autoptr(TestPlan) test = uniform_chain(1, 1, lanes_one, &kernel_add_one);
  const int view = add_token(test, 1);
  LcipPlanTensor *tensor = &g_array_index(test->plan.tensors, LcipPlanTensor, view);
  tensor->root = view - 1;
  tensor->spec.shape = lcip_shape(2, 2, 2);
  ((LcipPlanWork *)g_ptr_array_index(test->plan.works, 2))->inputs[0] = view;
  Counter counter = {.n_end = 20};
  ShapeCheck check = {0};
  const LcipFeed feed = counter_feed(&counter);
  const LcipRunOptions options = {.frame_func = check_view, .frame_data = &check};
  g_autoptr(LcipRun) run = lcip_run_start_with_feed(&test->plan, &options, &feed, NULL);
  g_assert_true(lcip_run_wait(run, NULL));
  g_assert_cmpuint(check.n, ==, 20);
  g_assert_cmpuint(check.wrong, ==, 0);
}
/* ---- delays ---- */

/* y[n] = x[n] + y[n - 1]: the sum of 0..n. */
static TestPlan *accumulator_plan(guint n_lanes, int lane) {
  TestPlan *test = test_plan_new(n_lanes);
  const int x = add_source(test);
  const int s1 = add_segment(test, LCIP_SEGMENT_WORK, lane), y = add_token(test, s1);
  add_kernel(test, s1, &kernel_sum, x, y, y);
  add_channel(test, x, 0, s1, 0);
  add_channel(test, y, s1, s1, 1);
  add_sink(test, y);
  ((LcipPlanStep *)g_ptr_array_index(test->plan.steps, 1))->actors = keep(test, g_new0(int, 1));
  ((LcipPlanStep *)g_ptr_array_index(test->plan.steps, 1))->n_actors = 1;
  return test;
}

static float expected_sum(guint64 frame) {
  return (float)(frame * (frame + 1) / 2);
}

static void test_delay(void) {
  g_autoptr(TestPlan) test = accumulator_plan(1, 0);
  Collector collector = {.expected = expected_sum};
  run_all(test, &collector, 300, (LcipRunOptions){0});
}

static void test_delay_refuses_streams(void) {
  g_autoptr(GError) error = NULL;
  g_autoptr(TestPlan) test = accumulator_plan(1, 0);
  Counter counter = {.n_end = 1};
  const LcipFeed feed = counter_feed(&counter);
  g_assert_null(
      lcip_run_start_with_feed(&test->plan, &(LcipRunOptions){.streams = 2}, &feed, &error));
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED);
}

/* The sum goes on over a change of lanes. */
static void test_delay_remap(void) {
  g_autoptr(TestPlan) a = accumulator_plan(2, 0);
  g_autoptr(TestPlan) b = accumulator_plan(2, 1);
  Collector collector = {.expected = expected_sum};
  Counter counter = {.n_end = 400};
  g_autoptr(LcipRun) run = start(a, &counter, &collector, (LcipRunOptions){0});
  for (guint i = 1; i <= 10; i++) {
    g_autoptr(GError) error = NULL;
    wait_for_frames(&collector, i * 10);
    if (!lcip_run_set_plan(run, i % 2 ? &b->plan : &a->plan, &error))
      g_assert_error(error, LCIP_ERROR, LCIP_ERROR_CANCELLED); /* it was through already */
  }
  g_assert_true(lcip_run_wait(run, NULL));
  check_collected(&collector, 400);
  g_assert_cmpuint(collector.n_epochs, >=, 2);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/engine/fifo/two-threads", test_fifo_two_threads);
  g_test_add_func("/engine/fifo/states", test_fifo_states);
  g_test_add_func("/engine/token/pool", test_token_pool);
  g_test_add_func("/engine/token/kept", test_token_kept);
  g_test_add_data_func("/engine/order/one-lane", GUINT_TO_POINTER(1), test_order);
  g_test_add_data_func("/engine/order/two-lanes", GUINT_TO_POINTER(2), test_order);
  g_test_add_data_func("/engine/order/three-lanes", GUINT_TO_POINTER(3), test_order);
  g_test_add_func("/engine/order/back", test_order_back);
  g_test_add_func("/engine/order/one-in-flight", test_frames_in_flight_one);
  g_test_add_func("/engine/order/streams", test_order_streams);
  g_test_add_func("/engine/order/n-frames", test_n_frames);
  g_test_add_func("/engine/order/fan-out", test_fan_out);
  g_test_add_func("/engine/order/dead-end", test_dead_end);
  g_test_add_func("/engine/shapes/dynamic", test_dynamic_shapes);
  g_test_add_func("/engine/shapes/too-large", test_dynamic_too_large);
  g_test_add_func("/engine/shapes/view-at-sink", test_view_at_sink);
  g_test_add_func("/engine/delay/accumulate", test_delay);
  g_test_add_func("/engine/delay/streams", test_delay_refuses_streams);
  g_test_add_func("/engine/delay/remap", test_delay_remap);
  add_end_tests();
  add_profile_tests();
  add_sweep_tests();
  return g_test_run();
}
