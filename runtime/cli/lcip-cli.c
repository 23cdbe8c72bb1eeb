#include "config.h"

#include "lcip-cli.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

static const LcipCliCommand *const commands[] = {
    &lcip_cli_run,       &lcip_cli_info,   &lcip_cli_validate,  &lcip_cli_import,
    &lcip_cli_bench,     &lcip_cli_verify, &lcip_cli_calibrate, &lcip_cli_devices,
    &lcip_cli_operators, &lcip_cli_worker, &lcip_cli_pair,
};

static void print_help(void) {
  g_print("Usage: lcip COMMAND [OPTION...] ...\n\n"
          "LCIP runs convolutional neural networks as dataflow graphs on CPU and OpenCL lanes.\n\n"
          "Commands:\n");
  for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
    g_print("  %-10s %s\n", commands[i]->name, commands[i]->summary);
  g_print("\nExamples:\n"
          "  Find faces in a picture, and write the annotated picture:\n"
          "    lcip run graphs/blazeface-back.xml --source photo.jpg --frames 1 --output out\n"
          "  Time any ONNX model with random input, step by step:\n"
          "    lcip bench model.onnx --profile\n"
          "  Make an ONNX model an LCIP graph, to edit it and to map it to lanes:\n"
          "    lcip import model.onnx -o graph.xml\n\n"
          "'lcip COMMAND --help' explains a command. 'lcip --version' prints the version.\n"
          "Exit codes: 0 done, 1 it failed, 2 wrong usage.\n");
}

static LcipCliExit wrong_command(const char *name) {
  lcip_cli_note("there is no command '%s'; 'lcip --help' lists them", name);
  return LCIP_CLI_USAGE;
}

static const LcipCliCommand *find_command(const char *name) {
  for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
    if (strcmp(commands[i]->name, name) == 0)
      return commands[i];
  return NULL;
}

static LcipCliExit run_command(const LcipCliCommand *command, int argc, char **argv) {
  g_autofree char *program = g_strdup_printf("lcip %s", command->name);
  g_set_prgname(program);
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
  for (int i = 1; i < argc; i++)
    g_strv_builder_add(builder, argv[i]);
  g_auto(GStrv) args = g_strv_builder_end(builder);
  return lcip_cli_mpi_applies(command) ? lcip_cli_mpi_run(command, args)
                                       : command->run(command, args);
}

/* What follows "lcip help": a command's own help, else that of all. */
static LcipCliExit help(const char *name) {
  char *args[] = {(char *)"lcip", (char *)name, (char *)"--help", NULL};
  const LcipCliCommand *command = name ? find_command(name) : NULL;
  if (command)
    return run_command(command, 3, args);
  if (name)
    return wrong_command(name);
  print_help();
  return lcip_cli_finish(LCIP_CLI_DONE);
}

int main(int argc, char **argv) {
  lcip_runtime_compact_memory(); /* workers change plans as the editor does */
  /* Messages follow the locale; numbers never do. */
  setlocale(LC_ALL, "");
  setlocale(LC_NUMERIC, "C");
  g_set_prgname("lcip");
  lcip_team_end_library_threads();
  if (argc < 2) {
    lcip_cli_note("a command is missing; 'lcip --help' lists them");
    return LCIP_CLI_USAGE;
  }
  if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
    return (int)help(NULL);
  if (strcmp(argv[1], "help") == 0)
    return (int)help(argv[2]);
  if (strcmp(argv[1], "--version") == 0) {
    g_print("lcip %s\n", LCIP_VERSION);
    return lcip_cli_finish(LCIP_CLI_DONE);
  }
  const LcipCliCommand *command = find_command(argv[1]);
  return command ? (int)run_command(command, argc, argv) : (int)wrong_command(argv[1]);
}
