#pragma once

#include <adwaita.h>

G_BEGIN_DECLS

/** lcip_pair_dialog_present: asks for a worker's address and key, shows both fingerprints to be
 * compared, and pairs. @done: afterwards, with the worker's address, or NULL when nobody paired.
 * Returns the dialog, or NULL with an error where this build or this user has no keys. */
typedef void (*LcipPairFunc)(const char *address, gpointer data);
GtkWidget *lcip_pair_dialog_present(GtkWindow *parent, LcipPairFunc done, gpointer data,
                                    GError **error);

/** lcip_pair_dialog_set: fills the form, for tests. */
void lcip_pair_dialog_set(GtkWidget *dialog, const char *address, const char *key);
const char *lcip_pair_dialog_get_address(GtkWidget *dialog);
/** lcip_pair_dialog_show_found: lists LcipFoundWorkers, whose addresses can be taken into the form.
 */
void lcip_pair_dialog_show_found(GtkWidget *dialog, const GPtrArray *found);
/** lcip_pair_dialog_get_fingerprint: what is shown of the worker's key. */
const char *lcip_pair_dialog_get_fingerprint(GtkWidget *dialog);

G_END_DECLS
