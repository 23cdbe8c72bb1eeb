#include "config.h"
#include "lcip-gst-private.h"

#include <string.h>

/* Cameras by GStreamer's device monitor. V4L2 and PipeWire list the same camera each; of the two
 * the one that knows the device file by itself (V4L2) is kept, as its errors say more. */

typedef struct {
  GstDevice *device;
  char *path; /* /dev/videoN where known */
  char *id, *name;
} Found;

static void found_free(gpointer data) {
  Found *found = data;
  g_clear_object(&found->device);
  g_free(found->path);
  g_free(found->id);
  g_free(found->name);
  g_free(found);
}

/* The device file, from whichever property the provider has: V4L2's, PipeWire's V4L2 nodes'. */
static char *device_path(const GstStructure *properties) {
  static const char *const keys[] = {"device.path", "api.v4l2.path", "object.path"};
  for (gsize i = 0; properties && i < G_N_ELEMENTS(keys); i++) {
    const char *value = gst_structure_get_string(properties, keys[i]);
    if (value && g_str_has_prefix(value, "v4l2:"))
      value += strlen("v4l2:");
    if (value && g_str_has_prefix(value, "/dev/"))
      return g_strdup(value);
  }
  return NULL;
}

static gboolean is_v4l2(const GstStructure *properties) {
  const char *api = properties ? gst_structure_get_string(properties, "device.api") : NULL;
  return g_strcmp0(api, "v4l2") == 0 && gst_structure_has_field(properties, "device.path") &&
         !gst_structure_has_field(properties, "node.name");
}

static Found *found_new(GstDevice *device) {
  g_autoptr(GstStructure) properties = gst_device_get_properties(device);
  Found *found = g_new0(Found, 1);
  found->device = g_object_ref(device);
  found->name = gst_device_get_display_name(device);
  found->path = device_path(properties);
  const char *node = properties ? gst_structure_get_string(properties, "node.name") : NULL;
  found->id = g_strdup_printf("camera:%s", found->path ? found->path : node ? node : found->name);
  return found;
}

/* The camera in @list that @found is too: same device file, or neither has one and the same id. */
static Found *same_camera(GPtrArray *list, const Found *found) {
  for (guint i = 0; i < list->len; i++) {
    Found *other = list->pdata[i];
    if (g_str_equal(other->id, found->id))
      return other;
  }
  return NULL;
}

static void add_device(GPtrArray *list, GstDevice *device) {
  g_autoptr(GstStructure) properties = gst_device_get_properties(device);
  Found *found = found_new(device);
  Found *other = same_camera(list, found);
  if (!other) {
    g_ptr_array_add(list, found);
    return;
  }
  if (is_v4l2(properties))
    g_set_object(&other->device, device);
  found_free(found);
}

static int compare_found(const void *a, const void *b) {
  const Found *x = *(Found *const *)a, *y = *(Found *const *)b;
  return strcmp(x->id, y->id);
}

/* Started once and kept: it follows what is plugged in and out, and stopping it right after its
 * start crashes inside PipeWire's device provider (0.3.65, a thread's heap is damaged when it
 * ends). */
static GstDeviceMonitor *started_monitor(void) {
  static gsize once;
  static GstDeviceMonitor *monitor;
  if (g_once_init_enter(&once)) {
    monitor = gst_device_monitor_new();
    gst_device_monitor_add_filter(monitor, "Video/Source", NULL);
    g_autoptr(GstBus) bus = gst_device_monitor_get_bus(monitor);
    gst_bus_set_flushing(bus, TRUE); /* nobody reads its messages */
    gst_device_monitor_start(monitor);
    g_once_init_leave(&once, 1);
  }
  return monitor;
}

static GPtrArray *find_cameras(void) {
  GPtrArray *list = g_ptr_array_new_with_free_func(found_free);
  GList *devices = gst_device_monitor_get_devices(started_monitor());
  for (GList *at = devices; at; at = at->next)
    add_device(list, at->data);
  g_list_free_full(devices, gst_object_unref);
  g_ptr_array_sort(list, compare_found);
  return list;
}

static void camera_free(gpointer data) {
  LcipCamera *camera = data;
  g_free(camera->id);
  g_free(camera->name);
  g_free(camera);
}

GPtrArray *lcip_media_list_cameras(void) {
  GPtrArray *cameras = g_ptr_array_new_with_free_func(camera_free);
  if (!lcip_gst_init(NULL))
    return cameras;
  g_autoptr(GPtrArray) list = find_cameras();
  for (guint i = 0; i < list->len; i++) {
    Found *found = list->pdata[i];
    LcipCamera *camera = g_new0(LcipCamera, 1);
    camera->id = g_strdup(found->id);
    camera->name = g_strdup(found->name);
    g_ptr_array_add(cameras, camera);
  }
  return cameras;
}

