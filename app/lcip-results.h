#pragma once

#include "lcip-session.h"

G_BEGIN_DECLS

/** lcip_results_to_text: what arrived at outputs, for people, a line or more each: detections and
 * classes with their labels; any other tensor with its shape, its range and its five largest
 * elements. @graph: for labels; may be NULL. Transfer full. */
char *lcip_results_to_text(const GPtrArray *results, const LcipGraph *graph);

G_END_DECLS
