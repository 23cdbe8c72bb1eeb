#include "config.h"
#include "lcip-operator.h"

#include "lcip-vision-private.h"

/* The operators of the domain lcip around a network: pictures in, tensors, detections, drawing. */

#define PICTURE_HELP "u8 (height, width, 3), RGB; the planned shape is the largest picture"
#define DETECTIONS_HELP                                                                            \
  "f32 (count, 6 + 2 keypoints): x0, y0, x1, y1 in picture pixels, score, label index, then x, y " \
  "of each key point; count varies from frame to frame"

static const char reason_io[] = "Sources and sinks have threads of their own on the CPU.";
static const char reason_decode[] =
    "Decoding and drawing run on the CPU: their work depends on what was found and is too small "
    "for another device.";

/* ---- attribute tables ---- */

static const char *const fits[] = {"stretch", "pad", "crop", NULL};
static const char *const layouts[] = {"NHWC", "NCHW", NULL};
static const char *const colors[] = {"RGB", "BGR", NULL};
static const char *const filters[] = {"area", "linear", NULL};
static const char *const activations[] = {"sigmoid", "none", NULL};
static const char *const mask_modes[] = {"dim", "tint", "blur", NULL};

static const LcipAttrDef picture_to_tensor_attrs[] = {
    {"width", LCIP_ATTR_INT, TRUE, NULL, 1, 16384, NULL, "px", "Width of the tensor"},
    {"height", LCIP_ATTR_INT, TRUE, NULL, 1, 16384, NULL, "px", "Height of the tensor"},
    {"fit", LCIP_ATTR_STRING, FALSE, "pad", 0, 0, fits, NULL,
     "stretch: both axes on their own; pad: the whole picture, centred on black; crop: the largest "
     "centred part of the tensor's proportions"},
    {"filter", LCIP_ATTR_STRING, FALSE, "area", 0, 0, filters, NULL,
     "area: average over the pixels that fall together (linear where the picture grows); linear: "
     "between the nearest pixels"},
    {"layout", LCIP_ATTR_STRING, FALSE, "NHWC", 0, 0, layouts, NULL, "Order of the tensor's axes"},
    {"color", LCIP_ATTR_STRING, FALSE, "RGB", 0, 0, colors, NULL, "Order of the tensor's channels"},
    {"mean", LCIP_ATTR_FLOATS, FALSE, "0", 0, 0, NULL, NULL,
     "Subtracted from values 0 to 255; one number, or one per channel of the tensor"},
    {"scale", LCIP_ATTR_FLOATS, FALSE, "1", 0, 0, NULL, NULL,
     "Multiplies the difference; one number, or one per channel of the tensor"},
};

static const LcipAttrDef decode_attrs[] = {
    {"strides", LCIP_ATTR_INTS, TRUE, NULL, 1, 4096, NULL, "px", "Size of a cell, per level"},
    {"anchors_per_cell", LCIP_ATTR_INTS, TRUE, NULL, 1, 1024, NULL, NULL,
     "Anchors in a cell, per level"},
    {"input_width", LCIP_ATTR_INT, TRUE, NULL, 1, 16384, NULL, "px", "Width of the net's input"},
    {"input_height", LCIP_ATTR_INT, TRUE, NULL, 1, 16384, NULL, "px", "Height of the net's input"},
    {"keypoints", LCIP_ATTR_INT, FALSE, "0", 0, 512, NULL, NULL, "Key points of a box"},
    {"activation", LCIP_ATTR_STRING, FALSE, "sigmoid", 0, 0, activations, NULL,
     "What turns a raw score into 0 to 1"},
    {"score_threshold", LCIP_ATTR_FLOAT, FALSE, "0.5", 0, 1, NULL, NULL,
     "Boxes with this score or less are left out"},
    {"max_candidates", LCIP_ATTR_INT, FALSE, "100", 1, 65536, NULL, NULL,
     "The most boxes passed on, those with the best scores"},
};

