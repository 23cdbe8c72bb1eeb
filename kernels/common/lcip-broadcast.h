#pragma once

#include "lcip-tensor.h"

G_BEGIN_DECLS

#define LCIP_BROADCAST_MAX 4

/** lcip_broadcast_shape: widens @result to what it and @shape broadcast to, as NumPy does. FALSE
 * when they do not fit. */
gboolean lcip_broadcast_shape(LcipShape *result, const LcipShape *shape);

/** LcipBroadcast: how to walk dense inputs of different shapes along a dense output: as @n_rows
 * rows of @row_length elements each. Neighbouring dimensions that all inputs walk alike are one. */
typedef struct {
  int rank;
  guint n_inputs;
  gint64 dims[LCIP_MAX_RANK];
  gint64 strides[LCIP_BROADCAST_MAX][LCIP_MAX_RANK]; /* elements; 0 where broadcast */
  gsize n_rows;
  gsize row_length;
  gint64 row_strides[LCIP_BROADCAST_MAX];
} LcipBroadcast;

/** lcip_broadcast_init: @shapes must broadcast to @out. */
void lcip_broadcast_init(LcipBroadcast *broadcast, const LcipShape *out, guint n_inputs,
                         const LcipShape *const *shapes);
/** lcip_broadcast_row: where row @row begins in each input; in the output at row * row_length. */
void lcip_broadcast_row(const LcipBroadcast *broadcast, gsize row, gsize *offsets);
/** lcip_broadcast_element: where element @index of the output lies in each input. */
void lcip_broadcast_element(const LcipBroadcast *broadcast, gsize index, gsize *offsets);

G_END_DECLS
