#include "config.h"

#include "lcip-cli.h"

#include <string.h>

/* MODEL.onnx -> MODEL.xml in the working folder, so that nothing is written beside a model that is
 * kept somewhere read-only. */
static char *default_output(const char *path) {
  g_autofree char *base = g_path_get_basename(path);
  if (g_str_has_suffix(base, ".onnx"))
    base[strlen(base) - strlen(".onnx")] = 0;
  return g_strconcat(base, ".xml", NULL);
}

static gboolean import_model(const char *path, const char *output, char **shapes, GError **error) {
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_autoptr(LcipGraph) graph = lcip_onnx_read(path, problems, error);
  if (!graph)
    return FALSE;
  for (guint i = 0; shapes && shapes[i]; i++)
    if (!lcip_cli_settle_shape(graph, shapes[i], error))
      return FALSE;
  lcip_graph_ensure_defaults(graph);
  lcip_cli_note_problems(path, graph, problems);
  if (!lcip_xml_write(graph, output, error))
    return FALSE;
  g_autofree char *open = lcip_cli_open_sizes(graph);
  if (open)
    lcip_cli_note("%s, or when it runs", open);
  g_print("%s: %u actors, %u input(s), %u output(s)\n", output, graph->actors->len,
          graph->inputs->len, graph->outputs->len);
  return TRUE;
}

static LcipCliExit run(const LcipCliCommand *command, char **argv) {
  g_auto(GStrv) args = g_strdupv(argv);
  g_autofree char *output = NULL;
  g_auto(GStrv) shapes = NULL;
  g_autoptr(GError) error = NULL;
  const GOptionEntry entries[] = {
      {"output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
       "The file to write; the model's name with .xml by default", "GRAPH.xml"},
      {"input-shape", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &shapes,
       "The shape of an input whose size the model leaves open", "NAME=1,3,224,224"},
      G_OPTION_ENTRY_NULL};
  if (!lcip_cli_parse(command, entries, &args, 1, 1))
    return LCIP_CLI_USAGE;
  if (!output)
    output = default_output(args[1]);
  if (!import_model(args[1], output, shapes, &error))
    return lcip_cli_report(command, error);
  return lcip_cli_finish(LCIP_CLI_DONE);
}

const LcipCliCommand lcip_cli_import = {
    .name = "import",
    .arguments = "MODEL.onnx",
    .summary = "Make an ONNX model an LCIP graph with its weights beside it",
    .description =
        "The weights are written beside the graph as NAME-HASH.safetensors. Operators that LCIP "
        "does not have are kept and reported; such a graph can be looked at but not run. A model "
        "of "
        "which something can't be kept is not imported.\n\n"
        "Example:\n"
        "  lcip import mobilenet.onnx -o mobilenet.xml --input-shape input=1,3,224,224",
    .run = run,
};
