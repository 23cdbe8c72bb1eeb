#include "config.h"

#include "lcip-element.h"
#include "lcip-quant.h"

static const LcipType quantized_types[] = {LCIP_TYPE_U8, LCIP_TYPE_I8, LCIP_TYPE_NONE};
static const LcipType zero_types[] = {LCIP_TYPE_U8, LCIP_TYPE_I8, LCIP_TYPE_U16, LCIP_TYPE_I16,
                                      LCIP_TYPE_NONE};
static const LcipType dequantized_types[] = {LCIP_TYPE_U8,  LCIP_TYPE_I8,  LCIP_TYPE_U16,
                                             LCIP_TYPE_I16, LCIP_TYPE_I32, LCIP_TYPE_NONE};

/* Input @i is one value, or one per entry of @axis of @shape. */
static gboolean per_tensor_or_axis(const LcipStep *step, guint i, const LcipShape *shape, int axis,
                                   GError **error) {
  if (!lcip_step_has_input(step, i))
    return TRUE;
  const LcipShape *found = &step->inputs[i].shape;
  const gint64 n = lcip_shape_count(found);
  if (n == 1 || (found->rank == 1 && axis >= 0 && axis < shape->rank && n == shape->dims[axis]))
    return TRUE;
  g_autofree char *text = lcip_shape_to_string(found);
  return lcip_infer_fail(error,
                         "input %s: expected one value, or one per entry of axis %d, found %s",
                         step->op->inputs[i].name, axis, text);
}

/* The axis of QuantizeLinear matters only where scales differ along it. */
static gboolean quant_axis(const LcipStep *step, int *axis, GError **error) {
  const int rank = step->inputs[0].shape.rank;
  *axis = -1;
  return lcip_shape_count(&step->inputs[1].shape) == 1 ||
         lcip_infer_axis(step, lcip_attrs_get_int(step->attrs, "axis"), rank, axis, error);
}

static gboolean no_blocks(const LcipStep *step, GError **error) {
  if (lcip_attrs_get_int(step->attrs, "block_size") == 0)
    return TRUE;
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
              "attribute block_size: expected 0, found "
              "blocks");
  return FALSE;
}

static gboolean quantize_infer(LcipStep *step, GError **error) {
  static const LcipType types[] = {LCIP_TYPE_F32, LCIP_TYPE_I32, LCIP_TYPE_NONE};
  const gint64 asked = lcip_attrs_get_int(step->attrs, "output_dtype");
  const gboolean has_zero = lcip_step_has_input(step, 2);
  static const LcipType by_number[] = {LCIP_TYPE_U8, LCIP_TYPE_NONE, LCIP_TYPE_U8,
                                       LCIP_TYPE_I8, LCIP_TYPE_U16,  LCIP_TYPE_I16};
  LcipType type =
      asked >= 0 && asked < (gint64)G_N_ELEMENTS(by_number) ? by_number[asked] : LCIP_TYPE_NONE;
  int axis;
  if (!no_blocks(step, error) || !lcip_infer_one_of(step, 0, types, error) ||
      !lcip_infer_expect(step, 1, LCIP_TYPE_F32, -1, error) ||
      !lcip_infer_one_of(step, 2, zero_types, error) || !quant_axis(step, &axis, error))
    return FALSE;
  if (type == LCIP_TYPE_NONE)
    return lcip_infer_fail(error,
                           "attribute output_dtype: expected 2 to 5 (u8, i8, u16, i16), found "
                           "%" G_GINT64_FORMAT,
                           asked);
  if (has_zero)
    type = step->inputs[2].type;
  for (guint i = 1; i < 3; i++)
    if (!per_tensor_or_axis(step, i, &step->inputs[0].shape, axis, error))
      return FALSE;
  return lcip_infer_set(step, 0, type, &step->inputs[0].shape, error);
}

static gboolean dequantize_infer(LcipStep *step, GError **error) {
  int axis;
  if (!no_blocks(step, error) || !lcip_infer_one_of(step, 0, dequantized_types, error) ||
      !lcip_infer_expect(step, 1, LCIP_TYPE_F32, -1, error) || !quant_axis(step, &axis, error) ||
      (lcip_step_has_input(step, 2) &&
       !lcip_infer_expect(step, 2, step->inputs[0].type, -1, error)))
    return FALSE;
  for (guint i = 1; i < 3; i++)
    if (!per_tensor_or_axis(step, i, &step->inputs[0].shape, axis, error))
      return FALSE;
  return lcip_infer_set(step, 0, LCIP_TYPE_F32, &step->inputs[0].shape, error);
}

