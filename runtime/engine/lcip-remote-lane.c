#include "config.h"
#include "lcip-link.h"
#include "lcip-remote-device.h"
#include "lcip-run-private.h"

#include <string.h>

/* A lane whose segments a worker computes. Its thread sends frames as they come, several at once,
 * keeps their input tokens until the results are there, and hands results on in order. While the
 * worker is lost, what was in flight and what comes goes to a run here, in the same order; so no
 * frame is lost or delivered twice whatever happens to the worker. */

/* START_NS: how long a run waits for its worker before it starts without. */
#define START_NS (LCIP_LINK_CONNECT_NS + LCIP_LINK_DEPLOY_NS)

typedef enum { FLIGHT_SENT, FLIGHT_LOCAL, FLIGHT_DONE } FlightState;

/** Flight: a frame between its inputs and its outputs. @head: what its tokens carry. @in: the
 * tokens that the channels gave; @made: those that it fills. */
typedef struct {
  FlightState state;
  LcipToken head;
  LcipToken **in, **made;
  LcipLinkInput *inputs;
  LcipLinkOutput *outputs;
  LcipLinkResult times;
} Flight;

/** Part: one segment. @results: of the local run, GPtrArray of LcipTensor per frame. */
typedef struct {
  LcipRemoteLane *lane;
  guint index; /* in the lane and in its link */
  LcipSegment *segment;
  LcipInstanceStep *step;
  const LcipRemotePart *plan;
  LcipRun *local;
  GQueue flights; /* Flight, oldest first */
  GMutex mutex;
  /* under mutex */
  GQueue results;
  gboolean ended;
} Part;

struct _LcipRemoteLane {
  LcipWorker *worker;
  LcipLink *link;
  GPtrArray *parts;   /* Part */
  gboolean told_lost; /* once, however often it tries in vain */
};

/* ---- flights ---- */

static void drop_token(gpointer token) {
  if (token)
    lcip_token_unref(token);
}

static void flight_free(Flight *flight, const LcipSegment *segment) {
  for (guint i = 0; i < segment->n_inputs; i++)
    drop_token(flight->in[i]);
  for (guint i = 0; i < segment->n_made; i++)
    drop_token(flight->made[i]);
  g_free(flight->in);
  g_free(flight->made);
  g_free(flight->inputs);
  g_free(flight->outputs);
  g_free(flight);
}

/* The tokens of the firing, which the worker holds, become the flight's. */
static void take_tokens(LcipWorker *worker, const LcipSegment *segment, Flight *flight) {
  flight->in = g_new0(LcipToken *, segment->n_inputs + 1);
  flight->made = g_new0(LcipToken *, segment->n_made + 1);
  for (guint i = 0; i < segment->n_inputs; i++) {
    const LcipChannel *channel = segment->inputs[i];
    if (channel->tensor < 0)
      continue;
    worker->root_tokens[channel->root] = NULL;
    flight->in[i] = g_steal_pointer(&worker->in_tokens[channel->tensor]);
  }
  for (guint i = 0; i < segment->n_made; i++)
    flight->made[i] = g_steal_pointer(&worker->out_tokens[segment->made[i]]);
}

/* And back, when it is complete. */
static void give_tokens(LcipWorker *worker, const LcipSegment *segment, Flight *flight) {
  for (guint i = 0; i < segment->n_inputs; i++) {
    const LcipChannel *channel = segment->inputs[i];
    if (!flight->in[i])
      continue;
    worker->root_tokens[channel->root] = flight->in[i];
    worker->in_tokens[channel->tensor] = g_steal_pointer(&flight->in[i]);
  }
  for (guint i = 0; i < segment->n_made; i++)
    worker->out_tokens[segment->made[i]] = g_steal_pointer(&flight->made[i]);
}

static void find_inputs(Part *part, Flight *flight) {
  const guint n = part->step->work->step.n_inputs;
  flight->inputs = g_new0(LcipLinkInput, n + 1);
  for (guint i = 0; i < n; i++) {
    flight->inputs[i].shape = part->step->inputs[i].shape;
    flight->inputs[i].data = part->step->inputs[i].data;
  }
}

