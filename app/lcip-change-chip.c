#include "config.h"

#include "lcip-change-chip.h"
#include "lcip-palette.h"

struct _LcipChangeChip {
  GtkWidget parent;
  /* template */
  GtkRevealer *revealer;
  GtkSpinner *spinner;
  GtkLabel *title_label;
  GtkLabel *figures_label;
  GtkWidget *revert_button;
  GtkWidget *close_button;
  /* owned */
  LcipSession *session;
};

G_DEFINE_FINAL_TYPE(LcipChangeChip, lcip_change_chip, GTK_TYPE_WIDGET)

static char *figures(const LcipChange *change) {
  g_autofree char *fps_before = lcip_format_fps(change->capacity_before);
  g_autofree char *fps_after = lcip_format_fps(change->capacity_after);
  g_autofree char *ms_before = lcip_format_ms(change->latency_before);
  g_autofree char *ms_after = lcip_format_ms(change->latency_after);
  g_autofree char *fps_predicted = lcip_format_fps(change->capacity_predicted);
  g_autofree char *ms_predicted = lcip_format_ms(change->latency_predicted);
  if (change->capacity_predicted <= 0)
    return g_strdup_printf("capacity %s → %s fps\nlatency %s → %s", fps_before, fps_after,
                           ms_before, ms_after);
  return g_strdup_printf("capacity %s → %s fps (predicted %s)\nlatency %s → %s (predicted %s)",
                         fps_before, fps_after, fps_predicted, ms_before, ms_after, ms_predicted);
}

static char *measuring(const LcipChange *change) {
  g_autofree char *fps = lcip_format_fps(change->capacity_predicted);
  g_autofree char *ms = lcip_format_ms(change->latency_predicted);
  return change->capacity_predicted > 0
             ? g_strdup_printf("Measuring… predicted: capacity %s fps, latency %s", fps, ms)
             : g_strdup("Measuring…");
}

static char *words(const LcipChange *change) {
  switch (change->state) {
  case LCIP_CHANGE_APPLYING:
    return g_strdup("Applying…");
  case LCIP_CHANGE_MEASURING:
    return measuring(change);
  case LCIP_CHANGE_DONE:
    return figures(change);
  case LCIP_CHANGE_FAILED:
    return g_strdup_printf("Not applied, the old mapping goes on: %s", change->why);
  default:
    return g_strdup("");
  }
}

static void update(LcipChangeChip *self) {
  const LcipChange *change = lcip_session_get_change(self->session);
  gboolean busy = change->state == LCIP_CHANGE_APPLYING || change->state == LCIP_CHANGE_MEASURING;
  gtk_revealer_set_reveal_child(self->revealer, change->state != LCIP_CHANGE_NONE);
  if (change->state == LCIP_CHANGE_NONE)
    return;
  g_autofree char *text = words(change);
  gtk_spinner_set_spinning(self->spinner, busy);
  gtk_widget_set_visible(GTK_WIDGET(self->spinner), busy);
  gtk_label_set_text(self->title_label, change->label);
  gtk_label_set_text(self->figures_label, text);
  /* figures have their lines; a label that may wrap asks for more room than it needs */
  gtk_label_set_wrap(self->figures_label, change->state == LCIP_CHANGE_FAILED);
}

static void revert(LcipChangeChip *self) {
  lcip_session_revert_change(self->session);
}

static void dismiss(LcipChangeChip *self) {
  lcip_session_dismiss_change(self->session);
}

static void change_chip_dispose(GObject *object) {
  LcipChangeChip *self = LCIP_CHANGE_CHIP(object);
  if (self->session)
    g_signal_handlers_disconnect_by_data(self->session, self);
  g_clear_object(&self->session);
  if (self->revealer)
    gtk_widget_unparent(GTK_WIDGET(self->revealer));
  self->revealer = NULL;
  G_OBJECT_CLASS(lcip_change_chip_parent_class)->dispose(object);
}

static void lcip_change_chip_class_init(LcipChangeChipClass *klass) {
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);
  G_OBJECT_CLASS(klass)->dispose = change_chip_dispose;
  gtk_widget_class_set_template_from_resource(widget_class, "/org/lcip/Editor/lcip-change-chip.ui");
  gtk_widget_class_bind_template_child(widget_class, LcipChangeChip, revealer);
  gtk_widget_class_bind_template_child(widget_class, LcipChangeChip, spinner);
  gtk_widget_class_bind_template_child(widget_class, LcipChangeChip, title_label);
  gtk_widget_class_bind_template_child(widget_class, LcipChangeChip, figures_label);
  gtk_widget_class_bind_template_child(widget_class, LcipChangeChip, revert_button);
  gtk_widget_class_bind_template_child(widget_class, LcipChangeChip, close_button);
  gtk_widget_class_bind_template_callback(widget_class, revert);
  gtk_widget_class_bind_template_callback(widget_class, dismiss);
}

static void lcip_change_chip_init(LcipChangeChip *self) {
  gtk_widget_init_template(GTK_WIDGET(self));
}

void lcip_change_chip_set_session(LcipChangeChip *self, LcipSession *session) {
  g_set_object(&self->session, session);
  g_signal_connect_swapped(session, "change-changed", G_CALLBACK(update), self);
  update(self);
}

const char *lcip_change_chip_get_text(LcipChangeChip *self) {
  return gtk_label_get_text(self->figures_label);
}
