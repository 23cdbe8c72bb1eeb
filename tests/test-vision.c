#include "config.h"

#include <math.h>
#include <string.h>

#include "lcip-error.h"
#include "lcip-kernel.h"

/* The vision operators on small cases whose results are known without running them. */

#define MAX_IO 8

/* One firing of an operator's first CPU kernel. Inputs' actual shapes are their tensors'; @planned
 * (may be NULL) is the planned shape of input 0. */
typedef struct {
  const char *op;
  const char *const *attrs; /* name, text, ..., NULL */
  guint n_inputs;
  LcipTensor *inputs[MAX_IO];
  const LcipShape *planned;
  guint threads;
} Firing;

typedef struct {
  LcipTensor *outputs[2];
  GError *error;
} Fired;

static void fired_clear(Fired *fired) {
  for (guint i = 0; i < G_N_ELEMENTS(fired->outputs); i++)
    g_clear_pointer(&fired->outputs[i], lcip_tensor_unref);
  g_clear_error(&fired->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fired, fired_clear)

static LcipAttrs *make_attrs(const LcipOperator *op, const char *const *attrs) {
  LcipAttrs *made = lcip_attrs_new(op);
  for (; attrs && *attrs; attrs += 2) {
    GError *error = NULL;
    const LcipAttrDef *def = lcip_operator_find_attr(op, attrs[0]);
    g_assert_nonnull(def);
    lcip_attrs_set_text(made, attrs[0], def->type, attrs[1], &error);
    g_assert_no_error(error);
  }
  return made;
}

static const LcipKernel *find_kernel(const LcipStep *step, LcipPortFormats *formats) {
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  for (guint i = 0; i < n; i++)
    if (table[i]->device == LCIP_DEVICE_CPU && lcip_kernel_supports(table[i], step, formats, NULL))
      return table[i];
  return NULL;
}

/* Scratch is exactly as large as asked for, so that a sanitizer sees a kernel that takes more. */
static void run_kernel(const Firing *firing, LcipStep *step, Fired *fired) {
  LcipPortFormats formats = {0};
  LcipTensorView inputs[MAX_IO], outputs[2];
  const LcipKernel *kernel = find_kernel(step, &formats);
  g_assert_nonnull(kernel);
  g_autoptr(LcipTeam) team = lcip_team_new(MAX(firing->threads, 1));
  for (guint i = 0; i < step->n_inputs; i++) {
    inputs[i] = lcip_tensor_view(firing->inputs[i]);
    inputs[i].spec = step->inputs[i];
  }
  for (guint i = 0; i < step->n_outputs; i++) {
    fired->outputs[i] = lcip_tensor_new(&step->outputs[i]);
    outputs[i] = lcip_tensor_view(fired->outputs[i]);
  }
  gsize n_scratch =
      kernel->scratch_bytes ? kernel->scratch_bytes(step, &formats, lcip_team_size(team)) : 0;
  g_autofree void *scratch = g_malloc(n_scratch);
  const LcipCall call = {.step = step, .inputs = inputs, .outputs = outputs, .scratch = scratch};
  const gboolean ok = kernel->run(&call, team, &fired->error);
  g_assert_cmpint(ok, ==, fired->error == NULL);
  for (guint i = 0; i < step->n_outputs; i++)
    lcip_tensor_set_shape(fired->outputs[i], &outputs[i].shape);
}

/* fired.error: of inference or of the kernel. */
static Fired fire(Firing firing) {
  Fired fired = {0};
  const LcipOperator *op = lcip_operator_find("lcip", firing.op);
  g_assert_nonnull(op);
  g_autoptr(LcipAttrs) attrs = make_attrs(op, firing.attrs);
  LcipTensorSpec inputs[MAX_IO], outputs[2] = {0};
  LcipTensor *constants[MAX_IO] = {0};
  for (guint i = 0; i < firing.n_inputs; i++)
    inputs[i] = *lcip_tensor_get_spec(firing.inputs[i]);
  if (firing.planned)
    inputs[0].shape = *firing.planned;
  LcipStep step = {.op = op,
                   .attrs = attrs,
                   .n_inputs = firing.n_inputs,
                   .n_anchor_inputs = firing.n_inputs,
                   .inputs = inputs,
                   .constants = constants,
                   .n_outputs = op->n_outputs,
                   .outputs = outputs};
  if (lcip_step_infer(&step, &fired.error))
    run_kernel(&firing, &step, &fired);
  return fired;
}

static LcipTensor *floats(LcipShape shape, const float *values) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, shape);
  return values ? lcip_tensor_new_from_data(&spec, values) : lcip_tensor_new(&spec);
}

