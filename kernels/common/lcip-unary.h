#pragma once

#include "lcip-operator.h"

G_BEGIN_DECLS

/** LcipUnaryKind: element-wise functions of one f32, with the names of their operators. */
typedef enum {
  LCIP_UNARY_RELU,
  LCIP_UNARY_LEAKY_RELU,
  LCIP_UNARY_ELU,
  LCIP_UNARY_SIGMOID,
  LCIP_UNARY_HARD_SIGMOID,
  LCIP_UNARY_HARD_SWISH,
  LCIP_UNARY_SCALED_HARD_SWISH,
  LCIP_UNARY_TANH,
  LCIP_UNARY_CLIP,
  LCIP_UNARY_SOFTPLUS,
  LCIP_UNARY_EXP,
  LCIP_UNARY_LOG,
  LCIP_UNARY_SQRT,
  LCIP_UNARY_ABS,
  LCIP_UNARY_NEG,
  LCIP_UNARY_FLOOR,
  LCIP_UNARY_CEIL,
  LCIP_UNARY_ERF,
  LCIP_UNARY_SWISH,
  LCIP_UNARY_MISH,
  LCIP_N_UNARY
} LcipUnaryKind;

/** LcipUnary: a function with its parameters: alpha (and beta), or the bounds of Clip. */
typedef struct {
  LcipUnaryKind kind;
  float alpha, beta;
} LcipUnary;

/** lcip_unary_init: the function of operator @op with @attrs; FALSE when @op is none of them.
 * Clip's bounds are left open: set alpha (least) and beta (greatest). */
gboolean lcip_unary_init(LcipUnary *unary, const LcipOperator *op, const LcipAttrs *attrs);
/** lcip_unary_apply: out[i] = f(in[i]); @out may be @in. NaN gives NaN. */
void lcip_unary_apply(const LcipUnary *unary, const float *in, float *out, gsize n);

G_END_DECLS
