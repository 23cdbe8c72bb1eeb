#include "config.h"
#include "test-engine.h"

#include "lcip-placement.h"
#include "lcip-turn-private.h"

#include <pthread.h>
#include <sched.h>

/* Streams that do a step together. The step adds one; its weights have N_PARTS parts, and the parts
 * below N_ELEMS give an element each. A part that is done twice, or not at all, makes the result
 * NaN. */

#define N_PARTS 32

typedef struct {
  const float *x;
  float *y;
  _Atomic guint64 done; /* a bit for each part */
} SweepJob;

/* ---- kernels ---- */

static _Atomic gint part_us;        /* what a part takes */
static _Atomic guint alone_until_n; /* jobs that the first part waits for */
static _Atomic guint most_jobs;
static _Atomic gint n_begun;

static gboolean sweep_begin(const LcipCall *call, gpointer data, LcipTeam *team, guint *n_parts,
                            GError **error) {
  SweepJob *job = data;
  job->x = call->inputs[0].data;
  job->y = call->outputs[0].data;
  atomic_store(&job->done, 0);
  for (int i = 0; i < N_ELEMS; i++)
    job->y[i] = NAN;
  if (job->x[0] > 0 && (gint64)job->x[0] == atomic_load(&fail_frame)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_DEVICE, "expected weights, found none");
    return FALSE;
  }
  *n_parts = N_PARTS;
  atomic_fetch_add(&n_begun, 1);
  return TRUE;
}

/* At most 10 s: the test fails rather than hangs. */
static void wait_for_jobs(guint n) {
  for (int i = 0; i < 10000 && atomic_load(&most_jobs) < n; i++)
    g_usleep(1000);
}

static void sweep_part(const gconstpointer *jobs, guint n_jobs, guint part) {
  atomic_store(&most_jobs, MAX(atomic_load(&most_jobs), n_jobs));
  wait_for_jobs(atomic_load(&alone_until_n));
  if (atomic_load(&part_us) > 0)
    g_usleep((gulong)atomic_load(&part_us));
  for (guint i = 0; i < n_jobs; i++) {
    SweepJob *job = (SweepJob *)jobs[i];
    const guint64 before = atomic_fetch_or(&job->done, G_GUINT64_CONSTANT(1) << part);
    if (part < N_ELEMS)
      job->y[part] = before >> part & 1 ? NAN : job->x[part] + 1;
  }
}

static void sweep_end(gpointer data, LcipTeam *team) {
  SweepJob *job = data;
  for (int i = 0; atomic_load(&job->done) != (G_GUINT64_CONSTANT(1) << N_PARTS) - 1 && i < N_ELEMS;
       i++)
    job->y[i] = NAN;
}

static const LcipKernelSweep sweep_of_add = {.weights = 1,
                                             .job_bytes = sizeof(SweepJob),
                                             .begin = sweep_begin,
                                             .run = sweep_part,
                                             .end = sweep_end};

static gboolean run_swept(const LcipCall *call, LcipTeam *team, GError **error) {
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID, "expected a sweep, found a run");
  return FALSE;
}

/* As in a network the steps before take longer than a companion needs to begin with its frame. */
static gboolean run_before(const LcipCall *call, LcipTeam *team, GError **error) {
  g_usleep(10 * (gulong)atomic_load(&part_us));
  return kernel_busy.run(call, team, error);
}

static const LcipKernel kernel_before = {.name = "test-before", .run = run_before};

static const LcipKernel kernel_swept = {
    .name = "test-swept", .run = run_swept, .sweep = &sweep_of_add};

static void reset(void) {
  atomic_store(&part_us, 0);
  atomic_store(&alone_until_n, 0);
  atomic_store(&most_jobs, 0);
  atomic_store(&n_begun, 0);
}

/* ---- one sweep, threads of its own ---- */

