#pragma once

#include "lcip-operator.h"

G_BEGIN_DECLS

/** lcip_reference_fire: one firing of @step on the reference kernels, on the calling thread, in
 * tensors of its own. @inputs: per input a tensor, or NULL where it is absent or only its shape is
 * read. @outputs: gets the new tensors, n_outputs of them; their spec is the actual shape, which
 * for data-dependent operators may be smaller than @step->outputs says. On failure none is made. */
gboolean lcip_reference_fire(const LcipStep *step, LcipTensor *const *inputs, LcipTensor **outputs,
                             GError **error);

G_END_DECLS
