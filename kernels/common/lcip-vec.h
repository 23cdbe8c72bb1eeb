#pragma once

#include "lcip-blocked.h"

#include <string.h>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

/* Vectors for the family "blocked". Each of its files is compiled once per instruction set with
 * LCIP_ISA (a suffix), LCIP_ISA_NEEDS, LCIP_BLOCK (channels of a block) and LCIP_LANES (floats of a
 * vector) set by the build. Everything here and there is static: a function of the linker's choice
 * must never be one compiled for a processor that this machine does not have. */

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
/* The same in memory: any alignment, may alias floats. */
typedef float vf_mem __attribute__((vector_size(LCIP_LANES * 4), aligned(4), may_alias));

LCIP_INLINE vf v_load(const float *p) {
  return *(const vf_mem *)p;
}

LCIP_INLINE void v_store(float *p, vf x) {
  *(vf_mem *)p = x;
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

LCIP_INLINE vf v_select(vi mask, vf yes, vf no) {
  return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

/* v_max, v_min: @x where the operands do not compare, so that NaN in x comes through. */
LCIP_INLINE vf v_max(vf bound, vf x) {
#if defined(__AVX512F__) && LCIP_LANES == 16
  return (vf)_mm512_max_ps((__m512)bound, (__m512)x);
#elif defined(__AVX2__) && LCIP_LANES == 8
  return (vf)_mm256_max_ps((__m256)bound, (__m256)x);
#else
  return v_select(bound > x, bound, x);
#endif
}

LCIP_INLINE vf v_min(vf bound, vf x) {
#if defined(__AVX512F__) && LCIP_LANES == 16
  return (vf)_mm512_min_ps((__m512)bound, (__m512)x);
#elif defined(__AVX2__) && LCIP_LANES == 8
  return (vf)_mm256_min_ps((__m256)bound, (__m256)x);
#else
  return v_select(bound < x, bound, x);
#endif
}

/* v_larger, v_smaller: of two values; NaN when one is NaN. */
LCIP_INLINE vf v_larger(vf x, vf y) {
  return v_select((x > y) | (x != x), x, y);
}

LCIP_INLINE vf v_smaller(vf x, vf y) {
  return v_select((x < y) | (x != x), x, y);
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

/* All bits of the lanes below @n. */
LCIP_INLINE vi v_lanes_below(int n) {
  vi mask = {0};
  for (int i = 0; i < LCIP_LANES; i++)
    mask[i] = i < n ? -1 : 0;
  return mask;
}

/* e^x = 2^k e^r, |r| <= ln(2) / 2, with the Taylor polynomial of degree 7 for e^r: 2 ulp. Beyond
 * +-87 the result stays at e^+-87; NaN comes through. Adding 1.5 * 2^23 rounds to an integer, which
 * then stands in the low bits. */
LCIP_INLINE vf v_exp(vf x) {
  const float magic = 12582912.0f;
  x = v_clamp(x, -87.0f, 87.0f);
  const vf shifted = x * 1.44269504088896f + magic;
  const vf k = shifted - magic;
  const vf r = (x - k * 0.693145751953125f) - k * 1.428606765330187e-6f;
  vf p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return (vf)((vi)p + ((vi)shifted << 23));
}

/* The whole range: half the exponent, squared, overflows to infinity where e^x does. */
LCIP_INLINE vf v_exp_full(vf x) {
  const vf root = v_exp(x * 0.5f);
  return root * root;
}

LCIP_INLINE vf v_sigmoid(vf x) {
  return 1.0f / (1.0f + v_exp(-x));
}

LCIP_INLINE vf v_tanh(vf x) {
  return 1.0f - 2.0f / (v_exp(x + x) + 1.0f);
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
    return x * v_clamp(x * (1.0f / 6) + 0.5f, 0.0f, 1.0f);
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
