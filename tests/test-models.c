#include "config.h"

#include "lcip-test-cli.h"

#include <math.h>
#include <string.h>

#include "lcip-io.h"
#include "lcip-plan.h"

/* The example networks against what ONNX Runtime made of them (tests/goldens/make-goldens.py), and
 * against what is in the picture. */

/* Golden: a model, the generator of its input and how far an output may be from the golden one, as
 * a share of the golden one's largest value. */
typedef struct {
  const char *name;
  const char *input;
  float low, high;
  guint square;
  double tolerance;
} Golden;

static const Golden goldens[] = {
    {"blazeface-back-256", "input:0", -1, 1, 1, 1e-4},
    {"selfie-segmentation-256", "input", -0.5, 1.5, 16, 1e-3},
};

enum { INPUT_SIZE = 256 };

/* As generated_input() of make-goldens.py. */
static float input_value(const Golden *golden, guint y, guint x, guint channel) {
  guint32 columns = INPUT_SIZE / golden->square;
  guint32 i = ((y / golden->square) * columns + x / golden->square) * 3 + channel;
  i = (i + 1) * 2654435761u;
  i ^= i >> 15;
  i *= 2246822519u;
  float unit = (float)(i >> 8) / (float)(1 << 24);
  return unit * (golden->high - golden->low) + golden->low;
}

static void write_input(const Golden *golden, const char *path) {
  LcipTensorSpec spec =
      lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, 1, INPUT_SIZE, INPUT_SIZE, 3));
  g_autoptr(LcipTensor) tensor = lcip_tensor_new(&spec);
  float *data = lcip_tensor_get_mutable(tensor);
  for (guint y = 0; y < INPUT_SIZE; y++)
    for (guint x = 0; x < INPUT_SIZE; x++)
      for (guint channel = 0; channel < 3; channel++)
        *data++ = input_value(golden, y, x, channel);
  g_autoptr(GError) error = NULL;
  lcip_npy_write(tensor, path, &error);
  g_assert_no_error(error);
}

static void assert_close(const char *expected_path, const char *found_path, double tolerance) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipTensor) expected = lcip_npy_read(expected_path, &error);
  g_assert_no_error(error);
  g_autoptr(LcipTensor) found = lcip_npy_read(found_path, &error);
  g_assert_no_error(error);
  g_assert_true(
      lcip_tensor_spec_equal(lcip_tensor_get_spec(expected), lcip_tensor_get_spec(found)));
  const float *wanted = lcip_tensor_get_data(expected), *got = lcip_tensor_get_data(found);
  gint64 n = lcip_shape_count(lcip_tensor_get_shape(expected));
  double largest = 0, difference = 0;
  for (gint64 i = 0; i < n; i++) {
    g_assert_true(isfinite(got[i]));
    largest = fmax(largest, fabs(wanted[i]));
    difference = fmax(difference, fabs((double)wanted[i] - got[i]));
  }
  g_test_message("%s: largest %g, difference / largest %g", expected_path, largest,
                 difference / largest);
  g_assert_cmpfloat(largest, >, 0.1);
  g_assert_cmpfloat(difference, <=, tolerance * largest);
}

static void test_golden(gconstpointer data) {
  const Golden *golden = data;
  g_autofree char *model_name = g_strdup_printf("data/models/%s.onnx", golden->name);
  g_autofree char *golden_name = g_strdup_printf("tests/goldens/%s", golden->name);
  g_autofree char *model = lcip_test_source(model_name);
  g_autofree char *folder = lcip_test_source(golden_name);
  g_autofree char *npy = lcip_test_temp("input.npy");
  g_autofree char *input = g_strdup_printf("%s=%s", golden->input, npy);
  g_autofree char *out = lcip_test_temp(golden->name);
  write_input(golden, npy);
  g_autoptr(LcipTestOutput) output =
      lcip_test_command("run", model, "--input", input, "--output", out, NULL);
  g_test_message("%s", output->err);
  g_assert_cmpint(output->exit_code, ==, 0);
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  g_assert_nonnull(dir);
  const char *name;
  guint n = 0;
  while ((name = g_dir_read_name(dir))) {
    g_autofree char *expected = g_build_filename(folder, name, NULL);
    g_autofree char *found = g_build_filename(out, name, NULL);
    assert_close(expected, found, golden->tolerance);
    n++;
  }
  g_assert_cmpuint(n, >, 0);
}

/* ---- whole pipelines ---- */

static gboolean skip_without_pictures(void) {
  if (LCIP_HAVE_PNG)
    return FALSE;
  g_test_skip("this build has no PNG pictures");
  return TRUE;
}

static JsonArray *detections_of(JsonObject *run, guint frame) {
  JsonArray *frames = json_object_get_array_member(run, "frames");
  return json_object_get_array_member(json_array_get_object_element(frames, frame), "detections");
}

