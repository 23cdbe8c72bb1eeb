#include "config.h"

#include "lcip-io.h"
#include "lcip-run-private.h"

#include <stdlib.h>
#include <string.h>

/* What a lane on another machine costs and gains; tests/net/measure.py runs it.
 *
 *   bench-remote --device DEVICE --tensor-bytes N [--reduce]
 *       a tensor of N bytes goes to the worker and, unless it is reduced there, comes back: latency
 * of a frame with the cut and without, one frame at a time bench-remote --device DEVICE --model
 * MODEL [--share P] [--frames-in-flight N] frames a second of the whole model here, and cut after
 * the share P of its operations
 *
 * Prints one line: "local_ms X cut_ms Y" (medians), "local_fps X cut_fps Y cut_bytes N"; with
 * --local or
 * --cut only that half is measured.
 */

#define WORKER_LANE "Worker"
#define N_WARM 30

typedef struct {
  char *device, *model;
  int tensor_bytes, frames_in_flight, frames;
  double share;
  gboolean reduce, only_local, only_cut, pinned;
} Args;

typedef struct {
  GArray *latencies_ms;
  gint64 first_ns, last_ns;
  guint n_counted;
} Times;

/* ---- graphs ---- */

static void add_actor(LcipGraph *graph, const char *id, const char *op, int from) {
  LcipActor *actor = lcip_actor_new(id, "", "", op, 1, 1);
  const int index = lcip_graph_add_actor(graph, actor);
  lcip_graph_add_edge(graph, (LcipEdge){.src_actor = from, .dst_actor = index});
}

/* Relu -> Relu or GlobalMaxPool on the worker -> Relu. */
static LcipGraph *tensor_graph(const Args *args) {
  LcipGraph *graph = lcip_graph_new();
  const LcipTensorSpec spec =
      lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, 1, 1, 1, args->tensor_bytes / 4));
  lcip_graph_add_input(graph, "x", "x", spec);
  lcip_graph_add_output(graph, "y", "y", (LcipTensorSpec){.type = LCIP_TYPE_NONE});
  add_actor(graph, "before", "Relu", LCIP_NO_ACTOR);
  add_actor(graph, "there", args->reduce ? "GlobalMaxPool" : "Relu", 0);
  add_actor(graph, "after", "Relu", 1);
  lcip_graph_add_edge(graph, (LcipEdge){.src_actor = 2, .dst_actor = LCIP_NO_ACTOR});
  return graph;
}

/* Operations of each actor in topological order; the cut is after the share of their sum. */
static void move_rest(LcipGraph *graph, LcipMapping *mapping, double share, GError **error) {
  g_autoptr(LcipPlan) plan =
      lcip_plan_new(graph, &(LcipPlanOptions){.threads = 1}, NULL, NULL, error);
  g_autofree int *order = lcip_graph_order(graph, NULL);
  double total = 0, sum = 0;
  if (!plan || !order)
    return;
  for (guint i = 0; i < lcip_plan_n_steps(plan); i++)
    total += (double)lcip_plan_step(plan, i)->cost.flops;
  g_autofree gboolean *counted = g_new0(gboolean, lcip_plan_n_steps(plan));
  for (guint i = 0; i < graph->actors->len; i++) {
    const int step = lcip_plan_actor(plan, (guint)order[i])->step;
    if (sum >= share * total)
      lcip_mapping_assign(mapping, lcip_graph_actor(graph, order[i])->id, WORKER_LANE);
    else if (step >= 0 && !counted[step]) {
      sum += (double)lcip_plan_step(plan, (guint)step)->cost.flops;
      counted[step] = TRUE;
    }
  }
}

static LcipGraph *load_graph(const Args *args, GError **error) {
  LcipGraph *graph = args->model ? lcip_graph_load(args->model, NULL, error) : tensor_graph(args);
  if (!graph)
    return NULL;
  lcip_graph_ensure_defaults(graph);
  const gboolean is_local = strcmp(args->device, "cpu") == 0; /* to try this program itself */
  LcipMapping *mapping = lcip_graph_add_mapping(graph, "cut");
  if (args->model)
    move_rest(graph, mapping, args->share, error);
  lcip_graph_add_lane(graph, WORKER_LANE, is_local ? LCIP_LANE_CPU : LCIP_LANE_REMOTE, 1, NULL);
  if (!args->model)
    lcip_mapping_assign(mapping, "there", WORKER_LANE);
  g_hash_table_insert(mapping->fallbacks, g_strdup(WORKER_LANE),
                      g_strdup(lcip_graph_first_cpu_lane(graph)->name));
  return graph;
}

/* ---- measuring ---- */

