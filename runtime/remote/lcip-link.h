#pragma once

#include "lcip-codec.h"
#include "lcip-graph.h"
#include "lcip-link-status.h"
#include "lcip-transport.h"

G_BEGIN_DECLS

/** LcipLink: a client's connection to one worker: connects, says hello, deploys subgraphs, sends
 * frames and takes results; tells when the worker is lost and comes back by itself. Used by one
 * thread at a time; nothing blocks but lcip_link_wait(). Times are those of lcip_now_ns(). */
typedef struct _LcipLink LcipLink;

/* Every limit in time that there is on the client's side. */
#define LCIP_LINK_CONNECT_NS G_GINT64_CONSTANT(3000000000)    /* until WELCOME */
#define LCIP_LINK_DEPLOY_NS G_GINT64_CONSTANT(60000000000)    /* from the last byte to READY */
#define LCIP_LINK_HEARTBEAT_NS G_GINT64_CONSTANT(100000000)   /* between PINGs */
#define LCIP_LINK_SILENCE_NS G_GINT64_CONSTANT(1000000000)    /* nothing heard: lost */
#define LCIP_LINK_DEADLINE_NS G_GINT64_CONSTANT(1000000000)   /* default for a frame */
#define LCIP_LINK_FIRST_RETRY_NS G_GINT64_CONSTANT(100000000) /* doubles up to: */
#define LCIP_LINK_LAST_RETRY_NS G_GINT64_CONSTANT(2000000000)
#define LCIP_LINK_CALIBRATE_NS G_GINT64_CONSTANT(200000000) /* calibration ends after that */

/** LcipLinkResult: of one frame. Times by this machine's clock. */
typedef struct {
  guint64 frame;
  gint64 sent_ns, received_ns, started_ns, ended_ns, done_ns;
} LcipLinkResult;

/** LcipLinkInput, LcipLinkOutput: where a tensor of a frame lies, dense. */
typedef struct {
  LcipShape shape; /* actual */
  const void *data;
} LcipLinkInput;
typedef struct {
  LcipShape shape; /* the link sets it */
  void *data;      /* room for the planned shape */
} LcipLinkOutput;

/** LcipLinkFuncs: called inside lcip_link_work(), by its thread.
 * @outputs: where the result tensors of @frame, the oldest of @part, are to be written; an entry
 * per output. @done: that frame is complete.
 * @lost: went offline: no result comes any more for what was sent; its frames are the caller's.
 * @ready: all parts are deployed and warm. */
typedef struct {
  LcipLinkOutput *(*outputs)(gpointer data, guint part, guint64 frame);
  void (*done)(gpointer data, guint part, const LcipLinkResult *result);
  void (*lost)(gpointer data, const char *reason);
  void (*ready)(gpointer data);
} LcipLinkFuncs;

/** LcipLinkOptions: @device: on the worker ("cpu"). @threads: 0 for all. @credits: frames in
 * flight per part. @deadline_ns: for the answer to a frame, from when the lane takes it; 0 for the
 * default. */
typedef struct {
  const char *address;
  const char *device;
  guint threads;
  guint credits;
  gboolean pinned;
  gboolean f16;
  gint64 deadline_ns;
} LcipLinkOptions;

/** lcip_link_new: @data for @funcs. Nothing happens before lcip_link_work(). */
LcipLink *lcip_link_new(const LcipLinkOptions *options, const LcipLinkFuncs *funcs, gpointer data);
/** lcip_link_close: says goodbye and ends the connection for good. */
void lcip_link_close(LcipLink *link);
void lcip_link_free(LcipLink *link);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipLink, lcip_link_free)
/** lcip_link_add_part: a subgraph whose actors all stand on the lane; before the first work. The
 * shapes of its inputs and outputs are known. Returns its number. */
guint lcip_link_add_part(LcipLink *link, LcipGraph *graph);
/** lcip_link_work: does all that can be done without waiting. TRUE when it did something. */
gboolean lcip_link_work(LcipLink *link);
/** lcip_link_wait: until there may be work again, @fd is readable or @until_ns. */
void lcip_link_wait(LcipLink *link, int fd, gint64 until_ns);
/** lcip_link_set_cancellable: ends what lcip_link_work() waits for (the look-up of a name);
 * borrowed, NULL for none. */
void lcip_link_set_cancellable(LcipLink *link, GCancellable *cancellable);
LcipLinkState lcip_link_state(const LcipLink *link);
/** lcip_link_can_send: it is ready and @part has a credit. */
gboolean lcip_link_can_send(const LcipLink *link, guint part);
/** lcip_link_send: @inputs as many as the part has; their data stay until the frame is done or
 * lost. */
void lcip_link_send(LcipLink *link, guint part, guint64 frame, const LcipLinkInput *inputs);
/** lcip_link_get_status: any thread. */
void lcip_link_get_status(LcipLink *link, LcipLinkStatus *status);

G_END_DECLS
