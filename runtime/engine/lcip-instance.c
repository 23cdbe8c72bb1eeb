#include "config.h"
#include "lcip-instance-private.h"

#include <string.h>

#define TENSOR(plan, i) (&g_array_index((plan)->tensors, LcipPlanTensor, (i)))
#define SEGMENT(plan, i) (&g_array_index((plan)->segments, LcipPlanSegment, (i)))

/* ---- channels ---- */

gboolean lcip_segment_inputs_ready(const LcipSegment *segment) {
  for (guint i = 0; i < segment->n_inputs; i++)
    if (lcip_fifo_length(segment->inputs[i]->fifo) == 0)
      return FALSE;
  return TRUE;
}

gboolean lcip_segment_outputs_have_room(const LcipSegment *segment) {
  for (guint i = 0; i < segment->n_outputs; i++)
    if (lcip_fifo_is_full(segment->outputs[i]->fifo))
      return FALSE;
  return TRUE;
}

/* Whether it was full is asked after the pop: before, the producer could fill it, find it full and
 * go to sleep in between. */
LcipToken *lcip_channel_pop(LcipChannel *channel) {
  gpointer token = NULL;
  if (lcip_fifo_pop(channel->fifo, &token) != LCIP_FIFO_OK)
    return NULL;
  if (lcip_fifo_was_full(channel->fifo) && channel->src_bell)
    lcip_doorbell_ring(channel->src_bell);
  return token;
}

void lcip_channel_push(LcipChannel *channel, LcipToken *token) {
  lcip_token_ref(token);
  /* Room was there when the firing began, and nobody else pushes. */
  if (lcip_fifo_push(channel->fifo, token) != LCIP_FIFO_OK) {
    g_warn_if_reached();
    lcip_token_unref(token);
    return;
  }
  if (channel->dst_bell)
    lcip_doorbell_ring(channel->dst_bell);
}

static void channel_free(gpointer data) {
  LcipChannel *channel = data;
  gpointer token;
  while (lcip_fifo_pop(channel->fifo, &token) == LCIP_FIFO_OK)
    lcip_token_unref(token);
  lcip_fifo_free(channel->fifo);
  g_free(channel);
}

static LcipChannel *add_channel(LcipInstance *instance, const LcipPlanChannel *plan) {
  LcipChannel *channel = g_new0(LcipChannel, 1);
  channel->tensor = plan->tensor;
  channel->root = plan->tensor < 0 ? -1 : lcip_plan_root(instance->plan, plan->tensor);
  channel->delay = plan->delay;
  channel->src_segment = plan->src_segment;
  channel->dst_segment = plan->dst_segment;
  channel->fifo = lcip_fifo_new(instance->limit + plan->delay);
  if (channel->root != channel->tensor)
    channel->alias_pool = lcip_token_pool_new(NULL);
  g_ptr_array_add(instance->channels, channel);
  return channel;
}

/* A segment with delayed inputs alone, or none, could fire at any time; a pulse from the source
 * ties it to the frames. */
static gboolean needs_pulse(const LcipPlan *plan, guint segment) {
  if (SEGMENT(plan, segment)->kind != LCIP_SEGMENT_WORK)
    return FALSE;
  for (guint i = 0; i < plan->channels->len; i++) {
    const LcipPlanChannel *channel = &g_array_index(plan->channels, LcipPlanChannel, i);
    if (channel->dst_segment == (int)segment && channel->delay == 0)
      return FALSE;
  }
  return TRUE;
}

static void make_channels(LcipInstance *instance) {
  const LcipPlan *plan = instance->plan;
  for (guint i = 0; i < plan->channels->len; i++)
    add_channel(instance, &g_array_index(plan->channels, LcipPlanChannel, i));
  for (guint i = 0; i < plan->segments->len; i++)
    if (needs_pulse(plan, i))
      add_channel(instance, &(LcipPlanChannel){.tensor = -1, .dst_segment = (int)i});
}

