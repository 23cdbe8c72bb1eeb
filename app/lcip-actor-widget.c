#include "config.h"

#include "lcip-actor-widget.h"

#include <math.h>

#define TITLE_SIZE 13
#define SMALL_SIZE 11
#define MARGIN 10.f
#define STRIP_WIDTH 4.f
#define BADGE_SIZE 14.f

struct _LcipActorWidget {
  GtkWidget parent;
  /* owned */
  LcipActor *actor;
  char *lane;
  char *shape;
  char *time_text;
  char *problem;
  char *label; /* accessible */
  PangoLayout *title_layout;
  PangoLayout *shape_layout;
  PangoLayout *time_layout;

  LcipActorTimeKind time_kind;
  double fraction;
  LcipDetail detail;
  gboolean attached;
  gboolean selected;
};

G_DEFINE_FINAL_TYPE(LcipActorWidget, lcip_actor_widget, GTK_TYPE_WIDGET)

/* ---- accessible name ---- */

static const char *time_words(LcipActorWidget *self) {
  switch (self->time_kind) {
  case LCIP_ACTOR_TIME_FUSED:
    return "fused";
  case LCIP_ACTOR_TIME_FOLDED:
    return "folded";
  case LCIP_ACTOR_TIME_DEAD:
    return "unused";
  case LCIP_ACTOR_TIME_OWN:
    return self->time_text;
  default:
    return NULL;
  }
}

static void update_accessible(LcipActorWidget *self) {
  GString *label = g_string_new(lcip_actor_title(self->actor));
  g_string_append_printf(label, ", %s", self->actor->op_name);
  if (self->lane)
    g_string_append_printf(label, ", lane %s", self->lane);
  if (time_words(self))
    g_string_append_printf(label, ", %s", time_words(self));
  if (self->problem)
    g_string_append_printf(label, ", problem: %s", self->problem);
  g_free(self->label);
  self->label = g_string_free(label, FALSE);
  gtk_accessible_update_property(GTK_ACCESSIBLE(self), GTK_ACCESSIBLE_PROPERTY_LABEL, self->label,
                                 -1);
}

/* ---- painting ---- */

static PangoLayout *layout_new(LcipActorWidget *self, const char *text, int size, gboolean bold) {
  PangoLayout *layout = gtk_widget_create_pango_layout(GTK_WIDGET(self), text);
  g_autoptr(PangoAttrList) attributes = lcip_tabular_attributes();
  pango_attr_list_insert(attributes, pango_attr_size_new_absolute(size * PANGO_SCALE));
  if (bold)
    pango_attr_list_insert(attributes, pango_attr_weight_new(PANGO_WEIGHT_BOLD));
  pango_layout_set_attributes(layout, attributes);
  pango_layout_set_ellipsize(layout, PANGO_ELLIPSIZE_END);
  return layout;
}

static void paint_layout(GtkSnapshot *snapshot, PangoLayout *layout, float x, float middle,
                         const GdkRGBA *color) {
  int height;
  pango_layout_get_pixel_size(layout, NULL, &height);
  gtk_snapshot_save(snapshot);
  gtk_snapshot_translate(snapshot, &GRAPHENE_POINT_INIT(x, roundf(middle - height / 2.f)));
  gtk_snapshot_append_layout(snapshot, layout, color);
  gtk_snapshot_restore(snapshot);
}

/* A sign beside the colour: an exclamation mark in a disc. Returns the width that it takes. */
static float paint_problem(LcipActorWidget *self, GtkSnapshot *snapshot, float right,
                           float middle) {
  const LcipPalette *palette = lcip_palette_get();
  if (!self->problem)
    return 0;
  GskRoundedRect disc;
  graphene_rect_t rect =
      GRAPHENE_RECT_INIT(right - BADGE_SIZE, middle - BADGE_SIZE / 2, BADGE_SIZE, BADGE_SIZE);
  gsk_rounded_rect_init_from_rect(&disc, &rect, BADGE_SIZE / 2);
  gtk_snapshot_push_rounded_clip(snapshot, &disc);
  gtk_snapshot_append_color(snapshot, &palette->error, &rect);
  gtk_snapshot_pop(snapshot);
  gtk_snapshot_append_color(snapshot, &palette->card,
                            &GRAPHENE_RECT_INIT(right - BADGE_SIZE / 2 - 1, middle - 4, 2, 5));
  gtk_snapshot_append_color(snapshot, &palette->card,
                            &GRAPHENE_RECT_INIT(right - BADGE_SIZE / 2 - 1, middle + 2, 2, 2));
  return BADGE_SIZE + 6;
}

