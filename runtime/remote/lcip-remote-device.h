#pragma once

#include "lcip-remote-error.h"
#include "lcip-runtime.h"

G_BEGIN_DECLS

/* Devices of workers. Their ids are ADDRESS/DEVICE: "tcp://HOST:PORT/cpu", "mpi:RANK/cpu"; without
 * a device it is the worker's CPU. */

/** lcip_remote_is_id: @id looks like a device of a worker. */
gboolean lcip_remote_is_id(const char *id);
/** lcip_remote_split: both transfer full. */
void lcip_remote_split(const char *id, char **address, char **device);
/** lcip_remote_is_f16: it ends in "?f16". */
gboolean lcip_remote_is_f16(const char *id);
/** lcip_remote_device_kind: CPU or OPENCL: what the device is on the worker. */
LcipLaneKind lcip_remote_device_kind(const char *id);
/** lcip_remote_device_find: of a worker that this user is paired with; the same as long as the
 * process lives. NULL with what is missing. Any thread. */
const LcipDevice *lcip_remote_device_find(const char *id, GError **error);
/** lcip_remote_devices: those of all paired workers as they were when they were last seen; an
 * array of borrowed LcipDevice; transfer container. Any thread. */
GPtrArray *lcip_remote_devices(GError **error);

G_END_DECLS
