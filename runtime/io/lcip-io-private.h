#pragma once

#include "lcip-io.h"

G_BEGIN_DECLS

/** lcip_io_fail: sets @error from a printf format, made valid UTF-8; always FALSE, so that callers
 * can return it. */
gboolean lcip_io_fail(GError **error, LcipIoErrorCode code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/** lcip_io_fail_problems: an error that lists the errors among @problems; always FALSE. */
gboolean lcip_io_fail_problems(const char *path, const LcipGraph *graph, const GPtrArray *problems,
                               GError **error);

/** lcip_io_report_unknown: @actor's operator is one that LCIP does not have: why, and what would
 * help. @opset: of its domain, 0 where it is not known. */
void lcip_io_report_unknown(const LcipActor *actor, int opset, GPtrArray *problems);

/** LcipIoLinks: whether lcip_io_map() opens a path whose last component is a symbolic link. */
typedef enum { LCIP_IO_FOLLOW_LINKS, LCIP_IO_REFUSE_LINKS } LcipIoLinks;

/** lcip_io_map: the bytes of a regular file, mapped. An empty file gives empty bytes. Never blocks
 * on a FIFO or a device. */
GBytes *lcip_io_map(const char *path, LcipIoLinks links, GError **error);

/** LcipIoChunk: a part of a file to write; borrowed. */
typedef struct {
  const void *data;
  gsize size_bytes;
} LcipIoChunk;

/** lcip_io_write: writes the chunks one after another to a temporary file beside @path, syncs it,
 * renames it to @path and syncs the folder: afterwards @path holds either the old or the new. A
 * device or a pipe is written to as it is. */
gboolean lcip_io_write(const char *path, const LcipIoChunk *chunks, guint n, GError **error);

/** lcip_io_hash: adds @data to @checksum; pages of mapped files are given back behind it. */
void lcip_io_hash(GChecksum *checksum, const void *data, gsize size_bytes);
/** lcip_io_sha256: of the file's bytes, 64 hex digits. Transfer full. */
char *lcip_io_sha256(GBytes *bytes);

/** LcipIoHashMode: when a file's hash is computed anew. CACHED trusts an earlier check of a file
 * whose device, inode, size and modification time are the same since. */
typedef enum { LCIP_IO_HASH_CACHED, LCIP_IO_HASH_ALWAYS } LcipIoHashMode;

/** lcip_io_check_hash: @bytes (the mapped file @path) have the SHA-256 @expected. A good result is
 * remembered below the user's cache folder. */
gboolean lcip_io_check_hash(const char *path, GBytes *bytes, const char *expected,
                            LcipIoHashMode mode, GError **error);

/** lcip_io_to_f32: converts @n elements of f16, bf16 or f64, little-endian and of any alignment. */
void lcip_io_to_f32(LcipType type, const guint8 *source, float *target, gsize n);

/** lcip_io_bools_ok: every byte is 0 or 1. */
gboolean lcip_io_bools_ok(const guint8 *data, gsize n);

/** lcip_io_tensor_from: a tensor of @spec at @offset of @bytes: borrowed where the elements are
 * aligned or many, copied where not. NULL when it does not fit or cannot be allocated. */
LcipTensor *lcip_io_tensor_from(const LcipTensorSpec *spec, GBytes *bytes, gsize offset);

/** lcip_io_clean_text: valid UTF-8 of characters that XML can hold; others become U+FFFD. @length
 * -1 for a terminated string. Transfer full. */
char *lcip_io_clean_text(const char *text, gssize length);

/** lcip_weights_image: the header of a weights file and the order in which the data follow it.
 * @chunks: n + 1 of them, borrowed from @header and the tensors. Transfer full. */
typedef struct {
  char *header;
  LcipIoChunk *chunks;
  guint n_chunks;
  char *sha256;
  guint64 size_bytes;
} LcipWeightsImage;
LcipWeightsImage *lcip_weights_image_new(guint n, const char *const *keys,
                                         LcipTensor *const *tensors, GError **error);
void lcip_weights_image_free(LcipWeightsImage *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipWeightsImage, lcip_weights_image_free)

/** lcip_weights_open_bytes: as lcip_weights_open() from the mapped @bytes of @path. */
LcipWeights *lcip_weights_open_bytes(const char *path, GBytes *bytes, GError **error);

/** LcipXmlWeights: the tensors of a graph with the keys that its weights file has for them, sorted
 * by key. @by_slot: actor and port, or actor and attribute, to key. */
typedef struct {
  GPtrArray *keys;
  GPtrArray *tensors;
  GHashTable *by_slot;
} LcipXmlWeights;
LcipXmlWeights *lcip_xml_weights_new(const LcipGraph *graph);
void lcip_xml_weights_free(LcipXmlWeights *weights);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipXmlWeights, lcip_xml_weights_free)
/** lcip_xml_weights_key: of input @port of @actor, or of its attribute @attr where that is not
 * NULL. */
const char *lcip_xml_weights_key(const LcipXmlWeights *weights, const LcipActor *actor, guint port,
                                 const char *attr);

/** lcip_xml_read_memory: a document that names no weights file; its tensors are found in @tensors
 * (key -> LcipTensor). @name: for messages. */
LcipGraph *lcip_xml_read_memory(const char *name, GBytes *bytes, GHashTable *tensors,
                                GError **error);

/** LCIP_XML_NAMESPACE, LCIP_XML_VERSION: of the documents that this LCIP writes and reads. */
#define LCIP_XML_NAMESPACE "urn:lcip:graph:1"
#define LCIP_XML_VERSION "1"
/** LCIP_IO_MAX_PORTS: the most inputs or outputs of an actor that a file may name. */
#define LCIP_IO_MAX_PORTS 1024

G_END_DECLS
