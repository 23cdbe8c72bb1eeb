#include "config.h"
#include "lcip-analysis.h"
#include "lcip-io.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

/* Models are made here field by field, so that forms that exporters no longer write are tested too.
 * Numbers are those of onnx.proto. */

static char *scratch;

/* ---- protobuf ---- */

typedef GByteArray Pb;

static void pb_varint(Pb *pb, guint64 value) {
  do {
    const guint8 byte = (guint8)((value & 127) | (value > 127 ? 128 : 0));
    g_byte_array_append(pb, &byte, 1);
    value >>= 7;
  } while (value);
}

static Pb *pb_int(Pb *pb, guint field, gint64 value) {
  pb_varint(pb, field << 3);
  pb_varint(pb, (guint64)value);
  return pb;
}

static Pb *pb_bytes(Pb *pb, guint field, gconstpointer data, gsize size) {
  pb_varint(pb, field << 3 | 2);
  pb_varint(pb, size);
  g_byte_array_append(pb, data, (guint)size);
  return pb;
}

static Pb *pb_text(Pb *pb, guint field, const char *text) {
  return pb_bytes(pb, field, text, strlen(text));
}

/* Takes @child. */
static Pb *pb_message(Pb *pb, guint field, Pb *child) {
  pb_bytes(pb, field, child->data, child->len);
  g_byte_array_unref(child);
  return pb;
}

static Pb *pb_float(Pb *pb, guint field, float value) {
  pb_varint(pb, field << 3 | 5);
  g_byte_array_append(pb, (const guint8 *)&value, 4);
  return pb;
}

#define pb_new g_byte_array_new

/* ---- parts of models ---- */

static Pb *tensor(const char *name, gint64 elem_type, guint rank, const gint64 *dims) {
  Pb *pb = pb_new();
  for (guint i = 0; i < rank; i++)
    pb_int(pb, 1, dims[i]);
  pb_int(pb, 2, elem_type);
  return pb_text(pb, 8, name);
}

static Pb *f32_values(const char *name, gint64 n, const float *values) {
  return pb_bytes(tensor(name, 1, 1, &n), 9, values, sizeof(float) * (gsize)n);
}

static Pb *value(const char *name, gint64 elem_type, guint rank, const gint64 *dims) {
  Pb *shape = pb_new();
  for (guint i = 0; i < rank; i++)
    pb_message(shape, 1,
               dims[i] < 0 ? pb_text(pb_new(), 2, "batch") : pb_int(pb_new(), 1, dims[i]));
  Pb *type = pb_message(pb_int(pb_new(), 1, elem_type), 2, shape);
  return pb_message(pb_text(pb_new(), 1, name), 2, pb_message(pb_new(), 1, type));
}

/* "Op in,in -> out,out": names separated by commas. */
static Pb *node(const char *op, const char *inputs, const char *outputs) {
  Pb *pb = pb_new();
  g_auto(GStrv) in = g_strsplit(inputs, ",", -1), out = g_strsplit(outputs, ",", -1);
  for (char **name = in; *name; name++)
    pb_text(pb, 1, *name);
  for (char **name = out; *name; name++)
    pb_text(pb, 2, *name);
  return pb_text(pb, 4, op);
}

static Pb *with_int(Pb *pb, const char *name, gint64 number) {
  return pb_message(pb, 5, pb_int(pb_int(pb_text(pb_new(), 1, name), 3, number), 20, 2));
}

static Pb *with_float(Pb *pb, const char *name, float number) {
  return pb_message(pb, 5, pb_int(pb_float(pb_text(pb_new(), 1, name), 2, number), 20, 1));
}

static Pb *with_text(Pb *pb, const char *name, const char *text) {
  return pb_message(pb, 5, pb_int(pb_text(pb_text(pb_new(), 1, name), 4, text), 20, 3));
}

static Pb *with_ints(Pb *pb, const char *name, guint n, const gint64 *numbers) {
  Pb *attr = pb_int(pb_text(pb_new(), 1, name), 20, 7);
  for (guint i = 0; i < n; i++)
    pb_int(attr, 8, numbers[i]);
  return pb_message(pb, 5, attr);
}

static Pb *with_floats(Pb *pb, const char *name, guint n, const float *numbers) {
  Pb *attr = pb_int(pb_text(pb_new(), 1, name), 20, 6);
  return pb_message(pb, 5, pb_bytes(attr, 7, numbers, sizeof(float) * n));
}

static Pb *with_tensor(Pb *pb, const char *name, Pb *proto) {
  return pb_message(pb, 5, pb_int(pb_message(pb_text(pb_new(), 1, name), 5, proto), 20, 4));
}

/* A graph with input x of 1x4x2x2 and output y; nodes and initializers are added to it. */
static Pb *graph_of(void) {
  const gint64 dims[] = {1, 4, 2, 2};
  Pb *pb = pb_text(pb_new(), 2, "made");
  pb_message(pb, 11, value("x", 1, 4, dims));
  return pb_message(pb, 12, value("y", 1, 4, dims));
}

