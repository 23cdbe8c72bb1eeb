#include "config.h"

#include "lcip-open-dims.h"
#include "lcip-palette.h"
#include "lcip-session-private.h"

#include <string.h>

/* Edits: each makes an edited copy of the graph and hands it to the document as one command. */

static char *move_label(const LcipGraph *graph, const char *const *ids, const char *lane) {
  guint n = g_strv_length((char **)ids);
  int first = n == 1 ? lcip_graph_find_actor(graph, ids[0]) : -1;
  if (first < 0)
    return g_strdup_printf("Move %u Actors to %s", n, lane);
  g_autofree char *actor = lcip_format_actor(lcip_graph_actor(graph, first));
  return g_strdup_printf("Move %s to %s", actor, lane);
}

static void apply_mapping(LcipSession *self, LcipGraph *edited, const char *label) {
  g_autoptr(LcipGraph) before = lcip_graph_ref(lcip_document_graph(self->document));
  lcip_session_change_begin(self, label, before);
  /* "changed" compares with the graph that the change made */
  self->change_after = edited;
  lcip_document_apply(self->document, edited, label, NULL);
  self->change_after = self->change.state != LCIP_CHANGE_NONE ? edited : NULL;
}

/* Moved actors are laid out anew: where they were placed by hand means nothing on another lane. */
void lcip_session_move_actors(LcipSession *self, const char *const *ids, const char *lane) {
  if (!self->document || !ids || !ids[0])
    return;
  LcipGraph *edited = lcip_graph_copy(lcip_document_graph(self->document));
  LcipMapping *mapping = lcip_graph_find_mapping(edited, NULL);
  g_autofree char *label = move_label(edited, ids, lane);
  for (guint i = 0; ids[i]; i++) {
    lcip_mapping_assign(mapping, ids[i], lane);
    lcip_graph_set_position(edited, ids[i], NULL);
  }
  apply_mapping(self, edited, label);
}

/* @positions: LcipPosition of each of @ids. */
void lcip_session_place_actors(LcipSession *self, const char *const *ids, GArray *positions) {
  if (!self->document || !ids || !ids[0])
    return;
  LcipGraph *edited = lcip_graph_copy(lcip_document_graph(self->document));
  for (guint i = 0; ids[i] && i < positions->len; i++)
    lcip_graph_set_position(edited, ids[i], &g_array_index(positions, LcipPosition, i));
  lcip_document_apply(self->document, edited, ids[1] ? "Place Actors" : "Place Actor", NULL);
}

void lcip_session_tidy(LcipSession *self) {
  if (!self->document)
    return;
  LcipGraph *edited = lcip_graph_copy(lcip_document_graph(self->document));
  for (guint i = 0; i < edited->actors->len; i++)
    lcip_graph_set_position(edited, lcip_graph_actor(edited, i)->id, NULL);
  lcip_document_apply(self->document, edited, "Tidy", NULL);
}

gboolean lcip_session_set_attr(LcipSession *self, const char *id, const char *attr,
                               const char *text, GError **error) {
  return lcip_document_set_attr(self->document, id, attr, text, error);
}

void lcip_session_settle_dims(LcipSession *self, const GArray *dims) {
  LcipGraph *edited = lcip_graph_copy(lcip_document_graph(self->document));
  lcip_graph_settle_dims(edited, dims);
  lcip_document_apply(self->document, edited, "Set Input Sizes", NULL);
}

void lcip_session_pin(LcipSession *self, const char *id, const char *kernel) {
  lcip_document_pin(self->document, id, kernel);
}

/* ---- mappings ---- */

void lcip_session_set_mapping(LcipSession *self, const char *name) {
  LcipGraph *graph = lcip_session_get_graph(self);
  if (!graph || g_strcmp0(graph->active_mapping, name) == 0 ||
      !lcip_graph_find_mapping(graph, name))
    return;
  LcipGraph *edited = lcip_graph_copy(graph);
  g_free(edited->active_mapping);
  edited->active_mapping = g_strdup(name);
  g_autofree char *label = g_strdup_printf("Use Mapping %s", name);
  apply_mapping(self, edited, label);
}

static void copy_strings(GHashTable *to, GHashTable *from) {
  GHashTableIter iter;
  gpointer key, value;
  g_hash_table_iter_init(&iter, from);
  while (g_hash_table_iter_next(&iter, &key, &value))
    g_hash_table_insert(to, g_strdup(key), g_strdup(value));
}