static void find_outputs(Part *part, Flight *flight) {
  const LcipWorker *worker = part->lane->worker;
  const LcipPlanWork *work = part->step->work;
  flight->outputs = g_new0(LcipLinkOutput, work->step.n_outputs + 1);
  for (guint o = 0; o < work->step.n_outputs; o++) {
    const LcipToken *token = worker->out_tokens[work->outputs[o]];
    flight->outputs[o].data = token ? token->data : NULL;
  }
}

/* ---- the local run ---- */

/* The bytes of an input as a tensor that keeps its token: what the run reads stays until it has
 * read it, also where the lane gave the frame up. */
static LcipTensor *input_tensor(Part *part, const Flight *flight, guint i) {
  const LcipPlan *plan = part->lane->worker->instance->plan;
  const int tensor = part->step->work->inputs[i];
  const int root = lcip_plan_root(plan, tensor);
  LcipTensorSpec spec = g_array_index(plan->tensors, LcipPlanTensor, tensor).spec;
  gsize bytes = 0;
  spec.shape = flight->inputs[i].shape;
  lcip_tensor_spec_bytes(&spec, &bytes);
  for (guint k = 0; k < part->segment->n_inputs; k++) {
    const LcipChannel *channel = part->segment->inputs[k];
    if (channel->root != root || !flight->in[k])
      continue;
    g_autoptr(GBytes) data = g_bytes_new_with_free_func(flight->inputs[i].data, bytes, drop_token,
                                                        lcip_token_ref(flight->in[k]));
    return lcip_tensor_new_from_bytes(&spec, data, 0);
  }
  return NULL;
}

static void start_locally(Part *part, Flight *flight) {
  const guint n = part->step->work->step.n_inputs;
  g_autoptr(GPtrArray) tensors = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_tensor_unref);
  for (guint i = 0; i < n; i++)
    g_ptr_array_add(tensors, input_tensor(part, flight, i));
  flight->state = FLIGHT_LOCAL;
  /* A run that has ended says so by itself. */
  lcip_run_push(part->local, (LcipTensor *const *)tensors->pdata, flight->head.timestamp_ns, NULL);
}

static void on_local_frame(const LcipFrame *frame, gpointer data) {
  Part *part = data;
  GPtrArray *tensors = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_tensor_unref);
  for (guint i = 0; i < frame->n_values; i++)
    g_ptr_array_add(tensors, lcip_tensor_ref(frame->values[i].tensor));
  g_mutex_lock(&part->mutex);
  g_queue_push_tail(&part->results, tensors);
  g_mutex_unlock(&part->mutex);
  lcip_doorbell_ring(&part->lane->worker->bell);
}

static void on_local_end(gpointer data) {
  Part *part = data;
  g_mutex_lock(&part->mutex);
  part->ended = TRUE;
  g_mutex_unlock(&part->mutex);
  lcip_doorbell_ring(&part->lane->worker->bell);
}

static gboolean start_local_run(Part *part, GError **error) {
  const LcipInstance *instance = part->lane->worker->instance;
  const LcipRunOptions options = {.pushed = TRUE,
                                  .cancellable = instance->warming,
                                  .frames_in_flight = instance->limit + 1,
                                  .frame_func = on_local_frame,
                                  .end_func = on_local_end,
                                  .frame_data = part};
  part->local = lcip_run_start(part->plan->fallback, &options, error);
  return part->local != NULL;
}

static Flight *oldest_in(Part *part, FlightState state) {
  for (GList *item = part->flights.head; item; item = item->next)
    if (((Flight *)item->data)->state == state)
      return item->data;
  return NULL;
}

static gboolean copy_output(const LcipTensor *tensor, LcipLinkOutput *output) {
  gsize bytes = 0;
  LcipTensorSpec spec = *lcip_tensor_get_spec(tensor);
  output->shape = spec.shape = *lcip_tensor_get_shape(tensor);
  if (output->data && lcip_tensor_spec_bytes(&spec, &bytes) && bytes > 0)
    memcpy(output->data, lcip_tensor_get_data(tensor), bytes);
  return TRUE;
}

