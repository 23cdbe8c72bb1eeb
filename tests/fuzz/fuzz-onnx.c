#include "config.h"
#include "fuzz.h"

/* An input is an ONNX model, or one TensorProto: both readers get it. "data.bin" is there for
 * external data. */

static char *model_path;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  guint8 weights[4096];
  fuzz_begin();
  model_path = fuzz_path("model.onnx");
  g_autofree char *data = fuzz_path("data.bin");
  for (gsize i = 0; i < sizeof weights; i++)
    weights[i] = (guint8)(i % 2);
  fuzz_put(data, weights, sizeof weights);
  return 0;
}

static void read_model(void) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_autoptr(LcipGraph) graph = lcip_onnx_read(model_path, problems, &error);
  if (!graph) {
    fuzz_check_error(error);
    return;
  }
  fuzz_analyse(graph);
  if (!lcip_problems_have_errors(problems))
    fuzz_save(graph);
}

static void read_tensor(void) {
  g_autoptr(GError) error = NULL;
  LcipTensor *tensor = lcip_onnx_read_tensor(model_path, &error);
  if (tensor)
    fuzz_touch(tensor);
  else
    fuzz_check_error(error);
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size) {
  fuzz_start_clock();
  fuzz_put(model_path, data, size);
  read_model();
  read_tensor();
  return 0;
}
