#include "config.h"
#include "lcip-team.h"

#include "lcip-cpu.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* How long a thread without work spins before it parks. */
#define SPIN_US 30
/* Pauses between two looks at the clock. */
#define PAUSES_PER_LOOK 32
/* A helper that lost its processor to another program keeps the chunk that it has claimed until it
 * is scheduled again, milliseconds later. When the caller has had to wait this long, and more than
 * twice its own longest chunk, it works alone for a while: LEAST_ALONE_US, twice as long each time
 * that the next try ends so, up to MOST_ALONE_US. FORGET_US without such a wait, and it begins
 * anew. */
#define STALL_US 300
#define LEAST_ALONE_US 20000
#define MOST_ALONE_US 1000000
#define FORGET_US 3000000

/* Each thread has a range of a job's chunks, which it does from the first one on, and then helps
 * others from the last one on. So what one step leaves in a processor's cache is mostly what the
 * same processor reads in the next: half of it would come from another one's if chunks went to
 * whoever asks.
 *
 * The whole state of a range that threads race for is one 64-bit ticket: job number, units claimed
 * from the front, units not yet claimed. A late helper that holds an old ticket fails its
 * compare-and-swap and so can never touch a job that is over; func, data and n_chunks are read
 * after a claim alone, and they cannot change before the claimed chunk is done. A unit is one
 * chunk, or several where there are more of them than a ticket counts. */
#define MOST_UNITS G_MAXUINT16
typedef struct {
  _Alignas(64) _Atomic guint64 ticket;
} TeamRange;

struct _LcipTeam {
  guint size, n_threads; /* that run; that there may be */
  /* owned */
  pthread_t *threads;
  struct TeamHelper {
    LcipTeam *team;
    guint worker;
  } * helpers;
  pthread_mutex_t lock;
  pthread_cond_t work_cond;
  pthread_cond_t done_cond;
  /* shared */
  TeamRange *ranges; /* one for each thread that there may be */
  _Atomic guint job;
  _Atomic guint done;
  _Atomic guint parked;
  _Atomic gboolean caller_parked;
  _Atomic gboolean stop;
  /* the job: borrowed */
  LcipTeamFunc func;
  gpointer data;
  guint n_chunks, n_units, n_ranges;
  /* the caller's own */
  gint64 longest_us;
  gint64 alone_us;
  gint64 alone_until_us;
  gint64 stalled_us;
};

static inline void cpu_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static guint64 ticket_of(guint job, guint taken, guint left) {
  return (guint64)job << 32 | (guint64)taken << 16 | left;
}

static guint first_unit(const LcipTeam *team, guint range) {
  return (guint)((guint64)team->n_units * range / team->n_ranges);
}

/* Of @range, from its front or its back. FALSE where none is left. */
static gboolean claim_unit(LcipTeam *team, guint range, gboolean front, guint *unit) {
  _Atomic guint64 *at = &team->ranges[range].ticket;
  guint64 ticket = atomic_load(at);
  while ((guint16)ticket > 0) {
    const guint job = (guint)(ticket >> 32), taken = (guint16)(ticket >> 16);
    const guint left = (guint16)ticket - 1;
    if (!atomic_compare_exchange_weak(at, &ticket, ticket_of(job, front ? taken + 1 : taken, left)))
      continue;
    *unit = first_unit(team, range) + (front ? taken : taken + left);
    return TRUE;
  }
  return FALSE;
}

/* Returns how many chunks it did. */
static guint do_unit(LcipTeam *team, guint unit, guint worker) {
  const guint first = (guint)((guint64)team->n_chunks * unit / team->n_units);
  const guint end = (guint)((guint64)team->n_chunks * (unit + 1) / team->n_units);
  for (guint i = first; i < end; i++)
    team->func(team->data, i, worker);
  return end - first;
}

static void do_range(LcipTeam *team, guint range, guint worker) {
  if ((guint16)atomic_load(&team->ranges[range].ticket) == 0)
    return; /* before the clock is asked */
  gint64 begin_us = worker == 0 ? g_get_monotonic_time() : 0;
  guint unit;
  while (claim_unit(team, range, range == worker, &unit)) {
    const guint n_chunks = team->n_chunks;
    const guint n = do_unit(team, unit, worker);
    if (worker == 0) {
      const gint64 now_us = g_get_monotonic_time();
      team->longest_us = MAX(team->longest_us, now_us - begin_us);
      begin_us = now_us;
    }
    const gboolean last = atomic_fetch_add(&team->done, n) + n == n_chunks;
    if (last && atomic_load(&team->caller_parked)) {
      pthread_mutex_lock(&team->lock);
      pthread_cond_signal(&team->done_cond);
      pthread_mutex_unlock(&team->lock);
    }
  }
}

/* Claims and does chunks until none is left. Returns the newest job that it has seen all of. */
static guint team_work(LcipTeam *team, guint worker) {
  const guint job = atomic_load(&team->job);
  for (guint i = 0; i < team->n_threads; i++)
    do_range(team, (worker + i) % team->n_threads, worker);
  return job;
}

static gboolean spin_for_job(LcipTeam *team, guint seen) {
  const gint64 end = g_get_monotonic_time() + SPIN_US;
  do {
    for (int i = 0; i < PAUSES_PER_LOOK; i++) {
      if (atomic_load_explicit(&team->job, memory_order_relaxed) != seen)
        return TRUE;
      cpu_pause();
    }
  } while (g_get_monotonic_time() < end);
  return FALSE;
}

