#include "config.h"
#include "lcip-vision-private.h"

#include "lcip-cl-step.h"

static gboolean picture_to_tensor_opencl_supports(const LcipStep *step, LcipPortFormats *formats,
                                                  const char **reason) {
  if (!lcip_vision_supports(step, formats, reason))
    return FALSE;
  if (step->inputs[0].type == LCIP_TYPE_U8 && lcip_shape_count(&step->inputs[0].shape) < G_MAXINT32)
    return TRUE;
  *reason = "OpenCL takes pictures of bytes, below 2 GB";
  return FALSE;
}

static void push_geometry(LcipClArgs *args, const LcipPictureToTensor *g) {
  const gint64 sizes[] = {g->width,        g->height,
                          g->nchw ? 1 : 3, g->nchw ? (gint64)g->width * g->height : 1,
                          g->channels[0],  g->channels[2]};
  lcip_cl_args_ints(args, G_N_ELEMENTS(sizes), sizes);
  lcip_cl_args_float(args, g->to_picture.m[0]);
  lcip_cl_args_float(args, g->to_picture.m[2]);
  lcip_cl_args_float(args, g->to_picture.m[4]);
  lcip_cl_args_float(args, g->to_picture.m[5]);
  lcip_cl_args_float(args, g->box_x);
  lcip_cl_args_float(args, g->box_y);
  lcip_cl_args_int(args, g->black_x);
  lcip_cl_args_int(args, g->black_y);
  for (guint c = 0; c < 3; c++)
    lcip_cl_args_float(args, g->mean[c]);
  for (guint c = 0; c < 3; c++)
    lcip_cl_args_float(args, g->scale[c]);
}

static gboolean picture_to_tensor_opencl_enqueue(const LcipCall *call, LcipClQueue *queue,
                                                 GError **error) {
  static const gsize local[] = {8, 8};
  const LcipShape *picture = &call->inputs[0].shape;
  const gboolean transform = call->step->n_outputs > 1 && call->outputs[1].buffer;
  LcipPictureToTensor geometry;
  lcip_picture_to_tensor_init(&geometry, call->step->attrs, (int)picture->dims[1],
                              (int)picture->dims[0]);
  const gsize global[] = {(gsize)geometry.width, (gsize)geometry.height};
  LcipClArgs args = lcip_cl_args_begin(queue, "vision_picture_to_tensor", error);
  lcip_cl_args_view(&args, &call->inputs[0]);
  lcip_cl_args_view(&args, &call->outputs[0]);
  lcip_cl_args_view(&args, &call->outputs[transform ? 1 : 0]);
  lcip_cl_args_int(&args, transform);
  lcip_cl_args_int(&args, picture->dims[1]);
  lcip_cl_args_int(&args, picture->dims[0]);
  push_geometry(&args, &geometry);
  return lcip_cl_args_launch(&args, 2, global, local);
}

const LcipKernel lcip_kernel_picture_to_tensor_opencl = {
    .name = "picture-to-tensor-opencl",
    .family = "opencl",
    .device = LCIP_DEVICE_OPENCL,
    .operators = (const char *const[]){"lcip.PictureToTensor", NULL},
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .supports = picture_to_tensor_opencl_supports,
    .enqueue = picture_to_tensor_opencl_enqueue,
};