static const LcipAttrDef nms_attrs[] = {
    {"iou_threshold", LCIP_ATTR_FLOAT, FALSE, "0.3", 0, 1, NULL, NULL,
     "A box that overlaps a better one of its label by more than this (intersection over union) is "
     "left out"},
    {"max_detections", LCIP_ATTR_INT, FALSE, "50", 1, 65536, NULL, NULL, "The most detections"},
};

static const LcipAttrDef draw_detections_attrs[] = {
    {"labels", LCIP_ATTR_STRINGS, FALSE, NULL, 0, 0, NULL, NULL, "Names by label index"},
    {"color", LCIP_ATTR_STRING, FALSE, "#33d17a", 0, 0, NULL, NULL,
     "Colour of boxes and labels, #rrggbb"},
    {"line_width", LCIP_ATTR_FLOAT, FALSE, "2.5", 0.5, 64, NULL, "px",
     "Width of lines in a picture of 480 rows; grows with the picture"},
};

static const LcipAttrDef mask_overlay_attrs[] = {
    {"mode", LCIP_ATTR_STRING, FALSE, "dim", 0, 0, mask_modes, NULL,
     "What happens outside the mask: darker, tinted or blurred"},
    {"strength", LCIP_ATTR_FLOAT, FALSE, "0.8", 0, 1, NULL, NULL, "How strong the effect is"},
    {"threshold", LCIP_ATTR_FLOAT, FALSE, "0.5", 0, 1, NULL, NULL,
     "Mask value at the middle of the edge"},
    {"softness", LCIP_ATTR_FLOAT, FALSE, "0.25", 0.001, 1, NULL, NULL,
     "Half of the range of mask values over which the edge fades"},
    {"color", LCIP_ATTR_STRING, FALSE, "#1c71d8", 0, 0, NULL, NULL, "Colour of tint, #rrggbb"},
};

static const LcipAttrDef top_classes_attrs[] = {
    {"k", LCIP_ATTR_INT, FALSE, "5", 1, 1000, NULL, NULL, "How many of the best classes"},
    {"softmax", LCIP_ATTR_INT, FALSE, "1", 0, 1, NULL, NULL,
     "1: scores are turned into probabilities by softmax; 0: they are probabilities already"},
};

static const LcipAttrDef labels_attrs[] = {
    {"labels", LCIP_ATTR_STRINGS, FALSE, NULL, 0, 0, NULL, NULL, "Names by class index"},
};

/* ---- inference ---- */

static gboolean expect_picture(const LcipStep *step, guint i, GError **error) {
  if (!lcip_infer_expect(step, i, LCIP_TYPE_U8, 3, error))
    return FALSE;
  const gint64 *dims = step->inputs[i].shape.dims;
  if (dims[0] >= 1 && dims[1] >= 1 && dims[2] == 3)
    return TRUE;
  g_autofree char *found = lcip_shape_to_string(&step->inputs[i].shape);
  return lcip_infer_fail(error, "picture: expected (height, width, 3), found %s", found);
}

static gboolean expect_transform(const LcipStep *step, guint i, GError **error) {
  if (!lcip_infer_expect(step, i, LCIP_TYPE_F32, 1, error))
    return FALSE;
  if (step->inputs[i].shape.dims[0] == 6)
    return TRUE;
  return lcip_infer_fail(error, "transform: expected 6 numbers, found %" G_GINT64_FORMAT,
                         step->inputs[i].shape.dims[0]);
}

static gboolean expect_rows(const LcipStep *step, guint i, const char *port, gint64 min_columns,
                            GError **error) {
  if (!lcip_infer_expect(step, i, LCIP_TYPE_F32, 2, error))
    return FALSE;
  gint64 columns = step->inputs[i].shape.dims[1];
  if (columns >= min_columns && columns % 2 == 0)
    return TRUE;
  return lcip_infer_fail(error,
                         "%s: expected an even number of columns, at least %" G_GINT64_FORMAT
                         ", found %" G_GINT64_FORMAT,
                         port, min_columns, columns);
}

static gboolean check_color(const LcipStep *step, GError **error) {
  const char *text = lcip_attrs_get_string(step->attrs, "color");
  LcipColor color;
  if (lcip_color_parse(text, &color))
    return TRUE;
  return lcip_infer_fail(error, "color: expected #rrggbb, found \"%s\"", text);
}

