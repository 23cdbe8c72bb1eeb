#pragma once

#include "lcip-infer.h"

G_BEGIN_DECLS

/** LcipWindow: geometry of convolutions and pooling, all in elements. Always three spatial
 * dimensions (d, h, w), the missing ones in front being of size 1; @rank is how many there really
 * are. @in and @out are the sizes of the operator's input and output; for a transposed convolution
 * too. @pad_end can be negative where the last window leaves input unread. */
typedef struct {
  int rank;
  gint64 in[3], out[3];
  gint64 kernel[3], stride[3], dilation[3];
  gint64 pad_begin[3], pad_end[3];
} LcipWindow;

typedef enum { LCIP_WINDOW_CONV, LCIP_WINDOW_POOL, LCIP_WINDOW_TRANSPOSED } LcipWindowKind;

/** lcip_window_auto_pads: values of the attribute auto_pad; NULL-terminated. */
extern const char *const lcip_window_auto_pads[];

/** lcip_window_init: from the step's attributes (kernel_shape, strides, dilations, pads, auto_pad,
 * ceil_mode, output_padding, output_shape), the @input's shape n, c, then 1 to 3 spatial, and for
 * convolutions the @weights' shape (NULL for pooling). An error names attribute or size. */
gboolean lcip_window_init(LcipWindow *window, LcipWindowKind kind, const LcipStep *step,
                          const LcipShape *input, const LcipShape *weights, GError **error);

G_END_DECLS
