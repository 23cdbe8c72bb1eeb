#include "config.h"

#include "lcip-layout-private.h"

/* Orthogonal edges: a line leaves its source to the right, turns in the channel between two layers
 * on a track of its own, and passes the layers between on the heights of its dummies. */

#define CHANNEL_MIN 40.0
#define CHANNEL_MARGIN 16.0
#define TRACK_GAP 9.0
#define PORT_GAP 9.0
#define MARGIN_X 32.0
/* any lane is further down than any height inside the one above it */
#define LANE_KEY 1e7

typedef struct {
  int net;
  double low, high; /* keys */
  int track;
} Span;

/* Per channel: where each net that turns there turns. */
typedef struct {
  GHashTable *tracks; /* net -> track + 1 */
  int n_tracks;
} Channel;

static double vertex_line(const Vertex *vertex) {
  return vertex->y + vertex->port;
}

static double line_key(int lane, double y) {
  return lane * LANE_KEY + y;
}

/* ---- ports: where exactly an edge meets its actor ---- */

/* The row of @actor inside its stack. */
static double row_centre(Work *work, int actor) {
  const LcipLayoutBox *box = &work->layout->actors[actor];
  return box->y + box->height / 2;
}

/* Of @n ports one, @middle, lies on the line through the actor, so that chains are straight; the
 * others above and below it. */
static double spread(guint i, guint middle, guint n, double room) {
  double gap = n > 1 ? MIN(PORT_GAP, room / 2 / (n - 1)) : 0;
  return ((double)i - middle) * gap;
}

/* Outputs leave a stack at its first row. */
static LcipLayoutPoint source_point(Work *work, const Arc *arc) {
  const Vertex *vertex = VERTEX(work, arc->src);
  const LcipEdge *edge = &g_array_index(work->graph->edges, LcipEdge, arc->edge);
  double y = vertex_line(vertex);
  if (vertex->kind == VERTEX_STACK)
    y += spread(edge->src_port, 0, lcip_graph_actor(work->graph, edge->src_actor)->n_outputs,
                LCIP_LAYOUT_ACTOR_HEIGHT - 16);
  const LcipLayoutBox *box = vertex->kind == VERTEX_STACK ? &work->layout->actors[vertex->index]
                                                          : &work->layout->inputs[vertex->index];
  return (LcipLayoutPoint){box->x + box->width, y, vertex->lane};
}

typedef struct {
  int arc;
  double key;
} Arrival;

static int compare_arrivals(gconstpointer a, gconstpointer b) {
  const Arrival *x = a, *y = b;
  return x->key != y->key ? (x->key < y->key ? -1 : 1) : x->arc - y->arc;
}

static double arrival_key(Work *work, const Arc *arc) {
  const Net *net = NET(work, arc->net);
  int before = VERTEX(work, arc->dst)->layer - 1 - VERTEX(work, net->src)->layer;
  gboolean has_chain = !arc->back && !arc->direct && before >= 0 && before < (int)net->chain->len;
  const Vertex *last = VERTEX(work, has_chain ? g_array_index(net->chain, int, before) : arc->src);
  return line_key(last->lane, vertex_line(last));
}

/* The arrival that comes from closest to the height of the actor's own line. */
static guint straightest(const GArray *arrivals, double line) {
  guint best = 0;
  for (guint i = 1; i < arrivals->len; i++)
    if (ABS(g_array_index(arrivals, Arrival, i).key - line) <
        ABS(g_array_index(arrivals, Arrival, best).key - line))
      best = i;
  return best;
}

/* Edges into one actor arrive in the order of their sources, beside each other. */
static void spread_arrivals(Work *work, GArray *arrivals, LcipLayoutPoint *targets) {
  g_array_sort(arrivals, compare_arrivals);
  const Vertex *into = VERTEX(work, ARC(work, g_array_index(arrivals, Arrival, 0).arc)->dst);
  guint middle = straightest(arrivals, line_key(into->lane, vertex_line(into)));
  for (guint i = 0; i < arrivals->len; i++) {
    int index = g_array_index(arrivals, Arrival, i).arc;
    const Arc *arc = ARC(work, index);
    const Vertex *vertex = VERTEX(work, arc->dst);
    int actor = g_array_index(work->graph->edges, LcipEdge, arc->edge).dst_actor;
    const LcipLayoutBox *box = vertex->kind == VERTEX_STACK ? &work->layout->actors[actor]
                                                            : &work->layout->outputs[vertex->index];
    double line = vertex->kind == VERTEX_STACK ? row_centre(work, actor) : vertex_line(vertex);
    double y = line + spread(i, middle, arrivals->len, box->height - 12);
    targets[index] = (LcipLayoutPoint){box->x, y, vertex->lane};
  }
}

