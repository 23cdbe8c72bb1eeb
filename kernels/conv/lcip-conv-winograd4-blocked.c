#include "config.h"

/* F(4,3) */
#define WINOGRAD_TILE 4
#include "lcip-conv-winograd-blocked.h"
