#include "config.h"
#include "lcip-calibration.h"
#include "lcip-error.h"

#include <json-glib/json-glib.h>
#include <stdatomic.h>
#include <string.h>

#define FILE_FORMAT "lcip-calibration"
enum { FILE_VERSION = 1 };

struct _LcipCalibration {
  _Atomic guint refs;
  GHashTable *steps; /* key -> (kernel -> double *) */
};

static LcipCalibration *calibration_new(void) {
  LcipCalibration *calibration = g_new0(LcipCalibration, 1);
  atomic_init(&calibration->refs, 1);
  calibration->steps =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_hash_table_unref);
  return calibration;
}

void lcip_calibration_unref(LcipCalibration *calibration) {
  if (!calibration || atomic_fetch_sub(&calibration->refs, 1) != 1)
    return;
  g_hash_table_unref(calibration->steps);
  g_free(calibration);
}

/* ---- what a step is known by ---- */

static void append_attrs(GString *key, const LcipAttrs *attrs) {
  guint n = 0;
  g_autofree const char **names = attrs ? lcip_attrs_names(attrs, &n) : NULL;
  for (guint i = 0; i < n; i++) {
    g_autofree char *text = lcip_attrs_get_text(attrs, names[i]);
    g_string_append_printf(key, " %s=%s", names[i], text ? text : "tensor");
  }
}

static void append_spec(GString *key, LcipTensorSpec spec) {
  spec.format = LCIP_FORMAT_DENSE;
  g_autofree char *text = lcip_tensor_spec_to_string(&spec);
  g_string_append_printf(key, " %s", text);
}

char *lcip_calibration_key(const LcipStep *step, guint threads) {
  GString *key = g_string_new(step->op->domain);
  g_string_append_printf(key, "%s%s", *step->op->domain ? "." : "", step->op->name);
  append_attrs(key, step->attrs);
  for (guint i = 0; i < step->n_anchor_inputs; i++)
    append_spec(key, step->inputs[i]);
  for (guint i = 0; i < step->n_epilogues; i++) {
    g_string_append_printf(key, " +%s", step->epilogues[i].op->name);
    append_attrs(key, step->epilogues[i].attrs);
  }
  g_string_append_printf(key, " threads=%u", threads);
  return g_string_free(key, FALSE);
}

double lcip_calibration_get(const LcipCalibration *calibration, const char *key,
                            const char *kernel) {
  GHashTable *times = g_hash_table_lookup(calibration->steps, key);
  const double *ms = times ? g_hash_table_lookup(times, kernel) : NULL;
  return ms ? *ms : 0;
}

void lcip_calibration_set(LcipCalibration *calibration, const char *key, const char *kernel,
                          double ms) {
  GHashTable *times = g_hash_table_lookup(calibration->steps, key);
  if (!times) {
    times = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_hash_table_insert(calibration->steps, g_strdup(key), times);
  }
  g_hash_table_insert(times, g_strdup(kernel), g_memdup2(&ms, sizeof ms));
}

guint lcip_calibration_n_steps(const LcipCalibration *calibration) {
  return g_hash_table_size(calibration->steps);
}

/* ---- the file ---- */

/* What times hold for, besides the kernels themselves. */
static char *machine(void) {
  return g_strdup_printf("%s, features %x, LCIP %s", lcip_cpu_name(), (guint)lcip_cpu_features(),
                         LCIP_VERSION);
}

char *lcip_calibration_path(void) {
  const char *named = g_getenv("LCIP_CALIBRATION");
  if (named && *named)
    return g_str_equal(named, "none") ? NULL : g_strdup(named);
  g_autofree char *what = machine();
  g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, what, -1);
  g_autofree char *name = g_strdup_printf("calibration-%.16s.json", hash);
  return g_build_filename(g_get_user_cache_dir(), "lcip", name, NULL);
}

/* Member @name of @object as @type, or NULL. */
static JsonNode *member(JsonObject *object, const char *name, JsonNodeType type) {
  JsonNode *node = json_object_get_member(object, name);
  return node && json_node_get_node_type(node) == type ? node : NULL;
}

static gboolean is_text(JsonObject *root, const char *name, const char *expected) {
  JsonNode *node = member(root, name, JSON_NODE_VALUE);
  return node && g_strcmp0(json_node_get_string(node), expected) == 0;
}