/* Right-aligned; returns the width that it takes, 0 without a time. */
static float paint_time(LcipActorWidget *self, GtkSnapshot *snapshot, float right, float middle) {
  const LcipPalette *palette = lcip_palette_get();
  const char *words = time_words(self);
  if (!words)
    return 0;
  if (!self->time_layout)
    self->time_layout = layout_new(self, words, SMALL_SIZE, FALSE);
  int width;
  pango_layout_get_pixel_size(self->time_layout, &width, NULL);
  gboolean is_own = self->time_kind == LCIP_ACTOR_TIME_OWN;
  paint_layout(snapshot, self->time_layout, right - width, middle,
               is_own ? &palette->text : &palette->dim_text);
  return width + 6;
}

static void paint_title(LcipActorWidget *self, GtkSnapshot *snapshot, float width, float middle) {
  const LcipPalette *palette = lcip_palette_get();
  float left = MARGIN + STRIP_WIDTH;
  /* an attached actor has one row for both */
  float used = self->attached && self->detail == LCIP_DETAIL_FULL
                   ? paint_time(self, snapshot, width - MARGIN + 2, middle)
                   : 0;
  used += paint_problem(self, snapshot, width - MARGIN + 2 - used, middle);
  if (!self->title_layout)
    self->title_layout = layout_new(self, self->actor->op_name,
                                    self->attached ? SMALL_SIZE : TITLE_SIZE, !self->attached);
  pango_layout_set_width(self->title_layout, (int)((width - left - MARGIN - used) * PANGO_SCALE));
  paint_layout(snapshot, self->title_layout, left, middle,
               self->problem ? &palette->error : &palette->text);
}

/* The bar, and at its end the number. */
static void paint_bar(LcipActorWidget *self, GtkSnapshot *snapshot, float width, float middle) {
  const LcipPalette *palette = lcip_palette_get();
  float left = MARGIN + STRIP_WIDTH, right = width - MARGIN + 2;
  float room = right - left - paint_time(self, snapshot, right, middle) - 2;
  if (self->time_kind != LCIP_ACTOR_TIME_OWN)
    return;
  float fill = MAX(1.f, room * (float)self->fraction);
  gtk_snapshot_append_color(snapshot, &palette->bar_track,
                            &GRAPHENE_RECT_INIT(left, middle - 2, room, 4));
  gtk_snapshot_append_color(snapshot, &palette->bar,
                            &GRAPHENE_RECT_INIT(left, middle - 2, fill, 4));
}

static void paint_body(LcipActorWidget *self, GtkSnapshot *snapshot, float width, float height) {
  const LcipPalette *palette = lcip_palette_get();
  if (self->attached || self->detail != LCIP_DETAIL_FULL) {
    paint_title(self, snapshot, width, height / 2);
    return;
  }
  paint_title(self, snapshot, width, 14);
  if (!self->shape_layout)
    self->shape_layout = layout_new(self, self->shape ? self->shape : lcip_actor_title(self->actor),
                                    SMALL_SIZE, FALSE);
  float left = MARGIN + STRIP_WIDTH;
  pango_layout_set_width(self->shape_layout, (int)((width - left - MARGIN) * PANGO_SCALE));
  paint_layout(snapshot, self->shape_layout, left, 30, &palette->dim_text);
  paint_bar(self, snapshot, width, 46);
}

