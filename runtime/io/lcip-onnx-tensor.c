#include "config.h"
#include "lcip-onnx-private.h"

#include <stdlib.h>
#include <string.h>

/* ---- element types: TensorProto.DataType ---- */

static const struct {
  const char *name;
  LcipType type;
} elem_types[] = {
    [0] = {"undefined", LCIP_TYPE_NONE},  [1] = {"float", LCIP_TYPE_F32},
    [2] = {"uint8", LCIP_TYPE_U8},        [3] = {"int8", LCIP_TYPE_I8},
    [4] = {"uint16", LCIP_TYPE_U16},      [5] = {"int16", LCIP_TYPE_I16},
    [6] = {"int32", LCIP_TYPE_I32},       [7] = {"int64", LCIP_TYPE_I64},
    [8] = {"string", LCIP_TYPE_NONE},     [9] = {"bool", LCIP_TYPE_BOOL},
    [10] = {"float16", LCIP_TYPE_F16},    [11] = {"double", LCIP_TYPE_F64},
    [12] = {"uint32", LCIP_TYPE_U32},     [13] = {"uint64", LCIP_TYPE_U64},
    [14] = {"complex64", LCIP_TYPE_NONE}, [15] = {"complex128", LCIP_TYPE_NONE},
    [16] = {"bfloat16", LCIP_TYPE_BF16},
};

static LcipType stored_type(gint64 elem_type) {
  return elem_type >= 0 && elem_type < (gint64)G_N_ELEMENTS(elem_types) ? elem_types[elem_type].type
                                                                        : LCIP_TYPE_NONE;
}

static gboolean is_widened(LcipType type) {
  return type == LCIP_TYPE_F16 || type == LCIP_TYPE_BF16 || type == LCIP_TYPE_F64;
}

LcipType lcip_onnx_type(gint64 elem_type) {
  const LcipType type = stored_type(elem_type);
  return is_widened(type) ? LCIP_TYPE_F32 : type;
}

const char *lcip_onnx_type_name(gint64 elem_type) {
  return elem_type >= 0 && elem_type < (gint64)G_N_ELEMENTS(elem_types) ? elem_types[elem_type].name
                                                                        : "of a newer type";
}

/* ---- tensors ---- */

typedef struct {
  gsize offset;
  char *name;
  gint64 elem_type;
  GArray *dims;    /* gint64 */
  GArray *ints;    /* int32_data, int64_data, uint64_data */
  GArray *floats;  /* float_data */
  GArray *doubles; /* double_data */
  LcipOnnxWire raw;
  gboolean has_raw;
  gboolean is_external;
  char *location;
  guint64 external_offset, external_length;
  gboolean has_length;
} TensorProto;

static void tensor_proto_clear(TensorProto *proto) {
  g_free(proto->name);
  g_free(proto->location);
  g_array_unref(proto->dims);
  g_array_unref(proto->ints);
  g_array_unref(proto->floats);
  g_array_unref(proto->doubles);
}

static gboolean tensor_fail(const LcipOnnxModel *model, const TensorProto *proto,
                            LcipIoErrorCode code, GError **error, const char *expected,
                            const char *found) {
  return lcip_io_fail(error, code,
                      "%s: offset %" G_GSIZE_FORMAT ": tensor \"%s\": expected %s, found %s",
                      model->path, proto->offset, proto->name ? proto->name : "", expected, found);
}

static gboolean set_external(const LcipOnnxModel *model, TensorProto *proto, const char *key,
                             const char *value, GError **error) {
  if (g_str_equal(key, "location")) {
    g_free(proto->location);
    proto->location = g_strdup(value);
    return TRUE;
  }
  const gboolean is_length = g_str_equal(key, "length");
  if (!is_length && !g_str_equal(key, "offset"))
    return TRUE; /* "checksum" and what later versions add */
  guint64 *target = is_length ? &proto->external_length : &proto->external_offset;
  if (!g_ascii_string_to_unsigned(value, 10, 0, G_MAXINT64, target, NULL))
    return tensor_fail(model, proto, LCIP_IO_ERROR_FORMAT, error,
                       "whole numbers as offset and length of external data", value);
  proto->has_length |= is_length;
  return TRUE;
}

