#pragma once

#include "lcip-doorbell-private.h"
#include "lcip-fifo-private.h"
#include "lcip-link.h"
#include "lcip-plan-private.h"
#include "lcip-profiler-private.h"
#include "lcip-sweep-private.h"
#include "lcip-token-private.h"
#include "lcip-turn-private.h"

G_BEGIN_DECLS

typedef struct _LcipInstance LcipInstance;
typedef struct _LcipWorker LcipWorker;
typedef struct _LcipRemoteLane LcipRemoteLane;

/** LcipFailedFunc: called by workers when a kernel or the memory fails; takes @error. FRAME: an
 * error token for the frame is on its way to the sink. FATAL: it is not. */
typedef enum { LCIP_FAILED_FRAME, LCIP_FAILED_FATAL } LcipFailure;
typedef void (*LcipFailedFunc)(gpointer data, LcipFailure failure, GError *error);

/** LcipChannel: a FIFO of an instance. @tensor: what its tokens are, -1 for a pulse, which gives a
 * segment that has no undelayed input its frames. @root: the tensor with the storage. The bells of
 * both ends. */
typedef struct {
  LcipFifo *fifo;
  int tensor, root;
  guint delay;
  int src_segment, dst_segment;
  LcipTokenPool *alias_pool; /* where @tensor is another view of @root */
  LcipDoorbell *src_bell, *dst_bell;
} LcipChannel;

/** LcipInstanceStep: a plan's step with its views. Only its lane's thread touches it. */
typedef struct {
  int index;
  const LcipPlanWork *work;
  const LcipPlanStep *info;
  LcipCall call;
  LcipTensorView *inputs, *outputs;
  LcipTensorSpec *actual_inputs, *actual_outputs; /* room to infer actual shapes */
  LcipSweep *sweep; /* borrowed; NULL where streams do the step each for itself */
} LcipInstanceStep;

/** LcipSegment: @made: the token tensors that it writes. @is_swept: it has steps that streams do
 * together. @n_fired: frames done, everything pushed; written by its thread. */
typedef struct {
  int index;
  const LcipPlanSegment *plan;
  guint n_inputs, n_outputs, n_made, n_steps;
  LcipChannel **inputs, **outputs;
  int *made;
  LcipInstanceStep *steps;
  gboolean is_swept;
  _Atomic guint64 n_fired;
} LcipSegment;

/** LcipWorker: one lane of an instance: its memory and its thread. During a firing, per tensor:
 * @in_tokens by what the channel carries, @root_tokens the same by its storage (borrowed),
 * @out_tokens by storage. @shapes: actual ones. */
struct _LcipWorker {
  LcipInstance *instance;
  int lane;
  LcipDoorbell bell;
  /* owned */
  LcipTeam *team;
  LcipClQueue *queue;
  LcipRemoteLane *remote;
  LcipTensor *arena, *scratch;
  LcipClMem arena_buffer, scratch_buffer;
  GPtrArray *uploads; /* LcipClUpload */
  LcipToken **in_tokens, **root_tokens, **out_tokens;
  LcipShape *shapes;
  gboolean *is_view; /* per tensor: another shape of its root that no step writes */
  LcipClTimes *times;
  /* borrowed */
  GPtrArray *segments; /* LcipSegment; the array is owned */
  LcipRecorder *recorder;
  pthread_t thread;
  gboolean started;
  gint64 mark_ns;   /* up to here the thread's time is recorded */
  gint64 origin_ns; /* of the firing, for sweeps */
  gint64 began_ns;  /* of the step, when companions have been waited for */
};

/** LcipCompanions: instances of which one computes at a time, and the memory that who has the turn
 * may use until it gives it. @layout: what of an instance lies there; borrowed. */
typedef struct {
  LcipTurn *turn;
  const LcipPlanLayout *layout;
  LcipTensor *arena, *scratch;
} LcipCompanions;

