#include "config.h"
#include "lcip-kernel.h"

#include <string.h>

/* Reference reorder between any two formats of a rank-4 f32 tensor. The plan sets the formats in
 * step->inputs[0] and step->outputs[0] before it asks supports(). */

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  if (step->n_epilogues > 0) {
    *reason = "it does not fuse";
    return FALSE;
  }
  if (step->inputs[0].type != LCIP_TYPE_F32 || step->inputs[0].shape.rank != 4) {
    *reason = "only f32 tensors of 4 dimensions have blocked formats";
    return FALSE;
  }
  formats->inputs[0] = step->inputs[0].format;
  formats->outputs[0] = step->outputs[0].format;
  return TRUE;
}

/* Where element (n, c, y, x) lies: [n][c / block][y][x][c % block]; block 1 is dense. */
static gsize element_offset(const LcipShape *shape, gint64 block, gint64 n, gint64 c,
                            gint64 pixel) {
  const gint64 blocks = (shape->dims[1] + block - 1) / block;
  const gint64 pixels = shape->dims[2] * shape->dims[3];
  return (gsize)(((n * blocks + c / block) * pixels + pixel) * block + c % block);
}

typedef struct {
  const LcipTensorView *in, *out;
  gint64 in_block, out_block, padded;
} Reorder;

static void reorder_channel(gpointer data, guint chunk, guint worker) {
  const Reorder *r = data;
  const LcipShape *shape = &r->in->shape;
  const gint64 n = chunk / r->padded, c = chunk % r->padded;
  const gint64 pixels = shape->dims[2] * shape->dims[3];
  const float *in = r->in->data;
  float *out = r->out->data;
  for (gint64 p = 0; p < pixels; p++)
    out[element_offset(shape, r->out_block, n, c, p)] =
        c < shape->dims[1] ? in[element_offset(shape, r->in_block, n, c, p)] : 0.0f;
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const gint64 block = lcip_format_block(call->outputs[0].spec.format);
  Reorder r = {.in = &call->inputs[0],
               .out = &call->outputs[0],
               .in_block = lcip_format_block(call->inputs[0].spec.format),
               .out_block = block,
               .padded = (call->inputs[0].shape.dims[1] + block - 1) / block * block};
  lcip_team_run(team, (guint)(call->inputs[0].shape.dims[0] * r.padded), reorder_channel, &r);
  return TRUE;
}

const LcipKernel lcip_kernel_reorder_ref = {
    .name = "reorder-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"lcip.Reorder", NULL},
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = supports,
    .run = run,
};
