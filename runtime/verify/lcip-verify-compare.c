#include "config.h"
#include "lcip-verify-private.h"

#include "lcip-element.h"

#include <math.h>

static double element(const LcipTensor *tensor, gint64 i) {
  return lcip_element_float(lcip_tensor_get_spec(tensor)->type, lcip_tensor_get_data(tensor),
                            (gsize)i);
}

/* The range has 0 in it, so that a constant tensor has one too. */
static double range_of(const LcipTensor *tensor, gint64 n) {
  double least = 0, greatest = 0;
  for (gint64 i = 0; i < n; i++) {
    const double value = element(tensor, i);
    if (!isfinite(value))
      continue;
    least = MIN(least, value);
    greatest = MAX(greatest, value);
  }
  return greatest - least;
}

static double difference_of(double found, double expected) {
  if (found == expected || (isnan(found) && isnan(expected)))
    return 0;
  const double difference = fabs(found - expected);
  return isfinite(difference) ? difference : INFINITY;
}

/* 8-bit values are rounded: what lies between two of them may become either. */
static double allowed_rounding(const LcipTensor *expected) {
  return lcip_type_size(lcip_tensor_get_spec(expected)->type) == 1 &&
                 lcip_tensor_get_spec(expected)->type != LCIP_TYPE_BOOL
             ? 1
             : 0;
}

void lcip_verify_compare(LcipVerifyItem *item, const LcipTensor *found, const LcipTensor *expected,
                         double tolerance) {
  item->expected_shape = *lcip_tensor_get_shape(expected);
  item->found_shape = *lcip_tensor_get_shape(found);
  item->beyond = !lcip_shape_equal(&item->expected_shape, &item->found_shape);
  if (item->beyond)
    return;
  const gint64 n = lcip_shape_count(&item->expected_shape);
  item->range = range_of(expected, n);
  for (gint64 i = 0; i < n; i++) {
    const double difference = difference_of(element(found, i), element(expected, i));
    if (difference <= item->difference && i > 0)
      continue;
    item->difference = difference;
    item->at = i;
    item->found = element(found, i);
    item->expected = element(expected, i);
  }
  item->relative = item->difference / (item->range > 0 ? item->range : 1);
  item->beyond = item->relative > tolerance && item->difference > allowed_rounding(expected);
}
