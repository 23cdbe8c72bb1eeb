#pragma once

#include "lcip-error.h"
#include "lcip-tensor.h"

#include <stdatomic.h>

G_BEGIN_DECLS

typedef enum { LCIP_TOKEN_DATA, LCIP_TOKEN_ERROR } LcipTokenStatus;

typedef struct _LcipTokenPool LcipTokenPool;
typedef struct _LcipToken LcipToken;

/** LcipToken: one tensor of one frame. Written by the thread that acquired it, immutable once it is
 * pushed; shared by reference. ERROR: the frame failed upstream, there is no data.
 * @tensor: the pool's buffer, one lent by a source, or NULL (a pulse, an alias).
 * @data: where the bytes lie. @ready_ns: when it was pushed; only while profiling. */
struct _LcipToken {
  _Atomic guint refs;
  LcipTokenStatus status;
  guint64 frame;
  guint64 epoch;
  gint64 timestamp_ns;
  gint64 ready_ns;
  LcipShape shape;
  void *data;
  /* owned */
  LcipTensor *tensor;
  LcipToken *parent;
  /* borrowed */
  LcipTokenPool *pool;
  LcipToken *next;
};

/** lcip_token_pool_new: tokens with buffers of @spec; NULL: tokens without a buffer of their own
 * (sources, aliases, pulses). Tokens are acquired by one thread at a time, released by any. The
 * pool grows when more are in flight than ever before; afterwards nothing is allocated. */
LcipTokenPool *lcip_token_pool_new(const LcipTensorSpec *spec);
/** lcip_token_pool_free: every token must be back. */
void lcip_token_pool_free(LcipTokenPool *pool);
/** lcip_token_pool_acquire: a token with one reference, status DATA, the planned shape and, where
 * the pool has buffers, one whose contents are undefined (zero when new). */
LcipToken *lcip_token_pool_acquire(LcipTokenPool *pool, GError **error);
/** lcip_token_pool_size: tokens made so far. */
guint lcip_token_pool_size(const LcipTokenPool *pool);

LcipToken *lcip_token_ref(LcipToken *token);
/** lcip_token_unref: the last one gives the token back to its pool. */
void lcip_token_unref(LcipToken *token);
/** lcip_token_lend: gives a token without a buffer the data and shape of @tensor (takes a
 * reference). */
void lcip_token_lend(LcipToken *token, LcipTensor *tensor);
/** lcip_token_alias: gives a token without a buffer the data of @parent under another shape. */
void lcip_token_alias(LcipToken *token, LcipToken *parent, const LcipShape *shape);

G_END_DECLS
