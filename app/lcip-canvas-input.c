#include "config.h"

#include "lcip-canvas-private.h"

#include <math.h>

/* Pointer: drag an actor to move it, empty canvas to select, middle button or Space to pan; Ctrl
 * and wheel or two fingers zoom. */

#define DRAG_THRESHOLD 6.0
#define WHEEL_ZOOM 1.15
#define WHEEL_PIXELS 96.0

/* ---- selecting ---- */

static void select_only(LcipCanvas *self, const GArray *actors) {
  lcip_canvas_clear_selection(self);
  for (guint i = 0; i < actors->len; i++)
    lcip_actor_widget_set_selected(lcip_canvas_actor(self, g_array_index(actors, int, i)), TRUE);
  lcip_canvas_selection_changed(self);
}

static void press_actor(LcipCanvas *self, int actor) {
  LcipActorWidget *widget = lcip_canvas_actor(self, actor);
  gboolean selected = lcip_actor_widget_get_selected(widget);
  /* no scrolling: what was pressed stays under the pointer */
  g_free(self->cursor);
  self->cursor = g_strdup(lcip_actor_widget_get_id(widget));
  gtk_widget_grab_focus(GTK_WIDGET(widget));
  if (self->drag.extend) {
    lcip_actor_widget_set_selected(widget, !selected);
    lcip_canvas_selection_changed(self);
    return;
  }
  /* a press on a selected actor may begin a drag of all: choose when the button is released */
  self->drag.select_on_release = selected;
  if (selected)
    return;
  lcip_canvas_clear_selection(self);
  lcip_actor_widget_set_selected(widget, TRUE);
  lcip_canvas_selection_changed(self);
}

static void press_canvas(LcipCanvas *self) {
  gtk_widget_grab_focus(GTK_WIDGET(self));
  if (self->drag.extend)
    return;
  lcip_canvas_clear_selection(self);
  lcip_canvas_selection_changed(self);
}

static void update_rubber_band(LcipCanvas *self) {
  graphene_rect_t band = GRAPHENE_RECT_INIT(
      MIN(self->drag.x, self->drag.start_x), MIN(self->drag.y, self->drag.start_y),
      fabs(self->drag.x - self->drag.start_x), fabs(self->drag.y - self->drag.start_y));
  for (guint i = 0; i < self->actors->len; i++) {
    graphene_rect_t rect = lcip_canvas_box_rect(self, &self->layout->actors[i]);
    gboolean inside = graphene_rect_intersection(&rect, &band, NULL);
    if (inside || !self->drag.extend)
      lcip_actor_widget_set_selected(lcip_canvas_actor(self, i), inside);
  }
  gtk_widget_queue_draw(GTK_WIDGET(self));
}

/* ---- the drag gesture ---- */

static GdkModifierType modifiers_of(GtkGesture *gesture) {
  return gtk_event_controller_get_current_event_state(GTK_EVENT_CONTROLLER(gesture));
}

static void start_pan(LcipCanvas *self) {
  self->drag.mode = CANVAS_DRAG_PAN;
  for (int i = 0; i < 2; i++) {
    double value = self->adjustments[i] ? gtk_adjustment_get_value(self->adjustments[i]) : 0;
    *(i ? &self->drag.start_v : &self->drag.start_h) = value;
  }
  gtk_widget_set_cursor_from_name(GTK_WIDGET(self), "grabbing");
}

static void drag_begin(GtkGestureDrag *gesture, double x, double y, LcipCanvas *self) {
  guint button = gtk_gesture_single_get_current_button(GTK_GESTURE_SINGLE(gesture));
  if (!self->layout || x < LCIP_CANVAS_HEADER_WIDTH || button == GDK_BUTTON_SECONDARY) {
    gtk_gesture_set_state(GTK_GESTURE(gesture), GTK_EVENT_SEQUENCE_DENIED);
    return;
  }
  CanvasDrag *drag = &self->drag;
  drag->mode = CANVAS_DRAG_PENDING;
  drag->press_x = drag->start_x = drag->x = x;
  drag->press_y = drag->start_y = drag->y = y;
  drag->select_on_release = FALSE;
  drag->extend = (modifiers_of(GTK_GESTURE(gesture)) & (GDK_SHIFT_MASK | GDK_CONTROL_MASK)) != 0;
  drag->pressed = lcip_canvas_actor_at(self, x, y);
  drag->bracket = drag->pressed < 0 ? lcip_canvas_bracket_at(self, x, y) : -1;
  if (button == GDK_BUTTON_MIDDLE || self->space_held)
    start_pan(self);
  else if (drag->pressed >= 0)
    press_actor(self, drag->pressed);
  else if (drag->bracket >= 0)
    select_only(self, CANVAS_BRACKET(self, drag->bracket)->members);
  else
    press_canvas(self);
}

static void pan_to(LcipCanvas *self, double dx, double dy) {
  if (self->adjustments[0])
    gtk_adjustment_set_value(self->adjustments[0], self->drag.start_h - dx);
  if (self->adjustments[1])
    gtk_adjustment_set_value(self->adjustments[1], self->drag.start_v - dy);
}

static void leave_pending(LcipCanvas *self, GtkGesture *gesture, double dx, double dy) {
  if (hypot(dx, dy) < DRAG_THRESHOLD)
    return;
  gtk_gesture_set_state(gesture, GTK_EVENT_SEQUENCE_CLAIMED);
  if (self->drag.pressed >= 0 || self->drag.bracket >= 0)
    lcip_canvas_drag_start(self, (modifiers_of(gesture) & GDK_ALT_MASK) != 0);
  else
    self->drag.mode = CANVAS_DRAG_SELECT;
}

