#include "config.h"

#include "lcip-plan-private.h"
#include "lcip-run.h"

#include <math.h>
#include <string.h>

/* Each transform is seen to fire where it should, to leave alone what it must, and to give what the
 * graph gives on reference kernels without it. */

/* ---- graphs ---- */

static LcipTensor *random_tensor(LcipShape shape, guint32 seed) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, shape);
  LcipTensor *tensor = lcip_tensor_new(&spec);
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  float *data = lcip_tensor_get_mutable(tensor);
  for (gint64 i = 0; i < lcip_shape_count(&shape); i++)
    data[i] = (float)g_rand_double_range(rand, -1, 1);
  return tensor;
}

/* An input "x" and, once lcip_graph_add_edge() leads there, an output "y". */
static LcipGraph *new_graph(LcipShape shape) {
  LcipGraph *graph = lcip_graph_new();
  lcip_graph_add_input(graph, "x", "x", lcip_tensor_spec(LCIP_TYPE_F32, shape));
  lcip_graph_add_output(graph, "y", "y", (LcipTensorSpec){0});
  lcip_graph_ensure_defaults(graph);
  return graph;
}

static int add(LcipGraph *graph, const char *op, const char *id, guint n_inputs, int from) {
  const int actor = lcip_graph_add_actor(graph, lcip_actor_new(id, "", "", op, n_inputs, 1));
  lcip_graph_add_edge(graph, (LcipEdge){from, 0, actor, 0, 0});
  return actor;
}

static void set(LcipGraph *graph, int actor, const char *name, LcipAttrType type,
                const char *text) {
  g_autoptr(GError) error = NULL;
  lcip_attrs_set_text(lcip_graph_actor(graph, actor)->attrs, name, type, text, &error);
  g_assert_no_error(error);
}

static void constant(LcipGraph *graph, int actor, guint port, LcipTensor *tensor) {
  lcip_actor_set_constant(lcip_graph_actor(graph, actor), port, tensor, "k");
  lcip_tensor_unref(tensor);
}

static void finish(LcipGraph *graph, int actor) {
  lcip_graph_add_edge(graph, (LcipEdge){actor, 0, LCIP_NO_ACTOR, 0, 0});
}

static int add_conv(LcipGraph *graph, const char *id, int from, int in, int out, const char *pads) {
  const int conv = add(graph, "Conv", id, 2, from);
  set(graph, conv, "pads", LCIP_ATTR_INTS, pads);
  constant(graph, conv, 1, random_tensor(lcip_shape(4, out, in, 3, 3), 7));
  return conv;
}

static int add_pad(LcipGraph *graph, const char *id, int from, const gint64 pads[8], float value) {
  const int pad = add(graph, "Pad", id, 3, from);
  const LcipTensorSpec scalar = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(0));
  constant(graph, pad, 1, lcip_tensor_new_i64(8, pads));
  constant(graph, pad, 2, lcip_tensor_new_from_data(&scalar, &value));
  return pad;
}

static int add_pool(LcipGraph *graph, const char *op, int from, const char *pads) {
  const int pool = add(graph, op, "pool", 1, from);
  set(graph, pool, "kernel_shape", LCIP_ATTR_INTS, "3 3");
  set(graph, pool, "pads", LCIP_ATTR_INTS, pads);
  return pool;
}

/* ---- plans and what they give ---- */

static LcipPlan *compile(LcipGraph *graph, const LcipPlanOptions *options) {
  g_autoptr(GError) error = NULL;
  LcipPlan *plan = lcip_plan_new(graph, options, NULL, NULL, &error);
  g_assert_no_error(error);
  return plan;
}

static void keep_output(const LcipFrame *frame, gpointer data) {
  LcipTensor **tensor = data;
  g_clear_pointer(tensor, lcip_tensor_unref);
  *tensor = lcip_tensor_ref(frame->values[0].tensor);
}

static LcipTensor *output_of(LcipPlan *plan, LcipTensor *x) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GHashTable) inputs = g_hash_table_new(g_str_hash, g_str_equal);
  LcipTensor *output = NULL;
  g_hash_table_insert(inputs, (gpointer) "x", x);
  const LcipRunOptions options = {
      .inputs = inputs, .n_frames = 2, .frame_func = keep_output, .frame_data = &output};
  g_autoptr(LcipRun) run = lcip_run_start(plan, &options, &error);
  g_assert_no_error(error);
  lcip_run_wait(run, &error);
  g_assert_no_error(error);
  return output;
}

