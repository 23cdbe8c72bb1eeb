#include "config.h"

#include "lcip-session-private.h"

/* The run: starting and stopping on worker threads, pictures and figures back to the main thread.
 */

#define PROFILE_INTERVAL_MS 200

/* ---- the slot between sink thread and main thread ---- */

static void result_free(LcipResult *result) {
  g_free(result->actor_id);
  g_free(result->op_name);
  g_free(result->name);
  lcip_tensor_unref(result->tensor);
  g_free(result);
}

static GPtrArray *results_new(void) {
  return g_ptr_array_new_with_free_func((GDestroyNotify)result_free);
}

SessionSlot *lcip_session_slot_new(void) {
  SessionSlot *slot = g_new0(SessionSlot, 1);
  g_atomic_ref_count_init(&slot->refs);
  g_mutex_init(&slot->lock);
  slot->results = results_new();
  return slot;
}

static SessionSlot *slot_ref(SessionSlot *slot) {
  g_atomic_ref_count_inc(&slot->refs);
  return slot;
}

static void slot_clear(SessionSlot *slot) {
  g_mutex_lock(&slot->lock);
  g_clear_pointer(&slot->picture, lcip_tensor_unref);
  g_ptr_array_set_size(slot->results, 0);
  g_mutex_unlock(&slot->lock);
}

void lcip_session_slot_unref(SessionSlot *slot) {
  if (!g_atomic_ref_count_dec(&slot->refs))
    return;
  g_clear_pointer(&slot->picture, lcip_tensor_unref);
  g_ptr_array_unref(slot->results);
  g_mutex_clear(&slot->lock);
  g_free(slot);
}

static GPtrArray *collect_results(const LcipFrame *frame, LcipTensor **picture) {
  GPtrArray *results = results_new();
  for (guint i = 0; i < frame->n_values; i++) {
    const LcipFrameValue *value = &frame->values[i];
    if (g_strcmp0(value->op_name, "PictureSink") == 0) {
      *picture = value->tensor;
      continue;
    }
    LcipResult *result = g_new0(LcipResult, 1);
    *result = (LcipResult){g_strdup(value->actor_id), g_strdup(value->op_name),
                           g_strdup(value->name), lcip_tensor_ref(value->tensor)};
    g_ptr_array_add(results, result);
  }
  return results;
}

/* On the sink thread. */
static void frame_arrived(const LcipFrame *frame, gpointer data) {
  SessionSlot *slot = data;
  LcipTensor *picture = frame->picture;
  GPtrArray *results = collect_results(frame, &picture);
  g_mutex_lock(&slot->lock);
  LcipTensor *old_picture = slot->picture;
  GPtrArray *old_results = slot->results;
  slot->picture = picture ? lcip_tensor_ref(picture) : NULL;
  slot->results = results;
  g_mutex_unlock(&slot->lock);
  g_clear_pointer(&old_picture, lcip_tensor_unref);
  g_ptr_array_unref(old_results);
}

LcipTensor *lcip_session_take_picture(LcipSession *self) {
  g_mutex_lock(&self->slot->lock);
  LcipTensor *picture = g_steal_pointer(&self->slot->picture);
  g_mutex_unlock(&self->slot->lock);
  return picture;
}

GPtrArray *lcip_session_get_results(LcipSession *self) {
  GPtrArray *copy = results_new();
  g_mutex_lock(&self->slot->lock);
  for (guint i = 0; i < self->slot->results->len; i++) {
    const LcipResult *from = self->slot->results->pdata[i];
    LcipResult *result = g_new0(LcipResult, 1);
    *result = (LcipResult){g_strdup(from->actor_id), g_strdup(from->op_name), g_strdup(from->name),
                           lcip_tensor_ref(from->tensor)};
    g_ptr_array_add(copy, result);
  }
  g_mutex_unlock(&self->slot->lock);
  return copy;
}

/* ---- profile ---- */

const LcipProfile *lcip_session_get_profile(LcipSession *self) {
  return self->profile;
}

