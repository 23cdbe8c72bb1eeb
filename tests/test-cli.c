#include "config.h"

#include "lcip-test-cli.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lcip-cpu.h"
#include "lcip-io.h"

static const char graph_name[] = "graphs/blazeface-back.xml";
static const char model_name[] = "data/models/selfie-segmentation-256.onnx";
static const char model_input[] = "input";
static const char model_output[] = "activation_10_out";

static gboolean skip_without_pictures(void) {
  if (LCIP_HAVE_PNG)
    return FALSE;
  g_test_skip("this build has no PNG pictures");
  return TRUE;
}

static void test_help(void) {
  static const char *const commands[] = {"import", "validate", "info",    "run",
                                         "bench",  "verify",   "devices", "operators"};
  g_autoptr(LcipTestOutput) help = lcip_test_command("--help", NULL);
  g_assert_cmpint(help->exit_code, ==, 0);
  g_assert_cmpstr(help->err, ==, "");
  for (guint i = 0; i < G_N_ELEMENTS(commands); i++) {
    g_assert_nonnull(strstr(help->out, commands[i]));
    g_autoptr(LcipTestOutput) own = lcip_test_command(commands[i], "--help", NULL);
    g_autofree char *usage = g_strdup_printf("lcip %s", commands[i]);
    g_assert_cmpint(own->exit_code, ==, 0);
    g_assert_nonnull(strstr(own->out, usage));
    g_autoptr(LcipTestOutput) other = lcip_test_command("help", commands[i], NULL);
    g_assert_cmpint(other->exit_code, ==, 0);
    g_assert_nonnull(strstr(other->out, commands[i]));
  }
}

static void test_run_help(void) {
  static const char *const options[] = {"--input",
                                        "--output",
                                        "--source",
                                        "--frames",
                                        "--mapping",
                                        "--lane",
                                        "--frames-in-flight",
                                        "--streams",
                                        "--pinned",
                                        "--profile",
                                        "--trace",
                                        "--json",
                                        "--results",
                                        "Examples"};
  g_autoptr(LcipTestOutput) help = lcip_test_command("run", "--help", NULL);
  for (guint i = 0; i < G_N_ELEMENTS(options); i++)
    g_assert_nonnull(strstr(help->out, options[i]));
}

static void test_version(void) {
  g_autoptr(LcipTestOutput) output = lcip_test_command("--version", NULL);
  g_assert_cmpint(output->exit_code, ==, 0);
  g_assert_cmpstr(output->out, ==, "lcip " LCIP_VERSION "\n");
}

static void assert_usage(LcipTestOutput *output, const char *message) {
  g_test_message("%s", output->err);
  g_assert_cmpint(output->exit_code, ==, 2);
  g_assert_cmpstr(output->out, ==, "");
  g_assert_nonnull(strstr(output->err, message));
  lcip_test_output_free(output);
}

static void test_usage(void) {
  g_autofree char *graph = lcip_test_source(graph_name);
  g_autofree char *model = lcip_test_source(model_name);
  assert_usage(lcip_test_command(NULL, NULL), "command is missing");
  assert_usage(lcip_test_command("frobnicate", NULL), "'frobnicate'");
  assert_usage(lcip_test_command("run", NULL), "GRAPH.xml");
  assert_usage(lcip_test_command("devices", "extra", NULL), "'extra'");
  assert_usage(lcip_test_command("help", "frobnicate", NULL), "'frobnicate'");
  assert_usage(lcip_test_command("run", graph, "--no-such-option", NULL), "--no-such-option");
  assert_usage(lcip_test_command("info", graph, "second", NULL), "'second'");
  assert_usage(lcip_test_command("run", graph, "--frames", "0", NULL), "found 0");
  assert_usage(lcip_test_command("run", graph, "--frames", "-1", NULL), "found -1");
  assert_usage(lcip_test_command("run", graph, "--frames-in-flight", "0", NULL), "found 0");
  assert_usage(lcip_test_command("run", graph, "--frames-in-flight", "65", NULL), "found 65");
  assert_usage(lcip_test_command("run", graph, "--streams", "0", NULL), "found 0");
  assert_usage(lcip_test_command("run", graph, "--streams", "257", NULL), "found 257");
  assert_usage(lcip_test_command("run", graph, "--frames", "many", NULL), "many");
  assert_usage(lcip_test_command("run", graph, "--mapping", "absent", NULL), "'absent'");
  assert_usage(lcip_test_command("run", graph, "--lane", "Absent=cpu", NULL), "Absent=cpu");
  assert_usage(lcip_test_command("run", graph, "--lane", "CPU=fpga:7", NULL), "'fpga:7'");
  assert_usage(lcip_test_command("run", model, "--source", "demo", NULL), "no picture source");
  assert_usage(lcip_test_command("run", model, "--input", "absent=x.npy", NULL), "'input'");
  assert_usage(lcip_test_command("bench", model, "--streams", "0", NULL), "--streams");
  assert_usage(lcip_test_command("import", model, "--input-shape", "input=1,3,5", NULL),
               "does not fit");
}

