#include "config.h"

#include "lcip-cl.h"
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
 *                   [--opencl]
 *
 * --kernel and --shape keep those whose name contains TEXT; S is the time spent on one figure;
 * --onednn puts oneDNN's direct convolution first, in its own layouts, reorders not counted;
 * --opencl times the kernels for OpenCL on the first device, by its own clock, and no others. */

static int n_threads = 1;
static double seconds = 0.3;
static char *kernel_text, *shape_text;
static gboolean with_onednn, on_opencl;

static const GOptionEntry options[] = {
    {"threads", 't', 0, G_OPTION_ARG_INT, &n_threads, "threads of the team", "N"},
    {"kernel", 'k', 0, G_OPTION_ARG_STRING, &kernel_text, "only kernels with TEXT", "TEXT"},
    {"shape", 's', 0, G_OPTION_ARG_STRING, &shape_text, "only shapes with TEXT", "TEXT"},
    {"seconds", 'S', 0, G_OPTION_ARG_DOUBLE, &seconds, "time per figure", "S"},
    {"onednn", 0, 0, G_OPTION_ARG_NONE, &with_onednn, "time oneDNN too", NULL},
    {"opencl", 0, 0, G_OPTION_ARG_NONE, &on_opencl, "time kernels for OpenCL", NULL},
    {NULL}};

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Does one run; sets @elapsed in seconds only where it knows better than the caller's clock. */
typedef gboolean (*RunFunc)(gpointer data, double *elapsed, GError **error);

/* The shortest run in seconds. */
static double best_run(RunFunc run, gpointer data) {
  const double start = now();
  double best = G_MAXDOUBLE;
  for (guint i = 0; i < 5 || now() - start < seconds; i++) {
    g_autoptr(GError) error = NULL;
    const double begin = now();
    double elapsed = -1;
    if (!run(data, &elapsed, &error))
      g_error("%s", error->message);
    best = MIN(best, elapsed < 0 ? now() - begin : elapsed);
  }
  return best;
}

typedef struct {
  const LcipKernel *kernel;
  const LcipCall *call;
  LcipTeam *team;
  LcipClQueue *queue;
} KernelRun;

static gboolean run_kernel(gpointer data, double *elapsed, GError **error) {
  const KernelRun *run = data;
  return run->kernel->run(run->call, run->team, error);
}

static gboolean enqueue_kernel(gpointer data, double *elapsed, GError **error) {
  const KernelRun *run = data;
  LcipClTimes times;
  if (!run->kernel->enqueue(run->call, run->queue, error))
    return FALSE;
  lcip_cl_queue_mark(run->queue);
  if (!lcip_cl_queue_finish(run->queue, 1, &times, error))
    return FALSE;
  *elapsed = (double)(times.end_ns - times.start_ns) * 1e-9;
  return TRUE;
}

static LcipClMem upload(LcipClQueue *queue, const void *data, gsize bytes) {
  g_autoptr(GError) error = NULL;
  if (!data || bytes == 0)
    return NULL;
  LcipClMem buffer = lcip_cl_buffer_new_from(lcip_cl_queue_device(queue), bytes, data, &error);
  if (!buffer)
    g_error("%s", error->message);
  return buffer;
}

/* @call on the device of @queue: everything moves there first. */
static double time_on_device(const LcipKernel *kernel, const LcipCall *call, LcipClQueue *queue) {
  LcipCall there = *call;
  LcipTensorView views[CONV_N_INPUTS + 1];
  const guint n = call->step->n_inputs;
  for (guint i = 0; i <= n; i++) {
    gsize bytes = 0;
    views[i] = i < n ? call->inputs[i] : call->outputs[0];
    lcip_tensor_spec_bytes(&views[i].spec, &bytes);
    views[i].buffer = upload(queue, views[i].data, bytes);
    views[i].data = NULL;
  }
  there.inputs = views;
  there.outputs = &views[n];
  if (call->prepared)
    there.prepared_buffer =
        upload(queue, lcip_blob_data(call->prepared), lcip_blob_bytes(call->prepared));
  const double best = best_run(enqueue_kernel, &(KernelRun){kernel, &there, NULL, queue});
  for (guint i = 0; i <= n; i++)
    lcip_cl_buffer_free(views[i].buffer);
  lcip_cl_buffer_free(there.prepared_buffer);
  return best;
}

static double time_kernel(const LcipKernel *kernel, const ConvCase *c,
                          const LcipPortFormats *formats, LcipTeam *team, LcipClQueue *queue,
                          GRand *rand) {
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
  const double best = queue ? time_on_device(kernel, &call, queue)
                            : best_run(run_kernel, &(KernelRun){kernel, &call, team, NULL});
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
                         LcipTeam *team, LcipClQueue *queue, GRand *rand) {
  LcipPortFormats formats = {0};
  /* As inside of a network: a picture comes dense, all else as the family wants it. */
  if (g_str_equal(kernel->family, "blocked") && s->c > 4)
    formats.inputs[CONV_X] = own_format(kernel);
  if (lcip_kernel_supports(kernel, &c->step, &formats, NULL))
    print_figure(s, c, kernel->name, time_kernel(kernel, c, &formats, team, queue, rand));
}

#if LCIP_HAVE_ONEDNN
static gboolean run_onednn(gpointer data, double *elapsed, GError **error) {
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
  if (kernel->device != (on_opencl ? LCIP_DEVICE_OPENCL : LCIP_DEVICE_CPU) ||
      !lcip_kernel_handles(kernel, &conv))
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

static void bench_shape(const ConvShape *s, LcipTeam *team, LcipClQueue *queue, GRand *rand) {
  g_autoptr(ConvCase) c = conv_case_new(s, rand);
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  if (with_onednn)
    bench_onednn(s, c, rand);
  for (guint k = 0; k < n; k++)
    if (is_wanted(table[k]))
      bench_kernel(s, c, table[k], team, queue, rand);
}

static LcipClQueue *first_queue(void) {
  g_autofree char *why = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) devices = lcip_cl_list_devices(&why);
  if (devices->len == 0)
    g_error("%s", why);
  LcipClQueue *queue = lcip_cl_queue_new(devices->pdata[0], &error);
  if (!queue)
    g_error("%s", error->message);
  return queue;
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
  LcipClQueue *queue = on_opencl ? first_queue() : NULL;
  g_print("%s, %u threads\n",
          queue ? lcip_cl_device_name(lcip_cl_queue_device(queue)) : lcip_cpu_name(),
          queue ? lcip_cl_device_units(lcip_cl_queue_device(queue)) : lcip_team_size(team));
  for (guint i = 0; i < G_N_ELEMENTS(conv_shapes); i++)
    if (matches(&conv_shapes[i]))
      bench_shape(&conv_shapes[i], team, queue, rand);
  if (queue)
    lcip_cl_queue_free(queue);
  g_free(kernel_text);
  g_free(shape_text);
  return 0;
}
