#include "config.h"

#include "lcip-cli.h"
#include "lcip-verify.h"

#include <math.h>
#include <string.h>

/* VerifyArgs: the command line. All owned. */
typedef struct {
  LcipCliPlanArgs plan;
  char **inputs;
  char **expected;
  char *source;
  char *tolerance;
  gboolean as_json;
} VerifyArgs;

static void verify_args_clear(VerifyArgs *args) {
  lcip_cli_plan_args_clear(&args->plan);
  g_clear_pointer(&args->inputs, g_strfreev);
  g_clear_pointer(&args->expected, g_strfreev);
  g_clear_pointer(&args->source, g_free);
  g_clear_pointer(&args->tolerance, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VerifyArgs, verify_args_clear)

/* ---- what goes in ---- */

static gboolean parse_tolerance(const char *text, double *tolerance, GError **error) {
  char *end = NULL;
  if (!text)
    return TRUE;
  *tolerance = g_ascii_strtod(text, &end);
  if (end != text && !*end && *tolerance > 0 && isfinite(*tolerance))
    return TRUE;
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
              "--tolerance: expected a number over 0, such as 1e-3, found '%s'", text);
  return FALSE;
}

static gboolean add_expected(GHashTable *expected, const LcipGraph *graph, const char *argument,
                             GError **error) {
  for (guint i = 0; i < graph->outputs->len; i++) {
    const LcipGraphPort *port = g_ptr_array_index(graph->outputs, i);
    const char *file = lcip_cli_after_name(argument, port->name);
    if (!file)
      continue;
    LcipTensor *tensor = lcip_cli_read_tensor(file, error);
    if (tensor)
      g_hash_table_insert(expected, g_strdup(port->name), tensor);
    return tensor != NULL;
  }
  g_autoptr(GString) names = g_string_new(NULL);
  for (guint i = 0; i < graph->outputs->len; i++)
    g_string_append_printf(names, "%s'%s'", names->len ? ", " : "",
                           ((const LcipGraphPort *)graph->outputs->pdata[i])->name);
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
              "--expect: expected NAME=FILE with an output of the graph (%s), found '%s'",
              names->len ? names->str : "it has none", argument);
  return FALSE;
}

/* One picture of @what, the same for both runs. */
static gboolean take_picture(LcipCliInputs *inputs, const LcipGraph *graph, const char *what,
                             GError **error) {
  gint64 timestamp_ns = 0;
  int source = lcip_cli_find_source(graph);
  if (!lcip_cli_inputs_open(inputs, graph, what, error))
    return FALSE;
  g_autoptr(LcipTensor) picture =
      lcip_media_source_next(inputs->source, &timestamp_ns, lcip_cli_watch_signals(), error);
  if (!picture && error && !*error)
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID, "--source %s: it has no picture", what);
  return picture && lcip_cli_inputs_add_tensor(inputs, graph, lcip_graph_actor(graph, source)->id,
                                               picture, what, error);
}

static gboolean open_inputs(LcipCliInputs *inputs, GHashTable *expected, const LcipGraph *graph,
                            const VerifyArgs *args, GError **error) {
  for (guint i = 0; args->inputs && args->inputs[i]; i++)
    if (!lcip_cli_inputs_add(inputs, graph, args->inputs[i], error))
      return FALSE;
  for (guint i = 0; args->expected && args->expected[i]; i++)
    if (!add_expected(expected, graph, args->expected[i], error))
      return FALSE;
  int source = lcip_cli_find_source(graph);
  gboolean given =
      source >= 0 && g_hash_table_contains(inputs->tensors, lcip_graph_actor(graph, source)->id);
  if (!args->source && (source < 0 || given))
    return TRUE;
  return take_picture(inputs, graph, args->source ? args->source : "demo", error);
}

/* ---- what comes out ---- */

static const char *kernel_of(const LcipPlan *plan, const LcipVerifyItem *item) {
  const LcipPlanStep *step = item->step < 0 ? NULL : lcip_plan_step(plan, (guint)item->step);
  return step && step->kernel ? step->kernel->name : NULL;
}

static const char *lane_of(const LcipPlan *plan, const LcipVerifyItem *item) {
  const LcipPlanStep *step = item->step < 0 ? NULL : lcip_plan_step(plan, (guint)item->step);
  return step && step->lane >= 0 ? lcip_plan_lane(plan, (guint)step->lane)->name : NULL;
}

static gboolean same_shape(const LcipVerifyItem *item) {
  return lcip_shape_equal(&item->expected_shape, &item->found_shape);
}

