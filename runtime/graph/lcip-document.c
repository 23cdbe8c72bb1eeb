#include "config.h"
#include "lcip-document.h"

#include <string.h>

/* Undo holds whole states: graphs share their actors, so a state costs little, and going back is
 * exact. A command is the state that it led to; states[0] is where the document began. */

typedef struct {
  LcipGraph *graph;
  char *label;     /* of the command that led here; NULL for the first state */
  char *merge_key; /* may be NULL */
} State;

struct _LcipDocument {
  GObject parent_instance;
  GPtrArray *states; /* State */
  guint current;
  LcipGraph *saved; /* owned */
  GFile *file;      /* owned, may be NULL */
};

enum {
  PROP_0,
  PROP_TITLE,
  PROP_MODIFIED,
  PROP_CAN_UNDO,
  PROP_CAN_REDO,
  PROP_UNDO_LABEL,
  PROP_REDO_LABEL,
  N_PROPS
};

static GParamSpec *props[N_PROPS];
static guint signal_changed;

G_DEFINE_FINAL_TYPE(LcipDocument, lcip_document, G_TYPE_OBJECT)

static void state_free(gpointer data) {
  State *state = data;
  lcip_graph_unref(state->graph);
  g_free(state->label);
  g_free(state->merge_key);
  g_free(state);
}

static State *state_at(LcipDocument *self, guint i) {
  return g_ptr_array_index(self->states, i);
}

/* The name of the file without its folder and ".xml", else the graph's, else "Untitled". */
static char *document_title(LcipDocument *self) {
  if (self->file) {
    g_autofree char *base = g_file_get_basename(self->file);
    char *title = g_filename_display_name(base);
    if (g_str_has_suffix(title, ".xml"))
      title[strlen(title) - 4] = 0;
    return title;
  }
  const char *name = lcip_document_graph(self)->name;
  return g_strdup(name && *name ? name : "Untitled");
}

