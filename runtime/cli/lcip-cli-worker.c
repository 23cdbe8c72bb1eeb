#include "config.h"

#include "lcip-cli.h"
#include "lcip-keys.h"
#include "lcip-worker-server.h"

#include <string.h>

/* ---- lcip worker ---- */

typedef struct {
  char *listen;
  gint64 memory_mib, cache_mib;
  int sessions, credits;
} Args;

static void args_clear(Args *args) {
  g_clear_pointer(&args->listen, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Args, args_clear)

static void log_line(LcipLogLevel level, const char *line, gpointer data) {
  g_autoptr(GDateTime) now = g_date_time_new_now_local();
  g_autofree char *time = g_date_time_format(now, "%Y-%m-%d %H:%M:%S");
  lcip_cli_note("%s %s%s", time, level == LCIP_LOG_WARNING ? "warning: " : "", line);
}

static LcipCliExit serve(const LcipCliCommand *command, const Args *args) {
  g_autoptr(GError) error = NULL;
  g_auto(LcipIdentity) identity = {0};
  GCancellable *cancellable = lcip_cli_watch_signals();
  LcipTransport *listener = NULL;
  if (lcip_identity_load(&identity, &error))
    listener = lcip_transport_listen(args->listen, &error);
  if (!listener)
    return lcip_cli_report(command, error);
  const LcipWorkerOptions options = {
      .limits = {.memory_bytes = (guint64)MAX(args->memory_mib, 0) << 20,
                 .cache_bytes = (guint64)MAX(args->cache_mib, 0) << 20,
                 .sessions = (guint)MAX(args->sessions, 0),
                 .credits = (guint)MAX(args->credits, 0)},
      .log = log_line};
  g_autofree char *fingerprint = lcip_key_fingerprint(identity.public_key);
  g_autofree char *address = g_strdup(lcip_transport_address(listener));
  g_autoptr(LcipWorkerServer) server = lcip_worker_server_new(&options, listener);
  lcip_cli_note("listening on %s, fingerprint %s", address, fingerprint);
  if (!lcip_worker_server_run(server, cancellable, &error))
    return lcip_cli_report(command, error);
  lcip_cli_note("ended");
  return LCIP_CLI_DONE;
}

static LcipCliExit keygen(const LcipCliCommand *command) {
  g_autoptr(GError) error = NULL;
  g_auto(LcipIdentity) identity = {0};
  if (!lcip_identity_new(&identity, &error))
    return lcip_cli_report(command, error);
  g_autofree char *key = lcip_key_to_text(identity.public_key);
  g_autofree char *fingerprint = lcip_key_fingerprint(identity.public_key);
  g_print("public key   %s\nfingerprint  %s\n", key, fingerprint);
  return lcip_cli_finish(LCIP_CLI_DONE);
}

static LcipCliExit show_key(const LcipCliCommand *command) {
  g_autoptr(GError) error = NULL;
  g_auto(LcipIdentity) identity = {0};
  if (!lcip_identity_load(&identity, &error))
    return lcip_cli_report(command, error);
  g_autofree char *key = lcip_key_to_text(identity.public_key);
  g_autofree char *fingerprint = lcip_key_fingerprint(identity.public_key);
  g_print("public key   %s\nfingerprint  %s\n", key, fingerprint);
  return lcip_cli_finish(LCIP_CLI_DONE);
}

static LcipCliExit change_clients(const LcipCliCommand *command, const char *text, const char *name,
                                  gboolean allow) {
  g_autoptr(GError) error = NULL;
  guint8 key[LCIP_KEY_BYTES];
  if (!lcip_key_from_text(text, key, &error) ||
      !(allow ? lcip_allowed_clients_add(key, name, &error)
              : lcip_allowed_clients_remove(key, &error)))
    return lcip_cli_report(command, error);
  g_autofree char *fingerprint = lcip_key_fingerprint(key);
  g_print("%s %s\n", allow ? "allowed" : "removed", fingerprint);
  return lcip_cli_finish(LCIP_CLI_DONE);
}

static LcipCliExit run_worker(const LcipCliCommand *command, char **argv) {
  g_auto(GStrv) args = g_strdupv(argv);
  g_auto(Args) a = {0};
  const GOptionEntry entries[] = {
      {"listen", 0, 0, G_OPTION_ARG_STRING, &a.listen,
       "Serve paired clients there: tcp://ADDRESS:PORT, or tcp://*:PORT for all addresses",
       "tcp://ADDR:PORT"},
      {"memory", 0, 0, G_OPTION_ARG_INT64, &a.memory_mib,
       "Memory for all sessions (default: half of the machine's)", "MIB"},
      {"cache", 0, 0, G_OPTION_ARG_INT64, &a.cache_mib,
       "Weights that are kept on disk (default: 4096)", "MIB"},
      {"sessions", 0, 0, G_OPTION_ARG_INT, &a.sessions,
       "Subgraphs of all clients at once (default: 32)", "N"},
      {"credits", 0, 0, G_OPTION_ARG_INT, &a.credits,
       "Frames in flight of one subgraph (default: 16)", "N"},
      G_OPTION_ENTRY_NULL};
  if (!lcip_cli_parse(command, entries, &args, 0, 3))
    return LCIP_CLI_USAGE;
  const guint n = g_strv_length(args + 1);
  const char *what = n ? args[1] : "";
  if (n == 0 && a.listen)
    return serve(command, &a);
  if (n == 1 && strcmp(what, "keygen") == 0)
    return keygen(command);
  if (n == 1 && strcmp(what, "key") == 0)
    return show_key(command);
  if ((n == 2 || n == 3) && strcmp(what, "allow") == 0)
    return change_clients(command, args[2], n == 3 ? args[3] : "", TRUE);
  if (n == 2 && strcmp(what, "forbid") == 0)
    return change_clients(command, args[2], NULL, FALSE);
  lcip_cli_note("expected --listen, keygen, key, allow KEY [NAME] or forbid KEY; "
                "'lcip worker --help' explains");
  return LCIP_CLI_USAGE;
}

const LcipCliCommand lcip_cli_worker = {
    .name = "worker",
    .arguments = "[keygen | key | allow KEY [NAME] | forbid KEY]",
    .summary = "Offer this machine's devices to paired clients",
    .description =
        "Example: lcip worker --listen tcp://*:5577 serves until it is interrupted. keygen makes "
        "another key pair (all pairings end), key shows the public key and its fingerprint.",
    .run = run_worker,
};

/* ---- lcip pair ---- */

static LcipCliExit run_pair(const LcipCliCommand *command, char **argv) {
  g_auto(GStrv) args = g_strdupv(argv);
  g_autofree char *key_text = NULL;
  g_autoptr(GError) error = NULL;
  g_auto(LcipIdentity) identity = {0};
  guint8 key[LCIP_KEY_BYTES];
  const GOptionEntry entries[] = {{"key", 0, 0, G_OPTION_ARG_STRING, &key_text,
                                   "The worker's public key (lcip worker key)", "KEY"},
                                  G_OPTION_ENTRY_NULL};
  if (!lcip_cli_parse(command, entries, &args, 1, 1))
    return LCIP_CLI_USAGE;
  if (!lcip_key_from_text(key_text, key, &error) || !lcip_identity_load(&identity, &error))
    return lcip_cli_report(command, error);
  g_autoptr(LcipKnownWorker) worker = lcip_known_worker_new(args[1], args[1], key);
  lcip_known_worker_add_device(worker, "cpu", "cpu", "", 0, 0);
  if (!lcip_known_workers_add(worker, &error))
    return lcip_cli_report(command, error);
  g_autofree char *own = lcip_key_to_text(identity.public_key);
  g_autofree char *fingerprint = lcip_key_fingerprint(key);
  g_print("worker %s, fingerprint %s\nthis client: lcip worker allow %s\n", args[1], fingerprint,
          own);
  return lcip_cli_finish(LCIP_CLI_DONE);
}

const LcipCliCommand lcip_cli_pair = {
    .name = "pair",
    .arguments = "tcp://HOST:PORT",
    .summary = "Pair with a worker",
    .description = "Example: lcip pair tcp://board.local:5577 --key KEY",
    .run = run_pair,
};