static char *write_model(Pb *graph, gint64 opset) {
  g_autoptr(GByteArray) model = pb_int(pb_new(), 1, 7);
  char *path = g_build_filename(scratch, "m.onnx", NULL);
  pb_message(model, 8, pb_int(pb_text(pb_new(), 1, ""), 2, opset));
  pb_message(model, 8, pb_int(pb_text(pb_new(), 1, "com.example"), 2, 3));
  pb_message(model, 7, graph);
  FILE *file = fopen(path, "wb");
  g_assert_cmpuint(fwrite(model->data, 1, model->len, file), ==, model->len);
  fclose(file);
  return path;
}

/* Takes @graph. */
static LcipGraph *read_problems(Pb *graph, gint64 opset, GPtrArray *problems) {
  g_autofree char *path = write_model(graph, opset);
  GError *error = NULL;
  LcipGraph *read = lcip_onnx_read(path, problems, &error);
  g_assert_no_error(error);
  return read;
}

static LcipGraph *read_good(Pb *graph, gint64 opset) {
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  LcipGraph *read = read_problems(graph, opset, problems);
  for (guint i = 0; i < problems->len; i++)
    g_test_message("%s", ((LcipProblem *)problems->pdata[i])->message);
  g_assert_false(lcip_problems_have_errors(problems));
  return read;
}

static void assert_mentions(const GPtrArray *problems, const char *actor_id, const char *text) {
  for (guint i = 0; i < problems->len; i++) {
    const LcipProblem *problem = problems->pdata[i];
    if (g_strcmp0(problem->actor_id, actor_id) == 0 && strstr(problem->message, text))
      return;
  }
  for (guint i = 0; i < problems->len; i++)
    g_test_message("%s", ((LcipProblem *)problems->pdata[i])->message);
  g_error("expected a problem of %s: \"%s\"", actor_id ? actor_id : "the model", text);
}

static void read_bad(Pb *graph, gint64 opset, const char *fragment) {
  g_autofree char *path = write_model(graph, opset);
  GError *error = NULL;
  g_assert_null(lcip_onnx_read(path, NULL, &error));
  if (!strstr(error->message, fragment))
    g_error("expected \"%s\" in \"%s\"", fragment, error->message);
  g_clear_error(&error);
}

static const LcipActor *actor_of(const LcipGraph *graph, const char *id) {
  const int index = lcip_graph_find_actor(graph, id);
  if (index < 0)
    g_error("expected an actor %s", id);
  return lcip_graph_actor(graph, index);
}

static void assert_i64(const LcipActor *actor, guint port, guint n, const gint64 *expected) {
  g_assert_cmpuint(port, <, actor->n_inputs);
  const LcipTensor *constant = actor->constants[port];
  g_assert_nonnull(constant);
  g_assert_cmpint(lcip_tensor_get_spec(constant)->type, ==, LCIP_TYPE_I64);
  g_assert_cmpmem(lcip_tensor_get_data(constant), lcip_tensor_get_bytes(constant), expected,
                  sizeof(gint64) * n);
}

static void assert_f32(const LcipActor *actor, guint port, guint n, const float *expected) {
  g_assert_cmpuint(port, <, actor->n_inputs);
  const LcipTensor *constant = actor->constants[port];
  g_assert_nonnull(constant);
  g_assert_cmpint(lcip_tensor_get_spec(constant)->type, ==, LCIP_TYPE_F32);
  g_assert_cmpmem(lcip_tensor_get_data(constant), lcip_tensor_get_bytes(constant), expected,
                  sizeof(float) * n);
}

/* ---- whole models ---- */

