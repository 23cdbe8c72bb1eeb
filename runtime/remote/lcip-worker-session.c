#include "config.h"
#include "lcip-io-private.h"
#include "lcip-plan-private.h"
#include "lcip-weights-cache.h"
#include "lcip-worker-private.h"

#include <string.h>

G_GNUC_PRINTF(3, 4)
static gboolean fail(GError **error, LcipRemoteErrorCode code, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  g_autofree char *message = g_strdup_vprintf(format, ap);
  va_end(ap);
  g_set_error_literal(error, LCIP_REMOTE_ERROR, (int)code, message);
  return FALSE;
}

/* ---- life ---- */

static gboolean reserve(LcipWorkerSession *session, guint64 bytes, GError **error) {
  if (!lcip_worker_server_reserve(session->server, bytes, error))
    return FALSE;
  session->reserved_bytes += bytes;
  return TRUE;
}

static gboolean check_deploy(const LcipWorkerLimits *limits, const LcipWireDeploy *deploy,
                             GError **error) {
  if (deploy->document_bytes == 0 || deploy->document_bytes > limits->document_bytes)
    return fail(error, LCIP_REMOTE_ERROR_LIMIT,
                "expected a document of 1 to %" G_GUINT64_FORMAT " bytes, found %" G_GUINT64_FORMAT,
                limits->document_bytes, deploy->document_bytes);
  /* An entry has at least 38 bytes and at most a text and 68. */
  if (deploy->n_tensors > limits->document_bytes / 38 ||
      deploy->manifest_bytes > (guint64)deploy->n_tensors * (LCIP_WIRE_MAX_TEXT_BYTES + 70) ||
      deploy->manifest_bytes > limits->document_bytes)
    return fail(error, LCIP_REMOTE_ERROR_LIMIT, "the list of weights is too long");
  return TRUE;
}

static void session_free(LcipWorkerSession *session);

LcipWorkerSession *lcip_worker_session_new(LcipWorkerServer *server, LcipPeer peer, guint32 id,
                                           const LcipWireDeploy *deploy, GError **error) {
  const LcipWorkerLimits *limits = lcip_worker_server_limits(server);
  if (!check_deploy(limits, deploy, error))
    return NULL;
  LcipWorkerSession *session = g_new0(LcipWorkerSession, 1);
  atomic_init(&session->refs, 1);
  session->server = server;
  session->peer = peer;
  session->id = id;
  session->device = lcip_wire_text_dup(&deploy->device);
  session->flags = deploy->flags;
  session->threads = deploy->threads;
  session->credits = CLAMP(deploy->credits, 1, limits->credits);
  session->n_tensors = deploy->n_tensors;
  session->document_bytes = deploy->document_bytes;
  session->manifest_bytes = deploy->manifest_bytes;
  session->document = g_byte_array_new();
  session->manifest = g_byte_array_new();
  g_mutex_init(&session->mutex);
  g_queue_init(&session->in_flight);
  if (reserve(session, deploy->document_bytes + deploy->manifest_bytes, error))
    return session;
  session_free(session);
  return NULL;
}

LcipWorkerSession *lcip_worker_session_ref(LcipWorkerSession *session) {
  atomic_fetch_add_explicit(&session->refs, 1, memory_order_relaxed);
  return session;
}

static void free_inputs(LcipWorkerSession *session) {
  lcip_stream_clear(&session->stream);
  for (guint i = 0; session->graph && session->inputs && i < session->graph->inputs->len; i++)
    g_clear_pointer(&session->inputs[i], lcip_tensor_unref);
  g_free(session->inputs);
  g_free(session->tensors);
  g_clear_pointer(&session->spare, g_ptr_array_unref);
}

static void session_free(LcipWorkerSession *session) {
  g_clear_pointer(&session->run, lcip_run_unref);
  free_inputs(session);
  g_clear_pointer(&session->plan, lcip_plan_unref);
  g_clear_pointer(&session->graph, lcip_graph_unref);
  g_clear_pointer(&session->document, g_byte_array_unref);
  g_clear_pointer(&session->manifest, g_byte_array_unref);
  g_clear_pointer(&session->entries, g_array_unref);
  g_clear_pointer(&session->weights, g_ptr_array_unref);
  g_queue_clear_full(&session->in_flight, g_free);
  g_mutex_clear(&session->mutex);
  lcip_worker_server_release(session->server, session->reserved_bytes);
  g_free(session->device);
  g_free(session);
}

