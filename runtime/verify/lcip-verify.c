#include "config.h"
#include "lcip-verify-private.h"

#include "lcip-element.h"
#include "lcip-run.h"

#include <math.h>
#include <string.h>

/* Verify: one verification while it is made.
 * @found: graph output's name -> LcipTensor of the plan as it is. @probes: the output of each item
 * of result->steps in the second run. */
typedef struct {
  LcipGraph *graph;
  const LcipVerifyOptions *options;
  LcipVerification *result;
  GHashTable *inputs;
  GHashTable *found;
  GPtrArray *probes;
  GCancellable *cancellable;
} Verify;

static GHashTable *tensor_table(void) {
  return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)lcip_tensor_unref);
}

static void item_free(gpointer data) {
  LcipVerifyItem *item = data;
  g_free(item->name);
  g_free(item);
}

static LcipVerifyItem *add_item(GPtrArray *items, const char *name, int actor, guint port,
                                int step) {
  LcipVerifyItem *item = g_new0(LcipVerifyItem, 1);
  item->name = g_strdup(name);
  item->actor = actor;
  item->port = port;
  item->step = step;
  item->reference = NAN;
  g_ptr_array_add(items, item);
  return item;
}

/* ---- inputs ---- */

static gboolean complete_inputs(Verify *verify, const LcipAnalysis *analysis, GError **error) {
  GHashTableIter iter;
  gpointer name, tensor;
  if (verify->options->inputs) {
    g_hash_table_iter_init(&iter, verify->options->inputs);
    while (g_hash_table_iter_next(&iter, &name, &tensor))
      g_hash_table_insert(verify->inputs, g_strdup(name), lcip_tensor_ref(tensor));
  }
  for (guint i = 0; i < verify->graph->inputs->len; i++) {
    const LcipGraphPort *port = g_ptr_array_index(verify->graph->inputs, i);
    if (g_hash_table_contains(verify->inputs, port->name))
      continue;
    LcipTensor *random = lcip_run_random_input(&analysis->graph_inputs[i], i + 1, error);
    if (!random)
      return FALSE;
    g_hash_table_insert(verify->inputs, g_strdup(port->name), random);
  }
  return TRUE;
}

/* ---- the mapped runs ---- */

static void keep_values(const LcipFrame *frame, gpointer data) {
  for (guint i = 0; i < frame->n_values; i++)
    if (!frame->values[i].actor_id)
      g_hash_table_replace(data, g_strdup(frame->values[i].name),
                           lcip_tensor_ref(frame->values[i].tensor));
}

static gboolean run_plan(Verify *verify, LcipPlan *plan, GHashTable *values, GError **error) {
  const LcipRunOptions options = {.inputs = verify->inputs,
                                  .n_frames = 1,
                                  .frames_in_flight = 1,
                                  .frame_func = keep_values,
                                  .frame_data = values};
  if (g_cancellable_set_error_if_cancelled(verify->cancellable, error))
    return FALSE;
  g_autoptr(LcipRun) run = lcip_run_start(plan, &options, error);
  return run && lcip_run_wait(run, error);
}

/* An output for everything that a step computes: its last actor's, where several are fused. */
static LcipGraph *add_probes(Verify *verify, GPtrArray *names) {
  LcipGraph *graph = lcip_graph_copy(verify->graph);
  const LcipPlan *plan = verify->result->plan;
  for (guint i = 0; i < lcip_plan_n_steps(plan); i++) {
    const LcipPlanStep *step = lcip_plan_step(plan, i);
    if (step->is_io || step->n_actors == 0)
      continue;
    const int actor = step->actors[step->n_actors - 1];
    for (guint port = 0; port < lcip_plan_actor(plan, (guint)actor)->n_outputs; port++) {
      char *name = lcip_graph_unique_id(graph, "probe");
      const int output = lcip_graph_add_output(graph, name, name, (LcipTensorSpec){0});
      lcip_graph_add_edge(graph, (LcipEdge){actor, port, LCIP_NO_ACTOR, (guint)output, 0});
      add_item(verify->result->steps, NULL, actor, port, (int)i);
      g_ptr_array_add(names, name);
    }
  }
  return graph;
}

/* The steps with actors of @plan from @i on; NULL at the end. */
static const LcipPlanStep *next_step(const LcipPlan *plan, guint *i) {
  while (*i < lcip_plan_n_steps(plan)) {
    const LcipPlanStep *step = lcip_plan_step(plan, (*i)++);
    if (!step->is_io && step->n_actors > 0)
      return step;
  }
  return NULL;
}

