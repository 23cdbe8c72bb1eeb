#include "config.h"
#include "test-io.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a graph with everything odd that a document can hold ---- */

static const char odd_name[] = "a \"b\" <c> & 'd'\n\te\r \xce\xbb \xf0\x9f\x99\x82";

static void set_odd_attrs(LcipAttrs *attrs) {
  const gint64 ints[] = {G_MININT64, -1, 0, G_MAXINT64};
  const float floats[] = {0.1f, -0.0f, 1e-45f, 3.4028235e38f, 16777216.0f, 1.0f / 3};
  const char *const strings[] = {"", "two\nlines", " blanks ", odd_name};
  g_autoptr(LcipTensor) tensor = lcip_tensor_new_i64(4, ints);
  GError *error = NULL;
  lcip_attrs_set_ints(attrs, "i", LCIP_ATTR_INT, 1, ints, &error);
  lcip_attrs_set_ints(attrs, "is", LCIP_ATTR_INTS, 4, ints, &error);
  lcip_attrs_set_ints(attrs, "none", LCIP_ATTR_INTS, 0, NULL, &error);
  lcip_attrs_set_floats(attrs, "f", LCIP_ATTR_FLOAT, 1, floats, &error);
  lcip_attrs_set_floats(attrs, "fs", LCIP_ATTR_FLOATS, 6, floats, &error);
  lcip_attrs_set_strings(attrs, "s", LCIP_ATTR_STRING, 1, strings + 3, &error);
  lcip_attrs_set_strings(attrs, "ss", LCIP_ATTR_STRINGS, 4, strings, &error);
  lcip_attrs_set_strings(attrs, "no strings", LCIP_ATTR_STRINGS, 0, NULL, &error);
  lcip_attrs_set_tensor(attrs, "t", tensor, &error);
  g_assert_no_error(error);
}

static void add_odd_actor(LcipGraph *graph) {
  g_autoptr(LcipTensor) a = f32_tensor(5, 1), b = f32_tensor(5, 2), empty = f32_tensor(0, 0);
  LcipActor *odd = lcip_actor_new("odd", odd_name, "com.example", "O<d>d", 6, 2);
  set_odd_attrs(odd->attrs);
  lcip_actor_set_constant(odd, 1, a, odd_name);
  lcip_actor_set_constant(odd, 2, a, odd_name); /* one tensor twice */
  lcip_actor_set_constant(odd, 3, b, odd_name); /* another of the same key */
  lcip_actor_set_constant(odd, 4, b, NULL);
  lcip_actor_set_constant(odd, 5, empty, "empty");
  lcip_graph_add_actor(graph, odd);
}

static void add_odd_ports(LcipGraph *graph) {
  const gint64 dims[] = {-1, 3, -1, 0};
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F16, lcip_shape_from_dims(4, dims));
  const LcipTensorSpec none = {0};
  lcip_graph_add_input(graph, "in", odd_name, spec);
  lcip_graph_add_input(graph, "scalar", "", lcip_tensor_spec(LCIP_TYPE_BOOL, lcip_shape(0)));
  lcip_graph_add_output(graph, "out", "out:0", spec);
  lcip_graph_add_output(graph, "out_2", "", none);
  ((LcipGraphPort *)graph->inputs->pdata[0])->dim_names[0] = g_strdup("batch & <size>");
  ((LcipGraphPort *)graph->inputs->pdata[0])->dim_names[3] = g_strdup("d");
}

static void add_odd_edges(LcipGraph *graph) {
  const LcipEdge edges[] = {{LCIP_NO_ACTOR, 0, 0, 0, 0},
                            {0, 0, LCIP_NO_ACTOR, 0, 0},
                            {0, 1, LCIP_NO_ACTOR, 1, 3},
                            {1, 0, 2, 0, 0}};
  for (gsize i = 0; i < G_N_ELEMENTS(edges); i++)
    lcip_graph_add_edge(graph, edges[i]);
}

