#include "config.h"
#include "lcip-vision-private.h"

#include <math.h>
#include <string.h>

#include "lcip-font.h"

/* Antialiased drawing by signed distance: a pixel's coverage is 1 half a pixel inside the shape, 0
 * half a pixel outside it and linear between. */

gboolean lcip_color_parse(const char *text, LcipColor *color) {
  guint64 value;
  if (!text || text[0] != '#' || strlen(text) != 7 ||
      !g_ascii_string_to_unsigned(text + 1, 16, 0, 0xffffff, &value, NULL))
    return FALSE;
  *color = (LcipColor){(float)(value >> 16), (float)(value >> 8 & 255), (float)(value & 255)};
  return TRUE;
}

LcipColor lcip_color_contrasting(LcipColor color) {
  const float luma = 0.299f * color.r + 0.587f * color.g + 0.114f * color.b;
  return luma > 128 ? (LcipColor){0, 0, 0} : (LcipColor){255, 255, 255};
}

LcipCanvas lcip_canvas_begin(const LcipCall *call) {
  const LcipTensorView *in = &call->inputs[0];
  LcipTensorView *out = &call->outputs[0];
  const LcipShape shape = in->shape;
  if (in->data != out->data)
    memcpy(out->data, in->data, (gsize)lcip_shape_count(&shape));
  out->shape = shape;
  return (LcipCanvas){out->data, (int)shape.dims[1], (int)shape.dims[0]};
}

float lcip_canvas_unit(const LcipCanvas *canvas) {
  return (float)MIN(canvas->width, canvas->height) / 480.0f;
}

static void blend(const LcipCanvas *canvas, int x, int y, LcipColor color, float alpha) {
  guint8 *p = canvas->pixels + ((gsize)y * (gsize)canvas->width + (gsize)x) * 3;
  p[0] = (guint8)((float)p[0] + (color.r - (float)p[0]) * alpha + 0.5f);
  p[1] = (guint8)((float)p[1] + (color.g - (float)p[1]) * alpha + 0.5f);
  p[2] = (guint8)((float)p[2] + (color.b - (float)p[2]) * alpha + 0.5f);
}

/* Coordinates come from a network: kept in a range whose pixel numbers fit an int. */
static float sane(float v) {
  return isfinite(v) ? CLAMP(v, -1e6f, 1e6f) : 0.0f;
}

typedef struct {
  float x, y, half_width, half_height, radius; /* centre, half sizes to the outline */
} RoundBox;

static RoundBox round_box(float x0, float y0, float x1, float y1, float radius) {
  x0 = sane(x0), y0 = sane(y0), x1 = sane(x1), y1 = sane(y1);
  RoundBox b = {(x0 + x1) / 2, (y0 + y1) / 2, fabsf(x1 - x0) / 2, fabsf(y1 - y0) / 2, 0};
  b.radius = MIN(radius, MIN(b.half_width, b.half_height));
  return b;
}

/* Signed distance of a point to the outline, negative inside. */
static float box_distance(const RoundBox *b, float x, float y) {
  const float dx = fabsf(x - b->x) - b->half_width + b->radius;
  const float dy = fabsf(y - b->y) - b->half_height + b->radius;
  const float outside = sqrtf(MAX(dx, 0.0f) * MAX(dx, 0.0f) + MAX(dy, 0.0f) * MAX(dy, 0.0f));
  return outside + MIN(MAX(dx, dy), 0.0f) - b->radius;
}

/* The inclusive range of pixels that [@low, @high] touches, cut to the picture. */
static void pixel_range(float low, float high, int size, int *first, int *last) {
  *first = (int)CLAMP(floorf(low), 0.0f, (float)size);
  *last = (int)CLAMP(floorf(high), -1.0f, (float)(size - 1));
}

