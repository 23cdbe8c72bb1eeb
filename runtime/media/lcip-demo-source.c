#include "config.h"
#include "lcip-error.h"
#include "lcip-media-private.h"

#include <math.h>

/* Pan and zoom over a photograph with a face. */

typedef struct {
  LcipMediaSource base;
  LcipPacer pacer;
  LcipTensor *photograph;
} DemoSource;

/* Where the photograph's face is, and the view's widest size, as parts of its width (square). */
#define FACE_X 0.4414
#define FACE_Y 0.2412
#define PAN 0.30
#define ZOOM 2.0

/* With t the angle of the period, s = sin t, the zoom is 2^(s^2): the whole width at s = 0, half of
 * it at s = 1 and -1. The centre is that of the widest view at s = 0 and swings PAN / 2 to each
 * side of the face by s^3: flat where the widest view leaves no room, so the view never leaves the
 * photograph. */
LcipDemoView lcip_demo_view(guint64 frame, int picture_width, int picture_height) {
  const double t = 2 * G_PI * (double)(frame % LCIP_DEMO_PERIOD) / LCIP_DEMO_PERIOD;
  const double s = sin(t), wide = 1 - s * s;
  const double aspect = (double)LCIP_DEMO_HEIGHT / LCIP_DEMO_WIDTH;
  const double width = MIN((double)picture_width, (double)picture_height / aspect);
  const double height = width * aspect, zoom = pow(ZOOM, s * s);
  const double x = (FACE_X + PAN / 2 * s * s * s) * picture_width;
  const double y = FACE_Y * picture_height;
  return (LcipDemoView){
      .x = x + (picture_width / 2.0 - FACE_X * picture_width) * wide,
      .y = y + (height / 2 - y) * wide,
      .width = width / zoom,
      .height = height / zoom,
  };
}

/* One axis of the bilinear sampling: the pixel before, and the weight of the one after, in 1/256.
 */
typedef struct {
  int first, second;
  int weight;
} Tap;

static void fill_taps(Tap *taps, int n, double centre, double size, int limit) {
  for (int i = 0; i < n; i++) {
    const double at = centre + ((i + 0.5) / n - 0.5) * size - 0.5;
    const double inside = CLAMP(at, 0.0, (double)(limit - 1));
    taps[i].first = (int)inside;
    taps[i].second = MIN(taps[i].first + 1, limit - 1);
    taps[i].weight = (int)((inside - taps[i].first) * 256 + 0.5);
  }
}

static void sample_row(const guint8 *top, const guint8 *bottom, int weight, const Tap *columns,
                       guint8 *out) {
  for (int x = 0; x < LCIP_DEMO_WIDTH; x++, out += 3) {
    const int a = columns[x].first * 3, b = columns[x].second * 3, w = columns[x].weight;
    for (int c = 0; c < 3; c++) {
      const int upper = top[a + c] * (256 - w) + top[b + c] * w;
      const int lower = bottom[a + c] * (256 - w) + bottom[b + c] * w;
      out[c] = (guint8)((upper * (256 - weight) + lower * weight + 32768) >> 16);
    }
  }
}

static LcipTensor *render(const LcipTensor *photograph, guint64 frame) {
  const gint64 *dims = lcip_tensor_get_shape(photograph)->dims;
  const guint8 *pixels = lcip_tensor_get_data(photograph);
  const LcipDemoView view = lcip_demo_view(frame, (int)dims[1], (int)dims[0]);
  Tap columns[LCIP_DEMO_WIDTH], rows[LCIP_DEMO_HEIGHT];
  LcipTensor *picture = lcip_picture_new(LCIP_DEMO_WIDTH, LCIP_DEMO_HEIGHT);
  if (!picture)
    return NULL;
  guint8 *out = lcip_tensor_get_mutable(picture);
  fill_taps(columns, LCIP_DEMO_WIDTH, view.x, view.width, (int)dims[1]);
  fill_taps(rows, LCIP_DEMO_HEIGHT, view.y, view.height, (int)dims[0]);
  for (int y = 0; y < LCIP_DEMO_HEIGHT; y++)
    sample_row(pixels + rows[y].first * dims[1] * 3, pixels + rows[y].second * dims[1] * 3,
               rows[y].weight, columns, out + (gsize)y * LCIP_DEMO_WIDTH * 3);
  return picture;
}

static LcipTensor *demo_next(LcipMediaSource *source, gint64 *timestamp_ns,
                             GCancellable *cancellable, GError **error) {
  DemoSource *demo = (DemoSource *)source;
  guint64 frame;
  if (!lcip_pacer_next(&demo->pacer, source, &frame, timestamp_ns, cancellable, error))
    return NULL;
  LcipTensor *picture = render(demo->photograph, frame);
  if (!picture)
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "demo: not enough memory for a picture");
  return picture;
}

static void demo_free(LcipMediaSource *source) {
  DemoSource *demo = (DemoSource *)source;
  lcip_waiter_clear(&demo->pacer.waiter);
  lcip_tensor_unref(demo->photograph);
}

static const LcipMediaClass demo_class = {.next = demo_next, .free = demo_free};

LcipMediaSource *lcip_demo_source_open(LcipMediaPace pace, GError **error) {
  g_autofree char *path = lcip_data_path("demo/astronaut.png");
  LcipTensor *photograph = lcip_picture_load(path, error);
  if (!photograph) {
    g_prefix_error(error, "demo: ");
    return NULL;
  }
  DemoSource *demo = g_new0(DemoSource, 1);
  lcip_media_source_init(&demo->base, &demo_class, "Demo", pace);
  lcip_waiter_init(&demo->pacer.waiter);
  demo->base.width = LCIP_DEMO_WIDTH;
  demo->base.height = LCIP_DEMO_HEIGHT;
  demo->photograph = photograph;
  return &demo->base;
}
