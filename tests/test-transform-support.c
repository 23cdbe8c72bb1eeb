#include "config.h"

#include "test-transform.h"

#include <math.h>

/* ---- graphs ---- */

LcipTensor *random_tensor(LcipShape shape, guint32 seed) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, shape);
  LcipTensor *tensor = lcip_tensor_new(&spec);
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  float *data = lcip_tensor_get_mutable(tensor);
  for (gint64 i = 0; i < lcip_shape_count(&shape); i++)
    data[i] = (float)g_rand_double_range(rand, -1, 1);
  return tensor;
}

LcipGraph *new_graph(LcipShape shape) {
  LcipGraph *graph = lcip_graph_new();
  lcip_graph_add_input(graph, "x", "x", lcip_tensor_spec(LCIP_TYPE_F32, shape));
  lcip_graph_add_output(graph, "y", "y", (LcipTensorSpec){0});
  lcip_graph_ensure_defaults(graph);
  return graph;
}

int add(LcipGraph *graph, const char *op, const char *id, guint n_inputs, int from) {
  const int actor = lcip_graph_add_actor(graph, lcip_actor_new(id, "", "", op, n_inputs, 1));
  lcip_graph_add_edge(graph, (LcipEdge){from, 0, actor, 0, 0});
  return actor;
}

void set(LcipGraph *graph, int actor, const char *name, LcipAttrType type, const char *text) {
  g_autoptr(GError) error = NULL;
  lcip_attrs_set_text(lcip_graph_actor(graph, actor)->attrs, name, type, text, &error);
  g_assert_no_error(error);
}

void constant(LcipGraph *graph, int actor, guint port, LcipTensor *tensor) {
  lcip_actor_set_constant(lcip_graph_actor(graph, actor), port, tensor, "k");
  lcip_tensor_unref(tensor);
}

void finish(LcipGraph *graph, int actor) {
  lcip_graph_add_edge(graph, (LcipEdge){actor, 0, LCIP_NO_ACTOR, 0, 0});
}

int add_conv(LcipGraph *graph, const char *id, int from, int in, int out, const char *pads) {
  const int conv = add(graph, "Conv", id, 2, from);
  set(graph, conv, "pads", LCIP_ATTR_INTS, pads);
  constant(graph, conv, 1, random_tensor(lcip_shape(4, out, in, 3, 3), 7));
  return conv;
}

int add_pad(LcipGraph *graph, const char *id, int from, const gint64 pads[8], float value) {
  const int pad = add(graph, "Pad", id, 3, from);
  const LcipTensorSpec scalar = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(0));
  constant(graph, pad, 1, lcip_tensor_new_i64(8, pads));
  constant(graph, pad, 2, lcip_tensor_new_from_data(&scalar, &value));
  return pad;
}

int add_pool(LcipGraph *graph, const char *op, int from, const char *pads) {
  const int pool = add(graph, op, "pool", 1, from);
  set(graph, pool, "kernel_shape", LCIP_ATTR_INTS, "3 3");
  set(graph, pool, "pads", LCIP_ATTR_INTS, pads);
  return pool;
}

/* ---- plans and what they give ---- */

LcipPlan *compile(LcipGraph *graph, const LcipPlanOptions *options) {
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

LcipTensor *output_of(LcipPlan *plan, LcipTensor *x) {
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

static float root_mean_square(const float *values, gint64 n) {
  double sum = 0;
  for (gint64 i = 0; i < n; i++)
    sum += (double)values[i] * values[i];
  return (float)sqrt(sum / (double)MAX(n, 1));
}

static void assert_close_to(const LcipTensor *found, const LcipTensor *expected,
                            gboolean winograd) {
  const LcipShape *shape = lcip_tensor_get_shape(expected);
  const float *a = lcip_tensor_get_data(found), *b = lcip_tensor_get_data(expected);
  const gint64 n = lcip_shape_count(shape);
  g_assert_true(lcip_shape_equal(lcip_tensor_get_shape(found), shape));
  const float size = winograd ? MAX(1.0f, root_mean_square(b, n)) : 1.0f;
  for (gint64 i = 0; i < n; i++)
    g_assert_cmpfloat_with_epsilon(a[i], b[i], 1e-3f * MAX(size, fabsf(b[i])));
}

void assert_close(const LcipTensor *found, const LcipTensor *expected) {
  assert_close_to(found, expected, FALSE);
}

/* Winograd's error goes with the size of what is added up, which a value that cancels out to nearly
 * nothing does not show; that of all values does. */
static gboolean has_winograd(const LcipPlan *plan) {
  for (guint i = 0; i < lcip_plan_n_steps(plan); i++) {
    const LcipKernel *kernel = lcip_plan_step(plan, i)->kernel;
    if (kernel && kernel->numerics == LCIP_NUMERICS_WINOGRAD)
      return TRUE;
  }
  return FALSE;
}

LcipPlan *compile_plain(LcipGraph *graph) {
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

guint n_computing(const LcipPlan *plan) {
  guint n = 0;
  for (guint i = 0; i < lcip_plan_n_steps(plan); i++)
    n += !lcip_plan_step(plan, i)->is_io && lcip_plan_step(plan, i)->n_actors > 0;
  return n;
}

void check(LcipGraph *graph, guint n_steps) {
  const LcipGraphPort *port = graph->inputs->pdata[0];
  g_autoptr(LcipTensor) x = random_tensor(port->spec.shape, 3);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  g_autoptr(LcipPlan) plain = compile_plain(graph);
  g_autoptr(LcipTensor) found = output_of(plan, x);
  g_autoptr(LcipTensor) expected = output_of(plain, x);
  g_assert_cmpuint(n_computing(plan), ==, n_steps);
  assert_close_to(found, expected, has_winograd(plan));
}

const LcipPlanActor *actor_of(const LcipPlan *plan, const char *id) {
  return lcip_plan_actor(plan, (guint)lcip_graph_find_actor(lcip_plan_graph(plan), id));
}

LcipNumerics numerics_of(LcipGraph *graph, const LcipPlanOptions *options, const char *id) {
  g_autoptr(LcipPlan) plan = compile(graph, options);
  return lcip_plan_step(plan, (guint)actor_of(plan, id)->step)->kernel->numerics;
}
