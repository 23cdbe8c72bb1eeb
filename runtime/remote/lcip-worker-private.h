#pragma once

#include "lcip-profiler-private.h"
#include "lcip-stream.h"
#include "lcip-worker-server.h"

G_BEGIN_DECLS

/** LCIP_WORKER_MAX_QUEUED: messages that all results of one session may be at once; so the
 * transport's queue to a client that does not read has a bound. */
#define LCIP_WORKER_MAX_QUEUED 4096

typedef enum {
  LCIP_SESSION_DOCUMENT, /* its document and manifest come */
  LCIP_SESSION_WEIGHTS,  /* the weights that are missing come */
  LCIP_SESSION_PLANNING, /* a job has it */
  LCIP_SESSION_READY,
  LCIP_SESSION_FAILED /* it waits to be forgotten: what still comes for it is dropped */
} LcipSessionState;

/** LcipSessionFrame: a frame of a session on its way. */
typedef struct {
  guint64 frame;
  gint64 received_ns;
} LcipSessionFrame;

/** LcipWorkerSession: one deployed subgraph of one client. Atomically reference-counted, because
 * jobs and the run's threads hold it; all but what is marked belongs to the server's thread. */
typedef struct {
  _Atomic guint refs;
  LcipWorkerServer *server; /* borrowed: it outlives its sessions */
  LcipPeer peer;
  guint32 id;
  LcipSessionState state;
  _Atomic gboolean dropped; /* any thread: nothing is to be sent for it any more */
  /* deploying */
  char *device;
  guint32 flags, threads, credits, n_tensors;
  GByteArray *document, *manifest;
  guint64 document_bytes, manifest_bytes;
  GArray *entries;    /* LcipManifestEntry */
  GPtrArray *weights; /* per entry: GByteArray, or NULL where the cache has it */
  guint n_weights_left;
  guint64 reserved_bytes; /* of the server's memory */
  /* ready */
  LcipGraph *graph;
  LcipPlan *plan;
  LcipRun *run;
  GPtrArray *spare; /* per input: GPtrArray of LcipTensor that were used before */
  LcipTensor **inputs;
  LcipFrameTensor *tensors;
  LcipStream stream;
  guint64 frame; /* that is being received */
  gboolean receiving;
  /* under mutex */
  GMutex mutex;
  GQueue in_flight; /* LcipSessionFrame */
  gint64 last_end_ns;
} LcipWorkerSession;

/** LcipWorkerEvent: from a job or a run to the server's thread. */
typedef enum {
  LCIP_EVENT_READY,
  LCIP_EVENT_FAILED,
  LCIP_EVENT_RESULT,
  LCIP_EVENT_ENDED
} LcipEventKind;
typedef struct {
  LcipEventKind kind;
  LcipWorkerSession *session; /* owned */
  GError *error;              /* FAILED, ENDED */
  LcipWireFrame result;       /* RESULT */
  GPtrArray *tensors;         /* RESULT */
} LcipWorkerEvent;

/* ---- what sessions use of the server; any thread but send ---- */

void lcip_worker_server_post(LcipWorkerServer *server, LcipWorkerEvent *event);
void lcip_worker_server_log(LcipWorkerServer *server, LcipLogLevel level, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
const LcipWorkerLimits *lcip_worker_server_limits(const LcipWorkerServer *server);
/** lcip_worker_server_reserve: @bytes of the memory that sessions may use; FALSE with a message. */
gboolean lcip_worker_server_reserve(LcipWorkerServer *server, guint64 bytes, GError **error);
void lcip_worker_server_release(LcipWorkerServer *server, guint64 bytes);
/** lcip_worker_server_run_job: lcip_worker_session_plan() on another thread. */
void lcip_worker_server_run_job(LcipWorkerServer *server, LcipWorkerSession *session);
/** lcip_worker_server_send: server's thread. */
void lcip_worker_server_send(LcipWorkerServer *server, LcipPeer peer, const LcipWire *wire);
GByteArray *lcip_worker_server_scratch(LcipWorkerServer *server);
LcipTransport *lcip_worker_server_transport(LcipWorkerServer *server);

/** lcip_worker_fill_welcome: all but instance and key; borrows @name and the devices' texts. */
void lcip_worker_fill_welcome(LcipWireWelcome *welcome, const LcipWorkerLimits *limits,
                              const char *name);

/* ---- lcip-worker-session.c: server's thread ---- */

LcipWorkerSession *lcip_worker_session_new(LcipWorkerServer *server, LcipPeer peer, guint32 id,
                                           const LcipWireDeploy *deploy, GError **error);
LcipWorkerSession *lcip_worker_session_ref(LcipWorkerSession *session);
/** lcip_worker_session_unref: the last one ends its run and waits for that; any thread. */
void lcip_worker_session_unref(LcipWorkerSession *session);
/** Each: what the client sent. FALSE with an error that ends the session. */
gboolean lcip_worker_session_bulk(LcipWorkerSession *session, const LcipWire *wire, GError **error);
gboolean lcip_worker_session_frame(LcipWorkerSession *session, const LcipWire *wire,
                                   GError **error);
gboolean lcip_worker_session_part(LcipWorkerSession *session, const LcipWire *wire, GError **error);
/** lcip_worker_session_send_ready, lcip_worker_session_send_result: after the events. The latter is
 * FALSE when the client does not take it. */
void lcip_worker_session_send_ready(LcipWorkerSession *session);
gboolean lcip_worker_session_send_result(LcipWorkerSession *session, LcipWorkerEvent *event);
/** lcip_worker_session_retire: a job's thread: ends the run of a session that is dropped, and gives
 * the reference up. */
void lcip_worker_session_retire(LcipWorkerSession *session);
/** lcip_worker_session_plan: a job's thread: everything from the bytes to a run that is warm; posts
 * READY or FAILED. */
void lcip_worker_session_plan(LcipWorkerSession *session);

G_END_DECLS
