#include "config.h"
#include "lcip-gst-private.h"

#include <errno.h>
#include <grp.h>
#include <gst/video/video.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lcip-error.h"

/** A camera that gives nothing for so long has a problem that the user should see. */
#define CAMERA_TIMEOUT_US (3 * G_USEC_PER_SEC)

gboolean lcip_gst_init(GError **error) {
  g_autoptr(GError) local = NULL;
  if (gst_init_check(NULL, NULL, &local))
    return TRUE;
  g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_MISSING, "GStreamer cannot start: %s",
              local ? local->message : "no reason given");
  return FALSE;
}

/* ---- what the streaming threads do ---- */

static LcipTensor *copy_frame(GstSample *sample, GError **error) {
  GstVideoInfo info;
  GstVideoFrame frame;
  if (!gst_video_info_from_caps(&info, gst_sample_get_caps(sample)) ||
      !gst_video_frame_map(&frame, &info, gst_sample_get_buffer(sample), GST_MAP_READ)) {
    g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_FORMAT, "a frame cannot be read");
    return NULL;
  }
  const int width = GST_VIDEO_FRAME_WIDTH(&frame), height = GST_VIDEO_FRAME_HEIGHT(&frame);
  LcipTensor *picture = lcip_picture_new(width, height);
  for (int y = 0; picture && y < height; y++)
    memcpy((guint8 *)lcip_tensor_get_mutable(picture) + (gsize)y * (gsize)width * 3,
           (const guint8 *)GST_VIDEO_FRAME_PLANE_DATA(&frame, 0) +
               (gssize)y * GST_VIDEO_FRAME_PLANE_STRIDE(&frame, 0),
           (gsize)width * 3);
  gst_video_frame_unmap(&frame);
  if (!picture)
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "not enough memory for a frame");
  return picture;
}

/* With the mutex held: the first failure counts. */
static void fail_locked(LcipGstSource *source, GError *failure) {
  if (source->failure)
    g_error_free(failure);
  else
    source->failure = failure;
  pthread_cond_broadcast(&source->waiter.changed);
}

/* Takes @picture. */
static void put_frame(LcipGstSource *source, LcipTensor *picture, gint64 time_ns) {
  const gboolean live = source->base.pace == LCIP_MEDIA_LIVE;
  pthread_mutex_lock(&source->waiter.mutex);
  while (!live && source->slot && !source->closing)
    pthread_cond_wait(&source->waiter.changed, &source->waiter.mutex);
  if (source->slot) {
    lcip_tensor_unref(source->slot);
    lcip_media_source_add_drops(&source->base, 1);
  }
  source->slot = picture;
  source->slot_ns = time_ns;
  source->width = (int)lcip_tensor_get_shape(picture)->dims[1];
  source->height = (int)lcip_tensor_get_shape(picture)->dims[0];
  pthread_cond_broadcast(&source->waiter.changed);
  pthread_mutex_unlock(&source->waiter.mutex);
}

static GstFlowReturn on_sample(GstAppSink *sink, gpointer data) {
  LcipGstSource *source = data;
  g_autoptr(GstSample) sample = gst_app_sink_pull_sample(sink);
  g_autoptr(GError) error = NULL;
  if (!sample)
    return GST_FLOW_EOS;
  LcipTensor *picture = copy_frame(sample, &error);
  if (!picture) {
    pthread_mutex_lock(&source->waiter.mutex);
    fail_locked(source, g_steal_pointer(&error));
    pthread_mutex_unlock(&source->waiter.mutex);
    return GST_FLOW_ERROR;
  }
  const GstClockTime pts = GST_BUFFER_PTS(gst_sample_get_buffer(sample));
  const gboolean live = source->base.pace == LCIP_MEDIA_LIVE;
  put_frame(source, picture,
            live || !GST_CLOCK_TIME_IS_VALID(pts) ? g_get_monotonic_time() * 1000 : (gint64)pts);
  return GST_FLOW_OK;
}

/* A paused file shows its first frame's size here; the frame itself comes again when it plays. */
static GstFlowReturn on_preroll(GstAppSink *sink, gpointer data) {
  LcipGstSource *source = data;
  g_autoptr(GstSample) sample = gst_app_sink_pull_preroll(sink);
  GstVideoInfo info;
  if (!sample || !gst_video_info_from_caps(&info, gst_sample_get_caps(sample)))
    return GST_FLOW_OK;
  pthread_mutex_lock(&source->waiter.mutex);
  source->width = info.width;
  source->height = info.height;
  pthread_cond_broadcast(&source->waiter.changed);
  pthread_mutex_unlock(&source->waiter.mutex);
  return GST_FLOW_OK;
}

