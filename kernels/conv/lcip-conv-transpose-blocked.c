#include "config.h"
#include "lcip-vec.h"

/* Transposed convolution whose windows do not overlap (kernel = stride, no padding), as decoders
 * use to double height and width: every output pixel comes from one input pixel, so it is a 1x1
 * convolution to "results" whose pixels are then spread. A result is one output channel at one
 * place of the window. With many output channels the results of one place are a block and are
 * stored as such; with few, the lanes of a vector are neighbouring input pixels instead, whose
 * channels are transposed for this, and the output is dense. */

enum { RUN = 8, GROUP = 4, MAX_DENSE_RESULTS = 64, CHUNK_PIXELS = 512 };

/* @results: padded; [place][channel] blocked, [channel][place] dense. @group: results whose weights
 * lie together, for each input channel. A chunk is @chunk_rows rows, or CHUNK_PIXELS pixels. */
typedef struct {
  gint64 c, oc, kh, kw, h, w, in_blocks, out_blocks, results, group, chunk_rows, parts;
  gboolean dense;
  LcipTail tail;
  const LcipCall *call;
  const float *weights, *biases;
} Conv;

static gboolean ints_are(const LcipStep *step, const char *name, gint64 a, gint64 b, gint64 none) {
  guint n = 0;
  const gint64 *values = lcip_attrs_get_ints(step->attrs, name, &n);
  if (!values || n == 0)
    return a == none && b == none;
  for (guint i = 0; i < n; i++)
    if (values[i] != (i % 2 ? b : a))
      return FALSE;
  return TRUE;
}

static gboolean is_constant(const LcipStep *step, guint i) {
  return step->constants && step->constants[i] && step->inputs[i].type == LCIP_TYPE_F32;
}

static gboolean has_bias(const LcipStep *step) {
  return step->n_anchor_inputs > 2 && lcip_step_has_input(step, 2);
}

/* Weights are c, oc, kh, kw. Where the output has exactly the input's size times the stride, there
 * is no padding, whatever auto_pad says. */
static gboolean fits(const LcipStep *step) {
  const gint64 *in = step->inputs[0].shape.dims, *out = step->outputs[0].shape.dims;
  const gint64 *w = step->inputs[1].shape.dims;
  return lcip_attrs_get_int(step->attrs, "group") == 1 && w[1] == out[1] &&
         ints_are(step, "strides", w[2], w[3], 1) && ints_are(step, "dilations", 1, 1, 1) &&
         ints_are(step, "pads", 0, 0, 0) && ints_are(step, "output_padding", 0, 0, 0) &&
         out[2] == in[2] * w[2] && out[3] == in[3] * w[3];
}

static gboolean supports(const LcipStep *step, LcipPortFormats *formats, const char **reason) {
  LcipTail tail;
  if (!lcip_is_image(&step->inputs[0]) || !lcip_is_image(&step->outputs[0]) ||
      !lcip_is_image(&step->inputs[1]) || !fits(step)) {
    *reason = "it takes windows as large as the stride, without padding and groups";
    return FALSE;
  }
  if (!is_constant(step, 1) || (has_bias(step) && !is_constant(step, 2))) {
    *reason = "its weights must be constants";
    return FALSE;
  }
  if (!lcip_tail_init(&tail, step, reason))
    return FALSE;
  const LcipShape *w = &step->inputs[1].shape;
  const gboolean dense = w->dims[1] < LCIP_BLOCK / 2;
  lcip_formats_dense(step, formats);
  formats->inputs[0] = LCIP_BLOCK_FORMAT;
  formats->outputs[0] = dense ? LCIP_FORMAT_DENSE : LCIP_BLOCK_FORMAT;
  lcip_tail_formats(step, formats);
  for (guint i = 0; dense && i < tail.n; i++)
    if (tail.ops[i].kind == LCIP_TAIL_ADD) {
      *reason = "with few output channels it fuses no addition";
      return FALSE;
    }
  if (dense && w->dims[1] * w->dims[2] * w->dims[3] > MAX_DENSE_RESULTS)
    *reason = "the window is too large";
  return !dense || w->dims[1] * w->dims[2] * w->dims[3] <= MAX_DENSE_RESULTS;
}

