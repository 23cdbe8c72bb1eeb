#include "config.h"
#include "lcip-keys-private.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDENTITY_FILE "identity.key"
#define WORKERS_FILE "workers"
#define CLIENTS_FILE "clients"
#define IDENTITY_GROUP "identity"
#define DEVICE_PREFIX "device"

static gboolean fail_keys(GError **error, const char *path, const char *what) {
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_KEYS, "%s: %s", path, what);
  return FALSE;
}

/* ---- keys as text ---- */

/* RFC 4648's base 32. */
char *lcip_key_fingerprint(const guint8 *key) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
  guint8 hash[32];
  gsize size = sizeof hash;
  g_checksum_update(checksum, key, LCIP_KEY_BYTES);
  g_checksum_get_digest(checksum, hash, &size);
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < 16; i++) {
    const guint bit = 5 * i, word = (guint)hash[bit / 8] << 8 | hash[bit / 8 + 1];
    if (i > 0 && i % 4 == 0)
      g_string_append_c(text, '-');
    g_string_append_c(text, digits[word >> (11 - bit % 8) & 31]);
  }
  return g_string_free(text, FALSE);
}

char *lcip_key_to_text(const guint8 *key) {
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < LCIP_KEY_BYTES; i++)
    g_string_append_printf(text, "%02x", key[i]);
  return g_string_free(text, FALSE);
}

gboolean lcip_key_from_text(const char *text, guint8 *key, GError **error) {
  gboolean ok = text && strlen(text) == LCIP_KEY_TEXT_LENGTH;
  for (guint i = 0; ok && i < LCIP_KEY_BYTES; i++) {
    const int high = g_ascii_xdigit_value(text[2 * i]), low = g_ascii_xdigit_value(text[2 * i + 1]);
    ok = high >= 0 && low >= 0;
    key[i] = (guint8)(high << 4 | low);
  }
  if (!ok)
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_KEYS,
                "expected a key of %d hexadecimal digits, found '%.80s'", LCIP_KEY_TEXT_LENGTH,
                text ? text : "");
  return ok;
}

/* ---- files ---- */

char *lcip_config_path(const char *name) {
  return g_build_filename(g_get_user_config_dir(), "lcip", name, NULL);
}

char *lcip_own_name(void) {
  return g_strdup_printf("%s@%s", g_get_user_name(), g_get_host_name());
}

/* A file that others can read or write is no secret and no list to trust. */
static gboolean check_mode(const char *path, const struct stat *info, GError **error) {
  if (!S_ISREG(info->st_mode))
    return fail_keys(error, path, "expected a regular file, found something else");
  if (info->st_uid != geteuid())
    return fail_keys(error, path, "expected a file of this user, found another owner");
  if ((info->st_mode & 077) == 0)
    return TRUE;
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_KEYS,
              "%s: expected mode 0600, found %04o: others may have read or changed it "
              "(chmod 600 if you are sure that nobody did)",
              path, (guint)info->st_mode & 07777);
  return FALSE;
}

/* A file that is not there is empty. */
static GKeyFile *load_file(const char *name, GError **error) {
  g_autofree char *path = lcip_config_path(name);
  g_autoptr(GKeyFile) file = g_key_file_new();
  struct stat info;
  if (lstat(path, &info) != 0) {
    if (errno == ENOENT)
      return g_steal_pointer(&file);
    fail_keys(error, path, g_strerror(errno));
    return NULL;
  }
  if (!check_mode(path, &info, error))
    return NULL;
  if (g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, error))
    return g_steal_pointer(&file);
  g_prefix_error(error, "%s: ", path);
  return NULL;
}

static gboolean save_file(const char *name, GKeyFile *file, GError **error) {
  g_autofree char *path = lcip_config_path(name);
  g_autofree char *folder = g_path_get_dirname(path);
  gsize length;
  char *text = g_key_file_to_data(file, &length, NULL);
  gboolean ok = g_mkdir_with_parents(folder, 0700) == 0 ||
                fail_keys(error, folder, "the folder cannot be made");
  ok = ok && g_file_set_contents_full(path, text, (gssize)length,
                                      G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                      0600, error);
  /* An old file keeps its mode. */
  if (ok && g_chmod(path, 0600) != 0)
    ok = fail_keys(error, path, g_strerror(errno));
  explicit_bzero(text, length);
  g_free(text);
  return ok;
}

