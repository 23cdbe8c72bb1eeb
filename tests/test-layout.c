#include "config.h"

#include <glib.h>

#include "lcip-layout.h"

/* The layout of graphs: what holds for every graph is checked on random ones. */

static int add_actor(LcipGraph *graph, const char *id, const char *op, guint n_inputs,
                     const char *lane) {
  int actor = lcip_graph_add_actor(graph, lcip_actor_new(id, "", "", op, n_inputs, 1));
  lcip_mapping_assign(lcip_graph_find_mapping(graph, NULL), id, lane);
  return actor;
}

static void connect(LcipGraph *graph, int src, int dst, guint port) {
  lcip_graph_add_edge(graph, (LcipEdge){src, 0, dst, port, 0});
}

static LcipGraph *graph_new(void) {
  LcipGraph *graph = lcip_graph_new();
  lcip_graph_add_lane(graph, "CPU", LCIP_LANE_CPU, 0, NULL);
  lcip_graph_add_lane(graph, "GPU", LCIP_LANE_OPENCL, 0, NULL);
  lcip_graph_add_lane(graph, "Spare", LCIP_LANE_CPU, 0, NULL);
  lcip_graph_ensure_defaults(graph);
  return graph;
}

static double right(const LcipLayoutBox *box) {
  return box->x + box->width;
}

static double bottom(const LcipLayoutBox *box) {
  return box->y + box->height;
}

/* ---- properties ---- */

static void check_no_overlap(const LcipLayout *layout) {
  for (guint i = 0; i < layout->n_actors; i++)
    for (guint j = 0; j < i; j++) {
      const LcipLayoutBox *a = &layout->actors[i], *b = &layout->actors[j];
      gboolean apart = a->lane != b->lane || right(a) <= b->x || right(b) <= a->x ||
                       bottom(a) <= b->y + 1e-6 || bottom(b) <= a->y + 1e-6;
      g_assert_true(apart);
    }
}

static void check_edge(const LcipGraph *graph, const LcipLayout *layout, guint index) {
  const LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, index);
  const LcipLayoutEdge *line = &layout->edges[index];
  if (line->n_points == 0) {
    g_assert_cmpfloat(layout->actors[edge->src_actor].x, >=, 0);
    return;
  }
  const LcipLayoutPoint *first = line->points, *last = &line->points[line->n_points - 1];
  const LcipLayoutBox *to = &layout->actors[edge->dst_actor];
  g_assert_cmpfloat_with_epsilon(last->x, to->x, 1e-6);
  g_assert_cmpint(last->lane, ==, to->lane);
  g_assert_cmpfloat(last->y, >=, to->y);
  g_assert_cmpfloat(last->y, <=, bottom(to));
  g_assert_cmpfloat(first->x, <=, last->x);
  for (guint i = 1; i < line->n_points; i++) {
    const LcipLayoutPoint *a = &line->points[i - 1], *b = &line->points[i];
    gboolean flat = a->lane == b->lane && ABS(a->y - b->y) < 0.5;
    g_assert_true(flat || ABS(a->x - b->x) < 1e-6);
    g_assert_cmpfloat(b->x, >=, a->x - 1e-6);
  }
}

/* Neither the flat nor the upright parts of an edge pass through an actor. */
static void check_edge_is_clear(const LcipLayout *layout, guint index) {
  const LcipLayoutEdge *line = &layout->edges[index];
  for (guint i = 1; i < line->n_points; i++) {
    const LcipLayoutPoint *a = &line->points[i - 1], *b = &line->points[i];
    double low_x = MIN(a->x, b->x), high_x = MAX(a->x, b->x);
    for (guint j = 0; j < layout->n_actors; j++) {
      const LcipLayoutBox *box = &layout->actors[j];
      if (box->lane < MIN(a->lane, b->lane) || box->lane > MAX(a->lane, b->lane))
        continue;
      if (high_x <= box->x + 1e-6 || low_x >= right(box) - 1e-6)
        continue;
      g_assert_true(a->lane == b->lane && ABS(a->y - b->y) < 0.5);
      g_assert_true(a->y <= box->y || a->y >= bottom(box));
    }
  }
}

static void check_lane_heights(const LcipLayout *layout) {
  for (guint i = 0; i < layout->n_actors; i++) {
    const LcipLayoutBox *box = &layout->actors[i];
    g_assert_cmpfloat(box->y, >=, LCIP_LAYOUT_BRACKET_HEIGHT - 1e-6);
    g_assert_cmpfloat(bottom(box), <=, layout->lane_heights[box->lane] + 1e-6);
    g_assert_cmpfloat(right(box), <=, layout->width);
  }
}

