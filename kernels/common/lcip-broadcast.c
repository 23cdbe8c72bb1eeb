#include "config.h"
#include "lcip-broadcast.h"

gboolean lcip_broadcast_shape(LcipShape *result, const LcipShape *shape) {
  const int rank = MAX(result->rank, shape->rank);
  LcipShape wide = {.rank = rank};
  for (int i = 0; i < rank; i++) {
    const int ia = i - (rank - result->rank), ib = i - (rank - shape->rank);
    const gint64 a = ia >= 0 ? result->dims[ia] : 1;
    const gint64 b = ib >= 0 ? shape->dims[ib] : 1;
    if (a != b && a != 1 && b != 1)
      return FALSE;
    wide.dims[i] = a == 1 ? b : a;
  }
  *result = wide;
  return TRUE;
}

static void fill_strides(gint64 *strides, const LcipShape *shape, const LcipShape *out) {
  gint64 stride = 1;
  for (int i = out->rank - 1; i >= 0; i--) {
    const int at = i - (out->rank - shape->rank);
    const gint64 size = at >= 0 ? shape->dims[at] : 1;
    strides[i] = size == 1 ? 0 : stride;
    stride *= size;
  }
}

/* Dimensions @outer and @outer + 1 are one when every input's step over the outer is a whole inner
 * dimension. */
static gboolean can_merge(const LcipBroadcast *b, int outer) {
  for (guint k = 0; k < b->n_inputs; k++)
    if (b->strides[k][outer] != b->strides[k][outer + 1] * b->dims[outer + 1])
      return FALSE;
  return TRUE;
}

static void remove_dim(LcipBroadcast *b, int at) {
  b->rank--;
  for (int i = at; i < b->rank; i++) {
    b->dims[i] = b->dims[i + 1];
    for (guint k = 0; k < b->n_inputs; k++)
      b->strides[k][i] = b->strides[k][i + 1];
  }
}

static void merge_dims(LcipBroadcast *b) {
  for (int i = b->rank - 1; i >= 0 && b->rank > 1; i--)
    if (b->dims[i] == 1)
      remove_dim(b, i);
  for (int i = b->rank - 2; i >= 0; i--)
    if (can_merge(b, i)) {
      b->dims[i + 1] *= b->dims[i];
      remove_dim(b, i);
    }
}

void lcip_broadcast_init(LcipBroadcast *b, const LcipShape *out, guint n_inputs,
                         const LcipShape *const *shapes) {
  g_return_if_fail(n_inputs <= LCIP_BROADCAST_MAX);
  *b = (LcipBroadcast){.rank = MAX(out->rank, 1), .n_inputs = n_inputs, .dims = {1}};
  for (int i = 0; i < out->rank; i++)
    b->dims[i] = out->dims[i];
  for (guint k = 0; k < n_inputs; k++)
    fill_strides(b->strides[k], shapes[k], out);
  merge_dims(b);
  b->row_length = (gsize)b->dims[b->rank - 1];
  b->n_rows = 1;
  for (int i = 0; i < b->rank - 1; i++)
    b->n_rows *= (gsize)b->dims[i];
  for (guint k = 0; k < n_inputs; k++)
    b->row_strides[k] = b->strides[k][b->rank - 1];
}

void lcip_broadcast_row(const LcipBroadcast *b, gsize row, gsize *offsets) {
  for (guint k = 0; k < b->n_inputs; k++)
    offsets[k] = 0;
  for (int i = b->rank - 2; i >= 0; i--) {
    const gsize at = row % (gsize)b->dims[i];
    row /= (gsize)b->dims[i];
    for (guint k = 0; k < b->n_inputs; k++)
      offsets[k] += at * (gsize)b->strides[k][i];
  }
}

void lcip_broadcast_element(const LcipBroadcast *b, gsize index, gsize *offsets) {
  const gsize length = MAX(b->row_length, 1);
  lcip_broadcast_row(b, index / length, offsets);
  for (guint k = 0; k < b->n_inputs; k++)
    offsets[k] += index % length * (gsize)b->row_strides[k];
}
