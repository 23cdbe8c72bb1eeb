#include "config.h"

#include "lcip-overview.h"
#include "lcip-palette.h"

#include <math.h>

#define HEIGHT 64
#define PADDING 6.f
#define MIN_BAR 0.18f /* of a row, for actors without a time */

struct _LcipOverview {
  GtkWidget parent;
  LcipCanvas *canvas; /* borrowed, weak */
  double grab;        /* where in the window it is held, in canvas units */
};

G_DEFINE_FINAL_TYPE(LcipOverview, lcip_overview, GTK_TYPE_WIDGET)

static float scale_of(LcipOverview *self, const LcipLayout *layout) {
  float room = gtk_widget_get_width(GTK_WIDGET(self)) - 2 * PADDING;
  return layout->width > 0 ? room / (float)layout->width : 1;
}

static void append_bars(LcipOverview *self, GtkSnapshot *snapshot, const LcipLayout *layout) {
  float scale = scale_of(self, layout);
  float row = (HEIGHT - 2 * PADDING) / MAX(layout->n_lanes, 1);
  for (guint i = 0; i < layout->n_actors; i++) {
    const LcipLayoutBox *box = &layout->actors[i];
    double fraction = lcip_canvas_get_actor_fraction(self->canvas, i);
    if (box->attached_to >= 0 && fraction <= 0)
      continue;
    float height = MAX(2.f, (row - 3) * MAX((float)sqrt(fraction), MIN_BAR));
    float bottom = PADDING + row * (box->lane + 1) - 1;
    gtk_snapshot_append_color(snapshot, lcip_palette_lane(box->lane),
                              &GRAPHENE_RECT_INIT(PADDING + (float)box->x * scale, bottom - height,
                                                  MAX(1.f, (float)box->width * scale), height));
  }
}

static void append_window(LcipOverview *self, GtkSnapshot *snapshot, const LcipLayout *layout) {
  double left, width;
  float scale = scale_of(self, layout), room = gtk_widget_get_width(GTK_WIDGET(self));
  lcip_canvas_get_visible_range(self->canvas, &left, &width);
  GdkRGBA color = lcip_palette_get()->selection;
  float x = PADDING + (float)left * scale - 2, right = MIN(x + (float)width * scale + 4, room - 1);
  GskRoundedRect outline;
  gsk_rounded_rect_init_from_rect(&outline, &GRAPHENE_RECT_INIT(x, 2, right - x, HEIGHT - 4), 6);
  gtk_snapshot_append_border(snapshot, &outline, (float[4]){2, 2, 2, 2},
                             (GdkRGBA[4]){color, color, color, color});
  color.alpha = 0.1f;
  gtk_snapshot_push_rounded_clip(snapshot, &outline);
  gtk_snapshot_append_color(snapshot, &color, &outline.bounds);
  gtk_snapshot_pop(snapshot);
}

static void overview_snapshot(GtkWidget *widget, GtkSnapshot *snapshot) {
  LcipOverview *self = LCIP_OVERVIEW(widget);
  const LcipLayout *layout = self->canvas ? lcip_canvas_get_layout(self->canvas) : NULL;
  gtk_snapshot_append_color(
      snapshot, &lcip_palette_get()->header,
      &GRAPHENE_RECT_INIT(0, 0, gtk_widget_get_width(widget), gtk_widget_get_height(widget)));
  if (!layout)
    return;
  append_bars(self, snapshot, layout);
  append_window(self, snapshot, layout);
}

static void overview_measure(GtkWidget *widget, GtkOrientation orientation, int for_size,
                             int *minimum, int *natural, int *minimum_baseline,
                             int *natural_baseline) {
  *minimum = *natural = orientation == GTK_ORIENTATION_VERTICAL ? HEIGHT : 100;
}

/* ---- scrolling ---- */

