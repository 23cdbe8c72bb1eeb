#include "config.h"
#include "lcip-instance-private.h"

#include <string.h>

/* ---- tokens of a firing ---- */

gboolean lcip_worker_acquire_outputs(LcipWorker *worker, LcipSegment *segment, GError **error) {
  for (guint i = 0; i < segment->n_made; i++) {
    const int tensor = segment->made[i];
    LcipToken *token = lcip_token_pool_acquire(worker->instance->pools[tensor], error);
    if (!token)
      return FALSE;
    worker->out_tokens[tensor] = token;
  }
  return TRUE;
}

void lcip_worker_drop_tokens(LcipWorker *worker, LcipSegment *segment) {
  for (guint i = 0; i < segment->n_made; i++)
    g_clear_pointer(&worker->out_tokens[segment->made[i]], lcip_token_unref);
  for (guint i = 0; i < segment->n_inputs; i++) {
    const LcipChannel *channel = segment->inputs[i];
    if (channel->tensor < 0)
      continue;
    worker->root_tokens[channel->root] = NULL;
    g_clear_pointer(&worker->in_tokens[channel->tensor], lcip_token_unref);
  }
}

static void put_input(LcipWorker *worker, int tensor, LcipToken *token) {
  worker->in_tokens[tensor] = token;
  worker->root_tokens[lcip_plan_root(worker->instance->plan, tensor)] = token;
  worker->shapes[tensor] = token->shape;
}

/* ---- warming up ---- */

static gboolean zero_input(LcipWorker *worker, int tensor, GError **error) {
  LcipInstance *instance = worker->instance;
  const LcipTensorSpec *spec = &g_array_index(instance->plan->tensors, LcipPlanTensor, tensor).spec;
  g_autoptr(LcipTensor) zeros = lcip_tensor_new(spec);
  if (!zeros) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "no memory for a token");
    return FALSE;
  }
  LcipToken *token = lcip_token_pool_acquire(instance->pulse_pool, error);
  lcip_token_lend(token, zeros);
  put_input(worker, tensor, token);
  return TRUE;
}

static gboolean warm_up_segment(LcipWorker *worker, LcipSegment *segment, GError **error) {
  gboolean ok = TRUE;
  for (guint i = 0; ok && i < segment->n_inputs; i++) {
    const int tensor = segment->inputs[i]->tensor;
    ok = tensor < 0 || worker->in_tokens[tensor] || zero_input(worker, tensor, error);
  }
  ok = ok && lcip_worker_acquire_outputs(worker, segment, error) &&
       lcip_firing_run(worker, segment, 0, error);
  lcip_worker_drop_tokens(worker, segment);
  return ok;
}

gboolean lcip_worker_warm_up(LcipWorker *worker, GError **error) {
  if (worker->remote)
    return lcip_remote_lane_warm_up(worker->remote, error);
  LcipRecorder *recorder = g_steal_pointer(&worker->recorder);
  gboolean ok = TRUE;
  for (guint i = 0; ok && i < worker->segments->len; i++)
    ok = warm_up_segment(worker, g_ptr_array_index(worker->segments, i), error);
  worker->recorder = recorder;
  if (!ok)
    g_prefix_error(error, "warming up: ");
  return ok;
}

/* ---- firings ---- */

/* Takes the frame's tokens. @out: header and status of the frame for what is pushed. */
void lcip_worker_pop_inputs(LcipWorker *worker, LcipSegment *segment, LcipToken *out) {
  for (guint i = 0; i < segment->n_inputs; i++) {
    LcipChannel *channel = segment->inputs[i];
    LcipToken *token = lcip_channel_pop(channel);
    if (channel->delay == 0) {
      out->frame = token->frame;
      out->epoch = token->epoch;
      out->timestamp_ns = token->timestamp_ns;
    }
    out->ready_ns = MAX(out->ready_ns, token->ready_ns);
    if (token->status == LCIP_TOKEN_ERROR)
      out->status = LCIP_TOKEN_ERROR;
    if (channel->tensor < 0) {
      lcip_token_unref(token);
      continue;
    }
    put_input(worker, channel->tensor, token);
  }
}

