#include "config.h"
#include "lcip-io-private.h"
#include "lcip-link-private.h"

#include <string.h>

/* One subgraph of a link: deploying it, its frames and its results. */

G_GNUC_PRINTF(2, 3)
static gboolean fail(GError **error, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  g_autofree char *message = g_strdup_vprintf(format, ap);
  va_end(ap);
  g_set_error_literal(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_PROTOCOL, message);
  return FALSE;
}

/* ---- life ---- */

static void flight_free(gpointer data) {
  LinkFlight *flight = data;
  lcip_stream_clear(&flight->sender.stream);
  g_free(flight);
}

LinkPart *lcip_link_part_new(LcipGraph *graph, guint32 session) {
  LinkPart *part = g_new0(LinkPart, 1);
  part->graph = lcip_graph_ref(graph);
  part->n_inputs = graph->inputs->len;
  part->n_outputs = graph->outputs->len;
  part->session = session;
  part->needed = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_queue_init(&part->flights);
  return part;
}

void lcip_link_part_reset(LinkPart *part) {
  part->stage = LINK_DEPLOY;
  part->offset = 0;
  part->n_needed_sent = 0;
  part->need_complete = part->is_ready = part->receiving = FALSE;
  part->credits = 0;
  g_array_set_size(part->needed, 0);
  g_queue_clear_full(&part->flights, flight_free);
  lcip_stream_clear(&part->stream);
}

void lcip_link_part_free(LinkPart *part) {
  lcip_link_part_reset(part);
  g_clear_pointer(&part->document, g_free);
  g_clear_pointer(&part->manifest, g_byte_array_unref);
  g_clear_pointer(&part->tensors, g_ptr_array_unref);
  g_array_unref(part->needed);
  lcip_graph_unref(part->graph);
  g_free(part);
}

/* ---- deploying ---- */

static void make_manifest(LinkPart *part) {
  g_autoptr(LcipXmlWeights) weights = lcip_xml_weights_new(part->graph);
  g_autoptr(GArray) entries = g_array_new(FALSE, TRUE, sizeof(LcipManifestEntry));
  part->tensors = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_tensor_unref);
  for (guint i = 0; i < weights->keys->len; i++) {
    LcipTensor *tensor = weights->tensors->pdata[i];
    LcipManifestEntry entry = {.key = weights->keys->pdata[i],
                               .spec = *lcip_tensor_get_spec(tensor)};
    memcpy(entry.sha256, lcip_tensor_get_sha256(tensor), sizeof entry.sha256);
    g_array_append_val(entries, entry);
    g_ptr_array_add(part->tensors, lcip_tensor_ref(tensor));
  }
  part->n_entries = entries->len;
  part->manifest = lcip_manifest_encode(entries);
}

static LcipTransportResult send_deploy(LcipLink *link, LinkPart *part, GError **error) {
  if (!part->document) {
    part->document = lcip_xml_to_string(part->graph, NULL, NULL);
    make_manifest(part);
  }
  const LcipWire wire = {.type = LCIP_WIRE_DEPLOY,
                         .session = part->session,
                         .deploy = {.device = lcip_wire_text(link->device),
                                    .flags = link->flags,
                                    .threads = link->threads,
                                    .credits = link->credits,
                                    .n_tensors = part->n_entries,
                                    .document_bytes = strlen(part->document),
                                    .manifest_bytes = part->manifest->len}};
  return lcip_wire_send(link->transport, 0, &wire, link->scratch, error);
}

/* One piece of an item. @is_done: it was the last. */
static LcipTransportResult send_bulk(LcipLink *link, LinkPart *part, guint32 item, const void *data,
                                     gsize size_bytes, gboolean *is_done, GError **error) {
  const gsize n = MIN(size_bytes - part->offset, LCIP_WIRE_PART_BYTES);
  const LcipWire wire = {.type = LCIP_WIRE_BULK,
                         .session = part->session,
                         .bulk = {.item = item, .offset = part->offset},
                         .payload = (const guint8 *)data + part->offset,
                         .payload_bytes = n};
  const LcipTransportResult result =
      lcip_wire_send(link->transport, 0, &wire, link->scratch, error);
  if (result != LCIP_TRANSPORT_OK)
    return result;
  part->offset += n;
  *is_done = part->offset == size_bytes;
  if (*is_done)
    part->offset = 0;
  return result;
}

static LcipTransportResult send_weights(LcipLink *link, LinkPart *part, GError **error) {
  if (part->n_needed_sent == part->needed->len)
    return LCIP_TRANSPORT_AGAIN;
  const guint32 index = g_array_index(part->needed, guint32, part->n_needed_sent);
  LcipTensor *tensor = part->tensors->pdata[index];
  gboolean is_done = FALSE;
  const LcipTransportResult result =
      send_bulk(link, part, LCIP_BULK_WEIGHTS + index, lcip_tensor_get_data(tensor),
                lcip_tensor_get_bytes(tensor), &is_done, error);
  part->n_needed_sent += is_done ? 1 : 0;
  return result;
}

