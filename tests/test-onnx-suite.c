#include "config.h"
#include "lcip-element.h"
#include "lcip-io.h"
#include "lcip-run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ONNX's own conformance suite, as Debian packages it (libonnx-testdata): every case through the
 * importer, the plan and the engine, on the reference kernels alone and on the fastest. The table
 * tests/onnx-suite.txt lists the cases that do not pass, each with its reason; a listed case that
 * passes fails here just as an unlisted one that does not.
 *
 * LCIP_ONNX_SUITE: another folder with the suite. LCIP_ONNX_SUITE_REPORT: a file to which every
 * case that does not pass is appended with what was found, in the table's form. */

#define SUITE "/usr/share/libonnx-testdata/data"
/* The suite's own tolerances (onnx.backend.test.case.test_case.TestCase). */
#define RTOL 1e-3
#define ATOL 1e-7

typedef struct {
  char *name;   /* "node/test_abs" */
  char *folder; /* where model.onnx is */
  const char *reason;
} Case;

static GHashTable *listed; /* case name -> reason */
static const char *report_path;

G_GNUC_PRINTF(2, 3) static gboolean fail(GError **error, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  g_autofree char *message = g_strdup_vprintf(format, ap);
  va_end(ap);
  g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, message);
  return FALSE;
}

/* ---- comparing ---- */

/* numpy.testing.assert_allclose, NaN being equal to NaN. */
static gboolean is_close(double found, double expected) {
  if (isnan(expected) || isinf(expected))
    return isnan(expected) ? isnan(found) : found == expected;
  return fabs(found - expected) <= ATOL + RTOL * fabs(expected);
}

static gboolean check_values(const LcipTensor *found, const LcipTensor *expected, guint output,
                             GError **error) {
  const LcipType type = lcip_tensor_get_spec(expected)->type;
  const gint64 n = lcip_shape_count(lcip_tensor_get_shape(expected));
  for (gint64 i = 0; i < n; i++) {
    const double f = lcip_element_float(type, lcip_tensor_get_data(found), (gsize)i);
    const double e = lcip_element_float(type, lcip_tensor_get_data(expected), (gsize)i);
    if (!is_close(f, e))
      return fail(error, "output %u: element %" G_GINT64_FORMAT ": expected %g, found %g", output,
                  i, e, f);
  }
  return TRUE;
}

static gboolean check_output(const LcipTensor *found, const LcipTensor *expected, guint output,
                             GError **error) {
  LcipTensorSpec want = *lcip_tensor_get_spec(expected), have = *lcip_tensor_get_spec(found);
  want.shape = *lcip_tensor_get_shape(expected);
  have.shape = *lcip_tensor_get_shape(found);
  if (lcip_tensor_spec_equal(&want, &have))
    return check_values(found, expected, output, error);
  g_autofree char *w = lcip_tensor_spec_to_string(&want);
  g_autofree char *h = lcip_tensor_spec_to_string(&have);
  return fail(error, "output %u: expected %s, found %s", output, w, h);
}

/* ---- running ---- */

static GPtrArray *read_tensors(const char *folder, const char *prefix, GError **error) {
  g_autoptr(GPtrArray) tensors = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_tensor_unref);
  for (guint i = 0;; i++) {
    g_autofree char *file = g_strdup_printf("%s/%s_%u.pb", folder, prefix, i);
    if (!g_file_test(file, G_FILE_TEST_EXISTS))
      return g_steal_pointer(&tensors);
    LcipTensor *tensor = lcip_onnx_read_tensor(file, error);
    if (!tensor)
      return NULL;
    g_ptr_array_add(tensors, tensor);
  }
}

static gboolean is_shape_port(const LcipActor *actor, guint port) {
  const LcipOperator *op = actor->op;
  return op && op->n_inputs > 0 &&
         (op->inputs[MIN(port, op->n_inputs - 1)].flags & LCIP_PORT_SHAPE);
}

