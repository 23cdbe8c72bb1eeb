#include "config.h"

#include "test-transform.h"

#include <string.h>

/* Which kernel the plan takes for a step, and from where that reads its weights. */

/* ---- which kernel ---- */

/* Winograd convolution is taken where it pays, and not where a pin or the options say so; a pin to
 * "direct" does not keep the activation apart. */
static void test_direct(void) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 64, 24, 24));
  const int conv = add_conv(graph, "conv", LCIP_NO_ACTOR, 64, 64, "1 1 1 1");
  finish(graph, add(graph, "Relu", "relu", 1, conv));
  g_assert_cmpint(numerics_of(graph, &(LcipPlanOptions){0}, "conv"), ==, LCIP_NUMERICS_WINOGRAD);
  g_assert_cmpint(numerics_of(graph, &(LcipPlanOptions){.direct = TRUE}, "conv"), <,
                  LCIP_NUMERICS_WINOGRAD);
  g_assert_cmpint(numerics_of(graph, &(LcipPlanOptions){.pinned = TRUE}, "conv"), <,
                  LCIP_NUMERICS_WINOGRAD);
  lcip_mapping_pin(lcip_graph_find_mapping(graph, NULL), "conv", "direct");
  g_assert_cmpint(numerics_of(graph, &(LcipPlanOptions){0}, "conv"), <, LCIP_NUMERICS_WINOGRAD);
  check(graph, 1);
}

static void check_winograd_window(LcipShape input, LcipShape weights, const char *pads,
                                  const char *strides) {
  g_autoptr(LcipGraph) graph = new_graph(input);
  const int conv = add(graph, "Conv", "conv", 2, LCIP_NO_ACTOR);
  set(graph, conv, "pads", LCIP_ATTR_INTS, pads);
  set(graph, conv, "strides", LCIP_ATTR_INTS, strides);
  constant(graph, conv, 1, random_tensor(weights, 7));
  finish(graph, conv);
  g_assert_cmpint(numerics_of(graph, &(LcipPlanOptions){0}, "conv"), ==, LCIP_NUMERICS_WINOGRAD);
  check(graph, 1);
}

/* Other windows than 3x3, and strides over few channels; these need no reorder of the input. */
static void test_winograd_windows(void) {
  check_winograd_window(lcip_shape(4, 1, 32, 27, 27), lcip_shape(4, 32, 32, 5, 5), "2 2 2 2",
                        "1 1");
  check_winograd_window(lcip_shape(4, 1, 64, 17, 17), lcip_shape(4, 64, 64, 1, 7), "0 3 0 3",
                        "1 1");
  check_winograd_window(lcip_shape(4, 1, 64, 17, 17), lcip_shape(4, 64, 64, 7, 1), "3 0 3 0",
                        "1 1");
  check_winograd_window(lcip_shape(4, 1, 3, 64, 64), lcip_shape(4, 64, 3, 7, 7), "3 3 3 3", "2 2");
}

static void check_tile(int channels, int side, gboolean pools, const char *kernel, guint n_steps) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, channels, side, side));
  int last = add_conv(graph, "conv", LCIP_NO_ACTOR, channels, channels, "1 1 1 1");
  if (pools) {
    last = add(graph, "MaxPool", "pool", 1, last);
    set(graph, last, "kernel_shape", LCIP_ATTR_INTS, "2 2");
    set(graph, last, "strides", LCIP_ATTR_INTS, "2 2");
  }
  finish(graph, last);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  const LcipPlanStep *step = lcip_plan_step(plan, (guint)actor_of(plan, "conv")->step);
  if (!g_str_has_prefix(step->kernel->name, kernel))
    g_error("expected %s for %d channels of %d x %d, found %s", kernel, channels, side, side,
            step->kernel->name);
  check(graph, n_steps);
}

/* Large tiles need fewer products where there are many pixels. A pool in the same step wants tiles
 * of even sides, and stays apart where odd ones fit so much better. */
static void test_winograd_tiles(void) {
  check_tile(128, 25, FALSE, "conv-winograd5-blocked-", 1);
  check_tile(64, 42, FALSE, "conv-winograd7-blocked-", 1);
  check_tile(64, 64, TRUE, "conv-winograd8-blocked-", 1);
  check_tile(128, 28, TRUE, "conv-winograd7-blocked-", 2);
}

static LcipTensor *zeros(LcipShape shape) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, shape);
  return lcip_tensor_new(&spec);
}

static void check_kernel(const LcipPlan *plan, const char *actor, const char *expected) {
  const LcipKernel *found = lcip_plan_step(plan, (guint)actor_of(plan, actor)->step)->kernel;
  if (!g_str_has_prefix(found->name, expected))
    g_error("%s: expected %s, found %s", actor, expected, found->name);
}

