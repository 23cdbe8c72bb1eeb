/* What all functions share. Every tensor is a buffer and an offset in elements; sizes and strides
 * are in elements. One work item makes 16 neighbouring elements where it can. */

#define LANES ((int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))

/* The first @n of 16 elements (all for n >= 16), the others zero. */
static float16 load_n(__global const float *p, int n) {
  if (n >= 16)
    return vload16(0, p);
  float t[16];
  for (int i = 0; i < 16; i++)
    t[i] = i < n ? p[i] : 0.0f;
  return vload16(0, t);
}

static float16 load_strided(__global const float *p, int stride, int n) {
  if (stride == 1)
    return load_n(p, n);
  if (stride == 0)
    return (float16)(p[0]);
  float t[16];
  for (int i = 0; i < 16; i++)
    t[i] = i < n ? p[i * stride] : 0.0f;
  return vload16(0, t);
}

static void store_n(float16 v, __global float *p, int n) {
  if (n >= 16) {
    vstore16(v, 0, p);
    return;
  }
  float t[16];
  vstore16(v, 0, t);
  for (int i = 0; i < n; i++)
    p[i] = t[i];
}

static void store_strided(float16 v, __global float *p, int stride, int n) {
  if (stride == 1) {
    store_n(v, p, n);
    return;
  }
  float t[16];
  vstore16(v, 0, t);
  for (int i = 0; i < min(n, 16); i++)
    p[i * stride] = t[i];
}

/* Whether columns x, x + stride, ... lie inside a row of @w: as select() takes it. */
static int16 row_mask(int x, int stride, int w) {
  const int16 xs = x + LANES * stride;
  return (xs >= 0) & (xs < w);
}

/* 16 elements at a stride of 1 or 2, of which those under the mask count: the others are @fill,
 * whatever lies there. Reads 16 * stride elements. */
static float16 load_masked(__global const float *p, int stride, int16 mask, float fill) {
  float16 v = vload16(0, p);
  if (stride == 2)
    v = (float16)(v.even, vload16(1, p).even);
  return select((float16)(fill), v, mask);
}

/* 16 elements from index @at of a tensor of @total; those not under the mask are 0 and need not lie in
 * the tensor. */
static float16 load_inside(__global const float *p, int at, int16 mask, int total) {
  if (at >= 0 && at + 16 <= total)
    return load_masked(p + at, 1, mask, 0.0f);
  float t[16];
  for (int i = 0; i < 16; i++)
    t[i] = at + i >= 0 && at + i < total ? p[at + i] : 0.0f;
  return select((float16)(0.0f), vload16(0, t), mask);
}

/* Elements x, x + stride, ... of the row that starts at index @row; @fill outside [0, w).
 * Neighbouring rows are read and masked where that stays inside the tensor of @total elements. */
static float16 load_row(__global const float *p, int row, int x, int stride, int w, int total,
                        float fill) {
  const int at = row + x;
  if (stride <= 2 && at >= 0 && at + 16 * stride <= total)
    return load_masked(p + at, stride, row_mask(x, stride, w), fill);
  float t[16];
  for (int i = 0; i < 16; i++) {
    const int xi = x + i * stride;
    t[i] = xi >= 0 && xi < w ? p[row + xi] : fill;
  }
  return vload16(0, t);
}

/* Operators that follow an anchor. The numbers are those of lcip-cl-step.c. They are arguments and
 * not macros: a test per 16 elements is cheaper than one more program to build. */
enum {
  STAGE_NONE,
  STAGE_ADD,
  STAGE_RELU,
  STAGE_CLIP,
  STAGE_LEAKY_RELU,
  STAGE_SIGMOID,
  STAGE_HARD_SIGMOID,
  STAGE_HARD_SWISH,
  STAGE_TANH,
  STAGE_ABS,
  STAGE_NEG,
  STAGE_EXP,
  STAGE_LOG,
  STAGE_SQRT,
  STAGE_FLOOR,
  STAGE_CEIL,
  STAGE_ERF,
  STAGE_ELU,
  STAGE_SOFTPLUS,
  STAGE_SWISH,
  STAGE_MISH
};

