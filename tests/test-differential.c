#include "config.h"
#include "lcip-plan.h"
#include "lcip-keys.h"
#include "lcip-run.h"
#include "lcip-test-home.h"
#include "lcip-test-worker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Random graphs on random lanes, compiled and run, against the reference kernels actor by actor.
 * A failure prints its seed and the graph; LCIP_DIFFERENTIAL_SEED repeats one graph,
 * LCIP_DIFFERENTIAL_ROUNDS makes more of them than the suite does. */

void add_odd_tests(void); /* test-differential-odd.c */

#define N_ROUNDS 400
#define N_REMOTE_ROUNDS 60
#define N_INPUTS 2
#define TOLERANCE 2e-3f

/* Value: what an actor or graph input gives. @actor: LCIP_NO_ACTOR for graph input @port. @planned:
 * its shape in the plan; @tensor: what it really is. */
typedef struct {
  int actor;
  guint port;
  LcipShape planned;
  LcipTensor *tensor;
} Value;

/* Operand: @value, or @constant, or neither: absent. */
typedef struct {
  int value;
  LcipTensor *constant;
} Operand;

/* @worker: a device of a worker, for a lane more, or NULL. @reduced: the inputs given are smaller
 * than what the plan is made for. @lines: the graph in words. @outputs: the value behind each graph
 * output. */
typedef struct {
  guint32 seed;
  GRand *rand;
  const char *worker;
  gboolean reduced;
  LcipGraph *graph;
  GPtrArray *lanes;
  GArray *values;
  GArray *outputs;
  GString *lines;
} Maker;

/* ---- small things ---- */

static int below(Maker *m, int n) {
  return g_rand_int_range(m->rand, 0, n);
}

static LcipTensor *random_tensor(Maker *m, LcipShape shape, double lo, double hi) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, shape);
  LcipTensor *tensor = lcip_tensor_new(&spec);
  float *data = lcip_tensor_get_mutable(tensor);
  for (gint64 i = 0; i < lcip_shape_count(&shape); i++)
    data[i] = (float)g_rand_double_range(m->rand, lo, hi);
  return tensor;
}

static Value *value_at(Maker *m, int value) {
  return &g_array_index(m->values, Value, value);
}

static const LcipShape *actual_shape(Maker *m, int value) {
  return lcip_tensor_get_shape(value_at(m, value)->tensor);
}

static Operand of_value(int value) {
  return (Operand){.value = value};
}

static Operand of_constant(LcipTensor *tensor) {
  return (Operand){.value = -1, .constant = tensor};
}

/* ---- the oracle ---- */

static void reference_output(const LcipStep *step, LcipTensor *const *inputs, LcipTensor *out) {
  g_autoptr(GError) error = NULL;
  LcipTensorView views[8] = {0}, result = lcip_tensor_view(out);
  for (guint i = 0; i < step->n_inputs; i++)
    if (inputs[i])
      views[i] = lcip_tensor_view(inputs[i]);
  if (step->op->flags & LCIP_OP_VIEW)
    memcpy(result.data, views[0].data, lcip_tensor_get_bytes(out));
  else
    lcip_kernel_run_reference(step, views, &result, &error);
  g_assert_no_error(error);
}

/* The planned shape of @actor's output and its value, from those of its operands. */
static Value evaluate(Maker *m, const LcipActor *actor, const Operand *operands) {
  g_autoptr(GError) error = NULL;
  LcipTensorSpec planned[8] = {0}, actual[8] = {0}, out = {0};
  LcipTensor *constants[8] = {NULL}, *inputs[8] = {NULL};
  for (guint i = 0; i < actor->n_inputs; i++) {
    const Operand *from = &operands[i];
    constants[i] = from->constant;
    inputs[i] = from->value >= 0 ? value_at(m, from->value)->tensor : from->constant;
    if (!inputs[i])
      continue;
    planned[i] = actual[i] = *lcip_tensor_get_spec(inputs[i]);
    if (from->value >= 0)
      planned[i].shape = value_at(m, from->value)->planned;
  }
  LcipStep step = {.op = actor->op,
                   .attrs = actor->attrs,
                   .n_inputs = actor->n_inputs,
                   .n_anchor_inputs = actor->n_inputs,
                   .inputs = planned,
                   .constants = constants,
                   .n_outputs = 1,
                   .outputs = &out};
  lcip_step_infer(&step, &error);
  g_assert_no_error(error);
  Value value = {.planned = out.shape};
  step.inputs = actual;
  lcip_step_infer(&step, &error);
  g_assert_no_error(error);
  value.tensor = lcip_tensor_new(&out);
  reference_output(&step, inputs, value.tensor);
  return value;
}

