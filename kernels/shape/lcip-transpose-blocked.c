#include "config.h"
#include "lcip-vec.h"

/* Transpose between channels first and channels last, n c h w <-> n h w c. Channels last is always
 * dense; channels first is dense or blocked, in which pixels are nearly channels last already. */

enum { SQUARE = 16, CHUNK_ELEMS = 16 * 1024 };

typedef struct {
  const float *in;
  float *out;
  gint64 c, blocks, pixels, chunk_pixels, parts;
  gboolean to_last, blocked;
} Job;

/* 1: to channels last, -1: from channels last, 0: another permutation. */
static int direction(const LcipStep *step) {
  guint n = 0;
  const gint64 *perm = lcip_attrs_get_ints(step->attrs, "perm", &n);
  if (!perm || n != 4 || perm[0] != 0)
    return 0;
  if (perm[1] == 2 && perm[2] == 3 && perm[3] == 1)
    return 1;
  return perm[1] == 3 && perm[2] == 1 && perm[3] == 2 ? -1 : 0;
}

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  if (!lcip_is_image(&step->inputs[0]) || direction(step) == 0 || step->n_epilogues > 0) {
    *reason = "it moves the channels of f32 tensors of 4 dimensions";
    return FALSE;
  }
  const gboolean to_last = direction(step) > 0;
  const gint64 c = step->inputs[0].shape.dims[to_last ? 1 : 3];
  if (to_last && formats->inputs[0] != LCIP_FORMAT_DENSE)
    formats->inputs[0] = LCIP_BLOCK_FORMAT;
  else
    formats->inputs[0] = LCIP_FORMAT_DENSE;
  formats->outputs[0] = !to_last && c >= LCIP_BLOCK / 2 ? LCIP_BLOCK_FORMAT : LCIP_FORMAT_DENSE;
  return TRUE;
}

/* out[i][k] = in[k][i] for @n rows of @m values, squares at a time; rows lie @n_step and @m_step
 * apart. */
LCIP_INLINE void transpose(const float *in, gint64 m_step, float *out, gint64 n_step, gint64 n,
                           gint64 m) {
  for (gint64 i0 = 0; i0 < n; i0 += SQUARE)
    for (gint64 k0 = 0; k0 < m; k0 += SQUARE) {
      const gint64 i1 = MIN(i0 + SQUARE, n), k1 = MIN(k0 + SQUARE, m);
      for (gint64 i = i0; i < i1; i++)
        for (gint64 k = k0; k < k1; k++)
          out[i * n_step + k] = in[k * m_step + i];
    }
}

/* A picture's few channels: constant numbers make the inner loops shuffles. */
static void from_few_last(const float *in, float *out, gint64 plane, gint64 n, gint64 c) {
  if (c == 3)
    for (gint64 p = 0; p < n; p++) {
      out[p] = in[3 * p];
      out[plane + p] = in[3 * p + 1];
      out[2 * plane + p] = in[3 * p + 2];
    }
  else
    for (gint64 k = 0; k < c; k++)
      for (gint64 p = 0; p < n; p++)
        out[k * plane + p] = in[p * c + k];
}

static void blocked_to_last(const Job *job, const float *in, float *out, gint64 n) {
  for (gint64 p = 0; p < n; p++)
    for (gint64 b = 0; b < job->blocks; b++)
      for (int lane = 0; lane < LCIP_BLOCK; lane += LCIP_LANES) {
        const gint64 c = b * LCIP_BLOCK + lane, left = job->c - c;
        const vf x = v_load(in + (b * job->pixels + p) * LCIP_BLOCK + lane);
        if (left >= LCIP_LANES)
          v_store(out + p * job->c + c, x);
        else if (left > 0)
          v_store_some(out + p * job->c + c, x, (int)left);
      }
}

static void last_to_blocked(const Job *job, const float *in, float *out, gint64 n) {
  for (gint64 b = 0; b < job->blocks; b++)
    for (gint64 p = 0; p < n; p++)
      for (int lane = 0; lane < LCIP_BLOCK; lane += LCIP_LANES) {
        const gint64 c = b * LCIP_BLOCK + lane, left = job->c - c;
        const float *from = in + p * job->c + c;
        const vf x = left >= LCIP_LANES ? v_load(from) : v_load_some(from, (int)MAX(left, 0));
        v_store(out + (b * job->pixels + p) * LCIP_BLOCK + lane, x);
      }
}

static void run_chunk(gpointer data, guint chunk, guint worker) {
  const Job *job = data;
  const gint64 image = chunk / job->parts, p = chunk % job->parts * job->chunk_pixels;
  const gint64 n = MIN(job->chunk_pixels, job->pixels - p);
  const gint64 width = job->blocked ? job->blocks * LCIP_BLOCK : job->c;
  const gint64 last = (image * job->pixels + p) * job->c;
  const gint64 first = image * job->pixels * width + p * (job->blocked ? LCIP_BLOCK : 1);
  if (job->to_last && job->blocked)
    blocked_to_last(job, job->in + first, job->out + last, n);
  else if (job->to_last)
    transpose(job->in + first, job->pixels, job->out + last, job->c, n, job->c);
  else if (job->blocked)
    last_to_blocked(job, job->in + last, job->out + first, n);
  else if (job->c <= 4)
    from_few_last(job->in + last, job->out + first, job->pixels, n, job->c);
  else
    transpose(job->in + last, job->c, job->out + first, job->pixels, job->c, n);
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const gboolean to_last = direction(call->step) > 0;
  const LcipTensorView *first = to_last ? &call->inputs[0] : &call->outputs[0];
  const gint64 *dims = first->shape.dims;
  Job job = {.in = call->inputs[0].data,
             .out = call->outputs[0].data,
             .c = dims[1],
             .blocks = lcip_blocks(dims[1], LCIP_BLOCK),
             .pixels = dims[2] * dims[3],
             .to_last = to_last,
             .blocked = first->spec.format != LCIP_FORMAT_DENSE};
  job.chunk_pixels = MAX(SQUARE, CHUNK_ELEMS / MAX(job.c, 1));
  job.parts = lcip_blocks(job.pixels, job.chunk_pixels);
  lcip_team_run(team, (guint)(dims[0] * job.parts), run_chunk, &job);
  return TRUE;
}

const LcipKernel LCIP_ISA_KERNEL(transpose_blocked) = {
    .name = LCIP_ISA_NAME("transpose-blocked"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"Transpose", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = supports,
    .run = run,
};
