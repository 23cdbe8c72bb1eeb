#include "config.h"
#include "lcip-vision-private.h"

#include <math.h>

/* A panel in the lower left corner: a row per class with its name, a bar and its probability. */

#define MAX_ROWS 10
#define TEXT_CHARS 28

typedef struct {
  LcipCanvas canvas;
  float size, row_height, x, y, width;
} Panel;

static void class_name(const LcipAttrValue *labels, float index, char *text, gsize size) {
  const int i = index >= 0 && index < 1e7f ? (int)index : 0;
  if (labels && (guint)i < labels->n)
    g_strlcpy(text, labels->strings[i], size);
  else
    g_snprintf(text, size, "class %d", i);
}

static void draw_row(Panel *p, const LcipAttrValue *labels, const float *row, int i) {
  static const LcipColor white = {255, 255, 255}, bar = {51, 209, 122};
  const float probability = isfinite(row[1]) ? CLAMP(row[1], 0.0f, 1.0f) : 0.0f;
  const float y = p->y + (float)i * p->row_height + 0.6f * p->size;
  const float left = p->x + 0.8f * p->size, right = p->x + p->width - 0.8f * p->size;
  char text[TEXT_CHARS], number[16], formatted[16];
  class_name(labels, row[0], text, sizeof text);
  g_snprintf(number, sizeof number, "%s %%",
             g_ascii_formatd(formatted, sizeof formatted, "%.0f", 100.0 * (double)probability));
  lcip_canvas_text(&p->canvas, left, y, p->size, text, white);
  lcip_canvas_text(&p->canvas, right - lcip_canvas_text_width(p->size, number), y, p->size, number,
                   white);
  const float bar_y = y + 1.45f * p->size, thick = MAX(0.2f * p->size, 1.0f);
  lcip_canvas_fill(&p->canvas, left, bar_y, right, bar_y + thick, thick, white, 0.25f);
  lcip_canvas_fill(&p->canvas, left, bar_y, left + (right - left) * probability, bar_y + thick,
                   thick, bar, 1);
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipTensorView *classes = &call->inputs[1];
  const LcipAttrValue *labels = lcip_attrs_get(call->step->attrs, "labels");
  const int rows = (int)MIN(classes->shape.dims[0], MAX_ROWS);
  const gint64 columns = classes->shape.dims[1];
  Panel p = {.canvas = lcip_canvas_begin(call)};
  p.size = MAX(14 * lcip_canvas_unit(&p.canvas), 7.0f);
  p.row_height = 2.2f * p.size;
  p.width = MIN(24 * p.size, (float)p.canvas.width - 2 * p.size);
  p.x = p.size;
  p.y = (float)p.canvas.height - 1.6f * p.size - p.row_height * (float)rows;
  if (rows > 0)
    lcip_canvas_fill(&p.canvas, p.x, p.y, p.x + p.width,
                     p.y + p.row_height * (float)rows + 0.6f * p.size, 0.8f * p.size,
                     (LcipColor){0, 0, 0}, 0.6f);
  for (int i = 0; i < rows; i++)
    draw_row(&p, labels, (const float *)classes->data + i * columns, i);
  return TRUE;
}

const LcipKernel lcip_kernel_draw_classes_ref = {
    .name = "draw-classes-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"lcip.DrawClasses", NULL},
    .numerics = LCIP_NUMERICS_EXACT,
    .inplace = TRUE,
    .supports = lcip_vision_supports,
    .run = run,
};