static void park_for_job(LcipTeam *team, guint seen) {
  pthread_mutex_lock(&team->lock);
  atomic_fetch_add(&team->parked, 1);
  while (atomic_load(&team->job) == seen && !atomic_load(&team->stop))
    pthread_cond_wait(&team->work_cond, &team->lock);
  atomic_fetch_sub(&team->parked, 1);
  pthread_mutex_unlock(&team->lock);
}

static void *helper_main(void *data) {
  struct TeamHelper *helper = data;
  LcipTeam *team = helper->team;
  while (!atomic_load(&team->stop)) {
    const guint seen = team_work(team, helper->worker);
    if (!spin_for_job(team, seen))
      park_for_job(team, seen);
  }
  return NULL;
}

/* Helpers take no signals: those belong to the program's own threads. */
static void start_helpers(LcipTeam *team, guint n_helpers) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  for (guint i = 0; i < n_helpers; i++) {
    team->helpers[i] = (struct TeamHelper){team, i + 1};
    if (pthread_create(&team->threads[i], NULL, helper_main, &team->helpers[i]) != 0)
      break;
    team->size++;
  }
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

LcipTeam *lcip_team_new(guint n_threads) {
  LcipTeam *team = g_new0(LcipTeam, 1);
  const guint wanted = MAX(1u, n_threads > 0 ? n_threads : lcip_cpu_count());
  team->threads = g_new0(pthread_t, wanted);
  team->helpers = g_new0(struct TeamHelper, wanted);
  pthread_mutex_init(&team->lock, NULL);
  pthread_cond_init(&team->work_cond, NULL);
  pthread_cond_init(&team->done_cond, NULL);
  team->ranges = g_aligned_alloc0(wanted, sizeof(TeamRange), 64);
  team->size = 1;
  team->n_threads = wanted;
  start_helpers(team, wanted - 1);
  return team;
}

void lcip_team_free(LcipTeam *team) {
  if (!team)
    return;
  atomic_store(&team->stop, TRUE);
  pthread_mutex_lock(&team->lock);
  pthread_cond_broadcast(&team->work_cond);
  pthread_mutex_unlock(&team->lock);
  for (guint i = 0; i + 1 < team->size; i++)
    pthread_join(team->threads[i], NULL);
  pthread_cond_destroy(&team->done_cond);
  pthread_cond_destroy(&team->work_cond);
  pthread_mutex_destroy(&team->lock);
  g_aligned_free(team->ranges);
  g_free(team->helpers);
  g_free(team->threads);
  g_free(team);
}

guint lcip_team_size(const LcipTeam *team) {
  return team && !team->alone_until_us ? team->size : 1;
}

static void publish_job(LcipTeam *team, guint n_chunks) {
  const guint job = atomic_load(&team->job) + 1;
  team->n_chunks = n_chunks;
  team->n_ranges = team->size;
  team->n_units = MIN(n_chunks, MOST_UNITS);
  atomic_store(&team->done, 0);
  for (guint i = 0; i < team->n_ranges; i++)
    atomic_store(&team->ranges[i].ticket,
                 ticket_of(job, 0, first_unit(team, i + 1) - first_unit(team, i)));
  atomic_store(&team->job, job);
  if (atomic_load(&team->parked) == 0)
    return;
  pthread_mutex_lock(&team->lock);
  pthread_cond_broadcast(&team->work_cond);
  pthread_mutex_unlock(&team->lock);
}

static void note_wait(LcipTeam *team, gint64 begin_us) {
  const gint64 now_us = g_get_monotonic_time();
  if (now_us - begin_us < STALL_US + 2 * team->longest_us)
    return;
  const gboolean again = team->stalled_us && now_us - team->stalled_us < FORGET_US;
  team->alone_us = again ? MIN(2 * team->alone_us, MOST_ALONE_US) : LEAST_ALONE_US;
  team->alone_until_us = now_us + team->alone_us;
  team->stalled_us = now_us;
}

/* Asked at the end of a job, so that the team's size stays what it is until the next has been done.
 */
static void look_at_clock(LcipTeam *team) {
  if (team->alone_until_us && g_get_monotonic_time() >= team->alone_until_us)
    team->alone_until_us = 0;
}

static void wait_done(LcipTeam *team, guint n_chunks) {
  const gint64 begin = g_get_monotonic_time(), end = begin + SPIN_US;
  do {
    for (int i = 0; i < PAUSES_PER_LOOK; i++) {
      if (atomic_load(&team->done) == n_chunks)
        return;
      cpu_pause();
    }
  } while (g_get_monotonic_time() < end);
  pthread_mutex_lock(&team->lock);
  atomic_store(&team->caller_parked, TRUE);
  while (atomic_load(&team->done) != n_chunks)
    pthread_cond_wait(&team->done_cond, &team->lock);
  atomic_store(&team->caller_parked, FALSE);
  pthread_mutex_unlock(&team->lock);
  note_wait(team, begin);
}

void lcip_team_run(LcipTeam *team, guint n_chunks, LcipTeamFunc func, gpointer data) {
  if (lcip_team_size(team) == 1 || n_chunks <= 1) {
    for (guint i = 0; i < n_chunks; i++)
      func(data, i, 0);
    if (team)
      look_at_clock(team);
    return;
  }
  team->func = func;
  team->data = data;
  team->longest_us = 0;
  publish_job(team, n_chunks);
  team_work(team, 0);
  wait_done(team, n_chunks);
}

/* NULL in builds without OpenBLAS, or where it has no threads of its own. */
extern int blas_thread_shutdown_(void) __attribute__((weak));

void lcip_team_end_library_threads(void) {
  if (blas_thread_shutdown_)
    blas_thread_shutdown_();
}
