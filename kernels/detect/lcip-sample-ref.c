#include "config.h"

#include "lcip-infer.h"

#include <math.h>

/* RoiAlign (He et al., "Mask R-CNN", 2017) and GridSample (Jaderberg et al., "Spatial Transformer
 * Networks", 2015). */

/* ---- RoiAlign ---- */

typedef struct {
  const LcipCall *call;
  gsize channels, height, width; /* of the input */
  gsize out_height, out_width;
  float scale, offset;
  gint64 ratio;
  gboolean greatest;
} RoiJob;

/* The four weighted pixels around (y, x), combined: summed, or the greatest. Beyond one pixel
 * outside the picture everything is 0. */
static float roi_sample(const RoiJob *job, const float *plane, float y, float x) {
  if (!(y >= -1 && y <= (float)job->height && x >= -1 && x <= (float)job->width))
    return 0;
  y = fmaxf(y, 0);
  x = fmaxf(x, 0);
  gsize y0 = (gsize)y, x0 = (gsize)x;
  if (y0 >= job->height - 1) {
    y0 = job->height - 1;
    y = (float)y0;
  }
  if (x0 >= job->width - 1) {
    x0 = job->width - 1;
    x = (float)x0;
  }
  const gsize y1 = MIN(y0 + 1, job->height - 1), x1 = MIN(x0 + 1, job->width - 1);
  const float ly = y - (float)y0, lx = x - (float)x0;
  const float a = (1 - ly) * (1 - lx) * plane[y0 * job->width + x0];
  const float b = (1 - ly) * lx * plane[y0 * job->width + x1];
  const float c = ly * (1 - lx) * plane[y1 * job->width + x0];
  const float d = ly * lx * plane[y1 * job->width + x1];
  return job->greatest ? fmaxf(fmaxf(a, b), fmaxf(c, d)) : a + b + c + d;
}

typedef struct {
  float y, x, cell_height, cell_width;
  gint64 rows, columns; /* samples of a cell */
} Roi;

static gint64 samples(const RoiJob *job, float cell) {
  return job->ratio > 0 ? job->ratio : (gint64)CLAMP(ceilf(cell), 1.0f, 65536.0f);
}

static Roi read_roi(const RoiJob *job, gsize i) {
  const float *r = (const float *)job->call->inputs[1].data + 4 * i;
  Roi roi = {.x = r[0] * job->scale - job->offset, .y = r[1] * job->scale - job->offset};
  float width = r[2] * job->scale - job->offset - roi.x;
  float height = r[3] * job->scale - job->offset - roi.y;
  if (job->offset == 0) { /* the older form has no region smaller than a pixel */
    width = fmaxf(width, 1);
    height = fmaxf(height, 1);
  }
  roi.cell_height = height / (float)job->out_height;
  roi.cell_width = width / (float)job->out_width;
  roi.rows = samples(job, roi.cell_height);
  roi.columns = samples(job, roi.cell_width);
  return roi;
}

static float roi_cell(const RoiJob *job, const Roi *roi, const float *plane, gsize row,
                      gsize column) {
  float sum = 0, best = -INFINITY;
  for (gint64 i = 0; i < roi->rows; i++)
    for (gint64 k = 0; k < roi->columns; k++) {
      const float y = roi->y + (float)row * roi->cell_height +
                      ((float)i + 0.5f) * roi->cell_height / (float)roi->rows;
      const float x = roi->x + (float)column * roi->cell_width +
                      ((float)k + 0.5f) * roi->cell_width / (float)roi->columns;
      const float value = roi_sample(job, plane, y, x);
      sum += value;
      best = fmaxf(best, value);
    }
  return job->greatest ? best : sum / (float)(roi->rows * roi->columns);
}

static gboolean run_roi_align(const LcipCall *call, GError **error) {
  const LcipAttrs *attrs = call->step->attrs;
  const LcipShape *x = &call->inputs[0].shape, *y = &call->outputs[0].shape;
  const gint64 *images = call->inputs[2].data;
  float *out = call->outputs[0].data;
  const RoiJob job = {.call = call,
                      .channels = (gsize)x->dims[1],
                      .height = (gsize)x->dims[2],
                      .width = (gsize)x->dims[3],
                      .out_height = (gsize)y->dims[2],
                      .out_width = (gsize)y->dims[3],
                      .scale = lcip_attrs_get_float(attrs, "spatial_scale"),
                      .offset =
                          g_strcmp0(lcip_attrs_get_string(attrs, "coordinate_transformation_mode"),
                                    "half_pixel") == 0
                              ? 0.5f
                              : 0,
                      .ratio = lcip_attrs_get_int(attrs, "sampling_ratio"),
                      .greatest = g_strcmp0(lcip_attrs_get_string(attrs, "mode"), "max") == 0};
  for (gsize r = 0; r < (gsize)y->dims[0]; r++) {
    if (images[r] < 0 || images[r] >= x->dims[0])
      return lcip_infer_fail(
          error, "input batch_indices: expected 0 to %" G_GINT64_FORMAT ", found %" G_GINT64_FORMAT,
          x->dims[0] - 1, images[r]);
    const Roi roi = read_roi(&job, r);
    for (gsize c = 0; c < job.channels; c++) {
      const float *plane = (const float *)call->inputs[0].data +
                           ((gsize)images[r] * job.channels + c) * job.height * job.width;
      for (gsize i = 0; i < job.out_height * job.out_width; i++)
        *out++ = job.height * job.width > 0
                     ? roi_cell(&job, &roi, plane, i / job.out_width, i % job.out_width)
                     : 0;
    }
  }
  return TRUE;
}

/* ---- GridSample ---- */