static LcipTensor *picture(int width, int height) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_U8, lcip_shape(3, height, width, 3));
  return lcip_tensor_new(&spec);
}

/* Pixel (x, y) is (10 x, 10 y, 7). */
static LcipTensor *ramp(int width, int height) {
  LcipTensor *made = picture(width, height);
  guint8 *p = lcip_tensor_get_mutable(made);
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++, p += 3)
      p[0] = (guint8)(10 * x), p[1] = (guint8)(10 * y), p[2] = 7;
  return made;
}

static const float *data(const Fired *fired, guint i) {
  g_assert_no_error(fired->error);
  return lcip_tensor_get_data(fired->outputs[i]);
}

static void assert_near(float found, double expected, double tolerance) {
  if (!(fabs((double)found - expected) <= tolerance))
    g_error("expected %g within %g, found %g", expected, tolerance, (double)found);
}

#define ATTRS(...)                                                                                 \
  (const char *const[]) {                                                                          \
    __VA_ARGS__, NULL                                                                              \
  }

/* ---- PictureToTensor ---- */

static void test_same_size(void) {
  g_autoptr(LcipTensor) in = ramp(5, 3);
  g_auto(Fired) out =
      fire((Firing){"PictureToTensor", ATTRS("width", "5", "height", "3"), 1, {in}});
  const float *p = data(&out, 0), *m = data(&out, 1);
  for (int y = 0; y < 3; y++)
    for (int x = 0; x < 5; x++, p += 3) {
      assert_near(p[0], 10 * x, 1e-4);
      assert_near(p[1], 10 * y, 1e-4);
      assert_near(p[2], 7, 1e-4);
    }
  const float identity[] = {1, 0, 0, 0, 1, 0};
  for (int i = 0; i < 6; i++)
    assert_near(m[i], (double)identity[i], 0);
}

/* 4x4 to 2x2: the mean of each 2x2 block. Mean and scale per channel, BGR, planes. */
static void test_area_layout(void) {
  g_autoptr(LcipTensor) in = ramp(4, 4);
  g_auto(Fired) out = fire((Firing){"PictureToTensor",
                                    ATTRS("width", "2", "height", "2", "layout", "NCHW", "color",
                                          "BGR", "mean", "1 2 3", "scale", "1 0.5 2"),
                                    1,
                                    {in},
                                    .threads = 3});
  const float *p = data(&out, 0);
  for (int y = 0; y < 2; y++)
    for (int x = 0; x < 2; x++) {
      assert_near(p[0 + y * 2 + x], 7 - 1, 1e-4);
      assert_near(p[4 + y * 2 + x], ((20 * y + 5) - 2) * 0.5, 1e-4);
      assert_near(p[8 + y * 2 + x], ((20 * x + 5) - 3) * 2, 1e-4);
    }
}

/* 3 columns to 2: a third of the middle column's weight each (1 and 0.5 of 1.5). */
static void test_area_fraction(void) {
  g_autoptr(LcipTensor) in = ramp(3, 1);
  g_auto(Fired) out = fire(
      (Firing){"PictureToTensor", ATTRS("width", "2", "height", "1", "fit", "stretch"), 1, {in}});
  const float *p = data(&out, 0);
  assert_near(p[0], (0 * 1 + 10 * 0.5) / 1.5, 1e-4);
  assert_near(p[3], (10 * 0.5 + 20 * 1) / 1.5, 1e-4);
}

/* 2 columns to 4: centres at 0.25, 0.75, 1.25, 1.75; linear between 0.5 and 1.5, flat outside. */
static void test_grow(void) {
  static const char *const filters[] = {"area", "linear"};
  g_autoptr(LcipTensor) in = ramp(2, 1);
  for (guint i = 0; i < 2; i++) {
    g_auto(Fired) out =
        fire((Firing){"PictureToTensor",
                      ATTRS("width", "4", "height", "1", "fit", "stretch", "filter", filters[i]),
                      1,
                      {in}});
    const float *p = data(&out, 0);
    const double expected[] = {0, 2.5, 7.5, 10};
    for (int x = 0; x < 4; x++)
      assert_near(p[3 * x], expected[x], 1e-4);
  }
}

