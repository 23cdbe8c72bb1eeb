#include "config.h"

#include "lcip-cli.h"
#include "lcip-memory.h"

#include <stdlib.h>
#include <sys/resource.h>

/* Frames that are finished together come in a burst: whole rounds of them are measured, or one that
 * ends in a burst would count frames whose time it has not seen. At least MIN_ROUNDS, of the frames
 * that are in flight at a time, and as many before, as warm-up.
 * WARM_UP_SECONDS: at most this much of a benchmark goes by before measuring starts, a fifth of it
 * where that is less. */
#define WARM_UP_SECONDS 1.0
enum { MIN_ROUNDS = 3 };

/* BenchArgs: the command line. All owned. */
typedef struct {
  LcipCliPlanArgs plan;
  int frames_in_flight;
  double seconds;
  gboolean profile;
  gboolean as_json;
} BenchArgs;

static void bench_args_clear(BenchArgs *args) {
  lcip_cli_plan_args_clear(&args->plan);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BenchArgs, bench_args_clear)

/* Bench: a measurement. @lock guards what the run's sink thread writes. */
typedef struct {
  GMutex lock;
  GCond changed;
  /* owned */
  GArray *latencies_ms; /* double, of measured frames */
  guint64 n_delivered;
  gint64 first_us;   /* when the first frame was delivered */
  gint64 settled_us; /* and when memory had settled after it */
  gint64 begin_us;   /* delivery of the last frame of the warm-up: the measurement's start */
  gint64 end_us;     /* delivery of the last frame of the newest whole round */
  gint64 warm_us;    /* what is to go by from then on before measuring starts */
  gint64 load_us;    /* when loading began */
  gint64 ready_us;   /* when the run had started */
  guint round, min_frames;
} Bench;

static void bench_init(Bench *bench) {
  *bench = (Bench){.round = 1};
  g_mutex_init(&bench->lock);
  g_cond_init(&bench->changed);
  bench->latencies_ms = g_array_new(FALSE, FALSE, sizeof(double));
  bench->warm_us = G_MAXINT64 / 2;
}

static void bench_clear(Bench *bench) {
  g_clear_pointer(&bench->latencies_ms, g_array_unref);
  g_cond_clear(&bench->changed);
  g_mutex_clear(&bench->lock);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Bench, bench_clear)

/* Measured, in whole rounds. */
static guint n_frames(const Bench *bench) {
  return bench->latencies_ms->len - bench->latencies_ms->len % bench->round;
}

/* What a run does beside its first frames is done at once, while no other frame can be delivered:
 * measured is a model that has run for a while. */
static void note_first(Bench *bench, gint64 now) {
  bench->first_us = now;
  lcip_memory_settle();
  bench->settled_us = g_get_monotonic_time();
}

static void count_frame(const LcipFrame *frame, gpointer data) {
  Bench *bench = data;
  gint64 now = g_get_monotonic_time();
  g_mutex_lock(&bench->lock);
  if (bench->n_delivered++ == 0)
    note_first(bench, now);
  if (bench->begin_us) {
    double latency_ms = (double)frame->latency_ns / 1e6;
    g_array_append_val(bench->latencies_ms, latency_ms);
    if (bench->latencies_ms->len % bench->round == 0)
      bench->end_us = now;
  } else if (bench->n_delivered >= bench->min_frames && now >= bench->settled_us + bench->warm_us) {
    bench->begin_us = now;
  }
  g_cond_signal(&bench->changed);
  g_mutex_unlock(&bench->lock);
}

/* Sleeps until a frame comes, at most 20 ms; then: is everything measured? */
static gboolean wait_for_frame(Bench *bench, gint64 measure_us) {
  g_mutex_lock(&bench->lock);
  gint64 now = g_get_monotonic_time();
  gboolean over = bench->begin_us && now >= bench->begin_us + measure_us &&
                  n_frames(bench) >= bench->min_frames;
  if (!over)
    g_cond_wait_until(&bench->changed, &bench->lock, now + 20 * G_TIME_SPAN_MILLISECOND);
  g_mutex_unlock(&bench->lock);
  return over;
}

/* Waits until the time is over and enough frames are measured, the run ended or was interrupted.
 * @in_flight: frames at a time. */
