#include "config.h"
#include "lcip-turn-private.h"

#include <pthread.h>

struct _LcipTurn {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  guint64 n_asked, n_given; /* under the mutex */
};

LcipTurn *lcip_turn_new(void) {
  LcipTurn *turn = g_new0(LcipTurn, 1);
  pthread_mutex_init(&turn->mutex, NULL);
  pthread_cond_init(&turn->changed, NULL);
  return turn;
}

void lcip_turn_free(LcipTurn *turn) {
  if (!turn)
    return;
  pthread_cond_destroy(&turn->changed);
  pthread_mutex_destroy(&turn->mutex);
  g_free(turn);
}

void lcip_turn_take(LcipTurn *turn) {
  pthread_mutex_lock(&turn->mutex);
  const guint64 before = turn->n_asked++;
  while (turn->n_given != before)
    pthread_cond_wait(&turn->changed, &turn->mutex);
  pthread_mutex_unlock(&turn->mutex);
}

void lcip_turn_give(LcipTurn *turn) {
  pthread_mutex_lock(&turn->mutex);
  turn->n_given++;
  pthread_cond_broadcast(&turn->changed);
  pthread_mutex_unlock(&turn->mutex);
}
