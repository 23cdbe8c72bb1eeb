#pragma once

#include "lcip-kernel.h"

/* oneDNN's direct convolution, in the layouts that it prefers: what LCIP's kernels are measured
 * against, and checked against at sizes that the reference kernels are too slow for. */
typedef struct _LcipOnednn LcipOnednn;

/* Prepares @step, a Conv of 4 dimensions with constant weights whose epilogues are an Add at most,
 * then a Relu at most. */
LcipOnednn *lcip_onednn_new(const LcipStep *step, int n_threads, GError **error);
void lcip_onednn_free(LcipOnednn *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipOnednn, lcip_onednn_free)

/* Which of its implementations oneDNN has chosen. */
const char *lcip_onednn_name(const LcipOnednn *self);
/* Dense values of input 0 and, when the step has an Add, of its operand. */
gboolean lcip_onednn_load(LcipOnednn *self, const float *x, const float *side, GError **error);
/* Once for each load where there is an Add: it adds to the output in place. */
gboolean lcip_onednn_run(LcipOnednn *self, GError **error);
gboolean lcip_onednn_store(LcipOnednn *self, float *out, GError **error);