/* Groups the arcs by the actor (or output) that they enter. */
static LcipLayoutPoint *target_points(Work *work) {
  LcipLayoutPoint *targets = g_new0(LcipLayoutPoint, work->arcs->len + 1);
  g_autoptr(GHashTable) groups =
      g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_array_unref);
  for (guint i = 0; i < work->arcs->len; i++) {
    const Arc *arc = ARC(work, i);
    int actor = g_array_index(work->graph->edges, LcipEdge, arc->edge).dst_actor;
    gpointer key = GINT_TO_POINTER(actor >= 0 ? actor + 1 : -1 - arc->dst);
    GArray *group = g_hash_table_lookup(groups, key);
    if (!group)
      g_hash_table_insert(groups, key, group = g_array_new(FALSE, FALSE, sizeof(Arrival)));
    g_array_append_val(group, ((Arrival){i, arrival_key(work, arc)}));
  }
  GHashTableIter iter;
  gpointer group;
  g_hash_table_iter_init(&iter, groups);
  while (g_hash_table_iter_next(&iter, NULL, &group))
    spread_arrivals(work, group, targets);
  return targets;
}

/* ---- boxes ---- */

static void fill_stack(Work *work, int actor, double x, double y, int layer) {
  const Vertex *vertex = VERTEX(work, work->vertex_of[actor]);
  LcipLayoutBox *box = &work->layout->actors[actor];
  gboolean attached = box->attached_to >= 0;
  box->width = LCIP_LAYOUT_ACTOR_WIDTH - (attached ? LCIP_LAYOUT_ATTACHED_INDENT : 0);
  box->height = attached ? LCIP_LAYOUT_ATTACHED_HEIGHT : LCIP_LAYOUT_ACTOR_HEIGHT;
  box->x = x + (attached ? LCIP_LAYOUT_ATTACHED_INDENT : 0);
  box->y = y;
  box->lane = vertex->lane;
  box->layer = layer;
  box->placed = vertex->placed && !attached;
}

/* Attached actors follow in the order of their carriers. */
static void fill_attached(Work *work) {
  LcipLayout *layout = work->layout;
  g_autofree int *carried = g_new(int, layout->n_actors + 1);
  for (guint i = 0; i < layout->n_actors; i++)
    carried[i] = -1;
  for (guint i = 0; i < layout->n_actors; i++)
    if (layout->actors[i].attached_to >= 0)
      carried[layout->actors[i].attached_to] = i;
  for (guint root = 0; root < layout->n_actors; root++) {
    if (layout->actors[root].attached_to >= 0)
      continue;
    const LcipLayoutBox *box = &layout->actors[root];
    double y = box->y + box->height;
    for (int i = carried[root]; i >= 0; i = carried[i], y += LCIP_LAYOUT_ATTACHED_HEIGHT)
      fill_stack(work, i, box->x, y, box->layer);
  }
}

static void fill_port(LcipLayoutBox *box, const Vertex *vertex, double x) {
  *box = (LcipLayoutBox){.x = x,
                         .y = vertex->y + LCIP_LAYOUT_BRACKET_HEIGHT,
                         .width = LCIP_LAYOUT_ACTOR_WIDTH,
                         .height = LCIP_LAYOUT_ACTOR_HEIGHT,
                         .lane = vertex->lane,
                         .layer = vertex->layer,
                         .attached_to = -1};
}

void lcip_layout_fill_boxes(Work *work, const double *layer_x) {
  LcipLayout *layout = work->layout;
  for (guint v = 0; v < work->vertices->len; v++) {
    const Vertex *vertex = VERTEX(work, v);
    double x = vertex->placed ? vertex->x : layer_x[vertex->layer];
    if (vertex->kind == VERTEX_STACK)
      fill_stack(work, vertex->index, x, vertex->y + LCIP_LAYOUT_BRACKET_HEIGHT, vertex->layer);
    else if (vertex->kind == VERTEX_INPUT)
      fill_port(&layout->inputs[vertex->index], vertex, x);
    else if (vertex->kind == VERTEX_OUTPUT)
      fill_port(&layout->outputs[vertex->index], vertex, x);
    if (vertex->kind != VERTEX_DUMMY)
      layout->width = MAX(layout->width, x + LCIP_LAYOUT_ACTOR_WIDTH + MARGIN_X);
  }
  fill_attached(work);
}

