#include "config.h"
#include "lcip-document.h"
#include "lcip-open-dims.h"
#include "lcip-query.h"

#include <string.h>

/* source -> tensor -> odd, on lanes CPU and GPU. */
static LcipGraph *small_graph(void) {
  LcipGraph *graph = lcip_graph_new();
  lcip_graph_add_actor(graph, lcip_actor_new("source", "", "lcip", "PictureSource", 0, 1));
  LcipActor *tensor = lcip_actor_new("tensor", "", "lcip", "PictureToTensor", 1, 2);
  g_assert_true(lcip_attrs_set_text(tensor->attrs, "width", LCIP_ATTR_INT, "32", NULL));
  g_assert_true(lcip_attrs_set_text(tensor->attrs, "height", LCIP_ATTR_INT, "32", NULL));
  lcip_graph_add_actor(graph, tensor);
  lcip_graph_add_actor(graph, lcip_actor_new("odd", "", "com.example", "Odd", 1, 1));
  lcip_graph_add_edge(graph, (LcipEdge){0, 0, 1, 0, 0});
  lcip_graph_add_edge(graph, (LcipEdge){1, 0, 2, 0, 0});
  lcip_graph_add_lane(graph, "CPU", LCIP_LANE_CPU, 0, NULL);
  lcip_graph_add_lane(graph, "GPU", LCIP_LANE_OPENCL, 0, NULL);
  lcip_graph_ensure_defaults(graph);
  return graph;
}

static LcipDocument *document_new(void) {
  g_autoptr(LcipGraph) graph = small_graph();
  g_autoptr(GFile) file = g_file_new_for_path("/nowhere/my graph.xml");
  return lcip_document_new(graph, file);
}

static const char *lane_of(LcipDocument *document, const char *id) {
  LcipGraph *graph = lcip_document_graph(document);
  return lcip_graph_lane_of(graph, lcip_graph_find_mapping(graph, NULL),
                            lcip_graph_find_actor(graph, id));
}

static char *attr_of(LcipDocument *document, const char *id, const char *attr) {
  LcipGraph *graph = lcip_document_graph(document);
  return lcip_attrs_get_text(lcip_graph_actor(graph, lcip_graph_find_actor(graph, id))->attrs,
                             attr);
}

static void count(LcipDocument *document, gpointer counter) {
  ++*(guint *)counter;
}

static void test_undo(void) {
  g_autoptr(LcipDocument) document = document_new();
  LcipGraph *first = lcip_document_graph(document);
  const char *const ids[] = {"tensor", "odd"};
  guint changes = 0;
  g_signal_connect(document, "changed", G_CALLBACK(count), &changes);
  g_assert_null(lcip_document_undo_label(document));
  g_assert_null(lcip_document_redo_label(document));
  g_assert_true(lcip_document_move_actors(document, ids, 2, "GPU", NULL));
  g_assert_cmpstr(lane_of(document, "odd"), ==, "GPU");
  g_assert_cmpstr(lcip_document_undo_label(document), ==, "Move 2 Actors");
  g_assert_true(lcip_document_move_actors(document, ids, 1, "CPU", NULL));
  g_assert_cmpstr(lcip_document_undo_label(document), ==, "Move Actor");
  lcip_document_undo(document);
  g_assert_cmpstr(lane_of(document, "tensor"), ==, "GPU");
  g_assert_cmpstr(lcip_document_redo_label(document), ==, "Move Actor");
  lcip_document_undo(document);
  g_assert_true(lcip_document_graph(document) == first);
  lcip_document_undo(document); /* nothing is left to undo */
  g_assert_cmpuint(changes, ==, 4);
  lcip_document_redo(document);
  lcip_document_redo(document);
  lcip_document_redo(document);
  g_assert_cmpstr(lane_of(document, "tensor"), ==, "CPU");
  g_assert_cmpstr(lane_of(document, "odd"), ==, "GPU");
  g_assert_cmpuint(changes, ==, 6);
}

static void test_new_command_drops_redo(void) {
  g_autoptr(LcipDocument) document = document_new();
  g_assert_true(lcip_document_pin(document, "odd", "a"));
  g_assert_true(lcip_document_pin(document, "odd", "b"));
  lcip_document_undo(document);
  g_assert_true(lcip_document_pin(document, "odd", NULL));
  g_assert_null(lcip_document_redo_label(document));
  g_assert_cmpstr(lcip_document_undo_label(document), ==, "Unpin Kernel");
  lcip_document_undo(document);
  LcipGraph *graph = lcip_document_graph(document);
  g_assert_cmpstr(g_hash_table_lookup(lcip_graph_find_mapping(graph, NULL)->pins, "odd"), ==, "a");
}

