#include "config.h"

#include "lcip-codec.h"
#include "lcip-mpi.h"

#include <string.h>

/* The MPI transport, on three ranks of one mpirun: rank 0 is the client and tests, the others send
 * every message back. TAP by rank 0. */

#define PATIENCE_NS G_GINT64_CONSTANT(20000000000)
#define N_MESSAGES 200

/* ---- the other ranks ---- */

static void send_back(LcipTransport *transport, LcipPeer peer, const guint8 *data,
                      gsize size_bytes) {
  const LcipBuffer buffer = {data, size_bytes};
  g_autoptr(GError) error = NULL;
  if (lcip_transport_send(transport, peer, &buffer, 1, &error) != LCIP_TRANSPORT_OK)
    g_error("sending back: %s", error ? error->message : "no room");
}

static int serve(void) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipTransport) transport = lcip_transport_listen("mpi:", &error);
  g_assert_no_error(error);
  for (;;) {
    LcipPeer peer;
    const guint8 *data;
    gsize size_bytes;
    const LcipTransportResult result =
        lcip_transport_receive(transport, &peer, &data, &size_bytes, &error);
    if (result == LCIP_TRANSPORT_OK)
      send_back(transport, peer, data, size_bytes);
    else if (result == LCIP_TRANSPORT_LOST)
      break;
    else
      lcip_transport_wait(transport, LCIP_WAIT_READ, -1, PATIENCE_NS);
  }
  return g_error_matches(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_SHUTDOWN) ? 0 : 1;
}

/* ---- rank 0 ---- */

/* A message that tells its number and that of its connection, of a length of its own. */
static GByteArray *message(guint32 connection, guint32 number) {
  const guint32 head[] = {connection, number};
  const gsize size_bytes = sizeof head + (number * 7919u) % (LCIP_WIRE_PART_BYTES);
  GByteArray *bytes = g_byte_array_sized_new((guint)size_bytes);
  g_byte_array_append(bytes, (const guint8 *)head, sizeof head);
  while (bytes->len < size_bytes)
    g_byte_array_append(bytes, (const guint8 *)&(guint8){(guint8)(bytes->len * 31 + number)}, 1);
  return bytes;
}

static LcipTransportResult send_message(LcipTransport *transport, guint32 connection,
                                        guint32 number) {
  g_autoptr(GByteArray) bytes = message(connection, number);
  const LcipBuffer parts[] = {{bytes->data, 5}, {bytes->data + 5, bytes->len - 5}};
  g_autoptr(GError) error = NULL;
  const LcipTransportResult result = lcip_transport_send(transport, 0, parts, 2, &error);
  g_assert_no_error(error);
  return result;
}

static void check_message(guint32 connection, guint32 number, const guint8 *data,
                          gsize size_bytes) {
  g_autoptr(GByteArray) expected = message(connection, number);
  g_assert_cmpmem(data, size_bytes, expected->data, expected->len);
}

/* TRUE when it got message @number. */
static gboolean receive_message(LcipTransport *transport, guint32 connection, guint32 number) {
  LcipPeer peer = 1;
  const guint8 *data;
  gsize size_bytes;
  g_autoptr(GError) error = NULL;
  const LcipTransportResult result =
      lcip_transport_receive(transport, &peer, &data, &size_bytes, &error);
  g_assert_no_error(error);
  if (result != LCIP_TRANSPORT_OK)
    return FALSE;
  g_assert_cmpuint(peer, ==, 0);
  check_message(connection, number, data, size_bytes);
  return TRUE;
}

static LcipTransport *connect_to(guint rank) {
  g_autofree char *address = g_strdup_printf("mpi:%u", rank);
  g_autoptr(GError) error = NULL;
  LcipTransport *transport = lcip_transport_connect(address, NULL, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(lcip_transport_address(transport), ==, address);
  return transport;
}

/* Both ranks at once, more messages than the queue takes. */
static void test_echo(void) {
  LcipTransport *transports[2] = {connect_to(1), connect_to(2)};
  guint32 sent[2] = {0}, received[2] = {0};
  while (received[0] < N_MESSAGES || received[1] < N_MESSAGES) {
    for (guint32 i = 0; i < 2; i++) {
      while (sent[i] < N_MESSAGES && send_message(transports[i], i, sent[i]) == LCIP_TRANSPORT_OK)
        sent[i]++;
      while (receive_message(transports[i], i, received[i]))
        received[i]++;
    }
    lcip_transport_wait(transports[received[0] < N_MESSAGES ? 0 : 1],
                        sent[0] < N_MESSAGES ? LCIP_WAIT_READ_WRITE : LCIP_WAIT_READ, -1,
                        G_GINT64_CONSTANT(1000000));
  }
  for (guint i = 0; i < 2; i++)
    lcip_transport_free(transports[i]);
}

/* What a closed connection has not taken must not reach the next one. */
static void test_reconnect(void) {
  for (guint32 connection = 0; connection < 20; connection++) {
    g_autoptr(LcipTransport) transport = connect_to(1);
    for (guint32 number = 0; number < 5; number++)
      g_assert_cmpint(send_message(transport, connection, number), ==, LCIP_TRANSPORT_OK);
    for (guint32 number = 0; number < connection % 5;) {
      if (receive_message(transport, connection, number))
        number++;
      else
        lcip_transport_wait(transport, LCIP_WAIT_READ, -1, PATIENCE_NS);
    }
  }
}

static void test_wait_ends(void) {
  g_autoptr(LcipTransport) transport = connect_to(2);
  lcip_transport_wait(transport, LCIP_WAIT_READ, -1, G_GINT64_CONSTANT(3000000));
  g_assert_false(receive_message(transport, 0, 0));
}

static void test_addresses(void) {
  const char *const wrong[] = {"mpi:0", "mpi:3", "mpi:", "mpi:1x", "mpi:-1", "mpi"};
  for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
    g_autoptr(GError) error = NULL;
    g_assert_null(lcip_transport_connect(wrong[i], NULL, &error));
    g_assert_nonnull(strstr(error->message, wrong[i]));
  }
}

int main(int argc, char **argv) {
  g_autoptr(GError) error = NULL;
  g_assert_true(lcip_mpi_is_launched());
  lcip_mpi_start(&error);
  g_assert_no_error(error);
  g_assert_cmpint(lcip_mpi_size(), ==, 3);
  int code;
  if (lcip_mpi_rank() == 0) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mpi/echo", test_echo);
    g_test_add_func("/mpi/reconnect", test_reconnect);
    g_test_add_func("/mpi/wait-ends", test_wait_ends);
    g_test_add_func("/mpi/addresses", test_addresses);
    code = g_test_run();
  } else {
    code = serve();
  }
  lcip_mpi_end();
  return code;
}