static void drag_update(GtkGestureDrag *gesture, double dx, double dy, LcipCanvas *self) {
  self->drag.x = self->drag.press_x + dx;
  self->drag.y = self->drag.press_y + dy;
  if (self->drag.mode == CANVAS_DRAG_PENDING)
    leave_pending(self, GTK_GESTURE(gesture), dx, dy);
  if (self->drag.mode == CANVAS_DRAG_ACTORS)
    lcip_canvas_drag_move(self);
  else if (self->drag.mode == CANVAS_DRAG_SELECT)
    update_rubber_band(self);
  else if (self->drag.mode == CANVAS_DRAG_PAN)
    pan_to(self, dx, dy);
}

static void drag_end(GtkGestureDrag *gesture, double dx, double dy, LcipCanvas *self) {
  CanvasDragMode mode = self->drag.mode;
  if (mode == CANVAS_DRAG_ACTORS) {
    lcip_canvas_drag_drop(self);
    return;
  }
  lcip_canvas_drag_cancel(self);
  if (mode == CANVAS_DRAG_SELECT)
    lcip_canvas_selection_changed(self);
  else if (mode == CANVAS_DRAG_PENDING && self->drag.select_on_release)
    lcip_canvas_select(
        self, (const char *const[]){
                  lcip_actor_widget_get_id(lcip_canvas_actor(self, self->drag.pressed)), NULL});
}

static void drag_cancelled(GtkGesture *gesture, GdkEventSequence *sequence, LcipCanvas *self) {
  lcip_canvas_drag_cancel(self);
}

/* ---- wheel and pinch ---- */

static void pointer_moved(GtkEventControllerMotion *motion, double x, double y, LcipCanvas *self) {
  self->pointer_x = x;
  self->pointer_y = y;
  if (self->drag.mode == CANVAS_DRAG_NONE && self->layout)
    gtk_widget_set_cursor_from_name(GTK_WIDGET(self),
                                    self->space_held                          ? "grab"
                                    : lcip_canvas_actor_at(self, x, y) >= 0   ? "pointer"
                                    : lcip_canvas_bracket_at(self, x, y) >= 0 ? "pointer"
                                                                              : NULL);
}

/* A wide net in a window of full height: the plain wheel goes along it. */
static gboolean scrolled(GtkEventControllerScroll *scroll, double dx, double dy, LcipCanvas *self) {
  GdkModifierType state =
      gtk_event_controller_get_current_event_state(GTK_EVENT_CONTROLLER(scroll));
  if (state & GDK_CONTROL_MASK) {
    lcip_canvas_zoom_at(self, self->zoom * pow(WHEEL_ZOOM, -dy), self->pointer_x, self->pointer_y);
    return TRUE;
  }
  GtkAdjustment *h = self->adjustments[GTK_ORIENTATION_HORIZONTAL];
  GtkAdjustment *v = self->adjustments[GTK_ORIENTATION_VERTICAL];
  gboolean fits = !v || gtk_adjustment_get_upper(v) <= gtk_adjustment_get_page_size(v) + 0.5;
  if (!h || !fits || dy == 0)
    return FALSE;
  gtk_adjustment_set_value(h, gtk_adjustment_get_value(h) + (dx + dy) * WHEEL_PIXELS);
  return TRUE;
}

static void pinch_begin(GtkGesture *gesture, GdkEventSequence *sequence, LcipCanvas *self) {
  self->pinch_zoom = self->zoom;
}

static void pinch_changed(GtkGestureZoom *gesture, double scale, LcipCanvas *self) {
  double x = self->pointer_x, y = self->pointer_y;
  gtk_gesture_get_bounding_box_center(GTK_GESTURE(gesture), &x, &y);
  lcip_canvas_zoom_at(self, self->pinch_zoom * scale, x, y);
}

void lcip_canvas_add_controllers(LcipCanvas *self) {
  GtkGesture *drag = gtk_gesture_drag_new();
  gtk_gesture_single_set_button(GTK_GESTURE_SINGLE(drag), 0);
  g_signal_connect(drag, "drag-begin", G_CALLBACK(drag_begin), self);
  g_signal_connect(drag, "drag-update", G_CALLBACK(drag_update), self);
  g_signal_connect(drag, "drag-end", G_CALLBACK(drag_end), self);
  g_signal_connect(drag, "cancel", G_CALLBACK(drag_cancelled), self);
  self->drag_gesture = drag;
  gtk_widget_add_controller(GTK_WIDGET(self), GTK_EVENT_CONTROLLER(drag));

  GtkEventController *motion = gtk_event_controller_motion_new();
  g_signal_connect(motion, "motion", G_CALLBACK(pointer_moved), self);
  gtk_widget_add_controller(GTK_WIDGET(self), motion);

  GtkEventController *scroll =
      gtk_event_controller_scroll_new(GTK_EVENT_CONTROLLER_SCROLL_BOTH_AXES);
  g_signal_connect(scroll, "scroll", G_CALLBACK(scrolled), self);
  gtk_widget_add_controller(GTK_WIDGET(self), scroll);

  GtkGesture *pinch = gtk_gesture_zoom_new();
  g_signal_connect(pinch, "begin", G_CALLBACK(pinch_begin), self);
  g_signal_connect(pinch, "scale-changed", G_CALLBACK(pinch_changed), self);
  gtk_widget_add_controller(GTK_WIDGET(self), GTK_EVENT_CONTROLLER(pinch));
}
