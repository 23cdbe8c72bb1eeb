#include "config.h"
#include "lcip-window.h"

const char *const lcip_window_auto_pads[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", NULL};

/* Sizes below this bound keep every sum and product here far inside 64 bits. */
#define LIMIT G_MAXINT32

/* Copies an attribute of @rank values to the last places of @values, checked to [min, LIMIT]. */
static gboolean read_spatial(const LcipStep *step, const char *name, int rank, gint64 min,
                             gint64 *values, gboolean *found, GError **error) {
  guint n = 0;
  const gint64 *ints = lcip_attrs_get_ints(step->attrs, name, &n);
  if (found)
    *found = ints && n > 0;
  if (!ints || n == 0)
    return TRUE;
  if (n != (guint)rank)
    return lcip_infer_fail(error, "attribute %s: expected %d values, found %u", name, rank, n);
  for (guint i = 0; i < n; i++) {
    if (ints[i] < min || ints[i] > LIMIT)
      return lcip_infer_fail(error,
                             "attribute %s: expected values from %" G_GINT64_FORMAT
                             " to %d, found %" G_GINT64_FORMAT,
                             name, min, LIMIT, ints[i]);
    values[3 - rank + (int)i] = ints[i];
  }
  return TRUE;
}

static gboolean read_pads(const LcipStep *step, LcipWindow *window, GError **error) {
  guint n = 0;
  const int rank = window->rank;
  const gint64 *ints = lcip_attrs_get_ints(step->attrs, "pads", &n);
  if (!ints || n == 0)
    return TRUE;
  if (n != 2 * (guint)rank)
    return lcip_infer_fail(error, "attribute pads: expected %d values, found %u", 2 * rank, n);
  for (int i = 0; i < 2 * rank; i++) {
    if (ints[i] < 0 || ints[i] > LIMIT)
      return lcip_infer_fail(
          error, "attribute pads: expected values from 0 to %d, found %" G_GINT64_FORMAT, LIMIT,
          ints[i]);
    gint64 *pads = i < rank ? window->pad_begin : window->pad_end;
    pads[3 - rank + i % rank] = ints[i];
  }
  return TRUE;
}

static gboolean read_sizes(LcipWindow *window, const LcipShape *input, GError **error) {
  if (input->rank < 3 || input->rank > 5)
    return lcip_infer_fail(
        error, "input: expected rank 3 to 5 (n, c and 1 to 3 spatial), found rank %d", input->rank);
  *window = (LcipWindow){.rank = input->rank - 2};
  for (int i = 0; i < 3; i++)
    window->in[i] = window->kernel[i] = window->stride[i] = window->dilation[i] = 1;
  for (int i = 0; i < window->rank; i++) {
    const gint64 size = input->dims[2 + i];
    if (size < 1 || size > LIMIT)
      return lcip_infer_fail(error,
                             "input: expected spatial sizes from 1 to %d, found %" G_GINT64_FORMAT,
                             LIMIT, size);
    window->in[3 - window->rank + i] = size;
  }
  return TRUE;
}

static gboolean read_kernel(const LcipStep *step, LcipWindow *window, const LcipShape *weights,
                            GError **error) {
  gboolean found;
  if (!read_spatial(step, "kernel_shape", window->rank, 1, window->kernel, &found, error))
    return FALSE;
  if (!weights)
    return found || lcip_infer_fail(error, "attribute kernel_shape: expected %d values, found none",
                                    window->rank);
  if (weights->rank != window->rank + 2)
    return lcip_infer_fail(error, "input W: expected rank %d, found rank %d", window->rank + 2,
                           weights->rank);
  for (int i = 0; i < window->rank; i++) {
    const gint64 size = weights->dims[2 + i];
    const int at = 3 - window->rank + i;
    if (size < 1 || size > LIMIT || (found && window->kernel[at] != size))
      return lcip_infer_fail(error,
                             "input W: expected kernel size %" G_GINT64_FORMAT
                             " in spatial dimension %d, found %" G_GINT64_FORMAT,
                             window->kernel[at], i, size);
    window->kernel[at] = size;
  }
  return TRUE;
}

static gint64 extent(const LcipWindow *window, int i) {
  return (window->kernel[i] - 1) * window->dilation[i] + 1;
}

/* auto_pad: the odd element of padding goes to the end for SAME_UPPER, to the begin for
 * SAME_LOWER. */
static void split_padding(LcipWindow *window, int i, gint64 total, gboolean upper) {
  window->pad_begin[i] = upper ? total / 2 : total - total / 2;
  window->pad_end[i] = total - window->pad_begin[i];
}

static gboolean forward_out(LcipWindow *window, int i, gboolean same, gboolean upper, gboolean ceil,
                            GError **error) {
  const gint64 stride = window->stride[i];
  if (same) {
    window->out[i] = (window->in[i] + stride - 1) / stride;
    const gint64 total = (window->out[i] - 1) * stride + extent(window, i) - window->in[i];
    split_padding(window, i, MAX(total, 0), upper);
    return TRUE;
  }
  const gint64 padded = window->in[i] + window->pad_begin[i] + window->pad_end[i];
  const gint64 room = padded - extent(window, i);
  if (room < 0)
    return lcip_infer_fail(error,
                           "kernel: expected at most the padded input's size %" G_GINT64_FORMAT
                           ", found %" G_GINT64_FORMAT " in spatial dimension %d",
                           padded, extent(window, i), i - (3 - window->rank));
  window->out[i] = (room + (ceil ? stride - 1 : 0)) / stride + 1;
  /* A window that starts in the padding behind the input is dropped. */
  if (ceil && (window->out[i] - 1) * stride >= window->in[i] + window->pad_begin[i])
    window->out[i]--;
  return TRUE;
}

static gboolean transposed_out(LcipWindow *window, int i, gboolean same, gboolean upper,
                               gint64 output_padding, gint64 output_shape, GError **error) {
  const gint64 stride = window->stride[i];
  const gint64 full = stride * (window->in[i] - 1) + output_padding + extent(window, i);
  if (output_shape > 0 || same) {
    window->out[i] = output_shape > 0 ? output_shape : window->in[i] * stride;
    const gint64 total = full - window->out[i];
    split_padding(window, i, MAX(total, 0), upper);
    return TRUE;
  }
  window->out[i] = full - window->pad_begin[i] - window->pad_end[i];
  if (window->out[i] < 1)
    return lcip_infer_fail(error,
                           "attribute pads: expected less than %" G_GINT64_FORMAT
                           " in spatial dimension %d, found %" G_GINT64_FORMAT,
                           full, i - (3 - window->rank), window->pad_begin[i] + window->pad_end[i]);
  return TRUE;
}

static gboolean read_output_attrs(const LcipStep *step, LcipWindow *window, gint64 *padding,
                                  gint64 *shape, GError **error) {
  guint n = 0;
  const gint64 *ints = lcip_attrs_get_ints(step->attrs, "output_shape", &n);
  /* Some writers give n and c as well. */
  const guint skip = n == (guint)window->rank + 2 ? 2 : 0;
  if (ints && n > 0 && n != (guint)window->rank + skip)
    return lcip_infer_fail(error, "attribute output_shape: expected %d values, found %u",
                           window->rank, n);
  for (guint i = skip; ints && i < n; i++) {
    if (ints[i] < 1 || ints[i] > LIMIT)
      return lcip_infer_fail(
          error, "attribute output_shape: expected values from 1 to %d, found %" G_GINT64_FORMAT,
          LIMIT, ints[i]);
    shape[3 - window->rank + (int)(i - skip)] = ints[i];
  }
  return read_spatial(step, "output_padding", window->rank, 0, padding, NULL, error);
}

gboolean lcip_window_init(LcipWindow *window, LcipWindowKind kind, const LcipStep *step,
                          const LcipShape *input, const LcipShape *weights, GError **error) {
  gint64 padding[3] = {0}, shape[3] = {0};
  if (!read_sizes(window, input, error) || !read_kernel(step, window, weights, error) ||
      !read_spatial(step, "strides", window->rank, 1, window->stride, NULL, error) ||
      !read_spatial(step, "dilations", window->rank, 1, window->dilation, NULL, error))
    return FALSE;
  const char *auto_pad = lcip_attrs_get_string(step->attrs, "auto_pad");
  const gboolean upper = g_strcmp0(auto_pad, "SAME_UPPER") == 0;
  const gboolean same = upper || g_strcmp0(auto_pad, "SAME_LOWER") == 0;
  if (!same && g_strcmp0(auto_pad, "VALID") != 0 && !read_pads(step, window, error))
    return FALSE;
  if (kind == LCIP_WINDOW_TRANSPOSED && !read_output_attrs(step, window, padding, shape, error))
    return FALSE;
  const gboolean ceil =
      kind == LCIP_WINDOW_POOL && lcip_attrs_get_int(step->attrs, "ceil_mode") != 0;
  for (int i = 0; i < 3; i++) {
    const gboolean real = i >= 3 - window->rank;
    if (kind == LCIP_WINDOW_TRANSPOSED
            ? !transposed_out(window, i, same && real, upper, padding[i], shape[i], error)
            : !forward_out(window, i, same, upper, ceil, error))
      return FALSE;
  }
  return TRUE;
}
