#include "config.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#if LCIP_HAVE_GSTREAMER
#include <gst/gst.h>
#endif

#include "lcip-error.h"
#include "lcip-media-private.h"

#ifdef __SANITIZE_ADDRESS__
/* GStreamer registers so many names that GLib's table of quarks grows; GLib keeps the old table for
 * good, and only slow unwinding finds out that it came from GLib's own set-up. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
  return "fast_unwind_on_malloc=0";
}
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
  return "leak:call_init";
}
#endif

/* ---- helpers ---- */

/* A folder of its own for a test, deleted at the end. */
typedef char TestFolder;

static TestFolder *folder_new(void) {
  GError *error = NULL;
  char *path = g_dir_make_tmp("lcip-media-XXXXXX", &error);
  g_assert_no_error(error);
  return path;
}

static void folder_free(TestFolder *path) {
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
  for (const char *name = g_dir_read_name(dir); name; name = g_dir_read_name(dir)) {
    g_autofree char *file = g_build_filename(path, name, NULL);
    g_remove(file);
  }
  g_rmdir(path);
  g_free(path);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestFolder, folder_free)

static char *sample_path(const char *name) {
  return g_build_filename(g_getenv("LCIP_DATA_PATH"), "tests", "data", name, NULL);
}

static LcipTensor *gradient(int width, int height) {
  LcipTensor *picture = lcip_picture_new(width, height);
  guint8 *p = lcip_tensor_get_mutable(picture);
  for (int i = 0; i < width * height * 3; i++)
    p[i] = (guint8)(i * 7);
  return picture;
}

static gboolean same_picture(const LcipTensor *a, const LcipTensor *b) {
  const gsize n = lcip_tensor_get_bytes(a);
  return lcip_shape_equal(lcip_tensor_get_shape(a), lcip_tensor_get_shape(b)) &&
         memcmp(lcip_tensor_get_data(a), lcip_tensor_get_data(b), n) == 0;
}

static void save(const char *folder, const char *name, LcipTensor *picture) {
  GError *error = NULL;
  g_autofree char *path = g_build_filename(folder, name, NULL);
  lcip_picture_save(picture, path, &error);
  g_assert_no_error(error);
}

static LcipMediaSource *open_source(const char *what, LcipMediaPace pace) {
  GError *error = NULL;
  LcipMediaSource *source = lcip_media_open(what, pace, &error);
  g_assert_no_error(error);
  return source;
}

static LcipTensor *next(LcipMediaSource *source, gint64 *timestamp_ns) {
  GError *error = NULL;
  LcipTensor *picture = lcip_media_source_next(source, timestamp_ns, NULL, &error);
  g_assert_no_error(error);
  return picture;
}

static gboolean lacks_png(void) {
  if (!LCIP_HAVE_PNG)
    g_test_skip("this build lacks the feature png");
  return !LCIP_HAVE_PNG;
}

static gboolean lacks_jpeg(void) {
  if (!LCIP_HAVE_JPEG)
    g_test_skip("this build lacks the feature jpeg");
  return !LCIP_HAVE_JPEG;
}

/* ---- pictures ---- */

static void test_png_round_trip(void) {
  g_autoptr(TestFolder) folder = folder_new();
  g_autofree char *path = g_build_filename(folder, "a.png", NULL);
  if (lacks_png())
    return;
  for (int size = 1; size < 40; size += 6) {
    GError *error = NULL;
    int width = 0, height = 0;
    g_autoptr(LcipTensor) picture = gradient(size, 41 - size);
    save(folder, "a.png", picture);
    g_autoptr(LcipTensor) loaded = lcip_picture_load(path, &error);
    g_assert_no_error(error);
    g_assert_true(same_picture(picture, loaded));
    g_assert_true(lcip_picture_size(path, &width, &height, &error));
    g_assert_cmpint(width, ==, size);
    g_assert_cmpint(height, ==, 41 - size);
  }
}