static void token_head(LcipToken *token, const LcipToken *head) {
  token->frame = head->frame;
  token->epoch = head->epoch;
  token->timestamp_ns = head->timestamp_ns;
  token->ready_ns = head->ready_ns;
  token->status = head->status;
}

static void finish_outputs(LcipWorker *worker, LcipSegment *segment, const LcipToken *head) {
  for (guint i = 0; i < segment->n_made; i++) {
    LcipToken *token = worker->out_tokens[segment->made[i]];
    token_head(token, head);
    if (head->status == LCIP_TOKEN_ERROR)
      continue;
    token->shape = worker->shapes[segment->made[i]];
    lcip_tensor_set_shape(token->tensor, &token->shape);
  }
}

/* Another view of a token has a token of its own, which keeps the first. */
static void push_alias(LcipWorker *worker, LcipChannel *channel, const LcipToken *head) {
  LcipToken *alias = lcip_token_pool_acquire(channel->alias_pool, NULL);
  LcipToken *parent = worker->out_tokens[channel->root];
  token_head(alias, head);
  lcip_token_alias(alias, parent ? parent : worker->root_tokens[channel->root],
                   &worker->shapes[channel->tensor]);
  lcip_channel_push(channel, alias);
  lcip_token_unref(alias);
}

void lcip_worker_push_outputs(LcipWorker *worker, LcipSegment *segment, LcipToken *head) {
  head->ready_ns = worker->recorder ? lcip_now_ns() : 0;
  finish_outputs(worker, segment, head);
  for (guint i = 0; i < segment->n_outputs; i++) {
    LcipChannel *channel = segment->outputs[i];
    if (channel->alias_pool)
      push_alias(worker, channel, head);
    else
      lcip_channel_push(channel, worker->out_tokens[channel->root]);
  }
}

void lcip_worker_failed(LcipWorker *worker, guint64 frame, LcipFailure failure, GError *error) {
  g_prefix_error(&error, "frame %" G_GUINT64_FORMAT ": ", frame);
  worker->instance->failed(worker->instance->failed_data, failure, error);
}

void lcip_worker_count_fired(LcipWorker *worker, LcipSegment *segment) {
  atomic_fetch_add(&segment->n_fired, 1);
  if (atomic_load(&worker->instance->draining))
    lcip_doorbell_ring(worker->instance->source_bell);
}

/* One frame through one segment. A frame that failed upstream goes on as an error, so that those
 * before it are still delivered. FALSE when not even its tokens could be had: then nothing can go
 * on. */
static gboolean fire(LcipWorker *worker, LcipSegment *segment, LcipSpan *span) {
  GError *error = NULL;
  LcipToken head = {.status = LCIP_TOKEN_DATA};
  lcip_worker_pop_inputs(worker, segment, &head);
  span->frame = head.frame;
  span->queued_ns = head.ready_ns;
  const gboolean acquired = lcip_worker_acquire_outputs(worker, segment, &error);
  if (acquired && head.status == LCIP_TOKEN_DATA &&
      !lcip_firing_run(worker, segment, head.frame, &error))
    head.status = LCIP_TOKEN_ERROR;
  if (error)
    lcip_worker_failed(worker, head.frame, acquired ? LCIP_FAILED_FRAME : LCIP_FAILED_FATAL, error);
  if (acquired)
    lcip_worker_push_outputs(worker, segment, &head);
  lcip_worker_drop_tokens(worker, segment);
  lcip_worker_count_fired(worker, segment);
  return acquired;
}

static LcipSegment *pick(LcipWorker *worker) {
  LcipSegment *best = NULL;
  for (guint i = 0; i < worker->segments->len; i++) {
    LcipSegment *segment = g_ptr_array_index(worker->segments, i);
    if (lcip_segment_inputs_ready(segment) && lcip_segment_outputs_have_room(segment) &&
        (!best || atomic_load_explicit(&segment->n_fired, memory_order_relaxed) <
                      atomic_load_explicit(&best->n_fired, memory_order_relaxed)))
      best = segment;
  }
  return best;
}

/* ---- where the lane's time goes ---- */