/* One row of a box: @line below 0 fills it, otherwise its outline of that width is drawn. */
static void box_row(LcipCanvas *canvas, const RoundBox *b, int y, int first, int last, float line,
                    LcipColor color, float alpha) {
  const float py = (float)y + 0.5f;
  const float skip = b->half_width - MAX(line, b->radius) - 1;
  const gboolean middle = line >= 0 && fabsf(py - b->y) < b->half_height - MAX(line, b->radius) - 1;
  for (int x = first; x <= last; x++) {
    if (middle && skip > 1 && fabsf((float)x + 0.5f - b->x) < skip) {
      x = MAX(x, (int)(b->x + skip - 1)); /* nothing of the outline before there */
      if (x > last)
        break;
    }
    float distance = box_distance(b, (float)x + 0.5f, py);
    if (line >= 0)
      distance = fabsf(distance) - line / 2;
    const float coverage = CLAMP(0.5f - distance, 0.0f, 1.0f);
    if (coverage > 0)
      blend(canvas, x, y, color, coverage * alpha);
  }
}

static void draw_box(LcipCanvas *canvas, const RoundBox *b, float line, LcipColor color,
                     float alpha) {
  const float margin = MAX(line, 0.0f) / 2 + 1;
  int x0, x1, y0, y1;
  pixel_range(b->x - b->half_width - margin, b->x + b->half_width + margin, canvas->width, &x0,
              &x1);
  pixel_range(b->y - b->half_height - margin, b->y + b->half_height + margin, canvas->height, &y0,
              &y1);
  for (int y = y0; y <= y1; y++)
    box_row(canvas, b, y, x0, x1, line, color, alpha);
}

void lcip_canvas_box(LcipCanvas *canvas, float x0, float y0, float x1, float y1, float radius,
                     float line, LcipColor color, float alpha) {
  const RoundBox b = round_box(x0, y0, x1, y1, radius);
  draw_box(canvas, &b, MAX(line, 0.5f), color, alpha);
}

void lcip_canvas_fill(LcipCanvas *canvas, float x0, float y0, float x1, float y1, float radius,
                      LcipColor color, float alpha) {
  const RoundBox b = round_box(x0, y0, x1, y1, radius);
  draw_box(canvas, &b, -1, color, alpha);
}

/* ---- text: the dots of a letter joined by round strokes ---- */

/* A letter's strokes: lines between dots that are neighbours, in dots from the upper left one. A
 * dot without neighbours is a line to itself. */
#define MAX_STROKES 80
typedef struct {
  int n, columns;
  struct {
    float x0, y0, x1, y1;
  } lines[MAX_STROKES];
} Glyph;

/* Bit x of rows[y + 1] is the dot (x, y). A row is empty before and after the letter. */
static int read_dots(const char *text, guint8 rows[LCIP_FONT_ROWS + 2]) {
  int x = 0, y = 0, columns = 0;
  memset(rows, 0, LCIP_FONT_ROWS + 2);
  for (; *text; text++) {
    if (*text == '/') {
      y++;
      x = 0;
      continue;
    }
    if (*text == '#' && x < LCIP_FONT_COLUMNS && y < LCIP_FONT_ROWS)
      rows[y + 1] |= (guint8)(1 << x);
    x++;
    columns = MAX(columns, x);
  }
  return columns;
}

static gboolean dot(const guint8 *rows, int x, int y) {
  return x >= 0 && (rows[y + 1] >> x & 1);
}

static void add_stroke(Glyph *glyph, int x0, int y0, int x1, int y1) {
  if (glyph->n == MAX_STROKES)
    return;
  glyph->lines[glyph->n].x0 = (float)x0;
  glyph->lines[glyph->n].y0 = (float)y0;
  glyph->lines[glyph->n].x1 = (float)x1;
  glyph->lines[glyph->n++].y1 = (float)y1;
}

/* Diagonal neighbours are joined only where no third dot joins them already: corners stay corners.
 */
static void join_dot(Glyph *glyph, const guint8 *rows, int x, int y) {
  const int before = glyph->n;
  const gboolean right = dot(rows, x + 1, y), left = dot(rows, x - 1, y);
  const gboolean down = dot(rows, x, y + 1);
  if (right)
    add_stroke(glyph, x, y, x + 1, y);
  if (down)
    add_stroke(glyph, x, y, x, y + 1);
  if (dot(rows, x + 1, y + 1) && !right && !down)
    add_stroke(glyph, x, y, x + 1, y + 1);
  if (dot(rows, x - 1, y + 1) && !left && !down)
    add_stroke(glyph, x, y, x - 1, y + 1);
  if (glyph->n == before)
    add_stroke(glyph, x, y, x, y);
}

