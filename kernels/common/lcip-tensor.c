#include "config.h"
#include "lcip-memory.h"
#include "lcip-tensor.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct _LcipTensor {
  /* C11, not GLib's: ThreadSanitizer sees the order that it makes. */
  _Atomic guint refs;
  LcipTensorSpec spec;
  LcipShape shape;
  gsize size_bytes;
  /* owned: exactly one of the two */
  void *allocated;
  GBytes *bytes;
  _Atomic(void *) copy; /* of @stored where that is not aligned, once it was asked for */
  _Atomic(guint8 *) sha256;
  /* borrowed from the above */
  const void *stored;
};

static const struct {
  const char *name;
  gsize size_bytes;
} types[LCIP_N_TYPES] = {
    [LCIP_TYPE_NONE] = {"none", 0}, [LCIP_TYPE_F32] = {"f32", 4},   [LCIP_TYPE_F16] = {"f16", 2},
    [LCIP_TYPE_BF16] = {"bf16", 2}, [LCIP_TYPE_F64] = {"f64", 8},   [LCIP_TYPE_I8] = {"i8", 1},
    [LCIP_TYPE_U8] = {"u8", 1},     [LCIP_TYPE_I16] = {"i16", 2},   [LCIP_TYPE_U16] = {"u16", 2},
    [LCIP_TYPE_I32] = {"i32", 4},   [LCIP_TYPE_U32] = {"u32", 4},   [LCIP_TYPE_I64] = {"i64", 8},
    [LCIP_TYPE_U64] = {"u64", 8},   [LCIP_TYPE_BOOL] = {"bool", 1},
};

gsize lcip_type_size(LcipType type) {
  g_return_val_if_fail((guint)type < LCIP_N_TYPES, 0);
  return types[type].size_bytes;
}

const char *lcip_type_name(LcipType type) {
  g_return_val_if_fail((guint)type < LCIP_N_TYPES, NULL);
  return types[type].name;
}

LcipType lcip_type_from_name(const char *name) {
  for (guint i = 1; i < LCIP_N_TYPES; i++)
    if (g_strcmp0(name, types[i].name) == 0)
      return (LcipType)i;
  return LCIP_TYPE_NONE;
}

const char *lcip_format_name(LcipFormat format) {
  static const char *const names[LCIP_N_FORMATS] = {"dense", "nChw8c", "nChw16c"};
  g_return_val_if_fail((guint)format < LCIP_N_FORMATS, NULL);
  return names[format];
}

int lcip_format_block(LcipFormat format) {
  static const int blocks[LCIP_N_FORMATS] = {1, 8, 16};
  g_return_val_if_fail((guint)format < LCIP_N_FORMATS, 1);
  return blocks[format];
}

LcipShape lcip_shape(int rank, ...) {
  LcipShape shape = {.rank = rank};
  va_list ap;
  g_return_val_if_fail(rank >= 0 && rank <= LCIP_MAX_RANK, shape);
  va_start(ap, rank);
  for (int i = 0; i < rank; i++)
    shape.dims[i] = va_arg(ap, int);
  va_end(ap);
  return shape;
}

LcipShape lcip_shape_from_dims(int rank, const gint64 *dims) {
  LcipShape shape = {.rank = rank};
  g_return_val_if_fail(rank >= 0 && rank <= LCIP_MAX_RANK, shape);
  if (rank > 0)
    memcpy(shape.dims, dims, sizeof(gint64) * (gsize)rank);
  return shape;
}

gboolean lcip_shape_equal(const LcipShape *a, const LcipShape *b) {
  return a->rank == b->rank &&
         (a->rank == 0 || memcmp(a->dims, b->dims, sizeof(gint64) * (gsize)a->rank) == 0);
}

gint64 lcip_shape_count(const LcipShape *shape) {
  guint64 count = 1;
  for (int i = 0; i < shape->rank; i++) {
    if (shape->dims[i] < 0 || !g_uint64_checked_mul(&count, count, (guint64)shape->dims[i]))
      return -1;
  }
  return count > G_MAXINT64 ? -1 : (gint64)count;
}