/* The photograph's known pixels: the four corners as other programs read them. */
static void test_photograph(void) {
  GError *error = NULL;
  g_autofree char *path = lcip_data_path("demo/astronaut.png");
  if (lacks_png())
    return;
  g_autoptr(LcipTensor) picture = lcip_picture_load(path, &error);
  g_assert_no_error(error);
  const guint8 *p = lcip_tensor_get_data(picture);
  static const struct {
    int x, y;
    guint8 rgb[3];
  } known[] = {{0, 0, {154, 147, 151}},
               {511, 0, {125, 119, 110}},
               {0, 511, {184, 167, 172}},
               {511, 511, {0, 0, 0}},
               {226, 123, {221, 180, 151}}};
  for (gsize i = 0; i < G_N_ELEMENTS(known); i++)
    g_assert_cmpmem(p + (known[i].y * 512 + known[i].x) * 3, 3, known[i].rgb, 3);
}

static void test_jpeg(void) {
  static const struct {
    const char *name;
    int width, height;
  } samples[] = {{"small.jpg", 48, 40}, {"progressive.jpg", 40, 30}, {"cmyk.jpg", 32, 24}};
  if (lacks_jpeg())
    return;
  for (gsize i = 0; i < G_N_ELEMENTS(samples); i++) {
    GError *error = NULL;
    g_autofree char *path = sample_path(samples[i].name);
    g_autoptr(LcipTensor) picture = lcip_picture_load(path, &error);
    g_assert_no_error(error);
    const gint64 *dims = lcip_tensor_get_shape(picture)->dims;
    g_assert_cmpint(dims[1], ==, samples[i].width);
    g_assert_cmpint(dims[0], ==, samples[i].height);
  }
}

/* tests/data/small.jpg with the tag Orientation, in either byte order, behind its first two bytes.
 */
static void save_oriented(const char *path, guint8 orientation, gboolean big_endian) {
  static const guint8 segment[] = {0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0,    0, 'I', 'I',
                                   42,   0,    8, 0,  0,   0,   1,   0,   0x12, 1, 3,   0,
                                   1,    0,    0, 0,  0,   0,   0,   0,   0,    0, 0,   0};
  static const guint8 big[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1};
  g_autofree char *sample = sample_path("small.jpg"), *data = NULL;
  gsize size;
  g_assert_true(g_file_get_contents(sample, &data, &size, NULL));
  g_autoptr(GByteArray) file = g_byte_array_new();
  g_byte_array_append(file, (const guint8 *)data, 2);
  g_byte_array_append(file, segment, sizeof segment);
  if (big_endian)
    memcpy(file->data + 12, big, sizeof big);
  file->data[30 + big_endian] = orientation;
  g_byte_array_append(file, (const guint8 *)data + 2, (guint)size - 2);
  g_assert_true(g_file_set_contents(path, (const char *)file->data, (gssize)file->len, NULL));
}

/* EXIF says where row 0 and column 0 of what is stored are seen. */
static void check_oriented(const LcipTensor *stored, const LcipTensor *shown, int orientation) {
  static const struct {
    gboolean swap, row_at_end, column_at_end;
  } seen[] = {{0, 0, 0}, {0, 0, 1}, {0, 1, 1}, {0, 1, 0},
              {1, 0, 0}, {1, 1, 0}, {1, 1, 1}, {1, 0, 1}};
  const gint64 *in = lcip_tensor_get_shape(stored)->dims, *out = lcip_tensor_get_shape(shown)->dims;
  const gboolean swap = seen[orientation - 1].swap;
  g_assert_cmpint(out[0], ==, in[swap]);
  g_assert_cmpint(out[1], ==, in[!swap]);
  for (gint64 row = 0; row < in[0]; row++)
    for (gint64 column = 0; column < in[1]; column++) {
      const gint64 r = seen[orientation - 1].row_at_end ? in[0] - 1 - row : row;
      const gint64 c = seen[orientation - 1].column_at_end ? in[1] - 1 - column : column;
      g_assert_cmpmem((const guint8 *)lcip_tensor_get_data(stored) + (row * in[1] + column) * 3, 3,
                      (const guint8 *)lcip_tensor_get_data(shown) +
                          ((swap ? c : r) * out[1] + (swap ? r : c)) * 3,
                      3);
    }
}