/* ---- making graphs ---- */

static LcipActor *new_actor(Maker *m, const char *op, guint n_inputs) {
  g_autofree char *id = g_strdup_printf("a%u", m->graph->actors->len);
  return lcip_actor_new(id, "", "", op, n_inputs, 1);
}

static void set_attr(LcipActor *actor, const char *name, LcipAttrType type, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
static void set_attr(LcipActor *actor, const char *name, LcipAttrType type, const char *format,
                     ...) {
  g_autoptr(GError) error = NULL;
  va_list ap;
  va_start(ap, format);
  g_autofree char *text = g_strdup_vprintf(format, ap);
  va_end(ap);
  lcip_attrs_set_text(actor->attrs, name, type, text, &error);
  g_assert_no_error(error);
}

static void describe(Maker *m, const LcipActor *actor, const Operand *operands, const char *lane,
                     const LcipShape *planned) {
  g_autofree char *shape = lcip_shape_to_string(planned);
  guint n;
  g_autofree const char **names = lcip_attrs_names(actor->attrs, &n);
  g_string_append_printf(m->lines, "v%u = %s(", m->values->len, actor->op_name);
  for (guint i = 0; i < actor->n_inputs; i++) {
    g_autofree char *constant =
        operands[i].constant
            ? lcip_tensor_spec_to_string(lcip_tensor_get_spec(operands[i].constant))
            : g_strdup("-");
    g_string_append(m->lines, i ? ", " : "");
    if (operands[i].value >= 0)
      g_string_append_printf(m->lines, "v%d", operands[i].value);
    else
      g_string_append(m->lines, constant);
  }
  for (guint i = 0; i < n; i++) {
    g_autofree char *text = lcip_attrs_get_text(actor->attrs, names[i]);
    g_string_append_printf(m->lines, "; %s=%s", names[i], text);
  }
  g_string_append_printf(m->lines, ") %s on %s: %s\n", shape, lane, actor->id);
}

/* Takes @actor and the operands' constants. */
static void place(Maker *m, LcipActor *actor, const Operand *operands) {
  Value value = evaluate(m, actor, operands);
  const char *lane = m->lanes->pdata[below(m, (int)m->lanes->len)];
  describe(m, actor, operands, lane, &value.planned);
  value.actor = lcip_graph_add_actor(m->graph, actor);
  for (guint i = 0; i < actor->n_inputs; i++) {
    if (operands[i].value >= 0) {
      const Value *from = value_at(m, operands[i].value);
      lcip_graph_add_edge(m->graph, (LcipEdge){from->actor, from->port, value.actor, i, 0});
    } else if (operands[i].constant) {
      lcip_actor_set_constant(actor, i, operands[i].constant, "k");
      lcip_tensor_unref(operands[i].constant);
    }
  }
  lcip_mapping_assign(lcip_graph_find_mapping(m->graph, NULL), actor->id, lane);
  g_array_append_val(m->values, value);
}

/* The latest values are the likeliest, so that chains become long. */
static int any_value(Maker *m) {
  const int n = (int)m->values->len;
  return below(m, 3) ? n - 1 - below(m, MIN(n, 3)) : below(m, n);
}

/* A value of the same shapes, perhaps itself. */
static int like(Maker *m, int value) {
  for (int tries = 0; tries < 8; tries++) {
    const int other = any_value(m);
    if (lcip_shape_equal(&value_at(m, other)->planned, &value_at(m, value)->planned) &&
        lcip_shape_equal(actual_shape(m, other), actual_shape(m, value)))
      return other;
  }
  return value;
}

/* Of rank 4, its channels as many as planned. */
static gboolean is_picture(Maker *m, int value) {
  const LcipShape *planned = &value_at(m, value)->planned;
  return planned->rank == 4 && planned->dims[1] == actual_shape(m, value)->dims[1];
}

static void add_conv(Maker *m, int x) {
  static const int counts[] = {1, 3, 8, 16, 17, 24};
  const int c = (int)value_at(m, x)->planned.dims[1], k = below(m, 2) ? 3 : 1;
  const gboolean depthwise = below(m, 4) == 0;
  const int out = depthwise ? c : counts[below(m, G_N_ELEMENTS(counts))];
  const int group = depthwise ? c : 1, bias = below(m, 3);
  const double scale = 1.7 / sqrt((double)(c / group) * k * k);
  LcipActor *actor = new_actor(m, "Conv", bias ? 3 : 2);
  set_attr(actor, "group", LCIP_ATTR_INT, "%d", group);
  set_attr(actor, "pads", LCIP_ATTR_INTS, "%d %d %d %d", k / 2, k / 2, k / 2, k / 2);
  if (below(m, 4) == 0)
    set_attr(actor, "strides", LCIP_ATTR_INTS, "2 2");
  const Operand operands[] = {
      of_value(x),
      of_constant(random_tensor(m, lcip_shape(4, out, c / group, k, k), -scale, scale)),
      of_constant(bias == 2 ? random_tensor(m, lcip_shape(1, out), -1, 1) : NULL)};
  place(m, actor, operands);
}

static void add_unary(Maker *m, int x) {
  static const char *const ops[] = {"Relu",      "Relu",        "Sigmoid", "LeakyRelu",
                                    "HardSwish", "HardSigmoid", "Tanh",    "Abs",
                                    "Neg",       "Identity",    "Swish",   "Mish"};
  place(m, new_actor(m, ops[below(m, G_N_ELEMENTS(ops))], 1), (Operand[]){of_value(x)});
}

static void add_clip(Maker *m, int x) {
  const gboolean has_min = below(m, 3) > 0, has_max = below(m, 3) > 0;
  const Operand operands[] = {
      of_value(x), of_constant(has_min ? random_tensor(m, lcip_shape(0), -0.5, 0) : NULL),
      of_constant(has_max ? random_tensor(m, lcip_shape(0), 0, 0.9) : NULL)};
  place(m, new_actor(m, "Clip", has_max ? 3 : 2), operands);
}

/* A constant to go with @x: one number, one per channel, or, where the actual shape is known, one
 * per column or element. */
static LcipTensor *companion(Maker *m, int x) {
  const LcipShape *shape = &value_at(m, x)->planned;
  const int kind = below(m, m->reduced ? 2 : 4);
  if (kind == 1 && is_picture(m, x))
    return random_tensor(m, lcip_shape(3, (int)shape->dims[1], 1, 1), -1, 1);
  if (kind == 2)
    return random_tensor(m, lcip_shape(1, (int)shape->dims[shape->rank - 1]), -1, 1);
  return random_tensor(m, kind == 3 ? *shape : lcip_shape(0), -1, 1);
}

static void add_binary(Maker *m, int x) {
  static const char *const ops[] = {"Add", "Add", "Add", "Sub", "Mul"};
  const char *op = ops[below(m, G_N_ELEMENTS(ops))];
  const Operand other = below(m, 2) ? of_value(like(m, x)) : of_constant(companion(m, x));
  const gboolean swap = below(m, 3) == 0;
  const Operand operands[] = {swap ? other : of_value(x), swap ? of_value(x) : other};
  place(m, new_actor(m, op, 2), operands);
}

/* x times a function of x, as exporters write activations. */
static void add_gate(Maker *m, int x) {
  static const char *const ops[] = {"Sigmoid", "HardSigmoid", "Softplus"};
  const int kind = below(m, G_N_ELEMENTS(ops));
  LcipActor *actor = new_actor(m, ops[kind], 1);
  if (kind == 1)
    set_attr(actor, "alpha", LCIP_ATTR_FLOAT, "0.16666667");
  place(m, actor, (Operand[]){of_value(x)});
  if (kind == 2)
    place(m, new_actor(m, "Tanh", 1), (Operand[]){of_value((int)m->values->len - 1)});
  const Operand gate = of_value((int)m->values->len - 1);
  const gboolean swap = below(m, 2) == 0;
  place(m, new_actor(m, "Mul", 2),
        (Operand[]){swap ? gate : of_value(x), swap ? of_value(x) : gate});
}

static Operand of_number(float number) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(0));
  return of_constant(lcip_tensor_new_from_data(&spec, &number));
}

