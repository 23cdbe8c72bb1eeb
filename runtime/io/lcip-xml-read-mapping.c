#include "config.h"
#include "lcip-xml-read-private.h"

/* What a document says beside its graph: lanes, mappings and places. */

/* ---- platform ---- */

static gboolean lane_kind_from_name(const char *name, LcipLaneKind *kind) {
  for (LcipLaneKind k = LCIP_LANE_CPU; k <= LCIP_LANE_REMOTE; k++)
    if (g_str_equal(lcip_lane_kind_name(k), name)) {
      *kind = k;
      return TRUE;
    }
  return FALSE;
}

static gboolean read_lane(LcipXmlReader *reader, const LcipXmlElement *element) {
  static const char *const attrs[] = {"name", "kind", "threads", "device", NULL};
  guint threads = 0;
  LcipLaneKind kind;
  const char *name = lcip_xml_need_text(reader, element, "name");
  const char *kind_name = name ? lcip_xml_need(reader, element, "kind") : NULL;
  if (!kind_name || !lcip_xml_is_leaf(reader, element, attrs) ||
      !lcip_xml_optional_uint(reader, element, "threads", 1024, &threads))
    return FALSE;
  if (!lane_kind_from_name(kind_name, &kind))
    return ELEMENT_FAIL(reader, element, "kind: expected cpu, opencl or remote, found \"%.40s\"",
                        kind_name);
  if (lcip_graph_find_lane(reader->graph, name))
    return ELEMENT_FAIL(reader, element, "name: expected one that is new, found \"%s\" again",
                        name);
  const char *device = lcip_xml_element_attr(element, "device");
  if (device && !lcip_xml_need_text(reader, element, "device"))
    return FALSE;
  lcip_graph_add_lane(reader->graph, name, kind, threads, device);
  return TRUE;
}

gboolean lcip_xml_read_platform(LcipXmlReader *reader, const LcipXmlElement *element) {
  static const char *const none[] = {NULL};
  static const LcipXmlPart parts[] = {{"lane", read_lane}};
  return lcip_xml_only_attrs(reader, element, none) &&
         lcip_xml_read_parts(reader, element, parts, G_N_ELEMENTS(parts));
}

/* ---- mappings and layout ---- */

static const char *need_lane(const LcipXmlReader *reader, const LcipXmlElement *element,
                             const char *attr) {
  const char *name = lcip_xml_need(reader, element, attr);
  if (!name || lcip_graph_find_lane(reader->graph, name))
    return name;
  ELEMENT_FAIL(reader, element, "%s: expected a lane of <platform>, found \"%.80s\"", attr, name);
  return NULL;
}

static LcipMapping *current_mapping(const LcipXmlReader *reader) {
  return reader->graph->mappings->pdata[reader->graph->mappings->len - 1];
}

static gboolean once(const LcipXmlReader *reader, const LcipXmlElement *element, GHashTable *table,
                     const char *key) {
  return !g_hash_table_contains(table, key) ||
         ELEMENT_FAIL(reader, element, "expected \"%s\" once, found it again", key);
}

static gboolean read_assign(LcipXmlReader *reader, const LcipXmlElement *element) {
  static const char *const attrs[] = {"actor", "lane", NULL};
  LcipMapping *mapping = current_mapping(reader);
  const char *id = lcip_xml_need_actor(reader, element);
  const char *lane = id ? need_lane(reader, element, "lane") : NULL;
  if (!lane || !lcip_xml_is_leaf(reader, element, attrs) ||
      !once(reader, element, mapping->lanes, id))
    return FALSE;
  lcip_mapping_assign(mapping, id, lane);
  return TRUE;
}

static gboolean read_pin(LcipXmlReader *reader, const LcipXmlElement *element) {
  static const char *const attrs[] = {"actor", "kernel", NULL};
  LcipMapping *mapping = current_mapping(reader);
  const char *id = lcip_xml_need_actor(reader, element);
  const char *kernel = id ? lcip_xml_need_text(reader, element, "kernel") : NULL;
  if (!kernel || !lcip_xml_is_leaf(reader, element, attrs) ||
      !once(reader, element, mapping->pins, id))
    return FALSE;
  lcip_mapping_pin(mapping, id, kernel);
  return TRUE;
}

static gboolean read_fallback(LcipXmlReader *reader, const LcipXmlElement *element) {
  static const char *const attrs[] = {"lane", "to", NULL};
  LcipMapping *mapping = current_mapping(reader);
  const char *lane = need_lane(reader, element, "lane");
  const char *to = lane ? need_lane(reader, element, "to") : NULL;
  if (!to || !lcip_xml_is_leaf(reader, element, attrs) ||
      !once(reader, element, mapping->fallbacks, lane))
    return FALSE;
  g_hash_table_insert(mapping->fallbacks, g_strdup(lane), g_strdup(to));
  return TRUE;
}

static gboolean read_active(LcipXmlReader *reader, const LcipXmlElement *element,
                            const char *name) {
  const char *active = lcip_xml_element_attr(element, "active");
  if (!active)
    return TRUE;
  if (!g_str_equal(active, "true"))
    return ELEMENT_FAIL(reader, element, "active: expected \"true\", found \"%.40s\"", active);
  if (reader->active_seen)
    return ELEMENT_FAIL(reader, element, "active: expected one active mapping, found another");
  reader->active_seen = TRUE;
  g_free(reader->graph->active_mapping);
  reader->graph->active_mapping = g_strdup(name);
  return TRUE;
}

static gboolean mapping_exists(const LcipGraph *graph, const char *name) {
  for (guint i = 0; i < graph->mappings->len; i++)
    if (g_str_equal(((const LcipMapping *)graph->mappings->pdata[i])->name, name))
      return TRUE;
  return FALSE;
}

gboolean lcip_xml_read_mapping(LcipXmlReader *reader, const LcipXmlElement *element) {
  static const char *const attrs[] = {"name", "active", NULL};
  static const LcipXmlPart parts[] = {
      {"assign", read_assign}, {"pin", read_pin}, {"fallback", read_fallback}};
  const char *name = lcip_xml_need_text(reader, element, "name");
  if (!name || !lcip_xml_only_attrs(reader, element, attrs))
    return FALSE;
  if (mapping_exists(reader->graph, name))
    return ELEMENT_FAIL(reader, element, "name: expected one that is new, found \"%s\" again",
                        name);
  lcip_graph_add_mapping(reader->graph, name);
  return read_active(reader, element, name) &&
         lcip_xml_read_parts(reader, element, parts, G_N_ELEMENTS(parts));
}

static gboolean read_place(LcipXmlReader *reader, const LcipXmlElement *element) {
  static const char *const attrs[] = {"actor", "x", "y", NULL};
  LcipPosition position;
  const char *id = lcip_xml_need_actor(reader, element);
  if (!id || !lcip_xml_is_leaf(reader, element, attrs) ||
      !lcip_xml_need_double(reader, element, "x", &position.x) ||
      !lcip_xml_need_double(reader, element, "y", &position.y) ||
      !once(reader, element, reader->graph->layout, id))
    return FALSE;
  lcip_graph_set_position(reader->graph, id, &position);
  return TRUE;
}

gboolean lcip_xml_read_layout(LcipXmlReader *reader, const LcipXmlElement *element) {
  static const char *const none[] = {NULL};
  static const LcipXmlPart parts[] = {{"place", read_place}};
  return lcip_xml_only_attrs(reader, element, none) &&
         lcip_xml_read_parts(reader, element, parts, G_N_ELEMENTS(parts));
}
