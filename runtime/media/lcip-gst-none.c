#include "config.h"
#include "lcip-media-private.h"

/* The build without GStreamer. */

GPtrArray *lcip_media_list_cameras(void) {
  return g_ptr_array_new();
}

LcipMediaSource *lcip_video_source_open(const char *path, LcipMediaPace pace, GError **error) {
  g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_MISSING,
              "%s: no PNG or JPEG picture, and for video files this build lacks the feature "
              "gstreamer",
              path);
  return NULL;
}

LcipMediaSource *lcip_camera_source_open(const char *id, GError **error) {
  g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_MISSING,
              "%s: for cameras this build lacks the feature gstreamer", id ? id : "camera");
  return NULL;
}
