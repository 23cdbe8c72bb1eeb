#include "config.h"
#include "lcip-run-private.h"

/* The source thread, or whoever pushes: deals frames to the streams of the newest plan, in order
 * and never more at once than are allowed in flight. */

/* @inputs: the tensors of the frame that is pushed, else NULL. */
typedef struct {
  LcipRun *run;
  LcipGroup *group;
  guint64 n_issued;
  LcipTensor *const *inputs;
} Source;

static gboolean stopped(LcipRun *run) {
  return atomic_load(&run->stop);
}

/* ---- taking over a plan ---- */

static LcipGroup *take_pending(LcipRun *run) {
  pthread_mutex_lock(&run->mutex);
  LcipGroup *group = g_steal_pointer(&run->pending);
  if (group)
    g_ptr_array_add(run->groups, group);
  pthread_mutex_unlock(&run->mutex);
  return group;
}

/* The state is complete only when the old plan's last frame is through every segment. */
static void hand_over_state(Source *source, LcipGroup *to) {
  LcipInstance *old = source->group->streams[0];
  for (;;) {
    const guint seen = lcip_doorbell_read(&source->run->source_bell);
    if (stopped(source->run))
      return;
    if (lcip_instance_is_drained(old))
      break;
    lcip_doorbell_wait(&source->run->source_bell, seen);
  }
  lcip_instance_move_state(old, to->streams[0]);
}

static void take_over(Source *source) {
  LcipGroup *group = take_pending(source->run);
  if (!group)
    return;
  if (source->group && lcip_plan_has_state(group->plan))
    hand_over_state(source, group);
  source->group = group;
}

/* ---- waiting for room ---- */

static LcipInstance *next_instance(const Source *source) {
  return source->group->streams[source->group->n_dealt % source->group->n_streams];
}

static gboolean has_room(const Source *source) {
  const guint64 in_flight = source->n_issued - atomic_load(&source->run->n_delivered);
  LcipInstance *instance = next_instance(source);
  return in_flight < LCIP_MAX_FRAMES && lcip_instance_has_room(instance) &&
         lcip_segment_outputs_have_room(&instance->segments[0]);
}

/* Waits for room in the newest plan. FALSE when the run is to end. */
static gboolean wait_for_room(Source *source) {
  for (;;) {
    const guint seen = lcip_doorbell_read(&source->run->source_bell);
    if (stopped(source->run))
      return FALSE;
    take_over(source);
    if (has_room(source))
      return TRUE;
    lcip_doorbell_wait(&source->run->source_bell, seen);
  }
}

/* ---- one frame ---- */

static gboolean is_picture(const LcipSourceSlot *slot) {
  return !slot->constant && slot->pushed < 0;
}

static gboolean wants_picture(const LcipGroup *group) {
  for (guint i = 0; i < group->sources->len; i++)
    if (is_picture(&g_array_index(group->sources, LcipSourceSlot, i)))
      return TRUE;
  return FALSE;
}

/* Borrowed. */
static LcipTensor *slot_tensor(const Source *source, const LcipFrameRecord *record,
                               const LcipSourceSlot *slot) {
  if (slot->constant)
    return slot->constant;
  return slot->pushed >= 0 ? source->inputs[slot->pushed] : record->picture;
}

static gboolean fits_spec(const LcipTensor *tensor, const LcipTensorSpec *planned) {
  const LcipTensorSpec *spec = lcip_tensor_get_spec(tensor);
  const LcipShape *shape = lcip_tensor_get_shape(tensor);
  gboolean fits = spec->type == planned->type && spec->format == planned->format &&
                  shape->rank == planned->shape.rank;
  for (int d = 0; fits && d < shape->rank; d++)
    fits = shape->dims[d] >= 0 && shape->dims[d] <= planned->shape.dims[d];
  return fits;
}