void lcip_worker_session_unref(LcipWorkerSession *session) {
  if (atomic_fetch_sub_explicit(&session->refs, 1, memory_order_acq_rel) == 1)
    session_free(session);
}

void lcip_worker_session_retire(LcipWorkerSession *session) {
  /* Its sink thread may be about to ask why it ended: the pointer stays until that is gone. */
  LcipRun *run = session->run;
  if (run)
    lcip_run_unref(run);
  session->run = NULL;
  lcip_worker_session_unref(session);
}

/* ---- what is deployed comes in pieces ---- */

static gsize entry_bytes(const LcipManifestEntry *entry) {
  gsize bytes = 0;
  return lcip_tensor_spec_bytes(&entry->spec, &bytes) ? bytes : 0;
}

static gboolean append(GByteArray *to, guint64 limit, const LcipWire *wire, GError **error) {
  if (wire->bulk.offset != to->len || wire->payload_bytes > limit - to->len)
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL,
                "BULK: expected offset %u of %" G_GUINT64_FORMAT " bytes, found %" G_GUINT64_FORMAT
                " and %" G_GSIZE_FORMAT " bytes",
                to->len, limit, wire->bulk.offset, wire->payload_bytes);
  g_byte_array_append(to, wire->payload, (guint)wire->payload_bytes);
  return TRUE;
}

static gboolean reserve_weights(LcipWorkerSession *session, GError **error) {
  guint64 total = 0;
  for (guint i = 0; i < session->entries->len; i++) {
    const gsize bytes = entry_bytes(&g_array_index(session->entries, LcipManifestEntry, i));
    if (bytes > G_MAXUINT32)
      return fail(error, LCIP_REMOTE_ERROR_LIMIT, "a weight tensor is larger than 4 GiB");
    total += bytes;
  }
  return reserve(session, total, error);
}

static void send_need(LcipWorkerSession *session, const guint32 *indices, guint n,
                      gboolean is_last) {
  lcip_worker_server_send(session->server, session->peer,
                          &(LcipWire){.type = LCIP_WIRE_NEED,
                                      .session = session->id,
                                      .need = {.n = n, .is_last = is_last},
                                      .payload = (const guint8 *)indices,
                                      .payload_bytes = (gsize)n * sizeof *indices});
}

static void byte_array_free(gpointer data) {
  if (data)
    g_byte_array_unref(data);
}

/* Asks for what is on no disk here; of equal tensors once. */
static void ask_for_weights(LcipWorkerSession *session) {
  const guint n = session->entries->len, most = LCIP_WIRE_PART_BYTES / sizeof(guint32);
  g_autoptr(GArray) indices = g_array_new(FALSE, FALSE, sizeof(guint32));
  session->weights = g_ptr_array_new_with_free_func(byte_array_free);
  g_ptr_array_set_size(session->weights, (gint)n);
  for (guint32 i = 0; i < n; i++) {
    if (lcip_weights_cache_has(&g_array_index(session->entries, LcipManifestEntry, i)))
      continue;
    session->weights->pdata[i] = g_byte_array_new();
    g_array_append_val(indices, (guint32){GUINT32_TO_LE(i)});
  }
  session->n_weights_left = indices->len;
  for (guint at = 0; at == 0 || at < indices->len; at += most)
    send_need(session, at < indices->len ? &g_array_index(indices, guint32, at) : NULL,
              MIN(most, indices->len - at), at + most >= indices->len);
}

static void start_planning(LcipWorkerSession *session) {
  session->state = LCIP_SESSION_PLANNING;
  lcip_worker_server_run_job(session->server, session);
}

