#include "config.h"

#include "lcip-inspector-rows.h"

GtkWidget *lcip_inspector_info_row(const char *title, const char *value, GtkLabel **label) {
  GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12);
  GtkWidget *name = gtk_label_new(title), *text = gtk_label_new(value);
  gtk_widget_add_css_class(box, "info-row");
  gtk_widget_add_css_class(name, "lane-detail");
  gtk_widget_add_css_class(text, "numeric");
  gtk_label_set_xalign(GTK_LABEL(name), 0);
  gtk_label_set_yalign(GTK_LABEL(name), 0);
  gtk_label_set_xalign(GTK_LABEL(text), 1);
  gtk_label_set_justify(GTK_LABEL(text), GTK_JUSTIFY_RIGHT);
  gtk_label_set_wrap(GTK_LABEL(text), TRUE);
  gtk_label_set_wrap_mode(GTK_LABEL(text), PANGO_WRAP_WORD_CHAR);
  gtk_label_set_selectable(GTK_LABEL(text), TRUE);
  gtk_widget_set_hexpand(text, TRUE);
  gtk_widget_set_halign(text, GTK_ALIGN_END);
  gtk_box_append(GTK_BOX(box), name);
  gtk_box_append(GTK_BOX(box), text);
  GtkWidget *row = g_object_new(ADW_TYPE_PREFERENCES_ROW, NULL);
  gtk_list_box_row_set_activatable(GTK_LIST_BOX_ROW(row), FALSE);
  gtk_list_box_row_set_child(GTK_LIST_BOX_ROW(row), box);
  if (label)
    *label = GTK_LABEL(text);
  return row;
}

GtkWidget *lcip_inspector_problem_row(const LcipProblem *problem) {
  GtkWidget *label = gtk_label_new(problem->message);
  GtkWidget *row = g_object_new(ADW_TYPE_PREFERENCES_ROW, NULL);
  gtk_widget_add_css_class(label, "info-row");
  gtk_widget_add_css_class(label, problem->severity == LCIP_PROBLEM_ERROR ? "error" : "warning");
  gtk_label_set_xalign(GTK_LABEL(label), 0);
  gtk_label_set_wrap(GTK_LABEL(label), TRUE);
  gtk_label_set_wrap_mode(GTK_LABEL(label), PANGO_WRAP_WORD_CHAR);
  gtk_label_set_selectable(GTK_LABEL(label), TRUE);
  gtk_list_box_row_set_activatable(GTK_LIST_BOX_ROW(row), FALSE);
  gtk_list_box_row_set_child(GTK_LIST_BOX_ROW(row), label);
  return row;
}

/* ---- attributes ---- */

typedef struct {
  LcipSession *session;
  char *id;
  const LcipAttrDef *attr;
} AttrEdit;

static void attr_edit_free(gpointer data, GClosure *closure) {
  AttrEdit *edit = data;
  g_object_unref(edit->session);
  g_free(edit->id);
  g_free(edit);
}

static void apply_attr(GtkWidget *row, AttrEdit *edit, const char *text) {
  g_autoptr(GError) error = NULL;
  if (lcip_session_set_attr(edit->session, edit->id, edit->attr->name, text, &error)) {
    gtk_widget_remove_css_class(row, "error");
    return;
  }
  gtk_widget_add_css_class(row, "error");
  gtk_widget_set_tooltip_text(row, error->message);
  g_signal_emit_by_name(edit->session, "message", error->message);
}

static void entry_applied(AdwEntryRow *row, AttrEdit *edit) {
  apply_attr(GTK_WIDGET(row), edit, gtk_editable_get_text(GTK_EDITABLE(row)));
}

static void choice_changed(AdwComboRow *row, GParamSpec *pspec, AttrEdit *edit) {
  apply_attr(GTK_WIDGET(row), edit, edit->attr->choices[adw_combo_row_get_selected(row)]);
}

static char *attr_help(const LcipAttrDef *attr) {
  GString *help = g_string_new(attr->help);
  if (attr->unit)
    g_string_append_printf(help, " [%s]", attr->unit);
  if (attr->min != 0 || attr->max != 0)
    g_string_append_printf(help, "\n%g to %g", attr->min, attr->max);
  if (attr->default_text)
    g_string_append_printf(help, "\nDefault: %s", attr->default_text);
  return g_string_free(help, FALSE);
}

