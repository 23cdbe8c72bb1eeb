#pragma once

#include <gtk/gtk.h>

#include "lcip-graph.h"

G_BEGIN_DECLS

/** LcipFamily: groups of operators that share a colour. */
typedef enum {
  LCIP_FAMILY_OTHER,
  LCIP_FAMILY_CONVOLUTION,
  LCIP_FAMILY_ACTIVATION,
  LCIP_FAMILY_POOLING,
  LCIP_FAMILY_ARITHMETIC,
  LCIP_FAMILY_SHAPE,
  LCIP_FAMILY_VISION,
  LCIP_FAMILY_INPUT_OUTPUT,
  LCIP_N_FAMILIES
} LcipFamily;

#define LCIP_PALETTE_LANES 5

/** LcipPalette: what the painted parts of the editor are painted with. Every text has a contrast of
 * at least 4.5:1 on what it stands on. */
typedef struct {
  GdkRGBA canvas, band, band_border, hatch, offline;
  GdkRGBA header, header_border;
  GdkRGBA card, card_border, attached;
  GdkRGBA text, dim_text;
  GdkRGBA edge, crossing_edge, selection, selection_text;
  GdkRGBA bar, bar_track, error, veil;
  GdkRGBA families[LCIP_N_FAMILIES];
  GdkRGBA lanes[LCIP_PALETTE_LANES];
} LcipPalette;

/** lcip_palette_get: for the style (dark, high contrast) in use; static. Main thread. */
const LcipPalette *lcip_palette_get(void);
LcipFamily lcip_family_of(const LcipActor *actor);
/** lcip_palette_lane: the colour of the lane at @index; colours repeat, so rows tell lanes too. */
const GdkRGBA *lcip_palette_lane(int index);

/** lcip_format_ms: "12.3 ms", "0.42 ms", "8 µs": three digits at most. Transfer full. */
char *lcip_format_ms(double ms);
/** lcip_format_fps: "118", "29.8", "0.42". Transfer full. */
char *lcip_format_fps(double fps);
/** lcip_format_actor: "Conv conv2d/BiasAdd": operator and the end of its name. Transfer full. */
char *lcip_format_actor(const LcipActor *actor);
/** lcip_format_shape: "1 × 3 × 224 × 224", "?" for an open size, "scalar". Transfer full. */
char *lcip_format_shape(const LcipShape *shape);
/** lcip_format_spec: the same with the type in front. Transfer full. */
char *lcip_format_spec(const LcipTensorSpec *spec);
/** lcip_tabular_attributes: digits of one width; free with pango_attr_list_unref(). */
PangoAttrList *lcip_tabular_attributes(void);

G_END_DECLS
