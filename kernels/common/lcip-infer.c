#include "config.h"
#include "lcip-infer.h"

LcipTensor *lcip_step_constant(const LcipStep *step, guint i) {
  if (!lcip_step_has_input(step, i) || !step->constants)
    return NULL;
  return step->constants[i];
}

gboolean lcip_infer_ints(const LcipStep *step, guint i, guint max, gint64 *values, guint *n,
                         GError **error) {
  g_autofree char *name = lcip_operator_input_name(step->op, i);
  LcipTensor *tensor = lcip_step_constant(step, i);
  if (!tensor)
    return lcip_infer_fail(error, "input %s: expected a constant, found a computed tensor", name);
  const LcipTensorSpec *spec = lcip_tensor_get_spec(tensor);
  if (spec->type != LCIP_TYPE_I64 && spec->type != LCIP_TYPE_I32)
    return lcip_infer_fail(error, "input %s: expected i64 or i32, found %s", name,
                           lcip_type_name(spec->type));
  const gint64 count = lcip_shape_count(&spec->shape);
  if (spec->shape.rank > 1 || count < 0 || count > max)
    return lcip_infer_fail(error,
                           "input %s: expected at most %u values in one dimension, found rank %d "
                           "with %" G_GINT64_FORMAT " values",
                           name, max, spec->shape.rank, count);
  for (gint64 k = 0; k < count; k++)
    values[k] = lcip_tensor_get_i64(tensor, (gsize)k);
  *n = (guint)count;
  return TRUE;
}

gboolean lcip_infer_axis(const LcipStep *step, gint64 axis, int rank, int *index, GError **error) {
  if (axis < -rank || axis >= rank)
    return lcip_infer_fail(error, "axis: expected a value from %d to %d, found %" G_GINT64_FORMAT,
                           -rank, rank - 1, axis);
  *index = (int)(axis < 0 ? axis + rank : axis);
  return TRUE;
}

gboolean lcip_infer_axes(const LcipStep *step, const gint64 *axes, guint n, int rank,
                         gboolean *marked, GError **error) {
  for (guint i = 0; i < n; i++) {
    int index;
    if (!lcip_infer_axis(step, axes[i], rank, &index, error))
      return FALSE;
    if (marked[index])
      return lcip_infer_fail(error, "axes: expected each axis once, found axis %d twice", index);
    marked[index] = TRUE;
  }
  return TRUE;
}

gboolean lcip_infer_set(LcipStep *step, guint i, LcipType type, const LcipShape *shape,
                        GError **error) {
  const LcipTensorSpec spec = lcip_tensor_spec(type, *shape);
  gsize bytes;
  if (!lcip_tensor_spec_bytes(&spec, &bytes)) {
    g_autofree char *name = lcip_operator_output_name(step->op, i);
    g_autofree char *text = lcip_shape_to_string(shape);
    return lcip_infer_fail(error, "output %s: expected a size that fits memory, found shape %s",
                           name, text);
  }
  step->outputs[i] = spec;
  return TRUE;
}

gboolean lcip_infer_like_f32(LcipStep *step, GError **error) {
  return lcip_infer_expect(step, 0, LCIP_TYPE_F32, -1, error) &&
         lcip_infer_set(step, 0, LCIP_TYPE_F32, &step->inputs[0].shape, error);
}

gboolean lcip_infer_one_of(const LcipStep *step, guint i, const LcipType *types, GError **error) {
  if (!lcip_step_has_input(step, i))
    return TRUE;
  g_autoptr(GString) names = g_string_new(NULL);
  for (guint k = 0; types[k] != LCIP_TYPE_NONE; k++) {
    if (step->inputs[i].type == types[k])
      return TRUE;
    g_string_append_printf(names, "%s%s", k ? ", " : "", lcip_type_name(types[k]));
  }
  g_autofree char *name = lcip_operator_input_name(step->op, i);
  return lcip_infer_fail(error, "input %s: expected one of %s, found %s", name, names->str,
                         lcip_type_name(step->inputs[i].type));
}

gsize lcip_view_count(const LcipTensorView *view) {
  return (gsize)lcip_shape_count(&view->shape);
}

gsize lcip_shape_product(const LcipShape *shape, int from, int to) {
  gsize product = 1;
  for (int i = from; i < to; i++)
    product *= (gsize)shape->dims[i];
  return product;
}

gboolean lcip_supports_reference(const LcipStep *step, LcipPortFormats *formats,
                                 const char **reason) {
  if (step->n_epilogues > 0) {
    *reason = "reference kernels apply no fused operators";
    return FALSE;
  }
  lcip_formats_dense(step, formats);
  return TRUE;
}

typedef struct {
  LcipRangeFunc func;
  gpointer data;
  gsize n_items;
  gsize grain;
} RangeJob;

static void range_chunk(gpointer data, guint chunk, guint worker) {
  const RangeJob *job = data;
  const gsize begin = chunk * job->grain;
  job->func(job->data, begin, MIN(begin + job->grain, job->n_items));
}

void lcip_team_ranges(LcipTeam *team, gsize n_items, gsize grain, LcipRangeFunc func,
                      gpointer data) {
  const gsize fitting = MAX(MAX(grain, (gsize)1), n_items / (G_MAXUINT / 2) + 1);
  RangeJob job = {func, data, n_items, fitting};
  lcip_team_run(team, (guint)((n_items + fitting - 1) / fitting), range_chunk, &job);
}
