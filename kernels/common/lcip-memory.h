#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Memory for tensors and prepared weights. Large blocks are mapped from the system and given back
 * when they are freed: plans come and go while a run lasts, on many threads, and blocks of
 * megabytes in malloc's heaps would leave those fragmented. */

/** lcip_memory_alloc: zeroed, aligned to LCIP_TENSOR_ALIGN; NULL when it cannot be had. */
void *lcip_memory_alloc(gsize size_bytes);
/** lcip_memory_alloc_full: the same for memory that is written from end to end at once: its pages
 * are had in one call instead of a fault each. */
void *lcip_memory_alloc_full(gsize size_bytes);
/** lcip_memory_free: @size_bytes as it was asked for; @memory may be NULL. */
void lcip_memory_free(void *memory, gsize size_bytes);

/** lcip_memory_settle: makes huge pages of the small ones that all large blocks have, where the
 * system can (Linux from 6.1 on). Takes 0.2 to 5 ms for each 2 MiB; who reads these meanwhile waits
 * as long. Any thread.
 * lcip_memory_settle_later: the same in a thread of low priority. */
void lcip_memory_settle(void);
void lcip_memory_settle_later(void);

/** lcip_memory_add_file: @size_bytes at @data are a private mapping of a file that is never
 * written; lcip_memory_remove_file() before it is unmapped. */
void lcip_memory_add_file(const void *data, gsize size_bytes);
void lcip_memory_remove_file(const void *data);
/** lcip_memory_drop_file_pages: @data will not be read soon; where it is part of such a mapping,
 * its pages are given back. Reading them again is allowed, and costs page faults. */
void lcip_memory_drop_file_pages(const void *data, gsize size_bytes);

G_END_DECLS
