#include "config.h"
#include "fuzz.h"

#include <json-glib/json-glib.h>

static char *weights_path;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  fuzz_begin();
  weights_path = fuzz_path("w.safetensors");
  return 0;
}

/* The keys, read as the format says: a JSON object behind 8 bytes of its length. */
static void get_all(LcipWeights *weights, const guint8 *data) {
  guint64 length;
  memcpy(&length, data, sizeof length);
  g_autoptr(JsonParser) parser = json_parser_new_immutable();
  if (!json_parser_load_from_data(parser, (const char *)data + 8, (gssize)GUINT64_FROM_LE(length),
                                  NULL))
    g_error("a header was read that is no JSON");
  g_autoptr(GList) keys =
      json_object_get_members(json_node_get_object(json_parser_get_root(parser)));
  for (GList *l = keys; l; l = l->next) {
    g_autoptr(GError) error = NULL;
    LcipTensor *tensor = lcip_weights_get(weights, l->data, &error);
    if (tensor)
      fuzz_touch(tensor);
    else
      fuzz_check_error(error);
  }
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size) {
  g_autoptr(GError) error = NULL;
  fuzz_start_clock();
  fuzz_put(weights_path, data, size);
  g_autoptr(LcipWeights) weights = lcip_weights_open(weights_path, &error);
  if (weights)
    get_all(weights, data);
  else
    fuzz_check_error(error);
  return 0;
}
