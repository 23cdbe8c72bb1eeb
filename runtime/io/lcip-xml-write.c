#include "config.h"
#include "lcip-io-private.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the weights' keys ---- */

static char *slot_name(const LcipActor *actor, guint port, const char *attr) {
  return attr ? g_strdup_printf("%s/%s", actor->id, attr)
              : g_strdup_printf("%s.%u", actor->id, port);
}

static gboolean tensors_equal(const LcipTensor *a, const LcipTensor *b) {
  return a == b ||
         (lcip_tensor_spec_equal(lcip_tensor_get_spec(a), lcip_tensor_get_spec(b)) &&
          (lcip_tensor_get_bytes(a) == 0 || memcmp(lcip_tensor_get_data(a), lcip_tensor_get_data(b),
                                                   lcip_tensor_get_bytes(a)) == 0));
}

typedef struct {
  GHashTable *by_key; /* key -> LcipTensor */
  GHashTable *by_slot;
} Keys;

/* Several inputs may name one key; only if they mean the same tensor. */
static gboolean claim_key(Keys *keys, const char *key, LcipTensor *tensor, char *slot) {
  LcipTensor *known = g_hash_table_lookup(keys->by_key, key);
  if (known && !tensors_equal(known, tensor))
    return FALSE;
  if (!known)
    g_hash_table_insert(keys->by_key, g_strdup(key), lcip_tensor_ref(tensor));
  g_hash_table_insert(keys->by_slot, slot, g_strdup(key));
  return TRUE;
}

/* A key of its own for a tensor that has none, or whose key another tensor has. */
static void invent_key(Keys *keys, const char *wish, LcipTensor *tensor, char *slot) {
  g_autofree char *key = g_strdup(wish);
  for (guint k = 2; g_hash_table_contains(keys->by_key, key); k++) {
    g_free(key);
    key = g_strdup_printf("%s_%u", wish, k);
  }
  claim_key(keys, key, tensor, slot);
}

static gboolean key_is_usable(const char *key) {
  g_autofree char *clean = key ? lcip_io_clean_text(key, -1) : NULL;
  return clean && *clean && g_str_equal(clean, key) && !g_str_equal(key, "__metadata__");
}

typedef enum { CLAIM_GIVEN, INVENT_MISSING } KeyPass;

static void visit_inputs(Keys *keys, const LcipActor *actor, KeyPass pass) {
  for (guint i = 0; i < actor->n_inputs; i++) {
    LcipTensor *tensor = actor->constants[i];
    if (!tensor)
      continue;
    const char *key = actor->constant_keys[i];
    g_autofree char *slot = slot_name(actor, i, NULL);
    if (pass == CLAIM_GIVEN && key_is_usable(key) && claim_key(keys, key, tensor, slot))
      slot = NULL;
    if (pass == INVENT_MISSING && !g_hash_table_contains(keys->by_slot, slot)) {
      g_autofree char *port = lcip_operator_input_name(actor->op, i);
      g_autofree char *wish = g_strdup_printf("%s.%s", actor->id, port ? port : "input");
      invent_key(keys, wish, tensor, g_steal_pointer(&slot));
    }
  }
}

static void visit_attrs(Keys *keys, const LcipActor *actor) {
  guint n;
  g_autofree const char **names = lcip_attrs_names(actor->attrs, &n);
  for (guint i = 0; i < n; i++) {
    LcipTensor *tensor = lcip_attrs_get(actor->attrs, names[i])->tensor;
    g_autofree char *clean = lcip_io_clean_text(names[i], -1);
    g_autofree char *wish = g_strdup_printf("%s/%s", actor->id, clean);
    if (tensor)
      invent_key(keys, wish, tensor, slot_name(actor, 0, names[i]));
  }
}

static int compare_keys(gconstpointer a, gconstpointer b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_keys(LcipXmlWeights *weights, GHashTable *by_key) {
  GHashTableIter iter;
  gpointer key;
  weights->keys = g_ptr_array_new_with_free_func(g_free);
  weights->tensors = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_tensor_unref);
  g_hash_table_iter_init(&iter, by_key);
  while (g_hash_table_iter_next(&iter, &key, NULL))
    g_ptr_array_add(weights->keys, g_strdup(key));
  g_ptr_array_sort(weights->keys, compare_keys);
  for (guint i = 0; i < weights->keys->len; i++) {
    LcipTensor *tensor = g_hash_table_lookup(by_key, weights->keys->pdata[i]);
    g_ptr_array_add(weights->tensors, lcip_tensor_ref(tensor));
  }
}

