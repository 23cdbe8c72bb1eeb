#include "config.h"
#include "fuzz.h"

/* A change of bytes seldom leaves a protobuf message whole: lengths stop fitting. Three times of
 * four this changes one field somewhere in the tree of messages instead, and mends the lengths
 * above it, so that what is behind the wire format is reached.
 * https://protobuf.dev/programming-guides/encoding */

#define MAX_FIELDS 4096
#define MAX_DEPTH 8

size_t LLVMFuzzerMutate(guint8 *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(guint8 *data, size_t size, size_t max_size, unsigned int seed);

typedef struct {
  const guint8 *begin, *payload, *end; /* of the field; of what stands behind its tag and length */
  guint64 tag;
} Field;

static gboolean get_varint(const guint8 **at, const guint8 *end, guint64 *value) {
  *value = 0;
  for (guint shift = 0; shift < 64 && *at < end; shift += 7) {
    const guint8 byte = *(*at)++;
    *value |= (guint64)(byte & 127) << shift;
    if (!(byte & 128))
      return TRUE;
  }
  return FALSE;
}

static void put_varint(GByteArray *out, guint64 value) {
  do {
    const guint8 byte = (guint8)((value & 127) | (value > 127 ? 128 : 0));
    g_byte_array_append(out, &byte, 1);
    value >>= 7;
  } while (value);
}

static void put_bytes(GByteArray *out, guint64 tag, const GByteArray *bytes) {
  put_varint(out, tag);
  put_varint(out, bytes->len);
  g_byte_array_append(out, bytes->data, bytes->len);
}

static gboolean get_field(const guint8 **at, const guint8 *end, Field *field) {
  guint64 length;
  field->begin = *at;
  if (!get_varint(at, end, &field->tag) || field->tag >> 3 == 0)
    return FALSE;
  field->payload = *at;
  switch (field->tag & 7) {
  case 0:
    if (!get_varint(at, end, &length))
      return FALSE;
    length = 0;
    break;
  case 1:
    length = 8;
    break;
  case 2:
    if (!get_varint(at, end, &length))
      return FALSE;
    field->payload = *at;
    break;
  case 5:
    length = 4;
    break;
  default:
    return FALSE;
  }
  if (length > (guint64)(end - *at))
    return FALSE;
  *at += length;
  field->end = *at;
  return TRUE;
}

/* The message's fields, or none where the bytes are no message. */
static guint get_fields(const guint8 *data, gsize size, Field *fields) {
  const guint8 *at = data, *end = data + size;
  guint n = 0;
  while (at < end)
    if (n == MAX_FIELDS || !get_field(&at, end, &fields[n++]))
      return 0;
  return n;
}

static gint64 odd_number(GRand *rand) {
  static const gint64 numbers[] = {0,
                                   1,
                                   -1,
                                   2,
                                   3,
                                   4,
                                   5,
                                   7,
                                   8,
                                   9,
                                   11,
                                   16,
                                   17,
                                   64,
                                   100,
                                   255,
                                   256,
                                   -2,
                                   -3,
                                   1000,
                                   65535,
                                   65536,
                                   G_MAXINT32,
                                   G_MININT32,
                                   (gint64)G_MAXINT32 + 1,
                                   G_MAXUINT32,
                                   G_MAXINT64,
                                   G_MININT64,
                                   G_MAXINT64 / 8 + 1};
  return numbers[g_rand_int_range(rand, 0, G_N_ELEMENTS(numbers))];
}

static const char *any_operator(GRand *rand) {
  guint n;
  const LcipOperator *const *operators = lcip_operator_list(&n);
  return operators[g_rand_int_range(rand, 0, (gint32)n)]->name;
}

static void mutate_plain(GByteArray *out, guint64 tag, const guint8 *data, gsize size,
                         GRand *rand) {
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  g_byte_array_append(bytes, data, (guint)size);
  if (size >= 8 && size % 8 == 0 && g_rand_boolean(rand)) { /* the elements of an i64 tensor? */
    const gint64 number = odd_number(rand);
    memcpy(bytes->data + 8 * (gsize)g_rand_int_range(rand, 0, (gint32)(size / 8)), &number, 8);
  } else if (tag >> 3 == 4 && g_rand_boolean(rand)) { /* a node's operator? */
    const char *name = any_operator(rand);
    g_byte_array_set_size(bytes, 0);
    g_byte_array_append(bytes, (const guint8 *)name, (guint)strlen(name));
  } else {
    g_byte_array_set_size(bytes, (guint)size + 32);
    g_byte_array_set_size(bytes, (guint)LLVMFuzzerMutate(bytes->data, size, size + 32));
  }
  put_bytes(out, tag, bytes);
}

static gboolean mutate_message(GByteArray *out, const guint8 *data, gsize size, guint depth,
                               GRand *rand);

static void mutate_bytes(GByteArray *out, const Field *field, guint depth, GRand *rand) {
  const gsize size = (gsize)(field->end - field->payload);
  g_autoptr(GByteArray) inner = g_byte_array_new();
  if (depth < MAX_DEPTH && g_rand_int_range(rand, 0, 8) &&
      mutate_message(inner, field->payload, size, depth + 1, rand))
    put_bytes(out, field->tag, inner);
  else
    mutate_plain(out, field->tag, field->payload, size, rand);
}

static void mutate_field(GByteArray *out, const Field *field, guint depth, GRand *rand) {
  guint8 bytes[8];
  const gsize size = (gsize)(field->end - field->payload);
  switch (field->tag & 7) {
  case 0:
    put_varint(out, field->tag);
    put_varint(out, (guint64)odd_number(rand));
    return;
  case 2:
    mutate_bytes(out, field, depth, rand);
    return;
  default:
    memcpy(bytes, field->payload, size);
    LLVMFuzzerMutate(bytes, size, size);
    put_varint(out, field->tag);
    g_byte_array_append(out, bytes, (guint)size);
  }
}

static void copy_field(GByteArray *out, const Field *field) {
  g_byte_array_append(out, field->begin, (guint)(field->end - field->begin));
}

/* Changes, doubles, drops or moves one field. FALSE where the bytes are no message. */
static gboolean mutate_message(GByteArray *out, const guint8 *data, gsize size, guint depth,
                               GRand *rand) {
  g_autofree Field *fields = g_new(Field, MAX_FIELDS);
  const guint n = get_fields(data, size, fields);
  if (n == 0)
    return FALSE;
  const guint which = (guint)g_rand_int_range(rand, 0, (gint32)n);
  const guint other = (guint)g_rand_int_range(rand, 0, (gint32)n);
  const guint change = (guint)g_rand_int_range(rand, 0, 16);
  for (guint i = 0; i < n; i++) {
    if (i != which)
      copy_field(out, &fields[i]);
    else if (change == 0)
      continue;
    else if (change == 1)
      copy_field(out, &fields[other]);
    else
      mutate_field(out, &fields[i], depth, rand);
    if (i == which && change == 2)
      copy_field(out, &fields[other]);
  }
  return TRUE;
}

size_t LLVMFuzzerCustomMutator(guint8 *data, size_t size, size_t max_size, unsigned int seed) {
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  g_autoptr(GByteArray) out = g_byte_array_new();
  if (g_rand_int_range(rand, 0, 4) == 0 || !mutate_message(out, data, size, 0, rand) ||
      out->len == 0 || out->len > max_size)
    return LLVMFuzzerMutate(data, size, max_size);
  memcpy(data, out->data, out->len);
  return out->len;
}
