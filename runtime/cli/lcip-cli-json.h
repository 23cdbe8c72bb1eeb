#pragma once

#include <glib.h>
#include <stdio.h>

G_BEGIN_DECLS

/** LCIP_CLI_JSON_DEPTH: the deepest nesting of a document that the command writes. */
#define LCIP_CLI_JSON_DEPTH 16

/** LcipCliJson: writes one JSON document to a stream as it goes, so that a run without end needs no
 * memory for its results. Numbers have '.' and as many decimals as are worth reading, whatever the
 * locale. One thread at a time.
 * @stream: borrowed. @compact_from: containers at this depth or deeper stand on one line. */
typedef struct {
  FILE *stream;
  guint compact_from;
  guint depth;
  gboolean has_members[LCIP_CLI_JSON_DEPTH];
} LcipCliJson;

void lcip_cli_json_init(LcipCliJson *json, FILE *stream, guint compact_from);
/* @key is NULL for the members of arrays and for the document itself. */
void lcip_cli_json_begin_object(LcipCliJson *json, const char *key);
void lcip_cli_json_end_object(LcipCliJson *json);
void lcip_cli_json_begin_array(LcipCliJson *json, const char *key);
void lcip_cli_json_end_array(LcipCliJson *json);
/** lcip_cli_json_string: NULL becomes null; bytes that are not UTF-8 become U+FFFD. */
void lcip_cli_json_string(LcipCliJson *json, const char *key, const char *value);
void lcip_cli_json_int(LcipCliJson *json, const char *key, gint64 value);
/** lcip_cli_json_number: rounded to @decimals; what JSON can't say (NaN, infinity) becomes null. */
void lcip_cli_json_number(LcipCliJson *json, const char *key, double value, guint decimals);
/** lcip_cli_json_real: to nine digits, so that an f32 is told exactly, however small. */
void lcip_cli_json_real(LcipCliJson *json, const char *key, double value);
/** lcip_cli_json_begun: something of the document is written. */
gboolean lcip_cli_json_begun(const LcipCliJson *json);
void lcip_cli_json_bool(LcipCliJson *json, const char *key, gboolean value);

G_END_DECLS
