#include "config.h"
#include "lcip-placement.h"
#include "lcip-remote-device.h"

/* The part of a graph that a worker computes, as a graph of its own: the actors as they stand in
 * the document, because the worker plans for itself; the cut edges become its inputs and outputs.
 */

typedef struct {
  const LcipPlacement *p;
  LcipGraph *graph;
  int *index_of;        /* actor of the whole graph -> actor of the part, or -1 */
  const GArray *inputs; /* placed values */
  const char *broken;   /* an actor that reads what is no tensor of the plan, or NULL */
} Cut;

static const LcipGraph *whole(const Cut *cut) {
  return cut->p->ir->graph;
}

/* ---- inputs and outputs ---- */

static int find_int(const GArray *values, int value) {
  for (guint i = 0; i < values->len; i++)
    if (g_array_index(values, int, i) == value)
      return (int)i;
  return -1;
}

static void add_inputs(Cut *cut) {
  for (guint i = 0; i < cut->inputs->len; i++) {
    g_autofree char *id = g_strdup_printf("cut_in_%u", i);
    lcip_graph_add_input(cut->graph, id, id,
                         lcip_placement_value(cut->p, g_array_index(cut->inputs, int, i))->spec);
  }
}

/* The actor and port that an IR value is of. FALSE for graph inputs and what transforms made. */
static gboolean find_owner(const LcipIr *ir, int value, int *actor, guint *port) {
  for (guint i = 0; i < ir->graph->actors->len; i++) {
    const int first = ir->actor_first_value[i];
    if (value < first || value >= first + (int)ir->analysis->n_outputs[i])
      continue;
    *actor = (int)i;
    *port = (guint)(value - first);
    return TRUE;
  }
  return FALSE;
}

static void add_output(Cut *cut, const LcipPlacedNode *node, guint port, guint index) {
  const int ir_value = lcip_ir_output(lcip_ir_node(cut->p->ir, node->ir_node), port);
  const int value = g_array_index(node->outputs, int, port);
  g_autofree char *id = g_strdup_printf("cut_out_%u", index);
  LcipEdge edge = {.dst_actor = LCIP_NO_ACTOR, .dst_port = index};
  lcip_graph_add_output(cut->graph, id, id, lcip_placement_value(cut->p, value)->spec);
  if (find_owner(cut->p->ir, ir_value, &edge.src_actor, &edge.src_port)) {
    edge.src_actor = cut->index_of[edge.src_actor];
    lcip_graph_add_edge(cut->graph, edge);
  }
}

static void add_outputs(Cut *cut, const GArray *nodes, const GArray *outputs) {
  for (guint k = 0; k < outputs->len; k++)
    for (guint i = 0; i < nodes->len; i++) {
      const LcipPlacedNode *node = lcip_placement_node(cut->p, g_array_index(nodes, int, i));
      const int port = find_int(node->outputs, g_array_index(outputs, int, k));
      if (port >= 0)
        add_output(cut, node, (guint)port, k);
    }
}

/* ---- actors ---- */

static int first_value(const LcipIr *ir, const LcipEdge *edge) {
  if (edge->src_actor >= 0)
    return ir->actor_first_value[edge->src_actor] + (int)edge->src_port;
  for (guint i = 0; i < ir->nodes->len; i++) {
    const LcipIrNode *node = lcip_ir_node(ir, (int)i);
    if (node->kind == LCIP_IR_SOURCE && node->graph_port == (int)edge->src_port)
      return lcip_ir_output(node, 0);
  }
  return -1;
}

/* What the reader of @edge reads after the transforms: an actor that does nothing, or what another
 * does already, is no step. */
static int source_value(const LcipIr *ir, const LcipEdge *edge) {
  int value = first_value(ir, edge);
  while (value >= 0 && lcip_ir_value(ir, value)->replaced_by >= 0)
    value = lcip_ir_value(ir, value)->replaced_by;
  return value;
}

/* What is constant here is constant there; so the actors that made it need not go along. */
static void set_folded(Cut *cut, const LcipPortIndex *ports, int index, LcipActor *actor) {
  for (guint p = 0; p < actor->n_inputs; p++) {
    const int e = ports->edges[ports->first[index] + (int)p];
    if (e < 0)
      continue;
    const int value = source_value(cut->p->ir, &g_array_index(whole(cut)->edges, LcipEdge, e));
    LcipTensor *constant = value >= 0 ? lcip_ir_value(cut->p->ir, value)->constant : NULL;
    if (constant)
      lcip_actor_set_constant(actor, p, constant, NULL);
  }
}

