#include "config.h"
#include "lcip-memory.h"
#include "lcip-placement.h"

#include <string.h>

/* Turns placed nodes into segments, steps, tensors and channels. */

typedef struct {
  LcipPlan *plan;
  const LcipPlacement *p;
  const LcipPlanOptions *options;
  int *segment_of; /* placed node -> segment */
  int n_segments;
  GHashTable *tensors;  /* segment << 32 | value -> tensor + 1: storage of a value in a segment */
  GHashTable *tokens;   /* root value -> tensor + 1 */
  GArray *crossing;     /* gboolean per value: the root is read in another segment */
  GHashTable *channels; /* segment << 32 | tensor: made already */
} Builder;

/* ---- segments: nodes of one lane and level ---- */

static int compare_ints(gconstpointer a, gconstpointer b) {
  return *(const int *)a - *(const int *)b;
}

static int segment_key(const Builder *b, const LcipPlacedNode *node) {
  return node->level * (int)(b->p->ir->graph->lanes->len + 1) + node->lane;
}

static void number_segments(Builder *b) {
  g_autoptr(GArray) keys = g_array_new(FALSE, FALSE, sizeof(int));
  for (guint i = 0; i < b->p->nodes->len; i++) {
    const LcipPlacedNode *node = lcip_placement_node(b->p, (int)i);
    const int key = segment_key(b, node);
    if (node->kind == LCIP_IR_OPERATOR)
      g_array_append_val(keys, key);
  }
  g_array_sort(keys, compare_ints);
  guint unique = 0;
  for (guint i = 0; i < keys->len; i++)
    if (unique == 0 || g_array_index(keys, int, i) != g_array_index(keys, int, unique - 1))
      g_array_index(keys, int, unique++) = g_array_index(keys, int, i);
  b->n_segments = (int)unique + 2;
  for (guint i = 0; i < b->p->nodes->len; i++) {
    const LcipPlacedNode *node = lcip_placement_node(b->p, (int)i);
    if (node->kind == LCIP_IR_SOURCE)
      b->segment_of[i] = 0;
    else if (node->kind == LCIP_IR_SINK)
      b->segment_of[i] = b->n_segments - 1;
    const int key = segment_key(b, node);
    for (guint k = 0; node->kind == LCIP_IR_OPERATOR && k < unique; k++)
      if (g_array_index(keys, int, k) == key)
        b->segment_of[i] = (int)k + 1;
  }
}

static void make_segments(Builder *b) {
  for (int s = 0; s < b->n_segments; s++) {
    LcipPlanSegment segment = {.kind = LCIP_SEGMENT_WORK, .lane = -1};
    if (s == 0)
      segment.kind = LCIP_SEGMENT_SOURCE;
    else if (s == b->n_segments - 1)
      segment.kind = LCIP_SEGMENT_SINK;
    for (guint i = 0; segment.kind == LCIP_SEGMENT_WORK && i < b->p->nodes->len; i++)
      if (b->segment_of[i] == s)
        segment.lane = lcip_placement_node(b->p, (int)i)->lane;
    g_array_append_val(b->plan->segments, segment);
  }
}

static LcipLaneKind segment_kind(const Builder *b, int segment) {
  const int lane = g_array_index(b->plan->segments, LcipPlanSegment, segment).lane;
  return lane < 0 ? LCIP_LANE_CPU : ((LcipLane *)b->p->ir->graph->lanes->pdata[lane])->kind;
}

/* ---- tensors ---- */

static int producer_segment(const Builder *b, int root) {
  const int producer = lcip_placement_value(b->p, root)->producer;
  return producer < 0 ? -1 : b->segment_of[producer];
}

static void find_crossings(Builder *b) {
  g_array_set_size(b->crossing, b->p->values->len);
  for (guint i = 0; i < b->p->nodes->len; i++) {
    const LcipPlacedNode *node = lcip_placement_node(b->p, (int)i);
    for (guint k = 0; k < node->inputs->len; k++) {
      const int value = g_array_index(node->inputs, int, k);
      if (value < 0)
        continue;
      const int root = lcip_placement_value(b->p, value)->root;
      const int from = producer_segment(b, root);
      if (from >= 0 && from != b->segment_of[i])
        g_array_index(b->crossing, gboolean, root) = TRUE;
    }
  }
}

