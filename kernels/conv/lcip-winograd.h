#pragma once

#include "lcip-blocked.h"

/* What Winograd convolution needs and what needs no vectors; compiled once, for the baseline
 * processor. F(m,3) computes m x m outputs of a 3x3 convolution from (m + 2) x (m + 2) inputs with
 * as many products (A. Lavin, S. Gray: Fast Algorithms for Convolutional Neural Networks, 2015). */

G_BEGIN_DECLS

enum { LCIP_WINOGRAD_MAX_TILE = 6, LCIP_WINOGRAD_MAX_SIDE = LCIP_WINOGRAD_MAX_TILE + 2 };

/** LcipWinogradIsa: @block: channels of a block of the format; @lanes: floats of a vector; @rows:
 * most tiles of the multiply micro-kernel, which computes two vectors of channels for each;
 * @channels: input channels that it reads at once. */
typedef struct {
  int block, lanes, rows, channels;
} LcipWinogradIsa;

/** LcipWinograd: shapes of one convolution. @m, @side: outputs and inputs of a tile along one axis;
 * @freqs: side * side. @blocks: input blocks; @vecs: output vectors; @groups: pairs of these.
 * @packed_c: input channels of the weights, @c in whole reads. @tiles: of all images. @max_tiles:
 * the most that a chunk has; the scratch is laid out for it. */
typedef struct {
  gint64 n, c, h, w, oc, oh, ow, pad_y, pad_x;
  int m, side, freqs;
  gint64 blocks, vecs, groups, packed_c;
  gint64 tile_rows, tile_cols, tiles, max_tiles;
} LcipWinograd;

/** LcipWinogradSplit: a chunk has up to @tiles tiles of which there are @tile_chunks, and up to
 * @groups groups of output vectors of which there are @group_chunks. */
typedef struct {
  gint64 tiles, tile_chunks, groups, group_chunks;
} LcipWinogradSplit;

/** lcip_winograd_init: for an input of shape @in of a convolution that lcip_winograd_fits(); @m is
 * 2, 4 or 6. */
gboolean lcip_winograd_init(LcipWinograd *winograd, const LcipStep *step, const LcipShape *in,
                            const LcipWinogradIsa *isa, int m, GError **error);
/** lcip_winograd_fits: window 3x3, stride 1, dilation 1, one group; else FALSE with @reason. */
gboolean lcip_winograd_fits(const LcipStep *step, const char **reason);
/** lcip_winograd_estimate: for an LcipKernel's estimate(), the planned shapes of @step, that fits,
 * and tiles of @m x @m outputs. lcip_winograd_direct_estimate: of direct convolution with the same
 * windows; 0 for steps that no Winograd convolution fits. */
double lcip_winograd_estimate(const LcipStep *step, const LcipWinogradIsa *isa, int m);
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
gsize lcip_winograd_stage_elems(const LcipWinograd *winograd, const LcipWinogradIsa *isa);
gsize lcip_winograd_stage_stride(const LcipWinograd *winograd, const LcipWinogradIsa *isa);
gsize lcip_winograd_input_stride(const LcipWinograd *winograd, const LcipWinogradIsa *isa);
gsize lcip_winograd_product_stride(const LcipWinograd *winograd, const LcipWinogradIsa *isa);
gsize lcip_winograd_scratch_elems(const LcipWinograd *winograd, const LcipWinogradIsa *isa);

/** lcip_winograd_weight_elems: transformed weights without biases. */
gsize lcip_winograd_weight_elems(const LcipWinograd *winograd, const LcipWinogradIsa *isa);

G_END_DECLS
