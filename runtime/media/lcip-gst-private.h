#pragma once

#include <gst/app/gstappsink.h>
#include <gst/gst.h>

#include "lcip-media-private.h"

G_BEGIN_DECLS

/** lcip_gst_init: once per process; an error where GStreamer cannot start. */
gboolean lcip_gst_init(GError **error);

/** LcipGstSource: a pipeline that ends in an appsink and a slot for one frame. The pipeline's
 * streaming thread fills the slot, the reader's thread empties it. Live, a new frame takes the
 * place of one that nobody took (a drop); otherwise the streaming thread waits for room. */
typedef struct {
  LcipMediaSource base;
  /* owned */
  GstElement *pipeline, *size_filter, *sink;
  char *device_path; /* camera: /dev/videoN, or NULL */
  LcipWaiter waiter; /* guards the rest */
  LcipTensor *slot;
  gint64 slot_ns;
  GError *failure;
  char *missing_codec; /* what the pipeline said it has no element for */
  int width, height;   /* of the stream; 0 before its first frame */
  gboolean ended, closing, no_video;
  /* the reader's */
  gboolean camera, started;
} LcipGstSource;

/** lcip_gst_source_new: @pipeline (taken) has a capsfilter "size" and an appsink "sink". */
LcipGstSource *lcip_gst_source_new(GstElement *pipeline, const char *name, LcipMediaPace pace);
/** lcip_gst_source_open: starts it in @state and waits for the picture's size. */
gboolean lcip_gst_source_open(LcipGstSource *source, GstState state, gint64 timeout_us,
                              GError **error);
/** lcip_gst_codec_hint: the package of Debian and Ubuntu that is likely to have what is missing. */
const char *lcip_gst_codec_hint(const char *missing);

G_END_DECLS
