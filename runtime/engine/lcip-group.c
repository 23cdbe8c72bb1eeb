#include "config.h"
#include "lcip-run-private.h"

#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define TENSOR(plan, i) (&g_array_index((plan)->tensors, LcipPlanTensor, (i)))
#define SEGMENT(plan, i) (&g_array_index((plan)->segments, LcipPlanSegment, (i)))

/* ---- what the sources give ---- */

static float random_unit(guint64 *state) {
  /* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators" (2016) */
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return (float)((*state * G_GUINT64_CONSTANT(2685821657736338717)) >> 40) / 16777216.0f;
}

/* Floats in [0, 1); bytes over their whole range; other types are left zero. */
static void fill_random(LcipTensor *tensor, guint64 seed) {
  const LcipTensorSpec *spec = lcip_tensor_get_spec(tensor);
  const gsize n = lcip_tensor_get_bytes(tensor) / MAX(lcip_type_size(spec->type), 1);
  void *data = lcip_tensor_get_mutable(tensor);
  guint64 state = seed * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15) + 1;
  for (gsize i = 0; i < n; i++) {
    if (spec->type == LCIP_TYPE_F32)
      ((float *)data)[i] = random_unit(&state);
    else if (spec->type == LCIP_TYPE_F64)
      ((double *)data)[i] = random_unit(&state);
    else if (spec->type == LCIP_TYPE_U8)
      ((guint8 *)data)[i] = (guint8)(random_unit(&state) * 256);
  }
}

LcipTensor *lcip_run_random_input(const LcipTensorSpec *spec, guint64 seed, GError **error) {
  LcipTensor *tensor = lcip_tensor_new(spec);
  if (tensor)
    fill_random(tensor, seed);
  else
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "no memory for a random input");
  return tensor;
}

static gboolean tensor_fits(const LcipTensor *tensor, const LcipTensorSpec *planned) {
  const LcipTensorSpec *spec = lcip_tensor_get_spec(tensor);
  const LcipShape *shape = lcip_tensor_get_shape(tensor);
  gboolean fits = spec->type == planned->type && spec->format == LCIP_FORMAT_DENSE &&
                  shape->rank == planned->shape.rank;
  for (int i = 0; fits && i < shape->rank; i++)
    fits = shape->dims[i] <= planned->shape.dims[i];
  return fits;
}

static gboolean check_given(const char *name, const LcipTensor *tensor,
                            const LcipTensorSpec *planned, GError **error) {
  if (tensor_fits(tensor, planned))
    return TRUE;
  g_autofree char *found = lcip_tensor_spec_to_string(lcip_tensor_get_spec(tensor));
  g_autofree char *expected = lcip_tensor_spec_to_string(planned);
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID, "input %s: expected %s, found %s", name,
              expected, found);
  return FALSE;
}

static LcipTensor *given_input(LcipRun *run, const char *id, const char *name) {
  LcipTensor *tensor = NULL;
  if (run->inputs && name && *name)
    tensor = g_hash_table_lookup(run->inputs, name);
  if (run->inputs && !tensor && id)
    tensor = g_hash_table_lookup(run->inputs, id);
  return tensor;
}

static void source_names(const LcipPlan *plan, int step, const char **id, const char **name) {
  const LcipPlanWork *work = g_ptr_array_index(plan->works, step);
  const LcipPlanStep *info = g_ptr_array_index(plan->steps, step);
  *id = *name = info->title;
  if (!plan->graph)
    return;
  if (work->graph_port >= 0) {
    const LcipGraphPort *port = g_ptr_array_index(plan->graph->inputs, work->graph_port);
    *id = port->id;
    *name = port->name;
  } else if (info->n_actors > 0) {
    const LcipActor *actor = g_ptr_array_index(plan->graph->actors, info->actors[0]);
    *id = actor->id;
    *name = actor->name;
  }
}

/* In this order: what the caller gave, what is pushed, the feed's picture (source actors), random
 * values. */
