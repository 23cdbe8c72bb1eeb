#include "config.h"
#include "lcip-token-private.h"

/* @returned is a stack that any thread pushes to; the one thread that acquires takes it whole into
 * @spare, so that the usual trouble of lock-free stacks (a head that comes back) cannot happen. */
struct _LcipTokenPool {
  gboolean has_buffers;
  LcipTensorSpec spec;
  guint n_tokens;
  /* owned */
  LcipToken *spare;
  _Atomic(LcipToken *) returned;
};

LcipTokenPool *lcip_token_pool_new(const LcipTensorSpec *spec) {
  LcipTokenPool *pool = g_new0(LcipTokenPool, 1);
  pool->has_buffers = spec != NULL;
  if (spec)
    pool->spec = *spec;
  atomic_init(&pool->returned, NULL);
  return pool;
}

static void free_list(LcipToken *token, guint *n) {
  while (token) {
    LcipToken *next = token->next;
    g_clear_pointer(&token->tensor, lcip_tensor_unref);
    g_free(token);
    (*n)++;
    token = next;
  }
}

void lcip_token_pool_free(LcipTokenPool *pool) {
  guint n = 0;
  if (!pool)
    return;
  free_list(pool->spare, &n);
  free_list(atomic_exchange(&pool->returned, NULL), &n);
  g_warn_if_fail(n == pool->n_tokens);
  g_free(pool);
}

guint lcip_token_pool_size(const LcipTokenPool *pool) {
  return pool->n_tokens;
}

static LcipToken *pool_take(LcipTokenPool *pool) {
  if (!pool->spare)
    pool->spare = atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
  LcipToken *token = pool->spare;
  if (token) {
    pool->spare = token->next;
    return token;
  }
  token = g_new0(LcipToken, 1);
  token->pool = pool;
  pool->n_tokens++;
  return token;
}

static void pool_give(LcipTokenPool *pool, LcipToken *token) {
  LcipToken *head = atomic_load_explicit(&pool->returned, memory_order_relaxed);
  do
    token->next = head;
  while (!atomic_compare_exchange_weak_explicit(&pool->returned, &head, token, memory_order_release,
                                                memory_order_relaxed));
}

/* A buffer that somebody kept (a sink's tensor) is theirs now; the token gets another. */
static gboolean token_ensure_buffer(LcipToken *token, GError **error) {
  const LcipTensorSpec *spec = &token->pool->spec;
  if (token->tensor && lcip_tensor_is_shared(token->tensor))
    g_clear_pointer(&token->tensor, lcip_tensor_unref);
  if (!token->tensor)
    token->tensor = lcip_tensor_new(spec);
  if (!token->tensor) {
    g_autofree char *text = lcip_tensor_spec_to_string(spec);
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_MEMORY, "no memory for a token of %s", text);
    return FALSE;
  }
  token->data = lcip_tensor_get_mutable(token->tensor);
  token->shape = spec->shape;
  return TRUE;
}

LcipToken *lcip_token_pool_acquire(LcipTokenPool *pool, GError **error) {
  LcipToken *token = pool_take(pool);
  token->status = LCIP_TOKEN_DATA;
  token->next = NULL;
  atomic_store_explicit(&token->refs, 1, memory_order_relaxed);
  if (pool->has_buffers && !token_ensure_buffer(token, error)) {
    pool_give(pool, token);
    return NULL;
  }
  return token;
}

LcipToken *lcip_token_ref(LcipToken *token) {
  atomic_fetch_add_explicit(&token->refs, 1, memory_order_relaxed);
  return token;
}

void lcip_token_unref(LcipToken *token) {
  if (atomic_fetch_sub_explicit(&token->refs, 1, memory_order_acq_rel) != 1)
    return;
  if (!token->pool->has_buffers) {
    g_clear_pointer(&token->tensor, lcip_tensor_unref);
    g_clear_pointer(&token->parent, lcip_token_unref);
    token->data = NULL;
  }
  pool_give(token->pool, token);
}

void lcip_token_lend(LcipToken *token, LcipTensor *tensor) {
  token->tensor = lcip_tensor_ref(tensor);
  token->data = (void *)lcip_tensor_get_data(tensor);
  token->shape = *lcip_tensor_get_shape(tensor);
}

void lcip_token_alias(LcipToken *token, LcipToken *parent, const LcipShape *shape) {
  token->parent = lcip_token_ref(parent);
  token->data = parent->data;
  token->shape = *shape;
}
