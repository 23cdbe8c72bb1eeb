#include "config.h"

#include "lcip-input-sizes.h"

#include "lcip-open-dims.h"

#define MAX_SIZE 65536

typedef struct {
  LcipSession *session; /* owned */
  LcipGraph *graph;     /* owned: what was asked about */
  GArray *dims;         /* owned: LcipOpenDim */
  GPtrArray *spins;     /* GtkSpinButton of each, borrowed from the dialog */
  LcipInputSizesFunc done;
  gpointer data;
} Request;

static void request_free(gpointer data, GClosure *closure) {
  Request *request = data;
  g_object_unref(request->session);
  lcip_graph_unref(request->graph);
  g_array_unref(request->dims);
  g_ptr_array_unref(request->spins);
  g_free(request);
}

/* "x: batch × 3 × height × width" */
static char *port_words(const LcipGraphPort *port) {
  GString *text = g_string_new(port->name);
  g_string_append(text, ": ");
  for (int d = 0; d < port->spec.shape.rank; d++) {
    g_string_append(text, d ? " × " : "");
    if (port->spec.shape.dims[d] >= 0)
      g_string_append_printf(text, "%" G_GINT64_FORMAT, port->spec.shape.dims[d]);
    else
      g_string_append(text, port->dim_names[d] && *port->dim_names[d] ? port->dim_names[d] : "?");
  }
  return g_string_free(text, FALSE);
}

static GtkWidget *size_row(Request *request, const LcipOpenDim *dim) {
  const LcipGraphPort *port = request->graph->inputs->pdata[dim->input];
  g_autofree char *title =
      dim->name ? g_strdup(dim->name) : g_strdup_printf("Dimension %d", dim->dim + 1);
  g_autofree char *subtitle = port_words(port);
  GtkWidget *row = adw_action_row_new(), *spin = gtk_spin_button_new_with_range(1, MAX_SIZE, 1);
  adw_preferences_row_set_use_markup(ADW_PREFERENCES_ROW(row), FALSE);
  adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
  adw_action_row_set_subtitle(ADW_ACTION_ROW(row), subtitle);
  adw_action_row_set_subtitle_lines(ADW_ACTION_ROW(row), 1);
  gtk_spin_button_set_value(GTK_SPIN_BUTTON(spin), (double)dim->size);
  gtk_widget_set_valign(spin, GTK_ALIGN_CENTER);
  gtk_accessible_update_property(GTK_ACCESSIBLE(spin), GTK_ACCESSIBLE_PROPERTY_LABEL, title, -1);
  adw_action_row_add_suffix(ADW_ACTION_ROW(row), spin);
  adw_action_row_set_activatable_widget(ADW_ACTION_ROW(row), spin);
  g_ptr_array_add(request->spins, spin);
  return row;
}

static void settle(Request *request) {
  for (guint i = 0; i < request->dims->len; i++) {
    GtkSpinButton *spin = request->spins->pdata[i];
    gtk_spin_button_update(spin);
    g_array_index(request->dims, LcipOpenDim, i).size = gtk_spin_button_get_value_as_int(spin);
  }
  lcip_session_settle_dims(request->session, request->dims);
}

static void response(AdwMessageDialog *dialog, const char *answer, Request *request) {
  if (g_str_equal(answer, "use") && lcip_session_get_graph(request->session) == request->graph)
    settle(request);
  request->done(request->data);
}

static GtkWidget *dialog_new(GtkWindow *parent, Request *request) {
  GtkWidget *dialog = adw_message_dialog_new(parent, "How Large Are the Inputs?", NULL);
  GtkWidget *group = adw_preferences_group_new();
  adw_message_dialog_set_body(ADW_MESSAGE_DIALOG(dialog),
                              "This network leaves sizes open. Memory and kernels are planned for "
                              "fixed ones; they are kept with the graph.");
  for (guint i = 0; i < request->dims->len; i++)
    adw_preferences_group_add(ADW_PREFERENCES_GROUP(group),
                              size_row(request, &g_array_index(request->dims, LcipOpenDim, i)));
  gtk_widget_set_size_request(group, 380, -1);
  adw_message_dialog_set_extra_child(ADW_MESSAGE_DIALOG(dialog), group);
  adw_message_dialog_add_responses(ADW_MESSAGE_DIALOG(dialog), "later", "_Later", "use",
                                   "_Use These Sizes", NULL);
  adw_message_dialog_set_response_appearance(ADW_MESSAGE_DIALOG(dialog), "use",
                                             ADW_RESPONSE_SUGGESTED);
  adw_message_dialog_set_default_response(ADW_MESSAGE_DIALOG(dialog), "use");
  adw_message_dialog_set_close_response(ADW_MESSAGE_DIALOG(dialog), "later");
  return dialog;
}

GtkWidget *lcip_input_sizes_present(GtkWindow *parent, LcipSession *session,
                                    LcipInputSizesFunc done, gpointer data) {
  LcipGraph *graph = lcip_session_get_graph(session);
  g_autoptr(GArray) dims = graph ? lcip_graph_open_dims(graph) : NULL;
  if (!dims || dims->len == 0)
    return NULL;
  Request *request = g_new0(Request, 1);
  *request = (Request){g_object_ref(session),
                       lcip_graph_ref(graph),
                       g_array_ref(dims),
                       g_ptr_array_new(),
                       done,
                       data};
  GtkWidget *dialog = dialog_new(parent, request);
  g_signal_connect_data(dialog, "response", G_CALLBACK(response), request, request_free, 0);
  gtk_window_present(GTK_WINDOW(dialog));
  return dialog;
}
