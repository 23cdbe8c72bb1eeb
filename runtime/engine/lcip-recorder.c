#include "config.h"
#include "lcip-profiler-private.h"
#include "lcip-recorder-private.h"

#include <time.h>

#define SPAN_WORDS 5

/* A slot may be overwritten while a reader copies it. Its words are atomics, so that this is no
 * data race, and the reader throws away what the head has passed meanwhile. */
typedef struct {
  _Atomic guint64 words[SPAN_WORDS];
} Slot;

struct _LcipRecorder {
  char *name;
  guint capacity; /* a power of two */
  Slot *slots;
  _Atomic guint64 head;
  _Atomic int state;
  _Atomic guint queue;
  LcipTraceChunk *first_chunk;
  LcipTraceChunk *last_chunk; /* the recording thread's */
};

gint64 lcip_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (gint64)now.tv_sec * G_GINT64_CONSTANT(1000000000) + now.tv_nsec;
}

LcipRecorder *lcip_recorder_new(const char *name, guint capacity, gboolean trace) {
  LcipRecorder *recorder = g_new0(LcipRecorder, 1);
  recorder->name = g_strdup(name);
  recorder->capacity = 1;
  while (recorder->capacity < capacity)
    recorder->capacity *= 2;
  recorder->slots = g_new0(Slot, recorder->capacity);
  atomic_init(&recorder->state, LCIP_SPAN_IDLE);
  if (trace)
    recorder->first_chunk = recorder->last_chunk = g_new0(LcipTraceChunk, 1);
  return recorder;
}

void lcip_recorder_free(LcipRecorder *recorder) {
  if (!recorder)
    return;
  for (LcipTraceChunk *chunk = recorder->first_chunk; chunk;) {
    LcipTraceChunk *next = atomic_load(&chunk->next);
    g_free(chunk);
    chunk = next;
  }
  g_free(recorder->slots);
  g_free(recorder->name);
  g_free(recorder);
}

const char *lcip_recorder_name(const LcipRecorder *recorder) {
  return recorder->name;
}

const LcipTraceChunk *lcip_recorder_trace(const LcipRecorder *recorder) {
  return recorder->first_chunk;
}

LcipSpanKind lcip_recorder_state(LcipRecorder *recorder, guint *queue) {
  *queue = atomic_load_explicit(&recorder->queue, memory_order_relaxed);
  return (LcipSpanKind)atomic_load_explicit(&recorder->state, memory_order_relaxed);
}

static void trace_add(LcipRecorder *recorder, const LcipSpan *span) {
  LcipTraceChunk *chunk = recorder->last_chunk;
  guint n = atomic_load_explicit(&chunk->n, memory_order_relaxed);
  if (n == LCIP_TRACE_CHUNK_SPANS) {
    LcipTraceChunk *next = g_new0(LcipTraceChunk, 1);
    atomic_store_explicit(&chunk->next, next, memory_order_release);
    recorder->last_chunk = chunk = next;
    n = 0;
  }
  chunk->spans[n] = *span;
  atomic_store_explicit(&chunk->n, n + 1, memory_order_release);
}

void lcip_recorder_add(LcipRecorder *recorder, const LcipSpan *span) {
  const guint64 head = atomic_load_explicit(&recorder->head, memory_order_relaxed);
  Slot *slot = &recorder->slots[head & (recorder->capacity - 1)];
  const guint64 words[SPAN_WORDS] = {span->frame, (guint64)span->queued_ns, (guint64)span->start_ns,
                                     (guint64)span->end_ns,
                                     (guint64)(guint32)span->step << 8 | span->kind};
  for (int i = 0; i < SPAN_WORDS; i++)
    atomic_store_explicit(&slot->words[i], words[i], memory_order_release);
  atomic_store_explicit(&recorder->head, head + 1, memory_order_release);
  if (recorder->last_chunk)
    trace_add(recorder, span);
}

void lcip_recorder_set_state(LcipRecorder *recorder, LcipSpanKind state, guint queue) {
  atomic_store_explicit(&recorder->state, (int)state, memory_order_relaxed);
  atomic_store_explicit(&recorder->queue, queue, memory_order_relaxed);
}

static LcipSpan slot_read(Slot *slot) {
  guint64 words[SPAN_WORDS];
  for (int i = 0; i < SPAN_WORDS; i++)
    words[i] = atomic_load_explicit(&slot->words[i], memory_order_acquire);
  return (LcipSpan){.frame = words[0],
                    .queued_ns = (gint64)words[1],
                    .start_ns = (gint64)words[2],
                    .end_ns = (gint64)words[3],
                    .step = (gint32)(guint32)(words[4] >> 8),
                    .kind = (LcipSpanKind)(words[4] & 0xff)};
}

GArray *lcip_recorder_copy(LcipRecorder *recorder) {
  const guint64 end = atomic_load_explicit(&recorder->head, memory_order_acquire);
  const guint64 begin = end > recorder->capacity ? end - recorder->capacity : 0;
  GArray *spans = g_array_sized_new(FALSE, FALSE, sizeof(LcipSpan), (guint)(end - begin));
  for (guint64 i = begin; i < end; i++) {
    const LcipSpan span = slot_read(&recorder->slots[i & (recorder->capacity - 1)]);
    g_array_append_val(spans, span);
  }
  /* The writer may by now be busy with the slot at the head, which is that of head - capacity. */
  const guint64 head = atomic_load_explicit(&recorder->head, memory_order_acquire);
  const guint64 lost =
      head + 1 > begin + recorder->capacity ? head + 1 - begin - recorder->capacity : 0;
  g_array_remove_range(spans, 0, (guint)MIN(lost, spans->len));
  return spans;
}