/* HardSwish from before it was an operator: x, Clip(x + 3, 0, 6) and a factor near 1 / 6. */
static void add_hard_swish(Maker *m, int x) {
  const gboolean of_gate = below(m, 2);
  place(m, new_actor(m, "Add", 2), (Operand[]){of_value(x), of_number(3)});
  const int sum = (int)m->values->len - 1;
  place(m, new_actor(m, "Clip", 3), (Operand[]){of_value(sum), of_number(0), of_number(6)});
  const int gate = (int)m->values->len - 1;
  place(m, new_actor(m, "Mul", 2), (Operand[]){of_number(0.1666f), of_value(of_gate ? gate : x)});
  const int scaled = (int)m->values->len - 1;
  place(m, new_actor(m, "Mul", 2), (Operand[]){of_value(scaled), of_value(of_gate ? x : gate)});
}

/* A sum of constants, which the plan folds. */
static void add_folded(Maker *m, int x) {
  const LcipShape *shape = &value_at(m, x)->planned;
  const Operand operands[] = {of_constant(random_tensor(m, *shape, -1, 1)),
                              of_constant(random_tensor(m, *shape, -1, 1))};
  place(m, new_actor(m, "Add", 2), operands);
}

static void add_concat(Maker *m, int x) {
  LcipActor *actor = new_actor(m, "Concat", 2 + (guint)below(m, 2));
  Operand operands[3] = {of_value(x), of_value(like(m, x)), of_value(x)};
  set_attr(actor, "axis", LCIP_ATTR_INT, "1");
  place(m, actor, operands);
}

