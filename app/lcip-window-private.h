#pragma once

#include "lcip-change-chip.h"
#include "lcip-connect-card.h"
#include "lcip-finder.h"
#include "lcip-inspector.h"
#include "lcip-overview.h"
#include "lcip-picture-panel.h"
#include "lcip-problems-view.h"
#include "lcip-window.h"

G_BEGIN_DECLS

struct _LcipWindow {
  AdwApplicationWindow parent;
  /* template */
  AdwToastOverlay *toasts;
  AdwWindowTitle *title;
  GtkStack *stack;
  GtkScrolledWindow *scrolled;
  LcipOverview *overview;
  LcipChangeChip *chip;
  LcipConnectCard *connect_card;
  LcipFinder *finder;
  GtkRevealer *problems_revealer;
  LcipProblemsView *problems;
  GtkToggleButton *problems_button;
  AdwButtonContent *problems_content;
  GtkWidget *planning_spinner;
  GtkLabel *zoom_label;
  AdwFlap *flap;
  LcipPicturePanel *picture_panel;
  LcipInspector *inspector;
  GtkButton *run_button;
  AdwButtonContent *run_content;
  GtkWidget *stats_box;
  GtkLabel *delivered_label;
  GtkLabel *capacity_label;
  GtkLabel *latency_label;
  AdwSplitButton *save_button;
  GtkMenuButton *add_lane_button;
  GtkMenuButton *mapping_button;
  GtkWidget *undo_button;
  GtkWidget *redo_button;
  GtkWidget *examples_box;
  GtkWidget *sidebar_button;

  /* owned */
  LcipSession *session;
  /* borrowed */
  LcipCanvas *canvas;

  LcipDocument *watched; /* owned: whose "modified" the title follows */
  gboolean run_when_open;
  GtkWidget *sizes_dialog; /* borrowed, weak: while it is open */
  guint zoom_idle;
  double shown_zoom;
};

/* lcip-window-actions.c */
void lcip_window_add_actions(LcipWindow *window);
void lcip_window_update_actions(LcipWindow *window);
void lcip_window_fill_lane_menu(LcipWindow *window);
void lcip_window_fill_mapping_menu(LcipWindow *window);

/* lcip-window-files.c */
typedef void (*LcipWindowFunc)(LcipWindow *window, gpointer data);
void lcip_window_add_file_actions(LcipWindow *window);
void lcip_window_add_drop_target(LcipWindow *window);
gboolean lcip_window_has_open_sizes(LcipWindow *window);
/* lcip_window_ask_input_sizes: where the document leaves some open; then offers Connect Picture. */
void lcip_window_ask_input_sizes(LcipWindow *window);
void lcip_window_fill_examples(LcipWindow *window);
/* lcip_window_ask_to_save: calls @next when nothing is left to lose; not at all on Cancel. */
void lcip_window_ask_to_save(LcipWindow *window, LcipWindowFunc next, gpointer data,
                             GDestroyNotify destroy);

G_END_DECLS
