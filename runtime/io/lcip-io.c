#include "config.h"
#include "lcip-memory.h"
#include "lcip-io-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

G_DEFINE_QUARK(lcip - io - error - quark, lcip_io_error)

gboolean lcip_io_fail(GError **error, LcipIoErrorCode code, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  g_autofree char *message = g_strdup_vprintf(format, ap);
  va_end(ap);
  /* What was found in a file is quoted, and it may be any bytes. */
  g_autofree char *clean = lcip_io_clean_text(message, -1);
  g_set_error_literal(error, LCIP_IO_ERROR, (int)code, clean);
  return FALSE;
}

static gboolean fail_errno(GError **error, const char *path, const char *what, int saved_errno) {
  g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(saved_errno), "%s: %s: %s", path,
              what, g_strerror(saved_errno));
  return FALSE;
}

/* ---- mapping files ---- */

static gboolean check_regular(int fd, const char *path, GError **error) {
  struct stat info;
  if (fstat(fd, &info) != 0)
    return fail_errno(error, path, "cannot be examined", errno);
  if (S_ISREG(info.st_mode))
    return TRUE;
  return lcip_io_fail(error, LCIP_IO_ERROR_FORMAT, "%s: expected a regular file, found %s", path,
                      S_ISDIR(info.st_mode) ? "a folder" : "a device or a pipe");
}

static void unmap(gpointer data) {
  GMappedFile *file = data;
  lcip_memory_remove_file(g_mapped_file_get_contents(file));
  g_mapped_file_unref(file);
}

static GBytes *mapped_bytes(GMappedFile *file) {
  const gsize size = g_mapped_file_get_length(file);
  if (size == 0)
    return g_mapped_file_get_bytes(file);
  lcip_memory_add_file(g_mapped_file_get_contents(file), size);
  return g_bytes_new_with_free_func(g_mapped_file_get_contents(file), size, unmap,
                                    g_mapped_file_ref(file));
}

GBytes *lcip_io_map(const char *path, LcipIoLinks links, GError **error) {
  const int no_follow = links == LCIP_IO_REFUSE_LINKS ? O_NOFOLLOW : 0;
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | no_follow);
  if (fd < 0 && errno == ELOOP && no_follow) {
    lcip_io_fail(error, LCIP_IO_ERROR_PATH, "%s: expected a file, found a symbolic link", path);
    return NULL;
  }
  if (fd < 0) {
    fail_errno(error, path, "cannot be opened", errno);
    return NULL;
  }
  g_autoptr(GMappedFile) file = NULL;
  if (check_regular(fd, path, error)) {
    file = g_mapped_file_new_from_fd(fd, FALSE, error);
    if (!file)
      g_prefix_error(error, "%s: cannot be mapped: ", path);
  }
  close(fd);
  return file ? mapped_bytes(file) : NULL;
}

/* ---- writing files ---- */

/* Files are read from and written to once, in parts whose pages are given back: weights of
 * gigabytes pass through little memory. */
#define PART_BYTES ((gsize)16 << 20)

static gboolean write_all(int fd, const LcipIoChunk *chunk) {
  const guint8 *data = chunk->data;
  gsize left = chunk->size_bytes;
  while (left > 0) {
    const gssize written = write(fd, data, MIN(left, PART_BYTES));
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return FALSE;
    lcip_memory_drop_file_pages(data, (gsize)written);
    data += written;
    left -= (gsize)written;
  }
  return TRUE;
}

static gboolean write_chunks(int fd, const LcipIoChunk *chunks, guint n) {
  for (guint i = 0; i < n; i++)
    if (!write_all(fd, &chunks[i]))
      return FALSE;
  return fsync(fd) == 0;
}

/* The rename itself lies in the folder; without this a power cut could undo it. */
static void sync_folder(const char *path) {
  g_autofree char *folder = g_path_get_dirname(path);
  const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return;
  fsync(fd);
  close(fd);
}

/* A replaced file keeps its mode; a new one has what the umask leaves. */
static mode_t mode_for(const char *path) {
  struct stat info;
  if (stat(path, &info) == 0)
    return info.st_mode & 0777;
  const mode_t mask = umask(022);
  umask(mask);
  return 0666 & ~mask;
}

