#include "config.h"

#include "lcip-kernel.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Times every convolution kernel of the build on the convolution shapes of known networks. Printed
 * is the best of many runs, which other load on the machine disturbs least:
 *
 *     bench-kernels [--threads N] [--kernel TEXT] [--shape TEXT] [--seconds S]
 *
 * --kernel and --shape keep those whose name contains TEXT; S is the time spent on one figure. */

/* A convolution of a network: c x size x size -> oc, window of k x k. @pad: at the begin; the end
 * is padded so that the output is ceil(size / stride). @add: a residual is added before the Relu.
 */
typedef struct {
  const char *network;
  int c, size, oc, k, stride, group, pad;
  gboolean add;
} Shape;

static const Shape shapes[] = {
    {"resnet50", 3, 224, 64, 7, 2, 1, 3, FALSE},    {"resnet50", 64, 56, 64, 1, 1, 1, 0, FALSE},
    {"resnet50", 64, 56, 64, 3, 1, 1, 1, FALSE},    {"resnet50", 64, 56, 256, 1, 1, 1, 0, TRUE},
    {"resnet50", 256, 56, 64, 1, 1, 1, 0, FALSE},   {"resnet50", 256, 56, 128, 1, 1, 1, 0, FALSE},
    {"resnet50", 128, 56, 128, 3, 2, 1, 1, FALSE},  {"resnet50", 256, 56, 512, 1, 2, 1, 0, FALSE},
    {"resnet50", 128, 28, 512, 1, 1, 1, 0, TRUE},   {"resnet50", 512, 28, 128, 1, 1, 1, 0, FALSE},
    {"resnet50", 128, 28, 128, 3, 1, 1, 1, FALSE},  {"resnet50", 256, 28, 256, 3, 2, 1, 1, FALSE},
    {"resnet50", 256, 14, 1024, 1, 1, 1, 0, TRUE},  {"resnet50", 1024, 14, 256, 1, 1, 1, 0, FALSE},
    {"resnet50", 256, 14, 256, 3, 1, 1, 1, FALSE},  {"resnet50", 512, 14, 512, 3, 2, 1, 1, FALSE},
    {"resnet50", 512, 7, 2048, 1, 1, 1, 0, TRUE},   {"resnet50", 2048, 7, 512, 1, 1, 1, 0, FALSE},
    {"resnet50", 512, 7, 512, 3, 1, 1, 1, FALSE},   {"blazeface", 3, 256, 24, 5, 2, 1, 1, FALSE},
    {"blazeface", 24, 128, 24, 3, 1, 24, 1, FALSE}, {"blazeface", 24, 128, 24, 1, 1, 1, 0, TRUE},
    {"blazeface", 24, 64, 24, 3, 1, 24, 1, FALSE},  {"blazeface", 24, 64, 24, 1, 1, 1, 0, TRUE},
    {"blazeface", 48, 32, 48, 3, 1, 48, 1, FALSE},  {"blazeface", 48, 32, 48, 1, 1, 1, 0, TRUE},
    {"blazeface", 96, 16, 96, 3, 1, 96, 1, FALSE},  {"blazeface", 96, 16, 96, 1, 1, 1, 0, TRUE},
    {"selfie", 3, 256, 16, 3, 2, 1, 0, FALSE},      {"selfie", 16, 128, 16, 1, 1, 1, 0, FALSE},
    {"selfie", 16, 128, 16, 3, 2, 16, 0, FALSE},    {"selfie", 16, 64, 72, 1, 1, 1, 0, FALSE},
    {"selfie", 72, 64, 72, 3, 2, 72, 0, FALSE},     {"selfie", 24, 32, 88, 1, 1, 1, 0, FALSE},
    {"selfie", 88, 32, 24, 1, 1, 1, 0, TRUE},       {"selfie", 96, 32, 96, 5, 2, 96, 1, FALSE},
    {"selfie", 128, 16, 128, 5, 1, 128, 2, FALSE},  {"selfie", 128, 16, 32, 1, 1, 1, 0, TRUE},
    {"selfie", 128, 1, 32, 1, 1, 1, 0, FALSE},      {"resnet18", 64, 56, 64, 3, 1, 1, 1, TRUE},
    {"resnet18", 128, 28, 128, 3, 1, 1, 1, TRUE},   {"resnet18", 256, 14, 256, 3, 1, 1, 1, TRUE},
    {"resnet18", 512, 7, 512, 3, 1, 1, 1, TRUE},    {"vgg16", 64, 224, 64, 3, 1, 1, 1, FALSE},
    {"vgg16", 64, 112, 128, 3, 1, 1, 1, FALSE},     {"vgg16", 128, 112, 128, 3, 1, 1, 1, FALSE},
    {"vgg16", 128, 56, 256, 3, 1, 1, 1, FALSE},     {"vgg16", 256, 56, 256, 3, 1, 1, 1, FALSE},
    {"vgg16", 256, 28, 512, 3, 1, 1, 1, FALSE},     {"vgg16", 512, 28, 512, 3, 1, 1, 1, FALSE},
    {"vgg16", 512, 14, 512, 3, 1, 1, 1, FALSE},     {"squeezenet", 16, 55, 64, 3, 1, 1, 1, FALSE},
    {"squeezenet", 32, 27, 128, 3, 1, 1, 1, FALSE}, {"squeezenet", 48, 13, 192, 3, 1, 1, 1, FALSE},
    {"squeezenet", 64, 13, 256, 3, 1, 1, 1, FALSE}, {"densenet", 128, 56, 32, 3, 1, 1, 1, FALSE},
    {"densenet", 128, 28, 32, 3, 1, 1, 1, FALSE},   {"densenet", 128, 14, 32, 3, 1, 1, 1, FALSE},
    {"densenet", 128, 7, 32, 3, 1, 1, 1, FALSE},
};