static double intersection_over_union(const double *a, const double *b) {
  double width = fmin(a[2], b[2]) - fmax(a[0], b[0]);
  double height = fmin(a[3], b[3]) - fmax(a[1], b[1]);
  double common = fmax(width, 0) * fmax(height, 0);
  double areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]);
  return common / (areas - common);
}

static void read_box(JsonArray *detections, guint i, double *box) {
  JsonArray *numbers =
      json_object_get_array_member(json_array_get_object_element(detections, i), "box");
  for (guint k = 0; k < 4; k++)
    box[k] = json_array_get_double_element(numbers, k);
}

static void test_face(void) {
  static const double expected[4] = {173, 70, 279, 177};
  double box[4];
  if (skip_without_pictures())
    return;
  g_autofree char *graph = lcip_test_source("graphs/blazeface-back.xml");
  g_autofree char *picture = lcip_test_source("data/demo/astronaut.png");
  g_autofree char *out = lcip_test_temp("face");
  g_autofree char *annotated = g_build_filename(out, "frame-000000.png", NULL);
  g_autoptr(JsonObject) run = lcip_test_json("run", graph, "--source", picture, "--frames", "1",
                                             "--output", out, "--json", NULL);
  lcip_test_check_schema(run, "lcip-run");
  JsonArray *detections = detections_of(run, 0);
  g_assert_cmpuint(json_array_get_length(detections), ==, 1);
  read_box(detections, 0, box);
  g_test_message("box %g %g %g %g", box[0], box[1], box[2], box[3]);
  g_assert_cmpfloat(intersection_over_union(box, expected), >=, 0.8);
  g_assert_cmpstr(
      json_object_get_string_member(json_array_get_object_element(detections, 0), "label"), ==,
      "face");
  g_assert_true(g_file_test(annotated, G_FILE_TEST_IS_REGULAR));
}

static void test_demo_faces(void) {
  enum { N_FRAMES = 100 };
  guint n_with_face = 0;
  if (skip_without_pictures())
    return;
  g_autofree char *graph = lcip_test_source("graphs/blazeface-back.xml");
  g_autoptr(JsonObject) run =
      lcip_test_json("run", graph, "--source", "demo", "--frames", "100", "--json", NULL);
  g_assert_cmpuint(json_array_get_length(json_object_get_array_member(run, "frames")), ==,
                   N_FRAMES);
  for (guint i = 0; i < N_FRAMES; i++)
    n_with_face += json_array_get_length(detections_of(run, i)) > 0;
  g_test_message("a face in %u of %u frames", n_with_face, N_FRAMES);
  g_assert_cmpuint(n_with_face, >=, 95);
}

/* ---- the mask ---- */

/* Region: rows and columns of the 256x256 mask. */
typedef struct {
  const char *what;
  guint y0, y1, x0, x1;
  gboolean is_person;
} Region;

static double region_mean(const float *mask, const Region *region) {
  double sum = 0;
  for (guint y = region->y0; y < region->y1; y++)
    for (guint x = region->x0; x < region->x1; x++)
      sum += mask[y * INPUT_SIZE + x];
  return sum / ((region->y1 - region->y0) * (region->x1 - region->x0));
}

static void test_mask(void) {
  static const Region regions[] = {{"head", 32, 64, 96, 136, TRUE},
                                   {"suit", 160, 224, 64, 112, TRUE},
                                   {"flag", 16, 96, 0, 48, FALSE},
                                   {"rocket", 0, 96, 192, 256, FALSE}};
  if (skip_without_pictures())
    return;
  g_autofree char *graph = lcip_test_source("graphs/selfie-segmentation.xml");
  g_autofree char *picture = lcip_test_source("data/demo/astronaut.png");
  g_autofree char *out = lcip_test_temp("mask");
  g_autofree char *npy = g_build_filename(out, "mask.npy", NULL);
  g_autoptr(JsonObject) run =
      lcip_test_json("run", graph, "--source", picture, "--output", out, "--json", NULL);
  lcip_test_check_schema(run, "lcip-run");
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipTensor) mask = lcip_npy_read(npy, &error);
  g_assert_no_error(error);
  g_assert_cmpint(lcip_shape_count(lcip_tensor_get_shape(mask)), ==, INPUT_SIZE * INPUT_SIZE);
  for (guint i = 0; i < G_N_ELEMENTS(regions); i++) {
    double mean = region_mean(lcip_tensor_get_data(mask), &regions[i]);
    g_test_message("%s: %g", regions[i].what, mean);
    if (regions[i].is_person)
      g_assert_cmpfloat(mean, >, 0.9);
    else
      g_assert_cmpfloat(mean, <, 0.05);
  }
}

/* ---- half of a graph on OpenCL ---- */

static gboolean skip_without_opencl(void) {
  g_autoptr(JsonObject) devices = lcip_test_json("devices", "--json", NULL);
  JsonArray *list = json_object_get_array_member(devices, "devices");
  for (guint i = 0; i < json_array_get_length(list); i++)
    if (strcmp(json_object_get_string_member(json_array_get_object_element(list, i), "kind"),
               "opencl") == 0)
      return FALSE;
  g_test_skip("there is no OpenCL device");
  return TRUE;
}

