#include "config.h"

#include "lcip-cli.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

void lcip_cli_note(const char *format, ...) {
  va_list args;
  va_start(args, format);
  g_autofree char *text = g_strdup_vprintf(format, args);
  va_end(args);
  g_printerr("lcip: %s\n", text);
}

static void note_usage(const LcipCliCommand *command, const char *message) {
  g_printerr("lcip %s: %s\nTry 'lcip %s --help'.\n", command->name, message, command->name);
}

/* GLib leaves the "--" that ends the options in front of an argument that begins with a dash. */
static void drop_end_of_options(char **argv) {
  for (char **arg = argv + 1; *arg; arg++)
    if (strcmp(*arg, "--") == 0) {
      g_free(*arg);
      memmove(arg, arg + 1, (g_strv_length(arg + 1) + 1) * sizeof *arg);
      return;
    }
}

static void print_json_error(const LcipCliCommand *command, const char *message) {
  LcipCliJson json;
  lcip_cli_json_init(&json, stdout, 2);
  lcip_cli_json_begin_object(&json, NULL);
  lcip_cli_json_string(&json, "format", "lcip-error");
  lcip_cli_json_int(&json, "version", LCIP_CLI_JSON_VERSION);
  lcip_cli_json_string(&json, "command", command->name);
  lcip_cli_json_string(&json, "error", message);
  lcip_cli_json_end_object(&json);
  lcip_cli_finish(LCIP_CLI_FAILED);
}

static gboolean takes_json(const GOptionEntry *entries) {
  for (guint i = 0; entries && entries[i].long_name; i++)
    if (strcmp(entries[i].long_name, "json") == 0)
      return TRUE;
  return FALSE;
}

/* Wrong options may not be understood far enough to know @argv's --json otherwise. */
static void refuse(const LcipCliCommand *command, gboolean as_json, const char *message) {
  note_usage(command, message);
  if (as_json)
    print_json_error(command, message);
}

gboolean lcip_cli_parse(const LcipCliCommand *command, const GOptionEntry *entries, char ***argv,
                        guint min, guint max) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GOptionContext) context = g_option_context_new(command->arguments);
  g_autofree char *summary = g_strdup_printf("%s.", command->summary);
  g_option_context_set_summary(context, summary);
  g_option_context_set_description(context, command->description);
  if (entries)
    g_option_context_add_main_entries(context, entries, NULL);
  gboolean as_json = takes_json(entries) && g_strv_contains((const char *const *)*argv, "--json");
  if (!g_option_context_parse_strv(context, argv, &error)) {
    refuse(command, as_json, error->message);
    return FALSE;
  }
  drop_end_of_options(*argv);
  guint n = g_strv_length(*argv) - 1;
  if (n >= min && n <= max)
    return TRUE;
  g_autofree char *message = n < min
                                 ? g_strdup_printf("an argument is missing: %s", command->arguments)
                                 : g_strdup_printf("unexpected argument '%s'", (*argv)[max + 1]);
  refuse(command, as_json, message);
  return FALSE;
}

LcipCliExit lcip_cli_report(const LcipCliCommand *command, const GError *error) {
  if (error->domain == G_OPTION_ERROR) {
    note_usage(command, error->message);
    return LCIP_CLI_USAGE;
  }
  lcip_cli_note("%s", error->message);
  return LCIP_CLI_FAILED;
}

LcipCliExit lcip_cli_report_json(const LcipCliCommand *command, const GError *error) {
  print_json_error(command, error->message);
  return lcip_cli_report(command, error);
}

static void note_lines(const char *path, const LcipGraph *graph, const GPtrArray *problems,
                       LcipSeverity severity, const char *what) {
  g_autoptr(GPtrArray) lines = lcip_problems_lines(problems, graph, severity);
  for (guint i = 0; i < lines->len; i++)
    g_printerr("%s: %s: %s\n", path, what, (const char *)lines->pdata[i]);
}

void lcip_cli_note_problems(const char *path, const LcipGraph *graph, const GPtrArray *problems) {
  note_lines(path, graph, problems, LCIP_PROBLEM_ERROR, "error");
  note_lines(path, graph, problems, LCIP_PROBLEM_WARNING, "warning");
}

LcipCliExit lcip_cli_finish(LcipCliExit code) {
  if (fflush(stdout) == 0 && !ferror(stdout))
    return code;
  lcip_cli_note("standard output: %s", g_strerror(errno));
  return LCIP_CLI_FAILED;
}

static sem_t signal_arrived;

static void note_signal(int number) {
  sem_post(&signal_arrived);
}

static gpointer wait_for_signal(gpointer data) {
  while (sem_wait(&signal_arrived) != 0)
    continue;
  g_cancellable_cancel(data);
  g_object_unref(data);
  return NULL;
}

/* A handler and not sigwait(): libraries may have started threads of their own (OpenBLAS does when
 * it is loaded) that don't block the signals. */
GCancellable *lcip_cli_watch_signals(void) {
  static GCancellable *cancellable;
  if (cancellable)
    return cancellable;
  cancellable = g_cancellable_new();
  sem_init(&signal_arrived, 0, 0);
  g_thread_unref(g_thread_new("signals", wait_for_signal, g_object_ref(cancellable)));
  struct sigaction action = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  return cancellable;
}
