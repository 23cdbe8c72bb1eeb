#include "config.h"

#include "lcip-infer.h"

#include <math.h>

/* Greedy suppression of one class of one image after the other: of the boxes left the best scored
 * is kept, of equal ones the first, unless it overlaps one kept before. */
typedef struct {
  const float *boxes, *scores;
  gsize n_boxes;
  gboolean centers;
  float iou_threshold, score_threshold;
  gsize most;
} NmsJob;

typedef struct {
  float y1, x1, y2, x2;
} Box;

static Box read_box(const NmsJob *job, const float *b) {
  if (job->centers)
    return (Box){b[1] - b[3] / 2, b[0] - b[2] / 2, b[1] + b[3] / 2, b[0] + b[2] / 2};
  return (Box){fminf(b[0], b[2]), fminf(b[1], b[3]), fmaxf(b[0], b[2]), fmaxf(b[1], b[3])};
}

static float area(const Box *b) {
  return (b->y2 - b->y1) * (b->x2 - b->x1);
}

static float overlap(const Box *a, const Box *b) {
  const float h = fminf(a->y2, b->y2) - fmaxf(a->y1, b->y1);
  const float w = fminf(a->x2, b->x2) - fmaxf(a->x1, b->x1);
  if (!(h > 0 && w > 0))
    return 0;
  return h * w / (area(a) + area(b) - h * w);
}

/* The best box that is neither kept nor dropped yet, or n_boxes. */
static gsize best_left(const NmsJob *job, const float *scores, const guint8 *done) {
  gsize best = job->n_boxes;
  for (gsize i = 0; i < job->n_boxes; i++)
    if (!done[i] && scores[i] > job->score_threshold &&
        (best == job->n_boxes || scores[i] > scores[best]))
      best = i;
  return best;
}

/* Writes (image, class, box) rows; returns how many. @done: scratch of n_boxes bytes. */
static gsize select_class(const NmsJob *job, gsize image, gsize class, const float *scores,
                          guint8 *done, gint64 *rows) {
  const float *boxes = job->boxes + image * job->n_boxes * 4;
  gsize kept = 0;
  for (gsize i = 0; i < job->n_boxes; i++)
    done[i] = 0;
  for (gsize best; kept < job->most && (best = best_left(job, scores, done)) < job->n_boxes;) {
    const Box box = read_box(job, boxes + best * 4);
    done[best] = 1;
    gboolean free_standing = TRUE;
    for (gsize k = 0; k < kept && free_standing; k++) {
      const Box other = read_box(job, boxes + (gsize)rows[3 * k + 2] * 4);
      free_standing = overlap(&box, &other) <= job->iou_threshold;
    }
    if (!free_standing)
      continue;
    rows[3 * kept] = (gint64)image;
    rows[3 * kept + 1] = (gint64) class;
    rows[3 * kept + 2] = (gint64)best;
    kept++;
  }
  return kept;
}

static gboolean nms_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *scores = &call->inputs[1].shape;
  const gsize classes = (gsize)scores->dims[1];
  gint64 most = 0;
  guint n;
  if (lcip_step_has_input(call->step, 2) && !lcip_infer_ints(call->step, 2, 1, &most, &n, error))
    return FALSE;
  NmsJob job = {.boxes = call->inputs[0].data,
                .n_boxes = (gsize)scores->dims[2],
                .centers = lcip_attrs_get_int(call->step->attrs, "center_point_box") != 0,
                .score_threshold = -INFINITY,
                .most = (gsize)CLAMP(most, 0, scores->dims[2])};
  if (lcip_step_has_input(call->step, 3))
    job.iou_threshold = *(const float *)call->inputs[3].data;
  if (lcip_step_has_input(call->step, 4))
    job.score_threshold = *(const float *)call->inputs[4].data;
  gint64 *rows = call->outputs[0].data;
  gsize kept = 0;
  for (gsize i = 0; i < (gsize)scores->dims[0] * classes; i++)
    kept += select_class(&job, i / classes, i % classes,
                         (const float *)call->inputs[1].data + i * job.n_boxes, call->scratch,
                         rows + 3 * kept);
  call->outputs[0].shape.dims[0] = (gint64)kept;
  return TRUE;
}

static gsize nms_ref_scratch(const LcipStep *step, const LcipPortFormats *formats, guint workers) {
  return (gsize)step->inputs[1].shape.dims[2];
}

static const char *const nms_ref_operators[] = {"NonMaxSuppression", NULL};

const LcipKernel lcip_kernel_nms_ref = {
    .name = "nms-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = nms_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .scratch_bytes = nms_ref_scratch,
    .run = nms_ref_run,
};
