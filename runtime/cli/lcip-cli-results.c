#include "config.h"

#include "lcip-cli.h"

#include <math.h>
#include <string.h>

/* Columns of a row of lcip.DetectionSink's tensor; key points (x, y) follow. */
enum { COLUMN_X0, COLUMN_Y0, COLUMN_X1, COLUMN_Y1, COLUMN_SCORE, COLUMN_LABEL, N_BOX_COLUMNS };
/* Columns of a row of lcip.ClassSink's tensor. */
enum { CLASS_LABEL, CLASS_SCORE, N_CLASS_COLUMNS };

/* Rows: an f32 matrix that a sink received. */
typedef struct {
  const float *data;
  guint n;
  guint columns;
} Rows;

static gboolean value_is(const LcipFrameValue *value, const char *op_name, guint min_columns,
                         Rows *rows) {
  if (!value->actor_id || g_strcmp0(value->op_name, op_name) != 0)
    return FALSE;
  const LcipShape *shape = lcip_tensor_get_shape(value->tensor);
  if (lcip_tensor_get_spec(value->tensor)->type != LCIP_TYPE_F32 || shape->rank != 2 ||
      shape->dims[1] < min_columns)
    return FALSE;
  rows->data = lcip_tensor_get_data(value->tensor);
  rows->n = (guint)shape->dims[0];
  rows->columns = (guint)shape->dims[1];
  return TRUE;
}

/* The label of @index in the sink's `labels`, else the number itself. Transfer full. */
static char *find_label(const LcipGraph *graph, const char *actor_id, double index) {
  int i = lcip_graph_find_actor(graph, actor_id);
  const LcipAttrValue *labels =
      i < 0 ? NULL : lcip_attrs_get(lcip_graph_actor(graph, i)->attrs, "labels");
  if (labels && labels->strings && index >= 0 && index < labels->n)
    return g_strdup(labels->strings[(guint)index]);
  return g_strdup_printf("%.0f", index);
}

static void json_detection(LcipCliJson *json, const LcipGraph *graph, const char *actor_id,
                           const float *row, guint columns) {
  g_autofree char *label = find_label(graph, actor_id, row[COLUMN_LABEL]);
  lcip_cli_json_begin_object(json, NULL);
  lcip_cli_json_string(json, "label", label);
  lcip_cli_json_number(json, "score", row[COLUMN_SCORE], 4);
  lcip_cli_json_begin_array(json, "box");
  for (guint i = COLUMN_X0; i <= COLUMN_Y1; i++)
    lcip_cli_json_number(json, NULL, row[i], 2);
  lcip_cli_json_end_array(json);
  if (columns > N_BOX_COLUMNS) {
    lcip_cli_json_begin_array(json, "keypoints");
    for (guint i = N_BOX_COLUMNS; i + 1 < columns; i += 2) {
      lcip_cli_json_begin_array(json, NULL);
      lcip_cli_json_number(json, NULL, row[i], 2);
      lcip_cli_json_number(json, NULL, row[i + 1], 2);
      lcip_cli_json_end_array(json);
    }
    lcip_cli_json_end_array(json);
  }
  lcip_cli_json_end_object(json);
}

static void json_class(LcipCliJson *json, const LcipGraph *graph, const char *actor_id,
                       const float *row) {
  g_autofree char *label = find_label(graph, actor_id, row[CLASS_LABEL]);
  lcip_cli_json_begin_object(json, NULL);
  lcip_cli_json_string(json, "label", label);
  lcip_cli_json_number(json, "score", row[CLASS_SCORE], 4);
  lcip_cli_json_end_object(json);
}

static gboolean json_detections(LcipCliJson *json, const LcipGraph *graph,
                                const LcipFrameValue *value) {
  Rows rows;
  if (!value_is(value, "DetectionSink", N_BOX_COLUMNS, &rows))
    return FALSE;
  lcip_cli_json_begin_array(json, "detections");
  for (guint i = 0; i < rows.n; i++)
    json_detection(json, graph, value->actor_id, rows.data + i * rows.columns, rows.columns);
  lcip_cli_json_end_array(json);
  return TRUE;
}

static gboolean json_classes(LcipCliJson *json, const LcipGraph *graph,
                             const LcipFrameValue *value) {
  Rows rows;
  if (!value_is(value, "ClassSink", N_CLASS_COLUMNS, &rows))
    return FALSE;
  lcip_cli_json_begin_array(json, "classes");
  for (guint i = 0; i < rows.n; i++)
    json_class(json, graph, value->actor_id, rows.data + i * rows.columns);
  lcip_cli_json_end_array(json);
  return TRUE;
}

static void json_shape(LcipCliJson *json, const char *key, const LcipShape *shape) {
  lcip_cli_json_begin_array(json, key);
  for (int d = 0; d < shape->rank; d++)
    lcip_cli_json_int(json, NULL, shape->dims[d]);
  lcip_cli_json_end_array(json);
}

