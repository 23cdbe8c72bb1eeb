#include "config.h"

#include "lcip-picture-panel.h"

#include "lcip-results.h"

struct _LcipPicturePanel {
  GtkWidget parent;
  /* template */
  GtkWidget *box;
  GtkStack *stack;
  GtkPicture *picture;
  GtkLabel *idle_label;
  GtkLabel *trouble_label;
  GtkWidget *demo_button;
  GtkLabel *source_label;
  GtkMenuButton *source_button;
  GtkLabel *results_label;
  GtkLabel *starting_label;
  /* owned */
  LcipSession *session;
  GMenu *cameras;

  guint tick;
  gboolean has_picture;
};

G_DEFINE_FINAL_TYPE(LcipPicturePanel, lcip_picture_panel, GTK_TYPE_WIDGET)

/* ---- the picture: taken from the session once per drawn frame at most ---- */

static GdkTexture *texture_new(LcipTensor *picture) {
  const LcipShape *shape = lcip_tensor_get_shape(picture);
  int height = (int)shape->dims[0], width = (int)shape->dims[1];
  g_autoptr(GBytes) bytes =
      g_bytes_new_with_free_func(lcip_tensor_get_data(picture), (gsize)width * height * 3,
                                 (GDestroyNotify)lcip_tensor_unref, lcip_tensor_ref(picture));
  return gdk_memory_texture_new(width, height, GDK_MEMORY_R8G8B8, bytes, (gsize)width * 3);
}

static gboolean is_picture(LcipTensor *tensor) {
  const LcipShape *shape = lcip_tensor_get_shape(tensor);
  return lcip_tensor_get_spec(tensor)->type == LCIP_TYPE_U8 && shape->rank == 3 &&
         shape->dims[0] > 0 && shape->dims[1] > 0 && shape->dims[2] == 3;
}

static gboolean show_newest(GtkWidget *widget, GdkFrameClock *clock, gpointer data) {
  LcipPicturePanel *self = LCIP_PICTURE_PANEL(widget);
  g_autoptr(LcipTensor) picture = lcip_session_take_picture(self->session);
  if (!picture || !is_picture(picture))
    return G_SOURCE_CONTINUE;
  g_autoptr(GdkTexture) texture = texture_new(picture);
  gtk_picture_set_paintable(self->picture, GDK_PAINTABLE(texture));
  if (!self->has_picture) {
    self->has_picture = TRUE;
    gtk_stack_set_visible_child_name(self->stack, "live");
  }
  return G_SOURCE_CONTINUE;
}

static void update_tick(LcipPicturePanel *self, gboolean running) {
  if (running && !self->tick)
    self->tick = gtk_widget_add_tick_callback(GTK_WIDGET(self), show_newest, NULL, NULL);
  if (running || !self->tick)
    return;
  gtk_widget_remove_tick_callback(GTK_WIDGET(self), self->tick);
  self->tick = 0;
  self->has_picture = FALSE;
  gtk_picture_set_paintable(self->picture, NULL);
}

/* ---- states ---- */

static const char *idle_words(LcipPicturePanel *self, LcipSessionState state) {
  LcipGraph *graph = lcip_session_get_graph(self->session);
  if (state == LCIP_SESSION_RUNNING)
    return "Running on random input: no picture is connected";
  if (state == LCIP_SESSION_STOPPING)
    return "Stopping…";
  if (graph && lcip_session_find_source(graph) < 0)
    return "This network has no picture connected";
  return "Press Run to open the camera";
}

static void update_results(LcipPicturePanel *self) {
  g_autoptr(GPtrArray) results = lcip_session_get_results(self->session);
  g_autofree char *text = lcip_results_to_text(results, lcip_session_get_graph(self->session));
  gtk_label_set_text(self->results_label, text);
  gtk_widget_set_visible(GTK_WIDGET(self->results_label), *text != 0);
}

/* What takes longest while a run starts. */
static const char *starting_words(LcipPicturePanel *self) {
  const LcipGraph *graph = lcip_session_get_graph(self->session);
  for (guint i = 0; graph && i < graph->lanes->len; i++)
    if (((const LcipLane *)graph->lanes->pdata[i])->kind == LCIP_LANE_REMOTE)
      return "Connecting to workers, preparing kernels…";
  return "Preparing kernels and the picture source…";
}

static void update_state(LcipPicturePanel *self) {
  LcipSessionState state = lcip_session_get_state(self->session);
  const char *trouble = lcip_session_get_source_trouble(self->session);
  const char *words = lcip_session_get_source_words(self->session);
  gtk_label_set_text(self->idle_label, idle_words(self, state));
  gtk_label_set_text(self->trouble_label, trouble ? trouble : "");
  gtk_label_set_text(self->source_label, words ? words : "");
  gtk_widget_set_tooltip_text(GTK_WIDGET(self->source_label), words);
  const char *page = trouble                                              ? "trouble"
                     : state == LCIP_SESSION_STARTING                     ? "starting"
                     : self->has_picture && state == LCIP_SESSION_RUNNING ? "live"
                                                                          : "idle";
  gtk_stack_set_visible_child_name(self->stack, page);
  gtk_label_set_text(self->starting_label, starting_words(self));
  update_results(self);
  update_tick(self, state == LCIP_SESSION_RUNNING);
}

