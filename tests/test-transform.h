#pragma once

#include "lcip-plan-private.h"
#include "lcip-run.h"

/* What the files of test-transform share: small graphs, and plans of them beside plain ones. */

/* ---- graphs ---- */

LcipTensor *random_tensor(LcipShape shape, guint32 seed);
/** new_graph: an input "x" and, once finish() leads there, an output "y". */
LcipGraph *new_graph(LcipShape shape);
/** add: an actor whose input 0 is @from's output, or the graph's input for LCIP_NO_ACTOR. */
int add(LcipGraph *graph, const char *op, const char *id, guint n_inputs, int from);
void set(LcipGraph *graph, int actor, const char *name, LcipAttrType type, const char *text);
/** constant: takes @tensor. */
void constant(LcipGraph *graph, int actor, guint port, LcipTensor *tensor);
void finish(LcipGraph *graph, int actor);
/** add_conv: a window of 3x3. */
int add_conv(LcipGraph *graph, const char *id, int from, int in, int out, const char *pads);
int add_pad(LcipGraph *graph, const char *id, int from, const gint64 pads[8], float value);
/** add_pool: "pool", a window of 3x3. */
int add_pool(LcipGraph *graph, const char *op, int from, const char *pads);

/* ---- plans and what they give ---- */

LcipPlan *compile(LcipGraph *graph, const LcipPlanOptions *options);
/** output_of: "y" for the input @x. */
LcipTensor *output_of(LcipPlan *plan, LcipTensor *x);
/** compile_plain: without any kernel but the references, and with every actor's output kept:
 * nothing is transformed but constants. */
LcipPlan *compile_plain(LcipGraph *graph);
/** n_computing: steps that compute something: no sources, sinks and reorders. */
guint n_computing(const LcipPlan *plan);
void assert_close(const LcipTensor *found, const LcipTensor *expected);
/** check: @graph on its best plan has @n_steps that compute and gives what it gives plainly. */
void check(LcipGraph *graph, guint n_steps);
const LcipPlanActor *actor_of(const LcipPlan *plan, const char *id);
/** numerics_of: of the kernel that computes actor @id. */
LcipNumerics numerics_of(LcipGraph *graph, const LcipPlanOptions *options, const char *id);

/* ---- tests of other files ---- */

void add_kernel_tests(void);
