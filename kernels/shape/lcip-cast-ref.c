#include "config.h"

#include "lcip-infer.h"

#include <math.h>

/* Cast goes through the widest type of the source's kind, which is exact: double for floats, 64-bit
 * integers for integers. Floats beyond an integer type's range become its nearest value and NaN 0
 * (C leaves both undefined); integers wrap around. */

typedef enum { WIDE_FLOAT, WIDE_SIGNED, WIDE_UNSIGNED } WideKind;
typedef struct {
  WideKind kind;
  double f;
  gint64 i;
  guint64 u;
} Wide;

static Wide load(LcipType type, const void *data, gsize i) {
  switch (type) {
  case LCIP_TYPE_F32:
    return (Wide){.kind = WIDE_FLOAT, .f = (double)((const float *)data)[i]};
  case LCIP_TYPE_F64:
    return (Wide){.kind = WIDE_FLOAT, .f = ((const double *)data)[i]};
  case LCIP_TYPE_I8:
    return (Wide){.kind = WIDE_SIGNED, .i = ((const gint8 *)data)[i]};
  case LCIP_TYPE_I16:
    return (Wide){.kind = WIDE_SIGNED, .i = ((const gint16 *)data)[i]};
  case LCIP_TYPE_I32:
    return (Wide){.kind = WIDE_SIGNED, .i = ((const gint32 *)data)[i]};
  case LCIP_TYPE_I64:
    return (Wide){.kind = WIDE_SIGNED, .i = ((const gint64 *)data)[i]};
  case LCIP_TYPE_U16:
    return (Wide){.kind = WIDE_UNSIGNED, .u = ((const guint16 *)data)[i]};
  case LCIP_TYPE_U32:
    return (Wide){.kind = WIDE_UNSIGNED, .u = ((const guint32 *)data)[i]};
  case LCIP_TYPE_U64:
    return (Wide){.kind = WIDE_UNSIGNED, .u = ((const guint64 *)data)[i]};
  default:
    return (Wide){.kind = WIDE_UNSIGNED, .u = ((const guint8 *)data)[i]};
  }
}

/* @limit is 2^bits: the first double beyond the type. */
static gint64 to_signed(const Wide *wide, gint64 low, gint64 high, double limit) {
  if (wide->kind == WIDE_SIGNED)
    return wide->i;
  if (wide->kind == WIDE_UNSIGNED)
    return (gint64)wide->u;
  if (isnan(wide->f))
    return 0;
  return wide->f >= limit ? high : wide->f <= -limit ? low : (gint64)wide->f;
}

static guint64 to_unsigned(const Wide *wide, guint64 high, double limit) {
  if (wide->kind == WIDE_SIGNED)
    return (guint64)wide->i;
  if (wide->kind == WIDE_UNSIGNED)
    return wide->u;
  if (isnan(wide->f) || wide->f <= 0)
    return 0;
  return wide->f >= limit ? high : (guint64)wide->f;
}

static gboolean is_true(const Wide *wide) {
  return wide->kind == WIDE_FLOAT ? wide->f != 0 : wide->i != 0 || wide->u != 0;
}

static void store(LcipType type, void *data, gsize i, const Wide *w) {
  switch (type) {
  case LCIP_TYPE_F32:
    ((float *)data)[i] = w->kind == WIDE_FLOAT    ? (float)w->f
                         : w->kind == WIDE_SIGNED ? (float)w->i
                                                  : (float)w->u;
    break;
  case LCIP_TYPE_F64:
    ((double *)data)[i] = w->kind == WIDE_FLOAT    ? w->f
                          : w->kind == WIDE_SIGNED ? (double)w->i
                                                   : (double)w->u;
    break;
  case LCIP_TYPE_I8:
    ((gint8 *)data)[i] = (gint8)to_signed(w, G_MININT8, G_MAXINT8, 0x1p7);
    break;
  case LCIP_TYPE_I16:
    ((gint16 *)data)[i] = (gint16)to_signed(w, G_MININT16, G_MAXINT16, 0x1p15);
    break;
  case LCIP_TYPE_I32:
    ((gint32 *)data)[i] = (gint32)to_signed(w, G_MININT32, G_MAXINT32, 0x1p31);
    break;
  case LCIP_TYPE_I64:
    ((gint64 *)data)[i] = to_signed(w, G_MININT64, G_MAXINT64, 0x1p63);
    break;
  case LCIP_TYPE_U8:
    ((guint8 *)data)[i] = (guint8)to_unsigned(w, G_MAXUINT8, 0x1p8);
    break;
  case LCIP_TYPE_U16:
    ((guint16 *)data)[i] = (guint16)to_unsigned(w, G_MAXUINT16, 0x1p16);
    break;
  case LCIP_TYPE_U32:
    ((guint32 *)data)[i] = (guint32)to_unsigned(w, G_MAXUINT32, 0x1p32);
    break;
  case LCIP_TYPE_U64:
    ((guint64 *)data)[i] = to_unsigned(w, G_MAXUINT64, 0x1p64);
    break;
  default:
    ((guint8 *)data)[i] = (guint8)(is_true(w) ? 1 : 0);
    break;
  }
}

static void cast_range(gpointer data, gsize begin, gsize end) {
  const LcipCall *call = data;
  for (gsize i = begin; i < end; i++) {
    const Wide wide = load(call->inputs[0].spec.type, call->inputs[0].data, i);
    store(call->outputs[0].spec.type, call->outputs[0].data, i, &wide);
  }
}

static gboolean cast_ref_run(const LcipCall *call, LcipTeam *team, GError **error) {
  lcip_team_ranges(team, lcip_view_count(&call->inputs[0]), 16384, cast_range, (gpointer)call);
  return TRUE;
}

static const char *const cast_ref_operators[] = {"Cast", "CastLike", NULL};

const LcipKernel lcip_kernel_cast_ref = {
    .name = "cast-ref",
    .family = "reference",
    .device = LCIP_DEVICE_CPU,
    .operators = cast_ref_operators,
    .numerics = LCIP_NUMERICS_EXACT,
    .supports = lcip_supports_reference,
    .run = cast_ref_run,
};
