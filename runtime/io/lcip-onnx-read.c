#include "config.h"
#include "lcip-onnx-private.h"

#include <string.h>

/* The newest opset whose operators LCIP knows; the form in which graphs are stored. */
#define OPSET 21

/** Where a value comes from. */
typedef struct {
  int actor; /* LCIP_NO_ACTOR: a graph input */
  guint port;
} Origin;

typedef struct {
  LcipOnnxModel *model;
  LcipGraph *graph;
  GHashTable *origins;  /* value name -> Origin */
  GHashTable *used;     /* names of values that something takes */
  GHashTable *ordinals; /* id prefix -> last number */
  GPtrArray *lost; /* char*: what the graph does not keep of operators that LCIP does not have */
  GError **error;
} Build;

static gboolean build_fail(const Build *build, gsize offset, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
static gboolean build_fail(const Build *build, gsize offset, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  g_autofree char *message = g_strdup_vprintf(format, ap);
  va_end(ap);
  return lcip_io_fail(build->error, LCIP_IO_ERROR_FORMAT, "%s: offset %" G_GSIZE_FORMAT ": %s",
                      build->model->path, offset, message);
}

/* ---- inputs and outputs ---- */

static LcipTensorSpec value_spec(const LcipOnnxValue *value) {
  return lcip_tensor_spec(lcip_onnx_type(value->elem_type),
                          lcip_shape_from_dims(CLAMP(value->rank, 0, LCIP_MAX_RANK), value->dims));
}

static void note_widened(Build *build, const LcipOnnxValue *value) {
  if (lcip_onnx_type(value->elem_type) == LCIP_TYPE_F32 && value->elem_type != 1)
    build->model->widened = TRUE;
}

static void copy_dim_names(LcipGraphPort *port, const LcipOnnxValue *value) {
  for (int i = 0; i < port->spec.shape.rank; i++)
    port->dim_names[i] = g_strdup(value->dim_names[i]);
}

static void check_input(Build *build, const LcipOnnxValue *value) {
  const char *what = NULL;
  if (value->not_tensor)
    what = "LCIP takes tensors only, not sequences, maps or optional values";
  else if (lcip_onnx_type(value->elem_type) == LCIP_TYPE_NONE)
    what = "LCIP has no tensors of its type";
  else if (value->rank < 0)
    what = "it has no shape; LCIP needs at least the number of its dimensions";
  else if (value->rank > LCIP_MAX_RANK)
    what = "LCIP has tensors of at most 8 dimensions";
  if (what)
    lcip_problems_add(build->model->problems, LCIP_PROBLEM_ERROR, NULL, "input \"%s\" (%s): %s",
                      value->name, lcip_onnx_type_name(value->elem_type), what);
}

static gboolean add_origin(Build *build, gsize offset, const char *name, int actor, guint port) {
  const Origin origin = {actor, port};
  if (g_hash_table_contains(build->model->initializers, name))
    return build_fail(build, offset, "expected values of different names, found \"%s\" again",
                      name);
  return g_hash_table_insert(build->origins, g_strdup(name), g_memdup2(&origin, sizeof origin)) ||
         build_fail(build, offset, "expected values of different names, found \"%s\" again", name);
}

static gboolean add_inputs(Build *build) {
  for (guint i = 0; i < build->model->inputs->len; i++) {
    const LcipOnnxValue *value = build->model->inputs->pdata[i];
    if (g_hash_table_contains(build->model->initializers, value->name))
      continue; /* up to IR version 3 every initializer was listed as an input too */
    check_input(build, value);
    note_widened(build, value);
    g_autofree char *id = lcip_graph_unique_id(build->graph, value->name);
    LcipTensorSpec spec = value_spec(value);
    if (spec.type == LCIP_TYPE_NONE)
      spec.type = LCIP_TYPE_F32; /* reported above; the graph can still be looked at */
    const int index = lcip_graph_add_input(build->graph, id, value->name, spec);
    copy_dim_names(build->graph->inputs->pdata[index], value);
    if (!add_origin(build, 0, value->name, LCIP_NO_ACTOR, (guint)index))
      return FALSE;
  }
  return TRUE;
}

static void add_outputs(Build *build) {
  for (guint i = 0; i < build->model->outputs->len; i++) {
    const LcipOnnxValue *value = build->model->outputs->pdata[i];
    g_autofree char *id = lcip_graph_unique_id(build->graph, value->name);
    LcipTensorSpec spec = value_spec(value);
    note_widened(build, value);
    if (value->rank < 0 || value->rank > LCIP_MAX_RANK || value->not_tensor)
      spec = (LcipTensorSpec){0};
    const int index = lcip_graph_add_output(build->graph, id, value->name, spec);
    if (spec.type != LCIP_TYPE_NONE)
      copy_dim_names(build->graph->outputs->pdata[index], value);
  }
}

/* ---- ids ---- */

/* "ConvTranspose" -> "conv_transpose", "LRN" -> "lrn" */
static char *snake_case(const char *name) {
  GString *snake = g_string_new(NULL);
  for (const char *p = name; *p; p++) {
    const gboolean starts_word = g_ascii_isupper(*p) && p > name && g_ascii_islower(p[-1]);
    if (starts_word)
      g_string_append_c(snake, '_');
    g_string_append_c(snake, g_ascii_tolower(*p));
  }
  return g_string_free(snake, FALSE);
}

/* "conv_12": the twelfth Conv of the model. */
static char *actor_id(Build *build, const char *op_type) {
  g_autofree char *prefix = snake_case(op_type);
  const guint ordinal = GPOINTER_TO_UINT(g_hash_table_lookup(build->ordinals, prefix)) + 1;
  g_hash_table_insert(build->ordinals, g_strdup(prefix), GUINT_TO_POINTER(ordinal));
  g_autofree char *wish = g_strdup_printf("%s_%u", prefix, ordinal);
  return lcip_graph_unique_id(build->graph, wish);
}

/* ---- actors ---- */

static int opset_of(const Build *build, const LcipActor *actor) {
  return GPOINTER_TO_INT(g_hash_table_lookup(build->model->opsets, actor->domain));
}

static void actor_problem(const Build *build, const LcipActor *actor, const char *what) {
  lcip_problems_add(build->model->problems, LCIP_PROBLEM_ERROR, actor->id, "%s%s%s (opset %d): %s",
                    actor->domain, *actor->domain ? "." : "", actor->op_name,
                    opset_of(build, actor), what);
}

static gboolean set_attr(LcipAttrs *attrs, const LcipOnnxAttr *attr, GError **error) {
  switch (attr->type) {
  case LCIP_ATTR_INT:
  case LCIP_ATTR_INTS:
    return lcip_attrs_set_ints(attrs, attr->name, attr->type,
                               attr->type == LCIP_ATTR_INT ? 1 : attr->ints->len,
                               (const gint64 *)(void *)attr->ints->data, error);
  case LCIP_ATTR_FLOAT:
  case LCIP_ATTR_FLOATS:
    return lcip_attrs_set_floats(attrs, attr->name, attr->type,
                                 attr->type == LCIP_ATTR_FLOAT ? 1 : attr->floats->len,
                                 (const float *)(void *)attr->floats->data, error);
  case LCIP_ATTR_STRING:
  case LCIP_ATTR_STRINGS:
    return lcip_attrs_set_strings(attrs, attr->name, attr->type,
                                  attr->type == LCIP_ATTR_STRING ? 1 : attr->strings->len,
                                  (const char *const *)attr->strings->pdata, error);
  case LCIP_ATTR_TENSOR:
    break;
  }
  return lcip_attrs_set_tensor(attrs, attr->name, attr->tensor, error);
}

/* Of an operator that LCIP does not have, attributes are kept as far as they can be. It is a
 * problem already; what is not kept matters when the graph is to be saved. */
static void attr_problem(const Build *build, const LcipActor *actor, const char *what) {
  if (actor->op)
    actor_problem(build, actor, what);
  else
    g_ptr_array_add(build->lost, g_strdup_printf("%s: %s", actor->id, what));
}

static void set_attrs(Build *build, LcipActor *actor, const LcipOnnxNode *node) {
  for (guint i = 0; i < node->attrs->len; i++) {
    const LcipOnnxAttr *attr = node->attrs->pdata[i];
    g_autoptr(GError) refused = NULL;
    if (attr->unsupported) {
      g_autofree char *what =
          g_strdup_printf("attribute %s: LCIP does not read %s", attr->name, attr->unsupported);
      attr_problem(build, actor, what);
    } else if (!*attr->name) {
      attr_problem(build, actor, "an attribute has no name");
    } else if (!set_attr(actor->attrs, attr, &refused)) {
      attr_problem(build, actor, refused->message);
    }
  }
  g_autoptr(GError) missing = NULL;
  if (!lcip_attrs_check(actor->attrs, &missing))
    attr_problem(build, actor, missing->message);
}

/* Outputs that nothing takes and that the operator can do without, as training's. */
static guint used_outputs(const Build *build, const LcipOnnxNode *node, const LcipOperator *op) {
  guint n = node->outputs->len;
  while (op && n > 1 && n <= op->n_outputs && (op->outputs[n - 1].flags & LCIP_PORT_OPTIONAL) &&
         !g_hash_table_contains(build->used, node->outputs->pdata[n - 1]))
    n--;
  return n;
}

static guint used_inputs(const LcipOnnxNode *node) {
  guint n = node->inputs->len;
  while (n > 0 && !*(const char *)node->inputs->pdata[n - 1])
    n--;
  return n;
}

static void check_operator(const Build *build, const LcipActor *actor) {
  const LcipOperator *op = actor->op;
  if (!op) {
    lcip_io_report_unknown(actor, opset_of(build, actor), build->model->problems);
    return;
  }
  const gboolean many_in =
      op->n_inputs > 0 && (op->inputs[op->n_inputs - 1].flags & LCIP_PORT_VARIADIC);
  const gboolean many_out =
      op->n_outputs > 0 && (op->outputs[op->n_outputs - 1].flags & LCIP_PORT_VARIADIC);
  if (actor->n_inputs > op->n_inputs && !many_in)
    actor_problem(build, actor, "it has more inputs than LCIP's operator");
  if (actor->n_outputs > op->n_outputs && !many_out)
    actor_problem(build, actor, "it has more outputs than LCIP's operator");
}

static gboolean add_node(Build *build, const LcipOnnxNode *node) {
  const LcipOperator *op = lcip_operator_find(node->domain, node->op_type);
  g_autofree char *id = actor_id(build, node->op_type);
  LcipActor *actor = lcip_actor_new(id, node->name, node->domain, node->op_type, used_inputs(node),
                                    used_outputs(build, node, op));
  const int index = lcip_graph_add_actor(build->graph, actor);
  check_operator(build, actor);
  set_attrs(build, actor, node);
  for (guint i = 0; i < actor->n_outputs; i++) {
    const char *name = node->outputs->pdata[i];
    if (*name && !add_origin(build, node->offset, name, index, i))
      return FALSE;
  }
  return TRUE;
}

/* ---- edges ---- */

static gboolean connect_value(Build *build, gsize offset, const char *name, int actor, guint port) {
  const Origin *origin = g_hash_table_lookup(build->origins, name);
  if (!origin)
    return build_fail(build, offset, "expected a value that something gives, found \"%s\"", name);
  const LcipEdge edge = {origin->actor, origin->port, actor, port, 0};
  lcip_graph_add_edge(build->graph, edge);
  return TRUE;
}

/* Its own problem says which tensor and why; the actor is marked as one that cannot run. */
static void note_lost_tensor(const Build *build, const LcipActor *actor) {
  if (!actor->op || lcip_problems_mention(build->model->problems, actor->id))
    return;
  actor_problem(build, actor, "a constant that it needs could not be read");
}

static gboolean connect_node(Build *build, const LcipOnnxNode *node, int index) {
  LcipActor *actor = build->graph->actors->pdata[index];
  for (guint i = 0; i < actor->n_inputs; i++) {
    const char *name = node->inputs->pdata[i];
    gpointer tensor;
    if (!*name)
      continue;
    if (g_hash_table_lookup_extended(build->model->initializers, name, NULL, &tensor)) {
      if (tensor)
        lcip_actor_set_constant(actor, i, tensor, name);
      else
        note_lost_tensor(build, actor);
    } else if (!connect_value(build, node->offset, name, index, i)) {
      return FALSE;
    }
  }
  return TRUE;
}

/* An output that is an initializer comes from an Identity that has it as its constant. */
static gboolean connect_output(Build *build, const char *name, guint index) {
  gpointer tensor;
  if (!g_hash_table_lookup_extended(build->model->initializers, name, NULL, &tensor))
    return connect_value(build, 0, name, LCIP_NO_ACTOR, index);
  g_autofree char *id = actor_id(build, "Identity");
  LcipActor *actor = lcip_actor_new(id, "", "", "Identity", 1, 1);
  if (tensor)
    lcip_actor_set_constant(actor, 0, tensor, name);
  const LcipEdge edge = {lcip_graph_add_actor(build->graph, actor), 0, LCIP_NO_ACTOR, index, 0};
  check_operator(build, actor);
  lcip_graph_add_edge(build->graph, edge);
  return TRUE;
}

static gboolean connect_all(Build *build) {
  for (guint i = 0; i < build->model->nodes->len; i++)
    if (!connect_node(build, build->model->nodes->pdata[i], (int)i))
      return FALSE;
  for (guint i = 0; i < build->model->outputs->len; i++) {
    const LcipOnnxValue *value = build->model->outputs->pdata[i];
    if (!connect_output(build, value->name, i))
      return FALSE;
  }
  return TRUE;
}

/* ---- the whole ---- */

static void collect_used(Build *build) {
  for (guint i = 0; i < build->model->nodes->len; i++) {
    const LcipOnnxNode *node = build->model->nodes->pdata[i];
    for (guint k = 0; k < node->inputs->len; k++)
      g_hash_table_add(build->used, node->inputs->pdata[k]);
  }
  for (guint i = 0; i < build->model->outputs->len; i++)
    g_hash_table_add(build->used, ((LcipOnnxValue *)build->model->outputs->pdata[i])->name);
}

static void warn_about_model(const LcipOnnxModel *model) {
  if (model->opset > OPSET)
    lcip_problems_add(model->problems, LCIP_PROBLEM_WARNING, NULL,
                      "the model uses opset %d; LCIP knows operators up to opset %d", model->opset,
                      OPSET);
  if (model->widened)
    lcip_problems_add(model->problems, LCIP_PROBLEM_WARNING, NULL,
                      "the model's float16, bfloat16 and double tensors are read as float");
}

static gboolean fill_graph(Build *build) {
  LcipGraph *graph = build->graph;
  g_free(graph->name);
  g_free(graph->description);
  graph->name = g_strdup(build->model->graph_name);
  graph->description = g_strdup(build->model->doc);
  graph->source_opset = build->model->opset;
  graph->opset = OPSET;
  if (build->model->outputs->len == 0)
    return build_fail(build, 0, "expected a graph with outputs, found none");
  collect_used(build);
  if (!add_inputs(build))
    return FALSE;
  add_outputs(build);
  for (guint i = 0; i < build->model->nodes->len; i++)
    if (!add_node(build, build->model->nodes->pdata[i]))
      return FALSE;
  if (!connect_all(build))
    return FALSE;
  lcip_graph_ensure_defaults(graph);
  warn_about_model(build->model);
  return TRUE;
}

/* An operator that LCIP does not have is kept as it is; every other problem means that something of
 * the model is not in the graph. */
static void note_incomplete(Build *build, guint first_problem) {
  const GPtrArray *problems = build->model->problems;
  for (guint i = first_problem; i < problems->len; i++) {
    const LcipProblem *problem = problems->pdata[i];
    const char *id = problem->actor_id;
    const int index = id ? lcip_graph_find_actor(build->graph, id) : -1;
    if (problem->severity == LCIP_PROBLEM_ERROR &&
        (index < 0 || lcip_graph_actor(build->graph, index)->op))
      g_ptr_array_add(build->lost,
                      g_strdup_printf("%s%s%s", id ? id : "", id ? ": " : "", problem->message));
  }
  if (build->lost->len == 0)
    return;
  g_autofree char *more =
      build->lost->len > 1 ? g_strdup_printf(" (and %u more)", build->lost->len - 1) : g_strdup("");
  build->graph->incomplete = g_strconcat(build->lost->pdata[0], more, NULL);
}

static LcipGraph *build_graph(LcipOnnxModel *model, guint first_problem, GError **error) {
  Build build = {.model = model, .graph = lcip_graph_new(), .error = error};
  build.lost = g_ptr_array_new_with_free_func(g_free);
  build.origins = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  build.used = g_hash_table_new(g_str_hash, g_str_equal);
  build.ordinals = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  if (fill_graph(&build))
    note_incomplete(&build, first_problem);
  else
    g_clear_pointer(&build.graph, lcip_graph_unref);
  g_ptr_array_unref(build.lost);
  g_hash_table_unref(build.origins);
  g_hash_table_unref(build.used);
  g_hash_table_unref(build.ordinals);
  return build.graph;
}

static LcipGraph *read_listing(const char *path, GPtrArray *problems, GError **error) {
  g_autoptr(GBytes) bytes = lcip_io_map(path, LCIP_IO_FOLLOW_LINKS, error);
  if (!bytes)
    return NULL;
  const guint first_problem = problems->len;
  g_autoptr(LcipOnnxModel) model = lcip_onnx_model_new(path, bytes, problems, error);
  if (!model)
    return NULL;
  lcip_onnx_modernise(model);
  return build_graph(model, first_problem, error);
}

LcipGraph *lcip_onnx_read(const char *path, GPtrArray *problems, GError **error) {
  g_autoptr(GPtrArray) own = lcip_problems_new();
  LcipGraph *graph = read_listing(path, problems ? problems : own, error);
  if (graph && !problems && lcip_problems_have_errors(own)) {
    lcip_io_fail_problems(path, graph, own, error);
    g_clear_pointer(&graph, lcip_graph_unref);
  }
  return graph;
}
