#include "config.h"

#include "lcip-conv-case.h"
#include "lcip-onednn.h"

#include <math.h>

/* Every convolution kernel for the CPU against oneDNN on the convolutions of whole networks, which
 * are too large for the reference kernel. */

#define SEED 20260202u
/* Larger ones differ in their number of pixels alone. */
#define MAX_FLOPS 4e8

typedef struct {
  const ConvShape *shape;
  const ConvCase *c;
  LcipTensor *x, *side; /* dense */
  LcipTensor *expected;
} Oracle;

/* @from in format @format, by the reference kernel. */
static LcipTensor *reordered(LcipTensor *from, LcipFormat format) {
  const LcipKernel *kernel = lcip_kernel_find("reorder-ref");
  g_autoptr(LcipTeam) team = lcip_team_new(1);
  g_autoptr(GError) error = NULL;
  LcipTensorSpec in = *lcip_tensor_get_spec(from), out = in;
  out.format = format;
  LcipTensor *to = lcip_tensor_new(&out);
  LcipTensorView views[2] = {lcip_tensor_view(from), lcip_tensor_view(to)};
  const LcipStep step = {.op = lcip_reorder_operator(),
                         .n_inputs = 1,
                         .n_anchor_inputs = 1,
                         .inputs = &in,
                         .n_outputs = 1,
                         .outputs = &out};
  const LcipCall call = {.step = &step, .inputs = &views[0], .outputs = &views[1]};
  kernel->run(&call, team, &error);
  g_assert_no_error(error);
  return to;
}

static LcipTensor *run_kernel(const Oracle *o, const LcipKernel *kernel, LcipPortFormats *formats,
                              LcipTeam *team) {
  const LcipStep *step = &o->c->step;
  g_autoptr(LcipBlob) prepared = NULL;
  g_autoptr(GError) error = NULL;
  if (kernel->prepare)
    kernel->prepare(step, formats, &prepared, &error);
  g_assert_no_error(error);
  const gsize bytes =
      kernel->scratch_bytes ? kernel->scratch_bytes(step, formats, lcip_team_size(team)) : 0;
  g_autoptr(LcipBlob) scratch = lcip_blob_new(bytes);
  LcipTensor *dense[CONV_N_INPUTS] = {o->x, o->c->constants[CONV_W], o->c->constants[CONV_B],
                                      o->side};
  LcipTensor *tensors[CONV_N_INPUTS];
  LcipTensorView inputs[CONV_N_INPUTS];
  for (guint i = 0; i < step->n_inputs; i++) {
    tensors[i] = formats->inputs[i] == LCIP_FORMAT_DENSE ? lcip_tensor_ref(dense[i])
                                                         : reordered(dense[i], formats->inputs[i]);
    inputs[i] = lcip_tensor_view(tensors[i]);
  }
  LcipTensorSpec spec = o->c->out;
  spec.format = formats->outputs[0];
  g_autoptr(LcipTensor) out = lcip_tensor_new(&spec);
  LcipTensorView output = lcip_tensor_view(out);
  const LcipCall call = {.step = step,
                         .prepared = prepared,
                         .inputs = inputs,
                         .outputs = &output,
                         .scratch = lcip_blob_data(scratch)};
  kernel->run(&call, team, &error);
  g_assert_no_error(error);
  for (guint i = 0; i < step->n_inputs; i++)
    lcip_tensor_unref(tensors[i]);
  return spec.format == LCIP_FORMAT_DENSE ? g_steal_pointer(&out)
                                          : reordered(out, LCIP_FORMAT_DENSE);
}

/* Sums of n products of values in [-1, 1) have a deviation of sqrt(n) / 3: errors are relative to
 * that, as the results themselves can be near 0. */
