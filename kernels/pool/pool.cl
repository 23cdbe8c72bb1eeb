/* Pooling. */

#define POOL_PARAMS                                                                                \
  int planes, int in_h, int in_w, int out_h, int out_w, int kernel_h, int kernel_w, int stride_h,  \
      int stride_w, int dilation_h, int dilation_w, int pad_h, int pad_w, int pad_end_h,           \
      int pad_end_w

/* Items: (column, row, plane). NaN is greater than all. */
__kernel void pool_max(__global const float *x, int x_offset, __global float *out, int out_offset,
                       POOL_PARAMS) {
  const int c = get_global_id(0), r = get_global_id(1), plane = get_global_id(2);
  if (c >= out_w || r >= out_h || plane >= planes)
    return;
  x += x_offset + plane * in_h * in_w;
  float best = -INFINITY;
  for (int i = 0; i < kernel_h; i++) {
    const int y = r * stride_h + i * dilation_h - pad_h;
    if (y < 0 || y >= in_h)
      continue;
    for (int j = 0; j < kernel_w; j++) {
      const int col = c * stride_w + j * dilation_w - pad_w;
      if (col < 0 || col >= in_w)
        continue;
      const float v = x[y * in_w + col];
      best = v > best || isnan(v) ? v : best;
    }
  }
  out[out_offset + (plane * out_h + r) * out_w + c] = best;
}

/* @include_pad: padding counts as zeros. Items: (column, row, plane). */
__kernel void pool_average(__global const float *x, int x_offset, __global float *out,
                           int out_offset, POOL_PARAMS, int include_pad) {
  const int c = get_global_id(0), r = get_global_id(1), plane = get_global_id(2);
  if (c >= out_w || r >= out_h || plane >= planes)
    return;
  x += x_offset + plane * in_h * in_w;
  float sum = 0.0f;
  int count = 0;
  for (int i = 0; i < kernel_h; i++) {
    const int y = r * stride_h + i * dilation_h - pad_h;
    for (int j = 0; j < kernel_w; j++) {
      const int col = c * stride_w + j * dilation_w - pad_w;
      const bool inside = y >= 0 && y < in_h && col >= 0 && col < in_w;
      if (inside)
        sum += x[y * in_w + col];
      count += inside || (include_pad && y < in_h + pad_end_h && col < in_w + pad_end_w);
    }
  }
  out[out_offset + (plane * out_h + r) * out_w + c] = count > 0 ? sum / (float)count : 0.0f;
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
