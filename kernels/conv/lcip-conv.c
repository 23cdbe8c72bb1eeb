#include "config.h"

#include "lcip-window.h"

static const LcipPortDef conv_inputs[] = {
    {"X", LCIP_PORT_PLAIN, "Input: n, c, then the spatial dimensions"},
    {"W", LCIP_PORT_PLAIN, "Weights: m, c / group, then the kernel's size"},
    {"B", LCIP_PORT_OPTIONAL, "Bias: one per output channel"},
};

static const LcipPortDef transpose_inputs[] = {
    {"X", LCIP_PORT_PLAIN, "Input: n, c, then the spatial dimensions"},
    {"W", LCIP_PORT_PLAIN, "Weights: c, m / group, then the kernel's size"},
    {"B", LCIP_PORT_OPTIONAL, "Bias: one per output channel"},
};

static const LcipPortDef conv_outputs[] = {
    {"Y", LCIP_PORT_PLAIN, "Output: n, m, then the spatial dimensions"},
};

#define CONV_ATTRS                                                                                 \
  {"auto_pad",                                                                                     \
   LCIP_ATTR_STRING,                                                                               \
   FALSE,                                                                                          \
   "NOTSET",                                                                                       \
   0,                                                                                              \
   0,                                                                                              \
   lcip_window_auto_pads,                                                                          \
   NULL,                                                                                           \
   "How padding is found: from pads, so that the output is the input's size divided by the "       \
   "stride, or none"},                                                                             \
      {"dilations",                                                                                \
       LCIP_ATTR_INTS,                                                                             \
       FALSE,                                                                                      \
       NULL,                                                                                       \
       1,                                                                                          \
       G_MAXINT32,                                                                                 \
       NULL,                                                                                       \
       "elements",                                                                                 \
       "Distance between kernel elements per spatial dimension; 1 when not given"},                \
      {"group",                                                                                    \
       LCIP_ATTR_INT,                                                                              \
       FALSE,                                                                                      \
       "1",                                                                                        \
       1,                                                                                          \
       G_MAXINT32,                                                                                 \
       NULL,                                                                                       \
       NULL,                                                                                       \
       "Number of groups that channels are divided into"},                                         \
      {"kernel_shape",                                                                             \
       LCIP_ATTR_INTS,                                                                             \
       FALSE,                                                                                      \
       NULL,                                                                                       \
       1,                                                                                          \
       G_MAXINT32,                                                                                 \
       NULL,                                                                                       \
       "elements",                                                                                 \
       "Size of the kernel; that of W when not given"},                                            \
      {"pads",                                                                                     \
       LCIP_ATTR_INTS,                                                                             \
       FALSE,                                                                                      \
       NULL,                                                                                       \
       0,                                                                                          \
       G_MAXINT32,                                                                                 \
       NULL,                                                                                       \
       "elements",                                                                                 \
       "Padding at the begin of each spatial dimension, then at the end of each; 0 when not "      \
       "given"},                                                                                   \
  {                                                                                                \
    "strides", LCIP_ATTR_INTS, FALSE, NULL, 1, G_MAXINT32, NULL, "elements",                       \
        "Distance between windows per spatial dimension; 1 when not given"                         \
  }

static const LcipAttrDef conv_attrs[] = {CONV_ATTRS};

static const LcipAttrDef transpose_attrs[] = {
    CONV_ATTRS,
    {"output_padding", LCIP_ATTR_INTS, FALSE, NULL, 0, G_MAXINT32, NULL, "elements",
     "Elements added at the end of each spatial dimension of the output; 0 when not given"},
    {"output_shape", LCIP_ATTR_INTS, FALSE, NULL, 0, G_MAXINT32, NULL, "elements",
     "Spatial size of the output; padding is found from it"},
};

static gboolean check_bias(const LcipStep *step, gint64 channels, GError **error) {
  if (!lcip_step_has_input(step, 2))
    return TRUE;
  if (!lcip_infer_expect(step, 2, LCIP_TYPE_F32, 1, error))
    return FALSE;
  return step->inputs[2].shape.dims[0] == channels ||
         lcip_infer_fail(error,
                         "input B: expected %" G_GINT64_FORMAT " values, found %" G_GINT64_FORMAT,
                         channels, step->inputs[2].shape.dims[0]);
}

static gboolean infer_output(LcipStep *step, const LcipWindow *window, gint64 channels,
                             GError **error) {
  LcipShape shape = step->inputs[0].shape;
  shape.dims[1] = channels;
  for (int i = 0; i < window->rank; i++)
    shape.dims[2 + i] = window->out[3 - window->rank + i];
  return check_bias(step, channels, error) && lcip_infer_set(step, 0, LCIP_TYPE_F32, &shape, error);
}

