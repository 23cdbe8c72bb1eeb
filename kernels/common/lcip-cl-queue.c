#include "config.h"
#include "lcip-cl-private.h"

#include <string.h>

/* Device clocks are aligned with the monotonic clock by a marker command on the idle queue, again
 * when the last alignment is older than this. */
#define ALIGN_NS (2 * G_GINT64_CONSTANT(1000000000))
#define ALIGN_TRIES 5

typedef struct {
  const char *source;
  const char *function;
  const char *options;
} KernelKey;

/* One group of commands: events [first, first of the next). */
typedef struct {
  guint end;
  gint64 host_ns;
} Mark;

struct _LcipClQueue {
  LcipClDevice *device;
  cl_command_queue queue;
  GHashTable *kernels; /* KernelKey to cl_kernel */
  GArray *events;      /* cl_event */
  GArray *marks;       /* Mark */
  gint64 offset_ns;    /* host time = device time + offset */
  gint64 aligned_ns;
};

static gint64 monotonic_ns(void) {
  return g_get_monotonic_time() * 1000;
}

/* ---- kernels of the queue ---- */

/* Sources are static texts, so that their address is enough. */
static guint key_hash(gconstpointer data) {
  const KernelKey *key = data;
  return g_direct_hash(key->source) ^ g_str_hash(key->function) * 31 ^ g_str_hash(key->options);
}

static gboolean key_equal(gconstpointer a, gconstpointer b) {
  const KernelKey *left = a, *right = b;
  return left->source == right->source && g_str_equal(left->function, right->function) &&
         g_str_equal(left->options, right->options);
}

static KernelKey *key_new(const KernelKey *from) {
  KernelKey *key = g_new(KernelKey, 1);
  *key = (KernelKey){from->source, g_strdup(from->function), g_strdup(from->options)};
  return key;
}

static void key_free(gpointer data) {
  KernelKey *key = data;
  g_free((char *)key->function);
  g_free((char *)key->options);
  g_free(key);
}

static void kernel_free(gpointer kernel) {
  clReleaseKernel(kernel);
}

LcipClKernel lcip_cl_queue_kernel(LcipClQueue *queue, const char *source, const char *options,
                                  const char *function, GError **error) {
  const KernelKey key = {source, function, options ? options : ""};
  cl_kernel kernel = g_hash_table_lookup(queue->kernels, &key);
  if (kernel)
    return kernel;
  cl_program program = lcip_cl_device_program(queue->device, source, key.options, error);
  if (!program)
    return NULL;
  cl_int code;
  kernel = clCreateKernel(program, function, &code);
  if (!kernel) {
    lcip_cl_fail(error, code, "%s: no kernel %s with options \"%s\"", queue->device->name, function,
                 key.options);
    return NULL;
  }
  g_hash_table_insert(queue->kernels, key_new(&key), kernel);
  return kernel;
}

/* ---- arguments ---- */

static gboolean set_arg(LcipClKernel kernel, guint i, gsize size_bytes, const void *value,
                        GError **error) {
  const cl_int code = clSetKernelArg(kernel, i, size_bytes, value);
  if (code == CL_SUCCESS)
    return TRUE;
  char name[64] = "";
  clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, sizeof name, name, NULL);
  return lcip_cl_fail(error, code, "argument %u of OpenCL kernel %s", i, name);
}

gboolean lcip_cl_arg_int(LcipClKernel kernel, guint i, gint32 value, GError **error) {
  const cl_int number = value;
  return set_arg(kernel, i, sizeof number, &number, error);
}

gboolean lcip_cl_arg_float(LcipClKernel kernel, guint i, float value, GError **error) {
  const cl_float number = value;
  return set_arg(kernel, i, sizeof number, &number, error);
}

gboolean lcip_cl_arg_view(LcipClKernel kernel, guint i, const LcipTensorView *view,
                          GError **error) {
  cl_mem buffer = view->buffer;
  const gsize element = MAX(lcip_type_size(view->spec.type), 1);
  const gsize offset = view->offset_bytes / element;
  if (!buffer || view->offset_bytes % element != 0 || offset > G_MAXINT32) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_DEVICE,
                "argument %u of an OpenCL kernel: expected a tensor on the device at a multiple of "
                "%" G_GSIZE_FORMAT " bytes and at most 2^31 elements, found %s at %" G_GSIZE_FORMAT,
                i, element, buffer ? "a device buffer" : "no device buffer", view->offset_bytes);
    return FALSE;
  }
  return set_arg(kernel, i, sizeof buffer, &buffer, error) &&
         lcip_cl_arg_int(kernel, i + 1, (gint32)offset, error);
}

/* ---- commands ---- */

static void keep_event(LcipClQueue *queue, cl_event event) {
  g_array_append_val(queue->events, event);
}