/* ---- channels ---- */

static int compare_spans(gconstpointer a, gconstpointer b) {
  const Span *x = a, *y = b;
  return x->low != y->low ? (x->low < y->low ? -1 : 1) : x->net - y->net;
}

/* Left-edge algorithm (Hashimoto and Stevens, 1971): the first track that is free again. */
static void assign_tracks(Channel *channel, GArray *spans) {
  g_array_sort(spans, compare_spans);
  g_autoptr(GArray) ends = g_array_new(FALSE, FALSE, sizeof(double));
  for (guint i = 0; i < spans->len; i++) {
    Span *span = &g_array_index(spans, Span, i);
    guint track = 0;
    while (track < ends->len && g_array_index(ends, double, track) + PORT_GAP > span->low)
      track++;
    if (track == ends->len)
      g_array_append_val(ends, span->high);
    else
      g_array_index(ends, double, track) = span->high;
    g_hash_table_insert(channel->tracks, GINT_TO_POINTER(span->net), GINT_TO_POINTER(track + 1));
  }
  channel->n_tracks = ends->len;
}

static void span_add(GHashTable *spans, int net, double from, double to) {
  if (ABS(from - to) < 0.5)
    return;
  Span *span = g_hash_table_lookup(spans, GINT_TO_POINTER(net));
  if (!span) {
    span = g_new(Span, 1);
    *span = (Span){net, MIN(from, to), MAX(from, to), 0};
    g_hash_table_insert(spans, GINT_TO_POINTER(net), span);
  }
  span->low = MIN(span->low, MIN(from, to));
  span->high = MAX(span->high, MAX(from, to));
}

static double chain_key(Work *work, const Net *net, const LcipLayoutPoint *start, int layer) {
  int at = layer - VERTEX(work, net->src)->layer;
  if (at == 0)
    return line_key(start->lane, start->y);
  const Vertex *vertex = VERTEX(work, g_array_index(net->chain, int, at));
  return line_key(vertex->lane, vertex_line(vertex));
}

static void add_arc_spans(Work *work, const Arc *arc, const LcipLayoutPoint *target,
                          GHashTable **spans) {
  const Net *net = NET(work, arc->net);
  LcipLayoutPoint start = source_point(work, arc);
  int last = VERTEX(work, arc->dst)->layer - 1;
  for (int layer = VERTEX(work, net->src)->layer; layer <= last; layer++) {
    double from = chain_key(work, net, &start, layer);
    double to =
        layer < last ? chain_key(work, net, &start, layer + 1) : line_key(target->lane, target->y);
    span_add(spans[layer], arc->net, from, to);
  }
}

static Channel *make_channels(Work *work, const LcipLayoutPoint *targets) {
  int n = work->n_layers;
  g_autofree GHashTable **spans = g_new0(GHashTable *, n + 1);
  Channel *channels = g_new0(Channel, n + 1);
  for (int i = 0; i < n; i++)
    spans[i] = g_hash_table_new_full(NULL, NULL, NULL, g_free);
  for (guint i = 0; i < work->arcs->len; i++)
    if (!ARC(work, i)->back && !ARC(work, i)->direct)
      add_arc_spans(work, ARC(work, i), &targets[i], spans);
  for (int i = 0; i < n; i++) {
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(Span));
    GHashTableIter iter;
    gpointer span;
    g_hash_table_iter_init(&iter, spans[i]);
    while (g_hash_table_iter_next(&iter, NULL, &span))
      g_array_append_vals(list, span, 1);
    channels[i].tracks = g_hash_table_new(NULL, NULL);
    assign_tracks(&channels[i], list);
    g_hash_table_unref(spans[i]);
  }
  return channels;
}

static double channel_width(const Channel *channel) {
  return MAX(CHANNEL_MIN, 2 * CHANNEL_MARGIN + MAX(channel->n_tracks - 1, 0) * TRACK_GAP);
}