/* ---- opening ---- */

/* What to ask of a camera, best first: enough pixels for a face across the room, at full rate; raw
 * before JPEG; then whatever it has. */
static const char *const wishes[] = {
    "video/x-raw,width=1280,height=720,framerate=[25/1,60/1]",
    "image/jpeg,width=1280,height=720,framerate=[25/1,60/1]",
    "video/x-raw,width=640,height=480,framerate=[25/1,60/1]",
    "image/jpeg,width=640,height=480,framerate=[25/1,60/1]",
    "video/x-raw,width=[320,1920],height=[240,1080]",
    "image/jpeg,width=[320,1920],height=[240,1080]",
};

static GstCaps *wanted_caps(GstDevice *device) {
  g_autoptr(GstCaps) offered = gst_device_get_caps(device);
  for (gsize i = 0; offered && i < G_N_ELEMENTS(wishes); i++) {
    g_autoptr(GstCaps) wish = gst_caps_from_string(wishes[i]);
    if (gst_caps_can_intersect(offered, wish))
      return g_steal_pointer(&wish);
  }
  return gst_caps_from_string("video/x-raw; image/jpeg");
}

/* decodebin turns a camera's JPEG into raw pictures and passes raw ones through. */
static void on_pad(GstElement *decoder, GstPad *pad, gpointer data) {
  g_autoptr(GstPad) input = gst_element_get_static_pad(data, "sink");
  if (!gst_pad_is_linked(input))
    gst_pad_link(pad, input);
}

static GstElement *camera_pipeline(const Found *found, GError **error) {
  g_autoptr(GError) local = NULL;
  GstElement *pipeline = gst_parse_launch(
      "capsfilter name=wish ! decodebin name=decoder  videoconvert name=convert ! videoscale ! "
      "capsfilter name=size caps=video/x-raw,format=RGB ! appsink name=sink",
      &local);
  GstElement *camera = gst_device_create_element(found->device, NULL);
  if (!pipeline || local || !camera) {
    g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_MISSING,
                "%s: GStreamer lacks an element for cameras: %s (packages "
                "gstreamer1.0-plugins-base and gstreamer1.0-plugins-good)",
                found->name, local ? local->message : "the camera's source");
    g_clear_object(&pipeline);
    g_clear_object(&camera);
    return NULL;
  }
  g_autoptr(GstElement) wish = gst_bin_get_by_name(GST_BIN(pipeline), "wish");
  g_autoptr(GstElement) decoder = gst_bin_get_by_name(GST_BIN(pipeline), "decoder");
  g_autoptr(GstElement) convert = gst_bin_get_by_name(GST_BIN(pipeline), "convert");
  g_autoptr(GstCaps) caps = wanted_caps(found->device);
  g_object_set(wish, "caps", caps, NULL);
  gst_bin_add(GST_BIN(pipeline), camera);
  gst_element_link(camera, wish);
  g_signal_connect_object(decoder, "pad-added", G_CALLBACK(on_pad), convert, 0);
  return pipeline;
}

static const Found *pick_camera(GPtrArray *list, const char *id, GError **error) {
  for (guint i = 0; i < list->len; i++) {
    const Found *found = list->pdata[i];
    if (!id || g_str_equal(found->id, id))
      return found;
  }
  if (list->len == 0)
    g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_NOT_FOUND,
                "%s: expected a camera, found none on this machine", id ? id : "camera");
  else
    g_set_error(error, LCIP_MEDIA_ERROR, LCIP_MEDIA_ERROR_NOT_FOUND,
                "%s: no such camera; the first one here is \"%s\"", id,
                ((const Found *)list->pdata[0])->id);
  return NULL;
}

/* It plays from here on, so that an error to open it shows now. */
LcipMediaSource *lcip_camera_source_open(const char *id, GError **error) {
  if (!lcip_gst_init(error))
    return NULL;
  g_autoptr(GPtrArray) list = find_cameras();
  const Found *found = pick_camera(list, id, error);
  GstElement *pipeline = found ? camera_pipeline(found, error) : NULL;
  if (!pipeline)
    return NULL;
  LcipGstSource *source = lcip_gst_source_new(pipeline, found->name, LCIP_MEDIA_LIVE);
  g_autoptr(LcipMediaSource) base = &source->base;
  source->camera = TRUE;
  source->device_path = g_strdup(found->path);
  g_object_set(source->sink, "sync", FALSE, NULL);
  if (!lcip_gst_source_open(source, GST_STATE_PLAYING, 3 * G_USEC_PER_SEC, error))
    return NULL;
  return g_steal_pointer(&base);
}
