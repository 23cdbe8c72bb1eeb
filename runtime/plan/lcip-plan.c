#include "config.h"
#include "lcip-placement.h"
#include "lcip-remote-device.h"

#include <string.h>

/* ---- lanes and devices ---- */

/* A lane that the mapping leaves empty is no reason to look for devices. */
static gboolean is_used(const LcipPlan *plan, const LcipMapping *mapping, const LcipLane *lane) {
  for (guint i = 0; i < plan->graph->actors->len; i++)
    if (g_strcmp0(lcip_graph_lane_of(plan->graph, mapping, (int)i), lane->name) == 0)
      return TRUE;
  return lane->kind == LCIP_LANE_CPU || lcip_runtime_devices_known(lcip_runtime_get());
}

/* The device that the caller names, else the one that the document hints at where it is here, else
 * the first of its kind. */
static const LcipDevice *bind_lane(LcipRuntime *runtime, const LcipLane *lane,
                                   GHashTable *bindings) {
  const char *id = bindings ? g_hash_table_lookup(bindings, lane->name) : NULL;
  const LcipDevice *device = NULL;
  if (id)
    return lcip_runtime_find_device(runtime, id);
  if (lane->device)
    device = lcip_runtime_find_device(runtime, lane->device);
  return device && device->kind == lane->kind ? device
                                              : lcip_runtime_first_device(runtime, lane->kind);
}

static void lane_free(gpointer data) {
  LcipPlanLane *lane = data;
  g_free(lane->name);
  g_free(lane);
}

static guint threads_of(const LcipLane *lane, const LcipPlanOptions *options) {
  if (options->threads)
    return options->threads;
  return lane->threads ? lane->threads : MAX(lcip_cpu_count() / MAX(options->streams, 1), 1);
}

static void make_lanes(LcipPlan *plan, const LcipMapping *mapping, const LcipPlanOptions *options) {
  LcipRuntime *runtime = lcip_runtime_get();
  for (guint i = 0; i < plan->graph->lanes->len; i++) {
    const LcipLane *lane = plan->graph->lanes->pdata[i];
    LcipPlanLane *planned = g_new0(LcipPlanLane, 1);
    planned->name = g_strdup(lane->name);
    planned->kind = lane->kind;
    if (is_used(plan, mapping, lane))
      planned->device = bind_lane(runtime, lane, options->bindings);
    if (lane->kind == LCIP_LANE_CPU)
      planned->threads = threads_of(lane, options);
    g_ptr_array_add(plan->lanes, planned);
  }
}

static char *list_devices(void) {
  const GPtrArray *devices = lcip_runtime_devices(lcip_runtime_get());
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < devices->len; i++) {
    const LcipDevice *device = devices->pdata[i];
    g_string_append_printf(text, "%s%s (%s)", i ? ", " : "", device->id, device->name);
  }
  return g_string_free(text, FALSE);
}

static char *list_lanes(const LcipPlan *plan) {
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < plan->lanes->len; i++) {
    const LcipPlanLane *lane = plan->lanes->pdata[i];
    g_string_append_printf(text, "%s%s (%s)", i ? ", " : "", lane->name,
                           lcip_lane_kind_name(lane->kind));
  }
  return g_string_free(text, FALSE);
}

/* Why there is no device for @lane where that is known, as the end of a message. Transfer full. */
static char *why_no_device(const LcipPlanLane *lane) {
  if (lane->kind == LCIP_LANE_REMOTE)
    return g_strdup("; a remote lane is bound to a device of a paired worker, such as "
                    "tcp://HOST:PORT/cpu (lcip pair)");
  const char *problem =
      lane->kind == LCIP_LANE_OPENCL ? lcip_runtime_opencl_problem(lcip_runtime_get()) : NULL;
  return problem ? g_strdup_printf("; OpenCL: %s", problem) : g_strdup("");
}

static void check_lane_in_use(LcipPlan *plan, int lane, GPtrArray *problems) {
  const LcipPlanLane *planned = plan->lanes->pdata[lane];
  if (planned->device && planned->device->kind == planned->kind)
    return;
  g_autofree char *devices = list_devices();
  g_autofree char *lanes = list_lanes(plan);
  g_autofree char *reason = why_no_device(planned);
  if (planned->device)
    lcip_problems_add(
        problems, LCIP_PROBLEM_ERROR, NULL,
        "lane %s: expected a device of kind %s, found %s; lanes: %s; devices here: %s",
        planned->name, lcip_lane_kind_name(planned->kind), planned->device->id, lanes, devices);
  else
    lcip_problems_add(problems, LCIP_PROBLEM_ERROR, NULL,
                      "lane %s: no device of kind %s for it; lanes: %s; devices here: %s%s",
                      planned->name, lcip_lane_kind_name(planned->kind), lanes, devices, reason);
}

