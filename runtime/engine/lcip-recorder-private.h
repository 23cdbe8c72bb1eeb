#pragma once

#include "lcip-profiler-private.h"

G_BEGIN_DECLS

/* What the profiler reads of a recorder. */

#define LCIP_TRACE_CHUNK_SPANS 1024

/** LcipTraceChunk: a piece of a trace; spans below @n are complete. */
typedef struct _LcipTraceChunk LcipTraceChunk;
struct _LcipTraceChunk {
  _Atomic(LcipTraceChunk *) next;
  _Atomic guint n;
  LcipSpan spans[LCIP_TRACE_CHUNK_SPANS];
};

const char *lcip_recorder_name(const LcipRecorder *recorder);
const LcipTraceChunk *lcip_recorder_trace(const LcipRecorder *recorder);
LcipSpanKind lcip_recorder_state(LcipRecorder *recorder, guint *queue);

G_END_DECLS
