#pragma once

#include "lcip-plan.h"

G_BEGIN_DECLS

/** LCIP_VERIFY_TOLERANCE: what differences are allowed by default, as a share of the range. */
#define LCIP_VERIFY_TOLERANCE 1e-3

/** LcipVerifyItem: one tensor of the mapped run beside what it should be.
 * @name: the graph output's name; NULL for the output of a step.
 * @actor, @port: whose output it is; LCIP_NO_ACTOR for a graph input that is a graph output.
 * @step: index of the step in the verification's plan that computed it, -1 where there is none.
 * @expected_shape, @found_shape: where they differ nothing else was compared.
 * @difference: the largest absolute one; infinite where only one of both is NaN or infinite.
 * @range: from the least to the greatest finite value expected, 0 included. @relative: @difference
 *   as a share of it; of 1 where the range is 0.
 * @at: the row-major index of the largest difference, with what was expected and found there.
 * @reference: in comparisons with given tensors, what the reference kernels have there; NaN where
 *   their shape differs. @beyond: the shapes differ, or @relative is over the tolerance (and
 *   @difference over 1 in 8-bit tensors, where that is rounding). */
typedef struct {
  char *name;
  int actor;
  guint port;
  int step;
  LcipShape expected_shape, found_shape;
  double difference, range, relative;
  gint64 at;
  double expected, found, reference;
  gboolean beyond;
} LcipVerifyItem;

/** LcipVerifyOptions: all borrowed. @plan: how to plan. @inputs: as in LcipRunOptions, source
 * actors' pictures by actor id among them; graph inputs that are missing get seeded random values.
 * @expected: graph output's name -> LcipTensor, or NULL. @tolerance: a share of the range; 0 for
 * LCIP_VERIFY_TOLERANCE. */
typedef struct {
  LcipPlanOptions plan;
  GHashTable *inputs;
  GHashTable *expected;
  double tolerance;
} LcipVerifyOptions;

/** LcipVerification: @plan: the plan that was verified. @steps: LcipVerifyItem of each output of
 * each step, in the order of firing. @outputs: of each graph output, mapped against reference.
 * @expected: of each tensor given, mapped against given.
 * @first: the first of @steps beyond the tolerance, else of @outputs, else of @expected, or NULL.
 * @largest: the largest relative difference of any; NULL when nothing was compared.
 * @n_beyond: how many of all are beyond the tolerance. */
typedef struct {
  LcipPlan *plan;
  double tolerance;
  GPtrArray *steps;
  GPtrArray *outputs;
  GPtrArray *expected;
  const LcipVerifyItem *first;
  const LcipVerifyItem *largest;
  guint n_beyond;
} LcipVerification;

/** lcip_verify: runs one frame as mapped and on the reference kernels, actor by actor, and compares
 * the outputs of every step. The first run is the plan's as it is and gives the graph's outputs; a
 * second one, of the same steps, keeps every step's output. Takes long; any thread. */
LcipVerification *lcip_verify(LcipGraph *graph, const LcipVerifyOptions *options,
                              GPtrArray *problems, GCancellable *cancellable, GError **error);
void lcip_verification_free(LcipVerification *verification);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipVerification, lcip_verification_free)

G_END_DECLS
