#include "config.h"
#include "lcip-profiler-private.h"
#include "lcip-plan-private.h"
#include "lcip-recorder-private.h"

#include <string.h>

#define WINDOW_NS G_GINT64_CONSTANT(2000000000)
#define WINDOW_FRAMES 128
/* Spans that a lane's thread may leave per frame beside its steps: firings, waits, idle times. */
#define SPARE_SPANS 16

/* ---- life ---- */

static guint lane_spans_per_frame(const LcipPlan *plan, guint lane) {
  guint n = 0;
  for (guint i = 0; i < plan->segments->len; i++) {
    const LcipPlanSegment *segment = &g_array_index(plan->segments, LcipPlanSegment, i);
    if (segment->kind == LCIP_SEGMENT_WORK && segment->lane == (int)lane)
      n += segment->n_steps + SPARE_SPANS;
  }
  return n;
}

static LcipRecorder *lane_recorder(const LcipPlan *plan, guint lane, guint stream, guint n_streams,
                                   gboolean trace) {
  const guint n = lane_spans_per_frame(plan, lane);
  if (n == 0)
    return NULL;
  const LcipPlanLane *info = g_ptr_array_index(plan->lanes, lane);
  g_autofree char *name = n_streams > 1 ? g_strdup_printf("%s (stream %u)", info->name, stream + 1)
                                        : g_strdup(info->name);
  return lcip_recorder_new(name, 2 * n * WINDOW_FRAMES, trace);
}

LcipProfiler *lcip_profiler_new(LcipPlan *plan, guint64 epoch, guint n_streams, guint n_together,
                                LcipRecordLevel level) {
  LcipProfiler *profiler = g_new0(LcipProfiler, 1);
  atomic_init(&profiler->refs, 1);
  profiler->plan = lcip_plan_ref(plan);
  profiler->epoch = epoch;
  profiler->n_streams = n_streams;
  profiler->n_together = n_together;
  profiler->n_lanes = plan->lanes->len;
  profiler->lanes = g_new0(LcipRecorder *, n_streams * profiler->n_lanes + 1);
  profiler->frames = lcip_recorder_new("Frames", 2 * WINDOW_FRAMES, level == LCIP_RECORD_ALL);
  if (level == LCIP_RECORD_FRAMES)
    return profiler;
  const gboolean trace = level == LCIP_RECORD_ALL;
  const guint n_io = plan->steps->len + SPARE_SPANS;
  profiler->source = lcip_recorder_new("Source", n_io * WINDOW_FRAMES / 8, trace);
  profiler->sink = lcip_recorder_new("Sink", n_io * WINDOW_FRAMES / 8, trace);
  for (guint s = 0; s < n_streams; s++)
    for (guint l = 0; l < profiler->n_lanes; l++)
      profiler->lanes[s * profiler->n_lanes + l] = lane_recorder(plan, l, s, n_streams, trace);
  return profiler;
}

LcipProfiler *lcip_profiler_ref(LcipProfiler *profiler) {
  atomic_fetch_add_explicit(&profiler->refs, 1, memory_order_relaxed);
  return profiler;
}

void lcip_profiler_unref(LcipProfiler *profiler) {
  if (!profiler || atomic_fetch_sub_explicit(&profiler->refs, 1, memory_order_acq_rel) != 1)
    return;
  for (guint i = 0; i < profiler->n_streams * profiler->n_lanes; i++)
    lcip_recorder_free(profiler->lanes[i]);
  g_free(profiler->lanes);
  lcip_recorder_free(profiler->source);
  lcip_recorder_free(profiler->sink);
  lcip_recorder_free(profiler->frames);
  lcip_plan_unref(profiler->plan);
  g_free(profiler);
}

/* ---- figures ---- */

