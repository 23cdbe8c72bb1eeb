#include "config.h"

#include "lcip-window-private.h"

#include "lcip-pair-dialog.h"
#include "lcip-remote-device.h"

#define ZOOM_STEP 1.25

/* ---- view ---- */

static void action_zoom_in(GSimpleAction *action, GVariant *parameter, gpointer data) {
  LcipWindow *self = data;
  lcip_canvas_set_zoom(self->canvas, lcip_canvas_get_zoom(self->canvas) * ZOOM_STEP);
}

static void action_zoom_out(GSimpleAction *action, GVariant *parameter, gpointer data) {
  LcipWindow *self = data;
  lcip_canvas_set_zoom(self->canvas, lcip_canvas_get_zoom(self->canvas) / ZOOM_STEP);
}

static void action_zoom_original(GSimpleAction *action, GVariant *parameter, gpointer data) {
  lcip_canvas_set_zoom(((LcipWindow *)data)->canvas, 1);
}

static void action_fit(GSimpleAction *action, GVariant *parameter, gpointer data) {
  lcip_canvas_fit(((LcipWindow *)data)->canvas);
}

static void action_reveal(GSimpleAction *action, GVariant *parameter, gpointer data) {
  lcip_canvas_reveal(((LcipWindow *)data)->canvas, g_variant_get_string(parameter, NULL));
}

static void action_find(GSimpleAction *action, GVariant *parameter, gpointer data) {
  lcip_finder_show(((LcipWindow *)data)->finder, TRUE);
}

static void action_commands(GSimpleAction *action, GVariant *parameter, gpointer data) {
  lcip_finder_show(((LcipWindow *)data)->finder, FALSE);
}

static const char *const figure_names[] = {"time", "share", "difference", "memory", "kernel"};

static void action_figures(GSimpleAction *action, GVariant *parameter, gpointer data) {
  LcipWindow *self = data;
  const char *name = g_variant_get_string(parameter, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(figure_names); i++) {
    if (!g_str_equal(figure_names[i], name))
      continue;
    g_simple_action_set_state(action, parameter);
    lcip_canvas_set_figures(self->canvas, (LcipFigures)i);
    lcip_canvas_set_profile(self->canvas, lcip_session_get_profile(self->session));
    gtk_widget_queue_draw(GTK_WIDGET(self->overview));
  }
}

static void action_critical_path(GSimpleAction *action, GVariant *state, gpointer data) {
  g_simple_action_set_state(action, state);
  lcip_canvas_set_critical_path(((LcipWindow *)data)->canvas, g_variant_get_boolean(state));
}

/* ---- edits ---- */

static void action_undo(GSimpleAction *action, GVariant *parameter, gpointer data) {
  LcipDocument *document = lcip_session_get_document(((LcipWindow *)data)->session);
  if (document)
    lcip_document_undo(document);
}

static void action_redo(GSimpleAction *action, GVariant *parameter, gpointer data) {
  LcipDocument *document = lcip_session_get_document(((LcipWindow *)data)->session);
  if (document)
    lcip_document_redo(document);
}

static void action_tidy(GSimpleAction *action, GVariant *parameter, gpointer data) {
  lcip_session_tidy(((LcipWindow *)data)->session);
}

static void action_move_selection(GSimpleAction *action, GVariant *parameter, gpointer data) {
  lcip_canvas_move_selection(((LcipWindow *)data)->canvas, g_variant_get_int32(parameter));
}

static void action_revert(GSimpleAction *action, GVariant *parameter, gpointer data) {
  lcip_session_revert_change(((LcipWindow *)data)->session);
}

static void action_mapping(GSimpleAction *action, GVariant *parameter, gpointer data) {
  lcip_session_set_mapping(((LcipWindow *)data)->session, g_variant_get_string(parameter, NULL));
}

static void action_copy_mapping(GSimpleAction *action, GVariant *parameter, gpointer data) {
  lcip_session_copy_mapping(((LcipWindow *)data)->session);
}

