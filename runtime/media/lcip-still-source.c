#include "config.h"
#include "lcip-media-private.h"

#include <string.h>

/* A picture, or the pictures of a folder by name. Live, a folder shows each for one second. */

typedef struct {
  LcipMediaSource base;
  LcipPacer pacer;
  GPtrArray *paths;
  LcipTensor *picture; /* the one shown last */
  guint shown;         /* its index */
} StillSource;

/* Which picture frame @frame shows; FALSE at the end. */
static gboolean picture_index(const StillSource *still, guint64 frame, guint *index) {
  const guint n = still->paths->len;
  if (still->base.pace == LCIP_MEDIA_LIVE)
    *index = (guint)(frame / LCIP_MEDIA_FPS % n);
  else
    *index = (guint)MIN(frame, n);
  return *index < n;
}

static gboolean show(StillSource *still, guint index, GError **error) {
  if (still->picture && still->shown == index)
    return TRUE;
  LcipTensor *picture = lcip_picture_load(still->paths->pdata[index], error);
  if (!picture)
    return FALSE;
  g_clear_pointer(&still->picture, lcip_tensor_unref);
  still->picture = picture;
  still->shown = index;
  return TRUE;
}

/* A file may have been replaced by a larger one since its header was read. */
static gboolean check_fits(const StillSource *still, GError **error) {
  const gint64 *dims = lcip_tensor_get_shape(still->picture)->dims;
  if (dims[1] <= still->base.width && dims[0] <= still->base.height)
    return TRUE;
  g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_FORMAT,
              "%s: expected at most %dx%d, as when the source was opened, found %" G_GINT64_FORMAT
              "x%" G_GINT64_FORMAT,
              (const char *)still->paths->pdata[still->shown], still->base.width,
              still->base.height, dims[1], dims[0]);
  return FALSE;
}

static LcipTensor *still_next(LcipMediaSource *source, gint64 *timestamp_ns,
                              GCancellable *cancellable, GError **error) {
  StillSource *still = (StillSource *)source;
  guint64 frame;
  guint index;
  if (!lcip_pacer_next(&still->pacer, source, &frame, timestamp_ns, cancellable, error))
    return NULL;
  if (!picture_index(still, frame, &index))
    return NULL;
  if (!show(still, index, error) || !check_fits(still, error))
    return NULL;
  return lcip_tensor_ref(still->picture);
}

static void still_free(LcipMediaSource *source) {
  StillSource *still = (StillSource *)source;
  lcip_waiter_clear(&still->pacer.waiter);
  g_ptr_array_unref(still->paths);
  g_clear_pointer(&still->picture, lcip_tensor_unref);
}

static const LcipMediaClass still_class = {.next = still_next, .free = still_free};

/* Takes @paths, at least one. */
static StillSource *still_new(const char *path, GPtrArray *paths, LcipMediaPace pace) {
  g_autofree char *name = g_path_get_basename(path);
  StillSource *still = g_new0(StillSource, 1);
  lcip_media_source_init(&still->base, &still_class, name, pace);
  lcip_waiter_init(&still->pacer.waiter);
  still->paths = paths;
  still->base.n_frames = pace == LCIP_MEDIA_EVERY_FRAME ? paths->len : 0;
  return still;
}

LcipMediaSource *lcip_picture_source_open(const char *path, LcipMediaPace pace, GError **error) {
  GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
  g_ptr_array_add(paths, g_strdup(path));
  g_autoptr(LcipMediaSource) source = &still_new(path, paths, pace)->base;
  StillSource *still = (StillSource *)source;
  if (!show(still, 0, error))
    return NULL;
  const gint64 *dims = lcip_tensor_get_shape(still->picture)->dims;
  source->width = (int)dims[1];
  source->height = (int)dims[0];
  return g_steal_pointer(&source);
}

static gboolean is_picture_name(const char *name) {
  static const char *const endings[] = {".png", ".jpg", ".jpeg"};
  g_autofree char *lower = g_ascii_strdown(name, -1);
  for (gsize i = 0; i < G_N_ELEMENTS(endings); i++)
    if (g_str_has_suffix(lower, endings[i]) && name[0] != '.')
      return TRUE;
  return FALSE;
}

static int compare_paths(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *list_pictures(const char *path, GError **error) {
  g_autoptr(GError) local = NULL;
  g_autoptr(GDir) folder = g_dir_open(path, 0, &local);
  if (!folder) {
    g_set_error_literal(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_DENIED, local->message);
    return NULL;
  }
  g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
  for (const char *name = g_dir_read_name(folder); name; name = g_dir_read_name(folder)) {
    g_autofree char *file = g_build_filename(path, name, NULL);
    if (is_picture_name(name) && g_file_test(file, G_FILE_TEST_IS_REGULAR))
      g_ptr_array_add(paths, g_steal_pointer(&file));
  }
  if (paths->len == 0) {
    g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_NOT_FOUND,
                "%s: expected PNG or JPEG pictures (.png, .jpg, .jpeg), found none", path);
    return NULL;
  }
  g_ptr_array_sort(paths, compare_paths);
  return g_steal_pointer(&paths);
}

LcipMediaSource *lcip_folder_source_open(const char *path, LcipMediaPace pace, GError **error) {
  GPtrArray *paths = list_pictures(path, error);
  if (!paths)
    return NULL;
  g_autoptr(LcipMediaSource) source = &still_new(path, paths, pace)->base;
  for (guint i = 0; i < paths->len; i++) {
    int width, height;
    if (!lcip_picture_size(paths->pdata[i], &width, &height, error))
      return NULL;
    source->width = MAX(source->width, width);
    source->height = MAX(source->height, height);
  }
  return g_steal_pointer(&source);
}
