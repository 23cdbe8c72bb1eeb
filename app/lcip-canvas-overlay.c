#include "config.h"

#include "lcip-canvas-private.h"

#include <math.h>

/* What plan and profile add to the document's actors: shapes, times, brackets of fused steps, and
 * the figures of lanes. Actors are matched by id, because the plan's graph may be older. */

/* ---- brackets ---- */

static void clear_bracket(CanvasBracket *bracket) {
  g_array_unref(bracket->members);
  g_free(bracket->text);
  g_clear_object(&bracket->layout);
}

void lcip_canvas_clear_brackets(LcipCanvas *self) {
  for (guint i = 0; i < self->brackets->len; i++)
    clear_bracket(CANVAS_BRACKET(self, i));
  g_array_set_size(self->brackets, 0);
}

static void bracket_include(CanvasBracket *bracket, const LcipLayoutBox *box, int actor) {
  gboolean first = bracket->members->len == 0;
  double top = box->y - LCIP_LAYOUT_BRACKET_HEIGHT;
  bracket->left = first ? box->x : MIN(bracket->left, box->x);
  bracket->right = first ? box->x + box->width : MAX(bracket->right, box->x + box->width);
  bracket->y = first ? top : MIN(bracket->y, top);
  bracket->lane = box->lane;
  g_array_append_val(bracket->members, actor);
}

/* A bracket makes sense while all members are still there and on the plan's lane. */
static void add_bracket(LcipCanvas *self, guint step_index, const LcipPlanStep *step) {
  LcipGraph *graph = lcip_plan_graph(self->plan);
  const char *lane = lcip_plan_lane(self->plan, step->lane)->name;
  CanvasBracket bracket = {.step = step_index, .members = g_array_new(FALSE, FALSE, sizeof(int))};
  for (guint i = 0; i < step->n_actors; i++) {
    const char *id = lcip_graph_actor(graph, step->actors[i])->id;
    int actor = lcip_graph_find_actor(self->graph, id);
    const LcipLayoutBox *box = actor >= 0 ? &self->layout->actors[actor] : NULL;
    LcipLane *on = box && box->lane < (int)self->graph->lanes->len
                       ? self->graph->lanes->pdata[box->lane]
                       : NULL;
    if (!on || !g_str_equal(on->name, lane)) {
      g_array_unref(bracket.members);
      return;
    }
    bracket_include(&bracket, box, actor);
  }
  g_array_append_val(self->brackets, bracket);
}

/* ---- actors ---- */

static void show_shape(LcipCanvas *self, guint actor, const LcipPlanActor *planned) {
  LcipTensorSpec spec = {0};
  if (planned && planned->n_outputs > 0)
    spec = planned->outputs[0];
  else if (self->spec_func)
    spec = self->spec_func(self->spec_data, lcip_graph_actor(self->graph, actor)->id, 0);
  g_autofree char *text = spec.type != LCIP_TYPE_NONE ? lcip_format_shape(&spec.shape) : NULL;
  lcip_actor_widget_set_shape(lcip_canvas_actor(self, actor), text);
}

void lcip_canvas_set_spec_func(LcipCanvas *self, LcipSpecFunc func, gpointer data) {
  self->spec_func = func;
  self->spec_data = data;
}

static LcipActorTimeKind time_kind(const LcipPlanActor *planned, const LcipPlanStep *step) {
  if (planned->state == LCIP_ACTOR_FOLDED)
    return LCIP_ACTOR_TIME_FOLDED;
  if (planned->state == LCIP_ACTOR_DEAD)
    return LCIP_ACTOR_TIME_DEAD;
  if (!step)
    return LCIP_ACTOR_TIME_NONE;
  return step->n_actors > 1 ? LCIP_ACTOR_TIME_FUSED : LCIP_ACTOR_TIME_OWN;
}

static const LcipPlanActor *planned_actor(LcipCanvas *self, guint actor) {
  if (!self->plan)
    return NULL;
  LcipGraph *graph = lcip_plan_graph(self->plan);
  int index = lcip_graph_find_actor(graph, lcip_graph_actor(self->graph, actor)->id);
  return index >= 0 ? lcip_plan_actor(self->plan, index) : NULL;
}

static void update_actor_step(LcipCanvas *self, guint actor) {
  const LcipPlanActor *planned = planned_actor(self, actor);
  self->step_of[actor] = planned ? planned->step : -1;
  show_shape(self, actor, planned);
  if (!planned) {
    lcip_actor_widget_set_time(lcip_canvas_actor(self, actor), LCIP_ACTOR_TIME_NONE, NULL, 0);
    return;
  }
  const LcipPlanStep *step = planned->step >= 0 ? lcip_plan_step(self->plan, planned->step) : NULL;
  LcipActorTimeKind kind = time_kind(planned, step);
  if (kind != LCIP_ACTOR_TIME_OWN)
    lcip_actor_widget_set_time(lcip_canvas_actor(self, actor), kind, NULL, 0);
}

