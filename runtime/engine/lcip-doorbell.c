#include "config.h"
#include "lcip-doorbell-private.h"

void lcip_doorbell_init(LcipDoorbell *bell) {
  atomic_init(&bell->count, 0);
  atomic_init(&bell->waiters, 0);
  pthread_mutex_init(&bell->mutex, NULL);
  pthread_cond_init(&bell->cond, NULL);
}

void lcip_doorbell_clear(LcipDoorbell *bell) {
  pthread_cond_destroy(&bell->cond);
  pthread_mutex_destroy(&bell->mutex);
}

guint lcip_doorbell_read(LcipDoorbell *bell) {
  return atomic_load(&bell->count);
}

/* Sequentially consistent on both sides: either the ringer sees the waiter, or the waiter, which
 * counts itself first, sees the new counter. */
void lcip_doorbell_ring(LcipDoorbell *bell) {
  atomic_fetch_add(&bell->count, 1);
  if (atomic_load(&bell->waiters) == 0)
    return;
  pthread_mutex_lock(&bell->mutex);
  pthread_cond_broadcast(&bell->cond);
  pthread_mutex_unlock(&bell->mutex);
}

void lcip_doorbell_wait(LcipDoorbell *bell, guint seen) {
  if (atomic_load(&bell->count) != seen)
    return;
  pthread_mutex_lock(&bell->mutex);
  atomic_fetch_add(&bell->waiters, 1);
  while (atomic_load(&bell->count) == seen)
    pthread_cond_wait(&bell->cond, &bell->mutex);
  atomic_fetch_sub(&bell->waiters, 1);
  pthread_mutex_unlock(&bell->mutex);
}
