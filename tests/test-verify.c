#include "config.h"

#include "lcip-test-cli.h"

#include <math.h>
#include <string.h>

#include "lcip-io.h"
#include "lcip-verify-private.h"

static const char model_name[] = "data/models/selfie-segmentation-256.onnx";
static const char graph_name[] = "graphs/selfie-segmentation.xml";
static const char input_name[] = "input";
static const char output_name[] = "activation_10_out";

/* ---- comparing two tensors ---- */

static LcipTensor *floats(guint n, const float *values) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(1, (int)n));
  return lcip_tensor_new_from_data(&spec, values);
}

static LcipVerifyItem compare(guint n, const float *found, const float *expected) {
  LcipVerifyItem item = {0};
  g_autoptr(LcipTensor) a = floats(n, found);
  g_autoptr(LcipTensor) b = floats(n, expected);
  lcip_verify_compare(&item, a, b, 1e-3);
  return item;
}

static void test_compare(void) {
  const LcipVerifyItem equal = compare(2, (float[]){1, -3}, (float[]){1, -3});
  g_assert_false(equal.beyond);
  g_assert_cmpfloat(equal.difference, ==, 0);
  g_assert_cmpfloat(equal.range, ==, 4);
  const LcipVerifyItem other = compare(3, (float[]){1, -2.5f, 3.25f}, (float[]){1, -3, 3});
  g_assert_true(other.beyond);
  g_assert_cmpfloat(other.difference, ==, 0.5);
  g_assert_cmpfloat(other.relative, ==, 0.5 / 6);
  g_assert_cmpint(other.at, ==, 1);
  g_assert_cmpfloat(other.expected, ==, -3);
  g_assert_cmpfloat(other.found, ==, -2.5);
}

/* A constant tensor has a range, and one of zeros counts differences as they are. */
static void test_compare_range(void) {
  g_assert_false(compare(2, (float[]){1000, 1000}, (float[]){1000, 1000.5f}).beyond);
  g_assert_true(compare(2, (float[]){0, 0.01f}, (float[]){0, 0}).beyond);
  g_assert_false(compare(2, (float[]){0, 1e-4f}, (float[]){0, 0}).beyond);
}

static void test_compare_not_finite(void) {
  g_assert_false(compare(3, (float[]){NAN, INFINITY, 1}, (float[]){NAN, INFINITY, 1}).beyond);
  const LcipVerifyItem lost = compare(3, (float[]){1, 2, NAN}, (float[]){1, 2, 3});
  g_assert_true(lost.beyond && isinf(lost.difference));
  g_assert_cmpint(lost.at, ==, 2);
  g_assert_true(compare(1, (float[]){INFINITY}, (float[]){-INFINITY}).beyond);
  g_assert_true(compare(1, (float[]){3}, (float[]){NAN}).beyond);
}

static void test_compare_shapes(void) {
  LcipVerifyItem item = {0};
  g_autoptr(LcipTensor) a = floats(3, (float[]){1, 2, 3});
  g_autoptr(LcipTensor) b = floats(2, (float[]){1, 2});
  lcip_verify_compare(&item, a, b, 1e-3);
  g_assert_true(item.beyond);
  g_assert_cmpint(item.expected_shape.dims[0], ==, 2);
  g_assert_cmpint(item.found_shape.dims[0], ==, 3);
}

static gboolean bytes_beyond(LcipType type, guint8 found, guint8 expected) {
  LcipVerifyItem item = {0};
  const LcipTensorSpec spec = lcip_tensor_spec(type, lcip_shape(1, 1));
  g_autoptr(LcipTensor) a = lcip_tensor_new_from_data(&spec, &found);
  g_autoptr(LcipTensor) b = lcip_tensor_new_from_data(&spec, &expected);
  lcip_verify_compare(&item, a, b, 1e-3);
  return item.beyond;
}

/* One step of an 8-bit value is rounding; two are none, and a bool is none. */
static void test_compare_bytes(void) {
  g_assert_false(bytes_beyond(LCIP_TYPE_U8, 8, 7));
  g_assert_true(bytes_beyond(LCIP_TYPE_U8, 9, 7));
  g_assert_true(bytes_beyond(LCIP_TYPE_BOOL, 1, 0));
}

/* ---- the command ---- */

static JsonObject *verify_json(int exit_code, const char *path, const char *option,
                               const char *value) {
  g_autoptr(LcipTestOutput) output =
      lcip_test_command("verify", path, "--json", option, value, NULL);
  g_test_message("%s", output->err);
  g_assert_cmpint(output->exit_code, ==, exit_code);
  JsonObject *object = lcip_test_parse(output->out);
  lcip_test_check_schema(object, "lcip-verify");
  return object;
}

static void test_model(void) {
  g_autofree char *model = lcip_test_source(model_name);
  g_autoptr(JsonObject) result = verify_json(0, model, NULL, NULL);
  g_assert_cmpint(json_object_get_int_member(result, "beyond"), ==, 0);
  g_assert_cmpuint(json_array_get_length(json_object_get_array_member(result, "steps")), >, 50);
  g_assert_cmpuint(json_array_get_length(json_object_get_array_member(result, "outputs")), ==, 1);
  g_assert_true(json_object_get_null_member(result, "first"));
  JsonObject *largest = json_object_get_object_member(result, "largest");
  g_assert_cmpfloat(json_object_get_double_member(largest, "relative"), <, 1e-3);
}

