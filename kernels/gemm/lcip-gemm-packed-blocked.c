#include "config.h"
#include "lcip-gemm-rows.h"

#include "lcip-memory.h"
#include "lcip-vec-transpose.h"

/* Gemm and MatMul of a few rows with large constant B, for many calls at once: B is kept in units
 * of UNIT columns, each k x UNIT, so that it is read in one stream, and each vector of it is
 * multiplied with MOST_ROWS rows of A in registers. Such a stream leaves the multiply-add units
 * idle only where memory is slower than they are; the rows of B that gemm-rows reads side by side,
 * each from its own page, come later than they are needed. */

enum {
  VECS = 3,
  UNIT = VECS * LCIP_LANES,
#if defined(__AVX512F__) || defined(__ARM_NEON)
  MOST_ROWS = 8, /* VECS sums of each are what the registers hold */
#else
  MOST_ROWS = 4,
#endif
  K_BLOCK = 1024,           /* of a unit: stays in the L2 cache for further rows of A */
  FETCH_ELEMS = 256 * UNIT, /* how far ahead */
};

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  if (!rows_support(step, formats, reason))
    return FALSE;
  if (!step->constants || !step->constants[1])
    *reason = "its weights must be constants";
  return step->constants && step->constants[1];
}

/* One frame at a time reads B where it is as fast, and need not keep it twice. */
static double estimate(const LcipStep *step) {
  const double elems = rows_elems(step);
  return step->n_together > 1 && elems * sizeof(float) >= ROWS_SWEPT_BYTES ? elems : 4 * elems;
}

static gboolean is_transposed(const LcipStep *step) {
  return is_gemm(step) && lcip_attrs_get_int(step->attrs, "transB") != 0;
}

static gsize columns_of(const LcipStep *step) {
  return (gsize)step->inputs[1].shape.dims[is_transposed(step) ? 0 : 1];
}

static gsize depth_of(const LcipStep *step) {
  return (gsize)step->inputs[1].shape.dims[is_transposed(step) ? 1 : 0];
}

static gsize blob_bytes(const LcipStep *step) {
  return (columns_of(step) + UNIT - 1) / UNIT * UNIT * depth_of(step) * sizeof(float);
}

/* ---- packing ---- */

/* Columns [j, j + n) of B stored n x k. */
static void pack_transposed(const float *b, gsize k, gsize j, gsize n, float *out) {
  for (gsize vec = 0; vec < UNIT; vec += LCIP_LANES) {
    const float *rows[LCIP_LANES];
    for (gsize lane = 0; lane < LCIP_LANES; lane++)
      rows[lane] = vec + lane < n ? b + (j + vec + lane) * k : NULL;
    v_pack_rows(rows, (gint64)k, 1, out + vec, UNIT, 0);
  }
  lcip_memory_drop_file_pages(b + j * k, n * k * sizeof(float));
}

/* The same of B stored k x n, whose rows have @width. */
static void pack_plain(const float *b, gsize k, gsize width, gsize j, gsize n, float *out) {
  for (gsize p = 0; p < k; p++)
    memcpy(out + p * UNIT, b + p * width + j, n * sizeof(float));
}

/* What has been read leaves the memory on the way: else it would hold B twice. */
static gboolean prepare(const LcipStep *step, const LcipPortFormats *formats, LcipBlob **blob,
                        GError **error) {
  const gsize n = columns_of(step), k = depth_of(step), bytes = blob_bytes(step);
  const float *b = lcip_tensor_get_stored(step->constants[1]);
  *blob = lcip_blob_new(bytes);
  if (!*blob) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY,
                "packed weights need %" G_GSIZE_FORMAT " bytes", bytes);
    return FALSE;
  }
  float *packed = lcip_blob_data(*blob);
  for (gsize j = 0; j < n; j += UNIT, packed += k * UNIT)
    if (is_transposed(step))
      pack_transposed(b, k, j, MIN(UNIT, n - j), packed);
    else
      pack_plain(b, k, n, j, MIN(UNIT, n - j), packed);
  return TRUE;
}

/* ---- running ---- */

/* Adds the sums of @n elements of k of @n_rows rows of A, from @p on, with a unit's @b there.
 * Blocks are summed apart: the sum of all would be less exact. @fetch: is B new to the caches? */
LCIP_INLINE void add_block(const Row *rows, const int n_rows, const float *b, gsize p, gsize n,
                           const gboolean fetch, vf (*sums)[VECS]) {
  const float *a[MOST_ROWS];
  vf sum[MOST_ROWS][VECS];
  LCIP_UNROLL
  for (int i = 0; i < n_rows; i++) {
    a[i] = rows[i].a + p;
    for (int v = 0; v < VECS; v++)
      sum[i][v] = v_set1(0.0f);
  }
  for (gsize k = 0; k < n; k++, b += UNIT) {
    vf y[VECS];
    LCIP_UNROLL
    for (int v = 0; v < VECS; v++)
      y[v] = v_load(b + v * LCIP_LANES);
    for (int at = 0; fetch && at < UNIT; at += 16)
      __builtin_prefetch(b + FETCH_ELEMS + at, 0, 2);
    LCIP_UNROLL
    for (int i = 0; i < n_rows; i++)
      LCIP_UNROLL
    for (int v = 0; v < VECS; v++)
      sum[i][v] += v_set1(a[i][k]) * y[v];
  }
  for (int i = 0; i < n_rows; i++)
    for (int v = 0; v < VECS; v++)
      sums[i][v] += sum[i][v];
}

static void add_all(const Row *rows, guint n_rows, const float *b, gsize p, gsize n,
                    vf (*sums)[VECS]) {
  guint i = 0;
  for (; i + MOST_ROWS <= n_rows; i += MOST_ROWS)
    if (i == 0)
      add_block(rows, MOST_ROWS, b, p, n, TRUE, sums);
    else
      add_block(rows + i, MOST_ROWS, b, p, n, FALSE, sums + i);
  for (; MOST_ROWS > 4 && i + 4 <= n_rows; i += 4)
    add_block(rows + i, 4, b, p, n, TRUE, sums + i);
  for (; i < n_rows; i++)
    add_block(rows + i, 1, b, p, n, TRUE, sums + i);
}

static void run_unit(const Row *rows, guint n_rows, gsize j, gsize n) {
  const gsize k = rows->job->gemm.k;
  const float *b = rows->job->b + j * k;
  vf sums[MAX_ROWS][VECS];
  memset(sums, 0, n_rows * sizeof sums[0]);
  for (gsize p = 0; p < k; p += K_BLOCK)
    add_all(rows, n_rows, b + p * UNIT, p, MIN(K_BLOCK, k - p), sums);
  for (guint i = 0; i < n_rows; i++)
    for (gsize v = 0; v * LCIP_LANES < n; v++)
      finish(&rows[i], j + v * LCIP_LANES, sums[i][v], (int)MIN(LCIP_LANES, n - v * LCIP_LANES));
}

static gboolean sweep_begin(const LcipCall *call, gpointer data, LcipTeam *team, guint *n_parts,
                            GError **error) {
  return job_init(data, call, lcip_blob_data(call->prepared), error) &&
         job_split(data, UNIT, n_parts);
}

const LcipKernel LCIP_ISA_KERNEL(gemm_packed_blocked) = {
    .name = LCIP_ISA_NAME("gemm-packed"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"Gemm", "MatMul", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .prepared_inputs = 1 << 1,
    .any_address = 1 << 1,
    .supports = supports,
    .estimate = estimate,
    .blob_bytes = blob_bytes,
    .prepare = prepare,
    .run = run,
    .sweep = &sweep,
};
