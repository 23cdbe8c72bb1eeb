#include "config.h"
#include "test-io.h"
#include "lcip-io-private.h"
#include "lcip-memory.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* ---- safetensors ---- */

static char *write_weights(const char *header, gsize data_bytes) {
  char *path = in_scratch("w.safetensors");
  const guint64 length = GUINT64_TO_LE(strlen(header));
  g_autoptr(GByteArray) file = g_byte_array_new();
  g_byte_array_append(file, (const guint8 *)&length, 8);
  g_byte_array_append(file, (const guint8 *)header, (guint)strlen(header));
  g_autofree guint8 *data = g_malloc0(data_bytes + 1);
  g_byte_array_append(file, data, (guint)data_bytes);
  put(path, file->data, file->len);
  return path;
}

void test_weights_round_trip(void) {
  static const LcipType types[] = {LCIP_TYPE_BOOL, LCIP_TYPE_F64, LCIP_TYPE_I8, LCIP_TYPE_F16,
                                   LCIP_TYPE_F32};
  const char *keys[G_N_ELEMENTS(types)] = {"a \"q\" \\ \n", "b", "c", "d", "\xce\xbb"};
  LcipTensor *tensors[G_N_ELEMENTS(types)];
  g_autofree char *path = in_scratch("t.safetensors"), *sha256 = NULL;
  GError *error = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
    const LcipTensorSpec spec = lcip_tensor_spec(types[i], lcip_shape(2, 1, 3));
    tensors[i] = lcip_tensor_new(&spec);
    memset(lcip_tensor_get_mutable(tensors[i]), 1, lcip_tensor_get_bytes(tensors[i]));
  }
  g_assert_true(lcip_weights_write(path, G_N_ELEMENTS(types), keys, tensors, &sha256, &error));
  g_assert_cmpuint(strlen(sha256), ==, 64);
  g_autoptr(LcipWeights) weights = lcip_weights_open(path, &error);
  g_assert_no_error(error);
  for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
    g_autoptr(LcipTensor) tensor = lcip_weights_get(weights, keys[i], &error);
    g_assert_no_error(error);
    g_assert_true(
        lcip_tensor_spec_equal(lcip_tensor_get_spec(tensor), lcip_tensor_get_spec(tensors[i])));
    g_assert_cmpuint(GPOINTER_TO_SIZE(lcip_tensor_get_data(tensor)) % lcip_type_size(types[i]), ==,
                     0);
    g_assert_cmpuint(touch(tensor), ==, touch(tensors[i]));
    lcip_tensor_unref(tensors[i]);
  }
  g_assert_null(lcip_weights_get(weights, "nothing", &error));
  assert_error_has(error, "expected a tensor \"nothing\"");
  g_clear_error(&error);
}

static void test_weights_refused(void) {
  static const struct {
    const char *header, *fragment;
  } cases[] = {
      {"[]", "expected a JSON object"},
      {"{", "expected a JSON header"},
      {"{\"a\":3}", "expected an object"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "data_offsets"},
      {"{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", "such as F32"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", "12 bytes of data"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "whole number"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", "whole number"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "within 8 bytes"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,80]}}", "within 8 bytes"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "overlap or hole"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
       "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
       "overlap or hole"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "4 more bytes"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],"
       "\"data_offsets\":[0,8]}}",
       "can be stored"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}",
       "0 to 8 sizes"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}",
       "dtype, shape and data_offsets"},
      {"{\"__metadata__\":{\"a\":1}}", "expected strings"},
      {"{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", "expected a JSON object"},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *path = write_weights(cases[i].header, 8);
    GError *error = NULL;
    g_assert_null(lcip_weights_open(path, &error));
    assert_error_has(error, cases[i].fragment);
    assert_error_has(error, "offset ");
    g_clear_error(&error);
  }
}

/* ---- NumPy ---- */

