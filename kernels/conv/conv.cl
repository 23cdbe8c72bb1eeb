/* Convolutions. Packed weights: for every group and tile of 8 of its output channels, for every tap
 * (input channel, row, column) the 8 weights; then, in the same order of tiles, 8 biases each. The
 * last tile of a group is filled up with zeros. */

#define ACCUMULATORS(bias)                                                                         \
  float16 s0 = (bias).s0, s1 = (bias).s1, s2 = (bias).s2, s3 = (bias).s3, s4 = (bias).s4,          \
          s5 = (bias).s5, s6 = (bias).s6, s7 = (bias).s7

#define ACCUMULATE(x, w)                                                                           \
  do {                                                                                             \
    s0 += (x) * (w).s0;                                                                            \
    s1 += (x) * (w).s1;                                                                            \
    s2 += (x) * (w).s2;                                                                            \
    s3 += (x) * (w).s3;                                                                            \
    s4 += (x) * (w).s4;                                                                            \
    s5 += (x) * (w).s5;                                                                            \
    s6 += (x) * (w).s6;                                                                            \
    s7 += (x) * (w).s7;                                                                            \
  } while (0)

/* @at: index of the first channel's first element; @plane: elements of a channel; @count: channels;
 * @n: elements of the 16 that exist. */
#define STORE_ALL                                                                                  \
  do {                                                                                             \
    const float16 sums[8] = {s0, s1, s2, s3, s4, s5, s6, s7};                                      \
    ROLLED for (int i = 0; i < min(count, 8); i++)                                                 \
        store_n(epilogue16(sums[i], at + i * plane, n, EPILOGUE_ARGS), out + at + i * plane, n);   \
  } while (0)

/* Kernel 1x1, stride 1, no padding: a matrix product over all positions of a plane.
 * Items: (16 positions, tile of 8 channels, picture). */
__kernel void conv_pointwise(__global const float *x, int x_offset, __global const float *packed,
                             int packed_offset, __global float *out, int out_offset,
                             EPILOGUE_PARAMS, int groups, int group_in, int group_out, int plane) {
  const int p = (int)get_global_id(0) * 16, tile = get_global_id(1), picture = get_global_id(2);
  const int tiles = (group_out + 7) / 8;
  if (p >= plane || tile >= groups * tiles)
    return;
  const int group = tile / tiles, first = tile % tiles * 8, n = plane - p;
  const int count = group_out - first;
  x += x_offset + (picture * groups + group) * group_in * plane + p;
  out += out_offset;
  packed += packed_offset;
  __global const float *w = packed + tile * group_in * 8;
  const float8 bias = vload8(groups * tiles * group_in + tile, packed);
  ACCUMULATORS(bias);
  if (n >= 16)
    for (int k = 0; k < group_in; k++) {
      const float16 v = vload16(0, x + k * plane);
      const float8 wk = vload8(k, w);
      ACCUMULATE(v, wk);
    }
  else
    for (int k = 0; k < group_in; k++) {
      const float16 v = load_n(x + k * plane, n);
      const float8 wk = vload8(k, w);
      ACCUMULATE(v, wk);
    }
  const int at = ((picture * groups + group) * group_out + first) * plane + p;
  STORE_ALL;
}

/* Any kernel, stride, dilation and padding. Items: (16 columns, row, picture and tile of 8). */
__kernel void conv_general(__global const float *x, int x_offset, __global const float *packed,
                           int packed_offset, __global float *out, int out_offset, EPILOGUE_PARAMS,
                           int groups, int group_in, int group_out, int batch, int in_h, int in_w,
                           int out_h, int out_w, int kernel_h, int kernel_w, int stride_h,
                           int stride_w, int dilation_h, int dilation_w, int pad_h, int pad_w) {
  const int c = (int)get_global_id(0) * 16, r = get_global_id(1), z = get_global_id(2);
  const int tiles = (group_out + 7) / 8, in_plane = in_h * in_w, plane = out_h * out_w;
  if (c >= out_w || r >= out_h || z >= batch * groups * tiles)
    return;
  const int picture = z / (groups * tiles), tile = z % (groups * tiles);
  const int group = tile / tiles, first = tile % tiles * 8, n = out_w - c;
  const int count = group_out - first, total = batch * groups * group_in * in_plane;
  const int taps = group_in * kernel_h * kernel_w;
  x += x_offset;
  out += out_offset;
  packed += packed_offset;
  __global const float *w = packed + tile * taps * 8;
  const float8 bias = vload8(groups * tiles * taps + tile, packed);
  ACCUMULATORS(bias);
  for (int k = 0; k < group_in; k++)
    for (int i = 0; i < kernel_h; i++) {
      const int y = r * stride_h + i * dilation_h - pad_h;
      if (y < 0 || y >= in_h)
        continue;
      const int row = ((picture * groups + group) * group_in + k) * in_plane + y * in_w;
      for (int j = 0; j < kernel_w; j++) {
        const float16 v =
            load_row(x, row, c * stride_w + j * dilation_w - pad_w, stride_w, in_w, total);
        const float8 wk = vload8((k * kernel_h + i) * kernel_w + j, w);
        ACCUMULATE(v, wk);
      }
    }
  const int at = ((picture * groups + group) * group_out + first) * plane + r * out_w + c;
  STORE_ALL;
}

