#include "config.h"
#include "lcip-run-private.h"
#include "lcip-io-private.h"
#include "lcip-plan-private.h"

#include <string.h>

/* ---- ending ---- */

void lcip_run_stop(LcipRun *run) {
  atomic_store(&run->stop, TRUE);
  g_cancellable_cancel(run->cancellable);
  lcip_doorbell_ring(&run->source_bell);
  lcip_doorbell_ring(&run->sink_bell);
}

void lcip_run_fail(LcipRun *run, LcipRunEnd end, GError *error) {
  pthread_mutex_lock(&run->mutex);
  if (!run->error)
    run->error = g_steal_pointer(&error);
  pthread_mutex_unlock(&run->mutex);
  g_clear_error(&error);
  if (end == LCIP_RUN_STOP)
    lcip_run_stop(run);
}

void lcip_run_instance_failed(gpointer data, LcipFailure failure, GError *error) {
  lcip_run_fail(data, failure == LCIP_FAILED_FATAL ? LCIP_RUN_STOP : LCIP_RUN_GO_ON, error);
}

void lcip_run_io_span(LcipRecorder *recorder, guint64 frame, int step, gint64 start_ns) {
  if (!recorder)
    return;
  lcip_recorder_add(recorder, &(LcipSpan){.frame = frame,
                                          .queued_ns = start_ns,
                                          .start_ns = start_ns,
                                          .end_ns = lcip_now_ns(),
                                          .step = step,
                                          .kind = LCIP_SPAN_COMPUTE});
}

void lcip_run_join_source(LcipRun *run) {
  if (!run->pushed) {
    pthread_join(run->source_thread, NULL);
    return;
  }
  /* Who pushes leaves as soon as the run is to stop, and does nothing from then on. */
  pthread_mutex_lock(&run->push_mutex);
  pthread_mutex_unlock(&run->push_mutex);
}

void lcip_run_free_groups(LcipRun *run) {
  pthread_mutex_lock(&run->mutex);
  g_autoptr(GPtrArray) groups = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_group_free);
  g_ptr_array_extend_and_steal(groups, g_steal_pointer(&run->groups));
  run->groups = g_ptr_array_new();
  if (run->pending)
    g_ptr_array_add(groups, g_steal_pointer(&run->pending));
  pthread_mutex_unlock(&run->mutex);
}

/* ---- starting ---- */

static LcipTensor *media_next(gpointer data, gint64 *timestamp_ns, GCancellable *cancellable,
                              GError **error) {
  return lcip_media_source_next(data, timestamp_ns, cancellable, error);
}

static guint64 media_drops(gpointer data) {
  return lcip_media_source_drops(data);
}

static GHashTable *copy_inputs(GHashTable *inputs) {
  GHashTableIter iter;
  gpointer name, tensor;
  GHashTable *copy =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)lcip_tensor_unref);
  if (!inputs)
    return copy;
  g_hash_table_iter_init(&iter, inputs);
  while (g_hash_table_iter_next(&iter, &name, &tensor))
    g_hash_table_insert(copy, g_strdup(name), lcip_tensor_ref(tensor));
  return copy;
}

static void init_threads(LcipRun *run) {
  atomic_init(&run->refs, 1);
  atomic_init(&run->stop, FALSE);
  atomic_init(&run->n_delivered, 0);
  pthread_mutex_init(&run->mutex, NULL);
  pthread_mutex_init(&run->plan_mutex, NULL);
  pthread_mutex_init(&run->push_mutex, NULL);
  pthread_cond_init(&run->done_cond, NULL);
  lcip_doorbell_init(&run->source_bell);
  lcip_doorbell_init(&run->sink_bell);
  run->cancellable = g_cancellable_new();
  run->records = lcip_fifo_new(LCIP_MAX_FRAMES);
  run->groups = g_ptr_array_new();
}

static LcipRun *run_new(const LcipRunOptions *options, const LcipFeed *feed) {
  LcipRun *run = g_new0(LcipRun, 1);
  init_threads(run);
  run->feed = *feed;
  run->media = options->source ? lcip_media_source_ref(options->source) : NULL;
  run->inputs = copy_inputs(options->inputs);
  run->random_inputs = options->random_inputs;
  run->pushed = options->pushed;
  run->n_frames = options->n_frames;
  run->frames_in_flight = options->frames_in_flight;
  run->n_streams = MAX(options->streams, 1);
  run->frames_together = options->frames_together;
  run->cold = options->cold;
  run->level = options->trace     ? LCIP_RECORD_ALL
               : options->profile ? LCIP_RECORD_STEPS
                                  : LCIP_RECORD_FRAMES;
  run->frame_func = options->frame_func;
  run->end_func = options->end_func;
  run->lane_func = options->lane_func;
  run->frame_data = options->frame_data;
  run->starting = options->cancellable;
  run->profilers = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_profiler_unref);
  return run;
}

