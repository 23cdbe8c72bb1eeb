#include "config.h"

#include "test-transform.h"

#include <math.h>
#include <string.h>

/* Each transform is seen to fire where it should, to leave alone what it must, and to give what the
 * graph gives on reference kernels without it. */

/* ---- identity ---- */

static void test_identity(void) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 16, 6, 6));
  const gint64 nothing[8] = {0};
  const int pad = add_pad(graph, "pad", LCIP_NO_ACTOR, nothing, 1);
  const int conv = add_conv(graph, "conv", pad, 16, 16, "1 1 1 1");
  const int same = add(graph, "Identity", "same", 1, conv);
  const int drop = add(graph, "Dropout", "drop", 3, same);
  finish(graph, add(graph, "Relu", "relu", 1, drop));
  check(graph, 1);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint(actor_of(plan, ((const char *[]){"pad", "same", "drop"})[i])->state, ==,
                    LCIP_ACTOR_FOLDED);
}

/* What is kept, pinned or on a lane of its own stays. */
static void test_identity_stays(void) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 16, 6, 6));
  g_autoptr(GPtrArray) keep = g_ptr_array_new();
  const int conv = add_conv(graph, "conv", LCIP_NO_ACTOR, 16, 16, "1 1 1 1");
  const int same = add(graph, "Identity", "same", 1, conv);
  finish(graph, add(graph, "Relu", "relu", 1, same));
  g_ptr_array_add(keep, (gpointer) "same");
  g_autoptr(LcipPlan) kept = compile(graph, &(LcipPlanOptions){.keep = keep});
  g_assert_cmpint(actor_of(kept, "same")->state, ==, LCIP_ACTOR_RUN);
  lcip_graph_add_lane(graph, "other", LCIP_LANE_CPU, 1, NULL);
  lcip_mapping_assign(lcip_graph_find_mapping(graph, NULL), "same", "other");
  g_autoptr(LcipPlan) mapped = compile(graph, &(LcipPlanOptions){0});
  g_assert_cmpint(actor_of(mapped, "same")->state, ==, LCIP_ACTOR_RUN);
}

/* ---- pad ---- */

static const gint64 image_pads[8] = {0, 0, 1, 0, 0, 0, 2, 1};

static void check_padded_pool(const char *op, const char *own, float value, guint n_steps) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 16, 6, 7));
  finish(graph, add_pool(graph, op, add_pad(graph, "pad", LCIP_NO_ACTOR, image_pads, value), own));
  check(graph, n_steps);
}

static void test_pad(void) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 16, 6, 7));
  const int pad = add_pad(graph, "pad", LCIP_NO_ACTOR, image_pads, 0);
  finish(graph, add_conv(graph, "conv", pad, 16, 16, "0 1 0 1"));
  check(graph, 1);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  g_assert_cmpint(actor_of(plan, "pad")->step, ==, actor_of(plan, "conv")->step);
  g_assert_cmpuint(actor_of(plan, "pad")->elided, ==, 1);
  g_assert_cmpuint(actor_of(plan, "conv")->elided, ==, 0);
  const LcipPlanStep *step = lcip_plan_step(plan, (guint)actor_of(plan, "conv")->step);
  g_assert_cmpint(step->actors[0], ==, pad);
  g_assert_cmpint(step->actors[1], ==, lcip_graph_find_actor(graph, "conv"));
  g_assert_cmpstr(step->title, ==, "conv");
  check_padded_pool("AveragePool", "0 0 0 0", 0, 1);
  check_padded_pool("MaxPool", "0 1 0 1", -INFINITY, 1);
}

static void test_pad_stays(void) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 16, 6, 7));
  const gint64 channels[8] = {0, 1, 0, 0, 0, 0, 0, 0};
  const int pad = add_pad(graph, "pad", LCIP_NO_ACTOR, channels, 0);
  finish(graph, add_conv(graph, "conv", pad, 17, 16, "1 1 1 1"));
  check(graph, 2);
  check_padded_pool("AveragePool", "1 1 1 1", 0, 2); /* one counts its padding, the other not */
  check_padded_pool("AveragePool", "0 0 0 0", 1, 2);
  check_padded_pool("MaxPool", "0 0 0 0", 0, 2);
}

/* ---- concat ---- */

