#include "config.h"
#include "lcip-io.h"

#include <string.h>

/* Makes the example graphs of this folder from the models in data/models:
 *   make-graphs data/models graphs
 * Each network gets what stands around it: a picture source, the picture's way into the tensor, the
 * reading of the outputs, sinks; a platform with a CPU and a GPU; and two mappings. */

typedef struct {
  LcipGraph *graph; /* owned: the whole pipeline */
  LcipGraph *model; /* owned: the network alone */
  int first;        /* index in @graph of the network's first actor */
  int tensor;       /* index of PictureToTensor */
  int source;
} Pipeline;

static void die(GError *error) {
  g_printerr("make-graphs: %s\n", error->message);
  exit(1);
}

/* ---- building ---- */

typedef struct {
  const char *name, *text;
  LcipAttrType type;
} Attr;

static int add_actor(Pipeline *p, const char *id, const char *op, guint n_inputs, guint n_outputs,
                     const Attr *attrs) {
  GError *error = NULL;
  LcipActor *actor = lcip_actor_new(id, "", "lcip", op, n_inputs, n_outputs);
  for (; attrs && attrs->name; attrs++)
    if (!lcip_attrs_set_text(actor->attrs, attrs->name, attrs->type, attrs->text, &error))
      die(error);
  return lcip_graph_add_actor(p->graph, actor);
}

static void connect_ports(Pipeline *p, int src, guint src_port, int dst, guint dst_port) {
  const LcipEdge edge = {src, src_port, dst, dst_port, 0};
  lcip_graph_add_edge(p->graph, edge);
}

static int find_output(const LcipGraph *model, const char *name) {
  for (guint i = 0; i < model->outputs->len; i++)
    if (g_str_equal(((const LcipGraphPort *)model->outputs->pdata[i])->name, name))
      return (int)i;
  g_printerr("make-graphs: the model has no output \"%s\"\n", name);
  exit(1);
}

/* The network's output @name goes to an input of the pipeline. */
static void connect_output(Pipeline *p, const char *name, int dst, guint dst_port) {
  const int output = find_output(p->model, name);
  for (guint i = 0; i < p->model->edges->len; i++) {
    const LcipEdge *edge = &g_array_index(p->model->edges, LcipEdge, i);
    if (edge->dst_actor == LCIP_NO_ACTOR && (int)edge->dst_port == output)
      connect_ports(p, p->first + edge->src_actor, edge->src_port, dst, dst_port);
  }
}

/* The model's actors with their edges; its one input is PictureToTensor's tensor now. */
static void add_network(Pipeline *p) {
  p->first = (int)p->graph->actors->len;
  for (guint i = 0; i < p->model->actors->len; i++)
    lcip_graph_add_actor(p->graph, lcip_actor_ref(p->model->actors->pdata[i]));
  for (guint i = 0; i < p->model->edges->len; i++) {
    const LcipEdge *edge = &g_array_index(p->model->edges, LcipEdge, i);
    const gboolean from_input = edge->src_actor == LCIP_NO_ACTOR;
    if (edge->dst_actor != LCIP_NO_ACTOR)
      connect_ports(p, from_input ? p->tensor : p->first + edge->src_actor,
                    from_input ? 0 : edge->src_port, p->first + edge->dst_actor, edge->dst_port);
  }
}

static void begin(Pipeline *p, const char *folder, const char *file, const char *name,
                  const char *description, const Attr *to_tensor) {
  GError *error = NULL;
  g_autofree char *path = g_build_filename(folder, file, NULL);
  p->model = lcip_onnx_read(path, NULL, &error);
  if (!p->model)
    die(error);
  p->graph = lcip_graph_new();
  g_free(p->graph->name);
  g_free(p->graph->description);
  p->graph->name = g_strdup(name);
  p->graph->description = g_strdup(description);
  p->graph->opset = p->model->opset;
  p->graph->source_opset = p->model->source_opset;
  p->source = add_actor(p, "source", "PictureSource", 0, 1, NULL);
  p->tensor = add_actor(p, "to_tensor", "PictureToTensor", 1, 2, to_tensor);
  connect_ports(p, p->source, 0, p->tensor, 0);
  add_network(p);
}

/* The first half of the network, in firing order, on the GPU: one stretch of it, so that a frame
 * crosses once into the GPU's memory and once out of it. */
static void add_mappings(Pipeline *p) {
  lcip_graph_add_lane(p->graph, "CPU", LCIP_LANE_CPU, 0, NULL);
  lcip_graph_add_lane(p->graph, "GPU", LCIP_LANE_OPENCL, 0, NULL);
  lcip_graph_add_mapping(p->graph, "default");
  LcipMapping *half = lcip_graph_add_mapping(p->graph, "cpu+gpu");
  g_autofree int *order = lcip_graph_order(p->model, NULL);
  for (guint i = 0; i < p->model->actors->len / 2; i++)
    lcip_mapping_assign(half, lcip_graph_actor(p->model, order[i])->id, "GPU");
  lcip_graph_ensure_defaults(p->graph);
}