/* A convolution before a Gemm whose weights are @rows x 0.4 MB, for two streams. */
static void check_beside(gint64 rows, const char *conv_kernel, const char *gemm_kernel) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 512, 14, 14));
  const int conv = add_conv(graph, "conv", LCIP_NO_ACTOR, 512, 512, "1 1 1 1");
  const int gemm = add(graph, "Gemm", "gemm", 2, add(graph, "Flatten", "flat", 1, conv));
  set(graph, gemm, "transB", LCIP_ATTR_INT, "1");
  constant(graph, gemm, 1, zeros(lcip_shape(2, rows, 512 * 14 * 14)));
  finish(graph, gemm);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){.streams = 2, .sketch = TRUE});
  check_kernel(plan, "gemm", gemm_kernel);
  if (lcip_plan_step(plan, (guint)actor_of(plan, "conv")->step)->kernel->needs & LCIP_CPU_AVX512)
    check_kernel(plan, "conv", conv_kernel);
}

/* Streams that read much do so for several frames at once; then it pays to have fewer products of
 * larger weights, and weights in the order in which they are multiplied. */
static void test_frames_together(void) {
  check_beside(100, "conv-winograd5-blocked-", "gemm-rows-");
  check_beside(450, "conv-winograd7x5-blocked-", "gemm-packed-");
}

static gsize prepared_bytes(const LcipPlan *plan, const char *actor) {
  const LcipPlanWork *work = g_ptr_array_index(plan->works, actor_of(plan, actor)->step);
  return lcip_blob_bytes(work->blob);
}

/* A budget for one of two convolutions: the one that gains more for a byte, which is the one with
 * more pixels, keeps Winograd's weights. */
static void test_budget(void) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 64, 48, 48));
  const int large = add_conv(graph, "large", LCIP_NO_ACTOR, 64, 64, "1 1 1 1");
  const int pool = add_pool(graph, "MaxPool", large, "1 1 1 1");
  set(graph, pool, "strides", LCIP_ATTR_INTS, "2 2");
  finish(graph, add_conv(graph, "small", pool, 64, 64, "1 1 1 1"));
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  const LcipPlanOptions budget = {.winograd_budget_bytes = prepared_bytes(plan, "large")};
  g_autoptr(LcipPlan) less = compile(graph, &budget);
  const LcipPlanStep *step = lcip_plan_step(less, (guint)actor_of(less, "small")->step);
  g_assert_cmpint(numerics_of(graph, &(LcipPlanOptions){0}, "small"), ==, LCIP_NUMERICS_WINOGRAD);
  g_assert_cmpint(numerics_of(graph, &budget, "large"), ==, LCIP_NUMERICS_WINOGRAD);
  g_assert_cmpint(step->kernel->numerics, <, LCIP_NUMERICS_WINOGRAD);
  g_assert_nonnull(strstr(step->reason, "budget"));
  g_assert_cmpuint(lcip_plan_lane(less, 0)->weight_bytes, <, lcip_plan_lane(plan, 0)->weight_bytes);
}

/* With a little less than all, the one that gains less for a byte has smaller tiles. */
static void test_budget_smaller(void) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(4, 1, 64, 48, 48));
  finish(graph, add_conv(graph, "conv", LCIP_NO_ACTOR, 64, 64, "1 1 1 1"));
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  const gsize bytes = prepared_bytes(plan, "conv");
  g_autoptr(LcipPlan) less = compile(graph, &(LcipPlanOptions){.winograd_budget_bytes = bytes - 1});
  const LcipPlanStep *step = lcip_plan_step(less, (guint)actor_of(less, "conv")->step);
  g_assert_cmpint(step->kernel->numerics, ==, LCIP_NUMERICS_WINOGRAD);
  g_assert_nonnull(strstr(step->reason, "budget"));
  g_assert_cmpuint(prepared_bytes(less, "conv"), <, bytes);
}

/* ---- weights as a file has them ---- */

static LcipTensor *unaligned_copy(const LcipTensor *tensor) {
  const gsize size_bytes = lcip_tensor_get_bytes(tensor);
  guint8 *stored = g_malloc(size_bytes + 1);
  memcpy(stored + 1, lcip_tensor_get_data(tensor), size_bytes);
  g_autoptr(GBytes) bytes = g_bytes_new_take(stored, size_bytes + 1);
  return lcip_tensor_new_from_bytes(lcip_tensor_get_spec(tensor), bytes, 1);
}

static LcipTensor *product_with(LcipTensor *weights, LcipTensor *x) {
  g_autoptr(LcipGraph) graph = new_graph(lcip_shape(2, 1, 200));
  const int gemm = add(graph, "Gemm", "gemm", 2, LCIP_NO_ACTOR);
  set(graph, gemm, "transB", LCIP_ATTR_INT, "1");
  constant(graph, gemm, 1, lcip_tensor_ref(weights));
  finish(graph, gemm);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  return output_of(plan, x);
}

