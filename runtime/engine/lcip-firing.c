#include "config.h"
#include "lcip-instance-private.h"

#define TENSOR(plan, i) (&g_array_index((plan)->tensors, LcipPlanTensor, (i)))

void lcip_step_prefix(const LcipPlan *plan, const LcipPlanStep *step, GError **error) {
  const LcipGraph *graph = plan->graph;
  const char *title = step->title ? step->title : "a step";
  if (!graph || step->n_actors == 0 || step->actors[0] >= (int)graph->actors->len) {
    g_prefix_error(error, "%s: ", title);
    return;
  }
  const LcipActor *actor = g_ptr_array_index(graph->actors, step->actors[0]);
  g_prefix_error(error, "actor %s (%s): ", actor->id, title);
}

/* ---- views of this firing ---- */

static LcipToken *token_of(LcipWorker *worker, int tensor) {
  const int root = lcip_plan_root(worker->instance->plan, tensor);
  if (worker->in_tokens[tensor])
    return worker->in_tokens[tensor];
  return worker->out_tokens[root] ? worker->out_tokens[root] : worker->root_tokens[root];
}

static gboolean is_token(LcipWorker *worker, int tensor) {
  const LcipPlan *plan = worker->instance->plan;
  return TENSOR(plan, lcip_plan_root(plan, tensor))->store == LCIP_STORE_TOKEN;
}

/* @view with the sizes of @actual, where the planned shapes @root and @view differ only in where
 * axes of size 1 stand. */
static gboolean carry_sizes(const LcipShape *root, const LcipShape *view, const LcipShape *actual,
                            LcipShape *shape) {
  int at = 0;
  *shape = *view;
  for (int i = 0; i < root->rank; i++) {
    if (root->dims[i] == 1)
      continue;
    while (at < view->rank && view->dims[at] == 1)
      at++;
    if (at == view->rank || view->dims[at] != root->dims[i])
      return FALSE;
    shape->dims[at++] = actual->dims[i];
  }
  return lcip_shape_count(shape) == lcip_shape_count(actual);
}

/* Nothing fires for a view, so its actual shape follows from its root's: the planned one, or the
 * same sizes where the shapes differ only in axes of size 1. Another reshape of a tensor whose size
 * depends on the data has none. */
gboolean lcip_view_shape(const LcipPlan *plan, int view, int root, const LcipShape *actual,
                         LcipShape *shape, GError **error) {
  const LcipShape *planned = &TENSOR(plan, root)->spec.shape;
  const LcipShape *view_planned = &TENSOR(plan, view)->spec.shape;
  *shape = *view_planned;
  if (lcip_shape_equal(actual, planned) || carry_sizes(planned, view_planned, actual, shape))
    return TRUE;
  g_autofree char *expected = lcip_shape_to_string(planned);
  g_autofree char *found = lcip_shape_to_string(actual);
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
              "a reshaped input: expected %s before the reshape, found %s in this frame", expected,
              found);
  return FALSE;
}

static gboolean settle_view(LcipWorker *worker, int tensor, GError **error) {
  const LcipPlan *plan = worker->instance->plan;
  const int root = TENSOR(plan, tensor)->root;
  return lcip_view_shape(plan, tensor, root, &worker->shapes[root], &worker->shapes[tensor], error);
}

/* A tensor that comes in by a channel is read from there, even where the same firing writes the
 * next one of it (a delayed edge back to its own segment). */
gboolean lcip_firing_place_inputs(LcipWorker *worker, LcipInstanceStep *step, GError **error) {
  for (guint i = 0; i < step->work->step.n_inputs; i++) {
    const int tensor = step->work->inputs[i];
    if (tensor < 0)
      continue;
    if (worker->is_view[tensor] && !worker->in_tokens[tensor] &&
        !settle_view(worker, tensor, error))
      return FALSE;
    step->inputs[i].shape = worker->shapes[tensor];
    if (is_token(worker, tensor))
      step->inputs[i].data = token_of(worker, tensor)->data;
  }
  return TRUE;
}

static void place_outputs(LcipWorker *worker, LcipInstanceStep *step) {
  const LcipPlan *plan = worker->instance->plan;
  for (guint i = 0; i < step->work->step.n_outputs; i++) {
    const int tensor = step->work->outputs[i];
    if (tensor < 0)
      continue;
    step->outputs[i].shape = TENSOR(plan, tensor)->spec.shape;
    if (!is_token(worker, tensor))
      continue;
    LcipToken *token = worker->out_tokens[lcip_plan_root(plan, tensor)];
    step->outputs[i].data = token ? token->data : token_of(worker, tensor)->data;
  }
}

