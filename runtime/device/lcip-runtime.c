#include "config.h"
#include "lcip-runtime.h"
#include "lcip-memory.h"
#include "lcip-remote-device.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* LARGE_BUFFER_BYTES: buffers from here on are mapped apart, see lcip_runtime_compact_memory(). */
enum { LARGE_BUFFER_BYTES = 256 * 1024 };

/* The caches are keyed by texts. Neither keeps anything alive that nobody uses: uploads leave the
 * table with their last holder, blobs are dropped when a look into the table finds them unshared.
 */
struct _LcipRuntime {
  LcipDevice *cpu;
  /* since find_devices() */
  _Atomic gboolean found;
  GPtrArray *devices;
  char *opencl_problem;
  pthread_mutex_t mutex;
  /* under mutex */
  GHashTable *prepared; /* key text -> PreparedEntry */
  GHashTable *uploads;  /* key text -> LcipClUpload, weak */
  GArray *copies;       /* Copy, those not in use */
};

/* Copy: memory for the weights of a step while they are prepared. */
typedef struct {
  guint8 *data;
  gsize size_bytes;
} Copy;

/* Constants and attributes are kept, so that their addresses stand for their contents while the
 * entry lives. */
typedef struct {
  LcipBlob *blob;
  LcipAttrs *attrs;
  GPtrArray *constants;
} PreparedEntry;

struct _LcipClUpload {
  guint refs; /* under the runtime's mutex */
  char *key;
  LcipClDevice *device;
  LcipClMem buffer;
};

/* ---- devices ---- */

static void device_free(gpointer data) {
  LcipDevice *device = data;
  g_free(device->id);
  g_free(device->name);
  g_free(device->driver);
  g_clear_pointer(&device->cl, lcip_cl_device_unref);
  g_free(device);
}

static LcipDevice *device_new_cpu(void) {
  LcipDevice *device = g_new0(LcipDevice, 1);
  device->id = g_strdup("cpu");
  device->name = g_strdup(lcip_cpu_name());
  device->kind = LCIP_LANE_CPU;
  device->units = lcip_cpu_count();
  device->memory_bytes = (guint64)sysconf(_SC_PHYS_PAGES) * (guint64)sysconf(_SC_PAGESIZE);
  device->driver = g_strdup("");
  return device;
}

static LcipDevice *device_new_opencl(LcipClDevice *cl, guint index) {
  LcipDevice *device = g_new0(LcipDevice, 1);
  device->id = g_strdup_printf("opencl:%u", index);
  device->name = g_strdup(lcip_cl_device_name(cl));
  device->kind = LCIP_LANE_OPENCL;
  device->units = lcip_cl_device_units(cl);
  device->memory_bytes = lcip_cl_device_memory_bytes(cl);
  device->driver = g_strdup(lcip_cl_device_driver(cl));
  device->cl = lcip_cl_device_ref(cl);
  return device;
}

static LcipRuntime *runtime_new(void) {
  LcipRuntime *runtime = g_new0(LcipRuntime, 1);
  runtime->cpu = device_new_cpu();
  pthread_mutex_init(&runtime->mutex, NULL);
  runtime->prepared = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  runtime->uploads = g_hash_table_new(g_str_hash, g_str_equal);
  runtime->copies = g_array_new(FALSE, FALSE, sizeof(Copy));
  return runtime;
}

static _Atomic(LcipRuntime *) the_runtime;

static void make_the_runtime(void) {
  atomic_store_explicit(&the_runtime, runtime_new(), memory_order_release);
}

LcipRuntime *lcip_runtime_get(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_the_runtime);
  return atomic_load_explicit(&the_runtime, memory_order_acquire);
}

/* Starting OpenCL's drivers takes longer than loading most networks: who needs the CPU alone does
 * not ask for the others. */
static void find_devices(void) {
  LcipRuntime *runtime = lcip_runtime_get();
  runtime->devices = g_ptr_array_new_with_free_func(device_free);
  g_ptr_array_add(runtime->devices, runtime->cpu);
  g_autoptr(GPtrArray) list = lcip_cl_list_devices(&runtime->opencl_problem);
  for (guint i = 0; i < list->len; i++)
    g_ptr_array_add(runtime->devices, device_new_opencl(g_ptr_array_index(list, i), i));
  atomic_store_explicit(&runtime->found, TRUE, memory_order_release);
}

const GPtrArray *lcip_runtime_devices(LcipRuntime *runtime) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, find_devices);
  return runtime->devices;
}

