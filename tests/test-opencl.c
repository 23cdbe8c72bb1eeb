#include "config.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "lcip-cl-private.h"
#include "lcip-kernel.h"

/* The OpenCL layer on the first device here: programs, the disk cache, buffers, times. */

static const char double_source[] =
    "__kernel void twice(__global const float *in, int in_offset, __global float *out,\n"
    "                    int out_offset, int n, float plus) {\n"
    "  int i = get_global_id(0);\n"
    "  if (i < n)\n"
    "    out[out_offset + i] = FACTOR * in[in_offset + i] + plus;\n"
    "}\n";

typedef struct {
  LcipClDevice *device;
  LcipClQueue *queue;
} Fixture;

static gboolean first_device(LcipClDevice **device) {
  g_autofree char *why = NULL;
  g_autoptr(GPtrArray) devices = lcip_cl_list_devices(&why);
  if (devices->len == 0) {
    g_assert_nonnull(why);
    g_assert_true(g_str_has_suffix(why, "."));
    g_test_skip(why);
    return FALSE;
  }
  g_assert_null(why);
  *device = lcip_cl_device_ref(devices->pdata[0]);
  return TRUE;
}

static gboolean setup(Fixture *f) {
  g_autoptr(GError) error = NULL;
  *f = (Fixture){0};
  if (!first_device(&f->device))
    return FALSE;
  f->queue = lcip_cl_queue_new(f->device, &error);
  g_assert_no_error(error);
  g_assert_true(lcip_cl_queue_device(f->queue) == f->device);
  return TRUE;
}

static void teardown(Fixture *f) {
  lcip_cl_queue_free(f->queue);
  lcip_cl_device_unref(f->device);
}

static LcipTensorView device_view(LcipClMem buffer, int n, gsize offset_bytes) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(1, n));
  return (LcipTensorView){
      .spec = spec, .shape = spec.shape, .buffer = buffer, .offset_bytes = offset_bytes};
}

/* out[2 ..] = factor * in[1 ..] + 0.5 for n elements. */
static void launch_twice(Fixture *f, const char *options, LcipClMem in, LcipClMem out, int n) {
  g_autoptr(GError) error = NULL;
  const LcipTensorView from = device_view(in, n, 4), to = device_view(out, n, 8);
  const gsize global[] = {(gsize)n}, local[] = {16};
  LcipClKernel kernel = lcip_cl_queue_kernel(f->queue, double_source, options, "twice", &error);
  g_assert_no_error(error);
  g_assert_true(lcip_cl_arg_view(kernel, 0, &from, &error));
  g_assert_true(lcip_cl_arg_view(kernel, 2, &to, &error));
  g_assert_true(lcip_cl_arg_int(kernel, 4, n, &error));
  g_assert_true(lcip_cl_arg_float(kernel, 5, 0.5f, &error));
  g_assert_true(lcip_cl_launch(f->queue, kernel, 1, global, local, &error));
  g_assert_no_error(error);
}

static void test_devices(void) {
  LcipClDevice *device;
  if (!first_device(&device))
    return;
  g_assert_cmpstr(lcip_cl_device_name(device), !=, "");
  g_assert_cmpstr(lcip_cl_device_vendor(device), !=, "");
  g_assert_cmpstr(lcip_cl_device_driver(device), !=, "");
  g_assert_cmpuint(lcip_cl_device_units(device), >, 0);
  g_assert_cmpuint(lcip_cl_device_memory_bytes(device), >, 0);
  g_test_message("%s, %s, driver %s", lcip_cl_device_name(device), lcip_cl_device_vendor(device),
                 lcip_cl_device_driver(device));
  lcip_cl_device_unref(device);
}

/* 37 elements with local size 16: the tail is rounded up and must not be written. */
static void test_write_launch_read(void) {
  Fixture f;
  g_autoptr(GError) error = NULL;
  float in[38], out[40];
  if (!setup(&f))
    return;
  for (int i = 0; i < 38; i++)
    in[i] = (float)i;
  for (int i = 0; i < 40; i++)
    out[i] = -1.0f;
  LcipClMem from = lcip_cl_buffer_new_from(f.device, sizeof in, in, &error);
  LcipClMem to = lcip_cl_buffer_new(f.device, sizeof out, &error);
  g_assert_no_error(error);
  g_assert_true(lcip_cl_write(f.queue, to, 0, sizeof out, out, &error));
  launch_twice(&f, "-DFACTOR=2.0f", from, to, 37);
  memset(out, 0, sizeof out);
  g_assert_true(lcip_cl_read(f.queue, to, 4, sizeof out - 4, out + 1, &error));
  g_assert_true(lcip_cl_queue_finish(f.queue, 0, NULL, &error));
  g_assert_no_error(error);
  g_assert_cmpfloat(out[1], ==, -1.0f);
  for (int i = 0; i < 37; i++)
    g_assert_cmpfloat(out[2 + i], ==, 2.0f * (float)(i + 1) + 0.5f);
  g_assert_cmpfloat(out[39], ==, -1.0f);
  lcip_cl_buffer_free(from);
  lcip_cl_buffer_free(to);
  teardown(&f);
}