/* A device or a pipe is written to; a rename would put a file in its place. */
static gboolean is_stream(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

static gboolean write_stream(const char *path, const LcipIoChunk *chunks, guint n, GError **error) {
  const int fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
  gboolean written = fd >= 0;
  for (guint i = 0; written && i < n; i++)
    written = write_all(fd, &chunks[i]);
  const int write_errno = errno;
  const gboolean closed = fd < 0 || close(fd) == 0;
  if (written && closed)
    return TRUE;
  return fail_errno(error, path, "cannot be written", written ? errno : write_errno);
}

gboolean lcip_io_write(const char *path, const LcipIoChunk *chunks, guint n, GError **error) {
  if (is_stream(path))
    return write_stream(path, chunks, n, error);
  g_autofree char *temporary = g_strconcat(path, ".XXXXXX", NULL);
  const int fd = g_mkstemp_full(temporary, O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0)
    return fail_errno(error, path, "cannot be written", errno);
  const gboolean written = write_chunks(fd, chunks, n) && fchmod(fd, mode_for(path)) == 0;
  const int write_errno = errno;
  const gboolean closed = close(fd) == 0;
  if (written && closed && g_rename(temporary, path) == 0) {
    sync_folder(path);
    return TRUE;
  }
  const int saved_errno = written ? errno : write_errno;
  g_unlink(temporary);
  return fail_errno(error, path, "cannot be written", saved_errno);
}

/* ---- hashes ---- */

void lcip_io_hash(GChecksum *checksum, const void *data, gsize size_bytes) {
  const guint8 *at = data;
  while (size_bytes > 0) {
    const gsize part = MIN(size_bytes, PART_BYTES);
    g_checksum_update(checksum, at, (gssize)part);
    lcip_memory_drop_file_pages(at, part);
    at += part;
    size_bytes -= part;
  }
}

char *lcip_io_sha256(GBytes *bytes) {
  gsize size;
  const void *data = g_bytes_get_data(bytes, &size);
  g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
  lcip_io_hash(checksum, data, size);
  return g_strdup(g_checksum_get_string(checksum));
}

/* One small file per checked weights file: its identity and the hash that it had. */
static char *cache_path(const char *path) {
  g_autofree char *absolute = g_canonicalize_filename(path, NULL);
  g_autofree char *name = g_compute_checksum_for_string(G_CHECKSUM_SHA256, absolute, -1);
  name[32] = 0;
  return g_build_filename(g_get_user_cache_dir(), "lcip", "verified", name, NULL);
}

static char *file_identity(const char *path, const char *hash) {
  struct stat info;
  if (stat(path, &info) != 0)
    return NULL;
  return g_strdup_printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT
                         " %" G_GINT64_FORMAT ".%09ld %s\n",
                         (guint64)info.st_dev, (guint64)info.st_ino, (gint64)info.st_size,
                         (gint64)info.st_mtim.tv_sec, info.st_mtim.tv_nsec, hash);
}

static gboolean is_remembered(const char *path, const char *hash) {
  g_autofree char *file = cache_path(path);
  g_autofree char *identity = file_identity(path, hash);
  g_autofree char *known = NULL;
  return identity && g_file_get_contents(file, &known, NULL, NULL) && g_str_equal(known, identity);
}

/* The cache only saves time: where it cannot be written, files are hashed at each load. */
static void remember(const char *path, const char *hash) {
  g_autofree char *file = cache_path(path);
  g_autofree char *folder = g_path_get_dirname(file);
  g_autofree char *identity = file_identity(path, hash);
  if (identity && g_mkdir_with_parents(folder, 0700) == 0)
    g_file_set_contents(file, identity, -1, NULL);
}

gboolean lcip_io_check_hash(const char *path, GBytes *bytes, const char *expected,
                            LcipIoHashMode mode, GError **error) {
  if (mode == LCIP_IO_HASH_CACHED && is_remembered(path, expected))
    return TRUE;
  g_autofree char *found = lcip_io_sha256(bytes);
  if (!g_str_equal(found, expected))
    return lcip_io_fail(error, LCIP_IO_ERROR_HASH, "%s: expected SHA-256 %s, found %s", path,
                        expected, found);
  remember(path, expected);
  return TRUE;
}

/* ---- tensors ---- */

static float f16_to_f32(guint16 bits) {
  const guint32 sign = (guint32)(bits & 0x8000) << 16;
  const guint32 exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  union {
    guint32 bits;
    float value;
  } result;
  if (exponent == 0) {
    result.value = (float)mantissa * 0x1p-24f;
    result.bits |= sign;
  } else if (exponent == 31) {
    result.bits = sign | 0x7f800000u | mantissa << 13;
  } else {
    result.bits = sign | (exponent + 112) << 23 | mantissa << 13;
  }
  return result.value;
}

