#include "config.h"

#include "lcip-layout-private.h"

/* Layered drawing after Sugiyama, Tagawa and Toda (1981), with lanes as fixed blocks in every
 * layer: longest path layers, a dummy where a net passes a layer, barycentre sweeps inside (layer,
 * lane). Heights are a least-squares fit under separation constraints (pool adjacent violators). */

#define ORDER_SWEEPS 12
#define HEIGHT_SWEEPS 6
#define STACK_GAP 16.0
#define DUMMY_GAP 10.0

/* ---- layers ---- */

typedef struct {
  int *first; /* per vertex, into arcs */
  int *arcs;
  int *missing; /* per vertex: arcs that come in from vertices without a layer */
} Adjacency;

static Adjacency adjacency_new(Work *work) {
  guint n = work->vertices->len;
  Adjacency adjacency = {g_new0(int, n + 2), g_new0(int, work->arcs->len + 1), g_new0(int, n + 1)};
  for (guint i = 0; i < work->arcs->len; i++) {
    adjacency.first[ARC(work, i)->src + 1]++;
    if (!ARC(work, i)->back)
      adjacency.missing[ARC(work, i)->dst]++;
  }
  for (guint i = 0; i < n; i++)
    adjacency.first[i + 1] += adjacency.first[i];
  g_autofree int *fill = g_memdup2(adjacency.first, (n + 1) * sizeof(int));
  for (guint i = 0; i < work->arcs->len; i++)
    adjacency.arcs[fill[ARC(work, i)->src]++] = i;
  return adjacency;
}

static void adjacency_clear(Adjacency *adjacency) {
  g_free(adjacency->first);
  g_free(adjacency->arcs);
  g_free(adjacency->missing);
}

static void visit(Work *work, Adjacency *adjacency, int v, gboolean *done, GQueue *ready) {
  done[v] = TRUE;
  for (int i = adjacency->first[v]; i < adjacency->first[v + 1]; i++) {
    Arc *arc = ARC(work, adjacency->arcs[i]);
    if (arc->back)
      continue;
    if (done[arc->dst]) {
      arc->back = TRUE;
      continue;
    }
    Vertex *dst = VERTEX(work, arc->dst);
    dst->layer = MAX(dst->layer, VERTEX(work, v)->layer + 1);
    if (--adjacency->missing[arc->dst] == 0)
      g_queue_push_tail(ready, GINT_TO_POINTER(arc->dst));
  }
}

/* A vertex without predecessors stands right before its first consumer. */
static void pull_roots(Work *work, const Adjacency *adjacency) {
  g_autofree gboolean *has_input = g_new0(gboolean, work->vertices->len + 1);
  for (guint i = 0; i < work->arcs->len; i++)
    has_input[ARC(work, i)->dst] = TRUE;
  for (guint v = 0; v < work->vertices->len; v++) {
    int nearest = G_MAXINT;
    for (int i = adjacency->first[v]; !has_input[v] && i < adjacency->first[v + 1]; i++)
      nearest = MIN(nearest, VERTEX(work, ARC(work, adjacency->arcs[i])->dst)->layer);
    if (nearest < G_MAXINT && nearest > 0)
      VERTEX(work, v)->layer = nearest - 1;
  }
}

void lcip_layout_assign_layers(Work *work) {
  guint n = work->vertices->len, next = 0;
  Adjacency adjacency = adjacency_new(work);
  g_autofree gboolean *done = g_new0(gboolean, n + 1);
  GQueue ready = G_QUEUE_INIT;
  for (guint v = 0; v < n; v++)
    if (adjacency.missing[v] == 0)
      g_queue_push_tail(&ready, GINT_TO_POINTER(v));
  for (;;) {
    while (!g_queue_is_empty(&ready))
      visit(work, &adjacency, GPOINTER_TO_INT(g_queue_pop_head(&ready)), done, &ready);
    while (next < n && done[next])
      next++;
    if (next == n)
      break;
    visit(work, &adjacency, next, done, &ready); /* a cycle: cut it at its first actor */
  }
  pull_roots(work, &adjacency);
  adjacency_clear(&adjacency);
  for (guint v = 0; v < n; v++)
    work->n_layers = MAX(work->n_layers, VERTEX(work, v)->layer + 1);
  work->layout->n_layers = work->n_layers;
}

/* ---- dummies ---- */

static void link_vertices(Work *work, int a, int b) {
  GArray *below = VERTEX(work, a)->below;
  for (guint i = 0; i < below->len; i++)
    if (g_array_index(below, int, i) == b)
      return;
  g_array_append_val(below, b);
  g_array_append_val(VERTEX(work, b)->above, a);
}