/* 4x2 padded to 4x4: a black row above and below. */
static void test_pad(void) {
  g_autoptr(LcipTensor) in = ramp(4, 2);
  g_auto(Fired) out = fire((Firing){"PictureToTensor",
                                    ATTRS("width", "4", "height", "4", "fit", "pad", "mean",
                                          "127.5", "scale", "0.00784313725490196"),
                                    1,
                                    {in}});
  const float *p = data(&out, 0), *m = data(&out, 1);
  for (int x = 0; x < 4; x++) {
    for (int c = 0; c < 3; c++) {
      assert_near(p[x * 3 + c], -1, 1e-5);
      assert_near(p[(12 + x) * 3 + c], -1, 1e-5);
    }
    assert_near(p[(4 + x) * 3], (10 * x - 127.5) / 127.5, 1e-5);
    assert_near(p[(8 + x) * 3 + 1], (10 - 127.5) / 127.5, 1e-5);
  }
  assert_near(m[2], 0, 0);
  assert_near(m[5], -1, 0);
}

/* 6x2 cropped to 2x2: columns 2 and 3. */
static void test_crop(void) {
  g_autoptr(LcipTensor) in = ramp(6, 2);
  g_auto(Fired) out =
      fire((Firing){"PictureToTensor", ATTRS("width", "2", "height", "2", "fit", "crop"), 1, {in}});
  const float *p = data(&out, 0), *m = data(&out, 1);
  assert_near(p[0], 20, 1e-4);
  assert_near(p[3], 30, 1e-4);
  assert_near(m[2], 2, 0);
}

/* A picture smaller than planned gives what it gives alone; threads change nothing. */
static void test_actual_size(void) {
  const LcipShape planned = lcip_shape(3, 40, 50, 3);
  static const char *const fits[] = {"stretch", "pad", "crop"};
  for (int size = 1; size < 34; size += 4)
    for (guint fit = 0; fit < G_N_ELEMENTS(fits); fit++) {
      g_autoptr(LcipTensor) in = ramp(size + 3, size);
      const char *const *attrs = ATTRS("width", "9", "height", "7", "fit", fits[fit]);
      g_auto(Fired) alone = fire((Firing){"PictureToTensor", attrs, 1, {in}});
      g_auto(Fired) out = fire((Firing){"PictureToTensor", attrs, 1, {in}, &planned, 3});
      g_assert_cmpmem(data(&alone, 0), lcip_tensor_get_bytes(alone.outputs[0]), data(&out, 0),
                      lcip_tensor_get_bytes(out.outputs[0]));
    }
}

static void assert_refused(Firing firing, const char *part) {
  g_auto(Fired) out = fire(firing);
  g_assert_error(out.error, LCIP_ERROR, LCIP_ERROR_INVALID);
  g_assert_nonnull(strstr(out.error->message, part));
}

static void test_refused(void) {
  g_autoptr(LcipTensor) in = ramp(4, 4);
  g_autoptr(LcipTensor) rgba = NULL, rows = floats(lcip_shape(2, 3, 7), NULL);
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_U8, lcip_shape(3, 4, 4, 4));
  rgba = lcip_tensor_new(&spec);
  const char *const *size = ATTRS("width", "2", "height", "2");
  assert_refused((Firing){"PictureToTensor", size, 1, {rgba}}, "4x4x4");
  assert_refused((Firing){"PictureToTensor", size, 1, {rows}}, "u8");
  assert_refused(
      (Firing){"PictureToTensor", ATTRS("width", "2", "height", "2", "mean", "1 2"), 1, {in}},
      "mean");
  assert_refused((Firing){"PictureToTensor", ATTRS("width", "2"), 1, {in}}, "height");
  assert_refused((Firing){"NonMaxSuppression", NULL, 1, {rows}}, "7");
  assert_refused((Firing){"DrawDetections", ATTRS("color", "green"), 2, {in, rows}}, "7");
}

/* ---- boxes ---- */

static const char *const decode_attrs[] = {
    "strides",         "4",   "anchors_per_cell", "2", "input_width", "8",
    "input_height",    "8",   "keypoints",        "1", "activation",  "none",
    "score_threshold", "0.5", "max_candidates",   "3", NULL};