typedef struct {
  LcipSweep *sweep;
  LcipTurn *turn; /* of companions */
  guint stream, threads;
  gint64 origin_ns;
  float x[N_ELEMS], y[N_ELEMS];
} Firing;

static gboolean must_wait(gpointer data) {
  const Firing *firing = data;
  return lcip_sweep_must_wait(firing->sweep, firing->stream);
}

static void wait_for_companions(Firing *firing) {
  if (!must_wait(firing))
    return;
  lcip_turn_pass(firing->turn, must_wait, firing);
}

static gpointer firing_main(gpointer data) {
  Firing *firing = data;
  LcipTensorView in = {.data = firing->x}, out = {.data = firing->y};
  const LcipCall call = {.inputs = &in, .outputs = &out};
  g_autoptr(LcipTeam) team = lcip_team_new(firing->threads);
  lcip_sweep_expect(firing->sweep, firing->stream, firing->origin_ns);
  if (firing->turn)
    lcip_turn_take(firing->turn);
  lcip_sweep_arrive(firing->sweep, firing->stream, lcip_now_ns());
  g_assert_true(lcip_sweep_begin(firing->sweep, firing->stream, &call, team, NULL));
  wait_for_companions(firing);
  lcip_sweep_run(firing->sweep, firing->stream, team, &firing->origin_ns);
  lcip_sweep_forget(firing->sweep, firing->stream);
  if (firing->turn)
    lcip_turn_give(firing->turn);
  return NULL;
}

static Firing firing_of(LcipSweep *sweep, guint stream, guint threads) {
  Firing firing = {.sweep = sweep, .stream = stream, .threads = threads, .origin_ns = stream + 1};
  for (int i = 0; i < N_ELEMS; i++)
    firing.x[i] = (float)stream;
  return firing;
}

static void check_firing(const Firing *firing) {
  for (int i = 0; i < N_ELEMS; i++)
    g_assert_cmpfloat(firing->y[i], ==, (float)firing->stream + 1);
}

/* No part ends before @n firings have met in one. */
static void meet(guint n, guint threads) {
  LcipSweep *sweep = lcip_sweep_new(&sweep_of_add, n, 1);
  Firing firings[4];
  pthread_t thread[4];
  reset();
  atomic_store(&alone_until_n, n);
  for (guint i = 0; i < n; i++) {
    firings[i] = firing_of(sweep, i, threads);
    pthread_create(&thread[i], NULL, firing_main, &firings[i]);
  }
  for (guint i = 0; i < n; i++)
    pthread_join(thread[i], NULL);
  for (guint i = 0; i < n; i++)
    check_firing(&firings[i]);
  g_assert_cmpuint(atomic_load(&most_jobs), ==, n);
  g_assert_cmpuint(lcip_sweep_n_shared(sweep), >=, N_PARTS - threads * n);
  /* As if all had begun with the last. */
  for (guint i = 0; i < n; i++)
    g_assert_cmpint(firings[i].origin_ns, ==, n);
  lcip_sweep_free(sweep);
}

static void test_meet(void) {
  meet(2, 1);
  meet(3, 1);
  meet(2, 2);
}

static void test_alone(void) {
  LcipSweep *sweep = lcip_sweep_new(&sweep_of_add, 2, 1);
  Firing firing = firing_of(sweep, 0, 2);
  reset();
  for (guint i = 0; i < 3; i++) {
    firing_main(&firing);
    check_firing(&firing);
  }
  g_assert_cmpuint(lcip_sweep_n_shared(sweep), ==, 0);
  lcip_sweep_free(sweep);
}

/* ---- companions ---- */