/* Outputs of the part's graph and of its step have the same order; so have a run's values, which
 * follow the edges to the outputs. */
static gboolean take_local_results(Part *part) {
  gboolean took = FALSE;
  for (;;) {
    g_mutex_lock(&part->mutex);
    g_autoptr(GPtrArray) tensors = g_queue_pop_head(&part->results);
    g_mutex_unlock(&part->mutex);
    Flight *flight = tensors ? oldest_in(part, FLIGHT_LOCAL) : NULL;
    if (!flight)
      return took;
    for (guint i = 0; i < MIN(tensors->len, part->step->work->step.n_outputs); i++)
      copy_output(tensors->pdata[i], &flight->outputs[i]);
    flight->state = FLIGHT_DONE;
    flight->times = (LcipLinkResult){0};
    took = TRUE;
  }
}

/* ---- what the link says ---- */

static LcipLinkOutput *link_outputs(gpointer data, guint index, guint64 frame) {
  LcipRemoteLane *lane = data;
  return oldest_in(lane->parts->pdata[index], FLIGHT_SENT)->outputs;
}

static void link_done(gpointer data, guint index, const LcipLinkResult *result) {
  LcipRemoteLane *lane = data;
  Flight *flight = oldest_in(lane->parts->pdata[index], FLIGHT_SENT);
  flight->state = FLIGHT_DONE;
  flight->times = *result;
}

static void tell(LcipRemoteLane *lane) {
  const LcipInstance *instance = lane->worker->instance;
  g_auto(LcipLinkStatus) status = {0};
  if (!instance->lane_func)
    return;
  lcip_link_get_status(lane->link, &status);
  instance->lane_func(instance->plan, (guint)lane->worker->lane, &status, instance->lane_data);
}

/* From here on no result comes for what was sent, late ones die with their connection. */
static void link_lost(gpointer data, const char *reason) {
  LcipRemoteLane *lane = data;
  for (guint i = 0; i < lane->parts->len; i++) {
    Part *part = lane->parts->pdata[i];
    for (GList *item = part->flights.head; item; item = item->next)
      if (((Flight *)item->data)->state == FLIGHT_SENT)
        start_locally(part, item->data);
  }
  if (!lane->told_lost)
    tell(lane);
  lane->told_lost = TRUE;
}

static void link_ready(gpointer data) {
  LcipRemoteLane *lane = data;
  lane->told_lost = FALSE;
  tell(lane);
}

/* ---- frames ---- */

static gboolean can_start(Part *part) {
  const LcipLink *link = part->lane->link;
  return lcip_segment_inputs_ready(part->segment) &&
         g_queue_get_length(&part->flights) < part->lane->worker->instance->limit &&
         (lcip_link_state(link) != LCIP_LINK_READY || lcip_link_can_send(link, part->index));
}

static void launch(Part *part, Flight *flight) {
  if (lcip_link_state(part->lane->link) != LCIP_LINK_READY) {
    start_locally(part, flight);
    return;
  }
  flight->state = FLIGHT_SENT;
  lcip_link_send(part->lane->link, part->index, flight->head.frame, flight->inputs);
}

/* FALSE where the frame fails here. */
static gboolean read_inputs(Part *part, Flight *flight, GError **error) {
  if (flight->head.status != LCIP_TOKEN_DATA ||
      !lcip_firing_place_inputs(part->lane->worker, part->step, error))
    return FALSE;
  find_inputs(part, flight);
  find_outputs(part, flight);
  return TRUE;
}

/* Takes the next frame. What failed upstream, or fails now, goes on as an error in its turn;
 * without its tokens nothing can go on. */