/* Statistics of an f32 tensor: enough to see whether an output is alive. */
static gboolean tensor_range(const LcipTensor *tensor, double *min, double *max, double *mean) {
  gint64 n = lcip_shape_count(lcip_tensor_get_shape(tensor));
  if (lcip_tensor_get_spec(tensor)->type != LCIP_TYPE_F32 || n <= 0)
    return FALSE;
  const float *data = lcip_tensor_get_data(tensor);
  double sum = 0;
  *min = *max = data[0];
  for (gint64 i = 0; i < n; i++) {
    *min = MIN(*min, data[i]);
    *max = MAX(*max, data[i]);
    sum += data[i];
  }
  *mean = sum / (double)n;
  return TRUE;
}

static void json_output(LcipCliJson *json, const LcipFrameValue *value) {
  double min = 0, max = 0, mean = 0;
  lcip_cli_json_begin_object(json, NULL);
  lcip_cli_json_string(json, "name", value->name);
  lcip_cli_json_string(json, "type", lcip_type_name(lcip_tensor_get_spec(value->tensor)->type));
  json_shape(json, "shape", lcip_tensor_get_shape(value->tensor));
  if (tensor_range(value->tensor, &min, &max, &mean)) {
    lcip_cli_json_number(json, "min", min, 6);
    lcip_cli_json_number(json, "max", max, 6);
    lcip_cli_json_number(json, "mean", mean, 6);
  }
  lcip_cli_json_end_object(json);
}

static void json_outputs(LcipCliJson *json, const LcipFrame *frame) {
  gboolean any = FALSE;
  for (guint i = 0; i < frame->n_values; i++) {
    if (frame->values[i].actor_id)
      continue;
    if (!any)
      lcip_cli_json_begin_array(json, "outputs");
    any = TRUE;
    json_output(json, &frame->values[i]);
  }
  if (any)
    lcip_cli_json_end_array(json);
}

void lcip_cli_json_frame(LcipCliJson *json, const LcipGraph *graph, const LcipFrame *frame,
                         const char *picture) {
  gboolean has_detections = FALSE, has_classes = FALSE;
  lcip_cli_json_begin_object(json, NULL);
  lcip_cli_json_int(json, "frame", (gint64)frame->number);
  lcip_cli_json_number(json, "latency_ms", (double)frame->latency_ns / 1e6, 3);
  for (guint i = 0; i < frame->n_values; i++) {
    has_detections = has_detections || json_detections(json, graph, &frame->values[i]);
    has_classes = has_classes || json_classes(json, graph, &frame->values[i]);
  }
  json_outputs(json, frame);
  if (picture)
    lcip_cli_json_string(json, "picture", picture);
  lcip_cli_json_end_object(json);
}

static void print_detections(const LcipGraph *graph, const LcipFrameValue *value) {
  Rows rows;
  if (!value_is(value, "DetectionSink", N_BOX_COLUMNS, &rows))
    return;
  g_print(": %u found", rows.n);
  for (guint i = 0; i < rows.n; i++) {
    const float *row = rows.data + i * rows.columns;
    g_autofree char *label = find_label(graph, value->actor_id, row[COLUMN_LABEL]);
    g_print("; %s %.2f at x %.0f to %.0f, y %.0f to %.0f", label, row[COLUMN_SCORE], row[COLUMN_X0],
            row[COLUMN_X1], row[COLUMN_Y0], row[COLUMN_Y1]);
  }
}

static void print_classes(const LcipGraph *graph, const LcipFrameValue *value) {
  Rows rows;
  if (!value_is(value, "ClassSink", N_CLASS_COLUMNS, &rows))
    return;
  for (guint i = 0; i < rows.n; i++) {
    const float *row = rows.data + i * rows.columns;
    g_autofree char *label = find_label(graph, value->actor_id, row[CLASS_LABEL]);
    g_print("%s %s %.2f", i ? ";" : ":", label, row[CLASS_SCORE]);
  }
}

static void print_output(const LcipFrameValue *value) {
  double min = 0, max = 0, mean = 0;
  g_autofree char *shape = lcip_shape_to_string(lcip_tensor_get_shape(value->tensor));
  g_print("\n  output '%s': %s %s", value->name,
          lcip_type_name(lcip_tensor_get_spec(value->tensor)->type), shape);
  if (tensor_range(value->tensor, &min, &max, &mean))
    g_print(", %.4g to %.4g, mean %.4g", min, max, mean);
}

void lcip_cli_print_frame(const LcipGraph *graph, const LcipFrame *frame, const char *picture) {
  g_print("frame %" G_GUINT64_FORMAT, frame->number);
  for (guint i = 0; i < frame->n_values; i++) {
    print_detections(graph, &frame->values[i]);
    print_classes(graph, &frame->values[i]);
  }
  for (guint i = 0; i < frame->n_values; i++)
    if (!frame->values[i].actor_id)
      print_output(&frame->values[i]);
  g_print(picture ? " -> %s\n" : "\n", picture);
}
