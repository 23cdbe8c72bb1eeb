#include "config.h"
#include "lcip-run-private.h"

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>

/* Linux lets who asks for a shorter time slice than another thread's interrupt that thread. This is
 * the shortest that it takes. */
#define SLICE_NS 100000

/* As sched_setattr(2) has it; older C libraries do not. */
typedef struct {
  guint32 size, policy;
  guint64 flags;
  gint32 nice;
  guint32 priority;
  guint64 runtime_ns, deadline_ns, period_ns;
} SchedAttr;

void lcip_thread_be_brief(void) {
  SchedAttr attr = {0};
  if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) != 0)
    return;
  attr.size = sizeof attr;
  attr.runtime_ns = SLICE_NS;
  syscall(SYS_sched_setattr, 0, &attr, 0);
}
#else
void lcip_thread_be_brief(void) {
}
#endif
