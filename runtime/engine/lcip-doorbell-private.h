#pragma once

#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>

G_BEGIN_DECLS

/** LcipDoorbell: wakes one thread from many. The waiting side reads the counter, looks for work and
 * waits only while the counter is still the one it read; so a ring between looking and waiting is
 * never lost. Ringing takes no lock unless somebody waits. */
typedef struct {
  _Atomic guint count;
  _Atomic guint waiters;
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  int fd; /* readable after a ring while somebody waits; -1 unless asked for */
} LcipDoorbell;

void lcip_doorbell_init(LcipDoorbell *bell);
void lcip_doorbell_clear(LcipDoorbell *bell);
/** lcip_doorbell_read: the counter, to be read before looking for work. */
guint lcip_doorbell_read(LcipDoorbell *bell);
/** lcip_doorbell_ring: any thread. What was written before is seen after the wait. */
void lcip_doorbell_ring(LcipDoorbell *bell);
/** lcip_doorbell_wait: returns at once when the bell was rung since @seen was read. */
void lcip_doorbell_wait(LcipDoorbell *bell, guint seen);

/** lcip_doorbell_open_fd: for a thread that also waits for something else, with poll(). FALSE when
 * the system gives no descriptor. */
gboolean lcip_doorbell_open_fd(LcipDoorbell *bell);
/** lcip_doorbell_begin_wait: FALSE when the bell was rung since @seen was read: then there is no
 * waiting. Otherwise bell->fd is to be polled, and lcip_doorbell_end_wait() follows. */
gboolean lcip_doorbell_begin_wait(LcipDoorbell *bell, guint seen);
void lcip_doorbell_end_wait(LcipDoorbell *bell);

G_END_DECLS
