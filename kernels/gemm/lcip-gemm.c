#include "config.h"
#include "lcip-matmul.h"

static LcipShape leading(const LcipShape *shape, int dropped) {
  LcipShape batch = *shape;
  batch.rank = MAX(shape->rank - dropped, 0);
  return batch;
}

gboolean lcip_matmul_init(LcipMatmul *matmul, const LcipShape *a, const LcipShape *b,
                          LcipShape *out, GError **error) {
  if (a->rank < 1 || b->rank < 1)
    return lcip_infer_fail(error, "inputs: expected rank 1 or more, found %d and %d", a->rank,
                           b->rank);
  const gint64 k = a->dims[a->rank - 1];
  const gint64 b_k = b->rank > 1 ? b->dims[b->rank - 2] : b->dims[0];
  if (k != b_k)
    return lcip_infer_fail(error,
                           "input B: expected %" G_GINT64_FORMAT
                           " rows as A has columns, found %" G_GINT64_FORMAT,
                           k, b_k);
  *matmul = (LcipMatmul){.m = a->rank > 1 ? (gsize)a->dims[a->rank - 2] : 1,
                         .n = b->rank > 1 ? (gsize)b->dims[b->rank - 1] : 1,
                         .k = (gsize)k,
                         .a_batch = leading(a, 2),
                         .b_batch = leading(b, 2)};
  matmul->batch = matmul->a_batch;
  if (!lcip_broadcast_shape(&matmul->batch, &matmul->b_batch)) {
    g_autofree char *a_text = lcip_shape_to_string(a);
    g_autofree char *b_text = lcip_shape_to_string(b);
    return lcip_infer_fail(error, "input B: expected batches that broadcast with %s, found %s",
                           a_text, b_text);
  }
  matmul->n_batches = lcip_shape_product(&matmul->batch, 0, matmul->batch.rank);
  if (out) {
    *out = matmul->batch;
    if (a->rank > 1)
      out->dims[out->rank++] = (gint64)matmul->m;
    if (b->rank > 1)
      out->dims[out->rank++] = (gint64)matmul->n;
  }
  return TRUE;
}

static gboolean matmul_infer(LcipStep *step, GError **error) {
  LcipMatmul matmul;
  LcipShape shape;
  return lcip_infer_expect(step, 0, LCIP_TYPE_F32, -1, error) &&
         lcip_infer_expect(step, 1, LCIP_TYPE_F32, -1, error) &&
         lcip_matmul_init(&matmul, &step->inputs[0].shape, &step->inputs[1].shape, &shape, error) &&
         lcip_infer_set(step, 0, LCIP_TYPE_F32, &shape, error);
}

static double bytes(const LcipStep *step) {
  double sum = 0;
  for (guint i = 0; i < step->n_inputs; i++)
    if (lcip_step_has_input(step, i))
      sum += 4.0 * (double)lcip_shape_count(&step->inputs[i].shape);
  return sum + 4.0 * (double)lcip_shape_count(&step->outputs[0].shape);
}

static void matmul_cost(const LcipStep *step, LcipCost *cost) {
  const LcipShape *a = &step->inputs[0].shape;
  cost->flops =
      2.0 * (double)a->dims[a->rank - 1] * (double)lcip_shape_count(&step->outputs[0].shape);
  cost->bytes = bytes(step);
}

static gboolean gemm_bias(LcipGemm *gemm, const LcipShape *c, GError **error) {
  if (!c)
    return TRUE;
  const gint64 n = c->rank > 0 ? c->dims[c->rank - 1] : 1;
  const gint64 m = c->rank > 1 ? c->dims[c->rank - 2] : 1;
  if (c->rank > 2 || (n != 1 && n != (gint64)gemm->n) || (m != 1 && m != (gint64)gemm->m)) {
    g_autofree char *found = lcip_shape_to_string(c);
    return lcip_infer_fail(error,
                           "input C: expected a shape that broadcasts to %" G_GSIZE_FORMAT
                           "x%" G_GSIZE_FORMAT ", found %s",
                           gemm->m, gemm->n, found);
  }
  gemm->c_row = m == 1 ? 0 : (gsize)n;
  gemm->c_column = n == 1 ? 0 : 1;
  return TRUE;
}

