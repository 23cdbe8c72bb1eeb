#include "config.h"

#include "lcip-broadcast.h"
#include "lcip-element.h"

#include <math.h>

/* Element-wise operators of two or more operands, in NumPy's broadcasting. Integers wrap around;
 * a division by 0 gives 0, since graphs from files must not end the process. */

typedef enum {
  BINARY_ADD,
  BINARY_SUB,
  BINARY_MUL,
  BINARY_DIV,
  BINARY_MIN,
  BINARY_MAX,
  BINARY_POW,
  BINARY_PRELU,
  N_BINARY
} BinaryKind;

static const char *const binary_ref_operators[] = {"Add", "Sub", "Mul",   "Div", "Min",
                                                   "Max", "Pow", "PRelu", NULL};

typedef struct {
  BinaryKind kind;
  LcipType type, exponent_type;
  LcipBroadcast broadcast;
  const char *a, *b;
  char *out;
} BinaryJob;

static inline float smaller(float a, float b) {
  return a < b || isnan(a) ? a : b;
}

static inline float larger(float a, float b) {
  return a > b || isnan(a) ? a : b;
}

#define ROW(expression)                                                                            \
  for (gsize i = 0; i < n; i++) {                                                                  \
    const T x = a[i * sa], y = b[i * sb];                                                          \
    out[i] = (expression);                                                                         \
  }                                                                                                \
  break

static void row_f32(BinaryKind kind, const float *a, gsize sa, const float *b, gsize sb, float *out,
                    gsize n) {
  typedef float T;
  switch (kind) {
  case BINARY_ADD:
    ROW(x + y);
  case BINARY_SUB:
    ROW(x - y);
  case BINARY_MUL:
    ROW(x * y);
  case BINARY_DIV:
    ROW(x / y);
  case BINARY_MIN:
    ROW(smaller(x, y));
  case BINARY_MAX:
    ROW(larger(x, y));
  case BINARY_POW:
    ROW(powf(x, y));
  case BINARY_PRELU:
    ROW(x < 0.0f ? x * y : x);
  case N_BINARY:
    break;
  }
}

