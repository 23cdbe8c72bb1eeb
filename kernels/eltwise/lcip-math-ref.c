#include "config.h"

#include "lcip-element.h"

#include <math.h>

typedef struct {
  double alpha, beta;
} MathParams;

typedef double (*MathFunc)(double x, const MathParams *params);

/* NaN fails the comparisons and comes through. */
static double sign(double x, const MathParams *params) {
  return x > 0 ? 1 : x < 0 ? -1 : x;
}

static double softsign(double x, const MathParams *params) {
  return x / (1 + fabs(x));
}

static double reciprocal(double x, const MathParams *params) {
  return 1 / x;
}

static double selu(double x, const MathParams *params) {
  return params->beta * (x <= 0 ? params->alpha * expm1(x) : x);
}

static double celu(double x, const MathParams *params) {
  return x < 0 ? params->alpha * expm1(x / params->alpha) : x;
}

static double thresholded_relu(double x, const MathParams *params) {
  return x <= params->alpha ? 0 : x;
}

/* alpha: bias, beta: lambd */
static double shrink(double x, const MathParams *params) {
  if (x < -params->beta)
    return x + params->alpha;
  return x > params->beta ? x - params->alpha : 0;
}

static double mish(double x, const MathParams *params) {
  return x * tanh(log1p(exp(-fabs(x))) + fmax(x, 0));
}

/* alpha: 1 for the approximation by tanh */
static double gelu(double x, const MathParams *params) {
  if (params->alpha == 0)
    return 0.5 * x * (1 + erf(x * M_SQRT1_2));
  return 0.5 * x * (1 + tanh(M_2_SQRTPI * M_SQRT1_2 * (x + 0.044715 * x * x * x)));
}

static double not(double x, const MathParams *params) {
  return x == 0;
}

static double is_nan(double x, const MathParams *params) {
  return isnan(x);
}

/* alpha: infinity counts, beta: -infinity does */
static double is_inf(double x, const MathParams *params) {
  return isinf(x) && (x > 0 ? params->alpha != 0 : params->beta != 0);
}

#define LIBRARY(name)                                                                              \
  static double math_##name(double x, const MathParams *params) {                                  \
    return name(x);                                                                                \
  }
LIBRARY(sin)
LIBRARY(cos)
LIBRARY(tan)
LIBRARY(asin)
LIBRARY(acos)
LIBRARY(atan)
LIBRARY(sinh)
LIBRARY(cosh)
LIBRARY(asinh)
LIBRARY(acosh)
LIBRARY(atanh)
LIBRARY(rint)

static const struct {
  const char *name;
  MathFunc func;
  const char *alpha, *beta; /* attributes, or NULL */
} functions[] = {
    {"Sin", math_sin, NULL, NULL},       {"Cos", math_cos, NULL, NULL},
    {"Tan", math_tan, NULL, NULL},       {"Asin", math_asin, NULL, NULL},
    {"Acos", math_acos, NULL, NULL},     {"Atan", math_atan, NULL, NULL},
    {"Sinh", math_sinh, NULL, NULL},     {"Cosh", math_cosh, NULL, NULL},
    {"Asinh", math_asinh, NULL, NULL},   {"Acosh", math_acosh, NULL, NULL},
    {"Atanh", math_atanh, NULL, NULL},   {"Round", math_rint, NULL, NULL},
    {"Softsign", softsign, NULL, NULL},  {"Reciprocal", reciprocal, NULL, NULL},
    {"Sign", sign, NULL, NULL},          {"Selu", selu, "alpha", "gamma"},
    {"Celu", celu, "alpha", NULL},       {"ThresholdedRelu", thresholded_relu, "alpha", NULL},
    {"Shrink", shrink, "bias", "lambd"}, {"Mish", mish, NULL, NULL},
    {"Gelu", gelu, NULL, NULL},          {"Not", not, NULL, NULL},
    {"IsNaN", is_nan, NULL, NULL},       {"IsInf", is_inf, NULL, NULL},
};

static const char *const math_ref_operators[] = {
    "Sin",      "Cos",        "Tan",   "Asin",  "Acos",  "Atan",
    "Sinh",     "Cosh",       "Asinh", "Acosh", "Atanh", "Round",
    "Softsign", "Reciprocal", "Sign",  "Selu",  "Celu",  "ThresholdedRelu",
    "Shrink",   "Mish",       "Gelu",  "Not",   "IsNaN", "IsInf",
    NULL};

typedef struct {
  MathFunc func;
  MathParams params;
  LcipType in_type, out_type;
  const void *in;
  void *out;
} MathJob;

static void math_range(gpointer data, gsize begin, gsize end) {
  const MathJob *job = data;
  for (gsize i = begin; i < end; i++)
    lcip_element_set_float(job->out_type, job->out, i,
                           job->func(lcip_element_float(job->in_type, job->in, i), &job->params));
}

static gboolean math_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipAttrs *attrs = call->step->attrs;
  guint k = 0;
  while (k + 1 < G_N_ELEMENTS(functions) && !lcip_step_is(call->step, functions[k].name))
    k++;
  MathJob job = {.func = functions[k].func,
                 .in_type = call->inputs[0].spec.type,
                 .out_type = call->outputs[0].spec.type,
                 .in = call->inputs[0].data,
                 .out = call->outputs[0].data};
  if (functions[k].alpha)
    job.params.alpha = (double)lcip_attrs_get_float(attrs, functions[k].alpha);
  if (functions[k].beta)
    job.params.beta = (double)lcip_attrs_get_float(attrs, functions[k].beta);
  if (job.func == gelu)
    job.params.alpha = g_strcmp0(lcip_attrs_get_string(attrs, "approximate"), "tanh") == 0;
  if (job.func == is_inf) {
    job.params.alpha = (double)lcip_attrs_get_int(attrs, "detect_positive");
    job.params.beta = (double)lcip_attrs_get_int(attrs, "detect_negative");
  }
  lcip_team_ranges(team, lcip_view_count(&call->inputs[0]), 4096, math_range, &job);
  return TRUE;
}

const LcipKernel lcip_kernel_math_ref = {
    .name = "math-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = math_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = math_ref_run,
};
