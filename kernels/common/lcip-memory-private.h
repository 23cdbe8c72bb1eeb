#pragma once

#include "lcip-memory.h"

G_BEGIN_DECLS

#define LCIP_HUGE_PAGE_BYTES ((gsize)2 << 20)

/** lcip_memory_add_block, lcip_memory_remove_block: mapped memory, in whole pages. Any thread. */
void lcip_memory_add_block(void *block, gsize size_bytes);
void lcip_memory_remove_block(void *block);

G_END_DECLS