static void add_odd_platform(LcipGraph *graph) {
  const LcipPosition position = {0.1, -1e300};
  lcip_graph_add_lane(graph, "CPU", LCIP_LANE_CPU, 0, NULL);
  lcip_graph_add_lane(graph, odd_name, LCIP_LANE_OPENCL, 0, "opencl:0");
  lcip_graph_add_lane(graph, "far", LCIP_LANE_REMOTE, 3, "tcp://[::1]");
  LcipMapping *first = lcip_graph_add_mapping(graph, "first");
  LcipMapping *second = lcip_graph_add_mapping(graph, odd_name);
  lcip_mapping_assign(first, "sink", odd_name);
  lcip_mapping_assign(first, "odd", "far");
  lcip_mapping_pin(second, "odd", "some-kernel");
  g_hash_table_insert(second->fallbacks, g_strdup("far"), g_strdup("CPU"));
  g_free(graph->active_mapping);
  graph->active_mapping = g_strdup(odd_name);
  lcip_graph_set_position(graph, "odd", &position);
  lcip_graph_ensure_defaults(graph);
}

LcipGraph *odd_graph(void) {
  LcipGraph *graph = lcip_graph_new();
  g_free(graph->name);
  g_free(graph->description);
  graph->name = g_strdup(odd_name);
  graph->description = g_strdup("  several\n lines \r\n ");
  graph->source_opset = 7;
  add_odd_ports(graph);
  add_odd_actor(graph);
  lcip_graph_add_actor(graph, lcip_actor_new("source", "", "lcip", "PictureSource", 0, 1));
  lcip_graph_add_actor(graph, lcip_actor_new("sink", "", "lcip", "PictureSink", 1, 0));
  add_odd_edges(graph);
  add_odd_platform(graph);
  return graph;
}

/* ---- XML ---- */

/* The names of weights files are made of the document's, so both lie in folders of their own. */
void round_trip(const LcipGraph *graph, const char *name) {
  g_autofree char *folder_a = in_scratch("a"), *folder_b = in_scratch("b");
  g_autofree char *a = g_build_filename(folder_a, name, NULL);
  g_autofree char *b = g_build_filename(folder_b, name, NULL);
  GError *error = NULL;
  g_mkdir_with_parents(folder_a, 0700);
  g_mkdir_with_parents(folder_b, 0700);
  g_assert_true(lcip_xml_write(graph, a, &error));
  g_assert_no_error(error);
  g_autoptr(LcipGraph) read = lcip_xml_read(a, &error);
  g_assert_no_error(error);
  g_assert_true(lcip_xml_write(read, b, &error));
  g_assert_no_error(error);
  assert_same_file(a, b);
  g_assert_true(lcip_xml_validate(b, &error));
  g_assert_no_error(error);
}

static void test_xml_odd(void) {
  g_autoptr(LcipGraph) graph = odd_graph();
  round_trip(graph, "odd.xml");
  g_autofree char *path = in_scratch("a/odd.xml");
  g_autoptr(LcipGraph) read = lcip_xml_read(path, NULL);
  const LcipActor *before = lcip_graph_actor(graph, 0), *after = lcip_graph_actor(read, 0);
  g_assert_cmpstr(read->name, ==, odd_name);
  g_assert_cmpstr(read->description, ==, graph->description);
  g_assert_cmpstr(after->name, ==, odd_name);
  g_assert_null(after->op);
  g_assert_true(lcip_attrs_equal(before->attrs, after->attrs));
  g_assert_null(after->constants[0]);
  for (guint i = 1; i < 6; i++)
    g_assert_cmpmem(
        lcip_tensor_get_data(before->constants[i]), lcip_tensor_get_bytes(before->constants[i]),
        lcip_tensor_get_data(after->constants[i]), lcip_tensor_get_bytes(after->constants[i]));
  g_assert_cmpstr(((LcipGraphPort *)read->inputs->pdata[0])->dim_names[0], ==, "batch & <size>");
  g_assert_cmpint(((LcipGraphPort *)read->inputs->pdata[0])->spec.shape.dims[0], ==, -1);
  g_assert_cmpuint(g_array_index(read->edges, LcipEdge, 2).delay, ==, 3);
  g_assert_cmpstr(read->active_mapping, ==, odd_name);
  const LcipPosition *position = g_hash_table_lookup(read->layout, "odd");
  g_assert_true(position->x == 0.1 && position->y == -1e300);
}