static LcipDoorbell *segment_bell(LcipInstance *instance, const LcipInstanceEnds *ends,
                                  int segment) {
  const LcipPlanSegment *plan = SEGMENT(instance->plan, segment);
  if (plan->kind == LCIP_SEGMENT_SOURCE)
    return ends->source_bell;
  if (plan->kind == LCIP_SEGMENT_SINK)
    return ends->sink_bell;
  return &instance->workers[plan->lane]->bell;
}

static void connect_bells(LcipInstance *instance, const LcipInstanceEnds *ends) {
  for (guint i = 0; i < instance->channels->len; i++) {
    LcipChannel *channel = g_ptr_array_index(instance->channels, i);
    channel->src_bell = segment_bell(instance, ends, channel->src_segment);
    channel->dst_bell = segment_bell(instance, ends, channel->dst_segment);
  }
}

/* ---- segments and their steps ---- */

static void find_channels(LcipInstance *instance, LcipSegment *segment) {
  const guint n = instance->channels->len;
  segment->inputs = g_new0(LcipChannel *, n + 1);
  segment->outputs = g_new0(LcipChannel *, n + 1);
  for (guint i = 0; i < n; i++) {
    LcipChannel *channel = g_ptr_array_index(instance->channels, i);
    if (channel->dst_segment == segment->index)
      segment->inputs[segment->n_inputs++] = channel;
    if (channel->src_segment == segment->index)
      segment->outputs[segment->n_outputs++] = channel;
  }
}

static void find_made(LcipInstance *instance, LcipSegment *segment) {
  const LcipPlan *plan = instance->plan;
  segment->made = g_new0(int, plan->tensors->len + 1);
  for (guint i = 0; i < plan->tensors->len; i++) {
    const LcipPlanTensor *tensor = TENSOR(plan, i);
    if (tensor->root < 0 && tensor->store == LCIP_STORE_TOKEN &&
        tensor->src_segment == segment->index)
      segment->made[segment->n_made++] = (int)i;
  }
}

static void init_step(LcipInstance *instance, const LcipInstanceEnds *ends, LcipInstanceStep *step,
                      int index) {
  step->index = index;
  step->sweep = ends->sweeps ? ends->sweeps[index] : NULL;
  step->work = g_ptr_array_index(instance->plan->works, index);
  step->info = g_ptr_array_index(instance->plan->steps, index);
  const LcipStep *planned = &step->work->step;
  step->inputs = g_new0(LcipTensorView, planned->n_inputs + 1);
  step->outputs = g_new0(LcipTensorView, planned->n_outputs + 1);
  step->actual_inputs = g_new0(LcipTensorSpec, planned->n_inputs + 1);
  step->actual_outputs = g_new0(LcipTensorSpec, planned->n_outputs + 1);
  step->call = (LcipCall){.step = planned,
                          .prepared = step->work->blob,
                          .inputs = step->inputs,
                          .outputs = step->outputs};
}

static void make_segments(LcipInstance *instance, const LcipInstanceEnds *ends) {
  const LcipPlan *plan = instance->plan;
  instance->segments = g_new0(LcipSegment, plan->segments->len);
  for (guint i = 0; i < plan->segments->len; i++) {
    LcipSegment *segment = &instance->segments[i];
    segment->index = (int)i;
    segment->plan = SEGMENT(plan, i);
    find_channels(instance, segment);
    find_made(instance, segment);
    segment->n_steps = segment->plan->n_steps;
    segment->steps = g_new0(LcipInstanceStep, segment->n_steps + 1);
    for (guint s = 0; s < segment->n_steps; s++) {
      init_step(instance, ends, &segment->steps[s], segment->plan->steps[s]);
      segment->is_swept |= segment->steps[s].sweep != NULL;
    }
    if (segment->plan->kind == LCIP_SEGMENT_WORK)
      g_ptr_array_add(instance->workers[segment->plan->lane]->segments, segment);
  }
}

