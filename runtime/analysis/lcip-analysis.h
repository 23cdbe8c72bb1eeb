#pragma once

#include "lcip-graph.h"

G_BEGIN_DECLS

/** LcipAnalysis: what is known of a graph without a mapping. Immutable, free with
 * lcip_analysis_free().
 * @order: actors in firing order. @repetitions: firings of each actor per frame.
 * @specs: per actor, per output (@n_outputs of them). @values: per actor, per output the constant
 * it always gives, or NULL (shape arithmetic and constant folding). @graph_inputs: per graph input
 * its spec, shape settled. @edge_tokens: tokens that each
 * edge's buffer needs. */
typedef struct {
  guint n_actors;
  int *order;
  guint *repetitions;
  LcipTensorSpec **specs;
  LcipTensor ***values;
  LcipTensorSpec **input_specs;
  LcipTensor ***input_values;
  guint *n_outputs;
  LcipTensorSpec *graph_inputs;
  guint n_edges;
  guint *edge_tokens;
} LcipAnalysis;

/** lcip_analyse: connections, rates, deadlock, shapes and types. Everything wrong is added to
 * @problems with the actor's id; NULL when an order cannot be found (deadlock); otherwise the
 * analysis of all that could be inferred (specs of type NONE where not).
 * @source_sizes, @input_shapes: as in LcipPlanOptions; may be NULL. */
LcipAnalysis *lcip_analyse(const LcipGraph *graph, GHashTable *source_sizes,
                           GHashTable *input_shapes, GPtrArray *problems);
void lcip_analysis_free(LcipAnalysis *analysis);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipAnalysis, lcip_analysis_free)
/** lcip_analysis_step: fills @step's fields for @actor from the analysis; @inputs and @constants
 * have room for the actor's inputs; outputs point into the analysis. */
void lcip_analysis_step(const LcipAnalysis *analysis, const LcipGraph *graph, int actor,
                        LcipStep *step, LcipTensorSpec *inputs, LcipTensor **constants);

G_END_DECLS
