#include "config.h"
#include "lcip-media-private.h"

#include <errno.h>
#include <time.h>

void lcip_waiter_init(LcipWaiter *waiter) {
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_mutex_init(&waiter->mutex, NULL);
  pthread_cond_init(&waiter->changed, &attr);
  pthread_condattr_destroy(&attr);
}

void lcip_waiter_clear(LcipWaiter *waiter) {
  pthread_cond_destroy(&waiter->changed);
  pthread_mutex_destroy(&waiter->mutex);
}

/* The mutex is taken so that a waiter between its check and its wait is not missed. */
void lcip_waiter_wake(LcipWaiter *waiter) {
  pthread_mutex_lock(&waiter->mutex);
  pthread_cond_broadcast(&waiter->changed);
  pthread_mutex_unlock(&waiter->mutex);
}

gboolean lcip_waiter_wait_until(LcipWaiter *waiter, gint64 deadline_us) {
  const struct timespec at = {.tv_sec = deadline_us / G_USEC_PER_SEC,
                              .tv_nsec = deadline_us % G_USEC_PER_SEC * 1000};
  return pthread_cond_timedwait(&waiter->changed, &waiter->mutex, &at) != ETIMEDOUT;
}

static void on_cancelled(GCancellable *cancellable, gpointer data) {
  lcip_waiter_wake(data);
}

gulong lcip_waiter_attach(LcipWaiter *waiter, GCancellable *cancellable) {
  return cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(on_cancelled), waiter, NULL)
                     : 0;
}

void lcip_waiter_detach(GCancellable *cancellable, gulong id) {
  if (cancellable)
    g_cancellable_disconnect(cancellable, id);
}

static void wait_until(LcipWaiter *waiter, gint64 at_us, GCancellable *cancellable) {
  const gulong id = lcip_waiter_attach(waiter, cancellable);
  pthread_mutex_lock(&waiter->mutex);
  while (!g_cancellable_is_cancelled(cancellable) && g_get_monotonic_time() < at_us)
    lcip_waiter_wait_until(waiter, at_us);
  pthread_mutex_unlock(&waiter->mutex);
  lcip_waiter_detach(cancellable, id);
}

gboolean lcip_pacer_next(LcipPacer *pacer, LcipMediaSource *source, guint64 *frame,
                         gint64 *timestamp_ns, GCancellable *cancellable, GError **error) {
  *frame = pacer->next;
  if (source->pace == LCIP_MEDIA_LIVE) {
    const gint64 now_us = g_get_monotonic_time();
    if (pacer->start_us == 0)
      pacer->start_us = now_us;
    const guint64 due = (guint64)(now_us - pacer->start_us) * LCIP_MEDIA_FPS / G_USEC_PER_SEC;
    if (due > *frame) {
      lcip_media_source_add_drops(source, due - *frame);
      *frame = due;
    }
    /* rounded up: at that time the division above gives the frame itself */
    const gint64 at_us =
        pacer->start_us + (gint64)((*frame * G_USEC_PER_SEC + LCIP_MEDIA_FPS - 1) / LCIP_MEDIA_FPS);
    wait_until(&pacer->waiter, at_us, cancellable);
    *timestamp_ns = at_us * 1000;
  } else {
    *timestamp_ns = (gint64)(*frame * (1000000000 / LCIP_MEDIA_FPS));
  }
  pacer->next = *frame + 1;
  return !g_cancellable_set_error_if_cancelled(cancellable, error);
}
