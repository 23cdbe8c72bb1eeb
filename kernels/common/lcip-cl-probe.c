#include "config.h"

#include "lcip-cl-private.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* PROBE_SECONDS: a driver that has not answered by then is not asked again. */
enum { PROBE_SECONDS = 10, PROBE_STEP_US = 2000 };

/* Asks every driver for its devices, as lcip_cl_list_devices() will. Never returns. */
static void G_GNUC_NORETURN ask_drivers(void) {
  const struct rlimit no_core = {0, 0};
  cl_platform_id platforms[32];
  cl_device_id devices[64];
  cl_uint n = 0, n_devices = 0;
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  setrlimit(RLIMIT_CORE, &no_core);
  if (null >= 0) {
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
  }
  if (clGetPlatformIDs(G_N_ELEMENTS(platforms), platforms, &n) == CL_SUCCESS)
    for (cl_uint i = 0; i < MIN(n, G_N_ELEMENTS(platforms)); i++)
      clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, G_N_ELEMENTS(devices), devices, &n_devices);
  _exit(0);
}

/* Waits for @child, which is killed when it takes too long. FALSE with @status undefined then. */
static gboolean wait_for_child(pid_t child, int *status) {
  gint64 deadline_us = g_get_monotonic_time() + PROBE_SECONDS * G_TIME_SPAN_SECOND;
  while (waitpid(child, status, WNOHANG) == 0) {
    if (g_get_monotonic_time() > deadline_us) {
      kill(child, SIGKILL);
      waitpid(child, status, 0);
      return FALSE;
    }
    g_usleep(PROBE_STEP_US);
  }
  return TRUE;
}

/* PoCL 3.1 calls abort() when it can't learn the size of memory, which it reads from /sys; a
 * container or chroot without /sys must not end the program. So there a child is sent ahead.
 * Elsewhere the 0.1 s is saved. */
gboolean lcip_cl_probe(GString *why) {
  int status = 0;
  if (access("/sys/devices/system/cpu", F_OK) == 0)
    return TRUE;
  pid_t child = fork();
  if (child == 0)
    ask_drivers();
  if (child < 0)
    return TRUE;
  if (!wait_for_child(child, &status))
    g_string_append_printf(why, "An OpenCL driver did not answer in %d s.", PROBE_SECONDS);
  else if (WIFSIGNALED(status))
    g_string_append_printf(why,
                           "An OpenCL driver breaks down here (%s). /sys is not mounted, which "
                           "drivers such as PoCL need.",
                           strsignal(WTERMSIG(status)));
  return why->len == 0;
}