static gboolean check_inputs(const LcipStep *step, gint64 *group, GError **error) {
  *group = lcip_attrs_get_int(step->attrs, "group");
  if (!lcip_infer_expect(step, 0, LCIP_TYPE_F32, -1, error) ||
      !lcip_infer_expect(step, 1, LCIP_TYPE_F32, step->inputs[0].shape.rank, error))
    return FALSE;
  if (step->inputs[0].shape.rank < 3)
    return lcip_infer_fail(error, "input X: expected rank 3 to 5, found rank %d",
                           step->inputs[0].shape.rank);
  return *group >= 1 ||
         lcip_infer_fail(error, "attribute group: expected at least 1, found %" G_GINT64_FORMAT,
                         *group);
}

static gboolean conv_infer(LcipStep *step, GError **error) {
  const LcipShape *x = &step->inputs[0].shape, *w = &step->inputs[1].shape;
  LcipWindow window;
  gint64 group;
  if (!check_inputs(step, &group, error))
    return FALSE;
  if (x->dims[1] < 1 || x->dims[1] % group != 0 || x->dims[1] / group != w->dims[1])
    return lcip_infer_fail(error,
                           "input X: expected %" G_GINT64_FORMAT
                           " channels in each of %" G_GINT64_FORMAT
                           " groups as in W, found %" G_GINT64_FORMAT " channels in all",
                           w->dims[1], group, x->dims[1]);
  if (w->dims[0] < 1 || w->dims[0] % group != 0)
    return lcip_infer_fail(error,
                           "input W: expected a multiple of %" G_GINT64_FORMAT
                           " output channels, found %" G_GINT64_FORMAT,
                           group, w->dims[0]);
  return lcip_window_init(&window, LCIP_WINDOW_CONV, step, x, w, error) &&
         infer_output(step, &window, w->dims[0], error);
}

static gboolean conv_transpose_infer(LcipStep *step, GError **error) {
  const LcipShape *x = &step->inputs[0].shape, *w = &step->inputs[1].shape;
  LcipWindow window;
  gint64 group, channels;
  if (!check_inputs(step, &group, error))
    return FALSE;
  if (x->dims[1] < 1 || x->dims[1] % group != 0 || x->dims[1] != w->dims[0])
    return lcip_infer_fail(error,
                           "input X: expected %" G_GINT64_FORMAT " channels as in W, a multiple of "
                           "%" G_GINT64_FORMAT ", found %" G_GINT64_FORMAT,
                           w->dims[0], group, x->dims[1]);
  if (w->dims[1] < 1 || __builtin_mul_overflow(w->dims[1], group, &channels))
    return lcip_infer_fail(
        error,
        "input W: expected output channels that fit memory, found %" G_GINT64_FORMAT
        " in each of %" G_GINT64_FORMAT " groups",
        w->dims[1], group);
  return lcip_window_init(&window, LCIP_WINDOW_TRANSPOSED, step, x, w, error) &&
         infer_output(step, &window, channels, error);
}

static double count(const LcipTensorSpec *spec) {
  return (double)lcip_shape_count(&spec->shape);
}

/* Two FLOPs for each weight that meets each position; @positions: elements of the tensor whose
 * every element meets W's elements per channel. */
static void fill_cost(const LcipStep *step, const LcipTensorSpec *positions, int channel_dim,
                      LcipCost *cost) {
  const LcipShape *w = &step->inputs[1].shape;
  const double taps = count(&step->inputs[1]) / (double)w->dims[channel_dim];
  cost->flops = 2.0 * taps * count(positions);
  cost->bytes = 4.0 * (count(&step->inputs[0]) + count(&step->inputs[1]) + count(step->outputs));
}

static void conv_cost(const LcipStep *step, LcipCost *cost) {
  fill_cost(step, &step->outputs[0], 0, cost);
}

static void conv_transpose_cost(const LcipStep *step, LcipCost *cost) {
  fill_cost(step, &step->inputs[0], 0, cost);
}

static const LcipOperator conv = {
    .domain = "",
    .name = "Conv",
    .summary = "Convolution of the input with a bank of kernels",
    .inputs = conv_inputs,
    .n_inputs = G_N_ELEMENTS(conv_inputs),
    .outputs = conv_outputs,
    .n_outputs = G_N_ELEMENTS(conv_outputs),
    .attrs = conv_attrs,
    .n_attrs = G_N_ELEMENTS(conv_attrs),
    .infer = conv_infer,
    .cost = conv_cost,
};

static const LcipOperator conv_transpose = {
    .domain = "",
    .name = "ConvTranspose",
    .summary = "Transposed convolution: each input element adds a kernel to the output",
    .inputs = transpose_inputs,
    .n_inputs = G_N_ELEMENTS(transpose_inputs),
    .outputs = conv_outputs,
    .n_outputs = G_N_ELEMENTS(conv_outputs),
    .attrs = transpose_attrs,
    .n_attrs = G_N_ELEMENTS(transpose_attrs),
    .infer = conv_transpose_infer,
    .cost = conv_transpose_cost,
};

const LcipOperator *const lcip_operators_conv[] = {&conv, &conv_transpose, NULL};
