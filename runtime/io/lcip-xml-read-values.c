#include "config.h"
#include "lcip-xml-read-private.h"

#include <math.h>
#include <string.h>

gboolean lcip_xml_fail(const LcipXmlReader *reader, const LcipXmlElement *element,
                       LcipIoErrorCode code, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  g_autofree char *message = g_strdup_vprintf(format, ap);
  va_end(ap);
  return lcip_io_fail(reader->error, code, "%s:%d: <%s>: %s", reader->path, element->line,
                      element->name, message);
}

/* ---- structure: which attributes and children an element may have ---- */

gboolean lcip_xml_only_attrs(const LcipXmlReader *reader, const LcipXmlElement *element,
                             const char *const *allowed) {
  for (guint i = 0; i < element->attrs->len; i += 2) {
    const char *name = element->attrs->pdata[i];
    if (g_strv_contains(allowed, name))
      continue;
    g_autofree char *list = g_strjoinv(", ", (char **)allowed);
    return ELEMENT_FAIL(reader, element, "expected only the attributes %s, found \"%s\"",
                        *list ? list : "(none)", name);
  }
  return TRUE;
}

gboolean lcip_xml_no_text(const LcipXmlReader *reader, const LcipXmlElement *element) {
  g_autofree char *text = g_strstrip(g_strdup(element->text->str));
  return !*text || ELEMENT_FAIL(reader, element, "expected no text, found \"%.40s\"", text);
}

gboolean lcip_xml_no_children(const LcipXmlReader *reader, const LcipXmlElement *element) {
  if (element->children->len == 0)
    return TRUE;
  const LcipXmlElement *child = element->children->pdata[0];
  return ELEMENT_FAIL(reader, child, "expected nothing inside <%s>, found <%s>", element->name,
                      child->name);
}

gboolean lcip_xml_is_leaf(const LcipXmlReader *reader, const LcipXmlElement *element,
                          const char *const *allowed) {
  return lcip_xml_only_attrs(reader, element, allowed) && lcip_xml_no_children(reader, element) &&
         lcip_xml_no_text(reader, element);
}

/* ---- attribute values ---- */

const char *lcip_xml_need(const LcipXmlReader *reader, const LcipXmlElement *element,
                          const char *name) {
  const char *value = lcip_xml_element_attr(element, name);
  if (!value)
    ELEMENT_FAIL(reader, element, "expected the attribute \"%s\", found none", name);
  return value;
}

const char *lcip_xml_need_text(const LcipXmlReader *reader, const LcipXmlElement *element,
                               const char *name) {
  const char *value = lcip_xml_need(reader, element, name);
  if (value && !*value) {
    ELEMENT_FAIL(reader, element, "expected a value of \"%s\", found an empty one", name);
    return NULL;
  }
  return value;
}

/* Digits alone, as the schema has it: no sign, no blanks. */
gboolean lcip_xml_parse_uint(const LcipXmlReader *reader, const LcipXmlElement *element,
                             const char *name, const char *text, guint64 max, guint64 *value) {
  if (*text && strspn(text, "0123456789") == strlen(text) &&
      g_ascii_string_to_unsigned(text, 10, 0, max, value, NULL))
    return TRUE;
  return ELEMENT_FAIL(reader, element,
                      "%s: expected a whole number of 0 to %" G_GUINT64_FORMAT ", found \"%.40s\"",
                      name, max, text);
}

gboolean lcip_xml_need_uint(const LcipXmlReader *reader, const LcipXmlElement *element,
                            const char *name, guint max, guint *value) {
  guint64 wide;
  const char *text = lcip_xml_need(reader, element, name);
  if (!text || !lcip_xml_parse_uint(reader, element, name, text, max, &wide))
    return FALSE;
  *value = (guint)wide;
  return TRUE;
}

