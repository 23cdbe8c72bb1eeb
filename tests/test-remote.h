#pragma once

#include "lcip-link-status.h"
#include "lcip-run.h"
#include "lcip-test-worker.h"
#include "lcip-worker-server.h"

/* What the files of test-remote share: graphs, runs with a lane on a worker, and workers in this
 * process. Nothing sleeps for a time: what is expected is waited for. */

#define CHANNELS 8
#define SIZE 24
#define LONG_TIME_US (30 * G_USEC_PER_SEC)

/* ---- a graph ---- */

/** make_graph: convolutions in a row; under the mapping "split" the second half is on the lane
 * "Desk". */
LcipGraph *make_graph(guint n_convs);
int add_actor(LcipGraph *graph, const char *op_name, const char *id, guint n_inputs);
void connect_actors(LcipGraph *graph, int from, int to);
/** make_plan: @device: of "Desk", or NULL. */
LcipPlan *make_plan(LcipGraph *graph, const char *mapping, const char *device);

/* ---- running it ---- */

/** Frames: what a run delivered, and the state of its lane. */
typedef struct {
  GMutex mutex;
  GCond cond;
  GPtrArray *outputs; /* LcipTensor, by frame number */
  GPtrArray *reasons; /* why the lane went offline, each time */
  guint n_ready;
} Frames;
void frames_init(Frames *frames);
void frames_clear(Frames *frames);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Frames, frames_clear)

LcipRun *start_run(LcipPlan *plan, Frames *frames);
void push(LcipRun *run, guint32 seed);
void finish(LcipRun *run);
/** wait_for_lane: until @n_ready times ready and @n_lost times lost. */
void wait_for_lane(Frames *frames, guint n_ready, guint n_lost);
/** check_frames: all as the CPU alone computes them, bit for bit. */
void check_frames(LcipGraph *graph, const Frames *frames, guint n);
/** wait_for_results: until the worker has answered @n. */
void wait_for_results(LcipRun *run, guint n);
/** push_until_answered: frames from number @n on until the worker has answered @more. */
void push_until_answered(LcipRun *run, guint *n, guint more);

/* ---- workers in this process ---- */

typedef struct {
  char *address;
  GThread *thread;
  GCancellable *cancellable;
  LcipWorkerServer *server;
  GMutex mutex;
  GCond cond;
  GPtrArray *lines;
} Worker;

Worker *worker_start(const LcipWorkerLimits *limits);
void worker_stop(Worker *worker);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Worker, worker_stop)
/** wait_for_lines: until @n lines of its log have @part in them. */
void wait_for_lines(Worker *worker, const char *part, guint n);
void wait_for_line(Worker *worker, const char *part);

/** run_frames: @n frames with "Desk" at @address, all answered there and right. */
void run_frames(LcipGraph *graph, const char *address, guint n);
/** run_refused: some frames with the fallback alone, because the lane's reason holds @reason. */
void run_refused(LcipGraph *graph, const char *address, const char *reason);

void add_refused_tests(void);
void add_lost_tests(void);
