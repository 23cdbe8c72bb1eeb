#include "config.h"
#include "lcip-placement.h"

/* Concat along channels of one image in a blocked format is one input behind the other in memory.
 * So what it joins is written to its place in the output at once; the step finds nothing left to
 * copy. Of several steps that join the same tensors the last has them: where the others join what
 * lies one behind the other there, their outputs are parts of it (DenseNet: each layer joins all
 * before). */

static LcipPlanTensor *tensor_at(const LcipPlan *plan, int tensor) {
  return &g_array_index(plan->tensors, LcipPlanTensor, tensor);
}

static gsize offset_in_root(const LcipPlan *plan, int tensor) {
  gsize offset = 0;
  for (; tensor_at(plan, tensor)->root >= 0; tensor = tensor_at(plan, tensor)->root)
    offset += tensor_at(plan, tensor)->view_offset_bytes;
  return offset;
}

static gboolean is_joined_in_order(const LcipPlan *plan, const LcipPlanWork *work) {
  const LcipStep *step = &work->step;
  if (work->kind != LCIP_STEP_KERNEL || !lcip_step_is(step, "Concat") || step->n_epilogues > 0)
    return FALSE;
  const LcipTensorSpec *out = &step->outputs[0];
  const gint64 axis = lcip_attrs_get_int(step->attrs, "axis");
  if (out->format == LCIP_FORMAT_DENSE || out->shape.rank != 4 || out->shape.dims[0] != 1 ||
      (axis != 1 && axis != -3))
    return FALSE;
  for (guint i = 0; i < step->n_inputs; i++) {
    const LcipTensorSpec *in = &tensor_at(plan, work->inputs[i])->spec;
    const gboolean whole = in->shape.dims[1] % lcip_format_block(in->format) == 0;
    if (in->format != out->format || (i + 1 < step->n_inputs && !whole))
      return FALSE;
  }
  return tensor_at(plan, lcip_plan_root(plan, work->outputs[0]))->store == LCIP_STORE_ARENA;
}

static guint times_joined(const LcipPlanWork *work, int tensor) {
  guint n = 0;
  for (guint i = 0; i < work->step.n_inputs; i++)
    n += work->inputs[i] == tensor;
  return n;
}

/* Inputs that have no place yet get theirs in the output. */
static void place_inputs(LcipPlan *plan, const LcipPlanWork *work) {
  const int out = work->outputs[0];
  gsize offset = 0;
  for (guint i = 0; i < work->step.n_inputs; i++) {
    LcipPlanTensor *in = tensor_at(plan, work->inputs[i]);
    if (in->root < 0 && in->store == LCIP_STORE_ARENA && times_joined(work, work->inputs[i]) == 1) {
      in->root = out;
      in->view_offset_bytes = offset;
      in->joined = TRUE;
    }
    offset += in->size_bytes;
  }
}

/* Where all inputs lie one behind the other already, the output is there. */
static void place_output(LcipPlan *plan, const LcipPlanWork *work) {
  LcipPlanTensor *out = tensor_at(plan, work->outputs[0]);
  const int root = lcip_plan_root(plan, work->inputs[0]);
  const gsize first = offset_in_root(plan, work->inputs[0]);
  gsize offset = first;
  if (out->root >= 0 || root == work->inputs[0])
    return;
  for (guint i = 0; i < work->step.n_inputs; i++) {
    if (lcip_plan_root(plan, work->inputs[i]) != root ||
        offset_in_root(plan, work->inputs[i]) != offset)
      return;
    offset += tensor_at(plan, work->inputs[i])->size_bytes;
  }
  out->root = root;
  out->view_offset_bytes = first;
  out->joined = TRUE;
}

void lcip_plan_join(LcipPlan *plan, const LcipPlanSegment *segment) {
  for (guint k = segment->n_steps; k-- > 0;) {
    const LcipPlanWork *work = plan->works->pdata[segment->steps[k]];
    if (!is_joined_in_order(plan, work))
      continue;
    place_output(plan, work);
    place_inputs(plan, work);
  }
}
