#pragma once

#include "lcip-application.h"
#include "lcip-canvas-private.h"
#include "lcip-window-private.h"

/* What the files of test-editor share: the editor in process, on a display, and its one window.
 * Nothing here waits for a time: it waits until something is so, and fails after a deadline. */

extern LcipApplication *application;
extern LcipWindow *window;
extern LcipSession *session;
extern LcipCanvas *canvas;

typedef gboolean (*Condition)(void);
void wait_until(Condition condition, const char *what);

/* Conditions. is_planned: with the graph as it is. is_allocated: the canvas has given its lanes and
 * actors their places. */
gboolean is_planned(void);
gboolean is_allocated(void);
gboolean is_stopped(void);
gboolean has_profile(void);
gboolean dialog_is_open(void);
gboolean no_dialog(void);

void open_path(const char *path);
void open_example(void);
const char *lane_of(const char *id);
/** actor_of: the first of an operator. */
const char *actor_of(const char *op);
const char *label_of_actor(const char *id);
const char *second_lane(void);
void activate(const char *action, GVariant *target);
/** close_dialog: as Esc does: the answer is the dialog's close response. */
void close_dialog(void);
/** answer_dialog: as the button of @response does. */
void answer_dialog(const char *response);
/** open_dialog: the newest, or NULL. */
AdwMessageDialog *open_dialog(void);
/** find_label: the first label below @widget that has @part in it, or NULL. */
GtkWidget *find_label(GtkWidget *widget, const char *part);
gboolean has_visible_label(GtkWidget *widget, const char *part);
gboolean has_label(GtkWidget *widget, const char *part);
/** take_picture: of @widget (NULL: the window), into the folder LCIP_TEST_PICTURES where the
 * environment has one, for people to look at. */
void take_picture(GtkWidget *widget, const char *name);

void add_remote_tests(void);
