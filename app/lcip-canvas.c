#include "config.h"

#include "lcip-canvas-private.h"

#include <math.h>

#define LANE_PADDING 14.0
#define LANE_MIN_HEIGHT 152.0   /* on the screen, of a lane with actors: its header fits */
#define LANE_EMPTY_HEIGHT 108.0 /* its header fits while running */
#define MARGIN_RIGHT 64.0
#define ZOOM_BOX 0.34

enum { PROP_0, PROP_HADJUSTMENT, PROP_VADJUSTMENT, PROP_HSCROLL_POLICY, PROP_VSCROLL_POLICY };
enum {
  SIGNAL_MOVE_ACTORS,
  SIGNAL_PLACE_ACTORS,
  SIGNAL_HOVER_LANE,
  SIGNAL_REFUSED,
  SIGNAL_SELECTION_CHANGED,
  SIGNAL_VIEW_CHANGED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE_WITH_CODE(LcipCanvas, lcip_canvas, GTK_TYPE_WIDGET,
                              G_IMPLEMENT_INTERFACE(GTK_TYPE_SCROLLABLE, NULL))

/* ---- coordinates ---- */

static double scroll_value(LcipCanvas *self, GtkOrientation orientation) {
  GtkAdjustment *adjustment = self->adjustments[orientation];
  return adjustment ? gtk_adjustment_get_value(adjustment) : 0;
}

double lcip_canvas_to_widget_x(LcipCanvas *self, double x) {
  return x * self->zoom - scroll_value(self, GTK_ORIENTATION_HORIZONTAL) + LCIP_CANVAS_HEADER_WIDTH;
}

double lcip_canvas_to_widget_y(LcipCanvas *self, int lane, double y) {
  double content = CANVAS_LANE(self, lane)->content;
  return (content + y) * self->zoom - scroll_value(self, GTK_ORIENTATION_VERTICAL);
}

graphene_rect_t lcip_canvas_box_rect(LcipCanvas *self, const LcipLayoutBox *box) {
  return GRAPHENE_RECT_INIT(lcip_canvas_to_widget_x(self, box->x),
                            lcip_canvas_to_widget_y(self, box->lane, box->y),
                            box->width * self->zoom, box->height * self->zoom);
}

LcipActorWidget *lcip_canvas_actor(LcipCanvas *self, int index) {
  return self->actors->pdata[index];
}

int lcip_canvas_actor_at(LcipCanvas *self, double x, double y) {
  if (x < LCIP_CANVAS_HEADER_WIDTH)
    return -1;
  for (int i = (int)self->actors->len - 1; i >= 0; i--) {
    graphene_rect_t rect = lcip_canvas_box_rect(self, &self->layout->actors[i]);
    if (graphene_rect_contains_point(&rect, &GRAPHENE_POINT_INIT(x, y)))
      return i;
  }
  return -1;
}

int lcip_canvas_bracket_at(LcipCanvas *self, double x, double y) {
  for (guint i = 0; x >= LCIP_CANVAS_HEADER_WIDTH && i < self->brackets->len; i++) {
    const CanvasBracket *bracket = CANVAS_BRACKET(self, i);
    double top = lcip_canvas_to_widget_y(self, bracket->lane, bracket->y);
    if (x >= lcip_canvas_to_widget_x(self, bracket->left) &&
        x <= lcip_canvas_to_widget_x(self, bracket->right) && y >= top &&
        y <= top + LCIP_LAYOUT_BRACKET_HEIGHT * self->zoom)
      return i;
  }
  return -1;
}

int lcip_canvas_lane_at(LcipCanvas *self, double y) {
  double at = (y + scroll_value(self, GTK_ORIENTATION_VERTICAL)) / self->zoom;
  for (guint i = 0; i < self->lanes->len; i++)
    if (at >= CANVAS_LANE(self, i)->top &&
        at < CANVAS_LANE(self, i)->top + CANVAS_LANE(self, i)->height)
      return i;
  return -1;
}

/* ---- lanes fill the height ---- */

static double lane_natural_height(LcipCanvas *self, guint lane) {
  double content = self->layout->lane_heights[lane];
  if (content <= 0)
    return LANE_EMPTY_HEIGHT / self->zoom;
  return MAX(content + 2 * LANE_PADDING, LANE_MIN_HEIGHT / self->zoom);
}

/* Spare height goes to lanes with actors, to all when none has any. */
static double place_lanes(LcipCanvas *self, int viewport_height) {
  double total = 0, top = 0;
  guint n_full = 0, n = self->lanes->len;
  for (guint i = 0; i < n; i++) {
    CANVAS_LANE(self, i)->empty = self->layout->lane_heights[i] <= 0;
    n_full += !CANVAS_LANE(self, i)->empty;
    total += lane_natural_height(self, i);
  }
  double spare = MAX(0, viewport_height / self->zoom - total);
  for (guint i = 0; i < n; i++) {
    CanvasLane *lane = CANVAS_LANE(self, i);
    gboolean grows = !lane->empty || n_full == 0;
    lane->top = top;
    lane->height = lane_natural_height(self, i) + (grows ? spare / MAX(n_full ? n_full : n, 1) : 0);
    lane->content = top + (lane->height - self->layout->lane_heights[i]) / 2;
    top += lane->height;
  }
  return top;
}

/* ---- allocation ---- */

static void configure(GtkAdjustment *adjustment, double upper, double page) {
  if (!adjustment)
    return;
  double value = CLAMP(gtk_adjustment_get_value(adjustment), 0, MAX(0, upper - page));
  gtk_adjustment_configure(adjustment, value, 0, MAX(upper, page), page * 0.1, page * 0.9, page);
}

static void allocate_actor(LcipCanvas *self, guint index, int width, int height) {
  GtkWidget *actor = self->actors->pdata[index];
  const LcipLayoutBox *box = &self->layout->actors[index];
  graphene_rect_t rect = lcip_canvas_box_rect(self, box);
  gboolean visible = rect.origin.x < width && rect.origin.y < height &&
                     rect.origin.x + rect.size.width > LCIP_CANVAS_HEADER_WIDTH &&
                     rect.origin.y + rect.size.height > 0;
  gtk_widget_set_child_visible(actor, visible);
  if (!visible)
    return;
  /* whole pixels: text and frames stay sharp */
  graphene_point_t origin = {roundf(rect.origin.x), roundf(rect.origin.y)};
  GskTransform *transform = gsk_transform_translate(NULL, &origin);
  transform = gsk_transform_scale(transform, self->zoom, self->zoom);
  gtk_widget_allocate(actor, (int)box->width, (int)box->height, -1, transform);
}

static void allocate_header(LcipCanvas *self, guint index) {
  GtkWidget *header = self->headers->pdata[index];
  const CanvasLane *lane = CANVAS_LANE(self, index);
  int minimum, height = (int)round(lane->height * self->zoom);
  gtk_widget_measure(header, GTK_ORIENTATION_VERTICAL, LCIP_CANVAS_HEADER_WIDTH, &minimum, NULL,
                     NULL, NULL);
  double y = lane->top * self->zoom - scroll_value(self, GTK_ORIENTATION_VERTICAL);
  gtk_widget_allocate(header, LCIP_CANVAS_HEADER_WIDTH, MAX(minimum, height), -1,
                      gsk_transform_translate(NULL, &GRAPHENE_POINT_INIT(0, (float)round(y))));
}

static void scroll_into_view(GtkAdjustment *adjustment, double low, double high, double margin) {
  if (!adjustment)
    return;
  double value = gtk_adjustment_get_value(adjustment);
  double page = gtk_adjustment_get_page_size(adjustment);
  if (high - low + 2 * margin > page || low - margin < value)
    gtk_adjustment_set_value(adjustment, low - margin);
  else if (high + margin > value + page)
    gtk_adjustment_set_value(adjustment, high + margin - page);
}

static void scroll_to_actor(LcipCanvas *self, int index) {
  const LcipLayoutBox *box = &self->layout->actors[index];
  double top = (CANVAS_LANE(self, box->lane)->content + box->y) * self->zoom;
  scroll_into_view(self->adjustments[GTK_ORIENTATION_HORIZONTAL], box->x * self->zoom,
                   (box->x + box->width) * self->zoom, 48);
  scroll_into_view(self->adjustments[GTK_ORIENTATION_VERTICAL], top, top + box->height * self->zoom,
                   24);
}

/* An actor moved by keyboard is followed to its new lane. */
static void show_cursor(LcipCanvas *self) {
  int index =
      self->cursor ? GPOINTER_TO_INT(g_hash_table_lookup(self->by_id, self->cursor)) - 1 : -1;
  if (self->show_cursor && index >= 0)
    scroll_to_actor(self, index);
  self->show_cursor = FALSE;
}

static void canvas_size_allocate(GtkWidget *widget, int width, int height, int baseline) {
  LcipCanvas *self = LCIP_CANVAS(widget);
  if (!self->layout)
    return;
  self->allocating = TRUE;
  double total = place_lanes(self, height);
  int viewport = MAX(width - LCIP_CANVAS_HEADER_WIDTH, 1);
  configure(self->adjustments[GTK_ORIENTATION_HORIZONTAL],
            self->layout->width * self->zoom + MARGIN_RIGHT, viewport);
  /* rounding must not make a bar appear */
  double upper = total * self->zoom;
  configure(self->adjustments[GTK_ORIENTATION_VERTICAL], upper < height + 1 ? height : upper,
            height);
  show_cursor(self);
  for (guint i = 0; i < self->actors->len; i++)
    allocate_actor(self, i, width, height);
  for (guint i = 0; i < self->headers->len; i++)
    allocate_header(self, i);
  self->allocating = FALSE;
  g_signal_emit(self, signals[SIGNAL_VIEW_CHANGED], 0);
}

static void canvas_measure(GtkWidget *widget, GtkOrientation orientation, int for_size,
                           int *minimum, int *natural, int *minimum_baseline,
                           int *natural_baseline) {
  LcipCanvas *self = LCIP_CANVAS(widget);
  for (guint i = 0; i < self->headers->len; i++) {
    int unused;
    gtk_widget_measure(self->headers->pdata[i], orientation, -1, &unused, NULL, NULL, NULL);
  }
  *minimum = orientation == GTK_ORIENTATION_HORIZONTAL ? 2 * LCIP_CANVAS_HEADER_WIDTH : 160;
  *natural = orientation == GTK_ORIENTATION_HORIZONTAL ? 900 : 600;
}

/* ---- zoom ---- */

static LcipDetail detail_for(double zoom) {
  return zoom < ZOOM_BOX                 ? LCIP_DETAIL_BOX
         : zoom < LCIP_CANVAS_ZOOM_TITLE ? LCIP_DETAIL_TITLE
                                         : LCIP_DETAIL_FULL;
}

static void update_detail(LcipCanvas *self) {
  for (guint i = 0; i < self->actors->len; i++)
    lcip_actor_widget_set_detail(lcip_canvas_actor(self, i), detail_for(self->zoom));
}

/* What is at (@x, @y) of the widget stays there: lanes stretch, so by lane and place in it. */
void lcip_canvas_zoom_at(LcipCanvas *self, double zoom, double x, double y) {
  zoom = CLAMP(zoom, LCIP_CANVAS_MIN_ZOOM, LCIP_CANVAS_MAX_ZOOM);
  if (!self->layout || zoom == self->zoom)
    return;
  int lane = MAX(lcip_canvas_lane_at(self, y), 0), height = gtk_widget_get_height(GTK_WIDGET(self));
  double net_x =
      (x - LCIP_CANVAS_HEADER_WIDTH + scroll_value(self, GTK_ORIENTATION_HORIZONTAL)) / self->zoom;
  double in_lane = (y + scroll_value(self, GTK_ORIENTATION_VERTICAL)) / self->zoom -
                   CANVAS_LANE(self, lane)->content;
  self->zoom = zoom;
  update_detail(self);
  double total = place_lanes(self, height);
  int viewport = MAX(gtk_widget_get_width(GTK_WIDGET(self)) - LCIP_CANVAS_HEADER_WIDTH, 1);
  configure(self->adjustments[GTK_ORIENTATION_HORIZONTAL],
            self->layout->width * zoom + MARGIN_RIGHT, viewport);
  configure(self->adjustments[GTK_ORIENTATION_VERTICAL], total * zoom, height);
  if (self->adjustments[GTK_ORIENTATION_HORIZONTAL])
    gtk_adjustment_set_value(self->adjustments[GTK_ORIENTATION_HORIZONTAL],
                             net_x * zoom - (x - LCIP_CANVAS_HEADER_WIDTH));
  if (self->adjustments[GTK_ORIENTATION_VERTICAL])
    gtk_adjustment_set_value(self->adjustments[GTK_ORIENTATION_VERTICAL],
                             (CANVAS_LANE(self, lane)->content + in_lane) * zoom - y);
  gtk_widget_queue_allocate(GTK_WIDGET(self));
}

double lcip_canvas_get_zoom(LcipCanvas *self) {
  return self->zoom;
}

void lcip_canvas_set_zoom(LcipCanvas *self, double zoom) {
  int width = gtk_widget_get_width(GTK_WIDGET(self)),
      height = gtk_widget_get_height(GTK_WIDGET(self));
  lcip_canvas_zoom_at(self, zoom, (LCIP_CANVAS_HEADER_WIDTH + width) / 2.0, height / 2.0);
}

void lcip_canvas_fit(LcipCanvas *self) {
  if (!self->layout || self->layout->width <= 0)
    return;
  double content = 0;
  for (guint i = 0; i < self->layout->n_lanes; i++)
    content += self->layout->lane_heights[i] + 2 * LANE_PADDING;
  double x = gtk_widget_get_width(GTK_WIDGET(self)) - LCIP_CANVAS_HEADER_WIDTH - MARGIN_RIGHT;
  double y = gtk_widget_get_height(GTK_WIDGET(self));
  lcip_canvas_set_zoom(self, MIN(1, MIN(x / self->layout->width, y / MAX(content, 1))));
  lcip_canvas_scroll_to(self, 0);
}

void lcip_canvas_get_visible_range(LcipCanvas *self, double *left, double *width) {
  int pixels = gtk_widget_get_width(GTK_WIDGET(self)) - LCIP_CANVAS_HEADER_WIDTH;
  *left = scroll_value(self, GTK_ORIENTATION_HORIZONTAL) / self->zoom;
  *width = MAX(pixels, 1) / self->zoom;
}

void lcip_canvas_scroll_to(LcipCanvas *self, double left) {
  GtkAdjustment *adjustment = self->adjustments[GTK_ORIENTATION_HORIZONTAL];
  if (adjustment)
    gtk_adjustment_set_value(adjustment, left * self->zoom);
}

/* Scrolls to the actor; it must be allocated before it can take the focus. */
void lcip_canvas_focus_actor(LcipCanvas *self, int index) {
  GtkWidget *actor = self->actors->pdata[index];
  g_free(self->cursor);
  self->cursor = g_strdup(lcip_actor_widget_get_id(LCIP_ACTOR_WIDGET(actor)));
  scroll_to_actor(self, index);
  allocate_actor(self, index, gtk_widget_get_width(GTK_WIDGET(self)),
                 gtk_widget_get_height(GTK_WIDGET(self)));
  gtk_widget_grab_focus(actor);
}

/* ---- graph ---- */

static void update_lanes(LcipCanvas *self) {
  guint n = self->layout->n_lanes;
  while (self->headers->len > n) {
    gtk_widget_unparent(self->headers->pdata[self->headers->len - 1]);
    g_ptr_array_set_size(self->headers, self->headers->len - 1);
  }
  while (self->headers->len < n) {
    GtkWidget *header = lcip_lane_header_new();
    gtk_widget_set_parent(header, GTK_WIDGET(self));
    g_ptr_array_add(self->headers, header);
  }
  g_array_set_size(self->lanes, 0);
  g_array_set_size(self->lanes, n);
  for (guint i = 0; i < n && i < self->graph->lanes->len; i++)
    lcip_lane_header_set_lane(self->headers->pdata[i], self->graph->lanes->pdata[i], i,
                              self->graph->lanes->len);
}

static GtkWidget *take_actor_widget(LcipCanvas *self, GHashTable *old, const LcipActor *actor) {
  gpointer key, found;
  if (g_hash_table_steal_extended(old, actor->id, &key, &found)) {
    GtkWidget *widget = found;
    g_free(key);
    lcip_actor_widget_set_actor(LCIP_ACTOR_WIDGET(widget), actor);
    return widget;
  }
  GtkWidget *widget = lcip_actor_widget_new(actor);
  lcip_actor_widget_set_detail(LCIP_ACTOR_WIDGET(widget), detail_for(self->zoom));
  gtk_widget_set_parent(widget, GTK_WIDGET(self));
  return widget;
}

static GHashTable *steal_actors(LcipCanvas *self) {
  GHashTable *old =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)gtk_widget_unparent);
  for (guint i = 0; i < self->actors->len; i++)
    g_hash_table_insert(old, g_strdup(lcip_actor_widget_get_id(lcip_canvas_actor(self, i))),
                        self->actors->pdata[i]);
  g_ptr_array_set_size(self->actors, 0);
  g_hash_table_remove_all(self->by_id);
  return old;
}