static void check_lanes(LcipPlan *plan, const LcipIr *ir, GPtrArray *problems) {
  g_autofree gboolean *seen = g_new0(gboolean, plan->lanes->len + 1);
  for (guint i = 0; i < ir->nodes->len; i++) {
    const LcipIrNode *node = lcip_ir_node(ir, (int)i);
    if (node->removed || node->lane < 0 || seen[node->lane])
      continue;
    seen[node->lane] = TRUE;
    check_lane_in_use(plan, node->lane, problems);
  }
}

static void report_no_device(const char *lane, const char *device, GPtrArray *problems) {
  g_autoptr(GError) error = NULL;
  if (lcip_remote_is_id(device) && !lcip_remote_device_find(device, &error))
    lcip_problems_add(problems, LCIP_PROBLEM_ERROR, NULL, "lane %s: %s", lane, error->message);
  else
    lcip_problems_add(problems, LCIP_PROBLEM_ERROR, NULL, "lane %s: there is no device %s", lane,
                      device);
}

static void check_bindings(LcipPlan *plan, GHashTable *bindings, GPtrArray *problems) {
  GHashTableIter iter;
  gpointer lane, device;
  if (!bindings)
    return;
  g_hash_table_iter_init(&iter, bindings);
  while (g_hash_table_iter_next(&iter, &lane, &device)) {
    if (!lcip_graph_find_lane(plan->graph, lane))
      lcip_problems_add(problems, LCIP_PROBLEM_ERROR, NULL, "there is no lane %s",
                        (const char *)lane);
    else if (!lcip_runtime_find_device(lcip_runtime_get(), device))
      report_no_device(lane, device, problems);
  }
}

/* ---- actors ---- */

static void actor_free(gpointer data) {
  LcipPlanActor *actor = data;
  g_free(actor->outputs);
  g_free(actor);
}

static LcipPlanActor *make_actor(const LcipPlan *plan, const LcipAnalysis *analysis,
                                 const LcipMapping *mapping, int index) {
  LcipPlanActor *actor = g_new0(LcipPlanActor, 1);
  const char *lane = lcip_graph_lane_of(plan->graph, mapping, index);
  actor->step = -1;
  actor->lane = -1;
  for (guint i = 0; i < plan->lanes->len; i++)
    if (g_strcmp0(((LcipPlanLane *)plan->lanes->pdata[i])->name, lane) == 0)
      actor->lane = (int)i;
  actor->n_outputs = analysis->n_outputs[index];
  actor->outputs =
      g_memdup2(analysis->specs[index], sizeof(LcipTensorSpec) * (actor->n_outputs + 1));
  return actor;
}

/* After the transforms: what each actor became, and which outputs no step computes any more. */
static void settle_actor(LcipPlan *plan, const LcipIr *ir, int index) {
  LcipPlanActor *actor = plan->actors->pdata[index];
  const int node = ir->actor_node[index];
  if (ir->actor_dead[index]) {
    actor->state = LCIP_ACTOR_DEAD;
    return;
  }
  if (ir->actor_folded[index])
    actor->state = LCIP_ACTOR_FOLDED;
  if (node < 0)
    return;
  const LcipIrNode *n = lcip_ir_node(ir, node);
  if (n->actors->len > 1 && ir->actor_first_value[index] != lcip_ir_output(n, 0))
    actor->elided = 1;
}

static gsize edge_bytes(const LcipPlan *plan, const LcipEdge *edge) {
  if (edge->src_actor < 0 || edge->dst_actor < 0)
    return 0;
  const LcipPlanActor *src = plan->actors->pdata[edge->src_actor];
  const LcipPlanActor *dst = plan->actors->pdata[edge->dst_actor];
  gsize bytes = 0;
  if (src->lane == dst->lane || !lcip_tensor_spec_bytes(&src->outputs[edge->src_port], &bytes))
    return 0;
  return bytes;
}

/* Shape inputs of folded steps and the like count nowhere; so only what steps really read. */
static void count_weights(LcipPlan *plan) {
  for (guint i = 0; i < plan->steps->len; i++) {
    const LcipPlanStep *step = plan->steps->pdata[i];
    const LcipPlanWork *work = plan->works->pdata[i];
    if (step->lane < 0)
      continue;
    LcipPlanLane *lane = plan->lanes->pdata[step->lane];
    lane->n_steps++;
    if (work->blob)
      lane->weight_bytes += lcip_blob_bytes(work->blob);
    for (guint k = 0; step->kernel && k < work->step.n_inputs; k++)
      if (work->step.constants[k] &&
          (plan->sketch || !(k < 64 && (step->kernel->prepared_inputs >> k & 1))))
        lane->weight_bytes += lcip_tensor_get_bytes(work->step.constants[k]);
  }
}

