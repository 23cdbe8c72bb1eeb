#include "config.h"
#include "fuzz.h"

/* An input is an XML document and behind its first zero byte the file "w.safetensors". The hash of
 * that file takes the place of 64 zeros in the document: no fuzzer would ever guess it. */

static char *document_path;
static char *weights_path;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  fuzz_begin();
  document_path = fuzz_path("document.xml");
  weights_path = fuzz_path("w.safetensors");
  return 0;
}

static void put_weights(const guint8 *data, gsize size, guint8 *document, gsize document_size) {
  static const char zeros[] =
      "\"0000000000000000000000000000000000000000000000000000000000000000\"";
  fuzz_put(weights_path, data, size);
  guint8 *place =
      document_size == 0 ? NULL : memmem(document, document_size, zeros, sizeof zeros - 1);
  if (!place)
    return;
  g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
  g_autofree char *hash = lcip_io_sha256(bytes);
  memcpy(place + 1, hash, 64);
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size) {
  const guint8 *end = size ? memchr(data, 0, size) : NULL;
  const gsize document_size = end ? (gsize)(end - data) : size;
  g_autofree guint8 *document = g_memdup2(data, document_size);
  g_autoptr(GError) error = NULL;
  fuzz_start_clock();
  if (end)
    put_weights(end + 1, size - document_size - 1, document, document_size);
  fuzz_put(document_path, document, document_size);
  g_autoptr(LcipGraph) graph = lcip_xml_read(document_path, &error);
  if (graph) {
    fuzz_analyse(graph);
    fuzz_save(graph);
  } else {
    fuzz_check_error(error);
  }
  g_unlink(weights_path);
  return 0;
}
