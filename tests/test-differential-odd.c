#include "config.h"
#include "lcip-plan.h"
#include "lcip-run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void add_odd_tests(void);

/* Graphs that chance makes too seldom. */

typedef struct {
  guint n_frames;
  GPtrArray *tensors; /* of the last frame */
} Delivery;

static void keep_frame(const LcipFrame *frame, gpointer data) {
  Delivery *delivery = data;
  delivery->n_frames++;
  g_ptr_array_set_size(delivery->tensors, 0);
  for (guint i = 0; i < frame->n_values; i++)
    g_ptr_array_add(delivery->tensors, lcip_tensor_ref(frame->values[i].tensor));
}

/* Two frames; what comes out, or NULL with @error. @x0, @x1 may be NULL. */
static GPtrArray *run_graph(LcipGraph *graph, const LcipPlanOptions *options, LcipTensor *x0,
                            LcipTensor *x1, GError **error) {
  g_autoptr(GHashTable) inputs = g_hash_table_new(g_str_hash, g_str_equal);
  g_autoptr(LcipPlan) plan = lcip_plan_new(graph, options, NULL, NULL, error);
  if (!plan)
    return NULL;
  if (x0)
    g_hash_table_insert(inputs, (gpointer) "x0", x0);
  if (x1)
    g_hash_table_insert(inputs, (gpointer) "x1", x1);
  Delivery delivery = {.tensors =
                           g_ptr_array_new_with_free_func((GDestroyNotify)lcip_tensor_unref)};
  const LcipRunOptions run_options = {
      .inputs = inputs, .n_frames = 2, .frame_func = keep_frame, .frame_data = &delivery};
  g_autoptr(LcipRun) run = lcip_run_start(plan, &run_options, error);
  if (run && lcip_run_wait(run, error) && delivery.n_frames == 2)
    return delivery.tensors;
  g_ptr_array_unref(delivery.tensors);
  return NULL;
}

static LcipTensor *ones(LcipShape shape) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, shape);
  LcipTensor *tensor = lcip_tensor_new(&spec);
  float *data = lcip_tensor_get_mutable(tensor);
  for (gint64 i = 0; i < lcip_shape_count(&shape); i++)
    data[i] = 1;
  return tensor;
}

static void graph_input(LcipGraph *graph, const char *name, LcipShape shape) {
  lcip_graph_add_input(graph, name, name, lcip_tensor_spec(LCIP_TYPE_F32, shape));
}

static void graph_output(LcipGraph *graph, const char *name, int actor, guint port) {
  const int output = lcip_graph_add_output(graph, name, name, (LcipTensorSpec){0});
  lcip_graph_add_edge(graph, (LcipEdge){actor, port, LCIP_NO_ACTOR, (guint)output, 0});
}

static int graph_actor(LcipGraph *graph, const char *op, guint n_inputs, int from, guint port) {
  g_autofree char *id = g_strdup_printf("a%u", graph->actors->len);
  const int actor = lcip_graph_add_actor(graph, lcip_actor_new(id, "", "", op, n_inputs, 1));
  lcip_graph_add_edge(graph, (LcipEdge){from, port, actor, 0, 0});
  return actor;
}

/* A graph of no actors: its input, of a shape that the caller settles, is its output. */
static void test_no_actors(void) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  g_autoptr(GHashTable) shapes = g_hash_table_new(g_str_hash, g_str_equal);
  LcipShape shape = lcip_shape(3, 2, 5, 3);
  g_autoptr(LcipTensor) x = ones(shape);
  graph_input(graph, "x0", lcip_shape(3, 2, -1, 3));
  graph_output(graph, "y", LCIP_NO_ACTOR, 0);
  lcip_graph_ensure_defaults(graph);
  g_hash_table_insert(shapes, (gpointer) "x0", &shape);
  g_autoptr(GPtrArray) out =
      run_graph(graph, &(LcipPlanOptions){.input_shapes = shapes}, x, NULL, &error);
  g_assert_no_error(error);
  g_assert_true(lcip_shape_equal(lcip_tensor_get_shape(out->pdata[0]), &shape));
}

