#include "config.h"

#include "lcip-lane-header.h"
#include "lcip-palette.h"

#include <string.h>

#define COLOUR_WIDTH 5

struct _LcipLaneHeader {
  GtkWidget parent;
  /* template */
  GtkWidget *box;
  GtkLabel *name_label;
  GtkWidget *warning_image;
  GtkMenuButton *menu_button;
  GtkLabel *device_label;
  GtkWidget *load_box;
  GtkLevelBar *load_bar;
  GtkLabel *load_label;
  GtkLabel *memory_label;
  GtkLabel *queue_label;
  GtkLabel *link_label;
  GtkWidget *unbound_box;
  GtkActionable *assign_button;
  GtkActionable *empty_button;

  guint index;
  gboolean used;
};

G_DEFINE_FINAL_TYPE(LcipLaneHeader, lcip_lane_header, GTK_TYPE_WIDGET)

static void lane_header_snapshot(GtkWidget *widget, GtkSnapshot *snapshot) {
  LcipLaneHeader *self = LCIP_LANE_HEADER(widget);
  gtk_snapshot_append_color(
      snapshot, lcip_palette_lane(self->index),
      &GRAPHENE_RECT_INIT(0, 0, COLOUR_WIDTH, gtk_widget_get_height(widget) - 1));
  GTK_WIDGET_CLASS(lcip_lane_header_parent_class)->snapshot(widget, snapshot);
}

static void lane_header_dispose(GObject *object) {
  LcipLaneHeader *self = LCIP_LANE_HEADER(object);
  g_clear_pointer(&self->box, gtk_widget_unparent);
  G_OBJECT_CLASS(lcip_lane_header_parent_class)->dispose(object);
}

static void lcip_lane_header_class_init(LcipLaneHeaderClass *klass) {
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);
  G_OBJECT_CLASS(klass)->dispose = lane_header_dispose;
  widget_class->snapshot = lane_header_snapshot;
  gtk_widget_class_set_css_name(widget_class, "laneheader");
  gtk_widget_class_set_accessible_role(widget_class, GTK_ACCESSIBLE_ROLE_GROUP);
  gtk_widget_class_set_template_from_resource(widget_class, "/org/lcip/Editor/lcip-lane-header.ui");
  gtk_widget_class_bind_template_child(widget_class, LcipLaneHeader, box);
  gtk_widget_class_bind_template_child(widget_class, LcipLaneHeader, name_label);
  gtk_widget_class_bind_template_child(widget_class, LcipLaneHeader, warning_image);
  gtk_widget_class_bind_template_child(widget_class, LcipLaneHeader, menu_button);
  gtk_widget_class_bind_template_child(widget_class, LcipLaneHeader, device_label);
  gtk_widget_class_bind_template_child(widget_class, LcipLaneHeader, load_box);
  gtk_widget_class_bind_template_child(widget_class, LcipLaneHeader, load_bar);
  gtk_widget_class_bind_template_child(widget_class, LcipLaneHeader, load_label);
  gtk_widget_class_bind_template_child(widget_class, LcipLaneHeader, memory_label);
  gtk_widget_class_bind_template_child(widget_class, LcipLaneHeader, queue_label);
  gtk_widget_class_bind_template_child(widget_class, LcipLaneHeader, link_label);
  gtk_widget_class_bind_template_child(widget_class, LcipLaneHeader, unbound_box);
  gtk_widget_class_bind_template_child(widget_class, LcipLaneHeader, assign_button);
  gtk_widget_class_bind_template_child(widget_class, LcipLaneHeader, empty_button);
}

static void lcip_lane_header_init(LcipLaneHeader *self) {
  gtk_widget_init_template(GTK_WIDGET(self));
}

GtkWidget *lcip_lane_header_new(void) {
  return g_object_new(LCIP_TYPE_LANE_HEADER, NULL);
}

/* ---- the lane ---- */

static void menu_append(GMenu *menu, const char *label, const char *action, const char *lane) {
  g_autoptr(GMenuItem) item = g_menu_item_new(label, NULL);
  g_menu_item_set_action_and_target(item, action, "s", lane);
  g_menu_append_item(menu, item);
}