static void conv_init(Conv *conv, const LcipStep *step, gboolean dense) {
  const gint64 *w = step->inputs[1].shape.dims;
  *conv = (Conv){.c = w[0], .oc = w[1], .kh = w[2], .kw = w[3], .dense = dense};
  conv->in_blocks = lcip_blocks(conv->c, LCIP_BLOCK);
  conv->out_blocks = lcip_blocks(conv->oc, LCIP_BLOCK);
  const gint64 places = conv->kh * conv->kw;
  conv->group = dense ? GROUP : LCIP_LANES;
  conv->results = dense ? lcip_blocks(conv->oc * places, GROUP) * GROUP
                        : conv->out_blocks * LCIP_BLOCK * places;
}

/* Output channel and place of result @r; FALSE for padding. */
static gboolean find_result(const Conv *conv, gint64 r, gint64 *oc, gint64 *place) {
  const gint64 places = conv->kh * conv->kw, padded = conv->out_blocks * LCIP_BLOCK;
  *oc = conv->dense ? r / places : r % padded;
  *place = conv->dense ? r % places : r / padded;
  return *oc < conv->oc;
}

/* [group of results][input channel][result in group], then the biases. */
static gboolean prepare(const LcipStep *step, const LcipPortFormats *formats, LcipBlob **blob,
                        GError **error) {
  Conv conv;
  conv_init(&conv, step, formats->outputs[0] == LCIP_FORMAT_DENSE);
  const gsize bytes = (gsize)(conv.results * (conv.c + 1)) * sizeof(float);
  *blob = lcip_blob_new(bytes);
  if (!*blob) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY,
                "packed weights need %" G_GSIZE_FORMAT " bytes", bytes);
    return FALSE;
  }
  float *packed = lcip_blob_data(*blob), *biases = packed + conv.results * conv.c;
  const float *w = lcip_tensor_get_data(step->constants[1]);
  const float *bias = has_bias(step) ? lcip_tensor_get_data(step->constants[2]) : NULL;
  const gint64 places = conv.kh * conv.kw;
  for (gint64 r = 0; r < conv.results; r++) {
    gint64 oc, place;
    if (!find_result(&conv, r, &oc, &place))
      continue;
    float *to = packed + r / conv.group * conv.c * conv.group + r % conv.group;
    for (gint64 c = 0; c < conv.c; c++)
      to[c * conv.group] = w[(c * conv.oc + oc) * places + place];
    biases[r] = bias ? bias[oc] : 0.0f;
  }
  return TRUE;
}

/* ---- blocked output ---- */

/* One vector of results for @pixels input pixels from @x on. */
LCIP_INLINE void results_body(const Conv *conv, const float *x, gint64 first, vf *sum,
                              const int pixels) {
  const float *w = conv->weights + first * conv->c;
  const gint64 plane = conv->h * conv->w * LCIP_BLOCK;
  vf acc[RUN];
  LCIP_UNROLL
  for (int i = 0; i < pixels; i++)
    acc[i] = v_load(conv->biases + first);
  for (gint64 b = 0; b < conv->in_blocks; b++) {
    const gint64 depth = MIN(LCIP_BLOCK, conv->c - b * LCIP_BLOCK);
    for (gint64 k = 0; k < depth; k++, w += LCIP_LANES) {
      const vf weights = v_load(w);
      LCIP_UNROLL
      for (int i = 0; i < pixels; i++)
        acc[i] += v_set1(x[b * plane + k + i * LCIP_BLOCK]) * weights;
    }
  }
  LCIP_UNROLL
  for (int i = 0; i < pixels; i++)
    sum[i] = acc[i];
}

/* Stores results [first, first + LCIP_LANES) of input pixel (y, x) of image @n. */
static void store_blocked(const Conv *conv, gint64 n, gint64 y, gint64 x, gint64 first, vf value) {
  const gint64 padded = conv->out_blocks * LCIP_BLOCK;
  const gint64 place = first / padded, c = first % padded;
  const gint64 oy = y * conv->kh + place / conv->kw, ox = x * conv->kw + place % conv->kw;
  const gint64 row = (n * conv->out_blocks + c / LCIP_BLOCK) * conv->h * conv->kh + oy;
  const gsize at = (gsize)((row * conv->w * conv->kw + ox) * LCIP_BLOCK + c % LCIP_BLOCK);
  const vi mask = v_lanes_below((int)CLAMP(conv->oc - c, 0, LCIP_LANES));
  v_store((float *)conv->call->outputs[0].data + at,
          (vf)((vi)v_tail(&conv->tail, conv->call, value, at) & mask));
}