/* A "--" ends the options, as everywhere: it is no file. */
static void test_end_of_options(void) {
  g_autofree char *graph = lcip_test_source(graph_name);
  g_autoptr(LcipTestOutput) output = lcip_test_command("validate", "--", graph, NULL);
  g_test_message("%s", output->err);
  g_assert_cmpint(output->exit_code, ==, 0);
  g_autoptr(LcipTestOutput) dash = lcip_test_command("validate", "--", "-absent.xml", NULL);
  g_assert_cmpint(dash->exit_code, ==, 1);
  g_assert_nonnull(strstr(dash->err, "-absent.xml"));
  g_assert_null(strstr(dash->err, "lcip: --:"));
}

/* In the C locale of a bare board a name of a UTF-8 file is still found, or not, as it is. */
static void test_names_in_c_locale(void) {
  g_autofree char *graph = lcip_test_source(graph_name);
  g_setenv("LC_ALL", "C", TRUE);
  LcipTestOutput *mapping = lcip_test_command("run", graph, "--mapping", "Größe", NULL);
  LcipTestOutput *lane = lcip_test_command("bench", graph, "--lane", "Größe=cpu", NULL);
  g_unsetenv("LC_ALL");
  assert_usage(mapping, "no mapping");
  assert_usage(lane, "lane of the graph");
}

/* Two sources of the same pictures: neither is silently ignored. */
static void test_two_sources(void) {
  if (skip_without_pictures())
    return;
  g_autofree char *graph = lcip_test_source(graph_name);
  g_autofree char *picture = lcip_test_source("data/demo/astronaut.png");
  g_autofree char *input = g_strdup_printf("source=%s", picture);
  assert_usage(lcip_test_command("run", graph, "--source", "demo", "--input", input, NULL),
               "both give");
}

static void assert_failure(LcipTestOutput *output, const char *message) {
  g_test_message("%s", output->err);
  g_assert_cmpint(output->exit_code, ==, 1);
  g_assert_nonnull(strstr(output->err, message));
  lcip_test_output_free(output);
}

static void test_missing_files(void) {
  g_autofree char *graph = lcip_test_source(graph_name);
  g_autofree char *model = lcip_test_source(model_name);
  assert_failure(lcip_test_command("validate", "absent.xml", NULL), "absent.xml");
  assert_failure(lcip_test_command("info", "absent.onnx", NULL), "absent.onnx");
  assert_failure(lcip_test_command("run", "absent.xml", NULL), "absent.xml");
  assert_failure(lcip_test_command("run", graph, "--source", "absent.png", NULL), "absent.png");
  assert_failure(lcip_test_command("run", model, "--input", "input=absent.npy", NULL),
                 "absent.npy");
}

/* A model that does not say how a picture becomes its input takes none. */
static void test_refused_inputs(void) {
  g_autofree char *model = lcip_test_source(model_name);
  g_autofree char *picture = lcip_test_source("data/demo/astronaut.png");
  g_autofree char *input = g_strdup_printf("%s=%s", model_input, picture);
  g_autofree char *file = lcip_test_temp("small.npy");
  g_autofree char *small = g_strdup_printf("%s=%s", model_input, file);
  LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(2, 3, 4));
  g_autoptr(LcipTensor) tensor = lcip_tensor_new(&spec);
  g_assert_true(lcip_npy_write(tensor, file, NULL));
  assert_failure(lcip_test_command("run", model, "--input", input, NULL), "lcip.PictureToTensor");
  assert_failure(lcip_test_command("run", model, "--input", small, NULL), "found f32 3x4");
}

static void test_validate(void) {
  g_autofree char *graph = lcip_test_source(graph_name);
  g_autofree char *model = lcip_test_source(model_name);
  g_autofree char *damaged = lcip_test_temp("damaged.xml");
  g_autofree char *message = g_strdup_printf("%s:", damaged);
  g_autoptr(LcipTestOutput) good = lcip_test_command("validate", graph, model, NULL);
  g_test_message("%s", good->err);
  g_assert_cmpint(good->exit_code, ==, 0);
  g_assert_true(g_file_set_contents(damaged, "<?xml version=\"1.0\"?>\n<lcip", -1, NULL));
  assert_failure(lcip_test_command("validate", damaged, NULL), message);
  assert_failure(lcip_test_command("validate", graph, damaged, NULL), message);
}

/* Where the graph can't be written its weights don't stay behind alone. */
static void test_import_leaves_nothing(void) {
  g_autofree char *model = lcip_test_source(model_name);
  g_autofree char *folder = lcip_test_temp("left");
  g_autofree char *taken = g_build_filename(folder, "taken.xml", NULL);
  g_assert_cmpint(g_mkdir_with_parents(taken, 0777), ==, 0);
  assert_failure(lcip_test_command("import", model, "-o", taken, NULL), "cannot be written");
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  g_assert_cmpstr(g_dir_read_name(dir), ==, "taken.xml");
  g_assert_null(g_dir_read_name(dir));
}