static char *write_npy(const char *version, const char *dictionary, gconstpointer data,
                       gsize size) {
  char *path = in_scratch("a.npy");
  g_autoptr(GByteArray) file = g_byte_array_new();
  const guint32 length = GUINT32_TO_LE((guint32)strlen(dictionary));
  g_byte_array_append(file, (const guint8 *)"\x93NUMPY", 6);
  g_byte_array_append(file, (const guint8 *)version, 1);
  g_byte_array_append(file, (const guint8 *)"", 1);
  g_byte_array_append(file, (const guint8 *)&length, *version == 1 ? 2 : 4);
  g_byte_array_append(file, (const guint8 *)dictionary, (guint)strlen(dictionary));
  g_byte_array_append(file, data, (guint)size);
  put(path, file->data, file->len);
  return path;
}

static void test_npy_versions(void) {
  static const char *const versions[] = {"\1", "\2", "\3"};
  const gint32 data[] = {1, 2, 3, 4, 5, 6};
  for (gsize i = 0; i < G_N_ELEMENTS(versions); i++) {
    g_autofree char *path =
        write_npy(versions[i], "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }  \n",
                  data, sizeof data);
    GError *error = NULL;
    g_autoptr(LcipTensor) tensor = lcip_npy_read(path, &error);
    g_assert_no_error(error);
    const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_I32, lcip_shape(2, 2, 3));
    g_assert_true(lcip_tensor_spec_equal(lcip_tensor_get_spec(tensor), &spec));
    g_assert_cmpmem(lcip_tensor_get_data(tensor), 24, data, 24);
  }
}

static void test_npy_fortran(void) {
  const gint16 stored[] = {0, 3, 1, 4, 2, 5}; /* columns of [[0, 1, 2], [3, 4, 5]] */
  g_autofree char *path =
      write_npy("\1", "{'shape': (2,3), 'fortran_order': True, 'descr': '<i2'}", stored, 12);
  g_autoptr(LcipTensor) tensor = lcip_npy_read(path, NULL);
  g_assert_nonnull(tensor);
  for (gint16 i = 0; i < 6; i++)
    g_assert_cmpint(((const gint16 *)lcip_tensor_get_data(tensor))[i], ==, i);
}

void test_npy_round_trip(void) {
  const LcipShape shapes[] = {lcip_shape(0), lcip_shape(1, 3), lcip_shape(4, 1, 2, 0, 5),
                              lcip_shape(8, 1, 2, 1, 2, 1, 2, 1, 2)};
  g_autofree char *path = in_scratch("t.npy");
  for (LcipType type = LCIP_TYPE_F32; type < LCIP_N_TYPES; type++) {
    for (gsize i = 0; i < G_N_ELEMENTS(shapes); i++) {
      const LcipTensorSpec spec = lcip_tensor_spec(type, shapes[i]);
      g_autoptr(LcipTensor) tensor = lcip_tensor_new(&spec);
      GError *error = NULL;
      memset(lcip_tensor_get_mutable(tensor), 1, lcip_tensor_get_bytes(tensor));
      if (type == LCIP_TYPE_BF16) {
        g_assert_false(lcip_npy_write(tensor, path, &error));
        assert_error_has(error, "a type that NumPy has");
        g_clear_error(&error);
        continue;
      }
      g_assert_true(lcip_npy_write(tensor, path, &error));
      g_autoptr(LcipTensor) read = lcip_npy_read(path, &error);
      g_assert_no_error(error);
      g_assert_true(lcip_tensor_spec_equal(lcip_tensor_get_spec(read), &spec));
      g_assert_cmpuint(touch(read), ==, touch(tensor));
    }
  }
}