static LcipGraph *random_graph(guint32 seed, int n) {
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  static const char *const ops[] = {"Conv", "Relu", "Add", "Concat", "Reshape"};
  static const char *const lanes[] = {"CPU", "GPU"};
  LcipGraph *graph = graph_new();
  for (int i = 0; i < n; i++) {
    g_autofree char *id = g_strdup_printf("a%d", i);
    const char *op = ops[g_rand_int_range(rand, 0, G_N_ELEMENTS(ops))];
    int actor = add_actor(graph, id, op, 3, lanes[g_rand_int_range(rand, 0, 2)]);
    for (guint port = 0; i > 0 && port < 3; port++)
      if (port == 0 || g_rand_boolean(rand))
        connect(graph, g_rand_int_range(rand, MAX(0, i - 9), i), actor, port);
  }
  return graph;
}

static void test_random(void) {
  for (guint32 seed = 1; seed <= 20; seed++) {
    g_test_message("seed %u", seed);
    g_autoptr(LcipGraph) graph = random_graph(seed, 60);
    g_autoptr(LcipLayout) layout = lcip_layout_new(graph, NULL);
    check_no_overlap(layout);
    check_lane_heights(layout);
    for (guint i = 0; i < layout->n_edges; i++) {
      check_edge(graph, layout, i);
      check_edge_is_clear(layout, i);
    }
  }
}

static void test_same_twice(void) {
  g_autoptr(LcipGraph) graph = random_graph(7, 80);
  g_autoptr(LcipLayout) a = lcip_layout_new(graph, NULL);
  g_autoptr(LcipLayout) b = lcip_layout_new(graph, NULL);
  for (guint i = 0; i < a->n_actors; i++) {
    g_assert_cmpfloat(a->actors[i].x, ==, b->actors[i].x);
    g_assert_cmpfloat(a->actors[i].y, ==, b->actors[i].y);
  }
}

/* ---- single graphs ---- */

static void test_chain(void) {
  g_autoptr(LcipGraph) graph = graph_new();
  int a = add_actor(graph, "a", "Conv", 2, "CPU"), b = add_actor(graph, "b", "Conv", 2, "CPU");
  int c = add_actor(graph, "c", "Conv", 2, "CPU");
  connect(graph, a, b, 0);
  connect(graph, b, c, 0);
  g_autoptr(LcipLayout) layout = lcip_layout_new(graph, NULL);
  g_assert_cmpuint(layout->n_layers, ==, 3);
  g_assert_cmpfloat(right(&layout->actors[a]), <, layout->actors[b].x);
  g_assert_cmpfloat(right(&layout->actors[b]), <, layout->actors[c].x);
  g_assert_cmpfloat(layout->actors[a].y, ==, layout->actors[c].y);
  g_assert_cmpuint(layout->edges[0].n_points, ==, 2); /* straight */
  g_assert_cmpfloat(layout->lane_heights[1], ==, 0);
}

static void test_attached(void) {
  g_autoptr(LcipGraph) graph = graph_new();
  int conv = add_actor(graph, "conv", "Conv", 2, "CPU");
  int relu = add_actor(graph, "relu", "Relu", 1, "CPU");
  int view = add_actor(graph, "view", "Reshape", 2, "CPU");
  int next = add_actor(graph, "next", "Conv", 2, "CPU");
  int other = add_actor(graph, "other", "Conv", 2, "CPU");
  connect(graph, conv, relu, 0);
  connect(graph, relu, view, 0);
  connect(graph, view, next, 0);
  connect(graph, view, other, 0);
  g_autoptr(LcipLayout) layout = lcip_layout_new(graph, NULL);
  g_assert_cmpint(layout->actors[relu].attached_to, ==, conv);
  g_assert_cmpint(layout->actors[view].attached_to, ==, relu);
  g_assert_cmpint(layout->actors[next].attached_to, ==, -1);
  g_assert_cmpfloat(layout->actors[relu].y, ==, bottom(&layout->actors[conv]));
  g_assert_cmpfloat(layout->actors[view].y, ==, bottom(&layout->actors[relu]));
  g_assert_cmpuint(layout->edges[0].n_points, ==, 0);
  g_assert_cmpuint(layout->edges[2].n_points, >=, 2);
}

/* A producer with a second consumer, or on another lane, carries nobody. */
static void test_not_attached(void) {
  g_autoptr(LcipGraph) graph = graph_new();
  int conv = add_actor(graph, "conv", "Conv", 2, "CPU");
  int relu = add_actor(graph, "relu", "Relu", 1, "CPU");
  int add = add_actor(graph, "add", "Add", 2, "CPU");
  int away = add_actor(graph, "away", "Relu", 1, "GPU");
  connect(graph, conv, relu, 0);
  connect(graph, conv, add, 0);
  connect(graph, relu, add, 1);
  connect(graph, add, away, 0);
  g_autoptr(LcipLayout) layout = lcip_layout_new(graph, NULL);
  g_assert_cmpint(layout->actors[relu].attached_to, ==, -1);
  g_assert_cmpint(layout->actors[add].attached_to, ==, relu);
  g_assert_cmpint(layout->actors[away].attached_to, ==, -1);
  g_assert_cmpint(layout->actors[away].lane, ==, 1);
}

