/* Resizing planes. */

enum { COORD_HALF_PIXEL, COORD_PYTORCH_HALF_PIXEL, COORD_ALIGN_CORNERS, COORD_ASYMMETRIC };
enum { NEAREST_ROUND_PREFER_FLOOR, NEAREST_ROUND_PREFER_CEIL, NEAREST_FLOOR, NEAREST_CEIL };

/* Where in the input output positions @i lie; @scale: output size per input size. */
static float16 resize_coordinates(int kind, float16 i, int in_size, int out_size, float scale) {
  switch (kind) {
  case COORD_PYTORCH_HALF_PIXEL:
    return out_size > 1 ? (i + 0.5f) / scale - 0.5f : (float16)(0.0f);
  case COORD_ALIGN_CORNERS:
    return out_size > 1 ? i * (float)(in_size - 1) / (float)(out_size - 1) : (float16)(0.0f);
  case COORD_ASYMMETRIC:
    return i / scale;
  }
  return (i + 0.5f) / scale - 0.5f;
}

static int16 resize_nearest_indices(int rounding, float16 x, int size) {
  float16 r = ceil(x - 0.5f); /* a half goes down */
  if (rounding == NEAREST_ROUND_PREFER_CEIL)
    r = floor(x + 0.5f);
  else if (rounding == NEAREST_FLOOR)
    r = floor(x);
  else if (rounding == NEAREST_CEIL)
    r = ceil(x);
  return convert_int16(clamp(r, 0.0f, (float)(size - 1)));
}

static float16 resize_gather(__global const float *p, int16 index) {
  int at[16];
  float t[16];
  vstore16(index, 0, at);
  for (int i = 0; i < 16; i++)
    t[i] = p[at[i]];
  return vload16(0, t);
}

#define RESIZE_PARAMS                                                                              \
  int planes, int in_h, int in_w, int out_h, int out_w, float scale_h, float scale_w, int kind

/* Items: (16 columns, row, plane). Columns behind the last are computed and not stored. */
__kernel void resize_nearest(__global const float *x, int x_offset, __global float *out,
                             int out_offset, RESIZE_PARAMS, int rounding) {
  const int c = (int)get_global_id(0) * 16, r = get_global_id(1), plane = get_global_id(2);
  if (c >= out_w || r >= out_h || plane >= planes)
    return;
  const float16 fy = resize_coordinates(kind, (float16)((float)r), in_h, out_h, scale_h);
  const float16 fx = resize_coordinates(kind, convert_float16(c + LANES), in_w, out_w, scale_w);
  const int y = resize_nearest_indices(rounding, fy, in_h).s0;
  const int16 cols = resize_nearest_indices(rounding, fx, in_w);
  const float16 v = resize_gather(x + x_offset + (plane * in_h + y) * in_w, cols);
  store_n(v, out + out_offset + (plane * out_h + r) * out_w + c, out_w - c);
}

/* Items: as above. */
__kernel void resize_linear(__global const float *x, int x_offset, __global float *out,
                            int out_offset, RESIZE_PARAMS) {
  const int c = (int)get_global_id(0) * 16, r = get_global_id(1), plane = get_global_id(2);
  if (c >= out_w || r >= out_h || plane >= planes)
    return;
  const float fy = clamp(resize_coordinates(kind, (float16)((float)r), in_h, out_h, scale_h).s0,
                         0.0f, (float)(in_h - 1));
  const float16 fx =
      clamp(resize_coordinates(kind, convert_float16(c + LANES), in_w, out_w, scale_w), 0.0f,
            (float)(in_w - 1));
  const int y0 = (int)fy, y1 = min(y0 + 1, in_h - 1);
  const int16 x0 = convert_int16(fx), x1 = min(x0 + 1, in_w - 1);
  const float wy = fy - (float)y0;
  const float16 wx = fx - convert_float16(x0);
  __global const float *top = x + x_offset + (plane * in_h + y0) * in_w;
  __global const float *bottom = x + x_offset + (plane * in_h + y1) * in_w;
  const float16 t = resize_gather(top, x0) * (1.0f - wx) + resize_gather(top, x1) * wx;
  const float16 b = resize_gather(bottom, x0) * (1.0f - wx) + resize_gather(bottom, x1) * wx;
  store_n(t * (1.0f - wy) + b * wy, out + out_offset + (plane * out_h + r) * out_w + c, out_w - c);
}
