#pragma once

#include "lcip-run.h"

#include <stdatomic.h>

G_BEGIN_DECLS

/** LcipSpanKind: what a stretch of a thread's time was. COMPUTE and COPY are steps inside a FIRING;
 * FIRING, WAIT, TURN and IDLE follow each other without gaps. TURN: a companion computes, so that
 * this is not the lane's time. FRAME: from a frame's timestamp to the end
 * of its sink. SEND, QUEUE, REMOTE and REPLY are a frame's way through a worker; those of several
 * frames overlap, and what they leave of the lane's time is in its FIRINGs and their COPIES. */
typedef enum {
  LCIP_SPAN_COMPUTE,
  LCIP_SPAN_COPY,
  LCIP_SPAN_FIRING,
  LCIP_SPAN_WAIT,
  LCIP_SPAN_TURN,
  LCIP_SPAN_IDLE,
  LCIP_SPAN_FRAME,
  LCIP_SPAN_SEND,
  LCIP_SPAN_QUEUE,
  LCIP_SPAN_REMOTE,
  LCIP_SPAN_REPLY
} LcipSpanKind;

/** LcipSpan: @step: index in the plan, -1 where it is none; for FIRING the segment. Nanoseconds of
 * CLOCK_MONOTONIC. @queued_ns: when it could have started. */
typedef struct {
  guint64 frame;
  gint64 queued_ns, start_ns, end_ns;
  gint32 step;
  LcipSpanKind kind;
} LcipSpan;

/** LcipRecorder: spans of one thread: the newest in a lock-free ring, all of them when tracing. */
typedef struct _LcipRecorder LcipRecorder;

LcipRecorder *lcip_recorder_new(const char *name, guint capacity, gboolean trace);
void lcip_recorder_free(LcipRecorder *recorder);
/** lcip_recorder_add: the recording thread alone. */
void lcip_recorder_add(LcipRecorder *recorder, const LcipSpan *span);
/** lcip_recorder_set_state: what the thread does now (FIRING, WAIT, TURN or IDLE) and the number of
 * frames that wait for it. */
void lcip_recorder_set_state(LcipRecorder *recorder, LcipSpanKind state, guint queue);
/** lcip_recorder_copy: the newest spans, oldest first; any thread. GArray of LcipSpan. */
GArray *lcip_recorder_copy(LcipRecorder *recorder);

/** LcipProfiler: what is recorded of one plan at work. Atomically reference-counted.
 * @lanes: n_streams x n_lanes, NULL where a lane has no work or profiling is off.
 * @source, @sink: NULL while profiling is off. @frames: always there. */
typedef struct {
  _Atomic guint refs;
  LcipPlan *plan;
  guint64 epoch;
  guint n_streams, n_together, n_lanes;
  LcipRecorder **lanes;
  LcipRecorder *source, *sink, *frames;
  _Atomic guint64 n_frames;
} LcipProfiler;

typedef enum { LCIP_RECORD_FRAMES, LCIP_RECORD_STEPS, LCIP_RECORD_ALL } LcipRecordLevel;

/** lcip_profiler_new: of @n_together streams one computes at a time. */
LcipProfiler *lcip_profiler_new(LcipPlan *plan, guint64 epoch, guint n_streams, guint n_together,
                                LcipRecordLevel level);
LcipProfiler *lcip_profiler_ref(LcipProfiler *profiler);
void lcip_profiler_unref(LcipProfiler *profiler);
/** lcip_profiler_report: over the last 2 s, at most 128 frames; NULL before the first frame. Any
 * thread. Drops, total frames and seconds are the run's to fill. */
LcipProfile *lcip_profiler_report(LcipProfiler *profiler);
/** lcip_profiler_write_trace: events of Chrome's trace format for all spans, each preceded by ','
 * unless @first. */
void lcip_profiler_write_trace(LcipProfiler *profiler, GString *out, gboolean *first);

gint64 lcip_now_ns(void);

G_END_DECLS
