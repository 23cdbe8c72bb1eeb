#include "config.h"
#include "lcip-weights-cache.h"
#include "lcip-io-private.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

static char *cache_folder(void) {
  return g_build_filename(g_get_user_cache_dir(), "lcip", "weights", NULL);
}

static char *hex(const guint8 *sha256) {
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < 32; i++)
    g_string_append_printf(text, "%02x", sha256[i]);
  return g_string_free(text, FALSE);
}

static char *entry_path(const LcipManifestEntry *entry) {
  g_autofree char *folder = cache_folder();
  g_autofree char *name = hex(entry->sha256);
  return g_build_filename(folder, name, NULL);
}

static gsize entry_bytes(const LcipManifestEntry *entry) {
  gsize bytes = 0;
  return lcip_tensor_spec_bytes(&entry->spec, &bytes) ? bytes : 0;
}

gboolean lcip_weights_cache_has(const LcipManifestEntry *entry) {
  g_autofree char *path = entry_path(entry);
  GStatBuf info;
  return g_lstat(path, &info) == 0 && S_ISREG(info.st_mode) &&
         (guint64)info.st_size == entry_bytes(entry);
}

static gboolean check_hash(const LcipManifestEntry *entry, const guint8 *data, GError **error) {
  g_autoptr(GBytes) bytes = g_bytes_new_static(data, entry_bytes(entry));
  g_autofree char *found = lcip_io_sha256(bytes);
  g_autofree char *expected = hex(entry->sha256);
  if (g_str_equal(found, expected))
    return TRUE;
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_PROTOCOL,
              "weights %s: expected SHA-256 %s, found %s", entry->key, expected, found);
  return FALSE;
}

gboolean lcip_weights_cache_put(const LcipManifestEntry *entry, const guint8 *data,
                                GError **error) {
  g_autofree char *folder = cache_folder();
  g_autofree char *path = entry_path(entry);
  const LcipIoChunk chunk = {data, entry_bytes(entry)};
  return check_hash(entry, data, error) &&
         (g_mkdir_with_parents(folder, 0700) == 0 ||
          lcip_io_fail(error, LCIP_IO_ERROR_PATH, "%s: cannot be made", folder)) &&
         lcip_io_write(path, &chunk, 1, error);
}

/* The time of access says when it was used last; that of modification stays, because the memory of
 * checked hashes goes by it. */
static void mark_used(const char *path) {
  const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
  utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

LcipTensor *lcip_weights_cache_get(const LcipManifestEntry *entry, GError **error) {
  g_autofree char *path = entry_path(entry);
  g_autofree char *expected = hex(entry->sha256);
  g_autoptr(GBytes) bytes = lcip_io_map(path, LCIP_IO_REFUSE_LINKS, error);
  LcipTensor *tensor = NULL;
  if (bytes && lcip_io_check_hash(path, bytes, expected, LCIP_IO_HASH_CACHED, error)) {
    mark_used(path);
    tensor = lcip_io_tensor_from(&entry->spec, bytes, 0);
    if (!tensor)
      lcip_io_fail(error, LCIP_IO_ERROR_SIZE, "%s: it has another size than its tensor", path);
  }
  if (!tensor)
    g_unlink(path);
  return tensor;
}

/* ---- the limit ---- */

typedef struct {
  char *path;
  guint64 size_bytes;
  gint64 used; /* seconds */
} CachedFile;

static void cached_file_clear(gpointer data) {
  g_free(((CachedFile *)data)->path);
}

static int by_use(gconstpointer a, gconstpointer b) {
  const gint64 x = ((const CachedFile *)a)->used, y = ((const CachedFile *)b)->used;
  return x < y ? -1 : x > y;
}

static GArray *list_files(guint64 *total) {
  g_autofree char *folder = cache_folder();
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  GArray *files = g_array_new(FALSE, FALSE, sizeof(CachedFile));
  g_array_set_clear_func(files, cached_file_clear);
  *total = 0;
  for (const char *name; dir && (name = g_dir_read_name(dir));) {
    GStatBuf info;
    CachedFile file = {.path = g_build_filename(folder, name, NULL)};
    if (g_lstat(file.path, &info) != 0) {
      g_free(file.path);
      continue;
    }
    file.size_bytes = (guint64)info.st_size;
    file.used = (gint64)info.st_atime;
    *total += file.size_bytes;
    g_array_append_val(files, file);
  }
  return files;
}

void lcip_weights_cache_trim(guint64 limit_bytes) {
  guint64 total;
  g_autoptr(GArray) files = list_files(&total);
  g_array_sort(files, by_use);
  for (guint i = 0; i < files->len && total > limit_bytes; i++) {
    const CachedFile *file = &g_array_index(files, CachedFile, i);
    if (g_unlink(file->path) == 0)
      total -= file->size_bytes;
  }
}
