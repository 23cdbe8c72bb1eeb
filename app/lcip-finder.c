#include "config.h"

#include "lcip-finder.h"

#include "lcip-palette.h"
#include "lcip-query.h"
#include "lcip-remote-device.h"

#include <string.h>

#define MAX_ACTORS 60

struct _LcipFinder {
  GtkWidget parent;
  /* template */
  GtkWidget *box;
  GtkSearchEntry *entry;
  GtkScrolledWindow *scrolled;
  GtkListBox *list;
  /* owned */
  LcipSession *session;
  char *filled; /* the text that the list is of */

  gboolean actors_only;
};

G_DEFINE_FINAL_TYPE(LcipFinder, lcip_finder, GTK_TYPE_WIDGET)

static guint found_signal, closed_signal;

static const struct {
  const char *title;
  const char *action; /* as g_action_parse_detailed_name() takes it */
} commands[] = {
    {"Open…", "win.open"},
    {"Save", "win.save"},
    {"Save As…", "win.save-as"},
    {"Run or Stop", "win.run"},
    {"Undo", "win.undo"},
    {"Redo", "win.redo"},
    {"Fit the Network into the Window", "win.fit"},
    {"Original Size", "win.zoom-original"},
    {"Zoom In", "win.zoom-in"},
    {"Zoom Out", "win.zoom-out"},
    {"Tidy Up", "win.tidy"},
    {"Move the Selection a Lane Up", "win.move-selection(-1)"},
    {"Move the Selection a Lane Down", "win.move-selection(1)"},
    {"Show Problems", "win.problems"},
    {"Show Times in Milliseconds", "win.figures('time')"},
    {"Show Times as Shares", "win.figures('share')"},
    {"Show the Difference to Now", "win.figures('difference')"},
    {"Show Memory", "win.figures('memory')"},
    {"Show Kernels", "win.figures('kernel')"},
    {"Mark the Critical Path", "win.critical-path"},
    {"Connect Picture…", "win.connect-picture"},
    {"Time with Random Input", "win.time-random"},
    {"Input Sizes…", "win.input-sizes"},
    {"Picture Source: Demo Picture", "win.source('demo')"},
    {"Picture Source: First Camera", "win.source('')"},
    {"Picture Source: File…", "win.source-file"},
    {"Pair with a Worker…", "win.pair"},
    {"Copy Mapping", "win.copy-mapping"},
    {"Keyboard Shortcuts", "win.show-help-overlay"},
    {"About LCIP", "app.about"},
};

/* ---- rows ---- */

static GtkWidget *row_new(const char *title, const char *detail) {
  GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12), *row = gtk_list_box_row_new();
  GtkWidget *name = gtk_label_new(title), *more = gtk_label_new(detail ? detail : "");
  gtk_widget_add_css_class(box, "finder-row");
  gtk_widget_add_css_class(more, "lane-detail");
  gtk_widget_add_css_class(more, "numeric");
  gtk_label_set_ellipsize(GTK_LABEL(name), PANGO_ELLIPSIZE_MIDDLE);
  gtk_label_set_xalign(GTK_LABEL(name), 0);
  gtk_widget_set_hexpand(name, TRUE);
  gtk_box_append(GTK_BOX(box), name);
  gtk_box_append(GTK_BOX(box), more);
  gtk_list_box_row_set_child(GTK_LIST_BOX_ROW(row), box);
  return row;
}

static char *accel_words(const char *action) {
  GApplication *application = g_application_get_default();
  if (!application)
    return NULL;
  g_auto(GStrv) accels =
      gtk_application_get_accels_for_action(GTK_APPLICATION(application), action);
  guint key;
  GdkModifierType modifiers;
  return accels[0] && gtk_accelerator_parse(accels[0], &key, &modifiers)
             ? gtk_accelerator_get_label(key, modifiers)
             : NULL;
}