#define INTEGER_ROWS(suffix, type, utype)                                                          \
  static inline type divide_##suffix(type x, type y) {                                             \
    if (y == 0)                                                                                    \
      return 0;                                                                                    \
    return y == -1 ? (type)(0 - (utype)x) : x / y;                                                 \
  }                                                                                                \
  static void row_##suffix(BinaryKind kind, const type *a, gsize sa, const type *b, gsize sb,      \
                           type *out, gsize n) {                                                   \
    typedef type T;                                                                                \
    switch (kind) {                                                                                \
    case BINARY_ADD:                                                                               \
      ROW((T)((utype)x + (utype)y));                                                               \
    case BINARY_SUB:                                                                               \
      ROW((T)((utype)x - (utype)y));                                                               \
    case BINARY_MUL:                                                                               \
      ROW((T)((utype)x * (utype)y));                                                               \
    case BINARY_DIV:                                                                               \
      ROW(divide_##suffix(x, y));                                                                  \
    case BINARY_MIN:                                                                               \
      ROW(MIN(x, y));                                                                              \
    case BINARY_MAX:                                                                               \
      ROW(MAX(x, y));                                                                              \
    case BINARY_POW:                                                                               \
    case BINARY_PRELU:                                                                             \
    case N_BINARY:                                                                                 \
      break;                                                                                       \
    }                                                                                              \
  }

INTEGER_ROWS(i64, gint64, guint64)
INTEGER_ROWS(i32, gint32, guint32)

/* Operands of other types, and Pow of integers or with an exponent of its own type. */
static gint64 combine_ints(BinaryKind kind, LcipType type, gint64 x, gint64 y) {
  const gboolean is_unsigned = type == LCIP_TYPE_U64;
  const gboolean less = is_unsigned ? (guint64)x < (guint64)y : x < y;
  switch (kind) {
  case BINARY_ADD:
    return (gint64)((guint64)x + (guint64)y);
  case BINARY_SUB:
    return (gint64)((guint64)x - (guint64)y);
  case BINARY_MUL:
    return (gint64)((guint64)x * (guint64)y);
  case BINARY_DIV:
    return is_unsigned && y != 0 ? (gint64)((guint64)x / (guint64)y) : divide_i64(x, y);
  case BINARY_MIN:
    return less ? x : y;
  case BINARY_MAX:
    return less ? y : x;
  default:
    return 0;
  }
}

static void row_any(const BinaryJob *job, const void *a, gsize sa, const void *b, gsize sb,
                    void *out, gsize n) {
  for (gsize i = 0; i < n; i++) {
    if (job->kind == BINARY_POW)
      lcip_element_set_float(job->type, out, i,
                             pow(lcip_element_float(job->type, a, i * sa),
                                 lcip_element_float(job->exponent_type, b, i * sb)));
    else
      lcip_element_set_int(job->type, out, i,
                           combine_ints(job->kind, job->type,
                                        lcip_element_int(job->type, a, i * sa),
                                        lcip_element_int(job->type, b, i * sb)));
  }
}

static void binary_row(const BinaryJob *job, const char *a, const char *b, char *out, gsize n) {
  const gsize sa = (gsize)job->broadcast.row_strides[0], sb = (gsize)job->broadcast.row_strides[1];
  const gboolean same = job->type == job->exponent_type;
  if (same && job->type == LCIP_TYPE_F32)
    row_f32(job->kind, (const float *)a, sa, (const float *)b, sb, (float *)out, n);
  else if (job->type == LCIP_TYPE_I64 && job->kind != BINARY_POW)
    row_i64(job->kind, (const gint64 *)a, sa, (const gint64 *)b, sb, (gint64 *)out, n);
  else if (job->type == LCIP_TYPE_I32 && job->kind != BINARY_POW)
    row_i32(job->kind, (const gint32 *)a, sa, (const gint32 *)b, sb, (gint32 *)out, n);
  else
    row_any(job, a, sa, b, sb, out, n);
}

static void binary_range(gpointer data, gsize begin, gsize end) {
  const BinaryJob *job = data;
  const gsize size = lcip_type_size(job->type), b_size = lcip_type_size(job->exponent_type);
  for (gsize row = begin; row < end; row++) {
    gsize offsets[LCIP_BROADCAST_MAX];
    lcip_broadcast_row(&job->broadcast, row, offsets);
    binary_row(job, job->a + offsets[0] * size, job->b + offsets[1] * b_size,
               job->out + row * job->broadcast.row_length * size, job->broadcast.row_length);
  }
}

static void run_pair(BinaryJob *job, LcipTeam *team, const LcipTensorView *a,
                     const LcipTensorView *b, LcipTensorView *out) {
  const LcipShape *shapes[] = {&a->shape, &b->shape};
  lcip_broadcast_init(&job->broadcast, &out->shape, 2, shapes);
  job->type = a->spec.type;
  job->exponent_type = b->spec.type;
  job->a = a->data;
  job->b = b->data;
  job->out = out->data;
  lcip_team_ranges(team, job->broadcast.n_rows, 65536 / MAX(job->broadcast.row_length, 1) + 1,
                   binary_range, job);
}

/* out = broadcast(input), as Min and Max of one operand are. */
static void run_copy(BinaryJob *job, LcipTeam *team, const LcipTensorView *a, LcipTensorView *out) {
  job->kind = BINARY_MIN;
  run_pair(job, team, a, a, out);
}

static gboolean binary_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipStep *step = call->step;
  LcipTensorView *out = &call->outputs[0];
  BinaryJob job = {.kind = BINARY_ADD};
  while (!g_str_equal(binary_ref_operators[job.kind], step->op->name))
    job.kind++;
  if (step->n_anchor_inputs == 1) {
    run_copy(&job, team, &call->inputs[0], out);
    return TRUE;
  }
  run_pair(&job, team, &call->inputs[0], &call->inputs[1], out);
  for (guint i = 2; i < step->n_anchor_inputs; i++)
    run_pair(&job, team, out, &call->inputs[i], out);
  return TRUE;
}

const LcipKernel lcip_kernel_binary_ref = {
    .name = "binary-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = binary_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .inplace = TRUE,
    .supports = lcip_supports_reference,
    .run = binary_ref_run,
};
