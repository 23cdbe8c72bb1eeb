#include "config.h"

#include "lcip-session-private.h"

#include "lcip-io.h"

#include <stdio.h>
#include <string.h>

static guint signals[SESSION_N_SIGNALS];

G_DEFINE_FINAL_TYPE(LcipSession, lcip_session, G_TYPE_OBJECT)

void lcip_session_emit(LcipSession *self, SessionSignal signal) {
  g_signal_emit(self, signals[signal], 0);
}

void lcip_session_emit_message(LcipSession *self, const char *text) {
  g_signal_emit(self, signals[SESSION_MESSAGE], 0, text);
}

void lcip_session_emit_failed(LcipSession *self, const char *title, const char *why) {
  g_signal_emit(self, signals[SESSION_FAILED], 0, title, why);
}

void lcip_session_hold(void) {
  GApplication *application = g_application_get_default();
  if (application)
    g_application_hold(application);
}

void lcip_session_release(void) {
  GApplication *application = g_application_get_default();
  if (application)
    g_application_release(application);
}

/* ---- document ---- */

LcipDocument *lcip_session_get_document(LcipSession *self) {
  return self->document;
}

LcipGraph *lcip_session_get_graph(LcipSession *self) {
  return self->document ? lcip_document_graph(self->document) : NULL;
}

const char *lcip_session_get_title(LcipSession *self) {
  return self->title ? self->title : "";
}

static void document_changed(LcipDocument *document, LcipSession *self) {
  LcipGraph *graph = lcip_document_graph(document);
  if (self->change_after && graph != self->change_after)
    lcip_session_change_clear(self); /* it speaks of another mapping */
  lcip_session_emit(self, SESSION_GRAPH_CHANGED);
  lcip_session_queue_plan(self);
}

static void set_title(LcipSession *self, const char *title) {
  g_free(self->title);
  self->title = g_strdup(title);
}

static void set_document(LcipSession *self, LcipDocument *document, GPtrArray *load_problems) {
  lcip_session_stop(self);
  if (self->document)
    g_signal_handlers_disconnect_by_func(self->document, document_changed, self);
  g_set_object(&self->document, document);
  self->generation++;
  g_clear_pointer(&self->plan, lcip_plan_unref);
  g_ptr_array_set_size(self->problems, 0);
  g_ptr_array_set_size(self->found, 0);
  lcip_session_set_load_problems(self, load_problems);
  lcip_session_set_analysis(self, NULL, NULL);
  g_clear_pointer(&self->source_trouble, g_free);
  g_clear_pointer(&self->source_words, g_free);
  lcip_session_forget_profile(self);
  lcip_session_change_clear(self);
  if (document) {
    GFile *file = lcip_document_file(document);
    g_autofree char *name = file ? g_file_get_basename(file) : NULL;
    if (name)
      set_title(self, name);
    g_signal_connect(document, "changed", G_CALLBACK(document_changed), self);
  }
  lcip_session_emit(self, SESSION_DOCUMENT_CHANGED);
  if (document)
    lcip_session_queue_plan(self);
}

void lcip_session_set_document(LcipSession *self, LcipDocument *document) {
  set_document(self, document, NULL);
}

/* ---- loading ---- */

typedef struct {
  char *path;
  gboolean as_copy;
  gboolean is_xml;
  GPtrArray *problems;
} LoadJob;

static void load_job_free(LoadJob *job) {
  g_free(job->path);
  g_ptr_array_unref(job->problems);
  g_free(job);
}

/* Only LCIP's own files can be saved back to where they came from. */
static gboolean starts_like_xml(const char *path) {
  char head[64] = {0};
  FILE *file = fopen(path, "rb");
  size_t n = file ? fread(head, 1, sizeof head - 1, file) : 0;
  if (file)
    fclose(file);
  const char *at = g_str_has_prefix(head, "\xef\xbb\xbf") ? head + 3 : head;
  return n > 0 && *g_strchug((char *)at) == '<';
}

