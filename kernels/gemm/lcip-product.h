#pragma once

#include "lcip-blas.h"
#include "lcip-epilogue.h"
#include "lcip-infer.h"

G_BEGIN_DECLS

/** LcipProductJob: one matrix product on OpenBLAS: m x n of output 0 from element @offset on, whose
 * values before are what is added to. */
typedef struct {
  LcipBlasProduct product;
  LcipEpilogueList epilogues;
  gsize offset;
} LcipProductJob;

/** lcip_product_run: splits into tiles of fixed size over @team. */
void lcip_product_run(const LcipProductJob *job, LcipTeam *team);
/** lcip_product_supports: for supports() of Gemm and MatMul. */
gboolean lcip_product_supports(const LcipStep *step, LcipPortFormats *formats, const char **reason);

G_END_DECLS
