#include "config.h"

#include "lcip-session-private.h"

/* What a move would do: the plan of the moved graph is sketched on a worker thread, its steps are
 * looked up among those measured. Only the last question is answered. */

typedef struct {
  LcipGraph *graph;
  GHashTable *source_sizes;
  char *lane;
} PredictJob;

static void predict_job_free(PredictJob *job) {
  lcip_graph_unref(job->graph);
  g_clear_pointer(&job->source_sizes, g_hash_table_unref);
  g_free(job->lane);
  g_free(job);
}

static void forget(LcipSession *self) {
  if (self->predicting)
    g_cancellable_cancel(self->predicting);
  g_clear_object(&self->predicting);
  g_clear_pointer(&self->forecast.lane, g_free);
  g_clear_pointer(&self->forecast.why, g_free);
  self->forecast = (LcipForecast){0};
}

static void predict_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable) {
  PredictJob *job = data;
  GError *error = NULL;
  const LcipPlanOptions options = {.source_sizes = job->source_sizes, .sketch = TRUE};
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  LcipPlan *plan = lcip_plan_new(job->graph, &options, problems, cancellable, &error);
  if (plan)
    g_task_return_pointer(task, plan, (GDestroyNotify)lcip_plan_unref);
  else
    g_task_return_error(task, error);
}

/* Of the lane that takes the actors, 0 where the device does not tell what it has. */
static double memory_share(const LcipPlan *plan, const char *lane) {
  for (guint i = 0; i < lcip_plan_n_lanes(plan); i++) {
    const LcipPlanLane *at = lcip_plan_lane(plan, i);
    if (g_str_equal(at->name, lane) && at->device && at->device->memory_bytes > 0)
      return (double)(at->arena_bytes + at->weight_bytes) / (double)at->device->memory_bytes;
  }
  return 0;
}

/* While nothing runs the present plan is predicted too, from what ran before. */
static void fill_now(LcipSession *self, LcipForecast *forecast) {
  const LcipProfile *now = self->profile;
  forecast->capacity_now = now ? now->capacity_fps : 0;
  forecast->latency_now = now ? now->latency.median_ms : 0;
  if (now || !self->plan)
    return;
  g_autoptr(LcipPrediction) present = lcip_predict(self->plan, self->times, NULL);
  forecast->capacity_now = present->capacity_fps;
  forecast->latency_now = present->latency_ms;
}

static void fill(LcipSession *self, const LcipPlan *plan) {
  LcipForecast *forecast = &self->forecast;
  g_autoptr(LcipPrediction) prediction = lcip_predict(plan, self->times, self->profile);
  fill_now(self, forecast);
  forecast->capacity = prediction->capacity_fps;
  forecast->latency = prediction->latency_ms;
  forecast->sureness = prediction->sureness;
  forecast->n_copies = prediction->n_copies;
  forecast->copy_bytes = prediction->copy_bytes;
  forecast->copy_ms = prediction->copy_ms;
  forecast->memory = memory_share(plan, forecast->lane);
  forecast->measured = self->has_times;
  forecast->state = LCIP_FORECAST_DONE;
}

static void predict_done(GObject *object, GAsyncResult *result, gpointer data) {
  LcipSession *self = LCIP_SESSION(object);
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipPlan) plan = g_task_propagate_pointer(G_TASK(result), &error);
  lcip_session_release();
  if (!self->predicting || g_task_get_cancellable(G_TASK(result)) != self->predicting)
    return;
  g_clear_object(&self->predicting);
  if (plan) {
    fill(self, plan);
  } else {
    self->forecast.state = LCIP_FORECAST_FAILED;
    self->forecast.why = g_strdup(error->message);
  }
  lcip_session_emit(self, SESSION_FORECAST_CHANGED);
}

void lcip_session_predict_move(LcipSession *self, const char *const *ids, const char *lane) {
  forget(self);
  if (self->document && lane && ids && ids[0]) {
    LcipGraph *edited = lcip_graph_copy(lcip_document_graph(self->document));
    LcipMapping *mapping = lcip_graph_find_mapping(edited, NULL);
    for (guint i = 0; ids[i]; i++)
      lcip_mapping_assign(mapping, ids[i], lane);
    PredictJob *job = g_new0(PredictJob, 1);
    *job = (PredictJob){edited, self->source_sizes ? g_hash_table_ref(self->source_sizes) : NULL,
                        g_strdup(lane)};
    self->forecast = (LcipForecast){.state = LCIP_FORECAST_BUSY, .lane = g_strdup(lane)};
    self->predicting = g_cancellable_new();
    g_autoptr(GTask) task = g_task_new(self, self->predicting, predict_done, NULL);
    g_task_set_task_data(task, job, (GDestroyNotify)predict_job_free);
    lcip_session_hold();
    g_task_run_in_thread(task, predict_thread);
  }
  lcip_session_emit(self, SESSION_FORECAST_CHANGED);
}

const LcipForecast *lcip_session_get_forecast(LcipSession *self) {
  return &self->forecast;
}

void lcip_session_predict_clear(LcipSession *self) {
  forget(self);
}

/* ---- what the present move is expected to do, for the chip ---- */

void lcip_session_predict_change(LcipSession *self) {
  if (!self->has_times || !self->profile)
    return;
  g_autoptr(LcipPrediction) prediction = lcip_predict(self->plan, self->times, self->profile);
  self->change.capacity_predicted = prediction->capacity_fps;
  self->change.latency_predicted = prediction->latency_ms;
}
