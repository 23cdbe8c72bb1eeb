#include "config.h"
#include "lcip-sweep-private.h"

#include "lcip-profiler-private.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* How long a thread spins until others have done the last parts for it, before it parks. */
#define SPIN_NS 30000
/* After so many waits in vain there are none for FIRST_REST firings, twice as many each time that
 * this happens again, up to MOST_REST. */
#define MOST_IN_VAIN 8
#define FIRST_REST 64
#define MOST_REST 4096

/* COMING: in a firing that has not come to the step. READY: at it, for companions. HERE: parts are
 * done for it. */
typedef enum { SEAT_AWAY, SEAT_COMING, SEAT_READY, SEAT_WAITING, SEAT_HERE } SeatState;

typedef struct {
  SeatState state;
  gint64 origin_ns, arrived_ns, period_ns;
  guint in_vain, rest, next_rest; /* waits; firings without */
  guint n_left;                   /* parts that nobody has claimed for it */
  gboolean met;                   /* in this firing */
  gint64 began_ns;                /* with the first part */
  gboolean parked;
  guint64 help_until;      /* the claim up to which its threads help others once it is done */
  _Atomic guint n_running; /* parts claimed for it and not done; changed under the mutex */
  gpointer job;
} Seat;

struct _LcipSweep {
  const LcipKernelSweep *kernel; /* borrowed */
  guint n_streams, n_together;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  /* under mutex */
  guint n_parts, next; /* 0 before the first firing; the part to be claimed next */
  guint64 n_claimed, n_shared;
  gint64 part_ns; /* what a part takes, a running mean */
  Seat *seats;
};

