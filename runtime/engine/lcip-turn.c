#include "config.h"
#include "lcip-turn-private.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

/* A thread that waits for its turn. @allowed: the processors that it may run on, where it @moved to
 * one of them. On its stack, until @has_turn is posted. */
typedef struct {
  pthread_t thread;
  sem_t has_turn;
  LcipTurnFunc must_wait; /* NULL: never */
  gpointer data;
#ifdef __linux__
  gboolean moved;
  cpu_set_t allowed;
#endif
} Waiter;

struct _LcipTurn {
  pthread_mutex_t mutex;
  gboolean taken;
  GQueue waiters; /* of Waiter, borrowed */
};

LcipTurn *lcip_turn_new(void) {
  LcipTurn *turn = g_new0(LcipTurn, 1);
  pthread_mutex_init(&turn->mutex, NULL);
  g_queue_init(&turn->waiters);
  return turn;
}

void lcip_turn_free(LcipTurn *turn) {
  if (!turn)
    return;
  pthread_mutex_destroy(&turn->mutex);
  g_free(turn);
}

/* The system wakes a thread wherever it sees fit, often where another stream computes, and this
 * processor would idle: so it is bound to this one until it runs. */
#ifdef __linux__
static void bring_here(Waiter *waiter) {
  const int here = sched_getcpu();
  cpu_set_t only;
  if (here < 0 || here >= CPU_SETSIZE ||
      pthread_getaffinity_np(waiter->thread, sizeof waiter->allowed, &waiter->allowed) ||
      !CPU_ISSET(here, &waiter->allowed))
    return;
  CPU_ZERO(&only);
  CPU_SET(here, &only);
  waiter->moved = pthread_setaffinity_np(waiter->thread, sizeof only, &only) == 0;
}

static void unbind(const Waiter *waiter) {
  if (waiter->moved)
    pthread_setaffinity_np(waiter->thread, sizeof waiter->allowed, &waiter->allowed);
}
#else
static void bring_here(Waiter *waiter) {
}

static void unbind(const Waiter *waiter) {
}
#endif

static gboolean is_ready(const Waiter *waiter) {
  return !waiter->must_wait || !waiter->must_wait(waiter->data);
}

static void join_locked(LcipTurn *turn, Waiter *waiter) {
  sem_init(&waiter->has_turn, 0, 0);
  g_queue_push_tail(&turn->waiters, waiter);
}

static void await(Waiter *waiter) {
  while (sem_wait(&waiter->has_turn) != 0)
    continue; /* a signal */
  sem_destroy(&waiter->has_turn);
  unbind(waiter);
}

static Waiter *first_ready(LcipTurn *turn) {
  for (GList *at = turn->waiters.head; at; at = at->next)
    if (is_ready(at->data)) {
      Waiter *waiter = at->data;
      g_queue_delete_link(&turn->waiters, at);
      return waiter;
    }
  return NULL;
}

/* Whose turn is next: NULL for nobody's. */
static Waiter *pass_locked(LcipTurn *turn) {
  Waiter *next = first_ready(turn);
  turn->taken = next != NULL;
  return next;
}

static void wake(Waiter *next) {
  bring_here(next);
  sem_post(&next->has_turn);
}

void lcip_turn_take(LcipTurn *turn) {
  Waiter waiter = {.thread = pthread_self()};
  pthread_mutex_lock(&turn->mutex);
  const gboolean waits = turn->taken;
  if (waits)
    join_locked(turn, &waiter);
  turn->taken = TRUE;
  pthread_mutex_unlock(&turn->mutex);
  if (waits)
    await(&waiter);
}

/* Asks before it gives: on one processor with whom it wakes, it would often ask when all the others
 * are through, and they would go on without it. */
void lcip_turn_pass(LcipTurn *turn, LcipTurnFunc must_wait, gpointer data) {
  Waiter waiter = {.thread = pthread_self(), .must_wait = must_wait, .data = data};
  pthread_mutex_lock(&turn->mutex);
  join_locked(turn, &waiter);
  Waiter *next = pass_locked(turn);
  pthread_mutex_unlock(&turn->mutex);
  if (next == &waiter) {
    sem_destroy(&waiter.has_turn);
    return;
  }
  if (next)
    wake(next);
  await(&waiter);
}

/* Who is woken needs no lock any more: it would often find it taken. */
void lcip_turn_give(LcipTurn *turn) {
  pthread_mutex_lock(&turn->mutex);
  Waiter *next = pass_locked(turn);
  pthread_mutex_unlock(&turn->mutex);
  if (next)
    wake(next);
}

guint lcip_turn_n_waiting(LcipTurn *turn) {
  pthread_mutex_lock(&turn->mutex);
  const guint n = turn->waiters.length;
  pthread_mutex_unlock(&turn->mutex);
  return n;
}
