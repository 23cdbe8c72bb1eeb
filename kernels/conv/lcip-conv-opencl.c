#include "config.h"

#include "lcip-cl-step.h"
#include "lcip-window.h"

#include <string.h>

#define TILE 8

/* Sizes of one firing. */
typedef struct {
  LcipWindow window;
  gint64 batch, groups, group_in, group_out, kernel_size;
} ConvSizes;

/* Which function of conv.cl does it; the packing of the weights depends on it too. */
typedef enum { CONV_GENERAL, CONV_DEPTHWISE, CONV_TRANSPOSED } ConvVariant;

static gboolean conv_sizes(ConvSizes *sizes, const LcipStep *step, const LcipShape *x,
                           GError **error) {
  const LcipShape *w = &step->inputs[1].shape;
  const gboolean transposed = lcip_step_is(step, "ConvTranspose");
  if (!lcip_window_init(&sizes->window, transposed ? LCIP_WINDOW_TRANSPOSED : LCIP_WINDOW_CONV,
                        step, x, w, error))
    return FALSE;
  sizes->batch = x->dims[0];
  sizes->groups = lcip_attrs_get_int(step->attrs, "group");
  sizes->group_in = x->dims[1] / sizes->groups;
  sizes->group_out = transposed ? w->dims[1] : w->dims[0] / sizes->groups;
  sizes->kernel_size = sizes->window.kernel[1] * sizes->window.kernel[2];
  return TRUE;
}

/* From attributes and weights alone, so that steps with the same weights share their packing. */
static ConvVariant conv_variant(const LcipStep *step, const ConvSizes *sizes) {
  if (lcip_step_is(step, "ConvTranspose"))
    return CONV_TRANSPOSED;
  if (sizes->group_in == 1 && sizes->groups > 1)
    return CONV_DEPTHWISE;
  return CONV_GENERAL;
}

static gboolean is_same(const LcipWindow *window) {
  for (int i = 1; i < 3; i++)
    if (window->stride[i] != 1 || window->in[i] != window->out[i])
      return FALSE;
  return TRUE;
}

static gboolean is_pointwise(const LcipWindow *window) {
  for (int i = 1; i < 3; i++)
    if (window->kernel[i] != 1 || window->stride[i] != 1 || window->pad_begin[i] != 0 ||
        window->in[i] != window->out[i])
      return FALSE;
  return TRUE;
}

static gboolean conv_opencl_supports(const LcipStep *step, LcipPortFormats *formats,
                                     const char **reason) {
  if (step->inputs[0].shape.rank > 4) {
    *reason = "OpenCL convolves over one or two spatial dimensions, not three";
    return FALSE;
  }
  if (!step->constants[1] ||
      (lcip_step_has_input(step, 2) && step->n_anchor_inputs > 2 && !step->constants[2])) {
    *reason = "OpenCL convolution packs its weights once: they must be constants";
    return FALSE;
  }
  return lcip_cl_supports_fused(step, 0, formats, reason);
}

/* ---- packing ---- */

static const float *constant_f32(const LcipStep *step, guint i) {
  const gboolean present = i < step->n_anchor_inputs && lcip_step_has_input(step, i);
  return present ? lcip_tensor_get_data(step->constants[i]) : NULL;
}

/* Input channels come last: a kernel goes through them for each place of the window. */
static void pack_tile(const ConvSizes *sizes, const float *weights, gsize channels, float *packed) {
  const gsize in = (gsize)sizes->group_in, places = (gsize)sizes->kernel_size;
  for (gsize place = 0; place < places; place++)
    for (gsize k = 0; k < in; k++)
      for (gsize i = 0; i < channels; i++)
        packed[(place * in + k) * TILE + i] = weights[(i * in + k) * places + place];
}

static void pack_tiles(const ConvSizes *sizes, const float *weights, const float *bias,
                       float *packed) {
  const gsize taps = (gsize)(sizes->group_in * sizes->kernel_size);
  const gsize out = (gsize)sizes->group_out, tiles = (out + TILE - 1) / TILE;
  float *packed_bias = packed + (gsize)sizes->groups * tiles * taps * TILE;
  for (gsize tile = 0; tile < (gsize)sizes->groups * tiles; tile++) {
    const gsize in_group = tile % tiles * TILE, channel = tile / tiles * out + in_group;
    const gsize channels = MIN(out - in_group, TILE);
    pack_tile(sizes, weights + channel * taps, channels, packed + tile * taps * TILE);
    if (bias)
      memcpy(packed_bias + tile * TILE, bias + channel, channels * sizeof(float));
  }
}

static gboolean packed_count(const ConvSizes *sizes, ConvVariant variant, gsize *n_weights,
                             gsize *n_biases) {
  const gsize tiles = (gsize)(sizes->group_out + TILE - 1) / TILE;
  const gsize channels = variant == CONV_GENERAL ? tiles * TILE : (gsize)sizes->group_out;
  return g_size_checked_mul(n_biases, channels, (gsize)sizes->groups) &&
         g_size_checked_mul(n_weights, *n_biases, (gsize)(sizes->group_in * sizes->kernel_size)) &&
         *n_weights + *n_biases < G_MAXINT32;
}

