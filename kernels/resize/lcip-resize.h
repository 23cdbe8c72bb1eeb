#pragma once

#include "lcip-infer.h"

G_BEGIN_DECLS

typedef enum { LCIP_RESIZE_NEAREST, LCIP_RESIZE_LINEAR, LCIP_RESIZE_CUBIC } LcipResizeMode;

/** LcipResizeAxis: how one axis is resized. @roi_begin, @roi_end: for tf_crop_and_resize. */
typedef struct {
  gint64 in, out;
  float scale;
  float roi_begin, roi_end;
} LcipResizeAxis;

/** LcipResize: attributes and constant inputs resolved against an input shape. */
typedef struct {
  LcipResizeMode mode;
  int rank;
  LcipResizeAxis axes[LCIP_MAX_RANK];
} LcipResize;

gboolean lcip_resize_init(LcipResize *resize, const LcipStep *step, const LcipShape *shape,
                          GError **error);

/** LCIP_RESIZE_MAX_TAPS: input elements along one axis that an output element is made of. */
#define LCIP_RESIZE_MAX_TAPS 4

/** LcipResizeTaps: the @n inputs of one output index and their weights. @outside: the coordinate
 * lies outside the input, the element becomes extrapolation_value (tf_crop_and_resize). */
typedef struct {
  int n;
  gboolean outside;
  gint64 index[LCIP_RESIZE_MAX_TAPS];
  float weight[LCIP_RESIZE_MAX_TAPS];
} LcipResizeTaps;

/** lcip_resize_taps: of output index @at along @axis. */
void lcip_resize_taps(const LcipStep *step, const LcipResize *resize, int axis, gint64 at,
                      LcipResizeTaps *taps);

G_END_DECLS