static float element_to_f32(LcipType type, const guint8 *source) {
  if (type == LCIP_TYPE_F64) {
    double value;
    memcpy(&value, source, sizeof value);
    return (float)value;
  }
  guint16 bits;
  memcpy(&bits, source, sizeof bits);
  if (type == LCIP_TYPE_F16)
    return f16_to_f32(bits);
  const guint32 wide = (guint32)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

void lcip_io_to_f32(LcipType type, const guint8 *source, float *target, gsize n) {
  const gsize size = lcip_type_size(type);
  for (gsize i = 0; i < n; i++)
    target[i] = element_to_f32(type, source + i * size);
}

gboolean lcip_io_bools_ok(const guint8 *data, gsize n) {
  for (gsize i = 0; i < n; i++)
    if (data[i] > 1)
      return FALSE;
  return TRUE;
}

/* Fewer bytes that are not aligned are copied at once. */
enum { MIN_BORROWED_BYTES = 4096 };

LcipTensor *lcip_io_tensor_from(const LcipTensorSpec *spec, GBytes *bytes, gsize offset) {
  gsize available, needed;
  const guint8 *data = g_bytes_get_data(bytes, &available);
  if (!lcip_tensor_spec_bytes(spec, &needed) || offset > available || needed > available - offset)
    return NULL;
  if (needed == 0)
    return lcip_tensor_new(spec);
  if (needed >= MIN_BORROWED_BYTES ||
      GPOINTER_TO_SIZE(data + offset) % lcip_type_size(spec->type) == 0)
    return lcip_tensor_new_from_bytes(spec, bytes, offset);
  return lcip_tensor_new_from_data(spec, data + offset);
}

/* ---- text ---- */

static gboolean xml_can_hold(gunichar c) {
  return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c <= 0xd7ff) ||
         (c >= 0xe000 && c <= 0xfffd) || (c >= 0x10000 && c <= 0x10ffff);
}

/* As nearly all names are. */
static gboolean is_plain_text(const char *text, gsize length) {
  for (gsize i = 0; i < length; i++)
    if (text[i] < ' ' || text[i] > '~')
      return FALSE;
  return TRUE;
}

char *lcip_io_clean_text(const char *text, gssize length) {
  const gsize n = length < 0 ? strlen(text) : (gsize)length;
  if (is_plain_text(text, n))
    return g_strndup(text, n);
  g_autofree char *valid = g_utf8_make_valid(text, length);
  GString *clean = g_string_sized_new(strlen(valid));
  for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
    const gunichar c = g_utf8_get_char(p);
    g_string_append_unichar(clean, xml_can_hold(c) ? c : 0xfffd);
  }
  return g_string_free(clean, FALSE);
}

char *lcip_output_filename(const char *name) {
  GString *file = g_string_new(NULL);
  for (const char *p = name; *p; p++)
    g_string_append_c(file, g_ascii_isalnum(*p) || strchr("._-", *p) ? *p : '_');
  g_string_append(file, ".npy");
  return g_string_free(file, FALSE);
}

/* ---- telling files apart ---- */

typedef struct {
  gsize offset;
  const char *magic;
  gsize length;
  const char *what;
} Magic;

static const Magic magics[] = {
    {0, "\x93NUMPY", 6, "a NumPy array"},
    {0, "\x89PNG", 4, "a PNG picture"},
    {0, "\xff\xd8\xff", 3, "a JPEG picture"},
    {0, "PK\x03\x04", 4, "a ZIP archive (PyTorch's .pt files are such archives)"},
    {0, "\x89HDF", 4, "an HDF5 file (a Keras model?)"},
    {4, "TFL3", 4, "a TensorFlow Lite model"},
    {0, "\x1f\x8b", 2, "a gzip archive"},
    {0,
     "\x7f"
     "ELF",
     4, "a program"},
    {8, "{", 1, "a safetensors file"},
};

static const char *guess(const guint8 *data, gsize size) {
  for (gsize i = 0; i < G_N_ELEMENTS(magics); i++) {
    const Magic *m = &magics[i];
    if (size >= m->offset + m->length && memcmp(data + m->offset, m->magic, m->length) == 0)
      return m->what;
  }
  return size == 0 ? "an empty file" : "something else";
}