static int add_concat(LcipGraph *graph, const char *id, guint n, const int *inputs) {
  const int concat = add(graph, "Concat", id, n, inputs[0]);
  set(graph, concat, "axis", LCIP_ATTR_INT, "1");
  for (guint i = 1; i < n; i++)
    lcip_graph_add_edge(graph, (LcipEdge){inputs[i], 0, concat, i, 0});
  return concat;
}

/* Each layer reads all before it, as in DenseNet, in an order in which they lie. @odd: the second
 * layer has channels that fill no whole block, so that the last step has to copy. */
static LcipGraph *dense_graph(int odd) {
  LcipGraph *graph = new_graph(lcip_shape(4, 1, 16, 6, 7));
  int layers[3];
  layers[0] = add_conv(graph, "a", LCIP_NO_ACTOR, 16, 32, "1 1 1 1");
  layers[1] = add_conv(graph, "b", layers[0], 32, 16 + odd, "1 1 1 1");
  const int two = add_concat(graph, "two", 2, layers);
  layers[2] = add_conv(graph, "c", two, 48 + odd, 16, "1 1 1 1");
  const int three = add_concat(graph, "three", 3, layers);
  finish(graph, add_conv(graph, "d", three, 64 + odd, 16, "1 1 1 1"));
  return graph;
}

static int output_tensor(const LcipPlan *plan, const char *id) {
  const LcipPlanWork *work = plan->works->pdata[actor_of(plan, id)->step];
  return work->outputs[0];
}

static gsize output_offset(const LcipPlan *plan, const char *id) {
  return g_array_index(plan->tensors, LcipPlanTensor, output_tensor(plan, id)).offset_bytes;
}

static void test_concat(void) {
  g_autoptr(LcipGraph) graph = dense_graph(0);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  const int root = output_tensor(plan, "three");
  const gsize plane = 6 * 7 * sizeof(float), first = output_offset(plan, "three");
  check(graph, 6);
  for (guint i = 0; i < 4; i++)
    g_assert_cmpint(
        lcip_plan_root(plan, output_tensor(plan, ((const char *[]){"a", "b", "c", "two"})[i])), ==,
        root);
  g_assert_cmpuint(output_offset(plan, "a"), ==, first);
  g_assert_cmpuint(output_offset(plan, "two"), ==, first);
  g_assert_cmpuint(output_offset(plan, "b"), ==, first + 32 * plane);
  g_assert_cmpuint(output_offset(plan, "c"), ==, first + 48 * plane);
}

static void test_concat_copies(void) {
  g_autoptr(LcipGraph) graph = dense_graph(3);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  check(graph, 6);
  g_assert_cmpint(lcip_plan_root(plan, output_tensor(plan, "c")), ==, output_tensor(plan, "c"));
}

/* The same twice has one place of its own at most. */
static void test_concat_twice(void) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 16, 6, 7));
  const int conv = add_conv(graph, "a", LCIP_NO_ACTOR, 16, 16, "1 1 1 1");
  const int twice = add_concat(graph, "twice", 2, (const int[]){conv, conv});
  finish(graph, add_conv(graph, "b", twice, 32, 16, "1 1 1 1"));
  check(graph, 3);
}

/* ---- common subexpressions ---- */

/* Two branches that begin alike; the second convolution has other weights. */
static LcipGraph *twin_graph(guint same) {
  LcipGraph *graph = new_graph(lcip_shape(4, 1, 16, 6, 7));
  const int a = add_conv(graph, "a", LCIP_NO_ACTOR, 16, 16, "1 1 1 1");
  const int b = add_conv(graph, "b", LCIP_NO_ACTOR, 16, 16, "1 1 1 1");
  if (same)
    lcip_actor_set_constant(lcip_graph_actor(graph, b), 1, lcip_graph_actor(graph, a)->constants[1],
                            "k");
  const int ra = add(graph, "Sigmoid", "ra", 1, a), rb = add(graph, "Sigmoid", "rb", 1, b);
  const int sum = add(graph, "Add", "sum", 2, ra);
  lcip_graph_add_edge(graph, (LcipEdge){rb, 0, sum, 1, 0});
  finish(graph, sum);
  return graph;
}

static void test_common(void) {
  g_autoptr(LcipGraph) same = twin_graph(TRUE);
  check(same, 2); /* the convolution with its Sigmoid, and the sum */
  g_autoptr(LcipPlan) plan = compile(same, &(LcipPlanOptions){0});
  g_assert_cmpint(actor_of(plan, "b")->state, ==, LCIP_ACTOR_FOLDED);
  g_assert_cmpint(actor_of(plan, "rb")->state, ==, LCIP_ACTOR_FOLDED);
  g_autoptr(LcipGraph) other = twin_graph(FALSE);
  g_autoptr(LcipPlan) both = compile(other, &(LcipPlanOptions){0});
  g_assert_cmpint(actor_of(both, "b")->state, ==, LCIP_ACTOR_RUN);
}

