#include "config.h"

#include "lcip-error.h"
#include "lcip-onednn.h"
#include "lcip-window.h"

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>

enum { SRC, WEIGHTS, BIAS, DST, N_MEMORIES };

static const int arguments[N_MEMORIES] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS,
                                          DNNL_ARG_DST};

struct _LcipOnednn {
  /* owned */
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  dnnl_primitive_desc_t desc;
  dnnl_primitive_t conv;
  dnnl_memory_t memories[N_MEMORIES];
  /* dense forms of the memories; NULL data: the step has no bias */
  dnnl_memory_desc_t dense[N_MEMORIES];
  gboolean has_bias;
};

static gboolean check(dnnl_status_t status, const char *what, GError **error) {
  if (status != dnnl_success)
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_DEVICE, "oneDNN: %s gave status %d", what,
                (int)status);
  return status == dnnl_success;
}

/* oneDNN takes its threads from OpenMP, whichever library of OpenMP it was linked with. */
static void set_threads(int n) {
  void (*set)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "omp_set_num_threads");
  if (set)
    set(n);
}

static void dims_of(const LcipShape *shape, gint64 groups, dnnl_dims_t dims) {
  const int extra = groups > 1 ? 1 : 0;
  if (extra)
    dims[0] = groups;
  for (int i = 0; i < shape->rank; i++)
    dims[i + extra] = i == 0 && extra ? shape->dims[0] / groups : shape->dims[i];
}

static gboolean dense_desc(dnnl_memory_desc_t *desc, const LcipShape *shape, gint64 groups,
                           GError **error) {
  static const dnnl_format_tag_t tags[] = {[1] = dnnl_a, [4] = dnnl_abcd, [5] = dnnl_abcde};
  dnnl_dims_t dims;
  const int rank = shape->rank + (groups > 1 ? 1 : 0);
  dims_of(shape, groups, dims);
  return check(dnnl_memory_desc_init_by_tag(desc, rank, dims, dnnl_f32, tags[rank]), "a shape",
               error);
}

static gboolean dense_descs(LcipOnednn *self, const LcipStep *step, GError **error) {
  const gint64 groups = lcip_attrs_get_int(step->attrs, "group");
  self->has_bias = step->n_anchor_inputs > 2 && lcip_step_has_input(step, 2);
  return dense_desc(&self->dense[SRC], &step->inputs[0].shape, 1, error) &&
         dense_desc(&self->dense[WEIGHTS], &step->inputs[1].shape, groups, error) &&
         dense_desc(&self->dense[DST], &step->outputs[0].shape, 1, error) &&
         (!self->has_bias || dense_desc(&self->dense[BIAS], &step->inputs[2].shape, 1, error));
}

/* The layout is oneDNN's choice, except that of a picture, which comes dense. */
static dnnl_memory_desc_t wanted(const LcipOnednn *self, int which) {
  dnnl_memory_desc_t desc = self->dense[which];
  if (which != BIAS && !(which == SRC && desc.dims[1] <= 4))
    dnnl_memory_desc_init_by_tag(&desc, desc.ndims, self->dense[which].dims, dnnl_f32,
                                 dnnl_format_tag_any);
  return desc;
}

static gboolean conv_desc(const LcipOnednn *self, const LcipStep *step,
                          dnnl_convolution_desc_t *conv, GError **error) {
  LcipWindow window;
  dnnl_dims_t strides, dilates, begin, end;
  if (!lcip_window_init(&window, LCIP_WINDOW_CONV, step, &step->inputs[0].shape,
                        &step->inputs[1].shape, error))
    return FALSE;
  for (int i = 0; i < 2; i++) {
    strides[i] = window.stride[i + 1];
    dilates[i] = window.dilation[i + 1] - 1;
    begin[i] = window.pad_begin[i + 1];
    end[i] = window.pad_end[i + 1];
  }
  const dnnl_memory_desc_t src = wanted(self, SRC), weights = wanted(self, WEIGHTS);
  const dnnl_memory_desc_t bias = wanted(self, BIAS), dst = wanted(self, DST);
  return check(dnnl_dilated_convolution_forward_desc_init(
                   conv, dnnl_forward_inference, dnnl_convolution_direct, &src, &weights,
                   self->has_bias ? &bias : NULL, &dst, strides, dilates, begin, end),
               "a convolution", error);
}

static gboolean post_ops(const LcipStep *step, dnnl_primitive_attr_t attr, GError **error) {
  dnnl_post_ops_t ops;
  dnnl_status_t status = dnnl_post_ops_create(&ops);
  for (guint i = 0; i < step->n_epilogues && status == dnnl_success; i++)
    status = g_str_equal(step->epilogues[i].op->name, "Add")
                 ? dnnl_post_ops_append_sum(ops, 1.0f)
                 : dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
  if (status == dnnl_success)
    status = dnnl_primitive_attr_set_post_ops(attr, ops);
  dnnl_post_ops_destroy(ops);
  return check(status, "epilogues", error);
}