static double track_x(const Channel *channel, const double *layer_x, int layer, int net) {
  int track = GPOINTER_TO_INT(g_hash_table_lookup(channel->tracks, GINT_TO_POINTER(net))) - 1;
  double left = layer_x[layer] + LCIP_LAYOUT_ACTOR_WIDTH;
  double used = MAX(channel->n_tracks - 1, 0) * TRACK_GAP;
  return left + (channel_width(channel) - used) / 2 + MAX(track, 0) * TRACK_GAP;
}

/* ---- points ---- */

static void point_add(GArray *points, double x, double y, int lane) {
  LcipLayoutPoint point = {x, y, lane};
  g_array_append_val(points, point);
}

/* Turns at @x onto another height, unless the line goes straight on. */
static void turn(GArray *points, double x, double y, int lane) {
  const LcipLayoutPoint *last = &g_array_index(points, LcipLayoutPoint, points->len - 1);
  if (last->lane == lane && ABS(last->y - y) < 0.5)
    return;
  point_add(points, x, last->y, last->lane);
  point_add(points, x, y, lane);
}

static void route_layers(Work *work, const Arc *arc, const Channel *channels, const double *layer_x,
                         const LcipLayoutPoint *target, GArray *points) {
  const Net *net = NET(work, arc->net);
  int first = VERTEX(work, net->src)->layer, last = VERTEX(work, arc->dst)->layer - 1;
  for (int layer = first; layer <= last; layer++) {
    double x = track_x(&channels[layer], layer_x, layer, arc->net);
    if (layer == last) {
      turn(points, x, target->y, target->lane);
    } else {
      const Vertex *next = VERTEX(work, g_array_index(net->chain, int, layer + 1 - first));
      turn(points, x, vertex_line(next), next->lane);
    }
  }
}

/* Between actors of which one was placed by hand: around the boxes where there is no way between.
 */
static void route_direct(Work *work, const LcipLayoutPoint *start, const LcipLayoutPoint *target,
                         GArray *points) {
  const double stub = CHANNEL_MARGIN;
  if (target->x >= start->x + 2 * stub) {
    turn(points, (start->x + target->x) / 2, target->y, target->lane);
    return;
  }
  int lane = MAX(start->lane, target->lane);
  double under = work->layout->lane_heights[lane] + PORT_GAP;
  turn(points, start->x + stub, under, lane);
  turn(points, target->x - stub, target->y, target->lane);
}

static void store_points(LcipLayoutEdge *edge, GArray *points) {
  edge->n_points = points->len;
  edge->points = (LcipLayoutPoint *)g_array_free(points, FALSE);
}

static double *place_layers(Work *work, const Channel *channels) {
  double *layer_x = g_new0(double, work->n_layers + 1);
  layer_x[0] = MARGIN_X;
  for (int i = 0; i < work->n_layers; i++)
    layer_x[i + 1] = layer_x[i] + LCIP_LAYOUT_ACTOR_WIDTH + channel_width(&channels[i]);
  return layer_x;
}

void lcip_layout_route(Work *work) {
  g_autofree double *none = g_new0(double, work->n_layers + 1);
  lcip_layout_fill_boxes(work, none); /* rows, for the heights of ports */
  g_autofree LcipLayoutPoint *heights = target_points(work);
  Channel *channels = make_channels(work, heights);
  g_autofree double *layer_x = place_layers(work, channels);
  work->layout->width = 0;
  lcip_layout_fill_boxes(work, layer_x);
  g_autofree LcipLayoutPoint *targets = target_points(work);
  for (guint i = 0; i < work->arcs->len; i++) {
    const Arc *arc = ARC(work, i);
    GArray *points = g_array_new(FALSE, FALSE, sizeof(LcipLayoutPoint));
    LcipLayoutPoint start = source_point(work, arc);
    g_array_append_val(points, start);
    if (arc->back || arc->direct)
      route_direct(work, &start, &targets[i], points);
    else
      route_layers(work, arc, channels, layer_x, &targets[i], points);
    g_array_append_val(points, targets[i]);
    store_points(&work->layout->edges[arc->edge], points);
  }
  for (int i = 0; i < work->n_layers; i++)
    g_hash_table_unref(channels[i].tracks);
  g_free(channels);
}