static void assert_close(const LcipTensor *found, const LcipTensor *expected) {
  const LcipShape *shape = lcip_tensor_get_shape(expected);
  const float *a = lcip_tensor_get_data(found), *b = lcip_tensor_get_data(expected);
  g_assert_true(lcip_shape_equal(lcip_tensor_get_shape(found), shape));
  for (gint64 i = 0; i < lcip_shape_count(shape); i++)
    g_assert_cmpfloat_with_epsilon(a[i], b[i], 1e-3f * MAX(1.0f, fabsf(b[i])));
}

/* Without any kernel but the references, and with every actor's output kept, nothing is transformed
 * but constants. */
static LcipPlan *compile_plain(LcipGraph *graph) {
  static const char *const reference[] = {"reference", NULL};
  g_autoptr(GPtrArray) keep = g_ptr_array_new();
  for (guint i = 0; i < graph->actors->len; i++)
    g_ptr_array_add(keep, lcip_graph_actor(graph, (int)i)->id);
  LcipPlan *plan =
      compile(graph, &(LcipPlanOptions){.keep = keep, .families = reference, .pinned = TRUE});
  for (guint i = 0; i < graph->actors->len; i++)
    g_assert_cmpint(lcip_plan_actor(plan, i)->state, ==, LCIP_ACTOR_RUN);
  return plan;
}

/* Steps that compute something: no sources, sinks and reorders. */
static guint n_computing(const LcipPlan *plan) {
  guint n = 0;
  for (guint i = 0; i < lcip_plan_n_steps(plan); i++)
    n += !lcip_plan_step(plan, i)->is_io && lcip_plan_step(plan, i)->n_actors > 0;
  return n;
}

/* @graph on its best plan has @n_steps and gives what it gives plainly. */
static void check(LcipGraph *graph, guint n_steps) {
  const LcipGraphPort *port = graph->inputs->pdata[0];
  g_autoptr(LcipTensor) x = random_tensor(port->spec.shape, 3);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  g_autoptr(LcipPlan) plain = compile_plain(graph);
  g_autoptr(LcipTensor) found = output_of(plan, x);
  g_autoptr(LcipTensor) expected = output_of(plain, x);
  g_assert_cmpuint(n_computing(plan), ==, n_steps);
  assert_close(found, expected);
}

static const LcipPlanActor *actor_of(const LcipPlan *plan, const char *id) {
  return lcip_plan_actor(plan, (guint)lcip_graph_find_actor(lcip_plan_graph(plan), id));
}

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

/* ---- which kernel ---- */

static LcipNumerics numerics_of(LcipGraph *graph, const LcipPlanOptions *options, const char *id) {
  g_autoptr(LcipPlan) plan = compile(graph, options);
  return lcip_plan_step(plan, (guint)actor_of(plan, id)->step)->kernel->numerics;
}

/* Winograd convolution is taken where it pays, and not where a pin or the options say so; a pin to
 * "direct" does not keep the activation apart. */
static void test_direct(void) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 64, 24, 24));
  const int conv = add_conv(graph, "conv", LCIP_NO_ACTOR, 64, 64, "1 1 1 1");
  finish(graph, add(graph, "Relu", "relu", 1, conv));
  g_assert_cmpint(numerics_of(graph, &(LcipPlanOptions){0}, "conv"), ==, LCIP_NUMERICS_WINOGRAD);
  g_assert_cmpint(numerics_of(graph, &(LcipPlanOptions){.direct = TRUE}, "conv"), <,
                  LCIP_NUMERICS_WINOGRAD);
  g_assert_cmpint(numerics_of(graph, &(LcipPlanOptions){.pinned = TRUE}, "conv"), <,
                  LCIP_NUMERICS_WINOGRAD);
  lcip_mapping_pin(lcip_graph_find_mapping(graph, NULL), "conv", "direct");
  g_assert_cmpint(numerics_of(graph, &(LcipPlanOptions){0}, "conv"), <, LCIP_NUMERICS_WINOGRAD);
  check(graph, 1);
}

static void check_winograd_window(LcipShape input, LcipShape weights, const char *pads,
                                  const char *strides) {
  g_autoptr(LcipGraph) graph = new_graph(input);
  const int conv = add(graph, "Conv", "conv", 2, LCIP_NO_ACTOR);
  set(graph, conv, "pads", LCIP_ATTR_INTS, pads);
  set(graph, conv, "strides", LCIP_ATTR_INTS, strides);
  constant(graph, conv, 1, random_tensor(weights, 7));
  finish(graph, conv);
  g_assert_cmpint(numerics_of(graph, &(LcipPlanOptions){0}, "conv"), ==, LCIP_NUMERICS_WINOGRAD);
  check(graph, 1);
}

