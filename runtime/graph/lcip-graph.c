#include "config.h"
#include "lcip-graph.h"

#include <string.h>

/* ---- actors ---- */

LcipActor *lcip_actor_new(const char *id, const char *name, const char *domain, const char *op_name,
                          guint n_inputs, guint n_outputs) {
  LcipActor *actor = g_new0(LcipActor, 1);
  g_atomic_ref_count_init(&actor->refs);
  actor->id = g_strdup(id);
  actor->name = g_strdup(name ? name : "");
  actor->domain = g_strdup(domain);
  actor->op_name = g_strdup(op_name);
  actor->op = lcip_operator_find(domain, op_name);
  actor->attrs = lcip_attrs_new(actor->op);
  actor->n_inputs = n_inputs;
  actor->n_outputs = n_outputs;
  actor->constants = g_new0(LcipTensor *, n_inputs + 1);
  actor->constant_keys = g_new0(char *, n_inputs + 1);
  return actor;
}

LcipActor *lcip_actor_copy(const LcipActor *actor) {
  LcipActor *copy = lcip_actor_new(actor->id, actor->name, actor->domain, actor->op_name,
                                   actor->n_inputs, actor->n_outputs);
  lcip_attrs_unref(copy->attrs);
  copy->attrs = lcip_attrs_copy(actor->attrs);
  for (guint i = 0; i < actor->n_inputs; i++)
    if (actor->constants[i])
      lcip_actor_set_constant(copy, i, actor->constants[i], actor->constant_keys[i]);
  return copy;
}

LcipActor *lcip_actor_ref(LcipActor *actor) {
  g_atomic_ref_count_inc(&actor->refs);
  return actor;
}

void lcip_actor_unref(LcipActor *actor) {
  if (!g_atomic_ref_count_dec(&actor->refs))
    return;
  for (guint i = 0; i < actor->n_inputs; i++) {
    g_clear_pointer(&actor->constants[i], lcip_tensor_unref);
    g_free(actor->constant_keys[i]);
  }
  g_free(actor->constants);
  g_free(actor->constant_keys);
  g_free(actor->id);
  g_free(actor->name);
  g_free(actor->domain);
  g_free(actor->op_name);
  lcip_attrs_unref(actor->attrs);
  g_free(actor);
}

void lcip_actor_set_constant(LcipActor *actor, guint port, LcipTensor *tensor, const char *key) {
  g_return_if_fail(port < actor->n_inputs);
  lcip_tensor_ref(tensor);
  g_clear_pointer(&actor->constants[port], lcip_tensor_unref);
  actor->constants[port] = tensor;
  g_free(actor->constant_keys[port]);
  actor->constant_keys[port] = g_strdup(key);
}

const char *lcip_actor_title(const LcipActor *actor) {
  return *actor->name ? actor->name : actor->id;
}

/* ---- parts ---- */

static void port_free(gpointer data) {
  LcipGraphPort *port = data;
  g_free(port->id);
  g_free(port->name);
  for (int i = 0; i < LCIP_MAX_RANK; i++)
    g_free(port->dim_names[i]);
  g_free(port);
}

static LcipGraphPort *port_copy(const LcipGraphPort *port) {
  LcipGraphPort *copy = g_new0(LcipGraphPort, 1);
  copy->id = g_strdup(port->id);
  copy->name = g_strdup(port->name);
  copy->spec = port->spec;
  for (int i = 0; i < LCIP_MAX_RANK; i++)
    copy->dim_names[i] = g_strdup(port->dim_names[i]);
  return copy;
}

static void lane_free(gpointer data) {
  LcipLane *lane = data;
  g_free(lane->name);
  g_free(lane->device);
  g_free(lane);
}

static void mapping_free(gpointer data) {
  LcipMapping *mapping = data;
  g_free(mapping->name);
  g_hash_table_unref(mapping->lanes);
  g_hash_table_unref(mapping->pins);
  g_hash_table_unref(mapping->fallbacks);
  g_free(mapping);
}

