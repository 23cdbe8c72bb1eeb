#include "config.h"

#include "lcip-element.h"

#include <math.h>
#include <string.h>

/* ---- shared ---- */

static gboolean read_index(const LcipTensorView *view, gsize i, gint64 dim, gsize *index,
                           GError **error) {
  const gint64 value = lcip_element_int(view->spec.type, view->data, i);
  if (value < -dim || value >= dim)
    return lcip_infer_fail(error,
                           "input indices: expected values from %" G_GINT64_FORMAT
                           " to %" G_GINT64_FORMAT ", found %" G_GINT64_FORMAT,
                           -dim, dim - 1, value);
  *index = (gsize)(value < 0 ? value + dim : value);
  return TRUE;
}

/* Where element @at of a tensor of @shape lies in one of @data's shape, its axis replaced. */
static gsize place(const LcipShape *shape, const LcipShape *data, gsize at, int axis, gsize index) {
  gsize offset = 0, stride = 1;
  for (int i = data->rank - 1; i >= 0; i--) {
    const gsize dim = (gsize)shape->dims[i];
    offset += (i == axis ? index : at % dim) * stride;
    at /= dim;
    stride *= (gsize)data->dims[i];
  }
  return offset;
}

static void combine(const LcipStep *step, LcipType type, void *data, gsize at, const void *updates,
                    gsize from) {
  const char *how = lcip_attrs_get_string(step->attrs, "reduction");
  const gsize size = lcip_type_size(type);
  if (g_strcmp0(how, "none") == 0) {
    memcpy((char *)data + at * size, (const char *)updates + from * size, size);
  } else if (lcip_type_is_float(type)) {
    const double x = lcip_element_float(type, data, at);
    const double y = lcip_element_float(type, updates, from);
    lcip_element_set_float(type, data, at,
                           g_str_equal(how, "add")   ? x + y
                           : g_str_equal(how, "mul") ? x * y
                           : g_str_equal(how, "max") ? fmax(x, y)
                                                     : fmin(x, y));
  } else {
    const gint64 x = lcip_element_int(type, data, at), y = lcip_element_int(type, updates, from);
    lcip_element_set_int(type, data, at,
                         g_str_equal(how, "add")   ? (gint64)((guint64)x + (guint64)y)
                         : g_str_equal(how, "mul") ? (gint64)((guint64)x * (guint64)y)
                         : g_str_equal(how, "max") ? MAX(x, y)
                                                   : MIN(x, y));
  }
}

static void copy_data(const LcipCall *call) {
  const gsize bytes = lcip_view_count(&call->inputs[0]) * lcip_type_size(call->inputs[0].spec.type);
  if (bytes > 0)
    memcpy(call->outputs[0].data, call->inputs[0].data, bytes);
}

/* ---- GatherElements, ScatterElements ---- */

static gboolean run_elements(const LcipCall *call, gboolean scatter, GError **error) {
  const LcipShape *data = &call->inputs[0].shape;
  const LcipType type = call->inputs[0].spec.type;
  const gsize n = lcip_view_count(&call->inputs[1]), size = lcip_type_size(type);
  int axis;
  gsize index = 0;
  if (!lcip_infer_axis(call->step, lcip_attrs_get_int(call->step->attrs, "axis"), data->rank, &axis,
                       error))
    return FALSE;
  if (scatter)
    copy_data(call);
  for (gsize i = 0; i < n; i++) {
    if (!read_index(&call->inputs[1], i, data->dims[axis], &index, error))
      return FALSE;
    const gsize at = place(&call->inputs[1].shape, data, i, axis, index);
    if (scatter)
      combine(call->step, type, call->outputs[0].data, at, call->inputs[2].data, i);
    else
      memcpy((char *)call->outputs[0].data + i * size,
             (const char *)call->inputs[0].data + at * size, size);
  }
  return TRUE;
}

/* ---- GatherND, ScatterND ---- */

/* The number of the slice that index tuple @tuple names, counted over data's dimensions
 * [first, first + depth). */
static gboolean slice_number(const LcipCall *call, int first, int depth, gsize tuple, gsize *slice,
                             GError **error) {
  *slice = 0;
  for (int i = 0; i < depth; i++) {
    const gint64 dim = call->inputs[0].shape.dims[first + i];
    gsize index = 0;
    if (!read_index(&call->inputs[1], tuple * (gsize)depth + (gsize)i, dim, &index, error))
      return FALSE;
    *slice = *slice * (gsize)dim + index;
  }
  return TRUE;
}