static gboolean read_manifest(LcipWorkerSession *session, GError **error) {
  session->entries = lcip_manifest_decode(session->manifest->data, session->manifest->len,
                                          session->n_tensors, error);
  if (!session->entries || !reserve_weights(session, error))
    return FALSE;
  ask_for_weights(session);
  session->state = LCIP_SESSION_WEIGHTS;
  if (session->n_weights_left == 0)
    start_planning(session);
  return TRUE;
}

static gboolean take_document(LcipWorkerSession *session, const LcipWire *wire, GError **error) {
  const gboolean is_document = wire->bulk.item == LCIP_BULK_DOCUMENT;
  if (!is_document && wire->bulk.item != LCIP_BULK_MANIFEST)
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL, "BULK: weights before the manifest is complete");
  if (!append(is_document ? session->document : session->manifest,
              is_document ? session->document_bytes : session->manifest_bytes, wire, error))
    return FALSE;
  if (session->document->len < session->document_bytes ||
      session->manifest->len < session->manifest_bytes)
    return TRUE;
  return read_manifest(session, error);
}

static gboolean take_weights(LcipWorkerSession *session, const LcipWire *wire, GError **error) {
  const guint32 index = wire->bulk.item - LCIP_BULK_WEIGHTS;
  GByteArray *bytes = wire->bulk.item >= LCIP_BULK_WEIGHTS && index < session->entries->len
                          ? session->weights->pdata[index]
                          : NULL;
  if (!bytes)
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL, "BULK: an item that was not asked for");
  const gsize total = entry_bytes(&g_array_index(session->entries, LcipManifestEntry, index));
  if (!append(bytes, total, wire, error))
    return FALSE;
  if (bytes->len == total && --session->n_weights_left == 0)
    start_planning(session);
  return TRUE;
}

gboolean lcip_worker_session_bulk(LcipWorkerSession *session, const LcipWire *wire,
                                  GError **error) {
  if (session->state == LCIP_SESSION_DOCUMENT)
    return take_document(session, wire, error);
  if (session->state == LCIP_SESSION_WEIGHTS)
    return take_weights(session, wire, error);
  return fail(error, LCIP_REMOTE_ERROR_PROTOCOL, "BULK: everything has come already");
}

/* ---- the job: from bytes to a warm run ---- */

static gboolean keep_weights(LcipWorkerSession *session, GError **error) {
  for (guint i = 0; i < session->entries->len; i++) {
    const GByteArray *bytes = session->weights->pdata[i];
    if (bytes && !lcip_weights_cache_put(&g_array_index(session->entries, LcipManifestEntry, i),
                                         bytes->data, error))
      return FALSE;
  }
  g_ptr_array_set_size(session->weights, 0);
  return TRUE;
}

static GHashTable *map_weights(LcipWorkerSession *session, GError **error) {
  g_autoptr(GHashTable) tensors =
      g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)lcip_tensor_unref);
  for (guint i = 0; i < session->entries->len; i++) {
    LcipManifestEntry *entry = &g_array_index(session->entries, LcipManifestEntry, i);
    LcipTensor *tensor = lcip_weights_cache_get(entry, error);
    if (!tensor)
      return NULL;
    g_hash_table_insert(tensors, entry->key, tensor);
  }
  return g_steal_pointer(&tensors);
}

static gboolean check_graph(LcipWorkerSession *session, GError **error) {
  const LcipGraph *graph = session->graph;
  const guint limit = lcip_worker_server_limits(session->server)->actors;
  if (graph->actors->len > limit)
    return fail(error, LCIP_REMOTE_ERROR_LIMIT, "expected at most %u actors, found %u", limit,
                graph->actors->len);
  if (graph->inputs->len > LCIP_WIRE_MAX_TENSORS || graph->outputs->len == 0 ||
      graph->outputs->len > LCIP_WIRE_MAX_TENSORS)
    return fail(error, LCIP_REMOTE_ERROR_LIMIT,
                "expected at most %d inputs and 1 to %d outputs, found %u and %u",
                LCIP_WIRE_MAX_TENSORS, LCIP_WIRE_MAX_TENSORS, graph->inputs->len,
                graph->outputs->len);
  for (guint i = 0; i < graph->actors->len; i++) {
    const LcipActor *actor = graph->actors->pdata[i];
    if (!actor->op || (actor->op->flags & (LCIP_OP_SOURCE | LCIP_OP_SINK)))
      return fail(error, LCIP_REMOTE_ERROR_GRAPH, "actor %s: a worker does not run %s", actor->id,
                  actor->op_name);
  }
  return TRUE;
}

