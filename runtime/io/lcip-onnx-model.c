#include "config.h"
#include "lcip-onnx-private.h"

#include <string.h>

/* ---- nodes and attributes ---- */

static void attr_free(gpointer data) {
  LcipOnnxAttr *attr = data;
  g_free(attr->name);
  g_array_unref(attr->ints);
  g_array_unref(attr->floats);
  g_ptr_array_unref(attr->strings);
  g_clear_pointer(&attr->tensor, lcip_tensor_unref);
  g_free(attr);
}

static LcipOnnxAttr *attr_new(const char *name) {
  LcipOnnxAttr *attr = g_new0(LcipOnnxAttr, 1);
  attr->name = g_strdup(name);
  attr->ints = g_array_new(FALSE, FALSE, sizeof(gint64));
  attr->floats = g_array_new(FALSE, FALSE, sizeof(float));
  attr->strings = g_ptr_array_new_with_free_func(g_free);
  return attr;
}

LcipOnnxNode *lcip_onnx_node_new(const char *op_type) {
  LcipOnnxNode *node = g_new0(LcipOnnxNode, 1);
  node->op_type = g_strdup(op_type);
  node->name = g_strdup("");
  node->domain = g_strdup("");
  node->inputs = g_ptr_array_new_with_free_func(g_free);
  node->outputs = g_ptr_array_new_with_free_func(g_free);
  node->attrs = g_ptr_array_new_with_free_func(attr_free);
  return node;
}

void lcip_onnx_node_free(LcipOnnxNode *node) {
  g_free(node->op_type);
  g_free(node->name);
  g_free(node->domain);
  g_ptr_array_unref(node->inputs);
  g_ptr_array_unref(node->outputs);
  g_ptr_array_unref(node->attrs);
  g_free(node);
}

LcipOnnxAttr *lcip_onnx_node_attr(const LcipOnnxNode *node, const char *name) {
  for (guint i = 0; i < node->attrs->len; i++) {
    LcipOnnxAttr *attr = node->attrs->pdata[i];
    if (g_str_equal(attr->name, name))
      return attr;
  }
  return NULL;
}

void lcip_onnx_node_remove_attr(LcipOnnxNode *node, const char *name) {
  LcipOnnxAttr *attr = lcip_onnx_node_attr(node, name);
  if (attr)
    g_ptr_array_remove(node->attrs, attr);
}

void lcip_onnx_node_add_int(LcipOnnxNode *node, const char *name, gint64 value) {
  LcipOnnxAttr *attr = attr_new(name);
  attr->type = LCIP_ATTR_INT;
  g_array_append_val(attr->ints, value);
  g_ptr_array_add(node->attrs, attr);
}

void lcip_onnx_node_add_string(LcipOnnxNode *node, const char *name, const char *value) {
  LcipOnnxAttr *attr = attr_new(name);
  attr->type = LCIP_ATTR_STRING;
  g_ptr_array_add(attr->strings, g_strdup(value));
  g_ptr_array_add(node->attrs, attr);
}

/* ---- attributes ---- */

/** AttributeProto.AttributeType */
enum { AT_FLOAT = 1, AT_INT, AT_STRING, AT_TENSOR, AT_GRAPH, AT_FLOATS, AT_INTS, AT_STRINGS };

static gboolean append_string(LcipOnnxAttr *attr, const LcipOnnxField *field, GError **error) {
  char *text = NULL;
  if (!lcip_onnx_string(field, "a string", &text, error))
    return FALSE;
  g_ptr_array_add(attr->strings, text);
  return TRUE;
}

static gboolean parse_attr_tensor(LcipOnnxModel *model, LcipOnnxAttr *attr,
                                  const LcipOnnxField *field, GError **error) {
  g_autofree char *name = NULL;
  gint64 elem_type = 0;
  g_clear_pointer(&attr->tensor, lcip_tensor_unref);
  if (!lcip_onnx_tensor(model, field, &name, &attr->tensor, &elem_type, error))
    return FALSE;
  if (!attr->tensor)
    attr->unsupported = lcip_onnx_type(elem_type) == LCIP_TYPE_NONE ? lcip_onnx_type_name(elem_type)
                                                                    : "data that is missing";
  return TRUE;
}

