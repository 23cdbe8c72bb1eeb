#include "config.h"
#include "lcip-plan-private.h"

#include <string.h>

/* ---- building graphs ---- */

static LcipTensorSpec f32(LcipShape shape) {
  return lcip_tensor_spec(LCIP_TYPE_F32, shape);
}

static LcipTensor *filled(LcipShape shape, float value) {
  const LcipTensorSpec spec = f32(shape);
  LcipTensor *tensor = lcip_tensor_new(&spec);
  float *data = lcip_tensor_get_mutable(tensor);
  for (gint64 i = 0; i < lcip_shape_count(&shape); i++)
    data[i] = value;
  return tensor;
}

static int add(LcipGraph *graph, const char *op, const char *id, guint n_inputs, int from) {
  const int actor = lcip_graph_add_actor(graph, lcip_actor_new(id, "", "", op, n_inputs, 1));
  lcip_graph_add_edge(graph, (LcipEdge){from, 0, actor, 0, 0});
  return actor;
}

static void connect(LcipGraph *graph, int src, int dst, guint port) {
  lcip_graph_add_edge(graph, (LcipEdge){src, 0, dst, port, 0});
}

static void constant(LcipGraph *graph, int actor, guint port, LcipTensor *tensor) {
  lcip_actor_set_constant(lcip_graph_actor(graph, actor), port, tensor, "k");
  lcip_tensor_unref(tensor);
}

static int add_conv(LcipGraph *graph, const char *id, int from, int channels, int kernel) {
  const int conv = add(graph, "Conv", id, 2, from);
  LcipAttrs *attrs = lcip_graph_actor(graph, conv)->attrs;
  g_autofree char *pads =
      g_strdup_printf("%d %d %d %d", kernel / 2, kernel / 2, kernel / 2, kernel / 2);
  g_assert_true(lcip_attrs_set_text(attrs, "pads", LCIP_ATTR_INTS, pads, NULL));
  constant(graph, conv, 1, filled(lcip_shape(4, channels, channels, kernel, kernel), 0.01f));
  return conv;
}

static LcipGraph *new_graph(int channels, int size) {
  LcipGraph *graph = lcip_graph_new();
  lcip_graph_add_input(graph, "x", "x", f32(lcip_shape(4, 1, channels, size, size)));
  lcip_graph_add_output(graph, "y", "y", (LcipTensorSpec){0});
  lcip_graph_ensure_defaults(graph);
  return graph;
}

/* x -> conv_a -> relu_a -> conv_b -> (+ relu_a) -> relu_b -> y: a residual block. */
static LcipGraph *residual_graph(void) {
  LcipGraph *graph = new_graph(16, 9);
  const int conv_a = add_conv(graph, "conv_a", LCIP_NO_ACTOR, 16, 3);
  const int relu_a = add(graph, "Relu", "relu_a", 1, conv_a);
  const int conv_b = add_conv(graph, "conv_b", relu_a, 16, 3);
  const int sum = add(graph, "Add", "sum", 2, conv_b);
  connect(graph, relu_a, sum, 1);
  const int relu_b = add(graph, "Relu", "relu_b", 1, sum);
  connect(graph, relu_b, LCIP_NO_ACTOR, 0);
  return graph;
}

static LcipPlan *compile(LcipGraph *graph, const LcipPlanOptions *options) {
  g_autoptr(GError) error = NULL;
  LcipPlan *plan = lcip_plan_new(graph, options, NULL, NULL, &error);
  g_assert_no_error(error);
  return plan;
}

static const LcipPlanActor *actor(const LcipPlan *plan, const char *id) {
  return lcip_plan_actor(plan, (guint)lcip_graph_find_actor(plan->graph, id));
}

/* ---- what holds for every plan ---- */

typedef struct {
  int tensor, first, last;
} Life;

static void note_use(const LcipPlan *plan, GArray *lives, int tensor, int position) {
  if (tensor < 0)
    return;
  const int root = lcip_plan_root(plan, tensor);
  if (g_array_index(plan->tensors, LcipPlanTensor, root).store != LCIP_STORE_ARENA)
    return;
  for (guint i = 0; i < lives->len; i++) {
    if (g_array_index(lives, Life, i).tensor == root) {
      g_array_index(lives, Life, i).last = position;
      return;
    }
  }
  const Life life = {root, position, position};
  g_array_append_val(lives, life);
}

static GArray *find_lives(const LcipPlan *plan, const LcipPlanSegment *segment) {
  GArray *lives = g_array_new(FALSE, FALSE, sizeof(Life));
  for (guint k = 0; k < segment->n_steps; k++) {
    const LcipPlanWork *work = plan->works->pdata[segment->steps[k]];
    for (guint i = 0; i < work->step.n_inputs; i++)
      note_use(plan, lives, work->inputs[i], (int)k);
    for (guint o = 0; o < work->step.n_outputs; o++)
      note_use(plan, lives, work->outputs[o], (int)k);
  }
  return lives;
}