/* Writes the face detector with every actor that an OpenCL lane can run, of the first half in
 * firing order, on such a lane. */
static void write_half_mapped(const char *path) {
  g_autoptr(GError) error = NULL;
  g_autofree char *original = lcip_test_source("graphs/blazeface-back.xml");
  g_autoptr(LcipGraph) graph = lcip_graph_load(original, NULL, &error);
  g_assert_no_error(error);
  lcip_graph_ensure_defaults(graph);
  if (!lcip_graph_find_lane(graph, "Half"))
    lcip_graph_add_lane(graph, "Half", LCIP_LANE_OPENCL, 0, NULL);
  LcipMapping *mapping = lcip_graph_find_mapping(graph, NULL);
  g_autofree int *order = lcip_graph_order(graph, NULL);
  for (guint i = 0; i < graph->actors->len; i++) {
    gboolean is_half =
        i < graph->actors->len / 2 && lcip_lane_can_run(graph, order[i], LCIP_LANE_OPENCL, NULL);
    lcip_mapping_assign(mapping, lcip_graph_actor(graph, order[i])->id,
                        is_half ? "Half" : lcip_graph_first_cpu_lane(graph)->name);
  }
  lcip_xml_write(graph, path, &error);
  g_assert_no_error(error);
}

/* Compute, copy, wait and idle of a lane that has something to do make up the frame time. */
static void check_lane_times(JsonObject *run) {
  JsonArray *planned = json_object_get_array_member(run, "lanes");
  JsonObject *profile = json_object_get_object_member(run, "profile");
  double frame_ms = json_object_get_double_member(profile, "frame_ms");
  JsonArray *lanes = json_object_get_array_member(profile, "lanes");
  for (guint i = 0; i < json_array_get_length(lanes); i++) {
    JsonObject *lane = json_array_get_object_element(lanes, i);
    if (json_object_get_int_member(json_array_get_object_element(planned, i), "steps") == 0)
      continue;
    double sum = json_object_get_double_member(lane, "compute_ms") +
                 json_object_get_double_member(lane, "copy_ms") +
                 json_object_get_double_member(lane, "wait_ms") +
                 json_object_get_double_member(lane, "idle_ms");
    g_test_message("%s: %g of %g ms", json_object_get_string_member(lane, "name"), sum, frame_ms);
    g_assert_cmpfloat(fabs(sum - frame_ms), <=, 0.02 * frame_ms);
  }
}

static double lane_compute(JsonObject *run, const char *name) {
  JsonArray *lanes =
      json_object_get_array_member(json_object_get_object_member(run, "profile"), "lanes");
  for (guint i = 0; i < json_array_get_length(lanes); i++) {
    JsonObject *lane = json_array_get_object_element(lanes, i);
    if (strcmp(json_object_get_string_member(lane, "name"), name) == 0)
      return json_object_get_double_member(lane, "compute_ms");
  }
  return 0;
}

static void test_half_on_opencl(void) {
  enum { N_FRAMES = 30 };
  if (skip_without_pictures() || skip_without_opencl())
    return;
  g_autofree char *whole = lcip_test_source("graphs/blazeface-back.xml");
  g_autofree char *half = lcip_test_temp("half.xml");
  write_half_mapped(half);
  g_autoptr(JsonObject) expected =
      lcip_test_json("run", whole, "--source", "demo", "--frames", "30", "--json", NULL);
  g_autoptr(JsonObject) found = lcip_test_json("run", half, "--source", "demo", "--frames", "30",
                                               "--profile", "--json", NULL);
  for (guint i = 0; i < N_FRAMES; i++) {
    JsonArray *wanted = detections_of(expected, i), *got = detections_of(found, i);
    g_assert_cmpuint(json_array_get_length(got), ==, json_array_get_length(wanted));
    for (guint k = 0; k < json_array_get_length(wanted); k++) {
      double a[4], b[4];
      read_box(wanted, k, a);
      read_box(got, k, b);
      for (guint c = 0; c < 4; c++)
        g_assert_cmpfloat_with_epsilon(a[c], b[c], 0.1);
    }
  }
  check_lane_times(found);
  g_assert_cmpfloat(lane_compute(found, "Half"), >, 0);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS(goldens); i++) {
    g_autofree char *path = g_strdup_printf("/models/golden/%s", goldens[i].name);
    g_test_add_data_func(path, &goldens[i], test_golden);
  }
  g_test_add_func("/models/face", test_face);
  g_test_add_func("/models/demo-faces", test_demo_faces);
  g_test_add_func("/models/mask", test_mask);
  g_test_add_func("/models/half-on-opencl", test_half_on_opencl);
  int result = g_test_run();
  lcip_test_clean();
  return result;
}