static void compare(const Oracle *o, const char *name, LcipTensor *found, float tolerance) {
  const float *a = lcip_tensor_get_data(found), *b = lcip_tensor_get_data(o->expected);
  const ConvShape *s = o->shape;
  const double scale = MAX(1.0, sqrt((double)(s->c / s->group * s->kh * s->kw)) / 3);
  for (gsize i = 0; i < lcip_tensor_get_bytes(found) / sizeof(float); i++)
    if (!(fabs((double)a[i] - (double)b[i]) <= (double)tolerance * scale))
      g_error("%s: element %" G_GSIZE_FORMAT ": expected %g, found %g (tolerance %g)", name, i,
              (double)b[i], (double)a[i], (double)tolerance * scale);
}

static LcipFormat liked_format(const LcipKernel *kernel) {
  if (!g_str_equal(kernel->family, "blocked"))
    return LCIP_FORMAT_DENSE;
  return (kernel->needs & LCIP_CPU_AVX512) ? LCIP_FORMAT_NCHW16C : LCIP_FORMAT_NCHW8C;
}

static void check_kernel(const Oracle *o, const LcipKernel *kernel) {
  g_autoptr(LcipTeam) team = lcip_team_new(2);
  LcipPortFormats formats = {0};
  if (o->shape->c > 4)
    formats.inputs[CONV_X] = liked_format(kernel);
  const char *reason = NULL;
  if (!lcip_kernel_supports(kernel, &o->c->step, &formats, &reason)) {
    g_test_message("%s: %s", kernel->name, reason ? reason : "it needs another processor");
    return;
  }
  g_autoptr(LcipTensor) found = run_kernel(o, kernel, &formats, team);
  compare(o, kernel->name, found, kernel->tolerance);
}

static void oracle_init(Oracle *o, const ConvShape *shape, const ConvCase *c, GRand *rand) {
  g_autoptr(GError) error = NULL;
  *o = (Oracle){.shape = shape, .c = c, .x = conv_random_tensor(&c->specs[CONV_X], rand)};
  if (shape->add)
    o->side = conv_random_tensor(&c->specs[CONV_SIDE], rand);
  o->expected = lcip_tensor_new(&c->out);
  g_autoptr(LcipOnednn) onednn = lcip_onednn_new(&c->step, 2, &error);
  g_assert_no_error(error);
  lcip_onednn_load(onednn, lcip_tensor_get_data(o->x),
                   o->side ? lcip_tensor_get_data(o->side) : NULL, &error);
  g_assert_no_error(error);
  lcip_onednn_run(onednn, &error);
  g_assert_no_error(error);
  lcip_onednn_store(onednn, lcip_tensor_get_mutable(o->expected), &error);
  g_assert_no_error(error);
}

static void oracle_clear(Oracle *o) {
  lcip_tensor_unref(o->x);
  g_clear_pointer(&o->side, lcip_tensor_unref);
  lcip_tensor_unref(o->expected);
}

static void test_shape(gconstpointer data) {
  const ConvShape *shape = data;
  g_autoptr(GRand) rand = g_rand_new_with_seed(SEED);
  g_autoptr(ConvCase) c = conv_case_new(shape, rand);
  Oracle o;
  oracle_init(&o, shape, c, rand);
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  for (guint k = 0; k < n; k++)
    if (table[k]->device == LCIP_DEVICE_CPU && !g_str_equal(table[k]->family, "reference"))
      check_kernel(&o, table[k]);
  oracle_clear(&o);
}

static gboolean is_small(const ConvShape *s) {
  return 2.0 * s->c / s->group * s->oc * s->kh * s->kw * s->size * s->size <=
         MAX_FLOPS * s->stride * s->stride;
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS(conv_shapes); i++) {
    const ConvShape *s = &conv_shapes[i];
    if (!is_small(s))
      continue;
    g_autofree char *path =
        g_strdup_printf("/onednn/%s/%dx%d-%d-k%dx%d-s%d-g%d%s", s->network, s->c, s->size, s->oc,
                        s->kh, s->kw, s->stride, s->group, s->add ? "-add" : "");
    g_test_add_data_func(path, s, test_shape);
  }
  return g_test_run();
}