/* 8x8 input, stride 4: 2x2 cells of 2 anchors, centres at 2 and 6. */
static Fired decode(const float scores[8], const float boxes[48], const float transform[6]) {
  g_autoptr(LcipTensor) m = floats(lcip_shape(1, 6), transform);
  g_autoptr(LcipTensor) s = floats(lcip_shape(3, 1, 8, 1), scores);
  g_autoptr(LcipTensor) b = floats(lcip_shape(3, 1, 8, 6), boxes);
  return fire((Firing){"DecodeAnchorBoxes", decode_attrs, 3, {m, s, b}});
}

static void test_decode(void) {
  const float transform[] = {2, 0, 10, 0, 3, -1};
  float scores[8] = {0}, boxes[48] = {0};
  const float box[] = {0.5f, -0.5f, 2, 4, 1, 1}; /* offset, size, key point's offset */
  scores[5] = 0.75f; /* cell 2 (x 0, y 1), second anchor: centre (2, 6) */
  memcpy(boxes + 5 * 6, box, sizeof box);
  g_auto(Fired) out = decode(scores, boxes, transform);
  const float *row = data(&out, 0);
  const double expected[] = {1.5 * 2 + 10, 3.5 * 3 - 1, 3.5 * 2 + 10, 7.5 * 3 - 1,
                             0.75,         0,           3 * 2 + 10,   7 * 3 - 1};
  g_assert_cmpint(lcip_tensor_get_shape(out.outputs[0])->dims[0], ==, 1);
  for (int i = 0; i < 8; i++)
    assert_near(row[i], expected[i], 1e-4);
}

/* Best first, equal ones by anchor, at most three; threshold itself and what is not finite left
 * out. */
static void test_decode_order(void) {
  const float transform[] = {1, 0, 0, 0, 1, 0};
  const float scores[8] = {0.6f, 0.9f, 0.5f, 0.6f, NAN, 0.6f, INFINITY, 0.95f};
  const double best[] = {0.9, 0.6, 0.6}, x[] = {2, 2, 6};
  float boxes[48] = {0};
  boxes[7 * 6 + 2] = NAN;
  g_auto(Fired) out = decode(scores, boxes, transform);
  const float *rows = data(&out, 0);
  g_assert_cmpint(lcip_tensor_get_shape(out.outputs[0])->dims[0], ==, 3);
  for (int i = 0; i < 3; i++) {
    assert_near(rows[i * 8 + 4], best[i], 1e-6);
    assert_near(rows[i * 8], x[i], 1e-6);
  }
}

static void test_decode_none(void) {
  const float transform[] = {1, 0, 0, 0, 1, 0}, scores[8] = {0}, boxes[48] = {0};
  g_auto(Fired) out = decode(scores, boxes, transform);
  data(&out, 0);
  g_assert_cmpint(lcip_tensor_get_shape(out.outputs[0])->dims[0], ==, 0);
  g_auto(Fired) kept = fire((Firing){"NonMaxSuppression", NULL, 1, {out.outputs[0]}});
  data(&kept, 0);
  g_assert_cmpint(lcip_tensor_get_shape(kept.outputs[0])->dims[0], ==, 0);
}

/* Two labels: the better of the two is taken, sigmoid(0) is a half. */
static void test_decode_labels(void) {
  const float transform[] = {1, 0, 0, 0, 1, 0}, boxes[4] = {0, 0, 2, 2};
  const float scores[3] = {-3, 2, 0};
  g_autoptr(LcipTensor) m = floats(lcip_shape(1, 6), transform);
  g_autoptr(LcipTensor) s = floats(lcip_shape(3, 1, 1, 3), scores);
  g_autoptr(LcipTensor) b = floats(lcip_shape(3, 1, 1, 4), boxes);
  g_auto(Fired) out = fire((Firing){
      "DecodeAnchorBoxes",
      ATTRS("strides", "4", "anchors_per_cell", "1", "input_width", "4", "input_height", "4"),
      3,
      {m, s, b}});
  const float *row = data(&out, 0);
  assert_near(row[4], 1 / (1 + exp(-2)), 1e-6);
  assert_near(row[5], 1, 0);
}

