#pragma once

#include "lcip-remote-error.h"
#include "lcip-runtime.h"

G_BEGIN_DECLS

/* Devices of workers. Their ids are ADDRESS/DEVICE?OPTIONS: "tcp://HOST:PORT/cpu", "mpi:RANK/cpu",
 * "tcp://HOST:PORT/opencl:0?f16,deadline=5s"; without a device it is the worker's CPU. */

/** LcipRemoteId: what an id says. @address, @device: owned. @f16: f32 tensors travel as f16.
 * @deadline_ns: 0 where it does not say. */
typedef struct {
  char *address, *device;
  gboolean f16;
  gint64 deadline_ns;
} LcipRemoteId;
void lcip_remote_id_clear(LcipRemoteId *id);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LcipRemoteId, lcip_remote_id_clear)
/** lcip_remote_id_parse: FALSE where an option of @text is none; @id is then empty. */
gboolean lcip_remote_id_parse(const char *text, LcipRemoteId *id, GError **error);

/** lcip_remote_is_id: @id looks like a device of a worker. */
gboolean lcip_remote_is_id(const char *id);
/** lcip_remote_device_kind: CPU or OPENCL: what the device is on the worker. */
LcipLaneKind lcip_remote_device_kind(const char *id);
/** lcip_remote_device_find: of a worker that this user is paired with; the same as long as the
 * process lives. NULL with what is missing. Any thread. */
const LcipDevice *lcip_remote_device_find(const char *id, GError **error);
/** lcip_remote_devices: those of all paired workers as they were when they were last seen; an
 * array of borrowed LcipDevice; transfer container. Any thread. */
GPtrArray *lcip_remote_devices(GError **error);

G_END_DECLS
