#include "config.h"

#include "lcip-infer.h"

/* lcip.ChannelGather stands in plans for what chains of Concat, Split, Slice and channel shuffles
 * do to the channels of pictures; documents never hold it. */

static gboolean same_plane(const LcipShape *a, const LcipShape *b) {
  return a->dims[0] == b->dims[0] && a->dims[2] == b->dims[2] && a->dims[3] == b->dims[3];
}

static gboolean gather_infer(LcipStep *step, GError **error) {
  gint64 all = 0;
  guint n = 0;
  for (guint i = 0; i < step->n_inputs; i++) {
    if (!lcip_infer_expect(step, i, LCIP_TYPE_F32, 4, error))
      return FALSE;
    if (!same_plane(&step->inputs[i].shape, &step->inputs[0].shape))
      return lcip_infer_fail(error, "input %u: expected the size of input 0", i);
    all += step->inputs[i].shape.dims[1];
  }
  const gint64 *channels = lcip_attrs_get_ints(step->attrs, "channels", &n);
  for (guint i = 0; i < n; i++)
    if (channels[i] < 0 || channels[i] >= all)
      return lcip_infer_fail(error,
                             "attribute channels: expected numbers below %" G_GINT64_FORMAT
                             ", found %" G_GINT64_FORMAT,
                             all, channels[i]);
  LcipShape shape = step->inputs[0].shape;
  shape.dims[1] = n;
  return lcip_infer_set(step, 0, LCIP_TYPE_F32, &shape, error);
}

static const LcipPortDef gather_inputs[] = {
    {"inputs", LCIP_PORT_VARIADIC, "Pictures of one size, whose channels are counted through"}};
static const LcipPortDef gather_outputs[] = {{"output", LCIP_PORT_PLAIN, "The channels in order"}};
static const LcipAttrDef gather_attrs[] = {{"channels", LCIP_ATTR_INTS, TRUE, NULL, 0, G_MAXINT32,
                                            NULL, NULL,
                                            "For each channel of the output that of the inputs"}};

static const LcipOperator channel_gather = {
    .domain = "lcip",
    .name = "ChannelGather",
    .summary = "Puts channels of several tensors together; made by the plan",
    .inputs = gather_inputs,
    .n_inputs = G_N_ELEMENTS(gather_inputs),
    .outputs = gather_outputs,
    .n_outputs = G_N_ELEMENTS(gather_outputs),
    .attrs = gather_attrs,
    .n_attrs = G_N_ELEMENTS(gather_attrs),
    .infer = gather_infer,
};

const LcipOperator *const lcip_operators_channels[] = {&channel_gather, NULL};
