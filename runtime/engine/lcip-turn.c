#include "config.h"
#include "lcip-turn-private.h"

#include <pthread.h>
#include <sched.h>

/* A thread that waits for its turn. @allowed: the processors that it may run on, where it @moved to
 * one of them. On its stack. */
typedef struct {
  pthread_t thread;
  pthread_cond_t woken;
  gboolean has_turn;
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

static void wait_for_turn(LcipTurn *turn) {
  Waiter waiter = {.thread = pthread_self()};
  pthread_cond_init(&waiter.woken, NULL);
  g_queue_push_tail(&turn->waiters, &waiter);
  while (!waiter.has_turn)
    pthread_cond_wait(&waiter.woken, &turn->mutex);
  pthread_cond_destroy(&waiter.woken);
  unbind(&waiter);
}

void lcip_turn_take(LcipTurn *turn) {
  pthread_mutex_lock(&turn->mutex);
  if (turn->taken)
    wait_for_turn(turn);
  turn->taken = TRUE;
  pthread_mutex_unlock(&turn->mutex);
}

void lcip_turn_give(LcipTurn *turn) {
  pthread_mutex_lock(&turn->mutex);
  Waiter *next = g_queue_pop_head(&turn->waiters);
  turn->taken = next != NULL;
  if (next) {
    bring_here(next);
    next->has_turn = TRUE;
    pthread_cond_signal(&next->woken);
  }
  pthread_mutex_unlock(&turn->mutex);
}

guint lcip_turn_n_waiting(LcipTurn *turn) {
  pthread_mutex_lock(&turn->mutex);
  const guint n = turn->waiters.length;
  pthread_mutex_unlock(&turn->mutex);
  return n;
}
