#include "config.h"

#include "lcip-canvas-private.h"

#include <math.h>

/* Arrows follow edges, or go to the neighbour above or below; Shift extends the selection. */

static int cursor_index(LcipCanvas *self) {
  return self->cursor ? GPOINTER_TO_INT(g_hash_table_lookup(self->by_id, self->cursor)) - 1 : -1;
}

/* Of the actors that edges lead to (@out) or come from: the one on the closest height. */
static int follow_edge(LcipCanvas *self, int from, gboolean out) {
  const LcipLayoutBox *here = &self->layout->actors[from];
  double closest = G_MAXDOUBLE;
  int found = -1;
  for (guint i = 0; i < self->graph->edges->len; i++) {
    const LcipEdge *edge = &g_array_index(self->graph->edges, LcipEdge, i);
    int other = out ? edge->dst_actor : edge->src_actor;
    if ((out ? edge->src_actor : edge->dst_actor) != from || other == LCIP_NO_ACTOR)
      continue;
    const LcipLayoutBox *box = &self->layout->actors[other];
    double distance = fabs(box->y - here->y) + 1e6 * abs(box->lane - here->lane);
    if (distance < closest) {
      closest = distance;
      found = other;
    }
  }
  return found;
}

static double height_of(LcipCanvas *self, int actor) {
  const LcipLayoutBox *box = &self->layout->actors[actor];
  return CANVAS_LANE(self, box->lane)->content + box->y;
}

/* The next actor above or below: in the same layer, lanes count. */
static int neighbour(LcipCanvas *self, int from, gboolean below) {
  double here = height_of(self, from), closest = G_MAXDOUBLE;
  int found = -1;
  for (int i = 0; i < (int)self->actors->len; i++) {
    double distance = (height_of(self, i) - here) * (below ? 1 : -1);
    if (i == from || distance <= 0 || distance >= closest ||
        self->layout->actors[i].layer != self->layout->actors[from].layer)
      continue;
    closest = distance;
    found = i;
  }
  return found;
}

static void go_to(LcipCanvas *self, int actor, gboolean extend) {
  if (actor < 0)
    return;
  if (!extend)
    lcip_canvas_clear_selection(self);
  lcip_actor_widget_set_selected(lcip_canvas_actor(self, actor), TRUE);
  lcip_canvas_focus_actor(self, actor);
  lcip_canvas_selection_changed(self);
}

static int extreme(LcipCanvas *self, gboolean last) {
  int found = -1;
  for (int i = 0; i < (int)self->actors->len; i++)
    if (found < 0 || (last ? self->layout->actors[i].layer > self->layout->actors[found].layer
                           : self->layout->actors[i].layer < self->layout->actors[found].layer))
      found = i;
  return found;
}

static int arrow_target(LcipCanvas *self, guint key) {
  int from = cursor_index(self);
  if (key == GDK_KEY_Home || key == GDK_KEY_End)
    return extreme(self, key == GDK_KEY_End);
  if (from < 0)
    return extreme(self, FALSE);
  switch (key) {
  case GDK_KEY_Right:
  case GDK_KEY_KP_Right:
    return follow_edge(self, from, TRUE);
  case GDK_KEY_Left:
  case GDK_KEY_KP_Left:
    return follow_edge(self, from, FALSE);
  case GDK_KEY_Up:
  case GDK_KEY_KP_Up:
    return neighbour(self, from, FALSE);
  default:
    return neighbour(self, from, TRUE);
  }
}

static gboolean is_arrow(guint key) {
  return key == GDK_KEY_Right || key == GDK_KEY_Left || key == GDK_KEY_Up || key == GDK_KEY_Down ||
         key == GDK_KEY_KP_Right || key == GDK_KEY_KP_Left || key == GDK_KEY_KP_Up ||
         key == GDK_KEY_KP_Down || key == GDK_KEY_Home || key == GDK_KEY_End;
}

static gboolean escape(LcipCanvas *self) {
  if (self->drag.mode != CANVAS_DRAG_NONE && self->drag.mode != CANVAS_DRAG_PENDING) {
    lcip_canvas_drag_cancel(self);
    gtk_event_controller_reset(GTK_EVENT_CONTROLLER(self->drag_gesture));
    return TRUE;
  }
  lcip_canvas_clear_selection(self);
  lcip_canvas_selection_changed(self);
  return TRUE;
}

static gboolean toggle_cursor(LcipCanvas *self) {
  int actor = cursor_index(self);
  if (actor < 0)
    return FALSE;
  LcipActorWidget *widget = lcip_canvas_actor(self, actor);
  lcip_actor_widget_set_selected(widget, !lcip_actor_widget_get_selected(widget));
  lcip_canvas_selection_changed(self);
  return TRUE;
}

static gboolean is_key(guint key, guint up, guint keypad) {
  return key == up || key == keypad;
}

static gboolean key_pressed(GtkEventControllerKey *controller, guint key, guint code,
                            GdkModifierType state, LcipCanvas *self) {
  GtkWidget *focus = gtk_root_get_focus(gtk_widget_get_root(GTK_WIDGET(self)));
  if (!self->graph || (focus != GTK_WIDGET(self) && !LCIP_IS_ACTOR_WIDGET(focus)))
    return FALSE;
  state &= GDK_SHIFT_MASK | GDK_CONTROL_MASK | GDK_ALT_MASK;
  if (key == GDK_KEY_Escape)
    return escape(self);
  if (state == GDK_ALT_MASK &&
      (is_key(key, GDK_KEY_Up, GDK_KEY_KP_Up) || is_key(key, GDK_KEY_Down, GDK_KEY_KP_Down))) {
    lcip_canvas_move_selection(self, is_key(key, GDK_KEY_Up, GDK_KEY_KP_Up) ? -1 : 1);
    return TRUE;
  }
  if (is_arrow(key) && (state & (GDK_CONTROL_MASK | GDK_ALT_MASK)) == 0) {
    go_to(self, arrow_target(self, key), (state & GDK_SHIFT_MASK) != 0);
    return TRUE;
  }
  if (state == 0 && key == GDK_KEY_space) {
    self->space_held = TRUE;
    return TRUE;
  }
  if (state == GDK_CONTROL_MASK && key == GDK_KEY_space)
    return toggle_cursor(self);
  if (state == 0 && key == GDK_KEY_f) {
    lcip_canvas_fit(self);
    return TRUE;
  }
  return FALSE;
}

static void key_released(GtkEventControllerKey *controller, guint key, guint code,
                         GdkModifierType state, LcipCanvas *self) {
  if (key == GDK_KEY_space)
    self->space_held = FALSE;
}

static void focus_left(GtkEventControllerFocus *controller, LcipCanvas *self) {
  self->space_held = FALSE;
}

void lcip_canvas_add_keys(LcipCanvas *self) {
  GtkEventController *keys = gtk_event_controller_key_new();
  g_signal_connect(keys, "key-pressed", G_CALLBACK(key_pressed), self);
  g_signal_connect(keys, "key-released", G_CALLBACK(key_released), self);
  gtk_widget_add_controller(GTK_WIDGET(self), keys);
  GtkEventController *focus = gtk_event_controller_focus_new();
  g_signal_connect(focus, "leave", G_CALLBACK(focus_left), self);
  gtk_widget_add_controller(GTK_WIDGET(self), focus);
}
