#include "config.h"
#include "lcip-analysis.h"
#include "lcip-rates.h"

#include <string.h>

/* ---- rates ---- */

static void test_rates_solution(void) {
  /* The CD to DAT chain of Lee and Messerschmitt's followers: 44.1 kHz to 48 kHz. */
  const LcipRateEdge edges[] = {
      {0, 1, 1, 1, 0}, {1, 2, 2, 3, 0}, {2, 3, 2, 7, 0}, {3, 4, 8, 7, 0}, {4, 5, 5, 1, 0}};
  const guint expected[] = {147, 147, 98, 28, 32, 160};
  guint repetitions[6], tokens[5], bad;
  g_assert_true(lcip_rates_repetitions(6, edges, 5, repetitions, &bad));
  for (guint i = 0; i < 6; i++)
    g_assert_cmpuint(repetitions[i], ==, expected[i]);
  g_assert_true(lcip_rates_schedule(6, edges, 5, repetitions, tokens, NULL));
  for (guint i = 0; i < 5; i++)
    g_assert_cmpuint(tokens[i], >=, MAX(edges[i].produced, edges[i].consumed));
}

static void test_rates_contradiction(void) {
  const LcipRateEdge edges[] = {{0, 1, 1, 1, 0}, {0, 1, 2, 1, 0}};
  guint repetitions[2], bad;
  g_assert_false(lcip_rates_repetitions(2, edges, 2, repetitions, &bad));
  g_assert_cmpuint(bad, ==, 1);
}

static void test_rates_deadlock(void) {
  const LcipRateEdge stuck[] = {{0, 1, 1, 1, 0}, {1, 0, 1, 1, 0}};
  const LcipRateEdge moving[] = {{0, 1, 1, 1, 0}, {1, 0, 1, 1, 1}};
  guint repetitions[2], tokens[2], bad, blocked = 9;
  g_assert_true(lcip_rates_repetitions(2, stuck, 2, repetitions, &bad));
  g_assert_false(lcip_rates_schedule(2, stuck, 2, repetitions, tokens, &blocked));
  g_assert_cmpuint(blocked, ==, 0);
  g_assert_true(lcip_rates_schedule(2, moving, 2, repetitions, tokens, NULL));
  g_assert_cmpuint(tokens[0], ==, 1);
  g_assert_cmpuint(tokens[1], ==, 1);
}

/* ---- graphs ---- */

static LcipTensorSpec f32(LcipShape shape) {
  return lcip_tensor_spec(LCIP_TYPE_F32, shape);
}

static int add(LcipGraph *graph, const char *op, const char *id, guint n_inputs) {
  return lcip_graph_add_actor(graph, lcip_actor_new(id, "", "", op, n_inputs, 1));
}

static void connect(LcipGraph *graph, int src, guint src_port, int dst, guint dst_port) {
  lcip_graph_add_edge(graph, (LcipEdge){src, src_port, dst, dst_port, 0});
}

static void constant(LcipGraph *graph, int actor, guint port, LcipTensor *tensor) {
  lcip_actor_set_constant(lcip_graph_actor(graph, actor), port, tensor, "k");
  lcip_tensor_unref(tensor);
}

static char *messages(const GPtrArray *problems) {
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < problems->len; i++) {
    const LcipProblem *problem = problems->pdata[i];
    g_string_append_printf(text, "%s: %s\n", problem->actor_id ? problem->actor_id : "",
                           problem->message);
  }
  return g_string_free(text, FALSE);
}

static void assert_problem(const GPtrArray *problems, const char *fragment) {
  g_autofree char *text = messages(problems);
  if (!strstr(text, fragment))
    g_error("expected a problem with \"%s\", found:\n%s", fragment, text);
}

static void test_cycle(void) {
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  const int a = add(graph, "Relu", "a", 1), b = add(graph, "Relu", "b", 1),
            c = add(graph, "Relu", "c", 1);
  connect(graph, a, 0, b, 0);
  connect(graph, b, 0, c, 0);
  connect(graph, c, 0, b, 0); /* also the second edge into b */
  g_assert_null(lcip_analyse(graph, NULL, NULL, problems));
  assert_problem(problems, "expected one edge, found several");
  assert_problem(problems, "the cycle c -> b -> c has no delay");
}

