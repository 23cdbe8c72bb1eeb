#include "config.h"

#include "lcip-session-private.h"

/* Lanes on workers: whether their links are up, what they say of latency and bandwidth, and what is
 * told when one is lost or back. Read with the profile, five times a second. */

static void link_free(LcipLaneLink *link) {
  lcip_link_status_clear(&link->status);
  g_free(link->lane);
  g_free(link->fallback);
  g_free(link);
}

GPtrArray *lcip_session_links_new(void) {
  return g_ptr_array_new_with_free_func((GDestroyNotify)link_free);
}

const GPtrArray *lcip_session_get_links(LcipSession *self) {
  return self->links;
}

static LcipLaneLink *find_link(LcipSession *self, const char *lane) {
  for (guint i = 0; i < self->links->len; i++) {
    LcipLaneLink *link = self->links->pdata[i];
    if (g_str_equal(link->lane, lane))
      return link;
  }
  return NULL;
}

const LcipLaneLink *lcip_session_get_link(LcipSession *self, const char *lane) {
  return find_link(self, lane);
}

static char *fallback_of(LcipGraph *graph, const char *lane) {
  const LcipMapping *mapping = lcip_graph_find_mapping(graph, NULL);
  const char *name = g_hash_table_lookup(mapping->fallbacks, lane);
  const LcipLane *cpu = lcip_graph_first_cpu_lane(graph);
  return g_strdup(name ? name : cpu ? cpu->name : NULL);
}

static const char *first_actor_on(LcipGraph *graph, const char *lane) {
  const LcipMapping *mapping = lcip_graph_find_mapping(graph, NULL);
  for (guint i = 0; i < graph->actors->len; i++)
    if (g_strcmp0(lcip_graph_lane_of(graph, mapping, (int)i), lane) == 0)
      return lcip_graph_actor(graph, (int)i)->id;
  return NULL;
}

/* ---- problems ---- */

static char *offline_words(const LcipLaneLink *link) {
  const char *reason = link->status.reason ? link->status.reason : "no answer yet";
  return g_strdup_printf("Lane %s is offline: %s. Lane %s computes its actors until it is back.",
                         link->lane, reason, link->fallback ? link->fallback : "CPU");
}

void lcip_session_add_link_problems(LcipSession *self, GPtrArray *problems) {
  LcipGraph *graph = lcip_session_get_graph(self);
  for (guint i = 0; graph && i < self->links->len; i++) {
    const LcipLaneLink *link = self->links->pdata[i];
    if (link->online)
      continue;
    g_autofree char *words = offline_words(link);
    lcip_problems_add(problems, LCIP_PROBLEM_WARNING, first_actor_on(graph, link->lane), "%s",
                      words);
  }
}

/* ---- following the run ---- */

static void tell_change(LcipSession *self, const LcipLaneLink *link, gboolean was_online) {
  if (link->online == was_online)
    return;
  g_autofree char *words =
      link->online ? g_strdup_printf("Lane %s is back", link->lane) : offline_words(link);
  lcip_session_emit_message(self, words);
}

static LcipLaneLink *take_link(LcipSession *self, const char *lane) {
  LcipLaneLink *link = find_link(self, lane);
  if (link)
    return link;
  link = g_new0(LcipLaneLink, 1);
  link->lane = g_strdup(lane);
  link->fallback = fallback_of(lcip_session_get_graph(self), lane);
  link->online = TRUE; /* until it is known: a run waits for its workers before it starts */
  g_ptr_array_add(self->links, link);
  return link;
}

/* TRUE when it got online or offline. */
static gboolean update_link(LcipSession *self, const char *lane, guint index) {
  LcipLinkStatus status = {0};
  if (!lcip_run_lane_status(self->run, index, &status))
    return FALSE;
  LcipLaneLink *link = take_link(self, lane);
  const gboolean was_online = link->online;
  lcip_link_status_clear(&link->status);
  link->status = status;
  link->online = status.state == LCIP_LINK_READY;
  tell_change(self, link, was_online);
  return link->online != was_online;
}

void lcip_session_update_links(LcipSession *self) {
  g_autoptr(LcipPlan) plan = self->run ? lcip_run_plan(self->run) : NULL;
  gboolean changed = FALSE;
  for (guint i = 0; plan && i < lcip_plan_n_lanes(plan); i++) {
    const LcipPlanLane *lane = lcip_plan_lane(plan, i);
    if (lane->kind == LCIP_LANE_REMOTE)
      changed |= update_link(self, lane->name, i);
  }
  if (!changed)
    return;
  lcip_session_rebuild_problems(self);
  lcip_session_emit(self, SESSION_LINKS_CHANGED);
}

void lcip_session_forget_links(LcipSession *self) {
  if (self->links->len == 0)
    return;
  g_ptr_array_set_size(self->links, 0);
  lcip_session_rebuild_problems(self);
  lcip_session_emit(self, SESSION_LINKS_CHANGED);
}