static gboolean same_step(const LcipPlanStep *a, const LcipPlanStep *b) {
  return a->kernel == b->kernel && a->n_actors == b->n_actors &&
         memcmp(a->actors, b->actors, sizeof *a->actors * a->n_actors) == 0;
}

/* What is looked at must be what runs: the same kernels do the same actors, whatever looking adds.
 */
static gboolean check_same_steps(const LcipPlan *plan, const LcipPlan *probed, GError **error) {
  guint i = 0, k = 0;
  for (;;) {
    const LcipPlanStep *a = next_step(plan, &i), *b = next_step(probed, &k);
    if (!a && !b)
      return TRUE;
    if (a && b && same_step(a, b))
      continue;
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
                "step %s: expected the same steps with every output kept, found %s by %s",
                a ? a->title : "(none)", b ? b->title : "(none)",
                b && b->kernel ? b->kernel->name : "nothing");
    return FALSE;
  }
}

static gboolean run_probed(Verify *verify, GError **error) {
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(LcipGraph) graph = add_probes(verify, names);
  g_autoptr(GHashTable) values = tensor_table();
  g_autoptr(LcipPlan) plan =
      lcip_plan_new(graph, &verify->options->plan, NULL, verify->cancellable, error);
  if (!plan || !check_same_steps(verify->result->plan, plan, error) ||
      !run_plan(verify, plan, values, error))
    return FALSE;
  for (guint i = 0; i < names->len; i++) {
    LcipTensor *tensor = g_hash_table_lookup(values, names->pdata[i]);
    g_ptr_array_add(verify->probes, tensor ? lcip_tensor_ref(tensor) : NULL);
  }
  return TRUE;
}

/* ---- what is compared ---- */

static const LcipEdge *edge_to_output(const LcipGraph *graph, guint output) {
  for (guint e = 0; e < graph->edges->len; e++) {
    const LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, e);
    if (edge->dst_actor == LCIP_NO_ACTOR && edge->dst_port == output)
      return edge;
  }
  return NULL;
}

static int step_of(const LcipPlan *plan, int actor) {
  return actor < 0 ? -1 : lcip_plan_actor(plan, (guint)actor)->step;
}

static gboolean fail_expected(const LcipGraph *graph, const char *name, GError **error) {
  g_autoptr(GString) names = g_string_new(NULL);
  for (guint i = 0; i < graph->outputs->len; i++)
    g_string_append_printf(names, "%s'%s'", names->len ? ", " : "",
                           ((const LcipGraphPort *)graph->outputs->pdata[i])->name);
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID, "the graph has no output '%s'; it has %s",
              name, names->len ? names->str : "none");
  return FALSE;
}

static gboolean check_expected_names(Verify *verify, GError **error) {
  GHashTableIter iter;
  gpointer name;
  if (!verify->options->expected)
    return TRUE;
  g_hash_table_iter_init(&iter, verify->options->expected);
  while (g_hash_table_iter_next(&iter, &name, NULL)) {
    gboolean known = FALSE;
    for (guint i = 0; i < verify->graph->outputs->len; i++)
      known |= g_str_equal(((LcipGraphPort *)verify->graph->outputs->pdata[i])->name, name);
    if (!known)
      return fail_expected(verify->graph, name, error);
  }
  return TRUE;
}

static void add_outputs(Verify *verify) {
  GHashTable *given = verify->options->expected;
  for (guint i = 0; i < verify->graph->outputs->len; i++) {
    const char *name = ((LcipGraphPort *)verify->graph->outputs->pdata[i])->name;
    const LcipEdge *edge = edge_to_output(verify->graph, i);
    LcipTensor *found = g_hash_table_lookup(verify->found, name);
    LcipTensor *expected = given ? g_hash_table_lookup(given, name) : NULL;
    if (!edge || !found)
      continue;
    const int step = step_of(verify->result->plan, edge->src_actor);
    add_item(verify->result->outputs, name, edge->src_actor, edge->src_port, step);
    if (!expected)
      continue;
    LcipVerifyItem *item =
        add_item(verify->result->expected, name, edge->src_actor, edge->src_port, step);
    lcip_verify_compare(item, found, expected, verify->result->tolerance);
  }
}

static void note_reference(LcipVerifyItem *item, const LcipTensor *tensor) {
  if (lcip_shape_equal(lcip_tensor_get_shape(tensor), &item->found_shape) &&
      lcip_shape_equal(&item->expected_shape, &item->found_shape) &&
      lcip_shape_count(&item->found_shape) > 0)
    item->reference = lcip_element_float(lcip_tensor_get_spec(tensor)->type,
                                         lcip_tensor_get_data(tensor), (gsize)item->at);
}