static void test_empty(void) {
  Fixture f;
  g_autoptr(GError) error = NULL;
  if (!setup(&f))
    return;
  LcipClMem buffer = lcip_cl_buffer_new(f.device, 0, &error);
  g_assert_no_error(error);
  launch_twice(&f, "-DFACTOR=2.0f", buffer, buffer, 0);
  g_assert_true(lcip_cl_write(f.queue, buffer, 0, 0, NULL, &error));
  g_assert_true(lcip_cl_queue_finish(f.queue, 0, NULL, &error));
  lcip_cl_buffer_free(buffer);
  teardown(&f);
}

static void test_build_error(void) {
  Fixture f;
  g_autoptr(GError) error = NULL;
  static const char bad[] = "__kernel void broken(__global float *a) { a[0] = undeclared_name; }\n";
  if (!setup(&f))
    return;
  g_assert_null(lcip_cl_queue_kernel(f.queue, bad, "-DX=1", "broken", &error));
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_DEVICE);
  g_assert_nonnull(strstr(error->message, "undeclared_name"));
  g_assert_nonnull(strstr(error->message, "-DX=1"));
  g_assert_nonnull(strstr(error->message, "CL_BUILD_PROGRAM_FAILURE"));
  teardown(&f);
}

static void test_missing_function(void) {
  Fixture f;
  g_autoptr(GError) error = NULL;
  if (!setup(&f))
    return;
  g_assert_null(lcip_cl_queue_kernel(f.queue, double_source, "-DFACTOR=1", "thrice", &error));
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_DEVICE);
  g_assert_nonnull(strstr(error->message, "thrice"));
  teardown(&f);
}

static void test_bad_arguments(void) {
  Fixture f;
  g_autoptr(GError) error = NULL;
  if (!setup(&f))
    return;
  LcipClKernel kernel = lcip_cl_queue_kernel(f.queue, double_source, "-DFACTOR=1", "twice", &error);
  g_assert_no_error(error);
  g_assert_false(lcip_cl_arg_int(kernel, 99, 1, &error));
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_DEVICE);
  g_assert_nonnull(strstr(error->message, "twice"));
  g_clear_error(&error);
  const LcipTensorView host = device_view(NULL, 4, 0);
  g_assert_false(lcip_cl_arg_view(kernel, 0, &host, &error));
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_DEVICE);
  g_clear_error(&error);
  LcipClMem buffer = lcip_cl_buffer_new(f.device, 64, &error);
  const LcipTensorView odd = device_view(buffer, 4, 2);
  g_assert_false(lcip_cl_arg_view(kernel, 0, &odd, &error));
  g_assert_error(error, LCIP_ERROR, LCIP_ERROR_DEVICE);
  lcip_cl_buffer_free(buffer);
  teardown(&f);
}

/* Each queue has kernel objects of its own: arguments set on one must not show on the other. */
static void test_two_queues(void) {
  Fixture f;
  g_autoptr(GError) error = NULL;
  if (!setup(&f))
    return;
  LcipClQueue *other = lcip_cl_queue_new(f.device, &error);
  g_assert_no_error(error);
  LcipClKernel a = lcip_cl_queue_kernel(f.queue, double_source, "-DFACTOR=3", "twice", &error);
  LcipClKernel b = lcip_cl_queue_kernel(other, double_source, "-DFACTOR=3", "twice", &error);
  g_assert_true(a && b && a != b);
  g_assert_true(a == lcip_cl_queue_kernel(f.queue, double_source, "-DFACTOR=3", "twice", &error));
  g_assert_true(a != lcip_cl_queue_kernel(f.queue, double_source, "-DFACTOR=4", "twice", &error));
  lcip_cl_queue_free(other);
  teardown(&f);
}

/* Alignment of the clocks is as good as a marker's round trip, which a busy machine stretches. */
#define CLOCK_SLACK_NS (20 * G_GINT64_CONSTANT(1000000))

