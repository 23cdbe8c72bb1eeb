#include "config.h"
#include "lcip-placement.h"

#include <string.h>

/* Tensors of a segment live only while it fires; so all segments of a lane share one arena, and
 * inside a segment tensors whose lifetimes do not meet share addresses. Placing the largest first
 * at the lowest free address is the "greedy by size" of Pisarchyk and Lee, "Efficient memory
 * management for deep neural net inference", 2020. */

typedef struct {
  int tensor;
  int first, last; /* positions of steps in the segment */
} Lifetime;

static LcipPlanTensor *tensor_at(const LcipPlan *plan, int tensor) {
  return &g_array_index(plan->tensors, LcipPlanTensor, tensor);
}

static void use(const LcipPlan *plan, GArray *lives, int *slot_of, int tensor, int position) {
  if (tensor < 0)
    return;
  const int root = lcip_plan_root(plan, tensor);
  if (tensor_at(plan, root)->store != LCIP_STORE_ARENA)
    return;
  if (slot_of[root] < 0) {
    const Lifetime life = {.tensor = root, .first = position, .last = position};
    slot_of[root] = (int)lives->len;
    g_array_append_val(lives, life);
  }
  g_array_index(lives, Lifetime, slot_of[root]).last = position;
}

static GArray *lifetimes(const LcipPlan *plan, const LcipPlanSegment *segment, int *slot_of) {
  GArray *lives = g_array_new(FALSE, FALSE, sizeof(Lifetime));
  for (guint k = 0; k < segment->n_steps; k++) {
    const LcipPlanWork *work = plan->works->pdata[segment->steps[k]];
    for (guint i = 0; i < work->step.n_inputs; i++)
      use(plan, lives, slot_of, work->inputs[i], (int)k);
    for (guint o = 0; o < work->step.n_outputs; o++)
      use(plan, lives, slot_of, work->outputs[o], (int)k);
  }
  return lives;
}

/* ---- in-place steps ---- */

static int last_use(const LcipPlan *plan, const LcipPlanSegment *segment, int root) {
  int last = -1;
  for (guint k = 0; k < segment->n_steps; k++) {
    const LcipPlanWork *work = plan->works->pdata[segment->steps[k]];
    for (guint i = 0; i < work->step.n_inputs; i++)
      if (work->inputs[i] >= 0 && lcip_plan_root(plan, work->inputs[i]) == root)
        last = (int)k;
  }
  return last;
}

static gboolean can_alias(const LcipPlan *plan, const LcipPlanSegment *segment, guint position,
                          const LcipPlanWork *work, guint input) {
  if (work->inputs[input] < 0)
    return FALSE;
  const int root = lcip_plan_root(plan, work->inputs[input]);
  const LcipPlanTensor *in = tensor_at(plan, root), *out = tensor_at(plan, work->outputs[0]);
  for (guint i = 0; i < work->step.n_inputs; i++)
    if (i != input && work->inputs[i] >= 0 && lcip_plan_root(plan, work->inputs[i]) == root)
      return FALSE; /* read twice: another operand would be overwritten */
  return in->store == LCIP_STORE_ARENA && in->size_bytes == out->size_bytes &&
         tensor_at(plan, work->inputs[input])->spec.format == out->spec.format &&
         last_use(plan, segment, root) == (int)position;
}

/* An element-wise step may overwrite its first input; any step that adds a side input in its
 * epilogue may overwrite that: each element is read before it is written. */
static int alias_input(const LcipPlan *plan, const LcipPlanSegment *segment, guint position,
                       const LcipPlanWork *work) {
  const LcipStep *step = &work->step;
  if ((step->op->flags & LCIP_OP_ELEMENTWISE) && can_alias(plan, segment, position, work, 0) &&
      lcip_shape_equal(&step->inputs[0].shape, &step->outputs[0].shape))
    return 0;
  for (guint e = 0; e < step->n_epilogues; e++) {
    const int side = step->epilogues[e].side_input;
    if (side >= 0 && can_alias(plan, segment, position, work, (guint)side))
      return side;
  }
  return -1;
}

