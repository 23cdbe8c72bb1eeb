#include "config.h"

#include "lcip-element.h"

#include <math.h>
#include <string.h>

/* TopK sorts the indices of each line along the axis; CumSum adds along it. */
typedef struct {
  LcipType type;
  const void *in;
  gsize first, stride;
  gboolean largest;
} Line;

/* Does index @a come before @b? Of equal elements the first does. */
static gboolean comes_before(const Line *line, gsize a, gsize b) {
  const gsize ia = line->first + a * line->stride, ib = line->first + b * line->stride;
  if (lcip_type_is_float(line->type)) {
    const double x = lcip_element_float(line->type, line->in, ia);
    const double y = lcip_element_float(line->type, line->in, ib);
    if (isnan(x) || isnan(y))
      return isnan(x) && isnan(y) ? a < b : isnan(x) == line->largest;
    return x == y ? a < b : (x > y) == line->largest;
  }
  const gint64 x = lcip_element_int(line->type, line->in, ia);
  const gint64 y = lcip_element_int(line->type, line->in, ib);
  return x == y ? a < b : (x > y) == line->largest;
}

/* Heap sort: the last of the order stays at the root. */
static void sift_down(const Line *line, gsize *heap, gsize root, gsize n) {
  for (gsize child = 2 * root + 1; child < n; child = 2 * root + 1) {
    if (child + 1 < n && comes_before(line, heap[child], heap[child + 1]))
      child++;
    if (!comes_before(line, heap[root], heap[child]))
      return;
    const gsize swapped = heap[root];
    heap[root] = heap[child];
    heap[child] = swapped;
    root = child;
  }
}

static void sort_line(const Line *line, gsize *order, gsize n) {
  for (gsize i = 0; i < n; i++)
    order[i] = i;
  for (gsize i = n / 2; i-- > 0;)
    sift_down(line, order, i, n);
  for (gsize end = n; end-- > 1;) {
    const gsize last = order[0];
    order[0] = order[end];
    order[end] = last;
    sift_down(line, order, 0, end);
  }
}

static gboolean run_top_k(const LcipCall *call, GError **error) {
  const LcipShape *in = &call->inputs[0].shape;
  const LcipAttrs *attrs = call->step->attrs;
  const gsize size = lcip_type_size(call->inputs[0].spec.type);
  gsize *order = call->scratch;
  int axis;
  if (!lcip_infer_axis(call->step, lcip_attrs_get_int(attrs, "axis"), in->rank, &axis, error))
    return FALSE;
  const gsize n = (gsize)in->dims[axis], k = (gsize)call->outputs[0].shape.dims[axis];
  const gsize stride = lcip_shape_product(in, axis + 1, in->rank);
  const gsize lines = lcip_shape_product(in, 0, axis) * stride;
  gint64 *indices = call->step->n_outputs > 1 ? call->outputs[1].data : NULL;
  Line line = {.type = call->inputs[0].spec.type,
               .in = call->inputs[0].data,
               .stride = stride,
               .largest = lcip_attrs_get_int(attrs, "largest") != 0};
  for (gsize l = 0; l < lines; l++) {
    const gsize to = l / stride * stride * k + l % stride;
    line.first = l / stride * stride * n + l % stride;
    sort_line(&line, order, n);
    for (gsize i = 0; i < k; i++) {
      memcpy((char *)call->outputs[0].data + (to + i * stride) * size,
             (const char *)line.in + (line.first + order[i] * stride) * size, size);
      if (indices)
        indices[to + i * stride] = (gint64)order[i];
    }
  }
  return TRUE;
}

static void sum_line(const LcipCall *call, gsize first, gsize stride, gsize n) {
  const LcipType type = call->inputs[0].spec.type;
  const gboolean exclusive = lcip_attrs_get_int(call->step->attrs, "exclusive") != 0;
  const gboolean reverse = lcip_attrs_get_int(call->step->attrs, "reverse") != 0;
  double sum = 0;
  guint64 int_sum = 0;
  for (gsize k = 0; k < n; k++) {
    const gsize at = first + (reverse ? n - 1 - k : k) * stride;
    const double before = sum;
    const guint64 int_before = int_sum;
    if (lcip_type_is_float(type)) {
      sum += lcip_element_float(type, call->inputs[0].data, at);
      lcip_element_set_float(type, call->outputs[0].data, at, exclusive ? before : sum);
    } else {
      int_sum += (guint64)lcip_element_int(type, call->inputs[0].data, at);
      lcip_element_set_int(type, call->outputs[0].data, at,
                           (gint64)(exclusive ? int_before : int_sum));
    }
  }
}

static gboolean run_cum_sum(const LcipCall *call, GError **error) {
  const LcipShape *in = &call->inputs[0].shape;
  gint64 asked = 0;
  guint count;
  int axis;
  if (!lcip_infer_ints(call->step, 1, 1, &asked, &count, error) ||
      !lcip_infer_axis(call->step, asked, in->rank, &axis, error))
    return FALSE;
  const gsize n = (gsize)in->dims[axis], stride = lcip_shape_product(in, axis + 1, in->rank);
  const gsize lines = lcip_shape_product(in, 0, axis) * stride;
  for (gsize l = 0; l < lines; l++)
    sum_line(call, l / stride * stride * n + l % stride, stride, n);
  return TRUE;
}

static gsize top_k_ref_scratch(const LcipStep *step, const LcipPortFormats *formats,
                               guint workers) {
  gint64 longest = 0;
  for (int i = 0; i < step->inputs[0].shape.rank; i++)
    longest = MAX(longest, step->inputs[0].shape.dims[i]);
  return lcip_step_is(step, "TopK") ? (gsize)longest * sizeof(gsize) : 0;
}

static gboolean top_k_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  return lcip_step_is(call->step, "TopK") ? run_top_k(call, error) : run_cum_sum(call, error);
}

static const char *const top_k_ref_operators[] = {"TopK", "CumSum", NULL};

const LcipKernel lcip_kernel_top_k_ref = {
    .name = "top-k-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = top_k_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .scratch_bytes = top_k_ref_scratch,
    .run = top_k_ref_run,
};