static gboolean is_enabled(LcipFinder *self, const char *name) {
  GtkRoot *root = gtk_widget_get_root(GTK_WIDGET(self));
  const char *dot = strchr(name, '.');
  GActionGroup *group = g_str_has_prefix(name, "app.") ? G_ACTION_GROUP(g_application_get_default())
                                                       : G_ACTION_GROUP(root);
  return group && dot && g_action_group_get_action_enabled(group, dot + 1);
}

/* Every word of @text is somewhere in @title. */
static gboolean title_fits(const char *title, const char *text) {
  g_autofree char *lower = g_utf8_strdown(title, -1), *wanted = g_utf8_strdown(text, -1);
  g_auto(GStrv) words = g_strsplit(wanted, " ", -1);
  for (guint i = 0; words[i]; i++)
    if (!strstr(lower, words[i]))
      return FALSE;
  return TRUE;
}

static void add_command(LcipFinder *self, const char *text, const char *title, const char *name,
                        GVariant *target) {
  g_autoptr(GVariant) owned = target ? g_variant_ref_sink(target) : NULL;
  if (!title_fits(title, text) || !is_enabled(self, name))
    return;
  g_autofree char *detailed = g_action_print_detailed_name(name, owned);
  g_autofree char *accel = accel_words(detailed);
  GtkWidget *row = row_new(title, accel);
  g_object_set_data_full(G_OBJECT(row), "action", g_strdup(name), g_free);
  if (owned)
    g_object_set_data_full(G_OBJECT(row), "target", g_variant_ref(owned),
                           (GDestroyNotify)g_variant_unref);
  gtk_list_box_append(self->list, row);
}

static void add_commands(LcipFinder *self, const char *text) {
  for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
    g_autofree char *name = NULL;
    GVariant *target = NULL;
    if (g_action_parse_detailed_name(commands[i].action, &name, &target, NULL))
      add_command(self, text, commands[i].title, name, target);
    g_clear_pointer(&target, g_variant_unref);
  }
}

/* Those that depend on the document and on this computer. */
static void add_own_commands(LcipFinder *self, const char *text) {
  LcipGraph *graph = lcip_session_get_graph(self->session);
  const GPtrArray *devices = lcip_runtime_devices(lcip_runtime_get());
  for (guint i = 0; graph && i < graph->mappings->len; i++) {
    const char *name = ((const LcipMapping *)graph->mappings->pdata[i])->name;
    g_autofree char *title = g_strdup_printf("Use Mapping %s", name);
    add_command(self, text, title, "win.mapping", g_variant_new_string(name));
  }
  g_autoptr(GPtrArray) remote = lcip_remote_devices(NULL);
  for (guint i = 0; i < devices->len + (remote ? remote->len : 0); i++) {
    const LcipDevice *device =
        i < devices->len ? devices->pdata[i] : remote->pdata[i - devices->len];
    g_autofree char *title = g_strdup_printf("Add Lane: %s", device->name);
    add_command(self, text, title, "win.add-lane", g_variant_new_string(device->id));
  }
}

/* ---- actors ---- */

static char *actor_detail(LcipGraph *graph, int actor, const double *ms) {
  const char *lane = lcip_graph_lane_of(graph, lcip_graph_find_mapping(graph, NULL), actor);
  if (!ms || !(ms[actor] > 0))
    return g_strdup(lane);
  g_autofree char *time = lcip_format_ms(ms[actor]);
  return g_strdup_printf("%s · %s", lane, time);
}

static void add_ids(LcipFinder *self, const char *title, const char *detail, char **ids) {
  GtkWidget *row = row_new(title, detail);
  g_object_set_data_full(G_OBJECT(row), "ids", ids, (GDestroyNotify)g_strfreev);
  gtk_list_box_append(self->list, row);
}

static void add_all(LcipFinder *self, LcipGraph *graph, const GArray *actors) {
  char **ids = g_new0(char *, actors->len + 1);
  for (guint i = 0; i < actors->len; i++)
    ids[i] = g_strdup(lcip_graph_actor(graph, g_array_index(actors, int, i))->id);
  g_autofree char *title = g_strdup_printf("Select All %u", actors->len);
  add_ids(self, title, NULL, ids);
}

