#include "config.h"
#include "lcip-reference.h"

#include "lcip-kernel.h"

static gboolean fail_memory(const LcipStep *step, const LcipTensorSpec *spec, GError **error) {
  g_autofree char *text = lcip_tensor_spec_to_string(spec);
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "%s: no memory for an output of %s",
              step->op->name, text);
  return FALSE;
}

static gboolean make_outputs(const LcipStep *step, LcipTensor **tensors, LcipTensorView *views,
                             GError **error) {
  for (guint o = 0; o < step->n_outputs; o++) {
    tensors[o] = lcip_tensor_new(&step->outputs[o]);
    if (!tensors[o])
      return fail_memory(step, &step->outputs[o], error);
    views[o] = lcip_tensor_view(tensors[o]);
  }
  return TRUE;
}

/* What a data-dependent operator made has the size that it found, not the planned one. */
static gboolean trim(const LcipStep *step, LcipTensor **tensor, const LcipTensorView *view,
                     GError **error) {
  LcipTensorSpec actual = *lcip_tensor_get_spec(*tensor);
  if (lcip_shape_equal(&view->shape, &actual.shape))
    return TRUE;
  actual.shape = view->shape;
  LcipTensor *trimmed = lcip_tensor_new_from_data(&actual, lcip_tensor_get_data(*tensor));
  if (!trimmed)
    return fail_memory(step, &actual, error);
  lcip_tensor_unref(*tensor);
  *tensor = trimmed;
  return TRUE;
}

/* Kernels may go over the lengths of other dimensions although one is 0. */
static gboolean makes_nothing(const LcipStep *step) {
  for (guint o = 0; o < step->n_outputs; o++)
    if (lcip_shape_count(&step->outputs[o].shape) != 0)
      return FALSE;
  return TRUE;
}

gboolean lcip_reference_fire(const LcipStep *step, LcipTensor *const *inputs, LcipTensor **outputs,
                             GError **error) {
  LcipTensorView in[LCIP_MAX_PORTS] = {0}, out[LCIP_MAX_PORTS] = {0};
  for (guint o = 0; o < step->n_outputs; o++)
    outputs[o] = NULL;
  if (step->n_inputs > LCIP_MAX_PORTS || step->n_outputs > LCIP_MAX_PORTS) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "%s: expected at most %d ports",
                step->op->name, LCIP_MAX_PORTS);
    return FALSE;
  }
  for (guint i = 0; i < step->n_inputs; i++)
    in[i] = inputs[i] ? lcip_tensor_view(inputs[i])
                      : (LcipTensorView){.spec = step->inputs[i], .shape = step->inputs[i].shape};
  gboolean done = make_outputs(step, outputs, out, error) &&
                  (makes_nothing(step) || lcip_kernel_run_reference(step, in, out, error));
  for (guint o = 0; done && o < step->n_outputs; o++)
    done = trim(step, &outputs[o], &out[o], error);
  for (guint o = 0; !done && o < step->n_outputs; o++)
    g_clear_pointer(&outputs[o], lcip_tensor_unref);
  return done;
}
