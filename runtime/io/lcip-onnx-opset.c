#include "config.h"
#include "lcip-onnx-private.h"

#include <string.h>

/* Older forms of operators to those of opset 21, as https://onnx.ai/onnx/operators/ lists them with
 * the versions in which they changed. */

typedef struct {
  LcipOnnxModel *model;
  GPtrArray *out; /* the rewritten nodes */
} Rewrite;

static void problem(const Rewrite *rewrite, const LcipOnnxNode *node, const char *what) {
  lcip_problems_add(rewrite->model->problems, LCIP_PROBLEM_ERROR, NULL,
                    "node \"%s\" (%s, opset %d): %s", *node->name ? node->name : "(no name)",
                    node->op_type, rewrite->model->opset, what);
}

/* ---- new values ---- */

static const char *first_output(const LcipOnnxNode *node) {
  return node->outputs->len ? node->outputs->pdata[0] : "";
}

/* A name that no other value has, from the node's output. */
static char *value_name(const Rewrite *rewrite, const LcipOnnxNode *node, const char *what) {
  char *name = g_strdup_printf("%s/%s", first_output(node), what);
  while (g_hash_table_contains(rewrite->model->initializers, name)) {
    char *longer = g_strconcat(name, "_", NULL);
    g_free(name);
    name = longer;
  }
  return name;
}

/* Input @i of @node becomes @tensor (transfer full). */
static void set_constant(Rewrite *rewrite, LcipOnnxNode *node, guint i, const char *what,
                         LcipTensor *tensor) {
  char *name = value_name(rewrite, node, what);
  while (node->inputs->len <= i)
    g_ptr_array_add(node->inputs, g_strdup(""));
  g_free(node->inputs->pdata[i]);
  node->inputs->pdata[i] = g_strdup(name);
  g_hash_table_insert(rewrite->model->initializers, name, tensor);
}

static LcipTensor *f32_tensor(const float *values, guint n, int rank) {
  const gint64 dim = n;
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape_from_dims(rank, &dim));
  return lcip_tensor_new_from_data(&spec, values);
}

/* ---- attributes that became inputs ---- */

static void ints_to_input(Rewrite *rewrite, LcipOnnxNode *node, const char *name, guint i) {
  const LcipOnnxAttr *attr = lcip_onnx_node_attr(node, name);
  if (!attr)
    return;
  set_constant(rewrite, node, i, name,
               lcip_tensor_new_i64(attr->ints->len, (const gint64 *)(void *)attr->ints->data));
  lcip_onnx_node_remove_attr(node, name);
}

static void float_to_input(Rewrite *rewrite, LcipOnnxNode *node, const char *name, guint i) {
  const LcipOnnxAttr *attr = lcip_onnx_node_attr(node, name);
  if (attr && attr->floats->len > 0)
    set_constant(rewrite, node, i, name,
                 f32_tensor((const float *)(void *)attr->floats->data, 1, 0));
  lcip_onnx_node_remove_attr(node, name);
}

static void clip_6(Rewrite *rewrite, LcipOnnxNode *node) {
  float_to_input(rewrite, node, "min", 1);
  float_to_input(rewrite, node, "max", 2);
}

static void axes_to_input(Rewrite *rewrite, LcipOnnxNode *node) {
  ints_to_input(rewrite, node, "axes", 1);
}

static void split_attr_to_input(Rewrite *rewrite, LcipOnnxNode *node) {
  ints_to_input(rewrite, node, "split", 1);
}

static void split_count(Rewrite *rewrite, LcipOnnxNode *node) {
  const gboolean has_split = node->inputs->len > 1 && *(char *)node->inputs->pdata[1];
  if (!has_split && !lcip_onnx_node_attr(node, "num_outputs"))
    lcip_onnx_node_add_int(node, "num_outputs", node->outputs->len);
}

static void slice_1(Rewrite *rewrite, LcipOnnxNode *node) {
  ints_to_input(rewrite, node, "starts", 1);
  ints_to_input(rewrite, node, "ends", 2);
  ints_to_input(rewrite, node, "axes", 3);
}

static void pad_2(Rewrite *rewrite, LcipOnnxNode *node) {
  ints_to_input(rewrite, node, "paddings", 1);
  ints_to_input(rewrite, node, "pads", 1);
  float_to_input(rewrite, node, "value", 2);
}