/* ---- products with a function of the same value ---- */

static int add_gate(LcipGraph *graph, const char *op, const char *then, int from) {
  int gate = add(graph, op, "gate", 1, from);
  if (g_str_equal(op, "HardSigmoid"))
    set(graph, gate, "alpha", LCIP_ATTR_FLOAT, "0.16666667");
  if (then)
    gate = add(graph, then, "then", 1, gate);
  const int product = add(graph, "Mul", "product", 2, from);
  lcip_graph_add_edge(graph, (LcipEdge){gate, 0, product, 1, 0});
  return product;
}

static void test_gate(void) {
  static const char *const gates[][2] = {
      {"Sigmoid", NULL}, {"HardSigmoid", NULL}, {"Softplus", "Tanh"}};
  for (guint i = 0; i < G_N_ELEMENTS(gates); i++) {
    g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 16, 6, 7));
    const int conv = add_conv(graph, "conv", LCIP_NO_ACTOR, 16, 20, "1 1 1 1");
    finish(graph, add_gate(graph, gates[i][0], gates[i][1], conv));
    check(graph, 1);
  }
}

/* ---- HardSwish as a product ---- */

static void number(LcipGraph *graph, int actor, guint port, float value) {
  const LcipTensorSpec one = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(1, 1));
  constant(graph, actor, port, lcip_tensor_new_from_data(&one, &value));
}

/* @op of @from and @value, or of @from and the result of @other. */
static int add_product(LcipGraph *graph, const char *op, const char *id, int from, int other,
                       float value) {
  const int actor = add(graph, op, id, 2, from);
  if (other == LCIP_NO_ACTOR)
    number(graph, actor, 1, value);
  else
    lcip_graph_add_edge(graph, (LcipEdge){other, 0, actor, 1, 0});
  return actor;
}

/* @form: what is scaled: x, the gate or the product. */
static int add_hard_swish(LcipGraph *graph, int form, float shift, int x) {
  const int sum = add_product(graph, "Add", "sum", x, LCIP_NO_ACTOR, shift);
  int gate = add(graph, "Clip", "gate", 3, sum);
  number(graph, gate, 1, 0);
  number(graph, gate, 2, 6);
  if (form == 0)
    x = add_product(graph, "Mul", "scaled", x, LCIP_NO_ACTOR, 0.1666f);
  if (form == 1)
    gate = add_product(graph, "Div", "scaled", gate, LCIP_NO_ACTOR, 6);
  const int product = add_product(graph, "Mul", "product", x, gate, 0);
  return form == 2 ? add_product(graph, "Div", "scaled", product, LCIP_NO_ACTOR, 5) : product;
}

static void test_hard_swish(void) {
  for (int form = 0; form < 3; form++) {
    g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 16, 6, 7));
    const int conv = add_conv(graph, "conv", LCIP_NO_ACTOR, 16, 20, "1 1 1 1");
    finish(graph, add_hard_swish(graph, form, 3, conv));
    check(graph, 1);
  }
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 16, 6, 7));
  finish(graph, add_hard_swish(graph, 1, 2, add(graph, "Relu", "relu", 1, LCIP_NO_ACTOR)));
  check(graph, 4);
}

/* ---- axes of size 1 ---- */

static void check_transpose(LcipShape shape, const char *perm, guint n_steps) {
  g_autoptr(LcipGraph) graph = new_graph(shape);
  const int relu = add(graph, "Relu", "relu", 1, LCIP_NO_ACTOR);
  const int transpose = add(graph, "Transpose", "transpose", 1, relu);
  if (perm)
    set(graph, transpose, "perm", LCIP_ATTR_INTS, perm);
  finish(graph, transpose);
  check(graph, n_steps);
}

static void test_transpose(void) {
  check_transpose(lcip_shape(4, 1, 1, 5, 7), "0 2 3 1", 1);
  check_transpose(lcip_shape(4, 1, 40, 1, 1), "0 2 3 1", 1);
  check_transpose(lcip_shape(4, 1, 3, 1, 1), NULL, 1);
  check_transpose(lcip_shape(4, 1, 3, 5, 1), "0 2 3 1", 2);
  check_transpose(lcip_shape(3, 1, 3, 5), NULL, 2);
}

