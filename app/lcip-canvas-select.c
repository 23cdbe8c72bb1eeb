#include "config.h"

#include "lcip-canvas-private.h"

/* What is selected, and what the canvas asks for on its behalf. */

/* ---- selection ---- */

void lcip_canvas_selection_changed(LcipCanvas *self) {
  gtk_widget_queue_draw(GTK_WIDGET(self));
  g_signal_emit_by_name(self, "selection-changed");
}

void lcip_canvas_clear_selection(LcipCanvas *self) {
  for (guint i = 0; i < self->actors->len; i++)
    lcip_actor_widget_set_selected(lcip_canvas_actor(self, i), FALSE);
}

char **lcip_canvas_get_selection(LcipCanvas *self) {
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
  for (guint i = 0; i < self->actors->len; i++)
    if (lcip_actor_widget_get_selected(lcip_canvas_actor(self, i)))
      g_strv_builder_add(builder, lcip_actor_widget_get_id(lcip_canvas_actor(self, i)));
  return g_strv_builder_end(builder);
}

void lcip_canvas_select(LcipCanvas *self, const char *const *ids) {
  lcip_canvas_clear_selection(self);
  for (guint i = 0; ids && ids[i]; i++) {
    int index = GPOINTER_TO_INT(g_hash_table_lookup(self->by_id, ids[i])) - 1;
    if (index >= 0)
      lcip_actor_widget_set_selected(lcip_canvas_actor(self, index), TRUE);
  }
  lcip_canvas_selection_changed(self);
}

void lcip_canvas_reveal(LcipCanvas *self, const char *id) {
  int index = GPOINTER_TO_INT(g_hash_table_lookup(self->by_id, id)) - 1;
  if (index < 0)
    return;
  if (self->zoom < LCIP_CANVAS_ZOOM_TITLE)
    lcip_canvas_set_zoom(self, 1);
  lcip_canvas_select(self, (const char *const[]){id, NULL});
  lcip_canvas_focus_actor(self, index);
}

/* ---- requests ---- */

static char **ids_of(LcipCanvas *self, const GArray *actors) {
  char **ids = g_new0(char *, actors->len + 1);
  for (guint i = 0; i < actors->len; i++)
    ids[i] =
        g_strdup(lcip_actor_widget_get_id(lcip_canvas_actor(self, g_array_index(actors, int, i))));
  return ids;
}

void lcip_canvas_emit_move(LcipCanvas *self, const GArray *actors, int lane) {
  g_auto(GStrv) ids = ids_of(self, actors);
  g_autofree char *name = g_strdup(((LcipLane *)self->graph->lanes->pdata[lane])->name);
  g_signal_emit_by_name(self, "move-actors", ids, name);
}

void lcip_canvas_emit_place(LcipCanvas *self, const GArray *actors, double dx, double dy) {
  g_auto(GStrv) ids = ids_of(self, actors);
  g_signal_emit_by_name(self, "place-actors", ids, dx, dy);
}

/* @lane -1: over none that would take them. */
void lcip_canvas_emit_hover(LcipCanvas *self, const GArray *actors, int lane) {
  g_auto(GStrv) ids = ids_of(self, actors);
  g_autofree char *name =
      lane >= 0 ? g_strdup(((LcipLane *)self->graph->lanes->pdata[lane])->name) : NULL;
  g_signal_emit_by_name(self, "hover-lane", ids, name);
}

void lcip_canvas_emit_refused(LcipCanvas *self, const char *why) {
  g_signal_emit_by_name(self, "refused", why);
}

char *lcip_canvas_refusal(LcipCanvas *self, const GArray *actors, int lane) {
  const LcipLane *target = self->graph->lanes->pdata[lane];
  for (guint i = 0; i < actors->len; i++) {
    int actor = g_array_index(actors, int, i);
    const char *why = NULL;
    if (!lcip_lane_can_run(self->graph, actor, target->kind, &why))
      return g_strdup_printf("%s: %s", lcip_actor_title(lcip_graph_actor(self->graph, actor)), why);
  }
  return NULL;
}

static GArray *selected_actors(LcipCanvas *self) {
  GArray *actors = g_array_new(FALSE, FALSE, sizeof(int));
  for (int i = 0; i < (int)self->actors->len; i++)
    if (lcip_actor_widget_get_selected(lcip_canvas_actor(self, i)))
      g_array_append_val(actors, i);
  return actors;
}

void lcip_canvas_move_selection(LcipCanvas *self, int by) {
  g_autoptr(GArray) actors = selected_actors(self);
  if (!self->graph || actors->len == 0)
    return;
  g_autofree char *first_refusal = NULL;
  int lane = self->layout->actors[g_array_index(actors, int, 0)].lane + by;
  for (; lane >= 0 && lane < (int)self->graph->lanes->len; lane += by) {
    g_autofree char *refusal = lcip_canvas_refusal(self, actors, lane);
    if (!refusal) {
      self->show_cursor = TRUE;
      lcip_canvas_emit_move(self, actors, lane);
      return;
    }
    if (!first_refusal)
      first_refusal = g_steal_pointer(&refusal);
  }
  lcip_canvas_emit_refused(self, first_refusal ? first_refusal : "There is no further lane");
}
