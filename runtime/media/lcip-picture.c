#include "config.h"
#include "lcip-media.h"

#include <string.h>

#include "lcip-io-private.h"
#include "lcip-media-private.h"

LcipTensor *lcip_picture_new(int width, int height) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_U8, lcip_shape(3, height, width, 3));
  return lcip_tensor_new(&spec);
}

LcipPictureKind lcip_picture_kind(const guint8 *data, gsize size_bytes) {
  static const guint8 png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  static const guint8 jpeg[] = {0xff, 0xd8, 0xff};
  if (size_bytes >= sizeof png && memcmp(data, png, sizeof png) == 0)
    return LCIP_PICTURE_PNG;
  if (size_bytes >= 4 && memcmp(data, "GIF8", 4) == 0)
    return LCIP_PICTURE_GIF;
  if (size_bytes >= sizeof jpeg && memcmp(data, jpeg, sizeof jpeg) == 0)
    return LCIP_PICTURE_JPEG;
  return LCIP_PICTURE_NONE;
}

gboolean lcip_picture_check_size(const char *name, gint64 width, gint64 height, GError **error) {
  if (width >= 1 && height >= 1 && width <= LCIP_PICTURE_MAX_SIDE &&
      height <= LCIP_PICTURE_MAX_SIDE)
    return TRUE;
  g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_FORMAT,
              "%s: expected a picture of 1 to %d pixels a side, found %" G_GINT64_FORMAT
              "x%" G_GINT64_FORMAT,
              name, LCIP_PICTURE_MAX_SIDE, width, height);
  return FALSE;
}

/* The file's bytes and what they are. */
static GBytes *read_picture(const char *path, LcipPictureKind *kind, GError **error) {
  g_autoptr(GError) local = NULL;
  char *data = NULL;
  gsize size_bytes = 0;
  if (!g_file_get_contents(path, &data, &size_bytes, &local)) {
    const gboolean denied = g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_ACCES);
    g_set_error_literal(error, LCIP_MEDIA_ERROR,
                        denied ? LCIP_MEDIA_ERROR_DENIED : LCIP_MEDIA_ERROR_NOT_FOUND,
                        local->message);
    return NULL;
  }
  g_autoptr(GBytes) bytes = g_bytes_new_take(data, size_bytes);
  *kind = lcip_picture_kind((const guint8 *)data, size_bytes);
  if (*kind == LCIP_PICTURE_PNG || *kind == LCIP_PICTURE_JPEG)
    return g_steal_pointer(&bytes);
  g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_FORMAT,
              "%s: expected a PNG or JPEG picture, found %s", path,
              *kind == LCIP_PICTURE_GIF ? "a GIF: save it as PNG" : "a file of another kind");
  return NULL;
}

LcipTensor *lcip_picture_load(const char *path, GError **error) {
  LcipPictureKind kind;
  g_autoptr(GBytes) bytes = read_picture(path, &kind, error);
  if (!bytes)
    return NULL;
  gsize n;
  const guint8 *data = g_bytes_get_data(bytes, &n);
  return kind == LCIP_PICTURE_PNG ? lcip_png_decode(data, n, path, error)
                                  : lcip_jpeg_decode(data, n, path, error);
}

gboolean lcip_picture_size(const char *path, int *width, int *height, GError **error) {
  LcipPictureKind kind;
  g_autoptr(GBytes) bytes = read_picture(path, &kind, error);
  if (!bytes)
    return FALSE;
  gsize n;
  const guint8 *data = g_bytes_get_data(bytes, &n);
  return kind == LCIP_PICTURE_PNG ? lcip_png_size(data, n, path, width, height, error)
                                  : lcip_jpeg_size(data, n, path, width, height, error);
}

gboolean lcip_picture_save(const LcipTensor *picture, const char *path, GError **error) {
  const LcipTensorSpec *spec = lcip_tensor_get_spec(picture);
  const LcipShape *shape = lcip_tensor_get_shape(picture);
  if (spec->type != LCIP_TYPE_U8 || shape->rank != 3 || shape->dims[2] != 3) {
    g_autofree char *found = lcip_tensor_spec_to_string(spec);
    g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_FORMAT,
                "%s: expected a picture, u8 (height, width, 3), found %s", path, found);
    return FALSE;
  }
  g_autoptr(GBytes) png = lcip_png_encode(picture, error);
  if (!png) {
    g_prefix_error(error, "%s: ", path);
    return FALSE;
  }
  LcipIoChunk chunk;
  chunk.data = g_bytes_get_data(png, &chunk.size_bytes);
  return lcip_io_write(path, &chunk, 1, error);
}
