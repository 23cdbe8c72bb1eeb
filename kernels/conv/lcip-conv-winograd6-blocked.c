#include "config.h"

/* F(6 x 6, 3 x 3) */
#define TILE_Y 6
#define TILE_X 6
#define TAPS_Y 3
#define TAPS_X 3
#define WINOGRAD_POOLS
#define WINOGRAD_NAME "conv-winograd6-blocked"
#define WINOGRAD_KERNEL LCIP_ISA_KERNEL(conv_winograd6_blocked)
#include "lcip-conv-winograd-blocked.h"
