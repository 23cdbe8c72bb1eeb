#pragma once

#include <gtk/gtk.h>

#include "lcip-palette.h"

G_BEGIN_DECLS

/** LcipActorWidget: one actor on the canvas. It paints itself without children, so that a thousand
 * of them stay cheap, and it is what a screen reader finds. */
#define LCIP_TYPE_ACTOR_WIDGET (lcip_actor_widget_get_type())
G_DECLARE_FINAL_TYPE(LcipActorWidget, lcip_actor_widget, LCIP, ACTOR_WIDGET, GtkWidget)

/** LcipDetail: how much is painted, by zoom: a coloured box, with its title, everything. */
typedef enum { LCIP_DETAIL_BOX, LCIP_DETAIL_TITLE, LCIP_DETAIL_FULL } LcipDetail;

/** LcipActorTimeKind: NONE: not known. OWN: a step of its own. FUSED: part of a step whose bracket
 * carries the time. FOLDED: computed once while planning. DEAD: nothing uses it. */
typedef enum {
  LCIP_ACTOR_TIME_NONE,
  LCIP_ACTOR_TIME_OWN,
  LCIP_ACTOR_TIME_FUSED,
  LCIP_ACTOR_TIME_FOLDED,
  LCIP_ACTOR_TIME_DEAD
} LcipActorTimeKind;

GtkWidget *lcip_actor_widget_new(const LcipActor *actor);
const char *lcip_actor_widget_get_id(LcipActorWidget *widget);
/** lcip_actor_widget_get_label: the accessible name: name, operator, lane, time. */
const char *lcip_actor_widget_get_label(LcipActorWidget *widget);
/** lcip_actor_widget_set_actor: @widget goes on for a changed actor of the same id. */
void lcip_actor_widget_set_actor(LcipActorWidget *widget, const LcipActor *actor);
void lcip_actor_widget_set_lane(LcipActorWidget *widget, const char *lane);
void lcip_actor_widget_set_attached(LcipActorWidget *widget, gboolean attached);
/** lcip_actor_widget_set_shape: the output's shape, or NULL. */
void lcip_actor_widget_set_shape(LcipActorWidget *widget, const char *shape);
/** lcip_actor_widget_set_time: @text: the figure of a step of its own, or NULL before it is known.
 * @fraction: length of the bar, 0 to 1. */
void lcip_actor_widget_set_time(LcipActorWidget *widget, LcipActorTimeKind kind, const char *text,
                                double fraction);
/** lcip_actor_widget_set_problem: what is wrong with it, or NULL. */
void lcip_actor_widget_set_problem(LcipActorWidget *widget, const char *problem);
void lcip_actor_widget_set_selected(LcipActorWidget *widget, gboolean selected);
gboolean lcip_actor_widget_get_selected(LcipActorWidget *widget);
void lcip_actor_widget_set_detail(LcipActorWidget *widget, LcipDetail detail);

G_END_DECLS
