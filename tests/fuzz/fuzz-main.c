#include "config.h"
#include "fuzz.h"

#include <sys/resource.h>

/* Gives a harness the files of a folder, each a test case: findings of earlier runs stay mended.
 * fuzz-main FOLDER */

/* A small file must not cost more than this. */
#define FILE_MAX_MIB 1024

static glong resident_mib(void) {
  struct rusage usage;
  g_assert_cmpint(getrusage(RUSAGE_SELF, &usage), ==, 0);
  return usage.ru_maxrss >> 10;
}

static void test_file(gconstpointer path) {
  g_autofree char *data = NULL;
  gsize size;
  GError *error = NULL;
  g_file_get_contents(path, &data, &size, &error);
  g_assert_no_error(error);
  LLVMFuzzerTestOneInput((const guint8 *)data, size);
  g_assert_cmpint(resident_mib(), <, FILE_MAX_MIB);
}

int main(int argc, char **argv) {
  const char *name;
  g_test_init(&argc, &argv, NULL);
  if (argc != 2)
    g_error("expected one folder");
  g_autoptr(GDir) dir = g_dir_open(argv[1], 0, NULL);
  if (!dir)
    g_error("%s: cannot be read", argv[1]);
  LLVMFuzzerInitialize(&argc, &argv);
  while ((name = g_dir_read_name(dir))) {
    g_autofree char *test = g_strconcat("/fuzz/", name, NULL);
    g_test_add_data_func_full(test, g_build_filename(argv[1], name, NULL), test_file, g_free);
  }
  return g_test_run();
}