double *lcip_session_get_actor_ms(LcipSession *self) {
  const LcipGraph *graph = lcip_session_get_graph(self);
  const LcipProfile *profile = self->profile;
  if (!graph || !profile)
    return NULL;
  double *ms = g_new0(double, graph->actors->len + 1);
  for (guint i = 0; i < lcip_plan_n_steps(profile->plan); i++) {
    const LcipPlanStep *step = lcip_plan_step(profile->plan, i);
    if (step->n_actors == 0 || step->is_io || profile->steps[i].n == 0)
      continue;
    const LcipActor *first = lcip_graph_actor(lcip_plan_graph(profile->plan), step->actors[0]);
    const int index = lcip_graph_find_actor(graph, first->id);
    if (index >= 0)
      ms[index] = profile->steps[i].median_ms;
  }
  return ms;
}

void lcip_session_forget_profile(LcipSession *self) {
  if (!self->profile)
    return;
  g_clear_pointer(&self->profile, lcip_profile_free);
  lcip_session_emit(self, SESSION_PROFILE_CHANGED);
}

static void run_ended(LcipSession *self, const GError *error) {
  g_autofree char *why = error ? g_strdup(error->message) : NULL;
  gboolean is_media = error && error->domain == LCIP_MEDIA_ERROR;
  lcip_session_stop(self);
  if (is_media) {
    g_free(self->source_trouble);
    self->source_trouble = g_strdup(why);
    lcip_session_emit(self, SESSION_STATE_CHANGED);
  } else if (why) {
    lcip_session_emit_failed(self, "The Run Ended", why);
  }
}

static gboolean poll_profile(gpointer data) {
  LcipSession *self = data;
  g_autoptr(GError) error = NULL;
  lcip_session_update_links(self);
  LcipProfile *profile = lcip_run_profile(self->run);
  if (profile) {
    g_clear_pointer(&self->profile, lcip_profile_free);
    self->profile = profile;
    self->has_times = TRUE;
    lcip_step_times_add(self->times, profile);
    lcip_session_change_update(self);
    lcip_session_emit(self, SESSION_PROFILE_CHANGED);
  }
  if (!lcip_run_is_done(self->run, &error))
    return G_SOURCE_CONTINUE;
  self->profile_timer = 0;
  run_ended(self, error);
  return G_SOURCE_REMOVE;
}

/* ---- starting ---- */

typedef struct {
  LcipGraph *graph;
  char *source;
  SessionSlot *slot;
  guint generation;
  GPtrArray *problems;
  /* results */
  LcipRun *run;
  LcipPlan *plan;
  GHashTable *source_sizes;
  char *words;
} StartJob;

static void start_job_free(StartJob *job) {
  lcip_graph_unref(job->graph);
  g_free(job->source);
  lcip_session_slot_unref(job->slot);
  g_ptr_array_unref(job->problems);
  g_clear_pointer(&job->run, lcip_run_unref);
  g_clear_pointer(&job->plan, lcip_plan_unref);
  g_clear_pointer(&job->source_sizes, g_hash_table_unref);
  g_free(job->words);
  g_free(job);
}

int lcip_session_find_source(const LcipGraph *graph) {
  for (guint i = 0; i < graph->actors->len; i++) {
    const LcipActor *actor = graph->actors->pdata[i];
    if (actor->op && actor->op->flags & LCIP_OP_SOURCE)
      return i;
  }
  return -1;
}

/* Without a camera the demo picture takes its place, and says so; a camera that is there but busy
 * or denied is the user's to decide on. */
static LcipMediaSource *open_source(StartJob *job, GError **error) {
  g_autoptr(GError) first = NULL;
  const char *what = job->source ? job->source : "camera";
  LcipMediaSource *source = lcip_media_open(what, LCIP_MEDIA_LIVE, &first);
  if (source || job->source ||
      !(g_error_matches(first, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_NOT_FOUND) ||
        g_error_matches(first, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_MISSING))) {
    if (source)
      job->words = g_strdup(lcip_media_source_name(source));
    else
      g_propagate_error(error, g_steal_pointer(&first));
    return source;
  }
  job->words = g_strdup("No camera found: this is the demo picture");
  return lcip_media_open("demo", LCIP_MEDIA_LIVE, error);
}

static void note_sizes(StartJob *job, LcipMediaSource *source) {
  int width, height;
  lcip_media_source_max_size(source, &width, &height);
  job->source_sizes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  for (guint i = 0; i < job->graph->actors->len; i++) {
    const LcipActor *actor = job->graph->actors->pdata[i];
    if (!actor->op || !(actor->op->flags & LCIP_OP_SOURCE))
      continue;
    LcipShape shape = lcip_shape(3, height, width, 3);
    g_hash_table_insert(job->source_sizes, g_strdup(actor->id), g_memdup2(&shape, sizeof shape));
  }
}

