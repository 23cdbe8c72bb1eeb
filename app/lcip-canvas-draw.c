#include "config.h"

#include "lcip-canvas-private.h"

#include <math.h>

#define PORT_ZOOM 0.62 /* from here on edges end in dots and carry labels */
#define MAX_GHOSTS 60
#define DASH 10.0
#define DASH_GAP 6.0
#define DOT 3.0

static PangoLayout *label_new(LcipCanvas *self, const char *text, int size, gboolean bold) {
  PangoLayout *layout = gtk_widget_create_pango_layout(GTK_WIDGET(self), text);
  g_autoptr(PangoAttrList) attributes = lcip_tabular_attributes();
  pango_attr_list_insert(attributes, pango_attr_size_new_absolute(size * PANGO_SCALE));
  if (bold)
    pango_attr_list_insert(attributes, pango_attr_weight_new(PANGO_WEIGHT_BOLD));
  pango_layout_set_attributes(layout, attributes);
  return layout;
}

static void append_layout(GtkSnapshot *snapshot, PangoLayout *layout, double x, double y,
                          const GdkRGBA *color) {
  gtk_snapshot_save(snapshot);
  gtk_snapshot_translate(snapshot, &GRAPHENE_POINT_INIT(roundf(x), roundf(y)));
  gtk_snapshot_append_layout(snapshot, layout, color);
  gtk_snapshot_restore(snapshot);
}

static void append_rounded(GtkSnapshot *snapshot, const graphene_rect_t *rect, float radius,
                           const GdkRGBA *color) {
  GskRoundedRect outline;
  gsk_rounded_rect_init_from_rect(&outline, rect, radius);
  gtk_snapshot_push_rounded_clip(snapshot, &outline);
  gtk_snapshot_append_color(snapshot, color, rect);
  gtk_snapshot_pop(snapshot);
}

static void append_outline(GtkSnapshot *snapshot, const graphene_rect_t *rect, float radius,
                           float line, const GdkRGBA *c) {
  GskRoundedRect outline;
  gsk_rounded_rect_init_from_rect(&outline, rect, radius);
  gtk_snapshot_append_border(snapshot, &outline, (float[4]){line, line, line, line},
                             (GdkRGBA[4]){*c, *c, *c, *c});
}

/* Text on a filled pill, kept inside the canvas; (@x, @y) is its left end and middle. */
static void append_pill(LcipCanvas *self, GtkSnapshot *snapshot, const char *text, double x,
                        double y, const GdkRGBA *fill, const GdkRGBA *color) {
  g_autoptr(PangoLayout) layout = label_new(self, text, 13, FALSE);
  int width, height, room = gtk_widget_get_width(GTK_WIDGET(self)) - LCIP_CANVAS_HEADER_WIDTH - 48;
  pango_layout_set_width(layout, MAX(room, 80) * PANGO_SCALE);
  pango_layout_set_ellipsize(layout, PANGO_ELLIPSIZE_END);
  pango_layout_get_pixel_size(layout, &width, &height);
  x = CLAMP(x, LCIP_CANVAS_HEADER_WIDTH + 8,
            MAX(gtk_widget_get_width(GTK_WIDGET(self)) - width - 32, LCIP_CANVAS_HEADER_WIDTH + 8));
  y = CLAMP(y, height, gtk_widget_get_height(GTK_WIDGET(self)) - height);
  graphene_rect_t rect =
      GRAPHENE_RECT_INIT(roundf(x), roundf(y - height / 2.0 - 5), width + 24, height + 10);
  append_rounded(snapshot, &rect, MIN(rect.size.height / 2, 14), fill);
  append_layout(snapshot, layout, rect.origin.x + 12, rect.origin.y + 5, color);
}

/* ---- lanes ---- */

static graphene_rect_t band_rect(LcipCanvas *self, guint index) {
  graphene_rect_t rect;
  const LcipLane *lane = self->graph->lanes->pdata[index];
  lcip_canvas_get_lane_rect(self, lane->name, &rect);
  double bottom = round(rect.origin.y + rect.size.height);
  rect.origin.y = roundf(rect.origin.y);
  rect.size.height = bottom - rect.origin.y;
  return rect;
}

