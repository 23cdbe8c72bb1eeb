#include "config.h"

#include "lcip-matmul.h"
#include "lcip-product.h"

#include <string.h>

static gboolean matmul_openblas_run(const LcipCall *call, LcipTeam *team, GError **error) {
  float *y = call->outputs[0].data;
  LcipProductJob job = {.offset = 0};
  LcipMatmul matmul;
  LcipBroadcast batches;
  if (!lcip_matmul_init(&matmul, &call->inputs[0].shape, &call->inputs[1].shape, NULL, error) ||
      !lcip_epilogue_list_init(&job.epilogues, call, error))
    return FALSE;
  const LcipShape *shapes[] = {&matmul.a_batch, &matmul.b_batch};
  lcip_broadcast_init(&batches, &matmul.batch, 2, shapes);
  memset(y, 0, lcip_view_count(&call->outputs[0]) * sizeof(float));
  for (gsize i = 0; i < matmul.n_batches; i++) {
    gsize at[LCIP_BROADCAST_MAX];
    lcip_broadcast_element(&batches, i, at);
    job.offset = i * matmul.m * matmul.n;
    job.product =
        (LcipBlasProduct){.m = matmul.m,
                          .n = matmul.n,
                          .k = matmul.k,
                          .alpha = 1.0f,
                          .a = (const float *)call->inputs[0].data + at[0] * matmul.m * matmul.k,
                          .a_stride = matmul.k,
                          .b = (const float *)call->inputs[1].data + at[1] * matmul.k * matmul.n,
                          .b_stride = matmul.n,
                          .c = y + job.offset,
                          .c_stride = matmul.n};
    lcip_product_run(&job, team);
  }
  return TRUE;
}

static const char *const matmul_openblas_operators[] = {"MatMul", NULL};

const LcipKernel lcip_kernel_matmul_openblas = {
    .name = "matmul-openblas",
    .family = "openblas",
    .device = LCIP_DEVICE_CPU,
    .operators = matmul_openblas_operators,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .supports = lcip_product_supports,
    .run = matmul_openblas_run,
};
