#include "config.h"
#include "lcip-io.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

static char *scratch; /* a folder of this run's own */

static char *in_scratch(const char *name) {
  return g_build_filename(scratch, name, NULL);
}

static char *in_source(const char *name) {
  return g_build_filename(g_getenv("LCIP_DATA_PATH"), name, NULL);
}

/* Without the syncs of GLib's function: damage writes thousands of files. */
static void put(const char *path, gconstpointer data, gsize size) {
  FILE *file = fopen(path, "wb");
  g_assert_nonnull(file);
  g_assert_cmpuint(fwrite(data, 1, size, file), ==, size);
  g_assert_cmpint(fclose(file), ==, 0);
}

static GBytes *get(const char *path) {
  char *data;
  gsize size;
  GError *error = NULL;
  g_file_get_contents(path, &data, &size, &error);
  g_assert_no_error(error);
  return g_bytes_new_take(data, size);
}

static void remove_tree(const char *path) {
  g_autoptr(GDir) dir =
      g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *child = g_build_filename(path, name, NULL);
    remove_tree(child);
  }
  g_remove(path);
}

static void assert_same_file(const char *a, const char *b) {
  g_autoptr(GBytes) x = get(a), y = get(b);
  g_assert_true(g_bytes_equal(x, y));
}

static void assert_error_has(GError *error, const char *fragment) {
  g_assert_nonnull(error);
  if (!strstr(error->message, fragment))
    g_error("expected \"%s\" in \"%s\"", fragment, error->message);
}

static LcipTensor *f32_tensor(guint n, float first) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(1, (int)n));
  LcipTensor *tensor = lcip_tensor_new(&spec);
  for (guint i = 0; i < n; i++)
    ((float *)lcip_tensor_get_mutable(tensor))[i] = first + (float)i / 3;
  return tensor;
}

/* Reads every byte of a tensor, so that memory checkers see it. */
static guint touch(LcipTensor *tensor) {
  const guint8 *data = lcip_tensor_get_data(tensor);
  guint sum = 0;
  for (gsize i = 0; i < lcip_tensor_get_bytes(tensor); i++)
    sum += data[i];
  return sum;
}

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

static LcipGraph *odd_graph(void) {
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
static void round_trip(const LcipGraph *graph, const char *name) {
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

static char *weights_beside(const char *folder) {
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  for (const char *name; (name = g_dir_read_name(dir));)
    if (g_str_has_suffix(name, ".safetensors"))
      return g_build_filename(folder, name, NULL);
  return NULL;
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

static void test_examples(void) {
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

/* ---- safetensors ---- */

static char *write_weights(const char *header, gsize data_bytes) {
  char *path = in_scratch("w.safetensors");
  const guint64 length = GUINT64_TO_LE(strlen(header));
  g_autoptr(GByteArray) file = g_byte_array_new();
  g_byte_array_append(file, (const guint8 *)&length, 8);
  g_byte_array_append(file, (const guint8 *)header, (guint)strlen(header));
  g_autofree guint8 *data = g_malloc0(data_bytes + 1);
  g_byte_array_append(file, data, (guint)data_bytes);
  put(path, file->data, file->len);
  return path;
}

static void test_weights_round_trip(void) {
  static const LcipType types[] = {LCIP_TYPE_BOOL, LCIP_TYPE_F64, LCIP_TYPE_I8, LCIP_TYPE_F16,
                                   LCIP_TYPE_F32};
  const char *keys[G_N_ELEMENTS(types)] = {"a \"q\" \\ \n", "b", "c", "d", "\xce\xbb"};
  LcipTensor *tensors[G_N_ELEMENTS(types)];
  g_autofree char *path = in_scratch("t.safetensors"), *sha256 = NULL;
  GError *error = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
    const LcipTensorSpec spec = lcip_tensor_spec(types[i], lcip_shape(2, 1, 3));
    tensors[i] = lcip_tensor_new(&spec);
    memset(lcip_tensor_get_mutable(tensors[i]), 1, lcip_tensor_get_bytes(tensors[i]));
  }
  g_assert_true(lcip_weights_write(path, G_N_ELEMENTS(types), keys, tensors, &sha256, &error));
  g_assert_cmpuint(strlen(sha256), ==, 64);
  g_autoptr(LcipWeights) weights = lcip_weights_open(path, &error);
  g_assert_no_error(error);
  for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
    g_autoptr(LcipTensor) tensor = lcip_weights_get(weights, keys[i], &error);
    g_assert_no_error(error);
    g_assert_true(
        lcip_tensor_spec_equal(lcip_tensor_get_spec(tensor), lcip_tensor_get_spec(tensors[i])));
    g_assert_cmpuint(GPOINTER_TO_SIZE(lcip_tensor_get_data(tensor)) % lcip_type_size(types[i]), ==,
                     0);
    g_assert_cmpuint(touch(tensor), ==, touch(tensors[i]));
    lcip_tensor_unref(tensors[i]);
  }
  g_assert_null(lcip_weights_get(weights, "nothing", &error));
  assert_error_has(error, "expected a tensor \"nothing\"");
  g_clear_error(&error);
}

static void test_weights_refused(void) {
  static const struct {
    const char *header, *fragment;
  } cases[] = {
      {"[]", "expected a JSON object"},
      {"{", "expected a JSON header"},
      {"{\"a\":3}", "expected an object"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "data_offsets"},
      {"{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", "such as F32"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", "12 bytes of data"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "whole number"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", "whole number"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "within 8 bytes"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,80]}}", "within 8 bytes"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "overlap or hole"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
       "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
       "overlap or hole"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "4 more bytes"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],"
       "\"data_offsets\":[0,8]}}",
       "can be stored"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}",
       "0 to 8 sizes"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}",
       "dtype, shape and data_offsets"},
      {"{\"__metadata__\":{\"a\":1}}", "expected strings"},
      {"{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", "expected a JSON object"},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *path = write_weights(cases[i].header, 8);
    GError *error = NULL;
    g_assert_null(lcip_weights_open(path, &error));
    assert_error_has(error, cases[i].fragment);
    assert_error_has(error, "offset ");
    g_clear_error(&error);
  }
}

