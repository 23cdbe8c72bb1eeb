#pragma once

#include "lcip-broadcast.h"
#include "lcip-infer.h"

G_BEGIN_DECLS

/** LcipMatmul: a batch of products [m, k] x [k, n]. Batches broadcast as NumPy's matmul does. */
typedef struct {
  gsize m, n, k;
  gsize n_batches;
  LcipShape batch, a_batch, b_batch;
} LcipMatmul;

/** lcip_matmul_init: FALSE with an error that names the sizes that do not fit. @out: the output's
 * shape; may be NULL. */
gboolean lcip_matmul_init(LcipMatmul *matmul, const LcipShape *a, const LcipShape *b,
                          LcipShape *out, GError **error);

/** LcipGemm: Y[m, n] = alpha op(A) op(B) + beta C. @c_row, @c_column: steps of C, 0 where
 * broadcast. */
typedef struct {
  gsize m, n, k;
  gboolean trans_a, trans_b;
  float alpha, beta;
  gsize c_row, c_column;
} LcipGemm;

/** lcip_gemm_init: @c may be NULL. */
gboolean lcip_gemm_init(LcipGemm *gemm, const LcipStep *step, const LcipShape *a,
                        const LcipShape *b, const LcipShape *c, GError **error);

G_END_DECLS
