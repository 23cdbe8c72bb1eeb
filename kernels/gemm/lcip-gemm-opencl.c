#include "config.h"

#include "lcip-cl-step.h"
#include "lcip-infer.h"

/* GEMM_PARAMS of gemm.cl; strides in elements. */
typedef struct {
  gint64 batch, m, n, k;
  gint64 a_batch, a_row, a_col, b_batch, b_row, b_col, c_row, c_col;
  float alpha, beta;
} GemmSizes;

static gboolean has_c(const LcipStep *step) {
  return lcip_step_is(step, "Gemm") && step->n_anchor_inputs > 2 && lcip_step_has_input(step, 2);
}

/* C broadcasts to (m, n). */
static void c_strides(GemmSizes *g, const LcipShape *c) {
  const gint64 columns = c->rank > 0 ? c->dims[c->rank - 1] : 1;
  const gint64 rows = c->rank > 1 ? c->dims[c->rank - 2] : 1;
  g->c_col = columns > 1 ? 1 : 0;
  g->c_row = rows > 1 ? columns : 0;
}

static void gemm_sizes(GemmSizes *g, const LcipCall *call) {
  const LcipAttrs *attrs = call->step->attrs;
  const LcipShape *a = &call->inputs[0].shape, *b = &call->inputs[1].shape;
  const gboolean a_transposed = lcip_attrs_get_int(attrs, "transA") != 0;
  const gboolean b_transposed = lcip_attrs_get_int(attrs, "transB") != 0;
  *g = (GemmSizes){.batch = 1, .alpha = lcip_attrs_get_float(attrs, "alpha")};
  g->m = a->dims[a_transposed];
  g->k = a->dims[!a_transposed];
  g->n = b->dims[!b_transposed];
  g->a_row = a_transposed ? 1 : g->k;
  g->a_col = a_transposed ? g->m : 1;
  g->b_row = b_transposed ? 1 : g->n;
  g->b_col = b_transposed ? g->k : 1;
  if (has_c(call->step)) {
    g->beta = lcip_attrs_get_float(attrs, "beta");
    c_strides(g, &call->inputs[2].shape);
  }
}

/* Matrices in the leading dimensions. */
static gint64 leading(const LcipShape *shape) {
  return shape->rank > 2 ? (gint64)lcip_shape_product(shape, 0, shape->rank - 2) : 1;
}

static void matmul_sizes(GemmSizes *g, const LcipCall *call) {
  const LcipShape *a = &call->inputs[0].shape, *b = &call->inputs[1].shape;
  const gint64 a_batch = leading(a), b_batch = leading(b);
  *g = (GemmSizes){.batch = MAX(a_batch, b_batch), .alpha = 1.0f};
  g->m = a->dims[a->rank - 2];
  g->k = a->dims[a->rank - 1];
  g->n = b->dims[b->rank - 1];
  g->a_row = g->k;
  g->b_row = g->n;
  g->a_col = g->b_col = 1;
  g->a_batch = a_batch > 1 ? g->m * g->k : 0;
  g->b_batch = b_batch > 1 ? g->k * g->n : 0;
}

/* The leading dimensions are the same, or one operand has a single matrix. */
static gboolean matmul_supported(const LcipStep *step, const char **reason) {
  const LcipShape *a = &step->inputs[0].shape, *b = &step->inputs[1].shape;
  if (a->rank < 2 || b->rank < 2) {
    *reason = "OpenCL multiplies matrices, not vectors";
    return FALSE;
  }
  if (leading(a) == 1 || leading(b) == 1)
    return TRUE;
  const LcipShape left = lcip_shape_from_dims(a->rank - 2, a->dims);
  const LcipShape right = lcip_shape_from_dims(b->rank - 2, b->dims);
  if (lcip_shape_equal(&left, &right))
    return TRUE;
  *reason = "OpenCL does not broadcast parts of the leading dimensions";
  return FALSE;
}

static gboolean gemm_opencl_supports(const LcipStep *step, LcipPortFormats *formats,
                                     const char **reason) {
  if (lcip_step_is(step, "MatMul") && !matmul_supported(step, reason))
    return FALSE;
  return lcip_cl_supports_fused(step, 0, formats, reason);
}

static void push_gemm(LcipClArgs *args, const LcipCall *call, const GemmSizes *g) {
  lcip_cl_args_view(args, &call->inputs[0]);
  lcip_cl_args_view(args, &call->inputs[1]);
  /* Not read where there is no C: beta is 0. */
  lcip_cl_args_view(args, &call->inputs[has_c(call->step) ? 2 : 1]);
  lcip_cl_args_view(args, &call->outputs[0]);
  lcip_cl_args_epilogues(args, call);
  const gint64 sizes[] = {g->batch, g->m,       g->n,     g->k,     g->a_batch, g->a_row,
                          g->a_col, g->b_batch, g->b_row, g->b_col, g->c_row,   g->c_col};
  lcip_cl_args_ints(args, G_N_ELEMENTS(sizes), sizes);
  lcip_cl_args_float(args, g->alpha);
  lcip_cl_args_float(args, g->beta);
}

static gboolean gemm_opencl_enqueue(const LcipCall *call, LcipClQueue *queue, GError **error) {
  static const gsize tile_local[] = {8, 4, 1}, dot_local[] = {32, 1, 1};
  GemmSizes g;
  if (lcip_step_is(call->step, "MatMul"))
    matmul_sizes(&g, call);
  else
    gemm_sizes(&g, call);
  const gboolean dot = g.a_col == 1 && g.b_row == 1 && g.b_col != 1;
  const gsize tiles[] = {(gsize)(g.n + 15) / 16, (gsize)(g.m + 3) / 4, (gsize)g.batch};
  const gsize dots[] = {(gsize)g.n, (gsize)g.m, (gsize)g.batch};
  LcipClArgs args = lcip_cl_args_begin(queue, dot ? "gemm_dot" : "gemm_tile", error);
  push_gemm(&args, call, &g);
  return lcip_cl_args_launch(&args, 3, dot ? dots : tiles, dot ? dot_local : tile_local);
}

static const char *const gemm_opencl_operators[] = {"Gemm", "MatMul", NULL};

const LcipKernel lcip_kernel_gemm_opencl = {
    .name = "gemm-opencl",
    .family = "opencl",
    .device = LCIP_DEVICE_OPENCL,
    .operators = gemm_opencl_operators,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .supports = gemm_opencl_supports,
    .enqueue = gemm_opencl_enqueue,
};