static void start_flight(Part *part) {
  LcipWorker *worker = part->lane->worker;
  GError *error = NULL;
  Flight *flight = g_new0(Flight, 1);
  flight->head.status = LCIP_TOKEN_DATA;
  lcip_worker_pop_inputs(worker, part->segment, &flight->head);
  const gboolean acquired = lcip_worker_acquire_outputs(worker, part->segment, &error);
  const gboolean ok = acquired && read_inputs(part, flight, &error);
  take_tokens(worker, part->segment, flight);
  if (error)
    lcip_worker_failed(worker, flight->head.frame, acquired ? LCIP_FAILED_FRAME : LCIP_FAILED_FATAL,
                       error);
  if (!acquired) {
    flight_free(flight, part->segment);
    return;
  }
  g_queue_push_tail(&part->flights, flight);
  if (ok) {
    launch(part, flight);
    return;
  }
  flight->state = FLIGHT_DONE;
  flight->head.status = LCIP_TOKEN_ERROR;
}

/* ---- where the lane's time goes ---- */

static void add_span(Part *part, const Flight *flight, LcipSpanKind kind, gint64 start_ns,
                     gint64 end_ns) {
  const gboolean is_copy = kind == LCIP_SPAN_COPY;
  if (end_ns < start_ns || (is_copy && end_ns == start_ns))
    return;
  lcip_recorder_add(part->lane->worker->recorder,
                    &(LcipSpan){.frame = flight->head.frame,
                                .queued_ns = start_ns,
                                .start_ns = start_ns,
                                .end_ns = end_ns,
                                .step = is_copy ? -1 : part->step->index,
                                .kind = kind});
}

static void record_remote(Part *part, const Flight *flight) {
  const LcipLinkResult *t = &flight->times;
  add_span(part, flight, LCIP_SPAN_SEND, t->sent_ns, t->received_ns);
  add_span(part, flight, LCIP_SPAN_QUEUE, t->received_ns, t->started_ns);
  add_span(part, flight, LCIP_SPAN_REMOTE, t->started_ns, t->ended_ns);
  add_span(part, flight, LCIP_SPAN_REPLY, t->ended_ns, t->done_ns);
}

/* Frames in flight overlap, the lane's time does not: from the mark on it computed while the worker
 * computed this frame, the rest was the network's. */
static void record_result(Part *part, const Flight *flight) {
  LcipWorker *worker = part->lane->worker;
  const gint64 now_ns = lcip_now_ns(), mark_ns = MIN(worker->mark_ns, now_ns);
  const gboolean is_remote = flight->times.done_ns > 0;
  const gint64 start_ns = is_remote ? flight->times.started_ns : mark_ns;
  const gint64 end_ns = is_remote ? flight->times.ended_ns : now_ns;
  if (is_remote)
    record_remote(part, flight);
  add_span(part, flight, LCIP_SPAN_COMPUTE, start_ns, end_ns);
  add_span(part, flight, LCIP_SPAN_COPY, mark_ns, CLAMP(start_ns, mark_ns, now_ns));
  add_span(part, flight, LCIP_SPAN_COPY, CLAMP(end_ns, mark_ns, now_ns), now_ns);
  lcip_worker_record(worker, LCIP_SPAN_FIRING, now_ns,
                     &(LcipSpan){.frame = flight->head.frame, .step = part->segment->index});
}

static void finish_flight(Part *part, Flight *flight) {
  LcipWorker *worker = part->lane->worker;
  const LcipPlanWork *work = part->step->work;
  if (worker->recorder)
    record_result(part, flight);
  give_tokens(worker, part->segment, flight);
  for (guint o = 0; flight->outputs && o < work->step.n_outputs; o++)
    worker->shapes[work->outputs[o]] = flight->outputs[o].shape;
  lcip_worker_push_outputs(worker, part->segment, &flight->head);
  lcip_worker_drop_tokens(worker, part->segment);
  lcip_worker_count_fired(worker, part->segment);
  flight_free(flight, part->segment);
}