static void segment_clear(LcipSegment *segment) {
  for (guint i = 0; i < segment->n_steps; i++) {
    g_free(segment->steps[i].inputs);
    g_free(segment->steps[i].outputs);
    g_free(segment->steps[i].actual_inputs);
    g_free(segment->steps[i].actual_outputs);
  }
  g_free(segment->steps);
  g_free(segment->inputs);
  g_free(segment->outputs);
  g_free(segment->made);
}

/* ---- token pools ---- */

static void make_pools(LcipInstance *instance) {
  const LcipPlan *plan = instance->plan;
  instance->pools = g_new0(LcipTokenPool *, plan->tensors->len + 1);
  instance->pulse_pool = lcip_token_pool_new(NULL);
  for (guint i = 0; i < plan->tensors->len; i++) {
    const LcipPlanTensor *tensor = TENSOR(plan, i);
    if (tensor->root >= 0 || tensor->store != LCIP_STORE_TOKEN)
      continue;
    /* A source lends its tensors. */
    const gboolean lent = SEGMENT(plan, tensor->src_segment)->kind == LCIP_SEGMENT_SOURCE;
    instance->pools[i] = lcip_token_pool_new(lent ? NULL : &tensor->spec);
  }
}

static gboolean prime_channel(LcipInstance *instance, LcipChannel *channel, GError **error) {
  const LcipTensorSpec *spec = &TENSOR(instance->plan, channel->tensor)->spec;
  for (guint i = 0; i < channel->delay; i++) {
    LcipToken *token = lcip_token_pool_acquire(instance->pulse_pool, error);
    g_autoptr(LcipTensor) zeros = token ? lcip_tensor_new(spec) : NULL;
    if (zeros) {
      lcip_token_lend(token, zeros);
      lcip_channel_push(channel, token);
    } else if (token)
      g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "no memory for a delayed token");
    g_clear_pointer(&token, lcip_token_unref);
    if (!zeros)
      return FALSE;
  }
  return TRUE;
}

static gboolean prime_delays(LcipInstance *instance, GError **error) {
  for (guint i = 0; i < instance->channels->len; i++)
    if (!prime_channel(instance, g_ptr_array_index(instance->channels, i), error))
      return FALSE;
  return TRUE;
}

/* ---- a lane's memory ---- */

LcipTensor *lcip_host_memory(gsize size_bytes, const char *what, GError **error) {
  const gint64 n = (gint64)MAX(size_bytes, 1);
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_U8, lcip_shape_from_dims(1, &n));
  LcipTensor *memory = lcip_tensor_new(&spec);
  if (!memory)
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "no memory for %s: %" G_GSIZE_FORMAT " bytes",
                what, size_bytes);
  return memory;
}

static gboolean make_cpu_memory(LcipWorker *worker, const LcipPlanLane *lane, gsize scratch_bytes,
                                GError **error) {
  const LcipCompanions *companions = worker->instance->companions;
  const LcipPlanMemory all = {lane->arena_bytes, scratch_bytes};
  const LcipPlanMemory *own = companions ? &companions->layout->own : &all;
  worker->team = lcip_team_new(lane->threads);
  worker->arena =
      lcip_host_memory(own->arena_bytes + lane->spare_bytes, "the tensors of a lane", error);
  worker->scratch =
      worker->arena ? lcip_host_memory(own->scratch_bytes, "a lane's scratch", error) : NULL;
  return worker->scratch != NULL;
}

static gboolean make_cl_memory(LcipWorker *worker, const LcipPlanLane *lane, gsize scratch_bytes,
                               GError **error) {
  LcipClDevice *device = lane->device ? lane->device->cl : NULL;
  if (!device) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_DEVICE, "lane %s has no OpenCL device", lane->name);
    return FALSE;
  }
  worker->queue = lcip_cl_queue_new(device, error);
  if (!worker->queue)
    return FALSE;
  worker->arena_buffer = lcip_cl_buffer_new(device, MAX(lane->arena_bytes, 1), error);
  if (!worker->arena_buffer)
    return FALSE;
  worker->scratch_buffer = lcip_cl_buffer_new(device, MAX(scratch_bytes, 1), error);
  return worker->scratch_buffer != NULL;
}

