#include "config.h"
#include "lcip-operator.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

struct _LcipAttrs {
  gatomicrefcount refs;
  const LcipOperator *op; /* borrowed, may be NULL */
  GHashTable *values;     /* owned: name -> LcipAttrValue */
};

/* GLib makes its C locale when a number is first parsed. A thread that meets another at that may
 * find errno set by the wait, and its number refused; so this is done before there are threads. */
static void __attribute__((constructor)) make_c_locale(void) {
  g_ascii_strtoull("0", NULL, 10);
}

static const char *const type_names[] = {"int",    "float",   "string", "ints",
                                         "floats", "strings", "tensor"};

static void value_free(gpointer data) {
  LcipAttrValue *value = data;
  g_free(value->ints);
  g_free(value->floats);
  g_strfreev(value->strings);
  g_clear_pointer(&value->tensor, lcip_tensor_unref);
  g_free(value);
}

static char **strings_copy(guint n, const char *const *strings) {
  char **copy = g_new0(char *, n + 1);
  for (guint i = 0; i < n; i++)
    copy[i] = g_strdup(strings[i]);
  return copy;
}

static LcipAttrValue *value_copy(const LcipAttrValue *value) {
  LcipAttrValue *copy = g_new0(LcipAttrValue, 1);
  copy->type = value->type;
  copy->n = value->n;
  copy->ints = g_memdup2(value->ints, sizeof(gint64) * value->n);
  copy->floats = g_memdup2(value->floats, sizeof(float) * value->n);
  if (value->strings)
    copy->strings = strings_copy(value->n, (const char *const *)value->strings);
  if (value->tensor)
    copy->tensor = lcip_tensor_ref(value->tensor);
  return copy;
}

LcipAttrs *lcip_attrs_new(const LcipOperator *op) {
  LcipAttrs *attrs = g_new0(LcipAttrs, 1);
  g_atomic_ref_count_init(&attrs->refs);
  attrs->op = op;
  attrs->values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, value_free);
  return attrs;
}

LcipAttrs *lcip_attrs_copy(const LcipAttrs *attrs) {
  LcipAttrs *copy = lcip_attrs_new(attrs->op);
  GHashTableIter iter;
  gpointer name, value;
  g_hash_table_iter_init(&iter, attrs->values);
  while (g_hash_table_iter_next(&iter, &name, &value))
    g_hash_table_insert(copy->values, g_strdup(name), value_copy(value));
  return copy;
}

LcipAttrs *lcip_attrs_ref(LcipAttrs *attrs) {
  g_atomic_ref_count_inc(&attrs->refs);
  return attrs;
}

void lcip_attrs_unref(LcipAttrs *attrs) {
  if (!g_atomic_ref_count_dec(&attrs->refs))
    return;
  g_hash_table_unref(attrs->values);
  g_free(attrs);
}

static gboolean value_equal(const LcipAttrValue *a, const LcipAttrValue *b) {
  if (!b || a->type != b->type || a->n != b->n)
    return FALSE;
  if (a->ints && memcmp(a->ints, b->ints, sizeof(gint64) * a->n) != 0)
    return FALSE;
  if (a->floats && memcmp(a->floats, b->floats, sizeof(float) * a->n) != 0)
    return FALSE;
  for (guint i = 0; a->strings && i < a->n; i++)
    if (!g_str_equal(a->strings[i], b->strings[i]))
      return FALSE;
  if (!a->tensor)
    return TRUE;
  return lcip_tensor_spec_equal(lcip_tensor_get_spec(a->tensor), lcip_tensor_get_spec(b->tensor)) &&
         memcmp(lcip_tensor_get_data(a->tensor), lcip_tensor_get_data(b->tensor),
                lcip_tensor_get_bytes(a->tensor)) == 0;
}

gboolean lcip_attrs_equal(const LcipAttrs *a, const LcipAttrs *b) {
  if (g_hash_table_size(a->values) != g_hash_table_size(b->values))
    return FALSE;
  GHashTableIter iter;
  gpointer name, value;
  g_hash_table_iter_init(&iter, a->values);
  while (g_hash_table_iter_next(&iter, &name, &value))
    if (!value_equal(value, g_hash_table_lookup(b->values, name)))
      return FALSE;
  return TRUE;
}

