#include "config.h"
#include "lcip-link-figures.h"
#include "lcip-link-private.h"

#include <string.h>

/* The connection as a state machine: lcip_link_work() takes what has come, sends what can go and
 * looks at the clock. */

const char *lcip_link_state_name(LcipLinkState state) {
  static const char *const names[] = {"offline", "connecting", "deploying", "ready"};
  return names[state];
}

/* ---- status ---- */

void lcip_link_status_clear(LcipLinkStatus *status) {
  g_clear_pointer(&status->reason, g_free);
  g_clear_pointer(&status->address, g_free);
  g_clear_pointer(&status->worker, g_free);
  g_clear_pointer(&status->features, g_free);
}

void lcip_link_get_status(LcipLink *link, LcipLinkStatus *status) {
  g_mutex_lock(&link->mutex);
  *status = link->status;
  status->reason = g_strdup(link->status.reason);
  status->address = g_strdup(link->status.address);
  status->worker = g_strdup(link->status.worker);
  status->features = g_strdup(link->status.features);
  g_mutex_unlock(&link->mutex);
}

static void set_state(LcipLink *link, LcipLinkState state) {
  link->state = state;
  link->state_ns = lcip_now_ns();
  g_mutex_lock(&link->mutex);
  link->status.state = state;
  g_mutex_unlock(&link->mutex);
}

static void set_text(LcipLink *link, char **text, const char *value) {
  g_mutex_lock(&link->mutex);
  g_free(*text);
  *text = g_strdup(value);
  g_mutex_unlock(&link->mutex);
}

/* ---- going offline and coming back ---- */

static void drop_connection(LcipLink *link) {
  g_clear_pointer(&link->transport, lcip_transport_free);
  for (guint i = 0; i < link->parts->len; i++)
    lcip_link_part_reset(link->parts->pdata[i]);
  g_queue_clear(&link->to_send);
  memset(&link->clock, 0, sizeof link->clock);
  memset(&link->calibration, 0, sizeof link->calibration);
}

void lcip_link_lose(LcipLink *link, const char *reason) {
  if (link->state == LCIP_LINK_OFFLINE)
    return;
  g_autofree char *why = g_strdup(reason);
  const gint64 now_ns = lcip_now_ns();
  guint n_lost = 0;
  for (guint i = 0; i < link->parts->len; i++)
    n_lost += g_queue_get_length(&((LinkPart *)link->parts->pdata[i])->flights);
  drop_connection(link);
  link->retry_ns =
      link->retry_ns ? MIN(2 * link->retry_ns, LCIP_LINK_LAST_RETRY_NS) : LCIP_LINK_FIRST_RETRY_NS;
  link->next_retry_ns = now_ns + link->retry_ns;
  set_text(link, &link->status.reason, why);
  g_mutex_lock(&link->mutex);
  link->status.lost += n_lost;
  link->status.n_losses++;
  g_mutex_unlock(&link->mutex);
  set_state(link, LCIP_LINK_OFFLINE);
  link->funcs.lost(link->data, why);
}

G_GNUC_PRINTF(2, 3) static void lose(LcipLink *link, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  g_autofree char *reason = g_strdup_vprintf(format, ap);
  va_end(ap);
  lcip_link_lose(link, reason);
}

/* FALSE and lost where it cannot be sent at all. AGAIN counts as not sent. */
static LcipTransportResult send_wire(LcipLink *link, const LcipWire *wire) {
  g_autoptr(GError) error = NULL;
  const LcipTransportResult result =
      lcip_wire_send(link->transport, 0, wire, link->scratch, &error);
  if (result == LCIP_TRANSPORT_LOST)
    lcip_link_lose(link, error->message);
  return result;
}

static gboolean try_connect(LcipLink *link) {
  g_autoptr(GError) error = NULL;
  set_state(link, LCIP_LINK_CONNECTING);
  link->hello_sent = link->welcomed = FALSE;
  link->heard_ns = link->next_ping_ns = link->state_ns;
  link->transport = lcip_transport_connect(link->address, link->cancellable, &error);
  if (!link->transport)
    lcip_link_lose(link, error->message);
  return TRUE;
}

