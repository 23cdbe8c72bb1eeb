#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** LcipCpuFeatures: what a kernel may need of the processor. */
typedef enum {
  LCIP_CPU_ANY = 0,
  LCIP_CPU_AVX2_FMA = 1 << 0,
  LCIP_CPU_AVX512 = 1 << 1, /* F, BW, DQ, VL */
  LCIP_CPU_NEON = 1 << 2,
  LCIP_CPU_AVX512VL = 1 << 3, /* as AVX512, for kernels whose vectors have 256 bits */
  LCIP_CPU_FULL_WIDTH =
      1 << 4 /* no kernel needs it: 512 bits are computed at once, not as halves */
} LcipCpuFeatures;

/** lcip_cpu_features: of this machine, found once. LCIP_CPU_MAX=generic|avx2|avx512vl|avx512 in the
 * environment lowers it (tests, valgrind); LCIP_CPU_VECTOR_BITS=256|512 says how many bits AVX-512
 * computes at once, whatever the processor says. */
LcipCpuFeatures lcip_cpu_features(void);
/** lcip_cpu_count: processors that this process may run on. */
guint lcip_cpu_count(void);
/** lcip_cpu_name: model name for people, static. */
const char *lcip_cpu_name(void);

G_END_DECLS