static void update_lane_plan(LcipCanvas *self) {
  for (guint i = 0; i < self->lanes->len && i < self->graph->lanes->len; i++) {
    const LcipLane *lane = self->graph->lanes->pdata[i];
    const LcipPlanLane *planned = NULL;
    for (guint j = 0; self->plan && j < lcip_plan_n_lanes(self->plan); j++)
      if (g_str_equal(lcip_plan_lane(self->plan, j)->name, lane->name))
        planned = lcip_plan_lane(self->plan, j);
    const LcipDevice *device = lcip_lane_header_find_device(lane);
    CANVAS_LANE(self, i)->unbound = device == NULL;
    CANVAS_LANE(self, i)->saturated = CANVAS_LANE(self, i)->bottleneck = FALSE;
    lcip_lane_header_set_plan(self->headers->pdata[i], device, planned);
  }
}

/* ---- times ---- */

static void set_bracket_text(LcipCanvas *self, CanvasBracket *bracket) {
  const LcipPlanStep *step = lcip_plan_step(self->plan, bracket->step);
  g_autofree char *figure = lcip_canvas_figure_text(self, bracket->step);
  const char *format =
      step->output.format != LCIP_FORMAT_DENSE ? lcip_format_name(step->output.format) : NULL;
  g_autofree char *text = figure && format ? g_strdup_printf("%s · %s", figure, format)
                                           : g_strdup(figure   ? figure
                                                      : format ? format
                                                               : "one step");
  if (g_strcmp0(text, bracket->text) == 0)
    return;
  g_free(bracket->text);
  bracket->text = g_steal_pointer(&text);
  g_clear_object(&bracket->layout);
}

static void update_brackets(LcipCanvas *self) {
  for (guint i = 0; i < self->brackets->len; i++) {
    CanvasBracket *bracket = CANVAS_BRACKET(self, i);
    set_bracket_text(self, bracket);
    /* the overview shows the step once, at its first member */
    self->fractions[g_array_index(bracket->members, int, 0)] =
        lcip_canvas_figure_fraction(self, bracket->step);
  }
}

static void update_times(LcipCanvas *self) {
  for (guint i = 0; i < self->actors->len; i++) {
    int index = self->step_of[i];
    const LcipPlanStep *step = index >= 0 ? lcip_plan_step(self->plan, index) : NULL;
    if (!step || step->n_actors > 1)
      continue;
    g_autofree char *text = lcip_canvas_figure_text(self, index);
    self->fractions[i] = lcip_canvas_figure_fraction(self, index);
    lcip_actor_widget_set_time(lcip_canvas_actor(self, i), LCIP_ACTOR_TIME_OWN, text,
                               self->fractions[i]);
  }
}

static void update_figures(LcipCanvas *self, const LcipProfile *profile) {
  lcip_canvas_measure_figures(self, profile);
  update_brackets(self);
  update_times(self);
}

/* After a new graph or plan: who is in which step. */
void lcip_canvas_update_steps(LcipCanvas *self) {
  lcip_canvas_clear_brackets(self);
  g_free(self->step_of);
  g_free(self->fractions);
  g_clear_pointer(&self->edge_ms, g_free);
  self->step_of = g_new0(int, self->actors->len + 1);
  self->fractions = g_new0(double, self->actors->len + 1);
  if (!self->graph)
    return;
  for (guint i = 0; i < self->actors->len; i++)
    update_actor_step(self, i);
  for (guint i = 0; self->plan && i < lcip_plan_n_steps(self->plan); i++)
    if (lcip_plan_step(self->plan, i)->n_actors > 1)
      add_bracket(self, i, lcip_plan_step(self->plan, i));
  if (self->plan)
    update_figures(self, NULL);
  lcip_canvas_update_critical(self);
  update_lane_plan(self);
  gtk_widget_queue_draw(GTK_WIDGET(self));
}

void lcip_canvas_set_plan(LcipCanvas *self, LcipPlan *plan) {
  if (plan)
    lcip_plan_ref(plan);
  if (self->plan != plan)
    g_clear_pointer(&self->last_ms, g_free);
  g_clear_pointer(&self->plan, lcip_plan_unref);
  self->plan = plan;
  lcip_canvas_update_steps(self);
  gtk_widget_queue_allocate(GTK_WIDGET(self));
}

/* ---- edges and lanes ---- */

static double median_of(const LcipTimes *times) {
  return times->n > 0 ? times->median_ms : NAN;
}

