#include "config.h"
#include "lcip-vision-private.h"

#include <string.h>

/* Separable weighted average, as lcip-vision-private.h defines it: for each row of the tensor the
 * picture's rows are summed into one row of floats, then the columns of that. Exact in f32 up to
 * the order of the sums, which is fixed: rows from the top, then columns from the left. */

/* The picture columns that a tensor column averages: weights[first + i] for i below n. */
typedef struct {
  int start, n;
  gsize first;
} Taps;

typedef struct {
  LcipPictureToTensor geometry;
  const guint8 *picture;
  int picture_width, picture_height;
  float *out;
  const Taps *columns;
  const float *weights;
  float *rows; /* per worker: picture_width * 3 */
  gsize row_elems;
} Resize;

/* How much of pixel @i lies between @low and @high. */
static float overlap(int i, float low, float high) {
  return MAX(0.0f, MIN((float)(i + 1), high) - MAX((float)i, low));
}

/* Weights of one tensor coordinate; at most box + 2 of them. Those outside the picture are left
 * out: black adds nothing to a sum. */
static int axis_weights(float centre, float box, int size, gboolean black, int *start,
                        float *weights) {
  const float low = centre - 0.5f * box, high = centre + 0.5f * box;
  const int first = CLAMP((int)low, 0, size), last = CLAMP((int)high + 1, 0, size);
  float sum = 0;
  int n = 0;
  *start = first;
  for (int i = first; i < last; i++, n++) {
    weights[n] = overlap(i, low, high);
    sum += weights[n];
  }
  const float divisor = black ? box : sum;
  for (int i = 0; i < n; i++)
    weights[i] = divisor > 0 ? weights[i] / divisor : 0.0f;
  return n;
}

static gsize max_taps(float box) {
  return (gsize)box + 3;
}

static gsize align(gsize size_bytes) {
  return (size_bytes + LCIP_TENSOR_ALIGN - 1) / LCIP_TENSOR_ALIGN * LCIP_TENSOR_ALIGN;
}

/* Bounds for every picture up to the planned size: its box is never larger than the planned one's
 * on the longer axis. */
static gsize scratch_bytes(const LcipStep *step, const LcipPortFormats *formats, guint workers) {
  const gint64 *dims = step->inputs[0].shape.dims;
  const gsize width = (gsize)lcip_attrs_get_int(step->attrs, "width");
  const gsize height = (gsize)lcip_attrs_get_int(step->attrs, "height");
  const float box = MAX((float)dims[1] / (float)width, (float)dims[0] / (float)height);
  return align(width * sizeof(Taps)) + align(width * max_taps(box) * sizeof(float)) +
         workers * (align((gsize)dims[1] * 3 * sizeof(float)));
}

/* acc += weight * row, bytes to floats. */
static void add_row(float *restrict acc, const guint8 *restrict row, float weight, int n) {
  for (int i = 0; i < n; i++)
    acc[i] += weight * (float)row[i];
}

static void sum_rows(const Resize *r, int y, float *acc) {
  const LcipPictureToTensor *g = &r->geometry;
  const int n = r->picture_width * 3;
  const float centre = g->to_picture.m[4] * ((float)y + 0.5f) + g->to_picture.m[5];
  const float low = centre - 0.5f * g->box_y, high = centre + 0.5f * g->box_y;
  const int first = CLAMP((int)low, 0, r->picture_height);
  const int last = CLAMP((int)high + 1, 0, r->picture_height);
  float sum = 0;
  for (int i = first; i < last; i++)
    sum += overlap(i, low, high);
  const float divisor = g->black_y ? g->box_y : sum;
  memset(acc, 0, (gsize)n * sizeof *acc);
  for (int i = first; i < last; i++) {
    const float weight = overlap(i, low, high);
    if (weight > 0)
      add_row(acc, r->picture + (gsize)i * (gsize)n, weight / divisor, n);
  }
}

static void resize_row(gpointer data, guint chunk, guint worker) {
  const Resize *r = data;
  const LcipPictureToTensor *g = &r->geometry;
  const int y = (int)chunk;
  float *acc = r->rows + worker * r->row_elems;
  const gsize plane = (gsize)g->width * (gsize)g->height;
  sum_rows(r, y, acc);
  for (int x = 0; x < g->width; x++) {
    const Taps taps = r->columns[x];
    float rgb[3] = {0, 0, 0};
    for (int i = 0; i < taps.n; i++) {
      const float weight = r->weights[taps.first + (gsize)i];
      const float *pixel = acc + (gsize)(taps.start + i) * 3;
      for (int c = 0; c < 3; c++)
        rgb[c] += weight * pixel[c];
    }
    const gsize pixel = (gsize)y * (gsize)g->width + (gsize)x;
    for (gsize c = 0; c < 3; c++)
      r->out[g->nchw ? c * plane + pixel : pixel * 3 + c] =
          (rgb[g->channels[c]] - g->mean[c]) * g->scale[c];
  }
}

static void fill_columns(const LcipPictureToTensor *g, int picture_width, Taps *columns,
                         float *weights) {
  gsize used = 0;
  for (int x = 0; x < g->width; x++) {
    const float centre = g->to_picture.m[0] * ((float)x + 0.5f) + g->to_picture.m[2];
    columns[x].first = used;
    columns[x].n = axis_weights(centre, g->box_x, picture_width, g->black_x, &columns[x].start,
                                weights + used);
    used += (gsize)columns[x].n;
  }
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const gint64 *planned = call->step->inputs[0].shape.dims;
  const LcipShape *shape = &call->inputs[0].shape;
  Resize r = {.picture = call->inputs[0].data,
              .picture_width = (int)shape->dims[1],
              .picture_height = (int)shape->dims[0],
              .out = call->outputs[0].data};
  LcipPictureToTensor *g = &r.geometry;
  lcip_picture_to_tensor_init(g, call->step->attrs, r.picture_width, r.picture_height);
  const float box = MAX((float)planned[1] / (float)g->width, (float)planned[0] / (float)g->height);
  guint8 *scratch = call->scratch;
  Taps *columns = (Taps *)scratch;
  float *weights = (float *)(scratch + align((gsize)g->width * sizeof(Taps)));
  r.columns = columns;
  r.weights = weights;
  r.rows = (float *)((guint8 *)weights + align((gsize)g->width * max_taps(box) * sizeof(float)));
  r.row_elems = align((gsize)planned[1] * 3 * sizeof(float)) / sizeof(float);
  fill_columns(g, r.picture_width, columns, weights);
  lcip_team_run(team, (guint)g->height, resize_row, &r);
  if (call->step->n_outputs > 1 && call->outputs[1].data)
    memcpy(call->outputs[1].data, g->to_picture.m, sizeof g->to_picture.m);
  return TRUE;
}

const LcipKernel lcip_kernel_picture_to_tensor_ref = {
    .name = "picture-to-tensor-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"lcip.PictureToTensor", NULL},
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_vision_supports,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