static GHashTable *string_table_new(void) {
  return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

static GHashTable *string_table_copy(GHashTable *table) {
  GHashTable *copy = string_table_new();
  GHashTableIter iter;
  gpointer key, value;
  g_hash_table_iter_init(&iter, table);
  while (g_hash_table_iter_next(&iter, &key, &value))
    g_hash_table_insert(copy, g_strdup(key), g_strdup(value));
  return copy;
}

static LcipMapping *mapping_copy(const LcipMapping *mapping) {
  LcipMapping *copy = g_new0(LcipMapping, 1);
  copy->name = g_strdup(mapping->name);
  copy->lanes = string_table_copy(mapping->lanes);
  copy->pins = string_table_copy(mapping->pins);
  copy->fallbacks = string_table_copy(mapping->fallbacks);
  return copy;
}

/* ---- graphs ---- */

LcipGraph *lcip_graph_new(void) {
  LcipGraph *graph = g_new0(LcipGraph, 1);
  g_atomic_ref_count_init(&graph->refs);
  graph->name = g_strdup("");
  graph->description = g_strdup("");
  graph->opset = graph->source_opset = 21;
  graph->actors = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_actor_unref);
  graph->edges = g_array_new(FALSE, FALSE, sizeof(LcipEdge));
  graph->inputs = g_ptr_array_new_with_free_func(port_free);
  graph->outputs = g_ptr_array_new_with_free_func(port_free);
  graph->lanes = g_ptr_array_new_with_free_func(lane_free);
  graph->mappings = g_ptr_array_new_with_free_func(mapping_free);
  graph->layout = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  graph->index = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  return graph;
}

static void copy_layout(LcipGraph *copy, const LcipGraph *graph) {
  GHashTableIter iter;
  gpointer id, position;
  g_hash_table_iter_init(&iter, graph->layout);
  while (g_hash_table_iter_next(&iter, &id, &position))
    g_hash_table_insert(copy->layout, g_strdup(id), g_memdup2(position, sizeof(LcipPosition)));
}

LcipGraph *lcip_graph_copy(const LcipGraph *graph) {
  LcipGraph *copy = lcip_graph_new();
  g_free(copy->name);
  g_free(copy->description);
  copy->name = g_strdup(graph->name);
  copy->description = g_strdup(graph->description);
  copy->incomplete = g_strdup(graph->incomplete);
  copy->opset = graph->opset;
  copy->source_opset = graph->source_opset;
  copy->active_mapping = g_strdup(graph->active_mapping);
  for (guint i = 0; i < graph->actors->len; i++)
    lcip_graph_add_actor(copy, lcip_actor_ref(graph->actors->pdata[i]));
  if (graph->edges->len)
    g_array_append_vals(copy->edges, graph->edges->data, graph->edges->len);
  for (guint i = 0; i < graph->inputs->len; i++)
    g_ptr_array_add(copy->inputs, port_copy(graph->inputs->pdata[i]));
  for (guint i = 0; i < graph->outputs->len; i++)
    g_ptr_array_add(copy->outputs, port_copy(graph->outputs->pdata[i]));
  for (guint i = 0; i < graph->lanes->len; i++) {
    const LcipLane *lane = graph->lanes->pdata[i];
    lcip_graph_add_lane(copy, lane->name, lane->kind, lane->threads, lane->device);
  }
  for (guint i = 0; i < graph->mappings->len; i++)
    g_ptr_array_add(copy->mappings, mapping_copy(graph->mappings->pdata[i]));
  copy_layout(copy, graph);
  return copy;
}

LcipGraph *lcip_graph_ref(LcipGraph *graph) {
  g_atomic_ref_count_inc(&graph->refs);
  return graph;
}

void lcip_graph_unref(LcipGraph *graph) {
  if (!g_atomic_ref_count_dec(&graph->refs))
    return;
  g_free(graph->name);
  g_free(graph->description);
  g_free(graph->incomplete);
  g_free(graph->active_mapping);
  g_ptr_array_unref(graph->actors);
  g_array_unref(graph->edges);
  g_ptr_array_unref(graph->inputs);
  g_ptr_array_unref(graph->outputs);
  g_ptr_array_unref(graph->lanes);
  g_ptr_array_unref(graph->mappings);
  g_hash_table_unref(graph->layout);
  g_hash_table_unref(graph->index);
  g_free(graph);
}