static gboolean say_hello(LcipLink *link) {
  g_autofree char *name = lcip_own_name();
  const LcipWire wire = {
      .type = LCIP_WIRE_HELLO,
      .hello = {.software = lcip_wire_text("lcip " LCIP_VERSION), .name = lcip_wire_text(name)}};
  if (link->hello_sent || send_wire(link, &wire) != LCIP_TRANSPORT_OK)
    return FALSE;
  link->hello_sent = TRUE;
  return TRUE;
}

/* ---- heartbeat, clock and calibration ---- */

static gboolean send_ping(LcipLink *link, gsize padding_bytes) {
  static const guint8 padding[LCIP_WIRE_PART_BYTES];
  const LcipWire wire = {.type = LCIP_WIRE_PING,
                         .ping = {.ping_ns = lcip_now_ns()},
                         .payload = padding,
                         .payload_bytes = padding_bytes};
  return send_wire(link, &wire) == LCIP_TRANSPORT_OK;
}

static gboolean heartbeat(LcipLink *link, gint64 now_ns) {
  if (now_ns < link->next_ping_ns)
    return FALSE;
  link->next_ping_ns = now_ns + LCIP_LINK_HEARTBEAT_NS;
  return send_ping(link, 0);
}

/* The difference of the clocks is best known from the quickest round trip (Mills, RFC 5905); old
 * ones are forgotten because clocks drift. */
static void learn_clock(LcipLink *link, const LcipWirePing *pong, gint64 now_ns) {
  LinkClock *clock = &link->clock;
  const gint64 round_ns = (now_ns - pong->ping_ns) - (pong->pong_ns - pong->received_ns);
  const gint64 offset_ns = ((pong->received_ns - pong->ping_ns) + (pong->pong_ns - now_ns)) / 2;
  if (round_ns < 0)
    return;
  clock->samples[clock->n++ % LINK_CLOCK_SAMPLES] = (LinkClockSample){round_ns, offset_ns};
  const guint n = MIN(clock->n, LINK_CLOCK_SAMPLES);
  LinkClockSample best = clock->samples[0];
  for (guint i = 1; i < n; i++)
    if (clock->samples[i].round_ns < best.round_ns)
      best = clock->samples[i];
  clock->offset_ns = best.offset_ns;
  g_mutex_lock(&link->mutex);
  link->status.latency_ns = MAX(best.round_ns / 2, 1);
  g_mutex_unlock(&link->mutex);
}

static void set_bandwidth(LcipLink *link, double bytes_per_second) {
  g_mutex_lock(&link->mutex);
  link->status.bytes_per_second = bytes_per_second;
  g_mutex_unlock(&link->mutex);
}

/* Small pings first: the latency, and whether there is time for larger ones. Then two padded ones
 * in a row at a time; the worker's times of receiving them tell how fast bytes come through. */
static gboolean calibrate(LcipLink *link) {
  LinkCalibration *c = &link->calibration;
  if (c->is_done || c->n_sent - c->n_answered >= 2)
    return FALSE;
  const gsize padding = c->n_sent < LINK_SMALL_PINGS       ? 0
                        : c->n_sent < LINK_SMALL_PINGS + 2 ? LINK_PROBE_BYTES
                                                           : LCIP_WIRE_PART_BYTES;
  if (c->n_sent == LINK_ALL_PINGS || !send_ping(link, padding))
    return FALSE;
  c->n_sent++;
  return TRUE;
}

static void finish_calibration(LcipLink *link) {
  const LcipLinkFigures figures = {link->status.latency_ns, link->status.bytes_per_second};
  link->calibration.is_done = TRUE;
  lcip_link_figures_set(link->address, &figures);
  set_state(link, LCIP_LINK_DEPLOYING);
  link->progress_ns = link->state_ns;
}

static void on_calibration_pong(LcipLink *link, const LcipWirePing *pong, gint64 now_ns) {
  LinkCalibration *c = &link->calibration;
  c->n_answered++;
  if (pong->padding_bytes > 0) {
    if (pong->padding_bytes == c->bytes_each && pong->received_ns > c->last_received_ns)
      set_bandwidth(link, (double)pong->padding_bytes * 1e9 /
                              (double)(pong->received_ns - c->last_received_ns));
    c->bytes_each = pong->padding_bytes;
    c->last_received_ns = pong->received_ns;
  }
  const gboolean is_slow = c->n_answered == LINK_SMALL_PINGS + 2 &&
                           link->status.bytes_per_second < LINK_FAST_BYTES_PER_SECOND;
  if (c->n_answered == LINK_ALL_PINGS || is_slow ||
      now_ns - link->state_ns > LCIP_LINK_CALIBRATE_NS)
    finish_calibration(link);
}