gboolean lcip_cl_launch(LcipClQueue *queue, LcipClKernel kernel, guint n_dims, const gsize *global,
                        const gsize *local, GError **error) {
  size_t rounded[3] = {1, 1, 1};
  g_return_val_if_fail(n_dims >= 1 && n_dims <= 3, FALSE);
  for (guint i = 0; i < n_dims; i++) {
    if (global[i] == 0)
      return TRUE; /* an empty tensor */
    rounded[i] = (global[i] + local[i] - 1) / local[i] * local[i];
  }
  cl_event event = NULL;
  const cl_int code =
      clEnqueueNDRangeKernel(queue->queue, kernel, n_dims, NULL, rounded, local, 0, NULL, &event);
  if (code == CL_SUCCESS) {
    keep_event(queue, event);
    return TRUE;
  }
  char name[64] = "";
  clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, sizeof name, name, NULL);
  return lcip_cl_fail(error, code, "%s cannot launch OpenCL kernel %s", queue->device->name, name);
}

gboolean lcip_cl_write(LcipClQueue *queue, LcipClMem buffer, gsize offset_bytes, gsize size_bytes,
                       const void *data, GError **error) {
  cl_event event = NULL;
  if (size_bytes == 0)
    return TRUE;
  const cl_int code = clEnqueueWriteBuffer(queue->queue, buffer, CL_TRUE, offset_bytes, size_bytes,
                                           data, 0, NULL, &event);
  if (code != CL_SUCCESS)
    return lcip_cl_fail(error, code, "%s: %" G_GSIZE_FORMAT " bytes cannot be written",
                        queue->device->name, size_bytes);
  keep_event(queue, event);
  return TRUE;
}

gboolean lcip_cl_read(LcipClQueue *queue, LcipClMem buffer, gsize offset_bytes, gsize size_bytes,
                      void *data, GError **error) {
  cl_event event = NULL;
  if (size_bytes == 0)
    return TRUE;
  const cl_int code = clEnqueueReadBuffer(queue->queue, buffer, CL_TRUE, offset_bytes, size_bytes,
                                          data, 0, NULL, &event);
  if (code != CL_SUCCESS)
    return lcip_cl_fail(error, code, "%s: %" G_GSIZE_FORMAT " bytes cannot be read",
                        queue->device->name, size_bytes);
  keep_event(queue, event);
  return TRUE;
}

/* ---- times ---- */

static gboolean event_time(cl_event event, cl_profiling_info info, gint64 *ns, GError **error) {
  cl_ulong value = 0;
  const cl_int code = clGetEventProfilingInfo(event, info, sizeof value, &value, NULL);
  if (code != CL_SUCCESS)
    return lcip_cl_fail(error, code, "no time of an OpenCL command");
  *ns = (gint64)value;
  return TRUE;
}

/* A marker on the idle queue ends between two looks at the host's clock; the shortest interval of a
 * few says best where the device's clock stands. */
static gboolean align_clock(LcipClQueue *queue, GError **error) {
  gint64 best_ns = G_MAXINT64;
  for (guint i = 0; i < ALIGN_TRIES; i++) {
    cl_event event = NULL;
    gint64 end_ns = 0;
    const gint64 before_ns = monotonic_ns();
    cl_int code = clEnqueueMarkerWithWaitList(queue->queue, 0, NULL, &event);
    if (code != CL_SUCCESS)
      return lcip_cl_fail(error, code, "%s: no marker", queue->device->name);
    code = clWaitForEvents(1, &event);
    const gint64 after_ns = monotonic_ns();
    const gboolean timed = code == CL_SUCCESS
                               ? event_time(event, CL_PROFILING_COMMAND_END, &end_ns, error)
                               : lcip_cl_fail(error, code, "%s: marker", queue->device->name);
    clReleaseEvent(event);
    if (!timed)
      return FALSE;
    if (after_ns - before_ns < best_ns) {
      best_ns = after_ns - before_ns;
      queue->offset_ns = before_ns + best_ns / 2 - end_ns;
    }
  }
  queue->aligned_ns = monotonic_ns();
  return TRUE;
}

static gboolean add_event(LcipClQueue *queue, cl_event event, LcipClTimes *times, GError **error) {
  gint64 queued_ns = 0, start_ns = 0, end_ns = 0;
  if (!event_time(event, CL_PROFILING_COMMAND_QUEUED, &queued_ns, error) ||
      !event_time(event, CL_PROFILING_COMMAND_START, &start_ns, error) ||
      !event_time(event, CL_PROFILING_COMMAND_END, &end_ns, error))
    return FALSE;
  times->start_ns = MIN(times->start_ns, start_ns + queue->offset_ns);
  times->end_ns = MAX(times->end_ns, end_ns + queue->offset_ns);
  times->queued_ns = MIN(times->queued_ns, queued_ns + queue->offset_ns);
  times->queued_ns = MIN(times->queued_ns, times->start_ns);
  return TRUE;
}

