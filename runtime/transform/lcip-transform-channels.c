#include "config.h"
#include "lcip-ir.h"

/* Concat, Split, Slice and the channel shuffle (Reshape, Transpose, Reshape) move channels and
 * compute nothing. Where a chain of them ends, the channels that are read are gathered from where
 * they were computed, in one step; what the chain made in between is never written. In a network as
 * ShuffleNet V2 half of the channels pass unit after unit that way and are not touched at all. */

/* A channel: @value's @channel. */
typedef struct {
  int value;
  gint64 channel;
} Source;

/* @solid: per node, it stays although it moves channels. */
typedef struct {
  LcipIr *ir;
  const char *const *families;
  gboolean *solid;
} Channels;

/* What becomes of @value: @sources, one a channel; @nodes: those that moved them. */
typedef struct {
  int value;
  GArray *sources;
  GPtrArray *nodes;
} Chain;

static const LcipShape *shape_of(const LcipIr *ir, int value) {
  return &lcip_ir_value(ir, value)->spec.shape;
}

static gboolean is_picture(const LcipIr *ir, int value) {
  return value >= 0 && shape_of(ir, value)->rank == 4 &&
         lcip_ir_value(ir, value)->spec.type == LCIP_TYPE_F32;
}

static gboolean is_named(const LcipIrNode *node, const char *name) {
  return *node->op->domain == '\0' && g_str_equal(node->op->name, name);
}

/* The node that computes @value, if it may go. */
static LcipIrNode *producer_of(const Channels *c, int value) {
  if (value < 0 || lcip_ir_value(c->ir, value)->producer < 0 || lcip_ir_value(c->ir, value)->keep)
    return NULL;
  const int index = lcip_ir_value(c->ir, value)->producer;
  LcipIrNode *node = lcip_ir_node(c->ir, index);
  if (node->kind != LCIP_IR_OPERATOR || node->removed || node->pin || c->solid[index] ||
      ((LcipLane *)c->ir->graph->lanes->pdata[node->lane])->kind != LCIP_LANE_CPU)
    return NULL;
  for (guint o = 0; o < node->outputs->len; o++)
    if (lcip_ir_value(c->ir, lcip_ir_output(node, o))->keep)
      return NULL;
  return node;
}

static gboolean is_channel_axis(const LcipIrNode *node) {
  const gint64 axis = lcip_attrs_get_int(node->attrs, "axis");
  return axis == 1 || axis == -3;
}

/* ---- each kind of node that moves channels ---- */

/* First channel and step of a Slice of channels alone. */
static gboolean find_slice(const LcipIr *ir, const LcipIrNode *node, gint64 *first, gint64 *step) {
  const LcipTensor *numbers[5] = {NULL};
  for (guint i = 1; i < 5; i++) {
    numbers[i] = lcip_ir_constant(ir, node, i);
    if (lcip_ir_input(node, i) >= 0 &&
        (!numbers[i] || lcip_shape_count(lcip_tensor_get_shape(numbers[i])) != 1))
      return FALSE;
  }
  if (!numbers[1] || !numbers[3] || !is_picture(ir, lcip_ir_input(node, 0)))
    return FALSE;
  const gint64 c = shape_of(ir, lcip_ir_input(node, 0))->dims[1];
  const gint64 axis = lcip_tensor_get_i64(numbers[3], 0);
  *first = lcip_tensor_get_i64(numbers[1], 0);
  *step = numbers[4] ? lcip_tensor_get_i64(numbers[4], 0) : 1;
  *first = CLAMP(*first < 0 ? *first + c : *first, 0, MAX(c - 1, 0));
  return axis == 1 || axis == -3;
}

/* The Transpose and the first Reshape of the shuffle that ends in @last; the value that enters it
 * and its number of groups. */
typedef struct {
  LcipIrNode *transpose, *first;
  int from;
  gint64 groups;
} Shuffle;

static LcipIrNode *only_read_here(const Channels *c, const LcipIrNode *reader, const char *name) {
  const int value = lcip_ir_input(reader, 0);
  LcipIrNode *node = producer_of(c, value);
  return node && node->lane == reader->lane && is_named(node, name) &&
                 lcip_ir_value(c->ir, value)->n_uses == 1
             ? node
             : NULL;
}

static gboolean swaps_groups(const LcipIrNode *transpose) {
  static const gint64 swap[] = {0, 2, 1, 3, 4};
  guint n;
  const gint64 *perm = lcip_attrs_get_ints(transpose->attrs, "perm", &n);
  for (guint i = 0; n == 5 && i < 5; i++)
    if (perm[i] != swap[i])
      return FALSE;
  return n == 5;
}

