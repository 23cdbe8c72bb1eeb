#include "config.h"

#include "lcip-element.h"

#include <math.h>

/* Operators that take, set or find elements by index. */

static const LcipType index_types[] = {LCIP_TYPE_I64, LCIP_TYPE_I32, LCIP_TYPE_NONE};

static gboolean attr_axis(const LcipStep *step, int rank, int *axis, GError **error) {
  return lcip_infer_axis(step, lcip_attrs_get_int(step->attrs, "axis"), rank, axis, error);
}

/* Indices may be smaller than the data, but for the axis. */
static gboolean indices_fit(const LcipStep *step, int axis, GError **error) {
  const LcipShape *data = &step->inputs[0].shape, *indices = &step->inputs[1].shape;
  gboolean fit = data->rank == indices->rank;
  for (int i = 0; fit && i < data->rank; i++)
    fit = i == axis || indices->dims[i] <= data->dims[i];
  if (fit)
    return TRUE;
  g_autofree char *expected = lcip_shape_to_string(data);
  g_autofree char *found = lcip_shape_to_string(indices);
  return lcip_infer_fail(error, "input indices: expected sizes inside %s but for axis %d, found %s",
                         expected, axis, found);
}

static gboolean gather_elements_infer(LcipStep *step, GError **error) {
  int axis;
  return lcip_infer_one_of(step, 1, index_types, error) &&
         attr_axis(step, step->inputs[0].shape.rank, &axis, error) &&
         indices_fit(step, axis, error) &&
         lcip_infer_set(step, 0, step->inputs[0].type, &step->inputs[1].shape, error);
}

static gboolean scatter_elements_infer(LcipStep *step, GError **error) {
  int axis;
  if (!lcip_infer_one_of(step, 1, index_types, error) ||
      !lcip_infer_expect(step, 2, step->inputs[0].type, -1, error) ||
      !attr_axis(step, step->inputs[0].shape.rank, &axis, error) || !indices_fit(step, axis, error))
    return FALSE;
  if (!lcip_shape_equal(&step->inputs[1].shape, &step->inputs[2].shape))
    return lcip_infer_fail(error, "input updates: expected the shape of indices, found another");
  return lcip_infer_set(step, 0, step->inputs[0].type, &step->inputs[0].shape, error);
}

/* The last dimension of indices names the first dimensions of data behind @batch. */
static gboolean nd_depth(const LcipStep *step, int batch, int *depth, GError **error) {
  const LcipShape *data = &step->inputs[0].shape, *indices = &step->inputs[1].shape;
  if (!lcip_infer_expect(step, 1, LCIP_TYPE_I64, -1, error))
    return FALSE;
  if (data->rank < 1 || indices->rank < 1 || batch >= MIN(data->rank, indices->rank))
    return lcip_infer_fail(error, "inputs: expected more than %d dimensions, found %d and %d",
                           batch, data->rank, indices->rank);
  const gint64 last = indices->dims[indices->rank - 1];
  if (last < 1 || last > data->rank - batch)
    return lcip_infer_fail(
        error, "input indices: expected a last dimension of 1 to %d, found %" G_GINT64_FORMAT,
        data->rank - batch, last);
  *depth = (int)last;
  return TRUE;
}

