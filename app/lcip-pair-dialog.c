#include "config.h"

#include "lcip-pair-dialog.h"

#include "lcip-discovery.h"
#include "lcip-keys.h"
#include "lcip-remote-device.h"

#include <string.h>

/* Whatever is announced, the dialog keeps its size. */
#define MOST_FOUND 5
#define NO_FINGERPRINT "enter its key to see it"

typedef struct {
  AdwMessageDialog *dialog; /* borrowed: it owns this */
  GtkEditable *address, *key;
  GtkLabel *fingerprint;
  AdwPreferencesGroup *found;
  GCancellable *searching;
  char *command; /* what allows this computer there */
  LcipPairFunc done;
  gpointer data;
} Form;

static void form_free(Form *form) {
  g_cancellable_cancel(form->searching);
  g_object_unref(form->searching);
  g_free(form->command);
  g_free(form);
}

static Form *form_of(gpointer dialog) {
  return g_object_get_data(G_OBJECT(dialog), "form");
}

/* ---- what was entered ---- */

/* The scheme may be left out. NULL while it is no address. */
static char *entered_address(Form *form) {
  g_autofree char *text = g_strstrip(g_strdup(gtk_editable_get_text(form->address)));
  char *address = strstr(text, "://") ? g_strdup(text) : g_strconcat("tcp://", text, NULL);
  const char *colon = strrchr(address, ':');
  guint64 port;
  if (lcip_remote_is_id(address) && colon > address + strlen("tcp://") &&
      g_ascii_string_to_unsigned(colon + 1, 10, 1, 65535, &port, NULL))
    return address;
  g_free(address);
  return NULL;
}

static gboolean entered_key(Form *form, guint8 *key) {
  g_autofree char *text = g_strstrip(g_strdup(gtk_editable_get_text(form->key)));
  return lcip_key_from_text(text, key, NULL);
}

static void update(Form *form) {
  guint8 key[LCIP_KEY_BYTES];
  g_autofree char *address = entered_address(form);
  const gboolean has_key = entered_key(form, key);
  g_autofree char *fingerprint = has_key ? lcip_key_fingerprint(key) : NULL;
  gtk_label_set_text(form->fingerprint, fingerprint ? fingerprint : NO_FINGERPRINT);
  adw_message_dialog_set_response_enabled(form->dialog, "pair", address && has_key);
}

/* ---- pairing ---- */

static gboolean pair(Form *form, const char *address, GError **error) {
  guint8 key[LCIP_KEY_BYTES];
  if (!entered_key(form, key))
    return FALSE;
  g_autoptr(LcipKnownWorker) worker = lcip_known_worker_new(address, address, key);
  lcip_known_worker_add_device(worker, "cpu", "cpu", "", 0, 0);
  return lcip_known_workers_add(worker, error);
}

static void response(AdwMessageDialog *dialog, const char *answer, Form *form) {
  g_autoptr(GError) error = NULL;
  g_autofree char *address = g_str_equal(answer, "pair") ? entered_address(form) : NULL;
  GtkWindow *parent = gtk_window_get_transient_for(GTK_WINDOW(dialog));
  const gboolean paired = address && pair(form, address, &error);
  if (error) {
    GtkWidget *failed = adw_message_dialog_new(parent, "Could Not Pair", error->message);
    adw_message_dialog_add_response(ADW_MESSAGE_DIALOG(failed), "close", "_Close");
    gtk_window_present(GTK_WINDOW(failed));
  }
  form->done(paired ? address : NULL, form->data);
}

/* ---- what is found on the network: an address, and no more ---- */

static void choose_found(AdwActionRow *row, Form *form) {
  gtk_editable_set_text(form->address, g_object_get_data(G_OBJECT(row), "address"));
  gtk_widget_grab_focus(GTK_WIDGET(form->key));
}

