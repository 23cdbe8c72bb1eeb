#pragma once

#include "lcip-graph.h"
#include "lcip-run-private.h"

#include <math.h>
#include <string.h>

/* What the files of test-engine share: plans made by hand of small kernels on tensors of four
 * floats, and a source that counts. Frame n of the source holds n, n, n, n. */

#define N_ELEMS 4

/* ---- kernels ---- */

/* Adds one. */
extern const LcipKernel kernel_add_one;
extern const LcipKernel kernel_sum;
/* Adds one, and fails where the value is fail_frame. */
extern const LcipKernel kernel_failing;
extern _Atomic gint64 fail_frame;
/* Takes about 50 microseconds. */
extern const LcipKernel kernel_busy;
/* Waits while the gate is closed. */
extern const LcipKernel kernel_gate;
void set_gate(gboolean closed);
void wait_for_gate(void);
/* Frame n has n % 4 + 1 elements. */
extern const LcipKernel kernel_dynamic;
extern const LcipKernel kernel_too_large;
extern const LcipOperator dynamic_operator;

/* ---- plans ---- */

typedef struct {
  LcipPlan plan;
  GPtrArray *memory;
} TestPlan;

gpointer keep(TestPlan *test, gpointer memory);
int add_segment(TestPlan *test, LcipSegmentKind kind, int lane);
TestPlan *test_plan_new(guint n_lanes);
void test_plan_free(TestPlan *test);
int add_tensor(TestPlan *test, LcipPlanStore store, int segment);
int add_token(TestPlan *test, int segment);
LcipPlanWork *add_kernel(TestPlan *test, int segment, const LcipKernel *kernel, int in0, int in1,
                         int out);
void add_channel(TestPlan *test, int tensor, int src, int dst, guint delay);
int add_source(TestPlan *test);
void add_sink(TestPlan *test, int tensor);
TestPlan *chain_plan(guint n_lanes, guint n, const int *lanes, const LcipKernel *const *kernels);
TestPlan *uniform_chain(guint n_lanes, guint n, const int *lanes, const LcipKernel *kernel);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestPlan, test_plan_free)

/* ---- source and sink ---- */

typedef struct {
  guint64 n;
  guint64 n_end;
  guint64 fail_at; /* 0: never */
  _Atomic gboolean end;
  _Atomic guint64 drops;
  guint64 drops_per_frame;
} Counter;

typedef struct {
  _Atomic guint64 n;
  guint64 wrong_order;
  guint64 wrong_values;
  guint64 wrong_epochs;
  guint64 last_epoch;
  guint64 n_epochs;
  float offset; /* frame n is to hold n + offset */
  float (*expected)(guint64 frame);
  LcipDoorbell bell;
} Collector;

LcipTensor *counter_next(gpointer data, gint64 *timestamp_ns, GCancellable *cancellable,
                         GError **error);
guint64 counter_drops(gpointer data);
void collect(const LcipFrame *frame, gpointer data);
void wait_for_frames(Collector *c, guint64 n);
void check_collected(const Collector *c, guint64 n);
LcipFeed counter_feed(Counter *counter);
LcipRun *start(TestPlan *test, Counter *counter, Collector *collector, LcipRunOptions options);
void run_all(TestPlan *test, Collector *collector, guint64 n, LcipRunOptions options);

/* ---- used by several files ---- */

TestPlan *fan_out_plan(void);
float expected_doubled(guint64 frame);
void check_lane_sum(const LcipProfile *profile, guint lane);

/* ---- each file adds its tests ---- */

void add_end_tests(void);
void add_profile_tests(void);
void add_sweep_tests(void);
