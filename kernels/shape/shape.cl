/* Moving elements. */

/* Rows of @length elements at any stride from one tensor to the other; see OUTER_PARAMS: a is the
 * input, b the output. Items: (16 elements of a row, row). */
__kernel void shape_copy(__global const float *in, int in_offset, __global float *out,
                         int out_offset, int n_rows, int length, int in_step, int out_step,
                         OUTER_PARAMS) {
  const int c = (int)get_global_id(0) * 16, row = get_global_id(1), n = length - c;
  if (n <= 0 || row >= n_rows)
    return;
  OUTER_OFFSETS(row, in_at, out_at);
  const float16 v = load_strided(in + in_offset + in_at + c * in_step, in_step, n);
  store_strided(v, out + out_offset + out_at + c * out_step, out_step, n);
}

/* Items: (16 elements). */
__kernel void shape_fill(__global float *out, int out_offset, int count, float value) {
  const int at = (int)get_global_id(0) * 16;
  if (at < count)
    store_n((float16)(value), out + out_offset + at, count - at);
}