static void test_xml_plain(void) {
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  lcip_graph_ensure_defaults(graph);
  round_trip(graph, "plain.xml");
  g_autofree char *path = in_scratch("a/plain.xml");
  g_autoptr(GBytes) bytes = get(path);
  g_autofree char *text = lcip_xml_to_string(graph, NULL, NULL);
  g_assert_cmpmem(text, strlen(text), g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static void test_xml_unrepresentable(void) {
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  g_free(graph->name);
  graph->name = g_strdup("bell \a and \xff");
  lcip_graph_ensure_defaults(graph);
  round_trip(graph, "bell.xml");
  g_autofree char *path = in_scratch("a/bell.xml");
  g_autoptr(LcipGraph) read = lcip_xml_read(path, NULL);
  g_assert_cmpstr(read->name, ==, "bell \xef\xbf\xbd and \xef\xbf\xbd");
}

/* Saving changed weights leaves the earlier file, which another document may name, alone. */
static void test_xml_weights_kept(void) {
  g_autofree char *folder = in_scratch("kept");
  g_autofree char *path = g_build_filename(folder, "g.xml", NULL);
  GError *error = NULL;
  g_mkdir_with_parents(folder, 0700);
  for (int i = 0; i < 2; i++) {
    g_autoptr(LcipGraph) graph = lcip_graph_new();
    g_autoptr(LcipTensor) tensor = f32_tensor(4, (float)i);
    LcipActor *actor = lcip_actor_new("a", "", "x", "Y", 1, 1);
    lcip_actor_set_constant(actor, 0, tensor, "w");
    lcip_graph_add_actor(graph, actor);
    g_assert_true(lcip_xml_write(graph, path, &error));
  }
  guint weights = 0, all = 0;
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  for (const char *name; (name = g_dir_read_name(dir)); all++)
    weights += g_str_has_prefix(name, "g-") && g_str_has_suffix(name, ".safetensors");
  g_assert_cmpuint(weights, ==, 2);
  g_assert_cmpuint(all, ==, 3); /* and no temporary file */
}

/* A changed byte is found at the next load, since the time of change differs; where someone has set
 * the time back, validate still finds it. */
static void test_xml_hash(void) {
  g_autofree char *folder = in_scratch("hash");
  g_autofree char *path = g_build_filename(folder, "g.xml", NULL);
  g_mkdir_with_parents(folder, 0700);
  g_autoptr(LcipGraph) graph = odd_graph();
  GError *error = NULL;
  g_assert_true(lcip_xml_write(graph, path, &error));
  g_autoptr(LcipGraph) first = lcip_xml_read(path, &error);
  g_assert_nonnull(first);
  g_assert_no_error(error);
  g_autofree char *weights = weights_beside(folder);
  struct stat before;
  stat(weights, &before);
  FILE *file = fopen(weights, "r+b");
  fseek(file, -1, SEEK_END);
  fputc(0x55, file);
  fclose(file);
  const struct timespec old[2] = {before.st_atim, before.st_mtim};
  utimensat(AT_FDCWD, weights, old, 0);
  g_assert_false(lcip_xml_validate(path, &error));
  assert_error_has(error, "expected SHA-256");
  g_assert_true(g_error_matches(error, LCIP_IO_ERROR, LCIP_IO_ERROR_HASH));
  g_clear_error(&error);
  const struct timespec later[2] = {before.st_atim, {before.st_mtim.tv_sec + 1, 0}};
  utimensat(AT_FDCWD, weights, later, 0);
  g_assert_null(lcip_xml_read(path, &error));
  assert_error_has(error, "expected SHA-256");
  g_clear_error(&error);
}

static void test_xml_symlink(void) {
  g_autofree char *folder = in_scratch("link");
  g_autofree char *path = g_build_filename(folder, "g.xml", NULL);
  g_mkdir_with_parents(folder, 0700);
  g_autoptr(LcipGraph) graph = odd_graph();
  GError *error = NULL;
  g_assert_true(lcip_xml_write(graph, path, &error));
  g_autofree char *weights = weights_beside(folder);
  g_autofree char *outside = in_scratch("outside.bin");
  g_rename(weights, outside);
  g_assert_cmpint(symlink(outside, weights), ==, 0);
  g_assert_null(lcip_xml_read(path, &error));
  g_assert_true(g_error_matches(error, LCIP_IO_ERROR, LCIP_IO_ERROR_PATH));
  assert_error_has(error, "symbolic link");
  g_clear_error(&error);
}

void test_examples(void) {
  static const char *const names[] = {"blazeface-back.xml", "selfie-segmentation.xml"};
  for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *folder = in_source("graphs");
    g_autofree char *path = g_build_filename(folder, names[i], NULL);
    g_autofree char *copy = in_scratch(names[i]);
    GError *error = NULL;
    g_autoptr(LcipGraph) graph = lcip_graph_load(path, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(lcip_xml_validate(path, &error));
    g_assert_true(lcip_xml_write(graph, copy, &error));
    assert_same_file(path, copy);
    g_assert_nonnull(lcip_graph_find_mapping(graph, "cpu+gpu"));
  }
}

/* What a file calls its elements goes when the file is read: GLib never frees what is interned. */
static void test_xml_names_go(void) {
  static const char text[] = "<lcip xmlns='urn:lcip:graph:1' version='1'><unheard-of-7/></lcip>";
  g_autofree char *path = in_scratch("names.xml");
  g_autoptr(GError) error = NULL;
  put(path, text, strlen(text));
  g_assert_null(lcip_xml_read(path, &error));
  assert_error_has(error, "<unheard-of-7>");
  g_assert_cmpuint(g_quark_try_string("unheard-of-7"), ==, 0);
}

/* ---- the corpus: every file says in its first comment what is wrong with it ---- */

typedef struct {
  char *kind; /* valid, malformed, structural or semantic */
  char *where;
  char *fragment;
} Expectation;

static void expectation_clear(Expectation *expectation) {
  g_free(expectation->kind);
  g_free(expectation->where);
  g_free(expectation->fragment);
}

static Expectation read_expectation(const char *path) {
  Expectation expectation = {0};
  g_autoptr(GBytes) bytes = get(path);
  g_autofree char *text =
      g_strndup(g_bytes_get_data(bytes, NULL), MIN(g_bytes_get_size(bytes), 600));
  char *begin = strstr(text, "<!-- "), *end = begin ? strstr(begin, " -->") : NULL;
  g_assert_nonnull(end);
  *end = 0;
  g_auto(GStrv) words = g_strsplit(begin + 5, " ", 3);
  expectation.kind = g_strdup(words[0]);
  expectation.where = words[1] ? g_strdup(words[1]) : NULL;
  expectation.fragment = words[1] ? g_strdup(words[2]) : NULL;
  return expectation;
}

static void check_corpus_file(gconstpointer data) {
  const char *path = data;
  Expectation expectation = read_expectation(path);
  GError *error = NULL;
  g_autoptr(LcipGraph) graph = lcip_xml_read(path, &error);
  if (g_str_equal(expectation.kind, "valid")) {
    g_assert_no_error(error);
    g_assert_nonnull(graph);
  } else {
    g_autofree char *prefix = g_strdup_printf("%s:%s <", path, expectation.where);
    g_assert_null(graph);
    assert_error_has(error, prefix);
    assert_error_has(error, expectation.fragment);
    g_assert_false(lcip_xml_validate(path, NULL));
  }
  g_clear_error(&error);
  expectation_clear(&expectation);
}

static void quiet(void *data, const xmlError *error) {
}

/* TRUE where the schema accepts the file. */
static gboolean schema_accepts(const char *path) {
  g_autofree char *schema_path = in_source("graphs/lcip-graph.rng");
  xmlRelaxNGParserCtxtPtr parser = xmlRelaxNGNewParserCtxt(schema_path);
  xmlRelaxNGPtr schema = xmlRelaxNGParse(parser);
  g_assert_nonnull(schema);
  xmlRelaxNGFreeParserCtxt(parser);
  xmlSetStructuredErrorFunc(NULL, (xmlStructuredErrorFunc)quiet);
  xmlDocPtr doc = xmlReadFile(path, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR);
  xmlRelaxNGValidCtxtPtr valid = xmlRelaxNGNewValidCtxt(schema);
  const gboolean accepts = doc && xmlRelaxNGValidateDoc(valid, doc) == 0;
  xmlRelaxNGFreeValidCtxt(valid);
  xmlRelaxNGFree(schema);
  xmlFreeDoc(doc);
  xmlSetStructuredErrorFunc(NULL, NULL);
  return accepts;
}

/* What the schema refuses the reader refuses; what only the reader refuses is marked as semantic.
 * A document type is the one structure that schemas cannot speak of. */
static void check_schema_file(gconstpointer data) {
  const char *path = data;
  Expectation expectation = read_expectation(path);
  const gboolean accepts = schema_accepts(path);
  const gboolean expected = g_str_equal(expectation.kind, "valid") ||
                            g_str_equal(expectation.kind, "semantic") ||
                            strstr(path, "/doctype") != NULL;
  g_assert_cmpint(accepts, ==, expected);
  expectation_clear(&expectation);
}

static void test_schema_examples(void) {
  g_autofree char *blazeface = in_source("graphs/blazeface-back.xml");
  g_autofree char *selfie = in_source("graphs/selfie-segmentation.xml");
  g_autofree char *odd = in_scratch("odd.xml");
  g_autoptr(LcipGraph) graph = odd_graph();
  g_assert_true(lcip_xml_write(graph, odd, NULL));
  g_assert_true(schema_accepts(blazeface));
  g_assert_true(schema_accepts(selfie));
  g_assert_true(schema_accepts(odd));
}

static int compare_names(gconstpointer a, gconstpointer b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_corpus(void) {
  g_autofree char *folder = in_source("tests/corpus");
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  g_assert_nonnull(dir);
  for (const char *name; (name = g_dir_read_name(dir));)
    if (g_str_has_suffix(name, ".xml"))
      g_ptr_array_add(names, g_strdup(name));
  g_ptr_array_sort(names, compare_names);
  g_assert_cmpuint(names->len, >, 80);
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *reader = g_strdup_printf("/io/corpus/reader/%s", (char *)names->pdata[i]);
    g_autofree char *schema = g_strdup_printf("/io/corpus/schema/%s", (char *)names->pdata[i]);
    char *path = g_build_filename(folder, names->pdata[i], NULL);
    g_test_add_data_func_full(reader, g_strdup(path), check_corpus_file, g_free);
    g_test_add_data_func_full(schema, path, check_schema_file, g_free);
  }
}

void add_xml_tests(void) {
  g_test_add_func("/io/xml/odd", test_xml_odd);
  g_test_add_func("/io/xml/plain", test_xml_plain);
  g_test_add_func("/io/xml/unrepresentable", test_xml_unrepresentable);
  g_test_add_func("/io/xml/weights-kept", test_xml_weights_kept);
  g_test_add_func("/io/xml/names-go", test_xml_names_go);
  g_test_add_func("/io/xml/hash", test_xml_hash);
  g_test_add_func("/io/xml/symlink", test_xml_symlink);
  g_test_add_func("/io/xml/examples", test_examples);
  g_test_add_func("/io/xml/schema", test_schema_examples);
  add_corpus();
}
