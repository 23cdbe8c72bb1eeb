/* Pooling. */

#define POOL_PARAMS                                                                                \
  int planes, int in_h, int in_w, int out_h, int out_w, int kernel_h, int kernel_w, int stride_h,  \
      int stride_w, int dilation_h, int dilation_w, int pad_h, int pad_w, int pad_end_h,           \
      int pad_end_w

/* Items: (16 columns, row, plane). NaN is greater than all. */
__kernel void pool_max(__global const float *x, int x_offset, __global float *out, int out_offset,
                       POOL_PARAMS) {
  const int c = (int)get_global_id(0) * 16, r = get_global_id(1), plane = get_global_id(2);
  if (c >= out_w || r >= out_h || plane >= planes)
    return;
  const int total = planes * in_h * in_w;
  float16 best = -INFINITY;
  for (int i = 0; i < kernel_h; i++) {
    const int y = r * stride_h + i * dilation_h - pad_h;
    if (y < 0 || y >= in_h)
      continue;
    for (int j = 0; j < kernel_w; j++) {
      const float16 v =
          load_row(x + x_offset, (plane * in_h + y) * in_w, c * stride_w + j * dilation_w - pad_w,
                   stride_w, in_w, total, -INFINITY);
      best = select(best, v, isgreater(v, best) | isnan(v));
    }
  }
  store_n(best, out + out_offset + (plane * out_h + r) * out_w + c, out_w - c);
}

/* @include_pad: padding counts as zeros. Items: (16 columns, row, plane). */
__kernel void pool_average(__global const float *x, int x_offset, __global float *out,
                           int out_offset, POOL_PARAMS, int include_pad) {
  const int c = (int)get_global_id(0) * 16, r = get_global_id(1), plane = get_global_id(2);
  if (c >= out_w || r >= out_h || plane >= planes)
    return;
  const int total = planes * in_h * in_w;
  float16 sum = 0.0f;
  int16 count = 0;
  for (int i = 0; i < kernel_h; i++) {
    const int y = r * stride_h + i * dilation_h - pad_h;
    const bool row_inside = y >= 0 && y < in_h;
    if (!row_inside && (!include_pad || y >= in_h + pad_end_h))
      continue;
    for (int j = 0; j < kernel_w; j++) {
      const int col = c * stride_w + j * dilation_w - pad_w;
      if (row_inside)
        sum += load_row(x + x_offset, (plane * in_h + y) * in_w, col, stride_w, in_w, total, 0.0f);
      /* A mask's true is -1. */
      count -= include_pad ? (col + LANES * stride_w) < (in_w + pad_end_w)
                           : row_mask(col, stride_w, in_w);
    }
  }
  const float16 average = select((float16)(0.0f), sum / convert_float16(count), count > 0);
  store_n(average, out + out_offset + (plane * out_h + r) * out_w + c, out_w - c);
}

#define GLOBAL_ITEMS 32

/* Whole planes. Groups: one plane each, items of a group: every 32nd element, then a tree. */
__kernel __attribute__((reqd_work_group_size(GLOBAL_ITEMS, 1, 1))) void
pool_global(__global const float *x, int x_offset, __global float *out, int out_offset, int plane,
            int average) {
  __local float t[GLOBAL_ITEMS];
  const int i = get_local_id(0), at = get_group_id(0);
  x += x_offset + at * plane;
  float s = average ? 0.0f : -INFINITY;
  for (int k = i; k < plane; k += GLOBAL_ITEMS)
    s = average ? s + x[k] : (x[k] > s || isnan(x[k]) ? x[k] : s);
  t[i] = s;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int half_n = GLOBAL_ITEMS / 2; half_n > 0; half_n /= 2) {
    if (i < half_n) {
      const float other = t[i + half_n];
      t[i] = average ? t[i] + other : (other > t[i] || isnan(other) ? other : t[i]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  if (i == 0)
    out[out_offset + at] = average ? t[0] / (float)plane : t[0];
}