/* ---- checks against the operator's table ---- */

static gboolean attr_fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static gboolean attr_fail(GError **error, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  g_autofree char *message = g_strdup_vprintf(format, ap);
  va_end(ap);
  g_set_error_literal(error, LCIP_ERROR, LCIP_ERROR_INVALID, message);
  return FALSE;
}

static gboolean number_in_range(const LcipAttrDef *def, double number, GError **error) {
  if ((def->min == 0 && def->max == 0) || (number >= def->min && number <= def->max))
    return TRUE;
  return attr_fail(error, "attribute %s: expected %g to %g, found %g", def->name, def->min,
                   def->max, number);
}

static gboolean string_in_choices(const LcipAttrDef *def, const char *text, GError **error) {
  if (!def->choices || g_strv_contains(def->choices, text))
    return TRUE;
  g_autofree char *choices = g_strjoinv(", ", (char **)def->choices);
  return attr_fail(error, "attribute %s: expected one of %s, found \"%s\"", def->name, choices,
                   text);
}

static gboolean value_check(const LcipAttrDef *def, const LcipAttrValue *value, GError **error) {
  if (def->type != value->type)
    return attr_fail(error, "attribute %s: expected type %s, found %s", def->name,
                     type_names[def->type], type_names[value->type]);
  for (guint i = 0; i < value->n; i++) {
    if (value->ints && !number_in_range(def, (double)value->ints[i], error))
      return FALSE;
    if (value->floats && !number_in_range(def, value->floats[i], error))
      return FALSE;
    if (value->strings && !string_in_choices(def, value->strings[i], error))
      return FALSE;
  }
  return TRUE;
}

static const LcipAttrDef *find_def(const LcipAttrs *attrs, const char *name, GError **error) {
  const LcipAttrDef *def = lcip_operator_find_attr(attrs->op, name);
  if (!def)
    attr_fail(error, "%s has no attribute \"%s\"", attrs->op->name, name);
  return def;
}

static gboolean take_value(LcipAttrs *attrs, const char *name, LcipAttrValue *value,
                           GError **error) {
  if (attrs->op) {
    const LcipAttrDef *def = find_def(attrs, name, error);
    if (!def || !value_check(def, value, error)) {
      value_free(value);
      return FALSE;
    }
  }
  g_hash_table_insert(attrs->values, g_strdup(name), value);
  return TRUE;
}

gboolean lcip_attrs_set_ints(LcipAttrs *attrs, const char *name, LcipAttrType type, guint n,
                             const gint64 *values, GError **error) {
  LcipAttrValue *value = g_new0(LcipAttrValue, 1);
  value->type = type;
  value->n = n;
  value->ints = g_new0(gint64, n + 1);
  if (n)
    memcpy(value->ints, values, sizeof(gint64) * n);
  return take_value(attrs, name, value, error);
}

gboolean lcip_attrs_set_floats(LcipAttrs *attrs, const char *name, LcipAttrType type, guint n,
                               const float *values, GError **error) {
  LcipAttrValue *value = g_new0(LcipAttrValue, 1);
  value->type = type;
  value->n = n;
  value->floats = g_new0(float, n + 1);
  if (n)
    memcpy(value->floats, values, sizeof(float) * n);
  return take_value(attrs, name, value, error);
}

gboolean lcip_attrs_set_strings(LcipAttrs *attrs, const char *name, LcipAttrType type, guint n,
                                const char *const *values, GError **error) {
  LcipAttrValue *value = g_new0(LcipAttrValue, 1);
  value->type = type;
  value->n = n;
  value->strings = strings_copy(n, values);
  return take_value(attrs, name, value, error);
}

