#pragma once

#include "lcip-kernel.h"

/* What the definitions and the reference kernels of all operator families share. */

G_BEGIN_DECLS

/** lcip_step_constant: the constant at input @i (borrowed), or NULL when it is computed or absent.
 */
LcipTensor *lcip_step_constant(const LcipStep *step, guint i);

/** lcip_infer_ints: reads the constant i64 or i32 input @i, of rank 0 or 1, into @values, at most
 * @max of them. Fails when it is no constant, has another type or too many elements. */
gboolean lcip_infer_ints(const LcipStep *step, guint i, guint max, gint64 *values, guint *n,
                         GError **error);
/** lcip_infer_axis: @axis, counted from the end when negative, as an index below @rank. */
gboolean lcip_infer_axis(const LcipStep *step, gint64 axis, int rank, int *index, GError **error);
/** lcip_infer_axes: marks each of @axes in @marked (LCIP_MAX_RANK); a repeated axis is an error. */
gboolean lcip_infer_axes(const LcipStep *step, const gint64 *axes, guint n, int rank,
                         gboolean *marked, GError **error);
/** lcip_infer_set: output @i gets @type and @shape, dense. Fails when the size is negative or
 * overflows. */
gboolean lcip_infer_set(LcipStep *step, guint i, LcipType type, const LcipShape *shape,
                        GError **error);
/** lcip_infer_like: output 0 is like input 0. The whole infer of unary operators on f32. */
gboolean lcip_infer_like_f32(LcipStep *step, GError **error);
/** lcip_infer_one_of: input @i, when present, has one of the @types (ends with LCIP_TYPE_NONE). */
gboolean lcip_infer_one_of(const LcipStep *step, guint i, const LcipType *types, GError **error);

/** lcip_view_count: elements of the actual shape. */
gsize lcip_view_count(const LcipTensorView *view);
/** lcip_shape_product: product of dims [from, to) of a checked shape. */
gsize lcip_shape_product(const LcipShape *shape, int from, int to);

/** lcip_supports_reference: for supports() of reference kernels: everything dense, no epilogues. */
gboolean lcip_supports_reference(const LcipStep *step, LcipPortFormats *formats,
                                 const char **reason);

/** LcipRangeFunc: does items [begin, end). */
typedef void (*LcipRangeFunc)(gpointer data, gsize begin, gsize end);
/** lcip_team_ranges: splits @n_items into ranges of @grain over @team; the split depends on these
 * two alone. */
void lcip_team_ranges(LcipTeam *team, gsize n_items, gsize grain, LcipRangeFunc func,
                      gpointer data);

G_END_DECLS
