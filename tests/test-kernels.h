#pragma once

#include "lcip-cl.h"
#include "lcip-kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the files of test-kernels share. */

#define SEED 20260101u
#define MAX_INPUTS 16
#define MAX_OUTPUTS 4

/* A case as text; kernel-cases.h explains it. */
typedef struct {
  const char *op;
  const char *inputs;
  const char *attrs;
  const char *epilogues;
  guint n_outputs; /* 0 for one */
} KernelCase;

/* A case as a step with tensors. */
typedef struct {
  const KernelCase *source;
  LcipStep step;
  LcipTensorSpec inputs[MAX_INPUTS];
  LcipTensorSpec outputs[MAX_OUTPUTS];
  LcipTensor *constants[MAX_INPUTS];
  /* owned */
  LcipTensor *values[MAX_INPUTS]; /* dense, constants too */
  LcipTensor *expected[MAX_OUTPUTS];
  LcipAttrs *attrs;
  LcipAttrs *epilogue_attrs[LCIP_MAX_EPILOGUES];
} Built;

LcipShape parse_shape(const char *text);
void add_inputs(Built *built, const char *text, GRand *rand);
void set_attrs(LcipAttrs *attrs, const LcipOperator *op, const char *text);
const LcipOperator *find_operator(const char *name);
void run_reference(Built *built);
Built *built_new(const KernelCase *source, guint seed);
void built_free(Built *built);

gboolean close_enough(float found, float expected, float tolerance);

/* ---- each file adds its tests ---- */

void add_golden_tests(void);
void add_infer_tests(void);