static void test_jpeg_orientation(void) {
  g_autoptr(TestFolder) folder = folder_new();
  g_autofree char *path = g_build_filename(folder, "turned.jpg", NULL);
  g_autofree char *sample = sample_path("small.jpg");
  if (lacks_jpeg())
    return;
  g_autoptr(LcipTensor) stored = lcip_picture_load(sample, NULL);
  for (int i = 0; i < 16; i++) {
    int width = 0, height = 0;
    save_oriented(path, (guint8)(i / 2 + 1), i % 2);
    g_autoptr(LcipTensor) shown = lcip_picture_load(path, NULL);
    check_oriented(stored, shown, i / 2 + 1);
    g_assert_true(lcip_picture_size(path, &width, &height, NULL));
    g_assert_cmpint(width, ==, lcip_tensor_get_shape(shown)->dims[1]);
    g_assert_cmpint(height, ==, lcip_tensor_get_shape(shown)->dims[0]);
  }
  save_oriented(path, 9, FALSE); /* no such orientation */
  g_autoptr(LcipTensor) plain = lcip_picture_load(path, NULL);
  check_oriented(stored, plain, 1);
}

/* Whatever the segment holds, it is read within its bounds. */
static void test_exif_damaged(void) {
  g_autofree guint8 *bytes = NULL;
  for (int i = 0; i < 20000; i++) {
    static const guint8 good[] = {'E',  'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0,
                                  0x12, 1,   3,   0,   1, 0, 0,   0,   6,  0, 0, 0, 0, 0, 0, 0};
    const gsize size = (gsize)g_test_rand_int_range(0, sizeof good + 1);
    g_free(bytes);
    bytes = g_memdup2(good, size); /* of just this size, so that memory checkers see its end */
    for (int k = 0; size && k < i % 4; k++)
      bytes[g_test_rand_int_range(0, (gint32)size)] = (guint8)g_test_rand_int_range(0, 256);
    const LcipOrientation found = lcip_exif_orientation(bytes, size);
    g_assert_cmpint(found, >=, LCIP_ORIENTATION_NORMAL);
    g_assert_cmpint(found, <=, LCIP_ORIENTATION_LEFT);
    if (size == sizeof good && i % 4 == 0)
      g_assert_cmpint(found, ==, LCIP_ORIENTATION_RIGHT);
  }
}

/* Mean colour of each sample, as another program reads it: not grey, not inverted. */
static void test_jpeg_colors(void) {
  static const struct {
    const char *name;
    double rgb[3];
  } samples[] = {{"small.jpg", {171, 142, 113}},
                 {"progressive.jpg", {142, 107, 98}},
                 {"cmyk.jpg", {139, 106, 97}}};
  if (lacks_jpeg())
    return;
  for (gsize i = 0; i < G_N_ELEMENTS(samples); i++) {
    g_autofree char *path = sample_path(samples[i].name);
    g_autoptr(LcipTensor) picture = lcip_picture_load(path, NULL);
    g_assert_nonnull(picture);
    const guint8 *p = lcip_tensor_get_data(picture);
    const gsize n = lcip_tensor_get_bytes(picture);
    double sum[3] = {0};
    for (gsize k = 0; k < n; k++)
      sum[k % 3] += p[k];
    for (int c = 0; c < 3; c++)
      g_assert_cmpfloat_with_epsilon(sum[c] * 3 / (double)n, samples[i].rgb[c], 6);
  }
}

