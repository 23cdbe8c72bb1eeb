#include "lcip-test-home.h"

#include <glib/gstdio.h>

char *lcip_test_make_home(void) {
  g_autoptr(GError) error = NULL;
  char *home = g_dir_make_tmp("lcip-test-XXXXXX", &error);
  g_assert_no_error(error);
  g_setenv("XDG_CONFIG_HOME", home, TRUE);
  g_setenv("XDG_CACHE_HOME", home, TRUE);
  return home;
}

void lcip_test_remove_home(const char *folder) {
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  for (const char *name; dir && (name = g_dir_read_name(dir));) {
    g_autofree char *path = g_build_filename(folder, name, NULL);
    if (g_file_test(path, G_FILE_TEST_IS_DIR))
      lcip_test_remove_home(path);
    else
      g_unlink(path);
  }
  g_rmdir(folder);
}
