#include "config.h"

#include "lcip-infer.h"

/* Operators that change a tensor's shape and not its bytes, and those that make tensors of shapes.
 */

static gboolean identity_infer(LcipStep *step, GError **error) {
  return lcip_infer_set(step, 0, step->inputs[0].type, &step->inputs[0].shape, error);
}

/* Training with a ratio of 0 drops nothing either; PyTorch exports it so. */
static gboolean drops_something(const LcipStep *step, LcipTensor *training) {
  LcipTensor *ratio = lcip_step_constant(step, 1);
  if (!training || lcip_tensor_get_bytes(training) == 0 ||
      !*(const guint8 *)lcip_tensor_get_data(training))
    return FALSE;
  return !ratio || lcip_tensor_get_spec(ratio)->type != LCIP_TYPE_F32 ||
         lcip_tensor_get_bytes(ratio) < sizeof(float) ||
         *(const float *)lcip_tensor_get_data(ratio) != 0;
}

static gboolean dropout_infer(LcipStep *step, GError **error) {
  LcipTensor *training = lcip_step_constant(step, 2);
  if (lcip_step_has_input(step, 2) && !training)
    return lcip_infer_fail(error, "input training_mode: expected a constant, found a computed one");
  if (drops_something(step, training)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
                "input training_mode: expected false or a ratio of 0, found true");
    return FALSE;
  }
  for (guint i = 1; i < step->n_outputs; i++)
    if (!lcip_infer_set(step, i, LCIP_TYPE_BOOL, &step->inputs[0].shape, error))
      return FALSE;
  return identity_infer(step, error);
}

/* Replaces the -1 of @shape, at @unknown, so that it has @count elements. */
static gboolean fill_unknown(LcipShape *shape, int unknown, gint64 count) {
  if (unknown >= 0) {
    shape->dims[unknown] = 1;
    const gint64 known = lcip_shape_count(shape);
    if (known <= 0 || count % known != 0)
      return FALSE;
    shape->dims[unknown] = count / known;
  }
  return lcip_shape_count(shape) == count;
}

static gboolean reshape_infer(LcipStep *step, GError **error) {
  const LcipShape *in = &step->inputs[0].shape;
  const gboolean allow_zero = lcip_attrs_get_int(step->attrs, "allowzero") != 0;
  LcipShape shape = {0};
  guint n;
  int unknown = -1;
  if (!lcip_infer_ints(step, 1, LCIP_MAX_RANK, shape.dims, &n, error))
    return FALSE;
  shape.rank = (int)n;
  const LcipShape asked = shape;
  gboolean valid = TRUE;
  for (int i = 0; i < shape.rank; i++) {
    if (shape.dims[i] == 0 && !allow_zero) {
      valid = valid && i < in->rank;
      shape.dims[i] = i < in->rank ? in->dims[i] : 0;
    } else if (shape.dims[i] == -1) {
      valid = valid && unknown < 0;
      unknown = i;
    }
  }
  if (valid && fill_unknown(&shape, unknown, lcip_shape_count(in)))
    return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
  g_autofree char *found = lcip_shape_to_string(&asked);
  g_autofree char *input = lcip_shape_to_string(in);
  return lcip_infer_fail(error, "input shape: expected a shape for the elements of %s, found %s",
                         input, found);
}

