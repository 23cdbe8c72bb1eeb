#pragma once

#include "lcip-blocked.h"

#include <string.h>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/* Vectors for the family "blocked". Each of its files is compiled once per instruction set with
 * LCIP_ISA (a suffix), LCIP_ISA_NEEDS, LCIP_BLOCK (channels of a block), LCIP_LANES (floats of a
 * vector) and LCIP_ROWS (pixels of a product in registers) set by the build. Everything here and
 * there is static: a function of the linker's choice must never be one compiled for a processor
 * that this machine does not have. */

#if LCIP_BLOCK == 16
#define LCIP_BLOCK_FORMAT LCIP_FORMAT_NCHW16C
#else
#define LCIP_BLOCK_FORMAT LCIP_FORMAT_NCHW8C
#endif

/* Vectors in a block. */
#define LCIP_BLOCK_VECS (LCIP_BLOCK / LCIP_LANES)

/* lcip_kernel_STEM_ISA and "NAME-ISA" */
#define LCIP_ISA_PASTE(stem, isa) lcip_kernel_##stem##_##isa
#define LCIP_ISA_EXPAND(stem, isa) LCIP_ISA_PASTE(stem, isa)
#define LCIP_ISA_KERNEL(stem) LCIP_ISA_EXPAND(stem, LCIP_ISA)
/* STEM_ISA, for what files of one instruction set share */
#define LCIP_ISA_JOIN(stem, isa) stem##_##isa
#define LCIP_ISA_JOIN_EXPAND(stem, isa) LCIP_ISA_JOIN(stem, isa)
#define LCIP_ISA_SYMBOL(stem) LCIP_ISA_JOIN_EXPAND(stem, LCIP_ISA)
#define LCIP_ISA_TEXT(isa) #isa
#define LCIP_ISA_SUFFIX(isa) LCIP_ISA_TEXT(isa)
#define LCIP_ISA_NAME(name) name "-" LCIP_ISA_SUFFIX(LCIP_ISA)

#define LCIP_INLINE static inline __attribute__((always_inline, unused))
#if defined(__clang__)
#define LCIP_UNROLL _Pragma("clang loop unroll(full)")
#else
#define LCIP_UNROLL _Pragma("GCC unroll 16")
#endif

typedef float vf __attribute__((vector_size(LCIP_LANES * 4)));
typedef gint32 vi __attribute__((vector_size(LCIP_LANES * 4)));
typedef guint32 vu __attribute__((vector_size(LCIP_LANES * 4))); /* wraps around */
/* The same in memory: any alignment, may alias floats. */
typedef float vf_mem __attribute__((vector_size(LCIP_LANES * 4), aligned(1), may_alias));

LCIP_INLINE vf v_load(const float *p) {
  return *(const vf_mem *)p;
}

LCIP_INLINE void v_store(float *p, vf x) {
  *(vf_mem *)p = x;
}

/* v_stream: to an aligned place that is not read soon, past the caches. v_stream_end() before other
 * threads may read what was stored so. */
LCIP_INLINE void v_stream(float *p, vf x) {
#if defined(__AVX512F__) && LCIP_LANES == 16
  _mm512_stream_ps(p, (__m512)x);
#elif defined(__AVX2__) && LCIP_LANES == 8
  _mm256_stream_ps(p, (__m256)x);
#else
  v_store(p, x);
#endif
}

LCIP_INLINE void v_stream_end(void) {
#if defined(__AVX512F__) || defined(__AVX2__)
  _mm_sfence();
#endif
}