static gboolean make_lane_memory(LcipWorker *worker, GError **error) {
  const LcipPlan *plan = worker->instance->plan;
  const LcipPlanLane *lane = g_ptr_array_index(plan->lanes, worker->lane);
  const gsize scratch_bytes = plan->scratch_bytes ? plan->scratch_bytes[worker->lane] : 0;
  switch (lane->kind) {
  case LCIP_LANE_CPU:
    return make_cpu_memory(worker, lane, scratch_bytes, error);
  case LCIP_LANE_OPENCL:
    return make_cl_memory(worker, lane, scratch_bytes, error);
  case LCIP_LANE_REMOTE:
  default:
    worker->remote = lcip_remote_lane_new(worker, error);
    return worker->remote != NULL;
  }
}

static LcipClMem upload_for(LcipWorker *worker, gconstpointer owner, gsize size_bytes,
                            const void *data, GError **error) {
  LcipClUpload *upload = lcip_runtime_upload(
      lcip_runtime_get(), lcip_cl_queue_device(worker->queue), owner, size_bytes, data, error);
  if (!upload)
    return NULL;
  g_ptr_array_add(worker->uploads, upload);
  return lcip_cl_upload_buffer(upload);
}

guint8 *lcip_worker_address(const LcipWorker *worker, int tensor) {
  const LcipPlan *plan = worker->instance->plan;
  const LcipCompanions *companions = worker->instance->companions;
  const int root = lcip_plan_root(plan, tensor);
  if (!companions)
    return (guint8 *)lcip_tensor_get_mutable(worker->arena) + TENSOR(plan, tensor)->offset_bytes;
  const LcipPlanLayout *layout = companions->layout;
  LcipTensor *arena = layout->is_shared[root] ? companions->arena : worker->arena;
  return (guint8 *)lcip_tensor_get_mutable(arena) + layout->offset_bytes[root] +
         (TENSOR(plan, tensor)->offset_bytes - TENSOR(plan, root)->offset_bytes);
}

guint8 *lcip_worker_spare_address(const LcipWorker *worker, int tensor) {
  const LcipPlan *plan = worker->instance->plan;
  const LcipPlanLane *lane = g_ptr_array_index(plan->lanes, worker->lane);
  const LcipCompanions *companions = worker->instance->companions;
  const gsize arena_bytes = companions ? companions->layout->own.arena_bytes : lane->arena_bytes;
  return (guint8 *)lcip_tensor_get_mutable(worker->arena) + arena_bytes +
         (TENSOR(plan, tensor)->spare_offset_bytes - lane->arena_bytes);
}

/* ---- views ---- */

static gboolean bind_constant(LcipWorker *worker, LcipTensorView *view, LcipTensor *constant,
                              GError **error) {
  if (!worker->queue) {
    view->data = (void *)lcip_tensor_get_data(constant);
    return TRUE;
  }
  view->buffer = upload_for(worker, constant, lcip_tensor_get_bytes(constant),
                            lcip_tensor_get_data(constant), error);
  return view->buffer != NULL;
}

/* Tokens are bound when they are there. */
static gboolean bind_view(LcipWorker *worker, LcipTensorView *view, int tensor, GError **error) {
  const LcipPlan *plan = worker->instance->plan;
  const LcipPlanTensor *info = TENSOR(plan, tensor);
  const LcipPlanTensor *root = TENSOR(plan, lcip_plan_root(plan, tensor));
  view->spec = info->spec;
  view->shape = info->spec.shape;
  if (root->store == LCIP_STORE_CONSTANT)
    return bind_constant(worker, view, root->constant, error);
  if (root->store == LCIP_STORE_TOKEN)
    return TRUE;
  if (worker->queue) {
    view->buffer = worker->arena_buffer;
    view->offset_bytes = info->offset_bytes;
  } else
    view->data = lcip_worker_address(worker, tensor);
  return TRUE;
}

