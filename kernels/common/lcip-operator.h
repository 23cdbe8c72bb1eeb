#pragma once

#include "lcip-error.h"
#include "lcip-tensor.h"

G_BEGIN_DECLS

typedef struct _LcipOperator LcipOperator;
typedef struct _LcipAttrs LcipAttrs;
typedef struct _LcipStep LcipStep;

/* ---- attribute tables ---- */

typedef enum {
  LCIP_ATTR_INT,
  LCIP_ATTR_FLOAT,
  LCIP_ATTR_STRING,
  LCIP_ATTR_INTS,
  LCIP_ATTR_FLOATS,
  LCIP_ATTR_STRINGS,
  LCIP_ATTR_TENSOR
} LcipAttrType;

/** LcipAttrDef: one row of an operator's attribute table: the property panel, the reader's checks
 * and the reference page all read it.
 * @default_text: the default as written in the XML file (numbers separated by blanks), or NULL for
 *   none (the operator computes it, or it is required).
 * @min, @max: the range of each number; both 0 for no limit.
 * @choices: NULL-terminated list that a string must be in, or NULL. */
typedef struct {
  const char *name;
  LcipAttrType type;
  gboolean required;
  const char *default_text;
  double min, max;
  const char *const *choices;
  const char *unit;
  const char *help;
} LcipAttrDef;

typedef enum {
  LCIP_PORT_PLAIN = 0,
  LCIP_PORT_OPTIONAL = 1 << 0,
  LCIP_PORT_VARIADIC = 1 << 1, /* last port only: one or more */
  LCIP_PORT_SHAPE = 1 << 2     /* read while shapes are inferred: must be a constant in the plan */
} LcipPortFlags;

/** LcipPortDef: @rate: tokens taken or given in one firing; 0 stands for 1. */
typedef struct {
  const char *name;
  LcipPortFlags flags;
  const char *help;
  guint rate;
} LcipPortDef;

typedef enum {
  LCIP_OP_PLAIN = 0,
  LCIP_OP_ELEMENTWISE = 1 << 0, /* output i depends on input i alone (after broadcasting) */
  LCIP_OP_VIEW = 1 << 1,        /* same bytes, other shape: Reshape, Flatten, Identity, ... */
  LCIP_OP_SOURCE = 1 << 2,      /* has an I/O thread of its own; no inputs */
  LCIP_OP_SINK = 1 << 3,        /* has an I/O thread of its own; no outputs */
  LCIP_OP_CPU_ONLY = 1 << 4,    /* locked to CPU lanes, reason in cpu_only_reason */
  LCIP_OP_DYNAMIC = 1 << 5      /* sets the actual shape of an output while running */
} LcipOpFlags;

/** LcipCost: of one firing. @bytes: read and written, weights included. */
typedef struct {
  double flops;
  double bytes;
} LcipCost;

/** LcipOperator: the definition of an operator. @domain is "" for ONNX's own, "lcip" for LCIP's.
 * @infer fills type and shape of every step->outputs[] from inputs, constants and attributes;
 *   formats are dense. An error names port or attribute, expected and found.
 * @cost may be NULL: then one FLOP per output element. */
struct _LcipOperator {
  const char *domain;
  const char *name;
  const char *summary;
  LcipOpFlags flags;
  const char *cpu_only_reason;
  const LcipPortDef *inputs;
  guint n_inputs;
  const LcipPortDef *outputs;
  guint n_outputs;
  const LcipAttrDef *attrs;
  guint n_attrs;
  gboolean (*infer)(LcipStep *step, GError **error);
  void (*cost)(const LcipStep *step, LcipCost *cost);
};

/** lcip_operator_find: NULL when there is none. */
const LcipOperator *lcip_operator_find(const char *domain, const char *name);
/** lcip_operator_list: all, by domain and name. */
const LcipOperator *const *lcip_operator_list(guint *n);
const LcipAttrDef *lcip_operator_find_attr(const LcipOperator *op, const char *name);
/** lcip_operator_input_name: the name of input @i, "NAME.K" for the K-th of a variadic port. */
char *lcip_operator_input_name(const LcipOperator *op, guint i);
char *lcip_operator_output_name(const LcipOperator *op, guint i);
/** lcip_operator_find_input: the index for a name made by lcip_operator_input_name(), or -1. */
int lcip_operator_find_input(const LcipOperator *op, const char *name);
int lcip_operator_find_output(const LcipOperator *op, const char *name);
void lcip_operator_cost(const LcipStep *step, LcipCost *cost);

/* ---- attribute values: a reference-counted dictionary, immutable once shared ---- */

/** LcipAttrValue: @ints also holds the one value of an INT, @floats of a FLOAT, @strings of a
 * STRING. */
typedef struct {
  LcipAttrType type;
  guint n;
  gint64 *ints;
  float *floats;
  char **strings;
  LcipTensor *tensor;
} LcipAttrValue;

