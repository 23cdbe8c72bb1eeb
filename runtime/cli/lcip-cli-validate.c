#include "config.h"

#include "lcip-cli.h"
#include "lcip-open-dims.h"

/* An ONNX model is a protobuf message whose first field is the version of its format: byte 0x08. */
static gboolean is_onnx(const char *path) {
  g_autofree char *lower = g_ascii_strdown(path, -1);
  if (g_str_has_suffix(lower, ".onnx"))
    return TRUE;
  FILE *file = fopen(path, "rb");
  int first = file ? fgetc(file) : EOF;
  if (file)
    fclose(file);
  return first == 0x08;
}

static gboolean settle_shapes(LcipGraph *graph, char **shapes, GError **error) {
  for (guint i = 0; shapes && shapes[i]; i++)
    if (!lcip_cli_settle_shape(graph, shapes[i], error))
      return FALSE;
  lcip_cli_settle_batches(graph);
  return TRUE;
}

/* A graph whose sizes are open is no bad one: it is checked with likely ones, which are told. TRUE
 * where there are such. */
static gboolean guess_sizes(const char *path, LcipGraph *graph) {
  g_autofree char *open = lcip_cli_open_sizes(graph);
  g_autoptr(GArray) dims = lcip_graph_open_dims(graph);
  if (!open)
    return FALSE;
  g_printerr("%s: note: %s, with which it is checked here\n", path, open);
  lcip_graph_settle_dims(graph, dims);
  return TRUE;
}

static gboolean validate_file(const char *path, char **shapes, GError **error) {
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  if (!is_onnx(path) && !lcip_xml_validate(path, error))
    return FALSE;
  g_autoptr(LcipGraph) graph = lcip_graph_load(path, problems, error);
  if (!graph || !settle_shapes(graph, shapes, error))
    return FALSE;
  const gboolean is_guessed = guess_sizes(path, graph);
  g_autoptr(LcipAnalysis) analysis = lcip_analyse(graph, NULL, NULL, problems);
  lcip_cli_note_problems(path, graph, problems);
  if (analysis && !lcip_problems_have_errors(problems))
    return TRUE;
  g_set_error(error, LCIP_IO_ERROR, LCIP_IO_ERROR_UNSUPPORTED,
              "%s: the graph can be read, but can't run%s", path,
              is_guessed ? " with these sizes; give others with --input-shape" : "");
  return FALSE;
}

static LcipCliExit run(const LcipCliCommand *command, char **argv) {
  g_auto(GStrv) args = g_strdupv(argv), shapes = NULL;
  const GOptionEntry entries[] = {
      {"input-shape", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &shapes,
       "The shape of an input whose size the model leaves open; a likely one by default",
       "NAME=1,3,224,224"},
      G_OPTION_ENTRY_NULL};
  LcipCliExit code = LCIP_CLI_DONE;
  if (!lcip_cli_parse(command, entries, &args, 1, LCIP_CLI_ANY_NUMBER))
    return LCIP_CLI_USAGE;
  for (guint i = 1; args[i]; i++) {
    g_autoptr(GError) error = NULL;
    if (validate_file(args[i], shapes, &error))
      g_print("%s: valid\n", args[i]);
    else
      code = lcip_cli_report(command, error);
  }
  return lcip_cli_finish(code);
}

const LcipCliCommand lcip_cli_validate = {
    .name = "validate",
    .arguments = "GRAPH.xml...",
    .summary = "Check a graph: its file, its weights, its connections, rates and shapes",
    .description = "Each problem names the file and its line or offset, what was expected and what "
                   "was found. The weights' hash is checked. ONNX models are taken too.\n"
                   "Where a model leaves sizes open, likely ones are taken, and told.\n"
                   "Exit code 1 if a file has a problem.",
    .run = run,
};