/* The last of @n companions does the step for all of them, in one go. */
static void test_companions(void) {
  const guint n = 3;
  LcipSweep *sweep = lcip_sweep_new(&sweep_of_add, n, n);
  LcipTurn *turn = lcip_turn_new();
  Firing firings[3];
  pthread_t thread[3];
  reset();
  for (guint i = 0; i < n; i++) {
    firings[i] = firing_of(sweep, i, 1);
    firings[i].turn = turn;
    lcip_sweep_expect(sweep, i, 1);
  }
  for (guint i = 0; i < n; i++)
    pthread_create(&thread[i], NULL, firing_main, &firings[i]);
  for (guint i = 0; i < n; i++) {
    pthread_join(thread[i], NULL);
    check_firing(&firings[i]);
  }
  g_assert_cmpuint(lcip_sweep_n_shared(sweep), ==, N_PARTS);
  g_assert_cmpuint(atomic_load(&most_jobs), ==, n);
  lcip_turn_free(turn);
  lcip_sweep_free(sweep);
}

/* A companion whose firing ends before the step is not waited for. */
static void test_companion_fails(void) {
  LcipSweep *sweep = lcip_sweep_new(&sweep_of_add, 2, 2);
  LcipTurn *turn = lcip_turn_new();
  Firing firing = firing_of(sweep, 0, 1);
  pthread_t thread;
  reset();
  firing.turn = turn;
  lcip_sweep_expect(sweep, 1, 1);
  pthread_create(&thread, NULL, firing_main, &firing);
  while (lcip_turn_n_waiting(turn) == 0)
    g_usleep(1000);
  lcip_turn_take(turn);
  g_assert_cmpint(atomic_load(&most_jobs), ==, 0);
  lcip_sweep_forget(sweep, 1);
  g_assert_cmpint(atomic_load(&most_jobs), ==, 0);
  lcip_turn_give(turn);
  pthread_join(thread, NULL);
  check_firing(&firing);
  g_assert_cmpuint(lcip_sweep_n_shared(sweep), ==, 0);
  lcip_turn_free(turn);
  lcip_sweep_free(sweep);
}

/* ---- turns ---- */

typedef struct {
  LcipTurn *turn;
  guint index;
} Turner;

static _Atomic guint n_having_turn, n_turns;

/* Whose turn it was asked for first, alone, and may then run wherever it could before. */
static gpointer turn_main(gpointer data) {
  const Turner *turner = data;
  cpu_set_t before, after;
  g_assert_cmpint(pthread_getaffinity_np(pthread_self(), sizeof before, &before), ==, 0);
  lcip_turn_take(turner->turn);
  g_assert_cmpuint(atomic_fetch_add(&n_having_turn, 1), ==, 0);
  g_assert_cmpuint(atomic_fetch_add(&n_turns, 1), ==, turner->index);
  g_assert_cmpint(pthread_getaffinity_np(pthread_self(), sizeof after, &after), ==, 0);
  g_assert_true(CPU_EQUAL(&before, &after));
  g_usleep(1000);
  g_assert_cmpuint(atomic_fetch_sub(&n_having_turn, 1), ==, 1);
  lcip_turn_give(turner->turn);
  return NULL;
}