static void check_no_overlap(const LcipPlan *plan, const LcipPlanSegment *segment) {
  g_autoptr(GArray) lives = find_lives(plan, segment);
  const LcipPlanLane *lane = plan->lanes->pdata[segment->lane];
  for (guint i = 0; i < lives->len; i++) {
    const Life *a = &g_array_index(lives, Life, i);
    const LcipPlanTensor *x = &g_array_index(plan->tensors, LcipPlanTensor, a->tensor);
    g_assert_cmpuint(x->offset_bytes + x->size_bytes, <=, lane->arena_bytes);
    g_assert_cmpuint(x->offset_bytes % LCIP_TENSOR_ALIGN, ==, 0);
    for (guint j = 0; j < i; j++) {
      const Life *b = &g_array_index(lives, Life, j);
      const LcipPlanTensor *y = &g_array_index(plan->tensors, LcipPlanTensor, b->tensor);
      const gboolean apart = a->last < b->first || b->last < a->first;
      const gboolean disjoint = x->offset_bytes + x->size_bytes <= y->offset_bytes ||
                                y->offset_bytes + y->size_bytes <= x->offset_bytes;
      g_assert_true(apart || disjoint);
    }
  }
}

/* In two parts for firings that pause at every @nth step from @first on: what lives then is the
 * instance's own, and nothing else is. */
static void check_layout(const LcipPlan *plan, const LcipPlanSegment *segment, guint first,
                         guint nth) {
  g_autoptr(GArray) lives = find_lives(plan, segment);
  g_autofree gboolean *pauses = g_new0(gboolean, plan->steps->len + 1);
  gsize scratch_bytes[2] = {0};
  for (guint k = 0; k < segment->n_steps; k++) {
    const LcipPlanWork *work = plan->works->pdata[segment->steps[k]];
    const gboolean pause = k % nth == first;
    pauses[segment->steps[k]] = pause;
    scratch_bytes[pause] = MAX(scratch_bytes[pause], work->scratch_bytes);
  }
  LcipPlanLayout *layout = lcip_plan_layout_new(plan, segment->lane, pauses);
  for (guint i = 0; i < lives->len; i++) {
    const Life *a = &g_array_index(lives, Life, i);
    const gsize begin = layout->offset_bytes[a->tensor];
    const gsize end = begin + g_array_index(plan->tensors, LcipPlanTensor, a->tensor).size_bytes;
    gboolean is_shared = TRUE;
    for (int k = a->first; k <= a->last; k++)
      is_shared &= !pauses[segment->steps[k]];
    g_assert_cmpint(layout->is_shared[a->tensor], ==, is_shared);
    g_assert_cmpuint(end, <=, is_shared ? layout->shared.arena_bytes : layout->own.arena_bytes);
    g_assert_cmpuint(begin % LCIP_TENSOR_ALIGN, ==, 0);
    for (guint j = 0; j < i; j++) {
      const Life *b = &g_array_index(lives, Life, j);
      const gsize other = layout->offset_bytes[b->tensor];
      const gsize bytes = g_array_index(plan->tensors, LcipPlanTensor, b->tensor).size_bytes;
      g_assert_true(layout->is_shared[b->tensor] != is_shared || a->last < b->first ||
                    b->last < a->first || end <= other || other + bytes <= begin);
    }
  }
  /* At least: other segments of the lane use the same. */
  g_assert_cmpuint(layout->own.scratch_bytes, >=, scratch_bytes[TRUE]);
  g_assert_cmpuint(layout->shared.scratch_bytes, >=, scratch_bytes[FALSE]);
  lcip_plan_layout_free(layout);
}

static void check_reads_after_writes(const LcipPlan *plan) {
  g_autofree gboolean *written = g_new0(gboolean, plan->tensors->len);
  for (guint s = 0; s < plan->segments->len; s++) {
    const LcipPlanSegment *segment = &g_array_index(plan->segments, LcipPlanSegment, s);
    for (guint k = 0; k < segment->n_steps; k++) {
      const LcipPlanWork *work = plan->works->pdata[segment->steps[k]];
      for (guint i = 0; i < work->step.n_inputs; i++) {
        if (work->inputs[i] < 0)
          continue;
        const int root = lcip_plan_root(plan, work->inputs[i]);
        if (g_array_index(plan->tensors, LcipPlanTensor, root).store != LCIP_STORE_CONSTANT)
          g_assert_true(written[root]);
      }
      for (guint o = 0; o < work->step.n_outputs; o++)
        written[lcip_plan_root(plan, work->outputs[o])] = TRUE;
    }
  }
}