/** LcipInstance: one replica of a plan: memory, FIFOs and threads.
 * @n_issued: frames that the source gave it; @issue_ns: when, by number modulo its length.
 * @n_finished: frames that the sink has delivered. */
struct _LcipInstance {
  LcipPlan *plan;
  guint64 epoch;
  guint stream; /* which of the group's */
  guint limit;  /* frames in flight */
  _Atomic gboolean stop;
  _Atomic gboolean draining; /* then every firing rings the source's bell */
  _Atomic guint64 n_issued;
  _Atomic guint64 n_finished;
  _Atomic gint64 *issue_ns;
  /* owned */
  GPtrArray *channels; /* LcipChannel */
  LcipSegment *segments;
  LcipTokenPool **pools; /* per tensor, NULL where it is no token */
  LcipTokenPool *pulse_pool;
  LcipWorker **workers; /* per lane, NULL without work */
  LcipFailedFunc failed;
  gpointer failed_data;
  LcipLaneFunc lane_func; /* may be NULL */
  gpointer lane_data;
  LcipDoorbell *source_bell;  /* borrowed */
  LcipCompanions *companions; /* borrowed; NULL where it has none to take turns with */
  GCancellable *warming;      /* borrowed; NULL once the instance is made */
};

/** LcipInstanceEnds: what an instance needs of the run. @cold: no warming up of CPU lanes. @sweeps:
 * per step, NULL where there is none; may be NULL itself. @companions: per stream; may be NULL. */
typedef struct {
  LcipDoorbell *source_bell, *sink_bell;
  LcipFailedFunc failed;
  gpointer failed_data;
  LcipLaneFunc lane_func;
  gpointer lane_data;
  gboolean cold;
  LcipSweep *const *sweeps;
  LcipCompanions *const *companions;
  GCancellable *cancellable; /* of warming up */
} LcipInstanceEnds;

/** lcip_instance_new: memory, FIFOs, teams and queues; every kernel launched once at its real size
 * on zeros. @limit: frames in flight. */
LcipInstance *lcip_instance_new(LcipPlan *plan, guint64 epoch, guint limit,
                                const LcipInstanceEnds *ends, LcipProfiler *profiler, guint stream,
                                GError **error);
/** lcip_instance_start: starts the workers. */
gboolean lcip_instance_start(LcipInstance *instance, GError **error);
/** lcip_instance_stop: tells the workers to end after what they are doing. */
void lcip_instance_stop(LcipInstance *instance);
/** lcip_instance_free: stops and waits for the workers; tokens in flight are dropped. */
void lcip_instance_free(LcipInstance *instance);

/** lcip_instance_has_room: a frame may be issued. */
gboolean lcip_instance_has_room(LcipInstance *instance);
/** lcip_instance_count_issued: before the frame's tokens are pushed. */
void lcip_instance_count_issued(LcipInstance *instance, gint64 now_ns);
void lcip_instance_count_finished(LcipInstance *instance);
/** lcip_instance_is_drained: every segment has done every frame, and the sink too. Asks for the
 * source's bell to be rung until then. */
gboolean lcip_instance_is_drained(LcipInstance *instance);

/** lcip_host_memory: @what for the error. */
LcipTensor *lcip_host_memory(gsize size_bytes, const char *what, GError **error);

/** lcip_worker_address: where @tensor of a CPU lane's arena lies. */
guint8 *lcip_worker_address(const LcipWorker *worker, int tensor);
/** lcip_worker_spare_address: the same for a part of a Concat's output that is not in its place. */
guint8 *lcip_worker_spare_address(const LcipWorker *worker, int tensor);

/** lcip_segment_inputs_ready: every input FIFO has a token. */
gboolean lcip_segment_inputs_ready(const LcipSegment *segment);
gboolean lcip_segment_outputs_have_room(const LcipSegment *segment);
/** lcip_channel_pop: consumer; NULL when empty. Rings the producer where that waited for room. */
LcipToken *lcip_channel_pop(LcipChannel *channel);
/** lcip_channel_push: producer; takes a reference of its own; rings the consumer. */
void lcip_channel_push(LcipChannel *channel, LcipToken *token);

