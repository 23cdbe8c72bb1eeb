#include "config.h"
#include "lcip-cpu.h"

#include <sched.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>

/* Processors of AMD tell how wide their units are (AMD64 Architecture Programmer's Manual, volume
 * 3, function 8000_001A); all others that have AVX-512 compute 512 bits at once. */
static gboolean is_full_width(void) {
  enum { FUNCTION = 0x8000001a, FP256 = 1 << 2, FP512 = 1 << 3 };
  guint eax, ebx, ecx, edx;
  return !__builtin_cpu_is("amd") || !__get_cpuid(FUNCTION, &eax, &ebx, &ecx, &edx) ||
         (eax & (FP256 | FP512)) != FP256;
}
#endif

static LcipCpuFeatures detect(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  LcipCpuFeatures found = LCIP_CPU_ANY;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    found |= LCIP_CPU_AVX2_FMA;
  if (found && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    found |= LCIP_CPU_AVX512 | LCIP_CPU_AVX512VL | (is_full_width() ? LCIP_CPU_FULL_WIDTH : 0);
  return found;
#elif defined(__aarch64__)
  return LCIP_CPU_NEON;
#else
  return LCIP_CPU_ANY;
#endif
}

/* What LCIP_CPU_MAX leaves. */
static LcipCpuFeatures most(const char *limit) {
  if (g_strcmp0(limit, "generic") == 0)
    return LCIP_CPU_NEON;
  if (g_strcmp0(limit, "avx2") == 0)
    return LCIP_CPU_NEON | LCIP_CPU_AVX2_FMA;
  if (g_strcmp0(limit, "avx512vl") == 0)
    return LCIP_CPU_NEON | LCIP_CPU_AVX2_FMA | LCIP_CPU_AVX512VL;
  return ~LCIP_CPU_ANY;
}

LcipCpuFeatures lcip_cpu_features(void) {
  static gsize once;
  static LcipCpuFeatures features;
  if (g_once_init_enter(&once)) {
    features = detect() & most(g_getenv("LCIP_CPU_MAX"));
    const char *bits = g_getenv("LCIP_CPU_VECTOR_BITS");
    if (g_strcmp0(bits, "256") == 0)
      features &= ~LCIP_CPU_FULL_WIDTH;
    else if (g_strcmp0(bits, "512") == 0 && features & LCIP_CPU_AVX512)
      features |= LCIP_CPU_FULL_WIDTH;
    g_once_init_leave(&once, 1);
  }
  return features;
}

guint lcip_cpu_count(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
    return (guint)CPU_COUNT(&set);
  return g_get_num_processors();
}

static char *read_cpu_name(void) {
  g_autofree char *text = NULL;
  if (g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL)) {
    const char *line = strstr(text, "model name");
    const char *colon = line ? strchr(line, ':') : NULL;
    if (colon) {
      const char *end = strchr(colon, '\n');
      char *name = g_strndup(colon + 1, end ? (gsize)(end - colon - 1) : strlen(colon + 1));
      return g_strstrip(name);
    }
  }
  return g_strdup("CPU");
}

const char *lcip_cpu_name(void) {
  static gsize once;
  static char *name;
  if (g_once_init_enter(&once)) {
    name = read_cpu_name();
    g_once_init_leave(&once, 1);
  }
  return name;
}
