#include "config.h"
#include "lcip-analysis.h"
#include "lcip-open-dims.h"
#include "lcip-rates.h"
#include "lcip-reference.h"

#include <string.h>

/* What constant folding may take beside a multiple of the graph's own constants: it runs when a
 * file is opened, and a small file must not take gigabytes or minutes. What goes beyond is computed
 * while running. */
#define FOLD_BYTES (64.0 * (1 << 20))
#define FOLD_WORK 2e8
#define FOLD_BYTES_PER_BYTE 8
#define FOLD_WORK_PER_BYTE 16
/* Shapes and other small values, which operators need before the run, are always folded. */
#define FOLD_SMALL_BYTES (16 << 10)

typedef struct {
  const LcipGraph *graph;
  LcipPortIndex *ports;
  LcipAnalysis *analysis;
  GHashTable *source_sizes;
  GHashTable *input_shapes;
  GPtrArray *problems;
  GHashTable *refused; /* ids of actors with problems before: whoever read them said more */
  gboolean *varies;    /* per actor: its shapes may be smaller than planned while running */
  double fold_bytes;   /* what folding may still make */
  double fold_work;    /* what it may still do: FLOPs, and bytes read and written */
} Analyser;

static void problem(Analyser *a, int actor, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void problem(Analyser *a, int actor, const char *format, ...) {
  va_list ap;
  if (actor >= 0 && g_hash_table_contains(a->refused, lcip_graph_actor(a->graph, actor)->id))
    return;
  va_start(ap, format);
  g_autofree char *message = g_strdup_vprintf(format, ap);
  va_end(ap);
  lcip_problems_add(a->problems, LCIP_PROBLEM_ERROR,
                    actor >= 0 ? lcip_graph_actor(a->graph, actor)->id : NULL, "%s", message);
}

/* ---- connections ---- */

static void check_known(Analyser *a, int index) {
  const LcipActor *actor = lcip_graph_actor(a->graph, index);
  if (actor->op)
    return;
  problem(a, index, "operator %s%s%s: LCIP has no such operator", actor->domain,
          *actor->domain ? "." : "", actor->op_name);
}

static gboolean edge_ends_exist(Analyser *a, const LcipEdge *edge) {
  const LcipGraph *graph = a->graph;
  if (edge->src_actor >= 0 &&
      edge->src_port >= lcip_graph_actor(graph, edge->src_actor)->n_outputs) {
    problem(a, edge->src_actor, "an edge leaves output %u, but it has %u outputs", edge->src_port,
            lcip_graph_actor(graph, edge->src_actor)->n_outputs);
    return FALSE;
  }
  if (edge->dst_actor >= 0 &&
      edge->dst_port >= lcip_graph_actor(graph, edge->dst_actor)->n_inputs) {
    problem(a, edge->dst_actor, "an edge enters input %u, but it has %u inputs", edge->dst_port,
            lcip_graph_actor(graph, edge->dst_actor)->n_inputs);
    return FALSE;
  }
  return TRUE;
}

static void check_edge_unique(Analyser *a, guint e) {
  const LcipEdge *edge = &g_array_index(a->graph->edges, LcipEdge, e);
  if (edge->dst_actor < 0)
    return;
  const LcipActor *actor = lcip_graph_actor(a->graph, edge->dst_actor);
  const int slot = a->ports->first[edge->dst_actor] + (int)edge->dst_port;
  g_autofree char *name = lcip_operator_input_name(actor->op, edge->dst_port);
  if (a->ports->edges[slot] != (int)e)
    problem(a, edge->dst_actor, "input %s: expected one edge, found several", name);
  else if (actor->constants[edge->dst_port])
    problem(a, edge->dst_actor, "input %s: has both an edge and a constant", name);
}

static void check_outputs_fed_once(Analyser *a) {
  g_autofree guint *edges = g_new0(guint, a->graph->outputs->len + 1);
  for (guint e = 0; e < a->graph->edges->len; e++) {
    const LcipEdge *edge = &g_array_index(a->graph->edges, LcipEdge, e);
    if (edge->dst_actor < 0 && edge->dst_port < a->graph->outputs->len)
      edges[edge->dst_port]++;
  }
  for (guint o = 0; o < a->graph->outputs->len; o++)
    if (edges[o] != 1)
      problem(a, -1, "output %s: expected one edge, found %u",
              ((const LcipGraphPort *)a->graph->outputs->pdata[o])->name, edges[o]);
}

static gboolean check_connections(Analyser *a) {
  gboolean sound = TRUE;
  for (guint e = 0; e < a->graph->edges->len; e++) {
    const LcipEdge *edge = &g_array_index(a->graph->edges, LcipEdge, e);
    if (!edge_ends_exist(a, edge))
      sound = FALSE;
    else
      check_edge_unique(a, e);
  }
  check_outputs_fed_once(a);
  for (guint i = 0; i < a->graph->actors->len; i++)
    check_known(a, (int)i);
  return sound;
}

/* ---- rates ---- */

static guint port_rate(const LcipPortDef *ports, guint n, guint port) {
  if (n == 0)
    return 1;
  return MAX(1, ports[MIN(port, n - 1)].rate);
}

static LcipRateEdge *rate_edges(const LcipGraph *graph, guint *n, guint **graph_edge) {
  LcipRateEdge *edges = g_new0(LcipRateEdge, graph->edges->len + 1);
  *graph_edge = g_new0(guint, graph->edges->len + 1);
  *n = 0;
  for (guint e = 0; e < graph->edges->len; e++) {
    const LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, e);
    if (edge->src_actor < 0 || edge->dst_actor < 0)
      continue;
    const LcipOperator *src = lcip_graph_actor(graph, edge->src_actor)->op;
    const LcipOperator *dst = lcip_graph_actor(graph, edge->dst_actor)->op;
    (*graph_edge)[*n] = e;
    edges[(*n)++] = (LcipRateEdge){
        .src = edge->src_actor,
        .dst = edge->dst_actor,
        .produced = src ? port_rate(src->outputs, src->n_outputs, edge->src_port) : 1,
        .consumed = dst ? port_rate(dst->inputs, dst->n_inputs, edge->dst_port) : 1,
        .delay = edge->delay};
  }
  return edges;
}

