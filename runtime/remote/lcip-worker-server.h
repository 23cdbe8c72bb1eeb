#pragma once

#include <gio/gio.h>

#include "lcip-transport.h"

G_BEGIN_DECLS

/** LcipWorkerServer: offers this machine's devices to paired clients. Each client's sessions are
 * its own: no message of one reaches another's. */
typedef struct _LcipWorkerServer LcipWorkerServer;

/* Every limit in time that there is on the worker's side. */
#define LCIP_WORKER_CLIENT_SILENCE_NS G_GINT64_CONSTANT(10000000000) /* then it is forgotten */
#define LCIP_WORKER_TICK_NS G_GINT64_CONSTANT(100000000)             /* between signs of life */

typedef enum { LCIP_LOG_INFO, LCIP_LOG_WARNING } LcipLogLevel;
/** LcipLogFunc: one line without its end. Called by any of the server's threads. */
typedef void (*LcipLogFunc)(LcipLogLevel level, const char *line, gpointer data);

/** LcipWorkerLimits: 0 for the default.
 * @memory_bytes: weights, plans and frames of all sessions together (default: half of the
 *   machine's). @sessions: of all clients (32). @actors: of one subgraph (20000). @document_bytes:
 *   of one subgraph's XML (16 MiB). @cache_bytes: weights kept on disk (4 GiB). @credits: frames
 *   in flight of one session (16). */
typedef struct {
  guint64 memory_bytes;
  guint sessions;
  guint actors;
  guint64 document_bytes;
  guint64 cache_bytes;
  guint credits;
} LcipWorkerLimits;

typedef struct {
  LcipWorkerLimits limits;
  LcipLogFunc log;
  gpointer log_data;
} LcipWorkerOptions;

/** lcip_worker_server_new: takes @listener (lcip_transport_listen()). */
LcipWorkerServer *lcip_worker_server_new(const LcipWorkerOptions *options, LcipTransport *listener);
/** lcip_worker_server_run: serves until @cancellable is cancelled (then TRUE: clients have been
 * told) or the listener fails. */
gboolean lcip_worker_server_run(LcipWorkerServer *server, GCancellable *cancellable,
                                GError **error);
void lcip_worker_server_free(LcipWorkerServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipWorkerServer, lcip_worker_server_free)

G_END_DECLS