/* ---- NumPy ---- */

static char *write_npy(const char *version, const char *dictionary, gconstpointer data,
                       gsize size) {
  char *path = in_scratch("a.npy");
  g_autoptr(GByteArray) file = g_byte_array_new();
  const guint32 length = GUINT32_TO_LE((guint32)strlen(dictionary));
  g_byte_array_append(file, (const guint8 *)"\x93NUMPY", 6);
  g_byte_array_append(file, (const guint8 *)version, 1);
  g_byte_array_append(file, (const guint8 *)"", 1);
  g_byte_array_append(file, (const guint8 *)&length, *version == 1 ? 2 : 4);
  g_byte_array_append(file, (const guint8 *)dictionary, (guint)strlen(dictionary));
  g_byte_array_append(file, data, (guint)size);
  put(path, file->data, file->len);
  return path;
}

static void test_npy_versions(void) {
  static const char *const versions[] = {"\1", "\2", "\3"};
  const gint32 data[] = {1, 2, 3, 4, 5, 6};
  for (gsize i = 0; i < G_N_ELEMENTS(versions); i++) {
    g_autofree char *path =
        write_npy(versions[i], "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }  \n",
                  data, sizeof data);
    GError *error = NULL;
    g_autoptr(LcipTensor) tensor = lcip_npy_read(path, &error);
    g_assert_no_error(error);
    const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_I32, lcip_shape(2, 2, 3));
    g_assert_true(lcip_tensor_spec_equal(lcip_tensor_get_spec(tensor), &spec));
    g_assert_cmpmem(lcip_tensor_get_data(tensor), 24, data, 24);
  }
}

static void test_npy_fortran(void) {
  const gint16 stored[] = {0, 3, 1, 4, 2, 5}; /* columns of [[0, 1, 2], [3, 4, 5]] */
  g_autofree char *path =
      write_npy("\1", "{'shape': (2,3), 'fortran_order': True, 'descr': '<i2'}", stored, 12);
  g_autoptr(LcipTensor) tensor = lcip_npy_read(path, NULL);
  g_assert_nonnull(tensor);
  for (gint16 i = 0; i < 6; i++)
    g_assert_cmpint(((const gint16 *)lcip_tensor_get_data(tensor))[i], ==, i);
}