/* Comparisons are written so that NaN stays NaN. */
#define DEFINE_STAGE(T, I, NAME)                                                                   \
  static T NAME(int code, float a, float b, T v, T side) {                                         \
    switch (code) {                                                                                \
    case STAGE_ADD:                                                                                \
      return v + side;                                                                             \
    case STAGE_RELU:                                                                               \
      return select(v, (T)(0.0f), (I)isless(v, (T)(0.0f)));                                        \
    case STAGE_CLIP:                                                                               \
      v = select(v, (T)(a), (I)isless(v, (T)(a)));                                                 \
      return select(v, (T)(b), (I)isgreater(v, (T)(b)));                                           \
    case STAGE_LEAKY_RELU:                                                                         \
      return select(v, v * a, (I)isless(v, (T)(0.0f)));                                            \
    case STAGE_SIGMOID:                                                                            \
      return (T)(1.0f) / ((T)(1.0f) + exp(-v));                                                    \
    case STAGE_HARD_SIGMOID:                                                                       \
      v = v * a + b;                                                                               \
      v = select(v, (T)(0.0f), (I)isless(v, (T)(0.0f)));                                           \
      return select(v, (T)(1.0f), (I)isgreater(v, (T)(1.0f)));                                     \
    case STAGE_HARD_SWISH: {                                                                       \
      T g = v * (1.0f / 6.0f) + 0.5f;                                                              \
      g = select(g, (T)(0.0f), (I)isless(g, (T)(0.0f)));                                           \
      return v * select(g, (T)(1.0f), (I)isgreater(g, (T)(1.0f)));                                 \
    }                                                                                              \
    case STAGE_TANH:                                                                               \
      return tanh(v);                                                                              \
    case STAGE_ABS:                                                                                \
      return fabs(v);                                                                              \
    case STAGE_NEG:                                                                                \
      return -v;                                                                                   \
    case STAGE_EXP:                                                                                \
      return exp(v);                                                                               \
    case STAGE_LOG:                                                                                \
      return log(v);                                                                               \
    case STAGE_SQRT:                                                                               \
      return sqrt(v);                                                                              \
    case STAGE_FLOOR:                                                                              \
      return floor(v);                                                                             \
    case STAGE_CEIL:                                                                               \
      return ceil(v);                                                                              \
    case STAGE_ERF:                                                                                \
      return erf(v);                                                                               \
    case STAGE_ELU:                                                                                \
      return select(v, a * expm1(v), (I)isless(v, (T)(0.0f)));                                     \
    case STAGE_SOFTPLUS:                                                                           \
      return log1p(exp(-fabs(v))) + select(v, (T)(0.0f), (I)isless(v, (T)(0.0f)));                 \
    case STAGE_SWISH:                                                                              \
      return v / ((T)(1.0f) + exp(-a * v));                                                        \
    case STAGE_MISH:                                                                               \
      return v *                                                                                   \
             tanh(log1p(exp(-fabs(v))) + select(v, (T)(0.0f), (I)isless(v, (T)(0.0f))));           \
    }                                                                                              \
    return v;                                                                                      \
  }

DEFINE_STAGE(float, int, stage1)
DEFINE_STAGE(float16, int16, stage16)

#define STAGE_PARAMS(i)                                                                            \
  int code##i, float alpha##i, float beta##i, __global const float *side##i, int side_offset##i
#define EPILOGUE_PARAMS STAGE_PARAMS(0), STAGE_PARAMS(1), STAGE_PARAMS(2), STAGE_PARAMS(3)
#define STAGE_ARGS(i) code##i, alpha##i, beta##i, side##i, side_offset##i
#define EPILOGUE_ARGS STAGE_ARGS(0), STAGE_ARGS(1), STAGE_ARGS(2), STAGE_ARGS(3)

/* Of four arguments the one of stage @i. One copy of the stages in a function, not four: they are
 * most of what drivers compile. */
#define PICK(i, name) (i == 0 ? name##0 : i == 1 ? name##1 : i == 2 ? name##2 : name##3)
#define ROLLED __attribute__((opencl_unroll_hint(1)))

/* @at: index of the element in the output, which side inputs share. */
static float epilogue1(float v, int at, EPILOGUE_PARAMS) {
  ROLLED for (int i = 0; i < 4; i++) {
    const int code = PICK(i, code);
    if (code == STAGE_NONE)
      break;
    const float side = code == STAGE_ADD ? PICK(i, side)[PICK(i, side_offset) + at] : 0.0f;
    v = stage1(code, PICK(i, alpha), PICK(i, beta), v, side);
  }
  return v;
}

/* The same for 16 elements @step apart, of which @n exist. */
static float16 epilogue16(float16 v, int at, int step, int n, EPILOGUE_PARAMS) {
  ROLLED for (int i = 0; i < 4; i++) {
    const int code = PICK(i, code);
    if (code == STAGE_NONE)
      break;
    float16 side = 0.0f;
    if (code == STAGE_ADD)
      side = load_strided(PICK(i, side) + PICK(i, side_offset) + at, step, n);
    v = stage16(code, PICK(i, alpha), PICK(i, beta), v, side);
  }
  return v;
}