static gboolean dynamic_infer(LcipStep *step, GError **error) {
  const LcipShape scalar = {0};
  return lcip_infer_expect(step, 0, LCIP_TYPE_F32, -1, error) &&
         lcip_infer_set(step, 0, LCIP_TYPE_U8, &step->inputs[0].shape, error) &&
         (step->n_outputs < 2 || lcip_infer_set(step, 1, LCIP_TYPE_F32, &scalar, error)) &&
         (step->n_outputs < 3 || lcip_infer_set(step, 2, LCIP_TYPE_U8, &scalar, error));
}

/* ---- products ---- */

void lcip_quant_ports(const LcipStep *step, LcipQuantPorts *ports) {
  const gboolean linear = g_str_has_prefix(step->op->name, "QLinear");
  *ports = linear ? (LcipQuantPorts){.a = 0,
                                     .a_scale = 1,
                                     .a_zero = 2,
                                     .b = 3,
                                     .b_scale = 4,
                                     .b_zero = 5,
                                     .y_scale = 6,
                                     .y_zero = 7,
                                     .bias = 8}
                  : (LcipQuantPorts){.a = 0,
                                     .b = 1,
                                     .a_zero = 2,
                                     .b_zero = 3,
                                     .a_scale = -1,
                                     .b_scale = -1,
                                     .y_scale = -1,
                                     .y_zero = -1,
                                     .bias = -1};
}

