#include "config.h"

#include "lcip-window-private.h"

#include "lcip-forecast.h"
#include "lcip-palette.h"

G_DEFINE_FINAL_TYPE(LcipWindow, lcip_window, ADW_TYPE_APPLICATION_WINDOW)

/* ---- title and page ---- */

static void update_title(LcipWindow *self) {
  LcipDocument *document = lcip_session_get_document(self->session);
  LcipGraph *graph = lcip_session_get_graph(self->session);
  if (!document) {
    adw_window_title_set_title(self->title, "LCIP");
    adw_window_title_set_subtitle(self->title, "");
    gtk_window_set_title(GTK_WINDOW(self), "LCIP");
    return;
  }
  g_autofree char *title = g_strdup_printf("%s%s", lcip_document_modified(document) ? "• " : "",
                                           lcip_session_get_title(self->session));
  g_autofree char *subtitle =
      g_strdup_printf("Mapping: %s", graph->active_mapping ? graph->active_mapping : "default");
  adw_window_title_set_title(self->title, title);
  adw_window_title_set_subtitle(self->title, subtitle);
  gtk_window_set_title(GTK_WINDOW(self), title);
}

static void update_page(LcipWindow *self) {
  const char *page = lcip_session_is_loading(self->session)     ? "loading"
                     : lcip_session_get_document(self->session) ? "document"
                                                                : "empty";
  gtk_stack_set_visible_child_name(self->stack, page);
  gtk_widget_set_visible(self->sidebar_button, g_str_equal(page, "document"));
}

/* ---- figures ---- */

static void update_links(LcipWindow *self);

static void set_markup(GtkLabel *label, const char *value, const char *unit) {
  g_autofree char *text = g_strdup_printf("%s %s", value, unit);
  gtk_label_set_text(label, text);
}

static void update_stats(LcipWindow *self) {
  const LcipProfile *profile = lcip_session_get_profile(self->session);
  gtk_widget_set_visible(self->stats_box, profile != NULL);
  update_links(self);
  lcip_canvas_set_profile(self->canvas, profile);
  gtk_widget_queue_draw(GTK_WIDGET(self->overview));
  if (!profile)
    return;
  g_autofree char *delivered = lcip_format_fps(profile->delivered_fps);
  g_autofree char *capacity = lcip_format_fps(profile->capacity_fps);
  g_autofree char *latency = lcip_format_ms(profile->latency.median_ms);
  set_markup(self->delivered_label, delivered, "fps");
  set_markup(self->capacity_label, capacity, "fps");
  gtk_label_set_text(self->latency_label, latency);
}

static void update_run_button(LcipWindow *self) {
  LcipSessionState state = lcip_session_get_state(self->session);
  gboolean on = state == LCIP_SESSION_RUNNING || state == LCIP_SESSION_STARTING;
  adw_button_content_set_icon_name(self->run_content, on ? "media-playback-stop-symbolic"
                                                         : "media-playback-start-symbolic");
  adw_button_content_set_label(self->run_content, on ? "Stop" : "Run");
  gtk_widget_set_tooltip_text(GTK_WIDGET(self->run_button), on ? "Stop (F5)" : "Run (F5)");
  if (on)
    gtk_widget_remove_css_class(GTK_WIDGET(self->run_button), "suggested-action");
  else
    gtk_widget_add_css_class(GTK_WIDGET(self->run_button), "suggested-action");
}

/* ---- problems ---- */

static void update_problems(LcipWindow *self) {
  const GPtrArray *problems = lcip_session_get_problems(self->session);
  g_autofree char *label = problems->len == 0   ? g_strdup("No problems")
                           : problems->len == 1 ? g_strdup("1 problem")
                                                : g_strdup_printf("%u problems", problems->len);
  gboolean errors = lcip_problems_have_errors(problems);
  adw_button_content_set_label(self->problems_content, label);
  adw_button_content_set_icon_name(self->problems_content, errors ? "dialog-error-symbolic"
                                                           : problems->len
                                                               ? "dialog-warning-symbolic"
                                                               : "object-select-symbolic");
  lcip_problems_view_set(self->problems, problems, lcip_window_has_open_sizes(self));
  lcip_canvas_set_problems(self->canvas, problems);
}

static void problem_activated(LcipWindow *self, const char *id) {
  if (*id)
    lcip_canvas_reveal(self->canvas, id);
  else
    lcip_window_ask_input_sizes(self);
}

/* ---- session ---- */

