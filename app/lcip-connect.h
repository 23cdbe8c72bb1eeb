#pragma once

#include "lcip-graph.h"

G_BEGIN_DECLS

/* How a picture becomes a network's input: as actors in the graph, once a person has confirmed it.
 */

/** LcipConnect: attributes of PictureToTensor, as text. */
typedef struct {
  int width, height;
  const char *fit;
  const char *layout;
  const char *color;
  const char *mean;
  const char *scale;
} LcipConnect;

/** LcipConnectPreset: values 0 to 255 become (value - mean) * scale. */
typedef struct {
  const char *name;
  const char *mean;
  const char *scale;
} LcipConnectPreset;

/** lcip_connect_presets: @n of them; static. Per channel values are in the order R, G, B. */
const LcipConnectPreset *lcip_connect_presets(guint *n);

/** lcip_connect_find_input: the first input that is image-shaped, f32 of rank 4 with three channels
 * first or last, or -1. @layout, @width, @height: what its shape says; 0 for unknown sizes. */
int lcip_connect_find_input(const LcipGraph *graph, const char **layout, int *width, int *height);

/** lcip_connect_apply: a copy of @graph in which a picture source and PictureToTensor, on the first
 * CPU lane, feed input @input. NULL with @error when an attribute is wrong. */
LcipGraph *lcip_connect_apply(const LcipGraph *graph, guint input, const LcipConnect *connect,
                              GError **error);

G_END_DECLS
