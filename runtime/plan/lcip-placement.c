#include "config.h"
#include "lcip-placement.h"

#include <string.h>

LcipPlacedNode *lcip_placement_node(const LcipPlacement *placement, int node) {
  return placement->nodes->pdata[node];
}

LcipPlacedValue *lcip_placement_value(const LcipPlacement *placement, int value) {
  return &g_array_index(placement->values, LcipPlacedValue, value);
}

static int add_value(LcipPlacement *p, LcipTensorSpec spec, int producer) {
  LcipPlacedValue value = {.spec = spec, .producer = producer, .root = (int)p->values->len};
  for (int f = 0; f < LCIP_N_FORMATS; f++)
    value.reordered[f] = -1;
  g_array_append_val(p->values, value);
  return value.root;
}

static void node_free(gpointer data) {
  LcipPlacedNode *node = data;
  g_free(node->reason);
  g_array_unref(node->inputs);
  g_array_unref(node->outputs);
  g_free(node);
}

static LcipPlacedNode *add_node(LcipPlacement *p, int ir_node, LcipIrKind kind, int lane) {
  LcipPlacedNode *node = g_new0(LcipPlacedNode, 1);
  node->ir_node = ir_node;
  node->kind = kind;
  node->lane = lane;
  node->inputs = g_array_new(FALSE, FALSE, sizeof(int));
  node->outputs = g_array_new(FALSE, FALSE, sizeof(int));
  g_ptr_array_add(p->nodes, node);
  return node;
}

static LcipLane *lane_at(const LcipPlacement *p, int lane) {
  return lane >= 0 ? p->ir->graph->lanes->pdata[lane] : NULL;
}

static gboolean is_cpu_lane(const LcipPlacement *p, int lane) {
  return lane >= 0 && lane_at(p, lane)->kind == LCIP_LANE_CPU;
}