static gboolean is_constant(const LcipPlan *plan, int tensor) {
  return TENSOR(plan, lcip_plan_root(plan, tensor))->store == LCIP_STORE_CONSTANT;
}

static void bind_stored(const LcipPlan *plan, LcipTensorView *view, int tensor) {
  const LcipPlanTensor *info = TENSOR(plan, tensor);
  view->spec = info->spec;
  view->shape = info->spec.shape;
  view->data = (void *)lcip_tensor_get_stored(TENSOR(plan, lcip_plan_root(plan, tensor))->constant);
}

/* What prepare() has taken over is not bound, and on OpenCL not uploaded a second time. */
static gboolean bind_input(LcipWorker *worker, LcipInstanceStep *step, guint i, GError **error) {
  const int tensor = step->work->inputs[i];
  const LcipPlan *plan = worker->instance->plan;
  const LcipKernel *kernel = step->info->kernel;
  if (tensor < 0)
    return TRUE;
  const gboolean anchor = i < MIN(64, step->work->step.n_anchor_inputs);
  if (step->work->blob && kernel && anchor && (kernel->prepared_inputs >> i & 1)) {
    step->inputs[i].spec = TENSOR(plan, tensor)->spec;
    step->inputs[i].shape = step->inputs[i].spec.shape;
    return TRUE;
  }
  if (kernel && anchor && (kernel->any_address >> i & 1) && is_constant(plan, tensor)) {
    bind_stored(plan, &step->inputs[i], tensor);
    return TRUE;
  }
  return bind_view(worker, &step->inputs[i], tensor, error);
}

static gboolean bind_call(LcipWorker *worker, LcipInstanceStep *step, GError **error) {
  LcipBlob *blob = step->work->blob;
  const LcipCompanions *companions = worker->instance->companions;
  LcipTensor *scratch = companions && !step->sweep ? companions->scratch : worker->scratch;
  step->call.scratch = scratch ? lcip_tensor_get_mutable(scratch) : NULL;
  step->call.scratch_buffer = worker->scratch_buffer;
  if (!worker->queue || !blob)
    return TRUE;
  step->call.prepared_buffer =
      upload_for(worker, blob, lcip_blob_bytes(blob), lcip_blob_data(blob), error);
  return step->call.prepared_buffer != NULL;
}

static gboolean bind_step(LcipWorker *worker, LcipInstanceStep *step, GError **error) {
  for (guint i = 0; i < step->work->step.n_inputs; i++)
    if (!bind_input(worker, step, i, error))
      return FALSE;
  for (guint i = 0; i < step->work->step.n_outputs; i++)
    if (step->work->outputs[i] >= 0 &&
        !bind_view(worker, &step->outputs[i], step->work->outputs[i], error))
      return FALSE;
  return bind_call(worker, step, error);
}

static gboolean bind_steps(LcipWorker *worker, GError **error) {
  for (guint i = 0; i < worker->segments->len; i++) {
    LcipSegment *segment = g_ptr_array_index(worker->segments, i);
    for (guint s = 0; s < segment->n_steps; s++)
      if (!bind_step(worker, &segment->steps[s], error)) {
        lcip_step_prefix(worker->instance->plan, segment->steps[s].info, error);
        return FALSE;
      }
  }
  return TRUE;
}

/* ---- workers ---- */

static gboolean *find_views(const LcipPlan *plan) {
  gboolean *is_view = g_new0(gboolean, plan->tensors->len + 1);
  for (guint i = 0; i < plan->tensors->len; i++)
    is_view[i] = TENSOR(plan, i)->root >= 0;
  for (guint i = 0; i < plan->works->len; i++) {
    const LcipPlanWork *work = g_ptr_array_index(plan->works, i);
    for (guint o = 0; o < work->step.n_outputs; o++)
      if (work->outputs[o] >= 0)
        is_view[work->outputs[o]] = FALSE;
  }
  return is_view;
}

