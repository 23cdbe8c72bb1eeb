#include "config.h"

#include "lcip-calibrate.h"
#include "lcip-cli.h"

#include <string.h>

/* Args: the command line. All owned. */
typedef struct {
  LcipCliPlanArgs plan;
  int rounds;
  gboolean as_json;
} Args;

static void args_clear(Args *args) {
  lcip_cli_plan_args_clear(&args->plan);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Args, args_clear)

/* What the model's choices lose to the fastest, over the whole graph. */
typedef struct {
  guint n_steps, n_wrong;
  double estimated_ms, fastest_ms, worst_ratio;
} Loss;

static double candidate_ms(const LcipCalibratedStep *step, guint i) {
  return step->candidates[i].ms;
}

static Loss loss_of(const GPtrArray *steps) {
  Loss loss = {.n_steps = steps->len, .worst_ratio = 1};
  for (guint i = 0; i < steps->len; i++) {
    const LcipCalibratedStep *step = steps->pdata[i];
    const double estimated = candidate_ms(step, step->estimated);
    const double fastest = candidate_ms(step, step->fastest);
    loss.n_wrong += step->estimated != step->fastest;
    loss.estimated_ms += step->n_uses * estimated;
    loss.fastest_ms += step->n_uses * fastest;
    loss.worst_ratio = MAX(loss.worst_ratio, estimated / MAX(fastest, 1e-6));
  }
  return loss;
}

static int by_key(gconstpointer a, gconstpointer b) {
  const LcipCalibratedStep *const *x = a, *const *y = b;
  return strcmp((*x)->key, (*y)->key);
}

static void print_step(const LcipCalibratedStep *step, guint n_done, guint n_steps, gpointer data) {
  g_print("%u of %u: %s\n", n_done, n_steps, step->title);
  for (guint i = 0; i < step->n_candidates; i++)
    g_print("  %9.3f ms  %s%s%s\n", candidate_ms(step, i), step->candidates[i].kernel->name,
            i == step->fastest ? "  fastest" : "", i == step->estimated ? "  by estimate" : "");
}

static void print_loss(const GPtrArray *steps) {
  const Loss loss = loss_of(steps);
  g_autofree char *path = lcip_calibration_path();
  g_print(
      "%u distinct steps that several kernels can do; the estimate misses the fastest for %u, at "
      "worst by %.2f times. All such steps of a frame: %.3f ms by estimate, %.3f ms now.\n",
      loss.n_steps, loss.n_wrong, loss.worst_ratio, loss.estimated_ms, loss.fastest_ms);
  g_print("Kept in %s\n", path);
}

static void json_step(LcipCliJson *json, const LcipCalibratedStep *step) {
  lcip_cli_json_begin_object(json, NULL);
  lcip_cli_json_string(json, "step", step->title);
  lcip_cli_json_string(json, "actor", step->actor_id);
  lcip_cli_json_string(json, "key", step->key);
  lcip_cli_json_int(json, "threads", step->threads);
  lcip_cli_json_int(json, "uses", step->n_uses);
  lcip_cli_json_string(json, "estimated", step->candidates[step->estimated].kernel->name);
  lcip_cli_json_string(json, "fastest", step->candidates[step->fastest].kernel->name);
  lcip_cli_json_begin_array(json, "kernels");
  for (guint i = 0; i < step->n_candidates; i++) {
    lcip_cli_json_begin_object(json, NULL);
    lcip_cli_json_string(json, "kernel", step->candidates[i].kernel->name);
    lcip_cli_json_number(json, "ms", candidate_ms(step, i), 4);
    lcip_cli_json_end_object(json);
  }
  lcip_cli_json_end_array(json);
  lcip_cli_json_end_object(json);
}

static void print_json(const char *model, const GPtrArray *steps) {
  const Loss loss = loss_of(steps);
  g_autofree char *path = lcip_calibration_path();
  LcipCliJson json;
  lcip_cli_json_init(&json, stdout, 3);
  lcip_cli_json_begin_object(&json, NULL);
  lcip_cli_json_string(&json, "format", "lcip-calibrate");
  lcip_cli_json_int(&json, "version", LCIP_CLI_JSON_VERSION);
  lcip_cli_json_string(&json, "model", model);
  lcip_cli_json_string(&json, "file", path);
  lcip_cli_json_int(&json, "missed", loss.n_wrong);
  lcip_cli_json_number(&json, "worst_ratio", loss.worst_ratio, 3);
  lcip_cli_json_number(&json, "estimated_ms", loss.estimated_ms, 4);
  lcip_cli_json_number(&json, "fastest_ms", loss.fastest_ms, 4);
  lcip_cli_json_begin_array(&json, "steps");
  for (guint i = 0; i < steps->len; i++)
    json_step(&json, steps->pdata[i]);
  lcip_cli_json_end_array(&json);
  lcip_cli_json_end_object(&json);
}