static void watch_document(LcipWindow *self) {
  LcipDocument *document = lcip_session_get_document(self->session);
  if (self->watched)
    g_signal_handlers_disconnect_by_func(self->watched, update_title, self);
  g_set_object(&self->watched, document);
  if (document)
    g_signal_connect_swapped(document, "notify::modified", G_CALLBACK(update_title), self);
}

static void document_changed(LcipWindow *self) {
  watch_document(self);
  lcip_canvas_set_plan(self->canvas, NULL);
  lcip_canvas_set_graph(self->canvas, lcip_session_get_graph(self->session));
  lcip_canvas_set_zoom(self->canvas, 1);
  lcip_canvas_scroll_to(self->canvas, 0);
  lcip_connect_card_hide(self->connect_card);
  if (lcip_session_get_document(self->session))
    lcip_window_ask_input_sizes(self);
  update_title(self);
  lcip_window_fill_mapping_menu(self);
  update_page(self);
  update_stats(self);
  update_problems(self);
  lcip_window_update_actions(self);
  if (lcip_session_get_document(self->session) && self->run_when_open)
    lcip_session_run(self->session);
  if (!lcip_session_is_loading(self->session))
    self->run_when_open = FALSE;
}

static void graph_changed(LcipWindow *self) {
  lcip_canvas_set_graph(self->canvas, lcip_session_get_graph(self->session));
  gtk_widget_set_visible(self->planning_spinner, TRUE);
  update_title(self);
  lcip_window_fill_mapping_menu(self);
  lcip_window_update_actions(self);
}

static void plan_changed(LcipWindow *self) {
  lcip_canvas_set_plan(self->canvas, lcip_session_get_plan(self->session));
  lcip_canvas_set_profile(self->canvas, lcip_session_get_profile(self->session));
  gtk_widget_set_visible(self->planning_spinner, lcip_session_is_planning(self->session));
  update_problems(self);
}

static void state_changed(LcipWindow *self) {
  update_title(self);
  update_page(self);
  update_run_button(self);
  lcip_window_update_actions(self);
}

static void show_message(LcipWindow *self, const char *text) {
  g_autofree char *escaped = g_markup_escape_text(text, -1);
  AdwToast *toast = adw_toast_new(escaped);
  adw_toast_set_timeout(toast, 4);
  adw_toast_overlay_add_toast(self->toasts, toast);
}

static void show_failure(LcipWindow *self, const char *title, const char *why) {
  self->run_when_open = FALSE;
  if (lcip_problems_have_errors(lcip_session_get_problems(self->session)))
    gtk_revealer_set_reveal_child(self->problems_revealer, TRUE);
  GtkWidget *dialog = adw_message_dialog_new(GTK_WINDOW(self), title, why);
  adw_message_dialog_add_response(ADW_MESSAGE_DIALOG(dialog), "close", "_Close");
  gtk_window_present(GTK_WINDOW(dialog));
}

/* Nothing here takes the focus: a lane that is lost or comes back must not disturb. */
static void update_links(LcipWindow *self) {
  LcipGraph *graph = lcip_session_get_graph(self->session);
  for (guint i = 0; graph && i < graph->lanes->len; i++) {
    const LcipLane *lane = graph->lanes->pdata[i];
    if (lane->kind == LCIP_LANE_REMOTE)
      lcip_canvas_set_link(self->canvas, lane->name,
                           lcip_session_get_link(self->session, lane->name));
  }
}

static void links_changed(LcipWindow *self) {
  update_links(self);
  update_problems(self);
}

/* ---- canvas ---- */

static void move_actors(LcipWindow *self, char **ids, const char *lane) {
  lcip_session_move_actors(self->session, (const char *const *)ids, lane);
}

static void hover_lane(LcipWindow *self, char **ids, const char *lane) {
  lcip_session_predict_move(self->session, (const char *const *)ids, lane);
}

static void forecast_changed(LcipWindow *self) {
  const LcipForecast *forecast = lcip_session_get_forecast(self->session);
  g_autofree char *text = lcip_forecast_to_text(forecast);
  lcip_canvas_set_forecast(self->canvas, forecast->lane, text);
}

