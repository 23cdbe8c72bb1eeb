#pragma once

#include "lcip-graph.h"

G_BEGIN_DECLS

/* Where actors, lanes and edges lie on the canvas, as a pure function of graph and mapping: layers
 * of longest paths from left to right, fixed lanes from top to bottom. No GTK here.
 *
 * Lanes are stretched by the canvas to fill the window, so every y is relative to the top of its
 * lane's content: a point is (x, lane, y). */

#define LCIP_LAYOUT_ACTOR_WIDTH 152.0
#define LCIP_LAYOUT_ACTOR_HEIGHT 58.0
#define LCIP_LAYOUT_ATTACHED_HEIGHT 24.0
/* room above an actor for the bracket of its step */
#define LCIP_LAYOUT_BRACKET_HEIGHT 20.0
/* an attached actor is as much narrower than its producer, at the left */
#define LCIP_LAYOUT_ATTACHED_INDENT 12.0

typedef struct {
  double x;
  double y;
  int lane;
} LcipLayoutPoint;

/** LcipLayoutBox: @y from the top of its lane's content. @layer: depth. @attached_to: the actor
 * whose stack this one is part of, directly above it, or -1. @placed: by hand. */
typedef struct {
  double x, y, width, height;
  int lane;
  int layer;
  int attached_to;
  gboolean placed;
} LcipLayoutBox;

/** LcipLayoutEdge: an orthogonal line; @n_points 0 where both ends are in one stack. */
typedef struct {
  guint n_points;
  LcipLayoutPoint *points;
} LcipLayoutEdge;

/** LcipLayout: indices as in the graph. @lane_heights: of the content; 0 for an empty lane.
 * @width: of the whole net. */
typedef struct {
  guint n_actors, n_inputs, n_outputs, n_edges, n_lanes, n_layers;
  LcipLayoutBox *actors;
  LcipLayoutBox *inputs;
  LcipLayoutBox *outputs;
  LcipLayoutEdge *edges;
  double *lane_heights;
  double width;
} LcipLayout;

/** lcip_layout_new: @mapping NULL for the active one. Graphs with cycles are laid out too, their
 * backward edges below the rest. */
LcipLayout *lcip_layout_new(const LcipGraph *graph, const LcipMapping *mapping);
void lcip_layout_free(LcipLayout *layout);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipLayout, lcip_layout_free)

G_END_DECLS