static gboolean read_key(GKeyFile *file, const char *group, const char *name, guint8 *key,
                         GError **error) {
  g_autofree char *text = g_key_file_get_string(file, group, name, error);
  const gboolean ok = text && lcip_key_from_text(text, key, error);
  if (text)
    explicit_bzero(text, strlen(text));
  return ok;
}

static void write_key(GKeyFile *file, const char *group, const char *name, const guint8 *key) {
  g_autofree char *text = lcip_key_to_text(key);
  g_key_file_set_string(file, group, name, text);
  explicit_bzero(text, strlen(text));
}

/* ---- this user's key pair ---- */

void lcip_identity_clear(LcipIdentity *identity) {
  explicit_bzero(identity, sizeof *identity);
}

gboolean lcip_identity_new(LcipIdentity *identity, GError **error) {
  g_autoptr(GKeyFile) file = g_key_file_new();
  if (!lcip_keys_make(identity->public_key, identity->secret_key, error))
    return FALSE;
  write_key(file, IDENTITY_GROUP, "public", identity->public_key);
  write_key(file, IDENTITY_GROUP, "secret", identity->secret_key);
  return save_file(IDENTITY_FILE, file, error);
}

gboolean lcip_identity_load(LcipIdentity *identity, GError **error) {
  g_autoptr(GKeyFile) file = load_file(IDENTITY_FILE, error);
  if (!file)
    return FALSE;
  if (!g_key_file_has_group(file, IDENTITY_GROUP))
    return lcip_identity_new(identity, error);
  if (read_key(file, IDENTITY_GROUP, "public", identity->public_key, error) &&
      read_key(file, IDENTITY_GROUP, "secret", identity->secret_key, error))
    return TRUE;
  g_prefix_error(error, "the key file " IDENTITY_FILE ": ");
  return FALSE;
}

/* ---- workers that this user paired with ---- */

static void known_device_free(gpointer data) {
  LcipKnownDevice *device = data;
  g_free(device->id);
  g_free(device->kind);
  g_free(device->name);
  g_free(device);
}

LcipKnownWorker *lcip_known_worker_new(const char *address, const char *name, const guint8 *key) {
  LcipKnownWorker *worker = g_new0(LcipKnownWorker, 1);
  worker->address = g_strdup(address);
  worker->name = g_strdup(name);
  memcpy(worker->key, key, LCIP_KEY_BYTES);
  worker->devices = g_ptr_array_new_with_free_func(known_device_free);
  return worker;
}

void lcip_known_worker_free(LcipKnownWorker *worker) {
  g_ptr_array_unref(worker->devices);
  g_free(worker->address);
  g_free(worker->name);
  g_free(worker);
}

void lcip_known_worker_add_device(LcipKnownWorker *worker, const char *id, const char *kind,
                                  const char *name, guint units, guint64 memory_bytes) {
  LcipKnownDevice *device = g_new0(LcipKnownDevice, 1);
  device->id = g_strdup(id);
  device->kind = g_strdup(kind);
  device->name = g_strdup(name);
  device->units = units;
  device->memory_bytes = memory_bytes;
  g_ptr_array_add(worker->devices, device);
}

/* "device0=cpu;cpu;8;17179869184;Some Processor" */
static void read_device(LcipKnownWorker *worker, GKeyFile *file, const char *group,
                        const char *entry) {
  gsize n = 0;
  g_auto(GStrv) words = g_key_file_get_string_list(file, group, entry, &n, NULL);
  if (n == 5)
    lcip_known_worker_add_device(worker, words[0], words[1], words[4],
                                 (guint)g_ascii_strtoull(words[2], NULL, 10),
                                 g_ascii_strtoull(words[3], NULL, 10));
}

static void write_device(GKeyFile *file, const char *group, guint index,
                         const LcipKnownDevice *device) {
  g_autofree char *entry = g_strdup_printf(DEVICE_PREFIX "%u", index);
  g_autofree char *units = g_strdup_printf("%u", device->units);
  g_autofree char *memory = g_strdup_printf("%" G_GUINT64_FORMAT, device->memory_bytes);
  const char *const words[] = {device->id, device->kind, units, memory, device->name};
  g_key_file_set_string_list(file, group, entry, words, G_N_ELEMENTS(words));
}

