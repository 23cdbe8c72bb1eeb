#include "config.h"
#include "fuzz.h"

static char *array_path;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  fuzz_begin();
  array_path = fuzz_path("array.npy");
  return 0;
}

/* What was read can be written, and is read as the same. */
static void save(LcipTensor *tensor) {
  g_autoptr(GError) error = NULL;
  g_autofree char *path = fuzz_path("again.npy");
  if (!lcip_npy_write(tensor, path, &error))
    g_error("an array that was read cannot be written: %s", error->message);
  LcipTensor *again = lcip_npy_read(path, &error);
  if (!again)
    g_error("an array that was written cannot be read: %s", error->message);
  if (!lcip_tensor_spec_equal(lcip_tensor_get_spec(tensor), lcip_tensor_get_spec(again)) ||
      memcmp(lcip_tensor_get_data(tensor), lcip_tensor_get_data(again),
             lcip_tensor_get_bytes(again)) != 0)
    g_error("an array that was written is read as another");
  fuzz_touch(again);
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size) {
  g_autoptr(GError) error = NULL;
  fuzz_start_clock();
  fuzz_put(array_path, data, size);
  LcipTensor *tensor = lcip_npy_read(array_path, &error);
  if (tensor) {
    save(tensor);
    fuzz_touch(tensor);
  } else {
    fuzz_check_error(error);
  }
  return 0;
}