static void reshape_1(Rewrite *rewrite, LcipOnnxNode *node) {
  ints_to_input(rewrite, node, "shape", 1);
}

static void top_k_1(Rewrite *rewrite, LcipOnnxNode *node) {
  const LcipOnnxAttr *attr = lcip_onnx_node_attr(node, "k");
  if (attr && attr->ints->len > 0)
    set_constant(rewrite, node, 1, "k",
                 lcip_tensor_new_i64(1, (const gint64 *)(void *)attr->ints->data));
  lcip_onnx_node_remove_attr(node, "k");
}

static void dropout_7(Rewrite *rewrite, LcipOnnxNode *node) {
  float_to_input(rewrite, node, "ratio", 1);
  lcip_onnx_node_remove_attr(node, "is_test");
}

/* Random numbers are drawn in training alone. */
static void dropout_seed(Rewrite *rewrite, LcipOnnxNode *node) {
  lcip_onnx_node_remove_attr(node, "seed");
}

/* Up to opset 15 regions had no half pixel. */
static void roi_align_15(Rewrite *rewrite, LcipOnnxNode *node) {
  if (!lcip_onnx_node_attr(node, "coordinate_transformation_mode"))
    lcip_onnx_node_add_string(node, "coordinate_transformation_mode", "output_half_pixel");
}

static void rename_string(LcipOnnxNode *node, const char *attr, const char *from, const char *to) {
  const LcipOnnxAttr *found = lcip_onnx_node_attr(node, attr);
  if (!found || found->strings->len == 0 || !g_str_equal(found->strings->pdata[0], from))
    return;
  lcip_onnx_node_remove_attr(node, attr);
  lcip_onnx_node_add_string(node, attr, to);
}

static void grid_sample_16(Rewrite *rewrite, LcipOnnxNode *node) {
  rename_string(node, "mode", "bilinear", "linear");
  rename_string(node, "mode", "bicubic", "cubic");
}

/* A sum of two is what fast kernels and fusion know as Add. */
static void sum_of_two(Rewrite *rewrite, LcipOnnxNode *node) {
  if (node->inputs->len != 2)
    return;
  g_free(node->op_type);
  node->op_type = g_strdup("Add");
}

static void scatter_10(Rewrite *rewrite, LcipOnnxNode *node) {
  g_free(node->op_type);
  node->op_type = g_strdup("ScatterElements");
}

static void concat_1(Rewrite *rewrite, LcipOnnxNode *node) {
  if (!lcip_onnx_node_attr(node, "axis"))
    lcip_onnx_node_add_int(node, "axis", 1);
}

/* ---- batch normalisation: what training alone uses goes ---- */

static void batch_norm_13(Rewrite *rewrite, LcipOnnxNode *node) {
  const LcipOnnxAttr *spatial = lcip_onnx_node_attr(node, "spatial");
  if (spatial && spatial->ints->len > 0 && g_array_index(spatial->ints, gint64, 0) != 1)
    problem(rewrite, node, "LCIP has batch normalisation with spatial = 1 only");
  lcip_onnx_node_remove_attr(node, "spatial");
  lcip_onnx_node_remove_attr(node, "is_test");
  if (node->outputs->len > 1)
    g_ptr_array_set_size(node->outputs, 1);
}

/* ---- resizing ---- */

static void resize_10(Rewrite *rewrite, LcipOnnxNode *node) {
  if (node->inputs->len == 2)
    g_ptr_array_insert(node->inputs, 1, g_strdup(""));
  lcip_onnx_node_add_string(node, "coordinate_transformation_mode", "asymmetric");
  lcip_onnx_node_add_string(node, "nearest_mode", "floor");
}

static void upsample(Rewrite *rewrite, LcipOnnxNode *node) {
  const LcipOnnxAttr *scales = lcip_onnx_node_attr(node, "scales");
  const LcipOnnxAttr *mode = lcip_onnx_node_attr(node, "mode");
  g_free(node->op_type);
  node->op_type = g_strdup("Resize");
  if (mode && mode->strings->len > 0 && g_str_equal(mode->strings->pdata[0], "bilinear")) {
    lcip_onnx_node_remove_attr(node, "mode");
    lcip_onnx_node_add_string(node, "mode", "linear");
  }
  if (scales) {
    set_constant(rewrite, node, 1, "scales",
                 f32_tensor((const float *)(void *)scales->floats->data, scales->floats->len, 1));
    lcip_onnx_node_remove_attr(node, "scales");
  }
  resize_10(rewrite, node);
}

