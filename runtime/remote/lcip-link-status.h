#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** LcipLinkState: of a lane's connection to its worker. */
typedef enum {
  LCIP_LINK_OFFLINE,    /* waits until it tries again */
  LCIP_LINK_CONNECTING, /* no WELCOME yet */
  LCIP_LINK_DEPLOYING,  /* subgraphs and weights go over, the worker plans */
  LCIP_LINK_READY       /* frames may go */
} LcipLinkState;

const char *lcip_link_state_name(LcipLinkState state);

/** LcipLinkStatus: a copy, for people and cost models.
 * @reason: why it is or was last offline, NULL if it never was; owned.
 * @latency_ns: one way, half the best round trip; 0 unknown. @bytes_per_second: measured when the
 * connection was made; 0 unknown. @worker, @features: of WELCOME; owned. */
typedef struct {
  LcipLinkState state;
  char *reason;
  char *address;
  char *worker;
  char *features;
  gint64 latency_ns;
  double bytes_per_second;
  guint64 frames_sent, results, lost;
  guint n_losses; /* how often it went offline */
} LcipLinkStatus;
void lcip_link_status_clear(LcipLinkStatus *status);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LcipLinkStatus, lcip_link_status_clear)

G_END_DECLS
