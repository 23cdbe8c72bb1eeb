#pragma once

#include "lcip-window.h"

G_BEGIN_DECLS

/* lcip.ExpandDepthwise: a 1x1 convolution, an activation and a depthwise convolution of its result,
 * as the blocks of mobile networks begin; made by the plan. */

enum {
  LCIP_EXPAND_X,
  LCIP_EXPAND_W,
  LCIP_EXPAND_B,
  LCIP_EXPAND_DEPTHWISE_W,
  LCIP_EXPAND_DEPTHWISE_B,
  LCIP_EXPAND_INPUTS
};

/** lcip_expand_activation: the operator between the two convolutions, or NULL. */
const LcipOperator *lcip_expand_activation(const LcipStep *step);
/** lcip_expand_shape: what the 1x1 convolution gives for an input of shape @x. */
LcipShape lcip_expand_shape(const LcipStep *step, const LcipShape *x);
/** lcip_expand_window_init: the window of the depthwise convolution over that. */
gboolean lcip_expand_window_init(LcipWindow *window, const LcipStep *step, const LcipShape *x,
                                 GError **error);

G_END_DECLS
