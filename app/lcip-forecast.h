#pragma once

#include "lcip-session.h"

G_BEGIN_DECLS

/** lcip_forecast_to_text: what a move would do and how sure that is, in a line; NULL where there is
 * nothing to say. Transfer full. */
char *lcip_forecast_to_text(const LcipForecast *forecast);

G_END_DECLS