static LcipWorker *worker_new(LcipInstance *instance, int lane, LcipRecorder *recorder) {
  LcipWorker *worker = g_new0(LcipWorker, 1);
  const guint n_tensors = instance->plan->tensors->len;
  worker->instance = instance;
  worker->lane = lane;
  worker->recorder = recorder;
  lcip_doorbell_init(&worker->bell);
  worker->segments = g_ptr_array_new();
  worker->uploads = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_cl_upload_unref);
  worker->in_tokens = g_new0(LcipToken *, n_tensors + 1);
  worker->root_tokens = g_new0(LcipToken *, n_tensors + 1);
  worker->out_tokens = g_new0(LcipToken *, n_tensors + 1);
  worker->shapes = g_new0(LcipShape, n_tensors + 1);
  worker->is_view = find_views(instance->plan);
  worker->times = g_new0(LcipClTimes, instance->plan->steps->len + 1);
  for (guint i = 0; i < n_tensors; i++)
    worker->shapes[i] = TENSOR(instance->plan, i)->spec.shape;
  return worker;
}

static void worker_free(LcipWorker *worker) {
  if (!worker)
    return;
  g_clear_pointer(&worker->remote, lcip_remote_lane_free);
  g_ptr_array_unref(worker->uploads);
  g_clear_pointer(&worker->arena_buffer, lcip_cl_buffer_free);
  g_clear_pointer(&worker->scratch_buffer, lcip_cl_buffer_free);
  g_clear_pointer(&worker->queue, lcip_cl_queue_free);
  g_clear_pointer(&worker->team, lcip_team_free);
  g_clear_pointer(&worker->arena, lcip_tensor_unref);
  g_clear_pointer(&worker->scratch, lcip_tensor_unref);
  g_ptr_array_unref(worker->segments);
  g_free(worker->in_tokens);
  g_free(worker->root_tokens);
  g_free(worker->out_tokens);
  g_free(worker->shapes);
  g_free(worker->is_view);
  g_free(worker->times);
  lcip_doorbell_clear(&worker->bell);
  g_free(worker);
}

static void make_workers(LcipInstance *instance, LcipProfiler *profiler, guint stream) {
  const LcipPlan *plan = instance->plan;
  instance->workers = g_new0(LcipWorker *, plan->lanes->len + 1);
  for (guint i = 0; i < plan->segments->len; i++) {
    const LcipPlanSegment *segment = SEGMENT(plan, i);
    if (segment->kind != LCIP_SEGMENT_WORK || instance->workers[segment->lane])
      continue;
    LcipRecorder *recorder = profiler->lanes[stream * profiler->n_lanes + (guint)segment->lane];
    instance->workers[segment->lane] = worker_new(instance, segment->lane, recorder);
  }
}

static gboolean ready_worker(LcipWorker *worker, gboolean cold, GError **error) {
  const LcipPlanLane *lane = worker->instance->plan->lanes->pdata[worker->lane];
  return make_lane_memory(worker, error) && bind_steps(worker, error) &&
         ((cold && lane->kind == LCIP_LANE_CPU) || lcip_worker_warm_up(worker, error));
}

/* ---- instances ---- */

LcipInstance *lcip_instance_new(LcipPlan *plan, guint64 epoch, guint limit,
                                const LcipInstanceEnds *ends, LcipProfiler *profiler, guint stream,
                                GError **error) {
  LcipInstance *instance = g_new0(LcipInstance, 1);
  instance->plan = lcip_plan_ref(plan);
  instance->epoch = epoch;
  instance->stream = stream;
  instance->limit = limit;
  instance->failed = ends->failed;
  instance->failed_data = ends->failed_data;
  instance->lane_func = ends->lane_func;
  instance->lane_data = ends->lane_data;
  instance->source_bell = ends->source_bell;
  instance->companions = ends->companions ? ends->companions[stream] : NULL;
  instance->warming = ends->cancellable;
  instance->issue_ns = g_malloc0(sizeof(*instance->issue_ns) * limit);
  instance->channels = g_ptr_array_new_with_free_func(channel_free);
  make_workers(instance, profiler, stream);
  make_channels(instance);
  make_segments(instance, ends);
  make_pools(instance);
  gboolean ok = prime_delays(instance, error);
  for (guint i = 0; ok && i < plan->lanes->len; i++)
    ok = !instance->workers[i] || ready_worker(instance->workers[i], ends->cold, error);
  instance->warming = NULL;
  connect_bells(instance, ends);
  if (!ok)
    g_clear_pointer(&instance, lcip_instance_free);
  return instance;
}

