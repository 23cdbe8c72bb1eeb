#pragma once

#include "lcip-infer.h"

G_BEGIN_DECLS

/** lcip_reduce_axes: marks the axes that a reduction of a tensor of @rank removes. */
gboolean lcip_reduce_axes(const LcipStep *step, int rank, gboolean *reduced, GError **error);

G_END_DECLS