/* What a damaged file gives: a picture or an error of the media domain. */
static gboolean load_damaged(const char *path, const void *data, gsize n) {
  GError *error = NULL;
  g_assert_true(g_file_set_contents(path, data, (gssize)n, NULL));
  g_autoptr(LcipTensor) picture = lcip_picture_load(path, &error);
  g_assert_true((picture != NULL) != (error != NULL));
  const gboolean ok = picture != NULL;
  if (error)
    g_assert_true(error->domain == LCIP_MEDIA_ERROR || error->domain == LCIP_ERROR);
  g_clear_error(&error);
  return ok;
}

/* Bytes changed at 300 seeded offsets, and the file cut at every 64th byte. */
static void damage(const char *path) {
  g_autoptr(TestFolder) folder = folder_new();
  g_autofree char *copy = g_build_filename(folder, "damaged", NULL), *data = NULL;
  gsize n = 0;
  guint refused = 0;
  g_autoptr(GRand) random = g_rand_new_with_seed(20230501);
  g_test_message("%s: seed 20230501", path);
  g_assert_true(g_file_get_contents(path, &data, &n, NULL));
  for (int i = 0; i < 300; i++) {
    g_autofree char *changed = g_memdup2(data, n);
    for (int k = 0; k < 1 + i % 4; k++)
      changed[g_rand_int_range(random, 0, (gint32)n)] ^= (char)g_rand_int_range(random, 1, 256);
    refused += !load_damaged(copy, changed, n);
  }
  g_assert_cmpuint(refused, >, 0);
  for (gsize cut = 0; cut < MIN(n, 8); cut++)
    g_assert_false(load_damaged(copy, data, cut));
  for (gsize cut = 64; cut < n; cut += 64)
    load_damaged(copy, data, cut);
}

static void test_damaged_png(void) {
  g_autoptr(TestFolder) folder = folder_new();
  g_autoptr(LcipTensor) picture = gradient(61, 47);
  g_autofree char *path = g_build_filename(folder, "good.png", NULL);
  if (lacks_png())
    return;
  save(folder, "good.png", picture);
  damage(path);
}

static void test_damaged_jpeg(void) {
  static const char *const names[] = {"small.jpg", "progressive.jpg", "cmyk.jpg"};
  if (lacks_jpeg())
    return;
  for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *path = sample_path(names[i]);
    damage(path);
  }
}

/* A PNG header that promises more pixels than are allowed is refused before memory is asked for. */
static void test_huge(void) {
  g_autoptr(TestFolder) folder = folder_new();
  g_autofree char *path = g_build_filename(folder, "huge.png", NULL);
  static const guint8 head[] = {0x89, 'P',  'N', 'G', '\r', '\n', 0x1a, '\n', 0,    0,    0,
                                13,   'I',  'H', 'D', 'R',  0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff,
                                0xff, 0xff, 8,   2,   0,    0,    0,    0,    0,    0,    0};
  if (lacks_png())
    return;
  g_assert_false(load_damaged(path, head, sizeof head));
}

static void test_features_named(void) {
  GError *error = NULL;
  g_autofree char *jpeg = sample_path("small.jpg"), *png = lcip_data_path("demo/astronaut.png");
  if (LCIP_HAVE_PNG && LCIP_HAVE_JPEG) {
    g_test_skip("this build has both png and jpeg");
    return;
  }
  g_autoptr(LcipTensor) picture = lcip_picture_load(LCIP_HAVE_JPEG ? png : jpeg, &error);
  g_assert_null(picture);
  g_assert_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_MISSING);
  g_assert_nonnull(strstr(error->message, LCIP_HAVE_JPEG ? "png" : "jpeg"));
  g_clear_error(&error);
}

/* ---- sources ---- */

static void test_picture_source(void) {
  g_autoptr(TestFolder) folder = folder_new();
  g_autoptr(LcipTensor) picture = gradient(31, 17);
  g_autofree char *path = g_build_filename(folder, "a.png", NULL);
  int width, height;
  gint64 time_ns;
  if (lacks_png())
    return;
  save(folder, "a.png", picture);
  g_autoptr(LcipMediaSource) source = open_source(path, LCIP_MEDIA_EVERY_FRAME);
  lcip_media_source_max_size(source, &width, &height);
  g_assert_cmpint(width, ==, 31);
  g_assert_cmpint(height, ==, 17);
  g_assert_cmpstr(lcip_media_source_name(source), ==, "a.png");
  g_assert_false(lcip_media_source_is_live(source));
  g_autoptr(LcipTensor) first = next(source, &time_ns);
  g_assert_true(same_picture(first, picture));
  g_assert_null(next(source, &time_ns));
  g_assert_null(next(source, &time_ns));
}

