#include "config.h"

#include "lcip-element.h"

/* What detectors and spatial transformers sample and select with. */

/* One constant of input @i, or @fallback where it is absent. */
static gboolean constant_int(const LcipStep *step, guint i, gint64 fallback, gint64 *value,
                             GError **error) {
  guint n = 1;
  *value = fallback;
  if (!lcip_step_has_input(step, i))
    return TRUE;
  return lcip_infer_ints(step, i, 1, value, &n, error) &&
         (n == 1 || lcip_infer_fail(error, "input %s: expected one value, found none",
                                    step->op->inputs[i].name));
}

static gboolean nms_infer(LcipStep *step, GError **error) {
  const LcipShape *boxes = &step->inputs[0].shape, *scores = &step->inputs[1].shape;
  gint64 most, rows;
  if (!lcip_infer_expect(step, 0, LCIP_TYPE_F32, 3, error) ||
      !lcip_infer_expect(step, 1, LCIP_TYPE_F32, 3, error) ||
      !constant_int(step, 2, 0, &most, error))
    return FALSE;
  if (boxes->dims[2] != 4 || boxes->dims[0] != scores->dims[0] ||
      boxes->dims[1] != scores->dims[2]) {
    g_autofree char *b = lcip_shape_to_string(boxes), *s = lcip_shape_to_string(scores);
    return lcip_infer_fail(error,
                           "inputs: expected boxes n x boxes x 4 and scores n x classes x "
                           "boxes, found %s and %s",
                           b, s);
  }
  for (guint i = 3; i < 5; i++)
    if (lcip_step_has_input(step, i) &&
        (!lcip_infer_expect(step, i, LCIP_TYPE_F32, -1, error) ||
         (lcip_shape_count(&step->inputs[i].shape) != 1 &&
          !lcip_infer_fail(error, "input %s: expected one value", step->op->inputs[i].name))))
      return FALSE;
  const gint64 each = CLAMP(most, 0, boxes->dims[1]);
  if (__builtin_mul_overflow(each, scores->dims[0] * scores->dims[1], &rows))
    return lcip_infer_fail(error, "inputs: expected a number of boxes that fits memory");
  const LcipShape shape = {.rank = 2, .dims = {rows, 3}};
  return lcip_infer_set(step, 0, LCIP_TYPE_I64, &shape, error);
}

static gboolean roi_align_infer(LcipStep *step, GError **error) {
  const LcipShape *x = &step->inputs[0].shape, *rois = &step->inputs[1].shape;
  if (!lcip_infer_expect(step, 0, LCIP_TYPE_F32, 4, error) ||
      !lcip_infer_expect(step, 1, LCIP_TYPE_F32, 2, error) ||
      !lcip_infer_expect(step, 2, LCIP_TYPE_I64, 1, error))
    return FALSE;
  if (rois->dims[1] != 4 || step->inputs[2].shape.dims[0] != rois->dims[0])
    return lcip_infer_fail(error, "input rois: expected 4 numbers and a batch index each");
  const LcipShape shape = {.rank = 4,
                           .dims = {rois->dims[0], x->dims[1],
                                    lcip_attrs_get_int(step->attrs, "output_height"),
                                    lcip_attrs_get_int(step->attrs, "output_width")}};
  return lcip_infer_set(step, 0, LCIP_TYPE_F32, &shape, error);
}

static gboolean grid_sample_infer(LcipStep *step, GError **error) {
  const LcipShape *x = &step->inputs[0].shape, *grid = &step->inputs[1].shape;
  if (!lcip_infer_expect(step, 0, LCIP_TYPE_F32, 4, error) ||
      !lcip_infer_expect(step, 1, LCIP_TYPE_F32, 4, error))
    return FALSE;
  if (grid->dims[0] != x->dims[0] || grid->dims[3] != 2 || x->dims[2] < 1 || x->dims[3] < 1) {
    g_autofree char *found = lcip_shape_to_string(grid);
    return lcip_infer_fail(error,
                           "input grid: expected %" G_GINT64_FORMAT
                           " x height x width x 2 for an input with pixels, found %s",
                           x->dims[0], found);
  }
  const LcipShape shape = {.rank = 4,
                           .dims = {x->dims[0], x->dims[1], grid->dims[1], grid->dims[2]}};
  return lcip_infer_set(step, 0, LCIP_TYPE_F32, &shape, error);
}

/* Every box that is kept is held against all others. */
static void nms_cost(const LcipStep *step, LcipCost *cost) {
  cost->flops = 10 * (double)step->outputs[0].shape.dims[0] * (double)step->inputs[0].shape.dims[1];
}

/* Without a ratio as many samples as a region as large as the picture would have. */
static void roi_align_cost(const LcipStep *step, LcipCost *cost) {
  const LcipShape *x = &step->inputs[0].shape, *y = &step->outputs[0].shape;
  const double ratio = (double)lcip_attrs_get_int(step->attrs, "sampling_ratio");
  const double pixels = (double)x->dims[2] * (double)x->dims[3];
  const double cells = (double)y->dims[2] * (double)y->dims[3];
  const double samples = ratio > 0 ? ratio * ratio : MAX(1, pixels / cells);
  cost->flops = 8 * samples * (double)lcip_shape_count(y);
}