static void check_channels(const LcipPlan *plan) {
  for (guint i = 0; i < plan->channels->len; i++) {
    const LcipPlanChannel *channel = &g_array_index(plan->channels, LcipPlanChannel, i);
    const LcipPlanTensor *tensor = &g_array_index(plan->tensors, LcipPlanTensor, channel->tensor);
    g_assert_cmpint(channel->src_segment, <, channel->dst_segment);
    g_assert_cmpint(tensor->store, ==, LCIP_STORE_TOKEN);
    g_assert_cmpint(tensor->src_segment, ==, channel->src_segment);
  }
}

static void check_invariants(const LcipPlan *plan) {
  check_reads_after_writes(plan);
  check_channels(plan);
  for (guint s = 0; s < plan->segments->len; s++) {
    const LcipPlanSegment *segment = &g_array_index(plan->segments, LcipPlanSegment, s);
    if (segment->kind != LCIP_SEGMENT_WORK)
      continue;
    check_no_overlap(plan, segment);
    for (guint first = 0; first < MIN(segment->n_steps, 3); first++)
      check_layout(plan, segment, first, 3);
    check_layout(plan, segment, segment->n_steps, segment->n_steps + 1); /* none */
  }
}

/* ---- fusion ---- */

static void test_fusion(void) {
  g_autoptr(LcipGraph) graph = residual_graph();
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  check_invariants(plan);
  g_assert_cmpint(actor(plan, "conv_a")->step, ==, actor(plan, "relu_a")->step);
  g_assert_cmpint(actor(plan, "conv_b")->step, ==, actor(plan, "sum")->step);
  g_assert_cmpint(actor(plan, "conv_b")->step, ==, actor(plan, "relu_b")->step);
  g_assert_cmpint(actor(plan, "conv_a")->step, !=, actor(plan, "conv_b")->step);
  g_assert_cmpuint(actor(plan, "conv_b")->elided, ==, 1);
  g_assert_cmpuint(actor(plan, "relu_b")->elided, ==, 0);
  const LcipPlanStep *step = lcip_plan_step(plan, (guint)actor(plan, "conv_b")->step);
  g_assert_cmpuint(step->n_actors, ==, 3);
  g_assert_cmpint(step->actors[0], ==, lcip_graph_find_actor(graph, "conv_b"));
}

static void test_pinned(void) {
  g_autoptr(LcipGraph) graph = residual_graph();
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){.pinned = TRUE});
  check_invariants(plan);
  g_assert_cmpint(actor(plan, "conv_a")->step, !=, actor(plan, "relu_a")->step);
  g_assert_cmpint(actor(plan, "conv_b")->step, !=, actor(plan, "sum")->step);
}

static LcipNumerics numerics_of(const LcipPlan *plan, const char *id) {
  return lcip_plan_step(plan, (guint)actor(plan, id)->step)->kernel->numerics;
}

/* Winograd where it pays; never in a pinned plan, unless an actor's pin asks for it. */
static void test_pinned_numerics(void) {
  g_autoptr(LcipGraph) graph = new_graph(64, 28);
  connect(graph, add_conv(graph, "conv", LCIP_NO_ACTOR, 64, 3), LCIP_NO_ACTOR, 0);
  g_autoptr(LcipPlan) free_plan = compile(graph, &(LcipPlanOptions){0});
  g_autoptr(LcipPlan) pinned_plan = compile(graph, &(LcipPlanOptions){.pinned = TRUE});
  g_assert_cmpint(numerics_of(free_plan, "conv"), ==, LCIP_NUMERICS_WINOGRAD);
  g_assert_cmpint(numerics_of(pinned_plan, "conv"), <, LCIP_NUMERICS_WINOGRAD);
  const LcipPlanStep *step = lcip_plan_step(free_plan, (guint)actor(free_plan, "conv")->step);
  lcip_mapping_pin(lcip_graph_find_mapping(graph, NULL), "conv", step->kernel->name);
  g_autoptr(LcipPlan) actor_plan = compile(graph, &(LcipPlanOptions){.pinned = TRUE});
  g_assert_cmpint(numerics_of(actor_plan, "conv"), ==, LCIP_NUMERICS_WINOGRAD);
}

static void test_keep(void) {
  g_autoptr(LcipGraph) graph = residual_graph();
  g_autoptr(GPtrArray) keep = g_ptr_array_new();
  g_ptr_array_add(keep, (gpointer) "conv_b");
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){.keep = keep});
  check_invariants(plan);
  g_assert_cmpint(actor(plan, "conv_b")->step, !=, actor(plan, "sum")->step);
  g_assert_cmpuint(actor(plan, "conv_b")->elided, ==, 0);
}

