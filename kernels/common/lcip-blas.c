#include "config.h"
#include "lcip-blas.h"

#include <cblas.h>

static void use_one_thread(void) {
  static gsize once;
  if (g_once_init_enter(&once)) {
    openblas_set_num_threads(1);
    g_once_init_leave(&once, 1);
  }
}

void lcip_blas_product(const LcipBlasProduct *p) {
  use_one_thread();
  if (p->m == 0 || p->n == 0 || p->k == 0)
    return;
  cblas_sgemm(CblasRowMajor, p->trans_a ? CblasTrans : CblasNoTrans,
              p->trans_b ? CblasTrans : CblasNoTrans, (blasint)p->m, (blasint)p->n, (blasint)p->k,
              p->alpha, p->a, (blasint)p->a_stride, p->b, (blasint)p->b_stride, 1.0f, p->c,
              (blasint)p->c_stride);
}
