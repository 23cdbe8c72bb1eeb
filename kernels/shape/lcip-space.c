#include "config.h"

#include "lcip-element.h"

#include <math.h>

/* Operators that move elements in patterns, and those that make tensors of a few numbers. */

static gboolean tile_infer(LcipStep *step, GError **error) {
  LcipShape shape = step->inputs[0].shape;
  gint64 repeats[LCIP_MAX_RANK];
  guint n;
  if (!lcip_infer_ints(step, 1, LCIP_MAX_RANK, repeats, &n, error))
    return FALSE;
  if (n != (guint)shape.rank)
    return lcip_infer_fail(error, "input repeats: expected %d values, found %u", shape.rank, n);
  for (int i = 0; i < shape.rank; i++)
    if (repeats[i] < 0 || __builtin_mul_overflow(shape.dims[i], repeats[i], &shape.dims[i]))
      return lcip_infer_fail(
          error, "input repeats: expected sizes that fit, found %" G_GINT64_FORMAT, repeats[i]);
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

static gboolean depth_to_space_infer(LcipStep *step, GError **error) {
  const gint64 b = lcip_attrs_get_int(step->attrs, "blocksize");
  LcipShape shape = step->inputs[0].shape;
  if (!lcip_infer_expect(step, 0, LCIP_TYPE_NONE, 4, error))
    return FALSE;
  if (shape.dims[1] % (b * b) != 0)
    return lcip_infer_fail(error,
                           "input: expected a multiple of %" G_GINT64_FORMAT
                           " channels, found %" G_GINT64_FORMAT,
                           b * b, shape.dims[1]);
  shape.dims[1] /= b * b;
  if (__builtin_mul_overflow(shape.dims[2], b, &shape.dims[2]) ||
      __builtin_mul_overflow(shape.dims[3], b, &shape.dims[3]))
    return lcip_infer_fail(error, "attribute blocksize: expected sizes that fit memory");
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

static gboolean space_to_depth_infer(LcipStep *step, GError **error) {
  const gint64 b = lcip_attrs_get_int(step->attrs, "blocksize");
  LcipShape shape = step->inputs[0].shape;
  if (!lcip_infer_expect(step, 0, LCIP_TYPE_NONE, 4, error))
    return FALSE;
  if (shape.dims[2] % b != 0 || shape.dims[3] % b != 0)
    return lcip_infer_fail(error, "input: expected sizes that are multiples of %" G_GINT64_FORMAT,
                           b);
  if (__builtin_mul_overflow(shape.dims[1], b * b, &shape.dims[1]))
    return lcip_infer_fail(error, "attribute blocksize: expected sizes that fit memory");
  shape.dims[2] /= b;
  shape.dims[3] /= b;
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

static gboolean trilu_infer(LcipStep *step, GError **error) {
  if (step->inputs[0].shape.rank < 2)
    return lcip_infer_fail(error, "input: expected rank 2 or more, found %d",
                           step->inputs[0].shape.rank);
  if (lcip_step_has_input(step, 1) && (!lcip_infer_expect(step, 1, LCIP_TYPE_I64, -1, error) ||
                                       (lcip_shape_count(&step->inputs[1].shape) != 1 &&
                                        !lcip_infer_fail(error, "input k: expected one value"))))
    return FALSE;
  return lcip_infer_set(step, 0, step->inputs[0].type, &step->inputs[0].shape, error);
}

static gboolean range_bound(const LcipStep *step, guint i, double *value, GError **error) {
  LcipTensor *tensor = lcip_step_constant(step, i);
  if (!tensor || lcip_shape_count(&step->inputs[i].shape) != 1)
    return lcip_infer_fail(error, "input %s: expected one constant value",
                           step->op->inputs[i].name);
  *value = lcip_element_float(step->inputs[i].type, lcip_tensor_get_data(tensor), 0);
  return TRUE;
}

static gboolean range_infer(LcipStep *step, GError **error) {
  double start, limit, delta;
  if (!lcip_infer_expect(step, 1, step->inputs[0].type, -1, error) ||
      !lcip_infer_expect(step, 2, step->inputs[0].type, -1, error) ||
      !range_bound(step, 0, &start, error) || !range_bound(step, 1, &limit, error) ||
      !range_bound(step, 2, &delta, error))
    return FALSE;
  const double n = ceil((limit - start) / delta);
  if (!(fabs(n) <= G_MAXINT32))
    return lcip_infer_fail(error, "inputs: expected a range of at most %d values, found %g",
                           G_MAXINT32, n);
  const LcipShape shape = {.rank = 1, .dims = {n > 0 ? (gint64)n : 0}};
  return lcip_infer_set(step, 0, step->inputs[0].type, &shape, error);
}

static const LcipType eye_types[] = {
    [1] = LCIP_TYPE_F32,  [2] = LCIP_TYPE_U8,   [3] = LCIP_TYPE_I8,   [4] = LCIP_TYPE_U16,
    [5] = LCIP_TYPE_I16,  [6] = LCIP_TYPE_I32,  [7] = LCIP_TYPE_I64,  [9] = LCIP_TYPE_BOOL,
    [10] = LCIP_TYPE_F32, [11] = LCIP_TYPE_F32, [12] = LCIP_TYPE_U32, [13] = LCIP_TYPE_U64,
};

static gboolean eye_like_infer(LcipStep *step, GError **error) {
  LcipType type = step->inputs[0].type;
  const gint64 asked = lcip_attrs_get_int(step->attrs, "dtype");
  if (!lcip_infer_expect(step, 0, LCIP_TYPE_NONE, 2, error))
    return FALSE;
  if (lcip_attrs_has(step->attrs, "dtype"))
    type = asked > 0 && asked < (gint64)G_N_ELEMENTS(eye_types) ? eye_types[asked] : LCIP_TYPE_NONE;
  if (type == LCIP_TYPE_NONE)
    return lcip_infer_fail(
        error, "attribute dtype: expected a number type, found %" G_GINT64_FORMAT, asked);
  return lcip_infer_set(step, 0, type, &step->inputs[0].shape, error);
}

static gboolean reverse_sequence_infer(LcipStep *step, GError **error) {
  const gint64 batch = lcip_attrs_get_int(step->attrs, "batch_axis");
  const LcipShape *in = &step->inputs[0].shape;
  if (in->rank < 2 || batch == lcip_attrs_get_int(step->attrs, "time_axis"))
    return lcip_infer_fail(error, "input: expected rank 2 or more and two different axes");
  if (!lcip_infer_expect(step, 1, LCIP_TYPE_I64, 1, error))
    return FALSE;
  if (step->inputs[1].shape.dims[0] != in->dims[batch])
    return lcip_infer_fail(error, "input sequence_lens: expected %" G_GINT64_FORMAT " values",
                           in->dims[batch]);
  return lcip_infer_set(step, 0, step->inputs[0].type, in, error);
}

static const LcipPortDef tile_inputs[] = {
    {"input", LCIP_PORT_PLAIN, "Input"},
    {"repeats", LCIP_PORT_SHAPE, "How often each dimension is repeated"}};
static const LcipPortDef input_inputs[] = {{"input", LCIP_PORT_PLAIN, "Input"}};
static const LcipPortDef image_inputs[] = {{"input", LCIP_PORT_PLAIN, "Input: n, c, h, w"}};
static const LcipPortDef output_outputs[] = {{"output", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef trilu_inputs[] = {
    {"input", LCIP_PORT_PLAIN, "Matrices: the last two dimensions"},
    {"k", LCIP_PORT_OPTIONAL, "The diagonal, above the main one when positive; 0 when absent"}};
static const LcipPortDef range_inputs[] = {
    {"start", LCIP_PORT_SHAPE, "First value"},
    {"limit", LCIP_PORT_SHAPE, "Where the range ends, itself not part of it"},
    {"delta", LCIP_PORT_SHAPE, "Distance between values"}};
static const LcipPortDef reverse_inputs[] = {
    {"input", LCIP_PORT_PLAIN, "Input"},
    {"sequence_lens", LCIP_PORT_PLAIN, "How many elements of each line are reversed"}};
static const LcipPortDef y_outputs[] = {{"Y", LCIP_PORT_PLAIN, "Result"}};

static const char *const depth_modes[] = {"DCR", "CRD", NULL};
static const LcipAttrDef depth_to_space_attrs[] = {
    {"blocksize", LCIP_ATTR_INT, TRUE, NULL, 1, 1024, NULL, "pixels", "Side of the blocks"},
    {"mode", LCIP_ATTR_STRING, FALSE, "DCR", 0, 0, depth_modes, NULL,
     "Order in channels: the block's place first, or the result's channel"}};
static const LcipAttrDef space_to_depth_attrs[] = {
    {"blocksize", LCIP_ATTR_INT, TRUE, NULL, 1, 1024, NULL, "pixels", "Side of the blocks"}};
static const LcipAttrDef trilu_attrs[] = {
    {"upper", LCIP_ATTR_INT, FALSE, "1", 0, 1, NULL, NULL, "1: what is kept lies above"}};
static const LcipAttrDef eye_attrs[] = {
    {"dtype", LCIP_ATTR_INT, FALSE, NULL, 1, 23, NULL, NULL,
     "Type of the output as ONNX numbers them; the input's when not given"},
    {"k", LCIP_ATTR_INT, FALSE, "0", -G_MAXINT32, G_MAXINT32, NULL, NULL,
     "The diagonal, above the main one when positive"}};
static const LcipAttrDef reverse_attrs[] = {
    {"batch_axis", LCIP_ATTR_INT, FALSE, "1", 0, 1, NULL, NULL, "Dimension of the lines"},
    {"time_axis", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL, "Dimension that is reversed"}};

#define PORTS(in, out)                                                                             \
  .inputs = in, .n_inputs = G_N_ELEMENTS(in), .outputs = out, .n_outputs = G_N_ELEMENTS(out)
#define ATTRS(table) .attrs = table, .n_attrs = G_N_ELEMENTS(table)
#define OPERATOR(id, NAME, SUMMARY, INFER, ...)                                                    \
  static const LcipOperator id = {                                                                 \
      .domain = "", .name = NAME, .summary = SUMMARY, .infer = INFER, __VA_ARGS__}

OPERATOR(tile, "Tile", "Repeats a tensor along its dimensions", tile_infer,
         PORTS(tile_inputs, output_outputs));
OPERATOR(depth_to_space, "DepthToSpace", "Blocks of pixels from channels", depth_to_space_infer,
         PORTS(image_inputs, output_outputs), ATTRS(depth_to_space_attrs));
OPERATOR(space_to_depth, "SpaceToDepth", "Channels from blocks of pixels", space_to_depth_infer,
         PORTS(image_inputs, output_outputs), ATTRS(space_to_depth_attrs));
OPERATOR(trilu, "Trilu", "The upper or lower triangle of matrices, the rest 0", trilu_infer,
         PORTS(trilu_inputs, output_outputs), ATTRS(trilu_attrs));
OPERATOR(range, "Range", "Values at equal distances", range_infer,
         PORTS(range_inputs, output_outputs));
OPERATOR(eye_like, "EyeLike", "A matrix with 1 on a diagonal", eye_like_infer,
         PORTS(input_inputs, output_outputs), ATTRS(eye_attrs));
OPERATOR(reverse_sequence, "ReverseSequence", "Reverses the begin of each line",
         reverse_sequence_infer, PORTS(reverse_inputs, y_outputs), ATTRS(reverse_attrs));

const LcipOperator *const lcip_operators_space[] = {
    &tile, &depth_to_space, &space_to_depth, &trilu, &range, &eye_like, &reverse_sequence, NULL};
