#include "config.h"

#include "lcip-cli.h"
#include "lcip-discovery.h"
#include "lcip-keys.h"
#include "lcip-probe.h"
#include "lcip-worker-server.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- lcip worker ---- */

typedef struct {
  char *listen;
  gint64 memory_mib, cache_mib;
  int sessions, credits;
  gboolean announce;
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
  g_autoptr(LcipAnnouncement) announcement = NULL;
  if (args->announce && !(announcement = lcip_announce(address, &error))) {
    lcip_transport_free(listener);
    return lcip_cli_report(command, error);
  }
  g_autoptr(LcipWorkerServer) server = lcip_worker_server_new(&options, listener);
  lcip_cli_note("listening on %s, fingerprint %s", address, fingerprint);
  if (!lcip_worker_server_run(server, cancellable, &error))
    return lcip_cli_report(command, error);
  lcip_cli_note("ended");
  return LCIP_CLI_DONE;
}

static LcipCliExit show_identity(const LcipCliCommand *command,
                                 gboolean (*get)(LcipIdentity *identity, GError **error)) {
  g_autoptr(GError) error = NULL;
  g_auto(LcipIdentity) identity = {0};
  if (!get(&identity, &error))
    return lcip_cli_report(command, error);
  g_autofree char *key = lcip_key_to_text(identity.public_key);
  g_autofree char *fingerprint = lcip_key_fingerprint(identity.public_key);
  g_print("public key   %s\nfingerprint  %s\n", key, fingerprint);
  return lcip_cli_finish(LCIP_CLI_DONE);
}

/* Nobody is trusted without a yes. */
static gboolean confirm(const char *whose, const guint8 *key, gboolean yes, GError **error) {
  g_autofree char *fingerprint = lcip_key_fingerprint(key);
  char answer[16];
  if (yes)
    return TRUE;
  if (!isatty(STDIN_FILENO)) {
    g_set_error(
        error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
        "compare the %s's fingerprint, %s, with what 'lcip worker key' shows there, and say "
        "--yes: there is no terminal to ask on",
        whose, fingerprint);
    return FALSE;
  }
  fprintf(stderr,
          "The %s's fingerprint is\n  %s\n'lcip worker key' shows it there. Is it the same? [y/N] ",
          whose, fingerprint);
  if (fgets(answer, sizeof answer, stdin) && g_ascii_tolower(answer[0]) == 'y')
    return TRUE;
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_REFUSED, "nothing was changed");
  return FALSE;
}

static LcipCliExit allow(const LcipCliCommand *command, const char *text, const char *name,
                         gboolean yes) {
  g_autoptr(GError) error = NULL;
  guint8 key[LCIP_KEY_BYTES];
  if (!lcip_key_from_text(text, key, &error) || !confirm("client", key, yes, &error) ||
      !lcip_allowed_clients_add(key, name, &error))
    return lcip_cli_report(command, error);
  g_print("This user's workers serve %s from now on.\n", *name ? name : "that client");
  return lcip_cli_finish(LCIP_CLI_DONE);
}

static LcipCliExit forbid(const LcipCliCommand *command, const char *text) {
  g_autoptr(GError) error = NULL;
  guint8 key[LCIP_KEY_BYTES];
  if (!lcip_key_from_text(text, key, &error) || !lcip_allowed_clients_remove(key, &error))
    return lcip_cli_report(command, error);
  g_print("This user's workers take no new connection of that client.\n");
  return lcip_cli_finish(LCIP_CLI_DONE);
}

static LcipCliExit run_worker(const LcipCliCommand *command, char **argv) {
  g_auto(GStrv) args = g_strdupv(argv);
  g_auto(Args) a = {0};
  gboolean yes = FALSE;
  const GOptionEntry entries[] = {
      {"listen", 0, 0, G_OPTION_ARG_STRING, &a.listen,
       "Serve paired clients there: tcp://ADDRESS:PORT, or tcp://*:PORT for all addresses",
       "tcp://ADDR:PORT"},
      {"announce", 0, 0, G_OPTION_ARG_NONE, &a.announce,
       "Let 'lcip pair --discover' find it on the local network (needs Avahi)", NULL},
      {"memory", 0, 0, G_OPTION_ARG_INT64, &a.memory_mib,
       "Memory for all sessions (default: half of the machine's)", "MIB"},
      {"cache", 0, 0, G_OPTION_ARG_INT64, &a.cache_mib,
       "Weights that are kept on disk (default: 4096)", "MIB"},
      {"sessions", 0, 0, G_OPTION_ARG_INT, &a.sessions,
       "Subgraphs of all clients at once (default: 32)", "N"},
      {"credits", 0, 0, G_OPTION_ARG_INT, &a.credits,
       "Frames in flight of one subgraph (default: 16)", "N"},
      {"yes", 0, 0, G_OPTION_ARG_NONE, &yes,
       "With allow: the fingerprint has been compared, do not ask", NULL},
      G_OPTION_ENTRY_NULL};
  if (!lcip_cli_parse(command, entries, &args, 0, 3))
    return LCIP_CLI_USAGE;
  const guint n = g_strv_length(args + 1);
  const char *what = n ? args[1] : "";
  if (n == 0 && a.listen)
    return serve(command, &a);
  if (n == 1 && strcmp(what, "keygen") == 0)
    return show_identity(command, lcip_identity_new);
  if (n == 1 && strcmp(what, "key") == 0)
    return show_identity(command, lcip_identity_load);
  if ((n == 2 || n == 3) && strcmp(what, "allow") == 0)
    return allow(command, args[2], n == 3 ? args[3] : "", yes);
  if (n == 2 && strcmp(what, "forbid") == 0)
    return forbid(command, args[2]);
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
        "another key pair (all pairings end), key shows the public key and its fingerprint, allow "
        "lets a client connect whose key 'lcip pair' showed, forbid takes that back.",
    .run = run_worker,
};

