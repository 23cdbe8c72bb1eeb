#pragma once

#include "lcip-kernel.h"

/* The tables that the build makes; NULL-terminated. */
extern const LcipOperator *const *const lcip_operator_tables[];
extern const LcipKernel *const lcip_kernels[];