/* A model begins with the tag of one of ModelProto's fields; writers put ir_version first. */
static gboolean looks_like_onnx(const guint8 *data, gsize size) {
  static const guint8 tags[] = {0x08, 0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72};
  return size >= 2 && memchr(tags, data[0], sizeof tags) != NULL &&
         !(size > 8 && memcmp(data + 4, "TFL3", 4) == 0) && !(size > 8 && data[8] == '{');
}

static gboolean looks_like_xml(const guint8 *data, gsize size) {
  gsize i = size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  if (size >= 2 && (memcmp(data, "\xff\xfe", 2) == 0 || memcmp(data, "\xfe\xff", 2) == 0))
    return TRUE;
  while (i < size && g_ascii_isspace((char)data[i]))
    i++;
  return i < size && data[i] == '<';
}

gboolean lcip_io_fail_problems(const char *path, const LcipGraph *graph, const GPtrArray *problems,
                               GError **error) {
  g_autoptr(GPtrArray) lines = lcip_problems_lines(problems, graph, LCIP_PROBLEM_ERROR);
  g_autoptr(GString) text = g_string_new(NULL);
  for (guint i = 0; i < lines->len; i++)
    g_string_append_printf(text, "\n  %s", (const char *)lines->pdata[i]);
  return lcip_io_fail(error, LCIP_IO_ERROR_UNSUPPORTED, "%s: %u problem%s:%s", path, lines->len,
                      lines->len == 1 ? "" : "s", text->str);
}

/* What is in the way, and what would help. */
static const char *why_unknown(const LcipActor *actor) {
  static const char *const control[] = {"If", "Loop", "Scan", "SequenceMap", NULL};
  if (*actor->domain && g_str_has_prefix(actor->domain, "ai.onnx"))
    return "LCIP has operators of ONNX's own domain only; export the network alone, for inference";
  if (*actor->domain)
    return "its domain is another program's own; export the model with operators of ONNX alone";
  if (g_strv_contains(control, actor->op_name))
    return "control flow, which LCIP does not run; export the model with the branch decided or the "
           "loop unrolled, or only the part before it";
  if (g_str_has_prefix(actor->op_name, "Sequence") ||
      g_str_has_prefix(actor->op_name, "Optional") || g_str_has_suffix(actor->op_name, "Sequence"))
    return "LCIP has tensors only, no sequences or optional values";
  return "LCIP has no such operator; `lcip operators` lists those it has";
}

void lcip_io_report_unknown(const LcipActor *actor, int opset, GPtrArray *problems) {
  g_autofree char *version = opset > 0 ? g_strdup_printf(" (opset %d)", opset) : g_strdup("");
  lcip_problems_add(problems, LCIP_PROBLEM_ERROR, actor->id, "%s%s%s%s: %s", actor->domain,
                    *actor->domain ? "." : "", actor->op_name, version, why_unknown(actor));
}

/* For an actor whose operator is not known here: it can be shown and saved, but not run. Documents
 * hold the opset of ONNX's own domain alone. */
static void report_unknown(const LcipGraph *graph, GPtrArray *problems) {
  for (guint i = 0; i < graph->actors->len; i++) {
    const LcipActor *actor = g_ptr_array_index(graph->actors, i);
    if (!actor->op)
      lcip_io_report_unknown(actor, *actor->domain ? 0 : graph->source_opset, problems);
  }
}

static LcipGraph *load_any(const char *path, GPtrArray *problems, GError **error) {
  g_autoptr(GBytes) bytes = lcip_io_map(path, LCIP_IO_FOLLOW_LINKS, error);
  if (!bytes)
    return NULL;
  gsize size;
  const guint8 *data = g_bytes_get_data(bytes, &size);
  if (looks_like_xml(data, size)) {
    LcipGraph *graph = lcip_xml_read(path, error);
    if (graph)
      report_unknown(graph, problems);
    return graph;
  }
  if (looks_like_onnx(data, size))
    return lcip_onnx_read(path, problems, error);
  lcip_io_fail(error, LCIP_IO_ERROR_FORMAT,
               "%s: expected an LCIP graph (XML) or an ONNX model, found %s", path,
               guess(data, size));
  return NULL;
}

LcipGraph *lcip_graph_load(const char *path, GPtrArray *problems, GError **error) {
  g_autoptr(GPtrArray) own = lcip_problems_new();
  GPtrArray *list = problems ? problems : own;
  LcipGraph *graph = load_any(path, list, error);
  if (graph && !problems && lcip_problems_have_errors(own)) {
    lcip_io_fail_problems(path, graph, own, error);
    g_clear_pointer(&graph, lcip_graph_unref);
  }
  return graph;
}
