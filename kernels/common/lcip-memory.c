#include "config.h"
#include "lcip-memory-private.h"
#include "lcip-tensor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* From MAP_FROM_BYTES on a block has pages of its own: a few bytes wasted are small against it.
 * AddressSanitizer sees the ends of blocks from malloc only. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* clang's name for it is GCC's */
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define MAP_FROM_BYTES G_MAXSSIZE
#else
#define MAP_FROM_BYTES ((gsize)32 << 10)
#endif

/* Huge pages: the first touch of 4 KiB pages costs more than packing the weights that go there, and
 * reading them misses the TLB. The system may decline. Blocks below LARGE_BYTES are cut off a slab
 * one behind the other, so that several share a huge page; each gives its own pages back. */
enum { LARGE_BYTES = 8 << 20, SLAB_BYTES = 32 << 20 };

/* They are not always quick: a virtual machine whose free huge pages went back to its host, or
 * memory in pieces that must be put together first, makes one cost seven times as much as small
 * pages. So the first LCIP_HUGE_PAGE_BYTES get small pages, timed, and once a huge page took twice
 * as long, memory comes in small pages for PAUSE_US, until lcip_memory_settle(). */
enum { PAUSE_US = 1000000 };
static _Atomic gint64 small_ns; /* of LCIP_HUGE_PAGE_BYTES in small pages; 0 before it is known */
static _Atomic gint64 paused_until_us;

/* What is left of the newest slab. */
static pthread_mutex_t slab_mutex = PTHREAD_MUTEX_INITIALIZER;
static guint8 *slab_at, *slab_end;
static gboolean slab_is_huge;

static gsize whole_pages(gsize size_bytes) {
  const gsize page = (gsize)sysconf(_SC_PAGESIZE);
  return (size_bytes + page - 1) / page * page;
}