static void add_found(Form *form, const LcipFoundWorker *worker) {
  GtkWidget *row = adw_action_row_new();
  adw_preferences_row_set_use_markup(ADW_PREFERENCES_ROW(row), FALSE);
  adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), worker->name);
  adw_action_row_set_subtitle(ADW_ACTION_ROW(row), worker->address);
  gtk_list_box_row_set_activatable(GTK_LIST_BOX_ROW(row), TRUE);
  gtk_widget_set_tooltip_text(row, "Use Its Address");
  g_object_set_data_full(G_OBJECT(row), "address", g_strdup(worker->address), g_free);
  g_signal_connect(row, "activated", G_CALLBACK(choose_found), form);
  adw_preferences_group_add(form->found, row);
}

void lcip_pair_dialog_show_found(GtkWidget *dialog, const GPtrArray *found) {
  Form *form = form_of(dialog);
  for (guint i = 0; i < MIN(found->len, MOST_FOUND); i++)
    add_found(form, found->pdata[i]);
  gtk_widget_set_visible(GTK_WIDGET(form->found), found->len > 0);
}

static void search_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable) {
  GError *error = NULL;
  GPtrArray *found = lcip_discover(cancellable, &error);
  if (found)
    g_task_return_pointer(task, found, (GDestroyNotify)g_ptr_array_unref);
  else
    g_task_return_error(task, error);
}

/* Without Avahi addresses are typed, as they always can be: nobody is told. */
static void search_done(GObject *dialog, GAsyncResult *result, gpointer data) {
  g_autoptr(GPtrArray) found = g_task_propagate_pointer(G_TASK(result), NULL);
  if (found && form_of(dialog))
    lcip_pair_dialog_show_found(GTK_WIDGET(dialog), found);
}

static void start_search(Form *form) {
  g_autoptr(GTask) task = g_task_new(form->dialog, form->searching, search_done, NULL);
  g_task_run_in_thread(task, search_thread);
}

static void stop_search(GtkWidget *dialog, Form *form) {
  g_cancellable_cancel(form->searching);
}

/* ---- the form ---- */

static GtkEditable *entry_row(Form *form, AdwPreferencesGroup *group, const char *title) {
  GtkWidget *row = adw_entry_row_new();
  adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
  g_signal_connect_swapped(row, "changed", G_CALLBACK(update), form);
  adw_preferences_group_add(group, row);
  return GTK_EDITABLE(row);
}

static GtkLabel *value_row(AdwPreferencesGroup *group, const char *title, const char *value) {
  GtkWidget *row = adw_action_row_new(), *label = gtk_label_new(value);
  adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
  gtk_label_set_selectable(GTK_LABEL(label), TRUE);
  gtk_widget_add_css_class(label, "monospace");
  adw_action_row_add_suffix(ADW_ACTION_ROW(row), label);
  adw_preferences_group_add(group, row);
  return GTK_LABEL(label);
}

static void copy_command(GtkButton *button, Form *form) {
  gdk_clipboard_set_text(gtk_widget_get_clipboard(GTK_WIDGET(button)), form->command);
}

static void add_command(Form *form, AdwPreferencesGroup *group) {
  GtkWidget *row = adw_action_row_new();
  GtkWidget *copy = gtk_button_new_from_icon_name("edit-copy-symbolic");
  adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), "Command");
  adw_action_row_set_subtitle(ADW_ACTION_ROW(row), form->command);
  adw_action_row_set_subtitle_lines(ADW_ACTION_ROW(row), 3);
  gtk_widget_set_valign(copy, GTK_ALIGN_CENTER);
  gtk_widget_set_tooltip_text(copy, "Copy");
  gtk_widget_add_css_class(copy, "flat");
  g_signal_connect(copy, "clicked", G_CALLBACK(copy_command), form);
  adw_action_row_add_suffix(ADW_ACTION_ROW(row), copy);
  adw_preferences_group_add(group, row);
}