gboolean lcip_instance_start(LcipInstance *instance, GError **error) {
  for (guint i = 0; i < instance->plan->lanes->len; i++) {
    LcipWorker *worker = instance->workers[i];
    if (!worker)
      continue;
    const int result = pthread_create(&worker->thread, NULL, lcip_worker_main, worker);
    if (result != 0) {
      g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "no thread for a lane: %s",
                  g_strerror(result));
      return FALSE;
    }
    worker->started = TRUE;
  }
  return TRUE;
}

void lcip_instance_stop(LcipInstance *instance) {
  atomic_store(&instance->stop, TRUE);
  for (guint i = 0; i < instance->plan->lanes->len; i++)
    if (instance->workers[i])
      lcip_doorbell_ring(&instance->workers[i]->bell);
}

static void free_pools(LcipInstance *instance) {
  for (guint i = 0; i < instance->plan->tensors->len; i++)
    lcip_token_pool_free(instance->pools[i]);
  lcip_token_pool_free(instance->pulse_pool);
  g_free(instance->pools);
}

/* First the threads, then the tokens in the channels, aliases before what they point to. */
static void free_channels(LcipInstance *instance) {
  g_autoptr(GPtrArray) alias_pools =
      g_ptr_array_new_with_free_func((GDestroyNotify)lcip_token_pool_free);
  for (guint i = 0; i < instance->channels->len; i++) {
    LcipChannel *channel = g_ptr_array_index(instance->channels, i);
    if (channel->alias_pool)
      g_ptr_array_add(alias_pools, channel->alias_pool);
  }
  g_ptr_array_unref(instance->channels);
}

void lcip_instance_free(LcipInstance *instance) {
  const guint n_lanes = instance->plan->lanes->len;
  lcip_instance_stop(instance);
  for (guint i = 0; i < n_lanes; i++)
    if (instance->workers[i] && instance->workers[i]->started)
      pthread_join(instance->workers[i]->thread, NULL);
  for (guint i = 0; i < instance->plan->segments->len; i++)
    segment_clear(&instance->segments[i]);
  free_channels(instance);
  free_pools(instance);
  for (guint i = 0; i < n_lanes; i++)
    worker_free(instance->workers[i]);
  g_free(instance->segments);
  g_free(instance->workers);
  g_free(instance->issue_ns);
  lcip_plan_unref(instance->plan);
  g_free(instance);
}

gboolean lcip_instance_has_room(LcipInstance *instance) {
  const guint64 finished = atomic_load(&instance->n_finished);
  return atomic_load(&instance->n_issued) - finished < instance->limit;
}

void lcip_instance_count_issued(LcipInstance *instance, gint64 now_ns) {
  const guint64 n = atomic_load(&instance->n_issued);
  atomic_store(&instance->issue_ns[n % instance->limit], now_ns);
  atomic_store(&instance->n_issued, n + 1);
}

void lcip_instance_count_finished(LcipInstance *instance) {
  atomic_fetch_add(&instance->n_finished, 1);
}

gboolean lcip_instance_is_drained(LcipInstance *instance) {
  const guint64 issued = atomic_load(&instance->n_issued);
  atomic_store(&instance->draining, TRUE);
  if (atomic_load(&instance->n_finished) != issued)
    return FALSE;
  for (guint i = 0; i < instance->plan->segments->len; i++) {
    LcipSegment *segment = &instance->segments[i];
    if (segment->plan->kind == LCIP_SEGMENT_WORK && atomic_load(&segment->n_fired) != issued)
      return FALSE;
  }
  return TRUE;
}
