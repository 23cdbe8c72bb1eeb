#include "config.h"
#include "lcip-ir.h"

static LcipIrNode *node_new(LcipIrKind kind, const LcipOperator *op, LcipAttrs *attrs) {
  LcipIrNode *node = g_new0(LcipIrNode, 1);
  node->kind = kind;
  node->op = op;
  node->attrs = attrs ? lcip_attrs_ref(attrs) : NULL;
  node->inputs = g_array_new(FALSE, FALSE, sizeof(int));
  node->outputs = g_array_new(FALSE, FALSE, sizeof(int));
  node->actors = g_array_new(FALSE, FALSE, sizeof(int));
  node->lane = -1;
  node->graph_port = -1;
  return node;
}

static void node_free(gpointer data) {
  LcipIrNode *node = data;
  g_clear_pointer(&node->attrs, lcip_attrs_unref);
  g_array_unref(node->inputs);
  g_array_unref(node->outputs);
  g_array_unref(node->actors);
  g_free(node);
}

LcipIrNode *lcip_ir_node(const LcipIr *ir, int node) {
  return ir->nodes->pdata[node];
}

LcipIrValue *lcip_ir_value(const LcipIr *ir, int value) {
  return &g_array_index(ir->values, LcipIrValue, value);
}

int lcip_ir_input(const LcipIrNode *node, guint i) {
  return i < node->inputs->len ? g_array_index(node->inputs, int, i) : -1;
}

int lcip_ir_output(const LcipIrNode *node, guint i) {
  return i < node->outputs->len ? g_array_index(node->outputs, int, i) : -1;
}

int lcip_ir_add_value(LcipIr *ir, LcipTensorSpec spec, int producer) {
  const LcipIrValue value = {.spec = spec, .producer = producer, .replaced_by = -1};
  g_array_append_val(ir->values, value);
  return (int)ir->values->len - 1;
}

int lcip_ir_add_constant(LcipIr *ir, LcipTensor *tensor) {
  const int value = lcip_ir_add_value(ir, *lcip_tensor_get_spec(tensor), -1);
  lcip_ir_value(ir, value)->constant = tensor;
  return value;
}

static void add_input(LcipIr *ir, LcipIrNode *node, int value) {
  g_array_append_val(node->inputs, value);
  if (value >= 0)
    lcip_ir_value(ir, value)->n_uses++;
}

void lcip_ir_set_input(LcipIr *ir, int index, guint i, int value) {
  LcipIrNode *node = lcip_ir_node(ir, index);
  while (node->inputs->len <= i)
    add_input(ir, node, -1);
  const int old = g_array_index(node->inputs, int, i);
  if (old >= 0)
    lcip_ir_value(ir, old)->n_uses--;
  if (value >= 0)
    lcip_ir_value(ir, value)->n_uses++;
  g_array_index(node->inputs, int, i) = value;
}

/* ---- from the graph ---- */

static int lane_index(const LcipGraph *graph, const char *name) {
  for (guint i = 0; i < graph->lanes->len; i++)
    if (g_strcmp0(((const LcipLane *)graph->lanes->pdata[i])->name, name) == 0)
      return (int)i;
  return -1;
}

static void add_outputs(LcipIr *ir, LcipIrNode *node, int index, int actor) {
  const LcipAnalysis *analysis = ir->analysis;
  ir->actor_first_value[actor] = (int)ir->values->len;
  for (guint o = 0; o < analysis->n_outputs[actor]; o++) {
    const int value = lcip_ir_add_value(ir, analysis->specs[actor][o], index);
    if (analysis->values[actor][o]) {
      lcip_ir_value(ir, value)->constant = lcip_tensor_ref(analysis->values[actor][o]);
      lcip_ir_value(ir, value)->producer = -1;
    }
    if (node)
      g_array_append_val(node->outputs, value);
  }
}

static gboolean is_folded(const LcipAnalysis *analysis, int actor) {
  if (analysis->n_outputs[actor] == 0)
    return FALSE;
  for (guint o = 0; o < analysis->n_outputs[actor]; o++)
    if (!analysis->values[actor][o])
      return FALSE;
  return TRUE;
}

