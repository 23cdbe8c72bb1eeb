#include "config.h"
#include "lcip-cl-step.h"

#include <math.h>

/* The numbers of common.cl's stages. @a, @b: the attributes that its two numbers are, or NULL. */
typedef struct {
  const char *name;
  int code;
  const char *a, *b;
} StageDef;

enum { STAGE_NONE, STAGE_ADD };

static const StageDef stages[] = {
    {"Add", STAGE_ADD, NULL, NULL}, {"Relu", 2, NULL, NULL},
    {"Clip", 3, NULL, NULL},        {"LeakyRelu", 4, "alpha", NULL},
    {"Sigmoid", 5, NULL, NULL},     {"HardSigmoid", 6, "alpha", "beta"},
    {"HardSwish", 7, NULL, NULL},   {"Tanh", 8, NULL, NULL},
    {"Abs", 9, NULL, NULL},         {"Neg", 10, NULL, NULL},
    {"Exp", 11, NULL, NULL},        {"Log", 12, NULL, NULL},
    {"Sqrt", 13, NULL, NULL},       {"Floor", 14, NULL, NULL},
    {"Ceil", 15, NULL, NULL},       {"Erf", 16, NULL, NULL},
    {"Elu", 17, "alpha", NULL},     {"Softplus", 18, NULL, NULL},
    {"Swish", 19, "alpha", NULL},   {"Mish", 20, NULL, NULL},
};

typedef struct {
  int code;
  float a, b;
  const LcipTensorView *side;
} Stage;

static const StageDef *find_stage(const LcipOperator *op) {
  for (guint i = 0; i < G_N_ELEMENTS(stages); i++)
    if (op->domain[0] == '\0' && g_str_equal(op->name, stages[i].name))
      return &stages[i];
  return NULL;
}

/* ---- arguments ---- */

static gboolean keep(LcipClArgs *args, gboolean ok) {
  if (!ok)
    args->kernel = NULL;
  return ok;
}

LcipClArgs lcip_cl_args_begin(LcipClQueue *queue, const char *function, GError **error) {
  return (LcipClArgs){.queue = queue,
                      .kernel = lcip_cl_queue_kernel(queue, lcip_cl_source, NULL, function, error),
                      .error = error};
}

void lcip_cl_args_view(LcipClArgs *args, const LcipTensorView *view) {
  if (!args->kernel)
    return;
  keep(args, lcip_cl_arg_view(args->kernel, args->next, view, args->error));
  args->next += 2;
}

void lcip_cl_args_buffer(LcipClArgs *args, void *buffer) {
  const LcipTensorView view = {.spec.type = LCIP_TYPE_F32, .buffer = buffer};
  lcip_cl_args_view(args, &view);
}

void lcip_cl_args_int(LcipClArgs *args, gint64 value) {
  if (!args->kernel)
    return;
  if (value < G_MININT32 || value > G_MAXINT32) {
    g_set_error(args->error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
                "OpenCL kernels count to 2^31, found %" G_GINT64_FORMAT, value);
    args->kernel = NULL;
    return;
  }
  keep(args, lcip_cl_arg_int(args->kernel, args->next++, (gint32)value, args->error));
}

void lcip_cl_args_ints(LcipClArgs *args, guint n, const gint64 *values) {
  for (guint i = 0; i < n; i++)
    lcip_cl_args_int(args, values[i]);
}

void lcip_cl_args_float(LcipClArgs *args, float value) {
  if (args->kernel)
    keep(args, lcip_cl_arg_float(args->kernel, args->next++, value, args->error));
}

gboolean lcip_cl_args_launch(LcipClArgs *args, guint n_dims, const gsize *global,
                             const gsize *local) {
  return args->kernel &&
         lcip_cl_launch(args->queue, args->kernel, n_dims, global, local, args->error);
}

/* ---- stages ---- */

/* An unused stage gets some buffer that exists: the output. */
static void push_stage(LcipClArgs *args, const LcipCall *call, const Stage *stage) {
  lcip_cl_args_int(args, stage->code);
  lcip_cl_args_float(args, stage->a);
  lcip_cl_args_float(args, stage->b);
  lcip_cl_args_view(args, stage->side ? stage->side : &call->outputs[0]);
}

