#include "config.h"

#include <stdlib.h>

#include "lcip-application.h"
#include "lcip-io.h"
#include "lcip-window.h"

/* How often the editor draws while every lane is busy: opens a graph, runs it on the demo picture
 * and, beside it, a second run of the same graph that takes frames as fast as the lanes give them.
 * Prints the intervals between drawn frames and what each lane was used. tests/with-display.sh 60
 * build/tests/bench-ui GRAPH.xml MAPPING SECONDS */

static GArray *intervals; /* double, ms */
static gint64 last_paint_us;

static void after_paint(GdkFrameClock *clock, gpointer data) {
  const gint64 now = g_get_monotonic_time();
  const double interval_ms = (double)(now - last_paint_us) / 1e3;
  if (last_paint_us)
    g_array_append_val(intervals, interval_ms);
  last_paint_us = now;
}

static gboolean end_loop(gpointer loop) {
  g_main_loop_quit(loop);
  return G_SOURCE_REMOVE;
}

static void spin(guint seconds) {
  g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
  g_timeout_add_seconds(seconds, end_loop, loop);
  g_main_loop_run(loop);
}

static int compare(gconstpointer a, gconstpointer b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double quantile(double q) {
  return g_array_index(intervals, double, (guint)(q * (intervals->len - 1)));
}

static LcipRun *start_load(LcipGraph *graph, const char *mapping, GError **error) {
  g_autoptr(LcipMediaSource) source = lcip_media_open("demo", LCIP_MEDIA_EVERY_FRAME, error);
  if (!source)
    return NULL;
  int width, height;
  lcip_media_source_max_size(source, &width, &height);
  LcipShape size = lcip_shape(3, height, width, 3);
  g_autoptr(GHashTable) sizes = g_hash_table_new(g_str_hash, g_str_equal);
  const int actor = lcip_session_find_source(graph);
  if (actor >= 0)
    g_hash_table_insert(sizes, lcip_graph_actor(graph, actor)->id, &size);
  const LcipPlanOptions options = {.mapping = mapping, .source_sizes = sizes};
  g_autoptr(LcipPlan) plan = lcip_plan_new(graph, &options, NULL, NULL, error);
  const LcipRunOptions run = {.source = source, .profile = TRUE};
  return plan ? lcip_run_start(plan, &run, error) : NULL;
}

static void report(LcipRun *load) {
  g_autoptr(LcipProfile) profile = lcip_run_profile(load);
  g_array_sort(intervals, compare);
  if (intervals->len == 0) {
    g_print("no frame was drawn\n");
    return;
  }
  g_print("%u frames drawn; interval ms: median %.1f, 95 %% %.1f, 99 %% %.1f, longest %.1f\n",
          intervals->len, quantile(0.5), quantile(0.95), quantile(0.99), quantile(1));
  for (guint i = 0; profile && i < lcip_plan_n_lanes(profile->plan); i++)
    g_print("lane %s of the load: %.0f %% used\n", lcip_plan_lane(profile->plan, i)->name,
            100 * profile->lanes[i].utilisation);
}

int main(int argc, char **argv) {
  g_autoptr(GError) error = NULL;
  if (argc != 4) {
    g_printerr("usage: bench-ui GRAPH.xml MAPPING SECONDS\n");
    return 2;
  }
  g_autoptr(LcipGraph) graph = lcip_graph_load(argv[1], NULL, &error);
  g_autoptr(LcipRun) load = graph ? start_load(graph, argv[2], &error) : NULL;
  if (!load) {
    g_printerr("bench-ui: %s\n", error->message);
    return 1;
  }
  LcipApplication *application = lcip_application_new();
  g_application_set_flags(G_APPLICATION(application), G_APPLICATION_NON_UNIQUE);
  if (!g_application_register(G_APPLICATION(application), NULL, &error)) {
    g_printerr("bench-ui: %s\n", error->message);
    return 1;
  }
  LcipWindow *window = lcip_window_new(ADW_APPLICATION(application));
  g_autoptr(GFile) file = g_file_new_for_path(argv[1]);
  gtk_window_present(GTK_WINDOW(window));
  lcip_session_set_source(lcip_window_get_session(window), "demo");
  lcip_window_open(window, file, FALSE, TRUE);
  intervals = g_array_new(FALSE, FALSE, sizeof(double));
  spin(5); /* opening, planning, the first frames */
  g_signal_connect(gtk_widget_get_frame_clock(GTK_WIDGET(window)), "after-paint",
                   G_CALLBACK(after_paint), NULL);
  spin((guint)MAX(1, atoi(argv[3])));
  report(load);
  lcip_run_cancel(load);
  return 0;
}
