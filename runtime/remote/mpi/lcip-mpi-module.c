#include "config.h"
#include "lcip-codec.h"
#include "lcip-mpi-private.h"
#include "lcip-mpi.h"

#include <mpi.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

/* Messages as MPI point-to-point messages. A connection is a tag: rank 0 takes another number for
 * each connection and both directions use it, so that nothing of an old connection is taken for a
 * new one's. All calls of the library are made under one lock, and none of them blocks. */

/* CLIENT_QUEUE: as many messages wait to be sent as with ZeroMQ. TAG_END: of no connection: the job
 * ends; the smallest tag that every MPI library has is 32767. */
enum { CLIENT_QUEUE = 16, TAG_END = 0, MAX_TAG = 32767 };

/* MPI has nothing to wait on. Who waits looks again and again, at first without a pause, then with
 * pauses of a WAIT_SHARE of the time waited so far: so it finds a message at most that much later
 * than it could, and one that nobody writes to hardly costs anything. */
#define SPIN_NS G_GINT64_CONSTANT(20000)
#define WAIT_SHARE 8
#define MAX_PAUSE_NS G_GINT64_CONSTANT(1000000)
/* How long messages of the other side can still come after a connection was closed here. */
#define DISCARD_NS G_GINT64_CONSTANT(20000000000)

typedef struct {
  MPI_Request request;
  void *data;
} Send;

/* Mpi: @rank: a client's only peer. @tag: a client's, MPI_ANY_TAG of a worker. @sends: Send, oldest
 * first. @request: of the message that is being received into @data. */
typedef struct {
  LcipTransport base;
  gboolean is_worker;
  int rank, tag;
  char *address;
  GQueue sends;
  MPI_Request request;
  MPI_Status status;
  guint8 *data;
  gsize size_bytes;
} Mpi;

typedef struct {
  int rank, tag;
  gint64 until_ns;
} Closed;

static struct {
  pthread_mutex_t mutex;
  MPI_Comm comm;
  int rank, size;
  int next_tag;
  GQueue orphans; /* Send: of transports that were freed */
  GQueue closed;  /* Closed */
} job = {.mutex = PTHREAD_MUTEX_INITIALIZER, .next_tag = 1};

static gint64 now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (gint64)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- sending; the lock is held ---- */

static void free_sent(GQueue *sends) {
  int sent = TRUE;
  while (!g_queue_is_empty(sends)) {
    Send *send = g_queue_peek_head(sends);
    MPI_Test(&send->request, &sent, MPI_STATUS_IGNORE);
    if (!sent)
      return;
    g_queue_pop_head(sends);
    g_free(send->data);
    g_free(send);
  }
}

static gboolean has_room(Mpi *mpi) {
  free_sent(&mpi->sends);
  return mpi->is_worker || g_queue_get_length(&mpi->sends) < CLIENT_QUEUE;
}

/* NULL where there is no memory. */
static guint8 *gather(const LcipBuffer *buffers, guint n, gsize *size_bytes) {
  *size_bytes = 0;
  for (guint i = 0; i < n; i++)
    *size_bytes += buffers[i].size_bytes;
  guint8 *data = *size_bytes <= LCIP_WIRE_MAX_MESSAGE_BYTES ? g_try_malloc(*size_bytes) : NULL;
  guint8 *at = data;
  for (guint i = 0; data && i < n; i++) {
    if (buffers[i].size_bytes)
      memcpy(at, buffers[i].data, buffers[i].size_bytes);
    at += buffers[i].size_bytes;
  }
  return data;
}

static LcipTransportResult send_locked(Mpi *mpi, int rank, int tag, const LcipBuffer *buffers,
                                       guint n, GError **error) {
  gsize size_bytes;
  if (!has_room(mpi))
    return LCIP_TRANSPORT_AGAIN;
  guint8 *data = gather(buffers, n, &size_bytes);
  Send *send = g_new0(Send, 1);
  send->data = data;
  if (data && MPI_Isend(data, (int)size_bytes, MPI_BYTE, rank, tag, job.comm, &send->request) ==
                  MPI_SUCCESS) {
    g_queue_push_tail(&mpi->sends, send);
    return LCIP_TRANSPORT_OK;
  }
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST, "mpi:%d: a message of %zu bytes %s",
              rank, size_bytes, data ? "was refused" : "is too long or finds no memory");
  g_free(data);
  g_free(send);
  return LCIP_TRANSPORT_LOST;
}

static LcipTransportResult mpi_send(LcipTransport *transport, LcipPeer peer,
                                    const LcipBuffer *buffers, guint n, GError **error) {
  Mpi *mpi = (Mpi *)transport;
  const int rank = mpi->is_worker ? (int)(peer >> 32) : mpi->rank;
  const int tag = mpi->is_worker ? (int)(guint32)peer : mpi->tag;
  g_return_val_if_fail(rank < job.size && tag > TAG_END, LCIP_TRANSPORT_LOST);
  pthread_mutex_lock(&job.mutex);
  const LcipTransportResult result = send_locked(mpi, rank, tag, buffers, n, error);
  pthread_mutex_unlock(&job.mutex);
  return result;
}

