#include "config.h"

#include "lcip-conv-case.h"
#if LCIP_HAVE_ONEDNN
#include "lcip-onednn.h"
#endif

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Times every convolution kernel of the build on the convolution shapes of known networks. Printed
 * is the best of many runs, which other load on the machine disturbs least:
 *
 *     bench-kernels [--threads N] [--kernel TEXT] [--shape TEXT] [--seconds S] [--onednn]
 *
 * --kernel and --shape keep those whose name contains TEXT; S is the time spent on one figure;
 * --onednn puts oneDNN's direct convolution first, in its own layouts, reorders not counted. */

static int n_threads = 1;
static double seconds = 0.3;
static char *kernel_text, *shape_text;
static gboolean with_onednn;

static const GOptionEntry options[] = {
    {"threads", 't', 0, G_OPTION_ARG_INT, &n_threads, "threads of the team", "N"},
    {"kernel", 'k', 0, G_OPTION_ARG_STRING, &kernel_text, "only kernels with TEXT", "TEXT"},
    {"shape", 's', 0, G_OPTION_ARG_STRING, &shape_text, "only shapes with TEXT", "TEXT"},
    {"seconds", 'S', 0, G_OPTION_ARG_DOUBLE, &seconds, "time per figure", "S"},
    {"onednn", 0, 0, G_OPTION_ARG_NONE, &with_onednn, "time oneDNN too", NULL},
    {NULL}};

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

typedef gboolean (*RunFunc)(gpointer data, GError **error);

/* The shortest run in seconds. */
static double best_run(RunFunc run, gpointer data) {
  const double start = now();
  double best = G_MAXDOUBLE;
  for (guint i = 0; i < 5 || now() - start < seconds; i++) {
    g_autoptr(GError) error = NULL;
    const double begin = now();
    if (!run(data, &error))
      g_error("%s", error->message);
    best = MIN(best, now() - begin);
  }
  return best;
}

typedef struct {
  const LcipKernel *kernel;
  const LcipCall *call;
  LcipTeam *team;
} KernelRun;

static gboolean run_kernel(gpointer data, GError **error) {
  const KernelRun *run = data;
  return run->kernel->run(run->call, run->team, error);
}

static double time_kernel(const LcipKernel *kernel, const ConvCase *c,
                          const LcipPortFormats *formats, LcipTeam *team, GRand *rand) {
  g_autoptr(LcipBlob) prepared = NULL;
  g_autoptr(GError) error = NULL;
  if (kernel->prepare && !kernel->prepare(&c->step, formats, &prepared, &error))
    g_error("%s: %s", kernel->name, error->message);
  const gsize bytes =
      kernel->scratch_bytes ? kernel->scratch_bytes(&c->step, formats, lcip_team_size(team)) : 0;
  g_autoptr(LcipBlob) scratch = lcip_blob_new(bytes);
  LcipTensor *tensors[CONV_N_INPUTS] = {NULL};
  LcipTensorView inputs[CONV_N_INPUTS], output;
  for (guint i = 0; i < c->step.n_inputs; i++) {
    LcipTensorSpec spec = c->specs[i];
    spec.format = formats->inputs[i];
    tensors[i] =
        c->constants[i] ? lcip_tensor_ref(c->constants[i]) : conv_random_tensor(&spec, rand);
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
  const double best = best_run(run_kernel, &(KernelRun){kernel, &call, team});
  for (guint i = 0; i < c->step.n_inputs; i++)
    lcip_tensor_unref(tensors[i]);
  return best;
}

static LcipFormat own_format(const LcipKernel *kernel) {
  return (kernel->needs & LCIP_CPU_AVX512) ? LCIP_FORMAT_NCHW16C : LCIP_FORMAT_NCHW8C;
}

static void print_figure(const ConvShape *s, const ConvCase *c, const char *kernel, double best) {
  g_print("%-12s %4d x %3d x %3d -> %4d  k%dx%-2d s%d g%-3d %-4s %-30s %8.3f ms %7.1f GFLOP/s\n",
          s->network, s->c, s->size, s->size, s->oc, s->kh, s->kw, s->stride, s->group,
          s->add ? "+add" : "", kernel, best * 1e3, c->flops / best * 1e-9);
}

static void bench_kernel(const ConvShape *s, const ConvCase *c, const LcipKernel *kernel,
                         LcipTeam *team, GRand *rand) {
  LcipPortFormats formats = {0};
  /* As inside of a network: a picture comes dense, all else as the family wants it. */
  if (g_str_equal(kernel->family, "blocked") && s->c > 4)
    formats.inputs[CONV_X] = own_format(kernel);
  if (lcip_kernel_supports(kernel, &c->step, &formats, NULL))
    print_figure(s, c, kernel->name, time_kernel(kernel, c, &formats, team, rand));
}

#if LCIP_HAVE_ONEDNN
static gboolean run_onednn(gpointer data, GError **error) {
  return lcip_onednn_run(data, error);
}

static void bench_onednn(const ConvShape *s, const ConvCase *c, GRand *rand) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipOnednn) onednn = lcip_onednn_new(&c->step, n_threads, &error);
  g_autoptr(LcipTensor) x = conv_random_tensor(&c->specs[CONV_X], rand);
  g_autoptr(LcipTensor) side = conv_random_tensor(&c->specs[CONV_SIDE], rand);
  if (!onednn ||
      !lcip_onednn_load(onednn, lcip_tensor_get_data(x), lcip_tensor_get_data(side), &error))
    g_error("%s", error->message);
  g_autofree char *name = g_strconcat("onednn ", lcip_onednn_name(onednn), NULL);
  print_figure(s, c, name, best_run(run_onednn, onednn));
}
#else
static void bench_onednn(const ConvShape *s, const ConvCase *c, GRand *rand) {
  g_error("this build has no oneDNN: meson configure -Donednn=enabled, package libdnnl-dev");
}
#endif

static gboolean is_wanted(const LcipKernel *kernel) {
  const LcipStep conv = {.op = lcip_operator_find("", "Conv")};
  if (kernel->device != LCIP_DEVICE_CPU || !lcip_kernel_handles(kernel, &conv))
    return FALSE;
  return kernel_text ? strstr(kernel->name, kernel_text) != NULL
                     : !g_str_equal(kernel->family, "reference");
}

static gboolean matches(const ConvShape *s) {
  if (!shape_text)
    return TRUE;
  g_autofree char *name =
      g_strdup_printf("%s %dx%dx%d->%d k%dx%d s%d g%d", s->network, s->c, s->size, s->size, s->oc,
                      s->kh, s->kw, s->stride, s->group);
  return strstr(name, shape_text) != NULL;
}

static void bench_shape(const ConvShape *s, LcipTeam *team, GRand *rand) {
  g_autoptr(ConvCase) c = conv_case_new(s, rand);
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  if (with_onednn)
    bench_onednn(s, c, rand);
  for (guint k = 0; k < n; k++)
    if (is_wanted(table[k]))
      bench_kernel(s, c, table[k], team, rand);
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
  g_print("%s, %u threads\n", lcip_cpu_name(), lcip_team_size(team));
  for (guint i = 0; i < G_N_ELEMENTS(conv_shapes); i++)
    if (matches(&conv_shapes[i]))
      bench_shape(&conv_shapes[i], team, rand);
  g_free(kernel_text);
  g_free(shape_text);
  return 0;
}
