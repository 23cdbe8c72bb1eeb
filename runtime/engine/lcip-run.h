#pragma once

#include "lcip-link-status.h"
#include "lcip-media.h"
#include "lcip-plan.h"

G_BEGIN_DECLS

/** LcipRun: a plan at work: sources, sinks, and one instance for each plan that has frames in
 * flight. Atomically reference-counted; functions may be called by any thread. */
typedef struct _LcipRun LcipRun;

typedef enum { LCIP_FRAME_DATA, LCIP_FRAME_ERROR } LcipFrameStatus;

/** LcipFrameValue: what arrived at one sink port or graph output.
 * @actor_id: the sink, NULL for a graph output. @name: the sink's port or the output's name. */
typedef struct {
  const char *actor_id;
  const char *op_name;
  const char *name;
  LcipTensor *tensor;
} LcipFrameValue;

/** LcipFrame: one finished frame, delivered in the order of numbers, each exactly once.
 * @epoch: counts plans, 1 is the first. Borrowed during the callback; tensors may be kept by
 * reference. @picture: what the source gave, where there is one. */
typedef struct {
  guint64 number;
  guint64 epoch;
  gint64 timestamp_ns;
  gint64 latency_ns;
  LcipTensor *picture;
  guint n_values;
  const LcipFrameValue *values;
} LcipFrame;

/** LcipFrameFunc: called on the run's sink thread. */
typedef void (*LcipFrameFunc)(const LcipFrame *frame, gpointer data);

/** LcipEndFunc: called once, on the run's sink thread, when lcip_run_is_done(). It must not drop
 * the last reference to the run. */
typedef void (*LcipEndFunc)(gpointer data);

/** LcipLaneFunc: remote lane @lane of @plan got ready or went offline; called on its thread, or,
 * for the first time, on that which starts the run or sets the plan. @status is borrowed. */
typedef void (*LcipLaneFunc)(LcipPlan *plan, guint lane, const LcipLinkStatus *status,
                             gpointer data);

/** LcipRunOptions: @source: for the graph's picture source (NULL where it has none, or when
 * @inputs names the source's picture). @inputs: graph input name -> LcipTensor*, the same every
 * frame; inputs that are neither given nor fed get seeded uniform random values in [0, 1) when
 * @random_inputs. @pushed: the other graph inputs come with lcip_run_push(). @n_frames: 0 without
 * limit. @frames_in_flight: per stream; 0 for 2 a lane.
 * @streams: replicas of the whole instance that take whole frames in turn; 0 is 1. The sink merges
 * them by frame number. @frames_together: for how many frames a stream computes a step at once that
 * reads large weights, where one CPU lane does all and there are such steps: they are read once for
 * all of them, and each frame takes so many times as long; 0: 4 where that pays, else 1. @cold:
 * kernels of CPU lanes are not launched once before the first frame: it comes sooner, takes longer,
 * and a kernel's failure ends the run instead of its start.
 * @cancellable: ends the start (LCIP_ERROR_CANCELLED), which launches every kernel once and can
 * take seconds; not the run. */
typedef struct {
  LcipMediaSource *source;
  GCancellable *cancellable;
  GHashTable *inputs;
  gboolean random_inputs;
  gboolean pushed;
  guint64 n_frames;
  guint frames_in_flight;
  guint streams, frames_together;
  gboolean cold;
  gboolean profile;
  gboolean trace; /* keep every firing for lcip_run_write_trace() */
  LcipFrameFunc frame_func;
  LcipEndFunc end_func;
  LcipLaneFunc lane_func;
  gpointer frame_data; /* of all three */
} LcipRunOptions;

/** lcip_run_random_input: what @random_inputs gives: floats in [0, 1), bytes over their whole
 * range, other types zero; the same for the same @spec and @seed everywhere. Transfer full. */
LcipTensor *lcip_run_random_input(const LcipTensorSpec *spec, guint64 seed, GError **error);

/** lcip_run_start: makes the instance, launches every kernel once at its real size, starts. Takes
 * long: call off the main thread. */
