#include "config.h"
#include "test-io.h"

#include <glib/gstdio.h>
#include <string.h>

/* ---- damage: an error or a valid result, never a crash and never a huge allocation ---- */

typedef void (*ReadAndTouch)(const char *path);

static void touch_graph(LcipGraph *graph) {
  for (guint i = 0; i < graph->actors->len; i++) {
    const LcipActor *actor = lcip_graph_actor(graph, (int)i);
    for (guint k = 0; k < actor->n_inputs; k++)
      if (actor->constants[k])
        touch(actor->constants[k]);
  }
  g_autofree char *text = lcip_xml_to_string(graph, NULL, NULL);
  g_assert_nonnull(text);
}

static void read_graph(const char *path) {
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipGraph) graph = lcip_graph_load(path, problems, &error);
  g_assert_true((graph == NULL) == (error != NULL));
  if (graph)
    touch_graph(graph);
}

static void read_onnx(const char *path) {
  g_autoptr(GPtrArray) problems = lcip_problems_new();
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipGraph) graph = lcip_onnx_read(path, problems, &error);
  g_assert_true((graph == NULL) == (error != NULL));
  if (graph)
    touch_graph(graph);
}

static void read_weights(const char *path) {
  static const char *const keys[] = {"a", "b", "w"};
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipWeights) weights = lcip_weights_open(path, &error);
  g_assert_true((weights == NULL) == (error != NULL));
  for (gsize i = 0; weights && i < G_N_ELEMENTS(keys); i++) {
    g_autoptr(LcipTensor) tensor = lcip_weights_get(weights, keys[i], NULL);
    if (tensor)
      touch(tensor);
  }
}

static void read_npy(const char *path) {
  g_autoptr(GError) error = NULL;
  g_autoptr(LcipTensor) tensor = lcip_npy_read(path, &error);
  g_assert_true((tensor == NULL) == (error != NULL));
  if (tensor)
    touch(tensor);
}

typedef enum { DAMAGE_CUT, DAMAGE_BYTE, DAMAGE_BIT, N_DAMAGES } Damage;

static void damage_once(GBytes *good, const char *target, gsize offset, Damage damage,
                        ReadAndTouch reader) {
  gsize size;
  const guint8 *data = g_bytes_get_data(good, &size);
  g_autofree guint8 *bad = g_memdup2(data, size);
  if (damage == DAMAGE_BYTE)
    bad[offset] = (guint8)g_test_rand_int_range(0, 256);
  if (damage == DAMAGE_BIT)
    bad[offset] ^= (guint8)(1u << g_test_rand_int_range(0, 8));
  put(target, bad, damage == DAMAGE_CUT ? offset : size);
  reader(target);
}

static void damage_at(GBytes *good, const char *target, gsize offset, ReadAndTouch reader) {
  for (Damage damage = DAMAGE_CUT; damage < N_DAMAGES; damage++)
    damage_once(good, target, offset, damage, reader);
}

/* Small files at every 64th byte, large ones at 500 places that the printed seed gives. */
static void damage_file(const char *path, const char *beside, ReadAndTouch reader) {
  g_autoptr(GBytes) good = get(path);
  const gsize size = g_bytes_get_size(good);
  g_autofree char *folder = in_scratch("damage");
  g_autofree char *target = g_build_filename(folder, "damaged", NULL);
  g_mkdir_with_parents(folder, 0700);
  if (beside) {
    g_autofree char *name = g_path_get_basename(beside);
    g_autofree char *copy = g_build_filename(folder, name, NULL);
    g_autoptr(GBytes) bytes = get(beside);
    put(copy, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
  }
  if (size < 64 * 1024)
    for (gsize offset = 0; offset < size; offset += 64)
      damage_at(good, target, offset, reader);
  else
    for (int i = 0; i < 500; i++)
      damage_once(good, target, (gsize)g_test_rand_int_range(0, (gint32)size),
                  (Damage)(i % N_DAMAGES), reader);
}

static void test_damage_xml(void) {
  g_autofree char *folder = in_source("tests/corpus");
  g_autofree char *small = in_source("tests/corpus/valid.xml");
  g_autofree char *large = in_source("graphs/blazeface-back.xml");
  g_autofree char *small_weights = weights_beside(folder);
  g_autofree char *large_weights = in_source("graphs/blazeface-back-fe38c89412fcfb47.safetensors");
  damage_file(small, small_weights, read_graph);
  damage_file(large, large_weights, read_graph);
}

static void test_damage_onnx(void) {
  g_autofree char *blazeface = in_source("data/models/blazeface-back-256.onnx");
  damage_file(blazeface, NULL, read_onnx);
}

/* The first kilobytes of a model hold tags and lengths; weights make up most of the rest. */
static void test_damage_onnx_head(void) {
  g_autofree char *path = in_source("data/models/selfie-segmentation-256.onnx");
  g_autofree char *target = in_scratch("head.onnx");
  g_autoptr(GBytes) good = get(path);
  for (gsize offset = 0; offset < 4096; offset += 16)
    damage_at(good, target, offset, read_onnx);
}

static void test_damage_weights(void) {
  g_autofree char *folder = in_source("tests/corpus");
  g_autofree char *small = weights_beside(folder);
  g_autofree char *large = in_source("graphs/blazeface-back-fe38c89412fcfb47.safetensors");
  g_autofree char *target = in_scratch("head.safetensors");
  damage_file(small, NULL, read_weights);
  damage_file(large, NULL, read_weights);
  g_autoptr(GBytes) good = get(small);
  for (gsize offset = 0; offset < g_bytes_get_size(good); offset++)
    damage_at(good, target, offset, read_weights);
}

static void test_damage_npy(void) {
  g_autoptr(LcipTensor) tensor = f32_tensor(100, 1);
  g_autofree char *path = in_scratch("good.npy"), *target = in_scratch("head.npy");
  g_assert_true(lcip_npy_write(tensor, path, NULL));
  damage_file(path, NULL, read_npy);
  g_autoptr(GBytes) good = get(path);
  for (gsize offset = 0; offset < 128; offset++)
    damage_at(good, target, offset, read_npy);
}

void add_damage_tests(void) {
  g_test_add_func("/io/damage/xml", test_damage_xml);
  g_test_add_func("/io/damage/onnx", test_damage_onnx);
  g_test_add_func("/io/damage/onnx-head", test_damage_onnx_head);
  g_test_add_func("/io/damage/weights", test_damage_weights);
  g_test_add_func("/io/damage/npy", test_damage_npy);
}
