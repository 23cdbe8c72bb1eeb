#include "config.h"
#include "lcip-placement.h"

/* Where a processor has AVX-512 but computes 512 bits in two halves, long vectors save
 * instructions, and a channel of padding costs as much as any other. With few channels that is more
 * than they save: 24 channels are two blocks of 16, a third more than three of 8. */

/* Measured on Zen 4: with as many channels in both, kernels of 256 bits take 5 to 10 % longer, 20 %
 * where Winograd's do most. At 1.14 (56 channels) they gain 13 % or lose 9 %, at 1.2 (40 channels)
 * they gain 10 to 16 %. */
#define LEAST_PADDING 1.15

/* A convolution for which the kernels of long vectors and of short ones would compete. */
static gboolean is_convolution(const LcipIr *ir, const LcipIrNode *node) {
  if (node->removed || node->kind != LCIP_IR_OPERATOR || node->pin || *node->op->domain ||
      !g_str_equal(node->op->name, "Conv") || node->inputs->len > LCIP_MAX_PORTS)
    return FALSE;
  const LcipTensorSpec *out = &lcip_ir_value(ir, lcip_ir_output(node, 0))->spec;
  return ((LcipLane *)ir->graph->lanes->pdata[node->lane])->kind == LCIP_LANE_CPU &&
         out->type == LCIP_TYPE_F32 && out->shape.rank == 4 && out->shape.dims[1] > 0;
}

static double flops_of(const LcipIr *ir, const LcipIrNode *node) {
  LcipTensorSpec inputs[LCIP_MAX_PORTS], outputs[LCIP_MAX_PORTS];
  LcipTensor *constants[LCIP_MAX_PORTS];
  LcipCost cost = {0};
  LcipStep step;
  lcip_ir_step(ir, node, &step, inputs, constants, outputs);
  lcip_operator_cost(&step, &cost);
  return cost.flops;
}

/* FLOPs of one output channel times the channels of whole blocks. */
static double padded(double flops, gint64 channels, LcipFormat format) {
  const gint64 block = lcip_format_block(format);
  return flops / (double)channels * (double)((channels + block - 1) / block * block);
}

void lcip_plan_choose_width(LcipIr *ir) {
  double narrow = 0, wide = 0;
  if ((ir->cpu & LCIP_CPU_FULL_WIDTH) || !(ir->cpu & LCIP_CPU_AVX512))
    return;
  for (guint i = 0; i < ir->nodes->len; i++) {
    const LcipIrNode *node = lcip_ir_node(ir, (int)i);
    if (!is_convolution(ir, node))
      continue;
    const gint64 channels = lcip_ir_value(ir, lcip_ir_output(node, 0))->spec.shape.dims[1];
    const double flops = flops_of(ir, node);
    narrow += padded(flops, channels, LCIP_FORMAT_NCHW8C);
    wide += padded(flops, channels, LCIP_FORMAT_NCHW16C);
  }
  if (wide <= narrow * LEAST_PADDING)
    return;
  ir->cpu &= ~LCIP_CPU_AVX512;
  ir->cpu_reason =
      g_strdup_printf("in blocks of 8 channels: padding to blocks of 16 would make the graph's "
                      "convolutions %.0f %% larger",
                      (wide / narrow - 1) * 100);
}
