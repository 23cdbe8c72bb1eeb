#include "config.h"

#include "lcip-canvas-private.h"

#include "lcip-critical.h"

#include <math.h>

/* What the number on an actor or bracket is: time, share, difference, memory or kernel; and which
 * actors are on the critical path. */

/* ---- numbers ---- */

static const char *anchor_of(LcipCanvas *self, const LcipPlanStep *step) {
  return step->n_actors > 0 ? lcip_graph_actor(lcip_plan_graph(self->plan), step->actors[0])->id
                            : NULL;
}

static double step_ms(const LcipProfile *profile, guint step) {
  return profile && profile->steps[step].n > 0 ? profile->steps[step].median_ms : NAN;
}

static double difference(LcipCanvas *self, const LcipProfile *profile, guint index) {
  const char *id = anchor_of(self, lcip_plan_step(self->plan, index));
  const double *before = id ? g_hash_table_lookup(self->baseline, id) : NULL;
  return before ? step_ms(profile, index) - *before : NAN;
}

static double value_of(LcipCanvas *self, const LcipProfile *profile, guint index) {
  const LcipPlanStep *step = lcip_plan_step(self->plan, index);
  gsize bytes = 0;
  switch (self->figures) {
  case LCIP_FIGURES_DIFFERENCE:
    return difference(self, profile, index);
  case LCIP_FIGURES_MEMORY:
    return step->output.type != LCIP_TYPE_NONE && lcip_tensor_spec_bytes(&step->output, &bytes)
               ? (double)bytes
               : NAN;
  default:
    return step_ms(profile, index);
  }
}

/* What a worker did last stays while it is lost: what is measured then is its fallback's. */
static gboolean keeps_last(LcipCanvas *self, guint step) {
  const int lane = lcip_plan_step(self->plan, step)->lane;
  const char *name = lane >= 0 ? lcip_plan_lane(self->plan, (guint)lane)->name : NULL;
  for (guint i = 0; name && i < self->lanes->len && i < self->graph->lanes->len; i++)
    if (g_str_equal(((const LcipLane *)self->graph->lanes->pdata[i])->name, name))
      return CANVAS_LANE(self, i)->offline;
  return FALSE;
}

void lcip_canvas_measure_figures(LcipCanvas *self, const LcipProfile *profile) {
  const guint n = lcip_plan_n_steps(self->plan);
  g_free(self->values);
  self->values = g_new(double, n + 1);
  self->largest = 0;
  self->total = 0;
  for (guint i = 0; i < n; i++) {
    self->values[i] = lcip_plan_step(self->plan, i)->is_io ? NAN
                      : keeps_last(self, i) && self->figures != LCIP_FIGURES_MEMORY
                          ? (self->last_ms ? self->last_ms[i] : NAN)
                          : value_of(self, profile, i);
    if (isnan(self->values[i]))
      continue;
    self->largest = MAX(self->largest, fabs(self->values[i]));
    self->total += self->values[i];
  }
}

double lcip_canvas_figure_fraction(LcipCanvas *self, guint step) {
  const double value = self->values ? fabs(self->values[step]) : NAN;
  return isnan(value) || self->largest <= 0 ? 0 : value / self->largest;
}

static char *signed_ms(double ms) {
  g_autofree char *size = lcip_format_ms(fabs(ms));
  return g_strdup_printf("%s%s", ms < 0 ? "−" : "+", size);
}

char *lcip_canvas_figure_text(LcipCanvas *self, guint index) {
  const LcipPlanStep *step = lcip_plan_step(self->plan, index);
  const double value = self->values ? self->values[index] : NAN;
  if (self->figures == LCIP_FIGURES_KERNEL)
    return step->kernel ? g_strdup(step->kernel->family) : NULL;
  if (isnan(value))
    return NULL;
  switch (self->figures) {
  case LCIP_FIGURES_SHARE:
    return self->total > 0 ? g_strdup_printf("%.1f %%", 100 * value / self->total) : NULL;
  case LCIP_FIGURES_DIFFERENCE:
    return signed_ms(value);
  case LCIP_FIGURES_MEMORY:
    return g_format_size_full((guint64)value, G_FORMAT_SIZE_IEC_UNITS);
  default:
    break;
  }
  g_autofree char *ms = lcip_format_ms(value);
  return keeps_last(self, index) ? g_strdup_printf("last %s", ms) : g_steal_pointer(&ms);
}