static gboolean is_valid_here(JsonObject *root) {
  g_autofree char *what = machine();
  JsonNode *version = member(root, "version", JSON_NODE_VALUE);
  return is_text(root, "format", FILE_FORMAT) && version &&
         json_node_get_int(version) == FILE_VERSION && is_text(root, "machine", what) &&
         is_text(root, "kernels", lcip_kernels_hash);
}

static void read_steps(LcipCalibration *calibration, JsonObject *steps) {
  JsonObjectIter step, time;
  const char *key, *kernel;
  JsonNode *times, *ms;
  json_object_iter_init(&step, steps);
  while (json_object_iter_next(&step, &key, &times)) {
    if (!JSON_NODE_HOLDS_OBJECT(times))
      continue;
    json_object_iter_init(&time, json_node_get_object(times));
    while (json_object_iter_next(&time, &kernel, &ms))
      if (JSON_NODE_HOLDS_VALUE(ms) && json_node_get_double(ms) > 0)
        lcip_calibration_set(calibration, key, kernel, json_node_get_double(ms));
  }
}

LcipCalibration *lcip_calibration_load(void) {
  LcipCalibration *calibration = calibration_new();
  g_autofree char *path = lcip_calibration_path();
  g_autoptr(JsonParser) parser = json_parser_new();
  if (!path || !json_parser_load_from_file(parser, path, NULL))
    return calibration;
  JsonNode *root = json_parser_get_root(parser);
  if (!root || !JSON_NODE_HOLDS_OBJECT(root) || !is_valid_here(json_node_get_object(root)))
    return calibration;
  JsonNode *steps = member(json_node_get_object(root), "steps", JSON_NODE_OBJECT);
  if (steps)
    read_steps(calibration, json_node_get_object(steps));
  return calibration;
}

static JsonNode *steps_node(const LcipCalibration *calibration) {
  g_autoptr(JsonBuilder) builder = json_builder_new();
  g_autoptr(GList) keys =
      g_list_sort(g_hash_table_get_keys(calibration->steps), (GCompareFunc)strcmp);
  json_builder_begin_object(builder);
  for (GList *key = keys; key; key = key->next) {
    GHashTable *times = g_hash_table_lookup(calibration->steps, key->data);
    g_autoptr(GList) kernels = g_list_sort(g_hash_table_get_keys(times), (GCompareFunc)strcmp);
    json_builder_set_member_name(builder, key->data);
    json_builder_begin_object(builder);
    for (GList *kernel = kernels; kernel; kernel = kernel->next) {
      json_builder_set_member_name(builder, kernel->data);
      json_builder_add_double_value(builder,
                                    *(const double *)g_hash_table_lookup(times, kernel->data));
    }
    json_builder_end_object(builder);
  }
  json_builder_end_object(builder);
  return json_builder_get_root(builder);
}

static char *file_text(const LcipCalibration *calibration) {
  g_autofree char *what = machine();
  JsonObject *root = json_object_new();
  json_object_set_string_member(root, "format", FILE_FORMAT);
  json_object_set_int_member(root, "version", FILE_VERSION);
  json_object_set_string_member(root, "machine", what);
  json_object_set_string_member(root, "kernels", lcip_kernels_hash);
  json_object_set_member(root, "steps", steps_node(calibration));
  g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), root);
  json_object_unref(root);
  return json_to_string(node, TRUE);
}

/* ---- the current one ---- */

G_LOCK_DEFINE_STATIC(current);
static LcipCalibration *current;

LcipCalibration *lcip_calibration_ref_current(void) {
  G_LOCK(current);
  if (!current)
    current = lcip_calibration_load();
  atomic_fetch_add(&current->refs, 1);
  LcipCalibration *calibration = current;
  G_UNLOCK(current);
  return calibration;
}

gboolean lcip_calibration_save(LcipCalibration *calibration, GError **error) {
  g_autofree char *path = lcip_calibration_path();
  if (!path) {
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID,
                "LCIP_CALIBRATION is \"none\": there is no file for the times");
    return FALSE;
  }
  g_autofree char *folder = g_path_get_dirname(path);
  g_autofree char *text = file_text(calibration);
  g_mkdir_with_parents(folder, 0700);
  if (!g_file_set_contents(path, text, -1, error))
    return FALSE;
  G_LOCK(current);
  lcip_calibration_unref(current);
  atomic_fetch_add(&calibration->refs, 1);
  current = calibration;
  G_UNLOCK(current);
  return TRUE;
}