gboolean lcip_attrs_set_tensor(LcipAttrs *attrs, const char *name, LcipTensor *tensor,
                               GError **error) {
  LcipAttrValue *value = g_new0(LcipAttrValue, 1);
  value->type = LCIP_ATTR_TENSOR;
  value->tensor = lcip_tensor_ref(tensor);
  return take_value(attrs, name, value, error);
}

/* ---- text ---- */

static char **split_words(const char *text, guint *n) {
  g_autoptr(GPtrArray) words = g_ptr_array_new();
  g_auto(GStrv) parts = g_strsplit_set(text, " \t\r\n", -1);
  for (char **p = parts; *p; p++)
    if (**p)
      g_ptr_array_add(words, g_strdup(*p));
  *n = words->len;
  g_ptr_array_add(words, NULL);
  return (char **)g_ptr_array_free(g_steal_pointer(&words), FALSE);
}

static gboolean parse_ints(LcipAttrValue *value, char **words, const char *name, GError **error) {
  value->ints = g_new0(gint64, value->n + 1);
  for (guint i = 0; i < value->n; i++)
    if (!g_ascii_string_to_signed(words[i], 10, G_MININT64, G_MAXINT64, &value->ints[i], NULL))
      return attr_fail(error, "attribute %s: expected an integer, found \"%s\"", name, words[i]);
  return TRUE;
}

static gboolean parse_floats(LcipAttrValue *value, char **words, const char *name, GError **error) {
  value->floats = g_new0(float, value->n + 1);
  for (guint i = 0; i < value->n; i++) {
    char *end = NULL;
    value->floats[i] = (float)g_ascii_strtod(words[i], &end);
    if (end == words[i] || *end)
      return attr_fail(error, "attribute %s: expected a number, found \"%s\"", name, words[i]);
  }
  return TRUE;
}

static gboolean parse_value(LcipAttrValue *value, const char *name, const char *text,
                            GError **error) {
  if (value->type == LCIP_ATTR_TENSOR)
    return attr_fail(error, "attribute %s: a tensor cannot be written as text", name);
  if (value->type == LCIP_ATTR_STRING) {
    value->n = 1;
    value->strings = strings_copy(1, &text);
    return TRUE;
  }
  if (value->type == LCIP_ATTR_STRINGS) {
    value->strings = *text ? g_strsplit(text, "\n", -1) : g_new0(char *, 1);
    value->n = g_strv_length(value->strings);
    return TRUE;
  }
  g_auto(GStrv) words = split_words(text, &value->n);
  const gboolean single = value->type == LCIP_ATTR_INT || value->type == LCIP_ATTR_FLOAT;
  if (single && value->n != 1)
    return attr_fail(error, "attribute %s: expected one number, found \"%s\"", name, text);
  if (value->type == LCIP_ATTR_INT || value->type == LCIP_ATTR_INTS)
    return parse_ints(value, words, name, error);
  return parse_floats(value, words, name, error);
}

gboolean lcip_attrs_set_text(LcipAttrs *attrs, const char *name, LcipAttrType type,
                             const char *text, GError **error) {
  if (attrs->op && !find_def(attrs, name, error))
    return FALSE;
  LcipAttrValue *value = g_new0(LcipAttrValue, 1);
  value->type = type;
  if (!parse_value(value, name, text, error)) {
    value_free(value);
    return FALSE;
  }
  return take_value(attrs, name, value, error);
}

void lcip_attrs_unset(LcipAttrs *attrs, const char *name) {
  g_hash_table_remove(attrs->values, name);
}

/* The shortest of the decimal forms that reads back as the same float. */
static void append_float(GString *text, float number) {
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];
  for (int digits = 6; digits <= 9; digits++) {
    const char format[] = {'%', '.', (char)('0' + digits), 'g', 0};
    g_ascii_formatd(buffer, sizeof buffer, format, (double)number);
    if ((float)g_ascii_strtod(buffer, NULL) == number)
      break;
  }
  g_string_append(text, buffer);
}

