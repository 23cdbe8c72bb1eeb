#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** LCIP_REMOTE_ERROR: what goes wrong between a client and a worker. The numbers stand in ERROR
 * messages (docs/protocol.md) and never change. */
#define LCIP_REMOTE_ERROR (lcip_remote_error_quark())
GQuark lcip_remote_error_quark(void);

typedef enum {
  LCIP_REMOTE_ERROR_PROTOCOL = 1, /* a message that is not what the protocol allows */
  LCIP_REMOTE_ERROR_VERSION = 2,  /* the other side speaks another version */
  LCIP_REMOTE_ERROR_REFUSED = 3,  /* a key that is not known, or a person said no */
  LCIP_REMOTE_ERROR_LIMIT = 4,    /* more sessions, tensors or bytes than the worker allows */
  LCIP_REMOTE_ERROR_MEMORY = 5,   /* the worker's memory would not do */
  LCIP_REMOTE_ERROR_GRAPH = 6,    /* the worker cannot read or plan the subgraph */
  LCIP_REMOTE_ERROR_DEVICE = 7,   /* the worker has no such device */
  LCIP_REMOTE_ERROR_RUN = 8,      /* a frame failed while it was computed */
  LCIP_REMOTE_ERROR_SHUTDOWN = 9, /* the worker ends */
  LCIP_REMOTE_ERROR_LOST = 10,    /* no connection, silence, a missed deadline: never sent */
  LCIP_REMOTE_ERROR_KEYS = 11     /* key files: never sent */
} LcipRemoteErrorCode;

G_END_DECLS
