#include "config.h"
#include "lcip-resize.h"

/* Interpolation as the product of one-dimensional weights: for each output element the sum over all
 * combinations of its taps. The taps of all axes lie one axis behind the other in the scratch. */
typedef struct {
  const LcipCall *call;
  LcipResize resize;
  LcipResizeTaps *taps[LCIP_MAX_RANK];
  gint64 strides[LCIP_MAX_RANK];
  float extrapolation;
} ResizeJob;

static double interpolate(const ResizeJob *job, const LcipResizeTaps *const *taps, int axis,
                          gint64 offset) {
  if (axis == job->resize.rank)
    return (double)((const float *)job->call->inputs[0].data)[offset];
  double sum = 0;
  for (int i = 0; i < taps[axis]->n; i++)
    if (taps[axis]->weight[i] != 0.0f)
      sum += (double)taps[axis]->weight[i] *
             interpolate(job, taps, axis + 1, offset + taps[axis]->index[i] * job->strides[axis]);
  return sum;
}

static void resize_range(gpointer data, gsize begin, gsize end) {
  const ResizeJob *job = data;
  const LcipShape *out = &job->call->outputs[0].shape;
  float *y = job->call->outputs[0].data;
  for (gsize at = begin; at < end; at++) {
    const LcipResizeTaps *taps[LCIP_MAX_RANK];
    gboolean outside = FALSE;
    gsize rest = at;
    for (int i = out->rank - 1; i >= 0; i--) {
      taps[i] = &job->taps[i][rest % (gsize)out->dims[i]];
      outside = outside || taps[i]->outside;
      rest /= (gsize)out->dims[i];
    }
    y[at] = outside ? job->extrapolation : (float)interpolate(job, taps, 0, 0);
  }
}

static gsize resize_ref_scratch(const LcipStep *step, const LcipPortFormats *formats,
                                guint workers) {
  gsize n = 0;
  for (int i = 0; i < step->outputs[0].shape.rank; i++)
    n += (gsize)step->outputs[0].shape.dims[i];
  return n * sizeof(LcipResizeTaps);
}

static gboolean resize_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *in = &call->inputs[0].shape;
  ResizeJob job = {.call = call,
                   .extrapolation = lcip_attrs_get_float(call->step->attrs, "extrapolation_value")};
  LcipResizeTaps *taps = call->scratch;
  gint64 stride = 1;
  if (!lcip_resize_init(&job.resize, call->step, in, error))
    return FALSE;
  for (int i = in->rank - 1; i >= 0; i--) {
    job.taps[i] = taps;
    job.strides[i] = stride;
    stride *= in->dims[i];
    for (gint64 k = 0; k < call->outputs[0].shape.dims[i]; k++)
      lcip_resize_taps(&job.resize, i, k, taps++);
  }
  lcip_team_ranges(team, lcip_view_count(&call->outputs[0]), 4096, resize_range, &job);
  return TRUE;
}

static const char *const resize_ref_operators[] = {"Resize", NULL};

const LcipKernel lcip_kernel_resize_ref = {
    .name = "resize-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = resize_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .scratch_bytes = resize_ref_scratch,
    .run = resize_ref_run,
};