static void add_actor(Cut *cut, const LcipPortIndex *ports, int index) {
  LcipActor *actor = lcip_actor_copy(lcip_graph_actor(whole(cut), index));
  set_folded(cut, ports, index, actor);
  cut->index_of[index] = lcip_graph_add_actor(cut->graph, actor);
}

static void add_edges_to(Cut *cut, const LcipPortIndex *ports, int index);

/* Reshapes and the like of another lane are no steps there: one between two actors of the part
 * comes along. */
static gboolean take_view(Cut *cut, const LcipPortIndex *ports, int actor) {
  const LcipOperator *op = lcip_graph_actor(whole(cut), actor)->op;
  if (!op || !(op->flags & LCIP_OP_VIEW))
    return FALSE;
  add_actor(cut, ports, actor);
  add_edges_to(cut, ports, actor);
  return TRUE;
}

/* The other end of an edge into the part: an actor of it, or one of its inputs. */
static gboolean find_source(Cut *cut, const LcipPortIndex *ports, int value, LcipEdge *edge) {
  int actor;
  guint port;
  const gboolean owned = value >= 0 && find_owner(cut->p->ir, value, &actor, &port);
  const int input = value >= 0 ? find_int(cut->inputs, lcip_placement_dense(cut->p, value)) : -1;
  edge->src_actor = LCIP_NO_ACTOR;
  edge->src_port = (guint)input;
  if (!owned || (cut->index_of[actor] < 0 && input >= 0))
    return input >= 0;
  if (cut->index_of[actor] < 0 && !take_view(cut, ports, actor))
    return FALSE;
  edge->src_actor = cut->index_of[actor];
  edge->src_port = port;
  return TRUE;
}

static void add_edges_to(Cut *cut, const LcipPortIndex *ports, int index) {
  const LcipActor *actor = lcip_graph_actor(cut->graph, cut->index_of[index]);
  for (guint p = 0; p < actor->n_inputs; p++) {
    const int e = ports->edges[ports->first[index] + (int)p];
    if (e < 0 || actor->constants[p])
      continue;
    LcipEdge edge = g_array_index(whole(cut)->edges, LcipEdge, e);
    if (find_source(cut, ports, source_value(cut->p->ir, &edge), &edge)) {
      edge.dst_actor = cut->index_of[index];
      lcip_graph_add_edge(cut->graph, edge);
    } else
      cut->broken = actor->id;
  }
}

static void each_actor(Cut *cut, const LcipPortIndex *ports, const GArray *nodes,
                       void (*func)(Cut *cut, const LcipPortIndex *ports, int index)) {
  for (guint i = 0; i < nodes->len; i++) {
    const LcipPlacedNode *node = lcip_placement_node(cut->p, g_array_index(nodes, int, i));
    const GArray *actors = lcip_ir_node(cut->p->ir, node->ir_node)->actors;
    for (guint k = 0; k < actors->len; k++)
      func(cut, ports, g_array_index(actors, int, k));
  }
}

/* ---- lanes ---- */

static void map_all(Cut *cut, const char *name) {
  LcipMapping *mapping = lcip_graph_add_mapping(cut->graph, name);
  for (guint i = 0; i < cut->graph->actors->len; i++) {
    const char *id = lcip_graph_actor(cut->graph, (int)i)->id;
    const char *pin = g_hash_table_lookup(cut->p->ir->mapping->pins, id);
    lcip_mapping_assign(mapping, id, name);
    if (pin)
      lcip_mapping_pin(mapping, id, pin);
  }
}

static void add_lanes(Cut *cut, const LcipPlanLane *lane, const LcipLane *fallback,
                      const LcipPlanLane *fallback_plan) {
  lcip_graph_add_lane(cut->graph, LCIP_REMOTE_WORKER,
                      lane->device ? lcip_remote_device_kind(lane->device->id) : LCIP_LANE_CPU, 0,
                      NULL);
  lcip_graph_add_lane(cut->graph, LCIP_REMOTE_FALLBACK, fallback->kind, fallback_plan->threads,
                      fallback_plan->device ? fallback_plan->device->id : NULL);
  map_all(cut, LCIP_REMOTE_WORKER);
  map_all(cut, LCIP_REMOTE_FALLBACK);
  cut->graph->active_mapping = g_strdup(LCIP_REMOTE_WORKER);
}

