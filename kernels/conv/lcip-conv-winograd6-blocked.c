#include "config.h"

/* F(6,3) */
#define WINOGRAD_TILE 6
#include "lcip-conv-winograd-blocked.h"