/* The times of now are what later ones are compared with. */
static void keep_baseline(LcipCanvas *self) {
  g_hash_table_remove_all(self->baseline);
  for (guint i = 0; self->plan && self->last_ms && i < lcip_plan_n_steps(self->plan); i++) {
    const char *id = anchor_of(self, lcip_plan_step(self->plan, i));
    if (id && !isnan(self->last_ms[i]))
      g_hash_table_insert(self->baseline, g_strdup(id),
                          g_memdup2(&self->last_ms[i], sizeof(double)));
  }
}

void lcip_canvas_set_figures(LcipCanvas *self, LcipFigures figures) {
  self->figures = figures;
  if (figures == LCIP_FIGURES_DIFFERENCE)
    keep_baseline(self);
  lcip_canvas_update_steps(self);
}

LcipFigures lcip_canvas_get_figures(LcipCanvas *self) {
  return self->figures;
}

/* ---- critical path ---- */

void lcip_canvas_keep_times(LcipCanvas *self, const LcipProfile *profile) {
  const guint n = lcip_plan_n_steps(self->plan);
  const gboolean first = !self->last_ms;
  if (first)
    self->last_ms = g_new(double, n + 1);
  for (guint i = 0; i < n; i++) {
    const double ms = keeps_last(self, i) ? NAN : step_ms(profile, i);
    if (first || !isnan(ms))
      self->last_ms[i] = ms;
  }
}

static void mark_step(LcipCanvas *self, const LcipPlanStep *step, double place) {
  LcipGraph *graph = lcip_plan_graph(self->plan);
  for (guint i = 0; i < step->n_actors; i++) {
    const int actor =
        lcip_graph_find_actor(self->graph, lcip_graph_actor(graph, step->actors[i])->id);
    if (actor >= 0)
      self->critical[actor] = place;
  }
}

/* An actor without a step, a view, is on the path when it stands between two that are. */
static void mark_views(LcipCanvas *self) {
  const GArray *edges = self->graph->edges;
  for (guint i = 0; i < edges->len; i++) {
    const LcipEdge *in = &g_array_index(edges, LcipEdge, i);
    if (in->src_actor < 0 || in->dst_actor < 0 || self->critical[in->src_actor] <= 0 ||
        self->step_of[in->dst_actor] >= 0)
      continue;
    for (guint j = 0; j < edges->len; j++) {
      const LcipEdge *out = &g_array_index(edges, LcipEdge, j);
      if (out->src_actor == in->dst_actor && out->dst_actor >= 0 &&
          self->critical[out->dst_actor] == self->critical[in->src_actor] + 1)
        self->critical[in->dst_actor] = self->critical[in->src_actor] + 0.5;
    }
  }
}

void lcip_canvas_update_critical(LcipCanvas *self) {
  g_clear_pointer(&self->critical, g_free);
  if (!self->show_critical || !self->plan || !self->graph || !self->last_ms)
    return;
  g_autofree double *ms = g_new0(double, lcip_plan_n_steps(self->plan) + 1);
  for (guint i = 0; i < lcip_plan_n_steps(self->plan); i++)
    ms[i] = isnan(self->last_ms[i]) ? 0 : self->last_ms[i];
  g_autoptr(GArray) path = lcip_critical_path(self->plan, ms, NULL);
  self->critical = g_new0(double, self->actors->len + 1);
  double place = 0;
  for (guint i = 0; i < path->len; i++) {
    const LcipPlanStep *step = lcip_plan_step(self->plan, g_array_index(path, guint, i));
    place += step->n_actors > 0; /* copies and reorders belong to no actor */
    mark_step(self, step, place);
  }
  mark_views(self);
}

/* Both ends on the path are not enough: an edge that skips a part of it is not on it. */
gboolean lcip_canvas_edge_is_critical(LcipCanvas *self, const LcipEdge *edge) {
  if (!self->critical || edge->src_actor < 0 || edge->dst_actor < 0)
    return FALSE;
  const double from = self->critical[edge->src_actor], to = self->critical[edge->dst_actor];
  return from > 0 && to >= from && to <= from + 1;
}

void lcip_canvas_set_critical_path(LcipCanvas *self, gboolean show) {
  self->show_critical = show;
  lcip_canvas_update_critical(self);
  gtk_widget_queue_draw(GTK_WIDGET(self));
}

gboolean lcip_canvas_is_critical(LcipCanvas *self, const char *id) {
  const int actor = self->graph ? lcip_graph_find_actor(self->graph, id) : -1;
  return self->critical && actor >= 0 && self->critical[actor] > 0;
}
