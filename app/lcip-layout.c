#include "config.h"

#include "lcip-layout-private.h"

/* ---- which actors hang under their producers ---- */

static guint *count_consumers(const LcipGraph *graph) {
  guint *count = g_new0(guint, graph->actors->len + 1);
  for (guint i = 0; i < graph->edges->len; i++) {
    const LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, i);
    if (edge->src_actor != LCIP_NO_ACTOR)
      count[edge->src_actor]++;
  }
  return count;
}

static gboolean is_attachable(const LcipActor *actor) {
  LcipOpFlags flags = actor->op ? actor->op->flags : LCIP_OP_PLAIN;
  return (flags & (LCIP_OP_ELEMENTWISE | LCIP_OP_VIEW)) && actor->n_outputs == 1;
}

static gboolean can_carry(const LcipGraph *graph, int producer, const guint *consumers) {
  LcipActor *actor = lcip_graph_actor(graph, producer);
  LcipOpFlags flags = actor->op ? actor->op->flags : LCIP_OP_PLAIN;
  return consumers[producer] == 1 && actor->n_outputs == 1 && !(flags & LCIP_OP_SOURCE);
}

static gboolean has_position(const LcipGraph *graph, int actor) {
  return g_hash_table_contains(graph->layout, lcip_graph_actor(graph, actor)->id);
}

/* The deepest producer that has no other consumer, on the same lane. @depth: per actor. */
static int find_carrier(Work *work, int actor, const guint *consumers, const int *depth) {
  const LcipGraph *graph = work->graph;
  if (!is_attachable(lcip_graph_actor(graph, actor)) || has_position(graph, actor))
    return -1;
  int best = -1;
  for (guint port = 0; port < lcip_graph_actor(graph, actor)->n_inputs; port++) {
    const LcipEdge *edge = lcip_graph_edge_to(graph, actor, port);
    if (!edge || edge->src_actor == LCIP_NO_ACTOR || edge->delay > 0 || edge->src_actor == actor)
      continue;
    int src = edge->src_actor;
    if (!can_carry(graph, src, consumers) || work->lane_of[src] != work->lane_of[actor])
      continue;
    if (best < 0 || depth[src] > depth[best])
      best = src;
  }
  return best;
}

/* Longest path of each actor in the order given; depths of a graph with a cycle stay 0. */
static int *actor_depths(const LcipGraph *graph, const int *order) {
  int *depth = g_new0(int, graph->actors->len + 1);
  for (guint i = 0; order && i < graph->actors->len; i++) {
    int actor = order[i];
    for (guint port = 0; port < lcip_graph_actor(graph, actor)->n_inputs; port++) {
      const LcipEdge *edge = lcip_graph_edge_to(graph, actor, port);
      if (edge && edge->src_actor != LCIP_NO_ACTOR && edge->delay == 0)
        depth[actor] = MAX(depth[actor], depth[edge->src_actor] + 1);
    }
  }
  return depth;
}

static void attach_actors(Work *work) {
  const LcipGraph *graph = work->graph;
  g_autofree guint *consumers = count_consumers(graph);
  g_autofree int *order = lcip_graph_order(graph, NULL);
  g_autofree int *depth = actor_depths(graph, order);
  for (guint i = 0; i < graph->actors->len; i++)
    work->layout->actors[i].attached_to = -1;
  /* without an order a stack could close a loop onto itself: attach nothing */
  for (guint i = 0; order && i < graph->actors->len; i++)
    work->layout->actors[order[i]].attached_to = find_carrier(work, order[i], consumers, depth);
}

/* ---- vertices ---- */

static int add_vertex(Work *work, Vertex vertex) {
  vertex.above = g_array_new(FALSE, FALSE, sizeof(int));
  vertex.below = g_array_new(FALSE, FALSE, sizeof(int));
  g_array_append_val(work->vertices, vertex);
  return (int)work->vertices->len - 1;
}

static int stack_root(const LcipLayout *layout, int actor) {
  while (layout->actors[actor].attached_to >= 0)
    actor = layout->actors[actor].attached_to;
  return actor;
}

