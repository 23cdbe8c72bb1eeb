#pragma once

#include "lcip-analysis.h"
#include "lcip-session.h"

G_BEGIN_DECLS

/* Where the sink thread puts what the main thread shows: the newest wins. */
typedef struct {
  gatomicrefcount refs;
  GMutex lock;
  LcipTensor *picture;
  GPtrArray *results; /* LcipResult */
} SessionSlot;

struct _LcipSession {
  GObject parent;

  /* owned */
  LcipDocument *document;
  char *title;
  GCancellable *loading;
  LcipPlan *plan;
  GPtrArray *problems;
  GPtrArray *load_problems; /* of the file that the document came from, or NULL */
  LcipAnalysis *analysis;   /* of @analysed, which could not be planned, or NULL */
  LcipGraph *analysed;
  LcipRun *run;
  GCancellable *starting; /* the run that starts, or NULL */
  LcipProfile *profile;
  SessionSlot *slot;
  GHashTable *source_sizes; /* of the run's source, for plans made while it runs */
  char *source;             /* as asked for, or NULL */
  char *source_words;
  char *source_trouble;
  LcipChange change;
  LcipGraph *change_before;
  LcipGraph *change_after;
  LcipPlan *change_plan;
  LcipStepTimes *times; /* of all that ran since the program started */
  GCancellable *predicting;
  LcipForecast forecast;
  GPtrArray *found; /* LcipProblem: what planning found last */
  GPtrArray *links; /* LcipLaneLink */

  gboolean has_times;
  guint generation; /* counts documents, so that late results are recognised */
  gboolean planning;
  gboolean plan_again;
  LcipSessionState state;
  gboolean stop_wanted;  /* while starting */
  gboolean start_wanted; /* while stopping */
  guint profile_timer;
  gint64 change_seen_us;
  guint64 change_seen_frames;
};

typedef enum {
  SESSION_DOCUMENT_CHANGED,
  SESSION_GRAPH_CHANGED,
  SESSION_PLAN_CHANGED,
  SESSION_STATE_CHANGED,
  SESSION_PROFILE_CHANGED,
  SESSION_CHANGE_CHANGED,
  SESSION_FORECAST_CHANGED,
  SESSION_LINKS_CHANGED,
  SESSION_MESSAGE,
  SESSION_FAILED,
  SESSION_N_SIGNALS
} SessionSignal;

/* lcip-session.c */
/* While a worker thread is busy the program must not end under it: hold before, release in the main
 * thread when it is done. */
void lcip_session_hold(void);
void lcip_session_release(void);
void lcip_session_emit(LcipSession *session, SessionSignal signal);
void lcip_session_emit_message(LcipSession *session, const char *text);
void lcip_session_emit_failed(LcipSession *session, const char *title, const char *why);

/* lcip-session-plan.c */
void lcip_session_queue_plan(LcipSession *session);
void lcip_session_change_begin(LcipSession *session, const char *label, LcipGraph *before);
void lcip_session_change_measure(LcipSession *session);
void lcip_session_change_fail(LcipSession *session, const char *why);
void lcip_session_change_clear(LcipSession *session);
void lcip_session_change_update(LcipSession *session);

/* lcip-session-links.c */
GPtrArray *lcip_session_links_new(void);
void lcip_session_update_links(LcipSession *session);
void lcip_session_forget_links(LcipSession *session);
void lcip_session_add_link_problems(LcipSession *session, GPtrArray *problems);

/* lcip-session-predict.c */
void lcip_session_predict_change(LcipSession *session);
void lcip_session_predict_clear(LcipSession *session);

/* lcip-session-problems.c */
/* lcip_session_load_problems: those that still are so; transfer full. */
GPtrArray *lcip_session_load_problems(LcipSession *session);
void lcip_session_set_load_problems(LcipSession *session, GPtrArray *problems);
void lcip_session_adopt_problems(LcipSession *session, const GPtrArray *found, const GError *error);
/* lcip_session_rebuild_problems: after what was found or a lane changed. */
void lcip_session_rebuild_problems(LcipSession *session);
/* lcip_session_refuses_to_run: TRUE, and says why, when what was read is not all of the model. */
gboolean lcip_session_refuses_to_run(LcipSession *session);
/* lcip_session_set_analysis: takes @analysis. */
void lcip_session_set_analysis(LcipSession *session, LcipGraph *graph, LcipAnalysis *analysis);

/* lcip-session-run.c */
SessionSlot *lcip_session_slot_new(void);
void lcip_session_slot_unref(SessionSlot *slot);
void lcip_session_forget_profile(LcipSession *session);

G_END_DECLS
