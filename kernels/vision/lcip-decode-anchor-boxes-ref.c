#include "config.h"
#include "lcip-vision-private.h"

#include <math.h>
#include <string.h>

/* Anchor boxes as MediaPipe's BlazeFace gives them: every cell has anchors at its centre, of no
 * size of their own; a box is an offset from there, width and height, then key points as offsets.
 */

/* A box whose score passed; the list is kept sorted while it grows. */
typedef struct {
  float score;
  guint32 anchor; /* counted over all levels */
  guint32 label;
} Found;

typedef struct {
  Found *list;
  guint n, max;
} FoundList;

static float activate(float raw, gboolean sigmoid) {
  return sigmoid ? 1.0f / (1.0f + expf(-raw)) : raw;
}

/* Behind all of the same or a better score, so equal scores stay in the order of their anchors. */
static void found_insert(FoundList *found, Found box) {
  guint low = 0, high = found->n;
  while (low < high) {
    const guint middle = (low + high) / 2;
    if (found->list[middle].score >= box.score)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == found->max)
    return;
  const guint end = MIN(found->n, found->max - 1);
  memmove(&found->list[low + 1], &found->list[low], (end - low) * sizeof box);
  found->list[low] = box;
  found->n = end + 1;
}

/* Boxes of a damaged net (NaN, infinite) are left out. */
static gboolean all_finite(const float *values, gint64 n) {
  for (gint64 i = 0; i < n; i++)
    if (!isfinite(values[i]))
      return FALSE;
  return TRUE;
}

static void scan_level(const LcipCall *call, guint level, guint32 first_anchor, FoundList *found) {
  const LcipAttrs *attrs = call->step->attrs;
  const gboolean sigmoid = g_strcmp0(lcip_attrs_get_string(attrs, "activation"), "none") != 0;
  const float threshold = lcip_attrs_get_float(attrs, "score_threshold");
  const LcipTensorView *scores = &call->inputs[1 + 2 * level], *boxes = scores + 1;
  const gint64 n_labels = scores->shape.dims[2], columns = boxes->shape.dims[2];
  const float *raw = scores->data, *box = boxes->data;
  for (gint64 i = 0; i < scores->shape.dims[1]; i++, raw += n_labels, box += columns) {
    gint64 best = 0;
    for (gint64 label = 1; label < n_labels; label++)
      if (raw[label] > raw[best])
        best = label;
    const float score = activate(raw[best], sigmoid);
    if (score > threshold && isfinite(score) && all_finite(box, columns))
      found_insert(found, (Found){score, first_anchor + (guint32)i, (guint32)best});
  }
}

static void map_point(const LcipAffine *affine, float x, float y, float *out) {
  const float *m = affine->m;
  out[0] = m[0] * x + m[1] * y + m[2];
  out[1] = m[3] * x + m[4] * y + m[5];
}

/* Writes one row: the box's corners mapped to the picture and put in order, score, label, points.
 */
static void write_candidate(const LcipAffine *affine, const Found *found, const float *box,
                            float anchor_x, float anchor_y, gint64 keypoints, float *row) {
  const float x = anchor_x + box[0], y = anchor_y + box[1];
  const float half_width = 0.5f * box[2], half_height = 0.5f * box[3];
  float a[2], b[2];
  map_point(affine, x - half_width, y - half_height, a);
  map_point(affine, x + half_width, y + half_height, b);
  row[0] = MIN(a[0], b[0]);
  row[1] = MIN(a[1], b[1]);
  row[2] = MAX(a[0], b[0]);
  row[3] = MAX(a[1], b[1]);
  row[4] = found->score;
  row[5] = (float)found->label;
  for (gint64 k = 0; k < keypoints; k++)
    map_point(affine, anchor_x + box[4 + 2 * k], anchor_y + box[5 + 2 * k], &row[6 + 2 * k]);
}

static void emit(const LcipCall *call, const Found *found, float *row) {
  const LcipAttrs *attrs = call->step->attrs;
  guint n;
  const gint64 *strides = lcip_attrs_get_ints(attrs, "strides", &n);
  const gint64 *anchors = lcip_attrs_get_ints(attrs, "anchors_per_cell", &n);
  const gint64 width = lcip_attrs_get_int(attrs, "input_width");
  gint64 anchor = found->anchor;
  guint level = 0;
  while (anchor >= call->inputs[1 + 2 * level].shape.dims[1])
    anchor -= call->inputs[1 + 2 * level++].shape.dims[1];
  const LcipTensorView *boxes = &call->inputs[2 + 2 * level];
  const gint64 columns = boxes->shape.dims[2];
  const gint64 cell = anchor / anchors[level];
  const gint64 cells_x = (width + strides[level] - 1) / strides[level];
  const float x = ((float)(cell % cells_x) + 0.5f) * (float)strides[level];
  const float y = ((float)(cell / cells_x) + 0.5f) * (float)strides[level];
  LcipAffine affine;
  memcpy(affine.m, call->inputs[0].data, sizeof affine.m);
  write_candidate(&affine, found, (const float *)boxes->data + anchor * columns, x, y,
                  (columns - 4) / 2, row);
}

static gsize scratch_bytes(const LcipStep *step, const LcipPortFormats *formats, guint workers) {
  return (gsize)step->outputs[0].shape.dims[0] * sizeof(Found);
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  LcipTensorView *out = &call->outputs[0];
  FoundList found = {.list = call->scratch, .max = (guint)out->spec.shape.dims[0]};
  guint32 first_anchor = 0;
  for (guint level = 0; 2 + 2 * level < call->step->n_inputs; level++) {
    scan_level(call, level, first_anchor, &found);
    first_anchor += (guint32)call->inputs[1 + 2 * level].shape.dims[1];
  }
  const gint64 columns = out->spec.shape.dims[1];
  for (guint i = 0; i < found.n; i++)
    emit(call, &found.list[i], (float *)out->data + (gint64)i * columns);
  out->shape = out->spec.shape;
  out->shape.dims[0] = found.n;
  return TRUE;
}

const LcipKernel lcip_kernel_decode_anchor_boxes_ref = {
    .name = "decode-anchor-boxes-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"lcip.DecodeAnchorBoxes", NULL},
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_vision_supports,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