static int add_tensor(Builder *b, const LcipPlacedValue *value, LcipPlanStore store, int segment) {
  LcipPlanTensor tensor = {
      .spec = value->spec,
      .store = store,
      .root = -1,
      .lane = segment >= 0 ? g_array_index(b->plan->segments, LcipPlanSegment, segment).lane : -1,
      .src_segment = -1};
  if (!lcip_tensor_spec_bytes(&value->spec, &tensor.size_bytes))
    tensor.size_bytes = 0; /* refused by the analysis before */
  if (value->constant)
    tensor.constant = lcip_tensor_ref(value->constant);
  g_array_append_val(b->plan->tensors, tensor);
  return (int)b->plan->tensors->len - 1;
}

static gpointer key(int segment, int value) {
  return GSIZE_TO_POINTER(((gsize)(guint)segment << 32) | (guint)value);
}

static int token_of(Builder *b, int root) {
  int token = GPOINTER_TO_INT(g_hash_table_lookup(b->tokens, GINT_TO_POINTER(root))) - 1;
  if (token >= 0)
    return token;
  const int from = producer_segment(b, root);
  token = add_tensor(b, lcip_placement_value(b->p, root), LCIP_STORE_TOKEN, from);
  g_array_index(b->plan->tensors, LcipPlanTensor, token).src_segment = from;
  g_hash_table_insert(b->tokens, GINT_TO_POINTER(root), GINT_TO_POINTER(token + 1));
  return token;
}

/* Where a root value lies in a segment: the token itself in host memory, a copy on a device. */
static int root_tensor(Builder *b, int root, int segment) {
  const LcipPlacedValue *value = lcip_placement_value(b->p, root);
  if (value->constant)
    return add_tensor(b, value, LCIP_STORE_CONSTANT, -1);
  if (g_array_index(b->crossing, gboolean, root) && segment_kind(b, segment) != LCIP_LANE_OPENCL)
    return token_of(b, root);
  return add_tensor(b, value, LCIP_STORE_ARENA, segment);
}

static int tensor_of(Builder *b, int value, int segment) {
  if (value < 0)
    return -1;
  const LcipPlacedValue *v = lcip_placement_value(b->p, value);
  gpointer k = key(v->constant ? 0 : segment, value);
  int tensor = GPOINTER_TO_INT(g_hash_table_lookup(b->tensors, k)) - 1;
  if (tensor >= 0)
    return tensor;
  if (v->constant || v->root == value) {
    tensor = root_tensor(b, value, segment);
  } else {
    const int root = tensor_of(b, v->root, segment);
    tensor = add_tensor(b, lcip_placement_value(b->p, value), LCIP_STORE_ARENA, segment);
    LcipPlanTensor *t = &g_array_index(b->plan->tensors, LcipPlanTensor, tensor);
    t->root = root;
    t->store = g_array_index(b->plan->tensors, LcipPlanTensor, root).store;
  }
  g_hash_table_insert(b->tensors, k, GINT_TO_POINTER(tensor + 1));
  return tensor;
}

static void add_channel(Builder *b, int token, int from, int to) {
  gpointer k = key(to, token);
  if (g_hash_table_contains(b->channels, k))
    return;
  g_hash_table_add(b->channels, k);
  const LcipPlanChannel channel = {.tensor = token, .src_segment = from, .dst_segment = to};
  g_array_append_val(b->plan->channels, channel);
}

/* ---- steps ---- */

static void step_free(gpointer data) {
  LcipPlanStep *step = data;
  g_free(step->title);
  g_free(step->reason);
  g_free(step->actors);
  g_free(step);
}

static void work_free(gpointer data) {
  LcipPlanWork *work = data;
  g_free((gpointer)work->step.inputs);
  for (guint i = 0; i < work->step.n_inputs; i++)
    g_clear_pointer(&((LcipTensor **)work->step.constants)[i], lcip_tensor_unref);
  g_free((gpointer)work->step.constants);
  g_free(work->step.outputs);
  g_clear_pointer(&work->blob, lcip_blob_unref);
  g_clear_pointer(&work->remote, lcip_remote_part_free);
  g_free(work->inputs);
  g_free(work->outputs);
  if (work->step.attrs)
    lcip_attrs_unref((LcipAttrs *)work->step.attrs);
  for (guint i = 0; i < work->step.n_epilogues; i++)
    lcip_attrs_unref((LcipAttrs *)work->step.epilogues[i].attrs);
  g_free(work);
}

