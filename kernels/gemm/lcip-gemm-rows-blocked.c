#include "config.h"
#include "lcip-gemm-rows.h"

/* Gemm and MatMul of a few rows, as a network's last layers have them at batch 1. Every element of
 * B is used once a row, so the time is that of reading B: it is read once, in its order, where it
 * is, for all rows, which may be those of several calls. B stored n x k (transB) gives dot
 * products, some of them side by side; B stored k x n gives sums of its rows, over SUMS vectors of
 * columns. Each result is the same sum in the same order, whatever the split and whatever the other
 * rows. */

enum {
  MOST_DOTS = 4,     /* rows of A that share what is read of B */
  SUMS = 8,          /* vectors of columns in a unit */
  FETCH_ELEMS = 256, /* how far ahead: by itself the processor stops at the end of a page */
  SPAN_ELEMS = 3584, /* of a unit's rows of B: two spans stay in the L2 cache */
  K_BLOCK = 512,     /* rows of B in a block whose columns of one unit stay in the cache */
#if defined(__AVX512F__) || defined(__ARM_NEON)
  PAIR_SUMS = SUMS, /* SUMS for two rows of A: as the registers hold them */
#else
  PAIR_SUMS = SUMS / 2,
#endif
  /* Dot products of 1, 2 or 4 rows of A side by side. The more rows of B are read at a time, the
   * more of them are on their way. */
  MOST_COLUMNS = LCIP_LANES > 4 ? 8 : 4,
#if defined(__AVX512F__)
  PAIR_COLUMNS = 8,
  QUAD_COLUMNS = 6,
#elif defined(__ARM_NEON)
  PAIR_COLUMNS = 4,
  QUAD_COLUMNS = 4,
#else
  PAIR_COLUMNS = 4,
  QUAD_COLUMNS = 2,
#endif
};

LCIP_INLINE float sum_lanes(vf x) {
  float sum = 0.0f;
  for (int i = 0; i < LCIP_LANES; i++)
    sum += x[i];
  return sum;
}

/* ---- B stored n x k ---- */

/* What of k is summed; @next: B's part that is read after it, NULL where it is not fetched. */
typedef struct {
  gsize begin, end;
  const float *next;
} Span;

/* Adds to dot products of @n_a rows of A with @n_b rows of B from @j on, of a unit's at @b, lanes
 * apart. @half of the next span is fetched meanwhile, 0 or 1; or, with -1, what follows of the same
 * rows, and towards their ends of the rows after these. A row of A or two leave the memory all the
 * time: it gives most when that goes into the L2 cache. */
LCIP_INLINE void dot_rows(const Row *a, const int n_a, const float *b, int j, const int n_b,
                          const Span *span, const int half, vf (*sums)[LCIP_LANES]) {
  const gsize k = a->job->gemm.k;
  const float *next = half < 0 ? NULL : span->next + (gsize)(half * LCIP_LANES / 2 + j / 2) * k;
  vf sum[MOST_DOTS][MOST_COLUMNS];
  gsize p = span->begin;
  b += (gsize)j * k;
  for (int i = 0; i < n_a; i++)
    for (int c = 0; c < n_b; c++)
      sum[i][c] = sums[i][j + c];
  for (; p + LCIP_LANES <= span->end; p += LCIP_LANES) {
    const float *soon = b + FETCH_ELEMS + (p + FETCH_ELEMS < k ? 0 : (gsize)(n_b - 1) * k);
    vf x[MOST_DOTS];
    LCIP_UNROLL
    for (int i = 0; i < n_a; i++)
      x[i] = v_load(a[i].a + p);
    LCIP_UNROLL
    for (int c = 0; c < n_b; c++) {
      const vf y = v_load(b + (gsize)c * k + p);
      if (half >= 0 && c < n_b / 2)
        __builtin_prefetch(next + (gsize)c * k + p, 0, 2);
      else if (half < 0 && n_a > 2)
        __builtin_prefetch(soon + (gsize)c * k + p, 0, 3);
      else if (half < 0)
        __builtin_prefetch(soon + (gsize)c * k + p, 0, 2);
      LCIP_UNROLL
      for (int i = 0; i < n_a; i++)
        sum[i][c] += x[i] * y;
    }
  }
  const int rest = (int)(span->end - p);
  for (int c = 0; rest > 0 && c < n_b; c++)
    for (int i = 0; i < n_a; i++)
      sum[i][c] += v_load_some(a[i].a + p, rest) * v_load_some(b + (gsize)c * k + p, rest);
  for (int i = 0; i < n_a; i++)
    for (int c = 0; c < n_b; c++)
      sums[i][j + c] = sum[i][c];
}

