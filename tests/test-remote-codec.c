#include "config.h"
#include "lcip-codec.h"
#include "lcip-keys.h"
#include "lcip-stream.h"
#include "lcip-test-home.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

/* The messages between clients and workers, the stream of a frame's tensors, and the key files. */

static GByteArray *encode(const LcipWire *wire) {
  g_autoptr(GError) error = NULL;
  GByteArray *out = g_byte_array_new();
  const LcipBuffer payload = {wire->payload, wire->payload_bytes};
  g_assert_true(lcip_wire_encode(wire, &payload, wire->payload_bytes ? 1 : 0, out, &error));
  g_assert_no_error(error);
  if (wire->payload_bytes)
    g_byte_array_append(out, wire->payload, (guint)wire->payload_bytes);
  return out;
}

static LcipWireTensor tensor_f32(int n, LcipType wire_type) {
  const gint64 dims[] = {1, n};
  return (LcipWireTensor){lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape_from_dims(2, dims)),
                          wire_type};
}

static const guint8 eight[8] = {1, 2, 3, 4, 5, 6, 7, 8};

/* One of each type, with every field filled. */
static LcipWire example(LcipWireType type) {
  LcipWire wire = {.type = type, .session = 7};
  switch (type) {
  case LCIP_WIRE_HELLO:
    wire.session = 0;
    wire.hello = (LcipWireHello){lcip_wire_text("lcip 1"), lcip_wire_text("jürgen@host")};
    break;
  case LCIP_WIRE_WELCOME:
    wire.session = 0;
    wire.welcome = (LcipWireWelcome){.software = lcip_wire_text("lcip 1"),
                                     .name = lcip_wire_text("w"),
                                     .features = lcip_wire_text("avx2"),
                                     .instance = 1234567890123,
                                     .max_memory_bytes = 1 << 30,
                                     .max_document_bytes = 1 << 20,
                                     .max_sessions = 3,
                                     .max_credits = 4,
                                     .n_devices = 1};
    wire.welcome.devices[0] =
        (LcipWireDevice){lcip_wire_text("cpu"), lcip_wire_text("A CPU"), 0, 8, 1 << 30};
    break;
  case LCIP_WIRE_DEPLOY:
    wire.deploy = (LcipWireDeploy){lcip_wire_text("cpu"), LCIP_DEPLOY_PINNED, 2, 4, 10, 1000, 500};
    break;
  case LCIP_WIRE_BULK:
    wire.bulk = (LcipWireBulk){2, 262144};
    wire.payload = eight;
    wire.payload_bytes = 8;
    break;
  case LCIP_WIRE_NEED:
    wire.need = (LcipWireNeed){2, 1};
    wire.payload = eight;
    wire.payload_bytes = 8;
    break;
  case LCIP_WIRE_READY:
    wire.ready = (LcipWireReady){.credits = 4, .n_tensors = 1, .memory_bytes = 77};
    wire.ready.tensors[0] = tensor_f32(5, LCIP_TYPE_F32);
    break;
  case LCIP_WIRE_FRAME:
  case LCIP_WIRE_RESULT:
    wire.frame = (LcipWireFrame){.frame = 99, .total_bytes = 8, .n_tensors = 1};
    if (type == LCIP_WIRE_RESULT) {
      wire.frame.received_ns = 1;
      wire.frame.started_ns = 2;
      wire.frame.ended_ns = 3;
      wire.frame.sent_ns = 4;
    }
    wire.frame.tensors[0] = tensor_f32(4, LCIP_TYPE_F16);
    wire.payload = eight;
    wire.payload_bytes = 8;
    break;
  case LCIP_WIRE_PART:
    wire.part = (LcipWirePart){99, 262144};
    wire.payload = eight;
    wire.payload_bytes = 8;
    break;
  case LCIP_WIRE_PING:
  case LCIP_WIRE_PONG:
    wire.session = 0;
    wire.ping = (LcipWirePing){.ping_ns = 5};
    if (type == LCIP_WIRE_PONG)
      wire.ping = (LcipWirePing){5, 6, 7, 8};
    break;
  case LCIP_WIRE_ERROR:
    wire.error = (LcipWireError){LCIP_REMOTE_ERROR_MEMORY, 12, lcip_wire_text("too much")};
    break;
  case LCIP_WIRE_BYE:
  default:
    wire.bye = lcip_wire_text("ends");
    break;
  }
  return wire;
}