static void test_turns(void) {
  LcipTurn *turn = lcip_turn_new();
  Turner turners[4];
  pthread_t threads[4];
  atomic_store(&n_turns, 0);
  lcip_turn_take(turn);
  for (guint i = 0; i < 4; i++) {
    turners[i] = (Turner){turn, i};
    pthread_create(&threads[i], NULL, turn_main, &turners[i]);
    while (lcip_turn_n_waiting(turn) <= i)
      g_usleep(1000);
  }
  g_assert_cmpuint(atomic_load(&n_turns), ==, 0);
  lcip_turn_give(turn);
  for (guint i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  g_assert_cmpuint(atomic_load(&n_turns), ==, 4);
  lcip_turn_take(turn); /* nobody has it */
  lcip_turn_give(turn);
  lcip_turn_free(turn);
}

enum { N_PASSES = 2000 };

/* Whoever passes has asked before the other can ask again: so the turns alternate. */
static gpointer pass_main(gpointer data) {
  const Turner *turner = data;
  for (guint i = 0; i < N_PASSES; i++) {
    g_assert_cmpuint(atomic_fetch_add(&n_turns, 1), ==, 2 * i + turner->index);
    lcip_turn_pass(turner->turn, NULL, NULL);
  }
  lcip_turn_give(turner->turn);
  return NULL;
}

static gpointer take_and_pass_main(gpointer data) {
  const Turner *turner = data;
  lcip_turn_take(turner->turn);
  return pass_main(data);
}

static void test_pass_turns(void) {
  LcipTurn *turn = lcip_turn_new();
  Turner first = {turn, 0}, second = {turn, 1};
  pthread_t thread;
  atomic_store(&n_turns, 0);
  lcip_turn_take(turn);
  pthread_create(&thread, NULL, take_and_pass_main, &second);
  while (lcip_turn_n_waiting(turn) == 0)
    g_usleep(1000);
  pass_main(&first);
  pthread_join(thread, NULL);
  g_assert_cmpuint(atomic_load(&n_turns), ==, 2 * N_PASSES);
  lcip_turn_free(turn);
}

/* ---- waiting for a stream ---- */

/* Stream 0 comes to the step every second, stream 1 @lag_ns later; alone it takes some 64 ms. Until
 * when stream 0 waits, having come at 10 s. */
static gint64 wait_at_10_s(LcipSweep *sweep, gint64 lag_ns) {
  const gint64 s = G_GINT64_CONSTANT(1000000000);
  lcip_sweep_expect(sweep, 0, 8 * s);
  lcip_sweep_arrive(sweep, 0, 9 * s);
  lcip_sweep_forget(sweep, 0);
  lcip_sweep_expect(sweep, 0, 9 * s);
  lcip_sweep_expect(sweep, 1, 9 * s + lag_ns);
  return lcip_sweep_arrive(sweep, 0, 10 * s);
}

static LcipSweep *measured_sweep(void) {
  LcipSweep *sweep = lcip_sweep_new(&sweep_of_add, 2, 1);
  Firing firing = firing_of(sweep, 0, 1);
  reset();
  atomic_store(&part_us, 2000);
  firing_main(&firing);
  atomic_store(&part_us, 0);
  return sweep;
}

static void test_wait_when(void) {
  const gint64 ms = 1000000, here = G_GINT64_CONSTANT(10000000000);
  LcipSweep *sweep = measured_sweep();
  /* It comes while stream 0 is at it; or it is the shorter while behind. */
  g_assert_cmpint(wait_at_10_s(sweep, 1 * ms), ==, 0);
  g_assert_cmpint(wait_at_10_s(sweep, 700 * ms), ==, 0);
  const gint64 until = wait_at_10_s(sweep, 400 * ms);
  g_assert_cmpint(until, >=, here + N_PARTS * ms);
  g_assert_cmpint(until, <, here + 400 * ms);
  /* It works on nothing. */
  lcip_sweep_forget(sweep, 0);
  lcip_sweep_forget(sweep, 1);
  lcip_sweep_expect(sweep, 0, 1);
  g_assert_cmpint(lcip_sweep_arrive(sweep, 0, here + here), ==, 0);
  lcip_sweep_free(sweep);
}

/* After some waits in vain there are none for a while, then again. */
static void test_wait_in_vain(void) {
  LcipSweep *sweep = measured_sweep();
  guint n_waits = 0, first_waits = 0;
  for (guint i = 0; i < 100; i++) {
    const gint64 until = wait_at_10_s(sweep, 400000000);
    if (until > 0)
      lcip_sweep_wait(sweep, 0, lcip_now_ns());
    n_waits += until > 0;
    first_waits += until > 0 && i < 20;
    lcip_sweep_forget(sweep, 0);
    lcip_sweep_forget(sweep, 1);
  }
  g_assert_cmpuint(first_waits, ==, 8);
  g_assert_cmpuint(n_waits, ==, 16);
  lcip_sweep_free(sweep);
}

static gpointer forget_main(gpointer sweep) {
  g_usleep(20000);
  lcip_sweep_forget(sweep, 1);
  return NULL;
}

/* A wait ends when the other stream's firing does, as when that has failed. */
static void test_wait_ends(void) {
  LcipSweep *sweep = measured_sweep();
  pthread_t thread;
  g_assert_cmpint(wait_at_10_s(sweep, 400000000), >, 0);
  pthread_create(&thread, NULL, forget_main, sweep);
  const gint64 begin_ns = lcip_now_ns();
  lcip_sweep_wait(sweep, 0, begin_ns + G_GINT64_CONSTANT(60000000000));
  g_assert_cmpint(lcip_now_ns() - begin_ns, <, G_GINT64_CONSTANT(30000000000));
  pthread_join(thread, NULL);
  lcip_sweep_free(sweep);
}

/* ---- streams of a run ---- */

/* So many that the engine takes them for large. */
#define N_WEIGHTS (2 * 1024 * 1024)

/* A plan of one segment: busy, one more, swept, failing, one more. The result of frame n is n + 5.
 * What the swept step reads and writes lives while others compute; what is before and behind it
 * does not, and lies where theirs does. */
static TestPlan *swept_plan(LcipTensor *weights) {
  TestPlan *test = test_plan_new(1);
  const int in = add_source(test);
  const int segment = add_segment(test, LCIP_SEGMENT_WORK, 0);
  int t[4];
  for (guint i = 0; i < G_N_ELEMENTS(t); i++)
    t[i] = add_tensor(test, LCIP_STORE_ARENA, segment);
  const int out = add_token(test, segment);
  const int w = add_tensor(test, LCIP_STORE_CONSTANT, -1);
  LcipPlanTensor *constant = &g_array_index(test->plan.tensors, LcipPlanTensor, w);
  constant->spec = *lcip_tensor_get_spec(weights);
  constant->constant = weights;
  add_kernel(test, segment, &kernel_before, in, -1, t[0]);
  add_kernel(test, segment, &kernel_add_one, t[0], -1, t[1]);
  add_kernel(test, segment, &kernel_swept, t[1], w, t[2]);
  add_kernel(test, segment, &kernel_failing, t[2], -1, t[3]);
  add_kernel(test, segment, &kernel_add_one, t[3], -1, out);
  add_channel(test, in, 0, segment, 0);
  add_sink(test, out);
  lcip_plan_assign_memory(&test->plan);
  return test;
}

static LcipTensor *large_weights(void) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(1, N_WEIGHTS));
  return lcip_tensor_new(&spec);
}

