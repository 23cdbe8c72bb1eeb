#pragma once

#include <pthread.h>

#include "lcip-media.h"

G_BEGIN_DECLS

/** LCIP_PICTURE_MAX_SIDE: larger pictures are refused. */
#define LCIP_PICTURE_MAX_SIDE 16384
/** LCIP_MEDIA_FPS: pace of pictures, folders and the demo. */
#define LCIP_MEDIA_FPS 30

/** LcipMediaClass: what a kind of source does. next() is as lcip_media_source_next(); free() frees
 * what is the kind's own, after the last call of next(). */
typedef struct {
  LcipTensor *(*next)(LcipMediaSource *source, gint64 *timestamp_ns, GCancellable *cancellable,
                      GError **error);
  void (*free)(LcipMediaSource *source);
} LcipMediaClass;

/** LcipMediaSource: the part that all kinds have; a kind's struct starts with it. */
struct _LcipMediaSource {
  gatomicrefcount refs;
  const LcipMediaClass *klass;
  char *name;
  int width, height; /* no frame is larger */
  LcipMediaPace pace;
  guint64 n_frames; /* 0: not known */
  guint64 drops;    /* atomic */
};

/** lcip_media_source_init: for a kind's constructor; @source is zeroed, from g_new0(). */
void lcip_media_source_init(LcipMediaSource *source, const LcipMediaClass *klass, const char *name,
                            LcipMediaPace pace);
void lcip_media_source_add_drops(LcipMediaSource *source, guint64 n);

/** LcipWaiter: a mutex and condition on the monotonic clock that a GCancellable wakes too. */
typedef struct {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
} LcipWaiter;
void lcip_waiter_init(LcipWaiter *waiter);
void lcip_waiter_clear(LcipWaiter *waiter);
/** lcip_waiter_wake: wakes whoever waits, after a change made under the mutex. */
void lcip_waiter_wake(LcipWaiter *waiter);
/** lcip_waiter_wait_until: with the mutex held; FALSE once @deadline_us (monotonic) is over. */
gboolean lcip_waiter_wait_until(LcipWaiter *waiter, gint64 deadline_us);
/** lcip_waiter_attach: @cancellable (may be NULL) wakes @waiter; returns what detach takes. The
 * mutex must not be held. */
gulong lcip_waiter_attach(LcipWaiter *waiter, GCancellable *cancellable);
void lcip_waiter_detach(GCancellable *cancellable, gulong id);

/** LcipPacer: gives frames of a fixed rate their time. */
typedef struct {
  LcipWaiter waiter;
  gint64 start_us; /* 0 before the first frame */
  guint64 next;
} LcipPacer;
/** lcip_pacer_next: number of the frame to show now. LIVE: waits for its time, or skips to the
 * frame of now and counts the skipped as drops. EVERY_FRAME: the next, at once.
 * FALSE when cancelled. */
gboolean lcip_pacer_next(LcipPacer *pacer, LcipMediaSource *source, guint64 *frame,
                         gint64 *timestamp_ns, GCancellable *cancellable, GError **error);

/* lcip-still-source.c, lcip-demo-source.c */
LcipMediaSource *lcip_picture_source_open(const char *path, LcipMediaPace pace, GError **error);
LcipMediaSource *lcip_folder_source_open(const char *path, LcipMediaPace pace, GError **error);
LcipMediaSource *lcip_demo_source_open(LcipMediaPace pace, GError **error);

/** LcipDemoView: the part of the photograph that demo frame n shows, in its pixels. */
typedef struct {
  double x, y, width, height; /* centre and size */
} LcipDemoView;
/** lcip_demo_view: a pure function of @frame, periodic in LCIP_DEMO_PERIOD frames, smooth. */
#define LCIP_DEMO_PERIOD 240
#define LCIP_DEMO_WIDTH 640
#define LCIP_DEMO_HEIGHT 480
LcipDemoView lcip_demo_view(guint64 frame, int picture_width, int picture_height);

/* GStreamer: lcip-gst-*.c, or lcip-gst-none.c */
LcipMediaSource *lcip_video_source_open(const char *path, LcipMediaPace pace, GError **error);
LcipMediaSource *lcip_camera_source_open(const char *id, GError **error);

/** lcip_picture_kind: by its first bytes; NONE for what is no picture. GIFs are known to refuse
 * them. */
typedef enum {
  LCIP_PICTURE_NONE,
  LCIP_PICTURE_PNG,
  LCIP_PICTURE_JPEG,
  LCIP_PICTURE_GIF
} LcipPictureKind;
LcipPictureKind lcip_picture_kind(const guint8 *data, gsize size_bytes);
/** lcip_picture_size: of a picture file, from its header alone. */
gboolean lcip_picture_size(const char *path, int *width, int *height, GError **error);

/* lcip-png.c, lcip-jpeg.c: decode what is in memory. @name stands in messages. */
LcipTensor *lcip_png_decode(const guint8 *data, gsize size_bytes, const char *name, GError **error);
gboolean lcip_png_size(const guint8 *data, gsize size_bytes, const char *name, int *width,
                       int *height, GError **error);
GBytes *lcip_png_encode(const LcipTensor *picture, GError **error);
LcipTensor *lcip_jpeg_decode(const guint8 *data, gsize size_bytes, const char *name,
                             GError **error);
gboolean lcip_jpeg_size(const guint8 *data, gsize size_bytes, const char *name, int *width,
                        int *height, GError **error);
/** LcipOrientation: what stands at the top of the picture that is meant, by EXIF's numbers. RIGHT:
 * the camera was held so that the picture must be turned right by 90 degrees. */
typedef enum {
  LCIP_ORIENTATION_NORMAL = 1,
  LCIP_ORIENTATION_MIRRORED,
  LCIP_ORIENTATION_DOWN,
  LCIP_ORIENTATION_FLIPPED,
  LCIP_ORIENTATION_TRANSPOSED,
  LCIP_ORIENTATION_RIGHT,
  LCIP_ORIENTATION_TRANSVERSED,
  LCIP_ORIENTATION_LEFT
} LcipOrientation;
/** lcip_exif_orientation: from the body of a JPEG's APP1 segment; NORMAL where it says none. */
LcipOrientation lcip_exif_orientation(const guint8 *data, gsize size_bytes);
/** lcip_orientation_swaps: width and height change places. */
gboolean lcip_orientation_swaps(LcipOrientation orientation);
/** lcip_picture_turn: the picture that is meant. NULL without memory. Transfer full. */
LcipTensor *lcip_picture_turn(const LcipTensor *picture, LcipOrientation orientation);
/** lcip_picture_check_size: 1 to LCIP_PICTURE_MAX_SIDE. */
gboolean lcip_picture_check_size(const char *name, gint64 width, gint64 height, GError **error);

G_END_DECLS