/* A trace that can't be written is told before the run, not after it. */
static void test_trace_path(void) {
  g_autofree char *model = lcip_test_source(model_name);
  g_autofree char *folder = lcip_test_temp("trace-folder");
  g_autofree char *absent = g_build_filename(folder, "absent", "trace.json", NULL);
  g_assert_cmpint(g_mkdir_with_parents(folder, 0777), ==, 0);
  g_autoptr(LcipTestOutput) output = lcip_test_command("run", model, "--trace", absent, NULL);
  g_assert_cmpint(output->exit_code, ==, 1);
  g_assert_cmpstr(output->out, ==, "");
  g_assert_nonnull(strstr(output->err, absent));
  assert_failure(lcip_test_command("run", model, "--trace", folder, NULL), folder);
}

/* What is no file is written to and not replaced by one. */
static void test_trace_to_pipe(void) {
  g_autofree char *model = lcip_test_source(model_name);
  g_autofree char *pipe = lcip_test_temp("trace.fifo");
  g_assert_cmpint(mkfifo(pipe, 0600), ==, 0);
  int fd = g_open(pipe, O_RDWR | O_CLOEXEC, 0);
  g_assert_cmpint(fd, >=, 0);
  g_autoptr(LcipTestOutput) output = lcip_test_command("run", model, "--trace", pipe, NULL);
  g_test_message("%s", output->err);
  g_assert_cmpint(output->exit_code, ==, 0);
  char begin[16] = "";
  g_assert_cmpint(read(fd, begin, 15), ==, 15);
  g_assert_cmpstr(begin, ==, "{\"displayTimeUn");
  close(fd);
  GStatBuf info;
  g_assert_cmpint(g_lstat(pipe, &info), ==, 0);
  g_assert_true(S_ISFIFO(info.st_mode));
}

static void test_import(void) {
  g_autofree char *model = lcip_test_source(model_name);
  g_autofree char *graph = lcip_test_temp("imported.xml");
  g_autoptr(LcipTestOutput) output = lcip_test_command("import", model, "-o", graph, NULL);
  g_test_message("%s", output->err);
  g_assert_cmpint(output->exit_code, ==, 0);
  g_autoptr(LcipTestOutput) valid = lcip_test_command("validate", graph, NULL);
  g_test_message("%s", valid->err);
  g_assert_cmpint(valid->exit_code, ==, 0);
  g_autoptr(JsonObject) before = lcip_test_json("info", model, "--json", NULL);
  g_autoptr(JsonObject) after = lcip_test_json("info", graph, "--json", NULL);
  g_assert_cmpint(json_object_get_int_member(before, "actors"), ==,
                  json_object_get_int_member(after, "actors"));
  g_assert_cmpint(json_object_get_int_member(before, "parameters"), ==,
                  json_object_get_int_member(after, "parameters"));
  g_assert_cmpint(json_object_get_int_member(after, "parameters"), >, 100000);
}

static void test_json_devices(void) {
  g_autoptr(JsonObject) devices = lcip_test_json("devices", "--json", NULL);
  lcip_test_check_schema(devices, "lcip-devices");
  JsonObject *first =
      json_array_get_object_element(json_object_get_array_member(devices, "devices"), 0);
  g_assert_cmpstr(json_object_get_string_member(first, "id"), ==, "cpu");
}

static void test_json_info(void) {
  g_autofree char *graph = lcip_test_source(graph_name);
  g_autofree char *model = lcip_test_source(model_name);
  g_autoptr(JsonObject) info = lcip_test_json("info", graph, "--json", NULL);
  g_autoptr(JsonObject) own = lcip_test_json("info", model, "--json", NULL);
  lcip_test_check_schema(info, "lcip-info");
  lcip_test_check_schema(own, "lcip-info");
  g_assert_true(json_object_has_member(info, "plan"));
  g_assert_cmpfloat(json_object_get_double_member(own, "flops"), >, 1e7);
}

static void test_json_bench(void) {
  g_autofree char *model = lcip_test_source(model_name);
  g_autoptr(JsonObject) bench =
      lcip_test_json("bench", model, "--seconds", "0.05", "--profile", "--json", NULL);
  lcip_test_check_schema(bench, "lcip-bench");
  g_assert_cmpint(json_object_get_int_member(bench, "frames"), >=, 3);
  g_assert_cmpint(json_object_get_int_member(bench, "threads"), >=, 1);
  JsonObject *latency = json_object_get_object_member(bench, "latency_ms");
  g_assert_cmpfloat(json_object_get_double_member(latency, "min"), <=,
                    json_object_get_double_member(latency, "p50"));
  g_assert_cmpfloat(json_object_get_double_member(latency, "p50"), <=,
                    json_object_get_double_member(latency, "p99"));
}

