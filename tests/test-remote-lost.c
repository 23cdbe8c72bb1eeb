#include "config.h"
#include "test-remote.h"

#include "lcip-io.h"
#include "lcip-remote-device.h"
#include "lcip-test-relay.h"

#include <signal.h>

/* Workers that are lost and come back. */

/* No frame is lost, none comes twice, all are right, and the actors return. */
static void test_killed(void) {
  LcipTestWorker worker = lcip_test_worker_start("tcp://127.0.0.1:*");
  g_autoptr(LcipGraph) graph = make_graph(6);
  g_auto(Frames) frames;
  frames_init(&frames);
  g_autoptr(LcipPlan) plan = make_plan(graph, "split", worker.address);
  g_autoptr(LcipRun) run = start_run(plan, &frames);
  guint n = 0;
  for (guint round = 1; round <= 3; round++) {
    wait_for_lane(&frames, round, round - 1);
    push_until_answered(run, &n, 10);
    lcip_test_worker_kill(&worker, round % 2 ? SIGKILL : SIGTERM);
    for (guint i = 0; i < 10; i++)
      push(run, n++);
    wait_for_lane(&frames, round, round);
    lcip_test_worker_restart(&worker);
  }
  wait_for_lane(&frames, 4, 3);
  push_until_answered(run, &n, 5);
  finish(run);
  check_frames(graph, &frames, n);
  lcip_test_worker_end(&worker);
}

/* A worker that is stopped does not answer: the deadline passes, or nothing is heard. */
static void test_stopped(void) {
  LcipTestWorker worker = lcip_test_worker_start("tcp://127.0.0.1:*");
  g_autoptr(LcipGraph) graph = make_graph(6);
  g_auto(Frames) frames;
  frames_init(&frames);
  g_autoptr(LcipPlan) plan = make_plan(graph, "split", worker.address);
  g_autoptr(LcipRun) run = start_run(plan, &frames);
  wait_for_lane(&frames, 1, 0);
  guint n = 0;
  for (; n < 5; n++)
    push(run, n);
  g_subprocess_send_signal(worker.process, SIGSTOP);
  for (; n < 20; n++)
    push(run, n);
  wait_for_lane(&frames, 1, 1);
  g_subprocess_send_signal(worker.process, SIGCONT);
  wait_for_lane(&frames, 2, 1);
  push_until_answered(run, &n, 5);
  finish(run);
  check_frames(graph, &frames, n);
  lcip_test_worker_end(&worker);
}

/* ---- the deadline of a frame ---- */

static void test_options(void) {
  static const struct {
    const char *text, *address, *device;
    gboolean f16;
    gint64 deadline_ms;
  } good[] = {
      {"tcp://h:1", "tcp://h:1", "cpu", FALSE, 0},
      {"tcp://h:1?deadline=5s", "tcp://h:1", "cpu", FALSE, 5000},
      {"tcp://[::1]:1/opencl:0?f16", "tcp://[::1]:1", "opencl:0", TRUE, 0},
      {"mpi:2/cpu?deadline=0.25s,f16", "mpi:2", "cpu", TRUE, 250},
      {"tcp://h:1/cpu?f16,deadline=40ms", "tcp://h:1", "cpu", TRUE, 40},
  };
  static const char *const bad[] = {
      "?f16=1",           "?f32",           "?f16,",         "?deadline",      "?deadline=",
      "?deadline=5",      "?deadline=5min", "?deadline=9ms", "?deadline=601s", "?deadline=-1s",
      "?f16&deadline=5s", "?deadline=nans", "?deadline=1e9s"};
  for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
    g_auto(LcipRemoteId) id = {0};
    g_assert_true(lcip_remote_id_parse(good[i].text, &id, NULL));
    g_assert_cmpstr(id.address, ==, good[i].address);
    g_assert_cmpstr(id.device, ==, good[i].device);
    g_assert_cmpint(id.f16, ==, good[i].f16);
    g_assert_cmpint(id.deadline_ns, ==, good[i].deadline_ms * 1000000);
  }
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_strconcat("tcp://h:1/cpu", bad[i], NULL);
    LcipRemoteId id;
    g_assert_false(lcip_remote_id_parse(text, &id, &error));
    g_assert_nonnull(strstr(error->message, "deadline=TIME"));
    g_clear_error(&error);
    g_assert_null(lcip_remote_device_find(text, &error));
    g_assert_nonnull(strstr(error->message, "deadline=TIME"));
  }
}

/* Well before the second of silence. */
static void test_deadline(void) {
  LcipTestWorker worker = lcip_test_worker_start("tcp://127.0.0.1:*");
  g_autofree char *device = g_strconcat(worker.address, "/cpu?deadline=200ms", NULL);
  g_autoptr(LcipGraph) graph = make_graph(4);
  g_auto(Frames) frames;
  frames_init(&frames);
  g_autoptr(LcipPlan) plan = make_plan(graph, "split", device);
  g_autoptr(LcipRun) run = start_run(plan, &frames);
  wait_for_lane(&frames, 1, 0);
  g_subprocess_send_signal(worker.process, SIGSTOP);
  guint n = 0;
  for (; n < 5; n++)
    push(run, n);
  wait_for_lane(&frames, 1, 1);
  g_assert_nonnull(strstr(frames.reasons->pdata[0], "was not answered in 0.2 s"));
  g_subprocess_send_signal(worker.process, SIGCONT);
  wait_for_lane(&frames, 2, 1);
  finish(run);
  check_frames(graph, &frames, n);
  lcip_test_worker_end(&worker);
}

