#pragma once

#include "lcip-remote-error.h"
#include "lcip-tensor.h"

G_BEGIN_DECLS

/* The messages between a client and a worker; docs/protocol.md is their description. One transport
 * message holds one of these: a header, fields, and for some a payload. Decoding trusts nothing and
 * allocates nothing: what it gives borrows from the message. */

#define LCIP_WIRE_MAGIC 0x5049434cu /* "LCIP" */
#define LCIP_WIRE_VERSION 1
#define LCIP_WIRE_HEADER_BYTES 24
/** LCIP_WIRE_PART_BYTES: the largest payload of one message; longer data go in several, so that
 * encryption of one overlaps sending of another and heartbeats get in between. */
#define LCIP_WIRE_PART_BYTES (256u * 1024)
#define LCIP_WIRE_MAX_FIELD_BYTES (16u * 1024)
#define LCIP_WIRE_MAX_MESSAGE_BYTES                                                                \
  (LCIP_WIRE_HEADER_BYTES + LCIP_WIRE_MAX_FIELD_BYTES + LCIP_WIRE_PART_BYTES)
#define LCIP_WIRE_MAX_TEXT_BYTES 1024
#define LCIP_WIRE_MAX_TENSORS 64
#define LCIP_WIRE_MAX_DEVICES 32
#define LCIP_WIRE_MAX_DIM G_MAXINT32
/** LCIP_WIRE_NO_FRAME: in ERROR, where it is about no frame. */
#define LCIP_WIRE_NO_FRAME G_MAXUINT64

typedef enum {
  LCIP_WIRE_HELLO = 1,   /* client: who I am */
  LCIP_WIRE_WELCOME = 2, /* worker: who I am, my devices and limits */
  LCIP_WIRE_DEPLOY = 3,  /* client: a subgraph is coming */
  LCIP_WIRE_BULK = 4,    /* client: a piece of its document, its manifest or a weight tensor */
  LCIP_WIRE_NEED = 5,    /* worker: the weight tensors that it does not have */
  LCIP_WIRE_READY = 6,   /* worker: planned and warm; credits */
  LCIP_WIRE_FRAME = 7,   /* client: a frame's tensors; takes one credit */
  LCIP_WIRE_PART = 8,    /* either: what of a FRAME's or RESULT's payload did not fit into it */
  LCIP_WIRE_RESULT = 9,  /* worker: a frame's results and times; gives the credit back */
  LCIP_WIRE_PING = 10,   /* client: heartbeat, clock and calibration */
  LCIP_WIRE_PONG = 11,
  LCIP_WIRE_ERROR = 12,
  LCIP_WIRE_BYE = 13, /* either: a session (or with session 0 the connection) ends */
  LCIP_N_WIRE_TYPES
} LcipWireType;

/** LcipWireText: UTF-8 without control characters, not terminated; borrowed from the message. */
typedef struct {
  const char *text;
  gsize length;
} LcipWireText;

/** LcipWireTensor: @spec: dense, its shape the actual one. @wire_type: how elements travel: the
 * spec's type, or F16 for f32. */
typedef struct {
  LcipTensorSpec spec;
  LcipType wire_type;
} LcipWireTensor;

typedef struct {
  LcipWireText id, name;
  guint32 kind; /* LcipLaneKind */
  guint32 units;
  guint64 memory_bytes;
} LcipWireDevice;

typedef struct {
  LcipWireText software, name;
} LcipWireHello;

/** LcipWireWelcome: @instance: random, another after a restart.
 * @features: of the CPU, because kernels and with them the bits of results depend on them. */
typedef struct {
  LcipWireText software, name, features;
  guint64 instance;
  guint64 max_memory_bytes, max_document_bytes;
  guint32 max_sessions, max_credits;
  guint32 n_devices;
  LcipWireDevice devices[LCIP_WIRE_MAX_DEVICES];
} LcipWireWelcome;

typedef enum {
  LCIP_DEPLOY_PINNED = 1, /* as LcipPlanOptions' pinned */
  LCIP_DEPLOY_F16 = 2     /* results of type f32 travel as f16 */
} LcipDeployFlags;

/** LcipWireDeploy: @credits: frames in flight that the client wants. @n_tensors: of the manifest.
 */
typedef struct {
  LcipWireText device;
  guint32 flags, threads, credits;
  guint32 n_tensors;
  guint64 document_bytes, manifest_bytes;
} LcipWireDeploy;

/** LcipWireBulk: @item: LCIP_BULK_DOCUMENT, LCIP_BULK_MANIFEST or LCIP_BULK_WEIGHTS + index in the
 * manifest. Pieces of an item come in order. */