static void advise_huge(void *memory, gsize size_bytes, gboolean huge) {
#if defined(MADV_HUGEPAGE) && defined(MADV_NOHUGEPAGE)
  madvise(memory, size_bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#endif
}

/* Has the pages of whole ones, and returns this thread's nanoseconds, 0 where the system cannot
 * (Linux before 5.14): then pages come by faults, as ever. */
static gint64 timed_fill(void *memory, gsize size_bytes) {
#ifdef MADV_POPULATE_WRITE
  struct timespec start, end;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
  if (madvise(memory, size_bytes, MADV_POPULATE_WRITE) != 0)
    return 0;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
  return MAX(
      (end.tv_sec - start.tv_sec) * G_GINT64_CONSTANT(1000000000) + end.tv_nsec - start.tv_nsec, 1);
#else
  return 0;
#endif
}

static void time_small_pages(void *memory) {
  advise_huge(memory, LCIP_HUGE_PAGE_BYTES, FALSE);
  const gint64 ns = timed_fill(memory, LCIP_HUGE_PAGE_BYTES);
  atomic_store_explicit(&small_ns, ns > 0 ? ns : G_MAXINT64 / 2, memory_order_relaxed);
}

static void judge_huge_page(gint64 ns) {
  if (ns > 2 * atomic_load_explicit(&small_ns, memory_order_relaxed))
    atomic_store_explicit(&paused_until_us, g_get_monotonic_time() + PAUSE_US,
                          memory_order_relaxed);
}

static gboolean huge_pages_pay(void) {
  return g_get_monotonic_time() >= atomic_load_explicit(&paused_until_us, memory_order_relaxed);
}

/* @huge: what the pages are to be so far. */
static void fill_pages(guint8 *memory, gsize size_bytes, gboolean huge) {
  guint8 *const end = memory + whole_pages(size_bytes);
  while (memory < end && huge && huge_pages_pay()) {
    const gsize to_border = LCIP_HUGE_PAGE_BYTES - (gsize)memory % LCIP_HUGE_PAGE_BYTES;
    const gsize part = MIN(to_border, (gsize)(end - memory));
    judge_huge_page(timed_fill(memory, part));
    memory += part;
  }
  if (memory >= end)
    return;
  if (huge)
    advise_huge(memory, (gsize)(end - memory), FALSE);
  timed_fill(memory, (gsize)(end - memory));
}

static void *map_pages(gsize size_bytes, gboolean huge) {
  const gsize whole = size_bytes + LCIP_HUGE_PAGE_BYTES;
  guint8 *memory = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return NULL;
  const gsize used = whole_pages(size_bytes);
  const gsize head =
      (LCIP_HUGE_PAGE_BYTES - (gsize)memory % LCIP_HUGE_PAGE_BYTES) % LCIP_HUGE_PAGE_BYTES;
  if (head > 0)
    munmap(memory, head);
  if (whole > head + used)
    munmap(memory + head + used, whole_pages(whole) - head - used);
  advise_huge(memory + head, used, huge);
  if (huge && used >= LCIP_HUGE_PAGE_BYTES &&
      atomic_load_explicit(&small_ns, memory_order_relaxed) == 0)
    time_small_pages(memory + head);
  return memory + head;
}

static gboolean start_slab_locked(void) {
  slab_is_huge = huge_pages_pay();
  guint8 *memory = map_pages(SLAB_BYTES, slab_is_huge);
  if (!memory)
    return FALSE;
  if (slab_end > slab_at)
    munmap(slab_at, (gsize)(slab_end - slab_at));
  slab_at = memory;
  slab_end = memory + SLAB_BYTES;
  return TRUE;
}

/* All that is left becomes small at once: to ask for each block would wait each time for the other
 * threads that have pages filled. */
static void *cut_off_slab_locked(gsize size_bytes) {
  const gsize used = whole_pages(size_bytes);
  if ((gsize)(slab_end - slab_at) < used && !start_slab_locked())
    return NULL;
  if (slab_is_huge && !huge_pages_pay()) {
    advise_huge(slab_at, (gsize)(slab_end - slab_at), FALSE);
    slab_is_huge = FALSE;
  }
  void *block = slab_at;
  slab_at += used;
  return block;
}

static void *map_block(gsize size_bytes, gboolean *huge) {
  if (size_bytes >= LARGE_BYTES) {
    *huge = huge_pages_pay();
    return map_pages(size_bytes, *huge);
  }
  pthread_mutex_lock(&slab_mutex);
  void *block = cut_off_slab_locked(size_bytes);
  *huge = slab_is_huge;
  pthread_mutex_unlock(&slab_mutex);
  return block;
}

static void *alloc(gsize size_bytes, gboolean *huge) {
  if (size_bytes > G_MAXSSIZE - 2 * LCIP_HUGE_PAGE_BYTES)
    return NULL;
  if (size_bytes >= MAP_FROM_BYTES) {
    void *block = map_block(size_bytes, huge);
    if (block)
      lcip_memory_add_block(block, whole_pages(size_bytes));
    return block;
  }
  const gsize padded = (size_bytes / LCIP_TENSOR_ALIGN + 1) * LCIP_TENSOR_ALIGN;
  void *memory = aligned_alloc(LCIP_TENSOR_ALIGN, padded);
  if (memory)
    memset(memory, 0, padded);
  return memory;
}

void *lcip_memory_alloc(gsize size_bytes) {
  gboolean huge;
  return alloc(size_bytes, &huge);
}

void *lcip_memory_alloc_full(gsize size_bytes) {
  gboolean huge = FALSE;
  void *memory = alloc(size_bytes, &huge);
  if (memory && size_bytes >= MAP_FROM_BYTES)
    fill_pages(memory, size_bytes, huge);
  return memory;
}

void lcip_memory_free(void *memory, gsize size_bytes) {
  if (!memory || size_bytes < MAP_FROM_BYTES) {
    free(memory);
    return;
  }
  lcip_memory_remove_block(memory);
  munmap(memory, whole_pages(size_bytes));
}

/* ---- mapped files ---- */

typedef struct {
  const guint8 *data;
  gsize size_bytes;
} MappedFile;

static pthread_mutex_t files_mutex = PTHREAD_MUTEX_INITIALIZER;
static GArray *files; /* MappedFile */

void lcip_memory_add_file(const void *data, gsize size_bytes) {
  const MappedFile file = {data, size_bytes};
  pthread_mutex_lock(&files_mutex);
  if (!files)
    files = g_array_new(FALSE, FALSE, sizeof(MappedFile));
  g_array_append_val(files, file);
  pthread_mutex_unlock(&files_mutex);
}

void lcip_memory_remove_file(const void *data) {
  pthread_mutex_lock(&files_mutex);
  for (guint i = 0; i < files->len; i++)
    if (g_array_index(files, MappedFile, i).data == data) {
      g_array_remove_index_fast(files, i);
      break;
    }
  pthread_mutex_unlock(&files_mutex);
}

static gboolean is_in_file_locked(const guint8 *data, gsize size_bytes) {
  for (guint i = 0; files && i < files->len; i++) {
    const MappedFile *file = &g_array_index(files, MappedFile, i);
    if (data >= file->data && data + size_bytes <= file->data + file->size_bytes)
      return TRUE;
  }
  return FALSE;
}

/* The pages of no more than these bytes. The lock keeps the file mapped meanwhile. */
void lcip_memory_drop_file_pages(const void *data, gsize size_bytes) {
#ifdef MADV_DONTNEED
  const gsize page = (gsize)sysconf(_SC_PAGESIZE), address = (gsize)data;
  const gsize first = (address + page - 1) / page * page,
              end = (address + size_bytes) / page * page;
  pthread_mutex_lock(&files_mutex);
  if (end > first && is_in_file_locked(data, size_bytes))
    madvise((void *)first, end - first, MADV_DONTNEED);
  pthread_mutex_unlock(&files_mutex);
#endif
}
