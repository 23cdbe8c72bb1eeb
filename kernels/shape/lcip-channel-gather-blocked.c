#include "config.h"
#include "lcip-vec.h"

/* lcip.ChannelGather over channel-blocked tensors. The lanes of an output vector come from a few
 * vectors of the inputs; of each the wanted lanes are moved to their places by one permutation. */

/* Lanes of one input vector. @from: its first value; @lanes: which goes where; @mask: which do. */
typedef struct {
  const float *from;
  vi lanes, mask;
} Move;

typedef struct {
  const LcipCall *call;
  const gint64 *channels;
  guint n_channels;
  gint64 blocks, pixels;
} Gather;

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  gboolean any = FALSE, images = lcip_is_image(&step->outputs[0]) && step->n_epilogues == 0;
  for (guint i = 0; i < step->n_inputs; i++) {
    images &= lcip_is_image(&step->inputs[i]);
    any |= formats->inputs[i] != LCIP_FORMAT_DENSE;
  }
  if (!images || !any) {
    *reason = images ? "all inputs are dense" : "it takes f32 tensors of 4 dimensions";
    return FALSE;
  }
  for (guint i = 0; i < step->n_inputs; i++)
    formats->inputs[i] = LCIP_BLOCK_FORMAT;
  formats->outputs[0] = LCIP_BLOCK_FORMAT;
  return TRUE;
}

/* The vector of the inputs that holds channel @c of all; @lane: where in it. */
static const float *find_vector(const Gather *job, gint64 image, gint64 c, int *lane) {
  guint i = 0;
  for (; c >= job->call->inputs[i].shape.dims[1]; i++)
    c -= job->call->inputs[i].shape.dims[1];
  const gint64 blocks = lcip_blocks(job->call->inputs[i].shape.dims[1], LCIP_BLOCK);
  const gint64 block = image * blocks + c / LCIP_BLOCK;
  *lane = (int)(c % LCIP_LANES);
  return (const float *)job->call->inputs[i].data + block * job->pixels * LCIP_BLOCK +
         c % LCIP_BLOCK - *lane;
}

/* What makes the vector whose first channel is @first. Returns how many moves. */
static int find_moves(const Gather *job, gint64 image, guint first, Move *moves) {
  int n = 0;
  for (guint to = 0; to < LCIP_LANES && first + to < job->n_channels; to++) {
    int lane, k = 0;
    const float *from = find_vector(job, image, job->channels[first + to], &lane);
    while (k < n && moves[k].from != from)
      k++;
    if (k == n)
      moves[n++] = (Move){.from = from};
    moves[k].lanes[to] = lane;
    moves[k].mask[to] = -1;
  }
  return n;
}

LCIP_INLINE void run_moves(const Move *moves, const int n, float *out, gint64 pixels) {
  for (gint64 p = 0; p < pixels * LCIP_BLOCK; p += LCIP_BLOCK) {
    vi value = {0};
    for (int k = 0; k < n; k++)
      value |= (vi)v_permute(v_load(moves[k].from + p), moves[k].lanes) & moves[k].mask;
    v_store(out + p, (vf)value);
  }
}

static void run_block(gpointer data, guint chunk, guint worker) {
  const Gather *job = data;
  const gint64 image = chunk / job->blocks, block = chunk % job->blocks;
  float *out =
      (float *)job->call->outputs[0].data + (gsize)chunk * (gsize)(job->pixels * LCIP_BLOCK);
  for (int lane = 0; lane < LCIP_BLOCK; lane += LCIP_LANES) {
    Move moves[LCIP_LANES];
    const int n = find_moves(job, image, (guint)(block * LCIP_BLOCK + lane), moves);
    if (n == 1)
      run_moves(moves, 1, out + lane, job->pixels);
    else if (n == 2)
      run_moves(moves, 2, out + lane, job->pixels);
    else
      run_moves(moves, n, out + lane, job->pixels);
  }
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *out = &call->outputs[0].shape;
  Gather job = {.call = call,
                .blocks = lcip_blocks(out->dims[1], LCIP_BLOCK),
                .pixels = out->dims[2] * out->dims[3]};
  job.channels = lcip_attrs_get_ints(call->step->attrs, "channels", &job.n_channels);
  lcip_team_run(team, (guint)(out->dims[0] * job.blocks), run_block, &job);
  return TRUE;
}

const LcipKernel LCIP_ISA_KERNEL(channel_gather_blocked) = {
    .name = LCIP_ISA_NAME("channel-gather-blocked"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"lcip.ChannelGather", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = supports,
    .run = run,
};
