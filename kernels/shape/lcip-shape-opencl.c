#include "config.h"

#include "lcip-cl-step.h"
#include "lcip-layout.h"

/* All these operators are copies of a box of elements: sizes, and strides in either tensor. */

#define MAX_DIMS 6

typedef struct {
  int rank;
  gint64 dims[LCIP_MAX_RANK], in[LCIP_MAX_RANK], out[LCIP_MAX_RANK];
  gint64 in_begin, out_begin;
} CopyBox;

static void dense_strides(const LcipShape *shape, gint64 *strides) {
  gint64 stride = 1;
  for (int i = shape->rank - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape->dims[i];
  }
}

/* Drops dimensions of size 1 and joins neighbours that both tensors walk without a jump. */
static void box_simplify(CopyBox *box) {
  int n = 0;
  for (int i = 0; i < box->rank; i++) {
    if (box->dims[i] == 1)
      continue;
    const gboolean joins = n > 0 && box->in[n - 1] == box->in[i] * box->dims[i] &&
                           box->out[n - 1] == box->out[i] * box->dims[i];
    const int to = joins ? n - 1 : n++;
    box->dims[to] = (joins ? box->dims[to] : 1) * box->dims[i];
    box->in[to] = box->in[i];
    box->out[to] = box->out[i];
  }
  box->rank = n;
}

static void swap(gint64 *values, int i, int j) {
  const gint64 value = values[i];
  values[i] = values[j];
  values[j] = value;
}

/* Work items copy 16 elements of the last dimension: a short one gives its place to the longest. */
static void box_choose_row(CopyBox *box) {
  const int last = box->rank - 1;
  int longest = last;
  if (last < 0 || box->dims[last] >= 16)
    return;
  for (int i = 0; i < last; i++)
    if (box->dims[i] > box->dims[longest])
      longest = i;
  swap(box->dims, longest, last);
  swap(box->in, longest, last);
  swap(box->out, longest, last);
}

static LcipTensorView view_at(const LcipTensorView *view, gint64 element) {
  LcipTensorView moved = *view;
  moved.offset_bytes += (gsize)element * sizeof(float);
  return moved;
}

static void push_outer(LcipClArgs *args, int n, const gint64 *values, gint64 fill) {
  for (int i = n; i < MAX_DIMS - 1; i++)
    lcip_cl_args_int(args, fill);
  lcip_cl_args_ints(args, (guint)n, values);
}

static gboolean enqueue_box(CopyBox *box, const LcipTensorView *in, const LcipTensorView *out,
                            LcipClQueue *queue, GError **error) {
  static const gsize local[] = {16, 2};
  box_simplify(box);
  box_choose_row(box);
  const int n_outer = MAX(box->rank - 1, 0);
  gint64 rows = 1;
  for (int i = 0; i < n_outer; i++)
    rows *= box->dims[i];
  const gint64 length = box->rank > 0 ? box->dims[n_outer] : 1;
  const gsize global[] = {(gsize)(length + 15) / 16, (gsize)rows};
  if (length * rows == 0)
    return TRUE;
  const LcipTensorView from = view_at(in, box->in_begin), to = view_at(out, box->out_begin);
  LcipClArgs args = lcip_cl_args_begin(queue, "shape_copy", error);
  lcip_cl_args_view(&args, &from);
  lcip_cl_args_view(&args, &to);
  lcip_cl_args_int(&args, rows);
  lcip_cl_args_int(&args, length);
  lcip_cl_args_int(&args, box->rank > 0 ? box->in[n_outer] : 1);
  lcip_cl_args_int(&args, box->rank > 0 ? box->out[n_outer] : 1);
  push_outer(&args, n_outer, box->dims, 1);
  push_outer(&args, n_outer, box->in, 0);
  push_outer(&args, n_outer, box->out, 0);
  return lcip_cl_args_launch(&args, 2, global, local);
}

static gboolean enqueue_fill(const LcipTensorView *out, float value, LcipClQueue *queue,
                             GError **error) {
  static const gsize local[] = {32};
  const gsize count = lcip_view_count(out), global[] = {(count + 15) / 16};
  LcipClArgs args = lcip_cl_args_begin(queue, "shape_fill", error);
  lcip_cl_args_view(&args, out);
  lcip_cl_args_int(&args, (gint64)count);
  lcip_cl_args_float(&args, value);
  return lcip_cl_args_launch(&args, 1, global, local);
}

/* ---- the operators ---- */

static gboolean enqueue_same(const LcipCall *call, LcipClQueue *queue, GError **error) {
  const LcipTensorView *in = &call->inputs[0], *out = &call->outputs[0];
  if (in->buffer == out->buffer && in->offset_bytes == out->offset_bytes)
    return TRUE;
  CopyBox box = {.rank = 1, .dims = {(gint64)lcip_view_count(out)}, .in = {1}, .out = {1}};
  return enqueue_box(&box, in, out, queue, error);
}

