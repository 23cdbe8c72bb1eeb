#include "config.h"
#include "test-editor.h"

#include <glib/gstdio.h>
#include <math.h>

#include "lcip-connect.h"
#include "lcip-io.h"
#include "lcip-test-home.h"

/* Documents, mapping, saving, finding and running. */

/* ---- documents ---- */

static void test_opens(void) {
  open_example();
  LcipGraph *graph = lcip_session_get_graph(session);
  const LcipLayout *layout = lcip_canvas_get_layout(canvas);
  g_assert_cmpuint(graph->actors->len, >, 100);
  g_assert_cmpuint(layout->n_actors, ==, graph->actors->len);
  for (guint i = 0; i < graph->actors->len; i++)
    g_assert_nonnull(lcip_canvas_get_actor(canvas, lcip_graph_actor(graph, i)->id));
  g_assert_cmpuint(lcip_session_get_problems(session)->len, ==, 0);
  g_assert_cmpstr(gtk_window_get_title(GTK_WINDOW(window)), ==, "blazeface-back.xml");
}

static void test_accessible_names(void) {
  open_example();
  LcipGraph *graph = lcip_session_get_graph(session);
  for (guint i = 0; i < graph->actors->len; i++) {
    const LcipActor *actor = lcip_graph_actor(graph, i);
    GtkWidget *widget = lcip_canvas_get_actor(canvas, actor->id);
    LcipActorWidget *named = LCIP_ACTOR_WIDGET(widget);
    g_autofree char *start = g_strdup_printf("%s, %s, lane %s", lcip_actor_title(actor),
                                             actor->op_name, lane_of(actor->id));
    g_assert_true(g_str_has_prefix(lcip_actor_widget_get_label(named), start));
    gtk_test_accessible_assert_role(GTK_ACCESSIBLE(widget), GTK_ACCESSIBLE_ROLE_LIST_ITEM);
    gtk_test_accessible_assert_property(GTK_ACCESSIBLE(widget), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                        lcip_actor_widget_get_label(named));
  }
}

static void test_damaged_file(void) {
  open_example();
  LcipDocument *before = lcip_session_get_document(session);
  g_autofree char *path = g_build_filename(g_get_tmp_dir(), "lcip-damaged.xml", NULL);
  g_assert_true(g_file_set_contents(path, "<?xml version='1.0'?><lcip", -1, NULL));
  g_autoptr(GFile) file = g_file_new_for_path(path);
  lcip_window_open(window, file, FALSE, FALSE);
  wait_until(dialog_is_open, "the message about a damaged file");
  close_dialog();
  wait_until(no_dialog, "the message to close");
  g_assert_true(lcip_session_get_document(session) == before);
  g_unlink(path);
}

/* ---- mapping ---- */

static void test_move_undo(void) {
  open_example();
  g_autofree char *conv = g_strdup(actor_of("Conv"));
  g_autofree char *home = g_strdup(lane_of(conv));
  activate("win.reveal", g_variant_new_string(conv));
  activate("win.move-selection", g_variant_new_int32(1));
  g_assert_cmpstr(lane_of(conv), ==, second_lane());
  GtkWidget *widget = lcip_canvas_get_actor(canvas, conv);
  g_autofree char *words = g_strdup_printf(", lane %s", second_lane());
  g_assert_nonnull(strstr(lcip_actor_widget_get_label(LCIP_ACTOR_WIDGET(widget)), words));
  g_assert_true(lcip_document_modified(lcip_session_get_document(session)));
  activate("win.undo", NULL);
  g_assert_cmpstr(lane_of(conv), ==, home);
  g_assert_false(lcip_document_modified(lcip_session_get_document(session)));
  activate("win.redo", NULL);
  g_assert_cmpstr(lane_of(conv), ==, second_lane());
  activate("win.undo", NULL);
}

static void test_refused(void) {
  open_example();
  g_autofree char *source = g_strdup(actor_of("PictureSource"));
  g_autofree char *home = g_strdup(lane_of(source));
  activate("win.reveal", g_variant_new_string(source));
  activate("win.move-selection", g_variant_new_int32(1));
  g_assert_cmpstr(lane_of(source), ==, home);
  g_assert_null(lcip_document_undo_label(lcip_session_get_document(session)));
}