static void update_actors(LcipCanvas *self) {
  g_autoptr(GHashTable) old = steal_actors(self);
  for (guint i = 0; self->graph && i < self->graph->actors->len; i++) {
    const LcipActor *actor = self->graph->actors->pdata[i];
    const LcipLayoutBox *box = &self->layout->actors[i];
    GtkWidget *widget = take_actor_widget(self, old, actor);
    lcip_actor_widget_set_attached(LCIP_ACTOR_WIDGET(widget), box->attached_to >= 0);
    if (box->lane < (int)self->graph->lanes->len)
      lcip_actor_widget_set_lane(LCIP_ACTOR_WIDGET(widget),
                                 ((LcipLane *)self->graph->lanes->pdata[box->lane])->name);
    g_ptr_array_add(self->actors, widget);
    g_hash_table_insert(self->by_id, g_strdup(actor->id), GINT_TO_POINTER(i + 1));
  }
}

void lcip_canvas_set_graph(LcipCanvas *self, LcipGraph *graph) {
  if (self->graph == graph)
    return;
  lcip_canvas_drag_cancel(self);
  lcip_canvas_clear_brackets(self);
  g_clear_pointer(&self->layout, lcip_layout_free);
  if (graph)
    lcip_graph_ref(graph);
  g_clear_pointer(&self->graph, lcip_graph_unref);
  self->graph = graph;
  if (graph)
    self->layout = lcip_layout_new(graph, NULL);
  update_actors(self);
  if (graph)
    update_lanes(self);
  lcip_canvas_update_steps(self);
  gtk_widget_queue_resize(GTK_WIDGET(self));
  lcip_canvas_selection_changed(self);
}

