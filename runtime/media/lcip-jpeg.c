#include "config.h"
#include "lcip-error.h"
#include "lcip-media-private.h"

#if LCIP_HAVE_JPEG

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

/* libjpeg reports errors by a callback that must not return: it jumps back to where reading began.
 * Everything that must outlive the jump lies in this struct. */
typedef struct {
  struct jpeg_decompress_struct jpeg;
  struct jpeg_error_mgr manager;
  struct jpeg_progress_mgr progress;
  jmp_buf back;
  char message[JMSG_LENGTH_MAX];
  LcipTensor *picture;
  JSAMPROW row;
  LcipOrientation orientation;
} Reader;

static void on_error(j_common_ptr jpeg) {
  Reader *reader = jpeg->client_data;
  jpeg->err->format_message(jpeg, reader->message);
  longjmp(reader->back, 1);
}

/* Warnings (a cut file) are not errors: what was read is shown. */
static void on_message(j_common_ptr jpeg, int level) {
}

static void on_output(j_common_ptr jpeg) {
}

/* A progressive file can ask for endless passes over a large picture; none that people make does.
 */
#define MAX_SCANS 500

static void on_progress(j_common_ptr jpeg) {
  Reader *reader = jpeg->client_data;
  if (reader->jpeg.input_scan_number < MAX_SCANS)
    return;
  g_snprintf(reader->message, sizeof reader->message, "more than %d scans", MAX_SCANS);
  longjmp(reader->back, 1);
}

static void reader_init(Reader *reader) {
  reader->jpeg.err = jpeg_std_error(&reader->manager);
  reader->jpeg.client_data = reader;
  reader->manager.error_exit = on_error;
  reader->manager.emit_message = on_message;
  reader->manager.output_message = on_output;
}

static void reader_free(Reader *reader) {
  jpeg_destroy_decompress(&reader->jpeg);
  g_free(reader->row);
  g_clear_pointer(&reader->picture, lcip_tensor_unref);
  g_free(reader);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Reader, reader_free)

/* CMYK from Adobe's programs is stored inverted: 255 is no ink. */
static void cmyk_to_rgb(const guint8 *in, guint8 *out, guint width, gboolean inverted) {
  for (guint i = 0; i < width; i++, in += 4, out += 3)
    for (guint c = 0; c < 3; c++) {
      const guint ink = inverted ? in[c] : 255u - in[c], black = inverted ? in[3] : 255u - in[3];
      out[c] = (guint8)((ink * black + 127) / 255);
    }
}

static void read_rows(Reader *reader) {
  struct jpeg_decompress_struct *jpeg = &reader->jpeg;
  guint8 *pixels = lcip_tensor_get_mutable(reader->picture);
  while (jpeg->output_scanline < jpeg->output_height) {
    guint8 *out = pixels + (gsize)jpeg->output_scanline * jpeg->output_width * 3;
    if (!reader->row) {
      jpeg_read_scanlines(jpeg, &out, 1);
      continue;
    }
    jpeg_read_scanlines(jpeg, &reader->row, 1);
    cmyk_to_rgb(reader->row, out, jpeg->output_width, jpeg->saw_Adobe_marker);
  }
}

static LcipOrientation find_orientation(const Reader *reader) {
  for (jpeg_saved_marker_ptr marker = reader->jpeg.marker_list; marker; marker = marker->next) {
    const LcipOrientation found = lcip_exif_orientation(marker->data, marker->data_length);
    if (found != LCIP_ORIENTATION_NORMAL)
      return found;
  }
  return LCIP_ORIENTATION_NORMAL;
}

/* Reads header and, with @pixels, the picture. FALSE with reader->message set. */
static gboolean read_jpeg(Reader *reader, const guint8 *data, gsize size_bytes, gboolean pixels) {
  if (setjmp(reader->back))
    return FALSE;
  jpeg_create_decompress(&reader->jpeg);
  reader->progress.progress_monitor = on_progress;
  reader->jpeg.progress = &reader->progress;
  jpeg_mem_src(&reader->jpeg, data, size_bytes);
  jpeg_save_markers(&reader->jpeg, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(&reader->jpeg, TRUE);
  reader->orientation = find_orientation(reader);
  const gboolean cmyk =
      reader->jpeg.jpeg_color_space == JCS_CMYK || reader->jpeg.jpeg_color_space == JCS_YCCK;
  if (!pixels || reader->jpeg.image_width > LCIP_PICTURE_MAX_SIDE ||
      reader->jpeg.image_height > LCIP_PICTURE_MAX_SIDE)
    return TRUE;
  reader->jpeg.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  reader->row = cmyk ? g_malloc((gsize)reader->jpeg.image_width * 4) : NULL;
  jpeg_start_decompress(&reader->jpeg);
  reader->picture =
      lcip_picture_new((int)reader->jpeg.output_width, (int)reader->jpeg.output_height);
  if (!reader->picture) {
    g_strlcpy(reader->message, "not enough memory", sizeof reader->message);
    return FALSE;
  }
  read_rows(reader);
  jpeg_finish_decompress(&reader->jpeg);
  return TRUE;
}

/* With the header read into the result. */
static Reader *open_jpeg(const guint8 *data, gsize size_bytes, const char *name, gboolean pixels,
                         GError **error) {
  g_autoptr(Reader) reader = g_new0(Reader, 1);
  reader_init(reader);
  if (!read_jpeg(reader, data, size_bytes, pixels)) {
    g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_FORMAT, "%s: damaged JPEG: %s", name,
                reader->message);
    return NULL;
  }
  if (!lcip_picture_check_size(name, reader->jpeg.image_width, reader->jpeg.image_height, error))
    return NULL;
  return g_steal_pointer(&reader);
}

LcipTensor *lcip_jpeg_decode(const guint8 *data, gsize size_bytes, const char *name,
                             GError **error) {
  g_autoptr(Reader) reader = open_jpeg(data, size_bytes, name, TRUE, error);
  if (!reader)
    return NULL;
  if (reader->orientation == LCIP_ORIENTATION_NORMAL)
    return g_steal_pointer(&reader->picture);
  LcipTensor *turned = lcip_picture_turn(reader->picture, reader->orientation);
  if (!turned)
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "%s: not enough memory", name);
  return turned;
}

gboolean lcip_jpeg_size(const guint8 *data, gsize size_bytes, const char *name, int *width,
                        int *height, GError **error) {
  g_autoptr(Reader) reader = open_jpeg(data, size_bytes, name, FALSE, error);
  if (!reader)
    return FALSE;
  const gboolean swaps = lcip_orientation_swaps(reader->orientation);
  *width = (int)(swaps ? reader->jpeg.image_height : reader->jpeg.image_width);
  *height = (int)(swaps ? reader->jpeg.image_width : reader->jpeg.image_height);
  return TRUE;
}

#else

static gboolean missing(const char *name, GError **error) {
  g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_MISSING,
              "%s: this build lacks the feature jpeg (libjpeg)", name);
  return FALSE;
}

LcipTensor *lcip_jpeg_decode(const guint8 *data, gsize size_bytes, const char *name,
                             GError **error) {
  missing(name, error);
  return NULL;
}

gboolean lcip_jpeg_size(const guint8 *data, gsize size_bytes, const char *name, int *width,
                        int *height, GError **error) {
  return missing(name, error);
}

#endif