static void test_times(void) {
  Fixture f;
  g_autoptr(GError) error = NULL;
  enum { N = 100000 };
  LcipClTimes times[4];
  if (!setup(&f))
    return;
  g_autofree float *host = g_new0(float, N + 2);
  LcipClMem a = lcip_cl_buffer_new(f.device, (N + 2) * sizeof(float), &error);
  LcipClMem b = lcip_cl_buffer_new(f.device, (N + 2) * sizeof(float), &error);
  g_assert_no_error(error);
  for (int round = 0; round < 3; round++) {
    const gint64 before_ns = g_get_monotonic_time() * 1000;
    g_assert_true(lcip_cl_write(f.queue, a, 0, (N + 2) * sizeof(float), host, &error));
    g_assert_cmpuint(lcip_cl_queue_mark(f.queue), ==, 0);
    launch_twice(&f, "-DFACTOR=2.0f", a, b, N);
    launch_twice(&f, "-DFACTOR=2.0f", a, b, N);
    g_assert_cmpuint(lcip_cl_queue_mark(f.queue), ==, 1);
    g_assert_cmpuint(lcip_cl_queue_mark(f.queue), ==, 2); /* a group without commands */
    g_assert_true(lcip_cl_read(f.queue, b, 0, (N + 2) * sizeof(float), host, &error));
    g_assert_cmpuint(lcip_cl_queue_mark(f.queue), ==, 3);
    g_assert_true(lcip_cl_queue_finish(f.queue, 4, times, &error));
    g_assert_no_error(error);
    const gint64 after_ns = g_get_monotonic_time() * 1000;
    g_assert_cmpint(times[0].queued_ns, >, before_ns - CLOCK_SLACK_NS);
    g_assert_cmpint(times[3].end_ns, <, after_ns + CLOCK_SLACK_NS);
    for (int i = 0; i < 4; i++) {
      g_assert_cmpint(times[i].queued_ns, <=, times[i].start_ns);
      g_assert_cmpint(times[i].start_ns, <=, times[i].end_ns);
      if (i > 0)
        g_assert_cmpint(times[i].start_ns, >=, times[i - 1].start_ns);
    }
    g_assert_cmpint(times[0].end_ns, >, times[0].start_ns);
    g_assert_cmpint(times[1].end_ns, >, times[1].start_ns);
    g_assert_cmpint(times[2].end_ns, ==, times[2].start_ns);
  }
  lcip_cl_buffer_free(a);
  lcip_cl_buffer_free(b);
  teardown(&f);
}

/* ---- pictures to tensors: against the reference ---- */

enum { PICTURE_W = 141, PICTURE_H = 97 };

static LcipAttrs *picture_attrs(const LcipOperator *op, const char *fit, const char *filter,
                                gboolean nchw) {
  g_autoptr(GError) error = NULL;
  const char *const values[][2] = {
      {"width", "33"},
      {"height", "20"},
      {"fit", fit},
      {"filter", filter},
      {"mean", "127.5 100 90"},
      {"scale", "0.01 0.02 0.03"},
      {"layout", nchw ? "NCHW" : "NHWC"},
      {"color", nchw ? "BGR" : "RGB"},
  };
  LcipAttrs *attrs = lcip_attrs_new(op);
  for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
    const LcipAttrType type = lcip_operator_find_attr(op, values[i][0])->type;
    lcip_attrs_set_text(attrs, values[i][0], type, values[i][1], &error);
    g_assert_no_error(error);
  }
  return attrs;
}

/* Both outputs of @kernel on the device, into @results. */
static void picture_on_device(Fixture *f, const LcipKernel *kernel, const LcipStep *step,
                              LcipTensor *picture, LcipTensor *const results[2]) {
  g_autoptr(GError) error = NULL;
  LcipTensorView in = lcip_tensor_view(picture), out[2];
  LcipClMem buffers[3];
  buffers[2] = lcip_cl_buffer_new_from(f->device, lcip_tensor_get_bytes(picture), in.data, &error);
  in.buffer = buffers[2];
  for (int i = 0; i < 2; i++) {
    out[i] = lcip_tensor_view(results[i]);
    buffers[i] = lcip_cl_buffer_new(f->device, lcip_tensor_get_bytes(results[i]) + 64, &error);
    out[i].buffer = buffers[i];
    out[i].offset_bytes = 64;
  }
  g_assert_no_error(error);
  const LcipCall call = {.step = step, .inputs = &in, .outputs = out};
  g_assert_true(kernel->enqueue(&call, f->queue, &error));
  for (int i = 0; i < 2; i++)
    g_assert_true(lcip_cl_read(f->queue, buffers[i], 64, lcip_tensor_get_bytes(results[i]),
                               lcip_tensor_get_mutable(results[i]), &error));
  g_assert_true(lcip_cl_queue_finish(f->queue, 0, NULL, &error));
  g_assert_no_error(error);
  for (int i = 0; i < 3; i++)
    lcip_cl_buffer_free(buffers[i]);
}

