#include "config.h"
#include "lcip-test-relay.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNECTIONS 16
#define TICK_MS 5
#define LONG_TIME_US (30 * G_USEC_PER_SEC)

typedef struct {
  int client, target; /* -1: closed */
} Connection;

struct _LcipTestRelay {
  char *address;
  guint16 target_port; /* 0: none */
  int listener;
  GThread *thread;
  Connection connections[MAX_CONNECTIONS]; /* of the thread */
  double budget;
  gint64 budget_us;
  _Atomic guint n_taken, rate;
  _Atomic gboolean stop;
};

static int loopback_socket(struct sockaddr_in *address, guint16 port) {
  *address = (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint(fd, >=, 0);
  return fd;
}

static int connect_to(guint16 port) {
  struct sockaddr_in address;
  const int fd = loopback_socket(&address, port), one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
    return fd;
  close(fd);
  return -1;
}

static void take_connection(LcipTestRelay *relay) {
  const int fd = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);
  const guint index = atomic_load(&relay->n_taken);
  g_assert_cmpuint(index, <, MAX_CONNECTIONS);
  relay->connections[index] =
      (Connection){fd, relay->target_port ? connect_to(relay->target_port) : -1};
  atomic_fetch_add(&relay->n_taken, 1);
}

static void close_connection(Connection *connection) {
  if (connection->client >= 0)
    close(connection->client);
  if (connection->target >= 0)
    close(connection->target);
  *connection = (Connection){-1, -1};
}

/* FALSE when an end is closed. */
static gboolean hand_on(int from, int to, gsize most, gsize *done) {
  char buffer[65536];
  const gssize n = recv(from, buffer, MIN(most, sizeof buffer), MSG_DONTWAIT);
  *done = n > 0 ? (gsize)n : 0;
  return n > 0 && send(to, buffer, (gsize)n, MSG_NOSIGNAL) == n;
}

/* What may go to the target now. */
static gsize allowance(LcipTestRelay *relay) {
  const guint rate = atomic_load(&relay->rate);
  const gint64 now_us = g_get_monotonic_time();
  if (rate == 0)
    return G_MAXUINT;
  relay->budget = MIN(relay->budget + (double)rate * (double)(now_us - relay->budget_us) / 1e6,
                      (double)rate / 20);
  relay->budget_us = now_us;
  return (gsize)relay->budget;
}

static void serve(LcipTestRelay *relay, Connection *connection) {
  struct pollfd fds[] = {{.fd = connection->client, .events = POLLIN},
                         {.fd = connection->target, .events = POLLIN}};
  gboolean open = TRUE;
  gsize done;
  if (connection->target < 0 || poll(fds, 2, 0) <= 0)
    return;
  const gsize most = allowance(relay);
  if (fds[0].revents && most > 0) {
    open = hand_on(connection->client, connection->target, most, &done);
    relay->budget -= (double)done;
  }
  if (open && fds[1].revents)
    open = hand_on(connection->target, connection->client, G_MAXUINT, &done);
  if (!open)
    close_connection(connection);
}

static gpointer relay_main(gpointer data) {
  LcipTestRelay *relay = data;
  while (!atomic_load(&relay->stop)) {
    struct pollfd fds[MAX_CONNECTIONS * 2 + 1] = {{.fd = relay->listener, .events = POLLIN}};
    nfds_t n = 1;
    const gboolean is_slow = atomic_load(&relay->rate) > 0;
    for (guint i = 0; i < atomic_load(&relay->n_taken); i++) {
      const Connection *c = &relay->connections[i];
      if (c->target < 0)
        continue;
      fds[n++] = (struct pollfd){.fd = is_slow ? -1 : c->client, .events = POLLIN};
      fds[n++] = (struct pollfd){.fd = c->target, .events = POLLIN};
    }
    poll(fds, n, TICK_MS);
    if (fds[0].revents)
      take_connection(relay);
    for (guint i = 0; i < atomic_load(&relay->n_taken); i++)
      serve(relay, &relay->connections[i]);
  }
  return NULL;
}

LcipTestRelay *lcip_test_relay_new(const char *target) {
  LcipTestRelay *relay = g_new0(LcipTestRelay, 1);
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  relay->listener = loopback_socket(&address, 0);
  g_assert_cmpint(bind(relay->listener, (const struct sockaddr *)&address, sizeof address), ==, 0);
  g_assert_cmpint(listen(relay->listener, MAX_CONNECTIONS), ==, 0);
  g_assert_cmpint(getsockname(relay->listener, (struct sockaddr *)&address, &length), ==, 0);
  relay->address = g_strdup_printf("tcp://127.0.0.1:%u", (guint)ntohs(address.sin_port));
  if (target)
    relay->target_port = (guint16)g_ascii_strtoull(strrchr(target, ':') + 1, NULL, 10);
  relay->thread = g_thread_new("relay", relay_main, relay);
  return relay;
}

void lcip_test_relay_free(LcipTestRelay *relay) {
  atomic_store(&relay->stop, TRUE);
  g_thread_join(relay->thread);
  for (guint i = 0; i < atomic_load(&relay->n_taken); i++)
    close_connection(&relay->connections[i]);
  close(relay->listener);
  g_free(relay->address);
  g_free(relay);
}

const char *lcip_test_relay_address(LcipTestRelay *relay) {
  return relay->address;
}

void lcip_test_relay_set_rate(LcipTestRelay *relay, guint bytes_per_second) {
  atomic_store(&relay->rate, bytes_per_second);
}

void lcip_test_relay_wait(LcipTestRelay *relay, guint n) {
  const gint64 end_us = g_get_monotonic_time() + LONG_TIME_US;
  while (atomic_load(&relay->n_taken) < n) {
    g_assert_cmpint(g_get_monotonic_time(), <, end_us);
    g_usleep(1000);
  }
}
