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
} LcipDoorbell;

void lcip_doorbell_init(LcipDoorbell *bell);
void lcip_doorbell_clear(LcipDoorbell *bell);
/** lcip_doorbell_read: the counter, to be read before looking for work. */
guint lcip_doorbell_read(LcipDoorbell *bell);
/** lcip_doorbell_ring: any thread. What was written before is seen after the wait. */
void lcip_doorbell_ring(LcipDoorbell *bell);
/** lcip_doorbell_wait: returns at once when the bell was rung since @seen was read. */
void lcip_doorbell_wait(LcipDoorbell *bell, guint seen);

G_END_DECLS
