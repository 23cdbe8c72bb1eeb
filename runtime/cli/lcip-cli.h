#pragma once

#include <gio/gio.h>

#include "lcip-analysis.h"
#include "lcip-cli-json.h"
#include "lcip-io.h"
#include "lcip-media.h"
#include "lcip-plan.h"
#include "lcip-run.h"
#include "lcip-runtime.h"

G_BEGIN_DECLS

/** LCIP_CLI_JSON_VERSION: of every JSON document that the command prints. */
#define LCIP_CLI_JSON_VERSION 1

/** LcipCliExit: exit codes of the command. */
typedef enum { LCIP_CLI_DONE = 0, LCIP_CLI_FAILED = 1, LCIP_CLI_USAGE = 2 } LcipCliExit;

/** LcipCliCommand: one subcommand, defined at the end of its file.
 * @arguments: what follows the options, for the usage line. @description: the end of its --help. */
typedef struct _LcipCliCommand LcipCliCommand;
struct _LcipCliCommand {
  const char *name;
  const char *arguments;
  const char *summary;
  const char *description;
  LcipCliExit (*run)(const LcipCliCommand *command, char **argv);
};

extern const LcipCliCommand lcip_cli_import;
extern const LcipCliCommand lcip_cli_worker, lcip_cli_pair;
extern const LcipCliCommand lcip_cli_validate;
extern const LcipCliCommand lcip_cli_info;
extern const LcipCliCommand lcip_cli_run;
extern const LcipCliCommand lcip_cli_bench;
extern const LcipCliCommand lcip_cli_calibrate;
extern const LcipCliCommand lcip_cli_devices;
extern const LcipCliCommand lcip_cli_verify;
extern const LcipCliCommand lcip_cli_operators;

#define LCIP_CLI_ANY_NUMBER G_MAXUINT
/** lcip_cli_parse: takes the options out of @argv (argv[0] is the command's name) and checks that
 * @min to @max arguments are left (LCIP_CLI_ANY_NUMBER: no limit). Prints what is wrong; --help
 * prints and exits. */
gboolean lcip_cli_parse(const LcipCliCommand *command, const GOptionEntry *entries, char ***argv,
                        guint min, guint max);
/** lcip_cli_report: prints @error on standard error. A G_OPTION_ERROR is wrong usage. */
LcipCliExit lcip_cli_report(const LcipCliCommand *command, const GError *error);
/** lcip_cli_report_json: the same, and @error as the JSON document (lcip-error) on standard output,
 * so that with --json there is always one. */
LcipCliExit lcip_cli_report_json(const LcipCliCommand *command, const GError *error);
/** lcip_cli_note: one line on standard error. */
void lcip_cli_note(const char *format, ...) G_GNUC_PRINTF(1, 2);
/** lcip_cli_note_problems: each problem as a line on standard error. */
void lcip_cli_note_problems(const char *path, const LcipGraph *graph, const GPtrArray *problems);
/** lcip_cli_finish: flushes standard output; a full disk or closed pipe is a failure. */
LcipCliExit lcip_cli_finish(LcipCliExit code);
/** lcip_cli_watch_signals: from now on SIGINT and SIGTERM cancel the returned object (borrowed) and
 * a second one ends the process. */
GCancellable *lcip_cli_watch_signals(void);

/** lcip_cli_load: a graph that can run, as far as its file says, with its defaults. Warnings go to
 * standard error; the error lists everything that is in the way. */
LcipGraph *lcip_cli_load(const char *path, GError **error);
/** lcip_cli_fail_problems: an error that lists the errors among @problems; always FALSE. */
gboolean lcip_cli_fail_problems(const char *path, const LcipGraph *graph, const GPtrArray *problems,
                                GError **error);

/** LcipCliPlanArgs: the options that `run`, `bench` and `verify` share; strings are owned. Names
 * come from files, so options that take them are parsed as file names: bytes as typed, whatever the
 * locale.
 */
typedef struct {
  char *mapping;
  char **lanes;
  char **shapes;
  gboolean pinned;
  gboolean direct;
  gboolean no_calibration;
  int winograd_budget_mib; /* 0: the default */
  int threads;
  int streams; /* 0: one */
} LcipCliPlanArgs;
void lcip_cli_plan_args_clear(LcipCliPlanArgs *args);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LcipCliPlanArgs, lcip_cli_plan_args_clear)

/** LcipCliInputs: where a run's data comes from.
 * @tensors: graph input's name, or source actor's id -> LcipTensor. @shapes: name -> LcipShape.
 * @source_sizes: actor id -> LcipShape. @source: may be NULL. */
typedef struct {
  GHashTable *tensors;
  GHashTable *shapes;
  GHashTable *source_sizes;
  LcipMediaSource *source;
} LcipCliInputs;
void lcip_cli_inputs_init(LcipCliInputs *inputs);
void lcip_cli_inputs_clear(LcipCliInputs *inputs);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LcipCliInputs, lcip_cli_inputs_clear)
/** lcip_cli_inputs_add: @argument is NAME=FILE. */
gboolean lcip_cli_inputs_add(LcipCliInputs *inputs, const LcipGraph *graph, const char *argument,
                             GError **error);