static gboolean flatten_infer(LcipStep *step, GError **error) {
  const LcipShape *in = &step->inputs[0].shape;
  const gint64 axis = lcip_attrs_get_int(step->attrs, "axis");
  if (axis < -in->rank || axis > in->rank)
    return lcip_infer_fail(
        error, "attribute axis: expected a value from %d to %d, found %" G_GINT64_FORMAT, -in->rank,
        in->rank, axis);
  const int split = (int)(axis < 0 ? axis + in->rank : axis);
  LcipShape shape = {.rank = 2, .dims = {1, 1}};
  for (int i = 0; i < in->rank; i++)
    if (__builtin_mul_overflow(shape.dims[i >= split], in->dims[i], &shape.dims[i >= split]))
      return lcip_infer_fail(error, "input: expected sizes that fit memory");
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

static gboolean squeeze_infer(LcipStep *step, GError **error) {
  const LcipShape *in = &step->inputs[0].shape;
  gint64 axes[LCIP_MAX_RANK];
  gboolean marked[LCIP_MAX_RANK] = {FALSE};
  const gboolean given = lcip_step_has_input(step, 1);
  LcipShape shape = {0};
  guint n;
  if (given && (!lcip_infer_ints(step, 1, LCIP_MAX_RANK, axes, &n, error) ||
                !lcip_infer_axes(step, axes, n, in->rank, marked, error)))
    return FALSE;
  for (int i = 0; i < in->rank; i++) {
    if (given && marked[i] && in->dims[i] != 1)
      return lcip_infer_fail(
          error, "input axes: expected axes of size 1, found axis %d of size %" G_GINT64_FORMAT, i,
          in->dims[i]);
    if (given ? !marked[i] : in->dims[i] != 1)
      shape.dims[shape.rank++] = in->dims[i];
  }
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

static gboolean unsqueeze_infer(LcipStep *step, GError **error) {
  const LcipShape *in = &step->inputs[0].shape;
  gint64 axes[LCIP_MAX_RANK];
  gboolean marked[LCIP_MAX_RANK] = {FALSE};
  guint n;
  if (!lcip_infer_ints(step, 1, LCIP_MAX_RANK, axes, &n, error))
    return FALSE;
  if (in->rank + (int)n > LCIP_MAX_RANK)
    return lcip_infer_fail(error, "input axes: expected an output rank of at most %d, found %d",
                           LCIP_MAX_RANK, in->rank + (int)n);
  LcipShape shape = {.rank = in->rank + (int)n};
  if (!lcip_infer_axes(step, axes, n, shape.rank, marked, error))
    return FALSE;
  for (int i = 0, k = 0; i < shape.rank; i++)
    shape.dims[i] = marked[i] ? 1 : in->dims[k++];
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

static gint64 shape_bound(gint64 index, int rank) {
  return CLAMP(index < 0 ? index + rank : index, 0, rank);
}

static gboolean shape_infer(LcipStep *step, GError **error) {
  const int rank = step->inputs[0].shape.rank;
  const gint64 start = shape_bound(lcip_attrs_get_int(step->attrs, "start"), rank);
  const gint64 end = lcip_attrs_has(step->attrs, "end")
                         ? shape_bound(lcip_attrs_get_int(step->attrs, "end"), rank)
                         : rank;
  const LcipShape shape = {.rank = 1, .dims = {MAX(end - start, 0)}};
  return lcip_infer_set(step, 0, LCIP_TYPE_I64, &shape, error);
}

static gboolean size_infer(LcipStep *step, GError **error) {
  const LcipShape scalar = {0};
  return lcip_infer_set(step, 0, LCIP_TYPE_I64, &scalar, error);
}

static gboolean constant_infer(LcipStep *step, GError **error) {
  static const struct {
    const char *name;
    LcipType type;
    int rank;
  } forms[] = {{"value_float", LCIP_TYPE_F32, 0},
               {"value_floats", LCIP_TYPE_F32, 1},
               {"value_int", LCIP_TYPE_I64, 0},
               {"value_ints", LCIP_TYPE_I64, 1}};
  const LcipAttrValue *value = lcip_attrs_get(step->attrs, "value");
  if (value && value->tensor) {
    const LcipTensorSpec *spec = lcip_tensor_get_spec(value->tensor);
    return lcip_infer_set(step, 0, spec->type, &spec->shape, error);
  }
  for (guint i = 0; i < G_N_ELEMENTS(forms); i++) {
    value = lcip_attrs_get(step->attrs, forms[i].name);
    if (!value)
      continue;
    const LcipShape shape = {.rank = forms[i].rank, .dims = {value->n}};
    return lcip_infer_set(step, 0, forms[i].type, &shape, error);
  }
  return lcip_infer_fail(error, "expected one of the attributes value, value_float, value_floats, "
                                "value_int, value_ints, found none");
}

static gboolean constant_of_shape_infer(LcipStep *step, GError **error) {
  const LcipAttrValue *value = lcip_attrs_get(step->attrs, "value");
  LcipType type = LCIP_TYPE_F32;
  LcipShape shape = {0};
  guint n;
  if (!lcip_infer_ints(step, 0, LCIP_MAX_RANK, shape.dims, &n, error))
    return FALSE;
  shape.rank = (int)n;
  if (value && value->tensor) {
    const LcipTensorSpec *spec = lcip_tensor_get_spec(value->tensor);
    if (lcip_shape_count(&spec->shape) != 1)
      return lcip_infer_fail(error, "attribute value: expected one value, found %" G_GINT64_FORMAT,
                             lcip_shape_count(&spec->shape));
    type = spec->type;
  }
  return lcip_infer_set(step, 0, type, &shape, error);
}

static const LcipPortDef input_inputs[] = {{"input", LCIP_PORT_PLAIN, "Input"}};
static const LcipPortDef output_outputs[] = {{"output", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef dropout_inputs[] = {
    {"data", LCIP_PORT_PLAIN, "Input"},
    {"ratio", LCIP_PORT_OPTIONAL, "Has no effect on inference"},
    {"training_mode", LCIP_PORT_OPTIONAL | LCIP_PORT_SHAPE, "Must be false"}};
static const LcipPortDef dropout_outputs[] = {{"output", LCIP_PORT_PLAIN, "The input"},
                                              {"mask", LCIP_PORT_OPTIONAL, "True everywhere"}};
static const LcipPortDef reshape_inputs[] = {
    {"data", LCIP_PORT_PLAIN, "Input"},
    {"shape", LCIP_PORT_SHAPE, "Shape of the output: 0 keeps a size, one -1 is found"}};
static const LcipPortDef reshaped_outputs[] = {{"reshaped", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef squeeze_inputs[] = {
    {"data", LCIP_PORT_PLAIN, "Input"},
    {"axes", LCIP_PORT_OPTIONAL | LCIP_PORT_SHAPE, "Axes to remove; all of size 1 when absent"}};
static const LcipPortDef squeezed_outputs[] = {{"squeezed", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef unsqueeze_inputs[] = {
    {"data", LCIP_PORT_PLAIN, "Input"},
    {"axes", LCIP_PORT_SHAPE, "Where the output has new axes of size 1"}};
static const LcipPortDef expanded_outputs[] = {{"expanded", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef data_inputs[] = {{"data", LCIP_PORT_PLAIN, "Input"}};
static const LcipPortDef shape_outputs[] = {{"shape", LCIP_PORT_PLAIN, "The sizes"}};
static const LcipPortDef size_outputs[] = {{"size", LCIP_PORT_PLAIN, "The number of elements"}};
static const LcipPortDef fill_inputs[] = {{"input", LCIP_PORT_SHAPE, "Shape of the output"}};

static const LcipAttrDef reshape_attrs[] = {
    {"allowzero", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL, "1: a 0 in the shape is a size"}};
static const LcipAttrDef flatten_attrs[] = {
    {"axis", LCIP_ATTR_INT, FALSE, "1", -LCIP_MAX_RANK, LCIP_MAX_RANK, NULL, NULL,
     "Axes before this one become the first, the others the second"}};
static const LcipAttrDef shape_attrs[] = {
    {"end", LCIP_ATTR_INT, FALSE, NULL, 0, 0, NULL, NULL, "Axis behind the last; all when absent"},
    {"start", LCIP_ATTR_INT, FALSE, "0", 0, 0, NULL, NULL, "First axis"}};
static const LcipAttrDef constant_attrs[] = {
    {"value", LCIP_ATTR_TENSOR, FALSE, NULL, 0, 0, NULL, NULL, "The tensor"},
    {"value_float", LCIP_ATTR_FLOAT, FALSE, NULL, 0, 0, NULL, NULL, "A scalar f32"},
    {"value_floats", LCIP_ATTR_FLOATS, FALSE, NULL, 0, 0, NULL, NULL, "A list of f32"},
    {"value_int", LCIP_ATTR_INT, FALSE, NULL, 0, 0, NULL, NULL, "A scalar i64"},
    {"value_ints", LCIP_ATTR_INTS, FALSE, NULL, 0, 0, NULL, NULL, "A list of i64"}};
static const LcipAttrDef fill_attrs[] = {{"value", LCIP_ATTR_TENSOR, FALSE, NULL, 0, 0, NULL, NULL,
                                          "Type and value of the elements; f32 0 when not given"}};

#define PORTS(in, out)                                                                             \
  .inputs = in, .n_inputs = G_N_ELEMENTS(in), .outputs = out, .n_outputs = G_N_ELEMENTS(out)
#define ATTRS(table) .attrs = table, .n_attrs = G_N_ELEMENTS(table)
#define OPERATOR(id, NAME, SUMMARY, FLAGS, INFER, ...)                                             \
  static const LcipOperator id = {                                                                 \
      .domain = "", .name = NAME, .summary = SUMMARY, .flags = FLAGS, .infer = INFER, __VA_ARGS__}

OPERATOR(identity, "Identity", "The input", LCIP_OP_VIEW, identity_infer,
         PORTS(input_inputs, output_outputs));
OPERATOR(dropout, "Dropout", "The input: inference drops nothing", LCIP_OP_VIEW, dropout_infer,
         PORTS(dropout_inputs, dropout_outputs));
OPERATOR(reshape, "Reshape", "Same elements, other shape", LCIP_OP_VIEW, reshape_infer,
         PORTS(reshape_inputs, reshaped_outputs), ATTRS(reshape_attrs));
OPERATOR(flatten, "Flatten", "Makes a matrix of a tensor", LCIP_OP_VIEW, flatten_infer,
         PORTS(input_inputs, output_outputs), ATTRS(flatten_attrs));
OPERATOR(squeeze, "Squeeze", "Removes axes of size 1", LCIP_OP_VIEW, squeeze_infer,
         PORTS(squeeze_inputs, squeezed_outputs));
OPERATOR(unsqueeze, "Unsqueeze", "Adds axes of size 1", LCIP_OP_VIEW, unsqueeze_infer,
         PORTS(unsqueeze_inputs, expanded_outputs));
OPERATOR(shape_op, "Shape", "The sizes of a tensor", LCIP_OP_PLAIN, shape_infer,
         PORTS(data_inputs, shape_outputs), ATTRS(shape_attrs));
OPERATOR(size_op, "Size", "The number of a tensor's elements", LCIP_OP_PLAIN, size_infer,
         PORTS(data_inputs, size_outputs));
OPERATOR(constant, "Constant", "A tensor that the document holds", LCIP_OP_PLAIN, constant_infer,
         .outputs = output_outputs, .n_outputs = 1, ATTRS(constant_attrs));
OPERATOR(constant_of_shape, "ConstantOfShape", "A tensor filled with one value", LCIP_OP_PLAIN,
         constant_of_shape_infer, PORTS(fill_inputs, output_outputs), ATTRS(fill_attrs));

const LcipOperator *const lcip_operators_shape[] = {
    &identity, &dropout, &reshape,  &flatten,           &squeeze, &unsqueeze,
    &shape_op, &size_op, &constant, &constant_of_shape, NULL};
