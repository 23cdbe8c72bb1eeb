#include "config.h"
#include "test-engine.h"

/* ---- kernels ---- */

_Atomic gint64 fail_frame = -1;
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
const LcipOperator dynamic_operator = {.domain = "test",
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

const LcipKernel kernel_add_one = {.name = "test-add-one", .run = run_add_one};
const LcipKernel kernel_sum = {.name = "test-sum", .run = run_sum};
const LcipKernel kernel_failing = {.name = "test-failing", .run = run_failing};
const LcipKernel kernel_busy = {.name = "test-busy", .run = run_busy};
const LcipKernel kernel_gate = {.name = "test-gate", .run = run_gate};
const LcipKernel kernel_dynamic = {.name = "test-dynamic", .run = run_dynamic};
const LcipKernel kernel_too_large = {.name = "test-too-large", .run = run_too_large};
void set_gate(gboolean closed) {
  pthread_mutex_lock(&gate_mutex);
  atomic_store(&gate_closed, closed);
  pthread_cond_broadcast(&gate_cond);
  pthread_mutex_unlock(&gate_mutex);
}

void wait_for_gate(void) {
  pthread_mutex_lock(&gate_mutex);
  while (gate_waiters == 0)
    pthread_cond_wait(&gate_cond, &gate_mutex);
  pthread_mutex_unlock(&gate_mutex);
}

/* ---- plans ---- */

gpointer keep(TestPlan *test, gpointer memory) {
  g_ptr_array_add(test->memory, memory);
  return memory;
}

int add_segment(TestPlan *test, LcipSegmentKind kind, int lane) {
  const LcipPlanSegment segment = {
      .kind = kind, .lane = lane, .steps = keep(test, g_new0(int, 16))};
  g_array_append_val(test->plan.segments, segment);
  return (int)test->plan.segments->len - 1;
}

TestPlan *test_plan_new(guint n_lanes) {
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
void test_plan_free(TestPlan *test) {
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

int add_tensor(TestPlan *test, LcipPlanStore store, int segment) {
  const LcipPlanTensor tensor = {.spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(1, N_ELEMS)),
                                 .store = store,
                                 .root = -1,
                                 .lane = -1,
                                 .src_segment = segment,
                                 .size_bytes = N_ELEMS * sizeof(float)};
  g_array_append_val(test->plan.tensors, tensor);
  return (int)test->plan.tensors->len - 1;
}

int add_token(TestPlan *test, int segment) {
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

LcipPlanWork *add_kernel(TestPlan *test, int segment, const LcipKernel *kernel, int in0, int in1,
                         int out) {
  return add_step(test, segment, LCIP_STEP_KERNEL, kernel, in0, in1, out);
}

void add_channel(TestPlan *test, int tensor, int src, int dst, guint delay) {
  const LcipPlanChannel channel = {
      .tensor = tensor, .src_segment = src, .dst_segment = dst, .delay = delay};
  g_array_append_val(test->plan.channels, channel);
}

int add_source(TestPlan *test) {
  const int tensor = add_token(test, 0);
  add_step(test, 0, LCIP_STEP_SOURCE, NULL, -1, -1, tensor);
  return tensor;
}

void add_sink(TestPlan *test, int tensor) {
  const int from = g_array_index(test->plan.tensors, LcipPlanTensor, tensor).src_segment;
  const int sink = add_segment(test, LCIP_SEGMENT_SINK, -1);
  add_step(test, sink, LCIP_STEP_SINK, NULL, tensor, -1, -1);
  add_channel(test, tensor, from, sink, 0);
}

/* Work segments in a row, @kernels[i] on lane @lanes[i]; the result of frame n is n + their number.
 */
TestPlan *chain_plan(guint n_lanes, guint n, const int *lanes, const LcipKernel *const *kernels) {
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

TestPlan *uniform_chain(guint n_lanes, guint n, const int *lanes, const LcipKernel *kernel) {
  const LcipKernel *kernels[8] = {kernel, kernel, kernel, kernel, kernel, kernel, kernel, kernel};
  return chain_plan(n_lanes, n, lanes, kernels);
}
/* ---- source and sink ---- */

LcipTensor *counter_next(gpointer data, gint64 *timestamp_ns, GCancellable *cancellable,
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

guint64 counter_drops(gpointer data) {
  return atomic_load(&((Counter *)data)->drops);
}

void collect(const LcipFrame *frame, gpointer data) {
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

void wait_for_frames(Collector *c, guint64 n) {
  for (;;) {
    const guint seen = lcip_doorbell_read(&c->bell);
    if (atomic_load(&c->n) >= n)
      return;
    lcip_doorbell_wait(&c->bell, seen);
  }
}

void check_collected(const Collector *c, guint64 n) {
  g_assert_cmpuint(atomic_load(&((Collector *)c)->n), ==, n);
  g_assert_cmpuint(c->wrong_order, ==, 0);
  g_assert_cmpuint(c->wrong_values, ==, 0);
  g_assert_cmpuint(c->wrong_epochs, ==, 0);
}

LcipFeed counter_feed(Counter *counter) {
  return (LcipFeed){.next = counter_next, .drops = counter_drops, .data = counter};
}

LcipRun *start(TestPlan *test, Counter *counter, Collector *collector, LcipRunOptions options) {
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

void run_all(TestPlan *test, Collector *collector, guint64 n, LcipRunOptions options) {
  g_autoptr(GError) error = NULL;
  Counter counter = {.n_end = n};
  g_autoptr(LcipRun) run = start(test, &counter, collector, options);
  g_assert_true(lcip_run_wait(run, &error));
  g_assert_no_error(error);
  check_collected(collector, n);
}