static GtkWidget *choice_row(const LcipAttrDef *attr, const char *value, AttrEdit *edit) {
  GtkWidget *row = adw_combo_row_new();
  g_autoptr(GtkStringList) model = gtk_string_list_new(attr->choices);
  adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), attr->name);
  adw_combo_row_set_model(ADW_COMBO_ROW(row), G_LIST_MODEL(model));
  for (guint i = 0; attr->choices[i]; i++)
    if (g_strcmp0(attr->choices[i], value) == 0)
      adw_combo_row_set_selected(ADW_COMBO_ROW(row), i);
  g_signal_connect_data(row, "notify::selected", G_CALLBACK(choice_changed), edit, attr_edit_free,
                        0);
  return row;
}

static GtkWidget *entry_row(const LcipAttrDef *attr, const char *value, AttrEdit *edit) {
  GtkWidget *row = adw_entry_row_new();
  g_autofree char *title =
      attr->unit ? g_strdup_printf("%s (%s)", attr->name, attr->unit) : g_strdup(attr->name);
  adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
  gtk_editable_set_text(GTK_EDITABLE(row), value ? value : "");
  adw_entry_row_set_show_apply_button(ADW_ENTRY_ROW(row), TRUE);
  g_signal_connect_data(row, "apply", G_CALLBACK(entry_applied), edit, attr_edit_free, 0);
  return row;
}

GtkWidget *lcip_inspector_attr_row(LcipSession *session, const LcipActor *actor,
                                   const LcipAttrDef *attr) {
  g_autofree char *value = lcip_attrs_get_text(actor->attrs, attr->name);
  g_autofree char *help = attr_help(attr);
  GtkWidget *row;
  /* a list of strings is one per line, a tensor is no text: both are shown only */
  if (attr->type == LCIP_ATTR_TENSOR) {
    row = lcip_inspector_info_row(attr->name, "tensor", NULL);
  } else if (attr->type == LCIP_ATTR_STRINGS) {
    row = lcip_inspector_info_row(attr->name, value ? value : "none", NULL);
  } else {
    AttrEdit *edit = g_new0(AttrEdit, 1);
    *edit = (AttrEdit){g_object_ref(session), g_strdup(actor->id), attr};
    row = attr->choices ? choice_row(attr, value, edit) : entry_row(attr, value, edit);
  }
  gtk_widget_set_tooltip_text(row, help);
  return row;
}

/* ---- lane ---- */

typedef struct {
  LcipSession *session;
  char **ids;
} LaneEdit;

static void lane_edit_free(gpointer data, GClosure *closure) {
  LaneEdit *edit = data;
  g_object_unref(edit->session);
  g_strfreev(edit->ids);
  g_free(edit);
}

static gboolean lane_refuses(LcipSession *session, const LaneEdit *edit, const LcipLane *lane) {
  LcipGraph *graph = lcip_session_get_graph(session);
  for (guint i = 0; edit->ids[i]; i++) {
    const char *why = NULL;
    int actor = lcip_graph_find_actor(graph, edit->ids[i]);
    if (actor < 0 || lcip_lane_can_run(graph, actor, lane->kind, &why))
      continue;
    g_autofree char *text = g_strdup_printf("%s: %s", edit->ids[i], why);
    g_signal_emit_by_name(session, "message", text);
    return TRUE;
  }
  return FALSE;
}

static guint current_lane(LcipSession *session, const char *id) {
  LcipGraph *graph = lcip_session_get_graph(session);
  int actor = lcip_graph_find_actor(graph, id);
  const char *name =
      actor >= 0 ? lcip_graph_lane_of(graph, lcip_graph_find_mapping(graph, NULL), actor) : NULL;
  for (guint i = 0; i < graph->lanes->len; i++)
    if (g_strcmp0(((LcipLane *)graph->lanes->pdata[i])->name, name) == 0)
      return i;
  return GTK_INVALID_LIST_POSITION;
}

static void lane_chosen(AdwComboRow *row, GParamSpec *pspec, LaneEdit *edit) {
  LcipGraph *graph = lcip_session_get_graph(edit->session);
  guint chosen = adw_combo_row_get_selected(row), now = current_lane(edit->session, edit->ids[0]);
  if (chosen >= graph->lanes->len || chosen == now)
    return;
  const LcipLane *lane = graph->lanes->pdata[chosen];
  if (lane_refuses(edit->session, edit, lane)) {
    adw_combo_row_set_selected(row, now);
    return;
  }
  g_autofree char *name = g_strdup(lane->name);
  lcip_session_move_actors(edit->session, (const char *const *)edit->ids, name);
}

