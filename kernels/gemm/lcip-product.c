#include "config.h"
#include "lcip-product.h"

/* Large enough for OpenBLAS to be efficient, small enough to share. */
#define TILE_ROWS 128
#define TILE_COLUMNS 256

static gsize n_tiles(gsize size, gsize tile) {
  return (size + tile - 1) / tile;
}

static void product_chunk(gpointer data, guint chunk, guint worker) {
  const LcipProductJob *job = data;
  const gsize columns = n_tiles(job->product.n, TILE_COLUMNS);
  const gsize i = chunk / columns * TILE_ROWS, j = chunk % columns * TILE_COLUMNS;
  LcipBlasProduct tile = job->product;
  tile.m = MIN(TILE_ROWS, job->product.m - i);
  tile.n = MIN(TILE_COLUMNS, job->product.n - j);
  tile.a += tile.trans_a ? i : i * tile.a_stride;
  tile.b += tile.trans_b ? j * tile.b_stride : j;
  tile.c += i * tile.c_stride + j;
  lcip_blas_product(&tile);
  for (gsize row = 0; row < tile.m; row++)
    lcip_epilogue_list_apply(&job->epilogues, tile.c + row * tile.c_stride,
                             job->offset + (i + row) * tile.c_stride + j, tile.n);
}

void lcip_product_run(const LcipProductJob *job, LcipTeam *team) {
  const gsize chunks = n_tiles(job->product.m, TILE_ROWS) * n_tiles(job->product.n, TILE_COLUMNS);
  lcip_team_run(team, (guint)chunks, product_chunk, (gpointer)job);
}

gboolean lcip_product_supports(const LcipStep *step, LcipPortFormats *formats,
                               const char **reason) {
  if (lcip_shape_count(&step->inputs[0].shape) > LCIP_BLAS_MAX_SIZE ||
      lcip_shape_count(&step->inputs[1].shape) > LCIP_BLAS_MAX_SIZE ||
      lcip_shape_count(&step->outputs[0].shape) > LCIP_BLAS_MAX_SIZE) {
    *reason = "a tensor has more elements than OpenBLAS counts";
    return FALSE;
  }
  return lcip_supports_epilogues(step, formats, reason);
}