static void on_pong(LcipLink *link, const LcipWirePing *pong, gint64 now_ns) {
  if (pong->ping_ns == 0)
    return; /* a sign of life */
  if (pong->padding_bytes == 0)
    learn_clock(link, pong, now_ns);
  if (link->state == LCIP_LINK_CONNECTING && link->welcomed)
    on_calibration_pong(link, pong, now_ns);
}

/* ---- what the worker sends ---- */

static void on_welcome(LcipLink *link, const LcipWireWelcome *welcome) {
  g_autofree char *name = lcip_wire_text_dup(&welcome->name);
  g_autofree char *features = lcip_wire_text_dup(&welcome->features);
  set_text(link, &link->status.worker, name);
  set_text(link, &link->status.features, features);
  link->welcomed = TRUE;
  link->state_ns = lcip_now_ns();
}

static void on_error(LcipLink *link, const LcipWireError *error) {
  g_autofree char *message = lcip_wire_text_dup(&error->message);
  lose(link, "%s: %s", link->address, message);
}

static void all_ready(LcipLink *link) {
  for (guint i = 0; i < link->parts->len; i++)
    if (!((LinkPart *)link->parts->pdata[i])->is_ready)
      return;
  set_state(link, LCIP_LINK_READY);
  link->funcs.ready(link->data);
}

static LinkPart *find_part(LcipLink *link, guint32 session) {
  for (guint i = 0; i < link->parts->len; i++) {
    LinkPart *part = link->parts->pdata[i];
    if (part->session == session)
      return part;
  }
  return NULL;
}

static gboolean on_session_message(LcipLink *link, const LcipWire *wire, GError **error) {
  LinkPart *part = find_part(link, wire->session);
  if (!part) {
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_PROTOCOL,
                "%s: a session that there is not", lcip_wire_type_name(wire->type));
    return FALSE;
  }
  link->progress_ns = link->heard_ns;
  switch (wire->type) {
  case LCIP_WIRE_NEED:
    return lcip_link_part_need(part, wire, error);
  case LCIP_WIRE_READY:
    if (!lcip_link_part_ready(part, wire, error))
      return FALSE;
    all_ready(link);
    return TRUE;
  case LCIP_WIRE_RESULT:
    return lcip_link_part_result(link, part, wire, error);
  default:
    return lcip_link_part_part(link, part, wire, error);
  }
}

static gboolean on_message(LcipLink *link, const LcipWire *wire, GError **error) {
  switch (wire->type) {
  case LCIP_WIRE_WELCOME:
    on_welcome(link, &wire->welcome);
    return TRUE;
  case LCIP_WIRE_PONG:
    on_pong(link, &wire->ping, link->heard_ns);
    return TRUE;
  case LCIP_WIRE_ERROR:
    on_error(link, &wire->error);
    return TRUE;
  case LCIP_WIRE_BYE:
    lose(link, "%s: the worker ended", link->address);
    return TRUE;
  case LCIP_WIRE_NEED:
  case LCIP_WIRE_READY:
  case LCIP_WIRE_RESULT:
  case LCIP_WIRE_PART:
    return on_session_message(link, wire, error);
  default:
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_PROTOCOL,
                "%s: a worker does not send this", lcip_wire_type_name(wire->type));
    return FALSE;
  }
}

static gboolean receive_one(LcipLink *link) {
  g_autoptr(GError) error = NULL;
  LcipPeer peer;
  const guint8 *data;
  gsize size;
  LcipWire wire;
  const LcipTransportResult result =
      lcip_transport_receive(link->transport, &peer, &data, &size, &error);
  if (result == LCIP_TRANSPORT_AGAIN)
    return FALSE;
  link->heard_ns = lcip_now_ns();
  if (result != LCIP_TRANSPORT_OK || !lcip_wire_decode(data, size, &wire, &error) ||
      !on_message(link, &wire, &error))
    lcip_link_lose(link, error->message);
  return TRUE;
}

/* ---- sending ---- */

