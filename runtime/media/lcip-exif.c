#include "config.h"
#include "lcip-media-private.h"

#include <string.h>

/* How a camera was held: the tag Orientation of EXIF ("CIPA DC-008, Exchangeable image file
 * format", 4.6.4 A), which lies in a TIFF directory behind "Exif\0\0". */

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT 3
#define ENTRY_BYTES 12

typedef struct {
  const guint8 *data; /* of the TIFF header */
  gsize size;
  gboolean big_endian;
} Tiff;

static guint16 get16(const Tiff *tiff, gsize at) {
  const guint8 *p = tiff->data + at;
  return (guint16)(tiff->big_endian ? p[0] << 8 | p[1] : p[1] << 8 | p[0]);
}

static guint32 get32(const Tiff *tiff, gsize at) {
  const guint32 first = get16(tiff, at), second = get16(tiff, at + 2);
  return tiff->big_endian ? first << 16 | second : second << 16 | first;
}

static LcipOrientation find_orientation(const Tiff *tiff) {
  const gsize directory = get32(tiff, 4);
  if (directory > tiff->size - 2)
    return LCIP_ORIENTATION_NORMAL;
  const gsize n = MIN(get16(tiff, directory), (tiff->size - directory - 2) / ENTRY_BYTES);
  for (gsize i = 0; i < n; i++) {
    const gsize entry = directory + 2 + i * ENTRY_BYTES;
    if (get16(tiff, entry) != TAG_ORIENTATION || get16(tiff, entry + 2) != TYPE_SHORT)
      continue;
    const guint16 value = get16(tiff, entry + 8);
    return value >= LCIP_ORIENTATION_NORMAL && value <= LCIP_ORIENTATION_LEFT
               ? (LcipOrientation)value
               : LCIP_ORIENTATION_NORMAL;
  }
  return LCIP_ORIENTATION_NORMAL;
}

LcipOrientation lcip_exif_orientation(const guint8 *data, gsize size_bytes) {
  static const guint8 magic[] = {'E', 'x', 'i', 'f', 0, 0};
  Tiff tiff = {.data = data + sizeof magic};
  if (size_bytes < sizeof magic + 8 || memcmp(data, magic, sizeof magic) != 0)
    return LCIP_ORIENTATION_NORMAL;
  tiff.size = size_bytes - sizeof magic;
  tiff.big_endian = tiff.data[0] == 'M';
  if (memcmp(tiff.data, tiff.big_endian ? "MM" : "II", 2) != 0 || get16(&tiff, 2) != 42)
    return LCIP_ORIENTATION_NORMAL;
  return find_orientation(&tiff);
}

gboolean lcip_orientation_swaps(LcipOrientation orientation) {
  return orientation >= LCIP_ORIENTATION_TRANSPOSED;
}

LcipTensor *lcip_picture_turn(const LcipTensor *picture, LcipOrientation orientation) {
  const gint64 *dims = lcip_tensor_get_shape(picture)->dims;
  const gint64 height = dims[0], width = dims[1];
  const gboolean swap = lcip_orientation_swaps(orientation);
  const gint64 rows = swap ? width : height, columns = swap ? height : width;
  const gboolean from_right =
      orientation == LCIP_ORIENTATION_MIRRORED || orientation == LCIP_ORIENTATION_DOWN ||
      orientation == LCIP_ORIENTATION_TRANSVERSED || orientation == LCIP_ORIENTATION_LEFT;
  const gboolean from_bottom =
      orientation == LCIP_ORIENTATION_DOWN || orientation == LCIP_ORIENTATION_FLIPPED ||
      orientation == LCIP_ORIENTATION_RIGHT || orientation == LCIP_ORIENTATION_TRANSVERSED;
  LcipTensor *turned = lcip_picture_new((int)columns, (int)rows);
  if (!turned)
    return NULL;
  const guint8 *in = lcip_tensor_get_data(picture);
  guint8 *out = lcip_tensor_get_mutable(turned);
  for (gint64 y = 0; y < rows; y++)
    for (gint64 x = 0; x < columns; x++, out += 3) {
      const gint64 column = swap ? y : x, row = swap ? x : y;
      const gint64 from_x = from_right ? width - 1 - column : column;
      const gint64 from_y = from_bottom ? height - 1 - row : row;
      memcpy(out, in + (from_y * width + from_x) * 3, 3);
    }
  return turned;
}
