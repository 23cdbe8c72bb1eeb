#include "config.h"
#include "lcip-error.h"
#include "lcip-media-private.h"

#if LCIP_HAVE_PNG

#include <png.h>
#include <string.h>

static gboolean png_fail(const png_image *image, const char *name, GError **error) {
  g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_FORMAT, "%s: damaged PNG: %s", name,
              image->message);
  return FALSE;
}

static gboolean begin(png_image *image, const guint8 *data, gsize size_bytes, const char *name,
                      GError **error) {
  *image = (png_image){.version = PNG_IMAGE_VERSION};
  if (!png_image_begin_read_from_memory(image, data, size_bytes))
    return png_fail(image, name, error);
  if (lcip_picture_check_size(name, image->width, image->height, error))
    return TRUE;
  png_image_free(image);
  return FALSE;
}

LcipTensor *lcip_png_decode(const guint8 *data, gsize size_bytes, const char *name,
                            GError **error) {
  const png_color black = {0, 0, 0};
  png_image image;
  if (!begin(&image, data, size_bytes, name, error))
    return NULL;
  image.format = PNG_FORMAT_RGB;
  g_autoptr(LcipTensor) picture = lcip_picture_new((int)image.width, (int)image.height);
  if (!picture) {
    png_image_free(&image);
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "%s: not enough memory", name);
    return NULL;
  }
  if (!png_image_finish_read(&image, &black, lcip_tensor_get_mutable(picture), 0, NULL)) {
    png_fail(&image, name, error);
    return NULL;
  }
  return g_steal_pointer(&picture);
}

gboolean lcip_png_size(const guint8 *data, gsize size_bytes, const char *name, int *width,
                       int *height, GError **error) {
  png_image image;
  if (!begin(&image, data, size_bytes, name, error))
    return FALSE;
  *width = (int)image.width;
  *height = (int)image.height;
  png_image_free(&image);
  return TRUE;
}

GBytes *lcip_png_encode(const LcipTensor *picture, GError **error) {
  const LcipShape *shape = lcip_tensor_get_shape(picture);
  png_image image = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)shape->dims[1],
                     .height = (png_uint_32)shape->dims[0],
                     .format = PNG_FORMAT_RGB};
  png_alloc_size_t n = PNG_IMAGE_PNG_SIZE_MAX(image);
  guint8 *data = g_try_malloc(n);
  if (data &&
      png_image_write_to_memory(&image, data, &n, 0, lcip_tensor_get_data(picture), 0, NULL))
    return g_bytes_new_take(data, n);
  g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_FORMAT, "cannot be made into a PNG: %s",
              data ? image.message : "not enough memory");
  g_free(data);
  return NULL;
}

#else

static gboolean missing(const char *name, GError **error) {
  g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_MISSING,
              "%s: this build lacks the feature png (libpng)", name);
  return FALSE;
}

LcipTensor *lcip_png_decode(const guint8 *data, gsize size_bytes, const char *name,
                            GError **error) {
  missing(name, error);
  return NULL;
}

gboolean lcip_png_size(const guint8 *data, gsize size_bytes, const char *name, int *width,
                       int *height, GError **error) {
  return missing(name, error);
}

GBytes *lcip_png_encode(const LcipTensor *picture, GError **error) {
  missing("PNG", error);
  return NULL;
}

#endif
