#include "config.h"
#include "lcip-io-private.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* safetensors: 8 bytes little-endian length of the header, the header (JSON, padded with blanks),
 * then the tensors' bytes without holes. https://github.com/huggingface/safetensors, "Format". */

#define HEADER_MAX_BYTES (100 * 1000 * 1000)
#define HEADER_MAX_DEPTH 4

typedef struct {
  LcipTensorSpec spec;
  gsize begin, end; /* in the file */
  const char *key;
} Entry;

struct _LcipWeights {
  gatomicrefcount refs;
  char *path;
  GBytes *bytes;
  GHashTable *entries; /* key -> Entry */
};

static const char *const dtypes[LCIP_N_TYPES] = {
    [LCIP_TYPE_F32] = "F32",   [LCIP_TYPE_F16] = "F16", [LCIP_TYPE_BF16] = "BF16",
    [LCIP_TYPE_F64] = "F64",   [LCIP_TYPE_I8] = "I8",   [LCIP_TYPE_U8] = "U8",
    [LCIP_TYPE_I16] = "I16",   [LCIP_TYPE_U16] = "U16", [LCIP_TYPE_I32] = "I32",
    [LCIP_TYPE_U32] = "U32",   [LCIP_TYPE_I64] = "I64", [LCIP_TYPE_U64] = "U64",
    [LCIP_TYPE_BOOL] = "BOOL",
};

static LcipType dtype_from_name(const char *name) {
  for (guint i = 1; i < LCIP_N_TYPES; i++)
    if (g_str_equal(dtypes[i], name))
      return (LcipType)i;
  return LCIP_TYPE_NONE;
}

/* ---- reading ---- */

typedef struct {
  LcipWeights *weights;
  gsize data_begin;
  gsize data_bytes;
} Parse;

static gboolean entry_fail(const Parse *parse, const char *key, GError **error,
                           const char *expected, const char *found) {
  return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                      "%s: offset 8: tensor \"%s\": expected %s, found %s", parse->weights->path,
                      key, expected, found);
}

/* json-glib recurses once per bracket, so depth is bounded before it sees the text, and it loses
 * the memory of what follows the first value, so nothing may: safetensors pads with spaces alone.
 */
static gboolean is_one_object(const char *text, gsize length) {
  gboolean in_string = FALSE;
  guint depth = 0;
  for (gsize i = 0; i < length; i++) {
    if (depth == 0 && (i == 0 ? text[i] != '{' : !g_ascii_isspace(text[i])))
      return FALSE;
    if (in_string && text[i] == '\\')
      i++;
    else if (text[i] == '"')
      in_string = !in_string;
    else if (!in_string && (text[i] == '{' || text[i] == '['))
      depth++;
    else if (!in_string && (text[i] == '}' || text[i] == ']'))
      depth--;
    if (depth > HEADER_MAX_DEPTH)
      return FALSE;
  }
  return length > 0;
}

static gboolean node_is_size(JsonNode *node, gint64 *value) {
  if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_INT64)
    return FALSE;
  *value = json_node_get_int(node);
  return *value >= 0;
}

static gboolean parse_sizes(const Parse *parse, const char *key, JsonObject *object,
                            const char *member, guint min, guint max, gint64 *sizes, guint *n,
                            GError **error) {
  JsonNode *node = json_object_get_member(object, member);
  g_autofree char *expected = g_strdup_printf("\"%s\" with %u to %u sizes", member, min, max);
  if (!node || !JSON_NODE_HOLDS_ARRAY(node))
    return entry_fail(parse, key, error, expected, "none");
  JsonArray *array = json_node_get_array(node);
  *n = json_array_get_length(array);
  if (*n < min || *n > max)
    return entry_fail(parse, key, error, expected, "another number of them");
  for (guint i = 0; i < *n; i++)
    if (!node_is_size(json_array_get_element(array, i), &sizes[i]))
      return entry_fail(parse, key, error, expected, "no whole number of at least 0");
  return TRUE;
}

static gboolean parse_type(const Parse *parse, const char *key, JsonObject *object, Entry *entry,
                           GError **error) {
  JsonNode *node = json_object_get_member(object, "dtype");
  if (!node || !JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING)
    return entry_fail(parse, key, error, "a \"dtype\"", "none");
  entry->spec.type = dtype_from_name(json_node_get_string(node));
  if (entry->spec.type == LCIP_TYPE_NONE)
    return entry_fail(parse, key, error, "a \"dtype\" such as F32", json_node_get_string(node));
  return TRUE;
}