static void wait_for_frames(Bench *bench, LcipRun *run, guint in_flight, const BenchArgs *args,
                            GCancellable *cancellable) {
  gint64 warm_us = (gint64)(MIN(args->seconds / 5, WARM_UP_SECONDS) * 1e6);
  g_mutex_lock(&bench->lock);
  bench->round = lcip_run_round(run);
  bench->min_frames = MIN_ROUNDS * MAX(bench->round, in_flight);
  bench->warm_us = warm_us;
  g_mutex_unlock(&bench->lock);
  while (!wait_for_frame(bench, (gint64)(args->seconds * 1e6)))
    if (lcip_run_is_done(run, NULL) || g_cancellable_is_cancelled(cancellable))
      return;
}

static int compare_doubles(gconstpointer a, gconstpointer b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The value below which @share of the sorted values lie (nearest rank). */
static double percentile(const GArray *sorted, double share) {
  guint rank = (guint)(share * (double)sorted->len + 0.5);
  return g_array_index(sorted, double, CLAMP(rank, 1, sorted->len) - 1);
}

static double mean(const GArray *values) {
  double sum = 0;
  for (guint i = 0; i < values->len; i++)
    sum += g_array_index(values, double, i);
  return sum / values->len;
}

static double measured_fps(const Bench *bench) {
  double seconds = (double)(bench->end_us - bench->begin_us) / 1e6;
  return seconds > 0 ? n_frames(bench) / seconds : 0;
}

static gint64 peak_rss_bytes(void) {
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) == 0 ? (gint64)usage.ru_maxrss * 1024 : 0;
}

static void json_latency(LcipCliJson *json, const GArray *sorted) {
  lcip_cli_json_begin_object(json, "latency_ms");
  lcip_cli_json_number(json, "min", g_array_index(sorted, double, 0), 4);
  lcip_cli_json_number(json, "p50", percentile(sorted, 0.50), 4);
  lcip_cli_json_number(json, "p95", percentile(sorted, 0.95), 4);
  lcip_cli_json_number(json, "p99", percentile(sorted, 0.99), 4);
  lcip_cli_json_number(json, "mean", mean(sorted), 4);
  lcip_cli_json_end_object(json);
}

/* Of the CPU lanes together. */
static guint cpu_threads(const LcipPlan *plan) {
  guint n = 0;
  for (guint i = 0; i < lcip_plan_n_lanes(plan); i++)
    n += lcip_plan_lane(plan, i)->threads;
  return n;
}

static void print_json(const char *path, const LcipPlan *plan, const BenchArgs *args,
                       const Bench *bench, const LcipProfile *profile) {
  LcipCliJson json;
  lcip_cli_json_init(&json, stdout, 3);
  lcip_cli_json_begin_object(&json, NULL);
  lcip_cli_json_string(&json, "format", "lcip-bench");
  lcip_cli_json_int(&json, "version", LCIP_CLI_JSON_VERSION);
  lcip_cli_json_string(&json, "model", path);
  lcip_cli_json_string(&json, "mapping", lcip_plan_mapping(plan));
  lcip_cli_json_lanes(&json, plan);
  lcip_cli_json_int(&json, "threads", (gint64)cpu_threads(plan));
  lcip_cli_json_int(&json, "streams", args->plan.streams);
  lcip_cli_json_int(&json, "frames", n_frames(bench));
  lcip_cli_json_number(&json, "seconds", (double)(bench->end_us - bench->begin_us) / 1e6, 6);
  lcip_cli_json_number(&json, "fps", measured_fps(bench), 3);
  json_latency(&json, bench->latencies_ms);
  lcip_cli_json_number(&json, "load_ms", (double)(bench->ready_us - bench->load_us) / 1e3, 3);
  lcip_cli_json_number(&json, "first_inference_ms",
                       (double)(bench->first_us - bench->load_us) / 1e3, 3);
  lcip_cli_json_int(&json, "peak_rss_bytes", peak_rss_bytes());
  if (profile)
    lcip_cli_json_profile(&json, profile);
  lcip_cli_json_end_object(&json);
}

static void print_text(const char *path, const BenchArgs *args, const Bench *bench,
                       const LcipProfile *profile) {
  const GArray *sorted = bench->latencies_ms;
  g_print("%s: %.2f fps over %u frames, %d stream%s\n", path, measured_fps(bench), n_frames(bench),
          args->plan.streams, args->plan.streams == 1 ? "" : "s");
  g_print("latency ms   min %.3f, median %.3f, 95 %% %.3f, 99 %% %.3f, mean %.3f\n",
          g_array_index(sorted, double, 0), percentile(sorted, 0.50), percentile(sorted, 0.95),
          percentile(sorted, 0.99), mean(sorted));
  g_autofree char *memory = g_format_size_full((guint64)peak_rss_bytes(), G_FORMAT_SIZE_IEC_UNITS);
  g_print("load %.1f ms, first inference after %.1f ms, peak memory %s\n",
          (double)(bench->ready_us - bench->load_us) / 1e3,
          (double)(bench->first_us - bench->load_us) / 1e3, memory);
  if (profile)
    lcip_cli_print_profile(profile);
}

