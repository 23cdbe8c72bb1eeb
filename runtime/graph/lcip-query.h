#pragma once

#include "lcip-graph.h"

G_BEGIN_DECLS

/** LcipQuery: which actors of a graph are meant: "conv2d op:Conv on:gpu is:slow -is:pinned".
 * Every word must fit; a leading - turns one around. Case never matters.
 *   word      is in the actor's name, id or operator
 *   op:Conv   the operator; * stands for any characters
 *   on:gpu    the lane, by name or by kind: cpu, gpu (or opencl), remote
 *   is:slow   one of the slowest, which together make half of the time; is:invalid has a problem;
 *             is:pinned has a pinned kernel; is:placed was placed by hand */
typedef struct _LcipQuery LcipQuery;

/** LcipQueryFacts: what there is to know; all borrowed. @problems: LcipProblem, may be NULL.
 * @actor_ms: per actor the time of its step, where it is the first of one, else 0 or NAN; may be
 * NULL. */
typedef struct {
  const LcipGraph *graph;
  const LcipMapping *mapping;
  const GPtrArray *problems;
  const double *actor_ms;
} LcipQueryFacts;

/** lcip_query_new: NULL and an error for a filter that there is not. */
LcipQuery *lcip_query_new(const char *text, GError **error);
void lcip_query_free(LcipQuery *query);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipQuery, lcip_query_free)
/** lcip_query_run: indices (int) of the actors that fit, in the graph's order; of an empty query
 * all. Transfer full. */
GArray *lcip_query_run(const LcipQuery *query, const LcipQueryFacts *facts);

G_END_DECLS
