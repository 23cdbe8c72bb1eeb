#include "config.h"

#include "lcip-cli.h"
#include "lcip-remote-device.h"

#include <string.h>

void lcip_cli_plan_args_clear(LcipCliPlanArgs *args) {
  g_clear_pointer(&args->mapping, g_free);
  g_clear_pointer(&args->lanes, g_strfreev);
  g_clear_pointer(&args->shapes, g_strfreev);
}

static char *list_lanes(const LcipGraph *graph) {
  g_autoptr(GString) text = g_string_new(NULL);
  for (guint i = 0; i < graph->lanes->len; i++) {
    const LcipLane *lane = g_ptr_array_index(graph->lanes, i);
    g_string_append_printf(text, "%s'%s' (%s)", text->len ? ", " : "", lane->name,
                           lcip_lane_kind_name(lane->kind));
  }
  return g_string_free(g_steal_pointer(&text), FALSE);
}

static char *list_devices(void) {
  const GPtrArray *devices = lcip_runtime_devices(lcip_runtime_get());
  g_autoptr(GString) text = g_string_new(NULL);
  for (guint i = 0; i < devices->len; i++) {
    const LcipDevice *device = g_ptr_array_index(devices, i);
    g_string_append_printf(text, "%s%s", text->len ? ", " : "", device->id);
  }
  return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Where the name of a lane ends: names may hold '=', and so may the options of a device. The
 * longest name that the graph has is meant. NULL where there is none. */
static const char *find_equals(const LcipGraph *graph, const char *argument) {
  const char *found = NULL;
  for (const char *at = strchr(argument, '='); at; at = strchr(at + 1, '=')) {
    g_autofree char *name = g_strndup(argument, (gsize)(at - argument));
    if (lcip_graph_find_lane(graph, name))
      found = at;
  }
  return found;
}

static gboolean bind_lane(GHashTable *bindings, const LcipGraph *graph, const char *argument,
                          GError **error) {
  g_autofree char *lanes = list_lanes(graph);
  const char *equals = find_equals(graph, argument);
  g_autofree char *name = equals ? g_strndup(argument, (gsize)(equals - argument)) : NULL;
  if (!name) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--lane: expected NAME=DEVICE with a lane of the graph (%s), found '%s'", lanes,
                argument);
    return FALSE;
  }
  g_autoptr(GError) remote_error = NULL;
  if (lcip_remote_is_id(equals + 1) && !lcip_remote_device_find(equals + 1, &remote_error)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--lane %s: %s", argument,
                remote_error->message);
    return FALSE;
  }
  if (!lcip_runtime_find_device(lcip_runtime_get(), equals + 1)) {
    g_autofree char *devices = list_devices();
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--lane %s: there is no device '%s'; lanes: %s; devices: %s", argument, equals + 1,
                lanes, devices);
    return FALSE;
  }
  g_hash_table_insert(bindings, g_steal_pointer(&name), g_strdup(equals + 1));
  return TRUE;
}

static gboolean check_mapping(const LcipGraph *graph, const char *name, GError **error) {
  if (!name || lcip_graph_find_mapping(graph, name))
    return TRUE;
  g_autoptr(GString) names = g_string_new(NULL);
  for (guint i = 0; i < graph->mappings->len; i++) {
    const LcipMapping *mapping = g_ptr_array_index(graph->mappings, i);
    g_string_append_printf(names, "%s'%s'", names->len ? ", " : "", mapping->name);
  }
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
              "--mapping: the graph has no mapping '%s'; it has %s", name, names->str);
  return FALSE;
}

GHashTable *lcip_cli_bind_lanes(const LcipGraph *graph, const LcipCliPlanArgs *args,
                                GError **error) {
  g_autoptr(GHashTable) bindings = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  if (!check_mapping(graph, args->mapping, error))
    return NULL;
  for (guint i = 0; args->lanes && args->lanes[i]; i++)
    if (!bind_lane(bindings, graph, args->lanes[i], error))
      return NULL;
  return g_steal_pointer(&bindings);
}

LcipPlan *lcip_cli_plan(const char *path, LcipGraph *graph, const LcipCliPlanArgs *args,
                        GHashTable *bindings, const LcipCliInputs *inputs,
                        GCancellable *cancellable, GError **error) {
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  LcipPlanOptions options = {
      .mapping = args->mapping,
      .bindings = bindings,
      .source_sizes = inputs->source_sizes,
      .input_shapes = inputs->shapes,
      .pinned = args->pinned,
      .direct = args->direct,
      .winograd_budget_bytes = (gsize)MAX(args->winograd_budget_mib, 0) << 20,
      .no_calibration = args->no_calibration,
      .threads = (guint)MAX(args->threads, 0),
      .streams = (guint)MAX(args->streams, 0),
  };
  g_autoptr(GError) own = NULL;
  LcipPlan *plan = lcip_plan_new(graph, &options, problems, cancellable, &own);
  if (!plan && lcip_problems_have_errors(problems))
    lcip_cli_fail_problems(path, graph, problems, error);
  else if (!plan)
    g_propagate_error(error, g_steal_pointer(&own));
  else
    lcip_cli_note_problems(path, graph, problems);
  return plan;
}

/* ---- streams ---- */

/* Streams replicate the lanes, each of which has processors or a device to itself: they pay where
 * one CPU lane does all, on threads that the graph leaves open. */
static gboolean is_one_open_cpu_lane(const LcipGraph *graph, const LcipMapping *mapping) {
  const char *only = NULL;
  for (guint i = 0; i < graph->actors->len; i++) {
    const char *name = lcip_graph_lane_of(graph, mapping, (int)i);
    if (only && !g_str_equal(name, only))
      return FALSE;
    only = name;
  }
  const LcipLane *lane = only ? lcip_graph_find_lane(graph, only) : NULL;
  return lane && lane->kind == LCIP_LANE_CPU && lane->threads == 0;
}

guint lcip_cli_choose_streams(const LcipGraph *graph, const char *mapping, LcipMediaSource *source,
                              guint64 n_frames) {
  const guint n_processors = lcip_cpu_count();
  if ((source && lcip_media_source_is_live(source)) || (n_frames && n_frames < n_processors) ||
      !is_one_open_cpu_lane(graph, lcip_graph_find_mapping(graph, mapping)))
    return 1;
  return MIN(n_processors, LCIP_CLI_MAX_STREAMS);
}
