#include "config.h"
#include "test-editor.h"

#include "lcip-discovery.h"
#include "lcip-keys.h"
#include "lcip-link.h"
#include "lcip-pair-dialog.h"
#include "lcip-test-relay.h"
#include "lcip-test-worker.h"

#include <signal.h>
#include <string.h>

/* Workers in the editor: pairing, a lane that is online, lost and back, and a start that waits. */

#define N_MOVED 4

static LcipTestWorker worker;

/* ---- pairing ---- */

static gboolean can_answer_pair(AdwMessageDialog *dialog) {
  return adw_message_dialog_get_response_enabled(dialog, "pair");
}

/* Neither half alone can be paired with; nor a key that is none, an address without a port. */
static void check_form(AdwMessageDialog *dialog, const char *key, const char *fingerprint) {
  GtkWidget *form = GTK_WIDGET(dialog);
  g_assert_false(can_answer_pair(dialog));
  lcip_pair_dialog_set(form, "desk:5577", "");
  g_assert_false(can_answer_pair(dialog));
  lcip_pair_dialog_set(form, "desk:5577", "0123");
  g_assert_false(can_answer_pair(dialog));
  g_assert_cmpstr(lcip_pair_dialog_get_fingerprint(form), !=, fingerprint);
  lcip_pair_dialog_set(form, "desk", key);
  g_assert_false(can_answer_pair(dialog));
  g_assert_cmpstr(lcip_pair_dialog_get_fingerprint(form), ==, fingerprint);
  lcip_pair_dialog_set(form, "desk:5577", key);
  g_assert_true(can_answer_pair(dialog));
}

/* A found worker fills in the address, and is as unknown as any. */
static void check_found(AdwMessageDialog *dialog) {
  GtkWidget *form = GTK_WIDGET(dialog);
  LcipFoundWorker desk = {"LCIP on <desk>", "tcp://192.0.2.7:5577"};
  g_autoptr(GPtrArray) found = g_ptr_array_new();
  lcip_pair_dialog_set(form, "", "");
  lcip_pair_dialog_show_found(form, found);
  g_assert_false(has_visible_label(form, "On This Network"));
  g_ptr_array_add(found, &desk);
  lcip_pair_dialog_show_found(form, found);
  g_assert_true(has_visible_label(form, "On This Network"));
  take_picture(form, "pair-found");
  GtkWidget *row = find_label(form, "LCIP on <desk>");
  g_assert_nonnull(row);
  row = gtk_widget_get_ancestor(row, ADW_TYPE_ACTION_ROW);
  g_signal_emit_by_name(row, "activated");
  g_assert_cmpstr(lcip_pair_dialog_get_address(form), ==, desk.address);
  g_assert_false(can_answer_pair(dialog));
  g_assert_null(lcip_known_workers_find(desk.address, NULL));
}

static void test_pair(void) {
  guint8 key[LCIP_KEY_BYTES];
  for (guint i = 0; i < sizeof key; i++)
    key[i] = (guint8)(17 * i + 3);
  g_autofree char *text = lcip_key_to_text(key), *fingerprint = lcip_key_fingerprint(key);
  open_example();
  activate("win.pair", NULL);
  wait_until(dialog_is_open, "the pair dialog");
  AdwMessageDialog *dialog = open_dialog();
  take_picture(GTK_WIDGET(dialog), "pair-empty");
  check_form(dialog, text, fingerprint);
  take_picture(GTK_WIDGET(dialog), "pair-filled");
  check_found(dialog);
  answer_dialog("cancel");
  wait_until(no_dialog, "the dialog to close");
  g_assert_null(lcip_known_workers_find("tcp://desk:5577", NULL));
  activate("win.pair", NULL);
  wait_until(dialog_is_open, "the pair dialog again");
  lcip_pair_dialog_set(GTK_WIDGET(open_dialog()), " desk:5577", text);
  answer_dialog("pair");
  wait_until(no_dialog, "the dialog to close");
  g_autoptr(LcipKnownWorker) known = lcip_known_workers_find("tcp://desk:5577", NULL);
  g_assert_nonnull(known);
  g_assert_cmpmem(known->key, LCIP_KEY_BYTES, key, LCIP_KEY_BYTES);
  activate("win.add-lane", g_variant_new_string("tcp://desk:5577/cpu"));
  const LcipGraph *graph = lcip_session_get_graph(session);
  const LcipLane *added = graph->lanes->pdata[graph->lanes->len - 1];
  g_assert_cmpint(added->kind, ==, LCIP_LANE_REMOTE);
  g_assert_cmpstr(added->device, ==, "tcp://desk:5577/cpu");
  g_assert_true(lcip_known_workers_remove("tcp://desk:5577", NULL));
}

