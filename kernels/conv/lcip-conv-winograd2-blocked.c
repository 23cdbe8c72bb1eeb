#include "config.h"

/* F(2 x 2, 3 x 3) */
#define TILE_Y 2
#define TILE_X 2
#define TAPS_Y 3
#define TAPS_X 3
#define WINOGRAD_POOLS
#define WINOGRAD_NAME "conv-winograd2-blocked"
#define WINOGRAD_KERNEL LCIP_ISA_KERNEL(conv_winograd2_blocked)
#include "lcip-conv-winograd-blocked.h"
