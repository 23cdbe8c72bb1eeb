#include "config.h"
#include "lcip-placement.h"

/* Winograd's weights are 1.8 to 11 times as large as the convolution's. Where all of them are more
 * than the budget, those stay that gain most for a byte; the other convolutions are placed again
 * with smaller tiles, or without. */

typedef struct {
  const LcipPlacedNode *placed;
  gsize bytes;
  double gain; /* time saved, for a byte */
} Use;

/* Estimates count a vector's multiply-adds; two of them a cycle of 4 GHz. Measured times and
 * estimates need to be compared, not exact. */
#define MS_PER_ESTIMATE 1.25e-7

static double time_of(const LcipPlacement *p, const LcipStep *step, guint threads,
                      const LcipKernel *kernel) {
  g_autofree char *key = p->calibration ? lcip_calibration_key(step, threads) : NULL;
  const double ms = key ? lcip_calibration_get(p->calibration, key, kernel->name) : 0;
  return ms > 0 ? ms : kernel->estimate ? kernel->estimate(step) * MS_PER_ESTIMATE : 0;
}

/* The best kernel that is none of Winograd's. */
static double time_without(const LcipPlacement *p, const LcipStep *step, guint threads,
                           const LcipPlacedNode *placed) {
  const LcipKernel *kernel = placed->kernel;
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  for (guint i = 0; i < n; i++) {
    LcipPortFormats formats = placed->formats;
    if (table[i]->device == LCIP_DEVICE_CPU && table[i]->numerics < LCIP_NUMERICS_WINOGRAD &&
        table[i]->needs == kernel->needs && lcip_kernel_supports(table[i], step, &formats, NULL))
      return time_of(p, step, threads, table[i]);
  }
  return 0;
}

static gboolean use_of(const LcipPlacement *p, const LcipPlacedNode *placed, Use *use) {
  const LcipIrNode *node = placed->ir_node >= 0 ? lcip_ir_node(p->ir, placed->ir_node) : NULL;
  LcipTensorSpec inputs[LCIP_MAX_PORTS], outputs[LCIP_MAX_PORTS];
  LcipTensor *constants[LCIP_MAX_PORTS];
  LcipStep step;
  if (!node || !placed->kernel || placed->kernel->numerics < LCIP_NUMERICS_WINOGRAD || node->pin ||
      !placed->kernel->blob_bytes)
    return FALSE;
  lcip_ir_step(p->ir, node, &step, inputs, constants, outputs);
  const guint threads = p->threads[node->lane];
  use->placed = placed;
  use->bytes = placed->kernel->blob_bytes(&step);
  use->gain =
      (time_without(p, &step, threads, placed) - time_of(p, &step, threads, placed->kernel)) /
      (double)MAX(use->bytes, 1);
  return TRUE;
}

/* Weights of the fastest of Winograd's kernels for @placed that has at most @most bytes of them; 0
 * where it is faster without any. */
static gsize bytes_of_smaller(const LcipPlacement *p, const LcipPlacedNode *placed, gsize most) {
  const LcipIrNode *node = lcip_ir_node(p->ir, placed->ir_node);
  LcipTensorSpec inputs[LCIP_MAX_PORTS], outputs[LCIP_MAX_PORTS];
  LcipTensor *constants[LCIP_MAX_PORTS];
  LcipStep step;
  lcip_ir_step(p->ir, node, &step, inputs, constants, outputs);
  const guint threads = p->threads[node->lane];
  double least = time_without(p, &step, threads, placed);
  gsize bytes = 0;
  guint n;
  const LcipKernel *const *table = lcip_kernel_table(&n);
  for (guint i = 0; i < n; i++) {
    LcipPortFormats formats = placed->formats;
    if (table[i]->numerics != LCIP_NUMERICS_WINOGRAD || table[i]->needs != placed->kernel->needs ||
        !lcip_kernel_supports(table[i], &step, &formats, NULL) ||
        !lcip_formats_agree(&step, &formats, &placed->formats) ||
        table[i]->blob_bytes(&step) > most)
      continue;
    const double time = time_of(p, &step, threads, table[i]);
    if (time >= least)
      continue;
    least = time;
    bytes = table[i]->blob_bytes(&step);
  }
  return bytes;
}

static int by_gain(gconstpointer a, gconstpointer b) {
  const Use *x = a, *y = b;
  if (x->gain != y->gain)
    return x->gain < y->gain ? 1 : -1;
  return x->placed->ir_node - y->placed->ir_node;
}

guint lcip_placement_keep_budget(const LcipPlacement *p, gsize budget_bytes) {
  g_autoptr(GArray) uses = g_array_new(FALSE, FALSE, sizeof(Use));
  gsize left = budget_bytes;
  guint over = 0;
  for (guint i = 0; i < p->nodes->len; i++) {
    Use use;
    if (use_of(p, lcip_placement_node(p, (int)i), &use))
      g_array_append_val(uses, use);
  }
  g_array_sort(uses, by_gain);
  for (guint i = 0; i < uses->len; i++) {
    const Use *use = &g_array_index(uses, Use, i);
    LcipIrNode *node = lcip_ir_node(p->ir, use->placed->ir_node);
    if (use->bytes <= left) {
      left -= use->bytes;
      continue;
    }
    node->over_budget = TRUE;
    node->budget_bytes = bytes_of_smaller(p, use->placed, left);
    node->direct = node->budget_bytes == 0;
    left -= node->budget_bytes;
    over++;
  }
  return over;
}