static gboolean create_primitive(LcipOnednn *self, const LcipStep *step, GError **error) {
  dnnl_convolution_desc_t conv;
  dnnl_primitive_attr_t attr;
  if (!conv_desc(self, step, &conv, error) ||
      !check(dnnl_primitive_attr_create(&attr), "attributes", error))
    return FALSE;
  const gboolean made =
      post_ops(step, attr, error) &&
      check(dnnl_primitive_desc_create(&self->desc, &conv, attr, self->engine, NULL),
            "choosing an implementation", error) &&
      check(dnnl_primitive_create(&self->conv, self->desc), "compiling", error);
  dnnl_primitive_attr_destroy(attr);
  return made;
}

static gboolean create_memories(LcipOnednn *self, GError **error) {
  static const dnnl_query_t queries[] = {dnnl_query_src_md, dnnl_query_weights_md,
                                         dnnl_query_weights_md, dnnl_query_dst_md};
  for (int i = 0; i < N_MEMORIES; i++) {
    if (i == BIAS && !self->has_bias)
      continue;
    const dnnl_memory_desc_t *desc =
        dnnl_primitive_desc_query_md(self->desc, queries[i], i == BIAS ? 1 : 0);
    if (!check(dnnl_memory_create(&self->memories[i], desc, self->engine, DNNL_MEMORY_ALLOCATE),
               "memory", error))
      return FALSE;
  }
  return TRUE;
}

static gboolean execute(LcipOnednn *self, dnnl_primitive_t primitive, int n,
                        const dnnl_exec_arg_t *args, GError **error) {
  return check(dnnl_primitive_execute(primitive, self->stream, n, args), "running", error) &&
         check(dnnl_stream_wait(self->stream), "waiting", error);
}

static gboolean reorder(LcipOnednn *self, dnnl_memory_t from, dnnl_memory_t to, GError **error) {
  const dnnl_memory_desc_t *from_desc, *to_desc;
  dnnl_primitive_desc_t desc;
  dnnl_primitive_t primitive;
  dnnl_memory_get_memory_desc(from, &from_desc);
  dnnl_memory_get_memory_desc(to, &to_desc);
  if (!check(dnnl_reorder_primitive_desc_create(&desc, from_desc, self->engine, to_desc,
                                                self->engine, NULL),
             "a reorder", error))
    return FALSE;
  gboolean done = check(dnnl_primitive_create(&primitive, desc), "a reorder", error);
  dnnl_primitive_desc_destroy(desc);
  if (!done)
    return FALSE;
  const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
  done = execute(self, primitive, 2, args, error);
  dnnl_primitive_destroy(primitive);
  return done;
}

/* Between memory @which and dense values at @data, which a load leaves alone. */
static gboolean move(LcipOnednn *self, int which, float *data, gboolean load, GError **error) {
  dnnl_memory_t dense;
  if (!check(dnnl_memory_create(&dense, &self->dense[which], self->engine, data), "memory", error))
    return FALSE;
  const gboolean done = load ? reorder(self, dense, self->memories[which], error)
                             : reorder(self, self->memories[which], dense, error);
  dnnl_memory_destroy(dense);
  return done;
}

static gboolean load_constant(LcipOnednn *self, int which, const LcipStep *step, GError **error) {
  return move(self, which, (float *)lcip_tensor_get_data(step->constants[which]), TRUE, error);
}

LcipOnednn *lcip_onednn_new(const LcipStep *step, int n_threads, GError **error) {
  g_autoptr(LcipOnednn) self = g_new0(LcipOnednn, 1);
  set_threads(n_threads);
  if (!check(dnnl_engine_create(&self->engine, dnnl_cpu, 0), "an engine", error) ||
      !check(dnnl_stream_create(&self->stream, self->engine, dnnl_stream_default_flags), "a stream",
             error) ||
      !dense_descs(self, step, error) || !create_primitive(self, step, error) ||
      !create_memories(self, error) || !load_constant(self, WEIGHTS, step, error) ||
      (self->has_bias && !load_constant(self, BIAS, step, error)))
    return NULL;
  return g_steal_pointer(&self);
}

void lcip_onednn_free(LcipOnednn *self) {
  for (int i = 0; i < N_MEMORIES; i++)
    if (self->memories[i])
      dnnl_memory_destroy(self->memories[i]);
  if (self->conv)
    dnnl_primitive_destroy(self->conv);
  if (self->desc)
    dnnl_primitive_desc_destroy(self->desc);
  if (self->stream)
    dnnl_stream_destroy(self->stream);
  if (self->engine)
    dnnl_engine_destroy(self->engine);
  g_free(self);
}

const char *lcip_onednn_name(const LcipOnednn *self) {
  const char *name = "?";
  dnnl_primitive_desc_query(self->desc, dnnl_query_impl_info_str, 0, &name);
  return name;
}

gboolean lcip_onednn_load(LcipOnednn *self, const float *x, const float *side, GError **error) {
  return move(self, SRC, (float *)x, TRUE, error) &&
         (!side || move(self, DST, (float *)side, TRUE, error));
}

gboolean lcip_onednn_run(LcipOnednn *self, GError **error) {
  dnnl_exec_arg_t args[N_MEMORIES];
  int n = 0;
  for (int i = 0; i < N_MEMORIES; i++)
    if (self->memories[i])
      args[n++] = (dnnl_exec_arg_t){arguments[i], self->memories[i]};
  return execute(self, self->conv, n, args, error);
}

gboolean lcip_onednn_store(LcipOnednn *self, float *out, GError **error) {
  return move(self, DST, out, FALSE, error);
}
