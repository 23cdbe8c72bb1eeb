#include "config.h"
#include "lcip-matmul.h"

/* Matrix products summed in double, one row of the output after the other. */

typedef struct {
  LcipGemm gemm;
  const float *a, *b, *c;
  float *y;
} GemmJob;

static float gemm_element(const GemmJob *job, gsize i, gsize j) {
  const LcipGemm *g = &job->gemm;
  double sum = 0;
  for (gsize p = 0; p < g->k; p++)
    sum += (double)(g->trans_a ? job->a[p * g->m + i] : job->a[i * g->k + p]) *
           (double)(g->trans_b ? job->b[j * g->k + p] : job->b[p * g->n + j]);
  const double added =
      job->c ? (double)g->beta * (double)job->c[i * g->c_row + j * g->c_column] : 0.0;
  return (float)((double)g->alpha * sum + added);
}

static void gemm_range(gpointer data, gsize begin, gsize end) {
  const GemmJob *job = data;
  for (gsize i = begin; i < end; i++)
    for (gsize j = 0; j < job->gemm.n; j++)
      job->y[i * job->gemm.n + j] = gemm_element(job, i, j);
}

static gboolean run_gemm(const LcipCall *call, LcipTeam *team, GError **error) {
  const gboolean bias = lcip_step_has_input(call->step, 2);
  GemmJob job = {.a = call->inputs[0].data,
                 .b = call->inputs[1].data,
                 .c = bias ? call->inputs[2].data : NULL,
                 .y = call->outputs[0].data};
  if (!lcip_gemm_init(&job.gemm, call->step, &call->inputs[0].shape, &call->inputs[1].shape,
                      bias ? &call->inputs[2].shape : NULL, error))
    return FALSE;
  lcip_team_ranges(team, job.gemm.m, 1, gemm_range, &job);
  return TRUE;
}

static gboolean run_matmul(const LcipCall *call, LcipTeam *team, GError **error) {
  LcipMatmul matmul;
  LcipBroadcast batches;
  if (!lcip_matmul_init(&matmul, &call->inputs[0].shape, &call->inputs[1].shape, NULL, error))
    return FALSE;
  const LcipShape *shapes[] = {&matmul.a_batch, &matmul.b_batch};
  lcip_broadcast_init(&batches, &matmul.batch, 2, shapes);
  for (gsize i = 0; i < matmul.n_batches; i++) {
    gsize at[LCIP_BROADCAST_MAX];
    lcip_broadcast_element(&batches, i, at);
    GemmJob job = {.gemm = {.m = matmul.m, .n = matmul.n, .k = matmul.k, .alpha = 1},
                   .a = (const float *)call->inputs[0].data + at[0] * matmul.m * matmul.k,
                   .b = (const float *)call->inputs[1].data + at[1] * matmul.k * matmul.n,
                   .y = (float *)call->outputs[0].data + i * matmul.m * matmul.n};
    lcip_team_ranges(team, job.gemm.m, 1, gemm_range, &job);
  }
  return TRUE;
}

static gboolean gemm_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  return lcip_step_is(call->step, "Gemm") ? run_gemm(call, team, error)
                                          : run_matmul(call, team, error);
}

static const char *const gemm_ref_operators[] = {"Gemm", "MatMul", NULL};

const LcipKernel lcip_kernel_gemm_ref = {
    .name = "gemm-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = gemm_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = gemm_ref_run,
};