static void document_get_property(GObject *object, guint id, GValue *value, GParamSpec *pspec) {
  LcipDocument *self = LCIP_DOCUMENT(object);
  switch (id) {
  case PROP_TITLE:
    g_value_take_string(value, document_title(self));
    break;
  case PROP_MODIFIED:
    g_value_set_boolean(value, lcip_document_modified(self));
    break;
  case PROP_CAN_UNDO:
    g_value_set_boolean(value, lcip_document_undo_label(self) != NULL);
    break;
  case PROP_CAN_REDO:
    g_value_set_boolean(value, lcip_document_redo_label(self) != NULL);
    break;
  case PROP_UNDO_LABEL:
    g_value_set_string(value, lcip_document_undo_label(self));
    break;
  case PROP_REDO_LABEL:
    g_value_set_string(value, lcip_document_redo_label(self));
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
}

static void document_finalize(GObject *object) {
  LcipDocument *self = LCIP_DOCUMENT(object);
  g_ptr_array_unref(self->states);
  g_clear_pointer(&self->saved, lcip_graph_unref);
  g_clear_object(&self->file);
  G_OBJECT_CLASS(lcip_document_parent_class)->finalize(object);
}

static void lcip_document_class_init(LcipDocumentClass *class) {
  GObjectClass *object_class = G_OBJECT_CLASS(class);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;
  object_class->get_property = document_get_property;
  object_class->finalize = document_finalize;
  props[PROP_TITLE] = g_param_spec_string("title", NULL, NULL, NULL, flags);
  props[PROP_MODIFIED] = g_param_spec_boolean("modified", NULL, NULL, FALSE, flags);
  props[PROP_CAN_UNDO] = g_param_spec_boolean("can-undo", NULL, NULL, FALSE, flags);
  props[PROP_CAN_REDO] = g_param_spec_boolean("can-redo", NULL, NULL, FALSE, flags);
  props[PROP_UNDO_LABEL] = g_param_spec_string("undo-label", NULL, NULL, NULL, flags);
  props[PROP_REDO_LABEL] = g_param_spec_string("redo-label", NULL, NULL, NULL, flags);
  g_object_class_install_properties(object_class, N_PROPS, props);
  signal_changed = g_signal_new("changed", LCIP_TYPE_DOCUMENT, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                NULL, G_TYPE_NONE, 0);
}

static void lcip_document_init(LcipDocument *self) {
  self->states = g_ptr_array_new_with_free_func(state_free);
}

static void notify_all(LcipDocument *self) {
  g_object_freeze_notify(G_OBJECT(self));
  for (guint i = 1; i < N_PROPS; i++)
    g_object_notify_by_pspec(G_OBJECT(self), props[i]);
  g_object_thaw_notify(G_OBJECT(self));
}

static void emit_changed(LcipDocument *self) {
  notify_all(self);
  g_signal_emit(self, signal_changed, 0);
}

static void push_state(LcipDocument *self, LcipGraph *graph, const char *label,
                       const char *merge_key) {
  State *state = g_new0(State, 1);
  state->graph = graph;
  state->label = g_strdup(label);
  state->merge_key = g_strdup(merge_key);
  g_ptr_array_add(self->states, state);
  self->current = self->states->len - 1;
}

LcipDocument *lcip_document_new(LcipGraph *graph, GFile *file) {
  LcipDocument *self = g_object_new(LCIP_TYPE_DOCUMENT, NULL);
  push_state(self, lcip_graph_ref(graph), NULL, NULL);
  self->saved = lcip_graph_ref(graph); /* nothing to lose before the first command */
  if (file)
    self->file = g_object_ref(file);
  return self;
}

LcipGraph *lcip_document_graph(LcipDocument *document) {
  return state_at(document, document->current)->graph;
}

GFile *lcip_document_file(LcipDocument *document) {
  return document->file;
}

void lcip_document_set_file(LcipDocument *document, GFile *file) {
  if (g_set_object(&document->file, file))
    g_object_notify_by_pspec(G_OBJECT(document), props[PROP_TITLE]);
}

/* A command joins the one before it where both have one merge key and that one's result is not
 * what the file holds: else undo could not come back to the saved state. */
static gboolean merges(LcipDocument *self, const char *merge_key) {
  const State *state = state_at(self, self->current);
  return merge_key && self->current > 0 && g_strcmp0(state->merge_key, merge_key) == 0 &&
         self->current == self->states->len - 1 && state->graph != self->saved;
}

void lcip_document_apply(LcipDocument *document, LcipGraph *graph, const char *label,
                         const char *merge_key) {
  if (merges(document, merge_key)) {
    State *state = state_at(document, document->current);
    lcip_graph_unref(state->graph);
    state->graph = graph;
    g_free(state->label);
    state->label = g_strdup(label);
  } else {
    g_ptr_array_set_size(document->states, (int)document->current + 1);
    push_state(document, graph, label, merge_key);
  }
  emit_changed(document);
}

/* What is merged must be in a row: after undo and redo a new command starts anew. */
static void forget_merge_key(LcipDocument *self) {
  State *state = state_at(self, self->current);
  g_clear_pointer(&state->merge_key, g_free);
}

void lcip_document_undo(LcipDocument *document) {
  if (document->current == 0)
    return;
  document->current--;
  forget_merge_key(document);
  emit_changed(document);
}

void lcip_document_redo(LcipDocument *document) {
  if (document->current + 1 >= document->states->len)
    return;
  document->current++;
  forget_merge_key(document);
  emit_changed(document);
}

const char *lcip_document_undo_label(LcipDocument *document) {
  return document->current > 0 ? state_at(document, document->current)->label : NULL;
}

const char *lcip_document_redo_label(LcipDocument *document) {
  return document->current + 1 < document->states->len
             ? state_at(document, document->current + 1)->label
             : NULL;
}

gboolean lcip_document_modified(LcipDocument *document) {
  return lcip_document_graph(document) != document->saved;
}

void lcip_document_mark_saved(LcipDocument *document, LcipGraph *graph) {
  LcipGraph *old = document->saved;
  document->saved = lcip_graph_ref(graph);
  g_clear_pointer(&old, lcip_graph_unref);
  notify_all(document);
}

/* ---- commands ---- */

static gboolean command_fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static gboolean command_fail(GError **error, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  g_autofree char *message = g_strdup_vprintf(format, ap);
  va_end(ap);
  g_set_error_literal(error, LCIP_ERROR, LCIP_ERROR_INVALID, message);
  return FALSE;
}

static int find_actor(LcipDocument *self, const char *id, GError **error) {
  const int index = lcip_graph_find_actor(lcip_document_graph(self), id);
  if (index < 0)
    command_fail(error, "expected the id of an actor, found \"%s\"", id);
  return index;
}

static char *count_label(const char *verb, guint n) {
  return n == 1 ? g_strdup_printf("%s Actor", verb) : g_strdup_printf("%s %u Actors", verb, n);
}

gboolean lcip_document_move_actors(LcipDocument *document, const char *const *ids, guint n,
                                   const char *lane, GError **error) {
  LcipGraph *graph = lcip_document_graph(document);
  if (!lcip_graph_find_lane(graph, lane))
    return command_fail(error, "expected the name of a lane, found \"%s\"", lane);
  for (guint i = 0; i < n; i++)
    if (find_actor(document, ids[i], error) < 0)
      return FALSE;
  if (n == 0)
    return command_fail(error, "expected at least one actor to move, found none");
  g_autoptr(LcipGraph) copy = lcip_graph_copy(graph);
  lcip_graph_ensure_defaults(copy);
  LcipMapping *mapping = lcip_graph_find_mapping(copy, NULL);
  if (!mapping)
    return command_fail(error, "expected an active mapping, found \"%s\"", copy->active_mapping);
  for (guint i = 0; i < n; i++)
    lcip_mapping_assign(mapping, ids[i], lane);
  g_autofree char *label = count_label("Move", n);
  lcip_document_apply(document, g_steal_pointer(&copy), label, NULL);
  return TRUE;
}

gboolean lcip_document_place_actor(LcipDocument *document, const char *id, double x, double y) {
  const LcipPosition position = {x, y};
  if (find_actor(document, id, NULL) < 0)
    return FALSE;
  LcipGraph *copy = lcip_graph_copy(lcip_document_graph(document));
  lcip_graph_set_position(copy, id, &position);
  g_autofree char *merge_key = g_strconcat("place ", id, NULL);
  lcip_document_apply(document, copy, "Place Actor", merge_key);
  return TRUE;
}

gboolean lcip_document_set_attr(LcipDocument *document, const char *id, const char *attr,
                                const char *text, GError **error) {
  const int index = find_actor(document, id, error);
  if (index < 0)
    return FALSE;
  const LcipActor *old = lcip_graph_actor(lcip_document_graph(document), index);
  const LcipAttrDef *def = lcip_operator_find_attr(old->op, attr);
  const LcipAttrValue *value = lcip_attrs_get(old->attrs, attr);
  if (!def && !value)
    return command_fail(error, "%s: %s has no attribute \"%s\"", id, old->op_name, attr);
  g_autoptr(LcipActor) actor = lcip_actor_copy(old);
  if (!lcip_attrs_set_text(actor->attrs, attr, def ? def->type : value->type, text, error)) {
    g_prefix_error(error, "%s: ", id);
    return FALSE;
  }
  LcipGraph *copy = lcip_graph_copy(lcip_document_graph(document));
  lcip_graph_replace_actor(copy, index, g_steal_pointer(&actor));
  g_autofree char *label = g_strdup_printf("Change %s", attr);
  g_autofree char *merge_key = g_strdup_printf("attr %s %s", id, attr);
  lcip_document_apply(document, copy, label, merge_key);
  return TRUE;
}

gboolean lcip_document_pin(LcipDocument *document, const char *id, const char *kernel) {
  if (find_actor(document, id, NULL) < 0)
    return FALSE;
  g_autoptr(LcipGraph) copy = lcip_graph_copy(lcip_document_graph(document));
  lcip_graph_ensure_defaults(copy);
  LcipMapping *mapping = lcip_graph_find_mapping(copy, NULL);
  if (!mapping)
    return FALSE;
  lcip_mapping_pin(mapping, id, kernel);
  lcip_document_apply(document, g_steal_pointer(&copy), kernel ? "Pin Kernel" : "Unpin Kernel",
                      NULL);
  return TRUE;
}

gboolean lcip_document_add_lane(LcipDocument *document, const char *name, LcipLaneKind kind,
                                guint threads, const char *device, GError **error) {
  LcipGraph *graph = lcip_document_graph(document);
  if (!name || !*name)
    return command_fail(error, "expected a name for the lane, found none");
  if (lcip_graph_find_lane(graph, name))
    return command_fail(error, "expected a name that no lane has, found \"%s\"", name);
  LcipGraph *copy = lcip_graph_copy(graph);
  lcip_graph_add_lane(copy, name, kind, threads, device);
  g_autofree char *label = g_strdup_printf("Add Lane %s", name);
  lcip_document_apply(document, copy, label, NULL);
  return TRUE;
}

gboolean lcip_document_remove_lane(LcipDocument *document, const char *name, GError **error) {
  g_autoptr(LcipGraph) copy = lcip_graph_copy(lcip_document_graph(document));
  if (!lcip_graph_remove_lane(copy, name, error))
    return FALSE;
  g_autofree char *label = g_strdup_printf("Remove Lane %s", name);
  lcip_document_apply(document, g_steal_pointer(&copy), label, NULL);
  return TRUE;
}

gboolean lcip_document_remove_actors(LcipDocument *document, const char *const *ids, guint n,
                                     GError **error) {
  g_autofree int *indices = g_new0(int, n + 1);
  for (guint i = 0; i < n; i++) {
    indices[i] = find_actor(document, ids[i], error);
    if (indices[i] < 0)
      return FALSE;
  }
  if (n == 0)
    return command_fail(error, "expected at least one actor to remove, found none");
  LcipGraph *copy = lcip_graph_copy(lcip_document_graph(document));
  lcip_graph_remove_actors(copy, indices, n);
  g_autofree char *label = count_label("Remove", n);
  lcip_document_apply(document, copy, label, NULL);
  return TRUE;
}
