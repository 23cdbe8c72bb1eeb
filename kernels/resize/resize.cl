/* Resizing planes. */

enum { COORD_HALF_PIXEL, COORD_PYTORCH_HALF_PIXEL, COORD_ALIGN_CORNERS, COORD_ASYMMETRIC };
enum { NEAREST_ROUND_PREFER_FLOOR, NEAREST_ROUND_PREFER_CEIL, NEAREST_FLOOR, NEAREST_CEIL };

/* Where in the input output position @i lies; @scale: output size per input size. */
static float resize_coordinate(int kind, int i, int in_size, int out_size, float scale) {
  switch (kind) {
  case COORD_PYTORCH_HALF_PIXEL:
    return out_size > 1 ? ((float)i + 0.5f) / scale - 0.5f : 0.0f;
  case COORD_ALIGN_CORNERS:
    return out_size > 1 ? (float)i * (float)(in_size - 1) / (float)(out_size - 1) : 0.0f;
  case COORD_ASYMMETRIC:
    return (float)i / scale;
  }
  return ((float)i + 0.5f) / scale - 0.5f;
}

static int resize_nearest_index(int rounding, float x, int size) {
  float r = ceil(x - 0.5f); /* a half goes down */
  if (rounding == NEAREST_ROUND_PREFER_CEIL)
    r = floor(x + 0.5f);
  else if (rounding == NEAREST_FLOOR)
    r = floor(x);
  else if (rounding == NEAREST_CEIL)
    r = ceil(x);
  return clamp((int)r, 0, size - 1);
}

#define RESIZE_PARAMS                                                                              \
  int planes, int in_h, int in_w, int out_h, int out_w, float scale_h, float scale_w, int kind

/* Items: (column, row, plane). */
__kernel void resize_nearest(__global const float *x, int x_offset, __global float *out,
                             int out_offset, RESIZE_PARAMS, int rounding) {
  const int c = get_global_id(0), r = get_global_id(1), plane = get_global_id(2);
  if (c >= out_w || r >= out_h || plane >= planes)
    return;
  const int y =
      resize_nearest_index(rounding, resize_coordinate(kind, r, in_h, out_h, scale_h), in_h);
  const int col =
      resize_nearest_index(rounding, resize_coordinate(kind, c, in_w, out_w, scale_w), in_w);
  out[out_offset + (plane * out_h + r) * out_w + c] = x[x_offset + (plane * in_h + y) * in_w + col];
}

/* Items: (column, row, plane). */
__kernel void resize_linear(__global const float *x, int x_offset, __global float *out,
                            int out_offset, RESIZE_PARAMS) {
  const int c = get_global_id(0), r = get_global_id(1), plane = get_global_id(2);
  if (c >= out_w || r >= out_h || plane >= planes)
    return;
  const float fy = clamp(resize_coordinate(kind, r, in_h, out_h, scale_h), 0.0f, (float)(in_h - 1));
  const float fx = clamp(resize_coordinate(kind, c, in_w, out_w, scale_w), 0.0f, (float)(in_w - 1));
  const int y0 = (int)fy, x0 = (int)fx, y1 = min(y0 + 1, in_h - 1), x1 = min(x0 + 1, in_w - 1);
  const float wy = fy - (float)y0, wx = fx - (float)x0;
  x += x_offset + plane * in_h * in_w;
  const float top = x[y0 * in_w + x0] * (1.0f - wx) + x[y0 * in_w + x1] * wx;
  const float bottom = x[y1 * in_w + x0] * (1.0f - wx) + x[y1 * in_w + x1] * wx;
  out[out_offset + (plane * out_h + r) * out_w + c] = top * (1.0f - wy) + bottom * wy;
}
