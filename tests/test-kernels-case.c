#include "config.h"

#include "test-kernels.h"

/* ---- a case as a step with tensors ---- */

LcipShape parse_shape(const char *text) {
  LcipShape shape = {0};
  if (g_str_equal(text, "scalar"))
    return shape;
  g_auto(GStrv) parts = g_strsplit(text, "x", LCIP_MAX_RANK);
  for (guint i = 0; parts[i]; i++)
    shape.dims[shape.rank++] = g_ascii_strtoll(parts[i], NULL, 10);
  return shape;
}

static void fill_random(LcipTensor *tensor, char kind, GRand *rand) {
  const gsize n = (gsize)lcip_shape_count(lcip_tensor_get_shape(tensor));
  if (kind == 'd') {
    gint64 *data = lcip_tensor_get_mutable(tensor);
    for (gsize i = 0; i < n; i++)
      data[i] = g_rand_int_range(rand, -50, 50);
    return;
  }
  if (kind == 'b' || kind == 'u') {
    guint8 *data = lcip_tensor_get_mutable(tensor);
    for (gsize i = 0; i < n; i++)
      data[i] = (guint8)g_rand_int_range(rand, 0, kind == 'b' ? 2 : 256);
    return;
  }
  static const float special[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e30f, -1e30f, 88.5f};
  const gboolean positive = kind == 'p' || kind == 'q';
  float *data = lcip_tensor_get_mutable(tensor);
  for (gsize i = 0; i < n; i++) {
    data[i] = (float)g_rand_double_range(rand, positive ? 0.1 : -2.0, positive ? 2.1 : 2.0);
    if (kind == 'n' && i % 3 == 1)
      data[i] = special[i / 3 % G_N_ELEMENTS(special)];
  }
}

static LcipTensor *parse_list(char kind, const char *text) {
  g_auto(GStrv) parts = g_strsplit(text, ",", -1);
  const guint n = g_strv_length(parts);
  const LcipShape shape = {.rank = 1, .dims = {n}};
  const LcipTensorSpec spec = lcip_tensor_spec(kind == 's' ? LCIP_TYPE_F32 : LCIP_TYPE_I64, shape);
  LcipTensor *tensor = lcip_tensor_new(&spec);
  for (guint i = 0; i < n; i++) {
    if (kind == 's')
      ((float *)lcip_tensor_get_mutable(tensor))[i] = (float)g_ascii_strtod(parts[i], NULL);
    else
      ((gint64 *)lcip_tensor_get_mutable(tensor))[i] = g_ascii_strtoll(parts[i], NULL, 10);
  }
  return tensor;
}

static LcipType kind_type(char kind) {
  switch (kind) {
  case 'd':
    return LCIP_TYPE_I64;
  case 'b':
    return LCIP_TYPE_BOOL;
  case 'u':
    return LCIP_TYPE_U8;
  default:
    return LCIP_TYPE_F32;
  }
}

static LcipTensor *make_input(const char *text, GRand *rand) {
  const char kind = text[0];
  g_assert_cmpint(text[1], ==, ':');
  if (strchr("xis", kind))
    return parse_list(kind, text + 2);
  const LcipTensorSpec spec = lcip_tensor_spec(kind_type(kind), parse_shape(text + 2));
  LcipTensor *tensor = lcip_tensor_new(&spec);
  fill_random(tensor, kind, rand);
  return tensor;
}

static void add_input(Built *built, LcipTensor *tensor, gboolean constant) {
  const guint i = built->step.n_inputs++;
  g_assert_cmpuint(i, <, MAX_INPUTS);
  built->values[i] = tensor;
  if (tensor)
    built->inputs[i] = *lcip_tensor_get_spec(tensor);
  built->constants[i] = constant ? tensor : NULL;
}

void add_inputs(Built *built, const char *text, GRand *rand) {
  g_auto(GStrv) parts = g_strsplit(text, " ", -1);
  for (guint i = 0; parts[i]; i++) {
    if (parts[i][0] == '-' || parts[i][0] == '\0')
      add_input(built, NULL, FALSE);
    else
      add_input(built, make_input(parts[i], rand), strchr("cqis", parts[i][0]) != NULL);
  }
  built->step.n_anchor_inputs = built->step.n_inputs;
}