/* Positions are of whole stacks: where the actor is now, and by how much it was dragged. */
static void place_actors(LcipWindow *self, char **ids, double dx, double dy) {
  g_autoptr(GArray) positions = g_array_new(FALSE, FALSE, sizeof(LcipPosition));
  const LcipLayout *layout = lcip_canvas_get_layout(self->canvas);
  LcipGraph *graph = lcip_session_get_graph(self->session);
  for (guint i = 0; ids[i]; i++) {
    const LcipLayoutBox *box = &layout->actors[lcip_graph_find_actor(graph, ids[i])];
    LcipPosition position = {MAX(0, box->x + dx), MAX(0, box->y - LCIP_LAYOUT_BRACKET_HEIGHT + dy)};
    g_array_append_val(positions, position);
  }
  lcip_session_place_actors(self->session, (const char *const *)ids, positions);
}

static void selection_changed(LcipWindow *self) {
  g_auto(GStrv) ids = lcip_canvas_get_selection(self->canvas);
  lcip_inspector_set_selection(self->inspector, (const char *const *)ids);
}

static gboolean show_zoom(gpointer data) {
  LcipWindow *self = data;
  g_autofree char *zoom = g_strdup_printf("%.0f %%", 100 * lcip_canvas_get_zoom(self->canvas));
  self->zoom_idle = 0;
  gtk_label_set_text(self->zoom_label, zoom);
  return G_SOURCE_REMOVE;
}

/* Comes while sizes are being given out: the label may ask for another one only later. */
static void view_changed(LcipWindow *self) {
  double zoom = lcip_canvas_get_zoom(self->canvas);
  if (zoom != self->shown_zoom && !self->zoom_idle)
    self->zoom_idle = g_idle_add(show_zoom, self);
  self->shown_zoom = zoom;
}

static LcipTensorSpec canvas_spec(gpointer data, const char *id, guint port) {
  LcipWindow *self = data;
  return self->session ? lcip_session_get_spec(self->session, id, port) : (LcipTensorSpec){0};
}

static void add_canvas(LcipWindow *self) {
  self->canvas = LCIP_CANVAS(lcip_canvas_new());
  gtk_scrolled_window_set_child(self->scrolled, GTK_WIDGET(self->canvas));
  lcip_canvas_set_spec_func(self->canvas, canvas_spec, self);
  lcip_overview_set_canvas(self->overview, self->canvas);
  g_signal_connect_swapped(self->canvas, "move-actors", G_CALLBACK(move_actors), self);
  g_signal_connect_swapped(self->canvas, "place-actors", G_CALLBACK(place_actors), self);
  g_signal_connect_swapped(self->canvas, "hover-lane", G_CALLBACK(hover_lane), self);
  g_signal_connect_swapped(self->canvas, "refused", G_CALLBACK(show_message), self);
  g_signal_connect_swapped(self->canvas, "selection-changed", G_CALLBACK(selection_changed), self);
  g_signal_connect_swapped(self->canvas, "view-changed", G_CALLBACK(view_changed), self);
}

static void redraw_all(LcipWindow *self) {
  gtk_widget_queue_allocate(GTK_WIDGET(self->canvas));
  gtk_widget_queue_draw(GTK_WIDGET(self->canvas));
  gtk_widget_queue_draw(GTK_WIDGET(self->overview));
}

static void add_session(LcipWindow *self) {
  self->session = lcip_session_new();
  lcip_picture_panel_set_session(self->picture_panel, self->session);
  lcip_inspector_set_session(self->inspector, self->session);
  lcip_change_chip_set_session(self->chip, self->session);
  lcip_connect_card_set_session(self->connect_card, self->session);
  lcip_finder_set_session(self->finder, self->session);
  g_signal_connect_swapped(self->session, "document-changed", G_CALLBACK(document_changed), self);
  g_signal_connect_swapped(self->session, "graph-changed", G_CALLBACK(graph_changed), self);
  g_signal_connect_swapped(self->session, "plan-changed", G_CALLBACK(plan_changed), self);
  g_signal_connect_swapped(self->session, "state-changed", G_CALLBACK(state_changed), self);
  g_signal_connect_swapped(self->session, "profile-changed", G_CALLBACK(update_stats), self);
  g_signal_connect_swapped(self->session, "links-changed", G_CALLBACK(links_changed), self);
  g_signal_connect_swapped(self->session, "forecast-changed", G_CALLBACK(forecast_changed), self);
  g_signal_connect_swapped(self->session, "message", G_CALLBACK(show_message), self);
  g_signal_connect_swapped(self->session, "failed", G_CALLBACK(show_failure), self);
}

static void focus_canvas(LcipWindow *self) {
  gtk_widget_child_focus(GTK_WIDGET(self->canvas), GTK_DIR_TAB_FORWARD);
}