static void test_shape_arithmetic(void) {
  /* Reshape(x, Concat(Slice(Shape(x)), [-1])) folds to constants. */
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  const gint64 zero = 0, one = 1, minus = -1;
  lcip_graph_add_input(graph, "x", "x", f32(lcip_shape(4, 2, 3, 4, 5)));
  const int shape = add(graph, "Shape", "shape", 1), slice = add(graph, "Slice", "slice", 4),
            concat = add(graph, "Concat", "concat", 2), reshape = add(graph, "Reshape", "out", 2);
  connect(graph, LCIP_NO_ACTOR, 0, shape, 0);
  connect(graph, shape, 0, slice, 0);
  constant(graph, slice, 1, lcip_tensor_new_i64(1, &zero));
  constant(graph, slice, 2, lcip_tensor_new_i64(1, &one));
  constant(graph, slice, 3, lcip_tensor_new_i64(1, &zero));
  g_assert_true(lcip_attrs_set_text(lcip_graph_actor(graph, concat)->attrs, "axis", LCIP_ATTR_INT,
                                    "0", NULL));
  connect(graph, slice, 0, concat, 0);
  constant(graph, concat, 1, lcip_tensor_new_i64(1, &minus));
  connect(graph, LCIP_NO_ACTOR, 0, reshape, 0);
  connect(graph, concat, 0, reshape, 1);
  connect(graph, reshape, 0, LCIP_NO_ACTOR, 0);
  g_autoptr(LcipAnalysis) analysis = lcip_analyse(graph, NULL, NULL, problems);
  g_autofree char *text = messages(problems);
  g_assert_cmpstr(text, ==, "");
  g_assert_nonnull(analysis->values[concat][0]);
  g_assert_null(analysis->values[reshape][0]);
  g_assert_cmpint(analysis->specs[reshape][0].shape.rank, ==, 2);
  g_assert_cmpint(analysis->specs[reshape][0].shape.dims[0], ==, 2);
  g_assert_cmpint(analysis->specs[reshape][0].shape.dims[1], ==, 60);
}

static void test_problems(void) {
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  const gint64 unknown[] = {1, -1};
  lcip_graph_add_input(graph, "x", "x", f32(lcip_shape_from_dims(2, unknown)));
  const int odd = add(graph, "Frobnicate", "odd", 1), relu = add(graph, "Relu", "relu", 1);
  connect(graph, LCIP_NO_ACTOR, 0, odd, 0);
  connect(graph, LCIP_NO_ACTOR, 0, relu, 0);
  add(graph, "Relu", "lonely", 1);
  g_autoptr(LcipAnalysis) analysis = lcip_analyse(graph, NULL, NULL, problems);
  g_assert_nonnull(analysis);
  assert_problem(problems, "odd: operator Frobnicate: LCIP has no such operator");
  assert_problem(problems, "input x: the model leaves its size open");
  assert_problem(problems, "lonely: Relu: input X: expected a tensor, found none");
}

static void test_outputs(void) {
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  lcip_graph_add_input(graph, "x", "x", f32(lcip_shape(1, 4)));
  lcip_graph_add_output(graph, "y", "y", (LcipTensorSpec){0});
  lcip_graph_add_output(graph, "z", "z", (LcipTensorSpec){0});
  for (int i = 0; i < 2; i++)
    connect(graph, LCIP_NO_ACTOR, 0, LCIP_NO_ACTOR, 0);
  g_autoptr(LcipAnalysis) analysis = lcip_analyse(graph, NULL, NULL, problems);
  g_assert_nonnull(analysis);
  assert_problem(problems, "output y: expected one edge, found 2");
  assert_problem(problems, "output z: expected one edge, found 0");
}

static void test_input_shape(void) {
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  const gint64 unknown[] = {-1, 3};
  LcipShape given = lcip_shape(2, 5, 3);
  g_autoptr(GHashTable) shapes = g_hash_table_new(g_str_hash, g_str_equal);
  g_hash_table_insert(shapes, (gpointer) "x", &given);
  lcip_graph_add_input(graph, "x", "x", f32(lcip_shape_from_dims(2, unknown)));
  const int relu = add(graph, "Relu", "relu", 1);
  connect(graph, LCIP_NO_ACTOR, 0, relu, 0);
  g_autoptr(LcipAnalysis) analysis = lcip_analyse(graph, NULL, shapes, problems);
  g_assert_cmpuint(problems->len, ==, 0);
  g_assert_true(lcip_shape_equal(&analysis->specs[relu][0].shape, &given));
}

