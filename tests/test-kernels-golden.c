#include "config.h"

#include "test-kernels.h"

/* ---- the reference against ONNX Runtime: goldens/operators.golden, made by make_operators.py ----
 */

/* ONNX Runtime sums in f32 and in an order of its own. */
#define GOLDEN_TOLERANCE 5e-5f

typedef struct {
  const char *at, *end;
} Reader;

static char *read_line(Reader *reader) {
  const char *stop = memchr(reader->at, '\n', (gsize)(reader->end - reader->at));
  g_assert_nonnull(stop);
  char *line = g_strndup(reader->at, (gsize)(stop - reader->at));
  reader->at = stop + 1;
  return line;
}

static void read_values(Reader *reader, LcipTensor *tensor) {
  const gsize n = lcip_tensor_get_bytes(tensor);
  g_assert_cmpuint(n, <=, (gsize)(reader->end - reader->at));
  memcpy(lcip_tensor_get_mutable(tensor), reader->at, n);
  reader->at += n;
}

static void read_golden_inputs(Reader *reader, Built *built, const char *text) {
  g_auto(GStrv) parts = g_strsplit(text, " ", -1);
  for (guint i = 0; parts[i]; i++)
    if (parts[i][0] != '\0' && strchr("fpncqd", parts[i][0]))
      read_values(reader, built->values[i]);
}

static LcipTensor *read_golden_output(Reader *reader) {
  g_autofree char *line = read_line(reader);
  g_auto(GStrv) parts = g_strsplit(line, " ", 2);
  const LcipTensorSpec spec =
      lcip_tensor_spec(lcip_type_from_name(parts[0]), parse_shape(parts[1]));
  LcipTensor *tensor = lcip_tensor_new(&spec);
  read_values(reader, tensor);
  return tensor;
}

static void check_golden(const Built *built, guint k, LcipTensor *golden) {
  const LcipTensorSpec *spec = lcip_tensor_get_spec(golden);
  const void *found = lcip_tensor_get_data(built->expected[k]),
             *data = lcip_tensor_get_data(golden);
  g_autofree char *what = g_strdup_printf("%s(%s) {%s} output %u", built->source->op,
                                          built->source->inputs, built->source->attrs, k);
  if (!lcip_tensor_spec_equal(spec, &built->outputs[k])) {
    g_autofree char *expected = lcip_tensor_spec_to_string(spec);
    g_autofree char *inferred = lcip_tensor_spec_to_string(&built->outputs[k]);
    g_error("%s: expected %s, found %s", what, expected, inferred);
  }
  if (spec->type != LCIP_TYPE_F32) {
    if (memcmp(found, data, lcip_tensor_get_bytes(golden)) != 0)
      g_error("%s differs", what);
    return;
  }
  for (gint64 i = 0; i < lcip_shape_count(&spec->shape); i++)
    if (!close_enough(((const float *)found)[i], ((const float *)data)[i], GOLDEN_TOLERANCE))
      g_error("%s element %" G_GINT64_FORMAT ": expected %.9g, found %.9g", what, i,
              (double)((const float *)data)[i], (double)((const float *)found)[i]);
}

static void check_record(Reader *reader) {
  g_autofree char *line = read_line(reader);
  g_auto(GStrv) fields = g_strsplit(line, "\t", 4);
  g_assert_cmpuint(g_strv_length(fields), ==, 4);
  const KernelCase source = {.op = fields[0],
                             .inputs = fields[1],
                             .attrs = fields[2],
                             .n_outputs = (guint)g_ascii_strtoull(fields[3], NULL, 10)};
  Built *built = built_new(&source, SEED);
  read_golden_inputs(reader, built, fields[1]);
  run_reference(built);
  for (guint i = 0; i < built->step.n_outputs; i++) {
    g_autoptr(LcipTensor) golden = read_golden_output(reader);
    check_golden(built, i, golden);
  }
  built_free(built);
}

static void test_goldens(void) {
  g_autoptr(GError) error = NULL;
  const char *root = g_getenv("LCIP_DATA_PATH");
  guint n = 0;
  if (G_BYTE_ORDER != G_LITTLE_ENDIAN) {
    g_test_skip("the goldens are little-endian");
    return;
  }
  g_autofree char *path =
      g_build_filename(root ? root : ".", "tests", "goldens", "operators.golden", NULL);
  GMappedFile *file = g_mapped_file_new(path, FALSE, &error);
  g_assert_no_error(error);
  const char *data = g_mapped_file_get_contents(file);
  Reader reader = {data, data + g_mapped_file_get_length(file)};
  for (; reader.at < reader.end; n++)
    check_record(&reader);
  g_test_message("%u cases agree", n);
  g_assert_cmpuint(n, >, 100);
  g_mapped_file_unref(file);
}

void add_golden_tests(void) {
  g_test_add_func("/goldens/operators", test_goldens);
}