/* Large ones are read where they are: no second copy of them is made. */
static void test_unaligned_weights(void) {
  g_autoptr(LcipTensor) x = random_tensor(lcip_shape(2, 1, 200), 1);
  g_autoptr(LcipTensor) aligned = random_tensor(lcip_shape(2, 300, 200), 2);
  g_autoptr(LcipTensor) unaligned = unaligned_copy(aligned);
  g_assert_false(lcip_tensor_is_aligned(unaligned));
  g_autoptr(LcipTensor) found = product_with(unaligned, x);
  g_autoptr(LcipTensor) expected = product_with(aligned, x);
  g_assert_false(lcip_tensor_is_aligned(unaligned));
  g_assert_cmpmem(lcip_tensor_get_data(found), lcip_tensor_get_bytes(found),
                  lcip_tensor_get_data(expected), lcip_tensor_get_bytes(expected));
}

/* ---- the width of vectors ---- */

/* x -> first -> relu -> second -> y */
static LcipGraph *width_graph(int channels) {
  LcipGraph *graph = new_graph(lcip_shape(4, 1, channels, 19, 20));
  const int first = add_conv(graph, "first", LCIP_NO_ACTOR, channels, channels, "1 1 1 1");
  const int relu = add(graph, "Relu", "relu", 1, first);
  finish(graph, add_conv(graph, "second", relu, channels, channels, "1 1 1 1"));
  return graph;
}

/* Both convolutions of a graph of @channels give @format, and the plan says why if @because. */
static void check_width(int channels, LcipFormat format, gboolean because) {
  g_autoptr(LcipGraph) graph = width_graph(channels);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  const LcipPlanStep *step = lcip_plan_step(plan, (guint)actor_of(plan, "first")->step);
  g_assert_cmpint(step->output.format, ==, format);
  g_assert_cmpint(strstr(step->reason, "in blocks of 8 channels: ") != NULL, ==, because);
  check(graph, 2);
}

/* Names are those of kernels that the rest of the graph does without. */
static void check_width_pin(void) {
  g_autoptr(LcipGraph) graph = width_graph(24);
  lcip_mapping_pin(lcip_graph_find_mapping(graph, NULL), "second", "conv-blocked-avx512");
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  const LcipPlanStep *first = lcip_plan_step(plan, (guint)actor_of(plan, "first")->step);
  const LcipPlanStep *second = lcip_plan_step(plan, (guint)actor_of(plan, "second")->step);
  g_assert_cmpint(first->output.format, ==, LCIP_FORMAT_NCHW8C);
  g_assert_cmpint(second->output.format, ==, LCIP_FORMAT_NCHW16C);
  g_assert_cmpstr(second->reason, ==, "pinned");
  check(graph, 2);
}

/* Where 512 bits are computed in halves, three blocks of 8 channels are less than two of 16. */
static void test_width_halves(void) {
  check_width(24, LCIP_FORMAT_NCHW8C, TRUE);
  check_width(64, LCIP_FORMAT_NCHW16C, FALSE);
  check_width_pin();
}

static void test_width_full(void) {
  check_width(24, LCIP_FORMAT_NCHW16C, FALSE);
  check_width(64, LCIP_FORMAT_NCHW16C, FALSE);
}

/* Without AVX-512 there is nothing to choose. */
static void check_no_choice(void) {
  g_autoptr(LcipGraph) graph = width_graph(24);
  g_autoptr(LcipPlan) plan = compile(graph, &(LcipPlanOptions){0});
  const LcipPlanStep *step = lcip_plan_step(plan, (guint)actor_of(plan, "first")->step);
  g_assert_null(strstr(step->reason, "in blocks of 8 channels: "));
  check(graph, 2);
}

/* What the processor has is found once in a process. */
static void test_width(void) {
  if (!(lcip_cpu_features() & LCIP_CPU_AVX512)) {
    check_no_choice();
    return;
  }
  g_setenv("LCIP_CPU_VECTOR_BITS", "256", TRUE);
  g_test_trap_subprocess("/transform/width/subprocess/halves", 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_passed();
  g_setenv("LCIP_CPU_VECTOR_BITS", "512", TRUE);
  g_test_trap_subprocess("/transform/width/subprocess/full", 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_passed();
  g_unsetenv("LCIP_CPU_VECTOR_BITS");
}

void add_kernel_tests(void) {
  g_test_add_func("/transform/winograd-windows", test_winograd_windows);
  g_test_add_func("/transform/winograd-tiles", test_winograd_tiles);
  g_test_add_func("/transform/frames-together", test_frames_together);
  g_test_add_func("/transform/budget", test_budget);
  g_test_add_func("/transform/budget-smaller", test_budget_smaller);
  g_test_add_func("/transform/direct", test_direct);
  g_test_add_func("/transform/unaligned-weights", test_unaligned_weights);
  g_test_add_func("/transform/width", test_width);
  g_test_add_func("/transform/width/subprocess/halves", test_width_halves);
  g_test_add_func("/transform/width/subprocess/full", test_width_full);
}