static gboolean source_infer(LcipStep *step, GError **error) {
  step->outputs[0] = lcip_tensor_spec(LCIP_TYPE_U8, lcip_shape(3, 512, 512, 3));
  return TRUE;
}

static gboolean check_channels(const LcipStep *step, const char *name, GError **error) {
  guint n = 0;
  lcip_attrs_get_floats(step->attrs, name, &n);
  if (n == 1 || n == 3)
    return TRUE;
  return lcip_infer_fail(error, "%s: expected 1 or 3 numbers, found %u", name, n);
}

static gboolean picture_to_tensor_infer(LcipStep *step, GError **error) {
  if (!expect_picture(step, 0, error) || !check_channels(step, "mean", error) ||
      !check_channels(step, "scale", error))
    return FALSE;
  int width = (int)lcip_attrs_get_int(step->attrs, "width");
  int height = (int)lcip_attrs_get_int(step->attrs, "height");
  gboolean nchw = g_strcmp0(lcip_attrs_get_string(step->attrs, "layout"), "NCHW") == 0;
  step->outputs[0] = lcip_tensor_spec(LCIP_TYPE_F32, nchw ? lcip_shape(4, 1, 3, height, width)
                                                          : lcip_shape(4, 1, height, width, 3));
  if (step->n_outputs > 1)
    step->outputs[1] = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(1, 6));
  return TRUE;
}

static void picture_to_tensor_cost(const LcipStep *step, LcipCost *cost) {
  double in = (double)MAX(lcip_shape_count(&step->inputs[0].shape), 0);
  double out = (double)MAX(lcip_shape_count(&step->outputs[0].shape), 0);
  cost->flops = 2 * in + 8 * out;
  cost->bytes = in + 4 * out;
}

/** decode_level_infer: scores (1, N, labels) and boxes (1, N, 4 + 2 keypoints) of level @level. */
static gboolean decode_level_infer(const LcipStep *step, guint level, gint64 stride, gint64 anchors,
                                   GError **error) {
  guint scores = 1 + 2 * level, boxes = scores + 1;
  if (!lcip_infer_expect(step, scores, LCIP_TYPE_F32, 3, error) ||
      !lcip_infer_expect(step, boxes, LCIP_TYPE_F32, 3, error))
    return FALSE;
  gint64 width = lcip_attrs_get_int(step->attrs, "input_width");
  gint64 height = lcip_attrs_get_int(step->attrs, "input_height");
  gint64 n = ((width + stride - 1) / stride) * ((height + stride - 1) / stride) * anchors;
  gint64 columns = 4 + 2 * lcip_attrs_get_int(step->attrs, "keypoints");
  const gint64 *s = step->inputs[scores].shape.dims, *b = step->inputs[boxes].shape.dims;
  if (s[0] != 1 || s[1] != n || s[2] < 1) {
    g_autofree char *found = lcip_shape_to_string(&step->inputs[scores].shape);
    return lcip_infer_fail(error,
                           "levels.%u: expected scores 1x%" G_GINT64_FORMAT
                           "xLABELS (cells times anchors), found %s",
                           scores - 1, n, found);
  }
  if (b[0] != 1 || b[1] != n || b[2] != columns) {
    g_autofree char *found = lcip_shape_to_string(&step->inputs[boxes].shape);
    return lcip_infer_fail(
        error, "levels.%u: expected boxes 1x%" G_GINT64_FORMAT "x%" G_GINT64_FORMAT ", found %s",
        boxes - 1, n, columns, found);
  }
  return TRUE;
}