static void add_pool(Maker *m, int x) {
  LcipActor *actor = new_actor(m, below(m, 2) ? "MaxPool" : "AveragePool", 1);
  const int size = actual_shape(m, x)->dims[2] >= 2 && actual_shape(m, x)->dims[3] >= 2 ? 2 : 1;
  set_attr(actor, "kernel_shape", LCIP_ATTR_INTS, "%d %d", size, size);
  if (below(m, 2))
    set_attr(actor, "strides", LCIP_ATTR_INTS, "%d %d", size, size);
  place(m, actor, (Operand[]){of_value(x)});
}

/* A convolution that only a pool of 2x2 reads, where chance adds no other reader. */
static void add_pooled_conv(Maker *m, int x) {
  add_conv(m, x);
  const int conv = (int)m->values->len - 1;
  const LcipShape *shape = actual_shape(m, conv);
  if (MIN(shape->dims[2], shape->dims[3]) < 2)
    return;
  LcipActor *actor = new_actor(m, "MaxPool", 1);
  set_attr(actor, "kernel_shape", LCIP_ATTR_INTS, "2 2");
  set_attr(actor, "strides", LCIP_ATTR_INTS, "2 2");
  place(m, actor, (Operand[]){of_value(conv)});
}

static void add_batchnorm(Maker *m, int x) {
  const LcipShape channels = lcip_shape(1, (int)value_at(m, x)->planned.dims[1]);
  Operand operands[5] = {of_value(x)};
  for (int i = 1; i < 5; i++)
    operands[i] = of_constant(random_tensor(m, channels, i == 4 ? 0.5 : -1, i == 4 ? 1.5 : 1));
  place(m, new_actor(m, "BatchNormalization", 5), operands);
}

static void add_transpose(Maker *m, int x) {
  static const char *const perms[] = {"0 2 3 1", "0 3 1 2", "0 1 3 2"};
  LcipActor *actor = new_actor(m, "Transpose", 1);
  if (value_at(m, x)->planned.rank == 4)
    set_attr(actor, "perm", LCIP_ATTR_INTS, "%s", perms[below(m, G_N_ELEMENTS(perms))]);
  place(m, actor, (Operand[]){of_value(x)});
}