static void on_end(GstAppSink *sink, gpointer data) {
  LcipGstSource *source = data;
  pthread_mutex_lock(&source->waiter.mutex);
  source->ended = TRUE;
  pthread_cond_broadcast(&source->waiter.changed);
  pthread_mutex_unlock(&source->waiter.mutex);
}

/* ---- messages and errors ---- */

static const struct {
  const char *part, *package;
} codec_packages[] = {
    {"H.264", "gstreamer1.0-libav"},
    {"H.265", "gstreamer1.0-libav"},
    {"HEVC", "gstreamer1.0-libav"},
    {"AV1", "gstreamer1.0-plugins-bad"},
    {"MPEG-4", "gstreamer1.0-libav"},
    {"MPEG-1", "gstreamer1.0-libav"},
    {"MPEG-2", "gstreamer1.0-libav"},
    {"Windows Media", "gstreamer1.0-libav"},
    {"MPEG-TS", "gstreamer1.0-plugins-bad"},
    {"MPEG-2 Transport", "gstreamer1.0-plugins-bad"},
    {"VP8", "gstreamer1.0-plugins-good"},
    {"VP9", "gstreamer1.0-plugins-good"},
    {"JPEG", "gstreamer1.0-plugins-good"},
    {"Quicktime", "gstreamer1.0-plugins-good"},
    {"Matroska", "gstreamer1.0-plugins-good"},
    {"AVI", "gstreamer1.0-plugins-good"},
    {"WebM", "gstreamer1.0-plugins-good"},
    {"Theora", "gstreamer1.0-plugins-base"},
};

const char *lcip_gst_codec_hint(const char *missing) {
  for (gsize i = 0; i < G_N_ELEMENTS(codec_packages); i++)
    if (strstr(missing, codec_packages[i].part))
      return codec_packages[i].package;
  return "gstreamer1.0-libav";
}

static GError *denied_error(const LcipGstSource *source) {
  struct stat info;
  const char *group = "video";
  if (stat(source->device_path, &info) == 0) {
    const struct group *entry = getgrgid(info.st_gid);
    if (entry)
      group = entry->gr_name;
  }
  return g_error_new(LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_DENIED,
                     "%s: no right to open %s; it belongs to the group \"%s\"", source->base.name,
                     source->device_path, group);
}

/* A camera's error, by what the device file says and then by GStreamer's code. */
static GError *camera_error(const LcipGstSource *source, const GError *gst) {
  const char *name = source->base.name;
  if (source->device_path && access(source->device_path, F_OK) != 0 && errno == ENOENT)
    return g_error_new(LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_LOST, "%s: unplugged (%s is gone)", name,
                       source->device_path);
  if (source->device_path && access(source->device_path, R_OK | W_OK) != 0 && errno == EACCES)
    return denied_error(source);
  if (g_error_matches(gst, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_BUSY) ||
      g_error_matches(gst, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS))
    return g_error_new(LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_BUSY, "%s: used by another program (%s)",
                       name, gst->message);
  if (g_error_matches(gst, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_AUTHORIZED))
    return g_error_new(LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_DENIED, "%s: no right to open it (%s)",
                       name, gst->message);
  return g_error_new(LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_LOST, "%s: stopped giving frames (%s)",
                     name, gst->message);
}

static GError *codec_error(const LcipGstSource *source, const char *missing) {
  return g_error_new(LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_CODEC,
                     "%s: no %s here; on Debian and Ubuntu the package %s has it",
                     source->base.name, missing, lcip_gst_codec_hint(missing));
}

/* With the mutex held. */
static GError *translate(const LcipGstSource *source, const GError *gst) {
  if (source->camera)
    return camera_error(source, gst);
  if (source->missing_codec)
    return codec_error(source, source->missing_codec);
  if (g_error_matches(gst, GST_STREAM_ERROR, GST_STREAM_ERROR_CODEC_NOT_FOUND) ||
      g_error_matches(gst, GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN))
    return g_error_new(LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_CODEC, "%s: %s", source->base.name,
                       gst->message);
  return g_error_new(LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_FORMAT,
                     "%s: expected a picture or a video, found what GStreamer cannot read: %s",
                     source->base.name, gst->message);
}

/* The structure that GStreamer's playback elements post, also described by gst-plugins-base's
 * missing-plugins documentation: "name" is text for people ("H.264 (High Profile) decoder"). */
