#include "config.h"
#include "lcip-plan-private.h"

/* How an edge of the document gets from one lane to another: which steps of the plan carry it. */

#define MAX_CARRIERS 4 /* download, upload, and a reorder on each side */

static const LcipPlanWork *work_at(const LcipPlan *plan, guint step) {
  return plan->works->pdata[step];
}

/* Copies and reorders belong to no actor: they take one tensor and give it elsewhere or otherwise.
 */
static gboolean is_carrier(const LcipPlan *plan, guint step) {
  const LcipPlanStep *public = plan->steps->pdata[step];
  return public->n_actors == 0 && !public->is_io;
}

/* The tensor that an edge begins with: of the step that computes it, behind view actors, which have
 * none. -1 for folded ones. */
static int first_tensor(const LcipPlan *plan, const LcipEdge *edge) {
  while (edge && edge->src_actor >= 0) {
    const LcipPlanActor *actor = plan->actors->pdata[edge->src_actor];
    if (actor->step >= 0) {
      const LcipPlanStep *step = plan->steps->pdata[actor->step];
      return work_at(plan, (guint)actor->step)->outputs[step->n_actors > 1 ? 0 : edge->src_port];
    }
    const LcipOperator *op = lcip_graph_actor(plan->graph, edge->src_actor)->op;
    if (actor->state != LCIP_ACTOR_RUN || !op || !(op->flags & LCIP_OP_VIEW))
      return -1;
    edge = lcip_graph_edge_to(plan->graph, edge->src_actor, 0);
  }
  return -1;
}

static gboolean reads(const LcipPlan *plan, guint step, int root) {
  const LcipPlanWork *work = work_at(plan, step);
  for (guint i = 0; i < work->step.n_inputs; i++)
    if (work->inputs[i] >= 0 && lcip_plan_root(plan, work->inputs[i]) == root)
      return TRUE;
  return FALSE;
}

/* Is @tensor what the actor at the edge's end takes? An actor without a step takes what lies on its
 * lane. */
static gboolean arrived(const LcipPlan *plan, const LcipEdge *edge, int root) {
  const LcipPlanActor *actor = plan->actors->pdata[edge->dst_actor];
  if (actor->step >= 0)
    return reads(plan, (guint)actor->step, root);
  return g_array_index(plan->tensors, LcipPlanTensor, root).lane == actor->lane;
}

/* Depth first from @root along steps that carry it. Returns how many there are up to the end of the
 * edge, -1 when this way does not lead there. */
static int follow(const LcipPlan *plan, const LcipEdge *edge, int root, int *steps, int n) {
  if (arrived(plan, edge, root))
    return n;
  for (guint i = 0; n < MAX_CARRIERS && i < plan->steps->len; i++) {
    if (!is_carrier(plan, i) || !reads(plan, i, root))
      continue;
    steps[n] = (int)i;
    const int found =
        follow(plan, edge, lcip_plan_root(plan, work_at(plan, i)->outputs[0]), steps, n + 1);
    if (found >= 0)
      return found;
  }
  return -1;
}

guint lcip_plan_edge_carriers(const LcipPlan *plan, guint index, int steps[4]) {
  G_STATIC_ASSERT(MAX_CARRIERS == 4);
  const LcipEdge *edge = &g_array_index(plan->graph->edges, LcipEdge, index);
  const int tensor = edge->dst_actor >= 0 ? first_tensor(plan, edge) : -1;
  const int n = tensor >= 0 ? follow(plan, edge, lcip_plan_root(plan, tensor), steps, 0) : 0;
  return (guint)MAX(n, 0);
}