#define LCIP_BULK_DOCUMENT 0u
#define LCIP_BULK_MANIFEST 1u
#define LCIP_BULK_WEIGHTS 2u
typedef struct {
  guint32 item;
  guint64 offset;
} LcipWireBulk;

/** LcipWireNeed: the payload is a list of @n 32-bit indices in the manifest. @is_last: no more
 * NEED. */
typedef struct {
  guint32 n;
  guint32 is_last;
} LcipWireNeed;

typedef struct {
  guint32 credits;
  guint32 n_tensors; /* the subgraph's outputs as the worker plans them */
  LcipWireTensor tensors[LCIP_WIRE_MAX_TENSORS];
  guint64 memory_bytes;
} LcipWireReady;

/** LcipWireFrame: FRAME and RESULT. @total_bytes: of all tensors one after another as they travel;
 * the payload holds the first part of it. Times (RESULT): nanoseconds of the worker's monotonic
 * clock: frame complete, computation begun and ended, result handed to the transport. */
typedef struct {
  guint64 frame;
  guint64 total_bytes;
  gint64 received_ns, started_ns, ended_ns, sent_ns;
  guint32 n_tensors;
  LcipWireTensor tensors[LCIP_WIRE_MAX_TENSORS];
} LcipWireFrame;

typedef struct {
  guint64 frame;
  guint64 offset;
} LcipWirePart;

/** LcipWirePing: PING (its payload is padding) and PONG. Each time by its sender's clock. */
typedef struct {
  gint64 ping_ns;
  gint64 received_ns, pong_ns;
  guint32 padding_bytes;
} LcipWirePing;

typedef struct {
  guint32 code; /* LcipRemoteErrorCode */
  guint64 frame;
  LcipWireText message;
} LcipWireError;

/** LcipWire: a message. @session: chosen by the client, 0 for the connection itself. @payload:
 * borrowed. */
typedef struct {
  LcipWireType type;
  guint32 session;
  union {
    LcipWireHello hello;
    LcipWireWelcome welcome;
    LcipWireDeploy deploy;
    LcipWireBulk bulk;
    LcipWireNeed need;
    LcipWireReady ready;
    LcipWireFrame frame;
    LcipWirePart part;
    LcipWirePing ping;
    LcipWireError error;
    LcipWireText bye;
  };
  const guint8 *payload;
  gsize payload_bytes;
} LcipWire;

/** LcipBuffer: bytes somewhere; borrowed. */
typedef struct {
  const void *data;
  gsize size_bytes;
} LcipBuffer;

/** lcip_wire_encode: header and fields of @wire into @out (replaced). What follows them as it is,
 * the payload, is in @n buffers one after another (@wire's own is not looked at); the header's
 * checksum covers it. FALSE when a list or the payload is too long. */
gboolean lcip_wire_encode(const LcipWire *wire, const LcipBuffer *payload, guint n, GByteArray *out,
                          GError **error);
/** lcip_wire_decode: checks everything. LCIP_REMOTE_ERROR_VERSION where only the version is
 * another. @data must outlive @wire. */
gboolean lcip_wire_decode(const guint8 *data, gsize size_bytes, LcipWire *wire, GError **error);

const char *lcip_wire_type_name(LcipWireType type);
LcipWireText lcip_wire_text(const char *text);
/** lcip_wire_text_dup: a terminated copy. Transfer full. */
char *lcip_wire_text_dup(const LcipWireText *text);
/** lcip_wire_tensor_bytes: as it travels. FALSE when it overflows. */
gboolean lcip_wire_tensor_bytes(const LcipWireTensor *tensor, gsize *bytes);

/** LcipManifestEntry: one weight tensor of a subgraph. @key: as in its document. */
typedef struct {
  char *key;
  LcipTensorSpec spec;
  guint8 sha256[32];
} LcipManifestEntry;
/** lcip_manifest_encode: @entries: LcipManifestEntry. */
GByteArray *lcip_manifest_encode(const GArray *entries);
/** lcip_manifest_decode: exactly @n entries; GArray of LcipManifestEntry with its clear function.
 */
GArray *lcip_manifest_decode(const guint8 *data, gsize size_bytes, guint n, GError **error);

/** lcip_crc32c: continues @crc (0 at the start) over @data (Castagnoli's polynomial, as iSCSI). */
guint32 lcip_crc32c(guint32 crc, const void *data, gsize size_bytes);

/** lcip_wire_pack_f16, lcip_wire_unpack_f16: @n elements, little-endian, rounded to nearest even.
 */
void lcip_wire_pack_f16(const float *source, guint8 *target, gsize n);
void lcip_wire_unpack_f16(const guint8 *source, float *target, gsize n);

G_END_DECLS
