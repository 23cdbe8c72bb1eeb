#include "config.h"
#include "lcip-verify-private.h"

#include "lcip-reference.h"

/* Walk: one frame on the reference kernels. @values: per actor and output the tensor while it is
 * needed. @readers: per actor and output how many inputs have yet to read it. */
typedef struct {
  const LcipGraph *graph;
  const LcipAnalysis *analysis;
  LcipPortIndex *ports;
  GHashTable *inputs;
  LcipTensor ***values;
  guint **readers;
  LcipReferenceFunc func;
  gpointer data;
} Walk;

static void walk_open(Walk *walk) {
  const guint n = walk->analysis->n_actors;
  walk->ports = lcip_port_index_new(walk->graph);
  walk->values = g_new0(LcipTensor **, n + 1);
  walk->readers = g_new0(guint *, n + 1);
  for (guint i = 0; i < n; i++) {
    walk->values[i] = g_new0(LcipTensor *, walk->analysis->n_outputs[i] + 1);
    walk->readers[i] = g_new0(guint, walk->analysis->n_outputs[i] + 1);
  }
  for (guint e = 0; e < walk->graph->edges->len; e++) {
    const LcipEdge *edge = &g_array_index(walk->graph->edges, LcipEdge, e);
    if (edge->src_actor >= 0 && edge->dst_actor >= 0)
      walk->readers[edge->src_actor][edge->src_port]++;
  }
}

static void walk_close(Walk *walk) {
  for (guint i = 0; i < walk->analysis->n_actors; i++) {
    for (guint o = 0; o < walk->analysis->n_outputs[i]; o++)
      g_clear_pointer(&walk->values[i][o], lcip_tensor_unref);
    g_free(walk->values[i]);
    g_free(walk->readers[i]);
  }
  g_free(walk->values);
  g_free(walk->readers);
  lcip_port_index_free(walk->ports);
}

static const LcipEdge *edge_into(const Walk *walk, int actor, guint port) {
  const int e = walk->ports->edges[walk->ports->first[actor] + (int)port];
  return e < 0 ? NULL : &g_array_index(walk->graph->edges, LcipEdge, e);
}

/* Borrowed; NULL for an absent input. */
static LcipTensor *input_of(const Walk *walk, int index, guint port) {
  const LcipActor *actor = lcip_graph_actor(walk->graph, index);
  if (actor->constants[port])
    return actor->constants[port];
  const LcipEdge *edge = edge_into(walk, index, port);
  if (!edge)
    return NULL;
  if (edge->src_actor >= 0)
    return walk->values[edge->src_actor][edge->src_port];
  const LcipGraphPort *input = g_ptr_array_index(walk->graph->inputs, edge->src_port);
  return g_hash_table_lookup(walk->inputs, input->name);
}

/* Every value of this frame is known, so that shapes which depend on data are inferred too. */
static gboolean fire(Walk *walk, int index, GError **error) {
  const LcipActor *actor = lcip_graph_actor(walk->graph, index);
  g_autofree LcipTensorSpec *specs = g_new0(LcipTensorSpec, actor->n_inputs + 1);
  g_autofree LcipTensor **inputs = g_new0(LcipTensor *, actor->n_inputs + 1);
  g_autofree LcipTensorSpec *outputs = g_new0(LcipTensorSpec, actor->n_outputs + 1);
  for (guint p = 0; p < actor->n_inputs; p++) {
    inputs[p] = input_of(walk, index, p);
    if (!inputs[p])
      continue;
    specs[p] = *lcip_tensor_get_spec(inputs[p]);
    specs[p].shape = *lcip_tensor_get_shape(inputs[p]);
  }
  LcipStep step = {.op = actor->op,
                   .attrs = actor->attrs,
                   .n_inputs = actor->n_inputs,
                   .n_anchor_inputs = actor->n_inputs,
                   .inputs = specs,
                   .constants = inputs,
                   .n_outputs = actor->n_outputs,
                   .outputs = outputs};
  return lcip_step_infer(&step, error) &&
         lcip_reference_fire(&step, inputs, walk->values[index], error);
}

static gboolean take_source(Walk *walk, const LcipActor *actor, int index, GError **error) {
  LcipTensor *tensor = g_hash_table_lookup(walk->inputs, actor->id);
  if (!tensor) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID, "expected a picture for it, found none");
    return FALSE;
  }
  walk->values[index][0] = lcip_tensor_ref(tensor);
  return TRUE;
}

/* FALSE for an actor that analysis has folded: its values are the reference kernels' already. */
static gboolean take_folded(Walk *walk, int index) {
  const guint n = walk->analysis->n_outputs[index];
  for (guint o = 0; o < n; o++)
    if (!walk->analysis->values[index][o])
      return FALSE;
  for (guint o = 0; o < n; o++)
    walk->values[index][o] = lcip_tensor_ref(walk->analysis->values[index][o]);
  return n > 0;
}

static gboolean compute(Walk *walk, int index, GError **error) {
  const LcipActor *actor = lcip_graph_actor(walk->graph, index);
  if (actor->op->flags & LCIP_OP_SINK)
    return TRUE;
  gboolean ok = actor->op->flags & LCIP_OP_SOURCE
                    ? take_source(walk, actor, index, error)
                    : take_folded(walk, index) || fire(walk, index, error);
  if (!ok)
    g_prefix_error(error, "actor %s (%s) on the reference kernels: ", actor->id, actor->op_name);
  return ok;
}

static void tell(Walk *walk, int index) {
  for (guint o = 0; o < walk->analysis->n_outputs[index]; o++)
    if (walk->values[index][o])
      walk->func(index, o, walk->values[index][o], walk->data);
}

static void release(Walk *walk, int index) {
  const LcipActor *actor = lcip_graph_actor(walk->graph, index);
  for (guint p = 0; p < actor->n_inputs; p++) {
    const LcipEdge *edge = edge_into(walk, index, p);
    if (edge && edge->src_actor >= 0 && --walk->readers[edge->src_actor][edge->src_port] == 0)
      g_clear_pointer(&walk->values[edge->src_actor][edge->src_port], lcip_tensor_unref);
  }
  for (guint o = 0; o < walk->analysis->n_outputs[index]; o++)
    if (walk->readers[index][o] == 0)
      g_clear_pointer(&walk->values[index][o], lcip_tensor_unref);
}

gboolean lcip_reference_run(const LcipGraph *graph, const LcipAnalysis *analysis,
                            GHashTable *inputs, LcipReferenceFunc func, gpointer data,
                            GCancellable *cancellable, GError **error) {
  Walk walk = {.graph = graph, .analysis = analysis, .inputs = inputs, .func = func, .data = data};
  gboolean ok = TRUE;
  walk_open(&walk);
  for (guint i = 0; i < graph->inputs->len; i++) {
    const LcipGraphPort *port = g_ptr_array_index(graph->inputs, i);
    func(LCIP_NO_ACTOR, i, g_hash_table_lookup(inputs, port->name), data);
  }
  for (guint i = 0; ok && i < analysis->n_actors; i++) {
    const int index = analysis->order[i];
    ok = !g_cancellable_set_error_if_cancelled(cancellable, error) && compute(&walk, index, error);
    if (!ok)
      break;
    tell(&walk, index);
    release(&walk, index);
  }
  walk_close(&walk);
  return ok;
}
