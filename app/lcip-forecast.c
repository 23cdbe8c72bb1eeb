#include "config.h"

#include "lcip-forecast.h"

#include "lcip-palette.h"

static char *copies(const LcipForecast *forecast) {
  if (forecast->n_copies == 0)
    return g_strdup("");
  g_autofree char *bytes = g_format_size_full(forecast->copy_bytes, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *ms = lcip_format_ms(forecast->copy_ms);
  return forecast->measured ? g_strdup_printf(", %u %s %s", forecast->n_copies,
                                              forecast->n_copies == 1 ? "copy" : "copies", ms)
                            : g_strdup_printf(", %u %s of %s", forecast->n_copies,
                                              forecast->n_copies == 1 ? "copy" : "copies", bytes);
}

/* Below a hundredth nobody needs to know. */
static char *memory(const LcipForecast *forecast) {
  return forecast->memory >= 0.01 ? g_strdup_printf(", memory %.0f %%", 100 * forecast->memory)
                                  : g_strdup("");
}

static const char *sureness(LcipSureness sureness) {
  return sureness == LCIP_SURE_MEASURED ? "from measured steps"
         : sureness == LCIP_SURE_SCALED ? "scaled from measured steps"
                                        : "a guess: nothing like it was measured there";
}

static char *done(const LcipForecast *forecast) {
  g_autofree char *copied = copies(forecast), *share = memory(forecast);
  g_autofree char *fps_now = lcip_format_fps(forecast->capacity_now);
  g_autofree char *fps = lcip_format_fps(forecast->capacity);
  g_autofree char *ms_now = lcip_format_ms(forecast->latency_now);
  g_autofree char *ms = lcip_format_ms(forecast->latency);
  if (!forecast->measured)
    return g_strdup_printf("run it once for a prediction%s%s", copied, share);
  return g_strdup_printf("predicted %s → %s fps, latency %s → %s%s%s\n%s", fps_now, fps, ms_now, ms,
                         copied, share, sureness(forecast->sureness));
}

char *lcip_forecast_to_text(const LcipForecast *forecast) {
  switch (forecast->state) {
  case LCIP_FORECAST_BUSY:
    return g_strdup("predicting…");
  case LCIP_FORECAST_DONE:
    return done(forecast);
  case LCIP_FORECAST_FAILED:
    return g_strdup_printf("it could not run: %s", forecast->why);
  default:
    return NULL;
  }
}