static gboolean parse_attr_field(LcipOnnxModel *model, LcipOnnxAttr *attr, gint64 *type,
                                 const LcipOnnxField *field, GError **error) {
  switch (field->number) {
  case 1:
    return lcip_onnx_string(field, "name", &attr->name, error);
  case 2:
    *type = AT_FLOAT;
    return lcip_onnx_fixed(field, "f", 4, attr->floats, error);
  case 3:
    *type = AT_INT;
    return lcip_onnx_ints(field, "i", attr->ints, error);
  case 4:
    *type = AT_STRING;
    return append_string(attr, field, error);
  case 5:
    *type = AT_TENSOR;
    return parse_attr_tensor(model, attr, field, error);
  case 7:
    *type = AT_FLOATS;
    return lcip_onnx_fixed(field, "floats", 4, attr->floats, error);
  case 8:
    *type = AT_INTS;
    return lcip_onnx_ints(field, "ints", attr->ints, error);
  case 9:
    *type = AT_STRINGS;
    return append_string(attr, field, error);
  case 6:
  case 11:
    attr->unsupported = "a graph";
    return TRUE;
  case 10:
    attr->unsupported = "a list of tensors";
    return TRUE;
  case 21:
    attr->unsupported = "a reference into a function";
    return TRUE;
  case 22:
    attr->unsupported = "a sparse tensor";
    return TRUE;
  default:
    return TRUE;
  }
}

/* Gives the attribute its type and a value where the message left zero, "" or [] out. */
static void settle_attr(LcipOnnxAttr *attr, gint64 type) {
  static const LcipAttrType types[] = {
      [AT_FLOAT] = LCIP_ATTR_FLOAT,    [AT_INT] = LCIP_ATTR_INT,
      [AT_STRING] = LCIP_ATTR_STRING,  [AT_TENSOR] = LCIP_ATTR_TENSOR,
      [AT_FLOATS] = LCIP_ATTR_FLOATS,  [AT_INTS] = LCIP_ATTR_INTS,
      [AT_STRINGS] = LCIP_ATTR_STRINGS};
  const gint64 zero = 0;
  if (type <= 0 || type > AT_STRINGS || type == AT_GRAPH || (type == AT_TENSOR && !attr->tensor)) {
    if (!attr->unsupported)
      attr->unsupported = "no value";
    return;
  }
  attr->type = types[type];
  if (type == AT_FLOAT && attr->floats->len == 0)
    g_array_append_vals(attr->floats, &zero, 1);
  if (type == AT_INT && attr->ints->len == 0)
    g_array_append_vals(attr->ints, &zero, 1);
  if (type == AT_STRING && attr->strings->len == 0)
    g_ptr_array_add(attr->strings, g_strdup(""));
}

static gboolean parse_attr(LcipOnnxModel *model, LcipOnnxNode *node, const LcipOnnxField *whole,
                           GError **error) {
  if (!lcip_onnx_expect(whole, LCIP_WIRE_BYTES, "an attribute", error))
    return FALSE;
  LcipOnnxAttr *attr = attr_new("");
  LcipOnnxWire wire = whole->bytes;
  LcipOnnxField field;
  GError *own = NULL;
  gint64 guessed = 0, declared = 0;
  g_ptr_array_add(node->attrs, attr);
  while (lcip_onnx_next(&wire, &field, &own)) {
    if (field.number == 20) {
      declared = (gint64)field.value;
      if (!lcip_onnx_expect(&field, LCIP_WIRE_VARINT, "type", &own))
        break;
    } else if (!parse_attr_field(model, attr, &guessed, &field, &own)) {
      break;
    }
  }
  settle_attr(attr, declared ? declared : guessed);
  if (own)
    g_propagate_error(error, own);
  return own == NULL;
}

/* ---- nodes ---- */

static gboolean append_name(GPtrArray *names, const LcipOnnxField *field, GError **error) {
  char *text = NULL;
  if (!lcip_onnx_string(field, "a name", &text, error))
    return FALSE;
  g_ptr_array_add(names, text);
  return TRUE;
}

static gboolean parse_node_field(LcipOnnxModel *model, LcipOnnxNode *node,
                                 const LcipOnnxField *field, GError **error) {
  switch (field->number) {
  case 1:
    return append_name(node->inputs, field, error);
  case 2:
    return append_name(node->outputs, field, error);
  case 3:
    return lcip_onnx_string(field, "name", &node->name, error);
  case 4:
    return lcip_onnx_string(field, "op_type", &node->op_type, error);
  case 5:
    return parse_attr(model, node, field, error);
  case 7:
    return lcip_onnx_string(field, "domain", &node->domain, error);
  default:
    return TRUE;
  }
}

