#pragma once

#include "lcip-operator.h"

G_BEGIN_DECLS

/* The data of a document: what is in the XML file. An LcipGraph is built or copied by one owner,
 * edited while it has that one owner, and immutable once it is shared (a document's current state,
 * an undo step, a plan's input); so threads read it without locks and undo is a reference. Copies
 * share actors: an LcipActor is immutable once it is in a graph. */

/** LCIP_NO_ACTOR: the end of an edge that is a graph input or output. */
#define LCIP_NO_ACTOR (-1)

/** LcipActor: one node.
 * @id: unique in the graph; [A-Za-z_][A-Za-z0-9_-]*. @name: as in the model, may be empty.
 * @op: NULL when LCIP has no such operator; @domain and @op_name are always there.
 * @constants: per input port the constant tensor, or NULL; n_inputs long.
 * @constant_keys: per input port the tensor's key in the weights file, or NULL.
 * @n_inputs, @n_outputs: ports in use (variadic counted out; an absent optional input between
 *   others counts, with neither edge nor constant). */
typedef struct {
  gatomicrefcount refs;
  char *id;
  char *name;
  char *domain;
  char *op_name;
  const LcipOperator *op;
  LcipAttrs *attrs;
  guint n_inputs;
  guint n_outputs;
  LcipTensor **constants;
  char **constant_keys;
} LcipActor;

/** LcipEdge: from output port to input port. src_actor LCIP_NO_ACTOR: src_port is the index of a
 * graph input; dst_actor LCIP_NO_ACTOR: dst_port is the index of a graph output.
 * @delay: tokens on the edge before the first firing (zero-filled). */
typedef struct {
  int src_actor;
  guint src_port;
  int dst_actor;
  guint dst_port;
  guint delay;
} LcipEdge;

/** LcipGraphPort: a graph input or output. @spec: type and shape as declared (a dimension -1 is
 * unknown); type LCIP_TYPE_NONE for an output whose type was not declared. @dim_names: per
 * dimension the symbolic name or NULL; owned. */
typedef struct {
  char *id;
  char *name;
  LcipTensorSpec spec;
  char *dim_names[LCIP_MAX_RANK];
} LcipGraphPort;

typedef enum { LCIP_LANE_CPU, LCIP_LANE_OPENCL, LCIP_LANE_REMOTE } LcipLaneKind;

/** LcipLane: a logical processing element. @threads: CPU lanes, 0 for all processors.
 * @device: hint such as "opencl:0", or NULL: the first device of the kind. */
typedef struct {
  char *name;
  LcipLaneKind kind;
  guint threads;
  char *device;
} LcipLane;

/** LcipMapping: a named assignment. @lanes: actor id -> lane name (actors that are not in it are on
 * the first CPU lane). @pins: actor id -> kernel name. @fallbacks: lane name -> lane name. */
typedef struct {
  char *name;
  GHashTable *lanes;
  GHashTable *pins;
  GHashTable *fallbacks;
} LcipMapping;

/** LcipPosition: of an actor placed by hand, in canvas units. */
typedef struct {
  double x, y;
} LcipPosition;

/** LcipGraph: atomically reference-counted. The arrays are read directly; changes go through the
 * functions below. @opset: of the ONNX domain, 21 after import; @source_opset as the model had it.
 * @incomplete: what the model that it was read from had and this does not, or NULL; a graph that is
 * not all of its model can be looked at, but is not saved. */
typedef struct {
  gatomicrefcount refs;
  char *name;
  char *description;
  char *incomplete;
  int opset;
  int source_opset;
  GPtrArray *actors;   /* LcipActor */
  GArray *edges;       /* LcipEdge */
  GPtrArray *inputs;   /* LcipGraphPort */
  GPtrArray *outputs;  /* LcipGraphPort */
  GPtrArray *lanes;    /* LcipLane, in order of display */
  GPtrArray *mappings; /* LcipMapping; at least one after lcip_graph_ensure_defaults() */
  char *active_mapping;
  GHashTable *layout; /* actor id -> LcipPosition */
  GHashTable *index;  /* actor id -> index + 1 */
} LcipGraph;

LcipGraph *lcip_graph_new(void);
LcipGraph *lcip_graph_copy(const LcipGraph *graph);
LcipGraph *lcip_graph_ref(LcipGraph *graph);
void lcip_graph_unref(LcipGraph *graph);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipGraph, lcip_graph_unref)

LcipActor *lcip_actor_new(const char *id, const char *name, const char *domain, const char *op_name,
                          guint n_inputs, guint n_outputs);
LcipActor *lcip_actor_copy(const LcipActor *actor);
LcipActor *lcip_actor_ref(LcipActor *actor);
void lcip_actor_unref(LcipActor *actor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipActor, lcip_actor_unref)
void lcip_actor_set_constant(LcipActor *actor, guint port, LcipTensor *tensor, const char *key);
/** lcip_actor_title: the name if there is one, else the id. */
const char *lcip_actor_title(const LcipActor *actor);

/** lcip_graph_unique_id: an id made from @wish (characters that ids can't have become '_') that no
 * actor, input or output of @graph has. Transfer full. */
