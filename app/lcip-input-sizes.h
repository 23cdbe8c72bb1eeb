#pragma once

#include <adwaita.h>

#include "lcip-session.h"

G_BEGIN_DECLS

/** lcip_input_sizes_present: asks for the sizes that the document's inputs leave open, with a
 * suggestion for each, and settles them as one undo step. @done: afterwards, settled or not.
 * Returns the dialog, or NULL, without calling @done, when nothing is open. */
typedef void (*LcipInputSizesFunc)(gpointer data);
GtkWidget *lcip_input_sizes_present(GtkWindow *parent, LcipSession *session,
                                    LcipInputSizesFunc done, gpointer data);

G_END_DECLS
