#pragma once

/* All of LCIP's public interface, for programs that use the library. LCIP's own files include what
 * they need and not this. */

#include "lcip-analysis.h"
#include "lcip-document.h"
#include "lcip-io.h"
#include "lcip-media.h"
#include "lcip-plan.h"
#include "lcip-run.h"
#include "lcip-runtime.h"
#include "lcip-verify.h"