/* ---- lanes ---- */

static void action_add_lane(GSimpleAction *action, GVariant *parameter, gpointer data) {
  LcipWindow *self = data;
  const LcipDevice *device =
      lcip_runtime_find_device(lcip_runtime_get(), g_variant_get_string(parameter, NULL));
  if (device && lcip_session_get_document(self->session))
    lcip_session_add_lane(self->session, device);
}

static void paired(const char *address, gpointer data) {
  LcipWindow *self = data;
  if (!address)
    return;
  g_autofree char *text = g_strdup_printf("Paired with %s: Add Lane has its devices", address);
  lcip_window_fill_lane_menu(self);
  g_signal_emit_by_name(self->session, "message", text);
}

static void action_pair(GSimpleAction *action, GVariant *parameter, gpointer data) {
  g_autoptr(GError) error = NULL;
  if (!lcip_pair_dialog_present(GTK_WINDOW(data), paired, data, &error))
    g_signal_emit_by_name(((LcipWindow *)data)->session, "failed", "Could Not Pair",
                          error->message);
}

static void action_remove_lane(GSimpleAction *action, GVariant *parameter, gpointer data) {
  lcip_session_remove_lane(((LcipWindow *)data)->session, g_variant_get_string(parameter, NULL));
}

static void action_empty_lane(GSimpleAction *action, GVariant *parameter, gpointer data) {
  lcip_session_empty_lane(((LcipWindow *)data)->session, g_variant_get_string(parameter, NULL));
}

typedef struct {
  LcipWindow *window;
  char *lane;
} AssignRequest;

static void assign_request_free(gpointer data, GClosure *closure) {
  AssignRequest *request = data;
  g_free(request->lane);
  g_free(request);
}

static void assign_response(AdwMessageDialog *dialog, const char *response,
                            AssignRequest *request) {
  const LcipDevice *device = lcip_runtime_find_device(lcip_runtime_get(), response);
  if (device)
    lcip_session_set_lane_device(request->window->session, request->lane, device);
}

static void action_assign_lane(GSimpleAction *action, GVariant *parameter, gpointer data) {
  LcipWindow *self = data;
  const char *lane = g_variant_get_string(parameter, NULL);
  const GPtrArray *devices = lcip_runtime_devices(lcip_runtime_get());
  const char *problem = lcip_runtime_opencl_problem(lcip_runtime_get());
  g_autofree char *title = g_strdup_printf("Assign a Device to %s", lane);
  GtkWidget *dialog = adw_message_dialog_new(GTK_WINDOW(self), title, problem);
  adw_message_dialog_add_response(ADW_MESSAGE_DIALOG(dialog), "cancel", "_Cancel");
  adw_message_dialog_set_close_response(ADW_MESSAGE_DIALOG(dialog), "cancel");
  g_autoptr(GPtrArray) remote = lcip_remote_devices(NULL);
  for (guint i = 0; i < devices->len + (remote ? remote->len : 0); i++) {
    const LcipDevice *device =
        i < devices->len ? devices->pdata[i] : remote->pdata[i - devices->len];
    adw_message_dialog_add_response(ADW_MESSAGE_DIALOG(dialog), device->id, device->name);
  }
  AssignRequest *request = g_new0(AssignRequest, 1);
  *request = (AssignRequest){self, g_strdup(lane)};
  g_signal_connect_data(dialog, "response", G_CALLBACK(assign_response), request,
                        assign_request_free, 0);
  gtk_window_present(GTK_WINDOW(dialog));
}

static void menu_append(GMenu *menu, const char *label, const char *action, const char *target) {
  g_autoptr(GMenuItem) item = g_menu_item_new(label, NULL);
  g_menu_item_set_action_and_target(item, action, "s", target);
  g_menu_append_item(menu, item);
}