/* To a worker and back: a step's tensors go together, so each edge shows the time of all. */
static double network_ms(LcipCanvas *self, const LcipProfile *profile, guint index) {
  const LcipEdge *edge = &g_array_index(self->graph->edges, LcipEdge, index);
  const int src = edge->src_actor >= 0 ? self->step_of[edge->src_actor] : -1;
  const int dst = edge->dst_actor >= 0 ? self->step_of[edge->dst_actor] : -1;
  if (dst >= 0 && profile->remotes[dst].send.n > 0)
    return median_of(&profile->remotes[dst].send);
  return src >= 0 ? median_of(&profile->remotes[src].reply) : NAN;
}

/* The time that carrying an edge takes is that of copies and reorders on its way; between lanes
 * that share memory there are none. */
static double carry_ms(LcipCanvas *self, const LcipProfile *profile, guint edge) {
  int steps[4];
  const double network = network_ms(self, profile, edge);
  if (!isnan(network))
    return network;
  const guint n = lcip_plan_edge_carriers(self->plan, edge, steps);
  double ms = 0;
  for (guint i = 0; i < n; i++)
    ms += profile->steps[steps[i]].n > 0 ? profile->steps[steps[i]].median_ms : NAN;
  return n > 0 ? ms : NAN;
}

/* An edge's index means the same only in the plan of this very graph. */
static void update_edges(LcipCanvas *self, const LcipProfile *profile) {
  g_clear_pointer(&self->edge_ms, g_free);
  if (!profile || lcip_plan_graph(self->plan) != self->graph)
    return;
  self->edge_ms = g_new(double, self->graph->edges->len + 1);
  for (guint i = 0; i < self->graph->edges->len; i++)
    self->edge_ms[i] = lcip_plan_edge_bytes(self->plan, i) > 0 ? carry_ms(self, profile, i) : NAN;
}

void lcip_canvas_set_link(LcipCanvas *self, const char *name, const LcipLaneLink *link) {
  for (guint i = 0; self->graph && i < self->lanes->len && i < self->graph->lanes->len; i++) {
    const LcipLane *lane = self->graph->lanes->pdata[i];
    if (!g_str_equal(lane->name, name))
      continue;
    CANVAS_LANE(self, i)->offline = link && !link->online;
    lcip_lane_header_set_link(self->headers->pdata[i], link);
    gtk_widget_queue_draw(GTK_WIDGET(self));
  }
}

/* With one lane in use there is nothing to choose from. */
static gboolean is_bottleneck(const LcipProfile *profile, const char *lane) {
  guint used = 0;
  for (guint i = 0; i < lcip_plan_n_lanes(profile->plan); i++)
    used += lcip_plan_lane(profile->plan, i)->n_steps > 0;
  return used > 1 && profile->bottleneck_lane >= 0 &&
         g_str_equal(lcip_plan_lane(profile->plan, (guint)profile->bottleneck_lane)->name, lane);
}

/* Reorders and copies belong to no actor: the lane's header names them. */
static void update_lane_profile(LcipCanvas *self, const LcipProfile *profile) {
  for (guint i = 0; i < self->lanes->len && i < self->graph->lanes->len; i++) {
    const LcipLane *lane = self->graph->lanes->pdata[i];
    const LcipLaneProfile *figures = NULL;
    LcipLaneExtra extra = {0};
    for (guint j = 0; profile && j < lcip_plan_n_lanes(profile->plan); j++) {
      if (!g_str_equal(lcip_plan_lane(profile->plan, j)->name, lane->name))
        continue;
      figures = &profile->lanes[j];
      for (guint k = 0; k < lcip_plan_n_steps(profile->plan); k++) {
        const LcipPlanStep *step = lcip_plan_step(profile->plan, k);
        if (step->lane != (int)j || step->n_actors > 0 || step->is_io)
          continue;
        double ms = profile->steps[k].n ? profile->steps[k].median_ms : 0;
        *(step->kernel ? &extra.n_reorders : &extra.n_copies) += 1;
        *(step->kernel ? &extra.reorder_ms : &extra.copy_ms) += ms;
      }
    }
    CANVAS_LANE(self, i)->saturated = figures && figures->utilisation > 0.95;
    CANVAS_LANE(self, i)->bottleneck = extra.bottleneck =
        figures && is_bottleneck(profile, lane->name);
    lcip_lane_header_set_profile(self->headers->pdata[i], figures, &extra);
  }
}

void lcip_canvas_set_profile(LcipCanvas *self, const LcipProfile *profile) {
  if (!self->graph || !self->plan)
    return;
  if (profile && profile->plan != self->plan)
    return; /* of the plan before, while a new one takes over */
  update_figures(self, profile);
  if (profile)
    lcip_canvas_keep_times(self, profile);
  lcip_canvas_update_critical(self);
  update_edges(self, profile);
  update_lane_profile(self, profile);
  gtk_widget_queue_draw(GTK_WIDGET(self));
}

double lcip_canvas_get_actor_fraction(LcipCanvas *self, guint actor) {
  return self->fractions && actor < self->actors->len ? self->fractions[actor] : 0;
}