static int input_value(LcipIr *ir, const LcipPortIndex *ports, int actor, guint port,
                       const int *graph_inputs) {
  LcipTensor *constant = lcip_graph_actor(ir->graph, actor)->constants[port];
  if (constant)
    return lcip_ir_add_constant(ir, lcip_tensor_ref(constant));
  const int e = ports->edges[ports->first[actor] + (int)port];
  if (e < 0)
    return -1;
  const LcipEdge *edge = &g_array_index(ir->graph->edges, LcipEdge, e);
  return edge->src_actor < 0 ? graph_inputs[edge->src_port]
                             : ir->actor_first_value[edge->src_actor] + (int)edge->src_port;
}

static LcipIrKind actor_kind(const LcipOperator *op) {
  if (op->flags & LCIP_OP_SOURCE)
    return LCIP_IR_SOURCE;
  return op->flags & LCIP_OP_SINK ? LCIP_IR_SINK : LCIP_IR_OPERATOR;
}

static void add_actor(LcipIr *ir, const LcipPortIndex *ports, int actor, const int *graph_inputs) {
  const LcipActor *a = lcip_graph_actor(ir->graph, actor);
  if (is_folded(ir->analysis, actor)) {
    ir->actor_folded[actor] = TRUE;
    add_outputs(ir, NULL, -1, actor);
    return;
  }
  LcipIrNode *node = node_new(actor_kind(a->op), a->op, a->attrs);
  const int index = (int)ir->nodes->len;
  g_ptr_array_add(ir->nodes, node);
  g_array_append_val(node->actors, actor);
  if (node->kind == LCIP_IR_OPERATOR)
    node->lane = lane_index(ir->graph, lcip_graph_lane_of(ir->graph, ir->mapping, actor));
  node->pin = g_hash_table_lookup(ir->mapping->pins, a->id);
  node->direct = g_strcmp0(node->pin, "direct") == 0;
  if (node->direct)
    node->pin = NULL;
  for (guint p = 0; p < a->n_inputs; p++)
    add_input(ir, node, input_value(ir, ports, actor, p, graph_inputs));
  node->n_anchor_inputs = a->n_inputs;
  ir->actor_node[actor] = index;
  add_outputs(ir, node, index, actor);
}

static void add_graph_inputs(LcipIr *ir, int *graph_inputs) {
  for (guint i = 0; i < ir->graph->inputs->len; i++) {
    LcipIrNode *node = node_new(LCIP_IR_SOURCE, NULL, NULL);
    node->graph_port = (int)i;
    graph_inputs[i] = lcip_ir_add_value(ir, ir->analysis->graph_inputs[i], (int)ir->nodes->len);
    g_array_append_val(node->outputs, graph_inputs[i]);
    g_ptr_array_add(ir->nodes, node);
  }
}

static void add_graph_outputs(LcipIr *ir, const int *graph_inputs) {
  for (guint e = 0; e < ir->graph->edges->len; e++) {
    const LcipEdge *edge = &g_array_index(ir->graph->edges, LcipEdge, e);
    if (edge->dst_actor >= 0)
      continue;
    LcipIrNode *node = node_new(LCIP_IR_SINK, NULL, NULL);
    node->graph_port = (int)edge->dst_port;
    add_input(ir, node,
              edge->src_actor < 0 ? graph_inputs[edge->src_port]
                                  : ir->actor_first_value[edge->src_actor] + (int)edge->src_port);
    node->n_anchor_inputs = 1;
    g_ptr_array_add(ir->nodes, node);
  }
}

static gboolean is_remote(const LcipIr *ir, int actor) {
  const LcipLane *lane =
      lcip_graph_find_lane(ir->graph, lcip_graph_lane_of(ir->graph, ir->mapping, actor));
  return lane && lane->kind == LCIP_LANE_REMOTE;
}