static gboolean calibrate(const char *path, const Args *args, GError **error) {
  GCancellable *cancellable = lcip_cli_watch_signals();
  g_autoptr(LcipGraph) graph = lcip_cli_load(path, error);
  if (!graph || !lcip_cli_settle_shapes(graph, args->plan.shapes, NULL, error))
    return FALSE;
  g_autoptr(GHashTable) bindings = lcip_cli_bind_lanes(graph, &args->plan, error);
  if (!bindings)
    return FALSE;
  const LcipPlanOptions options = {
      .mapping = args->plan.mapping, .bindings = bindings, .threads = (guint)args->plan.threads};
  g_autoptr(LcipCalibration) calibration = lcip_calibration_load();
  g_autoptr(GPtrArray) steps =
      lcip_calibrate(graph, &options, calibration, (guint)args->rounds,
                     args->as_json ? NULL : print_step, NULL, cancellable, error);
  if (!steps || !lcip_calibration_save(calibration, error))
    return FALSE;
  g_ptr_array_sort(steps, by_key);
  if (args->as_json)
    print_json(path, steps);
  else
    print_loss(steps);
  return TRUE;
}

static gboolean check_args(const Args *args, GError **error) {
  if (args->plan.threads >= 0 && args->plan.threads <= 1024 && args->rounds >= 1 &&
      args->rounds <= 1000)
    return TRUE;
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
              "expected --threads 0 to 1024 and --rounds 1 to 1000, found %d and %d",
              args->plan.threads, args->rounds);
  return FALSE;
}

static LcipCliExit run(const LcipCliCommand *command, char **argv) {
  g_auto(GStrv) argv_left = g_strdupv(argv);
  g_auto(Args) args = {.rounds = 5};
  g_autoptr(GError) error = NULL;
  const GOptionEntry entries[] = {{"threads", 't', 0, G_OPTION_ARG_INT, &args.plan.threads,
                                   "Threads of every CPU lane; as the graph says by default", "N"},
                                  {"rounds", 0, 0, G_OPTION_ARG_INT, &args.rounds,
                                   "Time each kernel N times; 5 by default", "N"},
                                  {"mapping", 'm', 0, G_OPTION_ARG_FILENAME, &args.plan.mapping,
                                   "Which of the graph's mappings; the active one by default",
                                   "NAME"},
                                  LCIP_CLI_SHAPE_OPTION(&args.plan.shapes),
                                  {"json", 0, 0, G_OPTION_ARG_NONE, &args.as_json,
                                   "Print one JSON document (lcip-calibrate)", NULL},
                                  G_OPTION_ENTRY_NULL};
  if (!lcip_cli_parse(command, entries, &argv_left, 1, 1))
    return LCIP_CLI_USAGE;
  if (!check_args(&args, &error) || !calibrate(argv_left[1], &args, &error))
    return args.as_json ? lcip_cli_report_json(command, error) : lcip_cli_report(command, error);
  return lcip_cli_finish(LCIP_CLI_DONE);
}

const LcipCliCommand lcip_cli_calibrate = {
    .name = "calibrate",
    .arguments = "GRAPH.xml|MODEL.onnx",
    .summary = "Time the kernels that compete for a graph's steps, and keep the times",
    .description = "Every plan on this machine then takes the fastest kernel for each step that "
                   "has been timed; "
                   "others are chosen by estimate. Times hold for this processor, this version of "
                   "LCIP, a step's "
                   "shapes and the number of threads; they lie in the user's cache folder, or "
                   "where the environment "
                   "variable LCIP_CALIBRATION says (\"none\": nowhere). Calibrate on a quiet "
                   "machine, with the "
                   "threads that you will run with.\n\n"
                   "Examples:\n"
                   "  lcip calibrate model.onnx --threads 1\n"
                   "  lcip bench model.onnx --threads 1 --streams 2 --profile",
    .run = run,
};
