#include "config.h"

#include "lcip-cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* NOT_GIVEN: the value of a number that the command line does not have; nobody would type it. */
enum { NOT_GIVEN = G_MININT };

/* RunArgs: the command line. All owned. */
typedef struct {
  LcipCliPlanArgs plan;
  char **inputs;
  char *output_dir;
  char *source;
  int n_frames;         /* NOT_GIVEN, or from 1 */
  int frames_in_flight; /* NOT_GIVEN, or from 1 */
  gboolean profile;
  char *trace;
  gboolean as_json;
  char *results;
} RunArgs;

static void run_args_clear(RunArgs *args) {
  lcip_cli_plan_args_clear(&args->plan);
  g_clear_pointer(&args->inputs, g_strfreev);
  g_clear_pointer(&args->output_dir, g_free);
  g_clear_pointer(&args->source, g_free);
  g_clear_pointer(&args->trace, g_free);
  g_clear_pointer(&args->results, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RunArgs, run_args_clear)

/* Delivery: what is done with finished frames. Used by the run's sink thread until the run has
 * ended, then by the main thread. */
typedef struct {
  /* owned */
  GHashTable *outputs; /* graph output's name -> LcipTensor of the newest frame */
  FILE *results;
  GError *error;
  guint64 n_frames;
  gint64 start_us;
  gint64 end_us;
  /* borrowed */
  const LcipGraph *graph;
  const RunArgs *args;
  GCancellable *cancellable;
  LcipCliJson *json;
} Delivery;

static void delivery_clear(Delivery *delivery) {
  g_clear_pointer(&delivery->outputs, g_hash_table_unref);
  g_clear_pointer(&delivery->results, fclose);
  g_clear_error(&delivery->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Delivery, delivery_clear)

static gboolean fail_file(const char *path, GError **error) {
  int code = errno;
  g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(code), "%s: %s", path, g_strerror(code));
  return FALSE;
}

/* The trace is written after the run: a folder that can't be written to is told before it. */
static gboolean check_trace(const char *path, GError **error) {
  g_autofree char *folder = g_path_get_dirname(path);
  if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
    errno = EISDIR;
    return fail_file(path, error);
  }
  const char *asked = g_file_test(path, G_FILE_TEST_EXISTS) ? path : folder;
  return access(asked, W_OK) == 0 || fail_file(path, error);
}

static gboolean delivery_open(Delivery *delivery, const LcipGraph *graph, const RunArgs *args,
                              GCancellable *cancellable, LcipCliJson *json, GError **error) {
  delivery->graph = graph;
  delivery->args = args;
  delivery->cancellable = cancellable;
  delivery->json = args->as_json ? json : NULL;
  delivery->outputs =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)lcip_tensor_unref);
  if (args->trace && !check_trace(args->trace, error))
    return FALSE;
  if (args->output_dir && g_mkdir_with_parents(args->output_dir, 0777) != 0)
    return fail_file(args->output_dir, error);
  if (args->results && !(delivery->results = fopen(args->results, "we")))
    return fail_file(args->results, error);
  return TRUE;
}

/* The first picture sink writes frame-000000.png, others add their id. Transfer full. */
static char *picture_path(const Delivery *delivery, const LcipFrame *frame,
                          const LcipFrameValue *value, gboolean first) {
  g_autofree char *name =
      first
          ? g_strdup_printf("frame-%06" G_GUINT64_FORMAT ".png", frame->number)
          : g_strdup_printf("frame-%06" G_GUINT64_FORMAT "-%s.png", frame->number, value->actor_id);
  return g_build_filename(delivery->args->output_dir, name, NULL);
}

/* Writes the pictures of @frame; returns the first one's path, or NULL. */
static char *write_pictures(Delivery *delivery, const LcipFrame *frame, GError **error) {
  char *path = NULL;
  for (guint i = 0; i < frame->n_values; i++) {
    const LcipFrameValue *value = &frame->values[i];
    if (!value->actor_id || g_strcmp0(value->op_name, "PictureSink") != 0)
      continue;
    g_autofree char *file = picture_path(delivery, frame, value, path == NULL);
    if (!lcip_picture_save(value->tensor, file, error))
      break;
    if (!path)
      path = g_steal_pointer(&file);
  }
  return path;
}

static void keep_outputs(Delivery *delivery, const LcipFrame *frame) {
  for (guint i = 0; i < frame->n_values; i++)
    if (!frame->values[i].actor_id)
      g_hash_table_replace(delivery->outputs, g_strdup(frame->values[i].name),
                           lcip_tensor_ref(frame->values[i].tensor));
}

