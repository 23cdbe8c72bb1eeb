#include "config.h"

#include "lcip-open-dims.h"

#include <string.h>

#define PICTURE_SIDE 224 /* of most classifiers */
#define MASK_SIDE 256    /* of networks that give a picture: divisible by every usual stride */
#define VIDEO_FRAMES 16
#define SEQUENCE_LENGTH 128
#define CHANNELS 3

static const LcipGraphPort *input_at(const LcipGraph *graph, guint index) {
  return g_ptr_array_index(graph->inputs, index);
}

/* ---- suggestions ---- */

static gboolean gives_picture(const LcipGraph *graph) {
  for (guint i = 0; i < graph->outputs->len; i++)
    if (((const LcipGraphPort *)g_ptr_array_index(graph->outputs, i))->spec.shape.rank == 4)
      return TRUE;
  return FALSE;
}

/* Channels stand second, or last where that is a number that channels have and the second is not.
 */
static int channel_dim(const LcipShape *shape) {
  const gint64 second = shape->dims[1], last = shape->dims[shape->rank - 1];
  const gboolean last_fits = last == 1 || last == 3 || last == 4;
  const gboolean second_fits = second == 1 || second == 3 || second == 4;
  return last_fits && !second_fits ? shape->rank - 1 : 1;
}

static gint64 suggest(const LcipGraph *graph, const LcipShape *shape, int dim) {
  const gint64 side = gives_picture(graph) ? MASK_SIDE : PICTURE_SIDE;
  if (dim == 0)
    return 1;
  if (shape->rank < 3)
    return SEQUENCE_LENGTH;
  if (dim == channel_dim(shape))
    return shape->rank == 3 ? 1 : CHANNELS;
  if (shape->rank == 3)
    return SEQUENCE_LENGTH;
  return shape->rank == 5 && dim <= 2 ? VIDEO_FRAMES : side;
}

/* ---- finding ---- */

static void open_dim_clear(LcipOpenDim *dim) {
  g_free(dim->name);
}

static gboolean is_listed(const GArray *dims, const char *name) {
  for (guint i = 0; name && i < dims->len; i++)
    if (g_strcmp0(g_array_index(dims, LcipOpenDim, i).name, name) == 0)
      return TRUE;
  return FALSE;
}

static const char *name_of(const LcipGraphPort *port, int dim) {
  const char *name = port->dim_names[dim];
  return name && *name ? name : NULL;
}

GArray *lcip_graph_open_dims(const LcipGraph *graph) {
  GArray *dims = g_array_new(FALSE, FALSE, sizeof(LcipOpenDim));
  g_array_set_clear_func(dims, (GDestroyNotify)open_dim_clear);
  for (guint i = 0; i < graph->inputs->len; i++) {
    const LcipGraphPort *port = input_at(graph, i);
    for (int d = 0; d < port->spec.shape.rank; d++) {
      if (port->spec.shape.dims[d] >= 0 || is_listed(dims, name_of(port, d)))
        continue;
      const LcipOpenDim dim = {g_strdup(name_of(port, d)), i, d,
                               suggest(graph, &port->spec.shape, d)};
      g_array_append_val(dims, dim);
    }
  }
  return dims;
}

/* ---- settling ---- */

static void settle_name(const GPtrArray *ports, const char *name, gint64 size) {
  for (guint i = 0; i < ports->len; i++) {
    LcipGraphPort *port = g_ptr_array_index(ports, i);
    for (int d = 0; d < port->spec.shape.rank; d++)
      if (port->spec.shape.dims[d] < 0 && g_strcmp0(port->dim_names[d], name) == 0)
        port->spec.shape.dims[d] = size;
  }
}

static void settle(LcipGraph *graph, const char *name, guint input, int dim, gint64 size) {
  LcipGraphPort *port = g_ptr_array_index(graph->inputs, input);
  if (name && *name) {
    settle_name(graph->inputs, name, size);
    settle_name(graph->outputs, name, size);
  }
  port->spec.shape.dims[dim] = size;
}

void lcip_graph_settle_dims(LcipGraph *graph, const GArray *dims) {
  for (guint i = 0; i < dims->len; i++) {
    const LcipOpenDim *dim = &g_array_index(dims, LcipOpenDim, i);
    settle(graph, dim->name, dim->input, dim->dim, dim->size);
  }
}

void lcip_graph_settle_input(LcipGraph *graph, guint input, const LcipShape *shape) {
  for (int d = 0; d < shape->rank; d++)
    settle(graph, input_at(graph, input)->dim_names[d], input, d, shape->dims[d]);
}