/* Up to opset 12 an empty tensor stood for an absent one of roi, scales and sizes. */
static void resize_11(Rewrite *rewrite, LcipOnnxNode *node) {
  for (guint i = 1; i < node->inputs->len; i++) {
    const LcipTensor *tensor =
        g_hash_table_lookup(rewrite->model->initializers, node->inputs->pdata[i]);
    if (!tensor || lcip_tensor_get_bytes(tensor) > 0)
      continue;
    g_free(node->inputs->pdata[i]);
    node->inputs->pdata[i] = g_strdup("");
  }
}

/* ---- softmax over all dimensions from an axis on ---- */

static gint64 int_attr(const LcipOnnxNode *node, const char *name, gint64 fallback) {
  const LcipOnnxAttr *attr = lcip_onnx_node_attr(node, name);
  return attr && attr->ints->len > 0 ? g_array_index(attr->ints, gint64, 0) : fallback;
}

static const LcipOnnxNode *producer(const Rewrite *rewrite, const char *value) {
  for (guint i = 0; i < rewrite->out->len; i++) {
    const LcipOnnxNode *node = rewrite->out->pdata[i];
    for (guint k = 0; k < node->outputs->len; k++)
      if (g_str_equal(node->outputs->pdata[k], value))
        return node;
  }
  return NULL;
}

/* The rank of a value, or -1: as declared, or by what made it. */
static int rank_of(const Rewrite *rewrite, const char *value) {
  static const char *const flat[] = {"Gemm", "Flatten", NULL};
  const int declared = GPOINTER_TO_INT(g_hash_table_lookup(rewrite->model->values, value));
  const LcipTensor *constant = g_hash_table_lookup(rewrite->model->initializers, value);
  if (constant)
    return lcip_tensor_get_spec(constant)->shape.rank;
  if (declared > 0)
    return declared - 1;
  const LcipOnnxNode *node = producer(rewrite, value);
  return node && !*node->domain && g_strv_contains(flat, node->op_type) ? 2 : -1;
}

static LcipOnnxNode *add_node(Rewrite *rewrite, const LcipOnnxNode *like, const char *op_type,
                              const char *input, const char *output) {
  LcipOnnxNode *node = lcip_onnx_node_new(op_type);
  node->offset = like->offset;
  g_free(node->name);
  node->name = g_strdup(like->name);
  g_ptr_array_add(node->inputs, g_strdup(input));
  g_ptr_array_add(node->outputs, g_strdup(output));
  g_ptr_array_add(rewrite->out, node);
  return node;
}

/* Before opset 13 softmax flattened its input to two dimensions at the axis. Where the axis is the
 * last dimension that is today's softmax; otherwise Flatten, softmax and Reshape do the same. */
static void softmax_11(Rewrite *rewrite, LcipOnnxNode *node) {
  const gint64 axis = int_attr(node, "axis", 1);
  if (node->inputs->len == 0 || node->outputs->len == 0)
    return;
  const int rank = rank_of(rewrite, node->inputs->pdata[0]);
  lcip_onnx_node_remove_attr(node, "axis");
  lcip_onnx_node_add_int(node, "axis", -1);
  if (axis == -1 || (rank >= 0 && axis == rank - 1))
    return;
  g_autofree char *input = g_strdup(node->inputs->pdata[0]);
  g_autofree char *output = g_strdup(node->outputs->pdata[0]);
  g_autofree char *flat = g_strconcat(output, "/flat", NULL);
  g_autofree char *soft = g_strconcat(output, "/softmax", NULL);
  g_autofree char *shape = g_strconcat(output, "/shape", NULL);
  lcip_onnx_node_add_int(add_node(rewrite, node, "Flatten", input, flat), "axis", axis);
  add_node(rewrite, node, "Shape", input, shape);
  LcipOnnxNode *inner = add_node(rewrite, node, node->op_type, flat, soft);
  lcip_onnx_node_add_int(inner, "axis", -1);
  g_free(node->op_type);
  node->op_type = g_strdup("Reshape");
  lcip_onnx_node_remove_attr(node, "axis");
  g_free(node->inputs->pdata[0]);
  node->inputs->pdata[0] = g_strdup(soft);
  g_ptr_array_add(node->inputs, g_strdup(shape));
}