static void test_modified(void) {
  g_autoptr(LcipDocument) document = document_new();
  guint notified = 0;
  g_assert_false(lcip_document_modified(document));
  g_assert_true(lcip_document_place_actor(document, "odd", 1, 2));
  g_assert_true(lcip_document_modified(document));
  lcip_document_undo(document);
  g_assert_false(lcip_document_modified(document));
  lcip_document_redo(document);
  lcip_document_mark_saved(document, lcip_document_graph(document));
  g_assert_false(lcip_document_modified(document));
  lcip_document_undo(document);
  g_assert_true(lcip_document_modified(document));
  lcip_document_redo(document);
  g_assert_false(lcip_document_modified(document));
  /* A save that ended after a further edit covers the state it was given, not the current one. */
  g_autoptr(LcipGraph) written = lcip_graph_ref(lcip_document_graph(document));
  g_assert_true(lcip_document_pin(document, "odd", "k"));
  g_signal_connect_swapped(document, "notify::modified", G_CALLBACK(g_atomic_int_inc), &notified);
  lcip_document_mark_saved(document, written);
  g_assert_true(lcip_document_modified(document));
  g_assert_cmpuint(notified, >, 0);
  lcip_document_undo(document);
  g_assert_false(lcip_document_modified(document));
}

static void test_merge(void) {
  g_autoptr(LcipDocument) document = document_new();
  for (int i = 0; i < 5; i++)
    g_assert_true(lcip_document_place_actor(document, "odd", i, i));
  g_assert_true(lcip_document_place_actor(document, "tensor", 9, 9));
  lcip_document_undo(document);
  LcipGraph *graph = lcip_document_graph(document);
  g_assert_null(g_hash_table_lookup(graph->layout, "tensor"));
  const LcipPosition *position = g_hash_table_lookup(graph->layout, "odd");
  g_assert_true(position->x == 4);
  lcip_document_undo(document);
  g_assert_null(lcip_document_undo_label(document));
  g_assert_cmpuint(g_hash_table_size(lcip_document_graph(document)->layout), ==, 0);
}

/* A command doesn't merge into what was saved or undone in between. */
static void test_merge_stops(void) {
  g_autoptr(LcipDocument) document = document_new();
  g_assert_true(lcip_document_place_actor(document, "odd", 1, 1));
  lcip_document_mark_saved(document, lcip_document_graph(document));
  g_assert_true(lcip_document_place_actor(document, "odd", 2, 2));
  g_assert_true(lcip_document_modified(document));
  lcip_document_undo(document);
  g_assert_false(lcip_document_modified(document));
  lcip_document_redo(document);
  g_assert_true(lcip_document_place_actor(document, "odd", 3, 3));
  lcip_document_undo(document);
  const LcipPosition *position = g_hash_table_lookup(lcip_document_graph(document)->layout, "odd");
  g_assert_true(position->x == 2);
}

static void test_attrs(void) {
  g_autoptr(LcipDocument) document = document_new();
  LcipGraph *before = lcip_document_graph(document);
  GError *error = NULL;
  g_assert_true(lcip_document_set_attr(document, "tensor", "width", "64", NULL));
  g_assert_true(lcip_document_set_attr(document, "tensor", "width", "128", NULL));
  g_assert_true(lcip_document_set_attr(document, "tensor", "fit", "crop", NULL));
  lcip_document_undo(document);
  g_autofree char *width = attr_of(document, "tensor", "width");
  g_assert_cmpstr(width, ==, "128");
  lcip_document_undo(document);
  g_assert_true(lcip_document_graph(document) == before);
  g_assert_false(lcip_document_set_attr(document, "tensor", "width", "0", &error));
  g_assert_nonnull(strstr(error->message, "tensor: attribute width: expected 1 to 16384"));
  g_clear_error(&error);
  g_assert_false(lcip_document_set_attr(document, "tensor", "wide", "1", &error));
  g_assert_nonnull(strstr(error->message, "no attribute \"wide\""));
  g_clear_error(&error);
  g_assert_true(lcip_document_graph(document) == before);
}

static void test_lanes(void) {
  g_autoptr(LcipDocument) document = document_new();
  const char *const ids[] = {"odd"};
  GError *error = NULL;
  g_assert_false(lcip_document_add_lane(document, "GPU", LCIP_LANE_OPENCL, 0, NULL, &error));
  g_clear_error(&error);
  g_assert_false(lcip_document_add_lane(document, "", LCIP_LANE_CPU, 0, NULL, &error));
  g_clear_error(&error);
  g_assert_true(lcip_document_add_lane(document, "far", LCIP_LANE_REMOTE, 2, "d", &error));
  g_assert_true(lcip_document_move_actors(document, ids, 1, "far", &error));
  g_assert_true(lcip_document_remove_lane(document, "far", &error));
  g_assert_cmpstr(lane_of(document, "odd"), ==, "CPU");
  lcip_document_undo(document);
  g_assert_cmpstr(lane_of(document, "odd"), ==, "far");
  g_assert_false(lcip_document_remove_lane(document, "CPU", &error));
  g_clear_error(&error);
  g_assert_false(lcip_document_move_actors(document, ids, 1, "none", &error));
  g_assert_nonnull(strstr(error->message, "expected the name of a lane, found \"none\""));
  g_clear_error(&error);
}