/* ---- building ---- */

static LcipPlan *plan_alloc(LcipGraph *graph, const LcipMapping *mapping) {
  LcipPlan *plan = g_new0(LcipPlan, 1);
  g_atomic_ref_count_init(&plan->refs);
  plan->graph = lcip_graph_ref(graph);
  plan->mapping = g_strdup(mapping->name);
  plan->actors = g_ptr_array_new_with_free_func(actor_free);
  plan->lanes = g_ptr_array_new_with_free_func(lane_free);
  plan->tensors = g_array_new(FALSE, TRUE, sizeof(LcipPlanTensor));
  plan->segments = g_array_new(FALSE, TRUE, sizeof(LcipPlanSegment));
  plan->channels = g_array_new(FALSE, TRUE, sizeof(LcipPlanChannel));
  plan->scratch_bytes = g_new0(gsize, graph->lanes->len + 1);
  plan->edge_bytes = g_new0(gsize, graph->edges->len + 1);
  return plan;
}

static gboolean fail_with_problems(const GPtrArray *problems, guint first, GError **error) {
  guint errors = 0;
  const LcipProblem *shown = NULL;
  for (guint i = first; i < problems->len; i++) {
    const LcipProblem *problem = problems->pdata[i];
    if (problem->severity != LCIP_PROBLEM_ERROR)
      continue;
    if (errors++ == 0)
      shown = problem;
  }
  if (errors == 0)
    return FALSE;
  g_autofree char *more = errors > 1 ? g_strdup_printf(" (and %u more)", errors - 1) : g_strdup("");
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "%s%s%s%s",
              shown->actor_id ? shown->actor_id : "", shown->actor_id ? ": " : "", shown->message,
              more);
  return TRUE;
}

static void check_delays(const LcipGraph *graph, GPtrArray *problems) {
  for (guint e = 0; e < graph->edges->len; e++) {
    const LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, e);
    if (edge->delay > 0 && edge->dst_actor >= 0)
      lcip_problems_add(problems, LCIP_PROBLEM_ERROR, lcip_graph_actor(graph, edge->dst_actor)->id,
                        "an edge with a delay of %u: this version does not run delays",
                        edge->delay);
  }
}

static void check_repetitions(const LcipGraph *graph, const LcipAnalysis *analysis,
                              GPtrArray *problems) {
  for (guint i = 0; i < analysis->n_actors; i++)
    if (analysis->repetitions[i] != 1)
      lcip_problems_add(problems, LCIP_PROBLEM_ERROR, lcip_graph_actor(graph, (int)i)->id,
                        "it would fire %u times a frame: this version runs one firing a frame",
                        analysis->repetitions[i]);
}

static guint *lane_threads(const LcipPlan *plan) {
  guint *threads = g_new0(guint, plan->lanes->len + 1);
  for (guint i = 0; i < plan->lanes->len; i++)
    threads[i] = ((const LcipPlanLane *)plan->lanes->pdata[i])->threads;
  return threads;
}

/* Now that the graph holds what the first placement has shown. */
static void place_again(LcipPlacement **placement) {
  LcipPlacement *p = *placement;
  *placement =
      lcip_placement_new(p->ir, p->families, p->numerics, p->calibration, p->threads, p->problems);
  lcip_placement_free(p);
}

static gboolean compile(LcipPlan *plan, LcipIr *ir, const LcipPlanOptions *options,
                        GPtrArray *problems, GCancellable *cancellable, GError **error) {
  const guint before = problems->len;
  lcip_transform_dead(ir);
  lcip_transform_identity(ir);
  lcip_transform_common(ir);
  lcip_transform_fold_affine(ir);
  if (!options->pinned) {
    lcip_plan_choose_width(ir);
    lcip_transform_pad(ir);
    lcip_transform_channels(ir, options->families);
    lcip_transform_transpose(ir);
    lcip_transform_gate(ir, options->families);
    lcip_transform_hard_swish(ir, options->families);
    lcip_transform_fuse(ir, options->families);
    lcip_transform_expand_depthwise(ir, options->families);
    lcip_transform_conv_max_pool(ir, options->families);
  }
  check_lanes(plan, ir, problems);
  const LcipNumerics numerics =
      options->pinned || options->direct ? LCIP_NUMERICS_REASSOCIATED : LCIP_NUMERICS_WINOGRAD;
  g_autoptr(LcipCalibration) calibration =
      options->pinned || options->no_calibration ? NULL : lcip_calibration_ref_current();
  g_autofree guint *threads = lane_threads(plan);
  g_autoptr(LcipPlacement) placement =
      lcip_placement_new(ir, options->families, numerics, calibration, threads, problems);
  if (fail_with_problems(problems, before, error))
    return FALSE;
  ir->n_together = lcip_placement_frames_together(placement, options->streams);
  if (ir->n_together > 1)
    place_again(&placement);
  const gsize budget = options->winograd_budget_bytes;
  if (lcip_placement_keep_budget(placement, budget ? budget : LCIP_WINOGRAD_BUDGET) > 0)
    place_again(&placement);
  plan->cpu = ir->cpu;
  for (guint i = 0; i < plan->actors->len; i++)
    settle_actor(plan, ir, (int)i);
  if (!lcip_plan_build(plan, placement, options, cancellable, error))
    return FALSE;
  for (guint e = 0; e < plan->graph->edges->len; e++)
    plan->edge_bytes[e] = edge_bytes(plan, &g_array_index(plan->graph->edges, LcipEdge, e));
  count_weights(plan);
  return TRUE;
}

