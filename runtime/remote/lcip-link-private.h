#pragma once

#include "lcip-keys.h"
#include "lcip-link.h"
#include "lcip-profiler-private.h"
#include "lcip-stream.h"

G_BEGIN_DECLS

#define LINK_CLOCK_SAMPLES 16
/* Calibration: small pings, two probes, then whole parts if the probes say that they take less than
 * some 25 ms each. */
#define LINK_SMALL_PINGS 4
#define LINK_PROBE_BYTES (16u * 1024)
#define LINK_ALL_PINGS (LINK_SMALL_PINGS + 2 + 8)
#define LINK_FAST_BYTES_PER_SECOND (LCIP_WIRE_PART_BYTES / 0.025)

typedef struct {
  gint64 round_ns, offset_ns;
} LinkClockSample;

/** LinkClock: @offset_ns: the worker's clock less this one. */
typedef struct {
  LinkClockSample samples[LINK_CLOCK_SAMPLES];
  guint n;
  gint64 offset_ns;
} LinkClock;

typedef struct {
  guint n_sent, n_answered;
  guint32 bytes_each;
  gint64 last_received_ns;
  gboolean is_done;
} LinkCalibration;

/** LinkFlight: a frame that is sent and not answered. */
typedef struct {
  guint64 frame;
  gint64 sent_ns;
  LcipFrameSender sender;
} LinkFlight;

typedef enum { LINK_DEPLOY, LINK_DOCUMENT, LINK_MANIFEST, LINK_WEIGHTS, LINK_SENT } LinkStage;

/** LinkPart: one subgraph, a session on the worker. */
typedef struct {
  LcipGraph *graph;
  guint n_inputs, n_outputs;
  guint32 session;
  /* what is deployed: made before the first time */
  char *document;
  GByteArray *manifest;
  GPtrArray *tensors; /* LcipTensor, as in the manifest */
  guint n_entries;
  /* how far deploying has come */
  LinkStage stage;
  gsize offset;
  GArray *needed; /* guint32 */
  guint n_needed_sent;
  gboolean need_complete;
  gboolean is_ready;
  guint32 credits;
  GQueue flights; /* LinkFlight, oldest first */
  /* the result that is being received */
  gboolean receiving;
  LcipWireFrame result;
  LcipFrameTensor result_tensors[LCIP_WIRE_MAX_TENSORS];
  LcipStream stream;
} LinkPart;

struct _LcipLink {
  char *address, *device;
  guint32 threads, credits, flags;
  gint64 deadline_ns;
  GCancellable *cancellable; /* borrowed, or NULL */
  LcipLinkFuncs funcs;
  gpointer data;
  GPtrArray *parts; /* LinkPart */
  GByteArray *scratch;
  LcipLinkState state;
  LcipTransport *transport;
  gboolean hello_sent, welcomed;
  gint64 state_ns, heard_ns, progress_ns, next_ping_ns;
  gint64 retry_ns, next_retry_ns;
  GQueue to_send; /* LinkFlight, borrowed */
  LinkClock clock;
  LinkCalibration calibration;
  GMutex mutex;
  LcipLinkStatus status; /* under mutex */
};

void lcip_link_lose(LcipLink *link, const char *reason);
void lcip_link_count_result(LcipLink *link);

/* ---- lcip-link-part.c ---- */

LinkPart *lcip_link_part_new(LcipGraph *graph, guint32 session);
void lcip_link_part_free(LinkPart *part);
/** lcip_link_part_reset: nothing is deployed, sent or received any more. */
void lcip_link_part_reset(LinkPart *part);
/** lcip_link_part_deploy: the next message; AGAIN where there is none now. */
LcipTransportResult lcip_link_part_deploy(LcipLink *link, LinkPart *part, GError **error);
/** lcip_link_has_to_deploy: some part has a message to send. */
gboolean lcip_link_has_to_deploy(const LcipLink *link);
gboolean lcip_link_part_need(LinkPart *part, const LcipWire *wire, GError **error);
gboolean lcip_link_part_ready(LinkPart *part, const LcipWire *wire, GError **error);
gboolean lcip_link_part_result(LcipLink *link, LinkPart *part, const LcipWire *wire,
                               GError **error);
gboolean lcip_link_part_part(LcipLink *link, LinkPart *part, const LcipWire *wire, GError **error);
/** lcip_link_part_new_flight: at the end of the part's flights, which own it. */
LinkFlight *lcip_link_part_new_flight(LcipLink *link, LinkPart *part, guint64 frame,
                                      const LcipLinkInput *inputs, GError **error);

G_END_DECLS