/* ---- 1x1 and depthwise convolution ---- */

static int add_expansion(LcipGraph *graph, int from, int in, int out) {
  const int conv = add(graph, "Conv", "expand", 2, from);
  constant(graph, conv, 1, random_tensor(lcip_shape(4, out, in, 1, 1), 8));
  return conv;
}

static int add_depthwise(LcipGraph *graph, int from, int channels, int size, const char *strides) {
  const int conv = add(graph, "Conv", "depthwise", 3, from);
  g_autofree char *group = g_strdup_printf("%d", channels);
  set(graph, conv, "group", LCIP_ATTR_INT, group);
  set(graph, conv, "auto_pad", LCIP_ATTR_STRING, "SAME_UPPER");
  set(graph, conv, "strides", LCIP_ATTR_INTS, strides);
  constant(graph, conv, 1, random_tensor(lcip_shape(4, channels, 1, size, size), 9));
  constant(graph, conv, 2, random_tensor(lcip_shape(1, channels), 10));
  return conv;
}

static void test_expand_depthwise(void) {
  static const char *const activations[] = {"Relu", "HardSwish", "LeakyRelu", "Sigmoid"};
  for (guint i = 0; i < G_N_ELEMENTS(activations); i++) {
    g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 24, 17, 15));
    const int expand = add_expansion(graph, LCIP_NO_ACTOR, 24, 50);
    const int active = add(graph, activations[i], "active", 1, expand);
    const int depthwise = add_depthwise(graph, active, 50, i % 2 ? 5 : 3, i < 2 ? "1 1" : "2 2");
    finish(graph, add(graph, "Relu", "relu", 1, depthwise));
    check(graph, 1);
  }
}

/* A second reader of what is between needs it. */
static void test_expand_depthwise_stays(void) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 24, 9, 9));
  const int expand = add_expansion(graph, LCIP_NO_ACTOR, 24, 32);
  const int depthwise = add_depthwise(graph, expand, 32, 3, "1 1");
  const int sum = add(graph, "Add", "sum", 2, depthwise);
  lcip_graph_add_edge(graph, (LcipEdge){expand, 0, sum, 1, 0});
  finish(graph, sum);
  check(graph, 2);
}

/* ---- convolution and 2x2 pool ---- */

static int add_max_pool(LcipGraph *graph, int from) {
  const int pool = add(graph, "MaxPool", "pool", 1, from);
  set(graph, pool, "kernel_shape", LCIP_ATTR_INTS, "2 2");
  set(graph, pool, "strides", LCIP_ATTR_INTS, "2 2");
  return pool;
}

/* Of a size that tiles of even sides fit best, so that the kernel is the same with a pool and
 * without. */
static LcipShape pool_shape(void) {
  return lcip_shape(4, 2, 32, 31, 30);
}

/* x -> conv -> @activation -> pool, not an output yet */
static LcipGraph *pool_graph(const char *activation, int *pool) {
  LcipGraph *graph = new_graph(pool_shape());
  int last = add_conv(graph, "conv", LCIP_NO_ACTOR, 32, 40, "1 1 1 1");
  if (activation)
    last = add(graph, activation, "active", 1, last);
  *pool = add_max_pool(graph, last);
  return graph;
}

static gboolean is_joined(LcipGraph *graph, const LcipPlanOptions *options) {
  g_autoptr(LcipPlan) plan = compile(graph, options);
  return actor_of(plan, "conv")->step == actor_of(plan, "pool")->step;
}

static const char *kernel_of(const LcipPlan *plan, const char *actor) {
  return lcip_plan_step(plan, (guint)actor_of(plan, actor)->step)->kernel->name;
}

/* Apart, because somebody looks at what is between, the same numbers come. */
static void check_same_apart(LcipGraph *graph, LcipPlan *plan) {
  g_autoptr(GPtrArray) keep = g_ptr_array_new();
  g_ptr_array_add(keep, (gpointer) "conv");
  g_autoptr(LcipPlan) apart = compile(graph, &(LcipPlanOptions){.keep = keep});
  g_autoptr(LcipTensor) x = random_tensor(pool_shape(), 3);
  g_autoptr(LcipTensor) found = output_of(plan, x);
  g_autoptr(LcipTensor) expected = output_of(apart, x);
  const float *a = lcip_tensor_get_data(found), *b = lcip_tensor_get_data(expected);
  g_assert_cmpint(actor_of(apart, "conv")->step, !=, actor_of(apart, "pool")->step);
  g_assert_cmpstr(kernel_of(apart, "conv"), ==, kernel_of(plan, "conv"));
  for (gint64 i = 0; i < lcip_shape_count(lcip_tensor_get_shape(expected)); i++)
    g_assert_cmpfloat(a[i], ==, b[i]);
}

