#pragma once

#include "lcip-layout.h"

G_BEGIN_DECLS

typedef enum { VERTEX_STACK, VERTEX_INPUT, VERTEX_OUTPUT, VERTEX_DUMMY } VertexKind;

/* What is placed: an actor with those attached under it, a graph port, or the place where a long
 * edge passes a layer. @index: of the actor or port. @port: height of the line through it from its
 * top. */
typedef struct {
  VertexKind kind;
  int index;
  int lane, layer, pos;
  double y, height, port, barycentre;
  double x; /* only when placed by hand */
  gboolean placed;
  GArray *above; /* int: vertices of the layer before */
  GArray *below; /* int: vertices of the layer after */
} Vertex;

/* All edges that leave one output port: they share their way as far as it is the same. @chain:
 * vertex at each layer from the source's on, as far as the net goes. */
typedef struct {
  int src;
  guint src_port;
  GArray *chain;
} Net;

/* A drawn edge between two vertices. */
typedef struct {
  guint edge;
  int src, dst;
  int net;
  gboolean back;   /* against the direction of layers */
  gboolean direct; /* an end is placed by hand: not through the layers */
} Arc;

typedef struct {
  const LcipGraph *graph;
  LcipLayout *layout;
  int *lane_of;   /* per actor */
  int *vertex_of; /* per actor; inputs and outputs follow */
  GArray *vertices;
  GArray *nets;
  GArray *arcs;
  GArray **layers; /* vertex indices in order from top to bottom */
  int n_layers;
} Work;

#define VERTEX(work, i) (&g_array_index((work)->vertices, Vertex, (i)))
#define NET(work, i) (&g_array_index((work)->nets, Net, (i)))
#define ARC(work, i) (&g_array_index((work)->arcs, Arc, (i)))

/* lcip-layout-order.c: fills layers, orders them, gives every vertex its y. */
void lcip_layout_assign_layers(Work *work);
void lcip_layout_add_chains(Work *work);
void lcip_layout_order_layers(Work *work);
void lcip_layout_assign_heights(Work *work);

/* lcip-layout-route.c: the x of layers, boxes, and the points of edges. */
void lcip_layout_fill_boxes(Work *work, const double *layer_x);
void lcip_layout_route(Work *work);

G_END_DECLS
