#include "config.h"

#include "lcip-connect.h"

/* ImageNet: means 0.485, 0.456, 0.406 and deviations 0.229, 0.224, 0.225 of values 0 to 1. */
static const LcipConnectPreset presets[] = {
    {"0 to 1", "0", "0.003921569"},
    {"ImageNet", "123.675 116.28 103.53", "0.017124754 0.017507003 0.017429194"},
    {"0 to 255", "0", "1"},
    {"−1 to 1", "127.5", "0.007843138"},
};

const LcipConnectPreset *lcip_connect_presets(guint *n) {
  *n = G_N_ELEMENTS(presets);
  return presets;
}

static int known_size(gint64 dim) {
  return dim > 0 && dim <= 16384 ? (int)dim : 0;
}

int lcip_connect_find_input(const LcipGraph *graph, const char **layout, int *width, int *height) {
  for (guint i = 0; i < graph->inputs->len; i++) {
    const LcipGraphPort *port = graph->inputs->pdata[i];
    const gint64 *dims = port->spec.shape.dims;
    gboolean first = dims[1] == 3, last = dims[3] == 3;
    if (port->spec.type != LCIP_TYPE_F32 || port->spec.shape.rank != 4 || (!first && !last))
      continue;
    *layout = last && !first ? "NHWC" : "NCHW";
    *height = known_size(dims[last && !first ? 1 : 2]);
    *width = known_size(dims[last && !first ? 2 : 3]);
    return i;
  }
  return -1;
}

static gboolean set_attrs(LcipActor *actor, const LcipConnect *connect, GError **error) {
  g_autofree char *width = g_strdup_printf("%d", connect->width);
  g_autofree char *height = g_strdup_printf("%d", connect->height);
  const struct {
    const char *name;
    LcipAttrType type;
    const char *text;
  } rows[] = {{"width", LCIP_ATTR_INT, width},
              {"height", LCIP_ATTR_INT, height},
              {"fit", LCIP_ATTR_STRING, connect->fit},
              {"layout", LCIP_ATTR_STRING, connect->layout},
              {"color", LCIP_ATTR_STRING, connect->color},
              {"mean", LCIP_ATTR_FLOATS, connect->mean},
              {"scale", LCIP_ATTR_FLOATS, connect->scale}};
  for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
    if (!lcip_attrs_set_text(actor->attrs, rows[i].name, rows[i].type, rows[i].text, error))
      return FALSE;
  return TRUE;
}

static int add_actor(LcipGraph *graph, LcipActor *actor) {
  const LcipLane *cpu = lcip_graph_first_cpu_lane(graph);
  if (cpu)
    lcip_mapping_assign(lcip_graph_find_mapping(graph, NULL), actor->id, cpu->name);
  return lcip_graph_add_actor(graph, actor);
}

LcipGraph *lcip_connect_apply(const LcipGraph *graph, guint input, const LcipConnect *connect,
                              GError **error) {
  g_autoptr(LcipGraph) edited = lcip_graph_copy(graph);
  g_autofree char *source_id = lcip_graph_unique_id(edited, "picture");
  LcipActor *source = lcip_actor_new(source_id, "", "lcip", "PictureSource", 0, 1);
  int source_index = add_actor(edited, source);
  g_autofree char *tensor_id = lcip_graph_unique_id(edited, "picture_to_tensor");
  g_autoptr(LcipActor) tensor = lcip_actor_new(tensor_id, "", "lcip", "PictureToTensor", 1, 2);
  if (!set_attrs(tensor, connect, error))
    return NULL;
  int tensor_index = add_actor(edited, lcip_actor_ref(tensor));
  lcip_graph_add_edge(edited, (LcipEdge){source_index, 0, tensor_index, 0, 0});
  lcip_graph_connect_input(edited, input, tensor_index, 0);
  return g_steal_pointer(&edited);
}