gboolean lcip_runtime_devices_known(LcipRuntime *runtime) {
  return atomic_load_explicit(&runtime->found, memory_order_acquire);
}

const LcipDevice *lcip_runtime_first_device(LcipRuntime *runtime, LcipLaneKind kind) {
  if (kind == LCIP_LANE_CPU)
    return runtime->cpu;
  const GPtrArray *devices = lcip_runtime_devices(runtime);
  for (guint i = 0; i < devices->len; i++)
    if (((const LcipDevice *)devices->pdata[i])->kind == kind)
      return devices->pdata[i];
  return NULL;
}

const LcipDevice *lcip_runtime_find_device(LcipRuntime *runtime, const char *id) {
  if (lcip_remote_is_id(id))
    return lcip_remote_device_find(id, NULL);
  if (g_strcmp0(runtime->cpu->id, id) == 0)
    return runtime->cpu;
  const GPtrArray *devices = lcip_runtime_devices(runtime);
  for (guint i = 0; i < devices->len; i++) {
    const LcipDevice *device = g_ptr_array_index(devices, i);
    if (g_strcmp0(device->id, id) == 0)
      return device;
  }
  return NULL;
}

const char *lcip_runtime_opencl_problem(LcipRuntime *runtime) {
  lcip_runtime_devices(runtime);
  return runtime->opencl_problem;
}

/* ---- prepared weights ---- */

static void prepared_entry_free(PreparedEntry *entry) {
  lcip_blob_unref(entry->blob);
  g_clear_pointer(&entry->attrs, lcip_attrs_unref);
  g_ptr_array_unref(entry->constants);
  g_free(entry);
}

static void key_add_attrs(GString *key, const LcipAttrs *attrs) {
  guint n = 0;
  g_autofree const char **names = attrs ? lcip_attrs_names(attrs, &n) : NULL;
  for (guint i = 0; i < n; i++) {
    g_autofree char *text = lcip_attrs_get_text(attrs, names[i]);
    g_string_append_printf(key, "|%s=%s", names[i], text ? text : "");
    /* Tensors have no text; they never change, so their address does. */
    if (!text)
      g_string_append_printf(key, "%p", (void *)lcip_attrs_get(attrs, names[i])->tensor);
  }
}

static void key_add_spec(GString *key, const LcipTensorSpec *spec, LcipFormat format) {
  g_autofree char *text = lcip_tensor_spec_to_string(spec);
  g_string_append_printf(key, "|%s@%d", text, (int)format);
}

/* Everything that prepare() can see of the step. */
static char *prepared_key(const LcipKernel *kernel, const LcipStep *step,
                          const LcipPortFormats *formats) {
  GString *key = g_string_new(kernel->name);
  g_string_append_printf(key, "|%s.%s", step->op->domain, step->op->name);
  key_add_attrs(key, step->attrs);
  for (guint i = 0; i < step->n_inputs; i++) {
    key_add_spec(key, &step->inputs[i], formats->inputs[i]);
    if (step->constants && step->constants[i])
      g_string_append_printf(key, "#%p", lcip_tensor_get_stored(step->constants[i]));
  }
  for (guint i = 0; i < step->n_outputs; i++)
    key_add_spec(key, &step->outputs[i], formats->outputs[i]);
  for (guint i = 0; i < step->n_epilogues; i++) {
    const LcipEpilogue *epilogue = &step->epilogues[i];
    g_string_append_printf(key, "|+%s.%s:%d:%d", epilogue->op->domain, epilogue->op->name,
                           epilogue->side_input, epilogue->side_first);
    key_add_attrs(key, epilogue->attrs);
  }
  return g_string_free(key, FALSE);
}

static GPtrArray *step_constants(const LcipStep *step) {
  GPtrArray *kept = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_tensor_unref);
  for (guint i = 0; i < step->n_inputs; i++)
    if (step->constants && step->constants[i])
      g_ptr_array_add(kept, lcip_tensor_ref(step->constants[i]));
  return kept;
}

/* Drops what only the cache holds. Nobody else can get at such an entry while the lock is held. */
static void sweep_locked(LcipRuntime *runtime) {
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init(&iter, runtime->prepared);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    PreparedEntry *entry = value;
    if (lcip_blob_is_shared(entry->blob))
      continue;
    g_hash_table_iter_remove(&iter);
    prepared_entry_free(entry);
  }
}

void lcip_runtime_compact_memory(void) {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, LARGE_BUFFER_BYTES);
#endif
}

