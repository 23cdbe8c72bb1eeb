#include "config.h"

#include "lcip-session-private.h"

/* Planning on a worker thread, one plan at a time: edits that come meanwhile make one more. */

#define MEASURE_SECONDS 2
#define MEASURE_FRAMES 12

typedef struct {
  LcipGraph *graph;
  GHashTable *source_sizes;
  LcipRun *run; /* to hand the plan to, or NULL */
  GPtrArray *problems;
  guint generation;
  gboolean taken;
  LcipAnalysis *analysis; /* where there is no plan */
} PlanJob;

static void plan_job_free(PlanJob *job) {
  lcip_graph_unref(job->graph);
  g_clear_pointer(&job->source_sizes, g_hash_table_unref);
  g_clear_pointer(&job->run, lcip_run_unref);
  g_ptr_array_unref(job->problems);
  g_clear_pointer(&job->analysis, lcip_analysis_free);
  g_free(job);
}

static void plan_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable) {
  PlanJob *job = data;
  GError *error = NULL;
  LcipPlanOptions options = {.source_sizes = job->source_sizes};
  g_autoptr(LcipPlan) plan = lcip_plan_new(job->graph, &options, job->problems, NULL, &error);
  if (!plan)
    job->analysis = lcip_analyse(job->graph, job->source_sizes, NULL, NULL);
  if (plan && job->run)
    job->taken = lcip_run_set_plan(job->run, plan, &error);
  if (error)
    g_task_return_error(task, error);
  else
    g_task_return_pointer(task, g_steal_pointer(&plan), (GDestroyNotify)lcip_plan_unref);
}

/* The old plan goes on running: say why the new one does not. */
static void plan_failed(LcipSession *self, const GError *error) {
  if (self->change.state == LCIP_CHANGE_APPLYING)
    lcip_session_change_fail(self, error->message);
  else if (self->state == LCIP_SESSION_RUNNING)
    lcip_session_emit_message(self, error->message);
}

static void plan_done(GObject *object, GAsyncResult *result, gpointer data) {
  LcipSession *self = LCIP_SESSION(object);
  PlanJob *job = g_task_get_task_data(G_TASK(result));
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipPlan) plan = g_task_propagate_pointer(G_TASK(result), &error);
  lcip_session_release();
  self->planning = FALSE;
  gboolean again = self->plan_again;
  if (job->generation == self->generation) {
    lcip_session_adopt_problems(self, job->problems, error);
    lcip_session_set_analysis(self, job->graph, g_steal_pointer(&job->analysis));
    if (plan) {
      g_clear_pointer(&self->plan, lcip_plan_unref);
      self->plan = lcip_plan_ref(plan);
      if (job->taken && !again)
        lcip_session_change_measure(self);
    } else if (!again) {
      plan_failed(self, error);
    }
    lcip_session_emit(self, SESSION_PLAN_CHANGED);
  }
  self->plan_again = FALSE;
  if (again)
    lcip_session_queue_plan(self);
}

void lcip_session_queue_plan(LcipSession *self) {
  if (self->planning) {
    self->plan_again = TRUE;
    return;
  }
  if (!self->document || self->state == LCIP_SESSION_STARTING)
    return; /* the start makes its own plan, and comes back here when the graph changed since */
  PlanJob *job = g_new0(PlanJob, 1);
  job->graph = lcip_graph_ref(lcip_document_graph(self->document));
  job->source_sizes = self->source_sizes ? g_hash_table_ref(self->source_sizes) : NULL;
  job->run = self->state == LCIP_SESSION_RUNNING ? lcip_run_ref(self->run) : NULL;
  job->problems = lcip_problems_new();
  job->generation = self->generation;
  self->planning = TRUE;
  g_autoptr(GTask) task = g_task_new(self, NULL, plan_done, NULL);
  g_task_set_task_data(task, job, (GDestroyNotify)plan_job_free);
  lcip_session_hold();
  g_task_run_in_thread(task, plan_thread);
}