/* To a matrix or to a picture of one row. */
static void add_reshape(Maker *m, int x) {
  const gint64 matrix[] = {1, -1}, row[] = {1, -1, 1, value_at(m, x)->planned.dims[0]};
  const gint64 last = value_at(m, x)->planned.dims[value_at(m, x)->planned.rank - 1];
  const gint64 picture[] = {1, -1, 1, last};
  const int kind = below(m, 3);
  LcipTensor *shape = kind == 0   ? lcip_tensor_new_i64(2, matrix)
                      : kind == 1 ? lcip_tensor_new_i64(4, row)
                                  : lcip_tensor_new_i64(4, picture);
  place(m, new_actor(m, "Reshape", 2), (Operand[]){of_value(x), of_constant(shape)});
}

/* A part of the channels, every step-th of them. */
static void add_slice(Maker *m, int x) {
  const gint64 c = value_at(m, x)->planned.dims[1], step = 1 + below(m, 2);
  const gint64 begin = below(m, (int)c), end = begin + 1 + below(m, (int)(c - begin)), axis = 1;
  const Operand operands[] = {of_value(x), of_constant(lcip_tensor_new_i64(1, &begin)),
                              of_constant(lcip_tensor_new_i64(1, &end)),
                              of_constant(lcip_tensor_new_i64(1, &axis)),
                              of_constant(lcip_tensor_new_i64(1, &step))};
  place(m, new_actor(m, "Slice", 5), operands);
}

/* Channels in two groups, one of each in turn. */
static void add_shuffle(Maker *m, int x) {
  const LcipShape *shape = &value_at(m, x)->planned;
  if (m->reduced || shape->dims[1] % 2 != 0)
    return add_slice(m, x);
  const gint64 apart[] = {shape->dims[0], 2, shape->dims[1] / 2, shape->dims[2], shape->dims[3]};
  const gint64 together[] = {shape->dims[0], shape->dims[1], shape->dims[2], shape->dims[3]};
  place(m, new_actor(m, "Reshape", 2),
        (Operand[]){of_value(x), of_constant(lcip_tensor_new_i64(5, apart))});
  LcipActor *transpose = new_actor(m, "Transpose", 1);
  set_attr(transpose, "perm", LCIP_ATTR_INTS, "0 2 1 3 4");
  place(m, transpose, (Operand[]){of_value((int)m->values->len - 1)});
  place(m, new_actor(m, "Reshape", 2),
        (Operand[]){of_value((int)m->values->len - 1),
                    of_constant(lcip_tensor_new_i64(4, together))});
}

static void add_random(Maker *m) {
  static void (*const on_pictures[])(Maker *, int) = {
      add_conv,  add_conv,    add_conv, add_concat, add_concat,   add_pooled_conv,
      add_slice, add_shuffle, add_pool, add_pool,   add_batchnorm};
  static void (*const on_all[])(Maker *, int) = {
      add_unary, add_unary, add_clip, add_gate, add_hard_swish, add_binary, add_binary, add_binary};
  const int x = any_value(m);
  const int kind = below(m, 8);
  const gint64 pixels = lcip_shape_count(&value_at(m, x)->planned);
  if (!m->reduced && below(m, 24) == 0)
    add_folded(m, x);
  else if (kind == 0)
    add_transpose(m, x);
  else if (kind == 1 && !m->reduced)
    add_reshape(m, x);
  else if (kind < 5 && is_picture(m, x) && value_at(m, x)->planned.dims[1] <= 64 && pixels < 20000)
    on_pictures[below(m, G_N_ELEMENTS(on_pictures))](m, x);
  else
    on_all[below(m, G_N_ELEMENTS(on_all))](m, x);
}