static gboolean write_results(Delivery *delivery, const LcipFrame *frame, const char *picture,
                              GError **error) {
  if (!delivery->results)
    return TRUE;
  LcipCliJson json;
  lcip_cli_json_init(&json, delivery->results, 0);
  lcip_cli_json_frame(&json, delivery->graph, frame, picture);
  return fflush(delivery->results) == 0 || fail_file(delivery->args->results, error);
}

static void deliver(const LcipFrame *frame, gpointer data) {
  Delivery *delivery = data;
  g_autofree char *picture = NULL;
  if (delivery->error)
    return;
  if (delivery->args->output_dir) {
    keep_outputs(delivery, frame);
    picture = write_pictures(delivery, frame, &delivery->error);
  }
  if (delivery->json)
    lcip_cli_json_frame(delivery->json, delivery->graph, frame, picture);
  else
    lcip_cli_print_frame(delivery->graph, frame, picture);
  if (!delivery->error)
    write_results(delivery, frame, picture, &delivery->error);
  delivery->n_frames++;
  delivery->end_us = g_get_monotonic_time();
  /* Whoever reads along sees each frame when it is there. */
  if (delivery->error || fflush(stdout) != 0)
    g_cancellable_cancel(delivery->cancellable);
}

/* Two outputs whose names differ only in characters that file names don't keep would overwrite each
 * other. */
static gboolean check_output_names(const LcipGraph *graph, GError **error) {
  g_autoptr(GHashTable) files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < graph->outputs->len; i++) {
    LcipGraphPort *port = g_ptr_array_index(graph->outputs, i);
    g_autofree char *file = lcip_output_filename(port->name);
    const char *other = g_hash_table_lookup(files, file);
    if (other) {
      g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID,
                  "--output: outputs '%s' and '%s' would both be written to %s", other, port->name,
                  file);
      return FALSE;
    }
    g_hash_table_insert(files, g_steal_pointer(&file), port->name);
  }
  return TRUE;
}