static gboolean texts_equal(const LcipWireText *a, const LcipWireText *b) {
  return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

/* Encoding what was decoded gives the same bytes: so every field has come through. */
static void test_round_trip(void) {
  for (int type = 1; type < LCIP_N_WIRE_TYPES; type++) {
    g_autoptr(GError) error = NULL;
    const LcipWire wire = example(type);
    LcipWire decoded;
    g_autoptr(GByteArray) bytes = encode(&wire);
    g_assert_true(lcip_wire_decode(bytes->data, bytes->len, &decoded, &error));
    g_assert_no_error(error);
    g_assert_cmpint(decoded.type, ==, type);
    g_assert_cmpuint(decoded.session, ==, wire.session);
    g_autoptr(GByteArray) again = encode(&decoded);
    g_assert_cmpmem(bytes->data, bytes->len, again->data, again->len);
  }
  const LcipWire hello = example(LCIP_WIRE_HELLO);
  LcipWire decoded;
  g_autoptr(GByteArray) bytes = encode(&hello);
  g_assert_true(lcip_wire_decode(bytes->data, bytes->len, &decoded, NULL));
  g_assert_true(texts_equal(&hello.hello.name, &decoded.hello.name));
}

/* Every cut and every flipped bit of every type is refused, by a message. */
static void test_damage(void) {
  for (int type = 1; type < LCIP_N_WIRE_TYPES; type++) {
    const LcipWire wire = example(type);
    LcipWire decoded;
    g_autoptr(GByteArray) bytes = encode(&wire);
    for (guint n = 0; n < bytes->len; n++) {
      g_autoptr(GError) error = NULL;
      g_assert_false(lcip_wire_decode(bytes->data, n, &decoded, &error));
      g_assert_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_PROTOCOL);
    }
    for (guint bit = 0; bit < 8 * bytes->len; bit++) {
      g_autoptr(GError) error = NULL;
      bytes->data[bit / 8] ^= (guint8)(1 << bit % 8);
      g_assert_false(lcip_wire_decode(bytes->data, bytes->len, &decoded, &error));
      g_assert_true(error->domain == LCIP_REMOTE_ERROR);
      bytes->data[bit / 8] ^= (guint8)(1 << bit % 8);
    }
  }
}

static void sign(GByteArray *bytes) {
  const guint32 body = GUINT32_TO_LE(bytes->len - LCIP_WIRE_HEADER_BYTES);
  memcpy(bytes->data + 12, &body, sizeof body);
  const guint32 crc = GUINT32_TO_LE(lcip_crc32c(lcip_crc32c(0, bytes->data, 16),
                                                bytes->data + LCIP_WIRE_HEADER_BYTES,
                                                bytes->len - LCIP_WIRE_HEADER_BYTES));
  memcpy(bytes->data + 16, &crc, sizeof crc);
}