static gboolean node_fail(const LcipOnnxModel *model, const LcipOnnxNode *node, const char *what,
                          GError **error) {
  return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                      "%s: offset %" G_GSIZE_FORMAT ": node \"%s\": expected %s, found another",
                      model->path, node->offset, node->name, what);
}

static gboolean parse_node(LcipOnnxModel *model, const LcipOnnxField *whole, GError **error) {
  if (!lcip_onnx_expect(whole, LCIP_WIRE_BYTES, "a node", error))
    return FALSE;
  LcipOnnxNode *node = lcip_onnx_node_new("");
  LcipOnnxWire wire = whole->bytes;
  LcipOnnxField field;
  GError *own = NULL;
  node->offset = whole->offset;
  g_ptr_array_add(model->nodes, node);
  while (lcip_onnx_next(&wire, &field, &own))
    if (!parse_node_field(model, node, &field, &own))
      break;
  if (own) {
    g_propagate_error(error, own);
    return FALSE;
  }
  if (g_str_equal(node->domain, "ai.onnx"))
    node->domain[0] = 0;
  if (!*node->op_type)
    return node_fail(model, node, "an op_type", error);
  return (node->inputs->len <= LCIP_IO_MAX_PORTS && node->outputs->len <= LCIP_IO_MAX_PORTS) ||
         node_fail(model, node, "at most 1024 inputs and outputs", error);
}

/* ---- values: ValueInfoProto, TypeProto, TensorShapeProto ---- */

static void value_free(gpointer data) {
  LcipOnnxValue *value = data;
  g_free(value->name);
  for (int i = 0; i < LCIP_MAX_RANK; i++)
    g_free(value->dim_names[i]);
  g_free(value);
}

typedef gboolean (*FieldParser)(LcipOnnxValue *value, const LcipOnnxField *field, GError **error);

/* Calls @parse for every field of the message in @whole. */
static gboolean each_field(LcipOnnxValue *value, const LcipOnnxField *whole, const char *what,
                           FieldParser parse, GError **error) {
  LcipOnnxField field;
  GError *own = NULL;
  if (!lcip_onnx_expect(whole, LCIP_WIRE_BYTES, what, error))
    return FALSE;
  LcipOnnxWire wire = whole->bytes;
  while (lcip_onnx_next(&wire, &field, &own))
    if (!parse(value, &field, &own))
      break;
  if (own)
    g_propagate_error(error, own);
  return own == NULL;
}

static gboolean parse_dim(LcipOnnxValue *value, const LcipOnnxField *field, GError **error) {
  const int d = value->rank - 1;
  if (field->number == 1) {
    if (!lcip_onnx_expect(field, LCIP_WIRE_VARINT, "dim_value", error))
      return FALSE;
    if (d < LCIP_MAX_RANK)
      value->dims[d] =
          (gint64)field->value < 0 || (gint64)field->value > G_MAXINT32 ? -1 : (gint64)field->value;
    return (gint64)field->value <= G_MAXINT32 ||
           lcip_io_fail(error, LCIP_IO_ERROR_SIZE,
                        "%s: offset %" G_GSIZE_FORMAT
                        ": expected a dimension below 2147483648, found %" G_GUINT64_FORMAT,
                        field->bytes.path, field->offset, field->value);
  }
  if (field->number != 2)
    return TRUE;
  g_autofree char *name = NULL;
  if (!lcip_onnx_string(field, "dim_param", &name, error))
    return FALSE;
  if (d < LCIP_MAX_RANK && *name) {
    g_free(value->dim_names[d]);
    value->dim_names[d] = g_steal_pointer(&name);
  }
  return TRUE;
}

static gboolean parse_shape(LcipOnnxValue *value, const LcipOnnxField *field, GError **error) {
  if (field->number != 1)
    return TRUE;
  if (value->rank < LCIP_MAX_RANK)
    value->dims[value->rank] = -1;
  value->rank++;
  return each_field(value, field, "a dimension", parse_dim, error);
}

static gboolean parse_tensor_type(LcipOnnxValue *value, const LcipOnnxField *field,
                                  GError **error) {
  if (field->number == 1) {
    value->elem_type = (gint64)field->value;
    return lcip_onnx_expect(field, LCIP_WIRE_VARINT, "elem_type", error);
  }
  if (field->number != 2)
    return TRUE;
  value->rank = 0;
  return each_field(value, field, "a shape", parse_shape, error);
}

