#pragma once

#include "lcip-analysis.h"
#include "lcip-kernel.h"

G_BEGIN_DECLS

/* The planner's own copy of a graph, which transforms rewrite: nodes in firing order over numbered
 * values. The document's graph is never touched. */

typedef enum { LCIP_IR_OPERATOR, LCIP_IR_SOURCE, LCIP_IR_SINK } LcipIrKind;

/** LcipIrValue: a tensor between nodes. @producer: node, -1 for constants. @n_uses: inputs that
 * read it. @keep: read from outside (feature-map preview), so it must not be fused away.
 * @replaced_by: what lcip_ir_replace_value() made its readers read, or -1. */
typedef struct {
  LcipTensorSpec spec;
  LcipTensor *constant;
  int producer;
  guint n_uses;
  gboolean keep;
  int replaced_by;
} LcipIrValue;

/** LcipIrNode: an anchor with epilogues. @inputs: values or -1, first the anchor's
 * (@n_anchor_inputs), then the epilogues' side inputs. @actors: indices in the graph, anchor first.
 * @lane: index in graph->lanes; -1 for sources and sinks. @graph_port: for the source or sink of a
 * graph input or output, else -1. @pin: kernel name or NULL.
 * @direct: pinned to "direct": any kernel but Winograd's, and no bar to folding and fusing.
 * @over_budget: of Winograd's kernels only those with at most @budget_bytes of weights, because all
 * the plan's would be more than it may have. */
typedef struct {
  LcipIrKind kind;
  gboolean removed;
  const LcipOperator *op;
  LcipAttrs *attrs;
  GArray *inputs;
  guint n_anchor_inputs;
  GArray *outputs;
  guint n_epilogues;
  LcipEpilogue epilogues[LCIP_MAX_EPILOGUES];
  GArray *actors;
  int lane;
  int graph_port;
  const char *pin;
  gboolean direct;
  gboolean over_budget;
  gsize budget_bytes;
} LcipIrNode;

/** LcipIr: @states, @actor_node: per actor of the graph. @keep: ids whose outputs must stay.
 * @cpu: what kernels may need unless an actor is pinned to them; all that the processor has until
 * the planner takes some away, and then @cpu_reason says why. @n_together: of all steps. */
typedef struct {
  LcipGraph *graph;
  const LcipAnalysis *analysis;
  const LcipMapping *mapping;
  GPtrArray *nodes;
  GArray *values;
  GPtrArray *attrs; /* keeps the epilogues' attributes alive */
  gboolean *actor_folded;
  gboolean *actor_dead;
  int *actor_node;
  int *actor_first_value; /* value of output 0; the others follow */
  LcipCpuFeatures cpu;
  char *cpu_reason;
  guint n_together;
} LcipIr;

LcipIr *lcip_ir_new(LcipGraph *graph, const LcipAnalysis *analysis, const LcipMapping *mapping,
                    GPtrArray *keep);
void lcip_ir_free(LcipIr *ir);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipIr, lcip_ir_free)
LcipIrNode *lcip_ir_node(const LcipIr *ir, int node);
LcipIrValue *lcip_ir_value(const LcipIr *ir, int value);
int lcip_ir_input(const LcipIrNode *node, guint i); /* value or -1 */
int lcip_ir_output(const LcipIrNode *node, guint i);
int lcip_ir_add_value(LcipIr *ir, LcipTensorSpec spec, int producer);
int lcip_ir_add_constant(LcipIr *ir, LcipTensor *tensor); /* takes @tensor */
void lcip_ir_set_input(LcipIr *ir, int node, guint i, int value);
/** lcip_ir_sole_reader: the node that alone reads @value, or -1. */
int lcip_ir_sole_reader(const LcipIr *ir, int value);
/** lcip_ir_constant: the constant behind input @i of @node, or NULL. */
LcipTensor *lcip_ir_constant(const LcipIr *ir, const LcipIrNode *node, guint i);
/** lcip_ir_absorb: @into takes over @node's actors and only output; @node is removed. @into keeps
 * its place, or takes @node's when @at_node (side inputs may be computed in between). */
void lcip_ir_absorb(LcipIr *ir, int into, int node, gboolean at_node);
/** lcip_ir_replace_value: who reads @old reads @value. */
void lcip_ir_replace_value(LcipIr *ir, int old, int value);
/** lcip_ir_remove_folded: @node, whose outputs nobody reads any more, counts as folded away. */
void lcip_ir_remove_folded(LcipIr *ir, int node);
/** lcip_ir_absorb_input: @into, which alone reads @node's only output as its input 0, takes over
 * its actors, before its own, and reads @node's input 0; @node is removed. */
