#include "config.h"
#include "lcip-codec.h"
#include "lcip-graph.h"
#include "lcip-io-private.h"

#include <stdarg.h>
#include <string.h>

G_DEFINE_QUARK(lcip - remote - error - quark, lcip_remote_error)

/* Everything is little-endian and unaligned. The header: magic, version (16 bits), type (16),
 * session, bytes after the header, checksum, zero. The checksum is the CRC-32C of what stands
 * before it and of what follows the header. */
#define CRC_OFFSET 16

static gboolean fail(GError **error, LcipRemoteErrorCode code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
static gboolean fail(GError **error, LcipRemoteErrorCode code, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  g_autofree char *message = g_strdup_vprintf(format, ap);
  va_end(ap);
  g_set_error_literal(error, LCIP_REMOTE_ERROR, (int)code, message);
  return FALSE;
}

/* ---- writing ---- */

static void put_u8(GByteArray *out, guint8 value) {
  g_byte_array_append(out, &value, 1);
}

static void put_u16(GByteArray *out, guint16 value) {
  value = GUINT16_TO_LE(value);
  g_byte_array_append(out, (const guint8 *)&value, sizeof value);
}

static void put_u32(GByteArray *out, guint32 value) {
  value = GUINT32_TO_LE(value);
  g_byte_array_append(out, (const guint8 *)&value, sizeof value);
}

static void put_u64(GByteArray *out, guint64 value) {
  value = GUINT64_TO_LE(value);
  g_byte_array_append(out, (const guint8 *)&value, sizeof value);
}

/* What a message may not hold is replaced, and what is too long is cut, so that the text of any
 * error can be sent. */
static void put_text(GByteArray *out, const LcipWireText *text) {
  g_autofree char *valid = g_utf8_make_valid(text->text ? text->text : "", (gssize)text->length);
  gsize n = strlen(valid);
  if (n > LCIP_WIRE_MAX_TEXT_BYTES)
    n = (gsize)(g_utf8_find_prev_char(valid, valid + LCIP_WIRE_MAX_TEXT_BYTES + 1) - valid);
  for (gsize i = 0; i < n; i++)
    if (g_ascii_iscntrl(valid[i]))
      valid[i] = ' ';
  put_u16(out, (guint16)n);
  g_byte_array_append(out, (const guint8 *)valid, (guint)n);
}

static void put_spec(GByteArray *out, const LcipTensorSpec *spec, LcipType wire_type) {
  put_u8(out, (guint8)spec->type);
  put_u8(out, (guint8)wire_type);
  put_u8(out, (guint8)spec->shape.rank);
  put_u8(out, 0);
  for (int i = 0; i < spec->shape.rank; i++)
    put_u32(out, (guint32)spec->shape.dims[i]);
}

static void put_tensors(GByteArray *out, const LcipWireTensor *tensors, guint32 n) {
  put_u32(out, n);
  for (guint32 i = 0; i < MIN(n, LCIP_WIRE_MAX_TENSORS); i++)
    put_spec(out, &tensors[i].spec, tensors[i].wire_type);
}

/* ---- reading ---- */

/** Reader: after the first thing that is not there or not allowed, @what says what, and all that
 * is read is zero. */
typedef struct {
  const guint8 *data;
  gsize left;
  const char *what;
} Reader;

static gboolean wrong(Reader *reader, const char *what) {
  if (!reader->what)
    reader->what = what;
  return FALSE;
}

static const guint8 *take(Reader *reader, gsize n) {
  if (reader->what || reader->left < n) {
    wrong(reader, "it is cut short");
    return NULL;
  }
  const guint8 *at = reader->data;
  reader->data += n;
  reader->left -= n;
  return at;
}

static guint8 get_u8(Reader *reader) {
  const guint8 *at = take(reader, 1);
  return at ? *at : 0;
}

static guint16 get_u16(Reader *reader) {
  guint16 value = 0;
  const guint8 *at = take(reader, sizeof value);
  if (at)
    memcpy(&value, at, sizeof value);
  return GUINT16_FROM_LE(value);
}

static guint32 get_u32(Reader *reader) {
  guint32 value = 0;
  const guint8 *at = take(reader, sizeof value);
  if (at)
    memcpy(&value, at, sizeof value);
  return GUINT32_FROM_LE(value);
}

static guint64 get_u64(Reader *reader) {
  guint64 value = 0;
  const guint8 *at = take(reader, sizeof value);
  if (at)
    memcpy(&value, at, sizeof value);
  return GUINT64_FROM_LE(value);
}

static gboolean text_is_clean(const char *text, gsize n) {
  for (gsize i = 0; i < n; i++)
    if (g_ascii_iscntrl(text[i]))
      return FALSE;
  return g_utf8_validate_len(text, n, NULL);
}

static LcipWireText get_text(Reader *reader) {
  const gsize n = get_u16(reader);
  if (n > LCIP_WIRE_MAX_TEXT_BYTES)
    wrong(reader, "a text is too long");
  const char *at = (const char *)take(reader, n);
  if (at && !text_is_clean(at, n))
    wrong(reader, "a text holds control characters or is no UTF-8");
  return reader->what ? (LcipWireText){"", 0} : (LcipWireText){at, n};
}

static guint32 get_count(Reader *reader, guint32 limit, const char *what) {
  const guint32 n = get_u32(reader);
  if (n > limit)
    wrong(reader, what);
  return reader->what ? 0 : n;
}

static void get_spec(Reader *reader, LcipTensorSpec *spec, LcipType *wire_type) {
  const guint8 type = get_u8(reader), wire = get_u8(reader), rank = get_u8(reader);
  if (get_u8(reader) != 0)
    wrong(reader, "a reserved byte is not zero");
  if (type == LCIP_TYPE_NONE || type >= LCIP_N_TYPES ||
      (wire != type && !(wire == LCIP_TYPE_F16 && type == LCIP_TYPE_F32)))
    wrong(reader, "a tensor's type is none that there is");
  if (rank > LCIP_MAX_RANK)
    wrong(reader, "a tensor has too many dimensions");
  *spec = (LcipTensorSpec){0};
  *wire_type = LCIP_TYPE_NONE;
  if (reader->what)
    return;
  spec->type = type;
  *wire_type = wire;
  for (int i = 0; i < rank && !reader->what; i++) {
    const guint32 dim = get_u32(reader);
    if (dim > LCIP_WIRE_MAX_DIM)
      wrong(reader, "a tensor's dimension is too large");
    spec->shape.dims[i] = (gint64)dim;
    spec->shape.rank = i + 1;
  }
}

static void get_tensors(Reader *reader, LcipWireTensor *tensors, guint32 *n, guint64 *total) {
  *n = get_count(reader, LCIP_WIRE_MAX_TENSORS, "there are too many tensors");
  *total = 0;
  for (guint32 i = 0; i < *n && !reader->what; i++) {
    gsize bytes = 0;
    get_spec(reader, &tensors[i].spec, &tensors[i].wire_type);
    if (!lcip_wire_tensor_bytes(&tensors[i], &bytes) || bytes > G_MAXINT64 - *total)
      wrong(reader, "a tensor's size overflows");
    *total += bytes;
  }
  if (reader->what)
    *n = 0;
}

static void get_key(Reader *reader, guint8 *key) {
  const guint8 *at = take(reader, 32);
  if (at)
    memcpy(key, at, 32);
}

/* ---- the fields of each type ---- */

static void put_hello(GByteArray *out, const LcipWire *wire) {
  put_text(out, &wire->hello.software);
  put_text(out, &wire->hello.name);
}

static void get_hello(Reader *reader, LcipWire *wire) {
  wire->hello.software = get_text(reader);
  wire->hello.name = get_text(reader);
}

static void put_device(GByteArray *out, const LcipWireDevice *device) {
  put_text(out, &device->id);
  put_text(out, &device->name);
  put_u32(out, device->kind);
  put_u32(out, device->units);
  put_u64(out, device->memory_bytes);
}

static void put_welcome(GByteArray *out, const LcipWire *wire) {
  const LcipWireWelcome *w = &wire->welcome;
  put_text(out, &w->software);
  put_text(out, &w->name);
  put_text(out, &w->features);
  put_u64(out, w->instance);
  put_u64(out, w->max_memory_bytes);
  put_u64(out, w->max_document_bytes);
  put_u32(out, w->max_sessions);
  put_u32(out, w->max_credits);
  put_u32(out, w->n_devices);
  for (guint32 i = 0; i < MIN(w->n_devices, LCIP_WIRE_MAX_DEVICES); i++)
    put_device(out, &w->devices[i]);
}

static void get_device(Reader *reader, LcipWireDevice *device) {
  device->id = get_text(reader);
  device->name = get_text(reader);
  device->kind = get_u32(reader);
  device->units = get_u32(reader);
  device->memory_bytes = get_u64(reader);
  if (device->kind > LCIP_LANE_OPENCL)
    wrong(reader, "a device's kind is none that there is");
}

static void get_welcome(Reader *reader, LcipWire *wire) {
  LcipWireWelcome *w = &wire->welcome;
  w->software = get_text(reader);
  w->name = get_text(reader);
  w->features = get_text(reader);
  w->instance = get_u64(reader);
  w->max_memory_bytes = get_u64(reader);
  w->max_document_bytes = get_u64(reader);
  w->max_sessions = get_u32(reader);
  w->max_credits = get_u32(reader);
  w->n_devices = get_count(reader, LCIP_WIRE_MAX_DEVICES, "there are too many devices");
  for (guint32 i = 0; i < w->n_devices && !reader->what; i++)
    get_device(reader, &w->devices[i]);
}

static void put_deploy(GByteArray *out, const LcipWire *wire) {
  const LcipWireDeploy *d = &wire->deploy;
  put_text(out, &d->device);
  put_u32(out, d->flags);
  put_u32(out, d->threads);
  put_u32(out, d->credits);
  put_u32(out, d->n_tensors);
  put_u64(out, d->document_bytes);
  put_u64(out, d->manifest_bytes);
}

static void get_deploy(Reader *reader, LcipWire *wire) {
  LcipWireDeploy *d = &wire->deploy;
  d->device = get_text(reader);
  d->flags = get_u32(reader);
  d->threads = get_u32(reader);
  d->credits = get_u32(reader);
  d->n_tensors = get_u32(reader);
  d->document_bytes = get_u64(reader);
  d->manifest_bytes = get_u64(reader);
  if (d->flags & ~(guint32)(LCIP_DEPLOY_PINNED | LCIP_DEPLOY_F16))
    wrong(reader, "a flag is none that there is");
}

static void put_bulk(GByteArray *out, const LcipWire *wire) {
  put_u32(out, wire->bulk.item);
  put_u64(out, wire->bulk.offset);
}

static void get_bulk(Reader *reader, LcipWire *wire) {
  wire->bulk.item = get_u32(reader);
  wire->bulk.offset = get_u64(reader);
}

static void put_need(GByteArray *out, const LcipWire *wire) {
  put_u32(out, wire->need.n);
  put_u32(out, wire->need.is_last);
}

static void get_need(Reader *reader, LcipWire *wire) {
  wire->need.n = get_count(reader, LCIP_WIRE_PART_BYTES / 4, "there are too many indices");
  wire->need.is_last = get_count(reader, 1, "is_last is neither 0 nor 1");
  if (reader->left != (gsize)wire->need.n * 4)
    wrong(reader, "the payload is not as long as the number of indices says");
}

static void put_ready(GByteArray *out, const LcipWire *wire) {
  put_u32(out, wire->ready.credits);
  put_u64(out, wire->ready.memory_bytes);
  put_tensors(out, wire->ready.tensors, wire->ready.n_tensors);
}

static void get_ready(Reader *reader, LcipWire *wire) {
  guint64 total;
  wire->ready.credits = get_u32(reader);
  wire->ready.memory_bytes = get_u64(reader);
  get_tensors(reader, wire->ready.tensors, &wire->ready.n_tensors, &total);
}

static void put_frame(GByteArray *out, const LcipWire *wire) {
  put_u64(out, wire->frame.frame);
  put_u64(out, wire->frame.total_bytes);
  put_tensors(out, wire->frame.tensors, wire->frame.n_tensors);
}

static void get_frame(Reader *reader, LcipWire *wire) {
  guint64 total;
  wire->frame.frame = get_u64(reader);
  wire->frame.total_bytes = get_u64(reader);
  get_tensors(reader, wire->frame.tensors, &wire->frame.n_tensors, &total);
  if (total != wire->frame.total_bytes)
    wrong(reader, "the size is not that of the tensors");
  if (reader->left != MIN(total, LCIP_WIRE_PART_BYTES))
    wrong(reader, "the payload is not as long as the size says");
}

static void put_result(GByteArray *out, const LcipWire *wire) {
  put_u64(out, (guint64)wire->frame.received_ns);
  put_u64(out, (guint64)wire->frame.started_ns);
  put_u64(out, (guint64)wire->frame.ended_ns);
  put_u64(out, (guint64)wire->frame.sent_ns);
  put_frame(out, wire);
}

static gint64 get_time(Reader *reader) {
  const guint64 value = get_u64(reader);
  if (value > G_MAXINT64 / 4)
    wrong(reader, "a time is too large");
  return reader->what ? 0 : (gint64)value;
}

static void get_result(Reader *reader, LcipWire *wire) {
  wire->frame.received_ns = get_time(reader);
  wire->frame.started_ns = get_time(reader);
  wire->frame.ended_ns = get_time(reader);
  wire->frame.sent_ns = get_time(reader);
  get_frame(reader, wire);
}

static void put_part(GByteArray *out, const LcipWire *wire) {
  put_u64(out, wire->part.frame);
  put_u64(out, wire->part.offset);
}

static void get_part(Reader *reader, LcipWire *wire) {
  wire->part.frame = get_u64(reader);
  wire->part.offset = get_u64(reader);
  if (reader->left == 0)
    wrong(reader, "a part without a payload");
}

static void put_ping(GByteArray *out, const LcipWire *wire) {
  put_u64(out, (guint64)wire->ping.ping_ns);
}

static void get_ping(Reader *reader, LcipWire *wire) {
  wire->ping.ping_ns = get_time(reader);
  wire->ping.padding_bytes = (guint32)reader->left;
}

static void put_pong(GByteArray *out, const LcipWire *wire) {
  put_u64(out, (guint64)wire->ping.ping_ns);
  put_u64(out, (guint64)wire->ping.received_ns);
  put_u64(out, (guint64)wire->ping.pong_ns);
  put_u32(out, wire->ping.padding_bytes);
}

static void get_pong(Reader *reader, LcipWire *wire) {
  wire->ping.ping_ns = get_time(reader);
  wire->ping.received_ns = get_time(reader);
  wire->ping.pong_ns = get_time(reader);
  wire->ping.padding_bytes = get_u32(reader);
}

static void put_error(GByteArray *out, const LcipWire *wire) {
  put_u32(out, wire->error.code);
  put_u64(out, wire->error.frame);
  put_text(out, &wire->error.message);
}

static void get_error(Reader *reader, LcipWire *wire) {
  wire->error.code = get_u32(reader);
  wire->error.frame = get_u64(reader);
  wire->error.message = get_text(reader);
}

static void put_bye(GByteArray *out, const LcipWire *wire) {
  put_text(out, &wire->bye);
}

static void get_bye(Reader *reader, LcipWire *wire) {
  wire->bye = get_text(reader);
}

/* ---- the table of types ---- */

typedef enum { FOR_CONNECTION, FOR_SESSION, FOR_EITHER } Scope;
typedef enum { NO_PAYLOAD, WITH_PAYLOAD } Payload;

static const struct {
  const char *name;
  Scope scope;
  Payload payload;
  void (*put)(GByteArray *out, const LcipWire *wire);
  void (*get)(Reader *reader, LcipWire *wire);
} types[LCIP_N_WIRE_TYPES] = {
    [LCIP_WIRE_HELLO] = {"HELLO", FOR_CONNECTION, NO_PAYLOAD, put_hello, get_hello},
    [LCIP_WIRE_WELCOME] = {"WELCOME", FOR_CONNECTION, NO_PAYLOAD, put_welcome, get_welcome},
    [LCIP_WIRE_DEPLOY] = {"DEPLOY", FOR_SESSION, NO_PAYLOAD, put_deploy, get_deploy},
    [LCIP_WIRE_BULK] = {"BULK", FOR_SESSION, WITH_PAYLOAD, put_bulk, get_bulk},
    [LCIP_WIRE_NEED] = {"NEED", FOR_SESSION, WITH_PAYLOAD, put_need, get_need},
    [LCIP_WIRE_READY] = {"READY", FOR_SESSION, NO_PAYLOAD, put_ready, get_ready},
    [LCIP_WIRE_FRAME] = {"FRAME", FOR_SESSION, WITH_PAYLOAD, put_frame, get_frame},
    [LCIP_WIRE_PART] = {"PART", FOR_SESSION, WITH_PAYLOAD, put_part, get_part},
    [LCIP_WIRE_RESULT] = {"RESULT", FOR_SESSION, WITH_PAYLOAD, put_result, get_result},
    [LCIP_WIRE_PING] = {"PING", FOR_CONNECTION, WITH_PAYLOAD, put_ping, get_ping},
    [LCIP_WIRE_PONG] = {"PONG", FOR_CONNECTION, NO_PAYLOAD, put_pong, get_pong},
    [LCIP_WIRE_ERROR] = {"ERROR", FOR_EITHER, NO_PAYLOAD, put_error, get_error},
    [LCIP_WIRE_BYE] = {"BYE", FOR_EITHER, NO_PAYLOAD, put_bye, get_bye},
};

static gboolean type_is_known(guint type) {
  return type < LCIP_N_WIRE_TYPES && types[type].name;
}

const char *lcip_wire_type_name(LcipWireType type) {
  return type_is_known(type) ? types[type].name : "?";
}

/* ---- whole messages ---- */

static guint32 checksum(const guint8 *header, const guint8 *body, gsize body_bytes) {
  return lcip_crc32c(lcip_crc32c(0, header, CRC_OFFSET), body, body_bytes);
}

gboolean lcip_wire_encode(const LcipWire *wire, const LcipBuffer *payload, guint n, GByteArray *out,
                          GError **error) {
  gsize payload_bytes = 0;
  g_byte_array_set_size(out, 0);
  put_u32(out, LCIP_WIRE_MAGIC);
  put_u16(out, LCIP_WIRE_VERSION);
  put_u16(out, (guint16)wire->type);
  put_u32(out, wire->session);
  g_byte_array_set_size(out, LCIP_WIRE_HEADER_BYTES);
  types[wire->type].put(out, wire);
  const gsize fields = out->len - LCIP_WIRE_HEADER_BYTES;
  for (guint i = 0; i < n; i++)
    payload_bytes += payload[i].size_bytes;
  if (fields > LCIP_WIRE_MAX_FIELD_BYTES || payload_bytes > LCIP_WIRE_PART_BYTES)
    return fail(error, LCIP_REMOTE_ERROR_LIMIT,
                "%s: expected at most %u bytes of fields and %u of payload, found %" G_GSIZE_FORMAT
                " and %" G_GSIZE_FORMAT,
                types[wire->type].name, LCIP_WIRE_MAX_FIELD_BYTES, LCIP_WIRE_PART_BYTES, fields,
                payload_bytes);
  const guint32 body = GUINT32_TO_LE((guint32)(fields + payload_bytes));
  memcpy(out->data + CRC_OFFSET - sizeof body, &body, sizeof body);
  guint32 crc = checksum(out->data, out->data + LCIP_WIRE_HEADER_BYTES, fields);
  for (guint i = 0; i < n; i++)
    crc = lcip_crc32c(crc, payload[i].data, payload[i].size_bytes);
  const guint32 tail[2] = {GUINT32_TO_LE(crc), 0};
  memcpy(out->data + CRC_OFFSET, tail, sizeof tail);
  return TRUE;
}

static gboolean read_header(Reader *reader, LcipWire *wire, GError **error) {
  const gsize size = reader->left;
  const guint8 *header = reader->data;
  const guint32 magic = get_u32(reader);
  const guint version = get_u16(reader), type = get_u16(reader);
  const guint32 session = get_u32(reader), body = get_u32(reader), crc = get_u32(reader);
  const guint32 reserved = get_u32(reader);
  if (reader->what || magic != LCIP_WIRE_MAGIC)
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL,
                "expected a message of LCIP's protocol, found %" G_GSIZE_FORMAT
                " bytes that are none",
                size);
  if (version != LCIP_WIRE_VERSION)
    return fail(error, LCIP_REMOTE_ERROR_VERSION, "expected protocol version %u, found %u",
                LCIP_WIRE_VERSION, version);
  if (!type_is_known(type))
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL, "expected a type of message, found %u", type);
  if (body != reader->left || reserved != 0)
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL,
                "%s: expected %" G_GSIZE_FORMAT " bytes after the header as there are, found %u",
                types[type].name, reader->left, body);
  if (crc != checksum(header, reader->data, reader->left))
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL, "%s: its checksum is wrong", types[type].name);
  wire->type = (LcipWireType)type;
  wire->session = session;
  return TRUE;
}

