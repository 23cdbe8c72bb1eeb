#include "config.h"
#include "lcip-memory.h"
#include "lcip-run-private.h"

#include <string.h>

/* The sink thread: takes the frames in the order in which they were issued, from whichever stream
 * has them, and hands them to the user. It frees plans that have delivered their last frame, and
 * ends the run. */

#define TENSOR(plan, i) (&g_array_index((plan)->tensors, LcipPlanTensor, (i)))

typedef struct {
  LcipRun *run;
  LcipGroup *group;
  GPtrArray *tokens; /* LcipToken: of this frame, per channel of the sink segment */
} Sink;

static gboolean stopped(LcipRun *run) {
  return atomic_load(&run->stop);
}

static const LcipSegment *sink_segment(const LcipInstance *instance) {
  return &instance->segments[instance->plan->segments->len - 1];
}

/* ---- plans that are done ---- */

static void retire(Sink *sink, LcipGroup *group) {
  pthread_mutex_lock(&sink->run->mutex);
  g_ptr_array_remove(sink->run->groups, group);
  pthread_mutex_unlock(&sink->run->mutex);
  lcip_group_free(group);
}

/* Frames come in order: with the first of a new plan, all of the old one's are delivered. Plans
 * that were taken over in between and got no frame go too. */
static void enter_group(Sink *sink, LcipGroup *group) {
  if (sink->group == group)
    return;
  for (;;) {
    pthread_mutex_lock(&sink->run->mutex);
    LcipGroup *oldest = g_ptr_array_index(sink->run->groups, 0);
    pthread_mutex_unlock(&sink->run->mutex);
    if (oldest == group)
      break;
    retire(sink, oldest);
  }
  sink->group = group;
}

/* ---- waiting ---- */

/* NULL at the end. */
static LcipFrameRecord *wait_for_record(Sink *sink) {
  gpointer record = NULL;
  for (;;) {
    const guint seen = lcip_doorbell_read(&sink->run->sink_bell);
    if (stopped(sink->run))
      return NULL;
    const LcipFifoResult result = lcip_fifo_pop(sink->run->records, &record);
    if (result == LCIP_FIFO_OK)
      return record;
    if (result == LCIP_FIFO_CLOSED)
      return NULL;
    lcip_doorbell_wait(&sink->run->sink_bell, seen);
  }
}

static gboolean wait_for_tokens(Sink *sink, const LcipSegment *segment) {
  for (;;) {
    const guint seen = lcip_doorbell_read(&sink->run->sink_bell);
    if (stopped(sink->run))
      return FALSE;
    if (lcip_segment_inputs_ready(segment))
      return TRUE;
    lcip_doorbell_wait(&sink->run->sink_bell, seen);
  }
}

/* ---- one frame ---- */

/* FALSE when the frame failed on its way. */
static gboolean take_tokens(Sink *sink, const LcipSegment *segment) {
  gboolean ok = TRUE;
  for (guint i = 0; i < segment->n_inputs; i++) {
    LcipToken *token = lcip_channel_pop(segment->inputs[i]);
    g_ptr_array_add(sink->tokens, token);
    ok = ok && token->status == LCIP_TOKEN_DATA;
  }
  return ok;
}

static LcipToken *token_for(Sink *sink, const LcipSegment *segment, const LcipSinkSlot *slot) {
  LcipToken *by_root = NULL;
  for (guint i = 0; i < segment->n_inputs; i++) {
    if (segment->inputs[i]->tensor == slot->tensor)
      return g_ptr_array_index(sink->tokens, i);
    if (segment->inputs[i]->root == slot->root)
      by_root = g_ptr_array_index(sink->tokens, i);
  }
  return by_root;
}

/* The tensor behind a token, or behind what it is an alias of. */
static LcipTensor *token_tensor(const LcipToken *token) {
  while (!token->tensor)
    token = token->parent;
  return token->tensor;
}

/* The same bytes under another shape; keeps @tensor. A tensor that a source lends holds what the
 * frame holds and no more, so @shape is the planned one too. */
static LcipTensor *reshaped(LcipTensor *tensor, const LcipShape *shape) {
  g_autoptr(GBytes) bytes =
      g_bytes_new_with_free_func(lcip_tensor_get_data(tensor), lcip_tensor_get_bytes(tensor),
                                 (GDestroyNotify)lcip_tensor_unref, lcip_tensor_ref(tensor));
  LcipTensorSpec spec = *lcip_tensor_get_spec(tensor);
  spec.shape = *shape;
  return lcip_tensor_new_from_bytes(&spec, bytes, 0);
}

/* Transfer full; NULL with @error when it has no shape in this frame. A sink gets the token's own
 * tensor wherever that has the right shape. */
static LcipTensor *slot_tensor(Sink *sink, const LcipSegment *segment, const LcipSinkSlot *slot,
                               GError **error) {
  const LcipPlan *plan = sink->group->plan;
  const LcipPlanTensor *info = TENSOR(plan, slot->tensor);
  const LcipToken *token = token_for(sink, segment, slot);
  LcipTensor *tensor = token ? token_tensor(token) : TENSOR(plan, slot->root)->constant;
  LcipShape shape = info->spec.shape;
  if (slot->tensor == slot->root)
    return lcip_tensor_ref(tensor);
  if (token && token->parent)
    shape = token->shape;
  else if (token &&
           !lcip_view_shape(plan, slot->tensor, slot->root, &token->shape, &shape, error)) {
    lcip_step_prefix(plan, g_ptr_array_index(plan->steps, slot->step), error);
    return NULL;
  }
  return reshaped(tensor, &shape);
}

