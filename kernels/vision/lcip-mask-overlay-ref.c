#include "config.h"
#include "lcip-vision-private.h"

#include <math.h>
#include <string.h>

/* Blends each picture pixel between itself and its effect by the mask, sampled bilinearly where the
 * inverse of the transform puts the pixel's centre. Outside the tensor nothing is known: effect.
 *
 * Blur: the picture averaged down to at most SMALL_SIDE pixels a side, smoothed there by [1 2 1] in
 * both directions, and interpolated linearly back. */

#define SMALL_SIDE 128
#define BLUR_PASSES 3

typedef enum { MODE_DIM, MODE_TINT, MODE_BLUR } Mode;

typedef struct {
  LcipCanvas canvas;
  const float *mask;
  int mask_width, mask_height;
  LcipAffine to_mask; /* picture to mask pixels */
  Mode mode;
  float strength, low, high;
  LcipColor color;
  float *small, *spare; /* blur: small picture, RGB, and room for a pass */
  int small_width, small_height, block;
} Overlay;

static float mask_at(const Overlay *o, float x, float y) {
  if (!(x >= -0.5f && y >= -0.5f && x <= (float)o->mask_width + 0.5f &&
        y <= (float)o->mask_height + 0.5f))
    return 0;
  const float u = CLAMP(x - 0.5f, 0.0f, (float)(o->mask_width - 1));
  const float v = CLAMP(y - 0.5f, 0.0f, (float)(o->mask_height - 1));
  const int x0 = (int)u, y0 = (int)v;
  const int dx = x0 + 1 < o->mask_width, dy = y0 + 1 < o->mask_height ? o->mask_width : 0;
  const float *m = o->mask + (gsize)y0 * (gsize)o->mask_width + x0;
  const float fx = u - (float)x0, fy = v - (float)y0;
  const float top = m[0] + (m[dx] - m[0]) * fx, bottom = m[dy] + (m[dy + dx] - m[dy]) * fx;
  return top + (bottom - top) * fy;
}

/* 0 outside the mask, 1 inside, smooth between (3 t^2 - 2 t^3). */
static float inside(const Overlay *o, float mask) {
  const float t = (mask - o->low) / (o->high - o->low);
  const float clamped = t > 0 ? MIN(t, 1.0f) : 0.0f; /* NaN gives 0 */
  return clamped * clamped * (3 - 2 * clamped);
}

static void small_at(const Overlay *o, int x, int y, float *rgb) {
  const float u = CLAMP(((float)x + 0.5f) / (float)o->block - 0.5f, 0, (float)(o->small_width - 1));
  const float v =
      CLAMP(((float)y + 0.5f) / (float)o->block - 0.5f, 0, (float)(o->small_height - 1));
  const int x0 = (int)u, y0 = (int)v;
  const int dx = x0 + 1 < o->small_width ? 3 : 0;
  const int dy = y0 + 1 < o->small_height ? o->small_width * 3 : 0;
  const float *p = o->small + ((gsize)y0 * (gsize)o->small_width + (gsize)x0) * 3;
  const float fx = u - (float)x0, fy = v - (float)y0;
  for (int c = 0; c < 3; c++, p++) {
    const float top = p[0] + (p[dx] - p[0]) * fx, bottom = p[dy] + (p[dy + dx] - p[dy]) * fx;
    rgb[c] = top + (bottom - top) * fy;
  }
}

/* What stands at pixel @p (x, y) where the mask is 0, before strength. */
static void effect(const Overlay *o, const guint8 *p, int x, int y, float *rgb) {
  const float luma = 0.299f * (float)p[0] + 0.587f * (float)p[1] + 0.114f * (float)p[2];
  switch (o->mode) {
  case MODE_DIM:
    rgb[0] = rgb[1] = rgb[2] = 0;
    break;
  case MODE_TINT: /* the colour, as bright as the picture, mixed with some of the colour itself */
    rgb[0] = o->color.r * (0.25f + luma / 255.0f * 0.75f);
    rgb[1] = o->color.g * (0.25f + luma / 255.0f * 0.75f);
    rgb[2] = o->color.b * (0.25f + luma / 255.0f * 0.75f);
    break;
  case MODE_BLUR:
    small_at(o, x, y, rgb);
    break;
  }
}

static void overlay_row(gpointer data, guint chunk, guint worker) {
  const Overlay *o = data;
  const float *m = o->to_mask.m;
  const int y = (int)chunk;
  const float py = (float)y + 0.5f;
  guint8 *p = o->canvas.pixels + (gsize)y * (gsize)o->canvas.width * 3;
  for (int x = 0; x < o->canvas.width; x++, p += 3) {
    const float px = (float)x + 0.5f;
    const float mask = mask_at(o, m[0] * px + m[1] * py + m[2], m[3] * px + m[4] * py + m[5]);
    const float mix = (1 - inside(o, mask)) * o->strength;
    float rgb[3] = {0};
    if (mix <= 0)
      continue;
    effect(o, p, x, y, rgb);
    for (int c = 0; c < 3; c++)
      p[c] = (guint8)((float)p[c] + (rgb[c] - (float)p[c]) * mix + 0.5f);
  }
}

/* ---- blur ---- */