static void check_scope(Reader *reader, const LcipWire *wire) {
  const Scope scope = types[wire->type].scope;
  if (scope != FOR_EITHER && (scope == FOR_SESSION) != (wire->session != 0))
    wrong(reader, scope == FOR_SESSION ? "it names no session" : "it names a session");
}

gboolean lcip_wire_decode(const guint8 *data, gsize size_bytes, LcipWire *wire, GError **error) {
  Reader reader = {.data = data, .left = size_bytes};
  memset(wire, 0, sizeof *wire);
  if (size_bytes > LCIP_WIRE_MAX_MESSAGE_BYTES)
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL,
                "expected a message of at most %u bytes, found %" G_GSIZE_FORMAT,
                LCIP_WIRE_MAX_MESSAGE_BYTES, size_bytes);
  if (!read_header(&reader, wire, error))
    return FALSE;
  check_scope(&reader, wire);
  types[wire->type].get(&reader, wire);
  if (types[wire->type].payload == NO_PAYLOAD && reader.left != 0)
    wrong(&reader, "there are bytes too many");
  if (reader.left > LCIP_WIRE_PART_BYTES)
    wrong(&reader, "its payload is too long");
  if (reader.what)
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL, "%s: %s", types[wire->type].name, reader.what);
  wire->payload = reader.data;
  wire->payload_bytes = reader.left;
  return TRUE;
}

