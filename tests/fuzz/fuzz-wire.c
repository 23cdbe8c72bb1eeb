#include "config.h"
#include "fuzz.h"

#include "lcip-codec.h"

/* An input is a message of the protocol between client and worker without its header: a byte of its
 * type, a byte that says whether it is for a session, then fields and payload. The header, whose
 * checksum no fuzzer would guess, is made here; as it stands the input is decoded too. */

#define HEADER LCIP_WIRE_HEADER_BYTES

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  fuzz_begin();
  return 0;
}

static void put32(guint8 *to, guint32 value) {
  value = GUINT32_TO_LE(value);
  memcpy(to, &value, sizeof value);
}

/* A header as docs/protocol.md has it. */
static GByteArray *message(const guint8 *data, gsize size) {
  GByteArray *out = g_byte_array_new();
  g_byte_array_set_size(out, HEADER);
  memset(out->data, 0, HEADER);
  put32(out->data, LCIP_WIRE_MAGIC);
  put32(out->data + 4, LCIP_WIRE_VERSION | (guint32)data[0] << 16);
  put32(out->data + 8, data[1] & 1 ? 7 : 0);
  put32(out->data + 12, (guint32)size - 2);
  g_byte_array_append(out, data + 2, (guint)size - 2);
  const guint32 crc = lcip_crc32c(0, out->data, 16);
  put32(out->data + 16, lcip_crc32c(crc, out->data + HEADER, out->len - HEADER));
  return out;
}

/* Of what is understood there is one form: encoded again it is the same. */
static void encode_again(const LcipWire *wire, const GByteArray *original) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GByteArray) again = g_byte_array_new();
  const LcipBuffer payload = {wire->payload, wire->payload_bytes};
  if (!lcip_wire_encode(wire, &payload, 1, again, &error))
    g_error("a message that was decoded cannot be encoded: %s", error->message);
  if (wire->payload_bytes)
    g_byte_array_append(again, wire->payload, (guint)wire->payload_bytes);
  if (again->len != original->len || memcmp(again->data, original->data, again->len) != 0)
    g_error("a %s that was decoded is encoded as another", lcip_wire_type_name(wire->type));
}

static void decode_raw(const guint8 *data, gsize size) {
  LcipWire wire;
  g_autoptr(GError) error = NULL;
  if (!lcip_wire_decode(data, size, &wire, &error))
    fuzz_check_error(error);
}

static void decode_manifest(const guint8 *data, gsize size) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) entries = lcip_manifest_decode(data + 1, size - 1, data[0], &error);
  if (!entries) {
    fuzz_check_error(error);
    return;
  }
  g_autoptr(GByteArray) again = lcip_manifest_encode(entries);
  if (again->len != size - 1 || (size > 1 && memcmp(again->data, data + 1, size - 1) != 0))
    g_error("a manifest that was decoded is encoded as another");
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size) {
  LcipWire wire;
  g_autoptr(GError) error = NULL;
  fuzz_start_clock();
  decode_raw(data, size);
  if (size < 2)
    return 0;
  decode_manifest(data, size);
  g_autoptr(GByteArray) whole = message(data, size);
  /* Of just its size, so that AddressSanitizer sees its end. */
  g_autofree guint8 *exact = g_memdup2(whole->data, whole->len);
  if (lcip_wire_decode(exact, whole->len, &wire, &error))
    encode_again(&wire, whole);
  else
    fuzz_check_error(error);
  return 0;
}