/* GTK has no public way to make events: the gesture's signals are given by hand. */
static void drag(const char *id, double x, double y) {
  graphene_rect_t from;
  g_assert_true(lcip_canvas_get_actor_rect(canvas, id, &from));
  double start_x = from.origin.x + from.size.width / 2, start_y = from.origin.y + 10;
  g_signal_emit_by_name(canvas->drag_gesture, "drag-begin", start_x, start_y);
  g_signal_emit_by_name(canvas->drag_gesture, "drag-update", 10., 10.);
  g_signal_emit_by_name(canvas->drag_gesture, "drag-update", x - start_x, y - start_y);
  g_assert_cmpint(canvas->drag.mode, ==, CANVAS_DRAG_ACTORS);
  g_signal_emit_by_name(canvas->drag_gesture, "drag-end", x - start_x, y - start_y);
}

static void test_drag_to_lane(void) {
  open_example();
  g_autofree char *conv = g_strdup(actor_of("Conv"));
  activate("win.reveal", g_variant_new_string(conv));
  graphene_rect_t band;
  g_assert_true(lcip_canvas_get_lane_rect(canvas, second_lane(), &band));
  drag(conv, 500, band.origin.y + band.size.height / 2);
  g_assert_cmpstr(lane_of(conv), ==, second_lane());
  /* a lane that cannot run it refuses */
  g_autofree char *source = g_strdup(actor_of("PictureSource"));
  g_autofree char *home = g_strdup(lane_of(source));
  activate("win.reveal", g_variant_new_string(source));
  wait_until(is_allocated, "the canvas");
  g_assert_true(lcip_canvas_get_lane_rect(canvas, second_lane(), &band));
  drag(source, 500, band.origin.y + band.size.height / 2);
  g_assert_cmpstr(lane_of(source), ==, home);
}

static void test_drag_in_lane(void) {
  open_example();
  g_autofree char *conv = g_strdup(actor_of("Conv"));
  activate("win.reveal", g_variant_new_string(conv));
  graphene_rect_t from;
  g_assert_true(lcip_canvas_get_actor_rect(canvas, conv, &from));
  drag(conv, from.origin.x + from.size.width / 2 + 30, from.origin.y + 60);
  LcipGraph *graph = lcip_session_get_graph(session);
  g_assert_nonnull(g_hash_table_lookup(graph->layout, conv));
  activate("win.tidy", NULL);
  g_assert_null(g_hash_table_lookup(lcip_session_get_graph(session)->layout, conv));
}

static void test_lanes(void) {
  open_example();
  guint n = lcip_session_get_graph(session)->lanes->len;
  activate("win.add-lane", g_variant_new_string("cpu"));
  g_assert_cmpuint(lcip_session_get_graph(session)->lanes->len, ==, n + 1);
  g_autofree char *added =
      g_strdup(((LcipLane *)lcip_session_get_graph(session)->lanes->pdata[n])->name);
  activate("win.remove-lane", g_variant_new_string(added));
  g_assert_cmpuint(lcip_session_get_graph(session)->lanes->len, ==, n);
}

static void test_mappings(void) {
  open_example();
  LcipGraph *graph = lcip_session_get_graph(session);
  g_autofree char *first = g_strdup(graph->active_mapping);
  guint n = graph->mappings->len;
  activate("win.copy-mapping", NULL);
  graph = lcip_session_get_graph(session);
  g_assert_cmpuint(graph->mappings->len, ==, n + 1);
  g_assert_cmpstr(graph->active_mapping, !=, first);
  g_autofree char *conv = g_strdup(actor_of("Conv"));
  g_autofree char *home = g_strdup(lane_of(conv));
  lcip_session_move_actors(session, (const char *const[]){conv, NULL}, second_lane());
  g_assert_cmpstr(lane_of(conv), ==, second_lane());
  activate("win.mapping", g_variant_new_string(first));
  g_assert_cmpstr(lane_of(conv), ==, home);
}

static void test_attributes(void) {
  open_example();
  g_autofree char *nms = g_strdup(actor_of("NonMaxSuppression"));
  g_autoptr(GError) error = NULL;
  g_assert_true(lcip_session_set_attr(session, nms, "iou_threshold", "0.5", &error));
  g_assert_no_error(error);
  g_assert_false(lcip_session_set_attr(session, nms, "iou_threshold", "7", &error));
  g_assert_nonnull(error);
  LcipGraph *graph = lcip_session_get_graph(session);
  const LcipActor *actor = lcip_graph_actor(graph, lcip_graph_find_actor(graph, nms));
  g_assert_cmpfloat_with_epsilon(lcip_attrs_get_float(actor->attrs, "iou_threshold"), 0.5, 1e-6);
}

