#include "config.h"
#include "lcip-plan-private.h"
#include "lcip-step-times.h"

#include <math.h>

/* For what nothing was measured of: a modest core and a modest bus. */
#define GUESS_FLOPS_PER_MS 5e6
#define GUESS_BYTES_PER_MS 4e6
#define MIN_COPY_MS 0.005

/* One measured step. @what: what it computes, the same on every device; @how: with device, threads,
 * kernel and formats. */
typedef struct {
  char *what;
  char *device;
  const char *op; /* interned; "Upload" and "Download" for copies */
  double work;    /* FLOPs, or bytes where there are none */
  gboolean work_is_flops;
  double ms;
} Entry;

struct _LcipStepTimes {
  gatomicrefcount refs;
  GMutex lock;
  GHashTable *entries; /* how -> Entry */
  LcipPlan *last_plan; /* whose keys are kept: profiles of one plan come in a row */
  GPtrArray *last_keys;
};

const char *lcip_sureness_name(LcipSureness sureness) {
  static const char *const names[] = {"measured", "scaled", "guess"};
  return names[sureness];
}

static void entry_free(Entry *entry) {
  g_free(entry->what);
  g_free(entry->device);
  g_free(entry);
}

LcipStepTimes *lcip_step_times_new(void) {
  LcipStepTimes *times = g_new0(LcipStepTimes, 1);
  g_atomic_ref_count_init(&times->refs);
  g_mutex_init(&times->lock);
  times->entries =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)entry_free);
  return times;
}

LcipStepTimes *lcip_step_times_ref(LcipStepTimes *times) {
  g_atomic_ref_count_inc(&times->refs);
  return times;
}

void lcip_step_times_unref(LcipStepTimes *times) {
  if (!g_atomic_ref_count_dec(&times->refs))
    return;
  g_hash_table_unref(times->entries);
  g_clear_pointer(&times->last_plan, lcip_plan_unref);
  g_clear_pointer(&times->last_keys, g_ptr_array_unref);
  g_mutex_clear(&times->lock);
  g_free(times);
}

/* ---- what identifies a step ---- */

static void append_attrs(GString *text, const LcipAttrs *attrs) {
  guint n;
  if (!attrs)
    return;
  g_autofree const char **names = lcip_attrs_names(attrs, &n);
  for (guint i = 0; i < n; i++) {
    g_autofree char *value = lcip_attrs_get_text(attrs, names[i]);
    g_string_append_printf(text, " %s=%s", names[i], value ? value : "tensor");
  }
}

static void append_spec(GString *text, LcipTensorSpec spec, gboolean with_format) {
  if (!with_format)
    spec.format = LCIP_FORMAT_DENSE;
  g_autofree char *words =
      spec.type == LCIP_TYPE_NONE ? g_strdup("-") : lcip_tensor_spec_to_string(&spec);
  g_string_append_printf(text, " %s", words);
}

static const char *op_of(const LcipPlanWork *work) {
  if (work->kind == LCIP_STEP_UPLOAD)
    return "Upload";
  if (work->kind == LCIP_STEP_DOWNLOAD)
    return "Download";
  if (work->kind == LCIP_STEP_REMOTE)
    return "Remote";
  return work->step.op ? work->step.op->name : "";
}

static char *describe(const LcipPlanWork *work, gboolean with_formats) {
  const LcipStep *step = &work->step;
  GString *text = g_string_new(op_of(work));
  append_attrs(text, step->attrs);
  for (guint i = 0; i < step->n_epilogues; i++) {
    g_string_append_printf(text, " + %s", step->epilogues[i].op->name);
    append_attrs(text, step->epilogues[i].attrs);
  }
  for (guint i = 0; i < step->n_inputs; i++)
    append_spec(text, step->inputs[i], with_formats);
  g_string_append(text, " ->");
  for (guint i = 0; i < step->n_outputs; i++)
    append_spec(text, step->outputs[i], with_formats);
  return g_string_free(text, FALSE);
}

static const LcipPlanLane *lane_of(const LcipPlan *plan, guint step) {
  const int lane = lcip_plan_step(plan, step)->lane;
  return lane >= 0 ? lcip_plan_lane(plan, (guint)lane) : NULL;
}

static const char *device_of(const LcipPlanLane *lane) {
  return lane->device ? lane->device->id : "";
}

/* NULL for steps that no lane does. */
static char *key_of(const LcipPlan *plan, guint index) {
  const LcipPlanStep *step = lcip_plan_step(plan, index);
  const LcipPlanLane *lane = lane_of(plan, index);
  if (!lane || step->is_io)
    return NULL;
  g_autofree char *how = describe(plan->works->pdata[index], TRUE);
  GString *key = g_string_new(device_of(lane));
  g_string_append_printf(key, " %u %s: %s", lane->threads, step->kernel ? step->kernel->name : "",
                         how);
  /* what a worker computes is told by its actors */
  const LcipPlanWork *work = plan->works->pdata[index];
  for (guint i = 0; work->kind == LCIP_STEP_REMOTE && i < step->n_actors; i++)
    g_string_append_printf(key, " %s", lcip_graph_actor(plan->graph, step->actors[i])->id);
  return g_string_free(key, FALSE);
}