LcipPlan *lcip_session_get_plan(LcipSession *self) {
  return self->plan;
}

gboolean lcip_session_is_planning(LcipSession *self) {
  return self->planning;
}

/* ---- what a move did ---- */

const LcipChange *lcip_session_get_change(LcipSession *self) {
  return &self->change;
}

void lcip_session_change_clear(LcipSession *self) {
  g_clear_pointer(&self->change.label, g_free);
  g_clear_pointer(&self->change.why, g_free);
  g_clear_pointer(&self->change_before, lcip_graph_unref);
  g_clear_pointer(&self->change_plan, lcip_plan_unref);
  self->change_after = NULL;
  if (self->change.state == LCIP_CHANGE_NONE)
    return;
  self->change = (LcipChange){0};
  lcip_session_emit(self, SESSION_CHANGE_CHANGED);
}

/* Only a run has something to compare. A move in a row keeps the figures of before the first when
 * nothing was measured in between. */
void lcip_session_change_begin(LcipSession *self, const char *label, LcipGraph *before) {
  LcipChange old = self->change;
  gboolean unmeasured = old.state == LCIP_CHANGE_APPLYING || old.state == LCIP_CHANGE_MEASURING;
  lcip_session_change_clear(self);
  if (self->state != LCIP_SESSION_RUNNING || !self->profile)
    return;
  self->change = (LcipChange){
      .state = LCIP_CHANGE_APPLYING,
      .label = g_strdup(label),
      .capacity_before = unmeasured ? old.capacity_before : self->profile->capacity_fps,
      .latency_before = unmeasured ? old.latency_before : self->profile->latency.median_ms};
  self->change_before = lcip_graph_ref(before);
  lcip_session_emit(self, SESSION_CHANGE_CHANGED);
}

void lcip_session_change_measure(LcipSession *self) {
  if (self->change.state != LCIP_CHANGE_APPLYING)
    return;
  self->change.state = LCIP_CHANGE_MEASURING;
  self->change_plan = lcip_plan_ref(self->plan);
  self->change_seen_us = 0;
  lcip_session_predict_change(self);
  lcip_session_emit(self, SESSION_CHANGE_CHANGED);
}

void lcip_session_change_fail(LcipSession *self, const char *why) {
  self->change.state = LCIP_CHANGE_FAILED;
  g_free(self->change.why);
  self->change.why = g_strdup(why);
  lcip_session_emit(self, SESSION_CHANGE_CHANGED);
}

/* After the new plan has run for a while its figures are worth saying. */
void lcip_session_change_update(LcipSession *self) {
  const LcipProfile *profile = self->profile;
  if (self->change.state != LCIP_CHANGE_MEASURING || !profile || profile->plan != self->change_plan)
    return;
  gint64 now = g_get_monotonic_time();
  if (self->change_seen_us == 0) {
    self->change_seen_us = now;
    self->change_seen_frames = profile->frames;
  }
  if (now - self->change_seen_us < MEASURE_SECONDS * G_USEC_PER_SEC ||
      profile->frames < self->change_seen_frames + MEASURE_FRAMES)
    return;
  self->change.state = LCIP_CHANGE_DONE;
  self->change.capacity_after = profile->capacity_fps;
  self->change.latency_after = profile->latency.median_ms;
  lcip_session_emit(self, SESSION_CHANGE_CHANGED);
}

void lcip_session_revert_change(LcipSession *self) {
  if (!self->change_before || !self->document)
    return;
  LcipGraph *before = g_steal_pointer(&self->change_before);
  g_autofree char *label = g_strdup_printf("Revert %s", self->change.label);
  lcip_session_change_clear(self);
  lcip_document_apply(self->document, before, label, NULL);
}

void lcip_session_dismiss_change(LcipSession *self) {
  lcip_session_change_clear(self);
}