static void run_free(LcipRun *run) {
  g_hash_table_unref(run->inputs);
  g_clear_pointer(&run->media, lcip_media_source_unref);
  g_clear_pointer(&run->newest, lcip_plan_unref);
  lcip_profiler_unref(run->profiled);
  g_ptr_array_unref(run->profilers);
  lcip_run_free_groups(run);
  g_ptr_array_unref(run->groups);
  g_clear_error(&run->error);
  lcip_fifo_free(run->records);
  g_object_unref(run->cancellable);
  lcip_doorbell_clear(&run->source_bell);
  lcip_doorbell_clear(&run->sink_bell);
  pthread_cond_destroy(&run->done_cond);
  pthread_mutex_destroy(&run->mutex);
  pthread_mutex_destroy(&run->plan_mutex);
  pthread_mutex_destroy(&run->push_mutex);
  g_free(run);
}

static gboolean start_threads(LcipRun *run, GError **error) {
  int result =
      run->pushed ? 0 : pthread_create(&run->source_thread, NULL, lcip_run_source_main, run);
  if (result == 0) {
    result = pthread_create(&run->sink_thread, NULL, lcip_run_sink_main, run);
    if (result != 0) {
      lcip_run_stop(run);
      lcip_run_join_source(run);
    }
  }
  if (result != 0)
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "no threads for a run: %s",
                g_strerror(result));
  return result == 0;
}

/* The calling thread's work for a new plan, all of it before the plan is visible to others. */
static LcipGroup *prepare_group(LcipRun *run, LcipPlan *plan, GError **error) {
  if (plan->sketch) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID,
                "expected a plan with its weights, found a sketch");
    return NULL;
  }
  LcipGroup *group = lcip_group_new(run, plan, run->next_epoch + 1, error);
  if (group)
    run->next_epoch++;
  return group;
}

/* Takes @group. NULL, or the plan that was waiting before and never ran. */
static LcipGroup *post_group(LcipRun *run, LcipGroup *group) {
  pthread_mutex_lock(&run->mutex);
  LcipGroup *unused = run->ended ? group : run->pending;
  if (!run->ended) {
    run->pending = group;
    g_clear_pointer(&run->newest, lcip_plan_unref);
    run->newest = lcip_plan_ref(group->plan);
    if (run->level == LCIP_RECORD_ALL)
      g_ptr_array_add(run->profilers, lcip_profiler_ref(group->profiler));
  }
  pthread_mutex_unlock(&run->mutex);
  lcip_doorbell_ring(&run->source_bell);
  return unused;
}

LcipRun *lcip_run_start_with_feed(LcipPlan *plan, const LcipRunOptions *options,
                                  const LcipFeed *feed, GError **error) {
  LcipRun *run = run_new(options, feed);
  LcipGroup *group = prepare_group(run, plan, error);
  run->starting = NULL;
  if (!group) {
    run_free(run);
    return NULL;
  }
  run->start_ns = lcip_now_ns();
  post_group(run, group);
  if (!start_threads(run, error)) {
    run_free(run);
    return NULL;
  }
  return run;
}

LcipRun *lcip_run_start(LcipPlan *plan, const LcipRunOptions *options, GError **error) {
  LcipFeed feed = {0};
  if (options->source)
    feed = (LcipFeed){.next = media_next,
                      .drops = media_drops,
                      .is_live = lcip_media_source_is_live(options->source),
                      .data = options->source};
  return lcip_run_start_with_feed(plan, options, &feed, error);
}

LcipRun *lcip_run_ref(LcipRun *run) {
  atomic_fetch_add_explicit(&run->refs, 1, memory_order_relaxed);
  return run;
}

void lcip_run_unref(LcipRun *run) {
  if (atomic_fetch_sub_explicit(&run->refs, 1, memory_order_acq_rel) != 1)
    return;
  lcip_run_stop(run);
  pthread_join(run->sink_thread, NULL);
  run_free(run);
}

/* ---- while running ---- */

static gboolean set_plan_locked(LcipRun *run, LcipPlan *plan, GError **error) {
  g_autoptr(LcipPlan) running = lcip_run_plan(run);
  if (!lcip_plan_state_matches(running, plan, error))
    return FALSE;
  LcipGroup *group = prepare_group(run, plan, error);
  if (!group)
    return FALSE;
  LcipGroup *unused = post_group(run, group);
  const gboolean refused = unused == group;
  g_clear_pointer(&unused, lcip_group_free);
  if (refused)
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_CANCELLED, "the run has ended");
  return !refused;
}