static gboolean all_rates_one(const LcipRateEdge *edges, guint n) {
  for (guint i = 0; i < n; i++)
    if (edges[i].produced != 1 || edges[i].consumed != 1)
      return FALSE;
  return TRUE;
}

/* With all rates 1 everything fires once, deadlock is a cycle without delays, and an edge holds its
 * delays and one token more. */
static void homogeneous_rates(Analyser *a, const LcipRateEdge *edges, guint n,
                              const guint *graph_edge) {
  for (guint i = 0; i < a->analysis->n_actors; i++)
    a->analysis->repetitions[i] = 1;
  for (guint i = 0; i < n; i++)
    a->analysis->edge_tokens[graph_edge[i]] = edges[i].delay + 1;
}

static gboolean check_rates(Analyser *a) {
  guint n, bad, blocked;
  g_autofree guint *graph_edge = NULL;
  g_autofree LcipRateEdge *edges = rate_edges(a->graph, &n, &graph_edge);
  if (all_rates_one(edges, n)) {
    homogeneous_rates(a, edges, n, graph_edge);
    return TRUE;
  }
  if (!lcip_rates_repetitions(a->analysis->n_actors, edges, n, a->analysis->repetitions, &bad)) {
    problem(a, edges[bad].dst, "the rates do not fit: %u tokens in from %s, which gives %u",
            edges[bad].consumed, lcip_graph_actor(a->graph, edges[bad].src)->id,
            edges[bad].produced);
    return FALSE;
  }
  g_autofree guint *tokens = g_new0(guint, n + 1);
  if (!lcip_rates_schedule(a->analysis->n_actors, edges, n, a->analysis->repetitions, tokens,
                           &blocked)) {
    problem(a, (int)blocked, "deadlock: it waits for tokens that never come");
    return FALSE;
  }
  for (guint i = 0; i < n; i++)
    a->analysis->edge_tokens[graph_edge[i]] = tokens[i];
  return TRUE;
}

static gboolean find_order(Analyser *a) {
  g_autoptr(GArray) cycle = NULL;
  a->analysis->order = lcip_graph_order(a->graph, &cycle);
  if (a->analysis->order)
    return TRUE;
  g_autoptr(GString) text = g_string_new(NULL);
  for (guint i = 0; i < cycle->len; i++)
    g_string_append_printf(text, "%s -> ",
                           lcip_graph_actor(a->graph, g_array_index(cycle, int, i))->id);
  const int first = g_array_index(cycle, int, 0);
  problem(a, first, "deadlock: the cycle %s%s has no delay", text->str,
          lcip_graph_actor(a->graph, first)->id);
  return FALSE;
}

/* ---- shapes and values ---- */