static void grid_sample_cost(const LcipStep *step, LcipCost *cost) {
  const char *mode = lcip_attrs_get_string(step->attrs, "mode");
  const double taps = g_str_equal(mode, "cubic") ? 16 : g_str_equal(mode, "linear") ? 4 : 1;
  cost->flops = 2 * taps * (double)lcip_shape_count(&step->outputs[0].shape);
}

static const LcipPortDef nms_inputs[] = {
    {"boxes", LCIP_PORT_PLAIN, "Boxes: n, boxes, 4 numbers"},
    {"scores", LCIP_PORT_PLAIN, "Scores: n, classes, boxes"},
    {"max_output_boxes_per_class", LCIP_PORT_OPTIONAL | LCIP_PORT_SHAPE,
     "Most boxes kept of each class; none when absent"},
    {"iou_threshold", LCIP_PORT_OPTIONAL, "Boxes that overlap more are dropped; 0 when absent"},
    {"score_threshold", LCIP_PORT_OPTIONAL, "Boxes that score less are dropped; all when absent"}};
static const LcipPortDef nms_outputs[] = {
    {"selected_indices", LCIP_PORT_PLAIN, "Image, class and box of each that is kept"}};
static const LcipPortDef roi_inputs[] = {
    {"X", LCIP_PORT_PLAIN, "Input: n, c, h, w"},
    {"rois", LCIP_PORT_PLAIN, "Regions: x1, y1, x2, y2 each"},
    {"batch_indices", LCIP_PORT_PLAIN, "Image of each region"}};
static const LcipPortDef grid_inputs[] = {
    {"X", LCIP_PORT_PLAIN, "Input: n, c, h, w"},
    {"grid", LCIP_PORT_PLAIN, "Where to sample: n, height, width, then x and y in [-1, 1]"}};
static const LcipPortDef y_outputs[] = {{"Y", LCIP_PORT_PLAIN, "Result"}};

static const LcipAttrDef nms_attrs[] = {
    {"center_point_box", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL,
     "0: boxes are y1, x1, y2, x2; 1: centre x, centre y, width, height"}};
static const char *const roi_coordinates[] = {"half_pixel", "output_half_pixel", NULL};
static const char *const roi_modes[] = {"avg", "max", NULL};
static const LcipAttrDef roi_attrs[] = {
    {"coordinate_transformation_mode", LCIP_ATTR_STRING, FALSE, "half_pixel", 0, 0, roi_coordinates,
     NULL, "half_pixel: coordinates are moved by half a pixel"},
    {"mode", LCIP_ATTR_STRING, FALSE, "avg", 0, 0, roi_modes, NULL, "How samples combine"},
    {"output_height", LCIP_ATTR_INT, FALSE, "1", 1, G_MAXINT32, NULL, "pixels", "Rows"},
    {"output_width", LCIP_ATTR_INT, FALSE, "1", 1, G_MAXINT32, NULL, "pixels", "Columns"},
    {"sampling_ratio", LCIP_ATTR_INT, FALSE, "0", 0, 1024, NULL, NULL,
     "Samples along each side of a cell; 0: as many as it has pixels"},
    {"spatial_scale", LCIP_ATTR_FLOAT, FALSE, "1", 0, 0, NULL, NULL,
     "Factor from the regions' coordinates to pixels"}};
static const char *const grid_modes[] = {"linear", "nearest", "cubic", NULL};
static const char *const grid_paddings[] = {"zeros", "border", "reflection", NULL};
static const LcipAttrDef grid_attrs[] = {
    {"align_corners", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL,
     "1: -1 and 1 are the centres of the outer pixels, 0: their outer edges"},
    {"mode", LCIP_ATTR_STRING, FALSE, "linear", 0, 0, grid_modes, NULL, "Interpolation"},
    {"padding_mode", LCIP_ATTR_STRING, FALSE, "zeros", 0, 0, grid_paddings, NULL,
     "What lies outside the picture"}};

#define PORTS(in, out)                                                                             \
  .inputs = in, .n_inputs = G_N_ELEMENTS(in), .outputs = out, .n_outputs = G_N_ELEMENTS(out)
#define ATTRS(table) .attrs = table, .n_attrs = G_N_ELEMENTS(table)
#define OPERATOR(id, NAME, SUMMARY, INFER, ...)                                                    \
  static const LcipOperator id = {                                                                 \
      .domain = "", .name = NAME, .summary = SUMMARY, .infer = INFER, __VA_ARGS__}

OPERATOR(nms, "NonMaxSuppression", "Keeps the best of boxes that overlap", nms_infer,
         PORTS(nms_inputs, nms_outputs), ATTRS(nms_attrs),
         .flags = LCIP_OP_DYNAMIC | LCIP_OP_CPU_ONLY,
         .cpu_only_reason = "how many boxes stay is known only while it runs", .cost = nms_cost);
OPERATOR(roi_align, "RoiAlign", "Samples regions at a fixed size", roi_align_infer,
         PORTS(roi_inputs, y_outputs), ATTRS(roi_attrs), .cost = roi_align_cost);
OPERATOR(grid_sample, "GridSample", "Samples a picture where a grid says", grid_sample_infer,
         PORTS(grid_inputs, y_outputs), ATTRS(grid_attrs), .cost = grid_sample_cost);

const LcipOperator *const lcip_operators_detect[] = {&nms, &roi_align, &grid_sample, NULL};