static gboolean read_graph(LcipWorkerSession *session, GError **error) {
  g_autoptr(GHashTable) tensors = map_weights(session, error);
  if (!tensors)
    return FALSE;
  g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(g_steal_pointer(&session->document));
  session->graph = lcip_xml_read_memory("the subgraph", bytes, tensors, error);
  return session->graph && check_graph(session, error);
}

static gboolean make_plan(LcipWorkerSession *session, GError **error) {
  g_autoptr(GHashTable) bindings = g_hash_table_new(g_str_hash, g_str_equal);
  const char *lane = LCIP_REMOTE_WORKER;
  if (!lcip_graph_find_lane(session->graph, lane) ||
      !lcip_graph_find_mapping(session->graph, LCIP_REMOTE_WORKER))
    return fail(error, LCIP_REMOTE_ERROR_GRAPH, "the subgraph has no lane and mapping %s", lane);
  const LcipDevice *device = strstr(session->device, "://")
                                 ? NULL
                                 : lcip_runtime_find_device(lcip_runtime_get(), session->device);
  if (!device || device->kind == LCIP_LANE_REMOTE)
    return fail(error, LCIP_REMOTE_ERROR_DEVICE, "there is no device %s", session->device);
  g_hash_table_insert(bindings, (gpointer)lane, session->device);
  const LcipPlanOptions options = {.mapping = LCIP_REMOTE_WORKER,
                                   .bindings = bindings,
                                   .pinned = (session->flags & LCIP_DEPLOY_PINNED) != 0,
                                   .threads = MIN(session->threads, g_get_num_processors())};
  session->plan = lcip_plan_new(session->graph, &options, NULL, NULL, error);
  return session->plan != NULL;
}

static const LcipTensorSpec *port_spec(LcipWorkerSession *session, LcipPlanStepKind kind,
                                       guint port) {
  const LcipPlan *plan = session->plan;
  for (guint i = 0; i < plan->works->len; i++) {
    const LcipPlanWork *work = plan->works->pdata[i];
    if (work->kind == kind && work->graph_port == (int)port)
      return &g_array_index(plan->tensors, LcipPlanTensor,
                            kind == LCIP_STEP_SOURCE ? work->outputs[0] : work->inputs[0])
                  .spec;
  }
  return NULL;
}

/* Every input and output is planned, and no result is larger than the queue to the client. */
static gboolean port_bytes(LcipWorkerSession *session, LcipPlanStepKind kind, guint n,
                           guint64 *total, GError **error) {
  for (guint i = 0; i < n; i++) {
    const LcipTensorSpec *spec = port_spec(session, kind, i);
    gsize bytes;
    if (!spec || spec->format != LCIP_FORMAT_DENSE || !lcip_tensor_spec_bytes(spec, &bytes))
      return fail(error, LCIP_REMOTE_ERROR_GRAPH, "%s %u of the subgraph is not planned",
                  kind == LCIP_STEP_SOURCE ? "input" : "output", i);
    *total += bytes;
  }
  return TRUE;
}

static guint64 plan_bytes(const LcipPlan *plan) {
  guint64 total = 0;
  for (guint i = 0; i < plan->lanes->len; i++) {
    const LcipPlanLane *lane = plan->lanes->pdata[i];
    total += lane->arena_bytes + lane->weight_bytes + plan->scratch_bytes[i];
  }
  return total;
}