LcipXmlWeights *lcip_xml_weights_new(const LcipGraph *graph) {
  Keys keys = {
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)lcip_tensor_unref),
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free)};
  for (guint i = 0; i < graph->actors->len; i++)
    visit_inputs(&keys, graph->actors->pdata[i], CLAIM_GIVEN);
  for (guint i = 0; i < graph->actors->len; i++)
    visit_inputs(&keys, graph->actors->pdata[i], INVENT_MISSING);
  for (guint i = 0; i < graph->actors->len; i++)
    visit_attrs(&keys, graph->actors->pdata[i]);
  LcipXmlWeights *weights = g_new0(LcipXmlWeights, 1);
  sort_keys(weights, keys.by_key);
  weights->by_slot = keys.by_slot;
  g_hash_table_unref(keys.by_key);
  return weights;
}

void lcip_xml_weights_free(LcipXmlWeights *weights) {
  g_ptr_array_unref(weights->keys);
  g_ptr_array_unref(weights->tensors);
  g_hash_table_unref(weights->by_slot);
  g_free(weights);
}

const char *lcip_xml_weights_key(const LcipXmlWeights *weights, const LcipActor *actor, guint port,
                                 const char *attr) {
  g_autofree char *slot = slot_name(actor, port, attr);
  return g_hash_table_lookup(weights->by_slot, slot);
}

/* ---- text ---- */

static void append_escaped(GString *text, const char *raw, gboolean in_attribute) {
  g_autofree char *clean = lcip_io_clean_text(raw, -1);
  for (const char *p = clean; *p; p++) {
    if (*p == '&')
      g_string_append(text, "&amp;");
    else if (*p == '<')
      g_string_append(text, "&lt;");
    else if (*p == '>')
      g_string_append(text, "&gt;");
    else if (*p == '"' && in_attribute)
      g_string_append(text, "&quot;");
    else if (*p == '\r' || (in_attribute && (*p == '\n' || *p == '\t')))
      g_string_append_printf(text, "&#%d;", *p);
    else
      g_string_append_c(text, *p);
  }
}

static void attr_string(GString *text, const char *name, const char *value) {
  g_string_append_printf(text, " %s=\"", name);
  append_escaped(text, value, TRUE);
  g_string_append_c(text, '"');
}

static void attr_uint(GString *text, const char *name, guint value) {
  g_string_append_printf(text, " %s=\"%u\"", name, value);
}

/* The shorter of the two precisions that reads back as the same number. */
static void attr_double(GString *text, const char *name, double value) {
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];
  g_ascii_formatd(buffer, sizeof buffer, "%.15g", value);
  if (g_ascii_strtod(buffer, NULL) != value)
    g_ascii_formatd(buffer, sizeof buffer, "%.17g", value);
  attr_string(text, name, buffer);
}

/* ---- sections ---- */

static void write_spec(GString *text, const LcipTensorSpec *spec) {
  if (spec->type == LCIP_TYPE_NONE)
    return;
  attr_string(text, "type", lcip_type_name(spec->type));
  g_string_append(text, " shape=\"");
  for (int i = 0; i < spec->shape.rank; i++) {
    if (i)
      g_string_append_c(text, ' ');
    if (spec->shape.dims[i] < 0)
      g_string_append_c(text, '?');
    else
      g_string_append_printf(text, "%" G_GINT64_FORMAT, spec->shape.dims[i]);
  }
  g_string_append_c(text, '"');
}

static void write_port(GString *text, const char *element, const LcipGraphPort *port) {
  gboolean open = FALSE;
  g_string_append_printf(text, "    <%s", element);
  attr_string(text, "id", port->id);
  attr_string(text, "name", port->name ? port->name : "");
  write_spec(text, &port->spec);
  for (int i = 0; port->spec.type != LCIP_TYPE_NONE && i < port->spec.shape.rank; i++) {
    if (!port->dim_names[i])
      continue;
    g_string_append(text, open ? "\n      <dimension" : ">\n      <dimension");
    attr_uint(text, "index", (guint)i);
    attr_string(text, "name", port->dim_names[i]);
    g_string_append(text, "/>");
    open = TRUE;
  }
  if (open)
    g_string_append_printf(text, "\n    </%s>\n", element);
  else
    g_string_append(text, "/>\n");
}