static gboolean check_members(const Parse *parse, const char *key, JsonObject *object,
                              GError **error) {
  static const char *const known[] = {"dtype", "shape", "data_offsets", NULL};
  g_autoptr(GList) members = json_object_get_members(object);
  for (GList *l = members; l; l = l->next)
    if (!g_strv_contains(known, l->data))
      return entry_fail(parse, key, error, "dtype, shape and data_offsets", l->data);
  return TRUE;
}

static gboolean check_extent(const Parse *parse, const char *key, const gint64 *offsets,
                             Entry *entry, GError **error) {
  gsize bytes;
  g_autofree char *spec = lcip_tensor_spec_to_string(&entry->spec);
  g_autofree char *found =
      g_strdup_printf("%" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, offsets[0], offsets[1]);
  if (offsets[0] > offsets[1] || (guint64)offsets[1] > parse->data_bytes) {
    g_autofree char *expected =
        g_strdup_printf("data_offsets within %" G_GSIZE_FORMAT " bytes", parse->data_bytes);
    return entry_fail(parse, key, error, expected, found);
  }
  if (!lcip_tensor_spec_bytes(&entry->spec, &bytes))
    return entry_fail(parse, key, error, "a shape that can be stored", spec);
  if (bytes != (gsize)(offsets[1] - offsets[0])) {
    g_autofree char *expected =
        g_strdup_printf("%" G_GSIZE_FORMAT " bytes of data for %s", bytes, spec);
    return entry_fail(parse, key, error, expected, found);
  }
  entry->begin = parse->data_begin + (gsize)offsets[0];
  entry->end = parse->data_begin + (gsize)offsets[1];
  return TRUE;
}

static gboolean parse_entry(const Parse *parse, const char *key, JsonNode *node, GError **error) {
  Entry entry = {0};
  gint64 dims[LCIP_MAX_RANK], offsets[2];
  guint rank, two;
  if (!JSON_NODE_HOLDS_OBJECT(node))
    return entry_fail(parse, key, error, "an object", "something else");
  JsonObject *object = json_node_get_object(node);
  if (!check_members(parse, key, object, error) || !parse_type(parse, key, object, &entry, error) ||
      !parse_sizes(parse, key, object, "shape", 0, LCIP_MAX_RANK, dims, &rank, error) ||
      !parse_sizes(parse, key, object, "data_offsets", 2, 2, offsets, &two, error))
    return FALSE;
  entry.spec.shape = lcip_shape_from_dims((int)rank, dims);
  if (!check_extent(parse, key, offsets, &entry, error))
    return FALSE;
  char *own_key = g_strdup(key);
  entry.key = own_key;
  g_hash_table_insert(parse->weights->entries, own_key, g_memdup2(&entry, sizeof entry));
  return TRUE;
}

static int compare_entries(gconstpointer a, gconstpointer b) {
  const Entry *x = *(const Entry *const *)a, *y = *(const Entry *const *)b;
  if (x->begin != y->begin)
    return x->begin < y->begin ? -1 : 1;
  return x->end < y->end ? -1 : x->end > y->end;
}

/* Every byte of the data belongs to exactly one tensor. */
static gboolean check_cover(const Parse *parse, GError **error) {
  guint n;
  g_autofree Entry **sorted = g_new(Entry *, g_hash_table_size(parse->weights->entries) + 1);
  GHashTableIter iter;
  gpointer entry;
  n = 0;
  g_hash_table_iter_init(&iter, parse->weights->entries);
  while (g_hash_table_iter_next(&iter, NULL, &entry))
    sorted[n++] = entry;
  if (n > 1)
    qsort(sorted, n, sizeof *sorted, compare_entries);
  gsize expected = parse->data_begin;
  for (guint i = 0; i < n; i++) {
    if (sorted[i]->begin != expected)
      return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                          "%s: offset %" G_GSIZE_FORMAT ": expected tensor \"%s\" to begin here, "
                          "found that it begins at %" G_GSIZE_FORMAT " (overlap or hole)",
                          parse->weights->path, expected, sorted[i]->key, sorted[i]->begin);
    expected = sorted[i]->end;
  }
  const gsize end = parse->data_begin + parse->data_bytes;
  return expected == end ||
         lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                      "%s: offset %" G_GSIZE_FORMAT ": expected the end of the file, found "
                      "%" G_GSIZE_FORMAT " more bytes",
                      parse->weights->path, expected, end - expected);
}

static gboolean check_metadata(const Parse *parse, JsonNode *node, GError **error) {
  if (!JSON_NODE_HOLDS_OBJECT(node))
    return entry_fail(parse, "__metadata__", error, "an object of strings", "something else");
  g_autoptr(GList) values = json_object_get_values(json_node_get_object(node));
  for (GList *l = values; l; l = l->next)
    if (!JSON_NODE_HOLDS_VALUE(l->data) || json_node_get_value_type(l->data) != G_TYPE_STRING)
      return entry_fail(parse, "__metadata__", error, "strings", "something else");
  return TRUE;
}

