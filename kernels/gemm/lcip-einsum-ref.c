#include "config.h"
#include "lcip-einsum.h"

typedef struct {
  LcipEinsum einsum;
  const float *operands[LCIP_EINSUM_MAX];
  float *out;
} Sum;

/* The operands' offsets at element @index of the labels [from, to), the last running fastest. */
static void offsets_at(const LcipEinsum *einsum, int from, int to, gint64 index, gint64 *offsets) {
  for (int i = to - 1; i >= from; i--) {
    const int label = einsum->labels[i];
    const gint64 at = index % einsum->sizes[label];
    index /= einsum->sizes[label];
    for (guint k = 0; k < einsum->n_operands; k++)
      offsets[k] += at * einsum->strides[k][label];
  }
}

/* Products along the last of the labels that are summed over. */
static double sum_inner(const Sum *sum, const gint64 *offsets, int label, gint64 n) {
  const LcipEinsum *einsum = &sum->einsum;
  double result = 0;
  for (gint64 i = 0; i < n; i++) {
    double product = 1;
    for (guint k = 0; k < einsum->n_operands; k++)
      product *= (double)sum->operands[k][offsets[k] + i * einsum->strides[k][label]];
    result += product;
  }
  return result;
}

static float element(const Sum *sum, gsize index) {
  const LcipEinsum *einsum = &sum->einsum;
  const gboolean sums = einsum->n_labels > einsum->n_out;
  const int last = sums ? einsum->labels[einsum->n_labels - 1] : 0;
  gint64 outer = 1, base[LCIP_EINSUM_MAX] = {0};
  double result = 0;
  offsets_at(einsum, 0, einsum->n_out, (gint64)index, base);
  for (int i = einsum->n_out; i < einsum->n_labels - 1; i++)
    outer *= einsum->sizes[einsum->labels[i]];
  for (gint64 o = 0; o < outer; o++) {
    gint64 offsets[LCIP_EINSUM_MAX];
    for (guint k = 0; k < einsum->n_operands; k++)
      offsets[k] = base[k];
    offsets_at(einsum, einsum->n_out, einsum->n_labels - 1, o, offsets);
    result += sum_inner(sum, offsets, last, sums ? einsum->sizes[last] : 1);
  }
  return (float)result;
}

static void run_range(gpointer data, gsize begin, gsize end) {
  const Sum *sum = data;
  for (gsize i = begin; i < end; i++)
    sum->out[i] = element(sum, i);
}

static gboolean einsum_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  Sum sum = {.out = call->outputs[0].data};
  LcipShape shapes[LCIP_EINSUM_MAX];
  const guint n = call->step->n_anchor_inputs;
  for (guint i = 0; i < n && i < LCIP_EINSUM_MAX; i++) {
    shapes[i] = call->inputs[i].shape;
    sum.operands[i] = call->inputs[i].data;
  }
  if (!lcip_einsum_init(&sum.einsum, lcip_attrs_get_string(call->step->attrs, "equation"), n,
                        shapes, error))
    return FALSE;
  lcip_team_ranges(team, lcip_view_count(&call->outputs[0]), 64, run_range, &sum);
  return TRUE;
}

static const char *const einsum_ref_operators[] = {"Einsum", NULL};

const LcipKernel lcip_kernel_einsum_ref = {
    .name = "einsum-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = einsum_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = einsum_ref_run,
};
