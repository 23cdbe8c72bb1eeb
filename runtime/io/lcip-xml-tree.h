#pragma once

#include "lcip-io-private.h"

G_BEGIN_DECLS

/** LcipXmlElement: an element of LCIP's namespace, with the line on which its start tag ends.
 * @attrs: name, value, name, value, ... @text: what stands in it, without its children's. */
typedef struct {
  char *name;
  int line;
  GPtrArray *attrs;
  GPtrArray *children; /* LcipXmlElement */
  GString *text;
} LcipXmlElement;

void lcip_xml_element_free(LcipXmlElement *element);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipXmlElement, lcip_xml_element_free)

/** lcip_xml_parse: the root of the document in @bytes. Refused: documents that are not well-formed,
 * document types and so entities, other namespaces. Comments and processing instructions are
 * skipped. @path is for messages. */
LcipXmlElement *lcip_xml_parse(const char *path, GBytes *bytes, GError **error);

/** lcip_xml_element_attr: an attribute's value, or NULL. */
const char *lcip_xml_element_attr(const LcipXmlElement *element, const char *name);

G_END_DECLS