/* The vertex of @net at @layer, made where the net did not come as far yet. */
static int extend_chain(Work *work, Net *net, int layer) {
  int first = VERTEX(work, net->src)->layer;
  while (first + (int)net->chain->len <= layer) {
    Vertex dummy = {.kind = VERTEX_DUMMY,
                    .index = net->src,
                    .lane = VERTEX(work, net->src)->lane,
                    .layer = first + (int)net->chain->len,
                    .above = g_array_new(FALSE, FALSE, sizeof(int)),
                    .below = g_array_new(FALSE, FALSE, sizeof(int))};
    g_array_append_val(work->vertices, dummy);
    int v = (int)work->vertices->len - 1;
    link_vertices(work, g_array_index(net->chain, int, net->chain->len - 1), v);
    g_array_append_val(net->chain, v);
  }
  return g_array_index(net->chain, int, layer - first);
}

void lcip_layout_add_chains(Work *work) {
  for (guint i = 0; i < work->arcs->len; i++) {
    Arc arc = *ARC(work, i);
    if (arc.back || arc.direct)
      continue;
    int last = extend_chain(work, NET(work, arc.net), VERTEX(work, arc.dst)->layer - 1);
    link_vertices(work, last, arc.dst);
  }
}

/* ---- order inside layers ---- */

static int compare_vertices(gconstpointer a, gconstpointer b, gpointer data) {
  Work *work = data;
  const Vertex *x = VERTEX(work, *(const int *)a), *y = VERTEX(work, *(const int *)b);
  if (x->lane != y->lane)
    return x->lane - y->lane;
  if (x->barycentre != y->barycentre)
    return x->barycentre < y->barycentre ? -1 : 1;
  return x->pos - y->pos;
}

static void sort_layer(Work *work, int layer) {
  GArray *order = work->layers[layer];
  g_array_sort_with_data(order, compare_vertices, work);
  for (guint i = 0; i < order->len; i++)
    VERTEX(work, g_array_index(order, int, i))->pos = i;
}

static double mean_position(Work *work, const GArray *neighbours, double otherwise) {
  double sum = 0;
  for (guint i = 0; i < neighbours->len; i++)
    sum += VERTEX(work, g_array_index(neighbours, int, i))->pos;
  return neighbours->len ? sum / neighbours->len : otherwise;
}

/* Lanes are fixed, so positions are comparable between layers only as ranks; good enough. */
static void sweep_order(Work *work, gboolean down) {
  for (int i = 0; i < work->n_layers; i++) {
    int layer = down ? i : work->n_layers - 1 - i;
    for (guint j = 0; j < work->layers[layer]->len; j++) {
      Vertex *vertex = VERTEX(work, g_array_index(work->layers[layer], int, j));
      vertex->barycentre = mean_position(work, down ? vertex->above : vertex->below, vertex->pos);
    }
    sort_layer(work, layer);
  }
}

void lcip_layout_order_layers(Work *work) {
  work->layers = g_new0(GArray *, work->n_layers + 1);
  for (int i = 0; i < work->n_layers; i++)
    work->layers[i] = g_array_new(FALSE, FALSE, sizeof(int));
  for (int v = 0; v < (int)work->vertices->len; v++)
    if (!VERTEX(work, v)->placed)
      g_array_append_val(work->layers[VERTEX(work, v)->layer], v);
  for (int i = 0; i < work->n_layers; i++)
    sort_layer(work, i);
  for (int i = 0; i < ORDER_SWEEPS; i++)
    sweep_order(work, i % 2 == 0);
}

/* ---- heights ---- */

/* Where the line through the vertex would be straight: the mean of its neighbours on its lane. */
static double wished_line(Work *work, const Vertex *vertex, gboolean down) {
  double sum = 0;
  int n = 0;
  for (int side = 0; side < 2; side++) {
    const GArray *neighbours = side ? vertex->below : vertex->above;
    /* the layer just swept counts double */
    int weight = (side == 0) == down ? 2 : 1;
    for (guint i = 0; i < neighbours->len; i++) {
      const Vertex *other = VERTEX(work, g_array_index(neighbours, int, i));
      if (other->lane != vertex->lane || other->placed)
        continue;
      sum += weight * (other->y + other->port);
      n += weight;
    }
  }
  return n ? sum / n : vertex->y + vertex->port;
}

/* The height of the line that @vertex continues: of its only neighbour before it that is an actor,
 * else the mean. */