LcipSweep *lcip_sweep_new(const LcipKernelSweep *kernel, guint n_streams, guint n_together) {
  LcipSweep *sweep = g_new0(LcipSweep, 1);
  pthread_condattr_t monotonic;
  sweep->kernel = kernel;
  sweep->n_streams = n_streams;
  sweep->n_together = n_together;
  sweep->seats = g_new0(Seat, n_streams);
  for (guint i = 0; i < n_streams; i++)
    sweep->seats[i].job = g_malloc0(kernel->job_bytes);
  pthread_mutex_init(&sweep->mutex, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&sweep->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  return sweep;
}

void lcip_sweep_free(LcipSweep *sweep) {
  if (!sweep)
    return;
  pthread_cond_destroy(&sweep->changed);
  pthread_mutex_destroy(&sweep->mutex);
  for (guint i = 0; i < sweep->n_streams; i++)
    g_free(sweep->seats[i].job);
  g_free(sweep->seats);
  g_free(sweep);
}

/* ---- bringing streams closer ---- */

void lcip_sweep_expect(LcipSweep *sweep, guint stream, gint64 origin_ns) {
  Seat *seat = &sweep->seats[stream];
  pthread_mutex_lock(&sweep->mutex);
  seat->state = SEAT_COMING;
  seat->origin_ns = origin_ns;
  pthread_mutex_unlock(&sweep->mutex);
}

/* Who waits for this stream looks again. */
void lcip_sweep_forget(LcipSweep *sweep, guint stream) {
  pthread_mutex_lock(&sweep->mutex);
  if (sweep->seats[stream].state == SEAT_COMING)
    pthread_cond_broadcast(&sweep->changed);
  sweep->seats[stream].state = SEAT_AWAY;
  pthread_mutex_unlock(&sweep->mutex);
}

static gint64 alone_ns(const LcipSweep *sweep) {
  return sweep->part_ns * sweep->n_parts;
}

static gboolean others_are_here(const LcipSweep *sweep, guint stream) {
  for (guint i = 0; i < sweep->n_streams; i++)
    if (i != stream && sweep->seats[i].state >= SEAT_WAITING)
      return TRUE;
  return FALSE;
}

/* How much later than @stream the next one comes, all taking the same time to the step: -1 when
 * none is on its way. */
static gint64 next_lag(const LcipSweep *sweep, guint stream) {
  gint64 least = -1;
  for (guint i = 0; i < sweep->n_streams; i++) {
    const Seat *seat = &sweep->seats[i];
    if (i == stream || seat->state != SEAT_COMING)
      continue;
    const gint64 lag = MAX(seat->origin_ns - sweep->seats[stream].origin_ns, 0);
    least = least < 0 ? lag : MIN(least, lag);
  }
  return least;
}

/* Who comes within the step's own time joins in any case. Of two streams that are further apart the
 * one waits that is the shorter while ahead: when both did, they would stay as they are. */
static gboolean is_worth_waiting(const LcipSweep *sweep, guint stream) {
  const Seat *seat = &sweep->seats[stream];
  const gint64 lag = next_lag(sweep, stream);
  return !others_are_here(sweep, stream) && lag > alone_ns(sweep) * 3 / 4 &&
         lag <= seat->period_ns / 2;
}

static gboolean is_resting(Seat *seat) {
  if (seat->rest == 0)
    return FALSE;
  seat->rest--;
  return TRUE;
}

gint64 lcip_sweep_arrive(LcipSweep *sweep, guint stream, gint64 now_ns) {
  Seat *seat = &sweep->seats[stream];
  gint64 until_ns = 0;
  pthread_mutex_lock(&sweep->mutex);
  seat->period_ns = seat->arrived_ns ? now_ns - seat->arrived_ns : 0;
  seat->arrived_ns = now_ns;
  if (seat->state == SEAT_COMING && is_worth_waiting(sweep, stream) && !is_resting(seat)) {
    seat->state = SEAT_WAITING;
    until_ns = now_ns + alone_ns(sweep) / 2;
  }
  pthread_mutex_unlock(&sweep->mutex);
  return until_ns;
}

void lcip_sweep_wait(LcipSweep *sweep, guint stream, gint64 until_ns) {
  Seat *seat = &sweep->seats[stream];
  const struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
  int result = 0;
  pthread_mutex_lock(&sweep->mutex);
  const gint64 begin_ns = lcip_now_ns();
  while (result == 0 && !others_are_here(sweep, stream) && next_lag(sweep, stream) >= 0)
    result = pthread_cond_timedwait(&sweep->changed, &sweep->mutex, &until);
  seat->origin_ns += lcip_now_ns() - begin_ns;
  if (++seat->in_vain >= MOST_IN_VAIN) {
    seat->next_rest = seat->next_rest ? MIN(2 * seat->next_rest, MOST_REST) : FIRST_REST;
    seat->rest = seat->next_rest;
    seat->in_vain = 0;
  }
  pthread_mutex_unlock(&sweep->mutex);
}

/* ---- parts ---- */

/* Part: claimed by a thread for the seats in @streams, whose jobs are @jobs. */
typedef struct {
  guint part, n;
  guint *streams;
  gconstpointer *jobs;
} Claim;

/* When @seat has been around, its threads go on for as long as others at the step need now. */
static void begin_to_help(LcipSweep *sweep, Seat *seat) {
  guint most = 0;
  for (guint i = 0; i < sweep->n_streams; i++)
    most = MAX(most, sweep->seats[i].n_left);
  seat->help_until = sweep->n_claimed + most;
}

static void take_part(LcipSweep *sweep, guint stream, Claim *claim) {
  Seat *seat = &sweep->seats[stream];
  seat->n_left--;
  atomic_fetch_add(&seat->n_running, 1);
  claim->streams[claim->n] = stream;
  claim->jobs[claim->n++] = seat->job;
}

/* Those that are here leave at about the same time, as if they had begun together. */
static void note_meeting(LcipSweep *sweep, const Claim *claim) {
  gint64 latest_ns = 0;
  for (guint i = 0; i < claim->n; i++)
    latest_ns = MAX(latest_ns, sweep->seats[claim->streams[i]].origin_ns);
  for (guint i = 0; i < claim->n; i++) {
    sweep->seats[claim->streams[i]].met = TRUE;
    sweep->seats[claim->streams[i]].origin_ns = latest_ns;
  }
  sweep->n_shared++;
}

/* For a thread of @stream. FALSE: there is nothing left that it should do. */
static gboolean claim_part(LcipSweep *sweep, guint stream, Claim *claim) {
  Seat *own = &sweep->seats[stream];
  if (own->n_left == 0 && sweep->n_claimed >= own->help_until)
    return FALSE;
  claim->n = 0;
  claim->part = sweep->next;
  for (guint i = 0; i < sweep->n_streams; i++)
    if (sweep->seats[i].n_left > 0)
      take_part(sweep, i, claim);
  if (claim->n == 0)
    return FALSE;
  if (claim->n > 1)
    note_meeting(sweep, claim);
  sweep->next = (sweep->next + 1) % sweep->n_parts;
  sweep->n_claimed++;
  for (guint i = 0; i < claim->n; i++)
    if (sweep->seats[claim->streams[i]].n_left == 0)
      begin_to_help(sweep, &sweep->seats[claim->streams[i]]);
  return TRUE;
}

static void finish_part(LcipSweep *sweep, const Claim *claim, gint64 took_ns) {
  sweep->part_ns = sweep->part_ns ? (7 * sweep->part_ns + took_ns) / 8 : took_ns;
  for (guint i = 0; i < claim->n; i++) {
    Seat *seat = &sweep->seats[claim->streams[i]];
    if (atomic_fetch_sub(&seat->n_running, 1) == 1 && seat->parked && seat->n_left == 0)
      pthread_cond_broadcast(&sweep->changed);
  }
}

typedef struct {
  LcipSweep *sweep;
  guint stream;
} Work;

/* One of the lane's threads: claims and does parts until there are none for it. */
static void work_on_parts(gpointer data, guint chunk, guint worker) {
  const Work *work = data;
  LcipSweep *sweep = work->sweep;
  Claim claim = {.streams = g_newa(guint, sweep->n_streams),
                 .jobs = g_newa(gconstpointer, sweep->n_streams)};
  pthread_mutex_lock(&sweep->mutex);
  while (claim_part(sweep, work->stream, &claim)) {
    pthread_mutex_unlock(&sweep->mutex);
    const gint64 begin_ns = lcip_now_ns();
    sweep->kernel->run(claim.jobs, claim.n, claim.part);
    const gint64 took_ns = lcip_now_ns() - begin_ns;
    pthread_mutex_lock(&sweep->mutex);
    finish_part(sweep, &claim, took_ns);
  }
  pthread_mutex_unlock(&sweep->mutex);
}

/* ---- companions ---- */

static gboolean are_companions(const LcipSweep *sweep, guint a, guint b) {
  return a != b && a / sweep->n_together == b / sweep->n_together;
}

static gboolean companions_come(const LcipSweep *sweep, guint stream) {
  for (guint i = 0; i < sweep->n_streams; i++)
    if (are_companions(sweep, i, stream) && sweep->seats[i].state == SEAT_COMING)
      return TRUE;
  return FALSE;
}

gboolean lcip_sweep_must_wait(LcipSweep *sweep, guint stream) {
  pthread_mutex_lock(&sweep->mutex);
  const gboolean must = sweep->seats[stream].state == SEAT_READY && companions_come(sweep, stream);
  pthread_mutex_unlock(&sweep->mutex);
  return must;
}

/* ---- a firing ---- */

static gboolean is_done_soon(Seat *seat) {
  const gint64 end_ns = lcip_now_ns() + SPIN_NS;
  do {
    if (atomic_load(&seat->n_running) == 0)
      return TRUE;
  } while (lcip_now_ns() < end_ns);
  return FALSE;
}

/* Until other threads have done what they have claimed, or a companion all of it: they wait for
 * nothing meanwhile. */
static void wait_for_parts(LcipSweep *sweep, Seat *seat) {
  pthread_mutex_lock(&sweep->mutex);
  seat->parked = TRUE;
  while (seat->n_left > 0 || atomic_load(&seat->n_running) > 0)
    pthread_cond_wait(&sweep->changed, &sweep->mutex);
  seat->parked = FALSE;
  pthread_mutex_unlock(&sweep->mutex);
}

static void take_seat(LcipSweep *sweep, Seat *seat) {
  seat->state = SEAT_HERE;
  seat->n_left = sweep->n_parts;
  seat->met = FALSE;
  seat->began_ns = lcip_now_ns();
}

/* For the stream and those companions that are ready. FALSE: one of them has led it. */
static gboolean take_seats(LcipSweep *sweep, guint stream) {
  Seat *seat = &sweep->seats[stream];
  pthread_mutex_lock(&sweep->mutex);
  const gboolean leads = seat->state == SEAT_READY;
  for (guint i = 0; leads && i < sweep->n_streams; i++)
    if (are_companions(sweep, i, stream) && sweep->seats[i].state == SEAT_READY)
      take_seat(sweep, &sweep->seats[i]);
  if (leads) {
    take_seat(sweep, seat);
    pthread_cond_broadcast(&sweep->changed);
  }
  pthread_mutex_unlock(&sweep->mutex);
  return leads;
}

static void leave_seat(LcipSweep *sweep, Seat *seat, gint64 *origin_ns) {
  pthread_mutex_lock(&sweep->mutex);
  seat->state = SEAT_AWAY;
  if (seat->met)
    seat->in_vain = seat->rest = seat->next_rest = 0;
  *origin_ns = seat->origin_ns;
  pthread_mutex_unlock(&sweep->mutex);
}

gboolean lcip_sweep_begin(LcipSweep *sweep, guint stream, const LcipCall *call, LcipTeam *team,
                          GError **error) {
  guint n_parts = 0;
  if (!sweep->kernel->begin(call, sweep->seats[stream].job, team, &n_parts, error))
    return FALSE;
  pthread_mutex_lock(&sweep->mutex);
  sweep->n_parts = n_parts;
  sweep->seats[stream].state = SEAT_READY;
  pthread_mutex_unlock(&sweep->mutex);
  return TRUE;
}

gint64 lcip_sweep_run(LcipSweep *sweep, guint stream, LcipTeam *team, gint64 *origin_ns) {
  Seat *seat = &sweep->seats[stream];
  Work work = {sweep, stream};
  const gboolean leads = take_seats(sweep, stream);
  if (leads)
    lcip_team_run(team, lcip_team_size(team), work_on_parts, &work);
  if (!leads || !is_done_soon(seat))
    wait_for_parts(sweep, seat);
  const gint64 began_ns = seat->began_ns;
  leave_seat(sweep, seat, origin_ns);
  if (sweep->kernel->end)
    sweep->kernel->end(seat->job, team);
  return began_ns;
}

guint64 lcip_sweep_n_shared(LcipSweep *sweep) {
  pthread_mutex_lock(&sweep->mutex);
  const guint64 n = sweep->n_shared;
  pthread_mutex_unlock(&sweep->mutex);
  return n;
}
