#pragma once

#include "lcip-transport.h"

G_BEGIN_DECLS

/* Ranks of an MPI job as workers. The MPI library costs every start of a program that is linked to
 * it some milliseconds and a dozen shared libraries, so it is behind a module
 * (mpi/lcip-mpi-module.c) that is loaded in processes that a launcher such as mpirun started, and
 * nowhere else.
 *
 * MPI neither encrypts nor authenticates: whoever can join the job is trusted, as the cluster's
 * launcher decides (docs/threat-model.md). */

/** lcip_mpi_is_launched: did a launcher start this process as one of several? By the environment.
 */
gboolean lcip_mpi_is_launched(void);
/** lcip_mpi_start: loads the module and joins the job; once, by the main thread. Every process of
 * the job must come here. Fails by name where this build has no MPI. */
gboolean lcip_mpi_start(GError **error);
/** lcip_mpi_rank: 0 unless started. */
int lcip_mpi_rank(void);
/** lcip_mpi_size: processes in the job; 1 unless started. */
int lcip_mpi_size(void);

/* LCIP_MPI_END_NS: how long rank 0 waits for the others to end; then it aborts the job. */
#define LCIP_MPI_END_NS G_GINT64_CONSTANT(15000000000)
/** lcip_mpi_end: leaves the job; does nothing unless started. Rank 0 first tells the others to end:
 * their listening transport is then LOST with LCIP_REMOTE_ERROR_SHUTDOWN. No transport may be in
 * use any more. */
void lcip_mpi_end(void);

/** lcip_transport_mpi_connect: "mpi:RANK", from rank 0 alone; waits for nothing. */
LcipTransport *lcip_transport_mpi_connect(const char *address, GCancellable *cancellable,
                                          GError **error);
/** lcip_transport_mpi_listen: "mpi:", for rank 0. */
LcipTransport *lcip_transport_mpi_listen(const char *address, GError **error);

G_END_DECLS
