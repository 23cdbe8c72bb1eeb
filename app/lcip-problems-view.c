#include "config.h"

#include "lcip-problems-view.h"

#include "lcip-open-dims.h"

#include <string.h>

struct _LcipProblemsView {
  GtkWidget parent;
  /* template */
  GtkWidget *scrolled;
  GtkListBox *list;
};

G_DEFINE_FINAL_TYPE(LcipProblemsView, lcip_problems_view, GTK_TYPE_WIDGET)

static guint activated_signal;

static void row_activated(LcipProblemsView *self, GtkListBoxRow *row) {
  const char *id = g_object_get_data(G_OBJECT(row), "actor-id");
  if (id)
    g_signal_emit(self, activated_signal, 0, id);
}

static gboolean is_open_size(const LcipProblem *problem) {
  return !problem->actor_id && strstr(problem->message, LCIP_OPEN_SIZE_WORDS);
}

static char *row_text(const LcipProblem *problem, gboolean sizes_open) {
  if (sizes_open && is_open_size(problem))
    return g_strdup_printf("%s; choose this line to set it", problem->message);
  return problem->severity == LCIP_PROBLEM_ERROR && problem->actor_id &&
                 !strstr(problem->message, problem->actor_id)
             ? g_strdup_printf("%s: %s", problem->actor_id, problem->message)
             : g_strdup(problem->message);
}

static GtkWidget *row_new(const LcipProblem *problem, gboolean sizes_open) {
  gboolean is_error = problem->severity == LCIP_PROBLEM_ERROR;
  GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 10);
  GtkWidget *icon =
      gtk_image_new_from_icon_name(is_error ? "dialog-error-symbolic" : "dialog-warning-symbolic");
  GtkWidget *label = gtk_label_new(NULL), *row = gtk_list_box_row_new();
  g_autofree char *text = row_text(problem, sizes_open);
  gtk_label_set_text(GTK_LABEL(label), text);
  gtk_label_set_wrap(GTK_LABEL(label), TRUE);
  gtk_label_set_wrap_mode(GTK_LABEL(label), PANGO_WRAP_WORD_CHAR);
  gtk_label_set_xalign(GTK_LABEL(label), 0);
  gtk_widget_add_css_class(icon, is_error ? "error" : "warning");
  gtk_widget_add_css_class(box, "problem-row");
  gtk_accessible_update_property(GTK_ACCESSIBLE(icon), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                 is_error ? "Error" : "Warning", -1);
  gtk_box_append(GTK_BOX(box), icon);
  gtk_box_append(GTK_BOX(box), label);
  gtk_list_box_row_set_child(GTK_LIST_BOX_ROW(row), box);
  const char *leads_to = problem->actor_id                     ? problem->actor_id
                         : sizes_open && is_open_size(problem) ? ""
                                                               : NULL;
  gtk_list_box_row_set_activatable(GTK_LIST_BOX_ROW(row), leads_to != NULL);
  if (leads_to)
    gtk_widget_set_tooltip_text(row, *leads_to ? "Show the Actor" : "Set the Sizes of the Inputs");
  g_object_set_data_full(G_OBJECT(row), "actor-id", g_strdup(leads_to), g_free);
  return row;
}

void lcip_problems_view_set(LcipProblemsView *self, const GPtrArray *problems,
                            gboolean sizes_open) {
  GtkListBoxRow *row;
  while ((row = gtk_list_box_get_row_at_index(self->list, 0)))
    gtk_list_box_remove(self->list, GTK_WIDGET(row));
  for (guint i = 0; problems && i < problems->len; i++)
    gtk_list_box_append(self->list, row_new(problems->pdata[i], sizes_open));
}

static void problems_view_dispose(GObject *object) {
  LcipProblemsView *self = LCIP_PROBLEMS_VIEW(object);
  g_clear_pointer(&self->scrolled, gtk_widget_unparent);
  G_OBJECT_CLASS(lcip_problems_view_parent_class)->dispose(object);
}

static void lcip_problems_view_class_init(LcipProblemsViewClass *klass) {
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);
  G_OBJECT_CLASS(klass)->dispose = problems_view_dispose;
  activated_signal = g_signal_new("activated", G_TYPE_FROM_CLASS(klass), G_SIGNAL_RUN_LAST, 0, NULL,
                                  NULL, NULL, G_TYPE_NONE, 1, G_TYPE_STRING);
  gtk_widget_class_set_template_from_resource(widget_class,
                                              "/org/lcip/Editor/lcip-problems-view.ui");
  gtk_widget_class_bind_template_child(widget_class, LcipProblemsView, scrolled);
  gtk_widget_class_bind_template_child(widget_class, LcipProblemsView, list);
  gtk_widget_class_bind_template_callback(widget_class, row_activated);
}

static void lcip_problems_view_init(LcipProblemsView *self) {
  gtk_widget_init_template(GTK_WIDGET(self));
}
