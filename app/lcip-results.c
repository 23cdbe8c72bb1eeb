#include "config.h"

#include "lcip-results.h"

#include "lcip-palette.h"

#include <math.h>

#define TOP 5
#define MAX_ROWS 5
#define MAX_SCANNED (1 << 20) /* elements: this runs on the main thread */

/* The label of class @index of the sink @result came from, or its number. */
static char *label_of(const LcipGraph *graph, const LcipResult *result, int index) {
  int actor = graph && result->actor_id ? lcip_graph_find_actor(graph, result->actor_id) : -1;
  const LcipAttrValue *labels =
      actor >= 0 ? lcip_attrs_get(lcip_graph_actor(graph, actor)->attrs, "labels") : NULL;
  if (labels && index >= 0 && index < (int)labels->n && labels->strings)
    return g_strdup(labels->strings[index]);
  return g_strdup_printf("class %d", index);
}

/* Rows of (x0, y0, x1, y1, score, label, ...) in pixels of the picture. */
static void add_detections(GString *text, const LcipGraph *graph, const LcipResult *result) {
  const LcipShape *shape = lcip_tensor_get_shape(result->tensor);
  const float *data = lcip_tensor_get_data(result->tensor);
  gint64 rows = shape->dims[0], columns = shape->dims[1];
  if (rows == 0)
    g_string_append(text, "Nothing found\n");
  for (gint64 i = 0; i < rows && i < MAX_ROWS; i++, data += columns) {
    g_autofree char *label = label_of(graph, result, (int)data[5]);
    g_string_append_printf(text, "%s %.0f %%  at %.0f, %.0f  size %.0f × %.0f\n", label,
                           100 * data[4], data[0], data[1], data[2] - data[0], data[3] - data[1]);
  }
}

/* Rows of (class, probability). */
static void add_classes(GString *text, const LcipGraph *graph, const LcipResult *result) {
  const LcipShape *shape = lcip_tensor_get_shape(result->tensor);
  const float *data = lcip_tensor_get_data(result->tensor);
  for (gint64 i = 0; i < shape->dims[0] && i < MAX_ROWS; i++, data += 2) {
    g_autofree char *label = label_of(graph, result, (int)data[0]);
    g_string_append_printf(text, "%s %.1f %%\n", label, 100 * data[1]);
  }
}

static void insert_top(gint64 *top, guint *n, const float *data, gint64 index) {
  guint at = *n;
  while (at > 0 && data[top[at - 1]] < data[index])
    at--;
  if (at == TOP)
    return;
  *n = MIN(*n + 1, TOP);
  for (guint i = *n - 1; i > at; i--)
    top[i] = top[i - 1];
  top[at] = index;
}

static void add_floats(GString *text, const float *data, gint64 n) {
  gint64 top[TOP];
  guint n_top = 0;
  float low = INFINITY, high = -INFINITY;
  for (gint64 i = 0; i < n; i++) {
    if (isnan(data[i]))
      continue;
    low = MIN(low, data[i]);
    high = MAX(high, data[i]);
    insert_top(top, &n_top, data, i);
  }
  if (n_top == 0)
    return;
  g_string_append_printf(text, "\n%.3g to %.3g; largest:", low, high);
  for (guint i = 0; i < n_top; i++)
    g_string_append_printf(text, "\n    %.3g at %" G_GINT64_FORMAT, data[top[i]], top[i]);
}

static void add_tensor(GString *text, const LcipResult *result) {
  const LcipShape *shape = lcip_tensor_get_shape(result->tensor);
  g_autofree char *words = lcip_format_shape(shape);
  gint64 n = lcip_shape_count(shape);
  g_string_append_printf(text, "%s  %s", result->name ? result->name : "output", words);
  if (lcip_tensor_get_spec(result->tensor)->type == LCIP_TYPE_F32 && n > 0 && n <= MAX_SCANNED)
    add_floats(text, lcip_tensor_get_data(result->tensor), n);
  g_string_append_c(text, '\n');
}

static gboolean is_rows(const LcipTensor *tensor, gint64 columns) {
  const LcipShape *shape = lcip_tensor_get_shape(tensor);
  return lcip_tensor_get_spec(tensor)->type == LCIP_TYPE_F32 && shape->rank == 2 &&
         shape->dims[1] >= columns;
}

char *lcip_results_to_text(const GPtrArray *results, const LcipGraph *graph) {
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < results->len; i++) {
    const LcipResult *result = results->pdata[i];
    if (g_strcmp0(result->op_name, "DetectionSink") == 0 && is_rows(result->tensor, 6))
      add_detections(text, graph, result);
    else if (g_strcmp0(result->op_name, "ClassSink") == 0 && is_rows(result->tensor, 2))
      add_classes(text, graph, result);
    else
      add_tensor(text, result);
  }
  if (text->len > 0)
    g_string_truncate(text, text->len - 1);
  return g_string_free(text, FALSE);
}
