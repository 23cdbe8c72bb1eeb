#pragma once

#include "lcip-infer.h"

/* Elements of any type, one at a time: for reference kernels of operators that take many types and
 * are no bottleneck. Floats go through double; integers and bool through gint64, u64 by its bits.
 */

G_BEGIN_DECLS

/** lcip_type_is_float: f32 and f64; half floats are converted before they come to kernels. */
static inline gboolean lcip_type_is_float(LcipType type) {
  return type == LCIP_TYPE_F32 || type == LCIP_TYPE_F64;
}

static inline gint64 lcip_element_int(LcipType type, const void *data, gsize i) {
  switch (type) {
  case LCIP_TYPE_I8:
    return ((const gint8 *)data)[i];
  case LCIP_TYPE_I16:
    return ((const gint16 *)data)[i];
  case LCIP_TYPE_U16:
    return ((const guint16 *)data)[i];
  case LCIP_TYPE_I32:
    return ((const gint32 *)data)[i];
  case LCIP_TYPE_U32:
    return ((const guint32 *)data)[i];
  case LCIP_TYPE_I64:
  case LCIP_TYPE_U64:
    return ((const gint64 *)data)[i];
  default:
    return ((const guint8 *)data)[i];
  }
}

/** lcip_element_float: any type's element as double. */
static inline double lcip_element_float(LcipType type, const void *data, gsize i) {
  if (type == LCIP_TYPE_F32)
    return (double)((const float *)data)[i];
  if (type == LCIP_TYPE_F64)
    return ((const double *)data)[i];
  if (type == LCIP_TYPE_U64)
    return (double)((const guint64 *)data)[i];
  return (double)lcip_element_int(type, data, i);
}

/** lcip_element_set_int: the value's low bits, of an integer type or bool. */
static inline void lcip_element_set_int(LcipType type, void *data, gsize i, gint64 value) {
  switch (lcip_type_size(type)) {
  case 1:
    ((guint8 *)data)[i] = (guint8)value;
    break;
  case 2:
    ((guint16 *)data)[i] = (guint16)value;
    break;
  case 4:
    ((guint32 *)data)[i] = (guint32)value;
    break;
  default:
    ((gint64 *)data)[i] = value;
    break;
  }
}

/** lcip_element_set_float: of any type; towards zero and limited to 64 bits for integers. */
static inline void lcip_element_set_float(LcipType type, void *data, gsize i, double value) {
  if (type == LCIP_TYPE_F32)
    ((float *)data)[i] = (float)value;
  else if (type == LCIP_TYPE_F64)
    ((double *)data)[i] = value;
  else if (value != value)
    lcip_element_set_int(type, data, i, 0);
  else if (value >= 0x1p63)
    lcip_element_set_int(type, data, i,
                         type == LCIP_TYPE_U64 && value < 0x1p64 ? (gint64)(guint64)value
                                                                 : G_MAXINT64);
  else
    lcip_element_set_int(type, data, i, value <= -0x1p63 ? G_MININT64 : (gint64)value);
}

/** lcip_element_limits: the least and the greatest value of an integer type of 32 bits or fewer. */
static inline void lcip_element_limits(LcipType type, gint64 *least, gint64 *greatest) {
  const gboolean is_signed = type == LCIP_TYPE_I8 || type == LCIP_TYPE_I16 || type == LCIP_TYPE_I32;
  const int bits = (int)lcip_type_size(type) * 8 - (is_signed ? 1 : 0);
  *greatest = ((gint64)1 << bits) - 1;
  *least = is_signed ? -*greatest - 1 : 0;
}

G_END_DECLS
