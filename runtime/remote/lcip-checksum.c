#include "config.h"
#include "lcip-codec.h"

#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* CRC-32C: polynomial 0x1EDC6F41, reflected 0x82F63B78, as in RFC 3720 (iSCSI). By the processor's
 * instruction where it has one, else eight bytes at a time by tables (Kounavis and Berry, "A
 * systematic approach to building high performance software-based CRC generators", 2005). */

#define REFLECTED 0x82f63b78u

static guint32 tables[8][256];

static void fill_tables(void) {
  for (guint32 i = 0; i < 256; i++) {
    guint32 crc = i;
    for (int bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (crc & 1 ? REFLECTED : 0);
    tables[0][i] = crc;
  }
  for (guint32 i = 0; i < 256; i++)
    for (int t = 1; t < 8; t++)
      tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 255];
}

static guint32 by_tables(guint32 crc, const guint8 *data, gsize n) {
  static gsize once;
  if (g_once_init_enter(&once)) {
    fill_tables();
    g_once_init_leave(&once, 1);
  }
  for (; n >= 8; n -= 8, data += 8) {
    guint64 word;
    memcpy(&word, data, sizeof word);
    word = GUINT64_FROM_LE(word) ^ crc;
    crc = 0;
    for (int t = 0; t < 8; t++)
      crc ^= tables[7 - t][word >> (8 * t) & 255];
  }
  for (; n > 0; n--, data++)
    crc = crc >> 8 ^ tables[0][(crc ^ *data) & 255];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static guint32 by_instruction(guint32 crc, const guint8 *data,
                                                                gsize n) {
  guint64 wide = crc;
  for (; n >= 8; n -= 8, data += 8) {
    guint64 word;
    memcpy(&word, data, sizeof word);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = (guint32)wide;
  for (; n > 0; n--, data++)
    crc = _mm_crc32_u8(crc, *data);
  return crc;
}
#endif

guint32 lcip_crc32c(guint32 crc, const void *data, gsize size_bytes) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2"))
    return ~by_instruction(~crc, data, size_bytes);
#endif
  return ~by_tables(~crc, data, size_bytes);
}

/* ---- half precision on the wire ---- */

static guint16 to_f16(float value) {
  guint32 bits;
  memcpy(&bits, &value, sizeof bits);
  const guint32 sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) /* not a number: quiet, the payload's upper bits kept */
    return (guint16)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
  if (magnitude >= 0x477ff000) /* rounds to 65520 or more: infinity */
    return (guint16)(sign | 0x7c00);
  if (magnitude < 0x38800000) { /* below 2^-14: subnormal, or zero */
    const guint32 exponent = magnitude >> 23;
    if (exponent < 102)
      return (guint16)sign;
    const guint32 mantissa = (magnitude & 0x7fffff) | 0x800000, shift = 126 - exponent;
    const guint32 half = 1u << (shift - 1), rest = mantissa & ((1u << shift) - 1);
    const guint32 kept = mantissa >> shift;
    return (guint16)(sign | (kept + (rest > half || (rest == half && (kept & 1)))));
  }
  const guint32 rebased = magnitude - (112u << 23), rest = rebased & 0x1fff;
  const guint32 kept = rebased >> 13;
  return (guint16)(sign | (kept + (rest > 0x1000 || (rest == 0x1000 && (kept & 1)))));
}

void lcip_wire_pack_f16(const float *source, guint8 *target, gsize n) {
  for (gsize i = 0; i < n; i++) {
    const guint16 bits = GUINT16_TO_LE(to_f16(source[i]));
    memcpy(target + 2 * i, &bits, sizeof bits);
  }
}