const LcipLayout *lcip_canvas_get_layout(LcipCanvas *self) {
  return self->layout;
}

LcipGraph *lcip_canvas_get_graph(LcipCanvas *self) {
  return self->graph;
}

GtkWidget *lcip_canvas_get_actor(LcipCanvas *self, const char *id) {
  int index = GPOINTER_TO_INT(g_hash_table_lookup(self->by_id, id)) - 1;
  return index >= 0 ? self->actors->pdata[index] : NULL;
}

gboolean lcip_canvas_get_actor_rect(LcipCanvas *self, const char *id, graphene_rect_t *rect) {
  int index = GPOINTER_TO_INT(g_hash_table_lookup(self->by_id, id)) - 1;
  if (index >= 0)
    *rect = lcip_canvas_box_rect(self, &self->layout->actors[index]);
  return index >= 0;
}

gboolean lcip_canvas_get_lane_rect(LcipCanvas *self, const char *lane, graphene_rect_t *rect) {
  for (guint i = 0; self->graph && i < self->graph->lanes->len; i++) {
    if (!g_str_equal(((LcipLane *)self->graph->lanes->pdata[i])->name, lane))
      continue;
    const CanvasLane *at = CANVAS_LANE(self, i);
    *rect =
        GRAPHENE_RECT_INIT(0, at->top * self->zoom - scroll_value(self, GTK_ORIENTATION_VERTICAL),
                           gtk_widget_get_width(GTK_WIDGET(self)), at->height * self->zoom);
    return TRUE;
  }
  return FALSE;
}

