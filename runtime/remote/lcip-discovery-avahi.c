#include "config.h"
#include "lcip-discovery.h"
#include "lcip-io-private.h"

#include <avahi-client/client.h>
#include <avahi-client/lookup.h>
#include <avahi-client/publish.h>
#include <avahi-common/alternative.h>
#include <avahi-common/domain.h>
#include <avahi-common/error.h>
#include <avahi-common/malloc.h>
#include <avahi-common/simple-watch.h>
#include <avahi-common/thread-watch.h>
#include <net/if.h>
#include <string.h>

/* How long one turn waits before it looks whether it was cancelled. */
#define TURN_MS 50

static gpointer fail(GError **error, int code) {
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST,
              "Avahi, which finds workers on the network: %s", avahi_strerror(code));
  return NULL;
}

/* ---- finding ---- */

typedef struct {
  AvahiSimplePoll *poll;
  AvahiClient *client;
  GPtrArray *found;
  guint n_pending; /* names that are being looked up */
  gboolean listed; /* the browser has told all that it knows of */
  int problem;     /* Avahi's code, or 0 */
} Search;

static void found_worker_free(gpointer data) {
  LcipFoundWorker *worker = data;
  g_free(worker->name);
  g_free(worker->address);
  g_free(worker);
}

/* IPv6 addresses of one link alone mean nothing without the name of an interface. */
static gboolean is_usable(const AvahiAddress *address) {
  const guint8 *six = address->data.ipv6.address;
  return address->proto == AVAHI_PROTO_INET || (six[0] & 0xfe) != 0xfe;
}

static gboolean is_listed(const GPtrArray *found, const char *address) {
  for (guint i = 0; i < found->len; i++)
    if (g_str_equal(((const LcipFoundWorker *)found->pdata[i])->address, address))
      return TRUE;
  return FALSE;
}

static void add_found(Search *search, const char *name, const AvahiAddress *address, guint port) {
  char text[AVAHI_ADDRESS_STR_MAX];
  if (!is_usable(address) || port == 0 || search->found->len == LCIP_DISCOVERY_MAX)
    return;
  avahi_address_snprint(text, sizeof text, address);
  const gboolean is_six = address->proto == AVAHI_PROTO_INET6;
  g_autofree char *where =
      g_strdup_printf("tcp://%s%s%s:%u", is_six ? "[" : "", text, is_six ? "]" : "", port);
  if (is_listed(search->found, where))
    return;
  LcipFoundWorker *worker = g_new0(LcipFoundWorker, 1);
  worker->name = lcip_io_clean_text(name, -1);
  worker->address = g_steal_pointer(&where);
  g_strdelimit(worker->name, "\r\n\t", ' ');
  g_ptr_array_add(search->found, worker);
}

static void on_resolved(AvahiServiceResolver *resolver, AvahiIfIndex interface,
                        AvahiProtocol protocol, AvahiResolverEvent event, const char *name,
                        const char *type, const char *domain, const char *host,
                        const AvahiAddress *address, uint16_t port, AvahiStringList *text,
                        AvahiLookupResultFlags flags, void *data) {
  Search *search = data;
  if (event == AVAHI_RESOLVER_FOUND)
    add_found(search, name, address, port);
  search->n_pending--;
  avahi_service_resolver_free(resolver);
}

static void on_browsed(AvahiServiceBrowser *browser, AvahiIfIndex interface, AvahiProtocol protocol,
                       AvahiBrowserEvent event, const char *name, const char *type,
                       const char *domain, AvahiLookupResultFlags flags, void *data) {
  Search *search = data;
  if (event == AVAHI_BROWSER_ALL_FOR_NOW)
    search->listed = TRUE;
  if (event == AVAHI_BROWSER_FAILURE)
    search->problem = avahi_client_errno(search->client);
  if (event == AVAHI_BROWSER_NEW && search->n_pending < 4 * LCIP_DISCOVERY_MAX &&
      avahi_service_resolver_new(search->client, interface, protocol, name, type, domain,
                                 AVAHI_PROTO_UNSPEC, 0, on_resolved, search))
    search->n_pending++;
}

static void on_client_state(AvahiClient *client, AvahiClientState state, void *data) {
  Search *search = data;
  if (state == AVAHI_CLIENT_FAILURE)
    search->problem = avahi_client_errno(client);
}

static gboolean is_over(const Search *search, gint64 end_us, GCancellable *cancellable) {
  return (search->listed && search->n_pending == 0) || search->problem != 0 ||
         g_get_monotonic_time() >= end_us || g_cancellable_is_cancelled(cancellable);
}

static void search_network(Search *search, GCancellable *cancellable) {
  const gint64 end_us = g_get_monotonic_time() + LCIP_DISCOVERY_WAIT_NS / 1000;
  search->client = avahi_client_new(avahi_simple_poll_get(search->poll), 0, on_client_state, search,
                                    &search->problem);
  if (!search->client)
    return;
  AvahiServiceBrowser *browser =
      avahi_service_browser_new(search->client, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC,
                                LCIP_DISCOVERY_TYPE, NULL, 0, on_browsed, search);
  if (!browser)
    search->problem = avahi_client_errno(search->client);
  while (!is_over(search, end_us, cancellable))
    if (avahi_simple_poll_iterate(search->poll, TURN_MS) != 0)
      break;
  avahi_client_free(search->client); /* and what was made of it */
}

