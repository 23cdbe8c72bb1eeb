#include "config.h"
#include "lcip-onnx-private.h"

#include <string.h>

/* https://protobuf.dev/programming-guides/encoding */

static gboolean wire_fail(const LcipOnnxWire *wire, gsize offset, GError **error,
                          const char *expected, const char *found) {
  return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
                      "%s: offset %" G_GSIZE_FORMAT ": expected %s, found %s", wire->path, offset,
                      expected, found);
}

static gboolean read_varint(LcipOnnxWire *wire, guint64 *value, GError **error) {
  const gsize begin = wire->at;
  *value = 0;
  for (guint shift = 0; shift < 64; shift += 7) {
    if (wire->at >= wire->end)
      return wire_fail(wire, begin, error, "a number", "the end of the message");
    const guint8 byte = wire->base[wire->at++];
    *value |= (guint64)(byte & 127) << shift;
    if (!(byte & 128))
      return TRUE;
  }
  return wire_fail(wire, begin, error, "a number of at most 10 bytes", "a longer one");
}

static gboolean read_fixed(LcipOnnxWire *wire, gsize size, guint64 *value, GError **error) {
  if (wire->end - wire->at < size)
    return wire_fail(wire, wire->at, error, "a number", "the end of the message");
  *value = 0;
  for (gsize i = 0; i < size; i++)
    *value |= (guint64)wire->base[wire->at + i] << (8 * i);
  wire->at += size;
  return TRUE;
}

static gboolean read_bytes(LcipOnnxWire *wire, LcipOnnxWire *bytes, GError **error) {
  guint64 length;
  const gsize begin = wire->at;
  if (!read_varint(wire, &length, error))
    return FALSE;
  if (length > wire->end - wire->at) {
    g_autofree char *expected =
        g_strdup_printf("a length of at most %" G_GSIZE_FORMAT, wire->end - wire->at);
    g_autofree char *found = g_strdup_printf("%" G_GUINT64_FORMAT, length);
    return wire_fail(wire, begin, error, expected, found);
  }
  *bytes = (LcipOnnxWire){wire->path, wire->base, wire->at, wire->at + (gsize)length};
  wire->at += (gsize)length;
  return TRUE;
}

gboolean lcip_onnx_next(LcipOnnxWire *wire, LcipOnnxField *field, GError **error) {
  guint64 tag;
  if (wire->at >= wire->end)
    return FALSE;
  *field = (LcipOnnxField){.offset = wire->at};
  field->bytes = (LcipOnnxWire){wire->path, wire->base, wire->at, wire->at};
  if (!read_varint(wire, &tag, error))
    return FALSE;
  if (tag >> 3 == 0 || tag > G_MAXUINT32)
    return wire_fail(wire, field->offset, error, "a field number of 1 to 536870911", "another");
  field->number = (guint32)(tag >> 3);
  field->type = (LcipWireType)(tag & 7);
  switch (field->type) {
  case LCIP_WIRE_VARINT:
    return read_varint(wire, &field->value, error);
  case LCIP_WIRE_64:
    return read_fixed(wire, 8, &field->value, error);
  case LCIP_WIRE_32:
    return read_fixed(wire, 4, &field->value, error);
  case LCIP_WIRE_BYTES:
    return read_bytes(wire, &field->bytes, error);
  }
  return wire_fail(wire, field->offset, error, "a wire type of 0, 1, 2 or 5", "another");
}

gboolean lcip_onnx_expect(const LcipOnnxField *field, LcipWireType type, const char *what,
                          GError **error) {
  static const char *const names[] = {"a varint", "8 bytes", "bytes", "", "", "4 bytes"};
  if (field->type == type)
    return TRUE;
  g_autofree char *expected = g_strdup_printf("%s as %s", what, names[type]);
  return wire_fail(&field->bytes, field->offset, error, expected, names[field->type]);
}

gboolean lcip_onnx_string(const LcipOnnxField *field, const char *what, char **text,
                          GError **error) {
  if (!lcip_onnx_expect(field, LCIP_WIRE_BYTES, what, error))
    return FALSE;
  g_free(*text);
  *text = lcip_io_clean_text((const char *)field->bytes.base + field->bytes.at,
                             (gssize)(field->bytes.end - field->bytes.at));
  return TRUE;
}

/* GArray ends the program where a list would grow beyond its index type. */
#define LIST_MAX (1u << 27)

gboolean lcip_onnx_ints(const LcipOnnxField *field, const char *what, GArray *list,
                        GError **error) {
  if (field->type == LCIP_WIRE_VARINT) {
    g_array_append_val(list, field->value);
    return TRUE;
  }
  if (!lcip_onnx_expect(field, LCIP_WIRE_BYTES, what, error))
    return FALSE;
  LcipOnnxWire wire = field->bytes;
  guint64 value;
  while (wire.at < wire.end) {
    if (list->len >= LIST_MAX)
      return wire_fail(&wire, wire.at, error, "at most 134217728 numbers", "more");
    if (!read_varint(&wire, &value, error))
      return FALSE;
    g_array_append_val(list, value);
  }
  return TRUE;
}

gboolean lcip_onnx_fixed(const LcipOnnxField *field, const char *what, gsize size, GArray *list,
                         GError **error) {
  const LcipWireType single = size == 4 ? LCIP_WIRE_32 : LCIP_WIRE_64;
  if (field->type == single) {
    g_array_append_vals(list, &field->value, 1); /* little-endian: the low bytes come first */
    return TRUE;
  }
  if (!lcip_onnx_expect(field, LCIP_WIRE_BYTES, what, error))
    return FALSE;
  const gsize length = field->bytes.end - field->bytes.at;
  if (length % size != 0 || length / size > LIST_MAX - MIN(list->len, LIST_MAX))
    return wire_fail(&field->bytes, field->offset, error, "a list of whole numbers of its type",
                     "a part of one");
  g_array_append_vals(list, field->bytes.base + field->bytes.at, (guint)(length / size));
  return TRUE;
}
