#include "config.h"
#include "lcip-io-private.h"

#include <string.h>

/* https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */

static const struct {
  LcipType type;
  const char *descr;
} descrs[] = {
    {LCIP_TYPE_F32, "<f4"}, {LCIP_TYPE_F16, "<f2"}, {LCIP_TYPE_F64, "<f8"},
    {LCIP_TYPE_I8, "|i1"},  {LCIP_TYPE_U8, "|u1"},  {LCIP_TYPE_I16, "<i2"},
    {LCIP_TYPE_U16, "<u2"}, {LCIP_TYPE_I32, "<i4"}, {LCIP_TYPE_U32, "<u4"},
    {LCIP_TYPE_I64, "<i8"}, {LCIP_TYPE_U64, "<u8"}, {LCIP_TYPE_BOOL, "|b1"},
    {LCIP_TYPE_I8, "<i1"},  {LCIP_TYPE_U8, "<u1"},  {LCIP_TYPE_BOOL, "<b1"},
};

typedef struct {
  const char *path;
  const char *text; /* the file */
  gsize at, end;    /* of the header's dictionary */
  LcipTensorSpec spec;
  gboolean fortran;
  guint seen; /* bits: descr, fortran_order, shape */
} Header;

static gboolean header_fail(const Header *h, GError **error, const char *expected) {
  g_autofree char *found =
      h->at < h->end ? lcip_io_clean_text(h->text + h->at, (gssize)MIN(h->end - h->at, (gsize)16))
                     : g_strdup("the end of the header");
  return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                      "%s: offset %" G_GSIZE_FORMAT ": expected %s, found \"%s\"", h->path, h->at,
                      expected, g_strchomp(found));
}

static void skip_blanks(Header *h) {
  while (h->at < h->end && strchr(" \t\r\n", h->text[h->at]) && h->text[h->at])
    h->at++;
}

static gboolean accept(Header *h, const char *token) {
  const gsize length = strlen(token);
  skip_blanks(h);
  if (h->end - h->at < length || memcmp(h->text + h->at, token, length) != 0)
    return FALSE;
  h->at += length;
  return TRUE;
}

static char *parse_string(Header *h) {
  skip_blanks(h);
  if (h->at >= h->end || (h->text[h->at] != '\'' && h->text[h->at] != '"'))
    return NULL;
  const char *begin = h->text + h->at + 1;
  const char *end = memchr(begin, h->text[h->at], h->end - h->at - 1);
  if (!end)
    return NULL;
  h->at = (gsize)(end + 1 - h->text);
  return g_strndup(begin, (gsize)(end - begin));
}

static gboolean parse_descr(Header *h, GError **error) {
  const gsize begin = h->at;
  g_autofree char *descr = parse_string(h);
  for (gsize i = 0; descr && i < G_N_ELEMENTS(descrs); i++)
    if (g_str_equal(descr, descrs[i].descr)) {
      h->spec.type = descrs[i].type;
      return TRUE;
    }
  h->at = begin;
  if (descr && descr[0] == '>')
    return lcip_io_fail(error, LCIP_IO_ERROR_UNSUPPORTED,
                        "%s: offset %" G_GSIZE_FORMAT
                        ": expected a little-endian type such as <f4, found %s",
                        h->path, begin, descr);
  return header_fail(h, error, "a number type such as '<f4'");
}

static gboolean parse_order(Header *h, GError **error) {
  h->fortran = accept(h, "True");
  return h->fortran || accept(h, "False") || header_fail(h, error, "True or False");
}

static gboolean parse_dim(Header *h, gint64 *dim) {
  guint64 value = 0;
  gsize digits = 0;
  for (; h->at < h->end && g_ascii_isdigit(h->text[h->at]); h->at++, digits++)
    if (!g_uint64_checked_mul(&value, value, 10) ||
        !g_uint64_checked_add(&value, value, (guint64)(h->text[h->at] - '0')) || value > G_MAXINT64)
      return FALSE;
  *dim = (gint64)value;
  return digits > 0;
}