LCIP_INLINE vf v_set1(float x) {
#if LCIP_LANES == 16
  return (vf){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#elif LCIP_LANES == 8
  return (vf){x, x, x, x, x, x, x, x};
#else
  return (vf){x, x, x, x};
#endif
}

/* Products of a pixel's channels with weights. NEON multiplies by an element of a vector, so it
 * reads V_CHANNELS channels of a pixel with one load; the others broadcast each from memory. */
#if defined(__ARM_NEON)
#define V_CHANNELS LCIP_LANES
#else
#define V_CHANNELS 1
#endif

/* @sum + channel @k of @x times @w; @n channels in @x, the same in all lanes when one. */
LCIP_INLINE vf v_multiply_channel(vf sum, vf x, const int n, const int k, vf w) {
  return sum + (n > 1 ? v_set1(x[k]) : x) * w;
}

LCIP_INLINE vf v_select(vi mask, vf yes, vf no) {
  return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

/* @x where @mask is all ones, 0 where it is 0. */
LCIP_INLINE vf v_mask(vf x, vi mask) {
  return (vf)((vi)x & mask);
}

/* v_max, v_min: @x where the operands do not compare, so that NaN in x comes through. */
LCIP_INLINE vf v_max(vf bound, vf x) {
#if defined(__AVX512F__) && LCIP_LANES == 16
  return (vf)_mm512_max_ps((__m512)bound, (__m512)x);
#elif defined(__AVX2__) && LCIP_LANES == 8
  return (vf)_mm256_max_ps((__m256)bound, (__m256)x);
#elif defined(__ARM_NEON)
  return (vf)vmaxq_f32((float32x4_t)bound, (float32x4_t)x);
#else
  return v_select(bound > x, bound, x);
#endif
}

LCIP_INLINE vf v_min(vf bound, vf x) {
#if defined(__AVX512F__) && LCIP_LANES == 16
  return (vf)_mm512_min_ps((__m512)bound, (__m512)x);
#elif defined(__AVX2__) && LCIP_LANES == 8
  return (vf)_mm256_min_ps((__m256)bound, (__m256)x);
#elif defined(__ARM_NEON)
  return (vf)vminq_f32((float32x4_t)bound, (float32x4_t)x);
#else
  return v_select(bound < x, bound, x);
#endif
}

/* v_where_less: @yes in lanes where a < b, else @no (NaN compares as not less). */
LCIP_INLINE vf v_where_less(vf a, vf b, vf yes, vf no) {
#if defined(__AVX512F__) && LCIP_LANES == 16
  const __mmask16 mask = _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ);
  return (vf)_mm512_mask_blend_ps(mask, (__m512)no, (__m512)yes);
#elif defined(__AVX2__) && LCIP_LANES == 8
  const __m256 mask = _mm256_cmp_ps((__m256)a, (__m256)b, _CMP_LT_OQ);
  return (vf)_mm256_blendv_ps((__m256)no, (__m256)yes, mask);
#else
  return v_select(a < b, yes, no);
#endif
}

/* v_larger, v_smaller: of two values; NaN when one is NaN. */
LCIP_INLINE vf v_larger(vf x, vf y) {
#if defined(__AVX512F__) && LCIP_LANES == 16
  const __mmask16 nan = _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q);
  return (vf)_mm512_mask_mov_ps(_mm512_max_ps((__m512)x, (__m512)y), nan, (__m512)x);
#elif defined(__AVX2__) && LCIP_LANES == 8
  const __m256 nan = _mm256_cmp_ps((__m256)x, (__m256)x, _CMP_UNORD_Q);
  return (vf)_mm256_blendv_ps(_mm256_max_ps((__m256)x, (__m256)y), (__m256)x, nan);
#else
  return v_select((x > y) | (x != x), x, y);
#endif
}

LCIP_INLINE vf v_smaller(vf x, vf y) {
  return v_select((x < y) | (x != x), x, y);
}

LCIP_INLINE gboolean v_any_nan(vf x) {
#if defined(__AVX512F__) && LCIP_LANES == 16
  return _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q) != 0;
#elif defined(__AVX2__) && LCIP_LANES == 8
  return _mm256_movemask_ps(_mm256_cmp_ps((__m256)x, (__m256)x, _CMP_UNORD_Q)) != 0;
#else
  const vi nan = x != x;
  gint32 any = 0;
  for (int lane = 0; lane < LCIP_LANES; lane++)
    any |= nan[lane];
  return any != 0;
#endif
}

LCIP_INLINE vf v_clamp(vf x, float lo, float hi) {
  return v_min(v_set1(hi), v_max(v_set1(lo), x));
}

/* First @n floats of a vector; the others are 0. */
LCIP_INLINE vf v_load_some(const float *p, int n) {
  float lanes[LCIP_LANES] = {0};
  memcpy(lanes, p, (gsize)CLAMP(n, 0, LCIP_LANES) * sizeof(float));
  return v_load(lanes);
}

LCIP_INLINE void v_store_some(float *p, vf x, int n) {
  float lanes[LCIP_LANES];
  v_store(lanes, x);
  memcpy(p, lanes, (gsize)CLAMP(n, 0, LCIP_LANES) * sizeof(float));
}

LCIP_INLINE vi v_load_lanes(const gint32 *p) {
  vi lanes;
  memcpy(&lanes, p, sizeof lanes);
  return lanes;
}

/* v_permute: lane i is lane @from[i] of @x. */
LCIP_INLINE vf v_permute(vf x, vi from) {
#if defined(__AVX512F__) && LCIP_LANES == 16
  return (vf)_mm512_permutexvar_ps((__m512i)from, (__m512)x);
#elif defined(__AVX2__) && LCIP_LANES == 8
  return (vf)_mm256_permutevar8x32_ps((__m256)x, (__m256i)from);
#else
  vf y = x;
  for (int i = 0; i < LCIP_LANES; i++)
    y[i] = x[from[i]];
  return y;
#endif
}