void lcip_ir_absorb_input(LcipIr *ir, int into, int node);
/** lcip_ir_insert: a new operator node without inputs and outputs before node @at, which it moves
 * on by one. */
LcipIrNode *lcip_ir_insert(LcipIr *ir, int at, const LcipOperator *op, LcipAttrs *attrs, int lane);
/** lcip_ir_step: a step description of @node; arrays are filled by the caller's buffers, which hold
 * the node's ports. */
void lcip_ir_step(const LcipIr *ir, const LcipIrNode *node, LcipStep *step, LcipTensorSpec *inputs,
                  LcipTensor **constants, LcipTensorSpec *outputs);

/** lcip_ir_best_kernel: the pinned kernel, else the first of the table, for @node on a lane of
 * @kind with all inputs dense; NULL when there is none. For transforms that must not make a step
 * slower. */
const LcipKernel *lcip_ir_best_kernel(const LcipIr *ir, const LcipIrNode *node, LcipLaneKind kind,
                                      const char *const *families);
/** lcip_ir_least_estimate: of the kernels for the best instruction set that has one for @node were
 * its operator @op, all inputs dense; 0 where they give none. */
double lcip_ir_least_estimate(const LcipIr *ir, const LcipIrNode *node, const LcipOperator *op,
                              LcipLaneKind kind, const char *const *families);
/** lcip_ir_allows: @kernel may be chosen for nodes on a lane of @kind. @families as in
 * LcipPlanOptions. */
gboolean lcip_ir_allows(const LcipIr *ir, const LcipKernel *kernel, LcipLaneKind kind,
                        const char *const *families);
/** lcip_kernel_allowed: the same where nothing is known of the graph, and for pins. */
gboolean lcip_kernel_allowed(const LcipKernel *kernel, LcipLaneKind kind,
                             const char *const *families);

/* ---- transforms, one file each; each returns how often it fired ---- */

/** lcip_transform_dead: removes nodes that no sink and no graph output needs. */
guint lcip_transform_dead(LcipIr *ir);
/** lcip_transform_identity: Identity, Dropout, padding by nothing and Concat of one tensor go;
 * their readers read the input. Not across lanes, pins or kept outputs. */
guint lcip_transform_identity(LcipIr *ir);
/** lcip_transform_common: of actors on a lane that compute the same from the same inputs the first
 * stays. Not where an output is kept, nor pinned ones. */
guint lcip_transform_common(LcipIr *ir);
/** lcip_transform_pad: Pad becomes padding of the window of the Conv, AveragePool or MaxPool that
 * alone reads it. */
guint lcip_transform_pad(LcipIr *ir);
/** lcip_transform_fold_affine: Add, Sub, Mul, Div by per-channel constants and BatchNormalization
 * after a convolution become part of its weights and bias. */
guint lcip_transform_fold_affine(LcipIr *ir);
/** lcip_transform_channels: where chains of Concat, Split, Slice and channel shuffles end, one
 * gather of the channels from where they were computed. CPU lanes; never across lanes, pins or kept
 * values. */
guint lcip_transform_channels(LcipIr *ir, const char *const *families);
/** lcip_transform_transpose: a Transpose that moves only axes of size 1 becomes a Reshape. Not
 * pinned ones, nor in graphs with a remote lane. */
guint lcip_transform_transpose(LcipIr *ir);
/** lcip_transform_gate: x times a function of x becomes one operator: Sigmoid makes Swish,
 * HardSigmoid HardSwish, Tanh of Softplus Mish. Where the lane has a kernel for it; never across
 * lanes, pins or kept values. */
guint lcip_transform_gate(LcipIr *ir, const char *const *families);
/** lcip_transform_hard_swish: x times Clip(x + 3, 0, 6) and constants becomes one operator. Where
 * the lane has a kernel for it; never across lanes, pins or kept values. */
guint lcip_transform_hard_swish(LcipIr *ir, const char *const *families);
/** lcip_transform_expand_depthwise: after lcip_transform_fuse(): a 1x1 convolution and the
 * depthwise one that alone reads it become one step, where blocked kernels would compute both.
 * Never across lanes, pins or kept values. */
guint lcip_transform_expand_depthwise(LcipIr *ir, const char *const *families);
/** lcip_transform_conv_max_pool: after lcip_transform_fuse(): a convolution and the MaxPool of 2x2
 * pixels that alone reads it become one step, where Winograd's kernels can compute it. Never across
 * lanes, pins or kept values. */
guint lcip_transform_conv_max_pool(LcipIr *ir, const char *const *families);
/** lcip_transform_fuse: activations and additions of equal shapes become epilogues of the step
 * before them, where the lane's best kernel can do it. Never across lanes, pins or kept values. */
guint lcip_transform_fuse(LcipIr *ir, const char *const *families);

G_END_DECLS