static int block_for(int width, int height) {
  return MAX(1, (MAX(width, height) + SMALL_SIDE - 1) / SMALL_SIDE);
}

static gsize small_elems(int width, int height) {
  const int block = block_for(width, height);
  return (gsize)((width + block - 1) / block) * (gsize)((height + block - 1) / block) * 3;
}

static void shrink_row(gpointer data, guint chunk, guint worker) {
  const Overlay *o = data;
  const int y0 = (int)chunk * o->block, y1 = MIN(y0 + o->block, o->canvas.height);
  float *out = o->small + (gsize)chunk * (gsize)o->small_width * 3;
  for (int x = 0; x < o->small_width; x++, out += 3) {
    const int x0 = x * o->block, x1 = MIN(x0 + o->block, o->canvas.width);
    guint sum[3] = {0, 0, 0};
    for (int y = y0; y < y1; y++) {
      const guint8 *p = o->canvas.pixels + ((gsize)y * (gsize)o->canvas.width + (gsize)x0) * 3;
      for (int i = x0; i < x1; i++, p += 3)
        sum[0] += p[0], sum[1] += p[1], sum[2] += p[2];
    }
    const float n = (float)((x1 - x0) * (y1 - y0));
    for (int c = 0; c < 3; c++)
      out[c] = (float)sum[c] / n;
  }
}

/* [1 2 1] / 4 along x from @in to @out, or along y; the border counts itself twice. */
static void smooth(const float *in, float *out, int width, int height, int dx, int dy) {
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      for (int c = 0; c < 3; c++) {
        const int xa = MAX(x - dx, 0), xb = MIN(x + dx, width - 1);
        const int ya = MAX(y - dy, 0), yb = MIN(y + dy, height - 1);
        out[(y * width + x) * 3 + c] = 0.25f * in[(ya * width + xa) * 3 + c] +
                                       0.5f * in[(y * width + x) * 3 + c] +
                                       0.25f * in[(yb * width + xb) * 3 + c];
      }
}

static void make_small(Overlay *o, float *scratch, LcipTeam *team) {
  const int width = o->canvas.width, height = o->canvas.height;
  o->block = block_for(width, height);
  o->small_width = (width + o->block - 1) / o->block;
  o->small_height = (height + o->block - 1) / o->block;
  o->small = scratch;
  o->spare = scratch + small_elems(width, height);
  lcip_team_run(team, (guint)o->small_height, shrink_row, o);
  for (int i = 0; i < BLUR_PASSES; i++) {
    smooth(o->small, o->spare, o->small_width, o->small_height, 1, 0);
    smooth(o->spare, o->small, o->small_width, o->small_height, 0, 1);
  }
}

/* ---- the kernel ---- */

static Mode mode_of(const LcipAttrs *attrs) {
  const char *mode = lcip_attrs_get_string(attrs, "mode");
  if (g_strcmp0(mode, "tint") == 0)
    return MODE_TINT;
  return g_strcmp0(mode, "blur") == 0 ? MODE_BLUR : MODE_DIM;
}

/* The small picture has at most SMALL_SIDE pixels a side, whatever the picture's actual size. */
static gsize scratch_bytes(const LcipStep *step, const LcipPortFormats *formats, guint workers) {
  const gint64 *dims = step->inputs[0].shape.dims;
  if (mode_of(step->attrs) != MODE_BLUR)
    return 0;
  return 2 * 3 * sizeof(float) * (gsize)MIN(dims[0], SMALL_SIDE) * (gsize)MIN(dims[1], SMALL_SIDE);
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipAttrs *attrs = call->step->attrs;
  const gint64 *mask = call->inputs[1].shape.dims;
  const gboolean nchw = mask[1] == 1 && mask[3] != 1;
  const float threshold = lcip_attrs_get_float(attrs, "threshold");
  const float softness = lcip_attrs_get_float(attrs, "softness");
  LcipAffine to_picture;
  memcpy(to_picture.m, call->inputs[2].data, sizeof to_picture.m);
  Overlay o = {
      .canvas = lcip_canvas_begin(call),
      .mask = call->inputs[1].data,
      .mask_width = (int)(nchw ? mask[3] : mask[2]),
      .mask_height = (int)(nchw ? mask[2] : mask[1]),
      .mode = mode_of(attrs),
      .strength = lcip_attrs_get_float(attrs, "strength"),
      .low = threshold - softness,
      .high = threshold + softness,
  };
  lcip_color_parse(lcip_attrs_get_string(attrs, "color"), &o.color);
  /* A plan is warmed up on zeros: then every pixel reads the mask's first value. */
  if (!lcip_affine_invert(&to_picture, &o.to_mask))
    o.to_mask = (LcipAffine){0};
  if (o.mode == MODE_BLUR)
    make_small(&o, call->scratch, team);
  lcip_team_run(team, (guint)o.canvas.height, overlay_row, &o);
  return TRUE;
}

const LcipKernel lcip_kernel_mask_overlay_ref = {
    .name = "mask-overlay-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"lcip.MaskOverlay", NULL},
    .numerics = LCIP_NUMERICS_EXACT,
    .inplace = TRUE,
    .supports = lcip_vision_supports,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