static void glyph_init(Glyph *glyph, char letter) {
  const int code = (guint8)letter;
  const int known = code >= LCIP_FONT_FIRST && code <= LCIP_FONT_LAST ? code : '?';
  guint8 rows[LCIP_FONT_ROWS + 2];
  glyph->n = 0;
  glyph->columns = read_dots(lcip_font[known - LCIP_FONT_FIRST], rows);
  for (int y = 0; y < LCIP_FONT_ROWS; y++)
    for (int x = 0; x < LCIP_FONT_COLUMNS; x++)
      if (dot(rows, x, y))
        join_dot(glyph, rows, x, y);
}

/* Square of the distance of (x, y) to the glyph's nearest stroke, in dots. */
static float glyph_distance(const Glyph *glyph, float x, float y) {
  float nearest = 1e9f;
  for (int i = 0; i < glyph->n; i++) {
    const float dx = glyph->lines[i].x1 - glyph->lines[i].x0;
    const float dy = glyph->lines[i].y1 - glyph->lines[i].y0;
    const float px = x - glyph->lines[i].x0, py = y - glyph->lines[i].y0;
    const float length = dx * dx + dy * dy;
    const float t = length > 0 ? CLAMP((px * dx + py * dy) / length, 0.0f, 1.0f) : 0.0f;
    const float ex = px - t * dx, ey = py - t * dy;
    nearest = MIN(nearest, ex * ex + ey * ey);
  }
  return sqrtf(nearest);
}

#define STROKE_RADIUS 0.45f /* dots */

/* (x, y): where the upper left dot is; @pitch: pixels between dots. */
static void draw_glyph(LcipCanvas *canvas, const Glyph *glyph, float x, float y, float pitch,
                       LcipColor color) {
  int x0, x1, y0, y1;
  pixel_range(x - pitch, x + pitch * LCIP_FONT_COLUMNS, canvas->width, &x0, &x1);
  pixel_range(y - pitch, y + pitch * LCIP_FONT_ROWS, canvas->height, &y0, &y1);
  for (int py = y0; py <= y1; py++)
    for (int px = x0; px <= x1; px++) {
      const float u = ((float)px + 0.5f - x) / pitch, v = ((float)py + 0.5f - y) / pitch;
      const float distance = (glyph_distance(glyph, u, v) - STROKE_RADIUS) * pitch;
      if (distance < 0.5f)
        blend(canvas, px, py, color, CLAMP(0.5f - distance, 0.0f, 1.0f));
    }
}

/* A capital is six pitches between its outer dots plus a stroke. */
static float pitch_of(float size) {
  return size / (LCIP_FONT_CAPITAL_ROWS - 1 + 2 * STROKE_RADIUS);
}

/* The lead byte of a letter stands for all its bytes in UTF-8. */
static gboolean continues(char c) {
  return ((guint8)c & 0xc0) == 0x80;
}

void lcip_canvas_text(LcipCanvas *canvas, float x, float y, float size, const char *text,
                      LcipColor color) {
  const float pitch = pitch_of(size);
  x = sane(x) + STROKE_RADIUS * pitch;
  y = sane(y) + STROKE_RADIUS * pitch;
  for (; *text && x < (float)canvas->width; text++) {
    Glyph glyph;
    if (continues(*text))
      continue;
    glyph_init(&glyph, *text);
    draw_glyph(canvas, &glyph, x, y, pitch, color);
    x += pitch * (float)(glyph.columns + 1);
  }
}

float lcip_canvas_text_width(float size, const char *text) {
  int columns = 0;
  for (; *text; text++) {
    guint8 rows[LCIP_FONT_ROWS + 2];
    const int code = (guint8)*text;
    const int known = code >= LCIP_FONT_FIRST && code <= LCIP_FONT_LAST ? code : '?';
    if (!continues(*text))
      columns += read_dots(lcip_font[known - LCIP_FONT_FIRST], rows) + 1;
  }
  return columns > 0 ? pitch_of(size) * ((float)columns - 2 + 2 * STROKE_RADIUS) : 0.0f;
}