/* By name, other files left out; the largest size is known at once. */
static void test_folder(void) {
  static const char *const names[] = {"b.PNG", "a.png", "c.png"};
  g_autoptr(TestFolder) folder = folder_new();
  int width, height;
  gint64 time_ns, last_ns = -1;
  if (lacks_png())
    return;
  for (int i = 0; i < 3; i++) {
    g_autoptr(LcipTensor) picture = gradient(10 + i, 20 - i);
    save(folder, names[i], picture);
  }
  g_autofree char *text = g_build_filename(folder, "a.txt", NULL);
  g_assert_true(g_file_set_contents(text, "no picture", -1, NULL));
  g_autoptr(LcipMediaSource) source = open_source(folder, LCIP_MEDIA_EVERY_FRAME);
  lcip_media_source_max_size(source, &width, &height);
  g_assert_cmpint(width, ==, 12);
  g_assert_cmpint(height, ==, 20);
  static const int expected[] = {11, 10, 12}; /* a.png, b.PNG, c.png */
  for (int i = 0; i < 3; i++) {
    g_autoptr(LcipTensor) picture = next(source, &time_ns);
    g_assert_cmpint(lcip_tensor_get_shape(picture)->dims[1], ==, expected[i]);
    g_assert_cmpint(time_ns, >, last_ns);
    last_ns = time_ns;
  }
  g_assert_null(next(source, &time_ns));
}

static void assert_cannot_open(const char *what, int code, const char *part) {
  GError *error = NULL;
  g_autoptr(LcipMediaSource) source = lcip_media_open(what, LCIP_MEDIA_EVERY_FRAME, &error);
  g_assert_null(source);
  g_assert_error(error, LCIP_MEDIA_ERROR, code);
  g_assert_nonnull(strstr(error->message, part));
  g_clear_error(&error);
}

static void test_cannot_open(void) {
  g_autoptr(TestFolder) folder = folder_new();
  g_autofree char *text = g_build_filename(folder, "notes.txt", NULL);
  g_autofree char *gif = g_build_filename(folder, "still", NULL);
  g_assert_true(g_file_set_contents(text, "no picture and no video", -1, NULL));
  g_autofree char *noise = g_build_filename(folder, "noise", NULL);
  g_assert_true(g_file_set_contents(noise, "\1\2\377\3 no video\0\4", 16, NULL));
  g_assert_true(g_file_set_contents(gif, "GIF89a\1\0\1", 9, NULL));
  assert_cannot_open("/no/such/file.png", LCIP_MEDIA_ERROR_NOT_FOUND, "/no/such/file.png");
  assert_cannot_open(folder, LCIP_MEDIA_ERROR_NOT_FOUND, ".png");
  assert_cannot_open(gif, LCIP_MEDIA_ERROR_FORMAT, "found a GIF");
  assert_cannot_open(text, LCIP_MEDIA_ERROR_FORMAT, "notes.txt");
  if (LCIP_HAVE_GSTREAMER) {
    assert_cannot_open(noise, LCIP_MEDIA_ERROR_FORMAT, "noise");
    assert_cannot_open("camera:none-of-this-name", LCIP_MEDIA_ERROR_NOT_FOUND, "camera");
  } else {
    assert_cannot_open(noise, LCIP_MEDIA_ERROR_MISSING, "gstreamer");
    assert_cannot_open("camera", LCIP_MEDIA_ERROR_MISSING, "gstreamer");
  }
}

/* ---- demo ---- */