/* Frames that end together count as what they are: whole rounds of all streams are measured, and
 * more frames than are in flight. */
static void test_bench_bursts(void) {
  g_autofree char *model = lcip_test_source(model_name);
  g_autoptr(JsonObject) bench =
      lcip_test_json("bench", model, "--seconds", "0.01", "--streams", "4", "--frames-in-flight",
                     "4", "--threads", "1", "--json", NULL);
  g_assert_cmpint(json_object_get_int_member(bench, "frames"), >=, 3 * 4 * 4);
  g_assert_cmpint(json_object_get_int_member(bench, "frames") % 4, ==, 0);
  g_assert_cmpint(json_object_get_int_member(bench, "threads"), ==, 1);
}

static gboolean any_step_is(JsonObject *bench, const char *begin) {
  JsonObject *profile = json_object_get_object_member(bench, "profile");
  JsonArray *steps = json_object_get_array_member(profile, "steps");
  for (guint i = 0; i < json_array_get_length(steps); i++) {
    JsonObject *step = json_array_get_object_element(steps, i);
    const char *reason = json_object_get_string_member_with_default(step, "reason", "");
    if (reason && g_str_has_prefix(reason, begin))
      return TRUE;
  }
  return FALSE;
}

static gboolean uses_times(const char *model) {
  g_autoptr(JsonObject) bench = lcip_test_json("bench", model, "--threads", "1", "--seconds",
                                               "0.01", "--profile", "--json", NULL);
  return any_step_is(bench, "measured here");
}

/* As another build of the kernels would have written it. */
static void change_kernels(const char *file) {
  g_autofree char *text = NULL;
  g_assert_true(g_file_get_contents(file, &text, NULL, NULL));
  g_autoptr(JsonNode) root = json_from_string(text, NULL);
  json_object_set_string_member(json_node_get_object(root), "kernels", "0000000000000000");
  g_autofree char *changed = json_to_string(root, TRUE);
  g_assert_true(g_file_set_contents(file, changed, -1, NULL));
}

/* Times are kept, plans take them, and not where they must not. */
static void test_calibrate(void) {
  g_autofree char *model = lcip_test_source("data/models/selfie-segmentation-256.onnx");
  g_autofree char *file = lcip_test_temp("calibration.json");
  g_autofree char *before = g_strdup(g_getenv("LCIP_CALIBRATION"));
  g_setenv("LCIP_CALIBRATION", file, TRUE);
  g_autoptr(JsonObject) done =
      lcip_test_json("calibrate", model, "--threads", "1", "--rounds", "1", "--json", NULL);
  lcip_test_check_schema(done, "lcip-calibrate");
  g_assert_cmpstr(json_object_get_string_member(done, "file"), ==, file);
  g_assert_true(g_file_test(file, G_FILE_TEST_IS_REGULAR));
  g_autoptr(JsonObject) without =
      lcip_test_json("bench", model, "--threads", "1", "--seconds", "0.01", "--profile",
                     "--no-calibration", "--json", NULL);
  if (json_array_get_length(json_object_get_array_member(done, "steps")) > 0)
    g_assert_true(uses_times(model));
  g_assert_false(any_step_is(without, "measured here"));
  /* a file of other kernels, and a damaged one, are as good as none */
  change_kernels(file);
  g_assert_false(uses_times(model));
  g_assert_true(g_file_set_contents(file, "{\"format\": 3, \"steps\": [", -1, NULL));
  g_assert_false(uses_times(model));
  if (before)
    g_setenv("LCIP_CALIBRATION", before, TRUE);
  else
    g_unsetenv("LCIP_CALIBRATION");
}

/* A lane without a device: the message has the lanes, the devices and OpenCL's own reason. */
static void test_no_opencl(void) {
  g_autofree char *graph = lcip_test_source(graph_name);
  g_autofree char *picture = lcip_test_source("data/demo/astronaut.png");
  g_autofree char *before = g_strdup(g_getenv("OCL_ICD_VENDORS"));
  if (skip_without_pictures())
    return;
  g_setenv("OCL_ICD_VENDORS", "/nonexistent", TRUE);
  g_autoptr(LcipTestOutput) output =
      lcip_test_command("run", graph, "--mapping", "cpu+gpu", "--source", picture, NULL);
  if (before)
    g_setenv("OCL_ICD_VENDORS", before, TRUE);
  else
    g_unsetenv("OCL_ICD_VENDORS");
  g_test_message("%s", output->err);
  g_assert_cmpint(output->exit_code, ==, 1);
  g_assert_nonnull(strstr(output->err, "lanes: CPU (cpu), GPU (opencl); devices here: cpu ("));
  g_assert_nonnull(strstr(output->err, "; OpenCL: "));
}