static void actors_found(LcipWindow *self, char **ids) {
  lcip_canvas_reveal(self->canvas, ids[0]);
  if (ids[1])
    lcip_canvas_select(self->canvas, (const char *const *)ids);
}

/* ---- closing ---- */

static void destroy_now(LcipWindow *self, gpointer data) {
  lcip_session_stop(self->session);
  gtk_window_destroy(GTK_WINDOW(self));
}

static gboolean window_close_request(GtkWindow *window) {
  LcipWindow *self = LCIP_WINDOW(window);
  LcipDocument *document = lcip_session_get_document(self->session);
  if (document && lcip_document_modified(document)) {
    lcip_window_ask_to_save(self, destroy_now, NULL, NULL);
    return TRUE;
  }
  lcip_session_stop(self->session);
  return GTK_WINDOW_CLASS(lcip_window_parent_class)->close_request(window);
}

/* ---- GObject ---- */

static void window_dispose(GObject *object) {
  LcipWindow *self = LCIP_WINDOW(object);
  if (self->watched)
    g_signal_handlers_disconnect_by_func(self->watched, update_title, self);
  g_clear_object(&self->watched);
  g_clear_weak_pointer(&self->sizes_dialog);
  g_clear_handle_id(&self->zoom_idle, g_source_remove);
  if (self->session)
    g_signal_handlers_disconnect_by_data(self->session, self);
  if (self->canvas)
    g_signal_handlers_disconnect_by_data(self->canvas, self);
  self->canvas = NULL;
  g_signal_handlers_disconnect_by_data(adw_style_manager_get_default(), self);
  g_clear_object(&self->session);
  G_OBJECT_CLASS(lcip_window_parent_class)->dispose(object);
}

static void bind_children(GtkWidgetClass *widget_class) {
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, toasts);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, title);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, stack);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, scrolled);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, overview);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, chip);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, connect_card);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, finder);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, problems_revealer);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, problems);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, problems_button);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, problems_content);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, planning_spinner);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, zoom_label);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, flap);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, picture_panel);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, inspector);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, run_button);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, run_content);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, stats_box);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, delivered_label);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, capacity_label);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, latency_label);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, save_button);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, add_lane_button);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, mapping_button);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, undo_button);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, redo_button);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, examples_box);
  gtk_widget_class_bind_template_child(widget_class, LcipWindow, sidebar_button);
}

static void lcip_window_class_init(LcipWindowClass *klass) {
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);
  g_type_ensure(LCIP_TYPE_OVERVIEW);
  g_type_ensure(LCIP_TYPE_CHANGE_CHIP);
  g_type_ensure(LCIP_TYPE_CONNECT_CARD);
  g_type_ensure(LCIP_TYPE_FINDER);
  g_type_ensure(LCIP_TYPE_INSPECTOR);
  g_type_ensure(LCIP_TYPE_PICTURE_PANEL);
  g_type_ensure(LCIP_TYPE_PROBLEMS_VIEW);
  G_OBJECT_CLASS(klass)->dispose = window_dispose;
  GTK_WINDOW_CLASS(klass)->close_request = window_close_request;
  gtk_widget_class_set_template_from_resource(widget_class, "/org/lcip/Editor/lcip-window.ui");
  bind_children(widget_class);
}

static void lcip_window_init(LcipWindow *self) {
  gtk_widget_init_template(GTK_WIDGET(self));
  add_canvas(self);
  add_session(self);
  g_signal_connect_swapped(self->finder, "closed", G_CALLBACK(focus_canvas), self);
  g_signal_connect_swapped(self->finder, "found", G_CALLBACK(actors_found), self);
  g_signal_connect_swapped(self->problems, "activated", G_CALLBACK(problem_activated), self);
  AdwStyleManager *style = adw_style_manager_get_default();
  g_signal_connect_swapped(style, "notify::dark", G_CALLBACK(redraw_all), self);
  g_signal_connect_swapped(style, "notify::high-contrast", G_CALLBACK(redraw_all), self);
  lcip_window_add_actions(self);
  lcip_window_add_file_actions(self);
  lcip_window_add_drop_target(self);
  lcip_window_fill_examples(self);
  lcip_window_fill_lane_menu(self);
  document_changed(self);
  update_run_button(self);
}

LcipWindow *lcip_window_new(AdwApplication *application) {
  return g_object_new(LCIP_TYPE_WINDOW, "application", application, NULL);
}

LcipSession *lcip_window_get_session(LcipWindow *self) {
  return self->session;
}

LcipCanvas *lcip_window_get_canvas(LcipWindow *self) {
  return self->canvas;
}