static void add_note(LcipFinder *self, const char *text) {
  GtkWidget *row = row_new(text, NULL);
  gtk_list_box_row_set_selectable(GTK_LIST_BOX_ROW(row), FALSE);
  gtk_list_box_row_set_activatable(GTK_LIST_BOX_ROW(row), FALSE);
  gtk_widget_add_css_class(row, "error");
  gtk_list_box_append(self->list, row);
}

static void add_actors(LcipFinder *self, const char *text) {
  LcipGraph *graph = lcip_session_get_graph(self->session);
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipQuery) query = graph ? lcip_query_new(text, &error) : NULL;
  if (!query) {
    if (error)
      add_note(self, error->message);
    return;
  }
  g_autofree double *ms = lcip_session_get_actor_ms(self->session);
  const LcipQueryFacts facts = {graph, lcip_graph_find_mapping(graph, NULL),
                                lcip_session_get_problems(self->session), ms};
  g_autoptr(GArray) actors = lcip_query_run(query, &facts);
  if (actors->len > 1)
    add_all(self, graph, actors);
  for (guint i = 0; i < MIN(actors->len, MAX_ACTORS); i++) {
    const int index = g_array_index(actors, int, i);
    const LcipActor *actor = lcip_graph_actor(graph, index);
    g_autofree char *title = lcip_format_actor(actor), *detail = actor_detail(graph, index, ms);
    char *ids[] = {actor->id, NULL};
    add_ids(self, title, detail, g_strdupv(ids));
  }
}

/* ---- the whole ---- */

static gboolean select_row(LcipFinder *self, int index) {
  GtkListBoxRow *row = gtk_list_box_get_row_at_index(self->list, index);
  if (!row || !gtk_list_box_row_get_selectable(row))
    return FALSE;
  gtk_list_box_select_row(self->list, row);
  return TRUE;
}

static void fill(LcipFinder *self) {
  GtkListBoxRow *row;
  const char *text = gtk_editable_get_text(GTK_EDITABLE(self->entry));
  g_autofree char *trimmed = g_strstrip(g_strdup(text));
  g_free(self->filled);
  self->filled = g_strdup(text);
  while ((row = gtk_list_box_get_row_at_index(self->list, 0)))
    gtk_list_box_remove(self->list, GTK_WIDGET(row));
  if (!self->session)
    return;
  if (!self->actors_only) {
    add_commands(self, trimmed);
    add_own_commands(self, trimmed);
  }
  if (self->actors_only || *trimmed)
    add_actors(self, trimmed);
  select_row(self, 0);
}

static void hide(LcipFinder *self) {
  gtk_widget_set_visible(GTK_WIDGET(self), FALSE);
  g_signal_emit(self, closed_signal, 0);
}

/* Hidden first: what a command shows must not be covered, and gets the focus. */
static void row_activated(LcipFinder *self, GtkListBoxRow *row) {
  const char *action = g_object_get_data(G_OBJECT(row), "action");
  g_autofree char *name = g_strdup(action);
  GVariant *target = g_object_get_data(G_OBJECT(row), "target");
  g_autoptr(GVariant) owned = target ? g_variant_ref(target) : NULL;
  g_auto(GStrv) ids = g_strdupv(g_object_get_data(G_OBJECT(row), "ids"));
  hide(self);
  if (name)
    gtk_widget_activate_action_variant(GTK_WIDGET(self), name, owned);
  else if (ids)
    g_signal_emit(self, found_signal, 0, ids);
}

/* The entry waits a little before it tells what was typed: Enter may be faster. */
static void activate_selected(LcipFinder *self) {
  if (g_strcmp0(self->filled, gtk_editable_get_text(GTK_EDITABLE(self->entry))) != 0)
    fill(self);
  GtkListBoxRow *row = gtk_list_box_get_selected_row(self->list);
  if (row)
    row_activated(self, row);
}