void lcip_canvas_set_problems(LcipCanvas *self, const GPtrArray *problems) {
  for (guint i = 0; i < self->actors->len; i++) {
    const char *found = NULL, *id = lcip_actor_widget_get_id(lcip_canvas_actor(self, i));
    for (guint j = 0; problems && j < problems->len && !found; j++) {
      const LcipProblem *problem = problems->pdata[j];
      if (problem->severity == LCIP_PROBLEM_ERROR && g_strcmp0(problem->actor_id, id) == 0)
        found = problem->message;
    }
    lcip_actor_widget_set_problem(lcip_canvas_actor(self, i), found);
  }
}

/* ---- focus: Tab leaves the actors for the headers of lanes, then the canvas ---- */

static gboolean focus_headers(LcipCanvas *self, GtkWidget *inside, GtkDirectionType direction) {
  gboolean forward = direction == GTK_DIR_TAB_FORWARD;
  int n = self->headers->len, i = forward ? 0 : n - 1;
  for (int j = 0; j < n; j++)
    if (inside && gtk_widget_is_ancestor(inside, self->headers->pdata[j]))
      i = j;
  for (; i >= 0 && i < n; i += forward ? 1 : -1)
    if (gtk_widget_child_focus(self->headers->pdata[i], direction))
      return TRUE;
  return FALSE;
}