LcipWireText lcip_wire_text(const char *text) {
  return text ? (LcipWireText){text, strlen(text)} : (LcipWireText){"", 0};
}

char *lcip_wire_text_dup(const LcipWireText *text) {
  return g_strndup(text->text ? text->text : "", text->length);
}

gboolean lcip_wire_tensor_bytes(const LcipWireTensor *tensor, gsize *bytes) {
  LcipTensorSpec spec = tensor->spec;
  spec.type = tensor->wire_type;
  return lcip_tensor_spec_bytes(&spec, bytes);
}

void lcip_wire_unpack_f16(const guint8 *source, float *target, gsize n) {
  lcip_io_to_f32(LCIP_TYPE_F16, source, target, n);
}

/* ---- manifests ---- */

static void entry_clear(gpointer data) {
  g_clear_pointer(&((LcipManifestEntry *)data)->key, g_free);
}

GByteArray *lcip_manifest_encode(const GArray *entries) {
  GByteArray *out = g_byte_array_new();
  for (guint i = 0; i < entries->len; i++) {
    const LcipManifestEntry *entry = &g_array_index(entries, LcipManifestEntry, i);
    const LcipWireText key = lcip_wire_text(entry->key);
    put_text(out, &key);
    put_spec(out, &entry->spec, entry->spec.type);
    g_byte_array_append(out, entry->sha256, sizeof entry->sha256);
  }
  return out;
}

