#include "config.h"
#include "lcip-layout.h"

#include "lcip-broadcast.h"

/* Sizes of padding below this keep sums inside 64 bits. */
#define PAD_LIMIT G_MAXINT32

static const char *const pad_modes[] = {"constant", "reflect", "edge", "wrap", NULL};

/* The axes that constant input @i lists; all of @rank in order when it is absent. */
static gboolean read_axes(const LcipStep *step, guint i, int rank, guint expected, int *axes,
                          GError **error) {
  gint64 values[LCIP_MAX_RANK];
  gboolean marked[LCIP_MAX_RANK] = {FALSE};
  guint n = (guint)rank;
  if (lcip_step_has_input(step, i)) {
    if (!lcip_infer_ints(step, i, LCIP_MAX_RANK, values, &n, error) ||
        !lcip_infer_axes(step, values, n, rank, marked, error))
      return FALSE;
  } else {
    n = MIN(expected, (guint)rank);
    for (guint k = 0; k < n; k++)
      values[k] = k;
  }
  if (n != expected)
    return lcip_infer_fail(error, "axes: expected %u values, found %u", expected, n);
  for (guint k = 0; k < n; k++)
    axes[k] = (int)(values[k] < 0 ? values[k] + rank : values[k]);
  return TRUE;
}

/* ---- Slice ---- */

static gint64 from_end(gint64 index, gint64 size) {
  return index < 0 ? index + size : index;
}

/* As Python slices: indices from the end, limited to the dimension. */
static void slice_axis(LcipSlice *slice, int axis, gint64 size, gint64 start, gint64 end,
                       gint64 step) {
  const gint64 limit = MAX(size, 1);
  step = CLAMP(step, -limit, limit);
  const gint64 low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
  start = CLAMP(from_end(start, size), step > 0 ? 0 : MIN(0, high), MAX(high, 0));
  end = CLAMP(from_end(end, size), low, high);
  const gint64 span = step > 0 ? end - start : start - end;
  slice->start[axis] = start;
  slice->step[axis] = step;
  slice->count[axis] = size > 0 && span > 0 ? (span - 1) / ABS(step) + 1 : 0;
}

