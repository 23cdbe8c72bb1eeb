/* Convolutions. Packed weights: for every group and tile of 8 of its output channels, for every tap
 * (row, column, input channel) the 8 weights; then, in the same order of tiles, 8 biases each. The
 * last tile of a group is filled up with zeros. */

#define ACCUMULATORS(bias)                                                                         \
  float16 s0 = (bias).s0, s1 = (bias).s1, s2 = (bias).s2, s3 = (bias).s3, s4 = (bias).s4,          \
          s5 = (bias).s5, s6 = (bias).s6, s7 = (bias).s7

/* @w: the 8 weights of a tap. One by one, so that they become operands in memory of the products
 * and no shuffles of a register. */
#define ACCUMULATE(x, w)                                                                           \
  do {                                                                                             \
    s0 += (x) * (w)[0];                                                                            \
    s1 += (x) * (w)[1];                                                                            \
    s2 += (x) * (w)[2];                                                                            \
    s3 += (x) * (w)[3];                                                                            \
    s4 += (x) * (w)[4];                                                                            \
    s5 += (x) * (w)[5];                                                                            \
    s6 += (x) * (w)[6];                                                                            \
    s7 += (x) * (w)[7];                                                                            \
  } while (0)

/* @at: index of the first channel's first element; @plane: elements of a channel; @count: channels;
 * @n: elements of the 16 that exist. */
#define STORE_ALL                                                                                  \
  do {                                                                                             \
    const float16 sums[8] = {s0, s1, s2, s3, s4, s5, s6, s7};                                      \
    ROLLED for (int i = 0; i < min(count, 8); i++) store_n(                                        \
        epilogue16(sums[i], at + i * plane, 1, n, EPILOGUE_ARGS), out + at + i * plane, n);        \
  } while (0)

/* The first of the 16 positions of an item; the last item of a plane shares some with the one before,
 * so that it has 16 too: both compute the same. */
static int first_position(int item, int plane) {
  return min(item * 16, max(plane - 16, 0));
}

/* Kernel 1x1, stride 1, no padding: a matrix product over all positions of a plane.
 * Items: (16 positions, tile of 8 channels, picture). */
__kernel void conv_pointwise(__global const float *x, int x_offset, __global const float *packed,
                             int packed_offset, __global float *out, int out_offset,
                             EPILOGUE_PARAMS, int groups, int group_in, int group_out, int plane) {
  const int p = first_position(get_global_id(0), plane);
  const int tile = get_global_id(1), picture = get_global_id(2);
  const int tiles = (group_out + 7) / 8;
  if ((int)get_global_id(0) * 16 >= plane || tile >= groups * tiles)
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
      __global const float *wk = w + k * 8;
      ACCUMULATE(v, wk);
    }
  else
    for (int k = 0; k < group_in; k++) {
      const float16 v = load_n(x + k * plane, n);
      __global const float *wk = w + k * 8;
      ACCUMULATE(v, wk);
    }
  const int at = ((picture * groups + group) * group_out + first) * plane + p;
  STORE_ALL;
}

/* Whether every load of a work item stays inside the tensor: its rows [y0, y1) of planes first to
 * last, at columns x0 to x1 + 15 strides. Loads past a row's ends are masked. */
static bool loads_inside(int first, int last, int in_h, int in_w, int y0, int y1, int x0, int x1,
                         int stride, int total) {
  return stride <= 2 && (first * in_h + y0) * in_w + x0 >= 0 &&
         (last * in_h + y1 - 1) * in_w + x1 + 16 * stride <= total;
}

#define WINDOW_PARAMS                                                                              \
  int groups, int group_in, int group_out, int batch, int in_h, int in_w, int out_h, int out_w,    \
      int kernel_h, int kernel_w, int stride_h, int stride_w, int dilation_h, int dilation_w,      \
      int pad_h, int pad_w

/* Where the output is as large as the input and the stride 1, neighbours in the plane of the output
 * have neighbours as inputs, across the ends of rows too; what lies outside is masked.
 * Items: (16 positions, tile of 8 channels, picture). */
