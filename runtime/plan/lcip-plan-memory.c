#include "config.h"
#include "lcip-placement.h"

#include <string.h>

/* Tensors of a segment live only while it fires; so all segments of a lane share one arena, and
 * inside a segment tensors whose lifetimes do not meet share addresses. Placing the largest first
 * at the lowest free address is the "greedy by size" of Pisarchyk and Lee, "Efficient memory
 * management for deep neural net inference", 2020. */

/* @is_shared: in the part of the arena that instances share; those in different parts never meet.
 */
typedef struct {
  int tensor;
  int first, last; /* positions of steps in the segment */
  gsize bytes, address;
  gboolean is_shared;
} Lifetime;

static LcipPlanTensor *tensor_at(const LcipPlan *plan, int tensor) {
  return &g_array_index(plan->tensors, LcipPlanTensor, tensor);
}

static gsize padded(gsize bytes) {
  return (bytes + LCIP_TENSOR_ALIGN - 1) / LCIP_TENSOR_ALIGN * LCIP_TENSOR_ALIGN;
}

static void use(const LcipPlan *plan, GArray *lives, int *slot_of, int tensor, int position) {
  if (tensor < 0)
    return;
  const int root = lcip_plan_root(plan, tensor);
  if (tensor_at(plan, root)->store != LCIP_STORE_ARENA)
    return;
  if (slot_of[root] < 0) {
    const Lifetime life = {.tensor = root,
                           .first = position,
                           .last = position,
                           .bytes = padded(tensor_at(plan, root)->size_bytes)};
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

static int by_size(gconstpointer a, gconstpointer b) {
  const Lifetime *x = a, *y = b;
  return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : x->first - y->first;
}

static gboolean may_overlap(const Lifetime *a, const Lifetime *b) {
  return a->is_shared != b->is_shared || a->last < b->first || b->last < a->first;
}

/* The lowest address where @life meets none of those placed before it. */
static gsize lowest_address(const GArray *lives, guint index) {
  const Lifetime *life = &g_array_index(lives, Lifetime, index);
  gsize address = 0;
  for (gboolean moved = TRUE; moved;) {
    moved = FALSE;
    for (guint i = 0; i < index; i++) {
      const Lifetime *other = &g_array_index(lives, Lifetime, i);
      const gsize end = other->address + other->bytes;
      if (may_overlap(other, life) || address + life->bytes <= other->address || end <= address)
        continue;
      address = end;
      moved = TRUE;
    }
  }
  return address;
}

static void place(GArray *lives) {
  g_array_sort(lives, by_size);
  for (guint i = 0; i < lives->len; i++)
    g_array_index(lives, Lifetime, i).address = lowest_address(lives, i);
}

static void place_segment(LcipPlan *plan, const LcipPlanSegment *segment, int *slot_of) {
  LcipPlanLane *lane = plan->lanes->pdata[segment->lane];
  g_autoptr(GArray) lives = lifetimes(plan, segment, slot_of);
  place(lives);
  for (guint i = 0; i < lives->len; i++) {
    const Lifetime *life = &g_array_index(lives, Lifetime, i);
    tensor_at(plan, life->tensor)->offset_bytes = life->address;
    lane->arena_bytes = MAX(lane->arena_bytes, life->address + life->bytes);
    lane->unshared_bytes += life->bytes;
  }
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

static int *new_slots(const LcipPlan *plan) {
  int *slot_of = g_new(int, plan->tensors->len + 1);
  for (guint i = 0; i < plan->tensors->len; i++)
    slot_of[i] = -1;
  return slot_of;
}

void lcip_plan_assign_memory(LcipPlan *plan) {
  g_autofree int *slot_of = new_slots(plan);
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

/* ---- two parts of an arena ---- */

static gboolean has_pause(const LcipPlanSegment *segment, const Lifetime *life,
                          const gboolean *pauses) {
  for (int k = life->first; k <= life->last; k++)
    if (pauses[segment->steps[k]])
      return TRUE;
  return FALSE;
}

static void lay_out_segment(LcipPlanLayout *layout, const LcipPlan *plan,
                            const LcipPlanSegment *segment, const gboolean *pauses, int *slot_of) {
  g_autoptr(GArray) lives = lifetimes(plan, segment, slot_of);
  for (guint i = 0; i < lives->len; i++) {
    Lifetime *life = &g_array_index(lives, Lifetime, i);
    life->is_shared = !has_pause(segment, life, pauses);
  }
  place(lives);
  for (guint i = 0; i < lives->len; i++) {
    const Lifetime *life = &g_array_index(lives, Lifetime, i);
    LcipPlanMemory *memory = life->is_shared ? &layout->shared : &layout->own;
    layout->is_shared[life->tensor] = life->is_shared;
    layout->offset_bytes[life->tensor] = life->address;
    memory->arena_bytes = MAX(memory->arena_bytes, life->address + life->bytes);
  }
  for (guint k = 0; k < segment->n_steps; k++) {
    const LcipPlanWork *work = plan->works->pdata[segment->steps[k]];
    LcipPlanMemory *memory = pauses[segment->steps[k]] ? &layout->own : &layout->shared;
    memory->scratch_bytes = MAX(memory->scratch_bytes, work->scratch_bytes);
  }
}

LcipPlanLayout *lcip_plan_layout_new(const LcipPlan *plan, int lane, const gboolean *pauses) {
  g_autofree int *slot_of = new_slots(plan);
  LcipPlanLayout *layout = g_new0(LcipPlanLayout, 1);
  layout->offset_bytes = g_new0(gsize, plan->tensors->len + 1);
  layout->is_shared = g_new0(gboolean, plan->tensors->len + 1);
  for (guint s = 0; s < plan->segments->len; s++) {
    const LcipPlanSegment *segment = &g_array_index(plan->segments, LcipPlanSegment, s);
    if (segment->kind == LCIP_SEGMENT_WORK && segment->lane == lane)
      lay_out_segment(layout, plan, segment, pauses, slot_of);
  }
  return layout;
}

void lcip_plan_layout_free(LcipPlanLayout *layout) {
  if (!layout)
    return;
  g_free(layout->offset_bytes);
  g_free(layout->is_shared);
  g_free(layout);
}
