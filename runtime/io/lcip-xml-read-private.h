#pragma once

#include "lcip-xml-tree.h"

G_BEGIN_DECLS

/* The XML reader: elements' values (lcip-xml-read-values.c), lanes, mappings and layout
 * (lcip-xml-read-mapping.c), the graph and the whole (lcip-xml-read.c). Functions that return FALSE
 * or NULL have set the reader's error. */

/** LcipXmlReader: a document while it is read. @given: borrowed, tensors of a document without a
 * file, or NULL. */
typedef struct {
  const char *path;
  LcipIoHashMode hash_mode;
  LcipGraph *graph;
  GHashTable *ids;     /* id -> kind of thing and index, as pointer */
  GHashTable *fed;     /* "ID PORT" that an edge or a constant feeds */
  GHashTable *tensors; /* key -> LcipTensor */
  LcipWeights *weights;
  GHashTable *given; /* borrowed: tensors of a document without a file, or NULL */
  gboolean active_seen;
  GError **error;
} LcipXmlReader;

/** lcip_xml_fail: always FALSE; the message names file, line and element. */
gboolean lcip_xml_fail(const LcipXmlReader *reader, const LcipXmlElement *element,
                       LcipIoErrorCode code, const char *format, ...) G_GNUC_PRINTF(4, 5);
#define ELEMENT_FAIL(reader, element, ...)                                                         \
  lcip_xml_fail(reader, element, LCIP_IO_ERROR_FORMAT, __VA_ARGS__)

/* What an element may have: attributes of a NULL-terminated list, children, text. */
gboolean lcip_xml_only_attrs(const LcipXmlReader *reader, const LcipXmlElement *element,
                             const char *const *allowed);
gboolean lcip_xml_no_text(const LcipXmlReader *reader, const LcipXmlElement *element);
gboolean lcip_xml_no_children(const LcipXmlReader *reader, const LcipXmlElement *element);
gboolean lcip_xml_is_leaf(const LcipXmlReader *reader, const LcipXmlElement *element,
                          const char *const *allowed);

/* Values of attributes that must be there; _text: not empty; _optional: may be absent. */
const char *lcip_xml_need(const LcipXmlReader *reader, const LcipXmlElement *element,
                          const char *name);
const char *lcip_xml_need_text(const LcipXmlReader *reader, const LcipXmlElement *element,
                               const char *name);
gboolean lcip_xml_parse_uint(const LcipXmlReader *reader, const LcipXmlElement *element,
                             const char *name, const char *text, guint64 max, guint64 *value);
gboolean lcip_xml_need_uint(const LcipXmlReader *reader, const LcipXmlElement *element,
                            const char *name, guint max, guint *value);
gboolean lcip_xml_optional_uint(const LcipXmlReader *reader, const LcipXmlElement *element,
                                const char *name, guint max, guint *value);
gboolean lcip_xml_need_double(const LcipXmlReader *reader, const LcipXmlElement *element,
                              const char *name, double *value);

/** LcipXmlIdKind: what an id names. */
typedef enum { LCIP_XML_INPUT = 1, LCIP_XML_OUTPUT, LCIP_XML_ACTOR } LcipXmlIdKind;

/** lcip_xml_new_id: the element's own id, noted as that of number @index of its kind. */
const char *lcip_xml_new_id(LcipXmlReader *reader, const LcipXmlElement *element,
                            LcipXmlIdKind kind, guint index);
/** lcip_xml_find_id: what the id in attribute @attr names. */
gboolean lcip_xml_find_id(const LcipXmlReader *reader, const LcipXmlElement *element,
                          const char *attr, LcipXmlIdKind *kind, guint *index);
const char *lcip_xml_need_actor(const LcipXmlReader *reader, const LcipXmlElement *element);

typedef gboolean (*LcipXmlElementFunc)(LcipXmlReader *reader, const LcipXmlElement *element);

/** What may stand in a section: the kinds of elements in their order. */
typedef struct {
  const char *name;
  LcipXmlElementFunc read;
} LcipXmlPart;

gboolean lcip_xml_read_parts(LcipXmlReader *reader, const LcipXmlElement *section,
                             const LcipXmlPart *parts, guint n_parts);

gboolean lcip_xml_read_platform(LcipXmlReader *reader, const LcipXmlElement *element);
gboolean lcip_xml_read_mapping(LcipXmlReader *reader, const LcipXmlElement *element);
gboolean lcip_xml_read_layout(LcipXmlReader *reader, const LcipXmlElement *element);

G_END_DECLS
