#include "config.h"
#include "lcip-calibrate.h"
#include "lcip-memory.h"
#include "lcip-plan-private.h"

#include <string.h>

/* More than a usual last-level cache: touching it all leaves nothing of the weights there. */
enum { FLUSH_BYTES = 48 << 20, SEED = 1 };

/* What all measurements share. */
typedef struct {
  LcipPlan *plan;
  LcipTeam *team;
  guint threads;
  guint8 *flush;
  guint rounds;
} Bench;

/* One candidate, ready to run. All owned but the kernel. */
typedef struct {
  const LcipKernel *kernel;
  LcipBlob *blob, *scratch;
  GArray *times_ms;
} Entrant;

static void entrant_clear(gpointer data) {
  Entrant *entrant = data;
  g_clear_pointer(&entrant->blob, lcip_blob_unref);
  g_clear_pointer(&entrant->scratch, lcip_blob_unref);
  g_array_unref(entrant->times_ms);
}

static void step_free(gpointer data) {
  LcipCalibratedStep *step = data;
  g_free(step->key);
  g_free(step->title);
  g_free(step->actor_id);
  g_free(step->candidates);
  g_free(step);
}

/* ---- who can do a step ---- */

/* That the plan might have taken instead of @planned. */
static gboolean can_do(const LcipPlan *plan, const LcipKernel *kernel, const LcipPlanWork *work,
                       const LcipKernel *planned) {
  LcipPortFormats formats = work->formats;
  if (kernel == planned)
    return TRUE;
  return kernel->device == LCIP_DEVICE_CPU && kernel->run && (kernel->needs & ~plan->cpu) == 0 &&
         !g_str_equal(kernel->family, "reference") && lcip_kernel_handles(kernel, &work->step) &&
         lcip_kernel_supports(kernel, &work->step, &formats, NULL) &&
         lcip_formats_agree(&work->step, &formats, &work->formats);
}

static gboolean enter(GArray *entrants, const LcipKernel *kernel, const LcipPlanWork *work,
                      guint threads, GError **error) {
  Entrant entrant = {.kernel = kernel, .times_ms = g_array_new(FALSE, FALSE, sizeof(double))};
  const gsize bytes =
      kernel->scratch_bytes ? kernel->scratch_bytes(&work->step, &work->formats, threads) : 0;
  entrant.scratch = lcip_blob_new(MAX(bytes, 1));
  const gboolean ok =
      entrant.scratch && lcip_runtime_prepare(lcip_runtime_get(), kernel, &work->step,
                                              &work->formats, &entrant.blob, error);
  g_array_append_val(entrants, entrant);
  if (!entrant.scratch)
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "no memory for %s", kernel->name);
  return ok;
}

static GArray *entrants_of(const Bench *bench, guint index, GError **error) {
  const LcipPlanStep *step = bench->plan->steps->pdata[index];
  const LcipPlanWork *work = bench->plan->works->pdata[index];
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  GArray *entrants = g_array_new(FALSE, FALSE, sizeof(Entrant));
  g_array_set_clear_func(entrants, entrant_clear);
  for (guint i = 0; i < n; i++)
    if (can_do(bench->plan, table[i], work, step->kernel) &&
        !enter(entrants, table[i], work, bench->threads, error)) {
      g_array_unref(entrants);
      return NULL;
    }
  return entrants;
}

/* ---- running ---- */

static LcipTensor *filled(const LcipTensorSpec *spec) {
  LcipTensor *tensor = lcip_tensor_new(spec);
  g_autoptr(GRand) rand = g_rand_new_with_seed(SEED);
  if (!tensor || spec->type != LCIP_TYPE_F32)
    return tensor;
  float *data = lcip_tensor_get_mutable(tensor);
  for (gsize i = 0; i < lcip_tensor_get_bytes(tensor) / sizeof(float); i++)
    data[i] = (float)g_rand_double(rand);
  return tensor;
}

/* Tensors of a step's ports; constants as they are. */
typedef struct {
  LcipTensorView *inputs, *outputs;
  GPtrArray *tensors;
} Ports;

static void ports_clear(Ports *ports) {
  g_free(ports->inputs);
  g_free(ports->outputs);
  g_ptr_array_unref(ports->tensors);
}

