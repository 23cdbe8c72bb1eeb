#include "config.h"

#include "lcip-element.h"

#include <string.h>

static void copy_element(const LcipCall *call, gsize to, gsize from) {
  const gsize size = lcip_type_size(call->outputs[0].spec.type);
  memcpy((char *)call->outputs[0].data + to * size,
         (const char *)call->inputs[0].data + from * size, size);
}

static void run_tile(const LcipCall *call) {
  const LcipShape *in = &call->inputs[0].shape, *out = &call->outputs[0].shape;
  const gsize n = lcip_view_count(&call->outputs[0]);
  for (gsize at = 0; at < n; at++) {
    gsize rest = at, from = 0, stride = 1;
    for (int i = out->rank - 1; i >= 0; i--) {
      from += rest % (gsize)out->dims[i] % (gsize)in->dims[i] * stride;
      rest /= (gsize)out->dims[i];
      stride *= (gsize)in->dims[i];
    }
    copy_element(call, at, from);
  }
}

/* Both directions pair pixel (h b + i, w b + j) of channel c of the large picture with pixel (h, w)
 * of a channel of the small one. */
static void run_blocks(const LcipCall *call, gboolean to_space) {
  const LcipShape *large = to_space ? &call->outputs[0].shape : &call->inputs[0].shape;
  const gsize b = (gsize)lcip_attrs_get_int(call->step->attrs, "blocksize");
  const gboolean crd =
      to_space && g_strcmp0(lcip_attrs_get_string(call->step->attrs, "mode"), "CRD") == 0;
  const gsize channels = (gsize)large->dims[1];
  const gsize height = (gsize)large->dims[2], width = (gsize)large->dims[3];
  const gsize n = lcip_view_count(&call->outputs[0]);
  for (gsize at = 0; at < n; at++) {
    const gsize x = at % width, y = at / width % height;
    const gsize c = at / (width * height) % channels, image = at / (width * height * channels);
    const gsize in_block = y % b * b + x % b;
    const gsize small_c = crd ? c * b * b + in_block : in_block * channels + c;
    const gsize small =
        ((image * channels * b * b + small_c) * (height / b) + y / b) * (width / b) + x / b;
    if (to_space)
      copy_element(call, at, small);
    else
      copy_element(call, small, at);
  }
}

static void run_trilu(const LcipCall *call) {
  const LcipShape *shape = &call->inputs[0].shape;
  const gsize size = lcip_type_size(call->outputs[0].spec.type);
  const gint64 k = lcip_step_has_input(call->step, 1) ? *(const gint64 *)call->inputs[1].data : 0;
  const gboolean upper = lcip_attrs_get_int(call->step->attrs, "upper") != 0;
  const gint64 limit = CLAMP(k, -G_MAXINT32, G_MAXINT32);
  const gsize n = lcip_view_count(&call->outputs[0]);
  for (gsize at = 0; at < n; at++) {
    const gint64 column = (gint64)(at % (gsize)shape->dims[shape->rank - 1]);
    const gint64 row =
        (gint64)(at / (gsize)shape->dims[shape->rank - 1] % (gsize)shape->dims[shape->rank - 2]);
    if (upper ? column - row >= limit : column - row <= limit)
      copy_element(call, at, at);
    else
      memset((char *)call->outputs[0].data + at * size, 0, size);
  }
}

static void run_range(const LcipCall *call) {
  const LcipType type = call->outputs[0].spec.type;
  const gsize n = lcip_view_count(&call->outputs[0]);
  const void *start = call->inputs[0].data, *delta = call->inputs[2].data;
  for (gsize i = 0; i < n; i++) {
    if (lcip_type_is_float(type))
      lcip_element_set_float(type, call->outputs[0].data, i,
                             lcip_element_float(type, start, 0) +
                                 (double)i * lcip_element_float(type, delta, 0));
    else
      lcip_element_set_int(type, call->outputs[0].data, i,
                           (gint64)((guint64)lcip_element_int(type, start, 0) +
                                    i * (guint64)lcip_element_int(type, delta, 0)));
  }
}

static void run_eye(const LcipCall *call) {
  const gint64 width = call->outputs[0].shape.dims[1];
  const gint64 k = lcip_attrs_get_int(call->step->attrs, "k");
  const gsize n = lcip_view_count(&call->outputs[0]);
  for (gsize at = 0; at < n; at++)
    lcip_element_set_float(call->outputs[0].spec.type, call->outputs[0].data, at,
                           (gint64)at % width == (gint64)at / width + k ? 1 : 0);
}

static void run_reverse(const LcipCall *call) {
  const LcipShape *shape = &call->inputs[0].shape;
  const int batch = (int)lcip_attrs_get_int(call->step->attrs, "batch_axis"), time = 1 - batch;
  const gsize inner = lcip_shape_product(shape, 2, shape->rank);
  const gsize strides[2] = {(gsize)shape->dims[1] * inner, inner};
  const gint64 *lengths = call->inputs[1].data;
  for (gint64 line = 0; line < shape->dims[batch]; line++)
    for (gint64 t = 0; t < shape->dims[time]; t++) {
      const gint64 length = CLAMP(lengths[line], 0, shape->dims[time]);
      const gint64 source = t < length ? length - 1 - t : t;
      for (gsize i = 0; i < inner; i++)
        copy_element(call, (gsize)line * strides[batch] + (gsize)t * strides[time] + i,
                     (gsize)line * strides[batch] + (gsize)source * strides[time] + i);
    }
}

static gboolean space_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipStep *step = call->step;
  if (lcip_step_is(step, "Tile"))
    run_tile(call);
  else if (lcip_step_is(step, "Trilu"))
    run_trilu(call);
  else if (lcip_step_is(step, "Range"))
    run_range(call);
  else if (lcip_step_is(step, "EyeLike"))
    run_eye(call);
  else if (lcip_step_is(step, "ReverseSequence"))
    run_reverse(call);
  else
    run_blocks(call, lcip_step_is(step, "DepthToSpace"));
  return TRUE;
}

static const char *const space_ref_operators[] = {
    "Tile", "DepthToSpace", "SpaceToDepth", "Trilu", "Range", "EyeLike", "ReverseSequence", NULL};

const LcipKernel lcip_kernel_space_ref = {
    .name = "space-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = space_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = space_ref_run,
};
