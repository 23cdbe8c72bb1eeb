#pragma once

#include "lcip-io-private.h"

G_BEGIN_DECLS

/* An ONNX model is a protobuf message (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). It
 * is read in three passes: the messages as they stand (lcip-onnx-model.c, lcip-onnx-tensor.c), the
 * nodes rewritten to opset 21's form (lcip-onnx-opset.c), and the graph made of them
 * (lcip-onnx-read.c). */

/** LcipOnnxWire: the rest of a message: bytes from @at to @end of the file. */
typedef struct {
  const char *path;
  const guint8 *base;
  gsize at, end;
} LcipOnnxWire;

typedef enum {
  LCIP_WIRE_VARINT = 0,
  LCIP_WIRE_64 = 1,
  LCIP_WIRE_BYTES = 2,
  LCIP_WIRE_32 = 5
} LcipWireType;

/** LcipOnnxField: @value holds a varint or the bits of a fixed number; @bytes the extent of a
 * string, message or packed list. @offset: where the field begins. */
typedef struct {
  guint32 number;
  LcipWireType type;
  gsize offset;
  guint64 value;
  LcipOnnxWire bytes;
} LcipOnnxField;

/** lcip_onnx_next: the next field. FALSE at the end, or with @error set for damage. */
gboolean lcip_onnx_next(LcipOnnxWire *wire, LcipOnnxField *field, GError **error);
/** lcip_onnx_expect: the field is of wire type @type. */
gboolean lcip_onnx_expect(const LcipOnnxField *field, LcipWireType type, const char *what,
                          GError **error);
/** lcip_onnx_string: the bytes as text for names: valid UTF-8 that XML can hold. */
gboolean lcip_onnx_string(const LcipOnnxField *field, const char *what, char **text,
                          GError **error);
/** lcip_onnx_ints: appends one number, or all of a packed list, to @list of gint64. */
gboolean lcip_onnx_ints(const LcipOnnxField *field, const char *what, GArray *list, GError **error);
/** lcip_onnx_fixed: the same for floats (@size 4) and doubles (@size 8). */
gboolean lcip_onnx_fixed(const LcipOnnxField *field, const char *what, gsize size, GArray *list,
                         GError **error);

/** LcipOnnxAttr: @value is what the graph can keep, NULL type for what it cannot: @unsupported
 * then says what it is. */
typedef struct {
  char *name;
  LcipAttrType type;
  const char *unsupported; /* static, or NULL */
  GArray *ints;            /* gint64 */
  GArray *floats;          /* float */
  GPtrArray *strings;
  LcipTensor *tensor;
} LcipOnnxAttr;

typedef struct {
  gsize offset;
  char *name;
  char *op_type;
  char *domain;
  GPtrArray *inputs;  /* char*, "" for an absent one */
  GPtrArray *outputs; /* char* */
  GPtrArray *attrs;   /* LcipOnnxAttr */
} LcipOnnxNode;

/** LcipOnnxValue: a declared input, output or inner value. @rank -1 without a shape. */
typedef struct {
  char *name;
  gint64 elem_type; /* TensorProto.DataType, 0 for none */
  int rank;         /* may be over LCIP_MAX_RANK; dims holds the first ones */
  gint64 dims[LCIP_MAX_RANK];
  char *dim_names[LCIP_MAX_RANK];
  gboolean not_tensor;
} LcipOnnxValue;

/** LcipOnnxMissing: external data that can't be had: @location as the model has it, @why, and the
 * @names of the tensors that lie there. */
typedef struct {
  char *location;
  char *why;
  GPtrArray *names;
} LcipOnnxMissing;

typedef struct {
  const char *path; /* borrowed */
  GBytes *bytes;
  char *folder;
  GHashTable *external; /* location -> GBytes */
  GPtrArray *missing;   /* LcipOnnxMissing, by location */
  GPtrArray *problems;  /* borrowed */
  gint64 ir_version;
  GHashTable *opsets; /* domain -> version */
  int opset;          /* of the default domain */
  char *graph_name;
  char *doc;
  GPtrArray *nodes;         /* LcipOnnxNode */
  GPtrArray *inputs;        /* LcipOnnxValue */
  GPtrArray *outputs;       /* LcipOnnxValue */
  GHashTable *values;       /* name -> rank + 1 as pointer */
  GHashTable *initializers; /* name -> LcipTensor, or NULL for one that LCIP cannot hold */
  gboolean widened;         /* something was converted to f32 */
} LcipOnnxModel;

/** lcip_onnx_model_new: the model as it stands in the file, and everything that LCIP can't read in
 * it added to the problems. */
LcipOnnxModel *lcip_onnx_model_new(const char *path, GBytes *bytes, GPtrArray *problems,
                                   GError **error);
void lcip_onnx_model_free(LcipOnnxModel *model);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipOnnxModel, lcip_onnx_model_free)
/** lcip_onnx_type: an element type as LCIP has it, f16, bf16 and f64 widened or narrowed to f32;
 * LCIP_TYPE_NONE where there is none. */
LcipType lcip_onnx_type(gint64 elem_type);
const char *lcip_onnx_type_name(gint64 elem_type);
GPtrArray *lcip_onnx_missing_new(void);
/** lcip_onnx_tensor: a TensorProto. *@tensor stays NULL where LCIP can't hold it (@elem_type) or
 * its external data is not there (added to the model's missing ones); @name tells which (transfer
 * full). */
gboolean lcip_onnx_tensor(LcipOnnxModel *model, const LcipOnnxField *whole, char **name,
                          LcipTensor **tensor, gint64 *elem_type, GError **error);

LcipOnnxNode *lcip_onnx_node_new(const char *op_type);
void lcip_onnx_node_free(LcipOnnxNode *node);
LcipOnnxAttr *lcip_onnx_node_attr(const LcipOnnxNode *node, const char *name);
void lcip_onnx_node_remove_attr(LcipOnnxNode *node, const char *name);
/** lcip_onnx_node_add_int, lcip_onnx_node_add_string: adds an attribute. */
void lcip_onnx_node_add_int(LcipOnnxNode *node, const char *name, gint64 value);
void lcip_onnx_node_add_string(LcipOnnxNode *node, const char *name, const char *value);

/** lcip_onnx_modernise: rewrites the nodes of older opsets to opset 21's form and takes Constant
 * nodes away as initializers. */
void lcip_onnx_modernise(LcipOnnxModel *model);

G_END_DECLS