gboolean lcip_run_set_plan(LcipRun *run, LcipPlan *plan, GError **error) {
  pthread_mutex_lock(&run->plan_mutex);
  const gboolean ok = set_plan_locked(run, plan, error);
  pthread_mutex_unlock(&run->plan_mutex);
  return ok;
}

LcipPlan *lcip_run_plan(LcipRun *run) {
  pthread_mutex_lock(&run->mutex);
  LcipPlan *plan = lcip_plan_ref(run->newest);
  pthread_mutex_unlock(&run->mutex);
  return plan;
}

void lcip_run_cancel(LcipRun *run) {
  lcip_run_stop(run);
}

static gboolean end_result(LcipRun *run, GError **error) {
  if (!run->error)
    return TRUE;
  if (error)
    *error = g_error_copy(run->error);
  return FALSE;
}

gboolean lcip_run_wait(LcipRun *run, GError **error) {
  pthread_mutex_lock(&run->mutex);
  while (!run->done)
    pthread_cond_wait(&run->done_cond, &run->mutex);
  const gboolean ok = end_result(run, error);
  pthread_mutex_unlock(&run->mutex);
  return ok;
}

gboolean lcip_run_is_done(LcipRun *run, GError **error) {
  pthread_mutex_lock(&run->mutex);
  const gboolean done = run->done;
  if (done)
    end_result(run, error);
  pthread_mutex_unlock(&run->mutex);
  return done;
}

/* ---- profile ---- */

static LcipProfiler *newest_profiler(LcipRun *run) {
  pthread_mutex_lock(&run->mutex);
  LcipProfiler *profiler = run->profiled ? lcip_profiler_ref(run->profiled) : NULL;
  pthread_mutex_unlock(&run->mutex);
  return profiler;
}

LcipProfile *lcip_run_profile(LcipRun *run) {
  LcipProfiler *profiler = newest_profiler(run);
  if (!profiler)
    return NULL;
  LcipProfile *profile = lcip_profiler_report(profiler);
  lcip_profiler_unref(profiler);
  if (!profile)
    return NULL;
  profile->frames = atomic_load(&run->n_delivered);
  profile->source_drops = run->feed.drops ? run->feed.drops(run->feed.data) : 0;
  profile->seconds = (double)(lcip_now_ns() - run->start_ns) / 1e9;
  return profile;
}

gboolean lcip_run_lane_status(LcipRun *run, guint lane, LcipLinkStatus *status) {
  gboolean found = FALSE;
  pthread_mutex_lock(&run->mutex);
  /* Groups leave the list before they are freed. */
  if (run->groups->len > 0) {
    const LcipGroup *group = g_ptr_array_index(run->groups, run->groups->len - 1);
    const LcipInstance *instance = group->streams[0];
    LcipWorker *worker = lane < group->plan->lanes->len ? instance->workers[lane] : NULL;
    found = worker && worker->remote;
    if (found)
      lcip_remote_lane_status(worker->remote, status);
  }
  pthread_mutex_unlock(&run->mutex);
  return found;
}

guint lcip_run_round(LcipRun *run) {
  pthread_mutex_lock(&run->mutex);
  const LcipGroup *group = run->pending;
  if (!group && run->groups->len > 0)
    group = g_ptr_array_index(run->groups, run->groups->len - 1);
  const guint round = group ? group->n_streams : 1;
  pthread_mutex_unlock(&run->mutex);
  return round;
}

static GPtrArray *all_profilers(LcipRun *run) {
  GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_profiler_unref);
  pthread_mutex_lock(&run->mutex);
  for (guint i = 0; i < run->profilers->len; i++)
    g_ptr_array_add(all, lcip_profiler_ref(g_ptr_array_index(run->profilers, i)));
  pthread_mutex_unlock(&run->mutex);
  return all;
}

gboolean lcip_run_write_trace(LcipRun *run, const char *path, GError **error) {
  if (run->level != LCIP_RECORD_ALL) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID, "the run was started without a trace");
    return FALSE;
  }
  g_autoptr(GPtrArray) profilers = all_profilers(run);
  GString *text = g_string_new("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
  gboolean first = TRUE;
  for (guint i = 0; i < profilers->len; i++)
    lcip_profiler_write_trace(g_ptr_array_index(profilers, i), text, &first);
  g_string_append(text, "\n]}\n");
  const LcipIoChunk chunk = {text->str, text->len};
  const gboolean ok = lcip_io_write(path, &chunk, 1, error);
  g_string_free(text, TRUE);
  return ok;
}