static void check_model(const char *name, guint n_actors, int opset) {
  g_autofree char *path =
      g_build_filename(g_getenv("LCIP_DATA_PATH"), "data", "models", name, NULL);
  GError *error = NULL;
  g_autoptr(LcipGraph) graph = lcip_graph_load(path, NULL, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(graph->actors->len, ==, n_actors);
  g_assert_cmpint(graph->opset, ==, 21);
  g_assert_cmpint(graph->source_opset, ==, opset);
  g_assert_cmpuint(graph->inputs->len, ==, 1);
  for (guint i = 0; i < graph->actors->len; i++) {
    const LcipActor *actor = lcip_graph_actor(graph, (int)i);
    g_assert_nonnull(actor->op);
    g_assert_cmpint(lcip_graph_find_actor(graph, actor->id), ==, (int)i);
  }
}

static void test_models(void) {
  check_model("blazeface-back-256.onnx", 149, 12);
  check_model("selfie-segmentation-256.onnx", 236, 11);
}

/* ---- names ---- */

static void test_names(void) {
  Pb *graph = graph_of();
  pb_message(graph, 1, node("Relu", "x", "a"));
  pb_message(graph, 1, pb_text(node("Relu", "a", "b"), 3, "same"));
  pb_message(graph, 1, pb_text(node("Relu", "b", "c"), 3, "same"));
  pb_message(graph, 1, node("MaxPool", "c", "y"));
  pb_message(graph, 1, node("LRN", "c", "z"));
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_autoptr(LcipGraph) read = read_problems(graph, 13, problems);
  static const char *const ids[] = {"relu_1", "relu_2", "relu_3", "max_pool_1", "lrn_1"};
  for (guint i = 0; i < G_N_ELEMENTS(ids); i++)
    g_assert_cmpstr(lcip_graph_actor(read, (int)i)->id, ==, ids[i]);
  g_assert_cmpstr(actor_of(read, "relu_1")->name, ==, "");
  g_assert_cmpstr(actor_of(read, "relu_3")->name, ==, "same");
  g_assert_cmpstr(((LcipGraphPort *)read->inputs->pdata[0])->id, ==, "x");
}

static void test_dimensions(void) {
  const gint64 dims[] = {-1, 3};
  Pb *graph = pb_message(pb_new(), 11, value("x:0", 1, 2, dims));
  pb_message(graph, 12, pb_text(pb_new(), 1, "y"));
  pb_message(graph, 1, node("Relu", "x:0", "y"));
  g_autoptr(LcipGraph) read = read_good(graph, 13);
  const LcipGraphPort *port = read->inputs->pdata[0];
  g_assert_cmpstr(port->id, ==, "x_0");
  g_assert_cmpstr(port->name, ==, "x:0");
  g_assert_cmpstr(port->dim_names[0], ==, "batch");
  g_assert_cmpint(port->spec.shape.dims[0], ==, -1);
  g_assert_cmpint(port->spec.shape.dims[1], ==, 3);
  g_assert_cmpint(((LcipGraphPort *)read->outputs->pdata[0])->spec.type, ==, LCIP_TYPE_NONE);
}

/* ---- older forms ---- */

static void test_clip_6(void) {
  const float zero = 0, six = 6;
  Pb *graph = graph_of();
  pb_message(graph, 1, with_float(with_float(node("Clip", "x", "a"), "min", 0), "max", 6));
  pb_message(graph, 1, with_float(node("Clip", "a", "y"), "max", 6));
  g_autoptr(LcipGraph) read = read_good(graph, 6);
  assert_f32(actor_of(read, "clip_1"), 1, 1, &zero);
  assert_f32(actor_of(read, "clip_1"), 2, 1, &six);
  g_assert_null(actor_of(read, "clip_2")->constants[1]);
  g_assert_null(lcip_graph_edge_to(read, lcip_graph_find_actor(read, "clip_2"), 1));
  assert_f32(actor_of(read, "clip_2"), 2, 1, &six);
}

static void test_axes(void) {
  const gint64 axes[] = {0, 3}, starts[] = {0, 1}, ends[] = {1, 2};
  Pb *graph = graph_of(), *slice = node("Slice", "x", "a");
  with_ints(with_ints(with_ints(slice, "starts", 2, starts), "ends", 2, ends), "axes", 2, axes);
  pb_message(graph, 1, slice);
  pb_message(graph, 1, with_ints(node("Unsqueeze", "a", "b"), "axes", 2, axes));
  pb_message(graph, 1, with_ints(node("Squeeze", "b", "c"), "axes", 2, axes));
  pb_message(graph, 1,
             with_int(with_ints(node("ReduceMean", "c", "y"), "axes", 2, axes), "keepdims", 0));
  g_autoptr(LcipGraph) read = read_good(graph, 9);
  assert_i64(actor_of(read, "slice_1"), 1, 2, starts);
  assert_i64(actor_of(read, "slice_1"), 2, 2, ends);
  assert_i64(actor_of(read, "slice_1"), 3, 2, axes);
  assert_i64(actor_of(read, "unsqueeze_1"), 1, 2, axes);
  assert_i64(actor_of(read, "squeeze_1"), 1, 2, axes);
  assert_i64(actor_of(read, "reduce_mean_1"), 1, 2, axes);
  g_assert_cmpint(lcip_attrs_get_int(actor_of(read, "reduce_mean_1")->attrs, "keepdims"), ==, 0);
}

static void test_pad_split_reshape(void) {
  const gint64 pads[] = {0, 0, 1, 1, 0, 0, 1, 1}, split[] = {2, 2}, shape[] = {1, -1};
  const float half = 0.5f;
  Pb *graph = graph_of();
  pb_message(graph, 1,
             with_float(with_ints(node("Pad", "x", "a"), "pads", 8, pads), "value", half));
  pb_message(graph, 1,
             with_int(with_ints(node("Split", "a", "b,c"), "split", 2, split), "axis", 1));
  pb_message(graph, 1, node("Split", "b", "d,e"));
  pb_message(graph, 1, with_ints(node("Reshape", "d", "y"), "shape", 2, shape));
  g_autoptr(LcipGraph) read = read_good(graph, 4);
  assert_i64(actor_of(read, "pad_1"), 1, 8, pads);
  assert_f32(actor_of(read, "pad_1"), 2, 1, &half);
  assert_i64(actor_of(read, "split_1"), 1, 2, split);
  g_assert_cmpint(lcip_attrs_get_int(actor_of(read, "split_2")->attrs, "num_outputs"), ==, 2);
  assert_i64(actor_of(read, "reshape_1"), 1, 2, shape);
}

static void test_resize(void) {
  const float scales[] = {1, 1, 2, 2};
  Pb *graph = graph_of();
  pb_message(graph, 5, f32_values("s", 4, scales));
  pb_message(
      graph, 1,
      with_text(with_floats(node("Upsample", "x", "a"), "scales", 4, scales), "mode", "bilinear"));
  pb_message(graph, 1, node("Upsample", "a,s", "y"));
  g_autoptr(LcipGraph) read = read_good(graph, 7);
  for (int i = 0; i < 2; i++) {
    const LcipActor *actor = lcip_graph_actor(read, i);
    g_assert_cmpstr(actor->op_name, ==, "Resize");
    g_assert_null(actor->constants[1]);
    assert_f32(actor, 2, 4, scales);
    g_assert_cmpstr(lcip_attrs_get_string(actor->attrs, "coordinate_transformation_mode"), ==,
                    "asymmetric");
    g_assert_cmpstr(lcip_attrs_get_string(actor->attrs, "nearest_mode"), ==, "floor");
    g_assert_cmpstr(lcip_attrs_get_string(actor->attrs, "mode"), ==, i ? "nearest" : "linear");
  }
  graph = graph_of();
  pb_message(graph, 5, f32_values("s", 4, scales));
  pb_message(graph, 5, f32_values("none", 0, NULL));
  pb_message(graph, 1, node("Resize", "x,none,s", "y"));
  g_autoptr(LcipGraph) eleven = read_good(graph, 11);
  g_assert_null(actor_of(eleven, "resize_1")->constants[1]);
  assert_f32(actor_of(eleven, "resize_1"), 2, 4, scales);
}

/* Four dimensions and axis 1: over everything but the batch, not over the channels alone. */
static void test_softmax_12(void) {
  Pb *graph = graph_of();
  pb_message(graph, 1, node("Softmax", "x", "y"));
  g_autoptr(LcipGraph) read = read_good(graph, 12);
  static const char *const ids[] = {"flatten_1", "shape_1", "softmax_1", "reshape_1"};
  g_assert_cmpuint(read->actors->len, ==, G_N_ELEMENTS(ids));
  for (guint i = 0; i < G_N_ELEMENTS(ids); i++)
    g_assert_cmpstr(lcip_graph_actor(read, (int)i)->id, ==, ids[i]);
  g_assert_cmpint(lcip_attrs_get_int(actor_of(read, "flatten_1")->attrs, "axis"), ==, 1);
  g_assert_cmpint(lcip_attrs_get_int(actor_of(read, "softmax_1")->attrs, "axis"), ==, -1);
  const LcipEdge *to_shape = lcip_graph_edge_to(read, 3, 1);
  g_assert_cmpint(to_shape->src_actor, ==, 1);
  graph = graph_of();
  pb_message(graph, 1, with_int(node("Softmax", "x", "y"), "axis", 3));
  g_autoptr(LcipGraph) last = read_good(graph, 12);
  g_assert_cmpuint(last->actors->len, ==, 1);
  graph = graph_of();
  pb_message(graph, 1, with_int(node("Softmax", "x", "y"), "axis", 1));
  g_autoptr(LcipGraph) today = read_good(graph, 13);
  g_assert_cmpuint(today->actors->len, ==, 1);
  g_assert_cmpint(lcip_attrs_get_int(actor_of(today, "softmax_1")->attrs, "axis"), ==, 1);
}

static void test_training_forms(void) {
  const float ones[] = {1, 1, 1, 1};
  Pb *graph = graph_of(), *norm = node("BatchNormalization", "x,s,s,s,s", "a,m,v,sm,sv");
  with_int(with_float(norm, "epsilon", 0.01f), "spatial", 1);
  pb_message(graph, 5, f32_values("s", 4, ones));
  pb_message(graph, 1, norm);
  pb_message(graph, 1, with_float(node("Dropout", "a", "y,mask"), "ratio", 0.25f));
  g_autoptr(LcipGraph) read = read_good(graph, 7);
  g_assert_cmpuint(actor_of(read, "batch_normalization_1")->n_outputs, ==, 1);
  g_assert_cmpuint(actor_of(read, "dropout_1")->n_outputs, ==, 1);
  assert_f32(actor_of(read, "batch_normalization_1"), 4, 4, ones);
}

static void test_constants(void) {
  const float f = 2.5f, fs[] = {1, 2};
  const gint64 ints[] = {1, 16}, one = 1;
  Pb *graph = graph_of();
  pb_message(graph, 1, with_float(node("Constant", "", "cf"), "value_float", f));
  pb_message(graph, 1, with_floats(node("Constant", "", "cfs"), "value_floats", 2, fs));
  pb_message(graph, 1, with_ints(node("Constant", "", "ci"), "value_ints", 2, ints));
  pb_message(graph, 1, with_tensor(node("Constant", "", "ct"), "value", f32_values("", 2, fs)));
  pb_message(graph, 1, with_int(node("Constant", "", "c1"), "value_int", 1));
  pb_message(graph, 1, node("Add", "x,cf", "a"));
  pb_message(graph, 1, node("Add", "a,cfs", "b"));
  pb_message(graph, 1, node("Mul", "ct,b", "c"));
  pb_message(graph, 1, node("Reshape", "c,ci", "d"));
  pb_message(graph, 1, node("Gather", "d,c1", "y"));
  g_autoptr(LcipGraph) read = read_good(graph, 13);
  g_assert_cmpuint(read->actors->len, ==, 5);
  assert_f32(actor_of(read, "add_1"), 1, 1, &f);
  assert_f32(actor_of(read, "add_2"), 1, 2, fs);
  assert_f32(actor_of(read, "mul_1"), 0, 2, fs);
  assert_i64(actor_of(read, "reshape_1"), 1, 2, ints);
  assert_i64(actor_of(read, "gather_1"), 1, 1, &one);
}

/* ---- tensors ---- */

static void test_typed_data(void) {
  const gint64 two[] = {2};
  const float fs[] = {1.5f, -2};
  const double ds[] = {1.5, -2};
  Pb *graph = graph_of();
  pb_message(graph, 5, pb_bytes(tensor("packed", 1, 1, two), 4, fs, 8));
  pb_message(graph, 5, pb_float(pb_float(tensor("single", 1, 1, two), 4, 1.5f), 4, -2));
  pb_message(graph, 5, pb_bytes(tensor("double", 11, 1, two), 10, ds, 16));
  pb_message(graph, 5, pb_int(pb_int(tensor("half", 10, 1, two), 5, 0x3e00), 5, 0xc000));
  pb_message(graph, 5, pb_bytes(tensor("bf16", 16, 1, two), 9, "\xc0\x3f\x00\xc0", 4));
  pb_message(graph, 5, pb_int(pb_int(tensor("i64", 7, 1, two), 7, -1), 7, 16));
  pb_message(graph, 1, node("Add", "x,packed", "a"));
  pb_message(graph, 1, node("Add", "a,single", "b"));
  pb_message(graph, 1, node("Add", "b,double", "c"));
  pb_message(graph, 1, node("Add", "c,half", "d"));
  pb_message(graph, 1, node("Add", "d,bf16", "e"));
  pb_message(graph, 1, node("Reshape", "e,i64", "y"));
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_autoptr(LcipGraph) read = read_problems(graph, 13, problems);
  for (int i = 0; i < 5; i++)
    assert_f32(lcip_graph_actor(read, i), 1, 2, fs);
  assert_i64(lcip_graph_actor(read, 5), 1, 2, (const gint64[]){-1, 16});
  g_assert_cmpuint(problems->len, ==, 1);
  const LcipProblem *warning = problems->pdata[0];
  g_assert_cmpint(warning->severity, ==, LCIP_PROBLEM_WARNING);
  g_assert_nonnull(strstr(warning->message, "read as float"));
}

/* Up to IR version 3 initializers were listed among the inputs. */
static void test_initializer_inputs(void) {
  const float ones[] = {1, 1};
  const gint64 dims[] = {2};
  Pb *graph = graph_of();
  pb_message(graph, 11, value("w", 1, 1, dims));
  pb_message(graph, 5, f32_values("w", 2, ones));
  pb_message(graph, 1, node("Add", "x,w", "y"));
  g_autoptr(LcipGraph) read = read_good(graph, 13);
  g_assert_cmpuint(read->inputs->len, ==, 1);
  assert_f32(actor_of(read, "add_1"), 1, 2, ones);
}

static void test_output_is_constant(void) {
  const float ones[] = {1, 1};
  Pb *graph = graph_of();
  pb_message(graph, 5, f32_values("y", 2, ones));
  g_autoptr(LcipGraph) read = read_good(graph, 13);
  assert_f32(actor_of(read, "identity_1"), 0, 2, ones);
  g_assert_cmpint(lcip_graph_edge_to(read, LCIP_NO_ACTOR, 0)->src_actor, ==, 0);
}

static Pb *external(const char *name, const char *location, const char *offset,
                    const char *length) {
  const gint64 two[] = {2};
  Pb *pb = pb_int(tensor(name, 1, 1, two), 14, 1);
  pb_message(pb, 13, pb_text(pb_text(pb_new(), 1, "location"), 2, location));
  pb_message(pb, 13, pb_text(pb_text(pb_new(), 1, "offset"), 2, offset));
  return pb_message(pb, 13, pb_text(pb_text(pb_new(), 1, "length"), 2, length));
}

static Pb *external_graph(const char *location, const char *offset, const char *length) {
  Pb *graph = pb_message(graph_of(), 5, external("w", location, offset, length));
  return pb_message(graph, 1, node("Add", "x,w", "y"));
}

static void test_external(void) {
  const float values[] = {9, 1.5f, -2};
  g_autofree char *folder = g_build_filename(scratch, "sub", NULL);
  g_autofree char *file = g_build_filename(folder, "w.bin", NULL);
  g_autofree char *link = g_build_filename(folder, "link.bin", NULL);
  g_mkdir_with_parents(folder, 0700);
  g_assert_true(g_file_set_contents(file, (const char *)values, sizeof values, NULL));
  g_assert_cmpint(symlink("/etc/hostname", link), ==, 0);
  g_autoptr(LcipGraph) read = read_good(external_graph("sub/w.bin", "4", "8"), 13);
  assert_f32(actor_of(read, "add_1"), 1, 2, values + 1);
  read_bad(external_graph("sub/w.bin", "8", "8"), 13,
           "expected 8 bytes at offset 8, found a file of 12");
  read_bad(external_graph("sub/w.bin", "0", "12"), 13, "expected 8 bytes for f32 2");
  read_bad(external_graph("sub/w.bin", "9223372036854775807", "8"), 13, "expected 8 bytes");
  read_bad(external_graph("sub/w.bin", "-1", "8"), 13, "whole numbers");
  read_bad(external_graph("sub/../sub/w.bin", "0", "8"), 13, "below the model's folder");
  read_bad(external_graph("../x.bin", "0", "8"), 13, "below the model's folder");
  read_bad(external_graph(file, "0", "8"), 13, "below the model's folder");
  read_bad(external_graph("sub/link.bin", "0", "8"), 13, "below the model's folder");
  read_bad(external_graph("missing.bin", "0", "8"), 13, "below the model's folder");
  read_bad(external_graph("", "0", "8"), 13, "below the model's folder");
  read_bad(external_graph("sub", "0", "8"), 13, "a folder");
}

/* Two tensors in a file that is missing and one in a file that is too short: a sentence for each
 * file, and the rest of the model stays readable, with the actors that need them marked. */
static void test_external_problems(void) {
  g_autofree char *file = g_build_filename(scratch, "short.bin", NULL);
  g_assert_true(g_file_set_contents(file, "1234", -1, NULL));
  Pb *graph = graph_of();
  pb_message(graph, 5, external("a", "lost.bin", "0", "8"));
  pb_message(graph, 5, external("b", "lost.bin", "8", "8"));
  pb_message(graph, 5, external("c", "short.bin", "0", "8"));
  pb_message(graph, 1, node("Add", "x,a", "u"));
  pb_message(graph, 1, node("Add", "u,b", "v"));
  pb_message(graph, 1, node("Relu", "v", "w"));
  pb_message(graph, 1, node("Mul", "w,c", "y"));
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_autoptr(LcipGraph) read = read_problems(graph, 13, problems);
  g_assert_cmpuint(read->actors->len, ==, 4);
  assert_mentions(problems, NULL, "external data in \"lost.bin\": expected an existing file below");
  assert_mentions(problems, NULL, "it holds the data of \"a\" and of 1 more tensors");
  assert_mentions(problems, NULL, "external data in \"short.bin\": expected 8 bytes at offset 0");
  assert_mentions(problems, "add_1", "a constant that it needs could not be read");
  assert_mentions(problems, "add_2", "a constant that it needs could not be read");
  assert_mentions(problems, "mul_1", "a constant that it needs could not be read");
  g_assert_cmpuint(problems->len, ==, 5);
  g_assert_false(lcip_problems_mention(problems, "relu_1"));
}

/* ---- what LCIP does not read: all of it at once, the graph all the same ---- */

static void test_problems(void) {
  Pb *graph = graph_of();
  pb_message(graph, 5, tensor("strings", 8, 0, NULL));
  pb_message(graph, 1, pb_text(pb_text(node("Odd", "x", "a"), 3, "first"), 7, "com.example"));
  pb_message(
      graph, 1,
      pb_message(node("Loop", "a", "b"), 5, pb_message(pb_text(pb_new(), 1, "body"), 6, pb_new())));
  pb_message(graph, 1, with_int(node("Relu", "b", "c"), "unheard_of", 1));
  pb_message(graph, 1, with_text(node("Constant", "", "s"), "value_string", "x"));
  pb_message(graph, 1, node("Det", "c", "d"));
  pb_message(graph, 1, node("SequenceConstruct", "d", "e"));
  pb_message(graph, 1, node("Add", "e,strings", "y"));
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_autoptr(LcipGraph) read = read_problems(graph, 13, problems);
  assert_mentions(problems, NULL, "initializer \"strings\": LCIP has no tensors of type string");
  assert_mentions(problems, NULL, "(Constant, opset 13): LCIP reads constants");
  assert_mentions(problems, "odd_1", "com.example.Odd (opset 3): its domain is another program's");
  assert_mentions(problems, "loop_1", "Loop (opset 13): control flow");
  assert_mentions(problems, "relu_1", "Relu has no attribute \"unheard_of\"");
  assert_mentions(problems, "det_1", "Det (opset 13): LCIP has no such operator");
  assert_mentions(problems, "sequence_construct_1", "no sequences");
  assert_mentions(problems, "add_1", "a constant that it needs could not be read");
  g_assert_cmpuint(problems->len, ==, 8); /* each thing once */
  g_assert_null(actor_of(read, "odd_1")->op);
  g_autofree char *path = g_build_filename(scratch, "m.onnx", NULL);
  GError *error = NULL;
  g_assert_null(lcip_graph_load(path, NULL, &error));
  g_assert_nonnull(strstr(error->message, "8 problems:"));
  g_assert_nonnull(strstr(error->message, "Odd actor odd_1 (node \"first\"): com.example.Odd"));
  g_assert_nonnull(strstr(error->message, "Loop actor loop_1: Loop (opset 13): control flow"));
  g_clear_error(&error);
}

/* What many actors have alike is one line, and analysis does not say it again. */
static void test_problems_alike(void) {
  Pb *graph = graph_of();
  const char *last = "x";
  static const char *const values[] = {"a", "b", "c", "d", "y"};
  for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
    g_autofree char *name = g_strdup_printf("/block.%u/Det", i);
    pb_message(graph, 1, pb_text(node("Det", last, values[i]), 3, name));
    last = values[i];
  }
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_autoptr(LcipGraph) read = read_problems(graph, 13, problems);
  LcipAnalysis *analysis = lcip_analyse(read, NULL, NULL, problems);
  g_clear_pointer(&analysis, lcip_analysis_free);
  g_autoptr(GPtrArray) lines = lcip_problems_lines(problems, read, LCIP_PROBLEM_ERROR);
  g_assert_cmpuint(problems->len, ==, 5);
  g_assert_cmpuint(lines->len, ==, 1);
  g_assert_true(g_str_has_prefix(lines->pdata[0],
                                 "5 Det actors: det_1 (node \"/block.0/Det\"), det_2 (node "));
  g_assert_nonnull(strstr(lines->pdata[0], "(node \"/block.2/Det\") and 2 more: Det (opset 13)"));
}