/* ---- broadcasting before opset 7 ---- */

/* Operand @i gets @n dimensions of size 1 behind its own. */
static void add_dims(Rewrite *rewrite, LcipOnnxNode *node, guint i, int n) {
  gint64 axes[LCIP_MAX_RANK];
  if (n < 1 || n > LCIP_MAX_RANK)
    return;
  for (int k = 0; k < n; k++)
    axes[k] = k - n;
  g_autofree char *wide = value_name(rewrite, node, "operand");
  LcipOnnxNode *unsqueeze = add_node(rewrite, node, "Unsqueeze", node->inputs->pdata[i], wide);
  set_constant(rewrite, unsqueeze, 1, "axes", lcip_tensor_new_i64((gsize)n, axes));
  g_free(node->inputs->pdata[i]);
  node->inputs->pdata[i] = g_steal_pointer(&wide);
}

/* The second operand's first dimension was the first one's at "axis". */
static void broadcast_6(Rewrite *rewrite, LcipOnnxNode *node) {
  const gboolean has_axis = lcip_onnx_node_attr(node, "axis") != NULL;
  const gint64 axis = int_attr(node, "axis", 0);
  lcip_onnx_node_remove_attr(node, "axis");
  lcip_onnx_node_remove_attr(node, "broadcast");
  if (!has_axis || node->inputs->len != 2)
    return;
  const int a = rank_of(rewrite, node->inputs->pdata[0]);
  const int b = rank_of(rewrite, node->inputs->pdata[1]);
  if (a < 0 || b < 0)
    problem(rewrite, node,
            "LCIP reads broadcasting along an axis (opsets 1 to 6) of operands with a shape only");
  else
    add_dims(rewrite, node, 1, a - (int)CLAMP(axis < 0 ? axis + a : axis, 0, a) - b);
}

/* One slope per channel stood for one dimension, the channels'. */
static void prelu_6(Rewrite *rewrite, LcipOnnxNode *node) {
  if (node->inputs->len != 2 || rank_of(rewrite, node->inputs->pdata[1]) != 1)
    return;
  add_dims(rewrite, node, 1, rank_of(rewrite, node->inputs->pdata[0]) - 2);
}

/* ---- f16 and f64 are computed in f32 ---- */

static void cast_target(Rewrite *rewrite, LcipOnnxNode *node) {
  LcipOnnxAttr *to = lcip_onnx_node_attr(node, "to");
  if (!to || to->ints->len == 0)
    return;
  gint64 *type = &g_array_index(to->ints, gint64, 0);
  if (lcip_onnx_type(*type) != LCIP_TYPE_F32 || *type == 1)
    return;
  *type = 1;
  rewrite->model->widened = TRUE;
}

/* ---- the table ---- */

typedef struct {
  const char *op_type;
  int until; /* the last opset whose form is rewritten */
  void (*rewrite)(Rewrite *rewrite, LcipOnnxNode *node);
} Rule;