/* "output 'y'", or the actor with its fused neighbours. Transfer full. */
static char *title_of(const LcipPlan *plan, const LcipVerifyItem *item) {
  const LcipGraph *graph = lcip_plan_graph(plan);
  if (item->name)
    return g_strdup_printf("output '%s'", item->name);
  const LcipPlanStep *step = lcip_plan_step(plan, (guint)item->step);
  g_autoptr(GString) text = g_string_new(lcip_graph_actor(graph, step->actors[0])->id);
  for (guint i = 1; i < step->n_actors; i++)
    g_string_append_printf(text, "+%s", lcip_graph_actor(graph, step->actors[i])->id);
  if (item->port > 0)
    g_string_append_printf(text, ", output %u", item->port);
  return g_string_free(g_steal_pointer(&text), FALSE);
}

static char *index_text(const LcipVerifyItem *item) {
  gint64 rest = item->at;
  g_autofree char *text = g_strdup("");
  for (int d = item->expected_shape.rank - 1; d >= 0; d--) {
    const gint64 size = MAX(1, item->expected_shape.dims[d]);
    char *longer = g_strdup_printf("%" G_GINT64_FORMAT "%s%s", rest % size, *text ? "," : "", text);
    rest /= size;
    g_free(text);
    text = longer;
  }
  return g_strdup_printf("[%s]", text);
}

static void print_item(const LcipPlan *plan, const LcipVerifyItem *item) {
  g_autofree char *title = title_of(plan, item);
  const char *kernel = kernel_of(plan, item);
  g_autofree char *shape = lcip_shape_to_string(&item->expected_shape);
  const char *verdict = item->beyond ? "FAIL" : "ok";
  if (same_shape(item))
    g_print("%-5s %-40s %-28s %-14s %10.3g %10.3g\n", verdict, title, kernel ? kernel : "", shape,
            item->difference, item->relative);
  else
    g_print("%-5s %-40s %-28s %-14s other shape\n", verdict, title, kernel ? kernel : "", shape);
}

/* One sentence on the worst element of @item. */
static void print_worst(const LcipPlan *plan, const char *what, const LcipVerifyItem *item,
                        gboolean is_given) {
  g_autofree char *title = title_of(plan, item);
  const char *kernel = kernel_of(plan, item);
  const char *actor = item->actor < 0 ? "the graph's input"
                                      : lcip_graph_actor(lcip_plan_graph(plan), item->actor)->id;
  g_print("%s: %s", what, title);
  if (item->name)
    g_print(" (of %s)", actor);
  if (kernel)
    g_print(" by %s", kernel);
  if (!same_shape(item)) {
    g_autofree char *expected = lcip_shape_to_string(&item->expected_shape);
    g_autofree char *found = lcip_shape_to_string(&item->found_shape);
    g_print(": expected shape %s, found %s\n", expected, found);
    return;
  }
  g_autofree char *at = index_text(item);
  g_print(": element %s expected %.9g, found %.9g", at, item->expected, item->found);
  if (is_given && !isnan(item->reference))
    g_print(" (the reference kernels: %.9g)", item->reference);
  g_print("; difference %.3g, %.3g of the range %.4g\n", item->difference, item->relative,
          item->range);
}

static gboolean is_given(const LcipVerification *result, const LcipVerifyItem *item) {
  return g_ptr_array_find(result->expected, item, NULL);
}

static void print_list(const LcipVerification *result, const char *title, const GPtrArray *items) {
  if (items->len == 0)
    return;
  g_print("%s\n", title);
  for (guint i = 0; i < items->len; i++)
    print_item(result->plan, items->pdata[i]);
}

static void print_text(const LcipVerification *result) {
  g_print("%-5s %-40s %-28s %-14s %10s %10s\n", "", "", "kernel", "shape", "difference",
          "of range");
  print_list(result, "steps as mapped, against the reference kernels", result->steps);
  print_list(result, "outputs as mapped, against the reference kernels", result->outputs);
  print_list(result, "outputs as mapped, against the expected files", result->expected);
  for (guint i = 0; i < result->expected->len; i++) {
    const LcipVerifyItem *item = result->expected->pdata[i];
    if (item->beyond && item != result->first && item != result->largest)
      print_worst(result->plan, "not as expected", item, TRUE);
  }
  if (result->first)
    print_worst(result->plan, "first beyond the tolerance", result->first,
                is_given(result, result->first));
  if (result->largest)
    print_worst(result->plan, "largest", result->largest, is_given(result, result->largest));
  g_print("%u of %u beyond the tolerance of %g of the range, mapping '%s'\n", result->n_beyond,
          result->steps->len + result->outputs->len + result->expected->len, result->tolerance,
          lcip_plan_mapping(result->plan));
}