static void add_stacks(Work *work) {
  const LcipGraph *graph = work->graph;
  LcipLayout *layout = work->layout;
  for (guint i = 0; i < graph->actors->len; i++) {
    if (layout->actors[i].attached_to >= 0)
      continue;
    const LcipPosition *at = g_hash_table_lookup(graph->layout, lcip_graph_actor(graph, i)->id);
    Vertex vertex = {.kind = VERTEX_STACK,
                     .index = i,
                     .lane = work->lane_of[i],
                     .height = LCIP_LAYOUT_BRACKET_HEIGHT + LCIP_LAYOUT_ACTOR_HEIGHT,
                     .port = LCIP_LAYOUT_BRACKET_HEIGHT + LCIP_LAYOUT_ACTOR_HEIGHT / 2,
                     .placed = at != NULL,
                     .x = at ? at->x : 0,
                     .y = at ? MAX(at->y, 0) : 0};
    work->vertex_of[i] = add_vertex(work, vertex);
  }
  for (guint i = 0; i < graph->actors->len; i++)
    if (layout->actors[i].attached_to >= 0) {
      work->vertex_of[i] = work->vertex_of[stack_root(layout, i)];
      VERTEX(work, work->vertex_of[i])->height += LCIP_LAYOUT_ATTACHED_HEIGHT;
    }
}

/* A graph port lies on the lane of the first actor that it is connected to. */
static int port_lane(Work *work, gboolean is_input, guint index) {
  for (guint i = 0; i < work->graph->edges->len; i++) {
    const LcipEdge *edge = &g_array_index(work->graph->edges, LcipEdge, i);
    if (is_input && edge->src_actor == LCIP_NO_ACTOR && edge->src_port == index &&
        edge->dst_actor != LCIP_NO_ACTOR)
      return work->lane_of[edge->dst_actor];
    if (!is_input && edge->dst_actor == LCIP_NO_ACTOR && edge->dst_port == index &&
        edge->src_actor != LCIP_NO_ACTOR)
      return work->lane_of[edge->src_actor];
  }
  return 0;
}

static void add_ports(Work *work) {
  guint n = work->graph->actors->len, n_inputs = work->graph->inputs->len;
  for (guint i = 0; i < n_inputs + work->graph->outputs->len; i++) {
    gboolean is_input = i < n_inputs;
    guint index = is_input ? i : i - n_inputs;
    Vertex vertex = {.kind = is_input ? VERTEX_INPUT : VERTEX_OUTPUT,
                     .index = index,
                     .lane = port_lane(work, is_input, index),
                     .height = LCIP_LAYOUT_BRACKET_HEIGHT + LCIP_LAYOUT_ACTOR_HEIGHT,
                     .port = LCIP_LAYOUT_BRACKET_HEIGHT + LCIP_LAYOUT_ACTOR_HEIGHT / 2};
    work->vertex_of[n + i] = add_vertex(work, vertex);
  }
}

/* ---- arcs and nets ---- */

static int find_net(Work *work, GHashTable *index, int src, guint port) {
  gint64 key = (gint64)src << 32 | port;
  gpointer found = g_hash_table_lookup(index, &key);
  if (found)
    return GPOINTER_TO_INT(found) - 1;
  Net net = {src, port, g_array_new(FALSE, FALSE, sizeof(int))};
  g_array_append_val(net.chain, src);
  g_array_append_val(work->nets, net);
  g_hash_table_insert(index, g_memdup2(&key, sizeof key), GINT_TO_POINTER(work->nets->len));
  return (int)work->nets->len - 1;
}

static void add_arcs(Work *work) {
  const LcipGraph *graph = work->graph;
  g_autoptr(GHashTable) index = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  guint n = graph->actors->len, n_inputs = graph->inputs->len;
  for (guint i = 0; i < graph->edges->len; i++) {
    const LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, i);
    gboolean from_port = edge->src_actor == LCIP_NO_ACTOR,
             to_port = edge->dst_actor == LCIP_NO_ACTOR;
    int src = work->vertex_of[from_port ? n + edge->src_port : (guint)edge->src_actor];
    int dst = work->vertex_of[to_port ? n + n_inputs + edge->dst_port : (guint)edge->dst_actor];
    gboolean loop = edge->src_actor == edge->dst_actor || edge->delay > 0;
    if (src == dst && !loop)
      continue; /* inside a stack */
    gboolean direct = VERTEX(work, src)->placed || VERTEX(work, dst)->placed;
    Arc arc = {i,          src,
               dst,        find_net(work, index, src, from_port ? 0 : edge->src_port),
               src == dst, direct && src != dst};
    g_array_append_val(work->arcs, arc);
  }
}

