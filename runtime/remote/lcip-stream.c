#include "config.h"
#include "lcip-stream.h"

#include <string.h>

void lcip_stream_clear(LcipStream *stream) {
  g_clear_pointer(&stream->staging, g_free);
  stream->n = 0;
  stream->total_bytes = stream->done_bytes = 0;
}

gboolean lcip_stream_add(LcipStream *stream, void *data, gsize size_bytes) {
  if (stream->n == LCIP_WIRE_MAX_TENSORS || size_bytes > G_MAXSSIZE - stream->total_bytes)
    return FALSE;
  stream->pieces[stream->n++] = (LcipPiece){data, size_bytes};
  stream->total_bytes += size_bytes;
  return TRUE;
}

/* The piece that holds byte @done, and where in it. */
static guint find_piece(const LcipStream *stream, gsize *offset) {
  gsize left = stream->done_bytes;
  guint i = 0;
  while (i < stream->n && left >= stream->pieces[i].size_bytes)
    left -= stream->pieces[i++].size_bytes;
  *offset = left;
  return i;
}

guint lcip_stream_next(const LcipStream *stream, LcipBuffer *buffers, gsize *part_bytes) {
  gsize offset, left = MIN(stream->total_bytes - stream->done_bytes, LCIP_WIRE_PART_BYTES);
  guint i = find_piece(stream, &offset), n = 0;
  *part_bytes = left;
  for (; left > 0; i++) {
    const gsize take = MIN(left, stream->pieces[i].size_bytes - offset);
    if (take > 0)
      buffers[n++] = (LcipBuffer){stream->pieces[i].data + offset, take};
    left -= take;
    offset = 0;
  }
  return n;
}

gboolean lcip_stream_put(LcipStream *stream, const guint8 *data, gsize size_bytes) {
  gsize offset;
  if (size_bytes > stream->total_bytes - stream->done_bytes)
    return FALSE;
  guint i = find_piece(stream, &offset);
  stream->done_bytes += size_bytes;
  for (; size_bytes > 0; i++) {
    const gsize take = MIN(size_bytes, stream->pieces[i].size_bytes - offset);
    if (take > 0)
      memcpy(stream->pieces[i].data + offset, data, take);
    data += take;
    size_bytes -= take;
    offset = 0;
  }
  return TRUE;
}

/* ---- tensors that travel as another type ---- */

static gboolean is_converted(const LcipFrameTensor *tensor) {
  return tensor->wire.wire_type != tensor->wire.spec.type;
}

static gboolean make_staging(LcipStream *stream, const LcipFrameTensor *tensors, guint n) {
  gsize staged = 0;
  for (guint i = 0; i < n; i++) {
    gsize bytes;
    if (!lcip_wire_tensor_bytes(&tensors[i].wire, &bytes) || bytes > G_MAXSSIZE - staged)
      return FALSE;
    staged += is_converted(&tensors[i]) ? bytes : 0;
  }
  if (staged > 0)
    stream->staging = g_try_malloc(staged);
  return staged == 0 || stream->staging;
}

static gboolean open_stream(LcipStream *stream, const LcipFrameTensor *tensors, guint n,
                            GError **error) {
  *stream = (LcipStream){0};
  gboolean ok = n <= LCIP_WIRE_MAX_TENSORS && make_staging(stream, tensors, n);
  guint8 *at = stream->staging;
  for (guint i = 0; ok && i < n; i++) {
    gsize bytes;
    lcip_wire_tensor_bytes(&tensors[i].wire, &bytes);
    if (!is_converted(&tensors[i])) {
      ok = lcip_stream_add(stream, tensors[i].data, bytes);
      continue;
    }
    ok = lcip_stream_add(stream, at, bytes);
    at += bytes;
  }
  if (!ok) {
    lcip_stream_clear(stream);
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_MEMORY, "no memory for a frame");
  }
  return ok;
}

static gsize n_elements(const LcipFrameTensor *tensor) {
  return (gsize)lcip_shape_count(&tensor->wire.spec.shape);
}

gboolean lcip_stream_open_send(LcipStream *stream, const LcipFrameTensor *tensors, guint n,
                               GError **error) {
  if (!open_stream(stream, tensors, n, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (is_converted(&tensors[i]))
      lcip_wire_pack_f16(tensors[i].data, stream->pieces[i].data, n_elements(&tensors[i]));
  return TRUE;
}

gboolean lcip_stream_open_receive(LcipStream *stream, const LcipFrameTensor *tensors, guint n,
                                  GError **error) {
  return open_stream(stream, tensors, n, error);
}

void lcip_stream_finish_receive(LcipStream *stream, const LcipFrameTensor *tensors, guint n) {
  for (guint i = 0; i < n; i++)
    if (is_converted(&tensors[i]))
      lcip_wire_unpack_f16(stream->pieces[i].data, tensors[i].data, n_elements(&tensors[i]));
  lcip_stream_clear(stream);
}

/* ---- sending ---- */

static LcipTransportResult send_message(LcipTransport *transport, LcipPeer peer,
                                        const LcipWire *wire, LcipBuffer *buffers, guint n,
                                        GByteArray *scratch, GError **error) {
  if (!lcip_wire_encode(wire, buffers + 1, n, scratch, error))
    return LCIP_TRANSPORT_LOST;
  buffers[0] = (LcipBuffer){scratch->data, scratch->len};
  return lcip_transport_send(transport, peer, buffers, n + 1, error);
}

LcipTransportResult lcip_wire_send(LcipTransport *transport, LcipPeer peer, const LcipWire *wire,
                                   GByteArray *scratch, GError **error) {
  LcipBuffer buffers[2] = {{0}, {wire->payload, wire->payload_bytes}};
  return send_message(transport, peer, wire, buffers, wire->payload_bytes ? 1 : 0, scratch, error);
}

LcipTransportResult lcip_frame_sender_step(LcipFrameSender *sender, LcipTransport *transport,
                                           LcipPeer peer, GByteArray *scratch, gboolean *is_done,
                                           GError **error) {
  LcipBuffer buffers[LCIP_WIRE_MAX_TENSORS + 1];
  gsize bytes;
  const guint n = lcip_stream_next(&sender->stream, buffers + 1, &bytes);
  const LcipWire part = {.type = LCIP_WIRE_PART,
                         .session = sender->head.session,
                         .part = {sender->head.frame.frame, sender->stream.done_bytes}};
  const LcipTransportResult result = send_message(
      transport, peer, sender->head_sent ? &part : &sender->head, buffers, n, scratch, error);
  if (result != LCIP_TRANSPORT_OK)
    return result;
  sender->head_sent = TRUE;
  sender->stream.done_bytes += bytes;
  *is_done = sender->stream.done_bytes == sender->stream.total_bytes;
  return result;
}
