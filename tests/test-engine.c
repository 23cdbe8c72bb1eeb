#include "config.h"
#include "lcip-fifo-private.h"
#include "lcip-graph.h"
#include "lcip-run-private.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <malloc.h>
#include <math.h>
#include <string.h>

/* The engine, on plans made by hand: small kernels on tensors of four floats, and a source that
 * counts. Frame n of the source holds n, n, n, n. */

#define N_ELEMS 4

/* ---- kernels ---- */

static _Atomic gint64 fail_frame = -1;
static _Atomic gboolean gate_closed;
static pthread_mutex_t gate_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_cond = PTHREAD_COND_INITIALIZER;
static guint gate_waiters;

static const LcipPortDef one_port[] = {{.name = "x"}, {.name = "y", .flags = LCIP_PORT_OPTIONAL}};

static gboolean infer_like_first(LcipStep *step, GError **error) {
  step->outputs[0] = step->inputs[0];
  return TRUE;
}

static const LcipOperator plain_operator = {.domain = "test",
                                            .name = "Plain",
                                            .inputs = one_port,
                                            .n_inputs = 2,
                                            .outputs = one_port,
                                            .n_outputs = 1,
                                            .infer = infer_like_first};
static const LcipOperator dynamic_operator = {.domain = "test",
                                              .name = "Dynamic",
                                              .flags = LCIP_OP_DYNAMIC,
                                              .inputs = one_port,
                                              .n_inputs = 2,
                                              .outputs = one_port,
                                              .n_outputs = 1,
                                              .infer = infer_like_first};

static gsize view_count(const LcipTensorView *view) {
  return (gsize)lcip_shape_count(&view->shape);
}

static gboolean run_add_one(const LcipCall *call, LcipTeam *team, GError **error) {
  const float *x = call->inputs[0].data;
  float *y = call->outputs[0].data;
  for (gsize i = 0; i < view_count(&call->outputs[0]); i++)
    y[i] = x[i] + 1;
  return TRUE;
}

static gboolean run_sum(const LcipCall *call, LcipTeam *team, GError **error) {
  const float *a = call->inputs[0].data, *b = call->inputs[1].data;
  float *y = call->outputs[0].data;
  for (gsize i = 0; i < view_count(&call->outputs[0]); i++)
    y[i] = a[i] + b[i];
  return TRUE;
}

static gboolean run_failing(const LcipCall *call, LcipTeam *team, GError **error) {
  const float *x = call->inputs[0].data;
  if ((gint64)x[0] == atomic_load(&fail_frame) && x[0] > 0) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_DEVICE,
                "expected a working device, found a broken one");
    return FALSE;
  }
  return run_add_one(call, team, error);
}

/* Real work for the clock: about 50 microseconds. */
static gboolean run_busy(const LcipCall *call, LcipTeam *team, GError **error) {
  float sum = 0;
  for (int i = 1; i < 20000; i++)
    sum += 1.0f / (float)i;
  ((float *)call->scratch)[0] = sum;
  return run_add_one(call, team, error);
}

static gboolean run_gate(const LcipCall *call, LcipTeam *team, GError **error) {
  pthread_mutex_lock(&gate_mutex);
  if (atomic_load(&gate_closed)) {
    gate_waiters++;
    pthread_cond_broadcast(&gate_cond);
    while (atomic_load(&gate_closed))
      pthread_cond_wait(&gate_cond, &gate_mutex);
    gate_waiters--;
  }
  pthread_mutex_unlock(&gate_mutex);
  return run_add_one(call, team, error);
}

/* Frame n has n % 4 + 1 elements. */
static gboolean run_dynamic(const LcipCall *call, LcipTeam *team, GError **error) {
  const float *x = call->inputs[0].data;
  call->outputs[0].shape.dims[0] = (gint64)x[0] % N_ELEMS + 1;
  return run_add_one(call, team, error);
}

static gboolean run_too_large(const LcipCall *call, LcipTeam *team, GError **error) {
  const float *x = call->inputs[0].data;
  if (x[0] >= 3)
    call->outputs[0].shape.dims[0] = N_ELEMS + 1;
  return TRUE;
}

static const LcipKernel kernel_add_one = {.name = "test-add-one", .run = run_add_one};
static const LcipKernel kernel_sum = {.name = "test-sum", .run = run_sum};
static const LcipKernel kernel_failing = {.name = "test-failing", .run = run_failing};
static const LcipKernel kernel_busy = {.name = "test-busy", .run = run_busy};
static const LcipKernel kernel_gate = {.name = "test-gate", .run = run_gate};
static const LcipKernel kernel_dynamic = {.name = "test-dynamic", .run = run_dynamic};
static const LcipKernel kernel_too_large = {.name = "test-too-large", .run = run_too_large};