static void test_npy_round_trip(void) {
  const LcipShape shapes[] = {lcip_shape(0), lcip_shape(1, 3), lcip_shape(4, 1, 2, 0, 5),
                              lcip_shape(8, 1, 2, 1, 2, 1, 2, 1, 2)};
  g_autofree char *path = in_scratch("t.npy");
  for (LcipType type = LCIP_TYPE_F32; type < LCIP_N_TYPES; type++) {
    for (gsize i = 0; i < G_N_ELEMENTS(shapes); i++) {
      const LcipTensorSpec spec = lcip_tensor_spec(type, shapes[i]);
      g_autoptr(LcipTensor) tensor = lcip_tensor_new(&spec);
      GError *error = NULL;
      memset(lcip_tensor_get_mutable(tensor), 1, lcip_tensor_get_bytes(tensor));
      if (type == LCIP_TYPE_BF16) {
        g_assert_false(lcip_npy_write(tensor, path, &error));
        assert_error_has(error, "a type that NumPy has");
        g_clear_error(&error);
        continue;
      }
      g_assert_true(lcip_npy_write(tensor, path, &error));
      g_autoptr(LcipTensor) read = lcip_npy_read(path, &error);
      g_assert_no_error(error);
      g_assert_true(lcip_tensor_spec_equal(lcip_tensor_get_spec(read), &spec));
      g_assert_cmpuint(touch(read), ==, touch(tensor));
    }
  }
}

static void test_npy_refused(void) {
  static const struct {
    const char *dictionary, *fragment;
  } cases[] = {
      {"", "expected a dictionary"},
      {"{'descr': '<f4', 'fortran_order': False}", "descr, fortran_order and shape"},
      {"{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}", "little-endian"},
      {"{'descr': '<c8', 'fortran_order': False, 'shape': (2,)}", "a number type"},
      {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "a number type"},
      {"{'descr': '<f4', 'fortran_order': 1, 'shape': (2,)}", "True or False"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': 2}", "parentheses"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "expected 12 bytes"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "a dimension"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "a dimension"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
       "can be stored"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2)}", "at most 8"},
      {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "each once"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", "the end of the header"},
      {"{'descr': '<b1', 'fortran_order': False, 'shape': (8,)}", "bytes of 0 or 1"},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *path = write_npy("\1", cases[i].dictionary, "\1\2\3\4\5\6\7\10", 8);
    GError *error = NULL;
    g_assert_null(lcip_npy_read(path, &error));
    assert_error_has(error, cases[i].fragment);
    assert_error_has(error, "offset ");
    g_clear_error(&error);
  }
}

static void test_output_filename(void) {
  g_autofree char *plain = lcip_output_filename("Identity_1.0-x");
  g_autofree char *odd = lcip_output_filename("../a b:0/\xce\xbb");
  g_assert_cmpstr(plain, ==, "Identity_1.0-x.npy");
  g_assert_cmpstr(odd, ==, ".._a_b_0___.npy");
}

/* ---- telling files apart ---- */

static void test_load_other(void) {
  static const struct {
    const char *data, *fragment;
  } cases[] = {
      {"\x93NUMPY\1", "a NumPy array"},
      {"\x89PNG\r\n\x1a\n", "a PNG picture"},
      {"PK\x03\x04zip", "a ZIP archive"},
      {"\x1c\1\1\1TFL3\1\1\1\1", "a TensorFlow Lite model"},
      {"", "an empty file"},
      {"plain words", "something else"},
  };
  g_autofree char *path = in_scratch("other");
  GError *error = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    put(path, cases[i].data, strlen(cases[i].data));
    g_assert_null(lcip_graph_load(path, NULL, &error));
    assert_error_has(error, cases[i].fragment);
    g_clear_error(&error);
  }
  g_assert_null(lcip_graph_load(scratch, NULL, &error));
  assert_error_has(error, "a folder");
  g_clear_error(&error);
  g_autofree char *missing = in_scratch("missing.xml");
  g_assert_null(lcip_graph_load(missing, NULL, &error));
  g_assert_true(g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT));
  g_clear_error(&error);
}

/* ---- damage: an error or a valid result, never a crash and never a huge allocation ---- */

typedef void (*ReadAndTouch)(const char *path);

static void touch_graph(LcipGraph *graph) {
  for (guint i = 0; i < graph->actors->len; i++) {
    const LcipActor *actor = lcip_graph_actor(graph, (int)i);
    for (guint k = 0; k < actor->n_inputs; k++)
      if (actor->constants[k])
        touch(actor->constants[k]);
  }
  g_autofree char *text = lcip_xml_to_string(graph, NULL, NULL);
  g_assert_nonnull(text);
}

static void read_graph(const char *path) {
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipGraph) graph = lcip_graph_load(path, problems, &error);
  g_assert_true((graph == NULL) == (error != NULL));
  if (graph)
    touch_graph(graph);
}

static void read_onnx(const char *path) {
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipGraph) graph = lcip_onnx_read(path, problems, &error);
  g_assert_true((graph == NULL) == (error != NULL));
  if (graph)
    touch_graph(graph);
}