gboolean lcip_gemm_init(LcipGemm *gemm, const LcipStep *step, const LcipShape *a,
                        const LcipShape *b, const LcipShape *c, GError **error) {
  *gemm = (LcipGemm){.trans_a = lcip_attrs_get_int(step->attrs, "transA") != 0,
                     .trans_b = lcip_attrs_get_int(step->attrs, "transB") != 0,
                     .alpha = lcip_attrs_get_float(step->attrs, "alpha"),
                     .beta = lcip_attrs_get_float(step->attrs, "beta")};
  if (a->rank != 2 || b->rank != 2)
    return lcip_infer_fail(error, "inputs A and B: expected rank 2, found %d and %d", a->rank,
                           b->rank);
  gemm->m = (gsize)a->dims[gemm->trans_a ? 1 : 0];
  gemm->k = (gsize)a->dims[gemm->trans_a ? 0 : 1];
  gemm->n = (gsize)b->dims[gemm->trans_b ? 0 : 1];
  const gsize b_k = (gsize)b->dims[gemm->trans_b ? 1 : 0];
  if (b_k != gemm->k)
    return lcip_infer_fail(
        error, "input B: expected inner size %" G_GSIZE_FORMAT " as of A, found %" G_GSIZE_FORMAT,
        gemm->k, b_k);
  return gemm_bias(gemm, c, error);
}

static gboolean gemm_infer(LcipStep *step, GError **error) {
  const gboolean bias = lcip_step_has_input(step, 2);
  LcipGemm gemm;
  if (!lcip_infer_expect(step, 0, LCIP_TYPE_F32, 2, error) ||
      !lcip_infer_expect(step, 1, LCIP_TYPE_F32, 2, error) ||
      (bias && !lcip_infer_expect(step, 2, LCIP_TYPE_F32, -1, error)) ||
      !lcip_gemm_init(&gemm, step, &step->inputs[0].shape, &step->inputs[1].shape,
                      bias ? &step->inputs[2].shape : NULL, error))
    return FALSE;
  const LcipShape shape = {.rank = 2, .dims = {(gint64)gemm.m, (gint64)gemm.n}};
  return lcip_infer_set(step, 0, LCIP_TYPE_F32, &shape, error);
}

static void gemm_cost(const LcipStep *step, LcipCost *cost) {
  const gboolean transposed = lcip_attrs_get_int(step->attrs, "transA") != 0;
  cost->flops = 2.0 * (double)step->inputs[0].shape.dims[transposed ? 0 : 1] *
                (double)lcip_shape_count(&step->outputs[0].shape);
  cost->bytes = bytes(step);
}

static const LcipPortDef gemm_inputs[] = {
    {"A", LCIP_PORT_PLAIN, "Left matrix, m x k"},
    {"B", LCIP_PORT_PLAIN, "Right matrix, k x n"},
    {"C", LCIP_PORT_OPTIONAL, "What is added, broadcast to m x n"},
};
static const LcipPortDef matmul_inputs[] = {
    {"A", LCIP_PORT_PLAIN, "Left matrices, the last two dimensions m x k"},
    {"B", LCIP_PORT_PLAIN, "Right matrices, the last two dimensions k x n"},
};
static const LcipPortDef outputs[] = {{"Y", LCIP_PORT_PLAIN, "Product, m x n"}};

static const LcipAttrDef gemm_attrs[] = {
    {"alpha", LCIP_ATTR_FLOAT, FALSE, "1", 0, 0, NULL, NULL, "Factor of the product"},
    {"beta", LCIP_ATTR_FLOAT, FALSE, "1", 0, 0, NULL, NULL, "Factor of C"},
    {"transA", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL, "1: A is stored k x m"},
    {"transB", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL, "1: B is stored n x k"},
};

static const LcipOperator gemm_op = {
    .domain = "",
    .name = "Gemm",
    .summary = "Product of two matrices, plus a third",
    .inputs = gemm_inputs,
    .n_inputs = G_N_ELEMENTS(gemm_inputs),
    .outputs = outputs,
    .n_outputs = G_N_ELEMENTS(outputs),
    .attrs = gemm_attrs,
    .n_attrs = G_N_ELEMENTS(gemm_attrs),
    .infer = gemm_infer,
    .cost = gemm_cost,
};

static const LcipOperator matmul_op = {
    .domain = "",
    .name = "MatMul",
    .summary = "Products of matrices, as NumPy's matmul",
    .inputs = matmul_inputs,
    .n_inputs = G_N_ELEMENTS(matmul_inputs),
    .outputs = outputs,
    .n_outputs = G_N_ELEMENTS(outputs),
    .infer = matmul_infer,
    .cost = matmul_cost,
};

const LcipOperator *const lcip_operators_gemm[] = {&gemm_op, &matmul_op, NULL};