/* One input channel per group. Weights: taps of a channel side by side, then the biases.
 * The sizes that networks use get loops of known length: called with constants. */
static float16 depthwise_taps(__global const float *x, __global const float *w, int channel, int r,
                              int c, int total, int in_h, int in_w, int kernel_h, int kernel_w,
                              int stride_h, int stride_w, int dilation_h, int dilation_w, int pad_h,
                              int pad_w) {
  float16 s = 0.0f;
  for (int i = 0; i < kernel_h; i++) {
    const int y = r * stride_h + i * dilation_h - pad_h;
    if (y < 0 || y >= in_h)
      continue;
    for (int j = 0; j < kernel_w; j++)
      s += w[i * kernel_w + j] * load_row(x, (channel * in_h + y) * in_w,
                                          c * stride_w + j * dilation_w - pad_w, stride_w, in_w,
                                          total);
  }
  return s;
}

#define TAPS(kernel_h, kernel_w, stride, dilation)                                                 \
  depthwise_taps(x, w, in_channel, r, c, total, in_h, in_w, kernel_h, kernel_w, stride, stride,    \
                 dilation, dilation, pad_h, pad_w)

/* Items: (16 columns, row, picture and output channel). */
__kernel void conv_depthwise(__global const float *x, int x_offset, __global const float *packed,
                             int packed_offset, __global float *out, int out_offset,
                             EPILOGUE_PARAMS, int groups, int group_in, int group_out, int batch,
                             int in_h, int in_w, int out_h, int out_w, int kernel_h, int kernel_w,
                             int stride_h, int stride_w, int dilation_h, int dilation_w, int pad_h,
                             int pad_w) {
  const int c = (int)get_global_id(0) * 16, r = get_global_id(1), z = get_global_id(2);
  const int channels = groups * group_out;
  if (c >= out_w || r >= out_h || z >= batch * channels)
    return;
  const int channel = z % channels, n = out_w - c;
  const int in_channel = z / channels * groups + channel / group_out;
  const int total = batch * groups * in_h * in_w;
  x += x_offset;
  packed += packed_offset;
  __global const float *w = packed + channel * kernel_h * kernel_w;
  const bool plain = dilation_h == 1 && dilation_w == 1 && stride_h == stride_w;
  float16 s;
  if (plain && kernel_h == 3 && kernel_w == 3 && stride_w == 1)
    s = TAPS(3, 3, 1, 1);
  else if (plain && kernel_h == 3 && kernel_w == 3 && stride_w == 2)
    s = TAPS(3, 3, 2, 1);
  else if (plain && kernel_h == 5 && kernel_w == 5 && stride_w == 1)
    s = TAPS(5, 5, 1, 1);
  else
    s = depthwise_taps(x, w, in_channel, r, c, total, in_h, in_w, kernel_h, kernel_w, stride_h,
                       stride_w, dilation_h, dilation_w, pad_h, pad_w);
  s += packed[channels * kernel_h * kernel_w + channel];
  const int at = z * out_h * out_w + r * out_w + c;
  store_n(epilogue16(s, at, n, EPILOGUE_ARGS), out + out_offset + at, n);
}

/* Transposed: each output element gathers the input elements whose kernels reach it. Weights: input
 * channel, output channel of the group, row, column; then the biases.
 * Items: (column, row, picture and output channel). */
__kernel void conv_transpose(__global const float *x, int x_offset, __global const float *packed,
                             int packed_offset, __global float *out, int out_offset,
                             EPILOGUE_PARAMS, int groups, int group_in, int group_out, int batch,
                             int in_h, int in_w, int out_h, int out_w, int kernel_h, int kernel_w,
                             int stride_h, int stride_w, int dilation_h, int dilation_w, int pad_h,
                             int pad_w) {
  const int c = get_global_id(0), r = get_global_id(1), z = get_global_id(2);
  const int channels = groups * group_out;
  if (c >= out_w || r >= out_h || z >= batch * channels)
    return;
  const int channel = z % channels, group = channel / group_out;
  const int kernel_size = kernel_h * kernel_w, in_plane = in_h * in_w;
  packed += packed_offset;
  x += x_offset + (z / channels * groups + group) * group_in * in_plane;
  __global const float *w =
      packed + (group * group_in * group_out + channel % group_out) * kernel_size;
  float s = packed[groups * group_in * group_out * kernel_size + channel];
  for (int i = 0; i < kernel_h; i++) {
    const int y = r + pad_h - i * dilation_h;
    if (y < 0 || y % stride_h != 0 || y / stride_h >= in_h)
      continue;
    for (int j = 0; j < kernel_w; j++) {
      const int col = c + pad_w - j * dilation_w;
      if (col < 0 || col % stride_w != 0 || col / stride_w >= in_w)
        continue;
      __global const float *from = x + y / stride_h * in_w + col / stride_w;
      __global const float *tap = w + i * kernel_w + j;
      for (int k = 0; k < group_in; k++)
        s += from[k * in_plane] * tap[k * group_out * kernel_size];
    }
  }
  const int at = z * out_h * out_w + r * out_w + c;
  out[out_offset + at] = epilogue1(s, at, EPILOGUE_ARGS);
}