static void test_no_fusion_across_lanes(void) {
  g_autoptr(LcipGraph) graph = residual_graph();
  lcip_graph_add_lane(graph, "CPU 2", LCIP_LANE_CPU, 1, NULL);
  lcip_mapping_assign(lcip_graph_find_mapping(graph, NULL), "sum", "CPU 2");
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  check_invariants(plan);
  g_assert_cmpint(actor(plan, "conv_b")->step, !=, actor(plan, "sum")->step);
  g_assert_cmpint(actor(plan, "conv_b")->lane, !=, actor(plan, "sum")->lane);
  /* Source, CPU, CPU 2, CPU (relu_b), sink. */
  g_assert_cmpuint(lcip_plan_n_segments(plan), ==, 5);
}

/* ---- products with a function of the same value ---- */

/* x -> conv -> gate (-> gate_2) -> mul with conv -> y */
static LcipGraph *gate_graph(const char *gate, const char *gate_2) {
  LcipGraph *graph = new_graph(16, 9);
  const int conv = add_conv(graph, "conv", LCIP_NO_ACTOR, 16, 1);
  int last = add(graph, gate, "gate", 1, conv);
  if (g_str_equal(gate, "HardSigmoid"))
    g_assert_true(lcip_attrs_set_text(lcip_graph_actor(graph, last)->attrs, "alpha",
                                      LCIP_ATTR_FLOAT, "0.16666667", NULL));
  if (gate_2)
    last = add(graph, gate_2, "gate_2", 1, last);
  const int mul = add(graph, "Mul", "mul", 2, last);
  connect(graph, conv, mul, 1);
  connect(graph, mul, LCIP_NO_ACTOR, 0);
  return graph;
}

static void test_gates(void) {
  static const char *const gates[][3] = {
      {"Sigmoid", NULL, "Swish"}, {"HardSigmoid", NULL, "HardSwish"}, {"Softplus", "Tanh", "Mish"}};
  for (guint i = 0; i < G_N_ELEMENTS(gates); i++) {
    g_autoptr(LcipGraph) graph = gate_graph(gates[i][0], gates[i][1]);
    g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
    check_invariants(plan);
    const int step = actor(plan, "conv")->step;
    const LcipPlanWork *work = plan->works->pdata[step];
    g_assert_cmpint(actor(plan, "gate")->step, ==, step);
    g_assert_cmpint(actor(plan, "mul")->step, ==, step);
    g_assert_cmpuint(lcip_plan_step(plan, (guint)step)->n_actors, ==, gates[i][1] ? 4 : 3);
    g_assert_cmpuint(actor(plan, "gate")->elided, ==, 1);
    g_assert_cmpuint(actor(plan, "mul")->elided, ==, 0);
    g_assert_cmpuint(work->step.n_epilogues, ==, 1);
    g_assert_cmpstr(work->step.epilogues[0].op->name, ==, gates[i][2]);
  }
}

/* A gate that is looked at, pinned, read twice or of other parameters stays. */
static void test_gates_left_alone(void) {
  g_autoptr(LcipGraph) graph = gate_graph("Sigmoid", NULL);
  g_autoptr(GPtrArray) keep = g_ptr_array_new();
  g_ptr_array_add(keep, (gpointer) "gate");
  g_autoptr(LcipPlan) kept = compile(graph, &(LcipPlanOptions){.keep = keep});
  g_assert_cmpint(actor(kept, "gate")->step, !=, actor(kept, "mul")->step);
  g_autoptr(LcipPlan) pinned = compile(graph, &(LcipPlanOptions){.pinned = TRUE});
  g_assert_cmpint(actor(pinned, "gate")->step, !=, actor(pinned, "mul")->step);
  lcip_mapping_pin(lcip_graph_find_mapping(graph, NULL), "mul", "binary-ref");
  g_autoptr(LcipPlan) by_actor = compile(graph, &(LcipPlanOptions){0});
  g_assert_cmpint(actor(by_actor, "gate")->step, !=, actor(by_actor, "mul")->step);
  g_autoptr(LcipGraph) other = gate_graph("HardSigmoid", NULL);
  const int gate = lcip_graph_find_actor(other, "gate");
  g_assert_true(lcip_attrs_set_text(lcip_graph_actor(other, gate)->attrs, "beta", LCIP_ATTR_FLOAT,
                                    "0.25", NULL));
  g_autoptr(LcipPlan) plan = compile(other, &(LcipPlanOptions){0});
  check_invariants(plan);
  g_assert_cmpint(actor(plan, "gate")->step, !=, actor(plan, "mul")->step);
}

/* ---- 1x1 and depthwise convolution ---- */