void lcip_lane_header_set_lane(LcipLaneHeader *self, const LcipLane *lane, guint index, guint n) {
  self->index = index;
  gtk_label_set_text(self->name_label, lane->name);
  gtk_actionable_set_action_target(self->assign_button, "s", lane->name);
  gtk_actionable_set_action_target(self->empty_button, "s", lane->name);
  gtk_actionable_set_action_name(self->assign_button, "win.assign-lane");
  gtk_actionable_set_action_name(self->empty_button, "win.empty-lane");
  g_autoptr(GMenu) menu = g_menu_new();
  menu_append(menu, "Assign Device…", "win.assign-lane", lane->name);
  if (lane->kind != LCIP_LANE_CPU)
    menu_append(menu, "Move Actors to CPU", "win.empty-lane", lane->name);
  if (n > 1)
    menu_append(menu, "Remove Lane", "win.remove-lane", lane->name);
  gtk_menu_button_set_menu_model(self->menu_button, G_MENU_MODEL(menu));
  g_autofree char *label = g_strdup_printf("Lane %s", lane->name);
  gtk_accessible_update_property(GTK_ACCESSIBLE(self), GTK_ACCESSIBLE_PROPERTY_LABEL, label, -1);
  gtk_widget_queue_draw(GTK_WIDGET(self));
}

/* As the plan binds lanes: the device that the document hints at where it is here, else the first
 * of the lane's kind. */
const LcipDevice *lcip_lane_header_find_device(const LcipLane *lane) {
  LcipRuntime *runtime = lcip_runtime_get();
  const LcipDevice *hinted = lane->device ? lcip_runtime_find_device(runtime, lane->device) : NULL;
  if (hinted && hinted->kind == lane->kind)
    return hinted;
  const GPtrArray *devices = lcip_runtime_devices(runtime);
  for (guint i = 0; i < devices->len; i++)
    if (((const LcipDevice *)devices->pdata[i])->kind == lane->kind)
      return devices->pdata[i];
  return NULL;
}

/* ---- the plan ---- */

static char *device_words(const LcipDevice *device, const LcipPlanLane *planned) {
  if (!device)
    return g_strdup("No device");
  if (planned && device->kind == LCIP_LANE_CPU && planned->threads > 0)
    return g_strdup_printf("%s · %u threads", device->name, planned->threads);
  return g_strdup(device->name);
}

static char *memory_words(const LcipDevice *device, const LcipPlanLane *planned) {
  /* What a worker has of memory in use is its own matter. */
  if (!device || !planned || device->kind == LCIP_LANE_REMOTE)
    return g_strdup("");
  g_autofree char *used = g_format_size(planned->arena_bytes + planned->weight_bytes);
  if (device->memory_bytes == 0)
    return g_steal_pointer(&used);
  g_autofree char *all = g_format_size(device->memory_bytes);
  return g_strdup_printf("%s of %s", used, all);
}

void lcip_lane_header_set_plan(LcipLaneHeader *self, const LcipDevice *device,
                               const LcipPlanLane *planned) {
  g_autofree char *name = device_words(device, planned);
  g_autofree char *memory = memory_words(device, planned);
  self->used = planned && planned->n_steps > 0;
  gtk_label_set_text(self->device_label, name);
  gtk_widget_set_tooltip_text(GTK_WIDGET(self->device_label), name);
  gtk_label_set_text(self->memory_label, memory);
  gtk_widget_set_visible(GTK_WIDGET(self->memory_label), *memory != 0);
  gtk_widget_set_visible(self->unbound_box, device == NULL);
  gtk_widget_set_visible(self->load_box, FALSE);
  gtk_widget_set_visible(GTK_WIDGET(self->queue_label), FALSE);
  gtk_widget_set_visible(self->warning_image, FALSE);
}

/* ---- the link ---- */

