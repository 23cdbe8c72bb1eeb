#include "config.h"
#include "lcip-operator.h"
#include "lcip-tables.h"

#include <stdlib.h>
#include <string.h>

G_DEFINE_QUARK(lcip - error - quark, lcip_error)

static int compare_operators(const void *a, const void *b) {
  const LcipOperator *x = *(const LcipOperator *const *)a, *y = *(const LcipOperator *const *)b;
  const int by_domain = strcmp(x->domain, y->domain);
  return by_domain ? by_domain : strcmp(x->name, y->name);
}

static GPtrArray *collect_operators(void) {
  GPtrArray *all = g_ptr_array_new();
  for (const LcipOperator *const *const *table = lcip_operator_tables; *table; table++)
    for (const LcipOperator *const *op = *table; *op; op++)
      g_ptr_array_add(all, (gpointer)*op);
  g_ptr_array_sort(all, compare_operators);
  return all;
}

const LcipOperator *const *lcip_operator_list(guint *n) {
  static gsize once;
  static GPtrArray *all;
  if (g_once_init_enter(&once)) {
    all = collect_operators();
    g_once_init_leave(&once, 1);
  }
  *n = all->len;
  return (const LcipOperator *const *)all->pdata;
}

const LcipOperator *lcip_operator_find(const char *domain, const char *name) {
  guint n;
  const LcipOperator *const *all = lcip_operator_list(&n);
  const LcipOperator wanted = {.domain = domain, .name = name}, *key = &wanted;
  const LcipOperator *const *found = bsearch(&key, all, n, sizeof *all, compare_operators);
  return found ? *found : NULL;
}

const LcipAttrDef *lcip_operator_find_attr(const LcipOperator *op, const char *name) {
  for (guint i = 0; op && i < op->n_attrs; i++)
    if (g_str_equal(op->attrs[i].name, name))
      return &op->attrs[i];
  return NULL;
}

static char *port_name(const LcipPortDef *ports, guint n, guint i) {
  if (n > 0 && (ports[n - 1].flags & LCIP_PORT_VARIADIC) && i >= n - 1)
    return g_strdup_printf("%s.%u", ports[n - 1].name, i - (n - 1));
  return i < n ? g_strdup(ports[i].name) : NULL;
}

/* The K of "NAME.K", or -1. */
static int variadic_index(const char *port, const char *name) {
  const gsize length = strlen(port);
  guint64 k;
  if (strncmp(name, port, length) != 0 || name[length] != '.' ||
      !g_ascii_string_to_unsigned(name + length + 1, 10, 0, 65535, &k, NULL))
    return -1;
  return (int)k;
}

static int find_port(const LcipPortDef *ports, guint n, const char *name) {
  for (guint i = 0; i < n; i++) {
    if (ports[i].flags & LCIP_PORT_VARIADIC) {
      const int k = variadic_index(ports[i].name, name);
      if (k >= 0)
        return (int)i + k;
    } else if (g_str_equal(ports[i].name, name)) {
      return (int)i;
    }
  }
  return -1;
}

char *lcip_operator_input_name(const LcipOperator *op, guint i) {
  return op ? port_name(op->inputs, op->n_inputs, i) : g_strdup_printf("input.%u", i);
}

char *lcip_operator_output_name(const LcipOperator *op, guint i) {
  return op ? port_name(op->outputs, op->n_outputs, i) : g_strdup_printf("output.%u", i);
}

int lcip_operator_find_input(const LcipOperator *op, const char *name) {
  return op ? find_port(op->inputs, op->n_inputs, name) : variadic_index("input", name);
}

int lcip_operator_find_output(const LcipOperator *op, const char *name) {
  return op ? find_port(op->outputs, op->n_outputs, name) : variadic_index("output", name);
}

static double spec_bytes(const LcipTensorSpec *spec) {
  gsize bytes = 0;
  return lcip_tensor_spec_bytes(spec, &bytes) ? (double)bytes : 0;
}

