#include "config.h"
#include "lcip-mpi.h"
#include "mpi/lcip-mpi-private.h"

#include <string.h>
#if LCIP_HAVE_MPI
#include <dlfcn.h>
#endif

static struct {
  const LcipMpiModule *module;
  int rank, size;
} job = {.size = 1};

gboolean lcip_mpi_is_launched(void) {
  /* Open MPI's own variable; with other launchers, such as srun, only PMIx's are there. */
  const char *size = g_getenv("OMPI_COMM_WORLD_SIZE");
  return size ? strcmp(size, "1") != 0 : g_getenv("PMIX_RANK") != NULL;
}

int lcip_mpi_rank(void) {
  return job.rank;
}

int lcip_mpi_size(void) {
  return job.size;
}

#if LCIP_HAVE_MPI

/* Beside the library: in lcip/ where it is installed, in remote/mpi/ where it was built. No other
 * place is looked at, so that nobody can slip in a module. */
static char *find_module(void) {
  const char *const folders[] = {"lcip", "remote/mpi"};
  Dl_info info;
  if (!dladdr((void *)(guintptr)lcip_mpi_start, &info) || !info.dli_fname)
    return NULL;
  g_autofree char *library = g_canonicalize_filename(info.dli_fname, NULL);
  g_autofree char *folder = g_path_get_dirname(library);
  for (guint i = 0; i < G_N_ELEMENTS(folders); i++) {
    g_autofree char *path = g_build_filename(folder, folders[i], LCIP_MPI_MODULE_FILE, NULL);
    if (g_file_test(path, G_FILE_TEST_EXISTS))
      return g_steal_pointer(&path);
  }
  return NULL;
}

/* Never unloaded: MPI libraries do not survive that. Their own plug-ins look for the library's
 * symbols among the global ones. */
static const LcipMpiModule *load_module(GError **error) {
  g_autofree char *path = find_module();
  void *handle = path ? dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE) : NULL;
  const LcipMpiModule *module = handle ? dlsym(handle, LCIP_MPI_MODULE_SYMBOL) : NULL;
  if (!module)
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST, "MPI: %s",
                path ? dlerror() : LCIP_MPI_MODULE_FILE " is missing beside the LCIP library");
  return module;
}

#else

static const LcipMpiModule *load_module(GError **error) {
  g_set_error_literal(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST,
                      "an MPI launcher started this process, but this build of LCIP has no MPI "
                      "(meson option mpi)");
  return NULL;
}

#endif

gboolean lcip_mpi_start(GError **error) {
  g_return_val_if_fail(!job.module, FALSE);
  const LcipMpiModule *module = load_module(error);
  if (!module || !module->start(&job.rank, &job.size, error))
    return FALSE;
  job.module = module;
  return TRUE;
}

void lcip_mpi_end(void) {
  if (job.module)
    job.module->end();
  job.module = NULL;
  job.size = 1;
}

/* ---- transports ---- */

static gboolean check_started(const char *address, GError **error) {
  if (job.module)
    return TRUE;
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST,
              "%s: expected a process that mpirun started, found none of its ranks", address);
  return FALSE;
}

LcipTransport *lcip_transport_mpi_connect(const char *address, GCancellable *cancellable,
                                          GError **error) {
  guint64 rank;
  if (!check_started(address, error))
    return NULL;
  if (job.rank == 0 && job.size > 1 &&
      g_ascii_string_to_unsigned(address + strlen("mpi:"), 10, 1, (guint64)job.size - 1, &rank,
                                 NULL))
    return job.module->connect((int)rank);
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST,
              "expected an address mpi:RANK from 1 to %d, found '%s'", job.size - 1, address);
  return NULL;
}

LcipTransport *lcip_transport_mpi_listen(const char *address, GError **error) {
  return check_started(address, error) ? job.module->listen() : NULL;
}