/* ---- actual shapes ---- */

static gboolean inputs_are_reduced(const LcipInstanceStep *step) {
  for (guint i = 0; i < step->work->step.n_inputs; i++)
    if (step->work->inputs[i] >= 0 &&
        !lcip_shape_equal(&step->inputs[i].shape, &step->inputs[i].spec.shape))
      return TRUE;
  return FALSE;
}

static gboolean shape_fits(const LcipShape *shape, const LcipShape *planned) {
  if (shape->rank != planned->rank)
    return FALSE;
  for (int i = 0; i < shape->rank; i++)
    if (shape->dims[i] < 0 || shape->dims[i] > planned->dims[i])
      return FALSE;
  return TRUE;
}

static gboolean check_output(const LcipTensorView *view, guint i, GError **error) {
  if (shape_fits(&view->shape, &view->spec.shape))
    return TRUE;
  g_autofree char *found = lcip_shape_to_string(&view->shape);
  g_autofree char *planned = lcip_shape_to_string(&view->spec.shape);
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID,
              "output %u: expected at most %s as planned, found %s", i, planned, found);
  return FALSE;
}

static gboolean expect_output_shape(const LcipInstanceStep *step, guint i, GError **error) {
  if (lcip_shape_equal(&step->inputs[i].shape, &step->outputs[0].shape))
    return TRUE;
  g_autofree char *found = lcip_shape_to_string(&step->inputs[i].shape);
  g_autofree char *output = lcip_shape_to_string(&step->outputs[0].shape);
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
              "input %u: expected the output's shape %s as planned, found %s in this frame", i,
              output, found);
  return FALSE;
}

/* Parts of a Concat's output lie there as long as they have their planned sizes: otherwise the
 * others would begin elsewhere. */
static void place_joined(LcipWorker *worker, int tensor, LcipTensorView *view) {
  const LcipPlanTensor *t = TENSOR(worker->instance->plan, tensor);
  if (!t->spare_offset_bytes)
    return;
  const gboolean whole = lcip_shape_equal(&view->shape, &t->spec.shape);
  view->data =
      whole ? lcip_worker_address(worker, tensor) : lcip_worker_spare_address(worker, tensor);
}

static void place_all_joined(LcipWorker *worker, LcipInstanceStep *step) {
  const LcipPlanWork *work = step->work;
  for (guint i = 0; i < work->step.n_inputs; i++)
    if (work->inputs[i] >= 0)
      place_joined(worker, work->inputs[i], &step->inputs[i]);
  for (guint i = 0; i < work->step.n_outputs; i++)
    if (work->outputs[i] >= 0)
      place_joined(worker, work->outputs[i], &step->outputs[i]);
}

/* One part smaller than planned and another not: the latter lies where the output is written. */
static gboolean check_joined(const LcipPlan *plan, const LcipInstanceStep *step, GError **error) {
  const LcipPlanWork *work = step->work;
  for (guint i = 0; i < work->step.n_inputs; i++)
    if (TENSOR(plan, work->inputs[i])->joined &&
        lcip_shape_equal(&step->inputs[i].shape, &step->inputs[i].spec.shape)) {
      g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
                  "input %u: expected, as others, less than planned in this frame", i);
      return FALSE;
    }
  return TRUE;
}

/* A fused addition and a step in place have been planned for operands of equal shapes; what
 * broadcasts in this frame alone would be read beyond its end, or overwritten before it is read. */
static gboolean check_equal_shapes(const LcipPlan *plan, const LcipInstanceStep *step,
                                   GError **error) {
  const LcipPlanWork *work = step->work;
  if (lcip_step_is(&work->step, "Concat"))
    return check_joined(plan, step, error);
  for (guint e = 0; e < work->step.n_epilogues; e++) {
    const int side = work->step.epilogues[e].side_input;
    if (side >= 0 && !expect_output_shape(step, (guint)side, error))
      return FALSE;
  }
  for (guint i = 0; i < work->step.n_inputs && work->step.n_outputs == 1; i++)
    if (work->inputs[i] >= 0 && !TENSOR(plan, work->inputs[i])->joined &&
        lcip_plan_root(plan, work->inputs[i]) == lcip_plan_root(plan, work->outputs[0]) &&
        !expect_output_shape(step, i, error))
      return FALSE;
  return TRUE;
}