static const char *const attr_types[] = {"int",    "float",   "string", "ints",
                                         "floats", "strings", "tensor"};

static void write_strings(GString *text, const LcipAttrValue *value) {
  for (guint i = 0; i < value->n; i++) {
    g_string_append(text, "\n        <item>");
    append_escaped(text, value->strings[i], FALSE);
    g_string_append(text, "</item>");
  }
  g_string_append(text, value->n ? "\n      </attribute>\n" : "</attribute>\n");
}

static void write_attr(GString *text, const LcipActor *actor, const char *name,
                       const LcipXmlWeights *weights) {
  const LcipAttrValue *value = lcip_attrs_get(actor->attrs, name);
  g_string_append(text, "      <attribute");
  attr_string(text, "name", name);
  attr_string(text, "type", attr_types[value->type]);
  if (value->type == LCIP_ATTR_TENSOR) {
    attr_string(text, "tensor", lcip_xml_weights_key(weights, actor, 0, name));
    g_string_append(text, "/>\n");
    return;
  }
  g_string_append_c(text, '>');
  if (value->type == LCIP_ATTR_STRINGS) {
    write_strings(text, value);
    return;
  }
  g_autofree char *plain = lcip_attrs_get_text(actor->attrs, name);
  append_escaped(text, plain, FALSE);
  g_string_append(text, "</attribute>\n");
}

static void write_constants(GString *text, const LcipActor *actor, const LcipXmlWeights *weights) {
  for (guint i = 0; i < actor->n_inputs; i++) {
    if (!actor->constants[i])
      continue;
    g_autofree char *port = lcip_operator_input_name(actor->op, i);
    g_string_append(text, "      <constant");
    attr_string(text, "port", port ? port : "");
    attr_string(text, "tensor", lcip_xml_weights_key(weights, actor, i, NULL));
    g_string_append(text, "/>\n");
  }
}

static void write_actor(GString *text, const LcipActor *actor, const LcipXmlWeights *weights) {
  guint n_attrs;
  g_autofree const char **names = lcip_attrs_names(actor->attrs, &n_attrs);
  g_string_append(text, "    <actor");
  attr_string(text, "id", actor->id);
  attr_string(text, "name", actor->name);
  attr_string(text, "domain", actor->domain);
  attr_string(text, "operator", actor->op_name);
  attr_uint(text, "inputs", actor->n_inputs);
  attr_uint(text, "outputs", actor->n_outputs);
  const gsize before = text->len;
  g_string_append(text, ">\n");
  const gsize empty = text->len;
  for (guint i = 0; i < n_attrs; i++)
    write_attr(text, actor, names[i], weights);
  write_constants(text, actor, weights);
  if (text->len == empty) {
    g_string_truncate(text, before);
    g_string_append(text, "/>\n");
  } else {
    g_string_append(text, "    </actor>\n");
  }
}

static void write_edge(GString *text, const LcipGraph *graph, const LcipEdge *edge) {
  g_string_append(text, "    <edge");
  if (edge->src_actor == LCIP_NO_ACTOR) {
    const LcipGraphPort *port = graph->inputs->pdata[edge->src_port];
    attr_string(text, "from", port->id);
  } else {
    const LcipActor *actor = graph->actors->pdata[edge->src_actor];
    g_autofree char *name = lcip_operator_output_name(actor->op, edge->src_port);
    attr_string(text, "from", actor->id);
    attr_string(text, "from-port", name ? name : "");
  }
  if (edge->dst_actor == LCIP_NO_ACTOR) {
    const LcipGraphPort *port = graph->outputs->pdata[edge->dst_port];
    attr_string(text, "to", port->id);
  } else {
    const LcipActor *actor = graph->actors->pdata[edge->dst_actor];
    g_autofree char *name = lcip_operator_input_name(actor->op, edge->dst_port);
    attr_string(text, "to", actor->id);
    attr_string(text, "to-port", name ? name : "");
  }
  if (edge->delay)
    attr_uint(text, "delay", edge->delay);
  g_string_append(text, "/>\n");
}