static void read_weights(const char *path) {
  static const char *const keys[] = {"a", "b", "w"};
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipWeights) weights = lcip_weights_open(path, &error);
  g_assert_true((weights == NULL) == (error != NULL));
  for (gsize i = 0; weights && i < G_N_ELEMENTS(keys); i++) {
    g_autoptr(LcipTensor) tensor = lcip_weights_get(weights, keys[i], NULL);
    if (tensor)
      touch(tensor);
  }
}

static void read_npy(const char *path) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipTensor) tensor = lcip_npy_read(path, &error);
  g_assert_true((tensor == NULL) == (error != NULL));
  if (tensor)
    touch(tensor);
}

typedef enum { DAMAGE_CUT, DAMAGE_BYTE, DAMAGE_BIT, N_DAMAGES } Damage;

static void damage_once(GBytes *good, const char *target, gsize offset, Damage damage,
                        ReadAndTouch reader) {
  gsize size;
  const guint8 *data = g_bytes_get_data(good, &size);
  g_autofree guint8 *bad = g_memdup2(data, size);
  if (damage == DAMAGE_BYTE)
    bad[offset] = (guint8)g_test_rand_int_range(0, 256);
  if (damage == DAMAGE_BIT)
    bad[offset] ^= (guint8)(1u << g_test_rand_int_range(0, 8));
  put(target, bad, damage == DAMAGE_CUT ? offset : size);
  reader(target);
}

static void damage_at(GBytes *good, const char *target, gsize offset, ReadAndTouch reader) {
  for (Damage damage = DAMAGE_CUT; damage < N_DAMAGES; damage++)
    damage_once(good, target, offset, damage, reader);
}