static gboolean parse_shape(Header *h, GError **error) {
  if (!accept(h, "("))
    return header_fail(h, error, "a shape in parentheses");
  LcipShape *shape = &h->spec.shape;
  while (!accept(h, ")")) {
    if (shape->rank == LCIP_MAX_RANK)
      return header_fail(h, error, "at most 8 dimensions");
    if (!parse_dim(h, &shape->dims[shape->rank]))
      return header_fail(h, error, "a dimension that fits 63 bits");
    shape->rank++;
    if (!accept(h, ",") && !(h->at < h->end && h->text[h->at] == ')'))
      return header_fail(h, error, "a comma");
  }
  return TRUE;
}

static gboolean parse_member(Header *h, GError **error) {
  static const char *const names[] = {"descr", "fortran_order", "shape"};
  static gboolean (*const parsers[])(Header *, GError **) = {parse_descr, parse_order, parse_shape};
  const gsize begin = h->at;
  g_autofree char *name = parse_string(h);
  for (guint i = 0; name && i < G_N_ELEMENTS(names); i++) {
    if (!g_str_equal(name, names[i]) || (h->seen & 1u << i))
      continue;
    h->seen |= 1u << i;
    if (!accept(h, ":"))
      return header_fail(h, error, "a colon");
    skip_blanks(h);
    return parsers[i](h, error);
  }
  h->at = begin;
  return header_fail(h, error, "descr, fortran_order and shape, each once");
}

static gboolean parse_dictionary(Header *h, GError **error) {
  if (!accept(h, "{"))
    return header_fail(h, error, "a dictionary");
  while (!accept(h, "}")) {
    if (!parse_member(h, error))
      return FALSE;
    accept(h, ",");
  }
  skip_blanks(h);
  if (h->at != h->end)
    return header_fail(h, error, "the end of the header");
  return h->seen == 7 || header_fail(h, error, "descr, fortran_order and shape");
}

/* Sets the extent of the dictionary from the magic, the version and the length before it. */
static gboolean parse_preamble(Header *h, gsize size, GError **error) {
  const guint8 *data = (const guint8 *)h->text;
  if (size < 10 || memcmp(data, "\x93NUMPY", 6) != 0)
    return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                        "%s: offset 0: expected a NumPy array (.npy), found something else",
                        h->path);
  const guint major = data[6];
  if (major < 1 || major > 3 || data[7] != 0)
    return lcip_io_fail(error, LCIP_IO_ERROR_UNSUPPORTED,
                        "%s: offset 6: expected version 1.0, 2.0 or 3.0, found %u.%u", h->path,
                        major, data[7]);
  h->at = major == 1 ? 10 : 12;
  gsize length = (gsize)data[8] | (gsize)data[9] << 8;
  if (major > 1 && size >= 12)
    length |= (gsize)data[10] << 16 | (gsize)data[11] << 24;
  if (size < h->at || length > size - h->at)
    return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                        "%s: offset 8: expected a header inside the file's %" G_GSIZE_FORMAT
                        " bytes, found a length of %" G_GSIZE_FORMAT,
                        h->path, size, length);
  h->end = h->at + length;
  return TRUE;
}

static gboolean check_data(const Header *h, gsize size, GError **error) {
  gsize bytes;
  g_autofree char *spec = lcip_tensor_spec_to_string(&h->spec);
  if (!lcip_tensor_spec_bytes(&h->spec, &bytes))
    return lcip_io_fail(error, LCIP_IO_ERROR_SIZE,
                        "%s: offset 10: expected a shape that can be stored, found %s", h->path,
                        spec);
  if (bytes != size - h->end)
    return lcip_io_fail(error, LCIP_IO_ERROR_SIZE,
                        "%s: offset %" G_GSIZE_FORMAT ": expected %" G_GSIZE_FORMAT
                        " bytes for %s, found %" G_GSIZE_FORMAT,
                        h->path, h->end, bytes, spec, size - h->end);
  if (h->spec.type == LCIP_TYPE_BOOL && !lcip_io_bools_ok((const guint8 *)h->text + h->end, bytes))
    return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                        "%s: offset %" G_GSIZE_FORMAT ": expected bytes of 0 or 1, found others",
                        h->path, h->end);
  return TRUE;
}

