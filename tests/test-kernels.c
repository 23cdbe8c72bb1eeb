#include "config.h"

#include "kernel-cases.h"

/* Conformance: every implementation in the kernel table against the reference kernels, on the cases
 * of kernel-cases.h, in every format that the implementation takes, with teams of 1 and of 3
 * threads (which must agree bit for bit), in place where the implementation says it can. */

#define GUARD_BYTES 64
#define GUARD_VALUE 0xA5

/* ---- formats ---- */

static gsize blocked_index(const LcipShape *shape, int block, gsize n, gsize c, gsize pixel) {
  const gsize blocks = ((gsize)shape->dims[1] + (gsize)block - 1) / (gsize)block;
  const gsize pixels = (gsize)(shape->dims[2] * shape->dims[3]);
  return ((n * blocks + c / (gsize)block) * pixels + pixel) * (gsize)block + c % (gsize)block;
}

typedef enum { TO_BLOCKED, TO_DENSE } Direction;

/* Between dense and @format; padding channels are not touched. */
static void convert(Direction direction, LcipFormat format, const LcipShape *shape, const float *in,
                    float *out) {
  const int block = lcip_format_block(format);
  const gsize channels = (gsize)shape->dims[1], pixels = (gsize)(shape->dims[2] * shape->dims[3]);
  for (gsize n = 0; n < (gsize)shape->dims[0]; n++)
    for (gsize c = 0; c < channels; c++)
      for (gsize p = 0; p < pixels; p++) {
        const gsize dense = (n * channels + c) * pixels + p;
        const gsize blocked = blocked_index(shape, block, n, c, p);
        out[direction == TO_BLOCKED ? blocked : dense] =
            in[direction == TO_BLOCKED ? dense : blocked];
      }
}

static void assert_padding_zero(LcipFormat format, const LcipShape *shape, const float *data) {
  const int block = lcip_format_block(format);
  const gsize padded = ((gsize)shape->dims[1] + (gsize)block - 1) / (gsize)block * (gsize)block;
  for (gsize n = 0; n < (gsize)shape->dims[0]; n++)
    for (gsize c = (gsize)shape->dims[1]; c < padded; c++)
      for (gsize p = 0; p < (gsize)(shape->dims[2] * shape->dims[3]); p++)
        g_assert_cmpfloat(data[blocked_index(shape, block, n, c, p)], ==, 0.0f);
}

static gboolean can_block(const LcipTensorSpec *spec) {
  return spec->type == LCIP_TYPE_F32 && spec->shape.rank == 4;
}
/* ---- one run of one kernel ---- */

typedef enum { INPLACE_NONE, INPLACE_INPUT, INPLACE_SIDE } Inplace;

typedef struct {
  const LcipKernel *kernel;
  LcipPortFormats formats;
  Inplace inplace;
  guint threads;
  LcipClDevice *device;
  gsize shift_bytes; /* of inputs that the kernel takes at any address */
} Variant;

typedef struct {
  gsize n_bytes;
  guint8 *data; /* owned; GUARD_BYTES behind it */
} Memory;

/* Filled with what makes unwritten results visible: NaN as f32. */
static Memory memory_new(gsize n_bytes) {
  const gsize padded = (n_bytes + GUARD_BYTES + 63) / 64 * 64;
  Memory memory = {n_bytes, aligned_alloc(64, padded)};
  memset(memory.data, 0xFF, n_bytes);
  memset(memory.data + n_bytes, GUARD_VALUE, GUARD_BYTES);
  return memory;
}

static void memory_check(const Memory *memory) {
  for (gsize i = 0; i < GUARD_BYTES; i++)
    g_assert_cmpuint(memory->data[memory->n_bytes + i], ==, GUARD_VALUE);
}

static Memory memory_of_spec(const LcipTensorSpec *spec) {
  gsize n_bytes;
  g_assert_true(lcip_tensor_spec_bytes(spec, &n_bytes));
  return memory_new(n_bytes);
}

static Memory memory_of_input(const LcipTensorSpec *spec, LcipTensor *dense) {
  Memory memory = memory_of_spec(spec);
  if (spec->format == LCIP_FORMAT_DENSE) {
    memcpy(memory.data, lcip_tensor_get_data(dense), memory.n_bytes);
  } else {
    memset(memory.data, 0, memory.n_bytes);
    convert(TO_BLOCKED, spec->format, &spec->shape, lcip_tensor_get_data(dense),
            (float *)memory.data);
  }
  return memory;
}

