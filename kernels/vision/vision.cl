/* How much of pixel @i lies between @low and @high. */
static float picture_overlap(int i, float low, float high) {
  return fmax(0.0f, fmin((float)(i + 1), high) - fmax((float)i, low));
}

/* What the weights of an axis are divided by: the box where outside is black, else their sum. */
static float picture_divisor(int first, int last, float low, float high, int black) {
  if (black)
    return high - low;
  float sum = 0.0f;
  for (int i = first; i < last; i++)
    sum += picture_overlap(i, low, high);
  return sum;
}

/* Weighted average of the picture's pixels in a box, see LcipPictureToTensor. Item (0, 0) also
 * writes the transform where there is room for it. Items: (column, row) of the tensor. */
__kernel void vision_picture_to_tensor(__global const uchar *picture, int picture_offset,
                                       __global float *out, int out_offset,
                                       __global float *transform, int transform_offset,
                                       int has_transform, int picture_w, int picture_h, int w,
                                       int h, int pixel_step, int channel_step, int first_channel,
                                       int last_channel, float gain_x, float begin_x, float gain_y,
                                       float begin_y, float box_x, float box_y, int black_x,
                                       int black_y, float mean0, float mean1, float mean2,
                                       float scale0, float scale1, float scale2) {
/* Places are differences of large numbers: rounded once more or less, they miss the reference's. */
#pragma OPENCL FP_CONTRACT OFF
  const int x = get_global_id(0), y = get_global_id(1);
  if (x >= w || y >= h)
    return;
  if (x == 0 && y == 0 && has_transform) {
    transform += transform_offset;
    vstore3((float3)(gain_x, 0.0f, begin_x), 0, transform);
    vstore3((float3)(0.0f, gain_y, begin_y), 1, transform);
  }
  const float px = gain_x * ((float)x + 0.5f) + begin_x, py = gain_y * ((float)y + 0.5f) + begin_y;
  const float left = px - 0.5f * box_x, right = px + 0.5f * box_x;
  const float top = py - 0.5f * box_y, bottom = py + 0.5f * box_y;
  const int x0 = clamp((int)left, 0, picture_w), x1 = clamp((int)right + 1, 0, picture_w);
  const int y0 = clamp((int)top, 0, picture_h), y1 = clamp((int)bottom + 1, 0, picture_h);
  const float columns = picture_divisor(x0, x1, left, right, black_x);
  const float rows = picture_divisor(y0, y1, top, bottom, black_y);
  float3 sum = 0.0f;
  for (int i = x0; i < x1; i++) {
    float3 column = 0.0f;
    for (int j = y0; j < y1; j++)
      column += picture_overlap(j, top, bottom) *
                convert_float3(vload3(j * picture_w + i, picture + picture_offset));
    sum += picture_overlap(i, left, right) * column;
  }
  const float area = columns * rows;
  sum = area > 0.0f ? sum / area : (float3)(0.0f);
  out += out_offset + (y * w + x) * pixel_step;
  out[0] = ((first_channel == 0 ? sum.x : sum.z) - mean0) * scale0;
  out[channel_step] = (sum.y - mean1) * scale1;
  out[2 * channel_step] = ((last_channel == 2 ? sum.z : sum.x) - mean2) * scale2;
}