static GtkWidget *form_widget(Form *form, const LcipIdentity *identity) {
  GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 18);
  GtkWidget *there = adw_preferences_group_new(), *here = adw_preferences_group_new();
  g_autofree char *own = lcip_key_fingerprint(identity->public_key);
  form->found = ADW_PREFERENCES_GROUP(adw_preferences_group_new());
  adw_preferences_group_set_title(form->found, "On This Network");
  adw_preferences_group_set_description(
      form->found, "Anybody can announce a worker: it is unknown until fingerprints are compared.");
  gtk_widget_set_visible(GTK_WIDGET(form->found), FALSE);
  adw_preferences_group_set_title(ADW_PREFERENCES_GROUP(there), "The Worker");
  adw_preferences_group_set_description(
      ADW_PREFERENCES_GROUP(there),
      "There, “lcip worker key” shows its key. Compare the fingerprint with what it shows.");
  form->address = entry_row(form, ADW_PREFERENCES_GROUP(there), "Address and port");
  form->key = entry_row(form, ADW_PREFERENCES_GROUP(there), "Public key");
  form->fingerprint = value_row(ADW_PREFERENCES_GROUP(there), "Fingerprint", NO_FINGERPRINT);
  adw_preferences_group_set_title(ADW_PREFERENCES_GROUP(here), "This Computer");
  adw_preferences_group_set_description(ADW_PREFERENCES_GROUP(here),
                                        "Allow it on the worker with the command below.");
  add_command(form, ADW_PREFERENCES_GROUP(here));
  value_row(ADW_PREFERENCES_GROUP(here), "Fingerprint", own);
  gtk_box_append(GTK_BOX(box), GTK_WIDGET(form->found));
  gtk_box_append(GTK_BOX(box), there);
  gtk_box_append(GTK_BOX(box), here);
  gtk_widget_set_size_request(box, 460, -1);
  return box;
}

static char *allow_command(const LcipIdentity *identity) {
  g_autofree char *key = lcip_key_to_text(identity->public_key), *name = lcip_own_name();
  g_autofree char *quoted = g_shell_quote(name);
  return g_strdup_printf("lcip worker allow %s %s", key, quoted);
}

GtkWidget *lcip_pair_dialog_present(GtkWindow *parent, LcipPairFunc done, gpointer data,
                                    GError **error) {
  g_auto(LcipIdentity) identity = {0};
  if (!lcip_identity_load(&identity, error))
    return NULL;
  GtkWidget *dialog = adw_message_dialog_new(parent, "Pair with a Worker", NULL);
  Form *form = g_new0(Form, 1);
  *form = (Form){.dialog = ADW_MESSAGE_DIALOG(dialog),
                 .searching = g_cancellable_new(),
                 .command = allow_command(&identity),
                 .done = done,
                 .data = data};
  g_object_set_data_full(G_OBJECT(dialog), "form", form, (GDestroyNotify)form_free);
  adw_message_dialog_set_extra_child(form->dialog, form_widget(form, &identity));
  adw_message_dialog_add_responses(form->dialog, "cancel", "_Cancel", "pair", "_Pair", NULL);
  adw_message_dialog_set_response_appearance(form->dialog, "pair", ADW_RESPONSE_SUGGESTED);
  adw_message_dialog_set_close_response(form->dialog, "cancel");
  adw_message_dialog_set_default_response(form->dialog, "pair");
  update(form);
  g_signal_connect(dialog, "response", G_CALLBACK(response), form);
  g_signal_connect(dialog, "unrealize", G_CALLBACK(stop_search), form);
  start_search(form);
  gtk_window_present(GTK_WINDOW(dialog));
  return dialog;
}

void lcip_pair_dialog_set(GtkWidget *dialog, const char *address, const char *key) {
  gtk_editable_set_text(form_of(dialog)->address, address);
  gtk_editable_set_text(form_of(dialog)->key, key);
}

const char *lcip_pair_dialog_get_address(GtkWidget *dialog) {
  return gtk_editable_get_text(form_of(dialog)->address);
}

const char *lcip_pair_dialog_get_fingerprint(GtkWidget *dialog) {
  return gtk_label_get_text(form_of(dialog)->fingerprint);
}
