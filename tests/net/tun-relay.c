#include <glib.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A bad network of our own: two TUN devices, each in a network namespace, and between them delay,
 * jitter, loss and a link that can be cut, all changeable while it runs. A kernel without netem is
 * enough.
 *
 *   tun-relay CONTROL SEED NETNS:DEVICE NETNS:DEVICE    NETNS is a path such as /proc/123/ns/net
 *   tun-relay set CONTROL WORD...                       delay=MS jitter=MS loss=PERCENT cut join
 * stats
 *
 * CONTROL is the path of a socket that the first form makes and the second one sends its words to.
 * Each word concerns both directions; a delay is one way. Packets keep their order.
 */

/* MAX_PACKET: a TCP packet that the kernel has yet to cut into segments, with its head.
 * MAX_QUEUE_BYTES: what a direction holds; 1 Gbit/s for 0.5 s. More is dropped, as routers do. */
#define MAX_PACKET 65600
#define MAX_QUEUE_BYTES (64 * 1024 * 1024)
#define MAX_REPLY 512

typedef struct {
  gint64 due_ns;
  gsize size_bytes;
  guint8 bytes[];
} Packet;

/* Direction: from @in to the other device's @out. */
typedef struct {
  int in, out;
  GQueue queue; /* Packet */
  gsize queued_bytes;
  gint64 last_due_ns;
  guint64 passed, lost, overflowed, cut;
} Direction;

typedef struct {
  Direction directions[2];
  GRand *random;
  double delay_ms, jitter_ms, loss;
  gboolean is_cut;
  int control;
  int signals;
} Relay;

static gint64 now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (gint64)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- devices ---- */

/* Whole TCP packets cost one read for 64 KB; but loss must hit single packets as on a wire. */
static gboolean set_offload(const Relay *relay, int device) {
  const unsigned int offload = relay->loss > 0 ? 0 : TUN_F_CSUM | TUN_F_TSO4;
  return ioctl(device, TUNSETOFFLOAD, offload) == 0;
}

/* A device belongs to the namespace in which /dev/net/tun was opened. */
static int open_device(const char *what, GError **error) {
  const char *colon = strrchr(what, ':');
  g_autofree char *path = colon ? g_strndup(what, (gsize)(colon - what)) : NULL;
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
  const int space = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  const gboolean entered = space >= 0 && setns(space, CLONE_NEWNET) == 0;
  if (space >= 0)
    close(space);
  const int device = entered ? open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC) : -1;
  if (colon)
    g_strlcpy(request.ifr_name, colon + 1, sizeof request.ifr_name);
  if (device >= 0 && ioctl(device, TUNSETIFF, &request) == 0)
    return device;
  g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "%s: %s: %s", what,
              device >= 0 ? "no TUN device"
              : entered   ? "/dev/net/tun"
                          : "namespace",
              g_strerror(errno));
  return -1;
}

/* ---- packets ---- */

static gint64 due_ns(Relay *relay, Direction *direction) {
  double delay_ms = relay->delay_ms;
  if (relay->jitter_ms > 0)
    delay_ms += g_rand_double_range(relay->random, -relay->jitter_ms, relay->jitter_ms);
  const gint64 due = now_ns() + (gint64)(MAX(delay_ms, 0) * 1e6);
  direction->last_due_ns = MAX(due, direction->last_due_ns);
  return direction->last_due_ns;
}

static void enqueue(Relay *relay, Direction *direction, const guint8 *bytes, gsize size_bytes) {
  if (relay->is_cut) {
    direction->cut++;
  } else if (relay->loss > 0 && g_rand_double(relay->random) < relay->loss) {
    direction->lost++;
  } else if (direction->queued_bytes + size_bytes > MAX_QUEUE_BYTES) {
    direction->overflowed++;
  } else {
    Packet *packet = g_malloc(sizeof *packet + size_bytes);
    packet->due_ns = due_ns(relay, direction);
    packet->size_bytes = size_bytes;
    memcpy(packet->bytes, bytes, size_bytes);
    g_queue_push_tail(&direction->queue, packet);
    direction->queued_bytes += size_bytes;
  }
}