static gboolean find_shuffle(const Channels *c, const LcipIrNode *last, Shuffle *shuffle) {
  if (!is_named(last, "Reshape") || !is_picture(c->ir, lcip_ir_output(last, 0)))
    return FALSE;
  shuffle->transpose = only_read_here(c, last, "Transpose");
  if (!shuffle->transpose || !swaps_groups(shuffle->transpose))
    return FALSE;
  shuffle->first = only_read_here(c, shuffle->transpose, "Reshape");
  if (!shuffle->first || !is_picture(c->ir, lcip_ir_input(shuffle->first, 0)))
    return FALSE;
  shuffle->from = lcip_ir_input(shuffle->first, 0);
  const LcipShape *in = shape_of(c->ir, shuffle->from);
  const LcipShape *split = shape_of(c->ir, lcip_ir_output(shuffle->first, 0));
  shuffle->groups = split->dims[1];
  return lcip_shape_equal(in, shape_of(c->ir, lcip_ir_output(last, 0))) &&
         split->dims[0] == in->dims[0] && split->dims[3] == in->dims[2] &&
         split->dims[4] == in->dims[3];
}

/* The node that moves channels to make @value; NULL when they are computed. */
static LcipIrNode *mover_of(const Channels *c, int value) {
  gint64 first, step;
  Shuffle shuffle;
  LcipIrNode *node = is_picture(c->ir, value) ? producer_of(c, value) : NULL;
  if (!node)
    return NULL;
  if (is_named(node, "Concat") || is_named(node, "Split"))
    return is_channel_axis(node) && is_picture(c->ir, lcip_ir_input(node, 0)) ? node : NULL;
  if (is_named(node, "Slice"))
    return find_slice(c->ir, node, &first, &step) ? node : NULL;
  return find_shuffle(c, node, &shuffle) ? node : NULL;
}

/* ---- where channels come from ---- */

static void visit(Chain *chain, LcipIrNode *node) {
  if (!g_ptr_array_find(chain->nodes, node, NULL))
    g_ptr_array_add(chain->nodes, node);
}

static void resolve(const Channels *c, Chain *chain, int value, gint64 channel, int lane);

static void resolve_concat(const Channels *c, Chain *chain, const LcipIrNode *node,
                           gint64 channel) {
  guint i = 0;
  for (; channel >= shape_of(c->ir, lcip_ir_input(node, i))->dims[1]; i++)
    channel -= shape_of(c->ir, lcip_ir_input(node, i))->dims[1];
  resolve(c, chain, lcip_ir_input(node, i), channel, node->lane);
}

static void resolve_split(const Channels *c, Chain *chain, const LcipIrNode *node, int value,
                          gint64 channel) {
  for (guint o = 0; lcip_ir_output(node, o) != value; o++)
    channel += shape_of(c->ir, lcip_ir_output(node, o))->dims[1];
  resolve(c, chain, lcip_ir_input(node, 0), channel, node->lane);
}

/* Channel j * groups + i of a shuffle's output is channel i * (channels / groups) + j of its input.
 */
static void resolve_shuffle(const Channels *c, Chain *chain, const LcipIrNode *node,
                            gint64 channel) {
  Shuffle shuffle;
  find_shuffle(c, node, &shuffle);
  visit(chain, shuffle.first);
  visit(chain, shuffle.transpose);
  const gint64 per_group = shape_of(c->ir, shuffle.from)->dims[1] / shuffle.groups;
  resolve(c, chain, shuffle.from, channel % shuffle.groups * per_group + channel / shuffle.groups,
          node->lane);
}

/* Adds where @channel of @value comes from, as far as its movers are on @lane. */
static void resolve(const Channels *c, Chain *chain, int value, gint64 channel, int lane) {
  LcipIrNode *node = mover_of(c, value);
  gint64 first = 0, step = 1;
  if (!node || node->lane != lane) {
    const Source source = {value, channel};
    g_array_append_val(chain->sources, source);
    return;
  }
  if (is_named(node, "Concat")) {
    resolve_concat(c, chain, node, channel);
  } else if (is_named(node, "Split")) {
    resolve_split(c, chain, node, value, channel);
  } else if (is_named(node, "Slice")) {
    find_slice(c->ir, node, &first, &step);
    resolve(c, chain, lcip_ir_input(node, 0), first + channel * step, lane);
  } else {
    resolve_shuffle(c, chain, node, channel);
  }
  visit(chain, node);
}

static void chain_free(gpointer data) {
  Chain *chain = data;
  g_array_unref(chain->sources);
  g_ptr_array_unref(chain->nodes);
  g_free(chain);
}