static int n_threads = 1;
static double seconds = 0.3;
static char *kernel_text, *shape_text;

static const GOptionEntry options[] = {
    {"threads", 't', 0, G_OPTION_ARG_INT, &n_threads, "threads of the team", "N"},
    {"kernel", 'k', 0, G_OPTION_ARG_STRING, &kernel_text, "only kernels with TEXT", "TEXT"},
    {"shape", 's', 0, G_OPTION_ARG_STRING, &shape_text, "only shapes with TEXT", "TEXT"},
    {"seconds", 'S', 0, G_OPTION_ARG_DOUBLE, &seconds, "time per figure", "S"},
    {NULL}};

enum { X, W, B, SIDE, N_INPUTS };

/* A convolution as a step with random tensors, on the heap because the step points into it. */
typedef struct {
  LcipTensorSpec specs[N_INPUTS], out;
  LcipTensor *constants[N_INPUTS];
  LcipAttrs *attrs;
  LcipStep step;
  double flops;
} Case;

static LcipTensor *random_tensor(const LcipTensorSpec *spec, GRand *rand) {
  LcipTensor *tensor = lcip_tensor_new(spec);
  if (!tensor)
    g_error("no memory for a tensor");
  float *data = lcip_tensor_get_mutable(tensor);
  for (gsize i = 0; i < lcip_tensor_get_bytes(tensor) / sizeof(float); i++)
    data[i] = (float)g_rand_double_range(rand, -1, 1);
  return tensor;
}

static void set_ints(LcipAttrs *attrs, const char *name, guint n, const gint64 *values) {
  g_autoptr(GError) error = NULL;
  const LcipAttrType type = n == 1 ? LCIP_ATTR_INT : LCIP_ATTR_INTS;
  if (!lcip_attrs_set_ints(attrs, name, type, n, values, &error))
    g_error("%s", error->message);
}

