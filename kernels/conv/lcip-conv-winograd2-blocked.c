#include "config.h"

/* F(2,3) */
#define WINOGRAD_TILE 2
#include "lcip-conv-winograd-blocked.h"