/* A step whose specs carry the settled formats, with memory for all its tensors. */
typedef struct {
  LcipStep step;
  LcipTensorSpec inputs[MAX_INPUTS], outputs[MAX_OUTPUTS];
  LcipTensorView input_views[MAX_INPUTS], output_views[MAX_OUTPUTS];
  Memory input_memory[MAX_INPUTS], output_memory[MAX_OUTPUTS];
  Memory scratch;
  LcipBlob *blob;
} Stage;

static int inplace_input(const Stage *stage, Inplace inplace) {
  if (inplace == INPLACE_INPUT)
    return 0;
  if (inplace == INPLACE_SIDE)
    for (guint i = 0; i < stage->step.n_epilogues; i++)
      if (stage->step.epilogues[i].side_input >= 0)
        return stage->step.epilogues[i].side_input;
  return -1;
}

static void stage_init(Stage *stage, const Built *built, const Variant *variant) {
  g_autoptr(GError) error = NULL;
  *stage = (Stage){.step = built->step};
  memcpy(stage->inputs, built->inputs, sizeof stage->inputs);
  memcpy(stage->outputs, built->outputs, sizeof stage->outputs);
  stage->step.inputs = stage->inputs;
  stage->step.outputs = stage->outputs;
  for (guint i = 0; i < built->step.n_inputs; i++)
    stage->inputs[i].format = variant->formats.inputs[i];
  for (guint i = 0; i < built->step.n_outputs; i++)
    stage->outputs[i].format = variant->formats.outputs[i];
  const LcipKernel *kernel = variant->kernel;
  if (kernel->prepare)
    g_assert_true(kernel->prepare(&stage->step, &variant->formats, &stage->blob, &error));
  g_assert_no_error(error);
  stage->scratch =
      memory_new(kernel->scratch_bytes
                     ? kernel->scratch_bytes(&stage->step, &variant->formats, variant->threads)
                     : 0);
}

/* Side inputs of epilogues follow the anchor's and are never prepared. */
static gboolean is_prepared(const LcipKernel *kernel, const LcipStep *step, guint i) {
  return i < MIN(64, step->n_anchor_inputs) && (kernel->prepared_inputs >> i & 1);
}

static gboolean takes_any_address(const LcipKernel *kernel, const LcipStep *step, guint i) {
  return i < MIN(64, step->n_anchor_inputs) && (kernel->any_address >> i & 1);
}

static void shift(Memory *memory, gsize shift_bytes) {
  Memory moved = memory_new(memory->n_bytes + shift_bytes);
  memcpy(moved.data + shift_bytes, memory->data, memory->n_bytes);
  free(memory->data);
  *memory = moved;
}

static void stage_fill(Stage *stage, const Built *built, const Variant *variant) {
  for (guint i = 0; i < stage->step.n_inputs; i++) {
    if (!built->values[i])
      continue;
    stage->input_views[i].spec = stage->inputs[i];
    stage->input_views[i].shape = stage->inputs[i].shape;
    if (is_prepared(variant->kernel, &stage->step, i))
      continue;
    stage->input_memory[i] = memory_of_input(&stage->inputs[i], built->values[i]);
    stage->input_views[i].data = stage->input_memory[i].data;
    if (variant->shift_bytes == 0 || !takes_any_address(variant->kernel, &stage->step, i))
      continue;
    shift(&stage->input_memory[i], variant->shift_bytes);
    stage->input_views[i].data = stage->input_memory[i].data + variant->shift_bytes;
  }
  const int shared = inplace_input(stage, variant->inplace);
  for (guint i = 0; i < stage->step.n_outputs; i++) {
    if (i > 0 || shared < 0)
      stage->output_memory[i] = memory_of_spec(&stage->outputs[i]);
    stage->output_views[i] =
        (LcipTensorView){.spec = stage->outputs[i],
                         .shape = stage->outputs[i].shape,
                         .data = i == 0 && shared >= 0 ? stage->input_memory[shared].data
                                                       : stage->output_memory[i].data};
  }
}

static void stage_clear(Stage *stage) {
  for (guint i = 0; i < MAX_INPUTS; i++)
    free(stage->input_memory[i].data);
  for (guint i = 0; i < MAX_OUTPUTS; i++)
    free(stage->output_memory[i].data);
  free(stage->scratch.data);
  g_clear_pointer(&stage->blob, lcip_blob_unref);
}

static void stage_check_guards(const Stage *stage) {
  for (guint i = 0; i < stage->step.n_inputs; i++)
    if (stage->input_memory[i].data)
      memory_check(&stage->input_memory[i]);
  for (guint i = 0; i < stage->step.n_outputs; i++)
    if (stage->output_memory[i].data)
      memory_check(&stage->output_memory[i]);
  memory_check(&stage->scratch);
}

