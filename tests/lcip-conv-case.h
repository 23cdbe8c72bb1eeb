#pragma once

#include "conv-shapes.h"
#include "lcip-kernel.h"

/* A convolution of conv-shapes.h as a step with random constants, for benchmarks and tests. Its
 * inputs; the last is the operand of the Add where there is one. */
enum { CONV_X, CONV_W, CONV_B, CONV_SIDE, CONV_N_INPUTS };

typedef struct {
  LcipTensorSpec specs[CONV_N_INPUTS], out;
  LcipTensor *constants[CONV_N_INPUTS];
  LcipAttrs *attrs;
  LcipStep step;
  double flops;
} ConvCase;

ConvCase *conv_case_new(const ConvShape *shape, GRand *rand);
void conv_case_free(ConvCase *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ConvCase, conv_case_free)

/* Values in [-1, 1). */
LcipTensor *conv_random_tensor(const LcipTensorSpec *spec, GRand *rand);
