#include "config.h"
#include "lcip-media.h"

#include <string.h>

#include "lcip-media-private.h"

G_DEFINE_QUARK(lcip - media - error - quark, lcip_media_error)

void lcip_media_source_init(LcipMediaSource *source, const LcipMediaClass *klass, const char *name,
                            LcipMediaPace pace) {
  g_atomic_ref_count_init(&source->refs);
  source->klass = klass;
  source->name = g_strdup(name);
  source->pace = pace;
}

LcipMediaSource *lcip_media_source_ref(LcipMediaSource *source) {
  g_atomic_ref_count_inc(&source->refs);
  return source;
}

void lcip_media_source_unref(LcipMediaSource *source) {
  if (!g_atomic_ref_count_dec(&source->refs))
    return;
  source->klass->free(source);
  g_free(source->name);
  g_free(source);
}

const char *lcip_media_source_name(LcipMediaSource *source) {
  return source->name;
}

void lcip_media_source_max_size(LcipMediaSource *source, int *width, int *height) {
  *width = source->width;
  *height = source->height;
}

gboolean lcip_media_source_is_live(LcipMediaSource *source) {
  return source->pace == LCIP_MEDIA_LIVE;
}

guint64 lcip_media_source_n_frames(LcipMediaSource *source) {
  return source->n_frames;
}

LcipTensor *lcip_media_source_next(LcipMediaSource *source, gint64 *timestamp_ns,
                                   GCancellable *cancellable, GError **error) {
  gint64 unused;
  if (g_cancellable_set_error_if_cancelled(cancellable, error))
    return NULL;
  return source->klass->next(source, timestamp_ns ? timestamp_ns : &unused, cancellable, error);
}

guint64 lcip_media_source_drops(LcipMediaSource *source) {
  return __atomic_load_n(&source->drops, __ATOMIC_RELAXED);
}

void lcip_media_source_add_drops(LcipMediaSource *source, guint64 n) {
  __atomic_fetch_add(&source->drops, n, __ATOMIC_RELAXED);
}

/* ---- opening ---- */

/* What a regular file begins with: a picture, or nothing but text; FALSE when it cannot be read. */
static gboolean file_kind(const char *path, LcipPictureKind *kind, gboolean *is_text,
                          GError **error) {
  guint8 head[512]; /* some videos begin with a line or two of text */
  gsize n = 0;
  g_autoptr(GFile) file = g_file_new_for_path(path);
  g_autoptr(GFileInputStream) stream = g_file_read(file, NULL, error);
  if (!stream ||
      !g_input_stream_read_all(G_INPUT_STREAM(stream), head, sizeof head, &n, NULL, error))
    return FALSE;
  *kind = lcip_picture_kind(head, n);
  g_autofree char *type = g_content_type_guess(NULL, head, n, NULL);
  *is_text = n > 0 && g_content_type_equals(type, "text/plain");
  return TRUE;
}

static LcipMediaSource *open_file(const char *path, LcipMediaPace pace, GError **error) {
  LcipPictureKind kind;
  gboolean is_text;
  g_autoptr(GError) local = NULL;
  if (g_file_test(path, G_FILE_TEST_IS_DIR))
    return lcip_folder_source_open(path, pace, error);
  if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
    g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_NOT_FOUND,
                "%s: expected \"camera\", \"demo\", a picture, a folder or a video file, found no "
                "such file",
                path);
    return NULL;
  }
  if (!file_kind(path, &kind, &is_text, &local)) {
    g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_DENIED, "%s: cannot be read: %s", path,
                local->message);
    return NULL;
  }
  /* GStreamer says so too, but now and then not within its time. */
  if (is_text) {
    g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_FORMAT,
                "%s: expected a PNG or JPEG picture, a folder or a video file, found text", path);
    return NULL;
  }
  /* GStreamer's demuxer of GIFs (libav's) waits for ever after the first frame. */
  if (kind == LCIP_PICTURE_GIF) {
    g_set_error(
        error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_FORMAT,
        "%s: expected a PNG or JPEG picture, a folder or a video file, found a GIF: save it as "
        "PNG, or an animation as a video",
        path);
    return NULL;
  }
  return kind == LCIP_PICTURE_NONE ? lcip_video_source_open(path, pace, error)
                                   : lcip_picture_source_open(path, pace, error);
}

LcipMediaSource *lcip_media_open(const char *what, LcipMediaPace pace, GError **error) {
  if (g_str_equal(what, "demo"))
    return lcip_demo_source_open(pace, error);
  if (g_str_equal(what, "camera"))
    return lcip_camera_source_open(NULL, error);
  if (g_str_has_prefix(what, "camera:"))
    return lcip_camera_source_open(what, error);
  return open_file(what, pace, error);
}

/* ---- data files ---- */

static char *path_if_there(const char *folder, const char *sub, const char *name) {
  char *path = g_build_filename(folder, sub, name, NULL);
  if (g_file_test(path, G_FILE_TEST_EXISTS))
    return path;
  g_free(path);
  return NULL;
}

/* The program's own tree: installed and then moved as a whole, or a build folder in the sources. */
static char *find_beside_program(const char *name) {
  static const char *const folders[] = {"../share/lcip", "../share/lcip/graphs", "../../data",
                                        "../../graphs",  "../../../data",        "../../../graphs"};
  g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
  g_autofree char *folder = program ? g_path_get_dirname(program) : NULL;
  for (gsize i = 0; folder && i < G_N_ELEMENTS(folders); i++) {
    g_autofree char *path = path_if_there(folder, folders[i], name);
    if (path)
      return g_canonicalize_filename(path, NULL);
  }
  return NULL;
}

/* Uninstalled, data/ and graphs/ are folders of the source tree; "graphs/NAME" works as well as
 * "NAME" for what lies in graphs/. */
char *lcip_data_path(const char *name) {
  const char *sources = g_getenv("LCIP_DATA_PATH");
  static const char *const folders[] = {"data", "graphs", "."};
  for (gsize i = 0; sources && i < G_N_ELEMENTS(folders); i++) {
    char *path = path_if_there(sources, folders[i], name);
    if (path)
      return path;
  }
  char *path = find_beside_program(name);
  if (!path)
    path = path_if_there(LCIP_DATADIR, "graphs", name);
  return path ? path : g_build_filename(LCIP_DATADIR, name, NULL);
}