static int add_step(Builder *b, LcipPlanStepKind kind, int segment, LcipPlanWork **work,
                    LcipPlanStep **step) {
  *work = g_new0(LcipPlanWork, 1);
  *step = g_new0(LcipPlanStep, 1);
  (*work)->kind = kind;
  (*work)->graph_port = -1;
  (*step)->segment = segment;
  (*step)->lane = g_array_index(b->plan->segments, LcipPlanSegment, segment).lane;
  (*step)->is_io = kind == LCIP_STEP_SOURCE || kind == LCIP_STEP_SINK;
  g_ptr_array_add(b->plan->works, *work);
  g_ptr_array_add(b->plan->steps, *step);
  LcipPlanSegment *s = &g_array_index(b->plan->segments, LcipPlanSegment, segment);
  s->steps = g_renew(int, s->steps, s->n_steps + 1);
  s->steps[s->n_steps++] = (int)b->plan->steps->len - 1;
  return (int)b->plan->steps->len - 1;
}

static LcipTensorSpec spec_of(const Builder *b, int tensor) {
  return tensor < 0 ? (LcipTensorSpec){0}
                    : g_array_index(b->plan->tensors, LcipPlanTensor, tensor).spec;
}

static void fill_step(Builder *b, LcipPlanWork *work, const LcipPlacedNode *node,
                      const LcipIrNode *ir_node) {
  LcipStep *step = &work->step;
  const guint n_in = node->inputs->len, n_out = node->outputs->len;
  LcipTensorSpec *inputs = g_new0(LcipTensorSpec, n_in + 1);
  LcipTensor **constants = g_new0(LcipTensor *, n_in + 1);
  step->op = ir_node ? ir_node->op : lcip_reorder_operator();
  step->attrs =
      ir_node && ir_node->attrs ? lcip_attrs_ref(ir_node->attrs) : lcip_attrs_new(step->op);
  step->n_inputs = n_in;
  step->n_anchor_inputs = ir_node ? ir_node->n_anchor_inputs : n_in;
  step->n_outputs = n_out;
  step->outputs = g_new0(LcipTensorSpec, n_out + 1);
  for (guint i = 0; i < n_in; i++) {
    const int value = g_array_index(node->inputs, int, i);
    inputs[i] = spec_of(b, work->inputs[i]);
    if (value >= 0 && lcip_placement_value(b->p, value)->constant)
      constants[i] = lcip_tensor_ref(lcip_placement_value(b->p, value)->constant);
  }
  for (guint o = 0; o < n_out; o++)
    step->outputs[o] = spec_of(b, work->outputs[o]);
  step->inputs = inputs;
  step->constants = constants;
  step->n_epilogues = ir_node ? ir_node->n_epilogues : 0;
  for (guint i = 0; i < step->n_epilogues; i++) {
    step->epilogues[i] = ir_node->epilogues[i];
    lcip_attrs_ref((LcipAttrs *)step->epilogues[i].attrs);
  }
}

/* The actor whose operator the step computes: others before it are ones that it does along with it,
 * as a Pad. */
static int titular_actor(const LcipGraph *graph, const LcipIrNode *node) {
  for (guint i = 0; i < node->actors->len; i++) {
    const int actor = g_array_index(node->actors, int, i);
    if (lcip_graph_actor(graph, actor)->op == node->op)
      return actor;
  }
  return g_array_index(node->actors, int, 0);
}

static char *node_title(const Builder *b, const LcipIrNode *node) {
  const LcipGraph *graph = b->p->ir->graph;
  if (!node)
    return g_strdup("Reorder");
  if (node->graph_port >= 0) {
    const GPtrArray *ports = node->kind == LCIP_IR_SOURCE ? graph->inputs : graph->outputs;
    return g_strdup(((const LcipGraphPort *)ports->pdata[node->graph_port])->name);
  }
  return g_strdup(lcip_actor_title(lcip_graph_actor(graph, titular_actor(graph, node))));
}