/** lcip_instance_state_matches: the delayed channels of both plans carry the same state. */
gboolean lcip_plan_state_matches(const LcipPlan *from, const LcipPlan *to, GError **error);
gboolean lcip_plan_has_state(const LcipPlan *plan);
/** lcip_instance_move_state: copies what lies in the delayed channels of @from, which has delivered
 * all its frames, into those of @to, which has had none. */
void lcip_instance_move_state(LcipInstance *from, LcipInstance *to);

/* ---- lcip-worker.c ---- */

/** lcip_worker_warm_up: runs every segment of the lane once on zeros; on the calling thread. */
gboolean lcip_worker_warm_up(LcipWorker *worker, GError **error);
gpointer lcip_worker_main(gpointer worker);
/* Parts of a firing, for lanes whose firings overlap; the lane's thread. */

/** lcip_worker_pop_inputs: takes the frame's tokens. @out: header and status of the frame. */
void lcip_worker_pop_inputs(LcipWorker *worker, LcipSegment *segment, LcipToken *out);
gboolean lcip_worker_acquire_outputs(LcipWorker *worker, LcipSegment *segment, GError **error);
/** lcip_worker_push_outputs: with the shapes in worker->shapes, under the header @head. */
void lcip_worker_push_outputs(LcipWorker *worker, LcipSegment *segment, LcipToken *head);
void lcip_worker_drop_tokens(LcipWorker *worker, LcipSegment *segment);
void lcip_worker_count_fired(LcipWorker *worker, LcipSegment *segment);
/** lcip_worker_failed: takes @error. */
void lcip_worker_failed(LcipWorker *worker, guint64 frame, LcipFailure failure, GError *error);
/** lcip_worker_record: a span of @kind from the mark to @end_ns, which is the mark from then on. */
void lcip_worker_record(LcipWorker *worker, LcipSpanKind kind, gint64 end_ns, const LcipSpan *what);
/** lcip_worker_record_sleep: the time from the mark to now as idle or waiting. */
void lcip_worker_record_sleep(LcipWorker *worker);
guint64 lcip_worker_oldest_due(const LcipWorker *worker);
guint lcip_worker_frames_waiting(const LcipWorker *worker);

/** lcip_step_prefix: names the step and its actor in @error. */
void lcip_step_prefix(const LcipPlan *plan, const LcipPlanStep *step, GError **error);

/* ---- lcip-remote-lane.c: lanes on workers ---- */

/** lcip_remote_lane_new: the link, and for each segment a run that takes over while the worker is
 * lost. */
LcipRemoteLane *lcip_remote_lane_new(LcipWorker *worker, GError **error);
void lcip_remote_lane_free(LcipRemoteLane *lane);
/** lcip_remote_lane_warm_up: until the worker is ready or known to be lost; the time is limited. */
gboolean lcip_remote_lane_warm_up(LcipRemoteLane *lane, GError **error);
void lcip_remote_lane_main(LcipRemoteLane *lane);
/** lcip_remote_lane_status: any thread. */
void lcip_remote_lane_status(LcipRemoteLane *lane, LcipLinkStatus *status);

/* ---- lcip-firing.c ---- */

/** lcip_firing_place_inputs: data and actual shapes of the inputs of @step from the tokens. */
gboolean lcip_firing_place_inputs(LcipWorker *worker, LcipInstanceStep *step, GError **error);

/** lcip_view_shape: the actual shape of tensor @view of storage @root, which holds @actual. FALSE
 * when a reshape has no meaning for it. */
gboolean lcip_view_shape(const LcipPlan *plan, int view, int root, const LcipShape *actual,
                         LcipShape *shape, GError **error);

/** lcip_firing_run: runs the steps of @segment on the tokens that are in place. @frame for spans.
 */
gboolean lcip_firing_run(LcipWorker *worker, LcipSegment *segment, guint64 frame, GError **error);

G_END_DECLS
