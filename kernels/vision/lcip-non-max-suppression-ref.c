#include "config.h"
#include "lcip-vision-private.h"

#include <string.h>

/* Greedy non-maximum suppression: take the best box left, drop those of its label that overlap it
 * too much, repeat. Equal scores: the earlier box. */

static float area(const float *box) {
  return MAX(0.0f, box[2] - box[0]) * MAX(0.0f, box[3] - box[1]);
}

/* Intersection over union of two boxes; 0 when both are empty. */
static float overlap(const float *a, const float *b) {
  const float width = MIN(a[2], b[2]) - MAX(a[0], b[0]);
  const float height = MIN(a[3], b[3]) - MAX(a[1], b[1]);
  const float both = MAX(0.0f, width) * MAX(0.0f, height);
  const float either = area(a) + area(b) - both;
  return either > 0 ? both / either : 0.0f;
}

/* Index of the best box not yet gone; -1 when none is left. */
static gint64 best_left(const float *rows, gint64 n, gint64 columns, const guint8 *gone) {
  gint64 best = -1;
  for (gint64 i = 0; i < n; i++)
    if (!gone[i] && (best < 0 || rows[i * columns + 4] > rows[best * columns + 4]))
      best = i;
  return best;
}

static void suppress(const float *rows, gint64 n, gint64 columns, const float *kept,
                     float threshold, guint8 *gone) {
  for (gint64 i = 0; i < n; i++)
    if (rows[i * columns + 5] == kept[5] && overlap(kept, rows + i * columns) > threshold)
      gone[i] = 1;
}

static gsize scratch_bytes(const LcipStep *step, const LcipPortFormats *formats, guint workers) {
  return (gsize)step->inputs[0].shape.dims[0];
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipTensorView *in = &call->inputs[0];
  LcipTensorView *out = &call->outputs[0];
  const float threshold = lcip_attrs_get_float(call->step->attrs, "iou_threshold");
  const gint64 n = in->shape.dims[0], columns = in->shape.dims[1];
  const float *rows = in->data;
  float *kept = out->data;
  guint8 *gone = call->scratch;
  gint64 n_kept = 0;
  memset(gone, 0, (gsize)n);
  while (n_kept < out->spec.shape.dims[0]) {
    const gint64 best = best_left(rows, n, columns, gone);
    if (best < 0)
      break;
    gone[best] = 1;
    memcpy(kept + n_kept * columns, rows + best * columns, (gsize)columns * sizeof *rows);
    suppress(rows, n, columns, rows + best * columns, threshold, gone);
    n_kept++;
  }
  out->shape = out->spec.shape;
  out->shape.dims[0] = n_kept;
  return TRUE;
}

const LcipKernel lcip_kernel_non_max_suppression_ref = {
    .name = "non-max-suppression-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"lcip.NonMaxSuppression", NULL},
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_vision_supports,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