/* ---- a lane ---- */

static char *remote_lane; /* its name */

/* The first convolutions go to a new lane on @address. */
static void move_to_worker(const char *address) {
  g_autofree char *device = g_strconcat(address, "/cpu", NULL);
  g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
  activate("win.add-lane", g_variant_new_string(device));
  const LcipGraph *graph = lcip_session_get_graph(session);
  const LcipLane *added = graph->lanes->pdata[graph->lanes->len - 1];
  g_free(remote_lane);
  remote_lane = g_strdup(added->name);
  for (guint i = 0; i < graph->actors->len && ids->len < N_MOVED; i++)
    if (g_str_equal(lcip_graph_actor(graph, (int)i)->op_name, "Conv"))
      g_ptr_array_add(ids, g_strdup(lcip_graph_actor(graph, (int)i)->id));
  g_ptr_array_add(ids, NULL);
  lcip_session_move_actors(session, (const char *const *)ids->pdata, remote_lane);
  wait_until(is_planned, "a plan with the worker");
  activate("win.reveal", g_variant_new_string(ids->pdata[0]));
}

static const char *link_text(void) {
  const LcipGraph *graph = lcip_session_get_graph(session);
  const guint last = graph->lanes->len - 1;
  return lcip_lane_header_get_link_text(canvas->headers->pdata[last]);
}

static gboolean shows(const char *text) {
  return link_text() && strstr(link_text(), text) != NULL;
}

static gboolean is_online(void) {
  return shows("Online");
}

static gboolean is_offline(void) {
  return shows("Offline: ");
}

/* Connecting and deploying take turns with the reason why it is not there. */
static gboolean shows_reason(void) {
  return is_offline() && !shows("…") && !shows(worker.address);
}

static const LcipProblem *lane_problem(void) {
  const GPtrArray *problems = lcip_session_get_problems(session);
  g_autofree char *start = g_strdup_printf("Lane %s is offline: ", remote_lane);
  for (guint i = 0; i < problems->len; i++)
    if (g_str_has_prefix(((const LcipProblem *)problems->pdata[i])->message, start))
      return problems->pdata[i];
  return NULL;
}

static gboolean inspector_tells(void) {
  return has_label(GTK_WIDGET(window->inspector), " is offline: ");
}

static gboolean inspector_is_silent(void) {
  return !inspector_tells();
}

static guint64 frames_before;
static gboolean frames_go_on(void) {
  const LcipProfile *profile = lcip_session_get_profile(session);
  return profile && profile->frames > frames_before + 10;
}

static void wait_for_frames(const char *what) {
  const LcipProfile *profile = lcip_session_get_profile(session);
  frames_before = profile ? profile->frames : 0;
  wait_until(frames_go_on, what);
}

static void check_online(void) {
  wait_until(is_online, "the lane to be online");
  g_assert_true(shows(" ms") || shows(" µs"));
  g_assert_true(shows("B/s"));
  g_assert_null(lane_problem());
  g_assert_cmpuint(lcip_session_get_problems(session)->len, ==, 0);
  wait_for_frames("frames through the worker");
}