/* ---- the whole ---- */

static void clear_vertex(Vertex *vertex) {
  g_array_unref(vertex->above);
  g_array_unref(vertex->below);
}

static void clear_net(Net *net) {
  g_array_unref(net->chain);
}

static LcipLayout *layout_alloc(const LcipGraph *graph) {
  LcipLayout *layout = g_new0(LcipLayout, 1);
  layout->n_actors = graph->actors->len;
  layout->n_inputs = graph->inputs->len;
  layout->n_outputs = graph->outputs->len;
  layout->n_edges = graph->edges->len;
  layout->n_lanes = MAX(graph->lanes->len, 1);
  layout->actors = g_new0(LcipLayoutBox, layout->n_actors + 1);
  layout->inputs = g_new0(LcipLayoutBox, layout->n_inputs + 1);
  layout->outputs = g_new0(LcipLayoutBox, layout->n_outputs + 1);
  layout->edges = g_new0(LcipLayoutEdge, layout->n_edges + 1);
  layout->lane_heights = g_new0(double, layout->n_lanes);
  return layout;
}

static int *actor_lanes(const LcipGraph *graph, const LcipMapping *mapping) {
  g_autoptr(GHashTable) index = g_hash_table_new(g_str_hash, g_str_equal);
  for (guint i = 0; i < graph->lanes->len; i++)
    g_hash_table_insert(index, ((LcipLane *)graph->lanes->pdata[i])->name, GINT_TO_POINTER(i));
  int *lanes = g_new0(int, graph->actors->len + 1);
  for (guint i = 0; i < graph->actors->len; i++) {
    const char *name = mapping ? lcip_graph_lane_of(graph, mapping, i) : NULL;
    lanes[i] = name ? GPOINTER_TO_INT(g_hash_table_lookup(index, name)) : 0;
  }
  return lanes;
}

static void work_clear(Work *work) {
  g_array_unref(work->vertices);
  g_array_unref(work->nets);
  g_array_unref(work->arcs);
  for (int i = 0; work->layers && i < work->n_layers; i++)
    g_array_unref(work->layers[i]);
  g_free(work->layers);
  g_free(work->lane_of);
  g_free(work->vertex_of);
}

LcipLayout *lcip_layout_new(const LcipGraph *graph, const LcipMapping *mapping) {
  if (!mapping)
    mapping = lcip_graph_find_mapping(graph, NULL);
  Work work = {.graph = graph,
               .layout = layout_alloc(graph),
               .lane_of = actor_lanes(graph, mapping),
               .vertex_of =
                   g_new0(int, graph->actors->len + graph->inputs->len + graph->outputs->len + 1),
               .vertices = g_array_new(FALSE, TRUE, sizeof(Vertex)),
               .nets = g_array_new(FALSE, TRUE, sizeof(Net)),
               .arcs = g_array_new(FALSE, TRUE, sizeof(Arc))};
  g_array_set_clear_func(work.vertices, (GDestroyNotify)clear_vertex);
  g_array_set_clear_func(work.nets, (GDestroyNotify)clear_net);
  attach_actors(&work);
  add_stacks(&work);
  add_ports(&work);
  add_arcs(&work);
  lcip_layout_assign_layers(&work);
  lcip_layout_add_chains(&work);
  lcip_layout_order_layers(&work);
  lcip_layout_assign_heights(&work);
  lcip_layout_route(&work);
  work_clear(&work);
  return work.layout;
}

void lcip_layout_free(LcipLayout *layout) {
  if (!layout)
    return;
  for (guint i = 0; i < layout->n_edges; i++)
    g_free(layout->edges[i].points);
  g_free(layout->actors);
  g_free(layout->inputs);
  g_free(layout->outputs);
  g_free(layout->edges);
  g_free(layout->lane_heights);
  g_free(layout);
}