static void assert_json_error(LcipTestOutput *output, const char *command, int code) {
  g_test_message("%s", output->err);
  g_assert_cmpint(output->exit_code, ==, code);
  g_autoptr(JsonObject) document = lcip_test_parse(output->out);
  lcip_test_check_schema(document, "lcip-error");
  g_assert_cmpstr(json_object_get_string_member(document, "command"), ==, command);
  g_assert_nonnull(strstr(output->err, json_object_get_string_member(document, "error")));
  lcip_test_output_free(output);
}

/* A reader of --json finds a document also when there is nothing to tell but the error. */
static void test_json_error(void) {
  g_autofree char *model = lcip_test_source(model_name);
  assert_json_error(lcip_test_command("run", "absent.xml", "--json", NULL), "run", 1);
  assert_json_error(lcip_test_command("info", "absent.xml", "--json", NULL), "info", 1);
  assert_json_error(lcip_test_command("bench", "absent.xml", "--json", NULL), "bench", 1);
  assert_json_error(lcip_test_command("run", model, "--json", "--mapping", "x", NULL), "run", 2);
  assert_json_error(lcip_test_command("bench", model, "--json", "--absent", NULL), "bench", 2);
  assert_json_error(lcip_test_command("devices", "--json", "extra", NULL), "devices", 2);
}

/* x of @shape -> Relu -> y, with names for the open sizes, as an XML file. Transfer full. */
static char *open_graph(const char *name, LcipShape shape) {
  static const char *const names[] = {"batch", NULL, "height", "width"};
  g_autoptr(LcipGraph) graph = lcip_graph_new();
  g_autoptr(GError) error = NULL;
  char *path = lcip_test_temp(name);
  lcip_graph_add_input(graph, "x", "x", lcip_tensor_spec(LCIP_TYPE_F32, shape));
  lcip_graph_add_output(graph, "y", "y", (LcipTensorSpec){0});
  LcipGraphPort *port = g_ptr_array_index(graph->inputs, 0);
  for (int d = 0; d < shape.rank; d++)
    port->dim_names[d] = g_strdup(shape.dims[d] < 0 ? names[d] : NULL);
  const int relu = lcip_graph_add_actor(graph, lcip_actor_new("relu", "", "", "Relu", 1, 1));
  lcip_graph_add_edge(graph, (LcipEdge){LCIP_NO_ACTOR, 0, relu, 0, 0});
  lcip_graph_add_edge(graph, (LcipEdge){relu, 0, LCIP_NO_ACTOR, 0, 0});
  lcip_graph_ensure_defaults(graph);
  g_assert_true(lcip_xml_write(graph, path, &error));
  return path;
}

/* An open batch is one frame; all other open sizes are asked for at once, by every command. */
static void test_open_sizes(void) {
  static const char *const commands[] = {"run", "bench", "verify"};
  g_autofree char *batch = open_graph("batch.xml", lcip_shape(4, -1, 3, 5, 7));
  g_autofree char *open = open_graph("open.xml", lcip_shape(4, -1, 3, -1, -1));
  g_autoptr(LcipTestOutput) one = lcip_test_command("run", batch, NULL);
  g_assert_cmpint(one->exit_code, ==, 0);
  g_assert_nonnull(strstr(one->out, "output 'y': f32 1x3x5x7"));
  for (guint i = 0; i < G_N_ELEMENTS(commands); i++) {
    LcipTestOutput *asked = lcip_test_command(commands[i], open, NULL);
    assert_usage(asked, "input 'x' is 1x3xheightxwidth: give sizes, such as --input-shape x=1,3,");
  }
  g_autoptr(LcipTestOutput) given =
      lcip_test_command("run", open, "--input-shape", "x=2,3,8,6", NULL);
  g_assert_cmpint(given->exit_code, ==, 0);
  g_assert_nonnull(strstr(given->out, "output 'y': f32 2x3x8x6"));
  assert_usage(lcip_test_command("run", open, "--input-shape", "x=2,4,8,6", NULL), "does not fit");
}

/* A graph with open sizes is a good one: it is checked with those that are given or likely. */
static void test_validate_open_sizes(void) {
  g_autofree char *batch = open_graph("batch.xml", lcip_shape(4, -1, 3, 5, 7));
  g_autofree char *open = open_graph("open.xml", lcip_shape(4, -1, 3, -1, -1));
  g_autoptr(LcipTestOutput) one = lcip_test_command("validate", batch, NULL);
  g_assert_cmpint(one->exit_code, ==, 0);
  g_assert_cmpstr(one->err, ==, "");
  g_autoptr(LcipTestOutput) guessed = lcip_test_command("validate", open, NULL);
  g_assert_cmpint(guessed->exit_code, ==, 0);
  g_assert_nonnull(strstr(guessed->err, "give sizes, such as --input-shape x=1,3,"));
  g_autoptr(LcipTestOutput) given =
      lcip_test_command("validate", open, "--input-shape", "x=2,3,8,6", NULL);
  g_assert_cmpint(given->exit_code, ==, 0);
  g_assert_cmpstr(given->err, ==, "");
  assert_usage(lcip_test_command("validate", open, "--input-shape", "x=2,4,8,6", NULL),
               "does not fit");
}