static LcipCall stage_call(Stage *stage) {
  return (LcipCall){.step = &stage->step,
                    .prepared = stage->blob,
                    .inputs = stage->input_views,
                    .outputs = stage->output_views,
                    .scratch = stage->scratch.data};
}

static void stage_run_cpu(Stage *stage, const Variant *variant) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipTeam) team = lcip_team_new(variant->threads);
  const LcipCall call = stage_call(stage);
  g_assert_true(variant->kernel->run(&call, team, &error));
  g_assert_no_error(error);
}

static LcipClMem upload(LcipClDevice *device, const void *data, gsize n_bytes) {
  g_autoptr(GError) error = NULL;
  LcipClMem buffer = n_bytes > 0 ? lcip_cl_buffer_new_from(device, n_bytes, data, &error) : NULL;
  g_assert_no_error(error);
  return buffer;
}

static void views_upload(LcipClDevice *device, LcipTensorView *views, const Memory *memory,
                         guint n) {
  for (guint i = 0; i < n; i++) {
    if (views[i].data && !views[i].buffer && memory[i].data)
      views[i].buffer = upload(device, views[i].data, memory[i].n_bytes + GUARD_BYTES);
    views[i].data = NULL;
  }
}

static void views_release(LcipTensorView *views, const Memory *memory, guint n) {
  for (guint i = 0; i < n; i++)
    if (views[i].buffer && memory[i].data)
      lcip_cl_buffer_free(views[i].buffer);
}

static void views_download(LcipClQueue *queue, LcipTensorView *views, const Memory *memory,
                           guint n) {
  g_autoptr(GError) error = NULL;
  for (guint i = 0; i < n; i++)
    if (views[i].buffer && memory[i].data)
      lcip_cl_read(queue, views[i].buffer, 0, memory[i].n_bytes + GUARD_BYTES, memory[i].data,
                   &error);
  lcip_cl_queue_finish(queue, 0, NULL, &error);
  g_assert_no_error(error);
}

/* Inputs, outputs with their guards, the blob and the scratch live on the device for one run. */
static void stage_run_opencl(Stage *stage, const Variant *variant) {
  g_autoptr(GError) error = NULL;
  const int shared = inplace_input(stage, variant->inplace);
  LcipClQueue *queue = lcip_cl_queue_new(variant->device, &error);
  g_assert_no_error(error);
  views_upload(variant->device, stage->input_views, stage->input_memory, stage->step.n_inputs);
  if (shared >= 0)
    stage->output_views[0].buffer = stage->input_views[shared].buffer;
  views_upload(variant->device, stage->output_views, stage->output_memory, stage->step.n_outputs);
  LcipClMem blob = NULL;
  if (stage->blob)
    blob = upload(variant->device, lcip_blob_data(stage->blob), lcip_blob_bytes(stage->blob));
  LcipClMem scratch = upload(variant->device, stage->scratch.data, stage->scratch.n_bytes);
  const LcipCall call = {.step = &stage->step,
                         .prepared = stage->blob,
                         .inputs = stage->input_views,
                         .outputs = stage->output_views,
                         .prepared_buffer = blob,
                         .scratch_buffer = scratch};
  variant->kernel->enqueue(&call, queue, &error);
  g_assert_no_error(error);
  views_download(queue, stage->input_views, stage->input_memory, stage->step.n_inputs);
  views_download(queue, stage->output_views, stage->output_memory, stage->step.n_outputs);
  views_release(stage->input_views, stage->input_memory, stage->step.n_inputs);
  views_release(stage->output_views, stage->output_memory, stage->step.n_outputs);
  g_clear_pointer(&blob, lcip_cl_buffer_free);
  g_clear_pointer(&scratch, lcip_cl_buffer_free);
  lcip_cl_queue_free(queue);
}

/* The output in dense format. */
static LcipTensor *stage_output(const Stage *stage, const Variant *variant, guint i) {
  const int shared = i == 0 ? inplace_input(stage, variant->inplace) : -1;
  const void *data = shared >= 0 ? stage->input_memory[shared].data : stage->output_memory[i].data;
  const LcipTensorSpec *spec = &stage->outputs[i];
  const LcipTensorSpec dense = lcip_tensor_spec(spec->type, spec->shape);
  if (spec->format == LCIP_FORMAT_DENSE)
    return lcip_tensor_new_from_data(&dense, data);
  assert_padding_zero(spec->format, &spec->shape, data);
  LcipTensor *tensor = lcip_tensor_new(&dense);
  convert(TO_DENSE, spec->format, &spec->shape, data, lcip_tensor_get_mutable(tensor));
  return tensor;
}