static Chain *chain_new(const Channels *c, int value) {
  Chain *chain = g_new0(Chain, 1);
  chain->value = value;
  chain->sources = g_array_new(FALSE, FALSE, sizeof(Source));
  chain->nodes = g_ptr_array_new();
  const int lane = mover_of(c, value)->lane;
  for (gint64 i = 0; i < shape_of(c->ir, value)->dims[1]; i++)
    resolve(c, chain, value, i, lane);
  return chain;
}

/* ---- whether it pays ---- */

static gboolean is_blocked(const Channels *c, int value) {
  const int producer = lcip_ir_value(c->ir, value)->producer;
  if (producer < 0)
    return FALSE;
  const LcipIrNode *node = lcip_ir_node(c->ir, producer);
  if (node->kind != LCIP_IR_OPERATOR)
    return FALSE;
  const LcipLane *lane = c->ir->graph->lanes->pdata[node->lane];
  const LcipKernel *kernel = lcip_ir_best_kernel(c->ir, node, lane->kind, c->families);
  return kernel && g_str_equal(kernel->family, "blocked");
}

/* Positions of the chain's sources among its different values. */
static GArray *inputs_of(const Chain *chain) {
  GArray *inputs = g_array_new(FALSE, FALSE, sizeof(int));
  for (guint i = 0; i < chain->sources->len; i++) {
    const int value = g_array_index(chain->sources, Source, i).value;
    gboolean known = FALSE;
    for (guint k = 0; k < inputs->len && !known; k++)
      known = g_array_index(inputs, int, k) == value;
    if (!known)
      g_array_append_val(inputs, value);
  }
  return inputs;
}

/* Concat alone has kernels of its own. */
static gboolean is_concat_alone(const Channels *c, int value, int lane) {
  const LcipIrNode *node = mover_of(c, value);
  if (!node || node->lane != lane)
    return TRUE;
  if (!is_named(node, "Concat"))
    return FALSE;
  for (guint i = 0; i < node->inputs->len; i++)
    if (!is_concat_alone(c, lcip_ir_input(node, i), lane))
      return FALSE;
  return TRUE;
}

static gboolean pays(const Channels *c, const Chain *chain) {
  g_autoptr(GArray) inputs = inputs_of(chain);
  if (inputs->len == 0 || inputs->len > LCIP_MAX_PORTS)
    return FALSE;
  for (guint i = 0; i < inputs->len; i++)
    if (!is_blocked(c, g_array_index(inputs, int, i)))
      return FALSE;
  return TRUE;
}

/* ---- rewriting ---- */

/* @reader takes @value on as one more mover of the same lane. */
static gboolean passes_on(const Channels *c, const LcipIrNode *reader, const LcipIrNode *mover) {
  if (reader->kind != LCIP_IR_OPERATOR || reader->lane != mover->lane)
    return FALSE;
  for (guint o = 0; o < reader->outputs->len; o++)
    if (mover_of(c, lcip_ir_output(reader, o)) == reader)
      return TRUE;
  /* The first Reshape of a shuffle, whose output is no picture. */
  const int next = lcip_ir_sole_reader(c->ir, lcip_ir_output(reader, 0));
  const LcipIrNode *transpose = next >= 0 ? lcip_ir_node(c->ir, next) : NULL;
  const int last = transpose && transpose->kind == LCIP_IR_OPERATOR && transpose->outputs->len == 1
                       ? lcip_ir_sole_reader(c->ir, lcip_ir_output(transpose, 0))
                       : -1;
  Shuffle shuffle;
  return last >= 0 && lcip_ir_node(c->ir, last)->kind == LCIP_IR_OPERATOR &&
         mover_of(c, lcip_ir_output(lcip_ir_node(c->ir, last), 0)) &&
         find_shuffle(c, lcip_ir_node(c->ir, last), &shuffle) && shuffle.first == reader;
}

static gboolean has_chain(const GPtrArray *chains, int value) {
  for (guint i = 0; i < chains->len; i++)
    if (((const Chain *)chains->pdata[i])->value == value)
      return TRUE;
  return FALSE;
}

/* Whether anything found so far may rest on @node, which is solid from now on: a chain that goes
 * through it, or one that ends before it now. */
static gboolean was_used(const Channels *c, const GPtrArray *chains, const LcipIrNode *node) {
  if (!is_named(node, "Concat"))
    return TRUE; /* few, and a shuffle's input is further up */
  for (guint p = 0; p < node->inputs->len; p++)
    if (mover_of(c, lcip_ir_input(node, p)))
      return TRUE;
  for (guint i = 0; i < chains->len; i++)
    if (g_ptr_array_find(((const Chain *)chains->pdata[i])->nodes, node, NULL))
      return TRUE;
  return FALSE;
}

