#include "config.h"
#include "lcip-gst-private.h"

#define OPEN_TIMEOUT_US (15 * G_USEC_PER_SEC)

static gboolean is_video(GstPad *pad) {
  g_autoptr(GstCaps) caps = gst_pad_get_current_caps(pad);
  if (!caps)
    caps = gst_pad_query_caps(pad, NULL);
  return caps && gst_caps_get_size(caps) > 0 &&
         g_str_has_prefix(gst_structure_get_name(gst_caps_get_structure(caps, 0)), "video/");
}

/* The first video stream is shown; sound and further ones stay unlinked. */
static void on_pad(GstElement *decoder, GstPad *pad, gpointer data) {
  LcipGstSource *source = data;
  g_autoptr(GstElement) convert = gst_bin_get_by_name(GST_BIN(source->pipeline), "convert");
  g_autoptr(GstPad) input = gst_element_get_static_pad(convert, "sink");
  if (is_video(pad) && !gst_pad_is_linked(input))
    gst_pad_link(pad, input);
}

static void on_no_more_pads(GstElement *decoder, gpointer data) {
  LcipGstSource *source = data;
  g_autoptr(GstElement) convert = gst_bin_get_by_name(GST_BIN(source->pipeline), "convert");
  g_autoptr(GstPad) input = gst_element_get_static_pad(convert, "sink");
  if (gst_pad_is_linked(input))
    return;
  pthread_mutex_lock(&source->waiter.mutex);
  source->no_video = TRUE;
  pthread_cond_broadcast(&source->waiter.changed);
  pthread_mutex_unlock(&source->waiter.mutex);
}

LcipMediaSource *lcip_video_source_open(const char *path, LcipMediaPace pace, GError **error) {
  g_autoptr(GError) local = NULL;
  if (!lcip_gst_init(error))
    return NULL;
  g_autofree char *absolute = g_canonicalize_filename(path, NULL);
  g_autofree char *name = g_path_get_basename(path);
  GstElement *pipeline = gst_parse_launch(
      "uridecodebin name=decoder  videoconvert name=convert ! videoscale ! "
      "capsfilter name=size caps=video/x-raw,format=RGB,pixel-aspect-ratio=1/1 ! appsink name=sink",
      &local);
  if (!pipeline || local) {
    g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_MISSING,
                "%s: GStreamer lacks an element for video files: %s (packages "
                "gstreamer1.0-plugins-base and gstreamer1.0-plugins-good)",
                name, local ? local->message : "unknown");
    g_clear_object(&pipeline);
    return NULL;
  }
  LcipGstSource *source = lcip_gst_source_new(pipeline, name, pace);
  g_autoptr(LcipMediaSource) base = &source->base;
  g_autofree char *uri = g_filename_to_uri(absolute, NULL, error);
  if (!uri)
    return NULL;
  g_autoptr(GstElement) decoder = gst_bin_get_by_name(GST_BIN(pipeline), "decoder");
  g_object_set(decoder, "uri", uri, NULL);
  g_signal_connect(decoder, "pad-added", G_CALLBACK(on_pad), source);
  g_signal_connect(decoder, "no-more-pads", G_CALLBACK(on_no_more_pads), source);
  if (!lcip_gst_source_open(source, GST_STATE_PAUSED, OPEN_TIMEOUT_US, error))
    return NULL;
  return g_steal_pointer(&base);
}