static void test_decode_refused(void) {
  g_autoptr(LcipTensor) m = floats(lcip_shape(1, 6), NULL);
  g_autoptr(LcipTensor) s = floats(lcip_shape(3, 1, 8, 1), NULL);
  g_autoptr(LcipTensor) b = floats(lcip_shape(3, 1, 8, 5), NULL);
  g_autoptr(LcipTensor) few = floats(lcip_shape(3, 1, 7, 1), NULL);
  assert_refused((Firing){"DecodeAnchorBoxes", decode_attrs, 3, {m, s, b}}, "1x8x6");
  assert_refused((Firing){"DecodeAnchorBoxes", decode_attrs, 3, {m, few, b}}, "1x8xLABELS");
  assert_refused((Firing){"DecodeAnchorBoxes", decode_attrs, 2, {m, s}}, "pairs");
  assert_refused((Firing){"DecodeAnchorBoxes", decode_attrs, 5, {m, s, b, s, b}}, "strides");
}

static void test_nms(void) {
  const float rows[] = {
      0,  0, 10, 10, 0.9f,  0, /* kept */
      1,  0, 11, 10, 0.8f,  0, /* IoU 9/11 with it: gone */
      1,  0, 11, 10, 0.7f,  1, /* another label: kept */
      0,  5, 10, 15, 0.6f,  0, /* IoU 1/3: gone at 0.3 */
      20, 0, 30, 10, 0.95f, 0  /* the best, though last: first */
  };
  const double scores[] = {0.95, 0.9, 0.7};
  g_autoptr(LcipTensor) in = floats(lcip_shape(2, 5, 6), rows);
  g_auto(Fired) out = fire((Firing){"NonMaxSuppression", NULL, 1, {in}});
  const float *kept = data(&out, 0);
  g_assert_cmpint(lcip_tensor_get_shape(out.outputs[0])->dims[0], ==, 3);
  for (int i = 0; i < 3; i++)
    assert_near(kept[i * 6 + 4], scores[i], 1e-6);
  g_auto(Fired) loose = fire((Firing){"NonMaxSuppression", ATTRS("iou_threshold", "0.5"), 1, {in}});
  data(&loose, 0);
  g_assert_cmpint(lcip_tensor_get_shape(loose.outputs[0])->dims[0], ==, 4);
  g_auto(Fired) one = fire((Firing){"NonMaxSuppression", ATTRS("max_detections", "1"), 1, {in}});
  data(&one, 0);
  g_assert_cmpint(lcip_tensor_get_shape(one.outputs[0])->dims[0], ==, 1);
}

/* ---- drawing ---- */

static const guint8 *pixel(const LcipTensor *in, int x, int y) {
  return (const guint8 *)lcip_tensor_get_data(in) +
         ((gsize)y * (gsize)lcip_tensor_get_shape(in)->dims[1] + (gsize)x) * 3;
}

static void assert_pixel(const LcipTensor *in, int x, int y, int r, int g, int b, int tolerance) {
  const guint8 *p = pixel(in, x, y);
  const int expected[] = {r, g, b};
  for (int c = 0; c < 3; c++)
    if (abs(p[c] - expected[c]) > tolerance)
      g_error("pixel (%d, %d): expected %d %d %d, found %d %d %d", x, y, r, g, b, p[0], p[1], p[2]);
}

static Fired draw(LcipTensor *in, const float *row, gint64 n, const char *label) {
  g_autoptr(LcipTensor) rows = floats(lcip_shape(2, (int)MAX(n, 1), 8), row);
  const LcipShape actual = lcip_shape(2, (int)n, 8);
  lcip_tensor_set_shape(rows, &actual);
  return fire((Firing){"DrawDetections",
                       ATTRS("labels", label, "color", "#ff0000", "line_width", "4"),
                       2,
                       {in, rows}});
}