/** lcip_cli_read_tensor: a .npy file, or a .pb file of one ONNX tensor. Transfer full. */
LcipTensor *lcip_cli_read_tensor(const char *file, GError **error);
/** lcip_cli_after_name: what follows "@name=" in @argument, or NULL. Names may hold '=', so they
 * are looked for, not split off. */
const char *lcip_cli_after_name(const char *argument, const char *name);
/** lcip_cli_inputs_add_tensor: @tensor must be what @name of @graph takes; @from for messages. */
gboolean lcip_cli_inputs_add_tensor(LcipCliInputs *inputs, const LcipGraph *graph, const char *name,
                                    LcipTensor *tensor, const char *from, GError **error);
/** lcip_cli_inputs_open: opens @what for the graph's picture source. */
gboolean lcip_cli_inputs_open(LcipCliInputs *inputs, const LcipGraph *graph, const char *what,
                              GError **error);
/** lcip_cli_find_source: index of the graph's picture source, or -1. */
int lcip_cli_find_source(const LcipGraph *graph);
/** lcip_cli_parse_shape: "NAME=1,3,224,224" for a graph input. */
gboolean lcip_cli_parse_shape(const LcipGraph *graph, const char *argument, guint *input,
                              LcipShape *shape, GError **error);

/** lcip_cli_settle_shape: one --input-shape. */
gboolean lcip_cli_settle_shape(LcipGraph *graph, const char *argument, GError **error);
/** lcip_cli_settle_batches: open batches become 1. */
void lcip_cli_settle_batches(LcipGraph *graph);
/** lcip_cli_settle_shapes: sizes that the graph leaves open: as --input-shape (@arguments) says, as
 * the tensors of @inputs (may be NULL) are, 1 for a batch; all others are asked for in one error.
 */
gboolean lcip_cli_settle_shapes(LcipGraph *graph, char **arguments, const LcipCliInputs *inputs,
                                GError **error);
/** lcip_cli_open_sizes: a sentence that asks for all sizes that are open, with suggestions; NULL
 * when there is none. Transfer full. */
char *lcip_cli_open_sizes(const LcipGraph *graph);
/** LCIP_CLI_SHAPE_OPTION: of commands that run a graph. */
#define LCIP_CLI_SHAPE_OPTION(shapes)                                                              \
  {                                                                                                \
    "input-shape", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, shapes,                                      \
        "The shape of an input whose size the model leaves open; a batch is 1 by default",         \
        "NAME=1,3,224,224"                                                                         \
  }

/** lcip_cli_bind_lanes: lane name -> device id, as --lane says. An unknown mapping, lane or device
 * is wrong usage; the message lists what there is. Transfer full. */
GHashTable *lcip_cli_bind_lanes(const LcipGraph *graph, const LcipCliPlanArgs *args,
                                GError **error);
/** lcip_cli_plan: compiles @graph; warnings go to standard error, the error lists all problems. */
LcipPlan *lcip_cli_plan(const char *path, LcipGraph *graph, const LcipCliPlanArgs *args,
                        GHashTable *bindings, const LcipCliInputs *inputs,
                        GCancellable *cancellable, GError **error);

/** LCIP_CLI_MAX_STREAMS: more are refused. */
#define LCIP_CLI_MAX_STREAMS 256
/** lcip_cli_choose_streams: how many where nobody says: a frame on each processor where the rate
 * counts, one frame on all where it is latency. @n_frames: how many there will be, 0 where that is
 * not known. @mapping, @source: may be NULL. */
guint lcip_cli_choose_streams(const LcipGraph *graph, const char *mapping, LcipMediaSource *source,
                              guint64 n_frames);

/** lcip_cli_json_frame: what @frame's sinks and graph outputs received.
 * @picture: file that the annotated picture was written to, or NULL. */
void lcip_cli_json_frame(LcipCliJson *json, const LcipGraph *graph, const LcipFrame *frame,
                         const char *picture);
void lcip_cli_print_frame(const LcipGraph *graph, const LcipFrame *frame, const char *picture);
void lcip_cli_json_lanes(LcipCliJson *json, const LcipPlan *plan);
void lcip_cli_json_times(LcipCliJson *json, const char *key, const LcipTimes *times);
void lcip_cli_json_profile(LcipCliJson *json, const LcipProfile *profile);
/** lcip_cli_note_lane: an LcipLaneFunc: a line on standard error. */
void lcip_cli_note_lane(LcipPlan *plan, guint lane, const LcipLinkStatus *status, gpointer data);
void lcip_cli_print_profile(const LcipProfile *profile);

/** lcip_cli_mpi_applies: mpirun started this process, and @command is one that runs graphs. */
gboolean lcip_cli_mpi_applies(const LcipCliCommand *command);
/** lcip_cli_mpi_run: rank 0 runs @command with the other ranks as devices, which serve until then.
 */
LcipCliExit lcip_cli_mpi_run(const LcipCliCommand *command, char **argv);

G_END_DECLS