/* What is given by --input needs no --input-shape. */
static void test_sizes_of_tensor(void) {
  g_autofree char *open = open_graph("tensor.xml", lcip_shape(4, -1, 3, -1, -1));
  g_autofree char *file = lcip_test_temp("sizes.npy");
  g_autofree char *input = g_strdup_printf("x=%s", file);
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, 1, 3, 4, 9));
  g_autoptr(LcipTensor) tensor = lcip_tensor_new(&spec);
  g_assert_true(lcip_npy_write(tensor, file, NULL));
  g_autoptr(LcipTestOutput) run = lcip_test_command("run", open, "--input", input, NULL);
  g_assert_cmpint(run->exit_code, ==, 0);
  g_assert_nonnull(strstr(run->out, "output 'y': f32 1x3x4x9"));
}

/* docs/operators.md is what the operators' tables say now. */
static void test_operator_page(void) {
  g_autofree char *path = lcip_test_source("docs/operators.md");
  g_autofree char *page = NULL;
  g_autoptr(LcipTestOutput) made = lcip_test_command("operators", "--markdown", NULL);
  g_assert_cmpint(made->exit_code, ==, 0);
  g_assert_true(g_file_get_contents(path, &page, NULL, NULL));
  if (!g_str_equal(page, made->out))
    g_error("%s is not current: lcip operators --markdown > docs/operators.md", path);
}

static void test_operators(void) {
  g_autoptr(LcipTestOutput) list = lcip_test_command("operators", NULL);
  g_assert_cmpint(list->exit_code, ==, 0);
  g_assert_nonnull(strstr(list->out, "\nConv "));
  g_assert_nonnull(strstr(list->out, "\nlcip.PictureToTensor "));
  g_assert_null(strstr(list->out, "lcip.Reorder"));
  g_autoptr(LcipTestOutput) one = lcip_test_command("operators", "Gemm", NULL);
  g_assert_cmpint(one->exit_code, ==, 0);
  g_assert_nonnull(strstr(one->out, "transB"));
  g_assert_nonnull(strstr(one->out, "gemm-ref"));
  assert_failure(lcip_test_command("operators", "Absent", NULL), "no operator 'Absent'");
}

/* One JSON document with every option that writes something else too. */
static void test_json_run(void) {
  g_autofree char *model = lcip_test_source(model_name);
  g_autofree char *folder = lcip_test_temp("json-run");
  g_autofree char *results = lcip_test_temp("results.jsonl");
  g_autofree char *trace = lcip_test_temp("trace.json");
  g_autoptr(JsonObject) run =
      lcip_test_json("run", model, "--frames", "3", "--output", folder, "--results", results,
                     "--trace", trace, "--profile", "--json", NULL);
  lcip_test_check_schema(run, "lcip-run");
  JsonArray *frames = json_object_get_array_member(run, "frames");
  g_assert_cmpuint(json_array_get_length(frames), ==, 3);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint(json_object_get_int_member(json_array_get_object_element(frames, i), "frame"),
                    ==, i);
  g_autofree char *lines = NULL;
  g_assert_true(g_file_get_contents(results, &lines, NULL, NULL));
  g_auto(GStrv) parts = g_strsplit(lines, "\n", -1);
  g_assert_cmpuint(g_strv_length(parts), ==, 4); /* three lines and what follows the last */
  g_autoptr(JsonObject) last = lcip_test_parse(parts[2]);
  g_assert_cmpint(json_object_get_int_member(last, "frame"), ==, 2);
  g_autofree char *trace_text = NULL;
  g_assert_true(g_file_get_contents(trace, &trace_text, NULL, NULL));
  g_autoptr(JsonNode) trace_node = json_from_string(trace_text, NULL);
  g_assert_nonnull(trace_node);
  g_autofree char *npy = g_strdup_printf("%s/%s.npy", folder, model_output);
  g_autoptr(LcipTensor) output = lcip_npy_read(npy, NULL);
  g_assert_nonnull(output);
}

/* ---- streams ---- */

/* The frames, in the order in which they came. Transfer full. */
static JsonArray *frames_of(const char *graph, const char *streams) {
  g_autoptr(JsonObject) run = lcip_test_json("run", graph, "--source", "demo", "--frames", "30",
                                             "--streams", streams, "--json", NULL);
  lcip_test_check_schema(run, "lcip-run");
  g_assert_cmpint(json_object_get_int_member(run, "streams"), ==, atoi(streams));
  return json_array_ref(json_object_get_array_member(run, "frames"));
}

