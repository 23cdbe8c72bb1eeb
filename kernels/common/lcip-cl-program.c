#include "config.h"
#include "lcip-cl-private.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* Programs are compiled once per device and kept in memory, their binaries in files below the
 * user's cache folder. A file is MAGIC, the SHA-256 text of the binary, the binary: drivers crash
 * on damaged binaries, so nothing reaches them that is not what was written. */

#define MAGIC "LCIPCL1\n"
#define MAGIC_BYTES 8
#define DIGEST_BYTES 64

static void checksum_text(GChecksum *sum, const char *text) {
  /* The terminating zero keeps neighbouring texts apart. */
  g_checksum_update(sum, (const guchar *)text, (gssize)strlen(text) + 1);
}

static char *program_key(LcipClDevice *device, const char *source, const char *options) {
  g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
  checksum_text(sum, device->platform);
  checksum_text(sum, device->vendor);
  checksum_text(sum, device->name);
  checksum_text(sum, device->driver);
  checksum_text(sum, options);
  checksum_text(sum, source);
  return g_strdup(g_checksum_get_string(sum));
}

static char *key_path(const char *key) {
  g_autofree char *file = g_strconcat(key, ".bin", NULL);
  return g_build_filename(g_get_user_cache_dir(), "lcip", "opencl", file, NULL);
}

char *lcip_cl_device_cache_path(LcipClDevice *device, const char *source, const char *options) {
  g_autofree char *key = program_key(device, source, options ? options : "");
  return key_path(key);
}

void lcip_cl_device_counts(LcipClDevice *device, guint *n_built, guint *n_loaded) {
  g_mutex_lock(&device->lock);
  *n_built = device->n_built;
  *n_loaded = device->n_loaded;
  g_mutex_unlock(&device->lock);
}

/* ---- the disk cache ---- */

static gboolean cache_valid(const char *contents, gsize length) {
  if (length <= MAGIC_BYTES + DIGEST_BYTES || memcmp(contents, MAGIC, MAGIC_BYTES) != 0)
    return FALSE;
  const gsize head = MAGIC_BYTES + DIGEST_BYTES;
  g_autofree char *digest = g_compute_checksum_for_data(
      G_CHECKSUM_SHA256, (const guchar *)contents + head, length - head);
  return memcmp(digest, contents + MAGIC_BYTES, DIGEST_BYTES) == 0;
}

static cl_program build_binary(LcipClDevice *device, const guchar *binary, size_t length,
                               const char *options) {
  cl_int status = CL_SUCCESS, code = CL_SUCCESS;
  cl_program program =
      clCreateProgramWithBinary(device->context, 1, &device->id, &length, &binary, &status, &code);
  if (!program)
    return NULL;
  if (status == CL_SUCCESS && code == CL_SUCCESS &&
      clBuildProgram(program, 1, &device->id, options, NULL, NULL) == CL_SUCCESS)
    return program;
  clReleaseProgram(program);
  return NULL;
}

/* NULL when there is no entry, or none that can be used: then the program is compiled again. */
static cl_program cache_load(LcipClDevice *device, const char *path, const char *options) {
  g_autofree char *contents = NULL;
  gsize length = 0;
  if (!g_file_get_contents(path, &contents, &length, NULL) || !cache_valid(contents, length))
    return NULL;
  const gsize head = MAGIC_BYTES + DIGEST_BYTES;
  return build_binary(device, (const guchar *)contents + head, length - head, options);
}

static gboolean write_all(int fd, const void *data, gsize length) {
  const char *at = data;
  while (length > 0) {
    const gssize n = write(fd, at, length);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return FALSE;
    at += n;
    length -= (gsize)n;
  }
  return TRUE;
}

static gboolean write_entry(int fd, const guchar *binary, gsize length) {
  g_autofree char *digest = g_compute_checksum_for_data(G_CHECKSUM_SHA256, binary, length);
  return write_all(fd, MAGIC, MAGIC_BYTES) && write_all(fd, digest, DIGEST_BYTES) &&
         write_all(fd, binary, length);
}

/* A cache that cannot be written costs time at the next start and nothing else: no error. */
static void cache_store(const char *path, const guchar *binary, gsize length) {
  g_autofree char *folder = g_path_get_dirname(path);
  g_autofree char *temporary = g_strconcat(path, ".XXXXXX", NULL);
  if (g_mkdir_with_parents(folder, 0700) != 0)
    return;
  const int fd = g_mkstemp(temporary);
  if (fd < 0)
    return;
  const gboolean written = write_entry(fd, binary, length);
  if (close(fd) != 0 || !written || g_rename(temporary, path) != 0)
    g_unlink(temporary);
}

static void store_program(cl_program program, const char *path) {
  size_t length = 0;
  if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof length, &length, NULL) !=
          CL_SUCCESS ||
      length == 0)
    return;
  g_autofree guchar *binary = g_try_malloc(length);
  guchar *binaries[] = {binary};
  if (binary &&
      clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binaries, binaries, NULL) == CL_SUCCESS)
    cache_store(path, binary, length);
}

/* ---- compiling ---- */

static char *build_log(LcipClDevice *device, cl_program program) {
  size_t size = 0;
  if (clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) !=
          CL_SUCCESS ||
      size == 0)
    return g_strdup("the driver gave no build log");
  char *log = g_malloc0(size + 1);
  clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, size, log, NULL);
  return g_strstrip(log);
}

static cl_program compile(LcipClDevice *device, const char *source, const char *options,
                          GError **error) {
  cl_int code;
  cl_program program = clCreateProgramWithSource(device->context, 1, &source, NULL, &code);
  if (!program) {
    lcip_cl_fail(error, code, "%s: no program", device->name);
    return NULL;
  }
  code = clBuildProgram(program, 1, &device->id, options, NULL, NULL);
  if (code == CL_SUCCESS)
    return program;
  g_autofree char *log = build_log(device, program);
  lcip_cl_fail(error, code, "%s cannot compile an OpenCL program with options \"%s\": %s",
               device->name, options, log);
  clReleaseProgram(program);
  return NULL;
}

static cl_program load_or_compile(LcipClDevice *device, const char *key, const char *source,
                                  const char *options, GError **error) {
  g_autofree char *path = key_path(key);
  cl_program program = cache_load(device, path, options);
  if (program) {
    device->n_loaded++;
    return program;
  }
  program = compile(device, source, options, error);
  if (!program)
    return NULL;
  device->n_built++;
  store_program(program, path);
  return program;
}

cl_program lcip_cl_device_program(LcipClDevice *device, const char *source, const char *options,
                                  GError **error) {
  if (!options)
    options = "";
  g_autofree char *key = program_key(device, source, options);
  g_mutex_lock(&device->lock);
  cl_program program = g_hash_table_lookup(device->programs, key);
  if (!program) {
    program = load_or_compile(device, key, source, options, error);
    if (program)
      g_hash_table_insert(device->programs, g_steal_pointer(&key), program);
  }
  g_mutex_unlock(&device->lock);
  return program;
}