/* Fortran order: the first dimension varies fastest. Walks the target in its own order. */
static void copy_fortran(const LcipTensorSpec *spec, const guint8 *source, guint8 *target) {
  const gsize size = lcip_type_size(spec->type);
  const gint64 count = lcip_shape_count(&spec->shape);
  gint64 index[LCIP_MAX_RANK] = {0};
  for (gint64 i = 0; i < count; i++) {
    gint64 from = 0;
    for (int d = spec->shape.rank - 1; d >= 0; d--)
      from = from * spec->shape.dims[d] + index[d];
    memcpy(target + (gsize)i * size, source + (gsize)from * size, size);
    for (int d = spec->shape.rank - 1; d >= 0 && ++index[d] == spec->shape.dims[d]; d--)
      index[d] = 0;
  }
}

static LcipTensor *make_tensor(const Header *h, GError **error) {
  LcipTensor *tensor = lcip_tensor_new(&h->spec);
  if (!tensor) {
    lcip_io_fail(error, LCIP_IO_ERROR_SIZE, "%s: the array cannot be allocated", h->path);
    return NULL;
  }
  const guint8 *data = (const guint8 *)h->text + h->end;
  const gsize bytes = lcip_tensor_get_bytes(tensor);
  if (h->fortran && h->spec.shape.rank > 1)
    copy_fortran(&h->spec, data, lcip_tensor_get_mutable(tensor));
  else if (bytes > 0)
    memcpy(lcip_tensor_get_mutable(tensor), data, bytes);
  return tensor;
}

LcipTensor *lcip_npy_read(const char *path, GError **error) {
  g_autoptr(GBytes) bytes = lcip_io_map(path, LCIP_IO_FOLLOW_LINKS, error);
  if (!bytes)
    return NULL;
  gsize size;
  Header h = {.path = path, .text = g_bytes_get_data(bytes, &size)};
  if (!parse_preamble(&h, size, error) || !parse_dictionary(&h, error) ||
      !check_data(&h, size, error))
    return NULL;
  return make_tensor(&h, error);
}

static const char *descr_of(LcipType type) {
  for (gsize i = 0; i < G_N_ELEMENTS(descrs); i++)
    if (descrs[i].type == type)
      return descrs[i].descr;
  return NULL;
}

static char *make_header(const char *descr, const LcipShape *shape, gsize *length) {
  GString *text = g_string_new(NULL);
  g_string_append_len(text, "\x93NUMPY\x01\x00\x00\x00", 10);
  g_string_append_printf(text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
  for (int i = 0; i < shape->rank; i++)
    g_string_append_printf(text, "%s%" G_GINT64_FORMAT, i ? ", " : "", shape->dims[i]);
  g_string_append(text, shape->rank == 1 ? ",), }" : "), }");
  while (text->len % LCIP_TENSOR_ALIGN != LCIP_TENSOR_ALIGN - 1)
    g_string_append_c(text, ' ');
  g_string_append_c(text, '\n');
  text->str[8] = (char)((text->len - 10) & 255);
  text->str[9] = (char)((text->len - 10) >> 8);
  *length = text->len;
  return g_string_free(text, FALSE);
}

gboolean lcip_npy_write(const LcipTensor *tensor, const char *path, GError **error) {
  LcipTensorSpec spec = *lcip_tensor_get_spec(tensor);
  spec.shape = *lcip_tensor_get_shape(tensor);
  const char *descr = descr_of(spec.type);
  gsize bytes, length;
  if (!descr || spec.format != LCIP_FORMAT_DENSE || !lcip_tensor_spec_bytes(&spec, &bytes)) {
    g_autofree char *found = lcip_tensor_spec_to_string(&spec);
    return lcip_io_fail(error, LCIP_IO_ERROR_UNSUPPORTED,
                        "%s: expected a dense tensor of a type that NumPy has, found %s", path,
                        found);
  }
  g_autofree char *header = make_header(descr, &spec.shape, &length);
  const LcipIoChunk chunks[] = {{header, length}, {lcip_tensor_get_stored(tensor), bytes}};
  return lcip_io_write(path, chunks, 2, error);
}