static gboolean slot_fits(const Source *source, const LcipFrameRecord *record,
                          const LcipSourceSlot *slot, GError **error) {
  const LcipPlan *plan = source->group->plan;
  const LcipTensorSpec *planned = &g_array_index(plan->tensors, LcipPlanTensor, slot->tensor).spec;
  const LcipTensor *tensor = slot_tensor(source, record, slot);
  if (slot->constant || (tensor && fits_spec(tensor, planned)))
    return TRUE;
  g_autofree char *expected = lcip_tensor_spec_to_string(planned);
  g_autofree char *found =
      tensor ? lcip_tensor_spec_to_string(lcip_tensor_get_spec(tensor)) : g_strdup("nothing");
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID,
              "a tensor of the source: expected at most %s as planned, found %s", expected, found);
  lcip_step_prefix(plan, g_ptr_array_index(plan->steps, slot->step), error);
  return FALSE;
}

static gboolean frame_fits(const Source *source, const LcipFrameRecord *record, GError **error) {
  for (guint i = 0; i < source->group->sources->len; i++)
    if (!slot_fits(source, record, &g_array_index(source->group->sources, LcipSourceSlot, i),
                   error))
      return FALSE;
  return TRUE;
}

/* FALSE at the end and, with @error, when the source fails. */
static gboolean fetch(Source *source, LcipFrameRecord *record, GError **error) {
  LcipRun *run = source->run;
  record->picture = NULL;
  record->timestamp_ns = record->origin_ns = lcip_now_ns();
  if (!wants_picture(source->group))
    return TRUE;
  record->picture = run->feed.next(run->feed.data, &record->timestamp_ns, run->cancellable, error);
  /* A file's times are not moments: there the latency counts from when the frame was read. */
  record->origin_ns = run->feed.is_live ? record->timestamp_ns : lcip_now_ns();
  return record->picture != NULL;
}

static void push_source(Source *source, LcipInstance *instance, const LcipFrameRecord *record,
                        const LcipSourceSlot *slot) {
  if (!instance->pools[slot->tensor])
    return; /* nobody reads it */
  LcipToken *token = lcip_token_pool_acquire(instance->pools[slot->tensor], NULL);
  token->frame = record->number;
  token->epoch = source->group->epoch;
  token->timestamp_ns = record->timestamp_ns;
  token->ready_ns = record->issued_ns;
  lcip_token_lend(token, slot_tensor(source, record, slot));
  const LcipSegment *segment = &instance->segments[0];
  for (guint i = 0; i < segment->n_outputs; i++)
    if (segment->outputs[i]->tensor == slot->tensor)
      lcip_channel_push(segment->outputs[i], token);
  lcip_token_unref(token);
}

static void push_pulses(Source *source, LcipInstance *instance, const LcipFrameRecord *record) {
  const LcipSegment *segment = &instance->segments[0];
  for (guint i = 0; i < segment->n_outputs; i++) {
    if (segment->outputs[i]->tensor >= 0)
      continue;
    LcipToken *pulse = lcip_token_pool_acquire(instance->pulse_pool, NULL);
    pulse->frame = record->number;
    pulse->epoch = source->group->epoch;
    pulse->timestamp_ns = record->timestamp_ns;
    pulse->ready_ns = record->issued_ns;
    lcip_channel_push(segment->outputs[i], pulse);
    lcip_token_unref(pulse);
  }
}

static void record_steps(Source *source, const LcipFrameRecord *record, gint64 start_ns) {
  /* How long a live source takes is how long the world takes. */
  if (source->run->feed.is_live)
    return;
  for (guint i = 0; i < source->group->sources->len; i++) {
    const LcipSourceSlot *slot = &g_array_index(source->group->sources, LcipSourceSlot, i);
    if (is_picture(slot))
      lcip_run_io_span(source->group->profiler->source, record->number, slot->step, start_ns);
  }
}

