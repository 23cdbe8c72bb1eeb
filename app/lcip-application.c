#include "config.h"

#include "lcip-application.h"

#include "lcip-window.h"

struct _LcipApplication {
  AdwApplication parent;
};

G_DEFINE_FINAL_TYPE(LcipApplication, lcip_application, ADW_TYPE_APPLICATION)

static const struct {
  const char *action;
  const char *keys[4];
} accels[] = {
    {"win.open", {"<Control>o"}},
    {"win.save", {"<Control>s"}},
    {"win.save-as", {"<Control><Shift>s"}},
    {"win.undo", {"<Control>z"}},
    {"win.redo", {"<Control><Shift>z"}},
    {"win.run", {"F5", "<Control>r"}},
    {"win.zoom-in", {"<Control>plus", "<Control>equal", "<Control>KP_Add"}},
    {"win.zoom-out", {"<Control>minus", "<Control>KP_Subtract"}},
    {"win.zoom-original", {"<Control>0", "<Control>KP_0"}},
    {"win.find", {"<Control>f"}},
    {"win.commands", {"<Control>k"}},
    {"win.problems", {"<Control><Shift>m"}},
    {"win.show-help-overlay", {"<Control>question"}},
    {"window.close", {"<Control>w"}},
    {"app.quit", {"<Control>q"}},
};

/* ---- actions ---- */

static void action_about(GSimpleAction *action, GVariant *parameter, gpointer data) {
  GtkWindow *window = gtk_application_get_active_window(GTK_APPLICATION(data));
  adw_show_about_window(window, "application-name", "LCIP", "application-icon", LCIP_APPLICATION_ID,
                        "version", LCIP_VERSION, "license-type", GTK_LICENSE_APACHE_2_0, "comments",
                        "Convolutional neural networks as dataflow graphs, on the lanes you choose",
                        NULL);
}

/* Each window asks about its own unsaved changes. */
static void action_quit(GSimpleAction *action, GVariant *parameter, gpointer data) {
  g_autoptr(GList) windows = g_list_copy(gtk_application_get_windows(GTK_APPLICATION(data)));
  for (GList *i = windows; i; i = i->next)
    if (LCIP_IS_WINDOW(i->data))
      gtk_window_close(i->data);
}

static const GActionEntry entries[] = {
    {.name = "about", .activate = action_about},
    {.name = "quit", .activate = action_quit},
};

/* ---- windows ---- */

static LcipWindow *window_new(LcipApplication *self) {
  LcipWindow *window = lcip_window_new(ADW_APPLICATION(self));
  g_autoptr(GtkBuilder) builder =
      gtk_builder_new_from_resource("/org/lcip/Editor/lcip-shortcuts.ui");
  gtk_application_window_set_help_overlay(
      GTK_APPLICATION_WINDOW(window),
      GTK_SHORTCUTS_WINDOW(gtk_builder_get_object(builder, "help_overlay")));
  return window;
}

/* The file is opened in a window of its own, unless one is still empty. */
static LcipWindow *free_window(LcipApplication *self) {
  GList *windows = gtk_application_get_windows(GTK_APPLICATION(self));
  for (GList *i = windows; i; i = i->next)
    if (LCIP_IS_WINDOW(i->data) && !lcip_session_get_document(lcip_window_get_session(i->data)) &&
        !lcip_session_is_loading(lcip_window_get_session(i->data)))
      return i->data;
  return window_new(self);
}

static void application_activate(GApplication *application) {
  LcipApplication *self = LCIP_APPLICATION(application);
  GtkWindow *window = gtk_application_get_active_window(GTK_APPLICATION(self));
  gtk_window_present(window ? window : GTK_WINDOW(window_new(self)));
}

static int application_command_line(GApplication *application, GApplicationCommandLine *line) {
  LcipApplication *self = LCIP_APPLICATION(application);
  GVariantDict *options = g_application_command_line_get_options_dict(line);
  const char *source = NULL;
  g_auto(GStrv) files = NULL;
  gboolean run = g_variant_dict_contains(options, "run");
  g_variant_dict_lookup(options, "source", "&s", &source);
  g_variant_dict_lookup(options, G_OPTION_REMAINING, "^aay", &files);
  if (files && g_strv_length(files) > 1) {
    g_application_command_line_printerr(line, "lcip-editor: expected one file\n");
    return 2;
  }
  if (!files) {
    application_activate(application);
    return 0;
  }
  LcipWindow *window = free_window(self);
  if (source)
    lcip_session_set_source(lcip_window_get_session(window), source);
  g_autoptr(GFile) file = g_application_command_line_create_file_for_arg(line, files[0]);
  lcip_window_open(window, file, FALSE, run);
  gtk_window_present(GTK_WINDOW(window));
  return 0;
}

static void application_startup(GApplication *application) {
  G_APPLICATION_CLASS(lcip_application_parent_class)->startup(application);
  gtk_window_set_default_icon_name(LCIP_APPLICATION_ID);
  for (gsize i = 0; i < G_N_ELEMENTS(accels); i++)
    gtk_application_set_accels_for_action(GTK_APPLICATION(application), accels[i].action,
                                          (const char *const *)accels[i].keys);
}

static const GOptionEntry options[] = {
    {"run", 0, 0, G_OPTION_ARG_NONE, NULL, "Start running as soon as the file is open", NULL},
    {"source", 0, 0, G_OPTION_ARG_STRING, NULL,
     "Where pictures come from: camera, camera:ID, demo, or a file", "WHAT"},
    {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, NULL, NULL, "[FILE]"},
    {NULL},
};

static void lcip_application_class_init(LcipApplicationClass *klass) {
  GApplicationClass *application_class = G_APPLICATION_CLASS(klass);
  application_class->startup = application_startup;
  application_class->activate = application_activate;
  application_class->command_line = application_command_line;
}

static void lcip_application_init(LcipApplication *self) {
  g_application_add_main_option_entries(G_APPLICATION(self), options);
  g_action_map_add_action_entries(G_ACTION_MAP(self), entries, G_N_ELEMENTS(entries), self);
}

LcipApplication *lcip_application_new(void) {
  return g_object_new(LCIP_TYPE_APPLICATION, "application-id", LCIP_APPLICATION_ID, "flags",
                      G_APPLICATION_HANDLES_COMMAND_LINE, "resource-base-path", "/org/lcip/Editor",
                      NULL);
}
