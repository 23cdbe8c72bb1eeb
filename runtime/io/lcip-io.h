#pragma once

#include <gio/gio.h>

#include "lcip-graph.h"

G_BEGIN_DECLS

/** LCIP_IO_ERROR: what is wrong with a file. Messages read "FILE:LINE: <element>: expected ...,
 * found
 * ..." (XML) or "FILE: offset N: expected ..., found ..." (binary files). */
#define LCIP_IO_ERROR (lcip_io_error_quark())
GQuark lcip_io_error_quark(void);
typedef enum {
  LCIP_IO_ERROR_FORMAT,      /* the file is not what it says it is */
  LCIP_IO_ERROR_UNSUPPORTED, /* valid, but LCIP does not read this */
  LCIP_IO_ERROR_PATH,        /* a path that leaves the document's folder */
  LCIP_IO_ERROR_HASH,        /* weights that are not those the document names */
  LCIP_IO_ERROR_SIZE
} LcipIoErrorCode;

/** lcip_graph_load: reads LCIP's XML or an ONNX model, told apart by content. @problems may be
 * NULL: then a graph with problems is an error that lists them; otherwise actors that cannot run
 * are appended to @problems and the graph is returned all the same. Any thread. */
LcipGraph *lcip_graph_load(const char *path, GPtrArray *problems, GError **error);

LcipGraph *lcip_xml_read(const char *path, GError **error);
/** lcip_xml_write: the weights first, as NAME-<16 hex digits of SHA-256>.safetensors beside @path,
 * then the XML: temporary file, fsync, rename. Same graph, same bytes. A graph that is not all of
 * its model (LcipGraph.incomplete), or that lcip_xml_read() would refuse, is refused before
 * anything is written. */
gboolean lcip_xml_write(const LcipGraph *graph, const char *path, GError **error);
/** lcip_xml_to_string: the XML alone; @weights_name NULL for a graph without weights. */
char *lcip_xml_to_string(const LcipGraph *graph, const char *weights_name,
                         const char *weights_hash);
/** lcip_xml_validate: everything lcip_xml_read() checks, and the hash of the weights. */
gboolean lcip_xml_validate(const char *path, GError **error);

LcipGraph *lcip_onnx_read(const char *path, GPtrArray *problems, GError **error);
/** lcip_onnx_read_tensor: a file that holds one ONNX TensorProto (input_0.pb of a test case); f16,
 * bf16 and f64 are converted to f32, as lcip_onnx_read() does. Transfer full. Any thread. */
LcipTensor *lcip_onnx_read_tensor(const char *path, GError **error);

/** LcipWeights: a safetensors file mapped into memory. */
typedef struct _LcipWeights LcipWeights;
LcipWeights *lcip_weights_open(const char *path, GError **error);
void lcip_weights_unref(LcipWeights *weights);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipWeights, lcip_weights_unref)
LcipTensor *lcip_weights_get(LcipWeights *weights, const char *key, GError **error);
/** lcip_weights_write: @keys and @tensors in the order of the keys. */
gboolean lcip_weights_write(const char *path, guint n, const char *const *keys,
                            LcipTensor *const *tensors, char **sha256, GError **error);

LcipTensor *lcip_npy_read(const char *path, GError **error);
gboolean lcip_npy_write(const LcipTensor *tensor, const char *path, GError **error);
/** lcip_output_filename: every character outside A-Za-z0-9._- becomes '_', ".npy" appended. */
char *lcip_output_filename(const char *name);

G_END_DECLS
