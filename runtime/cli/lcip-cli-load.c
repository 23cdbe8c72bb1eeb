#include "config.h"

#include "lcip-cli.h"
#include "lcip-open-dims.h"

/* ---- what is wrong, all at once ---- */

gboolean lcip_cli_fail_problems(const char *path, const LcipGraph *graph, const GPtrArray *problems,
                                GError **error) {
  g_autoptr(GPtrArray) lines = lcip_problems_lines(problems, graph, LCIP_PROBLEM_ERROR);
  g_autoptr(GString) text = g_string_new(NULL);
  for (guint i = 0; i < lines->len; i++)
    g_string_append_printf(text, "\n  %s", (const char *)lines->pdata[i]);
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "%s can't run: %u problem%s:%s", path,
              lines->len, lines->len == 1 ? "" : "s", text->str);
  return FALSE;
}

/* Of a graph that can't run anyway, what analysis finds is told as well; open sizes aside, which
 * are asked for when nothing else is wrong. */
static void add_analysis(LcipGraph *graph, GPtrArray *problems) {
  g_autoptr(GArray) open = lcip_graph_open_dims(graph);
  lcip_graph_settle_dims(graph, open);
  LcipAnalysis *analysis = lcip_analyse(graph, NULL, NULL, problems);
  g_clear_pointer(&analysis, lcip_analysis_free);
}

LcipGraph *lcip_cli_load(const char *path, GError **error) {
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_autoptr(LcipGraph) graph = lcip_graph_load(path, problems, error);
  if (!graph)
    return NULL;
  lcip_graph_ensure_defaults(graph);
  if (!lcip_problems_have_errors(problems)) {
    lcip_cli_note_problems(path, graph, problems);
    return g_steal_pointer(&graph);
  }
  add_analysis(graph, problems);
  lcip_cli_fail_problems(path, graph, problems, error);
  return NULL;
}

/* ---- sizes that the model leaves open ---- */

gboolean lcip_cli_settle_shape(LcipGraph *graph, const char *argument, GError **error) {
  guint input = 0;
  LcipShape shape;
  if (!lcip_cli_parse_shape(graph, argument, &input, &shape, error))
    return FALSE;
  lcip_graph_settle_input(graph, input, &shape);
  return TRUE;
}

static void settle_from_tensors(LcipGraph *graph, const LcipCliInputs *inputs) {
  for (guint i = 0; inputs && i < graph->inputs->len; i++) {
    const LcipGraphPort *port = g_ptr_array_index(graph->inputs, i);
    const LcipTensor *tensor = g_hash_table_lookup(inputs->tensors, port->name);
    if (tensor)
      lcip_graph_settle_input(graph, i, lcip_tensor_get_shape(tensor));
  }
}

/* The first dimension of anything but a list of numbers is the batch: one frame. */
static gboolean is_batch(const LcipGraph *graph, const LcipOpenDim *dim) {
  const LcipGraphPort *port = g_ptr_array_index(graph->inputs, dim->input);
  return dim->dim == 0 && port->spec.shape.rank > 1;
}

void lcip_cli_settle_batches(LcipGraph *graph) {
  g_autoptr(GArray) open = lcip_graph_open_dims(graph);
  for (guint i = open->len; i-- > 0;) {
    LcipOpenDim *dim = &g_array_index(open, LcipOpenDim, i);
    dim->size = 1;
    if (!is_batch(graph, dim))
      g_array_remove_index(open, i);
  }
  lcip_graph_settle_dims(graph, open);
}

static gboolean is_open(const LcipShape *shape) {
  for (int d = 0; d < shape->rank; d++)
    if (shape->dims[d] < 0)
      return TRUE;
  return FALSE;
}

static void append_dims(GString *text, const LcipGraphPort *port, const LcipShape *shape,
                        const char *separator) {
  for (int d = 0; d < shape->rank; d++) {
    g_string_append(text, d ? separator : "");
    if (shape->dims[d] >= 0)
      g_string_append_printf(text, "%" G_GINT64_FORMAT, shape->dims[d]);
    else
      g_string_append(text, port->dim_names[d] && *port->dim_names[d] ? port->dim_names[d] : "?");
  }
}

char *lcip_cli_open_sizes(const LcipGraph *graph) {
  g_autoptr(GString) what = g_string_new(NULL);
  g_autoptr(GString) how = g_string_new(NULL);
  g_autoptr(LcipGraph) settled = lcip_graph_copy(graph);
  g_autoptr(GArray) open = lcip_graph_open_dims(settled);
  lcip_graph_settle_dims(settled, open);
  for (guint i = 0; i < graph->inputs->len; i++) {
    const LcipGraphPort *port = g_ptr_array_index(graph->inputs, i);
    const LcipGraphPort *full = g_ptr_array_index(settled->inputs, i);
    if (!is_open(&port->spec.shape))
      continue;
    g_string_append_printf(what, "%sinput '%s' is ", what->len ? ", " : "", port->name);
    append_dims(what, port, &port->spec.shape, "x");
    g_string_append_printf(how, " --input-shape %s=", port->name);
    append_dims(how, full, &full->spec.shape, ",");
  }
  return what->len ? g_strdup_printf("%s: give sizes, such as%s", what->str, how->str) : NULL;
}

gboolean lcip_cli_settle_shapes(LcipGraph *graph, char **arguments, const LcipCliInputs *inputs,
                                GError **error) {
  for (guint i = 0; arguments && arguments[i]; i++)
    if (!lcip_cli_settle_shape(graph, arguments[i], error))
      return FALSE;
  settle_from_tensors(graph, inputs);
  lcip_cli_settle_batches(graph);
  g_autofree char *open = lcip_cli_open_sizes(graph);
  if (!open)
    return TRUE;
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s", open);
  return FALSE;
}
