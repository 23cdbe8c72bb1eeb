#pragma once

#include "lcip-window.h"

/* What the vector kernels of the family "blocked" share and what needs no vectors: it is compiled
 * once, for the baseline processor. */

G_BEGIN_DECLS

/** LcipPlaneWindow: the (y, x) part of an LcipWindow. */
typedef struct {
  gint64 kernel[2], stride[2], dilation[2], pad_begin[2], pad_end[2];
} LcipPlaneWindow;

/** lcip_plane_window_init: as lcip_window_init() for an input of 4 dimensions; a convolution's
 * weights are input 1 of @step. @in: the actual shape of input 0. */
gboolean lcip_plane_window_init(LcipPlaneWindow *plane, LcipWindowKind kind, const LcipStep *step,
                                const LcipShape *in, GError **error);

/** LcipTailKind: a function of one value, as an epilogue or on its own; ADD is that of a side
 * input. CLAMP is Relu (0 to INFINITY) and Clip, between @a and @b. LEAKY has its slope,
 * HARD_SIGMOID alpha and beta, HARD_SWISH its factor (1 / 6) there. */
typedef enum {
  LCIP_TAIL_ADD,
  LCIP_TAIL_CLAMP,
  LCIP_TAIL_LEAKY,
  LCIP_TAIL_SIGMOID,
  LCIP_TAIL_HARD_SIGMOID,
  LCIP_TAIL_HARD_SWISH,
  LCIP_TAIL_SWISH,
  LCIP_TAIL_MISH,
  LCIP_TAIL_TANH,
  LCIP_TAIL_EXP,
  LCIP_TAIL_ABS,
  LCIP_TAIL_NEG
} LcipTailKind;

typedef struct {
  LcipTailKind kind;
  int side_input;
  float a, b;
} LcipTailOp;

/** LcipTail: the epilogues of a step. @simple: an ADD at most, then a CLAMP at most, which can be
 * done in registers: @side_input (or -1), @lo and @hi. @dirty: it may turn 0 into something else,
 * so padding channels need a mask. */
typedef struct {
  guint n;
  LcipTailOp ops[LCIP_MAX_EPILOGUES];
  gboolean simple, dirty;
  int side_input;
  float lo, hi;
} LcipTail;

/** lcip_tail_function: the operator @name with @attrs as a function of one value; FALSE when it is
 * none of LcipTailKind. Clip has no bounds then. */
gboolean lcip_tail_function(LcipTailOp *op, const char *name, const LcipAttrs *attrs);
/** lcip_tail_init: FALSE with @reason when lcip_epilogues_common() refuses. */
gboolean lcip_tail_init(LcipTail *tail, const LcipStep *step, const char **reason);
/** lcip_tail_formats: the side inputs of the epilogues take the format of output 0. */
void lcip_tail_formats(const LcipStep *step, LcipPortFormats *formats);

/** lcip_is_image: input or output spec is f32 with 4 dimensions, none of them 0. */
gboolean lcip_is_image(const LcipTensorSpec *spec);
/** lcip_blocks: how many blocks of @block hold @channels. */
gint64 lcip_blocks(gint64 channels, gint64 block);

G_END_DECLS