/* Other windows than 3x3, and strides over few channels; these need no reorder of the input. */
static void test_winograd_windows(void) {
  check_winograd_window(lcip_shape(4, 1, 32, 27, 27), lcip_shape(4, 32, 32, 5, 5), "2 2 2 2",
                        "1 1");
  check_winograd_window(lcip_shape(4, 1, 64, 17, 17), lcip_shape(4, 64, 64, 1, 7), "0 3 0 3",
                        "1 1");
  check_winograd_window(lcip_shape(4, 1, 64, 17, 17), lcip_shape(4, 64, 64, 7, 1), "3 0 3 0",
                        "1 1");
  check_winograd_window(lcip_shape(4, 1, 3, 64, 64), lcip_shape(4, 64, 3, 7, 7), "3 3 3 3", "2 2");
}

/* A budget for one of two convolutions: the one that gains more for a byte, which is the one with
 * more pixels, keeps Winograd's weights. */
static void test_budget(void) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 64, 48, 48));
  const int large = add_conv(graph, "large", LCIP_NO_ACTOR, 64, 64, "1 1 1 1");
  const int pool = add_pool(graph, "MaxPool", large, "1 1 1 1");
  set(graph, pool, "strides", LCIP_ATTR_INTS, "2 2");
  finish(graph, add_conv(graph, "small", pool, 64, 64, "1 1 1 1"));
  const LcipPlanOptions budget = {.winograd_budget_bytes = 1100 * 1024};
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  g_autoptr(LcipPlan) less = compile(graph, &budget);
  const LcipPlanStep *step = lcip_plan_step(less, (guint)actor_of(less, "small")->step);
  g_assert_cmpint(numerics_of(graph, &(LcipPlanOptions){0}, "small"), ==, LCIP_NUMERICS_WINOGRAD);
  g_assert_cmpint(numerics_of(graph, &budget, "large"), ==, LCIP_NUMERICS_WINOGRAD);
  g_assert_cmpint(step->kernel->numerics, <, LCIP_NUMERICS_WINOGRAD);
  g_assert_nonnull(strstr(step->reason, "budget"));
  g_assert_cmpuint(lcip_plan_lane(less, 0)->weight_bytes, <, lcip_plan_lane(plan, 0)->weight_bytes);
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

/* x -> conv -> @activation -> pool, not an output yet */
static LcipGraph *pool_graph(const char *activation, int *pool) {
  LcipGraph *graph = new_graph(lcip_shape(4, 2, 32, 27, 30));
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

/* Apart, because somebody looks at what is between, the same numbers come. */
static void check_same_apart(LcipGraph *graph, LcipPlan *plan) {
  g_autoptr(GPtrArray) keep = g_ptr_array_new();
  g_ptr_array_add(keep, (gpointer) "conv");
  g_autoptr(LcipPlan) apart = compile(graph, &(LcipPlanOptions){.keep = keep});
  g_autoptr(LcipTensor) x = random_tensor(lcip_shape(4, 2, 32, 27, 30), 3);
  g_autoptr(LcipTensor) found = output_of(plan, x);
  g_autoptr(LcipTensor) expected = output_of(apart, x);
  const float *a = lcip_tensor_get_data(found), *b = lcip_tensor_get_data(expected);
  g_assert_cmpint(actor_of(apart, "conv")->step, !=, actor_of(apart, "pool")->step);
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
  g_autoptr(LcipTensor) x = random_tensor(lcip_shape(4, 2, 32, 27, 30), 3);
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

/* ---- weights as a file has them ---- */

static LcipTensor *unaligned_copy(const LcipTensor *tensor) {
  const gsize size_bytes = lcip_tensor_get_bytes(tensor);
  guint8 *stored = g_malloc(size_bytes + 1);
  memcpy(stored + 1, lcip_tensor_get_data(tensor), size_bytes);
  g_autoptr(GBytes) bytes = g_bytes_new_take(stored, size_bytes + 1);
  return lcip_tensor_new_from_bytes(lcip_tensor_get_spec(tensor), bytes, 1);
}

static LcipTensor *product_with(LcipTensor *weights, LcipTensor *x) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(2, 1, 200));
  const int gemm = add(graph, "Gemm", "gemm", 2, LCIP_NO_ACTOR);
  set(graph, gemm, "transB", LCIP_ATTR_INT, "1");
  constant(graph, gemm, 1, lcip_tensor_ref(weights));
  finish(graph, gemm);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  return output_of(plan, x);
}

