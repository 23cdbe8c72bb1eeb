#include "config.h"
#include "lcip-kernel.h"

/* lcip.Reorder changes the format of a tensor and nothing else. The plan adds such steps between
 * kernels that want different formats; documents never hold them. */

static gboolean reorder_infer(LcipStep *step, GError **error) {
  const LcipFormat format = step->outputs[0].format;
  step->outputs[0] = step->inputs[0];
  step->outputs[0].format = format;
  return TRUE;
}

static const LcipPortDef reorder_inputs[] = {{"input", LCIP_PORT_PLAIN, "the tensor"}};
static const LcipPortDef reorder_outputs[] = {{"output", LCIP_PORT_PLAIN, "in another format"}};

static const LcipOperator reorder = {
    .domain = "lcip",
    .name = "Reorder",
    .summary = "Changes the memory format of a tensor; added by the plan",
    .inputs = reorder_inputs,
    .n_inputs = 1,
    .outputs = reorder_outputs,
    .n_outputs = 1,
    .infer = reorder_infer,
};

const LcipOperator *const lcip_operators_reorder[] = {&reorder, NULL};

const LcipOperator *lcip_reorder_operator(void) {
  return &reorder;
}
