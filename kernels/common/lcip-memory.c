#include "config.h"
#include "lcip-memory.h"
#include "lcip-tensor.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* From this size on a block is mapped: a few pages wasted, and a system call a block, are small
 * against it. AddressSanitizer sees the ends of blocks from malloc only. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* clang's name for it is GCC's */
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define MAP_FROM_BYTES G_MAXSSIZE
#else
#define MAP_FROM_BYTES ((gsize)256 << 10)
#endif

void *lcip_memory_alloc(gsize size_bytes) {
  if (size_bytes > G_MAXSSIZE - LCIP_TENSOR_ALIGN)
    return NULL;
  if (size_bytes >= MAP_FROM_BYTES) {
    void *memory =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
  }
  const gsize padded = (size_bytes / LCIP_TENSOR_ALIGN + 1) * LCIP_TENSOR_ALIGN;
  void *memory = aligned_alloc(LCIP_TENSOR_ALIGN, padded);
  if (memory)
    memset(memory, 0, padded);
  return memory;
}

void lcip_memory_free(void *memory, gsize size_bytes) {
  if (memory && size_bytes >= MAP_FROM_BYTES)
    munmap(memory, size_bytes);
  else
    free(memory);
}
