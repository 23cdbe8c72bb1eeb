#include "config.h"

#include "lcip-cli.h"
#include "lcip-mpi.h"
#include "lcip-worker-server.h"

#include <stdlib.h>
#include <string.h>

/* One `lcip run` of several that mpirun started: rank 0 does what the command says, with the other
 * ranks as devices mpi:1, mpi:2 ...; they serve until it ends. */

static void log_line(LcipLogLevel level, const char *line, gpointer data) {
  lcip_cli_note("rank %d: %s%s", lcip_mpi_rank(), level == LCIP_LOG_WARNING ? "warning: " : "",
                line);
}

static gboolean serve(GError **error) {
  const LcipWorkerOptions options = {.log = log_line};
  LcipTransport *listener = lcip_transport_listen("mpi:", error);
  if (!listener)
    return FALSE;
  g_autoptr(LcipWorkerServer) server = lcip_worker_server_new(&options, listener);
  return lcip_worker_server_run(server, NULL, error);
}

gboolean lcip_cli_mpi_applies(const LcipCliCommand *command) {
  static const LcipCliCommand *const commands[] = {&lcip_cli_run, &lcip_cli_bench,
                                                   &lcip_cli_devices};
  for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
    if (command == commands[i])
      return lcip_mpi_is_launched();
  return FALSE;
}

LcipCliExit lcip_cli_mpi_run(const LcipCliCommand *command, char **argv) {
  g_autoptr(GError) error = NULL;
  if (!lcip_mpi_start(&error))
    return lcip_cli_report(command, error);
  /* However rank 0 ends: the others wait for it. */
  atexit(lcip_mpi_end);
  if (lcip_mpi_rank() == 0)
    return command->run(command, argv);
  if (!serve(&error) && !g_error_matches(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_SHUTDOWN))
    return lcip_cli_report(command, error);
  return LCIP_CLI_DONE;
}