static void json_shape(LcipCliJson *json, const char *key, const LcipShape *shape) {
  lcip_cli_json_begin_array(json, key);
  for (int d = 0; d < shape->rank; d++)
    lcip_cli_json_int(json, NULL, shape->dims[d]);
  lcip_cli_json_end_array(json);
}

static void json_actors(LcipCliJson *json, const LcipPlan *plan, const LcipVerifyItem *item) {
  const LcipGraph *graph = lcip_plan_graph(plan);
  const LcipPlanStep *step = item->step < 0 ? NULL : lcip_plan_step(plan, (guint)item->step);
  lcip_cli_json_begin_array(json, "actors");
  for (guint i = 0; step && i < step->n_actors; i++)
    lcip_cli_json_string(json, NULL, lcip_graph_actor(graph, step->actors[i])->id);
  lcip_cli_json_end_array(json);
}

static void json_item(LcipCliJson *json, const char *key, const LcipVerification *result,
                      const LcipVerifyItem *item) {
  const LcipPlan *plan = result->plan;
  const gboolean same = same_shape(item);
  lcip_cli_json_begin_object(json, key);
  lcip_cli_json_string(json, "output", item->name);
  lcip_cli_json_string(json, "actor",
                       item->actor < 0 ? NULL
                                       : lcip_graph_actor(lcip_plan_graph(plan), item->actor)->id);
  lcip_cli_json_int(json, "port", item->port);
  json_actors(json, plan, item);
  lcip_cli_json_string(json, "kernel", kernel_of(plan, item));
  lcip_cli_json_string(json, "lane", lane_of(plan, item));
  json_shape(json, "expected_shape", &item->expected_shape);
  json_shape(json, "found_shape", &item->found_shape);
  lcip_cli_json_real(json, "difference", same ? item->difference : NAN);
  lcip_cli_json_real(json, "range", same ? item->range : NAN);
  lcip_cli_json_real(json, "relative", same ? item->relative : NAN);
  lcip_cli_json_int(json, "at", item->at);
  lcip_cli_json_real(json, "expected", same ? item->expected : NAN);
  lcip_cli_json_real(json, "found", same ? item->found : NAN);
  lcip_cli_json_real(json, "reference", item->reference);
  lcip_cli_json_bool(json, "beyond", item->beyond);
  lcip_cli_json_end_object(json);
}

static void json_items(LcipCliJson *json, const char *key, const LcipVerification *result,
                       const GPtrArray *items) {
  lcip_cli_json_begin_array(json, key);
  for (guint i = 0; i < items->len; i++)
    json_item(json, NULL, result, items->pdata[i]);
  lcip_cli_json_end_array(json);
}

static void json_one(LcipCliJson *json, const char *key, const LcipVerification *result,
                     const LcipVerifyItem *item) {
  if (item)
    json_item(json, key, result, item);
  else
    lcip_cli_json_string(json, key, NULL);
}

static void print_json(const char *path, const LcipVerification *result) {
  LcipCliJson json;
  lcip_cli_json_init(&json, stdout, 2);
  lcip_cli_json_begin_object(&json, NULL);
  lcip_cli_json_string(&json, "format", "lcip-verify");
  lcip_cli_json_int(&json, "version", LCIP_CLI_JSON_VERSION);
  lcip_cli_json_string(&json, "file", path);
  lcip_cli_json_string(&json, "mapping", lcip_plan_mapping(result->plan));
  lcip_cli_json_lanes(&json, result->plan);
  lcip_cli_json_real(&json, "tolerance", result->tolerance);
  json_items(&json, "steps", result, result->steps);
  json_items(&json, "outputs", result, result->outputs);
  json_items(&json, "expected", result, result->expected);
  json_one(&json, "first", result, result->first);
  json_one(&json, "largest", result, result->largest);
  lcip_cli_json_int(&json, "beyond", result->n_beyond);
  lcip_cli_json_end_object(&json);
}

/* ---- the command ---- */

