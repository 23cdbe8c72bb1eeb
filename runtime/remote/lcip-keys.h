#pragma once

#include "lcip-remote-error.h"

G_BEGIN_DECLS

/* Who may talk to whom. All of it lies in g_get_user_config_dir()/lcip, a folder of mode 0700:
 *   identity.key   this user's CURVE key pair, for both roles, mode 0600; refused with other modes
 *   workers        the workers that this user paired with: address, key, name, devices; 0600
 *   clients        the clients that a worker of this user serves: key, name; 0600
 * Files are read again at each call, so that a worker that runs sees what a pairing adds. */

#define LCIP_KEY_BYTES 32
/** LCIP_KEY_TEXT_LENGTH: of a key in hexadecimal digits, as people paste it. */
#define LCIP_KEY_TEXT_LENGTH 64

typedef struct {
  guint8 public_key[LCIP_KEY_BYTES], secret_key[LCIP_KEY_BYTES];
} LcipIdentity;

/** lcip_identity_load: of this user; where there is none it is made. */
gboolean lcip_identity_load(LcipIdentity *identity, GError **error);
/** lcip_identity_new: makes another and replaces the file: all pairings end. */
gboolean lcip_identity_new(LcipIdentity *identity, GError **error);
void lcip_identity_clear(LcipIdentity *identity);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LcipIdentity, lcip_identity_clear)

/** lcip_key_fingerprint: for people to compare: 80 bits of the key's SHA-256 in base 32, as
 * "ABCD-EFGH-IJKL-MNOP". Transfer full. */
char *lcip_key_fingerprint(const guint8 *key);
char *lcip_key_to_text(const guint8 *key);
gboolean lcip_key_from_text(const char *text, guint8 *key, GError **error);

/** LcipKnownDevice: of a paired worker as it was when it was last seen; @kind as in "cpu". */
typedef struct {
  char *id;
  char *kind;
  char *name;
  guint units;
  guint64 memory_bytes;
} LcipKnownDevice;

/** LcipKnownWorker: @address: "tcp://HOST:PORT". @devices: LcipKnownDevice. */
typedef struct {
  char *address;
  char *name;
  guint8 key[LCIP_KEY_BYTES];
  GPtrArray *devices;
} LcipKnownWorker;

LcipKnownWorker *lcip_known_worker_new(const char *address, const char *name, const guint8 *key);
void lcip_known_worker_add_device(LcipKnownWorker *worker, const char *id, const char *kind,
                                  const char *name, guint units, guint64 memory_bytes);
void lcip_known_worker_free(LcipKnownWorker *worker);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipKnownWorker, lcip_known_worker_free)

/** lcip_known_workers: LcipKnownWorker, with free function. */
GPtrArray *lcip_known_workers(GError **error);
/** lcip_known_workers_find: NULL with an error that says how to pair. */
LcipKnownWorker *lcip_known_workers_find(const char *address, GError **error);
gboolean lcip_known_workers_add(const LcipKnownWorker *worker, GError **error);
gboolean lcip_known_workers_remove(const char *address, GError **error);

/** lcip_allowed_client: is @key among the clients of this user's worker? @name (may be NULL):
 * transfer full. */
gboolean lcip_allowed_client(const guint8 *key, char **name);
gboolean lcip_allowed_clients_add(const guint8 *key, const char *name, GError **error);
gboolean lcip_allowed_clients_remove(const guint8 *key, GError **error);

/** lcip_own_name: "user@host". Transfer full. */
char *lcip_own_name(void);
/** lcip_config_path: a file in the configuration folder. Transfer full. */
char *lcip_config_path(const char *name);

G_END_DECLS
