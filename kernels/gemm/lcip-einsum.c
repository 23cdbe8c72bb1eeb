#include "config.h"
#include "lcip-einsum.h"

#include <string.h>

/* ---- the equation: terms of letters and "..." separated by commas, "->" and the result ---- */

static char *without_blanks(const char *text) {
  GString *string = g_string_new(NULL);
  for (; *text; text++)
    if (*text != ' ')
      g_string_append_c(string, *text);
  return g_string_free(string, FALSE);
}

static int letter_label(char c) {
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  return c >= 'a' && c <= 'z' ? 26 + c - 'a' : -1;
}

/* The labels of @term; "..." stands for @dots dimensions, the last of which has the last label.
 * FALSE when it is no term or has too many. */
static gboolean term_labels(const char *term, int dots, int *labels, int *n) {
  gboolean has_dots = FALSE;
  *n = 0;
  for (const char *c = term; *c; c++) {
    const gboolean is_dots = g_str_has_prefix(c, "...");
    if ((is_dots && has_dots) || (!is_dots && letter_label(*c) < 0))
      return FALSE;
    if (*n + (is_dots ? dots : 1) > LCIP_MAX_RANK)
      return FALSE;
    for (int i = 0; is_dots && i < dots; i++)
      labels[(*n)++] = LCIP_EINSUM_LABELS - dots + i;
    if (!is_dots)
      labels[(*n)++] = letter_label(*c);
    has_dots |= is_dots;
    c += is_dots ? 2 : 0;
  }
  return TRUE;
}

static int count_letters(const char *term) {
  int n = 0;
  for (; *term; term++)
    n += letter_label(*term) >= 0;
  return n;
}

static gboolean add_operand(LcipEinsum *einsum, guint i, const char *term, const LcipShape *shape,
                            GError **error) {
  const int dots = strstr(term, "...") ? MAX(0, shape->rank - count_letters(term)) : 0;
  int labels[LCIP_MAX_RANK], n;
  if (!term_labels(term, dots, labels, &n) || n != shape->rank)
    return lcip_infer_fail(error, "input %u: expected a tensor for \"%s\", found %d dimensions", i,
                           term, shape->rank);
  gint64 stride = 1;
  for (int d = n - 1; d >= 0; d--) {
    gint64 *size = &einsum->sizes[labels[d]];
    if (*size > 1 && shape->dims[d] > 1 && *size != shape->dims[d])
      return lcip_infer_fail(error,
                             "input %u: expected size %" G_GINT64_FORMAT
                             " in dimension %d, found %" G_GINT64_FORMAT,
                             i, *size, d, shape->dims[d]);
    *size = *size <= 1 ? shape->dims[d] : *size;
    einsum->strides[i][labels[d]] += shape->dims[d] == 1 ? 0 : stride;
    stride *= shape->dims[d];
  }
  return TRUE;
}

/* ---- the result ---- */

/* Without "->": what "..." stands for, then the letters that appear once, in their order. */
static void implicit_labels(LcipEinsum *einsum, const char *terms) {
  for (int label = 52; label < LCIP_EINSUM_LABELS; label++)
    if (einsum->sizes[label])
      einsum->labels[einsum->n_out++] = label;
  for (int label = 0; label < 52; label++) {
    int uses = 0;
    for (const char *c = terms; *c; c++)
      uses += letter_label(*c) == label;
    if (uses == 1)
      einsum->labels[einsum->n_out++] = label;
  }
}

static gboolean explicit_labels(LcipEinsum *einsum, const char *term, GError **error) {
  int dots = 0;
  while (dots < LCIP_MAX_RANK && einsum->sizes[LCIP_EINSUM_LABELS - 1 - dots])
    dots++;
  int labels[LCIP_MAX_RANK], n;
  gboolean ok = term_labels(term, dots, labels, &n);
  for (int i = 0; ok && i < n; i++) {
    for (int k = 0; k < i; k++)
      ok &= labels[k] != labels[i];
    ok &= einsum->sizes[labels[i]] > 0;
    einsum->labels[i] = labels[i];
  }
  einsum->n_out = ok ? n : 0;
  return ok ||
         lcip_infer_fail(error,
                         "attribute equation: expected letters of the operands, each once, behind "
                         "\"->\", found \"%s\"",
                         term);
}