static double continued_line(Work *work, const Vertex *vertex) {
  double sum = 0;
  int n = 0;
  const Vertex *actor = NULL;
  for (guint i = 0; i < vertex->above->len; i++) {
    const Vertex *other = VERTEX(work, g_array_index(vertex->above, int, i));
    if (other->lane != vertex->lane || other->placed)
      continue;
    if (other->kind != VERTEX_DUMMY)
      actor = actor ? vertex : other; /* several: none */
    sum += other->y + other->port;
    n++;
  }
  if (actor && actor != vertex)
    return actor->y + actor->port;
  return n ? sum / n : vertex->y + vertex->port;
}

static double gap_between(const Vertex *a, const Vertex *b) {
  return a->kind == VERTEX_DUMMY || b->kind == VERTEX_DUMMY ? DUMMY_GAP : STACK_GAP;
}

/* A run of vertices that touch each other and move as one. */
typedef struct {
  double sum, weight;
  guint n;
} Pool;

/* BEFORE, AFTER: between its neighbours, the layer before (after) counts double. STRAIGHT: continue
 * the lines of the layer before, actors first. */
typedef enum { FIT_BEFORE, FIT_AFTER, FIT_STRAIGHT } Fit;

static double pool_mean(const Pool *pool) {
  return pool->sum / pool->weight;
}

/* Vertices [first, end) of a layer lie on one lane: the closest to their wishes without overlap. */
static void fit_lane(Work *work, const GArray *layer, guint first, guint end, Fit fit) {
  g_autofree Pool *pools = g_new0(Pool, end - first);
  g_autofree double *offsets = g_new0(double, end - first);
  guint n = 0;
  for (guint i = first; i < end; i++) {
    Vertex *vertex = VERTEX(work, g_array_index(layer, int, i));
    if (i > first) {
      const Vertex *before = VERTEX(work, g_array_index(layer, int, i - 1));
      offsets[i - first] = offsets[i - first - 1] + before->height + gap_between(before, vertex);
    }
    double line = fit == FIT_STRAIGHT ? continued_line(work, vertex)
                                      : wished_line(work, vertex, fit == FIT_BEFORE);
    double wish = line - vertex->port - offsets[i - first];
    double weight = fit == FIT_STRAIGHT && vertex->kind != VERTEX_DUMMY ? 1e6 : 1;
    pools[n++] = (Pool){wish * weight, weight, 1};
    while (n > 1 && pool_mean(&pools[n - 2]) > pool_mean(&pools[n - 1])) {
      pools[n - 2].sum += pools[n - 1].sum;
      pools[n - 2].weight += pools[n - 1].weight;
      pools[n - 2].n += pools[n - 1].n;
      n--;
    }
  }
  for (guint i = first, pool = 0, used = 0; i < end; i++) {
    VERTEX(work, g_array_index(layer, int, i))->y = pool_mean(&pools[pool]) + offsets[i - first];
    if (++used == pools[pool].n) {
      pool++;
      used = 0;
    }
  }
}

static void fit_layer(Work *work, int index, Fit fit) {
  GArray *layer = work->layers[index];
  for (guint first = 0, end; first < layer->len; first = end) {
    int lane = VERTEX(work, g_array_index(layer, int, first))->lane;
    for (end = first; end < layer->len; end++)
      if (VERTEX(work, g_array_index(layer, int, end))->lane != lane)
        break;
    fit_lane(work, layer, first, end, fit);
  }
}

/* Moves each lane's content so that it starts at 0, and measures it. Placed actors stay. */
static void normalise_lanes(Work *work) {
  guint n_lanes = work->layout->n_lanes;
  g_autofree double *top = g_new(double, n_lanes);
  for (guint i = 0; i < n_lanes; i++)
    top[i] = G_MAXDOUBLE;
  for (guint v = 0; v < work->vertices->len; v++) {
    const Vertex *vertex = VERTEX(work, v);
    if (!vertex->placed)
      top[vertex->lane] = MIN(top[vertex->lane], vertex->y);
  }
  for (guint v = 0; v < work->vertices->len; v++) {
    Vertex *vertex = VERTEX(work, v);
    if (!vertex->placed)
      vertex->y -= top[vertex->lane];
    double *height = &work->layout->lane_heights[vertex->lane];
    *height = MAX(*height, vertex->y + vertex->height);
  }
}

void lcip_layout_assign_heights(Work *work) {
  for (int sweep = 0; sweep < HEIGHT_SWEEPS; sweep++) {
    gboolean down = sweep % 2 == 0;
    for (int i = 0; i < work->n_layers; i++)
      fit_layer(work, down ? i : work->n_layers - 1 - i, down ? FIT_BEFORE : FIT_AFTER);
  }
  for (int i = 0; i < work->n_layers; i++)
    fit_layer(work, i, FIT_STRAIGHT);
  normalise_lanes(work);
}