static gboolean reserve_run(LcipWorkerSession *session, GError **error) {
  guint64 in_bytes = 0, out_bytes = 0;
  if (!port_bytes(session, LCIP_STEP_SOURCE, session->graph->inputs->len, &in_bytes, error) ||
      !port_bytes(session, LCIP_STEP_SINK, session->graph->outputs->len, &out_bytes, error))
    return FALSE;
  const guint64 messages = out_bytes / LCIP_WIRE_PART_BYTES + 1;
  session->credits = (guint32)MIN(session->credits, LCIP_WORKER_MAX_QUEUED / messages);
  if (session->credits == 0)
    return fail(error, LCIP_REMOTE_ERROR_LIMIT, "the results of one frame are larger than 1 GiB");
  /* A result lies in a token and, while it waits to be sent, in the transport. */
  return reserve(session,
                 plan_bytes(session->plan) + (session->credits + 1) * (in_bytes + 2 * out_bytes),
                 error);
}

static void on_frame(const LcipFrame *frame, gpointer data);
static void on_end(gpointer data);

static gboolean start_run(LcipWorkerSession *session, GError **error) {
  const LcipRunOptions options = {.pushed = TRUE,
                                  .frames_in_flight = session->credits + 1,
                                  .frame_func = on_frame,
                                  .end_func = on_end,
                                  .frame_data = session};
  session->run = lcip_run_start(session->plan, &options, error);
  return session->run != NULL;
}

static void tensors_free(gpointer data) {
  g_ptr_array_unref(data);
}

static void make_inputs(LcipWorkerSession *session) {
  const guint n = session->graph->inputs->len;
  session->inputs = g_new0(LcipTensor *, n + 1);
  session->tensors = g_new0(LcipFrameTensor, n + 1);
  session->spare = g_ptr_array_new_with_free_func(tensors_free);
  for (guint i = 0; i < n; i++)
    g_ptr_array_add(session->spare,
                    g_ptr_array_new_with_free_func((GDestroyNotify)lcip_tensor_unref));
}

void lcip_worker_session_plan(LcipWorkerSession *session) {
  LcipWorkerEvent *event = g_new0(LcipWorkerEvent, 1);
  GError *error = NULL;
  event->session = lcip_worker_session_ref(session);
  if (!atomic_load(&session->dropped) && keep_weights(session, &error) &&
      read_graph(session, &error) && make_plan(session, &error) && reserve_run(session, &error) &&
      start_run(session, &error)) {
    make_inputs(session);
    event->kind = LCIP_EVENT_READY;
  } else {
    event->kind = LCIP_EVENT_FAILED;
    event->error =
        error ? error : g_error_new(LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST, "dropped");
  }
  lcip_weights_cache_trim(lcip_worker_server_limits(session->server)->cache_bytes);
  lcip_worker_server_post(session->server, event);
}

/* ---- frames ---- */

static LcipTensor *spare_tensor(LcipWorkerSession *session, guint input,
                                const LcipTensorSpec *spec) {
  GPtrArray *spare = session->spare->pdata[input];
  for (guint i = 0; i < spare->len; i++)
    if (!lcip_tensor_is_shared(spare->pdata[i]))
      return lcip_tensor_ref(spare->pdata[i]);
  LcipTensor *tensor = lcip_tensor_new(spec);
  if (tensor && spare->len <= session->credits)
    g_ptr_array_add(spare, lcip_tensor_ref(tensor));
  return tensor;
}

static gboolean fits(const LcipWireTensor *found, const LcipTensorSpec *planned) {
  gboolean ok = found->spec.type == planned->type && found->spec.shape.rank == planned->shape.rank;
  for (int d = 0; ok && d < planned->shape.rank; d++)
    ok = found->spec.shape.dims[d] <= planned->shape.dims[d];
  return ok;
}

static gboolean open_input(LcipWorkerSession *session, guint i, const LcipWireTensor *wire,
                           GError **error) {
  const LcipTensorSpec *planned = port_spec(session, LCIP_STEP_SOURCE, i);
  if (!fits(wire, planned)) {
    g_autofree char *expected = lcip_tensor_spec_to_string(planned);
    g_autofree char *found = lcip_tensor_spec_to_string(&wire->spec);
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL,
                "FRAME: tensor %u: expected at most %s, found %s", i, expected, found);
  }
  g_clear_pointer(&session->inputs[i], lcip_tensor_unref);
  session->inputs[i] = spare_tensor(session, i, planned);
  if (!session->inputs[i])
    return fail(error, LCIP_REMOTE_ERROR_MEMORY, "no memory for a frame");
  lcip_tensor_set_shape(session->inputs[i], &wire->spec.shape);
  session->tensors[i] = (LcipFrameTensor){*wire, lcip_tensor_get_mutable(session->inputs[i])};
  return TRUE;
}