/* Blob: see conv.cl: tiles for CONV_GENERAL, else the weights as they are; biases behind them. */
static gboolean conv_opencl_prepare(const LcipStep *step, const LcipPortFormats *formats,
                                    LcipBlob **blob, GError **error) {
  ConvSizes sizes;
  gsize n_weights, n_biases;
  if (!conv_sizes(&sizes, step, &step->inputs[0].shape, error))
    return FALSE;
  const ConvVariant variant = conv_variant(step, &sizes);
  LcipBlob *packed = packed_count(&sizes, variant, &n_weights, &n_biases)
                         ? lcip_blob_new((n_weights + n_biases) * sizeof(float))
                         : NULL;
  if (!packed) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "no memory for the packed weights of %s",
                step->op->name);
    return FALSE;
  }
  float *data = lcip_blob_data(packed);
  const float *weights = constant_f32(step, 1), *bias = constant_f32(step, 2);
  if (variant == CONV_GENERAL) {
    pack_tiles(&sizes, weights, bias, data);
  } else {
    memcpy(data, weights, n_weights * sizeof(float));
    if (bias)
      memcpy(data + n_weights, bias, n_biases * sizeof(float));
  }
  *blob = packed;
  return TRUE;
}

/* ---- launching ---- */

static void push_tensors(LcipClArgs *args, const LcipCall *call, const ConvSizes *sizes) {
  lcip_cl_args_view(args, &call->inputs[0]);
  lcip_cl_args_buffer(args, call->prepared_buffer);
  lcip_cl_args_view(args, &call->outputs[0]);
  lcip_cl_args_epilogues(args, call);
  lcip_cl_args_int(args, sizes->groups);
  lcip_cl_args_int(args, sizes->group_in);
  lcip_cl_args_int(args, sizes->group_out);
}

static gsize ceil_div(gint64 n, gint64 by) {
  return (gsize)((n + by - 1) / by);
}

static void push_window(LcipClArgs *args, const ConvSizes *sizes) {
  const LcipWindow *window = &sizes->window;
  lcip_cl_args_int(args, sizes->batch);
  lcip_cl_args_ints(args, 2, window->in + 1);
  lcip_cl_args_ints(args, 2, window->out + 1);
  lcip_cl_args_ints(args, 2, window->kernel + 1);
  lcip_cl_args_ints(args, 2, window->stride + 1);
  lcip_cl_args_ints(args, 2, window->dilation + 1);
  lcip_cl_args_ints(args, 2, window->pad_begin + 1);
}

/* Over the positions of a plane, whatever its rows: conv_pointwise and conv_same. */
static gboolean enqueue_positions(const LcipCall *call, const ConvSizes *sizes, LcipClQueue *queue,
                                  GError **error) {
  static const gsize local[] = {16, 2, 1};
  const gboolean pointwise = is_pointwise(&sizes->window);
  const gint64 plane = sizes->window.in[1] * sizes->window.in[2];
  const gsize global[] = {ceil_div(plane, 16),
                          (gsize)sizes->groups * ceil_div(sizes->group_out, TILE),
                          (gsize)sizes->batch};
  LcipClArgs args = lcip_cl_args_begin(queue, pointwise ? "conv_pointwise" : "conv_same", error);
  push_tensors(&args, call, sizes);
  if (pointwise)
    lcip_cl_args_int(&args, plane);
  else
    push_window(&args, sizes);
  return lcip_cl_args_launch(&args, 3, global, local);
}

static gboolean conv_opencl_enqueue(const LcipCall *call, LcipClQueue *queue, GError **error) {
  static const gsize local[] = {1, 8, 4};
  static const char *const functions[] = {
      [CONV_GENERAL] = "conv_general",
      [CONV_DEPTHWISE] = "conv_depthwise",
      [CONV_TRANSPOSED] = "conv_transpose",
  };
  ConvSizes sizes;
  if (!conv_sizes(&sizes, call->step, &call->inputs[0].shape, error))
    return FALSE;
  const ConvVariant variant = conv_variant(call->step, &sizes);
  if (variant == CONV_GENERAL && is_same(&sizes.window))
    return enqueue_positions(call, &sizes, queue, error);
  const gboolean transposed = variant == CONV_TRANSPOSED;
  const gsize channels =
      (gsize)sizes.groups *
      (variant == CONV_GENERAL ? ceil_div(sizes.group_out, TILE) : (gsize)sizes.group_out);
  /* A transposed convolution takes the columns of each phase of its stride apart. */
  const gint64 phases = transposed ? sizes.window.stride[2] : 1;
  const gsize columns = (gsize)phases * ceil_div(sizes.window.out[2], 16 * phases);
  const gsize global[] = {columns, (gsize)sizes.window.out[1], (gsize)sizes.batch * channels};
  LcipClArgs args = lcip_cl_args_begin(queue, functions[variant], error);
  push_tensors(&args, call, &sizes);
  push_window(&args, &sizes);
  return lcip_cl_args_launch(&args, 3, global, local);
}

static const char *const conv_opencl_operators[] = {"Conv", "ConvTranspose", NULL};

const LcipKernel lcip_kernel_conv_opencl = {
    .name = "conv-opencl",
    .family = "opencl",
    .device = LCIP_DEVICE_OPENCL,
    .operators = conv_opencl_operators,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .prepared_inputs = 1 << 1, /* not the bias: behind it an epilogue's input can have its index */
    .supports = conv_opencl_supports,
    .prepare = conv_opencl_prepare,
    .enqueue = conv_opencl_enqueue,
};