LcipRun *lcip_run_start(LcipPlan *plan, const LcipRunOptions *options, GError **error);
LcipRun *lcip_run_ref(LcipRun *run);
/** lcip_run_unref: the last one stops the run and waits for its threads. */
void lcip_run_unref(LcipRun *run);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipRun, lcip_run_unref)
/** lcip_run_push: issues a frame of a run with @pushed. @inputs: a tensor per graph input, in their
 * order, of the planned type and at most the planned shape; those that the options gave are not
 * looked at and may be NULL. The run takes references; nobody may write to the tensors any more.
 * Waits while as many frames are in flight as are allowed. FALSE when the run has ended, with its
 * error, or when a tensor does not fit: then the run goes on. Any thread, one after another. */
gboolean lcip_run_push(LcipRun *run, LcipTensor *const *inputs, gint64 timestamp_ns,
                       GError **error);
/** lcip_run_push_end: no more frames come; lcip_run_wait() returns when those pushed are
 * delivered. */
void lcip_run_push_end(LcipRun *run);
/** lcip_run_set_plan: @plan (same graph inputs, sources and sinks) takes over at a frame boundary,
 * after its instance is made and warmed up on the calling thread; the old one drains. On error the
 * old plan goes on. */
gboolean lcip_run_set_plan(LcipRun *run, LcipPlan *plan, GError **error);
LcipPlan *lcip_run_plan(LcipRun *run); /* the newest; transfer full */
/** lcip_run_cancel: no more frames; those in flight are dropped. */
void lcip_run_cancel(LcipRun *run);
/** lcip_run_wait: until every frame is delivered, an error ended the run or it was cancelled (then
 * TRUE). */
gboolean lcip_run_wait(LcipRun *run, GError **error);
/** lcip_run_is_done: FALSE while frames come. @error: set when an error ended it. */
gboolean lcip_run_is_done(LcipRun *run, GError **error);

/* ---- profile ---- */

/** LcipTimes: milliseconds, over the window. */
typedef struct {
  guint n;
  double median_ms, p95_ms, min_ms, mean_ms;
} LcipTimes;

/** LcipLaneProfile: per frame; compute + copy + wait + idle = frame time (the interval between
 * finished frames). wait: ready to work, but for data or room; idle: nothing due.
 * @capacity_fps: 1 / busy time per frame. @queue: frames waiting. */
typedef struct {
  double compute_ms, copy_ms, wait_ms, idle_ms;
  double utilisation;
  double capacity_fps;
  guint queue;
} LcipLaneProfile;

/** LcipRemoteTimes: of a step that a worker computes, per frame: until the worker has all of it;
 * until the worker begins; the computation; until the results are here. While the worker is lost
 * there are none. */
typedef struct {
  LcipTimes send, queue, compute, reply;
} LcipRemoteTimes;

/** LcipProfile: a copy; free with lcip_profile_free(). Steps and lanes as in @plan. */
typedef struct {
  LcipPlan *plan;
  guint64 epoch;
  guint64 frames;
  guint64 source_drops;
  double seconds;
  double delivered_fps;
  double capacity_fps;
  int bottleneck_lane;
  double frame_ms;
  LcipTimes latency;
  LcipTimes *steps;         /* of a remote step: the computation alone, wherever it was done */
  LcipRemoteTimes *remotes; /* per step; n 0 where it is no remote step */
  LcipTimes *transfers;     /* per lane: copies; of a remote lane: the network */
  LcipLaneProfile *lanes;
} LcipProfile;

/** lcip_run_profile: of the newest plan that has delivered a frame; NULL before the first. */
LcipProfile *lcip_run_profile(LcipRun *run);
void lcip_profile_free(LcipProfile *profile);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipProfile, lcip_profile_free)
/** lcip_run_lane_status: of a remote lane's connection in the newest plan that runs. FALSE where
 * @lane is not remote or has no work. Any thread. */
gboolean lcip_run_lane_status(LcipRun *run, guint lane, LcipLinkStatus *status);
/** lcip_run_round: frames after which the newest plan's deliveries repeat: streams times the frames
 * of each that go together. Frames of a round may come all at once, so that a rate is that of whole
 * rounds. Any thread. */
guint lcip_run_round(LcipRun *run);
/** lcip_run_write_trace: Chrome trace JSON (opens in Perfetto) of all firings since the start. */
gboolean lcip_run_write_trace(LcipRun *run, const char *path, GError **error);

G_END_DECLS
