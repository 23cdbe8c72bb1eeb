#include "config.h"

#include "lcip-window-private.h"

#include "lcip-input-sizes.h"
#include "lcip-open-dims.h"

/* Opening, saving, dropping files, and the question about unsaved changes. */

/* ---- unsaved changes ---- */

typedef struct {
  LcipWindow *window;
  LcipWindowFunc next;
  gpointer data;
  GDestroyNotify destroy;
} AskRequest;

static void ask_request_free(AskRequest *request) {
  if (request->destroy)
    request->destroy(request->data);
  g_object_unref(request->window);
  g_free(request);
}

typedef struct {
  LcipWindow *window;
  AskRequest *ask; /* what to do afterwards, or NULL */
} SaveRequest;

static void save_document(LcipWindow *self, gboolean choose, AskRequest *ask);

static void ask_response(AdwMessageDialog *dialog, const char *response, AskRequest *request) {
  if (g_str_equal(response, "save")) {
    save_document(request->window, FALSE, request);
    return;
  }
  if (g_str_equal(response, "discard"))
    request->next(request->window, request->data);
  ask_request_free(request);
}

void lcip_window_ask_to_save(LcipWindow *self, LcipWindowFunc next, gpointer data,
                             GDestroyNotify destroy) {
  LcipDocument *document = lcip_session_get_document(self->session);
  AskRequest *request = g_new0(AskRequest, 1);
  *request = (AskRequest){g_object_ref(self), next, data, destroy};
  if (!document || !lcip_document_modified(document)) {
    next(self, data);
    ask_request_free(request);
    return;
  }
  GtkWidget *dialog = adw_message_dialog_new(GTK_WINDOW(self), "Save Changes?", NULL);
  adw_message_dialog_format_body(ADW_MESSAGE_DIALOG(dialog),
                                 "“%s” has unsaved changes. Changes which are not saved will be "
                                 "permanently lost.",
                                 lcip_session_get_title(self->session));
  adw_message_dialog_add_responses(ADW_MESSAGE_DIALOG(dialog), "cancel", "_Cancel", "discard",
                                   "_Discard", "save", "_Save", NULL);
  adw_message_dialog_set_response_appearance(ADW_MESSAGE_DIALOG(dialog), "discard",
                                             ADW_RESPONSE_DESTRUCTIVE);
  adw_message_dialog_set_response_appearance(ADW_MESSAGE_DIALOG(dialog), "save",
                                             ADW_RESPONSE_SUGGESTED);
  adw_message_dialog_set_default_response(ADW_MESSAGE_DIALOG(dialog), "save");
  adw_message_dialog_set_close_response(ADW_MESSAGE_DIALOG(dialog), "cancel");
  g_signal_connect(dialog, "response", G_CALLBACK(ask_response), request);
  gtk_window_present(GTK_WINDOW(dialog));
}

/* ---- saving ---- */

static void saved(LcipSession *session, const GError *error, gpointer data) {
  SaveRequest *request = data;
  if (error)
    g_signal_emit_by_name(session, "failed", "Could Not Save", error->message);
  else if (request->ask)
    request->ask->next(request->ask->window, request->ask->data);
  if (request->ask)
    ask_request_free(request->ask);
  g_object_unref(request->window);
  g_free(request);
}

static void save_to(LcipWindow *self, GFile *file, AskRequest *ask) {
  SaveRequest *request = g_new0(SaveRequest, 1);
  *request = (SaveRequest){g_object_ref(self), ask};
  lcip_session_save(self->session, file, saved, request);
}

static void save_chosen(GtkNativeDialog *dialog, int response, AskRequest *ask) {
  LcipWindow *self = g_object_get_data(G_OBJECT(dialog), "window");
  g_autoptr(GFile) file =
      response == GTK_RESPONSE_ACCEPT ? gtk_file_chooser_get_file(GTK_FILE_CHOOSER(dialog)) : NULL;
  if (file)
    save_to(self, file, ask);
  else if (ask)
    ask_request_free(ask);
  g_object_unref(dialog);
}

static void add_filter(GtkFileChooserNative *chooser, const char *name,
                       const char *const *patterns) {
  g_autoptr(GtkFileFilter) filter = gtk_file_filter_new();
  gtk_file_filter_set_name(filter, name);
  for (guint i = 0; patterns[i]; i++)
    gtk_file_filter_add_pattern(filter, patterns[i]);
  gtk_file_chooser_add_filter(GTK_FILE_CHOOSER(chooser), filter);
}

