#include "config.h"
#include "lcip-cl-private.h"

#include <string.h>

/* ---- errors ---- */

#define CODE(name)                                                                                 \
  { name, #name }
static const struct {
  cl_int code;
  const char *name;
} codes[] = {
    CODE(CL_DEVICE_NOT_FOUND),
    CODE(CL_DEVICE_NOT_AVAILABLE),
    CODE(CL_COMPILER_NOT_AVAILABLE),
    CODE(CL_MEM_OBJECT_ALLOCATION_FAILURE),
    CODE(CL_OUT_OF_RESOURCES),
    CODE(CL_OUT_OF_HOST_MEMORY),
    CODE(CL_PROFILING_INFO_NOT_AVAILABLE),
    CODE(CL_BUILD_PROGRAM_FAILURE),
    CODE(CL_MAP_FAILURE),
    CODE(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST),
    CODE(CL_LINK_PROGRAM_FAILURE),
    CODE(CL_INVALID_VALUE),
    CODE(CL_INVALID_PLATFORM),
    CODE(CL_INVALID_DEVICE),
    CODE(CL_INVALID_CONTEXT),
    CODE(CL_INVALID_COMMAND_QUEUE),
    CODE(CL_INVALID_MEM_OBJECT),
    CODE(CL_INVALID_BINARY),
    CODE(CL_INVALID_BUILD_OPTIONS),
    CODE(CL_INVALID_PROGRAM),
    CODE(CL_INVALID_PROGRAM_EXECUTABLE),
    CODE(CL_INVALID_KERNEL_NAME),
    CODE(CL_INVALID_KERNEL),
    CODE(CL_INVALID_ARG_INDEX),
    CODE(CL_INVALID_ARG_VALUE),
    CODE(CL_INVALID_ARG_SIZE),
    CODE(CL_INVALID_KERNEL_ARGS),
    CODE(CL_INVALID_WORK_DIMENSION),
    CODE(CL_INVALID_WORK_GROUP_SIZE),
    CODE(CL_INVALID_WORK_ITEM_SIZE),
    CODE(CL_INVALID_GLOBAL_OFFSET),
    CODE(CL_INVALID_EVENT_WAIT_LIST),
    CODE(CL_INVALID_EVENT),
    CODE(CL_INVALID_OPERATION),
    CODE(CL_INVALID_BUFFER_SIZE),
    CODE(CL_INVALID_GLOBAL_WORK_SIZE),
};

const char *lcip_cl_code_name(cl_int code) {
  for (guint i = 0; i < G_N_ELEMENTS(codes); i++)
    if (codes[i].code == code)
      return codes[i].name;
  return "unknown OpenCL error";
}

gboolean lcip_cl_fail(GError **error, cl_int code, const char *what, ...) {
  va_list ap;
  va_start(ap, what);
  g_autofree char *text = g_strdup_vprintf(what, ap);
  va_end(ap);
  const gboolean memory = code == CL_MEM_OBJECT_ALLOCATION_FAILURE ||
                          code == CL_OUT_OF_HOST_MEMORY || code == CL_INVALID_BUFFER_SIZE;
  g_set_error(error, LCIP_ERROR, memory ? LCIP_ERROR_MEMORY : LCIP_ERROR_DEVICE, "%s: %s (%d)",
              text, lcip_cl_code_name(code), code);
  return FALSE;
}

/* ---- devices ---- */

static char *device_text(cl_device_id id, cl_device_info info) {
  size_t size = 0;
  if (clGetDeviceInfo(id, info, 0, NULL, &size) != CL_SUCCESS || size == 0)
    return g_strdup("unknown");
  char *text = g_malloc0(size + 1);
  if (clGetDeviceInfo(id, info, size, text, NULL) != CL_SUCCESS) {
    g_free(text);
    return g_strdup("unknown");
  }
  g_strstrip(text);
  return text;
}

static char *platform_text(cl_platform_id id, cl_platform_info info) {
  size_t size = 0;
  if (clGetPlatformInfo(id, info, 0, NULL, &size) != CL_SUCCESS || size == 0)
    return g_strdup("unknown");
  char *text = g_malloc0(size + 1);
  clGetPlatformInfo(id, info, size, text, NULL);
  g_strstrip(text);
  return text;
}

static gboolean device_usable(cl_device_id id, const char **why) {
  cl_bool available = CL_FALSE, compiler = CL_FALSE, little = CL_FALSE;
  clGetDeviceInfo(id, CL_DEVICE_AVAILABLE, sizeof available, &available, NULL);
  clGetDeviceInfo(id, CL_DEVICE_COMPILER_AVAILABLE, sizeof compiler, &compiler, NULL);
  clGetDeviceInfo(id, CL_DEVICE_ENDIAN_LITTLE, sizeof little, &little, NULL);
  if (!available)
    *why = "it is not available";
  else if (!compiler)
    *why = "its driver has no compiler";
  else if (little != (G_BYTE_ORDER == G_LITTLE_ENDIAN))
    *why = "its byte order is not the host's";
  else
    return TRUE;
  return FALSE;
}

static void program_free(gpointer program) {
  clReleaseProgram(program);
}

static LcipClDevice *device_new(cl_platform_id platform, cl_device_id id, cl_int *code) {
  const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)platform,
                                              0};
  cl_context context = clCreateContext(properties, 1, &id, NULL, NULL, code);
  if (!context)
    return NULL;
  LcipClDevice *device = g_new0(LcipClDevice, 1);
  cl_uint units = 0;
  cl_ulong memory = 0;
  g_atomic_ref_count_init(&device->refs);
  device->id = id;
  device->context = context;
  device->name = device_text(id, CL_DEVICE_NAME);
  device->vendor = device_text(id, CL_DEVICE_VENDOR);
  device->driver = device_text(id, CL_DRIVER_VERSION);
  device->platform = platform_text(platform, CL_PLATFORM_VERSION);
  clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof device->type, &device->type, NULL);
  clGetDeviceInfo(id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
  clGetDeviceInfo(id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof memory, &memory, NULL);
  device->units = units;
  device->memory_bytes = memory;
  g_mutex_init(&device->lock);
  device->programs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, program_free);
  return device;
}