static void read_packets(Relay *relay, Direction *direction) {
  guint8 bytes[MAX_PACKET];
  /* Bounded, so that a flood of one direction does not starve the other. */
  for (int i = 0; i < 64; i++) {
    const ssize_t size_bytes = read(direction->in, bytes, sizeof bytes);
    if (size_bytes <= 0)
      return;
    enqueue(relay, direction, bytes, (gsize)size_bytes);
  }
}

static void pop(Direction *direction) {
  Packet *packet = g_queue_pop_head(&direction->queue);
  direction->queued_bytes -= packet->size_bytes;
  g_free(packet);
}

/* A device that refuses a packet (its host is not up yet) loses it. */
static void write_due_packets(Direction *direction) {
  const gint64 now = now_ns();
  for (;;) {
    const Packet *packet = g_queue_peek_head(&direction->queue);
    if (!packet || packet->due_ns > now)
      return;
    if (write(direction->out, packet->bytes, packet->size_bytes) == (ssize_t)packet->size_bytes)
      direction->passed++;
    else
      direction->overflowed++;
    pop(direction);
  }
}

/* What is on a cable that is cut is gone. */
static void cut(Relay *relay) {
  relay->is_cut = TRUE;
  for (int i = 0; i < 2; i++)
    while (!g_queue_is_empty(&relay->directions[i].queue)) {
      relay->directions[i].cut++;
      pop(&relay->directions[i]);
    }
}

/* ---- control ---- */

static gboolean parse_number(const char *word, const char *key, double max, double *value) {
  char *end;
  if (!g_str_has_prefix(word, key))
    return FALSE;
  const double number = g_ascii_strtod(word + strlen(key), &end);
  if (end == word + strlen(key) || *end || !(number >= 0 && number <= max))
    return FALSE;
  *value = number;
  return TRUE;
}

static gboolean obey(Relay *relay, const char *word) {
  double percent;
  if (strcmp(word, "cut") == 0) {
    cut(relay);
  } else if (strcmp(word, "join") == 0) {
    relay->is_cut = FALSE;
  } else if (parse_number(word, "loss=", 100, &percent)) {
    relay->loss = percent / 100;
    return set_offload(relay, relay->directions[0].in) &&
           set_offload(relay, relay->directions[1].in);
  } else {
    return strcmp(word, "stats") == 0 || parse_number(word, "delay=", 60000, &relay->delay_ms) ||
           parse_number(word, "jitter=", 60000, &relay->jitter_ms);
  }
  return TRUE;
}

static char *stats(const Relay *relay) {
  const Direction *there = &relay->directions[0], *back = &relay->directions[1];
  return g_strdup_printf("passed %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
                         " lost %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
                         " overflowed %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
                         " cut %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
                         there->passed, back->passed, there->lost, back->lost, there->overflowed,
                         back->overflowed, there->cut, back->cut);
}

