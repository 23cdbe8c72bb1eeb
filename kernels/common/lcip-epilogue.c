#include "config.h"
#include "lcip-epilogue.h"

gboolean lcip_epilogue_list_init(LcipEpilogueList *list, const LcipCall *call, GError **error) {
  const LcipStep *step = call->step;
  *list = (LcipEpilogueList){.n = step->n_epilogues};
  for (guint i = 0; i < step->n_epilogues; i++) {
    const LcipEpilogue *epilogue = &step->epilogues[i];
    if (epilogue->op->domain[0] == '\0' && g_str_equal(epilogue->op->name, "Add") &&
        epilogue->side_input >= 0) {
      list->items[i].side = call->inputs[epilogue->side_input].data;
      continue;
    }
    LcipUnary *unary = &list->items[i].unary;
    if (!lcip_unary_init(unary, epilogue->op, epilogue->attrs)) {
      g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
                  "expected a fused addition or activation, found %s", epilogue->op->name);
      return FALSE;
    }
    if (unary->kind == LCIP_UNARY_CLIP) {
      unary->alpha = epilogue->clip_min;
      unary->beta = epilogue->clip_max;
    }
  }
  return TRUE;
}

void lcip_epilogue_list_apply(const LcipEpilogueList *list, float *out, gsize offset, gsize n) {
  for (guint i = 0; i < list->n; i++) {
    const float *side = list->items[i].side;
    if (!side) {
      lcip_unary_apply(&list->items[i].unary, out, out, n);
      continue;
    }
    for (gsize k = 0; k < n; k++)
      out[k] += side[offset + k];
  }
}

gboolean lcip_supports_epilogues(const LcipStep *step, LcipPortFormats *formats,
                                 const char **reason) {
  if (!lcip_step_all_f32(step, 0)) {
    *reason = "it computes f32 only";
    return FALSE;
  }
  lcip_formats_dense(step, formats);
  return lcip_epilogues_common(step, reason);
}