static gboolean make_values(Sink *sink, const LcipSegment *segment, GError **error) {
  for (guint i = 0; i < sink->group->sinks->len; i++) {
    LcipTensor *tensor =
        slot_tensor(sink, segment, &g_array_index(sink->group->sinks, LcipSinkSlot, i), error);
    if (!tensor)
      return FALSE;
    g_array_index(sink->group->values, LcipFrameValue, i).tensor = tensor;
  }
  return TRUE;
}

static void drop_values(Sink *sink) {
  for (guint i = 0; i < sink->group->values->len; i++)
    g_clear_pointer(&g_array_index(sink->group->values, LcipFrameValue, i).tensor,
                    lcip_tensor_unref);
}

static void record_sinks(Sink *sink, const LcipFrameRecord *record, gint64 start_ns) {
  int last = -1;
  for (guint i = 0; i < sink->group->sinks->len; i++) {
    const int step = g_array_index(sink->group->sinks, LcipSinkSlot, i).step;
    if (step != last)
      lcip_run_io_span(sink->group->profiler->sink, record->number, step, start_ns);
    last = step;
  }
}

static void call_user(Sink *sink, const LcipFrameRecord *record) {
  if (!sink->run->frame_func)
    return;
  const LcipFrame frame = {.number = record->number,
                           .epoch = sink->group->epoch,
                           .timestamp_ns = record->timestamp_ns,
                           .latency_ns = lcip_now_ns() - record->origin_ns,
                           .picture = record->picture,
                           .n_values = sink->group->values->len,
                           .values =
                               (const LcipFrameValue *)(const void *)sink->group->values->data};
  sink->run->frame_func(&frame, sink->run->frame_data);
}

static void publish_profiler(Sink *sink) {
  LcipRun *run = sink->run;
  pthread_mutex_lock(&run->mutex);
  if (run->profiled != sink->group->profiler) {
    lcip_profiler_unref(run->profiled);
    run->profiled = lcip_profiler_ref(sink->group->profiler);
  }
  pthread_mutex_unlock(&run->mutex);
}

static void record_frame(Sink *sink, const LcipFrameRecord *record) {
  LcipProfiler *profiler = sink->group->profiler;
  lcip_recorder_add(profiler->frames, &(LcipSpan){.frame = record->number,
                                                  .queued_ns = record->issued_ns,
                                                  .start_ns = record->origin_ns,
                                                  .end_ns = lcip_now_ns(),
                                                  .step = -1,
                                                  .kind = LCIP_SPAN_FRAME});
  if (atomic_fetch_add(&profiler->n_frames, 1) == 0) {
    publish_profiler(sink);
    lcip_memory_settle_later(); /* not before: the first frame is not to wait for it */
  }
}

static void release_frame(Sink *sink, LcipFrameRecord *record) {
  drop_values(sink);
  g_ptr_array_set_size(sink->tokens, 0);
  g_clear_pointer(&record->picture, lcip_tensor_unref);
}

/* FALSE when the frame cannot be delivered. */
static gboolean deliver(Sink *sink, LcipFrameRecord *record) {
  const gint64 start_ns = sink->group->profiler->sink ? lcip_now_ns() : 0;
  GError *error = NULL;
  if (!make_values(sink, sink_segment(record->instance), &error)) {
    g_prefix_error(&error, "frame %" G_GUINT64_FORMAT ": ", record->number);
    lcip_run_fail(sink->run, LCIP_RUN_GO_ON, error);
    release_frame(sink, record);
    return FALSE;
  }
  call_user(sink, record);
  record_sinks(sink, record, start_ns);
  record_frame(sink, record);
  release_frame(sink, record);
  lcip_instance_count_finished(record->instance);
  atomic_fetch_add(&sink->run->n_delivered, 1);
  lcip_doorbell_ring(&sink->run->source_bell);
  return TRUE;
}

static gboolean next_frame(Sink *sink) {
  LcipFrameRecord *record = wait_for_record(sink);
  if (!record)
    return FALSE;
  enter_group(sink, record->group);
  const LcipSegment *segment = sink_segment(record->instance);
  if (!wait_for_tokens(sink, segment) || !take_tokens(sink, segment)) {
    release_frame(sink, record);
    return FALSE;
  }
  return deliver(sink, record);
}

/* ---- the end ---- */

static void drop_records(LcipRun *run) {
  gpointer record;
  while (lcip_fifo_pop(run->records, &record) == LCIP_FIFO_OK)
    g_clear_pointer(&((LcipFrameRecord *)record)->picture, lcip_tensor_unref);
}

static void end_run(LcipRun *run) {
  lcip_run_stop(run);
  lcip_run_join_source(run);
  pthread_mutex_lock(&run->mutex);
  run->ended = TRUE; /* from here on no plan is taken any more */
  pthread_mutex_unlock(&run->mutex);
  lcip_run_free_groups(run);
  drop_records(run);
  pthread_mutex_lock(&run->mutex);
  run->done = TRUE;
  pthread_cond_broadcast(&run->done_cond);
  pthread_mutex_unlock(&run->mutex);
  if (run->end_func)
    run->end_func(run->frame_data);
}

gpointer lcip_run_sink_main(gpointer data) {
  Sink sink = {.run = data,
               .tokens = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_token_unref)};
  lcip_thread_be_brief();
  while (next_frame(&sink))
    ;
  g_ptr_array_unref(sink.tokens);
  end_run(data);
  return NULL;
}
