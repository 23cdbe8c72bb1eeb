#include "config.h"
#include "lcip-vec.h"

/* Reorder between dense and this instruction set's block, a strip of pixels of one block at a time.
 * The strip goes through the cache in both directions; inner loops have constant bounds, so that
 * the compiler makes shuffles of them. */

enum { STRIP = 16, STRIPS_IN_CHUNK = 64 };

typedef struct {
  const float *in;
  float *out;
  gint64 c, blocks, pixels, parts;
  gboolean to_blocked;
} Reorder;

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  const LcipFormat from = step->inputs[0].format, to = step->outputs[0].format;
  if (!lcip_is_image(&step->inputs[0]) || step->n_epilogues > 0 || from == to ||
      (from != LCIP_FORMAT_DENSE && to != LCIP_FORMAT_DENSE) ||
      (from != LCIP_BLOCK_FORMAT && to != LCIP_BLOCK_FORMAT)) {
    *reason = "it reorders between dense and the block of its instruction set";
    return FALSE;
  }
  formats->inputs[0] = from;
  formats->outputs[0] = to;
  return TRUE;
}

static void strip_to_blocked(const float *in, gint64 plane, float *out) {
  for (int p = 0; p < STRIP; p++)
    for (int c = 0; c < LCIP_BLOCK; c++)
      out[p * LCIP_BLOCK + c] = in[c * plane + p];
}

static void strip_to_dense(const float *in, float *out, gint64 plane) {
  for (int c = 0; c < LCIP_BLOCK; c++)
    for (int p = 0; p < STRIP; p++)
      out[c * plane + p] = in[p * LCIP_BLOCK + c];
}

/* Any number of channels (the others of the block are zeros) and pixels. */
static void some_to_blocked(const float *in, gint64 plane, float *out, gint64 channels,
                            gint64 pixels) {
  for (gint64 p = 0; p < pixels; p++)
    for (int c = 0; c < LCIP_BLOCK; c++)
      out[p * LCIP_BLOCK + c] = c < channels ? in[c * plane + p] : 0.0f;
}

static void some_to_dense(const float *in, float *out, gint64 plane, gint64 channels,
                          gint64 pixels) {
  for (gint64 c = 0; c < channels; c++)
    for (gint64 p = 0; p < pixels; p++)
      out[c * plane + p] = in[p * LCIP_BLOCK + c];
}

static void reorder_chunk(gpointer data, guint chunk, guint worker) {
  const Reorder *r = data;
  const gint64 part = chunk % r->parts, block = chunk / r->parts;
  const gint64 n = block / r->blocks, first = block % r->blocks * LCIP_BLOCK;
  const gint64 channels = MIN(LCIP_BLOCK, r->c - first);
  const gsize dense = (gsize)((n * r->c + first) * r->pixels);
  const gsize blocked = (gsize)(block * r->pixels * LCIP_BLOCK);
  const gint64 end = MIN((part + 1) * STRIP * STRIPS_IN_CHUNK, r->pixels);
  for (gint64 p = part * STRIP * STRIPS_IN_CHUNK; p < end; p += STRIP) {
    const gsize at_dense = dense + (gsize)p, at_blocked = blocked + (gsize)(p * LCIP_BLOCK);
    const gboolean whole = channels == LCIP_BLOCK && p + STRIP <= end;
    const gint64 pixels = MIN(STRIP, end - p);
    if (r->to_blocked && whole)
      strip_to_blocked(r->in + at_dense, r->pixels, r->out + at_blocked);
    else if (r->to_blocked)
      some_to_blocked(r->in + at_dense, r->pixels, r->out + at_blocked, channels, pixels);
    else if (whole)
      strip_to_dense(r->in + at_blocked, r->out + at_dense, r->pixels);
    else
      some_to_dense(r->in + at_blocked, r->out + at_dense, r->pixels, channels, pixels);
  }
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *shape = &call->inputs[0].shape;
  Reorder r = {.in = call->inputs[0].data,
               .out = call->outputs[0].data,
               .c = shape->dims[1],
               .blocks = lcip_blocks(shape->dims[1], LCIP_BLOCK),
               .pixels = shape->dims[2] * shape->dims[3],
               .to_blocked = call->outputs[0].spec.format != LCIP_FORMAT_DENSE};
  r.parts = lcip_blocks(r.pixels, STRIP * STRIPS_IN_CHUNK);
  lcip_team_run(team, (guint)(shape->dims[0] * r.blocks * r.parts), reorder_chunk, &r);
  return TRUE;
}

const LcipKernel LCIP_ISA_KERNEL(reorder_blocked) = {
    .name = LCIP_ISA_NAME("reorder-blocked"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"lcip.Reorder", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = supports,
    .run = run,
};