/* x -> expand -> clip -> depthwise -> relu -> y */
static LcipGraph *expand_graph(void) {
  LcipGraph *graph = new_graph(16, 9);
  const int expand = add_conv(graph, "expand", LCIP_NO_ACTOR, 16, 1);
  const int clip = add(graph, "Clip", "clip", 3, expand);
  constant(graph, clip, 1, filled(lcip_shape(0), 0.0f));
  constant(graph, clip, 2, filled(lcip_shape(0), 6.0f));
  const int depthwise = add(graph, "Conv", "depthwise", 2, clip);
  LcipAttrs *attrs = lcip_graph_actor(graph, depthwise)->attrs;
  g_assert_true(lcip_attrs_set_text(attrs, "pads", LCIP_ATTR_INTS, "1 1 1 1", NULL));
  g_assert_true(lcip_attrs_set_text(attrs, "strides", LCIP_ATTR_INTS, "2 2", NULL));
  g_assert_true(lcip_attrs_set_text(attrs, "group", LCIP_ATTR_INT, "16", NULL));
  constant(graph, depthwise, 1, filled(lcip_shape(4, 16, 1, 3, 3), 0.1f));
  const int relu = add(graph, "Relu", "relu", 1, depthwise);
  connect(graph, relu, LCIP_NO_ACTOR, 0);
  return graph;
}

static void test_expand_depthwise(void) {
  g_autoptr(LcipGraph) graph = expand_graph();
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  check_invariants(plan);
  const int step = actor(plan, "expand")->step;
  const LcipPlanWork *work = plan->works->pdata[step];
  g_assert_cmpstr(work->step.op->name, ==, "ExpandDepthwise");
  g_assert_cmpuint(lcip_plan_step(plan, (guint)step)->n_actors, ==, 4);
  g_assert_cmpint(actor(plan, "relu")->step, ==, step);
  g_assert_cmpuint(actor(plan, "depthwise")->elided, ==, 1);
  g_assert_cmpuint(actor(plan, "relu")->elided, ==, 0);
  g_assert_cmpuint(work->step.n_epilogues, ==, 1);
  g_assert_cmpstr(lcip_attrs_get_string(work->step.attrs, "activation"), ==, "Clip");
  g_assert_cmpfloat(lcip_attrs_get_float(work->step.attrs, "beta"), ==, 6.0f);
  guint n;
  g_assert_cmpint(lcip_attrs_get_ints(work->step.attrs, "strides", &n)[1], ==, 2);
}

static void test_expand_depthwise_left_alone(void) {
  g_autoptr(LcipGraph) graph = expand_graph();
  g_autoptr(GPtrArray) keep = g_ptr_array_new();
  g_ptr_array_add(keep, (gpointer) "clip");
  g_autoptr(LcipPlan) kept = compile(graph, &(LcipPlanOptions){.keep = keep});
  check_invariants(kept);
  g_assert_cmpint(actor(kept, "clip")->step, !=, actor(kept, "depthwise")->step);
  g_autoptr(LcipPlan) exact = compile(graph, &(LcipPlanOptions){.pinned = TRUE});
  g_assert_cmpint(actor(exact, "expand")->step, !=, actor(exact, "depthwise")->step);
  lcip_mapping_pin(lcip_graph_find_mapping(graph, NULL), "depthwise", "conv-ref");
  g_autoptr(LcipPlan) pinned = compile(graph, &(LcipPlanOptions){0});
  check_invariants(pinned);
  g_assert_cmpint(actor(pinned, "expand")->step, !=, actor(pinned, "depthwise")->step);
}

/* ---- channels that only move ---- */

static int add_shape_op(LcipGraph *graph, const char *op, const char *id, int from, guint n,
                        const gint64 *numbers) {
  const int node = add(graph, op, id, 2, from);
  constant(graph, node, 1, lcip_tensor_new_i64(n, numbers));
  return node;
}

/* A unit of ShuffleNet V2: stem is split; one half is convolved, put together with the other and
 * shuffled; the second half of that is convolved. */
static LcipGraph *shuffle_graph(void) {
  static const gint64 apart[] = {1, 2, 8, 9, 9}, together[] = {1, 16, 9, 9};
  static const gint64 numbers[] = {0, 8, 1, 16};
  LcipGraph *graph = new_graph(16, 9);
  const int stem = add_conv(graph, "stem", LCIP_NO_ACTOR, 16, 3);
  const int split = lcip_graph_add_actor(graph, lcip_actor_new("split", "", "", "Split", 1, 2));
  g_assert_true(
      lcip_attrs_set_text(lcip_graph_actor(graph, split)->attrs, "axis", LCIP_ATTR_INT, "1", NULL));
  connect(graph, stem, split, 0);
  const int half = lcip_graph_add_actor(graph, lcip_actor_new("half", "", "", "Conv", 2, 1));
  lcip_graph_add_edge(graph, (LcipEdge){split, 1, half, 0, 0});
  constant(graph, half, 1, filled(lcip_shape(4, 8, 8, 1, 1), 0.1f));
  const int concat = add(graph, "Concat", "concat", 2, split);
  g_assert_true(lcip_attrs_set_text(lcip_graph_actor(graph, concat)->attrs, "axis", LCIP_ATTR_INT,
                                    "1", NULL));
  connect(graph, half, concat, 1);
  const int first = add_shape_op(graph, "Reshape", "first", concat, 5, apart);
  const int transpose = add(graph, "Transpose", "transpose", 1, first);
  g_assert_true(lcip_attrs_set_text(lcip_graph_actor(graph, transpose)->attrs, "perm",
                                    LCIP_ATTR_INTS, "0 2 1 3 4", NULL));
  const int last = add_shape_op(graph, "Reshape", "last", transpose, 4, together);
  const int slice = add(graph, "Slice", "slice", 4, last);
  for (guint i = 1; i < 4; i++)
    constant(graph, slice, i, lcip_tensor_new_i64(1, &numbers[i == 3 ? 2 : i == 2 ? 3 : 1]));
  const int end = lcip_graph_add_actor(graph, lcip_actor_new("end", "", "", "Conv", 2, 1));
  connect(graph, slice, end, 0);
  constant(graph, end, 1, filled(lcip_shape(4, 8, 8, 1, 1), 0.1f));
  connect(graph, end, LCIP_NO_ACTOR, 0);
  return graph;
}