static gboolean add_chain(const Channels *c, GPtrArray *chains, int value, int lane) {
  if (is_concat_alone(c, value, lane))
    return FALSE;
  Chain *chain = chain_new(c, value);
  if (!pays(c, chain)) {
    chain_free(chain);
    return FALSE;
  }
  g_ptr_array_add(chains, chain);
  return TRUE;
}

/* The ends of all chains. NULL when one does not pay on which others rest: its last node has been
 * made solid. */
static GPtrArray *find_chains(Channels *c) {
  g_autoptr(GPtrArray) chains = g_ptr_array_new_with_free_func(chain_free);
  for (guint i = 0; i < c->ir->nodes->len; i++) {
    const LcipIrNode *reader = lcip_ir_node(c->ir, (int)i);
    for (guint p = 0; !reader->removed && p < reader->inputs->len; p++) {
      const int value = lcip_ir_input(reader, p);
      LcipIrNode *mover = mover_of(c, value);
      if (!mover || has_chain(chains, value) || passes_on(c, reader, mover))
        continue;
      if (add_chain(c, chains, value, mover->lane))
        continue;
      c->solid[lcip_ir_value(c->ir, value)->producer] = TRUE;
      if (was_used(c, chains, mover))
        return NULL;
    }
  }
  return g_steal_pointer(&chains);
}

static LcipAttrs *channel_attrs(const LcipIr *ir, const LcipOperator *op, const Chain *chain,
                                const GArray *inputs) {
  g_autofree gint64 *channels = g_new0(gint64, chain->sources->len);
  for (guint i = 0; i < chain->sources->len; i++) {
    const Source *source = &g_array_index(chain->sources, Source, i);
    channels[i] = source->channel;
    for (guint k = 0; g_array_index(inputs, int, k) != source->value; k++)
      channels[i] += shape_of(ir, g_array_index(inputs, int, k))->dims[1];
  }
  LcipAttrs *attrs = lcip_attrs_new(op);
  lcip_attrs_set_ints(attrs, "channels", LCIP_ATTR_INTS, chain->sources->len, channels, NULL);
  return attrs;
}

/* The step lists the actors that moved its channels, the one whose output it gives last. An actor
 * that several gathers stand for belongs to the first, but the last actor is listed by each. */
static void list_actors(LcipIr *ir, LcipIrNode *node, int index, const Chain *chain,
                        const LcipIrNode *last) {
  for (guint i = 0; i < chain->nodes->len; i++) {
    const LcipIrNode *mover = chain->nodes->pdata[i];
    const gboolean taken = mover->removed && mover != last;
    for (guint a = 0; !taken && mover != last && a < mover->actors->len; a++)
      g_array_append_val(node->actors, g_array_index(mover->actors, int, a));
  }
  g_array_append_vals(node->actors, last->actors->data, last->actors->len);
  for (guint a = 0; a < node->actors->len; a++)
    ir->actor_node[g_array_index(node->actors, int, a)] = index;
}

static void remove_mover(LcipIr *ir, LcipIrNode *node) {
  for (guint p = 0; p < node->inputs->len; p++)
    if (lcip_ir_input(node, p) >= 0) {
      lcip_ir_value(ir, lcip_ir_input(node, p))->n_uses--;
      g_array_index(node->inputs, int, p) = -1;
    }
  node->removed = TRUE;
}

static void gather(LcipIr *ir, const Chain *chain) {
  const LcipOperator *op = lcip_operator_find("lcip", "ChannelGather");
  const int at = lcip_ir_value(ir, chain->value)->producer;
  const LcipIrNode *last = lcip_ir_node(ir, at);
  g_autoptr(GArray) inputs = inputs_of(chain);
  g_autoptr(LcipAttrs) attrs = channel_attrs(ir, op, chain, inputs);
  LcipIrNode *node = lcip_ir_insert(ir, at, op, attrs, last->lane);
  for (guint i = 0; i < inputs->len; i++)
    lcip_ir_set_input(ir, at, i, g_array_index(inputs, int, i));
  node->n_anchor_inputs = inputs->len;
  g_array_append_val(node->outputs, chain->value);
  lcip_ir_value(ir, chain->value)->producer = at;
  list_actors(ir, node, at, chain, last);
  for (guint i = 0; i < chain->nodes->len; i++)
    if (!((LcipIrNode *)chain->nodes->pdata[i])->removed)
      remove_mover(ir, chain->nodes->pdata[i]);
}

guint lcip_transform_channels(LcipIr *ir, const char *const *families) {
  g_autofree gboolean *solid = g_new0(gboolean, ir->nodes->len + 1);
  Channels c = {ir, families, solid};
  g_autoptr(GPtrArray) chains = NULL;
  while (!chains)
    chains = find_chains(&c);
  for (guint i = 0; i < chains->len; i++)
    gather(ir, chains->pdata[i]);
  return chains->len;
}