GPtrArray *lcip_discover(GCancellable *cancellable, GError **error) {
  Search search = {.poll = avahi_simple_poll_new()};
  g_autoptr(GPtrArray) found = search.found = g_ptr_array_new_with_free_func(found_worker_free);
  if (!search.poll)
    return fail(error, AVAHI_ERR_NO_MEMORY);
  search_network(&search, cancellable);
  avahi_simple_poll_free(search.poll);
  if (g_cancellable_set_error_if_cancelled(cancellable, error))
    return NULL;
  return search.problem ? fail(error, search.problem) : g_steal_pointer(&found);
}

/* ---- announcing: on a thread of Avahi's ---- */

struct _LcipAnnouncement {
  AvahiThreadedPoll *poll;
  AvahiClient *client;
  AvahiEntryGroup *group;
  char *name; /* Avahi's own allocation */
  guint16 port;
};

static void publish(LcipAnnouncement *a);

/* Somebody else on the network has that name. */
static void take_another_name(LcipAnnouncement *a) {
  char *other = avahi_alternative_service_name(a->name);
  avahi_free(a->name);
  a->name = other;
  avahi_entry_group_reset(a->group);
  publish(a);
}

static void on_group_state(AvahiEntryGroup *group, AvahiEntryGroupState state, void *data) {
  LcipAnnouncement *a = data;
  a->group = group;
  if (state == AVAHI_ENTRY_GROUP_COLLISION)
    take_another_name(a);
}

static void publish(LcipAnnouncement *a) {
  if (!a->group)
    a->group = avahi_entry_group_new(a->client, on_group_state, a);
  if (!a->group || !avahi_entry_group_is_empty(a->group))
    return;
  const int result =
      avahi_entry_group_add_service(a->group, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, 0, a->name,
                                    LCIP_DISCOVERY_TYPE, NULL, NULL, a->port, NULL);
  if (result == AVAHI_ERR_COLLISION)
    take_another_name(a);
  else if (result == 0)
    avahi_entry_group_commit(a->group);
}

static void announce_state(AvahiClient *client, AvahiClientState state, void *data) {
  LcipAnnouncement *a = data;
  a->client = client;
  if (state == AVAHI_CLIENT_S_RUNNING)
    publish(a);
  else if (a->group && (state == AVAHI_CLIENT_S_COLLISION || state == AVAHI_CLIENT_S_REGISTERING))
    avahi_entry_group_reset(a->group);
}

static gboolean find_port(const char *address, guint16 *port, GError **error) {
  const char *colon = strrchr(address, ':');
  guint64 number;
  if (!g_str_has_prefix(address, "tcp://") ||
      !g_ascii_string_to_unsigned(colon + 1, 10, 1, 65535, &number, NULL)) {
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_PROTOCOL,
                "expected an address tcp://HOST:PORT to announce, found '%s'", address);
    return FALSE;
  }
  *port = (guint16)number;
  if (!g_str_has_prefix(address, "tcp://127.") && !g_str_has_prefix(address, "tcp://[::1]"))
    return TRUE;
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_PROTOCOL,
              "%s: other machines cannot reach it, so it is not announced", address);
  return FALSE;
}

/* A service's name is a label of DNS, at most 63 bytes. */
static char *service_name(void) {
  g_autofree char *wish = g_strdup_printf("LCIP on %s", g_get_host_name());
  g_autofree char *clean = lcip_io_clean_text(wish, -1);
  while (strlen(clean) >= AVAHI_LABEL_MAX)
    *g_utf8_prev_char(clean + strlen(clean)) = 0;
  return avahi_strdup(clean);
}

LcipAnnouncement *lcip_announce(const char *address, GError **error) {
  guint16 port;
  int code = AVAHI_ERR_NO_MEMORY;
  if (!find_port(address, &port, error))
    return NULL;
  LcipAnnouncement *a = g_new0(LcipAnnouncement, 1);
  a->port = port;
  a->name = service_name();
  a->poll = avahi_threaded_poll_new();
  if (a->poll)
    a->client = avahi_client_new(avahi_threaded_poll_get(a->poll), AVAHI_CLIENT_NO_FAIL,
                                 announce_state, a, &code);
  if (a->client && avahi_threaded_poll_start(a->poll) == 0)
    return a;
  lcip_announcement_free(a);
  return fail(error, code);
}

/* What it announced goes with the client. */
void lcip_announcement_free(LcipAnnouncement *a) {
  if (a->poll)
    avahi_threaded_poll_stop(a->poll);
  g_clear_pointer(&a->client, avahi_client_free);
  g_clear_pointer(&a->poll, avahi_threaded_poll_free);
  avahi_free(a->name);
  g_free(a);
}
