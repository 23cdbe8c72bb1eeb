#include "config.h"

#include "lcip-session-private.h"

/* What is wrong with the open document: what its file brought that could not be read, which stays
 * so while the actor is there, and what planning found. */

/* ---- what loading found ---- */

static gboolean is_about(const LcipProblem *problem, const LcipGraph *graph) {
  return !problem->actor_id || lcip_graph_find_actor(graph, problem->actor_id) >= 0;
}

static gboolean mentions(const GPtrArray *problems, const char *actor_id) {
  for (guint i = 0; i < problems->len; i++)
    if (g_strcmp0(((const LcipProblem *)problems->pdata[i])->actor_id, actor_id) == 0)
      return TRUE;
  return FALSE;
}

static gboolean is_unknown(const LcipGraph *graph, const char *actor_id) {
  const int index = actor_id ? lcip_graph_find_actor(graph, actor_id) : -1;
  return index >= 0 && !lcip_graph_actor(graph, index)->op;
}

static void append(GPtrArray *to, const LcipProblem *problem) {
  lcip_problems_add(to, problem->severity, problem->actor_id, "%s", problem->message);
}

GPtrArray *lcip_session_load_problems(LcipSession *self) {
  GPtrArray *open = lcip_problems_new();
  const LcipGraph *graph = lcip_session_get_graph(self);
  for (guint i = 0; graph && self->load_problems && i < self->load_problems->len; i++)
    if (is_about(self->load_problems->pdata[i], graph))
      append(open, self->load_problems->pdata[i]);
  return open;
}

void lcip_session_set_load_problems(LcipSession *self, GPtrArray *problems) {
  g_clear_pointer(&self->load_problems, g_ptr_array_unref);
  self->load_problems = problems ? g_ptr_array_ref(problems) : NULL;
}

/* ---- the list ---- */

/* The reader says more about an operator that LCIP does not have than the analysis can. */
void lcip_session_rebuild_problems(LcipSession *self) {
  const LcipGraph *graph = lcip_session_get_graph(self);
  g_autoptr(GPtrArray) loaded = lcip_session_load_problems(self);
  GPtrArray *problems = lcip_session_load_problems(self);
  for (guint i = 0; graph && i < self->found->len; i++) {
    const LcipProblem *problem = self->found->pdata[i];
    if (!is_unknown(graph, problem->actor_id) || !mentions(loaded, problem->actor_id))
      append(problems, problem);
  }
  lcip_session_add_link_problems(self, problems);
  g_ptr_array_unref(self->problems);
  self->problems = problems;
}

void lcip_session_adopt_problems(LcipSession *self, const GPtrArray *found, const GError *error) {
  g_ptr_array_set_size(self->found, 0);
  for (guint i = 0; i < found->len; i++)
    append(self->found, found->pdata[i]);
  lcip_session_rebuild_problems(self);
  if (!error || lcip_problems_have_errors(self->problems))
    return;
  lcip_problems_add(self->found, LCIP_PROBLEM_ERROR, NULL, "%s", error->message);
  lcip_session_rebuild_problems(self);
}

const GPtrArray *lcip_session_get_problems(LcipSession *self) {
  return self->problems;
}

gboolean lcip_session_refuses_to_run(LcipSession *self) {
  g_autoptr(GPtrArray) loaded = lcip_session_load_problems(self);
  guint n = 0;
  const LcipProblem *first = NULL;
  for (guint i = 0; i < loaded->len; i++) {
    const LcipProblem *problem = loaded->pdata[i];
    if (problem->severity == LCIP_PROBLEM_ERROR && n++ == 0)
      first = problem;
  }
  if (n == 0)
    return FALSE;
  g_autofree char *more =
      n > 1 ? g_strdup_printf("\n\nThere are %u more; the list of problems has them all.", n - 1)
            : g_strdup("");
  g_autofree char *why = g_strconcat(first->message, more, NULL);
  lcip_session_emit_failed(self, "This Network Cannot Run", why);
  return TRUE;
}

/* ---- shapes of a graph that cannot be planned ---- */

void lcip_session_set_analysis(LcipSession *self, LcipGraph *graph, LcipAnalysis *analysis) {
  g_clear_pointer(&self->analysis, lcip_analysis_free);
  g_clear_pointer(&self->analysed, lcip_graph_unref);
  self->analysis = analysis;
  self->analysed = analysis ? lcip_graph_ref(graph) : NULL;
}

static LcipTensorSpec planned_spec(LcipPlan *plan, const char *id, guint port) {
  const int index = plan ? lcip_graph_find_actor(lcip_plan_graph(plan), id) : -1;
  const LcipPlanActor *actor = index >= 0 ? lcip_plan_actor(plan, index) : NULL;
  return actor && port < actor->n_outputs ? actor->outputs[port] : (LcipTensorSpec){0};
}

LcipTensorSpec lcip_session_get_spec(LcipSession *self, const char *id, guint port) {
  const LcipTensorSpec spec = planned_spec(self->plan, id, port);
  if (spec.type != LCIP_TYPE_NONE || !self->analysis)
    return spec;
  const int index = lcip_graph_find_actor(self->analysed, id);
  return index >= 0 && port < self->analysis->n_outputs[index] ? self->analysis->specs[index][port]
                                                               : (LcipTensorSpec){0};
}
