#include "config.h"

#include "test-kernels.h"

#include <stdatomic.h>

/* ---- the thread team ---- */

typedef struct {
  _Atomic guint visits[257];
  _Atomic guint bad_workers;
  guint team_size;
} Visits;

static void visit(gpointer data, guint chunk, guint worker) {
  Visits *visits = data;
  atomic_fetch_add(&visits->visits[chunk], 1);
  if (worker >= visits->team_size)
    atomic_fetch_add(&visits->bad_workers, 1);
}

static void check_visits(LcipTeam *team, guint n_chunks) {
  Visits visits = {.team_size = lcip_team_size(team)};
  lcip_team_run(team, n_chunks, visit, &visits);
  for (guint i = 0; i < G_N_ELEMENTS(visits.visits); i++)
    g_assert_cmpuint(atomic_load(&visits.visits[i]), ==, i < n_chunks ? 1 : 0);
  g_assert_cmpuint(atomic_load(&visits.bad_workers), ==, 0);
}

/* Every chunk once, for runs behind each other and for runs after helpers have parked. */
static void test_team(void) {
  check_visits(NULL, 7);
  for (guint size = 1; size <= 4; size++) {
    g_autoptr(LcipTeam) team = lcip_team_new(size);
    g_assert_cmpuint(lcip_team_size(team), ==, size);
    for (guint i = 0; i < 2000; i++)
      check_visits(team, i % 258);
    for (guint i = 0; i < 20; i++) {
      g_usleep(500);
      check_visits(team, 1 + i * 13);
    }
  }
}

/* More chunks than a thread can claim one by one. */
enum { N_MANY = 200001 };

static void visit_many(gpointer data, guint chunk, guint worker) {
  _Atomic guint8 *visits = data;
  atomic_fetch_add(&visits[chunk], 1);
}

static void test_team_many(void) {
  g_autoptr(LcipTeam) team = lcip_team_new(3);
  g_autofree _Atomic guint8 *visits = g_new0(_Atomic guint8, N_MANY);
  lcip_team_run(team, N_MANY, visit_many, visits);
  for (guint i = 0; i < N_MANY; i++)
    g_assert_cmpuint(atomic_load(&visits[i]), ==, 1);
}

/* A thread's first chunk: in every job the same, for what it reads there it may have written
 * before.
 */
typedef struct {
  _Atomic guint first[2]; /* 1 + chunk */
  _Atomic guint n_begun;
} Ranges;

static void note_first(gpointer data, guint chunk, guint worker) {
  Ranges *ranges = data;
  guint none = 0;
  if (atomic_compare_exchange_strong(&ranges->first[worker], &none, 1 + chunk))
    atomic_fetch_add(&ranges->n_begun, 1);
  for (int i = 0; i < 1000 && atomic_load(&ranges->n_begun) < 2; i++)
    g_usleep(100);
}

static void test_team_ranges(void) {
  g_autoptr(LcipTeam) team = lcip_team_new(2);
  guint n_both = 0;
  for (guint i = 0; i < 20; i++) {
    Ranges ranges = {0};
    lcip_team_run(team, 8, note_first, &ranges);
    const guint helper = atomic_load(&ranges.first[1]); /* none where the caller worked alone */
    g_assert_cmpuint(atomic_load(&ranges.first[0]), ==, 1);
    g_assert_true(helper == 5 || helper == 0);
    n_both += helper == 5;
  }
  g_assert_cmpuint(n_both, >, 0);
}

static void test_team_unused(void) {
  for (guint i = 0; i < 50; i++)
    lcip_team_free(lcip_team_new(i % 5));
}

/* A helper that is held up in its chunk as one that lost its processor. */
typedef struct {
  _Atomic guint by_helpers, begun;
} Held;

static void hold_helper(gpointer data, guint chunk, guint worker) {
  Held *held = data;
  atomic_fetch_add(&held->begun, 1);
  for (int i = 0; i < 1000 && atomic_load(&held->begun) < 2; i++)
    g_usleep(100); /* until both have one, unless the caller is alone */
  if (worker != 0)
    g_usleep(30000);
}

/* Long enough for a helper to come. */
static void count_helpers(gpointer data, guint chunk, guint worker) {
  Held *held = data;
  g_usleep(100);
  atomic_fetch_add(&held->begun, 1);
  if (worker != 0)
    atomic_fetch_add(&held->by_helpers, 1);
}

/* After a long wait for the helper the caller does the next job alone. This machine may be so busy
 * that the while in which it does so is over: then once more. */
