#include "config.h"

#include "lcip-cli.h"

#include <string.h>

/* Info: what is told of a graph. */
typedef struct {
  const char *path;
  LcipGraph *graph;       /* owned */
  GPtrArray *problems;    /* owned */
  LcipAnalysis *analysis; /* owned; NULL when the graph has a cycle */
  LcipPlan *plan;         /* owned; NULL when the graph can't be planned here */
  char *plan_problem;     /* owned; why not */
  GHashTable *operators;  /* owned; operator's name -> count */
  guint64 parameters;
  double flops;
} Info;

static void info_clear(Info *info) {
  g_clear_pointer(&info->plan, lcip_plan_unref);
  g_clear_pointer(&info->analysis, lcip_analysis_free);
  g_clear_pointer(&info->graph, lcip_graph_unref);
  g_clear_pointer(&info->problems, g_ptr_array_unref);
  g_clear_pointer(&info->plan_problem, g_free);
  g_clear_pointer(&info->operators, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Info, info_clear)

static char *operator_name(const LcipActor *actor) {
  return *actor->domain ? g_strdup_printf("%s.%s", actor->domain, actor->op_name)
                        : g_strdup(actor->op_name);
}

static void count_operators(Info *info) {
  info->operators = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < info->graph->actors->len; i++) {
    char *name = operator_name(lcip_graph_actor(info->graph, (int)i));
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(info->operators, name));
    g_hash_table_replace(info->operators, name, GUINT_TO_POINTER(n + 1));
  }
}

/* Floating-point elements of all constants, each tensor once; shapes and indices are no parameters.
 */
static void count_parameters(Info *info) {
  g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
  for (guint i = 0; i < info->graph->actors->len; i++) {
    const LcipActor *actor = lcip_graph_actor(info->graph, (int)i);
    for (guint port = 0; port < actor->n_inputs; port++) {
      LcipTensor *constant = actor->constants[port];
      if (!constant || !g_hash_table_add(seen, constant))
        continue;
      LcipType type = lcip_tensor_get_spec(constant)->type;
      if (type >= LCIP_TYPE_F32 && type <= LCIP_TYPE_F64)
        info->parameters += (guint64)lcip_shape_count(lcip_tensor_get_shape(constant));
    }
  }
}

static void count_flops(Info *info) {
  for (guint i = 0; info->analysis && i < info->graph->actors->len; i++) {
    const LcipActor *actor = lcip_graph_actor(info->graph, (int)i);
    if (!actor->op)
      continue;
    g_autofree LcipTensorSpec *inputs = g_new0(LcipTensorSpec, actor->n_inputs + 1);
    g_autofree LcipTensor **constants = g_new0(LcipTensor *, actor->n_inputs + 1);
    LcipStep step;
    LcipCost cost = {0, 0};
    lcip_analysis_step(info->analysis, info->graph, (int)i, &step, inputs, constants);
    if (step.n_outputs > 0 && step.outputs[0].type == LCIP_TYPE_NONE)
      continue;
    lcip_operator_cost(&step, &cost);
    info->flops += cost.flops;
  }
}

static gboolean info_load(Info *info, const char *path, char **shapes, GError **error) {
  info->path = path;
  info->problems = lcip_problems_new();
  info->graph = lcip_graph_load(path, info->problems, error);
  if (!info->graph)
    return FALSE;
  lcip_graph_ensure_defaults(info->graph);
  for (guint i = 0; shapes && shapes[i]; i++)
    if (!lcip_cli_settle_shape(info->graph, shapes[i], error))
      return FALSE;
  guint n_reading = info->problems->len;
  info->analysis = lcip_analyse(info->graph, NULL, NULL, info->problems);
  count_operators(info);
  count_parameters(info);
  count_flops(info);
  g_autoptr(GError) plan_error = NULL;
  g_autoptr(GPtrArray) repeated = lcip_problems_new();
  if (n_reading == 0 || !lcip_problems_have_errors(info->problems))
    info->plan = lcip_plan_new(info->graph, &(LcipPlanOptions){.mapping = NULL}, repeated, NULL,
                               &plan_error);
  if (!info->plan)
    info->plan_problem = g_strdup(plan_error ? plan_error->message : "the graph has problems");
  return TRUE;
}