static gboolean port_id_taken(const GPtrArray *ports, const char *id) {
  for (guint i = 0; i < ports->len; i++)
    if (g_str_equal(((const LcipGraphPort *)ports->pdata[i])->id, id))
      return TRUE;
  return FALSE;
}

static gboolean id_taken(const LcipGraph *graph, const char *id) {
  return g_hash_table_contains(graph->index, id) || port_id_taken(graph->inputs, id) ||
         port_id_taken(graph->outputs, id);
}

char *lcip_graph_unique_id(const LcipGraph *graph, const char *wish) {
  g_autoptr(GString) base = g_string_new(NULL);
  for (const char *c = wish; *c; c++)
    g_string_append_c(base, g_ascii_isalnum(*c) || *c == '_' || *c == '-' ? *c : '_');
  if (base->len == 0 || g_ascii_isdigit(base->str[0]) || base->str[0] == '-')
    g_string_prepend_c(base, '_');
  if (!id_taken(graph, base->str))
    return g_strdup(base->str);
  for (guint k = 2;; k++) {
    g_autofree char *id = g_strdup_printf("%s_%u", base->str, k);
    if (!id_taken(graph, id))
      return g_steal_pointer(&id);
  }
}

int lcip_graph_add_actor(LcipGraph *graph, LcipActor *actor) {
  const int index = (int)graph->actors->len;
  g_return_val_if_fail(!g_hash_table_contains(graph->index, actor->id), -1);
  g_ptr_array_add(graph->actors, actor);
  g_hash_table_insert(graph->index, g_strdup(actor->id), GINT_TO_POINTER(index + 1));
  return index;
}

void lcip_graph_replace_actor(LcipGraph *graph, int index, LcipActor *actor) {
  LcipActor *old = lcip_graph_actor(graph, index);
  g_return_if_fail(g_str_equal(old->id, actor->id));
  graph->actors->pdata[index] = actor;
  lcip_actor_unref(old);
}

/* After removal: old index -> new one, or -1. */
static int *removal_map(const LcipGraph *graph, const int *indices, guint n) {
  int *map = g_new0(int, graph->actors->len + 1);
  for (guint i = 0; i < n; i++)
    map[indices[i]] = -1;
  int next = 0;
  for (guint i = 0; i < graph->actors->len; i++)
    if (map[i] == 0)
      map[i] = next++;
  return map;
}

static void remap_edges(GArray *edges, const int *map) {
  guint kept = 0;
  for (guint i = 0; i < edges->len; i++) {
    LcipEdge edge = g_array_index(edges, LcipEdge, i);
    if (edge.src_actor >= 0)
      edge.src_actor = map[edge.src_actor] < 0 ? G_MININT : map[edge.src_actor];
    if (edge.dst_actor >= 0)
      edge.dst_actor = map[edge.dst_actor] < 0 ? G_MININT : map[edge.dst_actor];
    if (edge.src_actor != G_MININT && edge.dst_actor != G_MININT)
      g_array_index(edges, LcipEdge, kept++) = edge;
  }
  g_array_set_size(edges, kept);
}

static void forget_actor(LcipGraph *graph, const char *id) {
  g_hash_table_remove(graph->layout, id);
  for (guint m = 0; m < graph->mappings->len; m++) {
    LcipMapping *mapping = graph->mappings->pdata[m];
    g_hash_table_remove(mapping->lanes, id);
    g_hash_table_remove(mapping->pins, id);
  }
}

void lcip_graph_remove_actors(LcipGraph *graph, const int *indices, guint n) {
  g_autofree int *map = removal_map(graph, indices, n);
  remap_edges(graph->edges, map);
  g_autoptr(GPtrArray) old = g_steal_pointer(&graph->actors);
  graph->actors = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_actor_unref);
  g_hash_table_remove_all(graph->index);
  for (guint i = 0; i < old->len; i++) {
    LcipActor *actor = old->pdata[i];
    if (map[i] < 0)
      forget_actor(graph, actor->id);
    else
      lcip_graph_add_actor(graph, lcip_actor_ref(actor));
  }
}