static void on_reference(int actor, guint port, LcipTensor *tensor, gpointer data) {
  const Verify *verify = data;
  const LcipVerification *result = verify->result;
  for (guint i = 0; i < result->steps->len; i++) {
    LcipVerifyItem *item = result->steps->pdata[i];
    LcipTensor *found = verify->probes->pdata[i];
    if (found && item->actor == actor && item->port == port)
      lcip_verify_compare(item, found, tensor, result->tolerance);
  }
  for (guint i = 0; i < result->outputs->len; i++) {
    LcipVerifyItem *item = result->outputs->pdata[i];
    if (item->actor == actor && item->port == port)
      lcip_verify_compare(item, g_hash_table_lookup(verify->found, item->name), tensor,
                          result->tolerance);
  }
  for (guint i = 0; i < result->expected->len; i++) {
    LcipVerifyItem *item = result->expected->pdata[i];
    if (item->actor == actor && item->port == port)
      note_reference(item, tensor);
  }
}

/* ---- the whole ---- */

static gboolean shapes_differ(const LcipVerifyItem *item) {
  return !lcip_shape_equal(&item->expected_shape, &item->found_shape);
}

/* Other shapes are worse than any difference. */
static gboolean is_larger(const LcipVerifyItem *a, const LcipVerifyItem *b) {
  if (shapes_differ(a) != shapes_differ(b))
    return shapes_differ(a);
  return a->relative > b->relative;
}

static void conclude(LcipVerification *result) {
  GPtrArray *lists[] = {result->steps, result->outputs, result->expected};
  for (guint l = 0; l < G_N_ELEMENTS(lists); l++)
    for (guint i = 0; i < lists[l]->len; i++) {
      const LcipVerifyItem *item = lists[l]->pdata[i];
      if (!result->largest || is_larger(item, result->largest))
        result->largest = item;
      if (!item->beyond)
        continue;
      result->n_beyond++;
      if (!result->first)
        result->first = item;
    }
}

static gboolean verify_plan(Verify *verify, GPtrArray *problems, GError **error) {
  const LcipPlanOptions *options = &verify->options->plan;
  verify->result->plan =
      lcip_plan_new(verify->graph, options, problems, verify->cancellable, error);
  if (!verify->result->plan)
    return FALSE;
  g_autoptr(GPtrArray) known = lcip_problems_new();
  g_autoptr(LcipAnalysis) analysis =
      lcip_analyse(verify->graph, options->source_sizes, options->input_shapes, known);
  if (!analysis || !complete_inputs(verify, analysis, error) ||
      !run_plan(verify, verify->result->plan, verify->found, error))
    return FALSE;
  add_outputs(verify);
  if (!run_probed(verify, error) ||
      !lcip_reference_run(verify->graph, analysis, verify->inputs, on_reference, verify,
                          verify->cancellable, error))
    return FALSE;
  conclude(verify->result);
  return TRUE;
}

static void unref_or_none(gpointer tensor) {
  if (tensor)
    lcip_tensor_unref(tensor);
}

LcipVerification *lcip_verify(LcipGraph *graph, const LcipVerifyOptions *options,
                              GPtrArray *problems, GCancellable *cancellable, GError **error) {
  g_autoptr(LcipVerification) result = g_new0(LcipVerification, 1);
  g_autoptr(GHashTable) inputs = tensor_table();
  g_autoptr(GHashTable) found = tensor_table();
  g_autoptr(GPtrArray) probes = g_ptr_array_new_with_free_func(unref_or_none);
  Verify verify = {.graph = graph,
                   .options = options,
                   .result = result,
                   .inputs = inputs,
                   .found = found,
                   .probes = probes,
                   .cancellable = cancellable};
  result->tolerance = options->tolerance > 0 ? options->tolerance : LCIP_VERIFY_TOLERANCE;
  result->steps = g_ptr_array_new_with_free_func(item_free);
  result->outputs = g_ptr_array_new_with_free_func(item_free);
  result->expected = g_ptr_array_new_with_free_func(item_free);
  if (!check_expected_names(&verify, error) || !verify_plan(&verify, problems, error))
    return NULL;
  return g_steal_pointer(&result);
}

void lcip_verification_free(LcipVerification *verification) {
  g_clear_pointer(&verification->plan, lcip_plan_unref);
  g_ptr_array_unref(verification->steps);
  g_ptr_array_unref(verification->outputs);
  g_ptr_array_unref(verification->expected);
  g_free(verification);
}