static void serve_control(Relay *relay) {
  char text[MAX_REPLY];
  const struct timeval patience = {.tv_sec = 1};
  const int client = accept4(relay->control, NULL, NULL, SOCK_CLOEXEC);
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const ssize_t size = recv(client, text, sizeof text - 1, 0);
  text[MAX(size, 0)] = '\0';
  g_auto(GStrv) words = g_strsplit(g_strstrip(text), " ", -1);
  g_autofree char *reply = NULL;
  for (guint i = 0; words[i] && !reply; i++)
    if (!obey(relay, words[i]))
      reply = g_strdup_printf("wrong: %s", words[i]);
  if (!reply)
    reply = stats(relay);
  send(client, reply, strlen(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
  close(client);
}

static gboolean control_address(const char *path, struct sockaddr_un *address) {
  address->sun_family = AF_UNIX;
  return g_strlcpy(address->sun_path, path, sizeof address->sun_path) < sizeof address->sun_path;
}

static int open_control(const char *path, GError **error) {
  struct sockaddr_un address = {0};
  const int control = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (control_address(path, &address) &&
      bind(control, (struct sockaddr *)&address, sizeof address) == 0 && listen(control, 8) == 0)
    return control;
  g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "%s: %s", path,
              g_strerror(errno));
  return -1;
}

/* ---- the relay ---- */

static gint64 next_due_ns(const Relay *relay) {
  gint64 next = G_MAXINT64;
  for (int i = 0; i < 2; i++) {
    const Packet *packet = g_queue_peek_head((GQueue *)&relay->directions[i].queue);
    if (packet)
      next = MIN(next, packet->due_ns);
  }
  return next;
}

static gboolean wait_for_work(Relay *relay, struct pollfd fds[4]) {
  const gint64 next = next_due_ns(relay);
  const gint64 now = now_ns();
  const gint64 pause = MAX(next - now, 0);
  const struct timespec timeout = {pause / 1000000000, pause % 1000000000};
  if (ppoll(fds, 4, next == G_MAXINT64 ? NULL : &timeout, NULL) < 0 && errno != EINTR)
    return FALSE;
  return !(fds[3].revents & POLLIN); /* a signal to end */
}

static void relay_packets(Relay *relay) {
  struct pollfd fds[4] = {{relay->directions[0].in, POLLIN, 0},
                          {relay->directions[1].in, POLLIN, 0},
                          {relay->control, POLLIN, 0},
                          {relay->signals, POLLIN, 0}};
  while (wait_for_work(relay, fds)) {
    for (int i = 0; i < 2; i++) {
      if (fds[i].revents & POLLIN)
        read_packets(relay, &relay->directions[i]);
      write_due_packets(&relay->directions[i]);
    }
    if (fds[2].revents & POLLIN)
      serve_control(relay);
  }
}

static int signals_to_end(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  return signalfd(-1, &set, SFD_CLOEXEC);
}

static gboolean run(const char *path, guint32 seed, char **devices, GError **error) {
  Relay relay = {.random = g_rand_new_with_seed(seed), .signals = signals_to_end()};
  const int left = open_device(devices[0], error);
  const int right = left < 0 ? -1 : open_device(devices[1], error);
  relay.directions[0] = (Direction){.in = left, .out = right};
  relay.directions[1] = (Direction){.in = right, .out = left};
  relay.control = right < 0 ? -1 : open_control(path, error);
  const gboolean ok = relay.control >= 0;
  if (ok && (!set_offload(&relay, left) || !set_offload(&relay, right)))
    g_printerr("tun-relay: this kernel gives no whole TCP packets; high rates will be slow\n");
  prctl(PR_SET_TIMERSLACK, 1UL);
  if (ok)
    relay_packets(&relay);
  if (ok)
    unlink(path);
  cut(&relay); /* frees the packets */
  g_rand_free(relay.random);
  return ok;
}

/* ---- the other end of the control socket ---- */

static gboolean send_words(const char *path, char **words, GError **error) {
  char reply[MAX_REPLY] = "";
  struct sockaddr_un address = {0};
  const struct timeval patience = {.tv_sec = 5};
  g_autofree char *text = g_strjoinv(" ", words);
  const int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const gboolean ok = control_address(path, &address) &&
                      connect(sock, (struct sockaddr *)&address, sizeof address) == 0 &&
                      send(sock, text, strlen(text), 0) >= 0 &&
                      recv(sock, reply, sizeof reply - 1, 0) >= 0;
  const gboolean refused = g_str_has_prefix(reply, "wrong");
  if (!ok || refused)
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s: %s", path,
                refused ? reply : g_strerror(errno));
  else
    g_print("%s\n", reply);
  close(sock);
  return ok && !refused;
}

int main(int argc, char **argv) {
  g_autoptr(GError) error = NULL;
  guint64 seed = 0;
  gboolean ok;
  if (argc >= 4 && strcmp(argv[1], "set") == 0) {
    ok = send_words(argv[2], argv + 3, &error);
  } else if (argc == 5 && g_ascii_string_to_unsigned(argv[2], 10, 0, G_MAXUINT32, &seed, &error)) {
    ok = run(argv[1], (guint32)seed, argv + 3, &error);
  } else {
    g_printerr("usage: tun-relay CONTROL SEED NETNS:DEVICE NETNS:DEVICE\n"
               "       tun-relay set CONTROL delay=MS|jitter=MS|loss=PERCENT|cut|join|stats...\n");
    return 2;
  }
  if (!ok)
    g_printerr("tun-relay: %s\n", error->message);
  return ok ? 0 : 1;
}