static char *value_text(const LcipAttrValue *value) {
  if (value->type == LCIP_ATTR_TENSOR)
    return NULL;
  if (value->strings)
    return g_strjoinv("\n", value->strings);
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < value->n; i++) {
    if (i)
      g_string_append_c(text, ' ');
    if (value->ints)
      g_string_append_printf(text, "%" G_GINT64_FORMAT, value->ints[i]);
    else
      append_float(text, value->floats[i]);
  }
  return g_string_free(text, FALSE);
}

char *lcip_attrs_get_text(const LcipAttrs *attrs, const char *name) {
  const LcipAttrValue *value = lcip_attrs_get(attrs, name);
  return value ? value_text(value) : NULL;
}

static int compare_names(gconstpointer a, gconstpointer b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **lcip_attrs_names(const LcipAttrs *attrs, guint *n) {
  const char **names = (const char **)g_hash_table_get_keys_as_array(attrs->values, n);
  if (*n > 1)
    qsort(names, *n, sizeof *names, compare_names);
  return names;
}

gboolean lcip_attrs_check(const LcipAttrs *attrs, GError **error) {
  for (guint i = 0; attrs->op && i < attrs->op->n_attrs; i++) {
    const LcipAttrDef *def = &attrs->op->attrs[i];
    if (def->required && !g_hash_table_contains(attrs->values, def->name))
      return attr_fail(error, "attribute %s: expected a value (%s), found none", def->name,
                       type_names[def->type]);
  }
  return TRUE;
}

/* ---- getting: a default is parsed once per row and kept for the life of the process ---- */

static pthread_mutex_t defaults_mutex = PTHREAD_MUTEX_INITIALIZER;
static GHashTable *defaults; /* LcipAttrDef -> LcipAttrValue */

static const LcipAttrValue *default_value(const LcipAttrDef *def) {
  if (!def || !def->default_text)
    return NULL;
  pthread_mutex_lock(&defaults_mutex);
  if (!defaults)
    defaults = g_hash_table_new_full(NULL, NULL, NULL, value_free);
  LcipAttrValue *value = g_hash_table_lookup(defaults, def);
  if (!value) {
    value = g_new0(LcipAttrValue, 1);
    value->type = def->type;
    if (!parse_value(value, def->name, def->default_text, NULL))
      g_critical("attribute %s: bad default \"%s\"", def->name, def->default_text);
    g_hash_table_insert(defaults, (gpointer)def, value);
  }
  pthread_mutex_unlock(&defaults_mutex);
  return value;
}

const LcipAttrValue *lcip_attrs_get(const LcipAttrs *attrs, const char *name) {
  const LcipAttrValue *value = g_hash_table_lookup(attrs->values, name);
  if (value || !attrs->op)
    return value;
  return default_value(lcip_operator_find_attr(attrs->op, name));
}

gboolean lcip_attrs_has(const LcipAttrs *attrs, const char *name) {
  return lcip_attrs_get(attrs, name) != NULL;
}

gint64 lcip_attrs_get_int(const LcipAttrs *attrs, const char *name) {
  const LcipAttrValue *value = lcip_attrs_get(attrs, name);
  return value && value->ints && value->n ? value->ints[0] : 0;
}

float lcip_attrs_get_float(const LcipAttrs *attrs, const char *name) {
  const LcipAttrValue *value = lcip_attrs_get(attrs, name);
  return value && value->floats && value->n ? value->floats[0] : 0;
}

const char *lcip_attrs_get_string(const LcipAttrs *attrs, const char *name) {
  const LcipAttrValue *value = lcip_attrs_get(attrs, name);
  return value && value->strings && value->n ? value->strings[0] : NULL;
}

const gint64 *lcip_attrs_get_ints(const LcipAttrs *attrs, const char *name, guint *n) {
  const LcipAttrValue *value = lcip_attrs_get(attrs, name);
  *n = value && value->ints ? value->n : 0;
  return *n ? value->ints : NULL;
}

const float *lcip_attrs_get_floats(const LcipAttrs *attrs, const char *name, guint *n) {
  const LcipAttrValue *value = lcip_attrs_get(attrs, name);
  *n = value && value->floats ? value->n : 0;
  return *n ? value->floats : NULL;
}