/* A picture source is replaced by one picture in memory, so that no camera, file or decoder is
 * measured: the graph is timed from the picture on. */
static gboolean preload_picture(LcipCliInputs *inputs, const LcipGraph *graph, GError **error) {
  int source = lcip_cli_find_source(graph);
  if (source < 0)
    return TRUE;
  g_autoptr(LcipMediaSource) demo = lcip_media_open("demo", LCIP_MEDIA_EVERY_FRAME, error);
  gint64 timestamp_ns = 0;
  g_autoptr(LcipTensor) picture =
      demo ? lcip_media_source_next(demo, &timestamp_ns, NULL, error) : NULL;
  return picture && lcip_cli_inputs_add_tensor(inputs, graph, lcip_graph_actor(graph, source)->id,
                                               picture, "demo picture", error);
}

/* Frames in flight of a stream. One at a time where one lane does all: more would only queue up for
 * it. */
static guint in_flight(const LcipPlan *plan, const BenchArgs *args) {
  guint n_used = 0;
  if (args->frames_in_flight)
    return (guint)args->frames_in_flight;
  for (guint i = 0; i < lcip_plan_n_lanes(plan); i++)
    n_used += lcip_plan_lane(plan, i)->n_steps > 0;
  return n_used <= 1 ? 1 : 2 * n_used;
}

static LcipRun *start(LcipPlan *plan, const LcipCliInputs *inputs, const BenchArgs *args,
                      Bench *bench, GError **error) {
  LcipRunOptions options = {
      .cold = TRUE,
      .cancellable = lcip_cli_watch_signals(),
      .inputs = inputs->tensors,
      .random_inputs = TRUE,
      .frames_in_flight = in_flight(plan, args),
      .streams = (guint)args->plan.streams,
      .frames_together = args->frames_in_flight == 1 ? 1 : 0,
      .profile = args->profile,
      .lane_func = lcip_cli_note_lane,
      .frame_func = count_frame,
      .frame_data = bench,
  };
  LcipRun *run = lcip_run_start(plan, &options, error);
  bench->ready_us = g_get_monotonic_time();
  return run;
}

static gboolean measure(const char *path, LcipPlan *plan, const LcipCliInputs *inputs,
                        const BenchArgs *args, Bench *bench, GError **error) {
  GCancellable *cancellable = lcip_cli_watch_signals();
  g_autoptr(LcipRun) run = start(plan, inputs, args, bench, error);
  if (!run)
    return FALSE;
  wait_for_frames(bench, run, in_flight(plan, args) * (guint)args->plan.streams, args, cancellable);
  g_autoptr(LcipProfile) profile = args->profile ? lcip_run_profile(run) : NULL;
  lcip_run_cancel(run);
  if (!lcip_run_wait(run, error))
    return FALSE;
  if (g_cancellable_is_cancelled(cancellable) || n_frames(bench) < bench->min_frames) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_CANCELLED, "interrupted after %u measured frames",
                bench->latencies_ms->len);
    return FALSE;
  }
  g_array_sort(bench->latencies_ms, compare_doubles);
  if (args->as_json)
    print_json(path, plan, args, bench, profile);
  else
    print_text(path, args, bench, profile);
  return TRUE;
}

static gboolean bench_graph(const char *path, const BenchArgs *args, GError **error) {
  GCancellable *cancellable = lcip_cli_watch_signals();
  g_auto(LcipCliInputs) inputs;
  g_auto(Bench) bench;
  lcip_cli_inputs_init(&inputs);
  bench_init(&bench);
  bench.load_us = g_get_monotonic_time();
  g_autoptr(LcipGraph) graph = lcip_cli_load(path, error);
  if (!graph || !lcip_cli_settle_shapes(graph, args->plan.shapes, NULL, error))
    return FALSE;
  g_autoptr(GHashTable) bindings = lcip_cli_bind_lanes(graph, &args->plan, error);
  if (!bindings || !preload_picture(&inputs, graph, error))
    return FALSE;
  g_autoptr(LcipPlan) plan =
      lcip_cli_plan(path, graph, &args->plan, bindings, &inputs, cancellable, error);
  return plan && measure(path, plan, &inputs, args, &bench, error);
}