static void run_pixels(const Conv *conv, gint64 n, gint64 pixel, int pixels) {
  const float *x = (const float *)conv->call->inputs[0].data +
                   (n * conv->in_blocks * conv->h * conv->w + pixel) * LCIP_BLOCK;
  for (gint64 first = 0; first < conv->results; first += LCIP_LANES) {
    vf sum[RUN];
    if (pixels == RUN)
      results_body(conv, x, first, sum, RUN);
    else
      for (int i = 0; i < pixels; i++)
        results_body(conv, x + i * LCIP_BLOCK, first, sum + i, 1);
    for (int i = 0; i < pixels; i++)
      store_blocked(conv, n, (pixel + i) / conv->w, (pixel + i) % conv->w, first, sum[i]);
  }
}

static void run_chunk(gpointer data, guint chunk, guint worker) {
  const Conv *conv = data;
  const gint64 n = chunk / conv->parts, begin = chunk % conv->parts * CHUNK_PIXELS;
  const gint64 end = MIN(begin + CHUNK_PIXELS, conv->h * conv->w);
  for (gint64 pixel = begin; pixel < end; pixel += RUN)
    run_pixels(conv, n, pixel, (int)MIN(RUN, end - pixel));
}

/* ---- dense output ---- */

/* Constant bounds make shuffles of these loops. */
static void transpose_pixels(const float *in, float *out) {
  for (int c = 0; c < LCIP_BLOCK; c++)
    for (int p = 0; p < LCIP_LANES; p++)
      out[c * LCIP_LANES + p] = in[p * LCIP_BLOCK + c];
}

/* Adds to GROUP vectors of results at @sums what @depth channels at @x give. */
LCIP_INLINE void add_group(const float *x, const float *w, gint64 depth, float *sums) {
  vf sum[GROUP];
  LCIP_UNROLL
  for (int i = 0; i < GROUP; i++)
    sum[i] = v_load(sums + i * LCIP_BLOCK);
  for (gint64 k = 0; k < depth; k++) {
    const vf value = v_load(x + k * LCIP_LANES);
    LCIP_UNROLL
    for (int i = 0; i < GROUP; i++)
      sum[i] += value * w[k * GROUP + i];
  }
  LCIP_UNROLL
  for (int i = 0; i < GROUP; i++)
    v_store(sums + i * LCIP_BLOCK, sum[i]);
}

/* The @pixels at @x, if they are fewer than a vector's lanes with others behind them in @padded. */
static const float *pad_pixels(const float *x, int pixels, float *padded) {
  if (pixels == LCIP_LANES)
    return x;
  memset(padded, 0, LCIP_LANES * LCIP_BLOCK * sizeof(float));
  memcpy(padded, x, (gsize)(pixels * LCIP_BLOCK) * sizeof(float));
  return padded;
}

/* The results of LCIP_LANES pixels from @x on, of which @pixels are there, and their epilogues; a
 * result's are LCIP_BLOCK from the next one's. */
static void sum_pixels(const Conv *conv, const float *x, int pixels, float *sums) {
  float padded[LCIP_LANES * LCIP_BLOCK], turned[LCIP_LANES * LCIP_BLOCK];
  for (gint64 r = 0; r < conv->results; r++)
    v_store(sums + r * LCIP_BLOCK, v_set1(conv->biases[r]));
  for (gint64 b = 0; b < conv->in_blocks; b++, x += conv->h * conv->w * LCIP_BLOCK) {
    const gint64 first = b * LCIP_BLOCK, depth = MIN(LCIP_BLOCK, conv->c - first);
    transpose_pixels(pad_pixels(x, pixels, padded), turned);
    for (gint64 r = 0; r < conv->results; r += GROUP)
      add_group(turned, conv->weights + r * conv->c + first * GROUP, depth, sums + r * LCIP_BLOCK);
  }
  for (guint i = 0; i < conv->tail.n; i++)
    v_tail_each(&conv->tail.ops[i], NULL, sums, sums, (int)conv->results,
                v_lanes_below(LCIP_LANES));
}