static guint frames_in_flight(LcipWorkerSession *session) {
  g_mutex_lock(&session->mutex);
  const guint n = g_queue_get_length(&session->in_flight);
  g_mutex_unlock(&session->mutex);
  return n;
}

static gboolean open_frame(LcipWorkerSession *session, const LcipWireFrame *frame, GError **error) {
  const guint n = session->graph->inputs->len;
  if (session->receiving)
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL, "FRAME: the one before is not complete");
  if (frames_in_flight(session) >= session->credits)
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL, "FRAME: expected at most %u at once, found more",
                session->credits);
  if (frame->n_tensors != n)
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL, "FRAME: expected %u tensors, found %u", n,
                frame->n_tensors);
  for (guint i = 0; i < n; i++)
    if (!open_input(session, i, &frame->tensors[i], error))
      return FALSE;
  session->frame = frame->frame;
  session->receiving = TRUE;
  return lcip_stream_open_receive(&session->stream, session->tensors, n, error);
}

static gboolean push_frame(LcipWorkerSession *session, GError **error) {
  LcipSessionFrame *frame = g_new0(LcipSessionFrame, 1);
  lcip_stream_finish_receive(&session->stream, session->tensors, session->graph->inputs->len);
  session->receiving = FALSE;
  frame->frame = session->frame;
  frame->received_ns = lcip_now_ns();
  g_mutex_lock(&session->mutex);
  g_queue_push_tail(&session->in_flight, frame);
  g_mutex_unlock(&session->mutex);
  const gboolean ok = lcip_run_push(session->run, session->inputs, frame->received_ns, error);
  for (guint i = 0; i < session->graph->inputs->len; i++)
    g_clear_pointer(&session->inputs[i], lcip_tensor_unref);
  return ok;
}

static gboolean take_payload(LcipWorkerSession *session, const LcipWire *wire, GError **error) {
  if (!lcip_stream_put(&session->stream, wire->payload, wire->payload_bytes))
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL, "a frame holds more than it says");
  return session->stream.done_bytes < session->stream.total_bytes || push_frame(session, error);
}

gboolean lcip_worker_session_frame(LcipWorkerSession *session, const LcipWire *wire,
                                   GError **error) {
  if (session->state != LCIP_SESSION_READY)
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL, "FRAME: the session is not ready");
  return open_frame(session, &wire->frame, error) && take_payload(session, wire, error);
}

gboolean lcip_worker_session_part(LcipWorkerSession *session, const LcipWire *wire,
                                  GError **error) {
  if (session->state != LCIP_SESSION_READY || !session->receiving ||
      wire->part.frame != session->frame || wire->part.offset != session->stream.done_bytes)
    return fail(error, LCIP_REMOTE_ERROR_PROTOCOL, "PART: it continues no frame");
  return take_payload(session, wire, error);
}

/* ---- results: the run's sink thread ---- */

static void fill_times(LcipWorkerSession *session, LcipWireFrame *result) {
  g_mutex_lock(&session->mutex);
  LcipSessionFrame *frame = g_queue_pop_head(&session->in_flight);
  result->ended_ns = lcip_now_ns();
  result->frame = frame->frame;
  result->received_ns = frame->received_ns;
  /* One frame after another: it began when it was there and the one before had ended. */
  result->started_ns = MAX(frame->received_ns, session->last_end_ns);
  session->last_end_ns = result->ended_ns;
  g_mutex_unlock(&session->mutex);
  g_free(frame);
}