static gboolean check_range(const char *option, double value, double min, double max,
                            GError **error) {
  if (value >= min && value <= max)
    return TRUE;
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: expected %g to %g, found %g",
              option, min, max, value);
  return FALSE;
}

static gboolean check_args(const BenchArgs *args, GError **error) {
  return check_range("--seconds", args->seconds, 0.01, 86400, error) &&
         check_range("--threads", args->plan.threads, 0, 1024, error) &&
         check_range("--streams", args->plan.streams, 1, LCIP_CLI_MAX_STREAMS, error) &&
         check_range("--frames-in-flight", args->frames_in_flight, 0, 64, error);
}

static LcipCliExit run(const LcipCliCommand *command, char **argv) {
  g_auto(GStrv) argv_left = g_strdupv(argv);
  g_auto(BenchArgs) args = {.plan.streams = 1, .seconds = 5};
  g_autoptr(GError) error = NULL;
  const GOptionEntry entries[] = {
      {"seconds", 's', 0, G_OPTION_ARG_DOUBLE, &args.seconds, "Measure for S seconds; 5 by default",
       "S"},
      {"threads", 't', 0, G_OPTION_ARG_INT, &args.plan.threads,
       "Threads of every CPU lane; by default as the graph says, and where it leaves them open the "
       "processors, shared out among the streams",
       "N"},
      {"streams", 0, 0, G_OPTION_ARG_INT, &args.plan.streams,
       "Replicas of the whole graph that take frames in turn; 1 by default", "N"},
      {"frames-in-flight", 0, 0, G_OPTION_ARG_INT, &args.frames_in_flight,
       "Frames that a stream works on at a time; by default 2 for each lane, or 1 where one lane "
       "does "
       "all, unless streams read very large weights, then once for 4 frames",
       "N"},
      {"mapping", 'm', 0, G_OPTION_ARG_FILENAME, &args.plan.mapping,
       "Which of the graph's mappings; the active one by default", "NAME"},
      {"lane", 'l', 0, G_OPTION_ARG_FILENAME_ARRAY, &args.plan.lanes,
       "Bind a lane to a device that 'lcip devices' lists", "NAME=DEVICE"},
      LCIP_CLI_SHAPE_OPTION(&args.plan.shapes),
      {"direct", 0, 0, G_OPTION_ARG_NONE, &args.plan.direct,
       "No Winograd convolution: smaller rounding errors, slower", NULL},
      {"winograd-budget", 0, 0, G_OPTION_ARG_INT, &args.plan.winograd_budget_mib,
       "Most MiB for the weights of Winograd convolutions; 512 by default", "MIB"},
      {"no-calibration", 0, 0, G_OPTION_ARG_NONE, &args.plan.no_calibration,
       "Choose kernels by estimate, whatever 'lcip calibrate' has measured", NULL},
      {"profile", 'p', 0, G_OPTION_ARG_NONE, &args.profile, "Print the time of every step and lane",
       NULL},
      {"json", 0, 0, G_OPTION_ARG_NONE, &args.as_json, "Print one JSON document (lcip-bench)",
       NULL},
      G_OPTION_ENTRY_NULL};
  if (!lcip_cli_parse(command, entries, &argv_left, 1, 1))
    return LCIP_CLI_USAGE;
  if (!check_args(&args, &error) || !bench_graph(argv_left[1], &args, &error))
    return args.as_json ? lcip_cli_report_json(command, error) : lcip_cli_report(command, error);
  return lcip_cli_finish(LCIP_CLI_DONE);
}

const LcipCliCommand lcip_cli_bench = {
    .name = "bench",
    .arguments = "GRAPH.xml|MODEL.onnx",
    .summary = "Measure how fast a graph runs",
    .description =
        "Inputs are seeded random values; a graph's picture source is replaced by one demo picture "
        "in memory, so no camera, file or decoder is measured. Measuring starts after a warm-up. "
        "Latency is from a frame's start to its delivery; with several frames in flight it "
        "includes their queueing.\n\n"
        "Examples:\n"
        "  lcip bench model.onnx --threads 1 --profile\n"
        "  lcip bench graphs/blazeface-back.xml --streams 2 --seconds 10 --json",
    .run = run,
};
