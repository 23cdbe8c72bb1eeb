#include "config.h"
#include "test-editor.h"

#include <string.h>

#define DEADLINE_SECONDS 120

LcipApplication *application;
LcipWindow *window;
LcipSession *session;
LcipCanvas *canvas;

static gboolean wake(gpointer data) {
  return G_SOURCE_CONTINUE;
}

void wait_until(Condition condition, const char *what) {
  gint64 end = g_get_monotonic_time() + DEADLINE_SECONDS * G_USEC_PER_SEC;
  guint id = g_timeout_add(20, wake, NULL);
  while (!condition()) {
    if (g_get_monotonic_time() > end)
      g_error("waited %d s in vain for: %s", DEADLINE_SECONDS, what);
    g_main_context_iteration(NULL, TRUE);
  }
  g_source_remove(id);
}

gboolean is_planned(void) {
  LcipPlan *plan = lcip_session_get_plan(session);
  return !lcip_session_is_loading(session) && plan && !lcip_session_is_planning(session) &&
         lcip_plan_graph(plan) == lcip_session_get_graph(session);
}

gboolean is_allocated(void) {
  graphene_rect_t rect;
  const LcipGraph *graph = lcip_session_get_graph(session);
  const LcipLane *first = graph->lanes->pdata[0];
  return gtk_widget_get_width(GTK_WIDGET(canvas)) > 0 &&
         lcip_canvas_get_lane_rect(canvas, first->name, &rect) && rect.size.height > 0;
}

static char *example_path(void) {
  return lcip_data_path("blazeface-back.xml");
}

void open_path(const char *path) {
  g_autoptr(GFile) file = g_file_new_for_path(path);
  lcip_session_set_document(session, NULL);
  lcip_window_open(window, file, FALSE, FALSE);
  wait_until(is_planned, "a plan of the opened file");
  wait_until(is_allocated, "the canvas");
}

void open_example(void) {
  g_autofree char *path = example_path();
  open_path(path);
}

const char *lane_of(const char *id) {
  LcipGraph *graph = lcip_session_get_graph(session);
  return lcip_graph_lane_of(graph, lcip_graph_find_mapping(graph, NULL),
                            lcip_graph_find_actor(graph, id));
}

const char *actor_of(const char *op) {
  LcipGraph *graph = lcip_session_get_graph(session);
  for (guint i = 0; i < graph->actors->len; i++)
    if (g_str_equal(lcip_graph_actor(graph, i)->op_name, op))
      return lcip_graph_actor(graph, i)->id;
  g_error("no %s in the example", op);
}

const char *second_lane(void) {
  LcipGraph *graph = lcip_session_get_graph(session);
  g_assert_cmpuint(graph->lanes->len, >=, 2);
  return ((LcipLane *)graph->lanes->pdata[1])->name;
}

void activate(const char *action, GVariant *target) {
  gtk_widget_activate_action_variant(GTK_WIDGET(window), action, target);
}

AdwMessageDialog *open_dialog(void) {
  g_autoptr(GList) windows = gtk_window_list_toplevels();
  for (GList *i = windows; i; i = i->next)
    if (ADW_IS_MESSAGE_DIALOG(i->data))
      return i->data;
  return NULL;
}

gboolean dialog_is_open(void) {
  return open_dialog() != NULL;
}

gboolean no_dialog(void) {
  return !dialog_is_open();
}

void close_dialog(void) {
  gtk_window_close(GTK_WINDOW(open_dialog()));
}

void answer_dialog(const char *response) {
  AdwMessageDialog *dialog = open_dialog();
  adw_message_dialog_response(dialog, response);
  gtk_window_destroy(GTK_WINDOW(dialog));
}

gboolean has_profile(void) {
  const LcipProfile *profile = lcip_session_get_profile(session);
  return profile && profile->frames > 5;
}

gboolean is_stopped(void) {
  return lcip_session_get_state(session) == LCIP_SESSION_STOPPED;
}

const char *label_of_actor(const char *id) {
  return lcip_actor_widget_get_label(LCIP_ACTOR_WIDGET(lcip_canvas_get_actor(canvas, id)));
}

GtkWidget *find_label(GtkWidget *widget, const char *part) {
  if (GTK_IS_LABEL(widget) && strstr(gtk_label_get_text(GTK_LABEL(widget)), part))
    return widget;
  GtkWidget *found = NULL;
  for (GtkWidget *child = gtk_widget_get_first_child(widget); child && !found;
       child = gtk_widget_get_next_sibling(child))
    found = find_label(child, part);
  return found;
}

gboolean has_label(GtkWidget *widget, const char *part) {
  return find_label(widget, part) != NULL;
}

gboolean has_visible_label(GtkWidget *widget, const char *part) {
  GtkWidget *label = find_label(widget, part);
  return label && gtk_widget_is_visible(label);
}

void take_picture(GtkWidget *widget, const char *name) {
  const char *folder = g_getenv("LCIP_TEST_PICTURES");
  if (!folder)
    return;
  GtkWidget *shown = widget ? widget : GTK_WIDGET(window);
  gtk_test_widget_wait_for_draw(shown);
  g_autofree char *path = g_strdup_printf("%s/%s.png", folder, name);
  g_autoptr(GdkPaintable) paintable = gtk_widget_paintable_new(shown);
  g_autoptr(GtkSnapshot) snapshot = gtk_snapshot_new();
  gdk_paintable_snapshot(paintable, snapshot, gtk_widget_get_width(shown),
                         gtk_widget_get_height(shown));
  g_autoptr(GskRenderNode) node = gtk_snapshot_free_to_node(g_steal_pointer(&snapshot));
  GskRenderer *renderer = gtk_native_get_renderer(gtk_widget_get_native(shown));
  g_autoptr(GdkTexture) texture = gsk_renderer_render_texture(renderer, node, NULL);
  g_assert_true(gdk_texture_save_to_png(texture, path));
}