/* The view stays inside the photograph, pans over 30 % of its width, zooms 2x, moves smoothly. */
static void test_demo_view(void) {
  double min_x = 512, max_x = 0, min_width = 512, max_width = 0;
  for (guint64 n = 0; n < LCIP_DEMO_PERIOD; n++) {
    const LcipDemoView v = lcip_demo_view(n, 512, 512), w = lcip_demo_view(n + 1, 512, 512);
    const LcipDemoView again = lcip_demo_view(n + 1000 * LCIP_DEMO_PERIOD, 512, 512);
    g_assert_cmpmem(&v, sizeof v, &again, sizeof again);
    g_assert_cmpfloat(v.x - v.width / 2, >=, -1e-6);
    g_assert_cmpfloat(v.x + v.width / 2, <=, 512 + 1e-6);
    g_assert_cmpfloat(v.y - v.height / 2, >=, -1e-6);
    g_assert_cmpfloat(v.y + v.height / 2, <=, 512 + 1e-6);
    g_assert_cmpfloat(fabs(w.x - v.x), <, 5);
    g_assert_cmpfloat(fabs(w.width - v.width), <, 8);
    min_x = MIN(min_x, v.x), max_x = MAX(max_x, v.x);
    min_width = MIN(min_width, v.width), max_width = MAX(max_width, v.width);
  }
  g_assert_cmpfloat_with_epsilon(max_x - min_x, 0.3 * 512, 0.5);
  g_assert_cmpfloat_with_epsilon(max_width / min_width, 2, 1e-9);
}

/* The face's middle is in every view. */
static void test_demo_face(void) {
  for (guint64 n = 0; n < LCIP_DEMO_PERIOD; n++) {
    const LcipDemoView v = lcip_demo_view(n, 512, 512);
    g_assert_cmpfloat(fabs(226 - v.x), <, v.width / 2 - 48);
    g_assert_cmpfloat(fabs(123 - v.y), <, v.height / 2 - 48);
  }
}

/* Frame n is the same whenever it is made; neighbours differ. */
static void test_demo_pure(void) {
  gint64 time_ns;
  if (lacks_png())
    return;
  g_autoptr(LcipMediaSource) a = open_source("demo", LCIP_MEDIA_EVERY_FRAME);
  g_autoptr(LcipMediaSource) b = open_source("demo", LCIP_MEDIA_EVERY_FRAME);
  g_autoptr(GPtrArray) frames = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_tensor_unref);
  for (int i = 0; i < 40; i++)
    g_ptr_array_add(frames, next(a, &time_ns));
  for (int i = 0; i < 40; i++) {
    g_autoptr(LcipTensor) frame = next(b, &time_ns);
    g_assert_true(same_picture(frame, frames->pdata[i]));
    g_assert_cmpint(time_ns, ==, (gint64)i * (1000000000 / 30));
    g_assert_cmpint(lcip_tensor_get_shape(frame)->dims[0], ==, 480);
    g_assert_cmpint(lcip_tensor_get_shape(frame)->dims[1], ==, 640);
  }
  g_assert_false(same_picture(frames->pdata[30], frames->pdata[31]));
}

/* Live: its own rate; who comes late misses frames, and they are counted. */
static void test_demo_live(void) {
  gint64 time_ns, last_ns;
  if (lacks_png())
    return;
  g_autoptr(LcipMediaSource) source = open_source("demo", LCIP_MEDIA_LIVE);
  g_assert_true(lcip_media_source_is_live(source));
  g_autoptr(LcipTensor) first = next(source, &last_ns);
  g_usleep(200 * 1000);
  g_autoptr(LcipTensor) second = next(source, &time_ns);
  g_assert_false(same_picture(first, second));
  const guint64 drops = lcip_media_source_drops(source);
  g_assert_cmpuint(drops, >=, 4); /* frames 1 to 5 are over after 200 ms */
  const gint64 frames = (time_ns - last_ns + 16000000) / 33333333;
  g_assert_cmpint(frames, ==, (gint64)drops + 1);
}

