#pragma once

#include <gtk/gtk.h>

#include "lcip-layout.h"
#include "lcip-run.h"
#include "lcip-session.h"

G_BEGIN_DECLS

/** LcipCanvas: the graph: lanes as bands, actors, edges, brackets of fused steps. A GtkScrollable.
 * It never edits: it asks by signals: "move-actors" (GStrv ids, const char *lane): dropped on a
 * lane. "place-actors" (GStrv ids, double dx, double dy): moved by so much on their own lanes.
 * "hover-lane" (GStrv ids, const char *lane): while dragging, over a lane that takes them, or NULL.
 * "refused" (const char *why): a drop or key that cannot be done.
 * "selection-changed": and the list of actors by lcip_canvas_get_selection(). */
#define LCIP_TYPE_CANVAS (lcip_canvas_get_type())
G_DECLARE_FINAL_TYPE(LcipCanvas, lcip_canvas, LCIP, CANVAS, GtkWidget)

GtkWidget *lcip_canvas_new(void);

/** lcip_canvas_set_graph: lays it out; actors keep their selection by id. NULL for none. */
void lcip_canvas_set_graph(LcipCanvas *canvas, LcipGraph *graph);
/** lcip_canvas_set_plan: shapes, fused steps and lanes' devices; its graph may be an older one. */
void lcip_canvas_set_plan(LcipCanvas *canvas, LcipPlan *plan);
/** lcip_canvas_set_spec_func: where shapes come from that no plan knows; asked in set_graph() and
 * set_plan(). */
typedef LcipTensorSpec (*LcipSpecFunc)(gpointer data, const char *id, guint port);
void lcip_canvas_set_spec_func(LcipCanvas *canvas, LcipSpecFunc func, gpointer data);
/** lcip_canvas_set_link: what is known of remote lane @lane's connection; NULL for nothing. */
void lcip_canvas_set_link(LcipCanvas *canvas, const char *lane, const LcipLaneLink *link);
/** LcipFigures: what the numbers on actors say: time in milliseconds; its share of all steps' time;
 * its difference to what it was when this was chosen; bytes of the output; the kernel's family. */
typedef enum {
  LCIP_FIGURES_TIME,
  LCIP_FIGURES_SHARE,
  LCIP_FIGURES_DIFFERENCE,
  LCIP_FIGURES_MEMORY,
  LCIP_FIGURES_KERNEL
} LcipFigures;
void lcip_canvas_set_figures(LcipCanvas *canvas, LcipFigures figures);
LcipFigures lcip_canvas_get_figures(LcipCanvas *canvas);
/** lcip_canvas_set_critical_path: marks the chain of steps that takes longest. */
void lcip_canvas_set_critical_path(LcipCanvas *canvas, gboolean show);
/** lcip_canvas_is_critical: is actor @id marked? */
gboolean lcip_canvas_is_critical(LcipCanvas *canvas, const char *id);
/** lcip_canvas_set_profile: times of the profile's plan; NULL to show none. */
void lcip_canvas_set_profile(LcipCanvas *canvas, const LcipProfile *profile);
/** lcip_canvas_set_problems: array of LcipProblem, or NULL: their actors are marked. */
void lcip_canvas_set_problems(LcipCanvas *canvas, const GPtrArray *problems);

const LcipLayout *lcip_canvas_get_layout(LcipCanvas *canvas);
LcipGraph *lcip_canvas_get_graph(LcipCanvas *canvas);
/** lcip_canvas_get_actor: the widget of an actor, or NULL; borrowed. */
GtkWidget *lcip_canvas_get_actor(LcipCanvas *canvas, const char *id);
/** lcip_canvas_get_actor_fraction: the bar of an actor, 0 to 1, for the overview; 0 without one. */
double lcip_canvas_get_actor_fraction(LcipCanvas *canvas, guint actor);

/** lcip_canvas_get_selection: ids in the order of the graph; free with g_strfreev(). */
char **lcip_canvas_get_selection(LcipCanvas *canvas);
void lcip_canvas_select(LcipCanvas *canvas, const char *const *ids);
/** lcip_canvas_reveal: selects an actor, scrolls to it and gives it the focus. */
void lcip_canvas_reveal(LcipCanvas *canvas, const char *id);
/** lcip_canvas_move_selection: asks for the next lane (@by 1) or the one before (-1) that can run
 * what is selected. */
void lcip_canvas_move_selection(LcipCanvas *canvas, int by);

/** lcip_canvas_set_forecast: shown at the pointer while actors are dragged over @lane; NULL @text
 * for none. */
void lcip_canvas_set_forecast(LcipCanvas *canvas, const char *lane, const char *text);

double lcip_canvas_get_zoom(LcipCanvas *canvas);
/** lcip_canvas_set_zoom: about the middle of what is visible. */
void lcip_canvas_set_zoom(LcipCanvas *canvas, double zoom);
void lcip_canvas_fit(LcipCanvas *canvas);
/** lcip_canvas_get_visible_range: of the net, in canvas units. */
void lcip_canvas_get_visible_range(LcipCanvas *canvas, double *left, double *width);
void lcip_canvas_scroll_to(LcipCanvas *canvas, double left);
/** lcip_canvas_get_actor_rect: where an actor is in the widget, for tests. FALSE when there is no
 * such actor. */
gboolean lcip_canvas_get_actor_rect(LcipCanvas *canvas, const char *id, graphene_rect_t *rect);
/** lcip_canvas_get_lane_rect: the band of a lane in the widget. */
gboolean lcip_canvas_get_lane_rect(LcipCanvas *canvas, const char *lane, graphene_rect_t *rect);

G_END_DECLS