static void write_graph(GString *text, const LcipGraph *graph, const LcipXmlWeights *weights,
                        const char *weights_name, const char *weights_hash) {
  g_string_append(text, "  <graph");
  attr_string(text, "name", graph->name);
  attr_uint(text, "opset", (guint)MAX(graph->opset, 0));
  attr_uint(text, "source-opset", (guint)MAX(graph->source_opset, 0));
  if (weights_name) {
    attr_string(text, "weights", weights_name);
    attr_string(text, "sha256", weights_hash);
  }
  g_string_append(text, ">\n    <description>");
  append_escaped(text, graph->description ? graph->description : "", FALSE);
  g_string_append(text, "</description>\n");
  for (guint i = 0; i < graph->inputs->len; i++)
    write_port(text, "input", graph->inputs->pdata[i]);
  for (guint i = 0; i < graph->outputs->len; i++)
    write_port(text, "output", graph->outputs->pdata[i]);
  for (guint i = 0; i < graph->actors->len; i++)
    write_actor(text, graph->actors->pdata[i], weights);
  for (guint i = 0; i < graph->edges->len; i++)
    write_edge(text, graph, &g_array_index(graph->edges, LcipEdge, i));
  g_string_append(text, "  </graph>\n");
}

static void write_platform(GString *text, const LcipGraph *graph) {
  g_string_append(text, "  <platform>\n");
  for (guint i = 0; i < graph->lanes->len; i++) {
    const LcipLane *lane = graph->lanes->pdata[i];
    g_string_append(text, "    <lane");
    attr_string(text, "name", lane->name);
    attr_string(text, "kind", lcip_lane_kind_name(lane->kind));
    if (lane->threads)
      attr_uint(text, "threads", lane->threads);
    if (lane->device)
      attr_string(text, "device", lane->device);
    g_string_append(text, "/>\n");
  }
  g_string_append(text, "  </platform>\n");
}

/* Entries of @table in the order of the actors, so that equal graphs give equal bytes. */
static void write_per_actor(GString *text, const LcipGraph *graph, GHashTable *table,
                            const char *element, const char *attribute) {
  for (guint i = 0; i < graph->actors->len; i++) {
    const LcipActor *actor = graph->actors->pdata[i];
    const char *value = g_hash_table_lookup(table, actor->id);
    if (!value)
      continue;
    g_string_append_printf(text, "    <%s", element);
    attr_string(text, "actor", actor->id);
    attr_string(text, attribute, value);
    g_string_append(text, "/>\n");
  }
}

static void write_mapping(GString *text, const LcipGraph *graph, const LcipMapping *mapping) {
  g_string_append(text, "  <mapping");
  attr_string(text, "name", mapping->name);
  if (mapping == lcip_graph_find_mapping(graph, NULL))
    attr_string(text, "active", "true");
  g_string_append(text, ">\n");
  write_per_actor(text, graph, mapping->lanes, "assign", "lane");
  write_per_actor(text, graph, mapping->pins, "pin", "kernel");
  for (guint i = 0; i < graph->lanes->len; i++) {
    const LcipLane *lane = graph->lanes->pdata[i];
    const char *to = g_hash_table_lookup(mapping->fallbacks, lane->name);
    if (!to)
      continue;
    g_string_append(text, "    <fallback");
    attr_string(text, "lane", lane->name);
    attr_string(text, "to", to);
    g_string_append(text, "/>\n");
  }
  g_string_append(text, "  </mapping>\n");
}

static void write_layout(GString *text, const LcipGraph *graph) {
  g_string_append(text, "  <layout>\n");
  for (guint i = 0; i < graph->actors->len; i++) {
    const LcipActor *actor = graph->actors->pdata[i];
    const LcipPosition *position = g_hash_table_lookup(graph->layout, actor->id);
    if (!position)
      continue;
    g_string_append(text, "    <place");
    attr_string(text, "actor", actor->id);
    attr_double(text, "x", position->x);
    attr_double(text, "y", position->y);
    g_string_append(text, "/>\n");
  }
  g_string_append(text, "  </layout>\n");
}

