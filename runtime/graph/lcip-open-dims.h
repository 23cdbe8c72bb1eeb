#pragma once

#include "lcip-graph.h"

G_BEGIN_DECLS

/* Sizes that a model leaves open. LCIP plans memory for fixed sizes, so each is settled once: by
 * the editor's dialog or by --input-shape, with the suggestion made here as a start. */

/** LCIP_OPEN_SIZE_WORDS: in the problem of an input with open sizes; whoever shows it adds how they
 * are given there. */
#define LCIP_OPEN_SIZE_WORDS "the model leaves its size open"

/** LcipOpenDim: one size to be settled: @name, wherever the graph names it, or, where it has none
 * (NULL), dimension @dim of input @input. @input and @dim are of its first place. @size: the
 * suggestion. */
typedef struct {
  char *name;
  guint input;
  int dim;
  gint64 size;
} LcipOpenDim;

/** lcip_graph_open_dims: of the graph's inputs, in their order, a named one once. Suggests 1 for a
 * batch; for the sides of pictures 256 where an output is a picture too, else 224. Array of
 * LcipOpenDim; transfer full, empty when everything is settled. */
GArray *lcip_graph_open_dims(const LcipGraph *graph);
/** lcip_graph_settle_dims: gives each of @dims its size, outputs that name it included. @graph has
 * one owner. */
void lcip_graph_settle_dims(LcipGraph *graph, const GArray *dims);
/** lcip_graph_settle_input: the same for all dimensions of one input; @shape has its rank. */
void lcip_graph_settle_input(LcipGraph *graph, guint input, const LcipShape *shape);

G_END_DECLS
