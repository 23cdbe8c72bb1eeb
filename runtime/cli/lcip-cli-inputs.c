#include "config.h"

#include "lcip-cli.h"

#include <string.h>

void lcip_cli_inputs_init(LcipCliInputs *inputs) {
  memset(inputs, 0, sizeof *inputs);
  inputs->tensors =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)lcip_tensor_unref);
  inputs->shapes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  inputs->source_sizes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

void lcip_cli_inputs_clear(LcipCliInputs *inputs) {
  g_clear_pointer(&inputs->tensors, g_hash_table_unref);
  g_clear_pointer(&inputs->shapes, g_hash_table_unref);
  g_clear_pointer(&inputs->source_sizes, g_hash_table_unref);
  g_clear_pointer(&inputs->source, lcip_media_source_unref);
}

int lcip_cli_find_source(const LcipGraph *graph) {
  for (guint i = 0; i < graph->actors->len; i++) {
    const LcipActor *actor = lcip_graph_actor(graph, (int)i);
    if (actor->op && (actor->op->flags & LCIP_OP_SOURCE))
      return (int)i;
  }
  return -1;
}

static char *list_inputs(const LcipGraph *graph) {
  g_autoptr(GString) text = g_string_new(NULL);
  for (guint i = 0; i < graph->inputs->len; i++) {
    const LcipGraphPort *port = g_ptr_array_index(graph->inputs, i);
    g_string_append_printf(text, "%s'%s'", text->len ? ", " : "", port->name);
  }
  int source = lcip_cli_find_source(graph);
  if (source >= 0)
    g_string_append_printf(text, "%s'%s'", text->len ? ", " : "",
                           lcip_graph_actor(graph, source)->id);
  return text->len ? g_string_free(g_steal_pointer(&text), FALSE) : g_strdup("none");
}

const char *lcip_cli_after_name(const char *argument, const char *name) {
  gsize length = strlen(name);
  return strncmp(argument, name, length) == 0 && argument[length] == '=' ? argument + length + 1
                                                                         : NULL;
}

static gboolean fail_name(const LcipGraph *graph, const char *argument, GError **error) {
  g_autofree char *names = list_inputs(graph);
  if (!strchr(argument, '='))
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "expected NAME=VALUE for an input, found '%s'", argument);
  else
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "'%s' names no input of the graph; its inputs: %s", argument, names);
  return FALSE;
}

static const LcipGraphPort *find_input(const LcipGraph *graph, const char *name) {
  for (guint i = 0; i < graph->inputs->len; i++) {
    const LcipGraphPort *port = g_ptr_array_index(graph->inputs, i);
    if (g_strcmp0(port->name, name) == 0)
      return port;
  }
  return NULL;
}

static gboolean is_picture_spec(const LcipTensorSpec *spec) {
  return spec->type == LCIP_TYPE_U8 && spec->shape.rank == 3 &&
         (spec->shape.dims[2] == 3 || spec->shape.dims[2] < 0);
}

static gboolean shape_fits(const LcipShape *declared, const LcipShape *actual) {
  if (declared->rank != actual->rank)
    return FALSE;
  for (int d = 0; d < actual->rank; d++)
    if (declared->dims[d] >= 0 && declared->dims[d] != actual->dims[d])
      return FALSE;
  return TRUE;
}

static gboolean fail_spec(const char *name, const char *from, const LcipTensorSpec *expected,
                          const LcipTensorSpec *found, GError **error) {
  g_autofree char *wanted = lcip_tensor_spec_to_string(expected);
  g_autofree char *given = lcip_tensor_spec_to_string(found);
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID, "%s: input '%s' expects %s, found %s", from,
              name, wanted, given);
  return FALSE;
}

gboolean lcip_cli_inputs_add_tensor(LcipCliInputs *inputs, const LcipGraph *graph, const char *name,
                                    LcipTensor *tensor, const char *from, GError **error) {
  const LcipTensorSpec *given = lcip_tensor_get_spec(tensor);
  const LcipGraphPort *port = find_input(graph, name);
  LcipTensorSpec picture = lcip_tensor_spec(LCIP_TYPE_U8, lcip_shape(3, -1, -1, 3));
  const LcipTensorSpec *expected = port ? &port->spec : &picture;
  if (given->type != expected->type || !shape_fits(&expected->shape, &given->shape))
    return fail_spec(name, from, expected, given, error);
  g_hash_table_insert(inputs->tensors, g_strdup(name), lcip_tensor_ref(tensor));
  g_hash_table_insert(port ? inputs->shapes : inputs->source_sizes, g_strdup(name),
                      g_memdup2(&given->shape, sizeof given->shape));
  return TRUE;
}