static gboolean parse_object(const Parse *parse, JsonNode *root, GError **error) {
  if (!root || !JSON_NODE_HOLDS_OBJECT(root))
    return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                        "%s: offset 8: expected a JSON object, found something else",
                        parse->weights->path);
  JsonObject *object = json_node_get_object(root);
  g_autoptr(GList) members = json_object_get_members(object);
  for (GList *l = members; l; l = l->next) {
    JsonNode *node = json_object_get_member(object, l->data);
    const gboolean ok = g_str_equal(l->data, "__metadata__")
                            ? check_metadata(parse, node, error)
                            : parse_entry(parse, l->data, node, error);
    if (!ok)
      return FALSE;
  }
  return check_cover(parse, error);
}

static gboolean parse_json(const Parse *parse, const char *text, gsize length, GError **error) {
  const char *path = parse->weights->path;
  if (!g_utf8_validate(text, (gssize)length, NULL) || !is_one_object(text, length))
    return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                        "%s: offset 8: expected a JSON object in UTF-8 alone, found something else",
                        path);
  g_autoptr(JsonParser) parser = json_parser_new_immutable();
  g_autoptr(GError) json_error = NULL;
  if (!json_parser_load_from_data(parser, text, (gssize)length, &json_error))
    return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                        "%s: offset 8: expected a JSON header, found: %s", path,
                        json_error->message);
  return parse_object(parse, json_parser_get_root(parser), error);
}

static gboolean parse_file(LcipWeights *weights, GError **error) {
  gsize size;
  const guint8 *data = g_bytes_get_data(weights->bytes, &size);
  guint64 length;
  if (size < 8)
    return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                        "%s: offset 0: expected a header length of 8 bytes, found a file of "
                        "%" G_GSIZE_FORMAT " bytes",
                        weights->path, size);
  memcpy(&length, data, sizeof length);
  length = GUINT64_FROM_LE(length);
  if (length > size - 8 || length > HEADER_MAX_BYTES)
    return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                        "%s: offset 0: expected a header of at most %" G_GSIZE_FORMAT
                        " bytes, found %" G_GUINT64_FORMAT,
                        weights->path, MIN(size - 8, (gsize)HEADER_MAX_BYTES), length);
  const Parse parse = {weights, 8 + (gsize)length, size - 8 - (gsize)length};
  return parse_json(&parse, (const char *)data + 8, (gsize)length, error);
}

LcipWeights *lcip_weights_open_bytes(const char *path, GBytes *bytes, GError **error) {
  g_autoptr(LcipWeights) weights = g_new0(LcipWeights, 1);
  g_atomic_ref_count_init(&weights->refs);
  weights->path = g_strdup(path);
  weights->bytes = g_bytes_ref(bytes);
  weights->entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  return parse_file(weights, error) ? g_steal_pointer(&weights) : NULL;
}

LcipWeights *lcip_weights_open(const char *path, GError **error) {
  g_autoptr(GBytes) bytes = lcip_io_map(path, LCIP_IO_FOLLOW_LINKS, error);
  return bytes ? lcip_weights_open_bytes(path, bytes, error) : NULL;
}

void lcip_weights_unref(LcipWeights *weights) {
  if (!g_atomic_ref_count_dec(&weights->refs))
    return;
  g_free(weights->path);
  g_bytes_unref(weights->bytes);
  g_hash_table_unref(weights->entries);
  g_free(weights);
}

LcipTensor *lcip_weights_get(LcipWeights *weights, const char *key, GError **error) {
  const Entry *entry = g_hash_table_lookup(weights->entries, key);
  if (!entry) {
    lcip_io_fail(error, LCIP_IO_ERROR_FORMAT, "%s: expected a tensor \"%s\", found none",
                 weights->path, key);
    return NULL;
  }
  const guint8 *data = g_bytes_get_data(weights->bytes, NULL);
  if (entry->spec.type == LCIP_TYPE_BOOL &&
      !lcip_io_bools_ok(data + entry->begin, entry->end - entry->begin)) {
    lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                 "%s: offset %" G_GSIZE_FORMAT ": tensor \"%s\": expected bytes of 0 or 1, found "
                 "others",
                 weights->path, entry->begin, key);
    return NULL;
  }
  LcipTensor *tensor = lcip_io_tensor_from(&entry->spec, weights->bytes, entry->begin);
  if (!tensor)
    lcip_io_fail(error, LCIP_IO_ERROR_SIZE, "%s: tensor \"%s\" cannot be allocated", weights->path,
                 key);
  return tensor;
}