/* All @n columns of a unit of @n_a rows of A, @n_b side by side; then what is left. */
LCIP_INLINE void dot_unit(const Row *a, const int n_a, const float *b, int n, const int n_b,
                          const Span *span, const int half, vf (*sums)[LCIP_LANES]) {
  int j = 0;
  for (; j + n_b <= n; j += n_b)
    dot_rows(a, n_a, b, j, n_b, span, half, sums);
  for (; n_b > 4 && j + 4 <= n; j += 4)
    dot_rows(a, n_a, b, j, 4, span, half, sums);
  for (; j < n; j++)
    dot_rows(a, n_a, b, j, 1, span, half, sums);
}

/* A span of a unit for all rows. */
static void dot_span(const Row *rows, guint n_rows, const float *b, int n, const Span *span,
                     vf (*sums)[LCIP_LANES]) {
  guint i = 0;
  for (; i + MOST_DOTS <= n_rows; i += MOST_DOTS)
    if (!span->next)
      dot_unit(rows + i, MOST_DOTS, b, n, QUAD_COLUMNS, span, -1, sums + i);
    else if (i == 0)
      dot_unit(rows + i, MOST_DOTS, b, n, QUAD_COLUMNS, span, 0, sums + i);
    else
      dot_unit(rows + i, MOST_DOTS, b, n, QUAD_COLUMNS, span, 1, sums + i);
  for (; i + 2 <= n_rows; i += 2)
    dot_unit(rows + i, 2, b, n, PAIR_COLUMNS, span, -1, sums + i);
  if (i < n_rows)
    dot_unit(rows + i, 1, b, n, MOST_COLUMNS, span, -1, sums + i);
}

/* Of equal spans, the last of which may be shorter. */
static gsize span_elems(gsize k) {
  const gsize n = (k + SPAN_ELEMS - 1) / SPAN_ELEMS;
  return (k + n * LCIP_LANES - 1) / (n * LCIP_LANES) * LCIP_LANES;
}

/* Columns [j, j + n), n <= LANES. Where several groups of rows of A read B, they read a span at a
 * time, which stays in the L2 cache, and fetch the next together: after the last one the next
 * unit's. */
static void run_dots(const Row *rows, guint n_rows, gsize j, int n) {
  const LcipGemm *gemm = &rows->job->gemm;
  const gboolean again = n_rows >= 2 * MOST_DOTS;
  const gboolean more = j + 2 * LCIP_LANES <= gemm->n;
  const gsize size = again ? span_elems(gemm->k) : gemm->k;
  const float *b = rows->job->b + j * gemm->k;
  vf sums[MAX_ROWS][LCIP_LANES];
  memset(sums, 0, n_rows * sizeof sums[0]);
  for (gsize p = 0; p < gemm->k; p += size) {
    Span span = {p, MIN(p + size, gemm->k), NULL};
    if (again && span.end < gemm->k)
      span.next = b + size;
    else if (again && more)
      span.next = b + LCIP_LANES * gemm->k - p;
    dot_span(rows, n_rows, b, n, &span, sums);
  }
  for (guint i = 0; i < n_rows; i++) {
    vf sum = v_set1(0.0f);
    for (int c = 0; c < n; c++)
      sum[c] = sum_lanes(sums[i][c]);
    finish(&rows[i], j, sum, n);
  }
}

/* ---- B stored k x n ---- */

/* Rows [p, end) of B, @vecs vectors of columns from @b on (one of @n where @vecs is 1), times @n_a
 * rows of A, added to @sums. */