static LcipTensor *find_output(const LcipFrame *frame, const LcipGraphPort *port) {
  for (guint i = 0; i < frame->n_values; i++) {
    const LcipFrameValue *value = &frame->values[i];
    if (!value->actor_id &&
        (g_strcmp0(value->name, port->name) == 0 || g_strcmp0(value->name, port->id) == 0))
      return value->tensor;
  }
  return NULL;
}

static void add_result(LcipWorkerEvent *event, LcipTensor *tensor, LcipWorkerSession *session) {
  LcipWireTensor *wire = &event->result.tensors[event->result.n_tensors++];
  gsize bytes = 0;
  wire->spec = *lcip_tensor_get_spec(tensor);
  wire->spec.shape = *lcip_tensor_get_shape(tensor);
  wire->wire_type = (session->flags & LCIP_DEPLOY_F16) && wire->spec.type == LCIP_TYPE_F32
                        ? LCIP_TYPE_F16
                        : wire->spec.type;
  lcip_wire_tensor_bytes(wire, &bytes);
  event->result.total_bytes += bytes;
  g_ptr_array_add(event->tensors, lcip_tensor_ref(tensor));
}

static void on_frame(const LcipFrame *frame, gpointer data) {
  LcipWorkerSession *session = data;
  LcipWorkerEvent *event = g_new0(LcipWorkerEvent, 1);
  event->kind = LCIP_EVENT_RESULT;
  event->session = lcip_worker_session_ref(session);
  event->tensors = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_tensor_unref);
  fill_times(session, &event->result);
  for (guint i = 0; i < session->graph->outputs->len; i++) {
    LcipTensor *tensor = find_output(frame, session->graph->outputs->pdata[i]);
    if (tensor)
      add_result(event, tensor, session);
  }
  lcip_worker_server_post(session->server, event);
}

/* A run that nobody dropped ends by an error alone. */
static void on_end(gpointer data) {
  LcipWorkerSession *session = data;
  if (atomic_load(&session->dropped) || !session->run)
    return;
  LcipWorkerEvent *event = g_new0(LcipWorkerEvent, 1);
  event->kind = LCIP_EVENT_ENDED;
  event->session = lcip_worker_session_ref(session);
  lcip_run_is_done(session->run, &event->error);
  lcip_worker_server_post(session->server, event);
}

/* ---- answers: the server's thread ---- */

void lcip_worker_session_send_ready(LcipWorkerSession *session) {
  LcipWire wire = {.type = LCIP_WIRE_READY, .session = session->id};
  session->state = LCIP_SESSION_READY;
  wire.ready.credits = session->credits;
  wire.ready.memory_bytes = session->reserved_bytes;
  wire.ready.n_tensors = session->graph->outputs->len;
  for (guint i = 0; i < wire.ready.n_tensors; i++) {
    wire.ready.tensors[i].spec = *port_spec(session, LCIP_STEP_SINK, i);
    wire.ready.tensors[i].wire_type = wire.ready.tensors[i].spec.type;
  }
  lcip_worker_server_send(session->server, session->peer, &wire);
}

gboolean lcip_worker_session_send_result(LcipWorkerSession *session, LcipWorkerEvent *event) {
  LcipFrameSender sender = {
      .head = {.type = LCIP_WIRE_RESULT, .session = session->id, .frame = event->result}};
  LcipFrameTensor tensors[LCIP_WIRE_MAX_TENSORS];
  const guint n = event->result.n_tensors;
  gboolean done = FALSE;
  for (guint i = 0; i < n; i++)
    tensors[i] = (LcipFrameTensor){event->result.tensors[i],
                                   (void *)lcip_tensor_get_data(event->tensors->pdata[i])};
  sender.head.frame.sent_ns = lcip_now_ns();
  LcipTransportResult result = lcip_stream_open_send(&sender.stream, tensors, n, NULL)
                                   ? LCIP_TRANSPORT_OK
                                   : LCIP_TRANSPORT_LOST;
  while (result == LCIP_TRANSPORT_OK && !done)
    result = lcip_frame_sender_step(&sender, lcip_worker_server_transport(session->server),
                                    session->peer, lcip_worker_server_scratch(session->server),
                                    &done, NULL);
  lcip_stream_clear(&sender.stream);
  return done;
}