/* ---- writing ---- */

static void append_json_string(GString *text, const char *string) {
  g_string_append_c(text, '"');
  for (const char *p = string; *p; p++) {
    const guchar c = (guchar)*p;
    if (c == '"' || c == '\\')
      g_string_append_printf(text, "\\%c", c);
    else if (c < 0x20)
      g_string_append_printf(text, "\\u%04x", c);
    else
      g_string_append_c(text, *p);
  }
  g_string_append_c(text, '"');
}

static void append_entry(GString *text, const char *key, const LcipTensorSpec *spec, guint64 begin,
                         guint64 end) {
  append_json_string(text, key);
  g_string_append_printf(text, ":{\"dtype\":\"%s\",\"shape\":[", dtypes[spec->type]);
  for (int i = 0; i < spec->shape.rank; i++)
    g_string_append_printf(text, "%s%" G_GINT64_FORMAT, i ? "," : "", spec->shape.dims[i]);
  g_string_append_printf(text, "],\"data_offsets\":[%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT "]}",
                         begin, end);
}

static gboolean check_keys(guint n, const char *const *keys, GError **error) {
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
  for (guint i = 0; i < n; i++) {
    if (!g_utf8_validate(keys[i], -1, NULL) || g_str_equal(keys[i], "__metadata__"))
      return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                          "weights: expected a key in UTF-8 other than __metadata__, found \"%s\"",
                          keys[i]);
    if (!g_hash_table_add(seen, (gpointer)keys[i]))
      return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                          "weights: expected each key once, found \"%s\" twice", keys[i]);
  }
  return TRUE;
}

/* Data lie in the order of falling element size, so that without holes all are aligned; tensors
 * of one size in the order of the keys. */
static void layout_data(LcipWeightsImage *image, guint n, const char *const *keys,
                        LcipTensor *const *tensors, GString *text) {
  guint64 offset = 0;
  for (gsize size = 8; size >= 1; size /= 2) {
    for (guint i = 0; i < n; i++) {
      const LcipTensorSpec *spec = lcip_tensor_get_spec(tensors[i]);
      if (lcip_type_size(spec->type) != size)
        continue;
      const gsize bytes = lcip_tensor_get_bytes(tensors[i]);
      g_string_append_c(text, ',');
      append_entry(text, keys[i], spec, offset, offset + bytes);
      image->chunks[image->n_chunks++] = (LcipIoChunk){lcip_tensor_get_stored(tensors[i]), bytes};
      offset += bytes;
    }
  }
}

static void hash_image(LcipWeightsImage *image) {
  g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
  for (guint i = 0; i < image->n_chunks; i++) {
    lcip_io_hash(checksum, image->chunks[i].data, image->chunks[i].size_bytes);
    image->size_bytes += image->chunks[i].size_bytes;
  }
  image->sha256 = g_strdup(g_checksum_get_string(checksum));
}

LcipWeightsImage *lcip_weights_image_new(guint n, const char *const *keys,
                                         LcipTensor *const *tensors, GError **error) {
  if (!check_keys(n, keys, error))
    return NULL;
  LcipWeightsImage *image = g_new0(LcipWeightsImage, 1);
  image->chunks = g_new0(LcipIoChunk, n + 1);
  image->n_chunks = 1;
  GString *text = g_string_new("00000000{\"__metadata__\":{\"format\":\"lcip\"}");
  layout_data(image, n, keys, tensors, text);
  g_string_append_c(text, '}');
  while (text->len % LCIP_TENSOR_ALIGN != 0)
    g_string_append_c(text, ' ');
  const guint64 length = GUINT64_TO_LE((guint64)text->len - 8);
  memcpy(text->str, &length, sizeof length);
  image->chunks[0].size_bytes = text->len;
  image->header = g_string_free(text, FALSE);
  image->chunks[0].data = image->header;
  hash_image(image);
  return image;
}

void lcip_weights_image_free(LcipWeightsImage *image) {
  g_free(image->header);
  g_free(image->chunks);
  g_free(image->sha256);
  g_free(image);
}

gboolean lcip_weights_write(const char *path, guint n, const char *const *keys,
                            LcipTensor *const *tensors, char **sha256, GError **error) {
  g_autoptr(LcipWeightsImage) image = lcip_weights_image_new(n, keys, tensors, error);
  if (!image || !lcip_io_write(path, image->chunks, image->n_chunks, error))
    return FALSE;
  if (sha256)
    *sha256 = g_steal_pointer(&image->sha256);
  return TRUE;
}