static gboolean gather_nd_infer(LcipStep *step, GError **error) {
  const LcipShape *data = &step->inputs[0].shape, *indices = &step->inputs[1].shape;
  const int batch = (int)lcip_attrs_get_int(step->attrs, "batch_dims");
  LcipShape shape = {0};
  int depth = 0;
  if (!nd_depth(step, batch, &depth, error))
    return FALSE;
  for (int i = 0; i < batch; i++)
    if (data->dims[i] != indices->dims[i])
      return lcip_infer_fail(error,
                             "input indices: expected size %" G_GINT64_FORMAT
                             " in batch dimension %d, found %" G_GINT64_FORMAT,
                             data->dims[i], i, indices->dims[i]);
  if (indices->rank - 1 + data->rank - batch - depth > LCIP_MAX_RANK)
    return lcip_infer_fail(error, "input indices: expected an output rank of at most %d",
                           LCIP_MAX_RANK);
  for (int i = 0; i < indices->rank - 1; i++)
    shape.dims[shape.rank++] = indices->dims[i];
  for (int i = batch + depth; i < data->rank; i++)
    shape.dims[shape.rank++] = data->dims[i];
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

static gboolean scatter_nd_infer(LcipStep *step, GError **error) {
  const LcipShape *data = &step->inputs[0].shape, *indices = &step->inputs[1].shape;
  const LcipShape *updates = &step->inputs[2].shape;
  int depth = 0;
  if (!nd_depth(step, 0, &depth, error) ||
      !lcip_infer_expect(step, 2, step->inputs[0].type, -1, error))
    return FALSE;
  gboolean fit = updates->rank == indices->rank - 1 + data->rank - depth;
  for (int i = 0; fit && i < updates->rank; i++)
    fit = updates->dims[i] ==
          (i < indices->rank - 1 ? indices->dims[i] : data->dims[depth + i - (indices->rank - 1)]);
  if (!fit)
    return lcip_infer_fail(error, "input updates: expected a slice of data for each index, found "
                                  "another shape");
  return lcip_infer_set(step, 0, step->inputs[0].type, data, error);
}

static gboolean one_hot_infer(LcipStep *step, GError **error) {
  const LcipShape *indices = &step->inputs[0].shape;
  LcipTensor *depth = lcip_step_constant(step, 1);
  LcipShape shape = {.rank = indices->rank + 1};
  int axis;
  if (!depth || lcip_shape_count(&step->inputs[1].shape) != 1)
    return lcip_infer_fail(error, "input depth: expected one constant value, found another");
  if (lcip_shape_count(&step->inputs[2].shape) != 2)
    return lcip_infer_fail(error, "input values: expected 2 values, found %" G_GINT64_FORMAT,
                           lcip_shape_count(&step->inputs[2].shape));
  if (shape.rank > LCIP_MAX_RANK)
    return lcip_infer_fail(error, "input indices: expected rank %d at most, found %d",
                           LCIP_MAX_RANK - 1, indices->rank);
  const double size = lcip_element_float(step->inputs[1].type, lcip_tensor_get_data(depth), 0);
  if (!(size >= 1 && size <= G_MAXINT32))
    return lcip_infer_fail(error, "input depth: expected 1 to %d, found %g", G_MAXINT32, size);
  if (!attr_axis(step, shape.rank, &axis, error))
    return FALSE;
  for (int i = 0, k = 0; i < shape.rank; i++)
    shape.dims[i] = i == axis ? (gint64)size : indices->dims[k++];
  return lcip_infer_set(step, 0, step->inputs[2].type, &shape, error);
}

/* As many as there are elements, at most. */
static gboolean non_zero_infer(LcipStep *step, GError **error) {
  const LcipShape *in = &step->inputs[0].shape;
  const LcipShape shape = {.rank = 2, .dims = {MAX(in->rank, 1), lcip_shape_count(in)}};
  return lcip_infer_set(step, 0, LCIP_TYPE_I64, &shape, error);
}

static gboolean compress_infer(LcipStep *step, GError **error) {
  LcipShape shape = step->inputs[0].shape;
  int axis = 0;
  if (!lcip_infer_expect(step, 1, LCIP_TYPE_BOOL, 1, error))
    return FALSE;
  const gint64 n = step->inputs[1].shape.dims[0];
  if (!lcip_attrs_has(step->attrs, "axis"))
    shape = (LcipShape){.rank = 1, .dims = {lcip_shape_count(&step->inputs[0].shape)}};
  else if (!attr_axis(step, shape.rank, &axis, error))
    return FALSE;
  shape.dims[axis] = MIN(shape.dims[axis], n);
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

static gboolean top_k_infer(LcipStep *step, GError **error) {
  LcipShape shape = step->inputs[0].shape;
  gint64 k;
  guint n;
  int axis;
  if (!lcip_infer_ints(step, 1, 1, &k, &n, error) || !attr_axis(step, shape.rank, &axis, error))
    return FALSE;
  if (n != 1 || k < 0 || k > shape.dims[axis])
    return lcip_infer_fail(error, "input K: expected one value from 0 to %" G_GINT64_FORMAT,
                           shape.dims[axis]);
  shape.dims[axis] = k;
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error) &&
         (step->n_outputs < 2 || lcip_infer_set(step, 1, LCIP_TYPE_I64, &shape, error));
}

static gboolean cum_sum_infer(LcipStep *step, GError **error) {
  gint64 axis;
  guint n;
  int index;
  if (!lcip_infer_ints(step, 1, 1, &axis, &n, error))
    return FALSE;
  if (n != 1)
    return lcip_infer_fail(error, "input axis: expected one value, found %u", n);
  return lcip_infer_axis(step, axis, step->inputs[0].shape.rank, &index, error) &&
         lcip_infer_set(step, 0, step->inputs[0].type, &step->inputs[0].shape, error);
}

static const LcipPortDef gather_inputs[] = {
    {"data", LCIP_PORT_PLAIN, "Input"},
    {"indices", LCIP_PORT_PLAIN, "Indices along the axis, from the end when negative"}};
static const LcipPortDef gather_nd_inputs[] = {
    {"data", LCIP_PORT_PLAIN, "Input"},
    {"indices", LCIP_PORT_PLAIN, "Positions of slices, one along the last dimension"}};
static const LcipPortDef scatter_inputs[] = {
    {"data", LCIP_PORT_PLAIN, "Input"},
    {"indices", LCIP_PORT_PLAIN, "Where elements are replaced, from the end when negative"},
    {"updates", LCIP_PORT_PLAIN, "What replaces them"}};
static const LcipPortDef one_hot_inputs[] = {
    {"indices", LCIP_PORT_PLAIN, "Which of the depth elements is on"},
    {"depth", LCIP_PORT_SHAPE, "Size of the new axis"},
    {"values", LCIP_PORT_PLAIN, "Value of elements that are off, then of those that are on"}};
static const LcipPortDef x_inputs[] = {{"X", LCIP_PORT_PLAIN, "Input"}};
static const LcipPortDef y_outputs[] = {{"Y", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef output_outputs[] = {{"output", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef compress_inputs[] = {
    {"input", LCIP_PORT_PLAIN, "Input"},
    {"condition", LCIP_PORT_PLAIN, "Which entries of the axis are kept"}};
/* Each line along the axis is sorted. */
static void top_k_cost(const LcipStep *step, LcipCost *cost) {
  const double elements = (double)lcip_shape_count(&step->inputs[0].shape);
  cost->flops = elements * (1 + log2(MAX(1, elements)));
}

static const LcipPortDef top_k_inputs[] = {{"X", LCIP_PORT_PLAIN, "Input"},
                                           {"K", LCIP_PORT_SHAPE, "How many are taken"}};
static const LcipPortDef top_k_outputs[] = {
    {"Values", LCIP_PORT_PLAIN, "The greatest or least elements"},
    {"Indices", LCIP_PORT_OPTIONAL, "Where along the axis they are"}};
static const LcipPortDef cum_sum_inputs[] = {{"x", LCIP_PORT_PLAIN, "Input"},
                                             {"axis", LCIP_PORT_SHAPE, "Dimension of the sums"}};
static const LcipPortDef cum_sum_outputs[] = {{"y", LCIP_PORT_PLAIN, "Result"}};

#define AXIS_ATTR(fallback)                                                                        \
  {                                                                                                \
    "axis", LCIP_ATTR_INT, FALSE, fallback, -LCIP_MAX_RANK, LCIP_MAX_RANK - 1, NULL, NULL,         \
        "Dimension that is indexed"                                                                \
  }
static const char *const reductions[] = {"none", "add", "mul", "max", "min", NULL};
#define REDUCTION_ATTR                                                                             \
  {                                                                                                \
    "reduction", LCIP_ATTR_STRING, FALSE, "none", 0, 0, reductions, NULL,                          \
        "How an update combines with what is there"                                                \
  }

static const LcipAttrDef axis_attrs[] = {AXIS_ATTR("0")};
static const LcipAttrDef one_hot_attrs[] = {AXIS_ATTR("-1")};
static const LcipAttrDef compress_attrs[] = {AXIS_ATTR(NULL)};
static const LcipAttrDef scatter_attrs[] = {AXIS_ATTR("0"), REDUCTION_ATTR};
static const LcipAttrDef scatter_nd_attrs[] = {REDUCTION_ATTR};
static const LcipAttrDef gather_nd_attrs[] = {{"batch_dims", LCIP_ATTR_INT, FALSE, "0", 0,
                                               LCIP_MAX_RANK - 1, NULL, NULL,
                                               "First dimensions that data and indices share"}};
static const LcipAttrDef top_k_attrs[] = {
    AXIS_ATTR("-1"),
    {"largest", LCIP_ATTR_INT, FALSE, "1", 0, 1, NULL, NULL, "1: the greatest, 0: the least"},
    {"sorted", LCIP_ATTR_INT, FALSE, "1", 0, 1, NULL, NULL,
     "1: in order; LCIP sorts in either case"}};
static const LcipAttrDef cum_sum_attrs[] = {
    {"exclusive", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL,
     "1: an element is not part of its own sum"},
    {"reverse", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL, "1: sums begin at the end"}};

#define PORTS(in, out)                                                                             \
  .inputs = in, .n_inputs = G_N_ELEMENTS(in), .outputs = out, .n_outputs = G_N_ELEMENTS(out)
#define ATTRS(table) .attrs = table, .n_attrs = G_N_ELEMENTS(table)
#define OPERATOR(id, NAME, SUMMARY, INFER, ...)                                                    \
  static const LcipOperator id = {                                                                 \
      .domain = "", .name = NAME, .summary = SUMMARY, .infer = INFER, __VA_ARGS__}

OPERATOR(gather_elements, "GatherElements", "Takes the element that an index names, for each index",
         gather_elements_infer, PORTS(gather_inputs, output_outputs), ATTRS(axis_attrs));
OPERATOR(gather_nd, "GatherND", "Takes the slices that positions name", gather_nd_infer,
         PORTS(gather_nd_inputs, output_outputs), ATTRS(gather_nd_attrs));
OPERATOR(scatter_elements, "ScatterElements", "Replaces the elements that indices name",
         scatter_elements_infer, PORTS(scatter_inputs, output_outputs), ATTRS(scatter_attrs));
OPERATOR(scatter_nd, "ScatterND", "Replaces the slices that positions name", scatter_nd_infer,
         PORTS(scatter_inputs, output_outputs), ATTRS(scatter_nd_attrs));
OPERATOR(one_hot, "OneHot", "A new axis, on where the index says and off elsewhere", one_hot_infer,
         PORTS(one_hot_inputs, output_outputs), ATTRS(one_hot_attrs));
OPERATOR(non_zero, "NonZero", "Positions of elements other than 0", non_zero_infer,
         PORTS(x_inputs, y_outputs), .flags = LCIP_OP_DYNAMIC | LCIP_OP_CPU_ONLY,
         .cpu_only_reason = "how many there are is known only while it runs");
OPERATOR(compress, "Compress", "Keeps the entries of an axis for which a condition holds",
         compress_infer, PORTS(compress_inputs, output_outputs), ATTRS(compress_attrs),
         .flags = LCIP_OP_DYNAMIC | LCIP_OP_CPU_ONLY,
         .cpu_only_reason = "how many there are is known only while it runs");
OPERATOR(top_k, "TopK", "The greatest or least elements along an axis", top_k_infer,
         PORTS(top_k_inputs, top_k_outputs), ATTRS(top_k_attrs), .cost = top_k_cost);
OPERATOR(cum_sum, "CumSum", "Sums of all elements up to each along an axis", cum_sum_infer,
         PORTS(cum_sum_inputs, cum_sum_outputs), ATTRS(cum_sum_attrs));

const LcipOperator *const lcip_operators_index[] = {
    &gather_elements, &gather_nd, &scatter_elements, &scatter_nd, &one_hot, &non_zero,
    &compress,        &top_k,     &cum_sum,          NULL};
