#pragma once

#include <gio/gio.h>

#include "lcip-graph.h"

G_BEGIN_DECLS

/** LcipDocument: an open file: the current graph, undo and redo, the file and whether there are
 * unsaved changes. Belongs to the main thread. Signal "changed" (no arguments) after every new
 * current graph; properties "title", "modified", "can-undo", "can-redo", "undo-label",
 * "redo-label" notify. */
#define LCIP_TYPE_DOCUMENT (lcip_document_get_type())
G_DECLARE_FINAL_TYPE(LcipDocument, lcip_document, LCIP, DOCUMENT, GObject)

/** lcip_document_new: @graph becomes the first state; @file NULL for an unsaved document. */
LcipDocument *lcip_document_new(LcipGraph *graph, GFile *file);
/** lcip_document_graph: the current, immutable graph; borrowed, keep a reference to use later. */
LcipGraph *lcip_document_graph(LcipDocument *document);
GFile *lcip_document_file(LcipDocument *document);
void lcip_document_set_file(LcipDocument *document, GFile *file);

/** lcip_document_apply: takes @graph, an edited copy of the current one, as one undoable command.
 * @label: "Move 3 Actors". @merge_key: commands in a row with an equal non-NULL key make one undo
 * step (a drag, a spin button). */
void lcip_document_apply(LcipDocument *document, LcipGraph *graph, const char *label,
                         const char *merge_key);
void lcip_document_undo(LcipDocument *document);
void lcip_document_redo(LcipDocument *document);
const char *lcip_document_undo_label(LcipDocument *document); /* NULL: nothing to undo */
const char *lcip_document_redo_label(LcipDocument *document);
gboolean lcip_document_modified(LcipDocument *document);
/** lcip_document_mark_saved: the state @graph is what the file now holds. */
void lcip_document_mark_saved(LcipDocument *document, LcipGraph *graph);

/* Commands that are often used; each is one undo step. FALSE and no change where it can't be. */
gboolean lcip_document_move_actors(LcipDocument *document, const char *const *ids, guint n,
                                   const char *lane, GError **error);
gboolean lcip_document_place_actor(LcipDocument *document, const char *id, double x, double y);
gboolean lcip_document_set_attr(LcipDocument *document, const char *id, const char *attr,
                                const char *text, GError **error);
gboolean lcip_document_pin(LcipDocument *document, const char *id, const char *kernel);
gboolean lcip_document_add_lane(LcipDocument *document, const char *name, LcipLaneKind kind,
                                guint threads, const char *device, GError **error);
gboolean lcip_document_remove_lane(LcipDocument *document, const char *name, GError **error);
gboolean lcip_document_remove_actors(LcipDocument *document, const char *const *ids, guint n,
                                     GError **error);

G_END_DECLS