/* Streams change neither the order of results nor what they are. */
static void test_run_streams(void) {
  if (skip_without_pictures())
    return;
  g_autofree char *graph = lcip_test_source(graph_name);
  g_autoptr(JsonArray) one = frames_of(graph, "1");
  g_autoptr(JsonArray) three = frames_of(graph, "3");
  g_assert_cmpuint(json_array_get_length(one), ==, 30);
  g_assert_cmpuint(json_array_get_length(three), ==, 30);
  for (guint i = 0; i < 30; i++) {
    JsonObject *a = json_array_get_object_element(one, i);
    JsonObject *b = json_array_get_object_element(three, i);
    g_assert_cmpint(json_object_get_int_member(b, "frame"), ==, i);
    g_assert_cmpuint(json_array_get_length(json_object_get_array_member(a, "detections")), >, 0);
    g_assert_true(json_node_equal(json_object_get_member(a, "detections"),
                                  json_object_get_member(b, "detections")));
  }
}

static gint64 streams_of(const char *graph, const char *option, const char *value) {
  g_autoptr(JsonObject) run = lcip_test_json("run", graph, option, value, "--json", NULL);
  const gint64 n = json_object_get_int_member(run, "streams");
  JsonObject *lane = json_array_get_object_element(json_object_get_array_member(run, "lanes"), 0);
  const gint64 n_threads = json_object_get_int_member(lane, "threads");
  g_assert_cmpint(n, >=, 1);
  if (n > 1)
    g_assert_cmpint(n_threads, ==, 1);
  return n;
}

/* Two actors, the second one as @assign says. */
static char *write_relus(const char *name, const char *cpu_lane, const char *assign) {
  char *path = lcip_test_temp(name);
  g_autofree char *text = g_strdup_printf(
      "<lcip xmlns=\"urn:lcip:graph:1\" version=\"1\">"
      "<graph name=\"relus\" opset=\"21\" source-opset=\"21\"><description/>"
      "<input id=\"x\" name=\"x\" type=\"f32\" shape=\"1 4\"/>"
      "<output id=\"y\" name=\"y\" type=\"f32\" shape=\"1 4\"/>"
      "<actor id=\"a\" name=\"\" domain=\"\" operator=\"Relu\" inputs=\"1\" outputs=\"1\"/>"
      "<actor id=\"b\" name=\"\" domain=\"\" operator=\"Relu\" inputs=\"1\" outputs=\"1\"/>"
      "<edge from=\"x\" to=\"a\" to-port=\"X\"/>"
      "<edge from=\"a\" from-port=\"Y\" to=\"b\" to-port=\"X\"/>"
      "<edge from=\"b\" from-port=\"Y\" to=\"y\"/></graph>"
      "<platform><lane name=\"CPU\" kind=\"cpu\"%s/><lane name=\"Other\" kind=\"cpu\"/></platform>"
      "<mapping name=\"default\" active=\"true\">%s</mapping><layout/></lcip>",
      cpu_lane, assign);
  g_assert_true(g_file_set_contents(path, text, -1, NULL));
  return path;
}

/* A stream on each processor where the rate counts and nothing speaks against it. */
static void test_default_streams(void) {
  const gint64 n_processors = lcip_cpu_count();
  g_autofree char *picture = lcip_test_source("data/demo/astronaut.png");
  g_autofree char *graph = lcip_test_source(graph_name);
  g_autofree char *many = g_strdup_printf("%" G_GINT64_FORMAT, n_processors + 1);
  g_autofree char *open = write_relus("open.xml", "", "");
  g_autofree char *threads = write_relus("threads.xml", " threads=\"2\"", "");
  g_autofree char *lanes = write_relus("lanes.xml", "", "<assign actor=\"b\" lane=\"Other\"/>");
  g_assert_cmpint(streams_of(open, "--frames", many), ==, MIN(n_processors, 256));
  g_assert_cmpint(streams_of(threads, "--frames", many), ==, 1);
  g_assert_cmpint(streams_of(lanes, "--frames", many), ==, 1);
  if (LCIP_HAVE_PNG)
    g_assert_cmpint(streams_of(graph, "--source", picture), ==, 1);
}

/* Random inputs are seeded: two runs agree. */
static void test_seeded(void) {
  g_autofree char *model = lcip_test_source(model_name);
  char *texts[2] = {NULL, NULL};
  gsize lengths[2] = {0, 0};
  for (guint i = 0; i < 2; i++) {
    g_autofree char *folder = lcip_test_temp(i ? "seeded-1" : "seeded-0");
    g_autofree char *npy = g_strdup_printf("%s/%s.npy", folder, model_output);
    g_autoptr(LcipTestOutput) output = lcip_test_command("run", model, "--output", folder, NULL);
    g_assert_cmpint(output->exit_code, ==, 0);
    g_assert_nonnull(strstr(output->err, "seeded random"));
    g_assert_true(g_file_get_contents(npy, &texts[i], &lengths[i], NULL));
  }
  g_assert_cmpmem(texts[0], lengths[0], texts[1], lengths[1]);
  g_free(texts[0]);
  g_free(texts[1]);
}

