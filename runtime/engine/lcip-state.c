#include "config.h"
#include "lcip-instance-private.h"

#include <string.h>

/* State: the tokens on edges with delays. When a plan takes over, they move from the old plan's
 * channels to the new one's, which are found by the actor that writes them, because tensors have
 * other indices in every plan. */

typedef struct {
  int actor;
  guint port;
} Origin;

static gboolean step_writes(const LcipPlanWork *work, int tensor, guint *port) {
  for (guint i = 0; i < work->step.n_outputs; i++)
    if (work->outputs[i] == tensor) {
      *port = i;
      return TRUE;
    }
  return FALSE;
}

static int writer_of(const LcipPlan *plan, int tensor, guint *port) {
  for (guint i = 0; i < plan->works->len; i++)
    if (step_writes(g_ptr_array_index(plan->works, i), tensor, port))
      return (int)i;
  return -1;
}

/* Goes up through copies and reorders, which have no actor. */
static Origin origin_of(const LcipPlan *plan, int tensor) {
  Origin origin = {.actor = -1, .port = (guint)tensor};
  for (guint hops = 0; hops <= plan->steps->len; hops++) {
    guint port;
    const int writer = writer_of(plan, tensor, &port);
    if (writer < 0)
      return origin;
    const LcipPlanStep *step = g_ptr_array_index(plan->steps, writer);
    const LcipPlanWork *work = g_ptr_array_index(plan->works, writer);
    if (step->n_actors > 0)
      return (Origin){.actor = step->actors[step->n_actors - 1], .port = port};
    if (work->step.n_inputs == 0)
      return origin;
    tensor = work->inputs[0];
  }
  return origin;
}

static gboolean same_state(const LcipPlan *a, int tensor_a, guint delay_a, const LcipPlan *b,
                           int tensor_b, guint delay_b) {
  const Origin x = origin_of(a, tensor_a), y = origin_of(b, tensor_b);
  return delay_a == delay_b && x.actor == y.actor && x.port == y.port &&
         lcip_tensor_spec_equal(&g_array_index(a->tensors, LcipPlanTensor, tensor_a).spec,
                                &g_array_index(b->tensors, LcipPlanTensor, tensor_b).spec);
}

gboolean lcip_plan_has_state(const LcipPlan *plan) {
  for (guint i = 0; i < plan->channels->len; i++)
    if (g_array_index(plan->channels, LcipPlanChannel, i).delay > 0)
      return TRUE;
  return FALSE;
}

static gboolean find_state(const LcipPlan *from, const LcipPlan *to,
                           const LcipPlanChannel *wanted) {
  for (guint i = 0; i < from->channels->len; i++) {
    const LcipPlanChannel *channel = &g_array_index(from->channels, LcipPlanChannel, i);
    if (same_state(from, channel->tensor, channel->delay, to, wanted->tensor, wanted->delay))
      return TRUE;
  }
  return FALSE;
}

gboolean lcip_plan_state_matches(const LcipPlan *from, const LcipPlan *to, GError **error) {
  for (guint i = 0; i < to->channels->len; i++) {
    const LcipPlanChannel *channel = &g_array_index(to->channels, LcipPlanChannel, i);
    if (channel->delay == 0 || find_state(from, to, channel))
      continue;
    g_set_error(
        error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
        "the new plan keeps the tokens of a delayed edge in another format than the running "
        "one: stop and start the run instead");
    return FALSE;
  }
  return TRUE;
}

static void copy_tokens(LcipChannel *from, LcipChannel *to) {
  for (guint i = 0; i < to->delay; i++) {
    LcipToken *old = lcip_fifo_peek(from->fifo, i);
    LcipToken *fresh = lcip_fifo_peek(to->fifo, i);
    if (!old || !fresh)
      return;
    memcpy(fresh->data, old->data, lcip_tensor_get_bytes(fresh->tensor));
    fresh->shape = old->shape;
  }
}

static void move_into(LcipInstance *from, LcipInstance *to, LcipChannel *channel) {
  for (guint i = 0; i < from->channels->len; i++) {
    LcipChannel *old = g_ptr_array_index(from->channels, i);
    if (old->tensor >= 0 && same_state(from->plan, old->tensor, old->delay, to->plan,
                                       channel->tensor, channel->delay)) {
      copy_tokens(old, channel);
      return;
    }
  }
}

void lcip_instance_move_state(LcipInstance *from, LcipInstance *to) {
  for (guint i = 0; i < to->channels->len; i++) {
    LcipChannel *channel = g_ptr_array_index(to->channels, i);
    if (channel->delay > 0)
      move_into(from, to, channel);
  }
}