static void note_missing(LcipGstSource *source, GstMessage *message) {
  const GstStructure *info = gst_message_get_structure(message);
  if (!info || !gst_structure_has_name(info, "missing-plugin"))
    return;
  const char *name = gst_structure_get_string(info, "name");
  const GValue *detail = gst_structure_get_value(info, "detail");
  /* a missing audio decoder does not matter */
  if (detail && GST_VALUE_HOLDS_CAPS(detail)) {
    const GstCaps *caps = gst_value_get_caps(detail);
    if (gst_caps_get_size(caps) > 0 &&
        g_str_has_prefix(gst_structure_get_name(gst_caps_get_structure(caps, 0)), "audio/"))
      return;
  }
  pthread_mutex_lock(&source->waiter.mutex);
  if (!source->missing_codec)
    source->missing_codec = g_strdup(name ? name : "decoder");
  pthread_mutex_unlock(&source->waiter.mutex);
}

static GstBusSyncReply on_message(GstBus *bus, GstMessage *message, gpointer data) {
  LcipGstSource *source = data;
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ELEMENT)
    note_missing(source, message);
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
    g_autoptr(GError) error = NULL;
    gst_message_parse_error(message, &error, NULL);
    pthread_mutex_lock(&source->waiter.mutex);
    fail_locked(source, translate(source, error));
    pthread_mutex_unlock(&source->waiter.mutex);
  }
  gst_message_unref(message);
  return GST_BUS_DROP;
}

/* ---- the reader ---- */

static LcipTensor *take_slot(LcipGstSource *source, gint64 *timestamp_ns) {
  *timestamp_ns = source->slot_ns;
  pthread_cond_broadcast(&source->waiter.changed);
  return g_steal_pointer(&source->slot);
}

static void start(LcipGstSource *source) {
  if (source->started)
    return;
  source->started = TRUE;
  /* what came before anybody asked was not dropped by a late reader */
  __atomic_store_n(&source->base.drops, 0, __ATOMIC_RELAXED);
  gst_element_set_state(source->pipeline, GST_STATE_PLAYING);
}

/* With the mutex held: waits until there is a frame, an end or an error. FALSE after @timeout_us
 * (0: none). */
static gboolean wait_for_frame(LcipGstSource *source, gint64 timeout_us,
                               GCancellable *cancellable) {
  const gint64 deadline_us = g_get_monotonic_time() + timeout_us;
  while (!source->slot && !source->failure && !source->ended &&
         !g_cancellable_is_cancelled(cancellable)) {
    if (timeout_us == 0)
      pthread_cond_wait(&source->waiter.changed, &source->waiter.mutex);
    else if (!lcip_waiter_wait_until(&source->waiter, deadline_us))
      return FALSE;
  }
  return TRUE;
}

static GError *timeout_error(const LcipGstSource *source, gint64 timeout_us) {
  return g_error_new(LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_TIMEOUT, "%s: no frame for %d s",
                     source->base.name, (int)(timeout_us / G_USEC_PER_SEC));
}

/* With the mutex held: a live file begins again. */
static void rewind_locked(LcipGstSource *source) {
  source->ended = FALSE;
  pthread_mutex_unlock(&source->waiter.mutex);
  gst_element_seek_simple(source->pipeline, GST_FORMAT_TIME,
                          GST_SEEK_FLAG_FLUSH | GST_SEEK_FLAG_KEY_UNIT, 0);
  pthread_mutex_lock(&source->waiter.mutex);
}

/* With the mutex held. A frame that is there comes before an error or the end after it. */
static LcipTensor *next_locked(LcipGstSource *source, gint64 *timestamp_ns,
                               GCancellable *cancellable, GError **error) {
  for (;;) {
    const gboolean in_time =
        wait_for_frame(source, source->camera ? CAMERA_TIMEOUT_US : 0, cancellable);
    if (g_cancellable_set_error_if_cancelled(cancellable, error))
      return NULL;
    if (source->slot)
      return take_slot(source, timestamp_ns);
    if (!in_time)
      fail_locked(source, timeout_error(source, CAMERA_TIMEOUT_US));
    if (!source->failure && source->ended && source->camera)
      fail_locked(source, g_error_new(LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_LOST, "%s: unplugged",
                                      source->base.name));
    if (source->failure) {
      if (error)
        *error = g_error_copy(source->failure);
      return NULL;
    }
    if (source->base.pace != LCIP_MEDIA_LIVE)
      return NULL;
    rewind_locked(source);
  }
}