static void append_hatch(GtkSnapshot *snapshot, const graphene_rect_t *rect) {
  const GdkRGBA *dark = &lcip_palette_get()->hatch;
  const GdkRGBA none = {0, 0, 0, 0};
  GskColorStop stops[4] = {{0, *dark}, {0.5, *dark}, {0.5, none}, {1, none}};
  gtk_snapshot_append_repeating_linear_gradient(
      snapshot, rect, &rect->origin, &GRAPHENE_POINT_INIT(rect->origin.x + 8, rect->origin.y + 8),
      stops, 4);
}

/* The lane that limits the capacity has a dotted border, above and below. */
static void append_dots(GtkSnapshot *snapshot, const graphene_rect_t *rect) {
  const GdkRGBA *color = &lcip_palette_get()->text;
  for (int side = 0; side < 2; side++) {
    const float y = rect->origin.y + (side ? rect->size.height - DOT : 0);
    for (float x = LCIP_CANVAS_HEADER_WIDTH; x < rect->origin.x + rect->size.width; x += 3 * DOT)
      gtk_snapshot_append_color(snapshot, color, &GRAPHENE_RECT_INIT(x, y, DOT, DOT));
  }
}

static void append_band(LcipCanvas *self, GtkSnapshot *snapshot, guint index) {
  const LcipPalette *palette = lcip_palette_get();
  graphene_rect_t rect = band_rect(self, index);
  gtk_snapshot_append_color(snapshot, &palette->band, &rect);
  if (CANVAS_LANE(self, index)->unbound || CANVAS_LANE(self, index)->saturated ||
      CANVAS_LANE(self, index)->offline)
    append_hatch(snapshot, &rect);
  if (CANVAS_LANE(self, index)->offline)
    gtk_snapshot_append_color(snapshot, &palette->offline, &rect);
  gtk_snapshot_append_color(
      snapshot, &palette->band_border,
      &GRAPHENE_RECT_INIT(rect.origin.x, rect.origin.y + rect.size.height - 1, rect.size.width, 1));
  if (CANVAS_LANE(self, index)->bottleneck)
    append_dots(snapshot, &rect);
  if (!CANVAS_LANE(self, index)->empty || self->drag.mode == CANVAS_DRAG_ACTORS)
    return;
  g_autoptr(PangoLayout) layout = label_new(self, "Drop actors here", 13, FALSE);
  int width, height;
  pango_layout_get_pixel_size(layout, &width, &height);
  append_layout(snapshot, layout, (LCIP_CANVAS_HEADER_WIDTH + rect.size.width - width) / 2,
                rect.origin.y + (rect.size.height - height) / 2, &palette->dim_text);
}

/* While actors are dragged: the lane under the pointer is tinted, those that refuse are dimmed. */
static void append_drag_bands(LcipCanvas *self, GtkSnapshot *snapshot) {
  const LcipPalette *palette = lcip_palette_get();
  for (guint i = 0; i < self->graph->lanes->len; i++) {
    graphene_rect_t rect = band_rect(self, i);
    GdkRGBA tint = palette->selection;
    if (self->drag.refusals->pdata[i]) {
      gtk_snapshot_append_color(snapshot, &palette->veil, &rect);
      if ((int)i == self->drag.lane)
        continue; /* said at the pointer */
      append_pill(self, snapshot, self->drag.refusals->pdata[i], LCIP_CANVAS_HEADER_WIDTH + 24,
                  rect.origin.y + rect.size.height / 2, &palette->header, &palette->error);
    } else if ((int)i == self->drag.lane) {
      tint.alpha = 0.1f;
      gtk_snapshot_append_color(snapshot, &tint, &rect);
      append_outline(snapshot, &rect, 0, 2, &palette->selection);
    }
  }
}

/* ---- edges ---- */

/* Lines are horizontal or vertical but for a pixel of rounding. */
static void append_segment(GtkSnapshot *snapshot, double x0, double y0, double x1, double y1,
                           float line, const GdkRGBA *color) {
  gboolean flat = fabs(x1 - x0) >= fabs(y1 - y0);
  float left = roundf(MIN(x0, x1) - line / 2), top = roundf((flat ? y0 : MIN(y0, y1)) - line / 2);
  float width = flat ? roundf(fabs(x1 - x0)) + line : line;
  float height = flat ? line : roundf(fabs(y1 - y0)) + line;
  gtk_snapshot_append_color(snapshot, color, &GRAPHENE_RECT_INIT(left, top, width, height));
}