static void test_draw(void) {
  const float row[] = {100.5f, 200.5f, 300.5f, 300.5f, 0.97f, 0, 200.5f, 250.5f};
  g_autoptr(LcipTensor) in = picture(640, 480);
  g_auto(Fired) out = draw(in, row, 1, "face");
  g_assert_no_error(out.error);
  assert_pixel(out.outputs[0], 100, 250, 255, 0, 0, 1);        /* left line */
  assert_pixel(out.outputs[0], 300, 250, 255, 0, 0, 1);        /* right line */
  assert_pixel(out.outputs[0], 200, 300, 255, 0, 0, 1);        /* lower line */
  assert_pixel(out.outputs[0], 150, 250, 0, 0, 0, 0);          /* inside: untouched */
  assert_pixel(out.outputs[0], 400, 250, 0, 0, 0, 0);          /* outside: untouched */
  assert_pixel(out.outputs[0], 200, 250, 255, 255, 255, 2);    /* key point */
  assert_pixel(out.outputs[0], 115, 172, 0.95 * 255, 0, 0, 2); /* the label's ground */
  g_auto(Fired) longer = draw(in, row, 1, "a much longer label");
  assert_pixel(out.outputs[0], 290, 180, 0, 0, 0, 0);
  assert_pixel(longer.outputs[0], 250, 172, 0.95 * 255, 0, 0, 2);
}

/* No detections: the same picture. Boxes far outside, upside down or not finite draw nothing bad.
 */
static void test_draw_odd(void) {
  g_autoptr(LcipTensor) in = ramp(23, 17);
  const float rows[] = {-1e30f, -5, 1e30f, 5, 0.5f, 0, NAN,      1e30f, 20, 15, 3,        2,
                        9,      -7, -1e9f, 4, NAN,  0, INFINITY, 10,    1,  99, INFINITY, 3};
  g_auto(Fired) none = draw(in, NULL, 0, "face");
  g_assert_no_error(none.error);
  g_assert_cmpmem(lcip_tensor_get_data(none.outputs[0]), 23 * 17 * 3, lcip_tensor_get_data(in),
                  23 * 17 * 3);
  g_auto(Fired) odd = draw(in, rows, 3, "\303\244\001%s%n");
  g_assert_no_error(odd.error);
}

/* The label's text is drawn: letters differ from the ground, and from other letters. */
static void test_draw_text(void) {
  const float row[] = {100.5f, 200.5f, 300.5f, 300.5f, 0.97f, 0, 1, 1};
  g_autoptr(LcipTensor) in = picture(640, 480);
  g_auto(Fired) a = draw(in, row, 1, "face"), b = draw(in, row, 1, "cafe");
  int letter = 0, differ = 0;
  for (int y = 178; y < 192; y++)
    for (int x = 104; x < 140; x++) {
      const guint8 *p = pixel(a.outputs[0], x, y), *q = pixel(b.outputs[0], x, y);
      letter += p[1] > 100; /* white on red */
      differ += abs(p[1] - q[1]) > 100;
    }
  g_assert_cmpint(letter, >, 40);
  g_assert_cmpint(differ, >, 20);
}

/* ---- masks ---- */

/* 4x2 mask, right half a person, over an 80x40 picture of (100, 150, 200). */
static Fired overlay(const char *mode, LcipTensor **in, gboolean planes) {
  const float mask[] = {0, 0, 1, 1, 0, 0, 1, 1}, transform[] = {20, 0, 0, 0, 20, 0};
  g_autoptr(LcipTensor) mask_tensor =
      floats(planes ? lcip_shape(4, 1, 1, 2, 4) : lcip_shape(4, 1, 2, 4, 1), mask);
  g_autoptr(LcipTensor) m = floats(lcip_shape(1, 6), transform);
  *in = picture(80, 40);
  guint8 *p = lcip_tensor_get_mutable(*in);
  for (int i = 0; i < 80 * 40; i++, p += 3)
    p[0] = 100, p[1] = 150, p[2] = 200;
  return fire((Firing){"MaskOverlay",
                       ATTRS("mode", mode, "strength", "0.5", "color", "#ff0000"),
                       3,
                       {*in, mask_tensor, m},
                       .threads = 2});
}

static void test_mask_dim(void) {
  for (int planes = 0; planes < 2; planes++) {
    g_autoptr(LcipTensor) in = NULL;
    g_auto(Fired) out = overlay("dim", &in, planes);
    g_assert_no_error(out.error);
    assert_pixel(out.outputs[0], 5, 20, 50, 75, 100, 1);
    assert_pixel(out.outputs[0], 75, 20, 100, 150, 200, 0);
    /* the edge lies between the centres of mask columns 1 and 2, at x = 40, and is soft */
    const int before = pixel(out.outputs[0], 37, 20)[0], after = pixel(out.outputs[0], 42, 20)[0];
    g_assert_cmpint(before, >, 55);
    g_assert_cmpint(before, <, 75);
    g_assert_cmpint(after, >, 75);
    g_assert_cmpint(after, <, 95);
  }
}