/* The local run has ended by an error: its frames fail, and with them the run. */
static void fail_local(Part *part) {
  g_mutex_lock(&part->mutex);
  const gboolean ended = part->ended;
  g_mutex_unlock(&part->mutex);
  for (Flight *flight; ended && (flight = oldest_in(part, FLIGHT_LOCAL));) {
    GError *error = NULL;
    lcip_run_is_done(part->local, &error);
    if (!error)
      error = g_error_new(LCIP_ERROR, LCIP_ERROR_CANCELLED, "the fallback ended");
    flight->state = FLIGHT_DONE;
    flight->head.status = LCIP_TOKEN_ERROR;
    lcip_worker_failed(part->lane->worker, flight->head.frame, LCIP_FAILED_FRAME, error);
  }
}

/* A reader may be further behind than the frames in flight: one that the sink does not wait for. It
 * rings when it has made room. */
static gboolean can_finish(Part *part) {
  const Flight *flight = g_queue_peek_head(&part->flights);
  return flight && flight->state == FLIGHT_DONE && lcip_segment_outputs_have_room(part->segment);
}

static gboolean work_on_part(Part *part) {
  gboolean worked = FALSE;
  while (can_start(part)) {
    start_flight(part);
    worked = TRUE;
  }
  worked |= take_local_results(part);
  fail_local(part);
  while (can_finish(part)) {
    finish_flight(part, g_queue_pop_head(&part->flights));
    worked = TRUE;
  }
  return worked;
}

/* ---- the thread ---- */

static gboolean has_flights(const LcipRemoteLane *lane) {
  for (guint i = 0; i < lane->parts->len; i++)
    if (((Part *)lane->parts->pdata[i])->flights.length > 0)
      return TRUE;
  return FALSE;
}

static LcipSpanKind state_of(const LcipRemoteLane *lane) {
  const LcipWorker *worker = lane->worker;
  if (has_flights(lane))
    return LCIP_SPAN_FIRING;
  return lcip_worker_oldest_due(worker) < atomic_load(&worker->instance->n_issued) ? LCIP_SPAN_WAIT
                                                                                   : LCIP_SPAN_IDLE;
}

static void sleep_on(LcipRemoteLane *lane, guint seen) {
  LcipWorker *worker = lane->worker;
  if (!lcip_doorbell_begin_wait(&worker->bell, seen))
    return;
  if (worker->recorder)
    lcip_recorder_set_state(worker->recorder, state_of(lane), lcip_worker_frames_waiting(worker));
  lcip_link_wait(lane->link, worker->bell.fd, G_MAXINT64);
  lcip_doorbell_end_wait(&worker->bell);
  if (worker->recorder && !has_flights(lane))
    lcip_worker_record_sleep(worker);
}

static void close_lane(LcipRemoteLane *lane) {
  lcip_link_close(lane->link);
  for (guint i = 0; i < lane->parts->len; i++) {
    Part *part = lane->parts->pdata[i];
    g_clear_pointer(&part->local, lcip_run_unref);
    for (Flight *flight; (flight = g_queue_pop_head(&part->flights));)
      flight_free(flight, part->segment);
  }
}

void lcip_remote_lane_main(LcipRemoteLane *lane) {
  for (;;) {
    const guint seen = lcip_doorbell_read(&lane->worker->bell);
    if (atomic_load(&lane->worker->instance->stop))
      break;
    gboolean worked = lcip_link_work(lane->link);
    for (guint i = 0; i < lane->parts->len; i++)
      worked |= work_on_part(lane->parts->pdata[i]);
    if (!worked)
      sleep_on(lane, seen);
  }
  close_lane(lane);
}

static gboolean is_settled(const LcipRemoteLane *lane, gboolean tried) {
  const LcipLinkState state = lcip_link_state(lane->link);
  return state == LCIP_LINK_READY || (tried && state == LCIP_LINK_OFFLINE);
}