static void describe(Builder *b, LcipPlanStep *step, const LcipPlanWork *work,
                     const LcipPlacedNode *node, const LcipIrNode *ir_node) {
  step->title = node_title(b, ir_node);
  step->kernel = node->kernel;
  step->reason = g_strdup(node->reason);
  if (ir_node) {
    step->n_actors = ir_node->actors->len;
    step->actors = g_memdup2(ir_node->actors->data, sizeof(int) * step->n_actors);
  }
  step->output = node->outputs->len ? spec_of(b, work->outputs[0]) : (LcipTensorSpec){0};
  if (work->step.op && node->kind == LCIP_IR_OPERATOR)
    lcip_operator_cost(&work->step, &step->cost);
}

static int *tensors_of(Builder *b, const GArray *values, int segment) {
  int *tensors = g_new0(int, values->len + 1);
  for (guint i = 0; i < values->len; i++)
    tensors[i] = tensor_of(b, g_array_index(values, int, i), segment);
  return tensors;
}

static void emit_node(Builder *b, int index) {
  const LcipPlacedNode *node = lcip_placement_node(b->p, index);
  const LcipIrNode *ir_node = node->ir_node >= 0 ? lcip_ir_node(b->p->ir, node->ir_node) : NULL;
  const int segment = b->segment_of[index];
  const LcipPlanStepKind kind = node->kind == LCIP_IR_SOURCE ? LCIP_STEP_SOURCE
                                : node->kind == LCIP_IR_SINK ? LCIP_STEP_SINK
                                                             : LCIP_STEP_KERNEL;
  LcipPlanWork *work;
  LcipPlanStep *step;
  const int at = add_step(b, kind, segment, &work, &step);
  work->graph_port = ir_node ? ir_node->graph_port : -1;
  work->formats = node->formats;
  work->inputs = tensors_of(b, node->inputs, segment);
  work->outputs = tensors_of(b, node->outputs, segment);
  fill_step(b, work, node, ir_node);
  describe(b, step, work, node, ir_node);
  for (guint i = 0; i < step->n_actors; i++)
    ((LcipPlanActor *)b->plan->actors->pdata[step->actors[i]])->step = at;
  if (kind != LCIP_STEP_KERNEL)
    return;
  const LcipPlanLane *lane = b->plan->lanes->pdata[step->lane];
  if (node->kernel->scratch_bytes)
    work->scratch_bytes = node->kernel->scratch_bytes(&work->step, &work->formats, lane->threads);
  b->plan->scratch_bytes[step->lane] = MAX(b->plan->scratch_bytes[step->lane], work->scratch_bytes);
}

static void emit_copy(Builder *b, LcipPlanStepKind kind, int segment, int from, int to) {
  LcipPlanWork *work;
  LcipPlanStep *step;
  add_step(b, kind, segment, &work, &step);
  work->inputs = g_memdup2(&from, sizeof from);
  work->outputs = g_memdup2(&to, sizeof to);
  work->step.n_inputs = work->step.n_anchor_inputs = work->step.n_outputs = 1;
  work->step.inputs = g_memdup2(&g_array_index(b->plan->tensors, LcipPlanTensor, from).spec,
                                sizeof(LcipTensorSpec));
  work->step.outputs = g_memdup2(work->step.inputs, sizeof(LcipTensorSpec));
  work->step.constants = g_new0(LcipTensor *, 1);
  step->title = g_strdup(kind == LCIP_STEP_UPLOAD ? "Upload" : "Download");
  step->reason = g_strdup(kind == LCIP_STEP_UPLOAD ? "host to device" : "device to host");
  step->output = *work->step.outputs;
  step->cost.bytes = (double)g_array_index(b->plan->tensors, LcipPlanTensor, from).size_bytes;
}

/* What a segment reads from others: channels, and on devices uploads before the first step. */
static void emit_reads(Builder *b, int segment) {
  g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
  for (guint i = 0; i < b->p->nodes->len; i++) {
    const LcipPlacedNode *node = lcip_placement_node(b->p, (int)i);
    for (guint k = 0; b->segment_of[i] == segment && k < node->inputs->len; k++) {
      const int value = g_array_index(node->inputs, int, k);
      if (value < 0)
        continue;
      const int root = lcip_placement_value(b->p, value)->root;
      const int from = producer_segment(b, root);
      if (from < 0 || from == segment || !g_hash_table_add(seen, GINT_TO_POINTER(root)))
        continue;
      const int token = token_of(b, root);
      add_channel(b, token, from, segment);
      if (segment_kind(b, segment) == LCIP_LANE_OPENCL)
        emit_copy(b, LCIP_STEP_UPLOAD, segment, token, tensor_of(b, root, segment));
    }
  }
}

