#pragma once

#include "lcip-kernel.h"

/* OpenCL for kernels. Nothing here needs the OpenCL headers, so that users of the interface compile
 * with the feature off; the implementation is lcip-cl.c (feature on) or lcip-cl-none.c. */

G_BEGIN_DECLS

typedef struct _cl_mem *LcipClMem;
typedef struct _cl_kernel *LcipClKernel;

/** LcipClDevice: an OpenCL device with its context and its program cache (in memory and on disk,
 * below the user's cache folder, keyed by device, driver, source and options). Atomically
 * reference-counted; its functions may be called by any thread. */
typedef struct _LcipClDevice LcipClDevice;

/** lcip_cl_list_devices: array of LcipClDevice; empty where OpenCL is off or has no devices, then
 * @why (transfer full, may be NULL) says why in one sentence. Found once per process. */
GPtrArray *lcip_cl_list_devices(char **why);
LcipClDevice *lcip_cl_device_ref(LcipClDevice *device);
void lcip_cl_device_unref(LcipClDevice *device);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipClDevice, lcip_cl_device_unref)
const char *lcip_cl_device_name(LcipClDevice *device);
const char *lcip_cl_device_vendor(LcipClDevice *device);
const char *lcip_cl_device_driver(LcipClDevice *device);
guint lcip_cl_device_units(LcipClDevice *device);
guint64 lcip_cl_device_memory_bytes(LcipClDevice *device);

/** lcip_cl_buffer_new: device memory; free with lcip_cl_buffer_free(). */
LcipClMem lcip_cl_buffer_new(LcipClDevice *device, gsize size_bytes, GError **error);
/** lcip_cl_buffer_new_from: device memory that holds a copy of @data (weights). */
LcipClMem lcip_cl_buffer_new_from(LcipClDevice *device, gsize size_bytes, const void *data,
                                  GError **error);
void lcip_cl_buffer_free(LcipClMem buffer);

/** LcipClQueue: an in-order queue with profiling; owned by one thread. */
LcipClQueue *lcip_cl_queue_new(LcipClDevice *device, GError **error);
void lcip_cl_queue_free(LcipClQueue *queue);
LcipClDevice *lcip_cl_queue_device(LcipClQueue *queue);

/** lcip_cl_queue_kernel: function @function of the program in @source (embedded .cl text, which
 * must stay as it is while the queue lives: its address is its name) built with @options
 * ("-DK=3"); built once per device and cached. Borrowed by the queue's thread until the queue is
 * freed: each queue has its own kernel objects, so setting arguments is safe. */
LcipClKernel lcip_cl_queue_kernel(LcipClQueue *queue, const char *source, const char *options,
                                  const char *function, GError **error);
/** lcip_cl_arg_*: set an argument. A view sets two: the buffer and its offset in elements (int). */
gboolean lcip_cl_arg_int(LcipClKernel kernel, guint i, gint32 value, GError **error);
gboolean lcip_cl_arg_float(LcipClKernel kernel, guint i, float value, GError **error);
gboolean lcip_cl_arg_view(LcipClKernel kernel, guint i, const LcipTensorView *view, GError **error);
/** lcip_cl_launch: @global is rounded up to multiples of @local; kernels check their bounds. */
gboolean lcip_cl_launch(LcipClQueue *queue, LcipClKernel kernel, guint n_dims, const gsize *global,
                        const gsize *local, GError **error);
/** lcip_cl_write, lcip_cl_read: copies between host and device; both return when it is done. */
gboolean lcip_cl_write(LcipClQueue *queue, LcipClMem buffer, gsize offset_bytes, gsize size_bytes,
                       const void *data, GError **error);
gboolean lcip_cl_read(LcipClQueue *queue, LcipClMem buffer, gsize offset_bytes, gsize size_bytes,
                      void *data, GError **error);

/** LcipClTimes: device times of one mark, on the clock of g_get_monotonic_time() in nanoseconds. */
typedef struct {
  gint64 queued_ns, start_ns, end_ns;
} LcipClTimes;

/** lcip_cl_queue_mark: closes a group of commands (everything enqueued since the previous mark, a
 * step or a copy) and returns its index, counted from 0 since lcip_cl_queue_finish(). */
guint lcip_cl_queue_mark(LcipClQueue *queue);
/** lcip_cl_queue_finish: waits for all, then fills @times (n = marks since the last finish; first
 * start to last end of each group's events) and forgets the marks. @times may be NULL. */
gboolean lcip_cl_queue_finish(LcipClQueue *queue, guint n, LcipClTimes *times, GError **error);

G_END_DECLS