static gboolean start_run(StartJob *job, GCancellable *cancellable, GError **error) {
  g_autoptr(LcipMediaSource) source = NULL;
  if (lcip_session_find_source(job->graph) >= 0) {
    source = open_source(job, error);
    if (!source)
      return FALSE;
    note_sizes(job, source);
  } else {
    job->words = g_strdup("Random input");
  }
  LcipPlanOptions plan_options = {.source_sizes = job->source_sizes};
  job->plan = lcip_plan_new(job->graph, &plan_options, job->problems, cancellable, error);
  if (!job->plan)
    return FALSE;
  LcipRunOptions options = {.source = source,
                            .cancellable = cancellable,
                            .random_inputs = TRUE,
                            .profile = TRUE,
                            .frame_func = frame_arrived,
                            .frame_data = job->slot};
  job->run = lcip_run_start(job->plan, &options, error);
  return job->run != NULL;
}

static void start_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable) {
  GError *error = NULL;
  if (start_run(data, cancellable, &error))
    g_task_return_boolean(task, TRUE);
  else
    g_task_return_error(task, error);
}

static void set_words(LcipSession *self, const char *words, const char *trouble) {
  g_free(self->source_words);
  g_free(self->source_trouble);
  self->source_words = g_strdup(words);
  self->source_trouble = g_strdup(trouble);
}

static void start_failed(LcipSession *self, const GError *error) {
  self->state = LCIP_SESSION_STOPPED;
  gboolean is_media = error->domain == LCIP_MEDIA_ERROR;
  set_words(self, NULL, is_media ? error->message : NULL);
  lcip_session_emit(self, SESSION_STATE_CHANGED);
  if (!is_media)
    lcip_session_emit_failed(self, "Could Not Start", error->message);
}

static void start_succeeded(LcipSession *self, StartJob *job) {
  g_clear_pointer(&self->plan, lcip_plan_unref);
  g_clear_pointer(&self->source_sizes, g_hash_table_unref);
  self->plan = g_steal_pointer(&job->plan);
  self->run = g_steal_pointer(&job->run);
  self->source_sizes = g_steal_pointer(&job->source_sizes);
  self->state = LCIP_SESSION_RUNNING;
  set_words(self, job->words, NULL);
  self->profile_timer = g_timeout_add(PROFILE_INTERVAL_MS, poll_profile, self);
  lcip_session_emit(self, SESSION_PLAN_CHANGED);
  lcip_session_emit(self, SESSION_STATE_CHANGED);
}

static void start_done(GObject *object, GAsyncResult *result, gpointer data) {
  LcipSession *self = LCIP_SESSION(object);
  StartJob *job = g_task_get_task_data(G_TASK(result));
  g_autoptr(GError) error = NULL;
  gboolean started = g_task_propagate_boolean(G_TASK(result), &error);
  lcip_session_release();
  g_clear_object(&self->starting);
  gboolean unwanted = self->stop_wanted || job->generation != self->generation;
  self->stop_wanted = FALSE;
  /* A plan that was broken off may not have found them all. */
  if (job->generation == self->generation && !unwanted && job->problems->len > 0) {
    lcip_session_adopt_problems(self, job->problems, NULL);
    lcip_session_emit(self, SESSION_PLAN_CHANGED);
  }
  if (started && !unwanted) {
    start_succeeded(self, job);
  } else if (started) {
    /* adopted only to be stopped in the background like any other run */
    self->run = g_steal_pointer(&job->run);
    self->state = LCIP_SESSION_RUNNING;
    lcip_session_stop(self);
  } else if (unwanted) {
    self->state = LCIP_SESSION_STOPPED;
    lcip_session_emit(self, SESSION_STATE_CHANGED);
  } else {
    start_failed(self, error);
  }
  if (job->graph != lcip_session_get_graph(self))
    lcip_session_queue_plan(self); /* edited, or another one opened, while it started */
  if (self->state == LCIP_SESSION_STOPPED && self->start_wanted) {
    self->start_wanted = FALSE;
    lcip_session_run(self);
  }
}