/* One value behind hundreds of readers and outputs, some of one name. */
static void test_fan_out(void) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  g_autoptr(LcipTensor) x = ones(lcip_shape(2, 1, 7));
  graph_input(graph, "x0", lcip_shape(2, 1, 7));
  lcip_graph_add_lane(graph, "CPU", LCIP_LANE_CPU, 1, NULL);
  lcip_graph_add_lane(graph, "CPU 2", LCIP_LANE_CPU, 1, NULL);
  lcip_graph_ensure_defaults(graph);
  LcipMapping *mapping = lcip_graph_find_mapping(graph, NULL);
  const int hub = graph_actor(graph, "Relu", 1, LCIP_NO_ACTOR, 0);
  for (int i = 0; i < 300; i++) {
    const int reader = graph_actor(graph, i % 3 ? "Neg" : "Identity", 1, hub, 0);
    lcip_mapping_assign(mapping, lcip_graph_actor(graph, reader)->id, i % 2 ? "CPU" : "CPU 2");
    graph_output(graph, i % 5 ? "y" : "z", i % 7 ? reader : hub, 0);
  }
  g_autoptr(GPtrArray) out = run_graph(graph, &(LcipPlanOptions){0}, x, NULL, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(out->len, ==, 300);
  for (int i = 0; i < 300; i++) {
    const float *y = lcip_tensor_get_data(out->pdata[i]);
    g_assert_cmpfloat(y[6], ==, i % 7 && i % 3 ? -1 : 1);
  }
}

/* Operands planned with equal shapes of which one is smaller in the frame: no fused or in-place
 * addition can do that, and must say so. */
static void test_unequal_operands(void) {
  g_autoptr(LcipTensor) large = ones(lcip_shape(4, 1, 4, 6, 6));
  g_autoptr(LcipTensor) small = ones(lcip_shape(4, 1, 4, 1, 1));
  for (int swap = 0; swap < 2; swap++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(LcipGraph) graph = lcip_graph_new();
    graph_input(graph, "x0", lcip_shape(4, 1, 4, 6, 6));
    graph_input(graph, "x1", lcip_shape(4, 1, 4, 6, 6));
    lcip_graph_ensure_defaults(graph);
    const int first = graph_actor(graph, "Sigmoid", 1, LCIP_NO_ACTOR, 0);
    const int sum = graph_actor(graph, "Add", 2, first, 0);
    lcip_graph_add_edge(graph, (LcipEdge){LCIP_NO_ACTOR, 1, sum, 1, 0});
    graph_output(graph, "y", graph_actor(graph, "Neg", 1, sum, 0), 0);
    const LcipPlanOptions options = {.pinned = swap};
    g_autoptr(GPtrArray) out =
        run_graph(graph, &options, swap ? small : large, swap ? large : small, &error);
    g_assert_null(out);
    g_assert_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED);
  }
}

/* Views of an input that is smaller than planned: one that adds but an axis of size 1 has the
 * frame's sizes, and one that joins axes can't have any. */
static void test_views_of_less(void) {
  static const char *const ops[] = {"Identity", "Unsqueeze", "Flatten"};
  const LcipShape shapes[] = {lcip_shape(2, 2, 3), lcip_shape(3, 1, 2, 3)};
  const gint64 first = 0;
  g_autoptr(LcipTensor) small = ones(shapes[0]);
  for (int i = 0; i < 3; i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(LcipGraph) graph = lcip_graph_new();
    graph_input(graph, "x0", lcip_shape(2, 4, 6));
    lcip_graph_ensure_defaults(graph);
    const int view = graph_actor(graph, ops[i], i == 1 ? 2 : 1, LCIP_NO_ACTOR, 0);
    g_autoptr(LcipTensor) axes = lcip_tensor_new_i64(1, &first);
    if (i == 1)
      lcip_actor_set_constant(lcip_graph_actor(graph, view), 1, axes, "k");
    if (i == 2)
      lcip_attrs_set_ints(lcip_graph_actor(graph, view)->attrs, "axis", LCIP_ATTR_INT, 1, &first,
                          NULL);
    graph_output(graph, "y", view, 0);
    g_autoptr(GPtrArray) out = run_graph(graph, &(LcipPlanOptions){0}, small, NULL, &error);
    if (i == 2) {
      g_assert_null(out);
      g_assert_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED);
      continue;
    }
    g_assert_no_error(error);
    g_assert_true(lcip_shape_equal(lcip_tensor_get_shape(out->pdata[0]), &shapes[i]));
  }
}

void add_odd_tests(void) {
  g_test_add_func("/differential/no-actors", test_no_actors);
  g_test_add_func("/differential/fan-out", test_fan_out);
  g_test_add_func("/differential/unequal-operands", test_unequal_operands);
  g_test_add_func("/differential/views-of-less", test_views_of_less);
}