#define ICD_NONE (-1001) /* CL_PLATFORM_NOT_FOUND_KHR */

/* What an unwritable cache looks like. */
#define POCL_HINT                                                                                  \
  "PoCL says so when its cache folder (POCL_CACHE_DIR, else pocl in the user's cache folder) "     \
  "cannot be written"

static void add_platform(cl_platform_id platform, GPtrArray *devices, GString *why) {
  cl_device_id ids[64];
  cl_uint n = 0;
  g_autofree char *name = platform_text(platform, CL_PLATFORM_NAME);
  cl_int code = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, G_N_ELEMENTS(ids), ids, &n);
  if (code != CL_SUCCESS || n == 0) {
    g_string_append_printf(why, "OpenCL platform %s has no devices: %s (%d)%s. ", name,
                           lcip_cl_code_name(code), code,
                           code == CL_DEVICE_NOT_FOUND ? "; " POCL_HINT : "");
    return;
  }
  for (cl_uint i = 0; i < MIN(n, G_N_ELEMENTS(ids)); i++) {
    const char *reason = NULL;
    g_autofree char *text = device_text(ids[i], CL_DEVICE_NAME);
    LcipClDevice *device = NULL;
    if (!device_usable(ids[i], &reason))
      g_string_append_printf(why, "OpenCL device %s cannot be used: %s. ", text, reason);
    else if (!(device = device_new(platform, ids[i], &code)))
      g_string_append_printf(why, "OpenCL device %s cannot be opened: %s (%d). ", text,
                             lcip_cl_code_name(code), code);
    else
      g_ptr_array_add(devices, device);
  }
}

/* The first device of its kind is a lane's default: graphics processors before processors. */
static int device_order(gconstpointer a, gconstpointer b) {
  const LcipClDevice *left = *(LcipClDevice *const *)a, *right = *(LcipClDevice *const *)b;
  return !!(left->type & CL_DEVICE_TYPE_CPU) - !!(right->type & CL_DEVICE_TYPE_CPU);
}