static void add_inputs(Maker *m) {
  const int h = 5 + below(m, 9), w = 5 + below(m, 9), c = below(m, 2) ? 16 : 3;
  for (guint i = 0; i < N_INPUTS; i++) {
    g_autofree char *name = g_strdup_printf("x%u", i);
    const LcipShape planned = lcip_shape(4, 1, c, h, w);
    const LcipShape given = m->reduced ? lcip_shape(4, 1, c, h - 2, w - 1) : planned;
    const Value value = {.actor = LCIP_NO_ACTOR,
                         .port = i,
                         .planned = planned,
                         .tensor = random_tensor(m, given, -2, 2)};
    lcip_graph_add_input(m->graph, name, name, lcip_tensor_spec(LCIP_TYPE_F32, planned));
    g_array_append_val(m->values, value);
  }
}

static void add_output(Maker *m, int value) {
  const Value *from = value_at(m, value);
  g_autofree char *name = g_strdup_printf("y%u", m->outputs->len);
  const int port = lcip_graph_add_output(m->graph, name, name, (LcipTensorSpec){0});
  lcip_graph_add_edge(m->graph, (LcipEdge){from->actor, from->port, LCIP_NO_ACTOR, (guint)port, 0});
  g_array_append_val(m->outputs, value);
  g_string_append_printf(m->lines, "%s = v%d\n", name, value);
}

static void add_lane(Maker *m, const char *name, LcipLaneKind kind, guint threads) {
  lcip_graph_add_lane(m->graph, name, kind, threads, NULL);
  g_ptr_array_add(m->lanes, (gpointer)name);
}

static gboolean have_opencl(void) {
  const GPtrArray *devices = lcip_runtime_devices(lcip_runtime_get());
  for (guint i = 0; i < devices->len; i++)
    if (((const LcipDevice *)devices->pdata[i])->kind == LCIP_LANE_OPENCL)
      return TRUE;
  return FALSE;
}

static void add_local_lanes(Maker *m) {
  add_lane(m, "CPU", LCIP_LANE_CPU, (guint)below(m, 3) + 1);
  if (below(m, 2))
    add_lane(m, "CPU 2", LCIP_LANE_CPU, 1);
  if (!have_opencl() || below(m, 2))
    return;
  add_lane(m, "CL", LCIP_LANE_OPENCL, 0);
  if (below(m, 2))
    add_lane(m, "CL 2", LCIP_LANE_OPENCL, 0);
}

static void add_lanes(Maker *m) {
  add_local_lanes(m);
  if (!m->worker)
    return;
  lcip_graph_add_lane(m->graph, "Desk", LCIP_LANE_REMOTE, 0, m->worker);
  g_ptr_array_add(m->lanes, (gpointer) "Desk");
}

static void value_clear(gpointer data) {
  g_clear_pointer(&((Value *)data)->tensor, lcip_tensor_unref);
}

static gboolean can_run(Maker *m, int actor, const LcipLane *lane) {
  const gboolean is_remote_opencl =
      lane->kind == LCIP_LANE_REMOTE && strstr(m->worker, "/opencl") != NULL;
  return lcip_lane_can_run(m->graph, actor, lane->kind, NULL) &&
         (!is_remote_opencl || lcip_lane_can_run(m->graph, actor, LCIP_LANE_OPENCL, NULL));
}

/* What OpenCL has no kernel for goes to the CPU. */
static void settle_lanes(Maker *m) {
  LcipMapping *mapping = lcip_graph_find_mapping(m->graph, NULL);
  for (int i = 0; i < (int)m->graph->actors->len; i++) {
    const char *lane = lcip_graph_lane_of(m->graph, mapping, i);
    if (can_run(m, i, lcip_graph_find_lane(m->graph, lane)))
      continue;
    lcip_mapping_assign(mapping, lcip_graph_actor(m->graph, i)->id, "CPU");
    g_string_append_printf(m->lines, "a%d is on CPU\n", i);
  }
}

static void make_graph(Maker *m) {
  const int n = below(m, 24);
  m->graph = lcip_graph_new();
  m->lanes = g_ptr_array_new();
  m->values = g_array_new(FALSE, TRUE, sizeof(Value));
  g_array_set_clear_func(m->values, value_clear);
  m->outputs = g_array_new(FALSE, FALSE, sizeof(int));
  m->lines = g_string_new(NULL);
  add_lanes(m);
  lcip_graph_ensure_defaults(m->graph);
  add_inputs(m);
  for (int i = 0; i < n; i++)
    add_random(m);
  add_output(m, (int)m->values->len - 1);
  for (int i = below(m, 5); i > 0; i--)
    add_output(m, below(m, (int)m->values->len));
  settle_lanes(m);
}