static void paint_frame(LcipActorWidget *self, GtkSnapshot *snapshot, float width, float height) {
  const LcipPalette *palette = lcip_palette_get();
  GskRoundedRect outline;
  gsk_rounded_rect_init_from_rect(&outline, &GRAPHENE_RECT_INIT(0, 0, width, height),
                                  self->attached ? 5 : 8);
  gtk_snapshot_push_rounded_clip(snapshot, &outline);
  gtk_snapshot_append_color(snapshot, self->attached ? &palette->attached : &palette->card,
                            &GRAPHENE_RECT_INIT(0, 0, width, height));
  gtk_snapshot_append_color(snapshot, &palette->families[lcip_family_of(self->actor)],
                            &GRAPHENE_RECT_INIT(0, 0, STRIP_WIDTH, height));
  paint_body(self, snapshot, width, height);
  gtk_snapshot_pop(snapshot);
  const GdkRGBA *color = self->selected  ? &palette->selection
                         : self->problem ? &palette->error
                                         : &palette->card_border;
  float line = self->selected || self->problem ? 2 : 1;
  gtk_snapshot_append_border(snapshot, &outline, (float[4]){line, line, line, line},
                             (GdkRGBA[4]){*color, *color, *color, *color});
}

static void paint_focus(LcipActorWidget *self, GtkSnapshot *snapshot, float width, float height) {
  if (!gtk_widget_has_visible_focus(GTK_WIDGET(self)))
    return;
  GskRoundedRect ring;
  GdkRGBA color = lcip_palette_get()->selection;
  gsk_rounded_rect_init_from_rect(&ring, &GRAPHENE_RECT_INIT(-4, -4, width + 8, height + 8), 11);
  gtk_snapshot_append_border(snapshot, &ring, (float[4]){2, 2, 2, 2},
                             (GdkRGBA[4]){color, color, color, color});
}

static void actor_widget_snapshot(GtkWidget *widget, GtkSnapshot *snapshot) {
  LcipActorWidget *self = LCIP_ACTOR_WIDGET(widget);
  float width = gtk_widget_get_width(widget), height = gtk_widget_get_height(widget);
  if (self->detail == LCIP_DETAIL_BOX) {
    const LcipPalette *palette = lcip_palette_get();
    gtk_snapshot_append_color(snapshot,
                              self->selected ? &palette->selection
                                             : &palette->families[lcip_family_of(self->actor)],
                              &GRAPHENE_RECT_INIT(0, 0, width, height - (self->attached ? 2 : 0)));
    return;
  }
  paint_frame(self, snapshot, width, height);
  paint_focus(self, snapshot, width, height);
}

static void clear_layouts(LcipActorWidget *self) {
  g_clear_object(&self->title_layout);
  g_clear_object(&self->shape_layout);
  g_clear_object(&self->time_layout);
}

static void actor_widget_css_changed(GtkWidget *widget, GtkCssStyleChange *change) {
  GTK_WIDGET_CLASS(lcip_actor_widget_parent_class)->css_changed(widget, change);
  clear_layouts(LCIP_ACTOR_WIDGET(widget));
  gtk_widget_queue_draw(widget);
}

static void actor_widget_measure(GtkWidget *widget, GtkOrientation orientation, int for_size,
                                 int *minimum, int *natural, int *minimum_baseline,
                                 int *natural_baseline) {
  *minimum = 1; /* the canvas gives it its size */
  *natural = 1;
}

static void actor_widget_state_flags_changed(GtkWidget *widget, GtkStateFlags before) {
  GTK_WIDGET_CLASS(lcip_actor_widget_parent_class)->state_flags_changed(widget, before);
  if ((before ^ gtk_widget_get_state_flags(widget)) & GTK_STATE_FLAG_FOCUS_VISIBLE)
    gtk_widget_queue_draw(widget);
}

static void actor_widget_dispose(GObject *object) {
  LcipActorWidget *self = LCIP_ACTOR_WIDGET(object);
  clear_layouts(self);
  g_clear_pointer(&self->actor, lcip_actor_unref);
  g_clear_pointer(&self->lane, g_free);
  g_clear_pointer(&self->shape, g_free);
  g_clear_pointer(&self->time_text, g_free);
  g_clear_pointer(&self->problem, g_free);
  g_clear_pointer(&self->label, g_free);
  G_OBJECT_CLASS(lcip_actor_widget_parent_class)->dispose(object);
}

static void lcip_actor_widget_class_init(LcipActorWidgetClass *klass) {
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);
  G_OBJECT_CLASS(klass)->dispose = actor_widget_dispose;
  widget_class->snapshot = actor_widget_snapshot;
  widget_class->measure = actor_widget_measure;
  widget_class->css_changed = actor_widget_css_changed;
  widget_class->state_flags_changed = actor_widget_state_flags_changed;
  gtk_widget_class_set_css_name(widget_class, "actor");
  gtk_widget_class_set_accessible_role(widget_class, GTK_ACCESSIBLE_ROLE_LIST_ITEM);
}