GtkWidget *lcip_inspector_lane_row(LcipSession *session, const char *const *ids) {
  LcipGraph *graph = lcip_session_get_graph(session);
  GtkWidget *row = adw_combo_row_new();
  g_autoptr(GtkStringList) model = gtk_string_list_new(NULL);
  for (guint i = 0; i < graph->lanes->len; i++)
    gtk_string_list_append(model, ((LcipLane *)graph->lanes->pdata[i])->name);
  adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), "Lane");
  adw_combo_row_set_model(ADW_COMBO_ROW(row), G_LIST_MODEL(model));
  adw_combo_row_set_selected(ADW_COMBO_ROW(row), current_lane(session, ids[0]));
  LaneEdit *edit = g_new0(LaneEdit, 1);
  *edit = (LaneEdit){g_object_ref(session), g_strdupv((char **)ids)};
  g_signal_connect_data(row, "notify::selected", G_CALLBACK(lane_chosen), edit, lane_edit_free, 0);
  return row;
}

/* ---- pinned kernel ---- */

static gboolean kernel_is_for(const LcipKernel *kernel, const LcipActor *actor, LcipLaneKind kind) {
  g_autofree char *name = *actor->domain ? g_strdup_printf("%s.%s", actor->domain, actor->op_name)
                                         : g_strdup(actor->op_name);
  LcipDeviceKind device = kind == LCIP_LANE_OPENCL ? LCIP_DEVICE_OPENCL : LCIP_DEVICE_CPU;
  return kernel->device == device && g_strv_contains(kernel->operators, name);
}

typedef struct {
  LcipSession *session;
  char *id;
} PinEdit;

static void pin_edit_free(gpointer data, GClosure *closure) {
  PinEdit *edit = data;
  g_object_unref(edit->session);
  g_free(edit->id);
  g_free(edit);
}

static void pin_chosen(AdwComboRow *row, GParamSpec *pspec, PinEdit *edit) {
  GtkStringObject *item = adw_combo_row_get_selected_item(row);
  guint chosen = adw_combo_row_get_selected(row);
  g_autofree char *kernel = g_strdup(item ? gtk_string_object_get_string(item) : NULL);
  lcip_session_pin(edit->session, edit->id, chosen == 0 ? NULL : kernel);
}

static LcipLaneKind lane_kind_of(LcipGraph *graph, int actor) {
  const char *name = lcip_graph_lane_of(graph, lcip_graph_find_mapping(graph, NULL), actor);
  const LcipLane *lane = lcip_graph_find_lane(graph, name);
  return lane ? lane->kind : LCIP_LANE_CPU;
}

GtkWidget *lcip_inspector_pin_row(LcipSession *session, int index) {
  LcipGraph *graph = lcip_session_get_graph(session);
  const LcipActor *actor = lcip_graph_actor(graph, index);
  const char *pinned = g_hash_table_lookup(lcip_graph_find_mapping(graph, NULL)->pins, actor->id);
  g_autoptr(GtkStringList) model = gtk_string_list_new((const char *const[]){"Automatic", NULL});
  guint n, selected = 0, at = 0;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  for (guint i = 0; i < n; i++) {
    if (!kernel_is_for(table[i], actor, lane_kind_of(graph, index)))
      continue;
    gtk_string_list_append(model, table[i]->name);
    at++;
    if (g_strcmp0(pinned, table[i]->name) == 0)
      selected = at;
  }
  if (pinned && selected == 0) { /* of another lane's kind: still there to be taken away */
    gtk_string_list_append(model, pinned);
    selected = at + 1;
  }
  GtkWidget *row = adw_combo_row_new();
  adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), "Pinned Kernel");
  adw_combo_row_set_model(ADW_COMBO_ROW(row), G_LIST_MODEL(model));
  adw_combo_row_set_selected(ADW_COMBO_ROW(row), selected);
  PinEdit *edit = g_new0(PinEdit, 1);
  *edit = (PinEdit){g_object_ref(session), g_strdup(actor->id)};
  g_signal_connect_data(row, "notify::selected", G_CALLBACK(pin_chosen), edit, pin_edit_free, 0);
  return row;
}