/* As the README has it: the built command finds the demo picture with nothing set. */
static void test_demo_uninstalled(void) {
  g_autofree char *graph = lcip_test_source(graph_name);
  g_autofree char *root = lcip_test_source("");
  g_autofree char *folder = g_path_get_dirname(g_getenv("LCIP_CLI"));
  g_autofree char *sources = g_canonicalize_filename("../../..", folder);
  g_autofree char *wanted = g_canonicalize_filename(root, NULL);
  if (skip_without_pictures())
    return;
  if (strcmp(sources, wanted) != 0) {
    g_test_skip("the build folder is not in the sources");
    return;
  }
  g_unsetenv("LCIP_DATA_PATH");
  g_autoptr(LcipTestOutput) output =
      lcip_test_command("run", graph, "--source", "demo", "--frames", "1", NULL);
  g_setenv("LCIP_DATA_PATH", wanted, TRUE);
  g_test_message("%s", output->err);
  g_assert_cmpint(output->exit_code, ==, 0);
  g_assert_nonnull(strstr(output->out, "1 found"));
}

/* A run without end is ended by SIGINT: done, with its summary. Waits for the first result only. */
static void test_interrupt(void) {
  if (skip_without_pictures())
    return;
  g_autofree char *graph = lcip_test_source(graph_name);
  g_autoptr(GError) error = NULL;
  g_autoptr(GSubprocess) process =
      g_subprocess_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, g_getenv("LCIP_CLI"), "run", graph,
                       "--source", "demo", "--json", NULL);
  g_assert_no_error(error);
  g_autoptr(GDataInputStream) stream =
      g_data_input_stream_new(g_subprocess_get_stdout_pipe(process));
  g_autoptr(GString) text = g_string_new(NULL);
  gboolean sent = FALSE;
  char *line;
  while ((line = g_data_input_stream_read_line_utf8(stream, NULL, NULL, &error))) {
    g_string_append_printf(text, "%s\n", line);
    if (!sent && strstr(line, "\"detections\""))
      g_subprocess_send_signal(process, SIGINT);
    sent = sent || strstr(line, "\"detections\"");
    g_free(line);
  }
  g_assert_no_error(error);
  g_assert_true(g_subprocess_wait(process, NULL, &error));
  g_assert_true(g_subprocess_get_if_exited(process));
  g_assert_cmpint(g_subprocess_get_exit_status(process), ==, 0);
  g_autoptr(JsonObject) run = lcip_test_parse(text->str);
  lcip_test_check_schema(run, "lcip-run");
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/cli/help", test_help);
  g_test_add_func("/cli/run-help", test_run_help);
  g_test_add_func("/cli/version", test_version);
  g_test_add_func("/cli/usage", test_usage);
  g_test_add_func("/cli/end-of-options", test_end_of_options);
  g_test_add_func("/cli/names-in-c-locale", test_names_in_c_locale);
  g_test_add_func("/cli/two-sources", test_two_sources);
  g_test_add_func("/cli/missing-files", test_missing_files);
  g_test_add_func("/cli/refused-inputs", test_refused_inputs);
  g_test_add_func("/cli/validate", test_validate);
  g_test_add_func("/cli/import", test_import);
  g_test_add_func("/cli/import-leaves-nothing", test_import_leaves_nothing);
  g_test_add_func("/cli/trace-path", test_trace_path);
  g_test_add_func("/cli/trace-to-pipe", test_trace_to_pipe);
  g_test_add_func("/cli/operator-page", test_operator_page);
  g_test_add_func("/cli/operators", test_operators);
  g_test_add_func("/cli/open-sizes", test_open_sizes);
  g_test_add_func("/cli/validate-open-sizes", test_validate_open_sizes);
  g_test_add_func("/cli/sizes-of-tensor", test_sizes_of_tensor);
  g_test_add_func("/cli/json/devices", test_json_devices);
  g_test_add_func("/cli/json/info", test_json_info);
  g_test_add_func("/cli/json/bench", test_json_bench);
  g_test_add_func("/cli/json/run", test_json_run);
  g_test_add_func("/cli/bench-bursts", test_bench_bursts);
  g_test_add_func("/cli/calibrate", test_calibrate);
  g_test_add_func("/cli/no-opencl", test_no_opencl);
  g_test_add_func("/cli/json/error", test_json_error);
  g_test_add_func("/cli/streams", test_run_streams);
  g_test_add_func("/cli/default-streams", test_default_streams);
  g_test_add_func("/cli/seeded", test_seeded);
  g_test_add_func("/cli/demo-uninstalled", test_demo_uninstalled);
  g_test_add_func("/cli/interrupt", test_interrupt);
  int result = g_test_run();
  lcip_test_clean();
  return result;
}
