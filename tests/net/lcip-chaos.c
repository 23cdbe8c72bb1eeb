#include "config.h"

#include "lcip-io.h"
#include "lcip-media.h"
#include "lcip-run-private.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One end of tests/net/chaos.py: a lossless camera of 30 pictures a second, a graph whose middle is
 * on another host's lane, and a check of every frame: its number, and every bit of its results
 * against those that this machine computes alone.
 *
 *   lcip-chaos --device DEVICE [--frames-in-flight N] [--first P] [--last P] [GRAPH.xml]
 *
 * Prints a line for each frame: "frame NUMBER SCHEDULED_NS LATENCY_NS ok" (or lost, repeated,
 * wrong), times by CLOCK_MONOTONIC, and each 50 ms "lane STATE RESULTS REASON". Obeys lines on
 * standard input: "memory" prints "memory BYTES", "slow" makes the next frames pile up at the sink,
 * "end" ends the camera; then the frames in flight are awaited and it prints "end ISSUED
 * DELIVERED".
 */

#define N_PICTURES 32
#define FRAME_NS (G_GINT64_CONSTANT(1000000000) / 30)
#define REMOTE_LANE "Worker"
/* Longer than the time from one picture to the next. */
#define SLOW_US 60000
#define N_SLOW 50

typedef struct {
  char *device;
  int frames_in_flight;
  double first, last;
} Args;

/* Camera: picture n is due at @start_ns + n * FRAME_NS, and never dropped. */
typedef struct {
  LcipTensor *pictures[N_PICTURES];
  gint64 start_ns;
  _Atomic guint64 n_issued;
  _Atomic gboolean end;
} Camera;

/* Checker: @expected: per picture a GPtrArray of LcipTensor; written by the run's sink thread. */
typedef struct {
  Camera *camera;
  GPtrArray *expected[N_PICTURES];
  guint64 next;
  guint64 n_delivered, n_bad;
  _Atomic guint n_slow; /* frames that take SLOW_US more, so that others pile up */
} Checker;

/* ---- camera ---- */

static gboolean fill_camera(Camera *camera, GError **error) {
  g_autoptr(LcipMediaSource) demo = lcip_media_open("demo", LCIP_MEDIA_EVERY_FRAME, error);
  gint64 timestamp_ns;
  for (guint i = 0; demo && i < N_PICTURES; i++) {
    camera->pictures[i] = lcip_media_source_next(demo, &timestamp_ns, NULL, error);
    if (!camera->pictures[i])
      return FALSE;
  }
  return demo != NULL;
}

static LcipTensor *camera_next(gpointer data, gint64 *timestamp_ns, GCancellable *cancellable,
                               GError **error) {
  Camera *camera = data;
  const guint64 n = atomic_load(&camera->n_issued);
  *timestamp_ns = camera->start_ns + (gint64)n * FRAME_NS;
  const gint64 pause_ns = *timestamp_ns - lcip_now_ns();
  if (pause_ns > 0)
    g_usleep((gulong)(pause_ns / 1000));
  if (atomic_load(&camera->end))
    return NULL;
  atomic_store(&camera->n_issued, n + 1);
  return lcip_tensor_ref(camera->pictures[n % N_PICTURES]);
}

/* As fast as they are taken, once each: for the expected results. */
static LcipTensor *album_next(gpointer data, gint64 *timestamp_ns, GCancellable *cancellable,
                              GError **error) {
  Camera *camera = data;
  const guint64 n = atomic_fetch_add(&camera->n_issued, 1);
  *timestamp_ns = lcip_now_ns();
  return lcip_tensor_ref(camera->pictures[n % N_PICTURES]);
}

/* ---- checking ---- */

static LcipTensor *copy_tensor(const LcipTensor *tensor) {
  LcipTensorSpec spec = *lcip_tensor_get_spec(tensor);
  spec.shape = *lcip_tensor_get_shape(tensor);
  return lcip_tensor_new_from_data(&spec, lcip_tensor_get_data(tensor));
}

static void keep_expected(const LcipFrame *frame, gpointer data) {
  Checker *checker = data;
  GPtrArray *values = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_tensor_unref);
  for (guint i = 0; i < frame->n_values; i++)
    g_ptr_array_add(values, copy_tensor(frame->values[i].tensor));
  checker->expected[frame->number % N_PICTURES] = values;
}

static gboolean tensors_equal(const LcipTensor *a, const LcipTensor *b) {
  LcipTensorSpec spec = *lcip_tensor_get_spec(a);
  gsize size_bytes;
  spec.shape = *lcip_tensor_get_shape(a);
  return lcip_shape_equal(&spec.shape, lcip_tensor_get_shape(b)) &&
         lcip_tensor_spec_bytes(&spec, &size_bytes) &&
         memcmp(lcip_tensor_get_data(a), lcip_tensor_get_data(b), size_bytes) == 0;
}