static gboolean add_port(Ports *ports, LcipTensorView *view, const LcipTensorSpec *spec,
                         LcipTensor *constant) {
  LcipTensor *tensor = constant ? lcip_tensor_ref(constant) : filled(spec);
  if (!tensor)
    return FALSE;
  g_ptr_array_add(ports->tensors, tensor);
  *view = lcip_tensor_view(tensor);
  view->spec = *spec;
  return TRUE;
}

static gboolean ports_init(Ports *ports, const LcipStep *step, GError **error) {
  ports->inputs = g_new0(LcipTensorView, step->n_inputs + 1);
  ports->outputs = g_new0(LcipTensorView, step->n_outputs + 1);
  ports->tensors = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_tensor_unref);
  gboolean ok = TRUE;
  for (guint i = 0; i < step->n_inputs; i++)
    if (step->inputs[i].type != LCIP_TYPE_NONE)
      ok = ok && add_port(ports, &ports->inputs[i], &step->inputs[i], step->constants[i]);
  for (guint i = 0; i < step->n_outputs; i++)
    ok = ok && add_port(ports, &ports->outputs[i], &step->outputs[i], NULL);
  if (!ok)
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "no memory for the tensors of a step");
  return ok;
}

/* Weights leave the cache; inputs come back, as the step before would leave them. */
static void settle_caches(const Bench *bench, const Ports *ports, const LcipStep *step) {
  volatile guint8 sum = 0;
  memset(bench->flush, sum, FLUSH_BYTES);
  for (guint i = 0; i < step->n_inputs; i++) {
    const guint8 *data = step->constants[i] ? NULL : ports->inputs[i].data;
    gsize bytes = 0;
    if (data && lcip_tensor_spec_bytes(&step->inputs[i], &bytes))
      for (gsize at = 0; at < bytes; at += LCIP_TENSOR_ALIGN)
        sum += data[at];
  }
}

static gboolean run_once(const Bench *bench, Entrant *entrant, const Ports *ports,
                         const LcipStep *step, GError **error) {
  const LcipCall call = {.step = step,
                         .prepared = entrant->blob,
                         .inputs = ports->inputs,
                         .outputs = ports->outputs,
                         .scratch = lcip_blob_data(entrant->scratch)};
  settle_caches(bench, ports, step);
  const gint64 begin = g_get_monotonic_time();
  if (!entrant->kernel->run(&call, bench->team, error))
    return FALSE;
  const double ms = (double)(g_get_monotonic_time() - begin) / 1e3;
  g_array_append_val(entrant->times_ms, ms);
  return TRUE;
}