static void test_team_stalled(void) {
  g_autoptr(LcipTeam) team = lcip_team_new(2);
  gboolean alone = FALSE;
  for (int i = 0; i < 50 && !alone; i++) {
    Held held = {0}, next = {0};
    lcip_team_run(team, 2, hold_helper, &held);
    lcip_team_run(team, 20, count_helpers, &next);
    g_assert_cmpuint(atomic_load(&next.begun), ==, 20);
    alone = atomic_load(&next.by_helpers) == 0;
  }
  g_assert_true(alone);
}

/* ---- infer with hostile attributes and shapes: an error or a sane shape, never a crash ---- */

static const gint64 hostile[] = {0,          1,          -1,         2,
                                 3,          -2,         7,          G_MAXINT32,
                                 G_MININT32, G_MAXINT64, G_MININT64, G_GINT64_CONSTANT(1) << 40};

static gint64 hostile_int(GRand *rand) {
  return hostile[g_rand_int_range(rand, 0, G_N_ELEMENTS(hostile))];
}

static void hostile_attr(LcipAttrs *attrs, const LcipAttrDef *def, GRand *rand) {
  gint64 ints[LCIP_MAX_RANK * 2];
  float floats[LCIP_MAX_RANK * 2];
  const guint n = (guint)g_rand_int_range(rand, 0, G_N_ELEMENTS(ints));
  for (guint i = 0; i < G_N_ELEMENTS(ints); i++) {
    ints[i] = hostile_int(rand);
    floats[i] = g_rand_boolean(rand) ? NAN : (float)ints[i];
  }
  /* Values that the table refuses stay unset: that too is a case. */
  switch (def->type) {
  case LCIP_ATTR_INT:
    lcip_attrs_set_ints(attrs, def->name, def->type, 1, ints, NULL);
    break;
  case LCIP_ATTR_INTS:
    lcip_attrs_set_ints(attrs, def->name, def->type, n, ints, NULL);
    break;
  case LCIP_ATTR_FLOAT:
    lcip_attrs_set_floats(attrs, def->name, def->type, 1, floats, NULL);
    break;
  case LCIP_ATTR_FLOATS:
    lcip_attrs_set_floats(attrs, def->name, def->type, n, floats, NULL);
    break;
  case LCIP_ATTR_STRING:
    if (def->choices) {
      const guint n_choices = g_strv_length((char **)def->choices);
      const char *choice = def->choices[g_rand_int_range(rand, 0, (gint)n_choices)];
      lcip_attrs_set_strings(attrs, def->name, def->type, 1, &choice, NULL);
    }
    break;
  default:
    break;
  }
}

static LcipTensor *hostile_constant(GRand *rand) {
  const guint n = (guint)g_rand_int_range(rand, 0, 10);
  const gboolean is_float = g_rand_int_range(rand, 0, 4) == 0;
  const LcipTensorSpec spec = lcip_tensor_spec(is_float ? LCIP_TYPE_F32 : LCIP_TYPE_I64,
                                               (LcipShape){.rank = 1, .dims = {n}});
  LcipTensor *tensor = lcip_tensor_new(&spec);
  for (guint i = 0; i < n; i++) {
    if (is_float)
      ((float *)lcip_tensor_get_mutable(tensor))[i] = i % 2 ? NAN : (float)hostile_int(rand);
    else
      ((gint64 *)lcip_tensor_get_mutable(tensor))[i] = hostile_int(rand);
  }
  return tensor;
}

static LcipTensorSpec hostile_spec(GRand *rand) {
  static const LcipType types[] = {LCIP_TYPE_F32, LCIP_TYPE_F32, LCIP_TYPE_F32,
                                   LCIP_TYPE_I64, LCIP_TYPE_U8,  LCIP_TYPE_NONE};
  LcipShape shape = {.rank = g_rand_int_range(rand, 0, LCIP_MAX_RANK + 1)};
  gsize bytes;
  do {
    for (int i = 0; i < shape.rank; i++)
      shape.dims[i] = g_rand_boolean(rand) ? g_rand_int_range(rand, 0, 9) : hostile_int(rand);
    const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, shape);
    if (lcip_tensor_spec_bytes(&spec, &bytes))
      break;
  } while (TRUE);
  return lcip_tensor_spec(types[g_rand_int_range(rand, 0, G_N_ELEMENTS(types))], shape);
}