static void emit_downloads(Builder *b, int segment) {
  if (segment_kind(b, segment) != LCIP_LANE_OPENCL)
    return;
  for (guint i = 0; i < b->p->nodes->len; i++) {
    const LcipPlacedNode *node = lcip_placement_node(b->p, (int)i);
    for (guint o = 0; b->segment_of[i] == segment && o < node->outputs->len; o++) {
      const int value = g_array_index(node->outputs, int, o);
      if (g_array_index(b->crossing, gboolean, value))
        emit_copy(b, LCIP_STEP_DOWNLOAD, segment, tensor_of(b, value, segment), token_of(b, value));
    }
  }
}

/* ---- a segment that a worker computes: one step ---- */

static void add_unique(GArray *values, int value) {
  for (guint i = 0; i < values->len; i++)
    if (g_array_index(values, int, i) == value)
      return;
  g_array_append_val(values, value);
}

/* The segment's nodes, and the values that enter and leave it. */
static void find_cut(Builder *b, int segment, GArray *nodes, GArray *inputs, GArray *outputs) {
  for (guint i = 0; i < b->p->nodes->len; i++) {
    const LcipPlacedNode *node = lcip_placement_node(b->p, (int)i);
    const int index = (int)i;
    if (b->segment_of[i] != segment)
      continue;
    g_array_append_val(nodes, index);
    for (guint k = 0; k < node->inputs->len; k++) {
      const int value = g_array_index(node->inputs, int, k);
      if (value >= 0 && producer_segment(b, lcip_placement_value(b->p, value)->root) != segment)
        add_unique(inputs, value);
    }
    for (guint o = 0; o < node->outputs->len; o++)
      if (g_array_index(b->crossing, gboolean, g_array_index(node->outputs, int, o)))
        add_unique(outputs, g_array_index(node->outputs, int, o));
  }
}

static void fill_remote_step(Builder *b, LcipPlanWork *work, guint n_inputs, guint n_outputs) {
  LcipTensorSpec *inputs = g_new0(LcipTensorSpec, n_inputs + 1);
  work->step.n_inputs = work->step.n_anchor_inputs = n_inputs;
  work->step.n_outputs = n_outputs;
  work->step.outputs = g_new0(LcipTensorSpec, n_outputs + 1);
  work->step.constants = g_new0(LcipTensor *, n_inputs + 1);
  for (guint i = 0; i < n_inputs; i++)
    inputs[i] = spec_of(b, work->inputs[i]);
  for (guint o = 0; o < n_outputs; o++)
    work->step.outputs[o] = spec_of(b, work->outputs[o]);
  work->step.inputs = inputs;
}

static void add_cost(Builder *b, const LcipIrNode *node, LcipCost *sum) {
  LcipTensorSpec inputs[LCIP_MAX_PORTS], outputs[LCIP_MAX_PORTS];
  LcipTensor *constants[LCIP_MAX_PORTS];
  LcipCost cost = {0};
  LcipStep step;
  if (node->inputs->len > LCIP_MAX_PORTS || node->outputs->len > LCIP_MAX_PORTS)
    return;
  lcip_ir_step(b->p->ir, node, &step, inputs, constants, outputs);
  lcip_operator_cost(&step, &cost);
  sum->flops += cost.flops;
  sum->bytes += cost.bytes;
}

/* What stays on the worker cannot be looked at here. */
static void hide_outputs(Builder *b, const LcipPlacedNode *node, int index) {
  const LcipIr *ir = b->p->ir;
  LcipPlanActor *actor = b->plan->actors->pdata[index];
  for (guint o = 0; o < MIN(actor->n_outputs, 64); o++)
    if (lcip_ir_output(lcip_ir_node(ir, node->ir_node), o) !=
            ir->actor_first_value[index] + (int)o ||
        !g_array_index(b->crossing, gboolean, g_array_index(node->outputs, int, o)))
      actor->elided |= G_GUINT64_CONSTANT(1) << o;
}