static void get_entry(Reader *reader, LcipManifestEntry *entry) {
  const LcipWireText key = get_text(reader);
  LcipType wire_type;
  gsize bytes;
  get_spec(reader, &entry->spec, &wire_type);
  get_key(reader, entry->sha256);
  if (wire_type != entry->spec.type || !lcip_tensor_spec_bytes(&entry->spec, &bytes))
    wrong(reader, "a weight tensor's size overflows");
  entry->key = lcip_wire_text_dup(&key);
}

/* At most @n entries are allocated, and each only after its bytes have been read. */
GArray *lcip_manifest_decode(const guint8 *data, gsize size_bytes, guint n, GError **error) {
  Reader reader = {.data = data, .left = size_bytes};
  GArray *entries = g_array_new(FALSE, TRUE, sizeof(LcipManifestEntry));
  g_array_set_clear_func(entries, entry_clear);
  for (guint i = 0; i < n && !reader.what; i++) {
    LcipManifestEntry entry = {0};
    get_entry(&reader, &entry);
    g_array_append_val(entries, entry);
  }
  if (reader.left > 0)
    wrong(&reader, "there are bytes too many");
  if (!reader.what)
    return entries;
  fail(error, LCIP_REMOTE_ERROR_PROTOCOL, "the manifest: %s", reader.what);
  g_array_unref(entries);
  return NULL;
}