gboolean lcip_slice_init(LcipSlice *slice, const LcipStep *step, const LcipShape *shape,
                         GError **error) {
  gint64 starts[LCIP_MAX_RANK], ends[LCIP_MAX_RANK], steps[LCIP_MAX_RANK];
  int axes[LCIP_MAX_RANK];
  guint n, n_ends, n_steps;
  if (!lcip_infer_ints(step, 1, LCIP_MAX_RANK, starts, &n, error) ||
      !lcip_infer_ints(step, 2, LCIP_MAX_RANK, ends, &n_ends, error) ||
      !read_axes(step, 3, shape->rank, n, axes, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    steps[i] = 1;
  n_steps = n;
  if (lcip_step_has_input(step, 4) &&
      !lcip_infer_ints(step, 4, LCIP_MAX_RANK, steps, &n_steps, error))
    return FALSE;
  if (n_ends != n || n_steps != n)
    return lcip_infer_fail(error,
                           "ends and steps: expected %u values as in starts, found %u and %u", n,
                           n_ends, n_steps);
  for (int i = 0; i < shape->rank; i++)
    slice_axis(slice, i, shape->dims[i], 0, shape->dims[i], 1);
  for (guint i = 0; i < n; i++) {
    if (steps[i] == 0)
      return lcip_infer_fail(error, "input steps: expected values other than 0, found 0");
    slice_axis(slice, axes[i], shape->dims[axes[i]], starts[i], ends[i], steps[i]);
  }
  return TRUE;
}

static gboolean slice_infer(LcipStep *step, GError **error) {
  LcipShape shape = step->inputs[0].shape;
  LcipSlice slice;
  if (!lcip_slice_init(&slice, step, &step->inputs[0].shape, error))
    return FALSE;
  for (int i = 0; i < shape.rank; i++)
    shape.dims[i] = slice.count[i];
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

/* ---- Pad ---- */

gboolean lcip_pads_init(LcipPads *pads, const LcipStep *step, const LcipShape *shape,
                        GError **error) {
  gint64 values[2 * LCIP_MAX_RANK];
  int axes[LCIP_MAX_RANK];
  guint n;
  *pads = (LcipPads){0};
  const char *mode = lcip_attrs_get_string(step->attrs, "mode");
  while (pad_modes[pads->mode] && g_strcmp0(mode, pad_modes[pads->mode]) != 0)
    pads->mode++;
  if (!pad_modes[pads->mode])
    return lcip_infer_fail(error, "attribute mode: expected a known mode, found %s", mode);
  if (!lcip_infer_ints(step, 1, 2 * LCIP_MAX_RANK, values, &n, error))
    return FALSE;
  if (n % 2 != 0)
    return lcip_infer_fail(error, "input pads: expected an even number of values, found %u", n);
  if (!read_axes(step, 3, shape->rank, n / 2, axes, error))
    return FALSE;
  for (guint i = 0; i < n; i++) {
    if (values[i] < -(gint64)PAD_LIMIT || values[i] > PAD_LIMIT)
      return lcip_infer_fail(error,
                             "input pads: expected values from -%d to %d, found %" G_GINT64_FORMAT,
                             PAD_LIMIT, PAD_LIMIT, values[i]);
    (i < n / 2 ? pads->begin : pads->end)[axes[i % (n / 2)]] = values[i];
  }
  return TRUE;
}

static gboolean pad_infer(LcipStep *step, GError **error) {
  LcipShape shape = step->inputs[0].shape;
  LcipPads pads;
  if (!lcip_pads_init(&pads, step, &step->inputs[0].shape, error))
    return FALSE;
  if (lcip_step_has_input(step, 2) &&
      (!lcip_infer_expect(step, 2, step->inputs[0].type, -1, error) ||
       (lcip_shape_count(&step->inputs[2].shape) != 1 &&
        !lcip_infer_fail(error, "input constant_value: expected one value"))))
    return FALSE;
  for (int i = 0; i < shape.rank; i++) {
    const gint64 size = shape.dims[i];
    if (__builtin_add_overflow(size, pads.begin[i] + pads.end[i], &shape.dims[i]) ||
        shape.dims[i] < 0)
      return lcip_infer_fail(error,
                             "input pads: expected to leave axis %d a size, found %" G_GINT64_FORMAT
                             " and %" G_GINT64_FORMAT " for size %" G_GINT64_FORMAT,
                             i, pads.begin[i], pads.end[i], size);
    if (size == 0 && shape.dims[i] > 0 && pads.mode != LCIP_PAD_CONSTANT)
      return lcip_infer_fail(error, "input data: expected elements along axis %d, found none", i);
  }
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

/* ---- Transpose, Concat, Split, Expand, Gather, Cast ---- */

gboolean lcip_transpose_perm(const LcipStep *step, int rank, int *perm, GError **error) {
  guint n = 0;
  gboolean marked[LCIP_MAX_RANK] = {FALSE};
  const gint64 *ints = lcip_attrs_get_ints(step->attrs, "perm", &n);
  for (int i = 0; i < rank; i++)
    perm[i] = rank - 1 - i;
  if (!ints || (n == 0 && rank > 0))
    return TRUE;
  if (n != (guint)rank)
    return lcip_infer_fail(error, "attribute perm: expected %d values, found %u", rank, n);
  for (int i = 0; i < rank; i++) {
    if (ints[i] < 0 || ints[i] >= rank || marked[ints[i]])
      return lcip_infer_fail(
          error, "attribute perm: expected each of 0 to %d once, found %" G_GINT64_FORMAT, rank - 1,
          ints[i]);
    marked[ints[i]] = TRUE;
    perm[i] = (int)ints[i];
  }
  return TRUE;
}

static gboolean transpose_infer(LcipStep *step, GError **error) {
  const LcipShape *in = &step->inputs[0].shape;
  int perm[LCIP_MAX_RANK];
  LcipShape shape = {.rank = in->rank};
  if (!lcip_transpose_perm(step, in->rank, perm, error))
    return FALSE;
  for (int i = 0; i < in->rank; i++)
    shape.dims[i] = in->dims[perm[i]];
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

static gboolean concat_infer(LcipStep *step, GError **error) {
  LcipShape shape = step->inputs[0].shape;
  int axis;
  if (!lcip_infer_axis(step, lcip_attrs_get_int(step->attrs, "axis"), shape.rank, &axis, error))
    return FALSE;
  for (guint i = 1; i < step->n_inputs; i++) {
    if (!lcip_infer_expect(step, i, step->inputs[0].type, shape.rank, error))
      return FALSE;
    for (int k = 0; k < shape.rank; k++) {
      const gint64 size = step->inputs[i].shape.dims[k];
      if (k == axis ? __builtin_add_overflow(shape.dims[k], size, &shape.dims[k])
                    : size != shape.dims[k])
        return lcip_infer_fail(error,
                               "input inputs.%u: expected size %" G_GINT64_FORMAT
                               " in dimension %d, found %" G_GINT64_FORMAT,
                               i, shape.dims[k], k, size);
    }
  }
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

/* Sizes of the parts: given by the second input, or equal but for a smaller last one. */
static gboolean split_sizes(const LcipStep *step, gint64 size, gint64 *sizes, GError **error) {
  const guint n = step->n_outputs;
  const gint64 wanted = lcip_attrs_get_int(step->attrs, "num_outputs");
  guint found = n;
  gint64 sum = 0;
  if (wanted != 0 && wanted != n)
    return lcip_infer_fail(error, "attribute num_outputs: expected %u, found %" G_GINT64_FORMAT, n,
                           wanted);
  if (lcip_step_has_input(step, 1)) {
    if (!lcip_infer_ints(step, 1, n, sizes, &found, error))
      return FALSE;
  } else {
    const gint64 part = size / n + (size % n != 0);
    for (guint i = 0; i < n; i++)
      sizes[i] = CLAMP(size - (gint64)i * part, 0, part);
  }
  for (guint i = 0; i < found; i++)
    if (sizes[i] < 0 || __builtin_add_overflow(sum, sizes[i], &sum))
      return lcip_infer_fail(error, "input split: expected sizes, found %" G_GINT64_FORMAT,
                             sizes[i]);
  if (found != n || sum != size)
    return lcip_infer_fail(error,
                           "input split: expected %u sizes of sum %" G_GINT64_FORMAT
                           ", found %u of sum %" G_GINT64_FORMAT,
                           n, size, found, sum);
  return TRUE;
}

static gboolean split_infer(LcipStep *step, GError **error) {
  LcipShape shape = step->inputs[0].shape;
  int axis;
  if (step->n_outputs < 1)
    return lcip_infer_fail(error, "expected at least one output, found none");
  if (!lcip_infer_axis(step, lcip_attrs_get_int(step->attrs, "axis"), shape.rank, &axis, error))
    return FALSE;
  g_autofree gint64 *sizes = g_new(gint64, step->n_outputs);
  if (!split_sizes(step, shape.dims[axis], sizes, error))
    return FALSE;
  for (guint i = 0; i < step->n_outputs; i++) {
    shape.dims[axis] = sizes[i];
    if (!lcip_infer_set(step, i, step->inputs[0].type, &shape, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean expand_infer(LcipStep *step, GError **error) {
  LcipShape shape = step->inputs[0].shape, wanted = {0};
  guint n;
  if (!lcip_infer_ints(step, 1, LCIP_MAX_RANK, wanted.dims, &n, error))
    return FALSE;
  wanted.rank = (int)n;
  if (lcip_shape_count(&wanted) < 0 || !lcip_broadcast_shape(&shape, &wanted)) {
    g_autofree char *found = lcip_shape_to_string(&wanted);
    g_autofree char *input = lcip_shape_to_string(&step->inputs[0].shape);
    return lcip_infer_fail(error, "input shape: expected one that broadcasts with %s, found %s",
                           input, found);
  }
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

static const LcipType index_types[] = {LCIP_TYPE_I64, LCIP_TYPE_I32, LCIP_TYPE_NONE};

static gboolean gather_infer(LcipStep *step, GError **error) {
  const LcipShape *data = &step->inputs[0].shape, *indices = &step->inputs[1].shape;
  LcipShape shape = {0};
  int axis;
  if (!lcip_infer_one_of(step, 1, index_types, error) ||
      !lcip_infer_axis(step, lcip_attrs_get_int(step->attrs, "axis"), data->rank, &axis, error))
    return FALSE;
  if (data->rank + indices->rank - 1 > LCIP_MAX_RANK)
    return lcip_infer_fail(error, "input indices: expected an output rank of at most %d, found %d",
                           LCIP_MAX_RANK, data->rank + indices->rank - 1);
  for (int i = 0; i < axis; i++)
    shape.dims[shape.rank++] = data->dims[i];
  for (int i = 0; i < indices->rank; i++)
    shape.dims[shape.rank++] = indices->dims[i];
  for (int i = axis + 1; i < data->rank; i++)
    shape.dims[shape.rank++] = data->dims[i];
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

/* ONNX's TensorProto.DataType for the types that Cast converts between. */
static const LcipType cast_targets[] = {
    [1] = LCIP_TYPE_F32,  [2] = LCIP_TYPE_U8,   [3] = LCIP_TYPE_I8,   [4] = LCIP_TYPE_U16,
    [5] = LCIP_TYPE_I16,  [6] = LCIP_TYPE_I32,  [7] = LCIP_TYPE_I64,  [9] = LCIP_TYPE_BOOL,
    [11] = LCIP_TYPE_F64, [12] = LCIP_TYPE_U32, [13] = LCIP_TYPE_U64,
};

static gboolean cast_infer(LcipStep *step, GError **error) {
  const gint64 to = lcip_attrs_get_int(step->attrs, "to");
  const LcipType from = step->inputs[0].type;
  if (to < 0 || to >= (gint64)G_N_ELEMENTS(cast_targets) || cast_targets[to] == LCIP_TYPE_NONE ||
      from == LCIP_TYPE_F16 || from == LCIP_TYPE_BF16) {
    g_set_error(
        error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
        "attribute to: expected f32, f64, bool or an integer type, found number %" G_GINT64_FORMAT
        " from %s",
        to, lcip_type_name(from));
    return FALSE;
  }
  return lcip_infer_set(step, 0, cast_targets[to], &step->inputs[0].shape, error);
}

static gboolean cast_like_infer(LcipStep *step, GError **error) {
  return lcip_infer_set(step, 0, step->inputs[1].type, &step->inputs[0].shape, error);
}

/* ---- tables ---- */

static const LcipPortDef data_inputs[] = {{"data", LCIP_PORT_PLAIN, "Input"}};
static const LcipPortDef cast_inputs[] = {{"input", LCIP_PORT_PLAIN, "Input"}};
static const LcipPortDef cast_like_inputs[] = {
    {"input", LCIP_PORT_PLAIN, "Input"},
    {"target_type", LCIP_PORT_PLAIN, "Tensor of the type wanted"}};
static const LcipPortDef cast_outputs[] = {
    {"output", LCIP_PORT_PLAIN, "The elements in the other type"}};
static const LcipPortDef transposed_outputs[] = {
    {"transposed", LCIP_PORT_PLAIN, "Input with its dimensions in another order"}};
static const LcipPortDef concat_inputs[] = {
    {"inputs", LCIP_PORT_VARIADIC, "Tensors that differ along the axis only"}};
static const LcipPortDef concat_outputs[] = {
    {"concat_result", LCIP_PORT_PLAIN, "The inputs behind each other"}};
static const LcipPortDef split_inputs[] = {
    {"input", LCIP_PORT_PLAIN, "Input"},
    {"split", LCIP_PORT_OPTIONAL | LCIP_PORT_SHAPE, "Size of each part along the axis"}};
static const LcipPortDef split_outputs[] = {{"outputs", LCIP_PORT_VARIADIC, "The parts"}};
static const LcipPortDef slice_inputs[] = {
    {"data", LCIP_PORT_PLAIN, "Input"},
    {"starts", LCIP_PORT_SHAPE, "First index per axis, from the end when negative"},
    {"ends", LCIP_PORT_SHAPE, "Index behind the last per axis, from the end when negative"},
    {"axes", LCIP_PORT_OPTIONAL | LCIP_PORT_SHAPE, "The axes meant; the first ones when absent"},
    {"steps", LCIP_PORT_OPTIONAL | LCIP_PORT_SHAPE, "Distance per axis; 1 when absent"}};
static const LcipPortDef pad_inputs[] = {
    {"data", LCIP_PORT_PLAIN, "Input"},
    {"pads", LCIP_PORT_SHAPE, "Elements added at the begin of each axis, then at the end of each"},
    {"constant_value", LCIP_PORT_OPTIONAL, "Value of added elements in mode constant; 0 if absent"},
    {"axes", LCIP_PORT_OPTIONAL | LCIP_PORT_SHAPE, "The axes meant; all when absent"}};
static const LcipPortDef expand_inputs[] = {
    {"input", LCIP_PORT_PLAIN, "Input"},
    {"shape", LCIP_PORT_SHAPE, "Shape that the input is broadcast with"}};
static const LcipPortDef gather_inputs[] = {
    {"data", LCIP_PORT_PLAIN, "Input"},
    {"indices", LCIP_PORT_PLAIN, "Indices along the axis, from the end when negative"}};
static const LcipPortDef output_outputs[] = {{"output", LCIP_PORT_PLAIN, "Result"}};

static const LcipAttrDef transpose_attrs[] = {
    {"perm", LCIP_ATTR_INTS, FALSE, NULL, 0, LCIP_MAX_RANK - 1, NULL, NULL,
     "For each dimension of the output the input's; reversed when not given"}};
static const LcipAttrDef concat_attrs[] = {{"axis", LCIP_ATTR_INT, TRUE, NULL, -LCIP_MAX_RANK,
                                            LCIP_MAX_RANK - 1, NULL, NULL,
                                            "Dimension along which the inputs are joined"}};
static const LcipAttrDef split_attrs[] = {
    {"axis", LCIP_ATTR_INT, FALSE, "0", -LCIP_MAX_RANK, LCIP_MAX_RANK - 1, NULL, NULL,
     "Dimension along which the input is split"},
    {"num_outputs", LCIP_ATTR_INT, FALSE, NULL, 1, G_MAXINT32, NULL, NULL,
     "Number of equal parts, the last one smaller"}};
static const LcipAttrDef pad_attrs[] = {{"mode", LCIP_ATTR_STRING, FALSE, "constant", 0, 0,
                                         pad_modes, NULL, "Where added elements come from"}};
static const LcipAttrDef gather_attrs[] = {{"axis", LCIP_ATTR_INT, FALSE, "0", -LCIP_MAX_RANK,
                                            LCIP_MAX_RANK - 1, NULL, NULL,
                                            "Dimension that is indexed"}};
static const LcipAttrDef cast_like_attrs[] = {
    {"saturate", LCIP_ATTR_INT, FALSE, "1", 0, 1, NULL, NULL,
     "Concerns 8-bit float types only, which LCIP does not have"}};
static const LcipAttrDef cast_attrs[] = {
    {"saturate", LCIP_ATTR_INT, FALSE, "1", 0, 1, NULL, NULL,
     "Concerns 8-bit float types only, which LCIP does not have"},
    {"to", LCIP_ATTR_INT, TRUE, NULL, 1, 23, NULL, NULL,
     "Type of the output as ONNX numbers them: 1 f32, 6 i32, 7 i64, 9 bool, 11 f64"}};

#define PORTS(in, out)                                                                             \
  .inputs = in, .n_inputs = G_N_ELEMENTS(in), .outputs = out, .n_outputs = G_N_ELEMENTS(out)
#define ATTRS(table) .attrs = table, .n_attrs = G_N_ELEMENTS(table)
#define OPERATOR(id, NAME, SUMMARY, INFER, ...)                                                    \
  static const LcipOperator id = {                                                                 \
      .domain = "", .name = NAME, .summary = SUMMARY, .infer = INFER, __VA_ARGS__}

OPERATOR(transpose, "Transpose", "Reorders the dimensions", transpose_infer,
         PORTS(data_inputs, transposed_outputs), ATTRS(transpose_attrs));
OPERATOR(concat, "Concat", "Joins tensors along an axis", concat_infer,
         PORTS(concat_inputs, concat_outputs), ATTRS(concat_attrs));
OPERATOR(split, "Split", "Splits a tensor along an axis", split_infer,
         PORTS(split_inputs, split_outputs), ATTRS(split_attrs));
OPERATOR(slice_op, "Slice", "Takes a range of each axis", slice_infer,
         PORTS(slice_inputs, output_outputs));
OPERATOR(pad, "Pad", "Adds elements at the ends of axes", pad_infer,
         PORTS(pad_inputs, output_outputs), ATTRS(pad_attrs));
OPERATOR(expand, "Expand", "Repeats a tensor by broadcasting", expand_infer,
         PORTS(expand_inputs, output_outputs));
OPERATOR(gather, "Gather", "Takes the entries of an axis that indices name", gather_infer,
         PORTS(gather_inputs, output_outputs), ATTRS(gather_attrs));
OPERATOR(cast, "Cast", "Converts the element type", cast_infer, PORTS(cast_inputs, cast_outputs),
         ATTRS(cast_attrs), .flags = LCIP_OP_ELEMENTWISE);
OPERATOR(cast_like, "CastLike", "Converts the element type to that of another tensor",
         cast_like_infer, PORTS(cast_like_inputs, cast_outputs), ATTRS(cast_like_attrs));

const LcipOperator *const lcip_operators_layout[] = {&transpose, &concat, &split, &slice_op,  &pad,
                                                     &expand,    &gather, &cast,  &cast_like, NULL};