static void test_channels(void) {
  g_autoptr(LcipGraph) graph = shuffle_graph();
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  check_invariants(plan);
  const int step = actor(plan, "slice")->step;
  const LcipPlanWork *work = plan->works->pdata[step];
  g_assert_cmpstr(work->step.op->name, ==, "ChannelGather");
  g_assert_cmpint(actor(plan, "concat")->step, ==, step);
  g_assert_cmpint(actor(plan, "first")->step, ==, step);
  g_assert_cmpint(actor(plan, "transpose")->step, ==, step);
  g_assert_cmpint(actor(plan, "last")->step, ==, step);
  g_assert_cmpuint(actor(plan, "last")->elided, ==, 1);
  g_assert_cmpuint(actor(plan, "slice")->elided, ==, 0);
  /* Channels 8 .. 15 of the shuffle are 4 .. 7 of stem and of half in turn. */
  guint n;
  const gint64 *channels = lcip_attrs_get_ints(work->step.attrs, "channels", &n);
  g_assert_cmpuint(n, ==, 8);
  for (guint i = 0; i < n; i++)
    g_assert_cmpint(channels[i], ==, (i % 2 ? 16 : 0) + 4 + i / 2);
  g_assert_cmpint(actor(plan, "split")->step, !=, step);
  g_assert_cmpint(actor(plan, "split")->step, >=, 0);
}

/* What is looked at or pinned stays, and so does what only Concat makes. */
static void test_channels_left_alone(void) {
  g_autoptr(LcipGraph) graph = shuffle_graph();
  g_autoptr(GPtrArray) keep = g_ptr_array_new();
  g_ptr_array_add(keep, (gpointer) "last");
  g_autoptr(LcipPlan) kept = compile(graph, &(LcipPlanOptions){.keep = keep});
  check_invariants(kept);
  g_assert_cmpuint(actor(kept, "last")->elided, ==, 0);
  g_assert_cmpint(actor(kept, "last")->step, !=, actor(kept, "slice")->step);
  lcip_mapping_pin(lcip_graph_find_mapping(graph, NULL), "concat", "layout-ref");
  g_autoptr(LcipPlan) pinned = compile(graph, &(LcipPlanOptions){0});
  check_invariants(pinned);
  g_assert_cmpstr(lcip_plan_step(pinned, (guint)actor(pinned, "concat")->step)->kernel->name, ==,
                  "layout-ref");
}

/* ---- folding ---- */

static void test_fold_affine(void) {
  g_autoptr(LcipGraph) graph = new_graph(16, 5);
  const int conv = add_conv(graph, "conv", LCIP_NO_ACTOR, 16, 1);
  const int mul = add(graph, "Mul", "mul", 2, conv);
  constant(graph, mul, 1, filled(lcip_shape(3, 16, 1, 1), 2));
  const int bias = add(graph, "Add", "bias", 2, mul);
  constant(graph, bias, 1, filled(lcip_shape(4, 1, 16, 1, 1), 3));
  connect(graph, bias, LCIP_NO_ACTOR, 0);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  check_invariants(plan);
  g_assert_cmpint(actor(plan, "mul")->state, ==, LCIP_ACTOR_FOLDED);
  g_assert_cmpint(actor(plan, "bias")->state, ==, LCIP_ACTOR_FOLDED);
  const LcipPlanWork *work = plan->works->pdata[actor(plan, "conv")->step];
  const float *w = lcip_tensor_get_data(work->step.constants[1]);
  const float *b = lcip_tensor_get_data(work->step.constants[2]);
  g_assert_cmpfloat_with_epsilon(w[0], 0.02f, 1e-7);
  g_assert_cmpfloat_with_epsilon(b[15], 3.0f, 1e-7);
}