void lcip_session_run(LcipSession *self) {
  if (!self->document)
    return;
  if (self->state == LCIP_SESSION_STOPPING || self->stop_wanted) {
    self->start_wanted = TRUE;
    return;
  }
  if (self->state != LCIP_SESSION_STOPPED || lcip_session_refuses_to_run(self))
    return;
  slot_clear(self->slot);
  StartJob *job = g_new0(StartJob, 1);
  job->graph = lcip_graph_ref(lcip_document_graph(self->document));
  job->source = g_strdup(self->source);
  job->slot = slot_ref(self->slot);
  job->generation = self->generation;
  job->problems = lcip_problems_new();
  self->state = LCIP_SESSION_STARTING;
  set_words(self, NULL, NULL);
  lcip_session_emit(self, SESSION_STATE_CHANGED);
  self->starting = g_cancellable_new();
  g_autoptr(GTask) task = g_task_new(self, self->starting, start_done, NULL);
  /* What started all the same is still to be stopped. */
  g_task_set_check_cancellable(task, FALSE);
  g_task_set_task_data(task, job, (GDestroyNotify)start_job_free);
  lcip_session_hold();
  g_task_run_in_thread(task, start_thread);
}

LcipSessionState lcip_session_get_state(LcipSession *self) {
  return self->state;
}

/* ---- stopping: the last reference waits for the run's threads, so not here ---- */

typedef struct {
  LcipRun *run;
  SessionSlot *slot;
} StopJob;

static void stop_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable) {
  StopJob *job = data;
  lcip_run_wait(job->run, NULL);
  lcip_run_unref(g_steal_pointer(&job->run));
  g_task_return_boolean(task, TRUE);
}

static void stop_job_free(StopJob *job) {
  g_clear_pointer(&job->run, lcip_run_unref);
  lcip_session_slot_unref(job->slot);
  g_free(job);
}

static void stop_done(GObject *object, GAsyncResult *result, gpointer data) {
  LcipSession *self = LCIP_SESSION(object);
  lcip_session_release();
  self->state = LCIP_SESSION_STOPPED;
  slot_clear(self->slot);
  lcip_session_emit(self, SESSION_STATE_CHANGED);
  if (self->start_wanted) {
    self->start_wanted = FALSE;
    lcip_session_run(self);
  }
}

void lcip_session_stop(LcipSession *self) {
  self->start_wanted = FALSE;
  if (self->state == LCIP_SESSION_STARTING) {
    self->stop_wanted = TRUE;
    g_cancellable_cancel(self->starting);
  }
  if (self->state != LCIP_SESSION_RUNNING)
    return;
  g_clear_handle_id(&self->profile_timer, g_source_remove);
  lcip_run_cancel(self->run);
  StopJob *job = g_new0(StopJob, 1);
  job->run = g_steal_pointer(&self->run);
  job->slot = slot_ref(self->slot);
  self->state = LCIP_SESSION_STOPPING;
  g_clear_pointer(&self->source_sizes, g_hash_table_unref);
  set_words(self, NULL, NULL);
  lcip_session_change_clear(self);
  lcip_session_forget_links(self);
  lcip_session_forget_profile(self);
  lcip_session_emit(self, SESSION_STATE_CHANGED);
  g_autoptr(GTask) task = g_task_new(self, NULL, stop_done, NULL);
  g_task_set_task_data(task, job, (GDestroyNotify)stop_job_free);
  lcip_session_hold();
  g_task_run_in_thread(task, stop_thread);
}

/* ---- source ---- */

void lcip_session_set_source(LcipSession *self, const char *what) {
  if (g_strcmp0(what, self->source) == 0)
    return;
  g_free(self->source);
  self->source = g_strdup(what);
  g_clear_pointer(&self->source_trouble, g_free);
  gboolean running = self->state == LCIP_SESSION_RUNNING || self->state == LCIP_SESSION_STARTING;
  if (running) {
    lcip_session_stop(self);
    lcip_session_run(self);
  }
  lcip_session_emit(self, SESSION_STATE_CHANGED);
}

const char *lcip_session_get_source(LcipSession *self) {
  return self->source;
}

const char *lcip_session_get_source_words(LcipSession *self) {
  return self->source_words;
}

const char *lcip_session_get_source_trouble(LcipSession *self) {
  return self->source_trouble;
}