static void finish(Pipeline *p, const char *folder, const char *file) {
  GError *error = NULL;
  g_autofree char *path = g_build_filename(folder, file, NULL);
  add_mappings(p);
  if (!lcip_xml_write(p->graph, path, &error))
    die(error);
  g_clear_pointer(&p->graph, lcip_graph_unref);
  g_clear_pointer(&p->model, lcip_graph_unref);
}

/* ---- the graphs ---- */

static void make_blazeface(const char *models, const char *graphs) {
  static const Attr to_tensor[] = {
      {"width", "256", LCIP_ATTR_INT},     {"height", "256", LCIP_ATTR_INT},
      {"fit", "pad", LCIP_ATTR_STRING},    {"filter", "area", LCIP_ATTR_STRING},
      {"mean", "127.5", LCIP_ATTR_FLOATS}, {"scale", "0.00784313725", LCIP_ATTR_FLOATS},
      {NULL, NULL, LCIP_ATTR_INT}};
  static const Attr decode[] = {{"strides", "16 32", LCIP_ATTR_INTS},
                                {"anchors_per_cell", "2 6", LCIP_ATTR_INTS},
                                {"input_width", "256", LCIP_ATTR_INT},
                                {"input_height", "256", LCIP_ATTR_INT},
                                {"keypoints", "6", LCIP_ATTR_INT},
                                {"score_threshold", "0.6", LCIP_ATTR_FLOAT},
                                {NULL, NULL, LCIP_ATTR_INT}};
  static const Attr nms[] = {{"iou_threshold", "0.3", LCIP_ATTR_FLOAT},
                             {NULL, NULL, LCIP_ATTR_INT}};
  static const Attr labels[] = {{"labels", "face", LCIP_ATTR_STRINGS}, {NULL, NULL, LCIP_ATTR_INT}};
  static const char *const levels[] = {"Identity:0", "Identity_2:0", "Identity_1:0",
                                       "Identity_3:0"};
  Pipeline p = {0};
  begin(&p, models, "blazeface-back-256.onnx", "BlazeFace",
        "Finds faces and six key points of each. MediaPipe's BlazeFace for back cameras, "
        "Apache-2.0; see data/models/README.md.",
        to_tensor);
  const int boxes = add_actor(&p, "decode", "DecodeAnchorBoxes", 5, 1, decode);
  const int best = add_actor(&p, "suppress", "NonMaxSuppression", 1, 1, nms);
  const int list = add_actor(&p, "detections", "DetectionSink", 1, 0, labels);
  const int draw = add_actor(&p, "draw", "DrawDetections", 2, 1, labels);
  const int show = add_actor(&p, "picture", "PictureSink", 1, 0, NULL);
  connect_ports(&p, p.tensor, 1, boxes, 0);
  for (guint i = 0; i < G_N_ELEMENTS(levels); i++)
    connect_output(&p, levels[i], boxes, 1 + i);
  connect_ports(&p, boxes, 0, best, 0);
  connect_ports(&p, best, 0, list, 0);
  connect_ports(&p, p.source, 0, draw, 0);
  connect_ports(&p, best, 0, draw, 1);
  connect_ports(&p, draw, 0, show, 0);
  finish(&p, graphs, "blazeface-back.xml");
}

static void make_selfie(const char *models, const char *graphs) {
  static const Attr to_tensor[] = {{"width", "256", LCIP_ATTR_INT},
                                   {"height", "256", LCIP_ATTR_INT},
                                   {"fit", "stretch", LCIP_ATTR_STRING},
                                   {"scale", "0.00392156863", LCIP_ATTR_FLOATS},
                                   {NULL, NULL, LCIP_ATTR_INT}};
  Pipeline p = {0};
  begin(&p, models, "selfie-segmentation-256.onnx", "Selfie segmentation",
        "Tells the pixels of a person from the rest. MediaPipe's selfie segmentation, Apache-2.0; "
        "see data/models/README.md.",
        to_tensor);
  const LcipTensorSpec mask = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, 1, 256, 256, 1));
  lcip_graph_add_output(p.graph, "mask", "mask", mask);
  const int overlay = add_actor(&p, "overlay", "MaskOverlay", 3, 1, NULL);
  const int show = add_actor(&p, "picture", "PictureSink", 1, 0, NULL);
  connect_ports(&p, p.source, 0, overlay, 0);
  connect_output(&p, "activation_10_out", overlay, 1);
  connect_ports(&p, p.tensor, 1, overlay, 2);
  connect_ports(&p, overlay, 0, show, 0);
  connect_output(&p, "activation_10_out", LCIP_NO_ACTOR, 0);
  finish(&p, graphs, "selfie-segmentation.xml");
}

int main(int argc, char **argv) {
  if (argc != 3) {
    g_printerr("usage: make-graphs data/models graphs\n");
    return 2;
  }
  make_blazeface(argv[1], argv[2]);
  make_selfie(argv[1], argv[2]);
  return 0;
}
