#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** LCIP_ERROR: errors of operators, kernels and devices. The message names what was expected and
 * what was found; whoever knows the actor or the file prefixes it (g_prefix_error). */
#define LCIP_ERROR (lcip_error_quark())
GQuark lcip_error_quark(void);

typedef enum {
  LCIP_ERROR_INVALID,     /* attributes, shapes or types that do not fit the operator */
  LCIP_ERROR_UNSUPPORTED, /* valid, but nothing here can do it */
  LCIP_ERROR_MEMORY,      /* an allocation failed or is refused */
  LCIP_ERROR_DEVICE,      /* a device or its driver failed */
  LCIP_ERROR_CANCELLED
} LcipErrorCode;

G_END_DECLS