/* With a right checksum: whatever is accepted stays inside the message and within the limits. */
static void test_hostile(void) {
  GRand *random = g_rand_new_with_seed(4);
  guint accepted = 0;
  for (guint i = 0; i < 200000; i++) {
    const LcipWire wire = example(1 + (int)(i % (LCIP_N_WIRE_TYPES - 1)));
    LcipWire decoded;
    g_autoptr(GByteArray) bytes = encode(&wire);
    for (int n = g_rand_int_range(random, 1, 4); n > 0; n--)
      bytes->data[g_rand_int_range(random, 6, (gint32)bytes->len)] =
          g_rand_boolean(random) ? 255 : (guint8)g_rand_int(random);
    if (g_rand_int_range(random, 0, 4) == 0)
      g_byte_array_set_size(
          bytes, (guint)g_rand_int_range(random, LCIP_WIRE_HEADER_BYTES, (gint32)bytes->len + 1));
    memset(bytes->data + 20, 0, 4);
    sign(bytes);
    if (!lcip_wire_decode(bytes->data, bytes->len, &decoded, NULL))
      continue;
    accepted++;
    g_assert_cmpuint(decoded.payload_bytes, <=, LCIP_WIRE_PART_BYTES);
    g_assert_true(decoded.payload >= bytes->data &&
                  decoded.payload + decoded.payload_bytes <= bytes->data + bytes->len);
    if (decoded.type == LCIP_WIRE_FRAME || decoded.type == LCIP_WIRE_RESULT)
      g_assert_cmpuint(decoded.frame.n_tensors, <=, LCIP_WIRE_MAX_TENSORS);
    g_autoptr(GByteArray) again = encode(&decoded);
    g_assert_cmpmem(bytes->data, bytes->len, again->data, again->len);
  }
  g_rand_free(random);
  g_assert_cmpuint(accepted, >, 1000);
}

static void expect_refusal(GByteArray *bytes, LcipRemoteErrorCode code, const char *part) {
  g_autoptr(GError) error = NULL;
  LcipWire decoded;
  g_assert_false(lcip_wire_decode(bytes->data, bytes->len, &decoded, &error));
  g_assert_error(error, LCIP_REMOTE_ERROR, (gint)code);
  g_assert_nonnull(strstr(error->message, part));
}

static void test_sizes_and_versions(void) {
  const LcipWire frame = example(LCIP_WIRE_FRAME), bulk = example(LCIP_WIRE_BULK);
  const guint32 four_gib = GUINT32_TO_LE(0xffffffffu);
  const guint16 old_version = GUINT16_TO_LE(0);
  g_autoptr(GByteArray) length = encode(&bulk);
  memcpy(length->data + 12, &four_gib, 4);
  expect_refusal(length, LCIP_REMOTE_ERROR_PROTOCOL, "after the header");
  g_autoptr(GByteArray) total = encode(&frame);
  memcpy(total->data + LCIP_WIRE_HEADER_BYTES + 8, &four_gib, 4);
  sign(total);
  expect_refusal(total, LCIP_REMOTE_ERROR_PROTOCOL, "size");
  g_autoptr(GByteArray) dim = encode(&frame);
  memcpy(dim->data + LCIP_WIRE_HEADER_BYTES + 24, &four_gib, 4);
  sign(dim);
  expect_refusal(dim, LCIP_REMOTE_ERROR_PROTOCOL, "dimension");
  g_autoptr(GByteArray) old = encode(&bulk);
  memcpy(old->data + 4, &old_version, 2);
  expect_refusal(old, LCIP_REMOTE_ERROR_VERSION, "version");
  g_autoptr(GByteArray) large = g_byte_array_new();
  g_byte_array_set_size(large, LCIP_WIRE_MAX_MESSAGE_BYTES + 1);
  memset(large->data, 0, large->len);
  expect_refusal(large, LCIP_REMOTE_ERROR_PROTOCOL, "at most");
}

/* A message of any error can be sent: cut, and without what texts may not hold. */
static void test_texts(void) {
  g_autofree char *text = g_strnfill(3000, 'x');
  memcpy(text, "a\nb\xff", 4);
  const LcipWire wire = {.type = LCIP_WIRE_ERROR, .error = {.message = lcip_wire_text(text)}};
  LcipWire decoded;
  g_autoptr(GByteArray) bytes = encode(&wire);
  g_assert_true(lcip_wire_decode(bytes->data, bytes->len, &decoded, NULL));
  g_assert_cmpuint(decoded.error.message.length, <=, LCIP_WIRE_MAX_TEXT_BYTES);
  g_assert_true(g_str_has_prefix(decoded.error.message.text, "a b\xef\xbf\xbdxx"));
}