/* Actors whose outputs sizes are computed from; what takes a shape alone needs no values. */
static void mark_shape_actors(const LcipGraph *graph, gboolean *marked) {
  for (gboolean changed = TRUE; changed;) {
    changed = FALSE;
    for (guint e = 0; e < graph->edges->len; e++) {
      const LcipEdge *edge = &g_array_index(graph->edges, LcipEdge, e);
      if (edge->src_actor < 0 || edge->dst_actor < 0 || marked[edge->src_actor])
        continue;
      const LcipActor *src = lcip_graph_actor(graph, edge->src_actor);
      if ((!is_shape_port(lcip_graph_actor(graph, edge->dst_actor), edge->dst_port) &&
           !marked[edge->dst_actor]) ||
          g_str_equal(src->op_name, "Shape") || g_str_equal(src->op_name, "Size"))
        continue;
      marked[edge->src_actor] = changed = TRUE;
    }
  }
}

/* Sizes, axes and the like are known before a run; where the suite feeds them as inputs they become
 * constants of what reads them. */
static void fix_shape_inputs(LcipGraph *graph, const GPtrArray *inputs) {
  g_autofree gboolean *marked = g_new0(gboolean, graph->actors->len + 1);
  mark_shape_actors(graph, marked);
  for (guint e = graph->edges->len; e-- > 0;) {
    const LcipEdge edge = g_array_index(graph->edges, LcipEdge, e);
    if (edge.src_actor != LCIP_NO_ACTOR || edge.dst_actor == LCIP_NO_ACTOR ||
        edge.src_port >= inputs->len)
      continue;
    LcipActor *actor = lcip_graph_actor(graph, edge.dst_actor);
    if (!marked[edge.dst_actor] && !is_shape_port(actor, edge.dst_port))
      continue;
    lcip_actor_set_constant(actor, edge.dst_port, inputs->pdata[edge.src_port], "shape");
    g_array_remove_index(graph->edges, e);
  }
}

static void keep_outputs(const LcipFrame *frame, gpointer data) {
  GHashTable *outputs = data;
  for (guint i = 0; i < frame->n_values; i++)
    if (!frame->values[i].actor_id && frame->values[i].tensor)
      g_hash_table_insert(outputs, g_strdup(frame->values[i].name),
                          lcip_tensor_ref(frame->values[i].tensor));
}

static char *problem_text(const GPtrArray *problems) {
  for (guint i = 0; i < problems->len; i++) {
    const LcipProblem *problem = problems->pdata[i];
    if (problem->severity == LCIP_PROBLEM_ERROR)
      return g_strdup(problem->message);
  }
  return NULL;
}

static LcipPlan *make_plan(LcipGraph *graph, const GPtrArray *inputs, const char *const *families,
                           GError **error) {
  g_autoptr(GHashTable) shapes = g_hash_table_new(g_str_hash, g_str_equal);
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  for (guint i = 0; i < MIN(inputs->len, graph->inputs->len); i++)
    g_hash_table_insert(shapes, ((LcipGraphPort *)graph->inputs->pdata[i])->name,
                        (gpointer)lcip_tensor_get_shape(inputs->pdata[i]));
  const LcipPlanOptions options = {.input_shapes = shapes, .families = families, .threads = 1};
  g_autoptr(GError) own = NULL;
  LcipPlan *plan = lcip_plan_new(graph, &options, problems, NULL, &own);
  if (plan)
    return plan;
  g_autofree char *text = problem_text(problems);
  fail(error, "%s", text ? text : own->message);
  return NULL;
}