/* ---- saving what has problems ---- */

/* Of @message without what a document does not hold: the opset of a domain that is not ONNX's. */
static char *without_opset(const char *message) {
  g_autoptr(GRegex) opset = g_regex_new("^(com\\.\\S+) \\(opset \\d+\\)", 0, 0, NULL);
  return g_regex_replace(opset, message, -1, 0, "\\1", 0, NULL);
}

static void assert_same_problems(const GPtrArray *a, const GPtrArray *b) {
  g_assert_cmpuint(a->len, ==, b->len);
  for (guint i = 0; i < a->len; i++) {
    const LcipProblem *x = a->pdata[i], *y = b->pdata[i];
    g_autofree char *expected = without_opset(x->message);
    g_assert_cmpint(x->severity, ==, y->severity);
    g_assert_cmpstr(x->actor_id, ==, y->actor_id);
    g_assert_cmpstr(expected, ==, y->message);
  }
}

static void assert_no_files(const char *folder) {
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *name = g_dir_read_name(dir);
  if (name)
    g_error("expected nothing to be written, found %s", name);
}

/* Operators that LCIP does not have, with all that they had: saved, opened, saved again. */
static void test_save_unknown(void) {
  const gint64 two[] = {2}, numbers[] = {3, -1, G_MAXINT64};
  const float halves[] = {0.5f, 1.5f}, odd[] = {1e-30f, INFINITY, -0.1f};
  Pb *graph = graph_of();
  Pb *first = pb_text(pb_text(node("Odd", "x,,w", "a,b"), 3, "a \"<node>\""), 7, "com.example");
  pb_message(graph, 5, f32_values("w", 2, halves));
  with_int(first, "number", 7);
  with_float(first, "factor", 0.1f);
  with_text(first, "words", " <a> & \"b\"\n");
  with_ints(first, "numbers", 3, numbers);
  with_floats(first, "factors", 3, odd);
  with_tensor(first, "table", pb_bytes(tensor("", 1, 1, two), 9, halves, sizeof halves));
  pb_message(graph, 1, first);
  pb_message(graph, 1, node("Det", "a", "c"));
  pb_message(graph, 1, node("SequenceConstruct", "c,b", "y"));
  g_autoptr(GPtrArray) problems = lcip_problems_new(), again = lcip_problems_new();
  g_autoptr(LcipGraph) read = read_problems(graph, 13, problems);
  g_autofree char *path = g_build_filename(scratch, "unknown.xml", NULL);
  g_autoptr(GError) error = NULL;
  lcip_graph_ensure_defaults(read);
  g_assert_cmpuint(problems->len, ==, 3);
  g_assert_true(lcip_xml_write(read, path, &error));
  g_assert_no_error(error);
  g_autoptr(LcipGraph) back = lcip_graph_load(path, again, &error);
  g_assert_no_error(error);
  assert_same_problems(problems, again);
  g_autofree char *before = lcip_xml_to_string(read, NULL, NULL);
  g_autofree char *after = lcip_xml_to_string(back, NULL, NULL);
  g_assert_cmpstr(before, ==, after);
  const LcipActor *actor = actor_of(back, "odd_1");
  const LcipTensor *table = lcip_attrs_get(actor->attrs, "table")->tensor;
  g_assert_cmpmem(lcip_tensor_get_data((LcipTensor *)table), sizeof halves, halves, sizeof halves);
  g_assert_cmpmem(lcip_tensor_get_data(actor->constants[2]), sizeof halves, halves, sizeof halves);
}