static gboolean check_quant(const LcipStep *step, const LcipQuantPorts *ports, int b_axis,
                            GError **error) {
  const int floats[] = {ports->a_scale, ports->b_scale, ports->y_scale};
  if (!lcip_infer_one_of(step, (guint)ports->a, quantized_types, error) ||
      !lcip_infer_one_of(step, (guint)ports->b, quantized_types, error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS(floats); i++)
    if (floats[i] >= 0 && !lcip_infer_expect(step, (guint)floats[i], LCIP_TYPE_F32, -1, error))
      return FALSE;
  if (ports->y_zero >= 0 && !lcip_infer_one_of(step, (guint)ports->y_zero, quantized_types, error))
    return FALSE;
  const int singles[] = {ports->a_scale, ports->a_zero, ports->y_scale, ports->y_zero};
  for (guint i = 0; i < G_N_ELEMENTS(singles); i++)
    if (singles[i] >= 0 &&
        !per_tensor_or_axis(step, (guint)singles[i], &step->inputs[ports->a].shape, -1, error))
      return FALSE;
  const LcipShape *b = &step->inputs[ports->b].shape;
  return (ports->b_scale < 0 ||
          per_tensor_or_axis(step, (guint)ports->b_scale, b, b_axis, error)) &&
         per_tensor_or_axis(step, (guint)ports->b_zero, b, b_axis, error);
}

static LcipType quant_output(const LcipStep *step, const LcipQuantPorts *ports) {
  return ports->y_zero < 0 ? LCIP_TYPE_I32 : step->inputs[ports->y_zero].type;
}

static gboolean conv_infer(LcipStep *step, GError **error) {
  LcipQuantPorts ports;
  LcipWindow window;
  lcip_quant_ports(step, &ports);
  const LcipShape *x = &step->inputs[ports.a].shape, *w = &step->inputs[ports.b].shape;
  const gint64 group = lcip_attrs_get_int(step->attrs, "group");
  LcipShape shape = *x;
  if (!check_quant(step, &ports, 0, error) ||
      !lcip_window_init(&window, LCIP_WINDOW_CONV, step, x, w, error))
    return FALSE;
  if (x->dims[1] < 1 || x->dims[1] % group != 0 || x->dims[1] / group != w->dims[1] ||
      w->dims[0] < 1 || w->dims[0] % group != 0)
    return lcip_infer_fail(error,
                           "inputs: expected weights for %" G_GINT64_FORMAT
                           " channels in %" G_GINT64_FORMAT " groups, found others",
                           x->dims[1], group);
  if (ports.bias >= 0 && lcip_step_has_input(step, (guint)ports.bias)) {
    if (!lcip_infer_expect(step, (guint)ports.bias, LCIP_TYPE_I32, 1, error))
      return FALSE;
    if (step->inputs[ports.bias].shape.dims[0] != w->dims[0])
      return lcip_infer_fail(error, "input B: expected %" G_GINT64_FORMAT " values", w->dims[0]);
  }
  shape.dims[1] = w->dims[0];
  for (int i = 0; i < window.rank; i++)
    shape.dims[2 + i] = window.out[3 - window.rank + i];
  return lcip_infer_set(step, 0, quant_output(step, &ports), &shape, error);
}

static gboolean matmul_infer(LcipStep *step, GError **error) {
  LcipQuantPorts ports;
  LcipMatmul matmul;
  LcipShape shape;
  lcip_quant_ports(step, &ports);
  const LcipShape *a = &step->inputs[ports.a].shape, *b = &step->inputs[ports.b].shape;
  return check_quant(step, &ports, b->rank - 1, error) &&
         lcip_matmul_init(&matmul, a, b, &shape, error) &&
         lcip_infer_set(step, 0, quant_output(step, &ports), &shape, error);
}

static double count(const LcipTensorSpec *spec) {
  return (double)lcip_shape_count(&spec->shape);
}

static void conv_cost(const LcipStep *step, LcipCost *cost) {
  LcipQuantPorts ports;
  lcip_quant_ports(step, &ports);
  const LcipTensorSpec *w = &step->inputs[ports.b];
  cost->flops = 2 * count(w) / (double)w->shape.dims[0] * count(step->outputs);
}

static void matmul_cost(const LcipStep *step, LcipCost *cost) {
  LcipQuantPorts ports;
  lcip_quant_ports(step, &ports);
  const LcipShape *a = &step->inputs[ports.a].shape;
  cost->flops = 2 * (double)a->dims[a->rank - 1] * count(step->outputs);
}

static const LcipPortDef quantize_inputs[] = {
    {"x", LCIP_PORT_PLAIN, "Input"},
    {"y_scale", LCIP_PORT_PLAIN, "Size of a step, one for all or one per entry of the axis"},
    {"y_zero_point", LCIP_PORT_OPTIONAL, "What 0 becomes; its type is the output's"}};
static const LcipPortDef dequantize_inputs[] = {
    {"x", LCIP_PORT_PLAIN, "Quantized input"},
    {"x_scale", LCIP_PORT_PLAIN, "Size of a step, one for all or one per entry of the axis"},
    {"x_zero_point", LCIP_PORT_OPTIONAL, "What stands for 0"}};
static const LcipPortDef x_inputs[] = {{"x", LCIP_PORT_PLAIN, "Input"}};
static const LcipPortDef y_outputs[] = {{"y", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef dynamic_outputs[] = {
    {"y", LCIP_PORT_PLAIN, "Quantized input"},
    {"y_scale", LCIP_PORT_OPTIONAL, "Size of a step"},
    {"y_zero_point", LCIP_PORT_OPTIONAL, "What stands for 0"}};
static const LcipPortDef qlinear_conv_inputs[] = {
    {"x", LCIP_PORT_PLAIN, "Input: n, c, then the spatial dimensions"},
    {"x_scale", LCIP_PORT_PLAIN, "Size of a step of x"},
    {"x_zero_point", LCIP_PORT_PLAIN, "What stands for 0 in x"},
    {"w", LCIP_PORT_PLAIN, "Weights: m, c / group, then the kernel's size"},
    {"w_scale", LCIP_PORT_PLAIN, "Size of a step of w, one for all or one per output channel"},
    {"w_zero_point", LCIP_PORT_PLAIN, "What stands for 0 in w"},
    {"y_scale", LCIP_PORT_PLAIN, "Size of a step of y"},
    {"y_zero_point", LCIP_PORT_PLAIN, "What stands for 0 in y"},
    {"B", LCIP_PORT_OPTIONAL, "Bias in steps of x_scale * w_scale, one per output channel"}};
static const LcipPortDef qlinear_matmul_inputs[] = {
    {"a", LCIP_PORT_PLAIN, "Left matrices"},
    {"a_scale", LCIP_PORT_PLAIN, "Size of a step of a"},
    {"a_zero_point", LCIP_PORT_PLAIN, "What stands for 0 in a"},
    {"b", LCIP_PORT_PLAIN, "Right matrices"},
    {"b_scale", LCIP_PORT_PLAIN, "Size of a step of b"},
    {"b_zero_point", LCIP_PORT_PLAIN, "What stands for 0 in b"},
    {"y_scale", LCIP_PORT_PLAIN, "Size of a step of y"},
    {"y_zero_point", LCIP_PORT_PLAIN, "What stands for 0 in y"}};
static const LcipPortDef conv_integer_inputs[] = {
    {"x", LCIP_PORT_PLAIN, "Input: n, c, then the spatial dimensions"},
    {"w", LCIP_PORT_PLAIN, "Weights: m, c / group, then the kernel's size"},
    {"x_zero_point", LCIP_PORT_OPTIONAL, "What stands for 0 in x; 0 when absent"},
    {"w_zero_point", LCIP_PORT_OPTIONAL, "What stands for 0 in w; 0 when absent"}};
static const LcipPortDef matmul_integer_inputs[] = {
    {"A", LCIP_PORT_PLAIN, "Left matrices"},
    {"B", LCIP_PORT_PLAIN, "Right matrices"},
    {"a_zero_point", LCIP_PORT_OPTIONAL, "What stands for 0 in A; 0 when absent"},
    {"b_zero_point", LCIP_PORT_OPTIONAL, "What stands for 0 in B; 0 when absent"}};

static const LcipAttrDef quantize_attrs[] = {
    {"axis", LCIP_ATTR_INT, FALSE, "1", -LCIP_MAX_RANK, LCIP_MAX_RANK - 1, NULL, NULL,
     "Dimension that scales and zero points belong to"},
    {"block_size", LCIP_ATTR_INT, FALSE, "0", 0, G_MAXINT32, NULL, NULL, "Must be 0"},
    {"output_dtype", LCIP_ATTR_INT, FALSE, "0", 0, 23, NULL, NULL,
     "Type without a zero point: 2 u8, 3 i8, 4 u16, 5 i16; 0 u8"},
    {"saturate", LCIP_ATTR_INT, FALSE, "1", 0, 1, NULL, NULL,
     "Concerns 8-bit float types only, which LCIP does not have"}};
static const LcipAttrDef dequantize_attrs[] = {
    {"axis", LCIP_ATTR_INT, FALSE, "1", -LCIP_MAX_RANK, LCIP_MAX_RANK - 1, NULL, NULL,
     "Dimension that scales and zero points belong to"},
    {"block_size", LCIP_ATTR_INT, FALSE, "0", 0, G_MAXINT32, NULL, NULL, "Must be 0"}};
static const LcipAttrDef conv_attrs[] = {
    {"auto_pad", LCIP_ATTR_STRING, FALSE, "NOTSET", 0, 0, lcip_window_auto_pads, NULL,
     "How padding is found"},
    {"dilations", LCIP_ATTR_INTS, FALSE, NULL, 1, G_MAXINT32, NULL, "elements",
     "Distance between kernel elements per spatial dimension; 1 when not given"},
    {"group", LCIP_ATTR_INT, FALSE, "1", 1, G_MAXINT32, NULL, NULL,
     "Number of groups that channels are divided into"},
    {"kernel_shape", LCIP_ATTR_INTS, FALSE, NULL, 1, G_MAXINT32, NULL, "elements",
     "Size of the kernel; that of the weights when not given"},
    {"pads", LCIP_ATTR_INTS, FALSE, NULL, 0, G_MAXINT32, NULL, "elements",
     "Padding at the begin of each spatial dimension, then at the end of each; 0 when not given"},
    {"strides", LCIP_ATTR_INTS, FALSE, NULL, 1, G_MAXINT32, NULL, "elements",
     "Distance between windows per spatial dimension; 1 when not given"}};

#define PORTS(in, out)                                                                             \
  .inputs = in, .n_inputs = G_N_ELEMENTS(in), .outputs = out, .n_outputs = G_N_ELEMENTS(out)
#define ATTRS(table) .attrs = table, .n_attrs = G_N_ELEMENTS(table)
#define OPERATOR(id, NAME, SUMMARY, INFER, ...)                                                    \
  static const LcipOperator id = {                                                                 \
      .domain = "", .name = NAME, .summary = SUMMARY, .infer = INFER, __VA_ARGS__}

OPERATOR(quantize, "QuantizeLinear", "Rounds to steps of small integers", quantize_infer,
         PORTS(quantize_inputs, y_outputs), ATTRS(quantize_attrs));
OPERATOR(dequantize, "DequantizeLinear", "Values of quantized elements", dequantize_infer,
         PORTS(dequantize_inputs, y_outputs), ATTRS(dequantize_attrs));
OPERATOR(dynamic, "DynamicQuantizeLinear", "Quantizes with the input's own range", dynamic_infer,
         PORTS(x_inputs, dynamic_outputs));
OPERATOR(qlinear_conv, "QLinearConv", "Convolution of quantized tensors", conv_infer,
         PORTS(qlinear_conv_inputs, y_outputs), ATTRS(conv_attrs), .cost = conv_cost);
OPERATOR(qlinear_matmul, "QLinearMatMul", "Products of quantized matrices", matmul_infer,
         PORTS(qlinear_matmul_inputs, y_outputs), .cost = matmul_cost);
OPERATOR(conv_integer, "ConvInteger", "Convolution of 8-bit integers, summed in 32 bits",
         conv_infer, PORTS(conv_integer_inputs, y_outputs), ATTRS(conv_attrs), .cost = conv_cost);
OPERATOR(matmul_integer, "MatMulInteger", "Products of 8-bit integer matrices, in 32 bits",
         matmul_infer, PORTS(matmul_integer_inputs, y_outputs), .cost = matmul_cost);

const LcipOperator *const lcip_operators_quant[] = {
    &quantize,       &dequantize,   &dynamic,        &qlinear_conv,
    &qlinear_matmul, &conv_integer, &matmul_integer, NULL};