static void load_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable) {
  LoadJob *job = data;
  GError *error = NULL;
  LcipGraph *graph = lcip_graph_load(job->path, job->problems, &error);
  if (!graph) {
    g_task_return_error(task, error);
    return;
  }
  job->is_xml = starts_like_xml(job->path);
  g_task_return_pointer(task, graph, (GDestroyNotify)lcip_graph_unref);
}

static char *untitled_name(const char *path, gboolean is_xml) {
  g_autofree char *base = g_path_get_basename(path);
  char *dot = strrchr(base, '.');
  if (dot)
    *dot = 0;
  return is_xml ? g_strdup_printf("%s (copy).xml", base) : g_strdup_printf("%s.xml", base);
}

static void adopt_graph(LcipSession *self, LcipGraph *graph, const LoadJob *job) {
  gboolean keeps_file = job->is_xml && !job->as_copy;
  g_autoptr(GFile) file = keeps_file ? g_file_new_for_path(job->path) : NULL;
  g_autofree char *name = untitled_name(job->path, job->is_xml);
  g_autoptr(LcipDocument) document = lcip_document_new(graph, file);
  set_title(self, name);
  set_document(self, document, job->problems);
}

static void load_done(GObject *object, GAsyncResult *result, gpointer data) {
  LcipSession *self = LCIP_SESSION(object);
  GTask *task = G_TASK(result);
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipGraph) graph = g_task_propagate_pointer(task, &error);
  lcip_session_release();
  if (g_task_get_cancellable(task) != self->loading)
    return; /* another file was asked for since */
  g_clear_object(&self->loading);
  if (!graph) {
    lcip_session_emit(self, SESSION_STATE_CHANGED);
    lcip_session_emit_failed(self, "Could Not Open File", error->message);
    return;
  }
  /* without a lane and a mapping there is nothing to show actors on */
  g_autoptr(LcipGraph) whole = lcip_graph_copy(graph);
  lcip_graph_ensure_defaults(whole);
  adopt_graph(self, whole, g_task_get_task_data(task));
}

void lcip_session_open(LcipSession *self, GFile *file, gboolean as_copy) {
  g_autofree char *path = g_file_get_path(file);
  if (!path) {
    g_autofree char *uri = g_file_get_uri(file);
    lcip_session_emit_failed(self, "Could Not Open File", uri);
    return;
  }
  LoadJob *job = g_new0(LoadJob, 1);
  job->path = g_steal_pointer(&path);
  job->as_copy = as_copy;
  job->problems = lcip_problems_new();
  if (self->loading)
    g_cancellable_cancel(self->loading);
  g_set_object(&self->loading, NULL);
  self->loading = g_cancellable_new();
  g_autoptr(GTask) task = g_task_new(self, self->loading, load_done, NULL);
  g_task_set_task_data(task, job, (GDestroyNotify)load_job_free);
  lcip_session_hold();
  g_task_run_in_thread(task, load_thread);
  lcip_session_emit(self, SESSION_STATE_CHANGED);
}

gboolean lcip_session_is_loading(LcipSession *self) {
  return self->loading != NULL;
}

/* ---- saving ---- */

typedef struct {
  LcipGraph *graph;
  GFile *file;
  LcipDocument *document;
  LcipSaveFunc done;
  gpointer data;
} SaveJob;

static void save_job_free(SaveJob *job) {
  lcip_graph_unref(job->graph);
  g_object_unref(job->file);
  g_object_unref(job->document);
  g_free(job);
}

static void save_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable) {
  SaveJob *job = data;
  GError *error = NULL;
  g_autofree char *path = g_file_get_path(job->file);
  if (!path)
    g_set_error_literal(&error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                        "Expected a place in the file system, found a remote one");
  else if (lcip_xml_write(job->graph, path, &error)) {
    g_task_return_boolean(task, TRUE);
    return;
  }
  g_task_return_error(task, error);
}

static void save_done(GObject *object, GAsyncResult *result, gpointer data) {
  LcipSession *self = LCIP_SESSION(object);
  SaveJob *job = g_task_get_task_data(G_TASK(result));
  g_autoptr(GError) error = NULL;
  lcip_session_release();
  if (g_task_propagate_boolean(G_TASK(result), &error)) {
    g_autofree char *name = g_file_get_basename(job->file);
    lcip_document_set_file(job->document, job->file);
    lcip_document_mark_saved(job->document, job->graph);
    if (job->document == self->document)
      set_title(self, name);
    lcip_session_emit(self, SESSION_STATE_CHANGED);
  }
  if (job->done)
    job->done(self, error, job->data);
}