static void alias_in_place(LcipPlan *plan, const LcipPlanSegment *segment) {
  for (guint k = 0; k < segment->n_steps; k++) {
    const LcipPlanWork *work = plan->works->pdata[segment->steps[k]];
    const LcipPlanStep *step = plan->steps->pdata[segment->steps[k]];
    if (work->kind != LCIP_STEP_KERNEL || !step->kernel->inplace || work->step.n_outputs != 1)
      continue;
    LcipPlanTensor *out = tensor_at(plan, work->outputs[0]);
    if (out->store != LCIP_STORE_ARENA || out->root >= 0)
      continue;
    const int input = alias_input(plan, segment, k, work);
    if (input >= 0)
      out->root = lcip_plan_root(plan, work->inputs[input]);
  }
}

/* ---- addresses ---- */

static int by_size(gconstpointer a, gconstpointer b, gpointer data) {
  const Lifetime *x = a, *y = b;
  const gsize sx = tensor_at(data, x->tensor)->size_bytes;
  const gsize sy = tensor_at(data, y->tensor)->size_bytes;
  return sx != sy ? (sx < sy ? 1 : -1) : x->first - y->first;
}

static gsize padded(gsize bytes) {
  return (bytes + LCIP_TENSOR_ALIGN - 1) / LCIP_TENSOR_ALIGN * LCIP_TENSOR_ALIGN;
}

/* The lowest address where @life meets none of those placed before it. */
static gsize lowest_address(const LcipPlan *plan, const GArray *lives, guint index) {
  const Lifetime *life = &g_array_index(lives, Lifetime, index);
  const gsize bytes = padded(tensor_at(plan, life->tensor)->size_bytes);
  gsize address = 0;
  for (gboolean moved = TRUE; moved;) {
    moved = FALSE;
    for (guint i = 0; i < index; i++) {
      const Lifetime *other = &g_array_index(lives, Lifetime, i);
      const LcipPlanTensor *tensor = tensor_at(plan, other->tensor);
      const gsize end = tensor->offset_bytes + padded(tensor->size_bytes);
      if (other->last < life->first || life->last < other->first ||
          address + bytes <= tensor->offset_bytes || end <= address)
        continue;
      address = end;
      moved = TRUE;
    }
  }
  return address;
}

static void place_segment(LcipPlan *plan, const LcipPlanSegment *segment, int *slot_of) {
  LcipPlanLane *lane = plan->lanes->pdata[segment->lane];
  gsize unshared = 0, peak = 0;
  g_autoptr(GArray) lives = lifetimes(plan, segment, slot_of);
  g_array_sort_with_data(lives, by_size, plan);
  for (guint i = 0; i < lives->len; i++) {
    LcipPlanTensor *tensor = tensor_at(plan, g_array_index(lives, Lifetime, i).tensor);
    tensor->offset_bytes = lowest_address(plan, lives, i);
    peak = MAX(peak, tensor->offset_bytes + padded(tensor->size_bytes));
    unshared += padded(tensor->size_bytes);
  }
  lane->arena_bytes = MAX(lane->arena_bytes, peak);
  lane->unshared_bytes += unshared;
}

static void settle_view(const LcipPlan *plan, LcipPlanTensor *tensor) {
  if (tensor->root < 0)
    return;
  gsize offset = tensor->view_offset_bytes;
  const LcipPlanTensor *root = tensor_at(plan, tensor->root);
  for (; root->root >= 0; root = tensor_at(plan, root->root))
    offset += root->view_offset_bytes;
  tensor->store = root->store;
  tensor->offset_bytes = root->offset_bytes + offset;
}

static void give_spare(LcipPlan *plan, LcipPlanTensor *tensor) {
  if (!tensor->joined)
    return;
  LcipPlanLane *lane = plan->lanes->pdata[tensor->lane];
  tensor->spare_offset_bytes = lane->arena_bytes + lane->spare_bytes;
  lane->spare_bytes += padded(tensor->size_bytes);
}

void lcip_plan_assign_memory(LcipPlan *plan) {
  g_autofree int *slot_of = g_new(int, plan->tensors->len + 1);
  for (guint i = 0; i < plan->tensors->len; i++)
    slot_of[i] = -1;
  for (guint s = 0; s < plan->segments->len; s++) {
    const LcipPlanSegment *segment = &g_array_index(plan->segments, LcipPlanSegment, s);
    if (segment->kind != LCIP_SEGMENT_WORK)
      continue;
    lcip_plan_join(plan, segment);
    alias_in_place(plan, segment);
    place_segment(plan, segment, slot_of);
  }
  for (guint i = 0; i < plan->tensors->len; i++)
    settle_view(plan, tensor_at(plan, (int)i));
  for (guint i = 0; i < plan->tensors->len; i++)
    give_spare(plan, tensor_at(plan, (int)i));
}
