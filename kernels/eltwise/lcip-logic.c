#include "config.h"

#include "lcip-broadcast.h"
#include "lcip-element.h"

/* Comparisons, logic and what else combines operands element by element in many types. */

static gboolean same_type(const LcipStep *step, guint first, guint n, GError **error) {
  for (guint i = first + 1; i < n; i++)
    if (!lcip_infer_expect(step, i, step->inputs[first].type, -1, error))
      return FALSE;
  return TRUE;
}

static gboolean infer_broadcast(LcipStep *step, LcipType type, GError **error) {
  LcipShape shape = step->inputs[0].shape;
  for (guint i = 1; i < step->n_inputs; i++) {
    g_autofree char *before = lcip_shape_to_string(&shape);
    if (lcip_broadcast_shape(&shape, &step->inputs[i].shape))
      continue;
    g_autofree char *name = lcip_operator_input_name(step->op, i);
    g_autofree char *found = lcip_shape_to_string(&step->inputs[i].shape);
    return lcip_infer_fail(error, "input %s: expected a shape that broadcasts to %s, found %s",
                           name, before, found);
  }
  return lcip_infer_set(step, 0, type, &shape, error);
}

static gboolean compare_infer(LcipStep *step, GError **error) {
  return same_type(step, 0, 2, error) && infer_broadcast(step, LCIP_TYPE_BOOL, error);
}

static gboolean logic_infer(LcipStep *step, GError **error) {
  return lcip_infer_expect(step, 0, LCIP_TYPE_BOOL, -1, error) && compare_infer(step, error);
}

static gboolean mod_infer(LcipStep *step, GError **error) {
  const LcipType type = step->inputs[0].type;
  if (lcip_type_is_float(type) && lcip_attrs_get_int(step->attrs, "fmod") == 0)
    return lcip_infer_fail(error, "attribute fmod: expected 1 for floats, found 0");
  return same_type(step, 0, 2, error) && infer_broadcast(step, type, error);
}

static gboolean shift_infer(LcipStep *step, GError **error) {
  static const LcipType types[] = {LCIP_TYPE_U8, LCIP_TYPE_U16, LCIP_TYPE_U32, LCIP_TYPE_U64,
                                   LCIP_TYPE_NONE};
  return lcip_infer_one_of(step, 0, types, error) && same_type(step, 0, 2, error) &&
         infer_broadcast(step, step->inputs[0].type, error);
}

static gboolean where_infer(LcipStep *step, GError **error) {
  return lcip_infer_expect(step, 0, LCIP_TYPE_BOOL, -1, error) && same_type(step, 1, 3, error) &&
         infer_broadcast(step, step->inputs[1].type, error);
}

static gboolean variadic_infer(LcipStep *step, GError **error) {
  return lcip_infer_expect(step, 0, LCIP_TYPE_F32, -1, error) &&
         same_type(step, 0, step->n_inputs, error) && infer_broadcast(step, LCIP_TYPE_F32, error);
}

static const LcipPortDef binary_inputs[] = {
    {"A", LCIP_PORT_PLAIN, "First operand"},
    {"B", LCIP_PORT_PLAIN, "Second operand, broadcast against the first"}};
static const LcipPortDef binary_outputs[] = {{"C", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef shift_inputs[] = {
    {"X", LCIP_PORT_PLAIN, "Unsigned integers"},
    {"Y", LCIP_PORT_PLAIN, "Bits to shift by, broadcast against X"}};
static const LcipPortDef shift_outputs[] = {{"Z", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef where_inputs[] = {
    {"condition", LCIP_PORT_PLAIN, "Where true, X is taken"},
    {"X", LCIP_PORT_PLAIN, "Values where the condition holds, broadcast"},
    {"Y", LCIP_PORT_PLAIN, "Values where it does not, broadcast"}};
static const LcipPortDef where_outputs[] = {{"output", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef variadic_inputs[] = {
    {"data_0", LCIP_PORT_VARIADIC, "Operands, broadcast against each other"}};
static const LcipPortDef sum_outputs[] = {{"sum", LCIP_PORT_PLAIN, "Result"}};
static const LcipPortDef mean_outputs[] = {{"mean", LCIP_PORT_PLAIN, "Result"}};

static const char *const directions[] = {"LEFT", "RIGHT", NULL};
static const LcipAttrDef shift_attrs[] = {
    {"direction", LCIP_ATTR_STRING, TRUE, NULL, 0, 0, directions, NULL, "Where bits move"}};
static const LcipAttrDef mod_attrs[] = {
    {"fmod", LCIP_ATTR_INT, FALSE, "0", 0, 1, NULL, NULL,
     "0: the sign is the divisor's, as in Python; 1: the dividend's, as in C"}};

#define PORTS(in, out)                                                                             \
  .inputs = in, .n_inputs = G_N_ELEMENTS(in), .outputs = out, .n_outputs = G_N_ELEMENTS(out)
#define ATTRS(table) .attrs = table, .n_attrs = G_N_ELEMENTS(table)
#define OPERATOR(id, NAME, SUMMARY, INFER, ...)                                                    \
  static const LcipOperator id = {                                                                 \
      .domain = "", .name = NAME, .summary = SUMMARY, .infer = INFER, __VA_ARGS__}

OPERATOR(equal, "Equal", "A = B", compare_infer, PORTS(binary_inputs, binary_outputs));
OPERATOR(greater, "Greater", "A > B", compare_infer, PORTS(binary_inputs, binary_outputs));
OPERATOR(greater_equal, "GreaterOrEqual", "A >= B", compare_infer,
         PORTS(binary_inputs, binary_outputs));
OPERATOR(less, "Less", "A < B", compare_infer, PORTS(binary_inputs, binary_outputs));
OPERATOR(less_equal, "LessOrEqual", "A <= B", compare_infer, PORTS(binary_inputs, binary_outputs));
OPERATOR(and_op, "And", "Both hold", logic_infer, PORTS(binary_inputs, binary_outputs));
OPERATOR(or_op, "Or", "One or both hold", logic_infer, PORTS(binary_inputs, binary_outputs));
OPERATOR(xor_op, "Xor", "Exactly one holds", logic_infer, PORTS(binary_inputs, binary_outputs));
OPERATOR(mod, "Mod", "Remainder of A / B", mod_infer, PORTS(binary_inputs, binary_outputs),
         ATTRS(mod_attrs));
OPERATOR(shift, "BitShift", "Shifts the bits of unsigned integers", shift_infer,
         PORTS(shift_inputs, shift_outputs), ATTRS(shift_attrs));
OPERATOR(where, "Where", "X where the condition holds, else Y", where_infer,
         PORTS(where_inputs, where_outputs));
OPERATOR(sum, "Sum", "Sum of the operands", variadic_infer, PORTS(variadic_inputs, sum_outputs));
OPERATOR(mean, "Mean", "Mean of the operands", variadic_infer,
         PORTS(variadic_inputs, mean_outputs));

const LcipOperator *const lcip_operators_logic[] = {
    &equal,  &greater, &greater_equal, &less,  &less_equal, &and_op, &or_op,
    &xor_op, &mod,     &shift,         &where, &sum,        &mean,   NULL};
