#include "config.h"
#include "lcip-vision-private.h"

#include <math.h>

typedef struct {
  LcipCanvas canvas;
  LcipColor color;
  float unit, line;
  const LcipAttrValue *labels;
} Drawing;

/* "face 0.97", or "1: 0.97" without a name for label 1. */
static void label_text(const Drawing *d, const float *row, char *text, gsize size) {
  const int label = row[5] >= 0 && row[5] < 1e6f ? (int)row[5] : 0;
  const gboolean named = d->labels && (guint)label < d->labels->n;
  const float score = isfinite(row[4]) ? CLAMP(row[4], 0.0f, 9.99f) : 0.0f;
  char number[16];
  g_ascii_formatd(number, sizeof number, "%.2f", (double)score);
  if (named)
    g_snprintf(text, size, "%.64s %s", d->labels->strings[label], number);
  else
    g_snprintf(text, size, "%d: %s", label, number);
}

/* Above the box, or inside its upper edge where there is no room; always inside the picture. */
static void draw_label(Drawing *d, const float *row) {
  char text[96];
  label_text(d, row, text, sizeof text);
  const float size = MAX(14.0f * d->unit, 7.0f), gap = 0.5f * size;
  const float width = lcip_canvas_text_width(size, text) + 2 * gap, height = size + 2 * gap;
  float x = row[0] - d->line / 2, y = row[1] - height - d->line;
  if (y < 0)
    y = row[1] + d->line;
  x = CLAMP(x, 0.0f, MAX(0.0f, (float)d->canvas.width - width));
  y = CLAMP(y, 0.0f, MAX(0.0f, (float)d->canvas.height - height));
  lcip_canvas_fill(&d->canvas, x, y, x + width, y + height, gap * 0.8f, d->color, 0.95f);
  lcip_canvas_text(&d->canvas, x + gap, y + gap, size, text, lcip_color_contrasting(d->color));
}

static void draw_points(Drawing *d, const float *row, gint64 columns) {
  const float radius = MAX(1.2f * d->line, 1.5f);
  const LcipColor white = {255, 255, 255};
  for (gint64 i = 6; i + 1 < columns; i += 2) {
    const float x = row[i], y = row[i + 1];
    if (!isfinite(x) || !isfinite(y))
      continue;
    lcip_canvas_fill(&d->canvas, x - radius, y - radius, x + radius, y + radius, radius, d->color,
                     1);
    lcip_canvas_fill(&d->canvas, x - radius / 2, y - radius / 2, x + radius / 2, y + radius / 2,
                     radius, white, 1);
  }
}

/* A dark line below the coloured one keeps the box visible on bright ground. */
static void draw_outline(Drawing *d, const float *row) {
  const float radius = 4 * d->unit;
  const LcipColor shade = {0, 0, 0};
  lcip_canvas_box(&d->canvas, row[0], row[1], row[2], row[3], radius, d->line * 1.8f, shade, 0.35f);
  lcip_canvas_box(&d->canvas, row[0], row[1], row[2], row[3], radius, d->line, d->color, 1);
}

/* The best comes last, on top of the others. */
static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipTensorView *detections = &call->inputs[1];
  const LcipAttrs *attrs = call->step->attrs;
  const gint64 columns = detections->shape.dims[1];
  Drawing d = {.canvas = lcip_canvas_begin(call), .labels = lcip_attrs_get(attrs, "labels")};
  d.unit = lcip_canvas_unit(&d.canvas);
  d.line = MAX(lcip_attrs_get_float(attrs, "line_width") * d.unit, 1.0f);
  lcip_color_parse(lcip_attrs_get_string(attrs, "color"), &d.color);
  for (gint64 i = detections->shape.dims[0] - 1; i >= 0; i--) {
    const float *row = (const float *)detections->data + i * columns;
    if (!isfinite(row[0]) || !isfinite(row[1]) || !isfinite(row[2]) || !isfinite(row[3]))
      continue;
    draw_outline(&d, row);
    draw_points(&d, row, columns);
    draw_label(&d, row);
  }
  return TRUE;
}

const LcipKernel lcip_kernel_draw_detections_ref = {
    .name = "draw-detections-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"lcip.DrawDetections", NULL},
    .numerics = LCIP_NUMERICS_EXACT,
    .inplace = TRUE,
    .supports = lcip_vision_supports,
    .run = run,
};