static Entry *entry_new(const LcipPlan *plan, guint index) {
  const LcipPlanStep *step = lcip_plan_step(plan, index);
  const LcipPlanWork *work = plan->works->pdata[index];
  Entry *entry = g_new0(Entry, 1);
  entry->what = describe(work, FALSE);
  entry->device = g_strdup(device_of(lane_of(plan, index)));
  entry->op = g_intern_string(op_of(work));
  entry->work_is_flops = step->cost.flops > 0;
  entry->work = MAX(entry->work_is_flops ? step->cost.flops : step->cost.bytes, 1);
  return entry;
}

/* ---- gathering ---- */

static void keep_keys(LcipStepTimes *times, LcipPlan *plan) {
  if (times->last_plan == plan)
    return;
  g_clear_pointer(&times->last_plan, lcip_plan_unref);
  g_clear_pointer(&times->last_keys, g_ptr_array_unref);
  times->last_plan = lcip_plan_ref(plan);
  times->last_keys = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < lcip_plan_n_steps(plan); i++)
    g_ptr_array_add(times->last_keys, key_of(plan, i));
}

void lcip_step_times_add(LcipStepTimes *times, const LcipProfile *profile) {
  g_mutex_lock(&times->lock);
  keep_keys(times, profile->plan);
  for (guint i = 0; i < times->last_keys->len; i++) {
    const char *key = times->last_keys->pdata[i];
    if (!key || profile->steps[i].n == 0)
      continue;
    Entry *entry = g_hash_table_lookup(times->entries, key);
    if (!entry) {
      entry = entry_new(profile->plan, i);
      g_hash_table_insert(times->entries, g_strdup(key), entry);
    }
    entry->ms = profile->steps[i].median_ms;
  }
  g_mutex_unlock(&times->lock);
}

/* ---- asking ---- */

/* The same operator on the same device: of all sizes the closest, in proportion to the work. */
static gboolean scale(LcipStepTimes *times, const Entry *wanted, double *ms) {
  GHashTableIter iter;
  gpointer value;
  double closest = INFINITY;
  g_hash_table_iter_init(&iter, times->entries);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    const Entry *entry = value;
    const double distance = fabs(log(entry->work / wanted->work));
    if (entry->op != wanted->op || entry->work_is_flops != wanted->work_is_flops ||
        distance >= closest || !g_str_equal(entry->device, wanted->device))
      continue;
    closest = distance;
    *ms = entry->ms * wanted->work / entry->work;
  }
  return isfinite(closest);
}

/* @what as measured on another device; NULL where it was not. */
static const Entry *elsewhere(LcipStepTimes *times, const char *what, const char *device) {
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init(&iter, times->entries);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    const Entry *entry = value;
    if (g_str_equal(entry->what, what) && !g_str_equal(entry->device, device))
      return entry;
  }
  return NULL;
}

/* How much longer @device takes than @other for what both have done; 1 where that is nothing. */
static double slowness(LcipStepTimes *times, const char *device, const char *other) {
  GHashTableIter iter;
  gpointer value;
  double here = 0, there = 0;
  g_hash_table_iter_init(&iter, times->entries);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    const Entry *entry = value;
    const Entry *pair =
        g_str_equal(entry->device, device) ? elsewhere(times, entry->what, device) : NULL;
    if (!pair || !g_str_equal(pair->device, other))
      continue;
    here += entry->ms;
    there += pair->ms;
  }
  return there > 0 ? here / there : 1;
}

static double guess(LcipStepTimes *times, const LcipPlanStep *step, const Entry *wanted) {
  const Entry *other = elsewhere(times, wanted->what, wanted->device);
  if (other)
    return other->ms * slowness(times, wanted->device, other->device);
  return MAX(step->cost.flops / GUESS_FLOPS_PER_MS, step->cost.bytes / GUESS_BYTES_PER_MS);
}

static double estimate(LcipStepTimes *times, const LcipPlan *plan, guint index,
                       LcipSureness *sureness) {
  const LcipPlanStep *step = lcip_plan_step(plan, index);
  Entry *wanted = entry_new(plan, index);
  double ms = 0;
  *sureness = LCIP_SURE_SCALED;
  if (!scale(times, wanted, &ms)) {
    *sureness = LCIP_SURE_GUESS;
    ms = guess(times, step, wanted);
  }
  entry_free(wanted);
  return step->n_actors == 0 && !step->kernel ? MAX(ms, MIN_COPY_MS) : ms;
}

/* A part for a worker, before it ran there: as long as it takes here. */
static double guess_remote(LcipStepTimes *times, const LcipPlan *fallback, LcipSureness *sureness) {
  double ms = 0;
  for (guint i = 0; i < lcip_plan_n_steps(fallback); i++)
    ms += lcip_step_times_get(times, fallback, i, sureness);
  *sureness = LCIP_SURE_GUESS;
  return ms;
}

double lcip_step_times_get(LcipStepTimes *times, const LcipPlan *plan, guint step,
                           LcipSureness *sureness) {
  const LcipPlanWork *work = plan->works->pdata[step];
  g_autofree char *key = key_of(plan, step);
  *sureness = LCIP_SURE_MEASURED;
  if (!key)
    return 0;
  g_mutex_lock(&times->lock);
  const Entry *entry = g_hash_table_lookup(times->entries, key);
  if (!entry && work->kind == LCIP_STEP_REMOTE) {
    g_mutex_unlock(&times->lock);
    return guess_remote(times, work->remote->fallback, sureness);
  }
  const double ms = entry ? entry->ms : estimate(times, plan, step, sureness);
  g_mutex_unlock(&times->lock);
  return ms;
}