/* A picture of one colour looks the same blurred; tint turns it towards the colour. */
static void test_mask_modes(void) {
  g_autoptr(LcipTensor) in = NULL, in2 = NULL;
  g_auto(Fired) blur = overlay("blur", &in, FALSE), tint = overlay("tint", &in2, FALSE);
  for (int x = 0; x < 80; x += 7)
    assert_pixel(blur.outputs[0], x, 11, 100, 150, 200, 1);
  const guint8 *p = pixel(tint.outputs[0], 5, 20);
  g_assert_cmpint(p[0], >, 100);
  g_assert_cmpint(p[2], <, 150);
  assert_pixel(tint.outputs[0], 75, 20, 100, 150, 200, 0);
}

/* A line of one pixel spreads where the mask is 0 and stays where it is 1. */
static void test_mask_blur(void) {
  const float mask[] = {0, 0, 1, 1}, transform[] = {128, 0, 0, 0, 256, 0};
  g_autoptr(LcipTensor) m = floats(lcip_shape(1, 6), transform);
  g_autoptr(LcipTensor) mask_tensor = floats(lcip_shape(4, 1, 1, 4, 1), mask);
  g_autoptr(LcipTensor) in = picture(512, 256);
  guint8 *p = lcip_tensor_get_mutable(in);
  memset(p + 128 * 512 * 3, 255, 512 * 3);
  g_auto(Fired) out = fire(
      (Firing){"MaskOverlay", ATTRS("mode", "blur", "strength", "1"), 3, {in, mask_tensor, m}});
  g_assert_no_error(out.error);
  g_assert_cmpint(pixel(out.outputs[0], 50, 128)[0], <, 64);
  g_assert_cmpint(pixel(out.outputs[0], 50, 134)[0], >, 4);
  assert_pixel(out.outputs[0], 500, 128, 255, 255, 255, 0);
  assert_pixel(out.outputs[0], 500, 134, 0, 0, 0, 0);
}

/* A transform that cannot be inverted comes with warming up: the mask's first value holds for the
 * whole picture; here a person, so that nothing changes. */
static void test_mask_singular(void) {
  const float mask[] = {1}, transform[] = {0, 0, 0, 0, 1, 0};
  g_autoptr(LcipTensor) m = floats(lcip_shape(1, 6), transform);
  g_autoptr(LcipTensor) mask_tensor = floats(lcip_shape(4, 1, 1, 1, 1), mask);
  g_autoptr(LcipTensor) in = ramp(3, 3);
  g_auto(Fired) out = fire((Firing){"MaskOverlay", NULL, 3, {in, mask_tensor, m}});
  g_assert_no_error(out.error);
  g_assert_cmpmem(lcip_tensor_get_data(out.outputs[0]), 27, lcip_tensor_get_data(in), 27);
}

/* A transform of PictureToTensor takes a tensor's pixels back to where they came from: a white
 * square found in the tensor is the square of the picture. */
static void test_round_trip(void) {
  static const char *const fits[] = {"stretch", "pad", "crop"};
  for (guint fit = 0; fit < G_N_ELEMENTS(fits); fit++) {
    g_autoptr(LcipTensor) in = picture(300, 200);
    for (int y = 80; y < 120; y++)
      memset((guint8 *)lcip_tensor_get_mutable(in) + (y * 300 + 120) * 3, 255, 60 * 3);
    g_auto(Fired) out = fire((Firing){
        "PictureToTensor", ATTRS("width", "100", "height", "100", "fit", fits[fit]), 1, {in}});
    const float *p = data(&out, 0), *m = data(&out, 1);
    double sum = 0, sum_x = 0, sum_y = 0;
    for (int y = 0; y < 100; y++)
      for (int x = 0; x < 100; x++) {
        const double v = (double)p[(y * 100 + x) * 3];
        sum += v;
        sum_x += v * (x + 0.5);
        sum_y += v * (y + 0.5);
      }
    assert_near(m[0] * (float)(sum_x / sum) + m[2], 150, 0.01);
    assert_near(m[4] * (float)(sum_y / sum) + m[5], 100, 0.01);
    assert_near((float)(sum / 255) * m[0] * m[4], 60 * 40, 1);
  }
}

/* ---- classes ---- */