/* Large ones are read where they are: no second copy of them is made. */
static void test_unaligned_weights(void) {
  g_autoptr(LcipTensor) x = random_tensor(lcip_shape(2, 1, 200), 1);
  g_autoptr(LcipTensor) aligned = random_tensor(lcip_shape(2, 300, 200), 2);
  g_autoptr(LcipTensor) unaligned = unaligned_copy(aligned);
  g_assert_false(lcip_tensor_is_aligned(unaligned));
  g_autoptr(LcipTensor) found = product_with(unaligned, x);
  g_autoptr(LcipTensor) expected = product_with(aligned, x);
  g_assert_false(lcip_tensor_is_aligned(unaligned));
  g_assert_cmpmem(lcip_tensor_get_data(found), lcip_tensor_get_bytes(found),
                  lcip_tensor_get_data(expected), lcip_tensor_get_bytes(expected));
}

/* ---- the width of vectors ---- */

/* x -> first -> relu -> second -> y */
static LcipGraph *width_graph(int channels) {
  LcipGraph *graph = new_graph(lcip_shape(4, 1, channels, 19, 20));
  const int first = add_conv(graph, "first", LCIP_NO_ACTOR, channels, channels, "1 1 1 1");
  const int relu = add(graph, "Relu", "relu", 1, first);
  finish(graph, add_conv(graph, "second", relu, channels, channels, "1 1 1 1"));
  return graph;
}

/* Both convolutions of a graph of @channels give @format, and the plan says why if @because. */
static void check_width(int channels, LcipFormat format, gboolean because) {
  g_autoptr(LcipGraph) graph = width_graph(channels);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  const LcipPlanStep *step = lcip_plan_step(plan, (guint)actor_of(plan, "first")->step);
  g_assert_cmpint(step->output.format, ==, format);
  g_assert_cmpint(strstr(step->reason, "in blocks of 8 channels: ") != NULL, ==, because);
  check(graph, 2);
}

/* Names are those of kernels that the rest of the graph does without. */
static void check_width_pin(void) {
  g_autoptr(LcipGraph) graph = width_graph(24);
  lcip_mapping_pin(lcip_graph_find_mapping(graph, NULL), "second", "conv-blocked-avx512");
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  const LcipPlanStep *first = lcip_plan_step(plan, (guint)actor_of(plan, "first")->step);
  const LcipPlanStep *second = lcip_plan_step(plan, (guint)actor_of(plan, "second")->step);
  g_assert_cmpint(first->output.format, ==, LCIP_FORMAT_NCHW8C);
  g_assert_cmpint(second->output.format, ==, LCIP_FORMAT_NCHW16C);
  g_assert_cmpstr(second->reason, ==, "pinned");
  check(graph, 2);
}

/* Where 512 bits are computed in halves, three blocks of 8 channels are less than two of 16. */
static void test_width_halves(void) {
  check_width(24, LCIP_FORMAT_NCHW8C, TRUE);
  check_width(64, LCIP_FORMAT_NCHW16C, FALSE);
  check_width_pin();
}

static void test_width_full(void) {
  check_width(24, LCIP_FORMAT_NCHW16C, FALSE);
  check_width(64, LCIP_FORMAT_NCHW16C, FALSE);
}

/* Without AVX-512 there is nothing to choose. */
static void check_no_choice(void) {
  g_autoptr(LcipGraph) graph = width_graph(24);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  const LcipPlanStep *step = lcip_plan_step(plan, (guint)actor_of(plan, "first")->step);
  g_assert_null(strstr(step->reason, "in blocks of 8 channels: "));
  check(graph, 2);
}

/* What the processor has is found once in a process. */
static void test_width(void) {
  if (!(lcip_cpu_features() & LCIP_CPU_AVX512)) {
    check_no_choice();
    return;
  }
  g_setenv("LCIP_CPU_VECTOR_BITS", "256", TRUE);
  g_test_trap_subprocess("/transform/width/subprocess/halves", 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_passed();
  g_setenv("LCIP_CPU_VECTOR_BITS", "512", TRUE);
  g_test_trap_subprocess("/transform/width/subprocess/full", 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_passed();
  g_unsetenv("LCIP_CPU_VECTOR_BITS");
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
  g_test_add_func("/transform/winograd-windows", test_winograd_windows);
  g_test_add_func("/transform/budget", test_budget);
  g_test_add_func("/transform/direct", test_direct);
  g_test_add_func("/transform/concat", test_concat);
  g_test_add_func("/transform/concat/copies", test_concat_copies);
  g_test_add_func("/transform/concat/twice", test_concat_twice);
  g_test_add_func("/transform/unaligned-weights", test_unaligned_weights);
  g_test_add_func("/transform/width", test_width);
  g_test_add_func("/transform/width/subprocess/halves", test_width_halves);
  g_test_add_func("/transform/width/subprocess/full", test_width_full);
  return g_test_run();
}