static const Rule rules[] = {
    {"Add", 6, broadcast_6},
    {"And", 6, broadcast_6},
    {"BatchNormalization", 13, batch_norm_13},
    {"Cast", G_MAXINT, cast_target},
    {"Clip", 10, clip_6},
    {"Concat", 3, concat_1},
    {"Div", 6, broadcast_6},
    {"Dropout", 11, dropout_7},
    {"Dropout", G_MAXINT, dropout_seed},
    {"Equal", 6, broadcast_6},
    {"Gemm", 6, broadcast_6},
    {"Greater", 6, broadcast_6},
    {"GridSample", G_MAXINT, grid_sample_16},
    {"Hardmax", 12, softmax_11},
    {"Less", 6, broadcast_6},
    {"LogSoftmax", 12, softmax_11},
    {"Mul", 6, broadcast_6},
    {"Or", 6, broadcast_6},
    {"PRelu", 6, prelu_6},
    {"Pad", 10, pad_2},
    {"Pow", 6, broadcast_6},
    {"ReduceL1", 17, axes_to_input},
    {"ReduceL2", 17, axes_to_input},
    {"ReduceLogSum", 17, axes_to_input},
    {"ReduceLogSumExp", 17, axes_to_input},
    {"ReduceMax", 17, axes_to_input},
    {"ReduceMean", 17, axes_to_input},
    {"ReduceMin", 17, axes_to_input},
    {"ReduceProd", 17, axes_to_input},
    {"ReduceSum", 12, axes_to_input},
    {"ReduceSumSquare", 17, axes_to_input},
    {"Reshape", 4, reshape_1},
    {"Resize", 10, resize_10},
    {"Resize", 12, resize_11},
    {"RoiAlign", 15, roi_align_15},
    {"Scatter", G_MAXINT, scatter_10},
    {"Slice", 9, slice_1},
    {"Softmax", 12, softmax_11},
    {"Split", 12, split_attr_to_input},
    {"Split", 17, split_count},
    {"Squeeze", 12, axes_to_input},
    {"Sub", 6, broadcast_6},
    {"Sum", G_MAXINT, sum_of_two},
    {"TopK", 9, top_k_1},
    {"Unsqueeze", 12, axes_to_input},
    {"Upsample", 9, upsample},
    {"Xor", 6, broadcast_6},
};

static void apply_rules(Rewrite *rewrite, LcipOnnxNode *node) {
  g_autofree char *op_type = g_strdup(node->op_type);
  if (rewrite->model->opset < 6)
    lcip_onnx_node_remove_attr(node, "consumed_inputs");
  for (gsize i = 0; i < G_N_ELEMENTS(rules); i++)
    if (rewrite->model->opset <= rules[i].until && g_str_equal(op_type, rules[i].op_type))
      rules[i].rewrite(rewrite, node);
}

/* ---- constants ---- */

static LcipTensor *constant_value(const LcipOnnxAttr *attr) {
  switch (attr->type) {
  case LCIP_ATTR_TENSOR:
    return attr->tensor ? lcip_tensor_ref(attr->tensor) : NULL;
  case LCIP_ATTR_FLOAT:
  case LCIP_ATTR_FLOATS:
    return f32_tensor((const float *)(void *)attr->floats->data, attr->floats->len,
                      attr->type == LCIP_ATTR_FLOATS);
  case LCIP_ATTR_INT: {
    const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_I64, lcip_shape(0));
    return lcip_tensor_new_from_data(&spec, attr->ints->data);
  }
  case LCIP_ATTR_INTS:
    return lcip_tensor_new_i64(attr->ints->len, (const gint64 *)(void *)attr->ints->data);
  default:
    return NULL;
  }
}

/* TRUE where the node is gone: its output is an initializer now. */
static gboolean take_constant(Rewrite *rewrite, const LcipOnnxNode *node) {
  GHashTable *initializers = rewrite->model->initializers;
  if (!g_str_equal(node->op_type, "Constant") || node->outputs->len != 1 ||
      g_hash_table_contains(initializers, first_output(node)))
    return FALSE;
  const LcipOnnxAttr *attr = node->attrs->len == 1 ? node->attrs->pdata[0] : NULL;
  LcipTensor *tensor = attr && !attr->unsupported ? constant_value(attr) : NULL;
  if (!tensor)
    problem(rewrite, node, "LCIP reads constants of one tensor, number or list of numbers");
  g_hash_table_insert(initializers, g_strdup(first_output(node)), tensor);
  return TRUE;
}

void lcip_onnx_modernise(LcipOnnxModel *model) {
  g_autoptr(GPtrArray) old = g_steal_pointer(&model->nodes);
  Rewrite rewrite = {model, g_ptr_array_new_with_free_func((GDestroyNotify)lcip_onnx_node_free)};
  g_ptr_array_set_free_func(old, NULL);
  for (guint i = 0; i < old->len; i++) {
    LcipOnnxNode *node = old->pdata[i];
    if (!*node->domain && take_constant(&rewrite, node)) {
      lcip_onnx_node_free(node);
      continue;
    }
    if (!*node->domain)
      apply_rules(&rewrite, node);
    g_ptr_array_add(rewrite.out, node);
  }
  model->nodes = rewrite.out;
}