static void test_top_classes(void) {
  const float scores[] = {1, 3, NAN, 3, 2};
  const double indices[] = {1, 3, 4, 0};
  g_autoptr(LcipTensor) in = floats(lcip_shape(2, 1, 5), scores);
  g_auto(Fired) out = fire((Firing){"TopClasses", ATTRS("k", "4"), 1, {in}});
  const float *p = data(&out, 0);
  const double sum = exp(-2) + 1 + 1 + exp(-1);
  for (int i = 0; i < 4; i++)
    assert_near(p[2 * i], indices[i], 0);
  assert_near(p[1], 1 / sum, 1e-6);
  assert_near(p[5], exp(-1) / sum, 1e-6);
  g_auto(Fired) plain = fire((Firing){"TopClasses", ATTRS("softmax", "0"), 1, {in}});
  p = data(&plain, 0);
  g_assert_cmpint(lcip_tensor_get_shape(plain.outputs[0])->dims[0], ==, 5);
  assert_near(p[1], 3, 0);
  assert_near(p[8], 2, 0);
}

static void test_draw_classes(void) {
  const float classes[] = {0, 1, 7, 0};
  g_autoptr(LcipTensor) rows = floats(lcip_shape(2, 2, 2), classes);
  g_autoptr(LcipTensor) in = picture(640, 480);
  memset(lcip_tensor_get_mutable(in), 200, 640 * 480 * 3);
  g_auto(Fired) out = fire((Firing){"DrawClasses", ATTRS("labels", "cat\ndog"), 2, {in, rows}});
  g_assert_no_error(out.error);
  assert_pixel(out.outputs[0], 300, 20, 200, 200, 200, 0);
  assert_pixel(out.outputs[0], 18, 440, 80, 80, 80, 1);
}

/* ---- definitions ---- */

/* Every operator of the domain is documented, and locked ones say why. */
static void test_definitions(void) {
  static const char *const names[] = {"PictureSource",     "PictureToTensor", "DecodeAnchorBoxes",
                                      "NonMaxSuppression", "DrawDetections",  "MaskOverlay",
                                      "PictureSink",       "DetectionSink",   "TopClasses",
                                      "DrawClasses",       "ClassSink"};
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    const LcipOperator *op = lcip_operator_find("lcip", names[i]);
    g_assert_nonnull(op);
    g_assert_nonnull(op->summary);
    if (op->flags & LCIP_OP_CPU_ONLY)
      g_assert_nonnull(op->cpu_only_reason);
    for (guint a = 0; a < op->n_attrs; a++)
      g_assert_nonnull(op->attrs[a].help);
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/vision/definitions", test_definitions);
  g_test_add_func("/vision/picture-to-tensor/same-size", test_same_size);
  g_test_add_func("/vision/picture-to-tensor/area-layout", test_area_layout);
  g_test_add_func("/vision/picture-to-tensor/area-fraction", test_area_fraction);
  g_test_add_func("/vision/picture-to-tensor/grow", test_grow);
  g_test_add_func("/vision/picture-to-tensor/pad", test_pad);
  g_test_add_func("/vision/picture-to-tensor/crop", test_crop);
  g_test_add_func("/vision/picture-to-tensor/actual-size", test_actual_size);
  g_test_add_func("/vision/picture-to-tensor/round-trip", test_round_trip);
  g_test_add_func("/vision/refused", test_refused);
  g_test_add_func("/vision/decode/one", test_decode);
  g_test_add_func("/vision/decode/order", test_decode_order);
  g_test_add_func("/vision/decode/none", test_decode_none);
  g_test_add_func("/vision/decode/labels", test_decode_labels);
  g_test_add_func("/vision/decode/refused", test_decode_refused);
  g_test_add_func("/vision/nms", test_nms);
  g_test_add_func("/vision/draw/box", test_draw);
  g_test_add_func("/vision/draw/odd", test_draw_odd);
  g_test_add_func("/vision/draw/text", test_draw_text);
  g_test_add_func("/vision/mask/dim", test_mask_dim);
  g_test_add_func("/vision/mask/modes", test_mask_modes);
  g_test_add_func("/vision/mask/blur", test_mask_blur);
  g_test_add_func("/vision/mask/singular", test_mask_singular);
  g_test_add_func("/vision/classes/top", test_top_classes);
  g_test_add_func("/vision/classes/draw", test_draw_classes);
  return g_test_run();
}
