#include "config.h"
#include "lcip-resolve.h"

#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

/** Name: one that is or was looked up; never freed. */
typedef struct {
  char *host;
  char *numeric; /* what was found last, or NULL */
  char *problem; /* why the last look-up failed, or NULL */
  gboolean is_pending;
} Name;

static GMutex mutex;
static GCond cond;
static GHashTable *names; /* host -> Name */

static char *to_text(const struct addrinfo *info) {
  char host[NI_MAXHOST];
  if (getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
    return NULL;
  return info->ai_family == AF_INET6 ? g_strdup_printf("[%s]", host) : g_strdup(host);
}

static char *look_up(const char *host, int flags, int *result) {
  const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
  struct addrinfo *list = NULL;
  *result = getaddrinfo(host, NULL, &hints, &list);
  char *text = *result == 0 && list ? to_text(list) : NULL;
  if (list)
    freeaddrinfo(list);
  return text;
}

static gpointer look_up_main(gpointer data) {
  Name *name = data;
  int result;
  char *numeric = look_up(name->host, AI_ADDRCONFIG, &result);
  g_mutex_lock(&mutex);
  if (numeric) {
    g_free(name->numeric);
    name->numeric = numeric;
  }
  g_free(name->problem);
  name->problem = numeric ? NULL : g_strdup(result ? gai_strerror(result) : "no address");
  name->is_pending = FALSE;
  g_cond_broadcast(&cond);
  g_mutex_unlock(&mutex);
  return NULL;
}

static Name *find_locked(const char *host) {
  if (!names)
    names = g_hash_table_new(g_str_hash, g_str_equal);
  Name *name = g_hash_table_lookup(names, host);
  if (!name) {
    name = g_new0(Name, 1);
    name->host = g_strdup(host);
    g_hash_table_insert(names, name->host, name);
  }
  return name;
}

static void start_locked(Name *name) {
  if (name->is_pending)
    return;
  GThread *thread = g_thread_try_new("look-up", look_up_main, name, NULL);
  name->is_pending = thread != NULL;
  g_clear_pointer(&thread, g_thread_unref);
}

/* Under the lock, so that it does not fall between looking and waiting. */
static void on_cancelled(GCancellable *cancellable, gpointer data) {
  g_mutex_lock(&mutex);
  g_cond_broadcast(&cond);
  g_mutex_unlock(&mutex);
}

static char *find_numeric(const char *host, GCancellable *cancellable, GError **error) {
  const gint64 end_us = g_get_monotonic_time() + LCIP_RESOLVE_WAIT_NS / 1000;
  const gulong id =
      cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(on_cancelled), NULL, NULL) : 0;
  g_mutex_lock(&mutex);
  Name *name = find_locked(host);
  start_locked(name);
  while (!name->numeric && name->is_pending && !g_cancellable_is_cancelled(cancellable) &&
         g_cond_wait_until(&cond, &mutex, end_us))
    ;
  char *numeric = g_strdup(name->numeric);
  if (!numeric)
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST, "%s: the name is not known: %s",
                host, name->problem ? name->problem : "no answer yet");
  g_mutex_unlock(&mutex);
  g_cancellable_disconnect(cancellable, id);
  return numeric;
}

char *lcip_resolve(const char *address, GCancellable *cancellable, GError **error) {
  const char *start = strstr(address, "://"), *colon = strrchr(address, ':');
  int result;
  if (!start || colon <= start + 3 || start[3] == '[')
    return g_strdup(address);
  g_autofree char *host = g_strndup(start + 3, (gsize)(colon - start - 3));
  g_autofree char *literal = look_up(host, AI_NUMERICHOST, &result);
  if (literal)
    return g_strdup(address);
  g_autofree char *numeric = find_numeric(host, cancellable, error);
  return numeric ? g_strdup_printf("tcp://%s%s", numeric, colon) : NULL;
}
