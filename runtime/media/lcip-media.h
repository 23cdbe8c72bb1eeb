#pragma once

#include <gio/gio.h>

#include "lcip-tensor.h"

G_BEGIN_DECLS

/* Pictures are tensors: u8, rank 3 (height, width, 3), RGB, rows dense. */

#define LCIP_MEDIA_ERROR (lcip_media_error_quark())
GQuark lcip_media_error_quark(void);
typedef enum {
  LCIP_MEDIA_ERROR_NOT_FOUND,
  LCIP_MEDIA_ERROR_BUSY,    /* the camera is used by another program */
  LCIP_MEDIA_ERROR_DENIED,  /* no right to open it; the message names device and group */
  LCIP_MEDIA_ERROR_CODEC,   /* the message names the missing decoder and its package */
  LCIP_MEDIA_ERROR_FORMAT,  /* damaged, or no picture */
  LCIP_MEDIA_ERROR_LOST,    /* unplugged */
  LCIP_MEDIA_ERROR_TIMEOUT, /* no frame for 3 s */
  LCIP_MEDIA_ERROR_MISSING  /* this build lacks the feature; the message names it */
} LcipMediaErrorCode;

LcipTensor *lcip_picture_new(int width, int height);
/** lcip_picture_load: PNG or JPEG; grey and alpha become RGB (alpha over black). At most 16384
 * pixels a side. */
LcipTensor *lcip_picture_load(const char *path, GError **error);
/** lcip_picture_save: PNG, by a temporary file and rename. */
gboolean lcip_picture_save(const LcipTensor *picture, const char *path, GError **error);

/** LcipCamera: a camera as a person sees it (one that V4L2 and PipeWire both list is one). */
typedef struct {
  char *id; /* "camera:..." as lcip_media_open() takes it */
  char *name;
} LcipCamera;
/** lcip_media_list_cameras: array of LcipCamera; empty without GStreamer. Blocks up to 1 s. */
GPtrArray *lcip_media_list_cameras(void);

/** LcipMediaSource: where frames come from. Opened once, read by one thread, closed by unref. */
typedef struct _LcipMediaSource LcipMediaSource;

typedef enum {
  LCIP_MEDIA_EVERY_FRAME, /* a file in `lcip run`: every frame, as fast as they are asked for */
  LCIP_MEDIA_LIVE         /* a file in the editor: own rate, loops, late frames dropped, counted */
} LcipMediaPace;

/** lcip_media_open: "camera" (the first), "camera:ID", "demo" (pan and zoom over data/demo's
 * photograph, 30 frames a second, frame n a pure function of n), a picture, a folder of pictures
 * (by name), or a video file. Cameras are always live. */
LcipMediaSource *lcip_media_open(const char *what, LcipMediaPace pace, GError **error);
LcipMediaSource *lcip_media_source_ref(LcipMediaSource *source);
void lcip_media_source_unref(LcipMediaSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipMediaSource, lcip_media_source_unref)
/** lcip_media_source_name: for people: "Demo", "Integrated Camera", "vtest.avi". */
const char *lcip_media_source_name(LcipMediaSource *source);
/** lcip_media_source_max_size: no frame is larger. Known once it is open. */
void lcip_media_source_max_size(LcipMediaSource *source, int *width, int *height);
gboolean lcip_media_source_is_live(LcipMediaSource *source);
/** lcip_media_source_n_frames: how many there will be; 0 where that is not known, or without end.
 */
guint64 lcip_media_source_n_frames(LcipMediaSource *source);
/** lcip_media_source_next: blocks until a frame is there. NULL without error at the end.
 * @timestamp_ns: when it was taken, on g_get_monotonic_time()'s clock (live), or its time in the
 * file. A picture gives one frame (EVERY_FRAME) or one each 1/30 s (LIVE). */
LcipTensor *lcip_media_source_next(LcipMediaSource *source, gint64 *timestamp_ns,
                                   GCancellable *cancellable, GError **error);
/** lcip_media_source_drops: frames dropped so far because nobody took them. Any thread. */
guint64 lcip_media_source_drops(LcipMediaSource *source);

/** lcip_data_path: a file of data/ or graphs/ ("demo/astronaut.png"), uninstalled (LCIP_DATA_PATH
 * in the environment, set by `meson devenv` and ./run, else the sources around the program's build
 * folder) or installed. Transfer full. */
char *lcip_data_path(const char *name);

G_END_DECLS