/* ---- lcip pair ---- */

/* The worker can be asked for its devices as soon as it knows this client; until then there is its
 * CPU. */
static gboolean keep_worker(const char *address, const guint8 *key, GError **error) {
  g_autoptr(LcipKnownWorker) worker = lcip_known_worker_new(address, address, key);
  lcip_known_worker_add_device(worker, "cpu", "cpu", "", 0, 0);
  return lcip_known_workers_add(worker, error);
}

static void tell_next_step(const LcipIdentity *identity) {
  g_autofree char *own = lcip_key_to_text(identity->public_key);
  g_autofree char *fingerprint = lcip_key_fingerprint(identity->public_key);
  g_autofree char *name = lcip_own_name();
  g_print("Now allow this client on the worker, where its fingerprint must be\n  %s\n"
          "  lcip worker allow %s %s\n",
          fingerprint, own, name);
}

static LcipCliExit pair(const LcipCliCommand *command, const char *address, const char *key_text,
                        gboolean yes) {
  g_autoptr(GError) error = NULL, probe_error = NULL;
  g_auto(LcipIdentity) identity = {0};
  guint8 key[LCIP_KEY_BYTES];
  if (!lcip_key_from_text(key_text, key, &error) || !lcip_identity_load(&identity, &error) ||
      !confirm("worker", key, yes, &error) || !keep_worker(address, key, &error))
    return lcip_cli_report(command, error);
  if (lcip_remote_probe(address, &probe_error))
    g_print("Paired; 'lcip devices' lists its devices.\n");
  else
    tell_next_step(&identity);
  return lcip_cli_finish(LCIP_CLI_DONE);
}

static LcipCliExit unpair(const LcipCliCommand *command, const char *address) {
  g_autoptr(GError) error = NULL;
  if (!lcip_known_workers_remove(address, &error))
    return lcip_cli_report(command, error);
  return LCIP_CLI_DONE;
}

/* A list to choose an address from, and nothing more. */
static LcipCliExit discover(const LcipCliCommand *command) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) found = lcip_discover(lcip_cli_watch_signals(), &error);
  if (!found)
    return lcip_cli_report(command, error);
  for (guint i = 0; i < found->len; i++) {
    const LcipFoundWorker *worker = found->pdata[i];
    g_print("%-28s %s\n", worker->address, worker->name);
  }
  if (found->len == 0)
    lcip_cli_note("no worker announces itself on this network ('lcip worker --announce' does)");
  else
    lcip_cli_note("anybody can announce anything: compare fingerprints when pairing");
  return lcip_cli_finish(LCIP_CLI_DONE);
}

static LcipCliExit run_pair(const LcipCliCommand *command, char **argv) {
  g_auto(GStrv) args = g_strdupv(argv);
  g_autofree char *key = NULL;
  gboolean yes = FALSE, forget = FALSE, find = FALSE;
  const GOptionEntry entries[] = {
      {"key", 0, 0, G_OPTION_ARG_STRING, &key,
       "The worker's public key: 'lcip worker key' shows it there", "KEY"},
      {"yes", 0, 0, G_OPTION_ARG_NONE, &yes, "The fingerprint has been compared, do not ask", NULL},
      {"forget", 0, 0, G_OPTION_ARG_NONE, &forget, "End the pairing instead", NULL},
      {"discover", 0, 0, G_OPTION_ARG_NONE, &find,
       "List workers that announce themselves on the local network instead (needs Avahi)", NULL},
      G_OPTION_ENTRY_NULL};
  if (!lcip_cli_parse(command, entries, &args, 0, 1))
    return LCIP_CLI_USAGE;
  if (find && !args[1])
    return discover(command);
  if (find || !args[1]) {
    lcip_cli_note("expected an address tcp://HOST:PORT, or --discover alone");
    return LCIP_CLI_USAGE;
  }
  if (forget)
    return unpair(command, args[1]);
  if (key)
    return pair(command, args[1], key, yes);
  lcip_cli_note("expected --key KEY: 'lcip worker key' on the worker's machine shows it");
  return LCIP_CLI_USAGE;
}

const LcipCliCommand lcip_cli_pair = {
    .name = "pair",
    .arguments = "[tcp://HOST:PORT]",
    .summary = "Pair with a worker on another machine",
    .description =
        "Both sides need each other's public key. On the worker's machine 'lcip worker key' shows "
        "its key and fingerprint; here\n"
        "  lcip pair tcp://HOST:PORT --key KEY\n"
        "asks to compare the fingerprint and says what to enter there so that it serves this "
        "client. --discover lists addresses; it trusts nobody.",
    .run = run_pair,
};