static void run_variant(const Built *built, const Variant *variant, LcipTensor **results) {
  Stage stage;
  stage_init(&stage, built, variant);
  stage_fill(&stage, built, variant);
  if (variant->kernel->device == LCIP_DEVICE_OPENCL)
    stage_run_opencl(&stage, variant);
  else
    stage_run_cpu(&stage, variant);
  stage_check_guards(&stage);
  for (guint i = 0; i < built->step.n_outputs; i++)
    results[i] = stage_output(&stage, variant, i);
  stage_clear(&stage);
}
/* ---- comparing ---- */

static char *describe(const Built *built, const Variant *variant) {
  g_autoptr(GString) formats = g_string_new(NULL);
  for (guint i = 0; i < built->step.n_inputs; i++)
    g_string_append_printf(formats, "%s ", lcip_format_name(variant->formats.inputs[i]));
  for (guint i = 0; i < built->step.n_outputs; i++)
    g_string_append_printf(formats, "-> %s ", lcip_format_name(variant->formats.outputs[i]));
  return g_strdup_printf("%s on %s(%s) {%s} +%s, %s, %u threads%s", variant->kernel->name,
                         built->source->op, built->source->inputs, built->source->attrs,
                         built->source->epilogues ? built->source->epilogues : "", formats->str,
                         variant->threads, variant->inplace ? ", in place" : "");
}

static void compare(const Built *built, const Variant *variant, LcipTensor *const *results) {
  for (guint k = 0; k < built->step.n_outputs; k++) {
    const gsize n = (gsize)lcip_shape_count(&built->outputs[k].shape);
    const void *found = lcip_tensor_get_data(results[k]);
    const void *expected = lcip_tensor_get_data(built->expected[k]);
    g_autofree char *what = describe(built, variant);
    if (built->outputs[k].type != LCIP_TYPE_F32) {
      if (memcmp(found, expected, lcip_tensor_get_bytes(results[k])) != 0)
        g_error("%s: output %u differs", what, k);
      continue;
    }
    for (gsize i = 0; i < n; i++) {
      const float a = ((const float *)found)[i], b = ((const float *)expected)[i];
      if (!close_enough(a, b, variant->kernel->tolerance))
        g_error("%s: output %u element %" G_GSIZE_FORMAT ": expected %.9g, found %.9g", what, k, i,
                (double)b, (double)a);
    }
  }
}

static void free_results(LcipTensor **results, guint n) {
  for (guint i = 0; i < n; i++)
    g_clear_pointer(&results[i], lcip_tensor_unref);
}

static void check_same(const Built *built, const Variant *variant, LcipTensor *const *expected,
                       const char *cause) {
  LcipTensor *results[MAX_OUTPUTS] = {NULL};
  run_variant(built, variant, results);
  g_autofree char *what = describe(built, variant);
  for (guint i = 0; i < built->step.n_outputs; i++)
    if (memcmp(lcip_tensor_get_data(expected[i]), lcip_tensor_get_data(results[i]),
               lcip_tensor_get_bytes(expected[i])) != 0)
      g_error("%s: the result depends on %s", what, cause);
  free_results(results, built->step.n_outputs);
}

static void check_threads(const Built *built, Variant variant, LcipTensor *const *one) {
  variant.threads = 3;
  check_same(built, &variant, one, "the number of threads");
}

static void check_addresses(const Built *built, Variant variant, LcipTensor *const *aligned) {
  if (variant.kernel->any_address == 0)
    return;
  for (variant.shift_bytes = 1; variant.shift_bytes < sizeof(float); variant.shift_bytes++)
    check_same(built, &variant, aligned, "the address of its weights");
}

/* ---- several firings in one sweep over the weights ---- */

#define MAX_FIRINGS 5

/* Firing @n: another input than those of other numbers, the same weights. */
static void firing_init(Stage *stage, const Built *built, const Variant *variant, guint n) {
  stage_init(stage, built, variant);
  stage_fill(stage, built, variant);
  for (guint i = 0; i < stage->step.n_inputs; i++) {
    float *data = (float *)stage->input_memory[i].data;
    for (gsize k = 0; !built->constants[i] && i != variant->kernel->sweep->weights &&
                      k < stage->input_memory[i].n_bytes / sizeof(float);
         k++)
      data[k] *= 1.0f + 0.3f * (float)n;
  }
}