static void compare_picture(Fixture *f, LcipTensor *picture, const char *fit, const char *filter,
                            gboolean nchw) {
  g_autoptr(GError) error = NULL;
  const char *reason = NULL;
  const LcipOperator *op = lcip_operator_find("lcip", "PictureToTensor");
  const LcipKernel *kernel = lcip_kernel_find("picture-to-tensor-opencl");
  g_autoptr(LcipAttrs) attrs = picture_attrs(op, fit, filter, nchw);
  LcipTensor *constants[1] = {NULL}, *expected[2], *found[2];
  LcipTensorSpec outputs[2] = {0};
  LcipTensorView in = lcip_tensor_view(picture), out[2];
  LcipPortFormats formats = {0};
  LcipStep step = {.op = op,
                   .attrs = attrs,
                   .n_inputs = 1,
                   .n_anchor_inputs = 1,
                   .inputs = &in.spec,
                   .constants = constants,
                   .n_outputs = 2,
                   .outputs = outputs};
  g_assert_true(lcip_step_infer(&step, &error));
  g_assert_true(lcip_kernel_supports(kernel, &step, &formats, &reason));
  for (int i = 0; i < 2; i++) {
    expected[i] = lcip_tensor_new(&outputs[i]);
    found[i] = lcip_tensor_new(&outputs[i]);
    out[i] = lcip_tensor_view(expected[i]);
  }
  g_assert_true(lcip_kernel_run_reference(&step, &in, out, &error));
  picture_on_device(f, kernel, &step, picture, found);
  for (int i = 0; i < 2; i++) {
    const float *a = lcip_tensor_get_data(expected[i]), *b = lcip_tensor_get_data(found[i]);
    for (gint64 k = 0; k < lcip_shape_count(&outputs[i].shape); k++)
      g_assert_cmpfloat(fabsf(a[k] - b[k]), <=, kernel->tolerance * fmaxf(1.0f, fabsf(a[k])));
    lcip_tensor_unref(expected[i]);
    lcip_tensor_unref(found[i]);
  }
}

static void test_picture_to_tensor(void) {
  static const char *const fits[] = {"stretch", "pad", "crop"}, *const filters[] = {"area",
                                                                                    "linear"};
  Fixture f;
  if (!setup(&f))
    return;
  const LcipTensorSpec spec =
      lcip_tensor_spec(LCIP_TYPE_U8, lcip_shape(3, PICTURE_H, PICTURE_W, 3));
  g_autoptr(LcipTensor) picture = lcip_tensor_new(&spec);
  guint8 *pixels = lcip_tensor_get_mutable(picture);
  for (int i = 0; i < PICTURE_H * PICTURE_W * 3; i++)
    pixels[i] = (guint8)g_test_rand_int_range(0, 256);
  for (gsize fit = 0; fit < G_N_ELEMENTS(fits); fit++)
    for (gsize filter = 0; filter < G_N_ELEMENTS(filters); filter++)
      for (int nchw = 0; nchw < 2; nchw++)
        compare_picture(&f, picture, fits[fit], filters[filter], nchw);
  teardown(&f);
}

/* ---- the disk cache: each look at it is a process of its own with an empty memory ---- */

#define CACHE_OPTIONS "-DFACTOR=7.0f"

static void cache_child(guint built, guint loaded) {
  Fixture f;
  guint n_built, n_loaded;
  if (!setup(&f))
    return;
  LcipClMem a = lcip_cl_buffer_new(f.device, 256, NULL),
            b = lcip_cl_buffer_new(f.device, 256, NULL);
  const float in[4] = {0, 1, 2, 3};
  float out[5];
  g_assert_true(lcip_cl_write(f.queue, a, 0, sizeof in, in, NULL));
  launch_twice(&f, CACHE_OPTIONS, a, b, 3);
  g_assert_true(lcip_cl_read(f.queue, b, 0, sizeof out, out, NULL));
  g_assert_true(lcip_cl_queue_finish(f.queue, 0, NULL, NULL));
  for (int i = 0; i < 3; i++)
    g_assert_cmpfloat(out[2 + i], ==, 7.0f * in[1 + i] + 0.5f);
  lcip_cl_device_counts(f.device, &n_built, &n_loaded);
  g_assert_cmpuint(n_built, ==, built);
  g_assert_cmpuint(n_loaded, ==, loaded);
  lcip_cl_buffer_free(a);
  lcip_cl_buffer_free(b);
  teardown(&f);
}

