#include "config.h"
#include "lcip-unary.h"

#include <math.h>

static const char *const names[LCIP_N_UNARY] = {
    [LCIP_UNARY_RELU] = "Relu",
    [LCIP_UNARY_LEAKY_RELU] = "LeakyRelu",
    [LCIP_UNARY_ELU] = "Elu",
    [LCIP_UNARY_SIGMOID] = "Sigmoid",
    [LCIP_UNARY_HARD_SIGMOID] = "HardSigmoid",
    [LCIP_UNARY_HARD_SWISH] = "HardSwish",
    [LCIP_UNARY_SCALED_HARD_SWISH] = "ScaledHardSwish",
    [LCIP_UNARY_TANH] = "Tanh",
    [LCIP_UNARY_CLIP] = "Clip",
    [LCIP_UNARY_SOFTPLUS] = "Softplus",
    [LCIP_UNARY_EXP] = "Exp",
    [LCIP_UNARY_LOG] = "Log",
    [LCIP_UNARY_SQRT] = "Sqrt",
    [LCIP_UNARY_ABS] = "Abs",
    [LCIP_UNARY_NEG] = "Neg",
    [LCIP_UNARY_FLOOR] = "Floor",
    [LCIP_UNARY_CEIL] = "Ceil",
    [LCIP_UNARY_ERF] = "Erf",
    [LCIP_UNARY_SWISH] = "Swish",
    [LCIP_UNARY_MISH] = "Mish",
};

gboolean lcip_unary_init(LcipUnary *unary, const LcipOperator *op, const LcipAttrs *attrs) {
  if (op->domain[0] != '\0' && !g_str_equal(op->domain, "lcip"))
    return FALSE;
  for (guint i = 0; i < LCIP_N_UNARY; i++) {
    if (!g_str_equal(names[i], op->name))
      continue;
    *unary = (LcipUnary){.kind = (LcipUnaryKind)i};
    if (i == LCIP_UNARY_CLIP) {
      unary->alpha = -INFINITY;
      unary->beta = INFINITY;
    }
    if (lcip_operator_find_attr(op, "alpha"))
      unary->alpha = lcip_attrs_get_float(attrs, "alpha");
    if (lcip_operator_find_attr(op, "beta"))
      unary->beta = lcip_attrs_get_float(attrs, "beta");
    return TRUE;
  }
  return FALSE;
}

/* Comparisons are written so that NaN fails them and stays. */
static inline float clip(float x, float least, float greatest) {
  const float low = x < least ? least : x;
  return low > greatest ? greatest : low;
}

static inline float relu(float x) {
  return x < 0.0f ? 0.0f : x;
}

static inline float leaky_relu(float x, float alpha) {
  return x < 0.0f ? alpha * x : x;
}

static inline float elu(float x, float alpha) {
  return x < 0.0f ? alpha * expm1f(x) : x;
}

/* Both branches keep the exponent negative, so that nothing overflows. */
static inline float sigmoid(float x) {
  const float e = expf(-fabsf(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

static inline float hard_swish(float x) {
  return x * clip(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f);
}

/* ln(1 + e^x) without overflow */
static inline float softplus(float x) {
  return log1pf(expf(-fabsf(x))) + relu(x);
}

/* x tanh(ln(1 + e^x)) */
static inline float mish(float x) {
  return x * tanhf(softplus(x));
}

#define EACH(expression)                                                                           \
  for (gsize i = 0; i < n; i++) {                                                                  \
    const float x = in[i];                                                                         \
    out[i] = (expression);                                                                         \
  }                                                                                                \
  break

void lcip_unary_apply(const LcipUnary *unary, const float *in, float *out, gsize n) {
  const float alpha = unary->alpha, beta = unary->beta;
  switch (unary->kind) {
  case LCIP_UNARY_RELU:
    EACH(relu(x));
  case LCIP_UNARY_LEAKY_RELU:
    EACH(leaky_relu(x, alpha));
  case LCIP_UNARY_ELU:
    EACH(elu(x, alpha));
  case LCIP_UNARY_SIGMOID:
    EACH(sigmoid(x));
  case LCIP_UNARY_HARD_SIGMOID:
    EACH(clip(alpha * x + beta, 0.0f, 1.0f));
  case LCIP_UNARY_HARD_SWISH:
    EACH(hard_swish(x));
  case LCIP_UNARY_SCALED_HARD_SWISH:
    EACH(alpha * x * clip(x + 3.0f, 0.0f, 6.0f));
  case LCIP_UNARY_TANH:
    EACH(tanhf(x));
  case LCIP_UNARY_CLIP:
    EACH(clip(x, alpha, beta));
  case LCIP_UNARY_SOFTPLUS:
    EACH(softplus(x));
  case LCIP_UNARY_EXP:
    EACH(expf(x));
  case LCIP_UNARY_LOG:
    EACH(logf(x));
  case LCIP_UNARY_SQRT:
    EACH(sqrtf(x));
  case LCIP_UNARY_ABS:
    EACH(fabsf(x));
  case LCIP_UNARY_NEG:
    EACH(-x);
  case LCIP_UNARY_FLOOR:
    EACH(floorf(x));
  case LCIP_UNARY_CEIL:
    EACH(ceilf(x));
  case LCIP_UNARY_ERF:
    EACH(erff(x));
  case LCIP_UNARY_SWISH:
    EACH(x * sigmoid(alpha * x));
  case LCIP_UNARY_MISH:
    EACH(mish(x));
  case LCIP_N_UNARY:
    break;
  }
}