static LcipTensorSpec graph_input_spec(Analyser *a, guint index) {
  const LcipGraphPort *port = a->graph->inputs->pdata[index];
  LcipTensorSpec spec = port->spec;
  const LcipShape *given =
      a->input_shapes ? g_hash_table_lookup(a->input_shapes, port->name) : NULL;
  if (given)
    spec.shape = *given;
  for (int i = 0; i < spec.shape.rank; i++)
    if (spec.shape.dims[i] < 0) {
      spec.type = LCIP_TYPE_NONE;
      break;
    }
  return spec;
}

static void settle_graph_inputs(Analyser *a) {
  for (guint i = 0; i < a->graph->inputs->len; i++) {
    const LcipGraphPort *port = a->graph->inputs->pdata[i];
    a->analysis->graph_inputs[i] = graph_input_spec(a, i);
    if (a->analysis->graph_inputs[i].type == LCIP_TYPE_NONE)
      problem(a, -1, "input %s: " LCIP_OPEN_SIZE_WORDS, port->name);
  }
}

void lcip_analysis_step(const LcipAnalysis *analysis, const LcipGraph *graph, int index,
                        LcipStep *step, LcipTensorSpec *inputs, LcipTensor **constants) {
  const LcipActor *actor = lcip_graph_actor(graph, index);
  *step = (LcipStep){.op = actor->op,
                     .attrs = actor->attrs,
                     .n_inputs = actor->n_inputs,
                     .n_anchor_inputs = actor->n_inputs,
                     .inputs = inputs,
                     .constants = constants,
                     .n_outputs = actor->n_outputs,
                     .outputs = analysis->specs[index]};
  for (guint p = 0; p < actor->n_inputs; p++) {
    const LcipTensorSpec *spec = analysis->input_specs[index] + p;
    inputs[p] = *spec;
    constants[p] = analysis->input_values[index][p];
  }
}

/* Fills the actor's input specs and constant inputs from edges and constants. FALSE when one that
 * is connected is not known. */
static gboolean gather_inputs(Analyser *a, int index) {
  const LcipActor *actor = lcip_graph_actor(a->graph, index);
  LcipAnalysis *analysis = a->analysis;
  gboolean known = TRUE;
  for (guint p = 0; p < actor->n_inputs; p++) {
    LcipTensorSpec *spec = &analysis->input_specs[index][p];
    const int e = a->ports->edges[a->ports->first[index] + (int)p];
    if (actor->constants[p]) {
      *spec = *lcip_tensor_get_spec(actor->constants[p]);
      analysis->input_values[index][p] = actor->constants[p];
    }
    if (e < 0)
      continue;
    const LcipEdge *edge = &g_array_index(a->graph->edges, LcipEdge, e);
    if (edge->src_actor < 0) {
      *spec = graph_input_spec(a, edge->src_port);
    } else {
      *spec = analysis->specs[edge->src_actor][edge->src_port];
      analysis->input_values[index][p] = analysis->values[edge->src_actor][edge->src_port];
      a->varies[index] |= a->varies[edge->src_actor];
    }
    known &= spec->type != LCIP_TYPE_NONE;
  }
  return known;
}

/* Of inputs that the operator has: lcip_step_infer() says when there are more. */
static gboolean shape_ports_constant(Analyser *a, const LcipStep *step, int index) {
  for (guint p = 0; p < MIN(step->n_inputs, step->op->n_inputs); p++) {
    if (!(step->op->inputs[p].flags & LCIP_PORT_SHAPE) || !lcip_step_has_input(step, p) ||
        step->constants[p])
      continue;
    problem(a, index, "input %s: expected a value known before the run, found a computed one",
            step->op->inputs[p].name);
    return FALSE;
  }
  return TRUE;
}

static void set_fold_limits(Analyser *a) {
  g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
  double bytes = 0;
  for (guint i = 0; i < a->graph->actors->len; i++) {
    const LcipActor *actor = lcip_graph_actor(a->graph, (int)i);
    for (guint p = 0; p < actor->n_inputs; p++)
      if (actor->constants[p] && g_hash_table_add(seen, actor->constants[p]))
        bytes += (double)lcip_tensor_get_bytes(actor->constants[p]);
  }
  a->fold_bytes = FOLD_BYTES + FOLD_BYTES_PER_BYTE * bytes;
  a->fold_work = FOLD_WORK + FOLD_WORK_PER_BYTE * bytes;
}