static double to_canvas(LcipOverview *self, double x) {
  const LcipLayout *layout = lcip_canvas_get_layout(self->canvas);
  return (x - PADDING) / scale_of(self, layout);
}

/* A press outside the window centres it there. */
static void drag_begin(GtkGestureDrag *gesture, double x, double y, LcipOverview *self) {
  if (!self->canvas || !lcip_canvas_get_layout(self->canvas))
    return;
  double left, width, at = to_canvas(self, x);
  lcip_canvas_get_visible_range(self->canvas, &left, &width);
  self->grab = at >= left && at <= left + width ? at - left : width / 2;
  lcip_canvas_scroll_to(self->canvas, at - self->grab);
}

static void drag_update(GtkGestureDrag *gesture, double dx, double dy, LcipOverview *self) {
  double x, y;
  if (!self->canvas || !lcip_canvas_get_layout(self->canvas))
    return;
  gtk_gesture_drag_get_start_point(gesture, &x, &y);
  lcip_canvas_scroll_to(self->canvas, to_canvas(self, x + dx) - self->grab);
}

static gboolean scrolled(GtkEventControllerScroll *scroll, double dx, double dy,
                         LcipOverview *self) {
  if (!self->canvas || !lcip_canvas_get_layout(self->canvas))
    return FALSE;
  double left, width;
  lcip_canvas_get_visible_range(self->canvas, &left, &width);
  lcip_canvas_scroll_to(self->canvas, left + (dx + dy) * width / 6);
  return TRUE;
}

/* ---- GObject ---- */

static void canvas_gone(gpointer data, GObject *object) {
  ((LcipOverview *)data)->canvas = NULL;
}

static void overview_dispose(GObject *object) {
  LcipOverview *self = LCIP_OVERVIEW(object);
  lcip_overview_set_canvas(self, NULL);
  G_OBJECT_CLASS(lcip_overview_parent_class)->dispose(object);
}

static void lcip_overview_class_init(LcipOverviewClass *klass) {
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);
  G_OBJECT_CLASS(klass)->dispose = overview_dispose;
  widget_class->snapshot = overview_snapshot;
  widget_class->measure = overview_measure;
  gtk_widget_class_set_css_name(widget_class, "overview");
  gtk_widget_class_set_accessible_role(widget_class, GTK_ACCESSIBLE_ROLE_SCROLLBAR);
}

static void lcip_overview_init(LcipOverview *self) {
  gtk_accessible_update_property(GTK_ACCESSIBLE(self), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                 "Overview of the graph", -1);
  GtkGesture *drag = gtk_gesture_drag_new();
  g_signal_connect(drag, "drag-begin", G_CALLBACK(drag_begin), self);
  g_signal_connect(drag, "drag-update", G_CALLBACK(drag_update), self);
  gtk_widget_add_controller(GTK_WIDGET(self), GTK_EVENT_CONTROLLER(drag));
  GtkEventController *scroll =
      gtk_event_controller_scroll_new(GTK_EVENT_CONTROLLER_SCROLL_BOTH_AXES);
  g_signal_connect(scroll, "scroll", G_CALLBACK(scrolled), self);
  gtk_widget_add_controller(GTK_WIDGET(self), scroll);
}

GtkWidget *lcip_overview_new(void) {
  return g_object_new(LCIP_TYPE_OVERVIEW, NULL);
}

void lcip_overview_set_canvas(LcipOverview *self, LcipCanvas *canvas) {
  if (self->canvas) {
    g_object_weak_unref(G_OBJECT(self->canvas), canvas_gone, self);
    g_signal_handlers_disconnect_by_func(self->canvas, gtk_widget_queue_draw, self);
  }
  self->canvas = canvas;
  if (!canvas)
    return;
  g_object_weak_ref(G_OBJECT(canvas), canvas_gone, self);
  g_signal_connect_swapped(canvas, "view-changed", G_CALLBACK(gtk_widget_queue_draw), self);
}