static gboolean frame_is_right(const Checker *checker, const LcipFrame *frame) {
  const GPtrArray *expected = checker->expected[frame->number % N_PICTURES];
  gboolean ok = frame->n_values == expected->len;
  for (guint i = 0; ok && i < expected->len; i++)
    ok = tensors_equal(frame->values[i].tensor, g_ptr_array_index(expected, i));
  return ok;
}

static void check_frame(const LcipFrame *frame, gpointer data) {
  Checker *checker = data;
  const char *verdict = "ok";
  if (frame->number != checker->next)
    verdict = frame->number < checker->next ? "repeated" : "lost";
  else if (!frame_is_right(checker, frame))
    verdict = "wrong";
  if (strcmp(verdict, "ok") != 0)
    checker->n_bad++;
  checker->next = frame->number + 1;
  checker->n_delivered++;
  if (atomic_load(&checker->n_slow) > 0) {
    atomic_fetch_sub(&checker->n_slow, 1);
    g_usleep(SLOW_US);
  }
  g_print("frame %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT " %" G_GINT64_FORMAT " %s\n",
          frame->number, frame->timestamp_ns, frame->latency_ns, verdict);
}

/* ---- the graph ---- */

/* Actors between the shares @first and @last of the topological order go to the worker's lane. */
static guint cut_graph(LcipGraph *graph, const Args *args) {
  const gboolean is_local = strcmp(args->device, "cpu") == 0; /* to try this program itself */
  const LcipLaneKind kind = is_local ? LCIP_LANE_CPU : LCIP_LANE_REMOTE;
  lcip_graph_ensure_defaults(graph);
  LcipMapping *mapping = lcip_graph_add_mapping(graph, "chaos");
  const char *home = lcip_graph_first_cpu_lane(graph)->name;
  lcip_graph_add_lane(graph, REMOTE_LANE, kind, 1, NULL);
  g_hash_table_insert(mapping->fallbacks, g_strdup(REMOTE_LANE), g_strdup(home));
  g_autofree int *order = lcip_graph_order(graph, NULL);
  const guint n = graph->actors->len;
  guint moved = 0;
  for (guint i = (guint)(args->first * n); order && i < (guint)(args->last * n); i++) {
    if (!lcip_lane_can_run(graph, order[i], kind, NULL))
      continue;
    lcip_mapping_assign(mapping, lcip_graph_actor(graph, order[i])->id, REMOTE_LANE);
    moved++;
  }
  return moved;
}

static LcipPlan *make_plan(LcipGraph *graph, const Args *args, const char *mapping,
                           const LcipTensor *picture, GError **error) {
  g_autoptr(GHashTable) sizes = g_hash_table_new(g_str_hash, g_str_equal);
  g_autoptr(GHashTable) bindings = g_hash_table_new(g_str_hash, g_str_equal);
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  for (guint i = 0; i < graph->actors->len; i++) {
    LcipActor *actor = lcip_graph_actor(graph, (int)i);
    if (actor->op && (actor->op->flags & LCIP_OP_SOURCE))
      g_hash_table_insert(sizes, actor->id, (gpointer)lcip_tensor_get_shape(picture));
  }
  if (lcip_graph_find_lane(graph, REMOTE_LANE))
    g_hash_table_insert(bindings, (gpointer)REMOTE_LANE, args->device);
  const LcipPlanOptions options = {.mapping = mapping,
                                   .bindings = bindings,
                                   .source_sizes = sizes,
                                   .pinned = TRUE,
                                   .threads = 1};
  LcipPlan *plan = lcip_plan_new(graph, &options, problems, NULL, error);
  for (guint i = 0; !plan && i < problems->len; i++)
    g_prefix_error(error, "%s; ", ((LcipProblem *)g_ptr_array_index(problems, i))->message);
  return plan;
}

static gboolean compute_expected(LcipGraph *graph, const Args *args, Camera *camera,
                                 Checker *checker, GError **error) {
  g_autoptr(LcipPlan) plan = make_plan(graph, args, NULL, camera->pictures[0], error);
  const LcipFeed feed = {.next = album_next, .data = camera};
  const LcipRunOptions options = {
      .n_frames = N_PICTURES, .frame_func = keep_expected, .frame_data = checker};
  g_autoptr(LcipRun) run = plan ? lcip_run_start_with_feed(plan, &options, &feed, error) : NULL;
  return run && lcip_run_wait(run, error);
}

/* ---- the run ---- */

static gint64 resident_bytes(void) {
  long long total = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  if (!file || fscanf(file, "%lld %lld", &total, &resident) != 2)
    resident = 0;
  if (file)
    fclose(file);
  return resident * sysconf(_SC_PAGESIZE);
}

/* Watch: of the worker's lane while the run can't end. */
typedef struct {
  LcipRun *run;
  _Atomic gboolean stop;
} Watch;

static gpointer watch_lane(gpointer data) {
  Watch *watch = data;
  g_autoptr(LcipPlan) plan = lcip_run_plan(watch->run);
  guint lane = 0;
  while (!g_str_equal(lcip_plan_lane(plan, lane)->name, REMOTE_LANE))
    lane++;
  while (!atomic_load(&watch->stop)) {
    g_auto(LcipLinkStatus) status = {0};
    if (lcip_run_lane_status(watch->run, lane, &status))
      g_print("lane %s %" G_GUINT64_FORMAT " %s\n", lcip_link_state_name(status.state),
              status.results, status.reason ? status.reason : "");
    g_usleep(50000);
  }
  return NULL;
}