/* Positions in a constant are a constant of the size that they have. */
static void test_fold_data_dependent(void) {
  const gint64 values[] = {0, 3, 0, 5};
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  const int positions = add(graph, "NonZero", "positions", 1);
  const int size = add(graph, "Shape", "size", 1);
  constant(graph, positions, 0, lcip_tensor_new_i64(G_N_ELEMENTS(values), values));
  connect(graph, positions, 0, size, 0);
  lcip_graph_add_output(graph, "y", "y", (LcipTensorSpec){0});
  connect(graph, size, 0, LCIP_NO_ACTOR, 0);
  g_autoptr(LcipAnalysis) analysis = lcip_analyse(graph, NULL, NULL, problems);
  g_assert_nonnull(analysis);
  g_assert_cmpuint(problems->len, ==, 0);
  const LcipTensor *found = analysis->values[positions][0];
  g_assert_nonnull(found);
  g_assert_cmpint(lcip_shape_count(&analysis->specs[positions][0].shape), ==, 2);
  g_assert_cmpint(lcip_tensor_get_i64(found, 0), ==, 1);
  g_assert_cmpint(lcip_tensor_get_i64(found, 1), ==, 3);
  g_assert_nonnull(analysis->values[size][0]);
  g_assert_cmpint(lcip_tensor_get_i64(analysis->values[size][0], 1), ==, 2);
}

/* A chain of large constants: a small file must not make the analysis take gigabytes or minutes. */
static void test_fold_limits(void) {
  const gint64 dims[] = {3000, 1000};
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  const int first = add(graph, "ConstantOfShape", "fill", 1);
  constant(graph, first, 0, lcip_tensor_new_i64(2, dims));
  guint n = 1, folded = 0;
  for (int from = first; n < 200; n++) {
    g_autofree char *id = g_strdup_printf("relu_%u", n);
    const int relu = add(graph, "Relu", id, 1);
    connect(graph, from, 0, relu, 0);
    from = relu;
  }
  const int product = add(graph, "MatMul", "product", 2), turned = add(graph, "Transpose", "t", 1);
  connect(graph, first, 0, turned, 0);
  connect(graph, first, 0, product, 0);
  connect(graph, turned, 0, product, 1);
  g_autoptr(LcipAnalysis) analysis = lcip_analyse(graph, NULL, NULL, problems);
  g_assert_cmpuint(problems->len, ==, 0);
  for (guint i = 0; i < n; i++)
    folded += analysis->values[i][0] != NULL;
  g_assert_cmpuint(folded, ==, 5);             /* of 12 MB each, of 64 MiB */
  g_assert_null(analysis->values[product][0]); /* 18 GFLOP */
  g_assert_cmpint(analysis->specs[product][0].shape.dims[1], ==, 3000);
}

/* Lengths beside a length of 0 cost nothing. */
static void test_fold_nothing(void) {
  const gint64 dims[] = {(gint64)1 << 40, 0};
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  const int fill = add(graph, "ConstantOfShape", "fill", 1), sum = add(graph, "CumSum", "sum", 2);
  constant(graph, fill, 0, lcip_tensor_new_i64(2, dims));
  connect(graph, fill, 0, sum, 0);
  constant(graph, sum, 1, lcip_tensor_new_i64(1, dims + 1));
  g_autoptr(LcipAnalysis) analysis = lcip_analyse(graph, NULL, NULL, problems);
  g_assert_cmpuint(problems->len, ==, 0);
  g_assert_nonnull(analysis->values[sum][0]);
}

/* An output that an operator always has is not left out. */
static void test_too_few_outputs(void) {
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  const int none = lcip_graph_add_actor(graph, lcip_actor_new("none", "", "", "Constant", 0, 0));
  g_assert_true(lcip_attrs_set_text(lcip_graph_actor(graph, none)->attrs, "value_float",
                                    LCIP_ATTR_FLOAT, "1", NULL));
  g_autoptr(LcipAnalysis) analysis = lcip_analyse(graph, NULL, NULL, problems);
  g_assert_nonnull(analysis);
  assert_problem(problems, "none: Constant: expected at least 1 outputs, found 0");
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/analysis/rates/solution", test_rates_solution);
  g_test_add_func("/analysis/rates/contradiction", test_rates_contradiction);
  g_test_add_func("/analysis/rates/deadlock", test_rates_deadlock);
  g_test_add_func("/analysis/cycle", test_cycle);
  g_test_add_func("/analysis/shape-arithmetic", test_shape_arithmetic);
  g_test_add_func("/analysis/fold-data-dependent", test_fold_data_dependent);
  g_test_add_func("/analysis/fold-limits", test_fold_limits);
  g_test_add_func("/analysis/fold-nothing", test_fold_nothing);
  g_test_add_func("/analysis/too-few-outputs", test_too_few_outputs);
  g_test_add_func("/analysis/problems", test_problems);
  g_test_add_func("/analysis/outputs", test_outputs);
  g_test_add_func("/analysis/input-shape", test_input_shape);
  return g_test_run();
}