static gboolean parse_external(const LcipOnnxModel *model, TensorProto *proto,
                               const LcipOnnxField *entry, GError **error) {
  g_autofree char *key = g_strdup(""), *value = g_strdup("");
  LcipOnnxField field;
  GError *own = NULL;
  if (!lcip_onnx_expect(entry, LCIP_WIRE_BYTES, "external_data", error))
    return FALSE;
  LcipOnnxWire wire = entry->bytes;
  while (lcip_onnx_next(&wire, &field, &own)) {
    if ((field.number == 1 && !lcip_onnx_string(&field, "key", &key, error)) ||
        (field.number == 2 && !lcip_onnx_string(&field, "value", &value, error)))
      return FALSE;
  }
  if (own) {
    g_propagate_error(error, own);
    return FALSE;
  }
  return set_external(model, proto, key, value, error);
}

static gboolean parse_tensor_field(const LcipOnnxModel *model, TensorProto *proto,
                                   const LcipOnnxField *field, GError **error) {
  switch (field->number) {
  case 1:
    return lcip_onnx_ints(field, "dims", proto->dims, error);
  case 2:
    proto->elem_type = (gint64)field->value;
    return lcip_onnx_expect(field, LCIP_WIRE_VARINT, "data_type", error);
  case 4:
    return lcip_onnx_fixed(field, "float_data", 4, proto->floats, error);
  case 5:
  case 7:
  case 11:
    return lcip_onnx_ints(field, "integer data", proto->ints, error);
  case 8:
    return lcip_onnx_string(field, "name", &proto->name, error);
  case 9:
    proto->raw = field->bytes;
    proto->has_raw = TRUE;
    return lcip_onnx_expect(field, LCIP_WIRE_BYTES, "raw_data", error);
  case 10:
    return lcip_onnx_fixed(field, "double_data", 8, proto->doubles, error);
  case 13:
    return parse_external(model, proto, field, error);
  case 14:
    proto->is_external = field->value == 1;
    return lcip_onnx_expect(field, LCIP_WIRE_VARINT, "data_location", error);
  default:
    return TRUE;
  }
}

static gboolean proto_spec(const LcipOnnxModel *model, const TensorProto *proto,
                           LcipTensorSpec *spec, GError **error) {
  gsize bytes;
  if (proto->dims->len > LCIP_MAX_RANK)
    return tensor_fail(model, proto, LCIP_IO_ERROR_UNSUPPORTED, error, "at most 8 dimensions",
                       "more");
  *spec = lcip_tensor_spec(
      stored_type(proto->elem_type),
      lcip_shape_from_dims((int)proto->dims->len, (const gint64 *)(void *)proto->dims->data));
  g_autofree char *text = lcip_tensor_spec_to_string(spec);
  return lcip_tensor_spec_bytes(spec, &bytes) ||
         tensor_fail(model, proto, LCIP_IO_ERROR_SIZE, error, "a shape that can be stored", text);
}

static LcipTensor *size_error(const LcipOnnxModel *model, const TensorProto *proto,
                              const LcipTensorSpec *spec, gsize found_bytes, GError **error) {
  gsize bytes = 0;
  lcip_tensor_spec_bytes(spec, &bytes);
  g_autofree char *text = lcip_tensor_spec_to_string(spec);
  g_autofree char *expected = g_strdup_printf("%" G_GSIZE_FORMAT " bytes for %s", bytes, text);
  g_autofree char *found = g_strdup_printf("%" G_GSIZE_FORMAT, found_bytes);
  tensor_fail(model, proto, LCIP_IO_ERROR_SIZE, error, expected, found);
  return NULL;
}

/* @offset of @bytes holds the elements as they lie in memory: borrowed, or converted to f32. */
static LcipTensor *tensor_from_raw(LcipOnnxModel *model, const TensorProto *proto,
                                   const LcipTensorSpec *spec, GBytes *bytes, gsize offset,
                                   gsize size, GError **error) {
  gsize needed = 0;
  lcip_tensor_spec_bytes(spec, &needed);
  if (needed != size)
    return size_error(model, proto, spec, size, error);
  const guint8 *base = g_bytes_get_data(bytes, NULL); /* NULL where there are none */
  const guint8 *data = base ? base + offset : NULL;
  if (spec->type == LCIP_TYPE_BOOL && !lcip_io_bools_ok(data, size)) {
    tensor_fail(model, proto, LCIP_IO_ERROR_FORMAT, error, "bytes of 0 or 1", "others");
    return NULL;
  }
  LcipTensor *tensor;
  if (is_widened(spec->type)) {
    LcipTensorSpec wide = lcip_tensor_spec(LCIP_TYPE_F32, spec->shape);
    model->widened = TRUE;
    tensor = lcip_tensor_new(&wide);
    if (tensor)
      lcip_io_to_f32(spec->type, data, lcip_tensor_get_mutable(tensor),
                     (gsize)lcip_shape_count(&spec->shape));
  } else {
    tensor = lcip_io_tensor_from(spec, bytes, offset);
  }
  if (!tensor)
    tensor_fail(model, proto, LCIP_IO_ERROR_SIZE, error, "memory for it", "too little");
  return tensor;
}