static guint64 n_shared(LcipRun *run) {
  guint64 n = 0;
  pthread_mutex_lock(&run->mutex);
  const LcipGroup *group = run->groups->len > 0 ? g_ptr_array_index(run->groups, 0) : NULL;
  for (guint i = 0; group && group->sweeps && i < group->plan->steps->len; i++)
    n += group->sweeps[i] ? lcip_sweep_n_shared(group->sweeps[i]) : 0;
  pthread_mutex_unlock(&run->mutex);
  return n;
}

typedef struct {
  guint streams, together;
} Streams;

static void test_streams_meet(gconstpointer data) {
  const Streams *streams = data;
  g_autoptr(LcipTensor) weights = large_weights();
  g_autoptr(TestPlan) test = swept_plan(weights);
  Counter counter = {0};
  Collector collector = {.offset = 5};
  reset();
  atomic_store(&part_us, 20);
  g_autoptr(LcipRun) run = start(test, &counter, &collector,
                                 (LcipRunOptions){.streams = streams->streams,
                                                  .frames_together = streams->together,
                                                  .frames_in_flight = 2 * streams->together,
                                                  .profile = TRUE});
  /* Some 2000 frames at most until parts are shared: for streams that all have work that is soon.
   */
  for (guint64 n = 100; n <= 2000 && n_shared(run) < 1000; n += 100)
    wait_for_frames(&collector, n);
  g_assert_cmpuint(n_shared(run), >=, 1000);
  g_autoptr(LcipProfile) profile = lcip_run_profile(run);
  check_lane_sum(profile, 0);
  atomic_store(&counter.end, TRUE);
  g_assert_true(lcip_run_wait(run, NULL));
  check_collected(&collector, counter.n);
}

