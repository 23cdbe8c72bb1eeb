#pragma once

#include "lcip-kernel.h"
#include "lcip-unary.h"

G_BEGIN_DECLS

/** LcipEpilogueList: a step's epilogues resolved for one firing, for CPU kernels that write dense
 * f32. Made once per run(), then applied span by span while the output is still in the cache. */
typedef struct {
  guint n;
  struct {
    const float *side; /* borrowed: Add's other operand, or NULL for a function */
    LcipUnary unary;
  } items[LCIP_MAX_EPILOGUES];
} LcipEpilogueList;

/** lcip_epilogue_list_init: FALSE with an error for an epilogue that lcip_epilogues_common() does
 * not allow. */
gboolean lcip_epilogue_list_init(LcipEpilogueList *list, const LcipCall *call, GError **error);
/** lcip_epilogue_list_apply: to @n elements of output 0 at @out, the first of which is element
 * @offset of the output. */
void lcip_epilogue_list_apply(const LcipEpilogueList *list, float *out, gsize offset, gsize n);
/** lcip_supports_epilogues: for supports(): dense f32 and common epilogues. */
gboolean lcip_supports_epilogues(const LcipStep *step, LcipPortFormats *formats,
                                 const char **reason);

G_END_DECLS