/* What @actor gives is the same bytes as what the actor before it gives; -1 where it is not. */
static int viewed_actor(const LcipIr *ir, const LcipPortIndex *ports, int actor) {
  const LcipOperator *op = lcip_graph_actor(ir->graph, actor)->op;
  const int e = op->flags & LCIP_OP_VIEW ? ports->edges[ports->first[actor]] : -1;
  return e >= 0 ? g_array_index(ir->graph->edges, LcipEdge, e).src_actor : -1;
}

/* What a worker computes cannot be looked at here, nor a view of it; kept, an actor that nothing
 * else needs would make a part of the graph without outputs. */
static gboolean can_be_kept(const LcipIr *ir, const LcipPortIndex *ports, int actor) {
  for (; actor >= 0; actor = viewed_actor(ir, ports, actor))
    if (is_remote(ir, actor))
      return FALSE;
  return TRUE;
}

static void mark_kept(LcipIr *ir, const LcipPortIndex *ports, GPtrArray *keep) {
  for (guint i = 0; keep && i < keep->len; i++) {
    const int actor = lcip_graph_find_actor(ir->graph, keep->pdata[i]);
    if (actor < 0 || !can_be_kept(ir, ports, actor))
      continue;
    for (guint o = 0; o < ir->analysis->n_outputs[actor]; o++)
      lcip_ir_value(ir, ir->actor_first_value[actor] + (int)o)->keep = TRUE;
  }
}

static void value_clear(gpointer data) {
  LcipIrValue *value = data;
  g_clear_pointer(&value->constant, lcip_tensor_unref);
}

LcipIr *lcip_ir_new(LcipGraph *graph, const LcipAnalysis *analysis, const LcipMapping *mapping,
                    GPtrArray *keep) {
  LcipIr *ir = g_new0(LcipIr, 1);
  const guint n = graph->actors->len;
  g_autoptr(LcipPortIndex) ports = lcip_port_index_new(graph);
  g_autofree int *graph_inputs = g_new0(int, graph->inputs->len + 1);
  ir->graph = lcip_graph_ref(graph);
  ir->analysis = analysis;
  ir->mapping = mapping;
  ir->cpu = lcip_cpu_features();
  ir->nodes = g_ptr_array_new_with_free_func(node_free);
  ir->values = g_array_new(FALSE, FALSE, sizeof(LcipIrValue));
  g_array_set_clear_func(ir->values, value_clear);
  ir->attrs = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_attrs_unref);
  ir->actor_folded = g_new0(gboolean, n + 1);
  ir->actor_dead = g_new0(gboolean, n + 1);
  ir->actor_node = g_new(int, n + 1);
  ir->actor_first_value = g_new0(int, n + 1);
  for (guint i = 0; i < n; i++)
    ir->actor_node[i] = -1;
  add_graph_inputs(ir, graph_inputs);
  for (guint i = 0; i < n; i++)
    add_actor(ir, ports, analysis->order[i], graph_inputs);
  add_graph_outputs(ir, graph_inputs);
  mark_kept(ir, ports, keep);
  return ir;
}

void lcip_ir_free(LcipIr *ir) {
  lcip_graph_unref(ir->graph);
  g_ptr_array_unref(ir->nodes);
  g_array_unref(ir->values);
  g_ptr_array_unref(ir->attrs);
  g_free(ir->actor_folded);
  g_free(ir->actor_dead);
  g_free(ir->actor_node);
  g_free(ir->actor_first_value);
  g_free(ir->cpu_reason);
  g_free(ir);
}

/* ---- for transforms ---- */

static gboolean reads(const LcipIrNode *node, int value) {
  for (guint p = 0; !node->removed && p < node->inputs->len; p++)
    if (lcip_ir_input(node, p) == value)
      return TRUE;
  return FALSE;
}

/* Readers come after the producer, most of them soon. */
int lcip_ir_sole_reader(const LcipIr *ir, int value) {
  if (lcip_ir_value(ir, value)->n_uses != 1 || lcip_ir_value(ir, value)->keep)
    return -1;
  for (int i = MAX(lcip_ir_value(ir, value)->producer, 0); i < (int)ir->nodes->len; i++)
    if (reads(lcip_ir_node(ir, i), value))
      return i;
  return -1;
}