static const Memory *firing_result(const Stage *stage, const Variant *variant) {
  const int shared = inplace_input(stage, variant->inplace);
  return shared >= 0 ? &stage->input_memory[shared] : &stage->output_memory[0];
}

/* Parts begin anywhere and go in a circle, as where a firing joins others. */
static void sweep(const Variant *variant, Stage *stages, guint n) {
  const LcipKernelSweep *sweep = variant->kernel->sweep;
  g_autoptr(LcipTeam) team = lcip_team_new(variant->threads);
  LcipCall calls[MAX_FIRINGS];
  gpointer jobs[MAX_FIRINGS];
  guint n_parts = 0;
  for (guint i = 0; i < n; i++) {
    calls[i] = stage_call(&stages[i]);
    jobs[i] = g_malloc0(sweep->job_bytes);
    g_assert_true(sweep->begin(&calls[i], jobs[i], team, &n_parts, NULL));
    g_assert_cmpuint(n_parts, >, 0);
  }
  for (guint part = 0; part < n_parts; part++)
    sweep->run((const gconstpointer *)jobs, n, (part + n) % n_parts);
  for (guint i = 0; i < n; i++) {
    if (sweep->end)
      sweep->end(jobs[i], team);
    g_free(jobs[i]);
  }
}

static void check_sweep_of(const Built *built, const Variant *variant, guint n) {
  Stage together[MAX_FIRINGS];
  for (guint i = 0; i < n; i++)
    firing_init(&together[i], built, variant, i);
  sweep(variant, together, n);
  for (guint i = 0; i < n; i++) {
    Stage alone;
    firing_init(&alone, built, variant, i);
    stage_run_cpu(&alone, variant);
    stage_check_guards(&together[i]);
    const Memory *expected = firing_result(&alone, variant);
    if (memcmp(firing_result(&together[i], variant)->data, expected->data, expected->n_bytes) != 0)
      g_error("%s: firing %u of %u at once differs from the same alone", describe(built, variant),
              i, n);
    stage_clear(&alone);
    stage_clear(&together[i]);
  }
}

static guint n_swept;

static void check_sweep(const Built *built, Variant variant) {
  const LcipKernelSweep *sweep = variant.kernel->sweep;
  Stage stage;
  stage_init(&stage, built, &variant);
  const gboolean supported = sweep && (!sweep->supports || sweep->supports(&stage.step));
  stage_clear(&stage);
  for (guint n = 1; supported && n <= MAX_FIRINGS; n++, n_swept++) {
    variant.threads = 1 + n % 2;
    check_sweep_of(built, &variant, n);
  }
}

static void check_variant(const Built *built, Variant variant) {
  LcipTensor *results[MAX_OUTPUTS] = {NULL};
  variant.threads = 1;
  run_variant(built, &variant, results);
  compare(built, &variant, results);
  if (variant.kernel->device == LCIP_DEVICE_CPU)
    check_threads(built, variant, results);
  check_addresses(built, variant, results);
  check_sweep(built, variant);
  free_results(results, built->step.n_outputs);
}

static gboolean can_share(const Built *built, const Variant *variant, int input) {
  return input >= 0 && built->values[input] && !built->constants[input] &&
         !is_prepared(variant->kernel, &built->step, (guint)input) &&
         lcip_tensor_spec_equal(&built->inputs[input], &built->outputs[0]) &&
         variant->formats.inputs[input] == variant->formats.outputs[0];
}

static int first_side(const Built *built) {
  for (guint i = 0; i < built->step.n_epilogues; i++)
    if (built->step.epilogues[i].side_input >= 0)
      return built->step.epilogues[i].side_input;
  return -1;
}

static void check_formats(const Built *built, Variant variant) {
  check_variant(built, variant);
  if (!variant.kernel->inplace)
    return;
  variant.inplace = INPLACE_INPUT;
  if ((built->step.op->flags & LCIP_OP_ELEMENTWISE) && can_share(built, &variant, 0))
    check_variant(built, variant);
  variant.inplace = INPLACE_SIDE;
  if (can_share(built, &variant, first_side(built)))
    check_variant(built, variant);
}
/* ---- an implementation on all cases of an operator ---- */

typedef struct {
  const LcipKernel *kernel;
  const char *op;
} Conformance;