void lcip_runtime_trim(void) {
  LcipRuntime *runtime = atomic_load_explicit(&the_runtime, memory_order_acquire);
  if (!runtime)
    return;
  pthread_mutex_lock(&runtime->mutex);
  sweep_locked(runtime);
  pthread_mutex_unlock(&runtime->mutex);
}

static LcipBlob *find_prepared(LcipRuntime *runtime, const char *key) {
  pthread_mutex_lock(&runtime->mutex);
  PreparedEntry *entry = g_hash_table_lookup(runtime->prepared, key);
  LcipBlob *blob = entry ? lcip_blob_ref(entry->blob) : NULL;
  sweep_locked(runtime);
  pthread_mutex_unlock(&runtime->mutex);
  return blob;
}

/* Takes @blob. When another thread prepared the same meanwhile, theirs is given back. */
static LcipBlob *keep_prepared(LcipRuntime *runtime, const char *key, const LcipStep *step,
                               LcipBlob *blob) {
  pthread_mutex_lock(&runtime->mutex);
  PreparedEntry *entry = g_hash_table_lookup(runtime->prepared, key);
  if (!entry) {
    entry = g_new0(PreparedEntry, 1);
    entry->blob = lcip_blob_ref(blob);
    entry->attrs = step->attrs ? lcip_attrs_ref((LcipAttrs *)step->attrs) : NULL;
    entry->constants = step_constants(step);
    g_hash_table_insert(runtime->prepared, g_strdup(key), entry);
  }
  LcipBlob *kept = lcip_blob_ref(entry->blob);
  pthread_mutex_unlock(&runtime->mutex);
  lcip_blob_unref(blob);
  return kept;
}

/* Weights of ONNX files are rarely aligned, and packing reads them once: so they are aligned in
 * memory that the next step uses again, instead of in as much as they have. */

static Copy take_copy(LcipRuntime *runtime, gsize size_bytes) {
  Copy copy = {0};
  pthread_mutex_lock(&runtime->mutex);
  if (runtime->copies->len > 0) {
    copy = g_array_index(runtime->copies, Copy, runtime->copies->len - 1);
    g_array_set_size(runtime->copies, runtime->copies->len - 1);
  }
  pthread_mutex_unlock(&runtime->mutex);
  if (copy.size_bytes >= size_bytes)
    return copy;
  lcip_memory_free(copy.data, copy.size_bytes);
  copy.size_bytes = MAX(size_bytes, 2 * copy.size_bytes);
  copy.data = lcip_memory_alloc(copy.size_bytes);
  return copy;
}

static void give_copy(LcipRuntime *runtime, Copy copy) {
  pthread_mutex_lock(&runtime->mutex);
  g_array_append_val(runtime->copies, copy);
  pthread_mutex_unlock(&runtime->mutex);
}

void lcip_runtime_trim_copies(LcipRuntime *runtime) {
  pthread_mutex_lock(&runtime->mutex);
  for (guint i = 0; i < runtime->copies->len; i++) {
    const Copy *copy = &g_array_index(runtime->copies, Copy, i);
    lcip_memory_free(copy->data, copy->size_bytes);
  }
  g_array_set_size(runtime->copies, 0);
  pthread_mutex_unlock(&runtime->mutex);
}

/* Bytes of constant @i where only prepare() reads it and it has to be copied for that, else 0. */
static gsize bytes_to_align(const LcipKernel *kernel, const LcipStep *step, guint i) {
  const LcipTensor *constant = step->constants ? step->constants[i] : NULL;
  if (!constant || i >= MIN(64, step->n_anchor_inputs) || !(kernel->prepared_inputs >> i & 1) ||
      (kernel->any_address >> i & 1) || lcip_tensor_is_aligned(constant))
    return 0;
  return (lcip_tensor_get_bytes(constant) + LCIP_TENSOR_ALIGN - 1) / LCIP_TENSOR_ALIGN *
         LCIP_TENSOR_ALIGN;
}

/* @constants: those of @step, the unaligned ones replaced by tensors in @copy. References. */
static void align_constants(const LcipKernel *kernel, const LcipStep *step, const Copy *copy,
                            LcipTensor **constants) {
  gsize at = 0;
  for (guint i = 0; i < step->n_inputs; i++) {
    const gsize bytes = bytes_to_align(kernel, step, i);
    constants[i] = step->constants[i];
    if (bytes > 0) {
      const gsize used = lcip_tensor_get_bytes(step->constants[i]);
      memcpy(copy->data + at, lcip_tensor_get_stored(step->constants[i]), used);
      g_autoptr(GBytes) borrowed = g_bytes_new_static(copy->data + at, used);
      constants[i] =
          lcip_tensor_new_from_bytes(lcip_tensor_get_spec(step->constants[i]), borrowed, 0);
      at += bytes;
    } else if (constants[i]) {
      lcip_tensor_ref(constants[i]);
    }
  }
}

