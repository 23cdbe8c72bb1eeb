#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** LcipFifo: a lock-free ring of pointers from one producer thread to one consumer thread. Its
 * calls never block. */
typedef struct _LcipFifo LcipFifo;

typedef enum { LCIP_FIFO_OK, LCIP_FIFO_FULL, LCIP_FIFO_EMPTY, LCIP_FIFO_CLOSED } LcipFifoResult;

/** lcip_fifo_new: room for at least @capacity (1 or more) pointers. */
LcipFifo *lcip_fifo_new(guint capacity);
/** lcip_fifo_free: what is still in it is the caller's. */
void lcip_fifo_free(LcipFifo *fifo);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipFifo, lcip_fifo_free)
/** lcip_fifo_push: producer. OK, FULL or CLOSED. */
LcipFifoResult lcip_fifo_push(LcipFifo *fifo, gpointer item);
/** lcip_fifo_pop: consumer. OK, EMPTY, or CLOSED once it is closed and empty. */
LcipFifoResult lcip_fifo_pop(LcipFifo *fifo, gpointer *item);
/** lcip_fifo_close: either side: nothing more is taken; what is in it can still be popped. */
void lcip_fifo_close(LcipFifo *fifo);
/** lcip_fifo_length: exact for producer and consumer as far as their own side goes. */
guint lcip_fifo_length(LcipFifo *fifo);
gboolean lcip_fifo_is_full(LcipFifo *fifo);
/** lcip_fifo_was_full: consumer, right after lcip_fifo_pop(): the producer may have found it full
 * before. */
gboolean lcip_fifo_was_full(LcipFifo *fifo);
/** lcip_fifo_peek: consumer; item @i from the front, NULL when there are fewer. */
gpointer lcip_fifo_peek(LcipFifo *fifo, guint i);

G_END_DECLS