/* All bits of the lanes below @n. */
LCIP_INLINE vi v_lanes_below(int n) {
  static const gint32 lanes[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return v_load_lanes(lanes) < n;
}

/* Lanes below @n, at least 0, as v_clamp_lanes() wants them: its results in other lanes are 0, also
 * where x is NaN there. */
#if defined(__AVX512F__) && LCIP_LANES == 16
typedef __mmask16 vm;

LCIP_INLINE vm v_first_lanes(int n) {
  return (vm)((G_GUINT64_CONSTANT(1) << n) - 1);
}

LCIP_INLINE vf v_clamp_lanes(vf x, vf lo, vf hi, vm lanes) {
  return (vf)_mm512_maskz_min_ps(lanes, (__m512)hi, (__m512)v_max(lo, x));
}
#else
typedef vi vm;

LCIP_INLINE vm v_first_lanes(int n) {
  return v_lanes_below(n);
}

LCIP_INLINE vf v_clamp_lanes(vf x, vf lo, vf hi, vm lanes) {
  return v_mask(v_min(hi, v_max(lo, x)), lanes);
}
#endif

/* e^x for x from -87 to 87: 2^k e^r, |r| <= ln(2) / 2, with the polynomial of degree 5 for e^r
 * whose largest relative error there is least among those that begin with 1 + r (1.1e-7, found by
 * Lawson's iteration): 3 ulp. Adding 1.5 * 2^23 rounds to an integer, which then stands in the low
 * bits. The polynomial is summed as a tree: what costs is how long the result takes. */
LCIP_INLINE vf v_exp_within(vf x) {
  const float magic = 12582912.0f;
  const vf shifted = x * 1.44269504088896f + magic;
  const vf k = shifted - magic;
#if defined(__FMA__)
  const vf r = x - k * 0.693147182464599609375f; /* ln(2) + 1.9e-9; the product is not rounded */
#else
  const vf r = (x - k * 0.693145751953125f) - k * 1.428606765330187e-6f;
#endif
  const vf r2 = r * r;
  const vf q = (r * 8.3125e-3f + 4.1890330e-2f) * r2 + (r * 1.6667115e-1f + 4.9999230e-1f);
  const vf p = q * r2 + (r + 1.0f);
#if defined(__AVX512F__) && LCIP_LANES == 16
  return (vf)_mm512_scalef_ps((__m512)p, (__m512)k); /* 0 and infinity beyond the range */
#else
  return (vf)((vu)p + ((vu)shifted << 23));
#endif
}

/* Beyond +-87 the result stays at e^+-87; NaN comes through. */
LCIP_INLINE vf v_exp(vf x) {
  return v_exp_within(v_clamp(x, -87.0f, 87.0f));
}

/* The same above; 0 below -87, where what v_exp_within() gives has no meaning. */
LCIP_INLINE vf v_exp_to_zero(vf x, float most) {
  return v_where_less(x, v_set1(-87.0f), v_set1(0.0f), v_exp_within(v_min(v_set1(most), x)));
}

/* The whole range: half the exponent, squared, overflows to infinity where e^x does. */
LCIP_INLINE vf v_exp_full(vf x) {
  const vf root = v_exp(x * 0.5f);
  return root * root;
}

/* e^x / (1 + e^x) */
LCIP_INLINE vf v_sigmoid(vf x) {
  const vf e = v_exp_to_zero(x, 87.0f);
  return e / (1.0f + e);
}

/* x / (1 + e^-ax). As e^ax becomes 0, it is NaN at -infinity, as the product is. */
LCIP_INLINE vf v_swish(vf x, float a) {
#if defined(__AVX512F__) && LCIP_LANES == 16
  return x / (1.0f + v_exp_within(v_max(v_set1(-87.0f), x * -a)));
#else
  return x * v_sigmoid(a == 1.0f ? x : x * a);
#endif
}

/* a x times (x + 3, between 0 and 6) */
LCIP_INLINE vf v_hard_swish(vf x, float a) {
  return x * v_clamp(x * a + 3.0f * a, 0.0f, 6.0f * a);
}

/* x tanh(ln(1 + e^x)); with e = e^x that is x (e^2 + 2 e) / (e^2 + 2 e + 2), which is x above 40.
 */
LCIP_INLINE vf v_mish(vf x) {
  const vf e = v_exp_to_zero(x, 40.0f), n = e * e + 2.0f * e;
  return x * (n / (n + 2.0f));
}

/* Near 0 the difference of 1 and almost 1 would lose most digits: below 0.25 the series x - x^3 / 3
 * + 2 x^5 / 15 - 17 x^7 / 315 + 62 x^9 / 2835, whose next term is below 2e-8 of x there. */
LCIP_INLINE vf v_tanh(vf x) {
  const vf s = x * x;
  const vf far = 1.0f - 2.0f / (v_exp(x + x) + 1.0f);
  const vf near =
      x + x * s * (-1.0f / 3 + s * (2.0f / 15 + s * (-17.0f / 315 + s * (62.0f / 2835))));
  return v_where_less(s, v_set1(0.0625f), near, far);
}

LCIP_INLINE vf v_tail_op(const LcipTailOp *op, vf x) {
  switch (op->kind) {
  case LCIP_TAIL_CLAMP:
    return v_clamp(x, op->a, op->b);
  case LCIP_TAIL_LEAKY:
    return v_select(x < 0.0f, x * op->a, x);
  case LCIP_TAIL_SIGMOID:
    return v_sigmoid(x);
  case LCIP_TAIL_HARD_SIGMOID:
    return v_clamp(x * op->a + op->b, 0.0f, 1.0f);
  case LCIP_TAIL_HARD_SWISH:
    return v_hard_swish(x, op->a);
  case LCIP_TAIL_SWISH:
    return v_swish(x, op->a);
  case LCIP_TAIL_MISH:
    return v_mish(x);
  case LCIP_TAIL_TANH:
    return v_tanh(x);
  case LCIP_TAIL_EXP:
    return v_exp_full(x);
  case LCIP_TAIL_ABS:
    return (vf)((vi)x & 0x7fffffff);
  case LCIP_TAIL_NEG:
    return -x;
  case LCIP_TAIL_ADD:
    break;
  }
  return x;
}

/* The epilogues of @call on @x, whose place in output 0 and in the side inputs is @offset. */
LCIP_INLINE vf v_tail(const LcipTail *tail, const LcipCall *call, vf x, gsize offset) {
  for (guint i = 0; i < tail->n; i++) {
    const LcipTailOp *op = &tail->ops[i];
    if (op->kind == LCIP_TAIL_ADD)
      x += v_load((const float *)call->inputs[op->side_input].data + offset);
    else
      x = v_tail_op(op, x);
  }
  return x;
}

/* @op on @n vectors LCIP_BLOCK apart, from @raw to @out, which may be the same; lanes outside of
 * @mask become 0. Each loop holds one function. @side: what ADD adds. */
LCIP_INLINE void v_tail_each(const LcipTailOp *op, const float *side, const float *raw, float *out,
                             int n, vi mask) {
#define EACH(function)                                                                             \
  for (int i = 0; i < n; i++) {                                                                    \
    const vf x = v_load(raw + i * LCIP_BLOCK);                                                     \
    v_store(out + i * LCIP_BLOCK, v_mask(function, mask));                                         \
  }                                                                                                \
  return
  const float a = op->a, b = op->b; /* else read again after each store */
  switch (op->kind) {
  case LCIP_TAIL_ADD:
    EACH(x + v_load(side + i * LCIP_BLOCK));
  case LCIP_TAIL_CLAMP:
    EACH(v_clamp(x, a, b));
  case LCIP_TAIL_SIGMOID:
    EACH(v_sigmoid(x));
  case LCIP_TAIL_SWISH:
    if (op->a == 1.0f) {
      EACH(v_swish(x, 1.0f));
    }
    EACH(v_swish(x, a));
  case LCIP_TAIL_HARD_SWISH:
    EACH(v_hard_swish(x, a));
  default:
    EACH(v_tail_op(op, x));
  }
#undef EACH
}

/* The epilogues (one at least) on @n vectors LCIP_BLOCK apart, from @raw, which is overwritten, to
 * output 0, where the first lies at @at; lanes outside of @mask become 0. The output may be a side
 * input too. */
LCIP_INLINE void v_tail_store(const LcipTail *tail, const LcipCall *call, float *raw, int n,
                              gsize at, vi mask) {
  const vi all = v_lanes_below(LCIP_LANES);
  for (guint k = 0; k < tail->n; k++) {
    const LcipTailOp *op = &tail->ops[k];
    const gboolean last = k + 1 == tail->n;
    const float *side =
        op->kind == LCIP_TAIL_ADD ? (const float *)call->inputs[op->side_input].data + at : NULL;
    v_tail_each(op, side, raw, last ? (float *)call->outputs[0].data + at : raw, n,
                last ? mask : all);
  }
}
