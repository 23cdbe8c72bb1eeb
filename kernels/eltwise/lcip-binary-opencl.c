#include "config.h"

#include "lcip-broadcast.h"
#include "lcip-cl-step.h"

/* In the order of eltwise.cl's kinds. */
static const char *const binary_opencl_operators[] = {"Add", "Sub", "Mul",   "Div", "Min",
                                                      "Max", "Pow", "PRelu", NULL};

#define OUTER 5

static int binary_kind(const LcipStep *step) {
  int kind = 0;
  while (binary_opencl_operators[kind] &&
         !g_str_equal(binary_opencl_operators[kind], step->op->name))
    kind++;
  return kind;
}

static void broadcast_init(LcipBroadcast *broadcast, const LcipShape *out, const LcipShape *a,
                           const LcipShape *b) {
  const LcipShape *const shapes[] = {a, b};
  lcip_broadcast_init(broadcast, out, 2, shapes);
}

static gboolean binary_opencl_supports(const LcipStep *step, LcipPortFormats *formats,
                                       const char **reason) {
  LcipBroadcast broadcast;
  if (step->n_anchor_inputs != 2) {
    *reason = "OpenCL takes two operands";
    return FALSE;
  }
  broadcast_init(&broadcast, &step->outputs[0].shape, &step->inputs[0].shape,
                 &step->inputs[1].shape);
  if (broadcast.rank > OUTER + 1) {
    *reason = "OpenCL broadcasts over at most 6 dimensions";
    return FALSE;
  }
  return lcip_cl_supports_fused(step, 0, formats, reason);
}

static void push_outer(LcipClArgs *args, int n_outer, const gint64 *values, gint64 fill) {
  for (int i = n_outer; i < OUTER; i++)
    lcip_cl_args_int(args, fill);
  lcip_cl_args_ints(args, (guint)n_outer, values);
}

static gboolean binary_opencl_enqueue(const LcipCall *call, LcipClQueue *queue, GError **error) {
  static const gsize local[] = {16, 2};
  LcipBroadcast broadcast;
  broadcast_init(&broadcast, &call->outputs[0].shape, &call->inputs[0].shape,
                 &call->inputs[1].shape);
  const int n_outer = MAX(broadcast.rank - 1, 0);
  const gsize global[] = {(broadcast.row_length + 15) / 16, broadcast.n_rows};
  LcipClArgs args = lcip_cl_args_begin(queue, "eltwise_binary", error);
  lcip_cl_args_view(&args, &call->inputs[0]);
  lcip_cl_args_view(&args, &call->inputs[1]);
  lcip_cl_args_view(&args, &call->outputs[0]);
  lcip_cl_args_epilogues(&args, call);
  lcip_cl_args_int(&args, binary_kind(call->step));
  lcip_cl_args_int(&args, (gint64)broadcast.n_rows);
  lcip_cl_args_int(&args, (gint64)broadcast.row_length);
  lcip_cl_args_ints(&args, 2, broadcast.row_strides);
  push_outer(&args, n_outer, broadcast.dims, 1);
  push_outer(&args, n_outer, broadcast.strides[0], 0);
  push_outer(&args, n_outer, broadcast.strides[1], 0);
  return lcip_cl_args_launch(&args, 2, global, local);
}

const LcipKernel lcip_kernel_binary_opencl = {
    .name = "binary-opencl",
    .family = "opencl",
    .device = LCIP_DEVICE_OPENCL,
    .operators = binary_opencl_operators,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-5f,
    .inplace = TRUE,
    .supports = binary_opencl_supports,
    .enqueue = binary_opencl_enqueue,
};