/* What is lost in reading would be lost for good by saving. */
static void check_not_saved(Pb *graph, const char *fragment) {
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_autoptr(LcipGraph) read = read_problems(graph, 13, problems);
  g_autoptr(LcipGraph) edited = lcip_graph_copy(read);
  g_autofree char *folder = g_build_filename(scratch, "saved", NULL);
  g_autofree char *path = g_build_filename(folder, "g.xml", NULL);
  g_autoptr(GError) error = NULL;
  g_mkdir(folder, 0700);
  lcip_graph_ensure_defaults(edited);
  g_assert_true(lcip_problems_have_errors(problems));
  g_assert_false(lcip_xml_write(edited, path, &error));
  g_test_message("%s", error->message);
  g_assert_nonnull(strstr(error->message, "g.xml: not saved, because"));
  g_assert_nonnull(strstr(error->message, fragment));
  assert_no_files(folder);
}

static void test_save_refused(void) {
  const gint64 dims[] = {2, 2};
  const float halves[] = {0.5f, 1.5f};
  Pb *graph = graph_of(), *loop = node("Loop", "x", "y");
  pb_message(loop, 5, pb_message(pb_text(pb_new(), 1, "body"), 6, pb_new()));
  check_not_saved(pb_message(graph, 1, loop), "loop_1: attribute body: LCIP does not read");
  graph = pb_message(graph_of(), 5, f32_values("w", 2, halves));
  pb_message(graph, 1, node("Mul", "x,w", "a"));
  pb_message(graph, 1, with_int(node("Relu", "a", "y"), "unheard_of", 1));
  check_not_saved(graph, "relu_1: Relu (opset 13): Relu has no attribute \"unheard_of\"");
  graph = pb_message(graph_of(), 1, node("Relu", "x,x", "y"));
  check_not_saved(graph, "relu_1: Relu (opset 13): it has more inputs than LCIP's operator");
  graph = pb_message(graph_of(), 5, tensor("strings", 8, 0, NULL));
  check_not_saved(pb_message(graph, 1, node("Odd", "x,strings", "y")), "initializer \"strings\"");
  graph = pb_message(graph_of(), 11, value("words", 8, 2, dims));
  check_not_saved(pb_message(graph, 1, node("Add", "x,words", "y")), "input \"words\" (string)");
  graph = pb_message(graph_of(), 1, with_int(node("Relu", "x", "a"), "one", 1));
  pb_message(graph, 1, with_int(node("Relu", "a", "y"), "two", 2));
  check_not_saved(graph, "(and 1 more)");
}