/* The same in dashes, for the critical path; they run on round corners by starting anew there. */
static void append_dashes(GtkSnapshot *snapshot, double x0, double y0, double x1, double y1,
                          float line, const GdkRGBA *color) {
  const double length = MAX(fabs(x1 - x0), fabs(y1 - y0));
  for (double at = 0; at < length; at += DASH + DASH_GAP) {
    const double from = at / length, to = MIN(at + DASH, length) / length;
    append_segment(snapshot, x0 + (x1 - x0) * from, y0 + (y1 - y0) * from, x0 + (x1 - x0) * to,
                   y0 + (y1 - y0) * to, line, color);
  }
}

typedef struct {
  gboolean critical;
  gboolean crosses; /* lanes */
  gboolean selected;
  gsize bytes;
} EdgeLook;

static EdgeLook edge_look(LcipCanvas *self, guint index) {
  const LcipEdge *edge = &g_array_index(self->graph->edges, LcipEdge, index);
  const LcipLayoutEdge *line = &self->layout->edges[index];
  EdgeLook look = {0};
  look.critical = lcip_canvas_edge_is_critical(self, edge);
  look.crosses = line->points[0].lane != line->points[line->n_points - 1].lane;
  look.selected = (edge->src_actor >= 0 &&
                   lcip_actor_widget_get_selected(lcip_canvas_actor(self, edge->src_actor))) ||
                  (edge->dst_actor >= 0 &&
                   lcip_actor_widget_get_selected(lcip_canvas_actor(self, edge->dst_actor)));
  /* an edge's index means the same only in the plan of this very graph */
  if (look.crosses && self->plan && lcip_plan_graph(self->plan) == self->graph)
    look.bytes = lcip_plan_edge_bytes(self->plan, index);
  return look;
}

/* Width tells bytes per frame between lanes: 2 pixels up to 16 KB, one more each time four. */
static float edge_width(LcipCanvas *self, const EdgeLook *look) {
  if (self->zoom < PORT_ZOOM)
    return look->selected ? 2 : 1;
  if (look->bytes > 16384)
    return MIN(2 + (float)(log2(look->bytes / 16384.0) / 2), 7);
  return look->selected ? 3 : 2;
}

static void append_edge(LcipCanvas *self, GtkSnapshot *snapshot, guint index,
                        const EdgeLook *look) {
  const LcipPalette *palette = lcip_palette_get();
  const LcipLayoutEdge *edge = &self->layout->edges[index];
  const GdkRGBA *color = look->selected   ? &palette->selection
                         : look->critical ? &palette->text
                         : look->crosses  ? &palette->crossing_edge
                                          : &palette->edge;
  float line = edge_width(self, look) + (look->critical ? 1 : 0);
  double x0 = 0, y0 = 0;
  for (guint i = 0; i < edge->n_points; i++) {
    const LcipLayoutPoint *point = &edge->points[i];
    double x = round(lcip_canvas_to_widget_x(self, point->x));
    double y = round(lcip_canvas_to_widget_y(self, point->lane, point->y));
    if (i > 0 && look->critical)
      append_dashes(snapshot, MAX(x0, -DASH), y0,
                    MIN(x, gtk_widget_get_width(GTK_WIDGET(self)) + DASH), y, line, color);
    else if (i > 0)
      append_segment(snapshot, x0, y0, x, y, line, color);
    x0 = x;
    y0 = y;
  }
  if (self->zoom >= PORT_ZOOM)
    append_rounded(snapshot, &GRAPHENE_RECT_INIT(x0 - 4, y0 - 4, 8, 8), 4, color);
}

