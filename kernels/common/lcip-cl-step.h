#pragma once

#include "lcip-cl.h"

/* What the OpenCL kernels of all families share: setting arguments one after the other, and the
 * operators fused behind an anchor. */

G_BEGIN_DECLS

/** lcip_cl_source: the program with all OpenCL functions of the build. One program, because drivers
 * take most of a build's time to start. */
extern const char lcip_cl_source[];

/** LcipClArgs: a kernel whose arguments are being set. After a failure, the error is set and all
 * further calls do nothing. */
typedef struct {
  LcipClQueue *queue;
  LcipClKernel kernel;
  guint next;
  GError **error;
} LcipClArgs;

/** lcip_cl_args_begin: @function of lcip_cl_source; use lcip_cl_args_launch() at the end. */
LcipClArgs lcip_cl_args_begin(LcipClQueue *queue, const char *function, GError **error);
/** lcip_cl_args_view: buffer and offset in elements: two arguments. */
void lcip_cl_args_view(LcipClArgs *args, const LcipTensorView *view);
/** lcip_cl_args_buffer: a cl_mem of floats with offset 0: two arguments. */
void lcip_cl_args_buffer(LcipClArgs *args, void *buffer);
/** lcip_cl_args_int: fails when @value does not fit 32 bits. */
void lcip_cl_args_int(LcipClArgs *args, gint64 value);
void lcip_cl_args_ints(LcipClArgs *args, guint n, const gint64 *values);
void lcip_cl_args_float(LcipClArgs *args, float value);
/** lcip_cl_args_epilogues: the EPILOGUE_PARAMS of a function: what follows the anchor of @call. */
void lcip_cl_args_epilogues(LcipClArgs *args, const LcipCall *call);
/** lcip_cl_args_unary: the same for an anchor that is itself such an operator (Relu, Clip, ...): it
 * goes before its epilogues, of which there are then at most LCIP_MAX_EPILOGUES - 1. */
void lcip_cl_args_unary(LcipClArgs *args, const LcipCall *call);
gboolean lcip_cl_args_launch(LcipClArgs *args, guint n_dims, const gsize *global,
                             const gsize *local);

/** lcip_cl_unary_supported: lcip_cl_args_unary() knows the anchor of @step. */
gboolean lcip_cl_unary_supported(const LcipStep *step, const char **reason);

/** lcip_cl_supports_f32: for supports(): everything dense, f32 (inputs in @skip_mask aside) and
 * below 2^31 elements. */
gboolean lcip_cl_supports_f32(const LcipStep *step, guint64 skip_mask, LcipPortFormats *formats,
                              const char **reason);
/** lcip_cl_supports_plain: the same, and no epilogues. */
gboolean lcip_cl_supports_plain(const LcipStep *step, guint64 skip_mask, LcipPortFormats *formats,
                                const char **reason);
/** lcip_cl_supports_fused: the same, with epilogues of lcip_epilogues_common(). */
gboolean lcip_cl_supports_fused(const LcipStep *step, guint64 skip_mask, LcipPortFormats *formats,
                                const char **reason);

G_END_DECLS
