#include "config.h"
#include "lcip-cl.h"

/* The OpenCL layer of a build without OpenCL: no devices, so that nothing else here is reached. */

static void set_unsupported(GError **error) {
  g_set_error_literal(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "built without OpenCL");
}

static gboolean unsupported(GError **error) {
  set_unsupported(error);
  return FALSE;
}

GPtrArray *lcip_cl_list_devices(char **why) {
  if (why)
    *why = g_strdup("LCIP was built without OpenCL.");
  return g_ptr_array_new();
}

LcipClDevice *lcip_cl_device_ref(LcipClDevice *device) {
  return device;
}

void lcip_cl_device_unref(LcipClDevice *device) {
}

const char *lcip_cl_device_name(LcipClDevice *device) {
  return "none";
}

const char *lcip_cl_device_vendor(LcipClDevice *device) {
  return "none";
}

const char *lcip_cl_device_driver(LcipClDevice *device) {
  return "none";
}

guint lcip_cl_device_units(LcipClDevice *device) {
  return 0;
}

guint64 lcip_cl_device_memory_bytes(LcipClDevice *device) {
  return 0;
}

LcipClMem lcip_cl_buffer_new(LcipClDevice *device, gsize size_bytes, GError **error) {
  set_unsupported(error);
  return NULL;
}

LcipClMem lcip_cl_buffer_new_from(LcipClDevice *device, gsize size_bytes, const void *data,
                                  GError **error) {
  set_unsupported(error);
  return NULL;
}

void lcip_cl_buffer_free(LcipClMem buffer) {
}

LcipClQueue *lcip_cl_queue_new(LcipClDevice *device, GError **error) {
  set_unsupported(error);
  return NULL;
}

void lcip_cl_queue_free(LcipClQueue *queue) {
}

LcipClDevice *lcip_cl_queue_device(LcipClQueue *queue) {
  return NULL;
}

LcipClKernel lcip_cl_queue_kernel(LcipClQueue *queue, const char *source, const char *options,
                                  const char *function, GError **error) {
  set_unsupported(error);
  return NULL;
}

gboolean lcip_cl_arg_int(LcipClKernel kernel, guint i, gint32 value, GError **error) {
  return unsupported(error);
}

gboolean lcip_cl_arg_float(LcipClKernel kernel, guint i, float value, GError **error) {
  return unsupported(error);
}

gboolean lcip_cl_arg_view(LcipClKernel kernel, guint i, const LcipTensorView *view,
                          GError **error) {
  return unsupported(error);
}

gboolean lcip_cl_launch(LcipClQueue *queue, LcipClKernel kernel, guint n_dims, const gsize *global,
                        const gsize *local, GError **error) {
  return unsupported(error);
}

gboolean lcip_cl_write(LcipClQueue *queue, LcipClMem buffer, gsize offset_bytes, gsize size_bytes,
                       const void *data, GError **error) {
  return unsupported(error);
}

gboolean lcip_cl_read(LcipClQueue *queue, LcipClMem buffer, gsize offset_bytes, gsize size_bytes,
                      void *data, GError **error) {
  return unsupported(error);
}

guint lcip_cl_queue_mark(LcipClQueue *queue) {
  return 0;
}

gboolean lcip_cl_queue_finish(LcipClQueue *queue, guint n, LcipClTimes *times, GError **error) {
  return unsupported(error);
}
