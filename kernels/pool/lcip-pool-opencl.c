#include "config.h"

#include "lcip-cl-step.h"
#include "lcip-window.h"

/* As in pool.cl. */
#define GLOBAL_ITEMS 32

static gboolean is_global(const LcipStep *step) {
  return lcip_step_is(step, "GlobalAveragePool") || lcip_step_is(step, "GlobalMaxPool");
}

static gboolean is_average(const LcipStep *step) {
  return lcip_step_is(step, "GlobalAveragePool") || lcip_step_is(step, "AveragePool");
}

static gboolean pool_opencl_supports(const LcipStep *step, LcipPortFormats *formats,
                                     const char **reason) {
  if (!is_global(step) && step->inputs[0].shape.rank > 4) {
    *reason = "OpenCL pools over one or two spatial dimensions, not three";
    return FALSE;
  }
  if (step->n_outputs > 1) {
    *reason = "OpenCL pooling gives no indices";
    return FALSE;
  }
  return lcip_cl_supports_plain(step, 0, formats, reason);
}

static gboolean enqueue_global(const LcipCall *call, gint64 planes, LcipClQueue *queue,
                               GError **error) {
  static const gsize local[] = {GLOBAL_ITEMS};
  const gsize global[] = {(gsize)planes * GLOBAL_ITEMS};
  const gint64 elements = (gint64)lcip_view_count(&call->inputs[0]);
  if (planes == 0)
    return TRUE;
  LcipClArgs args = lcip_cl_args_begin(queue, "pool_global", error);
  lcip_cl_args_view(&args, &call->inputs[0]);
  lcip_cl_args_view(&args, &call->outputs[0]);
  lcip_cl_args_int(&args, elements / planes);
  lcip_cl_args_int(&args, is_average(call->step));
  return lcip_cl_args_launch(&args, 1, global, local);
}

/* One window over the whole plane: worth the work of a group. */
static gboolean covers_plane(const LcipWindow *window) {
  for (int i = 1; i < 3; i++)
    if (window->out[i] != 1 || window->kernel[i] != window->in[i] || window->dilation[i] != 1 ||
        window->pad_begin[i] != 0 || window->pad_end[i] != 0)
      return FALSE;
  return TRUE;
}

static void push_window(LcipClArgs *args, const LcipWindow *window, gint64 planes) {
  lcip_cl_args_int(args, planes);
  lcip_cl_args_ints(args, 2, window->in + 1);
  lcip_cl_args_ints(args, 2, window->out + 1);
  lcip_cl_args_ints(args, 2, window->kernel + 1);
  lcip_cl_args_ints(args, 2, window->stride + 1);
  lcip_cl_args_ints(args, 2, window->dilation + 1);
  lcip_cl_args_ints(args, 2, window->pad_begin + 1);
  lcip_cl_args_ints(args, 2, window->pad_end + 1);
}

static gboolean pool_opencl_enqueue(const LcipCall *call, LcipClQueue *queue, GError **error) {
  static const gsize local[] = {1, 8, 4};
  const LcipShape *x = &call->inputs[0].shape;
  const gint64 planes = x->dims[0] * x->dims[1];
  LcipWindow window;
  if (is_global(call->step))
    return enqueue_global(call, planes, queue, error);
  if (!lcip_window_init(&window, LCIP_WINDOW_POOL, call->step, x, NULL, error))
    return FALSE;
  if (covers_plane(&window))
    return enqueue_global(call, planes, queue, error);
  const gboolean average = is_average(call->step);
  const gsize global[] = {(gsize)(window.out[2] + 15) / 16, (gsize)window.out[1], (gsize)planes};
  LcipClArgs args = lcip_cl_args_begin(queue, average ? "pool_average" : "pool_max", error);
  lcip_cl_args_view(&args, &call->inputs[0]);
  lcip_cl_args_view(&args, &call->outputs[0]);
  push_window(&args, &window, planes);
  if (average)
    lcip_cl_args_int(&args, lcip_attrs_get_int(call->step->attrs, "count_include_pad") != 0);
  return lcip_cl_args_launch(&args, 3, global, local);
}

static const char *const pool_opencl_operators[] = {"MaxPool", "AveragePool", "GlobalAveragePool",
                                                    "GlobalMaxPool", NULL};

const LcipKernel lcip_kernel_pool_opencl = {
    .name = "pool-opencl",
    .family = "opencl",
    .device = LCIP_DEVICE_OPENCL,
    .operators = pool_opencl_operators,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-5f,
    .supports = pool_opencl_supports,
    .enqueue = pool_opencl_enqueue,
};
