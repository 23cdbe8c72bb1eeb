#include "config.h"

#include "lcip-palette.h"

#include <string.h>

#include <adwaita.h>

#define RGB(hex)                                                                                   \
  { ((hex) >> 16 & 255) / 255.f, ((hex) >> 8 & 255) / 255.f, ((hex)&255) / 255.f, 1.f }
#define RGBA(hex, alpha)                                                                           \
  { ((hex) >> 16 & 255) / 255.f, ((hex) >> 8 & 255) / 255.f, ((hex)&255) / 255.f, alpha }

/* GNOME's palette: https://developer.gnome.org/hig/reference/palette.html */
static const LcipPalette palette_light = {
    .canvas = RGB(0xf3f3f4),
    .band = RGB(0xfafafa),
    .band_border = RGB(0xd5d3d8),
    .hatch = RGBA(0x000000, 0.035f),
    .offline = RGBA(0x77767b, 0.18f),
    .header = RGB(0xffffff),
    .header_border = RGB(0xd5d3d8),
    .card = RGB(0xffffff),
    .card_border = RGB(0xb9b5bd),
    .attached = RGB(0xf6f5f4),
    .text = RGB(0x241f31),
    .dim_text = RGB(0x5e5c64),
    .edge = RGB(0x9a9996),
    .crossing_edge = RGB(0x813d9c),
    .selection = RGB(0x1a5fb4),
    .selection_text = RGB(0xffffff),
    .bar = RGB(0xe66100),
    .bar_track = RGBA(0x000000, 0.08f),
    .error = RGB(0xc01c28),
    .veil = RGBA(0xebebed, 0.82f),
    .families = {RGB(0x77767b), RGB(0x1c71d8), RGB(0xe66100), RGB(0x26a269), RGB(0x0d9488),
                 RGB(0x9a9996), RGB(0x9141ac), RGB(0x865e3c)},
    .lanes = {RGB(0x1c71d8), RGB(0x26a269), RGB(0x9141ac), RGB(0xe66100), RGB(0x865e3c)},
};

static const LcipPalette palette_dark = {
    .canvas = RGB(0x1b1b1d),
    .band = RGB(0x242427),
    .band_border = RGB(0x3d3d42),
    .hatch = RGBA(0xffffff, 0.03f),
    .offline = RGBA(0x9a9996, 0.22f),
    .header = RGB(0x2c2c30),
    .header_border = RGB(0x3d3d42),
    .card = RGB(0x38383c),
    .card_border = RGB(0x5e5c64),
    .attached = RGB(0x2f2f33),
    .text = RGB(0xffffff),
    .dim_text = RGB(0xc0bfbc),
    .edge = RGB(0x8b8a90),
    .crossing_edge = RGB(0xc792dc),
    .selection = RGB(0x78aeed),
    .selection_text = RGB(0x1b1b1d),
    .bar = RGB(0xffa348),
    .bar_track = RGBA(0xffffff, 0.1f),
    .error = RGB(0xff7b63),
    .veil = RGBA(0x1b1b1d, 0.78f),
    .families = {RGB(0x9a9996), RGB(0x62a0ea), RGB(0xffa348), RGB(0x57e389), RGB(0x5bc8bd),
                 RGB(0xc0bfbc), RGB(0xc792dc), RGB(0xcdab8f)},
    .lanes = {RGB(0x62a0ea), RGB(0x57e389), RGB(0xc792dc), RGB(0xffa348), RGB(0xcdab8f)},
};

const LcipPalette *lcip_palette_get(void) {
  static LcipPalette contrast;
  AdwStyleManager *manager = adw_style_manager_get_default();
  const LcipPalette *palette = adw_style_manager_get_dark(manager) ? &palette_dark : &palette_light;
  if (!adw_style_manager_get_high_contrast(manager))
    return palette;
  contrast = *palette;
  contrast.dim_text = contrast.card_border = contrast.band_border = contrast.edge = palette->text;
  return &contrast;
}

typedef struct {
  const char *op_name;
  LcipFamily family;
} FamilyRow;

