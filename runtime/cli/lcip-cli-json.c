#include "config.h"

#include "lcip-cli-json.h"

#include <math.h>
#include <string.h>

void lcip_cli_json_init(LcipCliJson *json, FILE *stream, guint compact_from) {
  memset(json, 0, sizeof *json);
  json->stream = stream;
  json->compact_from = compact_from;
}

static void write_string(FILE *stream, const char *text) {
  g_autofree char *valid = g_utf8_make_valid(text, -1);
  fputc('"', stream);
  for (const char *c = valid; *c; c++) {
    if (*c == '"' || *c == '\\')
      fprintf(stream, "\\%c", *c);
    else if ((guchar)*c < 0x20)
      fprintf(stream, "\\u%04x", (guint)(guchar)*c);
    else
      fputc(*c, stream);
  }
  fputc('"', stream);
}

static void break_line(LcipCliJson *json) {
  if (json->depth == 0)
    return;
  if (json->depth > json->compact_from)
    return;
  fprintf(json->stream, "\n%*s", (int)(2 * json->depth), "");
}

/* Whatever stands before a value: comma, line break, key. */
static void begin_value(LcipCliJson *json, const char *key) {
  if (json->has_members[json->depth])
    fputs(json->depth > json->compact_from ? ", " : ",", json->stream);
  json->has_members[json->depth] = TRUE;
  break_line(json);
  if (!key)
    return;
  write_string(json->stream, key);
  fputs(": ", json->stream);
}

static void begin_container(LcipCliJson *json, const char *key, char bracket) {
  g_return_if_fail(json->depth + 1 < LCIP_CLI_JSON_DEPTH);
  begin_value(json, key);
  fputc(bracket, json->stream);
  json->depth++;
  json->has_members[json->depth] = FALSE;
}

static void end_container(LcipCliJson *json, char bracket) {
  g_return_if_fail(json->depth > 0);
  gboolean had_members = json->has_members[json->depth];
  gboolean was_compact = json->depth > json->compact_from;
  json->depth--;
  if (had_members && !was_compact)
    fprintf(json->stream, "\n%*s", (int)(2 * json->depth), "");
  fputc(bracket, json->stream);
  if (json->depth == 0)
    fputc('\n', json->stream);
}

gboolean lcip_cli_json_begun(const LcipCliJson *json) {
  return json->has_members[0];
}

void lcip_cli_json_begin_object(LcipCliJson *json, const char *key) {
  begin_container(json, key, '{');
}

void lcip_cli_json_end_object(LcipCliJson *json) {
  end_container(json, '}');
}

void lcip_cli_json_begin_array(LcipCliJson *json, const char *key) {
  begin_container(json, key, '[');
}

void lcip_cli_json_end_array(LcipCliJson *json) {
  end_container(json, ']');
}

void lcip_cli_json_string(LcipCliJson *json, const char *key, const char *value) {
  begin_value(json, key);
  if (value)
    write_string(json->stream, value);
  else
    fputs("null", json->stream);
}

void lcip_cli_json_int(LcipCliJson *json, const char *key, gint64 value) {
  begin_value(json, key);
  fprintf(json->stream, "%" G_GINT64_FORMAT, value);
}

void lcip_cli_json_number(LcipCliJson *json, const char *key, double value, guint decimals) {
  begin_value(json, key);
  if (!isfinite(value)) {
    fputs("null", json->stream);
    return;
  }
  char format[16];
  char text[G_ASCII_DTOSTR_BUF_SIZE + 320];
  g_snprintf(format, sizeof format, "%%.%uf", decimals);
  g_ascii_formatd(text, sizeof text, format, value);
  if (strchr(text, '.')) {
    gsize length = strlen(text);
    while (text[length - 1] == '0')
      text[--length] = 0;
    if (text[length - 1] == '.')
      text[--length] = 0;
  }
  fputs(strcmp(text, "-0") == 0 ? "0" : text, json->stream);
}

void lcip_cli_json_real(LcipCliJson *json, const char *key, double value) {
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  begin_value(json, key);
  fputs(isfinite(value) ? g_ascii_formatd(text, sizeof text, "%.9g", value) : "null", json->stream);
}

void lcip_cli_json_bool(LcipCliJson *json, const char *key, gboolean value) {
  begin_value(json, key);
  fputs(value ? "true" : "false", json->stream);
}
