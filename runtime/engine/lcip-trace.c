#include "config.h"
#include "lcip-plan-private.h"
#include "lcip-profiler-private.h"
#include "lcip-recorder-private.h"

/* Chrome's trace event format: complete events ("X") in microseconds, one "process" per plan, one
 * "thread" per lane. Numbers are printed from integers: no locale can touch them. */

static void append_json_string(GString *out, const char *text) {
  g_string_append_c(out, '"');
  for (const char *c = text; *c; c++) {
    if (*c == '"' || *c == '\\')
      g_string_append_printf(out, "\\%c", *c);
    else if ((guchar)*c < 0x20)
      g_string_append_printf(out, "\\u%04x", (guint)(guchar)*c);
    else
      g_string_append_c(out, *c);
  }
  g_string_append_c(out, '"');
}

static void append_us(GString *out, gint64 ns) {
  g_string_append_printf(out, "%" G_GINT64_FORMAT ".%03d", ns / 1000, (int)(ns % 1000));
}

static void begin_event(GString *out, gboolean *first) {
  g_string_append(out, *first ? "\n" : ",\n");
  *first = FALSE;
}

static const char *span_category(const LcipSpan *span) {
  static const char *const names[] = {"compute", "copy", "firing", "wait",   "turn", "idle",
                                      "frame",   "send", "queue",  "remote", "reply"};
  return names[span->kind];
}

static const char *span_name(const LcipPlan *plan, const LcipSpan *span) {
  if (span->kind <= LCIP_SPAN_COPY && span->step >= 0)
    return ((const LcipPlanStep *)g_ptr_array_index(plan->steps, span->step))->title;
  return span_category(span);
}

static void append_span(GString *out, const LcipProfiler *profiler, guint thread,
                        const LcipSpan *span) {
  const char *name = span_name(profiler->plan, span);
  g_autofree char *valid = g_utf8_make_valid(name ? name : "", -1);
  g_string_append(out, "{\"name\":");
  append_json_string(out, valid);
  g_string_append_printf(
      out, ",\"cat\":\"%s\",\"ph\":\"X\",\"pid\":%" G_GUINT64_FORMAT ",\"tid\":%u,\"ts\":",
      span_category(span), profiler->epoch, thread);
  append_us(out, span->start_ns);
  g_string_append(out, ",\"dur\":");
  append_us(out, MAX(span->end_ns - span->start_ns, 0));
  g_string_append_printf(out,
                         ",\"args\":{\"frame\":%" G_GUINT64_FORMAT ",\"epoch\":%" G_GUINT64_FORMAT
                         ",\"queued_us\":",
                         span->frame, profiler->epoch);
  append_us(out, MAX(span->start_ns - span->queued_ns, 0));
  g_string_append(out, "}}");
}

static void append_name(GString *out, gboolean *first, const char *what, guint64 process,
                        guint thread, const char *name) {
  g_autofree char *valid = g_utf8_make_valid(name, -1);
  begin_event(out, first);
  g_string_append_printf(out,
                         "{\"name\":\"%s\",\"ph\":\"M\",\"pid\":%" G_GUINT64_FORMAT
                         ",\"tid\":%u,\"args\":{\"name\":",
                         what, process, thread);
  append_json_string(out, valid);
  g_string_append(out, "}}");
}

static void append_recorder(GString *out, gboolean *first, LcipProfiler *profiler, guint thread,
                            LcipRecorder *recorder) {
  if (!recorder || !lcip_recorder_trace(recorder))
    return;
  append_name(out, first, "thread_name", profiler->epoch, thread, lcip_recorder_name(recorder));
  for (const LcipTraceChunk *chunk = lcip_recorder_trace(recorder); chunk;
       chunk = atomic_load_explicit(&((LcipTraceChunk *)chunk)->next, memory_order_acquire)) {
    const guint n = atomic_load_explicit(&((LcipTraceChunk *)chunk)->n, memory_order_acquire);
    for (guint i = 0; i < n; i++) {
      begin_event(out, first);
      append_span(out, profiler, thread, &chunk->spans[i]);
    }
  }
}

void lcip_profiler_write_trace(LcipProfiler *profiler, GString *out, gboolean *first) {
  g_autofree char *name = g_strdup_printf("Plan %" G_GUINT64_FORMAT, profiler->epoch);
  guint thread = 1;
  append_name(out, first, "process_name", profiler->epoch, 0, name);
  append_recorder(out, first, profiler, thread++, profiler->source);
  for (guint i = 0; i < profiler->n_streams * profiler->n_lanes; i++)
    append_recorder(out, first, profiler, thread++, profiler->lanes[i]);
  append_recorder(out, first, profiler, thread++, profiler->sink);
  append_recorder(out, first, profiler, thread++, profiler->frames);
}