static gboolean try_formats(Built *built, const LcipKernel *kernel, LcipClDevice *device,
                            LcipFormat preferred, LcipPortFormats *seen, guint *n_seen) {
  const char *reason = NULL;
  Variant variant = {.kernel = kernel, .device = device};
  for (guint i = 0; i < built->step.n_inputs; i++)
    if (can_block(&built->inputs[i]) && !built->constants[i])
      variant.formats.inputs[i] = preferred;
  if (!lcip_kernel_supports(kernel, &built->step, &variant.formats, &reason)) {
    g_test_message("refused: %s(%s) {%s} +%s: %s", built->source->op, built->source->inputs,
                   built->source->attrs, built->source->epilogues ? built->source->epilogues : "",
                   reason);
    g_assert_nonnull(reason);
    return FALSE;
  }
  for (guint i = 0; i < *n_seen; i++)
    if (memcmp(&seen[i], &variant.formats, sizeof variant.formats) == 0)
      return TRUE;
  seen[(*n_seen)++] = variant.formats;
  check_formats(built, variant);
  return TRUE;
}

/* The plan says which reorder it wants in the step itself. */
static gboolean try_reorders(Built *built, const LcipKernel *kernel, LcipClDevice *device) {
  gboolean accepted = FALSE;
  for (guint from = 0; from < LCIP_N_FORMATS; from++)
    for (guint to = 0; to < LCIP_N_FORMATS; to++) {
      const char *reason = NULL;
      Variant variant = {.kernel = kernel, .device = device};
      built->inputs[0].format = (LcipFormat)from;
      built->outputs[0].format = (LcipFormat)to;
      variant.formats.inputs[0] = (LcipFormat)from;
      if (!lcip_kernel_supports(kernel, &built->step, &variant.formats, &reason)) {
        g_test_message("refused: %s to %s: %s", lcip_format_name((LcipFormat)from),
                       lcip_format_name((LcipFormat)to), reason);
        continue;
      }
      accepted = TRUE;
      check_formats(built, variant);
    }
  return accepted;
}

static gboolean run_case(const KernelCase *source, guint seed, const LcipKernel *kernel,
                         LcipClDevice *device) {
  LcipPortFormats seen[LCIP_N_FORMATS] = {0};
  guint n_seen = 0;
  gboolean accepted = FALSE;
  Built *built = built_new(source, seed);
  run_reference(built);
  if (g_str_equal(source->op, "lcip.Reorder"))
    accepted = try_reorders(built, kernel, device);
  else
    for (guint format = 0; format < LCIP_N_FORMATS; format++)
      accepted |= try_formats(built, kernel, device, (LcipFormat)format, seen, &n_seen);
  built_free(built);
  return accepted;
}

static GPtrArray *devices;

static void test_conformance(gconstpointer data) {
  const Conformance *conformance = data;
  const LcipKernel *kernel = conformance->kernel;
  LcipClDevice *device = NULL;
  guint n_accepted = 0, n_cases = 0;
  if ((kernel->needs & lcip_cpu_features()) != kernel->needs) {
    g_test_skip("this processor lacks what the kernel needs");
    return;
  }
  if (kernel->device == LCIP_DEVICE_OPENCL) {
    if (devices->len == 0) {
      g_test_skip("no OpenCL device");
      return;
    }
    device = g_ptr_array_index(devices, 0);
  }
  n_swept = 0;
  for (guint i = 0; i < G_N_ELEMENTS(kernel_cases); i++) {
    if (!g_str_equal(kernel_cases[i].op, conformance->op))
      continue;
    n_cases++;
    n_accepted += run_case(&kernel_cases[i], SEED + i, kernel, device);
  }
  for (guint i = 0; kernel->sweep && i < G_N_ELEMENTS(sweep_cases); i++)
    if (g_str_equal(sweep_cases[i].op, conformance->op))
      run_case(&sweep_cases[i], SEED, kernel, device);
  g_test_message("%u of %u cases accepted, seed %u", n_accepted, n_cases, SEED);
  g_assert_cmpuint(n_accepted, >, 0);
  /* Of kernels that sweep, some case must have been swept. */
  g_assert_true(!kernel->sweep || n_swept > 0);
}

static gboolean has_case(const char *op) {
  for (guint i = 0; i < G_N_ELEMENTS(kernel_cases); i++)
    if (g_str_equal(kernel_cases[i].op, op))
      return TRUE;
  return FALSE;
}

static void add_conformance_tests(void) {
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  for (guint k = 0; k < n; k++)
    for (const char *const *op = table[k]->operators; *op; op++) {
      /* Vision actors have tests of their own: their inputs are pictures and parameters. */
      if (g_str_has_prefix(*op, "lcip.") && !has_case(*op))
        continue;
      /* What data-dependent outputs hold, and how many, test-onnx-suite.c checks. */
      const LcipOperator *definition = find_operator(*op);
      if (definition->flags & LCIP_OP_DYNAMIC)
        continue;
      Conformance *conformance = g_new(Conformance, 1);
      *conformance = (Conformance){table[k], *op};
      g_autofree char *path = g_strdup_printf("/conformance/%s/%s", *op, table[k]->name);
      g_test_add_data_func_full(path, conformance, test_conformance, g_free);
    }
}
/* ---- Winograd against double precision ---- */

