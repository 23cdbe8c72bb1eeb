#pragma once

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include "lcip-cl.h"

/* The inside of the OpenCL layer, for its files and its test. */

G_BEGIN_DECLS

struct _LcipClDevice {
  gatomicrefcount refs;
  cl_device_id id;
  cl_device_type type;
  /* owned */
  cl_context context;
  char *name;
  char *vendor;
  char *driver;
  char *platform;
  guint units;
  guint64 memory_bytes;
  /* programs: SHA-256 text to cl_program; with the counters below guarded by lock */
  GMutex lock;
  GHashTable *programs;
  guint n_built;
  guint n_loaded;
};

/** lcip_cl_probe: FALSE, with the reason in @why, where asking the drivers for devices would end
 * this process. */
gboolean lcip_cl_probe(GString *why);
/** lcip_cl_fail: sets LCIP_ERROR_DEVICE "@what: CL_NAME (code)" and returns FALSE. */
gboolean lcip_cl_fail(GError **error, cl_int code, const char *what, ...) G_GNUC_PRINTF(3, 4);
/** lcip_cl_code_name: "CL_INVALID_VALUE"; static. */
const char *lcip_cl_code_name(cl_int code);

/** lcip_cl_device_program: the program of @source with @options: from memory, else from the disk
 * cache, else built (and stored there). Borrowed from the device. Any thread. */
cl_program lcip_cl_device_program(LcipClDevice *device, const char *source, const char *options,
                                  GError **error);
/** lcip_cl_device_cache_path: where the disk cache keeps that program. Transfer full. */
char *lcip_cl_device_cache_path(LcipClDevice *device, const char *source, const char *options);
/** lcip_cl_device_counts: programs compiled from source and taken from the disk cache so far. */
void lcip_cl_device_counts(LcipClDevice *device, guint *n_built, guint *n_loaded);

G_END_DECLS
