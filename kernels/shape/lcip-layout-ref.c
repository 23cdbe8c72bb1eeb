#include "config.h"
#include "lcip-layout.h"

#include "lcip-broadcast.h"

#include <string.h>

/* Transpose, Slice and Expand read the input at fixed steps along each dimension of the output. */
typedef struct {
  int rank;
  gint64 dims[LCIP_MAX_RANK];
  gint64 strides[LCIP_MAX_RANK]; /* elements, may be negative */
  gint64 base;
  gsize size;
  const char *in;
  char *out;
} StridedCopy;

#define COPY_ROW(type)                                                                             \
  for (gint64 i = 0; i < n; i++)                                                                   \
    ((type *)out)[i] = ((const type *)job->in)[from + i * stride];                                 \
  break

static void copy_row(const StridedCopy *job, gint64 from, char *out) {
  const gint64 n = job->dims[job->rank - 1], stride = job->strides[job->rank - 1];
  switch (job->size) {
  case 1:
    COPY_ROW(guint8);
  case 2:
    COPY_ROW(guint16);
  case 4:
    COPY_ROW(guint32);
  default:
    COPY_ROW(guint64);
  }
}

static void strided_range(gpointer data, gsize begin, gsize end) {
  const StridedCopy *job = data;
  const gsize row_bytes = (gsize)job->dims[job->rank - 1] * job->size;
  for (gsize row = begin; row < end; row++) {
    gint64 from = job->base;
    gsize rest = row;
    for (int i = job->rank - 2; i >= 0; i--) {
      from += (gint64)(rest % (gsize)job->dims[i]) * job->strides[i];
      rest /= (gsize)job->dims[i];
    }
    copy_row(job, from, job->out + row * row_bytes);
  }
}

static void run_strided(StridedCopy *job, const LcipCall *call, LcipTeam *team) {
  const LcipShape *out = &call->outputs[0].shape;
  job->in = call->inputs[0].data;
  job->out = call->outputs[0].data;
  job->size = lcip_type_size(call->outputs[0].spec.type);
  job->rank = MAX(out->rank, 1);
  job->dims[0] = 1;
  memcpy(job->dims, out->dims, sizeof(gint64) * (gsize)out->rank);
  const gsize n = lcip_view_count(&call->outputs[0]);
  const gsize length = (gsize)job->dims[job->rank - 1];
  if (n > 0)
    lcip_team_ranges(team, n / length, 16384 / length + 1, strided_range, job);
}

/* Elements between neighbours along each dimension of a dense tensor. */
static void dense_strides(const LcipShape *shape, gint64 *strides) {
  gint64 stride = 1;
  for (int i = shape->rank - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape->dims[i];
  }
}

static gboolean run_transpose(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *in = &call->inputs[0].shape;
  StridedCopy job = {0};
  gint64 strides[LCIP_MAX_RANK];
  int perm[LCIP_MAX_RANK];
  if (!lcip_transpose_perm(call->step, in->rank, perm, error))
    return FALSE;
  dense_strides(in, strides);
  for (int i = 0; i < in->rank; i++)
    job.strides[i] = strides[perm[i]];
  run_strided(&job, call, team);
  return TRUE;
}

static gboolean run_slice(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *in = &call->inputs[0].shape;
  StridedCopy job = {0};
  gint64 strides[LCIP_MAX_RANK];
  LcipSlice slice;
  if (!lcip_slice_init(&slice, call->step, in, error))
    return FALSE;
  dense_strides(in, strides);
  for (int i = 0; i < in->rank; i++) {
    job.base += slice.start[i] * strides[i];
    job.strides[i] = slice.step[i] * strides[i];
  }
  run_strided(&job, call, team);
  return TRUE;
}

static gboolean run_expand(const LcipCall *call, LcipTeam *team) {
  const LcipShape *in = &call->inputs[0].shape, *out = &call->outputs[0].shape;
  StridedCopy job = {0};
  gint64 strides[LCIP_MAX_RANK];
  dense_strides(in, strides);
  for (int i = 0; i < in->rank; i++)
    job.strides[out->rank - in->rank + i] = in->dims[i] == 1 ? 0 : strides[i];
  run_strided(&job, call, team);
  return TRUE;
}

/* ---- Concat and Split: blocks of one tensor between those of the others ---- */

static gboolean run_concat(const LcipCall *call, GError **error) {
  const LcipShape *out = &call->outputs[0].shape;
  const gsize size = lcip_type_size(call->outputs[0].spec.type);
  char *to = call->outputs[0].data;
  int axis;
  if (!lcip_infer_axis(call->step, lcip_attrs_get_int(call->step->attrs, "axis"), out->rank, &axis,
                       error))
    return FALSE;
  const gsize outer = lcip_shape_product(out, 0, axis);
  for (gsize k = 0; k < outer; k++)
    for (guint i = 0; i < call->step->n_anchor_inputs; i++) {
      const gsize block = lcip_shape_product(&call->inputs[i].shape, axis, out->rank) * size;
      if (block > 0)
        memcpy(to, (const char *)call->inputs[i].data + k * block, block);
      to += block;
    }
  return TRUE;
}