static gboolean have_opencl(void) {
  const GPtrArray *devices = lcip_runtime_devices(lcip_runtime_get());
  for (guint i = 0; i < devices->len; i++)
    if (((const LcipDevice *)devices->pdata[i])->kind == LCIP_LANE_OPENCL)
      return TRUE;
  return FALSE;
}

/* A whole pipeline, with its picture, under each of its mappings. */
static void test_graph(void) {
  static const char *const mappings[] = {"default", "cpu+gpu"};
  if (!LCIP_HAVE_PNG) {
    g_test_skip("this build has no PNG pictures");
    return;
  }
  g_autofree char *graph = lcip_test_source(graph_name);
  for (guint i = 0; i < (have_opencl() ? G_N_ELEMENTS(mappings) : 1); i++) {
    g_autoptr(JsonObject) result = verify_json(0, graph, "--mapping", mappings[i]);
    g_assert_cmpstr(json_object_get_string_member(result, "mapping"), ==, mappings[i]);
    g_assert_cmpint(json_object_get_int_member(result, "beyond"), ==, 0);
  }
}

static gboolean same_actor(JsonObject *a, JsonObject *b) {
  return g_str_equal(json_object_get_string_member(a, "actor"),
                     json_object_get_string_member(b, "actor"));
}

/* Rounding alone is beyond a tolerance this small: the first is the first step that has any. */
static void test_first(void) {
  g_autofree char *model = lcip_test_source(model_name);
  g_autoptr(JsonObject) result = verify_json(1, model, "--tolerance", "1e-12");
  JsonArray *steps = json_object_get_array_member(result, "steps");
  JsonObject *first = json_object_get_object_member(result, "first");
  JsonObject *worst = json_object_get_object_member(result, "largest");
  guint n_beyond = 0;
  for (guint i = 0; i < json_array_get_length(steps); i++) {
    JsonObject *step = json_array_get_object_element(steps, i);
    double relative = json_object_get_double_member(step, "relative");
    g_assert_cmpint(json_object_get_boolean_member(step, "beyond"), ==, relative > 1e-12);
    g_assert_cmpfloat(relative, <=, json_object_get_double_member(worst, "relative"));
    if (relative > 1e-12 && n_beyond++ == 0)
      g_assert_true(same_actor(step, first));
  }
  g_assert_cmpuint(n_beyond, >, 1);
}

static LcipTensor *random_input(void) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, 1, 256, 256, 3));
  LcipTensor *tensor = lcip_tensor_new(&spec);
  float *data = lcip_tensor_get_mutable(tensor);
  g_autoptr(GRand) rand = g_rand_new_with_seed(7);
  for (gint64 i = 0; i < lcip_shape_count(&spec.shape); i++)
    data[i] = (float)g_rand_double(rand);
  return tensor;
}

/* TensorProto: packed dims, data_type FLOAT, raw_data. */
static void write_pb(const LcipTensor *tensor, const char *path) {
  const LcipShape *shape = lcip_tensor_get_shape(tensor);
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  for (int d = 0; d < shape->rank; d++) {
    guint64 rest = (guint64)shape->dims[d];
    guint8 field[11] = {1 << 3};
    guint n = 1;
    for (; rest >= 128; rest >>= 7)
      field[n++] = (guint8)(rest | 128);
    field[n++] = (guint8)rest;
    g_byte_array_append(bytes, field, n);
  }
  g_byte_array_append(bytes, (const guint8[]){2 << 3, 1, 9 << 3 | 2}, 3);
  guint64 size = lcip_tensor_get_bytes(tensor);
  for (; size >= 128; size >>= 7)
    g_byte_array_append(bytes, (const guint8[]){(guint8)(size | 128)}, 1);
  g_byte_array_append(bytes, (const guint8[]){(guint8)size}, 1);
  g_byte_array_append(bytes, lcip_tensor_get_data(tensor), (guint)lcip_tensor_get_bytes(tensor));
  g_assert_true(g_file_set_contents(path, (const char *)bytes->data, bytes->len, NULL));
}

typedef struct {
  char *model, *input, *folder, *output;
} Files;

static void files_clear(Files *files) {
  g_free(files->model);
  g_free(files->input);
  g_free(files->folder);
  g_free(files->output);
}

/* The model, an input for it, and what `lcip run` makes of it. */
static Files make_files(void) {
  g_autofree char *x = lcip_test_temp("x.npy");
  g_autofree char *name = lcip_output_filename(output_name);
  g_autoptr(LcipTensor) tensor = random_input();
  g_assert_true(lcip_npy_write(tensor, x, NULL));
  Files files = {.model = lcip_test_source(model_name),
                 .input = g_strdup_printf("%s=%s", input_name, x),
                 .folder = lcip_test_temp("y")};
  files.output = g_build_filename(files.folder, name, NULL);
  g_autoptr(LcipTestOutput) run =
      lcip_test_command("run", files.model, "--input", files.input, "--output", files.folder, NULL);
  g_assert_cmpint(run->exit_code, ==, 0);
  return files;
}