static gboolean focus_cursor(LcipCanvas *self) {
  if (!self->graph || self->actors->len == 0)
    return gtk_widget_grab_focus(GTK_WIDGET(self));
  int index =
      self->cursor ? GPOINTER_TO_INT(g_hash_table_lookup(self->by_id, self->cursor)) - 1 : 0;
  lcip_canvas_focus_actor(self, MAX(index, 0));
  return TRUE;
}

static gboolean canvas_focus(GtkWidget *widget, GtkDirectionType direction) {
  LcipCanvas *self = LCIP_CANVAS(widget);
  GtkWidget *inside = gtk_root_get_focus(gtk_widget_get_root(widget));
  gboolean is_inside = inside && (inside == widget || gtk_widget_is_ancestor(inside, widget));
  gboolean on_actor = is_inside && (inside == widget || LCIP_IS_ACTOR_WIDGET(inside));
  if (direction != GTK_DIR_TAB_FORWARD && direction != GTK_DIR_TAB_BACKWARD)
    return FALSE;
  if (direction == GTK_DIR_TAB_FORWARD)
    return is_inside ? focus_headers(self, on_actor ? NULL : inside, direction)
                     : focus_cursor(self);
  if (on_actor)
    return FALSE;
  return focus_headers(self, is_inside ? inside : NULL, direction) || focus_cursor(self);
}

