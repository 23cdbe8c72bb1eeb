#include "config.h"

#include "lcip-canvas-private.h"

/* Dragging actors: who comes along, which lanes would take them, what a drop asks for. */

static gboolean contains(const GArray *actors, int actor) {
  for (guint i = 0; i < actors->len; i++)
    if (g_array_index(actors, int, i) == actor)
      return TRUE;
  return FALSE;
}

/* The only edge that leaves (@out) or enters an actor, or NULL when there are several or none. */
static const LcipEdge *only_edge(const LcipGraph *graph, int actor, gboolean out) {
  const LcipEdge *found = NULL;
  for (guint i = 0; i < graph->edges->len; i++) {
    const LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, i);
    if ((out ? edge->src_actor : edge->dst_actor) != actor)
      continue;
    if (found)
      return NULL;
    found = edge;
  }
  return found;
}

/* The chain of actors through @actor on its lane, each the only producer or consumer of the next.
 */
static void add_run(LcipCanvas *self, GArray *actors, int actor, gboolean out) {
  for (;;) {
    const LcipEdge *edge = only_edge(self->graph, actor, out);
    int next = edge ? (out ? edge->dst_actor : edge->src_actor) : LCIP_NO_ACTOR;
    if (next == LCIP_NO_ACTOR || contains(actors, next) ||
        self->layout->actors[next].lane != self->layout->actors[actor].lane)
      return;
    if (!only_edge(self->graph, next, !out))
      return;
    g_array_append_val(actors, next);
    actor = next;
  }
}

static void collect_actors(LcipCanvas *self, gboolean whole_run) {
  GArray *actors = self->drag.actors;
  g_array_set_size(actors, 0);
  if (self->drag.bracket >= 0) {
    const GArray *members = CANVAS_BRACKET(self, self->drag.bracket)->members;
    g_array_append_vals(actors, members->data, members->len);
    return;
  }
  int pressed = self->drag.pressed;
  g_array_append_val(actors, pressed);
  for (int i = 0; i < (int)self->actors->len; i++)
    if (i != pressed && lcip_actor_widget_get_selected(lcip_canvas_actor(self, i)))
      g_array_append_val(actors, i);
  if (!whole_run)
    return;
  add_run(self, actors, pressed, TRUE);
  add_run(self, actors, pressed, FALSE);
}

void lcip_canvas_drag_start(LcipCanvas *self, gboolean whole_run) {
  guint n_lanes = self->graph->lanes->len;
  collect_actors(self, whole_run);
  g_ptr_array_set_size(self->drag.refusals, 0);
  for (guint i = 0; i < n_lanes; i++)
    g_ptr_array_add(self->drag.refusals, lcip_canvas_refusal(self, self->drag.actors, i));
  self->drag.mode = CANVAS_DRAG_ACTORS;
  self->drag.hovered = -1;
  gtk_widget_set_cursor_from_name(GTK_WIDGET(self), "grabbing");
  lcip_canvas_drag_move(self);
}

/* Close to the left or right border the canvas scrolls along. */
static void scroll_at_border(LcipCanvas *self) {
  GtkAdjustment *adjustment = self->adjustments[GTK_ORIENTATION_HORIZONTAL];
  int width = gtk_widget_get_width(GTK_WIDGET(self));
  double by = self->drag.x > width - 24                      ? 24
              : self->drag.x < LCIP_CANVAS_HEADER_WIDTH + 24 ? -24
                                                             : 0;
  if (!adjustment || by == 0)
    return;
  double before = gtk_adjustment_get_value(adjustment);
  gtk_adjustment_set_value(adjustment, before + by);
  /* the ghost stays under the pointer while the net moves below it */
  self->drag.start_x -= gtk_adjustment_get_value(adjustment) - before;
}

static int home_lane(LcipCanvas *self) {
  return self->layout->actors[g_array_index(self->drag.actors, int, 0)].lane;
}

/* Tells once for each lane that would take what is dragged. */
static void tell_hover(LcipCanvas *self) {
  int lane = self->drag.lane;
  if (lane >= 0 && (lane == home_lane(self) || self->drag.refusals->pdata[lane]))
    lane = -1;
  if (lane == self->drag.hovered)
    return;
  self->drag.hovered = lane;
  lcip_canvas_emit_hover(self, self->drag.actors, lane);
}

void lcip_canvas_set_forecast(LcipCanvas *self, const char *lane, const char *text) {
  g_free(self->drag.forecast);
  g_free(self->drag.forecast_lane);
  self->drag.forecast = g_strdup(text);
  self->drag.forecast_lane = g_strdup(lane);
  if (self->drag.mode == CANVAS_DRAG_ACTORS)
    gtk_widget_queue_draw(GTK_WIDGET(self));
}

void lcip_canvas_drag_move(LcipCanvas *self) {
  scroll_at_border(self);
  self->drag.lane = lcip_canvas_lane_at(self, self->drag.y);
  tell_hover(self);
  gtk_widget_queue_draw(GTK_WIDGET(self));
}

void lcip_canvas_drag_cancel(LcipCanvas *self) {
  if (self->drag.mode == CANVAS_DRAG_NONE)
    return;
  if (self->drag.mode == CANVAS_DRAG_ACTORS && self->drag.hovered >= 0)
    lcip_canvas_emit_hover(self, self->drag.actors, -1);
  self->drag.mode = CANVAS_DRAG_NONE;
  gtk_widget_set_cursor(GTK_WIDGET(self), NULL);
  gtk_widget_queue_draw(GTK_WIDGET(self));
}

void lcip_canvas_drag_drop(LcipCanvas *self) {
  int lane = self->drag.lane, home = home_lane(self);
  double dx = (self->drag.x - self->drag.start_x) / self->zoom;
  double dy = (self->drag.y - self->drag.start_y) / self->zoom;
  g_autoptr(GArray) actors = g_array_copy(self->drag.actors);
  g_autofree char *refusal = lane >= 0 ? g_strdup(self->drag.refusals->pdata[lane]) : NULL;
  lcip_canvas_drag_cancel(self);
  if (lane < 0)
    return;
  if (refusal)
    lcip_canvas_emit_refused(self, refusal);
  else if (lane != home)
    lcip_canvas_emit_move(self, actors, lane);
  else
    lcip_canvas_emit_place(self, actors, dx, dy);
}