static gboolean resolve_source(LcipRun *run, LcipGroup *group, int step, GError **error) {
  const LcipPlanWork *work = g_ptr_array_index(group->plan->works, step);
  LcipSourceSlot slot = {.step = step, .tensor = work->outputs[0], .pushed = -1};
  const LcipTensorSpec *spec = &TENSOR(group->plan, slot.tensor)->spec;
  const char *id, *name;
  source_names(group->plan, step, &id, &name);
  LcipTensor *given = given_input(run, id, name);
  if (given) {
    if (!check_given(*name ? name : id, given, spec, error))
      return FALSE;
    slot.constant = lcip_tensor_ref(given);
  } else if (run->pushed && work->graph_port >= 0) {
    slot.pushed = work->graph_port;
  } else if (work->graph_port >= 0 || !run->feed.next) {
    if (!run->random_inputs) {
      g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID,
                  "input %s: nothing is given for it (a picture source or a tensor is needed)",
                  name && *name ? name : id);
      return FALSE;
    }
    slot.constant = lcip_run_random_input(spec, (guint64)step + 1, error);
    if (!slot.constant)
      return FALSE;
  }
  g_array_append_val(group->sources, slot);
  return TRUE;
}

static gboolean resolve_sources(LcipRun *run, LcipGroup *group, GError **error) {
  const LcipPlanSegment *segment = SEGMENT(group->plan, 0);
  for (guint i = 0; i < segment->n_steps; i++)
    if (!resolve_source(run, group, segment->steps[i], error))
      return FALSE;
  return TRUE;
}

static void source_slot_clear(gpointer data) {
  g_clear_pointer(&((LcipSourceSlot *)data)->constant, lcip_tensor_unref);
}

/* ---- what the sinks take ---- */

static const char *keep_name(LcipGroup *group, char *name) {
  g_ptr_array_add(group->names, name);
  return name;
}

static void name_value(LcipGroup *group, int step, guint input, LcipFrameValue *value) {
  const LcipPlanWork *work = g_ptr_array_index(group->plan->works, step);
  const LcipPlanStep *info = g_ptr_array_index(group->plan->steps, step);
  const LcipGraph *graph = group->plan->graph;
  if (graph && work->graph_port >= 0) {
    const LcipGraphPort *port = g_ptr_array_index(graph->outputs, work->graph_port);
    value->name = port->name && *port->name ? port->name : port->id;
    return;
  }
  value->name = info->title;
  if (work->step.op) {
    value->op_name = work->step.op->name;
    value->name = keep_name(group, lcip_operator_input_name(work->step.op, input));
  }
  if (graph && info->n_actors > 0)
    value->actor_id = ((LcipActor *)g_ptr_array_index(graph->actors, info->actors[0]))->id;
}

static void list_sinks(LcipGroup *group) {
  const LcipPlanSegment *segment = SEGMENT(group->plan, group->plan->segments->len - 1);
  for (guint i = 0; i < segment->n_steps; i++) {
    const LcipPlanWork *work = g_ptr_array_index(group->plan->works, segment->steps[i]);
    for (guint k = 0; k < work->step.n_inputs; k++) {
      LcipSinkSlot slot = {.tensor = work->inputs[k], .step = segment->steps[i]};
      LcipFrameValue value = {0};
      if (slot.tensor < 0)
        continue;
      slot.root = lcip_plan_root(group->plan, slot.tensor);
      name_value(group, slot.step, k, &value);
      g_array_append_val(group->sinks, slot);
      g_array_append_val(group->values, value);
    }
  }
}

/* ---- groups ---- */

static gsize weight_bytes(const LcipPlan *plan, const LcipPlanWork *work, guint input) {
  const int root = work->inputs[input] < 0 ? -1 : lcip_plan_root(plan, work->inputs[input]);
  gsize bytes = 0;
  if (root < 0 || TENSOR(plan, root)->store != LCIP_STORE_CONSTANT)
    return 0;
  if (work->blob)
    return lcip_blob_bytes(work->blob);
  return lcip_tensor_spec_bytes(&TENSOR(plan, root)->spec, &bytes) ? bytes : 0;
}

/* Whether the streams do a step together: where much of its time goes into reading weights. */
static gboolean is_swept(const LcipPlan *plan, guint step) {
  const LcipPlanWork *work = g_ptr_array_index(plan->works, step);
  const LcipPlanStep *info = g_ptr_array_index(plan->steps, step);
  const LcipKernelSweep *sweep = info->kernel ? info->kernel->sweep : NULL;
  return sweep && work->kind == LCIP_STEP_KERNEL &&
         weight_bytes(plan, work, sweep->weights) >= sweep->least_bytes &&
         (!sweep->supports || sweep->supports(&work->step));
}