/* ---- plans ---- */

typedef struct {
  LcipPlan plan;
  GPtrArray *memory;
} TestPlan;

static gpointer keep(TestPlan *test, gpointer memory) {
  g_ptr_array_add(test->memory, memory);
  return memory;
}

static int add_segment(TestPlan *test, LcipSegmentKind kind, int lane) {
  const LcipPlanSegment segment = {
      .kind = kind, .lane = lane, .steps = keep(test, g_new0(int, 16))};
  g_array_append_val(test->plan.segments, segment);
  return (int)test->plan.segments->len - 1;
}

static TestPlan *test_plan_new(guint n_lanes) {
  TestPlan *test = g_new0(TestPlan, 1);
  LcipPlan *plan = &test->plan;
  g_atomic_ref_count_init(&plan->refs);
  test->memory = g_ptr_array_new_with_free_func(g_free);
  plan->graph = lcip_graph_new();
  plan->steps = g_ptr_array_new();
  plan->works = g_ptr_array_new();
  plan->actors = g_ptr_array_new();
  plan->lanes = g_ptr_array_new();
  plan->tensors = g_array_new(FALSE, TRUE, sizeof(LcipPlanTensor));
  plan->segments = g_array_new(FALSE, TRUE, sizeof(LcipPlanSegment));
  plan->channels = g_array_new(FALSE, TRUE, sizeof(LcipPlanChannel));
  plan->scratch_bytes = keep(test, g_new0(gsize, n_lanes + 1));
  for (guint i = 0; i < n_lanes; i++) {
    LcipPlanLane *lane = keep(test, g_new0(LcipPlanLane, 1));
    lane->name = keep(test, g_strdup_printf("CPU %u", i));
    lane->threads = 1;
    lane->arena_bytes = 1024;
    plan->scratch_bytes[i] = 64;
    g_ptr_array_add(plan->lanes, lane);
  }
  add_segment(test, LCIP_SEGMENT_SOURCE, -1);
  return test;
}

/* The engine must have given back every reference. */
static void test_plan_free(TestPlan *test) {
  LcipPlan *plan = &test->plan;
  g_assert_true(g_atomic_ref_count_compare(&plan->refs, 1));
  lcip_graph_unref(plan->graph);
  g_ptr_array_unref(plan->steps);
  g_ptr_array_unref(plan->works);
  g_ptr_array_unref(plan->actors);
  g_ptr_array_unref(plan->lanes);
  g_array_unref(plan->tensors);
  g_array_unref(plan->segments);
  g_array_unref(plan->channels);
  g_ptr_array_unref(test->memory);
  g_free(test);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestPlan, test_plan_free)

static int add_tensor(TestPlan *test, LcipPlanStore store, int segment) {
  const LcipPlanTensor tensor = {.spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(1, N_ELEMS)),
                                 .store = store,
                                 .root = -1,
                                 .lane = -1,
                                 .src_segment = segment,
                                 .size_bytes = N_ELEMS * sizeof(float)};
  g_array_append_val(test->plan.tensors, tensor);
  return (int)test->plan.tensors->len - 1;
}

static int add_token(TestPlan *test, int segment) {
  return add_tensor(test, LCIP_STORE_TOKEN, segment);
}

static LcipPlanWork *add_step(TestPlan *test, int segment, LcipPlanStepKind kind,
                              const LcipKernel *kernel, int in0, int in1, int out) {
  LcipPlanWork *work = keep(test, g_new0(LcipPlanWork, 1));
  LcipPlanStep *step = keep(test, g_new0(LcipPlanStep, 1));
  LcipTensorSpec *specs = keep(test, g_new0(LcipTensorSpec, 3));
  int *tensors = keep(test, g_new0(int, 3));
  LcipPlanSegment *s = &g_array_index(test->plan.segments, LcipPlanSegment, segment);
  const int all[3] = {in0, in1, out};
  for (int i = 0; i < 3; i++) {
    tensors[i] = all[i];
    if (all[i] >= 0)
      specs[i] = g_array_index(test->plan.tensors, LcipPlanTensor, all[i]).spec;
  }
  work->kind = kind;
  work->graph_port = -1;
  work->inputs = tensors;
  work->outputs = tensors + 2;
  work->step = (LcipStep){.op = &plain_operator,
                          .inputs = specs,
                          .outputs = specs + 2,
                          .n_inputs = (guint)((in0 >= 0) + (in1 >= 0)),
                          .n_anchor_inputs = (guint)((in0 >= 0) + (in1 >= 0)),
                          .n_outputs = out >= 0};
  step->title = keep(test, g_strdup_printf("step %u", test->plan.steps->len));
  step->kernel = kernel;
  step->lane = s->lane;
  step->segment = segment;
  g_ptr_array_add(test->plan.works, work);
  g_ptr_array_add(test->plan.steps, step);
  s->steps[s->n_steps++] = (int)test->plan.steps->len - 1;
  return work;
}