/** lcip_attrs_new: @op gives types and defaults; NULL for an operator that LCIP does not know. */
LcipAttrs *lcip_attrs_new(const LcipOperator *op);
LcipAttrs *lcip_attrs_copy(const LcipAttrs *attrs);
LcipAttrs *lcip_attrs_ref(LcipAttrs *attrs);
void lcip_attrs_unref(LcipAttrs *attrs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipAttrs, lcip_attrs_unref)
gboolean lcip_attrs_equal(const LcipAttrs *a, const LcipAttrs *b);

/* Setting checks the name, the type, the range and the choices against the operator's table. */
gboolean lcip_attrs_set_ints(LcipAttrs *attrs, const char *name, LcipAttrType type, guint n,
                             const gint64 *values, GError **error);
gboolean lcip_attrs_set_floats(LcipAttrs *attrs, const char *name, LcipAttrType type, guint n,
                               const float *values, GError **error);
gboolean lcip_attrs_set_strings(LcipAttrs *attrs, const char *name, LcipAttrType type, guint n,
                                const char *const *values, GError **error);
gboolean lcip_attrs_set_tensor(LcipAttrs *attrs, const char *name, LcipTensor *tensor,
                               GError **error);
/** lcip_attrs_set_text: parses @text as the operator's table says (numbers with '.', separated by
 * blanks); for STRINGS one per line. */
gboolean lcip_attrs_set_text(LcipAttrs *attrs, const char *name, LcipAttrType type,
                             const char *text, GError **error);
void lcip_attrs_unset(LcipAttrs *attrs, const char *name);
/** lcip_attrs_get_text: the value as lcip_attrs_set_text() takes it back exactly (shortest floats
 * that round-trip); NULL for tensors and when neither value nor default exists. Transfer full. */
char *lcip_attrs_get_text(const LcipAttrs *attrs, const char *name);
/** lcip_attrs_names: names that are set (not defaults), sorted; free with g_free() the array only.
 */
const char **lcip_attrs_names(const LcipAttrs *attrs, guint *n);
/** lcip_attrs_check: every required attribute is there. */
gboolean lcip_attrs_check(const LcipAttrs *attrs, GError **error);

/* Getting gives the value, else the table's default, else NULL / 0. */
const LcipAttrValue *lcip_attrs_get(const LcipAttrs *attrs, const char *name);
gboolean lcip_attrs_has(const LcipAttrs *attrs, const char *name); /* value or default */
gint64 lcip_attrs_get_int(const LcipAttrs *attrs, const char *name);
float lcip_attrs_get_float(const LcipAttrs *attrs, const char *name);
const char *lcip_attrs_get_string(const LcipAttrs *attrs, const char *name);
const gint64 *lcip_attrs_get_ints(const LcipAttrs *attrs, const char *name, guint *n);
const float *lcip_attrs_get_floats(const LcipAttrs *attrs, const char *name, guint *n);

/* ---- what is inferred, planned and executed ---- */

/** LCIP_MAX_EPILOGUES: the most operators fused behind an anchor. */
#define LCIP_MAX_EPILOGUES 4

/** LcipEpilogue: an operator applied to the anchor's only output, in order.
 * @side_input: index in step->inputs of its second operand (Add's residual; then the input has the
 *   output's shape), or -1 (activations).
 * @side_first: the side input is the operator's first operand (Sub, Div).
 * @clip_min, @clip_max: Clip's constant bounds (-INFINITY and INFINITY where it has none); Clip has
 *   no side input. */
typedef struct {
  const LcipOperator *op;
  const LcipAttrs *attrs;
  int side_input;
  gboolean side_first;
  float clip_min, clip_max;
} LcipEpilogue;

/** LcipStep: an anchor operator with the tensors around it and its epilogues. Inputs of epilogues
 * follow those of the anchor. An absent optional input has type LCIP_TYPE_NONE.
 * @constants: per input the constant, or NULL when it is computed.
 * @n_together: for estimates: of so many frames a stream does the step at once where the kernel
 * sweeps; 0 is 1.
 * All borrowed. */
struct _LcipStep {
  const LcipOperator *op;
  const LcipAttrs *attrs;
  guint n_inputs;
  guint n_anchor_inputs;
  const LcipTensorSpec *inputs;
  LcipTensor *const *constants;
  guint n_outputs;
  LcipTensorSpec *outputs;
  guint n_epilogues;
  LcipEpilogue epilogues[LCIP_MAX_EPILOGUES];
  guint n_together;
};

/** lcip_step_has_input: input @i of the anchor exists and is not absent. Side inputs of epilogues,
 * which follow, are no inputs of the anchor. */
gboolean lcip_step_has_input(const LcipStep *step, guint i);
/** lcip_step_is: the anchor is @domain's @name. */
gboolean lcip_step_is(const LcipStep *step, const char *name);
/** lcip_step_infer: checks port counts and required attributes, then calls the operator's infer. */
gboolean lcip_step_infer(LcipStep *step, GError **error);

/* Set error (LCIP_ERROR_INVALID) and return FALSE: for infer functions. */
gboolean lcip_infer_fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
/** lcip_infer_expect: input @i has @type (LCIP_TYPE_NONE: any) and @rank (-1: any). */
gboolean lcip_infer_expect(const LcipStep *step, guint i, LcipType type, int rank, GError **error);

G_END_DECLS
