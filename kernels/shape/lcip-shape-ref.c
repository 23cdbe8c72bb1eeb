#include "config.h"

#include "lcip-infer.h"

#include <string.h>

static gsize view_bytes(const LcipTensorView *view) {
  return lcip_view_count(view) * lcip_type_size(view->spec.type);
}

/* Repeats the first element, already in place, over all @n of @size bytes. */
static void repeat_first(char *data, gsize size, gsize n) {
  for (gsize done = 1; done < n;) {
    const gsize now = MIN(done, n - done);
    memcpy(data + done * size, data, now * size);
    done += now;
  }
}

static void run_view(const LcipCall *call) {
  LcipTensorView *out = &call->outputs[0];
  if (out->data != call->inputs[0].data)
    memmove(out->data, call->inputs[0].data, view_bytes(out));
  /* Dropout's mask */
  if (call->step->n_outputs > 1 && call->step->outputs[1].type == LCIP_TYPE_BOOL)
    memset(call->outputs[1].data, 1, view_bytes(&call->outputs[1]));
}

static void run_shape(const LcipCall *call) {
  const LcipShape *shape = &call->inputs[0].shape;
  const gint64 start = lcip_attrs_get_int(call->step->attrs, "start");
  const gint64 first = CLAMP(start < 0 ? start + shape->rank : start, 0, shape->rank);
  const gint64 n = call->outputs[0].shape.dims[0];
  gint64 *out = call->outputs[0].data;
  for (gint64 i = 0; i < n; i++)
    out[i] = shape->dims[first + i];
}

static void run_constant(const LcipCall *call) {
  const LcipAttrs *attrs = call->step->attrs;
  void *out = call->outputs[0].data;
  const gsize bytes = view_bytes(&call->outputs[0]);
  const LcipAttrValue *value = lcip_attrs_get(attrs, "value");
  if (value && value->tensor) {
    memcpy(out, lcip_tensor_get_data(value->tensor), bytes);
    return;
  }
  static const char *const names[] = {"value_float", "value_floats", "value_int", "value_ints"};
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    value = lcip_attrs_get(attrs, names[i]);
    if (!value)
      continue;
    if (bytes > 0)
      memcpy(out, i < 2 ? (const void *)value->floats : (const void *)value->ints, bytes);
    return;
  }
}

static void run_fill(const LcipCall *call) {
  const LcipAttrValue *value = lcip_attrs_get(call->step->attrs, "value");
  const gsize n = lcip_view_count(&call->outputs[0]);
  const gsize size = lcip_type_size(call->outputs[0].spec.type);
  char *out = call->outputs[0].data;
  if (!value || !value->tensor) {
    memset(out, 0, n * size);
  } else if (n > 0) {
    memcpy(out, lcip_tensor_get_data(value->tensor), size);
    repeat_first(out, size, n);
  }
}

static gboolean shape_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  if (lcip_step_is(call->step, "Shape"))
    run_shape(call);
  else if (lcip_step_is(call->step, "Size"))
    *(gint64 *)call->outputs[0].data = (gint64)lcip_view_count(&call->inputs[0]);
  else if (lcip_step_is(call->step, "Constant"))
    run_constant(call);
  else if (lcip_step_is(call->step, "ConstantOfShape"))
    run_fill(call);
  else
    run_view(call);
  return TRUE;
}

static const char *const shape_ref_operators[] = {
    "Identity", "Dropout", "Reshape",  "Flatten",         "Squeeze", "Unsqueeze",
    "Shape",    "Size",    "Constant", "ConstantOfShape", NULL};

const LcipKernel lcip_kernel_shape_ref = {
    .name = "shape-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = shape_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .inplace = FALSE,
    .supports = lcip_supports_reference,
    .run = shape_ref_run,
};
