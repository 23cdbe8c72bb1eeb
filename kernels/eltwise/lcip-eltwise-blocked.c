#include "config.h"
#include "lcip-vec.h"

#include <math.h>

/* Element-wise operators by vectors, in blocked and in dense formats. An operand has the output's
 * shape, or one value, or one value per channel. The output is cut into spans along which such a
 * value stays the same; all is read before it is written, so operands may be the output. */

enum { CHUNK_ELEMS = 32 * 1024 };

typedef enum {
  OP_ADD,
  OP_SUB,
  OP_MUL,
  OP_DIV,
  OP_MIN,
  OP_MAX,
  OP_PRELU,
  N_BINARY,
  OP_UNARY = N_BINARY
} Op;

static const char *const binary_names[] = {"Add", "Sub", "Mul", "Div", "Min", "Max", "PRelu"};

typedef enum { OPERAND_SAME, OPERAND_SCALAR, OPERAND_CHANNEL, OPERAND_NONE } OperandKind;

/* @block: channels that lie together; 1 where dense. */
typedef struct {
  OperandKind kind;
  const float *data;
  gint64 n, block;
} Operand;

/* The output as n x blocks x pixels x block; where nothing goes by channels, all is one block of
 * pixels. A chunk is @rows_in_chunk (n, block) pairs, or of one of them @pixels_in_chunk. */
typedef struct {
  const LcipCall *call;
  Op op;
  LcipTailOp unary;
  LcipTail tail;
  Operand a, b;
  gint64 n, c, blocks, block, pixels;
  gint64 rows_in_chunk, pixels_in_chunk, parts;
} Job;

/* Vectors of the output from element @at on, @step apart; @a and @b with a step of 0 stay. */
typedef struct {
  const float *a, *b;
  gsize a_step, b_step, step, at;
  gint64 count;
  vi mask;
} Span;

/* ---- what goes ---- */

static Op find_op(const LcipStep *step, LcipTailOp *unary) {
  for (guint i = 0; i < G_N_ELEMENTS(binary_names); i++)
    if (lcip_step_is(step, binary_names[i]))
      return (Op)i;
  lcip_tail_function(unary, step->op->name, step->attrs);
  return OP_UNARY;
}

static gboolean per_channel(const LcipShape *shape, const LcipShape *out) {
  if (out->rank != 4 || shape->rank < 3 || shape->rank > 4)
    return FALSE;
  const gint64 *d = shape->dims + shape->rank - 3;
  const gboolean n_fits = shape->rank == 3 || shape->dims[0] == 1 || shape->dims[0] == out->dims[0];
  return n_fits && d[0] == out->dims[1] && d[1] == 1 && d[2] == 1;
}

static OperandKind operand_kind(const LcipShape *shape, const LcipShape *out) {
  if (lcip_shape_equal(shape, out))
    return OPERAND_SAME;
  if (lcip_shape_count(shape) == 1)
    return OPERAND_SCALAR;
  return per_channel(shape, out) ? OPERAND_CHANNEL : OPERAND_NONE;
}

/* Blocked where an operand of the output's shape is so already. */
static void settle(const LcipStep *step, guint n_operands, LcipPortFormats *formats) {
  const LcipShape *out = &step->outputs[0].shape;
  LcipFormat format = LCIP_FORMAT_DENSE;
  for (guint i = 0; i < n_operands; i++)
    if (out->rank == 4 && operand_kind(&step->inputs[i].shape, out) == OPERAND_SAME &&
        formats->inputs[i] != LCIP_FORMAT_DENSE)
      format = LCIP_BLOCK_FORMAT;
  for (guint i = 0; i < step->n_inputs; i++) {
    const gboolean operand = i < n_operands;
    if (operand && operand_kind(&step->inputs[i].shape, out) == OPERAND_SAME)
      formats->inputs[i] = format;
    else if (!operand || formats->inputs[i] != LCIP_BLOCK_FORMAT || format == LCIP_FORMAT_DENSE)
      formats->inputs[i] = LCIP_FORMAT_DENSE;
  }
  formats->outputs[0] = format;
  lcip_tail_formats(step, formats);
}

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  LcipTail tail;
  LcipTailOp unary;
  const guint n = find_op(step, &unary) == OP_UNARY ? 1 : 2;
  if (!lcip_step_all_f32(step, 0) || lcip_shape_count(&step->outputs[0].shape) <= 0) {
    *reason = "it takes f32 tensors";
    return FALSE;
  }
  if (n == 2 && step->n_anchor_inputs != 2) {
    *reason = "it takes two operands";
    return FALSE;
  }
  gboolean same = FALSE;
  for (guint i = 0; i < n; i++) {
    const OperandKind kind = operand_kind(&step->inputs[i].shape, &step->outputs[0].shape);
    same |= kind == OPERAND_SAME;
    if (kind == OPERAND_NONE) {
      *reason = "it broadcasts single values and values per channel";
      return FALSE;
    }
  }
  if (!same) {
    *reason = "one operand must have the output's shape";
    return FALSE;
  }
  if (!lcip_tail_init(&tail, step, reason))
    return FALSE;
  settle(step, n, formats);
  return TRUE;
}