char *lcip_shape_to_string(const LcipShape *shape) {
  if (shape->rank == 0)
    return g_strdup("scalar");
  GString *text = g_string_new(NULL);
  for (int i = 0; i < shape->rank; i++)
    g_string_append_printf(text, "%s%" G_GINT64_FORMAT, i ? "x" : "", shape->dims[i]);
  return g_string_free(text, FALSE);
}

gboolean lcip_tensor_spec_bytes(const LcipTensorSpec *spec, gsize *bytes) {
  LcipShape stored = spec->shape;
  const int block = lcip_format_block(spec->format);
  if (block > 1) {
    if (stored.rank != 4 || stored.dims[1] > G_MAXINT32)
      return FALSE;
    stored.dims[1] = (stored.dims[1] + block - 1) / block * block;
  }
  const gint64 count = lcip_shape_count(&stored);
  return count >= 0 && g_size_checked_mul(bytes, (gsize)count, lcip_type_size(spec->type)) &&
         *bytes <= G_MAXSSIZE - LCIP_TENSOR_ALIGN;
}

LcipTensorSpec lcip_tensor_spec(LcipType type, LcipShape shape) {
  return (LcipTensorSpec){.type = type, .format = LCIP_FORMAT_DENSE, .shape = shape};
}

gboolean lcip_tensor_spec_equal(const LcipTensorSpec *a, const LcipTensorSpec *b) {
  return a->type == b->type && a->format == b->format && lcip_shape_equal(&a->shape, &b->shape);
}

char *lcip_tensor_spec_to_string(const LcipTensorSpec *spec) {
  g_autofree char *shape = lcip_shape_to_string(&spec->shape);
  if (spec->format == LCIP_FORMAT_DENSE)
    return g_strdup_printf("%s %s", lcip_type_name(spec->type), shape);
  return g_strdup_printf("%s %s %s", lcip_type_name(spec->type), shape,
                         lcip_format_name(spec->format));
}

static LcipTensor *tensor_alloc(const LcipTensorSpec *spec) {
  gsize bytes;
  if (!lcip_tensor_spec_bytes(spec, &bytes))
    return NULL;
  LcipTensor *tensor = g_new0(LcipTensor, 1);
  atomic_init(&tensor->refs, 1);
  tensor->spec = *spec;
  tensor->shape = spec->shape;
  tensor->size_bytes = bytes;
  return tensor;
}

static LcipTensor *tensor_new(const LcipTensorSpec *spec, void *(*alloc)(gsize)) {
  LcipTensor *tensor = tensor_alloc(spec);
  if (!tensor)
    return NULL;
  tensor->allocated = alloc(tensor->size_bytes);
  if (!tensor->allocated) {
    g_free(tensor);
    return NULL;
  }
  tensor->stored = tensor->allocated;
  return tensor;
}

LcipTensor *lcip_tensor_new(const LcipTensorSpec *spec) {
  return tensor_new(spec, lcip_memory_alloc);
}

LcipTensor *lcip_tensor_new_from_data(const LcipTensorSpec *spec, const void *data) {
  LcipTensor *tensor = tensor_new(spec, lcip_memory_alloc_full);
  if (tensor && tensor->size_bytes)
    memcpy(tensor->allocated, data, tensor->size_bytes);
  return tensor;
}

LcipTensor *lcip_tensor_new_from_bytes(const LcipTensorSpec *spec, GBytes *bytes, gsize offset) {
  LcipTensor *tensor = tensor_alloc(spec);
  if (!tensor)
    return NULL;
  const gsize available = g_bytes_get_size(bytes);
  if (offset > available || tensor->size_bytes > available - offset) {
    g_free(tensor);
    return NULL;
  }
  tensor->bytes = g_bytes_ref(bytes);
  tensor->stored = (const guint8 *)g_bytes_get_data(bytes, NULL) + offset;
  return tensor;
}

LcipTensor *lcip_tensor_new_i64(gsize n, const gint64 *values) {
  const gint64 dim = (gint64)n;
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_I64, lcip_shape_from_dims(1, &dim));
  return lcip_tensor_new_from_data(&spec, values);
}

LcipTensor *lcip_tensor_ref(LcipTensor *tensor) {
  atomic_fetch_add_explicit(&tensor->refs, 1, memory_order_relaxed);
  return tensor;
}

gboolean lcip_tensor_is_shared(const LcipTensor *tensor) {
  return atomic_load_explicit(&((LcipTensor *)tensor)->refs, memory_order_acquire) != 1;
}

