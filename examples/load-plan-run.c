/* Load, plan and run a graph with LCIP, and print what comes out.
 *
 *   cc load-plan-run.c -o load-plan-run $(pkg-config --cflags --libs lcip)
 *   ./load-plan-run graphs/blazeface-back.xml data/demo/astronaut.png
 *   ./load-plan-run model.onnx                  with seeded random input
 */
#include <lcip.h>

/* Called for every finished frame, in order, on a thread of the run. */
static void print_frame(const LcipFrame *frame, gpointer data) {
  for (guint i = 0; i < frame->n_values; i++) {
    const LcipFrameValue *value = &frame->values[i];
    const LcipShape *shape = lcip_tensor_get_shape(value->tensor);
    g_autofree char *size = lcip_shape_to_string(shape);
    g_print("frame %" G_GUINT64_FORMAT ", %s %s: %s", frame->number,
            value->actor_id ? value->op_name : "output", value->name, size);
    if (lcip_tensor_get_spec(value->tensor)->type == LCIP_TYPE_F32) {
      const float *numbers = lcip_tensor_get_data(value->tensor);
      for (gint64 n = 0; n < MIN(lcip_shape_count(shape), 6); n++)
        g_print(" %.3f", numbers[n]);
    }
    g_print("\n");
  }
}

/* Opens a picture or video for the graph's source, and tells the plan how large its frames can be.
 */
static LcipMediaSource *open_source(const LcipGraph *graph, const char *what, GHashTable *sizes,
                                    GError **error) {
  LcipMediaSource *source = lcip_media_open(what, LCIP_MEDIA_EVERY_FRAME, error);
  LcipShape size = lcip_shape(3, 0, 0, 3);
  int width = 0, height = 0;
  if (!source)
    return NULL;
  lcip_media_source_max_size(source, &width, &height);
  size.dims[0] = height;
  size.dims[1] = width;
  for (guint i = 0; i < graph->actors->len; i++) {
    const LcipActor *actor = lcip_graph_actor(graph, (int)i);
    if (actor->op && (actor->op->flags & LCIP_OP_SOURCE))
      g_hash_table_insert(sizes, actor->id, g_memdup2(&size, sizeof size));
  }
  return source;
}

static gboolean load_plan_run(const char *path, const char *picture, GError **error) {
  g_autoptr(GHashTable) sizes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
  g_autoptr(LcipMediaSource) source = NULL;

  /* Load: LCIP's XML or an ONNX model. */
  g_autoptr(LcipGraph) graph = lcip_graph_load(path, NULL, error);
  if (!graph)
    return FALSE;
  if (picture && !(source = open_source(graph, picture, sizes, error)))
    return FALSE;

  /* Plan: kernels, memory and schedules for the graph's mapping on this machine's devices. */
  LcipPlanOptions plan_options = {.source_sizes = sizes};
  g_autoptr(LcipPlan) plan = lcip_plan_new(graph, &plan_options, NULL, NULL, error);
  if (!plan)
    return FALSE;

  /* Run: one frame here; 0 would run until the source ends. */
  LcipRunOptions run_options = {
      .source = source, .random_inputs = TRUE, .n_frames = 1, .frame_func = print_frame};
  g_autoptr(LcipRun) run = lcip_run_start(plan, &run_options, error);
  return run && lcip_run_wait(run, error);
}

int main(int argc, char **argv) {
  g_autoptr(GError) error = NULL;
  if (argc < 2 || argc > 3) {
    g_printerr("usage: load-plan-run GRAPH.xml|MODEL.onnx [PICTURE]\n");
    return 2;
  }
  if (load_plan_run(argv[1], argc > 2 ? argv[2] : NULL, &error))
    return 0;
  g_printerr("load-plan-run: %s\n", error->message);
  return 1;
}
