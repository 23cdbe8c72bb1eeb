#include "config.h"
#include "lcip-test-worker.h"

#include "lcip-keys.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

void lcip_test_pair(const char *address) {
  g_auto(LcipIdentity) identity = {0};
  g_assert_true(lcip_identity_load(&identity, NULL));
  g_autoptr(LcipKnownWorker) known = lcip_known_worker_new(address, "w", identity.public_key);
  lcip_known_worker_add_device(known, "cpu", "cpu", "", 1, 0);
  g_assert_true(lcip_known_workers_add(known, NULL));
  g_assert_true(lcip_allowed_clients_add(identity.public_key, "me", NULL));
}

/* What a worker says, a sanitizer's report too, goes where the test's own errors go. */
static gpointer pass_on(gpointer data) {
  g_autoptr(GInputStream) stream = data;
  char buffer[4096];
  gssize n;
  while ((n = g_input_stream_read(stream, buffer, sizeof buffer, NULL, NULL)) > 0)
    fwrite(buffer, 1, n, stderr);
  return NULL;
}

/* Its first line says where it listens. */
static char *read_address(GSubprocess *process) {
  GInputStream *pipe = g_subprocess_get_stderr_pipe(process);
  g_autoptr(GDataInputStream) lines = g_data_input_stream_new(pipe);
  g_filter_input_stream_set_close_base_stream(G_FILTER_INPUT_STREAM(lines), FALSE);
  g_autofree char *line = g_data_input_stream_read_line(lines, NULL, NULL, NULL);
  g_assert_nonnull(line);
  const char *address = strstr(line, "tcp://");
  g_assert_nonnull(address);
  g_thread_unref(g_thread_new("worker-errors", pass_on, g_object_ref(pipe)));
  return g_strndup(address, strcspn(address, ", "));
}

void lcip_test_add_with_worker(const char *path, GTestFunc test) {
  if (LCIP_HAVE_ZMQ)
    g_test_add_func(path, test);
}

LcipTestWorker lcip_test_worker_start(const char *listen) {
  g_autoptr(GError) error = NULL;
  g_auto(LcipIdentity) identity = {0};
  g_autoptr(GSubprocessLauncher) launcher =
      g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDERR_PIPE | G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
  LcipTestWorker worker = {0};
  g_assert_nonnull(g_getenv("LCIP_CLI"));
  g_assert_true(lcip_identity_load(&identity, NULL)); /* made here, not by both at once */
  g_subprocess_launcher_setenv(launcher, "XDG_CONFIG_HOME", g_get_user_config_dir(), TRUE);
  g_subprocess_launcher_setenv(launcher, "XDG_CACHE_HOME", g_get_user_cache_dir(), TRUE);
  worker.process = g_subprocess_launcher_spawn(launcher, &error, g_getenv("LCIP_CLI"), "worker",
                                               "--listen", listen, NULL);
  g_assert_no_error(error);
  worker.address = read_address(worker.process);
  lcip_test_pair(worker.address);
  return worker;
}

void lcip_test_worker_kill(LcipTestWorker *worker, int signal_number) {
  g_subprocess_send_signal(worker->process, signal_number);
  g_subprocess_wait(worker->process, NULL, NULL);
  g_clear_object(&worker->process);
}

void lcip_test_worker_restart(LcipTestWorker *worker) {
  g_autofree char *address = g_steal_pointer(&worker->address);
  *worker = lcip_test_worker_start(address);
}

void lcip_test_worker_end(LcipTestWorker *worker) {
  lcip_test_worker_kill(worker, SIGTERM);
  g_clear_pointer(&worker->address, g_free);
}