static int compare_doubles(gconstpointer a, gconstpointer b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* Nearest rank: the smallest value that at least @share of all are not above. */
static double percentile(const GArray *sorted, double share) {
  const guint rank = (guint)(share * sorted->len + 0.9999999);
  return g_array_index(sorted, double, CLAMP(rank, 1, sorted->len) - 1);
}

static LcipTimes times_from(GArray *values) {
  LcipTimes times = {.n = values->len};
  if (values->len == 0)
    return times;
  g_array_sort(values, compare_doubles);
  for (guint i = 0; i < values->len; i++)
    times.mean_ms += g_array_index(values, double, i) / values->len;
  times.min_ms = g_array_index(values, double, 0);
  times.median_ms = percentile(values, 0.5);
  times.p95_ms = percentile(values, 0.95);
  return times;
}

/* Window: from the end of one frame to the end of the last, @n_frames frames later. */
typedef struct {
  gint64 begin_ns, end_ns;
  guint n_frames;
  GArray **step_ms;   /* per step */
  GArray **remote_ms; /* per step and LCIP_SPAN_SEND to LCIP_SPAN_REPLY */
} Window;
#define N_REMOTE (LCIP_SPAN_REPLY - LCIP_SPAN_SEND + 1)

static LcipTimes window_from_frames(Window *window, const GArray *frames) {
  const LcipSpan *spans = (const LcipSpan *)(const void *)frames->data;
  const guint last = frames->len - 1;
  guint first = last;
  while (first > 0 && last - first < WINDOW_FRAMES &&
         spans[first - 1].end_ns >= spans[last].end_ns - WINDOW_NS)
    first--;
  window->end_ns = spans[last].end_ns;
  window->begin_ns = first < last ? spans[first].end_ns : spans[last].queued_ns;
  window->n_frames = MAX(last - first, 1);
  g_autoptr(GArray) latencies = g_array_new(FALSE, FALSE, sizeof(double));
  for (guint i = first < last ? first + 1 : last; i <= last; i++) {
    const double ms = (double)(spans[i].end_ns - spans[i].start_ns) / 1e6;
    g_array_append_val(latencies, ms);
  }
  return times_from(latencies);
}

static gint64 clipped_ns(const Window *window, gint64 start_ns, gint64 end_ns) {
  const gint64 ns = MIN(end_ns, window->end_ns) - MAX(start_ns, window->begin_ns);
  return MAX(ns, 0);
}

/* The ring of a lane may not reach back as far as the frames do. */
static void window_shrink(Window *window, const GArray *spans, const GArray *frames) {
  if (spans->len == 0)
    return;
  const gint64 oldest = g_array_index(spans, LcipSpan, 0).start_ns;
  for (guint i = 0; i < frames->len && oldest > window->begin_ns && window->n_frames > 1; i++) {
    const gint64 end_ns = g_array_index(frames, LcipSpan, i).end_ns;
    if (end_ns <= window->begin_ns)
      continue;
    window->begin_ns = end_ns;
    window->n_frames--;
  }
}

static void add_steps(const Window *window, const GArray *spans) {
  for (guint i = 0; i < spans->len; i++) {
    const LcipSpan *span = &g_array_index(spans, LcipSpan, i);
    const double ms = (double)(span->end_ns - span->start_ns) / 1e6;
    if (span->end_ns <= window->begin_ns || span->step < 0)
      continue;
    if (span->kind <= LCIP_SPAN_COPY)
      g_array_append_val(window->step_ms[span->step], ms);
    else if (span->kind >= LCIP_SPAN_SEND)
      g_array_append_val(
          window->remote_ms[span->step * N_REMOTE + (int)span->kind - LCIP_SPAN_SEND], ms);
  }
}

/* Per frame: the sum of its copies. Copies of one frame on a lane follow each other in the ring. */
static void add_transfers(const Window *window, const GArray *spans, GArray *per_frame_ms) {
  guint64 frame = G_MAXUINT64;
  for (guint i = 0; i < spans->len; i++) {
    const LcipSpan *span = &g_array_index(spans, LcipSpan, i);
    if (span->kind != LCIP_SPAN_COPY || span->end_ns <= window->begin_ns)
      continue;
    const double ms = (double)(span->end_ns - span->start_ns) / 1e6;
    if (span->frame == frame)
      g_array_index(per_frame_ms, double, per_frame_ms->len - 1) += ms;
    else
      g_array_append_val(per_frame_ms, ms);
    frame = span->frame;
  }
}

typedef struct {
  gint64 ns[LCIP_SPAN_FRAME];
} LaneSums;

static void add_sums(const Window *window, LcipRecorder *recorder, const GArray *spans,
                     LaneSums *sums, guint *queue) {
  gint64 covered_ns = window->begin_ns;
  for (guint i = 0; i < spans->len; i++) {
    const LcipSpan *span = &g_array_index(spans, LcipSpan, i);
    if (span->kind >= LCIP_SPAN_FRAME)
      continue;
    sums->ns[span->kind] += clipped_ns(window, span->start_ns, span->end_ns);
    if (span->kind >= LCIP_SPAN_FIRING)
      covered_ns = MAX(covered_ns, span->end_ns);
  }
  /* What is going on now has no span yet. */
  guint waiting;
  const LcipSpanKind state = lcip_recorder_state(recorder, &waiting);
  sums->ns[state] += clipped_ns(window, covered_ns, window->end_ns);
  *queue += waiting;
}

/* @frame_ms: between frames, where companions share the lane; else 0. */
static void fill_lane(LcipLaneProfile *lane, const LaneSums *sums, double to_frame_ms,
                      double frame_ms) {
  /* A firing's time beside its copies is the lane's: it can do nothing else meanwhile. */
  const gint64 copy_ns = MIN(sums->ns[LCIP_SPAN_COPY], sums->ns[LCIP_SPAN_FIRING]);
  lane->copy_ms = (double)copy_ns * to_frame_ms;
  lane->compute_ms = (double)(sums->ns[LCIP_SPAN_FIRING] - copy_ns) * to_frame_ms;
  lane->wait_ms = (double)sums->ns[LCIP_SPAN_WAIT] * to_frame_ms;
  const double busy_ms = lane->compute_ms + lane->copy_ms;
  lane->idle_ms = (double)sums->ns[LCIP_SPAN_IDLE] * to_frame_ms;
  /* While one companion has nothing to do another computes: that is not the lane's waiting. */
  if (frame_ms > 0) {
    lane->wait_ms = CLAMP(frame_ms - busy_ms, 0, lane->wait_ms);
    lane->idle_ms = MAX(frame_ms - busy_ms - lane->wait_ms, 0);
  }
  const double all_ms = busy_ms + lane->wait_ms + lane->idle_ms;
  lane->utilisation = all_ms > 0 ? busy_ms / all_ms : 0;
  lane->capacity_fps = busy_ms > 0 ? 1000 / busy_ms : 0;
}

static void report_lane(LcipProfiler *profiler, guint lane, const Window *window,
                        GArray *const *spans, LcipProfile *profile) {
  LaneSums sums = {0};
  guint n = 0;
  g_autoptr(GArray) transfers_ms = g_array_new(FALSE, FALSE, sizeof(double));
  for (guint s = 0; s < profiler->n_streams; s++) {
    const guint i = s * profiler->n_lanes + lane;
    if (!profiler->lanes[i])
      continue;
    n++;
    add_sums(window, profiler->lanes[i], spans[i], &sums, &profile->lanes[lane].queue);
    add_steps(window, spans[i]);
    add_transfers(window, spans[i], transfers_ms);
  }
  profile->transfers[lane] = times_from(transfers_ms);
  const guint together = profiler->n_together;
  const double per_frame = 1e-6 / window->n_frames;
  const gint64 window_ns = together > 1 ? window->end_ns - window->begin_ns : 0;
  if (n > 0)
    fill_lane(&profile->lanes[lane], &sums, per_frame * together / n,
              per_frame * (double)window_ns);
}

static void report_io(LcipRecorder *recorder, const Window *window) {
  if (!recorder)
    return;
  g_autoptr(GArray) spans = lcip_recorder_copy(recorder);
  add_steps(window, spans);
}

static void report_capacity(LcipProfile *profile, guint n_lanes) {
  profile->bottleneck_lane = -1;
  for (guint l = 0; l < n_lanes; l++) {
    const double fps = profile->lanes[l].capacity_fps;
    if (fps <= 0 || (profile->bottleneck_lane >= 0 && fps >= profile->capacity_fps))
      continue;
    profile->capacity_fps = fps;
    profile->bottleneck_lane = (int)l;
  }
}

/* ---- the report ---- */

/* Capture: copies of all rings, made while the threads go on. */
typedef struct {
  GArray *frames;
  GArray **spans; /* per stream and lane */
  guint n;
} Capture;

static void capture_clear(Capture *capture) {
  for (guint i = 0; i < capture->n; i++)
    g_clear_pointer(&capture->spans[i], g_array_unref);
  g_clear_pointer(&capture->spans, g_free);
  g_clear_pointer(&capture->frames, g_array_unref);
}

static gboolean capture_covers(const Capture *capture, const Window *window) {
  for (guint i = 0; i < capture->n; i++) {
    const GArray *spans = capture->spans[i];
    if (spans && spans->len > 0 && g_array_index(spans, LcipSpan, 0).start_ns > window->begin_ns)
      return FALSE;
  }
  return TRUE;
}

/* FALSE before the first frame. */
static gboolean capture_once(LcipProfiler *profiler, Capture *capture, Window *window,
                             LcipTimes *latency) {
  capture->frames = lcip_recorder_copy(profiler->frames);
  capture->n = profiler->n_streams * profiler->n_lanes;
  capture->spans = g_new0(GArray *, capture->n + 1);
  if (capture->frames->len == 0)
    return FALSE;
  *latency = window_from_frames(window, capture->frames);
  for (guint i = 0; i < capture->n; i++)
    if (profiler->lanes[i]) {
      capture->spans[i] = lcip_recorder_copy(profiler->lanes[i]);
      window_shrink(window, capture->spans[i], capture->frames);
    }
  return TRUE;
}

/* When this thread was held up between the copies, the lanes' rings may have gone past the window;
 * then once more. */
static gboolean capture_all(LcipProfiler *profiler, Capture *capture, Window *window,
                            LcipTimes *latency) {
  for (int attempt = 0; attempt < 8; attempt++) {
    capture_clear(capture);
    if (!capture_once(profiler, capture, window, latency))
      return FALSE;
    if (capture_covers(capture, window))
      return TRUE;
  }
  return TRUE;
}

static void report_steps(LcipProfiler *profiler, Window *window, GArray *const *spans,
                         LcipProfile *profile) {
  const guint n = profiler->plan->steps->len;
  window->step_ms = g_new0(GArray *, n + 1);
  window->remote_ms = g_new0(GArray *, n * N_REMOTE + 1);
  for (guint i = 0; i < n; i++)
    window->step_ms[i] = g_array_new(FALSE, FALSE, sizeof(double));
  for (guint i = 0; i < n * N_REMOTE; i++)
    window->remote_ms[i] = g_array_new(FALSE, FALSE, sizeof(double));
  for (guint l = 0; l < profiler->n_lanes; l++)
    report_lane(profiler, l, window, spans, profile);
  report_io(profiler->source, window);
  report_io(profiler->sink, window);
  for (guint i = 0; i < n; i++) {
    profile->steps[i] = times_from(window->step_ms[i]);
    g_array_unref(window->step_ms[i]);
    LcipTimes *times[N_REMOTE] = {&profile->remotes[i].send, &profile->remotes[i].queue,
                                  &profile->remotes[i].compute, &profile->remotes[i].reply};
    for (guint k = 0; k < N_REMOTE; k++) {
      *times[k] = times_from(window->remote_ms[i * N_REMOTE + k]);
      g_array_unref(window->remote_ms[i * N_REMOTE + k]);
    }
  }
  g_free(window->step_ms);
  g_free(window->remote_ms);
}

static LcipProfile *profile_new(LcipProfiler *profiler) {
  LcipProfile *profile = g_new0(LcipProfile, 1);
  profile->plan = lcip_plan_ref(profiler->plan);
  profile->epoch = profiler->epoch;
  profile->steps = g_new0(LcipTimes, profiler->plan->steps->len + 1);
  profile->remotes = g_new0(LcipRemoteTimes, profiler->plan->steps->len + 1);
  profile->transfers = g_new0(LcipTimes, profiler->n_lanes + 1);
  profile->lanes = g_new0(LcipLaneProfile, profiler->n_lanes + 1);
  return profile;
}

LcipProfile *lcip_profiler_report(LcipProfiler *profiler) {
  Capture capture = {0};
  Window window = {0};
  LcipTimes latency;
  LcipProfile *profile = NULL;
  if (capture_all(profiler, &capture, &window, &latency)) {
    profile = profile_new(profiler);
    profile->latency = latency;
    report_steps(profiler, &window, capture.spans, profile);
    profile->frame_ms = (double)(window.end_ns - window.begin_ns) / 1e6 / window.n_frames;
    profile->delivered_fps = profile->frame_ms > 0 ? 1000 / profile->frame_ms : 0;
    report_capacity(profile, profiler->n_lanes);
  }
  capture_clear(&capture);
  return profile;
}

void lcip_profile_free(LcipProfile *profile) {
  if (!profile)
    return;
  lcip_plan_unref(profile->plan);
  g_free(profile->steps);
  g_free(profile->remotes);
  g_free(profile->transfers);
  g_free(profile->lanes);
  g_free(profile);
}