static void test_checksum(void) {
  guint8 data[100];
  for (guint i = 0; i < sizeof data; i++)
    data[i] = (guint8)(i * 7);
  g_assert_cmphex(lcip_crc32c(0, "123456789", 9), ==, 0xe3069283u); /* RFC 3720, B.4 */
  guint32 crc = 0;
  for (guint i = 0; i < sizeof data; i++)
    crc = lcip_crc32c(crc, data + i, 1);
  g_assert_cmphex(crc, ==, lcip_crc32c(0, data, sizeof data));
}

static void test_f16(void) {
  const struct {
    float value;
    guint16 bits;
  } cases[] = {{0, 0},
               {-0.0f, 0x8000},
               {1, 0x3c00},
               {65504, 0x7bff},
               {65519, 0x7bff},
               {65520, 0x7c00},
               {INFINITY, 0x7c00},
               {0x1p-24f, 1},
               {0x1p-25f, 0},
               {0x1.8p-25f, 1},
               {0x1p-14f, 0x400},
               {1.00048828125f, 0x3c00},
               {1.00146484375f, 0x3c02}};
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    guint16 bits;
    lcip_wire_pack_f16(&cases[i].value, (guint8 *)&bits, 1);
    g_assert_cmphex(GUINT16_FROM_LE(bits), ==, cases[i].bits);
  }
  for (guint value = 0; value < 0x7c00; value++) {
    const guint16 bits = GUINT16_TO_LE(value);
    guint16 back;
    float wide;
    lcip_wire_unpack_f16((const guint8 *)&bits, &wide, 1);
    lcip_wire_pack_f16(&wide, (guint8 *)&back, 1);
    g_assert_cmphex(back, ==, bits);
  }
  const float nan = NAN;
  guint16 bits;
  lcip_wire_pack_f16(&nan, (guint8 *)&bits, 1);
  g_assert_cmphex(GUINT16_FROM_LE(bits) & 0x7e00, ==, 0x7e00);
}

/* Tensors of odd sizes, parts that begin and end inside them, f16 between. */
static void test_stream(void) {
  const gint64 odd = 262143, many = 200001;
  g_autofree guint8 *bytes = g_malloc((gsize)odd), *bytes_out = g_malloc0((gsize)odd);
  g_autofree float *floats = g_new(float, many), *floats_out = g_new0(float, many);
  for (gint64 i = 0; i < odd; i++)
    bytes[i] = (guint8)(i * 31);
  for (gint64 i = 0; i < many; i++)
    floats[i] = (float)(i % 2048);
  LcipFrameTensor from[] = {
      {{lcip_tensor_spec(LCIP_TYPE_U8, lcip_shape_from_dims(1, &odd)), LCIP_TYPE_U8}, bytes},
      {{lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape_from_dims(1, &many)), LCIP_TYPE_F16}, floats}};
  LcipFrameTensor to[] = {from[0], from[1]};
  to[0].data = bytes_out;
  to[1].data = floats_out;
  LcipStream out, in;
  g_assert_true(lcip_stream_open_send(&out, from, 2, NULL));
  g_assert_true(lcip_stream_open_receive(&in, to, 2, NULL));
  while (out.done_bytes < out.total_bytes) {
    LcipBuffer buffers[LCIP_WIRE_MAX_TENSORS];
    gsize part;
    const guint n = lcip_stream_next(&out, buffers, &part);
    g_assert_cmpuint(part, <=, LCIP_WIRE_PART_BYTES);
    for (guint i = 0; i < n; i++)
      g_assert_true(lcip_stream_put(&in, buffers[i].data, buffers[i].size_bytes));
    out.done_bytes += part;
  }
  g_assert_cmpuint(in.done_bytes, ==, in.total_bytes);
  g_assert_false(lcip_stream_put(&in, bytes, 1));
  lcip_stream_finish_receive(&in, to, 2);
  lcip_stream_clear(&out);
  g_assert_cmpmem(bytes, (gsize)odd, bytes_out, (gsize)odd);
  g_assert_cmpmem(floats, sizeof(float) * (gsize)many, floats_out, sizeof(float) * (gsize)many);
}

