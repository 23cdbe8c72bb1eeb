#include "config.h"
#include "lcip-xml-tree.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/xmlerror.h>
#include <string.h>

/* LCIP's documents are four elements deep; a little more lets the reader say what is wrong. */
#define MAX_DEPTH 16

typedef struct {
  const char *path;
  xmlParserCtxtPtr context;
  LcipXmlElement *root;
  GPtrArray *open; /* borrowed: the elements that are open, outermost first */
  GError *error;
} Builder;

void lcip_xml_element_free(LcipXmlElement *element) {
  g_free(element->name);
  g_ptr_array_unref(element->attrs);
  g_ptr_array_unref(element->children);
  g_string_free(element->text, TRUE);
  g_free(element);
}

static LcipXmlElement *element_new(const char *name, int line) {
  LcipXmlElement *element = g_new0(LcipXmlElement, 1);
  element->name = g_strdup(name); /* not interned: a file would fill GLib's table for good */
  element->line = line;
  element->attrs = g_ptr_array_new_with_free_func(g_free);
  element->children = g_ptr_array_new_with_free_func((GDestroyNotify)lcip_xml_element_free);
  element->text = g_string_new(NULL);
  return element;
}

const char *lcip_xml_element_attr(const LcipXmlElement *element, const char *name) {
  for (guint i = 0; i < element->attrs->len; i += 2)
    if (g_str_equal(element->attrs->pdata[i], name))
      return element->attrs->pdata[i + 1];
  return NULL;
}

static int current_line(const Builder *builder) {
  return builder->context->input ? builder->context->input->line : 0;
}

static void builder_fail(Builder *builder, const char *element, const char *expected,
                         const char *found) {
  if (!builder->error)
    lcip_io_fail(&builder->error, LCIP_IO_ERROR_FORMAT, "%s:%d: <%s>: expected %s, found %s",
                 builder->path, current_line(builder), element, expected, found);
  xmlStopParser(builder->context);
}

/* ---- libxml2's callbacks ---- */

static void add_attributes(Builder *builder, LcipXmlElement *element, int n,
                           const xmlChar **attributes) {
  for (int i = 0; i < n; i++) {
    const char *const *a = (const char *const *)attributes + (gsize)i * 5;
    if (a[1]) {
      g_autofree char *found = g_strdup_printf("%s:%s", a[1], a[0]);
      builder_fail(builder, element->name, "attributes without a namespace", found);
      return;
    }
    g_ptr_array_add(element->attrs, g_strdup(a[0]));
    g_ptr_array_add(element->attrs, g_strndup(a[3], (gsize)(a[4] - a[3])));
  }
}

static void on_start(void *data, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
                     int n_namespaces, const xmlChar **namespaces, int n_attributes,
                     int n_defaulted, const xmlChar **attributes) {
  Builder *builder = data;
  if (builder->error)
    return;
  if (g_strcmp0((const char *)uri, LCIP_XML_NAMESPACE) != 0) {
    builder_fail(builder, (const char *)name, "the namespace " LCIP_XML_NAMESPACE,
                 uri ? (const char *)uri : "none");
    return;
  }
  if (builder->open->len >= MAX_DEPTH) {
    builder_fail(builder, (const char *)name, "elements at most 16 deep", "one deeper");
    return;
  }
  LcipXmlElement *element = element_new((const char *)name, current_line(builder));
  if (builder->open->len == 0)
    builder->root = element;
  else
    g_ptr_array_add(((LcipXmlElement *)builder->open->pdata[builder->open->len - 1])->children,
                    element);
  g_ptr_array_add(builder->open, element);
  add_attributes(builder, element, n_attributes, attributes);
}

static void on_end(void *data, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri) {
  Builder *builder = data;
  if (!builder->error && builder->open->len > 0)
    g_ptr_array_set_size(builder->open, (int)builder->open->len - 1);
}

static void on_text(void *data, const xmlChar *text, int length) {
  Builder *builder = data;
  if (!builder->error && builder->open->len > 0 && length > 0) {
    LcipXmlElement *element = builder->open->pdata[builder->open->len - 1];
    g_string_append_len(element->text, (const char *)text, length);
  }
}

/* Without a document type there are no entities, and so no bombs and no files to leak. */
static void on_doctype(void *data, const xmlChar *name, const xmlChar *external_id,
                       const xmlChar *system_id) {
  builder_fail(data, (const char *)name, "no document type", "<!DOCTYPE>");
}

static void on_error(void *data, xmlErrorPtr problem) {
  Builder *builder = data;
  if (builder->error || problem->level < XML_ERR_ERROR || problem->code == XML_ERR_USER_STOP)
    return;
  g_autofree char *message = g_strdup(problem->message ? problem->message : "an error");
  g_strdelimit(g_strchomp(message), "\n", ' ');
  const LcipXmlElement *element =
      builder->open->len ? builder->open->pdata[builder->open->len - 1] : NULL;
  lcip_io_fail(&builder->error, LCIP_IO_ERROR_FORMAT,
               "%s:%d: <%s>: expected well-formed XML, found: %s", builder->path, problem->line,
               element ? element->name : "lcip", message);
  xmlStopParser(builder->context);
}

static const xmlSAXHandler handler = {
    .internalSubset = on_doctype,
    .startElementNs = on_start,
    .endElementNs = on_end,
    .characters = on_text,
    .ignorableWhitespace = on_text,
    .cdataBlock = on_text,
    .serror = (xmlStructuredErrorFunc)on_error,
    .initialized = XML_SAX2_MAGIC,
};

/* ---- */

static void run_parser(Builder *builder, GBytes *bytes) {
  gsize size;
  const char *data = g_bytes_get_data(bytes, &size);
  xmlInitParser();
  builder->context = xmlCreateMemoryParserCtxt(data, (int)size);
  if (!builder->context) {
    lcip_io_fail(&builder->error, LCIP_IO_ERROR_SIZE, "%s: cannot be parsed: out of memory",
                 builder->path);
    return;
  }
  *builder->context->sax = handler;
  builder->context->userData = builder;
  /* NOENT decodes &amp; and the like in attributes; there are no other entities to replace. */
  xmlCtxtUseOptions(builder->context, XML_PARSE_NONET | XML_PARSE_NOENT);
  xmlParseDocument(builder->context);
  if (!builder->error && !builder->context->wellFormed)
    lcip_io_fail(&builder->error, LCIP_IO_ERROR_FORMAT,
                 "%s:%d: <lcip>: expected well-formed XML, found none", builder->path,
                 current_line(builder));
  if (builder->context->myDoc)
    xmlFreeDoc(builder->context->myDoc);
  builder->context->myDoc = NULL;
  xmlFreeParserCtxt(builder->context);
}

LcipXmlElement *lcip_xml_parse(const char *path, GBytes *bytes, GError **error) {
  const gsize size = g_bytes_get_size(bytes);
  if (size == 0 || size > 1 << 30) {
    lcip_io_fail(error, LCIP_IO_ERROR_SIZE,
                 "%s:1: <lcip>: expected a document of 1 byte to 1 GiB, found %" G_GSIZE_FORMAT
                 " bytes",
                 path, size);
    return NULL;
  }
  Builder builder = {.path = path, .open = g_ptr_array_new()};
  run_parser(&builder, bytes);
  g_ptr_array_unref(builder.open);
  if (!builder.error)
    return builder.root;
  g_clear_pointer(&builder.root, lcip_xml_element_free);
  g_propagate_error(error, builder.error);
  return NULL;
}
