#pragma once

#include "lcip-infer.h"

G_BEGIN_DECLS

/** LCIP_EINSUM_MAX: the most operands of an Einsum. */
#define LCIP_EINSUM_MAX 8
/** LCIP_EINSUM_LABELS: 52 letters, and one label for each dimension that "..." may stand for. */
#define LCIP_EINSUM_LABELS (52 + LCIP_MAX_RANK)

/** LcipEinsum: an equation on operands of known shapes. An index is a value for each label.
 * @sizes: per label, 0 where it is not used. @strides: per operand and label, in elements: 0 where
 * the operand does not have it or is broadcast along it, the sum where it has it more than once.
 * @labels: the output's in their order (@n_out), then those that are summed over (to @n_labels).
 * @shape: the output's. */
typedef struct {
  guint n_operands;
  gint64 sizes[LCIP_EINSUM_LABELS];
  gint64 strides[LCIP_EINSUM_MAX][LCIP_EINSUM_LABELS];
  int labels[LCIP_EINSUM_LABELS];
  int n_out, n_labels;
  LcipShape shape;
} LcipEinsum;

/** lcip_einsum_init: what @equation means for operands of @shapes. */
gboolean lcip_einsum_init(LcipEinsum *einsum, const char *equation, guint n_operands,
                          const LcipShape *shapes, GError **error);

G_END_DECLS