typedef struct {
  gint frame;
  guint together;
} Failing;

/* Frames fail in the step that is swept and in that behind it; those before them are delivered. */
static void test_stream_fails(gconstpointer data) {
  const Failing *failing = data;
  g_autoptr(LcipTensor) weights = large_weights();
  g_autoptr(GError) error = NULL;
  g_autoptr(TestPlan) test = swept_plan(weights);
  Counter counter = {.n_end = 1000};
  Collector collector = {.offset = 5};
  reset();
  atomic_store(&part_us, 20);
  atomic_store(&fail_frame, failing->frame);
  g_autoptr(LcipRun) run =
      start(test, &counter, &collector,
            (LcipRunOptions){.streams = 2, .frames_together = failing->together});
  g_assert_false(lcip_run_wait(run, &error));
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_DEVICE);
  g_assert_cmpuint(collector.wrong_order + collector.wrong_values, ==, 0);
  g_assert_cmpuint(atomic_load(&collector.n), >=, 49);
  g_assert_cmpuint(atomic_load(&collector.n), <=, 50);
  atomic_store(&fail_frame, -1);
}

/* Stopped at any moment, cancelled or let go. */
static void test_streams_stop(void) {
  g_autoptr(LcipTensor) weights = large_weights();
  g_autoptr(TestPlan) test = swept_plan(weights);
  reset();
  atomic_store(&part_us, 20);
  for (guint i = 0; i < 30; i++) {
    Counter counter = {0};
    Collector collector = {.offset = 5};
    LcipRun *run =
        start(test, &counter, &collector, (LcipRunOptions){.streams = 2, .frames_together = i % 3});
    wait_for_frames(&collector, i);
    if (i % 2) {
      lcip_run_cancel(run);
      g_assert_true(lcip_run_wait(run, NULL));
    }
    lcip_run_unref(run);
    g_assert_cmpuint(collector.wrong_order + collector.wrong_values, ==, 0);
  }
}

static void test_streams_remap(gconstpointer data) {
  const guint together = GPOINTER_TO_UINT(data);
  g_autoptr(LcipTensor) weights = large_weights();
  g_autoptr(TestPlan) a = swept_plan(weights);
  g_autoptr(TestPlan) b = swept_plan(weights);
  Counter counter = {0};
  Collector collector = {.offset = 5};
  reset();
  atomic_store(&part_us, 20);
  g_autoptr(LcipRun) run =
      start(a, &counter, &collector, (LcipRunOptions){.streams = 2, .frames_together = together});
  for (guint i = 1; i <= 20; i++) {
    if (i % 3)
      wait_for_frames(&collector, atomic_load(&collector.n) + 10);
    g_assert_true(lcip_run_set_plan(run, i % 2 ? &b->plan : &a->plan, NULL));
  }
  atomic_store(&counter.end, TRUE);
  g_assert_true(lcip_run_wait(run, NULL));
  check_collected(&collector, counter.n);
}

static guint n_together(guint64 weight_bytes, const LcipRunOptions *options) {
  g_autoptr(LcipTensor) weights = large_weights();
  g_autoptr(TestPlan) test = swept_plan(weights);
  Counter counter = {0};
  Collector collector = {.offset = 5};
  guint n = 0;
  /* Nobody reads the weights. */
  for (guint i = 0; i < test->plan.tensors->len; i++) {
    LcipPlanTensor *tensor = &g_array_index(test->plan.tensors, LcipPlanTensor, i);
    if (tensor->constant)
      tensor->spec.shape = lcip_shape(1, (gint64)(weight_bytes / sizeof(float)));
  }
  reset();
  g_autoptr(LcipRun) run = start(test, &counter, &collector, *options);
  wait_for_frames(&collector, 20);
  pthread_mutex_lock(&run->mutex);
  n = ((const LcipGroup *)g_ptr_array_index(run->groups, 0))->n_together;
  pthread_mutex_unlock(&run->mutex);
  atomic_store(&counter.end, TRUE);
  g_assert_true(lcip_run_wait(run, NULL));
  check_collected(&collector, counter.n);
  return n;
}

