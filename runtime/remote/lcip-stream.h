#pragma once

#include "lcip-transport.h"

G_BEGIN_DECLS

/* The tensors of a frame as one stream of bytes, in messages of at most LCIP_WIRE_PART_BYTES. */

typedef struct {
  guint8 *data;
  gsize size_bytes;
} LcipPiece;

/** LcipStream: pieces of memory one after another, and how far sending or receiving has come.
 * @staging: where f32 tensors travel as f16, room for what travels; owned. */
typedef struct {
  guint n;
  LcipPiece pieces[LCIP_WIRE_MAX_TENSORS];
  gsize total_bytes, done_bytes;
  guint8 *staging;
} LcipStream;

void lcip_stream_clear(LcipStream *stream);
/** lcip_stream_add: FALSE when there are too many or the size overflows. */
gboolean lcip_stream_add(LcipStream *stream, void *data, gsize size_bytes);
/** lcip_stream_next: the buffers of the next part to send; at most LCIP_WIRE_MAX_TENSORS. */
guint lcip_stream_next(const LcipStream *stream, LcipBuffer *buffers, gsize *part_bytes);
/** lcip_stream_put: the next part that was received. FALSE when it does not fit. */
gboolean lcip_stream_put(LcipStream *stream, const guint8 *data, gsize size_bytes);

/** LcipFrameTensor: one tensor of a frame in memory; @data as its spec says. */
typedef struct {
  LcipWireTensor wire;
  void *data;
} LcipFrameTensor;

/** lcip_stream_open_send: a stream over @tensors as they travel: those of another wire type are
 * converted now. */
gboolean lcip_stream_open_send(LcipStream *stream, const LcipFrameTensor *tensors, guint n,
                               GError **error);
/** lcip_stream_open_receive: room for @tensors as they travel; lcip_stream_finish_receive()
 * converts. */
gboolean lcip_stream_open_receive(LcipStream *stream, const LcipFrameTensor *tensors, guint n,
                                  GError **error);
void lcip_stream_finish_receive(LcipStream *stream, const LcipFrameTensor *tensors, guint n);

/** LcipFrameSender: a FRAME or RESULT on its way, its PARTs after it. */
typedef struct {
  LcipWire head;
  LcipStream stream;
  gboolean head_sent;
} LcipFrameSender;

/** lcip_frame_sender_step: the next message. @is_done: it was the last. @scratch: for its header.
 */
LcipTransportResult lcip_frame_sender_step(LcipFrameSender *sender, LcipTransport *transport,
                                           LcipPeer peer, GByteArray *scratch, gboolean *is_done,
                                           GError **error);

/** lcip_wire_send: one message without more. */
LcipTransportResult lcip_wire_send(LcipTransport *transport, LcipPeer peer, const LcipWire *wire,
                                   GByteArray *scratch, GError **error);

G_END_DECLS