LcipTensor *lcip_ir_constant(const LcipIr *ir, const LcipIrNode *node, guint i) {
  const int value = lcip_ir_input(node, i);
  return value >= 0 ? lcip_ir_value(ir, value)->constant : NULL;
}

void lcip_ir_absorb(LcipIr *ir, int into, int index, gboolean at_node) {
  LcipIrNode *anchor = lcip_ir_node(ir, into), *node = lcip_ir_node(ir, index);
  g_array_append_vals(anchor->actors, node->actors->data, node->actors->len);
  for (guint p = 0; p < node->inputs->len; p++)
    lcip_ir_set_input(ir, index, p, -1);
  g_array_index(anchor->outputs, int, 0) = lcip_ir_output(node, 0);
  node->removed = TRUE;
  if (at_node) {
    ir->nodes->pdata[index] = anchor;
    ir->nodes->pdata[into] = node;
    into = index;
  }
  lcip_ir_value(ir, lcip_ir_output(anchor, 0))->producer = into;
  for (guint i = 0; i < anchor->actors->len; i++)
    ir->actor_node[g_array_index(anchor->actors, int, i)] = into;
}

void lcip_ir_replace_value(LcipIr *ir, int old, int value) {
  lcip_ir_value(ir, old)->replaced_by = value;
  for (guint i = 0; i < ir->nodes->len; i++) {
    const LcipIrNode *node = lcip_ir_node(ir, (int)i);
    for (guint p = 0; !node->removed && p < node->inputs->len; p++)
      if (lcip_ir_input(node, p) == old)
        lcip_ir_set_input(ir, (int)i, p, value);
  }
}

static void drop_inputs(LcipIr *ir, int index) {
  for (guint p = 0; p < lcip_ir_node(ir, index)->inputs->len; p++)
    lcip_ir_set_input(ir, index, p, -1);
}

void lcip_ir_remove_folded(LcipIr *ir, int index) {
  LcipIrNode *node = lcip_ir_node(ir, index);
  drop_inputs(ir, index);
  node->removed = TRUE;
  for (guint i = 0; i < node->actors->len; i++) {
    const int actor = g_array_index(node->actors, int, i);
    ir->actor_folded[actor] = TRUE;
    ir->actor_node[actor] = -1;
  }
}

void lcip_ir_absorb_input(LcipIr *ir, int into, int index) {
  LcipIrNode *anchor = lcip_ir_node(ir, into), *node = lcip_ir_node(ir, index);
  const int source = lcip_ir_input(node, 0);
  lcip_ir_set_input(ir, into, 0, source);
  drop_inputs(ir, index);
  node->removed = TRUE;
  g_array_prepend_vals(anchor->actors, node->actors->data, node->actors->len);
  for (guint i = 0; i < node->actors->len; i++)
    ir->actor_node[g_array_index(node->actors, int, i)] = into;
}

LcipIrNode *lcip_ir_insert(LcipIr *ir, int at, const LcipOperator *op, LcipAttrs *attrs, int lane) {
  LcipIrNode *node = node_new(LCIP_IR_OPERATOR, op, attrs);
  node->lane = lane;
  g_ptr_array_insert(ir->nodes, at, node);
  for (guint i = 0; i < ir->values->len; i++)
    if (lcip_ir_value(ir, (int)i)->producer >= at)
      lcip_ir_value(ir, (int)i)->producer++;
  for (guint i = 0; i < ir->graph->actors->len; i++)
    if (ir->actor_node[i] >= at)
      ir->actor_node[i]++;
  return node;
}

