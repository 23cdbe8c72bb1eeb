#pragma once

#include "lcip-window.h"

G_BEGIN_DECLS

/* lcip.ConvMaxPool: a convolution and the largest of each 2x2 pixels of its result, which need not
 * be stored; made by the plan. Attributes and inputs are those of Conv. A last odd row or column is
 * left out, as MaxPool with stride 2 does. */

enum { LCIP_CONV_MAX_POOL_SIZE = 2 };

/** lcip_conv_max_pool_between: shape of what is pooled, for an input of shape @x. */
gboolean lcip_conv_max_pool_between(const LcipStep *step, const LcipShape *x, LcipShape *between,
                                    GError **error);
/** lcip_conv_max_pool_conv: the convolution alone, without epilogues, as a step that borrows from
 * @step; @between: its output. */
LcipStep lcip_conv_max_pool_conv(const LcipStep *step, LcipTensorSpec *between);

G_END_DECLS