static void count(const LcipFrame *frame, gpointer data) {
  Times *times = data;
  const double ms = (double)frame->latency_ns / 1e6;
  times->last_ns = lcip_now_ns();
  if (frame->number == N_WARM)
    times->first_ns = times->last_ns;
  if (frame->number <= N_WARM)
    return;
  g_array_append_val(times->latencies_ms, ms);
  times->n_counted++;
}

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(GArray *values) {
  qsort(values->data, values->len, sizeof(double), by_value);
  return values->len ? g_array_index(values, double, values->len / 2) : 0;
}

/* Median latency, or frames a second; 0 with an error. */
static double measure(LcipGraph *graph, const Args *args, const char *mapping, gsize *cut_bytes,
                      GError **error) {
  g_autoptr(GHashTable) bindings = g_hash_table_new(g_str_hash, g_str_equal);
  g_hash_table_insert(bindings, (gpointer)WORKER_LANE, args->device);
  const LcipPlanOptions plan_options = {
      .mapping = mapping, .bindings = bindings, .threads = 1, .pinned = args->pinned};
  g_autoptr(LcipPlan) plan = lcip_plan_new(graph, &plan_options, NULL, NULL, error);
  if (!plan)
    return 0;
  for (guint i = 0; i < graph->edges->len; i++)
    *cut_bytes += lcip_plan_edge_bytes(plan, i);
  Times times = {.latencies_ms = g_array_new(FALSE, FALSE, sizeof(double))};
  const LcipRunOptions options = {.random_inputs = TRUE,
                                  .n_frames = (guint64)args->frames + N_WARM + 1,
                                  .frames_in_flight = (guint)args->frames_in_flight,
                                  .frame_func = count,
                                  .frame_data = &times};
  g_autoptr(LcipRun) run = lcip_run_start(plan, &options, error);
  const gboolean ok = run && lcip_run_wait(run, error);
  const double seconds = (double)(times.last_ns - times.first_ns) / 1e9;
  const double result =
      args->model ? (double)times.n_counted / MAX(seconds, 1e-9) : median(times.latencies_ms);
  g_array_unref(times.latencies_ms);
  return ok ? result : 0;
}

static gboolean bench(const Args *args, GError **error) {
  g_autoptr(LcipGraph) graph = load_graph(args, error);
  const char *unit = args->model ? "fps" : "ms";
  gsize cut_bytes = 0, no_bytes = 0;
  if (!graph || *error)
    return FALSE;
  if (!args->only_cut) {
    const double local = measure(graph, args, "default", &no_bytes, error);
    if (*error)
      return FALSE;
    g_print("local_%s %.4f ", unit, local);
  }
  if (!args->only_local) {
    const double cut = measure(graph, args, "cut", &cut_bytes, error);
    if (*error)
      return FALSE;
    g_print("cut_%s %.4f cut_bytes %" G_GSIZE_FORMAT, unit, cut, cut_bytes);
  }
  g_print("\n");
  return TRUE;
}

int main(int argc, char **argv) {
  Args args = {.frames_in_flight = 1, .frames = 300, .share = 0.5};
  g_autoptr(GError) error = NULL;
  const GOptionEntry entries[] = {
      {"device", 0, 0, G_OPTION_ARG_STRING, &args.device, "Of the worker's lane", "DEVICE"},
      {"tensor-bytes", 0, 0, G_OPTION_ARG_INT, &args.tensor_bytes, "That cross the cut", "N"},
      {"reduce", 0, 0, G_OPTION_ARG_NONE, &args.reduce, "Nothing but a maximum comes back", NULL},
      {"model", 0, 0, G_OPTION_ARG_STRING, &args.model, "To be cut", "MODEL"},
      {"share", 0, 0, G_OPTION_ARG_DOUBLE, &args.share, "Of operations that stay; 0.5", "P"},
      {"frames-in-flight", 0, 0, G_OPTION_ARG_INT, &args.frames_in_flight, "1 by default", "N"},
      {"frames", 0, 0, G_OPTION_ARG_INT, &args.frames, "300 by default", "N"},
      {"pinned", 0, 0, G_OPTION_ARG_NONE, &args.pinned, "As lcip run --pinned", NULL},
      {"local", 0, 0, G_OPTION_ARG_NONE, &args.only_local, "Only without the cut", NULL},
      {"cut", 0, 0, G_OPTION_ARG_NONE, &args.only_cut, "Only with the cut", NULL},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GOptionContext) context = g_option_context_new(NULL);
  g_option_context_add_main_entries(context, entries, NULL);
  if (!g_option_context_parse(context, &argc, &argv, &error) || argc > 1 || !args.device ||
      (!args.model && args.tensor_bytes < 4) || args.frames_in_flight < 1 || args.frames < 1) {
    g_printerr("bench-remote: %s\n", error ? error->message : "wrong arguments; see --help");
    return 2;
  }
  const gboolean ok = bench(&args, &error);
  if (!ok)
    g_printerr("bench-remote: %s\n", error->message);
  g_free(args.device);
  g_free(args.model);
  return ok ? 0 : 1;
}