static Stage stage_of(const LcipOperator *op, const LcipAttrs *attrs) {
  const StageDef *def = find_stage(op);
  Stage stage = {.code = def ? def->code : STAGE_NONE};
  if (def && def->a)
    stage.a = lcip_attrs_get_float(attrs, def->a);
  if (def && def->b)
    stage.b = lcip_attrs_get_float(attrs, def->b);
  return stage;
}

static void push_epilogue(LcipClArgs *args, const LcipCall *call, guint i) {
  const LcipEpilogue *epilogue = &call->step->epilogues[i];
  Stage stage = stage_of(epilogue->op, epilogue->attrs);
  if (g_str_equal(epilogue->op->name, "Clip")) {
    stage.a = epilogue->clip_min;
    stage.b = epilogue->clip_max;
  }
  if (epilogue->side_input >= 0)
    stage.side = &call->inputs[epilogue->side_input];
  push_stage(args, call, &stage);
}

static void push_epilogues(LcipClArgs *args, const LcipCall *call, guint room) {
  const Stage none = {.code = STAGE_NONE};
  for (guint i = 0; i < room; i++)
    if (i < call->step->n_epilogues)
      push_epilogue(args, call, i);
    else
      push_stage(args, call, &none);
}

void lcip_cl_args_epilogues(LcipClArgs *args, const LcipCall *call) {
  push_epilogues(args, call, LCIP_MAX_EPILOGUES);
}

static float constant_bound(const LcipStep *step, guint i, float otherwise) {
  if (!lcip_step_has_input(step, i))
    return otherwise;
  return *(const float *)lcip_tensor_get_data(step->constants[i]);
}

void lcip_cl_args_unary(LcipClArgs *args, const LcipCall *call) {
  const LcipStep *step = call->step;
  Stage stage = stage_of(step->op, step->attrs);
  if (g_str_equal(step->op->name, "Clip")) {
    stage.a = constant_bound(step, 1, -INFINITY);
    stage.b = constant_bound(step, 2, INFINITY);
  }
  push_stage(args, call, &stage);
  push_epilogues(args, call, LCIP_MAX_EPILOGUES - 1);
}

gboolean lcip_cl_unary_supported(const LcipStep *step, const char **reason) {
  const StageDef *def = find_stage(step->op);
  if (!def || def->code == STAGE_ADD) {
    *reason = "OpenCL has no such element-wise operator";
    return FALSE;
  }
  if (step->n_epilogues > LCIP_MAX_EPILOGUES - 1) {
    *reason = "too many fused operators";
    return FALSE;
  }
  for (guint i = 1; i < step->n_anchor_inputs; i++)
    if (lcip_step_has_input(step, i) &&
        (!step->constants[i] || lcip_tensor_get_bytes(step->constants[i]) < sizeof(float))) {
      *reason = "bounds must be constants";
      return FALSE;
    }
  return TRUE;
}

/* ---- supports ---- */

static gboolean counts_fit(guint n, const LcipTensorSpec *specs) {
  for (guint i = 0; i < n; i++)
    if (specs[i].type != LCIP_TYPE_NONE && lcip_shape_count(&specs[i].shape) > G_MAXINT32 - 64)
      return FALSE;
  return TRUE;
}

gboolean lcip_cl_supports_f32(const LcipStep *step, guint64 skip_mask, LcipPortFormats *formats,
                              const char **reason) {
  lcip_formats_dense(step, formats);
  if (!lcip_step_all_f32(step, skip_mask)) {
    *reason = "OpenCL kernels compute f32 only";
    return FALSE;
  }
  if (!counts_fit(step->n_inputs, step->inputs) || !counts_fit(step->n_outputs, step->outputs)) {
    *reason = "a tensor has 2^31 or more elements";
    return FALSE;
  }
  return TRUE;
}

gboolean lcip_cl_supports_plain(const LcipStep *step, guint64 skip_mask, LcipPortFormats *formats,
                                const char **reason) {
  if (step->n_epilogues > 0) {
    *reason = "it fuses no operators";
    return FALSE;
  }
  return lcip_cl_supports_f32(step, skip_mask, formats, reason);
}

gboolean lcip_cl_supports_fused(const LcipStep *step, guint64 skip_mask, LcipPortFormats *formats,
                                const char **reason) {
  return lcip_epilogues_common(step, reason) &&
         lcip_cl_supports_f32(step, skip_mask, formats, reason);
}
