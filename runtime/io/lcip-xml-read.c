#include "config.h"
#include "lcip-xml-read-private.h"

#include <string.h>

/* ---- weights ---- */

static gboolean is_plain_name(const char *name) {
  return *name && *name != '.' && !strpbrk(name, "/\\") && g_str_has_suffix(name, ".safetensors");
}

static gboolean is_sha256(const char *text) {
  return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static gboolean open_weights(LcipXmlReader *reader, const LcipXmlElement *element) {
  const char *name = lcip_xml_element_attr(element, "weights");
  const char *hash = lcip_xml_element_attr(element, "sha256");
  if (!name && !hash)
    return TRUE;
  if (reader->given)
    return ELEMENT_FAIL(reader, element, "expected no weights file, found one");
  if (!name || !hash)
    return ELEMENT_FAIL(reader, element, "expected weights and sha256 together, found only %s",
                        name ? "weights" : "sha256");
  if (!is_plain_name(name))
    return lcip_xml_fail(reader, element, LCIP_IO_ERROR_PATH,
                         "weights: expected a file beside the document, NAME.safetensors, found "
                         "\"%.80s\"",
                         name);
  if (!is_sha256(hash))
    return ELEMENT_FAIL(reader, element, "sha256: expected 64 hexadecimal digits, found \"%.80s\"",
                        hash);
  g_autofree char *folder = g_path_get_dirname(reader->path);
  g_autofree char *file = g_build_filename(folder, name, NULL);
  g_autoptr(GBytes) bytes = lcip_io_map(file, LCIP_IO_REFUSE_LINKS, reader->error);
  if (bytes && lcip_io_check_hash(file, bytes, hash, reader->hash_mode, reader->error))
    reader->weights = lcip_weights_open_bytes(file, bytes, reader->error);
  if (!reader->weights)
    g_prefix_error(reader->error, "%s:%d: <graph>: weights: ", reader->path, element->line);
  return reader->weights != NULL;
}

/* Borrowed; several inputs may share one tensor. */
static LcipTensor *need_tensor(LcipXmlReader *reader, const LcipXmlElement *element) {
  const char *key = lcip_xml_need_text(reader, element, "tensor");
  if (!key)
    return NULL;
  LcipTensor *tensor = g_hash_table_lookup(reader->tensors, key);
  if (tensor)
    return tensor;
  if (reader->given) {
    tensor = g_hash_table_lookup(reader->given, key);
    if (!tensor)
      ELEMENT_FAIL(reader, element, "tensor: expected one that came along, found \"%.80s\"", key);
    return tensor;
  }
  if (!reader->weights) {
    ELEMENT_FAIL(reader, element, "tensor: expected the graph to name a weights file, found none");
    return NULL;
  }
  tensor = lcip_weights_get(reader->weights, key, reader->error);
  if (tensor)
    g_hash_table_insert(reader->tensors, g_strdup(key), tensor);
  else
    g_prefix_error(reader->error, "%s:%d: <%s>: tensor: ", reader->path, element->line,
                   element->name);
  return tensor;
}

/* ---- inputs and outputs ---- */

static gboolean parse_shape(const LcipXmlReader *reader, const LcipXmlElement *element,
                            const char *text, LcipShape *shape) {
  g_auto(GStrv) words = g_strsplit_set(text, " \t\r\n", -1);
  for (char **word = words; *word; word++) {
    guint64 dim = 0;
    if (!**word)
      continue;
    if (shape->rank == LCIP_MAX_RANK)
      return ELEMENT_FAIL(reader, element, "shape: expected at most %d dimensions, found \"%.80s\"",
                          LCIP_MAX_RANK, text);
    const gboolean unknown = g_str_equal(*word, "?");
    if (!unknown && !lcip_xml_parse_uint(reader, element, "shape", *word, G_MAXINT32, &dim))
      return FALSE;
    shape->dims[shape->rank++] = unknown ? -1 : (gint64)dim;
  }
  return TRUE;
}

static gboolean parse_spec(const LcipXmlReader *reader, const LcipXmlElement *element,
                           LcipTensorSpec *spec) {
  const char *type = lcip_xml_element_attr(element, "type");
  const char *shape = lcip_xml_element_attr(element, "shape");
  *spec = (LcipTensorSpec){0};
  if (!type && !shape && g_str_equal(element->name, "output"))
    return TRUE;
  if (!type || !shape)
    return ELEMENT_FAIL(reader, element, "expected type and shape, found %s",
                        type    ? "only type"
                        : shape ? "only shape"
                                : "neither");
  spec->type = lcip_type_from_name(type);
  if (spec->type == LCIP_TYPE_NONE)
    return ELEMENT_FAIL(reader, element, "type: expected a type such as f32, found \"%.40s\"",
                        type);
  return parse_shape(reader, element, shape, &spec->shape);
}

static gboolean read_dimension(const LcipXmlReader *reader, const LcipXmlElement *element,
                               LcipGraphPort *port) {
  static const char *const attrs[] = {"index", "name", NULL};
  guint index;
  if (!g_str_equal(element->name, "dimension"))
    return ELEMENT_FAIL(reader, element, "expected <dimension>, found <%s>", element->name);
  const char *name = lcip_xml_need_text(reader, element, "name");
  if (!name || !lcip_xml_is_leaf(reader, element, attrs) ||
      !lcip_xml_need_uint(reader, element, "index", LCIP_MAX_RANK - 1, &index))
    return FALSE;
  if (port->spec.type == LCIP_TYPE_NONE || (int)index >= port->spec.shape.rank)
    return ELEMENT_FAIL(reader, element, "index: expected a dimension of the shape, found %u",
                        index);
  if (port->dim_names[index])
    return ELEMENT_FAIL(reader, element, "index: expected each dimension once, found %u again",
                        index);
  port->dim_names[index] = g_strdup(name);
  return TRUE;
}

static gboolean read_port(LcipXmlReader *reader, const LcipXmlElement *element) {
  static const char *const attrs[] = {"id", "name", "type", "shape", NULL};
  const gboolean is_input = g_str_equal(element->name, "input");
  GPtrArray *ports = is_input ? reader->graph->inputs : reader->graph->outputs;
  LcipTensorSpec spec;
  const char *name = lcip_xml_need(reader, element, "name");
  if (!name || !lcip_xml_only_attrs(reader, element, attrs) || !lcip_xml_no_text(reader, element) ||
      !parse_spec(reader, element, &spec))
    return FALSE;
  const char *id =
      lcip_xml_new_id(reader, element, is_input ? LCIP_XML_INPUT : LCIP_XML_OUTPUT, ports->len);
  if (!id)
    return FALSE;
  if (is_input)
    lcip_graph_add_input(reader->graph, id, name, spec);
  else
    lcip_graph_add_output(reader->graph, id, name, spec);
  LcipGraphPort *port = ports->pdata[ports->len - 1];
  for (guint i = 0; i < element->children->len; i++)
    if (!read_dimension(reader, element->children->pdata[i], port))
      return FALSE;
  return TRUE;
}

/* ---- actors ---- */

static gboolean attr_type_from_name(const char *name, LcipAttrType *type) {
  static const char *const names[] = {"int",    "float",   "string", "ints",
                                      "floats", "strings", "tensor", NULL};
  for (guint i = 0; names[i]; i++)
    if (g_str_equal(names[i], name)) {
      *type = (LcipAttrType)i;
      return TRUE;
    }
  return FALSE;
}

static gboolean set_strings(LcipXmlReader *reader, const LcipXmlElement *element, LcipAttrs *attrs,
                            const char *name, GError **error) {
  static const char *const none[] = {NULL};
  g_autoptr(GPtrArray) items = g_ptr_array_new();
  for (guint i = 0; i < element->children->len; i++) {
    const LcipXmlElement *item = element->children->pdata[i];
    if (!g_str_equal(item->name, "item"))
      return ELEMENT_FAIL(reader, item, "expected <item>, found <%s>", item->name);
    if (!lcip_xml_only_attrs(reader, item, none) || !lcip_xml_no_children(reader, item))
      return FALSE;
    g_ptr_array_add(items, item->text->str);
  }
  return lcip_xml_no_text(reader, element) &&
         lcip_attrs_set_strings(attrs, name, LCIP_ATTR_STRINGS, items->len,
                                (const char *const *)items->pdata, error);
}

static gboolean set_tensor(LcipXmlReader *reader, const LcipXmlElement *element, LcipAttrs *attrs,
                           const char *name, GError **error) {
  LcipTensor *tensor = need_tensor(reader, element);
  return tensor && lcip_xml_no_children(reader, element) && lcip_xml_no_text(reader, element) &&
         lcip_attrs_set_tensor(attrs, name, tensor, error);
}

static gboolean set_attr(LcipXmlReader *reader, const LcipXmlElement *element, LcipAttrs *attrs,
                         const char *name, LcipAttrType type, GError **error) {
  if (type == LCIP_ATTR_STRINGS)
    return set_strings(reader, element, attrs, name, error);
  if (type == LCIP_ATTR_TENSOR)
    return set_tensor(reader, element, attrs, name, error);
  return lcip_xml_no_children(reader, element) &&
         lcip_attrs_set_text(attrs, name, type, element->text->str, error);
}

static gboolean read_attribute(LcipXmlReader *reader, const LcipXmlElement *element,
                               LcipActor *actor) {
  static const char *const plain[] = {"name", "type", NULL};
  static const char *const tensor[] = {"name", "type", "tensor", NULL};
  const char *name = lcip_xml_need_text(reader, element, "name");
  const char *type_name = name ? lcip_xml_need(reader, element, "type") : NULL;
  LcipAttrType type;
  if (!type_name)
    return FALSE;
  if (!attr_type_from_name(type_name, &type))
    return ELEMENT_FAIL(reader, element,
                        "type: expected int, float, string, ints, floats, strings or tensor, "
                        "found \"%.40s\"",
                        type_name);
  if (!lcip_xml_only_attrs(reader, element, type == LCIP_ATTR_TENSOR ? tensor : plain))
    return FALSE;
  guint n;
  g_autofree const char **names = lcip_attrs_names(actor->attrs, &n);
  for (guint i = 0; i < n; i++)
    if (g_str_equal(names[i], name))
      return ELEMENT_FAIL(reader, element, "expected each attribute once, found \"%s\" again",
                          name);
  g_autoptr(GError) refused = NULL;
  if (set_attr(reader, element, actor->attrs, name, type, &refused))
    return TRUE;
  /* Without a reason of the operator's table the reader has reported the error already. */
  return refused ? ELEMENT_FAIL(reader, element, "%s", refused->message) : FALSE;
}

/* Ports go by their operator's names. "input.2" and "output.0" are understood too: so does a file
 * name them that was written where the operator was not known. */
static int port_index(const LcipActor *actor, const char *name, gboolean is_input) {
  int (*find)(const LcipOperator *, const char *) =
      is_input ? lcip_operator_find_input : lcip_operator_find_output;
  const int found = find(actor->op, name);
  return found >= 0 ? found : find(NULL, name);
}

static gboolean find_port(const LcipXmlReader *reader, const LcipXmlElement *element,
                          const char *attr, const LcipActor *actor, gboolean is_input,
                          guint *port) {
  const char *name = lcip_xml_need_text(reader, element, attr);
  if (!name)
    return FALSE;
  const int found = port_index(actor, name, is_input);
  const guint n = is_input ? actor->n_inputs : actor->n_outputs;
  *port = (guint)found;
  return (found >= 0 && *port < n) ||
         ELEMENT_FAIL(reader, element, "%s: expected one of the %u %s of %s, found \"%.80s\"", attr,
                      n, is_input ? "inputs" : "outputs", actor->id, name);
}

static gboolean feed(LcipXmlReader *reader, const LcipXmlElement *element, const char *id,
                     guint port) {
  return g_hash_table_add(reader->fed, g_strdup_printf("%s %u", id, port)) ||
         ELEMENT_FAIL(reader, element,
                      "expected one edge or constant into each port, found another into %s", id);
}

static gboolean read_constant(LcipXmlReader *reader, const LcipXmlElement *element,
                              LcipActor *actor) {
  static const char *const attrs[] = {"port", "tensor", NULL};
  guint port;
  if (!lcip_xml_is_leaf(reader, element, attrs) ||
      !find_port(reader, element, "port", actor, TRUE, &port) ||
      !feed(reader, element, actor->id, port))
    return FALSE;
  LcipTensor *tensor = need_tensor(reader, element);
  if (tensor)
    lcip_actor_set_constant(actor, port, tensor, lcip_xml_element_attr(element, "tensor"));
  return tensor != NULL;
}

/* How many ports of a kind an actor of a known operator may have. */
static gboolean check_count(const LcipXmlReader *reader, const LcipXmlElement *element,
                            const char *what, const LcipPortDef *ports, guint n, guint found) {
  const gboolean variadic = n > 0 && (ports[n - 1].flags & LCIP_PORT_VARIADIC);
  return found <= n || variadic ||
         ELEMENT_FAIL(reader, element, "%s: expected at most %u, found %u", what, n, found);
}

static gboolean check_counts(const LcipXmlReader *reader, const LcipXmlElement *element,
                             const LcipActor *actor) {
  const LcipOperator *op = actor->op;
  return !op ||
         (check_count(reader, element, "inputs", op->inputs, op->n_inputs, actor->n_inputs) &&
          check_count(reader, element, "outputs", op->outputs, op->n_outputs, actor->n_outputs));
}

static gboolean read_actor_parts(LcipXmlReader *reader, const LcipXmlElement *element,
                                 LcipActor *actor) {
  gboolean constants = FALSE;
  for (guint i = 0; i < element->children->len; i++) {
    const LcipXmlElement *child = element->children->pdata[i];
    const gboolean is_attr = g_str_equal(child->name, "attribute") && !constants;
    if (!is_attr && !g_str_equal(child->name, "constant"))
      return ELEMENT_FAIL(reader, child, "expected <attribute>, then <constant>, found <%s>",
                          child->name);
    constants = !is_attr;
    if (!(is_attr ? read_attribute(reader, child, actor) : read_constant(reader, child, actor)))
      return FALSE;
  }
  return TRUE;
}

static gboolean read_actor(LcipXmlReader *reader, const LcipXmlElement *element) {
  static const char *const attrs[] = {"id",     "name",    "domain", "operator",
                                      "inputs", "outputs", NULL};
  guint n_inputs, n_outputs;
  const char *name = lcip_xml_need(reader, element, "name");
  const char *domain = name ? lcip_xml_need(reader, element, "domain") : NULL;
  const char *op = domain ? lcip_xml_need_text(reader, element, "operator") : NULL;
  if (!op || !lcip_xml_only_attrs(reader, element, attrs) || !lcip_xml_no_text(reader, element) ||
      !lcip_xml_need_uint(reader, element, "inputs", LCIP_IO_MAX_PORTS, &n_inputs) ||
      !lcip_xml_need_uint(reader, element, "outputs", LCIP_IO_MAX_PORTS, &n_outputs))
    return FALSE;
  const char *id = lcip_xml_new_id(reader, element, LCIP_XML_ACTOR, reader->graph->actors->len);
  if (!id)
    return FALSE;
  g_autoptr(LcipActor) actor = lcip_actor_new(id, name, domain, op, n_inputs, n_outputs);
  if (!check_counts(reader, element, actor) || !read_actor_parts(reader, element, actor))
    return FALSE;
  lcip_graph_add_actor(reader->graph, g_steal_pointer(&actor));
  return TRUE;
}

/* ---- edges ---- */

static gboolean no_port(const LcipXmlReader *reader, const LcipXmlElement *element,
                        const char *attr) {
  return !lcip_xml_element_attr(element, attr) ||
         ELEMENT_FAIL(reader, element, "expected no %s with a graph's input or output, found one",
                      attr);
}

static gboolean read_source(const LcipXmlReader *reader, const LcipXmlElement *element,
                            LcipEdge *edge) {
  LcipXmlIdKind kind;
  guint index;
  if (!lcip_xml_find_id(reader, element, "from", &kind, &index))
    return FALSE;
  if (kind == LCIP_XML_OUTPUT)
    return ELEMENT_FAIL(reader, element, "from: expected an actor or an input, found an output");
  edge->src_actor = kind == LCIP_XML_ACTOR ? (int)index : LCIP_NO_ACTOR;
  edge->src_port = index;
  if (kind == LCIP_XML_INPUT)
    return no_port(reader, element, "from-port");
  return find_port(reader, element, "from-port", reader->graph->actors->pdata[index], FALSE,
                   &edge->src_port);
}

static gboolean read_target(LcipXmlReader *reader, const LcipXmlElement *element, LcipEdge *edge) {
  LcipXmlIdKind kind;
  guint index;
  if (!lcip_xml_find_id(reader, element, "to", &kind, &index))
    return FALSE;
  if (kind == LCIP_XML_INPUT)
    return ELEMENT_FAIL(reader, element, "to: expected an actor or an output, found an input");
  edge->dst_actor = kind == LCIP_XML_ACTOR ? (int)index : LCIP_NO_ACTOR;
  edge->dst_port = index;
  const gboolean ok = kind == LCIP_XML_OUTPUT
                          ? no_port(reader, element, "to-port")
                          : find_port(reader, element, "to-port",
                                      reader->graph->actors->pdata[index], TRUE, &edge->dst_port);
  return ok && feed(reader, element, lcip_xml_element_attr(element, "to"), edge->dst_port);
}

static gboolean read_edge(LcipXmlReader *reader, const LcipXmlElement *element) {
  static const char *const attrs[] = {"from", "from-port", "to", "to-port", "delay", NULL};
  LcipEdge edge = {0};
  if (!lcip_xml_is_leaf(reader, element, attrs) || !read_source(reader, element, &edge) ||
      !read_target(reader, element, &edge) ||
      !lcip_xml_optional_uint(reader, element, "delay", 65535, &edge.delay))
    return FALSE;
  lcip_graph_add_edge(reader->graph, edge);
  return TRUE;
}

/* ---- sections ---- */

static gboolean read_description(LcipXmlReader *reader, const LcipXmlElement *element) {
  static const char *const none[] = {NULL};
  if (!lcip_xml_only_attrs(reader, element, none) || !lcip_xml_no_children(reader, element))
    return FALSE;
  g_free(reader->graph->description);
  reader->graph->description = g_strdup(element->text->str);
  return TRUE;
}

static gboolean read_graph(LcipXmlReader *reader, const LcipXmlElement *element) {
  static const char *const attrs[] = {"name", "opset", "source-opset", "weights", "sha256", NULL};
  static const LcipXmlPart parts[] = {{"description", read_description},
                                      {"input", read_port},
                                      {"output", read_port},
                                      {"actor", read_actor},
                                      {"edge", read_edge}};
  guint opset, source_opset;
  const char *name = lcip_xml_need(reader, element, "name");
  if (!name || !lcip_xml_only_attrs(reader, element, attrs) ||
      !lcip_xml_need_uint(reader, element, "opset", 1000, &opset) ||
      !lcip_xml_need_uint(reader, element, "source-opset", 1000, &source_opset))
    return FALSE;
  const guint n = element->children->len;
  for (guint i = 0; i < n && i < 2; i++) {
    const LcipXmlElement *child = element->children->pdata[i];
    if (g_str_equal(child->name, "description") != (i == 0))
      return ELEMENT_FAIL(reader, child, "expected one <description> first, found <%s>",
                          child->name);
  }
  if (n == 0)
    return ELEMENT_FAIL(reader, element, "expected <description>, found nothing");
  g_free(reader->graph->name);
  reader->graph->name = g_strdup(name);
  reader->graph->opset = (int)opset;
  reader->graph->source_opset = (int)source_opset;
  return open_weights(reader, element) &&
         lcip_xml_read_parts(reader, element, parts, G_N_ELEMENTS(parts));
}

/* ---- the document ---- */

/* graph, platform, any number of mappings, layout: each but the mappings exactly once. */
static gboolean check_sections(const LcipXmlReader *reader, const LcipXmlElement *root) {
  static const char *const order[] = {"graph", "platform", "layout"};
  const guint n = root->children->len;
  for (guint i = 0; i < n; i++) {
    const LcipXmlElement *child = root->children->pdata[i];
    const char *expected = i < 2 ? order[i] : i + 1 == n ? order[2] : "mapping";
    if (!g_str_equal(child->name, expected))
      return ELEMENT_FAIL(reader, child, "expected <%s>, found <%s>", expected, child->name);
  }
  return n >= 3 || ELEMENT_FAIL(reader, root,
                                "expected <graph>, <platform>, <mapping>s and <layout>, found %u "
                                "of them",
                                n);
}

static gboolean read_document(LcipXmlReader *reader, const LcipXmlElement *root) {
  static const char *const attrs[] = {"version", NULL};
  static const LcipXmlPart parts[] = {{"graph", read_graph},
                                      {"platform", lcip_xml_read_platform},
                                      {"mapping", lcip_xml_read_mapping},
                                      {"layout", lcip_xml_read_layout}};
  if (!g_str_equal(root->name, "lcip"))
    return ELEMENT_FAIL(reader, root, "expected <lcip>, found <%s>", root->name);
  const char *version = lcip_xml_need(reader, root, "version");
  if (!version)
    return FALSE;
  if (!g_str_equal(version, LCIP_XML_VERSION))
    return lcip_xml_fail(reader, root, LCIP_IO_ERROR_UNSUPPORTED,
                         "version: expected " LCIP_XML_VERSION ", found \"%.40s\"", version);
  return lcip_xml_only_attrs(reader, root, attrs) && check_sections(reader, root) &&
         lcip_xml_read_parts(reader, root, parts, G_N_ELEMENTS(parts));
}

static LcipGraph *read_tree(const char *path, const LcipXmlElement *root, LcipIoHashMode hash_mode,
                            GHashTable *given, GError **error) {
  LcipXmlReader reader = {.path = path,
                          .hash_mode = hash_mode,
                          .graph = lcip_graph_new(),
                          .given = given,
                          .error = error};
  reader.ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  reader.fed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  reader.tensors =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)lcip_tensor_unref);
  const gboolean ok = read_document(&reader, root);
  g_hash_table_unref(reader.ids);
  g_hash_table_unref(reader.fed);
  g_hash_table_unref(reader.tensors);
  g_clear_pointer(&reader.weights, lcip_weights_unref);
  if (!ok)
    g_clear_pointer(&reader.graph, lcip_graph_unref);
  return reader.graph;
}