__kernel void conv_same(__global const float *x, int x_offset, __global const float *packed,
                        int packed_offset, __global float *out, int out_offset, EPILOGUE_PARAMS,
                        WINDOW_PARAMS) {
  const int plane = out_h * out_w, p = first_position(get_global_id(0), plane);
  const int tile = get_global_id(1), picture = get_global_id(2), tiles = (group_out + 7) / 8;
  if ((int)get_global_id(0) * 16 >= plane || tile >= groups * tiles)
    return;
  const int group = tile / tiles, first = tile % tiles * 8, n = plane - p;
  const int count = group_out - first, taps = group_in * kernel_h * kernel_w;
  const int total = batch * groups * group_in * plane;
  const int in_first = (picture * groups + group) * group_in;
  const int16 rows = (p + LANES) / out_w, columns = p + LANES - rows * out_w;
  x += x_offset;
  out += out_offset;
  packed += packed_offset;
  __global const float *w = packed + tile * taps * 8;
  const float8 bias = vload8(groups * tiles * taps + tile, packed);
  ACCUMULATORS(bias);
  for (int i = 0; i < kernel_h; i++)
    for (int j = 0; j < kernel_w; j++, w += group_in * 8) {
      const int dy = i * dilation_h - pad_h, dx = j * dilation_w - pad_w;
      const int16 ys = rows + dy, xs = columns + dx;
      const int16 mask = (ys >= 0) & (ys < in_h) & (xs >= 0) & (xs < in_w);
      if (!any(mask))
        continue;
      for (int k = 0; k < group_in; k++) {
        const int at = (in_first + k) * plane + p + dy * in_w + dx;
        const float16 v = load_inside(x, at, mask, total);
        __global const float *wk = w + k * 8;
        ACCUMULATE(v, wk);
      }
    }
  const int at = ((picture * groups + group) * group_out + first) * plane + p;
  STORE_ALL;
}

/* Any kernel, stride, dilation and padding. Items: (16 columns, row, picture and tile of 8). */
__kernel void conv_general(__global const float *x, int x_offset, __global const float *packed,
                           int packed_offset, __global float *out, int out_offset, EPILOGUE_PARAMS,
                           WINDOW_PARAMS) {
  const int c = (int)get_global_id(0) * 16, r = get_global_id(1), z = get_global_id(2);
  const int tiles = (group_out + 7) / 8, plane = out_h * out_w;
  if (c >= out_w || r >= out_h || z >= batch * groups * tiles)
    return;
  const int picture = z / (groups * tiles), tile = z % (groups * tiles);
  const int group = tile / tiles, first = tile % tiles * 8, n = out_w - c;
  const int count = group_out - first, total = batch * groups * group_in * in_h * in_w;
  const int taps = group_in * kernel_h * kernel_w, in_first = (picture * groups + group) * group_in;
  const int y0 = r * stride_h - pad_h, x0 = c * stride_w - pad_w;
  const bool inside = loads_inside(in_first, in_first + group_in - 1, in_h, in_w, max(y0, 0),
                                   min(y0 + (kernel_h - 1) * dilation_h + 1, in_h), x0,
                                   x0 + (kernel_w - 1) * dilation_w, stride_w, total);
  x += x_offset;
  out += out_offset;
  packed += packed_offset;
  __global const float *w = packed + tile * taps * 8;
  const float8 bias = vload8(groups * tiles * taps + tile, packed);
  ACCUMULATORS(bias);
  for (int i = 0; i < kernel_h; i++) {
    const int y = y0 + i * dilation_h;
    if (y < 0 || y >= in_h)
      continue;
    for (int j = 0; j < kernel_w; j++) {
      const int col = x0 + j * dilation_w;
      const int16 mask = row_mask(col, stride_w, in_w);
      for (int k = 0; k < group_in; k++) {
        const int row = ((in_first + k) * in_h + y) * in_w;
        const float16 v = inside ? load_masked(x + row + col, stride_w, mask, 0.0f)
                                 : load_row(x, row, col, stride_w, in_w, total, 0.0f);
        __global const float *wk = w + ((i * kernel_w + j) * group_in + k) * 8;
        ACCUMULATE(v, wk);
      }
    }
  }
  const int at = ((picture * groups + group) * group_out + first) * plane + r * out_w + c;
  STORE_ALL;
}

/* The window of one plane for 16 columns, @inside as loads_inside() says. */
static float16 depthwise_taps(__global const float *x, __global const float *w, bool inside,
                              int plane, int y0, int x0, int total, int in_h, int in_w,
                              int kernel_h, int kernel_w, int stride, int dilation_h,
                              int dilation_w) {
  float16 s = 0.0f;
  for (int j = 0; j < kernel_w; j++) {
    const int col = x0 + j * dilation_w;
    const int16 mask = row_mask(col, stride, in_w);
    for (int i = 0; i < kernel_h; i++) {
      const int y = y0 + i * dilation_h, row = (plane * in_h + y) * in_w;
      if (y < 0 || y >= in_h)
        continue;
      s += w[i * kernel_w + j] * (inside ? load_masked(x + row + col, stride, mask, 0.0f)
                                         : load_row(x, row, col, stride, in_w, total, 0.0f));
    }
  }
  return s;
}

