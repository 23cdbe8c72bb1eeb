#include "config.h"

#include "lcip-conv-case.h"

LcipTensor *conv_random_tensor(const LcipTensorSpec *spec, GRand *rand) {
  LcipTensor *tensor = lcip_tensor_new(spec);
  if (!tensor)
    g_error("no memory for a tensor");
  float *data = lcip_tensor_get_mutable(tensor);
  for (gsize i = 0; i < lcip_tensor_get_bytes(tensor) / sizeof(float); i++)
    data[i] = (float)g_rand_double_range(rand, -1, 1);
  return tensor;
}

static void set_ints(LcipAttrs *attrs, const char *name, guint n, const gint64 *values) {
  g_autoptr(GError) error = NULL;
  const LcipAttrType type = n == 1 ? LCIP_ATTR_INT : LCIP_ATTR_INTS;
  if (!lcip_attrs_set_ints(attrs, name, type, n, values, &error))
    g_error("%s", error->message);
}

static int padding(int kernel, int pad) {
  return kernel > 1 ? pad : 0;
}

static int out_size(const ConvShape *s, int kernel) {
  return (s->size + padding(kernel, s->pad) + padding(kernel, s->end) - kernel) / s->stride + 1;
}

static LcipAttrs *conv_attrs(const ConvShape *s) {
  LcipAttrs *attrs = lcip_attrs_new(lcip_operator_find("", "Conv"));
  const gint64 pads[] = {padding(s->kh, s->pad), padding(s->kw, s->pad), padding(s->kh, s->end),
                         padding(s->kw, s->end)};
  set_ints(attrs, "strides", 2, (gint64[]){s->stride, s->stride});
  set_ints(attrs, "pads", 4, pads);
  set_ints(attrs, "group", 1, (gint64[]){s->group});
  return attrs;
}

static void add_epilogue(LcipStep *step, const char *name, int side_input) {
  const LcipOperator *op = lcip_operator_find("", name);
  step->epilogues[step->n_epilogues++] =
      (LcipEpilogue){.op = op, .attrs = lcip_attrs_new(op), .side_input = side_input};
}

ConvCase *conv_case_new(const ConvShape *s, GRand *rand) {
  ConvCase *c = g_new0(ConvCase, 1); /* on the heap because the step points into it */
  const int oh = out_size(s, s->kh), ow = out_size(s, s->kw);
  const LcipType f32 = LCIP_TYPE_F32;
  c->specs[CONV_X] = lcip_tensor_spec(f32, lcip_shape(4, 1, s->c, s->size, s->size));
  c->specs[CONV_W] = lcip_tensor_spec(f32, lcip_shape(4, s->oc, s->c / s->group, s->kh, s->kw));
  c->specs[CONV_B] = lcip_tensor_spec(f32, lcip_shape(1, s->oc));
  c->specs[CONV_SIDE] = c->out = lcip_tensor_spec(f32, lcip_shape(4, 1, s->oc, oh, ow));
  c->constants[CONV_W] = conv_random_tensor(&c->specs[CONV_W], rand);
  c->constants[CONV_B] = conv_random_tensor(&c->specs[CONV_B], rand);
  c->attrs = conv_attrs(s);
  c->step = (LcipStep){.op = lcip_operator_find("", "Conv"),
                       .attrs = c->attrs,
                       .n_inputs = s->add ? CONV_N_INPUTS : CONV_SIDE,
                       .n_anchor_inputs = CONV_SIDE,
                       .inputs = c->specs,
                       .constants = c->constants,
                       .n_outputs = 1,
                       .outputs = &c->out};
  if (s->add)
    add_epilogue(&c->step, "Add", CONV_SIDE);
  add_epilogue(&c->step, "Relu", -1);
  c->flops = 2.0 * s->oc * (s->c / s->group) * s->kh * s->kw * oh * ow;
  return c;
}

void conv_case_free(ConvCase *c) {
  for (guint i = 0; i < CONV_N_INPUTS; i++)
    g_clear_pointer(&c->constants[i], lcip_tensor_unref);
  for (guint i = 0; i < c->step.n_epilogues; i++)
    lcip_attrs_unref((LcipAttrs *)c->step.epilogues[i].attrs);
  lcip_attrs_unref(c->attrs);
  g_free(c);
}