static LcipTransportResult advance(LinkPart *part, LcipTransportResult result, gboolean is_done,
                                   LinkStage next) {
  if (result == LCIP_TRANSPORT_OK && is_done)
    part->stage = next;
  return result;
}

LcipTransportResult lcip_link_part_deploy(LcipLink *link, LinkPart *part, GError **error) {
  gboolean is_done = FALSE;
  LcipTransportResult result;
  switch (part->stage) {
  case LINK_DEPLOY:
    result = send_deploy(link, part, error);
    return advance(part, result, TRUE, LINK_DOCUMENT);
  case LINK_DOCUMENT:
    result = send_bulk(link, part, LCIP_BULK_DOCUMENT, part->document, strlen(part->document),
                       &is_done, error);
    return advance(part, result, is_done, part->manifest->len ? LINK_MANIFEST : LINK_WEIGHTS);
  case LINK_MANIFEST:
    result = send_bulk(link, part, LCIP_BULK_MANIFEST, part->manifest->data, part->manifest->len,
                       &is_done, error);
    return advance(part, result, is_done, LINK_WEIGHTS);
  case LINK_WEIGHTS:
    return send_weights(link, part, error);
  case LINK_SENT:
  default:
    return LCIP_TRANSPORT_AGAIN;
  }
}

gboolean lcip_link_has_to_deploy(const LcipLink *link) {
  for (guint i = 0; i < link->parts->len; i++) {
    const LinkPart *part = link->parts->pdata[i];
    if (part->stage < LINK_WEIGHTS ||
        (part->stage == LINK_WEIGHTS && part->n_needed_sent < part->needed->len))
      return TRUE;
  }
  return FALSE;
}

gboolean lcip_link_part_need(LinkPart *part, const LcipWire *wire, GError **error) {
  if (part->stage != LINK_WEIGHTS || part->need_complete)
    return fail(error, "NEED: it was not due");
  for (guint32 i = 0; i < wire->need.n; i++) {
    guint32 index;
    memcpy(&index, wire->payload + (gsize)i * sizeof index, sizeof index);
    index = GUINT32_FROM_LE(index);
    if (index >= part->n_entries)
      return fail(error, "NEED: expected an index below %u, found %u", part->n_entries, index);
    g_array_append_val(part->needed, index);
  }
  if (part->needed->len > part->n_entries)
    return fail(error, "NEED: more than there is");
  part->need_complete = wire->need.is_last;
  return TRUE;
}

gboolean lcip_link_part_ready(LinkPart *part, const LcipWire *wire, GError **error) {
  const LcipWireReady *ready = &wire->ready;
  if (part->is_ready || !part->need_complete || part->n_needed_sent < part->needed->len)
    return fail(error, "READY: it was not due");
  if (ready->credits == 0 || ready->n_tensors != part->n_outputs)
    return fail(error, "READY: expected credits and %u outputs, found %u and %u", part->n_outputs,
                ready->credits, ready->n_tensors);
  for (guint i = 0; i < part->n_outputs; i++) {
    const LcipTensorSpec *own = &((LcipGraphPort *)part->graph->outputs->pdata[i])->spec;
    if (lcip_tensor_spec_equal(own, &ready->tensors[i].spec))
      continue;
    g_autofree char *expected = lcip_tensor_spec_to_string(own);
    g_autofree char *found = lcip_tensor_spec_to_string(&ready->tensors[i].spec);
    return fail(error, "output %u: expected %s, found that the worker plans %s", i, expected,
                found);
  }
  part->credits = ready->credits;
  part->is_ready = TRUE;
  part->stage = LINK_SENT;
  return TRUE;
}

/* ---- frames ---- */

static LcipWireTensor wire_tensor(const LcipLink *link, const LcipTensorSpec *planned,
                                  const LcipShape *shape) {
  LcipWireTensor wire = {.spec = *planned, .wire_type = planned->type};
  wire.spec.shape = *shape;
  if ((link->flags & LCIP_DEPLOY_F16) && planned->type == LCIP_TYPE_F32)
    wire.wire_type = LCIP_TYPE_F16;
  return wire;
}

