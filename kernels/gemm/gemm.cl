/* Matrix products: out[m][n] = alpha * sum over k of a[m][k] * b[k][n] + beta * c[m][n], for @batch
 * of them. Any strides; one of 0 repeats. Without c beta is 0. */

#define GEMM_PARAMS                                                                                \
  int batch, int m_size, int n_size, int k_size, int a_batch, int a_row, int a_col, int b_batch,   \
      int b_row, int b_col, int c_row, int c_col, float alpha, float beta

#define GEMM_ROW(i)                                                                                \
  if (m + i < m_size) {                                                                            \
    const int at = (z * m_size + m + i) * n_size + c0;                                             \
    float16 v = s##i * alpha;                                                                      \
    if (beta != 0.0f)                                                                              \
      v += beta * load_strided(c + c_offset + (m + i) * c_row + c0 * c_col, c_col, n);             \
    store_n(epilogue16(v, at, 1, n, EPILOGUE_ARGS), out + out_offset + at, n);                     \
  }

/* Items: (16 columns, 4 rows, matrix). */
__kernel void gemm_tile(__global const float *a, int a_offset, __global const float *b,
                        int b_offset, __global const float *c, int c_offset, __global float *out,
                        int out_offset, EPILOGUE_PARAMS, GEMM_PARAMS) {
  const int c0 = (int)get_global_id(0) * 16, m = (int)get_global_id(1) * 4, z = get_global_id(2);
  const int n = n_size - c0, last = m_size - 1;
  if (n <= 0 || m >= m_size || z >= batch)
    return;
  a += a_offset + z * a_batch;
  b += b_offset + z * b_batch + c0 * b_col;
  __global const float *a0 = a + m * a_row, *a1 = a + min(m + 1, last) * a_row,
                       *a2 = a + min(m + 2, last) * a_row, *a3 = a + min(m + 3, last) * a_row;
  float16 s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
  for (int k = 0; k < k_size; k++) {
    const float16 v = load_strided(b + k * b_row, b_col, n);
    s0 += a0[k * a_col] * v;
    s1 += a1[k * a_col] * v;
    s2 += a2[k * a_col] * v;
    s3 += a3[k * a_col] * v;
  }
  GEMM_ROW(0)
  GEMM_ROW(1)
  GEMM_ROW(2)
  GEMM_ROW(3)
}

static float sum16(float16 v) {
  const float8 a = v.lo + v.hi;
  const float4 b = a.lo + a.hi;
  const float2 c = b.lo + b.hi;
  return c.x + c.y;
}

/* Rows of a and columns of b dense (b transposed). Items: (column, row, matrix). */
__kernel void gemm_dot(__global const float *a, int a_offset, __global const float *b, int b_offset,
                       __global const float *c, int c_offset, __global float *out, int out_offset,
                       EPILOGUE_PARAMS, GEMM_PARAMS) {
  const int n = get_global_id(0), m = get_global_id(1), z = get_global_id(2);
  if (n >= n_size || m >= m_size || z >= batch)
    return;
  a += a_offset + z * a_batch + m * a_row;
  b += b_offset + z * b_batch + n * b_col;
  float16 s = 0.0f;
  int k = 0;
  for (; k + 16 <= k_size; k += 16)
    s += vload16(0, a + k) * vload16(0, b + k);
  if (k < k_size)
    s += load_n(a + k, k_size - k) * load_n(b + k, k_size - k);
  const int at = (z * m_size + m) * n_size + n;
  float v = sum16(s) * alpha;
  if (beta != 0.0f)
    v += beta * c[c_offset + m * c_row + n * c_col];
  out[out_offset + at] = epilogue1(v, at, EPILOGUE_ARGS);
}