static gboolean run_nd(const LcipCall *call, gboolean scatter, GError **error) {
  const LcipShape *data = &call->inputs[0].shape, *indices = &call->inputs[1].shape;
  const LcipType type = call->inputs[0].spec.type;
  const int batch = scatter ? 0 : (int)lcip_attrs_get_int(call->step->attrs, "batch_dims");
  const int depth = (int)indices->dims[indices->rank - 1];
  const gsize tuples = lcip_shape_product(indices, 0, indices->rank - 1);
  const gsize per_batch = lcip_shape_product(indices, batch, indices->rank - 1);
  const gsize slices = lcip_shape_product(data, batch, batch + depth);
  const gsize length = lcip_shape_product(data, batch + depth, data->rank);
  const gsize size = lcip_type_size(type);
  if (scatter)
    copy_data(call);
  for (gsize t = 0; t < tuples && length > 0; t++) {
    gsize slice;
    if (!slice_number(call, batch, depth, t, &slice, error))
      return FALSE;
    const gsize at = (t / per_batch * slices + slice) * length;
    for (gsize i = 0; scatter && i < length; i++)
      combine(call->step, type, call->outputs[0].data, at + i, call->inputs[2].data,
              t * length + i);
    if (!scatter)
      memcpy((char *)call->outputs[0].data + t * length * size,
             (const char *)call->inputs[0].data + at * size, length * size);
  }
  return TRUE;
}

/* ---- OneHot, NonZero, Compress ---- */

static gboolean run_one_hot(const LcipCall *call, GError **error) {
  const LcipShape *out = &call->outputs[0].shape;
  const gsize size = lcip_type_size(call->outputs[0].spec.type);
  const char *values = call->inputs[2].data;
  int axis;
  if (!lcip_infer_axis(call->step, lcip_attrs_get_int(call->step->attrs, "axis"), out->rank, &axis,
                       error))
    return FALSE;
  const gsize depth = (gsize)out->dims[axis];
  const gsize inner = lcip_shape_product(out, axis + 1, out->rank);
  const gsize n = lcip_view_count(&call->outputs[0]);
  for (gsize at = 0; at < n; at++) {
    const gsize from = at / (inner * depth) * inner + at % inner;
    const double asked = lcip_element_float(call->inputs[0].spec.type, call->inputs[0].data, from);
    const double index = asked < 0 ? asked + (double)depth : asked;
    const gboolean on = index == (double)(at / inner % depth);
    memcpy((char *)call->outputs[0].data + at * size, values + (on ? size : 0), size);
  }
  return TRUE;
}

static void run_non_zero(const LcipCall *call) {
  const LcipTensorView *in = &call->inputs[0];
  const gsize n = lcip_view_count(in);
  gint64 *out = call->outputs[0].data;
  gsize found = 0, k = 0;
  for (gsize i = 0; i < n; i++)
    found += lcip_element_float(in->spec.type, in->data, i) != 0;
  for (gsize i = 0; i < n; i++) {
    if (lcip_element_float(in->spec.type, in->data, i) == 0)
      continue;
    gsize rest = i;
    out[k] = 0; /* of a scalar */
    for (int d = in->shape.rank - 1; d >= 0; d--) {
      out[(gsize)d * found + k] = (gint64)(rest % (gsize)in->shape.dims[d]);
      rest /= (gsize)in->shape.dims[d];
    }
    k++;
  }
  call->outputs[0].shape.dims[1] = (gint64)found;
}

static gboolean run_compress(const LcipCall *call, GError **error) {
  const LcipShape *in = &call->inputs[0].shape;
  const gboolean flat = !lcip_attrs_has(call->step->attrs, "axis");
  const gsize size = lcip_type_size(call->inputs[0].spec.type);
  const guint8 *condition = call->inputs[1].data;
  int axis = 0;
  if (!flat && !lcip_infer_axis(call->step, lcip_attrs_get_int(call->step->attrs, "axis"), in->rank,
                                &axis, error))
    return FALSE;
  const gsize dim = flat ? lcip_view_count(&call->inputs[0]) : (gsize)in->dims[axis];
  const gsize outer = flat ? 1 : lcip_shape_product(in, 0, axis);
  const gsize block = flat ? size : lcip_shape_product(in, axis + 1, in->rank) * size;
  const gsize n = MIN(dim, lcip_view_count(&call->inputs[1]));
  char *to = call->outputs[0].data;
  gint64 kept = 0;
  for (gsize i = 0; i < n; i++)
    kept += condition[i] != 0;
  for (gsize o = 0; o < outer; o++)
    for (gsize i = 0; i < n; i++) {
      if (!condition[i] || block == 0)
        continue;
      memcpy(to, (const char *)call->inputs[0].data + (o * dim + i) * block, block);
      to += block;
    }
  call->outputs[0].shape.dims[axis] = kept;
  return TRUE;
}

static gboolean index_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipStep *step = call->step;
  if (lcip_step_is(step, "GatherElements") || lcip_step_is(step, "ScatterElements"))
    return run_elements(call, lcip_step_is(step, "ScatterElements"), error);
  if (lcip_step_is(step, "GatherND") || lcip_step_is(step, "ScatterND"))
    return run_nd(call, lcip_step_is(step, "ScatterND"), error);
  if (lcip_step_is(step, "OneHot"))
    return run_one_hot(call, error);
  if (lcip_step_is(step, "Compress"))
    return run_compress(call, error);
  run_non_zero(call);
  return TRUE;
}

static const char *const index_ref_operators[] = {
    "GatherElements", "ScatterElements", "GatherND", "ScatterND",
    "OneHot",         "Compress",        "NonZero",  NULL};

const LcipKernel lcip_kernel_index_ref = {
    .name = "index-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = index_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = index_ref_run,
};