static void test_npy_refused(void) {
  static const struct {
    const char *dictionary, *fragment;
  } cases[] = {
      {"", "expected a dictionary"},
      {"{'descr': '<f4', 'fortran_order': False}", "descr, fortran_order and shape"},
      {"{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}", "little-endian"},
      {"{'descr': '<c8', 'fortran_order': False, 'shape': (2,)}", "a number type"},
      {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "a number type"},
      {"{'descr': '<f4', 'fortran_order': 1, 'shape': (2,)}", "True or False"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': 2}", "parentheses"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "expected 12 bytes"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "a dimension"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "a dimension"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
       "can be stored"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2)}", "at most 8"},
      {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "each once"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", "the end of the header"},
      {"{'descr': '<b1', 'fortran_order': False, 'shape': (8,)}", "bytes of 0 or 1"},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *path = write_npy("\1", cases[i].dictionary, "\1\2\3\4\5\6\7\10", 8);
    GError *error = NULL;
    g_assert_null(lcip_npy_read(path, &error));
    assert_error_has(error, cases[i].fragment);
    assert_error_has(error, "offset ");
    g_clear_error(&error);
  }
}

/* Weights in ONNX files lie where the bytes before them end. */
static void test_unaligned(void) {
  enum { N = 3000 };
  g_autofree guint8 *stored = g_malloc(N * sizeof(float) + 1);
  float values[N];
  for (int i = 0; i < N; i++)
    values[i] = (float)i / 8;
  memcpy(stored + 1, values, sizeof values);
  g_autoptr(GBytes) bytes = g_bytes_new_static(stored, sizeof values + 1);
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(1, N));
  g_autoptr(LcipTensor) tensor = lcip_io_tensor_from(&spec, bytes, 1);
  g_assert_nonnull(tensor);
  g_assert_false(lcip_tensor_is_aligned(tensor));
  g_assert_true(lcip_tensor_get_stored(tensor) == stored + 1);
  const guint8 *sha256 = lcip_tensor_get_sha256(tensor);
  g_autoptr(LcipTensor) aligned = lcip_tensor_new_from_data(&spec, values);
  g_assert_cmpmem(sha256, 32, lcip_tensor_get_sha256(aligned), 32);
  const float *data = lcip_tensor_get_data(tensor);
  g_assert_cmpuint(GPOINTER_TO_SIZE(data) % sizeof(float), ==, 0);
  g_assert_cmpmem(data, sizeof values, values, sizeof values);
  g_assert_true(lcip_tensor_get_data(tensor) == data);
  g_assert_true(lcip_tensor_is_aligned(tensor));
}

/* Blocks of all sizes, some of them freed between others: zeroed, apart, aligned. */
static void test_memory_blocks(void) {
  static const gsize sizes[] = {1, 4095, 40000, 300000, (1 << 20) + 1, 9 << 20, 70000, 7 << 20};
  enum { N = G_N_ELEMENTS(sizes), ROUNDS = 8 };
  guint8 *blocks[ROUNDS][N];
  for (int round = 0; round < ROUNDS; round++)
    for (guint i = 0; i < N; i++) {
      guint8 *block = blocks[round][i] =
          (round + i) % 2 ? lcip_memory_alloc(sizes[i]) : lcip_memory_alloc_full(sizes[i]);
      g_assert_nonnull(block);
      g_assert_cmpuint(GPOINTER_TO_SIZE(block) % LCIP_TENSOR_ALIGN, ==, 0);
      for (gsize k = 0; k < sizes[i]; k++)
        g_assert_true(block[k] == 0);
      memset(block, round + 1, sizes[i]);
      if (i % 3 == 1)
        lcip_memory_free(g_steal_pointer(&blocks[round][i]), sizes[i]);
    }
  for (int round = 0; round < ROUNDS; round++)
    for (guint i = 0; i < N; i++) {
      for (gsize k = 0; blocks[round][i] && k < sizes[i]; k++)
        g_assert_true(blocks[round][i][k] == round + 1);
      lcip_memory_free(blocks[round][i], sizes[i]);
    }
}

/* Bytes in huge pages of the mappings that @begin to @end is in; 0 where the system does not say.
 */