static void explain_platforms(cl_int code, GString *why) {
  if (code == ICD_NONE || code == CL_SUCCESS)
    g_string_append(why, "No OpenCL driver is installed (the ICD loader found none).");
  else if (code == CL_DEVICE_NOT_FOUND)
    g_string_append_printf(
        why, "An OpenCL driver is installed but could not start (%s, %d); " POCL_HINT ".",
        lcip_cl_code_name(code), code);
  else
    g_string_append_printf(why, "OpenCL platforms could not be listed: %s (%d).",
                           lcip_cl_code_name(code), code);
}

typedef struct {
  GPtrArray *devices;
  char *why;
} DeviceList;

static gpointer find_devices(gpointer data) {
  static DeviceList list;
  cl_platform_id platforms[32];
  cl_uint n = 0;
  g_autoptr(GString) why = g_string_new(NULL);
  list.devices = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_cl_device_unref);
  if (lcip_cl_probe(why)) {
    const cl_int code = clGetPlatformIDs(G_N_ELEMENTS(platforms), platforms, &n);
    if (code != CL_SUCCESS || n == 0)
      explain_platforms(code, why);
    else
      for (cl_uint i = 0; i < MIN(n, G_N_ELEMENTS(platforms)); i++)
        add_platform(platforms[i], list.devices, why);
  }
  g_ptr_array_sort(list.devices, device_order);
  list.why = g_strdup(g_strchomp(why->str));
  return &list;
}

static gpointer copy_ref(gconstpointer device, gpointer data) {
  return lcip_cl_device_ref((LcipClDevice *)device);
}

GPtrArray *lcip_cl_list_devices(char **why) {
  static GOnce once = G_ONCE_INIT;
  const DeviceList *list = g_once(&once, find_devices, NULL);
  if (why)
    *why = list->devices->len == 0 ? g_strdup(list->why) : NULL;
  return g_ptr_array_copy(list->devices, (GCopyFunc)copy_ref, NULL);
}

LcipClDevice *lcip_cl_device_ref(LcipClDevice *device) {
  g_atomic_ref_count_inc(&device->refs);
  return device;
}

void lcip_cl_device_unref(LcipClDevice *device) {
  if (!g_atomic_ref_count_dec(&device->refs))
    return;
  g_hash_table_unref(device->programs);
  clReleaseContext(device->context);
  g_mutex_clear(&device->lock);
  g_free(device->name);
  g_free(device->vendor);
  g_free(device->driver);
  g_free(device->platform);
  g_free(device);
}

const char *lcip_cl_device_name(LcipClDevice *device) {
  return device->name;
}

const char *lcip_cl_device_vendor(LcipClDevice *device) {
  return device->vendor;
}

const char *lcip_cl_device_driver(LcipClDevice *device) {
  return device->driver;
}

guint lcip_cl_device_units(LcipClDevice *device) {
  return device->units;
}

guint64 lcip_cl_device_memory_bytes(LcipClDevice *device) {
  return device->memory_bytes;
}

/* ---- buffers ---- */

static LcipClMem buffer_new(LcipClDevice *device, cl_mem_flags flags, gsize size_bytes,
                            const void *data, GError **error) {
  cl_int code;
  /* OpenCL has no empty buffers. */
  cl_mem buffer = clCreateBuffer(device->context, flags, MAX(size_bytes, 4), (void *)data, &code);
  if (!buffer)
    lcip_cl_fail(error, code, "%s: no buffer of %" G_GSIZE_FORMAT " bytes", device->name,
                 size_bytes);
  return buffer;
}

LcipClMem lcip_cl_buffer_new(LcipClDevice *device, gsize size_bytes, GError **error) {
  return buffer_new(device, CL_MEM_READ_WRITE, size_bytes, NULL, error);
}

LcipClMem lcip_cl_buffer_new_from(LcipClDevice *device, gsize size_bytes, const void *data,
                                  GError **error) {
  if (size_bytes < 4) {
    guint8 padded[4] = {0};
    if (size_bytes)
      memcpy(padded, data, size_bytes);
    return buffer_new(device, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, 4, padded, error);
  }
  return buffer_new(device, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, size_bytes, data, error);
}

void lcip_cl_buffer_free(LcipClMem buffer) {
  if (buffer)
    clReleaseMemObject(buffer);
}