static LcipGraph *read_bytes(const char *path, GBytes *bytes, LcipIoHashMode hash_mode,
                             GHashTable *given, GError **error) {
  g_autoptr(LcipXmlElement) root = lcip_xml_parse(path, bytes, error);
  LcipGraph *graph = root ? read_tree(path, root, hash_mode, given, error) : NULL;
  if (graph)
    lcip_graph_ensure_defaults(graph);
  return graph;
}

static LcipGraph *read_file(const char *path, LcipIoHashMode hash_mode, GError **error) {
  g_autoptr(GError) own = NULL;
  g_autoptr(GBytes) bytes = lcip_io_map(path, LCIP_IO_FOLLOW_LINKS, &own);
  LcipGraph *graph = bytes ? read_bytes(path, bytes, hash_mode, NULL, &own) : NULL;
  if (!graph)
    g_propagate_error(error, g_steal_pointer(&own));
  return graph;
}

LcipGraph *lcip_xml_read_memory(const char *name, GBytes *bytes, GHashTable *tensors,
                                GError **error) {
  g_autoptr(GError) own = NULL;
  LcipGraph *graph = read_bytes(name, bytes, LCIP_IO_HASH_ALWAYS, tensors, &own);
  if (!graph)
    g_propagate_error(error, g_steal_pointer(&own));
  return graph;
}

LcipGraph *lcip_xml_read(const char *path, GError **error) {
  return read_file(path, LCIP_IO_HASH_CACHED, error);
}

gboolean lcip_xml_validate(const char *path, GError **error) {
  g_autoptr(LcipGraph) graph = read_file(path, LCIP_IO_HASH_ALWAYS, error);
  return graph != NULL;
}
