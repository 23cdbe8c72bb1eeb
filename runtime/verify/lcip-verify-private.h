#pragma once

#include "lcip-analysis.h"
#include "lcip-verify.h"

G_BEGIN_DECLS

/** LcipReferenceFunc: @tensor is what output @port of @actor gave; of graph input @port for
 * LCIP_NO_ACTOR. Borrowed. */
typedef void (*LcipReferenceFunc)(int actor, guint port, LcipTensor *tensor, gpointer data);

/** lcip_reference_run: one frame of @graph actor by actor on the reference kernels, each in the
 * shapes that this frame has. @inputs: graph input's name or source actor's id -> LcipTensor, for
 * all of them. Tensors go when their last reader has fired. */
gboolean lcip_reference_run(const LcipGraph *graph, const LcipAnalysis *analysis,
                            GHashTable *inputs, LcipReferenceFunc func, gpointer data,
                            GCancellable *cancellable, GError **error);

/** lcip_verify_compare: fills all of @item that comparing gives. */
void lcip_verify_compare(LcipVerifyItem *item, const LcipTensor *found, const LcipTensor *expected,
                         double tolerance);

G_END_DECLS