static gboolean parse_type(LcipOnnxValue *value, const LcipOnnxField *field, GError **error) {
  if (field->number == 1)
    return each_field(value, field, "a tensor type", parse_tensor_type, error);
  if (field->number != 6)
    value->not_tensor = TRUE;
  return TRUE;
}

static gboolean parse_value_field(LcipOnnxValue *value, const LcipOnnxField *field,
                                  GError **error) {
  if (field->number == 1)
    return lcip_onnx_string(field, "name", &value->name, error);
  if (field->number == 2)
    return each_field(value, field, "a type", parse_type, error);
  return TRUE;
}

static gboolean parse_value(LcipOnnxModel *model, GPtrArray *list, const LcipOnnxField *field,
                            GError **error) {
  LcipOnnxValue *value = g_new0(LcipOnnxValue, 1);
  value->name = g_strdup("");
  value->rank = -1;
  const gboolean ok = each_field(value, field, "a value", parse_value_field, error);
  if (ok && value->rank >= 0)
    g_hash_table_insert(model->values, g_strdup(value->name), GINT_TO_POINTER(value->rank + 1));
  if (ok && list)
    g_ptr_array_add(list, value);
  else
    value_free(value);
  return ok;
}

/* ---- graph and model ---- */

static gboolean parse_initializer(LcipOnnxModel *model, const LcipOnnxField *field,
                                  GError **error) {
  g_autofree char *name = NULL;
  LcipTensor *tensor = NULL;
  gint64 elem_type = 0;
  if (!lcip_onnx_tensor(model, field, &name, &tensor, &elem_type, error))
    return FALSE;
  if (!tensor && lcip_onnx_type(elem_type) == LCIP_TYPE_NONE)
    lcip_problems_add(model->problems, LCIP_PROBLEM_ERROR, NULL,
                      "initializer \"%s\": LCIP has no tensors of type %s", name,
                      lcip_onnx_type_name(elem_type));
  if (g_hash_table_contains(model->initializers, name)) {
    g_clear_pointer(&tensor, lcip_tensor_unref);
    return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                        "%s: offset %" G_GSIZE_FORMAT
                        ": expected initializers of different names, found \"%s\" again",
                        model->path, field->offset, name);
  }
  g_hash_table_insert(model->initializers, g_steal_pointer(&name), tensor);
  return TRUE;
}

static gboolean parse_graph_field(LcipOnnxModel *model, const LcipOnnxField *field,
                                  GError **error) {
  switch (field->number) {
  case 1:
    return parse_node(model, field, error);
  case 2:
    return lcip_onnx_string(field, "name", &model->graph_name, error);
  case 5:
    return parse_initializer(model, field, error);
  case 10:
    return lcip_onnx_string(field, "doc_string", &model->doc, error);
  case 11:
    return parse_value(model, model->inputs, field, error);
  case 12:
    return parse_value(model, model->outputs, field, error);
  case 13:
    return parse_value(model, NULL, field, error);
  case 15:
    lcip_problems_add(model->problems, LCIP_PROBLEM_ERROR, NULL,
                      "the model has sparse initializers, which LCIP does not read");
    return TRUE;
  default:
    return TRUE;
  }
}

static gboolean parse_graph(LcipOnnxModel *model, const LcipOnnxField *whole, GError **error) {
  LcipOnnxField field;
  GError *own = NULL;
  if (!lcip_onnx_expect(whole, LCIP_WIRE_BYTES, "the graph", error))
    return FALSE;
  LcipOnnxWire wire = whole->bytes;
  while (lcip_onnx_next(&wire, &field, &own))
    if (!parse_graph_field(model, &field, &own))
      break;
  if (own)
    g_propagate_error(error, own);
  return own == NULL;
}