static void problem(LcipPlacement *p, const LcipIrNode *node, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
static void problem(LcipPlacement *p, const LcipIrNode *node, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  g_autofree char *message = g_strdup_vprintf(format, ap);
  va_end(ap);
  const char *id = node->actors->len
                       ? lcip_graph_actor(p->ir->graph, g_array_index(node->actors, int, 0))->id
                       : NULL;
  lcip_problems_add(p->problems, LCIP_PROBLEM_ERROR, id, "%s", message);
}

/* The placed value of an IR value; constants appear when they are first read. */
static int value_of(LcipPlacement *p, int ir_value) {
  if (ir_value < 0)
    return -1;
  if (p->of_ir_value[ir_value] < 0) {
    const LcipIrValue *value = lcip_ir_value(p->ir, ir_value);
    if (!value->constant)
      return -1;
    const int placed = add_value(p, value->spec, -1);
    lcip_placement_value(p, placed)->constant = lcip_tensor_ref(value->constant);
    p->of_ir_value[ir_value] = placed;
  }
  return p->of_ir_value[ir_value];
}

static void read_value(LcipPlacement *p, LcipPlacedNode *node, int value) {
  g_array_append_val(node->inputs, value);
  if (value < 0)
    return;
  const int root = lcip_placement_value(p, value)->root;
  const int producer = lcip_placement_value(p, root)->producer;
  if (producer < 0)
    return;
  const LcipPlacedNode *from = lcip_placement_node(p, producer);
  node->level = MAX(node->level, from->level + (from->lane != node->lane ? 1 : 0));
}

static void give_value(LcipPlacement *p, LcipPlacedNode *node, int index, LcipTensorSpec spec,
                       int ir_value) {
  const int value = add_value(p, spec, index);
  g_array_append_val(node->outputs, value);
  if (ir_value >= 0)
    p->of_ir_value[ir_value] = value;
}

/* ---- reorders ---- */

static LcipStep reorder_step(LcipTensorSpec *from, LcipTensorSpec *to, LcipTensor **constant) {
  static LcipAttrs *attrs;
  static gsize once;
  if (g_once_init_enter(&once)) {
    attrs = lcip_attrs_new(lcip_reorder_operator());
    g_once_init_leave(&once, 1);
  }
  return (LcipStep){.op = lcip_reorder_operator(),
                    .attrs = attrs,
                    .n_inputs = 1,
                    .n_anchor_inputs = 1,
                    .inputs = from,
                    .constants = constant,
                    .n_outputs = 1,
                    .outputs = to};
}

static const LcipKernel *reorder_kernel(const LcipStep *step, LcipPortFormats *formats) {
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  for (guint i = 0; i < n; i++) {
    formats->inputs[0] = step->inputs[0].format;
    formats->outputs[0] = step->outputs[0].format;
    if (table[i]->device == LCIP_DEVICE_CPU && lcip_kernel_supports(table[i], step, formats, NULL))
      return table[i];
  }
  return NULL;
}

static int reorder_constant(LcipPlacement *p, int value, LcipTensorSpec to) {
  LcipTensor *in = lcip_placement_value(p, value)->constant;
  LcipTensorSpec from = *lcip_tensor_get_spec(in);
  LcipTensor *none = NULL;
  const LcipStep step = reorder_step(&from, &to, &none);
  g_autoptr(LcipTensor) out = lcip_tensor_new(&to);
  if (!out)
    return -1;
  LcipTensorView views[2] = {lcip_tensor_view(in), lcip_tensor_view(out)};
  if (!lcip_kernel_run_reference(&step, &views[0], &views[1], NULL))
    return -1;
  const int result = add_value(p, to, -1);
  lcip_placement_value(p, result)->constant = g_steal_pointer(&out);
  return result;
}

/* A reorder runs on the CPU: on its producer's lane if that is one, else on its reader's. */
static int reorder_computed(LcipPlacement *p, int value, LcipTensorSpec to, int reader_lane) {
  LcipTensorSpec from = lcip_placement_value(p, value)->spec;
  LcipTensor *none = NULL;
  LcipPortFormats formats;
  const LcipStep step = reorder_step(&from, &to, &none);
  const LcipKernel *kernel = reorder_kernel(&step, &formats);
  const int root = lcip_placement_value(p, value)->root;
  const int from_lane = lcip_placement_node(p, lcip_placement_value(p, root)->producer)->lane;
  const int lane = is_cpu_lane(p, from_lane) ? from_lane : reader_lane;
  if (!kernel || !is_cpu_lane(p, lane))
    return -1;
  const int index = (int)p->nodes->len;
  LcipPlacedNode *node = add_node(p, -1, LCIP_IR_OPERATOR, lane);
  node->kernel = kernel;
  node->formats = formats;
  node->reason =
      g_strdup_printf("%s to %s", lcip_format_name(from.format), lcip_format_name(to.format));
  read_value(p, node, value);
  give_value(p, node, index, to, -1);
  return g_array_index(node->outputs, int, 0);
}

static int in_format(LcipPlacement *p, int value, LcipFormat format, int reader_lane) {
  if (value < 0)
    return -1;
  const LcipPlacedValue *v = lcip_placement_value(p, value);
  if (v->spec.format == format)
    return value;
  if (v->reordered[format] >= 0)
    return v->reordered[format];
  LcipTensorSpec to = v->spec;
  to.format = format;
  const int result =
      v->constant ? reorder_constant(p, value, to) : reorder_computed(p, value, to, reader_lane);
  if (result >= 0) {
    lcip_placement_value(p, value)->reordered[format] = result;
    lcip_placement_value(p, result)->reordered[lcip_placement_value(p, value)->spec.format] = value;
  }
  return result;
}

/* ---- choosing ---- */

typedef struct {
  LcipStep step;
  LcipTensorSpec inputs[LCIP_MAX_PORTS], outputs[LCIP_MAX_PORTS];
  LcipTensor *constants[LCIP_MAX_PORTS];
} Description;

static void current_formats(LcipPlacement *p, const LcipIrNode *node, LcipPortFormats *formats) {
  for (guint i = 0; i < node->inputs->len; i++) {
    const int value = value_of(p, lcip_ir_input(node, i));
    formats->inputs[i] =
        value >= 0 ? lcip_placement_value(p, value)->spec.format : LCIP_FORMAT_DENSE;
  }
  for (guint i = 0; i < node->outputs->len; i++)
    formats->outputs[i] = LCIP_FORMAT_DENSE;
}

/* Most that the node's kernel may differ from the reference. */
static LcipNumerics numerics_of(const LcipPlacement *p, const LcipIrNode *node) {
  return node->direct ? MIN(p->numerics, LCIP_NUMERICS_REASSOCIATED) : p->numerics;
}

static gboolean is_over_budget(const LcipIrNode *node, const Description *d,
                               const LcipKernel *kernel) {
  return node->over_budget && kernel->numerics == LCIP_NUMERICS_WINOGRAD &&
         kernel->blob_bytes(&d->step) > node->budget_bytes;
}

/* The first kernel of the table that can do the step. @refused: the first better one that can't,
 * and @refusal its reason. */
static const LcipKernel *first_supporting(LcipPlacement *p, const LcipIrNode *node,
                                          const Description *d, LcipPortFormats *formats,
                                          const LcipKernel **refused, const char **refusal) {
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  const LcipLaneKind kind = lane_at(p, node->lane)->kind;
  for (guint i = 0; i < n; i++) {
    const char *reason = NULL;
    if (!lcip_ir_allows(p->ir, table[i], kind, p->families) ||
        table[i]->numerics > numerics_of(p, node) || !lcip_kernel_handles(table[i], &d->step))
      continue;
    current_formats(p, node, formats);
    const gboolean supported = lcip_kernel_supports(table[i], &d->step, formats, &reason);
    if (supported && !is_over_budget(node, d, table[i]))
      return table[i];
    if (!supported && !*refused) {
      *refused = table[i];
      *refusal = reason ? reason : "it is for other steps";
    }
  }
  return NULL;
}

/* ---- by estimate or measurement ---- */

/* The kernels that can do the step in @formats, which the first of the table has settled. */
static GPtrArray *alternatives(LcipPlacement *p, const LcipIrNode *node, const Description *d,
                               const LcipPortFormats *formats) {
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  GPtrArray *found = g_ptr_array_new();
  for (guint i = 0; i < n; i++) {
    LcipPortFormats own;
    if (!lcip_ir_allows(p->ir, table[i], lane_at(p, node->lane)->kind, p->families) ||
        table[i]->numerics > numerics_of(p, node) || !lcip_kernel_handles(table[i], &d->step) ||
        g_str_equal(table[i]->family, "reference"))
      continue;
    current_formats(p, node, &own);
    if (lcip_kernel_supports(table[i], &d->step, &own, NULL) &&
        lcip_formats_agree(&d->step, &own, formats) && !is_over_budget(node, d, table[i]))
      g_ptr_array_add(found, (gpointer)table[i]);
  }
  return found;
}

/* The fastest of @some that the calibration knows; NULL where it does not know @first. */
static const LcipKernel *fastest(LcipPlacement *p, const LcipIrNode *node, const Description *d,
                                 const GPtrArray *some, const LcipKernel *first, char **why) {
  g_autofree char *key = lcip_calibration_key(&d->step, p->threads[node->lane]);
  const LcipKernel *best = first, *second = NULL;
  if (lcip_calibration_get(p->calibration, key, first->name) <= 0)
    return NULL;
  for (guint i = 0; i < some->len; i++) {
    const LcipKernel *kernel = some->pdata[i];
    const double ms = lcip_calibration_get(p->calibration, key, kernel->name);
    if (kernel == first || ms <= 0)
      continue;
    const gboolean better = ms < lcip_calibration_get(p->calibration, key, best->name);
    const LcipKernel *other = better ? best : kernel;
    if (!second || lcip_calibration_get(p->calibration, key, other->name) <
                       lcip_calibration_get(p->calibration, key, second->name))
      second = other;
    best = better ? kernel : best;
  }
  *why = second
             ? g_strdup_printf("measured here: %.3f ms; %s %.3f ms",
                               lcip_calibration_get(p->calibration, key, best->name), second->name,
                               lcip_calibration_get(p->calibration, key, second->name))
             : g_strdup_printf("measured here: %.3f ms",
                               lcip_calibration_get(p->calibration, key, best->name));
  return best;
}

static const LcipKernel *least_estimate(const Description *d, const GPtrArray *some,
                                        const LcipKernel *first, char **why) {
  const LcipKernel *best = first;
  double least = first->estimate(&d->step);
  for (guint i = 0; i < some->len && least > 0; i++) {
    const LcipKernel *kernel = some->pdata[i];
    const double work =
        kernel->estimate && kernel->needs == first->needs ? kernel->estimate(&d->step) : 0;
    if (work <= 0 || work >= least)
      continue;
    best = kernel;
    least = work;
  }
  if (some->len > 1)
    *why = g_strdup_printf("least work by estimate of %u kernels; not measured", some->len);
  return best;
}

/* Measured times where there are any, else estimates where the kernels give them, else @first. The
 * formats that @first settled are those of the others. */
static const LcipKernel *better_than(LcipPlacement *p, const LcipIrNode *node, const Description *d,
                                     const LcipKernel *first, LcipPortFormats *formats,
                                     char **why) {
  if (lane_at(p, node->lane)->kind != LCIP_LANE_CPU || (!p->calibration && !first->estimate))
    return first;
  g_autoptr(GPtrArray) some = alternatives(p, node, d, formats);
  const LcipKernel *kernel = p->calibration ? fastest(p, node, d, some, first, why) : NULL;
  if (kernel)
    return kernel;
  return first->estimate ? least_estimate(d, some, first, why) : first;
}

static const LcipKernel *pinned_kernel(LcipPlacement *p, const LcipIrNode *node,
                                       const Description *d, LcipPortFormats *formats) {
  const LcipKernel *kernel = lcip_kernel_find(node->pin);
  const char *reason = "this build has no such kernel";
  current_formats(p, node, formats);
  if (kernel && !lcip_kernel_allowed(kernel, lane_at(p, node->lane)->kind, NULL))
    reason = "it is not for this kind of lane";
  else if (kernel && lcip_kernel_supports(kernel, &d->step, formats, &reason))
    return kernel;
  problem(p, node, "the pinned kernel %s cannot be used: %s", node->pin, reason);
  return NULL;
}

/* Kernels of one family share the steps of an operator among them: that is no second choice. */
static char *explain_first(const LcipKernel *kernel, const LcipKernel *refused,
                           const char *refusal) {
  return refused && !g_str_equal(refused->family, kernel->family)
             ? g_strdup_printf("family %s, as %s refuses: %s", kernel->family, refused->name,
                               refusal)
             : g_strdup_printf("best for this kind of lane: family %s", kernel->family);
}

static const LcipKernel *choose(LcipPlacement *p, const LcipIrNode *node, const Description *d,
                                LcipPortFormats *formats, char **why) {
  if (node->pin) {
    *why = g_strdup("pinned");
    return pinned_kernel(p, node, d, formats);
  }
  const LcipKernel *refused = NULL;
  const char *refusal = "";
  const LcipKernel *kernel = first_supporting(p, node, d, formats, &refused, &refusal);
  if (!kernel) {
    problem(p, node, "lane %s has no kernel for %s%s%s", lane_at(p, node->lane)->name,
            node->op->name, refused ? ": " : "", refusal);
    return NULL;
  }
  kernel = better_than(p, node, d, kernel, formats, why);
  if (node->over_budget) {
    g_free(*why);
    *why = g_strdup("Winograd's weights would be beyond the budget");
  }
  g_autofree char *reason = *why ? *why : explain_first(kernel, refused, refusal);
  const gboolean narrow = p->ir->cpu_reason && g_str_equal(kernel->family, "blocked");
  *why = narrow ? g_strdup_printf("%s; %s", reason, p->ir->cpu_reason) : g_steal_pointer(&reason);
  return kernel;
}

static gboolean read_inputs(LcipPlacement *p, const LcipIrNode *node, LcipPlacedNode *placed) {
  for (guint i = 0; i < node->inputs->len; i++) {
    int value = value_of(p, lcip_ir_input(node, i));
    const gboolean anchor = i < MIN(64, node->n_anchor_inputs);
    const gboolean prepared = anchor && (placed->kernel->prepared_inputs >> i & 1) && value >= 0 &&
                              lcip_placement_value(p, value)->constant;
    if (!prepared && value >= 0) {
      value = in_format(p, value, placed->formats.inputs[i], node->lane);
      if (value < 0) {
        problem(p, node, "input %u cannot be had in format %s", i,
                lcip_format_name(placed->formats.inputs[i]));
        return FALSE;
      }
    }
    read_value(p, placed, value);
  }
  return TRUE;
}

/* Reorders of inputs come before the node in the list, so the node is added last. */
static void place_operator(LcipPlacement *p, int index) {
  const LcipIrNode *node = lcip_ir_node(p->ir, index);
  LcipPlacedNode scratch = {.lane = node->lane};
  Description d;
  char *why = NULL;
  if (node->inputs->len > LCIP_MAX_PORTS || node->outputs->len > LCIP_MAX_PORTS) {
    problem(p, node, "expected at most %d ports, found %u", LCIP_MAX_PORTS, node->inputs->len);
    return;
  }
  lcip_ir_step(p->ir, node, &d.step, d.inputs, d.constants, d.outputs);
  scratch.kernel = choose(p, node, &d, &scratch.formats, &why);
  scratch.inputs = g_array_new(FALSE, FALSE, sizeof(int));
  if (!scratch.kernel || !read_inputs(p, node, &scratch)) {
    g_free(why);
    g_array_unref(scratch.inputs);
    return;
  }
  const int at = (int)p->nodes->len;
  LcipPlacedNode *placed = add_node(p, index, LCIP_IR_OPERATOR, node->lane);
  g_array_unref(placed->inputs);
  placed->inputs = scratch.inputs;
  placed->kernel = scratch.kernel;
  placed->formats = scratch.formats;
  placed->level = scratch.level;
  placed->reason = why;
  for (guint o = 0; o < node->outputs->len; o++) {
    LcipTensorSpec spec = d.outputs[o];
    spec.format = scratch.formats.outputs[o];
    give_value(p, placed, at, spec, lcip_ir_output(node, o));
  }
}

/* View operators cost nothing: their output is their input's storage with another shape. */
static void place_view(LcipPlacement *p, const LcipIrNode *node) {
  const int in = in_format(p, value_of(p, lcip_ir_input(node, 0)), LCIP_FORMAT_DENSE, node->lane);
  if (in < 0) {
    problem(p, node, "its input is not known");
    return;
  }
  const int ir_value = lcip_ir_output(node, 0);
  const int value = add_value(p, lcip_ir_value(p->ir, ir_value)->spec, -1);
  const LcipPlacedValue *source = lcip_placement_value(p, in);
  lcip_placement_value(p, value)->root = source->root;
  lcip_placement_value(p, value)->producer = source->producer;
  if (source->constant)
    lcip_placement_value(p, value)->constant = lcip_tensor_ref(source->constant);
  p->of_ir_value[ir_value] = value;
}

static void place_source(LcipPlacement *p, int index) {
  const LcipIrNode *node = lcip_ir_node(p->ir, index);
  const int at = (int)p->nodes->len;
  LcipPlacedNode *placed = add_node(p, index, LCIP_IR_SOURCE, -1);
  for (guint o = 0; o < node->outputs->len; o++) {
    const int ir_value = lcip_ir_output(node, o);
    give_value(p, placed, at, lcip_ir_value(p->ir, ir_value)->spec, ir_value);
  }
}

static void place_sink(LcipPlacement *p, int index) {
  const LcipIrNode *node = lcip_ir_node(p->ir, index);
  g_autoptr(GArray) inputs = g_array_new(FALSE, FALSE, sizeof(int));
  for (guint i = 0; i < node->inputs->len; i++) {
    const int value = value_of(p, lcip_ir_input(node, i));
    const int dense = in_format(p, value, LCIP_FORMAT_DENSE, -1);
    if (value < 0 && lcip_ir_input(node, i) >= 0)
      return; /* its producer has been reported */
    g_array_append_val(inputs, dense);
  }
  LcipPlacedNode *placed = add_node(p, index, LCIP_IR_SINK, -1);
  for (guint i = 0; i < inputs->len; i++)
    read_value(p, placed, g_array_index(inputs, int, i));
}

int lcip_placement_dense(const LcipPlacement *p, int ir_value) {
  const int value = p->of_ir_value[ir_value];
  if (value < 0 || lcip_placement_value(p, value)->spec.format == LCIP_FORMAT_DENSE)
    return value;
  return lcip_placement_value(p, value)->reordered[LCIP_FORMAT_DENSE];
}

/* No kernel is chosen here: the worker plans its part by itself. Tensors travel dense. */
static void place_remote(LcipPlacement *p, int index) {
  const LcipIrNode *node = lcip_ir_node(p->ir, index);
  g_autoptr(GArray) inputs = g_array_new(FALSE, FALSE, sizeof(int));
  for (guint i = 0; i < node->inputs->len; i++) {
    int value = value_of(p, lcip_ir_input(node, i));
    if (value >= 0 && lcip_placement_value(p, value)->constant)
      value = -1; /* goes with the actors */
    const int dense = in_format(p, value, LCIP_FORMAT_DENSE, node->lane);
    if (value >= 0 && dense < 0) {
      problem(p, node, "input %u cannot be had in format dense", i);
      return;
    }
    g_array_append_val(inputs, dense);
  }
  const int at = (int)p->nodes->len;
  LcipPlacedNode *placed = add_node(p, index, LCIP_IR_OPERATOR, node->lane);
  for (guint i = 0; i < inputs->len; i++)
    read_value(p, placed, g_array_index(inputs, int, i));
  for (guint o = 0; o < node->outputs->len; o++) {
    const int ir_value = lcip_ir_output(node, o);
    give_value(p, placed, at, lcip_ir_value(p->ir, ir_value)->spec, ir_value);
  }
}

static gboolean inputs_known(LcipPlacement *p, const LcipIrNode *node) {
  for (guint i = 0; i < node->inputs->len; i++) {
    const int ir_value = lcip_ir_input(node, i);
    if (ir_value >= 0 && value_of(p, ir_value) < 0)
      return FALSE;
  }
  return TRUE;
}

static void place(LcipPlacement *p, int index) {
  const LcipIrNode *node = lcip_ir_node(p->ir, index);
  if (node->removed || !inputs_known(p, node))
    return;
  if (node->kind == LCIP_IR_SOURCE) {
    place_source(p, index);
  } else if (node->kind == LCIP_IR_SINK) {
    place_sink(p, index);
  } else if (lane_at(p, node->lane)->kind == LCIP_LANE_REMOTE) {
    place_remote(p, index);
  } else if ((node->op->flags & LCIP_OP_CPU_ONLY) && !is_cpu_lane(p, node->lane)) {
    problem(p, node, "lane %s: %s", lane_at(p, node->lane)->name,
            node->op->cpu_only_reason ? node->op->cpu_only_reason : "it runs on CPU lanes only");
  } else if ((node->op->flags & LCIP_OP_VIEW) && node->outputs->len == 1 &&
             lcip_ir_value(p->ir, lcip_ir_output(node, 0))->spec.type != LCIP_TYPE_NONE) {
    place_view(p, node);
  } else {
    place_operator(p, index);
  }
}

static void value_clear(gpointer data) {
  LcipPlacedValue *value = data;
  g_clear_pointer(&value->constant, lcip_tensor_unref);
}

LcipPlacement *lcip_placement_new(LcipIr *ir, const char *const *families, LcipNumerics numerics,
                                  const LcipCalibration *calibration, const guint *threads,
                                  GPtrArray *problems) {
  LcipPlacement *p = g_new0(LcipPlacement, 1);
  p->ir = ir;
  p->families = families;
  p->numerics = numerics;
  p->calibration = calibration && lcip_calibration_n_steps(calibration) > 0 ? calibration : NULL;
  p->threads = threads;
  p->problems = problems;
  p->nodes = g_ptr_array_new_with_free_func(node_free);
  p->values = g_array_new(FALSE, FALSE, sizeof(LcipPlacedValue));
  g_array_set_clear_func(p->values, value_clear);
  p->of_ir_value = g_new(int, ir->values->len + 1);
  for (guint i = 0; i < ir->values->len; i++)
    p->of_ir_value[i] = -1;
  for (guint i = 0; i < ir->nodes->len; i++)
    place(p, (int)i);
  return p;
}

void lcip_placement_free(LcipPlacement *p) {
  g_ptr_array_unref(p->nodes);
  g_array_unref(p->values);
  g_free(p->of_ir_value);
  g_free(p);
}