static void choose_save(LcipWindow *self, AskRequest *ask) {
  GtkFileChooserNative *chooser = gtk_file_chooser_native_new(
      "Save Graph", GTK_WINDOW(self), GTK_FILE_CHOOSER_ACTION_SAVE, "_Save", "_Cancel");
  add_filter(chooser, "LCIP graphs", (const char *const[]){"*.xml", NULL});
  gtk_file_chooser_set_current_name(GTK_FILE_CHOOSER(chooser),
                                    lcip_session_get_title(self->session));
  g_object_set_data(G_OBJECT(chooser), "window", self);
  g_signal_connect(chooser, "response", G_CALLBACK(save_chosen), ask);
  gtk_native_dialog_set_modal(GTK_NATIVE_DIALOG(chooser), TRUE);
  gtk_native_dialog_show(GTK_NATIVE_DIALOG(chooser));
}

static void save_document(LcipWindow *self, gboolean choose, AskRequest *ask) {
  LcipDocument *document = lcip_session_get_document(self->session);
  GFile *file = document ? lcip_document_file(document) : NULL;
  if (file && !choose)
    save_to(self, file, ask);
  else
    choose_save(self, ask);
}

static void action_save(GSimpleAction *action, GVariant *parameter, gpointer data) {
  save_document(data, FALSE, NULL);
}

static void action_save_as(GSimpleAction *action, GVariant *parameter, gpointer data) {
  save_document(data, TRUE, NULL);
}

/* For scripts: "save to this path", without a dialog. */
static void action_save_to(GSimpleAction *action, GVariant *parameter, gpointer data) {
  g_autoptr(GFile) file = g_file_new_for_path(g_variant_get_string(parameter, NULL));
  if (lcip_session_get_document(((LcipWindow *)data)->session))
    save_to(data, file, NULL);
}

/* ---- opening ---- */

typedef struct {
  GFile *file;
  gboolean as_copy;
  gboolean run;
} OpenRequest;

static void open_request_free(OpenRequest *request) {
  g_object_unref(request->file);
  g_free(request);
}

static void open_now(LcipWindow *self, gpointer data) {
  OpenRequest *request = data;
  self->run_when_open = request->run;
  lcip_session_open(self->session, request->file, request->as_copy);
}

void lcip_window_open(LcipWindow *self, GFile *file, gboolean as_copy, gboolean run) {
  OpenRequest *request = g_new0(OpenRequest, 1);
  *request = (OpenRequest){g_object_ref(file), as_copy, run};
  lcip_window_ask_to_save(self, open_now, request, (GDestroyNotify)open_request_free);
}

static void open_chosen(GtkNativeDialog *dialog, int response, LcipWindow *self) {
  if (response == GTK_RESPONSE_ACCEPT) {
    g_autoptr(GFile) file = gtk_file_chooser_get_file(GTK_FILE_CHOOSER(dialog));
    lcip_window_open(self, file, FALSE, FALSE);
  }
  g_object_unref(dialog);
}

static void action_open(GSimpleAction *action, GVariant *parameter, gpointer data) {
  GtkFileChooserNative *chooser = gtk_file_chooser_native_new(
      "Open", GTK_WINDOW(data), GTK_FILE_CHOOSER_ACTION_OPEN, "_Open", "_Cancel");
  add_filter(chooser, "Graphs and models", (const char *const[]){"*.xml", "*.onnx", NULL});
  add_filter(chooser, "All files", (const char *const[]){"*", NULL});
  g_signal_connect(chooser, "response", G_CALLBACK(open_chosen), data);
  gtk_native_dialog_set_modal(GTK_NATIVE_DIALOG(chooser), TRUE);
  gtk_native_dialog_show(GTK_NATIVE_DIALOG(chooser));
}

static void source_chosen(GtkNativeDialog *dialog, int response, LcipWindow *self) {
  if (response == GTK_RESPONSE_ACCEPT) {
    g_autoptr(GFile) file = gtk_file_chooser_get_file(GTK_FILE_CHOOSER(dialog));
    g_autofree char *path = g_file_get_path(file);
    if (path)
      lcip_session_set_source(self->session, path);
  }
  g_object_unref(dialog);
}

static void action_source_file(GSimpleAction *action, GVariant *parameter, gpointer data) {
  GtkFileChooserNative *chooser = gtk_file_chooser_native_new(
      "Picture or Video", GTK_WINDOW(data), GTK_FILE_CHOOSER_ACTION_OPEN, "_Open", "_Cancel");
  g_signal_connect(chooser, "response", G_CALLBACK(source_chosen), data);
  gtk_native_dialog_set_modal(GTK_NATIVE_DIALOG(chooser), TRUE);
  gtk_native_dialog_show(GTK_NATIVE_DIALOG(chooser));
}