static gboolean is_work(const LcipPlan *plan, guint segment) {
  return SEGMENT(plan, segment)->kind == LCIP_SEGMENT_WORK;
}

static guint lanes_in_use(const LcipPlan *plan) {
  g_autoptr(GHashTable) lanes = g_hash_table_new(NULL, NULL);
  for (guint i = 0; i < plan->segments->len; i++)
    if (is_work(plan, i))
      g_hash_table_add(lanes, GINT_TO_POINTER(SEGMENT(plan, i)->lane));
  return g_hash_table_size(lanes);
}

static gboolean one_cpu_lane(const LcipPlan *plan) {
  for (guint i = 0; i < plan->segments->len; i++)
    if (is_work(plan, i) &&
        lcip_plan_lane(plan, (guint)SEGMENT(plan, i)->lane)->kind != LCIP_LANE_CPU)
      return FALSE;
  return lanes_in_use(plan) == 1;
}

/* Instances that make a stream. */
static guint frames_together(const LcipRun *run, const LcipPlan *plan) {
  gsize bytes = 0;
  if (!one_cpu_lane(plan) || lcip_plan_has_state(plan))
    return 1;
  for (guint i = 0; i < plan->steps->len; i++) {
    const LcipPlanStep *info = g_ptr_array_index(plan->steps, i);
    if (is_swept(plan, i))
      bytes += weight_bytes(plan, g_ptr_array_index(plan->works, i), info->kernel->sweep->weights);
  }
  if (bytes == 0)
    return 1;
  if (run->frames_together)
    return run->frames_together;
  return run->n_streams > 1 && bytes >= LCIP_TOGETHER_BYTES ? LCIP_FRAMES_TOGETHER : 1;
}

static void make_sweeps(LcipGroup *group) {
  const LcipPlan *plan = group->plan;
  if (group->n_streams < 2)
    return;
  group->sweeps = g_new0(LcipSweep *, plan->steps->len + 1);
  for (guint i = 0; i < plan->steps->len; i++)
    if (is_swept(plan, i)) {
      const LcipPlanStep *info = g_ptr_array_index(plan->steps, i);
      group->sweeps[i] = lcip_sweep_new(info->kernel->sweep, group->n_streams, group->n_together);
    }
}

static void free_sweeps(LcipGroup *group) {
  for (guint i = 0; group->sweeps && i < group->plan->steps->len; i++)
    lcip_sweep_free(group->sweeps[i]);
  g_free(group->sweeps);
}

/* ---- companions ---- */

/* The lane that does all. */
static int first_lane(const LcipPlan *plan) {
  for (guint i = 0; i < plan->segments->len; i++)
    if (is_work(plan, i))
      return SEGMENT(plan, i)->lane;
  return -1;
}

/* A firing pauses only where it waits for its companions, at steps that they do together. */
static LcipPlanLayout *lay_out(const LcipGroup *group) {
  const guint n = group->plan->steps->len;
  g_autofree gboolean *pauses = g_new0(gboolean, n + 1);
  for (guint i = 0; i < n; i++)
    pauses[i] = group->sweeps[i] != NULL;
  return lcip_plan_layout_new(group->plan, first_lane(group->plan), pauses);
}

static void companions_free(LcipCompanions *companions) {
  if (!companions)
    return;
  lcip_turn_free(companions->turn);
  g_clear_pointer(&companions->arena, lcip_tensor_unref);
  g_clear_pointer(&companions->scratch, lcip_tensor_unref);
  g_free(companions);
}

static LcipCompanions *companions_new(const LcipPlanLayout *layout, GError **error) {
  LcipCompanions *companions = g_new0(LcipCompanions, 1);
  companions->turn = lcip_turn_new();
  companions->layout = layout;
  companions->arena = lcip_host_memory(layout->shared.arena_bytes, "the tensors of a lane", error);
  if (companions->arena)
    companions->scratch = lcip_host_memory(layout->shared.scratch_bytes, "a lane's scratch", error);
  if (!companions->scratch)
    g_clear_pointer(&companions, companions_free);
  return companions;
}

