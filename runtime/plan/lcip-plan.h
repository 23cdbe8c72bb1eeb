#pragma once

#include <gio/gio.h>

#include "lcip-runtime.h"

G_BEGIN_DECLS

/** LcipPlan: the immutable result of compiling a graph under a mapping: steps, kernels, formats,
 * memory, schedules. Holds no memory for tensors. Atomically reference-counted; any thread. */
typedef struct _LcipPlan LcipPlan;

/** LCIP_WINOGRAD_BUDGET: 512 MiB: more than any usual classification network takes. */
#define LCIP_WINOGRAD_BUDGET ((gsize)512 << 20)

/** LCIP_TOGETHER_BYTES: from so many bytes of weights on that streams read together, a stream reads
 * them for LCIP_FRAMES_TOGETHER at once. Measured with two streams, for two frames and for four:
 * VGG-16 (861 MB) gains 5 and 9 %, AlexNet (235 MB) 2 and 20 %; networks with a few MB lose. */
#define LCIP_TOGETHER_BYTES ((gsize)192 << 20)
#define LCIP_FRAMES_TOGETHER 4

/** LcipPlanOptions: all borrowed; zero is the default.
 * @mapping: NULL for the active one. @bindings: lane name -> device id, or NULL.
 * @source_sizes: actor id -> LcipShape* (height, width, 3): largest picture of each source; 512x512
 *   where it is not known yet.
 * @input_shapes: graph input name -> LcipShape*, for unknown dimensions.
 * @pinned: reference kernels' order kept: no fusion across what a mapping could split, so that two
 *   mappings with kernels of equal numerics give equal bits; and no Winograd kernel, unless an
 *   actor's pin names it.
 * @keep: array of char* actor ids whose outputs must not be fused away (feature-map preview);
 *   those on remote lanes are not kept.
 * @threads: overrides every CPU lane's; 0 for as written.
 * @streams: replicas that will run beside each other: CPU lanes that leave their threads open share
 *   the processors out among them; 0 is 1.
 * @direct: no Winograd convolution: sums of the products that the operators define, in any order.
 * @winograd_budget_bytes: most that Winograd's weights may take in all; 0 for LCIP_WINOGRAD_BUDGET.
 * @no_calibration: kernels chosen by estimate, whatever has been measured. Neither do @pinned plans
 * look at measurements.
 * @sketch: without prepared weights: a plan to look at and to predict from, not to run.
 * @families: NULL, or a NULL-terminated list that kernels are limited to (reference added last). */
typedef struct {
  const char *mapping;
  GHashTable *bindings;
  GHashTable *source_sizes;
  GHashTable *input_shapes;
  gboolean pinned;
  GPtrArray *keep;
  guint threads;
  guint streams;
  gboolean direct;
  gsize winograd_budget_bytes;
  gboolean no_calibration;
  gboolean sketch;
  const char *const *families;
} LcipPlanOptions;

typedef enum { LCIP_ACTOR_RUN, LCIP_ACTOR_FOLDED, LCIP_ACTOR_DEAD } LcipActorState;

/** LcipPlanActor: what became of an actor. @step: index of its step, or -1 (folded, dead, sources
 * and sinks have steps too). @outputs: spec of each output; type NONE when unknown.
 * @elided: bit i: output i is fused away. */
typedef struct {
  LcipActorState state;
  int step;
  int lane;
  guint n_outputs;
  LcipTensorSpec *outputs;
  guint64 elided;
} LcipPlanActor;

/** LcipPlanStep: @actors: indices in the graph, anchor first; empty for reorders and copies, then
 * @title says what it is. @reason: why this kernel, for people. @is_io: source or sink. */
typedef struct {
  char *title;
  const LcipKernel *kernel;
  char *reason;
  int lane;
  int segment;
  gboolean is_io;
  guint n_actors;
  int *actors;
  LcipCost cost;
  LcipTensorSpec output;
} LcipPlanStep;

/** LcipPlanLane: a lane in use or not. @device: NULL when nothing could be bound.
 * @arena_bytes: tensors of one instance.
 * @spare_bytes: address space behind them that only frames smaller than planned touch.
 * @weight_bytes: constants and prepared weights. */
typedef struct {
  char *name;
  LcipLaneKind kind;
  const LcipDevice *device;
  guint threads;
  gsize arena_bytes;
  gsize spare_bytes;
  gsize unshared_bytes; /* what the tensors would need without sharing memory by lifetime */
  gsize weight_bytes;
  guint n_steps;
} LcipPlanLane;

/** lcip_plan_new: analyses and compiles. Problems that concern actors are added to @problems (may
 * be NULL) with their ids; when one is an error the call fails with a summary. Takes long (prepares
 * weights): call off the main thread. */
LcipPlan *lcip_plan_new(LcipGraph *graph, const LcipPlanOptions *options, GPtrArray *problems,
                        GCancellable *cancellable, GError **error);
LcipPlan *lcip_plan_ref(LcipPlan *plan);
void lcip_plan_unref(LcipPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipPlan, lcip_plan_unref)

LcipGraph *lcip_plan_graph(const LcipPlan *plan);
const char *lcip_plan_mapping(const LcipPlan *plan);
guint lcip_plan_n_steps(const LcipPlan *plan);
const LcipPlanStep *lcip_plan_step(const LcipPlan *plan, guint i);
const LcipPlanActor *lcip_plan_actor(const LcipPlan *plan, guint actor);
guint lcip_plan_n_lanes(const LcipPlan *plan);
const LcipPlanLane *lcip_plan_lane(const LcipPlan *plan, guint i);
guint lcip_plan_n_segments(const LcipPlan *plan);
/** lcip_plan_is_sketch: made with LcipPlanOptions.sketch. */
gboolean lcip_plan_is_sketch(const LcipPlan *plan);
/** lcip_plan_edge_bytes: bytes per frame that graph edge @edge carries between lanes; 0 inside one.
 */
gsize lcip_plan_edge_bytes(const LcipPlan *plan, guint edge);

/** lcip_plan_edge_carriers: the steps that no actor has (copies between host and device, reorders)
 * on the way of graph edge @edge, in order; returns how many. Their times make the edge's. */
guint lcip_plan_edge_carriers(const LcipPlan *plan, guint edge, int steps[4]);

/** lcip_lane_can_run: can a lane of @kind run actor @actor of @graph? @specs from lcip_analyse().
 * FALSE with @why (static or interned text) for the editor's dimmed lanes. */
gboolean lcip_lane_can_run(LcipGraph *graph, int actor, LcipLaneKind kind, const char **why);

G_END_DECLS