/* Those that are paired, and the way to one more. */
static void append_workers(GMenu *menu) {
  g_autoptr(GPtrArray) devices = lcip_remote_devices(NULL);
  g_autoptr(GMenu) section = g_menu_new();
  for (guint i = 0; devices && i < devices->len; i++) {
    const LcipDevice *device = devices->pdata[i];
    menu_append(section, device->name, "win.add-lane", device->id);
  }
  g_menu_append(section, "Pair with a Worker…", "win.pair");
  g_menu_append_section(menu, "Paired Workers", G_MENU_MODEL(section));
}

void lcip_window_fill_lane_menu(LcipWindow *self) {
  const GPtrArray *devices = lcip_runtime_devices(lcip_runtime_get());
  const char *problem = lcip_runtime_opencl_problem(lcip_runtime_get());
  g_autoptr(GMenu) menu = g_menu_new();
  g_autoptr(GMenu) found = g_menu_new();
  for (guint i = 0; i < devices->len; i++) {
    const LcipDevice *device = devices->pdata[i];
    menu_append(found, device->name, "win.add-lane", device->id);
  }
  g_menu_append_section(menu, "Devices of This Computer", G_MENU_MODEL(found));
  append_workers(menu);
  if (problem) {
    g_autoptr(GMenu) missing = g_menu_new();
    g_menu_append(missing, problem, NULL);
    g_menu_append_section(menu, "OpenCL", G_MENU_MODEL(missing));
  }
  gtk_menu_button_set_menu_model(self->add_lane_button, G_MENU_MODEL(menu));
}

void lcip_window_fill_mapping_menu(LcipWindow *self) {
  LcipGraph *graph = lcip_session_get_graph(self->session);
  g_autoptr(GMenu) menu = g_menu_new();
  g_autoptr(GMenu) names = g_menu_new();
  g_autoptr(GMenu) more = g_menu_new();
  for (guint i = 0; graph && i < graph->mappings->len; i++) {
    const char *name = ((LcipMapping *)graph->mappings->pdata[i])->name;
    menu_append(names, name, "win.mapping", name);
  }
  g_menu_append(more, "Copy Mapping", "win.copy-mapping");
  g_menu_append_section(menu, "Mappings of This Document", G_MENU_MODEL(names));
  g_menu_append_section(menu, NULL, G_MENU_MODEL(more));
  gtk_menu_button_set_menu_model(self->mapping_button, G_MENU_MODEL(menu));
  g_autofree char *label =
      g_strdup_printf("Mapping: %s", graph && graph->active_mapping ? graph->active_mapping : "–");
  gtk_menu_button_set_label(self->mapping_button, label);
}

/* ---- run ---- */

static void action_run(GSimpleAction *action, GVariant *parameter, gpointer data) {
  LcipWindow *self = data;
  LcipSessionState state = lcip_session_get_state(self->session);
  if (state == LCIP_SESSION_RUNNING || state == LCIP_SESSION_STARTING)
    lcip_session_stop(self->session);
  else
    lcip_session_run(self->session);
}

static void action_time_random(GSimpleAction *action, GVariant *parameter, gpointer data) {
  LcipWindow *self = data;
  lcip_connect_card_hide(self->connect_card);
  lcip_session_run(self->session);
}

static void action_connect_picture(GSimpleAction *action, GVariant *parameter, gpointer data) {
  lcip_connect_card_show(((LcipWindow *)data)->connect_card);
}

static void action_source(GSimpleAction *action, GVariant *parameter, gpointer data) {
  const char *what = g_variant_get_string(parameter, NULL);
  lcip_session_set_source(((LcipWindow *)data)->session, *what ? what : NULL);
}

static void action_problems(GSimpleAction *action, GVariant *parameter, gpointer data) {
  GtkRevealer *revealer = ((LcipWindow *)data)->problems_revealer;
  gtk_revealer_set_reveal_child(revealer, !gtk_revealer_get_reveal_child(revealer));
}