static gboolean run_plan(LcipPlan *plan, LcipGraph *graph, const GPtrArray *inputs,
                         GHashTable *outputs, GError **error) {
  g_autoptr(GHashTable) by_name = g_hash_table_new(g_str_hash, g_str_equal);
  for (guint i = 0; i < graph->inputs->len; i++)
    g_hash_table_insert(by_name, ((LcipGraphPort *)graph->inputs->pdata[i])->name,
                        inputs->pdata[i]);
  const LcipRunOptions options = {.inputs = by_name,
                                  .n_frames = 1,
                                  .frames_in_flight = 1,
                                  .frame_func = keep_outputs,
                                  .frame_data = outputs};
  g_autoptr(LcipRun) run = lcip_run_start(plan, &options, error);
  return run && lcip_run_wait(run, error);
}

static gboolean check_outputs(LcipGraph *graph, GHashTable *outputs, const GPtrArray *expected,
                              GError **error) {
  for (guint i = 0; i < MIN(graph->outputs->len, expected->len); i++) {
    const char *name = ((LcipGraphPort *)graph->outputs->pdata[i])->name;
    const LcipTensor *found = g_hash_table_lookup(outputs, name);
    if (!found)
      return fail(error, "output %u: expected a tensor, found none", i);
    if (!check_output(found, expected->pdata[i], i, error))
      return FALSE;
  }
  return TRUE;
}

static LcipGraph *read_model(const char *path, GError **error) {
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  LcipGraph *graph = lcip_onnx_read(path, problems, error);
  g_autofree char *text = problem_text(problems);
  if (!graph || !text)
    return graph;
  fail(error, "%s", text);
  lcip_graph_unref(graph);
  return NULL;
}

static gboolean run_data_set(const char *model, const char *folder, const char *const *families,
                             GError **error) {
  g_autoptr(LcipGraph) graph = read_model(model, error);
  if (!graph)
    return FALSE;
  g_autoptr(GPtrArray) inputs = read_tensors(folder, "input", error);
  g_autoptr(GPtrArray) expected = inputs ? read_tensors(folder, "output", error) : NULL;
  if (!expected)
    return FALSE;
  if (inputs->len != graph->inputs->len)
    return fail(error, "expected %u input files, found %u", graph->inputs->len, inputs->len);
  if (expected->len == 0)
    return fail(error, "expected files of outputs, found none");
  fix_shape_inputs(graph, inputs);
  g_autoptr(LcipPlan) plan = make_plan(graph, inputs, families, error);
  g_autoptr(GHashTable) outputs =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)lcip_tensor_unref);
  return plan && run_plan(plan, graph, inputs, outputs, error) &&
         check_outputs(graph, outputs, expected, error);
}

static gboolean run_on(const Case *c, const char *kernels, const char *const *families,
                       GError **error) {
  g_autofree char *model = g_build_filename(c->folder, "model.onnx", NULL);
  guint sets = 0;
  for (;; sets++) {
    g_autofree char *folder = g_strdup_printf("%s/test_data_set_%u", c->folder, sets);
    if (!g_file_test(folder, G_FILE_TEST_IS_DIR))
      break;
    if (!run_data_set(model, folder, families, error)) {
      g_prefix_error(error, "%s kernels: ", kernels);
      return FALSE;
    }
  }
  return sets > 0 || fail(error, "expected a folder test_data_set_0, found none");
}

/* ---- the table ---- */

static char *one_line(const char *text) {
  char *line = g_strdup(text);
  g_strdelimit(line, "\r\n\t", ' ');
  return line;
}

static void report(const Case *c, const char *message) {
  g_autofree char *line = one_line(message);
  FILE *file = report_path ? fopen(report_path, "a") : NULL;
  if (!file)
    return;
  fprintf(file, "%s: %s\n", c->name, line);
  fclose(file);
}

static void test_case(gconstpointer data) {
  static const char *const reference[] = {"reference", NULL};
  const Case *c = data;
  g_autoptr(GError) error = NULL;
  const gboolean passes =
      run_on(c, "reference", reference, &error) && run_on(c, "fastest", NULL, &error);
  if (!passes)
    report(c, error->message);
  if (passes && c->reason) {
    g_test_message("listed as \"%s\", but it passes: take it off tests/onnx-suite.txt", c->reason);
    g_test_fail();
  } else if (!passes && !c->reason) {
    g_test_message("%s", error->message);
    g_test_fail();
  }
}

