#include "config.h"
#include "lcip-doorbell-private.h"

#include <sys/eventfd.h>
#include <unistd.h>

void lcip_doorbell_init(LcipDoorbell *bell) {
  atomic_init(&bell->count, 0);
  atomic_init(&bell->waiters, 0);
  pthread_mutex_init(&bell->mutex, NULL);
  pthread_cond_init(&bell->cond, NULL);
  bell->fd = -1;
}

void lcip_doorbell_clear(LcipDoorbell *bell) {
  if (bell->fd >= 0)
    close(bell->fd);
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
  if (bell->fd >= 0)
    eventfd_write(bell->fd, 1);
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

gboolean lcip_doorbell_open_fd(LcipDoorbell *bell) {
  if (bell->fd < 0)
    bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return bell->fd >= 0;
}

gboolean lcip_doorbell_begin_wait(LcipDoorbell *bell, guint seen) {
  atomic_fetch_add(&bell->waiters, 1);
  if (atomic_load(&bell->count) == seen)
    return TRUE;
  atomic_fetch_sub(&bell->waiters, 1);
  return FALSE;
}

void lcip_doorbell_end_wait(LcipDoorbell *bell) {
  eventfd_t rings;
  atomic_fetch_sub(&bell->waiters, 1);
  eventfd_read(bell->fd, &rings);
}
