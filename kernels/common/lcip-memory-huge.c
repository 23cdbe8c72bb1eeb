#include "config.h"
#include "lcip-memory-private.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* Bringing small pages together: what was not worth the wait while a model was loaded is while it
 * runs for long. Where a virtual machine's pages are its host's small ones too, each miss of the
 * TLB walks two tables, and frames take up to a tenth less time with huge pages. */

#if defined(__linux__) && !defined(MADV_COLLAPSE)
#define MADV_COLLAPSE 25 /* Linux 6.1; older ones say that they do not know it */
#endif

enum { MOST_FAILURES = 8, NICE = 10 };

typedef struct {
  gsize begin, end;
} Range;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static GHashTable *blocks; /* address -> bytes, whole pages */
static gboolean asked, running;

void lcip_memory_add_block(void *block, gsize size_bytes) {
  pthread_mutex_lock(&mutex);
  if (!blocks)
    blocks = g_hash_table_new(NULL, NULL);
  g_hash_table_insert(blocks, block, GSIZE_TO_POINTER(size_bytes));
  pthread_mutex_unlock(&mutex);
}

void lcip_memory_remove_block(void *block) {
  pthread_mutex_lock(&mutex);
  g_hash_table_remove(blocks, block);
  pthread_mutex_unlock(&mutex);
}

static int lower_first(gconstpointer a, gconstpointer b) {
  const Range *x = a, *y = b;
  return (x->begin > y->begin) - (x->begin < y->begin);
}

static GArray *sorted_blocks(void) {
  GArray *ranges = g_array_new(FALSE, FALSE, sizeof(Range));
  GHashTableIter iter;
  gpointer block, bytes;
  pthread_mutex_lock(&mutex);
  if (blocks) {
    g_hash_table_iter_init(&iter, blocks);
    while (g_hash_table_iter_next(&iter, &block, &bytes)) {
      const gsize begin = GPOINTER_TO_SIZE(block);
      const Range range = {begin, begin + GPOINTER_TO_SIZE(bytes)};
      g_array_append_val(ranges, range);
    }
  }
  pthread_mutex_unlock(&mutex);
  g_array_sort(ranges, lower_first);
  return ranges;
}

/* Of blocks cut off a slab one behind the other one range is made. */
static void join_neighbours(GArray *ranges) {
  guint n = 0;
  for (guint i = 0; i < ranges->len; i++) {
    const Range range = g_array_index(ranges, Range, i);
    Range *last = n > 0 ? &g_array_index(ranges, Range, n - 1) : NULL;
    if (last && last->end == range.begin)
      last->end = range.end;
    else
      g_array_index(ranges, Range, n++) = range;
  }
  g_array_set_size(ranges, n);
}

/* The whole huge pages of @range, as many as there are until @failures are too many. A block that
 * another thread frees meanwhile is no harm: what is no longer mapped is refused, and whatever is
 * mapped there anew keeps its contents. */
static void collapse(Range range, guint *failures) {
#if defined(MADV_COLLAPSE) && defined(MADV_HUGEPAGE)
  const gsize first = (range.begin + LCIP_HUGE_PAGE_BYTES - 1) & ~(LCIP_HUGE_PAGE_BYTES - 1);
  if (first + LCIP_HUGE_PAGE_BYTES > range.end)
    return;
  const gsize bytes = (range.end - first) & ~(LCIP_HUGE_PAGE_BYTES - 1);
  madvise(GSIZE_TO_POINTER(first), bytes, MADV_HUGEPAGE);
  for (gsize at = 0; at < bytes && *failures < MOST_FAILURES; at += LCIP_HUGE_PAGE_BYTES)
    if (madvise(GSIZE_TO_POINTER(first + at), LCIP_HUGE_PAGE_BYTES, MADV_COLLAPSE) != 0)
      ++*failures;
#endif
}

void lcip_memory_settle(void) {
  g_autoptr(GArray) ranges = sorted_blocks();
  guint failures = 0;
  join_neighbours(ranges);
  for (guint i = 0; i < ranges->len; i++)
    collapse(g_array_index(ranges, Range, i), &failures);
}

/* On Linux a thread has a priority of its own. */
static void *settle_main(void *data) {
#ifdef __linux__
  setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
#endif
  pthread_mutex_lock(&mutex);
  while (asked) {
    asked = FALSE;
    pthread_mutex_unlock(&mutex);
    lcip_memory_settle();
    pthread_mutex_lock(&mutex);
  }
  running = FALSE;
  pthread_mutex_unlock(&mutex);
  return NULL;
}

void lcip_memory_settle_later(void) {
  pthread_t thread;
  pthread_mutex_lock(&mutex);
  asked = TRUE;
  if (!running && pthread_create(&thread, NULL, settle_main, NULL) == 0) {
    pthread_detach(thread);
    running = TRUE;
  }
  pthread_mutex_unlock(&mutex);
}
