#pragma once

#include "lcip-infer.h"

G_BEGIN_DECLS

/* Attributes and constant inputs of layout operators resolved against an input shape: by infer with
 * planned shapes, by the kernels with actual ones. */

/** LcipSlice: per dimension the first index, the step (never 0, at most the dimension's size either
 * way) and the number of elements taken. */
typedef struct {
  gint64 start[LCIP_MAX_RANK], step[LCIP_MAX_RANK], count[LCIP_MAX_RANK];
} LcipSlice;

gboolean lcip_slice_init(LcipSlice *slice, const LcipStep *step, const LcipShape *shape,
                         GError **error);

typedef enum { LCIP_PAD_CONSTANT, LCIP_PAD_REFLECT, LCIP_PAD_EDGE, LCIP_PAD_WRAP } LcipPadMode;

/** LcipPads: elements added (negative: removed) at both ends of each dimension. */
typedef struct {
  LcipPadMode mode;
  gint64 begin[LCIP_MAX_RANK], end[LCIP_MAX_RANK];
} LcipPads;

gboolean lcip_pads_init(LcipPads *pads, const LcipStep *step, const LcipShape *shape,
                        GError **error);

/** lcip_transpose_perm: fills @perm for a tensor of @rank. */
gboolean lcip_transpose_perm(const LcipStep *step, int rank, int *perm, GError **error);

G_END_DECLS