static void test_conv_max_pool(void) {
  static const char *const activations[] = {NULL, "Relu", "Clip", "LeakyRelu"};
  int pool;
  for (guint i = 0; i < G_N_ELEMENTS(activations); i++) {
    g_autoptr(LcipGraph) graph = pool_graph(activations[i], &pool);
    finish(graph, add(graph, "Sigmoid", "last", 1, pool));
    check(graph, 1);
    g_assert_cmpint(numerics_of(graph, &(LcipPlanOptions){0}, "pool"), ==, LCIP_NUMERICS_WINOGRAD);
    g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
    check_same_apart(graph, plan);
    g_assert_cmpuint(actor_of(plan, "conv")->elided, ==, 1);
    g_assert_cmpuint(actor_of(plan, "pool")->elided, ==, 1);
    g_assert_cmpuint(actor_of(plan, "last")->elided, ==, 0);
  }
}

/* Activations that decrease somewhere, other windows, other readers. */
static void test_conv_max_pool_stays(void) {
  static const char *const others[][2] = {{"kernel_shape", "3 3"},
                                          {"kernel_shape", "2 1"},
                                          {"strides", "1 2"},
                                          {"dilations", "2 1"},
                                          {"pads", "0 1 0 0"}};
  int pool;
  g_autoptr(LcipGraph) swish = pool_graph("HardSwish", &pool);
  finish(swish, pool);
  check(swish, 2);
  g_autoptr(LcipGraph) leaky = pool_graph("LeakyRelu", &pool);
  set(leaky, lcip_graph_find_actor(leaky, "active"), "alpha", LCIP_ATTR_FLOAT, "-0.5");
  finish(leaky, pool);
  check(leaky, 2);
  for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
    g_autoptr(LcipGraph) graph = pool_graph("Relu", &pool);
    set(graph, pool, others[i][0], LCIP_ATTR_INTS, others[i][1]);
    finish(graph, pool);
    check(graph, 2);
  }
  g_autoptr(LcipGraph) ceil = pool_graph("Relu", &pool);
  set(ceil, pool, "ceil_mode", LCIP_ATTR_INT, "1");
  finish(ceil, pool);
  check(ceil, 2);
  g_autoptr(LcipGraph) same = pool_graph("Relu", &pool);
  set(same, pool, "auto_pad", LCIP_ATTR_STRING, "SAME_UPPER");
  finish(same, pool);
  check(same, 2);
}

static void test_conv_max_pool_readers(void) {
  int pool;
  g_autoptr(LcipGraph) output = pool_graph("Relu", &pool);
  finish(output, pool);
  lcip_graph_add_output(output, "z", "z", (LcipTensorSpec){0});
  const int active = lcip_graph_find_actor(output, "active");
  lcip_graph_add_edge(output, (LcipEdge){active, 0, LCIP_NO_ACTOR, 1, 0});
  check(output, 2);
  g_autoptr(LcipGraph) graph = pool_graph("Relu", &pool);
  g_autoptr(GPtrArray) keep = g_ptr_array_new();
  finish(graph, pool);
  g_assert_true(is_joined(graph, &(LcipPlanOptions){0}));
  g_assert_false(is_joined(graph, &(LcipPlanOptions){.pinned = TRUE}));
  g_ptr_array_add(keep, (gpointer) "active");
  g_assert_false(is_joined(graph, &(LcipPlanOptions){.keep = keep}));
  lcip_mapping_pin(lcip_graph_find_mapping(graph, NULL), "pool", "pool-ref");
  g_assert_false(is_joined(graph, &(LcipPlanOptions){0}));
}