void lcip_ir_step(const LcipIr *ir, const LcipIrNode *node, LcipStep *step, LcipTensorSpec *inputs,
                  LcipTensor **constants, LcipTensorSpec *outputs) {
  *step = (LcipStep){.op = node->op,
                     .attrs = node->attrs,
                     .n_inputs = node->inputs->len,
                     .n_anchor_inputs = node->n_anchor_inputs,
                     .inputs = inputs,
                     .constants = constants,
                     .n_outputs = node->outputs->len,
                     .outputs = outputs,
                     .n_epilogues = node->n_epilogues,
                     .n_together = ir->n_together};
  for (guint i = 0; i < node->n_epilogues; i++)
    step->epilogues[i] = node->epilogues[i];
  for (guint i = 0; i < node->inputs->len; i++) {
    const int value = lcip_ir_input(node, i);
    inputs[i] = value >= 0 ? lcip_ir_value(ir, value)->spec : (LcipTensorSpec){0};
    constants[i] = value >= 0 ? lcip_ir_value(ir, value)->constant : NULL;
  }
  for (guint i = 0; i < node->outputs->len; i++)
    outputs[i] = lcip_ir_value(ir, lcip_ir_output(node, i))->spec;
}

gboolean lcip_kernel_allowed(const LcipKernel *kernel, LcipLaneKind kind,
                             const char *const *families) {
  const LcipDeviceKind device = kind == LCIP_LANE_CPU      ? LCIP_DEVICE_CPU
                                : kind == LCIP_LANE_OPENCL ? LCIP_DEVICE_OPENCL
                                                           : LCIP_DEVICE_REMOTE;
  return kernel->device == device && (!families || g_str_equal(kernel->family, "reference") ||
                                      g_strv_contains(families, kernel->family));
}

gboolean lcip_ir_allows(const LcipIr *ir, const LcipKernel *kernel, LcipLaneKind kind,
                        const char *const *families) {
  return (kernel->needs & ~ir->cpu) == 0 && lcip_kernel_allowed(kernel, kind, families);
}

const LcipKernel *lcip_ir_best_kernel(const LcipIr *ir, const LcipIrNode *node, LcipLaneKind kind,
                                      const char *const *families) {
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  LcipTensorSpec inputs[LCIP_MAX_PORTS], outputs[LCIP_MAX_PORTS];
  LcipTensor *constants[LCIP_MAX_PORTS];
  LcipPortFormats formats;
  LcipStep step;
  if (node->inputs->len > LCIP_MAX_PORTS || node->outputs->len > LCIP_MAX_PORTS)
    return NULL;
  lcip_ir_step(ir, node, &step, inputs, constants, outputs);
  for (guint i = 0; i < n; i++) {
    lcip_formats_dense(&step, &formats);
    if (node->pin ? !g_str_equal(node->pin, table[i]->name)
                  : !lcip_ir_allows(ir, table[i], kind, families))
      continue;
    if (lcip_kernel_allowed(table[i], kind, families) &&
        lcip_kernel_supports(table[i], &step, &formats, NULL))
      return table[i];
  }
  return NULL;
}

double lcip_ir_least_estimate(const LcipIr *ir, const LcipIrNode *node, const LcipOperator *op,
                              LcipLaneKind kind, const char *const *families) {
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n), *first = NULL;
  LcipTensorSpec inputs[LCIP_MAX_PORTS], outputs[LCIP_MAX_PORTS];
  LcipTensor *constants[LCIP_MAX_PORTS];
  LcipPortFormats formats;
  LcipStep step;
  double least = 0;
  if (node->inputs->len > LCIP_MAX_PORTS || node->outputs->len > LCIP_MAX_PORTS)
    return 0;
  lcip_ir_step(ir, node, &step, inputs, constants, outputs);
  step.op = op;
  for (guint i = 0; i < n; i++) {
    const LcipKernel *kernel = table[i];
    lcip_formats_dense(&step, &formats);
    if (!kernel->estimate || (first && kernel->needs != first->needs) ||
        !lcip_ir_allows(ir, kernel, kind, families) ||
        !lcip_kernel_supports(kernel, &step, &formats, NULL))
      continue;
    const double work = kernel->estimate(&step);
    least = first ? MIN(least, work) : work;
    first = first ? first : kernel;
  }
  return least;
}