static void test_broken(void) {
  const float ones[] = {1, 1};
  const gint64 huge[] = {G_MAXINT64, G_MAXINT64}, three[] = {3}, minus[] = {-5};
  read_bad(graph_of(), 13, "expected a value that something gives, found \"y\"");
  read_bad(pb_message(graph_of(), 1, node("Relu", "nothing", "y")), 13, "found \"nothing\"");
  read_bad(pb_message(pb_message(graph_of(), 1, node("Relu", "x", "y")), 1, node("Relu", "x", "y")),
           13, "found \"y\" again");
  read_bad(pb_message(graph_of(), 1, node("Relu", "x", "x")), 13, "found \"x\" again");
  read_bad(
      pb_message(pb_message(graph_of(), 5, f32_values("w", 2, ones)), 5, f32_values("w", 2, ones)),
      13, "found \"w\" again");
  read_bad(pb_message(graph_of(), 5, pb_bytes(tensor("w", 1, 2, huge), 9, ones, 8)), 13,
           "can be stored");
  read_bad(pb_message(graph_of(), 5, pb_bytes(tensor("w", 1, 1, minus), 9, ones, 8)), 13,
           "can be stored");
  read_bad(pb_message(graph_of(), 5, pb_bytes(tensor("w", 1, 1, three), 9, ones, 8)), 13,
           "expected 12 bytes for f32 3, found 8");
  read_bad(pb_message(graph_of(), 5, pb_bytes(tensor("w", 9, 1, three), 9, "\1\0\7", 3)), 13,
           "bytes of 0 or 1");
  read_bad(pb_message(graph_of(), 1, node("", "x", "y")), 13, "an op_type");
  read_bad(pb_int(graph_of(), 1, 5), 13, "expected a node as bytes, found a varint");
  read_bad(pb_message(graph_of(), 1, node("Relu", "x", "y")), 5000, "opset version of 1 to 1000");
  read_bad(pb_text(pb_new(), 2, "empty"), 13, "a graph with outputs");
}