/* Lines of "NAME: REASON"; '#' begins a comment. */
static GHashTable *read_table(void) {
  GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  g_autofree char *path =
      g_build_filename(g_getenv("LCIP_DATA_PATH"), "tests", "onnx-suite.txt", NULL);
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;
  if (!g_file_get_contents(path, &text, NULL, &error))
    g_error("%s", error->message);
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  for (guint i = 0; lines[i]; i++) {
    const char *colon = strstr(lines[i], ": ");
    if (*lines[i] == '#' || !*lines[i])
      continue;
    if (!colon || !colon[2])
      g_error("%s:%u: expected NAME: REASON, found \"%s\"", path, i + 1, lines[i]);
    g_hash_table_insert(table, g_strndup(lines[i], (gsize)(colon - lines[i])), g_strdup(colon + 2));
  }
  return table;
}

static void test_table(gconstpointer data) {
  const GHashTable *found = data;
  GHashTableIter iter;
  gpointer name;
  g_hash_table_iter_init(&iter, listed);
  while (g_hash_table_iter_next(&iter, &name, NULL))
    if (!g_hash_table_contains((GHashTable *)found, name)) {
      g_test_message("tests/onnx-suite.txt lists %s, which the suite does not have", (char *)name);
      g_test_fail();
    }
}

static void test_absent(void) {
  g_test_skip("the package libonnx-testdata is not installed");
}

/* ---- finding the cases ---- */

static int compare_names(gconstpointer a, gconstpointer b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *list_folder(const char *path) {
  GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
  for (const char *name; dir && (name = g_dir_read_name(dir));)
    g_ptr_array_add(names, g_strdup(name));
  g_ptr_array_sort(names, compare_names);
  return names;
}

static void case_free(gpointer data) {
  Case *c = data;
  g_free(c->name);
  g_free(c->folder);
  g_free(c);
}

static void add_group(const char *suite, const char *group, GPtrArray *cases, GHashTable *found) {
  g_autofree char *path = g_build_filename(suite, group, NULL);
  g_autoptr(GPtrArray) names = list_folder(path);
  for (guint i = 0; i < names->len; i++) {
    Case *c = g_new0(Case, 1);
    c->name = g_strdup_printf("%s/%s", group, (char *)names->pdata[i]);
    c->folder = g_build_filename(path, names->pdata[i], NULL);
    c->reason = g_hash_table_lookup(listed, c->name);
    g_hash_table_add(found, c->name);
    g_ptr_array_add(cases, c);
    g_autofree char *test = g_strconcat("/onnx-suite/", c->name, NULL);
    g_test_add_data_func(test, c, test_case);
  }
}

int main(int argc, char **argv) {
  static const char *const groups[] = {"node", "pytorch-converted", "pytorch-operator", "simple"};
  g_test_init(&argc, &argv, NULL);
  g_test_set_nonfatal_assertions();
  const char *suite = g_getenv("LCIP_ONNX_SUITE") ? g_getenv("LCIP_ONNX_SUITE") : SUITE;
  report_path = g_getenv("LCIP_ONNX_SUITE_REPORT");
  g_autoptr(GPtrArray) cases = g_ptr_array_new_with_free_func(case_free);
  g_autoptr(GHashTable) found = g_hash_table_new(g_str_hash, g_str_equal);
  listed = read_table();
  if (g_file_test(suite, G_FILE_TEST_IS_DIR)) {
    for (guint i = 0; i < G_N_ELEMENTS(groups); i++)
      add_group(suite, groups[i], cases, found);
    g_test_add_data_func("/onnx-suite/table", found, test_table);
  } else {
    g_test_add_func("/onnx-suite/absent", test_absent);
  }
  const int status = g_test_run();
  g_hash_table_unref(listed);
  return status;
}
