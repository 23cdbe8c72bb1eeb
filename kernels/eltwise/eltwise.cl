/* Element-wise operators. */

/* Items: (16 elements). */
__kernel void eltwise_unary(__global const float *in, int in_offset, __global float *out,
                            int out_offset, EPILOGUE_PARAMS, int count) {
  const int at = (int)get_global_id(0) * 16, n = count - at;
  if (n <= 0)
    return;
  const float16 v = load_n(in + in_offset + at, n);
  store_n(epilogue16(v, at, 1, n, EPILOGUE_ARGS), out + out_offset + at, n);
}

enum {
  BINARY_ADD,
  BINARY_SUB,
  BINARY_MUL,
  BINARY_DIV,
  BINARY_MIN,
  BINARY_MAX,
  BINARY_POW,
  BINARY_PRELU
};

static float16 binary16(int kind, float16 a, float16 b) {
  switch (kind) {
  case BINARY_ADD:
    return a + b;
  case BINARY_SUB:
    return a - b;
  case BINARY_MUL:
    return a * b;
  case BINARY_DIV:
    return a / b;
  case BINARY_MIN:
    return select(b, a, isless(a, b) | isnan(a));
  case BINARY_MAX:
    return select(b, a, isgreater(a, b) | isnan(a));
  case BINARY_POW:
    return pow(a, b);
  case BINARY_PRELU:
    return select(a, a * b, isless(a, (float16)(0.0f)));
  }
  return a;
}

/* Five outer dimensions: sizes, then the strides of two tensors. */
#define OUTER_PARAMS                                                                               \
  int d0, int d1, int d2, int d3, int d4, int a0, int a1, int a2, int a3, int a4, int b0, int b1,  \
      int b2, int b3, int b4

/* Where row @row begins in the two tensors. */
#define OUTER_OFFSETS(row, a_at, b_at)                                                             \
  int rest = row;                                                                                  \
  const int i4 = rest % d4;                                                                        \
  rest /= d4;                                                                                      \
  const int i3 = rest % d3;                                                                        \
  rest /= d3;                                                                                      \
  const int i2 = rest % d2;                                                                        \
  rest /= d2;                                                                                      \
  const int i1 = rest % d1;                                                                        \
  const int i0 = rest / d1;                                                                        \
  const int a_at = i0 * a0 + i1 * a1 + i2 * a2 + i3 * a3 + i4 * a4;                                \
  const int b_at = i0 * b0 + i1 * b1 + i2 * b2 + i3 * b3 + i4 * b4

/* Broadcasting operands along rows of the dense output; a stride of 0 repeats.
 * Items: (16 elements of a row, row). */
__kernel void eltwise_binary(__global const float *a, int a_offset, __global const float *b,
                             int b_offset, __global float *out, int out_offset, EPILOGUE_PARAMS,
                             int kind, int n_rows, int length, int a_step, int b_step,
                             OUTER_PARAMS) {
  const int c = (int)get_global_id(0) * 16, row = get_global_id(1), n = length - c;
  if (n <= 0 || row >= n_rows)
    return;
  OUTER_OFFSETS(row, a_at, b_at);
  const float16 x = load_strided(a + a_offset + a_at + c * a_step, a_step, n);
  const float16 y = load_strided(b + b_offset + b_at + c * b_step, b_step, n);
  const int at = row * length + c;
  store_n(epilogue16(binary16(kind, x, y), at, 1, n, EPILOGUE_ARGS), out + out_offset + at, n);
}