static LcipPlanWork *add_kernel(TestPlan *test, int segment, const LcipKernel *kernel, int in0,
                                int in1, int out) {
  return add_step(test, segment, LCIP_STEP_KERNEL, kernel, in0, in1, out);
}

static void add_channel(TestPlan *test, int tensor, int src, int dst, guint delay) {
  const LcipPlanChannel channel = {
      .tensor = tensor, .src_segment = src, .dst_segment = dst, .delay = delay};
  g_array_append_val(test->plan.channels, channel);
}

static int add_source(TestPlan *test) {
  const int tensor = add_token(test, 0);
  add_step(test, 0, LCIP_STEP_SOURCE, NULL, -1, -1, tensor);
  return tensor;
}

static void add_sink(TestPlan *test, int tensor) {
  const int from = g_array_index(test->plan.tensors, LcipPlanTensor, tensor).src_segment;
  const int sink = add_segment(test, LCIP_SEGMENT_SINK, -1);
  add_step(test, sink, LCIP_STEP_SINK, NULL, tensor, -1, -1);
  add_channel(test, tensor, from, sink, 0);
}

/* Work segments in a row, @kernels[i] on lane @lanes[i]; the result of frame n is n + their number.
 */
static TestPlan *chain_plan(guint n_lanes, guint n, const int *lanes,
                            const LcipKernel *const *kernels) {
  TestPlan *test = test_plan_new(n_lanes);
  int tensor = add_source(test), from = 0;
  for (guint i = 0; i < n; i++) {
    const int segment = add_segment(test, LCIP_SEGMENT_WORK, lanes[i]);
    const int out = add_token(test, segment);
    add_kernel(test, segment, kernels[i], tensor, -1, out);
    add_channel(test, tensor, from, segment, 0);
    tensor = out;
    from = segment;
  }
  add_sink(test, tensor);
  return test;
}

static TestPlan *uniform_chain(guint n_lanes, guint n, const int *lanes, const LcipKernel *kernel) {
  const LcipKernel *kernels[8] = {kernel, kernel, kernel, kernel, kernel, kernel, kernel, kernel};
  return chain_plan(n_lanes, n, lanes, kernels);
}

/* ---- source and sink ---- */

typedef struct {
  guint64 n;
  guint64 n_end;
  guint64 fail_at; /* 0: never */
  _Atomic gboolean end;
  _Atomic guint64 drops;
  guint64 drops_per_frame;
} Counter;

static LcipTensor *counter_next(gpointer data, gint64 *timestamp_ns, GCancellable *cancellable,
                                GError **error) {
  Counter *counter = data;
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(1, N_ELEMS));
  if (counter->fail_at && counter->n == counter->fail_at) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_DEVICE, "expected a camera, found it unplugged");
    return NULL;
  }
  if ((counter->n_end && counter->n == counter->n_end) || atomic_load(&counter->end))
    return NULL;
  LcipTensor *tensor = lcip_tensor_new(&spec);
  for (int i = 0; i < N_ELEMS; i++)
    ((float *)lcip_tensor_get_mutable(tensor))[i] = (float)counter->n;
  counter->n++;
  atomic_fetch_add(&counter->drops, counter->drops_per_frame);
  *timestamp_ns = lcip_now_ns();
  return tensor;
}

static guint64 counter_drops(gpointer data) {
  return atomic_load(&((Counter *)data)->drops);
}

typedef struct {
  _Atomic guint64 n;
  guint64 wrong_order;
  guint64 wrong_values;
  guint64 wrong_epochs;
  guint64 last_epoch;
  guint64 n_epochs;
  float offset; /* frame n is to hold n + offset */
  float (*expected)(guint64 frame);
  LcipDoorbell bell;
} Collector;