gboolean lcip_remote_lane_warm_up(LcipRemoteLane *lane, GError **error) {
  const gint64 until_ns = lcip_now_ns() + START_NS;
  GCancellable *cancellable = lane->worker->instance->warming;
  const int cancelled_fd = cancellable ? g_cancellable_get_fd(cancellable) : -1;
  const LcipPlanLane *planned =
      g_ptr_array_index(lane->worker->instance->plan->lanes, lane->worker->lane);
  gboolean tried = FALSE;
  lcip_link_set_cancellable(lane->link, cancellable);
  while (lcip_now_ns() < until_ns && !g_cancellable_is_cancelled(cancellable)) {
    const gboolean worked = lcip_link_work(lane->link);
    if (is_settled(lane, tried))
      break;
    tried = TRUE;
    if (!worked)
      lcip_link_wait(lane->link, cancelled_fd, until_ns);
  }
  lcip_link_set_cancellable(lane->link, NULL);
  if (cancelled_fd >= 0)
    g_cancellable_release_fd(cancellable);
  if (!g_cancellable_is_cancelled(cancellable))
    return TRUE;
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_CANCELLED, "cancelled while lane %s connects",
              planned->name);
  return FALSE;
}

void lcip_remote_lane_status(LcipRemoteLane *lane, LcipLinkStatus *status) {
  lcip_link_get_status(lane->link, status);
}

/* ---- life ---- */

static void part_free(gpointer data) {
  Part *part = data;
  g_clear_pointer(&part->local, lcip_run_unref);
  g_queue_clear_full(&part->results, (GDestroyNotify)g_ptr_array_unref);
  g_mutex_clear(&part->mutex);
  g_free(part);
}

static gboolean add_part(LcipRemoteLane *lane, LcipSegment *segment, GError **error) {
  Part *part = g_new0(Part, 1);
  part->lane = lane;
  part->segment = segment;
  part->step = &segment->steps[0];
  part->plan = part->step->work->remote;
  g_mutex_init(&part->mutex);
  g_ptr_array_add(lane->parts, part);
  part->index = lcip_link_add_part(lane->link, part->plan->graph);
  return start_local_run(part, error);
}

static LcipLink *make_link(LcipRemoteLane *lane, const LcipPlanLane *planned, gboolean pinned) {
  static const LcipLinkFuncs funcs = {link_outputs, link_done, link_lost, link_ready};
  g_auto(LcipRemoteId) id = {0};
  lcip_remote_id_parse(planned->device->id, &id, NULL); /* else there would be no such device */
  const LcipLinkOptions options = {.address = id.address,
                                   .device = id.device,
                                   .threads = planned->threads,
                                   .credits = lane->worker->instance->limit,
                                   .pinned = pinned,
                                   .f16 = id.f16,
                                   .deadline_ns = id.deadline_ns};
  return lcip_link_new(&options, &funcs, lane);
}

static gboolean has_worker(const LcipWorker *worker, const LcipPlanLane *planned, GError **error) {
  gboolean ok = planned->device != NULL;
  for (guint i = 0; ok && i < worker->segments->len; i++) {
    const LcipSegment *segment = worker->segments->pdata[i];
    ok = segment->n_steps == 1 && segment->steps[0].work->remote;
  }
  if (!ok)
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "lane %s has no worker", planned->name);
  return ok;
}

LcipRemoteLane *lcip_remote_lane_new(LcipWorker *worker, GError **error) {
  const LcipPlanLane *planned = g_ptr_array_index(worker->instance->plan->lanes, worker->lane);
  if (!has_worker(worker, planned, error))
    return NULL;
  const LcipSegment *first = worker->segments->pdata[0];
  LcipRemoteLane *lane = g_new0(LcipRemoteLane, 1);
  gboolean ok = lcip_doorbell_open_fd(&worker->bell);
  lane->worker = worker;
  lane->parts = g_ptr_array_new_with_free_func(part_free);
  lane->link = make_link(lane, planned, first->steps[0].work->remote->pinned);
  if (!ok)
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "no event descriptor for a lane");
  for (guint i = 0; ok && i < worker->segments->len; i++)
    ok = add_part(lane, worker->segments->pdata[i], error);
  if (ok)
    return lane;
  lcip_remote_lane_free(lane);
  return NULL;
}

void lcip_remote_lane_free(LcipRemoteLane *lane) {
  close_lane(lane);
  g_ptr_array_unref(lane->parts);
  lcip_link_free(lane->link);
  g_free(lane);
}
