#pragma once

#include "lcip-document.h"
#include "lcip-predict.h"
#include "lcip-run.h"

G_BEGIN_DECLS

/** LcipSession: the editor without its widgets: the open document, its plan and problems, and the
 * run. Loading, planning, starting and switching plans happen on worker threads; everything here is
 * called, and every signal emitted, on the main thread.
 *
 * Signals: "document-changed" (another document), "graph-changed" (an edit), "plan-changed" (plan
 * or problems), "state-changed" (run state, picture source or its trouble), "profile-changed"
 * (about 5 times a second), "change-changed" (what the last move did), "links-changed" (a remote
 * lane), "forecast-changed" (what a move would do), "message" (const char *text: a short note),
 * "failed" (const char *title, const char *why). */
#define LCIP_TYPE_SESSION (lcip_session_get_type())
G_DECLARE_FINAL_TYPE(LcipSession, lcip_session, LCIP, SESSION, GObject)

typedef enum {
  LCIP_SESSION_STOPPED,
  LCIP_SESSION_STARTING,
  LCIP_SESSION_RUNNING,
  LCIP_SESSION_STOPPING
} LcipSessionState;

/** LcipChangeState: what the chip shows after a move while running. */
typedef enum {
  LCIP_CHANGE_NONE,
  LCIP_CHANGE_APPLYING,
  LCIP_CHANGE_MEASURING,
  LCIP_CHANGE_DONE,
  LCIP_CHANGE_FAILED
} LcipChangeState;

/** LcipChange: @label: "Move Conv_3". Figures are of before and after; @why: of a failure. */
typedef struct {
  LcipChangeState state;
  char *label;
  char *why;
  double capacity_before, capacity_after;
  double latency_before, latency_after;
  double capacity_predicted, latency_predicted; /* 0 where nothing was predicted */
} LcipChange;

typedef enum {
  LCIP_FORECAST_NONE,
  LCIP_FORECAST_BUSY,
  LCIP_FORECAST_DONE,
  LCIP_FORECAST_FAILED
} LcipForecastState;

/** LcipForecast: what moving actors to @lane would do. @measured: FALSE before any run: then the
 * copies alone mean something. @memory: share of the lane's memory in use then, 0 unknown. @why: of
 * a failure. */
typedef struct {
  LcipForecastState state;
  char *lane;
  char *why;
  gboolean measured;
  double capacity_now, capacity;
  double latency_now, latency;
  guint n_copies;
  gsize copy_bytes;
  double copy_ms;
  double memory;
  LcipSureness sureness;
} LcipForecast;

LcipSession *lcip_session_new(void);

/* ---- document ---- */

/** lcip_session_open: loads a graph or a model in the background. An ONNX model and, with @as_copy,
 * any file become an unsaved document. */
void lcip_session_open(LcipSession *session, GFile *file, gboolean as_copy);
gboolean lcip_session_is_loading(LcipSession *session);
/** lcip_session_set_document: NULL closes. Stops a run. */
void lcip_session_set_document(LcipSession *session, LcipDocument *document);
LcipDocument *lcip_session_get_document(LcipSession *session); /* may be NULL */
LcipGraph *lcip_session_get_graph(LcipSession *session);       /* may be NULL */
/** lcip_session_get_title: the file's name, or what an unsaved document would be called. */
const char *lcip_session_get_title(LcipSession *session);
/** lcip_session_save: in the background; @done on the main thread, @error NULL when saved. */
typedef void (*LcipSaveFunc)(LcipSession *session, const GError *error, gpointer data);
void lcip_session_save(LcipSession *session, GFile *file, LcipSaveFunc done, gpointer data);

/* ---- edits: each one undo step; while running the plan follows ---- */

void lcip_session_move_actors(LcipSession *session, const char *const *ids, const char *lane);
void lcip_session_place_actors(LcipSession *session, const char *const *ids, GArray *positions);
gboolean lcip_session_set_attr(LcipSession *session, const char *id, const char *attr,
                               const char *text, GError **error);
