#pragma once

#include "lcip-plan.h"

G_BEGIN_DECLS

/* The inside of a plan, for the engine and the tests. Everything is immutable. */

/** LcipPlanStore: where a tensor lies.
 * ARENA: at offset_bytes of its lane's arena (host memory for CPU lanes, one cl_mem for OpenCL).
 * TOKEN: in a token's host buffer: produced by one segment, read by others (channels).
 * CONSTANT: in @constant; lanes on OpenCL read an upload of it. */
typedef enum { LCIP_STORE_ARENA, LCIP_STORE_TOKEN, LCIP_STORE_CONSTANT } LcipPlanStore;

/** LcipPlanTensor: @root: index of the tensor whose storage this one shares, from
 * @view_offset_bytes on: with another shape (view operators), after its last use (in-place steps),
 * or as a part of it (what Concat joins); or -1. Store and lane are then the root's.
 * @joined: a part of what Concat joins; @spare_offset_bytes: where they lie in a frame in which
 * they are smaller than planned; else 0.
 * @src_segment: for TOKEN, who writes it. */
typedef struct {
  LcipTensorSpec spec;
  LcipPlanStore store;
  int root;
  gboolean joined;
  int lane;
  int src_segment;
  gsize view_offset_bytes;
  gsize offset_bytes;
  gsize spare_offset_bytes;
  gsize size_bytes;
  LcipTensor *constant;
} LcipPlanTensor;

/** LcipPlanStepKind: KERNEL runs a kernel. UPLOAD and DOWNLOAD copy inputs[0] to outputs[0] between
 * host (TOKEN) and device (ARENA) in an OpenCL segment. SOURCE gives the picture of a source actor
 * or a graph input; SINK takes a sink actor's inputs or a graph output. REMOTE stands for all
 * actors of its segment, which a worker computes. */
typedef enum {
  LCIP_STEP_KERNEL,
  LCIP_STEP_UPLOAD,
  LCIP_STEP_DOWNLOAD,
  LCIP_STEP_SOURCE,
  LCIP_STEP_SINK,
  LCIP_STEP_REMOTE
} LcipPlanStepKind;

/** LcipRemotePart: what a REMOTE step stands for. @graph: its actors as they are in the document;
 * the cut edges are graph inputs and outputs, in the order of the step's. It has a lane and a
 * mapping LCIP_REMOTE_WORKER, for the worker, and LCIP_REMOTE_FALLBACK, for the lane that takes
 * over while the worker is lost. @fallback: a plan for that. */
#define LCIP_REMOTE_WORKER "worker"
#define LCIP_REMOTE_FALLBACK "fallback"
typedef struct {
  LcipGraph *graph;
  LcipPlan *fallback;
  int fallback_lane; /* index in plan->lanes */
  gboolean pinned;
} LcipRemotePart;

/** LcipPlanWork: what the engine needs of step i, beside its public LcipPlanStep.
 * @step: descriptor with planned specs (formats included); its arrays are owned by the plan.
 * @inputs, @outputs: tensor indices, -1 for an absent optional input.
 * @graph_port: for SOURCE and SINK of a graph input or output its index, else -1 (the actor is
 * public.actors[0]). */
typedef struct {
  LcipPlanStepKind kind;
  LcipStep step;
  LcipPortFormats formats;
  LcipBlob *blob;
  int *inputs;
  int *outputs;
  gsize scratch_bytes;
  int graph_port;
  LcipRemotePart *remote; /* REMOTE */
} LcipPlanWork;

/** LcipPlanSegment: steps that one worker executes in a static order for one frame. Kind SOURCE is
 * segment 0 (lane -1): all sources and graph inputs. Kind SINK is the last (lane -1). */
typedef enum { LCIP_SEGMENT_SOURCE, LCIP_SEGMENT_WORK, LCIP_SEGMENT_SINK } LcipSegmentKind;
typedef struct {
  LcipSegmentKind kind;
  int lane;
  guint n_steps;
  int *steps;
} LcipPlanSegment;

/** LcipPlanChannel: one FIFO: @tensor (a TOKEN) from segment to segment. A token with several
 * channels is shared, not copied. @delay: zero-filled tokens before the first frame. */
typedef struct {
  int tensor;
  int src_segment;
  int dst_segment;
  guint delay;
} LcipPlanChannel;

struct _LcipPlan {
  gatomicrefcount refs;
  gboolean sketch;     /* without prepared weights */
  LcipCpuFeatures cpu; /* what kernels might need that no pin names */
  LcipGraph *graph;
  char *mapping;
  GPtrArray *steps;     /* LcipPlanStep */
  GPtrArray *works;     /* LcipPlanWork, same indices */
  GPtrArray *actors;    /* LcipPlanActor, indices of the graph */
  GPtrArray *lanes;     /* LcipPlanLane, indices of graph->lanes */
  GArray *tensors;      /* LcipPlanTensor */
  GArray *segments;     /* LcipPlanSegment */
  GArray *channels;     /* LcipPlanChannel */
  gsize *scratch_bytes; /* per lane: the largest of its steps */
  gsize *edge_bytes;    /* per graph edge */
};

/** LcipPlanLayout: the memory of a CPU lane in two parts, for instances that take turns at it: a
 * firing may pause at some of its steps, and others compute meanwhile. What lives at such a step is
 * an instance's @own; everything else they have in common. @offset_bytes, @is_shared: per tensor
 * that owns its storage in the arena; of parts of it the same distance on as in the plan. */
typedef struct {
  gsize arena_bytes, scratch_bytes;
} LcipPlanMemory;
typedef struct {
  LcipPlanMemory own, shared;
  gsize *offset_bytes;
  gboolean *is_shared;
} LcipPlanLayout;

/** lcip_plan_layout_new: @pauses: per step of @plan. */
LcipPlanLayout *lcip_plan_layout_new(const LcipPlan *plan, int lane, const gboolean *pauses);
void lcip_plan_layout_free(LcipPlanLayout *layout);

/** lcip_plan_root: the tensor that owns the storage of @tensor. */
int lcip_plan_root(const LcipPlan *plan, int tensor);

G_END_DECLS