/* Four frames at once only where much is read, by several streams, and nobody says otherwise. */
static void test_together_when(void) {
  const guint64 mib = 1 << 20;
  g_assert_cmpuint(n_together(192 * mib, &(LcipRunOptions){.streams = 2}), ==, 4);
  g_assert_cmpuint(n_together(191 * mib, &(LcipRunOptions){.streams = 2}), ==, 1);
  g_assert_cmpuint(n_together(192 * mib, &(LcipRunOptions){.streams = 2, .frames_together = 1}), ==,
                   1);
  g_assert_cmpuint(n_together(8 * mib, &(LcipRunOptions){.streams = 2, .frames_together = 3}), ==,
                   3);
}

/* One stream has nobody to share with and goes the ordinary way, which fails here. */
static void test_one_stream(void) {
  g_autoptr(LcipTensor) weights = large_weights();
  g_autoptr(TestPlan) test = swept_plan(weights);
  g_autoptr(GError) error = NULL;
  Counter counter = {.n_end = 3};
  const LcipFeed feed = counter_feed(&counter);
  reset();
  g_assert_null(lcip_run_start_with_feed(&test->plan, &(LcipRunOptions){0}, &feed, &error));
  g_assert_nonnull(strstr(error->message, "found a run"));
  g_assert_cmpint(atomic_load(&n_begun), ==, 0);
}

void add_sweep_tests(void) {
  g_test_add_func("/engine/sweep/turns", test_turns);
  g_test_add_func("/engine/sweep/pass-turns", test_pass_turns);
  g_test_add_func("/engine/sweep/meet", test_meet);
  g_test_add_func("/engine/sweep/alone", test_alone);
  g_test_add_func("/engine/sweep/wait-when", test_wait_when);
  g_test_add_func("/engine/sweep/wait-in-vain", test_wait_in_vain);
  g_test_add_func("/engine/sweep/wait-ends", test_wait_ends);
  g_test_add_func("/engine/sweep/companions", test_companions);
  g_test_add_func("/engine/sweep/companion-fails", test_companion_fails);
  static const Streams streams[] = {{2, 1}, {5, 1}, {1, 2}, {2, 2}, {2, 3}, {2, 4}};
  for (guint i = 0; i < G_N_ELEMENTS(streams); i++) {
    g_autofree char *path =
        g_strdup_printf("/engine/sweep/streams/%u-of-%u", streams[i].streams, streams[i].together);
    g_test_add_data_func(path, &streams[i], test_streams_meet);
  }
  static const Failing failing[] = {{52, 1}, {53, 1}, {52, 2}, {53, 2}};
  for (guint i = 0; i < G_N_ELEMENTS(failing); i++) {
    g_autofree char *path =
        g_strdup_printf("/engine/sweep/failing/%d-of-%u", failing[i].frame, failing[i].together);
    g_test_add_data_func(path, &failing[i], test_stream_fails);
  }
  g_test_add_func("/engine/sweep/stop", test_streams_stop);
  g_test_add_data_func("/engine/sweep/remap", GUINT_TO_POINTER(1), test_streams_remap);
  g_test_add_data_func("/engine/sweep/remap-together", GUINT_TO_POINTER(2), test_streams_remap);
  g_test_add_func("/engine/sweep/together-when", test_together_when);
  g_test_add_func("/engine/sweep/one-stream", test_one_stream);
}
