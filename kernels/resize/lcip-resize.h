#pragma once

#include "lcip-infer.h"

G_BEGIN_DECLS

typedef enum { LCIP_RESIZE_NEAREST, LCIP_RESIZE_LINEAR, LCIP_RESIZE_CUBIC } LcipResizeMode;

/** LcipResizeCoordinates, LcipResizeNearest: values of coordinate_transformation_mode and
 * nearest_mode. */
typedef enum {
  LCIP_RESIZE_HALF_PIXEL,
  LCIP_RESIZE_HALF_PIXEL_SYMMETRIC,
  LCIP_RESIZE_PYTORCH_HALF_PIXEL,
  LCIP_RESIZE_ALIGN_CORNERS,
  LCIP_RESIZE_ASYMMETRIC,
  LCIP_RESIZE_TF_CROP_AND_RESIZE,
  LCIP_RESIZE_TF_HALF_PIXEL_FOR_NN
} LcipResizeCoordinates;
typedef enum {
  LCIP_RESIZE_ROUND_PREFER_FLOOR,
  LCIP_RESIZE_ROUND_PREFER_CEIL,
  LCIP_RESIZE_FLOOR,
  LCIP_RESIZE_CEIL
} LcipResizeNearest;

/** LcipResizeAxis: how one axis is resized. @roi_begin, @roi_end: for tf_crop_and_resize. */
typedef struct {
  gint64 in, out;
  float scale;
  float roi_begin, roi_end;
} LcipResizeAxis;

/** LcipResize: attributes and constant inputs resolved against an input shape. */
typedef struct {
  LcipResizeMode mode;
  LcipResizeCoordinates coordinates;
  LcipResizeNearest nearest;
  float cubic_a;
  gboolean exclude_outside;
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
void lcip_resize_taps(const LcipResize *resize, int axis, gint64 at, LcipResizeTaps *taps);

G_END_DECLS