/* Small files at every 64th byte, large ones at 500 places that the printed seed gives. */
static void damage_file(const char *path, const char *beside, ReadAndTouch reader) {
  g_autoptr(GBytes) good = get(path);
  const gsize size = g_bytes_get_size(good);
  g_autofree char *folder = in_scratch("damage");
  g_autofree char *target = g_build_filename(folder, "damaged", NULL);
  g_mkdir_with_parents(folder, 0700);
  if (beside) {
    g_autofree char *name = g_path_get_basename(beside);
    g_autofree char *copy = g_build_filename(folder, name, NULL);
    g_autoptr(GBytes) bytes = get(beside);
    put(copy, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
  }
  if (size < 64 * 1024)
    for (gsize offset = 0; offset < size; offset += 64)
      damage_at(good, target, offset, reader);
  else
    for (int i = 0; i < 500; i++)
      damage_once(good, target, (gsize)g_test_rand_int_range(0, (gint32)size),
                  (Damage)(i % N_DAMAGES), reader);
}

static void test_damage_xml(void) {
  g_autofree char *folder = in_source("tests/corpus");
  g_autofree char *small = in_source("tests/corpus/valid.xml");
  g_autofree char *large = in_source("graphs/blazeface-back.xml");
  g_autofree char *small_weights = weights_beside(folder);
  g_autofree char *large_weights = in_source("graphs/blazeface-back-fe38c89412fcfb47.safetensors");
  damage_file(small, small_weights, read_graph);
  damage_file(large, large_weights, read_graph);
}

static void test_damage_onnx(void) {
  g_autofree char *blazeface = in_source("data/models/blazeface-back-256.onnx");
  damage_file(blazeface, NULL, read_onnx);
}

/* The first kilobytes of a model hold tags and lengths; weights make up most of the rest. */
static void test_damage_onnx_head(void) {
  g_autofree char *path = in_source("data/models/selfie-segmentation-256.onnx");
  g_autofree char *target = in_scratch("head.onnx");
  g_autoptr(GBytes) good = get(path);
  for (gsize offset = 0; offset < 4096; offset += 16)
    damage_at(good, target, offset, read_onnx);
}

static void test_damage_weights(void) {
  g_autofree char *folder = in_source("tests/corpus");
  g_autofree char *small = weights_beside(folder);
  g_autofree char *large = in_source("graphs/blazeface-back-fe38c89412fcfb47.safetensors");
  g_autofree char *target = in_scratch("head.safetensors");
  damage_file(small, NULL, read_weights);
  damage_file(large, NULL, read_weights);
  g_autoptr(GBytes) good = get(small);
  for (gsize offset = 0; offset < g_bytes_get_size(good); offset++)
    damage_at(good, target, offset, read_weights);
}

static void test_damage_npy(void) {
  g_autoptr(LcipTensor) tensor = f32_tensor(100, 1);
  g_autofree char *path = in_scratch("good.npy"), *target = in_scratch("head.npy");
  g_assert_true(lcip_npy_write(tensor, path, NULL));
  damage_file(path, NULL, read_npy);
  g_autoptr(GBytes) good = get(path);
  for (gsize offset = 0; offset < 128; offset++)
    damage_at(good, target, offset, read_npy);
}

/* ---- a locale with a decimal comma ---- */

/* Where the system has no such locale one is made, which takes localedef and its sources. */
static gboolean set_comma_locale(void) {
  static const char *const known[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8"};
  for (gsize i = 0; i < G_N_ELEMENTS(known); i++)
    if (setlocale(LC_ALL, known[i]))
      return TRUE;
  g_autofree char *folder = in_scratch("locales");
  g_autofree char *target = g_build_filename(folder, "de_DE.UTF-8", NULL);
  const char *argv[] = {"localedef", "-f", "UTF-8", "-i", "de_DE", target, NULL};
  g_mkdir_with_parents(folder, 0700);
  if (!g_spawn_sync(NULL, (char **)argv, NULL,
                    G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                    NULL, NULL, NULL, NULL, NULL, NULL))
    return FALSE;
  g_setenv("LOCPATH", folder, TRUE);
  return setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
}

static void test_locale(void) {
  g_autoptr(LcipGraph) graph = odd_graph();
  g_autofree char *plain = lcip_xml_to_string(graph, NULL, NULL);
  if (!set_comma_locale()) {
    g_test_skip("no locale with a decimal comma here, and none can be made");
    return;
  }
  g_autofree char *comma = g_strdup_printf("%g", 1.5);
  g_assert_cmpstr(comma, ==, "1,5");
  g_autofree char *text = lcip_xml_to_string(graph, NULL, NULL);
  g_assert_cmpstr(text, ==, plain);
  round_trip(graph, "locale.xml");
  test_examples();
  test_npy_round_trip();
  test_weights_round_trip();
  setlocale(LC_ALL, "C");
}

/* ---- */

/* A reader that believes a size in a damaged file fails here. The sanitizers' own maps are huge. */
static void limit_memory(void) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const struct rlimit limit = {(rlim_t)3 << 30, (rlim_t)3 << 30};
  g_assert_cmpint(setrlimit(RLIMIT_AS, &limit), ==, 0);
#endif
}

int main(int argc, char **argv) {
  GError *error = NULL;
  scratch = g_dir_make_tmp("lcip-io-XXXXXX", &error);
  g_assert_no_error(error);
  g_autofree char *cache = in_scratch("cache");
  g_setenv("XDG_CACHE_HOME", cache, TRUE);
  g_test_init(&argc, &argv, NULL);
  limit_memory();
  g_test_add_func("/io/xml/odd", test_xml_odd);
  g_test_add_func("/io/xml/plain", test_xml_plain);
  g_test_add_func("/io/xml/unrepresentable", test_xml_unrepresentable);
  g_test_add_func("/io/xml/weights-kept", test_xml_weights_kept);
  g_test_add_func("/io/xml/hash", test_xml_hash);
  g_test_add_func("/io/xml/symlink", test_xml_symlink);
  g_test_add_func("/io/xml/examples", test_examples);
  g_test_add_func("/io/xml/schema", test_schema_examples);
  add_corpus();
  g_test_add_func("/io/weights/round-trip", test_weights_round_trip);
  g_test_add_func("/io/weights/refused", test_weights_refused);
  g_test_add_func("/io/npy/versions", test_npy_versions);
  g_test_add_func("/io/npy/fortran", test_npy_fortran);
  g_test_add_func("/io/npy/round-trip", test_npy_round_trip);
  g_test_add_func("/io/npy/refused", test_npy_refused);
  g_test_add_func("/io/output-filename", test_output_filename);
  g_test_add_func("/io/load-other", test_load_other);
  g_test_add_func("/io/damage/xml", test_damage_xml);
  g_test_add_func("/io/damage/onnx", test_damage_onnx);
  g_test_add_func("/io/damage/onnx-head", test_damage_onnx_head);
  g_test_add_func("/io/damage/weights", test_damage_weights);
  g_test_add_func("/io/damage/npy", test_damage_npy);
  g_test_add_func("/io/locale", test_locale);
  const int result = g_test_run();
  remove_tree(scratch);
  g_free(scratch);
  return result;
}