/* @earlier: end of the group before. A group without commands takes no time after it, by the host's
 * clock; the device's is known to a marker's round trip only, but a queue begins nothing before
 * that end. */
static gboolean group_times(LcipClQueue *queue, guint first, const Mark *mark, gint64 earlier_ns,
                            LcipClTimes *times, GError **error) {
  if (first == mark->end) {
    const gint64 at_ns = MAX(mark->host_ns, earlier_ns);
    *times = (LcipClTimes){at_ns, at_ns, at_ns};
    return TRUE;
  }
  *times = (LcipClTimes){G_MAXINT64, G_MAXINT64, G_MININT64};
  for (guint i = first; i < mark->end; i++)
    if (!add_event(queue, g_array_index(queue->events, cl_event, i), times, error))
      return FALSE;
  times->start_ns = MAX(times->start_ns, earlier_ns);
  times->end_ns = MAX(times->end_ns, times->start_ns);
  return TRUE;
}

static gboolean fill_times(LcipClQueue *queue, guint n, LcipClTimes *times, GError **error) {
  guint first = 0;
  gint64 earlier_ns = 0;
  for (guint i = 0; i < n; i++) {
    const Mark *mark = &g_array_index(queue->marks, Mark, i);
    if (!group_times(queue, first, mark, earlier_ns, &times[i], error))
      return FALSE;
    first = mark->end;
    earlier_ns = times[i].end_ns;
  }
  return TRUE;
}

static gboolean check_events(LcipClQueue *queue, GError **error) {
  for (guint i = 0; i < queue->events->len; i++) {
    cl_int status = CL_COMPLETE;
    clGetEventInfo(g_array_index(queue->events, cl_event, i), CL_EVENT_COMMAND_EXECUTION_STATUS,
                   sizeof status, &status, NULL);
    if (status < 0)
      return lcip_cl_fail(error, status, "%s: a command failed", queue->device->name);
  }
  return TRUE;
}

static void forget_events(LcipClQueue *queue) {
  for (guint i = 0; i < queue->events->len; i++)
    clReleaseEvent(g_array_index(queue->events, cl_event, i));
  g_array_set_size(queue->events, 0);
  g_array_set_size(queue->marks, 0);
}

guint lcip_cl_queue_mark(LcipClQueue *queue) {
  const Mark mark = {queue->events->len, monotonic_ns()};
  g_array_append_val(queue->marks, mark);
  return queue->marks->len - 1;
}

gboolean lcip_cl_queue_finish(LcipClQueue *queue, guint n, LcipClTimes *times, GError **error) {
  g_return_val_if_fail(!times || n <= queue->marks->len, FALSE);
  const cl_int code = clFinish(queue->queue);
  gboolean ok = code == CL_SUCCESS ||
                lcip_cl_fail(error, code, "%s cannot finish its commands", queue->device->name);
  ok = ok && check_events(queue, error);
  if (ok && times && monotonic_ns() - queue->aligned_ns > ALIGN_NS)
    ok = align_clock(queue, error);
  ok = ok && (!times || fill_times(queue, n, times, error));
  forget_events(queue);
  return ok;
}

/* ---- the queue ---- */

LcipClQueue *lcip_cl_queue_new(LcipClDevice *device, GError **error) {
  cl_int code;
  cl_command_queue commands =
      clCreateCommandQueue(device->context, device->id, CL_QUEUE_PROFILING_ENABLE, &code);
  if (!commands) {
    lcip_cl_fail(error, code, "%s: no command queue", device->name);
    return NULL;
  }
  LcipClQueue *queue = g_new0(LcipClQueue, 1);
  queue->device = lcip_cl_device_ref(device);
  queue->queue = commands;
  queue->kernels = g_hash_table_new_full(key_hash, key_equal, key_free, kernel_free);
  queue->events = g_array_new(FALSE, FALSE, sizeof(cl_event));
  queue->marks = g_array_new(FALSE, FALSE, sizeof(Mark));
  if (align_clock(queue, error))
    return queue;
  lcip_cl_queue_free(queue);
  return NULL;
}

void lcip_cl_queue_free(LcipClQueue *queue) {
  if (!queue)
    return;
  clFinish(queue->queue);
  forget_events(queue);
  g_array_unref(queue->events);
  g_array_unref(queue->marks);
  g_hash_table_unref(queue->kernels);
  clReleaseCommandQueue(queue->queue);
  lcip_cl_device_unref(queue->device);
  g_free(queue);
}

LcipClDevice *lcip_cl_queue_device(LcipClQueue *queue) {
  return queue->device;
}