static gboolean enqueue_concat(const LcipCall *call, LcipClQueue *queue, GError **error) {
  const LcipTensorView *out = &call->outputs[0];
  gint64 strides[LCIP_MAX_RANK], begin = 0;
  int axis;
  if (!lcip_infer_axis(call->step, lcip_attrs_get_int(call->step->attrs, "axis"), out->shape.rank,
                       &axis, error))
    return FALSE;
  dense_strides(&out->shape, strides);
  for (guint i = 0; i < call->step->n_anchor_inputs; i++) {
    const LcipTensorView *in = &call->inputs[i];
    CopyBox box = {.rank = in->shape.rank, .out_begin = begin};
    dense_strides(&in->shape, box.in);
    for (int d = 0; d < box.rank; d++) {
      box.dims[d] = in->shape.dims[d];
      box.out[d] = strides[d];
    }
    begin += in->shape.dims[axis] * strides[axis];
    if (!enqueue_box(&box, in, out, queue, error))
      return FALSE;
  }
  return TRUE;
}

/* A part of the input along an axis, its size that of the output, which begins at @begin. */
static gboolean enqueue_part(const LcipTensorView *in, const LcipTensorView *out, gint64 begin,
                             LcipClQueue *queue, GError **error) {
  CopyBox box = {.rank = out->shape.rank, .in_begin = begin};
  dense_strides(&in->shape, box.in);
  dense_strides(&out->shape, box.out);
  for (int i = 0; i < box.rank; i++)
    box.dims[i] = out->shape.dims[i];
  return enqueue_box(&box, in, out, queue, error);
}

static gboolean enqueue_split(const LcipCall *call, LcipClQueue *queue, GError **error) {
  const LcipTensorView *in = &call->inputs[0];
  gint64 strides[LCIP_MAX_RANK], begin = 0;
  int axis;
  if (!lcip_infer_axis(call->step, lcip_attrs_get_int(call->step->attrs, "axis"), in->shape.rank,
                       &axis, error))
    return FALSE;
  dense_strides(&in->shape, strides);
  for (guint i = 0; i < call->step->n_outputs; i++) {
    const LcipTensorView *out = &call->outputs[i];
    if (out->spec.type != LCIP_TYPE_NONE && !enqueue_part(in, out, begin, queue, error))
      return FALSE;
    begin += call->step->outputs[i].shape.dims[axis] * strides[axis];
  }
  return TRUE;
}

static gboolean enqueue_transpose(const LcipCall *call, LcipClQueue *queue, GError **error) {
  const LcipTensorView *in = &call->inputs[0], *out = &call->outputs[0];
  gint64 strides[LCIP_MAX_RANK];
  int perm[LCIP_MAX_RANK];
  CopyBox box = {.rank = in->shape.rank};
  if (!lcip_transpose_perm(call->step, box.rank, perm, error))
    return FALSE;
  dense_strides(&in->shape, strides);
  dense_strides(&out->shape, box.out);
  for (int i = 0; i < box.rank; i++) {
    box.dims[i] = in->shape.dims[perm[i]];
    box.in[i] = strides[perm[i]];
  }
  return enqueue_box(&box, in, out, queue, error);
}

/* The input's dimensions stand at the end of the output's; those of size 1 repeat. */
static gboolean enqueue_expand(const LcipCall *call, LcipClQueue *queue, GError **error) {
  const LcipTensorView *in = &call->inputs[0], *out = &call->outputs[0];
  gint64 strides[LCIP_MAX_RANK];
  const int missing = out->shape.rank - in->shape.rank;
  CopyBox box = {.rank = out->shape.rank};
  dense_strides(&in->shape, strides);
  dense_strides(&out->shape, box.out);
  for (int i = 0; i < box.rank; i++) {
    box.dims[i] = out->shape.dims[i];
    box.in[i] = i >= missing && in->shape.dims[i - missing] > 1 ? strides[i - missing] : 0;
  }
  return enqueue_box(&box, in, out, queue, error);
}

static gboolean enqueue_slice(const LcipCall *call, LcipClQueue *queue, GError **error) {
  const LcipTensorView *in = &call->inputs[0], *out = &call->outputs[0];
  gint64 strides[LCIP_MAX_RANK];
  LcipSlice slice;
  CopyBox box = {.rank = in->shape.rank};
  if (!lcip_slice_init(&slice, call->step, &in->shape, error))
    return FALSE;
  dense_strides(&in->shape, strides);
  dense_strides(&out->shape, box.out);
  for (int i = 0; i < box.rank; i++) {
    box.dims[i] = slice.count[i];
    box.in[i] = strides[i] * slice.step[i];
    box.in_begin += strides[i] * slice.start[i];
  }
  return enqueue_box(&box, in, out, queue, error);
}

