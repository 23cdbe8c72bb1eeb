/* Items: (inner index, outer index). The maximum is taken off first, so that nothing overflows. */
__kernel void norm_softmax(__global const float *x, int x_offset, __global float *out,
                           int out_offset, int outer, int length, int inner) {
  const int i = get_global_id(0), o = get_global_id(1);
  if (i >= inner || o >= outer)
    return;
  const int first = o * length * inner + i;
  x += x_offset + first;
  out += out_offset + first;
  float largest = -INFINITY, sum = 0.0f;
  for (int k = 0; k < length; k++)
    largest = fmax(largest, x[k * inner]);
  for (int k = 0; k < length; k++)
    sum += exp(x[k * inner] - largest);
  for (int k = 0; k < length; k++)
    out[k * inner] = exp(x[k * inner] - largest) / sum;
}