typedef struct {
  GCancellable *cancellable;
  gint64 cancelled_us;
} Canceller;

static gpointer cancel_later(gpointer data) {
  Canceller *canceller = data;
  g_usleep(50 * 1000);
  canceller->cancelled_us = g_get_monotonic_time();
  g_cancellable_cancel(canceller->cancellable);
  return NULL;
}

/* Reads until cancelled; that must come soon after cancel. */
static void assert_cancels(LcipMediaSource *source) {
  g_autoptr(GCancellable) cancellable = g_cancellable_new();
  Canceller canceller = {.cancellable = cancellable};
  GError *error = NULL;
  gint64 time_ns;
  GThread *thread = g_thread_new("cancel", cancel_later, &canceller);
  while (!error) {
    LcipTensor *picture = lcip_media_source_next(source, &time_ns, cancellable, &error);
    g_clear_pointer(&picture, lcip_tensor_unref);
  }
  const gint64 ended_us = g_get_monotonic_time();
  g_thread_join(thread);
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpint(ended_us - canceller.cancelled_us, <, G_USEC_PER_SEC);
  g_clear_error(&error);
}

static void test_cancel(void) {
  if (lacks_png())
    return;
  g_autoptr(LcipMediaSource) source = open_source("demo", LCIP_MEDIA_LIVE);
  assert_cancels(source);
}

/* ---- data files ---- */

static void test_data_path(void) {
  g_autofree char *path = lcip_data_path("demo/astronaut.png");
  g_assert_true(g_file_test(path, G_FILE_TEST_IS_REGULAR));
  g_autofree char *absent = lcip_data_path("demo/absent.png");
  g_assert_nonnull(strstr(absent, "demo/absent.png"));
}

/* ---- video ---- */

#if LCIP_HAVE_GSTREAMER

#define VIDEO_FRAMES 25