static gboolean add_picture(LcipCliInputs *inputs, const LcipGraph *graph, const char *name,
                            const char *file, GError **error) {
  const LcipGraphPort *port = find_input(graph, name);
  if (port && !is_picture_spec(&port->spec)) {
    g_autofree char *spec = lcip_tensor_spec_to_string(&port->spec);
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID,
                "%s: the graph does not say how a picture becomes its input '%s' (%s); give a .npy "
                "file, or feed the input by a lcip.PictureToTensor actor",
                file, name, spec);
    return FALSE;
  }
  g_autoptr(LcipTensor) picture = lcip_picture_load(file, error);
  return picture && lcip_cli_inputs_add_tensor(inputs, graph, name, picture, file, error);
}

static gboolean has_suffix(const char *file, const char *suffix) {
  g_autofree char *lower = g_ascii_strdown(file, -1);
  return g_str_has_suffix(lower, suffix);
}

LcipTensor *lcip_cli_read_tensor(const char *file, GError **error) {
  return has_suffix(file, ".pb") ? lcip_onnx_read_tensor(file, error) : lcip_npy_read(file, error);
}

static gboolean add_file(LcipCliInputs *inputs, const LcipGraph *graph, const char *name,
                         const char *file, GError **error) {
  if (!has_suffix(file, ".npy") && !has_suffix(file, ".pb"))
    return add_picture(inputs, graph, name, file, error);
  g_autoptr(LcipTensor) tensor = lcip_cli_read_tensor(file, error);
  return tensor && lcip_cli_inputs_add_tensor(inputs, graph, name, tensor, file, error);
}

gboolean lcip_cli_inputs_add(LcipCliInputs *inputs, const LcipGraph *graph, const char *argument,
                             GError **error) {
  for (guint i = 0; i < graph->inputs->len; i++) {
    const LcipGraphPort *port = g_ptr_array_index(graph->inputs, i);
    const char *file = lcip_cli_after_name(argument, port->name);
    if (file)
      return add_file(inputs, graph, port->name, file, error);
  }
  int source = lcip_cli_find_source(graph);
  if (source >= 0) {
    const LcipActor *actor = lcip_graph_actor(graph, source);
    const char *file = lcip_cli_after_name(argument, actor->id);
    if (file)
      return add_file(inputs, graph, actor->id, file, error);
  }
  return fail_name(graph, argument, error);
}

gboolean lcip_cli_inputs_open(LcipCliInputs *inputs, const LcipGraph *graph, const char *what,
                              GError **error) {
  int index = lcip_cli_find_source(graph);
  if (index < 0) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--source: the graph has no picture source; use --input for its inputs");
    return FALSE;
  }
  inputs->source = lcip_media_open(what, LCIP_MEDIA_EVERY_FRAME, error);
  if (!inputs->source)
    return FALSE;
  int width = 0, height = 0;
  lcip_media_source_max_size(inputs->source, &width, &height);
  LcipShape shape = lcip_shape(3, height, width, 3);
  g_hash_table_insert(inputs->source_sizes, g_strdup(lcip_graph_actor(graph, index)->id),
                      g_memdup2(&shape, sizeof shape));
  return TRUE;
}

static gboolean parse_dims(const char *text, LcipShape *shape) {
  g_auto(GStrv) parts = g_strsplit(text, ",", -1);
  guint n = g_strv_length(parts);
  if (n == 0 || n > LCIP_MAX_RANK)
    return FALSE;
  shape->rank = (int)n;
  for (guint i = 0; i < n; i++)
    if (!g_ascii_string_to_signed(parts[i], 10, 1, G_MAXINT32, &shape->dims[i], NULL))
      return FALSE;
  return TRUE;
}

gboolean lcip_cli_parse_shape(const LcipGraph *graph, const char *argument, guint *input,
                              LcipShape *shape, GError **error) {
  const char *text = NULL;
  for (*input = 0; *input < graph->inputs->len && !text; (*input)++)
    text = lcip_cli_after_name(argument,
                               ((LcipGraphPort *)g_ptr_array_index(graph->inputs, *input))->name);
  if (!text)
    return fail_name(graph, argument, error);
  (*input)--;
  memset(shape, 0, sizeof *shape);
  if (!parse_dims(text, shape)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "expected positive sizes such as 1,3,224,224, found '%s'", text);
    return FALSE;
  }
  const LcipGraphPort *port = g_ptr_array_index(graph->inputs, *input);
  if (shape_fits(&port->spec.shape, shape))
    return TRUE;
  g_autofree char *declared = lcip_shape_to_string(&port->spec.shape);
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
              "input '%s' is %s in the model, which %s does not fit", port->name, declared, text);
  return FALSE;
}
