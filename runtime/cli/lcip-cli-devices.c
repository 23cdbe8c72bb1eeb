#include "config.h"

#include "lcip-cli.h"
#include "lcip-remote-device.h"

/* This machine's, then those of paired workers as they were last seen. A list of workers that
 * cannot be read is told, and is no reason to show nothing. Transfer container. */
static GPtrArray *all_devices(LcipRuntime *runtime) {
  const GPtrArray *own = lcip_runtime_devices(runtime);
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) remote = lcip_remote_devices(&error);
  GPtrArray *all = g_ptr_array_new();
  for (guint i = 0; i < own->len; i++)
    g_ptr_array_add(all, own->pdata[i]);
  for (guint i = 0; remote && i < remote->len; i++)
    g_ptr_array_add(all, remote->pdata[i]);
  if (error)
    lcip_cli_note("workers: %s", error->message);
  return all;
}

static void print_devices(LcipRuntime *runtime) {
  g_autoptr(GPtrArray) devices = all_devices(runtime);
  g_print("%-10s %-8s %5s %10s  %s\n", "DEVICE", "KIND", "UNITS", "MEMORY", "NAME");
  for (guint i = 0; i < devices->len; i++) {
    const LcipDevice *device = g_ptr_array_index(devices, i);
    g_autofree char *memory =
        device->memory_bytes ? g_format_size_full(device->memory_bytes, G_FORMAT_SIZE_IEC_UNITS)
                             : g_strdup("-");
    g_print("%-10s %-8s %5u %10s  %s", device->id, lcip_lane_kind_name(device->kind), device->units,
            memory, device->name);
    g_print(device->driver && *device->driver ? " (%s)\n" : "\n", device->driver);
  }
}

static void print_json(LcipRuntime *runtime) {
  g_autoptr(GPtrArray) devices = all_devices(runtime);
  LcipCliJson json;
  lcip_cli_json_init(&json, stdout, 2);
  lcip_cli_json_begin_object(&json, NULL);
  lcip_cli_json_string(&json, "format", "lcip-devices");
  lcip_cli_json_int(&json, "version", LCIP_CLI_JSON_VERSION);
  lcip_cli_json_begin_array(&json, "devices");
  for (guint i = 0; i < devices->len; i++) {
    const LcipDevice *device = g_ptr_array_index(devices, i);
    lcip_cli_json_begin_object(&json, NULL);
    lcip_cli_json_string(&json, "id", device->id);
    lcip_cli_json_string(&json, "kind", lcip_lane_kind_name(device->kind));
    lcip_cli_json_string(&json, "name", device->name);
    lcip_cli_json_int(&json, "units", device->units);
    lcip_cli_json_int(&json, "memory_bytes", (gint64)device->memory_bytes);
    lcip_cli_json_string(&json, "driver", device->driver);
    lcip_cli_json_end_object(&json);
  }
  lcip_cli_json_end_array(&json);
  lcip_cli_json_string(&json, "opencl_problem", lcip_runtime_opencl_problem(runtime));
  lcip_cli_json_end_object(&json);
}

static LcipCliExit run(const LcipCliCommand *command, char **argv) {
  g_auto(GStrv) args = g_strdupv(argv);
  gboolean as_json = FALSE;
  const GOptionEntry entries[] = {
      {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "Print a JSON document (lcip-devices)", NULL},
      G_OPTION_ENTRY_NULL};
  if (!lcip_cli_parse(command, entries, &args, 0, 0))
    return LCIP_CLI_USAGE;
  LcipRuntime *runtime = lcip_runtime_get();
  if (as_json)
    print_json(runtime);
  else
    print_devices(runtime);
  const char *problem = lcip_runtime_opencl_problem(runtime);
  if (problem && !as_json)
    lcip_cli_note("OpenCL: %s", problem);
  return lcip_cli_finish(LCIP_CLI_DONE);
}

const LcipCliCommand lcip_cli_devices = {
    .name = "devices",
    .arguments = NULL,
    .summary = "List what lanes can be bound to: the CPU, OpenCL devices and paired workers",
    .description =
        "Example: lcip run graph.xml --lane GPU=opencl:0 binds the lane named GPU to the "
        "device with that id.",
    .run = run,
};