/* Takes what the step needs from what is left. */
static gboolean afford_fold(Analyser *a, const LcipStep *step) {
  LcipCost cost;
  double made = 0;
  for (guint o = 0; o < step->n_outputs; o++) {
    gsize bytes;
    if (!lcip_tensor_spec_bytes(&step->outputs[o], &bytes))
      return FALSE;
    made += (double)bytes;
  }
  lcip_operator_cost(step, &cost);
  const double work = cost.flops + cost.bytes;
  if (made <= FOLD_SMALL_BYTES && work <= 4 * FOLD_SMALL_BYTES)
    return TRUE;
  if (!(made <= a->fold_bytes && work <= a->fold_work)) /* NaN is not affordable */
    return FALSE;
  a->fold_bytes -= made;
  a->fold_work -= work;
  return TRUE;
}

/* Nobody has these of constants alone. What the first cost lies in the values: boxes, pictures; the
 * reference of ConvTranspose looks at every tap for each output, dilated or not. */
static gboolean cost_unknown(const LcipOperator *op) {
  static const char *const names[] = {"NonMaxSuppression", "RoiAlign", "ConvTranspose", NULL};
  return *op->domain != '\0' || g_strv_contains(names, op->name);
}

static gboolean reads_shape_alone(const LcipOperator *op) {
  return *op->domain == '\0' && (g_str_equal(op->name, "Shape") || g_str_equal(op->name, "Size"));
}

static gboolean can_fold(Analyser *a, const LcipStep *step, int index) {
  if (step->op->flags & (LCIP_OP_SOURCE | LCIP_OP_SINK))
    return FALSE;
  if (reads_shape_alone(step->op))
    return !a->varies[index];
  for (guint p = 0; p < step->n_inputs; p++)
    if (lcip_step_has_input(step, p) && !step->constants[p])
      return FALSE;
  return !cost_unknown(step->op) && afford_fold(a, step);
}

static void free_values(LcipTensor **values, guint n) {
  for (guint i = 0; i < n; i++)
    g_clear_pointer(&values[i], lcip_tensor_unref);
}

static gboolean input_varies(Analyser *a, int index, guint port) {
  const int e = a->ports->edges[a->ports->first[index] + (int)port];
  const int src = e < 0 ? -1 : g_array_index(a->graph->edges, LcipEdge, e).src_actor;
  return src >= 0 && a->varies[src];
}

/* Does an output's shape change with dimension @d of input @p? A dimension that the operator does
 * not let change cannot vary. */
static gboolean follows(const LcipStep *step, guint p, int d) {
  g_autofree LcipTensorSpec *inputs =
      g_memdup2(step->inputs, sizeof(LcipTensorSpec) * (step->n_inputs + 1));
  g_autofree LcipTensorSpec *outputs = g_new0(LcipTensorSpec, step->n_outputs + 1);
  LcipStep smaller = *step;
  smaller.inputs = inputs;
  smaller.outputs = outputs;
  inputs[p].shape.dims[d] = MAX(1, inputs[p].shape.dims[d] - 1);
  if (!lcip_step_infer(&smaller, NULL))
    return FALSE;
  for (guint o = 0; o < step->n_outputs; o++)
    if (!lcip_tensor_spec_equal(&outputs[o], &step->outputs[o]))
      return TRUE;
  return FALSE;
}

/* Do the output's shapes follow those of varying inputs? A picture's size varies, the tensor made
 * of it does not. */
static gboolean outputs_vary(Analyser *a, const LcipStep *step, int index) {
  if (step->n_outputs > 0 && a->analysis->values[index][0])
    return FALSE; /* folded: as it will always be */
  if (step->op->flags & (LCIP_OP_SOURCE | LCIP_OP_DYNAMIC))
    return TRUE;
  for (guint p = 0; a->varies[index] && p < step->n_inputs; p++)
    for (int d = 0; input_varies(a, index, p) && d < step->inputs[p].shape.rank; d++)
      if (follows(step, p, d))
        return TRUE;
  return FALSE;
}

/* What cannot be folded is computed while running. */
static void fold(Analyser *a, const LcipStep *step, int index) {
  LcipTensor **values = a->analysis->values[index];
  if (!lcip_reference_fire(step, step->constants, values, NULL))
    return;
  for (guint o = 0; o < step->n_outputs; o++)
    step->outputs[o] = *lcip_tensor_get_spec(values[o]);
}

