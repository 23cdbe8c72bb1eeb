#pragma once

#include <json-glib/json-glib.h>

/* What the tests of the lcip command share. Functions abort the test on what they can't do. */

/** LcipTestOutput: what a finished command said. Free with lcip_test_output_free(). */
typedef struct {
  int exit_code;
  char *out;
  char *err;
} LcipTestOutput;
void lcip_test_output_free(LcipTestOutput *output);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipTestOutput, lcip_test_output_free)

/** lcip_test_command: runs `lcip` (the program named by LCIP_CLI in the environment) with the
 * NULL-terminated arguments and waits. */
LcipTestOutput *lcip_test_command(const char *first, ...) G_GNUC_NULL_TERMINATED;
/** lcip_test_json: as lcip_test_command(), which must succeed and print one JSON object. */
JsonObject *lcip_test_json(const char *first, ...) G_GNUC_NULL_TERMINATED;
/** lcip_test_parse: @text must be one JSON object. Transfer full. */
JsonObject *lcip_test_parse(const char *text);
/** lcip_test_check_schema: @node must be what graphs/NAME.schema.json says (the part of JSON Schema
 * that those files use). */
void lcip_test_check_schema(JsonObject *object, const char *name);
/** lcip_test_source: a file of the source tree. lcip_test_temp: one in this process's own folder,
 * which lcip_test_clean() removes. Transfer full. */
char *lcip_test_source(const char *name);
char *lcip_test_temp(const char *name);
void lcip_test_clean(void);
