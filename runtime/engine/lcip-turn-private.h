#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** LcipTurn: lets one of the threads that share it go on at a time, of those that can in the order
 * in which they ask. */
typedef struct _LcipTurn LcipTurn;

/** LcipTurnFunc: whether a thread cannot go on yet. Called by any thread, when a turn is given; it
 * takes none. */
typedef gboolean (*LcipTurnFunc)(gpointer data);

LcipTurn *lcip_turn_new(void);
void lcip_turn_free(LcipTurn *turn);
/** lcip_turn_take: waits until all that asked before and can go on have given it back. */
void lcip_turn_take(LcipTurn *turn);
/** lcip_turn_give: to who can go on and asked first, whose thread does so on this processor. */
void lcip_turn_give(LcipTurn *turn);
/** lcip_turn_pass: gives it, and has it again when all that asked before and can go on have given
 * it back and it no longer @must_wait, whose end only who has the turn may bring about. */
void lcip_turn_pass(LcipTurn *turn, LcipTurnFunc must_wait, gpointer data);
guint lcip_turn_n_waiting(LcipTurn *turn);

G_END_DECLS