static LcipVerification *verify_graph(const char *path, const VerifyArgs *args, GError **error) {
  g_auto(LcipCliInputs) inputs;
  lcip_cli_inputs_init(&inputs);
  LcipVerifyOptions options = {0};
  g_autoptr(LcipGraph) graph = lcip_cli_load(path, error);
  if (!graph || !parse_tolerance(args->tolerance, &options.tolerance, error))
    return NULL;
  g_autoptr(GHashTable) expected =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)lcip_tensor_unref);
  g_autoptr(GHashTable) bindings = lcip_cli_bind_lanes(graph, &args->plan, error);
  if (!bindings || !open_inputs(&inputs, expected, graph, args, error) ||
      !lcip_cli_settle_shapes(graph, args->plan.shapes, &inputs, error))
    return NULL;
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  options.plan = (LcipPlanOptions){.mapping = args->plan.mapping,
                                   .bindings = bindings,
                                   .source_sizes = inputs.source_sizes,
                                   .input_shapes = inputs.shapes,
                                   .pinned = args->plan.pinned};
  options.inputs = inputs.tensors;
  options.expected = expected;
  g_autoptr(GError) own = NULL;
  LcipVerification *result = lcip_verify(graph, &options, problems, lcip_cli_watch_signals(), &own);
  if (!result && lcip_problems_have_errors(problems))
    lcip_cli_fail_problems(path, graph, problems, error);
  else if (!result)
    g_propagate_error(error, g_steal_pointer(&own));
  return result;
}

static LcipCliExit run(const LcipCliCommand *command, char **argv) {
  g_auto(GStrv) argv_left = g_strdupv(argv);
  g_auto(VerifyArgs) args = {0};
  g_autoptr(GError) error = NULL;
  const GOptionEntry entries[] = {
      {"source", 's', 0, G_OPTION_ARG_FILENAME, &args.source,
       "Where the picture comes from: camera, demo, a picture, a folder of pictures or a video",
       "WHAT"},
      {"input", 'i', 0, G_OPTION_ARG_FILENAME_ARRAY, &args.inputs,
       "Data of a graph input: .npy, .pb (an ONNX tensor), or a picture where the graph takes one",
       "NAME=FILE"},
      {"expect", 'e', 0, G_OPTION_ARG_FILENAME_ARRAY, &args.expected,
       "What a graph output should be: a .npy or .pb file", "NAME=FILE"},
      {"tolerance", 't', 0, G_OPTION_ARG_STRING, &args.tolerance,
       "The largest difference allowed, as a share of the tensor's range; 1e-3 by default",
       "SHARE"},
      {"mapping", 'm', 0, G_OPTION_ARG_FILENAME, &args.plan.mapping,
       "Which of the graph's mappings; the active one by default", "NAME"},
      {"lane", 'l', 0, G_OPTION_ARG_FILENAME_ARRAY, &args.plan.lanes,
       "Bind a lane to a device that 'lcip devices' lists", "NAME=DEVICE"},
      LCIP_CLI_SHAPE_OPTION(&args.plan.shapes),
      {"pinned", 0, 0, G_OPTION_ARG_NONE, &args.plan.pinned,
       "Keep fusion the same under every mapping", NULL},
      {"json", 0, 0, G_OPTION_ARG_NONE, &args.as_json, "Print one JSON document (lcip-verify)",
       NULL},
      G_OPTION_ENTRY_NULL};
  if (!lcip_cli_parse(command, entries, &argv_left, 1, 1))
    return LCIP_CLI_USAGE;
  g_autoptr(LcipVerification) result = verify_graph(argv_left[1], &args, &error);
  if (!result)
    return args.as_json ? lcip_cli_report_json(command, error) : lcip_cli_report(command, error);
  if (args.as_json)
    print_json(argv_left[1], result);
  else
    print_text(result);
  return lcip_cli_finish(result->n_beyond ? LCIP_CLI_FAILED : LCIP_CLI_DONE);
}

const LcipCliCommand lcip_cli_verify = {
    .name = "verify",
    .arguments = "GRAPH.xml|MODEL.onnx",
    .summary = "Compare a graph as mapped with the reference kernels, actor by actor",
    .description =
        "Runs one frame twice: as mapped, and one actor at a time on the reference kernels. Every\n"
        "step's output is compared, fused actors as one; differences grow along the graph, so the\n"
        "first one beyond the tolerance is where to look. The range of a tensor goes from its "
        "least\n"
        "to its greatest value, 0 included. Inputs that are not given get seeded random values, a\n"
        "graph with a picture source gets the demo picture. Exit code 1: something is beyond the\n"
        "tolerance.\n\n"
        "Examples:\n"
        "  lcip verify graphs/blazeface-back.xml --mapping cpu+gpu --source photo.jpg\n"
        "      is what the GPU computes what it should be?\n"
        "  lcip verify model.onnx --input input=x.npy --expect output=y.npy\n"
        "      is the output the one that another program gave?",
    .run = run,
};
