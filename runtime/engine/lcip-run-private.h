#pragma once

#include "lcip-instance-private.h"
#include "lcip-run.h"

G_BEGIN_DECLS

/** LcipFeed: where the source thread takes pictures from; a media source, or a test's own.
 * @next, @drops: as lcip_media_source_next() and lcip_media_source_drops().
 * @is_live: timestamps are moments of g_get_monotonic_time()'s clock. */
typedef struct {
  LcipTensor *(*next)(gpointer data, gint64 *timestamp_ns, GCancellable *cancellable,
                      GError **error);
  guint64 (*drops)(gpointer data);
  gboolean is_live;
  gpointer data;
} LcipFeed;

/** LcipSourceSlot: one SOURCE step and the tensor that it gives. @constant: the same every frame.
 * @pushed: else the graph input that lcip_run_push() gives, or -1: the feed's picture. */
typedef struct {
  int step;
  int tensor;
  int pushed;
  LcipTensor *constant;
} LcipSourceSlot;

/** LcipSinkSlot: one input of a SINK step: a tensor of the plan and the one with its storage. */
typedef struct {
  int step;
  int tensor;
  int root;
} LcipSinkSlot;

/** LcipGroup: a plan at work: its streams. Made by any thread; used by the source thread until it
 * moves on, then by the sink thread, which frees it. */
typedef struct {
  LcipPlan *plan;
  guint64 epoch;
  guint n_streams, n_together; /* instances; of so many one computes at a time: the run's streams */
  LcipInstance **streams;
  LcipSweep **sweeps;          /* per step; NULL for one stream */
  LcipCompanions **companions; /* per stream, the same for @n_together; NULL where that is 1 */
  LcipPlanLayout *layout;      /* of companions */
  LcipProfiler *profiler;
  guint64 n_dealt; /* the source thread's */
  /* source */
  GArray *sources; /* LcipSourceSlot */
  /* sink */
  GArray *sinks;  /* LcipSinkSlot */
  GArray *values; /* LcipFrameValue, same indices */
  GPtrArray *names;
} LcipGroup;

/** LcipFrameRecord: a frame on its way, from source to sink in the order of numbers. */
typedef struct {
  guint64 number;
  LcipGroup *group;
  LcipInstance *instance;
  gint64 timestamp_ns; /* the source's */
  gint64 origin_ns;    /* on the monotonic clock, for the latency */
  gint64 issued_ns;
  LcipTensor *picture;
} LcipFrameRecord;

/** LCIP_MAX_FRAMES: frames in flight of a whole run, however many plans drain. */
#define LCIP_MAX_FRAMES 256

struct _LcipRun {
  _Atomic guint refs;
  /* template */
  LcipFeed feed;
  LcipMediaSource *media;
  GHashTable *inputs;
  gboolean random_inputs;
  gboolean pushed;
  guint64 n_frames;
  guint frames_in_flight;
  guint n_streams, frames_together;
  gboolean cold;
  LcipRecordLevel level;
  LcipFrameFunc frame_func;
  LcipEndFunc end_func;
  LcipLaneFunc lane_func;
  gpointer frame_data;
  /* threads */
  pthread_t source_thread, sink_thread;
  LcipDoorbell source_bell, sink_bell;
  GCancellable *cancellable;
  GCancellable *starting; /* borrowed while the run starts, then NULL */
  _Atomic gboolean stop;
  _Atomic guint64 n_delivered;
  gint64 start_ns;
  /* between source and sink; twice as many records, because the sink still reads what it popped */
  LcipFifo *records;
  LcipFrameRecord ring[2 * LCIP_MAX_FRAMES];
  /* lcip_run_push(): @push_group is the one that it issues to */
  pthread_mutex_t push_mutex;
  LcipGroup *push_group;
  guint64 n_pushed;
  /* serialises lcip_run_set_plan() */
  pthread_mutex_t plan_mutex;
  guint64 next_epoch;
  /* under mutex */
  pthread_mutex_t mutex;
  pthread_cond_t done_cond;
  gboolean ended; /* no plan is taken any more */
  gboolean done;  /* all threads but the sink's are gone */
  GError *error;
  LcipPlan *newest;
  LcipGroup *pending;
  GPtrArray *groups;      /* LcipGroup: all that were taken over and are not freed yet */
  LcipProfiler *profiled; /* of the newest plan that has delivered a frame */
  GPtrArray *profilers;   /* all, when tracing */
};

/** lcip_run_start_with_feed: as lcip_run_start() with another source than media. */
LcipRun *lcip_run_start_with_feed(LcipPlan *plan, const LcipRunOptions *options,
                                  const LcipFeed *feed, GError **error);

/** lcip_run_fail: takes @error; the first one is kept. STOP: nothing more is delivered. */
typedef enum { LCIP_RUN_GO_ON, LCIP_RUN_STOP } LcipRunEnd;
void lcip_run_fail(LcipRun *run, LcipRunEnd end, GError *error);
/** lcip_run_stop: tells all threads to end. */
void lcip_run_stop(LcipRun *run);
/** lcip_run_join_source: after lcip_run_stop(): from here on nobody issues frames. */
void lcip_run_join_source(LcipRun *run);
/** lcip_run_free_groups: with the plan that waits, if any; their threads end. */
void lcip_run_free_groups(LcipRun *run);
/** lcip_run_instance_failed: an LcipFailedFunc; @data is the run. */
void lcip_run_instance_failed(gpointer data, LcipFailure failure, GError *error);
/** lcip_run_io_span: records a step of source or sink, if @recorder is there. */
void lcip_run_io_span(LcipRecorder *recorder, guint64 frame, int step, gint64 start_ns);

/* ---- lcip-group.c ---- */
LcipGroup *lcip_group_new(LcipRun *run, LcipPlan *plan, guint64 epoch, GError **error);
void lcip_group_free(LcipGroup *group);

/* ---- lcip-run-source.c, lcip-run-sink.c: thread functions ---- */
gpointer lcip_run_source_main(gpointer run);
gpointer lcip_run_sink_main(gpointer run);

/* ---- lcip-brief.c ---- */
/** lcip_thread_be_brief: the calling thread works for moments only, and others have nothing to do
 * before it has: the system is to let it run at once, also where all processors are in use. Threads
 * that it makes inherit that. A hint: where the system does not know it (Linux before 6.12) nothing
 * changes. */
void lcip_thread_be_brief(void);

G_END_DECLS