/* The focus stays in the entry: arrows move the choice. */
static gboolean key_pressed(GtkEventControllerKey *controller, guint key, guint code,
                            GdkModifierType state, LcipFinder *self) {
  GtkListBoxRow *row = gtk_list_box_get_selected_row(self->list);
  const int by = key == GDK_KEY_Down || key == GDK_KEY_KP_Down ? 1
                 : key == GDK_KEY_Up || key == GDK_KEY_KP_Up   ? -1
                                                               : 0;
  if (by == 0)
    return FALSE;
  const int index = (row ? gtk_list_box_row_get_index(row) : -1) + by;
  GtkListBoxRow *next = index >= 0 ? gtk_list_box_get_row_at_index(self->list, index) : NULL;
  graphene_rect_t bounds;
  if (!next || !select_row(self, index) ||
      !gtk_widget_compute_bounds(GTK_WIDGET(next), GTK_WIDGET(self->list), &bounds))
    return TRUE;
  gtk_adjustment_clamp_page(gtk_scrolled_window_get_vadjustment(self->scrolled), bounds.origin.y,
                            bounds.origin.y + bounds.size.height);
  return TRUE;
}

void lcip_finder_show(LcipFinder *self, gboolean actors_only) {
  self->actors_only = actors_only;
  g_object_set(self->entry, "placeholder-text",
               actors_only ? "Name, op:Conv, on:gpu, is:slow, is:invalid"
                           : "Command, name of an actor, or op:Conv on:gpu is:slow",
               NULL);
  gtk_editable_set_text(GTK_EDITABLE(self->entry), "");
  fill(self);
  gtk_widget_set_visible(GTK_WIDGET(self), TRUE);
  gtk_widget_grab_focus(GTK_WIDGET(self->entry));
}

GtkListBox *lcip_finder_get_list(LcipFinder *self) {
  return self->list;
}

GtkEditable *lcip_finder_get_entry(LcipFinder *self) {
  return GTK_EDITABLE(self->entry);
}

static void finder_dispose(GObject *object) {
  LcipFinder *self = LCIP_FINDER(object);
  g_clear_object(&self->session);
  g_clear_pointer(&self->filled, g_free);
  g_clear_pointer(&self->box, gtk_widget_unparent);
  G_OBJECT_CLASS(lcip_finder_parent_class)->dispose(object);
}

static void lcip_finder_class_init(LcipFinderClass *klass) {
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);
  G_OBJECT_CLASS(klass)->dispose = finder_dispose;
  found_signal = g_signal_new("found", G_TYPE_FROM_CLASS(klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                              NULL, G_TYPE_NONE, 1, G_TYPE_STRV);
  closed_signal = g_signal_new("closed", G_TYPE_FROM_CLASS(klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                               NULL, G_TYPE_NONE, 0);
  gtk_widget_class_set_template_from_resource(widget_class, "/org/lcip/Editor/lcip-finder.ui");
  gtk_widget_class_bind_template_child(widget_class, LcipFinder, box);
  gtk_widget_class_bind_template_child(widget_class, LcipFinder, entry);
  gtk_widget_class_bind_template_child(widget_class, LcipFinder, scrolled);
  gtk_widget_class_bind_template_child(widget_class, LcipFinder, list);
  gtk_widget_class_bind_template_callback(widget_class, fill);
  gtk_widget_class_bind_template_callback(widget_class, hide);
  gtk_widget_class_bind_template_callback(widget_class, row_activated);
  gtk_widget_class_bind_template_callback(widget_class, activate_selected);
}

static void lcip_finder_init(LcipFinder *self) {
  gtk_widget_init_template(GTK_WIDGET(self));
  GtkEventController *keys = gtk_event_controller_key_new();
  gtk_event_controller_set_propagation_phase(keys, GTK_PHASE_CAPTURE);
  g_signal_connect(keys, "key-pressed", G_CALLBACK(key_pressed), self);
  gtk_widget_add_controller(GTK_WIDGET(self), keys);
}

void lcip_finder_set_session(LcipFinder *self, LcipSession *session) {
  g_set_object(&self->session, session);
}