void lcip_graph_add_edge(LcipGraph *graph, LcipEdge edge) {
  g_array_append_val(graph->edges, edge);
}

static int add_port(GPtrArray *ports, const char *id, const char *name, LcipTensorSpec spec) {
  LcipGraphPort *port = g_new0(LcipGraphPort, 1);
  port->id = g_strdup(id);
  port->name = g_strdup(name);
  port->spec = spec;
  g_ptr_array_add(ports, port);
  return (int)ports->len - 1;
}

int lcip_graph_add_input(LcipGraph *graph, const char *id, const char *name, LcipTensorSpec spec) {
  return add_port(graph->inputs, id, name, spec);
}

int lcip_graph_add_output(LcipGraph *graph, const char *id, const char *name, LcipTensorSpec spec) {
  return add_port(graph->outputs, id, name, spec);
}

void lcip_graph_connect_input(LcipGraph *graph, guint index, int src_actor, guint src_port) {
  g_return_if_fail(index < graph->inputs->len);
  for (guint i = 0; i < graph->edges->len; i++) {
    LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, i);
    if (edge->src_actor != LCIP_NO_ACTOR || edge->src_port < index)
      continue;
    if (edge->src_port > index) {
      edge->src_port--;
      continue;
    }
    edge->src_actor = src_actor;
    edge->src_port = src_port;
  }
  g_ptr_array_remove_index(graph->inputs, index);
}

int lcip_graph_find_actor(const LcipGraph *graph, const char *id) {
  return GPOINTER_TO_INT(g_hash_table_lookup(graph->index, id)) - 1;
}

LcipActor *lcip_graph_actor(const LcipGraph *graph, int index) {
  g_return_val_if_fail(index >= 0 && (guint)index < graph->actors->len, NULL);
  return graph->actors->pdata[index];
}

const LcipEdge *lcip_graph_edge_to(const LcipGraph *graph, int actor, guint port) {
  for (guint i = 0; i < graph->edges->len; i++) {
    const LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, i);
    if (edge->dst_actor == actor && edge->dst_port == port)
      return edge;
  }
  return NULL;
}

LcipPortIndex *lcip_port_index_new(const LcipGraph *graph) {
  LcipPortIndex *index = g_new0(LcipPortIndex, 1);
  const guint n = graph->actors->len;
  index->first = g_new0(int, n + 1);
  for (guint i = 0; i < n; i++)
    index->first[i + 1] = index->first[i] + (int)lcip_graph_actor(graph, (int)i)->n_inputs;
  index->edges = g_new(int, (gsize)index->first[n] + 1);
  for (int i = 0; i <= index->first[n]; i++)
    index->edges[i] = -1;
  for (guint e = 0; e < graph->edges->len; e++) {
    const LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, e);
    if (edge->dst_actor >= 0 && edge->dst_port < lcip_graph_actor(graph, edge->dst_actor)->n_inputs)
      index->edges[index->first[edge->dst_actor] + (int)edge->dst_port] = (int)e;
  }
  return index;
}

void lcip_port_index_free(LcipPortIndex *index) {
  g_free(index->first);
  g_free(index->edges);
  g_free(index);
}

/* ---- order ---- */

static gboolean orders(const LcipEdge *edge) {
  return edge->src_actor >= 0 && edge->dst_actor >= 0 && edge->delay == 0;
}

/* Successors of each actor in compressed rows: to[start[i]] .. to[start[i + 1] - 1]. */
static void successors(const LcipGraph *graph, int **start, int **to) {
  const guint n = graph->actors->len;
  *start = g_new0(int, n + 2);
  *to = g_new0(int, graph->edges->len + 1);
  for (guint i = 0; i < graph->edges->len; i++) {
    const LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, i);
    if (orders(edge))
      (*start)[edge->src_actor + 1]++;
  }
  for (guint i = 0; i < n; i++)
    (*start)[i + 1] += (*start)[i];
  g_autofree int *fill = g_memdup2(*start, sizeof(int) * (n + 1));
  for (guint i = 0; i < graph->edges->len; i++) {
    const LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, i);
    if (orders(edge))
      (*to)[fill[edge->src_actor]++] = edge->dst_actor;
  }
}