/* ---- GObject ---- */

static void adjustment_moved(GtkAdjustment *adjustment, LcipCanvas *self) {
  if (!self->allocating)
    gtk_widget_queue_allocate(GTK_WIDGET(self));
}

static void set_adjustment(LcipCanvas *self, GtkOrientation orientation,
                           GtkAdjustment *adjustment) {
  GtkAdjustment **slot = &self->adjustments[orientation];
  if (*slot)
    g_signal_handlers_disconnect_by_func(*slot, adjustment_moved, self);
  g_clear_object(slot);
  *slot = adjustment ? g_object_ref_sink(adjustment) : NULL;
  if (adjustment)
    g_signal_connect(adjustment, "value-changed", G_CALLBACK(adjustment_moved), self);
  gtk_widget_queue_resize(GTK_WIDGET(self));
}

static void canvas_set_property(GObject *object, guint id, const GValue *value, GParamSpec *pspec) {
  LcipCanvas *self = LCIP_CANVAS(object);
  if (id == PROP_HADJUSTMENT)
    set_adjustment(self, GTK_ORIENTATION_HORIZONTAL, g_value_get_object(value));
  else if (id == PROP_VADJUSTMENT)
    set_adjustment(self, GTK_ORIENTATION_VERTICAL, g_value_get_object(value));
  else
    self->policies[id == PROP_HSCROLL_POLICY ? 0 : 1] = g_value_get_enum(value);
}

