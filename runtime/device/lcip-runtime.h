#pragma once

#include "lcip-cl.h"
#include "lcip-graph.h"

G_BEGIN_DECLS

/** LcipDevice: what a lane can be bound to. Immutable.
 * @id: "cpu", "opencl:0", ...; "tcp://HOST:PORT/cpu", ... of a worker (lcip-remote-device.h).
 * @units: processors or compute units. */
typedef struct {
  char *id;
  char *name;
  LcipLaneKind kind;
  guint units;
  guint64 memory_bytes;
  char *driver;
  LcipClDevice *cl; /* OpenCL devices */
} LcipDevice;

/** LcipRuntime: one per process: devices and prepared weights (shared, refcounted, keyed by
 * weights, kernel and format). Thread-safe. */
typedef struct _LcipRuntime LcipRuntime;
LcipRuntime *lcip_runtime_get(void);
/** lcip_runtime_devices: LcipDevice of this machine; borrowed. The CPU first. The first call looks
 * for OpenCL devices, which takes some 100 ms. */
const GPtrArray *lcip_runtime_devices(LcipRuntime *runtime);
/** lcip_runtime_devices_known: that call has been made, here or elsewhere. */
gboolean lcip_runtime_devices_known(LcipRuntime *runtime);
/** lcip_runtime_first_device: of @kind, or NULL. Does not look further for a CPU. */
const LcipDevice *lcip_runtime_first_device(LcipRuntime *runtime, LcipLaneKind kind);
/** lcip_runtime_find_device: of this machine or of a worker that the user is paired with. */
const LcipDevice *lcip_runtime_find_device(LcipRuntime *runtime, const char *id);
/** lcip_runtime_opencl_problem: why there is no OpenCL device, or NULL. */
const char *lcip_runtime_opencl_problem(LcipRuntime *runtime);
/** lcip_runtime_prepare: the prepared blob of a step's constants, made once and shared. NULL blob
 * and TRUE for kernels without prepare. */
gboolean lcip_runtime_prepare(LcipRuntime *runtime, const LcipKernel *kernel, const LcipStep *step,
                              const LcipPortFormats *formats, LcipBlob **blob, GError **error);
/** lcip_runtime_trim_copies: after many calls of lcip_runtime_prepare(): frees the memory in which
 * it aligned weights. */
void lcip_runtime_trim_copies(LcipRuntime *runtime);
/** lcip_runtime_compact_memory: for programs that change mappings while they run; call first in
 * main(). Keeps large buffers out of the C library's heap. glibc raises its limit for what it maps
 * apart to the largest buffer ever freed, so that arenas of retired plans end up in the heap and
 * fragment it: 45 % more memory after 600 mappings. Does nothing elsewhere. Costs page faults for
 * every large buffer. */
void lcip_runtime_compact_memory(void);
/** lcip_runtime_trim: frees prepared blobs that nobody holds any more. Does nothing where no
 * runtime is in use yet. */
void lcip_runtime_trim(void);
/** lcip_runtime_upload: a device buffer with @data, shared by all who ask with the same @owner
 * pointer (a tensor or a blob, which the caller keeps alive as long as the upload). Free with
 * lcip_cl_upload_unref(). */
typedef struct _LcipClUpload LcipClUpload;
LcipClUpload *lcip_runtime_upload(LcipRuntime *runtime, LcipClDevice *device, gconstpointer owner,
                                  gsize size_bytes, const void *data, GError **error);
LcipClMem lcip_cl_upload_buffer(LcipClUpload *upload);
void lcip_cl_upload_unref(LcipClUpload *upload);

G_END_DECLS