char *lcip_graph_unique_id(const LcipGraph *graph, const char *wish);
/** lcip_graph_add_actor: takes @actor; returns its index. The id must be new. */
int lcip_graph_add_actor(LcipGraph *graph, LcipActor *actor);
/** lcip_graph_replace_actor: takes @actor, which keeps the place and edges of the old one. */
void lcip_graph_replace_actor(LcipGraph *graph, int index, LcipActor *actor);
/** lcip_graph_remove_actors: with their edges, assignments and positions; indices above shift. */
void lcip_graph_remove_actors(LcipGraph *graph, const int *indices, guint n);
void lcip_graph_add_edge(LcipGraph *graph, LcipEdge edge);
int lcip_graph_add_input(LcipGraph *graph, const char *id, const char *name, LcipTensorSpec spec);
int lcip_graph_add_output(LcipGraph *graph, const char *id, const char *name, LcipTensorSpec spec);
/** lcip_graph_connect_input: @src_port of @src_actor takes the place of graph input @index, which
 * goes; indices of inputs above shift. */
void lcip_graph_connect_input(LcipGraph *graph, guint index, int src_actor, guint src_port);
int lcip_graph_find_actor(const LcipGraph *graph, const char *id); /* index or -1 */
LcipActor *lcip_graph_actor(const LcipGraph *graph, int index);
/** lcip_graph_edge_to: the edge that feeds an input port, or NULL. */
const LcipEdge *lcip_graph_edge_to(const LcipGraph *graph, int actor, guint port);
/** LcipPortIndex: which edge feeds each input port: edges[first[actor] + port] is an index in
 * graph->edges or -1; first has actors->len + 1 entries. Free with lcip_port_index_free(). */
typedef struct {
  int *first;
  int *edges;
} LcipPortIndex;
LcipPortIndex *lcip_port_index_new(const LcipGraph *graph);
void lcip_port_index_free(LcipPortIndex *index);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipPortIndex, lcip_port_index_free)
/** lcip_graph_order: actor indices in topological order (edges with delays cut), ties by index;
 * transfer full, n = actors->len. NULL when there is a cycle: then @cycle (may be NULL) is a
 * GArray of the int actor indices on one cycle in order. */
int *lcip_graph_order(const LcipGraph *graph, GArray **cycle);

/** lcip_graph_ensure_defaults: a CPU lane "CPU" and a mapping "default" where none are. */
void lcip_graph_ensure_defaults(LcipGraph *graph);
LcipLane *lcip_graph_find_lane(const LcipGraph *graph, const char *name);
LcipLane *lcip_graph_first_cpu_lane(const LcipGraph *graph);
LcipLane *lcip_graph_add_lane(LcipGraph *graph, const char *name, LcipLaneKind kind, guint threads,
                              const char *device);
/** lcip_graph_remove_lane: its actors go to the first other CPU lane in every mapping. FALSE for
 * the last CPU lane. */
gboolean lcip_graph_remove_lane(LcipGraph *graph, const char *name, GError **error);
const char *lcip_lane_kind_name(LcipLaneKind kind); /* "cpu", "opencl", "remote" */
/** lcip_graph_find_mapping: NULL name: the active one. */
LcipMapping *lcip_graph_find_mapping(const LcipGraph *graph, const char *name);
LcipMapping *lcip_graph_add_mapping(LcipGraph *graph, const char *name);
/** lcip_graph_lane_of: the lane of an actor in a mapping; never NULL after ensure_defaults. */
const char *lcip_graph_lane_of(const LcipGraph *graph, const LcipMapping *mapping, int actor);
void lcip_mapping_assign(LcipMapping *mapping, const char *actor_id, const char *lane);
void lcip_mapping_pin(LcipMapping *mapping, const char *actor_id, const char *kernel);
void lcip_graph_set_position(LcipGraph *graph, const char *actor_id, const LcipPosition *position);

/* ---- problems: what is wrong with a graph, for people ---- */

typedef enum { LCIP_PROBLEM_ERROR, LCIP_PROBLEM_WARNING } LcipSeverity;

/** LcipProblem: one line of the Problems list. @actor_id may be NULL. */
typedef struct {
  LcipSeverity severity;
  char *actor_id;
  char *message;
} LcipProblem;

/** lcip_problems_new: a GPtrArray of LcipProblem with its free function. */
GPtrArray *lcip_problems_new(void);
void lcip_problems_add(GPtrArray *problems, LcipSeverity severity, const char *actor_id,
                       const char *format, ...) G_GNUC_PRINTF(4, 5);
gboolean lcip_problems_have_errors(const GPtrArray *problems);
/** lcip_problems_mention: one of them is about @actor_id. */
gboolean lcip_problems_mention(const GPtrArray *problems, const char *actor_id);
/** lcip_problems_lines: those of @severity for people, one line each; what many actors of one
 * operator have alike is one line that names the first of them. Array of char*; transfer full. */
GPtrArray *lcip_problems_lines(const GPtrArray *problems, const LcipGraph *graph,
                               LcipSeverity severity);

G_END_DECLS