/* A link on which a frame takes some 0.8 s, and four in a row longer than the usual deadline. */
static void test_slow_link(void) {
  const LcipWorkerLimits limits = {0};
  g_autoptr(Worker) worker = worker_start(&limits);
  g_autoptr(LcipTestRelay) relay = lcip_test_relay_new(worker->address);
  lcip_test_pair(lcip_test_relay_address(relay));
  g_autofree char *device = g_strconcat(lcip_test_relay_address(relay), "?deadline=20s", NULL);
  g_autoptr(LcipGraph) graph = make_graph(4);
  g_auto(Frames) frames;
  frames_init(&frames);
  g_autoptr(LcipPlan) plan = make_plan(graph, "split", device);
  g_autoptr(LcipRun) run = start_run(plan, &frames);
  wait_for_lane(&frames, 1, 0);
  lcip_test_relay_set_rate(relay, 24000);
  const guint n = 5;
  for (guint i = 0; i < n; i++)
    push(run, i);
  wait_for_results(run, n);
  finish(run);
  g_assert_cmpuint(frames.reasons->len, ==, 0);
  check_frames(graph, &frames, n);
}

/* ---- a start that is broken off ---- */

/* Starts wait for a worker up to seconds: all must end when they are cancelled, and of some one
 * must do so as quickly as is promised, however busy the machine is. */
#define TRIES 8
#define QUICK_US (200 * 1000)

typedef struct {
  LcipPlan *plan;
  GCancellable *cancellable;
  GError *error;
} Start;

static gpointer start_main(gpointer data) {
  Start *start = data;
  const LcipRunOptions options = {.pushed = TRUE, .cancellable = start->cancellable};
  g_autoptr(LcipRun) run = lcip_run_start(start->plan, &options, &start->error);
  g_assert_null(run);
  return NULL;
}

static gint64 cancel_start(LcipPlan *plan, LcipTestRelay *relay, guint n) {
  g_autoptr(GCancellable) cancellable = g_cancellable_new();
  Start start = {.plan = plan, .cancellable = cancellable};
  GThread *thread = g_thread_new("start", start_main, &start);
  lcip_test_relay_wait(relay, n);
  const gint64 before_us = g_get_monotonic_time();
  g_cancellable_cancel(cancellable);
  g_thread_join(thread);
  g_assert_error(start.error, LCIP_ERROR, LCIP_ERROR_CANCELLED);
  g_assert_nonnull(strstr(start.error->message, "Desk"));
  g_clear_error(&start.error);
  return g_get_monotonic_time() - before_us;
}

static void test_cancel_start(void) {
  g_autoptr(LcipTestRelay) silent = lcip_test_relay_new(NULL);
  lcip_test_pair(lcip_test_relay_address(silent));
  g_autoptr(LcipGraph) graph = make_graph(2);
  g_autoptr(LcipPlan) plan = make_plan(graph, "split", lcip_test_relay_address(silent));
  gint64 best_us = G_MAXINT64;
  for (guint i = 1; i <= TRIES && best_us > QUICK_US; i++) {
    const gint64 us = cancel_start(plan, silent, i);
    best_us = MIN(best_us, us);
  }
  g_test_message("%" G_GINT64_FORMAT " us", best_us);
  g_assert_cmpint(best_us, <=, QUICK_US);
}

/* From the signal to the end of the command. */
static gint64 interrupt_run(const char *path, LcipTestRelay *relay, guint n) {
  g_autoptr(GError) error = NULL;
  g_autofree char *lane =
      g_strconcat("Desk=", lcip_test_relay_address(relay), "/cpu?deadline=5s", NULL);
  g_autofree char *said = NULL;
  g_autoptr(GSubprocess) process = g_subprocess_new(
      G_SUBPROCESS_FLAGS_STDERR_PIPE | G_SUBPROCESS_FLAGS_STDOUT_SILENCE, &error,
      g_getenv("LCIP_CLI"), "run", path, "--mapping", "split", "--lane", lane, NULL);
  g_assert_no_error(error);
  lcip_test_relay_wait(relay, n);
  const gint64 before_us = g_get_monotonic_time();
  g_subprocess_send_signal(process, SIGINT);
  g_assert_true(g_subprocess_communicate_utf8(process, NULL, NULL, NULL, &said, NULL));
  g_assert_true(g_subprocess_get_if_exited(process));
  g_assert_cmpint(g_subprocess_get_exit_status(process), ==, 1);
  g_assert_nonnull(strstr(said, "cancelled while lane Desk connects"));
  return g_get_monotonic_time() - before_us;
}

static void test_interrupt_start(void) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipTestRelay) silent = lcip_test_relay_new(NULL);
  lcip_test_pair(lcip_test_relay_address(silent));
  g_autoptr(LcipGraph) graph = make_graph(2);
  g_autofree char *path = g_build_filename(g_get_user_cache_dir(), "graph.xml", NULL);
  g_assert_true(lcip_xml_write(graph, path, &error));
  gint64 best_us = G_MAXINT64;
  for (guint i = 1; i <= TRIES && best_us > QUICK_US; i++) {
    const gint64 us = interrupt_run(path, silent, i);
    best_us = MIN(best_us, us);
  }
  g_test_message("%" G_GINT64_FORMAT " us", best_us);
  g_assert_cmpint(best_us, <=, QUICK_US);
}

void add_lost_tests(void) {
  g_test_add_func("/remote/killed", test_killed);
  g_test_add_func("/remote/stopped", test_stopped);
  g_test_add_func("/remote/options", test_options);
  g_test_add_func("/remote/deadline", test_deadline);
  g_test_add_func("/remote/slow-link", test_slow_link);
  g_test_add_func("/remote/cancel-start", test_cancel_start);
  g_test_add_func("/remote/interrupt-start", test_interrupt_start);
}
