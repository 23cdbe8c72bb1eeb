#include "config.h"
#include "lcip-cpu.h"

#include <sched.h>
#include <string.h>

static LcipCpuFeatures detect(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  LcipCpuFeatures found = LCIP_CPU_ANY;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    found |= LCIP_CPU_AVX2_FMA;
  if (found && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    found |= LCIP_CPU_AVX512;
  return found;
#elif defined(__aarch64__)
  return LCIP_CPU_NEON;
#else
  return LCIP_CPU_ANY;
#endif
}

LcipCpuFeatures lcip_cpu_features(void) {
  static gsize once;
  static LcipCpuFeatures features;
  if (g_once_init_enter(&once)) {
    features = detect();
    const char *limit = g_getenv("LCIP_CPU_MAX");
    if (g_strcmp0(limit, "generic") == 0)
      features &= LCIP_CPU_NEON;
    else if (g_strcmp0(limit, "avx2") == 0)
      features &= LCIP_CPU_AVX2_FMA | LCIP_CPU_NEON;
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
