#pragma once

#include "lcip-transport.h"

G_BEGIN_DECLS

/** LcipMpiModule: what the module gives the library. @start: joins the job. @connect, @listen: see
 * lcip-mpi.h; @rank is in the job. */
typedef struct {
  gboolean (*start)(int *rank, int *size, GError **error);
  void (*end)(void);
  LcipTransport *(*connect)(int rank);
  LcipTransport *(*listen)(void);
} LcipMpiModule;

/** LCIP_MPI_MODULE_SYMBOL: the module's only symbol, an LcipMpiModule. */
#define LCIP_MPI_MODULE_SYMBOL "lcip_mpi_module"

G_END_DECLS