static LcipAttrs *conv_attrs(const Shape *s, int out_size) {
  LcipAttrs *attrs = lcip_attrs_new(lcip_operator_find("", "Conv"));
  const gint64 end = MAX(0, (out_size - 1) * s->stride + s->k - s->size - s->pad);
  set_ints(attrs, "strides", 2, (gint64[]){s->stride, s->stride});
  set_ints(attrs, "pads", 4, (gint64[]){s->pad, s->pad, end, end});
  set_ints(attrs, "group", 1, (gint64[]){s->group});
  return attrs;
}

static void add_epilogues(LcipStep *step, gboolean add) {
  if (add)
    step->epilogues[step->n_epilogues++] =
        (LcipEpilogue){.op = lcip_operator_find("", "Add"),
                       .attrs = lcip_attrs_new(lcip_operator_find("", "Add")),
                       .side_input = SIDE};
  step->epilogues[step->n_epilogues++] =
      (LcipEpilogue){.op = lcip_operator_find("", "Relu"),
                     .attrs = lcip_attrs_new(lcip_operator_find("", "Relu")),
                     .side_input = -1};
}

static Case *case_new(const Shape *s, GRand *rand) {
  Case *c = g_new0(Case, 1);
  const int size = (s->size + s->stride - 1) / s->stride;
  const LcipType f32 = LCIP_TYPE_F32;
  c->specs[X] = lcip_tensor_spec(f32, lcip_shape(4, 1, s->c, s->size, s->size));
  c->specs[W] = lcip_tensor_spec(f32, lcip_shape(4, s->oc, s->c / s->group, s->k, s->k));
  c->specs[B] = lcip_tensor_spec(f32, lcip_shape(1, s->oc));
  c->specs[SIDE] = c->out = lcip_tensor_spec(f32, lcip_shape(4, 1, s->oc, size, size));
  c->constants[W] = random_tensor(&c->specs[W], rand);
  c->constants[B] = random_tensor(&c->specs[B], rand);
  c->attrs = conv_attrs(s, size);
  c->step = (LcipStep){.op = lcip_operator_find("", "Conv"),
                       .attrs = c->attrs,
                       .n_inputs = s->add ? N_INPUTS : SIDE,
                       .n_anchor_inputs = SIDE,
                       .inputs = c->specs,
                       .constants = c->constants,
                       .n_outputs = 1,
                       .outputs = &c->out};
  add_epilogues(&c->step, s->add);
  c->flops = 2.0 * s->oc * (s->c / s->group) * s->k * s->k * size * size;
  return c;
}