gboolean lcip_xml_optional_uint(const LcipXmlReader *reader, const LcipXmlElement *element,
                                const char *name, guint max, guint *value) {
  return !lcip_xml_element_attr(element, name) ||
         lcip_xml_need_uint(reader, element, name, max, value);
}

gboolean lcip_xml_need_double(const LcipXmlReader *reader, const LcipXmlElement *element,
                              const char *name, double *value) {
  const char *text = lcip_xml_need(reader, element, name);
  if (!text)
    return FALSE;
  char *end = NULL;
  *value = g_ascii_strtod(text, &end);
  if (*text && strspn(text, "+-.0123456789eE") == strlen(text) && !*end && isfinite(*value))
    return TRUE;
  return ELEMENT_FAIL(reader, element, "%s: expected a number, found \"%.40s\"", name, text);
}

/* ---- ids ---- */

static gboolean id_is_valid(const char *id) {
  if (!g_ascii_isalpha(*id) && *id != '_')
    return FALSE;
  for (const char *p = id; *p; p++)
    if (!g_ascii_isalnum(*p) && *p != '_' && *p != '-')
      return FALSE;
  return TRUE;
}

const char *lcip_xml_new_id(LcipXmlReader *reader, const LcipXmlElement *element,
                            LcipXmlIdKind kind, guint index) {
  const char *id = lcip_xml_need(reader, element, "id");
  if (!id)
    return NULL;
  if (!id_is_valid(id)) {
    ELEMENT_FAIL(reader, element,
                 "id: expected a letter or '_', then letters, digits, '_' and '-', found \"%.80s\"",
                 id);
    return NULL;
  }
  const gsize code = (gsize)index << 2 | kind;
  if (!g_hash_table_insert(reader->ids, g_strdup(id), GSIZE_TO_POINTER(code))) {
    ELEMENT_FAIL(reader, element, "id: expected one that is new, found \"%s\" again", id);
    return NULL;
  }
  return id;
}

gboolean lcip_xml_find_id(const LcipXmlReader *reader, const LcipXmlElement *element,
                          const char *attr, LcipXmlIdKind *kind, guint *index) {
  const char *id = lcip_xml_need(reader, element, attr);
  if (!id)
    return FALSE;
  const gsize code = GPOINTER_TO_SIZE(g_hash_table_lookup(reader->ids, id));
  *kind = (LcipXmlIdKind)(code & 3);
  *index = (guint)(code >> 2);
  return code != 0 || ELEMENT_FAIL(reader, element,
                                   "%s: expected the id of an actor, input or output, found "
                                   "\"%.80s\"",
                                   attr, id);
}

const char *lcip_xml_need_actor(const LcipXmlReader *reader, const LcipXmlElement *element) {
  LcipXmlIdKind kind;
  guint index;
  if (!lcip_xml_find_id(reader, element, "actor", &kind, &index))
    return NULL;
  const char *id = lcip_xml_element_attr(element, "actor");
  if (kind == LCIP_XML_ACTOR)
    return id;
  ELEMENT_FAIL(reader, element, "actor: expected the id of an actor, found \"%s\"", id);
  return NULL;
}

/* ---- sections ---- */

gboolean lcip_xml_read_parts(LcipXmlReader *reader, const LcipXmlElement *section,
                             const LcipXmlPart *parts, guint n_parts) {
  guint part = 0;
  for (guint i = 0; i < section->children->len; i++) {
    const LcipXmlElement *child = section->children->pdata[i];
    while (part < n_parts && !g_str_equal(parts[part].name, child->name))
      part++;
    if (part == n_parts) {
      g_autoptr(GString) list = g_string_new(NULL);
      for (guint k = 0; k < n_parts; k++)
        g_string_append_printf(list, "%s<%s>", k ? ", " : "", parts[k].name);
      return ELEMENT_FAIL(reader, child, "expected in this order %s, found <%s>", list->str,
                          child->name);
    }
    if (!parts[part].read(reader, child))
      return FALSE;
  }
  return lcip_xml_no_text(reader, section);
}