static void maker_clear(Maker *m) {
  g_rand_free(m->rand);
  lcip_graph_unref(m->graph);
  g_ptr_array_unref(m->lanes);
  g_array_unref(m->values);
  g_array_unref(m->outputs);
  g_string_free(m->lines, TRUE);
}

/* ---- running and comparing ---- */

typedef struct {
  Maker *maker;
  guint64 n_frames;
  char *problem; /* the first difference; only the sink thread's until the run is over */
  char *lost;    /* why the worker's lane went offline; only that lane's until the run is over */
} Comparison;

/* How often a worker was ready, in all rounds. */
static _Atomic guint n_ready;

static char *compare(const LcipTensor *found, const LcipTensor *expected) {
  const LcipShape *shape = lcip_tensor_get_shape(expected);
  const float *a = lcip_tensor_get_data(found), *b = lcip_tensor_get_data(expected);
  float limit = 1;
  if (!lcip_shape_equal(lcip_tensor_get_shape(found), shape)) {
    g_autofree char *one = lcip_shape_to_string(lcip_tensor_get_shape(found));
    g_autofree char *other = lcip_shape_to_string(shape);
    return g_strdup_printf("shape %s, expected %s", one, other);
  }
  for (gint64 i = 0; i < lcip_shape_count(shape); i++)
    limit = MAX(limit, fabsf(b[i]));
  for (gint64 i = 0; i < lcip_shape_count(shape); i++)
    if (!(fabsf(a[i] - b[i]) <= TOLERANCE * limit))
      return g_strdup_printf("element %d is %g, expected %g", (int)i, (double)a[i], (double)b[i]);
  return NULL;
}

static void on_frame(const LcipFrame *frame, gpointer data) {
  Comparison *comparison = data;
  Maker *m = comparison->maker;
  comparison->n_frames++;
  g_assert_cmpuint(frame->n_values, ==, m->outputs->len);
  for (guint i = 0; i < frame->n_values && !comparison->problem; i++) {
    const int output = atoi(frame->values[i].name + 1);
    const int value = g_array_index(m->outputs, int, output);
    g_autofree char *difference = compare(frame->values[i].tensor, value_at(m, value)->tensor);
    if (difference)
      comparison->problem = g_strdup_printf("frame %d, %s: %s", (int)frame->number,
                                            frame->values[i].name, difference);
  }
}

/* A machine that is too busy to be heard is no mistake, and the frames are right all the same. */
static void on_lane(LcipPlan *plan, guint lane, const LcipLinkStatus *status, gpointer data) {
  Comparison *comparison = data;
  if (status->state == LCIP_LINK_READY)
    n_ready++;
  else if (!comparison->lost && !strstr(status->reason, "nothing heard"))
    comparison->lost = g_strdup(status->reason);
}

static void describe_steps(GString *lines, const LcipPlan *plan) {
  for (guint i = 0; i < lcip_plan_n_steps(plan); i++) {
    const LcipPlanStep *step = lcip_plan_step(plan, i);
    g_string_append_printf(lines, "segment %d: %s by %s, %u actors\n", step->segment, step->title,
                           step->kernel ? step->kernel->name : "-", step->n_actors);
  }
}

static void run_plan(Maker *m, LcipPlan *plan) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GHashTable) inputs = g_hash_table_new(g_str_hash, g_str_equal);
  Comparison comparison = {.maker = m};
  g_hash_table_insert(inputs, (gpointer) "x0", value_at(m, 0)->tensor);
  g_hash_table_insert(inputs, (gpointer) "x1", value_at(m, 1)->tensor);
  const LcipRunOptions options = {.inputs = inputs,
                                  .n_frames = 1 + (guint)below(m, 6),
                                  .frames_in_flight = (guint)below(m, 4),
                                  .streams = m->worker ? 1 : (guint)below(m, 3),
                                  .profile = below(m, 2),
                                  .frame_func = on_frame,
                                  .lane_func = on_lane,
                                  .frame_data = &comparison};
  LcipRun *run = lcip_run_start(plan, &options, &error);
  if (run)
    lcip_run_wait(run, &error);
  g_clear_pointer(&run, lcip_run_unref);
  if (!error && !comparison.problem && !comparison.lost && comparison.n_frames == options.n_frames)
    return;
  describe_steps(m->lines, plan);
  g_error("seed %u%s: %s\n%s", m->seed, m->reduced ? ", smaller inputs" : "",
          error                ? error->message
          : comparison.problem ? comparison.problem
          : comparison.lost    ? comparison.lost
                               : "frames are missing",
          m->lines->str);
}