static void case_free(Case *c) {
  for (guint i = 0; i < N_INPUTS; i++)
    g_clear_pointer(&c->constants[i], lcip_tensor_unref);
  for (guint i = 0; i < c->step.n_epilogues; i++)
    lcip_attrs_unref((LcipAttrs *)c->step.epilogues[i].attrs);
  lcip_attrs_unref(c->attrs);
  g_free(c);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* The shortest run in seconds. */
static double best_run(const LcipKernel *kernel, const LcipCall *call, LcipTeam *team) {
  const double start = now();
  double best = G_MAXDOUBLE;
  for (guint i = 0; i < 5 || now() - start < seconds; i++) {
    g_autoptr(GError) error = NULL;
    const double begin = now();
    if (!kernel->run(call, team, &error))
      g_error("%s: %s", kernel->name, error->message);
    best = MIN(best, now() - begin);
  }
  return best;
}

static double time_kernel(const LcipKernel *kernel, const Case *c, const LcipPortFormats *formats,
                          LcipTeam *team, GRand *rand) {
  g_autoptr(LcipBlob) prepared = NULL;
  g_autoptr(GError) error = NULL;
  if (kernel->prepare && !kernel->prepare(&c->step, formats, &prepared, &error))
    g_error("%s: %s", kernel->name, error->message);
  const gsize bytes =
      kernel->scratch_bytes ? kernel->scratch_bytes(&c->step, formats, lcip_team_size(team)) : 0;
  g_autoptr(LcipBlob) scratch = lcip_blob_new(bytes);
  LcipTensor *tensors[N_INPUTS] = {NULL};
  LcipTensorView inputs[N_INPUTS], output;
  for (guint i = 0; i < c->step.n_inputs; i++) {
    LcipTensorSpec spec = c->specs[i];
    spec.format = formats->inputs[i];
    tensors[i] = c->constants[i] ? lcip_tensor_ref(c->constants[i]) : random_tensor(&spec, rand);
    inputs[i] = lcip_tensor_view(tensors[i]);
  }
  LcipTensorSpec spec = c->out;
  spec.format = formats->outputs[0];
  g_autoptr(LcipTensor) out = lcip_tensor_new(&spec);
  output = lcip_tensor_view(out);
  const LcipCall call = {.step = &c->step,
                         .prepared = prepared,
                         .inputs = inputs,
                         .outputs = &output,
                         .scratch = lcip_blob_data(scratch)};
  const double best = best_run(kernel, &call, team);
  for (guint i = 0; i < c->step.n_inputs; i++)
    lcip_tensor_unref(tensors[i]);
  return best;
}

static LcipFormat own_format(const LcipKernel *kernel) {
  return (kernel->needs & LCIP_CPU_AVX512) ? LCIP_FORMAT_NCHW16C : LCIP_FORMAT_NCHW8C;
}

static void bench_shape(const Shape *s, const LcipKernel *kernel, LcipTeam *team, GRand *rand) {
  Case *c = case_new(s, rand);
  LcipPortFormats formats = {0};
  /* As inside of a network: a picture comes dense, all else as the family wants it. */
  if (g_str_equal(kernel->family, "blocked") && s->c > 4)
    formats.inputs[X] = own_format(kernel);
  if (lcip_kernel_supports(kernel, &c->step, &formats, NULL)) {
    const double best = time_kernel(kernel, c, &formats, team, rand);
    g_print("%-10s %4d x %3d x %3d -> %4d  k%d s%d g%-3d %-4s %-30s %8.3f ms %7.1f GFLOP/s\n",
            s->network, s->c, s->size, s->size, s->oc, s->k, s->stride, s->group,
            s->add ? "+add" : "", kernel->name, best * 1e3, c->flops / best * 1e-9);
  }
  case_free(c);
}

static gboolean is_wanted(const LcipKernel *kernel) {
  const LcipStep conv = {.op = lcip_operator_find("", "Conv")};
  if (kernel->device != LCIP_DEVICE_CPU || !lcip_kernel_handles(kernel, &conv))
    return FALSE;
  return kernel_text ? strstr(kernel->name, kernel_text) != NULL
                     : !g_str_equal(kernel->family, "reference");
}

static gboolean matches(const Shape *s) {
  if (!shape_text)
    return TRUE;
  g_autofree char *name = g_strdup_printf("%s %dx%dx%d->%d k%d s%d g%d", s->network, s->c, s->size,
                                          s->size, s->oc, s->k, s->stride, s->group);
  return strstr(name, shape_text) != NULL;
}

int main(int argc, char **argv) {
  g_autoptr(GOptionContext) context = g_option_context_new("- times convolution kernels");
  g_autoptr(GError) error = NULL;
  g_option_context_add_main_entries(context, options, NULL);
  if (!g_option_context_parse(context, &argc, &argv, &error)) {
    g_printerr("%s\n", error->message);
    return 2;
  }
  g_autoptr(LcipTeam) team = lcip_team_new((guint)MAX(n_threads, 1));
  g_autoptr(GRand) rand = g_rand_new_with_seed(1);
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  g_print("%s, %u threads\n", lcip_cpu_name(), lcip_team_size(team));
  for (guint i = 0; i < G_N_ELEMENTS(shapes); i++)
    for (guint k = 0; k < n; k++)
      if (matches(&shapes[i]) && is_wanted(table[k]))
        bench_shape(&shapes[i], table[k], team, rand);
  g_free(kernel_text);
  g_free(shape_text);
  return 0;
}
