#include "config.h"

#include "lcip-matmul.h"
#include "lcip-product.h"

static void fill_bias(const LcipGemm *gemm, const float *c, float *y) {
  for (gsize i = 0; i < gemm->m; i++)
    for (gsize j = 0; j < gemm->n; j++)
      y[i * gemm->n + j] = c ? gemm->beta * c[i * gemm->c_row + j * gemm->c_column] : 0.0f;
}

static gboolean gemm_openblas_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const gboolean bias = call->step->n_anchor_inputs > 2 && lcip_step_has_input(call->step, 2);
  LcipProductJob job = {.offset = 0};
  LcipGemm gemm;
  if (!lcip_gemm_init(&gemm, call->step, &call->inputs[0].shape, &call->inputs[1].shape,
                      bias ? &call->inputs[2].shape : NULL, error) ||
      !lcip_epilogue_list_init(&job.epilogues, call, error))
    return FALSE;
  job.product = (LcipBlasProduct){.trans_a = gemm.trans_a,
                                  .trans_b = gemm.trans_b,
                                  .m = gemm.m,
                                  .n = gemm.n,
                                  .k = gemm.k,
                                  .alpha = gemm.alpha,
                                  .a = call->inputs[0].data,
                                  .a_stride = gemm.trans_a ? gemm.m : gemm.k,
                                  .b = call->inputs[1].data,
                                  .b_stride = gemm.trans_b ? gemm.k : gemm.n,
                                  .c = call->outputs[0].data,
                                  .c_stride = gemm.n};
  fill_bias(&gemm, bias ? call->inputs[2].data : NULL, call->outputs[0].data);
  lcip_product_run(&job, team);
  return TRUE;
}

static const char *const gemm_openblas_operators[] = {"Gemm", NULL};

const LcipKernel lcip_kernel_gemm_openblas = {
    .name = "gemm-openblas",
    .family = "openblas",
    .device = LCIP_DEVICE_CPU,
    .operators = gemm_openblas_operators,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .supports = lcip_product_supports,
    .run = gemm_openblas_run,
};