guint64 lcip_worker_oldest_due(const LcipWorker *worker) {
  guint64 oldest = G_MAXUINT64;
  for (guint i = 0; i < worker->segments->len; i++) {
    const LcipSegment *segment = g_ptr_array_index(worker->segments, i);
    oldest =
        MIN(oldest, atomic_load_explicit(&((LcipSegment *)segment)->n_fired, memory_order_relaxed));
  }
  return oldest;
}

guint lcip_worker_frames_waiting(const LcipWorker *worker) {
  guint n = 0;
  for (guint i = 0; i < worker->segments->len; i++) {
    const LcipSegment *segment = g_ptr_array_index(worker->segments, i);
    guint ready = G_MAXUINT;
    for (guint c = 0; c < segment->n_inputs; c++)
      ready = MIN(ready, lcip_fifo_length(segment->inputs[c]->fifo));
    n += segment->n_inputs ? ready : 0;
  }
  return n;
}

void lcip_worker_record(LcipWorker *worker, LcipSpanKind kind, gint64 end_ns,
                        const LcipSpan *what) {
  LcipSpan span = *what;
  span.kind = kind;
  span.start_ns = worker->mark_ns;
  span.end_ns = end_ns;
  if (span.queued_ns == 0)
    span.queued_ns = worker->mark_ns;
  worker->mark_ns = end_ns;
  lcip_recorder_add(worker->recorder, &span);
}

/* The thread has slept since its mark: idle until a frame that it has yet to work on was issued,
 * and from then on waiting for that frame. */
void lcip_worker_record_sleep(LcipWorker *worker) {
  LcipInstance *instance = worker->instance;
  const gint64 now_ns = lcip_now_ns();
  const guint64 due = lcip_worker_oldest_due(worker);
  gint64 due_ns = now_ns;
  if (due < atomic_load(&instance->n_issued))
    due_ns =
        CLAMP(atomic_load(&instance->issue_ns[due % instance->limit]), worker->mark_ns, now_ns);
  const LcipSpan span = {.frame = due, .step = -1};
  if (due_ns > worker->mark_ns)
    lcip_worker_record(worker, LCIP_SPAN_IDLE, due_ns, &span);
  if (now_ns > due_ns)
    lcip_worker_record(worker, LCIP_SPAN_WAIT, now_ns, &span);
}

static void sleep_on_bell(LcipWorker *worker, guint seen) {
  if (!worker->recorder) {
    lcip_doorbell_wait(&worker->bell, seen);
    return;
  }
  const gboolean due = lcip_worker_oldest_due(worker) < atomic_load(&worker->instance->n_issued);
  lcip_recorder_set_state(worker->recorder, due ? LCIP_SPAN_WAIT : LCIP_SPAN_IDLE,
                          lcip_worker_frames_waiting(worker));
  lcip_doorbell_wait(&worker->bell, seen);
  lcip_worker_record_sleep(worker);
}

static gboolean fire_recorded(LcipWorker *worker, LcipSegment *segment) {
  LcipSpan span = {.step = segment->index};
  if (!worker->recorder)
    return fire(worker, segment, &span);
  lcip_recorder_set_state(worker->recorder, LCIP_SPAN_FIRING, lcip_worker_frames_waiting(worker));
  const gboolean ok = fire(worker, segment, &span);
  /* What follows the steps is done without the turn. */
  const gboolean had_turn = worker->instance->companions != NULL;
  lcip_worker_record(worker, had_turn ? LCIP_SPAN_TURN : LCIP_SPAN_FIRING, lcip_now_ns(), &span);
  return ok;
}

gpointer lcip_worker_main(gpointer data) {
  LcipWorker *worker = data;
  worker->mark_ns = worker->recorder ? lcip_now_ns() : 0;
  if (worker->remote) {
    lcip_remote_lane_main(worker->remote);
    return NULL;
  }
  for (;;) {
    /* Before looking at anything that rings: also at the wish to stop. */
    const guint seen = lcip_doorbell_read(&worker->bell);
    if (atomic_load(&worker->instance->stop))
      break;
    LcipSegment *segment = pick(worker);
    if (!segment)
      sleep_on_bell(worker, seen);
    else if (!fire_recorded(worker, segment))
      break;
  }
  return NULL;
}
