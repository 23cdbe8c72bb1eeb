#include "config.h"

#include "lcip-graph.h"

/* So many actors are named where many have the same problem. */
#define NAMED_ACTORS 3

static void problem_free(gpointer data) {
  LcipProblem *problem = data;
  g_free(problem->actor_id);
  g_free(problem->message);
  g_free(problem);
}

GPtrArray *lcip_problems_new(void) {
  return g_ptr_array_new_with_free_func(problem_free);
}

void lcip_problems_add(GPtrArray *problems, LcipSeverity severity, const char *actor_id,
                       const char *format, ...) {
  if (!problems)
    return;
  LcipProblem *problem = g_new0(LcipProblem, 1);
  va_list ap;
  va_start(ap, format);
  problem->severity = severity;
  problem->actor_id = g_strdup(actor_id);
  problem->message = g_strdup_vprintf(format, ap);
  va_end(ap);
  g_ptr_array_add(problems, problem);
}

gboolean lcip_problems_mention(const GPtrArray *problems, const char *actor_id) {
  for (guint i = 0; problems && i < problems->len; i++)
    if (g_strcmp0(((const LcipProblem *)problems->pdata[i])->actor_id, actor_id) == 0)
      return TRUE;
  return FALSE;
}

gboolean lcip_problems_have_errors(const GPtrArray *problems) {
  for (guint i = 0; problems && i < problems->len; i++)
    if (((const LcipProblem *)problems->pdata[i])->severity == LCIP_PROBLEM_ERROR)
      return TRUE;
  return FALSE;
}

/* ---- as text ---- */

static const LcipActor *actor_of(const LcipGraph *graph, const LcipProblem *problem) {
  const int index = problem->actor_id ? lcip_graph_find_actor(graph, problem->actor_id) : -1;
  return index < 0 ? NULL : lcip_graph_actor(graph, index);
}

/* The same is wrong with both: actors of one operator, in one sentence. */
static gboolean is_alike(const LcipGraph *graph, const LcipProblem *a, const LcipProblem *b) {
  const LcipActor *x = actor_of(graph, a), *y = actor_of(graph, b);
  return a->severity == b->severity && x && y && g_str_equal(x->op_name, y->op_name) &&
         g_str_equal(x->domain, y->domain) && g_str_equal(a->message, b->message);
}

static void append_actor(GString *text, const LcipActor *actor) {
  g_string_append(text, actor->id);
  if (*actor->name && !g_str_equal(actor->name, actor->id))
    g_string_append_printf(text, " (node \"%s\")", actor->name);
}

/* "3 Einsum actors: einsum_1 (node "a"), einsum_2, einsum_3" of what is like problem @first. */
static void append_actors(GString *text, const GPtrArray *problems, const LcipGraph *graph,
                          guint first) {
  g_autoptr(GPtrArray) actors = g_ptr_array_new();
  for (guint i = first; i < problems->len; i++)
    if (i == first || is_alike(graph, problems->pdata[first], problems->pdata[i]))
      g_ptr_array_add(actors, (gpointer)actor_of(graph, problems->pdata[i]));
  const LcipActor *actor = actors->pdata[0];
  if (actors->len == 1)
    g_string_append_printf(text, "%s actor ", actor->op_name);
  else
    g_string_append_printf(text, "%u %s actors: ", actors->len, actor->op_name);
  for (guint i = 0; i < actors->len && i < NAMED_ACTORS; i++) {
    if (i > 0)
      g_string_append(text, ", ");
    append_actor(text, actors->pdata[i]);
  }
  if (actors->len > NAMED_ACTORS)
    g_string_append_printf(text, " and %u more", actors->len - NAMED_ACTORS);
  g_string_append(text, ": ");
}

static gboolean is_told(const GPtrArray *problems, const LcipGraph *graph, guint index) {
  for (guint i = 0; i < index; i++)
    if (is_alike(graph, problems->pdata[i], problems->pdata[index]))
      return TRUE;
  return FALSE;
}

GPtrArray *lcip_problems_lines(const GPtrArray *problems, const LcipGraph *graph,
                               LcipSeverity severity) {
  GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < problems->len; i++) {
    const LcipProblem *problem = problems->pdata[i];
    if (problem->severity != severity || is_told(problems, graph, i))
      continue;
    GString *line = g_string_new(NULL);
    if (actor_of(graph, problem))
      append_actors(line, problems, graph, i);
    g_string_append(line, problem->message);
    g_ptr_array_add(lines, g_string_free(line, FALSE));
  }
  return lines;
}
