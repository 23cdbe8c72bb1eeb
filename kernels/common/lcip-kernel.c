#include "config.h"
#include "lcip-kernel.h"
#include "lcip-memory.h"
#include "lcip-tables.h"

#include <stdlib.h>
#include <string.h>

struct _LcipBlob {
  gatomicrefcount refs;
  gsize size_bytes;
  void *data;
};

LcipBlob *lcip_blob_new(gsize size_bytes) {
  void *data = lcip_memory_alloc_full(size_bytes);
  if (!data)
    return NULL;
  LcipBlob *blob = g_new0(LcipBlob, 1);
  g_atomic_ref_count_init(&blob->refs);
  blob->size_bytes = size_bytes;
  blob->data = data;
  return blob;
}

LcipBlob *lcip_blob_ref(LcipBlob *blob) {
  g_atomic_ref_count_inc(&blob->refs);
  return blob;
}

gboolean lcip_blob_is_shared(const LcipBlob *blob) {
  return !g_atomic_ref_count_compare((gatomicrefcount *)&blob->refs, 1);
}

void lcip_blob_unref(LcipBlob *blob) {
  if (!g_atomic_ref_count_dec(&blob->refs))
    return;
  lcip_memory_free(blob->data, blob->size_bytes);
  g_free(blob);
}

void *lcip_blob_data(LcipBlob *blob) {
  return blob->data;
}

gsize lcip_blob_bytes(const LcipBlob *blob) {
  return blob->size_bytes;
}

const LcipKernel *const *lcip_kernel_table(guint *n) {
  guint count = 0;
  while (lcip_kernels[count])
    count++;
  *n = count;
  return lcip_kernels;
}

const LcipKernel *lcip_kernel_find(const char *name) {
  for (const LcipKernel *const *k = lcip_kernels; *k; k++)
    if (g_str_equal((*k)->name, name))
      return *k;
  return NULL;
}

/* "Conv" names an operator of ONNX, "lcip.Reorder" one of LCIP's domain. */
static gboolean names_operator(const char *text, const LcipOperator *op) {
  const gsize length = strlen(op->domain);
  if (length == 0)
    return *text == *op->name && strcmp(text, op->name) == 0;
  return strncmp(text, op->domain, length) == 0 && text[length] == '.' &&
         g_str_equal(text + length + 1, op->name);
}

gboolean lcip_kernel_handles(const LcipKernel *kernel, const LcipStep *step) {
  if ((kernel->needs & lcip_cpu_features()) != kernel->needs)
    return FALSE;
  for (const char *const *name = kernel->operators; *name; name++)
    if (names_operator(*name, step->op))
      return TRUE;
  return FALSE;
}

gboolean lcip_kernel_supports(const LcipKernel *kernel, const LcipStep *step,
                              LcipPortFormats *formats, const char **reason) {
  const char *ignored;
  if (!reason)
    reason = &ignored;
  *reason = NULL;
  if (!lcip_kernel_handles(kernel, step)) {
    *reason = "it is for other operators or another processor";
    return FALSE;
  }
  if (step->n_inputs > LCIP_MAX_PORTS || step->n_outputs > LCIP_MAX_PORTS) {
    *reason = "it has too many ports";
    return FALSE;
  }
  return kernel->supports(step, formats, reason);
}

void lcip_formats_dense(const LcipStep *step, LcipPortFormats *formats) {
  for (guint i = 0; i < step->n_inputs; i++)
    formats->inputs[i] = LCIP_FORMAT_DENSE;
  for (guint i = 0; i < step->n_outputs; i++)
    formats->outputs[i] = LCIP_FORMAT_DENSE;
}

gboolean lcip_formats_agree(const LcipStep *step, const LcipPortFormats *a,
                            const LcipPortFormats *b) {
  for (guint i = 0; i < step->n_inputs; i++)
    if (!(step->constants && step->constants[i]) && step->inputs[i].type != LCIP_TYPE_NONE &&
        a->inputs[i] != b->inputs[i])
      return FALSE;
  for (guint i = 0; i < step->n_outputs; i++)
    if (a->outputs[i] != b->outputs[i])
      return FALSE;
  return TRUE;
}

gboolean lcip_step_all_f32(const LcipStep *step, guint64 skip_mask) {
  for (guint i = 0; i < step->n_inputs; i++) {
    const gboolean skip = i < 64 && (skip_mask >> i & 1);
    if (!skip && step->inputs[i].type != LCIP_TYPE_NONE && step->inputs[i].type != LCIP_TYPE_F32)
      return FALSE;
  }
  for (guint i = 0; i < step->n_outputs; i++)
    if (step->outputs[i].type != LCIP_TYPE_F32)
      return FALSE;
  return TRUE;
}

