#include "config.h"
#include "lcip-keys.h"
#include "lcip-mpi.h"
#include "lcip-remote-device.h"

#include <string.h>

#define DEFAULT_DEVICE "cpu"
#define SHORTEST_DEADLINE_MS 10
#define LONGEST_DEADLINE_MS 600000

static gboolean is_rank(const char *id) {
  return g_str_has_prefix(id, "mpi:");
}

gboolean lcip_remote_is_id(const char *id) {
  return g_str_has_prefix(id, "tcp://") || is_rank(id);
}

/* ---- ids ---- */

void lcip_remote_id_clear(LcipRemoteId *id) {
  g_clear_pointer(&id->address, g_free);
  g_clear_pointer(&id->device, g_free);
  id->f16 = FALSE;
  id->deadline_ns = 0;
}

/* "5s", "0.5s", "250ms". */
static gboolean parse_deadline(const char *text, gint64 *deadline_ns) {
  char *end = NULL;
  const double number = g_ascii_strtod(text, &end);
  const double unit_ms = g_str_equal(end, "s") ? 1000 : g_str_equal(end, "ms") ? 1 : 0;
  const double ms = number * unit_ms;
  if (!(ms >= SHORTEST_DEADLINE_MS && ms <= LONGEST_DEADLINE_MS))
    return FALSE;
  *deadline_ns = (gint64)(ms * 1e6);
  return TRUE;
}

static gboolean parse_option(const char *option, LcipRemoteId *id) {
  static const char deadline[] = "deadline=";
  if (g_str_equal(option, "f16")) {
    id->f16 = TRUE;
    return TRUE;
  }
  return g_str_has_prefix(option, deadline) &&
         parse_deadline(option + strlen(deadline), &id->deadline_ns);
}

static gboolean parse_options(const char *text, const char *options, LcipRemoteId *id,
                              GError **error) {
  g_auto(GStrv) list = g_strsplit(options, ",", -1);
  for (guint i = 0; list[i]; i++) {
    if (parse_option(list[i], id))
      continue;
    g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_PROTOCOL,
                "%s: expected f16 or deadline=TIME (10ms to 600s) after the '?', found '%s'", text,
                list[i]);
    lcip_remote_id_clear(id);
    return FALSE;
  }
  return TRUE;
}

gboolean lcip_remote_id_parse(const char *text, LcipRemoteId *id, GError **error) {
  const char *options = strchr(text, '?');
  g_autofree char *plain = options ? g_strndup(text, (gsize)(options - text)) : g_strdup(text);
  const char *host = strstr(plain, "://");
  const char *slash = strchr(host ? host + 3 : plain, '/');
  *id =
      (LcipRemoteId){.address = slash ? g_strndup(plain, (gsize)(slash - plain)) : g_strdup(plain),
                     .device = g_strdup(slash && slash[1] ? slash + 1 : DEFAULT_DEVICE)};
  return !options || parse_options(text, options + 1, id, error);
}

LcipLaneKind lcip_remote_device_kind(const char *id) {
  g_auto(LcipRemoteId) parsed = {0};
  return lcip_remote_id_parse(id, &parsed, NULL) && g_str_has_prefix(parsed.device, "opencl")
             ? LCIP_LANE_OPENCL
             : LCIP_LANE_CPU;
}

/* ---- devices: made when they are first asked for, and never freed ---- */

static LcipDevice *device_new(const char *id, const LcipKnownWorker *worker,
                              const LcipKnownDevice *known, const char *device_id) {
  LcipDevice *device = g_new0(LcipDevice, 1);
  device->id = g_strdup(id);
  device->kind = LCIP_LANE_REMOTE;
  device->name =
      g_strdup_printf("%s of %s", known && *known->name ? known->name : device_id, worker->name);
  device->units = known ? known->units : 0;
  device->memory_bytes = known ? known->memory_bytes : 0;
  device->driver = g_strdup("");
  return device;
}

static const LcipDevice *intern(const char *id, const LcipKnownWorker *worker,
                                const LcipKnownDevice *known, const char *device_id) {
  static GMutex mutex;
  static GHashTable *devices;
  g_mutex_lock(&mutex);
  if (!devices)
    devices = g_hash_table_new(g_str_hash, g_str_equal);
  LcipDevice *device = g_hash_table_lookup(devices, id);
  if (!device) {
    device = device_new(id, worker, known, device_id);
    g_hash_table_insert(devices, device->id, device);
  }
  g_mutex_unlock(&mutex);
  return device;
}

static const LcipKnownDevice *known_device(const LcipKnownWorker *worker, const char *device) {
  for (guint i = 0; i < worker->devices->len; i++) {
    const LcipKnownDevice *known = g_ptr_array_index(worker->devices, i);
    if (g_str_equal(known->id, device))
      return known;
  }
  return NULL;
}

/* Ranks are all that the launcher started: nobody pairs with them. */
static LcipKnownWorker *find_rank(const char *address, GError **error) {
  static const guint8 no_key[LCIP_KEY_BYTES];
  guint64 rank;
  if (lcip_mpi_size() > 1 && g_ascii_string_to_unsigned(address + strlen("mpi:"), 10, 1,
                                                        (guint64)lcip_mpi_size() - 1, &rank, NULL))
    return lcip_known_worker_new(address, address, no_key);
  g_set_error(error, LCIP_REMOTE_ERROR, LCIP_REMOTE_ERROR_LOST,
              "%s: expected a rank from 1 to %d of a job that mpirun started", address,
              lcip_mpi_size() - 1);
  return NULL;
}

static LcipKnownWorker *find_worker(const char *address, GError **error) {
  return is_rank(address) ? find_rank(address, error) : lcip_known_workers_find(address, error);
}

const LcipDevice *lcip_remote_device_find(const char *id, GError **error) {
  g_auto(LcipRemoteId) parsed = {0};
  if (!lcip_remote_id_parse(id, &parsed, error))
    return NULL;
  g_autoptr(LcipKnownWorker) worker = find_worker(parsed.address, error);
  return worker ? intern(id, worker, known_device(worker, parsed.device), parsed.device) : NULL;
}

GPtrArray *lcip_remote_devices(GError **error) {
  g_autoptr(GPtrArray) workers = lcip_known_workers(error);
  if (!workers)
    return NULL;
  GPtrArray *devices = g_ptr_array_new();
  for (int rank = 1; rank < lcip_mpi_size(); rank++) {
    g_autofree char *id = g_strdup_printf("mpi:%d", rank);
    g_ptr_array_add(devices, (gpointer)lcip_remote_device_find(id, NULL));
  }
  for (guint i = 0; i < workers->len; i++) {
    const LcipKnownWorker *worker = g_ptr_array_index(workers, i);
    for (guint k = 0; k < worker->devices->len; k++) {
      const LcipKnownDevice *known = g_ptr_array_index(worker->devices, k);
      g_autofree char *id = g_strdup_printf("%s/%s", worker->address, known->id);
      g_ptr_array_add(devices, (gpointer)intern(id, worker, known, known->id));
    }
  }
  return devices;
}
