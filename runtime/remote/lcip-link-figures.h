#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What calibrating the links to workers has told, by address: for a cost model, and for lists of
 * workers. Kept below the user's cache folder. Any thread. */

/** LcipLinkFigures: @latency_ns: one way. */
typedef struct {
  gint64 latency_ns;
  double bytes_per_second;
} LcipLinkFigures;

/** lcip_link_figures_get: FALSE where nothing is known. */
gboolean lcip_link_figures_get(const char *address, LcipLinkFigures *figures);
void lcip_link_figures_set(const char *address, const LcipLinkFigures *figures);

G_END_DECLS
