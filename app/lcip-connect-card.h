#pragma once

#include <gtk/gtk.h>

#include "lcip-session.h"

G_BEGIN_DECLS

/** LcipConnectCard: asks how a picture becomes a network's input. Confirmed, the answer becomes
 * visible actors in one undo step. */
#define LCIP_TYPE_CONNECT_CARD (lcip_connect_card_get_type())
G_DECLARE_FINAL_TYPE(LcipConnectCard, lcip_connect_card, LCIP, CONNECT_CARD, GtkWidget)

void lcip_connect_card_set_session(LcipConnectCard *card, LcipSession *session);
/** lcip_connect_card_offer: shows the card where an unsaved model has an image-shaped input, hides
 * it elsewhere. */
void lcip_connect_card_offer(LcipConnectCard *card);
void lcip_connect_card_show(LcipConnectCard *card);
void lcip_connect_card_hide(LcipConnectCard *card);

G_END_DECLS