/* Every actor left with waiting inputs has a predecessor that is left too: walking back from one of
 * them must come round. */
static GArray *find_cycle(const LcipGraph *graph, const int *waiting) {
  const guint n = graph->actors->len;
  g_autofree int *seen = g_new0(int, n);
  GArray *cycle = g_array_new(FALSE, FALSE, sizeof(int));
  int at = 0;
  while (waiting[at] == 0)
    at++;
  for (int step = 1; !seen[at]; step++) {
    seen[at] = step;
    g_array_prepend_val(cycle, at);
    for (guint i = 0; i < graph->edges->len; i++) {
      const LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, i);
      if (orders(edge) && edge->dst_actor == at && waiting[edge->src_actor] > 0) {
        at = edge->src_actor;
        break;
      }
    }
  }
  /* What was walked before the cycle was reached stands at the end. */
  g_array_set_size(cycle, cycle->len - (guint)(seen[at] - 1));
  return cycle;
}

/* The smallest index among the ready keeps the order stable: a binary heap. */
static void heap_push(int *heap, guint *n, int value) {
  guint i = (*n)++;
  while (i > 0 && heap[(i - 1) / 2] > value) {
    heap[i] = heap[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  heap[i] = value;
}

static int heap_pop(int *heap, guint *n) {
  const int top = heap[0], last = heap[--*n];
  guint i = 0;
  for (;;) {
    guint child = 2 * i + 1;
    if (child >= *n)
      break;
    if (child + 1 < *n && heap[child + 1] < heap[child])
      child++;
    if (heap[child] >= last)
      break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = last;
  return top;
}

int *lcip_graph_order(const LcipGraph *graph, GArray **cycle) {
  const guint n = graph->actors->len;
  g_autofree int *start = NULL, *to = NULL;
  g_autofree int *waiting = g_new0(int, n + 1), *heap = g_new0(int, n + 1);
  int *order = g_new0(int, n + 1);
  guint done = 0, ready = 0;
  if (cycle)
    *cycle = NULL;
  successors(graph, &start, &to);
  for (int i = 0; i < start[n]; i++)
    waiting[to[i]]++;
  for (guint i = 0; i < n; i++)
    if (waiting[i] == 0)
      heap_push(heap, &ready, (int)i);
  while (ready > 0) {
    const int actor = heap_pop(heap, &ready);
    order[done++] = actor;
    for (int k = start[actor]; k < start[actor + 1]; k++)
      if (--waiting[to[k]] == 0)
        heap_push(heap, &ready, to[k]);
  }
  if (done == n)
    return order;
  if (cycle)
    *cycle = find_cycle(graph, waiting);
  g_free(order);
  return NULL;
}

/* ---- platform, mappings, layout ---- */

void lcip_graph_ensure_defaults(LcipGraph *graph) {
  if (!lcip_graph_first_cpu_lane(graph))
    lcip_graph_add_lane(graph, lcip_graph_find_lane(graph, "CPU") ? "CPU-1" : "CPU", LCIP_LANE_CPU,
                        0, NULL);
  if (graph->mappings->len == 0)
    lcip_graph_add_mapping(graph, "default");
  if (!graph->active_mapping)
    graph->active_mapping = g_strdup(((LcipMapping *)graph->mappings->pdata[0])->name);
}

LcipLane *lcip_graph_find_lane(const LcipGraph *graph, const char *name) {
  for (guint i = 0; i < graph->lanes->len; i++) {
    LcipLane *lane = graph->lanes->pdata[i];
    if (g_strcmp0(lane->name, name) == 0)
      return lane;
  }
  return NULL;
}

LcipLane *lcip_graph_first_cpu_lane(const LcipGraph *graph) {
  for (guint i = 0; i < graph->lanes->len; i++) {
    LcipLane *lane = graph->lanes->pdata[i];
    if (lane->kind == LCIP_LANE_CPU)
      return lane;
  }
  return NULL;
}

LcipLane *lcip_graph_add_lane(LcipGraph *graph, const char *name, LcipLaneKind kind, guint threads,
                              const char *device) {
  LcipLane *lane = g_new0(LcipLane, 1);
  lane->name = g_strdup(name);
  lane->kind = kind;
  lane->threads = threads;
  lane->device = g_strdup(device);
  g_ptr_array_add(graph->lanes, lane);
  return lane;
}

/* The actors of @lane go back to where unassigned actors are: the first CPU lane. */
static void unassign_lane(LcipMapping *mapping, const char *lane, const char *to) {
  GHashTableIter iter;
  gpointer id, name;
  g_hash_table_iter_init(&iter, mapping->lanes);
  while (g_hash_table_iter_next(&iter, &id, &name))
    if (g_str_equal(name, lane))
      g_hash_table_iter_replace(&iter, g_strdup(to));
  g_hash_table_remove(mapping->fallbacks, lane);
  g_hash_table_iter_init(&iter, mapping->fallbacks);
  while (g_hash_table_iter_next(&iter, &id, &name))
    if (g_str_equal(name, lane))
      g_hash_table_iter_replace(&iter, g_strdup(to));
}

gboolean lcip_graph_remove_lane(LcipGraph *graph, const char *name, GError **error) {
  LcipLane *lane = lcip_graph_find_lane(graph, name);
  const LcipLane *refuge = NULL;
  for (guint i = 0; i < graph->lanes->len && !refuge; i++) {
    const LcipLane *other = graph->lanes->pdata[i];
    if (other != lane && other->kind == LCIP_LANE_CPU)
      refuge = other;
  }
  if (!lane || !refuge) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID,
                lane ? "lane %s: the last CPU lane cannot be removed" : "there is no lane %s",
                name);
    return FALSE;
  }
  for (guint i = 0; i < graph->mappings->len; i++)
    unassign_lane(graph->mappings->pdata[i], name, refuge->name);
  g_ptr_array_remove(graph->lanes, lane);
  return TRUE;
}

const char *lcip_lane_kind_name(LcipLaneKind kind) {
  static const char *const names[] = {"cpu", "opencl", "remote"};
  return names[kind];
}

LcipMapping *lcip_graph_find_mapping(const LcipGraph *graph, const char *name) {
  if (!name)
    name = graph->active_mapping;
  for (guint i = 0; i < graph->mappings->len; i++) {
    LcipMapping *mapping = graph->mappings->pdata[i];
    if (g_strcmp0(mapping->name, name) == 0)
      return mapping;
  }
  return NULL;
}

LcipMapping *lcip_graph_add_mapping(LcipGraph *graph, const char *name) {
  LcipMapping *mapping = g_new0(LcipMapping, 1);
  mapping->name = g_strdup(name);
  mapping->lanes = string_table_new();
  mapping->pins = string_table_new();
  mapping->fallbacks = string_table_new();
  g_ptr_array_add(graph->mappings, mapping);
  return mapping;
}

const char *lcip_graph_lane_of(const LcipGraph *graph, const LcipMapping *mapping, int actor) {
  const char *lane =
      mapping ? g_hash_table_lookup(mapping->lanes, lcip_graph_actor(graph, actor)->id) : NULL;
  if (lane && lcip_graph_find_lane(graph, lane))
    return lane;
  const LcipLane *cpu = lcip_graph_first_cpu_lane(graph);
  return cpu ? cpu->name : NULL;
}

void lcip_mapping_assign(LcipMapping *mapping, const char *actor_id, const char *lane) {
  g_hash_table_insert(mapping->lanes, g_strdup(actor_id), g_strdup(lane));
}

void lcip_mapping_pin(LcipMapping *mapping, const char *actor_id, const char *kernel) {
  if (kernel)
    g_hash_table_insert(mapping->pins, g_strdup(actor_id), g_strdup(kernel));
  else
    g_hash_table_remove(mapping->pins, actor_id);
}

void lcip_graph_set_position(LcipGraph *graph, const char *actor_id, const LcipPosition *position) {
  if (position)
    g_hash_table_insert(graph->layout, g_strdup(actor_id),
                        g_memdup2(position, sizeof(LcipPosition)));
  else
    g_hash_table_remove(graph->layout, actor_id);
}