static gboolean decode_infer(LcipStep *step, GError **error) {
  guint n_strides = 0, n_anchors = 0, n_levels = (step->n_inputs - 1) / 2;
  const gint64 *strides = lcip_attrs_get_ints(step->attrs, "strides", &n_strides);
  const gint64 *anchors = lcip_attrs_get_ints(step->attrs, "anchors_per_cell", &n_anchors);
  if (!expect_transform(step, 0, error))
    return FALSE;
  if (step->n_inputs % 2 == 0 || n_levels == 0)
    return lcip_infer_fail(error, "levels: expected pairs of scores and boxes, found %u inputs",
                           step->n_inputs - 1);
  if (n_strides != n_levels || n_anchors != n_levels)
    return lcip_infer_fail(error,
                           "strides, anchors_per_cell: expected %u numbers each (one per level), "
                           "found %u and %u",
                           n_levels, n_strides, n_anchors);
  for (guint i = 0; i < n_levels; i++)
    if (!decode_level_infer(step, i, strides[i], anchors[i], error))
      return FALSE;
  int rows = (int)lcip_attrs_get_int(step->attrs, "max_candidates");
  int columns = 6 + 2 * (int)lcip_attrs_get_int(step->attrs, "keypoints");
  step->outputs[0] = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(2, rows, columns));
  return TRUE;
}

static void decode_cost(const LcipStep *step, LcipCost *cost) {
  *cost = (LcipCost){0};
  for (guint i = 1; i < step->n_inputs; i++) {
    double n = (double)MAX(lcip_shape_count(&step->inputs[i].shape), 0);
    cost->flops += n;
    cost->bytes += 4 * n;
  }
}

static gboolean nms_infer(LcipStep *step, GError **error) {
  if (!expect_rows(step, 0, "candidates", 6, error))
    return FALSE;
  gint64 rows =
      MIN(step->inputs[0].shape.dims[0], lcip_attrs_get_int(step->attrs, "max_detections"));
  gint64 dims[] = {rows, step->inputs[0].shape.dims[1]};
  step->outputs[0] = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape_from_dims(2, dims));
  return TRUE;
}

static gboolean draw_detections_infer(LcipStep *step, GError **error) {
  if (!expect_picture(step, 0, error) || !expect_rows(step, 1, "detections", 6, error) ||
      !check_color(step, error))
    return FALSE;
  step->outputs[0] = step->inputs[0];
  return TRUE;
}

static gboolean mask_overlay_infer(LcipStep *step, GError **error) {
  if (!expect_picture(step, 0, error) || !lcip_infer_expect(step, 1, LCIP_TYPE_F32, 4, error) ||
      !expect_transform(step, 2, error) || !check_color(step, error))
    return FALSE;
  const gint64 *dims = step->inputs[1].shape.dims;
  if (dims[0] != 1 || (dims[1] != 1 && dims[3] != 1) || dims[1] < 1 || dims[2] < 1 || dims[3] < 1) {
    g_autofree char *found = lcip_shape_to_string(&step->inputs[1].shape);
    return lcip_infer_fail(
        error, "mask: expected (1, height, width, 1) or (1, 1, height, width), found %s", found);
  }
  step->outputs[0] = step->inputs[0];
  return TRUE;
}

static void per_pixel_cost(const LcipStep *step, LcipCost *cost) {
  double n = (double)MAX(lcip_shape_count(&step->inputs[0].shape), 0);
  *cost = (LcipCost){.flops = 10 * n, .bytes = 2 * n};
}

static gboolean top_classes_infer(LcipStep *step, GError **error) {
  if (!lcip_infer_expect(step, 0, LCIP_TYPE_F32, -1, error))
    return FALSE;
  const LcipShape *shape = &step->inputs[0].shape;
  gint64 n = lcip_shape_count(shape);
  if (shape->rank < 1 || n < 1 || (shape->rank > 1 && shape->dims[0] != 1)) {
    g_autofree char *found = lcip_shape_to_string(shape);
    return lcip_infer_fail(error, "scores: expected (1, classes), found %s", found);
  }
  gint64 dims[] = {MIN(n, lcip_attrs_get_int(step->attrs, "k")), 2};
  step->outputs[0] = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape_from_dims(2, dims));
  return TRUE;
}

static gboolean draw_classes_infer(LcipStep *step, GError **error) {
  if (!expect_picture(step, 0, error) || !expect_rows(step, 1, "classes", 2, error))
    return FALSE;
  step->outputs[0] = step->inputs[0];
  return TRUE;
}

