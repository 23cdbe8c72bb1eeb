#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** LCIP_MAX_RANK: the most dimensions that a tensor has. */
#define LCIP_MAX_RANK 8
/** LCIP_TENSOR_ALIGN: alignment in bytes of tensor data that LCIP allocates (a cache line). */
#define LCIP_TENSOR_ALIGN 64

/** LcipType: element type of a tensor. The names in files are those of lcip_type_name(). */
typedef enum {
  LCIP_TYPE_NONE, /* an absent optional input */
  LCIP_TYPE_F32,
  LCIP_TYPE_F16,
  LCIP_TYPE_BF16,
  LCIP_TYPE_F64,
  LCIP_TYPE_I8,
  LCIP_TYPE_U8,
  LCIP_TYPE_I16,
  LCIP_TYPE_U16,
  LCIP_TYPE_I32,
  LCIP_TYPE_U32,
  LCIP_TYPE_I64,
  LCIP_TYPE_U64,
  LCIP_TYPE_BOOL,
  LCIP_N_TYPES
} LcipType;

/** LcipFormat: how a tensor lies in memory.
 * DENSE: row-major in the order of the logical dimensions.
 * NCHW8C, NCHW16C: rank 4 (n, c, h, w) f32 only, stored as [n][ceil(c / B)][h][w][B] with B = 8 or
 * 16; the padding channels of the last block are zero, and every kernel keeps them zero. */
typedef enum {
  LCIP_FORMAT_DENSE,
  LCIP_FORMAT_NCHW8C,
  LCIP_FORMAT_NCHW16C,
  LCIP_N_FORMATS
} LcipFormat;

/** LcipShape: a logical shape; @rank 0 is a scalar. */
typedef struct {
  int rank;
  gint64 dims[LCIP_MAX_RANK];
} LcipShape;

/** LcipTensorSpec: what a plan knows of a tensor. @shape is the planned shape; what a frame really
 * holds (data-dependent counts, picture sizes) is at most that in each dimension. */
typedef struct {
  LcipType type;
  LcipFormat format;
  LcipShape shape;
} LcipTensorSpec;

/** LcipTensorView: a borrowed view of a tensor that a kernel reads or writes.
 * @shape: the actual shape of this firing, at most spec.shape in each dimension. A kernel with a
 *   data-dependent output sets the actual shape of that output; all others leave it alone.
 * @data: host address, or NULL when the tensor lies on a device.
 * @buffer, @offset_bytes: a cl_mem and the offset in it, or NULL. */
typedef struct {
  LcipTensorSpec spec;
  LcipShape shape;
  void *data;
  void *buffer;
  gsize offset_bytes;
} LcipTensorView;

/** LcipTensor: an immutable-once-shared, atomically reference-counted tensor in host memory. */
typedef struct _LcipTensor LcipTensor;

gsize lcip_type_size(LcipType type);
const char *lcip_type_name(LcipType type);
LcipType lcip_type_from_name(const char *name);
const char *lcip_format_name(LcipFormat format);
/** lcip_format_block: channels in one block: 1, 8 or 16. */
int lcip_format_block(LcipFormat format);

LcipShape lcip_shape(int rank, ...); /* gint64 dims follow as int */
LcipShape lcip_shape_from_dims(int rank, const gint64 *dims);
gboolean lcip_shape_equal(const LcipShape *a, const LcipShape *b);
/** lcip_shape_count: number of elements; -1 when a dimension is negative or the product overflows.
 */
gint64 lcip_shape_count(const LcipShape *shape);
/** lcip_shape_to_string: "1x256x256x3", "scalar" for rank 0. Transfer full. */
char *lcip_shape_to_string(const LcipShape *shape);

/** lcip_tensor_spec_bytes: bytes that the planned shape needs in its format, padding channels
 * counted. FALSE when a dimension is negative or the size overflows. */
gboolean lcip_tensor_spec_bytes(const LcipTensorSpec *spec, gsize *bytes);
LcipTensorSpec lcip_tensor_spec(LcipType type, LcipShape shape);
gboolean lcip_tensor_spec_equal(const LcipTensorSpec *a, const LcipTensorSpec *b);
/** lcip_tensor_spec_to_string: "f32 1x256x256x3", with the format's name unless dense. */
char *lcip_tensor_spec_to_string(const LcipTensorSpec *spec);

/** lcip_tensor_new: zeroed tensor, LCIP_TENSOR_ALIGN aligned. NULL when it cannot be allocated. */
LcipTensor *lcip_tensor_new(const LcipTensorSpec *spec);
/** lcip_tensor_new_from_data: copies @data, which must hold the spec's bytes. */
LcipTensor *lcip_tensor_new_from_data(const LcipTensorSpec *spec, const void *data);
/** lcip_tensor_new_from_bytes: borrows @offset of @bytes (a mapped file), keeping a reference. NULL
 * when the bytes are too few. Elements that are not aligned there are copied when
 * lcip_tensor_get_data() is first asked for them. */
LcipTensor *lcip_tensor_new_from_bytes(const LcipTensorSpec *spec, GBytes *bytes, gsize offset);
LcipTensor *lcip_tensor_new_i64(gsize n, const gint64 *values);
LcipTensor *lcip_tensor_ref(LcipTensor *tensor);
void lcip_tensor_unref(LcipTensor *tensor);
/** lcip_tensor_is_shared: others than the caller hold references. */
gboolean lcip_tensor_is_shared(const LcipTensor *tensor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipTensor, lcip_tensor_unref)
const LcipTensorSpec *lcip_tensor_get_spec(const LcipTensor *tensor);
/** lcip_tensor_get_shape: the actual shape, the spec's unless lcip_tensor_set_shape() changed it.
 */
const LcipShape *lcip_tensor_get_shape(const LcipTensor *tensor);
/** lcip_tensor_set_shape: sets the actual shape; only before the tensor is shared. */
void lcip_tensor_set_shape(LcipTensor *tensor, const LcipShape *shape);
/** lcip_tensor_get_data: aligned to the elements. Any thread. */
const void *lcip_tensor_get_data(const LcipTensor *tensor);
/** lcip_tensor_get_stored: the bytes where they lie, perhaps not aligned; to be copied, or to tell
 * tensors apart. */
const void *lcip_tensor_get_stored(const LcipTensor *tensor);
/** lcip_tensor_is_aligned: lcip_tensor_get_data() has nothing to copy any more. */
gboolean lcip_tensor_is_aligned(const LcipTensor *tensor);
/** lcip_tensor_get_mutable: only before the tensor is shared. */
void *lcip_tensor_get_mutable(LcipTensor *tensor);
gsize lcip_tensor_get_bytes(const LcipTensor *tensor);
/** lcip_tensor_get_sha256: of the data, 32 bytes; computed once, only after the tensor is complete.
 * Any thread. */
const guint8 *lcip_tensor_get_sha256(LcipTensor *tensor);
/** lcip_tensor_view: a host view; valid while the tensor lives. */
LcipTensorView lcip_tensor_view(LcipTensor *tensor);
/** lcip_tensor_get_i64: element @i of an i64 or i32 tensor, widened. */
gint64 lcip_tensor_get_i64(const LcipTensor *tensor, gsize i);

G_END_DECLS