/* A keep list of a third of the actors, now and then. */
static GPtrArray *some_actors(Maker *m) {
  GPtrArray *ids = g_ptr_array_new();
  const gboolean any = below(m, 4) == 0;
  for (guint i = 0; any && i < m->graph->actors->len; i++)
    if (below(m, 3) == 0)
      g_ptr_array_add(ids, lcip_graph_actor(m->graph, (int)i)->id);
  return ids;
}

/* NULL for all; a lane on OpenCL needs its own. */
static const char *const *some_families(Maker *m) {
  static const char *const lists[][2] = {{"reference", NULL}, {"openblas", NULL}};
  const guint list = (guint)below(m, 8);
  if (list >= G_N_ELEMENTS(lists) || m->worker || strstr(m->lanes->pdata[m->lanes->len - 1], "CL"))
    return NULL;
  return lists[list];
}

static void check_seed(guint32 seed, const char *worker) {
  g_autoptr(GError) error = NULL;
  Maker m = {.seed = seed, .rand = g_rand_new_with_seed(seed), .worker = worker};
  m.reduced = below(&m, 4) == 0;
  make_graph(&m);
  g_autoptr(GPtrArray) keep = some_actors(&m);
  const LcipPlanOptions options = {
      .keep = keep, .pinned = below(&m, 6) == 0, .families = some_families(&m)};
  g_autoptr(LcipPlan) plan = lcip_plan_new(m.graph, &options, NULL, NULL, &error);
  if (error)
    g_error("seed %u: %s\n%s", seed, error->message, m.lines->str);
  run_plan(&m, plan);
  maker_clear(&m);
}

static void check_seeds(guint n_rounds, const char *const *workers, guint n_workers) {
  const char *one = g_getenv("LCIP_DIFFERENTIAL_SEED"),
             *more = g_getenv("LCIP_DIFFERENTIAL_ROUNDS");
  const guint32 first = one ? (guint32)g_ascii_strtoull(one, NULL, 10) : (guint32)g_test_rand_int();
  const guint n = one ? 1 : more ? (guint)g_ascii_strtoull(more, NULL, 10) : n_rounds;
  g_test_message("seeds %u to %u", first, first + n - 1);
  for (guint i = 0; i < n; i++) /* the worker's device is the seed's too */
    check_seed(first + i, n_workers ? workers[(first + i) % n_workers] : NULL);
}

static void test_random(void) {
  check_seeds(N_ROUNDS, NULL, 0);
}

/* The same with parts of the graph on a worker, its CPU or OpenCL device. */
static void test_remote(void) {
  LcipTestWorker worker = lcip_test_worker_start("tcp://127.0.0.1:*");
  g_autofree char *cpu = g_strconcat(worker.address, "/cpu?deadline=60s", NULL);
  g_autofree char *opencl = g_strconcat(worker.address, "/opencl:0?deadline=60s", NULL);
  const char *const workers[] = {cpu, opencl};
  check_seeds(N_REMOTE_ROUNDS, workers, have_opencl() ? 2 : 1);
  g_test_message("a worker was ready %u times", n_ready);
  g_assert_true(n_ready > 0 || g_getenv("LCIP_DIFFERENTIAL_SEED"));
  lcip_test_worker_end(&worker);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_autofree char *home = lcip_test_make_home();
  add_odd_tests();
  g_test_add_func("/differential/random", test_random);
  lcip_test_add_with_worker("/differential/remote", test_remote);
  const int failed = g_test_run();
  lcip_test_remove_home(home);
  return failed;
}
