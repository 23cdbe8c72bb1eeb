#include "config.h"
#include "lcip-link-figures.h"

#include <glib/gstdio.h>

/* A group per address; brackets, which group names cannot hold, are escaped. */
#define LATENCY "latency-ns"
#define BANDWIDTH "bytes-per-second"

static GMutex mutex;

static char *figures_path(void) {
  return g_build_filename(g_get_user_cache_dir(), "lcip", "links", NULL);
}

/* What cannot be read is as good as not there: it is measured again. */
static GKeyFile *load(void) {
  g_autofree char *path = figures_path();
  GKeyFile *file = g_key_file_new();
  g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL);
  return file;
}

gboolean lcip_link_figures_get(const char *address, LcipLinkFigures *figures) {
  g_autofree char *group = g_uri_escape_string(address, "/:", FALSE);
  g_mutex_lock(&mutex);
  g_autoptr(GKeyFile) file = load();
  g_mutex_unlock(&mutex);
  figures->latency_ns = g_key_file_get_int64(file, group, LATENCY, NULL);
  figures->bytes_per_second = g_key_file_get_double(file, group, BANDWIDTH, NULL);
  return figures->latency_ns > 0;
}

void lcip_link_figures_set(const char *address, const LcipLinkFigures *figures) {
  g_autofree char *group = g_uri_escape_string(address, "/:", FALSE);
  g_autofree char *path = figures_path();
  g_autofree char *folder = g_path_get_dirname(path);
  g_mutex_lock(&mutex);
  g_autoptr(GKeyFile) file = load();
  g_key_file_set_int64(file, group, LATENCY, figures->latency_ns);
  g_key_file_set_double(file, group, BANDWIDTH, figures->bytes_per_second);
  if (g_mkdir_with_parents(folder, 0700) == 0)
    g_key_file_save_to_file(file, path, NULL);
  g_mutex_unlock(&mutex);
}
