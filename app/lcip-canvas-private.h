#pragma once

#include "lcip-actor-widget.h"
#include "lcip-canvas.h"
#include "lcip-lane-header.h"
#include "lcip-palette.h"

G_BEGIN_DECLS

#define LCIP_CANVAS_HEADER_WIDTH 192
#define LCIP_CANVAS_MIN_ZOOM 0.02
#define LCIP_CANVAS_MAX_ZOOM 2.5
#define LCIP_CANVAS_ZOOM_TITLE 0.62 /* from here on an actor shows everything */

/* A lane's band, in canvas units. @content: where the layout's y 0 is. */
typedef struct {
  double top, height, content;
  gboolean empty;
  gboolean unbound;
  gboolean offline; /* remote, and its worker is lost */
  gboolean saturated;
  gboolean bottleneck; /* of several lanes in use the one that limits the capacity */
} CanvasLane;

/* The bracket over a fused step. @members: actor indices; @left.. of what it spans. */
typedef struct {
  guint step;
  GArray *members;
  double left, right, y; /* y from the lane's content */
  int lane;
  char *text;
  PangoLayout *layout;
} CanvasBracket;

typedef enum {
  CANVAS_DRAG_NONE,
  CANVAS_DRAG_PENDING, /* pressed, not yet moved far enough */
  CANVAS_DRAG_ACTORS,
  CANVAS_DRAG_SELECT,
  CANVAS_DRAG_PAN
} CanvasDragMode;

typedef struct {
  CanvasDragMode mode;
  /* widget coordinates: of the press, now, and where what is dragged was then, which scrolls */
  double press_x, press_y, x, y, start_x, start_y;
  double start_h, start_v; /* adjustments, for panning */
  int pressed;             /* actor, or -1 */
  int bracket;             /* bracket, or -1 */
  gboolean extend;
  gboolean select_on_release;
  GArray *actors;      /* int: what is dragged */
  GPtrArray *refusals; /* char: per lane why it cannot, or NULL */
  int lane;            /* under the pointer, or -1 */
  int hovered;         /* the lane that "hover-lane" told last, or -1 */
  char *forecast;      /* for @forecast_lane */
  char *forecast_lane;
} CanvasDrag;

struct _LcipCanvas {
  GtkWidget parent;

  /* owned */
  LcipGraph *graph;
  LcipLayout *layout;
  LcipPlan *plan;
  GPtrArray *actors;             /* LcipActorWidget, indices of the graph */
  GHashTable *by_id;             /* id -> index + 1 */
  GPtrArray *headers;            /* LcipLaneHeader, indices of the graph's lanes */
  GArray *lanes;                 /* CanvasLane */
  GArray *brackets;              /* CanvasBracket */
  int *step_of;                  /* per actor: step of the plan, or -1 */
  double *fractions;             /* per actor */
  double *values;                /* per step of the plan: the figure, NAN unknown */
  double *last_ms;               /* per step of the plan: its time when it last ran */
  double *critical;              /* per actor: its place on the path from 1 on, 0 beside it */
  GHashTable *baseline;          /* actor id -> double: times to compare with */
  double *edge_ms;               /* per edge: what it takes to carry it, NAN when not measured */
  GtkAdjustment *adjustments[2]; /* by GtkOrientation */
  GtkGesture *drag_gesture;

  LcipSpecFunc spec_func;
  gpointer spec_data; /* borrowed */
  GtkScrollablePolicy policies[2];
  LcipFigures figures;
  double largest, total; /* of values */
  gboolean show_critical;
  double zoom;
  char *cursor; /* id of the actor that has or last had the focus */
  CanvasDrag drag;
  gboolean space_held;
  gboolean allocating;
  gboolean show_cursor; /* after the next allocation, wherever it went */
  double pinch_zoom;
  double pointer_x, pointer_y;
};

#define CANVAS_LANE(canvas, i) (&g_array_index((canvas)->lanes, CanvasLane, (i)))
#define CANVAS_BRACKET(canvas, i) (&g_array_index((canvas)->brackets, CanvasBracket, (i)))

/* lcip-canvas.c */
double lcip_canvas_to_widget_x(LcipCanvas *canvas, double x);
double lcip_canvas_to_widget_y(LcipCanvas *canvas, int lane, double y);
graphene_rect_t lcip_canvas_box_rect(LcipCanvas *canvas, const LcipLayoutBox *box);
LcipActorWidget *lcip_canvas_actor(LcipCanvas *canvas, int index);
int lcip_canvas_actor_at(LcipCanvas *canvas, double x, double y);
int lcip_canvas_bracket_at(LcipCanvas *canvas, double x, double y);
int lcip_canvas_lane_at(LcipCanvas *canvas, double y);
void lcip_canvas_zoom_at(LcipCanvas *canvas, double zoom, double x, double y);
void lcip_canvas_selection_changed(LcipCanvas *canvas);
void lcip_canvas_clear_selection(LcipCanvas *canvas);
void lcip_canvas_focus_actor(LcipCanvas *canvas, int index);
void lcip_canvas_emit_move(LcipCanvas *canvas, const GArray *actors, int lane);
void lcip_canvas_emit_place(LcipCanvas *canvas, const GArray *actors, double dx, double dy);
void lcip_canvas_emit_hover(LcipCanvas *canvas, const GArray *actors, int lane);
void lcip_canvas_emit_refused(LcipCanvas *canvas, const char *why);
/* lcip_canvas_refusal: why lane @lane cannot run @actors, or NULL when it can. Transfer full. */
char *lcip_canvas_refusal(LcipCanvas *canvas, const GArray *actors, int lane);

/* lcip-canvas-overlay.c: what plan and profile put on the actors. */
void lcip_canvas_update_steps(LcipCanvas *canvas);
void lcip_canvas_clear_brackets(LcipCanvas *canvas);

/* lcip-canvas-figures.c */
void lcip_canvas_measure_figures(LcipCanvas *canvas, const LcipProfile *profile);
double lcip_canvas_figure_fraction(LcipCanvas *canvas, guint step);
char *lcip_canvas_figure_text(LcipCanvas *canvas, guint step); /* NULL where there is none */
void lcip_canvas_keep_times(LcipCanvas *canvas, const LcipProfile *profile);
void lcip_canvas_update_critical(LcipCanvas *canvas);
gboolean lcip_canvas_edge_is_critical(LcipCanvas *canvas, const LcipEdge *edge);

/* lcip-canvas-draw.c */
void lcip_canvas_snapshot(GtkWidget *widget, GtkSnapshot *snapshot);

/* lcip-canvas-input.c, lcip-canvas-drag.c, lcip-canvas-keys.c */
void lcip_canvas_add_controllers(LcipCanvas *canvas);
void lcip_canvas_add_keys(LcipCanvas *canvas);
void lcip_canvas_drag_start(LcipCanvas *canvas, gboolean whole_run);
void lcip_canvas_drag_move(LcipCanvas *canvas);
void lcip_canvas_drag_drop(LcipCanvas *canvas);
void lcip_canvas_drag_cancel(LcipCanvas *canvas);

G_END_DECLS