static gboolean run_split(const LcipCall *call, GError **error) {
  const LcipShape *in = &call->inputs[0].shape;
  const gsize size = lcip_type_size(call->inputs[0].spec.type);
  const char *from = call->inputs[0].data;
  int axis;
  if (!lcip_infer_axis(call->step, lcip_attrs_get_int(call->step->attrs, "axis"), in->rank, &axis,
                       error))
    return FALSE;
  const gsize outer = lcip_shape_product(in, 0, axis);
  for (gsize k = 0; k < outer; k++)
    for (guint i = 0; i < call->step->n_outputs; i++) {
      const gsize block = lcip_shape_product(&call->outputs[i].shape, axis, in->rank) * size;
      if (block > 0 && call->outputs[i].data)
        memcpy((char *)call->outputs[i].data + k * block, from, block);
      from += block;
    }
  return TRUE;
}

/* ---- Pad ---- */

/* Index of the input that fills index @at of the padded dimension, or -1 for the constant. */
static gint64 pad_source(LcipPadMode mode, gint64 at, gint64 size) {
  if (at >= 0 && at < size)
    return at;
  switch (mode) {
  case LCIP_PAD_REFLECT: {
    const gint64 period = 2 * (size - 1);
    if (period == 0)
      return 0;
    const gint64 phase = (at % period + period) % period;
    return phase < size ? phase : period - phase;
  }
  case LCIP_PAD_EDGE:
    return at < 0 ? 0 : size - 1;
  case LCIP_PAD_WRAP:
    return (at % size + size) % size;
  case LCIP_PAD_CONSTANT:
    break;
  }
  return -1;
}

typedef struct {
  LcipPads pads;
  const LcipShape *in_shape, *out_shape;
  gint64 strides[LCIP_MAX_RANK];
  gsize size;
  const char *in, *constant;
  char *out;
} PadJob;

static void pad_range(gpointer data, gsize begin, gsize end) {
  const PadJob *job = data;
  for (gsize at = begin; at < end; at++) {
    gint64 from = 0;
    gsize rest = at;
    for (int i = job->out_shape->rank - 1; i >= 0 && from >= 0; i--) {
      const gsize dim = (gsize)job->out_shape->dims[i];
      const gint64 source = pad_source(job->pads.mode, (gint64)(rest % dim) - job->pads.begin[i],
                                       job->in_shape->dims[i]);
      rest /= dim;
      from = source < 0 ? -1 : from + source * job->strides[i];
    }
    memcpy(job->out + at * job->size, from < 0 ? job->constant : job->in + (gsize)from * job->size,
           job->size);
  }
}

static gboolean run_pad(const LcipCall *call, LcipTeam *team, GError **error) {
  static const char zero[8] = {0};
  PadJob job = {.in_shape = &call->inputs[0].shape,
                .out_shape = &call->outputs[0].shape,
                .size = lcip_type_size(call->outputs[0].spec.type),
                .in = call->inputs[0].data,
                .constant = lcip_step_has_input(call->step, 2) ? call->inputs[2].data : zero,
                .out = call->outputs[0].data};
  if (!lcip_pads_init(&job.pads, call->step, job.in_shape, error))
    return FALSE;
  dense_strides(job.in_shape, job.strides);
  lcip_team_ranges(team, lcip_view_count(&call->outputs[0]), 16384, pad_range, &job);
  return TRUE;
}

/* ---- Gather ---- */

static gint64 read_index(const LcipTensorView *view, gsize i) {
  return view->spec.type == LCIP_TYPE_I32 ? ((const gint32 *)view->data)[i]
                                          : ((const gint64 *)view->data)[i];
}

static gboolean run_gather(const LcipCall *call, GError **error) {
  const LcipShape *in = &call->inputs[0].shape;
  const gsize n = lcip_view_count(&call->inputs[1]);
  const char *from = call->inputs[0].data;
  char *to = call->outputs[0].data;
  int axis;
  if (!lcip_infer_axis(call->step, lcip_attrs_get_int(call->step->attrs, "axis"), in->rank, &axis,
                       error))
    return FALSE;
  const gint64 dim = in->dims[axis];
  const gsize outer = lcip_shape_product(in, 0, axis);
  const gsize block =
      lcip_shape_product(in, axis + 1, in->rank) * lcip_type_size(call->inputs[0].spec.type);
  for (gsize k = 0; k < outer; k++)
    for (gsize i = 0; i < n; i++) {
      const gint64 index = read_index(&call->inputs[1], i);
      if (index < -dim || index >= dim)
        return lcip_infer_fail(error,
                               "input indices: expected values from %" G_GINT64_FORMAT
                               " to %" G_GINT64_FORMAT ", found %" G_GINT64_FORMAT,
                               -dim, dim - 1, index);
      const gsize entry = k * (gsize)dim + (gsize)(index < 0 ? index + dim : index);
      memcpy(to, from + entry * block, block);
      to += block;
    }
  return TRUE;
}

static gboolean layout_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipStep *step = call->step;
  if (lcip_step_is(step, "Transpose"))
    return run_transpose(call, team, error);
  if (lcip_step_is(step, "Slice"))
    return run_slice(call, team, error);
  if (lcip_step_is(step, "Expand"))
    return run_expand(call, team);
  if (lcip_step_is(step, "Concat"))
    return run_concat(call, error);
  if (lcip_step_is(step, "Split"))
    return run_split(call, error);
  if (lcip_step_is(step, "Pad"))
    return run_pad(call, team, error);
  return run_gather(call, error);
}

static const char *const layout_ref_operators[] = {"Transpose", "Slice", "Expand", "Concat",
                                                   "Split",     "Pad",   "Gather", NULL};

const LcipKernel lcip_kernel_layout_ref = {
    .name = "layout-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = layout_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = layout_ref_run,
};
