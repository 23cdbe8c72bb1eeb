#pragma once

#include "lcip-kernel.h"

/* What the kernels of the lcip-domain vision operators share: the geometry of PictureToTensor (the
 * OpenCL kernel follows the same formulas) and drawing into pictures. */

G_BEGIN_DECLS

/** LcipAffine: maps (x, y) to (m[0] x + m[1] y + m[2], m[3] x + m[4] y + m[5]). Coordinates are
 * continuous: pixel (i, j) covers [i, i + 1) x [j, j + 1). */
typedef struct {
  float m[6];
} LcipAffine;

/** LcipPictureToTensor: the attributes of PictureToTensor for one picture size.
 * @to_picture: tensor coordinates to picture coordinates; no rotation (m[1] = m[3] = 0).
 * @box_x, @box_y: width and height of the averaging box in picture pixels, at least 1.
 * @black_x, @black_y: what lies outside the picture along that axis counts as black; otherwise the
 *   average is over the part of the box inside the picture.
 * @channels: for each channel of the tensor, the channel of the picture (0 R, 1 G, 2 B).
 * @mean, @scale: per channel of the tensor; tensor value = (average - mean) * scale, average in
 * 0..255.
 *
 * Value of tensor pixel (x, y): with px = m[0] (x + 0.5) + m[2] and w = box_x, picture column i
 * weighs max(0, min(i + 1, px + w / 2) - max(i, px - w / 2)); rows likewise; the weights of an axis
 * are divided by the box size (black) or by their sum (not black). A box of width 1 is linear
 * interpolation, a box of width m[0] > 1 the area average. */
typedef struct {
  int width, height; /* of the tensor */
  gboolean nchw;
  LcipAffine to_picture;
  float box_x, box_y;
  gboolean black_x, black_y;
  int channels[3];
  float mean[3], scale[3];
} LcipPictureToTensor;

/** lcip_picture_to_tensor_init: from @attrs for a picture of @picture_width x @picture_height. */
void lcip_picture_to_tensor_init(LcipPictureToTensor *p, const LcipAttrs *attrs, int picture_width,
                                 int picture_height);

/** lcip_affine_invert: FALSE (and *@inverse all 0) when @affine is singular or not finite. */
gboolean lcip_affine_invert(const LcipAffine *affine, LcipAffine *inverse);

/** lcip_vision_supports: for kernels of vision operators: dense formats, no epilogues. */
gboolean lcip_vision_supports(const LcipStep *step, LcipPortFormats *formats, const char **reason);

/* ---- drawing (lcip-canvas.c) ---- */

typedef struct {
  float r, g, b; /* 0..255 */
} LcipColor;

/** lcip_color_parse: "#rrggbb"; FALSE when @text is not that. */
gboolean lcip_color_parse(const char *text, LcipColor *color);
/** lcip_color_contrasting: black or white, whichever reads better on @color. */
LcipColor lcip_color_contrasting(LcipColor color);

/** LcipCanvas: an RGB picture to draw on; rows dense. */
typedef struct {
  guint8 *pixels;
  int width, height;
} LcipCanvas;

/** lcip_canvas_begin: copies input 0 of @call to output 0 (unless they share memory), sets its
 * actual shape and returns a canvas on it. */
LcipCanvas lcip_canvas_begin(const LcipCall *call);
/** lcip_canvas_unit: a length for line widths and text that suits the picture's size: 1 at 480
 * rows. */
float lcip_canvas_unit(const LcipCanvas *canvas);
/** lcip_canvas_box: outline of a rounded box, antialiased. @line: line width in pixels. */
void lcip_canvas_box(LcipCanvas *canvas, float x0, float y0, float x1, float y1, float radius,
                     float line, LcipColor color, float alpha);
/** lcip_canvas_fill: a filled rounded box. */
void lcip_canvas_fill(LcipCanvas *canvas, float x0, float y0, float x1, float y1, float radius,
                      LcipColor color, float alpha);
/** lcip_canvas_text: one line of text; (x, y) is the upper left corner of its capitals; @size is
 * the height of a capital in pixels. Letters outside printable ASCII are drawn as '?'. */
void lcip_canvas_text(LcipCanvas *canvas, float x, float y, float size, const char *text,
                      LcipColor color);
/** lcip_canvas_text_width: of the text at @size, in pixels. */
float lcip_canvas_text_width(float size, const char *text);

G_END_DECLS
