#pragma once

#include "lcip-team.h"

G_BEGIN_DECLS

/** LcipBlasProduct: C[m, n] += alpha op(A) op(B), row-major; leading dimensions in elements. */
typedef struct {
  gboolean trans_a, trans_b;
  gsize m, n, k;
  float alpha;
  const float *a, *b;
  gsize a_stride, b_stride;
  float *c;
  gsize c_stride;
} LcipBlasProduct;

/** LCIP_BLAS_MAX_SIZE: the largest size or stride that OpenBLAS' int interface takes. */
#define LCIP_BLAS_MAX_SIZE G_MAXINT32

/** lcip_blas_product: on the calling thread alone; OpenBLAS' own threads are switched off at the
 * first call of the process. Sizes are at most LCIP_BLAS_MAX_SIZE. */
void lcip_blas_product(const LcipBlasProduct *product);

G_END_DECLS