void set_attrs(LcipAttrs *attrs, const LcipOperator *op, const char *text) {
  g_auto(GStrv) parts = g_strsplit(text, ";", -1);
  for (guint i = 0; parts[i]; i++) {
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) pair = g_strsplit(parts[i], "=", 2);
    const LcipAttrDef *def = lcip_operator_find_attr(op, pair[0]);
    g_assert_nonnull(def);
    lcip_attrs_set_text(attrs, pair[0], def->type, pair[1], &error);
    g_assert_no_error(error);
  }
}

const LcipOperator *find_operator(const char *name) {
  if (g_str_has_prefix(name, "lcip."))
    return lcip_operator_find("lcip", name + 5);
  return lcip_operator_find("", name);
}

static void add_epilogues(Built *built, const char *text, GRand *rand) {
  g_auto(GStrv) names = g_strsplit(text, " ", LCIP_MAX_EPILOGUES);
  for (guint i = 0; names[i]; i++) {
    const LcipOperator *op = lcip_operator_find("", names[i]);
    built->epilogue_attrs[i] = lcip_attrs_new(op);
    LcipEpilogue *epilogue = &built->step.epilogues[built->step.n_epilogues++];
    *epilogue = (LcipEpilogue){.op = op,
                               .attrs = built->epilogue_attrs[i],
                               .side_input = -1,
                               .clip_min = -0.5f,
                               .clip_max = 0.75f};
    if (!g_str_equal(names[i], "Add"))
      continue;
    LcipTensor *side = lcip_tensor_new(&built->outputs[0]);
    fill_random(side, 'f', rand);
    epilogue->side_input = (int)built->step.n_inputs;
    add_input(built, side, FALSE);
  }
}

void run_reference(Built *built) {
  g_autoptr(GError) error = NULL;
  LcipTensorView inputs[MAX_INPUTS] = {0}, outputs[MAX_OUTPUTS] = {0};
  for (guint i = 0; i < built->step.n_inputs; i++)
    if (built->values[i])
      inputs[i] = lcip_tensor_view(built->values[i]);
  for (guint i = 0; i < built->step.n_outputs; i++) {
    built->expected[i] = lcip_tensor_new(&built->outputs[i]);
    outputs[i] = lcip_tensor_view(built->expected[i]);
  }
  lcip_kernel_run_reference(&built->step, inputs, outputs, &error);
  g_assert_no_error(error);
}

Built *built_new(const KernelCase *source, guint seed) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  Built *built = g_new0(Built, 1);
  const LcipOperator *op = find_operator(source->op);
  g_assert_nonnull(op);
  built->source = source;
  built->attrs = lcip_attrs_new(op);
  built->step = (LcipStep){.op = op,
                           .attrs = built->attrs,
                           .inputs = built->inputs,
                           .constants = built->constants,
                           .n_outputs = MAX(source->n_outputs, 1u),
                           .outputs = built->outputs};
  if (source->inputs[0])
    add_inputs(built, source->inputs, rand);
  set_attrs(built->attrs, op, source->attrs);
  lcip_step_infer(&built->step, &error);
  g_assert_no_error(error);
  if (source->epilogues)
    add_epilogues(built, source->epilogues, rand);
  return built;
}

void built_free(Built *built) {
  for (guint i = 0; i < MAX_INPUTS; i++)
    g_clear_pointer(&built->values[i], lcip_tensor_unref);
  for (guint i = 0; i < MAX_OUTPUTS; i++)
    g_clear_pointer(&built->expected[i], lcip_tensor_unref);
  for (guint i = 0; i < LCIP_MAX_EPILOGUES; i++)
    g_clear_pointer(&built->epilogue_attrs[i], lcip_attrs_unref);
  lcip_attrs_unref(built->attrs);
  g_free(built);
}

gboolean close_enough(float found, float expected, float tolerance) {
  if (isnan(expected))
    return isnan(found);
  if (isinf(expected) || tolerance == 0)
    return found == expected;
  return fabsf(found - expected) <= tolerance * MAX(1.0f, fabsf(expected));
}
