#include "config.h"
#include "lcip-rates.h"

/* A firing rate relative to the first actor of the component, in lowest terms. */
typedef struct {
  guint64 num, den;
} Ratio;

static guint64 gcd(guint64 a, guint64 b) {
  while (b) {
    const guint64 r = a % b;
    a = b;
    b = r;
  }
  return a;
}

static gboolean ratio_scale(Ratio in, guint64 num, guint64 den, Ratio *out) {
  const guint64 a = gcd(in.num, den), b = gcd(num, in.den);
  return g_uint64_checked_mul(&out->num, in.num / a, num / b) &&
         g_uint64_checked_mul(&out->den, in.den / b, den / a);
}

/* Follows edges from actors with known ratios until nothing changes. */
static gboolean spread(const LcipRateEdge *edges, guint n_edges, Ratio *ratios, int *component,
                       int current, guint *bad_edge) {
  for (gboolean changed = TRUE; changed;) {
    changed = FALSE;
    for (guint i = 0; i < n_edges; i++) {
      const LcipRateEdge *e = &edges[i];
      Ratio ratio;
      const gboolean src_known = component[e->src] == current;
      const gboolean dst_known = component[e->dst] == current;
      if (!src_known && !dst_known)
        continue;
      *bad_edge = i;
      if (src_known) {
        if (!ratio_scale(ratios[e->src], e->produced, e->consumed, &ratio))
          return FALSE;
        if (dst_known) {
          if (ratio.num != ratios[e->dst].num || ratio.den != ratios[e->dst].den)
            return FALSE;
          continue;
        }
        ratios[e->dst] = ratio;
        component[e->dst] = current;
      } else {
        if (!ratio_scale(ratios[e->dst], e->consumed, e->produced, &ratio))
          return FALSE;
        ratios[e->src] = ratio;
        component[e->src] = current;
      }
      changed = TRUE;
    }
  }
  return TRUE;
}

/* Scales a component's ratios to the smallest integers. */
static gboolean to_integers(guint n, const Ratio *ratios, const int *component, int current,
                            guint *repetitions) {
  guint64 multiple = 1, divisor = 0;
  for (guint i = 0; i < n; i++) {
    if (component[i] != current)
      continue;
    if (!g_uint64_checked_mul(&multiple, multiple / gcd(multiple, ratios[i].den), ratios[i].den))
      return FALSE;
  }
  for (guint i = 0; i < n; i++)
    if (component[i] == current)
      divisor = gcd(divisor, ratios[i].num * (multiple / ratios[i].den));
  for (guint i = 0; i < n; i++) {
    if (component[i] != current)
      continue;
    const guint64 firings = ratios[i].num * (multiple / ratios[i].den) / divisor;
    if (firings > G_MAXUINT16)
      return FALSE;
    repetitions[i] = (guint)firings;
  }
  return TRUE;
}

gboolean lcip_rates_repetitions(guint n, const LcipRateEdge *edges, guint n_edges,
                                guint *repetitions, guint *bad_edge) {
  g_autofree Ratio *ratios = g_new0(Ratio, n + 1);
  g_autofree int *component = g_new0(int, n + 1);
  int current = 0;
  *bad_edge = 0;
  for (guint i = 0; i < n; i++) {
    if (component[i])
      continue;
    component[i] = ++current;
    ratios[i] = (Ratio){1, 1};
    if (!spread(edges, n_edges, ratios, component, current, bad_edge) ||
        !to_integers(n, ratios, component, current, repetitions))
      return FALSE;
  }
  return TRUE;
}

static gboolean can_fire(int actor, const LcipRateEdge *edges, guint n_edges,
                         const guint64 *tokens) {
  for (guint i = 0; i < n_edges; i++)
    if (edges[i].dst == actor && tokens[i] < edges[i].consumed)
      return FALSE;
  return TRUE;
}

static void fire(int actor, const LcipRateEdge *edges, guint n_edges, guint64 *tokens,
                 guint *max_tokens) {
  for (guint i = 0; i < n_edges; i++)
    if (edges[i].dst == actor)
      tokens[i] -= edges[i].consumed;
  for (guint i = 0; i < n_edges; i++) {
    if (edges[i].src != actor)
      continue;
    tokens[i] += edges[i].produced;
    if (max_tokens)
      max_tokens[i] = MAX(max_tokens[i], (guint)MIN(tokens[i], G_MAXUINT));
  }
}

gboolean lcip_rates_schedule(guint n, const LcipRateEdge *edges, guint n_edges,
                             const guint *repetitions, guint *max_tokens, guint *blocked) {
  g_autofree guint64 *tokens = g_new0(guint64, n_edges + 1);
  g_autofree guint *left = g_memdup2(repetitions, sizeof(guint) * n);
  for (guint i = 0; i < n_edges; i++) {
    tokens[i] = edges[i].delay;
    if (max_tokens)
      max_tokens[i] = edges[i].delay;
  }
  for (gboolean progress = TRUE; progress;) {
    progress = FALSE;
    for (guint i = 0; i < n; i++) {
      if (left[i] == 0 || !can_fire((int)i, edges, n_edges, tokens))
        continue;
      fire((int)i, edges, n_edges, tokens, max_tokens);
      left[i]--;
      progress = TRUE;
    }
  }
  for (guint i = 0; i < n; i++) {
    if (left[i] == 0)
      continue;
    if (blocked)
      *blocked = i;
    return FALSE;
  }
  return TRUE;
}