/* Typed lists hold small integers, bools and the bits of f16 as varints: cut to their size. */
static guint8 *pack_ints(const GArray *ints, gsize size) {
  guint8 *packed = g_malloc0(ints->len * size + 1);
  for (guint i = 0; i < ints->len; i++) {
    const gint64 value = g_array_index(ints, gint64, i);
    memcpy(packed + i * size, &value, size);
  }
  return packed;
}

static LcipTensor *tensor_from_lists(LcipOnnxModel *model, const TensorProto *proto,
                                     const LcipTensorSpec *spec, GError **error) {
  const gsize size = lcip_type_size(spec->type);
  g_autoptr(GBytes) bytes = NULL;
  if (spec->type == LCIP_TYPE_F32)
    bytes = g_bytes_new(proto->floats->data, proto->floats->len * size);
  else if (spec->type == LCIP_TYPE_F64)
    bytes = g_bytes_new(proto->doubles->data, proto->doubles->len * size);
  else
    bytes = g_bytes_new_take(pack_ints(proto->ints, size), proto->ints->len * size);
  return tensor_from_raw(model, proto, spec, bytes, 0, g_bytes_get_size(bytes), error);
}

/* ---- external data: only files below the model's folder ---- */

static gboolean location_is_safe(const char *location) {
  if (!*location || g_path_is_absolute(location) || strchr(location, '\\'))
    return FALSE;
  g_auto(GStrv) parts = g_strsplit(location, "/", -1);
  return !g_strv_contains((const char *const *)parts, "..");
}

/* With every link resolved the file still has to lie below the folder. */
static char *resolve_below(const char *folder, const char *location) {
  g_autofree char *joined = g_build_filename(folder, location, NULL);
  char *real_folder = realpath(folder, NULL), *real_file = realpath(joined, NULL);
  char *result = NULL;
  if (real_folder && real_file) {
    g_autofree char *prefix = g_str_has_suffix(real_folder, "/")
                                  ? g_strdup(real_folder)
                                  : g_strconcat(real_folder, "/", NULL);
    if (g_str_has_prefix(real_file, prefix))
      result = g_strdup(real_file);
  }
  free(real_folder);
  free(real_file);
  return result;
}

static void missing_free(gpointer data) {
  LcipOnnxMissing *missing = data;
  g_free(missing->location);
  g_free(missing->why);
  g_ptr_array_unref(missing->names);
  g_free(missing);
}

GPtrArray *lcip_onnx_missing_new(void) {
  return g_ptr_array_new_with_free_func(missing_free);
}

static LcipOnnxMissing *find_missing(const LcipOnnxModel *model, const char *location) {
  for (guint i = 0; i < model->missing->len; i++) {
    LcipOnnxMissing *missing = model->missing->pdata[i];
    if (g_str_equal(missing->location, location))
      return missing;
  }
  return NULL;
}

/* The model stays readable without the tensor: what is wrong is told once for each file. */
static LcipTensor *note_missing(LcipOnnxModel *model, const TensorProto *proto, const char *why) {
  const char *location = proto->location ? proto->location : "";
  LcipOnnxMissing *missing = find_missing(model, location);
  if (!missing) {
    missing = g_new0(LcipOnnxMissing, 1);
    missing->location = g_strdup(location);
    missing->why = g_strdup(why);
    missing->names = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(model->missing, missing);
  }
  g_ptr_array_add(missing->names, g_strdup(proto->name ? proto->name : ""));
  return NULL;
}

/* NULL with @why (transfer full). */
static GBytes *open_external(LcipOnnxModel *model, const char *location, char **why) {
  GBytes *bytes = g_hash_table_lookup(model->external, location);
  g_autoptr(GError) error = NULL;
  if (bytes)
    return bytes;
  g_autofree char *file = NULL;
  if (location_is_safe(location))
    file = resolve_below(model->folder, location);
  if (!file) {
    *why = g_strdup("expected an existing file below the model's folder");
    return NULL;
  }
  bytes = lcip_io_map(file, LCIP_IO_REFUSE_LINKS, &error);
  if (bytes)
    g_hash_table_insert(model->external, g_strdup(location), bytes);
  else
    *why = g_strdup(error->message);
  return bytes;
}

