#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** LcipRateEdge: an edge of a synchronous dataflow graph. @produced, @consumed: tokens per firing,
 * at least 1. @delay: tokens before the first firing. */
typedef struct {
  int src, dst;
  guint produced, consumed, delay;
} LcipRateEdge;

/** lcip_rates_repetitions: the smallest positive solution of the balance equations
 * r[src] * produced = r[dst] * consumed for every edge (Lee and Messerschmitt, "Synchronous data
 * flow", Proc. IEEE 75(9), 1987), per connected component. FALSE when there is none: then
 * @bad_edge is an edge that contradicts the others. @repetitions holds @n entries. */
gboolean lcip_rates_repetitions(guint n, const LcipRateEdge *edges, guint n_edges,
                                guint *repetitions, guint *bad_edge);

/** lcip_rates_schedule: fires every actor as often as @repetitions says, whenever its inputs hold
 * enough tokens (a class-S schedule). Fills @max_tokens (may be NULL), per edge the most tokens
 * that lie on it: the buffer's size. FALSE on deadlock: then @blocked (may be NULL) is an actor
 * that cannot fire. */
gboolean lcip_rates_schedule(guint n, const LcipRateEdge *edges, guint n_edges,
                             const guint *repetitions, guint *max_tokens, guint *blocked);

G_END_DECLS