static gboolean finish(LcipEinsum *einsum, GError **error) {
  if (einsum->n_out > LCIP_MAX_RANK)
    return lcip_infer_fail(error, "attribute equation: expected at most %d dimensions, found %d",
                           LCIP_MAX_RANK, einsum->n_out);
  einsum->n_labels = einsum->n_out;
  for (int label = 0; label < LCIP_EINSUM_LABELS; label++) {
    gboolean is_out = FALSE;
    for (int i = 0; i < einsum->n_out; i++)
      is_out |= einsum->labels[i] == label;
    if (einsum->sizes[label] && !is_out)
      einsum->labels[einsum->n_labels++] = label;
  }
  einsum->shape.rank = einsum->n_out;
  for (int i = 0; i < einsum->n_out; i++)
    einsum->shape.dims[i] = einsum->sizes[einsum->labels[i]];
  return TRUE;
}

gboolean lcip_einsum_init(LcipEinsum *einsum, const char *equation, guint n_operands,
                          const LcipShape *shapes, GError **error) {
  g_autofree char *text = without_blanks(equation);
  char *arrow = strstr(text, "->");
  memset(einsum, 0, sizeof *einsum);
  einsum->n_operands = n_operands;
  if (arrow)
    *arrow = 0;
  g_auto(GStrv) terms = g_strsplit(text, ",", -1);
  if (MAX(1, g_strv_length(terms)) != n_operands || n_operands > LCIP_EINSUM_MAX)
    return lcip_infer_fail(error, "attribute equation: expected %u operands, found \"%s\"",
                           n_operands, equation);
  for (guint i = 0; i < n_operands; i++) {
    for (int d = 0; d < shapes[i].rank; d++)
      if (shapes[i].dims[d] < 1)
        return lcip_infer_fail(error, "input %u: expected elements, found none", i);
    if (!add_operand(einsum, i, terms[i] ? terms[i] : "", &shapes[i], error))
      return FALSE;
  }
  if (!arrow)
    implicit_labels(einsum, text);
  return (!arrow || explicit_labels(einsum, arrow + 2, error)) && finish(einsum, error);
}

/* ---- the operator ---- */

static gboolean init_from_step(LcipEinsum *einsum, const LcipStep *step, GError **error) {
  LcipShape shapes[LCIP_EINSUM_MAX];
  for (guint i = 0; i < step->n_anchor_inputs && i < LCIP_EINSUM_MAX; i++)
    shapes[i] = step->inputs[i].shape;
  return lcip_einsum_init(einsum, lcip_attrs_get_string(step->attrs, "equation"),
                          step->n_anchor_inputs, shapes, error);
}

static gboolean einsum_infer(LcipStep *step, GError **error) {
  LcipEinsum einsum;
  for (guint i = 0; i < step->n_anchor_inputs; i++)
    if (!lcip_infer_expect(step, i, LCIP_TYPE_F32, -1, error))
      return FALSE;
  return init_from_step(&einsum, step, error) &&
         lcip_infer_set(step, 0, LCIP_TYPE_F32, &einsum.shape, error);
}

static void einsum_cost(const LcipStep *step, LcipCost *cost) {
  LcipEinsum einsum;
  if (!init_from_step(&einsum, step, NULL))
    return;
  cost->flops = einsum.n_operands;
  for (int i = 0; i < einsum.n_labels; i++)
    cost->flops *= (double)einsum.sizes[einsum.labels[i]];
  cost->bytes = sizeof(float) * (double)lcip_shape_count(&step->outputs[0].shape);
  for (guint i = 0; i < step->n_anchor_inputs; i++)
    cost->bytes += sizeof(float) * (double)lcip_shape_count(&step->inputs[i].shape);
}

static const LcipPortDef inputs[] = {{"Inputs", LCIP_PORT_VARIADIC, "Operands"}};
static const LcipPortDef outputs[] = {{"Output", LCIP_PORT_PLAIN, "Result"}};
static const LcipAttrDef attrs[] = {
    {"equation", LCIP_ATTR_STRING, TRUE, NULL, 0, 0, NULL, NULL,
     "A letter for each dimension of each operand, as bij,bjk->bik; letters that the result does "
     "not have are summed over"}};

static const LcipOperator einsum = {
    .domain = "",
    .name = "Einsum",
    .summary = "Sums of products along dimensions that have the same letter",
    .inputs = inputs,
    .n_inputs = G_N_ELEMENTS(inputs),
    .outputs = outputs,
    .n_outputs = G_N_ELEMENTS(outputs),
    .attrs = attrs,
    .n_attrs = G_N_ELEMENTS(attrs),
    .infer = einsum_infer,
    .cost = einsum_cost,
};

const LcipOperator *const lcip_operators_einsum[] = {&einsum, NULL};