static gboolean enqueue_constant_of_shape(const LcipCall *call, LcipClQueue *queue,
                                          GError **error) {
  const LcipAttrValue *value = lcip_attrs_get(call->step->attrs, "value");
  const float *data = value && value->tensor ? lcip_tensor_get_data(value->tensor) : NULL;
  return enqueue_fill(&call->outputs[0], data ? *data : 0.0f, queue, error);
}

/* Fills the output and copies the input into it; negative pads cut elements off. */
static gboolean enqueue_pad(const LcipCall *call, LcipClQueue *queue, GError **error) {
  const LcipStep *step = call->step;
  const LcipTensorView *in = &call->inputs[0], *out = &call->outputs[0];
  LcipPads pads;
  CopyBox box = {.rank = in->shape.rank};
  if (!lcip_pads_init(&pads, step, &in->shape, error))
    return FALSE;
  dense_strides(&in->shape, box.in);
  dense_strides(&out->shape, box.out);
  for (int i = 0; i < box.rank; i++) {
    box.dims[i] = MAX(in->shape.dims[i] + MIN(pads.begin[i], 0) + MIN(pads.end[i], 0), 0);
    box.in_begin += MAX(-pads.begin[i], 0) * box.in[i];
    box.out_begin += MAX(pads.begin[i], 0) * box.out[i];
  }
  const LcipTensor *constant = lcip_step_constant(step, 2);
  const float value = constant ? *(const float *)lcip_tensor_get_data(constant) : 0.0f;
  return enqueue_fill(out, value, queue, error) && enqueue_box(&box, in, out, queue, error);
}

/* ---- the descriptor ---- */

typedef struct {
  const char *name;
  gboolean (*enqueue)(const LcipCall *call, LcipClQueue *queue, GError **error);
} ShapeOperator;

static const ShapeOperator shape_operators[] = {
    {"Reshape", enqueue_same},   {"Flatten", enqueue_same},
    {"Identity", enqueue_same},  {"Squeeze", enqueue_same},
    {"Unsqueeze", enqueue_same}, {"Concat", enqueue_concat},
    {"Slice", enqueue_slice},    {"Transpose", enqueue_transpose},
    {"Pad", enqueue_pad},        {"ConstantOfShape", enqueue_constant_of_shape},
    {"Split", enqueue_split},    {"Expand", enqueue_expand},
};

static const char *const shape_opencl_operators[] = {
    "Reshape",   "Flatten", "Identity",        "Squeeze", "Unsqueeze", "Concat", "Slice",
    "Transpose", "Pad",     "ConstantOfShape", "Split",   "Expand",    NULL};

static gboolean pad_supported(const LcipStep *step, const char **reason) {
  if (g_strcmp0(lcip_attrs_get_string(step->attrs, "mode"), "constant") != 0)
    *reason = "OpenCL pads with a constant only";
  else if (step->n_anchor_inputs > 2 && lcip_step_has_input(step, 2) && !step->constants[2])
    *reason = "the padding value must be a constant";
  else
    return TRUE;
  return FALSE;
}

static gboolean shape_opencl_supports(const LcipStep *step, LcipPortFormats *formats,
                                      const char **reason) {
  const gboolean concat = lcip_step_is(step, "Concat");
  const gboolean shape_only = lcip_step_is(step, "ConstantOfShape");
  if (lcip_step_is(step, "Pad") && !pad_supported(step, reason))
    return FALSE;
  for (guint i = concat || shape_only ? step->n_inputs : 1; i < step->n_inputs; i++)
    if (lcip_step_has_input(step, i) && !step->constants[i]) {
      *reason = "positions and sizes must be constants";
      return FALSE;
    }
  if (step->outputs[0].shape.rank > MAX_DIMS ||
      (!shape_only && step->inputs[0].shape.rank > MAX_DIMS)) {
    *reason = "OpenCL moves tensors of at most 6 dimensions";
    return FALSE;
  }
  /* All inputs but the first are positions, read while shapes are inferred. */
  const guint64 skip = concat ? 0 : shape_only ? ~(guint64)0 : ~(guint64)1;
  return lcip_cl_supports_plain(step, skip, formats, reason);
}

static gboolean shape_opencl_enqueue(const LcipCall *call, LcipClQueue *queue, GError **error) {
  for (guint i = 0; i < G_N_ELEMENTS(shape_operators); i++)
    if (lcip_step_is(call->step, shape_operators[i].name))
      return shape_operators[i].enqueue(call, queue, error);
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "OpenCL has no kernel for %s",
              call->step->op->name);
  return FALSE;
}

const LcipKernel lcip_kernel_shape_opencl = {
    .name = "shape-opencl",
    .family = "opencl",
    .device = LCIP_DEVICE_OPENCL,
    .operators = shape_opencl_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = shape_opencl_supports,
    .enqueue = shape_opencl_enqueue,
};
