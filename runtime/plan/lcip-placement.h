#pragma once

#include "lcip-calibration.h"
#include "lcip-ir.h"
#include "lcip-plan-private.h"

G_BEGIN_DECLS

/* Between the transformed graph and the plan: nodes with their kernels and formats, in firing
 * order, with the reorders that the formats need. */

/** LcipPlacedValue: @root: the value whose storage it shares (view operators), itself otherwise.
 * @producer: placed node, -1 for constants. @reordered: per format the value that holds the same
 * tensor in it, or -1. */
typedef struct {
  LcipTensorSpec spec;
  LcipTensor *constant;
  int root;
  int producer;
  int reordered[LCIP_N_FORMATS];
} LcipPlacedValue;

/** LcipPlacedNode: @ir_node: -1 for a reorder. @level: number of lane changes on the longest way
 * from a source; lane and level make the segment. */
typedef struct {
  int ir_node;
  LcipIrKind kind;
  int lane;
  int level;
  const LcipKernel *kernel;
  LcipPortFormats formats;
  char *reason;
  GArray *inputs;  /* placed values or -1 */
  GArray *outputs; /* placed values */
} LcipPlacedNode;

typedef struct {
  LcipIr *ir;
  const char *const *families;
  LcipNumerics numerics; /* the most that a kernel without a pin may differ */
  const LcipCalibration *calibration;
  const guint *threads; /* per lane */
  GPtrArray *problems;
  GPtrArray *nodes; /* LcipPlacedNode */
  GArray *values;   /* LcipPlacedValue */
  int *of_ir_value; /* IR value -> placed value or -1 */
} LcipPlacement;

/** lcip_placement_new: chooses kernels and formats; none of more than @numerics unless an actor is
 * pinned to it. @calibration: may be NULL. @threads: of each lane. What cannot be placed is added
 * to @problems. */
LcipPlacement *lcip_placement_new(LcipIr *ir, const char *const *families, LcipNumerics numerics,
                                  const LcipCalibration *calibration, const guint *threads,
                                  GPtrArray *problems);
/** lcip_placement_keep_budget: marks the nodes whose Winograd weights are beyond @budget_bytes in
 * all, so that another placement of the same graph takes other kernels for them; how many. */
guint lcip_placement_keep_budget(const LcipPlacement *placement, gsize budget_bytes);
/** lcip_placement_frames_together: for how many frames each of @streams does those steps at once
 * that read much, so that the estimates of another placement of the same graph know it. */
guint lcip_placement_frames_together(const LcipPlacement *placement, guint streams);
void lcip_placement_free(LcipPlacement *placement);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipPlacement, lcip_placement_free)
LcipPlacedNode *lcip_placement_node(const LcipPlacement *placement, int node);
LcipPlacedValue *lcip_placement_value(const LcipPlacement *placement, int value);

/** lcip_plan_choose_width: takes AVX-512's long vectors from @ir where the processor computes them
 * in halves and the convolutions of its CPU lanes would be much larger with channels padded to
 * blocks of 16 than to blocks of 8. */
void lcip_plan_choose_width(LcipIr *ir);
/** lcip_plan_build: steps, segments, tensors, channels and memory from a placement. */
gboolean lcip_plan_build(LcipPlan *plan, const LcipPlacement *placement,
                         const LcipPlanOptions *options, GCancellable *cancellable, GError **error);
/** lcip_remote_part_new: the graph and the fallback plan of the actors of placed @nodes (int, in
 * firing order). @inputs, @outputs: placed values (int) that enter and leave. */
LcipRemotePart *lcip_remote_part_new(const LcipPlan *plan, const LcipPlacement *placement,
                                     const LcipPlanOptions *options, const GArray *nodes,
                                     const GArray *inputs, const GArray *outputs,
                                     GCancellable *cancellable, GError **error);
void lcip_remote_part_free(LcipRemotePart *part);
/** lcip_placement_dense: the placed value that holds IR value @value in dense format, or -1. */
int lcip_placement_dense(const LcipPlacement *placement, int value);
/** lcip_plan_assign_memory: offsets of the arena tensors, by lifetime inside each segment. */
void lcip_plan_assign_memory(LcipPlan *plan);
/** lcip_plan_join: inputs of Concat become parts of its output where they can lie there. */
void lcip_plan_join(LcipPlan *plan, const LcipPlanSegment *segment);

G_END_DECLS