static int compare_names(gconstpointer a, gconstpointer b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *sorted_operators(const Info *info) {
  guint n = 0;
  g_autofree gpointer *keys = g_hash_table_get_keys_as_array(info->operators, &n);
  GPtrArray *names = g_ptr_array_new();
  for (guint i = 0; i < n; i++)
    g_ptr_array_add(names, keys[i]);
  g_ptr_array_sort(names, compare_names);
  return names;
}

/* The declared type of a graph output, or what analysis found where none was declared. */
static LcipTensorSpec port_spec(const Info *info, const LcipGraphPort *port, int output) {
  for (guint i = 0; output >= 0 && info->analysis && i < info->graph->edges->len; i++) {
    const LcipEdge *edge = &g_array_index(info->graph->edges, LcipEdge, i);
    if (edge->dst_actor != LCIP_NO_ACTOR || (int)edge->dst_port != output ||
        edge->src_actor == LCIP_NO_ACTOR)
      continue;
    LcipTensorSpec inferred = info->analysis->specs[edge->src_actor][edge->src_port];
    if (inferred.type != LCIP_TYPE_NONE)
      return inferred;
  }
  return port->spec;
}

static void json_ports(LcipCliJson *json, const Info *info, const char *key, GPtrArray *ports) {
  lcip_cli_json_begin_array(json, key);
  for (guint i = 0; i < ports->len; i++) {
    const LcipGraphPort *port = g_ptr_array_index(ports, i);
    LcipTensorSpec spec = port_spec(info, port, ports == info->graph->outputs ? (int)i : -1);
    lcip_cli_json_begin_object(json, NULL);
    lcip_cli_json_string(json, "name", port->name);
    lcip_cli_json_string(json, "type",
                         spec.type == LCIP_TYPE_NONE ? NULL : lcip_type_name(spec.type));
    lcip_cli_json_begin_array(json, "shape");
    for (int d = 0; d < spec.shape.rank; d++) {
      if (spec.shape.dims[d] >= 0)
        lcip_cli_json_int(json, NULL, spec.shape.dims[d]);
      else
        lcip_cli_json_string(json, NULL, port->dim_names[d]);
    }
    lcip_cli_json_end_array(json);
    lcip_cli_json_end_object(json);
  }
  lcip_cli_json_end_array(json);
}

static void json_operators(LcipCliJson *json, const Info *info) {
  g_autoptr(GPtrArray) names = sorted_operators(info);
  lcip_cli_json_begin_object(json, "operators");
  for (guint i = 0; i < names->len; i++) {
    const char *name = g_ptr_array_index(names, i);
    lcip_cli_json_int(json, name, GPOINTER_TO_UINT(g_hash_table_lookup(info->operators, name)));
  }
  lcip_cli_json_end_object(json);
}

static void json_graph_lanes(LcipCliJson *json, const Info *info) {
  lcip_cli_json_begin_array(json, "lanes");
  for (guint i = 0; i < info->graph->lanes->len; i++) {
    const LcipLane *lane = g_ptr_array_index(info->graph->lanes, i);
    lcip_cli_json_begin_object(json, NULL);
    lcip_cli_json_string(json, "name", lane->name);
    lcip_cli_json_string(json, "kind", lcip_lane_kind_name(lane->kind));
    lcip_cli_json_string(json, "device", lane->device);
    lcip_cli_json_int(json, "threads", lane->threads);
    lcip_cli_json_end_object(json);
  }
  lcip_cli_json_end_array(json);
}

static void json_mappings(LcipCliJson *json, const Info *info) {
  lcip_cli_json_begin_array(json, "mappings");
  for (guint i = 0; i < info->graph->mappings->len; i++)
    lcip_cli_json_string(json, NULL,
                         ((LcipMapping *)g_ptr_array_index(info->graph->mappings, i))->name);
  lcip_cli_json_end_array(json);
}

static void json_problems(LcipCliJson *json, const Info *info) {
  lcip_cli_json_begin_array(json, "problems");
  for (guint i = 0; i < info->problems->len; i++) {
    const LcipProblem *problem = g_ptr_array_index(info->problems, i);
    lcip_cli_json_begin_object(json, NULL);
    lcip_cli_json_string(json, "severity",
                         problem->severity == LCIP_PROBLEM_ERROR ? "error" : "warning");
    lcip_cli_json_string(json, "actor", problem->actor_id);
    lcip_cli_json_string(json, "message", problem->message);
    lcip_cli_json_end_object(json);
  }
  lcip_cli_json_end_array(json);
}

static void json_plan(LcipCliJson *json, const Info *info) {
  if (!info->plan) {
    lcip_cli_json_string(json, "plan_problem", info->plan_problem);
    return;
  }
  lcip_cli_json_begin_object(json, "plan");
  lcip_cli_json_string(json, "mapping", lcip_plan_mapping(info->plan));
  lcip_cli_json_int(json, "steps", lcip_plan_n_steps(info->plan));
  lcip_cli_json_int(json, "segments", lcip_plan_n_segments(info->plan));
  lcip_cli_json_lanes(json, info->plan);
  lcip_cli_json_end_object(json);
}

static void print_json(const Info *info) {
  LcipCliJson json;
  lcip_cli_json_init(&json, stdout, 2);
  lcip_cli_json_begin_object(&json, NULL);
  lcip_cli_json_string(&json, "format", "lcip-info");
  lcip_cli_json_int(&json, "version", LCIP_CLI_JSON_VERSION);
  lcip_cli_json_string(&json, "file", info->path);
  lcip_cli_json_string(&json, "name", info->graph->name);
  lcip_cli_json_int(&json, "opset", info->graph->opset);
  lcip_cli_json_int(&json, "actors", info->graph->actors->len);
  lcip_cli_json_int(&json, "edges", info->graph->edges->len);
  lcip_cli_json_int(&json, "parameters", (gint64)info->parameters);
  lcip_cli_json_number(&json, "flops", info->flops, 0);
  json_operators(&json, info);
  json_ports(&json, info, "inputs", info->graph->inputs);
  json_ports(&json, info, "outputs", info->graph->outputs);
  json_graph_lanes(&json, info);
  json_mappings(&json, info);
  lcip_cli_json_string(&json, "active_mapping", info->graph->active_mapping);
  json_plan(&json, info);
  json_problems(&json, info);
  lcip_cli_json_end_object(&json);
}

static void print_ports(const Info *info, const char *title, GPtrArray *ports) {
  for (guint i = 0; i < ports->len; i++) {
    const LcipGraphPort *port = g_ptr_array_index(ports, i);
    LcipTensorSpec spec = port_spec(info, port, ports == info->graph->outputs ? (int)i : -1);
    g_autofree char *text =
        spec.type == LCIP_TYPE_NONE ? g_strdup("unknown") : lcip_tensor_spec_to_string(&spec);
    g_print("%-12s %s  %s\n", i ? "" : title, port->name, text);
  }
}

static void print_operators(const Info *info) {
  g_autoptr(GPtrArray) names = sorted_operators(info);
  g_print("%-12s %u actors:", "Operators", info->graph->actors->len);
  for (guint i = 0; i < names->len; i++) {
    const char *name = g_ptr_array_index(names, i);
    g_print(" %u %s%s", GPOINTER_TO_UINT(g_hash_table_lookup(info->operators, name)), name,
            i + 1 < names->len ? "," : "\n");
  }
}

static void print_plan(const Info *info) {
  if (!info->plan) {
    g_print("%-12s %s\n", "Can't run", info->plan_problem);
    return;
  }
  g_print("%-12s %u steps in %u segments under mapping '%s'\n", "Plan",
          lcip_plan_n_steps(info->plan), lcip_plan_n_segments(info->plan),
          lcip_plan_mapping(info->plan));
  for (guint i = 0; i < lcip_plan_n_lanes(info->plan); i++) {
    const LcipPlanLane *lane = lcip_plan_lane(info->plan, i);
    g_autofree char *arena = g_format_size_full(lane->arena_bytes, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *weights = g_format_size_full(lane->weight_bytes, G_FORMAT_SIZE_IEC_UNITS);
    g_print("%-12s %s (%s, %s): %u steps, %s for tensors at the peak, %s of weights\n",
            i ? "" : "Lanes", lane->name, lcip_lane_kind_name(lane->kind),
            lane->device ? lane->device->name : "no device", lane->n_steps, arena, weights);
  }
}

static void print_text(const Info *info) {
  g_print("%-12s %s\n", "Graph",
          info->graph->name && *info->graph->name ? info->graph->name : info->path);
  if (info->graph->description && *info->graph->description)
    g_print("%-12s %s\n", "", info->graph->description);
  print_operators(info);
  print_ports(info, "Inputs", info->graph->inputs);
  print_ports(info, "Outputs", info->graph->outputs);
  g_print("%-12s %" G_GUINT64_FORMAT "\n", "Parameters", info->parameters);
  g_print("%-12s %.3f GFLOP a frame\n", "Work", info->flops / 1e9);
  g_print("%-12s", "Mappings");
  for (guint i = 0; i < info->graph->mappings->len; i++)
    g_print(" %s", ((LcipMapping *)g_ptr_array_index(info->graph->mappings, i))->name);
  g_print("\n");
  print_plan(info);
}

static LcipCliExit run(const LcipCliCommand *command, char **argv) {
  g_auto(GStrv) args = g_strdupv(argv);
  g_auto(Info) info = {0};
  g_auto(GStrv) shapes = NULL;
  gboolean as_json = FALSE;
  g_autoptr(GError) error = NULL;
  const GOptionEntry entries[] = {
      LCIP_CLI_SHAPE_OPTION(&shapes),
      {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "Print a JSON document (lcip-info)", NULL},
      G_OPTION_ENTRY_NULL};
  if (!lcip_cli_parse(command, entries, &args, 1, 1))
    return LCIP_CLI_USAGE;
  lcip_runtime_devices(lcip_runtime_get()); /* so that empty lanes show theirs too */
  if (!info_load(&info, args[1], shapes, &error))
    return as_json ? lcip_cli_report_json(command, error) : lcip_cli_report(command, error);
  if (as_json) {
    print_json(&info);
  } else {
    print_text(&info);
    lcip_cli_note_problems(info.path, info.graph, info.problems);
  }
  return lcip_cli_finish(LCIP_CLI_DONE);
}

const LcipCliCommand lcip_cli_info = {
    .name = "info",
    .arguments = "GRAPH.xml|MODEL.onnx",
    .summary = "Tell what is in a graph: actors, inputs and outputs, work, lanes, memory",
    .description =
        "Work counts a multiplication and an addition as two. Memory is what one frame in "
        "flight needs on each lane.",
    .run = run,
};
