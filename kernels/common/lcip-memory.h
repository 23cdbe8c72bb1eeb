#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Memory for tensors and prepared weights. Large blocks are mapped from the system and given back
 * when they are freed: plans come and go while a run lasts, on many threads, and blocks of
 * megabytes in malloc's heaps would leave those fragmented. */

/** lcip_memory_alloc: zeroed, aligned to LCIP_TENSOR_ALIGN; NULL when it cannot be had. */
void *lcip_memory_alloc(gsize size_bytes);
/** lcip_memory_free: @size_bytes as it was asked for; @memory may be NULL. */
void lcip_memory_free(void *memory, gsize size_bytes);

G_END_DECLS