/* As the mapping says, else the first CPU lane. */
static const LcipLane *fallback_lane(const LcipIr *ir, const char *lane) {
  const char *name = g_hash_table_lookup(ir->mapping->fallbacks, lane);
  const LcipLane *fallback = name ? lcip_graph_find_lane(ir->graph, name) : NULL;
  return fallback ? fallback : lcip_graph_first_cpu_lane(ir->graph);
}

static int lane_index(const LcipGraph *graph, const LcipLane *lane) {
  guint index = 0;
  return g_ptr_array_find(graph->lanes, lane, &index) ? (int)index : -1;
}

static gboolean find_fallback(const LcipPlacement *p, const char *lane, LcipRemotePart *part,
                              GError **error) {
  const LcipLane *fallback = fallback_lane(p->ir, lane);
  if (fallback && fallback->kind != LCIP_LANE_REMOTE) {
    part->fallback_lane = lane_index(p->ir->graph, fallback);
    return TRUE;
  }
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID,
              "lane %s: expected a lane of this machine as its fallback, found %s", lane,
              fallback ? fallback->name : "none");
  return FALSE;
}

/* ---- the part ---- */

static LcipGraph *make_graph(const LcipPlan *plan, const LcipPlacement *p, int lane,
                             const GArray *nodes, const GArray *inputs, const GArray *outputs,
                             int fallback, GError **error) {
  const LcipGraph *graph = p->ir->graph;
  g_autofree int *index_of = g_new(int, graph->actors->len + 1);
  g_autoptr(LcipPortIndex) ports = lcip_port_index_new(graph);
  for (guint i = 0; i < graph->actors->len; i++)
    index_of[i] = -1;
  Cut cut = {.p = p, .graph = lcip_graph_new(), .index_of = index_of, .inputs = inputs};
  g_free(cut.graph->name);
  cut.graph->name = g_strdup(graph->name);
  cut.graph->opset = graph->opset;
  cut.graph->source_opset = graph->source_opset;
  each_actor(&cut, ports, nodes, add_actor);
  add_inputs(&cut);
  each_actor(&cut, ports, nodes, add_edges_to);
  add_outputs(&cut, nodes, outputs);
  add_lanes(&cut, plan->lanes->pdata[lane], graph->lanes->pdata[fallback],
            plan->lanes->pdata[fallback]);
  if (cut.broken) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
                "actor %s reads what is no tensor of the plan", cut.broken);
    g_clear_pointer(&cut.graph, lcip_graph_unref);
  }
  return cut.graph;
}

static LcipPlan *plan_fallback(LcipGraph *graph, const LcipPlanOptions *options,
                               GCancellable *cancellable, GError **error) {
  const LcipPlanOptions own = {.mapping = LCIP_REMOTE_FALLBACK,
                               .pinned = options->pinned,
                               .sketch = options->sketch,
                               .threads = options->threads,
                               .families = options->families};
  return lcip_plan_new(graph, &own, NULL, cancellable, error);
}

LcipRemotePart *lcip_remote_part_new(const LcipPlan *plan, const LcipPlacement *placement,
                                     const LcipPlanOptions *options, const GArray *nodes,
                                     const GArray *inputs, const GArray *outputs,
                                     GCancellable *cancellable, GError **error) {
  const int lane = lcip_placement_node(placement, g_array_index(nodes, int, 0))->lane;
  const char *name = ((const LcipPlanLane *)plan->lanes->pdata[lane])->name;
  LcipRemotePart *part = g_new0(LcipRemotePart, 1);
  part->pinned = options->pinned;
  if (find_fallback(placement, name, part, error)) {
    part->graph =
        make_graph(plan, placement, lane, nodes, inputs, outputs, part->fallback_lane, error);
    part->fallback = part->graph ? plan_fallback(part->graph, options, cancellable, error) : NULL;
  }
  if (part->fallback)
    return part;
  g_prefix_error(error, "the fallback of lane %s: ", name);
  lcip_remote_part_free(part);
  return NULL;
}

void lcip_remote_part_free(LcipRemotePart *part) {
  g_clear_pointer(&part->fallback, lcip_plan_unref);
  g_clear_pointer(&part->graph, lcip_graph_unref);
  g_free(part);
}