static char *edge_words(LcipCanvas *self, guint index, gsize bytes) {
  const double ms = self->edge_ms ? self->edge_ms[index] : NAN;
  g_autofree char *size = g_format_size_full(bytes, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *time = isnan(ms) ? NULL : lcip_format_ms(ms);
  return time ? g_strdup_printf("%s · %s", size, time) : g_steal_pointer(&size);
}

static void append_edge_label(LcipCanvas *self, GtkSnapshot *snapshot, guint index, gsize bytes) {
  const LcipLayoutEdge *edge = &self->layout->edges[index];
  const LcipPalette *palette = lcip_palette_get();
  for (guint i = 1; i < edge->n_points; i++) {
    if (edge->points[i].lane == edge->points[i - 1].lane)
      continue;
    g_autofree char *words = edge_words(self, index, bytes);
    g_autoptr(PangoLayout) layout = label_new(self, words, 11, FALSE);
    int width, height;
    pango_layout_get_pixel_size(layout, &width, &height);
    double y0 = lcip_canvas_to_widget_y(self, edge->points[i - 1].lane, edge->points[i - 1].y);
    double y1 = lcip_canvas_to_widget_y(self, edge->points[i].lane, edge->points[i].y);
    double x = lcip_canvas_to_widget_x(self, edge->points[i].x);
    graphene_rect_t rect =
        GRAPHENE_RECT_INIT(roundf(x - width / 2.0 - 5), roundf((y0 + y1) / 2 - height / 2.0 - 1),
                           width + 10, height + 2);
    append_rounded(snapshot, &rect, 4, &palette->header);
    append_outline(snapshot, &rect, 4, 1, &palette->crossing_edge);
    append_layout(snapshot, layout, rect.origin.x + 5, rect.origin.y + 1, &palette->text);
    return;
  }
}

static gboolean edge_visible(LcipCanvas *self, const LcipLayoutEdge *edge, int width) {
  double low = G_MAXDOUBLE, high = -G_MAXDOUBLE;
  for (guint i = 0; i < edge->n_points; i++) {
    low = MIN(low, edge->points[i].x);
    high = MAX(high, edge->points[i].x);
  }
  return edge->n_points > 0 && lcip_canvas_to_widget_x(self, low) < width &&
         lcip_canvas_to_widget_x(self, high) > LCIP_CANVAS_HEADER_WIDTH;
}

/* Selected edges above the others, labels above all. */
static void append_edges(LcipCanvas *self, GtkSnapshot *snapshot) {
  int width = gtk_widget_get_width(GTK_WIDGET(self));
  for (int pass = 0; pass < 3; pass++)
    for (guint i = 0; i < self->layout->n_edges; i++) {
      if (!edge_visible(self, &self->layout->edges[i], width))
        continue;
      EdgeLook look = edge_look(self, i);
      if (pass == 2 && look.bytes > 0 && self->zoom >= PORT_ZOOM)
        append_edge_label(self, snapshot, i, look.bytes);
      else if (pass == (look.selected ? 1 : 0))
        append_edge(self, snapshot, i, &look);
    }
}

/* ---- inputs and outputs of the graph ---- */

static void append_port(LcipCanvas *self, GtkSnapshot *snapshot, const LcipLayoutBox *box,
                        const LcipGraphPort *port, const char *what) {
  const LcipPalette *palette = lcip_palette_get();
  graphene_rect_t rect = lcip_canvas_box_rect(self, box);
  append_rounded(snapshot, &rect, rect.size.height / 2, &palette->header);
  append_outline(snapshot, &rect, rect.size.height / 2, 1, &palette->card_border);
  if (self->zoom < 0.5)
    return;
  g_autofree char *shape = lcip_format_shape(&port->spec.shape);
  g_autofree char *second = g_strdup_printf("%s · %s", what, shape);
  g_autoptr(PangoLayout) layout = label_new(self, port->name, 13, TRUE);
  g_autoptr(PangoLayout) below = label_new(self, second, 11, FALSE);
  for (int i = 0; i < 2; i++) {
    pango_layout_set_width(i ? below : layout, (int)(box->width - 36) * PANGO_SCALE);
    pango_layout_set_ellipsize(i ? below : layout, PANGO_ELLIPSIZE_END);
    pango_layout_set_alignment(i ? below : layout, PANGO_ALIGN_CENTER);
  }
  gtk_snapshot_save(snapshot);
  gtk_snapshot_translate(snapshot, &rect.origin);
  gtk_snapshot_scale(snapshot, self->zoom, self->zoom);
  append_layout(snapshot, layout, 18, 7, &palette->text);
  append_layout(snapshot, below, 18, 27, &palette->dim_text);
  gtk_snapshot_restore(snapshot);
}

static void append_ports(LcipCanvas *self, GtkSnapshot *snapshot) {
  for (guint i = 0; i < self->layout->n_inputs; i++)
    append_port(self, snapshot, &self->layout->inputs[i], self->graph->inputs->pdata[i], "input");
  for (guint i = 0; i < self->layout->n_outputs; i++)
    append_port(self, snapshot, &self->layout->outputs[i], self->graph->outputs->pdata[i],
                "output");
}

/* ---- brackets ---- */

static void append_bracket(LcipCanvas *self, GtkSnapshot *snapshot, CanvasBracket *bracket) {
  const LcipPalette *palette = lcip_palette_get();
  double left = lcip_canvas_to_widget_x(self, bracket->left);
  double right = lcip_canvas_to_widget_x(self, bracket->right);
  double top = lcip_canvas_to_widget_y(self, bracket->lane, bracket->y);
  double middle = round(top + 9 * self->zoom), foot = round(top + 17 * self->zoom);
  if (right < LCIP_CANVAS_HEADER_WIDTH || left > gtk_widget_get_width(GTK_WIDGET(self)))
    return;
  append_segment(snapshot, left, middle, right, middle, 1, &palette->dim_text);
  append_segment(snapshot, left, middle, left, foot, 1, &palette->dim_text);
  append_segment(snapshot, right - 1, middle, right - 1, foot, 1, &palette->dim_text);
  if (!bracket->text)
    return;
  if (!bracket->layout)
    bracket->layout = label_new(self, bracket->text, 11, TRUE);
  int width, height;
  pango_layout_get_pixel_size(bracket->layout, &width, &height);
  gtk_snapshot_save(snapshot);
  gtk_snapshot_translate(snapshot,
                         &GRAPHENE_POINT_INIT((left + right) / 2 - (width / 2.0 + 5) * self->zoom,
                                              middle - height / 2.0 * self->zoom));
  gtk_snapshot_scale(snapshot, self->zoom, self->zoom);
  gtk_snapshot_append_color(snapshot, &palette->band,
                            &GRAPHENE_RECT_INIT(0, 0, width + 10, height));
  gtk_snapshot_translate(snapshot, &GRAPHENE_POINT_INIT(5, 0));
  gtk_snapshot_append_layout(snapshot, bracket->layout, &palette->text);
  gtk_snapshot_restore(snapshot);
}

static void append_brackets(LcipCanvas *self, GtkSnapshot *snapshot) {
  for (guint i = 0; self->zoom >= PORT_ZOOM && i < self->brackets->len; i++)
    append_bracket(self, snapshot, CANVAS_BRACKET(self, i));
}

/* ---- dragging ---- */

static void append_ghost(LcipCanvas *self, GtkSnapshot *snapshot, int actor, double dx, double dy) {
  const LcipPalette *palette = lcip_palette_get();
  const LcipLayoutBox *box = &self->layout->actors[actor];
  graphene_rect_t rect = lcip_canvas_box_rect(self, box);
  GdkRGBA fill = palette->card;
  fill.alpha = 0.9f;
  graphene_rect_offset(&rect, (float)dx, (float)dy);
  append_rounded(snapshot, &rect, 8 * (float)self->zoom, &fill);
  append_outline(snapshot, &rect, 8 * (float)self->zoom, 2, &palette->selection);
  if (self->zoom < 0.5)
    return;
  const LcipActor *shown = lcip_graph_actor(self->graph, actor);
  g_autoptr(PangoLayout) layout = label_new(self, shown->op_name, 13, TRUE);
  int height;
  pango_layout_set_width(layout, (int)(box->width - 24) * PANGO_SCALE);
  pango_layout_set_ellipsize(layout, PANGO_ELLIPSIZE_END);
  pango_layout_get_pixel_size(layout, NULL, &height);
  gtk_snapshot_save(snapshot);
  gtk_snapshot_translate(snapshot, &rect.origin);
  gtk_snapshot_scale(snapshot, self->zoom, self->zoom);
  append_layout(snapshot, layout, 14, (box->height - height) / 2, &palette->text);
  gtk_snapshot_restore(snapshot);
}

static char *drag_words(LcipCanvas *self) {
  guint n = self->drag.actors->len;
  int home = self->layout->actors[g_array_index(self->drag.actors, int, 0)].lane;
  if (self->drag.lane < 0)
    return g_strdup("Esc cancels");
  const LcipLane *lane = self->graph->lanes->pdata[self->drag.lane];
  if (self->drag.refusals->pdata[self->drag.lane])
    return g_strdup(self->drag.refusals->pdata[self->drag.lane]);
  if (self->drag.lane == home)
    return g_strdup("Place here");
  g_autofree char *move = n == 1 ? g_strdup_printf("Move to %s", lane->name)
                                 : g_strdup_printf("Move %u actors to %s", n, lane->name);
  gboolean known = self->drag.forecast && g_strcmp0(self->drag.forecast_lane, lane->name) == 0;
  return known ? g_strdup_printf("%s\n%s", move, self->drag.forecast) : g_steal_pointer(&move);
}

static void append_drag(LcipCanvas *self, GtkSnapshot *snapshot) {
  const LcipPalette *palette = lcip_palette_get();
  double dx = self->drag.x - self->drag.start_x, dy = self->drag.y - self->drag.start_y;
  append_drag_bands(self, snapshot);
  for (guint i = 0; i < self->drag.actors->len && i < MAX_GHOSTS; i++)
    append_ghost(self, snapshot, g_array_index(self->drag.actors, int, i), dx, dy);
  gboolean refused = self->drag.lane >= 0 && self->drag.refusals->pdata[self->drag.lane];
  g_autofree char *words = drag_words(self);
  append_pill(self, snapshot, words, self->drag.x + 18, self->drag.y + 34,
              refused ? &palette->error : &palette->selection, &palette->selection_text);
}

static void append_rubber_band(LcipCanvas *self, GtkSnapshot *snapshot) {
  GdkRGBA fill = lcip_palette_get()->selection;
  graphene_rect_t rect = GRAPHENE_RECT_INIT(
      MIN(self->drag.x, self->drag.start_x), MIN(self->drag.y, self->drag.start_y),
      fabs(self->drag.x - self->drag.start_x), fabs(self->drag.y - self->drag.start_y));
  append_outline(snapshot, &rect, 4, 1, &fill);
  fill.alpha = 0.14f;
  append_rounded(snapshot, &rect, 4, &fill);
}

/* ---- the whole ---- */

static void append_headers(LcipCanvas *self, GtkSnapshot *snapshot) {
  const LcipPalette *palette = lcip_palette_get();
  int height = gtk_widget_get_height(GTK_WIDGET(self));
  gtk_snapshot_append_color(snapshot, &palette->header,
                            &GRAPHENE_RECT_INIT(0, 0, LCIP_CANVAS_HEADER_WIDTH, height));
  for (guint i = 0; i < self->headers->len; i++) {
    graphene_rect_t rect = band_rect(self, i);
    rect.size.width = LCIP_CANVAS_HEADER_WIDTH;
    gtk_snapshot_push_clip(snapshot, &rect);
    if (CANVAS_LANE(self, i)->saturated || CANVAS_LANE(self, i)->unbound ||
        CANVAS_LANE(self, i)->offline)
      append_hatch(snapshot, &rect);
    gtk_widget_snapshot_child(GTK_WIDGET(self), self->headers->pdata[i], snapshot);
    gtk_snapshot_pop(snapshot);
    gtk_snapshot_append_color(
        snapshot, &palette->header_border,
        &GRAPHENE_RECT_INIT(0, rect.origin.y + rect.size.height - 1, LCIP_CANVAS_HEADER_WIDTH, 1));
  }
  gtk_snapshot_append_color(snapshot, &palette->header_border,
                            &GRAPHENE_RECT_INIT(LCIP_CANVAS_HEADER_WIDTH - 1, 0, 1, height));
}

void lcip_canvas_snapshot(GtkWidget *widget, GtkSnapshot *snapshot) {
  LcipCanvas *self = LCIP_CANVAS(widget);
  int width = gtk_widget_get_width(widget), height = gtk_widget_get_height(widget);
  gtk_snapshot_append_color(snapshot, &lcip_palette_get()->canvas,
                            &GRAPHENE_RECT_INIT(0, 0, width, height));
  if (!self->graph || !self->layout || self->lanes->len != self->graph->lanes->len)
    return;
  for (guint i = 0; i < self->graph->lanes->len; i++)
    append_band(self, snapshot, i);
  gtk_snapshot_push_clip(snapshot,
                         &GRAPHENE_RECT_INIT(LCIP_CANVAS_HEADER_WIDTH, 0,
                                             MAX(width - LCIP_CANVAS_HEADER_WIDTH, 0), height));
  append_edges(self, snapshot);
  append_ports(self, snapshot);
  append_brackets(self, snapshot);
  for (guint i = 0; i < self->actors->len; i++)
    gtk_widget_snapshot_child(widget, self->actors->pdata[i], snapshot);
  if (self->drag.mode == CANVAS_DRAG_ACTORS)
    append_drag(self, snapshot);
  else if (self->drag.mode == CANVAS_DRAG_SELECT)
    append_rubber_band(self, snapshot);
  gtk_snapshot_pop(snapshot);
  append_headers(self, snapshot);
}
