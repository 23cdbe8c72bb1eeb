#include "config.h"
#include "lcip-vec.h"

/* Concat along channels of blocked tensors. An input that begins at a whole block is copied; one
 * that begins within a block is put together from the parts that its inputs have. */

typedef struct {
  const LcipCall *call;
  gint64 first[LCIP_MAX_PORTS + 1]; /* first channel of each input; then all channels */
  gint64 blocks, pixels;
} Concat;

static gboolean is_channel_axis(const LcipStep *step) {
  const gint64 axis = lcip_attrs_get_int(step->attrs, "axis");
  return axis == 1 || axis == -3;
}

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  gboolean any = FALSE, images = lcip_is_image(&step->outputs[0]) && step->n_epilogues == 0;
  for (guint i = 0; i < step->n_inputs; i++) {
    images &= lcip_is_image(&step->inputs[i]);
    any |= formats->inputs[i] != LCIP_FORMAT_DENSE;
  }
  if (!images || !is_channel_axis(step)) {
    *reason = "it joins f32 tensors of 4 dimensions along their channels";
    return FALSE;
  }
  if (!any) {
    *reason = "all inputs are dense";
    return FALSE;
  }
  for (guint i = 0; i < step->n_inputs; i++)
    formats->inputs[i] = LCIP_BLOCK_FORMAT;
  formats->outputs[0] = LCIP_BLOCK_FORMAT;
  return TRUE;
}

static guint input_of(const Concat *job, gint64 channel) {
  guint i = 0;
  while (job->first[i + 1] <= channel)
    i++;
  return i;
}

/* Where channel @c of input @i of image @n begins. */
static const float *channel_data(const Concat *job, guint i, gint64 n, gint64 c) {
  const gint64 blocks = lcip_blocks(job->first[i + 1] - job->first[i], LCIP_BLOCK);
  return (const float *)job->call->inputs[i].data +
         ((n * blocks + c / LCIP_BLOCK) * job->pixels * LCIP_BLOCK + c % LCIP_BLOCK);
}

/* @count channels of @n pixels, which lie in one block of an input: halves and quarters of a block
 * at once, since many channel counts are multiples of these. */
static void copy_lanes(const float *from, float *out, gint64 n, gint64 count) {
  enum { HALF = LCIP_BLOCK / 2, QUARTER = LCIP_BLOCK / 4 };
  for (gint64 p = 0; p < n; p++, from += LCIP_BLOCK, out += LCIP_BLOCK)
    if (count == HALF)
      memcpy(out, from, HALF * sizeof(float));
    else if (count == QUARTER)
      memcpy(out, from, QUARTER * sizeof(float));
    else
      for (gint64 k = 0; k < count; k++)
        out[k] = from[k];
}

/* The output block from channel @c on, from all inputs that have a part of it. */
static void join_block(const Concat *job, gint64 n, gint64 c, float *out) {
  const gint64 end = MIN(c + LCIP_BLOCK, job->first[job->call->step->n_inputs]);
  if (end < c + LCIP_BLOCK)
    memset(out, 0, (gsize)(job->pixels * LCIP_BLOCK) * sizeof(float));
  for (gint64 at = c, count; at < end; at += count) {
    const guint i = input_of(job, at);
    const gint64 within = at - job->first[i];
    count = MIN(MIN(end, job->first[i + 1]) - at, LCIP_BLOCK - within % LCIP_BLOCK);
    copy_lanes(channel_data(job, i, n, within), out + (at - c), job->pixels, count);
  }
}

static void run_block(gpointer data, guint chunk, guint worker) {
  const Concat *job = data;
  const gint64 n = chunk / job->blocks, c = chunk % job->blocks * LCIP_BLOCK;
  const gint64 all = job->first[job->call->step->n_inputs];
  float *out =
      (float *)job->call->outputs[0].data + (gsize)chunk * (gsize)(job->pixels * LCIP_BLOCK);
  const guint first = input_of(job, c);
  const gint64 within = c - job->first[first];
  if (within % LCIP_BLOCK == 0 && MIN(c + LCIP_BLOCK, all) <= job->first[first + 1]) {
    const float *from = channel_data(job, first, n, within);
    if (from != out) /* the plan may have had it written here */
      memcpy(out, from, (gsize)(job->pixels * LCIP_BLOCK) * sizeof(float));
    return;
  }
  join_block(job, n, c, out);
}

/* Has the plan had all of one image written where it belongs? */
static gboolean in_place(const Concat *job) {
  const LcipCall *call = job->call;
  const float *out = call->outputs[0].data;
  for (guint i = 0; i < call->step->n_inputs; i++)
    if (job->first[i] % LCIP_BLOCK != 0 || call->inputs[i].shape.dims[0] != 1 ||
        call->inputs[i].data != out + job->first[i] * job->pixels)
      return FALSE;
  return TRUE;
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *out = &call->outputs[0].shape;
  Concat job = {.call = call,
                .blocks = lcip_blocks(out->dims[1], LCIP_BLOCK),
                .pixels = out->dims[2] * out->dims[3]};
  for (guint i = 0; i < call->step->n_inputs; i++)
    job.first[i + 1] = job.first[i] + call->inputs[i].shape.dims[1];
  if (!in_place(&job))
    lcip_team_run(team, (guint)(out->dims[0] * job.blocks), run_block, &job);
  return TRUE;
}

const LcipKernel LCIP_ISA_KERNEL(concat_blocked) = {
    .name = LCIP_ISA_NAME("concat-blocked"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"Concat", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = supports,
    .run = run,
};