static LcipTensor *gst_next(LcipMediaSource *base, gint64 *timestamp_ns, GCancellable *cancellable,
                            GError **error) {
  LcipGstSource *source = (LcipGstSource *)base;
  start(source);
  const gulong id = lcip_waiter_attach(&source->waiter, cancellable);
  pthread_mutex_lock(&source->waiter.mutex);
  LcipTensor *picture = next_locked(source, timestamp_ns, cancellable, error);
  pthread_mutex_unlock(&source->waiter.mutex);
  lcip_waiter_detach(cancellable, id);
  return picture;
}

static void gst_free(LcipMediaSource *base) {
  LcipGstSource *source = (LcipGstSource *)base;
  pthread_mutex_lock(&source->waiter.mutex);
  source->closing = TRUE;
  pthread_cond_broadcast(&source->waiter.changed);
  pthread_mutex_unlock(&source->waiter.mutex);
  gst_element_set_state(source->pipeline, GST_STATE_NULL);
  g_autoptr(GstBus) bus = gst_element_get_bus(source->pipeline);
  gst_bus_set_sync_handler(bus, NULL, NULL, NULL);
  g_clear_object(&source->size_filter);
  g_clear_object(&source->sink);
  g_clear_object(&source->pipeline);
  g_clear_pointer(&source->slot, lcip_tensor_unref);
  g_clear_error(&source->failure);
  g_free(source->missing_codec);
  g_free(source->device_path);
  lcip_waiter_clear(&source->waiter);
}

static const LcipMediaClass gst_class = {.next = gst_next, .free = gst_free};

LcipGstSource *lcip_gst_source_new(GstElement *pipeline, const char *name, LcipMediaPace pace) {
  static const GstAppSinkCallbacks callbacks = {
      .eos = on_end, .new_preroll = on_preroll, .new_sample = on_sample};
  LcipGstSource *source = g_new0(LcipGstSource, 1);
  lcip_media_source_init(&source->base, &gst_class, name, pace);
  lcip_waiter_init(&source->waiter);
  source->pipeline = pipeline;
  source->size_filter = gst_bin_get_by_name(GST_BIN(pipeline), "size");
  source->sink = gst_bin_get_by_name(GST_BIN(pipeline), "sink");
  g_object_set(source->sink, "sync", pace == LCIP_MEDIA_LIVE, "max-buffers", 2, NULL);
  gst_app_sink_set_callbacks(GST_APP_SINK(source->sink), (GstAppSinkCallbacks *)&callbacks, source,
                             NULL);
  g_autoptr(GstBus) bus = gst_element_get_bus(pipeline);
  gst_bus_set_sync_handler(bus, on_message, source, NULL);
  return source;
}

/* With the mutex held: the size is known, or what went wrong. */
static gboolean settle_locked(LcipGstSource *source, gint64 timeout_us, GError **error) {
  const gint64 deadline_us = g_get_monotonic_time() + timeout_us;
  while (source->width == 0 && !source->failure && !source->ended && !source->no_video)
    if (!lcip_waiter_wait_until(&source->waiter, deadline_us))
      break;
  if (source->width > 0)
    return lcip_picture_check_size(source->base.name, source->width, source->height, error);
  GError *failure = g_steal_pointer(&source->failure);
  if (!failure && source->missing_codec)
    failure = codec_error(source, source->missing_codec);
  if (!failure && (source->ended || source->no_video))
    failure = g_error_new(LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_FORMAT,
                          "%s: expected a video, found none in it", source->base.name);
  g_propagate_error(error, failure ? failure : timeout_error(source, timeout_us));
  return FALSE;
}

gboolean lcip_gst_source_open(LcipGstSource *source, GstState state, gint64 timeout_us,
                              GError **error) {
  gst_element_set_state(source->pipeline, state);
  pthread_mutex_lock(&source->waiter.mutex);
  const gboolean ok = settle_locked(source, timeout_us, error);
  pthread_mutex_unlock(&source->waiter.mutex);
  if (!ok)
    return FALSE;
  source->base.width = source->width;
  source->base.height = source->height;
  /* a stream that changes its size later is scaled to the size that was planned for */
  g_autoptr(GstCaps) caps =
      gst_caps_new_simple("video/x-raw", "format", G_TYPE_STRING, "RGB", "width", G_TYPE_INT,
                          source->base.width, "height", G_TYPE_INT, source->base.height, NULL);
  g_object_set(source->size_filter, "caps", caps, NULL);
  return TRUE;
}