static gboolean prepare_aligned(LcipRuntime *runtime, const LcipKernel *kernel,
                                const LcipStep *step, const LcipPortFormats *formats,
                                LcipBlob **blob, GError **error) {
  gsize size_bytes = 0;
  for (guint i = 0; i < step->n_inputs; i++)
    size_bytes += bytes_to_align(kernel, step, i);
  Copy copy = size_bytes > 0 ? take_copy(runtime, size_bytes) : (Copy){0};
  if (!copy.data) /* nothing to align, or no memory to do it in at once */
    return kernel->prepare(step, formats, blob, error);
  LcipTensor *constants[LCIP_MAX_PORTS];
  LcipStep aligned = *step;
  align_constants(kernel, step, &copy, constants);
  aligned.constants = constants;
  const gboolean ok = kernel->prepare(&aligned, formats, blob, error);
  for (guint i = 0; i < step->n_inputs; i++)
    g_clear_pointer(&constants[i], lcip_tensor_unref);
  give_copy(runtime, copy);
  return ok;
}

gboolean lcip_runtime_prepare(LcipRuntime *runtime, const LcipKernel *kernel, const LcipStep *step,
                              const LcipPortFormats *formats, LcipBlob **blob, GError **error) {
  *blob = NULL;
  if (!kernel->prepare)
    return TRUE;
  g_autofree char *key = prepared_key(kernel, step, formats);
  *blob = find_prepared(runtime, key);
  if (*blob)
    return TRUE;
  if (!prepare_aligned(runtime, kernel, step, formats, blob, error))
    return FALSE;
  if (*blob)
    *blob = keep_prepared(runtime, key, step, *blob);
  return TRUE;
}

/* ---- uploads ---- */

static LcipClUpload *find_upload(LcipRuntime *runtime, const char *key) {
  pthread_mutex_lock(&runtime->mutex);
  LcipClUpload *upload = g_hash_table_lookup(runtime->uploads, key);
  if (upload)
    upload->refs++;
  pthread_mutex_unlock(&runtime->mutex);
  return upload;
}

static void upload_free(LcipClUpload *upload) {
  lcip_cl_buffer_free(upload->buffer);
  lcip_cl_device_unref(upload->device);
  g_free(upload->key);
  g_free(upload);
}

/* Takes @buffer and @key. */
static LcipClUpload *keep_upload(LcipRuntime *runtime, LcipClDevice *device, char *key,
                                 LcipClMem buffer) {
  LcipClUpload *made = g_new0(LcipClUpload, 1);
  made->key = key;
  made->device = lcip_cl_device_ref(device);
  made->buffer = buffer;
  pthread_mutex_lock(&runtime->mutex);
  LcipClUpload *upload = g_hash_table_lookup(runtime->uploads, key);
  if (!upload) {
    upload = g_steal_pointer(&made);
    g_hash_table_insert(runtime->uploads, upload->key, upload);
  }
  upload->refs++;
  pthread_mutex_unlock(&runtime->mutex);
  g_clear_pointer(&made, upload_free);
  return upload;
}

LcipClUpload *lcip_runtime_upload(LcipRuntime *runtime, LcipClDevice *device, gconstpointer owner,
                                  gsize size_bytes, const void *data, GError **error) {
  g_autofree char *key = g_strdup_printf("%p@%p", owner, (void *)device);
  LcipClUpload *upload = find_upload(runtime, key);
  if (upload)
    return upload;
  LcipClMem buffer = lcip_cl_buffer_new_from(device, size_bytes, data, error);
  if (!buffer)
    return NULL;
  return keep_upload(runtime, device, g_steal_pointer(&key), buffer);
}

LcipClMem lcip_cl_upload_buffer(LcipClUpload *upload) {
  return upload->buffer;
}

void lcip_cl_upload_unref(LcipClUpload *upload) {
  LcipRuntime *runtime = lcip_runtime_get();
  pthread_mutex_lock(&runtime->mutex);
  const gboolean last = --upload->refs == 0;
  if (last)
    g_hash_table_remove(runtime->uploads, upload->key);
  pthread_mutex_unlock(&runtime->mutex);
  if (last)
    upload_free(upload);
}