void lcip_session_pin(LcipSession *session, const char *id, const char *kernel);
void lcip_session_set_lane_device(LcipSession *session, const char *lane, const LcipDevice *device);
void lcip_session_add_lane(LcipSession *session, const LcipDevice *device);
void lcip_session_remove_lane(LcipSession *session, const char *lane);
/** lcip_session_empty_lane: all actors of @lane to the first CPU lane. */
void lcip_session_empty_lane(LcipSession *session, const char *lane);
/** lcip_session_set_mapping: shows, plans and runs another of the document's mappings. */
void lcip_session_set_mapping(LcipSession *session, const char *name);
/** lcip_session_copy_mapping: a new mapping, in use from now on, that begins as the present one. */
void lcip_session_copy_mapping(LcipSession *session);
/** lcip_session_tidy: forgets the positions of actors placed by hand. */
void lcip_session_tidy(LcipSession *session);

/** lcip_session_settle_dims: gives the inputs the sizes in @dims (LcipOpenDim). */
void lcip_session_settle_dims(LcipSession *session, const GArray *dims);

/* ---- plan ---- */

LcipPlan *lcip_session_get_plan(LcipSession *session); /* may be NULL; may be of an older graph */
/** lcip_session_get_problems: array of LcipProblem of the current graph; borrowed. */
const GPtrArray *lcip_session_get_problems(LcipSession *session);
/** lcip_session_get_spec: of output @port of actor @id, type NONE where it is not known: also in a
 * graph that cannot be planned. */
LcipTensorSpec lcip_session_get_spec(LcipSession *session, const char *id, guint port);
gboolean lcip_session_is_planning(LcipSession *session);

/* ---- run ---- */

LcipSessionState lcip_session_get_state(LcipSession *session);
void lcip_session_run(LcipSession *session);
void lcip_session_stop(LcipSession *session);
/** lcip_session_set_source: as lcip_media_open() takes it; NULL: the first camera, or the demo
 * picture where there is none. A run is started anew. */
void lcip_session_set_source(LcipSession *session, const char *what);
const char *lcip_session_get_source(LcipSession *session);
/** lcip_session_get_source_words: what the picture comes from, or why there is none; may be NULL.
 */
const char *lcip_session_get_source_words(LcipSession *session);
/** lcip_session_get_source_trouble: a camera that cannot be used, and why; NULL when all is well.
 */
const char *lcip_session_get_source_trouble(LcipSession *session);
/** lcip_session_get_profile: NULL while nothing was measured. Valid until the next signal. */
const LcipProfile *lcip_session_get_profile(LcipSession *session);
/** lcip_session_get_actor_ms: per actor of the graph the time of the step that it is the first of,
 * else 0; NULL while nothing runs. Free with g_free(). */
double *lcip_session_get_actor_ms(LcipSession *session);
/** LcipLaneLink: the connection of a lane on a worker, as of the last look. @fallback: the lane
 * that computes its actors while it is not @online. */
typedef struct {
  char *lane;
  char *fallback;
  gboolean online;
  LcipLinkStatus status;
} LcipLaneLink;
/** lcip_session_get_links: LcipLaneLink of the run's remote lanes; borrowed. "links-changed" tells
 * when one gets online or offline. */
const GPtrArray *lcip_session_get_links(LcipSession *session);
const LcipLaneLink *lcip_session_get_link(LcipSession *session, const char *lane);
/** lcip_session_take_picture: the newest picture that nobody took yet, or NULL. Transfer full. */
LcipTensor *lcip_session_take_picture(LcipSession *session);

/** LcipResult: what arrived last at an output that is not a picture. */
typedef struct {
  char *actor_id; /* NULL for an output of the graph */
  char *op_name;
  char *name;
  LcipTensor *tensor;
} LcipResult;
/** lcip_session_get_results: array of LcipResult; transfer full. */
GPtrArray *lcip_session_get_results(LcipSession *session);

/** lcip_session_predict_move: asks what moving actors would do; "forecast-changed" tells when it is
 * known. NULL @lane: nobody wants to know any more. */
void lcip_session_predict_move(LcipSession *session, const char *const *ids, const char *lane);
const LcipForecast *lcip_session_get_forecast(LcipSession *session);

const LcipChange *lcip_session_get_change(LcipSession *session);
void lcip_session_revert_change(LcipSession *session);
void lcip_session_dismiss_change(LcipSession *session);

/** lcip_session_find_source: the actor that takes pictures from outside, or -1. */
int lcip_session_find_source(const LcipGraph *graph);

G_END_DECLS