static void test_cache_builds(void) {
  cache_child(1, 0);
}

static void test_cache_loads(void) {
  cache_child(0, 1);
}

static void run_child(const char *path) {
  g_test_trap_subprocess(path, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_passed();
}

static void damage(const char *path, gsize length, gsize flip) {
  g_autofree char *contents = NULL;
  gsize n;
  g_assert_true(g_file_get_contents(path, &contents, &n, NULL));
  g_assert_cmpuint(n, >, 100);
  contents[flip < n ? flip : n - 1] ^= 0x55;
  g_assert_true(g_file_set_contents(path, contents, (gssize)MIN(length, n), NULL));
}

static void test_cache(void) {
  LcipClDevice *device;
  if (!first_device(&device))
    return;
  g_autofree char *path = lcip_cl_device_cache_path(device, double_source, CACHE_OPTIONS);
  g_assert_true(g_str_has_prefix(path, g_get_user_cache_dir()));
  g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
  run_child("/opencl/cache/subprocess/builds");
  g_assert_true(g_file_test(path, G_FILE_TEST_IS_REGULAR));
  run_child("/opencl/cache/subprocess/loads");
  const gsize damages[][2] = {{G_MAXSIZE, 90}, {G_MAXSIZE, 3}, {G_MAXSIZE, 20},
                              {95, 0},         {5, 0},         {0, 0}};
  for (gsize i = 0; i < G_N_ELEMENTS(damages); i++) {
    damage(path, damages[i][0], damages[i][1]);
    run_child("/opencl/cache/subprocess/builds");
  }
  run_child("/opencl/cache/subprocess/loads");
  lcip_cl_device_unref(device);
}

/* A cache folder that cannot be made costs nothing but time. */
static void test_cache_unwritable(void) {
  LcipClDevice *device;
  if (!first_device(&device))
    return;
  g_autofree char *path = lcip_cl_device_cache_path(device, double_source, CACHE_OPTIONS);
  g_autofree char *folder = g_path_get_dirname(path);
  g_autofree char *moved = g_strconcat(folder, ".moved", NULL);
  const gboolean had = g_rename(folder, moved) == 0;
  g_assert_true(g_file_set_contents(folder, "a file, no folder", -1, NULL));
  run_child("/opencl/cache/subprocess/builds");
  g_assert_cmpint(g_unlink(folder), ==, 0);
  if (had)
    g_assert_cmpint(g_rename(moved, folder), ==, 0);
  lcip_cl_device_unref(device);
}

static void remove_tree(const char *path) {
  GDir *dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
  for (const char *name; dir && (name = g_dir_read_name(dir));) {
    g_autofree char *child = g_build_filename(path, name, NULL);
    remove_tree(child);
  }
  g_clear_pointer(&dir, g_dir_close);
  g_remove(path);
}

/* Children inherit the folder; only the first process makes and removes it. The driver's own cache
 * stays where it is: it is no concern of these tests. */
int main(int argc, char **argv) {
  g_autofree char *made = NULL;
  if (!g_getenv("LCIP_TEST_OPENCL_CHILD")) {
    g_autofree char *pocl = g_build_filename(g_get_home_dir(), ".cache", "pocl", "kcache", NULL);
    made = g_dir_make_tmp("lcip-opencl-XXXXXX", NULL);
    g_assert_nonnull(made);
    g_setenv("POCL_CACHE_DIR", pocl, FALSE);
    g_setenv("XDG_CACHE_HOME", made, TRUE);
    g_setenv("LCIP_TEST_OPENCL_CHILD", "1", TRUE);
  }
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/opencl/devices", test_devices);
  g_test_add_func("/opencl/write-launch-read", test_write_launch_read);
  g_test_add_func("/opencl/empty", test_empty);
  g_test_add_func("/opencl/build-error", test_build_error);
  g_test_add_func("/opencl/missing-function", test_missing_function);
  g_test_add_func("/opencl/bad-arguments", test_bad_arguments);
  g_test_add_func("/opencl/two-queues", test_two_queues);
  g_test_add_func("/opencl/times", test_times);
  g_test_add_func("/opencl/picture-to-tensor", test_picture_to_tensor);
  g_test_add_func("/opencl/cache", test_cache);
  g_test_add_func("/opencl/cache-unwritable", test_cache_unwritable);
  g_test_add_func("/opencl/cache/subprocess/builds", test_cache_builds);
  g_test_add_func("/opencl/cache/subprocess/loads", test_cache_loads);
  const int status = g_test_run();
  if (made)
    remove_tree(made);
  return status;
}