void lcip_operator_cost(const LcipStep *step, LcipCost *cost) {
  *cost = (LcipCost){0};
  for (guint i = 0; i < step->n_inputs; i++)
    cost->bytes += spec_bytes(&step->inputs[i]);
  double elements = 0;
  for (guint i = 0; i < step->n_outputs; i++) {
    cost->bytes += spec_bytes(&step->outputs[i]);
    elements += (double)MAX(lcip_shape_count(&step->outputs[i].shape), 0);
  }
  if (step->op->cost)
    step->op->cost(step, cost);
  else
    cost->flops = step->op->flags & LCIP_OP_VIEW ? 0 : elements;
  cost->flops += elements * step->n_epilogues;
}

gboolean lcip_step_has_input(const LcipStep *step, guint i) {
  return i < step->n_anchor_inputs && step->inputs[i].type != LCIP_TYPE_NONE;
}

gboolean lcip_step_is(const LcipStep *step, const char *name) {
  return g_str_equal(step->op->name, name);
}

gboolean lcip_infer_fail(GError **error, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  g_autofree char *message = g_strdup_vprintf(format, ap);
  va_end(ap);
  g_set_error_literal(error, LCIP_ERROR, LCIP_ERROR_INVALID, message);
  return FALSE;
}

gboolean lcip_infer_expect(const LcipStep *step, guint i, LcipType type, int rank, GError **error) {
  const gboolean has_input = lcip_step_has_input(step, i);
  const LcipTensorSpec *spec = &step->inputs[i];
  const gboolean type_fits = type == LCIP_TYPE_NONE || (has_input && spec->type == type);
  if (has_input && type_fits && (rank < 0 || spec->shape.rank == rank))
    return TRUE;
  g_autofree char *name = lcip_operator_input_name(step->op, i);
  if (!has_input)
    return lcip_infer_fail(error, "input %s: expected a tensor, found none", name);
  g_autofree char *found = lcip_tensor_spec_to_string(spec);
  if (!type_fits)
    return lcip_infer_fail(error, "input %s: expected type %s, found %s", name,
                           lcip_type_name(type), found);
  return lcip_infer_fail(error, "input %s: expected %d dimensions, found %s", name, rank, found);
}

static gboolean check_inputs(const LcipStep *step, GError **error) {
  const LcipOperator *op = step->op;
  const gboolean variadic =
      op->n_inputs > 0 && (op->inputs[op->n_inputs - 1].flags & LCIP_PORT_VARIADIC);
  if (step->n_inputs > op->n_inputs && !variadic)
    return lcip_infer_fail(error, "expected at most %u inputs, found %u", op->n_inputs,
                           step->n_inputs);
  for (guint i = 0; i < op->n_inputs; i++)
    if (!(op->inputs[i].flags & LCIP_PORT_OPTIONAL) && !lcip_step_has_input(step, i))
      return lcip_infer_fail(error, "input %s: expected a tensor, found none", op->inputs[i].name);
  return TRUE;
}

static gboolean check_output_count(const LcipStep *step, GError **error) {
  const LcipOperator *op = step->op;
  const gboolean variadic =
      op->n_outputs > 0 && (op->outputs[op->n_outputs - 1].flags & LCIP_PORT_VARIADIC);
  guint needed = 0;
  for (guint i = 0; i < op->n_outputs; i++)
    if (!(op->outputs[i].flags & LCIP_PORT_OPTIONAL))
      needed = i + 1;
  if (step->n_outputs > op->n_outputs && !variadic)
    return lcip_infer_fail(error, "expected at most %u outputs, found %u", op->n_outputs,
                           step->n_outputs);
  return step->n_outputs >= needed ||
         lcip_infer_fail(error, "expected at least %u outputs, found %u", needed, step->n_outputs);
}

static gboolean check_output_specs(const LcipStep *step, GError **error) {
  for (guint i = 0; i < step->n_outputs; i++) {
    const LcipTensorSpec *spec = &step->outputs[i];
    gsize bytes;
    if (spec->type == LCIP_TYPE_NONE)
      continue;
    if (lcip_tensor_spec_bytes(spec, &bytes))
      continue;
    g_autofree char *text = lcip_tensor_spec_to_string(spec);
    return lcip_infer_fail(error, "output %u would be %s, which cannot be stored", i, text);
  }
  return TRUE;
}

gboolean lcip_step_infer(LcipStep *step, GError **error) {
  return check_output_count(step, error) && check_inputs(step, error) &&
         lcip_attrs_check(step->attrs, error) && step->op->infer(step, error) &&
         check_output_specs(step, error);
}