static gboolean write_outputs(const Delivery *delivery, GError **error) {
  GHashTableIter iter;
  gpointer name, tensor;
  g_hash_table_iter_init(&iter, delivery->outputs);
  while (g_hash_table_iter_next(&iter, &name, &tensor)) {
    g_autofree char *file = lcip_output_filename(name);
    g_autofree char *path = g_build_filename(delivery->args->output_dir, file, NULL);
    if (!lcip_npy_write(tensor, path, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean open_inputs(LcipCliInputs *inputs, const LcipGraph *graph, const RunArgs *args,
                            GError **error) {
  for (guint i = 0; args->inputs && args->inputs[i]; i++)
    if (!lcip_cli_inputs_add(inputs, graph, args->inputs[i], error))
      return FALSE;
  for (guint i = 0; i < graph->inputs->len; i++) {
    const LcipGraphPort *port = g_ptr_array_index(graph->inputs, i);
    if (!g_hash_table_contains(inputs->tensors, port->name))
      lcip_cli_note("input '%s' is not given: it gets seeded random values", port->name);
  }
  int source = lcip_cli_find_source(graph);
  const char *id = source < 0 ? NULL : lcip_graph_actor(graph, source)->id;
  gboolean given = id && g_hash_table_contains(inputs->tensors, id);
  if (given && args->source) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--source %s and --input %s=... both give the pictures of '%s'", args->source, id,
                id);
    return FALSE;
  }
  if (args->source)
    return lcip_cli_inputs_open(inputs, graph, args->source, error);
  if (source < 0 || given)
    return TRUE;
  lcip_cli_note("no --source: using the demo picture");
  return lcip_cli_inputs_open(inputs, graph, "demo", error);
}

static guint64 count_frames(const RunArgs *args, const LcipCliInputs *inputs) {
  if (args->n_frames != NOT_GIVEN)
    return (guint64)args->n_frames;
  return inputs->source ? 0 : 1;
}

/* Who limits the frames in flight limits those of all streams: they take one stream. */
static int choose_streams(const LcipGraph *graph, const RunArgs *args,
                          const LcipCliInputs *inputs) {
  const guint64 asked = count_frames(args, inputs);
  const guint64 there = inputs->source ? lcip_media_source_n_frames(inputs->source) : 0;
  if (args->plan.streams != NOT_GIVEN)
    return args->plan.streams;
  if (args->frames_in_flight != NOT_GIVEN)
    return 1;
  return (int)lcip_cli_choose_streams(graph, args->plan.mapping, inputs->source,
                                      asked && there ? MIN(asked, there) : MAX(asked, there));
}

static void json_head(LcipCliJson *json, const char *path, const LcipPlan *plan,
                      const LcipCliInputs *inputs, int streams) {
  lcip_cli_json_begin_object(json, NULL);
  lcip_cli_json_string(json, "format", "lcip-run");
  lcip_cli_json_int(json, "version", LCIP_CLI_JSON_VERSION);
  lcip_cli_json_string(json, "file", path);
  lcip_cli_json_string(json, "mapping", lcip_plan_mapping(plan));
  lcip_cli_json_string(json, "source",
                       inputs->source ? lcip_media_source_name(inputs->source) : NULL);
  lcip_cli_json_lanes(json, plan);
  lcip_cli_json_int(json, "streams", streams);
  lcip_cli_json_begin_array(json, "frames");
}

static double elapsed_seconds(const Delivery *delivery) {
  return delivery->n_frames ? (double)(delivery->end_us - delivery->start_us) / 1e6 : 0;
}

static void json_tail(LcipCliJson *json, const Delivery *delivery, const LcipCliInputs *inputs,
                      const LcipProfile *profile, const GError *error) {
  double seconds = elapsed_seconds(delivery);
  lcip_cli_json_end_array(json);
  lcip_cli_json_begin_object(json, "summary");
  lcip_cli_json_int(json, "frames", (gint64)delivery->n_frames);
  lcip_cli_json_number(json, "seconds", seconds, 6);
  lcip_cli_json_number(json, "fps", seconds > 0 ? (double)delivery->n_frames / seconds : 0, 2);
  lcip_cli_json_int(json, "source_drops",
                    inputs->source ? (gint64)lcip_media_source_drops(inputs->source) : 0);
  if (profile)
    lcip_cli_json_times(json, "latency_ms", &profile->latency);
  lcip_cli_json_end_object(json);
  if (profile && delivery->args->profile)
    lcip_cli_json_profile(json, profile);
  if (error)
    lcip_cli_json_string(json, "error", error->message);
  lcip_cli_json_end_object(json);
}

static void print_summary(const Delivery *delivery, const LcipCliInputs *inputs,
                          const LcipProfile *profile) {
  double seconds = elapsed_seconds(delivery);
  g_print("%" G_GUINT64_FORMAT " frame%s in %.3f s", delivery->n_frames,
          delivery->n_frames == 1 ? "" : "s", seconds);
  if (delivery->n_frames > 1 && seconds > 0)
    g_print(", %.1f fps", (double)delivery->n_frames / seconds);
  if (profile && profile->latency.n > 0)
    g_print(", latency %.2f ms (95 %%: %.2f ms)", profile->latency.median_ms,
            profile->latency.p95_ms);
  guint64 drops = inputs->source ? lcip_media_source_drops(inputs->source) : 0;
  g_print(drops ? ", %" G_GUINT64_FORMAT " dropped by the source\n" : "\n", drops);
  if (profile && delivery->args->profile)
    lcip_cli_print_profile(profile);
}

static void cancel_run(GCancellable *cancellable, gpointer data) {
  lcip_run_cancel(data);
}

/* Waits for the end of @run; an interrupted run fails unless it had none. */
static gboolean wait_for_end(LcipRun *run, Delivery *delivery, guint64 n_frames, GError **error) {
  gulong handler = g_cancellable_connect(delivery->cancellable, G_CALLBACK(cancel_run), run, NULL);
  gboolean ok = lcip_run_wait(run, error);
  g_cancellable_disconnect(delivery->cancellable, handler);
  if (!ok)
    return FALSE;
  if (delivery->error) {
    g_propagate_error(error, g_steal_pointer(&delivery->error));
    return FALSE;
  }
  if (n_frames == 0 || delivery->n_frames == n_frames ||
      !g_cancellable_is_cancelled(delivery->cancellable))
    return TRUE;
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_CANCELLED,
              "interrupted after %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " frames",
              delivery->n_frames, n_frames);
  return FALSE;
}

static gboolean finish_run(LcipRun *run, Delivery *delivery, guint64 n_frames, GError **error) {
  if (!wait_for_end(run, delivery, n_frames, error))
    return FALSE;
  if (delivery->results && fclose(g_steal_pointer(&delivery->results)) != 0)
    return fail_file(delivery->args->results, error);
  if (delivery->args->trace && !lcip_run_write_trace(run, delivery->args->trace, error))
    return FALSE;
  return !delivery->args->output_dir || write_outputs(delivery, error);
}

static gboolean run_plan(const char *path, LcipPlan *plan, LcipCliInputs *inputs,
                         Delivery *delivery, LcipCliJson *json, GError **error) {
  const RunArgs *args = delivery->args;
  guint64 n_frames = count_frames(args, inputs);
  LcipRunOptions options = {
      .cold = TRUE,
      .source = inputs->source,
      .inputs = inputs->tensors,
      .random_inputs = TRUE,
      .n_frames = n_frames,
      .frames_in_flight = (guint)MAX(args->frames_in_flight, 0),
      .streams = (guint)args->plan.streams,
      .frames_together = args->frames_in_flight == 1 ? 1 : 0,
      .profile = args->profile,
      .trace = args->trace != NULL,
      .cancellable = delivery->cancellable,
      .lane_func = lcip_cli_note_lane,
      .frame_func = deliver,
      .frame_data = delivery,
  };
  g_autoptr(GError) local_error = NULL;
  if (delivery->json)
    json_head(json, path, plan, inputs, args->plan.streams);
  delivery->start_us = g_get_monotonic_time();
  g_autoptr(LcipRun) run = lcip_run_start(plan, &options, &local_error);
  gboolean ok = run && finish_run(run, delivery, n_frames, &local_error);
  g_autoptr(LcipProfile) profile = run ? lcip_run_profile(run) : NULL;
  if (delivery->json)
    json_tail(json, delivery, inputs, profile, local_error);
  else if (run)
    print_summary(delivery, inputs, profile);
  if (!ok)
    g_propagate_error(error, g_steal_pointer(&local_error));
  return ok;
}

/* Settles the streams in @args. */
static gboolean run_graph(const char *path, RunArgs *args, LcipCliJson *json, GError **error) {
  GCancellable *cancellable = lcip_cli_watch_signals();
  g_auto(LcipCliInputs) inputs;
  g_auto(Delivery) delivery = {0};
  lcip_cli_inputs_init(&inputs);
  g_autoptr(LcipGraph) graph = lcip_cli_load(path, error);
  if (!graph)
    return FALSE;
  g_autoptr(GHashTable) bindings = lcip_cli_bind_lanes(graph, &args->plan, error);
  if (!bindings || !open_inputs(&inputs, graph, args, error) ||
      !lcip_cli_settle_shapes(graph, args->plan.shapes, &inputs, error) ||
      (args->output_dir && !check_output_names(graph, error)))
    return FALSE;
  args->plan.streams = choose_streams(graph, args, &inputs);
  g_autoptr(LcipPlan) plan =
      lcip_cli_plan(path, graph, &args->plan, bindings, &inputs, cancellable, error);
  if (!plan || !delivery_open(&delivery, graph, args, cancellable, json, error))
    return FALSE;
  return run_plan(path, plan, &inputs, &delivery, json, error);
}

static gboolean check_args(const RunArgs *args, GError **error) {
  if (args->n_frames != NOT_GIVEN && args->n_frames < 1)
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--frames: expected a number from 1, found %d", args->n_frames);
  else if (args->frames_in_flight != NOT_GIVEN &&
           (args->frames_in_flight < 1 || args->frames_in_flight > 64))
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--frames-in-flight: expected 1 to 64, found %d", args->frames_in_flight);
  else if (args->plan.streams != NOT_GIVEN &&
           (args->plan.streams < 1 || args->plan.streams > LCIP_CLI_MAX_STREAMS))
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--streams: expected 1 to %d, found %d", LCIP_CLI_MAX_STREAMS, args->plan.streams);
  else
    return TRUE;
  return FALSE;
}

static LcipCliExit run(const LcipCliCommand *command, char **argv) {
  g_auto(GStrv) argv_left = g_strdupv(argv);
  g_auto(RunArgs)
      args = {.plan.streams = NOT_GIVEN, .n_frames = NOT_GIVEN, .frames_in_flight = NOT_GIVEN};
  g_autoptr(GError) error = NULL;
  const GOptionEntry entries[] = {
      {"source", 's', 0, G_OPTION_ARG_FILENAME, &args.source,
       "Where pictures come from: camera, demo, a picture, a folder of pictures or a video file",
       "WHAT"},
      {"input", 'i', 0, G_OPTION_ARG_FILENAME_ARRAY, &args.inputs,
       "Data of a graph input: .npy, .pb (an ONNX tensor), or a picture where the graph takes one",
       "NAME=FILE"},
      {"output", 'o', 0, G_OPTION_ARG_FILENAME, &args.output_dir,
       "Write the graph's outputs (NAME.npy, of the last frame) and annotated pictures there",
       "DIR"},
      {"frames", 'n', 0, G_OPTION_ARG_INT, &args.n_frames,
       "Stop after N frames; without it at the end of the source, or after one frame of --input",
       "N"},
      {"mapping", 'm', 0, G_OPTION_ARG_FILENAME, &args.plan.mapping,
       "Which of the graph's mappings; the active one by default", "NAME"},
      {"lane", 'l', 0, G_OPTION_ARG_FILENAME_ARRAY, &args.plan.lanes,
       "Bind a lane to a device that 'lcip devices' lists", "NAME=DEVICE"},
      LCIP_CLI_SHAPE_OPTION(&args.plan.shapes),
      {"streams", 0, 0, G_OPTION_ARG_INT, &args.plan.streams,
       "Replicas of the whole graph that take frames in turn; by default one on each processor for "
       "files of several frames on one CPU lane, else, and for cameras, 1 on all processors",
       "N"},
      {"frames-in-flight", 0, 0, G_OPTION_ARG_INT, &args.frames_in_flight,
       "Frames that a stream works on at a time; 2 for each lane by default", "N"},
      {"pinned", 0, 0, G_OPTION_ARG_NONE, &args.plan.pinned,
       "Keep fusion the same under every mapping, for results that are equal bit for bit", NULL},
      {"direct", 0, 0, G_OPTION_ARG_NONE, &args.plan.direct,
       "No Winograd convolution: smaller rounding errors, slower", NULL},
      {"winograd-budget", 0, 0, G_OPTION_ARG_INT, &args.plan.winograd_budget_mib,
       "Most MiB for the weights of Winograd convolutions; 512 by default", "MIB"},
      {"no-calibration", 0, 0, G_OPTION_ARG_NONE, &args.plan.no_calibration,
       "Choose kernels by estimate, whatever 'lcip calibrate' has measured", NULL},
      {"profile", 'p', 0, G_OPTION_ARG_NONE, &args.profile, "Print the time of every step and lane",
       NULL},
      {"trace", 0, 0, G_OPTION_ARG_FILENAME, &args.trace,
       "Write every firing as a Chrome trace, which Perfetto opens", "FILE.json"},
      {"json", 0, 0, G_OPTION_ARG_NONE, &args.as_json, "Print one JSON document (lcip-run)", NULL},
      {"results", 'r', 0, G_OPTION_ARG_FILENAME, &args.results,
       "Write each frame's results as one line of JSON", "FILE.jsonl"},
      G_OPTION_ENTRY_NULL};
  if (!lcip_cli_parse(command, entries, &argv_left, 1, 1))
    return LCIP_CLI_USAGE;
  LcipCliJson json;
  lcip_cli_json_init(&json, stdout, 2);
  if (!check_args(&args, &error) || !run_graph(argv_left[1], &args, &json, &error)) {
    /* A run that began has its error in its own document. */
    LcipCliExit code = args.as_json && !lcip_cli_json_begun(&json)
                           ? lcip_cli_report_json(command, error)
                           : lcip_cli_report(command, error);
    lcip_cli_finish(code);
    return code;
  }
  return lcip_cli_finish(LCIP_CLI_DONE);
}

const LcipCliCommand lcip_cli_run = {
    .name = "run",
    .arguments = "GRAPH.xml|MODEL.onnx",
    .summary = "Run a graph on pictures, a camera or tensors",
    .description =
        "Results go to standard output, messages to standard error. Boxes are x0, y0, x1, y1\n"
        "in pixels of the source. Ctrl+C ends a run without --frames.\n\n"
        "Examples:\n"
        "  lcip run graphs/blazeface-back.xml --source photo.jpg --output out\n"
        "      finds the faces in photo.jpg; out/frame-000000.png shows them\n"
        "  lcip run graphs/blazeface-back.xml --source camera --results faces.jsonl\n"
        "      a line of JSON for each picture of the first camera, until Ctrl+C\n"
        "  lcip run graphs/selfie-segmentation.xml --source demo --frames 100 --profile\n"
        "      the time of every step over 100 frames of the demo picture\n"
        "  lcip run model.onnx --input input=x.npy --output out\n"
        "      runs an ONNX model on a tensor; out/NAME.npy holds each output\n"
        "  lcip run graph.xml --lane GPU=opencl:0\n"
        "      the lane that the graph calls GPU runs on OpenCL device 0",
    .run = run,
};