gboolean lcip_epilogues_common(const LcipStep *step, const char **reason) {
  static const char *const known[] = {
      "Add",         "Relu", "Clip",  "LeakyRelu", "Sigmoid",         "HardSwish",
      "HardSigmoid", "Tanh", "Swish", "Mish",      "ScaledHardSwish", NULL};
  for (guint i = 0; i < step->n_epilogues; i++) {
    const LcipEpilogue *epilogue = &step->epilogues[i];
    if (!g_strv_contains(known, epilogue->op->name)) {
      *reason = "it does not fuse this operator";
      return FALSE;
    }
    if (epilogue->side_input < 0)
      continue;
    if (!lcip_shape_equal(&step->inputs[epilogue->side_input].shape, &step->outputs[0].shape)) {
      *reason = "it fuses an addition only of equal shapes";
      return FALSE;
    }
  }
  return TRUE;
}

/* ---- the reference, anchor then epilogues ---- */

static const LcipKernel *find_reference(const LcipStep *step) {
  for (const LcipKernel *const *k = lcip_kernels; *k; k++)
    if (g_str_equal((*k)->family, "reference") && lcip_kernel_handles(*k, step))
      return *k;
  return NULL;
}

static gboolean run_one(const LcipStep *step, LcipTensorView *inputs, LcipTensorView *outputs,
                        GError **error) {
  const LcipKernel *kernel = find_reference(step);
  LcipPortFormats formats;
  const char *reason = "there is no reference kernel";
  lcip_formats_dense(step, &formats);
  if (!kernel || !lcip_kernel_supports(kernel, step, &formats, &reason)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "%s cannot be computed: %s",
                step->op->name, reason);
    return FALSE;
  }
  g_autoptr(LcipBlob) scratch = NULL;
  g_autoptr(LcipBlob) prepared = NULL;
  const gsize bytes = kernel->scratch_bytes ? kernel->scratch_bytes(step, &formats, 1) : 0;
  scratch = lcip_blob_new(bytes);
  if (!scratch) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "%s needs %" G_GSIZE_FORMAT " bytes",
                step->op->name, bytes);
    return FALSE;
  }
  if (kernel->prepare && !kernel->prepare(step, &formats, &prepared, error))
    return FALSE;
  const LcipCall call = {.step = step,
                         .prepared = prepared,
                         .inputs = inputs,
                         .outputs = outputs,
                         .scratch = lcip_blob_data(scratch)};
  return kernel->run(&call, NULL, error);
}

/* The operands of an epilogue as a step of its own: the anchor's output and the side input in their
 * order; for Clip its two bounds. Returns how many. */
static guint epilogue_operands(const LcipEpilogue *epilogue, LcipTensorView *inputs,
                               const LcipTensorView *output, LcipTensorView views[3]) {
  views[0] = *output;
  if (g_str_equal(epilogue->op->name, "Clip")) {
    const LcipTensorSpec scalar = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(0));
    views[1] = (LcipTensorView){.spec = scalar, .data = (void *)&epilogue->clip_min};
    views[2] = (LcipTensorView){.spec = scalar, .data = (void *)&epilogue->clip_max};
    return 3;
  }
  if (epilogue->side_input < 0)
    return 1;
  views[epilogue->side_first ? 0 : 1] = inputs[epilogue->side_input];
  views[epilogue->side_first ? 1 : 0] = *output;
  return 2;
}

static gboolean run_epilogue(const LcipEpilogue *epilogue, LcipTensorView *inputs,
                             LcipTensorView *output, GError **error) {
  LcipTensorView views[3] = {0};
  LcipTensorSpec specs[3], out = output->spec;
  LcipTensor *constants[3] = {NULL};
  const guint n = epilogue_operands(epilogue, inputs, output, views);
  for (guint i = 0; i < n; i++)
    specs[i] = views[i].spec;
  const LcipStep single = {.op = epilogue->op,
                           .attrs = epilogue->attrs,
                           .n_inputs = n,
                           .n_anchor_inputs = n,
                           .inputs = specs,
                           .constants = constants,
                           .n_outputs = 1,
                           .outputs = &out};
  return run_one(&single, views, output, error);
}

gboolean lcip_kernel_run_reference(const LcipStep *step, LcipTensorView *inputs,
                                   LcipTensorView *outputs, GError **error) {
  LcipStep anchor = *step;
  anchor.n_epilogues = 0;
  anchor.n_inputs = step->n_anchor_inputs;
  if (!run_one(&anchor, inputs, outputs, error))
    return FALSE;
  for (guint i = 0; i < step->n_epilogues; i++)
    if (!run_epilogue(&step->epilogues[i], inputs, &outputs[0], error))
      return FALSE;
  return TRUE;
}
