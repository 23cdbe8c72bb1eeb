#include "config.h"
#include "lcip-vision-private.h"

#include <math.h>

/* Along one axis: how tensor coordinates map to the picture's, for a common scale @scale (picture
 * pixels per tensor pixel) with both centres on each other. */
static void fit_axis(float scale, int tensor, int picture, float *gain, float *offset) {
  *gain = scale;
  *offset = 0.5f * ((float)picture - scale * (float)tensor);
  if (fabsf(*offset) < 1e-3f) /* rounding, no padding */
    *offset = 0;
}

static void init_channels(LcipPictureToTensor *p, const LcipAttrs *attrs) {
  const gboolean bgr = g_strcmp0(lcip_attrs_get_string(attrs, "color"), "BGR") == 0;
  guint n_mean = 0, n_scale = 0;
  const float *mean = lcip_attrs_get_floats(attrs, "mean", &n_mean);
  const float *scale = lcip_attrs_get_floats(attrs, "scale", &n_scale);
  for (guint c = 0; c < 3; c++) {
    p->channels[c] = bgr ? 2 - (int)c : (int)c;
    p->mean[c] = n_mean == 0 ? 0.0f : mean[n_mean == 3 ? c : 0];
    p->scale[c] = n_scale == 0 ? 1.0f : scale[n_scale == 3 ? c : 0];
  }
}

void lcip_picture_to_tensor_init(LcipPictureToTensor *p, const LcipAttrs *attrs, int picture_width,
                                 int picture_height) {
  const char *fit = lcip_attrs_get_string(attrs, "fit");
  const gboolean area = g_strcmp0(lcip_attrs_get_string(attrs, "filter"), "linear") != 0;
  *p = (LcipPictureToTensor){
      .width = (int)lcip_attrs_get_int(attrs, "width"),
      .height = (int)lcip_attrs_get_int(attrs, "height"),
      .nchw = g_strcmp0(lcip_attrs_get_string(attrs, "layout"), "NCHW") == 0,
  };
  float *m = p->to_picture.m;
  float x = (float)picture_width / (float)p->width, y = (float)picture_height / (float)p->height;
  if (g_strcmp0(fit, "pad") == 0)
    x = y = MAX(x, y);
  else if (g_strcmp0(fit, "crop") == 0)
    x = y = MIN(x, y);
  fit_axis(x, p->width, picture_width, &m[0], &m[2]);
  fit_axis(y, p->height, picture_height, &m[4], &m[5]);
  p->box_x = area ? MAX(x, 1.0f) : 1.0f;
  p->box_y = area ? MAX(y, 1.0f) : 1.0f;
  p->black_x = m[2] < 0;
  p->black_y = m[5] < 0;
  init_channels(p, attrs);
}

gboolean lcip_affine_invert(const LcipAffine *affine, LcipAffine *inverse) {
  const float *m = affine->m;
  const float det = m[0] * m[4] - m[1] * m[3];
  *inverse = (LcipAffine){0};
  if (!isfinite(det) || fabsf(det) < 1e-12f || !isfinite(m[2]) || !isfinite(m[5]))
    return FALSE;
  float *r = inverse->m;
  r[0] = m[4] / det;
  r[1] = -m[1] / det;
  r[3] = -m[3] / det;
  r[4] = m[0] / det;
  r[2] = -(r[0] * m[2] + r[1] * m[5]);
  r[5] = -(r[3] * m[2] + r[4] * m[5]);
  return TRUE;
}

gboolean lcip_vision_supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  if (step->n_epilogues > 0) {
    *reason = "it does not fuse";
    return FALSE;
  }
  lcip_formats_dense(step, formats);
  return TRUE;
}