static void canvas_get_property(GObject *object, guint id, GValue *value, GParamSpec *pspec) {
  LcipCanvas *self = LCIP_CANVAS(object);
  if (id == PROP_HADJUSTMENT || id == PROP_VADJUSTMENT)
    g_value_set_object(value, self->adjustments[id == PROP_HADJUSTMENT ? 0 : 1]);
  else
    g_value_set_enum(value, self->policies[id == PROP_HSCROLL_POLICY ? 0 : 1]);
}

static void canvas_dispose(GObject *object) {
  LcipCanvas *self = LCIP_CANVAS(object);
  lcip_canvas_set_graph(self, NULL);
  while (self->headers->len > 0) {
    gtk_widget_unparent(self->headers->pdata[self->headers->len - 1]);
    g_ptr_array_set_size(self->headers, self->headers->len - 1);
  }
  set_adjustment(self, GTK_ORIENTATION_HORIZONTAL, NULL);
  set_adjustment(self, GTK_ORIENTATION_VERTICAL, NULL);
  g_clear_pointer(&self->plan, lcip_plan_unref);
  G_OBJECT_CLASS(lcip_canvas_parent_class)->dispose(object);
}

static void canvas_finalize(GObject *object) {
  LcipCanvas *self = LCIP_CANVAS(object);
  g_ptr_array_unref(self->actors);
  g_ptr_array_unref(self->headers);
  g_hash_table_unref(self->by_id);
  g_array_unref(self->lanes);
  g_array_unref(self->brackets);
  g_array_unref(self->drag.actors);
  g_ptr_array_unref(self->drag.refusals);
  g_free(self->drag.forecast);
  g_free(self->drag.forecast_lane);
  g_free(self->step_of);
  g_free(self->fractions);
  g_free(self->edge_ms);
  g_free(self->values);
  g_free(self->last_ms);
  g_free(self->critical);
  g_hash_table_unref(self->baseline);
  g_free(self->cursor);
  G_OBJECT_CLASS(lcip_canvas_parent_class)->finalize(object);
}

/* Actors paint little; hovering says the rest: name, operator, lane, time. */
static gboolean canvas_query_tooltip(GtkWidget *widget, int x, int y, gboolean keyboard,
                                     GtkTooltip *tooltip) {
  LcipCanvas *self = LCIP_CANVAS(widget);
  int actor = self->layout && !keyboard && self->drag.mode == CANVAS_DRAG_NONE
                  ? lcip_canvas_actor_at(self, x, y)
                  : -1;
  if (actor < 0)
    return FALSE;
  graphene_rect_t rect = lcip_canvas_box_rect(self, &self->layout->actors[actor]);
  GdkRectangle area = {(int)rect.origin.x, (int)rect.origin.y, (int)rect.size.width,
                       (int)rect.size.height};
  gtk_tooltip_set_text(tooltip, lcip_actor_widget_get_label(lcip_canvas_actor(self, actor)));
  gtk_tooltip_set_tip_area(tooltip, &area);
  return TRUE;
}