#define PRECISION_SAMPLES 4000

/* Output @index of a convolution with as much padding as keeps sizes, in double precision. */
static double exact_conv(const Built *built, gsize index) {
  const gint64 *in = built->inputs[0].shape.dims, *out = built->outputs[0].shape.dims;
  const gint64 kh = built->inputs[1].shape.dims[2], kw = built->inputs[1].shape.dims[3];
  const float *x = lcip_tensor_get_data(built->values[0]);
  const float *w = lcip_tensor_get_data(built->values[1]);
  const gint64 ox = (gint64)index % out[3], oy = (gint64)index / out[3] % out[2];
  const gint64 oc = (gint64)index / (out[2] * out[3]);
  double sum = 0;
  for (gint64 c = 0; c < in[1]; c++)
    for (gint64 k = 0; k < kh * kw; k++) {
      const gint64 iy = oy + k / kw - kh / 2, ix = ox + k % kw - kw / 2;
      if (iy >= 0 && iy < in[2] && ix >= 0 && ix < in[3])
        sum += (double)x[(c * in[2] + iy) * in[3] + ix] * (double)w[(oc * in[1] + c) * kh * kw + k];
    }
  return sum;
}

/* Largest error of @kernel over the root mean square of the results. */
static double relative_error(const Built *built, const LcipKernel *kernel) {
  g_autoptr(GRand) rand = g_rand_new_with_seed(SEED);
  LcipTensor *result = NULL;
  Variant variant = {.kernel = kernel, .threads = 1};
  lcip_kernel_supports(kernel, &built->step, &variant.formats, NULL);
  run_variant(built, &variant, &result);
  const float *found = lcip_tensor_get_data(result);
  const gint32 n = (gint32)lcip_shape_count(&built->outputs[0].shape);
  double worst = 0, squares = 0;
  for (guint i = 0; i < PRECISION_SAMPLES; i++) {
    const gsize index = (gsize)g_rand_int_range(rand, 0, n);
    const double expected = exact_conv(built, index);
    squares += expected * expected;
    worst = MAX(worst, fabs(expected - (double)found[index]));
  }
  lcip_tensor_unref(result);
  return worst / sqrt(squares / PRECISION_SAMPLES);
}

/* Winograd's sums cancel: the more products a tile has, the more bits are lost. Names without the
 * instruction set. */
static const struct {
  const char *name;
  double bound;
} winograd_kernels[] = {
    {"conv-winograd2-blocked-", 8e-6},     {"conv-winograd4-blocked-", 8e-5},
    {"conv-winograd5-blocked-", 8e-5},     {"conv-winograd6-blocked-", 2e-4},
    {"conv-winograd7-blocked-", 6e-4},     {"conv-winograd7x5-blocked-", 2e-4},
    {"conv-winograd8-blocked-", 9e-4},     {"conv-winograd6-5x5-blocked-", 6e-4},
    {"conv-winograd7-4x4-blocked-", 5e-4}, {"conv-winograd4-1x3-blocked-", 2e-5},
    {"conv-winograd4-3x1-blocked-", 2e-5}, {"conv-winograd4-1x7-blocked-", 2e-4},
    {"conv-winograd4-7x1-blocked-", 2e-4}};

static guint winograd_kernel(const LcipKernel *kernel) {
  for (guint i = 0; i < G_N_ELEMENTS(winograd_kernels); i++)
    if (g_str_has_prefix(kernel->name, winograd_kernels[i].name))
      return i;
  g_error("%s: no bound for its error", kernel->name);
}

static void check_precision(const KernelCase *source, const LcipKernel *kernel, guint *seen) {
  Built *built = built_new(source, SEED);
  LcipPortFormats formats = {0};
  if (!lcip_kernel_supports(kernel, &built->step, &formats, NULL)) {
    built_free(built);
    return;
  }
  const guint i = winograd_kernel(kernel);
  const double error = relative_error(built, kernel);
  g_test_message("%s on %s: error %.2g of the root mean square", kernel->name, source->inputs,
                 error);
  g_assert_cmpfloat(error, >, 0);
  g_assert_cmpfloat(error, <, winograd_kernels[i].bound);
  *seen |= 1u << i;
  built_free(built);
}