LCIP_INLINE void add_rows(const Row *a, const int n_a, const float *b, gsize p, gsize end,
                          const int vecs, int n, float (*sums)[SUMS * LCIP_LANES]) {
  const gsize row_elems = a->job->gemm.n;
  vf sum[2][SUMS];
  for (int i = 0; i < n_a; i++)
    for (int v = 0; v < vecs; v++)
      sum[i][v] = v_load(sums[i] + v * LCIP_LANES);
  for (b += p * row_elems; p < end; p++, b += row_elems)
    LCIP_UNROLL
  for (int v = 0; v < vecs; v++) {
    const vf y = vecs > 1 ? v_load(b + v * LCIP_LANES) : v_load_some(b, n);
    LCIP_UNROLL
    for (int i = 0; i < n_a; i++)
      sum[i][v] += v_set1(a[i].a[p]) * y;
  }
  for (int i = 0; i < n_a; i++)
    for (int v = 0; v < vecs; v++)
      v_store(sums[i] + v * LCIP_LANES, sum[i][v]);
}

/* The same for all rows, over a whole unit of columns or, from @column on, a vector of @n. */
static void add_all(const Row *rows, guint n_rows, const float *b, gsize p, gsize end, int n,
                    float (*sums)[SUMS * LCIP_LANES]) {
  guint i = 0;
  if (n < SUMS * LCIP_LANES) {
    for (; i < n_rows; i++)
      add_rows(rows + i, 1, b, p, end, 1, n, sums + i);
    return;
  }
  for (; i + 2 <= n_rows; i += 2)
    for (int v = 0; v < SUMS; v += PAIR_SUMS)
      add_rows(rows + i, 2, b + v * LCIP_LANES, p, end, PAIR_SUMS, LCIP_LANES,
               (float(*)[SUMS * LCIP_LANES])(sums[i] + v * LCIP_LANES));
  if (i < n_rows)
    add_rows(rows + i, 1, b, p, end, SUMS, LCIP_LANES, sums + i);
}

/* Columns [j, j + n): a unit, or one vector or less. */
static void run_sums(const Row *rows, guint n_rows, gsize j, int n) {
  const Job *job = rows->job;
  float sums[MAX_ROWS][SUMS * LCIP_LANES] = {{0}};
  for (gsize p = 0; p < job->gemm.k; p += K_BLOCK)
    add_all(rows, n_rows, job->b + j, p, MIN(p + K_BLOCK, job->gemm.k), n, sums);
  for (guint i = 0; i < n_rows; i++)
    for (int first = 0; first < n; first += LCIP_LANES)
      finish(&rows[i], j + (gsize)first, v_load(sums[i] + first), MIN(LCIP_LANES, n - first));
}

/* ---- running ---- */

static void run_unit(const Row *rows, guint n_rows, gsize j, gsize n) {
  if (rows->job->gemm.trans_b)
    run_dots(rows, n_rows, j, (int)n);
  else if (n == SUMS * LCIP_LANES)
    run_sums(rows, n_rows, j, (int)n);
  else
    for (gsize k = 0; k < n; k += LCIP_LANES)
      run_sums(rows, n_rows, j + k, (int)MIN(LCIP_LANES, n - k));
}

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  return rows_support(step, formats, reason);
}

/* Reading B costs as much as multiplying with a row. */
static double estimate(const LcipStep *step) {
  return 2 * rows_elems(step);
}

static gboolean sweep_begin(const LcipCall *call, gpointer data, LcipTeam *team, guint *n_parts,
                            GError **error) {
  Job *job = data;
  return job_init(job, call, call->inputs[1].data, error) &&
         job_split(job, job->gemm.trans_b ? LCIP_LANES : SUMS * LCIP_LANES, n_parts);
}

const LcipKernel LCIP_ISA_KERNEL(gemm_rows_blocked) = {
    .name = LCIP_ISA_NAME("gemm-rows"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"Gemm", "MatMul", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .any_address = 1 << 1,
    .supports = supports,
    .estimate = estimate,
    .run = run,
    .sweep = &sweep,
};