static void lcip_actor_widget_init(LcipActorWidget *self) {
  self->detail = LCIP_DETAIL_FULL;
  gtk_widget_set_focusable(GTK_WIDGET(self), TRUE);
  /* the canvas finds what lies under the pointer itself */
  gtk_widget_set_can_target(GTK_WIDGET(self), FALSE);
}

GtkWidget *lcip_actor_widget_new(const LcipActor *actor) {
  LcipActorWidget *self = g_object_new(LCIP_TYPE_ACTOR_WIDGET, NULL);
  lcip_actor_widget_set_actor(self, actor);
  return GTK_WIDGET(self);
}

const char *lcip_actor_widget_get_id(LcipActorWidget *self) {
  return self->actor->id;
}

const char *lcip_actor_widget_get_label(LcipActorWidget *self) {
  return self->label;
}

void lcip_actor_widget_set_actor(LcipActorWidget *self, const LcipActor *actor) {
  if (self->actor == actor)
    return;
  g_clear_pointer(&self->actor, lcip_actor_unref);
  self->actor = lcip_actor_ref((LcipActor *)actor);
  clear_layouts(self);
  update_accessible(self);
  gtk_widget_queue_draw(GTK_WIDGET(self));
}

void lcip_actor_widget_set_lane(LcipActorWidget *self, const char *lane) {
  if (g_strcmp0(self->lane, lane) == 0)
    return;
  g_free(self->lane);
  self->lane = g_strdup(lane);
  update_accessible(self);
}

void lcip_actor_widget_set_attached(LcipActorWidget *self, gboolean attached) {
  if (self->attached == attached)
    return;
  self->attached = attached;
  clear_layouts(self);
  gtk_widget_queue_draw(GTK_WIDGET(self));
}

void lcip_actor_widget_set_shape(LcipActorWidget *self, const char *shape) {
  if (g_strcmp0(self->shape, shape) == 0)
    return;
  g_free(self->shape);
  self->shape = g_strdup(shape);
  g_clear_object(&self->shape_layout);
  gtk_widget_queue_draw(GTK_WIDGET(self));
}

void lcip_actor_widget_set_time(LcipActorWidget *self, LcipActorTimeKind kind, const char *text,
                                double fraction) {
  if (kind == LCIP_ACTOR_TIME_OWN && !text)
    kind = LCIP_ACTOR_TIME_NONE;
  gboolean same_text = kind == self->time_kind && g_strcmp0(text, self->time_text) == 0;
  if (same_text && ABS(fraction - self->fraction) < 0.004)
    return;
  self->time_kind = kind;
  self->fraction = CLAMP(fraction, 0, 1);
  gtk_widget_queue_draw(GTK_WIDGET(self));
  if (same_text)
    return;
  g_free(self->time_text);
  self->time_text = g_strdup(text);
  g_clear_object(&self->time_layout);
  update_accessible(self);
}

void lcip_actor_widget_set_problem(LcipActorWidget *self, const char *problem) {
  if (g_strcmp0(self->problem, problem) == 0)
    return;
  g_free(self->problem);
  self->problem = g_strdup(problem);
  update_accessible(self);
  gtk_widget_queue_draw(GTK_WIDGET(self));
}

void lcip_actor_widget_set_selected(LcipActorWidget *self, gboolean selected) {
  if (self->selected == selected)
    return;
  self->selected = selected;
  gtk_accessible_update_state(GTK_ACCESSIBLE(self), GTK_ACCESSIBLE_STATE_SELECTED, selected, -1);
  gtk_widget_queue_draw(GTK_WIDGET(self));
}

gboolean lcip_actor_widget_get_selected(LcipActorWidget *self) {
  return self->selected;
}

void lcip_actor_widget_set_detail(LcipActorWidget *self, LcipDetail detail) {
  if (self->detail == detail)
    return;
  self->detail = detail;
  gtk_widget_queue_draw(GTK_WIDGET(self));
}