static void list_remote_actors(Builder *b, const GArray *nodes, LcipPlanStep *step, int at) {
  g_autoptr(GArray) actors = g_array_new(FALSE, FALSE, sizeof(int));
  for (guint i = 0; i < nodes->len; i++) {
    const LcipPlacedNode *node = lcip_placement_node(b->p, g_array_index(nodes, int, i));
    const LcipIrNode *ir_node = lcip_ir_node(b->p->ir, node->ir_node);
    add_cost(b, ir_node, &step->cost);
    g_array_append_vals(actors, ir_node->actors->data, ir_node->actors->len);
    for (guint k = 0; k < ir_node->actors->len; k++) {
      const int actor = g_array_index(ir_node->actors, int, k);
      ((LcipPlanActor *)b->plan->actors->pdata[actor])->step = at;
      hide_outputs(b, node, actor);
    }
  }
  step->n_actors = actors->len;
  step->actors = g_memdup2(actors->data, sizeof(int) * actors->len);
}

static void describe_remote(Builder *b, LcipPlanStep *step, const LcipPlanWork *work) {
  const LcipPlanLane *lane = b->plan->lanes->pdata[step->lane];
  const LcipPlanLane *fallback = b->plan->lanes->pdata[work->remote->fallback_lane];
  step->title = step->n_actors == 1
                    ? g_strdup(lcip_actor_title(lcip_graph_actor(b->plan->graph, step->actors[0])))
                    : g_strdup_printf("%u actors", step->n_actors);
  step->reason = g_strdup_printf("computed by %s; by lane %s while that is lost",
                                 lane->device ? lane->device->id : lane->name, fallback->name);
  step->output = work->step.n_outputs ? work->step.outputs[0] : (LcipTensorSpec){0};
}

static gboolean emit_remote(Builder *b, int segment, GCancellable *cancellable, GError **error) {
  g_autoptr(GArray) nodes = g_array_new(FALSE, FALSE, sizeof(int));
  g_autoptr(GArray) inputs = g_array_new(FALSE, FALSE, sizeof(int));
  g_autoptr(GArray) outputs = g_array_new(FALSE, FALSE, sizeof(int));
  LcipPlanWork *work;
  LcipPlanStep *step;
  find_cut(b, segment, nodes, inputs, outputs);
  const int at = add_step(b, LCIP_STEP_REMOTE, segment, &work, &step);
  work->inputs = tensors_of(b, inputs, segment);
  work->outputs = tensors_of(b, outputs, segment);
  fill_remote_step(b, work, inputs->len, outputs->len);
  list_remote_actors(b, nodes, step, at);
  work->remote =
      lcip_remote_part_new(b->plan, b->p, b->options, nodes, inputs, outputs, cancellable, error);
  if (!work->remote)
    return FALSE;
  describe_remote(b, step, work);
  return TRUE;
}

static gboolean emit_segment(Builder *b, int segment, GCancellable *cancellable, GError **error) {
  emit_reads(b, segment);
  if (segment_kind(b, segment) == LCIP_LANE_REMOTE)
    return emit_remote(b, segment, cancellable, error);
  for (guint i = 0; i < b->p->nodes->len; i++) {
    if (b->segment_of[i] != segment)
      continue;
    if (g_cancellable_set_error_if_cancelled(cancellable, error))
      return FALSE;
    emit_node(b, (int)i);
  }
  emit_downloads(b, segment);
  return TRUE;
}

static gboolean emit_all(Builder *b, GCancellable *cancellable, GError **error) {
  for (int s = 0; s < b->n_segments; s++)
    if (!emit_segment(b, s, cancellable, error))
      return FALSE;
  return TRUE;
}

/* ---- weights ---- */

typedef struct {
  LcipPlan *plan;
  GCancellable *cancellable;
  const guint *order; /* of the steps */
  GError **errors;    /* per step */
} Preparation;