static void test_fold_keeps_spatial_constants(void) {
  /* A constant of the width's shape is no bias, even where width and channels agree. */
  g_autoptr(LcipGraph) graph = new_graph(16, 16);
  const int conv = add_conv(graph, "conv", LCIP_NO_ACTOR, 16, 1);
  const int sum = add(graph, "Add", "sum", 2, conv);
  constant(graph, sum, 1, filled(lcip_shape(1, 16), 3));
  connect(graph, sum, LCIP_NO_ACTOR, 0);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  check_invariants(plan);
  g_assert_cmpint(actor(plan, "sum")->state, ==, LCIP_ACTOR_RUN);
}

static void test_dead(void) {
  g_autoptr(LcipGraph) graph = residual_graph();
  add(graph, "Relu", "unread", 1, lcip_graph_find_actor(graph, "conv_a"));
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  check_invariants(plan);
  g_assert_cmpint(actor(plan, "unread")->state, ==, LCIP_ACTOR_DEAD);
  /* What is dead doesn't hold up fusion. */
  g_assert_cmpint(actor(plan, "conv_a")->step, ==, actor(plan, "relu_a")->step);
}

/* ---- pins, lanes and problems ---- */

static void assert_fails(LcipGraph *graph, const LcipPlanOptions *options, const char *fragment) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_assert_null(lcip_plan_new(graph, options, problems, NULL, &error));
  g_assert_nonnull(error);
  g_assert_true(lcip_problems_have_errors(problems) || problems->len == 0);
  if (!strstr(error->message, fragment))
    g_error("expected \"%s\" in \"%s\"", fragment, error->message);
}

static void test_pin(void) {
  g_autoptr(LcipGraph) graph = residual_graph();
  lcip_mapping_pin(lcip_graph_find_mapping(graph, NULL), "conv_a", "conv-ref");
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  check_invariants(plan);
  g_assert_cmpstr(lcip_plan_step(plan, (guint)actor(plan, "conv_a")->step)->kernel->name, ==,
                  "conv-ref");
  lcip_mapping_pin(lcip_graph_find_mapping(graph, NULL), "conv_a", "no-such");
  assert_fails(graph, &(LcipPlanOptions){0}, "the pinned kernel no-such cannot be used");
}

static void test_lane_without_device(void) {
  g_autoptr(LcipGraph) graph = residual_graph();
  g_autoptr(GHashTable) bindings = g_hash_table_new(g_str_hash, g_str_equal);
  g_hash_table_insert(bindings, (gpointer) "CPU", (gpointer) "opencl:99");
  assert_fails(graph, &(LcipPlanOptions){.bindings = bindings}, "there is no device opencl:99");
  lcip_graph_add_lane(graph, "Far", LCIP_LANE_REMOTE, 0, NULL);
  lcip_mapping_assign(lcip_graph_find_mapping(graph, NULL), "sum", "Far");
  assert_fails(graph, &(LcipPlanOptions){0}, "lane Far");
}

static void test_mapping_missing(void) {
  g_autoptr(LcipGraph) graph = residual_graph();
  assert_fails(graph, &(LcipPlanOptions){.mapping = "other"}, "there is no mapping other");
}

/* ---- random graphs keep the invariants ---- */

static LcipGraph *random_graph(GRand *rand, int n) {
  LcipGraph *graph = new_graph(16, 7);
  lcip_graph_add_lane(graph, "CPU 2", LCIP_LANE_CPU, 1, NULL);
  LcipMapping *mapping = lcip_graph_find_mapping(graph, NULL);
  for (int i = 0; i < n; i++) {
    g_autofree char *id = g_strdup_printf("a%d", i);
    const int from = g_rand_int_range(rand, MAX(-1, i - 4), i);
    const int kind = g_rand_int_range(rand, 0, 4);
    if (kind == 0)
      add_conv(graph, id, from, 16, g_rand_boolean(rand) ? 1 : 3);
    else if (kind == 1)
      add(graph, "Relu", id, 1, from);
    else if (kind == 2)
      add(graph, "Sigmoid", id, 1, from);
    else
      connect(graph, g_rand_int_range(rand, MAX(-1, i - 6), i), add(graph, "Add", id, 2, from), 1);
    if (g_rand_boolean(rand))
      lcip_mapping_assign(mapping, id, "CPU 2");
  }
  connect(graph, n - 1, LCIP_NO_ACTOR, 0);
  return graph;
}

static void test_random(void) {
  const guint32 seed = g_test_rand_int();
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  g_test_message("seed %u", seed);
  for (int round = 0; round < 60; round++) {
    g_autoptr(LcipGraph) graph = random_graph(rand, g_rand_int_range(rand, 1, 40));
    g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){.pinned = round % 3 == 0});
    check_invariants(plan);
  }
}