static void issue(Source *source, LcipFrameRecord *record, gint64 start_ns) {
  LcipGroup *group = source->group;
  LcipInstance *instance = next_instance(source);
  record->group = group;
  record->instance = instance;
  record_steps(source, record, start_ns);
  record->issued_ns = lcip_now_ns();
  lcip_instance_count_issued(instance, record->issued_ns);
  for (guint i = 0; i < group->sources->len; i++)
    push_source(source, instance, record, &g_array_index(group->sources, LcipSourceSlot, i));
  push_pulses(source, instance, record);
  group->n_dealt++;
  source->n_issued++;
  /* Last: when the sink sees the record, this thread has rung every bell of the instance. */
  lcip_fifo_push(source->run->records, record);
  lcip_doorbell_ring(&source->run->sink_bell);
}

/* FALSE when there are no more frames. */
static gboolean next_frame(Source *source) {
  LcipRun *run = source->run;
  GError *error = NULL;
  if ((run->n_frames && source->n_issued == run->n_frames) || !wait_for_room(source))
    return FALSE;
  LcipFrameRecord *record = &run->ring[source->n_issued % G_N_ELEMENTS(run->ring)];
  record->number = source->n_issued;
  const gint64 start_ns = lcip_now_ns();
  gboolean ok = fetch(source, record, &error);
  /* A plan that came while the source was waiting gets this frame; a fresh one has room. */
  if (ok)
    take_over(source);
  ok = ok && frame_fits(source, record, &error);
  if (ok && !stopped(run)) {
    issue(source, record, start_ns);
    return TRUE;
  }
  g_clear_pointer(&record->picture, lcip_tensor_unref);
  if (error && !stopped(run))
    lcip_run_fail(run, LCIP_RUN_GO_ON, g_steal_pointer(&error));
  g_clear_error(&error);
  return FALSE;
}

gpointer lcip_run_source_main(gpointer data) {
  Source source = {.run = data};
  lcip_thread_be_brief();
  take_over(&source);
  while (next_frame(&source))
    ;
  lcip_fifo_close(source.run->records);
  lcip_doorbell_ring(&source.run->sink_bell);
  return NULL;
}

/* ---- pushed frames ---- */

static gboolean fail_ended(LcipRun *run, GError **error) {
  pthread_mutex_lock(&run->mutex);
  if (run->error)
    g_propagate_error(error, g_error_copy(run->error));
  else
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_CANCELLED, "the run has ended");
  pthread_mutex_unlock(&run->mutex);
  return FALSE;
}

static gboolean push_frame(Source *source, gint64 timestamp_ns, GError **error) {
  LcipRun *run = source->run;
  if (!wait_for_room(source))
    return fail_ended(run, error);
  LcipFrameRecord *record = &run->ring[source->n_issued % G_N_ELEMENTS(run->ring)];
  const gint64 now_ns = lcip_now_ns();
  record->number = source->n_issued;
  record->picture = NULL;
  record->timestamp_ns = timestamp_ns;
  record->origin_ns = now_ns;
  if (!frame_fits(source, record, error))
    return FALSE;
  issue(source, record, now_ns);
  return TRUE;
}

gboolean lcip_run_push(LcipRun *run, LcipTensor *const *inputs, gint64 timestamp_ns,
                       GError **error) {
  g_return_val_if_fail(run->pushed, FALSE);
  pthread_mutex_lock(&run->push_mutex);
  Source source = {
      .run = run, .group = run->push_group, .n_issued = run->n_pushed, .inputs = inputs};
  const gboolean ok = push_frame(&source, timestamp_ns, error);
  run->push_group = source.group;
  run->n_pushed = source.n_issued;
  pthread_mutex_unlock(&run->push_mutex);
  return ok;
}

void lcip_run_push_end(LcipRun *run) {
  g_return_if_fail(run->pushed);
  lcip_fifo_close(run->records);
  lcip_doorbell_ring(&run->sink_bell);
}