static char *document_text(const LcipGraph *graph, const LcipXmlWeights *weights,
                           const char *weights_name, const char *weights_hash) {
  GString *text = g_string_new("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
  g_string_append_printf(text, "<lcip xmlns=\"%s\" version=\"%s\">\n", LCIP_XML_NAMESPACE,
                         LCIP_XML_VERSION);
  write_graph(text, graph, weights, weights_name, weights_hash);
  write_platform(text, graph);
  for (guint i = 0; i < graph->mappings->len; i++)
    write_mapping(text, graph, graph->mappings->pdata[i]);
  write_layout(text, graph);
  g_string_append(text, "</lcip>\n");
  return g_string_free(text, FALSE);
}

char *lcip_xml_to_string(const LcipGraph *graph, const char *weights_name,
                         const char *weights_hash) {
  g_autoptr(LcipXmlWeights) weights = lcip_xml_weights_new(graph);
  return document_text(graph, weights, weights_name, weights_hash);
}

/* ---- files ---- */

static char *weights_name_for(const char *path, const char *hash) {
  g_autofree char *base = g_path_get_basename(path);
  if (g_str_has_suffix(base, ".xml"))
    base[strlen(base) - 4] = 0;
  g_autofree char *clean = lcip_io_clean_text(base, -1);
  const gboolean plain = *base && *base != '.' && g_str_equal(base, clean) && !strchr(base, '\\');
  return g_strdup_printf("%s-%.16s.safetensors", plain ? base : "weights", hash);
}

/* A file of that name, size and hash needs no writing again. */
static gboolean already_there(const char *path, const LcipWeightsImage *image) {
  GStatBuf info;
  if (g_lstat(path, &info) != 0 || !S_ISREG(info.st_mode) ||
      (guint64)info.st_size != image->size_bytes)
    return FALSE;
  g_autoptr(GBytes) bytes = lcip_io_map(path, LCIP_IO_REFUSE_LINKS, NULL);
  return bytes && lcip_io_check_hash(path, bytes, image->sha256, LCIP_IO_HASH_ALWAYS, NULL);
}

/* @written: the file's path where it was not there already. */
static gboolean write_weights(const LcipXmlWeights *weights, const char *path, char **name,
                              char **hash, char **written, GError **error) {
  g_autoptr(LcipWeightsImage) image =
      lcip_weights_image_new(weights->keys->len, (const char *const *)weights->keys->pdata,
                             (LcipTensor *const *)weights->tensors->pdata, error);
  if (!image)
    return FALSE;
  g_autofree char *folder = g_path_get_dirname(path);
  *name = weights_name_for(path, image->sha256);
  *hash = g_strdup(image->sha256);
  g_autofree char *file = g_build_filename(folder, *name, NULL);
  if (already_there(file, image))
    return TRUE;
  gboolean is_new = !g_file_test(file, G_FILE_TEST_EXISTS);
  if (!lcip_io_write(file, image->chunks, image->n_chunks, error))
    return FALSE;
  *written = is_new ? g_steal_pointer(&file) : NULL;
  return TRUE;
}

/* Nothing is written that could not be opened again: graphs come from models that nobody here made.
 */
static gboolean check_readable(const LcipGraph *graph, const LcipXmlWeights *weights,
                               const char *path, GError **error) {
  g_autoptr(GHashTable) tensors = g_hash_table_new(g_str_hash, g_str_equal);
  g_autoptr(GError) refused = NULL;
  for (guint i = 0; i < weights->keys->len; i++)
    g_hash_table_insert(tensors, weights->keys->pdata[i], weights->tensors->pdata[i]);
  char *text = document_text(graph, weights, NULL, NULL);
  g_autoptr(GBytes) bytes = g_bytes_new_take(text, strlen(text));
  g_autoptr(LcipGraph) back = lcip_xml_read_memory(path, bytes, tensors, &refused);
  return back ||
         lcip_io_fail(error, LCIP_IO_ERROR_UNSUPPORTED,
                      "not saved, because it could not be opened again: %s", refused->message);
}

static gboolean check_complete(const LcipGraph *graph, const char *path, GError **error) {
  return !graph->incomplete ||
         lcip_io_fail(error, LCIP_IO_ERROR_UNSUPPORTED,
                      "%s: not saved, because it would not hold all of the model: %s", path,
                      graph->incomplete);
}

gboolean lcip_xml_write(const LcipGraph *graph, const char *path, GError **error) {
  if (!check_complete(graph, path, error))
    return FALSE;
  g_autoptr(LcipXmlWeights) weights = lcip_xml_weights_new(graph);
  if (!check_readable(graph, weights, path, error))
    return FALSE;
  g_autofree char *name = NULL, *hash = NULL, *written = NULL;
  if (weights->keys->len > 0 && !write_weights(weights, path, &name, &hash, &written, error))
    return FALSE;
  g_autofree char *text = document_text(graph, weights, name, hash);
  const LcipIoChunk chunk = {text, strlen(text)};
  if (lcip_io_write(path, &chunk, 1, error))
    return TRUE;
  /* Weights without their graph would lie about for ever. */
  if (written)
    g_unlink(written);
  return FALSE;
}