static void obey(Checker *checker) {
  char line[64];
  while (fgets(line, sizeof line, stdin) && strcmp(line, "end\n") != 0) {
    if (strcmp(line, "slow\n") == 0)
      atomic_store(&checker->n_slow, N_SLOW);
    if (strcmp(line, "memory\n") != 0)
      continue;
    malloc_trim(0);
    g_print("memory %" G_GINT64_FORMAT "\n", resident_bytes());
  }
}

static gboolean run_cut(LcipPlan *plan, const Args *args, Camera *camera, Checker *checker,
                        GError **error) {
  const LcipFeed feed = {.next = camera_next, .is_live = TRUE, .data = camera};
  const LcipRunOptions options = {.frames_in_flight = (guint)args->frames_in_flight,
                                  .profile = TRUE,
                                  .frame_func = check_frame,
                                  .frame_data = checker};
  atomic_store(&camera->n_issued, 0);
  camera->start_ns = lcip_now_ns() + G_GINT64_CONSTANT(1000000000);
  g_autoptr(LcipRun) run = lcip_run_start_with_feed(plan, &options, &feed, error);
  if (!run)
    return FALSE;
  Watch watch = {.run = run};
  GThread *watcher = g_thread_new("lane", watch_lane, &watch);
  obey(checker);
  atomic_store(&watch.stop, TRUE);
  g_thread_join(watcher);
  atomic_store(&camera->end, TRUE);
  const gboolean ok = lcip_run_wait(run, error);
  g_print("end %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", atomic_load(&camera->n_issued),
          checker->n_delivered);
  return ok;
}

static gboolean chaos(const char *path, const Args *args, Camera *camera, Checker *checker,
                      GError **error) {
  g_autoptr(LcipGraph) whole = lcip_graph_load(path, NULL, error);
  if (!whole || !fill_camera(camera, error) ||
      !compute_expected(whole, args, camera, checker, error))
    return FALSE;
  g_autoptr(LcipGraph) graph = lcip_graph_copy(whole);
  const guint moved = cut_graph(graph, args);
  g_autoptr(LcipPlan) plan = make_plan(graph, args, "chaos", camera->pictures[0], error);
  if (!plan)
    return FALSE;
  gsize cut_bytes = 0;
  for (guint i = 0; i < graph->edges->len; i++)
    cut_bytes += lcip_plan_edge_bytes(plan, i);
  g_print("cut %u of %u actors, %" G_GSIZE_FORMAT " bytes a frame\n", moved, graph->actors->len,
          cut_bytes);
  return run_cut(plan, args, camera, checker, error);
}

static void clear(Camera *camera, Checker *checker) {
  for (guint i = 0; i < N_PICTURES; i++) {
    g_clear_pointer(&camera->pictures[i], lcip_tensor_unref);
    g_clear_pointer(&checker->expected[i], g_ptr_array_unref);
  }
}

int main(int argc, char **argv) {
  Args args = {.frames_in_flight = 24, .first = 0.7, .last = 0.95};
  Camera camera = {0};
  Checker checker = {.camera = &camera};
  g_autoptr(GError) error = NULL;
  const GOptionEntry entries[] = {
      {"device", 0, 0, G_OPTION_ARG_STRING, &args.device, "Of the worker's lane", "DEVICE"},
      {"frames-in-flight", 0, 0, G_OPTION_ARG_INT, &args.frames_in_flight, "24 by default", "N"},
      {"first", 0, 0, G_OPTION_ARG_DOUBLE, &args.first, "Share of actors before the cut", "P"},
      {"last", 0, 0, G_OPTION_ARG_DOUBLE, &args.last, "Share of actors up to its end", "P"},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GOptionContext) context = g_option_context_new("[GRAPH.xml]");
  g_option_context_add_main_entries(context, entries, NULL);
  if (!g_option_context_parse(context, &argc, &argv, &error) || argc > 2 || !args.device ||
      args.frames_in_flight < 1 || !(args.first >= 0 && args.last <= 1)) {
    g_printerr("lcip-chaos: %s\n", error ? error->message : "wrong arguments; see --help");
    return 2;
  }
  g_autofree char *path = argc > 1 ? g_strdup(argv[1]) : lcip_data_path("blazeface-back.xml");
  setvbuf(stdout, NULL, _IOLBF, 0);
  lcip_runtime_compact_memory(); /* as the editor does */
  const gboolean ok = chaos(path, &args, &camera, &checker, &error) && checker.n_bad == 0;
  if (!ok)
    g_printerr("lcip-chaos: %s\n", error ? error->message : "frames were lost or wrong");
  clear(&camera, &checker);
  g_free(args.device);
  return ok ? 0 : 1;
}
