#pragma once

#include "lcip-window.h"

#include "../gemm/lcip-matmul.h"

G_BEGIN_DECLS

/** LcipQuantPorts: indices of a quantized product's inputs; -1 for those it does not have. */
typedef struct {
  int a, b;
  int a_scale, a_zero, b_scale, b_zero;
  int y_scale, y_zero;
  int bias;
} LcipQuantPorts;

/** lcip_quant_ports: of QLinearConv, QLinearMatMul, ConvInteger or MatMulInteger. */
void lcip_quant_ports(const LcipStep *step, LcipQuantPorts *ports);

G_END_DECLS