/* What `lcip run` gave is expected and found, as .npy and as .pb. */
static void test_expected(void) {
  Files files = make_files();
  g_autofree char *pb = lcip_test_temp("y.pb");
  g_autoptr(LcipTensor) tensor = lcip_npy_read(files.output, NULL);
  write_pb(tensor, pb);
  for (int as_pb = 0; as_pb < 2; as_pb++) {
    g_autofree char *expect = g_strdup_printf("%s=%s", output_name, as_pb ? pb : files.output);
    g_autoptr(JsonObject) result = lcip_test_json("verify", files.model, "--input", files.input,
                                                  "--expect", expect, "--json", NULL);
    JsonArray *expected = json_object_get_array_member(result, "expected");
    g_assert_cmpuint(json_array_get_length(expected), ==, 1);
    JsonObject *item = json_array_get_object_element(expected, 0);
    g_assert_cmpfloat(json_object_get_double_member(item, "difference"), ==, 0);
    g_assert_false(json_object_get_boolean_member(item, "beyond"));
  }
  files_clear(&files);
}

/* One wrong value of 65536: reported with the actor, the place and both values. */
static void test_wrong_expectation(void) {
  enum { WRONG = 1234 };
  Files files = make_files();
  g_autofree char *wrong = lcip_test_temp("wrong.npy");
  g_autofree char *expect = g_strdup_printf("%s=%s", output_name, wrong);
  g_autoptr(LcipTensor) right = lcip_npy_read(files.output, NULL);
  g_autoptr(LcipTensor) tensor =
      lcip_tensor_new_from_data(lcip_tensor_get_spec(right), lcip_tensor_get_data(right));
  ((float *)lcip_tensor_get_mutable(tensor))[WRONG] += 2;
  g_assert_true(lcip_npy_write(tensor, wrong, NULL));
  g_autoptr(LcipTestOutput) output = lcip_test_command(
      "verify", files.model, "--input", files.input, "--expect", expect, "--json", NULL);
  g_assert_cmpint(output->exit_code, ==, 1);
  g_autoptr(JsonObject) result = lcip_test_parse(output->out);
  lcip_test_check_schema(result, "lcip-verify");
  JsonObject *first = json_object_get_object_member(result, "first");
  g_assert_cmpint(json_object_get_int_member(result, "beyond"), ==, 1);
  g_assert_cmpstr(json_object_get_string_member(first, "output"), ==, output_name);
  g_assert_nonnull(json_object_get_string_member(first, "actor"));
  g_assert_cmpint(json_object_get_int_member(first, "at"), ==, WRONG);
  double found = json_object_get_double_member(first, "found");
  g_assert_cmpfloat_with_epsilon(json_object_get_double_member(first, "expected"), found + 2, 1e-5);
  g_assert_cmpfloat_with_epsilon(json_object_get_double_member(first, "reference"), found, 1e-3);
  g_autoptr(LcipTestOutput) text =
      lcip_test_command("verify", files.model, "--input", files.input, "--expect", expect, NULL);
  g_assert_cmpint(text->exit_code, ==, 1);
  g_assert_nonnull(
      strstr(text->out, "first beyond the tolerance: output 'activation_10_out' (of "));
  g_assert_nonnull(strstr(text->out, "element [0,4,210,0] expected "));
  files_clear(&files);
}

static void test_usage(void) {
  g_autofree char *model = lcip_test_source(model_name);
  static const char *const cases[][3] = {{"--expect", "absent=x.npy", "'activation_10_out'"},
                                         {"--tolerance", "0", "found '0'"},
                                         {"--tolerance", "1e-3x", "found '1e-3x'"},
                                         {"--mapping", "absent", "'absent'"},
                                         {"--source", "demo", "no picture source"}};
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(LcipTestOutput) output =
        lcip_test_command("verify", model, cases[i][0], cases[i][1], NULL);
    g_test_message("%s", output->err);
    g_assert_cmpint(output->exit_code, ==, 2);
    g_assert_nonnull(strstr(output->err, cases[i][2]));
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/verify/compare", test_compare);
  g_test_add_func("/verify/compare/range", test_compare_range);
  g_test_add_func("/verify/compare/not-finite", test_compare_not_finite);
  g_test_add_func("/verify/compare/shapes", test_compare_shapes);
  g_test_add_func("/verify/compare/bytes", test_compare_bytes);
  g_test_add_func("/verify/model", test_model);
  g_test_add_func("/verify/graph", test_graph);
  g_test_add_func("/verify/first", test_first);
  g_test_add_func("/verify/expected", test_expected);
  g_test_add_func("/verify/wrong-expectation", test_wrong_expectation);
  g_test_add_func("/verify/usage", test_usage);
  int result = g_test_run();
  lcip_test_clean();
  return result;
}