static void test_memory_is_shared(void) {
  g_autoptr(LcipGraph) graph = new_graph(16, 32);
  int last = LCIP_NO_ACTOR;
  for (int i = 0; i < 10; i++) {
    g_autofree char *id = g_strdup_printf("conv%d", i);
    last = add_conv(graph, id, last, 16, 3);
  }
  connect(graph, last, LCIP_NO_ACTOR, 0);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  check_invariants(plan);
  const LcipPlanLane *lane = lcip_plan_lane(plan, 0);
  const gsize tensor = 16 * 32 * 32 * sizeof(float);
  g_assert_cmpuint(lane->arena_bytes, <=, 3 * tensor);
  g_assert_cmpuint(lane->unshared_bytes, >=, 9 * tensor);
}

/* ---- edges between lanes ---- */

static guint edge_index(const LcipGraph *graph, const char *src, const char *dst, guint port) {
  for (guint e = 0; e < graph->edges->len; e++) {
    const LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, e);
    if (edge->src_actor == lcip_graph_find_actor(graph, src) &&
        edge->dst_actor == lcip_graph_find_actor(graph, dst) && edge->dst_port == port)
      return e;
  }
  g_error("no edge from %s to %s", src, dst);
}

/* The titles of the steps that carry an edge, as "Reorder, Upload". */
static char *carriers(const LcipPlan *plan, const char *src, const char *dst, guint port) {
  int steps[4];
  const guint n =
      lcip_plan_edge_carriers(plan, edge_index(lcip_plan_graph(plan), src, dst, port), steps);
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < n; i++)
    g_string_append_printf(text, "%s%s", i ? ", " : "",
                           lcip_plan_step(plan, (guint)steps[i])->title);
  return g_string_free(text, FALSE);
}

/* conv_b on a device: what goes there is uploaded, what comes back is downloaded, with the reorders
 * that the formats on the CPU need; the edge beside it that stays on the lane has none. */
static void test_edge_carriers(void) {
  g_autoptr(LcipGraph) graph = residual_graph();
  lcip_graph_add_lane(graph, "GPU", LCIP_LANE_OPENCL, 0, NULL);
  if (!lcip_runtime_find_device(lcip_runtime_get(), "opencl:0")) {
    g_test_skip("no OpenCL device");
    return;
  }
  lcip_mapping_assign(lcip_graph_find_mapping(graph, NULL), "conv_b", "GPU");
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  g_autofree char *there = carriers(plan, "relu_a", "conv_b", 0);
  g_autofree char *back = carriers(plan, "conv_b", "sum", 0);
  g_autofree char *beside = carriers(plan, "relu_a", "sum", 1);
  g_assert_true(g_str_equal(there, "Upload") || g_str_equal(there, "Reorder, Upload"));
  g_assert_true(g_str_equal(back, "Download") || g_str_equal(back, "Download, Reorder"));
  g_assert_cmpstr(beside, ==, "");
  const guint crossing = edge_index(graph, "relu_a", "conv_b", 0);
  g_assert_cmpuint(lcip_plan_edge_bytes(plan, crossing), ==, 16 * 9 * 9 * sizeof(float));
  lcip_mapping_assign(lcip_graph_find_mapping(graph, NULL), "conv_b", "CPU");
  g_autoptr(LcipPlan) one_lane = compile(graph, &(LcipPlanOptions){0});
  g_autofree char *none = carriers(one_lane, "relu_a", "conv_b", 0);
  g_assert_cmpstr(none, ==, "");
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/plan/fusion", test_fusion);
  g_test_add_func("/plan/pinned", test_pinned);
  g_test_add_func("/plan/pinned-numerics", test_pinned_numerics);
  g_test_add_func("/plan/keep", test_keep);
  g_test_add_func("/plan/no-fusion-across-lanes", test_no_fusion_across_lanes);
  g_test_add_func("/plan/gates", test_gates);
  g_test_add_func("/plan/expand-depthwise", test_expand_depthwise);
  g_test_add_func("/plan/expand-depthwise-left-alone", test_expand_depthwise_left_alone);
  g_test_add_func("/plan/channels", test_channels);
  g_test_add_func("/plan/channels-left-alone", test_channels_left_alone);
  g_test_add_func("/plan/gates-left-alone", test_gates_left_alone);
  g_test_add_func("/plan/fold-affine", test_fold_affine);
  g_test_add_func("/plan/fold-keeps-spatial-constants", test_fold_keeps_spatial_constants);
  g_test_add_func("/plan/dead", test_dead);
  g_test_add_func("/plan/pin", test_pin);
  g_test_add_func("/plan/lane-without-device", test_lane_without_device);
  g_test_add_func("/plan/mapping-missing", test_mapping_missing);
  g_test_add_func("/plan/random", test_random);
  g_test_add_func("/plan/memory-is-shared", test_memory_is_shared);
  g_test_add_func("/plan/edge-carriers", test_edge_carriers);
  return g_test_run();
}