static gboolean picture_sink_infer(LcipStep *step, GError **error) {
  return expect_picture(step, 0, error);
}

static gboolean detection_sink_infer(LcipStep *step, GError **error) {
  return expect_rows(step, 0, "detections", 6, error);
}

static gboolean class_sink_infer(LcipStep *step, GError **error) {
  return expect_rows(step, 0, "classes", 2, error);
}

/* ---- ports and definitions ---- */

static const LcipPortDef picture_port[] = {{"picture", LCIP_PORT_PLAIN, PICTURE_HELP}};
static const LcipPortDef picture_to_tensor_outputs[] = {
    {"tensor", LCIP_PORT_PLAIN, "f32 (1, height, width, 3) or (1, 3, height, width)"},
    {"transform", LCIP_PORT_PLAIN,
     "f32 (6): a b c d e f; tensor coordinates (x, y) are picture coordinates (a x + b y + c, "
     "d x + e y + f); pixel i covers i to i + 1"},
};
static const LcipPortDef decode_inputs[] = {
    {"transform", LCIP_PORT_PLAIN, "f32 (6), from PictureToTensor"},
    {"levels", LCIP_PORT_VARIADIC,
     "Pairs of scores f32 (1, N, labels) and boxes f32 (1, N, 4 + 2 keypoints): offset of the "
     "centre "
     "from the anchor's (the cell's centre), width, height, key points, in pixels of the net's "
     "input; rows of cells first, a cell's anchors together"},
};
static const LcipPortDef candidates_port[] = {
    {"candidates", LCIP_PORT_PLAIN, DETECTIONS_HELP ", by falling score"}};
static const LcipPortDef detections_port[] = {{"detections", LCIP_PORT_PLAIN, DETECTIONS_HELP}};
static const LcipPortDef draw_detections_inputs[] = {
    {"picture", LCIP_PORT_PLAIN, PICTURE_HELP}, {"detections", LCIP_PORT_PLAIN, DETECTIONS_HELP}};
static const LcipPortDef mask_overlay_inputs[] = {
    {"picture", LCIP_PORT_PLAIN, PICTURE_HELP},
    {"mask", LCIP_PORT_PLAIN, "f32 (1, height, width, 1) or (1, 1, height, width), 0 to 1"},
    {"transform", LCIP_PORT_PLAIN, "f32 (6), from the PictureToTensor before the net"},
};
static const LcipPortDef scores_port[] = {{"scores", LCIP_PORT_PLAIN, "f32 (1, classes)"}};
static const LcipPortDef classes_port[] = {
    {"classes", LCIP_PORT_PLAIN, "f32 (k, 2): class index, probability; by falling probability"}};
static const LcipPortDef draw_classes_inputs[] = {
    {"picture", LCIP_PORT_PLAIN, PICTURE_HELP},
    {"classes", LCIP_PORT_PLAIN, "f32 (k, 2): class index, probability"}};

#define PORTS(in, out)                                                                             \
  .inputs = in, .n_inputs = G_N_ELEMENTS(in), .outputs = out, .n_outputs = G_N_ELEMENTS(out)
#define ATTRS(table) .attrs = table, .n_attrs = G_N_ELEMENTS(table)

static const LcipOperator picture_source = {
    .domain = "lcip",
    .name = "PictureSource",
    .summary = "Pictures from a camera, a video, a file or the demo",
    .flags = LCIP_OP_SOURCE | LCIP_OP_CPU_ONLY | LCIP_OP_DYNAMIC,
    .cpu_only_reason = reason_io,
    .outputs = picture_port,
    .n_outputs = 1,
    .infer = source_infer,
};

static const LcipOperator picture_to_tensor = {
    .domain = "lcip",
    .name = "PictureToTensor",
    .summary = "Fits a picture into a tensor: resize, mean, scale, layout and colour order",
    PORTS(picture_port, picture_to_tensor_outputs),
    ATTRS(picture_to_tensor_attrs),
    .infer = picture_to_tensor_infer,
    .cost = picture_to_tensor_cost,
};