static void test_remove_actors(void) {
  g_autoptr(LcipDocument) document = document_new();
  const char *const ids[] = {"source", "tensor"}, *const missing[] = {"odd", "nothing"};
  GError *error = NULL;
  g_assert_false(lcip_document_remove_actors(document, missing, 2, &error));
  g_clear_error(&error);
  g_assert_true(lcip_document_remove_actors(document, ids, 2, NULL));
  g_assert_cmpuint(lcip_document_graph(document)->actors->len, ==, 1);
  g_assert_cmpuint(lcip_document_graph(document)->edges->len, ==, 0);
  g_assert_cmpstr(lcip_document_undo_label(document), ==, "Remove 2 Actors");
  lcip_document_undo(document);
  g_assert_cmpuint(lcip_document_graph(document)->edges->len, ==, 2);
}

static void test_title(void) {
  g_autoptr(LcipDocument) document = document_new();
  g_autofree char *title = NULL, *untitled = NULL;
  g_object_get(document, "title", &title, NULL);
  g_assert_cmpstr(title, ==, "my graph");
  g_autoptr(LcipGraph) graph = small_graph();
  g_autoptr(LcipDocument) unsaved = lcip_document_new(graph, NULL);
  g_object_get(unsaved, "title", &untitled, NULL);
  g_assert_cmpstr(untitled, ==, "Untitled");
  g_assert_null(lcip_document_file(unsaved));
  lcip_document_set_file(unsaved, lcip_document_file(document));
  g_assert_true(lcip_document_file(unsaved) == lcip_document_file(document));
}

/* ---- sizes that a model leaves open ---- */

static guint add_input(LcipGraph *graph, const char *name, LcipShape shape,
                       const char *const *dim_names) {
  const guint index =
      (guint)lcip_graph_add_input(graph, name, name, lcip_tensor_spec(LCIP_TYPE_F32, shape));
  LcipGraphPort *port = graph->inputs->pdata[index];
  for (int d = 0; dim_names && d < shape.rank; d++)
    port->dim_names[d] = g_strdup(dim_names[d]);
  return index;
}

static gint64 dim_of(const LcipGraph *graph, guint input, int dim) {
  return ((const LcipGraphPort *)graph->inputs->pdata[input])->spec.shape.dims[dim];
}

/* [names and suggestions of the open sizes] as "batch 1, h 224" */
static char *suggestions(const LcipGraph *graph) {
  g_autoptr(GArray) dims = lcip_graph_open_dims(graph);
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < dims->len; i++) {
    const LcipOpenDim *dim = &g_array_index(dims, LcipOpenDim, i);
    g_string_append_printf(text, "%s%s %" G_GINT64_FORMAT, i ? ", " : "",
                           dim->name ? dim->name : "?", dim->size);
  }
  return g_string_free(text, FALSE);
}

static void test_open_dims_suggestions(void) {
  const struct {
    LcipShape shape;
    const char *names[5];
    gboolean gives_picture;
    const char *expected;
  } cases[] = {
      {lcip_shape(4, -1, 3, -1, -1), {"batch", NULL, "h", "w"}, FALSE, "batch 1, h 224, w 224"},
      {lcip_shape(4, -1, -1, -1, 3), {NULL}, TRUE, "? 1, ? 256, ? 256"},
      {lcip_shape(4, 1, -1, 64, 64), {NULL}, FALSE, "? 3"},
      {lcip_shape(3, -1, 2, -1), {"n", NULL, "length"}, FALSE, "n 1, length 128"},
      {lcip_shape(5, -1, 3, -1, 112, 112), {"n", NULL, "frames"}, FALSE, "n 1, frames 16"},
      {lcip_shape(4, 1, 3, 8, 8), {NULL}, FALSE, ""},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(LcipGraph) graph = lcip_graph_new();
    add_input(graph, "x", cases[i].shape, cases[i].names);
    if (cases[i].gives_picture)
      lcip_graph_add_output(graph, "y", "y",
                            lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, 1, -1, -1, 1)));
    g_autofree char *text = suggestions(graph);
    g_assert_cmpstr(text, ==, cases[i].expected);
  }
}