static void use_demo(LcipPicturePanel *self) {
  lcip_session_set_source(self->session, "demo");
  lcip_session_run(self->session);
}

/* ---- the menu of sources ---- */

static void menu_append(GMenu *menu, const char *label, const char *what) {
  g_autoptr(GMenuItem) item = g_menu_item_new(label, NULL);
  g_menu_item_set_action_and_target(item, "win.source", "s", what);
  g_menu_append_item(menu, item);
}

static void list_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable) {
  g_task_return_pointer(task, lcip_media_list_cameras(), (GDestroyNotify)g_ptr_array_unref);
}

static void list_done(GObject *object, GAsyncResult *result, gpointer data) {
  LcipPicturePanel *self = LCIP_PICTURE_PANEL(object);
  g_autoptr(GPtrArray) cameras = g_task_propagate_pointer(G_TASK(result), NULL);
  if (!self->cameras)
    return;
  g_menu_remove_all(self->cameras);
  for (guint i = 0; cameras && i < cameras->len; i++) {
    const LcipCamera *camera = cameras->pdata[i];
    menu_append(self->cameras, camera->name, camera->id);
  }
}

/* Cameras come and go: they are listed when the menu opens. */
static void menu_opened(LcipPicturePanel *self) {
  g_autoptr(GTask) task = g_task_new(self, NULL, list_done, NULL);
  g_task_run_in_thread(task, list_thread);
}

static GMenuModel *source_menu(LcipPicturePanel *self) {
  GMenu *menu = g_menu_new();
  g_autoptr(GMenu) fixed = g_menu_new();
  menu_append(fixed, "First Camera", "");
  self->cameras = g_menu_new();
  g_menu_append_section(fixed, NULL, G_MENU_MODEL(self->cameras));
  menu_append(fixed, "Demo Picture", "demo");
  g_menu_append(fixed, "Picture or Video File…", "win.source-file");
  g_menu_append_section(menu, NULL, G_MENU_MODEL(fixed));
  return G_MENU_MODEL(menu);
}

/* ---- GObject ---- */

static void picture_panel_dispose(GObject *object) {
  LcipPicturePanel *self = LCIP_PICTURE_PANEL(object);
  if (self->session)
    g_signal_handlers_disconnect_by_data(self->session, self);
  g_clear_object(&self->session);
  g_clear_object(&self->cameras);
  g_clear_pointer(&self->box, gtk_widget_unparent);
  G_OBJECT_CLASS(lcip_picture_panel_parent_class)->dispose(object);
}

static void lcip_picture_panel_class_init(LcipPicturePanelClass *klass) {
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);
  G_OBJECT_CLASS(klass)->dispose = picture_panel_dispose;
  gtk_widget_class_set_template_from_resource(widget_class,
                                              "/org/lcip/Editor/lcip-picture-panel.ui");
  gtk_widget_class_bind_template_child(widget_class, LcipPicturePanel, box);
  gtk_widget_class_bind_template_child(widget_class, LcipPicturePanel, stack);
  gtk_widget_class_bind_template_child(widget_class, LcipPicturePanel, picture);
  gtk_widget_class_bind_template_child(widget_class, LcipPicturePanel, idle_label);
  gtk_widget_class_bind_template_child(widget_class, LcipPicturePanel, trouble_label);
  gtk_widget_class_bind_template_child(widget_class, LcipPicturePanel, demo_button);
  gtk_widget_class_bind_template_child(widget_class, LcipPicturePanel, source_label);
  gtk_widget_class_bind_template_child(widget_class, LcipPicturePanel, source_button);
  gtk_widget_class_bind_template_child(widget_class, LcipPicturePanel, results_label);
  gtk_widget_class_bind_template_child(widget_class, LcipPicturePanel, starting_label);
  gtk_widget_class_bind_template_callback(widget_class, use_demo);
}

static void lcip_picture_panel_init(LcipPicturePanel *self) {
  gtk_widget_init_template(GTK_WIDGET(self));
  g_autoptr(GMenuModel) menu = source_menu(self);
  gtk_menu_button_set_menu_model(self->source_button, menu);
  g_signal_connect_swapped(gtk_menu_button_get_popover(self->source_button), "show",
                           G_CALLBACK(menu_opened), self);
}

void lcip_picture_panel_set_session(LcipPicturePanel *self, LcipSession *session) {
  g_set_object(&self->session, session);
  g_signal_connect_swapped(session, "state-changed", G_CALLBACK(update_state), self);
  g_signal_connect_swapped(session, "document-changed", G_CALLBACK(update_state), self);
  g_signal_connect_swapped(session, "graph-changed", G_CALLBACK(update_state), self);
  g_signal_connect_swapped(session, "profile-changed", G_CALLBACK(update_results), self);
  update_state(self);
}