static const LcipOperator decode_anchor_boxes = {
    .domain = "lcip",
    .name = "DecodeAnchorBoxes",
    .summary = "Boxes with good scores out of an anchor-box detector's outputs, in picture pixels",
    .flags = LCIP_OP_CPU_ONLY | LCIP_OP_DYNAMIC,
    .cpu_only_reason = reason_decode,
    PORTS(decode_inputs, candidates_port),
    ATTRS(decode_attrs),
    .infer = decode_infer,
    .cost = decode_cost,
};

static const LcipOperator non_max_suppression = {
    .domain = "lcip",
    .name = "NonMaxSuppression",
    .summary = "Keeps the best of boxes that overlap",
    .flags = LCIP_OP_CPU_ONLY | LCIP_OP_DYNAMIC,
    .cpu_only_reason = reason_decode,
    PORTS(candidates_port, detections_port),
    ATTRS(nms_attrs),
    .infer = nms_infer,
};

static const LcipOperator draw_detections = {
    .domain = "lcip",
    .name = "DrawDetections",
    .summary = "Draws boxes, key points and labels into the picture",
    .flags = LCIP_OP_CPU_ONLY | LCIP_OP_DYNAMIC,
    .cpu_only_reason = reason_decode,
    PORTS(draw_detections_inputs, picture_port),
    ATTRS(draw_detections_attrs),
    .infer = draw_detections_infer,
};

static const LcipOperator mask_overlay = {
    .domain = "lcip",
    .name = "MaskOverlay",
    .summary = "Dims, tints or blurs what is outside a mask",
    .flags = LCIP_OP_CPU_ONLY | LCIP_OP_DYNAMIC,
    .cpu_only_reason = reason_decode,
    PORTS(mask_overlay_inputs, picture_port),
    ATTRS(mask_overlay_attrs),
    .infer = mask_overlay_infer,
    .cost = per_pixel_cost,
};

static const LcipOperator top_classes = {
    .domain = "lcip",
    .name = "TopClasses",
    .summary = "The classes with the best scores",
    .flags = LCIP_OP_CPU_ONLY,
    .cpu_only_reason = reason_decode,
    PORTS(scores_port, classes_port),
    ATTRS(top_classes_attrs),
    .infer = top_classes_infer,
};

static const LcipOperator draw_classes = {
    .domain = "lcip",
    .name = "DrawClasses",
    .summary = "Writes the best classes into the picture",
    .flags = LCIP_OP_CPU_ONLY | LCIP_OP_DYNAMIC,
    .cpu_only_reason = reason_decode,
    PORTS(draw_classes_inputs, picture_port),
    ATTRS(labels_attrs),
    .infer = draw_classes_infer,
};

static const LcipOperator picture_sink = {
    .domain = "lcip",
    .name = "PictureSink",
    .summary = "Shows or writes pictures",
    .flags = LCIP_OP_SINK | LCIP_OP_CPU_ONLY,
    .cpu_only_reason = reason_io,
    .inputs = picture_port,
    .n_inputs = 1,
    .infer = picture_sink_infer,
};

static const LcipOperator detection_sink = {
    .domain = "lcip",
    .name = "DetectionSink",
    .summary = "Lists detections",
    .flags = LCIP_OP_SINK | LCIP_OP_CPU_ONLY,
    .cpu_only_reason = reason_io,
    .inputs = detections_port,
    .n_inputs = 1,
    ATTRS(labels_attrs),
    .infer = detection_sink_infer,
};

static const LcipOperator class_sink = {
    .domain = "lcip",
    .name = "ClassSink",
    .summary = "Lists the best classes",
    .flags = LCIP_OP_SINK | LCIP_OP_CPU_ONLY,
    .cpu_only_reason = reason_io,
    .inputs = classes_port,
    .n_inputs = 1,
    ATTRS(labels_attrs),
    .infer = class_sink_infer,
};

const LcipOperator *const lcip_operators_vision[] = {
    &class_sink,        &decode_anchor_boxes, &detection_sink, &draw_classes,
    &draw_detections,   &mask_overlay,        &picture_sink,   &picture_source,
    &picture_to_tensor, &non_max_suppression, &top_classes,    NULL,
};
