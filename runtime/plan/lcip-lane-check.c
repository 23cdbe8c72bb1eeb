#include "config.h"
#include "lcip-ir.h"
#include "lcip-plan.h"

/* The last graph that was asked about keeps its analysis: an editor asks for every lane and actor
 * under a drag. */
G_LOCK_DEFINE_STATIC(last);
static LcipGraph *last_graph;
static LcipAnalysis *last_analysis;

static const LcipAnalysis *analysis_of(LcipGraph *graph) {
  if (graph == last_graph)
    return last_analysis;
  g_clear_pointer(&last_analysis, lcip_analysis_free);
  g_clear_pointer(&last_graph, lcip_graph_unref);
  last_graph = lcip_graph_ref(graph);
  last_analysis = lcip_analyse(graph, NULL, NULL, NULL);
  return last_analysis;
}

static gboolean any_kernel(const LcipStep *step, LcipLaneKind kind, const char **why) {
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  LcipPortFormats formats;
  const char *reason = NULL;
  for (guint i = 0; i < n; i++) {
    const char *refusal = NULL;
    if (!lcip_kernel_allowed(table[i], kind, NULL) || !lcip_kernel_handles(table[i], step))
      continue;
    lcip_formats_dense(step, &formats);
    if (lcip_kernel_supports(table[i], step, &formats, &refusal))
      return TRUE;
    reason = refusal;
  }
  *why = reason ? reason : "There is no kernel for this operator on this kind of lane";
  return FALSE;
}

static gboolean check_step(LcipGraph *graph, const LcipAnalysis *analysis, int index,
                           LcipLaneKind kind, const char **why) {
  const LcipActor *actor = lcip_graph_actor(graph, index);
  g_autofree LcipTensorSpec *inputs = g_new0(LcipTensorSpec, actor->n_inputs + 1);
  g_autofree LcipTensor **constants = g_new0(LcipTensor *, actor->n_inputs + 1);
  LcipStep step;
  lcip_analysis_step(analysis, graph, index, &step, inputs, constants);
  for (guint o = 0; o < step.n_outputs; o++)
    if (step.outputs[o].type == LCIP_TYPE_NONE) {
      *why = "Its shapes are not known";
      return FALSE;
    }
  if (actor->n_outputs && analysis->values[index][0])
    return TRUE; /* folded away wherever it stands */
  return (actor->op->flags & LCIP_OP_VIEW) || any_kernel(&step, kind, why);
}

gboolean lcip_lane_can_run(LcipGraph *graph, int index, LcipLaneKind kind, const char **why) {
  const LcipActor *actor = lcip_graph_actor(graph, index);
  const char *ignored;
  if (!why)
    why = &ignored;
  *why = "LCIP has no such operator";
  if (!actor->op)
    return FALSE;
  if (kind == LCIP_LANE_CPU && (actor->op->flags & (LCIP_OP_SOURCE | LCIP_OP_SINK)))
    return TRUE;
  /* What the worker's own planner says is known when the part is deployed; the least that it has
   * is a CPU. Sources and sinks stay here, with the pictures. */
  if (kind == LCIP_LANE_REMOTE) {
    *why = "Sources and sinks stay on this machine";
    if (actor->op->flags & (LCIP_OP_SOURCE | LCIP_OP_SINK))
      return FALSE;
    kind = LCIP_LANE_CPU;
  }
  if (kind != LCIP_LANE_CPU && (actor->op->flags & LCIP_OP_CPU_ONLY)) {
    *why = actor->op->cpu_only_reason ? actor->op->cpu_only_reason : "It runs on CPU lanes only";
    return FALSE;
  }
  G_LOCK(last);
  const LcipAnalysis *analysis = analysis_of(graph);
  *why = "The graph has no firing order";
  const gboolean can = analysis && check_step(graph, analysis, index, kind, why);
  G_UNLOCK(last);
  return can;
}