/* ---- receiving; the lock is held ---- */

/* Starts to receive a message of that source, if one has come. What is too long for the protocol is
 * cut, which the decoder finds out. */
static gboolean begin_receive(Mpi *mpi) {
  MPI_Message message;
  int found = FALSE, size_bytes = 0;
  MPI_Improbe(mpi->rank, mpi->tag, job.comm, &found, &message, &mpi->status);
  if (!found)
    return FALSE;
  MPI_Get_count(&mpi->status, MPI_BYTE, &size_bytes);
  mpi->size_bytes = (gsize)size_bytes;
  if (size_bytes > (int)LCIP_WIRE_MAX_MESSAGE_BYTES)
    mpi->size_bytes = 0;
  MPI_Imrecv(mpi->data, (int)mpi->size_bytes, MPI_BYTE, &message, &mpi->request);
  return TRUE;
}

/* A whole message lies in @data. */
static gboolean finish_receive(Mpi *mpi) {
  int done = FALSE;
  if (mpi->request == MPI_REQUEST_NULL && !begin_receive(mpi))
    return FALSE;
  MPI_Test(&mpi->request, &done, MPI_STATUS_IGNORE);
  return done;
}

static void discard_one(const Closed *closed) {
  MPI_Message message;
  MPI_Status status;
  int found = FALSE, size_bytes = 0;
  MPI_Improbe(closed->rank, closed->tag, job.comm, &found, &message, &status);
  if (!found)
    return;
  MPI_Get_count(&status, MPI_BYTE, &size_bytes);
  g_autofree void *data = g_malloc((gsize)size_bytes);
  MPI_Mrecv(data, size_bytes, MPI_BYTE, &message, MPI_STATUS_IGNORE);
}

/* Takes what still comes for connections that are closed, so that it does not pile up. */
static void tidy(void) {
  free_sent(&job.orphans);
  for (GList *link = job.closed.head; link; link = link->next)
    discard_one(link->data);
  const Closed *oldest = g_queue_peek_head(&job.closed);
  if (oldest && oldest->until_ns < now_ns())
    g_free(g_queue_pop_head(&job.closed));
}

static LcipTransportResult take_message(Mpi *mpi, LcipPeer *peer, const guint8 **data,
                                        gsize *size_bytes, GError **error) {
  const int rank = mpi->status.MPI_SOURCE, tag = mpi->status.MPI_TAG;
  if (tag == TAG_END) {
    g_set_error_literal(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_SHUTDOWN, "rank 0 has ended");
    return LCIP_TRANSPORT_LOST;
  }
  *peer = mpi->is_worker ? (guint64)rank << 32 | (guint32)tag : 0;
  *data = mpi->data;
  *size_bytes = mpi->size_bytes;
  return LCIP_TRANSPORT_OK;
}

static LcipTransportResult mpi_receive(LcipTransport *transport, LcipPeer *peer,
                                       const guint8 **data, gsize *size_bytes, GError **error) {
  Mpi *mpi = (Mpi *)transport;
  LcipTransportResult result = LCIP_TRANSPORT_AGAIN;
  pthread_mutex_lock(&job.mutex);
  tidy();
  free_sent(&mpi->sends);
  if (finish_receive(mpi))
    result = take_message(mpi, peer, data, size_bytes, error);
  pthread_mutex_unlock(&job.mutex);
  return result;
}

/* ---- waiting ---- */

static gboolean is_ready(Mpi *mpi, LcipTransportWait what) {
  int found = mpi->request != MPI_REQUEST_NULL;
  pthread_mutex_lock(&job.mutex);
  if (found)
    MPI_Request_get_status(mpi->request, &found, MPI_STATUS_IGNORE);
  else
    MPI_Iprobe(mpi->rank, mpi->tag, job.comm, &found, MPI_STATUS_IGNORE);
  const gboolean room = has_room(mpi);
  pthread_mutex_unlock(&job.mutex);
  return found || (what == LCIP_WAIT_READ_WRITE && room);
}

/* TRUE when @fd is readable. */
static gboolean pause_for(int fd, gint64 pause_ns) {
  struct pollfd item = {.fd = fd, .events = POLLIN};
  const struct timespec timeout = {.tv_nsec = pause_ns};
  return ppoll(&item, 1, &timeout, NULL) > 0;
}

static void mpi_wait(LcipTransport *transport, LcipTransportWait what, int fd, gint64 timeout_ns) {
  Mpi *mpi = (Mpi *)transport;
  const gint64 start_ns = now_ns();
  while (!is_ready(mpi, what)) {
    const gint64 waited_ns = now_ns() - start_ns;
    if (waited_ns >= timeout_ns)
      return;
    const gint64 pause_ns = waited_ns < SPIN_NS ? 0 : MIN(waited_ns / WAIT_SHARE, MAX_PAUSE_NS);
    if (pause_for(fd, pause_ns))
      return;
    if (!pause_ns)
      sched_yield();
  }
}

