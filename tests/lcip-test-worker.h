#pragma once

#include <gio/gio.h>

/* Workers as processes of their own, with the keys and cache of this process (lcip_test_make_home()
 * first), and paired with it. Functions abort the test on what they can't do. */

/** LcipTestWorker: @address: where it listens. */
typedef struct {
  GSubprocess *process;
  char *address;
} LcipTestWorker;

/** lcip_test_add_with_worker: as g_test_add_func(); a build without ZeroMQ has no such test. */
void lcip_test_add_with_worker(const char *path, GTestFunc test);
/** lcip_test_worker_start: @listen: "tcp://127.0.0.1:*", or the address of one that ended. */
LcipTestWorker lcip_test_worker_start(const char *listen);
/** lcip_test_worker_kill: sends it the signal and waits for its end. */
void lcip_test_worker_kill(LcipTestWorker *worker, int signal_number);
/** lcip_test_worker_restart: after it was killed, at the same address. */
void lcip_test_worker_restart(LcipTestWorker *worker);
/** lcip_test_worker_end: politely. */
void lcip_test_worker_end(LcipTestWorker *worker);
/** lcip_test_pair: with a worker at @address that has this process's own key; both ways. */
void lcip_test_pair(const char *address);