LinkFlight *lcip_link_part_new_flight(LcipLink *link, LinkPart *part, guint64 frame,
                                      const LcipLinkInput *inputs, GError **error) {
  LinkFlight *flight = g_new0(LinkFlight, 1);
  LcipFrameTensor tensors[LCIP_WIRE_MAX_TENSORS];
  LcipWire *head = &flight->sender.head;
  flight->frame = frame;
  flight->sent_ns = lcip_now_ns();
  head->type = LCIP_WIRE_FRAME;
  head->session = part->session;
  head->frame.frame = frame;
  head->frame.n_tensors = part->n_inputs;
  for (guint i = 0; i < part->n_inputs; i++) {
    const LcipGraphPort *port = part->graph->inputs->pdata[i];
    head->frame.tensors[i] = wire_tensor(link, &port->spec, &inputs[i].shape);
    tensors[i] = (LcipFrameTensor){head->frame.tensors[i], (void *)inputs[i].data};
  }
  if (!lcip_stream_open_send(&flight->sender.stream, tensors, part->n_inputs, error)) {
    g_free(flight);
    return NULL;
  }
  head->frame.total_bytes = flight->sender.stream.total_bytes;
  g_queue_push_tail(&part->flights, flight);
  return flight;
}

/* ---- results ---- */

static gboolean open_result(LcipLink *link, LinkPart *part, guint index, const LcipWireFrame *frame,
                            GError **error) {
  const LinkFlight *flight = g_queue_peek_head(&part->flights);
  if (part->receiving || !flight || flight->frame != frame->frame ||
      frame->n_tensors != part->n_outputs)
    return fail(error, "RESULT: it answers no frame, or not the oldest");
  LcipLinkOutput *outputs = link->funcs.outputs(link->data, index, frame->frame);
  for (guint i = 0; i < part->n_outputs; i++) {
    const LcipTensorSpec *planned = &((LcipGraphPort *)part->graph->outputs->pdata[i])->spec;
    const LcipTensorSpec *found = &frame->tensors[i].spec;
    gboolean fits = found->type == planned->type && found->shape.rank == planned->shape.rank;
    for (int d = 0; fits && d < planned->shape.rank; d++)
      fits = found->shape.dims[d] <= planned->shape.dims[d];
    if (!fits)
      return fail(error, "RESULT: output %u is not of the planned type and shape", i);
    outputs[i].shape = found->shape;
    part->result_tensors[i] = (LcipFrameTensor){frame->tensors[i], outputs[i].data};
  }
  part->result = *frame;
  part->receiving = TRUE;
  return lcip_stream_open_receive(&part->stream, part->result_tensors, part->n_outputs, error);
}

static gint64 to_own_clock(const LcipLink *link, gint64 worker_ns, gint64 from_ns, gint64 to_ns) {
  return CLAMP(worker_ns - link->clock.offset_ns, from_ns, to_ns);
}

static void finish_result(LcipLink *link, LinkPart *part, guint index) {
  LinkFlight *flight = g_queue_pop_head(&part->flights);
  LcipLinkResult result = {
      .frame = flight->frame, .sent_ns = flight->sent_ns, .done_ns = link->heard_ns};
  result.received_ns = to_own_clock(link, part->result.received_ns, result.sent_ns, result.done_ns);
  result.started_ns =
      to_own_clock(link, part->result.started_ns, result.received_ns, result.done_ns);
  result.ended_ns = to_own_clock(link, part->result.ended_ns, result.started_ns, result.done_ns);
  lcip_stream_finish_receive(&part->stream, part->result_tensors, part->n_outputs);
  part->receiving = FALSE;
  flight_free(flight);
  lcip_link_count_result(link);
  link->funcs.done(link->data, index, &result);
}

static gboolean take_payload(LcipLink *link, LinkPart *part, const LcipWire *wire, GError **error) {
  if (!lcip_stream_put(&part->stream, wire->payload, wire->payload_bytes))
    return fail(error, "a result holds more than it says");
  if (part->stream.done_bytes == part->stream.total_bytes)
    finish_result(link, part, part->session - 1);
  return TRUE;
}

/* A worker that answers a frame whose end is not sent yet has made the answer up. */
static gboolean is_sent(LcipLink *link, LinkPart *part) {
  return g_queue_find(&link->to_send, g_queue_peek_head(&part->flights)) == NULL;
}

gboolean lcip_link_part_result(LcipLink *link, LinkPart *part, const LcipWire *wire,
                               GError **error) {
  if (!is_sent(link, part))
    return fail(error, "RESULT: of a frame that is not sent yet");
  return open_result(link, part, part->session - 1, &wire->frame, error) &&
         take_payload(link, part, wire, error);
}

gboolean lcip_link_part_part(LcipLink *link, LinkPart *part, const LcipWire *wire, GError **error) {
  if (!part->receiving || wire->part.frame != part->result.frame ||
      wire->part.offset != part->stream.done_bytes)
    return fail(error, "PART: it continues no result");
  return take_payload(link, part, wire, error);
}
