#include "config.h"
#include "lcip-fifo-private.h"

#include <stdatomic.h>
#include <stdlib.h>

#define CACHE_LINE 64

/* Head and tail count up for ever and wrap; each on its own cache line, because each has its own
 * writer. The slot at (index & mask) is the producer's while tail - head < capacity.
 * Both are stored, and read by lcip_fifo_length(), in sequentially consistent order: when one side
 * stores its own and then reads the other's, at least one of the two sees what the other did, and
 * no side goes to sleep without the other knowing. */
struct _LcipFifo {
  guint mask;
  guint capacity;
  gpointer *slots;
  _Atomic gboolean closed;
  _Alignas(CACHE_LINE) _Atomic guint head;
  _Alignas(CACHE_LINE) _Atomic guint tail;
};

static guint round_up_to_power_of_two(guint value) {
  guint power = 1;
  while (power < value)
    power *= 2;
  return power;
}

LcipFifo *lcip_fifo_new(guint capacity) {
  const guint n = round_up_to_power_of_two(MAX(capacity, 1));
  LcipFifo *fifo = aligned_alloc(CACHE_LINE, sizeof *fifo);
  if (!fifo)
    g_error("out of memory for a FIFO");
  fifo->mask = n - 1;
  fifo->capacity = n;
  fifo->slots = g_new0(gpointer, n);
  atomic_init(&fifo->closed, FALSE);
  atomic_init(&fifo->head, 0);
  atomic_init(&fifo->tail, 0);
  return fifo;
}

void lcip_fifo_free(LcipFifo *fifo) {
  if (!fifo)
    return;
  g_free(fifo->slots);
  free(fifo);
}

LcipFifoResult lcip_fifo_push(LcipFifo *fifo, gpointer item) {
  const guint tail = atomic_load_explicit(&fifo->tail, memory_order_relaxed);
  if (atomic_load_explicit(&fifo->closed, memory_order_acquire))
    return LCIP_FIFO_CLOSED;
  if (tail - atomic_load_explicit(&fifo->head, memory_order_acquire) >= fifo->capacity)
    return LCIP_FIFO_FULL;
  fifo->slots[tail & fifo->mask] = item;
  atomic_store(&fifo->tail, tail + 1);
  return LCIP_FIFO_OK;
}

LcipFifoResult lcip_fifo_pop(LcipFifo *fifo, gpointer *item) {
  const guint head = atomic_load_explicit(&fifo->head, memory_order_relaxed);
  /* Closed is read before the tail: what the producer pushed before closing is then seen. */
  const gboolean closed = atomic_load_explicit(&fifo->closed, memory_order_acquire);
  if (atomic_load_explicit(&fifo->tail, memory_order_acquire) == head)
    return closed ? LCIP_FIFO_CLOSED : LCIP_FIFO_EMPTY;
  *item = fifo->slots[head & fifo->mask];
  atomic_store(&fifo->head, head + 1);
  return LCIP_FIFO_OK;
}

void lcip_fifo_close(LcipFifo *fifo) {
  atomic_store_explicit(&fifo->closed, TRUE, memory_order_release);
}

guint lcip_fifo_length(LcipFifo *fifo) {
  const guint head = atomic_load(&fifo->head);
  return atomic_load(&fifo->tail) - head;
}

gboolean lcip_fifo_is_full(LcipFifo *fifo) {
  return lcip_fifo_length(fifo) >= fifo->capacity;
}

gboolean lcip_fifo_was_full(LcipFifo *fifo) {
  return lcip_fifo_length(fifo) + 1 >= fifo->capacity;
}

gpointer lcip_fifo_peek(LcipFifo *fifo, guint i) {
  const guint head = atomic_load_explicit(&fifo->head, memory_order_relaxed);
  if (atomic_load_explicit(&fifo->tail, memory_order_acquire) - head <= i)
    return NULL;
  return fifo->slots[(head + i) & fifo->mask];
}