static void add_signals(GType type) {
  signals[SIGNAL_MOVE_ACTORS] = g_signal_new("move-actors", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                             NULL, G_TYPE_NONE, 2, G_TYPE_STRV, G_TYPE_STRING);
  signals[SIGNAL_PLACE_ACTORS] =
      g_signal_new("place-actors", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 3,
                   G_TYPE_STRV, G_TYPE_DOUBLE, G_TYPE_DOUBLE);
  signals[SIGNAL_HOVER_LANE] = g_signal_new("hover-lane", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                            NULL, G_TYPE_NONE, 2, G_TYPE_STRV, G_TYPE_STRING);
  signals[SIGNAL_REFUSED] = g_signal_new("refused", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                         G_TYPE_NONE, 1, G_TYPE_STRING);
  signals[SIGNAL_SELECTION_CHANGED] = g_signal_new("selection-changed", type, G_SIGNAL_RUN_LAST, 0,
                                                   NULL, NULL, NULL, G_TYPE_NONE, 0);
  signals[SIGNAL_VIEW_CHANGED] =
      g_signal_new("view-changed", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void lcip_canvas_class_init(LcipCanvasClass *klass) {
  GObjectClass *object_class = G_OBJECT_CLASS(klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);
  object_class->set_property = canvas_set_property;
  object_class->get_property = canvas_get_property;
  object_class->dispose = canvas_dispose;
  object_class->finalize = canvas_finalize;
  widget_class->measure = canvas_measure;
  widget_class->size_allocate = canvas_size_allocate;
  widget_class->snapshot = lcip_canvas_snapshot;
  widget_class->focus = canvas_focus;
  widget_class->query_tooltip = canvas_query_tooltip;
  g_object_class_override_property(object_class, PROP_HADJUSTMENT, "hadjustment");
  g_object_class_override_property(object_class, PROP_VADJUSTMENT, "vadjustment");
  g_object_class_override_property(object_class, PROP_HSCROLL_POLICY, "hscroll-policy");
  g_object_class_override_property(object_class, PROP_VSCROLL_POLICY, "vscroll-policy");
  add_signals(LCIP_TYPE_CANVAS);
  gtk_widget_class_set_css_name(widget_class, "canvas");
  gtk_widget_class_set_accessible_role(widget_class, GTK_ACCESSIBLE_ROLE_LIST);
}

static void lcip_canvas_init(LcipCanvas *self) {
  self->zoom = 1;
  self->actors = g_ptr_array_new();
  self->headers = g_ptr_array_new();
  self->by_id = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  self->baseline = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  self->lanes = g_array_new(FALSE, TRUE, sizeof(CanvasLane));
  self->brackets = g_array_new(FALSE, TRUE, sizeof(CanvasBracket));
  self->drag.actors = g_array_new(FALSE, FALSE, sizeof(int));
  self->drag.refusals = g_ptr_array_new_with_free_func(g_free);
  gtk_widget_set_focusable(GTK_WIDGET(self), TRUE);
  gtk_widget_set_has_tooltip(GTK_WIDGET(self), TRUE);
  gtk_widget_set_overflow(GTK_WIDGET(self), GTK_OVERFLOW_HIDDEN);
  gtk_accessible_update_property(GTK_ACCESSIBLE(self), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                 "Graph of actors", -1);
  lcip_canvas_add_controllers(self);
  lcip_canvas_add_keys(self);
}

GtkWidget *lcip_canvas_new(void) {
  return g_object_new(LCIP_TYPE_CANVAS, NULL);
}