static void action_open_example(GSimpleAction *action, GVariant *parameter, gpointer data) {
  g_autofree char *path = lcip_data_path(g_variant_get_string(parameter, NULL));
  g_autoptr(GFile) file = path ? g_file_new_for_path(path) : NULL;
  if (file)
    lcip_window_open(data, file, TRUE, FALSE);
}

/* ---- sizes that a model leaves open ---- */

gboolean lcip_window_has_open_sizes(LcipWindow *self) {
  LcipGraph *graph = lcip_session_get_graph(self->session);
  g_autoptr(GArray) dims = graph ? lcip_graph_open_dims(graph) : NULL;
  return dims && dims->len > 0;
}

static void sizes_asked(gpointer data) {
  lcip_connect_card_offer(((LcipWindow *)data)->connect_card);
}

void lcip_window_ask_input_sizes(LcipWindow *self) {
  if (self->sizes_dialog)
    return;
  GtkWidget *dialog = lcip_input_sizes_present(GTK_WINDOW(self), self->session, sizes_asked, self);
  if (dialog)
    g_set_weak_pointer(&self->sizes_dialog, dialog);
  else
    lcip_connect_card_offer(self->connect_card);
}

static void action_input_sizes(GSimpleAction *action, GVariant *parameter, gpointer data) {
  lcip_window_ask_input_sizes(data);
}

static const GActionEntry entries[] = {
    {.name = "open", .activate = action_open},
    {.name = "open-example", .activate = action_open_example, .parameter_type = "s"},
    {.name = "save", .activate = action_save},
    {.name = "save-as", .activate = action_save_as},
    {.name = "save-to", .activate = action_save_to, .parameter_type = "s"},
    {.name = "input-sizes", .activate = action_input_sizes},
    {.name = "source-file", .activate = action_source_file},
};

void lcip_window_add_file_actions(LcipWindow *self) {
  g_action_map_add_action_entries(G_ACTION_MAP(self), entries, G_N_ELEMENTS(entries), self);
}

/* ---- examples ---- */

static const struct {
  const char *file;
  const char *title;
  const char *text;
} examples[] = {
    {"blazeface-back.xml", "Find Faces", "BlazeFace: boxes around faces"},
    {"selfie-segmentation.xml", "Cut Out a Person", "Selfie segmentation: a person’s mask"},
};

static gboolean data_exists(const char *name) {
  g_autofree char *path = lcip_data_path(name);
  return path && g_file_test(path, G_FILE_TEST_EXISTS);
}

void lcip_window_fill_examples(LcipWindow *self) {
  GtkWidget *list = gtk_list_box_new();
  gtk_widget_add_css_class(list, "boxed-list");
  gtk_list_box_set_selection_mode(GTK_LIST_BOX(list), GTK_SELECTION_NONE);
  gtk_widget_set_size_request(list, 400, -1);
  for (gsize i = 0; i < G_N_ELEMENTS(examples); i++) {
    if (!data_exists(examples[i].file))
      continue;
    GtkWidget *row = adw_action_row_new();
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), examples[i].title);
    adw_action_row_set_subtitle(ADW_ACTION_ROW(row), examples[i].text);
    adw_action_row_add_suffix(ADW_ACTION_ROW(row),
                              gtk_image_new_from_icon_name("go-next-symbolic"));
    gtk_list_box_row_set_activatable(GTK_LIST_BOX_ROW(row), TRUE);
    gtk_actionable_set_action_name(GTK_ACTIONABLE(row), "win.open-example");
    gtk_actionable_set_action_target(GTK_ACTIONABLE(row), "s", examples[i].file);
    gtk_list_box_append(GTK_LIST_BOX(list), row);
  }
  gtk_box_append(GTK_BOX(self->examples_box), list);
  gtk_widget_set_visible(self->examples_box, gtk_widget_get_first_child(list) != NULL);
}

/* ---- dropping files ---- */

static gboolean file_dropped(GtkDropTarget *target, const GValue *value, double x, double y,
                             LcipWindow *self) {
  g_autoptr(GSList) files = gdk_file_list_get_files(g_value_get_boxed(value));
  if (!files)
    return FALSE;
  lcip_window_open(self, files->data, FALSE, FALSE);
  return TRUE;
}

void lcip_window_add_drop_target(LcipWindow *self) {
  GtkDropTarget *target = gtk_drop_target_new(GDK_TYPE_FILE_LIST, GDK_ACTION_COPY);
  g_signal_connect(target, "drop", G_CALLBACK(file_dropped), self);
  gtk_widget_add_controller(GTK_WIDGET(self->stack), GTK_EVENT_CONTROLLER(target));
}