static void remove_tree(const char *path) {
  g_autoptr(GDir) dir =
      g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *child = g_build_filename(path, name, NULL);
    remove_tree(child);
  }
  g_remove(path);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  scratch = g_dir_make_tmp("lcip-onnx-XXXXXX", NULL);
  g_test_add_func("/onnx/models", test_models);
  g_test_add_func("/onnx/names", test_names);
  g_test_add_func("/onnx/dimensions", test_dimensions);
  g_test_add_func("/onnx/clip-6", test_clip_6);
  g_test_add_func("/onnx/axes", test_axes);
  g_test_add_func("/onnx/pad-split-reshape", test_pad_split_reshape);
  g_test_add_func("/onnx/resize", test_resize);
  g_test_add_func("/onnx/softmax-12", test_softmax_12);
  g_test_add_func("/onnx/training-forms", test_training_forms);
  g_test_add_func("/onnx/constants", test_constants);
  g_test_add_func("/onnx/typed-data", test_typed_data);
  g_test_add_func("/onnx/initializer-inputs", test_initializer_inputs);
  g_test_add_func("/onnx/output-is-constant", test_output_is_constant);
  g_test_add_func("/onnx/external", test_external);
  g_test_add_func("/onnx/problems", test_problems);
  g_test_add_func("/onnx/external-problems", test_external_problems);
  g_test_add_func("/onnx/problems-alike", test_problems_alike);
  g_test_add_func("/onnx/save-unknown", test_save_unknown);
  g_test_add_func("/onnx/save-refused", test_save_refused);
  g_test_add_func("/onnx/broken", test_broken);
  const int result = g_test_run();
  remove_tree(scratch);
  g_free(scratch);
  return result;
}