static gboolean send_frames(LcipLink *link) {
  g_autoptr(GError) error = NULL;
  gboolean sent = FALSE;
  for (LinkFlight *flight; (flight = g_queue_peek_head(&link->to_send));) {
    gboolean is_done = FALSE;
    const LcipTransportResult result = lcip_frame_sender_step(&flight->sender, link->transport, 0,
                                                              link->scratch, &is_done, &error);
    if (result == LCIP_TRANSPORT_LOST)
      lcip_link_lose(link, error->message);
    if (result != LCIP_TRANSPORT_OK)
      return sent || result == LCIP_TRANSPORT_LOST;
    sent = TRUE;
    if (is_done) {
      lcip_stream_clear(&flight->sender.stream);
      g_queue_pop_head(&link->to_send);
    }
    if (lcip_now_ns() >= link->next_ping_ns)
      return TRUE; /* the heartbeat gets in between */
  }
  return sent;
}

static gboolean send_deploy(LcipLink *link) {
  gboolean sent = FALSE;
  for (guint i = 0; i < link->parts->len && link->state == LCIP_LINK_DEPLOYING; i++) {
    g_autoptr(GError) error = NULL;
    const LcipTransportResult result = lcip_link_part_deploy(link, link->parts->pdata[i], &error);
    if (result == LCIP_TRANSPORT_LOST)
      lcip_link_lose(link, error->message);
    if (result == LCIP_TRANSPORT_OK) {
      link->progress_ns = lcip_now_ns();
      sent = TRUE;
    }
  }
  return sent;
}

static gboolean send_some(LcipLink *link) {
  switch (link->state) {
  case LCIP_LINK_CONNECTING:
    return link->welcomed ? calibrate(link) : say_hello(link);
  case LCIP_LINK_DEPLOYING:
    return send_deploy(link);
  case LCIP_LINK_READY:
    return send_frames(link);
  case LCIP_LINK_OFFLINE:
  default:
    return FALSE;
  }
}

/* ---- limits in time ---- */

static const LinkFlight *oldest_flight(const LcipLink *link) {
  const LinkFlight *oldest = NULL;
  for (guint i = 0; i < link->parts->len; i++) {
    const LinkFlight *flight = g_queue_peek_head(&((LinkPart *)link->parts->pdata[i])->flights);
    if (flight && (!oldest || flight->sent_ns < oldest->sent_ns))
      oldest = flight;
  }
  return oldest;
}

static void check_time(LcipLink *link, gint64 now_ns) {
  const LinkFlight *oldest = oldest_flight(link);
  if (link->state == LCIP_LINK_CONNECTING && now_ns - link->state_ns > LCIP_LINK_CONNECT_NS)
    lose(link, "%s: no answer in %.1f s", link->address, (double)LCIP_LINK_CONNECT_NS / 1e9);
  else if (link->state == LCIP_LINK_DEPLOYING && now_ns - link->progress_ns > LCIP_LINK_DEPLOY_NS)
    lose(link, "%s: the worker did not get ready in %.0f s", link->address,
         (double)LCIP_LINK_DEPLOY_NS / 1e9);
  else if (link->state >= LCIP_LINK_DEPLOYING && now_ns - link->heard_ns > LCIP_LINK_SILENCE_NS)
    lose(link, "%s: nothing heard for %.1f s", link->address, (double)LCIP_LINK_SILENCE_NS / 1e9);
  else if (oldest && now_ns - oldest->sent_ns > link->deadline_ns)
    lose(link, "%s: frame %" G_GUINT64_FORMAT " was not answered in %g s", link->address,
         oldest->frame, (double)link->deadline_ns / 1e9);
}

static gint64 next_time(const LcipLink *link) {
  const LinkFlight *oldest = oldest_flight(link);
  if (link->state == LCIP_LINK_OFFLINE)
    return link->next_retry_ns;
  if (link->state == LCIP_LINK_CONNECTING)
    return link->state_ns + LCIP_LINK_CONNECT_NS;
  gint64 next_ns = MIN(link->next_ping_ns, link->heard_ns + LCIP_LINK_SILENCE_NS);
  if (oldest)
    next_ns = MIN(next_ns, oldest->sent_ns + link->deadline_ns);
  return next_ns;
}

/* ---- the caller's functions ---- */

/* All that has come is taken before the clock is looked at: where this thread itself was held up,
 * the worker is not to blame. */