static char *free_mapping_name(const LcipGraph *graph, const char *wish) {
  for (guint i = 2;; i++) {
    g_autofree char *name = g_strdup_printf("%s %u", wish, i);
    gboolean taken = FALSE;
    for (guint j = 0; j < graph->mappings->len; j++)
      taken |= g_str_equal(((LcipMapping *)graph->mappings->pdata[j])->name, name);
    if (!taken)
      return g_steal_pointer(&name);
  }
}

void lcip_session_copy_mapping(LcipSession *self) {
  LcipGraph *graph = lcip_session_get_graph(self);
  if (!graph)
    return;
  LcipGraph *edited = lcip_graph_copy(graph);
  const LcipMapping *from = lcip_graph_find_mapping(edited, NULL);
  g_autofree char *name = free_mapping_name(edited, from->name);
  LcipMapping *to = lcip_graph_add_mapping(edited, name);
  copy_strings(to->lanes, from->lanes);
  copy_strings(to->pins, from->pins);
  copy_strings(to->fallbacks, from->fallbacks);
  g_free(edited->active_mapping);
  edited->active_mapping = g_strdup(name);
  lcip_document_apply(self->document, edited, "Copy Mapping", NULL);
}

/* ---- lanes ---- */

/* "tcp://board.local:5577/cpu" is called "board.local". */
static char *worker_name(const char *id) {
  const char *start = strstr(id, "://");
  start = start ? start + 3 : id;
  const gsize n = strcspn(start, "/");
  const char *colon = g_strrstr_len(start, (gssize)n, ":");
  return g_strndup(start, colon && g_str_has_prefix(id, "tcp://") ? (gsize)(colon - start) : n);
}

static char *free_lane_name(const LcipGraph *graph, const LcipDevice *device) {
  g_autofree char *worker = device->kind == LCIP_LANE_REMOTE ? worker_name(device->id) : NULL;
  const char *kind = device->kind == LCIP_LANE_CPU      ? "CPU"
                     : device->kind == LCIP_LANE_OPENCL ? "OpenCL"
                                                        : worker;
  for (guint i = 1;; i++) {
    g_autofree char *name = i == 1 ? g_strdup(kind) : g_strdup_printf("%s %u", kind, i);
    if (!lcip_graph_find_lane(graph, name))
      return g_steal_pointer(&name);
  }
}

void lcip_session_add_lane(LcipSession *self, const LcipDevice *device) {
  g_autoptr(GError) error = NULL;
  g_autofree char *name = free_lane_name(lcip_document_graph(self->document), device);
  const char *hint = device->kind == LCIP_LANE_CPU ? NULL : device->id;
  if (!lcip_document_add_lane(self->document, name, device->kind, 0, hint, &error))
    lcip_session_emit_failed(self, "Could Not Add Lane", error->message);
}

void lcip_session_remove_lane(LcipSession *self, const char *lane) {
  g_autoptr(GError) error = NULL;
  if (!lcip_document_remove_lane(self->document, lane, &error))
    lcip_session_emit_failed(self, "Could Not Remove Lane", error->message);
}

void lcip_session_set_lane_device(LcipSession *self, const char *name, const LcipDevice *device) {
  LcipGraph *edited = lcip_graph_copy(lcip_document_graph(self->document));
  LcipLane *lane = lcip_graph_find_lane(edited, name);
  if (!lane) {
    lcip_graph_unref(edited);
    return;
  }
  g_free(lane->device);
  lane->device = g_strdup(device->id);
  lane->kind = device->kind;
  g_autofree char *label = g_strdup_printf("Assign %s to %s", device->name, name);
  apply_mapping(self, edited, label);
}

void lcip_session_empty_lane(LcipSession *self, const char *lane) {
  LcipGraph *graph = lcip_document_graph(self->document);
  LcipMapping *mapping = lcip_graph_find_mapping(graph, NULL);
  LcipLane *cpu = lcip_graph_first_cpu_lane(graph);
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
  for (guint i = 0; i < graph->actors->len; i++)
    if (g_strcmp0(lcip_graph_lane_of(graph, mapping, i), lane) == 0)
      g_strv_builder_add(builder, lcip_graph_actor(graph, i)->id);
  g_auto(GStrv) ids = g_strv_builder_end(builder);
  if (cpu)
    lcip_session_move_actors(self, (const char *const *)ids, cpu->name);
}