/* Names of groups hold no brackets; IPv6 addresses do. */
static char *group_of(const char *address) {
  return g_uri_escape_string(address, "/:", FALSE);
}

static LcipKnownWorker *read_worker(GKeyFile *file, const char *group, GError **error) {
  guint8 key[LCIP_KEY_BYTES];
  if (!read_key(file, group, "key", key, error)) {
    g_prefix_error(error, "the file " WORKERS_FILE ": [%s]: ", group);
    return NULL;
  }
  g_autofree char *address = g_uri_unescape_string(group, NULL);
  g_autofree char *name = g_key_file_get_string(file, group, "name", NULL);
  LcipKnownWorker *worker = lcip_known_worker_new(address, name ? name : address, key);
  g_auto(GStrv) entries = g_key_file_get_keys(file, group, NULL, NULL);
  for (guint i = 0; entries && entries[i]; i++)
    if (g_str_has_prefix(entries[i], DEVICE_PREFIX))
      read_device(worker, file, group, entries[i]);
  return worker;
}

GPtrArray *lcip_known_workers(GError **error) {
  g_autoptr(GKeyFile) file = load_file(WORKERS_FILE, error);
  if (!file)
    return NULL;
  g_autoptr(GPtrArray) workers =
      g_ptr_array_new_with_free_func((GDestroyNotify)lcip_known_worker_free);
  g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
  for (guint i = 0; groups[i]; i++) {
    LcipKnownWorker *worker = read_worker(file, groups[i], error);
    if (!worker)
      return NULL;
    g_ptr_array_add(workers, worker);
  }
  return g_steal_pointer(&workers);
}

LcipKnownWorker *lcip_known_workers_find(const char *address, GError **error) {
  g_autoptr(GKeyFile) file = load_file(WORKERS_FILE, error);
  g_autofree char *group = group_of(address);
  if (!file)
    return NULL;
  if (g_key_file_has_group(file, group))
    return read_worker(file, group, error);
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_KEYS,
              "%s: this user is not paired with a worker there (lcip pair %s)", address, address);
  return NULL;
}

gboolean lcip_known_workers_add(const LcipKnownWorker *worker, GError **error) {
  g_autoptr(GKeyFile) file = load_file(WORKERS_FILE, error);
  g_autofree char *group = group_of(worker->address);
  if (!file)
    return FALSE;
  g_key_file_remove_group(file, group, NULL);
  write_key(file, group, "key", worker->key);
  g_key_file_set_string(file, group, "name", worker->name);
  for (guint i = 0; i < worker->devices->len; i++)
    write_device(file, group, i, g_ptr_array_index(worker->devices, i));
  return save_file(WORKERS_FILE, file, error);
}

gboolean lcip_known_workers_remove(const char *address, GError **error) {
  g_autoptr(GKeyFile) file = load_file(WORKERS_FILE, error);
  g_autofree char *group = group_of(address);
  return file && g_key_file_remove_group(file, group, error) &&
         save_file(WORKERS_FILE, file, error);
}

/* ---- clients that this user's worker serves: a group each, named by the key ---- */

gboolean lcip_allowed_client(const guint8 *key, char **name) {
  g_autoptr(GKeyFile) file = load_file(CLIENTS_FILE, NULL);
  g_autofree char *text = lcip_key_to_text(key);
  if (!file || !g_key_file_has_group(file, text))
    return FALSE;
  if (name)
    *name = g_key_file_get_string(file, text, "name", NULL);
  return TRUE;
}

gboolean lcip_allowed_clients_add(const guint8 *key, const char *name, GError **error) {
  g_autoptr(GKeyFile) file = load_file(CLIENTS_FILE, error);
  g_autofree char *text = lcip_key_to_text(key);
  if (!file)
    return FALSE;
  g_key_file_set_string(file, text, "name", name && *name ? name : "unnamed");
  return save_file(CLIENTS_FILE, file, error);
}

gboolean lcip_allowed_clients_remove(const guint8 *key, GError **error) {
  g_autoptr(GKeyFile) file = load_file(CLIENTS_FILE, error);
  g_autofree char *text = lcip_key_to_text(key);
  return file && g_key_file_remove_group(file, text, error) && save_file(CLIENTS_FILE, file, error);
}
