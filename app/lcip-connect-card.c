#include "config.h"

#include "lcip-connect-card.h"

#include <adwaita.h>

#include "lcip-connect.h"
#include "lcip-palette.h"

#define DEFAULT_SIZE 224 /* shown, to be corrected, where the model leaves its size open */

struct _LcipConnectCard {
  GtkWidget parent;
  /* template */
  GtkWidget *box;
  GtkLabel *text_label;
  AdwComboRow *source_row;
  AdwComboRow *preset_row;
  GtkEditable *mean_row;
  GtkEditable *scale_row;
  AdwComboRow *fit_row;
  AdwComboRow *layout_row;
  AdwComboRow *color_row;
  GtkSpinButton *width_spin;
  GtkSpinButton *height_spin;
  GtkWidget *connect_button;
  /* owned */
  LcipSession *session;
};

G_DEFINE_FINAL_TYPE(LcipConnectCard, lcip_connect_card, GTK_TYPE_WIDGET)

static const char *chosen(AdwComboRow *row) {
  return gtk_string_object_get_string(adw_combo_row_get_selected_item(row));
}

static void preset_chosen(LcipConnectCard *self) {
  guint n, selected = adw_combo_row_get_selected(self->preset_row);
  const LcipConnectPreset *presets = lcip_connect_presets(&n);
  if (selected >= n || !self->mean_row || !self->scale_row)
    return;
  gtk_editable_set_text(self->mean_row, presets[selected].mean);
  gtk_editable_set_text(self->scale_row, presets[selected].scale);
}

static void connect_picture(LcipConnectCard *self) {
  g_autoptr(GError) error = NULL;
  const char *layout;
  int width, height;
  LcipGraph *graph = lcip_session_get_graph(self->session);
  int input = lcip_connect_find_input(graph, &layout, &width, &height);
  if (input < 0)
    return;
  LcipConnect connect = {gtk_spin_button_get_value_as_int(self->width_spin),
                         gtk_spin_button_get_value_as_int(self->height_spin),
                         chosen(self->fit_row),
                         chosen(self->layout_row),
                         chosen(self->color_row),
                         gtk_editable_get_text(self->mean_row),
                         gtk_editable_get_text(self->scale_row)};
  LcipGraph *edited = lcip_connect_apply(graph, input, &connect, &error);
  if (!edited) {
    g_signal_emit_by_name(self->session, "message", error->message);
    return;
  }
  gboolean demo = adw_combo_row_get_selected(self->source_row) == 1;
  lcip_connect_card_hide(self);
  lcip_session_stop(self->session); /* a run on random input has other sources */
  lcip_session_set_source(self->session, demo ? "demo" : NULL);
  lcip_document_apply(lcip_session_get_document(self->session), edited, "Connect Picture", NULL);
}

void lcip_connect_card_show(LcipConnectCard *self) {
  LcipGraph *graph = lcip_session_get_graph(self->session);
  const char *layout = NULL;
  int width = 0, height = 0;
  int input = graph ? lcip_connect_find_input(graph, &layout, &width, &height) : -1;
  if (input < 0) {
    g_signal_emit_by_name(self->session, "message",
                          "No input of this network is shaped like a picture");
    return;
  }
  const LcipGraphPort *port = graph->inputs->pdata[input];
  g_autofree char *spec = lcip_format_spec(&port->spec);
  g_autofree char *text = g_strdup_printf(
      "Input “%s” takes %s. How this network was trained decides what its values mean.", port->name,
      spec);
  gtk_label_set_text(self->text_label, text);
  adw_combo_row_set_selected(self->layout_row, g_str_equal(layout, "NHWC") ? 1 : 0);
  gtk_spin_button_set_value(self->width_spin, width ? width : DEFAULT_SIZE);
  gtk_spin_button_set_value(self->height_spin, height ? height : DEFAULT_SIZE);
  gtk_widget_set_visible(GTK_WIDGET(self), TRUE);
  gtk_widget_grab_focus(self->connect_button);
}

void lcip_connect_card_hide(LcipConnectCard *self) {
  gtk_widget_set_visible(GTK_WIDGET(self), FALSE);
}

void lcip_connect_card_offer(LcipConnectCard *self) {
  LcipDocument *document = lcip_session_get_document(self->session);
  const char *layout;
  int width, height;
  lcip_connect_card_hide(self);
  if (document && !lcip_document_file(document) &&
      lcip_session_find_source(lcip_document_graph(document)) < 0 &&
      lcip_connect_find_input(lcip_document_graph(document), &layout, &width, &height) >= 0)
    lcip_connect_card_show(self);
}

static void connect_card_dispose(GObject *object) {
  LcipConnectCard *self = LCIP_CONNECT_CARD(object);
  g_clear_object(&self->session);
  g_clear_pointer(&self->box, gtk_widget_unparent);
  G_OBJECT_CLASS(lcip_connect_card_parent_class)->dispose(object);
}

static void lcip_connect_card_class_init(LcipConnectCardClass *klass) {
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);
  G_OBJECT_CLASS(klass)->dispose = connect_card_dispose;
  gtk_widget_class_set_template_from_resource(widget_class,
                                              "/org/lcip/Editor/lcip-connect-card.ui");
  gtk_widget_class_bind_template_child(widget_class, LcipConnectCard, box);
  gtk_widget_class_bind_template_child(widget_class, LcipConnectCard, text_label);
  gtk_widget_class_bind_template_child(widget_class, LcipConnectCard, source_row);
  gtk_widget_class_bind_template_child(widget_class, LcipConnectCard, preset_row);
  gtk_widget_class_bind_template_child(widget_class, LcipConnectCard, mean_row);
  gtk_widget_class_bind_template_child(widget_class, LcipConnectCard, scale_row);
  gtk_widget_class_bind_template_child(widget_class, LcipConnectCard, fit_row);
  gtk_widget_class_bind_template_child(widget_class, LcipConnectCard, layout_row);
  gtk_widget_class_bind_template_child(widget_class, LcipConnectCard, color_row);
  gtk_widget_class_bind_template_child(widget_class, LcipConnectCard, width_spin);
  gtk_widget_class_bind_template_child(widget_class, LcipConnectCard, height_spin);
  gtk_widget_class_bind_template_child(widget_class, LcipConnectCard, connect_button);
  gtk_widget_class_bind_template_callback(widget_class, preset_chosen);
  gtk_widget_class_bind_template_callback(widget_class, connect_picture);
  gtk_widget_class_bind_template_callback(widget_class, lcip_connect_card_hide);
}

static void lcip_connect_card_init(LcipConnectCard *self) {
  guint n;
  const LcipConnectPreset *presets = lcip_connect_presets(&n);
  gtk_widget_init_template(GTK_WIDGET(self));
  g_autoptr(GtkStringList) names = gtk_string_list_new(NULL);
  for (guint i = 0; i < n; i++)
    gtk_string_list_append(names, presets[i].name);
  adw_combo_row_set_model(self->preset_row, G_LIST_MODEL(names));
  preset_chosen(self);
}

void lcip_connect_card_set_session(LcipConnectCard *self, LcipSession *session) {
  g_set_object(&self->session, session);
}