static void entry_free(gpointer data) {
  g_free(((LcipManifestEntry *)data)->key);
}

static void test_manifest(void) {
  g_autoptr(GArray) entries = g_array_new(FALSE, TRUE, sizeof(LcipManifestEntry));
  g_array_set_clear_func(entries, entry_free);
  for (guint i = 0; i < 20; i++) {
    const gint64 dims[] = {i + 1, 3};
    LcipManifestEntry entry = {.key = g_strdup_printf("weights %u", i),
                               .spec =
                                   lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape_from_dims(2, dims))};
    memset(entry.sha256, (int)i, sizeof entry.sha256);
    g_array_append_val(entries, entry);
  }
  g_autoptr(GByteArray) bytes = lcip_manifest_encode(entries);
  g_autoptr(GArray) decoded = lcip_manifest_decode(bytes->data, bytes->len, 20, NULL);
  g_assert_nonnull(decoded);
  for (guint i = 0; i < 20; i++) {
    const LcipManifestEntry *a = &g_array_index(entries, LcipManifestEntry, i);
    const LcipManifestEntry *b = &g_array_index(decoded, LcipManifestEntry, i);
    g_assert_cmpstr(a->key, ==, b->key);
    g_assert_true(lcip_tensor_spec_equal(&a->spec, &b->spec));
    g_assert_cmpmem(a->sha256, 32, b->sha256, 32);
  }
  g_assert_null(lcip_manifest_decode(bytes->data, bytes->len, 21, NULL));
  g_assert_null(lcip_manifest_decode(bytes->data, bytes->len, 19, NULL));
  g_assert_null(lcip_manifest_decode(bytes->data, bytes->len, G_MAXUINT, NULL));
}

/* ---- keys ---- */

static void expect_mode(const char *name, guint mode) {
  g_autofree char *path = lcip_config_path(name);
  struct stat info;
  g_assert_cmpint(stat(path, &info), ==, 0);
  g_assert_cmphex(info.st_mode & 07777, ==, mode);
}

static void test_key_text(void) {
  guint8 key[LCIP_KEY_BYTES] = {0}, back[LCIP_KEY_BYTES];
  key[0] = 0xa5;
  key[31] = 0x0f;
  g_autofree char *text = lcip_key_to_text(key), *fingerprint = lcip_key_fingerprint(key);
  g_assert_true(lcip_key_from_text(text, back, NULL));
  g_assert_cmpmem(key, sizeof key, back, sizeof back);
  g_assert_true(g_regex_match_simple("^[A-Z2-7]{4}(-[A-Z2-7]{4}){3}$", fingerprint, 0, 0));
  g_assert_false(lcip_key_from_text("12", back, NULL));
  g_assert_false(lcip_key_from_text(NULL, back, NULL));
  text[3] = 'g';
  g_assert_false(lcip_key_from_text(text, back, NULL));
}

static void test_identity(void) {
#if !LCIP_HAVE_ZMQ
  g_test_skip("this build has no ZeroMQ");
  return;
#endif
  g_autoptr(GError) error = NULL;
  g_auto(LcipIdentity) first = {0}, second = {0}, third = {0};
  g_assert_true(lcip_identity_load(&first, &error));
  g_assert_no_error(error);
  expect_mode("identity.key", 0600);
  expect_mode("", 0700);
  g_assert_true(lcip_identity_load(&second, NULL));
  g_assert_cmpmem(&first, sizeof first, &second, sizeof second);
  g_assert_true(lcip_identity_new(&third, NULL));
  g_assert_true(memcmp(&first, &third, sizeof first) != 0);
  expect_mode("identity.key", 0600);
  g_autofree char *path = lcip_config_path("identity.key");
  g_chmod(path, 0644);
  g_assert_false(lcip_identity_load(&second, &error));
  g_assert_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_KEYS);
  g_assert_nonnull(strstr(error->message, "0600"));
}

