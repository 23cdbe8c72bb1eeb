#include "config.h"
#include "test-io.h"

#include <glib/gstdio.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* ---- files ---- */

static char *scratch; /* a folder of this run's own */

char *in_scratch(const char *name) {
  return g_build_filename(scratch, name, NULL);
}

char *in_source(const char *name) {
  return g_build_filename(g_getenv("LCIP_DATA_PATH"), name, NULL);
}

/* Without the syncs of GLib's function: damage writes thousands of files. */
void put(const char *path, gconstpointer data, gsize size) {
  FILE *file = fopen(path, "wb");
  g_assert_nonnull(file);
  g_assert_cmpuint(fwrite(data, 1, size, file), ==, size);
  g_assert_cmpint(fclose(file), ==, 0);
}

GBytes *get(const char *path) {
  char *data;
  gsize size;
  GError *error = NULL;
  g_file_get_contents(path, &data, &size, &error);
  g_assert_no_error(error);
  return g_bytes_new_take(data, size);
}

static void remove_tree(const char *path) {
  g_autoptr(GDir) dir =
      g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *child = g_build_filename(path, name, NULL);
    remove_tree(child);
  }
  g_remove(path);
}

void assert_same_file(const char *a, const char *b) {
  g_autoptr(GBytes) x = get(a), y = get(b);
  g_assert_true(g_bytes_equal(x, y));
}

void assert_error_has(GError *error, const char *fragment) {
  g_assert_nonnull(error);
  if (!strstr(error->message, fragment))
    g_error("expected \"%s\" in \"%s\"", fragment, error->message);
}

LcipTensor *f32_tensor(guint n, float first) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(1, (int)n));
  LcipTensor *tensor = lcip_tensor_new(&spec);
  for (guint i = 0; i < n; i++)
    ((float *)lcip_tensor_get_mutable(tensor))[i] = first + (float)i / 3;
  return tensor;
}

/* Reads every byte of a tensor, so that memory checkers see it. */
guint touch(LcipTensor *tensor) {
  const guint8 *data = lcip_tensor_get_data(tensor);
  guint sum = 0;
  for (gsize i = 0; i < lcip_tensor_get_bytes(tensor); i++)
    sum += data[i];
  return sum;
}
char *weights_beside(const char *folder) {
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  for (const char *name; (name = g_dir_read_name(dir));)
    if (g_str_has_suffix(name, ".safetensors"))
      return g_build_filename(folder, name, NULL);
  return NULL;
}

static void test_output_filename(void) {
  g_autofree char *plain = lcip_output_filename("Identity_1.0-x");
  g_autofree char *odd = lcip_output_filename("../a b:0/\xce\xbb");
  g_assert_cmpstr(plain, ==, "Identity_1.0-x.npy");
  g_assert_cmpstr(odd, ==, ".._a_b_0___.npy");
}

/* ---- telling files apart ---- */

static void test_load_other(void) {
  static const struct {
    const char *data, *fragment;
  } cases[] = {
      {"\x93NUMPY\1", "a NumPy array"},
      {"\x89PNG\r\n\x1a\n", "a PNG picture"},
      {"PK\x03\x04zip", "a ZIP archive"},
      {"\x1c\1\1\1TFL3\1\1\1\1", "a TensorFlow Lite model"},
      {"", "an empty file"},
      {"plain words", "something else"},
  };
  g_autofree char *path = in_scratch("other");
  GError *error = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    put(path, cases[i].data, strlen(cases[i].data));
    g_assert_null(lcip_graph_load(path, NULL, &error));
    assert_error_has(error, cases[i].fragment);
    g_clear_error(&error);
  }
  g_assert_null(lcip_graph_load(scratch, NULL, &error));
  assert_error_has(error, "a folder");
  g_clear_error(&error);
  g_autofree char *missing = in_scratch("missing.xml");
  g_assert_null(lcip_graph_load(missing, NULL, &error));
  g_assert_true(g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT));
  g_clear_error(&error);
}

/* ---- a locale with a decimal comma ---- */

/* Where the system has no such locale one is made, which takes localedef and its sources. */
static gboolean set_comma_locale(void) {
  static const char *const known[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8"};
  for (gsize i = 0; i < G_N_ELEMENTS(known); i++)
    if (setlocale(LC_ALL, known[i]))
      return TRUE;
  g_autofree char *folder = in_scratch("locales");
  g_autofree char *target = g_build_filename(folder, "de_DE.UTF-8", NULL);
  const char *argv[] = {"localedef", "-f", "UTF-8", "-i", "de_DE", target, NULL};
  g_mkdir_with_parents(folder, 0700);
  if (!g_spawn_sync(NULL, (char **)argv, NULL,
                    G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                    NULL, NULL, NULL, NULL, NULL, NULL))
    return FALSE;
  g_setenv("LOCPATH", folder, TRUE);
  return setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
}

static void test_locale(void) {
  g_autoptr(LcipGraph) graph = odd_graph();
  g_autofree char *plain = lcip_xml_to_string(graph, NULL, NULL);
  if (!set_comma_locale()) {
    g_test_skip("no locale with a decimal comma here, and none can be made");
    return;
  }
  g_autofree char *comma = g_strdup_printf("%g", 1.5);
  g_assert_cmpstr(comma, ==, "1,5");
  g_autofree char *text = lcip_xml_to_string(graph, NULL, NULL);
  g_assert_cmpstr(text, ==, plain);
  round_trip(graph, "locale.xml");
  test_examples();
  test_npy_round_trip();
  test_weights_round_trip();
  setlocale(LC_ALL, "C");
}

/* ---- */

/* A reader that believes a size in a damaged file fails here. The sanitizers' own maps are huge. */
static void limit_memory(void) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const struct rlimit limit = {(rlim_t)3 << 30, (rlim_t)3 << 30};
  g_assert_cmpint(setrlimit(RLIMIT_AS, &limit), ==, 0);
#endif
}

int main(int argc, char **argv) {
  GError *error = NULL;
  scratch = g_dir_make_tmp("lcip-io-XXXXXX", &error);
  g_assert_no_error(error);
  g_autofree char *cache = in_scratch("cache");
  g_setenv("XDG_CACHE_HOME", cache, TRUE);
  g_test_init(&argc, &argv, NULL);
  limit_memory();
  add_xml_tests();
  add_tensor_tests();
  g_test_add_func("/io/output-filename", test_output_filename);
  g_test_add_func("/io/load-other", test_load_other);
  add_damage_tests();
  g_test_add_func("/io/locale", test_locale);
  const int result = g_test_run();
  remove_tree(scratch);
  g_free(scratch);
  return result;
}
