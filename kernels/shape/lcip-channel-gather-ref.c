#include "config.h"

#include "lcip-infer.h"

#include <string.h>

static gboolean channel_gather_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *out = &call->outputs[0].shape;
  const gsize plane = (gsize)(out->dims[2] * out->dims[3]);
  guint n;
  const gint64 *channels = lcip_attrs_get_ints(call->step->attrs, "channels", &n);
  float *to = call->outputs[0].data;
  for (gint64 image = 0; image < out->dims[0]; image++)
    for (guint k = 0; k < n; k++, to += plane) {
      gint64 c = channels[k];
      guint i = 0;
      for (; c >= call->inputs[i].shape.dims[1]; i++)
        c -= call->inputs[i].shape.dims[1];
      const gsize from = (gsize)(image * call->inputs[i].shape.dims[1] + c) * plane;
      memcpy(to, (const float *)call->inputs[i].data + from, plane * sizeof(float));
    }
  return TRUE;
}

static const char *const channel_gather_ref_operators[] = {"lcip.ChannelGather", NULL};

const LcipKernel lcip_kernel_channel_gather_ref = {
    .name = "channel-gather-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = channel_gather_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = channel_gather_ref_run,
};