/* The operator's own inference on what this frame really holds. */
static gboolean infer_outputs(LcipInstanceStep *step, GError **error) {
  LcipStep actual = step->work->step;
  for (guint i = 0; i < actual.n_inputs; i++) {
    step->actual_inputs[i] = actual.inputs[i];
    if (step->work->inputs[i] >= 0)
      step->actual_inputs[i].shape = step->inputs[i].shape;
  }
  for (guint i = 0; i < actual.n_outputs; i++)
    step->actual_outputs[i] = actual.outputs[i];
  actual.n_inputs = actual.n_anchor_inputs;
  actual.inputs = step->actual_inputs;
  actual.outputs = step->actual_outputs;
  if (!actual.op->infer(&actual, error))
    return FALSE;
  for (guint i = 0; i < actual.n_outputs; i++) {
    step->outputs[i].shape = step->actual_outputs[i].shape;
    if (step->work->outputs[i] >= 0 && !check_output(&step->outputs[i], i, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean is_dynamic(const LcipInstanceStep *step) {
  const LcipOperator *op = step->work->step.op;
  return op && (op->flags & LCIP_OP_DYNAMIC);
}

/* Before the kernel runs. In the normal case everything is as planned. */
static gboolean settle_shapes(const LcipPlan *plan, LcipInstanceStep *step, GError **error) {
  if (is_dynamic(step) || !inputs_are_reduced(step))
    return TRUE;
  if (step->work->kind == LCIP_STEP_KERNEL)
    return infer_outputs(step, error) && check_equal_shapes(plan, step, error);
  step->outputs[0].shape = step->inputs[0].shape;
  return check_output(&step->outputs[0], 0, error);
}

/* After it has run, when kernels with data-dependent outputs have set theirs. */
static gboolean publish_shapes(LcipWorker *worker, LcipInstanceStep *step, GError **error) {
  for (guint i = 0; i < step->work->step.n_outputs; i++) {
    if (step->work->outputs[i] < 0)
      continue;
    if (is_dynamic(step) && !check_output(&step->outputs[i], i, error))
      return FALSE;
    worker->shapes[step->work->outputs[i]] = step->outputs[i].shape;
  }
  return TRUE;
}

/* ---- one step ---- */

static gsize actual_bytes(const LcipTensorView *view) {
  LcipTensorSpec spec = view->spec;
  gsize bytes = 0;
  spec.shape = view->shape;
  return lcip_tensor_spec_bytes(&spec, &bytes) ? bytes : 0;
}

static gboolean copy_step(LcipWorker *worker, LcipInstanceStep *step, GError **error) {
  const LcipTensorView *in = &step->inputs[0], *out = &step->outputs[0];
  const gsize bytes = actual_bytes(in);
  if (!worker->queue) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID, "a device copy on a CPU lane");
    return FALSE;
  }
  if (bytes == 0)
    return TRUE;
  if (step->work->kind == LCIP_STEP_UPLOAD)
    return lcip_cl_write(worker->queue, out->buffer, out->offset_bytes, bytes, in->data, error);
  return lcip_cl_read(worker->queue, in->buffer, in->offset_bytes, bytes, out->data, error);
}

/* ---- steps that the streams do together ---- */

static void expect_sweeps(LcipWorker *worker, LcipSegment *segment, guint first) {
  for (guint i = first; i < segment->n_steps; i++)
    if (segment->steps[i].sweep)
      lcip_sweep_expect(segment->steps[i].sweep, worker->instance->stream, worker->origin_ns);
}

static void forget_sweeps(LcipWorker *worker, LcipSegment *segment) {
  for (guint i = 0; i < segment->n_steps; i++)
    if (segment->steps[i].sweep)
      lcip_sweep_forget(segment->steps[i].sweep, worker->instance->stream);
}

/* A firing that waits is two firings to the recorder, with a wait between them. */
static void wait_for_streams(LcipWorker *worker, const LcipSegment *segment,
                             const LcipInstanceStep *step) {
  if (worker->instance->companions)
    return; /* companions are enough */
  const gint64 now_ns = lcip_now_ns();
  const gint64 until_ns = lcip_sweep_arrive(step->sweep, worker->instance->stream, now_ns);
  const LcipSpan firing = {.frame = step->call.frame, .step = segment->index};
  const LcipSpan wait = {.frame = step->call.frame, .step = -1};
  if (until_ns == 0)
    return;
  if (worker->recorder) {
    lcip_worker_record(worker, LCIP_SPAN_FIRING, now_ns, &firing);
    lcip_recorder_set_state(worker->recorder, LCIP_SPAN_WAIT, lcip_worker_frames_waiting(worker));
  }
  lcip_sweep_wait(step->sweep, worker->instance->stream, until_ns);
  if (worker->recorder) {
    lcip_worker_record(worker, LCIP_SPAN_WAIT, lcip_now_ns(), &wait);
    lcip_recorder_set_state(worker->recorder, LCIP_SPAN_FIRING, lcip_worker_frames_waiting(worker));
  }
}

static void set_state(LcipWorker *worker, LcipSpanKind state) {
  if (worker->recorder)
    lcip_recorder_set_state(worker->recorder, state, lcip_worker_frames_waiting(worker));
}

/* A step of a stream for which it may have to wait. */
typedef struct {
  LcipSweep *sweep;
  guint stream;
} Meeting;

static gboolean must_wait(gpointer data) {
  const Meeting *meeting = data;
  return lcip_sweep_must_wait(meeting->sweep, meeting->stream);
}

/* Has its turn until now, and from then on not until record_turn(): a firing that is interrupted is
 * two to the recorder. */
static void record_until_turn(LcipWorker *worker, const LcipSegment *segment, guint64 frame) {
  const LcipSpan firing = {.frame = frame, .step = segment->index};
  if (worker->recorder)
    lcip_worker_record(worker, LCIP_SPAN_FIRING, lcip_now_ns(), &firing);
  set_state(worker, LCIP_SPAN_TURN);
}

static void record_turn(LcipWorker *worker, guint64 frame) {
  const LcipSpan turn = {.frame = frame, .step = -1};
  if (worker->recorder)
    lcip_worker_record(worker, LCIP_SPAN_TURN, lcip_now_ns(), &turn);
  set_state(worker, LCIP_SPAN_FIRING);
}

static void take_turn(LcipWorker *worker, guint64 frame) {
  if (!worker->instance->companions)
    return;
  lcip_turn_take(worker->instance->companions->turn);
  record_turn(worker, frame);
}

static void give_turn(LcipWorker *worker, const LcipSegment *segment, guint64 frame) {
  if (!worker->instance->companions)
    return;
  record_until_turn(worker, segment, frame);
  lcip_turn_give(worker->instance->companions->turn);
}

static void pass_turn(LcipWorker *worker, const LcipSegment *segment, guint64 frame,
                      Meeting *meeting) {
  record_until_turn(worker, segment, frame);
  lcip_turn_pass(worker->instance->companions->turn, must_wait, meeting);
  record_turn(worker, frame);
}

static gboolean sweep_step(LcipWorker *worker, const LcipSegment *segment, LcipInstanceStep *step,
                           GError **error) {
  const guint stream = worker->instance->stream;
  Meeting meeting = {step->sweep, stream};
  if (!lcip_sweep_begin(step->sweep, stream, &step->call, worker->team, error))
    return FALSE;
  if (must_wait(&meeting))
    pass_turn(worker, segment, step->call.frame, &meeting);
  const gint64 began_ns = lcip_sweep_run(step->sweep, stream, worker->team, &worker->origin_ns);
  if (worker->instance->companions)
    worker->began_ns = began_ns;
  return TRUE;
}

/* A step without a kernel is a view: the bytes are there already. */
static gboolean kernel_step(LcipWorker *worker, const LcipSegment *segment, LcipInstanceStep *step,
                            GError **error) {
  const LcipKernel *kernel = step->info->kernel;
  if (!kernel)
    return TRUE;
  if (worker->queue && kernel->enqueue)
    return kernel->enqueue(&step->call, worker->queue, error);
  if (step->sweep)
    return sweep_step(worker, segment, step, error);
  if (!worker->queue && kernel->run)
    return kernel->run(&step->call, worker->team, error);
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "kernel %s is for another kind of lane",
              kernel->name);
  return FALSE;
}

static gboolean is_cancelled(const LcipWorker *worker, GError **error) {
  if (!g_cancellable_is_cancelled(worker->instance->warming))
    return FALSE;
  g_set_error(error, LCIP_ERROR, LCIP_ERROR_CANCELLED, "cancelled");
  return TRUE;
}

static gboolean do_step(LcipWorker *worker, const LcipSegment *segment, LcipInstanceStep *step,
                        GError **error) {
  if (is_cancelled(worker, error))
    return FALSE;
  if (!lcip_firing_place_inputs(worker, step, error))
    return FALSE;
  place_outputs(worker, step);
  if (!settle_shapes(worker->instance->plan, step, error))
    return FALSE;
  place_all_joined(worker, step);
  const gboolean is_kernel = step->work->kind == LCIP_STEP_KERNEL;
  return (is_kernel ? kernel_step(worker, segment, step, error) : copy_step(worker, step, error)) &&
         publish_shapes(worker, step, error);
}

/* ---- all steps of a segment ---- */

static LcipSpanKind step_span_kind(const LcipInstanceStep *step) {
  return step->work->kind == LCIP_STEP_KERNEL ? LCIP_SPAN_COMPUTE : LCIP_SPAN_COPY;
}

static void record_step(LcipWorker *worker, const LcipInstanceStep *step, gint64 queued_ns,
                        gint64 start_ns, gint64 end_ns) {
  lcip_recorder_add(worker->recorder, &(LcipSpan){.frame = step->call.frame,
                                                  .queued_ns = queued_ns,
                                                  .start_ns = start_ns,
                                                  .end_ns = end_ns,
                                                  .step = step->index,
                                                  .kind = step_span_kind(step)});
}

static gboolean run_steps(LcipWorker *worker, LcipSegment *segment, guint64 frame, GError **error) {
  gint64 queued_ns = worker->recorder ? lcip_now_ns() : 0;
  for (guint i = 0; i < segment->n_steps; i++) {
    LcipInstanceStep *step = &segment->steps[i];
    gint64 start_ns = queued_ns;
    step->call.frame = frame;
    if (step->sweep) {
      wait_for_streams(worker, segment, step);
      start_ns = lcip_now_ns();
    }
    if (!do_step(worker, segment, step, error)) {
      lcip_step_prefix(worker->instance->plan, step->info, error);
      return FALSE;
    }
    if (step->sweep) {
      start_ns = worker->instance->companions ? worker->began_ns : start_ns;
      expect_sweeps(worker, segment, i + 1);
    }
    if (!worker->recorder)
      continue;
    const gint64 end_ns = lcip_now_ns();
    record_step(worker, step, queued_ns, start_ns, end_ns);
    queued_ns = end_ns;
  }
  return TRUE;
}

static gboolean run_on_cpu(LcipWorker *worker, LcipSegment *segment, guint64 frame,
                           GError **error) {
  if (!segment->is_swept && !worker->instance->companions)
    return run_steps(worker, segment, frame, error);
  worker->origin_ns = lcip_now_ns();
  expect_sweeps(worker, segment, 0);
  take_turn(worker, frame);
  const gboolean ok = run_steps(worker, segment, frame, error);
  forget_sweeps(worker, segment);
  give_turn(worker, segment, frame);
  return ok;
}

static void record_device_times(LcipWorker *worker, LcipSegment *segment, guint64 frame) {
  for (guint i = 0; worker->recorder && i < segment->n_steps; i++) {
    const LcipClTimes *times = &worker->times[i];
    lcip_recorder_add(worker->recorder, &(LcipSpan){.frame = frame,
                                                    .queued_ns = times->queued_ns,
                                                    .start_ns = times->start_ns,
                                                    .end_ns = times->end_ns,
                                                    .step = segment->steps[i].index,
                                                    .kind = step_span_kind(&segment->steps[i])});
  }
}

static gboolean enqueue_steps(LcipWorker *worker, LcipSegment *segment, guint64 frame,
                              GError **error) {
  for (guint i = 0; i < segment->n_steps; i++) {
    LcipInstanceStep *step = &segment->steps[i];
    step->call.frame = frame;
    if (!do_step(worker, segment, step, error)) {
      lcip_step_prefix(worker->instance->plan, step->info, error);
      return FALSE;
    }
    lcip_cl_queue_mark(worker->queue);
  }
  return TRUE;
}

/* Even after an error the queue is emptied: it reads and writes tokens that are about to go. */
static gboolean run_on_device(LcipWorker *worker, LcipSegment *segment, guint64 frame,
                              GError **error) {
  if (!enqueue_steps(worker, segment, frame, error)) {
    lcip_cl_queue_finish(worker->queue, 0, NULL, NULL);
    return FALSE;
  }
  LcipClTimes *times = worker->recorder ? worker->times : NULL;
  if (!lcip_cl_queue_finish(worker->queue, times ? segment->n_steps : 0, times, error)) {
    lcip_step_prefix(worker->instance->plan, segment->steps[0].info, error);
    return FALSE;
  }
  record_device_times(worker, segment, frame);
  return TRUE;
}

gboolean lcip_firing_run(LcipWorker *worker, LcipSegment *segment, guint64 frame, GError **error) {
  return worker->queue ? run_on_device(worker, segment, frame, error)
                       : run_on_cpu(worker, segment, frame, error);
}