/* ---- names ---- */

static char *mpi_peer_name(LcipTransport *transport) {
  const Mpi *mpi = (const Mpi *)transport;
  return g_strdup_printf("rank %d", mpi->is_worker ? mpi->status.MPI_SOURCE : mpi->rank);
}

static const char *mpi_address(LcipTransport *transport) {
  return ((Mpi *)transport)->address;
}

/* ---- making ---- */

static void close_connection(const Mpi *mpi) {
  Closed *closed = g_new0(Closed, 1);
  *closed = (Closed){mpi->rank, mpi->tag, now_ns() + DISCARD_NS};
  g_queue_push_tail(&job.closed, closed);
}

static void mpi_free(LcipTransport *transport) {
  Mpi *mpi = (Mpi *)transport;
  pthread_mutex_lock(&job.mutex);
  while (!g_queue_is_empty(&mpi->sends))
    g_queue_push_tail(&job.orphans, g_queue_pop_head(&mpi->sends));
  if (mpi->request != MPI_REQUEST_NULL)
    MPI_Wait(&mpi->request, MPI_STATUS_IGNORE); /* it has begun: its sender is at work */
  if (!mpi->is_worker)
    close_connection(mpi);
  pthread_mutex_unlock(&job.mutex);
  g_free(mpi->data);
  g_free(mpi->address);
  g_free(mpi);
}

static const LcipTransportClass mpi_class = {
    .scheme = "mpi",
    .send = mpi_send,
    .receive = mpi_receive,
    .wait = mpi_wait,
    .peer_name = mpi_peer_name,
    .address = mpi_address,
    .free = mpi_free,
};

static Mpi *transport_new(gboolean is_worker, int rank, int tag, char *address) {
  Mpi *mpi = g_new0(Mpi, 1);
  mpi->base.klass = &mpi_class;
  mpi->is_worker = is_worker;
  mpi->rank = rank;
  mpi->tag = tag;
  mpi->address = address;
  mpi->request = MPI_REQUEST_NULL;
  mpi->data = g_malloc(LCIP_WIRE_MAX_MESSAGE_BYTES);
  g_queue_init(&mpi->sends);
  return mpi;
}

static LcipTransport *mpi_connect(int rank) {
  pthread_mutex_lock(&job.mutex);
  const int tag = job.next_tag;
  job.next_tag = tag < MAX_TAG ? tag + 1 : 1;
  pthread_mutex_unlock(&job.mutex);
  return &transport_new(FALSE, rank, tag, g_strdup_printf("mpi:%d", rank))->base;
}

static LcipTransport *mpi_listen(void) {
  return &transport_new(TRUE, MPI_ANY_SOURCE, MPI_ANY_TAG, g_strdup_printf("mpi:%d", job.rank))
              ->base;
}

/* ---- the job ---- */

static gboolean job_start(int *rank, int *size, GError **error) {
  int provided = MPI_THREAD_SINGLE;
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS ||
      provided < MPI_THREAD_SERIALIZED) {
    g_set_error_literal(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST,
                        "the MPI library can't be used by several threads");
    return FALSE;
  }
  MPI_Comm_dup(MPI_COMM_WORLD, &job.comm);
  MPI_Comm_set_errhandler(job.comm, MPI_ERRORS_RETURN);
  MPI_Comm_rank(job.comm, &job.rank);
  MPI_Comm_size(job.comm, &job.size);
  *rank = job.rank;
  *size = job.size;
  return TRUE;
}

/* FALSE when the time is over. */
static gboolean wait_for_ends(gint64 until_ns) {
  for (int ended = 1; ended < job.size;) {
    int found = FALSE;
    tidy();
    MPI_Iprobe(MPI_ANY_SOURCE, TAG_END, job.comm, &found, MPI_STATUS_IGNORE);
    if (found) {
      MPI_Recv(NULL, 0, MPI_BYTE, MPI_ANY_SOURCE, TAG_END, job.comm, MPI_STATUS_IGNORE);
      ended++;
    } else if (now_ns() > until_ns) {
      return FALSE;
    } else {
      pause_for(-1, MAX_PAUSE_NS);
    }
  }
  return TRUE;
}

/* Empty messages leave at once, so these sends do not block. */
static void job_end(void) {
  gboolean all = TRUE;
  if (job.rank == 0) {
    for (int rank = 1; rank < job.size; rank++)
      MPI_Send(NULL, 0, MPI_BYTE, rank, TAG_END, job.comm);
    all = wait_for_ends(now_ns() + LCIP_MPI_END_NS);
  } else {
    MPI_Send(NULL, 0, MPI_BYTE, 0, TAG_END, job.comm);
  }
  if (!all)
    MPI_Abort(job.comm, 1);
  MPI_Finalize();
}

extern __attribute__((visibility("default"))) const LcipMpiModule lcip_mpi_module;
const LcipMpiModule lcip_mpi_module = {
    .start = job_start, .end = job_end, .connect = mpi_connect, .listen = mpi_listen};
