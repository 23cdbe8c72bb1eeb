#include "lcip-test-cli.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

void lcip_test_output_free(LcipTestOutput *output) {
  g_free(output->out);
  g_free(output->err);
  g_free(output);
}

static LcipTestOutput *run_command(GPtrArray *args) {
  g_autoptr(GError) error = NULL;
  LcipTestOutput *output = g_new0(LcipTestOutput, 1);
  g_autoptr(GSubprocess) process =
      g_subprocess_newv((const char *const *)args->pdata,
                        G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE, &error);
  g_assert_no_error(error);
  g_subprocess_communicate_utf8(process, NULL, NULL, &output->out, &output->err, &error);
  g_assert_no_error(error);
  g_assert_true(g_subprocess_get_if_exited(process));
  output->exit_code = g_subprocess_get_exit_status(process);
  return output;
}

static GPtrArray *command_line(const char *first, va_list list) {
  const char *program = g_getenv("LCIP_CLI");
  g_assert_nonnull(program);
  GPtrArray *args = g_ptr_array_new();
  g_ptr_array_add(args, (gpointer)program);
  for (const char *arg = first; arg; arg = va_arg(list, const char *))
    g_ptr_array_add(args, (gpointer)arg);
  g_ptr_array_add(args, NULL);
  return args;
}

LcipTestOutput *lcip_test_command(const char *first, ...) {
  va_list list;
  va_start(list, first);
  g_autoptr(GPtrArray) args = command_line(first, list);
  va_end(list);
  return run_command(args);
}

JsonObject *lcip_test_json(const char *first, ...) {
  va_list list;
  va_start(list, first);
  g_autoptr(GPtrArray) args = command_line(first, list);
  va_end(list);
  g_autoptr(LcipTestOutput) output = run_command(args);
  if (output->exit_code != 0)
    g_test_message("%s", output->err);
  g_assert_cmpint(output->exit_code, ==, 0);
  return lcip_test_parse(output->out);
}

JsonObject *lcip_test_parse(const char *text) {
  g_autoptr(GError) error = NULL;
  g_autoptr(JsonNode) node = json_from_string(text, &error);
  g_assert_no_error(error);
  g_assert_nonnull(node);
  g_assert_true(JSON_NODE_HOLDS_OBJECT(node));
  return json_object_ref(json_node_get_object(node));
}

static gboolean has_type(JsonNode *node, const char *type) {
  GType value = json_node_get_value_type(node);
  if (strcmp(type, "object") == 0)
    return JSON_NODE_HOLDS_OBJECT(node);
  if (strcmp(type, "array") == 0)
    return JSON_NODE_HOLDS_ARRAY(node);
  if (strcmp(type, "null") == 0)
    return JSON_NODE_HOLDS_NULL(node);
  if (!JSON_NODE_HOLDS_VALUE(node))
    return FALSE;
  if (strcmp(type, "string") == 0)
    return value == G_TYPE_STRING;
  if (strcmp(type, "boolean") == 0)
    return value == G_TYPE_BOOLEAN;
  if (strcmp(type, "integer") == 0)
    return value == G_TYPE_INT64;
  g_assert_cmpstr(type, ==, "number");
  return value == G_TYPE_INT64 || value == G_TYPE_DOUBLE;
}

static void check_node(JsonNode *node, JsonObject *schema, const char *path);

static void check_type(JsonNode *node, JsonNode *type, const char *path) {
  gboolean ok = FALSE;
  if (JSON_NODE_HOLDS_VALUE(type)) {
    ok = has_type(node, json_node_get_string(type));
  } else {
    JsonArray *types = json_node_get_array(type);
    for (guint i = 0; i < json_array_get_length(types); i++)
      ok = ok || has_type(node, json_array_get_string_element(types, i));
  }
  if (!ok)
    g_error("%s: wrong type of value: %s", path, json_to_string(node, FALSE));
}

static void check_enum(JsonNode *node, JsonArray *choices, const char *path) {
  for (guint i = 0; i < json_array_get_length(choices); i++)
    if (json_node_equal(node, json_array_get_element(choices, i)))
      return;
  g_error("%s: not one of the choices: %s", path, json_to_string(node, FALSE));
}

static void check_members(JsonObject *object, JsonObject *schema, const char *path) {
  JsonArray *required = json_object_has_member(schema, "required")
                            ? json_object_get_array_member(schema, "required")
                            : NULL;
  for (guint i = 0; required && i < json_array_get_length(required); i++)
    if (!json_object_has_member(object, json_array_get_string_element(required, i)))
      g_error("%s: '%s' is missing", path, json_array_get_string_element(required, i));
  JsonObject *properties = json_object_has_member(schema, "properties")
                               ? json_object_get_object_member(schema, "properties")
                               : NULL;
  if (!properties)
    return;
  g_autoptr(GList) names = json_object_get_members(object);
  for (GList *l = names; l; l = l->next) {
    g_autofree char *member = g_strdup_printf("%s/%s", path, (char *)l->data);
    if (!json_object_has_member(properties, l->data))
      g_error("%s: the schema does not know this member", member);
    check_node(json_object_get_member(object, l->data),
               json_object_get_object_member(properties, l->data), member);
  }
}

static void check_node(JsonNode *node, JsonObject *schema, const char *path) {
  if (json_object_has_member(schema, "type"))
    check_type(node, json_object_get_member(schema, "type"), path);
  if (json_object_has_member(schema, "const"))
    g_assert_true(json_node_equal(node, json_object_get_member(schema, "const")));
  if (json_object_has_member(schema, "enum"))
    check_enum(node, json_object_get_array_member(schema, "enum"), path);
  if (JSON_NODE_HOLDS_OBJECT(node))
    check_members(json_node_get_object(node), schema, path);
  if (!JSON_NODE_HOLDS_ARRAY(node) || !json_object_has_member(schema, "items"))
    return;
  JsonArray *array = json_node_get_array(node);
  for (guint i = 0; i < json_array_get_length(array); i++) {
    g_autofree char *item = g_strdup_printf("%s/%u", path, i);
    check_node(json_array_get_element(array, i), json_object_get_object_member(schema, "items"),
               item);
  }
}

void lcip_test_check_schema(JsonObject *object, const char *name) {
  g_autofree char *file = g_strdup_printf("graphs/%s.schema.json", name);
  g_autofree char *path = lcip_test_source(file);
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;
  g_file_get_contents(path, &text, NULL, &error);
  g_assert_no_error(error);
  g_autoptr(JsonObject) schema = lcip_test_parse(text);
  g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
  json_node_set_object(node, object);
  check_node(node, schema, name);
}

char *lcip_test_source(const char *name) {
  const char *root = g_getenv("LCIP_DATA_PATH");
  g_assert_nonnull(root);
  return g_build_filename(root, name, NULL);
}

static char *temp_folder;

char *lcip_test_temp(const char *name) {
  g_autoptr(GError) error = NULL;
  if (!temp_folder)
    temp_folder = g_dir_make_tmp("lcip-test-XXXXXX", &error);
  g_assert_no_error(error);
  return g_build_filename(temp_folder, name, NULL);
}

static void remove_folder(const char *path) {
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *child = g_build_filename(path, name, NULL);
    if (g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK))
      remove_folder(child);
    else
      g_unlink(child);
  }
  g_rmdir(path);
}

void lcip_test_clean(void) {
  if (temp_folder)
    remove_folder(temp_folder);
  g_clear_pointer(&temp_folder, g_free);
}
