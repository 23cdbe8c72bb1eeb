#pragma once

#include "lcip-blocked.h"

/* What Winograd convolution needs and what needs no vectors; compiled once, for the baseline
 * processor. F(m,r) computes m outputs of a window of r along one axis from m + r - 1 inputs with
 * as many products; along both axes they nest (A. Lavin, S. Gray: Fast Algorithms for Convolutional
 * Neural Networks, 2015). The input's transform depends on m + r - 1 alone. */

G_BEGIN_DECLS

/** LcipWinogradTile: F(@rows, @kernel_rows) down and F(@cols, @kernel_cols) across: outputs of a
 * tile and the window. */
typedef struct {
  int rows, cols, kernel_rows, kernel_cols;
} LcipWinogradTile;

/** LcipWinogradIsa: @block: channels of a block of the format; @lanes: floats of a vector; @rows:
 * most tiles of the multiply micro-kernel, which computes two vectors of channels for each;
 * @channels: input channels that it reads at once. */
typedef struct {
  int block, lanes, rows, channels;
} LcipWinogradIsa;

/** LcipWinograd: shapes of one convolution. With a @stride they are those of a convolution of
 * stride 1 that gives the same: pixels whose rows and columns leave the same rests, divided by the
 * stride, are channels of their own (stride * stride for each, row's rest first, as SpaceToDepth
 * has them within a channel), and tap k of the window is the k + @shift_y-th, or @shift_x-th, of
 * all these. @freqs: products of a tile, as many as it has inputs.
 * @blocks: input blocks; @vecs: output vectors; @groups: pairs of these.
 * @packed_c: input channels of the weights, @c in whole reads. @tiles: of all images. @max_tiles:
 * the most that a chunk has; the scratch is laid out for it. */
typedef struct {
  gint64 n, c, h, w, oc, oh, ow, pad_y, pad_x;
  LcipWinogradTile tile;
  int freqs, stride, shift_y, shift_x;
  gint64 blocks, vecs, groups, packed_c;
  gint64 tile_rows, tile_cols, tiles, max_tiles;
} LcipWinograd;

/** LcipWinogradSplit: a chunk has up to @tiles tiles of which there are @tile_chunks, and up to
 * @groups groups of output vectors of which there are @group_chunks. */
typedef struct {
  gint64 tiles, tile_chunks, groups, group_chunks;
} LcipWinogradSplit;

/** lcip_winograd_init: for an input of shape @in of a convolution that lcip_winograd_fits(). */
gboolean lcip_winograd_init(LcipWinograd *winograd, const LcipStep *step, const LcipShape *in,
                            const LcipWinogradIsa *isa, LcipWinogradTile tile, GError **error);
/** lcip_winograd_fits: @tile's window, stride 1, dilation 1, one group; or stride 2 or 4, few
 * channels and a window that becomes @tile's. Else FALSE with @reason. */
gboolean lcip_winograd_fits(const LcipStep *step, LcipWinogradTile tile, const char **reason);
/* Weights from which on firings sweep over them together; with less, frames that wait for each
 * other lose more than reading once gains. */
#define LCIP_WINOGRAD_SWEPT_BYTES (32 << 20)

/** lcip_winograd_estimate: for an LcipKernel's estimate(), the planned shapes of @step, that fits.
 * @sweeps: the kernel has an LcipKernelSweep.
 * lcip_winograd_direct_estimate: of direct convolution with the same windows; 0 for steps that no
 * Winograd convolution fits. */
double lcip_winograd_estimate(const LcipStep *step, const LcipWinogradIsa *isa,
                              LcipWinogradTile tile, gboolean sweeps);
double lcip_winograd_direct_estimate(const LcipStep *step, const LcipWinogradIsa *isa);
/** lcip_winograd_split: the split for @workers; results do not depend on it. */
LcipWinogradSplit lcip_winograd_split(const LcipWinograd *winograd, const LcipWinogradIsa *isa,
                                      guint workers);

/* Scratch of one worker, in floats: inputs [freq][block][tile][channel] with @freq stride, then
 * products [freq][vector of the group][tile][lane]. Strides are one cache line longer than they
 * need be: a multiple of 4096 bytes would put all frequencies of a tile in one set of the cache. */
/** lcip_winograd_staged: should each frequency be multiplied for all tiles at once, by the planned
 * shape? Then the scratch, for all workers together, has lcip_winograd_stage_elems(), products of
 * all vectors for a frequency being lcip_winograd_stage_stride() apart. */
gboolean lcip_winograd_staged(const LcipWinograd *winograd, const LcipWinogradIsa *isa);
/** lcip_winograd_pairs: of several convolutions in stages with the same weights, should two be
 * multiplied at once? Where one has few tiles, its weights are loaded for few products. */
gboolean lcip_winograd_pairs(const LcipWinograd *winograd, const LcipWinogradIsa *isa);
gsize lcip_winograd_stage_elems(const LcipWinograd *winograd, const LcipWinogradIsa *isa);
gsize lcip_winograd_stage_stride(const LcipWinograd *winograd, const LcipWinogradIsa *isa);
gsize lcip_winograd_input_stride(const LcipWinograd *winograd, const LcipWinogradIsa *isa);
gsize lcip_winograd_product_stride(const LcipWinograd *winograd, const LcipWinogradIsa *isa);
gsize lcip_winograd_scratch_elems(const LcipWinograd *winograd, const LcipWinogradIsa *isa);

/** lcip_winograd_weight_at: where the OIHW weights @w of @step have tap (@ky, @kx) of @winograd's
 * channels @oc and @c; NULL where that is none of theirs. */
const float *lcip_winograd_weight_at(const LcipWinograd *winograd, const LcipStep *step,
                                     const float *w, gint64 oc, gint64 c, int ky, int kx);
/** lcip_winograd_weight_elems: transformed weights without biases. */
gsize lcip_winograd_weight_elems(const LcipWinograd *winograd, const LcipWinogradIsa *isa);

G_END_DECLS