#define TAPS(kernel_h, kernel_w, stride)                                                           \
  depthwise_taps(x, w, true, in_plane, y0, x0, total, in_h, in_w, kernel_h, kernel_w, stride, 1, 1)

/* One input channel per group. Weights: taps of a channel side by side, then the biases. The sizes
 * that networks use get loops of known length: called with constants.
 * Items: (16 columns, row, picture and output channel). */
__kernel void conv_depthwise(__global const float *x, int x_offset, __global const float *packed,
                             int packed_offset, __global float *out, int out_offset,
                             EPILOGUE_PARAMS, WINDOW_PARAMS) {
  const int c = (int)get_global_id(0) * 16, r = get_global_id(1), z = get_global_id(2);
  const int channels = groups * group_out;
  if (c >= out_w || r >= out_h || z >= batch * channels)
    return;
  const int channel = z % channels, n = out_w - c;
  const int in_plane = z / channels * groups + channel / group_out;
  const int total = batch * groups * in_h * in_w;
  const int y0 = r * stride_h - pad_h, x0 = c * stride_w - pad_w;
  const bool inside = loads_inside(in_plane, in_plane, in_h, in_w, max(y0, 0),
                                   min(y0 + (kernel_h - 1) * dilation_h + 1, in_h), x0,
                                   x0 + (kernel_w - 1) * dilation_w, stride_w, total);
  const bool plain = inside && dilation_h == 1 && dilation_w == 1 && kernel_h == kernel_w;
  x += x_offset;
  packed += packed_offset;
  __global const float *w = packed + channel * kernel_h * kernel_w;
  float16 s;
  if (plain && kernel_w == 3 && stride_w == 1)
    s = TAPS(3, 3, 1);
  else if (plain && kernel_w == 3 && stride_w == 2)
    s = TAPS(3, 3, 2);
  else if (plain && kernel_w == 5 && stride_w == 1)
    s = TAPS(5, 5, 1);
  else
    s = depthwise_taps(x, w, inside, in_plane, y0, x0, total, in_h, in_w, kernel_h, kernel_w,
                       stride_w, dilation_h, dilation_w);
  s += packed[channels * kernel_h * kernel_w + channel];
  const int at = z * out_h * out_w + r * out_w + c;
  store_n(epilogue16(s, at, 1, n, EPILOGUE_ARGS), out + out_offset + at, n);
}

/* Transposed: each output element gathers the input elements whose kernels reach it. Weights: input
 * channel, output channel of the group, row, column; then the biases. The columns of an item are
 * stride_w apart: the same taps reach all, from neighbouring input columns.
 * Items: (16 columns of a phase, phases one behind the other; row; picture and output channel). */
__kernel void conv_transpose(__global const float *x, int x_offset, __global const float *packed,
                             int packed_offset, __global float *out, int out_offset,
                             EPILOGUE_PARAMS, WINDOW_PARAMS) {
  const int g = get_global_id(0), r = get_global_id(1), z = get_global_id(2);
  const int channels = groups * group_out, phase = g % stride_w, t = g / stride_w * 16;
  const int c = phase + t * stride_w;
  if (c >= out_w || r >= out_h || z >= batch * channels)
    return;
  const int channel = z % channels, group = channel / group_out, n = (out_w - c - 1) / stride_w + 1;
  const int kernel_size = kernel_h * kernel_w, in_plane = in_h * in_w;
  const int in_first = (z / channels * groups + group) * group_in;
  const int total = batch * groups * group_in * in_plane;
  packed += packed_offset;
  x += x_offset;
  __global const float *w =
      packed + (group * group_in * group_out + channel % group_out) * kernel_size;
  float16 s = packed[groups * group_in * group_out * kernel_size + channel];
  for (int i = 0; i < kernel_h; i++) {
    const int y = r + pad_h - i * dilation_h;
    if (y < 0 || y % stride_h != 0 || y / stride_h >= in_h)
      continue;
    for (int j = 0; j < kernel_w; j++) {
      const int from = phase + pad_w - j * dilation_w;
      if (from % stride_w != 0)
        continue;
      const int col = from / stride_w + t, row = in_first * in_plane + y / stride_h * in_w;
      __global const float *tap = w + i * kernel_w + j;
      for (int k = 0; k < group_in; k++)
        s += tap[k * group_out * kernel_size] *
             load_row(x, row + k * in_plane, col, 1, in_w, total, 0.0f);
    }
  }
  const int at = z * out_h * out_w + r * out_w + c;
  store_strided(epilogue16(s, at, stride_w, n, EPILOGUE_ARGS), out + out_offset + at, stride_w, n);
}