static void test_known(void) {
  const char *address = "tcp://[fe80::1%eth0]:5577";
  guint8 key[LCIP_KEY_BYTES] = {1, 2, 3};
  g_autoptr(GError) error = NULL;
  g_assert_null(lcip_known_workers_find(address, &error));
  g_assert_nonnull(strstr(error->message, "lcip pair"));
  g_autoptr(LcipKnownWorker) worker = lcip_known_worker_new(address, "a; desk = \"x\"", key);
  lcip_known_worker_add_device(worker, "opencl:0", "opencl", "A; device", 3, 1 << 30);
  g_assert_true(lcip_known_workers_add(worker, NULL));
  expect_mode("workers", 0600);
  g_autoptr(LcipKnownWorker) found = lcip_known_workers_find(address, NULL);
  g_assert_nonnull(found);
  g_assert_cmpmem(found->key, sizeof key, key, sizeof key);
  g_assert_cmpstr(found->name, ==, worker->name);
  g_assert_cmpuint(found->devices->len, ==, 1);
  const LcipKnownDevice *device = found->devices->pdata[0];
  g_assert_cmpstr(device->id, ==, "opencl:0");
  g_assert_cmpstr(device->name, ==, "A; device");
  g_assert_cmpuint(device->units, ==, 3);
  g_autoptr(GPtrArray) all = lcip_known_workers(NULL);
  g_assert_cmpuint(all->len, ==, 1);
  g_assert_cmpstr(((LcipKnownWorker *)all->pdata[0])->address, ==, address);
  g_assert_true(lcip_known_workers_remove(address, NULL));
  g_assert_null(lcip_known_workers_find(address, NULL));
}

static void test_allowed(void) {
  guint8 key[LCIP_KEY_BYTES] = {4, 5, 6};
  g_autofree char *name = NULL;
  g_assert_false(lcip_allowed_client(key, NULL));
  g_assert_true(lcip_allowed_clients_add(key, "me", NULL));
  expect_mode("clients", 0600);
  g_assert_true(lcip_allowed_client(key, &name));
  g_assert_cmpstr(name, ==, "me");
  /* A list that others may have written allows nobody. */
  g_autofree char *path = lcip_config_path("clients");
  g_chmod(path, 0666);
  g_assert_false(lcip_allowed_client(key, NULL));
  g_chmod(path, 0600);
  g_assert_true(lcip_allowed_clients_remove(key, NULL));
  g_assert_false(lcip_allowed_client(key, NULL));
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_autofree char *home = lcip_test_make_home();
  g_test_add_func("/remote/codec/round-trip", test_round_trip);
  g_test_add_func("/remote/codec/damage", test_damage);
  g_test_add_func("/remote/codec/hostile", test_hostile);
  g_test_add_func("/remote/codec/sizes-and-versions", test_sizes_and_versions);
  g_test_add_func("/remote/codec/texts", test_texts);
  g_test_add_func("/remote/codec/checksum", test_checksum);
  g_test_add_func("/remote/codec/f16", test_f16);
  g_test_add_func("/remote/codec/stream", test_stream);
  g_test_add_func("/remote/codec/manifest", test_manifest);
  g_test_add_func("/remote/keys/text", test_key_text);
  g_test_add_func("/remote/keys/identity", test_identity);
  g_test_add_func("/remote/keys/known", test_known);
  g_test_add_func("/remote/keys/allowed", test_allowed);
  const int failed = g_test_run();
  lcip_test_remove_home(home);
  return failed;
}
