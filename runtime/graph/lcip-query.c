#include "config.h"

#include "lcip-query.h"

#include <math.h>
#include <string.h>

typedef enum {
  TERM_WORD,
  TERM_OP,
  TERM_ON,
  TERM_SLOW,
  TERM_INVALID,
  TERM_PINNED,
  TERM_PLACED
} Kind;

typedef struct {
  Kind kind;
  gboolean negated;
  char *text;            /* lower case */
  GPatternSpec *pattern; /* TERM_OP */
} Term;

struct _LcipQuery {
  GPtrArray *terms;
};

static void term_free(Term *term) {
  g_free(term->text);
  g_clear_pointer(&term->pattern, g_pattern_spec_free);
  g_free(term);
}

/* ---- reading ---- */

static const struct {
  const char *word;
  Kind kind;
} states[] = {{"slow", TERM_SLOW},
              {"invalid", TERM_INVALID},
              {"pinned", TERM_PINNED},
              {"placed", TERM_PLACED}};

static gboolean read_state(Term *term, const char *word, GError **error) {
  for (gsize i = 0; i < G_N_ELEMENTS(states); i++)
    if (g_str_equal(states[i].word, word)) {
      term->kind = states[i].kind;
      return TRUE;
    }
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID,
              "expected is:slow, is:invalid, is:pinned or is:placed, found is:%s", word);
  return FALSE;
}

static gboolean read_term(Term *term, const char *text, GError **error) {
  const char *colon = strchr(text, ':');
  g_autofree char *filter = colon ? g_strndup(text, colon - text) : NULL;
  const char *value = colon ? colon + 1 : text;
  term->text = g_strdup(value);
  term->kind = TERM_WORD;
  if (!filter)
    return TRUE;
  if (g_str_equal(filter, "is"))
    return read_state(term, value, error);
  if (g_str_equal(filter, "op")) {
    term->kind = TERM_OP;
    term->pattern = g_pattern_spec_new(value);
    return TRUE;
  }
  if (g_str_equal(filter, "on")) {
    term->kind = TERM_ON;
    return TRUE;
  }
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID,
              "expected op:, on: or is: as a filter, found %s:", filter);
  return FALSE;
}

LcipQuery *lcip_query_new(const char *text, GError **error) {
  g_autofree char *lower = g_utf8_strdown(text, -1);
  g_auto(GStrv) words = g_strsplit_set(lower, " \t", -1);
  g_autoptr(LcipQuery) query = g_new0(LcipQuery, 1);
  query->terms = g_ptr_array_new_with_free_func((GDestroyNotify)term_free);
  for (guint i = 0; words[i]; i++) {
    const gboolean negated = words[i][0] == '-' && words[i][1];
    if (!*words[i])
      continue;
    Term *term = g_new0(Term, 1);
    term->negated = negated;
    g_ptr_array_add(query->terms, term);
    if (!read_term(term, words[i] + negated, error))
      return NULL;
  }
  return g_steal_pointer(&query);
}

void lcip_query_free(LcipQuery *query) {
  g_ptr_array_unref(query->terms);
  g_free(query);
}

/* ---- matching ---- */

static gboolean has_word(const char *where, const char *word) {
  g_autofree char *lower = g_utf8_strdown(where, -1);
  return strstr(lower, word) != NULL;
}

static gboolean on_lane(const LcipQueryFacts *facts, int actor, const char *wanted) {
  const char *name = lcip_graph_lane_of(facts->graph, facts->mapping, actor);
  const LcipLane *lane = name ? lcip_graph_find_lane(facts->graph, name) : NULL;
  g_autofree char *lower = name ? g_utf8_strdown(name, -1) : NULL;
  if (!lane)
    return FALSE;
  return g_str_equal(lower, wanted) || g_str_equal(lcip_lane_kind_name(lane->kind), wanted) ||
         (lane->kind == LCIP_LANE_OPENCL && g_str_equal(wanted, "gpu"));
}

static gboolean is_invalid(const LcipQueryFacts *facts, const char *id) {
  for (guint i = 0; facts->problems && i < facts->problems->len; i++) {
    const LcipProblem *problem = facts->problems->pdata[i];
    if (problem->severity == LCIP_PROBLEM_ERROR && g_strcmp0(problem->actor_id, id) == 0)
      return TRUE;
  }
  return FALSE;
}

static gboolean fits(const Term *term, const LcipQueryFacts *facts, int index, double slow_ms) {
  const LcipActor *actor = lcip_graph_actor(facts->graph, index);
  g_autofree char *op = g_utf8_strdown(actor->op_name, -1);
  switch (term->kind) {
  case TERM_OP:
    return g_pattern_spec_match_string(term->pattern, op);
  case TERM_ON:
    return on_lane(facts, index, term->text);
  case TERM_SLOW:
    return facts->actor_ms && facts->actor_ms[index] >= slow_ms;
  case TERM_INVALID:
    return is_invalid(facts, actor->id);
  case TERM_PINNED:
    return g_hash_table_contains(facts->mapping->pins, actor->id);
  case TERM_PLACED:
    return g_hash_table_contains(facts->graph->layout, actor->id);
  default:
    return has_word(lcip_actor_title(actor), term->text) || has_word(actor->id, term->text) ||
           strstr(op, term->text);
  }
}

static int compare_falling(gconstpointer a, gconstpointer b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x < y) - (x > y);
}

/* The time from which on a step is one of the slowest, which together make half. */
static double slow_from(const LcipQueryFacts *facts) {
  const guint n = facts->actor_ms ? facts->graph->actors->len : 0;
  g_autoptr(GArray) times = g_array_new(FALSE, FALSE, sizeof(double));
  double all = 0, sum = 0;
  for (guint i = 0; i < n; i++)
    if (facts->actor_ms[i] > 0) { /* not NAN either */
      g_array_append_val(times, facts->actor_ms[i]);
      all += facts->actor_ms[i];
    }
  g_array_sort(times, compare_falling);
  for (guint i = 0; i < times->len; i++) {
    sum += g_array_index(times, double, i);
    if (sum >= all / 2)
      return g_array_index(times, double, i);
  }
  return INFINITY;
}

GArray *lcip_query_run(const LcipQuery *query, const LcipQueryFacts *facts) {
  GArray *found = g_array_new(FALSE, FALSE, sizeof(int));
  const double slow_ms = slow_from(facts);
  for (int i = 0; i < (int)facts->graph->actors->len; i++) {
    gboolean all = TRUE;
    for (guint t = 0; t < query->terms->len && all; t++) {
      const Term *term = query->terms->pdata[t];
      all = fits(term, facts, i, slow_ms) != term->negated;
    }
    if (all)
      g_array_append_val(found, i);
  }
  return found;
}