static gsize huge_bytes(const guint8 *begin, const guint8 *end) {
  g_autofree char *text = NULL;
  gsize total = 0, kib;
  gboolean inside = FALSE;
  if (!g_file_get_contents("/proc/self/smaps", &text, NULL, NULL))
    return 0;
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  for (char **line = lines; *line; line++) {
    gsize from, to;
    if (sscanf(*line, "%zx-%zx ", &from, &to) == 2)
      inside = from < GPOINTER_TO_SIZE(end) && to > GPOINTER_TO_SIZE(begin);
    else if (inside && sscanf(*line, "AnonHugePages: %zu kB", &kib) == 1)
      total += kib << 10;
  }
  return total;
}

enum { HUGE = 2 << 20 };

/* Whether the system makes a huge page of small ones when it is asked to. */
static gboolean can_collapse(void) {
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
  enum { COLLAPSE = 25 };
  guint8 *mapped = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  g_assert_true(mapped != MAP_FAILED);
  guint8 *page = mapped + (HUGE - GPOINTER_TO_SIZE(mapped) % HUGE) % HUGE;
  memset(page, 1, HUGE);
  const gboolean can = madvise(page, HUGE, MADV_HUGEPAGE) == 0 &&
                       madvise(page, HUGE, COLLAPSE) == 0 && huge_bytes(page, page + HUGE) >= HUGE;
  munmap(mapped, 2 * HUGE);
  return can;
#else
  return FALSE;
#endif
}

/* Counts up in a block, and has others come and go, until it is told to stop. */
static gpointer use_blocks(gpointer data) {
  enum { BYTES = 5 << 20, STEP = 4000 };
  gint *stop = data;
  guint8 *counted = lcip_memory_alloc_full(BYTES);
  for (guint8 n = 1; !g_atomic_int_get(stop); n++) {
    guint8 *other = lcip_memory_alloc_full(BYTES);
    for (gsize i = 0; i < BYTES; i += STEP) {
      counted[i]++;
      other[i] = n;
    }
    for (gsize i = 0; i < BYTES; i += STEP) {
      g_assert_cmpuint(counted[i], ==, n);
      g_assert_cmpuint(other[i], ==, n);
    }
    lcip_memory_free(other, BYTES);
  }
  lcip_memory_free(counted, BYTES);
  return NULL;
}

static void test_memory_settles(void) {
  enum { SMALL = 300000, N = 40, LARGE = 10 << 20 };
  guint8 *small[N], *large = lcip_memory_alloc(LARGE);
  gint stop = 0;
  memset(large, 7, LARGE);
  for (int i = 0; i < N; i++)
    memset(small[i] = lcip_memory_alloc_full(SMALL), i, SMALL);
  GThread *thread = g_thread_new("blocks", use_blocks, &stop);
  for (int i = 0; i < 3; i++) {
    lcip_memory_settle_later();
    lcip_memory_settle();
  }
  g_atomic_int_set(&stop, 1);
  g_thread_join(thread);
  if (can_collapse()) {
    g_assert_cmpuint(huge_bytes(large, large + LARGE), >=, HUGE);
    g_assert_cmpuint(huge_bytes(small[0], small[N - 1] + SMALL), >=, HUGE);
  }
  for (gsize k = 0; k < LARGE; k++)
    g_assert_true(large[k] == 7);
  lcip_memory_free(large, LARGE);
  for (int i = 0; i < N; i++) {
    for (gsize k = 0; k < SMALL; k++)
      g_assert_true(small[i][k] == i);
    lcip_memory_free(small[i], SMALL);
  }
}

void add_tensor_tests(void) {
  g_test_add_func("/io/tensor/unaligned", test_unaligned);
  g_test_add_func("/io/tensor/memory-blocks", test_memory_blocks);
  g_test_add_func("/io/tensor/memory-settles", test_memory_settles);
  g_test_add_func("/io/weights/round-trip", test_weights_round_trip);
  g_test_add_func("/io/weights/refused", test_weights_refused);
  g_test_add_func("/io/npy/versions", test_npy_versions);
  g_test_add_func("/io/npy/fortran", test_npy_fortran);
  g_test_add_func("/io/npy/round-trip", test_npy_round_trip);
  g_test_add_func("/io/npy/refused", test_npy_refused);
}