/* ---- saving ---- */

static gboolean is_saved(void) {
  return !lcip_document_modified(lcip_session_get_document(session));
}

static void test_save(void) {
  g_autoptr(GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp("lcip-editor-XXXXXX", &error);
  g_assert_no_error(error);
  g_autofree char *path = g_build_filename(folder, "moved.xml", NULL);
  open_example();
  g_autofree char *conv = g_strdup(actor_of("Conv"));
  activate("win.reveal", g_variant_new_string(conv));
  activate("win.move-selection", g_variant_new_int32(1));
  activate("win.save-to", g_variant_new_string(path));
  wait_until(is_saved, "the file to be written");
  g_autoptr(LcipGraph) saved = lcip_xml_read(path, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(lcip_graph_lane_of(saved, lcip_graph_find_mapping(saved, NULL),
                                     lcip_graph_find_actor(saved, conv)),
                  ==, second_lane());
  g_assert_cmpstr(gtk_window_get_title(GTK_WINDOW(window)), ==, "moved.xml");
}

static void test_close_asks(void) {
  open_example();
  g_autofree char *conv = g_strdup(actor_of("Conv"));
  activate("win.reveal", g_variant_new_string(conv));
  activate("win.move-selection", g_variant_new_int32(1));
  gtk_window_close(GTK_WINDOW(window));
  wait_until(dialog_is_open, "the question about unsaved changes");
  close_dialog();
  wait_until(no_dialog, "the question to close");
  g_assert_true(gtk_widget_get_visible(GTK_WIDGET(window)));
  g_assert_cmpstr(lane_of(conv), ==, second_lane());
}

/* ---- own models ---- */

static void test_connect_picture(void) {
  g_autofree char *path = lcip_data_path("models/selfie-segmentation-256.onnx");
  open_path(path);
  LcipDocument *document = lcip_session_get_document(session);
  LcipGraph *graph = lcip_session_get_graph(session);
  g_assert_null(lcip_document_file(document));
  const char *layout;
  int width, height;
  g_assert_cmpint(lcip_connect_find_input(graph, &layout, &width, &height), ==, 0);
  g_assert_cmpstr(layout, ==, "NHWC");
  g_assert_cmpint(width, ==, 256);
  g_autoptr(GError) error = NULL;
  LcipConnect connect = {256, 256, "stretch", "NHWC", "RGB", "0", "0.003921569"};
  LcipGraph *edited = lcip_connect_apply(graph, 0, &connect, &error);
  g_assert_no_error(error);
  lcip_document_apply(document, edited, "Connect Picture", NULL);
  wait_until(is_planned, "a plan with the picture");
  g_assert_cmpuint(lcip_session_get_graph(session)->inputs->len, ==, 0);
  g_assert_false(lcip_problems_have_errors(lcip_session_get_problems(session)));
  connect.fit = "no such fit";
  activate("win.undo", NULL);
  g_assert_null(lcip_connect_apply(lcip_session_get_graph(session), 0, &connect, &error));
  g_assert_nonnull(error);
}

/* ---- networks that cannot run as they are ---- */

static const char graph_start[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
    "<lcip xmlns=\"urn:lcip:graph:1\" version=\"1\"><graph name=\"Small\" opset=\"21\" "
    "source-opset=\"21\"><description></description>";
static const char graph_end[] =
    "</graph><platform><lane name=\"CPU\" kind=\"cpu\"/></platform>"
    "<mapping name=\"default\" active=\"true\"></mapping><layout></layout></lcip>";

static gboolean has_problems(void) {
  return lcip_session_get_document(session) && !lcip_session_is_loading(session) &&
         !lcip_session_is_planning(session) && lcip_session_get_problems(session)->len > 0;
}

static void open_text(const char *inner) {
  g_autoptr(GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp("lcip-editor-XXXXXX", &error);
  g_autofree char *path = g_build_filename(folder, "small.xml", NULL);
  g_autofree char *text = g_strconcat(graph_start, inner, graph_end, NULL);
  g_assert_true(g_file_set_contents(path, text, -1, &error));
  g_autoptr(GFile) file = g_file_new_for_path(path);
  lcip_session_set_document(session, NULL);
  lcip_window_open(window, file, FALSE, FALSE);
  wait_until(has_problems, "problems of the opened file");
  wait_until(is_allocated, "the canvas");
  g_unlink(path);
  g_rmdir(folder);
}

/* Shapes before the refused actor are known, it is marked and listed once, and a line leads to it.
 */
static void test_refused_operator(void) {
  open_text(
      "<input id=\"x\" name=\"x\" type=\"f32\" shape=\"1 3 8 8\"/>"
      "<output id=\"y\" name=\"y\" type=\"f32\" shape=\"1 3 8 8\"/>"
      "<actor id=\"first\" name=\"\" domain=\"\" operator=\"Relu\" inputs=\"1\" outputs=\"1\"/>"
      "<actor id=\"odd\" name=\"\" domain=\"com.example\" operator=\"Odd\" inputs=\"1\" "
      "outputs=\"1\"/>"
      "<edge from=\"x\" to=\"first\" to-port=\"X\"/>"
      "<edge from=\"first\" from-port=\"Y\" to=\"odd\" to-port=\"input.0\"/>"
      "<edge from=\"odd\" from-port=\"output.0\" to=\"y\"/>");
  const GPtrArray *problems = lcip_session_get_problems(session);
  g_assert_cmpuint(problems->len, ==, 1);
  g_assert_cmpstr(((const LcipProblem *)problems->pdata[0])->actor_id, ==, "odd");
  g_assert_nonnull(strstr(label_of_actor("odd"), "problem: "));
  g_assert_null(strstr(label_of_actor("first"), "problem: "));
  const LcipTensorSpec known = lcip_session_get_spec(session, "first", 0);
  g_assert_cmpint(known.type, ==, LCIP_TYPE_F32);
  g_assert_cmpint(known.shape.dims[1], ==, 3);
  g_assert_cmpint(lcip_session_get_spec(session, "odd", 0).type, ==, LCIP_TYPE_NONE);
  g_signal_emit_by_name(window->problems, "activated", "odd");
  g_auto(GStrv) selection = lcip_canvas_get_selection(canvas);
  g_assert_cmpstr(selection[0], ==, "odd");
  g_assert_null(selection[1]);
  activate("win.run", NULL);
  wait_until(dialog_is_open, "the reason why it does not run");
  close_dialog();
  wait_until(no_dialog, "the message to close");
  g_assert_cmpint(lcip_session_get_state(session), ==, LCIP_SESSION_STOPPED);
}

static gboolean no_problems(void) {
  return is_planned() && lcip_session_get_problems(session)->len == 0;
}

/* Asked when the file is opened, once; Later leaves a problem that leads back to the question. */
static void test_input_sizes(void) {
  open_text(
      "<input id=\"x\" name=\"x\" type=\"f32\" shape=\"? 3 ? ?\"/>"
      "<output id=\"y\" name=\"y\" type=\"f32\" shape=\"? 3 ? ?\"/>"
      "<actor id=\"first\" name=\"\" domain=\"\" operator=\"Relu\" inputs=\"1\" outputs=\"1\"/>"
      "<edge from=\"x\" to=\"first\" to-port=\"X\"/>"
      "<edge from=\"first\" from-port=\"Y\" to=\"y\"/>");
  wait_until(dialog_is_open, "the question about sizes");
  answer_dialog("later");
  wait_until(no_dialog, "the question to close");
  g_assert_null(lcip_document_undo_label(lcip_session_get_document(session)));
  /* Said as it is done here, and not as on the command line. */
  g_assert_true(has_label(GTK_WIDGET(window->problems),
                          "input x: the model leaves its size open; choose this line to set it"));
  g_assert_false(has_label(GTK_WIDGET(window), "--input-shape"));
  g_signal_emit_by_name(window->problems, "activated", "");
  wait_until(dialog_is_open, "the question about sizes, again");
  answer_dialog("use");
  wait_until(no_dialog, "the question to close");
  wait_until(no_problems, "a plan with the sizes");
  const LcipTensorSpec spec = lcip_session_get_spec(session, "first", 0);
  g_assert_cmpint(spec.shape.dims[0], ==, 1);
  g_assert_cmpint(spec.shape.dims[3], ==, 256);
  g_assert_false(lcip_window_has_open_sizes(window));
  g_assert_cmpstr(lcip_document_undo_label(lcip_session_get_document(session)), ==,
                  "Set Input Sizes");
}

/* ---- finding ---- */

static void type_and_activate(const char *text) {
  /* at once, before the entry tells what was typed */
  gtk_editable_set_text(lcip_finder_get_entry(window->finder), text);
  g_signal_emit_by_name(lcip_finder_get_entry(window->finder), "activate");
  g_assert_false(gtk_widget_get_visible(GTK_WIDGET(window->finder)));
}

static void test_finder(void) {
  open_example();
  LcipGraph *graph = lcip_session_get_graph(session);
  guint n_pools = 0;
  for (guint i = 0; i < graph->actors->len; i++)
    n_pools += g_str_equal(lcip_graph_actor(graph, i)->op_name, "MaxPool");
  g_assert_cmpuint(n_pools, >, 1);
  activate("win.find", NULL);
  g_assert_true(gtk_widget_get_visible(GTK_WIDGET(window->finder)));
  type_and_activate("op:maxpool"); /* the first line is for all of them */
  g_auto(GStrv) selection = lcip_canvas_get_selection(canvas);
  g_assert_cmpuint(g_strv_length(selection), ==, n_pools);
  /* a filter that there is not is said, and leads nowhere */
  activate("win.find", NULL);
  gtk_editable_set_text(lcip_finder_get_entry(window->finder), "colour:red");
  g_signal_emit_by_name(lcip_finder_get_entry(window->finder), "search-changed");
  GtkListBoxRow *row = gtk_list_box_get_row_at_index(lcip_finder_get_list(window->finder), 0);
  g_assert_nonnull(row);
  g_assert_false(gtk_list_box_row_get_activatable(row));
  g_signal_emit_by_name(lcip_finder_get_entry(window->finder), "stop-search");
  g_assert_false(gtk_widget_get_visible(GTK_WIDGET(window->finder)));
  /* commands */
  g_autofree char *first = g_strdup(graph->active_mapping);
  activate("win.commands", NULL);
  type_and_activate("use mapping cpu+gpu");
  g_assert_cmpstr(lcip_session_get_graph(session)->active_mapping, ==, "cpu+gpu");
  activate("win.mapping", g_variant_new_string(first));
}

/* ---- running ---- */

static gboolean change_is_measured(void) {
  LcipChangeState state = lcip_session_get_change(session)->state;
  g_assert_cmpint(state, !=, LCIP_CHANGE_FAILED);
  return state == LCIP_CHANGE_DONE;
}

static gboolean results_arrived(void) {
  g_autoptr(GPtrArray) results = lcip_session_get_results(session);
  return results->len > 0;
}

static gboolean forecast_is_done(void) {
  LcipForecastState state = lcip_session_get_forecast(session)->state;
  g_assert_cmpint(state, !=, LCIP_FORECAST_FAILED);
  return state == LCIP_FORECAST_DONE;
}

/* Dragged over the lane @lane and not dropped there: what it would do is said at the pointer. */
static void check_forecast(const char *conv, const char *lane) {
  graphene_rect_t from, band;
  activate("win.reveal", g_variant_new_string(conv));
  /* Where things lie is known when the new lane has been drawn. */
  gtk_test_widget_wait_for_draw(GTK_WIDGET(canvas));
  g_assert_true(lcip_canvas_get_actor_rect(canvas, conv, &from));
  g_assert_true(lcip_canvas_get_lane_rect(canvas, lane, &band));
  const double y = band.origin.y + band.size.height / 2 - from.origin.y - 10;
  g_signal_emit_by_name(canvas->drag_gesture, "drag-begin", from.origin.x + from.size.width / 2,
                        from.origin.y + 10.);
  g_signal_emit_by_name(canvas->drag_gesture, "drag-update", 10., 10.);
  g_signal_emit_by_name(canvas->drag_gesture, "drag-update", 10., y);
  wait_until(forecast_is_done, "a prediction");
  const LcipForecast *forecast = lcip_session_get_forecast(session);
  g_assert_cmpstr(forecast->lane, ==, lane);
  g_assert_true(forecast->measured);
  g_assert_cmpfloat(forecast->capacity, >, 0);
  g_assert_cmpfloat(forecast->latency, >, 0);
  g_assert_nonnull(strstr(canvas->drag.forecast, "predicted "));
  lcip_canvas_drag_cancel(canvas);
  g_assert_cmpint(lcip_session_get_forecast(session)->state, ==, LCIP_FORECAST_NONE);
  g_assert_null(canvas->drag.forecast);
}

static const char *watched_id;
static gboolean shows_share(void) {
  return strstr(label_of_actor(watched_id), " %") != NULL;
}
static gboolean shows_ms(void) {
  return strstr(label_of_actor(watched_id), " ms") || strstr(label_of_actor(watched_id), " µs");
}

/* The source's picture is on every path; of the two heads at the end only one is. */
static void check_figures(void) {
  g_autofree char *id = g_strdup(actor_of("PictureToTensor"));
  watched_id = id;
  wait_until(shows_ms, "a time on an actor");
  activate("win.figures", g_variant_new_string("share"));
  wait_until(shows_share, "a share on an actor");
  activate("win.figures", g_variant_new_string("time"));
  wait_until(shows_ms, "a time on the actor again");
  g_assert_false(lcip_canvas_is_critical(canvas, id));
  activate("win.critical-path", NULL);
  g_assert_true(lcip_canvas_is_critical(canvas, id));
  LcipGraph *graph = lcip_session_get_graph(session);
  guint n_critical = 0;
  for (guint i = 0; i < graph->actors->len; i++)
    n_critical += lcip_canvas_is_critical(canvas, lcip_graph_actor(graph, i)->id);
  g_assert_cmpuint(n_critical, >, graph->actors->len / 2);
  g_assert_cmpuint(n_critical, <, graph->actors->len);
  activate("win.critical-path", NULL);
  g_assert_false(lcip_canvas_is_critical(canvas, id));
}

static void test_run(void) {
  open_example();
  lcip_session_set_source(session, "demo");
  g_autofree char *conv = g_strdup(actor_of("Conv"));
  activate("win.run", NULL);
  wait_until(has_profile, "frames");
  wait_until(results_arrived, "detections");
  g_assert_null(lcip_session_get_source_trouble(session));
  check_figures();
  activate("win.add-lane", g_variant_new_string("cpu"));
  guint n = lcip_session_get_graph(session)->lanes->len;
  const LcipLane *added = lcip_session_get_graph(session)->lanes->pdata[n - 1];
  g_autofree char *lane = g_strdup(added->name);
  wait_until(is_planned, "a plan with the lane");
  check_forecast(conv, lane);
  lcip_session_move_actors(session, (const char *const[]){conv, NULL}, lane);
  wait_until(change_is_measured, "the figures after a move");
  g_assert_cmpfloat(lcip_session_get_change(session)->capacity_predicted, >, 0);
  g_assert_cmpfloat(lcip_session_get_change(session)->capacity_after, >, 0);
  g_assert_cmpstr(lane_of(conv), ==, lane);
  activate("win.revert", NULL);
  g_assert_cmpstr(lane_of(conv), !=, lane);
  activate("win.run", NULL);
  wait_until(is_stopped, "the run to stop");
  g_assert_null(lcip_session_get_profile(session));
}

int main(int argc, char **argv) {
  g_autofree char *home = lcip_test_make_home();
  gtk_test_init(&argc, &argv, NULL);
  g_autoptr(GError) error = NULL;
  g_object_set(gtk_settings_get_default(), "gtk-enable-animations", FALSE, NULL);
  application = lcip_application_new();
  g_application_set_flags(G_APPLICATION(application), G_APPLICATION_NON_UNIQUE);
  g_assert_true(g_application_register(G_APPLICATION(application), NULL, &error));
  window = lcip_window_new(ADW_APPLICATION(application));
  session = lcip_window_get_session(window);
  canvas = lcip_window_get_canvas(window);
  gtk_window_present(GTK_WINDOW(window));
  g_test_add_func("/editor/opens", test_opens);
  g_test_add_func("/editor/accessible-names", test_accessible_names);
  g_test_add_func("/editor/damaged-file", test_damaged_file);
  g_test_add_func("/editor/move-undo", test_move_undo);
  g_test_add_func("/editor/refused", test_refused);
  g_test_add_func("/editor/drag-to-lane", test_drag_to_lane);
  g_test_add_func("/editor/drag-in-lane", test_drag_in_lane);
  g_test_add_func("/editor/lanes", test_lanes);
  g_test_add_func("/editor/mappings", test_mappings);
  g_test_add_func("/editor/attributes", test_attributes);
  g_test_add_func("/editor/save", test_save);
  g_test_add_func("/editor/close-asks", test_close_asks);
  g_test_add_func("/editor/connect-picture", test_connect_picture);
  g_test_add_func("/editor/refused-operator", test_refused_operator);
  g_test_add_func("/editor/input-sizes", test_input_sizes);
  g_test_add_func("/editor/finder", test_finder);
  g_test_add_func("/editor/run", test_run);
  add_remote_tests();
  const int failed = g_test_run();
  lcip_test_remove_home(home);
  return failed;
}