/* "0.12 ms · 940 MB/s", what is known of it. */
static char *link_figures(const LcipLinkStatus *status) {
  g_autofree char *ms = status->latency_ns > 0 ? lcip_format_ms(status->latency_ns / 1e6) : NULL;
  g_autofree char *rate =
      status->bytes_per_second > 0 ? g_format_size((guint64)status->bytes_per_second) : NULL;
  if (ms && rate)
    return g_strdup_printf("%s · %s/s", ms, rate);
  return ms ? g_steal_pointer(&ms) : rate ? g_strdup_printf("%s/s", rate) : NULL;
}

/* The tooltip and the list of problems have the address too. */
static const char *short_reason(const LcipLinkStatus *status) {
  const char *reason = status->reason ? status->reason : "no answer";
  if (!status->address || !g_str_has_prefix(reason, status->address))
    return reason;
  const char *rest = reason + strlen(status->address);
  return g_str_has_prefix(rest, ": ") ? rest + 2 : reason;
}

/* A dot that is full or hollow, so that colour is not all. */
static char *link_words(const LcipLaneLink *link) {
  g_autofree char *figures = link_figures(&link->status);
  if (link->online)
    return g_strdup_printf("● Online%s%s", figures ? "\n" : "", figures ? figures : "");
  if (link->status.state == LCIP_LINK_CONNECTING || link->status.state == LCIP_LINK_DEPLOYING)
    return g_strdup_printf("○ Offline: %s…", lcip_link_state_name(link->status.state));
  return g_strdup_printf("○ Offline: %s", short_reason(&link->status));
}

void lcip_lane_header_set_link(LcipLaneHeader *self, const LcipLaneLink *link) {
  gtk_widget_set_visible(GTK_WIDGET(self->link_label), link != NULL);
  if (!link)
    return;
  g_autofree char *words = link_words(link);
  g_autofree char *tooltip =
      g_strdup_printf("%s\n%s%s%s", link->status.address ? link->status.address : link->lane, words,
                      link->status.reason && link->online ? "\nLast time offline: " : "",
                      link->status.reason && link->online ? link->status.reason : "");
  gtk_label_set_text(self->link_label, words);
  gtk_widget_set_tooltip_text(GTK_WIDGET(self->link_label), tooltip);
  gtk_widget_remove_css_class(GTK_WIDGET(self->link_label), link->online ? "offline" : "online");
  gtk_widget_add_css_class(GTK_WIDGET(self->link_label), link->online ? "online" : "offline");
}

const char *lcip_lane_header_get_link_text(LcipLaneHeader *self) {
  return gtk_widget_get_visible(GTK_WIDGET(self->link_label)) ? gtk_label_get_text(self->link_label)
                                                              : NULL;
}

/* ---- the profile ---- */

static char *extra_words(const char *one, const char *many, guint n, double ms) {
  g_autofree char *time = lcip_format_ms(ms);
  return n ? g_strdup_printf("\n%u %s %s", n, n == 1 ? one : many, time) : g_strdup("");
}

void lcip_lane_header_set_profile(LcipLaneHeader *self, const LcipLaneProfile *profile,
                                  const LcipLaneExtra *extra) {
  gtk_widget_set_visible(self->load_box, profile != NULL && self->used);
  gtk_widget_set_visible(GTK_WIDGET(self->queue_label), profile != NULL && self->used);
  gtk_widget_set_visible(self->warning_image, profile && profile->utilisation > 0.95);
  if (!profile)
    return;
  g_autofree char *load = g_strdup_printf("%.0f %%", 100 * profile->utilisation);
  gtk_level_bar_set_value(self->load_bar, CLAMP(profile->utilisation, 0, 1));
  gtk_label_set_text(self->load_label, load);
  g_autofree char *queue = g_strdup_printf("Queue %u", profile->queue);
  g_autofree char *reorders =
      extra_words("reorder", "reorders", extra->n_reorders, extra->reorder_ms);
  g_autofree char *copies = extra_words("copy", "copies", extra->n_copies, extra->copy_ms);
  g_autofree char *text =
      g_strconcat(extra->bottleneck ? "Limits the capacity\n" : "", queue, reorders, copies, NULL);
  gtk_label_set_text(self->queue_label, text);
}