static void infer_hostile(const LcipOperator *op, GRand *rand) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipAttrs) attrs = lcip_attrs_new(op);
  LcipTensorSpec inputs[MAX_INPUTS], outputs[MAX_OUTPUTS] = {0};
  LcipTensor *constants[MAX_INPUTS] = {NULL};
  const guint n_inputs = (guint)g_rand_int_range(rand, 0, (gint)op->n_inputs + 2);
  for (guint i = 0; i < op->n_attrs; i++)
    if (g_rand_boolean(rand))
      hostile_attr(attrs, &op->attrs[i], rand);
  for (guint i = 0; i < n_inputs; i++) {
    inputs[i] = hostile_spec(rand);
    const gboolean shape_port = i < op->n_inputs && (op->inputs[i].flags & LCIP_PORT_SHAPE);
    if (shape_port || g_rand_int_range(rand, 0, 5) == 0) {
      constants[i] = hostile_constant(rand);
      inputs[i] = *lcip_tensor_get_spec(constants[i]);
    }
  }
  LcipStep step = {.op = op,
                   .attrs = attrs,
                   .n_inputs = n_inputs,
                   .n_anchor_inputs = n_inputs,
                   .inputs = inputs,
                   .constants = constants,
                   .n_outputs = (guint)g_rand_int_range(rand, 0, MAX_OUTPUTS + 1),
                   .outputs = outputs};
  if (lcip_step_infer(&step, &error))
    for (guint i = 0; i < step.n_outputs; i++)
      g_assert_cmpint(lcip_shape_count(&outputs[i].shape), >=, 0);
  else
    g_assert_nonnull(error);
  for (guint i = 0; i < MAX_INPUTS; i++)
    g_clear_pointer(&constants[i], lcip_tensor_unref);
}

static void test_infer_hostile(void) {
  g_autoptr(GRand) rand = g_rand_new_with_seed(SEED);
  guint n;
  const LcipOperator *const *ops = lcip_operator_list(&n);
  g_test_message("seed %u", SEED);
  for (guint i = 0; i < n; i++)
    for (guint k = 0; k < 3000 && ops[i]->domain[0] == '\0'; k++)
      infer_hostile(ops[i], rand);
}

/* Every message of a refused case names what was found. */
static void test_infer_messages(void) {
  static const struct {
    const char *op, *inputs, *attrs, *expected;
  } cases[] = {
      {"Conv", "f:1x3x8x8 c:4x2x3x3", "", "channels"},
      {"Conv", "f:1x3x2x2 c:4x3x3x3", "", "kernel"},
      {"Conv", "f:1x3x8x8 c:4x3x3x3", "strides=1 1 1", "strides"},
      {"Conv", "f:1x3x8x8 c:4x3x3x3 c:5", "", "input B"},
      {"Add", "f:3x4 f:3x5", "", "broadcasts"},
      {"Reshape", "f:3x4 i:5,-1", "", "3x4"},
      {"Reshape", "f:3x4 d:2", "", "constant"},
      {"Slice", "f:3x4 i:0 i:2 i:0 i:0", "", "steps"},
      {"Transpose", "f:3x4", "perm=0 0", "perm"},
      {"Concat", "f:3x4 f:2x4", "axis=1", "dimension 0"},
      {"Gemm", "f:3x4 c:5x6", "", "inner size 4"},
      {"Resize", "f:3x4 - s:1,0", "", "scales"},
      {"ConstantOfShape", "i:3,-1", "", "size"},
  };
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GRand) rand = g_rand_new_with_seed(SEED);
    const LcipOperator *op = find_operator(cases[i].op);
    Built built = {.attrs = lcip_attrs_new(op)};
    built.step = (LcipStep){.op = op,
                            .attrs = built.attrs,
                            .inputs = built.inputs,
                            .constants = built.constants,
                            .n_outputs = 1,
                            .outputs = built.outputs};
    add_inputs(&built, cases[i].inputs, rand);
    set_attrs(built.attrs, op, cases[i].attrs);
    g_assert_false(lcip_step_infer(&built.step, &error));
    g_assert_error(error, LCIP_ERROR, LCIP_ERROR_INVALID);
    if (!strstr(error->message, cases[i].expected))
      g_error("%s: expected a message with \"%s\", found \"%s\"", cases[i].op, cases[i].expected,
              error->message);
    for (guint k = 0; k < MAX_INPUTS; k++)
      g_clear_pointer(&built.values[k], lcip_tensor_unref);
    lcip_attrs_unref(built.attrs);
  }
}

void add_infer_tests(void) {
  g_test_add_func("/team/every-chunk-once", test_team);
  g_test_add_func("/team/many-chunks", test_team_many);
  g_test_add_func("/team/ranges", test_team_ranges);
  g_test_add_func("/team/stalled", test_team_stalled);
  g_test_add_func("/team/unused", test_team_unused);
  g_test_add_func("/infer/hostile", test_infer_hostile);
  g_test_add_func("/infer/messages", test_infer_messages);
}