/* ---- the table ---- */

static const GActionEntry entries[] = {
    {.name = "zoom-in", .activate = action_zoom_in},
    {.name = "zoom-out", .activate = action_zoom_out},
    {.name = "zoom-original", .activate = action_zoom_original},
    {.name = "fit", .activate = action_fit},
    {.name = "reveal", .activate = action_reveal, .parameter_type = "s"},
    {.name = "find", .activate = action_find},
    {.name = "commands", .activate = action_commands},
    {.name = "figures", .activate = action_figures, .parameter_type = "s", .state = "'time'"},
    {.name = "critical-path", .state = "false", .change_state = action_critical_path},
    {.name = "undo", .activate = action_undo},
    {.name = "redo", .activate = action_redo},
    {.name = "tidy", .activate = action_tidy},
    {.name = "mapping", .activate = action_mapping, .parameter_type = "s"},
    {.name = "copy-mapping", .activate = action_copy_mapping},
    {.name = "move-selection", .activate = action_move_selection, .parameter_type = "i"},
    {.name = "revert", .activate = action_revert},
    {.name = "add-lane", .activate = action_add_lane, .parameter_type = "s"},
    {.name = "pair", .activate = action_pair},
    {.name = "remove-lane", .activate = action_remove_lane, .parameter_type = "s"},
    {.name = "empty-lane", .activate = action_empty_lane, .parameter_type = "s"},
    {.name = "assign-lane", .activate = action_assign_lane, .parameter_type = "s"},
    {.name = "run", .activate = action_run},
    {.name = "time-random", .activate = action_time_random},
    {.name = "connect-picture", .activate = action_connect_picture},
    {.name = "source", .activate = action_source, .parameter_type = "s"},
    {.name = "problems", .activate = action_problems},
};

void lcip_window_add_actions(LcipWindow *self) {
  g_action_map_add_action_entries(G_ACTION_MAP(self), entries, G_N_ELEMENTS(entries), self);
}

static void enable(LcipWindow *self, const char *name, gboolean enabled) {
  GAction *action = g_action_map_lookup_action(G_ACTION_MAP(self), name);
  if (action)
    g_simple_action_set_enabled(G_SIMPLE_ACTION(action), enabled);
}

static void set_edit_tooltip(GtkWidget *button, const char *verb, const char *label) {
  g_autofree char *text = label ? g_strdup_printf("%s %s", verb, label) : g_strdup(verb);
  gtk_widget_set_tooltip_text(button, text);
}

void lcip_window_update_actions(LcipWindow *self) {
  static const char *const need_document[] = {
      "zoom-in",        "zoom-out", "zoom-original", "fit",        "reveal",      "tidy",
      "move-selection", "add-lane", "remove-lane",   "empty-lane", "assign-lane", "problems",
      "save",           "save-as",  "find",          "commands",   "figures",     "critical-path"};
  LcipDocument *document = lcip_session_get_document(self->session);
  LcipGraph *graph = lcip_session_get_graph(self->session);
  LcipSessionState state = lcip_session_get_state(self->session);
  gboolean has_inputs = graph && graph->inputs->len > 0;
  for (gsize i = 0; i < G_N_ELEMENTS(need_document); i++)
    enable(self, need_document[i], document != NULL);
  const char *undo = document ? lcip_document_undo_label(document) : NULL;
  const char *redo = document ? lcip_document_redo_label(document) : NULL;
  enable(self, "undo", undo != NULL);
  enable(self, "redo", redo != NULL);
  enable(self, "run", document && state != LCIP_SESSION_STOPPING);
  enable(self, "time-random", has_inputs && state == LCIP_SESSION_STOPPED);
  enable(self, "connect-picture", has_inputs);
  enable(self, "input-sizes", lcip_window_has_open_sizes(self));
  set_edit_tooltip(self->undo_button, "Undo", undo);
  set_edit_tooltip(self->redo_button, "Redo", redo);
}