static void test_winograd_precision(void) {
  static const KernelCase cases[] = {{"Conv", "f:1x512x7x7 c:64x512x3x3", "pads=1 1 1 1"},
                                     {"Conv", "f:1x512x4x4 c:64x512x3x3", "pads=1 1 1 1"},
                                     {"Conv", "f:1x128x16x16 c:64x128x3x3", "pads=1 1 1 1"},
                                     {"Conv", "f:1x128x60x60 c:64x128x3x3", "pads=1 1 1 1"},
                                     /* large enough to be computed in stages */
                                     {"Conv", "f:1x256x27x28 c:160x256x3x3", "pads=1 1 1 1"},
                                     /* and for what is transformed to go past the caches */
                                     {"Conv", "f:1x256x40x39 c:160x256x3x3", "pads=1 1 1 1"},
                                     {"Conv", "f:1x64x27x27 c:192x64x5x5", "pads=2 2 2 2"},
                                     {"Conv", "f:1x256x9x10 c:192x256x5x5", "pads=2 2 2 2"},
                                     {"Conv", "f:1x128x16x15 c:64x128x4x4", "pads=2 2 1 1"},
                                     {"Conv", "f:1x192x17x17 c:192x192x1x7", "pads=0 3 0 3"},
                                     {"Conv", "f:1x192x17x17 c:192x192x7x1", "pads=3 0 3 0"},
                                     {"Conv", "f:1x384x8x8 c:128x384x1x3", "pads=0 1 0 1"},
                                     {"Conv", "f:1x384x8x8 c:128x384x3x1", "pads=1 0 1 0"}};
  guint n, seen = 0;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
    for (guint k = 0; k < n; k++)
      if (table[k]->numerics == LCIP_NUMERICS_WINOGRAD &&
          (table[k]->needs & lcip_cpu_features()) == table[k]->needs)
        check_precision(&cases[i], table[k], &seen);
  g_assert_cmpuint(seen, ==, (1u << G_N_ELEMENTS(winograd_kernels)) - 1);
}
/* ---- Tanh near 0 against double precision: the conformance test bounds the error absolutely ----
 */

/* Steps of both signs from 1e-6 to 4. */
static void fill_steps(LcipTensor *tensor) {
  float *values = lcip_tensor_get_mutable(tensor);
  const gint64 n = lcip_shape_count(lcip_tensor_get_shape(tensor));
  for (gint64 i = 0; i < n; i++)
    values[i] = (i % 2 ? -1 : 1) * 1e-6f * powf(4e6f, (float)i / (float)(n - 1));
}

static gboolean check_tanh(const LcipKernel *kernel) {
  static const KernelCase source = {"Tanh", "f:1x32x16x16", ""};
  Built *built = built_new(&source, SEED);
  Variant variant = {.kernel = kernel, .threads = 1};
  const gboolean takes = lcip_kernel_supports(kernel, &built->step, &variant.formats, NULL);
  double worst = 0;
  fill_steps(built->values[0]);
  LcipTensor *result = NULL;
  if (takes)
    run_variant(built, &variant, &result);
  for (gint64 i = 0; takes && i < lcip_shape_count(&built->outputs[0].shape); i++) {
    const double exact = tanh((double)((const float *)lcip_tensor_get_data(built->values[0]))[i]);
    const double found = (double)((const float *)lcip_tensor_get_data(result))[i];
    worst = MAX(worst, fabs(found - exact) / fabs(exact));
  }
  if (takes)
    g_test_message("%s: largest relative error %.2g", kernel->name, worst);
  g_assert_cmpfloat(worst, <, 1e-6);
  g_clear_pointer(&result, lcip_tensor_unref);
  built_free(built);
  return takes;
}

static void test_tanh_precision(void) {
  guint n, seen = 0;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  for (guint k = 0; k < n; k++)
    if (table[k]->run && (table[k]->needs & lcip_cpu_features()) == table[k]->needs)
      seen += check_tanh(table[k]);
  g_assert_cmpuint(seen, >=, 2); /* the reference, and one in blocks */
}

int main(int argc, char **argv) {
  g_autofree char *why = NULL;
  g_test_init(&argc, &argv, NULL);
  devices = lcip_cl_list_devices(&why);
  g_test_add_func("/precision/winograd", test_winograd_precision);
  g_test_add_func("/precision/tanh", test_tanh_precision);
  add_infer_tests();
  add_golden_tests();
  add_conformance_tests();
  const int result = g_test_run();
  return result;
}