static LcipTensor *tensor_from_external(LcipOnnxModel *model, const TensorProto *proto,
                                        const LcipTensorSpec *spec, GError **error) {
  g_autofree char *why = NULL;
  GBytes *bytes = open_external(model, proto->location ? proto->location : "", &why);
  if (!bytes)
    return note_missing(model, proto, why);
  const gsize available = g_bytes_get_size(bytes);
  gsize length = 0;
  if (proto->has_length)
    length = (gsize)proto->external_length;
  else
    lcip_tensor_spec_bytes(spec, &length);
  if (proto->external_offset <= available && length <= available - proto->external_offset)
    return tensor_from_raw(model, proto, spec, bytes, (gsize)proto->external_offset, length, error);
  why = g_strdup_printf("expected %" G_GSIZE_FORMAT " bytes at offset %" G_GUINT64_FORMAT
                        ", found a file of %" G_GSIZE_FORMAT,
                        length, proto->external_offset, available);
  return note_missing(model, proto, why);
}

static LcipTensor *make_tensor(LcipOnnxModel *model, const TensorProto *proto, GError **error) {
  LcipTensorSpec spec;
  if (!proto_spec(model, proto, &spec, error))
    return NULL;
  if (proto->is_external)
    return tensor_from_external(model, proto, &spec, error);
  if (proto->has_raw)
    return tensor_from_raw(model, proto, &spec, model->bytes, proto->raw.at,
                           proto->raw.end - proto->raw.at, error);
  return tensor_from_lists(model, proto, &spec, error);
}

gboolean lcip_onnx_tensor(LcipOnnxModel *model, const LcipOnnxField *whole, char **name,
                          LcipTensor **tensor, gint64 *elem_type, GError **error) {
  if (!lcip_onnx_expect(whole, LCIP_WIRE_BYTES, "a tensor", error))
    return FALSE;
  TensorProto proto = {.offset = whole->offset};
  proto.dims = g_array_new(FALSE, FALSE, sizeof(gint64));
  proto.ints = g_array_new(FALSE, FALSE, sizeof(gint64));
  proto.floats = g_array_new(FALSE, FALSE, sizeof(float));
  proto.doubles = g_array_new(FALSE, FALSE, sizeof(double));
  LcipOnnxWire wire = whole->bytes;
  LcipOnnxField field;
  GError *own = NULL;
  gboolean ok = TRUE;
  while (ok && lcip_onnx_next(&wire, &field, &own))
    ok = parse_tensor_field(model, &proto, &field, &own);
  *elem_type = proto.elem_type;
  if (!own && stored_type(proto.elem_type) != LCIP_TYPE_NONE)
    *tensor = make_tensor(model, &proto, &own); /* NULL without error: missing external data */
  *name = g_strdup(proto.name ? proto.name : "");
  tensor_proto_clear(&proto);
  if (own)
    g_propagate_error(error, own);
  return own == NULL;
}

/* A file of one TensorProto is the body of the message that models hold. */
LcipTensor *lcip_onnx_read_tensor(const char *path, GError **error) {
  g_autoptr(GBytes) bytes = lcip_io_map(path, LCIP_IO_FOLLOW_LINKS, error);
  if (!bytes)
    return NULL;
  gsize size;
  const guint8 *data = g_bytes_get_data(bytes, &size);
  g_autofree char *folder = g_path_get_dirname(path), *name = NULL;
  g_autoptr(GHashTable) external =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
  g_autoptr(GPtrArray) missing = lcip_onnx_missing_new();
  LcipOnnxModel model = {
      .path = path, .bytes = bytes, .folder = folder, .external = external, .missing = missing};
  const LcipOnnxField whole = {.type = LCIP_WIRE_BYTES, .bytes = {path, data, 0, size}};
  LcipTensor *tensor = NULL;
  gint64 elem_type = 0;
  if (!lcip_onnx_tensor(&model, &whole, &name, &tensor, &elem_type, error)) {
    g_clear_pointer(&tensor, lcip_tensor_unref);
    return NULL;
  }
  if (!tensor && missing->len > 0) {
    const LcipOnnxMissing *first = missing->pdata[0];
    lcip_io_fail(error, LCIP_IO_ERROR_PATH, "%s: external data in \"%.200s\": %s", path,
                 first->location, first->why);
  } else if (!tensor) {
    lcip_io_fail(error, LCIP_IO_ERROR_UNSUPPORTED, "%s: offset 0: LCIP has no tensors of type %s",
                 path, lcip_onnx_type_name(elem_type));
  }
  return tensor;
}