/* Without Winograd's kernels, by choice or for want of memory, the joined step gives the same. */
static void test_conv_max_pool_direct(void) {
  int pool;
  g_autoptr(LcipGraph) graph = pool_graph("Relu", &pool);
  const LcipPlanOptions some[] = {{.direct = TRUE}, {.winograd_budget_bytes = 1}};
  g_autoptr(LcipTensor) x = random_tensor(pool_shape(), 3);
  finish(graph, pool);
  g_autoptr(LcipPlan) plain = compile_plain(graph);
  g_autoptr(LcipTensor) expected = output_of(plain, x);
  for (guint i = 0; i < G_N_ELEMENTS(some); i++) {
    g_autoptr(LcipPlan) plan = compile(graph, &some[i]);
    g_autoptr(LcipTensor) found = output_of(plan, x);
    g_assert_cmpint(numerics_of(graph, &some[i], "pool"), <, LCIP_NUMERICS_WINOGRAD);
    g_assert_cmpuint(n_computing(plan), ==, 1);
    assert_close(found, expected);
  }
}

/* ---- channels that only move ---- */

static int add_shuffle(LcipGraph *graph, int from, int channels, int h, int w) {
  const gint64 apart[] = {1, 2, channels / 2, h, w}, together[] = {1, channels, h, w};
  const int first = add(graph, "Reshape", "first", 2, from);
  constant(graph, first, 1, lcip_tensor_new_i64(5, apart));
  const int transpose = add(graph, "Transpose", "transpose", 1, first);
  set(graph, transpose, "perm", LCIP_ATTR_INTS, "0 2 1 3 4");
  const int last = add(graph, "Reshape", "last", 2, transpose);
  constant(graph, last, 1, lcip_tensor_new_i64(4, together));
  return last;
}

static int add_slice(LcipGraph *graph, const char *id, int from, gint64 begin, gint64 end) {
  const gint64 numbers[] = {begin, end, 1};
  const int slice = add(graph, "Slice", id, 4, from);
  for (guint i = 0; i < 3; i++)
    constant(graph, slice, i + 1, lcip_tensor_new_i64(1, &numbers[i]));
  return slice;
}

/* Two convolutions are put together, shuffled and cut into halves, one of which is convolved again
 * and put behind the other: two gathers and three convolutions. */
static void test_channels(void) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 16, 6, 7));
  const int a = add_conv(graph, "a", LCIP_NO_ACTOR, 16, 20, "1 1 1 1");
  const int b = add_conv(graph, "b", LCIP_NO_ACTOR, 16, 18, "1 1 1 1");
  const int both = add(graph, "Concat", "both", 2, a);
  set(graph, both, "axis", LCIP_ATTR_INT, "1");
  lcip_graph_add_edge(graph, (LcipEdge){b, 0, both, 1, 0});
  const int mixed = add_shuffle(graph, both, 38, 6, 7);
  const int left = add_slice(graph, "left", mixed, 0, 19);
  const int right = add_slice(graph, "right", mixed, 19, 38);
  const int c = add_conv(graph, "c", right, 19, 21, "1 1 1 1");
  const int end = add(graph, "Concat", "end", 2, left);
  set(graph, end, "axis", LCIP_ATTR_INT, "1");
  lcip_graph_add_edge(graph, (LcipEdge){c, 0, end, 1, 0});
  finish(graph, end);
  check(graph, 5);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/transform/identity", test_identity);
  g_test_add_func("/transform/identity/stays", test_identity_stays);
  g_test_add_func("/transform/pad", test_pad);
  g_test_add_func("/transform/pad/stays", test_pad_stays);
  g_test_add_func("/transform/common", test_common);
  g_test_add_func("/transform/gate", test_gate);
  g_test_add_func("/transform/hard-swish", test_hard_swish);
  g_test_add_func("/transform/transpose", test_transpose);
  g_test_add_func("/transform/expand-depthwise", test_expand_depthwise);
  g_test_add_func("/transform/expand-depthwise/stays", test_expand_depthwise_stays);
  g_test_add_func("/transform/conv-max-pool", test_conv_max_pool);
  g_test_add_func("/transform/conv-max-pool/stays", test_conv_max_pool_stays);
  g_test_add_func("/transform/conv-max-pool/readers", test_conv_max_pool_readers);
  g_test_add_func("/transform/conv-max-pool/direct", test_conv_max_pool_direct);
  g_test_add_func("/transform/channels", test_channels);
  g_test_add_func("/transform/concat", test_concat);
  g_test_add_func("/transform/concat/copies", test_concat_copies);
  g_test_add_func("/transform/concat/twice", test_concat_twice);
  add_kernel_tests();
  return g_test_run();
}