/* In the header, and in the list, which leads to the lane's first actor. */
static void check_offline(void) {
  wait_until(shows_reason, "the lane to be offline, and why");
  const LcipProblem *problem = lane_problem();
  g_assert_nonnull(problem);
  g_assert_cmpint(problem->severity, ==, LCIP_PROBLEM_WARNING);
  g_assert_nonnull(strstr(problem->message, worker.address));
  g_assert_nonnull(strstr(problem->message, "computes its actors until it is back"));
  g_autofree char *id = g_strdup(problem->actor_id);
  g_assert_cmpstr(lane_of(id), ==, remote_lane);
  g_signal_emit_by_name(window->problems, "activated", id);
  g_auto(GStrv) selection = lcip_canvas_get_selection(canvas);
  g_assert_cmpstr(selection[0], ==, id);
  wait_until(inspector_tells, "the problem in the inspector");
  wait_for_frames("frames without the worker");
  g_assert_cmpint(lcip_session_get_state(session), ==, LCIP_SESSION_RUNNING);
}

static gboolean no_lane_problem(void) {
  return lane_problem() == NULL;
}

static void test_lost_and_back(void) {
  worker = lcip_test_worker_start("tcp://127.0.0.1:*");
  open_example();
  lcip_session_set_source(session, "demo");
  move_to_worker(worker.address);
  g_assert_null(link_text());
  activate("win.run", NULL);
  wait_until(has_profile, "frames");
  check_online();
  take_picture(NULL, "lane-online");
  lcip_test_worker_kill(&worker, SIGKILL);
  check_offline();
  take_picture(NULL, "lane-offline");
  lcip_test_worker_restart(&worker);
  wait_until(no_lane_problem, "the lane to come back");
  wait_until(inspector_is_silent, "the inspector without the problem");
  check_online();
  take_picture(NULL, "lane-back");
  activate("win.run", NULL);
  wait_until(is_stopped, "the run to stop");
  g_assert_null(link_text());
  lcip_test_worker_end(&worker);
}

/* ---- a worker that does not answer ---- */

static void test_stop_while_connecting(void) {
  g_autoptr(LcipTestRelay) silent = lcip_test_relay_new(NULL);
  lcip_test_pair(lcip_test_relay_address(silent));
  open_example();
  lcip_session_set_source(session, "demo");
  move_to_worker(lcip_test_relay_address(silent));
  activate("win.run", NULL);
  lcip_test_relay_wait(silent, 1);
  g_assert_cmpint(lcip_session_get_state(session), ==, LCIP_SESSION_STARTING);
  take_picture(NULL, "connecting");
  const gint64 before_us = g_get_monotonic_time();
  activate("win.run", NULL);
  wait_until(is_stopped, "the start to be broken off");
  const gint64 took_us = g_get_monotonic_time() - before_us;
  g_test_message("%" G_GINT64_FORMAT " us", took_us);
  /* By the Stop, and not because the worker did not answer. */
  g_assert_cmpint(took_us, <, LCIP_LINK_CONNECT_NS / 1000 / 2);
  /* Nobody is told what they asked for. */
  g_assert_false(dialog_is_open());
  g_assert_cmpuint(lcip_session_get_problems(session)->len, ==, 0);
  /* And without a Stop it starts, with the lane offline. */
  activate("win.run", NULL);
  wait_until(has_profile, "frames without a worker");
  wait_until(is_offline, "the lane to be offline");
  g_assert_nonnull(lane_problem());
  activate("win.run", NULL);
  wait_until(is_stopped, "the run to stop");
}

void add_remote_tests(void) {
  lcip_test_add_with_worker("/editor/remote/pair", test_pair);
  lcip_test_add_with_worker("/editor/remote/lost-and-back", test_lost_and_back);
  lcip_test_add_with_worker("/editor/remote/stop-while-connecting", test_stop_while_connecting);
}
