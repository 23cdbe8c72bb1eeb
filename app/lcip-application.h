#pragma once

#include <adwaita.h>

G_BEGIN_DECLS

/** LcipApplication: `lcip-editor [--run] [--source WHAT] [FILE]`. */
#define LCIP_TYPE_APPLICATION (lcip_application_get_type())
G_DECLARE_FINAL_TYPE(LcipApplication, lcip_application, LCIP, APPLICATION, AdwApplication)

LcipApplication *lcip_application_new(void);

G_END_DECLS
