#include "config.h"
#include "lcip-placement.h"

/* Streams read large constant weights together, each for several frames at once (LcipKernelSweep).
 * Kernels that need fewer products of larger weights are best then. */

/* 0 for a step that streams do not do together. */
static gsize swept_bytes(const LcipPlacement *p, const LcipPlacedNode *placed) {
  const LcipKernelSweep *sweep = placed->kernel ? placed->kernel->sweep : NULL;
  LcipTensorSpec inputs[LCIP_MAX_PORTS], outputs[LCIP_MAX_PORTS];
  LcipTensor *constants[LCIP_MAX_PORTS];
  LcipStep step;
  if (!sweep || placed->ir_node < 0)
    return 0;
  lcip_ir_step(p->ir, lcip_ir_node(p->ir, placed->ir_node), &step, inputs, constants, outputs);
  if (!constants[sweep->weights] || (sweep->supports && !sweep->supports(&step)))
    return 0;
  const gsize bytes = placed->kernel->blob_bytes ? placed->kernel->blob_bytes(&step)
                                                 : lcip_tensor_get_bytes(constants[sweep->weights]);
  return bytes >= sweep->least_bytes ? bytes : 0;
}

guint lcip_placement_frames_together(const LcipPlacement *p, guint streams) {
  gsize bytes = 0;
  for (guint i = 0; i < p->nodes->len; i++)
    bytes += swept_bytes(p, lcip_placement_node(p, (int)i));
  return streams > 1 && bytes >= LCIP_TOGETHER_BYTES ? LCIP_FRAMES_TOGETHER : 1;
}