LcipPlan *lcip_plan_new(LcipGraph *graph, const LcipPlanOptions *options, GPtrArray *problems,
                        GCancellable *cancellable, GError **error) {
  g_autoptr(GPtrArray) own = problems ? g_ptr_array_ref(problems) : lcip_problems_new();
  const guint before = own->len;
  const LcipMapping *mapping = lcip_graph_find_mapping(graph, options->mapping);
  if (!mapping) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID, "there is no mapping %s",
                options->mapping ? options->mapping : "");
    return NULL;
  }
  g_autoptr(LcipPlan) plan = plan_alloc(graph, mapping);
  plan->sketch = options->sketch;
  make_lanes(plan, mapping, options);
  check_bindings(plan, options->bindings, own);
  check_delays(graph, own);
  g_autoptr(LcipAnalysis) analysis =
      lcip_analyse(graph, options->source_sizes, options->input_shapes, own);
  if (analysis)
    check_repetitions(graph, analysis, own);
  if (fail_with_problems(own, before, error))
    return NULL;
  for (guint i = 0; i < graph->actors->len; i++)
    g_ptr_array_add(plan->actors, make_actor(plan, analysis, mapping, (int)i));
  g_autoptr(LcipIr) ir = lcip_ir_new(graph, analysis, mapping, options->keep);
  if (!compile(plan, ir, options, own, cancellable, error))
    return NULL;
  return g_steal_pointer(&plan);
}

LcipPlan *lcip_plan_ref(LcipPlan *plan) {
  g_atomic_ref_count_inc(&plan->refs);
  return plan;
}

void lcip_plan_unref(LcipPlan *plan) {
  if (!g_atomic_ref_count_dec(&plan->refs))
    return;
  for (guint i = 0; i < plan->tensors->len; i++)
    g_clear_pointer(&g_array_index(plan->tensors, LcipPlanTensor, i).constant, lcip_tensor_unref);
  for (guint i = 0; i < plan->segments->len; i++)
    g_free(g_array_index(plan->segments, LcipPlanSegment, i).steps);
  g_clear_pointer(&plan->steps, g_ptr_array_unref);
  g_clear_pointer(&plan->works, g_ptr_array_unref);
  g_ptr_array_unref(plan->actors);
  g_ptr_array_unref(plan->lanes);
  g_array_unref(plan->tensors);
  g_array_unref(plan->segments);
  g_array_unref(plan->channels);
  g_free(plan->scratch_bytes);
  g_free(plan->edge_bytes);
  g_free(plan->mapping);
  lcip_graph_unref(plan->graph);
  g_free(plan);
}

/* ---- reading ---- */

LcipGraph *lcip_plan_graph(const LcipPlan *plan) {
  return plan->graph;
}

const char *lcip_plan_mapping(const LcipPlan *plan) {
  return plan->mapping;
}

guint lcip_plan_n_steps(const LcipPlan *plan) {
  return plan->steps->len;
}

const LcipPlanStep *lcip_plan_step(const LcipPlan *plan, guint i) {
  return plan->steps->pdata[i];
}

const LcipPlanActor *lcip_plan_actor(const LcipPlan *plan, guint actor) {
  return plan->actors->pdata[actor];
}

guint lcip_plan_n_lanes(const LcipPlan *plan) {
  return plan->lanes->len;
}

const LcipPlanLane *lcip_plan_lane(const LcipPlan *plan, guint i) {
  return plan->lanes->pdata[i];
}

guint lcip_plan_n_segments(const LcipPlan *plan) {
  return plan->segments->len;
}

gboolean lcip_plan_is_sketch(const LcipPlan *plan) {
  return plan->sketch;
}

gsize lcip_plan_edge_bytes(const LcipPlan *plan, guint edge) {
  return plan->edge_bytes[edge];
}

int lcip_plan_root(const LcipPlan *plan, int tensor) {
  int root;
  while ((root = g_array_index(plan->tensors, LcipPlanTensor, tensor).root) >= 0)
    tensor = root;
  return tensor;
}