static int compare_doubles(gconstpointer a, gconstpointer b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Without the first, which warms up. */
static double median(GArray *times) {
  g_array_remove_index(times, 0);
  g_array_sort(times, compare_doubles);
  return g_array_index(times, double, times->len / 2);
}

static gboolean run_all(const Bench *bench, GArray *entrants, const LcipStep *step,
                        GCancellable *cancellable, GError **error) {
  Ports ports;
  gboolean ok = ports_init(&ports, step, error);
  for (guint round = 0; ok && round <= bench->rounds; round++)
    for (guint i = 0; ok && i < entrants->len; i++)
      ok = !g_cancellable_set_error_if_cancelled(cancellable, error) &&
           run_once(bench, &g_array_index(entrants, Entrant, i), &ports, step, error);
  ports_clear(&ports);
  return ok;
}

/* ---- the whole graph ---- */

static LcipCalibratedStep *result_new(const Bench *bench, guint index, GArray *entrants,
                                      const char *key) {
  const LcipPlanStep *planned = bench->plan->steps->pdata[index];
  LcipCalibratedStep *step = g_new0(LcipCalibratedStep, 1);
  step->key = g_strdup(key);
  step->title = g_strdup(planned->title);
  step->actor_id = planned->n_actors
                       ? g_strdup(lcip_graph_actor(bench->plan->graph, planned->actors[0])->id)
                       : NULL;
  step->threads = bench->threads;
  step->n_candidates = entrants->len;
  step->candidates = g_new0(LcipCandidate, entrants->len);
  for (guint i = 0; i < entrants->len; i++) {
    const Entrant *entrant = &g_array_index(entrants, Entrant, i);
    step->candidates[i] = (LcipCandidate){entrant->kernel, median(entrant->times_ms)};
    if (entrant->kernel == planned->kernel)
      step->estimated = i;
    if (step->candidates[i].ms < step->candidates[step->fastest].ms)
      step->fastest = i;
  }
  return step;
}

/* Every distinct step once: key -> LcipCalibratedStep, or NULL where one kernel alone can do it. */
static gboolean measure_step(const Bench *bench, guint index, GHashTable *seen,
                             GCancellable *cancellable, GError **error) {
  const LcipPlanWork *work = bench->plan->works->pdata[index];
  g_autofree char *key = lcip_calibration_key(&work->step, bench->threads);
  gpointer known;
  if (g_hash_table_lookup_extended(seen, key, NULL, &known)) {
    if (known)
      ((LcipCalibratedStep *)known)->n_uses++;
    return TRUE;
  }
  g_autoptr(GArray) entrants = entrants_of(bench, index, error);
  if (!entrants)
    return FALSE;
  LcipCalibratedStep *result = NULL;
  if (entrants->len > 1) {
    if (!run_all(bench, entrants, &work->step, cancellable, error))
      return FALSE;
    result = result_new(bench, index, entrants, key);
    result->n_uses = 1;
  }
  g_hash_table_insert(seen, g_steal_pointer(&key), result);
  return TRUE;
}

/* Operators of the plan's own may have inputs that random values are no example of. */
static gboolean is_measured(const LcipPlan *plan, guint index, guint *threads) {
  const LcipPlanStep *step = plan->steps->pdata[index];
  const LcipPlanWork *work = plan->works->pdata[index];
  if (work->kind != LCIP_STEP_KERNEL || step->lane < 0 || !step->kernel || step->n_actors == 0)
    return FALSE;
  const LcipPlanLane *lane = plan->lanes->pdata[step->lane];
  *threads = lane->threads;
  return lane->kind == LCIP_LANE_CPU &&
         (*work->step.op->domain == '\0' || lcip_step_all_f32(&work->step, 0));
}

static void keep(LcipCalibration *calibration, const LcipCalibratedStep *step) {
  for (guint i = 0; i < step->n_candidates; i++)
    lcip_calibration_set(calibration, step->key, step->candidates[i].kernel->name,
                         step->candidates[i].ms);
}

static gboolean measure_plan(Bench *bench, GHashTable *seen, LcipCalibrateFunc func, gpointer data,
                             GCancellable *cancellable, GError **error) {
  const guint n = bench->plan->steps->len;
  for (guint i = 0; i < n; i++) {
    guint threads;
    if (!is_measured(bench->plan, i, &threads))
      continue;
    if (threads != bench->threads) {
      lcip_team_free(bench->team);
      bench->team = lcip_team_new(threads);
      bench->threads = threads;
    }
    if (!measure_step(bench, i, seen, cancellable, error))
      return FALSE;
    const LcipPlanWork *work = bench->plan->works->pdata[i];
    g_autofree char *key = lcip_calibration_key(&work->step, threads);
    const LcipCalibratedStep *step = g_hash_table_lookup(seen, key);
    if (func && step && step->n_uses == 1)
      func(step, i + 1, n, data);
  }
  return TRUE;
}

GPtrArray *lcip_calibrate(LcipGraph *graph, const LcipPlanOptions *options,
                          LcipCalibration *calibration, guint rounds, LcipCalibrateFunc func,
                          gpointer data, GCancellable *cancellable, GError **error) {
  LcipPlanOptions plain = *options;
  plain.no_calibration = TRUE;
  g_autoptr(LcipPlan) plan = lcip_plan_new(graph, &plain, NULL, cancellable, error);
  if (!plan)
    return NULL;
  g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  Bench bench = {.plan = plan, .flush = g_malloc(FLUSH_BYTES), .rounds = MAX(rounds, 1)};
  const gboolean ok = measure_plan(&bench, seen, func, data, cancellable, error);
  lcip_team_free(bench.team);
  g_free(bench.flush);
  GPtrArray *steps = g_ptr_array_new_with_free_func(step_free);
  GHashTableIter iter;
  gpointer step;
  g_hash_table_iter_init(&iter, seen);
  while (g_hash_table_iter_next(&iter, NULL, &step))
    if (step)
      g_ptr_array_add(steps, step);
  if (!ok) {
    g_ptr_array_unref(steps);
    return NULL;
  }
  for (guint i = 0; i < steps->len; i++)
    keep(calibration, steps->pdata[i]);
  return steps;
}