static gboolean parse_opset(LcipOnnxModel *model, const LcipOnnxField *whole, GError **error) {
  g_autofree char *domain = g_strdup("");
  gint64 version = 0;
  LcipOnnxField field;
  GError *own = NULL;
  if (!lcip_onnx_expect(whole, LCIP_WIRE_BYTES, "an opset", error))
    return FALSE;
  LcipOnnxWire wire = whole->bytes;
  while (lcip_onnx_next(&wire, &field, &own)) {
    if (field.number == 1 && !lcip_onnx_string(&field, "domain", &domain, &own))
      break;
    if (field.number == 2 && !lcip_onnx_expect(&field, LCIP_WIRE_VARINT, "version", &own))
      break;
    if (field.number == 2)
      version = (gint64)field.value;
  }
  if (own) {
    g_propagate_error(error, own);
    return FALSE;
  }
  const gboolean is_default = !*domain || g_str_equal(domain, "ai.onnx");
  if (version < 1 || version > 1000)
    return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                        "%s: offset %" G_GSIZE_FORMAT
                        ": expected an opset version of 1 to 1000, found %" G_GINT64_FORMAT,
                        model->path, whole->offset, version);
  if (is_default)
    model->opset = (int)version;
  g_hash_table_insert(model->opsets, g_strdup(is_default ? "" : domain),
                      GINT_TO_POINTER((int)version));
  return TRUE;
}

static gboolean parse_model(LcipOnnxModel *model, LcipOnnxWire wire, GError **error) {
  LcipOnnxField field;
  GError *own = NULL;
  guint graphs = 0;
  gboolean ok = TRUE;
  while (ok && lcip_onnx_next(&wire, &field, &own)) {
    if (field.number == 1) {
      model->ir_version = (gint64)field.value;
      ok = lcip_onnx_expect(&field, LCIP_WIRE_VARINT, "ir_version", &own);
    } else if (field.number == 7) {
      graphs++;
      ok = parse_graph(model, &field, &own);
    } else if (field.number == 8) {
      ok = parse_opset(model, &field, &own);
    }
  }
  if (own) {
    g_propagate_error(error, own);
    return FALSE;
  }
  return graphs == 1 ||
         lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                      "%s: offset %" G_GSIZE_FORMAT ": expected a model with one graph, found %u",
                      model->path, wire.end, graphs);
}

static void report_missing(const LcipOnnxModel *model) {
  for (guint i = 0; i < model->missing->len; i++) {
    const LcipOnnxMissing *missing = model->missing->pdata[i];
    const guint n = missing->names->len;
    g_autofree char *more =
        n > 1 ? g_strdup_printf(" and of %u more tensors", n - 1) : g_strdup("");
    lcip_problems_add(model->problems, LCIP_PROBLEM_ERROR, NULL,
                      "external data in \"%.200s\": %s; it holds the data of \"%s\"%s. Put the "
                      "file that came with the model where the model says",
                      missing->location, missing->why, (const char *)missing->names->pdata[0],
                      more);
  }
}

static void tensor_unref_or_none(gpointer tensor) {
  if (tensor)
    lcip_tensor_unref(tensor);
}

LcipOnnxModel *lcip_onnx_model_new(const char *path, GBytes *bytes, GPtrArray *problems,
                                   GError **error) {
  g_autoptr(LcipOnnxModel) model = g_new0(LcipOnnxModel, 1);
  gsize size;
  const guint8 *data = g_bytes_get_data(bytes, &size);
  model->path = path;
  model->bytes = g_bytes_ref(bytes);
  model->folder = g_path_get_dirname(path);
  model->problems = problems;
  model->opset = 1; /* models before IR version 3 name none */
  model->graph_name = g_strdup("");
  model->doc = g_strdup("");
  model->external =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
  model->missing = lcip_onnx_missing_new();
  model->opsets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  model->values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  model->initializers =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, tensor_unref_or_none);
  model->nodes = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_onnx_node_free);
  model->inputs = g_ptr_array_new_with_free_func(value_free);
  model->outputs = g_ptr_array_new_with_free_func(value_free);
  const LcipOnnxWire wire = {path, data, 0, size};
  if (!parse_model(model, wire, error))
    return NULL;
  report_missing(model);
  return g_steal_pointer(&model);
}

void lcip_onnx_model_free(LcipOnnxModel *model) {
  g_bytes_unref(model->bytes);
  g_free(model->folder);
  g_free(model->graph_name);
  g_free(model->doc);
  g_hash_table_unref(model->external);
  g_ptr_array_unref(model->missing);
  g_hash_table_unref(model->opsets);
  g_hash_table_unref(model->values);
  g_hash_table_unref(model->initializers);
  g_ptr_array_unref(model->nodes);
  g_ptr_array_unref(model->inputs);
  g_ptr_array_unref(model->outputs);
  g_free(model);
}
