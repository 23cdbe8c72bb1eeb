#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** LcipTurn: lets one of the threads that share it go on at a time, in the order in which they ask.
 */
typedef struct _LcipTurn LcipTurn;

LcipTurn *lcip_turn_new(void);
void lcip_turn_free(LcipTurn *turn);
/** lcip_turn_take: waits until all that asked before have given it back. */
void lcip_turn_take(LcipTurn *turn);
/** lcip_turn_give: to who asked first, whose thread goes on on this processor. */
void lcip_turn_give(LcipTurn *turn);
guint lcip_turn_n_waiting(LcipTurn *turn);

G_END_DECLS