static const FamilyRow family_rows[] = {
    {"Conv", LCIP_FAMILY_CONVOLUTION},      {"ConvTranspose", LCIP_FAMILY_CONVOLUTION},
    {"Gemm", LCIP_FAMILY_CONVOLUTION},      {"MatMul", LCIP_FAMILY_CONVOLUTION},
    {"Relu", LCIP_FAMILY_ACTIVATION},       {"LeakyRelu", LCIP_FAMILY_ACTIVATION},
    {"PRelu", LCIP_FAMILY_ACTIVATION},      {"Clip", LCIP_FAMILY_ACTIVATION},
    {"Sigmoid", LCIP_FAMILY_ACTIVATION},    {"HardSigmoid", LCIP_FAMILY_ACTIVATION},
    {"HardSwish", LCIP_FAMILY_ACTIVATION},  {"Tanh", LCIP_FAMILY_ACTIVATION},
    {"Softmax", LCIP_FAMILY_ACTIVATION},    {"MaxPool", LCIP_FAMILY_POOLING},
    {"AveragePool", LCIP_FAMILY_POOLING},   {"GlobalAveragePool", LCIP_FAMILY_POOLING},
    {"GlobalMaxPool", LCIP_FAMILY_POOLING}, {"Resize", LCIP_FAMILY_POOLING},
    {"Reshape", LCIP_FAMILY_SHAPE},         {"Transpose", LCIP_FAMILY_SHAPE},
    {"Concat", LCIP_FAMILY_SHAPE},          {"Slice", LCIP_FAMILY_SHAPE},
    {"Split", LCIP_FAMILY_SHAPE},           {"Pad", LCIP_FAMILY_SHAPE},
    {"Shape", LCIP_FAMILY_SHAPE},           {"Gather", LCIP_FAMILY_SHAPE},
    {"Swish", LCIP_FAMILY_ACTIVATION},      {"Mish", LCIP_FAMILY_ACTIVATION},
};

LcipFamily lcip_family_of(const LcipActor *actor) {
  LcipOpFlags flags = actor->op ? actor->op->flags : LCIP_OP_PLAIN;
  if (flags & (LCIP_OP_SOURCE | LCIP_OP_SINK))
    return LCIP_FAMILY_INPUT_OUTPUT;
  if (g_str_equal(actor->domain, "lcip"))
    return LCIP_FAMILY_VISION;
  for (gsize i = 0; i < G_N_ELEMENTS(family_rows); i++)
    if (g_str_equal(actor->op_name, family_rows[i].op_name))
      return family_rows[i].family;
  if (flags & LCIP_OP_VIEW)
    return LCIP_FAMILY_SHAPE;
  return flags & LCIP_OP_ELEMENTWISE ? LCIP_FAMILY_ARITHMETIC : LCIP_FAMILY_OTHER;
}

const GdkRGBA *lcip_palette_lane(int index) {
  return &lcip_palette_get()->lanes[MAX(index, 0) % LCIP_PALETTE_LANES];
}

static int decimals(double value) {
  return value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
}

char *lcip_format_ms(double ms) {
  if (ms < 0.00995)
    return g_strdup_printf("%.0f µs", ms * 1000);
  return g_strdup_printf("%.*f ms", decimals(ms), ms);
}

char *lcip_format_fps(double fps) {
  return g_strdup_printf("%.*f", decimals(fps), fps);
}

/* Exporters put whole paths into names: the last two parts tell most. */
char *lcip_format_actor(const LcipActor *actor) {
  const char *name = lcip_actor_title(actor), *end = name;
  guint parts = 0;
  for (const char *p = name + strlen(name); p > name && parts < 2; p--)
    if (p[-1] == '/') {
      end = p;
      parts++;
    }
  if (parts < 2)
    end = name;
  return g_strdup_printf("%s %s", actor->op_name, end);
}

/* A sign of multiplication reads better than a letter. */
char *lcip_format_shape(const LcipShape *shape) {
  if (shape->rank == 0)
    return g_strdup("scalar");
  GString *text = g_string_new(NULL);
  for (int d = 0; d < shape->rank; d++) {
    g_string_append(text, d ? " × " : "");
    if (shape->dims[d] < 0)
      g_string_append_c(text, '?');
    else
      g_string_append_printf(text, "%" G_GINT64_FORMAT, shape->dims[d]);
  }
  return g_string_free(text, FALSE);
}

char *lcip_format_spec(const LcipTensorSpec *spec) {
  g_autofree char *shape = lcip_format_shape(&spec->shape);
  return g_strdup_printf("%s %s", lcip_type_name(spec->type), shape);
}

PangoAttrList *lcip_tabular_attributes(void) {
  PangoAttrList *attributes = pango_attr_list_new();
  pango_attr_list_insert(attributes, pango_attr_font_features_new("tnum"));
  return attributes;
}