gboolean lcip_link_work(LcipLink *link) {
  gboolean worked = FALSE;
  if (link->state == LCIP_LINK_OFFLINE)
    return lcip_now_ns() >= link->next_retry_ns && try_connect(link);
  while (link->state != LCIP_LINK_OFFLINE && receive_one(link))
    worked = TRUE;
  const gint64 now_ns = lcip_now_ns();
  if (link->state >= LCIP_LINK_DEPLOYING)
    worked |= heartbeat(link, now_ns);
  worked |= send_some(link);
  check_time(link, now_ns);
  return worked;
}

void lcip_link_wait(LcipLink *link, int fd, gint64 until_ns) {
  const gint64 timeout_ns = MIN(until_ns, next_time(link)) - lcip_now_ns();
  if (link->transport) {
    const gboolean has_more = link->state == LCIP_LINK_DEPLOYING
                                  ? lcip_link_has_to_deploy(link)
                                  : !g_queue_is_empty(&link->to_send) || !link->hello_sent;
    lcip_transport_wait(link->transport, has_more ? LCIP_WAIT_READ_WRITE : LCIP_WAIT_READ, fd,
                        timeout_ns);
    return;
  }
  GPollFD poll_fd = {.fd = fd, .events = G_IO_IN};
  const gint64 ms = (MAX(timeout_ns, 0) + 999999) / 1000000;
  g_poll(&poll_fd, fd >= 0 ? 1 : 0, (gint)MIN(ms, G_MAXINT));
}

void lcip_link_set_cancellable(LcipLink *link, GCancellable *cancellable) {
  link->cancellable = cancellable;
}

LcipLinkState lcip_link_state(const LcipLink *link) {
  return link->state;
}

gboolean lcip_link_can_send(const LcipLink *link, guint index) {
  const LinkPart *part = link->parts->pdata[index];
  return link->state == LCIP_LINK_READY && part->flights.length < part->credits;
}

void lcip_link_send(LcipLink *link, guint part, guint64 frame, const LcipLinkInput *inputs) {
  g_autoptr(GError) error = NULL;
  LinkFlight *flight =
      lcip_link_part_new_flight(link, link->parts->pdata[part], frame, inputs, &error);
  if (!flight) {
    lcip_link_lose(link, error->message);
    return;
  }
  g_queue_push_tail(&link->to_send, flight);
  g_mutex_lock(&link->mutex);
  link->status.frames_sent++;
  g_mutex_unlock(&link->mutex);
  send_frames(link);
}

void lcip_link_count_result(LcipLink *link) {
  link->retry_ns = 0; /* it works: the next loss starts with a short pause again */
  g_mutex_lock(&link->mutex);
  link->status.results++;
  g_mutex_unlock(&link->mutex);
}

/* ---- life ---- */

LcipLink *lcip_link_new(const LcipLinkOptions *options, const LcipLinkFuncs *funcs, gpointer data) {
  LcipLink *link = g_new0(LcipLink, 1);
  link->address = g_strdup(options->address);
  link->device = g_strdup(options->device);
  link->threads = options->threads;
  link->credits = MAX(options->credits, 1);
  link->flags = (options->pinned ? LCIP_DEPLOY_PINNED : 0) | (options->f16 ? LCIP_DEPLOY_F16 : 0);
  link->deadline_ns = options->deadline_ns ? options->deadline_ns : LCIP_LINK_DEADLINE_NS;
  link->funcs = *funcs;
  link->data = data;
  link->parts = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_link_part_free);
  link->scratch = g_byte_array_new();
  link->status.address = g_strdup(options->address);
  g_queue_init(&link->to_send);
  g_mutex_init(&link->mutex);
  return link;
}

/* A goodbye, so that the worker need not wait for silence. */
void lcip_link_close(LcipLink *link) {
  if (link->transport && link->welcomed) {
    const LcipWire bye = {.type = LCIP_WIRE_BYE};
    lcip_wire_send(link->transport, 0, &bye, link->scratch, NULL);
  }
  drop_connection(link);
  set_state(link, LCIP_LINK_OFFLINE);
}

void lcip_link_free(LcipLink *link) {
  lcip_link_close(link);
  g_ptr_array_unref(link->parts);
  g_byte_array_unref(link->scratch);
  lcip_link_status_clear(&link->status);
  g_mutex_clear(&link->mutex);
  g_free(link->address);
  g_free(link->device);
  g_free(link);
}

guint lcip_link_add_part(LcipLink *link, LcipGraph *graph) {
  g_ptr_array_add(link->parts, lcip_link_part_new(graph, link->parts->len + 1));
  return link->parts->len - 1;
}