static void analyse_actor(Analyser *a, int index) {
  const LcipActor *actor = lcip_graph_actor(a->graph, index);
  g_autoptr(GError) error = NULL;
  const gboolean known = gather_inputs(a, index);
  if (!actor->op || !known)
    return;
  g_autofree LcipTensorSpec *inputs = g_new0(LcipTensorSpec, actor->n_inputs + 1);
  g_autofree LcipTensor **constants = g_new0(LcipTensor *, actor->n_inputs + 1);
  LcipStep step; /* varies[index] says until the end whether its inputs vary */
  lcip_analysis_step(a->analysis, a->graph, index, &step, inputs, constants);
  if (!shape_ports_constant(a, &step, index))
    return;
  if (!lcip_step_infer(&step, &error)) {
    problem(a, index, "%s: %s", actor->op_name, error->message);
    for (guint o = 0; o < actor->n_outputs; o++)
      step.outputs[o].type = LCIP_TYPE_NONE;
    return;
  }
  const LcipShape *size = a->source_sizes ? g_hash_table_lookup(a->source_sizes, actor->id) : NULL;
  if (size && actor->n_outputs)
    step.outputs[0].shape = *size;
  if (can_fold(a, &step, index))
    fold(a, &step, index);
  a->varies[index] = outputs_vary(a, &step, index);
}

static LcipAnalysis *analysis_new(const LcipGraph *graph) {
  LcipAnalysis *analysis = g_new0(LcipAnalysis, 1);
  const guint n = graph->actors->len;
  analysis->n_actors = n;
  analysis->n_edges = graph->edges->len;
  analysis->repetitions = g_new0(guint, n + 1);
  analysis->edge_tokens = g_new0(guint, graph->edges->len + 1);
  analysis->specs = g_new0(LcipTensorSpec *, n + 1);
  analysis->values = g_new0(LcipTensor **, n + 1);
  analysis->input_specs = g_new0(LcipTensorSpec *, n + 1);
  analysis->input_values = g_new0(LcipTensor **, n + 1);
  analysis->n_outputs = g_new0(guint, n + 1);
  analysis->graph_inputs = g_new0(LcipTensorSpec, graph->inputs->len + 1);
  for (guint i = 0; i < n; i++) {
    const LcipActor *actor = lcip_graph_actor(graph, (int)i);
    analysis->n_outputs[i] = actor->n_outputs;
    analysis->specs[i] = g_new0(LcipTensorSpec, actor->n_outputs + 1);
    analysis->values[i] = g_new0(LcipTensor *, actor->n_outputs + 1);
    analysis->input_specs[i] = g_new0(LcipTensorSpec, actor->n_inputs + 1);
    analysis->input_values[i] = g_new0(LcipTensor *, actor->n_inputs + 1);
  }
  return analysis;
}

static GHashTable *refused_actors(const GPtrArray *problems) {
  GHashTable *refused = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; problems && i < problems->len; i++) {
    const LcipProblem *problem = problems->pdata[i];
    if (problem->severity == LCIP_PROBLEM_ERROR && problem->actor_id)
      g_hash_table_add(refused, g_strdup(problem->actor_id));
  }
  return refused;
}

LcipAnalysis *lcip_analyse(const LcipGraph *graph, GHashTable *source_sizes,
                           GHashTable *input_shapes, GPtrArray *problems) {
  g_autoptr(LcipAnalysis) analysis = analysis_new(graph);
  g_autoptr(LcipPortIndex) ports = lcip_port_index_new(graph);
  g_autofree gboolean *varies = g_new0(gboolean, graph->actors->len + 1);
  g_autoptr(GHashTable) refused = refused_actors(problems);
  Analyser a = {.graph = graph,
                .ports = ports,
                .analysis = analysis,
                .source_sizes = source_sizes,
                .input_shapes = input_shapes,
                .problems = problems,
                .refused = refused,
                .varies = varies};
  if (!check_connections(&a) || !find_order(&a) || !check_rates(&a))
    return NULL;
  settle_graph_inputs(&a);
  set_fold_limits(&a);
  for (guint i = 0; i < analysis->n_actors; i++)
    analyse_actor(&a, analysis->order[i]);
  return g_steal_pointer(&analysis);
}

void lcip_analysis_free(LcipAnalysis *analysis) {
  for (guint i = 0; i < analysis->n_actors; i++) {
    free_values(analysis->values[i], analysis->n_outputs[i]);
    g_free(analysis->specs[i]);
    g_free(analysis->values[i]);
    g_free(analysis->input_specs[i]);
    g_free(analysis->input_values[i]);
  }
  g_free(analysis->order);
  g_free(analysis->repetitions);
  g_free(analysis->edge_tokens);
  g_free(analysis->specs);
  g_free(analysis->values);
  g_free(analysis->input_specs);
  g_free(analysis->input_values);
  g_free(analysis->n_outputs);
  g_free(analysis->graph_inputs);
  g_free(analysis);
}