void lcip_tensor_unref(LcipTensor *tensor) {
  if (atomic_fetch_sub_explicit(&tensor->refs, 1, memory_order_acq_rel) != 1)
    return;
  lcip_memory_free(tensor->allocated, tensor->size_bytes);
  lcip_memory_free(atomic_load_explicit(&tensor->copy, memory_order_acquire), tensor->size_bytes);
  g_clear_pointer(&tensor->bytes, g_bytes_unref);
  g_free(atomic_load_explicit(&tensor->sha256, memory_order_acquire));
  g_free(tensor);
}

const LcipTensorSpec *lcip_tensor_get_spec(const LcipTensor *tensor) {
  return &tensor->spec;
}

const LcipShape *lcip_tensor_get_shape(const LcipTensor *tensor) {
  return &tensor->shape;
}

void lcip_tensor_set_shape(LcipTensor *tensor, const LcipShape *shape) {
  tensor->shape = *shape;
}

const void *lcip_tensor_get_stored(const LcipTensor *tensor) {
  return tensor->stored;
}

static gboolean is_stored_aligned(const LcipTensor *tensor) {
  return GPOINTER_TO_SIZE(tensor->stored) % MAX(lcip_type_size(tensor->spec.type), 1) == 0;
}

gboolean lcip_tensor_is_aligned(const LcipTensor *tensor) {
  return is_stored_aligned(tensor) ||
         atomic_load_explicit(&((LcipTensor *)tensor)->copy, memory_order_acquire);
}

/* Two threads may copy at once; the first one's is kept. Without memory for a copy the elements are
 * read where they are, which the processors that LCIP runs on can do. */
static const void *make_copy(LcipTensor *tensor) {
  void *known = NULL, *copy = lcip_memory_alloc_full(tensor->size_bytes);
  if (!copy)
    return tensor->stored;
  memcpy(copy, tensor->stored, tensor->size_bytes);
  lcip_memory_drop_file_pages(tensor->stored, tensor->size_bytes);
  if (atomic_compare_exchange_strong(&tensor->copy, &known, copy))
    return copy;
  lcip_memory_free(copy, tensor->size_bytes);
  return known;
}

const void *lcip_tensor_get_data(const LcipTensor *tensor) {
  if (is_stored_aligned(tensor))
    return tensor->stored;
  const void *copy = atomic_load_explicit(&((LcipTensor *)tensor)->copy, memory_order_acquire);
  return copy ? copy : make_copy((LcipTensor *)tensor);
}

void *lcip_tensor_get_mutable(LcipTensor *tensor) {
  g_return_val_if_fail(tensor->allocated != NULL, NULL);
  return tensor->allocated;
}

gsize lcip_tensor_get_bytes(const LcipTensor *tensor) {
  return tensor->size_bytes;
}

const guint8 *lcip_tensor_get_sha256(LcipTensor *tensor) {
  guint8 *known = atomic_load_explicit(&tensor->sha256, memory_order_acquire);
  if (known)
    return known;
  gsize n = 32;
  guint8 *digest = g_malloc(n);
  g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
  const gsize piece = (gsize)1 << 30;
  for (gsize at = 0; at < tensor->size_bytes; at += piece)
    g_checksum_update(checksum, (const guint8 *)tensor->stored + at,
                      (gssize)MIN(piece, tensor->size_bytes - at));
  g_checksum_get_digest(checksum, digest, &n);
  /* Two threads may do this at once; the first one's is kept. */
  if (atomic_compare_exchange_strong(&tensor->sha256, &known, digest))
    return digest;
  g_free(digest);
  return known;
}

LcipTensorView lcip_tensor_view(LcipTensor *tensor) {
  return (LcipTensorView){
      .spec = tensor->spec, .shape = tensor->shape, .data = (void *)lcip_tensor_get_data(tensor)};
}

gint64 lcip_tensor_get_i64(const LcipTensor *tensor, gsize i) {
  if (tensor->spec.type == LCIP_TYPE_I32)
    return ((const gint32 *)lcip_tensor_get_data(tensor))[i];
  g_return_val_if_fail(tensor->spec.type == LCIP_TYPE_I64, 0);
  return ((const gint64 *)lcip_tensor_get_data(tensor))[i];
}