/* NULL after g_test_skip() where elements are missing. */
static char *make_video(const char *folder) {
  g_autoptr(GError) error = NULL;
  char *path = g_build_filename(folder, "test.avi", NULL);
  gst_init(NULL, NULL);
  g_autofree char *text = g_strdup_printf(
      "videotestsrc num-buffers=%d ! video/x-raw,width=64,height=48,framerate=25/1 ! jpegenc ! "
      "avimux ! filesink name=file",
      VIDEO_FRAMES);
  g_autoptr(GstElement) pipeline = gst_parse_launch(text, &error);
  if (!pipeline || error) {
    g_test_skip("no GStreamer elements to make a video with");
    g_free(path);
    return NULL;
  }
  g_autoptr(GstElement) file = gst_bin_get_by_name(GST_BIN(pipeline), "file");
  g_object_set(file, "location", path, NULL);
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  g_autoptr(GstBus) bus = gst_element_get_bus(pipeline);
  g_autoptr(GstMessage) message =
      gst_bus_timed_pop_filtered(bus, 20 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_assert_nonnull(message);
  g_assert_cmpint(GST_MESSAGE_TYPE(message), ==, GST_MESSAGE_EOS);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  return path;
}

/* Every frame once, in order, however slowly they are read. */
static void test_video(void) {
  g_autoptr(TestFolder) folder = folder_new();
  g_autofree char *path = make_video(folder);
  int width, height, n = 0;
  gint64 time_ns, last_ns = -1;
  if (!path)
    return;
  g_autoptr(LcipMediaSource) source = open_source(path, LCIP_MEDIA_EVERY_FRAME);
  lcip_media_source_max_size(source, &width, &height);
  g_assert_cmpint(width, ==, 64);
  g_assert_cmpint(height, ==, 48);
  for (;; n++) {
    g_autoptr(LcipTensor) picture = next(source, &time_ns);
    if (!picture)
      break;
    g_assert_cmpint(time_ns, >, last_ns);
    last_ns = time_ns;
    if (n % 5 == 0)
      g_usleep(20 * 1000);
  }
  g_assert_cmpint(n, ==, VIDEO_FRAMES);
  g_assert_cmpuint(lcip_media_source_drops(source), ==, 0);
}

/* Live it goes on after its end, at its own rate. */
static void test_video_live(void) {
  g_autoptr(TestFolder) folder = folder_new();
  g_autofree char *path = make_video(folder);
  gint64 time_ns;
  if (!path)
    return;
  g_autoptr(LcipMediaSource) source = open_source(path, LCIP_MEDIA_LIVE);
  const gint64 start_us = g_get_monotonic_time();
  for (int i = 0; i < VIDEO_FRAMES + 5; i++) {
    g_autoptr(LcipTensor) picture = next(source, &time_ns);
    g_assert_nonnull(picture);
  }
  g_assert_cmpint(g_get_monotonic_time() - start_us, >, 800 * 1000);
  assert_cancels(source);
}

/* Closing while the decoder waits for a reader does not hang. */
static void test_video_close(void) {
  g_autoptr(TestFolder) folder = folder_new();
  g_autofree char *path = make_video(folder);
  gint64 time_ns;
  if (!path)
    return;
  for (int i = 0; i < 5; i++) {
    g_autoptr(LcipMediaSource) source = open_source(path, LCIP_MEDIA_EVERY_FRAME);
    if (i > 0)
      lcip_tensor_unref(next(source, &time_ns));
  }
}

/* A cut or damaged file: fewer frames or an error, no crash, no hang. */
static void test_video_damaged(void) {
  g_autoptr(TestFolder) folder = folder_new();
  g_autofree char *path = make_video(folder), *data = NULL;
  gsize n;
  if (!path)
    return;
  g_assert_true(g_file_get_contents(path, &data, &n, NULL));
  for (gsize cut = 20; cut < n; cut += n / 6) {
    GError *error = NULL;
    g_assert_true(g_file_set_contents(path, data, (gssize)cut, NULL));
    g_autoptr(LcipMediaSource) source = lcip_media_open(path, LCIP_MEDIA_EVERY_FRAME, &error);
    g_assert_true((source != NULL) != (error != NULL));
    for (gint64 time_ns; source && !error;) {
      g_autoptr(LcipTensor) picture = lcip_media_source_next(source, &time_ns, NULL, &error);
      if (!picture)
        break;
    }
    g_clear_error(&error);
  }
}

#endif

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/media/png/round-trip", test_png_round_trip);
  g_test_add_func("/media/png/photograph", test_photograph);
  g_test_add_func("/media/png/damaged", test_damaged_png);
  g_test_add_func("/media/png/huge", test_huge);
  g_test_add_func("/media/jpeg/sizes", test_jpeg);
  g_test_add_func("/media/jpeg/colors", test_jpeg_colors);
  g_test_add_func("/media/jpeg/orientation", test_jpeg_orientation);
  g_test_add_func("/media/jpeg/exif-damaged", test_exif_damaged);
  g_test_add_func("/media/jpeg/damaged", test_damaged_jpeg);
  g_test_add_func("/media/features-named", test_features_named);
  g_test_add_func("/media/source/picture", test_picture_source);
  g_test_add_func("/media/source/folder", test_folder);
  g_test_add_func("/media/source/cannot-open", test_cannot_open);
  g_test_add_func("/media/demo/view", test_demo_view);
  g_test_add_func("/media/demo/face", test_demo_face);
  g_test_add_func("/media/demo/pure", test_demo_pure);
  g_test_add_func("/media/demo/live", test_demo_live);
  g_test_add_func("/media/demo/cancel", test_cancel);
  g_test_add_func("/media/data-path", test_data_path);
#if LCIP_HAVE_GSTREAMER
  g_test_add_func("/media/video/every-frame", test_video);
  g_test_add_func("/media/video/live", test_video_live);
  g_test_add_func("/media/video/close", test_video_close);
  g_test_add_func("/media/video/damaged", test_video_damaged);
#endif
  return g_test_run();
}