/* What only the blob needs from now on goes back to the file that it is mapped from. */
static void drop_prepared(const LcipKernel *kernel, const LcipPlanWork *work) {
  for (guint i = 0; work->blob && i < MIN(64, work->step.n_anchor_inputs); i++)
    if (work->step.constants[i] && (kernel->prepared_inputs >> i & 1))
      lcip_memory_drop_file_pages(lcip_tensor_get_stored(work->step.constants[i]),
                                  lcip_tensor_get_bytes(work->step.constants[i]));
}

static void prepare_step(gpointer data, guint chunk, guint worker) {
  const Preparation *job = data;
  const guint i = job->order[chunk];
  const LcipPlanStep *step = job->plan->steps->pdata[i];
  LcipPlanWork *work = job->plan->works->pdata[i];
  if (work->kind != LCIP_STEP_KERNEL || !step->kernel ||
      g_cancellable_is_cancelled(job->cancellable))
    return;
  if (lcip_runtime_prepare(lcip_runtime_get(), step->kernel, &work->step, &work->formats,
                           &work->blob, &job->errors[i]))
    drop_prepared(step->kernel, work);
  else
    g_prefix_error(&job->errors[i], "%s: ", step->title);
}

static gsize constant_bytes(const LcipPlan *plan, guint i) {
  const LcipPlanWork *work = plan->works->pdata[i];
  gsize bytes = 0;
  for (guint k = 0; k < work->step.n_inputs; k++)
    bytes += work->step.constants[k] ? lcip_tensor_get_bytes(work->step.constants[k]) : 0;
  return bytes;
}

static int more_constants_first(gconstpointer a, gconstpointer b, gpointer plan) {
  const gsize x = constant_bytes(plan, *(const guint *)a);
  const gsize y = constant_bytes(plan, *(const guint *)b);
  return (x < y) - (x > y);
}

/* The largest first, so that no thread is left alone with one at the end. */
static guint *order_of_preparation(LcipPlan *plan) {
  guint *order = g_new(guint, plan->steps->len + 1);
  for (guint i = 0; i < plan->steps->len; i++)
    order[i] = i;
  g_qsort_with_data(order, (int)plan->steps->len, sizeof *order, more_constants_first, plan);
  return order;
}

/* Steps on all processors: most of the time that loading takes. */
static gboolean prepare_all(LcipPlan *plan, GCancellable *cancellable, GError **error) {
  g_autofree GError **errors = g_new0(GError *, plan->steps->len + 1);
  g_autofree guint *order = order_of_preparation(plan);
  const Preparation job = {plan, cancellable, order, errors};
  if (plan->sketch)
    return TRUE;
  g_autoptr(LcipTeam) team = lcip_team_new(0);
  lcip_team_run(team, plan->steps->len, prepare_step, (gpointer)&job);
  lcip_runtime_trim_copies(lcip_runtime_get());
  gboolean ok = !g_cancellable_set_error_if_cancelled(cancellable, error);
  for (guint i = 0; i < plan->steps->len; i++) {
    if (!errors[i])
      continue;
    if (ok)
      g_propagate_error(error, g_steal_pointer(&errors[i]));
    g_clear_error(&errors[i]);
    ok = FALSE;
  }
  return ok;
}

gboolean lcip_plan_build(LcipPlan *plan, const LcipPlacement *placement,
                         const LcipPlanOptions *options, GCancellable *cancellable,
                         GError **error) {
  g_autofree int *segment_of = g_new0(int, placement->nodes->len + 1);
  g_autoptr(GHashTable) tensors = g_hash_table_new(NULL, NULL);
  g_autoptr(GHashTable) tokens = g_hash_table_new(NULL, NULL);
  g_autoptr(GHashTable) channels = g_hash_table_new(NULL, NULL);
  g_autoptr(GArray) crossing = g_array_new(FALSE, TRUE, sizeof(gboolean));
  Builder b = {.plan = plan,
               .p = placement,
               .options = options,
               .segment_of = segment_of,
               .tensors = tensors,
               .tokens = tokens,
               .crossing = crossing,
               .channels = channels};
  plan->steps = g_ptr_array_new_with_free_func(step_free);
  plan->works = g_ptr_array_new_with_free_func(work_free);
  number_segments(&b);
  make_segments(&b);
  find_crossings(&b);
  if (!emit_all(&b, cancellable, error) || !prepare_all(plan, cancellable, error))
    return FALSE;
  lcip_plan_assign_memory(plan);
  return TRUE;
}