/* @kw vectors become one row in which their lanes alternate. */
static void store_row(const float *sums, gint64 kw, int pixels, float *out) {
  if (kw == 2 && pixels == LCIP_LANES)
    for (int i = 0; i < LCIP_LANES; i++) {
      out[2 * i] = sums[i];
      out[2 * i + 1] = sums[LCIP_BLOCK + i];
    }
  else
    for (int i = 0; i < pixels; i++)
      for (gint64 kx = 0; kx < kw; kx++)
        out[i * kw + kx] = sums[kx * LCIP_BLOCK + i];
}

static void run_dense_row(const Conv *conv, gint64 n, gint64 y) {
  float sums[MAX_DENSE_RESULTS * LCIP_BLOCK];
  const gint64 plane = conv->h * conv->w;
  const float *x = (const float *)conv->call->inputs[0].data +
                   (n * conv->in_blocks * plane + y * conv->w) * LCIP_BLOCK;
  float *out = (float *)conv->call->outputs[0].data;
  for (gint64 column = 0; column < conv->w; column += LCIP_LANES) {
    const int pixels = (int)MIN(LCIP_LANES, conv->w - column);
    sum_pixels(conv, x + column * LCIP_BLOCK, pixels, sums);
    for (gint64 i = 0; i < conv->oc * conv->kh; i++) {
      const gint64 oc = n * conv->oc + i / conv->kh, oy = y * conv->kh + i % conv->kh;
      store_row(sums + i * conv->kw * LCIP_BLOCK, conv->kw, pixels,
                out + ((oc * conv->h * conv->kh + oy) * conv->w + column) * conv->kw);
    }
  }
}

static void run_dense_chunk(gpointer data, guint chunk, guint worker) {
  const Conv *conv = data;
  const gint64 n = chunk / conv->parts, begin = chunk % conv->parts * conv->chunk_rows;
  const gint64 end = MIN(begin + conv->chunk_rows, conv->h);
  for (gint64 y = begin; y < end; y++)
    run_dense_row(conv, n, y);
}

static gboolean run(const LcipCall *call, LcipTeam *team, GError **error) {
  const LcipShape *in = &call->inputs[0].shape;
  const char *reason = NULL;
  Conv conv;
  conv_init(&conv, call->step, call->outputs[0].spec.format == LCIP_FORMAT_DENSE);
  if (!lcip_tail_init(&conv.tail, call->step, &reason)) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED, "ConvTranspose cannot be computed: %s",
                reason);
    return FALSE;
  }
  conv.call = call;
  conv.h = in->dims[2];
  conv.w = in->dims[3];
  conv.weights = lcip_blob_data(call->prepared);
  conv.biases = conv.weights + conv.results * conv.c;
  conv.chunk_rows = MAX(1, CHUNK_PIXELS / conv.w);
  conv.parts = conv.dense ? lcip_blocks(conv.h, conv.chunk_rows)
                          : lcip_blocks(conv.h * conv.w, CHUNK_PIXELS);
  lcip_team_run(team, (guint)(in->dims[0] * conv.parts), conv.dense ? run_dense_chunk : run_chunk,
                &conv);
  return TRUE;
}

const LcipKernel LCIP_ISA_KERNEL(conv_transpose_blocked) = {
    .name = LCIP_ISA_NAME("conv-transpose-blocked"),
    .family = "blocked",
    .device = LCIP_DEVICE_CPU,
    .operators = (const char *const[]){"ConvTranspose", NULL},
    .needs = LCIP_ISA_NEEDS,
    .numerics = LCIP_NUMERICS_REASSOCIATED,
    .tolerance = 1e-4f,
    .inplace = TRUE,
    .prepared_inputs = 1 << 1 | 1 << 2,
    .supports = supports,
    .prepare = prepare,
    .run = run,
};