/* ---- vectors ---- */

LCIP_INLINE vf compute(const Op op, const LcipTailOp *unary, vf a, vf b) {
  switch (op) {
  case OP_ADD:
    return a + b;
  case OP_SUB:
    return a - b;
  case OP_MUL:
    return a * b;
  case OP_DIV:
    return a / b;
  case OP_MIN:
    return v_smaller(a, b);
  case OP_MAX:
    return v_larger(a, b);
  case OP_PRELU:
    return v_select(a < 0.0f, a * b, a);
  case OP_UNARY:
    break;
  }
  return v_tail_op(unary, a);
}

LCIP_INLINE void span_body(const Job *job, const Span *s, const Op op, const gboolean simple) {
  const vf lo = v_set1(job->tail.lo), hi = v_set1(job->tail.hi);
  const vi mask = s->mask;
  const gsize step = s->step, a_step = s->a_step, b_step = s->b_step;
  const float *a = s->a, *b = op == OP_UNARY ? s->a : s->b;
  float *out = (float *)job->call->outputs[0].data + s->at;
  for (gint64 i = 0; i < s->count; i++) {
    vf x = compute(op, &job->unary, v_load(a), v_load(b));
    x = simple ? v_min(hi, v_max(lo, x))
               : v_tail(&job->tail, job->call, x, s->at + (gsize)i * step);
    v_store(out, (vf)((vi)x & mask));
    a += a_step;
    b += b_step;
    out += step;
  }
}

LCIP_INLINE void span_op(const Job *job, const Span *s, const Op op) {
  if (job->tail.simple && job->tail.side_input < 0)
    span_body(job, s, op, TRUE);
  else
    span_body(job, s, op, FALSE);
}

/* The constant arguments make each call a loop of its own. */
static void run_span(const Job *job, const Span *s) {
  switch (job->op) {
  case OP_ADD:
    return span_op(job, s, OP_ADD);
  case OP_SUB:
    return span_op(job, s, OP_SUB);
  case OP_MUL:
    return span_op(job, s, OP_MUL);
  case OP_DIV:
    return span_op(job, s, OP_DIV);
  case OP_MIN:
    return span_op(job, s, OP_MIN);
  case OP_MAX:
    return span_op(job, s, OP_MAX);
  case OP_PRELU:
    return span_op(job, s, OP_PRELU);
  case OP_UNARY:
    return span_op(job, s, OP_UNARY);
  }
}

/* The @n < LCIP_LANES elements that are left of a dense span. */
static void run_rest(const Job *job, const Span *s, int n) {
  float *out = (float *)job->call->outputs[0].data;
  const vf a = s->a_step ? v_load_some(s->a, n) : v_load(s->a);
  const vf b = s->b_step ? v_load_some(s->b, n) : v_load(s->b);
  vf x = compute(job->op, &job->unary, a, b);
  for (guint i = 0; i < job->tail.n; i++) {
    const LcipTailOp *op = &job->tail.ops[i];
    if (op->kind == LCIP_TAIL_ADD)
      x += v_load_some((const float *)job->call->inputs[op->side_input].data + s->at, n);
    else
      x = v_tail_op(op, x);
  }
  v_store_some(out + s->at, x, n);
}

/* ---- spans ---- */

/* What an operand reads for pixels of block @block of image @n from pixel @pixel on: memory, or the
 * values of that block's channels put into @values. Returns whether it moves with the pixels. */
static gboolean place(const Job *job, const Operand *o, gint64 n, gint64 block, gint64 pixel,
                      float *values, const float **from) {
  if (o->kind == OPERAND_SAME) {
    *from = o->data + ((n * job->blocks + block) * job->pixels + pixel) * job->block;
    return TRUE;
  }
  *from = values;
  if (o->kind != OPERAND_CHANNEL) {
    for (int i = 0; i < LCIP_BLOCK; i++)
      values[i] = o->kind == OPERAND_SCALAR ? o->data[0] : 0.0f;
    return FALSE;
  }
  const gint64 image = o->n == 1 ? 0 : n, channels = lcip_blocks(job->c, o->block) * o->block;
  for (gint64 i = 0; i < LCIP_BLOCK; i++) {
    const gint64 c = job->block > 1 ? block * job->block + i : block;
    values[i] = c < job->c ? o->data[image * channels + c] : 0.0f;
  }
  return FALSE;
}

