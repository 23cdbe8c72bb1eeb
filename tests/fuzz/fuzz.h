#pragma once

#include "lcip-analysis.h"
#include "lcip-io-private.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

/* What the harnesses share. Each is one file with LLVMFuzzerTestOneInput(); libFuzzer calls it with
 * inputs that it makes, fuzz-main.c with the files of past findings. */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

/* A folder of this process's own; what a reader reads lies in it. */
static char *fuzz_folder;

static inline char *fuzz_path(const char *name) {
  return g_build_filename(fuzz_folder, name, NULL);
}

static inline void fuzz_put(const char *path, gconstpointer data, gsize size) {
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
    g_error("%s: cannot be written", path);
}

/* Removes the files in the folder @path and then the folder. */
static inline void fuzz_remove(const char *path) {
  const char *name;
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *file = g_build_filename(path, name, NULL);
    g_unlink(file);
  }
  g_rmdir(path);
}

static inline void fuzz_remove_folder(void) {
  fuzz_remove(fuzz_folder);
}

/* The most time of the processor that an input may take: a small file must not take minutes. Not of
 * the clock, which goes on while the fuzzer waits or is stopped. */
#define FUZZ_MAX_SECONDS 10

static inline void fuzz_abort(int number) {
  abort();
}

static inline void fuzz_start_clock(void) {
  const struct itimerval limit = {.it_value.tv_sec = FUZZ_MAX_SECONDS};
  setitimer(ITIMER_PROF, &limit, NULL);
}

/* Criticals are findings; GLib ends the program by a trap, which libFuzzer does not know. Nothing
 * may remember hashes from one input to the next. */
static inline void fuzz_begin(void) {
  g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);
  signal(SIGTRAP, fuzz_abort);
  signal(SIGPROF, fuzz_abort);
  g_setenv("XDG_CACHE_HOME", "/dev/null", TRUE);
  fuzz_folder = g_dir_make_tmp("lcip-fuzz-XXXXXX", NULL);
  if (!fuzz_folder)
    g_error("there is no folder to work in");
  atexit(fuzz_remove_folder);
}

/* Every byte, so that AddressSanitizer sees it read. */
static inline void fuzz_touch(LcipTensor *tensor) {
  gsize size = lcip_tensor_get_bytes(tensor);
  G_GNUC_UNUSED g_autofree void *copy = g_memdup2(lcip_tensor_get_data(tensor), size);
  lcip_tensor_unref(tensor);
}

/* A reader that fails says why, in a text that can be shown. */
static inline void fuzz_check_error(const GError *error) {
  if (!error || !g_utf8_validate(error->message, -1, NULL))
    g_error("a reader failed without a message that can be shown");
}

/* Dimensions that are not known are what a user would give. */
static inline GHashTable *fuzz_input_shapes(const LcipGraph *graph) {
  GHashTable *shapes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
  for (guint i = 0; i < graph->inputs->len; i++) {
    const LcipGraphPort *port = graph->inputs->pdata[i];
    LcipShape *shape = g_memdup2(&port->spec.shape, sizeof *shape);
    for (int d = 0; d < shape->rank; d++)
      shape->dims[d] = shape->dims[d] < 0 ? 3 : shape->dims[d];
    g_hash_table_replace(shapes, port->name, shape);
  }
  return shapes;
}

static inline void fuzz_analyse(const LcipGraph *graph) {
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_autoptr(GHashTable) shapes = fuzz_input_shapes(graph);
  LcipAnalysis *analysis = lcip_analyse(graph, NULL, shapes, problems);
  if (!analysis && problems->len == 0)
    g_error("the analysis failed without a problem");
  g_clear_pointer(&analysis, lcip_analysis_free);
}

/* What was read can be saved, and what was saved is read as the same graph. */
static inline void fuzz_save(const LcipGraph *graph) {
  g_autofree char *folder = fuzz_path("saved");
  g_autofree char *path = g_build_filename(folder, "graph.xml", NULL);
  g_autoptr(GError) error = NULL;
  g_mkdir(folder, 0700);
  if (!lcip_xml_write(graph, path, &error))
    g_error("a graph that was read cannot be saved: %s", error->message);
  g_autoptr(LcipGraph) again = lcip_xml_read(path, &error);
  if (!again)
    g_error("a graph that was saved cannot be read: %s", error->message);
  g_autofree char *first = lcip_xml_to_string(graph, NULL, NULL);
  g_autofree char *second = lcip_xml_to_string(again, NULL, NULL);
  if (!g_str_equal(first, second))
    g_error("a graph that was saved is read as another:\n%s\n%s", first, second);
  fuzz_remove(folder);
}