static void collect(const LcipFrame *frame, gpointer data) {
  Collector *c = data;
  const guint64 n = atomic_load(&c->n);
  const float *values = lcip_tensor_get_data(frame->values[0].tensor);
  const float expected = c->expected ? c->expected(n) : (float)n + c->offset;
  c->wrong_order += frame->number != n;
  c->wrong_values += values[0] != expected;
  c->wrong_epochs += frame->epoch < c->last_epoch;
  c->n_epochs += frame->epoch != c->last_epoch;
  c->last_epoch = frame->epoch;
  atomic_store(&c->n, n + 1);
  lcip_doorbell_ring(&c->bell);
}

static void wait_for_frames(Collector *c, guint64 n) {
  for (;;) {
    const guint seen = lcip_doorbell_read(&c->bell);
    if (atomic_load(&c->n) >= n)
      return;
    lcip_doorbell_wait(&c->bell, seen);
  }
}

static void check_collected(const Collector *c, guint64 n) {
  g_assert_cmpuint(atomic_load(&((Collector *)c)->n), ==, n);
  g_assert_cmpuint(c->wrong_order, ==, 0);
  g_assert_cmpuint(c->wrong_values, ==, 0);
  g_assert_cmpuint(c->wrong_epochs, ==, 0);
}

static LcipFeed counter_feed(Counter *counter) {
  return (LcipFeed){.next = counter_next, .drops = counter_drops, .data = counter};
}

static LcipRun *start(TestPlan *test, Counter *counter, Collector *collector,
                      LcipRunOptions options) {
  g_autoptr(GError) error = NULL;
  const LcipFeed feed = counter_feed(counter);
  options.frame_func = collect;
  options.frame_data = collector;
  lcip_doorbell_init(&collector->bell);
  LcipRun *run = lcip_run_start_with_feed(&test->plan, &options, &feed, &error);
  g_assert_no_error(error);
  g_assert_nonnull(run);
  return run;
}

static void run_all(TestPlan *test, Collector *collector, guint64 n, LcipRunOptions options) {
  g_autoptr(GError) error = NULL;
  Counter counter = {.n_end = n};
  g_autoptr(LcipRun) run = start(test, &counter, collector, options);
  g_assert_true(lcip_run_wait(run, &error));
  g_assert_no_error(error);
  check_collected(collector, n);
}

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

static const int lanes_one[] = {0};
static const int lanes_two[] = {0, 1};
static const int lanes_three[] = {0, 1, 2};
static const int lanes_back[] = {0, 1, 0};

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

static TestPlan *fan_out_plan(void) {
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

static float expected_doubled(guint64 frame) {
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

static void set_gate(gboolean closed) {
  pthread_mutex_lock(&gate_mutex);
  atomic_store(&gate_closed, closed);
  pthread_cond_broadcast(&gate_cond);
  pthread_mutex_unlock(&gate_mutex);
}

static void wait_for_gate(void) {
  pthread_mutex_lock(&gate_mutex);
  while (gate_waiters == 0)
    pthread_cond_wait(&gate_cond, &gate_mutex);
  pthread_mutex_unlock(&gate_mutex);
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

/* ---- profile ---- */

static void check_lane_sum(const LcipProfile *profile, guint lane) {
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
  g_test_add_func("/engine/end/failing-kernel", test_failing_kernel);
  g_test_add_func("/engine/end/failing-source", test_failing_source);
  g_test_add_func("/engine/end/cancel", test_cancel);
  g_test_add_func("/engine/end/bounded", test_bounded);
  g_test_add_func("/engine/end/unref", test_unref_stops);
  g_test_add_func("/engine/end/missing-input", test_missing_input);
  g_test_add_func("/engine/end/random-input", test_random_input_repeats);
  g_test_add_func("/engine/remap/fifty", test_remap);
  g_test_add_func("/engine/remap/streams", test_remap_streams);
  g_test_add_func("/engine/remap/bad-plan", test_remap_bad_plan);
  g_test_add_func("/engine/memory/flat", test_memory_flat);
  g_test_add_data_func("/engine/profile/sums", GUINT_TO_POINTER(1), test_profile_sums);
  g_test_add_data_func("/engine/profile/sums-streams", GUINT_TO_POINTER(2), test_profile_sums);
  g_test_add_func("/engine/profile/drops", test_profile_drops);
  g_test_add_func("/engine/profile/trace", test_trace);
  g_test_add_func("/engine/plan/opencl", test_opencl_lane);
  g_test_add_func("/engine/plan/opencl-remap", test_opencl_remap);
  g_test_add_func("/engine/plan/wrong-input", test_wrong_input);
  return g_test_run();
}