/* A name stands for one size wherever it is; sizes without one are settled each. */
static void test_settle_dims(void) {
  const char *const x_names[] = {"n", NULL, "side", "side"}, *const mask_names[] = {"n", NULL};
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  add_input(graph, "x", lcip_shape(4, -1, 3, -1, -1), x_names);
  add_input(graph, "mask", lcip_shape(2, -1, -1), mask_names);
  lcip_graph_add_output(graph, "y", "y", lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(2, -1, 10)));
  LcipGraphPort *output = graph->outputs->pdata[0];
  output->dim_names[0] = g_strdup("n");
  g_autoptr(GArray) dims = lcip_graph_open_dims(graph);
  g_assert_cmpuint(dims->len, ==, 3); /* n, side, and the second of mask */
  g_array_index(dims, LcipOpenDim, 0).size = 2;
  g_array_index(dims, LcipOpenDim, 1).size = 96;
  g_array_index(dims, LcipOpenDim, 2).size = 7;
  lcip_graph_settle_dims(graph, dims);
  g_assert_cmpint(dim_of(graph, 0, 0), ==, 2);
  g_assert_cmpint(dim_of(graph, 0, 2), ==, 96);
  g_assert_cmpint(dim_of(graph, 0, 3), ==, 96);
  g_assert_cmpint(dim_of(graph, 1, 0), ==, 2);
  g_assert_cmpint(dim_of(graph, 1, 1), ==, 7);
  g_assert_cmpint(output->spec.shape.dims[0], ==, 2);
  g_autofree char *left = suggestions(graph);
  g_assert_cmpstr(left, ==, "");
}

/* ---- queries ---- */

/* The ids that fit, with spaces between. */
static char *found(LcipGraph *graph, const char *text) {
  static const double ms[] = {1, 6, 4};
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  lcip_problems_add(problems, LCIP_PROBLEM_ERROR, "odd", "refused");
  lcip_problems_add(problems, LCIP_PROBLEM_WARNING, "tensor", "only a warning");
  const LcipQueryFacts facts = {graph, lcip_graph_find_mapping(graph, NULL), problems, ms};
  g_autoptr(LcipQuery) query = lcip_query_new(text, &error);
  g_assert_no_error(error);
  g_autoptr(GArray) indices = lcip_query_run(query, &facts);
  GString *ids = g_string_new(NULL);
  for (guint i = 0; i < indices->len; i++)
    g_string_append_printf(ids, "%s%s", i ? " " : "",
                           lcip_graph_actor(graph, g_array_index(indices, int, i))->id);
  return g_string_free(ids, FALSE);
}

static void test_query(void) {
  static const struct {
    const char *text, *expected;
  } cases[] = {{"", "source tensor odd"},   {"TENSOR", "tensor"},
               {"op:odd", "odd"},           {"op:Picture*", "source tensor"},
               {"op:Picture", ""},          {"op:picture* -source", "tensor"},
               {"on:gpu", "odd"},           {"on:GPU op:odd", "odd"},
               {"on:cpu", "source tensor"}, {"-on:cpu", "odd"},
               {"is:slow", "tensor"},       {"is:invalid", "odd"},
               {"is:pinned", "tensor"},     {"is:placed", "source"},
               {"is:invalid is:slow", ""}};
  g_autoptr(LcipGraph) graph = small_graph();
  LcipMapping *mapping = lcip_graph_find_mapping(graph, NULL);
  lcip_mapping_assign(mapping, "odd", "GPU");
  lcip_mapping_pin(mapping, "tensor", "picture-to-tensor-ref");
  lcip_graph_set_position(graph, "source", &(LcipPosition){1, 2});
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *ids = found(graph, cases[i].text);
    g_assert_cmpstr(ids, ==, cases[i].expected);
  }
}

static void test_query_refused(void) {
  static const char *const texts[] = {"is:fast", "colour:red", "op:Conv in:cpu"};
  for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
    g_autoptr(GError) error = NULL;
    g_assert_null(lcip_query_new(texts[i], &error));
    g_assert_error(error, LCIP_ERROR, LCIP_ERROR_INVALID);
    g_assert_nonnull(strstr(error->message, "expected"));
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/document/undo", test_undo);
  g_test_add_func("/document/new-command-drops-redo", test_new_command_drops_redo);
  g_test_add_func("/document/modified", test_modified);
  g_test_add_func("/document/merge", test_merge);
  g_test_add_func("/document/merge-stops", test_merge_stops);
  g_test_add_func("/document/attrs", test_attrs);
  g_test_add_func("/document/lanes", test_lanes);
  g_test_add_func("/document/remove-actors", test_remove_actors);
  g_test_add_func("/document/title", test_title);
  g_test_add_func("/document/query", test_query);
  g_test_add_func("/document/query/refused", test_query_refused);
  g_test_add_func("/document/open-dims/suggestions", test_open_dims_suggestions);
  g_test_add_func("/document/open-dims/settle", test_settle_dims);
  return g_test_run();
}