void lcip_session_save(LcipSession *self, GFile *file, LcipSaveFunc done, gpointer data) {
  g_return_if_fail(self->document);
  SaveJob *job = g_new0(SaveJob, 1);
  job->graph = lcip_graph_ref(lcip_document_graph(self->document));
  job->file = g_object_ref(file);
  job->document = g_object_ref(self->document);
  job->done = done;
  job->data = data;
  g_autoptr(GTask) task = g_task_new(self, NULL, save_done, NULL);
  g_task_set_task_data(task, job, (GDestroyNotify)save_job_free);
  lcip_session_hold();
  g_task_run_in_thread(task, save_thread);
}

/* ---- GObject ---- */

static void session_dispose(GObject *object) {
  LcipSession *self = LCIP_SESSION(object);
  if (self->loading)
    g_cancellable_cancel(self->loading);
  g_clear_object(&self->loading);
  if (self->run)
    lcip_run_cancel(self->run);
  g_clear_handle_id(&self->profile_timer, g_source_remove);
  g_clear_pointer(&self->run, lcip_run_unref);
  lcip_session_change_clear(self);
  lcip_session_predict_clear(self);
  if (self->document)
    g_signal_handlers_disconnect_by_func(self->document, document_changed, self);
  g_clear_object(&self->document);
  g_clear_pointer(&self->plan, lcip_plan_unref);
  g_clear_pointer(&self->profile, lcip_profile_free);
  g_clear_pointer(&self->slot, lcip_session_slot_unref);
  G_OBJECT_CLASS(lcip_session_parent_class)->dispose(object);
}

static void session_finalize(GObject *object) {
  LcipSession *self = LCIP_SESSION(object);
  g_ptr_array_unref(self->problems);
  g_ptr_array_unref(self->found);
  g_ptr_array_unref(self->links);
  lcip_session_set_load_problems(self, NULL);
  lcip_session_set_analysis(self, NULL, NULL);
  lcip_step_times_unref(self->times);
  g_clear_pointer(&self->source_sizes, g_hash_table_unref);
  g_free(self->title);
  g_free(self->source);
  g_free(self->source_words);
  g_free(self->source_trouble);
  G_OBJECT_CLASS(lcip_session_parent_class)->finalize(object);
}

static void lcip_session_class_init(LcipSessionClass *klass) {
  static const char *const names[] = {"document-changed", "graph-changed",   "plan-changed",
                                      "state-changed",    "profile-changed", "change-changed",
                                      "forecast-changed", "links-changed"};
  G_OBJECT_CLASS(klass)->dispose = session_dispose;
  G_OBJECT_CLASS(klass)->finalize = session_finalize;
  for (guint i = 0; i < G_N_ELEMENTS(names); i++)
    signals[i] = g_signal_new(names[i], LCIP_TYPE_SESSION, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                              G_TYPE_NONE, 0);
  signals[SESSION_MESSAGE] = g_signal_new("message", LCIP_TYPE_SESSION, G_SIGNAL_RUN_LAST, 0, NULL,
                                          NULL, NULL, G_TYPE_NONE, 1, G_TYPE_STRING);
  signals[SESSION_FAILED] = g_signal_new("failed", LCIP_TYPE_SESSION, G_SIGNAL_RUN_LAST, 0, NULL,
                                         NULL, NULL, G_TYPE_NONE, 2, G_TYPE_STRING, G_TYPE_STRING);
}

static void lcip_session_init(LcipSession *self) {
  self->problems = lcip_problems_new();
  self->found = lcip_problems_new();
  self->links = lcip_session_links_new();
  self->slot = lcip_session_slot_new();
  self->times = lcip_step_times_new();
}

LcipSession *lcip_session_new(void) {
  return g_object_new(LCIP_TYPE_SESSION, NULL);
}