static void run_pixels(const Job *job, gint64 row, gint64 pixel, gint64 pixels) {
  const gint64 n = row / job->blocks, block = row % job->blocks;
  float a_values[LCIP_BLOCK], b_values[LCIP_BLOCK];
  const float *a, *b;
  const gboolean a_moves = place(job, &job->a, n, block, pixel, a_values, &a);
  const gboolean b_moves = place(job, &job->b, n, block, pixel, b_values, &b);
  const gsize at = (gsize)((row * job->pixels + pixel) * job->block);
  if (job->block == 1) {
    const gsize whole = (gsize)(pixels / LCIP_LANES * LCIP_LANES);
    const gsize step = LCIP_LANES;
    const Span s = {a,    b,  a_moves ? step : 0,  b_moves ? step : 0,
                    step, at, pixels / LCIP_LANES, v_lanes_below(LCIP_LANES)};
    run_span(job, &s);
    const Span rest = {a + (a_moves ? whole : 0),
                       b + (b_moves ? whole : 0),
                       s.a_step,
                       s.b_step,
                       step,
                       at + whole,
                       0,
                       s.mask};
    if (pixels % LCIP_LANES)
      run_rest(job, &rest, (int)(pixels % LCIP_LANES));
    return;
  }
  for (int lane = 0; lane < LCIP_BLOCK; lane += LCIP_LANES) {
    const gsize step = LCIP_BLOCK;
    const gint64 left = job->c - block * LCIP_BLOCK - lane;
    const Span s = {a + lane,
                    b + lane,
                    a_moves ? step : 0,
                    b_moves ? step : 0,
                    step,
                    at + (gsize)lane,
                    pixels,
                    v_lanes_below((int)CLAMP(left, 0, LCIP_LANES))};
    run_span(job, &s);
  }
}

static void run_chunk(gpointer data, guint chunk, guint worker) {
  const Job *job = data;
  const gint64 first = chunk / job->parts * job->rows_in_chunk;
  const gint64 pixel = chunk % job->parts * job->pixels_in_chunk;
  const gint64 end = MIN(first + job->rows_in_chunk, job->n * job->blocks);
  for (gint64 row = first; row < end; row++)
    run_pixels(job, row, pixel, MIN(job->pixels_in_chunk, job->pixels - pixel));
}

static void split(Job *job) {
  job->pixels_in_chunk = MIN(job->pixels, CHUNK_ELEMS / job->block);
  job->parts = lcip_blocks(job->pixels, job->pixels_in_chunk);
  job->rows_in_chunk = MAX(1, CHUNK_ELEMS / (job->pixels * job->block));
}

static Operand operand(const LcipTensorView *view, const LcipShape *out) {
  return (Operand){.kind = operand_kind(&view->shape, out),
                   .data = view->data,
                   .n = view->shape.rank == 4 ? view->shape.dims[0] : 1,
                   .block = lcip_format_block(view->spec.format)};
}

/* Clip has its bounds in inputs 1 and 2. */
static void read_bounds(Job *job) {
  const LcipCall *call = job->call;
  if (lcip_step_has_input(call->step, 1))
    job->unary.a = *(const float *)call->inputs[1].data;
  if (lcip_step_has_input(call->step, 2))
    job->unary.b = *(const float *)call->inputs[2].data;
}

static void set_shape(Job *job) {
  const LcipTensorView *out = &job->call->outputs[0];
  const gboolean channels = job->a.kind == OPERAND_CHANNEL || job->b.kind == OPERAND_CHANNEL;
  job->block = lcip_format_block(out->spec.format);
  job->n = job->blocks = job->c = 1;
  job->pixels = lcip_shape_count(&out->shape);
  if (job->block > 1 || channels) {
    job->n = out->shape.dims[0];
    job->c = out->shape.dims[1];
    job->blocks = lcip_blocks(job->c, job->block);
    job->pixels = out->shape.dims[2] * out->shape.dims[3];
  }
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  Job job = {.call = call, .b = {.kind = OPERAND_NONE}};
  const char *reason = NULL;
  const LcipShape *out = &call->outputs[0].shape;
  if (!lcip_tail_init(&job.tail, call->step, &reason)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "%s cannot be computed: %s",
                call->step->op->name, reason);
    return FALSE;
  }
  if (lcip_shape_count(out) == 0)
    return TRUE;
  job.op = find_op(call->step, &job.unary);
  job.a = operand(&call->inputs[0], out);
  if (job.op != OP_UNARY)
    job.b = operand(&call->inputs[1], out);
  if (lcip_step_is(call->step, "Clip"))
    read_bounds(&job);
  set_shape(&job);
  split(&job);
  const gint64 rows = lcip_blocks(job.n * job.blocks, job.rows_in_chunk);
  lcip_team_run(team, (guint)(rows * job.parts), run_chunk, &job);
  return TRUE;
}

const LcipKernel LCIP_ISA_KERNEL(eltwise_blocked) = {
    .name = LCIP_ISA_NAME("eltwise-blocked"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators =
        (const char *const[]){"Add",     "Sub",       "Mul",         "Div",  "Min",
                              "Max",     "PRelu",     "Relu",        "Clip", "LeakyRelu",
                              "Sigmoid", "HardSwish", "HardSigmoid", "Tanh", "Exp",
                              "Abs",     "Neg",       "Swish",       "Mish", "lcip.ScaledHardSwish",
                              NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 2e-6f,
    .inplace = TRUE,
    .supports = supports,
    .run = run,
};