static gboolean make_companions(LcipGroup *group, GError **error) {
  if (group->n_together < 2)
    return TRUE;
  group->layout = lay_out(group);
  group->companions = g_new0(LcipCompanions *, group->n_streams);
  for (guint i = 0; i < group->n_streams; i++) {
    group->companions[i] =
        i % group->n_together ? group->companions[i - 1] : companions_new(group->layout, error);
    if (!group->companions[i])
      return FALSE;
  }
  return TRUE;
}

static void free_companions(LcipGroup *group) {
  for (guint i = 0; group->companions && i < group->n_streams; i += group->n_together)
    companions_free(group->companions[i]);
  g_free(group->companions);
  lcip_plan_layout_free(group->layout);
}

static gboolean start_streams(LcipRun *run, LcipGroup *group, GError **error) {
  const guint wished =
      run->frames_in_flight ? run->frames_in_flight : 2 * lanes_in_use(group->plan);
  const guint limit = CLAMP(wished / group->n_together, 1, LCIP_MAX_FRAMES);
  const LcipInstanceEnds ends = {.source_bell = &run->source_bell,
                                 .sink_bell = &run->sink_bell,
                                 .failed = lcip_run_instance_failed,
                                 .failed_data = run,
                                 .lane_func = run->lane_func,
                                 .lane_data = run->frame_data,
                                 .sweeps = group->sweeps,
                                 .companions = group->companions,
                                 .cancellable = run->starting ? run->starting : run->cancellable,
                                 .cold = run->cold && group->epoch == 1};
  for (guint i = 0; i < group->n_streams; i++) {
    group->streams[i] =
        lcip_instance_new(group->plan, group->epoch, limit, &ends, group->profiler, i, error);
    if (!group->streams[i])
      return FALSE;
  }
  for (guint i = 0; i < group->n_streams; i++)
    if (!lcip_instance_start(group->streams[i], error))
      return FALSE;
  return TRUE;
}

/* State passes from frame to frame, which streams take in turn. */
static gboolean check_streams(const LcipRun *run, const LcipPlan *plan, GError **error) {
  if (run->n_streams == 1 || !lcip_plan_has_state(plan))
    return TRUE;
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
              "expected one stream for a graph with delays, found %u", run->n_streams);
  return FALSE;
}

LcipGroup *lcip_group_new(LcipRun *run, LcipPlan *plan, guint64 epoch, GError **error) {
  LcipGroup *group = g_new0(LcipGroup, 1);
  group->plan = lcip_plan_ref(plan);
  group->epoch = epoch;
  group->n_together = frames_together(run, plan);
  group->n_streams = group->n_together * run->n_streams;
  group->streams = g_new0(LcipInstance *, group->n_streams);
  group->profiler = lcip_profiler_new(plan, epoch, group->n_streams, group->n_together, run->level);
  group->sources = g_array_new(FALSE, TRUE, sizeof(LcipSourceSlot));
  g_array_set_clear_func(group->sources, source_slot_clear);
  group->sinks = g_array_new(FALSE, TRUE, sizeof(LcipSinkSlot));
  group->values = g_array_new(FALSE, TRUE, sizeof(LcipFrameValue));
  group->names = g_ptr_array_new_with_free_func(g_free);
  list_sinks(group);
  make_sweeps(group);
  if (!check_streams(run, plan, error) || !resolve_sources(run, group, error) ||
      !make_companions(group, error) || !start_streams(run, group, error))
    g_clear_pointer(&group, lcip_group_free);
  return group;
}

/* A plan's memory goes in large pieces, made by many threads; left to itself the C library keeps
 * most of them, and every change of plans would make the process a little larger. */
static void give_back_memory(void) {
  lcip_runtime_trim();
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

void lcip_group_free(LcipGroup *group) {
  for (guint i = 0; i < group->n_streams; i++)
    g_clear_pointer(&group->streams[i], lcip_instance_free);
  g_free(group->streams);
  free_sweeps(group);
  free_companions(group);
  g_array_unref(group->sources);
  g_array_unref(group->sinks);
  g_array_unref(group->values);
  g_ptr_array_unref(group->names);
  lcip_profiler_unref(group->profiler);
  lcip_plan_unref(group->plan);
  g_free(group);
  give_back_memory();
}