/* A move changes the lane of what was moved and nobody's depth. */
static void test_move(void) {
  g_autoptr(LcipGraph) graph = graph_new();
  int ids[6];
  for (int i = 0; i < 6; i++) {
    g_autofree char *id = g_strdup_printf("c%d", i);
    ids[i] = add_actor(graph, id, "Conv", 2, "CPU");
    if (i > 0)
      connect(graph, ids[i - 1], ids[i], 0);
  }
  g_autoptr(LcipLayout) before = lcip_layout_new(graph, NULL);
  lcip_mapping_assign(lcip_graph_find_mapping(graph, NULL), "c3", "GPU");
  g_autoptr(LcipLayout) after = lcip_layout_new(graph, NULL);
  for (int i = 0; i < 6; i++) {
    g_assert_cmpint(after->actors[ids[i]].lane, ==, i == 3 ? 1 : 0);
    g_assert_cmpint(after->actors[ids[i]].layer, ==, before->actors[ids[i]].layer);
  }
  g_assert_cmpfloat(after->lane_heights[1], >, 0);
}

static void test_placed(void) {
  g_autoptr(LcipGraph) graph = graph_new();
  int a = add_actor(graph, "a", "Conv", 2, "CPU"), b = add_actor(graph, "b", "Relu", 1, "CPU");
  int c = add_actor(graph, "c", "Conv", 2, "CPU");
  connect(graph, a, b, 0);
  connect(graph, b, c, 0);
  lcip_graph_set_position(graph, "b", &(LcipPosition){900, 300});
  g_autoptr(LcipLayout) layout = lcip_layout_new(graph, NULL);
  g_assert_true(layout->actors[b].placed);
  g_assert_cmpint(layout->actors[b].attached_to, ==, -1);
  g_assert_cmpfloat(layout->actors[b].x, ==, 900);
  g_assert_cmpfloat(layout->actors[b].y, ==, 300 + LCIP_LAYOUT_BRACKET_HEIGHT);
  g_assert_cmpfloat(layout->lane_heights[0], >=, bottom(&layout->actors[b]));
  for (guint i = 0; i < 2; i++) { /* orthogonal, whichever way round */
    const LcipLayoutEdge *edge = &layout->edges[i];
    for (guint j = 1; j < edge->n_points; j++)
      g_assert_true(ABS(edge->points[j].x - edge->points[j - 1].x) < 1e-6 ||
                    ABS(edge->points[j].y - edge->points[j - 1].y) < 0.5);
  }
}

static void test_cycle(void) {
  g_autoptr(LcipGraph) graph = graph_new();
  int a = add_actor(graph, "a", "Add", 2, "CPU"), b = add_actor(graph, "b", "Conv", 2, "CPU");
  connect(graph, a, b, 0);
  connect(graph, b, a, 1);
  connect(graph, a, a, 0);
  g_autoptr(LcipLayout) layout = lcip_layout_new(graph, NULL);
  check_no_overlap(layout);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpuint(layout->edges[i].n_points, >=, 2);
}

static void test_ports(void) {
  g_autoptr(LcipGraph) graph = graph_new();
  LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, 1, 3, 8, 8));
  int input = lcip_graph_add_input(graph, "in", "in", spec);
  int output = lcip_graph_add_output(graph, "out", "out", spec);
  int a = add_actor(graph, "a", "Conv", 2, "GPU");
  lcip_graph_add_edge(graph, (LcipEdge){LCIP_NO_ACTOR, input, a, 0, 0});
  lcip_graph_add_edge(graph, (LcipEdge){a, 0, LCIP_NO_ACTOR, output, 0});
  g_autoptr(LcipLayout) layout = lcip_layout_new(graph, NULL);
  g_assert_cmpint(layout->inputs[0].lane, ==, 1);
  g_assert_cmpfloat(right(&layout->inputs[0]), <, layout->actors[a].x);
  g_assert_cmpfloat(right(&layout->actors[a]), <, layout->outputs[0].x);
}

static void test_empty(void) {
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  g_autoptr(LcipLayout) layout = lcip_layout_new(graph, NULL);
  g_assert_cmpuint(layout->n_actors, ==, 0);
  g_assert_cmpuint(layout->n_lanes, ==, 1);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/layout/chain", test_chain);
  g_test_add_func("/layout/attached", test_attached);
  g_test_add_func("/layout/not-attached", test_not_attached);
  g_test_add_func("/layout/move", test_move);
  g_test_add_func("/layout/placed", test_placed);
  g_test_add_func("/layout/cycle", test_cycle);
  g_test_add_func("/layout/ports", test_ports);
  g_test_add_func("/layout/empty", test_empty);
  g_test_add_func("/layout/random", test_random);
  g_test_add_func("/layout/same-twice", test_same_twice);
  return g_test_run();
}