typedef enum { GRID_LINEAR, GRID_NEAREST, GRID_CUBIC } GridMode;
typedef enum { GRID_ZEROS, GRID_BORDER, GRID_REFLECTION } GridPadding;

typedef struct {
  const LcipCall *call;
  GridMode mode;
  GridPadding padding;
  gboolean corners;
  gint64 channels, height, width, out_size;
} GridJob;

/* Mirrors @x at the picture's edges: centres or outer edges of the outer pixels. */
static double reflect(const GridJob *job, double x, gint64 size) {
  const double low = job->corners ? 0 : -0.5, span = job->corners ? (double)size - 1 : (double)size;
  if (span <= 0)
    return 0;
  const double phase = fmod(fabs(x - low), 2 * span);
  return low + (phase <= span ? phase : 2 * span - phase);
}

static double from_grid(const GridJob *job, float at, gint64 size) {
  const double x = ((double)at + 1) / 2;
  const double pixel = job->corners ? x * ((double)size - 1) : x * (double)size - 0.5;
  /* Far outside any picture, and what is no number too, so that it converts to an integer. */
  return pixel >= -1e9 && pixel <= 1e9 ? pixel : -1e9;
}

static double padded(const GridJob *job, double x, gint64 size) {
  if (job->padding == GRID_BORDER)
    return CLAMP(x, 0.0, (double)size - 1);
  if (job->padding == GRID_REFLECTION)
    return CLAMP(reflect(job, x, size), 0.0, (double)size - 1);
  return x;
}

static double pixel(const GridJob *job, const float *plane, gint64 y, gint64 x) {
  if (job->padding != GRID_ZEROS) {
    y = (gint64)rint(padded(job, (double)y, job->height));
    x = (gint64)rint(padded(job, (double)x, job->width));
  } else if (y < 0 || y >= job->height || x < 0 || x >= job->width) {
    return 0;
  }
  return (double)plane[y * job->width + x];
}

/* Keys' weights with a = -0.75 of four neighbours, the second at or before the point. */
static void cubic_weights(double t, double *w) {
  const double a = -0.75;
  for (int i = 0; i < 4; i++) {
    const double d = fabs(t - (i - 1));
    w[i] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  }
}

static double sample(const GridJob *job, const float *plane, double y, double x) {
  double wy[4], wx[4], sum = 0;
  if (job->mode != GRID_CUBIC) {
    y = padded(job, y, job->height);
    x = padded(job, x, job->width);
  }
  if (job->mode == GRID_NEAREST)
    return pixel(job, plane, (gint64)rint(y), (gint64)rint(x));
  const double fy = floor(y), fx = floor(x);
  const gboolean cubic = job->mode == GRID_CUBIC;
  const int taps = cubic ? 4 : 2;
  if (cubic) {
    cubic_weights(y - fy, wy);
    cubic_weights(x - fx, wx);
  } else {
    wy[1] = y - fy;
    wx[1] = x - fx;
    wy[0] = 1 - wy[1];
    wx[0] = 1 - wx[1];
  }
  for (int i = 0; i < taps; i++)
    for (int k = 0; k < taps; k++)
      sum += wy[i] * wx[k] *
             pixel(job, plane, (gint64)fy + i - (cubic ? 1 : 0), (gint64)fx + k - (cubic ? 1 : 0));
  return sum;
}

static void grid_range(gpointer data, gsize begin, gsize end) {
  const GridJob *job = data;
  const float *grid = job->call->inputs[1].data;
  for (gsize plane = begin; plane < end; plane++) {
    const gsize image = plane / (gsize)job->channels;
    const float *in =
        (const float *)job->call->inputs[0].data + plane * (gsize)(job->height * job->width);
    float *out = (float *)job->call->outputs[0].data + plane * (gsize)job->out_size;
    for (gsize i = 0; i < (gsize)job->out_size; i++) {
      const float *at = grid + 2 * (image * (gsize)job->out_size + i);
      out[i] = (float)sample(job, in, from_grid(job, at[1], job->height),
                             from_grid(job, at[0], job->width));
    }
  }
}

static gboolean run_grid_sample(const LcipCall *call, LcipTeam *team) {
  const LcipAttrs *attrs = call->step->attrs;
  const LcipShape *x = &call->inputs[0].shape, *y = &call->outputs[0].shape;
  const char *mode = lcip_attrs_get_string(attrs, "mode");
  const char *padding = lcip_attrs_get_string(attrs, "padding_mode");
  GridJob job = {.call = call,
                 .mode = g_str_equal(mode, "nearest") ? GRID_NEAREST
                         : g_str_equal(mode, "cubic") ? GRID_CUBIC
                                                      : GRID_LINEAR,
                 .padding = g_str_equal(padding, "border")       ? GRID_BORDER
                            : g_str_equal(padding, "reflection") ? GRID_REFLECTION
                                                                 : GRID_ZEROS,
                 .corners = lcip_attrs_get_int(attrs, "align_corners") != 0,
                 .channels = x->dims[1],
                 .height = x->dims[2],
                 .width = x->dims[3],
                 .out_size = y->dims[2] * y->dims[3]};
  lcip_team_ranges(team, lcip_shape_product(x, 0, 2), 1, grid_range, &job);
  return TRUE;
}

static gboolean sample_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  return lcip_step_is(call->step, "RoiAlign") ? run_roi_align(call, error)
                                              : run_grid_sample(call, team);
}

static const char *const sample_ref_operators[] = {"RoiAlign", "GridSample", NULL};

const LcipKernel lcip_kernel_sample_ref = {
    .name = "sample-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = sample_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = sample_ref_run,
};
